// One of the files that see LibTorch; it catches its exceptions.
#include "agent/learner.h"

#include <torch/torch.h>

#include <algorithm>
#include <cmath>
#include <functional>

#include "base/rng.h"
#include "base/status.h"
#include "fmt/format.h"

namespace berth {
namespace {

using torch::Tensor;

constexpr double kBeta1 = 0.9, kBeta2 = 0.999, kAdamEpsilon = 1e-5;

// Runs `body`; an exception of LibTorch becomes a status.
template <class T>
absl::StatusOr<T> Guard(const std::function<T()>& body) {
  try {
    return body();
  } catch (const c10::Error& error) {
    return absl::InternalError(fmt::format("LibTorch: {}", error.what_without_backtrace()));
  } catch (const std::exception& error) {
    return absl::InternalError(fmt::format("LibTorch: {}", error.what()));
  }
}

// [rows, columns] with orthonormal rows or columns, whichever are fewer, times gain (Saxe et al., 2013).
Tensor Orthogonal(int64_t rows, int64_t columns, double gain, Rng& rng) {
  const bool is_wide = columns >= rows;
  const int64_t n = std::min(rows, columns), length = std::max(rows, columns);
  std::vector<std::vector<double>> basis;
  while (std::ssize(basis) < n) {
    std::vector<double> v(static_cast<size_t>(length));
    for (double& x : v) x = rng.Normal();
    for (const auto& b : basis) {
      double dot = 0;
      for (size_t i = 0; i < v.size(); ++i) dot += b[i] * v[i];
      for (size_t i = 0; i < v.size(); ++i) v[i] -= dot * b[i];
    }
    double norm = 0;
    for (double x : v) norm += x * x;
    if (norm < 1e-6) continue;
    for (double& x : v) x /= std::sqrt(norm);
    basis.push_back(std::move(v));
  }
  Tensor w = torch::zeros({rows, columns});
  float* const data = w.data_ptr<float>();
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t c = 0; c < columns; ++c) {
      const double x = is_wide ? basis[static_cast<size_t>(r)][static_cast<size_t>(c)] : basis[static_cast<size_t>(c)][static_cast<size_t>(r)];
      data[r * columns + c] = static_cast<float>(gain * x);
    }
  }
  return w;
}

std::vector<float> ToVector(const Tensor& tensor) {
  const Tensor flat = tensor.detach().contiguous();
  const float* const data = flat.data_ptr<float>();
  return {data, data + flat.numel()};
}

// inputs -> hidden -> hidden -> 1 with ReLU, and its Adam (Kingma and Ba, 2015). Our own Adam, so that its moments have names
// that do not change with the version of LibTorch.
class Net {
 public:
  Net(std::string name, int64_t inputs, int64_t hidden, double last_gain, bool has_last_bias, Rng& rng) : name_(std::move(name)) {
    Add("w1", Orthogonal(hidden, inputs, std::sqrt(2.0), rng));
    Add("b1", torch::zeros({hidden}));
    Add("w2", Orthogonal(hidden, hidden, std::sqrt(2.0), rng));
    Add("b2", torch::zeros({hidden}));
    Add("w3", last_gain == 0 ? torch::zeros({1, hidden}) : Orthogonal(1, hidden, last_gain, rng));
    if (has_last_bias) Add("b3", torch::zeros({1}));
  }

  // [rows, inputs] -> [rows]
  Tensor Forward(const Tensor& x) const {
    Tensor h = torch::relu(torch::addmm(parameters_[1].value, x, parameters_[0].value.t()));
    h = torch::relu(torch::addmm(parameters_[3].value, h, parameters_[2].value.t()));
    Tensor y = torch::mm(h, parameters_[4].value.t()).squeeze(1);
    return parameters_.size() > 5 ? y + parameters_[5].value : y;
  }

  // Clears gradients, back-propagates, clips the global norm, steps. Returns the norm before clipping.
  double Step(const Tensor& loss, double lr, double max_norm) {
    for (Parameter& p : parameters_) p.value.mutable_grad() = Tensor();
    loss.backward();
    torch::NoGradGuard no_grad;
    double squares = 0;
    for (const Parameter& p : parameters_) {
      if (p.value.grad().defined()) squares += p.value.grad().square().sum().item<double>();
    }
    const double norm = std::sqrt(squares);
    const double scale = std::min(1.0, max_norm / (norm + 1e-6));
    ++step_;
    const double correction1 = 1 - std::pow(kBeta1, static_cast<double>(step_));
    const double correction2 = 1 - std::pow(kBeta2, static_cast<double>(step_));
    for (Parameter& p : parameters_) {
      if (!p.value.grad().defined()) continue;
      const Tensor g = p.value.grad() * scale;
      p.mean.mul_(kBeta1).add_(g, 1 - kBeta1);
      p.square.mul_(kBeta2).addcmul_(g, g, 1 - kBeta2);
      const Tensor denominator = (p.square.sqrt() / std::sqrt(correction2)).add_(kAdamEpsilon);
      p.value.addcdiv_(p.mean, denominator, -lr / correction1);
    }
    return norm;
  }

  const Tensor& parameter(size_t i) const { return parameters_[i].value; }

  void Save(TensorMap* map) const {
    const auto put = [&](const std::string& name, const Tensor& t) { (*map)[name] = {t.sizes().vec(), ToVector(t)}; };
    for (const Parameter& p : parameters_) {
      put(fmt::format("{}.{}", name_, p.name), p.value);
      put(fmt::format("{}.{}.exp_avg", name_, p.name), p.mean);
      put(fmt::format("{}.{}.exp_avg_sq", name_, p.name), p.square);
    }
    (*map)[fmt::format("{}.step", name_)] = {{1}, {static_cast<float>(step_)}};   // exact below 2^24
  }

  // Requires that names and shapes are those of Save.
  void Load(const TensorMap& map) {
    torch::NoGradGuard no_grad;
    const auto get = [&](const std::string& name, Tensor& t) {
      const std::vector<float>& values = map.at(name).values;
      std::copy(values.begin(), values.end(), t.data_ptr<float>());
    };
    for (Parameter& p : parameters_) {
      get(fmt::format("{}.{}", name_, p.name), p.value);
      get(fmt::format("{}.{}.exp_avg", name_, p.name), p.mean);
      get(fmt::format("{}.{}.exp_avg_sq", name_, p.name), p.square);
    }
    step_ = static_cast<int64_t>(map.at(fmt::format("{}.step", name_)).values[0]);
  }

 private:
  struct Parameter {
    std::string name;
    Tensor value, mean, square;
  };

  void Add(const std::string& name, Tensor value) {
    const Tensor zero = torch::zeros_like(value);
    parameters_.push_back({name, value.set_requires_grad(true), zero, zero.clone()});
  }

  const std::string name_;
  std::vector<Parameter> parameters_;
  int64_t step_ = 0;
};

template <size_t N>
Tensor RowsOf(std::span<const std::array<float, N>> rows) {
  Tensor t = torch::empty({std::ssize(rows), static_cast<int64_t>(N)});
  std::copy_n(reinterpret_cast<const float*>(rows.data()), rows.size() * N, t.data_ptr<float>());
  return t;
}

// The decisions of a minibatch, cut out of a batch: each distinct state once.
struct Cut {
  Tensor states;                       // [distinct states, inputs of the actor]
  Tensor after, before, segment;       // [actions] int64
  Tensor base, teacher;                // [actions]
  Tensor chosen;                       // [decisions] int64, index into the actions of the cut
  int64_t decisions = 0;
  std::vector<uint32_t> offsets{0};
};

class TorchLearner : public Learner {
 public:
  TorchLearner(const LearnerOptions& options, Rng rng)
      : options_(options),
        actor_("actor", ActorInputs(options), options.hidden, 0, false, rng),
        critic_("critic", kContextCount, options.critic_hidden, 1, true, rng) {}

  NetworkWeights Export(NetworkWeights w) const override {
    w.hidden = options_.hidden;
    w.mlp_sees_mix = options_.sees_mix;
    w.w1 = ToVector(actor_.parameter(0));
    w.b1 = ToVector(actor_.parameter(1));
    w.w2 = ToVector(actor_.parameter(2));
    w.b2 = ToVector(actor_.parameter(3));
    w.w3 = ToVector(actor_.parameter(4));
    return w;
  }

  absl::StatusOr<std::vector<float>> Mlp(std::span<const ActorInput> states) override {
    return Guard<std::vector<float>>([&] {
      torch::NoGradGuard no_grad;
      return ToVector(actor_.Forward(Seen(RowsOf(states))));
    });
  }

  absl::StatusOr<std::vector<float>> Values(std::span<const Context> contexts) override {
    return Guard<std::vector<float>>([&] {
      torch::NoGradGuard no_grad;
      return ToVector(critic_.Forward(RowsOf(contexts)));
    });
  }

  absl::StatusOr<std::vector<float>> LogProbs(const PolicyBatch& batch) override {
    return Guard<std::vector<float>>([&] {
      torch::NoGradGuard no_grad;
      std::vector<uint32_t> all(batch.decisions());
      for (size_t i = 0; i < all.size(); ++i) all[i] = static_cast<uint32_t>(i);
      const Cut cut = CutOut(batch, all);
      return ToVector(SegmentLogSoftmax(Logits(cut), cut));
    });
  }

  absl::StatusOr<ActorStats> StepActor(const PolicyBatch& batch, std::span<const uint32_t> decisions,
                                       const ActorOptions& o) override {
    return Guard<ActorStats>([&] {
      const Cut cut = CutOut(batch, decisions);
      const auto n = static_cast<double>(decisions.size());
      double mean = 0, squares = 0;
      for (uint32_t d : decisions) mean += static_cast<double>(batch.advantage[d]) / n;
      for (uint32_t d : decisions) squares += std::pow(static_cast<double>(batch.advantage[d]) - mean, 2) / n;
      // The biased deviation is 0 and not NaN for one sample, which keeps its advantage as it is.
      const bool is_normalised = decisions.size() > 1;
      Tensor advantage = torch::empty({cut.decisions}), old = torch::empty({cut.decisions});
      for (size_t i = 0; i < decisions.size(); ++i) {
        const auto a = static_cast<double>(batch.advantage[decisions[i]]);
        advantage.data_ptr<float>()[i] = static_cast<float>(is_normalised ? (a - mean) / (std::sqrt(squares) + 1e-8) : a);
        old.data_ptr<float>()[i] = batch.old_log_prob[decisions[i]];
      }

      const Tensor log_prob = SegmentLogSoftmax(Logits(cut), cut);
      const Tensor log_ratio = log_prob.index_select(0, cut.chosen) - old;
      const Tensor ratio = log_ratio.exp();
      const Tensor surrogate = torch::min(ratio * advantage, ratio.clamp(1 - o.clip, 1 + o.clip) * advantage).mean();
      const Tensor entropy = -(log_prob.exp() * log_prob).sum() / n;
      Tensor teacher;
      {
        torch::NoGradGuard no_grad;
        teacher = SegmentLogSoftmax(cut.teacher, cut);
      }
      const Tensor kl = (teacher.exp() * (teacher - log_prob)).sum() / n;
      const Tensor loss = -o.surrogate * surrogate - o.entropy * entropy + o.kl_teacher * kl;
      ActorStats stats;
      stats.grad_norm = actor_.Step(loss, o.lr, o.max_grad_norm);
      torch::NoGradGuard no_grad;
      stats.loss = loss.item<double>();
      stats.entropy = entropy.item<double>();
      stats.kl_teacher = kl.item<double>();
      stats.approx_kl = (ratio - 1 - log_ratio).mean().item<double>();
      stats.clip_fraction = ((ratio - 1).abs() > o.clip).to(torch::kFloat).mean().item<double>();
      return stats;
    });
  }

  absl::StatusOr<double> StepCritic(std::span<const Context> contexts, std::span<const float> targets,
                                    std::span<const uint32_t> rows, const CriticOptions& o) override {
    return Guard<double>([&] {
      std::vector<Context> x;
      Tensor y = torch::empty({std::ssize(rows)});
      for (size_t i = 0; i < rows.size(); ++i) {
        x.push_back(contexts[rows[i]]);
        y.data_ptr<float>()[i] = targets[rows[i]];
      }
      const Tensor loss = (critic_.Forward(RowsOf(std::span<const Context>(x))) - y).square().mean();
      critic_.Step(loss, o.lr, o.max_grad_norm);
      return loss.item<double>();
    });
  }

  TensorMap State() const override {
    TensorMap map;
    actor_.Save(&map);
    critic_.Save(&map);
    return map;
  }

  absl::Status Restore(const TensorMap& state) override {
    const TensorMap wanted = State();
    for (const auto& [name, tensor] : wanted) {
      const auto it = state.find(name);
      if (it == state.end()) return InvalidField(fmt::format("checkpoint tensor {}", name), "missing", "a tensor");
      if (it->second.shape != tensor.shape) {
        return InvalidField(fmt::format("checkpoint tensor {}", name), fmt::format("shape [{}]", fmt::join(it->second.shape, ", ")),
                            fmt::format("shape [{}]", fmt::join(tensor.shape, ", ")));
      }
    }
    for (const auto& [name, tensor] : state) {
      if (!wanted.contains(name)) return InvalidField("checkpoint tensor", name, "the tensors of this network");
    }
    actor_.Load(state);
    critic_.Load(state);
    return absl::OkStatus();
  }

 private:
  static int64_t ActorInputs(const LearnerOptions& options) { return options.sees_mix ? kActorInputCount : kFeatureCount; }
  // The columns that the actor looks at.
  Tensor Seen(const Tensor& rows) const { return rows.narrow(1, 0, ActorInputs(options_)); }

  Cut CutOut(const PolicyBatch& batch, std::span<const uint32_t> decisions) {
    constexpr uint32_t kNone = ~0u;
    row_of_.assign(batch.states.size(), kNone);
    std::vector<ActorInput> states;
    std::vector<int64_t> after, before, segment, chosen;
    std::vector<float> base, teacher;
    const auto row = [&](uint32_t state) {
      if (row_of_[state] == kNone) {
        row_of_[state] = static_cast<uint32_t>(states.size());
        states.push_back(batch.states[state]);
      }
      return static_cast<int64_t>(row_of_[state]);
    };
    Cut cut;
    for (size_t i = 0; i < decisions.size(); ++i) {
      const uint32_t d = decisions[i];
      chosen.push_back(static_cast<int64_t>(base.size() + batch.chosen[d]));
      for (uint32_t a = batch.offsets[d]; a < batch.offsets[d + 1]; ++a) {
        after.push_back(row(batch.after[a]));
        before.push_back(row(batch.before[a]));
        segment.push_back(static_cast<int64_t>(i));
        base.push_back(batch.base[a]);
        teacher.push_back(batch.teacher[a]);
      }
      cut.offsets.push_back(static_cast<uint32_t>(base.size()));
    }
    const auto integers = [](const std::vector<int64_t>& v) { return torch::tensor(v, torch::kLong); };
    cut.states = Seen(RowsOf(std::span<const ActorInput>(states)));
    cut.after = integers(after);
    cut.before = integers(before);
    cut.segment = integers(segment);
    cut.chosen = integers(chosen);
    cut.base = torch::tensor(base);
    cut.teacher = torch::tensor(teacher);
    cut.decisions = std::ssize(decisions);
    return cut;
  }

  Tensor Logits(const Cut& cut) const {
    const Tensor phi = actor_.Forward(cut.states);
    return cut.base - (phi.index_select(0, cut.after) - phi.index_select(0, cut.before)) / options_.tau;
  }

  // Log-softmax within each decision's actions. The largest logit is taken off first, as a constant.
  static Tensor SegmentLogSoftmax(const Tensor& logits, const Cut& cut) {
    Tensor largest = torch::empty({cut.decisions});
    {
      torch::NoGradGuard no_grad;
      const Tensor values = logits.detach().contiguous();
      const float* const data = values.data_ptr<float>();
      for (size_t d = 0; d + 1 < cut.offsets.size(); ++d) {
        largest.data_ptr<float>()[d] = *std::max_element(data + cut.offsets[d], data + cut.offsets[d + 1]);
      }
    }
    const Tensor shifted = logits - largest.index_select(0, cut.segment);
    const Tensor sums = torch::zeros({cut.decisions}).index_add(0, cut.segment, shifted.exp());
    return shifted - sums.log().index_select(0, cut.segment);
  }

  const LearnerOptions options_;
  Net actor_, critic_;
  std::vector<uint32_t> row_of_;
};

}  // namespace

ActorInput MakeActorInput(const Features& x, const MixShape& quantised) {
  ActorInput input;
  std::copy(x.begin(), x.end(), input.begin());
  std::copy(quantised.begin(), quantised.end(), input.begin() + kFeatureCount);
  return input;
}

absl::StatusOr<std::unique_ptr<Learner>> Learner::Create(const LearnerOptions& options, uint64_t seed) {
  if (options.hidden < 1 || options.hidden > 256) return InvalidField("hidden", fmt::format("{}", options.hidden), "1 to 256");
  if (options.critic_hidden < 1 || options.critic_hidden > 1024) {
    return InvalidField("critic_hidden", fmt::format("{}", options.critic_hidden), "1 to 1024");
  }
  if (!(options.tau > 0) || !std::isfinite(options.tau)) return InvalidField("tau", fmt::format("{}", options.tau), "a number above 0");
  return Guard<std::unique_ptr<Learner>>([&]() -> std::unique_ptr<Learner> {
    constexpr uint64_t kWeightStream = 301;
    return std::make_unique<TorchLearner>(options, Rng::Stream(seed, kWeightStream));
  });
}

}  // namespace berth

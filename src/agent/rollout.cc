#include "agent/rollout.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <optional>

#include "agent/loss_rate.h"
#include "base/rng.h"
#include "base/status.h"

namespace berth {
namespace {

// Purposes of a seed.
constexpr uint64_t kArrivalStream = 311, kWarmupStream = 312, kActionStream = 313;

double Share(int64_t used, int64_t total) { return total > 0 ? static_cast<double>(used) / static_cast<double>(total) : 0; }

// Worth of free devices alone: the rest of the potential is in the table.
class NoPotential : public Potential {
 public:
  double Value(const Shape&, const NodeState&) override { return 0; }
};

// What prices must be told of between decisions.
class MissListener : public Decider {
 public:
  explicit MissListener(Potential* potential) : potential_(potential) {}
  void Miss(const ClusterState& view, const Pod& pod) override { potential_->Observe(view, pod, view.Resolve(pod.request), true); }
  Decision Decide(const ClusterState&, const Pod&, uint64_t, const DecideOptions&) override { return {}; }
  void Weigh(const ClusterState&, const Pod&, uint64_t, std::span<const NodeId>, Weighed*) override {}
  Explanation Explain(const ClusterState&, const Pod&, uint64_t, size_t) override { return {}; }

 private:
  Potential* const potential_;
};

// What plays, and what is written down beside it. `teacher` null: none.
struct Cast {
  const NetworkWeights* weights = nullptr;
  const NetworkWeights* teacher = nullptr;
  const PodMix* mix = nullptr;
  const std::optional<PricedOptions>* prices = nullptr;
};

// Runs one rollout of the stochastic policy from where `env` stands.
class Walker {
 public:
  Walker(FeatureTable* table, const Cast& cast, const RolloutOptions& options) : table_(table), cast_(cast), options_(options) {}

  absl::StatusOr<Rollout> Walk(Env& env, Rng rng) {
    table_->Bind(env.view());
    weights_ = ForMix(*cast_.weights, table_->mix_shape());
    if (cast_.teacher != nullptr) teacher_ = ForMix(*cast_.teacher, table_->mix_shape());
    acting_ = options_.teacher_acts && teacher_ ? &*teacher_ : &weights_;
    acting_id_ = table_->NewWeightsId();
    rollout_.mix_shape = Quantised(table_->mix_shape());
    if (*cast_.prices) {
      prices_ = MakePricedPotential([](const PodMix&) { return std::make_unique<NoPotential>(); }, *cast_.mix, **cast_.prices);
      const ClusterState::Options& grain = env.view().options();
      prices_->Reset(env.view(), {grain.mem_grain_bytes, grain.key_fields, env.view().has_gpus()});
      listener_.emplace(prices_.get());
    }
    env.set_miss_listener(listener_ ? &*listener_ : nullptr);
    std::optional<LossRate> loss_rate;
    if (HasLossRate(env.workload(), env.options().form)) loss_rate.emplace(env);
    StepResult result;
    for (int i = 0; i < options_.decisions && !result.is_done(); ++i) {
      const int action = Choose(env, rng);
      BERTH_ASSIGN_OR_RETURN(result, env.Step(action));
      Epoch& epoch = rollout_.epochs.back();
      epoch.reward = result.reward;
      if (!loss_rate) continue;
      epoch.reward = env.options().form == Form::kStatic ? -loss_rate->UntilNextEpoch(env.view())
                                                         : -loss_rate->Of(env.view()) * static_cast<double>(env.now_us() - epoch.now_us) / 3.6e9;
    }
    env.set_miss_listener(nullptr);
    rollout_.is_terminated = result.terminated;
    rollout_.end_us = env.now_us();
    if (env.is_running()) rollout_.last_context = ContextOf(env);
    return std::move(rollout_);
  }

 private:
  struct Option {
    int action = 0;
    uint32_t after = 0, before = 0;   // in the table
    double worth = 0;                 // of what is free after, more than before
    double logit = 0;
  };

  uint32_t TableIndex(const ClusterState& view, ClassId id, uint64_t uid) {
    if (known_.size() <= id.value) known_.resize(2 * (id.value + size_t{1}));
    Known& known = known_[id.value];
    if (known.uid != uid) {
      const NodeState& state = view.state_class(id).state;
      known = {uid, table_->Find(view.shape_of(state), state)};
    }
    return known.index;
  }

  uint32_t Local(uint32_t index) {
    const auto [it, is_new] = local_.try_emplace(index, static_cast<uint32_t>(rollout_.states.size()));
    if (is_new) rollout_.states.push_back(table_->features(index));
    return it->second;
  }

  Context ContextOf(const Env& env) {
    const ClusterState& view = env.view();
    std::array<double, kFeatureCount> sums{};
    double nodes = 0;
    for (const auto& [id, uid] : view.occupied()) {
      const Features& x = table_->features(TableIndex(view, id, uid));
      const auto n = static_cast<double>(view.class_sizes()[id.value]);
      nodes += n;
      for (size_t i = 0; i < kFeatureCount; ++i) sums[i] += n * static_cast<double>(x[i]);
    }
    Context c{};
    for (size_t i = 0; i < kFeatureCount; ++i) c[i] = static_cast<float>(sums[i] / std::max(1.0, nodes));
    const PodRequest& r = env.pod().request;
    const std::array<double, kContextCount - kFeatureCount - kMixShapeCount> rest = {
        Share(view.used_gpu_milli(), view.total_gpu_milli()), Share(view.used_cpu_milli(), view.total_cpu_milli()),
        Share(view.used_mem_bytes(), view.total_mem_bytes()), env.options().load, r.gpu_count / 8.0,
        static_cast<double>(r.total_gpu_milli()) / 8000, static_cast<double>(r.cpu_milli) / 96000,
        static_cast<double>(r.mem_bytes) / static_cast<double>(int64_t{512} << 30)};
    for (size_t i = 0; i < rest.size(); ++i) c[kFeatureCount + i] = static_cast<float>(rest[i]);
    std::copy(rollout_.mix_shape.begin(), rollout_.mix_shape.end(), c.begin() + kFeatureCount + rest.size());
    return c;
  }

  // Samples an action and records the epoch.
  int Choose(Env& env, Rng& rng) {
    const ClusterState& view = env.view();
    const ResolvedRequest request = view.Resolve(env.pod().request);
    // A pod that the queue form asks about again is no new arrival.
    if (prices_ != nullptr) prices_->Observe(view, env.pod(), request, !env.is_retry());
    const auto& actions = env.actions();
    const auto occupied = view.occupied();
    options_list_.clear();
    size_t slot = 0;   // actions come in the order of occupied()
    for (size_t a = 0; a < actions.size(); ++a) {
      while (occupied[slot].id != actions[a].class_id) ++slot;
      if (!actions[a].is_legal) continue;
      const ClassId id = actions[a].class_id;
      const NodeState& state = view.state_class(id).state;
      const Shape& shape = view.shape_of(state);
      Option o;
      o.action = static_cast<int>(a);
      o.before = TableIndex(view, id, occupied[slot].uid);
      const NodeState after = StateAfter(state, request, actions[a].devices, view.options().mem_grain_bytes, view.options().key_fields);
      o.after = table_->Find(shape, after);
      if (prices_ != nullptr) o.worth = prices_->Worth(shape, after) - prices_->Worth(shape, state);
      o.logit = (table_->Value(o.before, *acting_, acting_id_) - table_->Value(o.after, *acting_, acting_id_) + o.worth) / options_.tau;
      options_list_.push_back(o);
    }
    if (options_.candidates > 0 && options_list_.size() > static_cast<size_t>(options_.candidates)) {
      std::stable_sort(options_list_.begin(), options_list_.end(), [](const Option& x, const Option& y) { return x.logit > y.logit; });
      options_list_.resize(static_cast<size_t>(options_.candidates));
    }
    const double largest = std::max_element(options_list_.begin(), options_list_.end(), [](const Option& x, const Option& y) { return x.logit < y.logit; })->logit;
    double sum = 0;
    for (const Option& o : options_list_) sum += std::exp(o.logit - largest);
    double at = rng.Uniform() * sum;
    size_t chosen = 0;
    while (chosen + 1 < options_list_.size() && at >= std::exp(options_list_[chosen].logit - largest)) {
      at -= std::exp(options_list_[chosen++].logit - largest);
    }
    Epoch epoch;
    epoch.context = ContextOf(env);
    epoch.now_us = env.now_us();
    epoch.first_action = static_cast<uint32_t>(rollout_.after.size());
    epoch.action_count = static_cast<uint32_t>(options_list_.size());
    epoch.chosen = static_cast<uint32_t>(chosen);
    epoch.log_prob = static_cast<float>(options_list_[chosen].logit - largest - std::log(sum));
    if (options_list_.size() > 1) {   // else there is nothing to learn from it
      for (const Option& o : options_list_) {
        rollout_.after.push_back(Local(o.after));
        rollout_.before.push_back(Local(o.before));
        rollout_.base.push_back(BaseLogit(weights_, o));
        rollout_.teacher.push_back(teacher_ ? TeacherLogit(o) : rollout_.base.back());
      }
    }
    rollout_.epochs.push_back(epoch);
    return options_list_[chosen].action;
  }

  float BaseLogit(const NetworkWeights& w, const Option& o) const {
    return static_cast<float>((Linear(w, o.before) - Linear(w, o.after) + o.worth) / options_.tau);
  }
  float TeacherLogit(const Option& o) const {
    const auto mlp = [&](uint32_t index) { return static_cast<double>(MlpForward(*teacher_, table_->features(index))); };
    return BaseLogit(*teacher_, o) + static_cast<float>((mlp(o.before) - mlp(o.after)) / options_.tau);
  }

  double Linear(const NetworkWeights& w, uint32_t index) const {
    const Features& x = table_->features(index);
    double sum = 0;
    for (size_t i = 0; i < kFeatureCount; ++i) sum += static_cast<double>(w.linear[i]) * static_cast<double>(x[i]);
    return sum + table_->ClassPart(index, w);
  }

  struct Known {
    uint64_t uid = 0;
    uint32_t index = 0;
  };

  FeatureTable* const table_;
  const Cast cast_;
  const RolloutOptions& options_;
  NetworkWeights weights_;                            // for the mix at hand
  std::optional<NetworkWeights> teacher_;
  const NetworkWeights* acting_ = nullptr;
  uint64_t acting_id_ = 0;
  std::unique_ptr<Potential> prices_;
  std::optional<MissListener> listener_;
  Rollout rollout_;
  std::vector<Known> known_;                          // by class slot
  absl::flat_hash_map<uint32_t, uint32_t> local_;     // table index -> row of rollout_.states
  std::vector<Option> options_list_;
};

// Static form: what has arrived over capacity. What is in use would not do: where much is stranded it never reaches 90 %.
double ArrivedShare(const Env& env) {
  const ClusterState& view = env.view();
  const EnvStats& stats = env.stats();
  if (view.has_gpus()) return stats.offered_gpu_hours * 1000 / static_cast<double>(view.total_gpu_milli());
  return stats.offered_cpu_hours * 1000 / static_cast<double>(std::max<int64_t>(1, view.total_cpu_milli()));
}

// A cluster in the middle of its work, reached by the greedy policy.
absl::StatusOr<std::unique_ptr<Env>> WarmEnv(Arena& arena, int mix, const NetworkWeights& weights, FeatureTable* table, double load, Rng rng) {
  EnvOptions options = arena.EnvOptionsFor(load);
  options.window_us = kForever;   // the rollout itself is what is cut
  BERTH_ASSIGN_OR_RETURN(auto env, Env::Create(arena.workload(mix), options));
  const auto policy = MakeTablePolicy(weights, table, arena.tables(mix).mix(), arena.options().prices);
  const auto decider = policy->NewDecider();
  env->set_miss_listener(decider.get());
  const uint64_t seed = rng.Next();
  const double where = rng.Uniform();
  const bool is_static = options.form == Form::kStatic;
  const auto until_us = options.warmup_us + static_cast<int64_t>(where * 2 * 3.6e9);
  const double until_share = 0.3 + 0.6 * where;
  StepResult result = env->Reset(seed);
  while (!result.is_done()) {
    if (is_static ? ArrivedShare(*env) >= until_share : env->now_us() >= until_us) break;
    const Decision decision = decider->Decide(env->view(), env->pod(), env->decision_seed(), {});
    BERTH_ASSIGN_OR_RETURN(result, env->StepDecision(decision));
  }
  env->set_miss_listener(nullptr);
  if (result.is_done()) return absl::FailedPreconditionError("the workload ended before the cluster was warm");
  return env;
}

}  // namespace

absl::StatusOr<Rollout> PlayRollout(Arena& arena, int mix, Env& env, const NetworkWeights& weights, const RolloutOptions& options, Rng rng,
                                    const NetworkWeights* teacher) {
  FeatureTableLease table(arena.tables(mix));
  Walker walker(table.get(), {&weights, teacher, &arena.tables(mix).mix(), &arena.options().prices}, options);
  BERTH_ASSIGN_OR_RETURN(Rollout rollout, walker.Walk(env, rng));
  rollout.mix = mix;
  return rollout;
}

absl::StatusOr<std::vector<Rollout>> Collect(Arena& arena, const NetworkWeights& weights, const RolloutOptions& options,
                                             uint64_t seed, const NetworkWeights* teacher) {
  const auto groups = static_cast<size_t>(options.groups), size = static_cast<size_t>(options.rollouts);
  const auto turn = [&](size_t g) { return static_cast<size_t>(options.first_group) + g; };
  const auto mixes = static_cast<size_t>(arena.mixes());
  const auto mix_of = [&](size_t g) { return static_cast<int>(turn(g) % mixes); };
  const NetworkWeights& acting = options.teacher_acts && teacher != nullptr ? *teacher : weights;
  std::vector<std::unique_ptr<Env>> warm(groups);
  const int jobs = arena.options().jobs;
  BERTH_RETURN_IF_ERROR(RunParallel(groups, jobs, [&](size_t g) -> absl::Status {
    FeatureTableLease table(arena.tables(mix_of(g)));
    const double load = options.loads[turn(g) / mixes % options.loads.size()];
    BERTH_ASSIGN_OR_RETURN(warm[g], WarmEnv(arena, mix_of(g), acting, table.get(), load, Rng::Stream(SplitMix64(seed + g), kWarmupStream)));
    return absl::OkStatus();
  }));
  std::vector<Rollout> rollouts(groups * size);
  BERTH_RETURN_IF_ERROR(RunParallel(rollouts.size(), jobs, [&](size_t i) -> absl::Status {
    const auto env = warm[i / size]->Clone();
    BERTH_ASSIGN_OR_RETURN(rollouts[i], PlayRollout(arena, mix_of(i / size), *env, weights, options, Rng::Stream(SplitMix64(seed) + i, kActionStream), teacher));
    return absl::OkStatus();
  }));
  return rollouts;
}

Advantages Estimate(const std::vector<Rollout>& rollouts, const std::vector<std::vector<float>>& values, double reward_scale,
                    int group_size, const AdvantageOptions& options) {
  Advantages out;
  out.advantage.resize(rollouts.size());
  out.target.resize(rollouts.size());
  std::vector<std::vector<double>> raw(rollouts.size());
  for (size_t r = 0; r < rollouts.size(); ++r) {
    const auto& epochs = rollouts[r].epochs;
    raw[r].resize(epochs.size());
    out.target[r].resize(epochs.size());
    double advantage = 0;
    double next_value = rollouts[r].is_terminated ? 0 : static_cast<double>(values[r][epochs.size()]);
    int64_t next_us = rollouts[r].end_us;
    for (size_t t = epochs.size(); t-- > 0;) {
      const double dt = static_cast<double>(next_us - epochs[t].now_us) / 1e6;
      const double gamma = std::exp(-dt / options.horizon_s), lambda = std::exp(-dt / options.credit_s);
      const auto value = static_cast<double>(values[r][t]);
      const double delta = epochs[t].reward * reward_scale + gamma * next_value - value;
      advantage = delta + gamma * lambda * advantage;
      raw[r][t] = advantage;
      out.target[r][t] = advantage + value;
      next_value = value;
      next_us = epochs[t].now_us;
    }
  }
  // What all rollouts of a group gain or lose at a time is the arrivals' doing (input-dependent baseline, Mao et al., 2019).
  const auto size = static_cast<size_t>(group_size);
  for (size_t r = 0; r < rollouts.size(); ++r) {
    const size_t first = r / size * size;
    out.advantage[r] = raw[r];
    if (size < 2) continue;
    std::vector<size_t> at(size, 0);
    for (size_t t = 0; t < raw[r].size(); ++t) {
      double sum = 0;
      int others = 0;
      for (size_t k = 0; k < size; ++k) {
        if (first + k == r || rollouts[first + k].epochs.empty()) continue;
        const auto& other = rollouts[first + k].epochs;
        while (at[k] + 1 < other.size() && other[at[k]].now_us < rollouts[r].epochs[t].now_us) ++at[k];
        sum += raw[first + k][at[k]];
        ++others;
      }
      if (others > 0) out.advantage[r][t] -= sum / others;
    }
  }
  return out;
}

PolicyBatch MakeBatch(const std::vector<Rollout>& rollouts, const std::vector<std::vector<double>>& advantage, double advantage_scale) {
  PolicyBatch batch;
  for (size_t r = 0; r < rollouts.size(); ++r) {
    const Rollout& rollout = rollouts[r];
    const auto shift = static_cast<uint32_t>(batch.states.size());
    for (const Features& x : rollout.states) batch.states.push_back(MakeActorInput(x, rollout.mix_shape));
    for (size_t t = 0; t < rollout.epochs.size(); ++t) {
      const Epoch& epoch = rollout.epochs[t];
      if (epoch.action_count < 2) continue;
      for (uint32_t a = epoch.first_action; a < epoch.first_action + epoch.action_count; ++a) {
        batch.after.push_back(rollout.after[a] + shift);
        batch.before.push_back(rollout.before[a] + shift);
        batch.base.push_back(rollout.base[a]);
        batch.teacher.push_back(rollout.teacher[a]);
      }
      batch.offsets.push_back(static_cast<uint32_t>(batch.after.size()));
      batch.chosen.push_back(epoch.chosen);
      batch.old_log_prob.push_back(epoch.log_prob);
      batch.advantage.push_back(static_cast<float>(advantage[r][t] / advantage_scale));
    }
  }
  return batch;
}

double CalibrateTau(const PolicyBatch& batch, double tau, double mean_best_probability) {
  const auto mean_best = [&](double scale) {   // logits times scale
    double total = 0;
    for (size_t d = 0; d < batch.decisions(); ++d) {
      const auto first = batch.base.begin() + batch.offsets[d], last = batch.base.begin() + batch.offsets[d + 1];
      const auto largest = static_cast<double>(*std::max_element(first, last));
      double sum = 0, best = 0;
      for (auto it = first; it != last; ++it) {
        const double p = std::exp(scale * (static_cast<double>(*it) - largest));
        sum += p;
        if (static_cast<double>(*it) >= largest - 1e-6) best += p;   // all that tie
      }
      total += best / sum;
    }
    return total / static_cast<double>(std::max<size_t>(1, batch.decisions()));
  };
  double low = std::log(1e-6), high = std::log(1e6);   // of the scale
  for (int i = 0; i < 60; ++i) {
    const double middle = (low + high) / 2;
    (mean_best(std::exp(middle)) < mean_best_probability ? low : high) = middle;
  }
  return tau / std::exp((low + high) / 2);
}

}  // namespace berth

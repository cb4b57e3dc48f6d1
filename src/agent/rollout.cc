#include "agent/rollout.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <mutex>
#include <optional>

#include "agent/candidates.h"
#include "agent/loss_rate.h"
#include "agent/tasks.h"
#include "base/clock.h"
#include "base/rng.h"
#include "base/status.h"
#include "fmt/format.h"

namespace berth {
namespace {

// Purposes of a seed.
constexpr uint64_t kArrivalStream = 311, kWarmupStream = 312, kActionStream = 313;

double Ratio(int64_t used, int64_t total) { return total > 0 ? static_cast<double>(used) / static_cast<double>(total) : 0; }

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

// The mean of the features over the nodes, at the cost of the classes that changed. Follows one cluster.
class MeanFeatures {
 public:
  explicit MeanFeatures(FeatureTable* table) : table_(table) {}

  const std::array<double, kFeatureCount>& Of(const ClusterState& view) {
    const auto sizes = view.class_sizes();
    if (slots_.size() < sizes.size()) {
      sizes_.resize(2 * sizes.size(), 0);
      slots_.resize(2 * sizes.size());
    }
    sync_.CatchUp(view, [&](uint32_t slot) { Count(view, slot); });
    // Nodes move between classes that stay, too. A block at a time: nearly all are as they were.
    constexpr size_t kBlock = 64;
    for (size_t first = 0; first < sizes.size(); first += kBlock) {
      const size_t count = std::min(kBlock, sizes.size() - first);
      if (std::memcmp(&sizes_[first], &sizes[first], count * sizeof sizes[0]) == 0) continue;
      for (size_t slot = first; slot < first + count; ++slot) {
        if (sizes_[slot] != sizes[slot]) Count(view, static_cast<uint32_t>(slot));
      }
    }
    const double nodes = std::max<double>(1, static_cast<double>(view.node_count()));
    for (size_t i = 0; i < kFeatureCount; ++i) mean_[i] = sums_[i] / nodes;
    return mean_;
  }

 private:
  struct Slot {
    uint64_t uid = 0;
    uint32_t index = 0;   // in the table
  };

  void Count(const ClusterState& view, uint32_t slot) {
    const uint64_t uid = view.active_uids()[slot];
    const uint32_t size = uid == 0 ? 0 : view.class_sizes()[slot];
    Slot& known = slots_[slot];
    Add(known.index, -static_cast<double>(sizes_[slot]));
    if (uid != 0 && known.uid != uid) {
      const NodeState& state = view.state_class(ClassId(slot)).state;
      known = {uid, table_->Find(view.shape_of(state), state)};
    }
    Add(known.index, static_cast<double>(size));
    sizes_[slot] = size;
  }

  void Add(uint32_t index, double nodes) {
    if (nodes == 0) return;
    const Features& x = table_->features(index);
    for (size_t i = 0; i < kFeatureCount; ++i) sums_[i] += nodes * static_cast<double>(x[i]);
  }

  FeatureTable* const table_;
  ClassSync sync_;
  std::vector<uint32_t> sizes_;   // by class slot
  std::vector<Slot> slots_;
  std::array<double, kFeatureCount> sums_{}, mean_{};
};

// Runs one rollout of the stochastic policy from where `env` stands.
class Walker {
 public:
  Walker(FeatureTable* table, CandidateIndex* index, const Cast& cast, const RolloutOptions& options)
      : table_(table), index_(index), cast_(cast), options_(options), mean_(table) {}

  absl::StatusOr<Rollout> Walk(Env& env, Rng rng) {
    table_->Bind(env.view());
    weights_ = ForMix(*cast_.weights, table_->mix_shape());
    weights_id_ = table_->WeightsId(weights_);
    if (cast_.teacher != nullptr) {
      teacher_ = ForMix(*cast_.teacher, table_->mix_shape());
      teacher_id_ = table_->WeightsId(*teacher_);
    }
    rollout_.mix_shape = Quantised(table_->mix_shape());
    if (*cast_.prices) {
      prices_ = MakePricedPotential([](const PodMix&) { return std::make_unique<NoPotential>(); }, *cast_.mix, **cast_.prices);
      const ClusterState::Options& grain = env.view().options();
      prices_->Reset(env.view(), {grain.mem_grain_bytes, grain.key_fields, env.view().has_gpus()});
      listener_.emplace(prices_.get());
    }
    index_->Begin(options_.teacher_acts && teacher_ ? *teacher_ : weights_, prices_.get());
    env.set_miss_listener(listener_ ? &*listener_ : nullptr);
    std::optional<LossRate> loss_rate;
    if (HasLossRate(env.workload(), env.options().form)) loss_rate.emplace(env);
    StepResult result;
    rollout_.epochs.reserve(static_cast<size_t>(options_.decisions));
    for (int i = 0; i < options_.decisions && !result.is_done(); ++i) {
      const EnvAction action = Choose(env, rng);
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
  uint32_t Local(uint32_t index) {
    constexpr uint32_t kNone = ~0u;
    if (local_.size() <= index) local_.resize(2 * (index + size_t{1}), kNone);
    if (local_[index] == kNone) {
      local_[index] = static_cast<uint32_t>(rollout_.states.size());
      rollout_.states.push_back(table_->features(index));
    }
    return local_[index];
  }

  Context ContextOf(const Env& env) {
    const ClusterState& view = env.view();
    const auto& mean = mean_.Of(view);
    Context c{};
    for (size_t i = 0; i < kFeatureCount; ++i) c[i] = static_cast<float>(mean[i]);
    const PodRequest& r = env.pod().request;
    const std::array<double, kContextCount - kFeatureCount - kMixShapeCount> rest = {
        Ratio(view.used_gpu_milli(), view.total_gpu_milli()), Ratio(view.used_cpu_milli(), view.total_cpu_milli()),
        Ratio(view.used_mem_bytes(), view.total_mem_bytes()), env.options().load, r.gpu_count / 8.0,
        static_cast<double>(r.total_gpu_milli()) / 8000, static_cast<double>(r.cpu_milli) / 96000,
        static_cast<double>(r.mem_bytes) / static_cast<double>(int64_t{512} << 30)};
    for (size_t i = 0; i < rest.size(); ++i) c[kFeatureCount + i] = static_cast<float>(rest[i]);
    std::copy(rollout_.mix_shape.begin(), rollout_.mix_shape.end(), c.begin() + kFeatureCount + rest.size());
    return c;
  }

  // Samples an action and records the epoch.
  EnvAction Choose(Env& env, Rng& rng) {
    const ResolvedRequest request = env.view().Resolve(env.pod().request);
    uint32_t price_version = 0;
    // A pod that the queue form asks about again is no new arrival.
    if (prices_ != nullptr) price_version = prices_->Observe(env.view(), env.pod(), request, !env.is_retry()).prices;
    const auto candidates = index_->Best(env, request, price_version, static_cast<size_t>(options_.candidates));
    const double largest = candidates.front().score / options_.tau;   // at every epoch something fits
    weight_.clear();
    double sum = 0;
    for (const ScoredAction& c : candidates) sum += weight_.emplace_back(std::exp(c.score / options_.tau - largest));
    double at = rng.Uniform() * sum;
    size_t chosen = 0;
    while (chosen + 1 < candidates.size() && at >= weight_[chosen]) at -= weight_[chosen++];
    Epoch& epoch = rollout_.epochs.emplace_back();
    epoch.context = ContextOf(env);
    epoch.now_us = env.now_us();
    epoch.first_action = static_cast<uint32_t>(rollout_.after.size());
    epoch.action_count = static_cast<uint32_t>(candidates.size());
    epoch.chosen = static_cast<uint32_t>(chosen);
    epoch.log_prob = static_cast<float>(candidates[chosen].score / options_.tau - largest - std::log(sum));
    if (candidates.size() > 1) {   // else there is nothing to learn from it
      for (const ScoredAction& c : candidates) {
        rollout_.after.push_back(Local(c.after));
        rollout_.before.push_back(Local(c.before));
        rollout_.base.push_back(Logit(table_->Base(c.before, weights_, weights_id_) - table_->Base(c.after, weights_, weights_id_) + c.worth));
        rollout_.teacher.push_back(teacher_ ? Logit(TeacherValue(c.before) - TeacherValue(c.after) + c.worth) : rollout_.base.back());
      }
    }
    return candidates[chosen].action;
  }

  float Logit(double score) const { return static_cast<float>(score / options_.tau); }
  // Without the table's memory, which holds the values of who acts.
  double TeacherValue(uint32_t index) const {
    return table_->Base(index, *teacher_, teacher_id_) + static_cast<double>(MlpForward(*teacher_, table_->features(index)));
  }

  FeatureTable* const table_;
  CandidateIndex* const index_;
  const Cast cast_;
  const RolloutOptions& options_;
  NetworkWeights weights_;                            // for the mix at hand
  std::optional<NetworkWeights> teacher_;
  uint64_t weights_id_ = 0, teacher_id_ = 0;
  std::unique_ptr<Potential> prices_;
  std::optional<MissListener> listener_;
  Rollout rollout_;
  MeanFeatures mean_;
  std::vector<uint32_t> local_;                       // table index -> row of rollout_.states
  std::vector<double> weight_;                        // of each candidate of the epoch
};

// Of each thread's table the candidates that go with it.
class CandidateIndices {
 public:
  CandidateIndex* For(FeatureTable* table) {
    const std::lock_guard lock(mutex_);
    auto& index = by_table_[table];
    if (index == nullptr) index = std::make_unique<CandidateIndex>(table);
    return index.get();
  }

 private:
  std::mutex mutex_;
  absl::flat_hash_map<FeatureTable*, std::unique_ptr<CandidateIndex>> by_table_;
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

absl::StatusOr<Rollout> Play(Arena& arena, int mix, Env& env, const Cast& cast, const RolloutOptions& options, Rng rng, CandidateIndices* indices) {
  FeatureTableLease table(arena.tables(mix));
  Walker walker(table.get(), indices->For(table.get()), cast, options);
  BERTH_ASSIGN_OR_RETURN(Rollout rollout, walker.Walk(env, rng));
  rollout.mix = mix;
  return rollout;
}

}  // namespace

absl::StatusOr<Rollout> PlayRollout(Arena& arena, int mix, Env& env, const NetworkWeights& weights, const RolloutOptions& options, Rng rng,
                                    const NetworkWeights* teacher) {
  CandidateIndices indices;
  return Play(arena, mix, env, {&weights, teacher, &arena.tables(mix).mix(), &arena.options().prices}, options, rng, &indices);
}

size_t RankOf(size_t g, size_t k, size_t groups, size_t ranks) {
  if (groups >= ranks) return g % ranks;
  const size_t sharers = (ranks - g + groups - 1) / groups;   // ranks g, g + groups, ...
  return g + groups * (k % sharers);
}

absl::StatusOr<std::vector<Rollout>> CollectShare(Arena& arena, const NetworkWeights& weights, const RolloutOptions& options, uint64_t seed,
                                                  const NetworkWeights* teacher, Share share, CollectTimes* times) {
  const double start_s = ProcessCpuSeconds();
  const auto groups = static_cast<size_t>(options.groups), size = static_cast<size_t>(options.rollouts);
  const auto turn = [&](size_t g) { return static_cast<size_t>(options.first_group) + g; };
  const auto mixes = static_cast<size_t>(arena.mixes());
  const auto mix_of = [&](size_t g) { return static_cast<int>(turn(g) % mixes); };
  const auto is_ours = [&](size_t i) { return RankOf(i / size, i % size, groups, share.of) == share.index; };
  const NetworkWeights& acting = options.teacher_acts && teacher != nullptr ? *teacher : weights;
  std::vector<std::unique_ptr<Env>> warm(groups);
  const int jobs = arena.options().jobs;
  BERTH_RETURN_IF_ERROR(RunParallel(groups, jobs, [&](size_t g) -> absl::Status {
    bool is_wanted = false;
    for (size_t k = 0; k < size; ++k) is_wanted |= is_ours(g * size + k);
    if (!is_wanted) return absl::OkStatus();
    FeatureTableLease table(arena.tables(mix_of(g)));
    const double load = options.loads[turn(g) / mixes % options.loads.size()];
    BERTH_ASSIGN_OR_RETURN(warm[g], WarmEnv(arena, mix_of(g), acting, table.get(), load, Rng::Stream(SplitMix64(seed + g), kWarmupStream)));
    return absl::OkStatus();
  }));
  const double warm_s = ProcessCpuSeconds();
  std::vector<Rollout> rollouts(groups * size);
  CandidateIndices indices;
  BERTH_RETURN_IF_ERROR(RunParallel(rollouts.size(), jobs, [&](size_t i) -> absl::Status {
    if (!is_ours(i)) return absl::OkStatus();
    const auto env = warm[i / size]->Clone();
    const int mix = mix_of(i / size);
    const Cast cast{&weights, teacher, &arena.tables(mix).mix(), &arena.options().prices};
    BERTH_ASSIGN_OR_RETURN(rollouts[i], Play(arena, mix, *env, cast, options, Rng::Stream(SplitMix64(seed) + i, kActionStream), &indices));
    return absl::OkStatus();
  }));
  if (times != nullptr) times->warmup_s += warm_s - start_s, times->rollouts_s += ProcessCpuSeconds() - warm_s;
  return rollouts;
}

absl::StatusOr<std::vector<Rollout>> Collect(Arena& arena, const NetworkWeights& weights, const RolloutOptions& options, uint64_t seed,
                                             const NetworkWeights* teacher, CollectTimes* times) {
  Crew* const crew = arena.options().crew;
  if (crew == nullptr) return CollectShare(arena, weights, options, seed, teacher, {}, times);
  BytesOut task;
  task(arena.options().number, weights, options, seed, std::vector<NetworkWeights>(teacher == nullptr ? 0 : 1, teacher == nullptr ? weights : *teacher));
  std::vector<Rollout> rollouts;
  BERTH_ASSIGN_OR_RETURN(const auto answers, crew->Ask(TaskKind::kRollouts, task.Take(), [&]() -> absl::StatusOr<std::string> {
    BERTH_ASSIGN_OR_RETURN(rollouts, CollectShare(arena, weights, options, seed, teacher, {0, crew->size()}, times));
    return std::string();
  }));
  const auto groups = static_cast<size_t>(options.groups), size = static_cast<size_t>(options.rollouts);
  std::vector<BytesIn> in(answers.begin(), answers.end());
  for (size_t i = 0; i < rollouts.size(); ++i) {
    const size_t rank = RankOf(i / size, i % size, groups, crew->size());
    if (rank > 0) in[rank](rollouts[i]);
  }
  for (size_t r = 1; r < in.size(); ++r) {
    if (!in[r].is_whole()) return absl::InternalError(fmt::format("rank {}: rollouts that are cut short", r));
  }
  return rollouts;
}

absl::StatusOr<std::string> AnswerRollouts(Arena& arena, std::string_view task, Share share) {
  uint8_t number = 0;
  NetworkWeights weights;
  RolloutOptions options;
  uint64_t seed = 0;
  std::vector<NetworkWeights> teacher;
  BytesIn in(task);
  in(number, weights, options, seed, teacher);
  if (!in.is_whole() || options.loads.empty() || options.groups < 1 || options.rollouts < 1) return absl::InternalError("a task of rollouts that is cut short");
  BERTH_ASSIGN_OR_RETURN(const auto rollouts, CollectShare(arena, weights, options, seed, teacher.empty() ? nullptr : &teacher.front(), share));
  const auto groups = static_cast<size_t>(options.groups), size = static_cast<size_t>(options.rollouts);
  BytesOut out;
  for (size_t i = 0; i < rollouts.size(); ++i) {
    if (RankOf(i / size, i % size, groups, share.of) == share.index) out(rollouts[i]);
  }
  return out.Take();
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
  // Of equal potentials float32 leaves logits that differ in the last digits. Told apart, no temperature above such differences would do.
  constexpr double kTie = 1e-5;
  const auto mean_best = [&](double scale) {   // logits times scale
    double total = 0;
    for (size_t d = 0; d < batch.decisions(); ++d) {
      const auto first = batch.base.begin() + batch.offsets[d], last = batch.base.begin() + batch.offsets[d + 1];
      const auto largest = static_cast<double>(*std::max_element(first, last));
      double sum = 0, best = 0;
      for (auto it = first; it != last; ++it) {
        const double p = std::exp(scale * (static_cast<double>(*it) - largest));
        sum += p;
        if (static_cast<double>(*it) >= largest - kTie * (1 + std::abs(largest))) best += p;   // all that tie
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

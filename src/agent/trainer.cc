#include "agent/trainer.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <optional>

#include "agent/checkpoint.h"
#include "agent/teachers.h"
#include "agent/weight_space.h"
#include "base/log.h"
#include "base/progress.h"
#include "base/status.h"
#include "fmt/format.h"

namespace berth {

NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(EvolutionState, mean, variance, path_sigma, path_c, sigma, generation)

namespace {

using Json = nlohmann::json;

constexpr uint64_t kTrainingSeeds = 20'001, kSeedsApart = 1'000'000, kValidationSeeds = 7'001, kGateSeeds = 7'101;
constexpr uint64_t kEvolutionStream = 321, kRolloutStream = 322, kShuffleStream = 323;
constexpr double kFirstTau = 0.05;        // before calibration

double Mean(const std::vector<double>& v) { return std::accumulate(v.begin(), v.end(), 0.0) / static_cast<double>(std::max<size_t>(1, v.size())); }

// What a checkpoint holds besides the learner's tensors.
struct State {
  int64_t update = 0;
  EvolutionState evolution;
  std::vector<double> best_coordinates;        // of evolution, by validation
  double best_evolution = 0;                   // its relative cost; 0 = not validated yet
  double teacher_cost = 0;
  double tau = 0, reward_scale = 0;            // 0 = not calibrated yet
  double best_ppo = 0;
  double explained_variance = 0;
};
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(State, update, evolution, best_coordinates, best_evolution, teacher_cost, tau, reward_scale, best_ppo, explained_variance)

class TrainerImpl : public Trainer {
 public:
  TrainerImpl(std::span<const Workload> workloads, const TrainingPlan& plan, const TrainerOptions& options)
      : workloads_(workloads), plan_(plan), options_(options) {}

  absl::Status Init() {
    BERTH_ASSIGN_OR_RETURN(teacher_, TeacherWeights(plan_.teacher));
    if (!teacher_.experts.empty()) {
      if (workloads_.size() > 1) return InvalidField("teacher", plan_.teacher, "a model of one weight vector where there are several mixes");
      teacher_ = BlendExperts(teacher_, MixShapeOf(workloads_.front()));
    }
    for (float& weight : teacher_.linear) weight *= static_cast<float>(plan_.teacher_scale);
    ArenaOptions arena;
    BERTH_ASSIGN_OR_RETURN(arena.form, ParseForm(plan_.form));
    arena.warmup_us = static_cast<int64_t>(plan_.warmup_hours * 3.6e9);
    arena.window_us = static_cast<int64_t>(plan_.window_hours * 3.6e9);
    arena.jobs = options_.jobs;
    arena.class_weights = plan_.class_generations > 0 && plan_.critic_updates + plan_.ppo_updates > 0;
    arena.mix_weights = plan_.mix_weights;
    arena.prices = PricesOf(plan_);
    if (plan_.protocol == "azure") {
      auto trace = std::make_shared<ArenaTrace>();
      BERTH_ASSIGN_OR_RETURN(trace->trace, PlannedTrace(plan_, &trace->thinning));
      trace->heavy_copies = plan_.heavy_copies;
      arena.trace = std::move(trace);
    }
    BERTH_ASSIGN_OR_RETURN(arena_, Arena::Create(workloads_, arena));
    space_.emplace(teacher_, plan_.features, TypicalPods(arena_->tables().mix()), arena_->class_models());
    validation_ = CrossCases(kValidationSeeds, plan_.validation_seeds, plan_.loads, arena_->mixes());
    if (!RulesToBeat(plan_.protocol).empty()) BERTH_RETURN_IF_ERROR(arena_->DivideByMeans(validation_));
    fingerprint_ = ArithmeticFingerprint();
    state_.evolution = SeparableCmaEs(std::vector<double>(space_->shared(), 0), plan_.sigma, plan_.population).state();
    state_.best_coordinates.assign(space_->shared(), 0);
    if (!options_.resume_dir.empty()) BERTH_RETURN_IF_ERROR(Resume());
    BERTH_ASSIGN_OR_RETURN(log_, TrainingLog::Open(options_.run_dir));
    log_->Write("run", state_.update, {{"plan", PlanToJson(plan_)}, {"fingerprint", Json::parse(fingerprint_)}});
    return absl::OkStatus();
  }

  absl::Status Run() override {
    const int64_t end = options_.steps > 0 ? std::min<int64_t>(options_.steps, plan_.total_updates()) : plan_.total_updates();
    Progress progress("train", std::max<int64_t>(0, end - state_.update), "updates", options_.is_quiet);
    if (state_.teacher_cost == 0) BERTH_RETURN_IF_ERROR(MeasureTeacher());
    while (state_.update < end) {
      std::string note;
      if (state_.update < plan_.generations) {
        BERTH_ASSIGN_OR_RETURN(note, Evolve());
      } else {
        BERTH_RETURN_IF_ERROR(EnsureLearner());
        if (state_.update < plan_.generations + plan_.critic_updates) {
          BERTH_ASSIGN_OR_RETURN(note, FitCritic());
        } else {
          BERTH_ASSIGN_OR_RETURN(note, ImprovePolicy());
        }
      }
      ++state_.update;
      progress.Advance(1, note);
      if (state_.update % options_.checkpoint_every == 0 || state_.update == end) BERTH_RETURN_IF_ERROR(Save());
    }
    progress.Finish();
    return absl::OkStatus();
  }

  absl::StatusOr<Outcome> Finish() override {
    Outcome outcome;
    outcome.updates = state_.update;
    outcome.shipped = "teacher";
    outcome.weights = teacher_;
    const auto challenge = [&](const std::string& name, const NetworkWeights& weights) -> absl::Status {
      const std::vector<NetworkWeights> both{weights, outcome.weights};
      BERTH_ASSIGN_OR_RETURN(const auto costs, arena_->RelativeCosts(both, GateCases()));
      GateResult result{name, outcome.shipped, PairedInterval(BySeed(costs[0]), BySeed(costs[1]))};
      Report(result);
      if (result.is_better()) {
        outcome.shipped = name;
        outcome.weights = weights;
      }
      outcome.gate.push_back(std::move(result));
      return absl::OkStatus();
    };
    if (state_.best_evolution > 0) BERTH_RETURN_IF_ERROR(challenge("evolution", Linear(state_.best_coordinates)));
    if (state_.best_ppo > 0) BERTH_RETURN_IF_ERROR(challenge("ppo", best_ppo_));
    if (!RulesToBeat(plan_.protocol).empty()) BERTH_RETURN_IF_ERROR(ChallengeRule(&outcome));
    return outcome;
  }

 private:
  std::vector<ArenaCase> GateCases() const { return CrossCases(kGateSeeds, plan_.gate_seeds, plan_.loads, arena_->mixes()); }

  // Costs of CrossCases: one number a seed, the mean over loads and mixes.
  std::vector<double> BySeed(const std::vector<double>& costs) const {
    std::vector<double> means;
    const size_t loads = plan_.loads.size() * static_cast<size_t>(arena_->mixes());
    for (size_t i = 0; i < costs.size(); i += loads) {
      means.push_back(Mean({costs.begin() + static_cast<std::ptrdiff_t>(i), costs.begin() + static_cast<std::ptrdiff_t>(i + loads)}));
    }
    return means;
  }

  void Report(const GateResult& r) const {
    log_->Write("gate", state_.update, {{"challenger", r.challenger}, {"champion", r.champion}, {"difference", r.difference.mean},
                                        {"ci95_low", r.difference.low}, {"ci95_high", r.difference.high}, {"is_better", r.is_better()}});
    LogInfo("gate: {} against {}: relative cost {:+.4f} [{:+.4f}, {:+.4f}] over {} held-out seeds: {}", r.challenger, r.champion, r.difference.mean,
            r.difference.low, r.difference.high, plan_.gate_seeds, r.is_better() ? "better" : "not shown to be better");
  }

  // What was trained against the rule that validation likes best: unless it is shown to be better, the rule is what to serve.
  absl::Status ChallengeRule(Outcome* outcome) {
    const auto names = RulesToBeat(plan_.protocol);
    BERTH_ASSIGN_OR_RETURN(const auto validated, arena_->RelativeCostsOfRules(names, validation_));
    size_t best = 0;
    for (size_t i = 1; i < validated.size(); ++i) best = Mean(validated[i]) < Mean(validated[best]) ? i : best;
    const auto cases = GateCases();
    BERTH_ASSIGN_OR_RETURN(const auto rule, arena_->RelativeCostsOfRules(names.subspan(best, 1), cases));
    BERTH_ASSIGN_OR_RETURN(const auto trained, arena_->RelativeCosts({&outcome->weights, 1}, cases));
    GateResult result{outcome->shipped, "rule " + names[best], PairedInterval(BySeed(trained[0]), BySeed(rule[0]))};
    Report(result);
    if (!result.is_better()) outcome->shipped = result.champion;
    outcome->gate.push_back(std::move(result));
    return absl::OkStatus();
  }

  NetworkWeights Linear(const std::vector<double>& coordinates) const { return space_->At(coordinates); }

  absl::StatusOr<double> Validate(const NetworkWeights& weights) {
    BERTH_ASSIGN_OR_RETURN(const auto costs, arena_->RelativeCosts({&weights, 1}, validation_));
    return Mean(costs[0]);
  }

  absl::Status MeasureTeacher() {
    BERTH_ASSIGN_OR_RETURN(state_.teacher_cost, Validate(teacher_));
    log_->Write("evolution", 0, {{"validation_relative_cost", state_.teacher_cost}});
    return absl::OkStatus();
  }

  // From here on the class terms move too: evolution begins anew at the best so far, in more dimensions.
  void WidenEvolution() {
    std::vector<double> mean = state_.best_evolution > 0 ? state_.best_coordinates : state_.evolution.mean;
    mean.resize(space_->all(), 0);
    state_.evolution = SeparableCmaEs(std::move(mean), plan_.sigma, plan_.population).state();
  }

  absl::StatusOr<std::string> Evolve() {
    if (plan_.class_generations > 0 && state_.update == plan_.generations - plan_.class_generations) WidenEvolution();
    SeparableCmaEs evolution(state_.evolution, plan_.population);
    const auto generation = static_cast<uint64_t>(state_.update);
    Rng rng = Rng::Stream(SplitMix64(plan_.seed) + generation, kEvolutionStream);
    const auto candidates = evolution.Ask(rng);
    std::vector<NetworkWeights> weights;
    for (const auto& c : candidates) weights.push_back(Linear(c));
    const uint64_t first = kTrainingSeeds + (plan_.seed - 1) * kSeedsApart + generation * static_cast<uint64_t>(plan_.seeds_per_generation);
    std::vector<ArenaCase> cases;   // every seed at one load: more arrivals are worth more than more loads of the same
    for (int i = 0; i < plan_.seeds_per_generation; ++i) {
      for (int mix = 0; mix < arena_->mixes(); ++mix) {
        // Of a trace a generation may have one seed: there the loads take turns over mixes and generations.
        const uint64_t turn = static_cast<uint64_t>(i) + (plan_.protocol == "azure" ? generation + static_cast<uint64_t>(mix) : 0);
        cases.push_back({first + static_cast<uint64_t>(i), plan_.loads[turn % plan_.loads.size()], mix});
      }
    }
    BERTH_ASSIGN_OR_RETURN(const auto runs, arena_->RelativeCosts(weights, cases));
    std::vector<double> costs;
    for (const auto& row : runs) costs.push_back(Mean(row));
    evolution.Tell(candidates, costs);
    state_.evolution = evolution.state();
    state_.evolution.sigma = std::max(state_.evolution.sigma, plan_.least_sigma);
    Json fields{{"mean_relative_cost", Mean(costs)}, {"best_relative_cost", *std::min_element(costs.begin(), costs.end())}, {"sigma", state_.evolution.sigma}};
    const int64_t done = state_.update + 1;
    if (done % plan_.validate_every == 0 || done == plan_.generations) {
      BERTH_ASSIGN_OR_RETURN(const double cost, Validate(Linear(state_.evolution.mean)));
      fields["validation_relative_cost"] = cost;
      if (state_.best_evolution == 0 || cost < state_.best_evolution) {
        state_.best_evolution = cost;
        state_.best_coordinates = state_.evolution.mean;
      }
    }
    log_->Write("evolution", done, fields);
    return fmt::format("evolution, relative cost {:.3f} (teacher {:.3f})", state_.best_evolution > 0 ? state_.best_evolution : state_.teacher_cost, state_.teacher_cost);
  }

  RolloutOptions Rollouts() const {
    RolloutOptions o;
    o.loads = plan_.loads;
    o.groups = plan_.groups;
    o.rollouts = plan_.rollouts;
    o.decisions = plan_.decisions;
    o.candidates = plan_.candidates;
    o.tau = state_.tau;
    return o;
  }
  uint64_t RolloutSeed() const { return SplitMix64(SplitMix64(plan_.seed) + static_cast<uint64_t>(state_.update) + kRolloutStream * kSeedsApart); }

  // Fixes temperature and reward scale at the first update that needs them, then makes the learner.
  absl::Status EnsureLearner() {
    if (learner_ != nullptr) return absl::OkStatus();
    linear_ = Linear(state_.best_coordinates);
    if (state_.tau == 0) {
      state_.tau = kFirstTau;
      BERTH_ASSIGN_OR_RETURN(const auto rollouts, Collect(*arena_, linear_, Rollouts(), SplitMix64(RolloutSeed())));
      std::vector<std::vector<float>> zeros;
      for (const Rollout& r : rollouts) zeros.emplace_back(r.epochs.size() + 1, 0.0f);
      const auto returns = Estimate(rollouts, zeros, 1, 1, {plan_.horizon_s, 1e15}).target;
      double sum = 0, squares = 0, n = 0;
      for (const auto& row : returns) {
        for (double x : row) sum += x, squares += x * x, n += 1;
      }
      const double deviation = std::sqrt(std::max(0.0, squares / n - sum / n * (sum / n)));
      state_.reward_scale = deviation > 1e-9 ? 1 / deviation : 1;
      const PolicyBatch batch = MakeBatch(rollouts, returns, 1);
      if (batch.decisions() > 0) state_.tau = std::clamp(CalibrateTau(batch, kFirstTau, plan_.best_probability), 1e-6, 1e6);
      log_->Write("critic", state_.update, {{"tau", state_.tau}, {"reward_scale", state_.reward_scale}});
    }
    LearnerOptions o;
    o.hidden = plan_.hidden;
    o.tau = state_.tau;
    BERTH_ASSIGN_OR_RETURN(learner_, Learner::Create(o, plan_.seed));
    if (!restored_.empty()) {
      BERTH_RETURN_IF_ERROR(learner_->Restore(restored_));
      restored_.clear();
    }
    return absl::OkStatus();
  }

  struct Round {
    std::vector<Rollout> rollouts;
    Advantages advantages;
    std::vector<Context> contexts;      // of all epochs
    std::vector<float> targets;
    double explained_variance = 0;      // of the critic before this round
    double reward = 0;                  // mean a rollout, in its own units
  };

  // The network as it is, on the evolved linear part.
  NetworkWeights Current() const {
    NetworkWeights weights = learner_->Export(linear_.linear);
    weights.classes = linear_.classes;
    weights.class_models = linear_.class_models;
    return weights;
  }

  absl::StatusOr<Round> Play() {
    Round round;
    BERTH_ASSIGN_OR_RETURN(round.rollouts, Collect(*arena_, Current(), Rollouts(), RolloutSeed()));
    std::vector<std::vector<float>> values;
    for (const Rollout& r : round.rollouts) {
      std::vector<Context> contexts;
      for (const Epoch& e : r.epochs) contexts.push_back(e.context), round.reward += e.reward / static_cast<double>(round.rollouts.size());
      round.contexts.insert(round.contexts.end(), contexts.begin(), contexts.end());
      contexts.push_back(r.last_context);
      BERTH_ASSIGN_OR_RETURN(values.emplace_back(), learner_->Values(contexts));
    }
    round.advantages = Estimate(round.rollouts, values, state_.reward_scale, plan_.rollouts, {plan_.horizon_s, plan_.credit_s});
    double n = 0, target_sum = 0, target_squares = 0, error_sum = 0, error_squares = 0;
    for (size_t r = 0; r < values.size(); ++r) {
      for (size_t t = 0; t < round.advantages.target[r].size(); ++t) {
        const double target = round.advantages.target[r][t], error = target - static_cast<double>(values[r][t]);
        round.targets.push_back(static_cast<float>(target));
        n += 1, target_sum += target, target_squares += target * target, error_sum += error, error_squares += error * error;
      }
    }
    const double variance = target_squares / n - target_sum / n * (target_sum / n);
    round.explained_variance = variance > 1e-12 ? 1 - (error_squares / n - error_sum / n * (error_sum / n)) / variance : 0;
    state_.explained_variance = round.explained_variance;
    return round;
  }

  // Minibatches of shuffled indices, `epochs` times; stops when `step` says false. The last one may be short, down to one.
  absl::Status Minibatches(size_t count, int epochs, uint64_t purpose, const std::function<absl::StatusOr<bool>(std::span<const uint32_t>)>& step) const {
    std::vector<uint32_t> order(count);
    std::iota(order.begin(), order.end(), 0u);
    Rng rng = Rng::Stream(SplitMix64(plan_.seed) + static_cast<uint64_t>(state_.update), kShuffleStream + 1000 * purpose);
    const auto size = static_cast<size_t>(plan_.minibatch);
    for (int e = 0; e < epochs; ++e) {
      rng.Shuffle(order);
      for (size_t i = 0; i < count; i += size) {
        BERTH_ASSIGN_OR_RETURN(const bool goes_on, step(std::span(order).subspan(i, std::min(size, count - i))));
        if (!goes_on) return absl::OkStatus();
      }
    }
    return absl::OkStatus();
  }

  absl::StatusOr<double> StepsOfCritic(const Round& round) {
    double last = 0;
    CriticOptions o;
    o.lr = plan_.critic_lr;
    BERTH_RETURN_IF_ERROR(Minibatches(round.contexts.size(), plan_.critic_epochs, 1, [&](std::span<const uint32_t> rows) -> absl::StatusOr<bool> {
      BERTH_ASSIGN_OR_RETURN(last, learner_->StepCritic(round.contexts, round.targets, rows, o));
      return true;
    }));
    return last;
  }

  absl::StatusOr<std::string> FitCritic() {
    BERTH_ASSIGN_OR_RETURN(const Round round, Play());
    BERTH_ASSIGN_OR_RETURN(const double loss, StepsOfCritic(round));
    log_->Write("critic", state_.update + 1, {{"loss", loss}, {"explained_variance", round.explained_variance}, {"reward", round.reward}});
    return fmt::format("critic, explained variance {:.2f}", round.explained_variance);
  }

  absl::StatusOr<std::string> ImprovePolicy() {
    BERTH_ASSIGN_OR_RETURN(const Round round, Play());
    double squares = 0, n = 0;
    for (const auto& row : round.advantages.advantage) {
      for (double a : row) squares += a * a, n += 1;
    }
    const PolicyBatch batch = MakeBatch(round.rollouts, round.advantages.advantage, std::max(1e-8, std::sqrt(squares / n)));
    const int64_t ppo = state_.update - plan_.generations - plan_.critic_updates;
    const double left = 1 - static_cast<double>(ppo) / plan_.ppo_updates;
    ActorOptions o;
    o.lr = plan_.lr * left;
    o.clip = plan_.clip;
    o.entropy = plan_.entropy * left;
    o.kl_teacher = plan_.kl_teacher * left;
    ActorStats last;
    int steps = 0;
    double max_kl = 0;
    BERTH_RETURN_IF_ERROR(Minibatches(batch.decisions(), plan_.epochs, 2, [&](std::span<const uint32_t> decisions) -> absl::StatusOr<bool> {
      BERTH_ASSIGN_OR_RETURN(last, learner_->StepActor(batch, decisions, o));
      ++steps;
      max_kl = std::max(max_kl, last.approx_kl);
      return last.approx_kl <= 1.5 * plan_.target_kl;
    }));
    BERTH_ASSIGN_OR_RETURN(const double critic_loss, StepsOfCritic(round));
    Json fields{{"loss", last.loss}, {"entropy", last.entropy}, {"kl_teacher", last.kl_teacher}, {"approx_kl", last.approx_kl}, {"max_kl", max_kl},
                {"clip_fraction", last.clip_fraction}, {"grad_norm", last.grad_norm}, {"lr", o.lr}, {"minibatches", steps}, {"decisions", batch.decisions()},
                {"critic_loss", critic_loss}, {"explained_variance", round.explained_variance}, {"reward", round.reward}};
    const int64_t done = ppo + 1;
    if (done % plan_.validate_every == 0 || done == plan_.ppo_updates) {
      const NetworkWeights now = Current();
      BERTH_ASSIGN_OR_RETURN(const double cost, Validate(now));
      fields["validation_relative_cost"] = cost;
      if (state_.best_ppo == 0 || cost < state_.best_ppo) {
        state_.best_ppo = cost;
        best_ppo_ = now;
      }
    }
    log_->Write("ppo", state_.update + 1, fields);
    return fmt::format("ppo, relative cost {:.3f} (evolution {:.3f}), kl {:.4f}", state_.best_ppo, state_.best_evolution, last.approx_kl);
  }

  absl::Status Save() {
    Checkpoint checkpoint;
    checkpoint.fingerprint = fingerprint_;
    checkpoint.state = {{"plan", PlanToJson(plan_)}, {"trainer", state_}};
    if (learner_ != nullptr) checkpoint.tensors = learner_->State();
    if (state_.best_ppo > 0) {
      const int64_t h = best_ppo_.hidden;
      checkpoint.tensors["best.w1"] = {{h, kFeatureCount}, best_ppo_.w1};
      checkpoint.tensors["best.b1"] = {{h}, best_ppo_.b1};
      checkpoint.tensors["best.w2"] = {{h, h}, best_ppo_.w2};
      checkpoint.tensors["best.b2"] = {{h}, best_ppo_.b2};
      checkpoint.tensors["best.w3"] = {{h}, best_ppo_.w3};
    }
    return WriteCheckpoint(options_.run_dir, checkpoint);
  }

  absl::Status Resume() {
    BERTH_ASSIGN_OR_RETURN(Checkpoint checkpoint, ReadCheckpoint(options_.resume_dir));
    if (!checkpoint.state.contains("plan") || checkpoint.state["plan"] != PlanToJson(plan_)) {
      return InvalidField("checkpoint plan", checkpoint.state.value("plan", Json()).dump().substr(0, 64), "the plan of this run");
    }
    try {
      state_ = checkpoint.state.at("trainer").get<State>();
    } catch (const Json::exception& error) {
      return InvalidField("checkpoint state", "the trainer's part", error.what());
    }
    const size_t wide = plan_.class_generations > 0 ? space_->all() : space_->shared();
    const size_t now = state_.evolution.mean.size() == wide ? wide : space_->shared();
    const auto is_sized = [&](const std::vector<double>& v) { return v.size() == now; };
    const bool is_best_sized = state_.best_coordinates.size() == wide || state_.best_coordinates.size() == space_->shared();
    if (state_.update < 0 || state_.update > plan_.total_updates() || !is_best_sized || !is_sized(state_.evolution.mean) ||
        !is_sized(state_.evolution.variance) || !is_sized(state_.evolution.path_sigma) || !is_sized(state_.evolution.path_c)) {
      return InvalidField("checkpoint state", fmt::format("update {}", state_.update), fmt::format("0 to {} updates and {} or {} weights", plan_.total_updates(), space_->shared(), wide));
    }
    if (checkpoint.fingerprint != fingerprint_) {
      LogWarning("the checkpoint was written with other arithmetic ({}; here {}): training goes on, but not bit-identical here", checkpoint.fingerprint, fingerprint_);
    }
    if (state_.best_ppo > 0) {
      best_ppo_ = Linear(state_.best_coordinates);
      best_ppo_.hidden = plan_.hidden;
      const auto take = [&](const char* name) {
        const auto it = checkpoint.tensors.find(name);
        std::vector<float> values = it == checkpoint.tensors.end() ? std::vector<float>() : it->second.values;
        checkpoint.tensors.erase(name);
        return values;
      };
      best_ppo_.w1 = take("best.w1"), best_ppo_.b1 = take("best.b1"), best_ppo_.w2 = take("best.w2");
      best_ppo_.b2 = take("best.b2"), best_ppo_.w3 = take("best.w3");
      const absl::Status status = ValidateWeights(best_ppo_);
      if (!status.ok()) return WithContext(status, "checkpoint best");
    }
    restored_ = std::move(checkpoint.tensors);
    if (!restored_.empty()) BERTH_RETURN_IF_ERROR(EnsureRestored());
    LogInfo("resumed after update {} of {}", state_.update, plan_.total_updates());
    return absl::OkStatus();
  }

  // Tensors without a calibrated temperature are no checkpoint of ours.
  absl::Status EnsureRestored() {
    if (!(state_.tau > 0)) return InvalidField("checkpoint tau", fmt::format("{}", state_.tau), "a number above 0");
    return EnsureLearner();
  }

  const std::span<const Workload> workloads_;
  const TrainingPlan plan_;
  const TrainerOptions options_;
  NetworkWeights teacher_;
  std::optional<WeightSpace> space_;
  std::unique_ptr<Arena> arena_;
  std::unique_ptr<TrainingLog> log_;
  std::unique_ptr<Learner> learner_;
  std::vector<ArenaCase> validation_;
  std::string fingerprint_;
  State state_;
  NetworkWeights linear_;        // what PPO's residual stands on
  NetworkWeights best_ppo_;
  TensorMap restored_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Trainer>> Trainer::Create(std::span<const Workload> workloads, const TrainingPlan& plan, const TrainerOptions& options) {
  BERTH_RETURN_IF_ERROR(ValidatePlan(plan));
  auto trainer = std::make_unique<TrainerImpl>(workloads, plan, options);
  BERTH_RETURN_IF_ERROR(trainer->Init());
  return trainer;
}

}  // namespace berth

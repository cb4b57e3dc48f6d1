#include "agent/trainer.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <filesystem>
#include <numeric>
#include <optional>

#include "agent/checkpoint.h"
#include "agent/ppo.h"
#include "agent/teachers.h"
#include "agent/training_arenas.h"
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
constexpr uint64_t kEvolutionStream = 321, kNetworkStream = 324;   // 322 and 323 are in ppo.cc
// A coordinate of the network's evolution moves a last weight by this share of their root mean square, which is at least the other.
constexpr double kLastLayerScale = 0.3, kLeastLastWeight = 0.03;

double Mean(const std::vector<double>& v) { return std::accumulate(v.begin(), v.end(), 0.0) / static_cast<double>(std::max<size_t>(1, v.size())); }

// What a checkpoint holds besides the learner's tensors.
struct State {
  int64_t update = 0;
  EvolutionState evolution;
  std::vector<double> best_coordinates;        // of evolution, by validation
  double best_evolution = 0;                   // its relative cost; 0 = not validated yet
  double teacher_cost = 0;
  double tau = 0, reward_scale = 0;            // 0 = not calibrated yet
  double best_network = 0;                     // relative cost of the best network so far; 0 = none was validated
  std::string network_by;                      // the stage that made it: imitation or ppo
  EvolutionState network_evolution;            // around that network, once the stages before are over
  std::vector<double> best_last_layer;         // its coordinates
  double best_network_evolution = 0;
  double explained_variance = 0;
};
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(State, update, evolution, best_coordinates, best_evolution, teacher_cost, tau, reward_scale, best_network, network_by,
                                   network_evolution, best_last_layer, best_network_evolution, explained_variance)

class TrainerImpl : public Trainer {
 public:
  TrainerImpl(std::span<const Workload> workloads, const TrainingPlan& plan, const TrainerOptions& options)
      : workloads_(workloads), plan_(plan), options_(options) {}

  absl::Status Init() {
    if (plan_.teacher != kBestTeacher) {
      BERTH_ASSIGN_OR_RETURN(teacher_, TeacherWeights(plan_.teacher));
    }
    if (teacher_.depends_on_mix() && workloads_.size() == 1) teacher_ = ForMix(teacher_, MixShapeOf(workloads_.front()));
    if (plan_.has_network() && teacher_.hidden > 0) return InvalidField("teacher", plan_.teacher, "a linear potential where a network is trained on top; a network can be imitated");
    if (!plan_.imitate.empty()) {
      BERTH_ASSIGN_OR_RETURN(imitated_.emplace(), TeacherWeights(plan_.imitate));
      if (!imitated_->classes.empty()) return InvalidField("imitate", plan_.imitate, "a model without class terms");
    }
    const auto make_arenas = [&]() -> absl::StatusOr<std::string> {
      BERTH_ASSIGN_OR_RETURN(arenas_, MakeArenas(plan_, workloads_, options_.jobs, options_.crew));
      return std::string();
    };
    BERTH_RETURN_IF_ERROR(options_.crew != nullptr ? options_.crew->Ask(TaskKind::kPlan, PlanToJson(plan_).dump(), make_arenas).status() : make_arenas().status());
    arena_ = arenas_->whole.get();
    ppo_.emplace(plan_, arenas_->rollouts());
    validation_ = CrossCases(kValidationSeeds, plan_.validation_seeds, plan_.loads, arena_->mixes());
    if (!RulesToBeat(plan_.protocol).empty()) BERTH_RETURN_IF_ERROR(arena_->DivideByMeans(validation_));
    if (plan_.teacher == kBestTeacher) {
      BERTH_ASSIGN_OR_RETURN(teacher_, BestTeacher());
    }
    Scale(plan_.teacher_scale, &teacher_);
    space_.emplace(teacher_, plan_.features, TypicalPods(arena_->tables().mix()), arena_->class_models(), plan_.lifetimes);
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
        if (state_.update < first_critic()) {
          BERTH_ASSIGN_OR_RETURN(note, Imitate());
        } else if (state_.update < first_ppo()) {
          BERTH_ASSIGN_OR_RETURN(note, FitCritic());
        } else if (state_.update < first_ppo() + plan_.ppo_updates) {
          BERTH_ASSIGN_OR_RETURN(note, ImprovePolicy());
        } else {
          BERTH_ASSIGN_OR_RETURN(note, EvolveNetwork());
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
    // Lists of one trace share the workload's name, so the files' names tell mixes apart.
    if (plan_.protocol == "azure") {
      for (int copies : plan_.heavy_copies) outcome.mixes.push_back(fmt::format("heavy x{}", copies));
    } else {
      outcome.mixes.push_back(std::filesystem::path(plan_.workload).stem().string());
    }
    for (const std::string& mix : plan_.mixes) outcome.mixes.push_back(std::filesystem::path(mix).stem().string());
    const auto challenge = [&](const std::string& name, const NetworkWeights& weights) -> absl::Status {
      const std::vector<NetworkWeights> both{weights, outcome.weights};
      BERTH_ASSIGN_OR_RETURN(const auto costs, arena_->RelativeCosts(both, GateCases()));
      // A network must earn its place everywhere; a linear form for several mixes is a compromise between them.
      GateResult result = Gate(costs[0], costs[1], weights.hidden > 0 ? plan_.most_harm : 0);
      result.challenger = name, result.champion = outcome.shipped;
      Report(result, outcome.mixes);
      if (result.is_better()) {
        outcome.shipped = name;
        outcome.weights = weights;
      }
      outcome.gate.push_back(std::move(result));
      return absl::OkStatus();
    };
    if (state_.best_evolution > 0) BERTH_RETURN_IF_ERROR(challenge("evolution", Linear(state_.best_coordinates)));
    if (state_.best_network > 0 && !state_.network_by.empty()) BERTH_RETURN_IF_ERROR(challenge(state_.network_by, best_network_));
    if (state_.best_network_evolution > 0) BERTH_RETURN_IF_ERROR(challenge("network-evolution", WithLastLayer(state_.best_last_layer)));
    if (!RulesToBeat(plan_.protocol).empty()) BERTH_RETURN_IF_ERROR(ChallengeRule(&outcome));
    return outcome;
  }

 private:
  std::vector<ArenaCase> GateCases() const { return CrossCases(kGateSeeds, plan_.gate_seeds, plan_.loads, arena_->mixes()); }

  GateResult Gate(std::span<const double> challenger, std::span<const double> champion, double most_harm) const {
    return Compare(challenger, champion, static_cast<size_t>(plan_.gate_seeds), plan_.loads.size(), static_cast<size_t>(arena_->mixes()), most_harm);
  }

  void Report(const GateResult& r, const std::vector<std::string>& mixes) const {
    Json by_mix = Json::array();
    std::string text;
    for (size_t m = 0; m < r.by_mix.size(); ++m) {
      const Interval& d = r.by_mix[m];
      by_mix.push_back({{"difference", d.mean}, {"ci95_low", d.low}, {"ci95_high", d.high}});
      text += fmt::format("{} {} {:+.2f} % [{:+.2f}, {:+.2f}]", m == 0 ? "; by mix:" : ",", mixes[m], 100 * d.mean, 100 * d.low, 100 * d.high);
    }
    log_->Write("gate", state_.update, {{"challenger", r.challenger}, {"champion", r.champion}, {"difference", r.difference.mean}, {"by_mix", by_mix},
                                        {"ci95_low", r.difference.low}, {"ci95_high", r.difference.high}, {"is_better", r.is_better()}});
    LogInfo("gate: {} against {}: relative cost {:+.4f} [{:+.4f}, {:+.4f}] over {} held-out seeds: {}{}", r.challenger, r.champion, r.difference.mean,
            r.difference.low, r.difference.high, plan_.gate_seeds,
            r.is_better() ? "better" : r.worst_mix_fails() ? "not shown to be harmless on every mix" : "not shown to be better", text);
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
    GateResult result = Gate(trained[0], rule[0], 0);
    result.challenger = outcome->shipped, result.champion = "rule " + names[best];
    Report(result, outcome->mixes);
    if (!result.is_better()) outcome->shipped = result.champion;
    outcome->gate.push_back(std::move(result));
    return absl::OkStatus();
  }

  NetworkWeights Linear(const std::vector<double>& coordinates) const { return space_->At(coordinates); }

  absl::StatusOr<double> Validate(const NetworkWeights& weights) {
    BERTH_ASSIGN_OR_RETURN(const auto costs, arena_->RelativeCosts({&weights, 1}, validation_));
    return Mean(costs[0]);
  }

  // Validates `weights`, which stand at `mean`, and keeps them where they cost less than the best so far; *best_cost 0 = none yet.
  absl::Status KeepBest(const NetworkWeights& weights, const std::vector<double>& mean, double* best_cost, std::vector<double>* best, Json* fields) {
    BERTH_ASSIGN_OR_RETURN(const double cost, Validate(weights));
    (*fields)["validation_relative_cost"] = cost;
    if (*best_cost != 0 && !(cost < *best_cost)) return absl::OkStatus();
    *best_cost = cost;
    *best = mean;
    return absl::OkStatus();
  }

  // The built-in start that costs least where validation looks. No start is best on every mix.
  absl::StatusOr<NetworkWeights> BestTeacher() {
    constexpr std::array<std::string_view, 3> kNames = {"departures", "stranding", "universal"};
    std::vector<NetworkWeights> starts;
    for (std::string_view name : kNames) {
      BERTH_ASSIGN_OR_RETURN(starts.emplace_back(), TeacherWeights(name));
    }
    BERTH_ASSIGN_OR_RETURN(const auto costs, arena_->RelativeCosts(starts, validation_));
    size_t best = 0;
    for (size_t i = 0; i < starts.size(); ++i) {
      LogInfo("teacher {}: relative cost {:.3f}", kNames[i], Mean(costs[i]));
      if (Mean(costs[i]) < Mean(costs[best])) best = i;
    }
    LogInfo("evolution starts at {}", kNames[best]);
    return starts[best];
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
    Json fields;
    BERTH_RETURN_IF_ERROR(Generation(&state_.evolution, kEvolutionStream, [&](const auto& x) { return Linear(x); }, &fields));
    const int64_t done = state_.update + 1;
    if (done % plan_.validate_every == 0 || done == plan_.generations) {
      BERTH_RETURN_IF_ERROR(KeepBest(Linear(state_.evolution.mean), state_.evolution.mean, &state_.best_evolution, &state_.best_coordinates, &fields));
    }
    log_->Write("evolution", done, fields);
    return fmt::format("evolution, relative cost {:.3f} (teacher {:.3f})", state_.best_evolution > 0 ? state_.best_evolution : state_.teacher_cost, state_.teacher_cost);
  }

  // One generation of the search at `*state`, on fresh arrivals that the whole population meets.
  absl::Status Generation(EvolutionState* state, uint64_t stream, const std::function<NetworkWeights(const std::vector<double>&)>& at, Json* fields) {
    SeparableCmaEs evolution(*state, plan_.population);
    const auto update = static_cast<uint64_t>(state_.update);
    Rng rng = Rng::Stream(SplitMix64(plan_.seed) + update, stream);
    const auto candidates = evolution.Ask(rng);
    std::vector<NetworkWeights> weights;
    for (const auto& c : candidates) weights.push_back(at(c));
    const uint64_t first = kTrainingSeeds + (plan_.seed - 1) * kSeedsApart + update * static_cast<uint64_t>(plan_.seeds_per_generation);
    std::vector<ArenaCase> cases;   // every seed at one load: more arrivals are worth more than more loads of the same
    for (int i = 0; i < plan_.seeds_per_generation; ++i) {
      for (int mix = 0; mix < arena_->mixes(); ++mix) {
        // Of a trace a generation may have one seed: there the loads take turns over mixes and generations.
        const uint64_t turn = static_cast<uint64_t>(i) + (plan_.protocol == "azure" ? update + static_cast<uint64_t>(mix) : 0);
        cases.push_back({first + static_cast<uint64_t>(i), plan_.loads[turn % plan_.loads.size()], mix});
      }
    }
    BERTH_ASSIGN_OR_RETURN(const auto runs, arena_->RelativeCosts(weights, cases));
    std::vector<double> costs;
    for (const auto& row : runs) costs.push_back(Mean(row));
    evolution.Tell(candidates, costs);
    *state = evolution.state();
    state->sigma = std::max(state->sigma, plan_.least_sigma);
    *fields = {{"mean_relative_cost", Mean(costs)}, {"best_relative_cost", *std::min_element(costs.begin(), costs.end())}, {"sigma", state->sigma}};
    return absl::OkStatus();
  }

  // The best network so far with its last layer moved.
  NetworkWeights WithLastLayer(const std::vector<double>& x) const {
    NetworkWeights weights = best_network_;
    double squares = 0;
    for (float w : weights.w3) squares += static_cast<double>(w) * static_cast<double>(w);
    const double scale = kLastLayerScale * std::max(kLeastLastWeight, std::sqrt(squares / static_cast<double>(weights.w3.size())));
    for (size_t i = 0; i < x.size(); ++i) weights.w3[i] += static_cast<float>(scale * x[i]);
    return weights;
  }

  absl::StatusOr<std::string> EvolveNetwork() {
    if (best_network_.hidden == 0) {   // nothing was trained before: from the zero network
      best_network_ = Current();
      BERTH_ASSIGN_OR_RETURN(state_.best_network, Validate(best_network_));
    }
    if (state_.network_evolution.mean.empty()) {
      const std::vector<double> zero(best_network_.w3.size(), 0);
      state_.network_evolution = SeparableCmaEs(zero, plan_.sigma, plan_.population).state();
      state_.best_last_layer = zero;
    }
    Json fields;
    BERTH_RETURN_IF_ERROR(Generation(&state_.network_evolution, kNetworkStream, [&](const auto& x) { return WithLastLayer(x); }, &fields));
    const int64_t done = state_.update + 1 - first_ppo() - plan_.ppo_updates;
    if (done % plan_.validate_every == 0 || done == plan_.network_generations) {
      BERTH_RETURN_IF_ERROR(KeepBest(WithLastLayer(state_.network_evolution.mean), state_.network_evolution.mean, &state_.best_network_evolution,
                                     &state_.best_last_layer, &fields));
    }
    log_->Write("network-evolution", state_.update + 1, fields);
    return fmt::format("network evolution, relative cost {:.3f} (before {:.3f})", state_.best_network_evolution > 0 ? state_.best_network_evolution : state_.best_network, state_.best_network);
  }

  const NetworkWeights* Imitated() const { return imitated_ ? &*imitated_ : nullptr; }
  int64_t first_critic() const { return plan_.generations + plan_.imitation_updates; }
  int64_t first_ppo() const { return first_critic() + plan_.critic_updates; }

  // Fixes temperature and reward scale at the first update that needs them, then makes the learner.
  absl::Status EnsureLearner() {
    if (learner_ != nullptr) return absl::OkStatus();
    linear_ = Linear(state_.best_coordinates);
    if (state_.tau == 0) {
      BERTH_ASSIGN_OR_RETURN(const Calibration calibration, ppo_->Calibrate(linear_, state_.update));
      state_.tau = calibration.tau;
      state_.reward_scale = calibration.reward_scale;
      log_->Write("critic", state_.update, {{"tau", state_.tau}, {"reward_scale", state_.reward_scale}});
    }
    LearnerOptions o;
    o.hidden = plan_.hidden;
    o.sees_mix = sees_mix();
    o.tau = state_.tau;
    BERTH_ASSIGN_OR_RETURN(learner_, Learner::Create(o, plan_.seed));
    if (!restored_.empty()) {
      BERTH_RETURN_IF_ERROR(learner_->Restore(restored_));
      restored_.clear();
    }
    return absl::OkStatus();
  }

  // The network as it is, on the evolved linear part.
  NetworkWeights Current() const { return learner_->Export(linear_); }
  bool sees_mix() const { return workloads_.size() > 1; }

  // Validates the network as it is and keeps it if it is the best so far.
  absl::Status Consider(const char* by, Json* fields) {
    NetworkWeights now = Current();
    BERTH_ASSIGN_OR_RETURN(const double cost, Validate(now));
    (*fields)["validation_relative_cost"] = cost;
    if (state_.best_network != 0 && cost >= state_.best_network) return absl::OkStatus();
    state_.best_network = cost;
    state_.network_by = by;
    best_network_ = std::move(now);
    return absl::OkStatus();
  }

  absl::StatusOr<Round> Play() {
    BERTH_ASSIGN_OR_RETURN(Round round, ppo_->Play(*learner_, Current(), Imitated(), {state_.tau, state_.reward_scale}, state_.update));
    state_.explained_variance = round.explained_variance;
    return round;
  }

  // The network learns what the imitated teacher chooses, on clusters that the teacher and the network itself fill in turns: the states
  // of the teacher alone would not tell it what to do after a mistake of its own (DAgger, Ross et al., 2011).
  absl::StatusOr<std::string> Imitate() {
    const int64_t round = state_.update - plan_.generations;
    BERTH_ASSIGN_OR_RETURN(const auto rollouts, ppo_->Roll(Current(), Imitated(), state_.tau, round % 2 == 0, state_.update));
    std::vector<std::vector<double>> none;
    for (const Rollout& r : rollouts) none.emplace_back(r.epochs.size(), 0.0);
    const PolicyBatch batch = MakeBatch(rollouts, none, 1);
    const double lr = plan_.imitation_lr * (1 - static_cast<double>(round) / plan_.imitation_updates);
    BERTH_ASSIGN_OR_RETURN(const auto kl, ppo_->ImitateTeacher(*learner_, batch, lr, state_.update));
    const double last = kl.empty() ? 0 : kl.back();
    Json fields{{"first_kl", kl.empty() ? 0 : kl.front()}, {"kl", last}, {"lr", lr}, {"decisions", batch.decisions()}};
    const int64_t done = round + 1;
    if (done % plan_.validate_every == 0 || done == plan_.imitation_updates) BERTH_RETURN_IF_ERROR(Consider("imitation", &fields));
    log_->Write("imitation", state_.update + 1, fields);
    return fmt::format("imitation, kl to the teacher {:.4f}", last);
  }

  absl::StatusOr<std::string> FitCritic() {
    BERTH_ASSIGN_OR_RETURN(const Round round, Play());
    BERTH_ASSIGN_OR_RETURN(const double loss, ppo_->FitCritic(*learner_, round, state_.update));
    log_->Write("critic", state_.update + 1, {{"loss", loss}, {"explained_variance", round.explained_variance}, {"reward", round.reward}});
    return fmt::format("critic, explained variance {:.2f}", round.explained_variance);
  }

  absl::StatusOr<std::string> ImprovePolicy() {
    BERTH_ASSIGN_OR_RETURN(const Round round, Play());
    const int64_t ppo = state_.update - first_ppo();
    const double left = 1 - static_cast<double>(ppo) / plan_.ppo_updates;
    ActorOptions o;
    o.lr = plan_.lr * left;
    o.clip = plan_.clip;
    o.entropy = plan_.entropy * left;
    o.kl_teacher = plan_.kl_teacher * left;
    BERTH_ASSIGN_OR_RETURN(const ActorRound actor, ppo_->ImproveActor(*learner_, round, o, state_.update));
    const ActorStats& last = actor.last;
    BERTH_ASSIGN_OR_RETURN(const double critic_loss, ppo_->FitCritic(*learner_, round, state_.update));
    Json fields{{"loss", last.loss}, {"entropy", last.entropy}, {"kl_teacher", last.kl_teacher}, {"approx_kl", last.approx_kl}, {"max_kl", actor.max_kl},
                {"clip_fraction", last.clip_fraction}, {"grad_norm", last.grad_norm}, {"lr", o.lr}, {"minibatches", actor.minibatches}, {"decisions", actor.decisions},
                {"critic_loss", critic_loss}, {"explained_variance", round.explained_variance}, {"reward", round.reward}};
    const int64_t done = ppo + 1;
    if (done % plan_.validate_every == 0 || done == plan_.ppo_updates) BERTH_RETURN_IF_ERROR(Consider("ppo", &fields));
    log_->Write("ppo", state_.update + 1, fields);
    return fmt::format("ppo, relative cost {:.3f} (evolution {:.3f}), kl {:.4f}", state_.best_network, state_.best_evolution, last.approx_kl);
  }

  absl::Status Save() {
    Checkpoint checkpoint;
    checkpoint.fingerprint = fingerprint_;
    checkpoint.state = {{"plan", PlanToJson(plan_)}, {"trainer", state_}};
    if (learner_ != nullptr) checkpoint.tensors = learner_->State();
    if (state_.best_network > 0) {
      const NetworkWeights& best = best_network_;
      const int64_t h = best.hidden;
      checkpoint.tensors["best.w1"] = {{h, static_cast<int64_t>(best.mlp_inputs())}, best.w1};
      checkpoint.tensors["best.b1"] = {{h}, best.b1};
      checkpoint.tensors["best.w2"] = {{h, h}, best.w2};
      checkpoint.tensors["best.b2"] = {{h}, best.b2};
      checkpoint.tensors["best.w3"] = {{h}, best.w3};
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
    const EvolutionState& last_layer = state_.network_evolution;
    const size_t h = last_layer.mean.empty() ? 0 : static_cast<size_t>(plan_.hidden);
    const std::vector<double>& best = state_.best_last_layer;
    for (const std::vector<double>* v : {&last_layer.mean, &last_layer.variance, &last_layer.path_sigma, &last_layer.path_c, &best}) {
      if (v->size() != h) return InvalidField("checkpoint state", fmt::format("{} weights of the last layer", v->size()), fmt::format("{} weights", h));
    }
    if (checkpoint.fingerprint != fingerprint_) {
      LogWarning("the checkpoint was written with other arithmetic ({}; here {}): training goes on, but not bit-identical here", checkpoint.fingerprint, fingerprint_);
    }
    if (state_.best_network > 0) {
      best_network_ = Linear(state_.best_coordinates);
      best_network_.hidden = plan_.hidden;
      best_network_.mlp_sees_mix = sees_mix();
      const auto take = [&](const char* name) {
        const auto it = checkpoint.tensors.find(name);
        std::vector<float> values = it == checkpoint.tensors.end() ? std::vector<float>() : it->second.values;
        checkpoint.tensors.erase(name);
        return values;
      };
      best_network_.w1 = take("best.w1"), best_network_.b1 = take("best.b1"), best_network_.w2 = take("best.w2");
      best_network_.b2 = take("best.b2"), best_network_.w3 = take("best.w3");
      const absl::Status status = ValidateWeights(best_network_);
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
  std::optional<NetworkWeights> imitated_;
  std::optional<WeightSpace> space_;
  std::unique_ptr<TrainingArenas> arenas_;
  Arena* arena_ = nullptr;                     // the whole one
  std::optional<Ppo> ppo_;                     // on the smaller ones where there are any
  std::unique_ptr<TrainingLog> log_;
  std::unique_ptr<Learner> learner_;
  std::vector<ArenaCase> validation_;
  std::string fingerprint_;
  State state_;
  NetworkWeights linear_;        // what PPO's residual stands on
  NetworkWeights best_network_;
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

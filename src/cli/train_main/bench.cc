#include "cli/train_main/bench.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/strings/str_split.h"
#include "agent/ppo.h"
#include "agent/teachers.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/quantity.h"
#include "base/status.h"
#include "cli/machine.h"
#include "cli/peer.h"
#include "evaluate/report.h"
#include "evaluate/statistics.h"
#include "fmt/format.h"
#include "policy/potential/model_dir.h"

namespace berth {
namespace {

using Json = nlohmann::json;

constexpr int64_t kHourUs = 3'600'000'000;
// A rollout of the plan: so many decisions on so many nodes. On more nodes it takes more decisions to see the same time.
constexpr int64_t kPlanDecisions = 512, kPlanNodes = 151;
constexpr double kNoTarget = 10;   // of the divergence: all epochs are run, as the peers run theirs

struct Flags {
  std::string nodes = "50,500,5000", workload = "vm-like";
  int64_t steps = 1'000'000;
  int64_t decisions = 0;
  int updates = 3;
  bool has_peers = false, is_json = false;
  std::string python = "python3", script = "tools/maskable_ppo.py";
  int peer_steps = 4096;
};

// What a size gives, a CPU-second of one core.
struct Rates {
  double greedy = 0, greedy_low = 0, greedy_high = 0;   // decisions
  double sampled = 0;                                   // steps of the stochastic policy, written down for the learner
  double trained = 0;                                   // the same, warm-up, critic and PPO counted
  size_t state_classes = 0;
  int64_t trained_steps = 0;
  int64_t choices = 0, minibatches = 0;                 // of them, decisions with two actions or more; the actor's minibatches of those
  double warmup_us = 0, rollouts_us = 0, critic_us = 0, actor_us = 0;   // a trained step
};

// Greedy decisions of the linear potential that training starts from, in a cluster that is run in.
absl::Status MeasureDecisions(const Arena& arena, const NetworkWeights& linear, const Flags& flags, const TrainingPlan& plan, Rates* rates) {
  EnvOptions options = arena.EnvOptionsFor(plan.loads.front());
  options.window_us = kForever;
  BERTH_ASSIGN_OR_RETURN(const auto env, Env::Create(arena.workload(), options));
  BERTH_ASSIGN_OR_RETURN(const auto policy, MakeModelPolicy("linear", "1", linear, MixOf(arena.workload())));
  const auto decider = policy->NewDecider();
  StepResult result = env->Reset(plan.seed);
  const auto step = [&]() -> absl::Status {
    BERTH_ASSIGN_OR_RETURN(result, env->StepDecision(decider->Decide(env->view(), env->pod(), env->decision_seed(), {})));
    return result.is_done() ? absl::InternalError("the workload ended") : absl::OkStatus();
  };
  while (env->now_us() < options.warmup_us) BERTH_RETURN_IF_ERROR(step());
  std::vector<double> parts;   // the machine may be shared: the median of five
  for (int part = 0; part < 5; ++part) {
    const double start = ProcessCpuSeconds();
    for (int64_t i = 0; i < flags.steps / 5; ++i) BERTH_RETURN_IF_ERROR(step());
    parts.push_back(static_cast<double>(flags.steps / 5) / std::max(1e-9, ProcessCpuSeconds() - start));
  }
  rates->greedy = Quantile(parts, 0.5);
  rates->greedy_low = *std::min_element(parts.begin(), parts.end());
  rates->greedy_high = *std::max_element(parts.begin(), parts.end());
  rates->state_classes = env->view().occupied().size();
  return absl::OkStatus();
}

// Updates of PPO as `berth train` does them, without validation and gate.
absl::Status MeasureTraining(Arena& arena, const NetworkWeights& linear, const Flags& flags, const TrainingPlan& plan, Rates* rates) {
  const Ppo ppo(plan, arena);
  BERTH_ASSIGN_OR_RETURN(const Calibration calibration, ppo.Calibrate(linear, 0));
  BERTH_ASSIGN_OR_RETURN(const auto learner, Learner::Create({.hidden = plan.hidden, .tau = calibration.tau}, plan.seed));
  ActorOptions actor;
  actor.lr = plan.lr, actor.clip = plan.clip, actor.entropy = plan.entropy, actor.kl_teacher = plan.kl_teacher;
  CollectTimes times;
  double start = 0, critic_s = 0, actor_s = 0;
  for (int64_t update = 0; update <= flags.updates; ++update) {
    if (update == 1) {   // the first fills tables that live as long as a run
      times = {};
      critic_s = actor_s = 0;
      rates->trained_steps = rates->choices = rates->minibatches = 0;
      start = ProcessCpuSeconds();
    }
    const double begin = ProcessCpuSeconds(), collected = times.warmup_s + times.rollouts_s;
    BERTH_ASSIGN_OR_RETURN(const Round round, ppo.Play(*learner, learner->Export(linear), nullptr, calibration, update, &times));
    const double played = ProcessCpuSeconds();
    BERTH_ASSIGN_OR_RETURN(const ActorRound improved_by, ppo.ImproveActor(*learner, round, actor, update));
    const double improved = ProcessCpuSeconds();
    BERTH_RETURN_IF_ERROR(ppo.FitCritic(*learner, round, update).status());
    actor_s += improved - played;
    critic_s += ProcessCpuSeconds() - improved + (played - begin) - (times.warmup_s + times.rollouts_s - collected);
    rates->trained_steps += static_cast<int64_t>(round.decisions());
    rates->choices += static_cast<int64_t>(improved_by.decisions);
    rates->minibatches += improved_by.minibatches;
  }
  const auto steps = static_cast<double>(rates->trained_steps);
  rates->trained = steps / std::max(1e-9, ProcessCpuSeconds() - start);
  rates->sampled = steps / std::max(1e-9, times.rollouts_s);
  rates->warmup_us = 1e6 * times.warmup_s / steps, rates->rollouts_us = 1e6 * times.rollouts_s / steps;
  rates->critic_us = 1e6 * critic_s / steps, rates->actor_us = 1e6 * actor_s / steps;
  return absl::OkStatus();
}

// Trained steps a CPU-second of MaskablePPO.
absl::StatusOr<Json> RunMaskablePpo(const Flags& flags, int64_t nodes) {
  return cli::RunPeer("", flags.python, flags.script, {"--nodes", fmt::format("{}", nodes), "--steps", fmt::format("{}", flags.peer_steps)},
                      "trained_steps_per_cpu_s", "a Python with gymnasium and sb3-contrib, started where --peers-script is found");
}

absl::Status Run(const Flags& flags, TrainingPlan plan) {
  std::vector<int64_t> sizes;
  for (absl::string_view part : absl::StrSplit(flags.nodes, ',')) {
    BERTH_ASSIGN_OR_RETURN(sizes.emplace_back(), ParseInteger("nodes", std::string(part), 1, 1'000'000));
  }
  plan.workload = flags.workload;
  Json results = Json::array();
  Table table{fmt::format("a CPU-second of one core, {} at load {}", flags.workload, plan.loads.front()),
              {"nodes", "state classes", "decisions", "sampled steps", "trained steps", "us a step: warm-up", "rollouts", "critic", "PPO"}, {}};
  if (flags.has_peers) table.header.insert(table.header.end(), {"MaskablePPO", "ratio"});
  for (int64_t nodes : sizes) {
    LogInfo("bench train: {} nodes", nodes);
    plan.node_count = nodes;
    plan.decisions = static_cast<int>(flags.decisions > 0 ? flags.decisions : std::max<int64_t>(kPlanDecisions, kPlanDecisions * nodes / kPlanNodes));
    BERTH_RETURN_IF_ERROR(ValidatePlan(plan));
    BERTH_ASSIGN_OR_RETURN(const std::vector<Workload> workloads, PlannedWorkloads(plan));
    ArenaOptions options;
    options.warmup_us = static_cast<int64_t>(plan.warmup_hours * static_cast<double>(kHourUs));
    options.jobs = 1;
    BERTH_ASSIGN_OR_RETURN(const auto arena, Arena::Create(workloads, options));
    const bool has_gpus = LoadResourceOf(workloads.front()) == LoadResource::kGpu;
    BERTH_ASSIGN_OR_RETURN(const NetworkWeights linear, TeacherWeights(has_gpus ? "stranding" : "cpu-stranding"));
    Rates r;
    BERTH_RETURN_IF_ERROR(MeasureDecisions(*arena, linear, flags, plan, &r));
    BERTH_RETURN_IF_ERROR(MeasureTraining(*arena, linear, flags, plan, &r));
    Json row{{"nodes", nodes}, {"workload", flags.workload}, {"load_ratio", plan.loads.front()}, {"state_classes", r.state_classes},
             {"decisions_per_cpu_s", r.greedy}, {"decisions_per_cpu_s_min", r.greedy_low}, {"decisions_per_cpu_s_max", r.greedy_high},
             {"sampled_steps_per_cpu_s", r.sampled}, {"trained_steps_per_cpu_s", r.trained}, {"trained_steps", r.trained_steps}, {"trained_steps_with_choice", r.choices}, {"actor_minibatches", r.minibatches}, {"decisions_per_rollout", plan.decisions},
             {"warmup_us_per_step", r.warmup_us}, {"rollouts_us_per_step", r.rollouts_us}, {"critic_us_per_step", r.critic_us}, {"actor_us_per_step", r.actor_us}};
    table.rows.push_back({fmt::format("{}", nodes), fmt::format("{}", r.state_classes), fmt::format("{:.0f}", r.greedy), fmt::format("{:.0f}", r.sampled),
                          fmt::format("{:.0f}", r.trained), fmt::format("{:.1f}", r.warmup_us), fmt::format("{:.1f}", r.rollouts_us),
                          fmt::format("{:.1f}", r.critic_us), fmt::format("{:.1f}", r.actor_us)});
    if (flags.has_peers) {
      BERTH_ASSIGN_OR_RETURN(const Json peers, RunMaskablePpo(flags, nodes));
      const double rate = peers["trained_steps_per_cpu_s"].get<double>();
      row["peers"] = peers;
      row["trained_steps_ratio"] = r.trained / rate;
      table.rows.back().insert(table.rows.back().end(), {fmt::format("{:.0f}", rate), fmt::format("{:.1f}", r.trained / rate)});
    }
    results.push_back(std::move(row));
  }
  if (flags.is_json) {
    const Json how{{"groups", plan.groups}, {"rollouts", plan.rollouts}, {"candidates", plan.candidates}, {"minibatch", plan.minibatch},
                   {"epochs", plan.epochs}, {"critic_epochs", plan.critic_epochs}, {"hidden", plan.hidden}, {"updates", flags.updates}, {"seed", plan.seed},
                   {"warmup_hours", plan.warmup_hours}};
    fmt::print("{}\n", Json{{"results", results}, {"plan", how}, {"arithmetic", Json::parse(ArithmeticFingerprint())}, {"machine", cli::MachineJson()}}.dump(1));
  } else {
    fmt::print("{}", TextTable(table));
  }
  return absl::OkStatus();
}

}  // namespace

int BenchMain(int argc, char** argv) {
  CLI::App app("Decisions and trained steps a CPU-second of one core, by number of nodes, beside MaskablePPO of sb3-contrib", "berth bench train");
  app.footer(
      "A trained step is a decision of a rollout that PPO and the critic have learned from, warm-up counted. The first update is not.\n"
      "Examples:\n"
      "  berth bench train --nodes 50,500,5000 --json\n"
      "  berth bench train --peers --peers-python VENV/bin/python --json      (VENV: pip install sb3-contrib)");
  Flags flags;
  TrainingPlan plan;
  plan.loads = {0.9};
  plan.target_kl = kNoTarget;
  if (const char* python = std::getenv("BERTH_PEERS_PYTHON")) flags.python = python;
  app.add_option("--nodes", flags.nodes, "cluster sizes, with commas between")->capture_default_str();
  app.add_option("--workload", flags.workload, "a built-in workload or a file")->capture_default_str();
  app.add_option("--load", plan.loads.front(), "offered load")->check(CLI::Range(0.01, 10.0))->capture_default_str();
  app.add_option("--steps", flags.steps, "greedy decisions")->check(CLI::Range(int64_t{100}, int64_t{1'000'000'000}))->capture_default_str();
  app.add_option("--updates", flags.updates, "of PPO, measured")->check(CLI::Range(1, 10'000))->capture_default_str();
  app.add_option("--seed", plan.seed, "of everything that is drawn")->capture_default_str();
  app.add_option("--warmup-hours", plan.warmup_hours, "and up to two more, before each group of rollouts")->capture_default_str();
  app.add_option("--groups", plan.groups, "as berth train has it, like those that follow")->capture_default_str();
  app.add_option("--rollouts", plan.rollouts)->capture_default_str();
  app.add_option("--decisions", flags.decisions, "a rollout (0 = 512, in proportion above 151 nodes: the same simulated time)")->check(CLI::Range(0, 1'000'000))->capture_default_str();
  app.add_option("--candidates", plan.candidates)->capture_default_str();
  app.add_option("--minibatch", plan.minibatch)->capture_default_str();
  app.add_option("--epochs", plan.epochs)->capture_default_str();
  app.add_option("--critic-epochs", plan.critic_epochs)->capture_default_str();
  app.add_option("--hidden", plan.hidden)->capture_default_str();
  app.add_flag("--peers", flags.has_peers, "measure MaskablePPO too: 8 environments x 128 steps, batch 256, 4 epochs");
  app.add_option("--peers-python", flags.python, "a Python with gymnasium and sb3-contrib (default: BERTH_PEERS_PYTHON, or python3)");
  app.add_option("--peers-script", flags.script, "what it runs")->capture_default_str();
  app.add_option("--peers-steps", flags.peer_steps, "trained steps of it a size")->check(CLI::Range(1024, 10'000'000))->capture_default_str();
  app.add_flag("--json", flags.is_json, "for programs");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  const absl::Status status = Run(flags, plan);
  if (status.ok()) return 0;
  fmt::print(stderr, "berth bench train: {}\n", MessageOf(status));
  return status.code() == absl::StatusCode::kInvalidArgument ? 2 : 1;
}

}  // namespace berth

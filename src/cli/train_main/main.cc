// berth-train: the only program that links LibTorch. `berth train` starts it.
#include <algorithm>
#include <cctype>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>

#include "CLI/CLI.hpp"
#include "agent/checkpoint.h"
#include "agent/publish.h"
#include "agent/trainer.h"
#include "agent/worker.h"
#include "base/log.h"
#include "base/status.h"
#include "cli/train_main/bench.h"
#include "fmt/format.h"

namespace berth {
namespace {

struct Flags {
  std::string out = "models", resume, run, name;
  int64_t steps = 0;
  int checkpoint_every = 10, jobs = 0;
  double rank_timeout_s = 1800;
  bool is_quiet = false, is_json = false;
};

// One option a field of the plan; names as in the plan with - for _.
class PlanOptions {
 public:
  PlanOptions(CLI::App& app, TrainingPlan* plan) {
    const auto add = [&](const char* field, auto* value, const char* help) {
      std::string name = fmt::format("--{}", field);
      std::replace(name.begin(), name.end(), '_', '-');
      if (name == "--loads") name += ",--load";   // as `berth evaluate` calls it
      options_[field] = app.add_option(name, *value, help)->capture_default_str();
    };
    add("protocol", &plan->protocol, "workload; churn: the mix and the nodes of openb files, in the departures form; azure: a VM trace on identical hosts");
    add("nodes", &plan->nodes, "churn: node list (openb CSV)");
    add("pods", &plan->pods, "churn: pod list (openb CSV)");
    add("sample_nodes", &plan->sample_nodes, "churn: this many nodes, shapes by largest remainder, or all");
    add("lives", &plan->lives, "churn: exponential (mean 1 h) or trace (of the pod list, at most 2 h)");
    add("dev", &plan->dev, "azure: flavour file of the trace that is trained on, e.g. v1.dev.txt, its other files beside it");
    add("host", &plan->host, "azure: vCPU/GiB of a host");
    add("keep", &plan->keep, "azure: share of tenant batches in a replica");
    add("heavy_copies", &plan->heavy_copies, "azure: how often machines that ask for more memory a vCPU than the host has come, in each of the mixes trained on");
    options_["heavy_copies"]->delimiter(',');
    add("workload", &plan->workload, "a built-in workload (openb-like, vm-like) or a file of Berth's format");
    add("mixes", &plan->mixes, "more workloads that the same weights must serve; the model then looks ahead to whatever mix it is given");
    options_["mixes"]->delimiter(',');
    add("mix_weights", &plan->mix_weights, "of the relative cost on each, the workload first (default: 1)");
    options_["mix_weights"]->delimiter(',');
    add("price_beta", &plan->price_beta, "weight of the prices of free devices (0 = none; 10 is good)");
    add("price_period", &plan->price_period, "share of the cluster that is asked for between two solves of the prices");
    add("price_horizon", &plan->price_horizon, "prices look ahead until this share of the GPUs is in use (static: was asked for)");
    add("price_smoothing", &plan->price_smoothing, "weight of the new prices at a solve (the old ones have the rest)");
    add("typed_safety", &plan->typed_safety, "prices: factor on the demand of classes that insist on a GPU model");
    add("multi_safety", &plan->multi_safety, "prices: factor on the demand of classes of several devices");
    add("seed", &plan->seed, "of everything that is drawn");
    add("form", &plan->form, "loss (what fits nowhere is lost), queue (it waits) or static (arrivals only)");
    add("node_count", &plan->node_count, "scale the workload to this many nodes (0 = as it is; the static form's default)");
    add("teacher", &plan->teacher, "where evolution starts: auto (the best of departures, stranding and universal), departures, stranding, cpu-stranding, keep-empty, universal, sharing, or the directory of a model");
    add("teacher_scale", &plan->teacher_scale, "factor on its weights: below 1, prices weigh more");
    add("features", &plan->features, "evolution moves the weights of the first so many features (0 = all)");
    options_["lifetimes"] = app.add_flag("--lifetimes", plan->lifetimes, "evolution also moves the weights of when nodes will be empty, learned from the lives of the pods so far");
    add("loads", &plan->loads, "offered loads, e.g. 0.9,1.0,1.1; azure: hosts / peak need, e.g. 0.96,1");
    options_["loads"]->delimiter(',');
    add("warmup_hours", &plan->warmup_hours, "not counted");
    add("window_hours", &plan->window_hours, "counted");
    add("generations", &plan->generations, "updates of evolution");
    add("class_generations", &plan->class_generations, "of these, the last in which terms of single pod classes and GPU models move too");
    add("population", &plan->population, "candidates a generation");
    add("seeds_per_generation", &plan->seeds_per_generation, "fresh arrivals a generation");
    add("sigma", &plan->sigma, "first step of evolution");
    add("least_sigma", &plan->least_sigma, "steps of evolution do not shrink below this");
    add("hidden", &plan->hidden, "width of the network");
    add("imitate", &plan->imitate, "a teacher as above, e.g. a blended model, whose choices the network learns before it improves on them");
    add("imitation_updates", &plan->imitation_updates, "updates of that");
    add("imitation_lr", &plan->imitation_lr, "falls to 0 over them");
    add("critic_updates", &plan->critic_updates, "updates of the critic alone");
    add("ppo_updates", &plan->ppo_updates, "updates of PPO");
    add("groups", &plan->groups, "arrival sequences an update");
    add("rollouts", &plan->rollouts, "rollouts on each");
    add("decisions", &plan->decisions, "decisions a rollout");
    add("candidates", &plan->candidates, "actions kept a decision (0 = all)");
    add("minibatch", &plan->minibatch, "decisions");
    add("epochs", &plan->epochs, "passes over an update's decisions");
    add("critic_epochs", &plan->critic_epochs, "the same for the critic");
    add("lr", &plan->lr, "falls to 0 over the PPO updates");
    add("critic_lr", &plan->critic_lr, "constant");
    add("clip", &plan->clip, "of the probability ratio");
    add("target_kl", &plan->target_kl, "an update ends at 1.5 times this");
    add("entropy", &plan->entropy, "weight; falls to 0");
    add("kl_teacher", &plan->kl_teacher, "weight; falls to 0");
    add("horizon_s", &plan->horizon_s, "discount exp(-t / horizon)");
    add("credit_s", &plan->credit_s, "GAE's lambda exp(-t / credit)");
    add("best_probability", &plan->best_probability, "the temperature gives the teacher's best action this mean probability");
    add("rollout_nodes", &plan->rollout_nodes, "rollouts play on the workload scaled to this many nodes (0 = as it is)");
    add("network_generations", &plan->network_generations, "updates of evolution of the network's last layer, after PPO");
    add("most_harm", &plan->most_harm, "of several mixes: a network that may cost this share more on one, by the upper end of the interval, is not kept");
    add("validate_every", &plan->validate_every, "updates between validations");
    add("validation_seeds", &plan->validation_seeds, "seeds of a validation");
    add("gate_seeds", &plan->gate_seeds, "held-out seeds of the keep-best gate");
    add("test_seeds", &plan->test_seeds, "unseen seeds of the table at the end");
  }
  bool IsGiven(const std::string& field) const { return options_.at(field)->count() > 0; }

 private:
  std::map<std::string, CLI::Option*> options_;
};

// What was given, on top of the form's defaults; of a resumed run, its own plan, which the flags must not contradict.
absl::StatusOr<TrainingPlan> EffectivePlan(const TrainingPlan& parsed, const PlanOptions& given, const std::string& resume) {
  TrainingPlan base;
  if (resume.empty()) {
    BERTH_ASSIGN_OR_RETURN(base, DefaultPlan(parsed.form, parsed.protocol));
  } else {
    BERTH_ASSIGN_OR_RETURN(const Checkpoint checkpoint, ReadCheckpoint(resume));
    if (!checkpoint.state.contains("plan")) return InvalidField("checkpoint plan", "missing", "a training plan");
    BERTH_ASSIGN_OR_RETURN(base, PlanFromJson(checkpoint.state["plan"]));
  }
  nlohmann::json plan = PlanToJson(base);
  const nlohmann::json flags = PlanToJson(parsed);
  for (const auto& [field, value] : flags.items()) {
    if (!given.IsGiven(field)) continue;
    if (!resume.empty() && plan[field] != value) {
      return InvalidField(field, value.dump(), fmt::format("{}, as the run was begun with", plan[field].dump()));
    }
    plan[field] = value;
  }
  return PlanFromJson(plan);
}

std::string DefaultName(const Workload& workload, const TrainingPlan& plan) {
  std::string name;
  for (char c : workload.name) name += std::isalnum(static_cast<unsigned char>(c)) ? static_cast<char>(std::tolower(c)) : '-';
  if (plan.form != "loss") name += "-" + plan.form;
  return name.substr(0, 63);
}

absl::Status Run(const Flags& flags, const TrainingPlan& parsed, const PlanOptions& given, const std::string& config, const std::string& command, Crew* crew) {
  BERTH_ASSIGN_OR_RETURN(const TrainingPlan plan, EffectivePlan(parsed, given, flags.resume));
  BERTH_ASSIGN_OR_RETURN(const std::vector<Workload> workloads, PlannedWorkloads(plan));
  const Workload& workload = workloads.front();
  const std::string name = flags.name.empty() ? DefaultName(workload, plan) : flags.name;
  TrainerOptions options;
  options.run_dir = !flags.run.empty()      ? flags.run
                    : !flags.resume.empty() ? flags.resume
                                            : (std::filesystem::path(flags.out) / ".runs" / fmt::format("{}-{}", name, plan.seed)).string();
  options.resume_dir = flags.resume;
  options.steps = flags.steps;
  options.checkpoint_every = flags.checkpoint_every;
  options.jobs = flags.jobs;
  options.is_quiet = flags.is_quiet;
  options.crew = crew;
  LogInfo("training {}: {} nodes, form {}, {} updates; record in {}", name, workload.node_count(), plan.form, plan.total_updates(), options.run_dir);
  BERTH_ASSIGN_OR_RETURN(const auto trainer, Trainer::Create(workloads, plan, options));
  std::ofstream(std::filesystem::path(options.run_dir) / "config.yaml") << config;
  BERTH_RETURN_IF_ERROR(trainer->Run());
  BERTH_ASSIGN_OR_RETURN(const Outcome outcome, trainer->Finish());
  BERTH_ASSIGN_OR_RETURN(const Published published, Publish(workload, plan, outcome, {flags.out, name, command, flags.jobs, flags.is_quiet}));
  if (flags.is_json) {
    fmt::print("{}\n", nlohmann::json{{"model", published.dir}, {"version", published.version}, {"shipped", outcome.shipped},
                                      {"updates", outcome.updates}, {"run", options.run_dir}, {"metrics", published.metrics}}
                           .dump());
  } else {
    fmt::print("{}shipped: {}\n", published.table, outcome.shipped);
    if (outcome.is_rule()) fmt::print("no model: what was trained is not shown to beat it; serve the rule (--policy)\n");
    else fmt::print("model {}\n", published.dir);
  }
  return absl::OkStatus();
}

// Alone, or as one of the processes that the environment tells of: rank 0 trains, the others work for it.
absl::Status RunRank(const Flags& flags, const TrainingPlan& parsed, const PlanOptions& given, const std::string& config, const std::string& command) {
  BERTH_ASSIGN_OR_RETURN(const auto settings, RankSettingsFromEnvironment());
  if (!settings) return Run(flags, parsed, given, config, command, nullptr);
  BERTH_ASSIGN_OR_RETURN(const auto group, ProcessGroup::Join(*settings, flags.rank_timeout_s));
  if (group->rank() > 0) return WithContext(WorkFor(group.get(), flags.jobs), fmt::format("rank {}", group->rank()));
  LogInfo("{} processes", group->size());
  Crew crew(group.get());
  const absl::Status status = Run(flags, parsed, given, config, command, &crew);
  crew.End(status);
  return status;
}

int Main(int argc, char** argv) {
  PrepareTorch();
  if (argc > 1 && std::string_view(argv[1]) == "--bench") return BenchMain(argc - 1, argv + 1);
  CLI::App app("Trains a policy network offline, keeps checkpoints, and publishes a model", "berth train");
  app.footer(
      "Examples:\n"
      "  berth train --workload openb-like --seed 1 --out models\n"
      "  berth train --form static --name openb-static --out models\n"
      "  berth train --protocol churn --nodes NODES.csv --pods PODS.csv --sample-nodes 151 --lives exponential --load 0.9,1.0,1.1 --out models\n"
      "  berth train --protocol azure --dev v1.dev.txt --host 64/192 --out models\n"
      "  berth train --resume models/.runs/openb-like-1 --out models\n"
      "  torchrun --nproc-per-node 2 --no-python berth train --workload openb-like --out models");
  Flags flags;
  TrainingPlan plan;
  app.add_option("--out", flags.out, "models go to OUT/<name>/<version>")->capture_default_str();
  app.add_option("--name", flags.name, "of the model (default: the workload's, and the form where it is not loss)");
  app.add_option("--run", flags.run, "checkpoints, train.jsonl, TensorBoard event files (default: OUT/.runs/<name>-<seed>)");
  app.add_option("--resume", flags.resume, "go on from the checkpoint in this directory, with its plan");
  app.add_option("--steps", flags.steps, "stop after this many updates of the plan, in all (0 = its end)")->check(CLI::Range(int64_t{0}, int64_t{1'000'000'000}));
  app.add_option("--checkpoint-every", flags.checkpoint_every, "updates")->check(CLI::Range(1, 1'000'000))->capture_default_str();
  app.add_option("--jobs", flags.jobs, "threads of the environments (0 = one a core); does not change the result")->check(CLI::Range(0, 1024));
  app.add_option("--rank-timeout-s", flags.rank_timeout_s, "of several processes (RANK, WORLD_SIZE, MASTER_ADDR, MASTER_PORT): how long one waits for another")
      ->check(CLI::Range(1.0, 86400.0))->capture_default_str();
  app.add_flag("--json", flags.is_json, "print JSON");
  app.add_flag("--quiet", flags.is_quiet, "no progress");
  app.set_config("--config", "", "read flags from a file");
  const PlanOptions options(app, &plan);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  std::string command = "berth train";
  for (int i = 1; i < argc; ++i) command += fmt::format(" {}", argv[i]);
  const absl::Status status = RunRank(flags, plan, options, app.config_to_str(true, false), command);
  if (status.ok()) return 0;
  fmt::print(stderr, "berth train: {}\n", MessageOf(status));
  return status.code() == absl::StatusCode::kInvalidArgument ? 2 : 1;
}

}  // namespace
}  // namespace berth

int main(int argc, char** argv) { return berth::Main(argc, argv); }

#include "agent/training_plan.h"

#include <array>
#include <cmath>

#include "agent/teachers.h"
#include "base/quantity.h"
#include "base/status.h"
#include "env/env.h"
#include "evaluate/azure_protocol.h"
#include "fmt/format.h"
#include "workload/openb_churn.h"

namespace berth {
namespace {

constexpr uint64_t kMixSeed = 20'001;   // of the thinning whose mix a model looks ahead to, as `berth evaluate` has it

}  // namespace

NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(TrainingPlan, protocol, workload, nodes, pods, sample_nodes, lives, dev, host, keep, heavy_copies,
                                                mixes, mix_weights, price_beta, price_period, price_horizon, price_smoothing, typed_safety,
                                                multi_safety, seed, form, node_count, teacher, teacher_scale, features, lifetimes, loads, warmup_hours,
                                                window_hours, generations, class_generations, population, seeds_per_generation, sigma, least_sigma, hidden,
                                                imitate, imitation_updates, imitation_lr, critic_updates, ppo_updates, groups, rollouts, decisions, candidates, minibatch,
                                                epochs, critic_epochs, lr, critic_lr, clip, target_kl, entropy, kl_teacher,
                                                horizon_s, credit_s, best_probability, rollout_nodes, network_generations, most_harm, validate_every, validation_seeds,
                                                gate_seeds, test_seeds)

absl::StatusOr<TrainingPlan> DefaultPlan(std::string_view form, std::string_view protocol) {
  BERTH_ASSIGN_OR_RETURN(const Form parsed, ParseForm(form));
  TrainingPlan plan;
  plan.form = std::string(form);
  plan.protocol = std::string(protocol);
  if (protocol == "churn" || protocol == "azure") {
    plan.node_count = 0;
    plan.critic_updates = 0;
    plan.ppo_updates = 0;
    plan.validate_every = 5;
    plan.validation_seeds = 4;
  }
  if (protocol == "churn") {
    if (parsed == Form::kStatic) return InvalidField("form", form, "loss, queue for the churn protocol");
    plan.teacher = kBestTeacher;
    plan.loads = {0.9, 1.0, 1.1};
    plan.warmup_hours = 3;
    plan.price_period = 0.3;   // a cluster in balance changes slowly
    plan.price_smoothing = 0.3;
    plan.price_beta = 10;
    plan.generations = 22;
    plan.class_generations = 22;
    plan.sigma = 0.4;
    plan.least_sigma = 0.2;
    plan.gate_seeds = 12;
    plan.test_seeds = 8;
    return plan;
  }
  if (protocol == "azure") {
    if (parsed != Form::kLoss) return InvalidField("form", form, "loss for the azure protocol");
    plan.teacher = "cpu-stranding";
    plan.loads = {0.96, 1.0};
    plan.generations = 20;
    plan.class_generations = 20;
    plan.population = 12;
    plan.seeds_per_generation = 1;
    plan.sigma = 0.25;   // the weights of cpu-stranding are small, and what it gets right is soon lost
    plan.least_sigma = 0.1;
    plan.gate_seeds = 8;
    plan.test_seeds = 6;
    return plan;
  }
  if (protocol != "workload") return InvalidField("protocol", protocol, "workload, churn, azure");
  if (parsed == Form::kStatic) {
    plan.node_count = 0;
    plan.features = 0;
    plan.loads = {1.0};
    plan.seeds_per_generation = 2;
    plan.generations = 30;
    plan.least_sigma = 0.1;
    plan.horizon_s = 1e12;   // no discount: what is rejected late counts as much
    plan.credit_s = 1e12;    // nothing is lost before the end, and no time passes that would tell one decision from another
    plan.critic_updates = 4;
    plan.ppo_updates = 10;
  }
  return plan;
}

std::optional<PricedOptions> PricesOf(const TrainingPlan& plan) {
  if (plan.price_beta <= 0) return std::nullopt;
  PricedOptions options;
  options.beta = plan.price_beta;
  options.period = plan.price_period;
  options.horizon = plan.price_horizon;
  options.prices.smoothing = plan.price_smoothing;
  options.prices.typed_safety = plan.typed_safety;
  options.prices.multi_safety = plan.multi_safety;
  return options;
}

absl::Status ValidatePlan(const TrainingPlan& p) {
  BERTH_RETURN_IF_ERROR(ParseForm(p.form).status());
  if (p.teacher != kBestTeacher) BERTH_RETURN_IF_ERROR(TeacherWeights(p.teacher).status());
  if (p.protocol != "workload" && p.protocol != "churn" && p.protocol != "azure") return InvalidField("protocol", p.protocol, "workload, churn, azure");
  if (p.protocol == "azure") {
    if (p.dev.empty()) return InvalidField("dev", "", "the flavour file that is trained on, e.g. v1.dev.txt");
    AzureOptions unused;
    BERTH_RETURN_IF_ERROR(ParseHost("host", p.host, &unused));
    if (p.form != "loss") return InvalidField("form", p.form, "loss for the azure protocol");
    if (p.node_count != 0) return InvalidField("node_count", fmt::format("{}", p.node_count), "0 for the azure protocol: a replica has the hosts that it needs");
    if (!p.mixes.empty() || !p.mix_weights.empty()) return InvalidField("mixes, mix_weights", "given", "none for the azure protocol, which has heavy_copies");
    if (p.has_network()) return InvalidField("imitation_updates, critic_updates, ppo_updates, network_generations", "above 0", "0 for the azure protocol: rollouts play on drawn arrivals");
    if (p.heavy_copies.empty() || p.heavy_copies.size() > 16) return InvalidField("heavy_copies", fmt::format("{} numbers", p.heavy_copies.size()), "1 to 16 numbers");
    for (int copies : p.heavy_copies) {
      if (copies < 1 || copies > 100) return InvalidField("heavy_copies", fmt::format("{}", copies), "a number from 1 to 100");
    }
  }
  if (p.protocol == "churn") {
    BERTH_RETURN_IF_ERROR(ParseChurnLives(p.lives).status());
    if (p.nodes.empty() || p.pods.empty()) return InvalidField(p.nodes.empty() ? "nodes" : "pods", "", "an openb CSV file");
    if (p.node_count != 0) return InvalidField("node_count", fmt::format("{}", p.node_count), "0 for the churn protocol, which has sample_nodes");
    if (p.sample_nodes != "all") BERTH_RETURN_IF_ERROR(ParseInteger("sample_nodes", p.sample_nodes, 1, 1'000'000).status());
  }
  const auto check = [](std::string_view field, double value, double low, double high) -> absl::Status {
    if (value >= low && value <= high) return absl::OkStatus();   // false for NaN
    return InvalidField(field, fmt::format("{}", value), fmt::format("a number from {} to {}", low, high));
  };
  if (p.loads.empty() || p.loads.size() > 16) return InvalidField("loads", fmt::format("{} numbers", p.loads.size()), "1 to 16 numbers");
  for (double load : p.loads) BERTH_RETURN_IF_ERROR(check("loads", load, 1e-3, 10));
  for (const auto& [field, value, low, high] : std::initializer_list<std::tuple<const char*, double, double, double>>{
           {"keep", p.keep, 1e-6, 1},
           {"price_beta", p.price_beta, 0, 1000},
           {"price_period", p.price_period, 0.001, 1},
           {"price_horizon", p.price_horizon, 0.1, 100},
           {"price_smoothing", p.price_smoothing, 0.01, 1},
           {"typed_safety", p.typed_safety, 0.1, 100},
           {"multi_safety", p.multi_safety, 0.1, 100},
           {"teacher_scale", p.teacher_scale, 1e-3, 1e3},
           {"node_count", static_cast<double>(p.node_count), 0, 1e6},
           {"features", p.features, 0, kFeatureCount},
           {"warmup_hours", p.warmup_hours, 0, 1e4},
           {"window_hours", p.window_hours, 0.01, 1e4},
           {"generations", p.generations, 0, 1e5},
           {"class_generations", p.class_generations, 0, static_cast<double>(p.generations)},
           {"population", p.population, 4, 1000},
           {"seeds_per_generation", p.seeds_per_generation, 1, 100},
           {"sigma", p.sigma, 1e-6, 100},
           {"least_sigma", p.least_sigma, 0, 100},
           {"hidden", p.hidden, 1, 256},
           {"imitation_updates", p.imitation_updates, 0, 1e5},
           {"imitation_lr", p.imitation_lr, 0, 1},
           {"critic_updates", p.critic_updates, 0, 1e5},
           {"ppo_updates", p.ppo_updates, 0, 1e6},
           {"groups", p.groups, 1, 1000},
           {"rollouts", p.rollouts, 1, 1000},
           {"decisions", p.decisions, 1, 1e6},
           {"candidates", p.candidates, 0, 1e6},
           {"minibatch", p.minibatch, 1, 1e6},
           {"epochs", p.epochs, 1, 100},
           {"critic_epochs", p.critic_epochs, 1, 100},
           {"lr", p.lr, 0, 1},
           {"critic_lr", p.critic_lr, 0, 1},
           {"clip", p.clip, 1e-3, 1},
           {"target_kl", p.target_kl, 1e-6, 10},
           {"entropy", p.entropy, 0, 10},
           {"kl_teacher", p.kl_teacher, 0, 100},
           {"horizon_s", p.horizon_s, 1, 1e15},
           {"credit_s", p.credit_s, 1, 1e15},
           {"best_probability", p.best_probability, 0.1, 0.999},
           {"rollout_nodes", static_cast<double>(p.rollout_nodes), 0, 1e6},
           {"network_generations", p.network_generations, 0, 1e5},
           {"most_harm", p.most_harm, 1e-6, 1},
           {"validate_every", p.validate_every, 1, 1e6},
           {"validation_seeds", p.validation_seeds, 1, 1000},
           {"gate_seeds", p.gate_seeds, 2, 1000},
           {"test_seeds", p.test_seeds, 2, 1000}}) {
    BERTH_RETURN_IF_ERROR(check(field, value, low, high));
  }
  if (p.mixes.size() > 63) return InvalidField("mixes", fmt::format("{} workloads", p.mixes.size()), "at most 63");
  if (!p.mix_weights.empty() && p.mix_weights.size() != p.mixes.size() + 1) {
    return InvalidField("mix_weights", fmt::format("{} numbers", p.mix_weights.size()), fmt::format("none, or {}: one for the workload and one for each of the mixes", p.mixes.size() + 1));
  }
  for (double weight : p.mix_weights) BERTH_RETURN_IF_ERROR(check("mix_weights", weight, 0, 1e6));
  if (p.price_beta > 0 && p.form != "static" && p.has_network()) return InvalidField("price_beta", fmt::format("{}", p.price_beta), "0 where a network is trained and pods depart");
  if (!p.imitate.empty()) {
    if (const absl::Status status = TeacherWeights(p.imitate).status(); !status.ok()) return WithContext(status, "imitate");
  }
  if (p.imitate.empty() != (p.imitation_updates == 0)) {
    return InvalidField("imitation_updates", fmt::format("{}", p.imitation_updates), p.imitate.empty() ? "0 where imitate names nobody" : "1 or more where imitate names a teacher");
  }
  if (p.lifetimes && (p.form == "static" || p.has_network())) {
    return InvalidField("lifetimes", "true", "false in the static form, where nothing ends, and where a network is trained: rollouts do not look at lives");
  }
  if (p.class_generations > 0 && !p.mixes.empty()) {
    return InvalidField("class_generations", fmt::format("{}", p.class_generations), "0 with several mixes: each has classes of its own");
  }
  return absl::OkStatus();
}

std::span<const std::string> RulesToBeat(std::string_view protocol) {
  static const std::array<std::string, 6> churn = {"first-fit", "best-fit", "most-allocated", "most-allocated-gpu", "fgd", "fgd-keep-empty"};
  static const std::array<std::string, 5> azure = {"first-fit", "best-fit", "most-allocated", "fgd", "stranding"};
  if (protocol == "churn") return churn;
  if (protocol == "azure") return azure;
  return {};
}

absl::StatusOr<AzureTrace> PlannedTrace(const TrainingPlan& plan, AzureOptions* thinning) {
  thinning->keep_batches = plan.keep;
  BERTH_RETURN_IF_ERROR(ParseHost("host", plan.host, thinning));
  BERTH_ASSIGN_OR_RETURN(const AzureFiles files, AzureFilesBeside("dev", plan.dev));
  return ReadAzureTrace(files);
}

absl::StatusOr<std::vector<Workload>> PlannedWorkloads(const TrainingPlan& plan) {
  std::vector<Workload> workloads;
  if (plan.protocol == "churn") {
    OpenbChurnOptions options;
    if (plan.sample_nodes != "all") {
      BERTH_ASSIGN_OR_RETURN(options.sample_nodes, ParseInteger("sample_nodes", plan.sample_nodes, 1, 1'000'000));
    }
    BERTH_ASSIGN_OR_RETURN(options.lives, ParseChurnLives(plan.lives));
    BERTH_ASSIGN_OR_RETURN(workloads.emplace_back(), OpenbChurnWorkload(plan.nodes, plan.pods, options));
    return workloads;
  }
  if (plan.protocol == "azure") {
    AzureOptions thinning;
    BERTH_ASSIGN_OR_RETURN(const AzureTrace trace, PlannedTrace(plan, &thinning));
    BERTH_ASSIGN_OR_RETURN(AzureReplica replica, MakeAzureReplica(trace, thinning, kMixSeed));
    replica.workload.name = "azure-" + plan.host;
    replica.workload.node_groups[0].count = static_cast<int32_t>(std::ceil(replica.need_hosts));
    workloads.push_back(std::move(replica.workload));
    return workloads;
  }
  BERTH_ASSIGN_OR_RETURN(workloads.emplace_back(), LoadWorkloadByNameOrFile(plan.workload));
  for (const std::string& mix : plan.mixes) {
    BERTH_ASSIGN_OR_RETURN(workloads.emplace_back(), LoadWorkloadByNameOrFile(mix));
  }
  if (plan.node_count == 0) return workloads;
  for (Workload& w : workloads) {
    BERTH_ASSIGN_OR_RETURN(w, ScaleNodes(w, plan.node_count));
  }
  return workloads;
}

nlohmann::json PlanToJson(const TrainingPlan& plan) { return plan; }

absl::StatusOr<TrainingPlan> PlanFromJson(const nlohmann::json& json) {
  if (!json.is_object()) return InvalidField("plan", json.dump().substr(0, 64), "an object");
  const nlohmann::json known = PlanToJson(TrainingPlan());
  for (const auto& [key, value] : json.items()) {
    if (!known.contains(key)) return InvalidField("plan", key, "the fields of a training plan");
    const bool is_alike = known[key].is_number() ? value.is_number() : known[key].type() == value.type();
    if (!is_alike) return InvalidField(key, value.dump().substr(0, 64), fmt::format("a {}", known[key].type_name()));
  }
  TrainingPlan plan;
  try {
    plan = json.get<TrainingPlan>();
  } catch (const nlohmann::json::exception& error) {
    return InvalidField("plan", json.dump().substr(0, 64), error.what());
  }
  BERTH_RETURN_IF_ERROR(ValidatePlan(plan));
  return plan;
}

}  // namespace berth

#include "agent/arena.h"

#include <algorithm>
#include <limits>
#include <set>

#include "base/status.h"
#include "policy/potential/model_dir.h"
#include "policy/registry.h"

namespace berth {
namespace {

constexpr double kStaticUntil = 1.012;   // the curve at 100 % needs pods up to 100.5 %
constexpr double kLeastRejected = 1, kLeastWait = 10, kLeastUnallocated = 0.5;

std::vector<std::string> GpuModelsOf(const Workload& workload) {
  std::set<std::string> models;
  for (const NodeGroup& group : workload.node_groups) {
    if (group.node.gpu_count > 0 && !group.node.gpu_model.empty()) models.insert(group.node.gpu_model);
  }
  return {models.begin(), models.end()};
}

}  // namespace

std::vector<ArenaCase> CrossCases(uint64_t first_seed, int seeds, const std::vector<double>& loads) {
  std::vector<ArenaCase> cases;
  for (int i = 0; i < seeds; ++i) {
    for (double load : loads) cases.push_back({first_seed + static_cast<uint64_t>(i), load});
  }
  return cases;
}

absl::StatusOr<std::unique_ptr<Arena>> Arena::Create(const Workload& workload, const ArenaOptions& options) {
  PolicyContext context;
  context.mix = MixOf(workload);
  PolicyList rules;
  const bool has_gpus = LoadResourceOf(workload) == LoadResource::kGpu;
  for (const char* name : {"best-fit", has_gpus ? "most-allocated-gpu" : "most-allocated", "fgd"}) {
    BERTH_ASSIGN_OR_RETURN(auto rule, MakePolicy(name, context));
    rules.push_back(std::move(rule));
  }
  return std::unique_ptr<Arena>(new Arena(workload, options, std::move(rules)));
}

Arena::Arena(const Workload& workload, const ArenaOptions& options, PolicyList rules)
    : workload_(workload), options_(options), rules_(std::move(rules)),
      has_gpus_(LoadResourceOf(workload) == LoadResource::kGpu), nodes_(workload.Nodes()),
      mix_(MixOf(workload)), typical_(TypicalForModels(mix_)), class_models_(GpuModelsOf(workload)),
      tables_(typical_, options.class_weights ? std::optional(class_models_) : std::nullopt) {}

EnvOptions Arena::EnvOptionsFor(double load) const {
  EnvOptions options;
  options.form = options_.form;
  options.load = load;
  options.warmup_us = options_.warmup_us;
  options.window_us = options_.window_us;
  options.static_until = 1.0;
  if (options_.form == Form::kQueue) options.reward.waiting = 1;   // nothing is lost there
  return options;
}

absl::StatusOr<double> Arena::Run(const Policy& policy, const ArenaCase& c) const {
  const PolicyList one{std::shared_ptr<const Policy>(std::shared_ptr<void>(), &policy)};   // not owned
  if (options_.form == Form::kStatic) {
    std::vector<PodRequest> pods;
    const auto sequences = DrawFgdSequences(workload_, {c.seed}, kStaticUntil, &pods);
    BERTH_ASSIGN_OR_RETURN(const auto runs, RunFgdProtocol(nodes_, pods, sequences, one, {1, true}));
    const FgdRun& run = runs.front();
    return (run.unallocated_percent_at(100) + 0.3 * run.unallocated_percent_at(99) + 0.3 * run.unallocated_percent_at(98)) / 1.6;
  }
  ChurnOptions churn;
  churn.env = EnvOptionsFor(c.load);
  churn.loads = {c.load};
  churn.seeds = {c.seed};
  BERTH_ASSIGN_OR_RETURN(const auto runs, RunChurn(workload_, churn, one, {1, true}));
  const ChurnRun& run = runs.front();
  if (options_.form == Form::kQueue) return has_gpus_ ? run.wait_gpu_weighted_mean_s() : run.wait_mean_s();
  return has_gpus_ ? run.rejected_gpu_hours_percent() : run.rejected_cpu_hours_percent();
}

absl::StatusOr<std::vector<std::vector<double>>> Arena::Costs(std::span<const NetworkWeights> weights,
                                                              std::span<const ArenaCase> cases) {
  std::vector<std::vector<double>> costs(weights.size(), std::vector<double>(cases.size()));
  BERTH_RETURN_IF_ERROR(RunParallel(weights.size() * cases.size(), options_.jobs, [&](size_t i) -> absl::Status {
    const size_t w = i / cases.size(), c = i % cases.size();
    if (!weights[w].classes.empty()) {   // so many terms a state are dearer to keep than to compute anew
      BERTH_ASSIGN_OR_RETURN(const auto policy, MakeModelPolicy("in-training", "", weights[w], mix_));
      BERTH_ASSIGN_OR_RETURN(costs[w][c], Run(*policy, cases[c]));
      return absl::OkStatus();
    }
    FeatureTableLease table(tables_);
    const auto policy = MakeTablePolicy(weights[w], table.get());
    BERTH_ASSIGN_OR_RETURN(costs[w][c], Run(*policy, cases[c]));
    return absl::OkStatus();
  }));
  return costs;
}

absl::StatusOr<std::vector<double>> Arena::BestRule(std::span<const ArenaCase> cases) {
  std::vector<ArenaCase> missing;
  for (const ArenaCase& c : cases) {
    if (!best_rule_.contains(c) && std::find(missing.begin(), missing.end(), c) == missing.end()) missing.push_back(c);
  }
  std::vector<double> costs(missing.size() * rules_.size());
  BERTH_RETURN_IF_ERROR(RunParallel(costs.size(), options_.jobs, [&](size_t i) -> absl::Status {
    BERTH_ASSIGN_OR_RETURN(costs[i], Run(*rules_[i % rules_.size()], missing[i / rules_.size()]));
    return absl::OkStatus();
  }));
  for (size_t m = 0; m < missing.size(); ++m) {
    const auto first = costs.begin() + static_cast<std::ptrdiff_t>(m * rules_.size());
    best_rule_[missing[m]] = *std::min_element(first, first + static_cast<std::ptrdiff_t>(rules_.size()));
  }
  std::vector<double> best;
  for (const ArenaCase& c : cases) best.push_back(best_rule_.at(c));
  return best;
}

absl::Status Arena::MakeRelative(std::span<const ArenaCase> cases, std::vector<std::vector<double>>* costs) {
  BERTH_ASSIGN_OR_RETURN(const auto best, BestRule(cases));
  const double least = options_.form == Form::kStatic ? kLeastUnallocated : options_.form == Form::kQueue ? kLeastWait : kLeastRejected;
  for (auto& row : *costs) {
    for (size_t c = 0; c < cases.size(); ++c) row[c] /= std::max(best[c], least);
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<std::vector<double>>> Arena::RelativeCosts(std::span<const NetworkWeights> weights,
                                                                      std::span<const ArenaCase> cases) {
  BERTH_ASSIGN_OR_RETURN(auto costs, Costs(weights, cases));
  BERTH_RETURN_IF_ERROR(MakeRelative(cases, &costs));
  return costs;
}

absl::StatusOr<std::vector<std::vector<double>>> Arena::RelativeCostsOfRules(std::span<const std::string> names, std::span<const ArenaCase> cases) {
  PolicyContext context;
  context.mix = mix_;
  PolicyList rules;
  for (const std::string& name : names) {
    BERTH_ASSIGN_OR_RETURN(auto rule, MakePolicy(name, context));
    rules.push_back(std::move(rule));
  }
  std::vector<std::vector<double>> costs(rules.size(), std::vector<double>(cases.size()));
  BERTH_RETURN_IF_ERROR(RunParallel(rules.size() * cases.size(), options_.jobs, [&](size_t i) -> absl::Status {
    BERTH_ASSIGN_OR_RETURN(costs[i / cases.size()][i % cases.size()], Run(*rules[i / cases.size()], cases[i % cases.size()]));
    return absl::OkStatus();
  }));
  BERTH_RETURN_IF_ERROR(MakeRelative(cases, &costs));
  return costs;
}

}  // namespace berth

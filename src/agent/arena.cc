#include "agent/arena.h"

#include <algorithm>
#include <limits>
#include <set>

#include "base/status.h"
#include "policy/potential/model_dir.h"
#include "policy/registry.h"

namespace berth {
namespace {

constexpr double kStaticUntil = 1.312;   // the curve at 130 % needs pods up to 130.5 %
constexpr double kLeastOfTrace = 0.2, kLeastRejected = 1, kLeastWait = 10, kLeastUnallocated = 0.5;

std::vector<std::string> GpuModelsOf(const Workload& workload) {
  std::set<std::string> models;
  for (const NodeGroup& group : workload.node_groups) {
    if (group.node.gpu_count > 0 && !group.node.gpu_model.empty()) models.insert(group.node.gpu_model);
  }
  return {models.begin(), models.end()};
}

}  // namespace

std::vector<ArenaCase> CrossCases(uint64_t first_seed, int seeds, const std::vector<double>& loads, int mixes) {
  std::vector<ArenaCase> cases;
  for (int i = 0; i < seeds; ++i) {
    for (double load : loads) {
      for (int mix = 0; mix < mixes; ++mix) cases.push_back({first_seed + static_cast<uint64_t>(i), load, mix});
    }
  }
  return cases;
}

absl::StatusOr<std::unique_ptr<Arena>> Arena::Create(std::span<const Workload> workloads, const ArenaOptions& options) {
  std::vector<Mix> mixes;
  for (const Workload& workload : workloads) {
    Mix& mix = mixes.emplace_back();
    mix.workload = &workload;
    mix.has_gpus = LoadResourceOf(workload) == LoadResource::kGpu;
    mix.nodes = workload.Nodes();
    PolicyContext context;
    context.mix = MixOf(workload);
    mix.tables = std::make_unique<FeatureTablePool>(context.mix, options.class_weights ? std::optional(GpuModelsOf(workload)) : std::nullopt);
    for (const char* name : {"best-fit", mix.has_gpus ? "most-allocated-gpu" : "most-allocated", "fgd"}) {
      BERTH_ASSIGN_OR_RETURN(auto rule, MakePolicy(name, context));
      mix.rules.push_back(std::move(rule));
    }
  }
  return std::unique_ptr<Arena>(new Arena(options, std::move(mixes)));
}

std::vector<std::string> Arena::class_models() const { return GpuModelsOf(workload()); }

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

absl::StatusOr<Arena::Replicas> Arena::Thin(std::span<const ArenaCase> cases) const {
  Replicas replicas;
  if (!options_.trace) return replicas;
  for (const ArenaCase& c : cases) replicas[{c.seed, c.mix}];
  std::vector<Replicas::iterator> slots;
  for (auto it = replicas.begin(); it != replicas.end(); ++it) slots.push_back(it);
  BERTH_RETURN_IF_ERROR(RunParallel(slots.size(), options_.jobs, [&](size_t i) -> absl::Status {
    const auto [seed, mix] = slots[i]->first;
    AzureOptions thinning = options_.trace->thinning;
    thinning.heavy_copies = options_.trace->heavy_copies[static_cast<size_t>(mix)];
    BERTH_ASSIGN_OR_RETURN(slots[i]->second, MakeAzureReplica(options_.trace->trace, thinning, seed));
    return absl::OkStatus();
  }));
  return replicas;
}

absl::StatusOr<double> Arena::Run(const Policy& policy, const ArenaCase& c, const Replicas& replicas) const {
  if (options_.trace) {
    BERTH_ASSIGN_OR_RETURN(const AzureRun run, RunAzureReplica(replicas.at({c.seed, c.mix}), policy, c.load));
    return run.rejected_cpu_hours_percent + run.rejected_requests_percent;
  }
  const PolicyList one{std::shared_ptr<const Policy>(std::shared_ptr<void>(), &policy)};   // not owned
  const Mix& mix = MixFor(c);
  if (options_.form == Form::kStatic) {
    std::vector<PodRequest> pods;
    const auto sequences = DrawFgdSequences(*mix.workload, {c.seed}, kStaticUntil, true, &pods);
    BERTH_ASSIGN_OR_RETURN(const auto runs, RunFgdProtocol(mix.nodes, pods, sequences, one, {1, true}));
    const FgdRun& run = runs.front();
    double cost = 0, weights = 0;
    for (const auto& [arrived, weight] : {std::pair{98, 0.3}, {99, 0.3}, {100, 1.0}, {130, 0.4}}) {
      cost += weight * run.unallocated_percent_at(arrived);
      weights += weight;
    }
    return cost / weights;
  }
  ChurnOptions churn;
  churn.env = EnvOptionsFor(c.load);
  churn.loads = {c.load};
  churn.seeds = {c.seed};
  BERTH_ASSIGN_OR_RETURN(const auto runs, RunChurn(*mix.workload, churn, one, {1, true}));
  const ChurnRun& run = runs.front();
  if (options_.form == Form::kQueue) return mix.has_gpus ? run.wait_gpu_weighted_mean_s() : run.wait_mean_s();
  return mix.has_gpus ? run.rejected_gpu_hours_percent() : run.rejected_cpu_hours_percent();
}

absl::StatusOr<std::vector<std::vector<double>>> Arena::Costs(std::span<const NetworkWeights> weights,
                                                              std::span<const ArenaCase> cases) {
  BERTH_ASSIGN_OR_RETURN(const Replicas replicas, Thin(cases));
  std::vector<std::vector<double>> costs(weights.size(), std::vector<double>(cases.size()));
  BERTH_RETURN_IF_ERROR(RunParallel(weights.size() * cases.size(), options_.jobs, [&](size_t i) -> absl::Status {
    const size_t w = i / cases.size(), c = i % cases.size();
    FeatureTablePool& tables = *MixFor(cases[c]).tables;
    if (!weights[w].classes.empty()) {   // so many terms a state are dearer to keep than to compute anew
      BERTH_ASSIGN_OR_RETURN(const auto policy, MakeModelPolicy("in-training", "", weights[w], tables.mix(), options_.prices));
      BERTH_ASSIGN_OR_RETURN(costs[w][c], Run(*policy, cases[c], replicas));
      return absl::OkStatus();
    }
    FeatureTableLease table(tables);
    const auto policy = MakeTablePolicy(weights[w], table.get(), tables.mix(), options_.prices);
    BERTH_ASSIGN_OR_RETURN(costs[w][c], Run(*policy, cases[c], replicas));
    return absl::OkStatus();
  }));
  return costs;
}

absl::StatusOr<std::vector<double>> Arena::BestRule(std::span<const ArenaCase> cases) {
  std::vector<ArenaCase> missing;
  for (const ArenaCase& c : cases) {
    if (!best_rule_.contains(c) && std::find(missing.begin(), missing.end(), c) == missing.end()) missing.push_back(c);
  }
  const size_t rules = mixes_.front().rules.size();
  BERTH_ASSIGN_OR_RETURN(const Replicas replicas, Thin(missing));
  std::vector<double> costs(missing.size() * rules);
  BERTH_RETURN_IF_ERROR(RunParallel(costs.size(), options_.jobs, [&](size_t i) -> absl::Status {
    const ArenaCase& c = missing[i / rules];
    BERTH_ASSIGN_OR_RETURN(costs[i], Run(*MixFor(c).rules[i % rules], c, replicas));
    return absl::OkStatus();
  }));
  for (size_t m = 0; m < missing.size(); ++m) {
    const auto first = costs.begin() + static_cast<std::ptrdiff_t>(m * rules);
    best_rule_[missing[m]] = *std::min_element(first, first + static_cast<std::ptrdiff_t>(rules));
  }
  std::vector<double> best;
  for (const ArenaCase& c : cases) best.push_back(best_rule_.at(c));
  return best;
}

absl::Status Arena::DivideByMeans(std::span<const ArenaCase> cases) {
  BERTH_ASSIGN_OR_RETURN(const auto best, BestRule(cases));
  std::map<std::pair<double, int>, std::pair<double, int>> sums;
  for (size_t c = 0; c < cases.size(); ++c) {
    auto& [sum, count] = sums[{cases[c].load, cases[c].mix}];
    sum += best[c];
    ++count;
  }
  divisors_.clear();
  for (const auto& [key, sum] : sums) divisors_[key] = sum.first / sum.second;
  return absl::OkStatus();
}

absl::Status Arena::MakeRelative(std::span<const ArenaCase> cases, std::vector<std::vector<double>>* costs) {
  std::vector<double> best;
  for (const ArenaCase& c : cases) {
    const auto it = divisors_.find({c.load, c.mix});
    if (it != divisors_.end()) best.push_back(it->second);
  }
  if (best.size() != cases.size()) {
    BERTH_ASSIGN_OR_RETURN(best, BestRule(cases));
  }
  const double least = options_.form == Form::kStatic ? kLeastUnallocated : options_.form == Form::kQueue ? kLeastWait : options_.trace ? kLeastOfTrace : kLeastRejected;
  for (auto& row : *costs) {
    for (size_t c = 0; c < cases.size(); ++c) {
      row[c] /= std::max(best[c], least);
      if (!options_.mix_weights.empty()) row[c] *= options_.mix_weights[static_cast<size_t>(cases[c].mix)];
    }
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
  std::vector<PolicyList> rules(mixes_.size());
  for (size_t m = 0; m < mixes_.size(); ++m) {
    PolicyContext context;
    context.mix = mixes_[m].tables->mix();
    for (const std::string& name : names) {
      BERTH_ASSIGN_OR_RETURN(rules[m].emplace_back(), MakePolicy(name, context));
    }
  }
  BERTH_ASSIGN_OR_RETURN(const Replicas replicas, Thin(cases));
  std::vector<std::vector<double>> costs(names.size(), std::vector<double>(cases.size()));
  BERTH_RETURN_IF_ERROR(RunParallel(names.size() * cases.size(), options_.jobs, [&](size_t i) -> absl::Status {
    const size_t r = i / cases.size(), c = i % cases.size();
    BERTH_ASSIGN_OR_RETURN(costs[r][c], Run(*rules[WorkloadIndex(cases[c])][r], cases[c], replicas));
    return absl::OkStatus();
  }));
  BERTH_RETURN_IF_ERROR(MakeRelative(cases, &costs));
  return costs;
}

}  // namespace berth

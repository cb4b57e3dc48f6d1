#include "agent/arena.h"

#include <algorithm>
#include <limits>
#include <set>

#include "agent/tasks.h"
#include "base/status.h"
#include "fmt/format.h"
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

absl::StatusOr<std::vector<double>> Arena::PlayShare(const Players& players, std::span<const ArenaCase> cases, Share share) {
  const bool has_weights = !players.weights.empty(), has_names = !players.rules.empty();
  std::vector<PolicyList> rules(mixes_.size());
  for (size_t m = 0; m < mixes_.size() && !has_weights; ++m) {
    if (!has_names) rules[m] = mixes_[m].rules;
    PolicyContext context;
    context.mix = mixes_[m].tables->mix();
    for (const std::string& name : players.rules) {
      BERTH_ASSIGN_OR_RETURN(rules[m].emplace_back(), MakePolicy(name, context));
    }
  }
  const size_t count = has_weights ? players.weights.size() : rules.front().size();
  std::vector<double> costs(count * cases.size());
  std::vector<ArenaCase> ours;
  for (size_t i = 0; i < costs.size(); ++i) {
    if (share.has(i)) ours.push_back(cases[i % cases.size()]);
  }
  BERTH_ASSIGN_OR_RETURN(const Replicas replicas, Thin(ours));
  BERTH_RETURN_IF_ERROR(RunParallel(costs.size(), options_.jobs, [&](size_t i) -> absl::Status {
    if (!share.has(i)) return absl::OkStatus();
    const ArenaCase& c = cases[i % cases.size()];
    if (!has_weights) {
      BERTH_ASSIGN_OR_RETURN(costs[i], Run(*rules[WorkloadIndex(c)][i / cases.size()], c, replicas));
      return absl::OkStatus();
    }
    const NetworkWeights& weights = players.weights[i / cases.size()];
    FeatureTablePool& tables = *MixFor(c).tables;
    if (!weights.classes.empty()) {   // so many terms a state are dearer to keep than to compute anew
      BERTH_ASSIGN_OR_RETURN(const auto policy, MakeModelPolicy("in-training", "", weights, tables.mix(), options_.prices));
      BERTH_ASSIGN_OR_RETURN(costs[i], Run(*policy, c, replicas));
      return absl::OkStatus();
    }
    FeatureTableLease table(tables);
    const auto policy = MakeTablePolicy(weights, table.get(), tables.mix(), options_.prices);
    BERTH_ASSIGN_OR_RETURN(costs[i], Run(*policy, c, replicas));
    return absl::OkStatus();
  }));
  return costs;
}

absl::StatusOr<std::vector<std::vector<double>>> Arena::Play(Players players, std::span<const ArenaCase> cases) {
  std::vector<double> flat;
  if (options_.crew == nullptr) {
    BERTH_ASSIGN_OR_RETURN(flat, PlayShare(players, cases, {}));
  } else {
    BytesOut task;
    task(options_.number, players, std::vector<ArenaCase>(cases.begin(), cases.end()));
    const size_t ranks = options_.crew->size();
    BERTH_ASSIGN_OR_RETURN(const auto answers, options_.crew->Ask(TaskKind::kCosts, task.Take(), [&]() -> absl::StatusOr<std::string> {
      BERTH_ASSIGN_OR_RETURN(flat, PlayShare(players, cases, {0, ranks}));
      return std::string();
    }));
    for (size_t r = 1; r < ranks; ++r) {
      std::vector<double> theirs;
      BytesIn in(answers[r]);
      in(theirs);
      if (!in.is_whole() || theirs.size() != flat.size()) return absl::InternalError(fmt::format("rank {}: {} costs, not {}", r, theirs.size(), flat.size()));
      for (size_t i = r; i < flat.size(); i += ranks) flat[i] = theirs[i];
    }
  }
  std::vector<std::vector<double>> costs;
  for (auto row = flat.begin(); row != flat.end(); row += std::ssize(cases)) costs.emplace_back(row, row + std::ssize(cases));
  return costs;
}

absl::StatusOr<std::string> AnswerCosts(Arena& arena, std::string_view task, Share share) {
  uint8_t number = 0;
  Players players;
  std::vector<ArenaCase> cases;
  BytesIn in(task);
  in(number, players, cases);
  const auto is_known = [&](const ArenaCase& c) { return c.mix >= 0 && c.mix < arena.mixes(); };
  if (!in.is_whole() || cases.empty() || !std::all_of(cases.begin(), cases.end(), is_known)) return absl::InternalError("a task of costs that is cut short or of other mixes");
  BERTH_ASSIGN_OR_RETURN(const auto costs, arena.PlayShare(players, cases, share));
  BytesOut out;
  out(costs);
  return out.Take();
}

absl::StatusOr<std::vector<std::vector<double>>> Arena::Costs(std::span<const NetworkWeights> weights, std::span<const ArenaCase> cases) {
  if (weights.empty() || cases.empty()) return std::vector<std::vector<double>>(weights.size());
  return Play({.weights = {weights.begin(), weights.end()}, .rules = {}}, cases);
}

absl::StatusOr<std::vector<double>> Arena::BestRule(std::span<const ArenaCase> cases) {
  std::vector<ArenaCase> missing;
  for (const ArenaCase& c : cases) {
    if (!best_rule_.contains(c) && std::find(missing.begin(), missing.end(), c) == missing.end()) missing.push_back(c);
  }
  if (!missing.empty()) {
    BERTH_ASSIGN_OR_RETURN(const auto costs, Play({}, missing));
    for (size_t m = 0; m < missing.size(); ++m) {
      double best = costs.front()[m];
      for (const auto& row : costs) best = std::min(best, row[m]);
      best_rule_[missing[m]] = best;
    }
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
  std::vector<std::vector<double>> costs(names.size());
  if (names.empty() || cases.empty()) return costs;
  BERTH_ASSIGN_OR_RETURN(costs, Play({.weights = {}, .rules = {names.begin(), names.end()}}, cases));
  BERTH_RETURN_IF_ERROR(MakeRelative(cases, &costs));
  return costs;
}

}  // namespace berth

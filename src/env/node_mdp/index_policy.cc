#include "env/node_mdp/index_policy.h"

#include <algorithm>
#include <numeric>

#include "base/status.h"
#include "env/env.h"
#include "fmt/format.h"
#include "policy/potential/table_potential.h"
#include "policy/registry.h"

namespace berth {
namespace {

// Mean life of what runs, weighted by demand: how long a cluster remembers.
double MeanLifeS(const NodeMdpSolution& solution, const Workload& workload) {
  double sum = 0, total = 0;
  for (const NodeMdpClass& c : solution.classes) {
    const double running = c.fair_per_h * c.demand;
    sum += running * workload.pod_classes[c.pod_class].lifetime.mean_s;
    total += running;
  }
  return sum / total;
}

absl::Status CheckTrial(const IndexTrialOptions& trial) {
  const auto check = [](std::string_view field, bool is_good, double value, std::string_view accepted) {
    return is_good ? absl::OkStatus() : InvalidField(field, fmt::format("{}", value), accepted);
  };
  if (trial.candidates.empty() || trial.loads.empty() || trial.seeds.empty()) {
    return InvalidField("trial candidates, loads and seeds", "an empty list", "one or more of each");
  }
  BERTH_RETURN_IF_ERROR(
      check("trial max_nodes", trial.max_nodes >= 1, static_cast<double>(trial.max_nodes), "1 or more"));
  BERTH_RETURN_IF_ERROR(check("trial warmup_lives", trial.warmup_lives >= 0 && trial.warmup_lives <= 1e6,
                              trial.warmup_lives, "a number from 0 to 1000000"));
  BERTH_RETURN_IF_ERROR(check("trial window_lives", trial.window_lives > 0 && trial.window_lives <= 1e6,
                              trial.window_lives, "a number above 0, at most 1000000"));
  return check("trial max_arrivals", trial.max_arrivals >= 1, static_cast<double>(trial.max_arrivals), "1 or more");
}

absl::StatusOr<std::vector<double>> Rejected(const Workload& workload, const Policy& policy,
                                             const IndexTrialOptions& trial, double life_s, LoadResource resource) {
  std::vector<double> percent;
  for (double load : trial.loads) {
    const double most_s = static_cast<double>(trial.max_arrivals) / ArrivalRatePerS(workload, load);
    const double length_s = std::min((trial.warmup_lives + trial.window_lives) * life_s, most_s);
    const double warmup_s = length_s * trial.warmup_lives / (trial.warmup_lives + trial.window_lives);
    EnvOptions options;
    options.form = Form::kLoss;
    options.load = load;
    options.warmup_us = static_cast<int64_t>(1e6 * warmup_s);
    options.window_us = std::max<int64_t>(1, static_cast<int64_t>(1e6 * (length_s - warmup_s)));
    options.cluster.key_fields = policy.info().key_fields;
    BERTH_ASSIGN_OR_RETURN(const auto env, Env::Create(workload, options));
    double sum = 0;
    for (uint64_t seed : trial.seeds) {
      const auto decider = policy.NewDecider();
      BERTH_RETURN_IF_ERROR(RunEpisode(*env, *decider, seed));
      const EnvStats& stats = env->stats();
      const bool is_memory = resource == LoadResource::kMemory;
      const double offered = is_memory ? stats.offered_mem_hours : stats.offered_cpu_hours;
      sum += offered > 0 ? 100 * (is_memory ? stats.rejected_mem_hours : stats.rejected_cpu_hours) / offered : 0;
    }
    percent.push_back(sum / static_cast<double>(trial.seeds.size()));
  }
  return percent;
}

}  // namespace

absl::StatusOr<IndexSolution> SolveIndex(const Workload& workload, const IndexOptions& options) {
  IndexSolution best;
  if (!options.chooses_m) {
    BERTH_ASSIGN_OR_RETURN(best.mdp, SolveNodeMdp(workload, options.mdp));
    return best;
  }
  const IndexTrialOptions& trial = options.trial;
  BERTH_RETURN_IF_ERROR(CheckTrial(trial));
  Workload drawn = workload;
  drawn.arrivals.clear();
  if (static_cast<int64_t>(drawn.node_count()) > trial.max_nodes) {
    BERTH_ASSIGN_OR_RETURN(drawn, ScaleNodes(drawn, trial.max_nodes));
  }
  double least = 0;
  for (double m : trial.candidates) {
    NodeMdpOptions mdp = options.mdp;
    mdp.m = m;
    BERTH_ASSIGN_OR_RETURN(NodeMdpSolution solution, SolveNodeMdp(workload, mdp));
    const double life_s = MeanLifeS(solution, workload);
    if (best.trials.empty()) {
      BERTH_ASSIGN_OR_RETURN(const auto best_fit, MakePolicy("best-fit", {}));
      BERTH_ASSIGN_OR_RETURN(auto rejected, Rejected(drawn, *best_fit, trial, life_s, solution.resource));
      best.trials.push_back({0, std::move(rejected)});
    }
    BERTH_ASSIGN_OR_RETURN(auto rejected,
                           Rejected(drawn, *MakeTablePolicy(TablesOf(solution)), trial, life_s, solution.resource));
    const double sum = std::accumulate(rejected.begin(), rejected.end(), 0.0);
    if (best.trials.size() == 1 || sum < least) {
      least = sum;
      best.mdp = std::move(solution);
    }
    best.trials.push_back({m, std::move(rejected)});
  }
  return best;
}

absl::StatusOr<std::shared_ptr<const Policy>> MakeIndexPolicy(const Workload& workload, const IndexOptions& options) {
  BERTH_ASSIGN_OR_RETURN(const IndexSolution solution, SolveIndex(workload, options));
  return MakeTablePolicy(TablesOf(solution.mdp));
}

}  // namespace berth

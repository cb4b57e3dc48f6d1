#include "env/node_mdp/index_policy.h"

#include <algorithm>
#include <limits>
#include <numeric>
#include <utility>

#include "base/status.h"
#include "env/env.h"
#include "policy/potential/table_potential.h"
#include "policy/registry.h"

namespace berth {
namespace {

double Sum(const IndexTrial& trial) {
  return std::accumulate(trial.rejected_percent.begin(), trial.rejected_percent.end(), 0.0);
}

absl::Status TryRules(const std::vector<std::string>& rules, const Workload& workload, const IndexTrials& trials,
                      std::vector<IndexTrial>& tried) {
  PolicyContext context;
  context.mix = MixOf(workload);
  for (const std::string& rule : rules) {
    BERTH_ASSIGN_OR_RETURN(const auto policy, MakePolicy(rule, context));
    BERTH_ASSIGN_OR_RETURN(auto rejected, trials.Rejected(*policy));
    tried.push_back({.m = 0, .rule = rule, .rejected_percent = std::move(rejected)});
  }
  return absl::OkStatus();
}

std::shared_ptr<const Policy> PolicyOf(const NodeMdpSolution& solution) { return MakeTablePolicy(TablesOf(solution)); }
std::shared_ptr<const Policy> PolicyOf(const GpuNodeMdpSolution& solution) {
  return MakeGpuTablePolicy(TablesOf(solution));
}

// Solves each candidate and keeps the one that rejects least. solve(candidate, trial) also writes what the trial is
// called by.
template <class Solution, class Candidate, class Solve>
absl::StatusOr<Solution> Choose(const Workload& workload, const std::vector<std::string>& rules,
                                const std::vector<Candidate>& candidates, const IndexTrialOptions& options,
                                const Solve& solve) {
  if (candidates.empty()) return InvalidField("candidates", "an empty list", "one or more");
  BERTH_ASSIGN_OR_RETURN(const IndexTrials trials, IndexTrials::Create(workload, options));
  Solution best;
  double least = std::numeric_limits<double>::infinity();
  for (const Candidate& candidate : candidates) {
    IndexTrial trial;
    BERTH_ASSIGN_OR_RETURN(auto mdp, solve(candidate, trial));  // names what no trial can run
    if (best.trials.empty()) BERTH_RETURN_IF_ERROR(TryRules(rules, workload, trials, best.trials));
    BERTH_ASSIGN_OR_RETURN(trial.rejected_percent, trials.Rejected(*PolicyOf(mdp)));
    if (Sum(trial) < least) {
      least = Sum(trial);
      best.mdp = std::move(mdp);
    }
    best.trials.push_back(std::move(trial));
  }
  return best;
}

}  // namespace

bool BeatsRules(const std::vector<IndexTrial>& trials) {
  double rule = std::numeric_limits<double>::infinity(), index = rule;
  for (const IndexTrial& t : trials) (t.m == 0 ? rule : index) = std::min(t.m == 0 ? rule : index, Sum(t));
  return index <= rule;
}

absl::StatusOr<IndexSolution> SolveIndex(const Workload& workload, const IndexOptions& options) {
  if (!options.chooses_m) {
    IndexSolution given;
    BERTH_ASSIGN_OR_RETURN(given.mdp, SolveNodeMdp(workload, options.mdp));
    return given;
  }
  const auto solve = [&](double m, IndexTrial& trial) {
    NodeMdpOptions mdp = options.mdp;
    mdp.m = trial.m = m;
    return SolveNodeMdp(workload, mdp);
  };
  return Choose<IndexSolution>(workload, {"best-fit"}, options.candidates, options.trial, solve);
}

absl::StatusOr<GpuIndexSolution> SolveGpuIndex(const Workload& workload, const GpuIndexOptions& options) {
  if (!options.chooses) {
    GpuIndexSolution given;
    BERTH_ASSIGN_OR_RETURN(given.mdp, SolveGpuNodeMdp(workload, options.mdp));
    return given;
  }
  const auto solve = [&](const GpuIndexOptions::Candidate& candidate, IndexTrial& trial) {
    GpuNodeMdpOptions mdp = options.mdp;
    mdp.m = trial.m = candidate.m;
    mdp.units = trial.units = candidate.units;
    return SolveGpuNodeMdp(workload, mdp);
  };
  return Choose<GpuIndexSolution>(workload, {"best-fit", "fgd", "fgd-keep-empty"}, options.candidates, options.trial,
                                  solve);
}

absl::StatusOr<std::shared_ptr<const Policy>> MakeIndexPolicy(const Workload& workload) {
  if (LoadResourceOf(workload) == LoadResource::kGpu) {
    BERTH_ASSIGN_OR_RETURN(const GpuIndexSolution solution, SolveGpuIndex(workload, {}));
    return PolicyOf(solution.mdp);
  }
  BERTH_ASSIGN_OR_RETURN(const IndexSolution solution, SolveIndex(workload, {}));
  return PolicyOf(solution.mdp);
}

}  // namespace berth

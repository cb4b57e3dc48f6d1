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

// Keeps what rejected less than all candidates before.
template <class Solution, class Mdp>
void Keep(IndexTrial trial, Mdp mdp, double& least, Solution& best) {
  if (Sum(trial) < least) {
    least = Sum(trial);
    best.mdp = std::move(mdp);
  }
  best.trials.push_back(std::move(trial));
}

}  // namespace

bool BeatsRules(const std::vector<IndexTrial>& trials) {
  double rule = std::numeric_limits<double>::infinity(), index = rule;
  for (const IndexTrial& t : trials) (t.m == 0 ? rule : index) = std::min(t.m == 0 ? rule : index, Sum(t));
  return index <= rule;
}

absl::StatusOr<IndexSolution> SolveIndex(const Workload& workload, const IndexOptions& options) {
  IndexSolution best;
  if (!options.chooses_m) {
    BERTH_ASSIGN_OR_RETURN(best.mdp, SolveNodeMdp(workload, options.mdp));
    return best;
  }
  if (options.candidates.empty()) return InvalidField("candidates", "an empty list", "one or more");
  double least = std::numeric_limits<double>::infinity();
  for (const double m : options.candidates) {
    NodeMdpOptions mdp = options.mdp;
    mdp.m = m;
    BERTH_ASSIGN_OR_RETURN(NodeMdpSolution solution, SolveNodeMdp(workload, mdp));
    BERTH_ASSIGN_OR_RETURN(const IndexTrials trials, IndexTrials::Create(workload, options.trial));
    if (best.trials.empty()) BERTH_RETURN_IF_ERROR(TryRules({"best-fit"}, workload, trials, best.trials));
    BERTH_ASSIGN_OR_RETURN(auto rejected, trials.Rejected(*MakeTablePolicy(TablesOf(solution))));
    Keep({m, 0, "", std::move(rejected)}, std::move(solution), least, best);
  }
  return best;
}

absl::StatusOr<GpuIndexSolution> SolveGpuIndex(const Workload& workload, const GpuIndexOptions& options) {
  GpuIndexSolution best;
  if (!options.chooses) {
    BERTH_ASSIGN_OR_RETURN(best.mdp, SolveGpuNodeMdp(workload, options.mdp));
    return best;
  }
  if (options.candidates.empty()) return InvalidField("candidates", "an empty list", "one or more");
  double least = std::numeric_limits<double>::infinity();
  for (const GpuIndexOptions::Candidate& candidate : options.candidates) {
    GpuNodeMdpOptions mdp = options.mdp;
    mdp.m = candidate.m;
    mdp.units = candidate.units;
    BERTH_ASSIGN_OR_RETURN(GpuNodeMdpSolution solution, SolveGpuNodeMdp(workload, mdp));
    BERTH_ASSIGN_OR_RETURN(const IndexTrials trials, IndexTrials::Create(workload, options.trial));
    if (best.trials.empty()) {
      BERTH_RETURN_IF_ERROR(TryRules({"best-fit", "fgd", "fgd-keep-empty"}, workload, trials, best.trials));
    }
    BERTH_ASSIGN_OR_RETURN(auto rejected, trials.Rejected(*MakeGpuTablePolicy(TablesOf(solution))));
    Keep({candidate.m, candidate.units, "", std::move(rejected)}, std::move(solution), least, best);
  }
  return best;
}

absl::StatusOr<std::shared_ptr<const Policy>> MakeIndexPolicy(const Workload& workload) {
  if (LoadResourceOf(workload) == LoadResource::kGpu) {
    BERTH_ASSIGN_OR_RETURN(GpuIndexSolution solution, SolveGpuIndex(workload, {}));
    return MakeGpuTablePolicy(TablesOf(solution.mdp));
  }
  BERTH_ASSIGN_OR_RETURN(const IndexSolution solution, SolveIndex(workload, {}));
  return MakeTablePolicy(TablesOf(solution.mdp));
}

}  // namespace berth

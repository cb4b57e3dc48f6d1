// The policy `index`: a pod goes where h(after) - h(before) is greatest, h from the per-node decision process
// (node_mdp.h).
#ifndef BERTH_ENV_NODE_MDP_INDEX_POLICY_H_
#define BERTH_ENV_NODE_MDP_INDEX_POLICY_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "cluster/policy.h"
#include "env/node_mdp/gpu_node_mdp.h"
#include "env/node_mdp/index_trial.h"
#include "env/node_mdp/node_mdp.h"
#include "workload/workload.h"

namespace berth {

struct IndexOptions {
  NodeMdpOptions mdp;
  bool chooses_m = true;  // else mdp.m is taken
  // Each is solved and simulated on the same training runs; the one that rejects least is kept, the smaller of equals.
  std::vector<double> candidates = {1, 3, 6, 12};  // as NodeMdpOptions::m
  IndexTrialOptions trial;
};

// The same for a workload with GPUs.
struct GpuIndexOptions {
  GpuNodeMdpOptions mdp;
  bool chooses = true;  // else m and units of mdp are taken
  struct Candidate {
    double m;
    int32_t units;
  };
  std::vector<Candidate> candidates = {{4, 4}, {8, 4}, {4, 8}, {8, 8}};
  IndexTrialOptions trial;
};

// What one candidate, or a rule for comparison, rejected in the training runs.
struct IndexTrial {
  double m = 0;                          // 0: a rule, which is there to compare with
  int32_t units = 0;                     // with GPUs; else 0
  std::string rule;                      // of m = 0
  std::vector<double> rejected_percent;  // as IndexTrials::Rejected
};

struct IndexSolution {
  NodeMdpSolution mdp;             // of the m that was kept
  std::vector<IndexTrial> trials;  // best-fit first; empty where m was given
};

// Errors: as SolveNodeMdp and IndexTrials. Cost: some seconds with trials, else that of SolveNodeMdp.
// Deterministic. A recorded workload is tried on arrivals drawn from its classes, never on the record.
absl::StatusOr<IndexSolution> SolveIndex(const Workload& workload, const IndexOptions& options);

struct GpuIndexSolution {
  GpuNodeMdpSolution mdp;          // of the candidate that was kept
  std::vector<IndexTrial> trials;  // best-fit, fgd and fgd-keep-empty first; empty where m and units were given
};

// Errors: as SolveGpuNodeMdp and IndexTrials. Cost: minutes with trials.
absl::StatusOr<GpuIndexSolution> SolveGpuIndex(const Workload& workload, const GpuIndexOptions& options);

// False where a rule rejected less than every candidate; true where none was tried.
bool BeatsRules(const std::vector<IndexTrial>& trials);

// SolveIndex or SolveGpuIndex, by the workload, and the policy of its tables.
absl::StatusOr<std::shared_ptr<const Policy>> MakeIndexPolicy(const Workload& workload);

}  // namespace berth

#endif  // BERTH_ENV_NODE_MDP_INDEX_POLICY_H_

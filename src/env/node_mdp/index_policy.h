// The policy `index`: a pod goes where h(after) - h(before) is greatest, h from the per-node decision process
// (node_mdp.h).
#ifndef BERTH_ENV_NODE_MDP_INDEX_POLICY_H_
#define BERTH_ENV_NODE_MDP_INDEX_POLICY_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "cluster/policy.h"
#include "env/node_mdp/node_mdp.h"
#include "workload/workload.h"

namespace berth {

// How m is chosen: each candidate is solved and simulated (loss form) on the same training runs; the one that rejects
// least is kept, the smaller of equals. Keep test seeds out of `seeds`.
struct IndexTrialOptions {
  std::vector<double> candidates = {1, 3, 6, 12};  // each as NodeMdpOptions::m
  std::vector<double> loads = {0.9, 1.0};          // offered, of the runs
  std::vector<uint64_t> seeds = {900'001, 900'002, 900'003, 900'004};
  int64_t max_nodes = 200;                     // a larger cluster is scaled down for the runs
  double warmup_lives = 5, window_lives = 20;  // length of a run in mean lives (weighted by load)
  int64_t max_arrivals = 200'000;              // of a run; a longer one is cut
};

struct IndexOptions {
  NodeMdpOptions mdp;
  bool chooses_m = true;  // else mdp.m is taken
  IndexTrialOptions trial;
};

// What one candidate, or a rule for comparison, rejected in the training runs.
struct IndexTrial {
  double m = 0;                          // 0: best-fit, which is there to compare with
  std::vector<double> rejected_percent;  // by load: rejected / offered hours of the load resource, mean over seeds
};

struct IndexSolution {
  NodeMdpSolution mdp;             // of the m that was kept
  std::vector<IndexTrial> trials;  // best-fit first; empty where m was given
};

// Errors: as SolveNodeMdp; INVALID_ARGUMENT a trial option. Cost: some seconds with trials, else that of SolveNodeMdp.
// Deterministic. A recorded workload is tried on arrivals drawn from its classes, never on the record.
absl::StatusOr<IndexSolution> SolveIndex(const Workload& workload, const IndexOptions& options);

// SolveIndex and the policy of its tables.
absl::StatusOr<std::shared_ptr<const Policy>> MakeIndexPolicy(const Workload& workload, const IndexOptions& options);

}  // namespace berth

#endif  // BERTH_ENV_NODE_MDP_INDEX_POLICY_H_

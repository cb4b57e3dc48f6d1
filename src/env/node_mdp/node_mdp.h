// The per-node MDP of a workload, and the index policy that its value makes.
//
// One node sees pods of each class arrive at m times its fair share of the cluster's stream and may take or refuse each.
// Taking a pod of class k earns r_k = cpu x mean life, less a price nu_k. Prices are moved until the node takes just its fair
// share, so that the price of a class says what it costs the cluster to find room for it elsewhere (Lagrangian relaxation of
// the coupling "each pod goes to one node": Hawkins, MIT 2003; Whittle 1988). h, the relative value at those prices, ranks
// nodes: a pod goes where h(before) - h(after) is least. m > 1 stands for a cluster of m nodes that compete for a pod; at
// m = 1 the table is worse than best-fit on large clusters.
//
// State      used (cpu, memory) of the node on a grid. What a node of each kind runs is not part of it: the number of class-k
//            pods is taken at its most likely value given the used amounts (maximum entropy around the offered load).
// Criterion  average reward per second; the gain comes with certified bounds (src/mdp).
// Limits     shapes without GPUs; a workload with GPUs is an error.
#ifndef BERTH_ENV_NODE_MDP_NODE_MDP_H_
#define BERTH_ENV_NODE_MDP_NODE_MDP_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "cluster/policy.h"
#include "policy/potential/table_potential.h"
#include "workload/workload.h"

namespace berth {

struct NodeMdpOptions {
  double m = 6;                  // pretended cluster size, [1, 100]
  double design_load = 1.1;      // offered load that the prices are made for, (0, 10]
  int32_t max_cpu_levels = 128;  // grid sizes, [4, 1024]
  int32_t max_mem_levels = 256;
  int32_t price_steps = 120;     // [1, 100000]
  double tolerance = 1e-4;       // certified half width of the gain, as a share of the gain without prices
};

// Of one node shape.
struct NodeMdpSolution {
  std::string shape;                       // name of the first node group of this shape
  ValueTable table;                        // h by used cpu and memory
  std::vector<double> prices;              // nu_k / r_k by pod class; 0 for a class that never fits
  std::vector<double> accepted_share;      // taken / fair share by pod class, at the last prices
  double gain = 0, gain_lower = 0, gain_upper = 0;   // vCPU taken, mean in use: reward per second
  int64_t sweeps = 0;                      // over all price steps
  double mem_rounding_percent = 0, cpu_rounding_percent = 0;   // load-weighted mean |rounding| of the requests
};

// Errors: INVALID_ARGUMENT an option, a workload with GPUs, or one without lifetimes; naming it. Cost: seconds for a grid of
// 10,000 states and ten classes. Deterministic.
absl::StatusOr<std::vector<NodeMdpSolution>> SolveNodeMdps(const Workload& workload, const NodeMdpOptions& options);

// The policy `index` of solved tables.
std::shared_ptr<const Policy> MakeIndexPolicy(const std::vector<NodeMdpSolution>& solutions);

// Solves and makes the policy in one step.
absl::StatusOr<std::shared_ptr<const Policy>> MakeIndexPolicy(const Workload& workload, const NodeMdpOptions& options);

}  // namespace berth

#endif  // BERTH_ENV_NODE_MDP_NODE_MDP_H_

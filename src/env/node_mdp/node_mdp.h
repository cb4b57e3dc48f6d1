// The per-node decision process of a workload, solved: what a node's free state is worth.
//
// One node meets the pods of every class at m times its fair share of the cluster's stream and takes or refuses each;
// taking one of class k earns price_k. The prices solve
//   min over prices of gain(prices) / sum_k fair_k price_k   =   max over policies of min_k taken_k / fair_k
// (duality of the zero-sum game "policy against prices"): they are those at which a node can take the same part of
// every class and no more. So the price of a class says how hard it is to find room for it, and h, the relative value
// of a state at those prices, says what is lost to the others when a pod is put here: it goes where h(after) -
// h(before) is greatest. m stands for how many nodes compete for a pod; at m = 1 a node hoards, because a refused pod
// has nowhere else to go.
//
// Source     Lagrangian relaxation of "every pod goes to one node": Hawkins, PhD thesis, MIT 2003; Adelman, Mersereau,
//            Operations Research 56(3), 2008; index policies: Whittle, J. Appl. Prob. 25A, 1988. Prices by
//            multiplicative weights: Freund, Schapire, Games and Economic Behavior 29, 1999.
// State      cpu and memory in use, on a grid (node_grid.h). Criterion: average reward; the gain comes with certified
// bounds of
//            src/mdp, which are about this model and not about a cluster.
// Limits     no GPUs, selectors, taints or extended resources; lives count by their mean. docs/node-mdp.md.
#ifndef BERTH_ENV_NODE_MDP_NODE_MDP_H_
#define BERTH_ENV_NODE_MDP_NODE_MDP_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "policy/potential/table_potential.h"
#include "workload/workload.h"

namespace berth {

struct NodeMdpOptions {
  double m = 6;                   // nodes that compete for a pod, [1, 1000]; at most the nodes that there are
  double design_load = 1.1;       // offered load that the prices are made for, [0.01, 10]
  int32_t max_states = 2000;      // of one node shape, [16, 1000000]; the grid is coarsened to it
  int32_t price_steps = 400;      // at most, over all rounds, [1, 100000]
  int32_t mix_rounds = 4;         // at most: prices are found again for a better mix of running pods, [1, 1000]
  double mix_tolerance = 0.02;    // stop when mix_gap is this small, [0, 1]
  double price_tolerance = 0.01;  // stop when price_gap is this small, [0, 1]
  double gain_tolerance =
      1e-6;  // certified half width of the gain, as a share of all that is offered at its price, [1e-12, 1]
};

// What was found for one class of pods.
struct NodeMdpClass {
  size_t pod_class = 0;   // index into Workload::pod_classes
  double fair_per_h = 0;  // offered to the cluster at the design load / nodes
  double demand = 0;      // demand x mean life: vCPU hours, or GiB hours where memory is the load resource
  double price = 0;  // earned by taking one; in the unit of demand, and scaled so that both sum to the same over the
                     // offered pods
  double taken_share = 0;  // taken / fair, of the mixture of policies that the prices passed through last
};

// A node shape and its solution.
struct NodeMdpShape {
  std::string name;  // of the first node group of this shape
  int64_t nodes = 0;
  ValueTable table;                  // h in the unit of demand, its greatest value 0
  std::vector<int32_t> state_cells;  // of the table, those that are states; ascending, the empty node first
  double cpu_rounding_percent = 0, mem_rounding_percent = 0;  // of the pods' requests, weighted by load
  double cpu_capacity_percent = 0, mem_capacity_percent = 0;  // of the node, below the grid
  double gain = 0, gain_lower = 0, gain_upper = 0;            // earned per hour by a node at the prices, certified
};

struct NodeMdpSolution {
  double m = 0, design_load = 0;
  LoadResource resource = LoadResource::kCpu;
  std::vector<NodeMdpClass> classes;  // those that fit a shape and ask for something of the load resource
  std::vector<NodeMdpShape> shapes;
  int32_t price_steps = 0;
  // No policy takes more than share_upper of every class; the mixture takes share_lower (to the accuracy of its
  // stationary distributions). price_gap = 1 - share_lower / share_upper.
  double share_lower = 0, share_upper = 0, price_gap = 1;
  bool is_price_converged = false;
  // Pods of a class come to a node as often as they leave it but for this, the greatest |come / leave - 1|: the error
  // of the mix of running pods that the model takes for granted.
  double mix_gap = 0;
  int32_t mix_rounds = 0;
  int64_t sweeps = 0;  // of all solves
};

// Errors: INVALID_ARGUMENT an option; a workload with GPUs, with pods that never depart, or none of which fits a node;
// naming it. Cost: seconds for thousands of states and ten classes. Deterministic.
absl::StatusOr<NodeMdpSolution> SolveNodeMdp(const Workload& workload, const NodeMdpOptions& options);

// The tables alone.
std::vector<ValueTable> TablesOf(const NodeMdpSolution& solution);

}  // namespace berth

#endif  // BERTH_ENV_NODE_MDP_NODE_MDP_H_

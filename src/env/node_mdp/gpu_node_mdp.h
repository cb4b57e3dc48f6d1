// The per-node decision process of a workload with GPUs, solved: what the free state of a node is worth.
//
// The same game as in node_mdp.h: prices at which a node can take the same part of every class, and no more; m stands
// for the nodes that compete for a pod. States are those of gpu_grid.h. Prices are found on a coarse grid, the values
// of the answer on a fine one.
#ifndef BERTH_ENV_NODE_MDP_GPU_NODE_MDP_H_
#define BERTH_ENV_NODE_MDP_GPU_NODE_MDP_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "policy/potential/gpu_table_potential.h"
#include "workload/workload.h"

namespace berth {

struct GpuNodeMdpOptions {
  double m = 4;              // nodes that compete for a pod, [1, 1000]
  double design_load = 1.1;  // offered load that the prices are made for, [0.01, 10]
  int32_t units = 8;         // steps in which a device is shared, [1, 10]
  int32_t cpu_levels = 64;   // of a node at most, [2, 1024]
  int32_t price_units = 4;   // the same while prices are looked for
  int32_t price_cpu_levels = 24;
  int32_t cpu_groups = 3;         // classes that differ in cpu alone are merged into so many, [1, 100]
  int32_t price_steps = 120;      // at most, [1, 100000]
  double price_tolerance = 0.02;  // stop when the gap is this small, [0, 1]
  double gain_tolerance = 1e-3;   // certified half width of a gain, as a share of what a node is offered, (0, 1]
  int64_t last_sweeps = 2000;     // of the fine grid at most, >= 1
  int threads = 1;                // 1 to 64; the answer does not depend on it
};

// Pods that are alike to the process.
struct GpuNodeMdpClass {
  int32_t whole = 0;                    // devices, or
  double gpu_milli = 0;                 // of one shared device (mean)
  double cpu_milli = 0;                 // mean
  double life_h = 0;                    // mean
  double rate_per_h = 0;                // to the whole cluster, at the design load
  double demand = 0;                    // GPU hours of one; of pods without GPU their part of the cluster's cpu in GPUs
  std::vector<std::string> gpu_models;  // allowed; empty: any
  double price = 0;                     // earned by taking one, in GPU hours; scaled as demand
  double taken_share = 0;               // taken / offered, of the mixture of policies that the prices passed through
};

struct GpuNodeMdpShape {
  GpuValueTable table;
  int64_t nodes = 0;
  double gain = 0, gain_lower = 0, gain_upper = 0;  // GPU hours an hour of a node, at the prices, on the fine grid
  int64_t states = 0, sweeps = 0;
};

struct GpuNodeMdpSolution {
  double m = 0, design_load = 0;
  std::vector<GpuNodeMdpClass> classes;
  std::vector<GpuNodeMdpShape> shapes;  // nodes without GPU have none
  int32_t price_steps = 0;
  double share_lower = 0, share_upper = 0, price_gap = 1;  // as in NodeMdpSolution, on the coarse grid
  bool is_price_converged = false;
};

// Errors: INVALID_ARGUMENT an option; a workload without GPUs, with nodes of more than 8 of them, with pods that never
// depart, or none of which fits a node; naming it. Deterministic. Cost: tens of seconds.
absl::StatusOr<GpuNodeMdpSolution> SolveGpuNodeMdp(const Workload& workload, const GpuNodeMdpOptions& options);

// The tables alone.
std::vector<GpuValueTable> TablesOf(const GpuNodeMdpSolution& solution);

}  // namespace berth

#endif  // BERTH_ENV_NODE_MDP_GPU_NODE_MDP_H_

// A potential looked up in a table over used cpu and memory: what value iteration makes for nodes without GPUs.
#ifndef BERTH_POLICY_POTENTIAL_TABLE_POTENTIAL_H_
#define BERTH_POLICY_POTENTIAL_TABLE_POTENTIAL_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "policy/potential/potential.h"

namespace berth {

// h of one node shape: value [cpu_levels, mem_levels] row-major at used amounts (i x cpu_unit_milli, j x mem_unit_bytes).
struct ValueTable {
  int64_t cpu_milli = 0, mem_bytes = 0;          // capacity of the shape
  double cpu_unit_milli = 1, mem_unit_bytes = 1;
  int32_t cpu_levels = 0, mem_levels = 0;
  std::vector<float> value;

  // Bilinear between grid points, held constant outside.
  double At(double used_cpu_milli, double used_mem_bytes) const;
};

// Phi = -h. A node of a shape that has no table takes the table of the nearest capacity, at the same used shares.
std::unique_ptr<Potential> MakeTablePotential(std::shared_ptr<const std::vector<ValueTable>> tables);

}  // namespace berth

#endif  // BERTH_POLICY_POTENTIAL_TABLE_POTENTIAL_H_

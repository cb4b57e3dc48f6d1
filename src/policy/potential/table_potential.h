// A potential looked up in tables over cpu and memory in use: what value iteration makes for nodes without GPUs.
#ifndef BERTH_POLICY_POTENTIAL_TABLE_POTENTIAL_H_
#define BERTH_POLICY_POTENTIAL_TABLE_POTENTIAL_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "cluster/policy.h"
#include "policy/potential/potential.h"

namespace berth {

// The value h of one node shape: value[a * mem_levels + b] at a x cpu_unit_milli and b x mem_unit_bytes in use. Greater
// is better; only differences count, across shapes too.
struct ValueTable {
  int64_t cpu_milli = 0, mem_bytes = 0;            // capacity of the shape, >= 1
  int64_t cpu_unit_milli = 1, mem_unit_bytes = 1;  // >= 1
  int32_t cpu_levels = 0, mem_levels = 0;          // >= 1
  std::vector<float> value;                        // [cpu_levels, mem_levels] row-major, finite

  // The value at the next grid point with at least as much in use (less a twentieth of a unit, which forgives the
  // rounding of a node's memory); beyond the last level that of the last.
  double At(double used_cpu_milli, double used_mem_bytes) const;
};

// Phi = -h. A node whose shape has no table takes the table of the nearest capacity, at the same used shares.
// Cost of a value: O(tables). `tables` is not empty.
std::unique_ptr<Potential> MakeTablePotential(std::shared_ptr<const std::vector<ValueTable>> tables);

// The policy `index` of any potential that looks values of a node's own decision process up.
std::shared_ptr<const Policy> MakeIndexPolicyOf(std::function<std::unique_ptr<Potential>()> potential);

// The same of tables that pass ValidateTables (table_file.h).
std::shared_ptr<const Policy> MakeTablePolicy(std::vector<ValueTable> tables);

}  // namespace berth

#endif  // BERTH_POLICY_POTENTIAL_TABLE_POTENTIAL_H_

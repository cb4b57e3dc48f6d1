// A potential looked up in tables over how full a node's devices are and the cpu in use: what value iteration makes for
// nodes with GPUs. The engine memoises what was looked up.
#ifndef BERTH_POLICY_POTENTIAL_GPU_TABLE_POTENTIAL_H_
#define BERTH_POLICY_POTENTIAL_GPU_TABLE_POTENTIAL_H_

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "cluster/policy.h"
#include "policy/potential/potential.h"

namespace berth {

// The value h of one node shape at (pattern of its devices) x (cpu in use). Greater is better; only differences count,
// across shapes too.
struct GpuValueTable {
  int32_t devices = 0;         // 1 to 8
  std::string gpu_model;       // empty: any
  int64_t cpu_milli = 0;       // capacity of the shape, >= 1
  int32_t units = 0;           // steps in which a device is shared, 1 to 10
  double cpu_unit_milli = 0;   // > 0
  int32_t cpu_levels = 0;      // >= 1; level i: i units in use
  std::vector<uint64_t> keys;  // of the rows, ascending: those of GpuPatterns(devices, units)
  std::vector<float> value;    // [rows, cpu_levels] row-major, finite

  // `used`: of each device the steps in use, `units` + 1 for one that is used up. Order does not matter; -1 where the
  // table has no such pattern.
  int32_t RowOf(std::span<const int32_t> used) const;
  // Between two levels of cpu the value is linear. 0 for a row of -1.
  double At(int32_t row, double used_cpu_milli) const;
};

// Devices of each kind: [0, units] by steps in use, units + 1 used up; units + 2: all of them by one pod.
inline constexpr int32_t kMostGpuUnits = 10;
using GpuPattern = std::array<int8_t, kMostGpuUnits + 3>;

// All patterns of so many devices, ascending by key; and what they are sorted by.
std::vector<GpuPattern> GpuPatterns(int32_t devices, int32_t units);
uint64_t GpuPatternKey(const GpuPattern& pattern, int32_t units);
std::vector<uint64_t> GpuPatternKeys(int32_t devices, int32_t units);

// Phi = -h. What is in use of a device is rounded up to a step, less a twentieth of one. A node whose shape has no
// table takes that of as many devices whose model fits best and whose cpu is nearest, at the same share of cpu; where
// none has as many devices, 0.
std::unique_ptr<Potential> MakeGpuTablePotential(std::shared_ptr<const std::vector<GpuValueTable>> tables);

// The policy `index` of such tables, which pass ValidateGpuTables (table_file.h).
std::shared_ptr<const Policy> MakeGpuTablePolicy(std::vector<GpuValueTable> tables);

}  // namespace berth

#endif  // BERTH_POLICY_POTENTIAL_GPU_TABLE_POTENTIAL_H_

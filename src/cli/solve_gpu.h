// `berth solve --workload` of a workload with GPUs: prices, gains and the tables of the policy `index`.
#ifndef BERTH_CLI_SOLVE_GPU_H_
#define BERTH_CLI_SOLVE_GPU_H_

#include <cstdint>

#include "absl/status/status.h"
#include "cli/solve_output.h"
#include "workload/workload.h"

namespace berth::cli {

struct SolveGpuFlags {
  double load = 0;    // design load
  double m = 0;       // 0: chosen by simulation
  int32_t units = 0;  // 0: chosen by simulation
  int32_t cpu_levels = 0;
  double tolerance = 0;  // of the gain, as a share of what is offered
  int threads = 1;
  SolveOutput output;
};

// Errors: as SolveGpuIndex and WriteFiles.
absl::Status RunSolveGpu(const Workload& workload, const SolveGpuFlags& flags);

}  // namespace berth::cli

#endif  // BERTH_CLI_SOLVE_GPU_H_

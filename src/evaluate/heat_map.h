// How full each part of the cluster is in the course of one run: what a policy keeps free, and where it strands.
#ifndef BERTH_EVALUATE_HEAT_MAP_H_
#define BERTH_EVALUATE_HEAT_MAP_H_

#include <cstdint>

#include "absl/status/statusor.h"
#include "cluster/policy.h"
#include "env/env.h"
#include "evaluate/report.h"

namespace berth {

// Plays one episode and takes a picture of every node in each of 100 steps: of the arrived demand (static form, 0 to 130 % of
// capacity) or of the window's hours. Rows are nodes of one kind (GPU model and count), at most 64 in all, the fullest node of a kind at
// the top of it at each moment: a row is a rank in its kind, not a machine. Values: GPUs in use (cpu on clusters without), as a share.
// Errors: as Env. Cost: that of the episode and 100 x nodes log nodes.
absl::StatusOr<HeatMap> PlayHeatMap(const Workload& workload, const EnvOptions& options, const Policy& policy, uint64_t seed);

}  // namespace berth

#endif  // BERTH_EVALUATE_HEAT_MAP_H_

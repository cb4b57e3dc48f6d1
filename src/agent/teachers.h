// Where training starts: linear potentials by name.
#ifndef BERTH_AGENT_TEACHERS_H_
#define BERTH_AGENT_TEACHERS_H_

#include <string_view>

#include "absl/status/statusor.h"
#include "policy/potential/network.h"

namespace berth {

//   stranding    StrandingWeights(): made by hand for arrivals without departures
//   keep-empty   KeepEmptyWeights()
//   departures   for GPU clusters whose pods depart: what evolution made of stranding on openb-like, 151 nodes, loads 0.9, 1.0
//                and 1.1, in 80 generations of 14 on training seeds (20,001 to 20,080), rounded to two digits
//   cpu-stranding  for clusters without GPUs: CpuStrandingWeights()
//   universal    for arrivals without departures on any mix, served with prices: 21 numbers that evolution found over four openb
//                mixes (default, cpu250, gpuspec33, multigpu50), from the team's own experiments
//   sharing      the same for mixes of shared GPUs, by hand: opens devices early, so that large parts of a device stop to fit in time,
//                and leaves more to the prices (a tenth of universal's weights, partly used devices rewarded)
//   auto         (of a training plan alone) departures, stranding or universal, whichever costs least where validation looks
//   a path with a slash: the weights of a model directory
// Errors: INVALID_ARGUMENT another name; those of ReadModelDir.
inline constexpr std::string_view kBestTeacher = "auto";
absl::StatusOr<NetworkWeights> TeacherWeights(std::string_view name);

}  // namespace berth

#endif  // BERTH_AGENT_TEACHERS_H_

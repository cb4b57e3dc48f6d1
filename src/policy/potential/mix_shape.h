// Where a mix of pods, on the cluster that serves it, stands among mixes: four numbers that say what will be scarce. Weights trained
// for single mixes are blended by them, and networks see them (network.h, `experts` and `mlp_sees_mix`).
#ifndef BERTH_POLICY_POTENTIAL_MIX_SHAPE_H_
#define BERTH_POLICY_POTENTIAL_MIX_SHAPE_H_

#include <array>
#include <span>
#include <string_view>
#include <vector>

namespace berth {

inline constexpr int kMixShapeCount = 4;
inline constexpr float kMostMixShape = 4;   // of any of the numbers
//   cpu_asked   vCPU asked a GPU asked, over vCPU that the cluster has a GPU (in its 1/16 steps, see ClusterRatios); at most kMostMixShape
//   shared      share of the GPU demand that asks a part of one device
//   multi       share of it that asks two devices or more
//   typed       share of it that insists on GPU models
// All 0 where the mix or the cluster has no GPU.
using MixShape = std::array<float, kMixShapeCount>;
// In steps of 1/32, as networks see it: a mix that drifts a little asks for no new values.
MixShape Quantised(const MixShape& shape);
std::span<const std::string_view, kMixShapeCount> MixShapeNames();

// Shares, each 0 or more with sum 1, of the corners in the point of their convex hull that is nearest to `shape`: a mix between
// corners is described by them exactly, one outside is taken for the nearest that is inside. Where many combinations meet the same
// point, the most even one. Requires 1 to kMaxExperts corners. Cost: O(2^corners corners^3), below 1 ms.
inline constexpr size_t kMaxExperts = 8;
std::vector<double> HullShares(std::span<const MixShape> corners, const MixShape& shape);

}  // namespace berth

#endif  // BERTH_POLICY_POTENTIAL_MIX_SHAPE_H_

// Fragmentation of a node: what of its free capacity a mix of pods can't use.
#ifndef BERTH_POLICY_POTENTIAL_FRAGMENT_H_
#define BERTH_POLICY_POTENTIAL_FRAGMENT_H_

#include <vector>

#include "cluster/cluster_state.h"
#include "cluster/node_state.h"
#include "policy/pod_mix.h"

namespace berth {

// A mix with the names of one cluster looked up.
struct ResolvedMixClass {
  ResolvedRequest request;
  double weight = 0;
};
std::vector<ResolvedMixClass> ResolveMix(const ClusterState& view, const PodMix& mix);

// Free GPU milli of the devices; one that is overloaded by pods that an orchestrator reported counts as used up.
int64_t IdleGpuMilli(const NodeState& state);

// Whether a node in this state could host the class: cpu, devices, GPU model; memory only with `with_memory`.
bool CanHost(const Shape& shape, const NodeState& state, const ResolvedRequest& request, bool with_memory);

// Free GPU milli of the node that the class can't use: all of it if the class does not fit there (or wants no GPU), else the
// free milli of those devices that are too small for it (Weng et al., USENIX ATC 2023, §4).
int64_t ClassFragment(const Shape& shape, const NodeState& state, const ResolvedRequest& request, bool with_memory);

// FGD's node fragmentation, expected over the mix, in GPU milli; memory is not looked at. The sums are taken per quadrant and
// added in the order q1, q2, q4, xl, xr, na, as the published runs did, which decides the last digit.
double FgdFragment(const Shape& shape, const NodeState& state, const std::vector<ResolvedMixClass>& mix);

// For clusters without GPUs: expected free cpu milli on nodes where the class does not fit any more.
double CpuFragment(const Shape& shape, const NodeState& state, const std::vector<ResolvedMixClass>& mix);

}  // namespace berth

#endif  // BERTH_POLICY_POTENTIAL_FRAGMENT_H_

// Why a node can't take a pod. A node is counted under the first constraint that it violates, in the order below.
#ifndef BERTH_CLUSTER_CONSTRAINTS_H_
#define BERTH_CLUSTER_CONSTRAINTS_H_

#include <array>
#include <cstdint>
#include <span>
#include <string_view>

#include "cluster/node.h"
#include "cluster/pod.h"

namespace berth {

enum class Constraint : uint8_t {
  kUnschedulable,  // the node is cordoned
  kTaint,          // a NoSchedule or NoExecute taint that the pod does not tolerate
  kSelector,       // a label that the pod asks for is missing or other
  kGpuModel,       // the node's GPU model is not among the allowed ones
  kPodSlots,       // the node runs max_pods pods already
  kCpu,
  kMemory,
  kGpu,            // too few devices with enough free
  kExtended,       // an extended resource
  kPolicy,         // it fits, but the policy takes no such node (weight 0)
};
inline constexpr int kConstraintCount = 10;

// "cpu", "gpu_model", …: the same word in the proto, in metrics and in docs.
std::string_view ConstraintName(Constraint constraint);

// Nodes refused, by first violated constraint.
using RefusalCounts = std::array<uint32_t, kConstraintCount>;

// Whether every NoSchedule and NoExecute taint is tolerated. Cost: O(taints x tolerations).
bool ToleratesTaints(std::span<const Taint> taints, std::span<const Toleration> tolerations);

// Whether the labels have every asked pair. Cost: O(labels x selector).
bool MatchesSelector(std::span<const LabelMatch> labels, std::span<const LabelMatch> selector);

}  // namespace berth

#endif  // BERTH_CLUSTER_CONSTRAINTS_H_

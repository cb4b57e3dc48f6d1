// The engine under rules that look at single nodes rather than at free capacity: whose turn it is, who answers fastest, who
// is nearest. Whether a pod fits is still remembered per state class.
//
// Cost of a decision: one pass over the nodes, 64 bytes each; round-robin stops at the first node that fits.
#ifndef BERTH_POLICY_NODE_POLICY_H_
#define BERTH_POLICY_NODE_POLICY_H_

#include <functional>
#include <memory>

#include "cluster/policy.h"

namespace berth {

// Higher is better; -infinity = the policy takes no such node (Constraint::kPolicy). Must be pure.
using NodeScore = std::function<double(const ClusterState& view, const ClusterState::NodeView& node, const Pod& pod)>;

struct NodePolicySpec {
  PolicyInfo info;
  NodeScore score;
  // Instead of a score: the first node that fits, in rank order, after the one that was placed on last.
  bool is_round_robin = false;
};
std::shared_ptr<const Policy> MakeNodePolicy(NodePolicySpec spec);

// The load-balancing and topology rules: round-robin, weighted, least-response-time, minimum-latency, minimum-distance.
std::shared_ptr<const Policy> MakeRoundRobinPolicy();
std::shared_ptr<const Policy> MakeWeightedPolicy();
std::shared_ptr<const Policy> MakeLeastResponseTimePolicy();
std::shared_ptr<const Policy> MakeMinimumLatencyPolicy();
std::shared_ptr<const Policy> MakeMinimumDistancePolicy();

}  // namespace berth

#endif  // BERTH_POLICY_NODE_POLICY_H_

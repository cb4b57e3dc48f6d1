// When nodes will be empty: the longest expected rest of a life among the pods of each node, by Lifetimes, in classes of a power of two
// minutes. It keeps NodeState::exit_class and ResolvedRequest::exit_class of a cluster that is keyed by them, and learns on the way.
//
// A pod that has lived long will mostly live longer still, so a node's class changes while nothing happens there: at each pod that comes
// a few nodes are looked at. Where the cluster is not keyed by exits, lives are learned and ages kept, and nothing else is worked out.
// Not thread-safe; owned by who owns the cluster, which tells it of every pod.
#ifndef BERTH_CLUSTER_NODE_EXITS_H_
#define BERTH_CLUSTER_NODE_EXITS_H_

#include <cstdint>
#include <vector>

#include "cluster/cluster_state.h"
#include "cluster/lifetimes.h"

namespace berth {

class NodeExits {
 public:
  // 0 = the node is empty, else 1 + floor(log2(1 + minutes)), at most 15.
  static uint8_t ExitClass(double seconds);

  // `pod` is the owner's number of the pod, small and reused after Went. The pod is charged already; `request` is what was charged.
  // Refreshes a few nodes too. Cost: O(pods there).
  void Came(uint32_t pod, const ResolvedRequest& request, NodeId node, int64_t now_us, ClusterState* state);
  // Is off its node: before the node is removed, if it is. `is_over`: its life is; otherwise it was moved, or fell with its node, and how
  // long it would have lived is not known. Cost: O(pods there).
  void Went(uint32_t pod, bool is_over, int64_t now_us, ClusterState* state);
  // Looks at the next `nodes` nodes, round after round. Cost: O(pods there).
  void Refresh(size_t nodes, int64_t now_us, ClusterState* state);

  const Lifetimes& lifetimes() const { return lifetimes_; }

 private:
  struct PodLife {
    uint32_t life = 0;          // class of Lifetimes
    NodeId node;
    int64_t came_us = 0, seen_us = 0;   // until when its life was counted
  };
  static double AgeS(const PodLife& pod, int64_t at_us) { return static_cast<double>(at_us - pod.came_us) / 1e6; }
  void See(PodLife* pod, int64_t now_us);
  void Update(NodeId node, int64_t now_us, ClusterState* state);
  static bool IsKeyed(const ClusterState& state) { return state.options().key_fields.exit_class; }
  void Teach(uint32_t life, ClusterState* state);

  Lifetimes lifetimes_;
  std::vector<PodLife> pods_;                       // by the owner's number
  std::vector<std::vector<uint32_t>> pods_of_node_; // by NodeId
  size_t next_ = 0;
};

}  // namespace berth

#endif  // BERTH_CLUSTER_NODE_EXITS_H_

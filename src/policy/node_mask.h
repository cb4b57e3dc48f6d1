// Which nodes a pod's selector and tolerations allow: computed once per constraint signature and kept until labels, taints
// or the set of nodes change. Not thread-safe.
#ifndef BERTH_POLICY_NODE_MASK_H_
#define BERTH_POLICY_NODE_MASK_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "cluster/cluster_state.h"

namespace berth {

class NodeMask {
 public:
  bool allows(NodeId id) const { return (words_[id.value / 64] >> (id.value % 64) & 1) != 0; }

 private:
  friend class NodeMaskCache;
  std::vector<uint64_t> words_;
};

class NodeMaskCache {
 public:
  // nullptr when every node is allowed. Valid until the next call. Cost: O(1) where nothing is asked and no node is
  // restricted; a hash look-up where the mask is known; else O(nodes x labels).
  const NodeMask* Get(const ClusterState& view, const Pod& pod);

 private:
  static constexpr size_t kMaxMasks = 64;
  uint64_t version_ = ~uint64_t{0};
  absl::flat_hash_map<std::string, NodeMask> masks_;
  std::string key_;
};

}  // namespace berth

#endif  // BERTH_POLICY_NODE_MASK_H_

#include "cluster/node_exits.h"

#include <algorithm>
#include <cmath>

namespace berth {
namespace {

constexpr size_t kNodesLookedAt = 4;   // at each pod that comes

}  // namespace

uint8_t NodeExits::ExitClass(double seconds) {
  if (!(seconds > 0)) return 0;
  return static_cast<uint8_t>(std::min(15, 1 + std::ilogb(1 + seconds / 60)));
}

void NodeExits::Came(uint32_t pod, const ResolvedRequest& request, NodeId node, int64_t now_us, ClusterState* state) {
  if (pods_.size() <= pod) pods_.resize(pod + size_t{1});
  if (pods_of_node_.size() <= node.value) pods_of_node_.resize(node.value + size_t{1});
  pods_[pod] = {lifetimes_.ClassOf(request), node, now_us, now_us};
  pods_of_node_[node.value].push_back(pod);
  if (!IsKeyed(*state)) return;
  Teach(pods_[pod].life, state);
  state->SetExitClass(node, std::max(state->node(node).exit_class, ExitClass(lifetimes_.MeanRemainingS(pods_[pod].life, 0))));
  Refresh(kNodesLookedAt, now_us, state);
}

void NodeExits::Went(uint32_t pod, bool is_over, int64_t now_us, ClusterState* state) {
  PodLife& gone = pods_[pod];
  See(&gone, now_us);
  if (is_over) lifetimes_.Ended(gone.life, AgeS(gone, now_us));
  std::erase(pods_of_node_[gone.node.value], pod);
  if (IsKeyed(*state)) {
    Teach(gone.life, state);
    Update(gone.node, now_us, state);
  }
  gone.node = NodeId();
}

void NodeExits::Refresh(size_t nodes, int64_t now_us, ClusterState* state) {
  if (!IsKeyed(*state)) return;
  for (size_t i = 0; i < std::min(nodes, pods_of_node_.size()); ++i) {
    next_ = next_ + 1 < pods_of_node_.size() ? next_ + 1 : 0;
    if (pods_of_node_[next_].empty()) continue;
    for (uint32_t pod : pods_of_node_[next_]) See(&pods_[pod], now_us);
    Update(NodeId(static_cast<uint32_t>(next_)), now_us, state);
  }
}

void NodeExits::See(PodLife* pod, int64_t now_us) {
  if (now_us <= pod->seen_us) return;
  lifetimes_.Lived(pod->life, AgeS(*pod, pod->seen_us), AgeS(*pod, now_us));
  pod->seen_us = now_us;
}

void NodeExits::Update(NodeId node, int64_t now_us, ClusterState* state) {
  double longest = 0;
  for (uint32_t i : pods_of_node_[node.value]) longest = std::max(longest, lifetimes_.MeanRemainingS(pods_[i].life, AgeS(pods_[i], now_us)));
  state->SetExitClass(node, ExitClass(longest));
}

void NodeExits::Teach(uint32_t life, ClusterState* state) {
  if (life != 0) state->SetExitClass(lifetimes_.RequestOf(life), ExitClass(lifetimes_.MeanRemainingS(life, 0)));
}

}  // namespace berth

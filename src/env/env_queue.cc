// Waiting, and nodes that are kept for some pods: the queue's part of Env, and the reserve.
#include <algorithm>
#include <array>
#include <functional>
#include <tuple>

#include "env/env.h"

namespace berth {

bool Env::IsOpen(NodeId node, uint32_t pod_class) const {
  const Node& spec = cluster_.node(node).spec;
  return !spec.is_unschedulable && ToleratesTaints(spec.taints, pods_[pod_class].tolerations);
}

// Whether the node has room for the pod and is open to it; one that is held for its class will be.
bool Env::Takes(NodeId node, uint32_t pod_class) const {
  if (!cluster_.FitsExactly(node, requests_[pod_class])) return false;
  if (!cluster_.has_restricted_nodes()) return true;
  const Hold* const hold = HoldOf(node);
  return hold != nullptr ? hold->pod_class == pod_class : IsOpen(node, pod_class);
}

void Env::Free(NodeId node) {
  if (std::find(freed_.begin(), freed_.end(), node) == freed_.end()) freed_.push_back(node);
}

// Makes the next waiting pod that fits a freed node the current one; then one that has come into the window and fits anywhere.
bool Env::TakeWaiting() {
  while (!freed_.empty()) {
    const NodeId node = freed_.back();
    const uint32_t c = waiting_.Next(now_us_, [&](uint32_t pod_class) { return Takes(node, pod_class); });
    if (c != WaitingLine::kNone) {
      Ask(c);
      return true;
    }
    freed_.pop_back();
  }
  for (uint32_t c = waiting_.PopEntered(); c != WaitingLine::kNone; c = waiting_.PopEntered()) {
    if (!FitsSomewhere(c)) continue;
    Ask(c);
    return true;
  }
  return false;
}

void Env::Ask(uint32_t pod_class) {
  const Waiting waiting = waiting_.Take(pod_class);
  waiting_demand_ = waiting_.size() == 0 ? 0 : waiting_demand_ - Demand(pod_class);
  current_class_ = pod_class;
  current_life_us_ = waiting.life_us;
  current_arrived_us_ = waiting.arrived_us;
  current_is_counted_ = waiting.is_counted;
  // Nodes held for this class are open to this one pod; HoldNodes looks anew before anybody else is tried.
  ReleaseHolds(pod_class);
}

uint32_t Env::HeldFor(uint32_t pod_class) const {
  return static_cast<uint32_t>(std::count_if(holds_.begin(), holds_.end(), [&](const Hold& hold) { return hold.pod_class == pod_class; }));
}

const Env::Hold* Env::HoldOf(NodeId node) const {
  const auto it = std::find_if(holds_.begin(), holds_.end(), [&](const Hold& hold) { return hold.node == node; });
  return it == holds_.end() ? nullptr : &*it;
}

void Env::ReleaseHolds(uint32_t pod_class) {
  std::erase_if(holds_, [&](const Hold& hold) {
    if (hold.pod_class != pod_class) return false;
    (void)cluster_.Cordon(hold.node, false);   // a held node is there: a failing one takes its hold along
    Free(hold.node);
    return true;
  });
}

// Holds nodes for the pods that have aged longest and have none yet.
void Env::HoldNodes() {
  if (options_.queue.aging_limit_s <= 0) return;
  while (waiting_.size() > 0 && holds_.size() < static_cast<size_t>(options_.queue.held_nodes)) {
    uint32_t oldest = WaitingLine::kNone;
    const Waiting* first = nullptr;
    for (uint32_t c = 0; c < waiting_.classes(); ++c) {
      const auto& pods = waiting_.of(c);
      if (pods.empty() || is_hostable_[c] == 0 || !waiting_.IsAged(pods.front(), now_us_)) continue;
      const uint32_t held = HeldFor(c);
      if (held >= pods.size() || !waiting_.IsAged(pods[held], now_us_) || !waiting_.IsInWindow(pods[held])) continue;
      if (first != nullptr && pods[held].order >= first->order) continue;
      first = &pods[held];
      oldest = c;
    }
    if (first == nullptr) return;
    const NodeId node = LeastToFree(oldest);
    if (!node.is_valid()) return;
    holds_.push_back({node, oldest});
    (void)cluster_.Cordon(node, true);
    Free(node);   // has room at once where it was closed to the pod before
  }
}

// Of the nodes that could take the pod if they were empty the one with least GPU to free for it, then least cpu, least memory, rank.
NodeId Env::LeastToFree(uint32_t pod_class) const {
  const ResolvedRequest& r = requests_[pod_class];
  NodeId best;
  std::tuple<int64_t, int64_t, int64_t, uint32_t> least{};
  for (uint32_t i = 0; i < cluster_.nodes().size(); ++i) {
    const ClusterState::NodeRecord& record = cluster_.nodes()[i];
    if (!record.is_present || !IsOpen(NodeId(i), pod_class)) continue;
    const Shape& shape = cluster_.shapes()[record.shape];
    bool can_host = record.spec.max_pods > 0 && record.spec.cpu_milli >= r.cpu_milli && record.spec.mem_bytes >= r.mem_bytes &&
                    record.spec.gpu_count >= r.gpu_count && (r.gpu_count == 0 || r.allows_model(shape.gpu_model));
    for (size_t e = 0; e < kMaxExtendedNames; ++e) can_host = can_host && shape.extended[e] >= r.extended[e];
    if (!can_host) continue;
    auto free = record.gpu_milli;
    std::sort(free.begin(), free.begin() + record.spec.gpu_count, std::greater<>());
    int64_t gpu = 0;
    for (int d = 0; d < r.gpu_count; ++d) gpu += std::max(0, r.gpu_milli - free[static_cast<size_t>(d)]);
    const std::tuple cost{gpu, std::max<int64_t>(0, r.cpu_milli - record.cpu_milli), std::max<int64_t>(0, r.mem_bytes - record.mem_bytes),
                          cluster_.view(NodeId(i)).rank};
    if (best.is_valid() && cost >= least) continue;
    best = NodeId(i);
    least = cost;
  }
  return best;
}

// Taints the reserved nodes of a cluster that is still empty.
void Env::ReserveNodes() {
  if (options_.reserved_nodes == 0) return;
  struct Reservable {
    double fitting_share;
    uint32_t rank, index;
  };
  std::vector<Reservable> candidates;
  for (uint32_t i = 0; i < nodes_.size(); ++i) {
    if (nodes_[i].gpu_count != most_gpus_) continue;
    double share = 0;
    for (uint32_t c = 0; c < pods_.size(); ++c) {
      if (IsWholeNode(pods_[c].request) && cluster_.FitsExactly(node_ids_[i], requests_[c])) share += workload_->pod_classes[c].share;
    }
    candidates.push_back({share, ranks_[i], i});
  }
  std::sort(candidates.begin(), candidates.end(), [](const Reservable& a, const Reservable& b) {
    return a.fitting_share != b.fitting_share ? a.fitting_share > b.fitting_share : a.rank < b.rank;
  });
  candidates.resize(std::min(candidates.size(), static_cast<size_t>(options_.reserved_nodes)));
  for (const Reservable& c : candidates) {
    nodes_[c.index].taints.push_back({kReservedKey, "", TaintEffect::kNoSchedule});
    (void)cluster_.UpdateNode(node_ids_[c.index], nodes_[c.index]);
  }
}

}  // namespace berth

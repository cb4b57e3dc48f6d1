// What a ledger tells: snapshots, pods, pages of its content, and the check of everything that it keeps incrementally.
#include <array>
#include <functional>

#include "base/status.h"
#include "cluster/ledger.h"
#include "fmt/format.h"

namespace berth {
namespace {

DeviceSet AllDevices(int32_t gpu_count) { return (DeviceSet{1} << gpu_count) - 1; }

}  // namespace

Snapshot Ledger::TakeSnapshot() const {
  absl::MutexLock lock(&mu_);
  if (!snapshot_ || snapshot_->generation() != state_.generation()) {
    snapshot_.emplace(std::make_shared<const ClusterState>(state_));
  }
  return *snapshot_;
}

void Ledger::Read(absl::FunctionRef<void(const ClusterState&)> read) const {
  absl::MutexLock lock(&mu_);
  read(state_);
}

std::vector<std::string> Ledger::PodsOn(std::string_view node) const {
  absl::MutexLock lock(&mu_);
  std::vector<std::string> ids;
  const std::optional<NodeId> id = state_.FindNode(node);
  if (!id) return ids;
  for (uint32_t slot : pods_of_node_[id->value]) ids.push_back(records_[slot].pod.id);
  return ids;
}

std::string_view Ledger::NodeNameOf(const Record& record) const {
  return record.node.is_valid() ? std::string_view(state_.node(record.node).spec.name) : std::string_view(record.orphan_node);
}

PodInfo Ledger::InfoOf(const Record& record) const {
  PodInfo info;
  info.pod = record.pod;
  info.node = NodeNameOf(record);
  info.devices = record.devices;
  info.is_orphaned = !record.node.is_valid();
  info.lost_devices = info.is_orphaned ? 0 : record.devices & ~record.charged_devices;
  info.phase = record.phase;
  return info;
}

std::optional<PodInfo> Ledger::FindPod(std::string_view pod_id) const {
  absl::MutexLock lock(&mu_);
  const std::optional<uint32_t> slot = SlotOf(pod_id);
  if (!slot) return std::nullopt;
  return InfoOf(records_[*slot]);
}

absl::StatusOr<ClusterState> Ledger::CopyWithout(std::string_view pod_id, PodInfo* info) const {
  absl::MutexLock lock(&mu_);
  const std::optional<uint32_t> slot = SlotOf(pod_id);
  if (!slot) return absl::NotFoundError(fmt::format("pod.id is {}, which is not on record", Quoted(pod_id)));
  const Record& record = records_[*slot];
  *info = InfoOf(record);
  ClusterState copy = state_;
  if (record.node.is_valid()) BERTH_RETURN_IF_ERROR(copy.Remove(record.charged, record.node, record.charged_devices));
  return copy;
}

LedgerTotals Ledger::totals() const {
  absl::MutexLock lock(&mu_);
  return {state_.generation(), state_.node_count(), assumed_, slot_of_id_.size() - assumed_, orphaned_};
}

Generation Ledger::generation() const {
  absl::MutexLock lock(&mu_);
  return state_.generation();
}

Generation Ledger::ReadNodes(uint32_t* cursor, size_t most, std::vector<ClusterState::NodeRecord>* nodes) const {
  absl::MutexLock lock(&mu_);
  const std::span<const ClusterState::NodeRecord> all = state_.nodes();
  for (; *cursor < all.size() && most > 0; ++*cursor) {
    if (!all[*cursor].is_present) continue;
    nodes->push_back(all[*cursor]);
    --most;
  }
  if (*cursor >= all.size()) *cursor = kEnd;
  return state_.generation();
}

Generation Ledger::ReadPods(uint32_t* cursor, size_t most, std::vector<PodInfo>* pods) const {
  absl::MutexLock lock(&mu_);
  for (; *cursor < records_.size() && most > 0; ++*cursor) {
    if (!records_[*cursor].is_used) continue;
    pods->push_back(InfoOf(records_[*cursor]));
    --most;
  }
  if (*cursor >= records_.size()) *cursor = kEnd;
  return state_.generation();
}

void Ledger::KeyBy(const KeyFields& fields) {
  absl::MutexLock lock(&mu_);
  if ((state_.options().key_fields | fields) == state_.options().key_fields) return;
  state_.KeyBy(state_.options().key_fields | fields);
}

void Ledger::AdvanceGeneration(Generation at_least) {
  absl::MutexLock lock(&mu_);
  state_.AdvanceGeneration(at_least);
}

absl::Status Ledger::CheckInvariants() const {
  absl::MutexLock lock(&mu_);
  BERTH_RETURN_IF_ERROR(state_.CheckInvariants());
  size_t used = 0, assumed = 0, orphaned = 0;
  Sums node_sums, pod_sums;
  for (uint32_t slot = 0; slot < records_.size(); ++slot) {
    const Record& record = records_[slot];
    if (!record.is_used) continue;
    ++used;
    if (record.phase == PodPhase::kAssumed) ++assumed;
    if (SlotOf(record.pod.id) != slot) return absl::InternalError("the index of pods is wrong");
    const PodRequest& request = record.pod.request;
    pod_sums.Add(request.cpu_milli, request.mem_bytes, request.extended, 1);
    const bool is_orphan = !record.node.is_valid();
    if (is_orphan) ++orphaned;
    const auto orphans = orphans_.find(record.orphan_node);
    if (is_orphan && orphans == orphans_.end()) return absl::InternalError("an orphan is not listed");
    const std::vector<uint32_t>& list = is_orphan ? orphans->second : pods_of_node_[record.node.value];
    if (record.position >= list.size() || list[record.position] != slot) return absl::InternalError("a pod's list is wrong");
  }
  for (uint32_t i = 0; i < state_.nodes().size(); ++i) {
    const ClusterState::NodeRecord& node = state_.node(NodeId(i));
    if (!node.is_present) {
      if (!pods_of_node_[i].empty()) return absl::InternalError("a node that left has pods");
      continue;
    }
    node_sums.Add(node.spec.cpu_milli, node.spec.mem_bytes, node.spec.extended, 1);
    int64_t cpu = node.cpu_milli, mem = node.mem_bytes;
    std::array<int32_t, kMaxDevices> milli{};
    for (uint32_t slot : pods_of_node_[i]) {
      const Record& record = records_[slot];
      if (record.node != NodeId(i)) return absl::InternalError("a pod is listed on another node");
      if (record.charged_devices != (record.devices & AllDevices(node.spec.gpu_count))) {
        return absl::InternalError("a pod is not charged to the devices that it has");
      }
      cpu += record.pod.request.cpu_milli;
      mem += record.pod.request.mem_bytes;
      for (DeviceSet bits = record.charged_devices; bits != 0; bits &= bits - 1) {
        milli[static_cast<size_t>(__builtin_ctz(bits))] += record.pod.request.gpu_milli;
      }
    }
    bool is_exact = cpu == node.spec.cpu_milli && mem == node.spec.mem_bytes &&
                    static_cast<size_t>(node.pod_count) == pods_of_node_[i].size();
    for (int d = 0; d < node.spec.gpu_count; ++d) {
      const auto index = static_cast<size_t>(d);
      is_exact = is_exact && milli[index] + node.gpu_milli[index] == kWholeGpuMilli;
    }
    if (!is_exact) return absl::InternalError(fmt::format("node {}: free plus charged is not its size", Quoted(node.spec.name)));
  }
  const auto all = [](const Sums& s) { return std::array<int64_t, 3>{s.cpu_milli, s.mem_bytes, s.extended}; };
  if (used != slot_of_id_.size() || used + free_slots_.size() != records_.size() || assumed != assumed_ ||
      orphaned != orphaned_ || all(node_sums) != all(node_sums_) || all(pod_sums) != all(pod_sums_)) {
    return absl::InternalError("a count or sum over the ledger is wrong");
  }
  return absl::OkStatus();
}

}  // namespace berth

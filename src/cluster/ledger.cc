#include "cluster/ledger.h"

#include <algorithm>
#include <cmath>
#include <functional>

#include "absl/container/flat_hash_set.h"
#include "base/log.h"
#include "base/status.h"
#include "fmt/format.h"

namespace berth {
namespace {

// Sums of amounts stay below this, so that no difference of two of them leaves int64.
constexpr int64_t kMaxSum = int64_t{1} << 61;
// Free milli of one device may be as low as this: int16, less one more whole device.
constexpr int32_t kLowestDeviceMilli = -31'000;
constexpr size_t kMaxRefused = 65'536;   // refused pods remembered; then all are forgotten

DeviceSet AllDevices(int32_t gpu_count) { return (DeviceSet{1} << gpu_count) - 1; }

absl::string_view View(std::string_view s) { return {s.data(), s.size()}; }

absl::Status UnknownNode(std::string_view field, std::string_view name) {
  return absl::NotFoundError(fmt::format("{} is {}, which the cluster doesn't have", field, Quoted(name)));
}

absl::Status UnknownPod(std::string_view id) {
  return absl::NotFoundError(fmt::format("pod.id is {}, which is not on record", Quoted(id)));
}

absl::Status TooMuch(std::string_view what) {
  return absl::ResourceExhaustedError(fmt::format("{} over the whole cluster would exceed 2^61", what));
}

// The list of changes was checked before; a failure now is a bug in that check.
void Must(const absl::Status& status, std::string_view what) {
  if (!status.ok()) LogError("ledger: {} failed after its check: {}", what, MessageOf(status));
}

}  // namespace

std::string_view PodPhaseName(PodPhase phase) { return phase == PodPhase::kAssumed ? "assumed" : "confirmed"; }

void Ledger::Sums::Add(int64_t cpu, int64_t mem, std::span<const ExtendedResource> amounts, int64_t sign) {
  cpu_milli += sign * cpu;
  mem_bytes += sign * mem;
  for (const ExtendedResource& e : amounts) extended += sign * e.amount;
}

struct Ledger::Overlay {
  explicit Overlay(const Ledger& ledger) ABSL_EXCLUSIVE_LOCKS_REQUIRED(ledger.mu_)
      : nodes(ledger.state_.node_count()), pods(ledger.slot_of_id_.size()),
        node_sums(ledger.node_sums_), pod_sums(ledger.pod_sums_) {}

  absl::Status CheckSums(const Sums& sums) const {
    if (sums.cpu_milli > kMaxSum) return TooMuch("cpu_milli");
    if (sums.mem_bytes > kMaxSum) return TooMuch("mem_bytes");
    if (sums.extended > kMaxSum) return TooMuch("extended");
    return absl::OkStatus();
  }

  absl::flat_hash_map<std::string, std::optional<Node>> changed_nodes;   // nullopt: dropped
  absl::flat_hash_map<std::string, std::optional<PodRequest>> changed_pods;
  // Milli that pods reported in this list may add to each device, over-estimated where the devices are not named.
  absl::flat_hash_map<std::string, std::array<int32_t, kMaxDevices>> added_milli;
  absl::flat_hash_set<std::string> new_models, new_extended;
  size_t nodes, pods;
  Sums node_sums, pod_sums;
};

Ledger::Ledger(const Options& options) : options_(options), state_(options.cluster) {}

// --- Reservations ------------------------------------------------------------------------------------------------------

absl::Status Ledger::CheckNewPod(const Pod& pod) const {
  if (slot_of_id_.contains(pod.id)) {
    return absl::AlreadyExistsError(fmt::format("pod.id is {}, which is on record already", Quoted(pod.id)));
  }
  if (slot_of_id_.size() >= options_.max_pods) {
    return absl::ResourceExhaustedError(fmt::format("{} pods are on record, the most that are kept", slot_of_id_.size()));
  }
  const PodRequest& r = pod.request;
  if (pod_sums_.cpu_milli > kMaxSum - r.cpu_milli) return TooMuch("cpu_milli");
  if (pod_sums_.mem_bytes > kMaxSum - r.mem_bytes) return TooMuch("mem_bytes");
  return absl::OkStatus();
}

absl::StatusOr<PlaceResult> Ledger::Place(Decider& decider, const Pod& pod, uint64_t seed, const DecideOptions& options) {
  BERTH_RETURN_IF_ERROR(ValidatePod("pod", pod));
  PlaceResult result;
  absl::MutexLock lock(&mu_);
  BERTH_RETURN_IF_ERROR(CheckNewPod(pod));
  state_.set_now_us(options_.clock->MonotonicMicros());
  DecideOptions asked = options;
  asked.is_retry = asked.is_retry || refused_.contains(pod.id);
  result.decision = decider.Decide(state_, pod, seed, asked);
  const Decision& decision = result.decision;
  if (decision.has_runner_up) result.runner_up = state_.node(decision.runner_up).spec.name;
  result.generation = state_.generation();
  if (!decision.is_placed) {
    if (refused_.size() >= kMaxRefused) refused_.clear();
    refused_.insert(pod.id);
    return result;
  }
  refused_.erase(pod.id);
  // A policy is trusted with the choice, not with the capacity.
  const ResolvedRequest request = state_.Resolve(pod.request);
  if (decision.node.value >= state_.nodes().size() || !state_.node(decision.node).is_present ||
      state_.Violation(decision.node, pod, request).has_value()) {
    return absl::InternalError("the policy chose a node that can't take the pod; nothing was reserved");
  }
  const absl::Status charged = state_.Place(request, decision.node, decision.devices);
  if (!charged.ok()) {
    return absl::InternalError(fmt::format("the policy chose devices that can't take the pod: {}", MessageOf(charged)));
  }
  const uint32_t slot = NewRecord(pod, PodPhase::kAssumed);
  Record& record = records_[slot];
  record.devices = record.charged_devices = decision.devices;
  record.charged = request;
  ListOnNode(slot, decision.node);
  Touch(decision.node);
  result.node = state_.node(decision.node).spec.name;
  result.generation = state_.generation();
  return result;
}

absl::StatusOr<Generation> Ledger::Assume(const Pod& pod, std::string_view node, DeviceSet devices,
                                          std::optional<Generation> seen) {
  BERTH_RETURN_IF_ERROR(ValidatePod("pod", pod));
  absl::MutexLock lock(&mu_);
  BERTH_RETURN_IF_ERROR(CheckNewPod(pod));
  const std::optional<NodeId> id = state_.FindNode(node);
  if (!id) return UnknownNode("node", node);
  if (seen && changed_at_[id->value] > *seen) {
    return absl::FailedPreconditionError(fmt::format("node {} changed at generation {}, after the generation {} that was seen",
                                                     Quoted(node), changed_at_[id->value], *seen));
  }
  const ResolvedRequest request = state_.Resolve(pod.request);
  BERTH_RETURN_IF_ERROR(state_.Place(request, *id, devices));
  const uint32_t slot = NewRecord(pod, PodPhase::kAssumed);
  Record& record = records_[slot];
  record.devices = record.charged_devices = devices;
  record.charged = request;
  ListOnNode(slot, *id);
  Touch(*id);
  return state_.generation();
}

absl::StatusOr<Generation> Ledger::Confirm(std::string_view pod_id) {
  absl::MutexLock lock(&mu_);
  const std::optional<uint32_t> slot = SlotOf(pod_id);
  if (!slot) return UnknownPod(pod_id);
  Record& record = records_[*slot];
  if (record.phase == PodPhase::kAssumed) {
    record.phase = PodPhase::kConfirmed;
    --assumed_;
    state_.AdvanceGeneration(state_.generation() + 1);
  }
  return state_.generation();
}

absl::StatusOr<Generation> Ledger::Forget(std::string_view pod_id) { return End(pod_id, true); }
absl::StatusOr<Generation> Ledger::Release(std::string_view pod_id) { return End(pod_id, false); }

absl::StatusOr<Generation> Ledger::End(std::string_view pod_id, bool only_assumed) {
  absl::MutexLock lock(&mu_);
  const std::optional<uint32_t> slot = SlotOf(pod_id);
  if (!slot) return UnknownPod(pod_id);
  if (only_assumed && records_[*slot].phase != PodPhase::kAssumed) {
    return absl::FailedPreconditionError(
        fmt::format("pod.id is {}, which is confirmed: only an assumed pod can be forgotten", Quoted(pod_id)));
  }
  EraseRecord(*slot, !only_assumed);
  return state_.generation();
}

// --- Records -----------------------------------------------------------------------------------------------------------

std::optional<uint32_t> Ledger::SlotOf(std::string_view pod_id) const {
  const auto it = slot_of_id_.find(View(pod_id));
  if (it == slot_of_id_.end()) return std::nullopt;
  return it->second;
}

uint32_t Ledger::NewRecord(const Pod& pod, PodPhase phase) {
  uint32_t slot;
  if (free_slots_.empty()) {
    slot = static_cast<uint32_t>(records_.size());
    records_.emplace_back();
  } else {
    slot = free_slots_.back();
    free_slots_.pop_back();
  }
  Record& record = records_[slot];
  record.pod = pod;
  record.is_used = true;
  record.phase = phase;
  slot_of_id_.emplace(pod.id, slot);
  pod_sums_.Add(pod.request.cpu_milli, pod.request.mem_bytes, pod.request.extended, 1);
  if (phase == PodPhase::kAssumed) ++assumed_;
  return slot;
}

void Ledger::EraseRecord(uint32_t slot, bool is_over) {
  Record& record = records_[slot];
  if (record.node.is_valid()) {
    const NodeId node = record.node;
    Uncharge(slot, is_over);
    Touch(node);
  } else {
    Unlist(slot);
    state_.AdvanceGeneration(state_.generation() + 1);
  }
  const PodRequest& request = record.pod.request;
  pod_sums_.Add(request.cpu_milli, request.mem_bytes, request.extended, -1);
  if (record.phase == PodPhase::kAssumed) --assumed_;
  slot_of_id_.erase(record.pod.id);
  record = Record();
  free_slots_.push_back(slot);
}

void Ledger::ListOnNode(uint32_t slot, NodeId node) {
  Record& record = records_[slot];
  record.node = node;
  record.position = static_cast<uint32_t>(pods_of_node_[node.value].size());
  pods_of_node_[node.value].push_back(slot);
  exits_.Came(slot, record.charged, node, options_.clock->MonotonicMicros(), &state_);
}

void Ledger::ListAsOrphan(uint32_t slot, const std::string& node) {
  Record& record = records_[slot];
  std::vector<uint32_t>& list = orphans_[node];
  record.node = NodeId();
  record.orphan_node = node;
  record.charged_devices = 0;
  record.position = static_cast<uint32_t>(list.size());
  list.push_back(slot);
  ++orphaned_;
}

void Ledger::Unlist(uint32_t slot) {
  Record& record = records_[slot];
  const bool is_orphan = !record.node.is_valid();
  const auto orphans = is_orphan ? orphans_.find(record.orphan_node) : orphans_.end();
  std::vector<uint32_t>& list = is_orphan ? orphans->second : pods_of_node_[record.node.value];
  list[record.position] = list.back();
  records_[list.back()].position = record.position;
  list.pop_back();
  if (!is_orphan) return;
  if (list.empty()) orphans_.erase(orphans);
  record.orphan_node.clear();
  --orphaned_;
}

// Charges an unlisted record to a node, whether it fits or not; false, nothing changed, where a device would be
// overcommitted beyond what can be counted.
bool Ledger::ForceCharge(uint32_t slot, NodeId node) {
  Record& record = records_[slot];
  const ClusterState::NodeRecord& target = state_.node(node);
  const DeviceSet present = record.devices & AllDevices(target.spec.gpu_count);
  ResolvedRequest request = state_.Resolve(record.pod.request);
  request.gpu_count = __builtin_popcount(present);
  if (request.gpu_count == 0) request.gpu_milli = 0;
  for (DeviceSet bits = present; bits != 0; bits &= bits - 1) {
    if (target.gpu_milli[static_cast<size_t>(__builtin_ctz(bits))] - request.gpu_milli < kLowestDeviceMilli) return false;
  }
  Must(state_.ForcePlace(request, node, present), "charging a pod");
  record.charged = request;
  record.charged_devices = present;
  ListOnNode(slot, node);
  return true;
}

void Ledger::Uncharge(uint32_t slot, bool is_over) {
  Record& record = records_[slot];
  exits_.Went(slot, is_over, options_.clock->MonotonicMicros(), &state_);
  Must(state_.Remove(record.charged, record.node, record.charged_devices), "taking back a charge");
  Unlist(slot);
  record.node = NodeId();
  record.charged_devices = 0;
}

// The devices that fit tightest; where too few fit, those with the most free.
DeviceSet Ledger::ChooseDevices(NodeId node, const PodRequest& request) const {
  const ClusterState::NodeRecord& record = state_.node(node);
  std::vector<int> order;
  for (int i = 0; i < record.spec.gpu_count; ++i) order.push_back(i);
  const auto free = [&](int i) { return record.gpu_milli[static_cast<size_t>(i)]; };
  const auto fits = [&](int i) { return free(i) >= request.gpu_milli; };
  std::stable_sort(order.begin(), order.end(), [&](int a, int b) {
    if (fits(a) != fits(b)) return fits(a);
    return fits(a) ? free(a) < free(b) : free(a) > free(b);
  });
  DeviceSet devices = 0;
  for (size_t i = 0; i < order.size() && i < static_cast<size_t>(request.gpu_count); ++i) devices |= DeviceSet{1} << order[i];
  return devices;
}

void Ledger::Touch(NodeId node) {
  if (changed_at_.size() <= node.value) changed_at_.resize(node.value + 1);
  changed_at_[node.value] = state_.generation();
}

// --- Facts from outside --------------------------------------------------------------------------------------------------

absl::StatusOr<ChangeReport> Ledger::AddNode(const Node& node) {
  absl::MutexLock lock(&mu_);
  if (state_.FindNode(node.name)) {
    return absl::AlreadyExistsError(fmt::format("node.name is {}, which the cluster has already", Quoted(node.name)));
  }
  Overlay overlay(*this);
  BERTH_RETURN_IF_ERROR(CheckNode(node, overlay));
  ChangeReport report;
  DoUpsertNode(node, report);
  report.generation = state_.generation();
  return report;
}

absl::StatusOr<ChangeReport> Ledger::UpdateNode(const Node& node) {
  absl::MutexLock lock(&mu_);
  if (!state_.FindNode(node.name)) return UnknownNode("node.name", node.name);
  Overlay overlay(*this);
  BERTH_RETURN_IF_ERROR(CheckNode(node, overlay));
  ChangeReport report;
  DoUpsertNode(node, report);
  report.generation = state_.generation();
  return report;
}

absl::StatusOr<ChangeReport> Ledger::RemoveNode(std::string_view name) {
  absl::MutexLock lock(&mu_);
  const std::optional<NodeId> id = state_.FindNode(name);
  if (!id) return UnknownNode("node.name", name);
  ChangeReport report;
  DoRemoveNode(*id, report);
  report.generation = state_.generation();
  return report;
}

absl::StatusOr<ChangeReport> Ledger::Apply(std::span<const Change> changes) {
  absl::MutexLock lock(&mu_);
  Overlay overlay(*this);
  for (size_t i = 0; i < changes.size(); ++i) {
    const absl::Status status = CheckChange(changes[i], overlay);
    if (!status.ok()) return WithContext(status, fmt::format("changes[{}]", i));
  }
  ChangeReport report;
  for (const Change& change : changes) ApplyChange(change, report);
  report.generation = state_.generation();
  return report;
}

absl::Status Ledger::CheckNode(const Node& node, Overlay& overlay) const {
  BERTH_RETURN_IF_ERROR(ValidateNode("node", node));
  const auto changed = overlay.changed_nodes.find(node.name);
  const Node* before = nullptr;
  if (changed != overlay.changed_nodes.end()) {
    if (changed->second) before = &*changed->second;
  } else if (const std::optional<NodeId> id = state_.FindNode(node.name)) {
    before = &state_.node(*id).spec;
  }
  if (before == nullptr && ++overlay.nodes > options_.max_nodes) {
    return absl::ResourceExhaustedError(fmt::format("the cluster holds at most {} nodes", options_.max_nodes));
  }
  if (before != nullptr) overlay.node_sums.Add(before->cpu_milli, before->mem_bytes, before->extended, -1);
  overlay.node_sums.Add(node.cpu_milli, node.mem_bytes, node.extended, 1);
  BERTH_RETURN_IF_ERROR(overlay.CheckSums(overlay.node_sums));
  if (!node.gpu_model.empty() && state_.FindGpuModel(node.gpu_model) < 0) {
    overlay.new_models.insert(node.gpu_model);
    if (state_.gpu_models().size() + overlay.new_models.size() > ClusterState::kMaxModels) {
      return absl::ResourceExhaustedError(fmt::format("node.gpu_model is {}, but the cluster holds at most {} models",
                                                      Quoted(node.gpu_model), ClusterState::kMaxModels));
    }
  }
  for (const ExtendedResource& e : node.extended) {
    const auto known = state_.extended_names();
    if (std::find(known.begin(), known.end(), e.name) != known.end()) continue;
    overlay.new_extended.insert(e.name);
    if (known.size() + overlay.new_extended.size() > kMaxExtendedNames) {
      return absl::ResourceExhaustedError(fmt::format("node.extended.name is {}, but the cluster holds at most {} names",
                                                      Quoted(e.name), kMaxExtendedNames));
    }
  }
  overlay.changed_nodes[node.name] = node;
  return absl::OkStatus();
}

absl::Status Ledger::CheckRunning(const RunningPod& running, Overlay& overlay) const {
  const Pod& pod = running.pod;
  BERTH_RETURN_IF_ERROR(ValidatePod("pod", pod));
  const auto changed = overlay.changed_nodes.find(running.node);
  const std::optional<NodeId> id = state_.FindNode(running.node);
  int32_t node_devices = 0;
  if (changed != overlay.changed_nodes.end()) {
    if (!changed->second) return UnknownNode("node", running.node);
    node_devices = changed->second->gpu_count;
  } else {
    if (!id) return UnknownNode("node", running.node);
    node_devices = state_.node(*id).spec.gpu_count;
  }
  const std::string accepted = fmt::format("{} of the node's {} devices", pod.request.gpu_count, node_devices);
  if (running.devices != 0) {
    if ((running.devices & ~AllDevices(node_devices)) != 0 || __builtin_popcount(running.devices) != pod.request.gpu_count) {
      return InvalidField("devices", fmt::format("{:#x}", running.devices), accepted);
    }
  } else if (pod.request.gpu_count > node_devices) {
    return InvalidField("pod.request.gpu_count", fmt::format("{}", pod.request.gpu_count), accepted);
  }
  if (pod.request.gpu_count > 0) {
    auto& added = overlay.added_milli[running.node];
    const DeviceSet devices = running.devices != 0 ? running.devices : AllDevices(node_devices);
    for (DeviceSet bits = devices; bits != 0; bits &= bits - 1) {
      const auto i = static_cast<size_t>(__builtin_ctz(bits));
      added[i] += pod.request.gpu_milli;
      const int32_t free = id ? state_.node(*id).gpu_milli[i] : kWholeGpuMilli;
      if (free - added[i] < kLowestDeviceMilli) {
        return absl::ResourceExhaustedError(
            fmt::format("gpu_milli of device {} of node {}: pods that are reported there want more than 30 devices",
                        i, Quoted(running.node)));
      }
    }
  }
  const auto known = overlay.changed_pods.find(pod.id);
  const PodRequest* before = nullptr;
  if (known != overlay.changed_pods.end()) {
    if (known->second) before = &*known->second;
  } else if (const std::optional<uint32_t> slot = SlotOf(pod.id)) {
    before = &records_[*slot].pod.request;
  }
  if (before == nullptr && ++overlay.pods > options_.max_pods) {
    return absl::ResourceExhaustedError(fmt::format("at most {} pods are kept on record", options_.max_pods));
  }
  if (before != nullptr) overlay.pod_sums.Add(before->cpu_milli, before->mem_bytes, before->extended, -1);
  overlay.pod_sums.Add(pod.request.cpu_milli, pod.request.mem_bytes, pod.request.extended, 1);
  BERTH_RETURN_IF_ERROR(overlay.CheckSums(overlay.pod_sums));
  overlay.changed_pods[pod.id] = pod.request;
  return absl::OkStatus();
}

absl::Status Ledger::CheckChange(const Change& change, Overlay& overlay) const {
  const auto has_node = [&](const std::string& name) {
    const auto it = overlay.changed_nodes.find(name);
    return it != overlay.changed_nodes.end() ? it->second.has_value() : state_.FindNode(name).has_value();
  };
  if (const auto* upsert = std::get_if<UpsertNode>(&change)) return CheckNode(upsert->node, overlay);
  if (const auto* run = std::get_if<RunPod>(&change)) return CheckRunning(run->running, overlay);
  if (const auto* drop = std::get_if<DropNode>(&change)) {
    if (!has_node(drop->name)) return UnknownNode("node.name", drop->name);
    const auto it = overlay.changed_nodes.find(drop->name);
    const Node& before = it != overlay.changed_nodes.end() ? *it->second : state_.node(*state_.FindNode(drop->name)).spec;
    overlay.node_sums.Add(before.cpu_milli, before.mem_bytes, before.extended, -1);
    overlay.changed_nodes[drop->name] = std::nullopt;
    --overlay.nodes;
    return absl::OkStatus();
  }
  if (const auto* end = std::get_if<EndPod>(&change)) {
    const auto it = overlay.changed_pods.find(end->id);
    const std::optional<uint32_t> slot = SlotOf(end->id);
    const PodRequest* before = nullptr;
    if (it != overlay.changed_pods.end()) before = it->second ? &*it->second : nullptr;
    else if (slot) before = &records_[*slot].pod.request;
    if (before == nullptr) return UnknownPod(end->id);
    overlay.pod_sums.Add(before->cpu_milli, before->mem_bytes, before->extended, -1);
    overlay.changed_pods[end->id] = std::nullopt;
    --overlay.pods;
    return absl::OkStatus();
  }
  const auto& response = std::get<ReportResponse>(change);
  if (!has_node(response.node)) return UnknownNode("node", response.node);
  constexpr double kMaxResponseUs = 1e12;
  if (!std::isfinite(response.response_us) || response.response_us < 0 || response.response_us > kMaxResponseUs) {
    return InvalidField("response_us", fmt::format("{}", response.response_us), "finite microseconds from 0 to 1e12");
  }
  return absl::OkStatus();
}

void Ledger::ApplyChange(const Change& change, ChangeReport& report) {
  if (const auto* upsert = std::get_if<UpsertNode>(&change)) return DoUpsertNode(upsert->node, report);
  if (const auto* run = std::get_if<RunPod>(&change)) return DoRunPod(run->running, report);
  if (const auto* drop = std::get_if<DropNode>(&change)) return DoRemoveNode(*state_.FindNode(drop->name), report);
  if (const auto* end = std::get_if<EndPod>(&change)) {
    report.ended.push_back(end->id);
    return EraseRecord(*SlotOf(end->id), true);
  }
  const auto& response = std::get<ReportResponse>(change);
  state_.ReportResponse(*state_.FindNode(response.node), response.response_us);
}

void Ledger::DoUpsertNode(const Node& node, ChangeReport& report) {
  state_.set_now_us(options_.clock->MonotonicMicros());
  const std::optional<NodeId> known = state_.FindNode(node.name);
  if (!known) {
    std::optional<uint32_t> rank;
    if (!free_ranks_.empty()) {  // a cluster whose nodes come and go must not run out of ranks
      rank = free_ranks_.front();
      std::pop_heap(free_ranks_.begin(), free_ranks_.end(), std::greater<>());
      free_ranks_.pop_back();
    }
    const absl::StatusOr<NodeId> id = state_.AddNode(node, rank);
    Must(id.status(), "adding a node");
    if (!id.ok()) return;
    node_sums_.Add(node.cpu_milli, node.mem_bytes, node.extended, 1);
    if (pods_of_node_.size() <= id->value) pods_of_node_.resize(id->value + 1);
    const auto orphans = orphans_.find(node.name);
    if (orphans != orphans_.end()) {
      const std::vector<uint32_t> back = orphans->second;
      for (uint32_t slot : back) {
        Unlist(slot);
        if (ForceCharge(slot, *id)) report.recharged.push_back(records_[slot].pod.id);
        else ListAsOrphan(slot, node.name);
        if ((records_[slot].devices & ~records_[slot].charged_devices) != 0) {
          report.lost_devices.push_back(records_[slot].pod.id);
        }
      }
    }
    return Touch(*id);
  }
  const Node& before = state_.node(*known).spec;
  if (before == node) return;
  node_sums_.Add(before.cpu_milli, before.mem_bytes, before.extended, -1);
  node_sums_.Add(node.cpu_milli, node.mem_bytes, node.extended, 1);
  Must(state_.UpdateNode(*known, node), "updating a node");
  // Pods whose charge reads otherwise now: devices that vanished or came back, resource names that nobody had before.
  const DeviceSet present = AllDevices(node.gpu_count);
  const std::vector<uint32_t> pods = pods_of_node_[known->value];
  for (uint32_t slot : pods) {
    Record& record = records_[slot];
    const DeviceSet charged = record.devices & present;
    if (charged == record.charged_devices && state_.Resolve(record.pod.request).extended == record.charged.extended) continue;
    const DeviceSet was = record.charged_devices;
    Uncharge(slot, false);
    if (!ForceCharge(slot, *known)) {
      record.orphan_node.clear();
      ListAsOrphan(slot, node.name);
      report.orphaned.push_back(record.pod.id);
    } else if ((was & ~charged) != 0) {
      report.lost_devices.push_back(record.pod.id);
    } else {
      report.recharged.push_back(record.pod.id);
    }
  }
  Touch(*known);
}

void Ledger::DoRemoveNode(NodeId id, ChangeReport& report) {
  const Node& spec = state_.node(id).spec;
  const std::string name = spec.name;
  node_sums_.Add(spec.cpu_milli, spec.mem_bytes, spec.extended, -1);
  std::vector<uint32_t> pods;
  pods.swap(pods_of_node_[id.value]);
  for (uint32_t slot : pods) {
    exits_.Went(slot, false, options_.clock->MonotonicMicros(), &state_);
    ListAsOrphan(slot, name);
    report.orphaned.push_back(records_[slot].pod.id);
  }
  free_ranks_.push_back(state_.view(id).rank);
  std::push_heap(free_ranks_.begin(), free_ranks_.end(), std::greater<>());
  Must(state_.RemoveNode(id), "removing a node");
}

void Ledger::DoRunPod(const RunningPod& running, ChangeReport& report) {
  const NodeId node = *state_.FindNode(running.node);
  const Pod& pod = running.pod;
  const std::optional<uint32_t> known = SlotOf(pod.id);
  if (known) {
    Record& record = records_[*known];
    const bool is_there = record.node == node;
    const bool same_devices = running.devices == 0 ? __builtin_popcount(record.devices) == pod.request.gpu_count
                                                   : running.devices == record.devices;
    if (is_there && same_devices && record.pod.request == pod.request) {
      if (record.phase == PodPhase::kAssumed) {
        record.phase = PodPhase::kConfirmed;
        --assumed_;
        state_.AdvanceGeneration(state_.generation() + 1);
      }
      return;
    }
    if (!is_there || !same_devices) report.moved.push_back(pod.id);
    EraseRecord(*known, false);
  }
  state_.set_now_us(options_.clock->MonotonicMicros());
  const uint32_t slot = NewRecord(pod, PodPhase::kConfirmed);
  Record& record = records_[slot];
  record.devices = running.devices != 0 ? running.devices : ChooseDevices(node, pod.request);
  if (!ForceCharge(slot, node)) {
    ListAsOrphan(slot, running.node);
    report.orphaned.push_back(pod.id);
    LogError("ledger: a reported pod could not be charged after its check");
  }
  Touch(node);
}

absl::StatusOr<ChangeReport> Ledger::ReplaceAll(std::span<const Node> nodes, std::span<const RunningPod> pods,
                                                bool drop_assumed) {
  absl::flat_hash_map<absl::string_view, size_t> node_index, pod_index;
  for (size_t i = 0; i < nodes.size(); ++i) {
    if (!node_index.emplace(nodes[i].name, i).second) {
      return InvalidField(fmt::format("nodes[{}].name", i), nodes[i].name,
                          fmt::format("each name once; nodes[{}] has it too", node_index[nodes[i].name]));
    }
  }
  for (size_t i = 0; i < pods.size(); ++i) {
    if (!pod_index.emplace(pods[i].pod.id, i).second) {
      return InvalidField(fmt::format("pods[{}].pod.id", i), pods[i].pod.id,
                          fmt::format("each id once; pods[{}] has it too", pod_index[pods[i].pod.id]));
    }
  }
  absl::MutexLock lock(&mu_);
  // The difference to what is on record, so that what didn't change (order of ties, smoothed times, slow start) stays.
  std::vector<Change> gone;
  for (const Record& record : records_) {
    if (!record.is_used || pod_index.contains(record.pod.id)) continue;
    if (record.phase == PodPhase::kConfirmed || drop_assumed) gone.push_back(EndPod{record.pod.id});
  }
  for (const ClusterState::NodeRecord& record : state_.nodes()) {
    if (record.is_present && !node_index.contains(record.spec.name)) gone.push_back(DropNode{record.spec.name});
  }
  Overlay overlay(*this);
  for (const Change& change : gone) BERTH_RETURN_IF_ERROR(CheckChange(change, overlay));
  for (size_t i = 0; i < nodes.size(); ++i) {
    const absl::Status status = CheckNode(nodes[i], overlay);
    if (!status.ok()) return WithContext(status, fmt::format("nodes[{}]", i));
  }
  for (size_t i = 0; i < pods.size(); ++i) {
    const absl::Status status = CheckRunning(pods[i], overlay);
    if (!status.ok()) return WithContext(status, fmt::format("pods[{}]", i));
  }
  ChangeReport report;
  for (const Change& change : gone) ApplyChange(change, report);
  for (const Node& node : nodes) DoUpsertNode(node, report);
  for (const RunningPod& running : pods) DoRunPod(running, report);
  report.generation = state_.generation();
  return report;
}

absl::Status Ledger::Restore(const PodInfo& info) {
  BERTH_RETURN_IF_ERROR(ValidatePod("pod", info.pod));
  if (__builtin_popcount(info.devices) != info.pod.request.gpu_count || (info.devices & ~AllDevices(kMaxDevices)) != 0) {
    return InvalidField("devices", fmt::format("{:#x}", info.devices), fmt::format("{} devices", info.pod.request.gpu_count));
  }
  absl::MutexLock lock(&mu_);
  BERTH_RETURN_IF_ERROR(CheckNewPod(info.pod));
  const uint32_t slot = NewRecord(info.pod, info.phase);
  records_[slot].devices = info.devices;
  const std::optional<NodeId> node = state_.FindNode(info.node);
  if (node && ForceCharge(slot, *node)) {
    Touch(*node);
  } else {
    ListAsOrphan(slot, info.node);
    state_.AdvanceGeneration(state_.generation() + 1);
  }
  return absl::OkStatus();
}

}  // namespace berth

#include "cluster/cluster_state.h"

#include <algorithm>
#include <atomic>
#include <cmath>

#include "base/status.h"
#include "cluster/lifetimes.h"
#include "fmt/format.h"

namespace berth {
namespace {

constexpr uint32_t kMaxRank = 1u << 26;
constexpr double kWeightFloor = 0.1;  // of the configured weight, while a node ramps up (envoyproxy/envoy#19526)

// Whether a node may refuse pods that ask for nothing special.
bool IsRestricted(const Node& node) { return node.is_unschedulable || !ToleratesTaints(node.taints, {}); }

}  // namespace

uint64_t ClusterState::UidSource::Take() {
  constexpr uint64_t kBlock = uint64_t{1} << 16;
  static std::atomic<uint64_t> next_block{1};
  if (next == end) {
    next = next_block.fetch_add(1, std::memory_order_relaxed) * kBlock;
    end = next + kBlock;
  }
  return next++;
}

// A whole block for one number: lineages are made rarely, and 2^48 blocks are enough.
uint64_t ClusterState::NewUid() { return UidSource().Take(); }

ClusterState::ClusterState(const Options& options)
    : options_(options), naming_version_(uids_.Take()), change_log_(kChangeLog) {
  options_.mem_grain_bytes = std::max<int64_t>(1, options.mem_grain_bytes);
}

int64_t ClusterState::Floor(int64_t bytes) const {
  const int64_t rest = bytes % options_.mem_grain_bytes;
  return bytes - (rest < 0 ? rest + options_.mem_grain_bytes : rest);
}

absl::StatusOr<ExtendedAmounts> ClusterState::InternExtended(std::string_view field,
                                                             std::span<const ExtendedResource> extended) {
  ExtendedAmounts amounts{};
  size_t fresh = 0;
  for (const ExtendedResource& e : extended) {
    if (std::find(extended_names_.begin(), extended_names_.end(), e.name) == extended_names_.end()) ++fresh;
  }
  if (extended_names_.size() + fresh > kMaxExtendedNames) {
    return absl::ResourceExhaustedError(fmt::format("{}.extended has more distinct names than the cluster holds ({})",
                                                    field, kMaxExtendedNames));
  }
  for (const ExtendedResource& e : extended) {
    auto it = std::find(extended_names_.begin(), extended_names_.end(), e.name);
    if (it == extended_names_.end()) {
      it = extended_names_.insert(extended_names_.end(), e.name);
      naming_version_ = uids_.Take();
    }
    amounts[static_cast<size_t>(it - extended_names_.begin())] = e.amount;
  }
  return amounts;
}

absl::StatusOr<Shape> ClusterState::MakeShape(const Node& node) {
  Shape shape;
  shape.cpu_milli = node.cpu_milli;
  shape.mem_bytes = Floor(node.mem_bytes);
  shape.device_count = node.gpu_count;
  shape.max_pods = node.max_pods;
  if (!node.gpu_model.empty()) {
    shape.gpu_model = FindGpuModel(node.gpu_model);
    if (shape.gpu_model < 0 && models_.size() == kMaxModels) {
      return absl::ResourceExhaustedError(
          fmt::format("node.gpu_model is {}, but the cluster has {} models already", Quoted(node.gpu_model), kMaxModels));
    }
  }
  BERTH_ASSIGN_OR_RETURN(shape.extended, InternExtended("node", node.extended));
  if (!node.gpu_model.empty() && shape.gpu_model < 0) {
    shape.gpu_model = static_cast<int32_t>(models_.size());
    models_.push_back(node.gpu_model);
    naming_version_ = uids_.Take();
  }
  return shape;
}

uint32_t ClusterState::InternShape(const Shape& shape) {
  const auto it = std::find(shapes_.begin(), shapes_.end(), shape);
  if (it != shapes_.end()) return static_cast<uint32_t>(it - shapes_.begin());
  shapes_.push_back(shape);
  naming_version_ = uids_.Take();
  return static_cast<uint32_t>(shapes_.size() - 1);
}

uint32_t ClusterState::FindPlace(std::string_view name) const {
  return static_cast<uint32_t>(std::find(places_.begin(), places_.end(), name) - places_.begin());
}

uint32_t ClusterState::InternPlace(const std::string& name) {
  const uint32_t index = FindPlace(name);
  if (index == places_.size()) places_.push_back(name);
  return index;
}

void ClusterState::SetViewSpec(NodeId id) {
  const Node& spec = nodes_[id.value].spec;
  NodeView& view = views_[id.value];
  view.weight = spec.weight;
  view.zone = InternPlace(spec.zone);
  view.rack = InternPlace(spec.rack);
  view.position = spec.position;
}

NodeState ClusterState::StateOf(const NodeRecord& r) const {
  NodeState s;
  s.cpu_milli = r.cpu_milli;
  s.mem_bytes = Floor(r.mem_bytes);
  s.device_count = static_cast<uint8_t>(r.spec.gpu_count);
  for (size_t i = 0; i < s.device_count; ++i) {  // insertion sort: few devices, mostly sorted
    int16_t value = r.gpu_milli[i];
    size_t j = i;
    for (; j > 0 && s.gpu_milli[j - 1] > value; --j) s.gpu_milli[j] = s.gpu_milli[j - 1];
    s.gpu_milli[j] = value;
  }
  s.shape = r.shape;
  s.extended = r.extended;
  s.is_empty = r.pod_count == 0;
  s.has_pod_slot = r.pod_count < r.spec.max_pods;
  if (options_.key_fields.pod_count) s.pod_count = static_cast<uint32_t>(r.pod_count);
  if (options_.key_fields.exit_class) s.exit_class = r.exit_class;
  if (options_.key_fields.gpu_affinity) {
    for (size_t i = 0; i < kAffinityCount; ++i) {
      if (r.affinity_count[i] > 0) s.gpu_affinity = static_cast<uint8_t>(s.gpu_affinity | 1u << i);
    }
  }
  return s;
}

void ClusterState::SetActive(ClassId id, uint64_t uid) {
  active_uids_[id.value] = uid;
  change_log_[change_count_++ % kChangeLog] = id;
}

// A slot without a state: the longest vacant one once there are many, else a new one.
ClassId ClusterState::FreeSlot() {
  constexpr size_t kFewVacant = 32;
  if (vacant_count_ > kFewVacant + occupied_.size() / 2) {
    for (;;) {
      const auto [vacated, id] = vacant_.front();
      vacant_.pop_front();
      StateClass& cls = classes_[id.value];
      if (!cls.members.empty() || cls.vacated != vacated) continue;   // it had a node again in between
      --vacant_count_;
      class_of_state_.erase(cls.state);
      return id;
    }
  }
  classes_.emplace_back();
  active_uids_.push_back(0);
  class_sizes_.push_back(0);
  lowest_ranks_.push_back(0);
  return ClassId(static_cast<uint32_t>(classes_.size() - 1));
}

void ClusterState::Enter(NodeId id) {
  NodeRecord& record = nodes_[id.value];
  const NodeState state = StateOf(record);
  auto it = class_of_state_.find(state);
  if (it == class_of_state_.end()) {
    const ClassId slot = FreeSlot();
    StateClass& fresh = classes_[slot.value];
    fresh.state = state;
    fresh.uid = uids_.Take();
    it = class_of_state_.emplace(state, slot).first;
  } else if (classes_[it->second.value].members.empty()) {
    --vacant_count_;
  }
  if (classes_[it->second.value].members.empty()) {
    StateClass& revived = classes_[it->second.value];
    revived.occupied_position = static_cast<uint32_t>(occupied_.size());
    occupied_.push_back({it->second, revived.uid});
    SetActive(it->second, revived.uid);
  }
  StateClass& cls = classes_[it->second.value];
  views_[id.value].class_id = it->second;
  record.member_position = static_cast<uint32_t>(cls.members.size());
  cls.members.push_back(id);
  // Stale ranks are dropped when they reach the top; a class whose heap is mostly stale is rebuilt, which keeps the cost
  // amortised and the heap no larger than twice its class.
  if (cls.rank_heap.size() > 2 * cls.members.size() + 16) {
    cls.rank_heap.clear();
    for (NodeId member : cls.members) cls.rank_heap.push_back(views_[member.value].rank);
    std::make_heap(cls.rank_heap.begin(), cls.rank_heap.end(), std::greater<>());
  } else {
    cls.rank_heap.push_back(views_[id.value].rank);
    std::push_heap(cls.rank_heap.begin(), cls.rank_heap.end(), std::greater<>());
  }
  class_sizes_[it->second.value] = static_cast<uint32_t>(cls.members.size());
  lowest_ranks_[it->second.value] = cls.rank_heap.front();
}

void ClusterState::Leave(NodeId id) {
  const uint32_t position = nodes_[id.value].member_position;
  const ClassId class_id = views_[id.value].class_id;
  StateClass& cls = classes_[class_id.value];
  const NodeId last = cls.members.back();
  cls.members[position] = last;
  nodes_[last.value].member_position = position;
  cls.members.pop_back();
  views_[id.value].class_id = ClassId();
  class_sizes_[class_id.value] = static_cast<uint32_t>(cls.members.size());
  if (!cls.members.empty()) {
    // Drops what is stale at the top, so that the top is a member again.
    for (;;) {
      const NodeId top = by_rank_[cls.rank_heap.front()];
      if (top.is_valid() && views_[top.value].class_id == class_id) break;
      std::pop_heap(cls.rank_heap.begin(), cls.rank_heap.end(), std::greater<>());
      cls.rank_heap.pop_back();
    }
    lowest_ranks_[class_id.value] = cls.rank_heap.front();
    return;
  }
  cls.rank_heap.clear();
  const Occupied moved = occupied_.back();
  occupied_[cls.occupied_position] = moved;
  classes_[moved.id.value].occupied_position = cls.occupied_position;
  occupied_.pop_back();
  cls.vacated = ++vacated_;
  vacant_.emplace_back(cls.vacated, class_id);
  ++vacant_count_;
  SetActive(class_id, 0);
  // Stale entries of classes that had a node again are dropped before they outnumber the true ones.
  if (vacant_.size() > 2 * vacant_count_ + 256) {
    std::erase_if(vacant_, [&](const auto& v) {
      return !classes_[v.second.value].members.empty() || classes_[v.second.value].vacated != v.first;
    });
  }
}

// Adds (sign 1) or takes away (sign -1) a node's part of the cluster-wide sums.
void ClusterState::Recount(const NodeRecord& r, int sign) {
  const int64_t s = sign;
  total_cpu_milli_ += s * r.spec.cpu_milli;
  total_mem_bytes_ += s * r.spec.mem_bytes;
  total_gpu_milli_ += s * r.spec.gpu_count * kWholeGpuMilli;
  used_cpu_milli_ += s * (r.spec.cpu_milli - r.cpu_milli);
  used_mem_bytes_ += s * (r.spec.mem_bytes - r.mem_bytes);
  for (int i = 0; i < r.spec.gpu_count; ++i) used_gpu_milli_ += s * (kWholeGpuMilli - r.gpu_milli[static_cast<size_t>(i)]);
  if (r.pod_count > 0) active_nodes_ = static_cast<size_t>(static_cast<int64_t>(active_nodes_) + s);
  pod_count_ += s * r.pod_count;
  if (IsRestricted(r.spec)) restricted_nodes_ = static_cast<size_t>(static_cast<int64_t>(restricted_nodes_) + s);
  node_count_ = static_cast<size_t>(static_cast<int64_t>(node_count_) + s);
}

absl::StatusOr<NodeId> ClusterState::AddNode(const Node& node, std::optional<uint32_t> rank) {
  BERTH_RETURN_IF_ERROR(ValidateNode("node", node));
  if (by_name_.contains(node.name)) {
    return absl::AlreadyExistsError(fmt::format("node.name is {}, which the cluster has already", Quoted(node.name)));
  }
  const uint32_t wanted = rank.value_or(rank_end());
  if (wanted > kMaxRank) return InvalidField("node.rank", fmt::format("{}", wanted), fmt::format("0 to {}", kMaxRank));
  if (wanted < by_rank_.size() && by_rank_[wanted].is_valid()) {
    return absl::AlreadyExistsError(fmt::format("node.rank is {}, which another node has", wanted));
  }
  BERTH_ASSIGN_OR_RETURN(const Shape shape, MakeShape(node));
  NodeId id;
  if (free_ids_.empty()) {
    id = NodeId(static_cast<uint32_t>(nodes_.size()));
    nodes_.emplace_back();
    views_.emplace_back();
  } else {
    id = free_ids_.back();
    free_ids_.pop_back();
  }
  NodeRecord& record = nodes_[id.value];
  const uint32_t incarnation = record.incarnation + 1;
  record = NodeRecord();
  record.incarnation = incarnation;
  record.spec = node;
  record.is_present = true;
  record.cpu_milli = node.cpu_milli;
  record.mem_bytes = node.mem_bytes;
  record.extended = shape.extended;
  for (int i = 0; i < node.gpu_count; ++i) record.gpu_milli[static_cast<size_t>(i)] = kWholeGpuMilli;
  record.shape = InternShape(shape);
  record.joined_us = now_us_;
  views_[id.value] = NodeView();
  views_[id.value].rank = wanted;
  views_[id.value].virtual_time = virtual_now_;
  SetViewSpec(id);
  if (wanted >= by_rank_.size()) by_rank_.resize(wanted + 1);
  by_rank_[wanted] = id;
  by_name_[node.name] = id;
  Recount(record, 1);
  Enter(id);
  attribute_version_ = uids_.Take();
  ++generation_;
  return id;
}

absl::Status ClusterState::UpdateNode(NodeId id, const Node& node) {
  if (!is_present(id)) return absl::NotFoundError("the node is not in the cluster");
  BERTH_RETURN_IF_ERROR(ValidateNode("node", node));
  if (nodes_[id.value].spec.name != node.name) {
    return InvalidField("node.name", node.name, "the name that the node has: a name does not change");
  }
  BERTH_ASSIGN_OR_RETURN(const Shape shape, MakeShape(node));
  NodeRecord& record = nodes_[id.value];
  const ExtendedAmounts before = shapes_[record.shape].extended;
  Leave(id);
  Recount(record, -1);
  record.cpu_milli += node.cpu_milli - record.spec.cpu_milli;
  record.mem_bytes += node.mem_bytes - record.spec.mem_bytes;
  for (size_t i = 0; i < kMaxExtendedNames; ++i) record.extended[i] += shape.extended[i] - before[i];
  for (int i = 0; i < kMaxDevices; ++i) {
    int16_t& free = record.gpu_milli[static_cast<size_t>(i)];
    if (i >= node.gpu_count) free = 0;
    else if (i >= record.spec.gpu_count) free = kWholeGpuMilli;
  }
  record.spec = node;
  record.shape = InternShape(shape);
  SetViewSpec(id);
  Recount(record, 1);
  Enter(id);
  attribute_version_ = uids_.Take();
  ++generation_;
  return absl::OkStatus();
}

absl::Status ClusterState::Cordon(NodeId id, bool is_unschedulable) {
  if (!is_present(id)) return absl::NotFoundError("the node is not in the cluster");
  NodeRecord& record = nodes_[id.value];
  if (record.spec.is_unschedulable == is_unschedulable) return absl::OkStatus();
  Recount(record, -1);
  record.spec.is_unschedulable = is_unschedulable;
  Recount(record, 1);
  attribute_version_ = uids_.Take();
  ++generation_;
  return absl::OkStatus();
}

absl::Status ClusterState::RemoveNode(NodeId id) {
  if (!is_present(id)) return absl::NotFoundError("the node is not in the cluster");
  NodeRecord& record = nodes_[id.value];
  Leave(id);
  Recount(record, -1);
  by_name_.erase(record.spec.name);
  by_rank_[views_[id.value].rank] = NodeId();
  record.is_present = false;
  free_ids_.push_back(id);
  attribute_version_ = uids_.Take();
  ++generation_;
  return absl::OkStatus();
}

void ClusterState::SetExitClass(NodeId id, uint8_t exit_class) {
  NodeRecord& record = nodes_[id.value];
  if (record.exit_class == exit_class) return;
  if (!options_.key_fields.exit_class) {
    record.exit_class = exit_class;
    return;
  }
  Leave(id);
  record.exit_class = exit_class;
  Enter(id);
  ++generation_;
}

void ClusterState::SetExitClass(const ResolvedRequest& request, uint8_t exit_class) {
  ResolvedRequest key = request;
  key.exit_class = 0;
  const auto it = exit_classes_.find(key);
  if (it != exit_classes_.end()) it->second = exit_class;
  else if (exit_classes_.size() < Lifetimes::kMostClasses) exit_classes_.emplace(key, exit_class);
}

void ClusterState::KeyBy(const KeyFields& fields) {
  for (uint32_t i = 0; i < nodes_.size(); ++i) {
    if (nodes_[i].is_present) Leave(NodeId(i));
  }
  options_.key_fields = fields;
  for (uint32_t i = 0; i < nodes_.size(); ++i) {
    if (nodes_[i].is_present) Enter(NodeId(i));
  }
  ++generation_;
}

std::optional<NodeId> ClusterState::FindNode(std::string_view name) const {
  const auto it = by_name_.find(absl::string_view(name.data(), name.size()));
  if (it == by_name_.end()) return std::nullopt;
  return it->second;
}

ResolvedRequest ClusterState::Resolve(const PodRequest& request) const {
  ResolvedRequest r;
  r.cpu_milli = request.cpu_milli;
  r.mem_bytes = request.mem_bytes;
  r.mem_floor_bytes = Floor(request.mem_bytes);
  r.gpu_count = request.gpu_count;
  r.gpu_milli = request.gpu_milli;
  if (!request.gpu_models.empty()) {
    r.model_mask = 0;
    for (const std::string& model : request.gpu_models) {
      const int32_t index = FindGpuModel(model);
      if (index >= 0) r.model_mask |= uint64_t{1} << index;
    }
  }
  for (const ExtendedResource& e : request.extended) {
    const auto it = std::find(extended_names_.begin(), extended_names_.end(), e.name);
    if (it != extended_names_.end()) r.extended[static_cast<size_t>(it - extended_names_.begin())] = e.amount;
    else if (e.amount > 0) r.is_impossible = 1;
  }
  if (options_.key_fields.exit_class) {
    const auto it = exit_classes_.find(r);
    if (it != exit_classes_.end()) r.exit_class = it->second;
  }
  return r;
}

absl::Status ClusterState::CheckDevices(const NodeRecord& record, const ResolvedRequest& request,
                                        DeviceSet devices) const {
  const DeviceSet all = (DeviceSet{1} << record.spec.gpu_count) - 1;
  if ((devices & ~all) != 0 || __builtin_popcount(devices) != request.gpu_count) {
    return InvalidField("devices", fmt::format("{:#x}", devices),
                        fmt::format("{} of the node's {} devices", request.gpu_count, record.spec.gpu_count));
  }
  return absl::OkStatus();
}

void ClusterState::Charge(NodeId id, const ResolvedRequest& request, DeviceSet devices, int sign) {
  NodeRecord& record = nodes_[id.value];
  Leave(id);
  const int32_t before = record.pod_count;
  ChargeRecord(request, devices, sign, &record);
  used_cpu_milli_ += sign * request.cpu_milli;
  used_mem_bytes_ += sign * request.mem_bytes;
  used_gpu_milli_ += sign * __builtin_popcount(devices & ((DeviceSet{1} << record.spec.gpu_count) - 1)) * request.gpu_milli;
  pod_count_ += sign;
  if (before == 0) ++active_nodes_;
  else if (record.pod_count == 0) --active_nodes_;
  Enter(id);
  ++generation_;
}

void ClusterState::ChargeRecord(const ResolvedRequest& request, DeviceSet devices, int sign, NodeRecord* record) {
  record->cpu_milli -= sign * request.cpu_milli;
  record->mem_bytes -= sign * request.mem_bytes;
  for (size_t i = 0; i < kMaxExtendedNames; ++i) record->extended[i] -= sign * request.extended[i];
  for (DeviceSet bits = devices; bits != 0; bits &= bits - 1) {
    const int i = __builtin_ctz(bits);
    if (i >= record->spec.gpu_count) continue;
    int16_t& free = record->gpu_milli[static_cast<size_t>(i)];
    free = static_cast<int16_t>(free - sign * request.gpu_milli);
  }
  record->pod_count += sign;
  const int affinity = AffinityIndex(request.gpu_count, request.gpu_milli);
  if (affinity >= 0) record->affinity_count[static_cast<size_t>(affinity)] += sign;
}

absl::Status ClusterState::Place(const ResolvedRequest& request, NodeId id, DeviceSet devices) {
  if (!is_present(id)) return absl::NotFoundError("the node is not in the cluster");
  const NodeRecord& record = nodes_[id.value];
  BERTH_RETURN_IF_ERROR(CheckDevices(record, request, devices));
  const auto exhausted = [](std::string_view what, int64_t want, int64_t free) {
    return absl::ResourceExhaustedError(fmt::format("{}: want {}, free {}", what, want, free));
  };
  if (record.pod_count >= record.spec.max_pods) return exhausted("pod_slots", 1, 0);
  if (request.cpu_milli > record.cpu_milli) return exhausted("cpu_milli", request.cpu_milli, record.cpu_milli);
  if (request.mem_bytes > record.mem_bytes) return exhausted("mem_bytes", request.mem_bytes, record.mem_bytes);
  for (DeviceSet bits = devices; bits != 0; bits &= bits - 1) {
    const int i = __builtin_ctz(bits);
    const int16_t free = record.gpu_milli[static_cast<size_t>(i)];
    if (free < request.gpu_milli) return exhausted(fmt::format("gpu_milli of device {}", i), request.gpu_milli, free);
  }
  if (request.is_impossible) return exhausted("extended resource unknown to the cluster", 1, 0);
  for (size_t i = 0; i < kMaxExtendedNames; ++i) {
    if (request.extended[i] > 0 && request.extended[i] > record.extended[i]) {
      return exhausted(extended_names_[i], request.extended[i], record.extended[i]);
    }
  }
  return ForcePlace(request, id, devices);
}

absl::Status ClusterState::ForcePlace(const ResolvedRequest& request, NodeId id, DeviceSet devices) {
  if (!is_present(id)) return absl::NotFoundError("the node is not in the cluster");
  BERTH_RETURN_IF_ERROR(CheckDevices(nodes_[id.value], request, devices));
  Charge(id, request, devices, 1);
  NodeView& view = views_[id.value];
  last_placed_rank_ = view.rank;
  virtual_now_ = std::max(virtual_now_, view.virtual_time);
  const double weight = EffectiveWeight(id);
  if (weight > 0) {
    // A node that fitted nothing for long comes back at most one turn ahead of the others.
    view.virtual_time = std::max(view.virtual_time, virtual_now_ - kStride) +
                        static_cast<int64_t>(static_cast<double>(kStride) / weight);
  }
  return absl::OkStatus();
}

absl::Status ClusterState::Remove(const ResolvedRequest& request, NodeId id, DeviceSet devices) {
  if (!is_present(id)) return absl::NotFoundError("the node is not in the cluster");
  Charge(id, request, devices, -1);
  return absl::OkStatus();
}

void ClusterState::ReportResponse(NodeId id, double response_us) {
  if (!is_present(id) || !std::isfinite(response_us) || response_us < 0) return;
  float& smoothed = views_[id.value].response_us;
  const auto sample = static_cast<float>(response_us);
  smoothed = smoothed == 0 ? sample : smoothed + kResponseSmoothing * (sample - smoothed);
  ++generation_;
}

std::optional<Constraint> ClusterState::Violation(NodeId id, const Pod& pod, const ResolvedRequest& request) const {
  const NodeRecord& record = nodes_[id.value];
  if (record.spec.is_unschedulable) return Constraint::kUnschedulable;
  if (!ToleratesTaints(record.spec.taints, pod.tolerations)) return Constraint::kTaint;
  if (!MatchesSelector(record.spec.labels, pod.node_selector)) return Constraint::kSelector;
  const NodeState& state = classes_[views_[id.value].class_id.value].state;
  const auto violation = FirstViolation(shapes_[record.shape], state, request);
  if (violation) return violation;
  if (record.mem_bytes < request.mem_bytes) return Constraint::kMemory;
  return std::nullopt;
}

bool ClusterState::FitsExactly(NodeId id, const ResolvedRequest& request) const {
  const NodeRecord& record = nodes_[id.value];
  return !FirstViolation(shapes_[record.shape], classes_[views_[id.value].class_id.value].state, request) &&
         record.mem_bytes >= request.mem_bytes;
}

std::optional<Constraint> ClusterState::ViolationWithout(NodeId id, std::span<const Held> held, const ResolvedRequest& request) const {
  NodeRecord record = nodes_[id.value];
  for (const Held& h : held) ChargeRecord(h.request, h.devices, -1, &record);
  const auto violation = FirstViolation(shapes_[record.shape], StateOf(record), request);
  if (violation || record.mem_bytes >= request.mem_bytes) return violation;
  return Constraint::kMemory;
}

DeviceSet ClusterState::DevicesAt(NodeId id, DevicePositions positions) const {
  const NodeRecord& record = nodes_[id.value];
  const NodeState& state = classes_[views_[id.value].class_id.value].state;
  DeviceSet devices = 0;
  for (DevicePositions bits = positions; bits != 0; bits &= bits - 1) {
    const int16_t value = state.gpu_milli[static_cast<size_t>(__builtin_ctz(bits))];
    for (int i = 0; i < record.spec.gpu_count; ++i) {
      if (record.gpu_milli[static_cast<size_t>(i)] == value && (devices >> i & 1) == 0) {
        devices |= DeviceSet{1} << i;
        break;
      }
    }
  }
  return devices;
}

std::string_view ClusterState::gpu_model_name(int32_t model) const {
  return model >= 0 && static_cast<size_t>(model) < models_.size() ? std::string_view(models_[static_cast<size_t>(model)])
                                                                   : std::string_view();
}

int32_t ClusterState::FindGpuModel(std::string_view name) const {
  const auto it = std::find(models_.begin(), models_.end(), name);
  return it == models_.end() ? -1 : static_cast<int32_t>(it - models_.begin());
}

double ClusterState::EffectiveWeight(NodeId id) const {
  const double weight = views_[id.value].weight;
  const int64_t age = now_us_ - nodes_[id.value].joined_us;
  if (options_.slow_start_us <= 0 || age >= options_.slow_start_us) return weight;
  return weight * std::max(kWeightFloor, static_cast<double>(age) / static_cast<double>(options_.slow_start_us));
}

absl::Status ClusterState::CheckInvariants() const {
  ClusterState sums(options_);
  size_t members = 0;
  for (uint32_t i = 0; i < nodes_.size(); ++i) {
    const NodeRecord& record = nodes_[i];
    if (record.is_present != views_[i].class_id.is_valid()) return absl::InternalError("a removed node has a class");
    if (!record.is_present) continue;
    sums.Recount(record, 1);
    const StateClass& cls = classes_[views_[i].class_id.value];
    if (!(cls.state == StateOf(record))) return absl::InternalError(fmt::format("node {}: stale class", record.spec.name));
    if (cls.members[record.member_position] != NodeId(i)) return absl::InternalError("member position is wrong");
    if (by_rank_[views_[i].rank] != NodeId(i)) return absl::InternalError("rank is wrong");
  }
  for (const Occupied& occupied : occupied_) {
    const StateClass& cls = classes_[occupied.id.value];
    members += cls.members.size();
    const auto it = class_of_state_.find(cls.state);
    if (it == class_of_state_.end() || it->second != occupied.id) return absl::InternalError("class index is wrong");
    if (occupied.uid != cls.uid || active_uids_[occupied.id.value] != cls.uid) return absl::InternalError("uid is wrong");
    NodeId lowest = cls.members.front();
    for (NodeId m : cls.members) {
      if (views_[m.value].rank < views_[lowest.value].rank) lowest = m;
    }
    if (Lowest(occupied.id) != lowest) return absl::InternalError("lowest rank of a class is wrong");
  }
  if (occupied_.size() + vacant_count_ != classes_.size()) return absl::InternalError("vacant classes are miscounted");
  if (std::count_if(active_uids_.begin(), active_uids_.end(), [](uint64_t u) { return u != 0; }) != std::ssize(occupied_)) {
    return absl::InternalError("a vacant class is active");
  }
  const auto all = [](const ClusterState& c) {
    return std::array<int64_t, 10>{c.total_gpu_milli_, c.total_cpu_milli_, c.total_mem_bytes_, c.used_gpu_milli_,
                                   c.used_cpu_milli_, c.used_mem_bytes_, static_cast<int64_t>(c.active_nodes_),
                                   c.pod_count_, static_cast<int64_t>(c.restricted_nodes_),
                                   static_cast<int64_t>(c.node_count_)};
  };
  if (members != node_count_ || all(sums) != all(*this)) return absl::InternalError("a sum over the cluster is wrong");
  return absl::OkStatus();
}

}  // namespace berth

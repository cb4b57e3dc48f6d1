// ClusterState: what every node has free, with equal nodes collapsed into state classes, kept up to date change by change.
// It knows no pod by name (Ledger does); it is the exact arithmetic and the index that policies score.
//
// A policy scores classes, not nodes: a placement moves one node from one class to another, so it costs two class changes
// whatever the number of nodes. Labels, taints and cordons are not part of a class; a pod that asks about them gets a mask
// over nodes for itself (NodeMask).
//
// Thread-safety: none; const methods may be called concurrently with each other. Copyable: a copy is a snapshot.
// Cost: Place and Remove O(devices + log nodes of the class) amortised, no allocation once warm.
#ifndef BERTH_CLUSTER_CLUSTER_STATE_H_
#define BERTH_CLUSTER_CLUSTER_STATE_H_

#include <algorithm>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "base/ids.h"
#include "cluster/constraints.h"
#include "cluster/node.h"
#include "cluster/node_state.h"
#include "cluster/pod.h"

namespace berth {

// Devices of a node by their index: bit i = device i.
using DeviceSet = uint32_t;

class ClusterState {
 public:
  struct Options {
    int64_t mem_grain_bytes = int64_t{1} << 20;  // nodes whose free memory differs by less may share a class
    KeyFields key_fields;
    int64_t slow_start_us = 0;                   // a node that joined ramps its weight up over this time; 0 = at once
  };

  // What rules that look at single nodes read of each node: one cache line, so that they can scan thousands.
  struct NodeView {
    ClassId class_id;                            // invalid for the slot of a removed node
    uint32_t rank = 0;                           // order among ties; unique
    int64_t virtual_time = 0;                    // weighted rule: grows by kStride / weight with each pod
    float response_us = 0;                       // smoothed response time; 0 = no sample yet
    int32_t weight = 1;
    uint32_t zone = 0, rack = 0;                 // index of the name, see FindPlace; 0 = unnamed
    Coordinates position;
  };
  static_assert(sizeof(NodeView) == 64);

  // One node as it is now.
  struct NodeRecord {
    Node spec;
    bool is_present = false;
    uint32_t incarnation = 0;                    // grows when the index is given to another node
    int64_t cpu_milli = 0;                       // free, exact; negative after a node shrank under its pods
    int64_t mem_bytes = 0;
    ExtendedAmounts extended{};
    std::array<int16_t, kMaxDevices> gpu_milli{};  // free, by device index
    int32_t pod_count = 0;
    uint8_t exit_class = 0;
    std::array<int32_t, kAffinityCount> affinity_count{};
    uint32_t shape = 0;
    uint32_t member_position = 0;                // in the members of its class
    int64_t joined_us = 0;
  };

  struct StateClass {
    NodeState state;
    uint64_t uid = 0;                            // 0: the slot holds no state
    std::vector<NodeId> members;                 // in no order; empty = vacant: kept for a while, in case the state recurs
    uint32_t occupied_position = 0;
    uint64_t vacated = 0;                        // when it became vacant, to find the longest vacant
    // Lazy min-heap of ranks; an entry counts only while the node of that rank is a member. The top is a member.
    std::vector<uint32_t> rank_heap;
  };

  // A class that has a node. `uid` belongs to one state in one process and is never given to another, copies of a
  // ClusterState included: a cache that finds the uid it knows may trust what it kept.
  struct Occupied {
    ClassId id;
    uint64_t uid = 0;
  };

  static constexpr int64_t kStride = int64_t{1} << 32;
  static constexpr float kResponseSmoothing = 0.1f;   // weight of a new sample

  ClusterState() : ClusterState(Options()) {}
  explicit ClusterState(const Options& options);

  // --- Nodes -----------------------------------------------------------------------------------------------------
  // Adds a node with everything free. `rank` must be unique; without it the node comes after all others.
  // Errors, nothing changed: ALREADY_EXISTS name or rank; INVALID_ARGUMENT a field; RESOURCE_EXHAUSTED more than 64 GPU
  // models or kMaxExtendedNames extended names in one cluster.
  absl::StatusOr<NodeId> AddNode(const Node& node, std::optional<uint32_t> rank = std::nullopt);
  // Changes the configuration of a node; what its pods use stays charged, so that free amounts may become negative.
  // Devices that are gone are gone with what ran on them; devices that are new are free. Errors: NOT_FOUND; as AddNode.
  absl::Status UpdateNode(NodeId id, const Node& node);
  // Errors: NOT_FOUND. Pods that run there are the caller's business; what they held goes with the node.
  absl::Status RemoveNode(NodeId id);
  // Sets Node::is_unschedulable alone: O(1), where UpdateNode copies the node. Errors: NOT_FOUND.
  absl::Status Cordon(NodeId id, bool is_unschedulable);
  std::optional<NodeId> FindNode(std::string_view name) const;

  // --- Pods ------------------------------------------------------------------------------------------------------
  // Looks up the names of a request. A pod may ask for a model or a resource that no node has; it then fits nowhere.
  ResolvedRequest Resolve(const PodRequest& request) const;
  // Charges a pod to a node and its devices. Errors, nothing changed: NOT_FOUND the node; RESOURCE_EXHAUSTED with the first
  // violated resource and amounts ("cpu_milli: want 500, free 250"); INVALID_ARGUMENT devices that are not gpu_count many
  // or not the node's.
  absl::Status Place(const ResolvedRequest& request, NodeId node, DeviceSet devices);
  // As Place, but charges even what does not fit: for pods that an orchestrator reports as running. Errors: NOT_FOUND;
  // INVALID_ARGUMENT devices.
  absl::Status ForcePlace(const ResolvedRequest& request, NodeId node, DeviceSet devices);
  // Takes back what Place charged. Devices that the node no longer has are not credited. Errors: NOT_FOUND.
  absl::Status Remove(const ResolvedRequest& request, NodeId node, DeviceSet devices);
  // When a node will be empty, and how long a pod of this request would keep a node, both as classes (node_exits.h). Kept always, looked
  // at where the cluster is keyed by them. Requires a present node.
  void SetExitClass(NodeId node, uint8_t exit_class);
  void SetExitClass(const ResolvedRequest& request, uint8_t exit_class);
  // Adds a response-time sample to the node's smoothed value.
  void ReportResponse(NodeId node, double response_us);
  void set_now_us(int64_t now_us) { now_us_ = now_us; }
  // Raises the generation to `at_least`, for changes that a ledger on top counts too.
  void AdvanceGeneration(Generation at_least) { generation_ = std::max(generation_, at_least); }
  // Keys classes by other fields from now on. Cost: O(nodes).
  void KeyBy(const KeyFields& fields);

  // --- Reading ---------------------------------------------------------------------------------------------------
  Generation generation() const { return generation_; }
  int64_t now_us() const { return now_us_; }
  const Options& options() const { return options_; }
  size_t node_count() const { return node_count_; }
  // All slots, also those of removed nodes (is_present false). Index = NodeId.
  std::span<const NodeRecord> nodes() const { return nodes_; }
  const NodeRecord& node(NodeId id) const { return nodes_[id.value]; }
  std::span<const NodeView> node_views() const { return views_; }
  const NodeView& view(NodeId id) const { return views_[id.value]; }
  NodeId node_of_rank(uint32_t rank) const { return rank < by_rank_.size() ? by_rank_[rank] : NodeId(); }
  uint32_t rank_end() const { return static_cast<uint32_t>(by_rank_.size()); }
  std::span<const Shape> shapes() const { return shapes_; }
  const Shape& shape_of(const NodeState& state) const { return shapes_[state.shape]; }
  // The classes that have a node, in no order.
  std::span<const Occupied> occupied() const { return occupied_; }
  size_t class_slots() const { return classes_.size(); }
  // uid of the class in a slot while it has a node, else 0. Indexed by ClassId.
  std::span<const uint64_t> active_uids() const { return active_uids_; }
  // The slots whose active uid changed, oldest first, numbered from 0; kept for the last kChangeLog changes. A reader that
  // remembers (lineage, change_count) catches up by reading the changes since; a copy has a lineage of its own.
  static constexpr uint64_t kChangeLog = 1 << 14;
  uint64_t change_count() const { return change_count_; }
  ClassId change(uint64_t number) const { return change_log_[number % kChangeLog]; }
  uint64_t lineage() const { return lineage_.id; }
  const StateClass& state_class(ClassId id) const { return classes_[id.value]; }
  // The member of lowest rank. Requires a class that has a node. O(1).
  NodeId Lowest(ClassId id) const { return by_rank_[lowest_ranks_[id.value]]; }
  // By ClassId, contiguous: number of members, and their lowest rank (meaningless while vacant).
  std::span<const uint32_t> class_sizes() const { return class_sizes_; }
  std::span<const uint32_t> lowest_ranks() const { return lowest_ranks_; }
  // First violated constraint of this very node, exact, all constraints included; nullopt when the pod fits.
  std::optional<Constraint> Violation(NodeId node, const Pod& pod, const ResolvedRequest& request) const;
  // Exact capacity check of one node; taints and labels are not looked at.
  bool FitsExactly(NodeId node, const ResolvedRequest& request) const;
  // What a pod holds on its node.
  struct Held {
    ResolvedRequest request;
    DeviceSet devices = 0;
  };
  // The capacity check of one node as if these pods of it were gone: what a preemption would gain. O(held).
  std::optional<Constraint> ViolationWithout(NodeId node, std::span<const Held> held, const ResolvedRequest& request) const;
  // The devices of this node that stand for those positions of its state: among devices with equal free the lowest index.
  DeviceSet DevicesAt(NodeId node, DevicePositions positions) const;
  // Rank of the node that the last Place chose; rank_end() before the first.
  uint32_t last_placed_rank() const { return last_placed_rank_; }
  // Changes when labels, taints, cordons or the set of nodes change: a mask over nodes of another version is stale. Unique in
  // the process, like uid.
  uint64_t attribute_version() const { return attribute_version_; }
  // Whether some node could refuse a pod without selector and tolerations (it is tainted or cordoned).
  bool has_restricted_nodes() const { return restricted_nodes_ > 0; }
  bool has_gpus() const { return total_gpu_milli_ > 0; }
  // Sums over present nodes. Exact, O(1).
  int64_t total_gpu_milli() const { return total_gpu_milli_; }
  int64_t total_cpu_milli() const { return total_cpu_milli_; }
  int64_t total_mem_bytes() const { return total_mem_bytes_; }
  int64_t used_gpu_milli() const { return used_gpu_milli_; }
  int64_t used_cpu_milli() const { return used_cpu_milli_; }
  int64_t used_mem_bytes() const { return used_mem_bytes_; }
  size_t active_nodes() const { return active_nodes_; }   // nodes with a pod
  int64_t pod_count() const { return pod_count_; }
  static constexpr size_t kMaxModels = 64;
  std::span<const std::string> gpu_models() const { return models_; }
  std::span<const std::string> extended_names() const { return extended_names_; }
  std::string_view gpu_model_name(int32_t model) const;
  int32_t FindGpuModel(std::string_view name) const;       // -1 when no node ever had it
  uint32_t FindPlace(std::string_view name) const;         // index of a zone or rack name; unknown: an index no node has
  double EffectiveWeight(NodeId node) const;               // weight with slow start, floor 10 % of the weight
  // Changes when a shape, model or extended name is added: what is cached by NodeState::shape or ResolvedRequest is stale.
  // Unique in the process, like uid.
  uint64_t naming_version() const { return naming_version_; }
  // Recomputes everything that is kept incrementally and compares. For tests and fault drills; O(nodes).
  absl::Status CheckInvariants() const;

 private:
  absl::StatusOr<ExtendedAmounts> InternExtended(std::string_view field, std::span<const ExtendedResource> extended);
  absl::StatusOr<Shape> MakeShape(const Node& node);
  uint32_t InternShape(const Shape& shape);
  uint32_t InternPlace(const std::string& name);
  void SetViewSpec(NodeId id);
  NodeState StateOf(const NodeRecord& record) const;
  void Enter(NodeId id);
  void Leave(NodeId id);
  void Recount(const NodeRecord& record, int sign);
  void Charge(NodeId id, const ResolvedRequest& request, DeviceSet devices, int sign);
  static void ChargeRecord(const ResolvedRequest& request, DeviceSet devices, int sign, NodeRecord* record);
  absl::Status CheckDevices(const NodeRecord& record, const ResolvedRequest& request, DeviceSet devices) const;
  int64_t Floor(int64_t bytes) const;
  bool is_present(NodeId id) const { return id.value < nodes_.size() && nodes_[id.value].is_present; }

  // Hands out process-wide unique numbers; a copy takes a block of its own.
  struct UidSource {
    uint64_t next = 0, end = 0;
    UidSource() = default;
    UidSource(const UidSource&) {}
    UidSource& operator=(const UidSource&) {
      next = end = 0;
      return *this;
    }
    uint64_t Take();
  };
  static uint64_t NewUid();

  struct Lineage {
    uint64_t id = NewUid();
    Lineage() = default;
    Lineage(const Lineage&) {}
    Lineage& operator=(const Lineage&) {
      id = NewUid();
      return *this;
    }
  };
  void SetActive(ClassId id, uint64_t uid);
  ClassId FreeSlot();

  Options options_;
  UidSource uids_;
  Lineage lineage_;
  uint64_t naming_version_ = 0;
  Generation generation_ = 0;
  int64_t now_us_ = 0;
  std::vector<NodeRecord> nodes_;
  std::vector<NodeView> views_;
  std::vector<std::string> places_{""};
  std::vector<NodeId> free_ids_;
  std::vector<NodeId> by_rank_;
  absl::flat_hash_map<std::string, NodeId> by_name_;
  size_t node_count_ = 0;
  std::vector<std::string> models_;
  std::vector<std::string> extended_names_;
  std::vector<Shape> shapes_;
  std::vector<StateClass> classes_;
  std::vector<uint64_t> active_uids_;
  std::vector<uint32_t> class_sizes_, lowest_ranks_;
  std::vector<ClassId> change_log_;
  uint64_t change_count_ = 0;
  std::deque<std::pair<uint64_t, ClassId>> vacant_;   // (vacated, slot), oldest first; stale where `vacated` differs
  size_t vacant_count_ = 0;
  uint64_t vacated_ = 0;
  std::vector<Occupied> occupied_;
  absl::flat_hash_map<NodeState, ClassId> class_of_state_;
  uint64_t attribute_version_ = 0;
  size_t restricted_nodes_ = 0;
  uint32_t last_placed_rank_ = 0xffffffff;
  int64_t virtual_now_ = 0;
  absl::flat_hash_map<ResolvedRequest, uint8_t> exit_classes_;   // by requests with exit_class 0
  int64_t total_gpu_milli_ = 0, total_cpu_milli_ = 0, total_mem_bytes_ = 0;
  int64_t used_gpu_milli_ = 0, used_cpu_milli_ = 0, used_mem_bytes_ = 0;
  size_t active_nodes_ = 0;
  int64_t pod_count_ = 0;
};

// An immutable view of the cluster at one generation. Copying shares. Thread-safe.
class Snapshot {
 public:
  Snapshot() : state_(std::make_shared<const ClusterState>()) {}
  explicit Snapshot(std::shared_ptr<const ClusterState> state) : state_(std::move(state)) {}
  Generation generation() const { return state_->generation(); }
  const ClusterState& state() const { return *state_; }

 private:
  std::shared_ptr<const ClusterState> state_;
};

}  // namespace berth

#endif  // BERTH_CLUSTER_CLUSTER_STATE_H_

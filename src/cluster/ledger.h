// Ledger: who runs where, the one owner of capacity. Every reservation is made and ended here and nowhere else.
//
//   (nothing) --Place, Assume--> assumed --Confirm--> confirmed --Release--> (gone)
//                                   └----Forget, Release----------------------┘
//
// An assumption ends only by a fact (Confirm, Forget, Release, a change that says so), never by a timer: a timer that ends
// one while its bind is still under way books the node twice (kubernetes#106361).
//
// Pods of a node that is removed stay on record as orphans: they hold nothing, and a node that comes back under the same
// name is charged for them again, because a node that was out of sight comes back with what runs on it. Whoever knows that
// they ended says so by Release. A device that vanishes from a node takes its share of a pod's charge along (the pod stays
// on record with `lost_devices`), and a device that comes back is charged again; the pod's end never credits a device that
// it isn't charged to.
//
// Identity is the pod's id (a Kubernetes UID), never a name.
//
// Thread-safety: all methods may be called concurrently. One mutex, held for the decision and two class changes in Place,
// for O(most) in ReadNodes and ReadPods, for a copy of the cluster in TakeSnapshot, O(nodes + pods) in ReplaceAll.
// Errors: on every error nothing has changed. Memory: O(nodes + pods on record); limits in Options.
#ifndef BERTH_CLUSTER_LEDGER_H_
#define BERTH_CLUSTER_LEDGER_H_

#include <cstdint>
#include <deque>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "base/clock.h"
#include "cluster/cluster_state.h"
#include "cluster/node_exits.h"
#include "cluster/policy.h"

namespace berth {

enum class PodPhase : uint8_t { kAssumed, kConfirmed };
std::string_view PodPhaseName(PodPhase phase);  // "assumed", "confirmed"

// A pod on record, as a copy.
struct PodInfo {
  Pod pod;
  std::string node;             // name; also of an orphan
  DeviceSet devices = 0;        // given to the pod
  DeviceSet lost_devices = 0;   // of these, what its node no longer has
  PodPhase phase = PodPhase::kAssumed;
  bool is_orphaned = false;     // its node is not in the cluster
};

// A pod that an orchestrator reports as running. Without devices a pod with GPUs keeps those it is known to have on that
// node, or else is charged to the devices that fit it tightest (or are least overcommitted).
struct RunningPod {
  Pod pod;
  std::string node;
  DeviceSet devices = 0;
};

// Changes, as an orchestrator reports them.
struct UpsertNode { Node node; };             // adds, or changes the configuration of the node of that name
struct DropNode { std::string name; };        // NOT_FOUND when unknown
struct RunPod { RunningPod running; };        // records as confirmed; moves a pod that is known elsewhere
struct EndPod { std::string id; };            // NOT_FOUND when unknown
struct ReportResponse { std::string node; double response_us = 0; };
using Change = std::variant<UpsertNode, DropNode, RunPod, EndPod, ReportResponse>;

// What a change did beside the wanted: for the log and the orchestrator. Ids of pods, in no order.
struct ChangeReport {
  Generation generation = 0;                  // after it
  std::vector<std::string> orphaned;          // their node left
  std::vector<std::string> recharged;         // their node, or a device, came back
  std::vector<std::string> lost_devices;      // a device of theirs vanished
  std::vector<std::string> moved;             // reported on another node or on other devices than known
  std::vector<std::string> ended;             // no longer on record (ReplaceAll)
};

struct PlaceResult {
  Decision decision;                          // decision.generation: the state that was decided on
  std::string node;                           // names, empty where there is none
  std::string runner_up;
  Generation generation = 0;                  // after the reservation
};

struct LedgerTotals {
  Generation generation = 0;
  size_t nodes = 0;
  size_t assumed = 0, confirmed = 0;          // orphans are counted here too
  size_t orphaned = 0;
};

class Ledger {
 public:
  struct Options {
    ClusterState::Options cluster;
    size_t max_nodes = size_t{1} << 20;
    size_t max_pods = size_t{1} << 22;
    const Clock* clock = &Clock::Real();      // slow start; outlives the ledger
  };

  Ledger() : Ledger(Options()) {}
  explicit Ledger(const Options& options);
  Ledger(const Ledger&) = delete;
  Ledger& operator=(const Ledger&) = delete;

  // --- Reservations ----------------------------------------------------------------------------------------------
  // Decides and reserves in one step, so that no other reservation comes between. `decider` is used under the lock and
  // only there: one that is passed to no other call may be shared by all callers of Place. No feasible node is a result
  // (decision.is_placed false, nothing changed). Errors: ALREADY_EXISTS the pod is on record; INVALID_ARGUMENT the pod;
  // RESOURCE_EXHAUSTED max_pods; INTERNAL the decider chose a node that can't take the pod.
  absl::StatusOr<PlaceResult> Place(Decider& decider, const Pod& pod, uint64_t seed, const DecideOptions& options);

  // Reserves a node chosen elsewhere. `seen`: the generation that was looked at. Returns the new generation. Errors:
  // ALREADY_EXISTS, INVALID_ARGUMENT, as Place; NOT_FOUND the node; FAILED_PRECONDITION the node changed after `seen`;
  // RESOURCE_EXHAUSTED with the first violated resource and amounts.
  absl::StatusOr<Generation> Assume(const Pod& pod, std::string_view node, DeviceSet devices,
                                    std::optional<Generation> seen = std::nullopt);

  // The bind is done. Confirming twice is no error. Errors: NOT_FOUND.
  absl::StatusOr<Generation> Confirm(std::string_view pod_id);
  // The bind failed. Errors: NOT_FOUND; FAILED_PRECONDITION the pod is confirmed.
  absl::StatusOr<Generation> Forget(std::string_view pod_id);
  // The pod ended, whatever its phase. Errors: NOT_FOUND.
  absl::StatusOr<Generation> Release(std::string_view pod_id);

  // --- Facts from outside ----------------------------------------------------------------------------------------
  // Errors: as ClusterState; RESOURCE_EXHAUSTED max_nodes, or totals of the cluster above 2^61.
  absl::StatusOr<ChangeReport> AddNode(const Node& node);
  absl::StatusOr<ChangeReport> UpdateNode(const Node& node);
  absl::StatusOr<ChangeReport> RemoveNode(std::string_view name);

  // All changes in order, or none; readers see none or all. Errors: as each change, with "changes[i]: " in front.
  absl::StatusOr<ChangeReport> Apply(std::span<const Change> changes);

  // The whole truth anew. Pods that are on record as assumed and not in `pods` stay (a listing that was made before their
  // bind can't know them), unless `drop_assumed`; confirmed ones that are not in `pods` are gone. Errors, with
  // "nodes[i]: " or "pods[i]: " in front: as AddNode and RunPod; INVALID_ARGUMENT a name or id twice.
  absl::StatusOr<ChangeReport> ReplaceAll(std::span<const Node> nodes, std::span<const RunningPod> pods,
                                          bool drop_assumed = false);

  // Puts a pod on record that was on record in an earlier process, charged even if it doesn't fit; an orphan where its
  // node is unknown. Errors: ALREADY_EXISTS; INVALID_ARGUMENT; RESOURCE_EXHAUSTED max_pods.
  absl::Status Restore(const PodInfo& info);

  // --- Reading ---------------------------------------------------------------------------------------------------
  // A copy of the cluster, made once a generation and shared. O(nodes) under the lock when the generation is new.
  Snapshot TakeSnapshot() const;
  // Calls `read` with the state itself, under the lock: for questions too frequent for a snapshot. It must be short and must
  // not call the ledger.
  void Read(absl::FunctionRef<void(const ClusterState&)> read) const;
  std::optional<PodInfo> FindPod(std::string_view pod_id) const;
  // Ids of the pods on record on a node, in no order; none where it is unknown. O(pods there).
  std::vector<std::string> PodsOn(std::string_view node) const;
  // The cluster as it would be without this pod, for explanations; `info` is the pod. O(nodes) under the lock. Errors:
  // NOT_FOUND.
  absl::StatusOr<ClusterState> CopyWithout(std::string_view pod_id, PodInfo* info) const;
  LedgerTotals totals() const;
  Generation generation() const;

  // Reads all nodes (pods) in pages without holding the cluster up: appends up to `most` from slot *cursor on and moves the
  // cursor; *cursor is kEnd after the last. What stays in the ledger all the while is read exactly once; what comes or
  // goes meanwhile may be missed. Returns the generation of the page: if it is the same for all pages, they are one state.
  static constexpr uint32_t kEnd = 0xffffffff;
  Generation ReadNodes(uint32_t* cursor, size_t most, std::vector<ClusterState::NodeRecord>* nodes) const;
  Generation ReadPods(uint32_t* cursor, size_t most, std::vector<PodInfo>* pods) const;

  // --- The cluster's form ----------------------------------------------------------------------------------------
  // Makes the classes keep what a policy looks at. O(nodes), under the lock; nothing to do when they keep it already.
  void KeyBy(const KeyFields& fields);
  // Generations go on from at least here: what a restarted process hands out is never below what was handed out before.
  void AdvanceGeneration(Generation at_least);
  // Recomputes everything that is kept incrementally. For tests and fault drills; O(nodes + pods).
  absl::Status CheckInvariants() const;

 private:
  struct Record {
    Pod pod;
    bool is_used = false;
    PodPhase phase = PodPhase::kAssumed;
    NodeId node;                   // invalid: an orphan
    std::string orphan_node;       // name of the node that left
    uint32_t position = 0;         // in pods_of_node_, or in orphans_ of that name
    DeviceSet devices = 0;         // given
    DeviceSet charged_devices = 0; // of these, what is charged
    ResolvedRequest charged;       // what is charged; gpu_count counts charged_devices
  };
  // Sums over everything on record, so that no sum over the cluster can overflow.
  struct Sums {
    int64_t cpu_milli = 0, mem_bytes = 0, extended = 0;
    void Add(int64_t cpu, int64_t mem, std::span<const ExtendedResource> amounts, int64_t sign);
  };
  struct Overlay;  // what the changes before one do, while a list of changes is checked

  absl::Status CheckNewPod(const Pod& pod) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  absl::Status CheckChange(const Change& change, Overlay& overlay) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  absl::Status CheckNode(const Node& node, Overlay& overlay) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  absl::Status CheckRunning(const RunningPod& running, Overlay& overlay) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void ApplyChange(const Change& change, ChangeReport& report) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void DoUpsertNode(const Node& node, ChangeReport& report) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void DoRemoveNode(NodeId id, ChangeReport& report) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void DoRunPod(const RunningPod& running, ChangeReport& report) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  uint32_t NewRecord(const Pod& pod, PodPhase phase) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // `is_over`: the pod has lived its life; otherwise it was moved, or never ran.
  void EraseRecord(uint32_t slot, bool is_over) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void ListOnNode(uint32_t slot, NodeId node) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void ListAsOrphan(uint32_t slot, const std::string& node) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Unlist(uint32_t slot) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  bool ForceCharge(uint32_t slot, NodeId node) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Uncharge(uint32_t slot, bool is_over) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  DeviceSet ChooseDevices(NodeId node, const PodRequest& request) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Touch(NodeId node) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  PodInfo InfoOf(const Record& record) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  std::string_view NodeNameOf(const Record& record) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  std::optional<uint32_t> SlotOf(std::string_view pod_id) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  absl::StatusOr<Generation> End(std::string_view pod_id, bool only_assumed) ABSL_LOCKS_EXCLUDED(mu_);

  const Options options_;
  mutable absl::Mutex mu_;
  ClusterState state_ ABSL_GUARDED_BY(mu_);
  NodeExits exits_ ABSL_GUARDED_BY(mu_);                         // of the records that are on a node, by slot
  std::deque<Record> records_ ABSL_GUARDED_BY(mu_);              // by slot
  std::vector<uint32_t> free_slots_ ABSL_GUARDED_BY(mu_);
  absl::flat_hash_map<std::string, uint32_t> slot_of_id_ ABSL_GUARDED_BY(mu_);
  absl::flat_hash_set<std::string> refused_ ABSL_GUARDED_BY(mu_);   // ids that fitted nowhere; asked again they are no new arrivals
  std::vector<std::vector<uint32_t>> pods_of_node_ ABSL_GUARDED_BY(mu_);       // by NodeId
  absl::flat_hash_map<std::string, std::vector<uint32_t>> orphans_ ABSL_GUARDED_BY(mu_);  // by node name
  std::vector<Generation> changed_at_ ABSL_GUARDED_BY(mu_);      // by NodeId: generation of its last change
  std::vector<uint32_t> free_ranks_ ABSL_GUARDED_BY(mu_);        // min-heap: ranks of nodes that left, to be given again
  Sums node_sums_ ABSL_GUARDED_BY(mu_), pod_sums_ ABSL_GUARDED_BY(mu_);
  size_t assumed_ ABSL_GUARDED_BY(mu_) = 0;
  size_t orphaned_ ABSL_GUARDED_BY(mu_) = 0;
  mutable std::optional<Snapshot> snapshot_ ABSL_GUARDED_BY(mu_);
};

}  // namespace berth

#endif  // BERTH_CLUSTER_LEDGER_H_

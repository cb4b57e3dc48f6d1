// The environment: an event-driven Markov decision process of placing pods (an SMDP: time passes between decisions).
//
// State      the cluster (ClusterState), the pods running with their ends, the pods waiting, the stream of arrivals.
// Epoch      a pod is to be placed and fits somewhere. Arrivals that fit nowhere are rejected (static and loss form) or wait
//            (queue form) without a decision, so at every epoch at least one action is legal. In the queue form QueueOptions say
//            which waiting pod is tried next, and for which nodes are held.
// Action     index into the candidates: one (state class, device with distinct free) pair each. Infeasible classes keep a
//            masked row, so that action and observation shapes do not depend on the pod.
// Transition place the pod, then events in time order (departures before arrivals at the same time) up to the next epoch.
// Reward     the weighted sum of EnvOptions::reward's terms over the time since the last epoch; see RewardWeights.
// Closed     nodes that are kept for others are closed to a pod by the orchestrators' own means, so that every policy obeys: a node
//            held for an aged pod is cordoned until that pod is asked about, a reserved one has a taint that whole-node pods tolerate.
// Refusal    static and loss form: a policy may turn a pod away that fits (Constraint::kPolicy); StepDecision alone can say so.
// End        `terminated` when a recorded stream has ended; `truncated` when the window has. They are never both true.
//
// A seed fixes arrivals, lives, node ranks and failures whatever is decided, so two policies meet the same stream (paired).
// Runs are bit-identical for a seed and the same decisions. Thread-safety: none. Copyable by Clone, which is a checkpoint.
// Cost: a step is O(state classes) for a class policy, whatever the number of nodes; no allocation once warm.
#ifndef BERTH_ENV_ENV_H_
#define BERTH_ENV_ENV_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/rng.h"
#include "cluster/cluster_state.h"
#include "cluster/node_exits.h"
#include "cluster/policy.h"
#include "env/waiting_line.h"
#include "policy/pod_mix.h"
#include "workload/workload.h"

namespace berth {

enum class Form : uint8_t {
  kStatic,   // arrivals only, nothing departs; what fits nowhere is dropped (the published FGD protocol)
  kLoss,     // departures; what fits nowhere is lost
  kQueue,    // departures; what fits nowhere waits, tried again whenever a node frees, in arrival order unless QueueOptions say else
};
absl::StatusOr<Form> ParseForm(std::string_view name);
std::string_view FormName(Form form);

// Reward = - allocation x (rejected demand x life, capacity-hours)
//          - waiting x (waiting demand integrated over time, capacity-hours)
//          - active_nodes x (share of nodes with a pod, integrated, hours)
//          - latency x (estimated round trip of each placed pod, s)
//          - balance x (standard deviation over nodes of the used share, integrated, hours)
// Demand is measured on the workload's load resource (GPU, else the tighter of cpu and memory). In the static form a pod's
// life counts as one hour.
struct RewardWeights {
  double allocation = 1;
  double waiting = 0;
  double active_nodes = 0;
  double latency = 0;
  double balance = 0;
};

// The mix of a workload's pod classes, for policies that look ahead.
PodMix MixOf(const Workload& workload);

// Is told of every pod of the stream once it is placed or turned away, in order; `now` is the environment after that.
class PodObserver {
 public:
  virtual ~PodObserver() = default;
  virtual void OnPod(const class Env& now, uint32_t pod_class, bool is_placed) = 0;
};

struct EnvOptions {
  Form form = Form::kLoss;
  double load = 0.9;                     // offered / capacity; (0, 10]
  int64_t warmup_us = 5 * int64_t{3'600'000'000};   // not counted in the statistics
  int64_t window_us = 30 * int64_t{3'600'000'000};  // counted; then the episode is truncated. kForever = no limit
  RewardWeights reward;
  ClusterState::Options cluster;
  // Mean time between failures of one node and its repair, seconds, both exponential; 0 = nodes never fail. A failed node's
  // pods are lost (loss form) or wait again (queue form); the node returns empty.
  double node_mtbf_s = 0;
  double node_repair_s = 600;
  // Static form with a drawn workload: the stream ends (`terminated`) once this multiple of capacity has arrived.
  double static_until = 1.3;
  QueueOptions queue;                    // other than the defaults in the queue form only
  // Nodes kept for whole-node pods, those that ask for all GPUs of the largest nodes: of the nodes with the most GPUs those that the
  // greatest share of such pods fits, ties by rank. Other pods never run there. 0 to the number of such nodes.
  int64_t reserved_nodes = 0;
  PodObserver* observer = nullptr;       // not owned; must outlive the environment
  // Fixed node ranks (rank of node i); empty = a random permutation by seed.
  std::vector<uint32_t> node_ranks;
};

// Counted over the pods that arrive inside the window.
struct EnvStats {
  int64_t arrived = 0, placed = 0, rejected = 0, lost_to_failures = 0;
  int64_t declined = 0;                  // of the rejected: fitted somewhere, and the policy turned them away
  std::vector<int64_t> class_arrived, class_rejected, class_declined;   // the same by pod class
  double offered_gpu_hours = 0, rejected_gpu_hours = 0;
  double offered_cpu_hours = 0, rejected_cpu_hours = 0;
  double offered_mem_hours = 0, rejected_mem_hours = 0;   // GiB hours
  double window_hours = 0;
  // Integrals over the window, in hours x share of capacity (or of nodes).
  double allocated_gpu = 0, allocated_cpu = 0, allocated_mem = 0, active_nodes = 0;
  std::vector<float> waits_s;            // of every pod arrived in the window; still waiting at the end: the wait so far
  std::vector<uint32_t> wait_class;      // pod class of each entry of waits_s
  std::vector<float> wait_gpus;          // GPUs of each entry, for GPU-weighted means
  double reward = 0;                     // summed over the episode, warm-up included
};

struct StepResult {
  double reward = 0;
  bool terminated = false;
  bool truncated = false;
  bool is_done() const { return terminated || truncated; }
};

// One legal or masked action.
struct EnvAction {
  ClassId class_id;
  DevicePositions devices = 0;
  bool is_legal = false;
};

class Env {
 public:
  // `workload` must outlive the environment. Errors: INVALID_ARGUMENT naming the option, value and range.
  static absl::StatusOr<std::unique_ptr<Env>> Create(const Workload& workload, const EnvOptions& options);

  // Starts an episode; `reward` of the result is 0. If no epoch ever comes, the result is done at once.
  StepResult Reset(uint64_t seed);
  // Requires a running episode. Errors, nothing changed: INVALID_ARGUMENT an action outside [0, actions().size()) or masked;
  // FAILED_PRECONDITION no episode is running.
  absl::StatusOr<StepResult> Step(int action);
  // The same by the action itself, as actions() has it, without making the list: O(1), and the members of the class where they must be
  // looked at exactly. Errors also: INVALID_ARGUMENT a class or devices that do not fit.
  absl::StatusOr<StepResult> Step(const EnvAction& action);
  // The same by a policy's decision; the node and devices must fit, and the node be open to the pod. In the static and loss form no
  // node is a decision too, if it counts nodes that the policy refused (Decision::refused, kPolicy): the pod is declined. Errors as Step.
  absl::StatusOr<StepResult> StepDecision(const Decision& decision);

  // --- the current epoch (requires a running episode) ------------------------------------------------------------
  const ClusterState& view() const { return cluster_; }
  const Pod& pod() const { return pods_[current_class_]; }
  bool is_retry() const { return current_arrived_us_ < now_us_; }   // the pod waited and was asked about when it arrived
  int64_t arrived_us() const { return current_arrived_us_; }        // of the pod that is to be placed
  // Is told of pods that arrive and fit nowhere; null: nobody. Outlives the episode.
  void set_miss_listener(Decider* decider) { miss_listener_ = decider; }
  uint32_t pod_class() const { return current_class_; }
  int64_t now_us() const { return now_us_; }
  uint64_t decision_seed() const;        // for Decider::Decide; differs from epoch to epoch
  // All actions in the order of view().occupied(), devices ascending. Rebuilt by each call; O(classes).
  const std::vector<EnvAction>& actions();

  const EnvStats& stats() const { return stats_; }
  const EnvOptions& options() const { return options_; }
  const Workload& workload() const { return *workload_; }
  int64_t decisions() const { return decisions_; }
  bool is_running() const { return is_running_; }
  // A copy with everything that decides what comes next.
  std::unique_ptr<Env> Clone() const;

  Env& operator=(const Env&) = delete;

 private:
  Env(const Workload& workload, const EnvOptions& options);
  Env(const Env& other);

  struct Event {
    int64_t time_us = 0;
    uint64_t sequence = 0;               // ties in the order of making
    uint32_t index = 0;                  // running pod, or node
    uint32_t incarnation = 0;            // of the running slot; a stale event is skipped
    enum class Kind : uint8_t { kDeparture, kNodeFails, kNodeReturns } kind = Kind::kDeparture;
    bool operator>(const Event& o) const { return time_us != o.time_us ? time_us > o.time_us : sequence > o.sequence; }
  };
  struct Running {
    uint32_t pod_class = 0;
    NodeId node;
    DeviceSet devices = 0;
    uint32_t incarnation = 0;
    bool is_alive = false;
  };
  using Waiting = WaitingLine::Entry;
  struct Hold {
    NodeId node;
    uint32_t pod_class = 0;              // whose oldest pod the node is held for
  };

  static constexpr char kReservedKey[] = "reserved-for-whole-node-pods";   // of the taint of reserved nodes

  struct FitCell {
    uint64_t uid = 0;
    bool fits = false;
  };

  StepResult Advance();
  bool FitsSomewhere(uint32_t pod_class);
  bool FitsClass(uint32_t pod_class, ClassId id) const;
  // --- env_queue.cc
  bool TakeWaiting();
  void Ask(uint32_t pod_class);
  void HoldNodes();
  void ReleaseHolds(uint32_t pod_class);
  uint32_t HeldFor(uint32_t pod_class) const;
  const Hold* HoldOf(NodeId node) const;
  NodeId LeastToFree(uint32_t pod_class) const;
  bool IsOpen(NodeId node, uint32_t pod_class) const;
  bool Takes(NodeId node, uint32_t pod_class) const;
  void Free(NodeId node);
  void ReserveNodes();
  // ---
  bool TakeArrival();
  void Handle(const Event& event);
  void FetchArrival();
  void Wait(uint32_t pod_class, Waiting waiting, bool at_front);
  double Demand(uint32_t pod_class) const { return demand_[pod_class]; }
  // Asks for all GPUs of the largest nodes.
  bool IsWholeNode(const PodRequest& r) const { return most_gpus_ > 0 && r.gpu_count == most_gpus_ && r.gpu_milli == kWholeGpuMilli; }
  bool has_exits() const { return options_.cluster.key_fields.exit_class; }
  double UsedShare(NodeId node) const;
  void PassTime(int64_t to_us);
  absl::Status Admit(NodeId node, DeviceSet devices);
  void Depart(uint32_t index);
  void Reject(bool is_declined);
  void CountWait(uint32_t pod_class, int64_t wait_us);
  void FinishWaits();
  void FailNode(uint32_t index);
  void ReturnNode(uint32_t index);
  void TrackUsed(NodeId node, double sign);
  void Push(Event event);
  Event Pop();

  const Workload* workload_;
  EnvOptions options_;
  std::vector<Node> nodes_;
  std::vector<Pod> pods_;                // one per class
  std::vector<ResolvedRequest> requests_;
  LoadResource load_resource_;
  int32_t most_gpus_ = 0;                // of a node
  std::vector<double> demand_;           // of each class on the load resource, as a share of the cluster
  std::vector<std::vector<FitCell>> fits_;   // by pod class and state class
  ClusterState cluster_;
  NodeExits exits_;                      // of running_, where the cluster is keyed by them
  std::unique_ptr<ArrivalStream> arrivals_;
  Arrival next_arrival_;
  bool has_arrival_ = false;
  Rng failures_{0};
  uint64_t seed_ = 0;
  int64_t now_us_ = 0;
  int64_t end_us_ = 0;
  uint64_t sequence_ = 0;
  std::vector<Event> events_;            // min-heap
  std::vector<Running> running_;
  std::vector<uint32_t> free_running_;
  Decider* miss_listener_ = nullptr;
  WaitingLine waiting_;
  double waiting_demand_ = 0;
  std::vector<uint8_t> is_hostable_;     // by pod class: some node takes it while the cluster is empty
  std::vector<Hold> holds_;
  std::vector<NodeId> freed_;            // nodes whose room waiting pods have not tried yet
  std::vector<NodeId> node_ids_;         // of nodes_[i]; invalid while failed
  std::vector<uint32_t> ranks_;
  // The epoch.
  bool is_running_ = false;
  uint32_t current_class_ = 0;
  int64_t current_life_us_ = 0;
  int64_t current_arrived_us_ = 0;
  bool current_is_counted_ = false;
  int64_t decisions_ = 0;
  std::vector<EnvAction> actions_;
  double pending_reward_ = 0;
  double arrived_share_ = 0;             // static form: demand arrived / capacity
  double sum_used_ = 0, sum_used_squared_ = 0;   // of nodes' used shares, for the balance term
  EnvStats stats_;
};

// Runs one episode with a decider; the result is env.stats(). Errors: whatever Step says of a decision that does not fit.
absl::Status RunEpisode(Env& env, Decider& decider, uint64_t seed);

}  // namespace berth

#endif  // BERTH_ENV_ENV_H_

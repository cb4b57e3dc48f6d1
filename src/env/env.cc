#include "env/env.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <functional>
#include <numeric>

#include "base/status.h"
#include "fmt/format.h"

namespace berth {
namespace {

constexpr double kHourUs = 3.6e9;
// Purposes of a seed; see Rng::Stream. Arrivals and lives have streams of their own inside ArrivalStream.
constexpr uint64_t kRankStream = 101, kFailureStream = 102, kDecisionStream = 103;

double GibOf(int64_t bytes) { return static_cast<double>(bytes) / static_cast<double>(int64_t{1} << 30); }

absl::Status CheckOption(std::string_view field, double value, double low, double high) {
  if (value >= low && value <= high) return absl::OkStatus();   // false for NaN
  return InvalidField(field, fmt::format("{}", value), fmt::format("a number from {} to {}", low, high));
}

struct LargestNodes {
  int32_t gpus = 0;
  int64_t nodes = 0;   // that have so many
};

LargestNodes MostGpus(const Workload& workload) {
  LargestNodes largest;
  for (const NodeGroup& g : workload.node_groups) {
    if (g.node.gpu_count > largest.gpus) largest = {g.node.gpu_count, 0};
    if (g.node.gpu_count == largest.gpus && largest.gpus > 0) largest.nodes += g.count;
  }
  return largest;
}

}  // namespace

absl::StatusOr<Form> ParseForm(std::string_view name) {
  for (Form form : {Form::kStatic, Form::kLoss, Form::kQueue}) {
    if (FormName(form) == name) return form;
  }
  return InvalidField("form", name, "static, loss, queue");
}

std::string_view FormName(Form form) {
  switch (form) {
    case Form::kStatic: return "static";
    case Form::kLoss: return "loss";
    case Form::kQueue: return "queue";
  }
  return "unknown";
}

absl::StatusOr<std::unique_ptr<Env>> Env::Create(const Workload& workload, const EnvOptions& options) {
  if (workload.node_count() == 0) return InvalidField("workload.nodes", "0", "1 or more");
  if (workload.pod_classes.empty()) return InvalidField("workload.pods", "0", "1 or more classes");
  BERTH_RETURN_IF_ERROR(CheckOption("load", options.load, 1e-6, 10));
  BERTH_RETURN_IF_ERROR(CheckOption("warmup_us", static_cast<double>(options.warmup_us), 0, 1e18));
  if (options.window_us <= 0) return InvalidField("window_us", fmt::format("{}", options.window_us), "1 or more");
  BERTH_RETURN_IF_ERROR(CheckOption("static_until", options.static_until, 1e-6, 1000));
  BERTH_RETURN_IF_ERROR(CheckOption("node_mtbf_s", options.node_mtbf_s, 0, 1e12));
  BERTH_RETURN_IF_ERROR(CheckOption("node_repair_s", options.node_repair_s, 1e-6, 1e12));
  BERTH_RETURN_IF_ERROR(ValidateQueueOptions(options.queue));
  if (options.form != Form::kQueue && options.queue != QueueOptions()) {
    return InvalidField("form", FormName(options.form), "queue where an order, a window or an aging limit of the queue is given");
  }
  const auto most_gpus = MostGpus(workload);
  BERTH_RETURN_IF_ERROR(CheckOption("reserved_nodes", static_cast<double>(options.reserved_nodes), 0, static_cast<double>(most_gpus.nodes)));
  for (const auto& [name, weight] : {std::pair{"reward.allocation", options.reward.allocation}, {"reward.waiting", options.reward.waiting},
                                     {"reward.active_nodes", options.reward.active_nodes}, {"reward.latency", options.reward.latency},
                                     {"reward.balance", options.reward.balance}}) {
    BERTH_RETURN_IF_ERROR(CheckOption(name, weight, -1e6, 1e6));
  }
  if (!options.node_ranks.empty()) {
    std::vector<uint32_t> sorted = options.node_ranks;
    std::sort(sorted.begin(), sorted.end());
    const bool is_unique = std::adjacent_find(sorted.begin(), sorted.end()) == sorted.end();
    if (sorted.size() != workload.node_count() || !is_unique) {
      return InvalidField("node_ranks", fmt::format("{} ranks", sorted.size()),
                          fmt::format("one rank for each of the {} nodes, each once", workload.node_count()));
    }
  }
  auto env = std::unique_ptr<Env>(new Env(workload, options));
  // Adds every node once, so that a bad node is an error here and never in Reset.
  ClusterState probe(options.cluster);
  for (const Node& node : env->nodes_) {
    auto added = probe.AddNode(node);
    if (!added.ok()) return WithContext(added.status(), "workload");
  }
  return env;
}

Env::Env(const Workload& workload, const EnvOptions& options)
    : workload_(&workload), options_(options), nodes_(workload.Nodes()), load_resource_(LoadResourceOf(workload)),
      waiting_(options.queue, workload.pod_classes) {
  double capacity = 0;
  most_gpus_ = MostGpus(workload).gpus;
  for (const Node& n : nodes_) {
    capacity += load_resource_ == LoadResource::kGpu   ? n.gpu_count * static_cast<double>(kWholeGpuMilli)
                : load_resource_ == LoadResource::kCpu ? static_cast<double>(n.cpu_milli)
                                                       : static_cast<double>(n.mem_bytes);
  }
  for (const PodClass& c : workload.pod_classes) {
    Pod pod;
    pod.id = c.name;
    pod.request = c.request;
    if (options.reserved_nodes > 0 && IsWholeNode(c.request)) pod.tolerations.push_back({kReservedKey, "", true, std::nullopt});
    pods_.push_back(std::move(pod));
    const double amount = load_resource_ == LoadResource::kGpu   ? static_cast<double>(c.request.total_gpu_milli())
                          : load_resource_ == LoadResource::kCpu ? static_cast<double>(c.request.cpu_milli)
                                                                 : static_cast<double>(c.request.mem_bytes);
    demand_.push_back(capacity > 0 ? amount / capacity : 0);
  }
  fits_.resize(pods_.size());
}

Env::Env(const Env& other)
    : workload_(other.workload_), options_(other.options_), nodes_(other.nodes_), pods_(other.pods_),
      requests_(other.requests_), load_resource_(other.load_resource_), most_gpus_(other.most_gpus_), demand_(other.demand_), fits_(other.pods_.size()),
      cluster_(other.cluster_), exits_(other.exits_), arrivals_(other.arrivals_ ? other.arrivals_->Clone() : nullptr),
      next_arrival_(other.next_arrival_), has_arrival_(other.has_arrival_), failures_(other.failures_), seed_(other.seed_),
      now_us_(other.now_us_), end_us_(other.end_us_), sequence_(other.sequence_), events_(other.events_),
      running_(other.running_), free_running_(other.free_running_), waiting_(other.waiting_),
      waiting_demand_(other.waiting_demand_), is_hostable_(other.is_hostable_), holds_(other.holds_), freed_(other.freed_),
      node_ids_(other.node_ids_), ranks_(other.ranks_), is_running_(other.is_running_),
      current_class_(other.current_class_), current_life_us_(other.current_life_us_),
      current_arrived_us_(other.current_arrived_us_), current_is_counted_(other.current_is_counted_),
      decisions_(other.decisions_), pending_reward_(other.pending_reward_), arrived_share_(other.arrived_share_),
      sum_used_(other.sum_used_), sum_used_squared_(other.sum_used_squared_), stats_(other.stats_) {}

std::unique_ptr<Env> Env::Clone() const { return std::unique_ptr<Env>(new Env(*this)); }

StepResult Env::Reset(uint64_t seed) {
  seed_ = seed;
  now_us_ = 0;
  sequence_ = 0;
  events_.clear();
  running_.clear();
  free_running_.clear();
  freed_.clear();
  waiting_.Clear();
  holds_.clear();
  waiting_demand_ = pending_reward_ = arrived_share_ = sum_used_ = sum_used_squared_ = 0;
  decisions_ = 0;
  stats_ = EnvStats();
  for (auto* counts : {&stats_.class_arrived, &stats_.class_rejected, &stats_.class_declined}) counts->assign(pods_.size(), 0);
  cluster_ = ClusterState(options_.cluster);
  exits_ = NodeExits();
  for (auto& row : fits_) row.clear();
  ranks_ = options_.node_ranks;
  if (ranks_.empty()) {
    ranks_.resize(nodes_.size());
    std::iota(ranks_.begin(), ranks_.end(), 0u);
    Rng rng = Rng::Stream(seed, kRankStream);
    rng.Shuffle(ranks_);
  }
  if (options_.reserved_nodes > 0) nodes_ = workload_->Nodes();   // without the taints of the episode before
  node_ids_.assign(nodes_.size(), NodeId());
  failures_ = Rng::Stream(seed, kFailureStream);
  for (uint32_t i = 0; i < nodes_.size(); ++i) {
    auto id = cluster_.AddNode(nodes_[i], ranks_[i]);
    if (id.ok()) node_ids_[i] = *id;   // Create has seen that every node can be added
    if (options_.node_mtbf_s > 0) {
      Push({.time_us = static_cast<int64_t>(failures_.Exponential(options_.node_mtbf_s) * 1e6), .index = i, .kind = Event::Kind::kNodeFails});
    }
  }
  requests_.clear();
  for (const Pod& pod : pods_) requests_.push_back(cluster_.Resolve(pod.request));
  ReserveNodes();
  is_hostable_.resize(pods_.size());
  for (uint32_t c = 0; c < pods_.size(); ++c) is_hostable_[c] = FitsSomewhere(c);
  arrivals_ = MakeArrivalStream(*workload_, options_.load, seed);
  const int64_t warmup = options_.form == Form::kStatic ? 0 : options_.warmup_us;
  if (options_.form == Form::kStatic) options_.warmup_us = 0;
  end_us_ = options_.form == Form::kStatic || options_.window_us >= kForever - warmup ? kForever : warmup + options_.window_us;
  is_running_ = true;
  FetchArrival();
  StepResult result = Advance();
  result.reward = 0;
  return result;
}

void Env::FetchArrival() {
  const bool is_over = options_.form == Form::kStatic && workload_->arrivals.empty() && arrived_share_ >= options_.static_until;
  has_arrival_ = !is_over && arrivals_->Next(&next_arrival_);
}

uint64_t Env::decision_seed() const {
  return SplitMix64(seed_ * 0x9e3779b97f4a7c15ULL + kDecisionStream) + SplitMix64(static_cast<uint64_t>(decisions_));
}

void Env::Push(Event event) {
  event.sequence = sequence_++;
  events_.push_back(event);
  std::push_heap(events_.begin(), events_.end(), std::greater<>());
}

Env::Event Env::Pop() {
  std::pop_heap(events_.begin(), events_.end(), std::greater<>());
  const Event event = events_.back();
  events_.pop_back();
  return event;
}

// Integrates what the reward and the statistics need from now to `to_us`.
void Env::PassTime(int64_t to_us) {
  const int64_t counted = to_us - std::max(now_us_, options_.warmup_us);
  if (to_us > now_us_) {
    const RewardWeights& w = options_.reward;
    const double hours = static_cast<double>(to_us - now_us_) / kHourUs;
    if (w.waiting != 0) pending_reward_ -= w.waiting * waiting_demand_ * hours;
    const double nodes = static_cast<double>(std::max<size_t>(1, cluster_.node_count()));
    if (w.active_nodes != 0) pending_reward_ -= w.active_nodes * static_cast<double>(cluster_.active_nodes()) / nodes * hours;
    if (w.balance != 0) {
      const double mean = sum_used_ / nodes;
      pending_reward_ -= w.balance * std::sqrt(std::max(0.0, sum_used_squared_ / nodes - mean * mean)) * hours;
    }
  }
  if (counted > 0) {
    const double hours = static_cast<double>(counted) / kHourUs;
    const auto share = [](int64_t used, int64_t total) { return total > 0 ? static_cast<double>(used) / static_cast<double>(total) : 0; };
    stats_.window_hours += hours;
    stats_.allocated_gpu += hours * share(cluster_.used_gpu_milli(), cluster_.total_gpu_milli());
    stats_.allocated_cpu += hours * share(cluster_.used_cpu_milli(), cluster_.total_cpu_milli());
    stats_.allocated_mem += hours * share(cluster_.used_mem_bytes(), cluster_.total_mem_bytes());
    stats_.active_nodes += hours * share(static_cast<int64_t>(cluster_.active_nodes()), static_cast<int64_t>(cluster_.node_count()));
  }
  now_us_ = to_us;
}

double Env::UsedShare(NodeId node) const {
  const auto& r = cluster_.node(node);
  const Shape& shape = cluster_.shapes()[r.shape];
  switch (load_resource_) {
    case LoadResource::kGpu:
      return shape.device_count == 0 ? 0 : 1 - static_cast<double>(cluster_.state_class(cluster_.view(node).class_id).state.free_gpu_milli()) /
                                                   static_cast<double>(shape.total_gpu_milli());
    case LoadResource::kCpu: return shape.cpu_milli == 0 ? 0 : 1 - static_cast<double>(r.cpu_milli) / static_cast<double>(shape.cpu_milli);
    case LoadResource::kMemory: return r.spec.mem_bytes == 0 ? 0 : 1 - static_cast<double>(r.mem_bytes) / static_cast<double>(r.spec.mem_bytes);
  }
  return 0;
}

void Env::TrackUsed(NodeId node, double sign) {
  if (options_.reward.balance == 0) return;
  const double used = UsedShare(node);
  sum_used_ += sign * used;
  sum_used_squared_ += sign * used * used;
}

bool Env::FitsClass(uint32_t pod_class, ClassId id) const {
  const ResolvedRequest& request = requests_[pod_class];
  const auto& cls = cluster_.state_class(id);
  if (FirstViolation(cluster_.shape_of(cls.state), cls.state, request)) return false;
  if (!NeedsExactCheck(cls.state, request) && !cluster_.has_restricted_nodes()) return true;
  return std::any_of(cls.members.begin(), cls.members.end(), [&](NodeId m) { return Takes(m, pod_class); });
}

bool Env::FitsSomewhere(uint32_t pod_class) {
  auto& row = fits_[pod_class];
  if (row.size() < cluster_.class_slots()) row.resize(cluster_.class_slots() * 2);
  // Whether a member fits exactly, or is open, may change while the class lives, so such answers are not kept.
  const bool may_keep = requests_[pod_class].mem_floor_bytes == requests_[pod_class].mem_bytes && !cluster_.has_restricted_nodes();
  for (const auto& [id, uid] : cluster_.occupied()) {
    FitCell& cell = row[id.value];
    if (may_keep && cell.uid != uid) cell = {uid, FitsClass(pod_class, id)};
    if (may_keep ? cell.fits : FitsClass(pod_class, id)) return true;
  }
  return false;
}

absl::Status Env::Admit(NodeId node, DeviceSet devices) {
  if (cluster_.has_restricted_nodes() && node.value < cluster_.nodes().size() && cluster_.node(node).is_present && !IsOpen(node, current_class_)) {
    return InvalidField("decision", cluster_.node(node).spec.name, "a node that is open to the pod: neither cordoned nor with a taint that it does not tolerate");
  }
  if (node.value < cluster_.nodes().size() && cluster_.node(node).is_present) TrackUsed(node, -1);
  const absl::Status status = cluster_.Place(requests_[current_class_], node, devices);
  if (node.value < cluster_.nodes().size() && cluster_.node(node).is_present) TrackUsed(node, 1);
  if (!status.ok()) return status;
  uint32_t index = 0;
  if (free_running_.empty()) {
    index = static_cast<uint32_t>(running_.size());
    running_.emplace_back();
  } else {
    index = free_running_.back();
    free_running_.pop_back();
  }
  Running& running = running_[index];
  running.pod_class = current_class_;
  running.node = node;
  running.devices = devices;
  running.is_alive = true;
  ++running.incarnation;
  if (has_exits()) exits_.Came(index, requests_[current_class_], node, now_us_, &cluster_);
  if (options_.form != Form::kStatic && current_life_us_ != kForever) {
    Push({.time_us = now_us_ + current_life_us_, .index = index, .incarnation = running.incarnation, .kind = Event::Kind::kDeparture});
  }
  if (options_.reward.latency != 0) {
    pending_reward_ -= options_.reward.latency * LatencyMs(pods_[current_class_].origin, cluster_.node(node).spec.position) / 1000;
  }
  if (current_is_counted_) {
    ++stats_.placed;
    CountWait(current_class_, now_us_ - current_arrived_us_);
  }
  return absl::OkStatus();
}

void Env::CountWait(uint32_t pod_class, int64_t wait_us) {
  if (options_.form != Form::kQueue) return;
  stats_.waits_s.push_back(static_cast<float>(static_cast<double>(wait_us) / 1e6));
  stats_.wait_class.push_back(pod_class);
  stats_.wait_gpus.push_back(static_cast<float>(pods_[pod_class].request.total_gpu_milli()) / kWholeGpuMilli);
}

void Env::Depart(uint32_t index) {
  Running& running = running_[index];
  running.is_alive = false;
  free_running_.push_back(index);
  if (has_exits()) exits_.Went(index, true, now_us_, &cluster_);
  TrackUsed(running.node, -1);
  // The node is there: a failing node takes its pods from running_ first.
  (void)cluster_.Remove(requests_[running.pod_class], running.node, running.devices);
  TrackUsed(running.node, 1);
  if (waiting_.size() > 0) Free(running.node);
}

// The current pod fits nowhere and may not wait, or is declined.
void Env::Reject(bool is_declined) {
  const double life_hours = options_.form == Form::kStatic || current_life_us_ == kForever ? 1.0 : static_cast<double>(current_life_us_) / kHourUs;
  pending_reward_ -= options_.reward.allocation * Demand(current_class_) * life_hours;
  if (!current_is_counted_) return;
  const PodRequest& r = pods_[current_class_].request;
  ++stats_.rejected;
  ++stats_.class_rejected[current_class_];
  if (is_declined) {
    ++stats_.declined;
    ++stats_.class_declined[current_class_];
  }
  stats_.rejected_gpu_hours += static_cast<double>(r.total_gpu_milli()) / kWholeGpuMilli * life_hours;
  stats_.rejected_cpu_hours += static_cast<double>(r.cpu_milli) / 1000 * life_hours;
  stats_.rejected_mem_hours += GibOf(r.mem_bytes) * life_hours;
}

void Env::Wait(uint32_t pod_class, Waiting waiting, bool at_front) {
  waiting_.Push(pod_class, waiting, at_front, is_hostable_[pod_class] != 0);
  waiting_demand_ += Demand(pod_class);
}

void Env::FailNode(uint32_t index) {
  const NodeId node = node_ids_[index];
  for (uint32_t i = 0; i < running_.size(); ++i) {
    if (!running_[i].is_alive || running_[i].node != node) continue;
    running_[i].is_alive = false;
    free_running_.push_back(i);
    ++stats_.lost_to_failures;
    if (has_exits()) exits_.Went(i, false, now_us_, &cluster_);
    // Its own end is not known any more: a restarted pod begins a life drawn anew by the failure stream.
    if (options_.form == Form::kQueue) {
      const uint32_t c = running_[i].pod_class;
      Wait(c, {.arrived_us = now_us_, .life_us = workload_->pod_classes[c].lifetime.DrawUs(failures_), .order = 0, .is_counted = false}, true);
    }
  }
  TrackUsed(node, -1);
  (void)cluster_.RemoveNode(node);
  std::erase(freed_, node);
  std::erase_if(holds_, [&](const Hold& hold) { return hold.node == node; });
  node_ids_[index] = NodeId();
  Push({.time_us = now_us_ + static_cast<int64_t>(failures_.Exponential(options_.node_repair_s) * 1e6), .index = index, .kind = Event::Kind::kNodeReturns});
  // Pods that wait again may fit elsewhere at once.
  if (waiting_.size() > 0) {
    for (NodeId other : node_ids_) {
      if (other.is_valid()) freed_.push_back(other);
    }
  }
}

void Env::ReturnNode(uint32_t index) {
  auto id = cluster_.AddNode(nodes_[index], ranks_[index]);
  if (!id.ok()) return;
  node_ids_[index] = *id;
  TrackUsed(*id, 1);
  if (waiting_.size() > 0) freed_.push_back(*id);
  Push({.time_us = now_us_ + static_cast<int64_t>(failures_.Exponential(options_.node_mtbf_s) * 1e6), .index = index, .kind = Event::Kind::kNodeFails});
}

void Env::Handle(const Event& event) {
  switch (event.kind) {
    case Event::Kind::kDeparture:
      if (running_[event.index].is_alive && running_[event.index].incarnation == event.incarnation) Depart(event.index);
      break;
    case Event::Kind::kNodeFails: FailNode(event.index); break;
    case Event::Kind::kNodeReturns: ReturnNode(event.index); break;
  }
}

// Takes the next arrival; true if it is to be placed, false if it was turned away or waits.
bool Env::TakeArrival() {
  current_class_ = next_arrival_.pod_class;
  current_life_us_ = next_arrival_.life_us;
  current_arrived_us_ = next_arrival_.time_us;
  current_is_counted_ = next_arrival_.time_us >= options_.warmup_us;
  if (options_.form == Form::kStatic) arrived_share_ += Demand(current_class_);
  const PodRequest& r = pods_[current_class_].request;
  if (current_is_counted_) {
    const double hours = options_.form == Form::kStatic || current_life_us_ == kForever ? 1.0 : static_cast<double>(current_life_us_) / kHourUs;
    ++stats_.arrived;
    ++stats_.class_arrived[current_class_];
    stats_.offered_gpu_hours += static_cast<double>(r.total_gpu_milli()) / kWholeGpuMilli * hours;
    stats_.offered_cpu_hours += static_cast<double>(r.cpu_milli) / 1000 * hours;
    stats_.offered_mem_hours += GibOf(r.mem_bytes) * hours;
  }
  FetchArrival();
  if ((options_.form != Form::kQueue || waiting_.admits_arrival()) && FitsSomewhere(current_class_)) return true;
  if (miss_listener_ != nullptr) miss_listener_->Miss(cluster_, pods_[current_class_]);
  if (options_.form == Form::kQueue) {
    Wait(current_class_, {current_arrived_us_, current_life_us_, ++sequence_, current_is_counted_}, false);
  } else {
    Reject(false);
  }
  if (options_.observer != nullptr) options_.observer->OnPod(*this, current_class_, false);
  return false;
}

// Lets time pass until the next epoch or the end.
StepResult Env::Advance() {
  StepResult result;
  for (;;) {
    HoldNodes();
    if (TakeWaiting()) break;
    const int64_t event_us = events_.empty() ? kForever : events_.front().time_us;
    const int64_t arrival_us = has_arrival_ ? next_arrival_.time_us : kForever;
    // A recorded or static stream is over with its last arrival; a pod that still waits may yet be placed by departures.
    const bool is_over = !has_arrival_ && (options_.form != Form::kQueue || waiting_.size() == 0 || events_.empty());
    const int64_t next_us = std::min(event_us, arrival_us);
    if (is_over || next_us >= end_us_) {
      if (!is_over) PassTime(end_us_);
      result.terminated = is_over;
      result.truncated = !is_over;
      is_running_ = false;
      FinishWaits();
      break;
    }
    PassTime(next_us);
    if (event_us <= arrival_us) {
      Handle(Pop());
    } else if (TakeArrival()) {
      break;
    }
  }
  result.reward = pending_reward_;
  stats_.reward += pending_reward_;
  pending_reward_ = 0;
  return result;
}

void Env::FinishWaits() {
  for (uint32_t c = 0; c < waiting_.classes(); ++c) {
    for (const Waiting& waiting : waiting_.of(c)) {
      if (waiting.is_counted) CountWait(c, now_us_ - waiting.arrived_us);
    }
  }
}

const std::vector<EnvAction>& Env::actions() {
  actions_.clear();
  if (!is_running_) return actions_;
  const ResolvedRequest& request = requests_[current_class_];
  for (const auto& [id, uid] : cluster_.occupied()) {
    const NodeState& state = cluster_.state_class(id).state;
    if (!FitsClass(current_class_, id)) {
      actions_.push_back({id, 0, false});
    } else if (request.gpu_count != 1) {
      actions_.push_back({id, TightestDevices(state, request), true});
    } else {
      for (uint32_t i = 0; i < state.device_count; ++i) {
        if (state.gpu_milli[i] < request.gpu_milli || (i > 0 && state.gpu_milli[i] == state.gpu_milli[i - 1])) continue;
        actions_.push_back({id, 1u << i, true});
      }
    }
  }
  return actions_;
}

absl::StatusOr<StepResult> Env::Step(int action) {
  if (!is_running_) return absl::FailedPreconditionError("no episode is running: call Reset");
  const auto& all = actions();
  if (action < 0 || static_cast<size_t>(action) >= all.size()) {
    return InvalidField("action", fmt::format("{}", action), fmt::format("0 to {}", all.size() - 1));
  }
  const EnvAction chosen = all[static_cast<size_t>(action)];
  if (!chosen.is_legal) return InvalidField("action", fmt::format("{}", action), "an action that the mask allows");
  return Step(chosen);
}

absl::StatusOr<StepResult> Env::Step(const EnvAction& chosen) {
  if (!is_running_) return absl::FailedPreconditionError("no episode is running: call Reset");
  const auto uids = cluster_.active_uids();
  if (!chosen.is_legal || chosen.class_id.value >= uids.size() || uids[chosen.class_id.value] == 0 || !FitsClass(current_class_, chosen.class_id)) {
    return InvalidField("action", fmt::format("state class {}", chosen.class_id.value), "a class that the pod fits");
  }
  const auto& request = requests_[current_class_];
  const uint32_t devices = cluster_.state_class(chosen.class_id).state.device_count;
  if (std::popcount(chosen.devices) != request.gpu_count || (uint64_t{chosen.devices} >> devices) != 0) {
    return InvalidField("action", fmt::format("devices {:#x}", chosen.devices), fmt::format("{} of {} devices", request.gpu_count, devices));
  }
  Decision decision;
  decision.is_placed = true;
  decision.node = cluster_.Lowest(chosen.class_id);
  if (NeedsExactCheck(cluster_.state_class(chosen.class_id).state, requests_[current_class_]) || cluster_.has_restricted_nodes()) {
    decision.node = NodeId();
    for (NodeId m : cluster_.state_class(chosen.class_id).members) {
      if (Takes(m, current_class_) && (!decision.node.is_valid() || cluster_.view(m).rank < cluster_.view(decision.node).rank)) {
        decision.node = m;
      }
    }
  }
  decision.devices = cluster_.DevicesAt(decision.node, chosen.devices);
  return StepDecision(decision);
}

absl::StatusOr<StepResult> Env::StepDecision(const Decision& decision) {
  if (!is_running_) return absl::FailedPreconditionError("no episode is running: call Reset");
  const bool is_declined = !decision.is_placed && options_.form != Form::kQueue && decision.refused[static_cast<size_t>(Constraint::kPolicy)] > 0;
  if (!decision.is_placed && !is_declined) {
    return InvalidField("decision", "no node", options_.form == Form::kQueue ? "a node that fits: there is one at every epoch"
                                                                              : "a node that fits, as there is at every epoch, or nodes that the policy refused");
  }
  if (is_declined) {
    Reject(true);
  } else {
    BERTH_RETURN_IF_ERROR(Admit(decision.node, decision.devices));
  }
  ++decisions_;
  if (options_.observer != nullptr) options_.observer->OnPod(*this, current_class_, !is_declined);
  return Advance();
}

absl::Status RunEpisode(Env& env, Decider& decider, uint64_t seed) {
  env.set_miss_listener(&decider);
  StepResult result = env.Reset(seed);
  while (!result.is_done()) {
    const Decision decision = decider.Decide(env.view(), env.pod(), env.decision_seed(), {.is_retry = env.is_retry()});
    const auto stepped = env.StepDecision(decision);
    if (!stepped.ok()) {
      env.set_miss_listener(nullptr);
      return stepped.status();
    }
    result = *stepped;
  }
  env.set_miss_listener(nullptr);
  return absl::OkStatus();
}

PodMix MixOf(const Workload& workload) {
  PodMix mix;
  for (const PodClass& c : workload.pod_classes) mix.push_back({c.request, c.share});
  return mix;
}

}  // namespace berth

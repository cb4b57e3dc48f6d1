#include "adapters/kubernetes/cluster_feed.h"

#include <utility>

#include "base/log.h"
#include "base/status.h"

namespace berth::kubernetes {
namespace {

bool IsSame(const RunningPod& a, const RunningPod& b) { return a.node == b.node && a.devices == b.devices && a.pod.request == b.pod.request; }

RunningPod ToRunning(KubePod&& pod) {
  RunningPod running;
  running.pod = std::move(pod.pod);
  running.node = std::move(pod.node);
  running.devices = pod.devices;
  return running;
}

}  // namespace

ClusterFeed::ClusterFeed(ClusterSink* sink, ExtendedNames* names, Metrics* metrics, FeedObserver* observer)
    : sink_(sink), names_(names), metrics_(metrics), observer_(observer) {}

void ClusterFeed::Count(Difference difference, std::string_view what) {
  metrics_->differences[static_cast<size_t>(difference)]->Increment();
  LogWarning("kubernetes: {}: {}", DifferenceName(difference), what);
}

bool ClusterFeed::ReadNode(JsonObject object, Node* node) {
  absl::Status status = NodeFromJson(object, "Node", node);
  if (status.ok()) {
    names_->KeepOf(node);
    status = ValidateNode("Node", *node);
  }
  if (!status.ok()) Count(Difference::kUnreadable, fmt::format("node {}: {}", Quoted(node->name), MessageOf(status)));
  return status.ok();
}

bool ClusterFeed::ReadPod(JsonObject object, KubePod* pod) {
  absl::Status status = PodFromJson(object, "Pod", pod);
  if (status.ok()) {
    names_->KeepOf(&pod->pod);
    // Where a pod that runs wanted to go is of no more interest.
    if (pod->is_running()) pod->pod.node_selector.clear(), pod->pod.tolerations.clear();
    status = ValidatePod("Pod", pod->pod);
  }
  if (!status.ok()) Count(Difference::kUnreadable, fmt::format("pod {}: {}", Quoted(DisplayName(*pod)), MessageOf(status)));
  return status.ok();
}

void ClusterFeed::NodeListener::Item(JsonObject object) {
  Node node;
  if (feed_->ReadNode(object, &node)) staged_.push_back(std::move(node));
}
void ClusterFeed::NodeListener::EndList() { feed_->ReplaceNodes(std::exchange(staged_, {})); }
void ClusterFeed::NodeListener::Event(EventType type, JsonObject object) {
  Node node;
  if (feed_->ReadNode(object, &node) || (type == EventType::kDeleted && !node.name.empty())) feed_->TakeNode(type, std::move(node));
}
void ClusterFeed::PodListener::Item(JsonObject object) {
  KubePod pod;
  if (feed_->ReadPod(object, &pod)) staged_.push_back(std::move(pod));
}
void ClusterFeed::PodListener::EndList() { feed_->ReplacePods(std::exchange(staged_, {})); }
void ClusterFeed::PodListener::Event(EventType type, JsonObject object) {
  KubePod pod;
  if (feed_->ReadPod(object, &pod) || (type == EventType::kDeleted && !pod.pod.id.empty())) feed_->TakePod(type, std::move(pod));
}

// --- Nodes ---------------------------------------------------------------------------------------------------------

void ClusterFeed::AddNode(Node node, std::vector<Change>* changes) {
  const std::string name = node.name;
  changes->push_back(UpsertNode{node});
  known_nodes_[name] = std::move(node);
  const auto waiting = waiting_.find(name);
  if (waiting == waiting_.end()) return;
  for (const std::string& uid : waiting->second) {
    Known& known = known_pods_.at(uid);
    known.is_recorded = true;
    changes->push_back(RunPod{known.running});
  }
  waiting_.erase(waiting);
}

void ClusterFeed::TakeNode(EventType type, Node node) {
  absl::MutexLock lock(&mu_);
  const auto known = known_nodes_.find(node.name);
  std::vector<Change> changes;
  if (type == EventType::kDeleted) {
    if (known == known_nodes_.end()) return;
    known_nodes_.erase(known);
    changes.push_back(DropNode{std::move(node.name)});   // its pods stay on record as orphans
  } else {
    if (known != known_nodes_.end() && known->second == node) return;
    AddNode(std::move(node), &changes);
  }
  if (is_synced_) Apply(std::move(changes));
}

void ClusterFeed::ReplaceNodes(std::vector<Node> nodes) {
  absl::MutexLock lock(&mu_);
  std::vector<Change> changes;
  absl::flat_hash_set<std::string> listed;
  for (const Node& node : nodes) listed.insert(node.name);
  for (auto it = known_nodes_.begin(); it != known_nodes_.end();) {
    const auto current = it++;
    if (listed.contains(current->first)) continue;
    changes.push_back(DropNode{current->first});
    known_nodes_.erase(current);
  }
  for (Node& node : nodes) {
    const auto known = known_nodes_.find(node.name);
    if (known != known_nodes_.end() && known->second == node) continue;
    AddNode(std::move(node), &changes);
  }
  has_nodes_ = true;
  if (!is_synced_) return SyncIfBoth();
  if (!changes.empty()) Count(Difference::kMissedEvent, fmt::format("a list of nodes has {} changes that no event told", changes.size()));
  Apply(std::move(changes));
}

// --- Pods ----------------------------------------------------------------------------------------------------------

void ClusterFeed::AddPod(KubePod pod, std::vector<Change>* changes) {
  const std::string uid = pod.pod.id;
  Importance importance{pod.priority, std::move(pod.start_time), std::nullopt};
  if (pod.is_terminating) importance.terminating_since = std::chrono::steady_clock::now();
  RunningPod running = ToRunning(std::move(pod));
  Known& known = known_pods_[uid];
  if (known.importance.terminating_since) importance.terminating_since = known.importance.terminating_since;
  known.importance = std::move(importance);
  if (known.is_recorded && IsSame(known.running, running)) return;
  const bool was_waiting = !known.running.node.empty() && !known.is_recorded;
  if (was_waiting) waiting_[known.running.node].erase(uid);
  known.running = std::move(running);
  known.is_recorded = known_nodes_.contains(known.running.node);
  if (known.is_recorded) changes->push_back(RunPod{known.running});
  else waiting_[known.running.node].insert(uid);
}

void ClusterFeed::EndKnownPod(const std::string& uid, std::vector<Change>* changes) {
  const auto known = known_pods_.find(uid);
  if (known != known_pods_.end()) {
    if (!known->second.is_recorded) {
      const auto waiting = waiting_.find(known->second.running.node);
      if (waiting != waiting_.end()) {
        waiting->second.erase(uid);
        if (waiting->second.empty()) waiting_.erase(waiting);
      }
    }
    known_pods_.erase(known);
  }
  // Also a pod that a bind of ours has only assumed.
  if (is_synced_ && sink_->ledger().FindPod(uid)) changes->push_back(EndPod{uid});
}

void ClusterFeed::TakePod(EventType type, KubePod pod) {
  const std::string uid = pod.pod.id;
  const bool is_over = type == EventType::kDeleted || pod.has_ended;
  const bool is_settled = is_over || !pod.node.empty();
  {
    absl::MutexLock lock(&mu_);
    std::vector<Change> changes;
    if (is_over) EndKnownPod(uid, &changes);
    else if (pod.is_running()) AddPod(std::move(pod), &changes);
    if (is_synced_) Apply(std::move(changes));
  }
  if (is_settled && observer_ != nullptr) observer_->Settled(uid);
}

void ClusterFeed::ReplacePods(std::vector<KubePod> pods) {
  if (observer_ != nullptr) {
    absl::flat_hash_set<std::string> all;
    for (const KubePod& pod : pods) all.insert(pod.pod.id);
    observer_->Listed(all);
  }
  absl::MutexLock lock(&mu_);
  std::vector<Change> changes;
  absl::flat_hash_set<std::string> listed;
  for (const KubePod& pod : pods) {
    if (pod.is_running()) listed.insert(pod.pod.id);
  }
  std::vector<std::string> gone;
  for (const auto& [uid, known] : known_pods_) {
    if (!listed.contains(uid)) gone.push_back(uid);
  }
  for (const std::string& uid : gone) EndKnownPod(uid, &changes);
  for (KubePod& pod : pods) {
    if (pod.is_running()) AddPod(std::move(pod), &changes);
    else if (pod.has_ended) EndKnownPod(pod.pod.id, &changes);
  }
  has_pods_ = true;
  if (!is_synced_) return SyncIfBoth();
  if (!changes.empty()) Count(Difference::kMissedEvent, fmt::format("a list of pods has {} changes that no event told", changes.size()));
  Apply(std::move(changes));
}

// --- Into the ledger -----------------------------------------------------------------------------------------------

void ClusterFeed::SyncIfBoth() {
  if (!has_nodes_ || !has_pods_) return;
  std::vector<Node> nodes;
  std::vector<RunningPod> pods;
  for (const auto& [name, node] : known_nodes_) nodes.push_back(node);
  // The order of nodes is the order of ties: the same after each start.
  std::sort(nodes.begin(), nodes.end(), [](const Node& a, const Node& b) { return a.name < b.name; });
  for (auto& [uid, known] : known_pods_) {
    known.is_recorded = known_nodes_.contains(known.running.node);
    if (known.is_recorded) pods.push_back(known.running);
    else waiting_[known.running.node].insert(uid);
  }
  is_synced_ = true;
  metrics_->is_synced->Set(1);
  const absl::StatusOr<ChangeReport> replaced = sink_->ReplaceAll(nodes, pods);
  if (replaced.ok()) {
    LogInfo("kubernetes: read {} nodes and {} bound pods", nodes.size(), pods.size());
    return TakeReport(*replaced);
  }
  LogWarning("kubernetes: the cluster can't be taken over in one step, tried object by object: {}", MessageOf(replaced.status()));
  std::vector<Change> changes;
  for (const Node& node : nodes) changes.push_back(UpsertNode{node});
  for (const RunningPod& pod : pods) changes.push_back(RunPod{pod});
  for (const Change& change : changes) ApplyOne(change);
  UpdateSizes();
}

void ClusterFeed::Apply(std::vector<Change> changes) {
  if (changes.empty()) return;
  const absl::StatusOr<ChangeReport> report = sink_->Apply(changes);
  if (report.ok()) return TakeReport(*report);
  for (const Change& change : changes) ApplyOne(change);   // what can be taken is; the rest is counted
  UpdateSizes();
}

void ClusterFeed::ApplyOne(const Change& change) {
  absl::StatusOr<ChangeReport> report = sink_->Apply({&change, 1});
  const auto* run = std::get_if<RunPod>(&change);
  if (!report.ok() && run != nullptr && run->running.pod.request.gpu_count > 0) {
    // More devices than the node shows: what it holds of cpu and memory must be known all the same.
    Count(Difference::kWithoutGpus, fmt::format("pod {} on {}: {}", Quoted(run->running.pod.id), Quoted(run->running.node), MessageOf(report.status())));
    RunPod without = *run;
    without.running.devices = 0;
    without.running.pod.request.gpu_count = without.running.pod.request.gpu_milli = 0;
    without.running.pod.request.gpu_models.clear();
    const Change reduced = without;
    report = sink_->Apply({&reduced, 1});
  }
  if (report.ok()) return TakeReport(*report);
  Count(Difference::kRefused, MessageOf(report.status()));
}

void ClusterFeed::TakeReport(const ChangeReport& report) {
  for (const std::string& uid : report.moved) {
    if (observer_ != nullptr && observer_->IsProvisional(uid)) metrics_->outweighed->Increment();
    else Count(Difference::kMoved, fmt::format("pod {} runs elsewhere than was known", Quoted(uid)));
  }
  UpdateSizes();
}

void ClusterFeed::UpdateSizes() {
  const LedgerTotals totals = sink_->ledger().totals();
  metrics_->cache_size[0]->Set(static_cast<double>(totals.nodes));
  metrics_->cache_size[1]->Set(static_cast<double>(totals.assumed + totals.confirmed));
  metrics_->cache_size[2]->Set(static_cast<double>(totals.assumed));
}

std::optional<ClusterFeed::Importance> ClusterFeed::FindImportance(std::string_view uid) const {
  absl::MutexLock lock(&mu_);
  const auto it = known_pods_.find(absl::string_view(uid.data(), uid.size()));
  if (it == known_pods_.end()) return std::nullopt;
  return it->second.importance;
}

}  // namespace berth::kubernetes

// ClusterFeed: nodes and bound pods of the API server into the ledger. The API server is the truth; where the ledger differs
// it follows, and the difference is logged and counted.
//
// The first lists of nodes and pods replace the ledger's content in one step (pods that are assumed stay). Later lists are
// compared with what is known, and what changed is applied in one step, so that a pod that was deleted and recreated under
// its name is never seen twice and never half. Identity is the UID. A pod whose node is not known yet waits for it.
// Thread-safety: the two listeners may be called by a thread each; other methods concurrently.
#ifndef BERTH_ADAPTERS_KUBERNETES_CLUSTER_FEED_H_
#define BERTH_ADAPTERS_KUBERNETES_CLUSTER_FEED_H_

#include <atomic>
#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/synchronization/mutex.h"
#include "adapters/kubernetes/cluster_sink.h"
#include "adapters/kubernetes/metrics.h"
#include "adapters/kubernetes/objects.h"
#include "adapters/kubernetes/reflector.h"

namespace berth::kubernetes {

// Who wants to know what becomes of pods. Called from the feed's threads.
class FeedObserver {
 public:
  virtual ~FeedObserver() = default;
  // The pod was bound, ended or deleted, and the ledger knows.
  virtual void Settled(const std::string& uid) = 0;
  // All pods that there are, bound or not.
  virtual void Listed(const absl::flat_hash_set<std::string>& uids) = 0;
  // Whether the ledger has the pod where a decision put it that kube-scheduler may still overrule.
  virtual bool IsProvisional(const std::string& uid) = 0;
};

class ClusterFeed {
 public:
  // What preemption compares of a running pod.
  struct Importance {
    int32_t priority = 0;
    std::string start_time;
    std::optional<std::chrono::steady_clock::time_point> terminating_since;   // when we first heard of its deletion
  };

  // All outlive the feed; `observer` may be null.
  ClusterFeed(ClusterSink* sink, ExtendedNames* names, Metrics* metrics, FeedObserver* observer);

  ReflectorListener& nodes() { return node_listener_; }
  ReflectorListener& pods() { return pod_listener_; }

  bool is_synced() const { return is_synced_.load(); }
  std::optional<Importance> FindImportance(std::string_view uid) const;

 private:
  // Keeps the objects of a list until it is whole.
  template <class Object>
  class StagingListener : public ReflectorListener {
   public:
    explicit StagingListener(ClusterFeed* feed) : feed_(feed) {}
    void BeginList() override { staged_.clear(); }
    void AbortList() override { staged_.clear(); }

   protected:
    ClusterFeed* const feed_;
    std::vector<Object> staged_;
  };
  class NodeListener : public StagingListener<Node> {
   public:
    using StagingListener::StagingListener;
    void Item(JsonObject object) override;
    void EndList() override;
    void Event(EventType type, JsonObject object) override;
  };
  class PodListener : public StagingListener<KubePod> {
   public:
    using StagingListener::StagingListener;
    void Item(JsonObject object) override;
    void EndList() override;
    void Event(EventType type, JsonObject object) override;
  };
  struct Known {
    RunningPod running;
    Importance importance;
    bool is_recorded = false;   // the ledger has it; else it waits for its node
  };

  bool ReadNode(JsonObject object, Node* node);
  bool ReadPod(JsonObject object, KubePod* pod);
  void ReplaceNodes(std::vector<Node> nodes);
  void ReplacePods(std::vector<KubePod> pods);
  void TakeNode(EventType type, Node node);
  void TakePod(EventType type, KubePod pod);

  void AddNode(Node node, std::vector<Change>* changes) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void AddPod(KubePod pod, std::vector<Change>* changes) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void EndKnownPod(const std::string& uid, std::vector<Change>* changes) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void SyncIfBoth() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Apply(std::vector<Change> changes) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void ApplyOne(const Change& change) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void TakeReport(const ChangeReport& report);
  void Count(Difference difference, std::string_view what);
  void UpdateSizes();

  ClusterSink* const sink_;
  ExtendedNames* const names_;
  Metrics* const metrics_;
  FeedObserver* const observer_;
  NodeListener node_listener_{this};
  PodListener pod_listener_{this};
  std::atomic<bool> is_synced_{false};
  mutable absl::Mutex mu_;
  bool has_nodes_ ABSL_GUARDED_BY(mu_) = false, has_pods_ ABSL_GUARDED_BY(mu_) = false;
  absl::flat_hash_map<std::string, Node> known_nodes_ ABSL_GUARDED_BY(mu_);
  absl::flat_hash_map<std::string, Known> known_pods_ ABSL_GUARDED_BY(mu_);   // by UID; those that hold capacity
  absl::flat_hash_map<std::string, absl::flat_hash_set<std::string>> waiting_ ABSL_GUARDED_BY(mu_);   // UIDs by node
};

}  // namespace berth::kubernetes

#endif  // BERTH_ADAPTERS_KUBERNETES_CLUSTER_FEED_H_

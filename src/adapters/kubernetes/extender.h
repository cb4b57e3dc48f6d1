// Extender: the verbs of kube-scheduler's HTTP extender over the ledger and the policy in use.
//
//   filter      a node passes when the ledger says that the pod fits there and the policy takes it. Refusals have constant
//               texts, since kube-scheduler counts equal ones. A pod that is on record already passes only where it is.
//               kube-scheduler's own filters have found room for cpu, memory, pods and extended resources; where we see none, and
//               no pod that Kubernetes does not know explains it, our watch is behind. If no node passes because of that, the
//               answer waits up to `behind_wait_ms` for the watch, and is then an Error, which is retried: a refusal would
//               leave the pod unschedulable until some event, as late as five minutes.
//   choose      instead of filter: passes the node that the policy chooses, alone. kube-scheduler then has nothing left to score, so
//               that the decision is ours whole and a pod costs one call; refusals as filter where no node is left.
//   prioritize  whole numbers 0..10. The node that the policy chooses gets 10 and nobody else does, so that it keeps its lead;
//               the others get floor(9 (s - least) / (best - least)) of their score s, so that their order stays.
//   preempt     one node: the one that was named before for this pod (its UID, or status.nominatedNodeName after a restart);
//               else, of the candidates where the ledger says that the pod fits once the victims are gone, by kube-scheduler's
//               order: fewest budgets violated, lowest highest priority, smallest sum, fewest victims, latest start, then the
//               first name. More than one node makes kube-scheduler 1.34 evict 2-4 victims. It also asks again while its own
//               eviction is under way: naming the victim again then makes it wait for an end that it has missed. So no node is
//               named while the eviction is under way by what we know, and the pod's next attempt finds the room. Such a call
//               waits up to `eviction_wait_ms` for news of the victim.
//   A decision of choose or prioritize reserves its node in the ledger at once, so that the next pod is decided with it, although
//   kube-scheduler takes a while to bind, and may overrule it. It ends by a fact: the pod is seen bound (there or elsewhere),
//   ended, deleted, or asked about again. Without an API server to tell, nothing is reserved.
//   After a preemption the named node is judged without the victims: kube-scheduler, which asks about it only once they are
//   gone, knows of their end before we do.
//   bind        assumes in the ledger, posts the Binding with the pod's UID and with the explanation as annotations, and
//               forgets on failure. Idempotent by UID and node. An answer that got lost is looked up.
//
// Labels, taints, affinity and the like are not looked at: kube-scheduler's own filters ran before, and only nodes that
// passed them are asked about. A node that the ledger doesn't know (yet) is refused.
//
// Wire: JSON with Go's field names, in either letter case; node-cache-capable form (names) and whole nodes; the answer has the
// form of the question. Source: k8s.io/kube-scheduler/extender/v1; anchored by recorded calls of 1.34 and 1.37 in tests.
// Thread-safety: all methods may be called concurrently; Bind blocks for the API server. Cost of filter and prioritize:
// O(body + nodes asked), one lock.
#ifndef BERTH_ADAPTERS_KUBERNETES_EXTENDER_H_
#define BERTH_ADAPTERS_KUBERNETES_EXTENDER_H_

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/synchronization/mutex.h"
#include "adapters/kubernetes/api_client.h"
#include "adapters/kubernetes/bounded_map.h"
#include "adapters/kubernetes/cluster_feed.h"
#include "adapters/kubernetes/cluster_sink.h"
#include "adapters/kubernetes/metrics.h"
#include "adapters/kubernetes/objects.h"

namespace berth::kubernetes {

struct PreemptionArgs;   // extender_wire.h

// Whole numbers 0..10 for the verdicts: refused nodes and the worst get 0, the chosen one 10 alone.
std::vector<int> ExtenderScores(const Weighed& weighed);

class Extender : public FeedObserver {
 public:
  struct Options {
    size_t max_nodes = 20000;                       // of one call
    size_t max_remembered = 65536;                  // pods whose preemption or decision is remembered
    int64_t bind_timeout_ms = 4000;                 // below kube-scheduler's httpTimeout of 5 s
    int64_t nomination_ms = 5000;                   // preempt: how long a named node is held without a sign of its eviction
    int64_t eviction_wait_ms = 250;
    int64_t behind_wait_ms = 200;
    std::function<bool()> leads;                    // may be empty: always. Where it says no, verbs answer an error and nothing is bound
    std::function<void(std::string_view)> log;      // one JSON object a decision; may be empty. Must not block
  };
  struct Answer {
    int status = 200;                               // 400: the body is no request
    std::string body;
  };

  // `client` null: bind answers that no API server is known. `feed` null: the ledger is fed by others, and counts as synced.
  // All outlive this.
  Extender(ClusterSink* sink, ExtendedNames* names, Metrics* metrics, ApiClient* client, Options options);
  void set_feed(const ClusterFeed* feed) { feed_ = feed; }

  Answer Call(Verb verb, std::string_view body);

  void Settled(const std::string& uid) override;
  void Listed(const absl::flat_hash_set<std::string>& uids) override;
  bool IsProvisional(const std::string& uid) override;

 private:
  struct Question;      // a parsed ExtenderArgs
  struct Decided {      // what the policy chose last for a pod
    Pod pod;
    std::string node, runner_up;
    double score = 0, runner_up_score = 0;
    std::string policy, model_version;
    Generation generation = 0;
  };
  struct Nomination {   // what preempt named for a pod
    std::string node;
    std::vector<std::string> victims;   // UIDs
    std::chrono::steady_clock::time_point named;
  };
  // Reservations of ours that no call is busy with.
  enum class Reserved : uint8_t {
    kByDecision,    // kube-scheduler may overrule it
    kByBrokenBind,  // the Binding may have come through
  };
  class Parsers;

  absl::StatusOr<std::string> Filter(JsonObject body, bool chooses);
  absl::StatusOr<std::string> Prioritize(JsonObject body);
  absl::StatusOr<std::string> Preempt(JsonObject body);
  absl::StatusOr<std::string> Bind(JsonObject body);

  absl::Status ReadQuestion(JsonObject body, Question* question) const;
  absl::Status ReadPreemption(JsonObject body, PreemptionArgs* preemption) const;
  absl::StatusOr<std::string> ChooseVictims(const PreemptionArgs& preemption);
  // The node to answer where one was named before ("": none for now), or nullopt: choose anew.
  std::optional<std::string> AnswerAgain(const PreemptionArgs& preemption);
  enum class Eviction : uint8_t { kNotBegun, kUnderWay, kUnderWayForLong };
  Eviction EvictionOf(const Nomination& nomination) const;
  absl::Status CheckReady() const;
  void Weigh(Question* question) ABSL_LOCKS_EXCLUDED(mu_);
  // Whether a node is refused for something that kube-scheduler has checked, and that nothing explains.
  bool IsBehind(const Question& question) ABSL_LOCKS_EXCLUDED(mu_);
  // Remembers, reserves and logs what was chosen: index `chosen` of the question's ids.
  void Decide(std::string_view verb, const Question& question, size_t chosen) ABSL_LOCKS_EXCLUDED(mu_);
  // Whether the pod fits the node once these pods are gone.
  bool FitsWithout(const ClusterState& state, std::string_view node, const std::vector<std::pair<PodRequest, DeviceSet>>& gone, const Pod& pod) const;
  // What the ledger says that these pods hold on the node.
  std::vector<std::pair<PodRequest, DeviceSet>> HeldBy(const std::vector<std::string>& uids, std::string_view node) const;
  absl::Status ReserveForBind(const Pod& pod, const std::string& node, DeviceSet* devices, Decided* decided);
  Decider& DeciderInUse() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  absl::StatusOr<Pod> FindPod(const std::string& namespace_name, const std::string& name, const std::string& uid);
  absl::Status PostBinding(const std::string& namespace_name, const std::string& name, const Pod& pod, const std::string& node, DeviceSet devices,
                           const std::string& explanation, bool* is_unknown);
  void Log(std::string_view verb, const std::function<void(std::string*)>& fields) const;

  ClusterSink* const sink_;
  ExtendedNames* const names_;
  Metrics* const metrics_;
  ApiClient* const client_;
  const Options options_;
  const ClusterFeed* feed_ = nullptr;

  absl::Mutex mu_;
  std::shared_ptr<const Policy> policy_ ABSL_GUARDED_BY(mu_);
  std::unique_ptr<Decider> decider_ ABSL_GUARDED_BY(mu_);
  BoundedMap<Decided> decided_ ABSL_GUARDED_BY(mu_);
  BoundedMap<Nomination> nominated_ ABSL_GUARDED_BY(mu_);       // by UID
  BoundedMap<char> settled_ ABSL_GUARDED_BY(mu_);               // UIDs, the latest
  absl::flat_hash_map<std::string, Reserved> reserved_ ABSL_GUARDED_BY(mu_);   // by UID
  absl::flat_hash_set<std::string> binding_ ABSL_GUARDED_BY(mu_);   // UIDs of binds under way
  absl::CondVar bound_;
};

}  // namespace berth::kubernetes

#endif  // BERTH_ADAPTERS_KUBERNETES_EXTENDER_H_

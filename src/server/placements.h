// Placements: the ledger with its memory. Adds to the ledger what a service needs: the policy in use, answers by idempotency
// key, and the journal. Everything that changes the cluster goes through here.
//
// Answers: a key is kept while its pod is on record, and then among the last `max_finished_keys` finished ones; a refusal is
// kept there at once. The journal is written before an answer is given. A journal that can't be written stops all changes
// (UNAVAILABLE until a restart), since what is on disk is then unknown: the restart tells.
//
// Thread-safety: all methods may be called concurrently. One mutex around every change, the journal's write included.
#ifndef BERTH_SERVER_PLACEMENTS_H_
#define BERTH_SERVER_PLACEMENTS_H_

#include <atomic>
#include <cstdint>
#include <deque>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "cluster/ledger.h"
#include "cluster/policy.h"
#include "server/journal.h"
#include "server/wire.h"

namespace berth {

class Placements {
 public:
  static constexpr size_t kMaxKeyBytes = 128;

  struct Options {
    Ledger::Options ledger;
    int64_t max_finished_keys = 65536;
  };
  struct Answer {
    DecisionRecord decision;
    bool is_replay = false;
  };
  struct Explained {
    std::optional<DecisionRecord> recorded;  // as it was made
    std::optional<PodInfo> info;             // of a pod on record
    Explanation explanation;                 // of `view`
    DecisionRecord decision;                 // the explanation's, with names
    Snapshot view;
    PolicyInfo policy;
  };

  // `journal` may be null: memory only. A journal that has nodes wins over `nodes`. Errors: as Ledger::ReplaceAll for the
  // nodes; DATA_LOSS the journal.
  static absl::StatusOr<std::unique_ptr<Placements>> Create(const Options& options, std::shared_ptr<const Policy> policy,
                                                            std::unique_ptr<Journal> journal, std::span<const Node> nodes);

  // Errors: as Ledger::Place; FAILED_PRECONDITION the key was used for another request; INVALID_ARGUMENT the key;
  // UNAVAILABLE the journal.
  absl::Status Place(const Pod& pod, std::string_view key, uint64_t seed, bool count_nodes, Answer* answer);
  // Reserves a node chosen elsewhere while an orchestrator binds; errors as Ledger::Assume. Not journalled: after a restart
  // the orchestrator tells how the bind ended. Forget ends it; errors as Ledger::Forget.
  absl::StatusOr<Generation> Assume(const Pod& pod, std::string_view node, DeviceSet devices);
  absl::StatusOr<Generation> Forget(const std::string& pod_id);
  absl::StatusOr<Generation> Confirm(std::string_view pod_id);
  absl::StatusOr<Generation> Release(const std::string& pod_id);
  absl::StatusOr<ChangeReport> Apply(std::span<const Change> changes);
  absl::StatusOr<ChangeReport> ReplaceAll(std::span<const Node> nodes, std::span<const RunningPod> pods, bool drop_assumed);

  // Explanations work on a copy of the cluster and on a decider of their own; only the copy is made under a lock.
  absl::StatusOr<Explained> ExplainRecorded(const std::string& pod_id, size_t max_candidates) const;
  absl::StatusOr<Explained> ExplainPod(const Pod& pod, uint64_t seed, size_t max_candidates) const;

  // What decides from now on. Its decider is made and warmed beside the one in use, which goes on deciding until then.
  void SetPolicy(std::shared_ptr<const Policy> policy);
  std::shared_ptr<const Policy> policy() const;

  const Ledger& ledger() const { return ledger_; }
  // False once the journal could not be written.
  bool is_writable() const { return !is_broken_.load(std::memory_order_relaxed); }

 private:
  struct Kept {
    KeptAnswer answer;
    uint64_t sequence = 0;  // among the finished; 0 while the pod is on record
  };

  explicit Placements(const Options& options) : options_(options), ledger_(options.ledger) {}

  absl::Status CheckWritable() const;
  absl::Status Write(Journal::Batch& batch) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Finish(const std::string& pod_id, Journal::Batch& batch) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void KeepFinished(std::shared_ptr<Kept> kept, Journal::Batch& batch) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void PutPod(const std::string& pod_id, Journal::Batch& batch) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void PutNode(const Node& node, Journal::Batch& batch) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  const KeptAnswer* AnswerOf(const std::string& pod_id) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const Options options_;
  Ledger ledger_;
  std::atomic<bool> is_broken_{false};
  mutable absl::Mutex mu_;
  std::unique_ptr<Journal> journal_ ABSL_GUARDED_BY(mu_);
  std::shared_ptr<const Policy> policy_ ABSL_GUARDED_BY(mu_);
  std::shared_ptr<const PolicyName> policy_name_ ABSL_GUARDED_BY(mu_);
  std::unique_ptr<Decider> decider_ ABSL_GUARDED_BY(mu_);
  absl::flat_hash_map<std::string, std::shared_ptr<Kept>> by_pod_ ABSL_GUARDED_BY(mu_);
  absl::flat_hash_map<std::string, std::shared_ptr<Kept>> by_key_ ABSL_GUARDED_BY(mu_);
  std::deque<std::shared_ptr<Kept>> finished_ ABSL_GUARDED_BY(mu_);
  uint64_t next_sequence_ ABSL_GUARDED_BY(mu_) = 1;
  absl::flat_hash_map<std::string, uint64_t> node_order_ ABSL_GUARDED_BY(mu_);
  uint64_t next_order_ ABSL_GUARDED_BY(mu_) = 1;
};

}  // namespace berth

#endif  // BERTH_SERVER_PLACEMENTS_H_

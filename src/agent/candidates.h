// The best actions of a decision, out of all legal ones, at the cost of what changed since the same pod class was last asked about:
// the engine of class_policy.h, for a policy that samples and so wants more than the best.
#ifndef BERTH_AGENT_CANDIDATES_H_
#define BERTH_AGENT_CANDIDATES_H_

#include <cstdint>
#include <span>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "agent/feature_table.h"
#include "env/env.h"
#include "policy/class_sync.h"
#include "policy/score_tree.h"

namespace berth {

// A legal action. Table indices are valid until the table is bound anew.
struct ScoredAction {
  EnvAction action;
  uint32_t before = 0, after = 0;   // states, in the table
  double worth = 0;                 // of what is free after, more than before; 0 without prices
  double score = 0;                 // Phi(before) - Phi(after) + worth; higher is better
};

// Not thread-safe; works on the table of its thread. What it answers never depends on what was asked before: a score is kept for a
// state class's uid, which copies of a cluster share, so that rollouts from one start score a state once.
class CandidateIndex {
 public:
  explicit CandidateIndex(FeatureTable* table) : table_(table) {}

  // Before the first Best of an episode, after FeatureTable::Bind. `weights` depend on no mix; they and `prices` (null: none) must outlive the
  // episode. Scores are kept where table and weights are those of the episode before and nothing has prices.
  void Begin(const NetworkWeights& weights, const Potential* prices);
  // The best `limit` actions (0 = all) of the epoch, best first; ties by class slot, then devices. `price_version`: of the prices, as
  // observed. Valid until the next call. Cost: O(changes since this request was asked about + limit log classes); O(classes) and the members of
  // those that must be looked at exactly where nodes are restricted or the memory asked for is no multiple of the grain.
  std::span<const ScoredAction> Best(Env& env, const ResolvedRequest& request, uint32_t price_version, size_t limit);

 private:
  struct Row {
    ScoreTree scores;              // best of each class slot; kNone where it is vacant or the pod does not fit
    std::vector<uint64_t> uids;    // of the state that `memo` belongs to
    std::vector<double> memo;
    ClassSync sync;
    uint32_t price_version = 0;
  };

  void Sync(const ClusterState& view, const ResolvedRequest& request, uint32_t price_version, Row* row);
  // All actions on one class, appended to found_.
  void Expand(const ClusterState& view, const ResolvedRequest& request, ClassId id);
  void Append(const ClusterState& view, const ResolvedRequest& request, const EnvAction& action, uint32_t before);
  double Worth(const Shape& shape, const NodeState& state) const { return prices_ == nullptr ? 0 : prices_->Worth(shape, state); }

  FeatureTable* const table_;
  const NetworkWeights* weights_ = nullptr;
  const Potential* prices_ = nullptr;
  uint64_t weights_id_ = 0;
  uint64_t table_version_ = 0, naming_version_ = 0;
  absl::flat_hash_map<ResolvedRequest, Row> rows_;
  std::vector<ScoredAction> found_;
  std::vector<ScoreTree::Second> top_;
};

}  // namespace berth

#endif  // BERTH_AGENT_CANDIDATES_H_

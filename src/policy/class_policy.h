// The engine under every rule and potential that looks at free capacity alone: it scores each state class once, remembers
// the score for as long as the class lives, and finds the best node without looking at nodes one by one.
//
// Cost of a decision: O(classes that changed since this pod class was last asked about), each one remembered or scored
// once, and O(1) to find the best (score_tree.h); O(tied classes) where many classes share the best score. With a selector,
// where nodes are tainted or cordoned, or for a request that is no multiple of the memory grain: O(classes + nodes).
#ifndef BERTH_POLICY_CLASS_POLICY_H_
#define BERTH_POLICY_CLASS_POLICY_H_

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "cluster/policy.h"

namespace berth {

// What a pod is worth on a class of nodes.
struct Scored {
  double score = 0;              // higher is better; finite
  DevicePositions devices = 0;   // gpu_count positions of the state
  // For a pod of one device: all positions whose device scores the same as the chosen one (0 = only the chosen). On the
  // node, the device of lowest index among them is taken, or a random one where the policy says so.
  DevicePositions equal_devices = 0;
};

struct ScoreContext {
  int64_t mem_grain_bytes = 1;
  KeyFields key_fields;
  bool has_gpus = false;         // the cluster has GPUs
};

// Which scores still hold: those of another number are stale.
struct ScoreVersion {
  uint32_t values = 0;   // everything
  uint32_t prices = 0;   // a score has to be worked out again, but what RowMemo kept of it holds
  friend bool operator==(const ScoreVersion&, const ScoreVersion&) = default;
};

// A class of the cluster that is scored. One slot holds one state after another, told apart by uid.
struct ScoredClass {
  uint32_t slot = 0;
  uint64_t uid = 0;
  const Shape& shape;
  const NodeState& state;
};

// Made per Decider; may memoise. A score must depend on nothing but its arguments and the version that Observe returned.
class ClassScorer {
 public:
  // What a scorer keeps of the scores of one pod class, by slot.
  class RowMemo {
   public:
    virtual ~RowMemo() = default;
  };

  virtual ~ClassScorer() = default;
  // Called before the first Score and whenever shapes, models or the context changed: everything remembered is stale.
  virtual void Reset(const ClusterState& view, const ScoreContext& context) { (void)view, (void)context; }
  // Before every decision, after Reset. The same for ever where nothing changes.
  virtual ScoreVersion Observe(const ClusterState& view, const Pod& pod, const ResolvedRequest& request, bool is_arrival) {
    (void)view, (void)pod, (void)request, (void)is_arrival;
    return {};
  }
  // Requires that the pod fits.
  virtual Scored Score(const Shape& shape, const NodeState& state, const ResolvedRequest& request) = 0;
  // The same score in a row of them. `memo` is the row's own, as NewRowMemo made it since `values` last changed. `is_known`: the row
  // asked about this very state when it last asked about the slot, and only prices have changed since.
  virtual std::unique_ptr<RowMemo> NewRowMemo() const { return nullptr; }
  virtual double RowScore(const ScoredClass& at, const ResolvedRequest& request, bool is_known, RowMemo* memo) {
    (void)is_known, (void)memo;
    return Score(at.shape, at.state, request).score;
  }
  // Whether the pod is rather turned away (Constraint::kPolicy) than put on these devices of a node in this state, the best there is.
  // Asked once a decision, and only where may_decline() is true.
  virtual bool Declines(const Shape& shape, const NodeState& state, const ResolvedRequest& request, DevicePositions devices) {
    (void)shape, (void)state, (void)request, (void)devices;
    return false;
  }
  virtual bool may_decline() const { return false; }
};
using ClassScorerFactory = std::function<std::unique_ptr<ClassScorer>()>;

enum class TieRule : uint8_t {
  kLowestRank,       // the node of lowest rank; FGD's simulator and first-fit
  kUniform,          // uniform over the tied nodes; stock Kubernetes
  kLeastFreeMemory,  // the class with the least free memory, then lowest rank
};
std::string_view TieRuleName(TieRule tie);
std::optional<TieRule> ParseTieRule(std::string_view name);   // "lowest-rank", "uniform", "least-free-memory"

struct ClassPolicySpec {
  PolicyInfo info;                       // tie_rule is filled in from `tie`
  ClassScorerFactory scorer;
  TieRule tie = TieRule::kLowestRank;
  // Ties are first broken by this scorer ("by another rule"), then by `tie`. The name goes into info.tie_rule.
  ClassScorerFactory tie_scorer;
  std::string tie_scorer_name;
  bool random_device = false;            // uniform among equal_devices instead of the lowest index
};
std::shared_ptr<const Policy> MakeClassPolicy(ClassPolicySpec spec);

}  // namespace berth

#endif  // BERTH_POLICY_CLASS_POLICY_H_

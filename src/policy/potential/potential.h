// After-state potentials: a pod goes where Phi(after) - Phi(before) is least. A rule, a table made by value iteration, a
// linear form and a network are all potentials; one engine caches, explains and serves them.
#ifndef BERTH_POLICY_POTENTIAL_POTENTIAL_H_
#define BERTH_POLICY_POTENTIAL_POTENTIAL_H_

#include <functional>
#include <memory>

#include "policy/class_policy.h"
#include "policy/pod_mix.h"

namespace berth {

// Phi of a node's free state. One instance a Decider; not thread-safe; must be a function of the state alone.
class Potential {
 public:
  virtual ~Potential() = default;
  // As ClassScorer::Reset.
  virtual void Reset(const ClusterState& view, const ScoreContext& context) { (void)view, (void)context; }
  virtual double Value(const Shape& shape, const NodeState& state) = 0;
  // Whether placing also depends on the pod class itself (an index table per class); 0 for a pure potential. Added to
  // Phi(after) - Phi(before).
  virtual double ClassTerm(const Shape& shape, const NodeState& before, const ResolvedRequest& request) {
    (void)shape, (void)before, (void)request;
    return 0;
  }
};

// Score = Phi(before) - Phi(after) over the distinct devices that fit; of devices with equal score the tightest. Values are
// memoised per state (bounded; 16 million bytes at most a table before it starts anew).
std::unique_ptr<ClassScorer> MakePotentialScorer(std::unique_ptr<Potential> potential);

// The hand potential of six numbers; `mix` = typical pods with their memory, weights summing to 1. Units: GPU devices, vCPU,
// GiB. On a cluster without GPUs: expected free vCPU that no longer fits a class of the mix.
std::unique_ptr<Potential> MakeStrandingPotential(const PodMix& mix);

}  // namespace berth

#endif  // BERTH_POLICY_POTENTIAL_POTENTIAL_H_

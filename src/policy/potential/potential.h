// After-state potentials: a pod goes where Phi(after) - Phi(before) is least. A rule, a table made by value iteration, a
// linear form and a network are all potentials; one engine caches, explains and serves them.
#ifndef BERTH_POLICY_POTENTIAL_POTENTIAL_H_
#define BERTH_POLICY_POTENTIAL_POTENTIAL_H_

#include <memory>

#include "policy/class_policy.h"
#include "policy/pod_mix.h"
#include "policy/potential/priced_state.h"

namespace berth {

// Phi of a node's free state. One instance a Decider; not thread-safe. Between two versions it is a function of the state alone.
class Potential {
 public:
  virtual ~Potential() = default;
  // As ClassScorer::Reset.
  virtual void Reset(const ClusterState& view, const ScoreContext& context) { (void)view, (void)context; }
  // Before every decision: what is asked, and whether it is a new arrival (not a pod that asks again).
  virtual ScoreVersion Observe(const ClusterState& view, const Pod& pod, const ResolvedRequest& request, bool is_arrival) {
    (void)view, (void)pod, (void)request, (void)is_arrival;
    return {};
  }
  // Memoised by the scorer where is_memoised() says so.
  virtual double Value(const Shape& shape, const NodeState& state) = 0;
  virtual bool is_memoised() const { return true; }
  // Whether the worth of what is free, at prices that change, is subtracted from Value. PricedStateOf and WorthOf are nothing otherwise.
  virtual bool has_prices() const { return false; }
  // What prices look at in a state; holds until `values` of the version changes.
  virtual PricedState PricedStateOf(const Shape& shape, const NodeState& state) const {
    (void)shape, (void)state;
    return {};
  }
  // The worth at the prices of now; holds until `prices` of the version changes. A few look-ups.
  virtual double WorthOf(const PricedState& state) const {
    (void)state;
    return 0;
  }
  double Worth(const Shape& shape, const NodeState& state) const { return WorthOf(PricedStateOf(shape, state)); }
  // Whether a pod that would take a node from `before` to `after`, the best there is, is rather turned away. Asked where may_decline() is true.
  virtual bool Declines(const Shape& shape, const NodeState& before, const NodeState& after, const ResolvedRequest& request) const {
    (void)shape, (void)before, (void)after, (void)request;
    return false;
  }
  virtual bool may_decline() const { return false; }
};

// Score = Phi(before) - Phi(after) over the distinct devices that fit; of devices with equal score the tightest. Values are
// memoised: of the classes that the cluster has by slot, of states after a placement in a table of bounded size. A row keeps of each score
// what other prices do not change (RowMemo), so that new prices cost a row one Worth a remembered state.
std::unique_ptr<ClassScorer> MakePotentialScorer(std::unique_ptr<Potential> potential);

// The hand potential of six numbers; `mix` = typical pods with their memory, weights summing to 1. Units: GPU devices, vCPU,
// GiB. On a cluster without GPUs: expected free vCPU that no longer fits a class of the mix.
std::unique_ptr<Potential> MakeStrandingPotential(const PodMix& mix);

}  // namespace berth

#endif  // BERTH_POLICY_POTENTIAL_POTENTIAL_H_

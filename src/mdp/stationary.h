// How often the chain that a policy makes is in each state, and so how often it does what.
#ifndef BERTH_MDP_STATIONARY_H_
#define BERTH_MDP_STATIONARY_H_

#include <cstdint>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/status.h"
#include "fmt/format.h"
#include "mdp/event_model.h"
#include "mdp/policy_evaluation.h"

namespace berth::mdp {

struct StationaryOptions {
  double tolerance = 1e-9;       // on `imbalance`; finite and > 0
  int64_t max_sweeps = 100'000;  // >= 1
};

struct StationaryDistribution {
  std::vector<double> probability;  // [num_states], >= 0, sums to one
  // Largest |flow into s - flow out of s| over the states, as a share of all flow in the chain.
  double imbalance = 0;
  bool is_converged = false;
  int64_t sweeps = 0;
};

// Solves the balance equations of `chain` (weights: rates; rewards are not used) by in-place sweeps in both directions.
// `warm_start`: empty, or the probabilities of a like chain. In a chain of several closed classes the answer is one of
// many. Errors: INVALID_ARGUMENT that names option or state. Cost: O(transitions) a sweep; the chain is stored once
// more by columns.
absl::StatusOr<StationaryDistribution> SolveStationary(const PolicyChain& chain, const StationaryOptions& options = {},
                                                       std::span<const double> warm_start = {});

// The chain of the greedy policy of h, for SolveStationary and EvaluatePolicy.
template <EventModel M>
PolicyChain GreedyChain(const M& model, std::span<const double> h) {
  PolicyChain chain;
  for (StateIndex s = 0; s < model.num_states(); ++s) {
    const double reward = VisitGreedyJumps(model, s, h.data(), [&](StateIndex next, double rate) {
      chain.next.push_back(next);
      chain.weight.push_back(rate);
    });
    chain.begin.push_back(static_cast<int64_t>(chain.next.size()));
    chain.reward.push_back(reward);
  }
  return chain;
}

}  // namespace berth::mdp

#endif  // BERTH_MDP_STATIONARY_H_

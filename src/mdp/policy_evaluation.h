// The value of one fixed policy, by a sparse direct solve (Eigen's SparseLU) and iterative refinement. Used by policy
// iteration.
#ifndef BERTH_MDP_POLICY_EVALUATION_H_
#define BERTH_MDP_POLICY_EVALUATION_H_

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "mdp/event_model.h"

namespace berth::mdp {

// The chain that a policy makes: in state s reward[s] and weights (rates, or probabilities) to other states. Entries of
// state s are [begin[s], begin[s + 1]); entries to s itself are allowed and do nothing.
struct PolicyChain {
  std::vector<int64_t> begin = {0};
  std::vector<StateIndex> next;
  std::vector<double> weight;
  std::vector<double> reward;

  StateIndex num_states() const { return static_cast<StateIndex>(reward.size()); }
};

struct PolicyValues {
  std::vector<double> values;  // V, or h with h(0) = 0
  double level = 0;            // g; with discount V = h + level / alpha
  double correction = 0;       // largest change of a value by the last refinement: an estimate of the error left
};

// Solves reward(s) + sum_j weight(s,j) (h(j) - h(s)) - alpha h(s) = g with h(0) = 0. For alpha = 0 g is the gain; else
// V = h + g / alpha, which keeps h small where alpha is. A chain with discount that stops (`is_absolute`; some states
// have reward 0 and no weights) is solved with g = 0 and free h(0). Errors: FAILED_PRECONDITION if the equations have
// no single solution: for alpha = 0 a chain of several closed classes. Cost: that of a sparse LU factorisation; the
// fill depends on the chain's graph. Some 10^4 states are fine, 10^5 need luck.
absl::StatusOr<PolicyValues> EvaluatePolicy(const PolicyChain& chain, double alpha, bool is_absolute,
                                            StateIndex reference = 0);

}  // namespace berth::mdp

#endif  // BERTH_MDP_POLICY_EVALUATION_H_

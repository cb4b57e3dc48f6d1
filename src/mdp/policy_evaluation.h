// The value of one fixed policy: a sparse direct solve (Eigen's SparseLU), or for many states BiCGStab, both with
// iterative refinement. Used by policy iteration.
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

// Which constant the values are fixed by.
enum class ValueLevel {
  kRelative,  // h(reference) = 0 and g free: the gain for alpha = 0; with discount V = h + g / alpha keeps h small. (BiCGStab
              // gives V itself, and g = 0.)
  kAbsolute,  // g = 0: a chain that stops, in states of reward 0 without weights
};

// Solves reward(s) + sum_j weight(s,j) (h(j) - h(s)) - alpha h(s) = g. Errors: FAILED_PRECONDITION if the equations have
// no single solution: for alpha = 0 a chain of several closed classes (kRelative), or one that never stops (kAbsolute);
// or, above 20,000 states, if BiCGStab doesn't get there. Cost: up to 500 states that of a sparse LU factorisation;
// beyond, that of BiCGStab with the diagonal as preconditioner, some 10 to 1,000 passes over the chain, and if it
// doesn't settle that of the factorisation besides.
// `reference`: the state of h = 0 under kRelative; one that is visited often keeps the equations well conditioned.
absl::StatusOr<PolicyValues> EvaluatePolicy(const PolicyChain& chain, double alpha, ValueLevel level,
                                            StateIndex reference = 0);

}  // namespace berth::mdp

#endif  // BERTH_MDP_POLICY_EVALUATION_H_

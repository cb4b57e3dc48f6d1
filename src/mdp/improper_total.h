// Total rewards of models in which some choice of actions never ends. Internal to src/mdp; solve.h is the way in.
//
// Never ending is an action like any other, and its total is the sum of what it earns:
// - Staying for ever among states and actions that earn exactly 0 is worth 0.
// - Staying for ever at a mean reward below 0 is worth minus infinity, so that no best policy does it.
// - At a mean reward above 0 the best total is infinite: the model is refused, with a state.
// - In between rounding can't tell (a loop of +1 and -1 has no total at all): refused, with a state.
//
// The largest end components of actions that earn 0 become one state each (Haddad and Monmege, TCS 735, 2018; Baier,
// Klein, Leuschner, Parker, Wunderlich, CAV 2017), which may stop, for nothing, or leave. What end components are left
// must have a mean reward below 0, which is proven by the bound of Odoni (value_iteration.h). Then for any L and W,
// with d(V)(s) = max_a [r + sum p V] - V(s):
//
//   d(L) >= 0  =>  L <= V*:  a policy pi with r + P L >= L ends, as on a class that it never leaves the mean of r would
//                            be 0 or more; and so L <= its value (Bertsekas and Tsitsiklis, Math. OR 16, 1991).
//   d(W) <= 0  =>  W >= V*:  W >= r + P W for every policy, summed up to the end of those that end; the others are
//   worth
//                            minus infinity somewhere, and no state needs them.
//
// Both are tested with the rounding term of the other certificates. L and W are swept as optima of the same model with
// all rewards lowered and raised by a small shift: so the inequalities hold with the shift to spare.
#ifndef BERTH_MDP_IMPROPER_TOTAL_H_
#define BERTH_MDP_IMPROPER_TOTAL_H_

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "mdp/criterion.h"
#include "mdp/model.h"
#include "mdp/solve.h"

namespace berth::mdp::internal {

// Values, bounds, policy, stop reason and sweeps; the rest of the solution is left as it is. `is_absorbing`:
// [num_states], states where the sum ends. The policy's value lies within the bounds. Errors: INVALID_ARGUMENT a model
// that has no finite best total from some state, or whose loops earn too little to tell, by state; FAILED_PRECONDITION
// and CANCELLED where a limit, or the precision of doubles, comes before there are bounds; OUT_OF_RANGE on overflow.
// Cost: that of the end components, of their gains, and two vectors swept.
absl::StatusOr<ModelSolution> SolveImproperTotal(const SparseMdp& model, Objective objective, Method method,
                                                 const ModelSolveOptions& options,
                                                 const std::vector<bool>& is_absorbing);

}  // namespace berth::mdp::internal

#endif  // BERTH_MDP_IMPROPER_TOTAL_H_

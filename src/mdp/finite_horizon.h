// The best expected reward of a given number of steps, by backward induction, with a bound of the rounding error.
#ifndef BERTH_MDP_FINITE_HORIZON_H_
#define BERTH_MDP_FINITE_HORIZON_H_

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/status.h"
#include "fmt/format.h"
#include "mdp/model.h"
#include "mdp/solve_options.h"
#include "mdp/sweep.h"
#include "mdp/value_iteration.h"

namespace berth::mdp {

struct FiniteHorizonOptions {
  // 1 - gamma, from 0 (no discount) to 1.
  double one_minus_gamma = 0;
  // What a state is worth when no step is left: empty (nothing), or [num_states]. 0 in terminal states.
  std::span<const double> final_values = {};
  // Whether to return the policy of every step; memory horizon * num_states * 4 bytes.
  bool keeps_policy = true;
  Objective objective = Objective::kMaximize;
};

struct FiniteHorizonSolution {
  std::vector<double> values;  // [num_states], with `horizon` steps to go
  double error = 0;            // |values[s] - optimum| <= error for every s: rounding alone
  // [horizon, num_states] row-major: policy[t * num_states + s] is the action in s when t steps are done; -1 in
  // terminal states. Empty if not kept.
  std::vector<int32_t> policy;
};

// The rows hold probabilities. A terminal state earns nothing. Cost: O(horizon * transitions).
// Errors: INVALID_ARGUMENT for horizon < 0, a bad discount, final values that are not finite, of the wrong number or
// not 0 in a terminal state; OUT_OF_RANGE on overflow.
template <ActionModel M>
absl::StatusOr<FiniteHorizonSolution> SolveFiniteHorizon(const M& model, int64_t horizon,
                                                         const FiniteHorizonOptions& options = {}) {
  if (horizon < 0) return absl::InvalidArgumentError(fmt::format("horizon is {}, accepted: at least 0", horizon));
  const double loss = options.one_minus_gamma;
  if (!(loss >= 0 && loss <= 1)) {
    return absl::InvalidArgumentError(fmt::format("1 - gamma is {}, accepted: 0 to 1", loss));
  }
  BERTH_RETURN_IF_ERROR(internal::ValidateActionModel(model, RowKind::kProbability));
  const double sign = internal::SignOf(options.objective);
  BERTH_ASSIGN_OR_RETURN(std::vector<double> values,
                         internal::StartValues(model.num_states(), options.final_values, sign));
  const internal::ActionForm<M> form(model, 1 - loss, loss, sign);
  const StateIndex n = form.num_states();
  for (StateIndex s = 0; s < n; ++s) {
    if (form.is_terminal(s) && values[s] != 0) {
      return absl::InvalidArgumentError(
          fmt::format("final value of terminal state {} is {}, accepted: 0", s, sign * values[s]));
    }
  }
  FiniteHorizonSolution solution;
  if (options.keeps_policy) solution.policy.resize(static_cast<size_t>(horizon) * static_cast<size_t>(n));
  std::vector<double> next(values.size());
  for (int64_t step = 1; step <= horizon; ++step) {
    double rounding = 0;
    for (StateIndex s = 0; s < n; ++s) {
      if (options.keeps_policy) {
        solution.policy[static_cast<size_t>(horizon - step) * static_cast<size_t>(n) + static_cast<size_t>(s)] =
            form.FirstBest(s, values.data());
      }
      if (form.is_terminal(s)) {
        next[s] = 0;
        continue;
      }
      const internal::CheckedResidual checked = form.Check(s, values.data());
      next[s] = values[s] + (checked.residual - loss * values[s]);
      rounding = std::max(rounding,
                          checked.error + 4 * internal::kEpsilon * (std::abs(checked.residual) + std::abs(values[s])));
    }
    // One step never makes an error of the values larger, and adds its own.
    solution.error = (solution.error + rounding) * (1 + 4 * internal::kEpsilon);
    values.swap(next);
  }
  if (!std::isfinite(solution.error)) {
    return absl::OutOfRangeError(
        "the values leave the range of double precision, accepted: rewards that keep them finite");
  }
  for (double& v : values) v *= sign;
  solution.values = std::move(values);
  return solution;
}

}  // namespace berth::mdp

#endif  // BERTH_MDP_FINITE_HORIZON_H_

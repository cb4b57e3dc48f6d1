// Policy iteration (Howard 1960): exact evaluation of a policy, then a better action wherever there is one.
//
// An action is changed only if it is better by more than the evaluation error can feign, never on equality: every
// change is a true improvement, so that equal policies can't take turns for ever. The answer carries the same
// certificate as value iteration.
#ifndef BERTH_MDP_POLICY_ITERATION_H_
#define BERTH_MDP_POLICY_ITERATION_H_

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <functional>
#include <span>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/status.h"
#include "fmt/format.h"
#include "mdp/components.h"
#include "mdp/model.h"
#include "mdp/policy_evaluation.h"
#include "mdp/solve_options.h"
#include "mdp/sweep.h"
#include "mdp/value_iteration.h"

namespace berth::mdp {

struct PolicyIterationOptions {
  int64_t max_rounds = 1000;  // evaluations, >= 1
  Objective objective = Objective::kMaximize;
  // Where to start: empty (the best single step), or an action index a state (ignored in terminal states).
  std::span<const int32_t> initial_policy = {};
  // Called before every evaluation but the first from the solving thread, with the certified error; false stops.
  std::function<bool(const Progress&)> progress = {};
};

namespace internal {

template <class Form>
PolicyChain ChainOf(const Form& form, const std::vector<int32_t>& policy) {
  PolicyChain chain;
  for (StateIndex s = 0; s < form.num_states(); ++s) {
    if (policy[s] >= 0) {
      form.VisitSuccessors(s, policy[s], [&](StateIndex next, double weight) {
        chain.next.push_back(next);
        chain.weight.push_back(weight);
      });
    }
    chain.begin.push_back(static_cast<int64_t>(chain.next.size()));
    chain.reward.push_back(policy[s] >= 0 ? form.Reward(s, policy[s]) : 0.0);
  }
  return chain;
}

template <class Form>
absl::StatusOr<std::vector<int32_t>> InitialPolicy(const Form& form, std::span<const int32_t> given) {
  const StateIndex n = form.num_states();
  if (given.empty()) return GreedyPolicy(form, std::vector<double>(static_cast<size_t>(n), 0.0).data());
  if (given.size() != static_cast<size_t>(n)) {
    return absl::InvalidArgumentError(
        fmt::format("number of initial actions is {}, accepted: 0 or {}", given.size(), n));
  }
  std::vector<int32_t> policy(given.begin(), given.end());
  for (StateIndex s = 0; s < n; ++s) {
    if (form.is_terminal(s)) {
      policy[s] = -1;
    } else if (policy[s] < 0 || policy[s] >= form.num_actions(s)) {
      return absl::InvalidArgumentError(
          fmt::format("initial action of state {} is {}, accepted: 0 to {}", s, policy[s], form.num_actions(s) - 1));
    }
  }
  return policy;
}

// For a policy with several closed classes (average criterion): keeps the one of the largest gain and sends all other
// states there, by actions that come nearer with some probability (Haviv and Puterman, J. Appl. Prob. 28, 1991). Where
// every state can reach every other, as in an end component, that never makes the policy worse. Errors:
// FAILED_PRECONDITION where a state can't get there.
template <class Form>
absl::Status JoinClosedClasses(const Form& form, const PolicyChain& chain, std::vector<int32_t>& policy) {
  const StateIndex n = form.num_states();
  const Components components = FindStronglyConnected(chain.begin, chain.next);
  std::vector<StateIndex> best_class;
  double best_gain = -kInfinity;
  for (const auto& states : components.states) {
    PolicyChain part;
    bool is_closed = true;
    for (const StateIndex s : states) {
      for (int64_t i = chain.begin[s]; i < chain.begin[s + 1]; ++i) {
        const auto at = std::lower_bound(states.begin(), states.end(), chain.next[i]);
        is_closed = is_closed && at != states.end() && *at == chain.next[i];
        part.next.push_back(static_cast<StateIndex>(at - states.begin()));
        part.weight.push_back(chain.weight[i]);
      }
      part.begin.push_back(static_cast<int64_t>(part.next.size()));
      part.reward.push_back(chain.reward[s]);
    }
    if (!is_closed) continue;
    auto values = EvaluatePolicy(part, 0, ValueLevel::kRelative);
    if (!values.ok()) return values.status();
    if (values->level > best_gain) {
      best_gain = values->level;
      best_class = states;
    }
  }
  std::vector<bool> is_there(static_cast<size_t>(n), false);
  for (const StateIndex s : best_class) is_there[s] = true;
  auto left = static_cast<size_t>(n) - best_class.size();
  for (std::vector<StateIndex> arrived = best_class; !arrived.empty();) {
    arrived.clear();
    for (StateIndex s = 0; s < n; ++s) {
      const int32_t action =
          is_there[s] ? -1 : FirstActionInto(form, s, is_there, [](StateIndex, int32_t) { return true; });
      if (action < 0) continue;
      policy[s] = action;
      arrived.push_back(s);
    }
    for (const StateIndex s : arrived) is_there[s] = true;
    left -= arrived.size();
  }
  if (left > 0) {
    return absl::FailedPreconditionError(
        "a policy has several closed classes and some state can't leave its own, accepted: models in which the best "
        "gain is the same from every state");
  }
  return absl::OkStatus();
}

// Rounds until no action is better for sure; the values are those of the last policy. `is_total`: reward until a
// terminal state, without discount.
template <class Form>
absl::StatusOr<SweepResult> IteratePolicies(const Form& form, const PolicyIterationOptions& options,
                                            bool is_total = false) {
  if (options.max_rounds < 1) {
    return absl::InvalidArgumentError(fmt::format("max_rounds is {}, accepted: at least 1", options.max_rounds));
  }
  auto policy = InitialPolicy(form, options.initial_policy);
  if (!policy.ok()) return policy.status();
  const StateIndex n = form.num_states();
  const double alpha = form.discount_rate();
  bool has_terminal = false;
  for (StateIndex s = 0; s < n; ++s) has_terminal = has_terminal || form.is_terminal(s);
  SweepResult result;
  const ValueLevel level = is_total || (has_terminal && alpha > 0) ? ValueLevel::kAbsolute : ValueLevel::kRelative;
  for (result.sweeps = 1;; ++result.sweeps) {
    PolicyChain chain = ChainOf(form, *policy);
    auto evaluated = EvaluatePolicy(chain, alpha, level);
    if (!evaluated.ok() && level == ValueLevel::kRelative && alpha == 0) {
      absl::Status joined = JoinClosedClasses(form, chain, *policy);
      if (!joined.ok()) return WithContext(joined, fmt::format("round {}", result.sweeps));
      chain = ChainOf(form, *policy);
      evaluated = EvaluatePolicy(chain, alpha, level);
    }
    if (!evaluated.ok()) return WithContext(evaluated.status(), fmt::format("round {}", result.sweeps));
    result.values = std::move(evaluated->values);
    const double* v = result.values.data();

    // The largest difference that the error of the values can make between two states.
    double lowest = kInfinity;
    double highest = -kInfinity;
    double rate = 0;
    for (StateIndex s = 0; s < n; ++s) {
      rate = std::max(rate, form.Evaluate(s, v).exit_rate);
      if ((*policy)[s] < 0) {
        lowest = std::min(lowest, 0.0);
        highest = std::max(highest, 0.0);
        continue;
      }
      const CheckedResidual own = form.CheckAction(s, (*policy)[s], v);
      const double d = own.residual - alpha * v[s];
      const double error = own.error + 4 * kEpsilon * std::abs(alpha * v[s]);
      lowest = std::min(lowest, d - error);
      highest = std::max(highest, d + error);
    }
    const double span = alpha > 0 ? std::max(0.0, highest - lowest) / alpha : 4 * evaluated->correction;

    bool has_changed = false;
    for (StateIndex s = 0; s < n; ++s) {
      if ((*policy)[s] < 0) continue;
      const CheckedResidual own = form.CheckAction(s, (*policy)[s], v);
      double best = own.residual + own.error + 2 * rate * span;
      for (int32_t a = 0; a < form.num_actions(s); ++a) {
        const CheckedResidual other = form.CheckAction(s, a, v);
        if (other.residual - other.error > best) {
          best = other.residual - other.error;
          (*policy)[s] = a;
          has_changed = true;
        }
      }
    }
    result.stop = has_changed ? StopReason::kIterationLimit : StopReason::kConverged;
    if (!has_changed || result.sweeps >= options.max_rounds) break;
    if (options.progress && !options.progress({result.sweeps, Certify(form, v).error(alpha), 0})) {
      result.stop = StopReason::kCancelled;
      break;
    }
  }
  result.certificate = Certify(form, result.values.data());
  if (!std::isfinite(result.certificate.error(alpha))) {
    return absl::OutOfRangeError(
        "the values leave the range of double precision, accepted: rewards that keep them finite");
  }
  return result;
}

template <class Form>
absl::StatusOr<DiscountedSolution> IterateDiscounted(const Form& form, const PolicyIterationOptions& options,
                                                     double sign) {
  auto result = IteratePolicies(form, options);
  if (!result.ok()) return result.status();
  return FinishDiscounted(form, *std::move(result), sign, false);
}

}  // namespace internal

// As SolveDiscounted and SolveDiscountedRate of value_iteration.h; `sweeps` counts the policies evaluated. Stop
// reasons: converged (no action is better beyond the evaluation error) or iteration limit.
template <ActionModel M>
absl::StatusOr<DiscountedSolution> IteratePoliciesDiscounted(const M& model, double one_minus_gamma,
                                                             const PolicyIterationOptions& options = {}) {
  BERTH_RETURN_IF_ERROR(internal::ValidateDiscount("1 - gamma", one_minus_gamma, 1));
  BERTH_RETURN_IF_ERROR(internal::ValidateActionModel(model, RowKind::kProbability));
  const double sign = internal::SignOf(options.objective);
  const internal::ActionForm<M> form(model, 1 - one_minus_gamma, one_minus_gamma, sign);
  return internal::IterateDiscounted(form, options, sign);
}
template <ActionModel M>
absl::StatusOr<DiscountedSolution> IteratePoliciesDiscountedRate(const M& model, double discount_rate,
                                                                 const PolicyIterationOptions& options = {}) {
  BERTH_RETURN_IF_ERROR(internal::ValidateDiscount("discount rate", discount_rate, internal::kInfinity));
  BERTH_RETURN_IF_ERROR(internal::ValidateActionModel(model, RowKind::kRate));
  const double sign = internal::SignOf(options.objective);
  return internal::IterateDiscounted(internal::ActionForm<M>(model, 1, discount_rate, sign), options, sign);
}

// As SolveAverage. Errors besides: FAILED_PRECONDITION if a policy on the way has several closed classes.
template <ActionModel M>
absl::StatusOr<AverageSolution> IteratePoliciesAverage(const M& model, const PolicyIterationOptions& options = {}) {
  BERTH_RETURN_IF_ERROR(internal::ValidateAnyActionModel(model));
  const double sign = internal::SignOf(options.objective);
  const internal::ActionForm<M> form(model, 1, 0, sign);
  auto result = internal::IteratePolicies(form, options);
  if (!result.ok()) return result.status();
  return internal::FinishAverage(form, *std::move(result), sign, false);
}

}  // namespace berth::mdp

#endif  // BERTH_MDP_POLICY_ITERATION_H_

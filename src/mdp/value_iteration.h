// Value iteration with a certified answer. Start here.
//
//   SparseMdpBuilder builder(num_states); ...; BERTH_ASSIGN_OR_RETURN(SparseMdp mdp, std::move(builder).Build());
//   BERTH_ASSIGN_OR_RETURN(DiscountedSolution solution, SolveDiscounted(mdp, /*one_minus_gamma=*/0.01, {}));
//
// Criteria: discounted per step (SolveDiscounted) or per time unit (SolveDiscountedRate), long-run average per step or
// per time unit (SolveAverage), a number of steps (SolveFiniteHorizon), total until a terminal state (SolveTotal).
// Models: anything that is an ActionModel (a stored SparseMdp, or one that generates its rows) or an EventModel
// (continuous time, walked).
//
// The certificate. Every solver hands out bounds that hold for the exact optimum of the model, whatever the reason it
// stopped for: they are computed once more from the values returned, and a term for the rounding of every operation,
// and of every number of the model, is added. They hold for the returned policy too: its value lies between the lower
// and the upper bound.
//
// Ties: of the actions that rounding can't tell from the best, the lowest index. No randomness and no threads: equal
// input gives equal output bit for bit, and solves of different models may run side by side. A model is kept by
// reference while the call runs. Cost: O(transitions) a sweep; memory see SolveOptions::anderson_depth.
#ifndef BERTH_MDP_VALUE_ITERATION_H_
#define BERTH_MDP_VALUE_ITERATION_H_

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "mdp/event_model.h"
#include "mdp/model.h"
#include "mdp/solve_options.h"
#include "mdp/sweep.h"

namespace berth::mdp {

// Of SolveDiscounted, SolveDiscountedRate and SolveTotal. All vectors are [num_states].
struct DiscountedSolution {
  std::vector<double> values;  // within `error` of the optimum in every state
  std::vector<double> lower;   // lower[s] <= optimum of s <= upper[s]
  std::vector<double> upper;
  double error = 0;  // max over s of max(upper - values, values - lower)
  // Action index 0 .. num_actions(s) - 1 (SparseMdp::ActionNumber gives the caller's number), -1 in a terminal state;
  // empty for an EventModel, whose choices VisitGreedyOptions lists.
  std::vector<int32_t> policy;
  StopReason stop = StopReason::kIterationLimit;
  int64_t sweeps = 0;
};

// Of SolveAverage.
struct AverageSolution {
  double gain = 0;  // reward per step, or per time unit for rates: the midpoint of the bounds
  double gain_lower = 0;
  double gain_upper = 0;
  double error = 0;                     // half the width of the bounds
  std::vector<double> relative_values;  // h; only differences count. A warm start for a like model
  std::vector<int32_t> policy;          // as in DiscountedSolution
  StopReason stop = StopReason::kIterationLimit;
  int64_t sweeps = 0;
};

// min R <= g <= max R for given h (Odoni, Operations Research 17, 1969), rounding included: holds for any h, so it
// checks a table from any source. g* is the largest gain (rewards, not costs); in a model of several closed classes the
// bounds hold for the best gain from every state.
struct GainBounds {
  double lower = 0;
  double upper = 0;
};

namespace internal {

// Which of the caller's numbers a criterion turns into.
inline absl::Status ValidateDiscount(const char* field, double value, double largest) {
  if (std::isfinite(value) && value > 0 && value <= largest) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(field, " is ", value, ", accepted: above 0, ",
                   std::isfinite(largest) ? absl::StrCat("at most ", largest) : "finite"));
}

inline absl::StatusOr<std::vector<double>> StartValues(StateIndex num_states, std::span<const double> warm_start,
                                                       double sign) {
  std::vector<double> values(static_cast<size_t>(std::max<StateIndex>(num_states, 0)), 0.0);
  if (warm_start.empty()) return values;
  if (warm_start.size() != values.size()) {
    return absl::InvalidArgumentError(
        absl::StrCat("number of warm start values is ", warm_start.size(), ", accepted: 0 or ", values.size()));
  }
  for (size_t s = 0; s < values.size(); ++s) {
    if (!std::isfinite(warm_start[s])) {
      return absl::InvalidArgumentError(
          absl::StrCat("warm start value of state ", s, " is ", warm_start[s], ", accepted: a finite number"));
    }
    values[s] = sign * warm_start[s];
  }
  return values;
}

inline const char* KindName(RowKind kind) { return kind == RowKind::kProbability ? "probabilities" : "rates"; }

// Walks the whole model once; `kind` is what the criterion takes the weights for.
template <ActionModel M>
absl::Status ValidateActionModel(const M& model, RowKind kind) {
  const StateIndex n = model.num_states();
  if (n < 1) return absl::InvalidArgumentError(absl::StrCat("number of states is ", n, ", accepted: 1 to 2147483646"));
  for (StateIndex s = 0; s < n; ++s) {
    for (int32_t a = 0; a < model.num_actions(s); ++a) {
      absl::Status status;
      const auto fail = [&](const char* field, double value, const std::string& accepted) {
        if (!status.ok()) return;
        status = absl::InvalidArgumentError(
            absl::StrCat("state ", s, ", action ", a, ": ", field, " is ", value, ", accepted: ", accepted));
      };
      if (!std::isfinite(model.Reward(s, a))) fail("reward", model.Reward(s, a), "a finite number");
      double sum = 0;
      model.VisitSuccessors(s, a, [&](StateIndex next, double weight) {
        if (next < 0 || next >= n) fail("successor", next, absl::StrCat("0 to ", n - 1));
        if (!(std::isfinite(weight) && weight >= 0)) fail("weight", weight, "a finite number >= 0");
        sum += weight;
      });
      if (kind == RowKind::kProbability && !(sum <= 1 + SparseMdpBuilder::kRowSumTolerance)) {
        fail("sum of the probabilities", sum, "at most 1");
      }
      if (!std::isfinite(sum)) fail("sum of the rates", sum, "a finite number");
      if (!status.ok()) return status;
    }
  }
  return absl::OkStatus();
}
// A stored model was checked by its builder.
inline absl::Status ValidateActionModel(const SparseMdp& model, RowKind kind) {
  if (model.kind() == kind) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("kind of the model is ", KindName(model.kind()), ", accepted: ", KindName(kind)));
}

// The average criterion takes both; a generated model is held to the weaker promise.
template <ActionModel M>
absl::Status ValidateAnyActionModel(const M& model) {
  return ValidateActionModel(model, RowKind::kRate);
}
inline absl::Status ValidateAnyActionModel(const SparseMdp&) { return absl::OkStatus(); }

template <class Form>
std::vector<int32_t> GreedyPolicy(const Form& form, const double* values) {
  std::vector<int32_t> policy(static_cast<size_t>(form.num_states()));
  for (StateIndex s = 0; s < form.num_states(); ++s) policy[s] = form.FirstBest(s, values);
  return policy;
}

// `policy`, or if it is empty the greedy one, where a form has policies.
template <class Form>
std::vector<int32_t> PolicyOr(std::vector<int32_t> policy, const Form& form, const double* values) {
  if constexpr (requires { form.FirstBest(0, nullptr); }) {
    if (policy.empty()) return GreedyPolicy(form, values);
  }
  return policy;
}

inline double RoundedDown(double x) { return x - 2 * kEpsilon * std::abs(x); }
inline double RoundedUp(double x) { return x + 2 * kEpsilon * std::abs(x); }

// Values and bounds from swept values and their certificate, in the caller's sign.
template <RateForm Form>
DiscountedSolution FinishDiscounted(const Form& form, SweepResult swept, double sign, bool single_precision,
                                    std::vector<int32_t> policy = {}) {
  const double alpha = form.discount_rate();
  const double lowest = RoundedDown(swept.certificate.lowest / alpha);
  const double highest = RoundedUp(swept.certificate.highest / alpha);
  const double middle = swept.certificate.midpoint() / alpha;
  DiscountedSolution solution;
  solution.policy = PolicyOr(std::move(policy), form, swept.values.data());
  solution.stop = swept.stop;
  solution.sweeps = swept.sweeps;
  solution.lower.resize(swept.values.size());
  solution.upper.resize(swept.values.size());
  for (StateIndex s = 0; s < form.num_states(); ++s) {
    double& v = swept.values[s];
    double& lower = solution.lower[s];
    double& upper = solution.upper[s];
    if (form.is_terminal(s)) {
      lower = upper = v = 0;
      continue;
    }
    lower = RoundedDown(v + lowest);
    upper = RoundedUp(v + highest);
    v = std::clamp(v + middle, lower, upper);
    if (single_precision) v = static_cast<double>(static_cast<float>(v));
    if (sign < 0) {
      v = -v;
      std::swap(lower, upper);
      lower = -lower;
      upper = -upper;
    }
    solution.error = std::max({solution.error, upper - v, v - lower});
  }
  solution.error = RoundedUp(solution.error);
  solution.values = std::move(swept.values);
  return solution;
}

template <RateForm Form>
AverageSolution FinishAverage(const Form& form, SweepResult swept, double sign, bool single_precision,
                              std::vector<int32_t> policy = {}) {
  if (single_precision) {
    for (double& h : swept.values) h = static_cast<double>(static_cast<float>(h));
    swept.certificate = Certify(form, swept.values.data());
  }
  const Certificate& certificate = swept.certificate;
  AverageSolution solution;
  solution.policy = PolicyOr(std::move(policy), form, swept.values.data());
  solution.stop = swept.stop;
  solution.sweeps = swept.sweeps;
  solution.gain_lower = sign > 0 ? certificate.lowest : -certificate.highest;
  solution.gain_upper = sign > 0 ? certificate.highest : -certificate.lowest;
  solution.gain = sign * certificate.midpoint();
  solution.error = certificate.error(0);
  solution.relative_values = std::move(swept.values);
  for (double& h : solution.relative_values) h *= sign;
  return solution;
}

// Rounding the answer to single precision may take it out of the tolerance again.
template <class Solution>
void LimitToPrecision(Solution& solution, const SolveOptions& options) {
  const bool is_missed = solution.stop == StopReason::kConverged && solution.error > options.tolerance;
  if (options.single_precision_values && is_missed) solution.stop = StopReason::kPrecisionLimit;
}

template <RateForm Form>
absl::StatusOr<DiscountedSolution> SolveDiscountedForm(const Form& form, const SolveOptions& options,
                                                       std::span<const double> warm_start, double sign) {
  auto start = StartValues(form.num_states(), warm_start, sign);
  if (!start.ok()) return start.status();
  auto swept = Sweeper<Form>(form, options, *std::move(start)).Run();
  if (!swept.ok()) return swept.status();
  DiscountedSolution solution = FinishDiscounted(form, *std::move(swept), sign, options.single_precision_values);
  LimitToPrecision(solution, options);
  return solution;
}

template <RateForm Form>
absl::StatusOr<AverageSolution> SolveAverageForm(const Form& form, const SolveOptions& options,
                                                 std::span<const double> warm_start, double sign) {
  auto start = StartValues(form.num_states(), warm_start, sign);
  if (!start.ok()) return start.status();
  auto swept = Sweeper<Form>(form, options, *std::move(start)).Run();
  if (!swept.ok()) return swept.status();
  AverageSolution solution = FinishAverage(form, *std::move(swept), sign, options.single_precision_values);
  LimitToPrecision(solution, options);
  return solution;
}

inline double SignOf(Objective objective) { return objective == Objective::kMaximize ? 1.0 : -1.0; }

inline absl::Status RequireMaximize(const SolveOptions& options) {
  if (options.objective == Objective::kMaximize) return absl::OkStatus();
  return absl::InvalidArgumentError("objective is minimize, accepted: maximize, for a model of events");
}

}  // namespace internal

// Best expected discounted reward. `one_minus_gamma` is 1 - gamma, above 0, at most 1: near gamma = 1 it can be given
// to full precision where gamma cannot. The rows must hold probabilities. `warm_start`: empty, or a value a state.
// Errors: INVALID_ARGUMENT (options, discount, warm start, model); OUT_OF_RANGE if the values overflow.
template <ActionModel M>
absl::StatusOr<DiscountedSolution> SolveDiscounted(const M& model, double one_minus_gamma,
                                                   const SolveOptions& options = {},
                                                   std::span<const double> warm_start = {}) {
  BERTH_RETURN_IF_ERROR(ValidateOptions(options));
  BERTH_RETURN_IF_ERROR(internal::ValidateDiscount("1 - gamma", one_minus_gamma, 1));
  BERTH_RETURN_IF_ERROR(internal::ValidateActionModel(model, RowKind::kProbability));
  const double sign = internal::SignOf(options.objective);
  const internal::ActionForm<M> form(model, 1 - one_minus_gamma, one_minus_gamma, sign);
  return internal::SolveDiscountedForm(form, options, warm_start, sign);
}

// Best expected reward discounted at `discount_rate` > 0 per time unit; the rows must hold rates. Errors as above.
template <ActionModel M>
absl::StatusOr<DiscountedSolution> SolveDiscountedRate(const M& model, double discount_rate,
                                                       const SolveOptions& options = {},
                                                       std::span<const double> warm_start = {}) {
  BERTH_RETURN_IF_ERROR(ValidateOptions(options));
  BERTH_RETURN_IF_ERROR(internal::ValidateDiscount("discount rate", discount_rate, internal::kInfinity));
  BERTH_RETURN_IF_ERROR(internal::ValidateActionModel(model, RowKind::kRate));
  const double sign = internal::SignOf(options.objective);
  const internal::ActionForm<M> form(model, 1, discount_rate, sign);
  return internal::SolveDiscountedForm(form, options, warm_start, sign);
}
template <EventModel M>
absl::StatusOr<DiscountedSolution> SolveDiscountedRate(const M& model, double discount_rate,
                                                       const SolveOptions& options = {},
                                                       std::span<const double> warm_start = {}) {
  BERTH_RETURN_IF_ERROR(ValidateOptions(options));
  BERTH_RETURN_IF_ERROR(internal::RequireMaximize(options));
  BERTH_RETURN_IF_ERROR(internal::ValidateDiscount("discount rate", discount_rate, internal::kInfinity));
  BERTH_RETURN_IF_ERROR(ValidateEventModel(model));
  return internal::SolveDiscountedForm(internal::EventForm<M>(model, discount_rate), options, warm_start, 1);
}

// Best long-run average reward: per step if the rows hold probabilities, per time unit if they hold rates. The width of
// the bounds goes to zero when the optimal gain is the same from every state (unichain models are such); periods do no
// harm. Where the gain differs by state the bounds are still true for every state, and the stop reason is "iteration
// limit". Errors: as SolveDiscounted.
template <ActionModel M>
absl::StatusOr<AverageSolution> SolveAverage(const M& model, const SolveOptions& options = {},
                                             std::span<const double> warm_start = {}) {
  BERTH_RETURN_IF_ERROR(ValidateOptions(options));
  BERTH_RETURN_IF_ERROR(internal::ValidateAnyActionModel(model));
  const double sign = internal::SignOf(options.objective);
  return internal::SolveAverageForm(internal::ActionForm<M>(model, 1, 0, sign), options, warm_start, sign);
}
template <EventModel M>
absl::StatusOr<AverageSolution> SolveAverage(const M& model, const SolveOptions& options = {},
                                             std::span<const double> warm_start = {}) {
  BERTH_RETURN_IF_ERROR(ValidateOptions(options));
  BERTH_RETURN_IF_ERROR(internal::RequireMaximize(options));
  BERTH_RETURN_IF_ERROR(ValidateEventModel(model));
  return internal::SolveAverageForm(internal::EventForm<M>(model, 0), options, warm_start, 1);
}

// The certificate alone. `relative_values` is [num_states], finite; otherwise the bounds are infinite.
template <EventModel M>
GainBounds CertifyGain(const M& model, std::span<const double> relative_values) {
  const internal::Certificate c = internal::Certify(internal::EventForm<M>(model, 0), relative_values.data());
  return {c.lowest, c.highest};
}
template <ActionModel M>
GainBounds CertifyGain(const M& model, std::span<const double> relative_values) {
  const internal::Certificate c = internal::Certify(internal::ActionForm<M>(model, 1, 0, 1), relative_values.data());
  return {c.lowest, c.highest};
}

}  // namespace berth::mdp

#endif  // BERTH_MDP_VALUE_ITERATION_H_

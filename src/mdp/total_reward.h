// The best expected total reward until a terminal state is reached (stochastic shortest path), without discount.
#ifndef BERTH_MDP_TOTAL_REWARD_H_
#define BERTH_MDP_TOTAL_REWARD_H_

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
namespace internal {

// The same model with reward 1 everywhere: its total is the number of steps.
template <ActionModel M>
struct StepCountModel {
  const M& model;
  StateIndex num_states() const { return model.num_states(); }
  int32_t num_actions(StateIndex s) const { return model.num_actions(s); }
  double Reward(StateIndex, int32_t) const { return 1; }
  template <class Visit>
  void VisitSuccessors(StateIndex s, int32_t action, Visit&& visit) const {
    model.VisitSuccessors(s, action, visit);
  }
};

// Rows in order of state and action, and for every state those that may lead to it.
struct RowsInto {
  std::vector<int64_t> first_row;        // [num_states + 1]
  std::vector<StateIndex> state_of_row;  // [rows]
  std::vector<int64_t> begin;            // [num_states + 1] into `rows`
  std::vector<int64_t> rows;

  std::span<const int64_t> into(StateIndex s) const {
    return std::span(rows).subspan(static_cast<size_t>(begin[s]), static_cast<size_t>(begin[s + 1] - begin[s]));
  }
};

// O(transitions).
template <ActionModel M>
RowsInto FindRowsInto(const M& model) {
  const StateIndex n = model.num_states();
  RowsInto found;
  found.first_row.push_back(0);
  for (StateIndex s = 0; s < n; ++s) {
    found.state_of_row.insert(found.state_of_row.end(), static_cast<size_t>(model.num_actions(s)), s);
    found.first_row.push_back(static_cast<int64_t>(found.state_of_row.size()));
  }
  const auto visit_all = [&](auto&& visit) {
    for (StateIndex s = 0; s < n; ++s) {
      for (int32_t a = 0; a < model.num_actions(s); ++a) {
        model.VisitSuccessors(s, a, [&](StateIndex next, double weight) {
          if (weight > 0) visit(found.first_row[s] + a, next);
        });
      }
    }
  };
  found.begin.assign(static_cast<size_t>(n) + 1, 0);
  visit_all([&](int64_t, StateIndex next) { ++found.begin[next + 1]; });
  for (StateIndex s = 0; s < n; ++s) found.begin[s + 1] += found.begin[s];
  found.rows.resize(static_cast<size_t>(found.begin[n]));
  std::vector<int64_t> fill(found.begin.begin(), found.begin.end() - 1);
  visit_all([&](int64_t row, StateIndex next) { found.rows[fill[next]++] = row; });
  return found;
}

// A state from which some choice of actions never reaches a terminal state, or -1: what remains when states are taken
// away that leave the remainder with every action. O(transitions).
template <ActionModel M>
StateIndex FindEscapingState(const M& model) {
  const StateIndex n = model.num_states();
  const RowsInto graph = FindRowsInto(model);
  std::vector<int32_t> rows_left(static_cast<size_t>(n));
  std::vector<bool> is_row_left(graph.state_of_row.size(), true);
  std::vector<StateIndex> leaving;
  for (StateIndex s = 0; s < n; ++s) {
    rows_left[s] = model.num_actions(s);
    if (rows_left[s] == 0) leaving.push_back(s);
  }
  while (!leaving.empty()) {
    const StateIndex gone = leaving.back();
    leaving.pop_back();
    for (const int64_t row : graph.into(gone)) {
      if (!is_row_left[row]) continue;
      is_row_left[row] = false;
      const StateIndex from = graph.state_of_row[row];
      if (--rows_left[from] == 0) leaving.push_back(from);
    }
  }
  for (StateIndex s = 0; s < n; ++s) {
    if (rows_left[s] > 0) return s;
  }
  return -1;
}

}  // namespace internal

// How SolveTotal sweeps. The bounds are the same.
enum class TotalSweep {
  kGaussSeidel,  // in place, forwards and backwards in turn
  kJacobi,       // all states from the old values
  kPolicy,       // in place under the greedy policy, which is looked for once a certificate
};

namespace internal {

// `count` sweeps towards d = 0, which are the `first` of a solve and those after it: odd ones run backwards.
template <class Form>
void SweepTotal(const Form& form, TotalSweep how, int64_t first, int64_t count, std::vector<double>& values) {
  const StateIndex n = form.num_states();
  std::vector<double> image(how == TotalSweep::kJacobi ? values.size() : 0);
  const std::vector<int32_t> policy =
      how == TotalSweep::kPolicy ? GreedyPolicy(form, values.data()) : std::vector<int32_t>();
  for (int64_t i = first; i < first + count; ++i) {
    const auto state = [&](StateIndex j) { return i % 2 == 0 ? j : n - 1 - j; };
    switch (how) {
      case TotalSweep::kJacobi:
        for (StateIndex s = 0; s < n; ++s) image[s] = values[s] + form.Step(s, values.data(), 0);
        values.swap(image);
        break;
      case TotalSweep::kGaussSeidel:
        for (StateIndex j = 0; j < n; ++j) values[state(j)] += form.Step(state(j), values.data(), 0);
        break;
      case TotalSweep::kPolicy:
        for (StateIndex j = 0; j < n; ++j) {
          const StateIndex s = state(j);
          if (policy[s] < 0) continue;
          const Backup backup = form.EvaluateAction(s, policy[s], values.data());
          values[s] += backup.residual / (backup.exit_rate > 0 ? backup.exit_rate : 1);
        }
        break;
    }
  }
}

// SolveTotal, for a model in which every choice is known to end: `values` is the start (StartValues), `weight` (empty,
// or [num_states]) that of the numbers of steps.
template <ActionModel M>
absl::StatusOr<DiscountedSolution> SolveEndingTotal(const M& model, const SolveOptions& options,
                                                    std::vector<double> values, TotalSweep method,
                                                    std::vector<double> weight = {}) {
  const double sign = SignOf(options.objective);
  const ActionForm<M> form(model, 1, 0, sign);
  const StateIndex n = form.num_states();
  const StepCountModel<M> counting{model};
  const ActionForm<StepCountModel<M>> count_form(counting, 1, 0, 1);

  // How far the step counts are from being u: max of the d of the counting model, 1 at the start, 0 at its fixed point.
  weight.resize(static_cast<size_t>(n), 0.0);
  constexpr double kLacking = 0.25;
  int64_t sweeps = 0;
  double lacking = 1;
  for (;; ++sweeps) {
    const Certificate certificate = Certify(count_form, weight.data());
    if (!std::isfinite(certificate.error(0))) return absl::OutOfRangeError("the number of steps is not finite");
    lacking = std::max(0.0, certificate.highest);
    if (lacking <= kLacking) break;
    if (sweeps >= options.max_sweeps) {
      return absl::FailedPreconditionError(
          fmt::format("max_sweeps is {}, accepted: more, as the bound of the number of steps is not found within it",
                      options.max_sweeps));
    }
    if (options.progress && !options.progress({sweeps, kInfinity, options.tolerance})) {
      return absl::CancelledError("stopped before the number of steps was bounded, so there are no bounds yet");
    }
    SweepTotal(count_form, TotalSweep::kGaussSeidel, sweeps, 1, weight);
  }
  for (double& u : weight) u *= (1 + 16 * kEpsilon) / (1 - lacking);

  DiscountedSolution best;
  std::vector<double> best_values;
  best.error = kInfinity;
  for (StateIndex s = 0; s < n; ++s) {
    if (form.is_terminal(s)) values[s] = 0;
  }
  for (int64_t done = 0;;) {
    const Certificate certificate = Certify(form, values.data());
    if (!std::isfinite(certificate.error(0))) {
      return absl::OutOfRangeError(
          "the values leave the range of double precision, accepted: rewards that keep them finite");
    }
    const double below = std::min(0.0, certificate.lowest);
    const double above = std::max(0.0, certificate.highest);
    double error = 0;
    double floor = 0;
    for (StateIndex s = 0; s < n; ++s) {
      error = std::max(error, (above - below) / 2 * weight[s] + 4 * kEpsilon * std::abs(values[s]));
      floor = std::max(floor, certificate.rounding * weight[s] + 4 * kEpsilon * std::abs(values[s]));
    }
    if (error < best.error) {
      best.error = error;
      best_values = values;
      best.lower.assign(static_cast<size_t>(n), below);
      best.upper.assign(static_cast<size_t>(n), above);
    }
    best.sweeps = sweeps + done;
    if (best.error <= options.tolerance) {
      best.stop = StopReason::kConverged;
      break;
    }
    if (options.progress && !options.progress({best.sweeps, best.error, options.tolerance})) {
      best.stop = StopReason::kCancelled;
      break;
    }
    if (error <= 2 * floor) {
      best.stop = StopReason::kPrecisionLimit;
      break;
    }
    if (done >= options.max_sweeps) {
      best.stop = StopReason::kIterationLimit;
      break;
    }
    const int64_t count = std::min(options.max_sweeps - done, options.certificate_interval);
    SweepTotal(form, method, done, count, values);
    done += count;
  }
  best.policy = GreedyPolicy(form, best_values.data());
  best.error = 0;
  for (StateIndex s = 0; s < n; ++s) {
    double& v = best_values[s];
    double& lower = best.lower[s];
    double& upper = best.upper[s];
    if (form.is_terminal(s)) {
      lower = upper = v = 0;
      continue;
    }
    const double middle = v + (lower + upper) / 2 * weight[s];
    lower = RoundedDown(v + RoundedDown(lower * weight[s]));
    upper = RoundedUp(v + RoundedUp(upper * weight[s]));
    v = std::clamp(middle, lower, upper);
    if (sign < 0) {
      std::swap(lower, upper);
      lower = -lower;
      upper = -upper;
      v = -v;
    }
    best.error = std::max({best.error, upper - v, v - lower});
  }
  best.error = RoundedUp(best.error);
  best.values = std::move(best_values);
  return best;
}

}  // namespace internal

// Every choice of actions must reach a terminal state with probability one; this is checked, exactly, on the graph. The
// rows hold probabilities. `options.method` and anderson_depth count for nothing here; single precision is not offered.
//
// The bounds. Let u(s) satisfy u(s) >= 1 + sum_j p(s,a,j) u(j) for every action (found by value iteration on the number
// of steps, scaled up by what it still lacks). Then for any V with d(s) = max_a[r + sum p V] - V(s):
//   V(s) + min(0, min d) u(s) <= V*(s) <= V(s) + max(0, max d) u(s).
// (Bertsekas, Dynamic Programming and Optimal Control II, 4th ed., section 3.2: the weighted sup norm with weights u.)
// Errors: INVALID_ARGUMENT as in value_iteration.h, or a choice that never ends (names a state); FAILED_PRECONDITION if
// max_sweeps did not suffice to find u, so that nothing can be certified; OUT_OF_RANGE on overflow.
template <ActionModel M>
absl::StatusOr<DiscountedSolution> SolveTotal(const M& model, const SolveOptions& options = {},
                                              std::span<const double> warm_start = {},
                                              TotalSweep method = TotalSweep::kGaussSeidel) {
  BERTH_RETURN_IF_ERROR(ValidateOptions(options));
  if (options.single_precision_values) {
    return absl::InvalidArgumentError("single_precision_values is true, accepted: false, for a total reward");
  }
  BERTH_RETURN_IF_ERROR(internal::ValidateActionModel(model, RowKind::kProbability));
  BERTH_ASSIGN_OR_RETURN(std::vector<double> values,
                         internal::StartValues(model.num_states(), warm_start, internal::SignOf(options.objective)));
  if (const StateIndex s = internal::FindEscapingState(model); s >= 0) {
    return absl::InvalidArgumentError(
        fmt::format("state {}: some choice of actions from it never reaches a terminal state, accepted: models where "
                    "every one does",
                    s));
  }
  return internal::SolveEndingTotal(model, options, std::move(values), method);
}

}  // namespace berth::mdp

#endif  // BERTH_MDP_TOTAL_REWARD_H_

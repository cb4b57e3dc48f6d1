// What solve.cc and solve_average.cc share. Internal to src/mdp.
#ifndef BERTH_MDP_SOLVE_PARTS_H_
#define BERTH_MDP_SOLVE_PARTS_H_

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "mdp/components.h"
#include "mdp/criterion.h"
#include "mdp/model.h"
#include "mdp/modified_policy_iteration.h"
#include "mdp/policy_iteration.h"
#include "mdp/solve.h"
#include "mdp/solve_options.h"
#include "mdp/sweep.h"
#include "mdp/total_reward.h"
#include "mdp/value_iteration.h"

namespace berth::mdp::internal {

// Up to this many states kAuto takes policy iteration: its factorisation is quick, and it is exact whatever the chain.
inline constexpr StateIndex kAutoExactStates = 300;
// Beyond, kAuto goes over from modified policy iteration after so many sweeps; a random graph takes 60.
inline constexpr int64_t kAutoSweeps = 5000;
// After so many kAuto looks whether a discounted model falls into components, which on a random graph would take as
// long as the whole solve.
inline constexpr int64_t kAutoFirstSweeps = 100;

SolveOptions SweepOptionsOf(const ModelSolveOptions& options, Objective objective, Method method);
StoredSolveOptions StoredOptionsOf(const ModelSolveOptions& options, Objective objective, Method method);
PolicyIterationOptions PolicyOptionsOf(const ModelSolveOptions& options, Objective objective);

// Values, bounds and policy of the average criterion; the rest of the solution is left as it is.
absl::StatusOr<ModelSolution> SolveAverageModel(const SparseMdp& model, Objective objective, Method method,
                                                const ModelSolveOptions& options);

// The best gain of a model in which it is the same from every state. `method` receives the one that was used.
absl::StatusOr<AverageSolution> SolveOneGainAuto(const SparseMdp& model, Objective objective,
                                                 const ModelSolveOptions& options, std::span<const double> warm_start,
                                                 Method& method);

// The total reward. `connected`: the strongly connected components; where they are empty and needed, they are found.
absl::StatusOr<ModelSolution> SolveTotalModel(const SparseMdp& model, const Criterion& criterion, Method method,
                                              const ModelSolveOptions& options, const std::vector<bool>& is_absorbing,
                                              Components connected);

// How the total is swept by a method, or what it starts with is proven.
inline TotalSweep TotalSweepOf(Method method) {
  if (method == Method::kValueIteration) return TotalSweep::kJacobi;
  if (method == Method::kModifiedPolicyIteration) return TotalSweep::kPolicy;
  return TotalSweep::kGaussSeidel;
}

// Inside an end component: sends every state to `target`. `is_there` holds for no state of the component before and for
// all of them after.
void GoTo(const SparseMdp& model, const std::vector<StateIndex>& states, StateIndex target,
          const std::vector<bool>& is_inside, std::vector<bool>& is_there, std::vector<int32_t>& policy);

inline ModelSolution FromDiscounted(DiscountedSolution solution) {
  ModelSolution result;
  result.values = std::move(solution.values);
  result.lower = std::move(solution.lower);
  result.upper = std::move(solution.upper);
  result.error = solution.error;
  result.policy = std::move(solution.policy);
  result.stop = solution.stop;
  result.sweeps = solution.sweeps;
  return result;
}

// Components one by one, successors first, each swept in place until no step is larger than `enough`. `values`: where
// to start, in the form's sign; `sweeps` receives how many sweeps of all states it was worth.
template <class Form>
void SweepInOrder(const Form& form, const Components& components, double enough, const ModelSolveOptions& options,
                  std::vector<double>& values, int64_t& sweeps) {
  const auto n = static_cast<double>(form.num_states());
  double states_swept = 0, asked_at = 0;
  bool is_stopped = false;
  for (const auto& states : components.states) {
    for (int64_t i = 0; i < options.max_sweeps && !is_stopped; ++i) {
      double largest = 0;
      // Forwards and backwards in turn: which way news travels in a component is not known.
      for (size_t k = 0; k < states.size(); ++k) {
        const StateIndex s = states[i % 2 == 0 ? k : states.size() - 1 - k];
        if (form.is_terminal(s)) continue;
        const double step = form.Step(s, values.data(), 0);
        values[s] += step;
        largest = std::max(largest, std::abs(step));
      }
      states_swept += static_cast<double>(states.size());
      if (options.progress && states_swept >= asked_at + n) {
        asked_at = states_swept;
        is_stopped = !options.progress({static_cast<int64_t>(states_swept / n), kInfinity, options.epsilon});
      }
      if (!(largest > enough)) break;
    }
  }
  sweeps = static_cast<int64_t>(std::ceil(states_swept / n));
}

// Lists of actions, filled state by state: `upper` and `lower` enclose what an action is worth, on any scale that is
// the same for all actions of a state.
class OptimalActions {
 public:
  void Add(double lower, double upper) {
    lower_.push_back(lower);
    upper_.push_back(upper);
  }
  void EndState(ModelSolution& solution) {
    if (solution.optimal_begin.empty()) solution.optimal_begin.push_back(0);
    const double best = lower_.empty() ? 0 : *std::max_element(lower_.begin(), lower_.end());
    for (size_t a = 0; a < upper_.size(); ++a) {
      if (upper_[a] >= best) {
        solution.optimal_actions.push_back(static_cast<int32_t>(a));
      } else {
        solution.action_gap = std::min(solution.action_gap, best - upper_[a]);
      }
    }
    solution.optimal_begin.push_back(static_cast<int64_t>(solution.optimal_actions.size()));
    lower_.clear();
    upper_.clear();
  }

 private:
  std::vector<double> lower_, upper_;
};

// Actions that may be optimal given bounds of the values that follow them (`lower`, `upper` around `values`), with
// weights times `scale`.
template <class M>
void ListOptimal(const M& model, RowKind kind, double scale, double sign, const std::vector<double>& values,
                 const std::vector<double>& lower, const std::vector<double>& upper, ModelSolution& solution) {
  OptimalActions actions;
  for (StateIndex s = 0; s < model.num_states(); ++s) {
    const double here = values[s];
    // Rates of different sums weigh the value of the state itself differently.
    const double above_here = kind == RowKind::kRate ? upper[s] - here : 0;
    const double below_here = kind == RowKind::kRate ? lower[s] - here : 0;
    for (int32_t a = 0; a < model.num_actions(s); ++a) {
      const double reward = model.Reward(s, a);
      double change = 0, above = 0, below = 0, size = 0;
      int terms = 8;
      model.VisitSuccessors(s, a, [&](StateIndex next, double weight) {
        change += weight * (values[next] - here);
        above += weight * ((upper[next] - values[next]) - below_here);
        below += weight * ((lower[next] - values[next]) - above_here);
        size += weight * (std::abs(values[next] - here) + std::abs(values[next]) * kEpsilon);
        ++terms;
      });
      const double worth = reward + scale * change;
      const double rounding = 2 * terms * kEpsilon * (std::abs(reward) + size) + 4 * kEpsilon * std::abs(above - below);
      const double high = worth + scale * above + rounding;
      const double low = worth + scale * below - rounding;
      if (sign > 0) {
        actions.Add(low, high);
      } else {
        actions.Add(-high, -low);
      }
    }
    actions.EndState(solution);
  }
}

}  // namespace berth::mdp::internal

#endif  // BERTH_MDP_SOLVE_PARTS_H_

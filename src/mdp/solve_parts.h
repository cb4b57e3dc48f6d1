// What solve.cc and solve_average.cc share. Internal to src/mdp.
#ifndef BERTH_MDP_SOLVE_PARTS_H_
#define BERTH_MDP_SOLVE_PARTS_H_

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "mdp/criterion.h"
#include "mdp/model.h"
#include "mdp/modified_policy_iteration.h"
#include "mdp/policy_iteration.h"
#include "mdp/solve.h"
#include "mdp/solve_options.h"
#include "mdp/sweep.h"

namespace berth::mdp::internal {

// Up to this many states kAuto takes policy iteration: its factorisation is quick, and it is exact whatever the chain.
inline constexpr StateIndex kAutoExactStates = 300;
// Beyond, kAuto goes over from modified policy iteration after so many sweeps; a random graph takes 60.
inline constexpr int64_t kAutoSweeps = 5000;

SolveOptions SweepOptionsOf(const ModelSolveOptions& options, Objective objective, Method method);
StoredSolveOptions StoredOptionsOf(const ModelSolveOptions& options, Objective objective, Method method);
PolicyIterationOptions PolicyOptionsOf(const ModelSolveOptions& options, Objective objective);

// Values, bounds and policy of the average criterion; the rest of the solution is left as it is.
absl::StatusOr<ModelSolution> SolveAverageModel(const SparseMdp& model, Objective objective, Method method,
                                                const ModelSolveOptions& options);

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

}  // namespace berth::mdp::internal

#endif  // BERTH_MDP_SOLVE_PARTS_H_

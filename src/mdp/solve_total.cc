// The total reward of any stored model.
#include <utility>

#include "base/status.h"
#include "mdp/improper_total.h"
#include "mdp/policy_iteration.h"
#include "mdp/solve_parts.h"
#include "mdp/total_reward.h"

namespace berth::mdp::internal {
namespace {

// A stored model in which some states end the sum of rewards, whatever they could do.
struct AbsorbingModel {
  const SparseMdp& model;
  std::vector<bool> is_absorbing;

  StateIndex num_states() const { return model.num_states(); }
  int32_t num_actions(StateIndex s) const { return is_absorbing[s] ? 0 : model.num_actions(s); }
  double Reward(StateIndex s, int32_t action) const { return model.Reward(s, action); }
  template <class Visit>
  void VisitSuccessors(StateIndex s, int32_t action, Visit&& visit) const {
    model.VisitSuccessors(s, action, visit);
  }
};

bool StaysForNothing(const SparseMdp& model, StateIndex s) {
  for (int32_t a = 0; a < model.num_actions(s); ++a) {
    bool stays = model.Reward(s, a) == 0;
    model.VisitSuccessors(s, a, [&](StateIndex next, double) { stays = stays && next == s; });
    if (!stays) return false;
  }
  return true;
}

// Where every choice ends.
absl::StatusOr<ModelSolution> SolveProperTotal(const SparseMdp& model, const AbsorbingModel& view, Objective objective,
                                               Method method, const ModelSolveOptions& options, Components connected) {
  if (connected.size() == 0) connected = FindStronglyConnected(model);
  const double sign = SignOf(objective);
  SolveOptions sweep = SweepOptionsOf(options, objective, method);
  std::vector<double> start(options.warm_start.begin(), options.warm_start.end());
  int64_t sweeps_before = 0;
  if (method == Method::kTopological) {
    start.assign(static_cast<size_t>(model.num_states()), 0.0);
    const ActionForm<AbsorbingModel> form(view, 1, 0, sign);
    SweepInOrder(form, connected, 0.001 * options.epsilon, options, start, sweeps_before);
    for (double& v : start) v *= sign;
  }
  StopReason policy_stop = StopReason::kConverged;
  if (method == Method::kPolicyIteration) {
    const ActionForm<AbsorbingModel> form(view, 1, 0, sign);
    auto swept = IteratePolicies(form, PolicyOptionsOf(options, objective), true);
    if (!swept.ok()) return swept.status();
    start = std::move(swept->values);
    for (double& v : start) v *= sign;
    sweeps_before = swept->sweeps;
    policy_stop = swept->stop;
  }
  BERTH_ASSIGN_OR_RETURN(std::vector<double> values, StartValues(model.num_states(), start, sign));
  // The numbers of steps that the bounds are made of: one component after the other too, whatever the method.
  const StepCountModel<AbsorbingModel> counting{view};
  std::vector<double> steps(static_cast<size_t>(model.num_states()), 0.0);
  int64_t steps_swept = 0;
  SweepInOrder(ActionForm<StepCountModel<AbsorbingModel>>(counting, 1, 0, 1), connected, 0.1, options, steps,
               steps_swept);
  sweeps_before += method == Method::kPolicyIteration ? 0 : steps_swept;
  auto solved = SolveEndingTotal(view, sweep, std::move(values), TotalSweepOf(method), std::move(steps));
  if (!solved.ok()) return solved.status();
  ModelSolution solution = FromDiscounted(*std::move(solved));
  solution.sweeps = method == Method::kPolicyIteration ? sweeps_before : solution.sweeps + sweeps_before;
  if (solution.stop != StopReason::kConverged && policy_stop != StopReason::kConverged) solution.stop = policy_stop;
  return solution;
}

}  // namespace

absl::StatusOr<ModelSolution> SolveTotalModel(const SparseMdp& model, const Criterion& criterion, Method method,
                                              const ModelSolveOptions& options, const std::vector<bool>& is_absorbing,
                                              Components connected) {
  AbsorbingModel view{model, is_absorbing};
  view.is_absorbing.resize(static_cast<size_t>(model.num_states()), false);
  for (StateIndex s = 0; s < model.num_states(); ++s) {
    view.is_absorbing[s] = view.is_absorbing[s] || StaysForNothing(model, s);
  }
  const double sign = SignOf(criterion.objective);
  BERTH_ASSIGN_OR_RETURN(
      ModelSolution solution,
      FindEscapingState(view) >= 0
          ? SolveImproperTotal(model, criterion.objective, method, options, view.is_absorbing)
          : SolveProperTotal(model, view, criterion.objective, method, options, std::move(connected)));
  if (options.lists_optimal_actions) {
    ListOptimal(model, model.kind(), 1, sign, solution.values, solution.lower, solution.upper, solution);
    // Where the sum has ended nothing matters.
    std::vector<int64_t> begin = {0};
    std::vector<int32_t> listed;
    for (StateIndex s = 0; s < model.num_states(); ++s) {
      const int32_t n = model.num_actions(s);
      for (int32_t a = 0; view.is_absorbing[s] && a < n; ++a) listed.push_back(a);
      if (!view.is_absorbing[s]) listed.insert(listed.end(), solution.optimal(s).begin(), solution.optimal(s).end());
      begin.push_back(static_cast<int64_t>(listed.size()));
    }
    solution.optimal_begin = std::move(begin);
    solution.optimal_actions = std::move(listed);
  }
  for (StateIndex s = 0; s < model.num_states(); ++s) {
    if (view.is_absorbing[s] && model.num_actions(s) > 0) solution.policy[s] = 0;
  }
  return solution;
}

}  // namespace berth::mdp::internal

// The long-run average of any stored model, chains of several closed classes included.
//
// Whatever the policy, its chain ends in end components. Inside one every state can reach every other, so all its
// states have the same best gain, and the bounds of value_iteration.h close in on it. What remains is where to end:
// each component becomes one state that may stop and earn its gain, or leave; that is a total reward, and every choice
// ends it, because no end component is left.
#include <algorithm>
#include <map>
#include <utility>

#include "base/status.h"
#include "mdp/components.h"
#include "mdp/modified_policy_iteration.h"
#include "mdp/policy_iteration.h"
#include "mdp/solve_parts.h"
#include "mdp/total_reward.h"
#include "mdp/value_iteration.h"

namespace berth::mdp::internal {
namespace {

absl::StatusOr<AverageSolution> SolveOneGain(const SparseMdp& model, Objective objective, Method method,
                                             const ModelSolveOptions& options, std::span<const double> warm_start) {
  const bool is_rate = model.kind() == RowKind::kRate;
  if (method == Method::kPolicyIteration) return IteratePoliciesAverage(model, PolicyOptionsOf(options, objective));
  if (!is_rate && (method == Method::kValueIteration || method == Method::kModifiedPolicyIteration)) {
    return SolveAverageStored(model, StoredOptionsOf(options, objective, method), warm_start);
  }
  return SolveAverage(model, SweepOptionsOf(options, objective, method), warm_start);
}

}  // namespace

absl::StatusOr<AverageSolution> SolveOneGainAuto(const SparseMdp& model, Objective objective,
                                                 const ModelSolveOptions& options, std::span<const double> warm_start,
                                                 Method& method) {
  method = Method::kPolicyIteration;
  if (model.num_states() <= kAutoExactStates) return SolveOneGain(model, objective, method, options, warm_start);
  ModelSolveOptions first = options;
  first.max_sweeps = std::min(first.max_sweeps, kAutoSweeps);
  method = model.kind() == RowKind::kRate ? Method::kAnderson : Method::kModifiedPolicyIteration;
  BERTH_ASSIGN_OR_RETURN(AverageSolution solution, SolveOneGain(model, objective, method, first, warm_start));
  if (solution.stop != StopReason::kIterationLimit || first.max_sweeps == options.max_sweeps) return solution;
  PolicyIterationOptions policy = PolicyOptionsOf(options, objective);
  policy.initial_policy = solution.policy;
  auto exact = IteratePoliciesAverage(model, policy);
  if (!exact.ok() || exact->error >= solution.error) return solution;
  exact->sweeps += solution.sweeps;
  method = Method::kPolicyIteration;
  return exact;
}

void GoTo(const SparseMdp& model, const std::vector<StateIndex>& states, StateIndex target,
          const std::vector<bool>& is_inside, std::vector<bool>& is_there, std::vector<int32_t>& policy) {
  is_there[target] = true;
  const auto stays = [&](StateIndex s, int32_t a) { return is_inside[model.state_begin()[s] + a]; };
  for (bool has_moved = true; has_moved;) {
    has_moved = false;
    for (const StateIndex s : states) {
      const int32_t action = is_there[s] ? -1 : FirstActionInto(model, s, is_there, stays);
      if (action < 0) continue;
      policy[s] = action;
      is_there[s] = true;
      has_moved = true;
    }
  }
}

namespace {

// The states of one component with the actions that stay inside; ActionNumber is the action's index in the model.
absl::StatusOr<SparseMdp> InsideOf(const SparseMdp& model, const Components& components, int32_t component,
                                   const std::vector<bool>& is_inside) {
  const auto& states = components.states[component];
  SparseMdpBuilder builder(static_cast<StateIndex>(states.size()), model.kind());
  std::vector<Transition> row;
  for (size_t i = 0; i < states.size(); ++i) {
    const StateIndex s = states[i];
    for (int32_t a = 0; a < model.num_actions(s); ++a) {
      if (!is_inside[model.state_begin()[s] + a]) continue;
      row.clear();
      model.VisitSuccessors(s, a, [&](StateIndex next, double weight) {
        const auto at = std::lower_bound(states.begin(), states.end(), next) - states.begin();
        row.push_back({static_cast<StateIndex>(at), weight});
      });
      BERTH_RETURN_IF_ERROR(builder.AddAction(static_cast<StateIndex>(i), a, model.Reward(s, a), row));
    }
  }
  return std::move(builder).Build();
}

struct ComponentGain {
  Method method = Method::kAuto;  // that was used
  double lower = 0, upper = 0;
  std::vector<int32_t> policy;  // by place in the component; action index of the model, -1: terminal
  std::vector<double> values;   // relative, by place
  StopReason stop = StopReason::kConverged;
  int64_t sweeps = 0;
};

absl::StatusOr<ComponentGain> SolveComponent(const SparseMdp& model, const Components& components, int32_t component,
                                             const std::vector<bool>& is_inside, Objective objective, Method method,
                                             const ModelSolveOptions& options) {
  const auto& states = components.states[component];
  ComponentGain gain;
  const double sign = SignOf(objective);
  if (states.size() == 1) {
    const StateIndex s = states.front();
    gain.policy = {-1};
    gain.values = {0};
    for (int32_t a = 0; a < model.num_actions(s); ++a) {
      if (!is_inside[model.state_begin()[s] + a]) continue;
      const double reward = model.Reward(s, a);
      if (gain.policy[0] >= 0 && sign * reward <= sign * gain.lower) continue;
      gain.policy[0] = a;
      gain.lower = gain.upper = reward;
    }
    return gain;
  }
  const bool is_whole = static_cast<StateIndex>(states.size()) == model.num_states() &&
                        std::find(is_inside.begin(), is_inside.end(), false) == is_inside.end();
  std::optional<SparseMdp> part;
  if (!is_whole) {
    BERTH_ASSIGN_OR_RETURN(part, InsideOf(model, components, component, is_inside));
  }
  const SparseMdp& inside = is_whole ? model : *part;
  std::vector<double> start;
  if (!options.warm_start.empty()) {
    for (const StateIndex s : states) start.push_back(options.warm_start[s]);
  }
  gain.method = method;
  BERTH_ASSIGN_OR_RETURN(AverageSolution solved, method == Method::kAuto
                                                     ? SolveOneGainAuto(inside, objective, options, start, gain.method)
                                                     : SolveOneGain(inside, objective, method, options, start));
  gain.lower = solved.gain_lower;
  gain.upper = solved.gain_upper;
  gain.policy = std::move(solved.policy);
  if (!is_whole) {
    for (size_t i = 0; i < gain.policy.size(); ++i) {
      gain.policy[i] = inside.ActionNumber(static_cast<StateIndex>(i), gain.policy[i]);
    }
  }
  gain.values = std::move(solved.relative_values);
  gain.stop = solved.stop;
  gain.sweeps = solved.sweeps;
  return gain;
}

// Where the chains end: one state for each component, then one for each state in none, then the end.
struct Quotient {
  std::vector<StateIndex> node_of_state;
  StateIndex num_nodes = 0;                 // without the end
  std::vector<std::vector<int64_t>> exits;  // of a node: rows of the model, by the order of its actions
  std::vector<StateIndex> state_of_row;     // of the model
};

Quotient BuildQuotient(const SparseMdp& model, const Components& components, const std::vector<bool>& is_inside) {
  Quotient quotient;
  quotient.node_of_state = components.of_state;
  quotient.num_nodes = static_cast<StateIndex>(components.size());
  for (StateIndex& node : quotient.node_of_state) {
    if (node < 0) node = quotient.num_nodes++;
  }
  quotient.exits.resize(static_cast<size_t>(quotient.num_nodes));
  quotient.state_of_row.resize(static_cast<size_t>(model.num_rows()));
  for (StateIndex s = 0; s < model.num_states(); ++s) {
    for (int64_t row = model.state_begin()[s]; row < model.state_begin()[s + 1]; ++row) {
      quotient.state_of_row[row] = s;
      if (!is_inside[row]) quotient.exits[quotient.node_of_state[s]].push_back(row);
    }
  }
  return quotient;
}

// The total reward of ending well. Action 0 of a component is to stay, for `gains`; the others are its exits.
absl::StatusOr<SparseMdp> EndingModel(const SparseMdp& model, const Quotient& quotient,
                                      const std::vector<double>& gains) {
  SparseMdpBuilder builder(quotient.num_nodes + 1);
  const StateIndex end = quotient.num_nodes;
  const auto num_components = static_cast<StateIndex>(gains.size());
  BERTH_RETURN_IF_ERROR(builder.DeclareTerminal(end));
  std::map<StateIndex, double> merged;
  std::vector<Transition> row;
  for (StateIndex node = 0; node < quotient.num_nodes; ++node) {
    const int32_t first_exit = node < num_components ? 1 : 0;
    if (first_exit == 1) BERTH_RETURN_IF_ERROR(builder.AddAction(node, 0, gains[node], {{end, 1.0}}));
    for (size_t i = 0; i < quotient.exits[node].size(); ++i) {
      const int64_t exit = quotient.exits[node][i];
      merged.clear();
      double sum = 0;
      for (int64_t t = model.row_begin()[exit]; t < model.row_begin()[exit + 1]; ++t) {
        // A rate back to the state itself never happens.
        const StateIndex next = model.successors()[t];
        if (model.kind() == RowKind::kRate && next == quotient.state_of_row[exit]) continue;
        merged[quotient.node_of_state[next]] += model.weights()[t];
        sum += model.weights()[t];
      }
      row.clear();
      for (const auto& [next, weight] : merged) {
        row.push_back({next, model.kind() == RowKind::kRate ? weight / sum : weight});
      }
      BERTH_RETURN_IF_ERROR(builder.AddAction(node, first_exit + static_cast<int32_t>(i), 0, row));
    }
  }
  return std::move(builder).Build();
}

// Of every state the actions that may be gain optimal: those after which the gain may still be the best, and inside a
// component those that fit its relative values.
void ListGainOptimal(const SparseMdp& model, Objective objective, const Components& components,
                     const std::vector<bool>& is_inside, const std::vector<ComponentGain>& gains,
                     ModelSolution& solution) {
  const ActionForm<SparseMdp> form(model, 1, 0, SignOf(objective));
  const double sign = SignOf(objective);
  std::vector<double> h(static_cast<size_t>(model.num_states()), 0.0);
  for (size_t c = 0; c < components.size(); ++c) {
    for (size_t i = 0; i < components.states[c].size(); ++i) h[components.states[c][i]] = sign * gains[c].values[i];
  }
  OptimalActions actions;
  for (StateIndex s = 0; s < model.num_states(); ++s) {
    const int32_t component = components.of_state[s];
    const double best = sign > 0 ? solution.lower[s] : -solution.upper[s];  // what the state is sure to gain
    for (int32_t a = 0; a < model.num_actions(s); ++a) {
      const int64_t row = model.state_begin()[s] + a;
      if (is_inside[row]) {
        const ComponentGain& gain = gains[component];
        const double low = sign > 0 ? gain.lower : -gain.upper;
        const double high = sign > 0 ? gain.upper : -gain.lower;
        if (high < best) {  // better to leave: inside, any action may be on the way
          actions.Add(-kInfinity, sign > 0 ? solution.upper[s] : -solution.lower[s]);
          continue;
        }
        const CheckedResidual worth = form.CheckAction(s, a, h.data());
        const double lost = low - (worth.residual + worth.error + (high - low));
        actions.Add(lost <= 0 ? low : -kInfinity, lost <= 0 ? high : best - lost);
        continue;
      }
      double low = 0, high = 0, weights = 0;
      model.VisitSuccessors(s, a, [&](StateIndex next, double weight) {
        if (model.kind() == RowKind::kRate && next == s) return;
        low += weight * (sign > 0 ? solution.lower[next] : -solution.upper[next]);
        high += weight * (sign > 0 ? solution.upper[next] : -solution.lower[next]);
        weights += weight;
      });
      const double slack = 16 * kEpsilon * (std::abs(low) + std::abs(high)) / weights;
      actions.Add(low / weights - slack, high / weights + slack);
    }
    actions.EndState(solution);
  }
}

}  // namespace

absl::StatusOr<ModelSolution> SolveAverageModel(const SparseMdp& model, Objective objective, Method method,
                                                const ModelSolveOptions& options) {
  const StateIndex n = model.num_states();
  if (!options.warm_start.empty() && options.warm_start.size() != static_cast<size_t>(n)) {
    return absl::InvalidArgumentError(
        fmt::format("number of warm start values is {}, accepted: 0 or {}", options.warm_start.size(), n));
  }
  std::vector<bool> is_inside;
  const Components components = FindEndComponents(model, &is_inside);
  ModelSolution solution;
  solution.end_components = static_cast<int64_t>(components.size());
  solution.stop = StopReason::kConverged;
  solution.policy.assign(static_cast<size_t>(n), 0);
  ModelSolveOptions part = options;
  if (components.size() > 1) part.epsilon = options.epsilon / 2;  // the other half is for where to end
  std::vector<ComponentGain> gains;
  // Named is what the largest component took; single states take none, and count as what is exact.
  solution.method = method == Method::kAuto ? Method::kPolicyIteration : method;
  size_t largest = 1;
  for (size_t c = 0; c < components.size(); ++c) {
    BERTH_ASSIGN_OR_RETURN(ComponentGain gain, SolveComponent(model, components, static_cast<int32_t>(c), is_inside,
                                                              objective, method, part));
    if (gain.stop != StopReason::kConverged) solution.stop = gain.stop;
    solution.sweeps += gain.sweeps;
    if (components.states[c].size() > largest) {
      largest = components.states[c].size();
      solution.method = gain.method;
    }
    for (size_t i = 0; i < gain.policy.size(); ++i) solution.policy[components.states[c][i]] = gain.policy[i];
    gains.push_back(std::move(gain));
  }
  solution.lower.assign(static_cast<size_t>(n), gains.front().lower);
  solution.upper.assign(static_cast<size_t>(n), gains.front().upper);
  if (components.size() > 1) {
    const Quotient quotient = BuildQuotient(model, components, is_inside);
    SolveOptions sweep = SweepOptionsOf(part, objective, Method::kGaussSeidel);
    std::vector<int32_t> choice;
    for (const bool is_lower : {true, false}) {
      std::vector<double> bound;
      bound.reserve(gains.size());
      for (const ComponentGain& gain : gains) bound.push_back(is_lower ? gain.lower : gain.upper);
      BERTH_ASSIGN_OR_RETURN(const SparseMdp ending, EndingModel(model, quotient, bound));
      absl::StatusOr<DiscountedSolution> total = SolveTotal(ending, sweep);
      if (const absl::StatusCode code = total.status().code();
          code == absl::StatusCode::kFailedPrecondition || code == absl::StatusCode::kCancelled) {
        // A limit came before anything is known of the way to the ends; the gain is that of one of them all the same.
        solution.stop = code == absl::StatusCode::kCancelled ? StopReason::kCancelled : StopReason::kIterationLimit;
        const auto [least, most] = std::minmax_element(bound.begin(), bound.end());
        (is_lower ? solution.lower : solution.upper).assign(static_cast<size_t>(n), is_lower ? *least : *most);
        choice.clear();
        continue;
      }
      if (!total.ok()) return total.status();
      DiscountedSolution ended = *std::move(total);
      if (ended.stop != StopReason::kConverged) solution.stop = ended.stop;
      solution.sweeps += ended.sweeps;
      for (StateIndex s = 0; s < n; ++s) {
        const StateIndex node = quotient.node_of_state[s];
        (is_lower ? solution.lower : solution.upper)[s] = is_lower ? ended.lower[node] : ended.upper[node];
      }
      // The policy that is sure of its bound.
      if (is_lower == (objective == Objective::kMaximize)) choice = std::move(ended.policy);
    }
    std::vector<bool> is_there(static_cast<size_t>(n), false);  // components don't share states
    const StateIndex num_choices = choice.empty() ? 0 : quotient.num_nodes;
    for (StateIndex node = 0; node < num_choices; ++node) {
      const bool is_component = node < static_cast<StateIndex>(components.size());
      if (is_component && choice[node] == 0) continue;  // stays
      const int64_t exit = quotient.exits[node][choice[node] - (is_component ? 1 : 0)];
      const StateIndex from = quotient.state_of_row[exit];
      if (is_component) GoTo(model, components.states[node], from, is_inside, is_there, solution.policy);
      solution.policy[from] = static_cast<int32_t>(exit - model.state_begin()[from]);
    }
  }
  for (StateIndex s = 0; s < n; ++s) {
    const double value = solution.lower[s] + (solution.upper[s] - solution.lower[s]) / 2;
    solution.values.push_back(value);
    solution.error = std::max({solution.error, solution.upper[s] - value, value - solution.lower[s]});
  }
  solution.error = RoundedUp(solution.error);
  if (options.lists_optimal_actions) ListGainOptimal(model, objective, components, is_inside, gains, solution);
  return solution;
}

}  // namespace berth::mdp::internal

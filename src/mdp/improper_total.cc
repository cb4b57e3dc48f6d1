#include "mdp/improper_total.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <utility>

#include "base/status.h"
#include "fmt/format.h"
#include "mdp/components.h"
#include "mdp/policy_evaluation.h"
#include "mdp/policy_iteration.h"
#include "mdp/solve_parts.h"
#include "mdp/sweep.h"
#include "mdp/total_reward.h"
#include "mdp/value_iteration.h"

namespace berth::mdp::internal {
namespace {

constexpr int64_t kStop = -1;  // the row of the action that ends, for nothing

// The model with every end component of rows that earn 0 as one node, whose actions are its other rows and to stop. The
// rows stay where they are, so that what is certified is about the numbers of the model itself.
struct Quotient {
  const SparseMdp& model;
  std::vector<bool> is_absorbing;  // of a state
  Components idle;                 // the end components of rows that earn 0
  std::vector<bool> is_idle_row;   // of a row: inside one of them
  std::vector<StateIndex> node_of_state;
  std::vector<StateIndex> first_state;  // of a node but the last, which is the end
  std::vector<int64_t> action_begin;    // [nodes + 1]
  std::vector<int64_t> row_of_action;   // kStop, or a row of the model
  std::vector<StateIndex> state_of_row;

  StateIndex num_states() const { return static_cast<StateIndex>(action_begin.size()) - 1; }
  int32_t num_actions(StateIndex node) const {
    return static_cast<int32_t>(action_begin[node + 1] - action_begin[node]);
  }
  int64_t row(StateIndex node, int32_t action) const { return row_of_action[action_begin[node] + action]; }
  double Reward(StateIndex node, int32_t action) const {
    const int64_t r = row(node, action);
    return r == kStop ? 0 : model.rewards()[r];
  }
  template <class Visit>
  void VisitSuccessors(StateIndex node, int32_t action, Visit&& visit) const {
    const int64_t r = row(node, action);
    if (r == kStop) return visit(num_states() - 1, 1.0);
    for (int64_t i = model.row_begin()[r]; i < model.row_begin()[r + 1]; ++i) {
      visit(node_of_state[model.successors()[i]], model.weights()[i]);
    }
  }
};

// The same with `shift` added to every reward.
struct ShiftedQuotient {
  const Quotient& quotient;
  double shift;

  StateIndex num_states() const { return quotient.num_states(); }
  int32_t num_actions(StateIndex node) const { return quotient.num_actions(node); }
  double Reward(StateIndex node, int32_t action) const { return quotient.Reward(node, action) + shift; }
  template <class Visit>
  void VisitSuccessors(StateIndex node, int32_t action, Visit&& visit) const {
    quotient.VisitSuccessors(node, action, visit);
  }
};

Quotient BuildQuotient(const SparseMdp& model, const std::vector<bool>& is_absorbing) {
  Quotient q{.model = model,
             .is_absorbing = is_absorbing,
             .idle = {},
             .is_idle_row = {},
             .node_of_state = std::vector<StateIndex>(static_cast<size_t>(model.num_states()), -1),
             .first_state = {},
             .action_begin = {0},
             .row_of_action = {},
             .state_of_row = std::vector<StateIndex>(static_cast<size_t>(model.num_rows()))};
  std::vector<bool> earns_nothing(static_cast<size_t>(model.num_rows()));
  for (StateIndex s = 0; s < model.num_states(); ++s) {
    for (int64_t row = model.state_begin()[s]; row < model.state_begin()[s + 1]; ++row) {
      q.state_of_row[row] = s;
      earns_nothing[row] = !is_absorbing[s] && model.rewards()[row] == 0;
    }
  }
  q.idle = FindEndComponents(model, &q.is_idle_row, &earns_nothing);
  for (StateIndex s = 0; s < model.num_states(); ++s) {
    if (q.node_of_state[s] >= 0) continue;
    const auto node = static_cast<StateIndex>(q.first_state.size());
    q.first_state.push_back(s);
    const int32_t component = is_absorbing[s] || model.is_terminal(s) ? -1 : q.idle.of_state[s];
    const std::vector<StateIndex> alone = {s};
    if (component >= 0) q.row_of_action.push_back(kStop);
    for (const StateIndex member : component >= 0 ? q.idle.states[component] : alone) {
      q.node_of_state[member] = node;
      if (is_absorbing[member]) continue;
      for (int64_t row = model.state_begin()[member]; row < model.state_begin()[member + 1]; ++row) {
        if (!q.is_idle_row[row]) q.row_of_action.push_back(row);
      }
    }
    q.action_begin.push_back(static_cast<int64_t>(q.row_of_action.size()));
  }
  q.action_begin.push_back(q.action_begin.back());  // the end
  return q;
}

// A policy that ends, whatever it earns: from every node the action that first came nearer to an end. Where a node has
// none, its first state is returned in `stuck`.
std::vector<int32_t> EndingPolicy(const Quotient& q, StateIndex* stuck) {
  const StateIndex n = q.num_states();
  const RowsInto graph = FindRowsInto(q);
  std::vector<int32_t> policy(static_cast<size_t>(n), -1);
  std::vector<bool> is_there(static_cast<size_t>(n), false);
  std::vector<StateIndex> arrived;
  for (StateIndex node = 0; node < n; ++node) {
    if (q.num_actions(node) > 0) continue;
    is_there[node] = true;
    arrived.push_back(node);
  }
  for (size_t i = 0; i < arrived.size(); ++i) {
    for (const int64_t row : graph.into(arrived[i])) {
      const StateIndex node = graph.state_of_row[row];
      if (is_there[node]) continue;
      is_there[node] = true;
      policy[node] = static_cast<int32_t>(row - graph.first_row[node]);
      arrived.push_back(node);
    }
  }
  *stuck = -1;
  for (StateIndex node = n - 1; node >= 0; --node) {
    if (!is_there[node]) *stuck = q.first_state[node];
  }
  return policy;
}

// How much at least every way of never ending loses, a step, on average; infinite where every choice ends. Above 0, or
// an error that names a state.
absl::StatusOr<double> LeastLoss(const Quotient& q, Objective objective, const ModelSolveOptions& options,
                                 int64_t* sweeps) {
  const SparseMdp& model = q.model;
  const double sign = SignOf(objective);
  std::vector<bool> goes_on(static_cast<size_t>(model.num_rows())), is_inside;
  for (int64_t row = 0; row < model.num_rows(); ++row) goes_on[row] = !q.is_absorbing[q.state_of_row[row]];
  const Components components = FindEndComponents(model, &is_inside, &goes_on);
  const ActionForm<Quotient> form(q, 1, 0, sign);
  std::vector<StateIndex> place(static_cast<size_t>(q.num_states()), -1);
  double least = kInfinity;
  for (const std::vector<StateIndex>& states : components.states) {
    // The nodes of the component and their actions that stay in it.
    std::vector<StateIndex> nodes;
    std::vector<std::pair<StateIndex, int32_t>> actions;
    double largest = 0;
    for (const StateIndex s : states) {
      const StateIndex node = q.node_of_state[s];
      if (place[node] >= 0) continue;
      place[node] = static_cast<StateIndex>(nodes.size());
      nodes.push_back(node);
      for (int32_t a = 0; a < q.num_actions(node); ++a) {
        if (q.row(node, a) == kStop || !is_inside[q.row(node, a)]) continue;
        actions.emplace_back(node, a);
        largest = std::max(largest, std::abs(q.Reward(node, a)));
      }
    }
    const auto clear = [&] {
      for (const StateIndex node : nodes) place[node] = -1;
    };
    if (actions.empty()) {  // only idle
      clear();
      continue;
    }
    SparseMdpBuilder builder(static_cast<StateIndex>(nodes.size()));
    std::map<StateIndex, double> merged;
    std::vector<Transition> row;
    for (const auto& [node, a] : actions) {
      merged.clear();
      row.clear();
      q.VisitSuccessors(node, a, [&](StateIndex next, double weight) { merged[place[next]] += weight; });
      for (const auto& [next, weight] : merged) row.push_back({next, std::min(weight, 1.0)});
      BERTH_RETURN_IF_ERROR(builder.AddAction(place[node], a, q.Reward(node, a), row));
    }
    clear();
    BERTH_ASSIGN_OR_RETURN(const SparseMdp part, std::move(builder).Build());
    double low = -kInfinity, high = kInfinity;
    bool is_limited = false;
    std::vector<double> h(static_cast<size_t>(q.num_states()), 0.0), start;
    // The sign of the gain is all that is asked: it takes no more digits than it needs.
    for (const double share : {1e-1, 1e-3, 1e-6, 1e-9, 0.0}) {
      ModelSolveOptions asked = options;
      asked.epsilon = share * largest;
      Method used = Method::kAuto;
      BERTH_ASSIGN_OR_RETURN(const AverageSolution solved, SolveOneGainAuto(part, objective, asked, start, used));
      *sweeps += solved.sweeps;
      if (solved.stop == StopReason::kCancelled) {
        return absl::CancelledError(
            "stopped before it was known whether never ending pays, so there are no bounds yet");
      }
      is_limited = solved.stop == StopReason::kIterationLimit;
      start = solved.relative_values;
      for (size_t i = 0; i < nodes.size(); ++i) h[nodes[i]] = sign * start[i];
      low = sign > 0 ? solved.gain_lower : -solved.gain_upper;
      high = -kInfinity;
      for (const auto& [node, a] : actions) {  // of the rows themselves: merging them has rounded
        const CheckedResidual checked = form.CheckAction(node, a, h.data());
        high = std::max(high, checked.residual + checked.error);
      }
      if (high < 0 || low > 0 || solved.stop == StopReason::kPrecisionLimit) break;
    }
    if (high < 0) {
      least = std::min(least, -high);
      continue;
    }
    const char* const earned = sign > 0 ? "reward" : "cost";
    if (low > 0) {
      return absl::InvalidArgumentError(
          fmt::format("state {}: one can stay for ever at a mean {} of {:.6g} a step, so that the best total is "
                      "infinite, accepted: "
                      "models where staying for ever does not pay",
                      states.front(), earned, sign * low));
    }
    if (is_limited) {
      return absl::FailedPreconditionError(
          fmt::format("max_sweeps is {}, accepted: more, as it is not known within it whether never ending pays",
                      options.max_sweeps));
    }
    return absl::InvalidArgumentError(fmt::format(
        "state {}: one can stay for ever at a mean {} of {:.3g} to {:.3g} a step, and whether that pays is more than "
        "double precision can tell, accepted: {} 0 for certain, or rewards that are all exactly 0",
        states.front(), earned, sign > 0 ? low : -high, sign > 0 ? high : -low, sign > 0 ? "below" : "above"));
  }
  return least;
}

// Finds L and W.
class BoundSweeper {
 public:
  BoundSweeper(const Quotient& q, Objective objective, Method method, const ModelSolveOptions& options,
               double least_loss, int64_t sweeps_before)
      : q_(q),
        sign_(SignOf(objective)),
        method_(method),
        options_(options),
        form_(q, 1, 0, sign_),
        shift_(least_loss / 4),
        sweeps_(sweeps_before) {}

  struct Answer {
    std::vector<double> lower, upper;  // of nodes, in the form's sign
    std::vector<int32_t> policy;       // whose value is at least `lower`
    double error = kInfinity;          // half of the largest distance
    StopReason stop = StopReason::kIterationLimit;
    int64_t sweeps = 0;
  };

  // `warm_start`: [num_states] of the model, in the form's sign, or empty.
  absl::StatusOr<Answer> Run(std::vector<int32_t> ending_policy, const std::vector<double>& warm_start) {
    const StateIndex n = q_.num_states();
    // Both start at the value of a policy that ends: from below no loop has to be drained, step by step.
    std::vector<double> start(static_cast<size_t>(n), 0.0);
    if (!warm_start.empty()) {
      for (StateIndex node = 0; node + 1 < n; ++node) start[node] = warm_start[q_.first_state[node]];
    } else if (auto evaluated = EvaluatePolicy(ChainOf(form_, ending_policy), 0, ValueLevel::kAbsolute);
               evaluated.ok()) {
      start = std::move(evaluated->values);
    }
    for (StateIndex node = 0; node < n; ++node) {
      if (form_.is_terminal(node)) start[node] = 0;
    }
    Vector below{start, -1, {}}, above{std::move(start), 1, std::move(ending_policy)};
    below.policy = above.policy;
    if (method_ == Method::kTopological) order_ = Order();
    bool is_new_shift = true;
    for (;;) {
      if (is_new_shift) {
        BERTH_RETURN_IF_ERROR(Begin(below));
        BERTH_RETURN_IF_ERROR(Begin(above));
        is_new_shift = false;
      }
      std::vector<int32_t> policy(static_cast<size_t>(n));
      const Certificate lower = CertifyAndChoose(form_, below.values.data(), nullptr, policy.data());
      const Certificate upper = Certify(form_, above.values.data());
      if (!std::isfinite(lower.error(0)) || !std::isfinite(upper.error(0))) {
        return absl::OutOfRangeError(
            "the values leave the range of double precision, accepted: rewards that keep them finite");
      }
      const bool is_certified = lower.lowest >= 0 && upper.highest <= 0;
      if (is_certified) Keep(below.values, above.values, std::move(policy));
      answer_.sweeps = sweeps_;
      // Policy iteration is exact, so that only the shift is in its error: the first one is for measuring the rounding.
      const bool is_exact = method_ == Method::kPolicyIteration;
      if (answer_.error <= options_.epsilon && (has_shrunk_ || !is_exact)) return Stopped(StopReason::kConverged);
      if (options_.progress && !options_.progress({sweeps_, answer_.error, options_.epsilon})) {
        return Stopped(StopReason::kCancelled);
      }
      // Swept to the end, d is the shift itself, which must stand out of the rounding.
      const double least_shift = 8 * std::max(lower.rounding, upper.rounding);
      const bool is_settled = is_certified && lower.highest <= 2 * shift_ && upper.lowest >= -2 * shift_;
      lost_in_rounding_ = !is_certified && shift_ <= least_shift ? lost_in_rounding_ + 1 : 0;
      if ((is_settled && shift_ <= least_shift) || lost_in_rounding_ > kLostInRounding) {
        return Stopped(StopReason::kPrecisionLimit);
      }
      if (sweeps_ >= options_.max_sweeps) return Stopped(StopReason::kIterationLimit);
      if (is_settled) {
        const double share = is_exact ? 0 : std::clamp(options_.epsilon / answer_.error / 2, 1e-4, 0.5);
        shift_ = std::max(shift_ * share, least_shift);
        is_new_shift = has_shrunk_ = true;
        continue;
      }
      Sweep(below);
      Sweep(above);
    }
  }

 private:
  struct Vector {
    std::vector<double> values;
    double direction;             // of the shift
    std::vector<int32_t> policy;  // of kPolicyIteration: the last one, to go on from
  };
  static constexpr int64_t kSweeps = 8;       // between certificates
  static constexpr int kLostInRounding = 25;  // certificates that the rounding may have spoilt, in a row

  ShiftedQuotient Shifted(const Vector& vector) const { return {q_, sign_ * vector.direction * shift_}; }

  void Keep(const std::vector<double>& lower, const std::vector<double>& upper, std::vector<int32_t> policy) {
    double error = 0;
    for (StateIndex node = 0; node < q_.num_states(); ++node) error = std::max(error, (upper[node] - lower[node]) / 2);
    error = RoundedUp(error);
    if (!(error < answer_.error)) return;
    answer_.error = error;
    answer_.lower = lower;
    answer_.upper = upper;
    answer_.policy = std::move(policy);
  }

  absl::StatusOr<Answer> Stopped(StopReason reason) {
    answer_.stop = reason;
    if (std::isfinite(answer_.error)) return std::move(answer_);
    if (reason == StopReason::kCancelled) {
      return absl::CancelledError("stopped before there were bounds of the total");
    }
    if (reason == StopReason::kPrecisionLimit) {
      return absl::FailedPreconditionError(
          "never ending loses so little that double precision can't bound the total, accepted: loops that lose more");
    }
    return absl::FailedPreconditionError(fmt::format(
        "max_sweeps is {}, accepted: more, as no bounds of the total are found within it", options_.max_sweeps));
  }

  Components Order() const {
    std::vector<int64_t> begin = {0};
    std::vector<StateIndex> next;
    for (StateIndex node = 0; node < q_.num_states(); ++node) {
      for (int32_t a = 0; a < q_.num_actions(node); ++a) {
        q_.VisitSuccessors(node, a, [&](StateIndex to, double) { next.push_back(to); });
      }
      begin.push_back(static_cast<int64_t>(next.size()));
    }
    return FindStronglyConnected(begin, next);
  }

  // What a method does once for a shift, before the sweeps that prove it.
  absl::Status Begin(Vector& vector) {
    if (method_ == Method::kTopological) {
      const ShiftedQuotient shifted = Shifted(vector);
      int64_t swept = 0;
      SweepInOrder(ActionForm<ShiftedQuotient>(shifted, 1, 0, sign_), order_, shift_ / 4, options_, vector.values,
                   swept);
      sweeps_ += swept;
    }
    if (method_ == Method::kPolicyIteration) {
      const ShiftedQuotient shifted = Shifted(vector);
      PolicyIterationOptions policy =
          PolicyOptionsOf(options_, sign_ > 0 ? Objective::kMaximize : Objective::kMinimize);
      policy.initial_policy = vector.policy;
      policy.max_rounds = std::max<int64_t>(1, options_.max_sweeps - sweeps_);
      const ActionForm<ShiftedQuotient> form(shifted, 1, 0, sign_);
      BERTH_ASSIGN_OR_RETURN(SweepResult result, IteratePolicies(form, policy, true));
      sweeps_ += result.sweeps;
      vector.values = std::move(result.values);
      vector.policy = GreedyPolicy(form, vector.values.data());
    }
    return absl::OkStatus();
  }

  void Sweep(Vector& vector) {
    const ShiftedQuotient shifted = Shifted(vector);
    const ActionForm<ShiftedQuotient> form(shifted, 1, 0, sign_);
    const TotalSweep how = TotalSweepOf(method_);
    // Of a policy: one that chooses, then those that evaluate.
    const int64_t choosing = how == TotalSweep::kPolicy ? 1 : 0;
    SweepTotal(form, TotalSweep::kGaussSeidel, 0, choosing, vector.values);
    SweepTotal(form, how, choosing, kSweeps - choosing, vector.values);
    sweeps_ += kSweeps;
  }

  const Quotient& q_;
  const double sign_;
  const Method method_;
  const ModelSolveOptions& options_;
  const ActionForm<Quotient> form_;
  double shift_;
  int64_t sweeps_;
  int lost_in_rounding_ = 0;
  bool has_shrunk_ = false;  // the shift
  Components order_;
  Answer answer_;
};

}  // namespace

absl::StatusOr<ModelSolution> SolveImproperTotal(const SparseMdp& model, Objective objective, Method method,
                                                 const ModelSolveOptions& options,
                                                 const std::vector<bool>& is_absorbing) {
  const StateIndex n = model.num_states();
  const double sign = SignOf(objective);
  std::vector<double> start;
  if (!options.warm_start.empty()) {
    BERTH_ASSIGN_OR_RETURN(start, StartValues(n, options.warm_start, sign));
  }
  const Quotient q = BuildQuotient(model, is_absorbing);
  int64_t sweeps = 0;
  BERTH_ASSIGN_OR_RETURN(double least_loss, LeastLoss(q, objective, options, &sweeps));
  StateIndex stuck = -1;
  std::vector<int32_t> ending_policy = EndingPolicy(q, &stuck);
  if (stuck >= 0) {
    return absl::InvalidArgumentError(
        fmt::format("state {}: no choice of actions from it reaches an absorbing state, or states to stay in for "
                    "nothing, so that the "
                    "total is {}infinite, accepted: models where some choice does",
                    stuck, sign > 0 ? "minus " : ""));
  }
  // Once what earns nothing is one state, every choice may end after all: then any shift will do.
  if (!std::isfinite(least_loss)) {
    least_loss = 0;
    for (const double reward : model.rewards()) least_loss = std::max(least_loss, std::abs(reward));
    if (least_loss == 0) least_loss = 1;
  }
  BERTH_ASSIGN_OR_RETURN(
      const BoundSweeper::Answer answer,
      BoundSweeper(q, objective, method, options, least_loss, sweeps).Run(std::move(ending_policy), start));
  ModelSolution solution;
  solution.stop = answer.stop;
  solution.sweeps = answer.sweeps;
  solution.policy.assign(static_cast<size_t>(n), 0);
  std::vector<bool> is_there(static_cast<size_t>(n), false);  // components don't share states
  for (StateIndex s = 0; s < n; ++s) {
    const StateIndex node = q.node_of_state[s];
    double lower = answer.lower[node], upper = answer.upper[node];
    if (q.num_actions(node) == 0) {
      lower = upper = 0;
    } else if (sign < 0) {
      std::swap(lower, upper);
      lower = -lower;
      upper = -upper;
    }
    const double value = std::clamp(lower + (upper - lower) / 2, lower, upper);
    solution.values.push_back(value);
    solution.lower.push_back(lower);
    solution.upper.push_back(upper);
    solution.error = std::max({solution.error, upper - value, value - lower});
    if (model.is_terminal(s)) solution.policy[s] = -1;
    if (q.first_state[node] != s || q.num_actions(node) == 0) continue;
    // The states of the node: to where it leaves, or around in it.
    const int64_t row = q.row(node, answer.policy[node]);
    const int32_t component = q.idle.of_state[s];
    if (row != kStop) {
      const StateIndex from = q.state_of_row[row];
      if (component >= 0) GoTo(model, q.idle.states[component], from, q.is_idle_row, is_there, solution.policy);
      solution.policy[from] = static_cast<int32_t>(row - model.state_begin()[from]);
      continue;
    }
    for (const StateIndex member : q.idle.states[component]) {
      int64_t idle = model.state_begin()[member];
      while (!q.is_idle_row[idle]) ++idle;
      solution.policy[member] = static_cast<int32_t>(idle - model.state_begin()[member]);
    }
  }
  solution.error = RoundedUp(solution.error);
  return solution;
}

}  // namespace berth::mdp::internal

// A finite Markov decision process: the concept that the solvers ask for, and the stored (sparse) form of it.
//
// In state s one of num_actions(s) actions is chosen; action a earns Reward(s, a) and leads to the successors that
// VisitSuccessors lists. The numbers beside the successors are probabilities (one step; gamma or average per step) or
// rates (continuous time; reward is then a reward rate). A state without actions is terminal: it earns nothing and is
// never left. Only actions that exist are listed, so an infeasible action can never be mistaken for one that earns 0.
#ifndef BERTH_MDP_MODEL_H_
#define BERTH_MDP_MODEL_H_

#include <concepts>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "mdp/event_model.h"

namespace berth::mdp {

namespace internal {
struct SuccessorProbe {
  void operator()(StateIndex next, double weight) const;
};
}  // namespace internal

// Generated and stored models alike. Promises: states 0 .. num_states() - 1, actions 0 .. num_actions(s) - 1, finite
// rewards, weights finite and >= 0, the same answers every time. For probabilities, what a row lacks to one counts as
// staying. Callable from one thread at a time; a solver keeps a reference only while it runs.
template <class M>
concept ActionModel = requires(const M& model, StateIndex s, int32_t action, internal::SuccessorProbe visit) {
  { model.num_states() } -> std::convertible_to<StateIndex>;
  { model.num_actions(s) } -> std::convertible_to<int32_t>;
  { model.Reward(s, action) } -> std::convertible_to<double>;
  model.VisitSuccessors(s, action, visit);
};

struct Transition {
  StateIndex next = 0;
  double weight = 0;  // a probability or a rate, as the model's RowKind says
  friend bool operator==(const Transition&, const Transition&) = default;
};

enum class RowKind {
  kProbability,  // weights of a row sum to one
  kRate,         // weights are rates per time unit, Reward is a reward rate; weights to the state itself are ignored
};

// The stored form: compressed rows, one a (state, action) pair, ordered by state and then by the caller's action
// number. Immutable; any number of threads may read it. Memory: 12 bytes a transition, 20 a row, 8 a state.
class SparseMdp {
 public:
  StateIndex num_states() const { return static_cast<StateIndex>(state_begin_.size()) - 1; }
  int64_t num_rows() const { return static_cast<int64_t>(reward_.size()); }
  int64_t num_transitions() const { return static_cast<int64_t>(next_.size()); }
  RowKind kind() const { return kind_; }

  int32_t num_actions(StateIndex s) const { return static_cast<int32_t>(state_begin_[s + 1] - state_begin_[s]); }
  bool is_terminal(StateIndex s) const { return num_actions(s) == 0; }
  double Reward(StateIndex s, int32_t action) const { return reward_[state_begin_[s] + action]; }
  // The number under which the caller added the action; strictly increasing within a state.
  int32_t ActionNumber(StateIndex s, int32_t action) const { return action_number_[state_begin_[s] + action]; }

  template <class Visit>
  void VisitSuccessors(StateIndex s, int32_t action, Visit&& visit) const {
    const int64_t row = state_begin_[s] + action;
    for (int64_t i = row_begin_[row]; i < row_begin_[row + 1]; ++i) visit(next_[i], weight_[i]);
  }

  // The arrays themselves, for code that reads all of them: rows of state s are [state_begin()[s], state_begin()[s +
  // 1]), transitions of row i are [row_begin()[i], row_begin()[i + 1]).
  std::span<const int64_t> state_begin() const { return state_begin_; }
  std::span<const int64_t> row_begin() const { return row_begin_; }
  std::span<const double> rewards() const { return reward_; }
  std::span<const StateIndex> successors() const { return next_; }
  std::span<const double> weights() const { return weight_; }

 private:
  friend class SparseMdpBuilder;
  SparseMdp() = default;

  RowKind kind_ = RowKind::kProbability;
  std::vector<int64_t> state_begin_;  // [num_states + 1] first row of a state
  std::vector<int64_t> row_begin_;    // [num_rows + 1] first transition of a row
  std::vector<double> reward_;        // [num_rows]
  std::vector<int32_t> action_number_;
  std::vector<StateIndex> next_;  // [num_transitions]
  std::vector<double> weight_;
};

// Collects rows in any order and checks every one. Errors are INVALID_ARGUMENT and name state, action, row (counted
// from 0 in the order of the Add calls), the value and what is accepted; a refused row leaves the builder as it was.
// Not thread-safe. Cost: O(1) a transition, and one sort of the rows by state at Build.
class SparseMdpBuilder {
 public:
  // How far the probabilities of a row may be from one. A row within it is scaled to sum to one; the solvers'
  // certificates are about the scaled model.
  static constexpr double kRowSumTolerance = 1e-9;

  // `num_states` is checked at Build; 9 bytes a state are taken at once, so a number from a file wants a limit before.
  explicit SparseMdpBuilder(StateIndex num_states, RowKind kind = RowKind::kProbability);

  // `action` is the caller's own number >= 0; numbers may have gaps (actions that don't exist in this state). Checked:
  // state, action and successors within range; reward finite; weights finite and >= 0; no successor twice; for
  // probabilities a sum of one. Transitions of weight 0 are checked and dropped. A row of rates may be empty: the state
  // is then never left.
  absl::Status AddAction(StateIndex s, int32_t action, double reward, std::span<const Transition> transitions);
  absl::Status AddAction(StateIndex s, int32_t action, double reward, std::initializer_list<Transition> transitions) {
    return AddAction(s, action, reward, std::span<const Transition>(transitions.begin(), transitions.size()));
  }

  // A semi-Markov action, for a model of rates: the stay lasts `mean_time` > 0 on average, then the state changes by
  // probabilities; `reward` is earned a stay. Stored as the rates probability / mean_time and the reward rate reward /
  // mean_time, which have the same long-run average (Tijms, A First Course in Stochastic Models, 2003, section 7.1).
  absl::Status AddSemiMarkovAction(StateIndex s, int32_t action, double reward, double mean_time,
                                   std::span<const Transition> transitions);

  // Says that s has no actions on purpose. Errors: out of range.
  absl::Status DeclareTerminal(StateIndex s);

  // Errors: fewer than one state; a state that has neither an action nor the declaration, or both; the same (state,
  // action) twice. Consumes the builder.
  absl::StatusOr<SparseMdp> Build() &&;

 private:
  struct Row {
    StateIndex state;
    int32_t action;
    double reward;
    int64_t begin;
    int64_t end;
  };

  absl::Status CheckAndAppend(StateIndex s, int32_t action, double reward, std::span<const Transition> transitions,
                              bool is_distribution, double time);

  StateIndex num_states_;
  RowKind kind_;
  std::vector<Row> rows_;
  std::vector<Transition> transitions_;
  std::vector<bool> is_terminal_;
  std::vector<int64_t> seen_in_row_;  // the last row that had this successor, for finding duplicates
};

// The discrete-time model that a model of rates becomes when looked at by a Poisson clock of rate `clock_rate`:
// probabilities weight / clock_rate with the rest staying, rewards / clock_rate a step. A gain per step times
// clock_rate is a gain per time unit. The solvers don't need it (they work on rates directly); it is for other tools
// and for tests. Errors: INVALID_ARGUMENT if the model is not of rates, or clock_rate is not finite or below the
// largest total rate of a row (named with its state and action).
absl::StatusOr<SparseMdp> Uniformise(const SparseMdp& rates, double clock_rate);

static_assert(ActionModel<SparseMdp>);

}  // namespace berth::mdp

#endif  // BERTH_MDP_MODEL_H_

// A decision process in continuous time, given by its events: nothing is stored, the model is walked.
//
// In state s the process earns at a reward rate c(s); event e comes at rate q_e and offers options, each with a lump
// reward and the next state. The optimality equation that every solver of this folder works on is
//   R(s) := c(s) + sum_e q_e * max_options [ reward + h(next) - h(s) ],     0 = R(s) - g          (average reward)
//                                                                          0 = R(s) - alpha h(s)  (discounted at rate
//                                                                          alpha)
// Every event has its own maximum: two accept-or-refuse streams are two events, not four joint actions, so a state with
// K streams costs O(K) and not O(2^K). Start at value_iteration.h for solving.
//
// Units are the caller's: rates per time unit, g in reward per the same time unit.
#ifndef BERTH_MDP_EVENT_MODEL_H_
#define BERTH_MDP_EVENT_MODEL_H_

#include <cmath>
#include <concepts>
#include <cstdint>
#include <limits>
#include <string>
#include <type_traits>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace berth::mdp {

// States are numbered 0 .. num_states() - 1.
using StateIndex = int32_t;

namespace internal {

// What a visitor looks like, for the concept below.
struct EventProbe {
  void Earn(double reward_rate);
  void Jump(double rate, double reward, StateIndex next);
  template <class Options>
  void Decide(double rate, Options&& options);
};

}  // namespace internal

// A model is any class with num_states() and a member template
//
//   template <class Visitor> void VisitState(StateIndex s, Visitor& visit) const {
//     visit.Earn(reward_rate);                        // any number of times; they add up
//     visit.Jump(rate, reward, next);                 // an event without a choice
//     visit.Decide(rate, [&](auto&& offer) {          // an event with a choice: at least one offer
//       offer(0.0, s);                                // option 0: stay (refuse)
//       offer(reward - price, after);                 // option 1: move (accept)
//     });
//   }
//
// Promises of the model: the same calls in the same order every time; rates finite and >= 0; rewards finite; next
// within [0, num_states()). An event of rate 0 is allowed and does nothing. Ties go to the option that is offered
// first, so put the preferred one (say "refuse") first. Events that cannot change the state need not be visited.
// VisitState is the inner loop of every sweep: keep it inline and without allocation; it may be called from one thread
// only at a time.
//
// Speed: number the states so that most events of large rate lead to states of smaller index, or to larger (a
// Gauss–Seidel sweep passes values along its own direction; sweeps run in both directions in turn).
template <class M>
concept EventModel = requires(const M& model, StateIndex s, internal::EventProbe& probe) {
  { model.num_states() } -> std::convertible_to<StateIndex>;
  model.VisitState(s, probe);
};

// R(s) of one state, without the discount term.
struct Backup {
  double residual = 0;   // R(s), reward per time unit
  double exit_rate = 0;  // sum of the rates of the events that some option of which leaves s
};

namespace internal {

struct BackupVisitor {
  const double* h;
  StateIndex self;
  double here;
  double residual = 0;
  double exit_rate = 0;

  BackupVisitor(const double* values, StateIndex s) : h(values), self(s), here(values[s]) {}

  void Earn(double reward_rate) { residual += reward_rate; }
  void Jump(double rate, double reward, StateIndex next) {
    residual += rate * (reward + (h[next] - here));
    exit_rate += next == self ? 0 : rate;
  }
  template <class Options>
  void Decide(double rate, Options&& options) {
    double best = -std::numeric_limits<double>::infinity();
    bool can_leave = false;
    options([&](double reward, StateIndex next) {
      const double value = reward + (h[next] - here);
      best = value > best ? value : best;
      can_leave = can_leave || next != self;
    });
    residual += rate * best;
    exit_rate += can_leave ? rate : 0;
  }
};

// The same sum with a bound of its rounding error. Counted: one rounding for each subtraction, addition and product,
// for each partial sum, and one for every number of the model (a rate of 1/3 or a reward less a price is itself a
// rounded number).
struct CheckedBackupVisitor {
  const double* h;
  double here;
  double residual = 0;
  double magnitude = 0;
  int terms = 0;

  CheckedBackupVisitor(const double* values, StateIndex s) : h(values), here(values[s]) {}

  void Earn(double reward_rate) { Add(reward_rate, std::abs(reward_rate)); }
  void Jump(double rate, double reward, StateIndex next) {
    const double change = h[next] - here;
    Add(rate * (reward + change), rate * (std::abs(reward) + std::abs(change)));
  }
  template <class Options>
  void Decide(double rate, Options&& options) {
    double best = -std::numeric_limits<double>::infinity();
    double largest = 0;
    options([&](double reward, StateIndex next) {
      const double change = h[next] - here;
      const double value = reward + change;
      best = value > best ? value : best;
      const double size = std::abs(reward) + std::abs(change);
      largest = size > largest ? size : largest;
    });
    Add(rate * best, rate * largest);
  }
  // A bound of |residual - exact value|; twice the first-order count, so that higher orders are covered too.
  double error() const { return (terms + 8) * std::numeric_limits<double>::epsilon() * magnitude; }

 private:
  void Add(double term, double size) {
    residual += term;
    magnitude += size;
    ++terms;
  }
};

struct GreedyChoice {
  double value = -std::numeric_limits<double>::infinity();
  double reward = 0;
  StateIndex next = 0;
  int option = 0;
};

// The best option of one event; the first of equals.
template <class Options>
GreedyChoice ChooseOption(const double* h, StateIndex s, Options&& options) {
  GreedyChoice best;
  int option = 0;
  options([&](double reward, StateIndex next) {
    const double value = reward + (h[next] - h[s]);
    if (value > best.value) best = {value, reward, next, option};
    ++option;
  });
  return best;
}

template <class Visit>
struct GreedyOptionVisitor {
  const double* h;
  StateIndex self;
  Visit& visit;
  int event = 0;

  void Earn(double) {}
  void Jump(double, double, StateIndex) {}
  template <class Options>
  void Decide(double, Options&& options) {
    visit(event++, ChooseOption(h, self, options).option);
  }
};

template <class JumpFn>
struct GreedyJumpVisitor {
  const double* h;
  StateIndex self;
  JumpFn& jump;
  double reward_rate = 0;

  void Earn(double rate) { reward_rate += rate; }
  void Jump(double rate, double reward, StateIndex next) {
    reward_rate += rate * reward;
    if (next != self && rate > 0) jump(next, rate);
  }
  template <class Options>
  void Decide(double rate, Options&& options) {
    const GreedyChoice best = ChooseOption(h, self, options);
    Jump(rate, best.reward, best.next);
  }
};

// Finds the first promise of EventModel that a state breaks.
struct ValidatingVisitor {
  StateIndex num_states;
  StateIndex state;
  int event = 0;
  absl::Status status;

  void Earn(double reward_rate) {
    if (!std::isfinite(reward_rate)) Fail("reward rate", reward_rate, "a finite number");
  }
  void Jump(double rate, double reward, StateIndex next) {
    CheckRate(rate);
    CheckOption(reward, next);
    ++event;
  }
  template <class Options>
  void Decide(double rate, Options&& options) {
    CheckRate(rate);
    int offers = 0;
    options([&](double reward, StateIndex next) {
      CheckOption(reward, next);
      ++offers;
    });
    if (offers == 0) Fail("number of options", 0, "at least 1");
    ++event;
  }

 private:
  void CheckRate(double rate) {
    if (!(rate >= 0) || !std::isfinite(rate)) Fail("rate", rate, "a finite number >= 0");
  }
  void CheckOption(double reward, StateIndex next) {
    if (!std::isfinite(reward)) Fail("reward", reward, "a finite number");
    if (next < 0 || next >= num_states) Fail("next state", next, absl::StrCat("0 to ", num_states - 1));
  }
  void Fail(const char* field, double value, const std::string& accepted) {
    if (!status.ok()) return;
    status = absl::InvalidArgumentError(
        absl::StrCat("state ", state, ", event ", event, ": ", field, " is ", value, ", accepted: ", accepted));
  }
};

}  // namespace internal

// R(s) for the values h (num_states() numbers). Cost: one walk over the events of s.
template <EventModel M>
Backup EvaluateBackup(const M& model, StateIndex s, const double* h) {
  internal::BackupVisitor visitor(h, s);
  model.VisitState(s, visitor);
  return {visitor.residual, visitor.exit_rate};
}

// Walks the whole model once. Errors: INVALID_ARGUMENT that names the first state and event (counted from 0 in the
// order of the calls) which breaks a promise, with value and accepted range.
template <EventModel M>
absl::Status ValidateEventModel(const M& model) {
  const StateIndex n = model.num_states();
  if (n < 1) {
    return absl::InvalidArgumentError(absl::StrCat("number of states is ", n, ", accepted: 1 to 2147483647"));
  }
  for (StateIndex s = 0; s < n; ++s) {
    internal::ValidatingVisitor visitor{n, s, 0, absl::OkStatus()};
    model.VisitState(s, visitor);
    if (!visitor.status.ok()) return visitor.status;
  }
  return absl::OkStatus();
}

// Calls visit(event, option) for every Decide of state s, in order: `event` counts the Decide calls of this state
// alone, `option` is the greedy one for h (the first of equals). This is the policy that h stands for.
template <EventModel M, class Visit>
void VisitGreedyOptions(const M& model, StateIndex s, const double* h, Visit&& visit) {
  internal::GreedyOptionVisitor<std::remove_reference_t<Visit>> visitor{h, s, visit};
  model.VisitState(s, visitor);
}

// The chain that the greedy policy of h makes of state s: calls jump(next, rate) for every event that leaves s, and
// returns the reward rate c(s) + sum of rate * lump reward. Used for policy evaluation and for stationary
// distributions.
template <EventModel M, class JumpFn>
double VisitGreedyJumps(const M& model, StateIndex s, const double* h, JumpFn&& jump) {
  internal::GreedyJumpVisitor<std::remove_reference_t<JumpFn>> visitor{h, s, jump};
  model.VisitState(s, visitor);
  return visitor.reward_rate;
}

}  // namespace berth::mdp

#endif  // BERTH_MDP_EVENT_MODEL_H_

// Any stored model, any criterion, any method: one call. Start here if the model comes from a file or may be of any
// kind; value_iteration.h for models that generate their rows.
//
//   BERTH_ASSIGN_OR_RETURN(ModelSolution solution, SolveModel(mdp, {.kind = CriterionKind::kDiscounted,
//                                                                   .one_minus_gamma = 0.01}, Method::kAuto, {}));
//
// Every method ends with the same kind of answer: a value, a lower and an upper bound for each state that hold whatever
// the stop reason (value_iteration.h says why), a policy, and all actions that may still be optimal within the bounds.
// Equal input gives equal output bit for bit, whatever the number of threads.
#ifndef BERTH_MDP_SOLVE_H_
#define BERTH_MDP_SOLVE_H_

#include <cstdint>
#include <functional>
#include <limits>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "mdp/criterion.h"
#include "mdp/model.h"
#include "mdp/solve_options.h"

namespace berth::mdp {

enum class Method {
  kAuto,                     // picked by size and criterion; goes over to policy iteration where sweeps don't get on
  kValueIteration,           // all states from the old values; actions that can't be optimal are dropped
  kGaussSeidel,              // in place, forwards and backwards in turn
  kAnderson,                 // the same with Anderson mixing, guarded by the certificate
  kModifiedPolicyIteration,  // greedy sweeps, and between them sweeps of the policy alone
  kPolicyIteration,          // exact evaluation: sparse LU, BiCGStab for many states
  kTopological,              // strongly connected components one by one, successors first
  kBackwardInduction,        // a number of steps
};
inline constexpr Method kAllMethods[] = {
    Method::kValueIteration,  Method::kGaussSeidel, Method::kAnderson,          Method::kModifiedPolicyIteration,
    Method::kPolicyIteration, Method::kTopological, Method::kBackwardInduction,
};

// "auto", "value-iteration", "gauss-seidel", "anderson", "modified-policy-iteration", "policy-iteration",
// "topological", "backward-induction".
const char* MethodName(Method method);
std::optional<Method> ParseMethod(std::string_view name);

struct ModelSolveOptions {
  double epsilon = 1e-6;           // wanted certified error of every value, finite and >= 0
  int64_t max_sweeps = 1'000'000;  // >= 1; of policy iteration: evaluations
  double time_limit_s = std::numeric_limits<double>::infinity();
  int64_t max_memory_bytes = std::numeric_limits<int64_t>::max();  // beside the model
  int threads = 1;                                                 // 1 to 256; value and modified policy iteration
  Storage storage = Storage::kCompressed;                          // the same two
  bool starts_in_single_precision = false;                         // the same two
  bool lists_optimal_actions = true;                               // costs one more sweep
  std::span<const double> warm_start = {};                         // empty, or [num_states]
  // Called now and then from the solving thread; false stops with what there is.
  std::function<bool(const Progress&)> progress = {};
};

struct ModelSolution {
  Method method = Method::kAuto;  // that was used
  // [num_states], in the caller's sign; of the average criterion the gain from each state.
  std::vector<double> values, lower, upper;
  double error = 0;             // max over s of max(upper - values, values - lower)
  std::vector<int32_t> policy;  // [num_states] action index, its value lies within the bounds; -1: terminal
  // What optimal() is made of; [num_states + 1] and actions, or both empty where they were not wanted.
  std::vector<int64_t> optimal_begin;
  std::vector<int32_t> optimal_actions;
  // Smallest loss, over the states that have one, of taking the best action that is not listed: how far the policy is
  // from changing. Infinite where all are listed; NaN where none were wanted.
  double action_gap = std::numeric_limits<double>::infinity();
  StopReason stop = StopReason::kIterationLimit;
  int64_t sweeps = 0;
  // Of the average criterion: number of end components; 1 where all states gain the same.
  int64_t end_components = 0;

  // Ascending: every optimal action of state `s` is among them; with a small error, no other. For the average
  // criterion: those that fit the relative values found. Empty where they were not wanted.
  std::span<const int32_t> optimal(StateIndex s) const {
    if (optimal_begin.empty()) return {};
    const auto begin = static_cast<size_t>(optimal_begin[s]), end = static_cast<size_t>(optimal_begin[s + 1]);
    return std::span(optimal_actions).subspan(begin, end - begin);
  }
};

// FAILED_PRECONDITION with the reason where `method` is not made for this model and criterion.
absl::Status MethodApplies(const SparseMdp& model, const Criterion& criterion, Method method);

// `is_absorbing`: of the total criterion, empty or [num_states]: where a sum of rewards ends, whatever the actions say.
// States that do nothing but stay, for nothing, end it too. A choice that never ends is worth what it earns for ever: 0
// where that is nothing, minus infinity where it loses (improper_total.h).
// Errors: INVALID_ARGUMENT (criterion, options; a total reward that is infinite, or that no choice keeps finite, or that
// double precision can't tell from that, named by state);
// FAILED_PRECONDITION as MethodApplies; RESOURCE_EXHAUSTED if max_memory_bytes does not do; OUT_OF_RANGE on overflow.
// Of the total criterion also FAILED_PRECONDITION, DEADLINE_EXCEEDED and CANCELLED, where a limit comes before the
// number of steps, or the total itself, is bounded: without that nothing can be said of the values.
absl::StatusOr<ModelSolution> SolveModel(const SparseMdp& model, const Criterion& criterion, Method method,
                                         const ModelSolveOptions& options = {},
                                         const std::vector<bool>& is_absorbing = {});

}  // namespace berth::mdp

#endif  // BERTH_MDP_SOLVE_H_

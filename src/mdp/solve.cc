#include "mdp/solve.h"

#include <cmath>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/clock.h"
#include "base/status.h"
#include "fmt/format.h"
#include "mdp/components.h"
#include "mdp/finite_horizon.h"
#include "mdp/modified_policy_iteration.h"
#include "mdp/policy_iteration.h"
#include "mdp/solve_parts.h"
#include "mdp/total_reward.h"
#include "mdp/value_iteration.h"

namespace berth::mdp {
namespace internal {

SolveOptions SweepOptionsOf(const ModelSolveOptions& options, Objective objective, Method method) {
  SolveOptions sweep;
  sweep.tolerance = options.epsilon;
  sweep.max_sweeps = options.max_sweeps;
  sweep.method = method == Method::kValueIteration ? SweepMethod::kJacobi : SweepMethod::kGaussSeidel;
  sweep.anderson_depth = method == Method::kAnderson ? sweep.anderson_depth : 0;
  sweep.objective = objective;
  sweep.progress = options.progress;
  return sweep;
}

StoredSolveOptions StoredOptionsOf(const ModelSolveOptions& options, Objective objective, Method method) {
  StoredSolveOptions stored;
  stored.solve = SweepOptionsOf(options, objective, method);
  stored.evaluates_policies = method != Method::kValueIteration;
  stored.starts_in_single_precision = options.starts_in_single_precision;
  stored.storage = options.storage;
  stored.threads = options.threads;
  return stored;
}

PolicyIterationOptions PolicyOptionsOf(const ModelSolveOptions& options, Objective objective) {
  PolicyIterationOptions policy;
  policy.max_rounds = options.max_sweeps;
  policy.objective = objective;
  policy.progress = options.progress;
  return policy;
}

}  // namespace internal

namespace {

absl::StatusOr<DiscountedSolution> SolveDiscountedBy(const SparseMdp& model, const Criterion& criterion, Method method,
                                                     const ModelSolveOptions& options) {
  const double alpha = criterion.one_minus_gamma;
  const bool is_rate = model.kind() == RowKind::kRate;
  switch (method) {
    case Method::kValueIteration:
    case Method::kModifiedPolicyIteration:
      if (!is_rate) {
        return SolveDiscountedStored(model, alpha, internal::StoredOptionsOf(options, criterion.objective, method),
                                     options.warm_start);
      }
      break;
    case Method::kPolicyIteration: {
      const auto policy = internal::PolicyOptionsOf(options, criterion.objective);
      return is_rate ? IteratePoliciesDiscountedRate(model, alpha, policy)
                     : IteratePoliciesDiscounted(model, alpha, policy);
    }
    default:
      break;
  }
  const SolveOptions sweep = internal::SweepOptionsOf(options, criterion.objective, method);
  return is_rate ? SolveDiscountedRate(model, alpha, sweep, options.warm_start)
                 : SolveDiscounted(model, alpha, sweep, options.warm_start);
}

// gamma + gamma^2 + ... + gamma^steps.
double SumOfDiscounts(double one_minus_gamma, int64_t steps) {
  const auto n = static_cast<double>(steps);
  if (one_minus_gamma == 0 || steps == 0) return n;
  return (1 - one_minus_gamma) * -std::expm1(n * std::log1p(-one_minus_gamma)) / one_minus_gamma;
}

// A limit may leave steps undone. Each changes a value by gamma times what lies between the least and the largest
// change of the step before, so that bounds remain.
absl::StatusOr<ModelSolution> SolveFiniteModel(const SparseMdp& model, const Criterion& criterion,
                                               const ModelSolveOptions& options) {
  FiniteHorizonOptions finite;
  finite.one_minus_gamma = criterion.one_minus_gamma;
  finite.final_values = options.warm_start;
  finite.keeps_policy = false;
  finite.objective = criterion.objective;
  ModelSolution solution;
  solution.stop = StopReason::kConverged;
  BERTH_ASSIGN_OR_RETURN(FiniteHorizonSolution later, SolveFiniteHorizon(model, 0, finite));
  // All but the last step to be computed, which shows the actions.
  for (; solution.sweeps + 1 < criterion.horizon; ++solution.sweeps) {
    if (solution.sweeps + 1 >= options.max_sweeps) {
      solution.stop = StopReason::kIterationLimit;
      break;
    }
    if (options.progress && !options.progress({solution.sweeps, internal::kInfinity, options.epsilon})) {
      solution.stop = StopReason::kCancelled;
      break;
    }
    finite.final_values = later.values;
    BERTH_ASSIGN_OR_RETURN(FiniteHorizonSolution next, SolveFiniteHorizon(model, 1, finite));
    next.error += later.error;
    later = std::move(next);
  }
  FiniteHorizonSolution first = later;
  if (criterion.horizon > 0) {
    finite.final_values = later.values;
    finite.keeps_policy = true;
    BERTH_ASSIGN_OR_RETURN(first, SolveFiniteHorizon(model, 1, finite));
    ++solution.sweeps;
  } else {
    first.error = 0;
    first.policy.assign(first.values.size(), 0);
    for (StateIndex s = 0; s < model.num_states(); ++s) first.policy[s] = model.is_terminal(s) ? -1 : 0;
  }
  const int64_t undone = criterion.horizon - solution.sweeps;
  double least = 0, largest = 0;
  for (size_t s = 0; s < first.values.size() && undone > 0; ++s) {
    const double change = first.values[s] - later.values[s];
    const double slack = first.error + 2 * internal::kEpsilon * std::abs(change);
    least = s == 0 ? change - slack : std::min(least, change - slack);
    largest = s == 0 ? change + slack : std::max(largest, change + slack);
  }
  // With `steps` more than `values`, which are off by `error`.
  const auto enclose = [&](const std::vector<double>& values, int64_t steps, double error, std::vector<double>& lower,
                           std::vector<double>& upper) {
    const double sum = SumOfDiscounts(criterion.one_minus_gamma, steps);
    const double below = least * sum - 64 * internal::kEpsilon * std::abs(least * sum) - error;
    const double above = largest * sum + 64 * internal::kEpsilon * std::abs(largest * sum) + error;
    lower.clear();
    upper.clear();
    for (size_t s = 0; s < values.size(); ++s) {
      const bool is_known = model.is_terminal(static_cast<StateIndex>(s));
      lower.push_back(is_known ? values[s] : internal::RoundedDown(values[s] + below));
      upper.push_back(is_known ? values[s] : internal::RoundedUp(values[s] + above));
    }
  };
  enclose(first.values, undone, first.error + later.error, solution.lower, solution.upper);
  solution.values = first.values;
  for (size_t s = 0; s < solution.values.size(); ++s) {
    if (undone > 0) solution.values[s] = solution.lower[s] + (solution.upper[s] - solution.lower[s]) / 2;
    solution.error =
        std::max({solution.error, solution.upper[s] - solution.values[s], solution.values[s] - solution.lower[s]});
  }
  solution.error = internal::RoundedUp(solution.error);
  if (!std::isfinite(solution.error)) {
    return absl::OutOfRangeError(
        "the values leave the range of double precision, accepted: rewards that keep them finite");
  }
  solution.policy = std::move(first.policy);
  if (options.lists_optimal_actions) {
    std::vector<double> lower, upper;
    const std::vector<double>& after = undone > 0 ? first.values : later.values;
    enclose(after, std::max<int64_t>(0, undone - 1), later.error + (undone > 0 ? first.error : 0), lower, upper);
    internal::ListOptimal(model, model.kind(), 1 - criterion.one_minus_gamma, internal::SignOf(criterion.objective),
                          after, lower, upper, solution);
  }
  return solution;
}

StateIndex LargestOf(const Components& components) {
  size_t largest = 0;
  for (const auto& states : components.states) largest = std::max(largest, states.size());
  return static_cast<StateIndex>(largest);
}

// `connected`: of kTopological; where it is empty and needed, it is found.
absl::StatusOr<ModelSolution> SolveDiscountedModel(const SparseMdp& model, const Criterion& criterion, Method method,
                                                   const ModelSolveOptions& options, Components connected) {
  const double alpha = criterion.one_minus_gamma;
  const bool is_rate = model.kind() == RowKind::kRate;
  const double sign = internal::SignOf(criterion.objective);
  ModelSolveOptions used = options;
  std::vector<double> start;
  int64_t sweeps_before = 0;
  const bool is_auto = method == Method::kAuto;
  if (is_auto) {
    method = model.num_states() <= internal::kAutoExactStates ? Method::kPolicyIteration
             : is_rate                                        ? Method::kAnderson
                                                              : Method::kModifiedPolicyIteration;
    if (method != Method::kPolicyIteration) used.max_sweeps = std::min(used.max_sweeps, internal::kAutoFirstSweeps);
  }
  const auto sweep_in_order = [&] {
    start.assign(static_cast<size_t>(model.num_states()), 0.0);
    // A step of x leaves at most x / alpha; the certificate says what is really left.
    const internal::ActionForm<SparseMdp> form(model, is_rate ? 1 : 1 - alpha, alpha, sign);
    int64_t swept = 0;
    internal::SweepInOrder(form, connected, 0.1 * options.epsilon * alpha, options, start, swept);
    sweeps_before += swept;
    for (double& v : start) v *= sign;
    used.warm_start = start;
  };
  if (method == Method::kTopological) sweep_in_order();
  BERTH_ASSIGN_OR_RETURN(DiscountedSolution solved, SolveDiscountedBy(model, criterion, method, used));
  const auto is_cut = [&] {
    return is_auto && solved.stop == StopReason::kIterationLimit && used.max_sweeps < options.max_sweeps;
  };
  if (is_cut()) {
    // Not a random graph. One component after the other, if there are many; else on from here.
    sweeps_before = solved.sweeps;
    used.max_sweeps = std::min(options.max_sweeps, internal::kAutoSweeps);
    connected = FindStronglyConnected(model);
    if (LargestOf(connected) <= model.num_states() / 2) {
      method = Method::kTopological;
      sweep_in_order();
    } else {
      start = std::move(solved.values);
      used.warm_start = start;
    }
    BERTH_ASSIGN_OR_RETURN(solved, SolveDiscountedBy(model, criterion, method, used));
  }
  if (is_cut()) {
    auto policy_options = internal::PolicyOptionsOf(options, criterion.objective);
    policy_options.initial_policy = solved.policy;
    auto exact = is_rate ? IteratePoliciesDiscountedRate(model, alpha, policy_options)
                         : IteratePoliciesDiscounted(model, alpha, policy_options);
    if (exact.ok() && exact->error < solved.error) {
      exact->sweeps += solved.sweeps;
      solved = *std::move(exact);
      method = Method::kPolicyIteration;
    }
  }
  ModelSolution solution = internal::FromDiscounted(std::move(solved));
  solution.method = method;
  solution.sweeps += sweeps_before;
  if (options.lists_optimal_actions) {
    internal::ListOptimal(model, model.kind(), is_rate ? 1 : 1 - alpha, sign, solution.values, solution.lower,
                          solution.upper, solution);
  }
  return solution;
}

// Bytes that a solve takes beside the model, as far as they grow with it.
int64_t MemoryOf(const SparseMdp& model, Method method, const ModelSolveOptions& options) {
  const int64_t n = model.num_states();
  const int64_t transitions = model.num_transitions();
  int64_t bytes = n * (3 * 8 + 4);  // the answer
  if (options.lists_optimal_actions) bytes += n * 8 + model.num_rows() * 4;
  const int64_t longest = transitions / std::max<int64_t>(1, model.num_rows()) + 1;
  switch (method) {
    case Method::kAnderson:
      return bytes + n * 8 * (2 * SolveOptions().anderson_depth + 6);
    case Method::kPolicyIteration:
      return bytes + n * longest * (24 + 16 + 16) + n * 8 * 12;
    default:
      break;
  }
  bytes += n * 8 * 4 + n * longest * 12;
  if (options.storage == Storage::kSell8) bytes += transitions * 12 + model.num_rows() * 8;
  if (options.starts_in_single_precision) bytes += transitions * 8 + model.num_rows() * 4;
  return bytes;
}

// MethodApplies; of kTopological `connected` receives the strongly connected components, which are found only once.
absl::Status CheckApplies(const SparseMdp& model, const Criterion& criterion, Method method, Components& connected) {
  const bool is_rate = model.kind() == RowKind::kRate;
  if (is_rate && (criterion.kind == CriterionKind::kTotal || criterion.kind == CriterionKind::kFinite)) {
    return absl::FailedPreconditionError(fmt::format(
        "criterion is {}, accepted for a model of rates: discounted or average", CriterionName(criterion.kind)));
  }
  if (method == Method::kAuto) return absl::OkStatus();
  const bool is_finite = criterion.kind == CriterionKind::kFinite;
  if (is_finite != (method == Method::kBackwardInduction)) {
    return absl::FailedPreconditionError(is_finite ? "a number of steps is solved by backward-induction alone"
                                                   : "backward-induction is for the criterion finite");
  }
  if (method == Method::kModifiedPolicyIteration && is_rate) {
    return absl::FailedPreconditionError("modified-policy-iteration is for probabilities; the model holds rates");
  }
  if (method == Method::kAnderson && criterion.kind == CriterionKind::kTotal) {
    return absl::FailedPreconditionError("anderson is for the criteria discounted and average");
  }
  if (method == Method::kTopological) {
    if (criterion.kind == CriterionKind::kAverage) {
      return absl::FailedPreconditionError("topological: every method takes end components one by one here");
    }
    connected = FindStronglyConnected(model);
    if (connected.size() == 1) {
      return absl::FailedPreconditionError("topological: the model is one strongly connected component");
    }
  }
  return absl::OkStatus();
}

}  // namespace

const char* MethodName(Method method) {
  switch (method) {
    case Method::kAuto:
      return "auto";
    case Method::kValueIteration:
      return "value-iteration";
    case Method::kGaussSeidel:
      return "gauss-seidel";
    case Method::kAnderson:
      return "anderson";
    case Method::kModifiedPolicyIteration:
      return "modified-policy-iteration";
    case Method::kPolicyIteration:
      return "policy-iteration";
    case Method::kTopological:
      return "topological";
    case Method::kBackwardInduction:
      return "backward-induction";
  }
  return "unknown";
}

std::optional<Method> ParseMethod(std::string_view name) {
  if (name == MethodName(Method::kAuto)) return Method::kAuto;
  for (const Method method : kAllMethods) {
    if (name == MethodName(method)) return method;
  }
  return std::nullopt;
}

absl::Status MethodApplies(const SparseMdp& model, const Criterion& criterion, Method method) {
  Components connected;
  return CheckApplies(model, criterion, method, connected);
}

absl::StatusOr<ModelSolution> SolveModel(const SparseMdp& model, const Criterion& criterion, Method method,
                                         const ModelSolveOptions& options, const std::vector<bool>& is_absorbing) {
  if (!std::isfinite(options.epsilon) || options.epsilon < 0) {
    return absl::InvalidArgumentError(fmt::format("epsilon is {}, accepted: a finite number >= 0", options.epsilon));
  }
  BERTH_RETURN_IF_ERROR(ValidateOptions(internal::SweepOptionsOf(options, criterion.objective, method)));
  if (options.threads < 1 || options.threads > 256) {
    return absl::InvalidArgumentError(fmt::format("threads is {}, accepted: 1 to 256", options.threads));
  }
  if (!(options.time_limit_s > 0)) {
    return absl::InvalidArgumentError(fmt::format("time_limit_s is {}, accepted: above 0", options.time_limit_s));
  }
  if (!is_absorbing.empty() && is_absorbing.size() != static_cast<size_t>(model.num_states())) {
    return absl::InvalidArgumentError(
        fmt::format("number of absorbing flags is {}, accepted: 0 or {}", is_absorbing.size(), model.num_states()));
  }
  Components connected;
  BERTH_RETURN_IF_ERROR(CheckApplies(model, criterion, method, connected));
  const int64_t memory = MemoryOf(model, method, options);
  if (memory > options.max_memory_bytes) {
    return absl::ResourceExhaustedError(fmt::format(
        "max_memory_bytes is {}, accepted for this model and method: at least {}", options.max_memory_bytes, memory));
  }
  ModelSolveOptions limited = options;
  bool is_late = false;
  if (std::isfinite(options.time_limit_s)) {
    const int64_t start_us = Clock::Real().MonotonicMicros();
    limited.progress = [&, start_us](const Progress& progress) {
      is_late = static_cast<double>(Clock::Real().MonotonicMicros() - start_us) / 1e6 > options.time_limit_s;
      return !is_late && (!options.progress || options.progress(progress));
    };
  }
  absl::StatusOr<ModelSolution> solution = absl::UnknownError("");
  switch (criterion.kind) {
    case CriterionKind::kDiscounted:
      solution = SolveDiscountedModel(model, criterion, method, limited, std::move(connected));
      break;
    case CriterionKind::kAverage:
      solution = internal::SolveAverageModel(model, criterion.objective, method, limited);
      break;
    case CriterionKind::kTotal:
      if (method == Method::kAuto) {
        method = model.num_states() <= internal::kAutoExactStates ? Method::kPolicyIteration : Method::kTopological;
      }
      solution = internal::SolveTotalModel(model, criterion, method, limited, is_absorbing, std::move(connected));
      break;
    case CriterionKind::kFinite:
      if (criterion.horizon < 0) {
        return absl::InvalidArgumentError(fmt::format("horizon is {}, accepted: at least 0", criterion.horizon));
      }
      method = Method::kBackwardInduction;
      solution = SolveFiniteModel(model, criterion, limited);
      break;
  }
  if (solution.status().code() == absl::StatusCode::kCancelled && is_late) {
    return absl::DeadlineExceededError(fmt::format(
        "time_limit_s is {}, accepted for this model: more, as there are no bounds yet", options.time_limit_s));
  }
  if (!solution.ok()) return solution.status();
  if (solution->method == Method::kAuto) solution->method = method;
  // Policy iteration ends when no action is better; that is not yet the error that was asked for.
  if (solution->stop == StopReason::kConverged && solution->error > options.epsilon) {
    solution->stop = StopReason::kPrecisionLimit;
  }
  if (solution->error <= options.epsilon) solution->stop = StopReason::kConverged;
  if (solution->stop == StopReason::kCancelled && is_late) solution->stop = StopReason::kTimeLimit;
  if (!options.lists_optimal_actions) solution->action_gap = std::numeric_limits<double>::quiet_NaN();
  return solution;
}

}  // namespace berth::mdp

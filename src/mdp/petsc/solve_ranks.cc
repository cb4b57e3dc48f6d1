#include "mdp/petsc/solve_ranks.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <optional>
#include <utility>

#include "base/clock.h"
#include "base/status.h"
#include "fmt/format.h"
#include "mdp/petsc/model_part.h"
#include "mdp/petsc/policy_equations.h"
#include "mdp/sweep.h"
#include "mdp/value_iteration.h"

namespace berth::mdp {
namespace {

using internal::ActionForm;
using internal::Certificate;
using internal::GhostedValues;
using internal::kInfinity;
using internal::ModelPart;
using internal::PolicyEquations;

// How far the equations of a policy are solved: that of a policy that has just changed only roughly, since it will
// change again. But where the width of the certificate does not shrink, rough values may be why: then well, as exact
// policy iteration comes to an end whatever its certificates do on the way.
constexpr double kNewPolicyShare = 1e-2;
constexpr double kOldPolicyShare = 1e-4;
constexpr double kStalledShare = 1e-10;
// Certificates without progress (3 % of the width) after which rounding is taken for the cause.
constexpr int kStalledAtFloor = 5;

template <class T>
T LargestOverRanks(MPI_Comm ranks, T value, MPI_Datatype type) {
  MPI_Allreduce(MPI_IN_PLACE, &value, 1, type, MPI_MAX, ranks);
  return value;
}

absl::Status Validate(const RankedProblem& problem, const RankedOptions& options) {
  if (!(std::isfinite(options.epsilon) && options.epsilon >= 0)) {
    return InvalidField("epsilon", fmt::format("{}", options.epsilon), "a finite number >= 0");
  }
  if (options.max_rounds < 1) return InvalidField("max rounds", fmt::format("{}", options.max_rounds), "1 or more");
  if (!(options.time_limit_s > 0))
    return InvalidField("time limit", fmt::format("{}", options.time_limit_s), "above 0");
  if (problem.criterion.kind != CriterionKind::kDiscounted) {
    return absl::FailedPreconditionError(
        fmt::format("criterion is {}, accepted: discounted; without a discount the equations of a policy with several "
                    "closed classes "
                    "have no single solution, and only the whole model shows such classes (berth solve)",
                    CriterionName(problem.criterion.kind)));
  }
  const bool is_rate = problem.mdp.kind() == RowKind::kRate;
  return internal::ValidateDiscount(is_rate ? "discount rate" : "1 - gamma", problem.criterion.one_minus_gamma,
                                    is_rate ? kInfinity : 1);
}

// The outer rounds on one rank; every rank comes to the same decisions, as they hang on reduced numbers alone.
class Iteration {
 public:
  Iteration(MPI_Comm ranks, const ModelPart& part, const Criterion& criterion, const RankedOptions& options)
      : ranks_(ranks),
        part_(part),
        options_(options),
        alpha_(criterion.one_minus_gamma),
        scale_(part.whole().kind == RowKind::kRate ? 1 : 1 - alpha_),
        sign_(internal::SignOf(criterion.objective)),
        form_(part, scale_, alpha_, sign_),
        own_(static_cast<size_t>(part.num_states())),
        values_(part),
        residuals_(own_),
        correction_(own_),
        policy_(own_, -1),
        before_(own_, -1) {}

  absl::StatusOr<DiscountedSolution> Run() {
    BERTH_ASSIGN_OR_RETURN(equations_,
                           PolicyEquations::Create(ranks_, part_, policy_, scale_, alpha_, options_.krylov));
    BERTH_RETURN_IF_ERROR(equations_->Create(values_));
    const int64_t begin_us = Clock::Real().MonotonicMicros();
    for (;;) {
      BERTH_RETURN_IF_ERROR(equations_->Update(values_));
      const double elapsed_s = static_cast<double>(Clock::Real().MonotonicMicros() - begin_us) / 1e6;
      const Looked looked = Look(elapsed_s);
      if (!std::isfinite(looked.certificate.error(alpha_))) {
        return absl::OutOfRangeError(
            "the values leave the range of double precision, accepted: rewards that keep them finite");
      }
      Keep(looked.certificate);
      if (options_.on_round) options_.on_round({rounds_, best_.certificate.error(alpha_), krylov_iterations_});
      if (const auto stop = Stop(looked)) {
        best_.stop = *stop;
        best_.sweeps = rounds_;
        return Finish();
      }
      BERTH_RETURN_IF_ERROR(Improve(looked));
      ++rounds_;
    }
  }

  int64_t krylov_iterations() const { return krylov_iterations_; }

 private:
  // What a look at all states from all ranks tells.
  struct Looked {
    Certificate certificate;
    bool has_new_policy = false;
    double elapsed_s = 0;
  };

  Looked Look(double elapsed_s) {
    before_ = policy_;  // not swapped: the equations look at policy_
    const Certificate own = internal::CertifyAndChoose(form_, values_.data(), residuals_.data(), policy_.data());
    std::array<double, 6> largest = {
        -own.lowest, own.highest, own.rounding, own.largest_value, policy_ != before_ ? 1.0 : 0.0, elapsed_s};
    MPI_Allreduce(MPI_IN_PLACE, largest.data(), static_cast<int>(largest.size()), MPI_DOUBLE, MPI_MAX, ranks_);
    return {{-largest[0], largest[1], largest[2], largest[3]}, largest[4] != 0, largest[5]};
  }

  void Keep(const Certificate& certificate) {
    const double error = certificate.error(alpha_);
    if (rounds_ == 0 || error < best_.certificate.error(alpha_)) {
      best_.values.assign(values_.data(), values_.data() + own_);
      best_.certificate = certificate;
      best_policy_ = policy_;
    }
    const bool is_progress = error < 0.97 * reference_error_;
    if (is_progress) reference_error_ = error;
    stalled_ = is_progress ? 0 : stalled_ + 1;
  }

  std::optional<StopReason> Stop(const Looked& looked) const {
    const double error = best_.certificate.error(alpha_);
    if (error <= options_.epsilon) return StopReason::kConverged;
    const double floor = looked.certificate.error_by_rounding(alpha_);
    const bool is_floor_reached = floor > options_.epsilon || stalled_ > kStalledAtFloor;
    if (looked.certificate.error(alpha_) <= 2 * floor && is_floor_reached) return StopReason::kPrecisionLimit;
    if (looked.elapsed_s >= options_.time_limit_s) return StopReason::kTimeLimit;
    if (rounds_ >= options_.max_rounds) return StopReason::kIterationLimit;
    return std::nullopt;
  }

  absl::Status Improve(const Looked& looked) {
    const bool has_terminal = part_.whole().has_terminal;
    const double level = has_terminal ? 0 : looked.certificate.midpoint();
    for (size_t s = 0; s < own_; ++s) {
      if (policy_[s] >= 0) residuals_[s] -= level;
    }
    const double share = stalled_ > 0 ? kStalledShare : looked.has_new_policy ? kNewPolicyShare : kOldPolicyShare;
    // The largest part is at most the 2-norm, so this is enough for the certificate.
    const double enough = 0.25 * options_.epsilon * alpha_;
    BERTH_ASSIGN_OR_RETURN(const PolicyEquations::Solved solved,
                           equations_->Solve(residuals_, share, enough, correction_));
    krylov_iterations_ += solved.iterations;
    // Equations that get nowhere give way to a step of value iteration, which always gets on.
    const bool is_solved = solved.is_useful;
    double* const v = values_.data();
    const double step = is_solved ? 1 : 1 / (equations_->largest_rate() + alpha_);
    const std::vector<double>& direction = is_solved ? correction_ : residuals_;
    for (size_t s = 0; s < own_; ++s) {
      if (policy_[s] >= 0) v[s] += step * direction[s];
    }
    if (!has_terminal) MoveToZero();
    return absl::OkStatus();
  }

  // Only differences count; kept small they are exact.
  void MoveToZero() {
    double* const v = values_.data();
    double first = own_ > 0 && part_.first_state() == 0 ? v[0] : 0;
    MPI_Bcast(&first, 1, MPI_DOUBLE, part_.owner_of_first(), ranks_);
    for (size_t s = 0; s < own_; ++s) v[s] -= first;
  }

  DiscountedSolution Finish() {
    DiscountedSolution solution =
        internal::FinishDiscounted(form_, std::move(best_), sign_, false, std::move(best_policy_));
    solution.error = LargestOverRanks(ranks_, solution.error, MPI_DOUBLE);
    return solution;
  }

  const MPI_Comm ranks_;
  const ModelPart& part_;
  const RankedOptions& options_;
  const double alpha_;
  const double scale_;
  const double sign_;
  const ActionForm<ModelPart> form_;
  const size_t own_;
  GhostedValues values_;
  std::vector<double> residuals_, correction_;
  std::vector<int32_t> policy_, before_;
  std::unique_ptr<PolicyEquations> equations_;
  internal::SweepResult best_;
  std::vector<int32_t> best_policy_;
  double reference_error_ = kInfinity;
  int stalled_ = 0;
  int64_t rounds_ = 0;
  int64_t krylov_iterations_ = 0;
};

// The pieces of all ranks, in order, on rank 0; empty elsewhere.
template <class T>
std::vector<T> Gather(MPI_Comm ranks, MPI_Datatype type, const std::vector<T>& piece, StateIndex total) {
  int rank = 0, size = 1;
  MPI_Comm_rank(ranks, &rank);
  MPI_Comm_size(ranks, &size);
  const int count = static_cast<int>(piece.size());
  std::vector<int> counts(static_cast<size_t>(size)), begins(static_cast<size_t>(size));
  MPI_Gather(&count, 1, MPI_INT, counts.data(), 1, MPI_INT, 0, ranks);
  for (size_t r = 1; r < counts.size(); ++r) begins[r] = begins[r - 1] + counts[r - 1];
  std::vector<T> all(rank == 0 ? static_cast<size_t>(total) : 0);
  MPI_Gatherv(piece.data(), count, type, all.data(), counts.data(), begins.data(), type, 0, ranks);
  return all;
}

}  // namespace

absl::StatusOr<RankedSolution> SolveOverRanks(const RankSession& session,
                                              const std::function<absl::StatusOr<RankedProblem>()>& read,
                                              const RankedOptions& options) {
  const MPI_Comm ranks = PETSC_COMM_WORLD;
  std::optional<RankedProblem> problem;
  absl::Status status;
  if (session.rank() == 0) {
    auto made = read();
    status = made.ok() ? Validate(*made, options) : made.status();
    if (status.ok()) problem = *std::move(made);
  }
  BERTH_RETURN_IF_ERROR(internal::ShareStatus(ranks, status));
  RankedSolution result;
  if (problem) result.criterion = problem->criterion;
  MPI_Bcast(&result.criterion, sizeof result.criterion, MPI_BYTE, 0, ranks);
  const ModelPart part = ModelPart::Scatter(ranks, problem ? &problem->mdp : nullptr);
  problem.reset();

  Iteration iteration(ranks, part, result.criterion, options);
  BERTH_ASSIGN_OR_RETURN(DiscountedSolution own, iteration.Run());
  for (StateIndex s = 0; s < part.num_states(); ++s) {
    if (own.policy[s] >= 0) own.policy[s] = part.ActionNumber(s, own.policy[s]);
  }
  const internal::WholeModel& whole = part.whole();
  if (options.gathers_values) {
    result.values = Gather(ranks, MPI_DOUBLE, own.values, whole.num_states);
    result.lower = Gather(ranks, MPI_DOUBLE, own.lower, whole.num_states);
    result.upper = Gather(ranks, MPI_DOUBLE, own.upper, whole.num_states);
    result.policy = Gather(ranks, MPI_INT32_T, own.policy, whole.num_states);
  }
  result.error = own.error;
  result.stop = own.stop;
  result.rounds = own.sweeps;
  result.krylov_iterations = iteration.krylov_iterations();
  result.num_states = whole.num_states;
  result.num_rows = whole.num_rows;
  result.num_transitions = whole.num_transitions;
  result.largest_part_bytes = LargestOverRanks(ranks, part.bytes(), MPI_INT64_T);
  return result;
}

}  // namespace berth::mdp

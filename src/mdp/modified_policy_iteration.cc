#include "mdp/modified_policy_iteration.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <utility>
#include <vector>

#include "base/status.h"
#include "fmt/format.h"
#include "mdp/stored_sweep.h"
#include "mdp/sweep.h"

namespace berth::mdp {
namespace internal {
namespace {

// Sweeps of a policy end when their span is this part of the greedy one: smaller wastes sweeps on a policy that is
// about to change, larger wastes greedy sweeps, which cost as many times more as there are actions.
constexpr double kInnerShare = 0.03;
constexpr int64_t kMaxInner = 400;  // at first
// A span that shrinks by less than this in kTrialSweeps is taken for a period and damped.
constexpr double kStalledShare = 0.9;
constexpr int kTrialSweeps = 12;
constexpr double kDamping = 0.9;
// Certificates without progress (3 % of the width) after which rounding is taken for the cause.
constexpr int kStalledAtFloor = 5;
// Value iteration tries to drop actions each time that its width is this much smaller.
constexpr double kEliminateEvery = 0.1;

struct StoredResult {
  SweepResult swept;
  std::vector<int32_t> policy;
};

// The iteration in one precision. `h` is the start; on return the values of the best certificate seen.
template <class Real>
class StoredIteration {
 public:
  StoredIteration(StoredSweep<Real>& sweep, double alpha, const StoredSolveOptions& options, std::vector<Real> h)
      : sweep_(sweep),
        alpha_(alpha),
        options_(options),
        h_(std::move(h)),
        q_(h_.size()),
        policy_(h_.size()),
        damping_(alpha > 0 ? 1 : kDamping) {}

  // `floor`: stops where rounding of this precision has no more to give, and says kPrecisionLimit.
  void Run(int64_t sweeps_done) {
    sweeps_ = sweeps_done;
    for (;;) {
      const auto span = sweep_.Greedy(h_.data(), q_.data(), policy_.data(), options_.evaluates_policies);
      ++sweeps_;
      Keep(span);
      if (const auto stop = Stop()) {
        best_.swept.stop = *stop;
        best_.swept.sweeps = sweeps_;
        return;
      }
      const double width = span.highest - span.lowest;
      if (!options_.evaluates_policies) MaybeEliminate(span);
      Advance();
      if (options_.evaluates_policies) Evaluate(std::max(kInnerShare * width, Target()));
      MoveToZero();
    }
  }

  StoredResult Take() { return std::move(best_); }
  bool is_finite() const { return std::isfinite(best_.swept.certificate.error(alpha_)); }

 private:
  // Width of d at which the answer is within the tolerance, but for rounding.
  double Target() const { return options_.solve.tolerance * (alpha_ > 0 ? alpha_ : 1); }

  void Keep(const typename StoredSweep<Real>::Span& span) {
    Certificate c;
    c.rounding = sweep_.Rounding(span.largest);
    c.lowest = span.lowest - c.rounding;
    c.highest = span.highest + c.rounding;
    c.largest_value = span.largest;
    const double error = c.error(alpha_);
    const double before = best_.swept.certificate.error(alpha_);
    stalled_ = error < 0.97 * before ? 0 : stalled_ + 1;
    if (!best_.swept.values.empty() && !(error < before)) return;
    best_.swept.certificate = c;
    best_.swept.values.assign(h_.begin(), h_.end());
    best_.policy = policy_;
  }

  std::optional<StopReason> Stop() const {
    const Certificate& c = best_.swept.certificate;
    const double error = c.error(alpha_);
    if (!std::isfinite(error)) return StopReason::kPrecisionLimit;
    if (error <= options_.solve.tolerance) return StopReason::kConverged;
    if (options_.solve.progress && !options_.solve.progress({sweeps_, error, options_.solve.tolerance})) {
      return StopReason::kCancelled;
    }
    const double floor = c.error_by_rounding(alpha_);
    if (error <= 2 * floor && (floor > options_.solve.tolerance || stalled_ > kStalledAtFloor)) {
      return StopReason::kPrecisionLimit;
    }
    // In single precision the bound is loose by orders; what counts is whether it still moves.
    if (sizeof(Real) == 4 && (error <= 8 * floor || stalled_ > kStalledAtFloor)) return StopReason::kPrecisionLimit;
    if (sweeps_ >= options_.solve.max_sweeps) return StopReason::kIterationLimit;
    return std::nullopt;
  }

  // h becomes q, or a part of the way there.
  void Advance() {
    if (damping_ == 1) {
      h_.swap(q_);
      return;
    }
    const auto step = static_cast<Real>(damping_);
    for (size_t s = 0; s < h_.size(); ++s) h_[s] += step * (q_[s] - h_[s]);
  }

  void Evaluate(double until) {
    double first = 0;
    // A policy with several closed classes has a gain for each, and its sweeps never come to an end.
    if (stalled_ > 1) max_inner_ /= 4;
    for (int64_t i = 0; i < max_inner_ && sweeps_ < options_.solve.max_sweeps; ++i) {
      const auto span = sweep_.Evaluate(h_.data(), q_.data());
      ++sweeps_;
      Advance();
      const double width = span.highest - span.lowest;
      if (!(width > until)) return;
      if (i == 0) first = width;
      if (i == kTrialSweeps && width > kStalledShare * first) damping_ = kDamping;
    }
  }

  // Without terminal states only differences of h count; kept small they are exact.
  void MoveToZero() {
    if (sweep_.has_terminal() || h_.empty()) return;
    const Real first = h_[0];
    for (Real& v : h_) v -= first;
  }

  void MaybeEliminate(const typename StoredSweep<Real>::Span& span) {
    if (alpha_ == 0) return;  // what is bad for one h may be best for another: not for good without discount
    const double rounding = sweep_.Rounding(span.largest);
    const double width = span.highest - span.lowest + 2 * rounding;
    if (next_elimination_ < 0) next_elimination_ = kEliminateEvery * width;
    if (!(width < next_elimination_)) return;
    next_elimination_ = kEliminateEvery * width;
    // V* - h lies within [lowest, highest] / alpha in every state.
    const int64_t rows =
        sweep_.Eliminate(h_.data(), (1 - alpha_) * width / alpha_ * (1 + 16 * kEpsilon) + 4 * rounding);
    if (rows == static_cast<int64_t>(h_.size())) next_elimination_ = 0;  // one action each: nothing more to drop
  }

  StoredSweep<Real>& sweep_;
  const double alpha_;
  const StoredSolveOptions& options_;
  std::vector<Real> h_, q_;
  std::vector<int32_t> policy_;
  StoredResult best_;
  double damping_;
  double next_elimination_ = -1;  // width of d at which actions are dropped next; negative before the first sweep
  int64_t max_inner_ = kMaxInner;
  int64_t sweeps_ = 0;
  int stalled_ = 0;
};

absl::Status Validate(const SparseMdp& model, const StoredSolveOptions& options) {
  BERTH_RETURN_IF_ERROR(ValidateOptions(options.solve));
  if (options.threads < 1 || options.threads > 256) {
    return absl::InvalidArgumentError(fmt::format("threads is {}, accepted: 1 to 256", options.threads));
  }
  return ValidateActionModel(model, RowKind::kProbability);
}

absl::StatusOr<StoredResult> Iterate(const SparseMdp& model, double alpha, double sign,
                                     const StoredSolveOptions& options, std::span<const double> warm_start) {
  BERTH_ASSIGN_OR_RETURN(std::vector<double> h, StartValues(model.num_states(), warm_start, sign));
  bool has_terminal = false;
  for (StateIndex s = 0; s < model.num_states(); ++s) {
    if (!model.is_terminal(s)) continue;
    h[s] = 0;
    has_terminal = true;
  }
  if (!has_terminal) {
    for (size_t s = h.size(); s-- > 0;) h[s] -= h[0];
  }
  int64_t sweeps = 0;
  if (options.starts_in_single_precision) {
    StoredSweep<float> sweep(model, 1 - alpha, sign, options.threads, options.storage);
    StoredIteration<float> iteration(sweep, alpha, options, std::vector<float>(h.begin(), h.end()));
    iteration.Run(0);
    StoredResult single = iteration.Take();
    sweeps = single.swept.sweeps;
    for (size_t s = 0; s < h.size(); ++s) {
      if (std::isfinite(single.swept.values[s])) h[s] = single.swept.values[s];
    }
  }
  StoredSweep<double> sweep(model, 1 - alpha, sign, options.threads, options.storage);
  StoredIteration<double> iteration(sweep, alpha, options, std::move(h));
  iteration.Run(sweeps);
  if (!iteration.is_finite()) {
    return absl::OutOfRangeError(
        "the values leave the range of double precision, accepted: rewards that keep them finite");
  }
  StoredResult result = iteration.Take();
  if (result.swept.stop != StopReason::kPrecisionLimit) return result;
  // The quick sweeps bound all rounding by the largest value. Term by term the bound is closer, so go on with that.
  const ActionForm<SparseMdp> form(model, 1 - alpha, alpha, sign);
  SolveOptions slow = options.solve;
  slow.method = SweepMethod::kJacobi;
  slow.max_sweeps = std::max<int64_t>(1, slow.max_sweeps - result.swept.sweeps);
  BERTH_ASSIGN_OR_RETURN(SweepResult swept, Sweeper(form, slow, result.swept.values).Run());
  if (swept.certificate.error(alpha) < result.swept.certificate.error(alpha)) {
    swept.sweeps += result.swept.sweeps;
    result.swept = std::move(swept);
    result.policy = GreedyPolicy(form, result.swept.values.data());
  }
  return result;
}

}  // namespace
}  // namespace internal

absl::StatusOr<DiscountedSolution> SolveDiscountedStored(const SparseMdp& model, double one_minus_gamma,
                                                         const StoredSolveOptions& options,
                                                         std::span<const double> warm_start) {
  BERTH_RETURN_IF_ERROR(internal::ValidateDiscount("1 - gamma", one_minus_gamma, 1));
  BERTH_RETURN_IF_ERROR(internal::Validate(model, options));
  const double sign = internal::SignOf(options.solve.objective);
  BERTH_ASSIGN_OR_RETURN(internal::StoredResult result,
                         internal::Iterate(model, one_minus_gamma, sign, options, warm_start));
  const internal::ActionForm<SparseMdp> form(model, 1 - one_minus_gamma, one_minus_gamma, sign);
  return internal::FinishDiscounted(form, std::move(result.swept), sign, false, std::move(result.policy));
}

absl::StatusOr<AverageSolution> SolveAverageStored(const SparseMdp& model, const StoredSolveOptions& options,
                                                   std::span<const double> warm_start) {
  BERTH_RETURN_IF_ERROR(internal::Validate(model, options));
  const double sign = internal::SignOf(options.solve.objective);
  BERTH_ASSIGN_OR_RETURN(internal::StoredResult result, internal::Iterate(model, 0, sign, options, warm_start));
  const internal::ActionForm<SparseMdp> form(model, 1, 0, sign);
  return internal::FinishAverage(form, std::move(result.swept), sign, false, std::move(result.policy));
}

}  // namespace berth::mdp

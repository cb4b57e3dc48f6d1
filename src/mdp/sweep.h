// The machine under the solvers of value_iteration.h: one residual, swept; one certificate. Not for use from outside
// src/mdp.
//
// Everything is done on the rate form of the optimality equation
//   R(s) = max_a [ r(s,a) + sum_j w(s,a,j) (V(j) - V(s)) ],    R(s) - alpha V(s) = 0   or   R(s) - g = 0.
// A discrete model with discount gamma is the case w = gamma p, alpha = 1 - gamma. The differences V(j) - V(s) keep the
// arithmetic small where gamma is near one: V may be 1e6 times larger than what is being added.
//
// Certificate. For any V, with d(s) = R(s) - alpha V(s) and e(s) a bound of the rounding in d(s):
//   V(s) + min(d - e)/alpha <= V*(s) <= V(s) + max(d + e)/alpha          (MacQueen 1966; Puterman 1994, section 6.6)
//   min(R - e) <= g* <= max(R + e)                                       (Odoni 1969)
// It asks nothing about how V came about: sweeps may be in place, warm started, cut short or rounded.
#ifndef BERTH_MDP_SWEEP_H_
#define BERTH_MDP_SWEEP_H_

#include <algorithm>
#include <cmath>
#include <concepts>
#include <cstdint>
#include <limits>
#include <optional>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "mdp/anderson.h"
#include "mdp/event_model.h"
#include "mdp/model.h"
#include "mdp/solve_options.h"

namespace berth::mdp::internal {

inline constexpr double kEpsilon = std::numeric_limits<double>::epsilon();
inline constexpr double kInfinity = std::numeric_limits<double>::infinity();

struct CheckedResidual {
  double residual = 0;  // R(s)
  double error = 0;     // bound of its rounding error, inputs included
};

// What the sweeps need of a model; the two forms below provide it.
template <class F>
concept RateForm = requires(const F& form, StateIndex s, const double* h, double level) {
  { form.num_states() } -> std::convertible_to<StateIndex>;
  { form.discount_rate() } -> std::convertible_to<double>;
  { form.is_terminal(s) } -> std::convertible_to<bool>;
  { form.Evaluate(s, h) } -> std::same_as<Backup>;
  { form.Step(s, h, level) } -> std::convertible_to<double>;
  { form.Check(s, h) } -> std::same_as<CheckedResidual>;
};

template <EventModel M>
class EventForm {
 public:
  EventForm(const M& model, double discount_rate) : model_(model), discount_rate_(discount_rate) {}

  StateIndex num_states() const { return model_.num_states(); }
  double discount_rate() const { return discount_rate_; }
  bool is_terminal(StateIndex) const { return false; }
  Backup Evaluate(StateIndex s, const double* h) const { return EvaluateBackup(model_, s, h); }
  // The change of h(s) in an in-place sweep. Refused events count as rate here, which only shortens the step.
  double Step(StateIndex s, const double* h, double level) const {
    const Backup backup = EvaluateBackup(model_, s, h);
    const double rate = backup.exit_rate + discount_rate_;
    return rate > 0 ? (backup.residual - level - discount_rate_ * h[s]) / rate : 0;
  }
  CheckedResidual Check(StateIndex s, const double* h) const {
    CheckedBackupVisitor visitor(h, s);
    model_.VisitState(s, visitor);
    return {visitor.residual, visitor.error()};
  }

 private:
  const M& model_;
  double discount_rate_;
};

template <ActionModel M>
class ActionForm {
 public:
  // `scale` multiplies the model's weights (gamma, or 1); `sign` is -1 for costs.
  ActionForm(const M& model, double scale, double discount_rate, double sign)
      : model_(model), scale_(scale), discount_rate_(discount_rate), sign_(sign) {}

  StateIndex num_states() const { return model_.num_states(); }
  int32_t num_actions(StateIndex s) const { return model_.num_actions(s); }
  double discount_rate() const { return discount_rate_; }
  bool is_terminal(StateIndex s) const { return model_.num_actions(s) == 0; }
  double Reward(StateIndex s, int32_t action) const { return sign_ * model_.Reward(s, action); }
  template <class Visit>
  void VisitSuccessors(StateIndex s, int32_t action, Visit&& visit) const {
    model_.VisitSuccessors(s, action, [&](StateIndex next, double weight) { visit(next, scale_ * weight); });
  }

  Backup EvaluateAction(StateIndex s, int32_t action, const double* h) const {
    const double here = h[s];
    double change = 0;
    double rate = 0;
    model_.VisitSuccessors(s, action, [&](StateIndex next, double weight) {
      change += weight * (h[next] - here);
      rate += next == s ? 0 : weight;
    });
    return {sign_ * model_.Reward(s, action) + scale_ * change, scale_ * rate};
  }

  Backup Evaluate(StateIndex s, const double* h) const {
    Backup best{-kInfinity, 0};
    const int32_t n = model_.num_actions(s);
    if (n == 0) return {};
    for (int32_t a = 0; a < n; ++a) {
      const Backup backup = EvaluateAction(s, a, h);
      best.residual = std::max(best.residual, backup.residual);
      best.exit_rate = std::max(best.exit_rate, backup.exit_rate);
    }
    return best;
  }

  // Solves the equation of s exactly for the action that makes h(s) largest. An action that never leaves has no such
  // solution without discount; then the step has unit rate.
  double Step(StateIndex s, const double* h, double level) const {
    const int32_t n = model_.num_actions(s);
    double best = n == 0 ? 0 : -kInfinity;
    for (int32_t a = 0; a < n; ++a) {
      const Backup backup = EvaluateAction(s, a, h);
      const double rate = backup.exit_rate + discount_rate_;
      best = std::max(best, (backup.residual - level - discount_rate_ * h[s]) / (rate > 0 ? rate : 1));
    }
    return best;
  }

  CheckedResidual CheckAction(StateIndex s, int32_t action, const double* h) const {
    const double here = h[s];
    const double reward = sign_ * model_.Reward(s, action);
    double change = 0;
    double magnitude = 0;
    int terms = 1;
    model_.VisitSuccessors(s, action, [&](StateIndex next, double weight) {
      const double term = weight * (h[next] - here);
      change += term;
      magnitude += std::abs(term);
      ++terms;
    });
    // Without scale_, which is at most 1: its own rounding is small against 1, not against itself.
    return {reward + scale_ * change, (terms + 8) * kEpsilon * (std::abs(reward) + magnitude)};
  }

  // The error covers the slack of FirstBest as well: an action within it may be chosen in place of the best.
  CheckedResidual Check(StateIndex s, const double* h) const {
    const CheckedResidual best = Best(s, h);
    return {best.residual, 2 * best.error};
  }

  // The first action that rounding can't tell from the best; -1 for a terminal state.
  int32_t FirstBest(StateIndex s, const double* h) const { return FirstNear(s, h, Best(s, h)); }

  // Check and FirstBest, at little more than the cost of one.
  CheckedResidual CheckAndChoose(StateIndex s, const double* h, int32_t* action) const {
    const CheckedResidual best = Best(s, h);
    *action = FirstNear(s, h, best);
    return {best.residual, 2 * best.error};
  }

 private:
  CheckedResidual Best(StateIndex s, const double* h) const {
    const int32_t n = model_.num_actions(s);
    if (n == 0) return {};
    CheckedResidual best{-kInfinity, 0};
    for (int32_t a = 0; a < n; ++a) {
      const CheckedResidual checked = CheckAction(s, a, h);
      best.residual = std::max(best.residual, checked.residual);
      best.error = std::max(best.error, checked.error);
    }
    return best;
  }

  int32_t FirstNear(StateIndex s, const double* h, const CheckedResidual& best) const {
    const int32_t n = model_.num_actions(s);
    for (int32_t a = 0; a < n; ++a) {
      if (CheckAction(s, a, h).residual >= best.residual - best.error) return a;
    }
    return -1;
  }

  const M& model_;
  double scale_;
  double discount_rate_;
  double sign_;
};

// Bounds of d(s) over all states: min(d - e) and max(d + e).
struct Certificate {
  double lowest = -kInfinity;
  double highest = kInfinity;
  double rounding = kInfinity;       // largest e(s)
  double largest_value = kInfinity;  // largest |V(s)|

  double midpoint() const { return lowest + (highest - lowest) / 2; }
  // Certified error of the answer: of the values moved to the midpoint, or of the midpoint as the gain.
  double error(double alpha) const { return InAnswer((highest - lowest) / 2, alpha); }
  // What the error would be if d were flat: the part that no sweep can take away.
  double error_by_rounding(double alpha) const { return InAnswer(rounding, alpha); }

 private:
  double InAnswer(double half_width, double alpha) const {
    const double widest = std::max(std::abs(lowest), std::abs(highest));
    if (alpha == 0) return half_width + 2 * kEpsilon * widest;
    return half_width / alpha * (1 + 8 * kEpsilon) + 8 * kEpsilon * (largest_value + widest / alpha);
  }
};

// `check` gives the CheckedResidual of a state.
template <RateForm F, class Check>
Certificate CertifyBy(Check&& check, const F& form, const double* values, double* residuals) {
  const StateIndex n = form.num_states();
  const double alpha = form.discount_rate();
  Certificate result{kInfinity, -kInfinity, 0, 0};
  for (StateIndex s = 0; s < n; ++s) {
    double d = 0;
    double error = 0;
    if (!form.is_terminal(s)) {
      const CheckedResidual checked = check(s);
      const double discounted = alpha * values[s];
      d = checked.residual - discounted;
      error = checked.error + 4 * kEpsilon * (std::abs(discounted) + std::abs(checked.residual));
    }
    // A terminal state earns nothing for ever: its d is exactly 0.
    if (!(std::isfinite(d) && std::isfinite(error))) return {};
    if (residuals != nullptr) residuals[s] = d;
    result.lowest = std::min(result.lowest, d - error);
    result.highest = std::max(result.highest, d + error);
    result.rounding = std::max(result.rounding, error);
    result.largest_value = std::max(result.largest_value, std::abs(values[s]));
  }
  return result;
}

// `residuals`, where not null, receives d(s) of every state, 0 for terminal ones.
template <RateForm F>
Certificate Certify(const F& form, const double* values, double* residuals = nullptr) {
  return CertifyBy([&](StateIndex s) { return form.Check(s, values); }, form, values, residuals);
}

// The same, and FirstBest of every state in `policy`.
template <class Form>
Certificate CertifyAndChoose(const Form& form, const double* values, double* residuals, int32_t* policy) {
  std::fill(policy, policy + form.num_states(), -1);
  return CertifyBy([&](StateIndex s) { return form.CheckAndChoose(s, values, policy + s); }, form, values, residuals);
}

struct SweepResult {
  std::vector<double> values;
  Certificate certificate;  // of `values`
  StopReason stop = StopReason::kIterationLimit;
  int64_t sweeps = 0;
};

// Sweeps until the certified error is within the tolerance.
template <RateForm F>
class Sweeper {
 public:
  // `values` is the warm start, num_states() finite numbers. The form must outlive the sweeper.
  Sweeper(const F& form, const SolveOptions& options, std::vector<double> values)
      : form_(form),
        options_(options),
        alpha_(form.discount_rate()),
        num_states_(form.num_states()),
        values_(std::move(values)),
        mixer_(options.anderson_depth),
        is_jacobi_(options.method == SweepMethod::kJacobi) {
    for (StateIndex s = 0; s < num_states_; ++s) {
      has_terminal_ = has_terminal_ || form_.is_terminal(s);
      max_rate_ = std::max(max_rate_, form_.Evaluate(s, values_.data()).exit_rate);
      if (form_.is_terminal(s)) values_[s] = 0;
    }
    MoveToZero();
  }

  // Errors: OUT_OF_RANGE when values or bounds are no longer finite.
  absl::StatusOr<SweepResult> Run() {
    for (;;) {
      residuals_.resize(is_jacobi_ ? values_.size() : 0);
      const Certificate certificate = Certify(form_, values_.data(), is_jacobi_ ? residuals_.data() : nullptr);
      if (IsMixedInVain(certificate)) {
        values_ = std::exchange(unmixed_, {});
        mixer_.Clear();
        continue;
      }
      if (!std::isfinite(certificate.error(alpha_))) {
        return absl::OutOfRangeError(
            absl::StrCat("the values leave the range of double precision after ", sweeps_,
                         " sweeps, accepted: rewards, rates and a discount that keep them finite"));
      }
      Keep(certificate);
      if (const std::optional<StopReason> stop = Stop(certificate)) {
        best_.stop = *stop;
        best_.sweeps = sweeps_;
        return std::move(best_);
      }
      Improve(certificate);
    }
  }

 private:
  // Certificates without progress after which in-place sweeps are given up; progress is 3 % of the width.
  static constexpr int kStalledCertificates = 30;
  // The same, once the width is mostly rounding.
  static constexpr int kStalledAtFloor = 5;

  // Whether the values are a mixed point that is worse than what has been had; then unmixed_ holds the swept one.
  bool IsMixedInVain(const Certificate& certificate) const {
    return !unmixed_.empty() && !(certificate.error(alpha_) <= 2 * best_.certificate.error(alpha_));
  }

  // Keeps the best values seen, so that more sweeps never make the answer worse.
  void Keep(const Certificate& certificate) {
    const double error = certificate.error(alpha_);
    if (best_.values.empty() || error < best_.certificate.error(alpha_)) {
      best_.values = values_;
      best_.certificate = certificate;
    }
    const bool is_progress = error < 0.97 * reference_error_;
    if (is_progress) reference_error_ = error;
    stalled_ = is_progress ? 0 : stalled_ + 1;
  }

  std::optional<StopReason> Stop(const Certificate& certificate) {
    const double error = best_.certificate.error(alpha_);
    if (error <= options_.tolerance) return StopReason::kConverged;
    if (options_.progress && !options_.progress({sweeps_, error, options_.tolerance})) return StopReason::kCancelled;
    // Rounding makes more than half of the width. What is left could still fall below the tolerance, unless rounding
    // alone is above it or nothing moves any more.
    const double floor = certificate.error_by_rounding(alpha_);
    const bool is_floor_reached = floor > options_.tolerance || stalled_ > kStalledAtFloor;
    if (certificate.error(alpha_) <= 2 * floor && is_floor_reached) return StopReason::kPrecisionLimit;
    if (sweeps_ >= options_.max_sweeps) return StopReason::kIterationLimit;
    return std::nullopt;
  }

  void Improve(const Certificate& certificate) {
    // Without terminal states a constant added to every value changes d by a constant. So the level is not swept into
    // the values: d is made flat about the level, the values stay as small as their differences, and the level is read
    // off the certificate. (V near 1e6 would be stored to 1e-10 only, which is an error of 1e-4 once divided by 1 -
    // gamma = 1e-6.) As h(0) = 0 at every certificate, each bounds the same true level, g* or alpha V*(0): take the
    // middle of what all of them leave. The middle of the last one alone can swing for ever, as an in-place sweep
    // carries its own drift along.
    lowest_level_ = std::max(lowest_level_, certificate.lowest);
    highest_level_ = std::min(highest_level_, certificate.highest);
    const double level = sweeps_to_terminal() ? 0 : lowest_level_ + (highest_level_ - lowest_level_) / 2;
    if (is_jacobi_) {
      JacobiSweep(level);
      ++sweeps_;
    } else {
      const int64_t sweeps = std::min(options_.max_sweeps - sweeps_, options_.certificate_interval);
      const std::vector<double> before = values_;
      for (int64_t i = 0; i < sweeps; ++i) GaussSeidelSweep(level, i % 2 == 0);
      sweeps_ += sweeps;
      // In-place sweeps on a guessed level are not proven to converge; kJacobi is (Puterman 1994, sections 6.6
      // and 8.5).
      is_jacobi_ = !sweeps_to_terminal() && stalled_ > kStalledCertificates;
      unmixed_.clear();
      if (options_.anderson_depth > 0 && !is_jacobi_) {
        MoveToZero();
        unmixed_ = values_;
        mixer_.Mix(before, values_);
      }
    }
    MoveToZero();
  }

  // With discount and terminal states, whose value is 0, the level is fixed.
  bool sweeps_to_terminal() const { return has_terminal_ && alpha_ > 0; }

  void MoveToZero() {
    if (has_terminal_) return;
    const double first = values_[0];
    for (double& v : values_) v -= first;
  }

  void GaussSeidelSweep(double level, bool is_forward) {
    double* v = values_.data();
    if (is_forward) {
      for (StateIndex s = 0; s < num_states_; ++s) v[s] += form_.Step(s, v, level);
    } else {
      for (StateIndex s = num_states_; s-- > 0;) v[s] += form_.Step(s, v, level);
    }
  }

  void JacobiSweep(double level) {
    const double rate = max_rate_ + alpha_;
    const double step = rate > 0 ? options_.aperiodicity / rate : 0;
    for (StateIndex s = 0; s < num_states_; ++s) {
      if (!form_.is_terminal(s)) values_[s] += step * (residuals_[s] - level);
    }
  }

  const F& form_;
  const SolveOptions& options_;
  const double alpha_;
  const StateIndex num_states_;
  std::vector<double> values_;
  std::vector<double> residuals_;  // d(s) of the last certificate; kJacobi only
  std::vector<double> unmixed_;    // the swept values that the mixed ones came from; empty if values_ are not mixed
  AndersonMixer mixer_;
  SweepResult best_;
  double reference_error_ = kInfinity;
  double lowest_level_ = -kInfinity;
  double highest_level_ = kInfinity;
  double max_rate_ = 0;
  int stalled_ = 0;
  int64_t sweeps_ = 0;
  bool has_terminal_ = false;
  bool is_jacobi_;
};

}  // namespace berth::mdp::internal

#endif  // BERTH_MDP_SWEEP_H_

// Solves a decision process whose sweeps are loops of its own, with a certificate: Gauss-Seidel sweeps on a guessed
// level, Anderson mixing of certified points, Jacobi steps where those stall. knapsack_solve.h and the nodes with GPUs
// of env/node_mdp are solved by it.
#ifndef BERTH_MDP_SWEEP_SOLVE_H_
#define BERTH_MDP_SWEEP_SOLVE_H_

#include <Eigen/Cholesky>
#include <Eigen/Core>
#include <algorithm>
#include <cmath>
#include <concepts>
#include <cstdint>
#include <functional>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/status.h"
#include "fmt/format.h"
#include "mdp/solve_options.h"
#include "mdp/sweep.h"

namespace berth::mdp {

// Of d(s) = R(s) - alpha h(s) over all states (event_model.h has R).
struct ResidualRange {
  double lowest = 0;
  double highest = 0;
  double lowest_value = 0;  // of the values themselves
  double highest_value = 0;
};

struct SweepSolveOptions {
  double discount_rate = 0;  // alpha; 0 is the average criterion
  // Largest wanted certified error: of the gain, with discount of every value. Finite and >= 0; 0 means "as far as the
  // arithmetic goes".
  double tolerance = 1e-6;
  int64_t max_sweeps = 100'000;  // >= 1
  int sweeps_between = 8;        // sweeps between certificates, 1 to 1000; every certified point is mixed
  int anderson_depth = 10;       // 0 to 50; memory: 2 * (depth + 2) vectors of num_states() doubles
  int threads = 1;               // 1 to 64; the answer does not depend on it
  // Called at every certificate from the solving thread; false stops the solve.
  std::function<bool(const Progress&)> progress = {};
};

struct SweepSolution {
  std::vector<double> relative_values;  // h [num_states], h(0) = 0. A warm start for a like model
  // The gain; with discount V(s) = h(s) + level / alpha, and the bounds of the level bound every V(s) in the same way
  // (Odoni 1969; MacQueen 1966). Rounding included; they hold whatever the stop reason.
  double level = 0;
  double level_lower = 0;
  double level_upper = 0;
  double error = 0;  // certified, in the unit of `tolerance`
  StopReason stop = StopReason::kIterationLimit;
  int64_t sweeps = 0;
};

// Holds values and sweeps them. KnapsackSweep says what each member promises.
template <class S>
concept Sweep = requires(S& sweep, std::span<double> values, const ResidualRange& range,
                         const std::function<void(int, size_t, size_t)>& visit) {
  { sweep.Range() } -> std::same_as<ResidualRange>;
  { sweep.RoundingBound(range) } -> std::convertible_to<double>;
  { sweep.max_rate() } -> std::convertible_to<double>;
  { sweep.num_blocks() } -> std::convertible_to<int>;
  { sweep.shuffled_values() } -> std::same_as<std::span<double>>;
  sweep.GetValues(values);
  sweep.num_states();
  sweep.GaussSeidelSweep(0.0);
  sweep.JacobiSweep(0.0, 0.0);
  sweep.ForEachBlock(visit);
};

namespace internal {

inline absl::Status CheckNumber(std::string_view field, double value, double low, double high) {
  if (value >= low && value <= high && std::isfinite(value)) return absl::OkStatus();  // false for NaN
  const std::string accepted =
      high == kInfinity ? fmt::format("a finite number >= {}", low) : fmt::format("{} to {}", low, high);
  return absl::InvalidArgumentError(fmt::format("{} is {}, accepted: {}", field, value, accepted));
}

inline absl::Status CheckOptions(const SweepSolveOptions& options) {
  BERTH_RETURN_IF_ERROR(CheckNumber("discount rate", options.discount_rate, 0, kInfinity));
  BERTH_RETURN_IF_ERROR(CheckNumber("tolerance", options.tolerance, 0, kInfinity));
  BERTH_RETURN_IF_ERROR(CheckNumber("max_sweeps", static_cast<double>(options.max_sweeps), 1, 1e18));
  BERTH_RETURN_IF_ERROR(CheckNumber("sweeps_between", options.sweeps_between, 1, 1000));
  BERTH_RETURN_IF_ERROR(CheckNumber("anderson_depth", options.anderson_depth, 0, 50));
  return CheckNumber("threads", options.threads, 1, 64);
}

// Anderson mixing as in anderson.h, in two passes over the vectors by all threads of the sweep. The level is mixed as
// one more unknown.
class SweepMixer {
 public:
  explicit SweepMixer(int depth)
      : depth_(depth),
        products_(depth + 1, depth + 1),
        images_(Columns()),
        residuals_(Columns()),
        levels_(images_.size()),
        level_residuals_(images_.size()) {}

  void Clear() { count_ = next_ = 0; }

  // `from` is what the values were before the sweeps, `level` what follows from the sweeps and `level_residual` how far
  // that is from what they were made with, in the unit of the values. Both become the mixed ones. False: too little to
  // mix yet.
  template <Sweep S>
  bool Mix(S& sweep, const std::vector<double>& from, double& level, double level_residual) {
    const std::span<double> h = sweep.shuffled_values();
    const int newest = next_;
    next_ = (next_ + 1) % (depth_ + 1);
    count_ = std::min(count_ + 1, depth_ + 1);
    images_[newest].resize(h.size());
    residuals_[newest].resize(h.size());
    // Sums block by block, so that they do not depend on the number of threads.
    const int blocks = sweep.num_blocks();
    Eigen::MatrixXd sums(depth_ + 1, blocks);
    sweep.ForEachBlock([&](int block, size_t begin, size_t end) {
      const auto part = [&](const std::vector<double>& v) {
        return Eigen::Map<const Eigen::VectorXd>(v.data() + begin, static_cast<Eigen::Index>(end - begin));
      };
      std::copy(h.begin() + static_cast<int64_t>(begin), h.begin() + static_cast<int64_t>(end),
                images_[newest].begin() + static_cast<int64_t>(begin));
      for (size_t i = begin; i < end; ++i) residuals_[newest][i] = h[i] - from[i];
      for (int i = 0; i < count_; ++i) sums(i, block) = part(residuals_[i]).dot(part(residuals_[newest]));
    });
    levels_[newest] = level;
    // Every value moves with the level, so it counts as all of them.
    level_residuals_[newest] = level_residual * std::sqrt(static_cast<double>(h.size()));
    for (int i = 0; i < count_; ++i) {
      products_(i, newest) = products_(newest, i) = sums.row(i).sum() + level_residuals_[i] * level_residuals_[newest];
    }
    if (count_ == 1) return false;

    // The combination of least residual, in differences to the newest.
    const int others = count_ - 1;
    const auto other = [&](int i) { return i < newest ? i : i + 1; };
    Eigen::MatrixXd gram(others, others);
    Eigen::VectorXd right(others);
    const double latest = products_(newest, newest);
    for (int i = 0; i < others; ++i) {
      right(i) = latest - products_(newest, other(i));
      for (int j = 0; j < others; ++j) {
        gram(i, j) = latest - products_(newest, other(i)) - products_(newest, other(j)) + products_(other(i), other(j));
      }
    }
    // Old residuals are far larger than new ones: without a common scale the ridge would drown the new.
    const Eigen::VectorXd scale = gram.diagonal().cwiseMax(1e-300).cwiseSqrt().cwiseInverse();
    gram = scale.asDiagonal() * gram * scale.asDiagonal();
    gram.diagonal().array() += 1e-10;
    const Eigen::VectorXd weights = scale.asDiagonal() * gram.ldlt().solve(scale.asDiagonal() * right);
    if (!weights.allFinite()) {
      Clear();
      return false;
    }
    const double own_weight = 1 - weights.sum();
    level = own_weight * levels_[newest];
    for (int n = 0; n < others; ++n) level += weights(n) * levels_[other(n)];
    sweep.ForEachBlock([&](int, size_t begin, size_t end) {
      for (size_t i = begin; i < end; ++i) h[i] = own_weight * images_[newest][i];
      for (int n = 0; n < others; ++n) {
        const double weight = weights(n);
        const double* image = images_[other(n)].data();
        for (size_t i = begin; i < end; ++i) h[i] += weight * image[i];
      }
    });
    return true;
  }
  // The swept values of the last Mix.
  const std::vector<double>& last_image() const { return images_[(next_ + depth_) % (depth_ + 1)]; }

 private:
  std::vector<std::vector<double>> Columns() const { return std::vector<std::vector<double>>(depth_ + 1); }

  const int depth_;
  int count_ = 0;  // columns held, 0 .. count_ - 1
  int next_ = 0;
  Eigen::MatrixXd products_;  // inner products of the residuals
  std::vector<std::vector<double>> images_;
  std::vector<std::vector<double>> residuals_;
  std::vector<double> levels_, level_residuals_;
};

template <Sweep S>
class SweepSolver {
 public:
  SweepSolver(S& sweep, const SweepSolveOptions& options)
      : options_(options), alpha_(options.discount_rate), sweep_(sweep), mixer_(options.anderson_depth) {
    jacobi_step_ = sweep_.max_rate() + alpha_ > 0 ? 0.9 / (sweep_.max_rate() + alpha_) : 0;
  }

  absl::StatusOr<SweepSolution> Run() {
    MoveToZero();
    for (;;) {
      const ResidualRange range = sweep_.Range();
      const double rounding = sweep_.RoundingBound(range);
      const double lower = range.lowest - rounding;
      const double upper = range.highest + rounding;
      const double error = ErrorOf(lower, upper, range);
      if (is_mixed_ && !(error <= 2 * best_.error)) {
        Copy(mixer_.last_image(), sweep_.shuffled_values());
        is_mixed_ = false;
        mixer_.Clear();
        continue;
      }
      if (!std::isfinite(error)) {
        return absl::OutOfRangeError(fmt::format(
            "the values leave the range of double precision after {} sweeps, accepted: rates, rewards and a "
            "discount that keep them finite",
            best_.sweeps));
      }
      Keep(lower, upper, error);
      if (const std::optional<StopReason> stop = Stop(error, ErrorOf(-rounding, rounding, range))) {
        best_.stop = *stop;
        best_.level = best_.level_lower + (best_.level_upper - best_.level_lower) / 2;
        Copy(best_values_, sweep_.shuffled_values());
        best_.relative_values.resize(static_cast<size_t>(sweep_.num_states()));
        sweep_.GetValues(best_.relative_values);
        return std::move(best_);
      }
      if (best_.sweeps == 0 && upper - lower > kFirstWidth * std::max(std::abs(lower), std::abs(upper))) {
        first_sweeps_ = kFirstSweeps;
      }
      Improve(lower, upper);
    }
  }

 private:
  static constexpr int kStalledCertificates = 40;  // without 3 % progress, after which Jacobi steps go on
  static constexpr int kStalledAtFloor = 5;
  // From values whose bounds are wider than this share of the level the first steps are Jacobi's, to which the level
  // does not matter, until the bounds say where it is.
  static constexpr double kFirstWidth = 0.1;
  static constexpr int64_t kFirstSweeps = 24;
  static constexpr int kStalledAtLevel = 6;  // after which the level moves by half

  double ErrorOf(double lower, double upper, const ResidualRange& range) const {
    const double half_width = (upper - lower) / 2;
    const double widest = std::max(std::abs(lower), std::abs(upper));
    if (alpha_ == 0) return half_width + 2 * std::numeric_limits<double>::epsilon() * widest;
    const double largest = std::max(std::abs(range.lowest_value), std::abs(range.highest_value));
    return half_width / alpha_ * (1 + 8 * std::numeric_limits<double>::epsilon()) +
           8 * std::numeric_limits<double>::epsilon() * (largest + widest / alpha_);
  }

  // Keeps the best values, so that more sweeps never make the answer worse.
  void Keep(double lower, double upper, double error) {
    if (best_values_.empty() || error < best_.error) {
      best_values_.resize(sweep_.shuffled_values().size());
      Copy(sweep_.shuffled_values(), best_values_);
      best_.level_lower = lower;
      best_.level_upper = upper;
      best_.error = error;
    }
    const bool is_progress = error < 0.97 * reference_error_;
    if (is_progress) reference_error_ = error;
    stalled_ = is_progress ? 0 : stalled_ + 1;
  }

  std::optional<StopReason> Stop(double error, double floor) const {
    if (best_.error <= options_.tolerance) return StopReason::kConverged;
    if (options_.progress && !options_.progress({best_.sweeps, best_.error, options_.tolerance})) {
      return StopReason::kCancelled;
    }
    if (error <= 2 * floor && (floor > options_.tolerance || stalled_ > kStalledAtFloor)) {
      return StopReason::kPrecisionLimit;
    }
    if (best_.sweeps >= options_.max_sweeps) return StopReason::kIterationLimit;
    return std::nullopt;
  }

  void Improve(double lower, double upper) {
    // h(0) = 0 at every certificate, so all of them bound the same level.
    lowest_level_ = std::max(lowest_level_, lower);
    highest_level_ = std::min(highest_level_, upper);
    const bool is_first = best_.sweeps < first_sweeps_;
    if (best_.sweeps <= first_sweeps_) level_ = lowest_level_ + (highest_level_ - lowest_level_) / 2;
    level_ = std::clamp(level_, lowest_level_, std::max(lowest_level_, highest_level_));
    const int64_t sweeps = std::min<int64_t>(options_.max_sweeps - best_.sweeps, options_.sweeps_between);
    best_.sweeps += sweeps;
    // In-place sweeps on a guessed level are not proven to converge; Jacobi's are.
    is_jacobi_ = is_jacobi_ || stalled_ > kStalledCertificates;
    is_mixed_ = false;
    if (is_jacobi_ || is_first) {
      for (int64_t i = 0; i < sweeps; ++i) sweep_.JacobiSweep(jacobi_step_, level_);
      MoveToZero();
      return;
    }
    if (stalled_ > 0 && stalled_ % kStalledAtLevel == 0) {
      level_step_ /= 2;
      mixer_.Clear();
    }
    before_.resize(sweep_.shuffled_values().size());
    Copy(sweep_.shuffled_values(), before_);
    for (int64_t i = 0; i < sweeps; ++i) sweep_.GaussSeidelSweep(level_);
    // Where the level is too low all values rise, and the bounds stay as far apart as the states' rates differ: without
    // a better level sweeps would lead no further.
    const double rise = MoveToZero();
    level_ += level_step_ * sweep_.max_rate() / static_cast<double>(sweeps) * rise;
    if (options_.anderson_depth == 0) return;
    is_mixed_ = mixer_.Mix(sweep_, before_, level_, rise);
    if (is_mixed_) MoveToZero();
  }

  void Copy(std::span<const double> from, std::span<double> to) {
    sweep_.ForEachBlock([&](int, size_t begin, size_t end) {
      std::copy(from.begin() + static_cast<int64_t>(begin), from.begin() + static_cast<int64_t>(end),
                to.begin() + static_cast<int64_t>(begin));
    });
  }

  // Returns by how much.
  double MoveToZero() {
    const std::span<double> h = sweep_.shuffled_values();
    const double first = h[0];
    sweep_.ForEachBlock([&](int, size_t begin, size_t end) {
      for (size_t i = begin; i < end; ++i) h[i] -= first;
    });
    return first;
  }

  const SweepSolveOptions& options_;
  const double alpha_;
  S& sweep_;
  SweepMixer mixer_;
  double jacobi_step_ = 0;
  std::vector<double> before_;
  std::vector<double> best_values_;  // in the order of the sweep
  SweepSolution best_;               // all but the values
  double reference_error_ = kInfinity;
  double lowest_level_ = -kInfinity;
  double highest_level_ = kInfinity;
  double level_ = 0;         // that the sweeps are made with
  double level_step_ = 0.4;  // of the greatest rate, by which a rise of the values moves the level
  int64_t first_sweeps_ = 0;
  int stalled_ = 0;
  bool is_mixed_ = false;
  bool is_jacobi_ = false;
};

}  // namespace internal

// From the values that `sweep` holds, which belong to `options.discount_rate`. Errors: INVALID_ARGUMENT an option;
// OUT_OF_RANGE when the values leave the range of double precision. `options.threads` is the sweep's own business.
template <Sweep S>
absl::StatusOr<SweepSolution> SolveBySweeps(S& sweep, const SweepSolveOptions& options) {
  BERTH_RETURN_IF_ERROR(internal::CheckOptions(options));
  return internal::SweepSolver<S>(sweep, options).Run();
}

}  // namespace berth::mdp

#endif  // BERTH_MDP_SWEEP_SOLVE_H_

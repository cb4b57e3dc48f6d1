#include "mdp/knapsack_solve.h"

#include <Eigen/Cholesky>
#include <Eigen/Core>
#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <utility>

#include "base/status.h"
#include "fmt/format.h"
#include "mdp/knapsack_sweep.h"

namespace berth::mdp {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kEpsilon = std::numeric_limits<double>::epsilon();

absl::Status CheckRange(std::string_view field, double value, double low, double high) {
  if (value >= low && value <= high && std::isfinite(value)) return absl::OkStatus();  // false for NaN
  const std::string accepted =
      high == kInfinity ? fmt::format("a finite number >= {}", low) : fmt::format("{} to {}", low, high);
  return absl::InvalidArgumentError(fmt::format("{} is {}, accepted: {}", field, value, accepted));
}

absl::Status CheckOptions(const KnapsackSolveOptions& options) {
  BERTH_RETURN_IF_ERROR(CheckRange("discount rate", options.discount_rate, 0, kInfinity));
  BERTH_RETURN_IF_ERROR(CheckRange("tolerance", options.tolerance, 0, kInfinity));
  BERTH_RETURN_IF_ERROR(CheckRange("max_sweeps", static_cast<double>(options.max_sweeps), 1, 1e18));
  BERTH_RETURN_IF_ERROR(CheckRange("sweeps_between", options.sweeps_between, 1, 1000));
  BERTH_RETURN_IF_ERROR(CheckRange("anderson_depth", options.anderson_depth, 0, 50));
  return CheckRange("threads", options.threads, 1, 64);
}

// Anderson mixing as in anderson.h, in two passes over the vectors by all threads of the sweep.
class Mixer {
 public:
  explicit Mixer(int depth)
      : depth_(depth), products_(depth + 1, depth + 1), images_(Columns()), residuals_(Columns()) {}

  void Clear() { count_ = 0; }

  // `from` is what the values were before the sweeps; they become the mixed ones. False: too little to mix yet.
  bool Mix(KnapsackSweep& sweep, const std::vector<double>& from) {
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
    for (int i = 0; i < count_; ++i) products_(i, newest) = products_(newest, i) = sums.row(i).sum();
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
};

class Solver {
 public:
  Solver(const KnapsackModel& model, const KnapsackSolveOptions& options)
      : options_(options),
        alpha_(options.discount_rate),
        sweep_(model, {.discount_rate = options.discount_rate, .threads = options.threads}),
        mixer_(options.anderson_depth) {
    jacobi_step_ = sweep_.max_rate() + alpha_ > 0 ? 0.9 / (sweep_.max_rate() + alpha_) : 0;
  }

  absl::StatusOr<KnapsackSolution> Run(std::span<const double> start) {
    if (!start.empty()) sweep_.SetValues(start);
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
        best_.relative_values.resize(best_values_.size());
        sweep_.GetValues(best_.relative_values);
        return std::move(best_);
      }
      Improve(lower, upper);
    }
  }

 private:
  static constexpr int kStalledCertificates = 40;  // without 3 % progress, after which Jacobi steps go on
  static constexpr int kStalledAtFloor = 5;

  double ErrorOf(double lower, double upper, const ResidualRange& range) const {
    const double half_width = (upper - lower) / 2;
    const double widest = std::max(std::abs(lower), std::abs(upper));
    if (alpha_ == 0) return half_width + 2 * kEpsilon * widest;
    const double largest = std::max(std::abs(range.lowest_value), std::abs(range.highest_value));
    return half_width / alpha_ * (1 + 8 * kEpsilon) + 8 * kEpsilon * (largest + widest / alpha_);
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
    const double level = lowest_level_ + (highest_level_ - lowest_level_) / 2;
    const int64_t sweeps = std::min<int64_t>(options_.max_sweeps - best_.sweeps, options_.sweeps_between);
    best_.sweeps += sweeps;
    // In-place sweeps on a guessed level are not proven to converge; Jacobi's are.
    is_jacobi_ = is_jacobi_ || stalled_ > kStalledCertificates;
    is_mixed_ = false;
    if (is_jacobi_) {
      for (int64_t i = 0; i < sweeps; ++i) sweep_.JacobiSweep(jacobi_step_, level);
      return MoveToZero();
    }
    before_.resize(sweep_.shuffled_values().size());
    Copy(sweep_.shuffled_values(), before_);
    for (int64_t i = 0; i < sweeps; ++i) sweep_.RedBlackSweep(level);
    MoveToZero();
    if (options_.anderson_depth == 0) return;
    is_mixed_ = mixer_.Mix(sweep_, before_);
    if (is_mixed_) MoveToZero();
  }

  void Copy(std::span<const double> from, std::span<double> to) {
    sweep_.ForEachBlock([&](int, size_t begin, size_t end) {
      std::copy(from.begin() + static_cast<int64_t>(begin), from.begin() + static_cast<int64_t>(end),
                to.begin() + static_cast<int64_t>(begin));
    });
  }

  void MoveToZero() {
    const std::span<double> h = sweep_.shuffled_values();
    const double first = h[0];
    sweep_.ForEachBlock([&](int, size_t begin, size_t end) {
      for (size_t i = begin; i < end; ++i) h[i] -= first;
    });
  }

  const KnapsackSolveOptions& options_;
  const double alpha_;
  KnapsackSweep sweep_;
  Mixer mixer_;
  double jacobi_step_ = 0;
  std::vector<double> before_;
  std::vector<double> best_values_;  // in the order of the sweep
  KnapsackSolution best_;            // all but the values
  double reference_error_ = kInfinity;
  double lowest_level_ = -kInfinity;
  double highest_level_ = kInfinity;
  int stalled_ = 0;
  bool is_mixed_ = false;
  bool is_jacobi_ = false;
};

}  // namespace

absl::StatusOr<KnapsackSolution> SolveKnapsack(const KnapsackModel& model, const KnapsackSolveOptions& options,
                                               std::span<const double> warm_start) {
  BERTH_RETURN_IF_ERROR(CheckOptions(options));
  if (!warm_start.empty() && warm_start.size() != static_cast<size_t>(model.num_states())) {
    return absl::InvalidArgumentError(
        fmt::format("number of warm start values is {}, accepted: 0 or {}", warm_start.size(), model.num_states()));
  }
  for (size_t s = 0; s < warm_start.size(); ++s) {
    if (std::isfinite(warm_start[s])) continue;
    return absl::InvalidArgumentError(
        fmt::format("warm start value of state {} is {}, accepted: a finite number", s, warm_start[s]));
  }
  return Solver(model, options).Run(warm_start);
}

}  // namespace berth::mdp

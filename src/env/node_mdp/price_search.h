// The search for the prices of a per-node decision process, whatever its states (node_mdp.h has the game).
#ifndef BERTH_ENV_NODE_MDP_PRICE_SEARCH_H_
#define BERTH_ENV_NODE_MDP_PRICE_SEARCH_H_

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "base/status.h"
#include "fmt/format.h"

namespace berth {

// INVALID_ARGUMENT that names the field, unless `value` is within [low, high].
inline absl::Status CheckRange(std::string_view field, double value, double low, double high) {
  if (value >= low && value <= high) return absl::OkStatus();  // false for NaN
  return InvalidField(field, fmt::format("{}", value), fmt::format("a number from {} to {}", low, high));
}

struct PriceSearchOptions {
  double m = 1;             // nodes that compete for a pod
  double tolerance = 0.01;  // stop when the gap is this small
  int32_t most_steps = 1;
};

// Moves the prices by multiplicative weights until the gap is small or the steps are used up; leaves the mean prices of
// the last steps, and the solver's flows summed over them.
//
// `offered` is the rate of a class, by which its price counts. `solution` has classes (price, taken_share),
// price_steps, which is added to, share_lower, share_upper, price_gap and is_price_converged. `solver` solves at the
// prices of the solution's classes: Solve(); then taken_share() by class and share_upper(). offered() is what all
// prices are scaled to sum to; ForgetFlows() starts its sums again.
template <class Class, class Solver, class Solution>
absl::Status SearchPrices(const PriceSearchOptions& options, double Class::*offered, Solver& solver,
                          Solution& solution) {
  // Steps of the logarithms of prices: min(kMostStep, kFirstStep / m) / sqrt(1 + kStepDecay i). What is taken turns the
  // more sharply with prices the greater m is.
  constexpr double kMostStep = 0.3, kFirstStep = 0.5, kStepDecay = 0.5;
  auto& classes = solution.classes;
  const auto scale = [&] {
    double paid = 0;
    for (const auto& c : classes) paid += c.*offered * c.price;
    for (auto& c : classes) c.price *= solver.offered() / paid;
  };
  std::vector<double> price_sum, taken_sum;
  double steps = 0;
  solution.share_upper = std::numeric_limits<double>::infinity();
  solution.is_price_converged = false;
  for (int32_t i = 0; i < options.most_steps && !solution.is_price_converged; ++i) {
    // Means are taken over the steps since the last power of two.
    if ((i & (i - 1)) == 0) {
      price_sum.assign(classes.size(), 0);
      taken_sum.assign(classes.size(), 0);
      steps = 0;
      solver.ForgetFlows();
    }
    BERTH_RETURN_IF_ERROR(solver.Solve());
    ++solution.price_steps;
    ++steps;
    solution.share_upper = std::min(solution.share_upper, solver.share_upper());
    solution.share_lower = std::numeric_limits<double>::infinity();
    const double rate = std::min(kMostStep, kFirstStep / options.m) / std::sqrt(1.0 + kStepDecay * i);
    for (size_t k = 0; k < classes.size(); ++k) {
      price_sum[k] += classes[k].price;
      taken_sum[k] += solver.taken_share()[k];
      solution.share_lower = std::min(solution.share_lower, taken_sum[k] / steps);
      const double excess = solver.taken_share()[k] / solver.share_upper() - 1;
      classes[k].price *= std::exp(-rate * std::clamp(excess, -1.0, 1.0));
    }
    solution.price_gap = std::max(0.0, 1 - solution.share_lower / solution.share_upper);
    solution.is_price_converged = solution.price_gap <= options.tolerance;
    scale();
  }
  for (size_t k = 0; k < classes.size(); ++k) {
    classes[k].price = price_sum[k] / steps;
    classes[k].taken_share = taken_sum[k] / steps;
  }
  scale();
  return absl::OkStatus();
}

}  // namespace berth

#endif  // BERTH_ENV_NODE_MDP_PRICE_SEARCH_H_

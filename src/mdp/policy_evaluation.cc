#include "mdp/policy_evaluation.h"

#include <Eigen/SparseCore>
#include <Eigen/SparseLU>
#include <algorithm>
#include <cmath>
#include <limits>

namespace berth::mdp {
namespace {

constexpr int kRefinements = 3;

absl::Status NotUnique(double alpha) {
  return absl::FailedPreconditionError(
      alpha > 0 ? "the equations of the policy have no single solution in double precision"
                : "the chain of the policy has several closed classes, accepted: policies with one");
}

// reward + sum weight (V(j) - V(s)) - alpha V(s) - level, without cancellation: differences first.
double Residual(const PolicyChain& chain, StateIndex s, const std::vector<double>& v, double alpha, double level) {
  double change = 0;
  for (int64_t i = chain.begin[s]; i < chain.begin[s + 1]; ++i) change += chain.weight[i] * (v[chain.next[i]] - v[s]);
  return chain.reward[s] + change - alpha * v[s] - level;
}

}  // namespace

absl::StatusOr<PolicyValues> EvaluatePolicy(const PolicyChain& chain, double alpha, bool is_absolute,
                                            StateIndex reference) {
  const StateIndex n = chain.num_states();
  const bool has_level = alpha == 0 || !is_absolute;
  // Unknowns: h; the level stands in the place of h(reference) = 0.
  std::vector<Eigen::Triplet<double>> entries;
  entries.reserve(chain.next.size() + 2 * static_cast<size_t>(n));
  for (StateIndex s = 0; s < n; ++s) {
    double diagonal = alpha;
    for (int64_t i = chain.begin[s]; i < chain.begin[s + 1]; ++i) {
      const StateIndex next = chain.next[i];
      if (next == s) continue;
      diagonal += chain.weight[i];
      if (!has_level || next != reference) entries.emplace_back(s, next, -chain.weight[i]);
    }
    if (!has_level || s != reference) entries.emplace_back(s, s, diagonal);
    if (has_level) entries.emplace_back(s, reference, 1.0);
  }
  Eigen::SparseMatrix<double> matrix(n, n);
  matrix.setFromTriplets(entries.begin(), entries.end());
  Eigen::SparseLU<Eigen::SparseMatrix<double>> lu;
  lu.compute(matrix);
  if (lu.info() != Eigen::Success) return NotUnique(alpha);

  PolicyValues result;
  result.values.assign(static_cast<size_t>(n), 0.0);
  Eigen::VectorXd residual(n);
  double largest = 0;
  for (int round = 0; round <= kRefinements; ++round) {
    for (StateIndex s = 0; s < n; ++s) residual[s] = Residual(chain, s, result.values, alpha, result.level);
    Eigen::VectorXd step = lu.solve(residual);
    if (lu.info() != Eigen::Success || !step.allFinite()) return NotUnique(alpha);
    if (has_level) {
      result.level += step[reference];
      step[reference] = 0;
    }
    for (StateIndex s = 0; s < n; ++s) {
      result.values[s] += step[s];
      largest = std::max(largest, std::abs(result.values[s]));
    }
    result.correction = step.lpNorm<Eigen::Infinity>();
  }
  // A factorisation of a singular matrix may pass unnoticed; its refinement does not settle.
  if (!(result.correction <= 1e-6 * largest + std::numeric_limits<double>::min())) return NotUnique(alpha);
  return result;
}

}  // namespace berth::mdp

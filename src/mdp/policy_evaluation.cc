#include "mdp/policy_evaluation.h"

#include <Eigen/IterativeLinearSolvers>
#include <Eigen/SparseCore>
#include <Eigen/SparseLU>
#include <algorithm>
#include <cmath>
#include <limits>

namespace berth::mdp {
namespace {

constexpr int kRefinements = 3;
// More states than this are solved by BiCGStab, since a factorisation of a random graph fills up (3,000 states take
// 15 s); where it does not settle, up to the second number are factorised after all.
constexpr StateIndex kDirectStates = 500;
constexpr StateIndex kDirectStatesAtMost = 20'000;
// Of BiCGStab: how far a solve goes, how often the rest is solved again, and when that is enough.
constexpr double kKrylovTolerance = 1e-7;
constexpr int kKrylovRefinements = 12;
constexpr double kKrylovEnough = 1e-13;
constexpr int kKrylovIterations = 3000;

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

absl::StatusOr<PolicyValues> EvaluateBy(const PolicyChain& chain, double alpha, ValueLevel level, StateIndex reference,
                                        bool is_direct) {
  const StateIndex n = chain.num_states();
  // The column of the level makes the equations worse for BiCGStab, and with discount they do without.
  const bool has_level = level == ValueLevel::kRelative && (is_direct || alpha == 0);
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
    // A state in which the chain stops is worth 0.
    const bool is_stop = !has_level && diagonal == 0 && chain.reward[s] == 0;
    if (!has_level || s != reference) entries.emplace_back(s, s, is_stop ? 1.0 : diagonal);
    if (has_level) entries.emplace_back(s, reference, 1.0);
  }
  Eigen::SparseMatrix<double, Eigen::ColMajor> matrix;
  Eigen::SparseMatrix<double, Eigen::RowMajor> rows;
  Eigen::SparseLU<Eigen::SparseMatrix<double>> lu;
  Eigen::BiCGSTAB<Eigen::SparseMatrix<double, Eigen::RowMajor>> krylov;
  if (is_direct) {
    matrix.resize(n, n);
    matrix.setFromTriplets(entries.begin(), entries.end());
    lu.compute(matrix);
    if (lu.info() != Eigen::Success) return NotUnique(alpha);
  } else {
    rows.resize(n, n);
    rows.setFromTriplets(entries.begin(), entries.end());
    krylov.setTolerance(kKrylovTolerance);
    krylov.setMaxIterations(kKrylovIterations);
    krylov.compute(rows);
  }

  PolicyValues result;
  result.values.assign(static_cast<size_t>(n), 0.0);
  Eigen::VectorXd residual(n);
  double largest = 0;
  const int refinements = is_direct ? kRefinements : kKrylovRefinements;
  for (int round = 0; round <= refinements; ++round) {
    for (StateIndex s = 0; s < n; ++s) residual[s] = Residual(chain, s, result.values, alpha, result.level);
    Eigen::VectorXd step;
    if (is_direct) {
      step = lu.solve(residual);
      if (lu.info() != Eigen::Success) return NotUnique(alpha);
    } else {
      step = krylov.solve(residual);
    }
    if (!step.allFinite()) return NotUnique(alpha);
    if (has_level) {
      result.level += step[reference];
      step[reference] = 0;
    }
    for (StateIndex s = 0; s < n; ++s) {
      result.values[s] += step[s];
      largest = std::max(largest, std::abs(result.values[s]));
    }
    result.correction = step.lpNorm<Eigen::Infinity>();
    if (!is_direct && result.correction <= kKrylovEnough * largest) break;
  }
  // A factorisation of a singular matrix may pass unnoticed, and BiCGStab may fail: then the refinement does not settle.
  if (!(result.correction <= 1e-6 * largest + std::numeric_limits<double>::min())) return NotUnique(alpha);
  return result;
}

}  // namespace

absl::StatusOr<PolicyValues> EvaluatePolicy(const PolicyChain& chain, double alpha, ValueLevel level,
                                            StateIndex reference) {
  if (chain.num_states() <= kDirectStates) return EvaluateBy(chain, alpha, level, reference, true);
  auto evaluated = EvaluateBy(chain, alpha, level, reference, false);
  if (evaluated.ok() || chain.num_states() > kDirectStatesAtMost) return evaluated;
  return EvaluateBy(chain, alpha, level, reference, true);
}

}  // namespace berth::mdp

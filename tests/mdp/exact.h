// Small models solved in fractions, for the tests of src/mdp: nothing here rounds, and nothing here uses the solvers.
#ifndef BERTH_TESTS_MDP_EXACT_H_
#define BERTH_TESTS_MDP_EXACT_H_

#include <algorithm>
#include <boost/multiprecision/cpp_int.hpp>
#include <cstdint>
#include <utility>
#include <vector>

#include "support.h"

namespace berth::mdp {

using Fraction = boost::multiprecision::cpp_rational;
using FractionMatrix = std::vector<std::vector<Fraction>>;

// Every double is a fraction; a model of doubles is an exact model.
inline Fraction ToFraction(double x) { return Fraction(x); }

// Solves the n equations of `matrix` [n][n + 1], right side last. Singular systems are for the caller to avoid.
inline std::vector<Fraction> SolveFractions(FractionMatrix matrix) {
  const size_t n = matrix.size();
  for (size_t column = 0; column < n; ++column) {
    size_t pivot = column;
    while (pivot + 1 < n && matrix[pivot][column] == 0) ++pivot;
    std::swap(matrix[column], matrix[pivot]);
    for (size_t row = 0; row < n; ++row) {
      if (row == column || matrix[row][column] == 0) continue;
      const Fraction factor = matrix[row][column] / matrix[column][column];
      for (size_t k = column; k <= n; ++k) matrix[row][k] -= factor * matrix[column][k];
    }
  }
  std::vector<Fraction> x(n);
  for (size_t i = 0; i < n; ++i) x[i] = matrix[i][n] / matrix[i][i];
  return x;
}

// V = r + gamma P V of one policy; a state without actions is worth 0.
inline std::vector<Fraction> ExactValues(const PlainModel& plain, const std::vector<int32_t>& policy,
                                         const Fraction& gamma) {
  const size_t n = plain.size();
  FractionMatrix matrix(n, std::vector<Fraction>(n + 1, 0));
  for (size_t s = 0; s < n; ++s) {
    matrix[s][s] = 1;
    if (plain[s].empty()) continue;
    const PlainAction& action = plain[s][policy[s]];
    matrix[s][n] = ToFraction(action.reward);
    for (const Transition& t : action.to) matrix[s][t.next] -= gamma * ToFraction(t.weight);
  }
  return SolveFractions(std::move(matrix));
}

// The optimum of every state, by policy iteration. `sign` -1 for costs. gamma = 1 where every policy ends.
inline std::vector<Fraction> ExactOptimum(const PlainModel& plain, const Fraction& gamma, int sign) {
  std::vector<int32_t> policy(plain.size(), 0);
  for (;;) {
    const std::vector<Fraction> values = ExactValues(plain, policy, gamma);
    bool has_changed = false;
    for (size_t s = 0; s < plain.size(); ++s) {
      Fraction best = values[s];
      for (size_t a = 0; a < plain[s].size(); ++a) {
        Fraction q = ToFraction(plain[s][a].reward);
        for (const Transition& t : plain[s][a].to) q += gamma * ToFraction(t.weight) * values[t.next];
        if (sign * q <= sign * best) continue;
        best = q;
        policy[s] = static_cast<int32_t>(a);
        has_changed = true;
      }
    }
    if (!has_changed) return values;
  }
}

// The gain of every state under one policy: that of the closed classes, weighted by how likely each is reached.
inline std::vector<Fraction> ExactGains(const PlainModel& plain, const std::vector<int32_t>& policy) {
  const size_t n = plain.size();
  // reaches[s][j]: j can be reached from s.
  std::vector<std::vector<bool>> reaches(n, std::vector<bool>(n, false));
  for (size_t s = 0; s < n; ++s) {
    reaches[s][s] = true;
    if (plain[s].empty()) continue;
    for (const Transition& t : plain[s][policy[s]].to) reaches[s][t.next] = reaches[s][t.next] || t.weight > 0;
  }
  for (size_t k = 0; k < n; ++k) {
    for (size_t i = 0; i < n; ++i) {
      for (size_t j = 0; j < n; ++j) reaches[i][j] = reaches[i][j] || (reaches[i][k] && reaches[k][j]);
    }
  }
  std::vector<bool> is_recurrent(n, true);
  for (size_t s = 0; s < n; ++s) {
    for (size_t j = 0; j < n; ++j) is_recurrent[s] = is_recurrent[s] && (!reaches[s][j] || reaches[j][s]);
  }
  std::vector<Fraction> gains(n, 0);
  for (size_t s = 0; s < n; ++s) {
    if (!is_recurrent[s]) continue;
    std::vector<size_t> members;
    for (size_t j = 0; j < n; ++j) {
      if (reaches[s][j]) members.push_back(j);
    }
    if (members.front() != s) {
      gains[s] = gains[members.front()];
      continue;
    }
    // Unknowns: the gain, then h of all members but the first.
    const size_t m = members.size();
    FractionMatrix matrix(m, std::vector<Fraction>(m + 1, 0));
    for (size_t i = 0; i < m; ++i) {
      const size_t from = members[i];
      matrix[i][0] = 1;
      if (i > 0) matrix[i][i] += 1;
      if (plain[from].empty()) continue;
      const PlainAction& action = plain[from][policy[from]];
      matrix[i][m] = ToFraction(action.reward);
      for (const Transition& t : action.to) {
        const size_t to = std::find(members.begin(), members.end(), static_cast<size_t>(t.next)) - members.begin();
        if (to > 0 && to < m) matrix[i][to] -= ToFraction(t.weight);
      }
    }
    gains[s] = SolveFractions(std::move(matrix))[0];
  }
  FractionMatrix matrix(n, std::vector<Fraction>(n + 1, 0));
  for (size_t s = 0; s < n; ++s) {
    matrix[s][s] = 1;
    if (is_recurrent[s]) {
      matrix[s][n] = gains[s];
      continue;
    }
    for (const Transition& t : plain[s][policy[s]].to) matrix[s][t.next] -= ToFraction(t.weight);
  }
  return SolveFractions(std::move(matrix));
}

// The best gain from every state over all stationary policies.
inline std::vector<Fraction> ExactBestGains(const PlainModel& plain, int sign) {
  PlainModel padded = plain;
  std::vector<Fraction> best;
  for (auto& actions : padded) {
    if (actions.empty()) actions.resize(1);  // so that a terminal state has one policy
  }
  ForEachPolicy(padded, [&](const std::vector<int32_t>& policy) {
    const std::vector<Fraction> gains = ExactGains(plain, policy);
    if (best.empty()) best = gains;
    for (size_t s = 0; s < best.size(); ++s) {
      if (sign * gains[s] > sign * best[s]) best[s] = gains[s];
    }
  });
  return best;
}

}  // namespace berth::mdp

#endif  // BERTH_TESTS_MDP_EXACT_H_

// Small models and slow, independent answers for the tests of src/mdp. Nothing here uses the solvers.
#ifndef BERTH_TESTS_MDP_SUPPORT_H_
#define BERTH_TESTS_MDP_SUPPORT_H_

#include <cmath>
#include <cstdint>
#include <functional>
#include <limits>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "base/rng.h"
#include "mdp/model.h"

namespace berth::mdp {

using Exact = long double;  // 64 bits of mantissa: eleven more than what is tested

// A dense copy of a model, to compute with by hand.
struct PlainAction {
  double reward = 0;
  std::vector<Transition> to = {};
};
using PlainModel = std::vector<std::vector<PlainAction>>;  // [state][action]; no action: terminal

inline absl::StatusOr<SparseMdp> BuildFrom(const PlainModel& plain, RowKind kind = RowKind::kProbability) {
  SparseMdpBuilder builder(static_cast<StateIndex>(plain.size()), kind);
  for (StateIndex s = 0; s < static_cast<StateIndex>(plain.size()); ++s) {
    if (plain[s].empty()) {
      if (auto status = builder.DeclareTerminal(s); !status.ok()) return status;
    }
    for (int32_t a = 0; a < static_cast<int32_t>(plain[s].size()); ++a) {
      if (auto status = builder.AddAction(s, a, plain[s][a].reward, plain[s][a].to); !status.ok()) return status;
    }
  }
  return std::move(builder).Build();
}

// Gaussian elimination with row pivoting; nothing if singular. `matrix` is [n][n + 1], the right side last.
inline std::optional<std::vector<Exact>> SolveDense(std::vector<std::vector<Exact>> matrix) {
  const size_t n = matrix.size();
  for (size_t column = 0; column < n; ++column) {
    size_t pivot = column;
    for (size_t row = column; row < n; ++row) {
      if (std::abs(matrix[row][column]) > std::abs(matrix[pivot][column])) pivot = row;
    }
    if (std::abs(matrix[pivot][column]) < 1e-15L) return std::nullopt;
    std::swap(matrix[column], matrix[pivot]);
    for (size_t row = 0; row < n; ++row) {
      if (row == column) continue;
      const Exact factor = matrix[row][column] / matrix[column][column];
      for (size_t k = column; k <= n; ++k) matrix[row][k] -= factor * matrix[column][k];
    }
  }
  std::vector<Exact> solution(n);
  for (size_t i = 0; i < n; ++i) solution[i] = matrix[i][n] / matrix[i][i];
  return solution;
}

// V of a policy: alpha V(s) = r + scale * sum w (V(j) - V(s)). A terminal state has V = 0. Without one, and with
// discount, the unknowns are alpha V(0) and the differences to V(0): V itself would lose seven digits near gamma = 1.
inline std::optional<std::vector<Exact>> ValuesOfPolicy(const PlainModel& plain, const std::vector<int32_t>& policy,
                                                        Exact scale, Exact alpha) {
  const size_t n = plain.size();
  bool is_relative = alpha > 0;
  for (const auto& actions : plain) is_relative = is_relative && !actions.empty();
  std::vector<std::vector<Exact>> matrix(n, std::vector<Exact>(n + 1, 0));
  for (size_t s = 0; s < n; ++s) {
    if (plain[s].empty()) {
      matrix[s][s] = 1;
      continue;
    }
    const PlainAction& action = plain[s][policy[s]];
    matrix[s][n] = action.reward;
    matrix[s][s] += alpha;
    for (const Transition& t : action.to) {
      matrix[s][s] += scale * t.weight;
      matrix[s][t.next] -= scale * t.weight;
    }
    if (is_relative) matrix[s][0] = 1;
  }
  auto solution = SolveDense(std::move(matrix));
  if (solution && is_relative) {
    (*solution)[0] /= alpha;
    for (size_t s = 1; s < n; ++s) (*solution)[s] += (*solution)[0];
  }
  return solution;
}

// The gain of a policy whose chain has one closed class; h(0) = 0.
inline std::optional<Exact> GainOfPolicy(const PlainModel& plain, const std::vector<int32_t>& policy) {
  const size_t n = plain.size();
  std::vector<std::vector<Exact>> matrix(n, std::vector<Exact>(n + 1, 0));
  for (size_t s = 0; s < n; ++s) {
    const PlainAction& action = plain[s][policy[s]];
    matrix[s][n] = action.reward;
    for (const Transition& t : action.to) {
      matrix[s][s] += t.weight;
      matrix[s][t.next] -= t.weight;
    }
    matrix[s][0] = 1;  // the column of h(0) carries the gain
  }
  const auto solution = SolveDense(std::move(matrix));
  if (!solution) return std::nullopt;
  return (*solution)[0];
}

// Calls visit for every stationary deterministic policy.
inline void ForEachPolicy(const PlainModel& plain, const std::function<void(const std::vector<int32_t>&)>& visit) {
  std::vector<int32_t> policy(plain.size(), 0);
  for (;;) {
    visit(policy);
    size_t s = 0;
    while (s < plain.size() && ++policy[s] >= static_cast<int32_t>(plain[s].size())) policy[s++] = 0;
    if (s == plain.size()) return;
  }
}

// The optimum of every state over all stationary policies.
inline std::vector<Exact> BestValues(const PlainModel& plain, Exact scale, Exact alpha) {
  std::vector<Exact> best(plain.size(), -std::numeric_limits<Exact>::infinity());
  ForEachPolicy(plain, [&](const std::vector<int32_t>& policy) {
    const auto values = ValuesOfPolicy(plain, policy, scale, alpha);
    if (!values) return;
    for (size_t s = 0; s < best.size(); ++s) best[s] = std::max(best[s], (*values)[s]);
  });
  return best;
}

inline Exact BestGain(const PlainModel& plain) {
  Exact best = -std::numeric_limits<Exact>::infinity();
  ForEachPolicy(plain, [&](const std::vector<int32_t>& policy) {
    if (const auto gain = GainOfPolicy(plain, policy)) best = std::max(best, *gain);
  });
  return best;
}

// The checker: the first state whose exact value is not within [lower, upper], or whose value is off by more than
// `error`.
inline std::optional<size_t> FirstFalseBound(std::span<const double> values, std::span<const double> lower,
                                             std::span<const double> upper, double error,
                                             std::span<const Exact> exact) {
  for (size_t s = 0; s < exact.size(); ++s) {
    const bool holds = lower[s] <= exact[s] && exact[s] <= upper[s] && std::abs(values[s] - exact[s]) <= error;
    if (!holds) return s;
  }
  return std::nullopt;
}

// Random rows of `successors` distinct states; rewards in [-1, 1), some of them equal, so that ties occur.
inline PlainModel RandomModel(Rng& rng, StateIndex num_states, int32_t max_actions, StateIndex successors) {
  PlainModel plain(static_cast<size_t>(num_states));
  std::vector<StateIndex> states(static_cast<size_t>(num_states));
  for (StateIndex s = 0; s < num_states; ++s) states[s] = s;
  for (auto& actions : plain) {
    actions.resize(1 + rng.Below(static_cast<uint64_t>(max_actions)));
    for (PlainAction& action : actions) {
      action.reward = static_cast<double>(rng.Below(9)) / 4 - 1;
      rng.Shuffle(states);
      double sum = 0;
      for (StateIndex i = 0; i < successors; ++i) {
        action.to.push_back({states[i], rng.Exponential(1) + 1e-3});
        sum += action.to.back().weight;
      }
      for (Transition& t : action.to) t.weight /= sum;
    }
    // A second copy of an action is a tie that no arithmetic can break.
    if (rng.Below(3) == 0) actions.push_back(actions.front());
  }
  return plain;
}

}  // namespace berth::mdp

#endif  // BERTH_TESTS_MDP_SUPPORT_H_

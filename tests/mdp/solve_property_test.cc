// On random models of a few states, solved in fractions beside: every method of SolveModel gives bounds that contain
// the exact optimum of every state, lists every optimal action, and agrees with every other method and with the linear
// program within the sum of the half widths. Ten thousand models in all.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include "base/rng.h"
#include "exact.h"
#include "lp/linear_program.h"
#include "mdp/solve.h"
#include "support.h"

namespace berth::mdp {
namespace {

// Sixteenths, so that every number is an exact double; some models have ties, duplicated actions, periods, states that
// do nothing and states that are the end.
PlainModel DyadicModel(Rng& rng, StateIndex num_states, bool always_ends) {
  PlainModel plain(static_cast<size_t>(num_states));
  const bool is_deterministic = !always_ends && rng.Below(4) == 0;  // periodic chains
  for (StateIndex s = 0; s < num_states; ++s) {
    const bool is_end = always_ends ? s == num_states - 1 : rng.Below(8) == 0;
    if (is_end) continue;
    auto& actions = plain[s];
    actions.resize(1 + rng.Below(3));
    for (PlainAction& action : actions) {
      action.reward = static_cast<double>(rng.Below(9)) / 4 - 1;
      std::vector<int> sixteenths(static_cast<size_t>(num_states), 0);
      int left = 16;
      if (always_ends) {
        const int ends = 1 + static_cast<int>(rng.Below(8));
        sixteenths[num_states - 1] = ends;
        left -= ends;
      }
      while (left > 0) {
        const int part = is_deterministic ? left : 1 + static_cast<int>(rng.Below(static_cast<uint64_t>(left)));
        sixteenths[rng.Below(static_cast<uint64_t>(num_states))] += part;
        left -= part;
      }
      for (StateIndex j = 0; j < num_states; ++j) {
        if (sixteenths[j] > 0) action.to.push_back({j, sixteenths[j] / 16.0});
      }
    }
    if (rng.Below(3) == 0) actions.push_back(actions.front());
  }
  return plain;
}

// Least sum of V with V >= r + gamma P V; the mirror image for costs.
std::vector<double> SolveByLp(const PlainModel& plain, double gamma, int sign) {
  LinearProgram lp;
  std::vector<int> column;
  for (size_t s = 0; s < plain.size(); ++s) {
    const double limit = plain[s].empty() ? 0 : LinearProgram::kInfinity;
    column.push_back(lp.AddColumn(-1, -limit, limit, {}));
  }
  for (size_t s = 0; s < plain.size(); ++s) {
    for (const PlainAction& action : plain[s]) {
      std::vector<LpEntry> row;
      double own = 1;
      for (const Transition& t : action.to) {
        if (static_cast<size_t>(t.next) == s) {
          own -= gamma * t.weight;
        } else {
          row.push_back({column[t.next], -gamma * t.weight});
        }
      }
      row.push_back({column[s], own});
      lp.AddRow(sign * action.reward, LinearProgram::kInfinity, row);
    }
  }
  EXPECT_TRUE(lp.Solve().ok());
  std::vector<double> values;
  for (const int c : column) values.push_back(sign * lp.value(c));
  return values;
}

struct Case {
  PlainModel plain;
  Criterion criterion;
  std::vector<Fraction> exact;
  Fraction gamma;
};

Case Draw(Rng& rng, uint64_t number) {
  Case c;
  const int sign = rng.Below(2) == 0 ? 1 : -1;
  c.criterion.objective = sign > 0 ? Objective::kMaximize : Objective::kMinimize;
  switch (number % 3) {
    case 0: {
      c.plain = DyadicModel(rng, 1 + static_cast<StateIndex>(rng.Below(6)), false);
      c.criterion.kind = CriterionKind::kDiscounted;
      const double losses[] = {1.0, 0.5, 1.0 / 16, 1.0 / 1024};
      c.criterion.one_minus_gamma = losses[rng.Below(4)];
      c.gamma = 1 - ToFraction(c.criterion.one_minus_gamma);
      c.exact = ExactOptimum(c.plain, c.gamma, sign);
      break;
    }
    case 1:
      c.plain = DyadicModel(rng, 2 + static_cast<StateIndex>(rng.Below(5)), true);
      c.criterion.kind = CriterionKind::kTotal;
      c.gamma = 1;
      c.exact = ExactOptimum(c.plain, c.gamma, sign);
      break;
    default:
      c.plain = DyadicModel(rng, 1 + static_cast<StateIndex>(rng.Below(4)), false);
      c.criterion.kind = CriterionKind::kAverage;
      c.exact = ExactBestGains(c.plain, sign);
  }
  return c;
}

// The first state whose exact value is outside of the bounds; the checker of this file.
std::optional<size_t> FirstOutside(const ModelSolution& solution, const std::vector<Fraction>& exact) {
  for (size_t s = 0; s < exact.size(); ++s) {
    const Fraction v = exact[s];
    const bool holds = ToFraction(solution.lower[s]) <= v && v <= ToFraction(solution.upper[s]) &&
                       abs(ToFraction(solution.values[s]) - v) <= ToFraction(solution.error);
    if (!holds) return s;
  }
  return std::nullopt;
}

// Every action whose exact worth is that of the state is listed, and with a small error no other whose loss is large.
void ExpectListsOptimal(const Case& c, const ModelSolution& solution) {
  if (c.criterion.kind == CriterionKind::kAverage) return;
  for (size_t s = 0; s < c.plain.size(); ++s) {
    for (size_t a = 0; a < c.plain[s].size(); ++a) {
      Fraction q = ToFraction(c.plain[s][a].reward);
      for (const Transition& t : c.plain[s][a].to) q += c.gamma * ToFraction(t.weight) * c.exact[t.next];
      const auto listed = solution.optimal(static_cast<StateIndex>(s));
      const bool is_listed = std::find(listed.begin(), listed.end(), static_cast<int32_t>(a)) != listed.end();
      const Fraction loss = abs(q - c.exact[s]);
      if (loss == 0) {
        EXPECT_TRUE(is_listed) << "state " << s << ", action " << a;
      } else if (loss > Fraction(1, 1000)) {
        EXPECT_FALSE(is_listed) << "state " << s << ", action " << a;
      }
    }
  }
}

void RunCases(uint64_t first, uint64_t count) {
  for (uint64_t number = first; number < first + count; ++number) {
    SCOPED_TRACE("model " + std::to_string(number));
    Rng rng(1'000'000 + number);
    const Case c = Draw(rng, number);
    const auto mdp = BuildFrom(c.plain);
    ASSERT_TRUE(mdp.ok()) << mdp.status();
    std::vector<double> reference;
    double reference_error = 0;
    const auto expect_agrees = [&](const std::vector<double>& values, double error) {
      if (reference.empty()) {
        reference = values;
        reference_error = error;
      }
      for (size_t s = 0; s < values.size(); ++s) {
        EXPECT_LE(std::abs(values[s] - reference[s]), error + reference_error) << "state " << s;
      }
    };
    for (const Method method : kAllMethods) {
      if (!MethodApplies(*mdp, c.criterion, method).ok()) continue;
      SCOPED_TRACE(MethodName(method));
      ModelSolveOptions options;
      // Rounding alone is 1e-8 where V is near 2000 and divided by 1 - gamma = 1/1024.
      options.epsilon = c.criterion.one_minus_gamma == 1.0 / 1024 ? 1e-7 : 1e-8;
      options.max_sweeps = 200'000;
      options.storage = number % 2 == 0 ? Storage::kCompressed : Storage::kSell8;
      const auto solution = SolveModel(*mdp, c.criterion, method, options);
      ASSERT_TRUE(solution.ok()) << solution.status();
      EXPECT_EQ(solution->stop, StopReason::kConverged);
      const auto wrong = FirstOutside(*solution, c.exact);
      ASSERT_FALSE(wrong.has_value()) << "state " << *wrong << ": [" << solution->lower[*wrong] << ", "
                                      << solution->upper[*wrong] << "], exact " << static_cast<double>(c.exact[*wrong]);
      ExpectListsOptimal(c, *solution);
      expect_agrees(solution->values, solution->error);
      // Cut short, from a bad start: still true.
      if (number % 5 == 0 && method != Method::kPolicyIteration) {
        std::vector<double> start(c.plain.size());
        for (size_t s = 0; s < start.size(); ++s) start[s] = c.plain[s].empty() ? 0 : 100 * rng.Normal();
        options.warm_start = start;
        options.max_sweeps = 1 + static_cast<int64_t>(rng.Below(5));
        const auto cut = SolveModel(*mdp, c.criterion, method, options);
        if (cut.ok()) {
          EXPECT_FALSE(FirstOutside(*cut, c.exact).has_value());
        } else {
          EXPECT_EQ(cut.status().code(), absl::StatusCode::kFailedPrecondition);  // a total reward needs its step bound
        }
      }
    }
    if (c.criterion.kind == CriterionKind::kAverage) continue;
    // The linear program has no error of its own: the certificate of its values gives it one.
    const double gamma = static_cast<double>(c.gamma);
    const int sign = c.criterion.objective == Objective::kMaximize ? 1 : -1;
    const std::vector<double> by_lp = SolveByLp(c.plain, gamma, sign);
    ModelSolveOptions options;
    options.epsilon = 1e-6;
    options.warm_start = by_lp;
    const auto certified = SolveModel(*mdp, c.criterion, Method::kGaussSeidel, options);
    ASSERT_TRUE(certified.ok()) << certified.status();
    expect_agrees(certified->values, certified->error);
    for (size_t s = 0; s < by_lp.size(); ++s) EXPECT_NEAR(by_lp[s], certified->values[s], 1e-5);
  }
}

TEST(SolveProperty, EveryMethodContainsTheExactAnswerOnAThousandModels) { RunCases(0, 1000); }
TEST(SolveProperty, EveryMethodContainsTheExactAnswerOnThreeThousandMore) { RunCases(1000, 3000); }
TEST(SolveProperty, EveryMethodContainsTheExactAnswerOnTheNextThreeThousand) { RunCases(4000, 3000); }
TEST(SolveProperty, EveryMethodContainsTheExactAnswerOnTheLastThreeThousand) { RunCases(7000, 3000); }

TEST(SolveProperty, TheCheckerCatchesABoundThatIsOffByLittle) {
  Rng rng(7);
  const Case c = Draw(rng, 0);
  const auto mdp = BuildFrom(c.plain);
  ASSERT_TRUE(mdp.ok());
  auto solution = SolveModel(*mdp, c.criterion, Method::kAuto);
  ASSERT_TRUE(solution.ok());
  ASSERT_FALSE(FirstOutside(*solution, c.exact).has_value());
  for (size_t s = 0; s < c.exact.size(); ++s) {
    solution->lower[s] = static_cast<double>(c.exact[s]) + 1e-9;
    solution->upper[s] = solution->lower[s] + 1e-12;
  }
  EXPECT_TRUE(FirstOutside(*solution, c.exact).has_value());
}

}  // namespace
}  // namespace berth::mdp

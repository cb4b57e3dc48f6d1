// Total rewards where some choice never ends, on random models of a few states, against every stationary policy in
// fractions: a model is solved if and only if every state has a finite best total, by every method, and the bounds
// contain it and the value of the policy returned. Loops of both signs and of mean 0, idle components, ties, ends that
// can't be reached and models without an end are all drawn.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <vector>

#include "base/rng.h"
#include "exact.h"
#include "mdp/solve.h"
#include "support.h"

namespace berth::mdp {
namespace {

using testing::AnyOf;
using testing::HasSubstr;

struct Case {
  PlainModel plain;
  std::vector<bool> is_absorbing;
  Objective objective = Objective::kMaximize;
  int sign() const { return objective == Objective::kMaximize ? 1 : -1; }
};

Case Draw(Rng& rng) {
  Case c;
  const auto n = static_cast<StateIndex>(1 + rng.Below(5));
  c.plain.resize(static_cast<size_t>(n));
  c.is_absorbing.assign(static_cast<size_t>(n), false);
  if (rng.Below(2) == 0) c.objective = Objective::kMinimize;
  const bool has_end = rng.Below(6) != 0;
  // How often an action earns 0, goes to one state alone, gains.
  const bool is_fair = rng.Below(10) == 0;  // as many gains as losses, all of one size: loops of mean 0
  const uint64_t zeros = rng.Below(4), sure = is_fair ? 4 : rng.Below(4), gains = is_fair ? 6 : rng.Below(6);
  const bool is_dyadic = is_fair || rng.Below(2) == 0;
  for (StateIndex s = 0; s < n; ++s) {
    const bool is_end = has_end && (s == n - 1 || rng.Below(8) == 0);
    if (is_end && rng.Below(2) == 0) continue;
    c.is_absorbing[s] = is_end;
    auto& actions = c.plain[s];
    actions.resize(1 + rng.Below(3));
    for (PlainAction& action : actions) {
      if (rng.Below(4) >= zeros) {
        const double size = is_fair ? 1 : static_cast<double>(1 + rng.Below(4)) / 4;
        action.reward = c.sign() * size * (rng.Below(12) < gains ? 1 : -1);
      }
      std::vector<int> eighths(static_cast<size_t>(n), 0);
      for (int left = 8; left > 0;) {
        const int part = rng.Below(4) < sure ? left : 1 + static_cast<int>(rng.Below(static_cast<uint64_t>(left)));
        eighths[rng.Below(static_cast<uint64_t>(n))] += part;
        left -= part;
      }
      for (StateIndex j = 0; j < n; ++j) {
        if (eighths[j] > 0)
          action.to.push_back({j, is_dyadic ? eighths[j] / 8.0 : eighths[j] / 8.0 * rng.Exponential(1)});
      }
      if (is_dyadic) continue;
      action.reward *= rng.Exponential(1);
      double sum = 0;
      for (const Transition& t : action.to) sum += t.weight;
      for (Transition& t : action.to) t.weight /= sum;
    }
    if (rng.Below(4) == 0) actions.push_back(actions.front());
  }
  return c;
}

// The numbers that the model has, after its rows were scaled to sum to one. What they still lack counts as staying, in
// the model and below.
void TakeNumbersOf(const SparseMdp& mdp, PlainModel& plain) {
  for (StateIndex s = 0; s < mdp.num_states(); ++s) {
    for (int32_t a = 0; a < mdp.num_actions(s); ++a) {
      size_t i = 0;
      mdp.VisitSuccessors(s, a, [&](StateIndex, double weight) { plain[s][a].to[i++].weight = weight; });
    }
  }
}

// What one policy earns from every state: nothing where that is minus infinity.
struct PolicyTotal {
  std::vector<std::optional<Fraction>> values;
  bool never_ends = false;      // some class is never left
  bool gains_for_ever = false;  // some class is never left and gains
  bool sways_for_ever = false;  // some class is never left and earns 0 on average, but not by doing nothing
};

PolicyTotal TotalOf(const Case& c, const std::vector<int32_t>& policy) {
  const size_t n = c.plain.size();
  // Ends are states that stay for nothing.
  const auto is_end = [&](size_t s) { return c.plain[s].empty() || c.is_absorbing[s]; };
  PlainModel chain(n);
  for (size_t s = 0; s < n; ++s) {
    if (!is_end(s)) {
      chain[s] = {c.plain[s][policy[s]]};
      chain[s][0].reward *= c.sign();
    }
  }
  const std::vector<int32_t> only(n, 0);
  const std::vector<Fraction> gains = ExactGains(chain, only);
  std::vector<std::vector<bool>> reaches(n, std::vector<bool>(n, false));
  for (size_t s = 0; s < n; ++s) {
    reaches[s][s] = true;
    for (const PlainAction& action : chain[s]) {
      for (const Transition& t : action.to) reaches[s][t.next] = true;
    }
  }
  for (size_t k = 0; k < n; ++k) {
    for (size_t i = 0; i < n; ++i) {
      for (size_t j = 0; j < n; ++j) reaches[i][j] = reaches[i][j] || (reaches[i][k] && reaches[k][j]);
    }
  }
  PolicyTotal total;
  std::vector<bool> is_idle(n, false), is_losing(n, false);  // of recurrent states
  for (size_t s = 0; s < n; ++s) {
    bool is_recurrent = true, earns_nothing = true;
    for (size_t j = 0; j < n; ++j) {
      if (!reaches[s][j]) continue;
      is_recurrent = is_recurrent && reaches[j][s];
      earns_nothing = earns_nothing && (chain[j].empty() || chain[j][0].reward == 0);
    }
    if (!is_recurrent) continue;
    total.never_ends = total.never_ends || !chain[s].empty();
    is_idle[s] = earns_nothing;
    is_losing[s] = gains[s] < 0;
    total.gains_for_ever = total.gains_for_ever || gains[s] > 0;
    total.sways_for_ever = total.sways_for_ever || (gains[s] == 0 && !earns_nothing);
  }
  FractionMatrix matrix(n, std::vector<Fraction>(n + 1, 0));
  std::vector<bool> is_lost(n, false);
  for (size_t s = 0; s < n; ++s) {
    for (size_t j = 0; j < n; ++j) is_lost[s] = is_lost[s] || (reaches[s][j] && is_losing[j]);
  }
  for (size_t s = 0; s < n; ++s) {
    if (is_lost[s] || is_idle[s] || chain[s].empty()) {
      matrix[s][s] = 1;
      continue;
    }
    matrix[s][n] = ToFraction(chain[s][0].reward);
    for (const Transition& t : chain[s][0].to) {
      matrix[s][s] += ToFraction(t.weight);
      matrix[s][t.next] -= ToFraction(t.weight);
    }
  }
  total.values.resize(n);
  if (total.gains_for_ever || total.sways_for_ever) return total;
  const std::vector<Fraction> values = SolveFractions(std::move(matrix));
  for (size_t s = 0; s < n; ++s) {
    if (!is_lost[s]) total.values[s] = values[s];
  }
  return total;
}

struct Truth {
  std::vector<std::optional<Fraction>> best;
  bool gains_for_ever = false, sways_for_ever = false, is_lost = false;
  bool may_never_end = false;
  bool is_finite() const { return !gains_for_ever && !sways_for_ever && !is_lost; }
};

Truth Solve(const Case& c) {
  Truth truth;
  truth.best.resize(c.plain.size());
  PlainModel padded = c.plain;
  for (auto& actions : padded) {
    if (actions.empty()) actions.resize(1);  // so that a terminal state has one policy
  }
  ForEachPolicy(padded, [&](const std::vector<int32_t>& policy) {
    const PolicyTotal total = TotalOf(c, policy);
    truth.may_never_end = truth.may_never_end || total.never_ends;
    truth.gains_for_ever = truth.gains_for_ever || total.gains_for_ever;
    truth.sways_for_ever = truth.sways_for_ever || total.sways_for_ever;
    for (size_t s = 0; s < c.plain.size(); ++s) {
      if (total.values[s] && (!truth.best[s] || *total.values[s] > *truth.best[s])) truth.best[s] = total.values[s];
    }
  });
  for (const auto& best : truth.best) truth.is_lost = truth.is_lost || !best;
  return truth;
}

// The first state whose bounds don't contain `values` (for a reward to be maximised).
std::optional<size_t> FirstOutside(const Case& c, const ModelSolution& solution,
                                   const std::vector<std::optional<Fraction>>& values) {
  for (size_t s = 0; s < values.size(); ++s) {
    if (!values[s]) return s;
    const Fraction v = c.sign() * *values[s];
    if (ToFraction(solution.lower[s]) > v || v > ToFraction(solution.upper[s]) ||
        abs(ToFraction(solution.values[s]) - v) > ToFraction(solution.error)) {
      return s;
    }
  }
  return std::nullopt;
}

void ExpectSolved(const Case& c, const Truth& truth, const ModelSolution& solution) {
  const auto wrong = FirstOutside(c, solution, truth.best);
  ASSERT_FALSE(wrong.has_value()) << "state " << *wrong << ": [" << solution.lower[*wrong] << ", "
                                  << solution.upper[*wrong] << "], exact "
                                  << c.sign() * static_cast<double>(*truth.best[*wrong]);
  std::vector<int32_t> policy = solution.policy;
  for (int32_t& action : policy) action = std::max(action, 0);
  const auto wrong_policy = FirstOutside(c, solution, TotalOf(c, policy).values);
  ASSERT_FALSE(wrong_policy.has_value()) << "policy of state " << *wrong_policy;
  // Every optimal action is listed.
  for (size_t s = 0; s < c.plain.size(); ++s) {
    for (size_t a = 0; a < c.plain[s].size(); ++a) {
      Fraction q = *truth.best[s] + c.sign() * ToFraction(c.plain[s][a].reward);
      for (const Transition& t : c.plain[s][a].to) q += ToFraction(t.weight) * (*truth.best[t.next] - *truth.best[s]);
      if (q == *truth.best[s] || c.is_absorbing[s]) {
        EXPECT_THAT(solution.optimal(static_cast<StateIndex>(s)), testing::Contains(static_cast<int32_t>(a)))
            << "state " << s;
      }
    }
  }
}

struct Counts {
  int solved = 0, never_ending = 0, gaining = 0, swaying = 0, lost = 0, cut = 0, cut_solved = 0;
};

void RunCases(uint64_t first, uint64_t count, Counts& counts) {
  for (uint64_t number = first; number < first + count; ++number) {
    SCOPED_TRACE("model " + std::to_string(number));
    Rng rng(3'000'000 + number);
    Case c = Draw(rng);
    const auto mdp = BuildFrom(c.plain);
    ASSERT_TRUE(mdp.ok()) << mdp.status();
    TakeNumbersOf(*mdp, c.plain);
    const Truth truth = Solve(c);
    const Criterion criterion = {.kind = CriterionKind::kTotal, .objective = c.objective};
    counts.solved += truth.is_finite() ? 1 : 0;
    counts.never_ending += truth.is_finite() && truth.may_never_end ? 1 : 0;
    counts.gaining += truth.gains_for_ever ? 1 : 0;
    counts.swaying += truth.sways_for_ever ? 1 : 0;
    counts.lost += truth.is_lost && !truth.gains_for_ever && !truth.sways_for_ever ? 1 : 0;
    for (const Method method : kAllMethods) {
      if (!MethodApplies(*mdp, criterion, method).ok()) continue;
      SCOPED_TRACE(MethodName(method));
      ModelSolveOptions options;
      options.epsilon = 1e-7;
      options.max_sweeps = 200'000;
      const auto solution = SolveModel(*mdp, criterion, method, options, c.is_absorbing);
      if (!truth.is_finite()) {
        ASSERT_EQ(solution.status().code(), absl::StatusCode::kInvalidArgument) << solution.status();
        const std::string message(solution.status().message());
        if (!truth.sways_for_ever && !truth.is_lost) {
          EXPECT_THAT(message, HasSubstr("so that the best total is infinite"));
        } else if (!truth.gains_for_ever && !truth.is_lost) {
          EXPECT_THAT(message, HasSubstr("more than double precision can tell"));
        } else if (!truth.gains_for_ever && !truth.sways_for_ever) {
          EXPECT_THAT(message, HasSubstr(c.sign() > 0 ? "the total is minus infinite" : "the total is infinite"));
        }
        continue;
      }
      ASSERT_TRUE(solution.ok()) << solution.status();
      EXPECT_EQ(solution->stop, StopReason::kConverged) << StopReasonName(solution->stop) << solution->error;
      EXPECT_LE(solution->error, options.epsilon);
      ExpectSolved(c, truth, *solution);
      // Cut short, from a bad start: still true.
      options.epsilon = 0;
      options.max_sweeps = 1 + static_cast<int64_t>(rng.Below(60));
      std::vector<double> start(c.plain.size());
      for (double& v : start) v = 10 * rng.Normal();
      if (rng.Below(2) == 0) options.warm_start = start;
      const auto cut = SolveModel(*mdp, criterion, method, options, c.is_absorbing);
      ++counts.cut;
      if (cut.ok()) {
        ExpectSolved(c, truth, *cut);
        ++counts.cut_solved;
      } else {
        EXPECT_EQ(cut.status().code(), absl::StatusCode::kFailedPrecondition) << cut.status();
      }
    }
  }
}

void RunAll(uint64_t first, uint64_t count) {
  Counts counts;
  RunCases(first, count, counts);
  const int share = static_cast<int>(count) / 100;
  EXPECT_GT(counts.never_ending, 20 * share);
  EXPECT_GT(counts.gaining, 10 * share);
  EXPECT_GT(counts.swaying, share);
  EXPECT_GT(counts.lost, 5 * share);
  EXPECT_GT(counts.cut_solved, counts.cut / 4);
  GTEST_LOG_(INFO) << counts.solved << " solved, " << counts.never_ending << " of them may never end, "
                   << counts.gaining << " gain, " << counts.swaying << " sway, " << counts.lost << " lost, "
                   << counts.cut_solved << " of " << counts.cut << " cut short have bounds";
}

TEST(ImproperTotalProperty, SolvedIfAndOnlyIfTheBestTotalIsFiniteOnAThousandModels) { RunAll(0, 1000); }
TEST(ImproperTotalProperty, SolvedIfAndOnlyIfTheBestTotalIsFiniteOnFourThousandMore) { RunAll(1000, 4000); }

TEST(ImproperTotalProperty, TheCheckerCatchesABoundThatIsOffByLittle) {
  const Case c = {.plain = {{{-1, {{0, 1}}}, {-3, {{1, 1}}}}, {}}, .is_absorbing = {false, true}};
  const auto mdp = BuildFrom(c.plain);
  auto solution = SolveModel(*mdp, {.kind = CriterionKind::kTotal}, Method::kAuto, {}, c.is_absorbing);
  ASSERT_TRUE(solution.ok()) << solution.status();
  const Truth truth = Solve(c);
  ASSERT_FALSE(FirstOutside(c, *solution, truth.best).has_value());
  solution->lower[0] = -3 + 1e-9;
  EXPECT_EQ(FirstOutside(c, *solution, truth.best), 0);
}

}  // namespace
}  // namespace berth::mdp

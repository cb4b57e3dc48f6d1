// Total rewards where some choice never ends: what each kind of loop is worth, and what is refused.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <string>
#include <vector>

#include "mdp/solve.h"
#include "support.h"

namespace berth::mdp {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

constexpr Method kMethods[] = {Method::kValueIteration,  Method::kGaussSeidel, Method::kModifiedPolicyIteration,
                               Method::kPolicyIteration, Method::kTopological, Method::kAuto};

SparseMdp Build(const PlainModel& plain) {
  auto mdp = BuildFrom(plain);
  EXPECT_TRUE(mdp.ok()) << mdp.status();
  return *std::move(mdp);
}

Criterion Total(Objective objective) { return {.kind = CriterionKind::kTotal, .objective = objective}; }

// By every method; the policy and the optimal actions are those of the last.
ModelSolution ExpectValues(const PlainModel& plain, Objective objective, const std::vector<double>& wanted,
                           double epsilon = 1e-9) {
  const SparseMdp mdp = Build(plain);
  ModelSolution last;
  for (const Method method : kMethods) {
    SCOPED_TRACE(MethodName(method));
    if (!MethodApplies(mdp, Total(objective), method).ok()) continue;
    auto solution = SolveModel(mdp, Total(objective), method, {.epsilon = epsilon});
    EXPECT_TRUE(solution.ok()) << solution.status();
    if (!solution.ok()) continue;
    EXPECT_EQ(solution->stop, StopReason::kConverged);
    EXPECT_LE(solution->error, epsilon);
    for (size_t s = 0; s < wanted.size(); ++s) {
      EXPECT_LE(solution->lower[s], wanted[s]) << "state " << s;
      EXPECT_GE(solution->upper[s], wanted[s]) << "state " << s;
    }
    last = *std::move(solution);
  }
  return last;
}

std::string Refusal(const PlainModel& plain, Objective objective = Objective::kMaximize) {
  const auto solution = SolveModel(Build(plain), Total(objective), Method::kAuto);
  EXPECT_EQ(solution.status().code(), absl::StatusCode::kInvalidArgument) << solution.status();
  return std::string(solution.status().message());
}

TEST(ImproperTotal, ALoopThatLosesIsLeft) {
  const ModelSolution solution = ExpectValues({{{-1, {{0, 1}}}, {-3, {{1, 1}}}}, {}}, Objective::kMaximize, {-3, 0});
  EXPECT_THAT(solution.policy, ElementsAre(1, -1));
  // The shortest path with costs, and a cycle of two that only costs.
  ExpectValues({{{1, {{1, 1}}}, {9, {{2, 1}}}}, {{1, {{0, 1}}}, {4, {{2, 1}}}}, {}}, Objective::kMinimize, {5, 4, 0});
}

TEST(ImproperTotal, StayingForNothingIsWorthNothing) {
  // To leave gains 2, or costs 2.
  EXPECT_THAT(ExpectValues({{{0, {{0, 1}}}, {2, {{1, 1}}}}, {}}, Objective::kMaximize, {2, 0}).policy,
              ElementsAre(1, -1));
  EXPECT_THAT(ExpectValues({{{0, {{0, 1}}}, {-2, {{1, 1}}}}, {}}, Objective::kMaximize, {0, 0}).policy,
              ElementsAre(0, -1));
  EXPECT_THAT(ExpectValues({{{0, {{0, 1}}}, {2, {{1, 1}}}}, {}}, Objective::kMinimize, {0, 0}).policy,
              ElementsAre(0, -1));
  // No state is an end.
  ExpectValues({{{-5, {{1, 1}}}, {-1, {{0, 1}}}}, {{0, {{2, 0.5}, {1, 0.5}}}}, {{0, {{1, 1}}}}}, Objective::kMaximize,
               {-5, 0, 0});
}

TEST(ImproperTotal, StatesThatReachEachOtherForNothingAreWorthTheSame) {
  // From 0 and 1 one goes around for nothing; only 2, which they reach by chance, leaves for 7.
  const PlainModel plain = {{{0, {{1, 1}}}, {1, {{3, 1}}}},
                            {{0, {{0, 0.5}, {2, 0.5}}}},
                            {{0, {{0, 1}}}, {7, {{3, 1}}}, {-1, {{2, 0.5}, {3, 0.5}}}},
                            {}};
  const ModelSolution solution = ExpectValues(plain, Objective::kMaximize, {7, 7, 7, 0});
  EXPECT_THAT(solution.policy, ElementsAre(0, 0, 1, -1));
  EXPECT_EQ(solution.optimal_actions, std::vector<int32_t>({0, 0, 0, 1}));
}

TEST(ImproperTotal, TiesBetweenEndingSoonAndLateAreBounded) {
  // Both ways are worth -2; the second takes 64 steps on average.
  const double slow = 1.0 / 64;
  ExpectValues({{{-2, {{1, 1}}}, {-2 * slow, {{0, 1 - slow}, {1, slow}}}, {-1, {{0, 1}}}}, {}}, Objective::kMaximize,
               {-2, 0});
}

TEST(ImproperTotal, ALoopThatLosesLittleBesideADearExit) {
  ExpectValues({{{-1e-6, {{1, 1}}}, {-1000, {{2, 1}}}}, {{-1e-6, {{0, 1}}}}, {}}, Objective::kMaximize,
               {-1000, -1000.000001, 0}, 1e-6);
}

TEST(ImproperTotal, EveryMethodAgreesOnAThousandStates) {
  Rng rng(11);
  constexpr StateIndex n = 1000;
  PlainModel plain(n);
  for (StateIndex s = 0; s + 1 < n; ++s) {
    const auto any = [&] { return static_cast<StateIndex>(rng.Below(n)); };
    const StateIndex near = std::min<StateIndex>(n - 1, s + 1 + static_cast<StateIndex>(rng.Below(50)));
    plain[s] = {{-rng.Uniform(), {{near, 0.5}, {s, 0.5}}}, {-rng.Uniform() / 4, {{any(), 1}}}, {-0.125, {{s, 1}}}};
    if (s % 50 == 0) plain[s].push_back({0, {{s, 1}}});
  }
  const SparseMdp mdp = Build(plain);
  std::vector<double> reference;
  for (const Method method : kMethods) {
    SCOPED_TRACE(MethodName(method));
    if (!MethodApplies(mdp, Total(Objective::kMaximize), method).ok()) continue;
    const auto solution = SolveModel(mdp, Total(Objective::kMaximize), method, {.epsilon = 1e-7});
    ASSERT_TRUE(solution.ok()) << solution.status();
    EXPECT_EQ(solution->stop, StopReason::kConverged);
    EXPECT_LE(solution->error, 1e-7);
    if (reference.empty()) reference = solution->values;
    for (StateIndex s = 0; s < n; ++s) EXPECT_NEAR(solution->values[s], reference[s], 2e-7);
  }
}

TEST(ImproperTotal, ALoopThatGainsIsRefusedByState) {
  EXPECT_EQ(
      Refusal({{{0, {{1, 1}}}}, {{2, {{1, 1}}}, {0, {{2, 1}}}}, {}}),
      "state 1: one can stay for ever at a mean reward of 2 a step, so that the best total is infinite, accepted: "
      "models where staying for ever does not pay");
  EXPECT_THAT(Refusal({{{-2, {{1, 1}}}}, {{1, {{0, 1}}}, {0, {{2, 1}}}}, {}}, Objective::kMinimize),
              HasSubstr("state 0: one can stay for ever at a mean cost of -0.5 a step"));
}

TEST(ImproperTotal, ALoopOfMeanNothingHasNoTotal) {
  EXPECT_THAT(Refusal({{{1, {{1, 1}}}, {0, {{2, 1}}}}, {{-1, {{0, 1}}}}, {}}),
              HasSubstr("state 0: one can stay for ever at a mean reward of"));
  EXPECT_THAT(Refusal({{{1, {{1, 1}}}, {0, {{2, 1}}}}, {{-1, {{0, 1}}}}, {}}),
              HasSubstr("more than double precision can tell, accepted: below 0 for certain"));
}

TEST(ImproperTotal, AStateThatCanOnlyLoseForEverIsRefused) {
  // State 1 never leaves; state 0 could do without it, and the model is refused all the same.
  EXPECT_THAT(Refusal({{{-1, {{1, 1}}}, {-1, {{2, 1}}}}, {{-1, {{1, 1}}}}, {}}),
              HasSubstr("state 1: no choice of actions from it reaches an absorbing state, or states to stay in for "
                        "nothing, so that the total is minus infinite"));
  EXPECT_THAT(Refusal({{{1, {{0, 1}}}}}, Objective::kMinimize), HasSubstr("so that the total is infinite"));
}

TEST(ImproperTotal, LimitsEndWithTrueBoundsOrNone) {
  const PlainModel plain = {{{-1, {{0, 0.875}, {1, 0.125}}}, {-0.5, {{0, 1}}}, {-7, {{2, 1}}}},
                            {{-1, {{0, 0.5}, {2, 0.5}}}, {-2, {{1, 1}}}},
                            {}};
  const SparseMdp mdp = Build(plain);
  int with_bounds = 0;
  for (int64_t sweeps = 1; sweeps < 200; sweeps += 7) {
    const auto cut =
        SolveModel(mdp, Total(Objective::kMaximize), Method::kValueIteration, {.epsilon = 0, .max_sweeps = sweeps});
    if (!cut.ok()) {
      EXPECT_EQ(cut.status().code(), absl::StatusCode::kFailedPrecondition);
      EXPECT_THAT(std::string(cut.status().message()), HasSubstr("max_sweeps is"));
      continue;
    }
    ++with_bounds;
    EXPECT_LE(cut->lower[0], -7);
    EXPECT_GE(cut->upper[0], -7);
  }
  EXPECT_GT(with_bounds, 10);
  const auto cancelled = SolveModel(mdp, Total(Objective::kMaximize), Method::kValueIteration,
                                    {.epsilon = 0, .progress = [](const Progress&) { return false; }});
  EXPECT_EQ(cancelled.status().code(), absl::StatusCode::kCancelled);
  EXPECT_THAT(std::string(cancelled.status().message()), HasSubstr("stopped before"));
}

TEST(ImproperTotal, AWarmStartOfAnyKindChangesNoTruth) {
  const PlainModel plain = {{{-1, {{0, 1}}}, {-3, {{1, 1}}}}, {}};
  const SparseMdp mdp = Build(plain);
  for (const double v : {-1e6, -3.0, 0.0, 1e3}) {
    const std::vector<double> start = {v, 5};
    const auto solution =
        SolveModel(mdp, Total(Objective::kMaximize), Method::kGaussSeidel, {.epsilon = 1e-9, .warm_start = start});
    ASSERT_TRUE(solution.ok()) << solution.status();
    EXPECT_NEAR(solution->values[0], -3, 1e-9);
    EXPECT_EQ(solution->values[1], 0);
  }
  const std::vector<double> wrong = {1};
  const auto refused = SolveModel(mdp, Total(Objective::kMaximize), Method::kGaussSeidel, {.warm_start = wrong});
  EXPECT_THAT(std::string(refused.status().message()), HasSubstr("number of warm start values is 1"));
}

}  // namespace
}  // namespace berth::mdp

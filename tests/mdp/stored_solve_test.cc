// Sweeps over stored models: layouts and threads change nothing, dropped actions are never optimal, limits end a solve
// with true bounds.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <vector>

#include "mdp/components.h"
#include "mdp/modified_policy_iteration.h"
#include "mdp/policy_iteration.h"
#include "mdp/solve.h"
#include "mdp/stored_sweep.h"
#include "support.h"

namespace berth::mdp {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

// Rows of different lengths, states of different numbers of actions, some terminal.
SparseMdp IrregularModel(uint64_t seed, StateIndex n, bool has_terminal) {
  Rng rng(seed);
  SparseMdpBuilder builder(n);
  std::vector<Transition> row;
  for (StateIndex s = 0; s < n; ++s) {
    if (has_terminal && rng.Below(9) == 0) {
      EXPECT_TRUE(builder.DeclareTerminal(s).ok());
      continue;
    }
    const auto actions = static_cast<int32_t>(1 + rng.Below(6));
    for (int32_t a = 0; a < actions; ++a) {
      row.clear();
      const auto length = static_cast<StateIndex>(1 + rng.Below(static_cast<uint64_t>(std::min<StateIndex>(n, 21))));
      const auto first = static_cast<StateIndex>(rng.Below(static_cast<uint64_t>(n)));
      double sum = 0;
      for (StateIndex k = 0; k < length; ++k) {
        row.push_back({(first + k * 7919) % n, rng.Exponential(1) + 1e-3});
        sum += row.back().weight;
      }
      for (Transition& t : row) t.weight /= sum;
      EXPECT_TRUE(builder.AddAction(s, a, rng.Normal(), row).ok());
    }
  }
  auto mdp = std::move(builder).Build();
  EXPECT_TRUE(mdp.ok()) << mdp.status();
  return *std::move(mdp);
}

TEST(StoredSweep, LayoutsAndThreadsGiveTheSameBits) {
  for (const StateIndex n : {1, 7, 8, 9, 1000}) {
    for (const bool has_terminal : {false, true}) {
      const SparseMdp mdp = IrregularModel(3, n, has_terminal);
      Rng rng(4);
      std::vector<double> h(static_cast<size_t>(n));
      for (double& v : h) v = rng.Normal();
      std::vector<double> first_q, first_evaluated;
      std::vector<int32_t> first_policy;
      for (const Storage storage : {Storage::kCompressed, Storage::kSell8}) {
        for (const int threads : {1, 2, 5}) {
          internal::StoredSweep<double> sweep(mdp, 0.97, -1, threads, storage);
          std::vector<double> q(h.size()), evaluated(h.size());
          std::vector<int32_t> policy(h.size());
          const auto span = sweep.Greedy(h.data(), q.data(), policy.data(), true);
          sweep.Evaluate(h.data(), evaluated.data());
          if (first_q.empty()) {
            first_q = q;
            first_policy = policy;
            first_evaluated = evaluated;
          }
          EXPECT_EQ(q, first_q);
          EXPECT_EQ(policy, first_policy);
          EXPECT_EQ(evaluated, first_evaluated);
          // A policy evaluated where it was found gives the same values again.
          EXPECT_EQ(evaluated, q);
          double lowest = 1e300, highest = -1e300;
          for (size_t s = 0; s < h.size(); ++s) {
            lowest = std::min(lowest, q[s] - h[s]);
            highest = std::max(highest, q[s] - h[s]);
          }
          EXPECT_EQ(span.lowest, lowest);
          EXPECT_EQ(span.highest, highest);
        }
      }
    }
  }
}

TEST(StoredSweep, RoundingBoundsTheDifferenceToLongDoubles) {
  const SparseMdp mdp = IrregularModel(5, 500, true);
  Rng rng(6);
  std::vector<double> h(500), q(500);
  std::vector<int32_t> policy(500);
  for (double& v : h) v = 1000 * rng.Normal();
  internal::StoredSweep<double> sweep(mdp, 0.97, 1, 1, Storage::kCompressed);
  const auto span = sweep.Greedy(h.data(), q.data(), policy.data());
  Exact worst = 0;
  for (StateIndex s = 0; s < 500; ++s) {
    if (mdp.is_terminal(s)) continue;
    Exact best = -1e300L;
    for (int32_t a = 0; a < mdp.num_actions(s); ++a) {
      Exact value = mdp.Reward(s, a);
      mdp.VisitSuccessors(s, a, [&](StateIndex next, double p) {
        value += static_cast<Exact>(p) * ((1 - 0.03L) * (static_cast<Exact>(h[next]) - h[s]));
      });
      best = std::max(best, value);
    }
    worst = std::max(worst, std::abs(best - 0.03L * h[s] - (static_cast<Exact>(q[s]) - h[s])));
  }
  EXPECT_GT(worst, 0);
  EXPECT_LE(worst, sweep.Rounding(span.largest));
}

TEST(ModifiedPolicyIteration, OptionsChangeTheWayAndNotTheAnswer) {
  for (const bool has_terminal : {false, true}) {
    const SparseMdp mdp = IrregularModel(8, 3000, has_terminal);
    const auto exact = IteratePoliciesDiscounted(mdp, 0.02);
    ASSERT_TRUE(exact.ok()) << exact.status();
    ASSERT_LE(exact->error, 1e-9);
    std::vector<double> serial;
    for (const bool evaluates : {true, false}) {
      for (const bool is_single : {false, true}) {
        for (const int threads : {1, 2}) {
          StoredSolveOptions options;
          options.solve.tolerance = 1e-8;
          options.evaluates_policies = evaluates;
          options.starts_in_single_precision = is_single;
          options.threads = threads;
          options.storage = threads == 2 ? Storage::kSell8 : Storage::kCompressed;
          const auto solution = SolveDiscountedStored(mdp, 0.02, options);
          ASSERT_TRUE(solution.ok()) << solution.status();
          EXPECT_EQ(solution->stop, StopReason::kConverged);
          EXPECT_LE(solution->error, 1e-8);
          for (size_t s = 0; s < exact->values.size(); ++s) {
            EXPECT_LE(solution->lower[s], exact->upper[s]);
            EXPECT_GE(solution->upper[s], exact->lower[s]);
          }
          if (threads == 1) {
            serial = solution->values;
          } else {
            EXPECT_EQ(solution->values, serial) << "threads changed the bits";
          }
        }
      }
    }
  }
}

TEST(ModifiedPolicyIteration, PeriodicChainsConverge) {
  // Two states that swap: the plain iteration never settles without discount, and hardly with a tiny one.
  SparseMdpBuilder builder(2);
  ASSERT_TRUE(builder.AddAction(0, 0, 1, {{1, 1.0}}).ok());
  ASSERT_TRUE(builder.AddAction(1, 0, 3, {{0, 1.0}}).ok());
  const auto mdp = std::move(builder).Build();
  ASSERT_TRUE(mdp.ok());
  for (const bool evaluates : {true, false}) {
    StoredSolveOptions options;
    options.evaluates_policies = evaluates;
    options.solve.max_sweeps = 10'000;
    const auto average = SolveAverageStored(*mdp, options);
    ASSERT_TRUE(average.ok());
    EXPECT_EQ(average->stop, StopReason::kConverged);
    EXPECT_NEAR(average->gain, 2, 1e-6);
    if (!evaluates) continue;
    const auto discounted = SolveDiscountedStored(*mdp, 1e-4, options);
    ASSERT_TRUE(discounted.ok());
    EXPECT_EQ(discounted->stop, StopReason::kConverged);
    EXPECT_LE(discounted->sweeps, 1000);
  }
}

TEST(PolicyIteration, ManyStatesAreEvaluatedByBiCgStab) {
  const SparseMdp mdp = IrregularModel(9, 5000, false);
  const auto exact = IteratePoliciesDiscounted(mdp, 0.01);
  ASSERT_TRUE(exact.ok()) << exact.status();
  EXPECT_LE(exact->error, 1e-9);
  StoredSolveOptions options;
  options.solve.tolerance = 1e-8;
  const auto swept = SolveDiscountedStored(mdp, 0.01, options);
  ASSERT_TRUE(swept.ok());
  for (size_t s = 0; s < exact->values.size(); ++s) {
    EXPECT_LE(std::abs(exact->values[s] - swept->values[s]), exact->error + swept->error);
  }
  const auto gain = IteratePoliciesAverage(mdp);
  ASSERT_TRUE(gain.ok()) << gain.status();
  EXPECT_LE(gain->error, 1e-9);
}

TEST(Components, OfATangledGraph) {
  // 0 <-> 1 may leave to 2 or 3; 2 stays or goes to 3; 3 <-> 4; 5 leads in and is never reached; 6 is terminal.
  SparseMdpBuilder builder(7);
  ASSERT_TRUE(builder.AddAction(0, 0, 0, {{1, 1.0}}).ok());
  ASSERT_TRUE(builder.AddAction(1, 0, 0, {{0, 1.0}}).ok());
  ASSERT_TRUE(builder.AddAction(1, 1, 0, {{2, 0.5}, {3, 0.5}}).ok());
  ASSERT_TRUE(builder.AddAction(2, 0, 0, {{2, 1.0}}).ok());
  ASSERT_TRUE(builder.AddAction(2, 1, 0, {{3, 1.0}}).ok());
  ASSERT_TRUE(builder.AddAction(3, 0, 0, {{4, 1.0}}).ok());
  ASSERT_TRUE(builder.AddAction(4, 0, 0, {{3, 0.5}, {6, 0.5}}).ok());
  ASSERT_TRUE(builder.AddAction(5, 0, 0, {{0, 0.5}, {5, 0.5}}).ok());
  ASSERT_TRUE(builder.DeclareTerminal(6).ok());
  const auto mdp = std::move(builder).Build();
  ASSERT_TRUE(mdp.ok());
  const Components connected = FindStronglyConnected(*mdp);
  EXPECT_THAT(connected.states,
              ElementsAre(ElementsAre(6), ElementsAre(3, 4), ElementsAre(2), ElementsAre(0, 1), ElementsAre(5)));
  std::vector<bool> is_inside;
  const Components ends = FindEndComponents(*mdp, &is_inside);
  EXPECT_THAT(ends.states, testing::UnorderedElementsAre(ElementsAre(6), ElementsAre(2), ElementsAre(0, 1)));
  EXPECT_EQ(ends.of_state[3], -1);  // 4 may fall into 6 each time round
  EXPECT_EQ(ends.of_state[5], -1);
  EXPECT_THAT(is_inside, ElementsAre(true, true, false, true, false, false, false, false));
}

TEST(SolveModel, LimitsEndWithTrueBounds) {
  const SparseMdp mdp = IrregularModel(11, 2000, false);
  const Criterion criterion{.one_minus_gamma = 1e-3};
  const auto exact = SolveModel(mdp, criterion, Method::kAuto, {.epsilon = 1e-7});
  ASSERT_TRUE(exact.ok()) << exact.status();
  for (const Method method : {Method::kValueIteration, Method::kGaussSeidel, Method::kModifiedPolicyIteration,
                              Method::kPolicyIteration, Method::kAnderson}) {
    SCOPED_TRACE(MethodName(method));
    const auto expect_true = [&](const absl::StatusOr<ModelSolution>& solution, StopReason stop) {
      ASSERT_TRUE(solution.ok()) << solution.status();
      EXPECT_EQ(solution->stop, stop);
      for (size_t s = 0; s < exact->values.size(); ++s) {
        EXPECT_LE(solution->lower[s], exact->upper[s]);
        EXPECT_GE(solution->upper[s], exact->lower[s]);
      }
    };
    ModelSolveOptions options;
    options.epsilon = 1e-12;
    options.max_sweeps = 2;
    expect_true(SolveModel(mdp, criterion, method, options), StopReason::kIterationLimit);
    options.max_sweeps = 1'000'000;
    options.time_limit_s = 1e-9;
    expect_true(SolveModel(mdp, criterion, method, options), StopReason::kTimeLimit);
    options.time_limit_s = std::numeric_limits<double>::infinity();
    int calls = 0;
    options.progress = [&](const Progress&) { return ++calls < 2; };
    expect_true(SolveModel(mdp, criterion, method, options), StopReason::kCancelled);
    EXPECT_EQ(calls, 2);
    options.max_memory_bytes = 1000;
    const auto refused = SolveModel(mdp, criterion, method, options);
    EXPECT_EQ(refused.status().code(), absl::StatusCode::kResourceExhausted);
    EXPECT_THAT(refused.status().message(), HasSubstr("max_memory_bytes is 1000, accepted"));
  }
}

TEST(SolveModel, StepsThatALimitLeavesUndoneAreWithinTheBounds) {
  const SparseMdp mdp = IrregularModel(13, 60, false);
  for (const Objective objective : {Objective::kMaximize, Objective::kMinimize}) {
    for (const double one_minus_gamma : {0.0, 0.02, 1.0}) {
      const Criterion criterion{
          .kind = CriterionKind::kFinite, .one_minus_gamma = one_minus_gamma, .horizon = 40, .objective = objective};
      const auto exact = SolveModel(mdp, criterion, Method::kAuto);
      ASSERT_TRUE(exact.ok()) << exact.status();
      ASSERT_EQ(exact->sweeps, 40);
      for (const int64_t max_sweeps : {1, 2, 17, 39, 40}) {
        SCOPED_TRACE(max_sweeps);
        const auto cut = SolveModel(mdp, criterion, Method::kAuto, {.epsilon = 0, .max_sweeps = max_sweeps});
        ASSERT_TRUE(cut.ok()) << cut.status();
        EXPECT_EQ(cut->sweeps, max_sweeps);
        EXPECT_EQ(cut->stop, max_sweeps < 40 ? StopReason::kIterationLimit : StopReason::kPrecisionLimit);
        for (StateIndex s = 0; s < mdp.num_states(); ++s) {
          EXPECT_LE(cut->lower[s], exact->upper[s]);
          EXPECT_GE(cut->upper[s], exact->lower[s]);
          EXPECT_LE(std::max(cut->upper[s] - cut->values[s], cut->values[s] - cut->lower[s]), cut->error);
          const auto listed = [s](const ModelSolution& of, int32_t action) {
            return std::find(of.optimal(s).begin(), of.optimal(s).end(), action) != of.optimal(s).end();
          };
          for (int32_t a = 0; a < mdp.num_actions(s); ++a) EXPECT_TRUE(listed(*cut, a) || !listed(*exact, a));
        }
      }
      const auto late = SolveModel(mdp, criterion, Method::kAuto, {.epsilon = 0, .time_limit_s = 1e-9});
      ASSERT_TRUE(late.ok()) << late.status();
      EXPECT_EQ(late->stop, StopReason::kTimeLimit);
      EXPECT_LT(late->sweeps, 40);
    }
  }
}

TEST(SolveModel, GainsAreBoundedWhateverTheLimit) {
  // 0 may stay for 1 or walk to 40, which stays for 2; each step of the walk is likely to fail.
  SparseMdpBuilder builder(41);
  ASSERT_TRUE(builder.AddAction(0, 0, 1, {{0, 1.0}}).ok());
  for (StateIndex s = 0; s < 40; ++s)
    ASSERT_TRUE(builder.AddAction(s, 1, 0, {{std::max(0, s - 1), 0.75}, {s + 1, 0.25}}).ok());
  ASSERT_TRUE(builder.AddAction(40, 0, 2, {{40, 1.0}}).ok());
  const auto mdp = std::move(builder).Build();
  ASSERT_TRUE(mdp.ok()) << mdp.status();
  for (const Objective objective : {Objective::kMaximize, Objective::kMinimize}) {
    const double gain = objective == Objective::kMaximize ? 2 : 1;  // who walks ends at 40
    const Criterion criterion{.kind = CriterionKind::kAverage, .objective = objective};
    for (const int64_t max_sweeps : {1, 3, 100}) {
      const auto cut = SolveModel(*mdp, criterion, Method::kValueIteration, {.max_sweeps = max_sweeps});
      ASSERT_TRUE(cut.ok()) << cut.status();
      EXPECT_EQ(cut->stop, StopReason::kIterationLimit);
      EXPECT_LE(cut->lower[0], gain);
      EXPECT_GE(cut->upper[0], gain);
      EXPECT_TRUE(std::isfinite(cut->error));
    }
    const auto late = SolveModel(*mdp, criterion, Method::kValueIteration, {.time_limit_s = 1e-9});
    ASSERT_TRUE(late.ok()) << late.status();
    EXPECT_EQ(late->stop, StopReason::kTimeLimit);
  }
}

TEST(SolveModel, ATotalThatStopsBeforeItHasBoundsSaysSo) {
  SparseMdpBuilder builder(3);  // a cycle of two, so that no single step gets the number of steps
  ASSERT_TRUE(builder.AddAction(0, 0, 1, {{1, 1.0}}).ok());
  ASSERT_TRUE(builder.AddAction(1, 0, 1, {{0, 1 - 1e-6}, {2, 1e-6}}).ok());
  ASSERT_TRUE(builder.DeclareTerminal(2).ok());
  const auto mdp = std::move(builder).Build();
  ASSERT_TRUE(mdp.ok()) << mdp.status();
  const Criterion criterion{.kind = CriterionKind::kTotal};
  const auto late = SolveModel(*mdp, criterion, Method::kValueIteration, {.time_limit_s = 1e-9});
  EXPECT_EQ(late.status().code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_THAT(late.status().message(), HasSubstr("time_limit_s is 1e-09, accepted for this model: more"));
  const auto cancelled =
      SolveModel(*mdp, criterion, Method::kTopological, {.progress = [](const Progress&) { return false; }});
  EXPECT_EQ(cancelled.status().code(), absl::StatusCode::kCancelled);
}

TEST(SolveModel, AutoNamesTheMethodThatItTook) {
  for (const auto& [states, quick] :
       {std::pair{20, Method::kPolicyIteration}, {2000, Method::kModifiedPolicyIteration}}) {
    const SparseMdp mdp = IrregularModel(14, states, false);
    for (const Criterion& criterion : {Criterion{.one_minus_gamma = 0.1}, Criterion{.kind = CriterionKind::kAverage}}) {
      const auto solution = SolveModel(mdp, criterion, Method::kAuto);
      ASSERT_TRUE(solution.ok()) << solution.status();
      EXPECT_EQ(solution->method, quick);
    }
  }
}

TEST(SolveModel, AutoTakesComponentsOneByOneWhereThereAreMany) {
  // Layers of 40 states: to the next layer, or around in this one.
  Rng rng(16);
  constexpr StateIndex kLayer = 40, kStates = 30 * kLayer;
  for (const bool has_cycles : {false, true}) {
    SparseMdpBuilder builder(kStates);
    for (StateIndex s = 0; s < kStates; ++s) {
      const auto next = std::min<StateIndex>(kStates - kLayer, (s / kLayer + 1) * kLayer);
      for (int32_t a = 0; a < 3; ++a) {
        const StateIndex here = has_cycles ? s / kLayer * kLayer : next;
        const auto at = static_cast<StateIndex>(rng.Below(kLayer)), to = static_cast<StateIndex>(rng.Below(kLayer));
        std::vector<Transition> row = {{here + at, 0.75}, {next + to, 0.25}};
        if (row[0].next == row[1].next) row = {{row[0].next, 1.0}};
        ASSERT_TRUE(builder.AddAction(s, a, rng.Uniform(), row).ok());
      }
    }
    const auto mdp = std::move(builder).Build();
    ASSERT_TRUE(mdp.ok()) << mdp.status();
    const Criterion criterion = {.one_minus_gamma = 1e-3};
    const auto solution = SolveModel(*mdp, criterion, Method::kAuto);
    const auto reference = SolveModel(*mdp, criterion, Method::kGaussSeidel);
    ASSERT_TRUE(solution.ok() && reference.ok());
    EXPECT_EQ(solution->method, Method::kTopological);
    EXPECT_EQ(solution->stop, StopReason::kConverged);
    for (StateIndex s = 0; s < kStates; ++s) {
      EXPECT_NEAR(solution->values[s], reference->values[s], solution->error + reference->error);
    }
  }
}

TEST(SolveModel, NamesItsOwnOptions) {
  const SparseMdp mdp = IrregularModel(12, 20, false);
  const auto message = [&](const ModelSolveOptions& options) {
    return std::string(SolveModel(mdp, {.one_minus_gamma = 0.1}, Method::kAuto, options).status().message());
  };
  EXPECT_THAT(message({.epsilon = -1}), HasSubstr("epsilon is -1, accepted"));
  EXPECT_THAT(message({.max_sweeps = 0}), HasSubstr("max_sweeps is 0, accepted"));
  EXPECT_THAT(message({.time_limit_s = 0}), HasSubstr("time_limit_s is 0, accepted"));
  EXPECT_THAT(message({.threads = 257}), HasSubstr("threads is 257, accepted"));
}

TEST(SolveModel, RefusesByNameWhatDoesNotApply) {
  const SparseMdp mdp = IrregularModel(12, 20, false);
  const auto message = [&](const Criterion& criterion, Method method) {
    return std::string(SolveModel(mdp, criterion, method).status().message());
  };
  EXPECT_THAT(message({.one_minus_gamma = 0.1}, Method::kBackwardInduction), HasSubstr("criterion finite"));
  EXPECT_THAT(message({.kind = CriterionKind::kAverage}, Method::kTopological), HasSubstr("end components"));
  EXPECT_THAT(message({.one_minus_gamma = 0}, Method::kAuto), HasSubstr("1 - gamma is 0, accepted: above 0"));
  EXPECT_THAT(message({.kind = CriterionKind::kTotal}, Method::kAuto), HasSubstr("one can stay for ever"));
  EXPECT_THAT(message({.kind = CriterionKind::kFinite, .horizon = -1}, Method::kAuto), HasSubstr("horizon is -1"));
}

TEST(SolveModel, AnActionGapSaysHowFarThePolicyIsFromChanging) {
  SparseMdpBuilder builder(1);
  ASSERT_TRUE(builder.AddAction(0, 0, 1, {{0, 1.0}}).ok());
  ASSERT_TRUE(builder.AddAction(0, 1, 0.75, {{0, 1.0}}).ok());
  ASSERT_TRUE(builder.AddAction(0, 2, 1, {{0, 1.0}}).ok());
  const auto mdp = std::move(builder).Build();
  ASSERT_TRUE(mdp.ok());
  for (const Method method : {Method::kPolicyIteration, Method::kValueIteration, Method::kModifiedPolicyIteration}) {
    const auto solution = SolveModel(*mdp, {.one_minus_gamma = 0.5}, method, {.epsilon = 1e-9});
    ASSERT_TRUE(solution.ok());
    EXPECT_THAT(solution->optimal_actions, ElementsAre(0, 2));
    EXPECT_NEAR(solution->action_gap, 0.25, 1e-8);
    EXPECT_EQ(solution->policy[0], 0);
  }
}

}  // namespace
}  // namespace berth::mdp

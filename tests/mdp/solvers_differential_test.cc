// Value iteration = policy iteration = all stationary policies, on random small models, within the certified bounds.
#include <gtest/gtest.h>

#include <cstdint>
#include <vector>

#include "mdp/finite_horizon.h"
#include "mdp/policy_iteration.h"
#include "mdp/total_reward.h"
#include "mdp/value_iteration.h"
#include "support.h"

namespace berth::mdp {
namespace {

constexpr SweepMethod kMethods[] = {SweepMethod::kGaussSeidel, SweepMethod::kJacobi};
constexpr int kModels = 60;

SparseMdp Build(const PlainModel& plain, RowKind kind = RowKind::kProbability) {
  auto mdp = BuildFrom(plain, kind);
  EXPECT_TRUE(mdp.ok()) << mdp.status();
  return *std::move(mdp);
}

void ExpectTrue(const DiscountedSolution& solution, const std::vector<Exact>& exact) {
  const auto wrong = FirstFalseBound(solution.values, solution.lower, solution.upper, solution.error, exact);
  EXPECT_FALSE(wrong.has_value()) << "state " << *wrong << ": [" << solution.lower[*wrong] << ", "
                                  << solution.upper[*wrong] << "] without " << static_cast<double>(exact[*wrong]);
}

// The value of the returned policy itself must lie within the bounds too.
void ExpectPolicyWithinBounds(const PlainModel& plain, const DiscountedSolution& solution, Exact scale, Exact alpha) {
  const auto values = ValuesOfPolicy(plain, solution.policy, scale, alpha);
  ASSERT_TRUE(values.has_value());
  for (size_t s = 0; s < plain.size(); ++s) {
    EXPECT_GE((*values)[s], solution.lower[s]);
    EXPECT_LE((*values)[s], solution.upper[s]);
  }
}

TEST(Solvers, DiscountedValuesOfEverySolverAreThoseOfTheBestPolicy) {
  Rng rng(1);
  for (int i = 0; i < kModels; ++i) {
    // Near one, gamma as a double would be off by more than the tolerance. There every row reaches every state: with
    // several closed classes the values differ by 1e6, which no method of sweeps brings into line in reasonable time.
    const double one_minus_gamma = i % 3 == 0 ? 0.3 : i % 3 == 1 ? 0.02 : 1e-6;
    const StateIndex n = 2 + static_cast<StateIndex>(rng.Below(4));
    const PlainModel plain = RandomModel(rng, n, 3, i % 3 == 2 ? n : 2);
    const SparseMdp mdp = Build(plain);
    const Exact alpha = one_minus_gamma;
    const std::vector<Exact> exact = BestValues(plain, 1 - alpha, alpha);
    for (const SweepMethod method : kMethods) {
      for (const double tolerance : {1e-2, 1e-7}) {
        const auto solution =
            SolveDiscounted(mdp, one_minus_gamma, {.tolerance = tolerance, .max_sweeps = 100'000, .method = method});
        ASSERT_TRUE(solution.ok()) << solution.status();
        EXPECT_EQ(solution->stop, StopReason::kConverged);
        EXPECT_LE(solution->error, tolerance);
        ExpectTrue(*solution, exact);
        ExpectPolicyWithinBounds(plain, *solution, 1 - alpha, alpha);
      }
    }
    const auto iterated = IteratePoliciesDiscounted(mdp, one_minus_gamma);
    ASSERT_TRUE(iterated.ok()) << iterated.status();
    EXPECT_EQ(iterated->stop, StopReason::kConverged);
    EXPECT_LE(iterated->error, one_minus_gamma > 1e-3 ? 1e-11 : 1e-7);
    ExpectTrue(*iterated, exact);
    ExpectPolicyWithinBounds(plain, *iterated, 1 - alpha, alpha);
  }
}

TEST(Solvers, BoundsHoldAfterAnyNumberOfSweepsFromAnyStart) {
  Rng rng(2);
  for (int i = 0; i < kModels; ++i) {
    const PlainModel plain = RandomModel(rng, 4, 3, 3);
    const SparseMdp mdp = Build(plain);
    const std::vector<Exact> exact = BestValues(plain, 0.95L, 0.05L);
    const Exact gain = BestGain(plain);
    std::vector<double> start(plain.size());
    for (double& v : start) v = 100 * rng.Normal();
    for (const SweepMethod method : kMethods) {
      for (const int64_t sweeps : {1, 2, 7}) {
        const SolveOptions options = {
            .tolerance = 0, .max_sweeps = sweeps, .method = method, .certificate_interval = 3};
        const auto solution = SolveDiscounted(mdp, 0.05, options, start);
        ASSERT_TRUE(solution.ok());
        ExpectTrue(*solution, exact);
        const auto average = SolveAverage(mdp, options, start);
        ASSERT_TRUE(average.ok());
        EXPECT_LE(average->gain_lower, gain);
        EXPECT_GE(average->gain_upper, gain);
      }
    }
  }
}

TEST(Solvers, TheGainOfEverySolverIsThatOfTheBestPolicy) {
  Rng rng(3);
  for (int i = 0; i < kModels; ++i) {
    const StateIndex n = 2 + static_cast<StateIndex>(rng.Below(4));
    PlainModel plain = RandomModel(rng, n, 3, n);  // every row reaches every state: unichain
    const Exact gain = BestGain(plain);
    const SparseMdp mdp = Build(plain);
    for (const SweepMethod method : kMethods) {
      const auto solution = SolveAverage(mdp, {.tolerance = 1e-9, .max_sweeps = 100'000, .method = method});
      ASSERT_TRUE(solution.ok()) << solution.status();
      EXPECT_EQ(solution->stop, StopReason::kConverged);
      EXPECT_LE(solution->gain_lower, gain);
      EXPECT_GE(solution->gain_upper, gain);
      EXPECT_LE(std::abs(solution->gain - gain), solution->error);
      const auto own = GainOfPolicy(plain, solution->policy);
      ASSERT_TRUE(own.has_value());
      EXPECT_GE(*own, solution->gain_lower);
      const GainBounds bounds = CertifyGain(mdp, solution->relative_values);
      EXPECT_EQ(bounds.lower, solution->gain_lower);
      EXPECT_EQ(bounds.upper, solution->gain_upper);
    }
    const auto iterated = IteratePoliciesAverage(mdp);
    ASSERT_TRUE(iterated.ok()) << iterated.status();
    EXPECT_LE(iterated->gain_lower, gain);
    EXPECT_GE(iterated->gain_upper, gain);
    EXPECT_LE(iterated->error, 1e-11);
  }
}

TEST(Solvers, CostsAreRewardsWithTheOtherSign) {
  Rng rng(4);
  for (int i = 0; i < 20; ++i) {
    PlainModel plain = RandomModel(rng, 5, 3, 5);
    PlainModel costs = plain;
    for (auto& actions : costs) {
      for (PlainAction& action : actions) action.reward = -action.reward;
    }
    const SparseMdp reward_mdp = Build(plain);
    const SparseMdp cost_mdp = Build(costs);
    const auto best = SolveDiscounted(reward_mdp, 0.1);
    const auto least = SolveDiscounted(cost_mdp, 0.1, {.objective = Objective::kMinimize});
    ASSERT_TRUE(best.ok() && least.ok());
    EXPECT_EQ(best->policy, least->policy);
    for (size_t s = 0; s < plain.size(); ++s) {
      EXPECT_EQ(best->values[s], -least->values[s]);
      EXPECT_EQ(best->lower[s], -least->upper[s]);
    }
    const auto best_gain = SolveAverage(reward_mdp);
    const auto least_gain = SolveAverage(cost_mdp, {.objective = Objective::kMinimize});
    ASSERT_TRUE(best_gain.ok() && least_gain.ok());
    EXPECT_EQ(best_gain->gain, -least_gain->gain);
    EXPECT_EQ(best_gain->gain_upper, -least_gain->gain_lower);
    const auto best_steps = SolveFiniteHorizon(reward_mdp, 9);
    const auto least_steps = SolveFiniteHorizon(cost_mdp, 9, {.objective = Objective::kMinimize});
    ASSERT_TRUE(best_steps.ok() && least_steps.ok());
    for (size_t s = 0; s < plain.size(); ++s) EXPECT_EQ(best_steps->values[s], -least_steps->values[s]);
    const auto iterated = IteratePoliciesDiscounted(cost_mdp, 0.1, {.objective = Objective::kMinimize});
    ASSERT_TRUE(iterated.ok());
    for (size_t s = 0; s < plain.size(); ++s) {
      EXPECT_NEAR(iterated->values[s], least->values[s], iterated->error + least->error);
    }
  }
}

TEST(Solvers, RatesGiveWhatTheirUniformisationGives) {
  Rng rng(5);
  for (int i = 0; i < 20; ++i) {
    PlainModel plain = RandomModel(rng, 5, 3, 5);
    for (auto& actions : plain) {
      for (PlainAction& action : actions) {
        const double speed = 0.1 + 10 * rng.Uniform();
        for (Transition& t : action.to) t.weight *= speed;
      }
    }
    const SparseMdp rates = Build(plain, RowKind::kRate);
    const double clock_rate = 12;
    const auto steps = Uniformise(rates, clock_rate);
    ASSERT_TRUE(steps.ok()) << steps.status();
    const Exact exact_gain = BestGain(plain);
    const double alpha = 0.5;
    const std::vector<Exact> exact = BestValues(plain, 1, alpha);
    for (const SweepMethod method : kMethods) {
      const SolveOptions options = {.tolerance = 1e-8, .method = method};
      const auto gain = SolveAverage(rates, options);
      const auto step_gain = SolveAverage(*steps, options);
      ASSERT_TRUE(gain.ok() && step_gain.ok());
      EXPECT_LE(gain->gain_lower, exact_gain);
      EXPECT_GE(gain->gain_upper, exact_gain);
      EXPECT_NEAR(gain->gain, clock_rate * step_gain->gain, gain->error + clock_rate * step_gain->error + 1e-12);
      const auto solution = SolveDiscountedRate(rates, alpha, options);
      ASSERT_TRUE(solution.ok());
      ExpectTrue(*solution, exact);
    }
    const auto iterated = IteratePoliciesDiscountedRate(rates, alpha);
    ASSERT_TRUE(iterated.ok());
    ExpectTrue(*iterated, exact);
    EXPECT_LE(iterated->error, 1e-11);
    const auto iterated_gain = IteratePoliciesAverage(rates);
    ASSERT_TRUE(iterated_gain.ok());
    EXPECT_LE(iterated_gain->gain_lower, exact_gain);
    EXPECT_GE(iterated_gain->gain_upper, exact_gain);
  }
}

TEST(Solvers, ASemiMarkovGainIsRewardOverTimeOfTheBestPolicy) {
  Rng rng(6);
  for (int i = 0; i < 20; ++i) {
    const PlainModel plain = RandomModel(rng, 4, 3, 4);
    SparseMdpBuilder builder(4, RowKind::kRate);
    std::vector<std::vector<double>> times(plain.size());
    for (StateIndex s = 0; s < 4; ++s) {
      for (int32_t a = 0; a < static_cast<int32_t>(plain[s].size()); ++a) {
        times[s].push_back(0.5 + rng.Uniform());
        ASSERT_TRUE(builder.AddSemiMarkovAction(s, a, plain[s][a].reward, times[s][a], plain[s][a].to).ok());
      }
    }
    const auto mdp = std::move(builder).Build();
    ASSERT_TRUE(mdp.ok());
    // Renewal reward: the ratio of the gains of reward and of time per stay.
    Exact best = -1e9L;
    ForEachPolicy(plain, [&](const std::vector<int32_t>& policy) {
      PlainModel timed = plain;
      for (size_t s = 0; s < plain.size(); ++s) timed[s][policy[s]].reward = times[s][policy[s]];
      best = std::max(best, *GainOfPolicy(plain, policy) / *GainOfPolicy(timed, policy));
    });
    const auto solution = SolveAverage(*mdp, {.tolerance = 1e-9});
    ASSERT_TRUE(solution.ok());
    EXPECT_EQ(solution->stop, StopReason::kConverged);
    EXPECT_LE(solution->gain_lower, best);
    EXPECT_GE(solution->gain_upper, best);
  }
}

TEST(Solvers, TotalsAndStepsAreThoseOfTheBestPolicy) {
  Rng rng(7);
  for (int i = 0; i < kModels; ++i) {
    const StateIndex n = 3 + static_cast<StateIndex>(rng.Below(3));
    PlainModel plain = RandomModel(rng, n, 3, n);
    plain[static_cast<size_t>(n) - 1].clear();  // every row reaches it
    const SparseMdp mdp = Build(plain);
    const std::vector<Exact> exact = BestValues(plain, 1, 0);
    for (const double tolerance : {1e-1, 1e-8}) {
      const auto solution = SolveTotal(mdp, {.tolerance = tolerance});
      ASSERT_TRUE(solution.ok()) << solution.status();
      EXPECT_EQ(solution->stop, StopReason::kConverged);
      EXPECT_LE(solution->error, tolerance * (1 + 1e-9));
      ExpectTrue(*solution, exact);
      ExpectPolicyWithinBounds(plain, *solution, 1, 0);
    }
    // Steps, by the same recursion in more digits.
    std::vector<Exact> steps(plain.size(), 0);
    for (int k = 0; k < 12; ++k) {
      std::vector<Exact> next(plain.size(), 0);
      for (size_t s = 0; s < plain.size(); ++s) {
        Exact best = plain[s].empty() ? 0 : -1e9L;
        for (const PlainAction& action : plain[s]) {
          Exact q = action.reward;
          Exact mass = 0;
          for (const Transition& t : action.to) {
            q += t.weight * steps[t.next];
            mass += t.weight;
          }
          best = std::max(best, q + (1 - mass) * steps[s]);
        }
        next[s] = best;
      }
      steps = next;
    }
    const auto finite = SolveFiniteHorizon(mdp, 12);
    ASSERT_TRUE(finite.ok());
    EXPECT_LT(finite->error, 1e-12);
    for (size_t s = 0; s < plain.size(); ++s) EXPECT_LE(std::abs(finite->values[s] - steps[s]), finite->error);
  }
}

}  // namespace
}  // namespace berth::mdp

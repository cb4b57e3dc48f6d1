#include "mdp/stationary.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "mdp/value_iteration.h"

namespace berth::mdp {
namespace {

using ::testing::HasSubstr;

// Erlang's loss system: pods arrive at rate lambda, each of `servers` serves at rate 1, an arrival at a full house is
// lost.
struct LossSystem {
  int servers;
  double lambda;
  double price;
  StateIndex num_states() const { return servers + 1; }
  template <class Visitor>
  void VisitState(StateIndex s, Visitor& visit) const {
    if (s < servers) {
      visit.Decide(lambda, [&](auto&& offer) {
        offer(0.0, s);
        offer(1 - price, s + 1);
      });
    }
    if (s > 0) visit.Jump(s, 0.0, s - 1);
  }
};

TEST(Stationary, ALossSystemHasErlangsDistributionAndGain) {
  const LossSystem model{12, 8, 0};
  const auto solution = SolveAverage(model, {.tolerance = 1e-10});
  ASSERT_TRUE(solution.ok());
  const PolicyChain chain = GreedyChain(model, solution->relative_values);
  const auto stationary = SolveStationary(chain, {.tolerance = 1e-13});
  ASSERT_TRUE(stationary.ok()) << stationary.status();
  EXPECT_TRUE(stationary->is_converged);
  // p(s) is lambda^s / s!, scaled to sum to one.
  std::vector<double> expected = {1};
  double sum = 1;
  for (int s = 1; s <= model.servers; ++s) {
    expected.push_back(expected.back() * model.lambda / s);
    sum += expected.back();
  }
  double earned = 0;
  for (StateIndex s = 0; s < model.num_states(); ++s) {
    EXPECT_NEAR(stationary->probability[s], expected[s] / sum, 1e-11);
    earned += stationary->probability[s] * chain.reward[s];
  }
  EXPECT_NEAR(earned, solution->gain, 1e-9);
  EXPECT_NEAR(solution->gain, model.lambda * (1 - expected.back() / sum), 1e-9);
  // The direct solve of the same chain agrees.
  const auto evaluated = EvaluatePolicy(chain, 0, ValueLevel::kRelative);
  ASSERT_TRUE(evaluated.ok());
  EXPECT_NEAR(evaluated->level, solution->gain, 1e-9);
  // From the answer nothing is left to do.
  const auto again = SolveStationary(chain, {.tolerance = 1e-12}, stationary->probability);
  ASSERT_TRUE(again.ok());
  EXPECT_EQ(again->sweeps, 0);
}

TEST(EventModel, BoundsContainErlangsGainToTheLastDigit) {
  // Driven to the precision limit, where what is left between the bounds is the rounding term and little else.
  for (int k = 1; k <= 60; ++k) {
    const LossSystem model{1 + k % 13, k / 7.0, 0};
    const auto solution = SolveAverage(model, {.tolerance = 0});
    ASSERT_TRUE(solution.ok());
    EXPECT_EQ(solution->stop, StopReason::kPrecisionLimit);
    // Erlang's recursion for the share that is lost.
    const long double lambda = model.lambda;
    long double lost = 1;
    for (int servers = 1; servers <= model.servers; ++servers) lost = lambda * lost / (servers + lambda * lost);
    const long double gain = lambda * (1 - lost);
    EXPECT_LE(solution->gain_lower, gain);
    EXPECT_GE(solution->gain_upper, gain);
    EXPECT_LT(solution->error, 1e-12);
  }
}

TEST(Stationary, AtAPriceAboveTheRewardTheSystemEmptiesForEver) {
  const LossSystem model{5, 8, 2};
  const auto solution = SolveAverage(model, {.tolerance = 1e-10});
  ASSERT_TRUE(solution.ok());
  EXPECT_NEAR(solution->gain, 0, 1e-10);
  const auto stationary = SolveStationary(GreedyChain(model, solution->relative_values));
  ASSERT_TRUE(stationary.ok());
  EXPECT_EQ(stationary->probability[0], 1);
}

TEST(Stationary, SaysWhenItIsNotConverged) {
  const LossSystem model{50, 30, 0};
  const std::vector<double> h(static_cast<size_t>(model.num_states()), 0.0);
  const auto stationary = SolveStationary(GreedyChain(model, h), {.tolerance = 1e-12, .max_sweeps = 3});
  ASSERT_TRUE(stationary.ok());
  EXPECT_FALSE(stationary->is_converged);
  EXPECT_EQ(stationary->sweeps, 3);
  EXPECT_GT(stationary->imbalance, 1e-12);
}

TEST(Stationary, RefusesBadOptionsAndWarmStarts) {
  const LossSystem model{2, 1, 0};
  const PolicyChain chain = GreedyChain(model, std::vector<double>{0, 0, 0});
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const auto message = [&](const StationaryOptions& options, std::vector<double> start = {}) {
    return std::string(SolveStationary(chain, options, start).status().message());
  };
  EXPECT_THAT(message({.tolerance = 0}), HasSubstr("tolerance is 0"));
  EXPECT_THAT(message({.tolerance = nan}), HasSubstr("tolerance is nan"));
  EXPECT_THAT(message({.max_sweeps = 0}), HasSubstr("max_sweeps is 0"));
  EXPECT_THAT(message({}, {1}), HasSubstr("number of warm start values is 1, accepted: 0 or 3"));
  EXPECT_THAT(message({}, {1, -1, 0}), HasSubstr("warm start value of state 1 is -1"));
  EXPECT_THAT(std::string(SolveStationary(PolicyChain{}).status().message()), HasSubstr("number of states is 0"));
}

}  // namespace
}  // namespace berth::mdp

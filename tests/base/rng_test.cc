#include "base/rng.h"

#include <gtest/gtest.h>

#include <vector>

namespace berth {
namespace {

TEST(Rng, SameSeedGivesTheSameNumbersAndStatesRoundTrip) {
  Rng a(7), b(7);
  for (int i = 0; i < 100; ++i) EXPECT_EQ(a.Next(), b.Next());
  Rng c(1);
  c.set_state(a.state());
  EXPECT_EQ(a.Next(), c.Next());
}

TEST(Rng, StreamsOfOneSeedDiffer) { EXPECT_NE(Rng::Stream(1, 0).Next(), Rng::Stream(1, 1).Next()); }

TEST(Rng, BelowIsUniform) {
  Rng rng(3);
  std::vector<int> count(7, 0);
  constexpr int kDraws = 70000;
  for (int i = 0; i < kDraws; ++i) ++count[rng.Below(7)];
  for (int c : count) EXPECT_NEAR(c, kDraws / 7, 500);  // five standard deviations
}

TEST(Rng, DistributionsHaveTheirMeans) {
  Rng rng(5);
  double exponential = 0, normal = 0, square = 0;
  constexpr int kDraws = 100000;
  for (int i = 0; i < kDraws; ++i) {
    exponential += rng.Exponential(3);
    const double x = rng.Normal();
    normal += x;
    square += x * x;
  }
  EXPECT_NEAR(exponential / kDraws, 3, 0.05);
  EXPECT_NEAR(normal / kDraws, 0, 0.02);
  EXPECT_NEAR(square / kDraws, 1, 0.03);
}

}  // namespace
}  // namespace berth

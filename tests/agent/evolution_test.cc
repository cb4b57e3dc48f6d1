#include "agent/evolution.h"

#include <algorithm>

namespace berth {
namespace {

// Coordinates of very different scale, minimum 0 at (1, 1, …).
double Ellipsoid(const std::vector<double>& x) {
  double sum = 0, scale = 1;
  for (double v : x) {
    sum += scale * (v - 1) * (v - 1);
    scale *= 3;
  }
  return sum;
}

double Minimise(SeparableCmaEs& es, int generations, bool is_blind) {
  for (int g = 0; g < generations; ++g) {
    Rng rng = Rng::Stream(7, static_cast<uint64_t>(es.state().generation));
    const auto candidates = es.Ask(rng);
    std::vector<double> costs;
    for (const auto& c : candidates) costs.push_back(is_blind ? 0 : Ellipsoid(c));
    es.Tell(candidates, costs);
  }
  return Ellipsoid(es.state().mean);
}

TEST(SeparableCmaEs, FindsTheMinimumOfAnEllipsoid) {
  SeparableCmaEs es(std::vector<double>(8, 0), 0.5, 14);
  EXPECT_LT(Minimise(es, 250, false), 1e-8);
}

TEST(SeparableCmaEs, FindsNothingWithoutCosts) {   // control: the test above can fail
  SeparableCmaEs es(std::vector<double>(8, 0), 0.5, 14);
  EXPECT_GT(Minimise(es, 250, true), 1e-3);
}

TEST(SeparableCmaEs, GoesOnFromItsStateAsIfItHadNeverStopped) {
  SeparableCmaEs whole(std::vector<double>(8, 0), 0.5, 14);
  Minimise(whole, 20, false);
  SeparableCmaEs first(std::vector<double>(8, 0), 0.5, 14);
  Minimise(first, 7, false);
  SeparableCmaEs second(first.state(), 14);
  Minimise(second, 13, false);
  EXPECT_EQ(whole.state().mean, second.state().mean);
  EXPECT_EQ(whole.state().variance, second.state().variance);
  EXPECT_EQ(whole.state().sigma, second.state().sigma);
}

}  // namespace
}  // namespace berth

#include "mdp/anderson.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "base/rng.h"

namespace berth::mdp::internal {
namespace {

// G(x) = A x + b with A a contraction; the fixed point is known.
struct LinearMap {
  std::vector<std::vector<double>> a;
  std::vector<double> fixed_point;

  LinearMap(Rng& rng, size_t n, double norm) : a(n, std::vector<double>(n)), fixed_point(n) {
    for (auto& row : a) {
      double sum = 0;
      for (double& x : row) sum += std::abs(x = rng.Normal());
      for (double& x : row) x *= norm / sum;
    }
    for (double& x : fixed_point) x = rng.Normal();
  }
  std::vector<double> Apply(const std::vector<double>& x) const {
    std::vector<double> image = fixed_point;
    for (size_t i = 0; i < x.size(); ++i) {
      for (size_t j = 0; j < x.size(); ++j) image[i] += a[i][j] * (x[j] - fixed_point[j]);
    }
    return image;
  }
  double Error(const std::vector<double>& x) const {
    double error = 0;
    for (size_t i = 0; i < x.size(); ++i) error = std::max(error, std::abs(x[i] - fixed_point[i]));
    return error;
  }
};

TEST(AndersonMixer, SolvesALinearMapInAsManyStepsAsItHasDimensions) {
  Rng rng(5);
  const LinearMap map(rng, 6, 0.99);
  AndersonMixer mixer(6);
  std::vector<double> x(6, 0.0);
  for (int step = 0; step < 9; ++step) {
    std::vector<double> image = map.Apply(x);
    mixer.Mix(x, image);
    x = image;
  }
  EXPECT_LT(map.Error(x), 1e-6);
}

TEST(AndersonMixer, KeepsConvergingWhenItsMemoryIsShorterThanTheDimension) {
  Rng rng(6);
  const LinearMap map(rng, 40, 0.98);
  AndersonMixer mixer(4);
  std::vector<double> x(40, 0.0);
  for (int step = 0; step < 60; ++step) {
    std::vector<double> image = map.Apply(x);
    mixer.Mix(x, image);
    x = image;
  }
  EXPECT_LT(map.Error(x), 1e-6);
}

TEST(AndersonMixer, LeavesTheFirstImageAsItIsAndForgetsWhenTold) {
  Rng rng(7);
  const LinearMap map(rng, 5, 0.9);
  AndersonMixer mixer(3);
  const std::vector<double> x(5, 1.0);
  const std::vector<double> image = map.Apply(x);
  std::vector<double> mixed = image;
  mixer.Mix(x, mixed);
  EXPECT_EQ(mixed, image);
  mixed = map.Apply(image);
  mixer.Mix(image, mixed);
  EXPECT_NE(mixed, map.Apply(image));
  mixer.Clear();
  mixed = image;
  mixer.Mix(x, mixed);
  EXPECT_EQ(mixed, image);
}

TEST(AndersonMixer, AFixedPointStaysFinite) {
  AndersonMixer mixer(3);
  const std::vector<double> x = {1, 2, 3};
  for (int step = 0; step < 5; ++step) {
    std::vector<double> image = x;
    mixer.Mix(x, image);
    EXPECT_EQ(image, x);
  }
}

}  // namespace
}  // namespace berth::mdp::internal

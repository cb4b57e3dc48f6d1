#include "mdp/files/number.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "base/rng.h"

namespace berth::mdp::internal {
namespace {

TEST(NearestDouble, IsTheDoubleThatTheCompilerRoundsTo) {
  EXPECT_EQ(NearestDouble({1, 1'000'000}), 1e-6);
  EXPECT_EQ(NearestDouble({1, 3}), 1.0 / 3);
  EXPECT_EQ(NearestDouble({-2, 3}), -2.0 / 3);
  EXPECT_EQ(NearestDouble({0, 7}), 0);
  // Above 2^53 the two numbers alone are no doubles. 2^53 + 1 lies between two: ties go to even.
  EXPECT_EQ(NearestDouble({9007199254740993, 1}), 9007199254740992.0);
  EXPECT_EQ(NearestDouble({9007199254740995, 1}), 9007199254740996.0);
  EXPECT_EQ(NearestDouble({123456789012345678, 1000000000000000000 - 1}), 0.123456789012345678);
}

TEST(NearestDouble, AgreesWithDivisionWhereThatIsExactlyRounded) {
  Rng rng(5);
  for (int i = 0; i < 100000; ++i) {
    const auto above = static_cast<int64_t>(rng.Below(uint64_t{1} << 53)) - (int64_t{1} << 52);
    const auto below = static_cast<int64_t>(1 + rng.Below(uint64_t{1} << (1 + rng.Below(53))));
    ASSERT_EQ(NearestDouble({above, below}), static_cast<double>(above) / static_cast<double>(below));
  }
}

TEST(ParseNumber, TakesDecimalsAndFractionsAndNothingElse) {
  EXPECT_EQ(ParseNumber("1/4"), 0.25);
  EXPECT_EQ(ParseNumber("-7/2"), -3.5);
  EXPECT_EQ(ParseNumber("1e-6"), 1e-6);
  EXPECT_EQ(ParseNumber("12"), 12);
  EXPECT_EQ(ParseNumber("0.1"), 0.1);
  for (const char* bad : {"", "x", "1/", "/2", "1/0", "1/-2", "1/2/3", "1 /2", " 1", "1 ", "1e999", "0x10", "1,5", "+1",
                          "1234567890123456789/7", "1.5/2", "--1", "1/2x"}) {
    EXPECT_FALSE(ParseNumber(bad).has_value()) << bad;
  }
}

TEST(ParseFraction, TakesDecimalsExactly) {
  const auto gamma = ParseFraction("0.999999");
  ASSERT_TRUE(gamma.has_value());
  EXPECT_EQ(gamma->numerator, 999999);
  EXPECT_EQ(gamma->denominator, 1000000);
  EXPECT_FALSE(ParseFraction("1e-6").has_value());
  EXPECT_FALSE(ParseFraction("0.0000000000000000001").has_value());
}

TEST(FractionText, IsShortAndComesBackAsTheSameDouble) {
  EXPECT_EQ(FractionText(1.0 / 3), "1/3");
  EXPECT_EQ(FractionText(0.2), "1/5");
  EXPECT_EQ(FractionText(-2.5), "-5/2");
  EXPECT_EQ(FractionText(0), "0");
  EXPECT_EQ(FractionText(1e-6), "1/1000000");
  Rng rng(9);
  for (int i = 0; i < 20000; ++i) {
    const double value = std::ldexp(rng.Uniform() - 0.5, static_cast<int>(rng.Below(120)) - 60);
    const auto back = ParseNumber(FractionText(value));
    ASSERT_TRUE(back.has_value()) << FractionText(value);
    ASSERT_EQ(*back, value);
  }
  for (const double value : {std::numeric_limits<double>::denorm_min(), std::numeric_limits<double>::max(), 1e-300,
                             1e18, 1e18 - 128, 4611686018427387904.0}) {
    EXPECT_EQ(ParseNumber(FractionText(value)), value);
  }
}

}  // namespace
}  // namespace berth::mdp::internal

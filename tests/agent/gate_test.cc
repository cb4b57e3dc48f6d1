#include "agent/gate.h"

namespace berth {
namespace {

// 8 seeds on two mixes; the champion costs about 2 and 10.
std::vector<double> Costs(double first, double second) {
  std::vector<double> costs;
  for (int seed = 0; seed < 8; ++seed) {
    const double luck = 0.1 * seed;   // of the arrivals: shared, so that it cancels in pairs
    costs.push_back(first + luck);
    costs.push_back(second + luck);
  }
  return costs;
}

TEST(Gate, DifferencesArePairedAndByMixAsASharesOfTheChampion) {
  const GateResult r = Compare(Costs(1.5, 10), Costs(2, 10), 8, 1, 2, 0.005);
  EXPECT_NEAR(r.difference.mean, -0.25, 1e-12);
  EXPECT_NEAR(r.difference.high, -0.25, 1e-9);   // nothing but the shared luck varied
  ASSERT_EQ(r.by_mix.size(), 2u);
  EXPECT_NEAR(r.by_mix[0].mean, -0.5 / 2.35, 1e-12);
  EXPECT_NEAR(r.by_mix[1].mean, 0, 1e-12);
  EXPECT_TRUE(r.is_better());
}

TEST(Gate, BetterOverallButWorseOnOneMixIsRefused) {
  const GateResult r = Compare(Costs(1, 10.1), Costs(2, 10), 8, 1, 2, 0.005);
  EXPECT_LT(r.difference.high, 0);
  EXPECT_TRUE(r.worst_mix_fails());
  EXPECT_FALSE(r.is_better());
  EXPECT_TRUE(Compare(Costs(1, 10.1), Costs(2, 10), 8, 1, 2, 0.02).is_better()) << "1 % may be allowed";
  EXPECT_TRUE(Compare(Costs(1, 10.1), Costs(2, 10), 8, 1, 2, 0).is_better()) << "0 asks for no such thing";
}

TEST(Gate, HarmThatIsNotExcludedIsRefusedToo) {
  std::vector<double> noisy = Costs(1, 10);
  for (size_t s = 0; s < 8; ++s) noisy[2 * s + 1] += s % 2 == 0 ? 0.5 : -0.5;   // no worse in the mean, but who knows
  const GateResult r = Compare(noisy, Costs(2, 10), 8, 1, 2, 0.005);
  EXPECT_NEAR(r.by_mix[1].mean, 0, 1e-12);
  EXPECT_FALSE(r.is_better());
}

TEST(Gate, OneMixHasNoneToSpare) {
  const std::vector<double> low{1, 2, 3}, high{2, 3, 4};
  EXPECT_TRUE(Compare(low, high, 3, 1, 1, 0.005).is_better());
  EXPECT_TRUE(Compare(low, high, 3, 1, 1, 0.005).by_mix.empty());
  EXPECT_FALSE(Compare(high, low, 3, 1, 1, 0.005).is_better());
}

}  // namespace
}  // namespace berth

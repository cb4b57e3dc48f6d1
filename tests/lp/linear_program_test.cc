// The interface over Clp: signs of duals, warm starts, errors.
#include "lp/linear_program.h"

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <vector>

#include "base/rng.h"

namespace berth {
namespace {

constexpr double kInf = LinearProgram::kInfinity;

// max 3x + 2y, x + y <= 4, x + 3y <= 6, x <= 3: (3, 1), value 11.
TEST(LinearProgram, ValuesAndDuals) {
  LinearProgram lp;
  const int a = lp.AddRow(-kInf, 4), b = lp.AddRow(-kInf, 6);
  const std::array<LpEntry, 2> x{{{a, 1}, {b, 1}}}, y{{{a, 1}, {b, 3}}};
  const int cx = lp.AddColumn(3, 0, 3, x), cy = lp.AddColumn(2, 0, kInf, y);
  ASSERT_TRUE(lp.Solve().ok());
  EXPECT_NEAR(lp.objective(), 11, 1e-9);
  EXPECT_NEAR(lp.value(cx), 3, 1e-9);
  EXPECT_NEAR(lp.value(cy), 1, 1e-9);
  // Degenerate: both rows bind. A unit more of what binds adds at least 0.
  EXPECT_GE(lp.dual(a), -1e-9);
  EXPECT_GE(lp.dual(b), -1e-9);
  lp.SetRow(b, -kInf, 100);
  ASSERT_TRUE(lp.Solve().ok());
  EXPECT_NEAR(lp.dual(a), 2, 1e-9);
  EXPECT_NEAR(lp.dual(b), 0, 1e-9);
  // A lower bound that hurts has a dual below 0.
  const std::array<LpEntry, 1> y_only{{{cy, 1}}};
  const int c = lp.AddRow(2, kInf, y_only);
  ASSERT_TRUE(lp.Solve().ok());
  EXPECT_NEAR(lp.objective(), 10, 1e-9);
  EXPECT_NEAR(lp.dual(c), -1, 1e-9);
}

TEST(LinearProgram, NamesWhatIsWrong) {
  LinearProgram lp;
  const int row = lp.AddRow(2, kInf);
  const std::array<LpEntry, 1> entry{{{row, 1}}};
  const int x = lp.AddColumn(1, 0, 1, entry);
  EXPECT_EQ(lp.Solve().code(), absl::StatusCode::kFailedPrecondition);
  lp.SetColumn(x, 0, kInf);
  EXPECT_EQ(lp.Solve().code(), absl::StatusCode::kOutOfRange);
  lp.SetCost(x, -1);
  ASSERT_TRUE(lp.Solve().ok());
  EXPECT_NEAR(lp.objective(), -2, 1e-9);
}

// Adding columns and rows, moving bounds and costs, gives what a fresh program gives; weak duality holds throughout.
TEST(LinearProgram, WarmEqualsFresh) {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    Rng rng = Rng::Stream(seed, 1);
    const int rows = 4;
    std::vector<double> high(rows);
    std::vector<std::vector<LpEntry>> columns;
    std::vector<double> costs;
    LinearProgram warm;
    for (double& h : high) warm.AddRow(-kInf, h = 1 + 9 * rng.Uniform());
    for (int step = 0; step < 12; ++step) {
      std::vector<LpEntry> entries;
      for (int r = 0; r < rows; ++r) entries.push_back({r, 0.1 + rng.Uniform()});
      columns.push_back(entries);
      costs.push_back(rng.Uniform());
      warm.AddColumn(costs.back(), 0, 5, entries);
      if (step % 3 == 2) {
        const int r = static_cast<int>(rng.Below(rows));
        warm.SetRow(r, -kInf, high[static_cast<size_t>(r)] = 1 + 9 * rng.Uniform());
      }
      ASSERT_TRUE(warm.Solve().ok());
      LinearProgram fresh;
      for (double h : high) fresh.AddRow(-kInf, h);
      for (size_t c = 0; c < columns.size(); ++c) fresh.AddColumn(costs[c], 0, 5, columns[c]);
      ASSERT_TRUE(fresh.Solve().ok());
      ASSERT_NEAR(warm.objective(), fresh.objective(), 1e-8) << seed << " " << step;
      double dual_value = 0;
      for (int r = 0; r < rows; ++r) {
        ASSERT_GE(warm.dual(r), -1e-9);
        dual_value += warm.dual(r) * high[static_cast<size_t>(r)];
      }
      for (size_t c = 0; c < columns.size(); ++c) {
        double reduced = costs[c];
        for (const LpEntry& e : columns[c]) reduced -= e.value * warm.dual(e.index);
        dual_value += 5 * std::max(0.0, reduced);
      }
      ASSERT_NEAR(dual_value, warm.objective(), 1e-7) << seed << " " << step;
    }
  }
}

}  // namespace
}  // namespace berth

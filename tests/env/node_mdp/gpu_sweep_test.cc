// Sweeps over the process of a node with GPUs, against the walk of the same process state by state.
#include "env/node_mdp/gpu_sweep.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "base/rng.h"
#include "mdp/stationary.h"
#include "mdp/value_iteration.h"

namespace berth {
namespace {

std::vector<GpuGridClass> SomeClasses() {
  return {{0, 1, 1, 4, 0.5}, {0, 2, 2.4, 3, 1}, {0, 3, 0.2, 2, 2}, {1, 0, 3, 3, 1},
          {2, 0, 5, 1, 3},   {0, 0, 2, 3, 1},   {0, 0, 6, 1, 1}};
}

std::vector<GpuStream> SomeStreams() { return {{8, 0.2}, {4, 0.5}, {3, 0.9}, {5, 1}, {1, 6}, {6, 0.1}, {0, 0.3}}; }

std::vector<double> Noise(size_t n, uint64_t seed) {
  Rng rng(seed);
  std::vector<double> h(n);
  for (double& v : h) v = rng.Normal();
  return h;
}

std::vector<mdp::InstructionSet> SupportedSets() {
  std::vector<mdp::InstructionSet> sets;
  for (const auto set : {mdp::InstructionSet::kPortable, mdp::InstructionSet::kAvx2, mdp::InstructionSet::kAvx512}) {
    if (mdp::IsSupported(set)) sets.push_back(set);
  }
  return sets;
}

// Greatest difference of d between sweep and walk; infinite where the range does not span it.
double DifferenceToWalk(const GpuGrid& grid, const std::vector<GpuStream>& walked,
                        const std::vector<GpuStream>& swept) {
  const GpuNodeModel model(grid, walked);
  GpuSweep sweep(grid, swept, 2);
  const std::vector<double> h = Noise(static_cast<size_t>(grid.num_states()), 7);
  sweep.SetValues(h);
  const mdp::ResidualRange range = sweep.Range();
  sweep.JacobiSweep(1, 0);
  std::vector<double> moved(h.size());
  sweep.GetValues(moved);
  double difference = 0, lowest = 1e9, highest = -1e9;
  for (mdp::StateIndex s = 0; s < model.num_states(); ++s) {
    const double d = mdp::EvaluateBackup(model, s, h.data()).residual;
    difference = std::max(difference, std::abs(moved[static_cast<size_t>(s)] - h[static_cast<size_t>(s)] - d));
    lowest = std::min(lowest, d);
    highest = std::max(highest, d);
  }
  return std::max({difference, std::abs(range.lowest - lowest), std::abs(range.highest - highest)});
}

TEST(GpuSweep, HasTheResidualsOfAWalk) {
  for (const int32_t levels : {1, 2, 7, 8, 9, 16, 41}) {
    for (const int32_t devices : {1, 2, 4}) {
      const GpuGrid grid(devices, 4, levels, SomeClasses());
      EXPECT_LT(DifferenceToWalk(grid, SomeStreams(), SomeStreams()), 1e-11) << levels << " levels, " << devices;
    }
  }
  // The check sees a price that differs.
  std::vector<GpuStream> other = SomeStreams();
  other[3].earned += 1e-3;
  EXPECT_GT(DifferenceToWalk(GpuGrid(2, 4, 9, SomeClasses()), SomeStreams(), other), 1e-6);
}

TEST(GpuSweep, SweepsAlikeOnEveryInstructionSetAndNumberOfThreads) {
  const GpuGrid grid(4, 4, 21, SomeClasses());
  const std::vector<GpuStream> streams = SomeStreams();
  std::vector<double> first;
  for (const mdp::InstructionSet set : SupportedSets()) {
    for (const int threads : {1, 2, 3}) {
      GpuSweep sweep(grid, streams, threads, set);
      for (int i = 0; i < 20; ++i) sweep.GaussSeidelSweep(5);
      sweep.JacobiSweep(0.9 / sweep.max_rate(), 5);
      std::vector<double> h(static_cast<size_t>(grid.num_states()));
      sweep.GetValues(h);
      if (first.empty()) first = h;
      EXPECT_EQ(h, first) << mdp::InstructionSetName(set) << ", " << threads << " threads";
    }
  }
}

TEST(GpuSweep, IsSolvedAsTheGeneralSolverDoes) {
  for (const int32_t devices : {1, 2, 4}) {
    const GpuGrid grid(devices, 4, 15, SomeClasses());
    const std::vector<GpuStream> streams = SomeStreams();
    const GpuNodeModel model(grid, streams);
    const auto reference = mdp::SolveAverage(model, {.tolerance = 1e-9});
    ASSERT_TRUE(reference.ok()) << reference.status();
    GpuSweep sweep(grid, streams, 2);
    const auto solved = mdp::SolveBySweeps(sweep, {.tolerance = 1e-9});
    ASSERT_TRUE(solved.ok()) << solved.status();
    EXPECT_EQ(solved->stop, mdp::StopReason::kConverged);
    EXPECT_LE(solved->error, 1e-9);
    EXPECT_NEAR(solved->level, reference->gain, 2e-9);
    EXPECT_LE(solved->level_lower, reference->gain_upper);
    EXPECT_GE(solved->level_upper, reference->gain_lower);
    ASSERT_EQ(solved->relative_values.size(), static_cast<size_t>(grid.num_states()));
    EXPECT_EQ(solved->relative_values[0], 0);
  }
}

TEST(GpuSweep, FlowsAreThoseOfTheStationaryChain) {
  const GpuGrid grid(3, 4, 12, SomeClasses());
  const std::vector<GpuStream> streams = SomeStreams();
  const GpuNodeModel model(grid, streams);
  GpuSweep sweep(grid, streams, 1);
  const auto solved = mdp::SolveBySweeps(sweep, {.tolerance = 1e-9});
  ASSERT_TRUE(solved.ok());
  const std::vector<double>& h = solved->relative_values;
  const auto chain = mdp::SolveStationary(mdp::GreedyChain(model, h), {.tolerance = 1e-12});
  ASSERT_TRUE(chain.ok());
  std::vector<double> expected(streams.size(), 0), probability;
  for (int32_t p = 0; p < grid.num_patterns(); ++p) {
    for (int32_t cpu = 0; cpu < grid.cpu_levels(); ++cpu) {
      const auto s = static_cast<size_t>(grid.StateAt(p, cpu));
      for (size_t k = 0; k < streams.size(); ++k) {
        const int32_t after = grid.After(p, k), cpu_after = cpu + grid.CpuStep(k);
        if (after < 0 || cpu_after >= grid.cpu_levels()) continue;
        const double gain = streams[k].earned + (h[static_cast<size_t>(grid.StateAt(after, cpu_after))] - h[s]);
        if (gain > 0) expected[k] += streams[k].offered_per_h * chain->probability[s];
      }
    }
  }
  const std::vector<double> taken = sweep.Flows(400, probability);
  double earned = 0;
  for (size_t k = 0; k < streams.size(); ++k) {
    EXPECT_NEAR(taken[k], expected[k], 1e-8) << k;
    earned += taken[k] * streams[k].earned;
  }
  EXPECT_NEAR(earned, solved->level, 1e-7);
}

}  // namespace
}  // namespace berth

// The grid of a node with GPUs: its states, its moves, and the process on it.
#include "env/node_mdp/gpu_grid.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "env/node_mdp/gpu_node_mdp.h"
#include "mdp/value_iteration.h"
#include "workload/workload.h"

namespace berth {
namespace {

constexpr int32_t kWhole = GpuGrid::kWhole;

int32_t At(const GpuGrid& grid, std::vector<int32_t> used) { return grid.PatternOf(used); }

TEST(GpuGrid, HasEveryPatternOnce) {
  // Multisets of 8 devices of 10 kinds (0 to 8 eighths, whole), and the one of a pod of all devices.
  EXPECT_EQ(GpuGrid(8, 8, 1, {}).num_patterns(), 24310 + 1);
  EXPECT_EQ(GpuGrid(8, 4, 24, {}).num_states(), (1287 + 1) * 24);
  EXPECT_EQ(GpuGrid(1, 4, 1, {}).num_patterns(), 6);
  const GpuGrid grid(2, 4, 3, {});
  EXPECT_EQ(At(grid, {0, 0}), 0);
  EXPECT_EQ(At(grid, {3, kWhole}), At(grid, {kWhole, 3}));
  EXPECT_NE(At(grid, {4, 0}), At(grid, {kWhole, 0}));
}

TEST(GpuGrid, PodsTakeTheTightestDevice) {
  const std::vector<GpuGridClass> classes = {{0, 2, 1, 1, 1}, {1, 0, 2, 1, 1}, {2, 0, 4, 1, 1}, {0, 0, 3, 1, 1}};
  const GpuGrid grid(2, 4, 5, classes);
  EXPECT_EQ(grid.After(At(grid, {0, 1}), 0), At(grid, {0, 3}));
  EXPECT_EQ(grid.After(At(grid, {0, 3}), 0), At(grid, {2, 3}));
  EXPECT_EQ(grid.After(At(grid, {3, 3}), 0), -1);
  EXPECT_EQ(grid.After(At(grid, {0, 1}), 1), At(grid, {kWhole, 1}));
  EXPECT_EQ(grid.After(At(grid, {0, 1}), 2), -1);
  EXPECT_EQ(grid.After(At(grid, {0, 1}), 3), At(grid, {0, 1}));
  // A pod of all devices is a pattern of its own: it leaves at once.
  const int32_t all = grid.After(0, 2);
  EXPECT_NE(all, At(grid, {kWhole, kWhole}));
  ASSERT_EQ(grid.Departures(all).size(), 1u);
  EXPECT_EQ(grid.Departures(all)[0].pattern, 0);
  EXPECT_EQ(grid.CpuStep(1), 2);
}

TEST(GpuGrid, WhatLeavesIsWhatIsInUse) {
  const std::vector<GpuGridClass> classes = {{0, 1, 1, 3, 1}, {0, 2, 1.5, 2, 1}, {1, 0, 4, 1, 1}, {2, 0, 8, 1, 1}};
  const GpuGrid grid(4, 4, 30, classes);
  // Of a device that is u units full, pods of u units in all are likely: sum over sizes of size * number = u.
  for (int32_t u = 1; u <= 4; ++u) {
    const int32_t pattern = At(grid, {u, 0, 0, 0});
    double units = 0;
    for (const GpuGrid::Departure& d : grid.Departures(pattern)) {
      for (int32_t left = 0; left < u; ++left) {
        if (d.pattern == At(grid, {left, 0, 0, 0})) units += (u - left) * d.rate_per_h;
      }
    }
    EXPECT_NEAR(units, u, 1e-6) << u;
  }
}

TEST(GpuGrid, MovesLeadToOtherRanks) {
  const GpuGrid grid(4, 4, 3, {{0, 1, 1, 3, 1}, {0, 4, 1, 2, 1}, {1, 0, 1, 1, 1}, {4, 0, 2, 1, 1}, {0, 0, 1, 1, 1}});
  std::vector<size_t> rank;
  for (size_t r = 0; r + 1 < grid.rank_begin().size(); ++r) {
    rank.insert(rank.end(), static_cast<size_t>(grid.rank_begin()[r + 1] - grid.rank_begin()[r]), r);
  }
  ASSERT_EQ(rank.size(), static_cast<size_t>(grid.num_patterns()));
  for (int32_t p = 0; p < grid.num_patterns(); ++p) {
    for (size_t k = 0; k < 4; ++k) {
      if (const int32_t to = grid.After(p, k); to >= 0) {
        EXPECT_GT(rank[static_cast<size_t>(to)], rank[static_cast<size_t>(p)]);
      }
    }
    for (const GpuGrid::Departure& d : grid.Departures(p)) {
      EXPECT_LT(rank[static_cast<size_t>(d.pattern)], rank[static_cast<size_t>(p)]);
    }
  }
}

TEST(GpuNodeModel, IsAValidModelAndADeviceAloneIsErlangs) {
  const std::vector<GpuGridClass> classes = {
      {0, 2, 1, 1, 1}, {0, 3, 1, 1, 1}, {1, 0, 2, 2, 0.5}, {8, 0, 9, 1, 2}, {0, 0, 2, 1, 1}};
  const GpuGrid grid(8, 4, 10, classes);
  const std::vector<GpuStream> streams(classes.size(), {1.0, 1.0});
  EXPECT_TRUE(mdp::ValidateEventModel(GpuNodeModel(grid, streams)).ok());
  // One device, whole pods alone: taken whenever free, so that the gain is rate * (1 - Erlang B) = 2 / (1 + 2).
  const GpuGrid one(1, 1, 2, {{1, 0, 1, 2, 1}});
  const std::vector<GpuStream> stream = {{2.0, 1.0}};
  const auto solved = mdp::SolveAverage(GpuNodeModel(one, stream), {.tolerance = 1e-9});
  ASSERT_TRUE(solved.ok());
  EXPECT_NEAR(solved->gain, 2.0 / 3, 1e-8);
}

Workload SmallWorkload() {
  Workload workload;
  workload.name = "small";
  Node node;
  node.name = "gpu";
  node.cpu_milli = 32'000;
  node.mem_bytes = int64_t{64} << 30;
  node.gpu_count = 2;
  workload.node_groups = {{node, 10}};
  const auto add = [&](const char* name, int64_t cpu, int32_t count, int32_t milli, double share) {
    PodClass c;
    c.name = name;
    c.request.cpu_milli = cpu;
    c.request.mem_bytes = int64_t{1} << 30;
    c.request.gpu_count = count;
    c.request.gpu_milli = milli;
    c.share = share;
    workload.pod_classes.push_back(c);
  };
  add("half", 4000, 1, 500, 0.5);
  add("one", 8000, 1, 1000, 0.4);
  add("two", 16'000, 2, 1000, 0.1);
  EXPECT_TRUE(FinishWorkload(workload).ok());
  return workload;
}

TEST(GpuNodeMdp, KeepsNodesEmptyForPodsOfAllDevices) {
  GpuNodeMdpOptions options;
  options.units = options.price_units = 2;
  options.cpu_levels = options.price_cpu_levels = 9;
  options.price_steps = 2000;
  options.price_tolerance = 0.05;
  options.gain_tolerance = 1e-10;  // states that are nearly worth the same are compared
  const auto solution = SolveGpuNodeMdp(SmallWorkload(), options);
  ASSERT_TRUE(solution.ok()) << solution.status();
  ASSERT_EQ(solution->shapes.size(), 1u);
  const GpuNodeMdpShape& shape = solution->shapes[0];
  EXPECT_LE(shape.gain_lower, shape.gain_upper);
  EXPECT_LE(solution->price_gap, options.price_tolerance);
  const GpuValueTable& table = shape.table;
  const auto h = [&](std::vector<int32_t> used, double cpu) { return table.At(table.RowOf(used), cpu); };
  // A half pod is better put on a node that is in use than on an empty one.
  EXPECT_GT(h({2, 0}, 8000) - h({1, 0}, 4000), h({1, 0}, 4000) - h({0, 0}, 0));
  // Less free is never worth more.
  EXPECT_GE(h({0, 0}, 0), h({1, 0}, 0));
  EXPECT_GE(h({1, 0}, 4000), h({1, 0}, 16'000));
}

TEST(GpuNodeMdp, RefusesByName) {
  Workload workload = SmallWorkload();
  workload.pod_classes[1].lifetime.kind = Lifetime::Kind::kUnlimited;
  EXPECT_THAT(std::string(SolveGpuNodeMdp(workload, {}).status().message()), testing::HasSubstr("lifetime of pod"));
  workload = SmallWorkload();
  workload.node_groups[0].node.gpu_count = 16;
  EXPECT_THAT(std::string(SolveGpuNodeMdp(workload, {}).status().message()), testing::HasSubstr("at most 8"));
  workload.node_groups[0].node.gpu_count = 0;
  EXPECT_THAT(std::string(SolveGpuNodeMdp(workload, {}).status().message()), testing::HasSubstr("nodes with GPUs"));
  EXPECT_THAT(std::string(SolveGpuNodeMdp(SmallWorkload(), {.m = 0}).status().message()), testing::HasSubstr("m is"));
}

}  // namespace
}  // namespace berth

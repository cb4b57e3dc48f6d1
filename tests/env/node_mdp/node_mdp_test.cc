#include "env/node_mdp/node_mdp.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "conformance/policy_kit.h"
#include "evaluate/evaluate.h"
#include "policy/registry.h"

namespace berth {
namespace {

using ::testing::HasSubstr;

// Small enough for tests: hosts of 8 vCPU and 16 GiB.
Workload Small() {
  Workload w;
  w.name = "small";
  Node node;
  node.name = "host";
  node.cpu_milli = 8000;
  node.mem_bytes = int64_t{16} << 30;
  w.node_groups = {{node, 40}};
  const auto add = [&](const char* name, int64_t cpu, int64_t gib, double share, double mean_s) {
    PodClass c;
    c.name = name;
    c.request.cpu_milli = cpu;
    c.request.mem_bytes = gib << 30;
    c.share = share;
    c.lifetime.mean_s = mean_s;
    w.pod_classes.push_back(c);
  };
  add("small", 1000, 1, 6, 600);
  add("cpu", 4000, 2, 1.5, 600);
  add("memory", 2000, 8, 1, 600);
  EXPECT_TRUE(FinishWorkload(w).ok());
  return w;
}

TEST(NodeMdp, TheGainLiesWithinItsCertifiedBoundsAndSolvingIsDeterministic) {
  const Workload w = Small();
  const auto a = SolveNodeMdps(w, {}), b = SolveNodeMdps(w, {});
  ASSERT_TRUE(a.ok()) << a.status();
  ASSERT_EQ(a->size(), 1u);
  const NodeMdpSolution& s = (*a)[0];
  EXPECT_LE(s.gain_lower, s.gain);
  EXPECT_LE(s.gain, s.gain_upper);
  EXPECT_LT(s.gain_upper - s.gain_lower, 0.5);
  EXPECT_EQ(s.table.value, (*b)[0].table.value);
  EXPECT_EQ(s.cpu_rounding_percent, 0);
  EXPECT_EQ(s.mem_rounding_percent, 0);
}

TEST(NodeMdp, PricesMakeTheNodeTakeAboutItsFairShare) {
  NodeMdpOptions options;
  options.price_steps = 400;
  options.design_load = 0.8;
  const auto solved = SolveNodeMdps(Small(), options);
  ASSERT_TRUE(solved.ok());
  for (double share : (*solved)[0].accepted_share) EXPECT_NEAR(share, 1, 0.35);
}

TEST(NodeMdp, TheTableIsLookedUpAsItWasSolvedAndInterpolatedBetween) {
  const auto solved = SolveNodeMdps(Small(), {.price_steps = 5});
  ASSERT_TRUE(solved.ok());
  const ValueTable& t = (*solved)[0].table;
  for (int32_t i = 0; i < t.cpu_levels; ++i) {
    for (int32_t j = 0; j < t.mem_levels; ++j) {
      EXPECT_EQ(t.At(i * t.cpu_unit_milli, j * t.mem_unit_bytes), static_cast<double>(t.value[static_cast<size_t>(i * t.mem_levels + j)]));
    }
  }
  const double between = t.At(0.5 * t.cpu_unit_milli, 0);
  EXPECT_NEAR(between, (static_cast<double>(t.value[0]) + static_cast<double>(t.value[static_cast<size_t>(t.mem_levels)])) / 2, 1e-3 * std::abs(between) + 1e-6);
}

TEST(NodeMdp, TheIndexPassesThePolicyKit) {
  const auto policy = MakeIndexPolicy(Small(), {.price_steps = 20});
  ASSERT_TRUE(policy.ok());
  for (uint64_t seed = 0; seed < 4; ++seed) test::CheckPolicyConformance(**policy, seed);
}

// Prices far from the cluster's make a bad table, and the runs see it: the positive control of the comparison below.
TEST(NodeMdp, TheIndexBeatsSpreadingByFar) {
  const Workload w = Small();
  const auto index = MakeIndexPolicy(w, NodeMdpOptions());
  ASSERT_TRUE(index.ok());
  ChurnOptions churn;
  churn.env.warmup_us = int64_t{3600} * 1'000'000;
  churn.env.window_us = 8 * int64_t{3600} * 1'000'000;
  churn.loads = {0.9};
  churn.seeds = {1, 2, 3, 4};
  const auto runs = RunChurn(w, churn, {*index, *MakePolicy("minimum-resource-usage", {})}, {0, true});
  ASSERT_TRUE(runs.ok());
  const auto differences = PairedDifferences(*runs, [](const ChurnRun& r) { return r.rejected_cpu_hours_percent(); });
  EXPECT_LT(differences[0].difference.high, -0.5);
}

TEST(NodeMdp, BadOptionsAndWorkloadsAreErrorsThatNameThem) {
  const auto message = [](const Workload& w, const NodeMdpOptions& o) { return std::string(SolveNodeMdps(w, o).status().message()); };
  EXPECT_THAT(message(Small(), {.m = 0.5}), HasSubstr("m is"));
  EXPECT_THAT(message(Small(), {.design_load = 0}), HasSubstr("design load"));
  EXPECT_THAT(message(Small(), {.price_steps = 0}), HasSubstr("price_steps"));
  EXPECT_THAT(message(*BuiltinWorkload("openb-like"), {}), HasSubstr("without GPUs"));
  Workload w = Small();
  w.pod_classes[0].lifetime.kind = Lifetime::Kind::kUnlimited;
  EXPECT_THAT(message(w, {}), HasSubstr("pods that depart"));
}

}  // namespace
}  // namespace berth

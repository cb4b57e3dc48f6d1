#include "evaluate/evaluate.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "evaluate/report.h"
#include "openb_runs.h"
#include "policy/registry.h"

namespace berth {
namespace {

using ::testing::HasSubstr;

TEST(Statistics, StudentQuantilesAreThoseOfTheTables) {
  const std::tuple<int, double, double> table[] = {{1, 0.95, 12.7062047}, {2, 0.95, 4.3026527}, {7, 0.95, 2.3646243}, {9, 0.95, 2.2621572},
                                                   {30, 0.95, 2.0422725}, {9, 0.99, 3.2498355}, {1000, 0.95, 1.9623391}};
  for (const auto& [degrees, confidence, want] : table) EXPECT_NEAR(StudentQuantile(degrees, confidence), want, 1e-6) << degrees;
}

TEST(Statistics, IntervalsOfKnownValues) {
  const std::vector<double> a = {1, 2, 3, 4, 5}, b = {0, 1, 2, 3, 4};
  const Interval i = MeanInterval(a);
  EXPECT_DOUBLE_EQ(i.mean, 3);
  EXPECT_NEAR(i.standard_deviation, 1.5811388, 1e-6);
  EXPECT_NEAR(i.high - i.mean, 2.7764451 * 1.5811388 / std::sqrt(5.0), 1e-5);
  EXPECT_DOUBLE_EQ(PairedInterval(a, b).low, 1);   // a constant difference has no spread
  EXPECT_TRUE(PairedInterval(a, b).excludes_zero());
  EXPECT_FALSE(MeanInterval(std::vector<double>{-1, 1}).excludes_zero());
  std::vector<double> q = {3, 1, 2};
  EXPECT_DOUBLE_EQ(Quantile(q, 0.5), 2);
  EXPECT_DOUBLE_EQ(Quantile(q, 0.75), 2.5);
}

// Draws many samples and counts how often the interval holds the true mean: about 95 %.
TEST(Statistics, IntervalsCoverTheTrueMeanNinetyFivePercentOfTheTime) {
  Rng rng(1);
  int covered = 0;
  constexpr int kSamples = 4000;
  for (int s = 0; s < kSamples; ++s) {
    std::vector<double> x(6);
    for (double& v : x) v = 10 + 3 * rng.Normal();
    const Interval i = MeanInterval(x);
    covered += i.low <= 10 && 10 <= i.high;
  }
  EXPECT_NEAR(covered / static_cast<double>(kSamples), 0.95, 0.015);
}

TEST(Evaluate, ParallelRunsEqualSerialRuns) {
  const Workload w = *ScaleNodes(*BuiltinWorkload("openb-like"), 20);
  PolicyContext context;
  context.mix = MixOf(w);
  const PolicyList policies = {*MakePolicy("best-fit", context), *MakePolicy("fgd", context), *MakePolicy("random", context)};
  ChurnOptions churn;
  churn.env.warmup_us = 3'600'000'000;
  churn.env.window_us = 4 * int64_t{3'600'000'000};
  churn.loads = {0.9, 1.1};
  churn.seeds = {1, 2, 3};
  const auto a = RunChurn(w, churn, policies, {1, true}), b = RunChurn(w, churn, policies, {4, true});
  ASSERT_TRUE(a.ok() && b.ok());
  ASSERT_EQ(a->size(), 18u);
  for (size_t i = 0; i < a->size(); ++i) {
    EXPECT_EQ((*a)[i].policy, (*b)[i].policy);
    EXPECT_EQ((*a)[i].rejected_gpu_hours_percent(), (*b)[i].rejected_gpu_hours_percent());
    EXPECT_EQ((*a)[i].stats.arrived, (*b)[i].stats.arrived);
  }
  const auto differences = PairedDifferences(*a, [](const ChurnRun& r) { return r.rejected_gpu_hours_percent(); });
  EXPECT_EQ(differences.size(), 12u);
  for (const PairedDifference& d : differences) {
    const auto mirror = std::find_if(differences.begin(), differences.end(), [&](const PairedDifference& o) { return o.load == d.load && o.policy == d.against && o.against == d.policy; });
    ASSERT_NE(mirror, differences.end());
    EXPECT_NEAR(mirror->difference.mean, -d.difference.mean, 1e-12);
  }
}

TEST(Evaluate, FgdProtocolRefusesWhatDoesNotFitTogether) {
  const Workload w = *ScaleNodes(*BuiltinWorkload("openb-like"), 10);
  std::vector<PodRequest> pods;
  auto sequences = DrawFgdSequences(w, {1}, 1.3, false, &pods);
  const PolicyList policies = {*MakePolicy("best-fit", {})};
  ASSERT_TRUE(RunFgdProtocol(w.Nodes(), pods, sequences, policies, {1, true}).ok());
  auto bad = sequences;
  bad[0].pods[0] = 100000;
  EXPECT_THAT(std::string(RunFgdProtocol(w.Nodes(), pods, bad, policies, {1, true}).status().message()), HasSubstr("arrival row of seed 1"));
  bad = sequences;
  bad[0].ranks.pop_back();
  EXPECT_THAT(std::string(RunFgdProtocol(w.Nodes(), pods, bad, policies, {1, true}).status().message()), HasSubstr("node_ranks"));
}

// Drawn exactly, every class comes as often as its share says, in another order for each seed.
TEST(Evaluate, ExactSequencesHoldTheMixAsItIs) {
  Workload w = *ScaleNodes(*BuiltinWorkload("openb-like"), 100);
  std::vector<PodRequest> pods;
  const auto sequences = DrawFgdSequences(w, {1, 2}, 1.0, true, &pods);
  ASSERT_EQ(sequences.size(), 2u);
  double sum = 0;
  for (const PodClass& c : w.pod_classes) sum += c.share;
  std::vector<double> counts(pods.size());
  for (uint32_t p : sequences[0].pods) counts[p] += 1;
  const auto n = static_cast<double>(sequences[0].pods.size());
  for (size_t c = 0; c < counts.size(); ++c) EXPECT_NEAR(counts[c], n * w.pod_classes[c].share / sum, 1.0) << c;
  auto a = sequences[0].pods, b = sequences[1].pods;
  EXPECT_NE(a, b);
  std::sort(a.begin(), a.end());
  std::sort(b.begin(), b.end());
  EXPECT_EQ(a, b);
}

TEST(Report, TextIsEscapedAndPlotsAreInside) {
  Report report;
  report.title = "a <b> & \"c\"";
  report.tables.push_back({"t<", {"h"}, {{"<script>"}}});
  report.plots.push_back({"it's a plot", "x", "y", {{"line", {1, 2}, {3, 4}, {}, {}}, {"bars", {1, 2}, {3, 4}, {2, 3}, {4, 5}}}});
  const std::string html = HtmlReport(report);
  EXPECT_THAT(html, HasSubstr("a &lt;b&gt; &amp; &quot;c&quot;"));
  EXPECT_EQ(html.find("<script>"), std::string::npos);
  const auto svg = DrawSvg(report.plots[0]);
  if (svg.ok()) {
    EXPECT_THAT(html, HasSubstr("<svg"));
  } else {
    EXPECT_THAT(html, HasSubstr("gnuplot"));
  }
  EXPECT_FALSE(DrawSvg(Plot{"empty", "x", "y", {}}).ok());
}

TEST(Report, DashedSeriesAreDashed) {
  Plot plot{"t", "x", "y", {{"line", {1, 2}, {3, 4}, {}, {}}}};
  const auto solid = DrawSvg(plot);
  if (!solid.ok()) GTEST_SKIP() << "SKIPPED: gnuplot is not here";
  plot.series[0].is_dashed = true;
  const auto dashed = DrawSvg(plot);
  ASSERT_TRUE(dashed.ok());
  // The grid is dashed too.
  const auto dashes = [](const std::string& svg) { return std::vector<std::string>(absl::StrSplit(svg, "stroke-dasharray")).size(); };
  EXPECT_GT(dashes(*dashed), dashes(*solid));
}

// ---- The published runs: 8 workloads x 10 seeds x 5 policies, every point of every curve. ----

class PublishedRuns : public ::testing::TestWithParam<std::string> {};

TEST_P(PublishedRuns, EveryPointOfEveryCurveIsReproduced) {
  BERTH_REQUIRE_SHARED_DATA("openb");
  const std::string dir = *test::SharedData("openb");
  const OpenbRuns r = ReadRuns(dir, GetParam());
  const Published published = ReadPublished(dir + "/expected/published_alloc.csv", GetParam());
  ASSERT_EQ(published.curves.size(), 50u);
  PolicyContext context;
  context.mix = r.mix;
  PolicyList policies;
  for (const char* name : {"dotprod", "gpu-clustering", "gpu-packing", "best-fit", "fgd"}) policies.push_back(*MakePolicy(name, context));
  const auto runs = RunFgdProtocol(r.nodes, r.requests, r.sequences, policies, {0, true});
  ASSERT_TRUE(runs.ok()) << runs.status();
  ASSERT_EQ(runs->size(), 50u);
  for (const FgdRun& run : *runs) {
    const auto& want = published.curves.at({run.policy, run.seed});
    for (size_t i = 0; i < kCurvePoints; ++i) {
      ASSERT_NEAR(run.curve[i], want[i], 0.01 + 1e-9) << GetParam() << " " << run.policy << " seed " << run.seed << " at " << i;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Openb, PublishedRuns, ::testing::Values("default", "gpuspec33", "gpuspec10", "cpu250", "gpushare40", "gpushare100", "multigpu20", "multigpu50"));

TEST(PublishedGolden, FailedPodsAndAllocatedMilliAreExact) {
  BERTH_REQUIRE_SHARED_DATA("openb");
  const OpenbRuns r = ReadRuns(*test::SharedData("openb"), "default");
  PolicyContext context;
  context.mix = r.mix;
  const std::tuple<const char*, uint64_t, int64_t, int64_t> golden[] = {
      {"dotprod", 42, 2874, 5624470}, {"gpu-clustering", 42, 2797, 5686120}, {"gpu-packing", 42, 2794, 5688580}, {"best-fit", 42, 2676, 5785450},
      {"fgd", 42, 2532, 5919410}, {"best-fit", 43, 2579, 5792550}, {"fgd", 43, 2442, 5921240}};
  for (const auto& [name, seed, failed, allocated] : golden) {
    const auto runs = RunFgdProtocol(r.nodes, r.requests, {r.sequences[seed - 42]}, {*MakePolicy(name, context)}, {1, true});
    ASSERT_TRUE(runs.ok()) << runs.status();
    EXPECT_EQ((*runs)[0].failed_pods, failed) << name << seed;
    EXPECT_EQ((*runs)[0].allocated_gpu_milli, allocated) << name << seed;
  }
  // No seed: pods and nodes in file order, nothing added.
  FgdSequence natural;
  for (uint32_t i = 0; i < r.requests.size(); ++i) natural.pods.push_back(i);
  for (uint32_t i = 0; i < r.nodes.size(); ++i) natural.ranks.push_back(i);
  const std::tuple<const char*, int64_t, int64_t> in_order[] = {{"dotprod", 777, 5417520}, {"gpu-clustering", 663, 5502550}, {"gpu-packing", 614, 5541790}, {"fgd", 266, 5857560}};
  for (const auto& [name, failed, allocated] : in_order) {
    const auto runs = RunFgdProtocol(r.nodes, r.requests, {natural}, {*MakePolicy(name, context)}, {1, true});
    ASSERT_TRUE(runs.ok()) << runs.status();
    EXPECT_EQ((*runs)[0].failed_pods, failed) << name;
    EXPECT_EQ((*runs)[0].allocated_gpu_milli, allocated) << name;
  }
}

TEST(PublishedGolden, RandomIsWithinItsSpreadAndStrandingBeatsFgd) {
  BERTH_REQUIRE_SHARED_DATA("openb");
  const OpenbRuns r = ReadRuns(*test::SharedData("openb"), "default");
  PolicyContext context;
  context.mix = r.mix;
  const auto mean = [&](const char* name) {
    const auto runs = RunFgdProtocol(r.nodes, r.requests, r.sequences, {*MakePolicy(name, context)}, {0, true});
    std::vector<double> at_100;
    for (const FgdRun& run : *runs) at_100.push_back(run.unallocated_percent_at(100));
    return MeanInterval(at_100).mean;
  };
  EXPECT_NEAR(mean("random"), 13.70, 0.33);
  EXPECT_NEAR(mean("fgd"), 4.77, 0.01);
  EXPECT_LT(mean("stranding"), 3.85);
  EXPECT_NEAR(mean("first-fit"), 5.65, 0.05);
  EXPECT_NEAR(mean("fgd:tie=uniform"), 10.10, 0.25);
}

// Positive control of the exactness test: a seeded fault in the device rule or the tie rule must move a curve.
TEST(PublishedGolden, AnotherTieRuleIsSeenInTheCurve) {
  BERTH_REQUIRE_SHARED_DATA("openb");
  const std::string dir = *test::SharedData("openb");
  const OpenbRuns r = ReadRuns(dir, "default");
  const Published published = ReadPublished(dir + "/expected/published_alloc.csv", "default");
  PolicyContext context;
  context.mix = r.mix;
  const auto runs = RunFgdProtocol(r.nodes, r.requests, {r.sequences[0]}, {*MakePolicy("fgd:tie=least-free-memory", context)}, {1, true});
  ASSERT_TRUE(runs.ok());
  double worst = 0;
  const auto& want = published.curves.at({"fgd", 42});
  for (size_t i = 0; i < kCurvePoints; ++i) worst = std::max(worst, std::abs((*runs)[0].curve[i] - want[i]));
  EXPECT_GT(worst, 0.01);
}

}  // namespace
}  // namespace berth

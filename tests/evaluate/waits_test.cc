#include "evaluate/rejections.h"
#include "evaluate/waits.h"

#include <gtest/gtest.h>

namespace berth {
namespace {

Workload TwoKinds() {
  Workload w;
  Node node;
  node.name = "n";
  node.cpu_milli = 8000;
  node.mem_bytes = int64_t{1} << 34;
  node.gpu_count = 8;
  node.max_pods = 100;
  w.node_groups = {{node, 1}};
  for (const auto& [name, gpus, milli] : {std::tuple{"cpu", 0, 0}, {"half", 1, 500}, {"third", 1, 300}, {"eight", 8, 1000}}) {
    PodClass c;
    c.name = name;
    c.request.cpu_milli = 100;
    c.request.gpu_count = gpus;
    c.request.gpu_milli = milli;
    c.share = 1;
    w.pod_classes.push_back(c);
  }
  return w;
}

ChurnRun RunOf(std::vector<float> waits, std::vector<uint32_t> classes, const Workload& w) {
  ChurnRun run;
  for (uint32_t c : classes) run.stats.wait_gpus.push_back(static_cast<float>(w.pod_classes[c].request.total_gpu_milli()) / 1000);
  run.stats.waits_s = std::move(waits);
  run.stats.wait_class = std::move(classes);
  return run;
}

TEST(Waits, PercentilesAreOfEachClassAndLeaveOutClassesWithoutPods) {
  const Workload w = TwoKinds();
  const ChurnRun run = RunOf({0, 10, 20, 30, 40, 500}, {0, 1, 1, 1, 1, 3}, w);
  const auto by_class = WaitsByClass(w, {&run, 1});
  ASSERT_EQ(by_class.size(), 3u);
  EXPECT_EQ(by_class[0].name, "cpu");
  EXPECT_EQ(by_class[1].name, "half");
  EXPECT_EQ(by_class[1].pods, 4);
  EXPECT_DOUBLE_EQ(by_class[1].gpus, 0.5);
  EXPECT_DOUBLE_EQ(by_class[1].mean_s, 25);
  EXPECT_DOUBLE_EQ(by_class[1].p50_s, 25);
  EXPECT_DOUBLE_EQ(by_class[1].p90_s, 37);
  EXPECT_NEAR(by_class[1].p99_s, 39.7, 1e-9);
  EXPECT_DOUBLE_EQ(by_class[2].p50_s, 500);   // a mean over all pods would hide it
}

TEST(Waits, KindsPoolClassesAndRuns) {
  const Workload w = TwoKinds();
  const std::vector<ChurnRun> runs = {RunOf({10}, {1}, w), RunOf({30, 0}, {2, 0}, w)};
  const auto by_kind = WaitsByKind(w, runs);
  ASSERT_EQ(by_kind.size(), 2u);
  EXPECT_EQ(by_kind[0].name, "cpu only");
  EXPECT_EQ(by_kind[1].name, "shared gpu");
  EXPECT_EQ(by_kind[1].pods, 2);
  EXPECT_DOUBLE_EQ(by_kind[1].mean_s, 20);
  EXPECT_TRUE(WaitsByKind(w, {}).empty());
}

TEST(Rejections, AreOfEachClassAndKindAndTellWhatThePolicyDeclined) {
  const Workload w = TwoKinds();
  ChurnRun run;
  run.stats.class_arrived = {0, 10, 30, 4};
  run.stats.class_rejected = {0, 1, 3, 4};
  run.stats.class_declined = {0, 1, 0, 0};
  const auto by_class = RejectionsByClass(w, {&run, 1});
  ASSERT_EQ(by_class.size(), 3u);   // no cpu-only pod arrived
  EXPECT_EQ(by_class[0].name, "half");
  EXPECT_EQ(by_class[0].declined, 1);
  const std::vector<ChurnRun> twice = {run, run};
  const auto by_kind = RejectionsByKind(w, twice);
  ASSERT_EQ(by_kind.size(), 2u);
  EXPECT_EQ(by_kind[0].name, "shared gpu");
  EXPECT_EQ(by_kind[0].arrived, 80);
  EXPECT_DOUBLE_EQ(by_kind[0].rejected_percent(), 10);
  EXPECT_DOUBLE_EQ(by_kind[1].rejected_percent(), 100);   // a share of GPU hours would hide it
}

}  // namespace
}  // namespace berth

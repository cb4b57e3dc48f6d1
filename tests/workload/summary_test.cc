#include "workload/summary.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "support/shared_data.h"
#include "workload/azure.h"
#include "workload/openb.h"

namespace berth {
namespace {

using ::testing::HasSubstr;

constexpr char kText[] =
    "format: berth-workload-1\nname: w\nnodes:\n"
    "  - {name: a, count: 2, cpu: 4, memory: 8Gi, gpus: 2, gpu_model: A}\n"
    "  - {name: b, count: 3, cpu: 4, memory: 8Gi, gpus: 2, gpu_model: A}\n"
    "  - {name: c, cpu: 10, memory: 4Gi}\n"
    "pods:\n"
    "  - {name: p, share: 2, cpu: 1, memory: 1Gi, gpus: 1, gpu_milli: 500, lifetime: {mean_s: 100}}\n"
    "  - {name: q, share: 1, cpu: 2, memory: 2Gi, gpus: 2, lifetime: {mean_s: 200}}\n"
    "  - {name: r, share: 1, cpu: 4, memory: 1Gi, lifetime: {kind: unlimited}}\n";

TEST(Summary, AddsUpNodesAndPods) {
  const auto w = ParseWorkload(kText);
  ASSERT_TRUE(w.ok()) << w.status();
  const WorkloadSummary s = Summarise(*w);
  EXPECT_EQ(s.nodes, 6);
  ASSERT_EQ(s.shapes.size(), 2u);
  EXPECT_EQ(s.shapes[0].count, 5);
  EXPECT_DOUBLE_EQ(s.capacity.cpus, 30);
  EXPECT_DOUBLE_EQ(s.capacity.memory_gib, 44);
  EXPECT_DOUBLE_EQ(s.capacity.gpus, 10);
  EXPECT_EQ(s.pod_classes, 3u);
  EXPECT_DOUBLE_EQ(s.mean_request.cpus, 2);
  EXPECT_DOUBLE_EQ(s.mean_request.gpus, 0.75);
  ASSERT_EQ(s.kinds.size(), 3u);
  EXPECT_EQ(s.kinds[0].name, "cpu only");
  EXPECT_DOUBLE_EQ(s.kinds[0].pods_percent, 25);
  EXPECT_EQ(s.kinds[1].name, "shared gpu");
  EXPECT_NEAR(s.kinds[1].gpu_demand_percent, 100.0 / 3, 1e-9);
  EXPECT_EQ(s.kinds[2].name, "2 gpu");
  EXPECT_NEAR(s.kinds[2].gpu_demand_percent, 200.0 / 3, 1e-9);
  EXPECT_NEAR(s.mean_life_s, (0.5 * 100 + 0.25 * 200) / 0.75, 1e-9);
  EXPECT_EQ(s.load_resource, LoadResource::kGpu);
  // Mean GPU work of an arrival: 0.5 x 0.5 x 100 + 0.25 x 2 x 200 = 125 device seconds, for 10 devices.
  EXPECT_NEAR(s.arrivals_per_s_at_load_1, 10.0 / 125, 1e-12);
  EXPECT_NEAR(s.tightness.gpus, 1, 1e-12);
  EXPECT_NEAR(s.tightness.cpus, 0.08 * (0.5 * 100 + 0.25 * 2 * 200 + 0.25 * 4 * 3600) / 30, 1e-12);
  EXPECT_EQ(s.arrivals, 0u);
}

TEST(Summary, ThePeakCountsWhatRunsAtOnceAndDeparturesFirst) {
  auto w = ParseWorkload(kText);
  ASSERT_TRUE(w.ok());
  w->arrivals = {{0, 0, 10}, {5, 1, 5}, {10, 2, kForever}, {11, 2, 1}, {12, 0, 1}};
  const WorkloadSummary s = Summarise(*w);
  EXPECT_EQ(s.arrivals, 5u);
  EXPECT_DOUBLE_EQ(s.span_s, 12e-6);
  EXPECT_EQ(s.peak_pods, 2);
  EXPECT_DOUBLE_EQ(s.peak.gpus, 2.5);
  EXPECT_DOUBLE_EQ(s.peak.cpus, 8);
  EXPECT_DOUBLE_EQ(s.peak.memory_gib, 3);
}

TEST(Summary, TheTracesHaveTheirCountedPeaks) {
  BERTH_REQUIRE_SHARED_DATA("openb");
  BERTH_REQUIRE_SHARED_DATA("azure-vm-2017");
  const std::string openb = *test::SharedData("openb") + "/", azure = *test::SharedData("azure-vm-2017") + "/";
  const auto gpus = OpenbWorkload(openb + "openb_node_list_gpu_node.csv", openb + "openb_pod_list_default.csv", 1e9, true);
  ASSERT_TRUE(gpus.ok()) << gpus.status();
  const WorkloadSummary g = Summarise(*gpus);
  EXPECT_EQ(g.shapes.size(), 15u);
  EXPECT_NEAR(g.capacity.cpus, 107'018, 0.5);
  EXPECT_NEAR(g.capacity.memory_gib, 492'020, 0.5);
  EXPECT_DOUBLE_EQ(g.capacity.gpus, 6212);
  EXPECT_NEAR(g.peak.gpus, 65.6, 0.05);
  EXPECT_NEAR(g.peak.cpus, 779, 0.5);
  EXPECT_NEAR(g.kinds[0].pods_percent, 13.3, 0.05);
  EXPECT_NEAR(g.kinds[1].gpu_demand_percent, 28.5, 0.05);
  // Counted with lifetimes in the middle of their bins; ours are spread over them, which moves a peak by up to 1.3 %.
  const auto vms = AzureWorkload({azure + "v1.test.txt", azure + "v1.test.c2591400.txt", azure + "flav_map.txt", azure + "v1.interval_map.txt"}, {});
  ASSERT_TRUE(vms.ok()) << vms.status();
  const WorkloadSummary v = Summarise(*vms);
  EXPECT_NEAR(static_cast<double>(v.peak_pods), 26'756, 0.02 * 26'756);
  EXPECT_NEAR(v.peak.cpus, 64'345, 0.02 * 64'345);
  EXPECT_NEAR(v.peak.memory_gib, 174'958, 0.02 * 174'958);
}

TEST(RecordArrivals, TakesWhatTheStreamGivesUpToTheEnd) {
  const Workload vm = *BuiltinWorkload("vm-like");
  const auto recorded = RecordArrivals(vm, 0.9, 3, 2);
  ASSERT_TRUE(recorded.ok()) << recorded.status();
  const auto stream = MakeArrivalStream(vm, 0.9, 3);
  Arrival a;
  for (const Arrival& r : recorded->arrivals) {
    ASSERT_TRUE(stream->Next(&a));
    EXPECT_EQ(r.time_us, a.time_us);
    EXPECT_EQ(r.pod_class, a.pod_class);
    EXPECT_EQ(r.life_us, a.life_us);
  }
  ASSERT_TRUE(stream->Next(&a));
  EXPECT_GT(a.time_us, int64_t{2} * 3'600'000'000);
  EXPECT_NEAR(static_cast<double>(recorded->arrivals.size()), 7200 * ArrivalRatePerS(vm, 0.9), 5 * 85.0);
  // What is written is what is read.
  const auto again = ParseWorkload(WorkloadToYaml(*recorded));
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(WorkloadToYaml(*again), WorkloadToYaml(*recorded));
}

TEST(RecordArrivals, RefusesWhatItCannotRecord) {
  const Workload vm = *BuiltinWorkload("vm-like");
  const auto message = [&](double load, double hours) { return std::string(RecordArrivals(vm, load, 1, hours).status().message()); };
  EXPECT_THAT(message(0, 1), HasSubstr("load"));
  EXPECT_THAT(message(std::nan(""), 1), HasSubstr("load"));
  EXPECT_THAT(message(10.5, 1), HasSubstr("up to 10"));
  EXPECT_THAT(message(1, 0), HasSubstr("hours"));
  EXPECT_THAT(message(1, HUGE_VAL), HasSubstr("hours"));
  EXPECT_THAT(message(1e-9, 1e-9), HasSubstr("enough for an arrival"));
  Workload recorded = *RecordArrivals(vm, 0.9, 1, 1);
  EXPECT_THAT(std::string(RecordArrivals(recorded, 1, 1, 1).status().message()), HasSubstr("without recorded arrivals"));
}

}  // namespace
}  // namespace berth

// The tables of workloads/ against the traces that they were counted in.
#include <gtest/gtest.h>

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <tuple>
#include <vector>

#include "support/shared_data.h"
#include "workload/azure.h"
#include "workload/openb.h"
#include "workload/workload.h"

namespace berth {
namespace {

using Shape = std::tuple<int64_t, int64_t, int32_t, std::string>;
Shape ShapeOf(const Node& n) { return {n.cpu_milli, n.mem_bytes, n.gpu_count, n.gpu_model}; }

using Request = std::tuple<int64_t, int64_t, int32_t, int32_t>;
Request RequestOf(const PodRequest& r) { return {r.cpu_milli, r.mem_bytes, r.gpu_count, r.gpu_milli}; }

TEST(OpenbLike, HasTheShapesOfTheTraceMostCommonFirst) {
  BERTH_REQUIRE_SHARED_DATA("openb");
  const auto nodes = ReadOpenbNodes(*test::SharedData("openb/openb_node_list_gpu_node.csv"));
  ASSERT_TRUE(nodes.ok()) << nodes.status();
  std::map<Shape, int> counted;
  for (const Node& n : *nodes) ++counted[ShapeOf(n)];
  const Workload openb = *BuiltinWorkload("openb-like");
  int last = 1'000'000;
  for (const NodeGroup& g : openb.node_groups) {
    EXPECT_EQ(counted[ShapeOf(g.node)], g.count) << g.node.name;
    EXPECT_LE(g.count, last) << g.node.name;
    last = g.count;
    counted.erase(ShapeOf(g.node));
  }
  EXPECT_TRUE(counted.empty()) << counted.size() << " shapes are missing";
}

TEST(OpenbLike, HasTheCommonClassesOfTheTraceAndAllOfSeveralGpusWithTheirCounts) {
  BERTH_REQUIRE_SHARED_DATA("openb");
  const auto pods = ReadOpenbPods(*test::SharedData("openb/openb_pod_list_default.csv"));
  ASSERT_TRUE(pods.ok()) << pods.status();
  std::map<Request, int> counted;
  for (const OpenbPod& p : *pods) ++counted[RequestOf(p.request)];
  int kept = 0, eight_gpu = 0;
  for (const auto& [request, count] : counted) {
    if (count >= 5 || std::get<2>(request) >= 2) kept += count;
  }
  const Workload openb = *BuiltinWorkload("openb-like");
  for (const PodClass& c : openb.pod_classes) {
    const int count = counted[RequestOf(c.request)];
    EXPECT_TRUE(count >= 5 || c.request.gpu_count >= 2) << c.name;
    EXPECT_DOUBLE_EQ(c.share, static_cast<double>(count) / kept) << c.name;
    EXPECT_EQ(c.lifetime.kind, Lifetime::Kind::kExponential);
    EXPECT_EQ(c.lifetime.mean_s, 3600);
    if (c.request.gpu_count == 8) eight_gpu += count;
    counted.erase(RequestOf(c.request));
  }
  EXPECT_EQ(eight_gpu, 44);
  for (const auto& [request, count] : counted) {
    EXPECT_LT(count, 5) << "a common class is missing: " << std::get<0>(request) << " milli cores";
    EXPECT_LT(std::get<2>(request), 2) << "a class of several GPUs is missing";
  }
}

// Facts of the test split: counts are exact; a mean life depends on where in its bin a lifetime lies, by some 2 %.
TEST(VmLike, HasTheFlavoursOfTheTraceThatUseMostCores) {
  BERTH_REQUIRE_SHARED_DATA("azure-vm-2017");
  const std::string dir = *test::SharedData("azure-vm-2017") + "/";
  constexpr double kStartS = 2'100'000, kEndS = 2'591'400;
  const auto trace = AzureWorkload({dir + "v1.test.txt", dir + "v1.test.c2591400.txt", dir + "flav_map.txt", dir + "v1.interval_map.txt"}, {});
  ASSERT_TRUE(trace.ok()) << trace.status();
  struct Seen {
    int count = 0, ended = 0;
    double seconds = 0;
  };
  std::map<Request, Seen> seen;
  double core_seconds = 0, gib_seconds = 0;
  for (const Arrival& a : trace->arrivals) {
    const PodRequest& r = trace->pod_classes[a.pod_class].request;
    Seen& s = seen[RequestOf(r)];
    const bool ended = a.life_us != kForever;
    const double life_s = ended ? static_cast<double>(a.life_us) / 1e6 : kEndS - kStartS - static_cast<double>(a.time_us) / 1e6;
    ++s.count;
    s.ended += ended;
    s.seconds += life_s;
    core_seconds += life_s * static_cast<double>(r.cpu_milli) / 1000;
    gib_seconds += life_s * static_cast<double>(r.mem_bytes) / static_cast<double>(1 << 30);
  }
  const Workload vm = *BuiltinWorkload("vm-like");
  double kept = 0;
  for (const PodClass& c : vm.pod_classes) kept += seen[RequestOf(c.request)].count;
  double table_cores = 0, table_gib = 0;
  for (const PodClass& c : vm.pod_classes) {
    const Seen& s = seen[RequestOf(c.request)];
    ASSERT_GT(s.ended, 0) << c.name;
    EXPECT_DOUBLE_EQ(c.share, s.count / kept) << c.name;
    EXPECT_NEAR(c.lifetime.mean_s, s.seconds / s.ended, 0.03 * c.lifetime.mean_s) << c.name;
    table_cores += c.share * c.lifetime.mean_s * static_cast<double>(c.request.cpu_milli) / 1000;
    table_gib += c.share * c.lifetime.mean_s * static_cast<double>(c.request.mem_bytes) / static_cast<double>(1 << 30);
    seen.erase(RequestOf(c.request));
  }
  for (const auto& [request, s] : seen) {
    EXPECT_LT(s.seconds * static_cast<double>(std::get<0>(request)) / 1000, 0.005 * core_seconds) << "a common flavour is missing";
  }
  // Cpu and memory both bind on hosts of 3 GiB a core.
  EXPECT_NEAR(gib_seconds / core_seconds, 2.93, 0.02);
  EXPECT_NEAR(table_gib / table_cores, 2.93, 0.02);
}

}  // namespace
}  // namespace berth

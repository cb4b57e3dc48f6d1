#include "workload/openb_churn.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "support/shared_data.h"
#include "support/temp_file.h"
#include "workload/openb.h"

namespace berth {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using test::SharedData;
using test::TempFile;

constexpr char kNodes[] = "sn,cpu_milli,memory_mib,gpu,model\nn1,8000,16384,2,T4\nn2,8000,16384,2,T4\nn3,4000,16384,1,P100\nn4,8000,16384,2,T4\n";
constexpr char kPods[] =
    "name,cpu_milli,memory_mib,num_gpu,gpu_milli,gpu_spec,creation_time,deletion_time\n"
    "p1,4000,1024,1,500,T4,10,70\np2,4000,2048,1,500,T4,0,100000\np3,4000,1024,1,500,,5,5\np4,4000,1024,1,500,T4,0,30\n";

std::vector<double> Sorted(std::vector<double> v) {
  std::sort(v.begin(), v.end());
  return v;
}

TEST(OpenbChurn, EqualRequestsAreOneClassAndEqualShapesOneGroup) {
  const TempFile nodes(kNodes), pods(kPods);
  const auto w = OpenbChurnWorkload(nodes.path(), pods.path(), {});
  ASSERT_TRUE(w.ok()) << w.status();
  ASSERT_EQ(w->node_groups.size(), 2u);
  EXPECT_EQ(w->node_groups[0].count, 3);
  EXPECT_EQ(w->node_groups[1].node.gpu_model, "P100");
  ASSERT_EQ(w->pod_classes.size(), 3u);
  EXPECT_DOUBLE_EQ(w->pod_classes[0].share, 0.5);   // p1 and p4
  for (const PodClass& c : w->pod_classes) {
    EXPECT_EQ(c.lifetime.kind, Lifetime::Kind::kExponential);
    EXPECT_DOUBLE_EQ(c.lifetime.mean_s, 3600);
  }
  EXPECT_TRUE(w->arrivals.empty());
}

TEST(OpenbChurn, TraceLivesAreThoseOfPodsThatDifferInMemoryAtMost) {
  const TempFile nodes(kNodes), pods(kPods);
  const auto w = OpenbChurnWorkload(nodes.path(), pods.path(), {.sample_nodes = 0, .lives = ChurnLives::kTrace});
  ASSERT_TRUE(w.ok()) << w.status();
  // 60 s, 2 h (cut) and 30 s are shared by the two classes that differ in memory; the untyped pod lives its least second.
  EXPECT_THAT(Sorted(w->pod_classes[0].lifetime.samples_s), ElementsAre(30, 60, 7200));
  EXPECT_THAT(Sorted(w->pod_classes[1].lifetime.samples_s), ElementsAre(30, 60, 7200));
  EXPECT_THAT(w->pod_classes[2].lifetime.samples_s, ElementsAre(1));
}

TEST(OpenbChurn, BadInputIsNamed) {
  const TempFile nodes(kNodes), pods(kPods), timeless("name,cpu_milli,memory_mib,num_gpu,gpu_milli\np1,4000,1024,1,500\n");
  const auto message = [](const absl::Status& status) { return std::string(status.message()); };
  const OpenbChurnOptions trace{.sample_nodes = 0, .lives = ChurnLives::kTrace};
  EXPECT_THAT(message(OpenbChurnWorkload(nodes.path(), timeless.path(), trace).status()), HasSubstr("creation_time"));
  EXPECT_TRUE(OpenbChurnWorkload(nodes.path(), timeless.path(), {}).ok());
  EXPECT_THAT(message(OpenbChurnWorkload(nodes.path(), pods.path(), {.sample_nodes = 1, .lives = ChurnLives::kExponential}).status()), HasSubstr("GPU model"));
  EXPECT_EQ(OpenbChurnWorkload("/nonexistent", pods.path(), {}).status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(message(ParseChurnLives("short").status()), HasSubstr("exponential, trace"));
}

// The published sample: 151 of 1213 nodes, 768 of 6212 GPUs, one of the two A10 nodes among them.
TEST(OpenbChurn, TheSampleOf151NodesHas768GpusInTheseShapes) {
  BERTH_REQUIRE_SHARED_DATA("openb");
  const auto w = OpenbChurnWorkload(*SharedData("openb/openb_node_list_gpu_node.csv"), *SharedData("openb/openb_pod_list_default.csv"), {.sample_nodes = 151, .lives = ChurnLives::kExponential});
  ASSERT_TRUE(w.ok()) << w.status();
  EXPECT_EQ(w->name, "openb-default-151");
  EXPECT_EQ(w->node_count(), 151u);
  std::map<std::string, int> counts;
  int gpus = 0;
  for (const NodeGroup& g : w->node_groups) {
    counts[g.node.gpu_model + "/" + std::to_string(g.node.gpu_count) + "/" + std::to_string(g.node.cpu_milli / 1000)] += g.count;
    gpus += g.count * g.node.gpu_count;
  }
  EXPECT_EQ(gpus, 768);
  const std::map<std::string, int> want = {{"P100/2/64", 3}, {"G3/8/128", 5}, {"V100M32/8/96", 3}, {"V100M16/4/32", 4}, {"G2/8/96", 67}, {"T4/4/96", 2}, {"T4/2/104", 48},
                                           {"P100/2/16", 13}, {"V100M16/1/8", 2}, {"V100M16/8/64", 1}, {"V100M32/4/48", 1}, {"P100/1/8", 1}, {"A10/1/128", 1}};
  EXPECT_EQ(counts, want);
}

TEST(OpenbChurn, AllNodesAreTheWholeListAndTraceLivesHaveTheKnownMeanAndMedian) {
  BERTH_REQUIRE_SHARED_DATA("openb");
  const auto w = OpenbChurnWorkload(*SharedData("openb/openb_node_list_gpu_node.csv"), *SharedData("openb/openb_pod_list_default.csv"), {.sample_nodes = 0, .lives = ChurnLives::kTrace});
  ASSERT_TRUE(w.ok()) << w.status();
  EXPECT_EQ(w->node_count(), 1213u);
  double mean = 0;
  for (const PodClass& c : w->pod_classes) mean += c.share * c.lifetime.mean_s;
  EXPECT_NEAR(mean / 60, 27, 1);   // minutes
  // 40,000 drawn arrivals: the median is 9 minutes, and lives stay in their limits.
  const auto stream = MakeArrivalStream(*w, 1, 5);
  std::vector<double> lives;
  Arrival a;
  for (int i = 0; i < 40'000 && stream->Next(&a); ++i) lives.push_back(static_cast<double>(a.life_us) / 1e6);
  std::sort(lives.begin(), lives.end());
  EXPECT_NEAR(lives[lives.size() / 2] / 60, 9, 0.5);
  EXPECT_GE(lives.front(), 1);
  EXPECT_LE(lives.back(), 7200);
}

// Poisson arrivals at rho x capacity / E[GPU x life], classes by their share of the list.
TEST(OpenbChurn, ArrivalsComeAtTheOfferedLoadInTheSharesOfTheList) {
  BERTH_REQUIRE_SHARED_DATA("openb");
  const auto w = OpenbChurnWorkload(*SharedData("openb/openb_node_list_gpu_node.csv"), *SharedData("openb/openb_pod_list_cpu250.csv"), {.sample_nodes = 151, .lives = ChurnLives::kExponential});
  ASSERT_TRUE(w.ok()) << w.status();
  const auto stream = MakeArrivalStream(*w, 0.9, 7);
  constexpr int kArrivals = 200'000;
  double gpu_hours = 0, cpu_only = 0;
  Arrival a;
  for (int i = 0; i < kArrivals && stream->Next(&a); ++i) {
    const PodRequest& r = w->pod_classes[a.pod_class].request;
    gpu_hours += static_cast<double>(r.total_gpu_milli()) / 1000 * static_cast<double>(a.life_us) / 3.6e9;
    cpu_only += r.gpu_count == 0;
  }
  const double hours = static_cast<double>(a.time_us) / 3.6e9;
  EXPECT_NEAR(gpu_hours / hours / 768, 0.9, 0.02);
  EXPECT_NEAR(cpu_only / kArrivals, 0.25, 0.005);   // what the list's name says
}

}  // namespace
}  // namespace berth

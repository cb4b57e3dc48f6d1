// ScaleNodes and streams on random workloads.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>
#include <string>

#include "base/rng.h"
#include "fmt/format.h"
#include "workload/workload.h"

namespace berth {
namespace {

Workload RandomWorkload(Rng& rng) {
  Workload w;
  const auto groups = static_cast<int>(1 + rng.Below(12));
  const auto models = 1 + rng.Below(6);
  for (int i = 0; i < groups; ++i) {
    Node node;
    node.name = fmt::format("g{}", i);
    node.cpu_milli = 1000 * static_cast<int64_t>(1 + rng.Below(64));
    node.mem_bytes = int64_t{1} << 33;
    node.gpu_count = static_cast<int32_t>(rng.Below(3));
    if (node.gpu_count > 0) node.gpu_model = fmt::format("m{}", rng.Below(models));
    w.node_groups.push_back({node, static_cast<int32_t>(rng.Below(3) == 0 ? 1 + rng.Below(500) : 1 + rng.Below(3))});
  }
  PodClass c;
  c.name = "c";
  c.request.cpu_milli = 1000;
  c.share = 1;
  w.pod_classes.push_back(c);
  return w;
}

std::map<std::string, int> NodesOfModels(const Workload& w) {
  std::map<std::string, int> models;
  for (const NodeGroup& g : w.node_groups) {
    if (g.node.gpu_count > 0) models[g.node.gpu_model] += g.count;
  }
  return models;
}

TEST(ScaleNodes, GivesTheCountEveryModelAndWhatItWasGiven) {
  Rng rng(7);
  for (int trial = 0; trial < 300; ++trial) {
    Workload w = RandomWorkload(rng);
    ASSERT_TRUE(FinishWorkload(w).ok());
    const std::map<std::string, int> models = NodesOfModels(w);
    const auto least = std::max<int64_t>(1, static_cast<int64_t>(models.size()));
    const auto own = static_cast<int64_t>(w.node_count());
    for (int64_t nodes : {least, least + 1, least + 2, own, 2 * own, int64_t{10'000}}) {
      if (nodes < least) continue;
      const auto scaled = ScaleNodes(w, nodes);
      ASSERT_TRUE(scaled.ok()) << scaled.status();
      EXPECT_EQ(static_cast<int64_t>(scaled->node_count()), nodes);
      EXPECT_EQ(NodesOfModels(*scaled).size(), models.size()) << "trial " << trial << ", " << nodes << " nodes";
      for (const NodeGroup& g : scaled->node_groups) EXPECT_GT(g.count, 0);
    }
    EXPECT_EQ(WorkloadToYaml(*ScaleNodes(w, own)), WorkloadToYaml(w));
    EXPECT_FALSE(ScaleNodes(w, least - 1).ok());
  }
}

// A group is within one node of its exact share, but for what models without a node were given.
TEST(ScaleNodes, KeepsEveryGroupWithinOneNodeOfItsShare) {
  Rng rng(8);
  for (int trial = 0; trial < 300; ++trial) {
    Workload w = RandomWorkload(rng);
    ASSERT_TRUE(FinishWorkload(w).ok());
    const double own = static_cast<double>(w.node_count());
    const auto models = static_cast<double>(NodesOfModels(w).size());
    const int64_t nodes = 50 + static_cast<int64_t>(rng.Below(2000));
    const auto scaled = ScaleNodes(w, nodes);
    ASSERT_TRUE(scaled.ok());
    for (const NodeGroup& g : w.node_groups) {
      const auto it = std::find_if(scaled->node_groups.begin(), scaled->node_groups.end(),
                                   [&](const NodeGroup& s) { return s.node.name == g.node.name; });
      const double count = it == scaled->node_groups.end() ? 0 : it->count;
      EXPECT_NEAR(count, g.count * static_cast<double>(nodes) / own, 1 + models) << g.node.name;
    }
  }
}

TEST(ScaleNodes, RefusesNamesThatWouldBeThereTwice) {
  Rng rng(9);
  Workload w = RandomWorkload(rng);
  Node node;
  node.name = "a";
  w.node_groups = {{node, 3}};
  node.name = "a-0004";
  w.node_groups.push_back({node, 1});
  ASSERT_TRUE(FinishWorkload(w).ok());
  EXPECT_TRUE(ScaleNodes(w, 4).ok());
  EXPECT_FALSE(ScaleNodes(w, 6).ok());   // a-0000 to a-0004, and a-0004
  w.node_groups[0].count = 5;
  EXPECT_FALSE(FinishWorkload(w).ok());
}

// Other lifetimes, same seed and rate: the same classes at the same times.
TEST(ArrivalStream, LivesDoNotShiftArrivals) {
  Workload w = *BuiltinWorkload("vm-like");
  Workload other = w;
  for (PodClass& c : other.pod_classes) c.lifetime = {Lifetime::Kind::kEmpirical, 0, {1, 2, c.lifetime.mean_s}};
  ASSERT_TRUE(FinishWorkload(other).ok());
  const auto a = MakeArrivalStream(w, 0.5, 11);
  const auto b = MakeArrivalStream(other, 0.5 * ArrivalRatePerS(w, 1) / ArrivalRatePerS(other, 1), 11);
  Arrival x, y;
  for (int i = 0; i < 1000; ++i) {
    a->Next(&x), b->Next(&y);
    ASSERT_EQ(x.pod_class, y.pod_class);
    ASSERT_NEAR(static_cast<double>(x.time_us), static_cast<double>(y.time_us), 1 + 1e-9 * static_cast<double>(x.time_us));
  }
}

TEST(ArrivalStream, ARecordedOneIsReplayedAndLoadScalesItsTimesOnly) {
  Workload w = *BuiltinWorkload("vm-like");
  w.arrivals = {{1000, 2, 50}, {3000, 0, kForever}, {kMaxTimeUs, 1, 7}};
  ASSERT_TRUE(FinishWorkload(w).ok());
  const auto as_is = MakeArrivalStream(w, 1, 1), dense = MakeArrivalStream(w, 2, 1), thin = MakeArrivalStream(w, 1e-6, 1);
  for (const Arrival& want : w.arrivals) {
    Arrival a;
    ASSERT_TRUE(as_is->Next(&a));
    EXPECT_EQ(a.time_us, want.time_us);
    EXPECT_EQ(a.life_us, want.life_us);
    EXPECT_EQ(a.pod_class, want.pod_class);
    ASSERT_TRUE(dense->Next(&a));
    EXPECT_EQ(a.time_us, want.time_us / 2);
    EXPECT_EQ(a.life_us, want.life_us);
    ASSERT_TRUE(thin->Next(&a));
    EXPECT_LE(a.time_us, kMaxTimeUs);
  }
  Arrival a;
  const auto clone = as_is->Clone();
  EXPECT_FALSE(as_is->Next(&a));
  EXPECT_FALSE(clone->Next(&a));
}

// Rates so small that times would leave int64, and classes that ask for nothing.
TEST(ArrivalStream, TimesStayInRangeAtAnyRate) {
  Workload w = *BuiltinWorkload("vm-like");
  for (PodClass& c : w.pod_classes) c.lifetime = {Lifetime::Kind::kExponential, 1e9, {}};
  const auto slow = MakeArrivalStream(w, 1e-300, 1);
  Arrival a;
  int64_t last = 0;
  for (int i = 0; i < 100; ++i) {
    ASSERT_TRUE(slow->Next(&a));
    EXPECT_GE(a.time_us, last);
    EXPECT_LE(a.time_us, kMaxTimeUs);
    last = a.time_us;
  }
  for (PodClass& c : w.pod_classes) c.request = PodRequest();
  ASSERT_TRUE(FinishWorkload(w).ok());
  EXPECT_EQ(ArrivalRatePerS(w, 1), 0);
  EXPECT_TRUE(MakeArrivalStream(w, 1, 1)->Next(&a));
}

TEST(LoadResource, IsNotAGpuThatNobodyAsksFor) {
  Workload w = *BuiltinWorkload("openb-like");
  EXPECT_EQ(LoadResourceOf(w), LoadResource::kGpu);
  std::erase_if(w.pod_classes, [](const PodClass& c) { return c.request.gpu_count > 0; });
  ASSERT_TRUE(FinishWorkload(w).ok());
  EXPECT_EQ(LoadResourceOf(w), LoadResource::kCpu);
  EXPECT_GT(ArrivalRatePerS(w, 1), 0);
}

}  // namespace
}  // namespace berth

// Bounds on the published workloads: one suite, of which the fast tests run a part and the full ones the rest.
#ifndef BERTH_TESTS_EVALUATE_OPENB_BOUNDS_H_
#define BERTH_TESTS_EVALUATE_OPENB_BOUNDS_H_

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include "evaluate/bound.h"
#include "openb_runs.h"

namespace berth {

class PublishedBounds : public ::testing::TestWithParam<std::string> {};
class PublishedChurnBounds : public ::testing::TestWithParam<std::string> {};

// Unallocated GPU, %, at 100 and 130 % arrived: computed before by another program, from the mix of each list.
struct KnownBound {
  double no_refusal[2], may_refuse[2];
};
inline const std::map<std::string, KnownBound>& KnownBounds() {
  static const auto* const known = new std::map<std::string, KnownBound>{
      {"default", {{3.67, 3.55}, {3.10, 0.11}}},      {"gpuspec33", {{4.07, 3.15}, {3.60, 0.22}}},  {"cpu250", {{3.67, 3.55}, {3.10, 0.11}}},
      {"gpushare100", {{10.84, 8.39}, {10.84, 8.39}}}, {"multigpu50", {{2.00, 1.94}, {1.66, 0.00}}}, {"gpushare40", {{5.06, 4.88}, {4.35, 0.77}}},
      {"gpuspec10", {{3.57, 3.46}, {3.15, 0.12}}},    {"multigpu20", {{3.17, 3.07}, {2.66, 0.00}}}};
  return *known;
}

inline Workload MixOfList(const OpenbRuns& r) {
  Workload mix;
  for (const Node& node : r.nodes) mix.node_groups.push_back({node, 1});
  for (const PodRequest& request : r.requests) {
    PodClass c;
    c.request = request;
    c.share = 1;
    mix.pod_classes.push_back(std::move(c));
  }
  return mix;
}

TEST_P(PublishedBounds, TheBoundsOfTheMixAreTheKnownOnes) {
  BERTH_REQUIRE_SHARED_DATA("openb");
  const auto bounds = BoundFgdMix(MixOfList(ReadRuns(*test::SharedData("openb"), GetParam())), {100, 130});
  ASSERT_TRUE(bounds.ok()) << bounds.status();
  const KnownBound& known = KnownBounds().at(GetParam());
  for (size_t i = 0; i < 2; ++i) {
    EXPECT_NEAR((*bounds)[i].unallocated_percent.no_refusal, known.no_refusal[i], 0.01) << GetParam() << " " << (*bounds)[i].arrived_percent;
    EXPECT_NEAR((*bounds)[i].unallocated_percent.may_refuse, known.may_refuse[i], 0.01) << GetParam() << " " << (*bounds)[i].arrived_percent;
  }
}

// The bounds of the ten published sequences differ from those of the mix by what chance put into them, and no published run
// loses less.
TEST_P(PublishedBounds, NoPublishedRunLosesLess) {
  BERTH_REQUIRE_SHARED_DATA("openb");
  const std::string dir = *test::SharedData("openb");
  const OpenbRuns r = ReadRuns(dir, GetParam());
  const Published published = ReadPublished(dir + "/expected/published_alloc.csv", GetParam());
  const auto bounds = BoundFgdProtocol(r.nodes, r.requests, r.sequences, {100, 130}, {0, true});
  ASSERT_TRUE(bounds.ok()) << bounds.status();
  const KnownBound& known = KnownBounds().at(GetParam());
  for (const size_t i : {0u, 1u}) {
    double no_refusal = 0, may_refuse = 0, best = 0;
    for (size_t s = 0; s < r.sequences.size(); ++s) {
      const FgdBound& bound = (*bounds)[2 * s + i];
      double least = 100;
      for (const char* policy : {"dotprod", "gpu-clustering", "gpu-packing", "best-fit", "fgd"}) {
        least = std::min(least, 100 - published.curves.at({policy, bound.seed})[static_cast<size_t>(bound.arrived_percent)]);
      }
      EXPECT_GT(least, bound.unallocated_percent.may_refuse) << GetParam() << " seed " << bound.seed;
      const auto n = static_cast<double>(r.sequences.size());
      no_refusal += bound.unallocated_percent.no_refusal / n;
      may_refuse += bound.unallocated_percent.may_refuse / n;
      best += least / n;
    }
    EXPECT_GT(best, no_refusal) << GetParam();
    EXPECT_NEAR(no_refusal, known.no_refusal[i], 0.05) << GetParam();
    EXPECT_NEAR(may_refuse, known.may_refuse[i], 0.05) << GetParam();
  }
}

// 151 nodes, a sample over the node shapes; lives of an hour for all, or the trace's own up to two hours.
inline Workload SampledList(const std::string& name, bool has_own_lives) {
  const std::string dir = *test::SharedData("openb");
  Workload all = *OpenbWorkload(dir + "/openb_node_list_gpu_node.csv", dir + "/openb_pod_list_" + name + ".csv", 7200, false);
  std::vector<NodeGroup> shapes;
  for (const NodeGroup& group : all.node_groups) {
    const auto same = std::find_if(shapes.begin(), shapes.end(), [&](const NodeGroup& g) {
      return g.node.cpu_milli == group.node.cpu_milli && g.node.mem_bytes == group.node.mem_bytes && g.node.gpu_count == group.node.gpu_count &&
             g.node.gpu_model == group.node.gpu_model;
    });
    if (same == shapes.end()) shapes.push_back(group);
    else same->count += group.count;
  }
  all.node_groups = shapes;
  if (!has_own_lives) {
    for (PodClass& c : all.pod_classes) c.lifetime = Lifetime{};
  }
  return *ScaleNodes(all, 151);
}

// Rejected GPU hours, %, at loads 0.9, 1 and 1.1: computed before by another program.
TEST_P(PublishedChurnBounds, AreTheKnownOnes) {
  BERTH_REQUIRE_SHARED_DATA("openb");
  struct Known {
    bool has_own_lives;
    double no_refusal[3];
  };
  const std::map<std::string, std::vector<Known>> known = {{"default", {{false, {0.00, 3.67, 12.39}}, {true, {0.00, 2.15, 10.98}}}},
                                                           {"gpuspec33", {{false, {2.58, 4.01, 12.09}}}},
                                                           {"cpu250", {{false, {0.00, 3.67, 12.39}}}}};
  for (const Known& k : known.at(GetParam())) {
    const auto bounds = BoundChurn(SampledList(GetParam(), k.has_own_lives), std::vector<double>{0.9, 1.0, 1.1});
    ASSERT_TRUE(bounds.ok()) << bounds.status();
    for (size_t i = 0; i < 3; ++i) EXPECT_NEAR((*bounds)[i].rejected_percent.no_refusal, k.no_refusal[i], 0.01) << GetParam() << " " << (*bounds)[i].load;
    if (GetParam() != "default" || k.has_own_lives) continue;
    const double may_refuse[] = {0.00, 3.10, 10.46};
    for (size_t i = 0; i < 3; ++i) EXPECT_NEAR((*bounds)[i].rejected_percent.may_refuse, may_refuse[i], 0.01) << (*bounds)[i].load;
  }
}

}  // namespace berth

#endif  // BERTH_TESTS_EVALUATE_OPENB_BOUNDS_H_

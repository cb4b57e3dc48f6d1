#include "policy/potential/class_terms.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <filesystem>
#include <fstream>

#include "base/rng.h"
#include "conformance/policy_kit.h"
#include "policy/potential/features.h"
#include "policy/potential/model_dir.h"
#include "policy/potential/network.h"
#include "policy/potential/potential.h"

namespace berth {
namespace {

using ::testing::HasSubstr;
namespace fs = std::filesystem;

PodRequest Request(int64_t cpu, int64_t gib, int32_t gpus, int32_t milli, std::vector<std::string> models = {}) {
  PodRequest r;
  r.cpu_milli = cpu;
  r.mem_bytes = gib << 30;
  r.gpu_count = gpus;
  r.gpu_milli = milli;
  r.gpu_models = std::move(models);
  return r;
}

PodMix Mix() {
  return {{Request(4000, 8, 0, 0), 0.3},          {Request(3000, 6, 1, 810), 0.2},        {Request(1000, 4, 1, 230), 0.15}, {Request(11000, 48, 1, 1000, {"P"}), 0.15},
          {Request(30000, 90, 4, 1000), 0.1}, {Request(0, 0, 1, 120, {"T", "P"}), 0.05}, {Request(2000, 2, 2, 1000, {"Z"}), 0.05}};
}

std::vector<Node> Nodes() {
  std::vector<Node> nodes;
  for (int i = 0; i < 8; ++i) {
    Node n;
    n.name = "n" + std::to_string(i);
    n.cpu_milli = i % 2 == 0 ? 96000 : 32000;
    n.mem_bytes = int64_t{192} << 30;
    n.gpu_count = i % 4 == 3 ? 0 : 2 + 3 * (i % 3);
    n.gpu_model = n.gpu_count == 0 ? "" : i % 2 == 0 ? "P" : "T";
    n.max_pods = 1000;
    nodes.push_back(n);
  }
  return nodes;
}

// Copies of a request that can be placed one after the other, by doing it on a cluster of that node alone.
int CopiesByPlacing(const NodeState& start, const Shape& shape, const ResolvedRequest& r) {
  NodeState s = start;
  int copies = 0;
  while (copies < MixScan::kMostCopies && CanHost(shape, s, r, true)) {
    s = StateAfter(s, r, TightestDevices(s, r), 1 << 20, {});
    ++copies;
  }
  return copies;
}

template <class Check>
void OnRandomStates(uint64_t seed, Check&& check) {
  ClusterState state;
  for (const Node& n : Nodes()) ASSERT_TRUE(state.AddNode(n).ok());
  Rng rng(seed);
  const PodMix mix = Mix();
  for (int i = 0; i < 600; ++i) {
    if (i % 100 == 0) {   // begin anew: full nodes are soon all alike
      state = ClusterState();
      for (const Node& n : Nodes()) ASSERT_TRUE(state.AddNode(n).ok());
    }
    const ResolvedRequest r = state.Resolve(mix[rng.Below(mix.size())].request);
    const NodeId node(static_cast<uint32_t>(rng.Below(state.nodes().size())));
    const NodeState& before = state.state_class(state.view(node).class_id).state;
    if (state.FitsExactly(node, r)) {
      ASSERT_TRUE(state.Place(r, node, state.DevicesAt(node, TightestDevices(before, r))).ok());
    }
    const NodeState& s = state.state_class(state.view(node).class_id).state;
    check(state, state.shape_of(s), s);
  }
}

TEST(MixScan, GivesWhatTheClassesGiveOneByOne) {
  int fitting = 0, refused = 0;
  OnRandomStates(1, [&](const ClusterState& view, const Shape& shape, const NodeState& s) {
    MixScan scan;
    scan.Reset(view, Mix());
    scan.Scan(shape, s);
    scan.Count(s);
    const auto classes = ResolveMix(view, Mix());
    ASSERT_EQ(scan.size(), classes.size());
    EXPECT_EQ(scan.idle_milli(), static_cast<double>(IdleGpuMilli(s)));
    for (size_t i = 0; i < classes.size(); ++i) {
      const ResolvedRequest& r = classes[i].request;
      EXPECT_EQ(scan.fits(i), CanHost(shape, s, r, true)) << i;
      EXPECT_EQ(scan.fragment_milli(i), static_cast<double>(ClassFragment(shape, s, r, true))) << i;
      EXPECT_EQ(scan.copies(i), CopiesByPlacing(s, shape, r)) << i;
      (scan.fits(i) ? fitting : refused) += 1;
    }
    double expected = 0;   // to the last digit: runs that were published rest on it
    for (const ResolvedMixClass& c : classes) expected += c.weight * (static_cast<double>(ClassFragment(shape, s, c.request, true)) / 1000);
    const std::array<uint32_t, 2> common = {1, 3};
    const MixScan::Fragment fragment = scan.ExpectedFragment(shape, s, common);
    EXPECT_EQ(fragment.expected, expected);
    EXPECT_EQ(fragment.least, std::min(scan.fragment_milli(1), scan.fragment_milli(3)) / 1000);
    EXPECT_EQ(scan.ExpectedFragment(shape, s, {}).least, static_cast<double>(IdleGpuMilli(s)) / 1000);
  });
  EXPECT_GT(fitting, 500);   // both answers were met often
  EXPECT_GT(refused, 500);
}

TEST(ClassTerms, AreWhatTheHeaderSays) {
  OnRandomStates(2, [&](const ClusterState& view, const Shape& shape, const NodeState& s) {
    FeatureExtractor extractor(Mix());
    ClassTerms terms(Mix(), {"P", "T", "unknown"});
    extractor.Reset(view);
    terms.Reset(view);
    Features x;
    extractor.Compute(shape, s, &x);
    std::vector<float> z(terms.count());
    terms.Compute(shape, s, extractor.scan(), z.data());
    const auto classes = ResolveMix(view, Mix());
    const size_t t = classes.size();
    ASSERT_EQ(z.size(), 2 * t + 9);
    double fragment = 0;
    for (size_t i = 0; i < t; ++i) {
      fragment += static_cast<double>(z[i]);
      EXPECT_NEAR(z[t + i], std::sqrt(classes[i].weight) * CopiesByPlacing(s, shape, classes[i].request) / 32, 1e-6);
    }
    EXPECT_NEAR(fragment, x[0], 1e-4);   // the shared feature is their sum
    for (size_t m = 0; m < 3; ++m) {
      const bool is_mine = m < 2 && shape.device_count > 0 && view.gpu_model_name(shape.gpu_model) == (m == 0 ? "P" : "T");
      EXPECT_NEAR(z[2 * t + 3 * m], is_mine ? static_cast<double>(IdleGpuMilli(s)) / 8000 : 0, 1e-6);
      EXPECT_NEAR(z[2 * t + 3 * m + 1], is_mine ? static_cast<double>(s.cpu_milli) / 1e5 : 0, 1e-6);
      EXPECT_EQ(z[2 * t + 3 * m + 2], is_mine && s.full_devices() == s.device_count ? 1.0f : 0.0f);
    }
  });
}

PodMix CpuMix() { return {{Request(1000, 2, 0, 0), 0.6}, {Request(8000, 14, 0, 0), 0.3}, {Request(8000, 56, 0, 0), 0.096}, {Request(2000, 30, 0, 0), 0.004}}; }

TEST(TypicalPods, WithoutGpusTheFewLargeOnesStayInSight) {
  // The second class asks for most vCPU; the third is one request in ten, the fourth one in 250.
  const PodMix typical = TypicalPods(CpuMix());
  ASSERT_EQ(typical.size(), 3u);
  EXPECT_EQ(typical[0].request.mem_bytes, int64_t{14} << 30);
  EXPECT_NEAR(typical[1].weight / typical[0].weight, 0.096 / 0.3, 1e-12);
  EXPECT_EQ(TypicalPodsOfFgd(CpuMix())[2].request.mem_bytes, int64_t{56} << 30);
  // With GPUs it is FGD's rule: 0.95 of the weight, and for FGD itself no memory.
  EXPECT_EQ(TypicalPods(Mix()).size(), TypicalPods(Mix(), 0.95, false).size());
  EXPECT_EQ(TypicalPodsOfFgd(Mix())[0].request.mem_bytes, 0);
}

TEST(ClassTerms, OfAMixWithoutGpusAreSharesOfTheNode) {
  Node host;
  host.name = "host";
  host.cpu_milli = 64000;
  host.mem_bytes = int64_t{192} << 30;
  ClusterState state;
  const NodeId node = *state.AddNode(host);
  FeatureExtractor extractor(CpuMix());
  ClassTerms terms(CpuMix(), {});
  ASSERT_EQ(terms.count(), 12u);
  ASSERT_EQ(ClassTerms::Count(CpuMix(), 0), 12u);
  const auto at = [&] {
    const NodeState& s = state.state_class(state.view(node).class_id).state;
    extractor.Reset(state);
    terms.Reset(state);
    Features x;
    extractor.Compute(state.shape_of(s), s, &x);
    std::vector<float> z(terms.count());
    terms.Compute(state.shape_of(s), s, extractor.scan(), z.data());
    return z;
  };
  EXPECT_EQ(at(), std::vector<float>({0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1}));
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(state.Place(state.Resolve(CpuMix()[2].request), node, 0).ok());
  // 40 vCPU and 24 GiB are left: 12 of 64 small ones fit, 1 of 8, no heavy one of 3, and none of 30 GiB of 6.
  const auto z = at();
  const std::vector<double> want = {0, 0, 0.625, 0.625, 12.0 / 64, 1.0 / 8, 0, 0, std::sqrt(12.0 / 64), std::sqrt(1.0 / 8), 0, 0};
  for (size_t i = 0; i < want.size(); ++i) EXPECT_NEAR(z[i], want[i], 1e-6) << i;
}

// The teacher of clusters without GPUs is `stranding` in shares of the node in place of vCPU.
TEST(CpuStranding, IsTheStrandingPotentialOverTheCapacity) {
  Node host;
  host.name = "host";
  host.cpu_milli = 64000;
  host.mem_bytes = int64_t{192} << 30;
  ClusterState state;
  const NodeId node = *state.AddNode(host);
  const auto weights = std::make_shared<const NetworkWeights>(CpuStrandingWeights());
  const auto network = MakeNetworkPotential(weights, TypicalPods(CpuMix()), CpuMix());
  const auto stranding = MakeStrandingPotential(TypicalPods(CpuMix()));
  network->Reset(state, {});
  stranding->Reset(state, {});
  Rng rng(4);
  int stranded = 0;
  while (true) {
    const NodeState& s = state.state_class(state.view(node).class_id).state;
    const double phi = stranding->Value(state.shape_of(s), s);
    EXPECT_NEAR(64 * network->Value(state.shape_of(s), s), phi, 1e-5);
    stranded += phi > 0;
    const ResolvedRequest r = state.Resolve(CpuMix()[rng.Below(3)].request);
    if (!state.FitsExactly(node, r)) break;
    ASSERT_TRUE(state.Place(r, node, 0).ok());
  }
  EXPECT_GT(stranded, 0);
}

class ClassModel : public ::testing::Test {
 protected:
  void SetUp() override {
    root_ = (fs::temp_directory_path() / ("berth-class-model-" + std::to_string(getpid()))).string();
    content_.name = "classes";
    content_.weights = KeepEmptyWeights();
    content_.weights.class_models = {"P", "T"};
    Rng rng(3);
    content_.weights.classes.resize(ClassTerms::Count(TypicalPods(Mix()), 2));
    for (float& w : content_.weights.classes) w = static_cast<float>(rng.Normal());
    content_.mix = Mix();
    content_.golden_nodes = Nodes();
  }
  void TearDown() override {
    std::error_code error;
    fs::remove_all(root_, error);
  }
  std::string root_;
  ModelContent content_;
};

TEST_F(ClassModel, ComesBackFromDiskAndDecidesByItsClasses) {
  const auto dir = WriteModelDir(root_, content_);
  ASSERT_TRUE(dir.ok()) << dir.status();
  const auto back = ReadModelDir(*dir);
  ASSERT_TRUE(back.ok()) << back.status();
  EXPECT_EQ(back->weights.classes, content_.weights.classes);
  EXPECT_EQ(back->weights.class_models, content_.weights.class_models);
  EXPECT_TRUE(LoadModelDir(*dir).ok());
  // Control: without the classes the golden answers are others, and the model is refused.
  std::ifstream in(*dir + "/golden.json");
  const std::string golden((std::istreambuf_iterator<char>(in)), {});
  ModelContent plain = content_;
  plain.version = 2;
  plain.weights.classes.clear();
  plain.weights.class_models.clear();
  const auto other = WriteModelDir(root_, plain);
  ASSERT_TRUE(other.ok()) << other.status();
  std::ofstream(*other + "/golden.json") << golden;
  EXPECT_EQ(LoadModelDir(*other).status().code(), absl::StatusCode::kFailedPrecondition);
}

TEST_F(ClassModel, AMissingOrWrongNumberOfClassWeightsIsNamed) {
  content_.weights.classes.pop_back();
  EXPECT_THAT(std::string(WriteModelDir(root_, content_).status().message()), HasSubstr("classes"));
  content_.weights.classes.clear();   // models without weights for them
  EXPECT_THAT(std::string(WriteModelDir(root_, content_).status().message()), HasSubstr("classes"));
}

}  // namespace
}  // namespace berth

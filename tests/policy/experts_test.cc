// Weights of several mixes in one model, and what serves a mix between them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <numeric>

#include "base/rng.h"
#include "nlohmann/json.hpp"
#include "policy/potential/mix_shape.h"
#include "policy/potential/model_dir.h"
#include "policy/potential/network.h"

namespace berth {
namespace {

using ::testing::DoubleNear;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
namespace fs = std::filesystem;

const std::vector<MixShape> kCorners = {{0.8f, 0.3f, 0.1f, 0}, {1.2f, 0.3f, 0.1f, 0}, {0.8f, 1, 0, 0}, {0.8f, 0.3f, 0.1f, 0.33f}};

double Distance2(const std::vector<double>& shares, const MixShape& q) {
  double sum = 0;
  for (size_t i = 0; i < q.size(); ++i) {
    double x = -static_cast<double>(q[i]);
    for (size_t k = 0; k < shares.size(); ++k) x += shares[k] * static_cast<double>(kCorners[k][i]);
    sum += x * x;
  }
  return sum;
}

TEST(HullShares, ACornerIsItselfAndAMixHalfWayIsHalfOfEach) {
  EXPECT_THAT(HullShares(kCorners, kCorners[2]), ElementsAre(DoubleNear(0, 1e-4), DoubleNear(0, 1e-4), DoubleNear(1, 1e-4), DoubleNear(0, 1e-4)));
  EXPECT_THAT(HullShares(kCorners, {1.0f, 0.3f, 0.1f, 0}), ElementsAre(DoubleNear(0.5, 1e-4), DoubleNear(0.5, 1e-4), DoubleNear(0, 1e-4), DoubleNear(0, 1e-4)));
}

TEST(HullShares, AMixOutsideIsTakenForTheNearestInside) {
  EXPECT_THAT(HullShares(kCorners, {3, 0.3f, 0.1f, 0}), ElementsAre(DoubleNear(0, 1e-4), DoubleNear(1, 1e-4), DoubleNear(0, 1e-4), DoubleNear(0, 1e-4)));
  const std::vector<MixShape> twins = {kCorners[0], kCorners[0], kCorners[1]};
  EXPECT_THAT(HullShares(twins, {0, 0.3f, 0.1f, 0}), ElementsAre(DoubleNear(0.5, 1e-6), DoubleNear(0.5, 1e-6), DoubleNear(0, 1e-6)));
}

TEST(HullSharesProperty, NoOtherCombinationIsNearer) {
  Rng rng(5);
  for (int round = 0; round < 200; ++round) {
    MixShape q;
    for (float& x : q) x = static_cast<float>(1.5 * rng.Uniform());
    const std::vector<double> shares = HullShares(kCorners, q);
    EXPECT_NEAR(std::accumulate(shares.begin(), shares.end(), 0.0), 1, 1e-9);
    EXPECT_GE(*std::min_element(shares.begin(), shares.end()), 0);
    for (int other = 0; other < 50; ++other) {
      std::vector<double> random(kCorners.size());
      for (double& x : random) x = -std::log(1 - rng.Uniform());
      const double sum = std::accumulate(random.begin(), random.end(), 0.0);
      for (double& x : random) x /= sum;
      EXPECT_GE(Distance2(random, q), Distance2(shares, q) - 1e-8);
    }
  }
}

PodRequest Request(int64_t cpu_milli, int64_t gib, int32_t gpus, int32_t milli, std::vector<std::string> models = {}) {
  PodRequest r;
  r.cpu_milli = cpu_milli;
  r.mem_bytes = gib << 30;
  r.gpu_count = gpus;
  r.gpu_milli = milli;
  r.gpu_models = std::move(models);
  return r;
}

std::vector<Node> Nodes() {
  std::vector<Node> nodes;
  for (int i = 0; i < 6; ++i) {
    Node n;
    n.name = "n" + std::to_string(i);
    n.cpu_milli = 128000;
    n.mem_bytes = int64_t{512} << 30;
    n.gpu_count = 8;
    n.gpu_model = i % 2 == 0 ? "A" : "B";
    nodes.push_back(n);
  }
  return nodes;
}

ClusterState Cluster() {
  ClusterState state;
  for (const Node& n : Nodes()) EXPECT_TRUE(state.AddNode(n).ok());
  return state;
}

// Half of its GPU demand is shared, a quarter of several devices, a quarter typed.
PodMix MixedMix() { return {{Request(4000, 8, 1, 500), 4}, {Request(16000, 64, 2, 1000), 0.5}, {Request(8000, 32, 1, 1000, {"A"}), 1}}; }

MixShape ShapeOf(const PodMix& mix) {
  FeatureExtractor extractor(TypicalPods(mix, 0.95, false), mix);
  const ClusterState state = Cluster();
  extractor.Reset(state);
  return extractor.mix_shape();
}

TEST(MixShape, SaysWhatTheGpusOfAMixAskFor) {
  // 4 x 4 + 0.5 x 16 + 8 = 32 vCPU for 4 GPUs, of 16 vCPU a GPU.
  EXPECT_THAT(ShapeOf(MixedMix()), ElementsAre(0.5f, 0.5f, 0.25f, 0.25f));
  EXPECT_THAT(ShapeOf({{Request(1000, 1, 0, 0), 1}}), ElementsAre(0, 0, 0, 0));
}

NetworkWeights Experts(const std::vector<MixShape>& shapes, uint64_t seed) {
  Rng rng(seed);
  NetworkWeights w;
  w.linear.assign(kFeatureCount, 0);
  w.expert_shapes = shapes;
  for (size_t i = 0; i < shapes.size() * kFeatureCount; ++i) w.experts.push_back(static_cast<float>(rng.Normal()));
  return w;
}

TEST(Experts, EachAloneOnItsOwnMixAndAllOfTheLinearPartEverywhere) {
  NetworkWeights w = Experts(kCorners, 1);
  w.linear[3] = 7;
  const NetworkWeights second = BlendExperts(w, kCorners[1]);
  EXPECT_TRUE(second.experts.empty());
  for (size_t i = 0; i < kFeatureCount; ++i) EXPECT_NEAR(second.linear[i], w.experts[kFeatureCount + i] + (i == 3 ? 7 : 0), 1e-3);
  const NetworkWeights none = BlendExperts(StrandingWeights(), kCorners[1]);
  EXPECT_EQ(none.linear, StrandingWeights().linear);
}

TEST(Experts, ANodeThatChangesWhatTheClusterHasChangesTheBlend) {
  const PodMix mix = MixedMix();
  NetworkWeights w = Experts({{0.5f, 0.5f, 0.25f, 0.25f}, {0.25f, 0.5f, 0.25f, 0.25f}}, 2);
  const auto potential = MakeNetworkPotential(std::make_shared<NetworkWeights>(w), TypicalPods(mix, 0.95, false), mix);
  ClusterState state = Cluster();
  const ScoreContext context{1 << 20, {}, true};
  potential->Reset(state, context);
  Pod pod;
  const ScoreVersion before = potential->Observe(state, pod, state.Resolve(mix[0].request), true);
  Node cpu_only;
  cpu_only.name = "cpu";
  cpu_only.cpu_milli = 6 * 128000;   // 32 vCPU a GPU from now on
  ASSERT_TRUE(state.AddNode(cpu_only).ok());
  EXPECT_NE(potential->Observe(state, pod, state.Resolve(mix[0].request), true).values, before.values);
  const NodeState& s = state.state_class(state.view(*state.FindNode("n0")).class_id).state;
  const auto second = MakeNetworkPotential(std::make_shared<NetworkWeights>(BlendExperts(w, w.expert_shapes[1])), TypicalPods(mix, 0.95, false), mix);
  second->Reset(state, context);
  EXPECT_NEAR(potential->Value(state.shape_of(s), s), second->Value(state.shape_of(s), s), 1e-3);
}

class BlendTest : public ::testing::Test {
 protected:
  void SetUp() override {
    root_ = fs::temp_directory_path() / fs::path(::testing::UnitTest::GetInstance()->current_test_info()->name());
    fs::remove_all(root_);
    for (size_t k = 0; k < 2; ++k) {
      ModelContent& part = parts_.emplace_back();
      part.name = k == 0 ? "typed" : "shared";
      part.mix = k == 0 ? MixedMix() : PodMix{{Request(4000, 8, 1, 500), 1}};
      part.weights = k == 0 ? StrandingWeights() : UniversalWeights();
      part.golden_nodes = Nodes();
      part.prices.emplace();
      const MixShape shape = ShapeOf(part.mix);
      part.trained_on_json = nlohmann::json{{"mix_shape", {{"cpu_asked", shape[0]}, {"shared", shape[1]}, {"multi", shape[2]}, {"typed", shape[3]}}}}.dump();
    }
  }
  void TearDown() override { fs::remove_all(root_); }

  fs::path root_;
  std::vector<ModelContent> parts_;
};

// The decisions of a policy on a stream of the mix's pods.
std::vector<std::pair<uint32_t, double>> Play(const Policy& policy, const PodMix& mix) {
  ClusterState state = Cluster();
  const auto decider = policy.NewDecider();
  Rng rng(9);
  std::vector<std::pair<uint32_t, double>> answers;
  for (int i = 0; i < 40; ++i) {
    Pod pod;
    pod.request = mix[rng.Below(mix.size())].request;
    const Decision d = decider->Decide(state, pod, 0, {});
    answers.emplace_back(d.is_placed ? d.node.value : ~0u, d.score);
    if (!d.is_placed) continue;
    EXPECT_TRUE(state.Place(state.Resolve(pod.request), d.node, d.devices).ok());
  }
  return answers;
}

TEST_F(BlendTest, ServesEachPartsMixAsThatPartDoes) {
  auto blend = BlendModels(parts_);
  ASSERT_TRUE(blend.ok()) << blend.status();
  blend->name = "any";
  const auto dir = WriteModelDir(root_.string(), *blend);
  ASSERT_TRUE(dir.ok()) << dir.status();
  for (const ModelContent& part : parts_) {
    const auto served = LoadModelDir(*dir, &part.mix);
    const auto alone = MakeModelPolicy("alone", "1", part.weights, part.mix, part.prices);
    ASSERT_TRUE(served.ok() && alone.ok());
    const auto a = Play(**served, part.mix), b = Play(**alone, part.mix);
    for (size_t i = 0; i < a.size(); ++i) {
      EXPECT_EQ(a[i].first, b[i].first) << part.name << " " << i;
      EXPECT_NEAR(a[i].second, b[i].second, 1e-3);
    }
  }
  const auto read = ReadModelDir(*dir);
  ASSERT_TRUE(read.ok());
  EXPECT_EQ(read->weights.experts, blend->weights.experts);
  EXPECT_EQ(read->weights.expert_shapes, blend->weights.expert_shapes);
  EXPECT_TRUE(read->serves_any_mix);
}

TEST_F(BlendTest, RefusesPartsThatDoNotGoTogetherByName) {
  EXPECT_THAT(BlendModels({parts_[0]}).status().message(), HasSubstr("parts is \"1\""));
  auto parts = parts_;
  parts[1].prices->beta = 3;
  EXPECT_THAT(BlendModels(parts).status().message(), HasSubstr("part \"shared\" prices"));
  parts = parts_;
  parts[1].trained_on_json = R"({"mix_shape": {"cpu_asked": 1, "shared": 0, "multi": 0}})";
  EXPECT_THAT(BlendModels(parts).status().message(), HasSubstr("mix_shape typed"));
  parts = parts_;
  parts[0].weights.experts.assign(kFeatureCount, 0);
  EXPECT_THAT(BlendModels(parts).status().message(), HasSubstr("linear potential"));
  parts = parts_;
  parts[1].trained_on_json = R"({"mix_shape": {"cpu_asked": 5, "shared": 0, "multi": 0, "typed": 0}})";
  EXPECT_THAT(BlendModels(parts).status().message(), HasSubstr("expert shape cpu_asked"));
}

// Stranding with a network of 4 that sees the mix.
NetworkWeights SeesMix() {
  NetworkWeights w = StrandingWeights();
  w.hidden = 4;
  w.mlp_sees_mix = true;
  Rng rng(3);
  for (auto [v, n] : {std::pair{&w.w1, 4 * w.mlp_inputs()}, {&w.b1, size_t{4}}, {&w.w2, size_t{16}}, {&w.b2, size_t{4}}, {&w.w3, size_t{4}}}) {
    for (size_t i = 0; i < n; ++i) v->push_back(static_cast<float>(0.5 * rng.Normal()));
  }
  return w;
}

TEST(MixInputs, AreInStepsAndFoldedIntoTheFirstBias) {
  const NetworkWeights w = SeesMix();
  ASSERT_TRUE(ValidateWeights(w).ok()) << ValidateWeights(w);
  EXPECT_THAT(Quantised({0.26f, 0, 1, 0.99f}), ElementsAre(0.25f, 0, 1, 1));
  const NetworkWeights served = ForMix(w, {0.51f, 0.5f, 0.25f, 0});
  EXPECT_FALSE(served.depends_on_mix());
  ASSERT_TRUE(ValidateWeights(served).ok());
  for (size_t r = 0; r < 4; ++r) {
    const float* const row = &w.w1[r * w.mlp_inputs()];
    for (size_t i = 0; i < kFeatureCount; ++i) EXPECT_EQ(served.w1[r * kFeatureCount + i], row[i]);
    EXPECT_FLOAT_EQ(served.b1[r], w.b1[r] + 0.5f * row[kFeatureCount] + 0.5f * row[kFeatureCount + 1] + 0.25f * row[kFeatureCount + 2]);
  }
  EXPECT_EQ(ForMix(w, {0.5f, 0.5f, 0.25f, 0}).b1, served.b1) << "within a step nothing changes";
  EXPECT_NE(ForMix(w, {0.75f, 0.5f, 0.25f, 0}).b1, served.b1);
}

TEST(MixInputs, SizesThatDoNotFitAreRefused) {
  NetworkWeights w = SeesMix();
  w.mlp_sees_mix = false;
  EXPECT_THAT(ValidateWeights(w).message(), HasSubstr("tensor w1"));
  w = StrandingWeights();
  w.mlp_sees_mix = true;
  EXPECT_THAT(ValidateWeights(w).message(), HasSubstr("mlp_sees_mix"));
}

// A model whose network sees the mix is read as it was written, decides on each mix as its folded weights do, and is of the second format.
TEST_F(BlendTest, ANetworkThatSeesTheMixIsServedOnEachMixAsItIsFolded) {
  ModelContent content = parts_[0];
  content.name = "sees";
  content.weights = SeesMix();
  content.serves_any_mix = true;
  const auto dir = WriteModelDir(root_.string(), content);
  ASSERT_TRUE(dir.ok()) << dir.status();
  const auto read = ReadModelDir(*dir);
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_TRUE(read->weights.mlp_sees_mix);
  EXPECT_EQ(read->weights.w1, content.weights.w1);
  std::vector<std::vector<std::pair<uint32_t, double>>> played;
  for (const ModelContent& part : parts_) {
    const auto served = LoadModelDir(*dir, &part.mix);
    const auto folded = MakeModelPolicy("folded", "1", ForMix(content.weights, ShapeOf(part.mix)), part.mix, part.prices);
    const auto wrong = MakeModelPolicy("wrong", "1", ForMix(content.weights, {4, 0, 1, 1}), part.mix, part.prices);
    ASSERT_TRUE(served.ok() && folded.ok() && wrong.ok());
    EXPECT_EQ(Play(**served, part.mix), Play(**folded, part.mix)) << part.name;
    EXPECT_NE(Play(**wrong, part.mix), Play(**folded, part.mix)) << part.name << ": the shape must matter";
  }
}

TEST_F(BlendTest, AManifestThatContradictsTheNetworkIsRefused) {
  ModelContent content = parts_[0];
  content.name = "sees";
  content.weights = SeesMix();
  const auto dir = WriteModelDir(root_.string(), content);
  ASSERT_TRUE(dir.ok()) << dir.status();
  const fs::path file = fs::path(*dir) / "manifest.json";
  std::ifstream in(file);
  auto manifest = nlohmann::json::parse(in);
  EXPECT_EQ(manifest["format"], "berth-model-2");
  for (const auto& [value, message] : std::vector<std::pair<nlohmann::json, const char*>>{{false, "tensor w1"}, {"yes", "mlp_sees_mix"}}) {
    manifest["mlp_sees_mix"] = value;
    std::ofstream(file) << manifest.dump();
    EXPECT_THAT(ReadModelDir(*dir).status().message(), HasSubstr(message));
  }
}

TEST(Weights, ScaleEveryTermOfThePotential) {
  Rng rng(3);
  NetworkWeights weights = StrandingWeights();
  weights.hidden = 2;
  const auto draw = [&](size_t n) {
    std::vector<float> v(n);
    for (float& x : v) x = static_cast<float>(rng.Normal());
    return v;
  };
  weights.w1 = draw(2 * kFeatureCount), weights.b1 = draw(2), weights.w2 = draw(4), weights.b2 = draw(2), weights.w3 = draw(2);
  weights.classes = draw(5), weights.experts = draw(kFeatureCount);
  weights.expert_shapes = {{1, 0, 0, 0}};
  NetworkWeights scaled = weights;
  Scale(0.25, &scaled);
  for (int round = 0; round < 20; ++round) {
    Features x;
    for (float& v : x) v = static_cast<float>(rng.Uniform());
    EXPECT_NEAR(NetworkValue(ForMix(scaled, {}), x), 0.25 * NetworkValue(ForMix(weights, {}), x), 1e-4);
    EXPECT_NEAR(ClassValue(scaled, x.data()), 0.25 * ClassValue(weights, x.data()), 1e-5);
  }
}

TEST(Weights, AskForNodesExitsOnlyWhereTheyWeighThem) {
  NetworkWeights weights = StrandingWeights();
  EXPECT_FALSE(LooksAtExits(weights));
  weights.linear[kFirstExitFeature + 2] = 0.5f;
  EXPECT_TRUE(LooksAtExits(weights));
  PodRequest half;
  half.gpu_count = 1, half.gpu_milli = 500;
  const PodMix mix = {{half, 1.0}};
  EXPECT_TRUE((*MakeModelPolicy("a", "1", weights, mix, std::nullopt))->info().key_fields.exit_class);
  weights.linear[kFirstExitFeature + 2] = 0;
  EXPECT_FALSE((*MakeModelPolicy("a", "1", weights, mix, std::nullopt))->info().key_fields.exit_class);
  weights.expert_shapes = {{1, 0, 0, 0}, {2, 0, 0, 0}};
  weights.experts.assign(2 * kFeatureCount, 0);
  EXPECT_FALSE(LooksAtExits(weights));
  weights.experts[kFeatureCount + kFirstExitFeature] = 1;
  EXPECT_TRUE(LooksAtExits(weights));
}

TEST(Experts, SizesThatDoNotFitAreRefused) {
  NetworkWeights w = Experts(kCorners, 1);
  w.experts.pop_back();
  EXPECT_THAT(ValidateWeights(w).message(), HasSubstr("tensor experts"));
  w = Experts(std::vector<MixShape>(kMaxExperts + 1), 1);
  EXPECT_THAT(ValidateWeights(w).message(), HasSubstr("experts is"));
}

}  // namespace
}  // namespace berth

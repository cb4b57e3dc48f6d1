#include "policy/potential/potential.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <memory>
#include <set>
#include <tuple>
#include <vector>

#include "base/rng.h"
#include "base/status.h"
#include "cluster/cluster_state.h"
#include "policy/potential/features.h"
#include "policy/potential/network.h"

namespace berth {
namespace {

using ::testing::HasSubstr;

constexpr int64_t kGib = int64_t{1} << 30;

PodRequest Request(int64_t cpu_milli, int64_t gib, int32_t gpus = 0, int32_t milli = 0) {
  PodRequest r;
  r.cpu_milli = cpu_milli;
  r.mem_bytes = gib * kGib;
  r.gpu_count = gpus;
  r.gpu_milli = milli;
  return r;
}

Node MakeNode(std::string name, int64_t cpu_milli, int64_t gib, int32_t gpus) {
  Node node;
  node.name = std::move(name);
  node.cpu_milli = cpu_milli;
  node.mem_bytes = gib * kGib;
  node.gpu_count = gpus;
  return node;
}

const NodeState& StateAt(const ClusterState& view, NodeId node) {
  return view.state_class(view.view(node).class_id).state;
}

float At(const Features& x, std::string_view name) {
  const auto names = FeatureNames();
  const auto it = std::find(names.begin(), names.end(), name);
  EXPECT_NE(it, names.end()) << name;
  return x[static_cast<size_t>(it - names.begin())];
}

NetworkWeights Filled(int hidden, float value) {
  NetworkWeights w;
  const auto h = static_cast<size_t>(hidden);
  w.hidden = hidden;
  w.linear.assign(kFeatureCount, value);
  w.w1.assign(h * kFeatureCount, value);
  w.b1.assign(h, value);
  w.w2.assign(h * h, value);
  w.b2.assign(h, value);
  w.w3.assign(h, value);
  return w;
}

TEST(Features, NamesAreUniqueAndPlain) {
  std::set<std::string_view> seen;
  for (std::string_view name : FeatureNames()) {
    EXPECT_TRUE(seen.insert(name).second) << name;
    EXPECT_EQ(name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789_"), std::string_view::npos) << name;
  }
}

// A node of 4 devices, 32 vCPU, 256 GiB with 16 vCPU, 64 GiB and the devices 0, 0.5, 1, 1 free, worked out by hand.
TEST(Features, AreWhatTheFormulasSay) {
  ClusterState state;
  ASSERT_TRUE(state.AddNode(MakeNode("n", 32000, 256, 4)).ok());
  ASSERT_TRUE(state.Place(state.Resolve(Request(8000, 96, 1, 1000)), NodeId(0), 0b0001).ok());
  ASSERT_TRUE(state.Place(state.Resolve(Request(8000, 96, 1, 500)), NodeId(0), 0b0010).ok());
  // Fragments: no GPU wanted 2.5; half a device 0 (fits each of 0.5, 1, 1); a whole device 0.5; three devices 2.5, and
  // so is a pod of 20 vCPU.
  const PodMix mix = {{Request(1000, 1), 0.5},
                      {Request(1000, 1, 1, 500), 0.2},
                      {Request(1000, 1, 1, 1000), 0.15},
                      {Request(1000, 1, 3, 1000), 0.1},
                      {Request(20000, 1, 1, 100), 0.05}};
  FeatureExtractor extractor(mix);
  extractor.Reset(state);
  Features x;
  extractor.Compute(state.shapes()[0], StateAt(state, NodeId(0)), &x);
  // A GPU of the mix asks for 1.95 / 0.555 vCPU and 1 / 0.555 GiB; the cluster has 8 and 64.
  constexpr double kCpuAsked = 1.95 / 0.555, kGibAsked = 1 / 0.555;
  const std::pair<std::string_view, double> want[] = {{"fragment", 0.5 * 2.5 + 0.15 * 0.5 + 0.1 * 2.5 + 0.05 * 2.5},
                                                      {"sqrt_idle", std::sqrt(2.5)},
                                                      {"sum_g2", 2.25 / 8},
                                                      {"no_cpu_8", 0.5 / 4},
                                                      {"surplus_cpu_16", 0},
                                                      {"surplus_mem_64", 0},
                                                      {"dead", 0},
                                                      {"idle", 2.5 / 8},
                                                      {"has_full", 1},
                                                      {"full", 2.0 / 8},
                                                      {"cpu_ratio_12", (2.5 - 16.0 / 12) / 8},
                                                      {"sqrt_cpu", 0.4},
                                                      {"mem_ratio_48", (2.5 - 64.0 / 48) / 8},
                                                      {"no_cpu_12", (2.5 - 16.0 / 12) / 4},
                                                      {"no_cpu_16", 1.5 / 4},
                                                      {"no_mem_32", 0.5 / 4},
                                                      {"no_mem_48", (2.5 - 64.0 / 48) / 4},
                                                      {"sqrt_mem", 0.4},
                                                      {"has_partly_used", 1},
                                                      {"full_share_2", 0.25},
                                                      {"all_full", 0},
                                                      {"full_4", 0},
                                                      {"partly_used", 1.0 / 8},
                                                      {"full_2", 1},
                                                      {"dead_all", 0},
                                                      {"is_empty", 0},
                                                      {"cpu_share", 0.5},
                                                      {"mem_share", 0.25},
                                                      {"cpu_fragment", 0.5 * 0.15},
                                                      {"mem_fragment", 0.25 * 0.15},
                                                      {"cpu_share_2", 0.25},
                                                      {"share_gap", 0.25},
                                                      {"surplus_cpu_mid", (16 - 2.5 * (kCpuAsked + 8) / 2) / 40},
                                                      {"surplus_mem_mid", 0},
                                                      {"surplus_cpu_asked", (16 - 2.5 * kCpuAsked) / 40},
                                                      {"surplus_mem_asked", (64 - 2.5 * kGibAsked) / 200},
                                                      {"no_cpu_asked", 0},
                                                      {"no_mem_asked", 0},
                                                      {"surplus_cpu_12", 0},
                                                      {"cpu_pods_fit", 0.5},
                                                      {"cpu_pods_copies", 0.5 * 4 / 4},
                                                      {"copies", (std::sqrt(0.2) * 5 + std::sqrt(0.15) * 2) / 32},
                                                      {"scarce_idle", 0},
                                                      {"exit", 0},
                                                      {"exit_whole", 0},
                                                      {"exit_idle", 0},
                                                      {"exit_cpu", 0}};
  ASSERT_EQ(std::size(want), static_cast<size_t>(kFeatureCount));
  for (const auto& [name, value] : want) EXPECT_FLOAT_EQ(At(x, name), static_cast<float>(value)) << name;
}

TEST(Features, WhenANodeWillBeEmptyCountsWhereTheClusterIsKeyedByIt) {
  ClusterState::Options options;
  options.key_fields.exit_class = true;
  ClusterState state(options);
  ASSERT_TRUE(state.AddNode(MakeNode("small", 8000, 32, 2)).ok());
  ASSERT_TRUE(state.AddNode(MakeNode("large", 8000, 32, 4)).ok());
  for (uint32_t i = 0; i < 2; ++i) {
    ASSERT_TRUE(state.Place(state.Resolve(Request(2000, 8, 1, 1000)), NodeId(i), 1).ok());
    state.SetExitClass(NodeId(i), 6);
  }
  FeatureExtractor extractor({{Request(1000, 1), 1}});
  extractor.Reset(state);
  const auto features = [&](uint32_t node) {
    Features x;
    const NodeState s = StateAt(state, NodeId(node));
    extractor.Compute(state.shape_of(s), s, &x);
    return x;
  };
  const Features small = features(0), large = features(1);
  EXPECT_FLOAT_EQ(At(small, "exit"), 0.75f);
  EXPECT_FLOAT_EQ(At(small, "exit_whole"), 0);
  EXPECT_FLOAT_EQ(At(small, "exit_idle"), 0.75f / 8);
  EXPECT_FLOAT_EQ(At(small, "exit_cpu"), 0.75f * 0.75f);
  EXPECT_FLOAT_EQ(At(large, "exit_whole"), 0.75f);
  EXPECT_FLOAT_EQ(At(large, "exit_idle"), 0.75f * 3 / 8);
}

TEST(Features, CountsOfFreeDevicesHaveTheirThresholds) {
  for (int devices = 0; devices <= 5; ++devices) {
    ClusterState state;
    ASSERT_TRUE(state.AddNode(MakeNode("n", 8000, 32, devices)).ok());
    FeatureExtractor extractor({{Request(1000, 1), 1}});
    extractor.Reset(state);
    Features x;
    extractor.Compute(state.shapes()[0], StateAt(state, NodeId(0)), &x);
    EXPECT_EQ(At(x, "has_full"), devices >= 1) << devices;
    EXPECT_EQ(At(x, "full_2"), devices >= 2) << devices;
    EXPECT_EQ(At(x, "full_4"), devices >= 4) << devices;
    EXPECT_EQ(At(x, "all_full"), devices >= 1) << devices;
    EXPECT_EQ(At(x, "full_share_2"), devices >= 1) << devices;
  }
}

TEST(Features, SurplusAndDeadCapacityAreSeen) {
  ClusterState state;
  ASSERT_TRUE(state.AddNode(MakeNode("rich", 96000, 512, 2)).ok());
  ASSERT_TRUE(state.AddNode(MakeNode("dry", 2000, 512, 2)).ok());
  // The class below 1 % does not save the dry node's devices from being dead.
  FeatureExtractor extractor({{Request(4000, 1, 1, 1000), 0.995}, {Request(1000, 1, 1, 1000), 0.005}});
  extractor.Reset(state);
  Features rich, dry;
  extractor.Compute(state.shape_of(StateAt(state, NodeId(0))), StateAt(state, NodeId(0)), &rich);
  extractor.Compute(state.shape_of(StateAt(state, NodeId(1))), StateAt(state, NodeId(1)), &dry);
  EXPECT_FLOAT_EQ(At(rich, "surplus_cpu_16"), (96 - 32) / 40.0f);
  EXPECT_FLOAT_EQ(At(rich, "surplus_mem_64"), (512 - 128) / 200.0f);
  EXPECT_FLOAT_EQ(At(rich, "dead"), 0);
  EXPECT_FLOAT_EQ(At(rich, "all_full"), 1);
  EXPECT_FLOAT_EQ(At(rich, "is_empty"), 1);
  EXPECT_FLOAT_EQ(At(dry, "dead"), 2);
  EXPECT_FLOAT_EQ(At(dry, "dead_all"), 0);
}

TEST(Features, AScarceModelIsOneThatManyPodsInsistOn) {
  ClusterState state;
  for (const char* model : {"A", "B"}) {
    Node node = MakeNode(model, 32000, 256, 4);
    node.gpu_model = model;
    ASSERT_TRUE(state.AddNode(node).ok());
  }
  PodMix mix = {{Request(1000, 1, 1, 1000), 0.5}, {Request(1000, 1, 1, 1000), 0.3}, {Request(1000, 1, 1, 1000), 0.2}};
  mix[1].request.gpu_models = {"A"};
  mix[2].request.gpu_models = {"A", "B"};
  FeatureExtractor extractor(mix);
  extractor.Reset(state);
  Features a, b;
  extractor.Compute(state.shape_of(StateAt(state, NodeId(0))), StateAt(state, NodeId(0)), &a);
  extractor.Compute(state.shape_of(StateAt(state, NodeId(1))), StateAt(state, NodeId(1)), &b);
  EXPECT_FLOAT_EQ(At(a, "scarce_idle"), 0.4f * 4 / 8);
  EXPECT_FLOAT_EQ(At(b, "scarce_idle"), 0.1f * 4 / 8);
}

// What the cluster has a GPU enters in steps, and a change of it is seen before the next decision.
TEST(Features, FollowWhatTheClusterHas) {
  ClusterState state;
  ASSERT_TRUE(state.AddNode(MakeNode("a", 32000, 256, 4)).ok());
  const ClusterRatios before = ClusterRatios::Of(state);
  EXPECT_EQ(before, (ClusterRatios{48, 96}));
  const auto potential = MakeNetworkPotential(std::make_shared<NetworkWeights>(StrandingWeights()), {{Request(1000, 1, 1, 500), 1}});
  potential->Reset(state, {state.options().mem_grain_bytes, {}, true});
  const Pod pod;
  const ResolvedRequest request = state.Resolve(pod.request);
  const ScoreVersion first = potential->Observe(state, pod, request, true);
  EXPECT_EQ(potential->Observe(state, pod, request, true), first);
  ASSERT_TRUE(state.AddNode(MakeNode("b", 64000, 256, 4)).ok());
  EXPECT_NE(ClusterRatios::Of(state), before);
  EXPECT_NE(potential->Observe(state, pod, request, true), first);
}

// An orchestrator may report pods that overload a node. Free amounts below zero once gave sqrt(-1).
TEST(Potential, OverloadedNodesHaveFiniteValues) {
  ClusterState state;
  ASSERT_TRUE(state.AddNode(MakeNode("n", 8000, 32, 2)).ok());
  const ResolvedRequest big = state.Resolve(Request(9000, 40, 1, 1000));
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(state.ForcePlace(big, NodeId(0), 0b01).ok());
  const NodeState& s = StateAt(state, NodeId(0));
  ASSERT_LT(s.free_gpu_milli(), 0);
  const PodMix mix = {{Request(1000, 1), 0.5}, {Request(1000, 1, 1, 500), 0.5}};
  FeatureExtractor extractor(mix);
  extractor.Reset(state);
  Features x;
  extractor.Compute(state.shape_of(s), s, &x);
  for (size_t i = 0; i < x.size(); ++i) EXPECT_TRUE(std::isfinite(x[i]) && x[i] >= 0) << FeatureNames()[i];
  EXPECT_FLOAT_EQ(At(x, "idle"), 1.0f / 8) << "the other device is free";

  const auto hand = MakeStrandingPotential(mix);
  const auto linear = MakeNetworkPotential(std::make_shared<NetworkWeights>(StrandingWeights()), mix);
  const ScoreContext context{state.options().mem_grain_bytes, {}, true};
  hand->Reset(state, context);
  linear->Reset(state, context);
  EXPECT_TRUE(std::isfinite(hand->Value(state.shape_of(s), s)));
  EXPECT_NEAR(hand->Value(state.shape_of(s), s), linear->Value(state.shape_of(s), s), 1e-5);
}

// The largest weights that are accepted, on the largest node that is accepted, do not overflow float32.
TEST(Network, AcceptedWeightsGiveFiniteValues) {
  ClusterState state;
  Node node = MakeNode("n", 0, 0, kMaxDevices);
  node.cpu_milli = kMaxCpuMilli;
  node.mem_bytes = kMaxMemBytes;
  ASSERT_TRUE(state.AddNode(node).ok());
  FeatureExtractor extractor({{Request(1000, 1), 1}});
  extractor.Reset(state);
  Features x;
  extractor.Compute(state.shapes()[0], StateAt(state, NodeId(0)), &x);
  for (float sign : {1.0f, -1.0f}) {
    NetworkWeights w = Filled(256, 1e6f);
    for (float& v : w.w3) v *= sign;
    ASSERT_TRUE(ValidateWeights(w).ok()) << ValidateWeights(w);
    EXPECT_TRUE(std::isfinite(NetworkValue(w, x)));
  }
}

TEST(Network, BadWeightsAreErrorsThatNameTheTensor) {
  const auto message = [](const std::function<void(NetworkWeights*)>& damage) {
    NetworkWeights w = Filled(4, 0.5f);
    damage(&w);
    return std::string(MessageOf(ValidateWeights(w)));
  };
  EXPECT_EQ(message([](NetworkWeights*) {}), "OK");
  EXPECT_THAT(message([](NetworkWeights* w) { w->hidden = -1; }), HasSubstr("hidden"));
  EXPECT_THAT(message([](NetworkWeights* w) { w->hidden = 257; }), HasSubstr("0 to 256"));
  EXPECT_THAT(message([](NetworkWeights* w) { w->linear.pop_back(); }), HasSubstr("linear"));
  EXPECT_THAT(message([](NetworkWeights* w) { w->w1.pop_back(); }), HasSubstr("w1"));
  EXPECT_THAT(message([](NetworkWeights* w) { w->b1.clear(); }), HasSubstr("b1"));
  EXPECT_THAT(message([](NetworkWeights* w) { w->w2.push_back(0); }), HasSubstr("w2"));
  EXPECT_THAT(message([](NetworkWeights* w) { w->b2[1] = std::nanf(""); }), HasSubstr("b2[1]"));
  EXPECT_THAT(message([](NetworkWeights* w) { w->w3[2] = INFINITY; }), HasSubstr("w3[2]"));
  EXPECT_THAT(message([](NetworkWeights* w) { w->w3[3] = -1.1e6f; }), HasSubstr("w3[3]"));
}

// Against the definition in double, element by element: layout [out, in], ReLU after both hidden layers, none after the
// last.
TEST(Network, ForwardPassIsTheDefinition) {
  Rng rng(9);
  for (int hidden : {1, 2, 7, 32}) {
    const auto h = static_cast<size_t>(hidden);
    NetworkWeights w = Filled(hidden, 0);
    for (auto* tensor : {&w.linear, &w.w1, &w.b1, &w.w2, &w.b2, &w.w3}) {
      for (float& v : *tensor) v = static_cast<float>(0.3 * rng.Normal());
    }
    for (int repeat = 0; repeat < 20; ++repeat) {
      Features x;
      for (float& v : x) v = static_cast<float>(rng.Normal());
      std::vector<double> a(h), b(h);
      double want = 0;
      for (size_t r = 0; r < h; ++r) {
        a[r] = double{w.b1[r]};
        for (size_t c = 0; c < x.size(); ++c) a[r] += double{w.w1[r * kFeatureCount + c]} * double{x[c]};
        a[r] = std::max(a[r], 0.0);
      }
      for (size_t r = 0; r < h; ++r) {
        b[r] = double{w.b2[r]};
        for (size_t c = 0; c < h; ++c) b[r] += double{w.w2[r * h + c]} * a[c];
        want += double{w.w3[r]} * std::max(b[r], 0.0);
      }
      EXPECT_NEAR(MlpForward(w, x), want, 1e-5 * (1 + std::abs(want)));
      for (size_t c = 0; c < x.size(); ++c) want += double{w.linear[c]} * double{x[c]};
      EXPECT_NEAR(NetworkValue(w, x), want, 1e-5 * (1 + std::abs(want)));
    }
  }
}

TEST(Network, KeepEmptyStartPrefersANodeInUseToAnEmptyOne) {
  ClusterState state;
  for (const char* name : {"empty", "used"}) ASSERT_TRUE(state.AddNode(MakeNode(name, 96000, 768, 8)).ok());
  const ResolvedRequest one = state.Resolve(Request(4000, 16, 1, 1000));
  ASSERT_TRUE(state.Place(one, NodeId(1), 0b1).ok());
  // A mix of which everything fits on both, so that fragments say nothing and the bonus for the empty node decides.
  const PodMix mix = {{Request(4000, 16, 1, 1000), 1}};
  const auto scorer =
      MakePotentialScorer(MakeNetworkPotential(std::make_shared<NetworkWeights>(KeepEmptyWeights()), mix));
  scorer->Reset(state, {state.options().mem_grain_bytes, {}, true});
  const auto score = [&](uint32_t node) {
    const NodeState& s = StateAt(state, NodeId(node));
    return scorer->Score(state.shape_of(s), s, one).score;
  };
  EXPECT_GT(score(1), score(0));
}

// The engine's score is the best of Phi(before) - Phi(after) over every device that the pod fits on, and its device is
// one that attains it; memoised values change nothing.
TEST(PotentialScorer, EqualsBruteForceOverDevices) {
  ClusterState state;
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(state.AddNode(MakeNode("n" + std::to_string(i), 64000, 256, 2 * i)).ok());
  const PodMix mix = {{Request(4000, 8), 0.3},
                      {Request(3000, 6, 1, 410), 0.3},
                      {Request(3000, 6, 1, 250), 0.2},
                      {Request(8000, 32, 2, 1000), 0.2}};
  NetworkWeights weights = Filled(8, 0);
  Rng rng(4);
  for (auto* tensor : {&weights.linear, &weights.w1, &weights.b1, &weights.w2, &weights.b2, &weights.w3}) {
    for (float& v : *tensor) v = static_cast<float>(rng.Normal());
  }
  const auto shared = std::make_shared<const NetworkWeights>(weights);
  const ScoreContext context{state.options().mem_grain_bytes, {}, true};
  const auto warm = MakePotentialScorer(MakeNetworkPotential(shared, mix));
  const auto phi = MakeNetworkPotential(shared, mix);
  warm->Reset(state, context);
  phi->Reset(state, context);
  int compared = 0, with_choice = 0;
  std::vector<std::tuple<ResolvedRequest, NodeId, DeviceSet>> running;
  for (int step = 0; step < 400; ++step) {
    const ResolvedRequest r = state.Resolve(mix[rng.Below(mix.size())].request);
    const NodeId node(static_cast<uint32_t>(rng.Below(5)));
    if (!state.FitsExactly(node, r)) continue;
    const NodeState& s = StateAt(state, node);
    const Shape& shape = state.shape_of(s);
    const Scored got = warm->Score(shape, s, r);
    const auto value = [&](DevicePositions d) {
      return phi->Value(shape, s) - phi->Value(shape, StateAfter(s, r, d, context.mem_grain_bytes, {}));
    };
    double best = -INFINITY;
    if (r.gpu_count == 1) {
      std::set<double> values;
      for (uint32_t i = 0; i < s.device_count; ++i) {
        if (s.gpu_milli[i] >= r.gpu_milli) values.insert(value(1u << i));
      }
      best = *values.rbegin();
      with_choice += values.size() > 1;
    } else {
      best = value(TightestDevices(s, r));
    }
    EXPECT_EQ(got.score, best);
    EXPECT_EQ(value(got.devices), best);
    ++compared;
    const DeviceSet devices = state.DevicesAt(node, got.devices);
    ASSERT_TRUE(state.Place(r, node, devices).ok());
    running.push_back({r, node, devices});
    if (rng.Below(2) == 0) {
      std::swap(running[rng.Below(running.size())], running.back());
      const auto& [request, at, held] = running.back();
      ASSERT_TRUE(state.Remove(request, at, held).ok());
      running.pop_back();
    }
  }
  EXPECT_GT(compared, 100);
  EXPECT_GT(with_choice, 30);
}

}  // namespace
}  // namespace berth

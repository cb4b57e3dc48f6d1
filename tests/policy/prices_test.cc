// Prices of free devices: what the linear program must say where the answer is plain.
#include "policy/potential/prices.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cmath>

#include "base/rng.h"
#include "policy/potential/priced_potential.h"
#include "policy/registry.h"

namespace berth {
namespace {

Node GpuNode(const std::string& name, int gpus, const std::string& model = "", int64_t cpu_milli = 96000, int64_t gib = 384) {
  Node node;
  node.name = name;
  node.cpu_milli = cpu_milli;
  node.mem_bytes = gib << 30;
  node.gpu_count = gpus;
  node.gpu_model = model;
  return node;
}

PodRequest Gpu(int milli, int count = 1, std::vector<std::string> models = {}) {
  PodRequest r;
  r.cpu_milli = 1000;
  r.mem_bytes = int64_t{1} << 30;
  r.gpu_count = count;
  r.gpu_milli = milli;
  r.gpu_models = std::move(models);
  return r;
}

struct Solved {
  Solved(std::vector<Node> nodes, const PodMix& mix, double to_come, PriceOptions options = {}) {
    for (const Node& node : nodes) EXPECT_TRUE(state.AddNode(node).ok());
    classes = std::make_shared<const PriceClasses>(state, ResolveMix(state, mix));
    PriceSolver solver(options, classes);
    const auto solved = solver.Solve(classes->Count(state), to_come);
    EXPECT_TRUE(solved.ok()) << solved.status();
    table = *solved;
  }
  double Of(int milli, const char* model = "") const { return table->DeviceValue(state.FindGpuModel(model), milli); }
  ClusterState state;
  std::shared_ptr<const PriceClasses> classes;
  std::shared_ptr<const PriceTable> table;
};

TEST(Prices, AResidueIsWorthWhatFitsIntoIt) {
  const Solved s({GpuNode("n", 8)}, {{Gpu(500), 1}}, 40);
  EXPECT_GT(s.Of(500), 0);
  EXPECT_NEAR(s.Of(1000), 2 * s.Of(500), 1e-9);
  EXPECT_EQ(s.Of(490), 0);
  EXPECT_NEAR(s.Of(990), s.Of(500), 1e-9);
}

TEST(Prices, WhereThereIsRoomForAllNothingHasAPrice) {
  const Solved s({GpuNode("n", 8)}, {{Gpu(500), 1}}, 2);
  EXPECT_NEAR(s.Of(1000), 0, 1e-9);
}

// What does not fit any class is dead: 810 leaves 190, which a class of 190 makes worth something.
TEST(Prices, ADeadResidueGetsAPriceFromTheClassThatUsesIt) {
  const Solved without({GpuNode("n", 8)}, {{Gpu(810), 1}}, 40);
  EXPECT_EQ(without.Of(190), 0);
  const Solved with({GpuNode("n", 8)}, {{Gpu(810), 1}, {Gpu(190), 1}}, 40);
  EXPECT_GT(with.Of(190), 0);
  EXPECT_NEAR(with.Of(1000), with.Of(810) + with.Of(190), 1e-9);
}

TEST(Prices, AScarceModelIsDearerThanOneThatAllMayUse) {
  PodMix mix = {{Gpu(1000), 0.5}, {Gpu(1000, 1, {"A"}), 0.5}};
  const Solved s({GpuNode("a", 2, "A"), GpuNode("b1", 8, "B"), GpuNode("b2", 8, "B")}, mix, 16);
  EXPECT_EQ(s.classes->groups(), 3) << "A, B, and devices without a name";
  EXPECT_GT(s.Of(1000, "A"), s.Of(1000, "B") + 0.05);
  // Without pods that insist, models are one group and cost the same.
  const Solved same({GpuNode("a", 2, "A"), GpuNode("b1", 8, "B")}, {{Gpu(1000), 1}}, 40);
  EXPECT_EQ(same.classes->groups(), 2);
  EXPECT_EQ(same.Of(1000, "A"), same.Of(1000, "B"));
}

// Seven pods that insist on A are to come, and eight A are free: the fluid does not mind who takes the other one, and prices both alike.
// The safety factor makes A dearer all the same, so that who may go elsewhere takes it last.
TEST(Prices, SafetyKeepsAModelForItsOwnPodsThoughThereIsSlack) {
  const std::vector<Node> nodes = {GpuNode("a", 8, "A"), GpuNode("b1", 8, "B"), GpuNode("b2", 8, "B"), GpuNode("b3", 8, "B")};
  const PodMix mix = {{Gpu(1000), 0.8}, {Gpu(1000, 1, {"A"}), 0.2}};
  PriceOptions without;
  without.typed_safety = 1;
  const Solved indifferent(nodes, mix, 36, without);
  EXPECT_GT(indifferent.Of(1000, "A"), 0);
  EXPECT_NEAR(indifferent.Of(1000, "A"), indifferent.Of(1000, "B"), 1e-9);
  const Solved safe(nodes, mix, 36);
  EXPECT_GT(safe.Of(1000, "A"), safe.Of(1000, "B") + 0.05);
}

// Two nodes of 8: one wholly free, one with 4 devices used up. Pods of 8 devices make whole nodes worth more than their devices.
TEST(Prices, AWholeNodeIsWorthMoreThanItsDevicesWhereBigPodsCome) {
  ClusterState state;
  ASSERT_TRUE(state.AddNode(GpuNode("whole", 8)).ok());
  ASSERT_TRUE(state.AddNode(GpuNode("half", 8)).ok());
  ASSERT_TRUE(state.Place(state.Resolve(Gpu(1000, 4)), NodeId(1), 0b1111).ok());
  const auto classes = std::make_shared<const PriceClasses>(state, ResolveMix(state, {{Gpu(1000), 0.8}, {Gpu(1000, 8), 0.2}}));
  PriceSolver solver({}, classes);
  const auto table = solver.Solve(classes->Count(state), 40);
  ASSERT_TRUE(table.ok()) << table.status();
  const auto value = [&](uint32_t node) {
    const NodeState& s = state.state_class(state.view(NodeId(node)).class_id).state;
    return (*table)->Value(state.shape_of(s), s);
  };
  EXPECT_GE(value(0), 2 * value(1) - 1e-9);
  // Once a device of the whole node is taken, no big pod fits there and the bonus is gone.
  ASSERT_TRUE(state.Place(state.Resolve(Gpu(1000)), NodeId(0), 1).ok());
  EXPECT_NEAR(value(0), 7 * (*table)->DeviceValue(-1, 1000), 1e-9);
}

// Values grow with the residue and are superadditive, whatever the mix: they come out of one knapsack.
TEST(Prices, ValuesAreThoseOfAKnapsack) {
  for (uint64_t seed = 1; seed <= 10; ++seed) {
    Rng rng = Rng::Stream(seed, 5);
    PodMix mix;
    for (int i = 0; i < 8; ++i) mix.push_back({Gpu(static_cast<int>(50 + rng.Below(951))), 0.1 + rng.Uniform()});
    ClusterState state;
    for (int i = 0; i < 6; ++i) ASSERT_TRUE(state.AddNode(GpuNode("n" + std::to_string(i), 8)).ok());
    for (int i = 0; i < 24; ++i) {
      ASSERT_TRUE(state.Place(state.Resolve(Gpu(static_cast<int>(50 + rng.Below(900)))), NodeId(static_cast<uint32_t>(i % 6)), 1u << (i / 6)).ok());
    }
    PriceOptions once;
    once.smoothing = 1;
    const auto classes = std::make_shared<const PriceClasses>(state, ResolveMix(state, mix));
    PriceSolver solver(once, classes);
    for (double to_come : {60.0, 30.0, 10.0}) {
      const auto table = solver.Solve(classes->Count(state), to_come);
      ASSERT_TRUE(table.ok()) << table.status();
      const auto v = [&](int milli) { return (*table)->DeviceValue(-1, milli); };
      for (int r = 10; r <= 1000; r += 10) {
        EXPECT_GE(v(r), v(r - 10) - 1e-12);
        for (int a = 10; 2 * a <= r; a += 70) EXPECT_GE(v(r), v(a) + v(r - a) - 1e-9) << r << " " << a;
      }
    }
  }
}

// What a node is worth, worked out from its devices: the singles at their values, and the whole ones at the best of what single pods and
// the classes of several devices that fit make of them.
TEST(Prices, ANodeIsWorthItsDevicesOrWhatAClassThatFitsMakesOfThem) {
  const PodMix mix = {{Gpu(300), 0.4}, {Gpu(1000), 0.2}, {Gpu(1000, 2), 0.2}, {Gpu(1000, 4, {"A"}), 0.1}, {Gpu(1000, 8), 0.1}};
  ClusterState state;
  for (int i = 0; i < 12; ++i) ASSERT_TRUE(state.AddNode(GpuNode("n" + std::to_string(i), 8, i % 2 == 0 ? "A" : "B", i < 10 ? 96000 : 3000)).ok());
  Rng rng = Rng::Stream(3, 1);
  for (int i = 0; i < 40; ++i) {
    const auto node = static_cast<uint32_t>(rng.Below(12));
    state.Place(state.Resolve(Gpu(rng.Below(2) == 0 ? 300 : 1000)), NodeId(node), 1u << rng.Below(8)).IgnoreError();
  }
  const auto classes = std::make_shared<const PriceClasses>(state, ResolveMix(state, mix));
  PriceSolver solver({}, classes);
  const auto table = solver.Solve(classes->Count(state), 60);
  ASSERT_TRUE(table.ok()) << table.status();
  int with_bonus = 0, without = 0;
  for (const auto& [id, uid] : state.occupied()) {
    const NodeState& s = state.state_class(id).state;
    const Shape& shape = state.shape_of(s);
    const auto v = [&](int milli) { return (*table)->DeviceValue(shape.gpu_model, milli); };
    double partly = 0;
    const int full = s.full_devices();
    for (int i = 0; i + full < s.device_count; ++i) partly += v(s.gpu_milli[static_cast<size_t>(i)]);
    double whole = full * v(1000);
    for (size_t m = 0; m < classes->multis().size(); ++m) {
      const PriceClasses::Multi& multi = classes->multis()[m];
      if (multi.devices > full || !CanHost(shape, s, multi.request, true)) continue;
      whole = std::max(whole, full * v(1000) + (full / multi.devices) * ((*table)->nu()[m] - multi.devices * v(1000)));
    }
    EXPECT_EQ((*table)->Value(shape, s), full > 0 ? partly + whole : partly);
    (whole > full * v(1000) ? with_bonus : without) += 1;
  }
  EXPECT_GT(with_bonus, 0);
  EXPECT_GT(without, 0);
}

TEST(Prices, ASolveThatIsCalledOffSaysSo) {
  const Solved s({GpuNode("n", 8)}, {{Gpu(500), 1}}, 40);
  PriceSolver solver({}, s.classes);
  std::atomic<bool> is_cancelled{true};
  EXPECT_TRUE(absl::IsCancelled(solver.Solve(s.classes->Count(s.state), 40, &is_cancelled).status()));
  is_cancelled = false;
  const auto table = solver.Solve(s.classes->Count(s.state), 40, &is_cancelled);
  ASSERT_TRUE(table.ok()) << table.status();
  EXPECT_EQ((*table)->values(), s.table->values());
}

TEST(PricedPotential, OptionsAreChecked) {
  PricedOptions o;
  EXPECT_TRUE(ValidatePricedOptions(o).ok());
  o.period = 0;
  EXPECT_NE(std::string(ValidatePricedOptions(o).message()).find("prices period"), std::string::npos);
  o = {};
  o.beta = std::nan("");
  EXPECT_NE(std::string(ValidatePricedOptions(o).message()).find("prices beta"), std::string::npos);
}

// One A and one B are free; most pods to come insist on A. A pod that takes either goes to B, by prices alone.
TEST(PricedPotential, KeepsScarceDevicesForThoseWhoNeedThem) {
  ClusterState state;
  for (int i = 0; i < 4; ++i) {
    ASSERT_TRUE(state.AddNode(GpuNode("a" + std::to_string(i), 1, "A")).ok());
    ASSERT_TRUE(state.AddNode(GpuNode("b" + std::to_string(i), 1, "B")).ok());
  }
  PolicyContext context;
  context.mix = {{Gpu(1000), 0.3}, {Gpu(1000, 1, {"A"}), 0.7}};
  const auto policy = MakePolicy("stranding-priced", context);
  ASSERT_TRUE(policy.ok()) << policy.status();
  EXPECT_TRUE((*policy)->info().is_adaptive);
  const auto decider = (*policy)->NewDecider();
  Pod pod;
  pod.request = Gpu(1000);
  for (int i = 0; i < 4; ++i) {
    const Decision d = decider->Decide(state, pod, 0, {});
    ASSERT_TRUE(d.is_placed);
    EXPECT_EQ(state.node(d.node).spec.gpu_model, "B") << i;
    ASSERT_TRUE(state.Place(state.Resolve(pod.request), d.node, d.devices).ok());
  }
}

// The same without being told the mix: it learns from what was asked that A is scarce.
TEST(PricedPotential, LearnsTheMixFromArrivals) {
  const auto nth_choice = [](bool learns, bool sees_typed) {
    ClusterState state;
    for (int i = 0; i < 40; ++i) EXPECT_TRUE(state.AddNode(GpuNode("a" + std::to_string(i), 1, "A")).ok());
    for (int i = 0; i < 40; ++i) EXPECT_TRUE(state.AddNode(GpuNode("b" + std::to_string(i), 1, "B")).ok());
    PricedOptions options;
    options.learns_mix = learns;
    ClassPolicySpec spec;
    spec.info.name = "learns";
    spec.scorer = [options] {
      return MakePotentialScorer(MakePricedPotential([](const PodMix& mix) { return MakeStrandingPotential(mix); }, {{Gpu(1000), 1}}, options));
    };
    const auto policy = MakeClassPolicy(std::move(spec));
    const auto decider = policy->NewDecider();
    std::string model;
    for (int i = 0; i < 33; ++i) {
      Pod pod;
      pod.request = i < 32 && sees_typed && i % 3 != 0 ? Gpu(1000, 1, {"A"}) : Gpu(1000);
      const Decision d = decider->Decide(state, pod, 0, {});
      EXPECT_TRUE(d.is_placed);
      model = state.node(d.node).spec.gpu_model;
      if (i < 32 && i % 3 != 0) {
        EXPECT_TRUE(state.Place(state.Resolve(pod.request), d.node, d.devices).ok());
      }
    }
    return model;
  };
  EXPECT_EQ(nth_choice(true, true), "B");
  EXPECT_EQ(nth_choice(false, true), "A") << "without learning the lowest rank wins: the test can tell";
}

}  // namespace
}  // namespace berth

#include "cluster/cluster_state.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "base/rng.h"

namespace berth {
namespace {

using ::testing::HasSubstr;

constexpr int64_t kGib = int64_t{1} << 30;

Node MakeNode(std::string name, int64_t cpu_milli, int64_t gib, int32_t gpus = 0, std::string model = "") {
  Node node;
  node.name = std::move(name);
  node.cpu_milli = cpu_milli;
  node.mem_bytes = gib * kGib;
  node.gpu_count = gpus;
  node.gpu_model = std::move(model);
  return node;
}

PodRequest Request(int64_t cpu_milli, int64_t gib, int32_t gpus = 0, int32_t milli = 0) {
  PodRequest r;
  r.cpu_milli = cpu_milli;
  r.mem_bytes = gib * kGib;
  r.gpu_count = gpus;
  r.gpu_milli = milli;
  return r;
}

TEST(ClusterState, EqualNodesShareOneClassAndAPlacementChangesTwo) {
  ClusterState state;
  for (int i = 0; i < 1000; ++i) ASSERT_TRUE(state.AddNode(MakeNode("n" + std::to_string(i), 8000, 32)).ok());
  ASSERT_EQ(state.occupied().size(), 1u);
  ASSERT_TRUE(state.Place(state.Resolve(Request(1000, 4)), NodeId(7), 0).ok());
  ASSERT_EQ(state.occupied().size(), 2u);
  ASSERT_TRUE(state.Place(state.Resolve(Request(1000, 4)), NodeId(9), 0).ok());
  EXPECT_EQ(state.occupied().size(), 2u);
  EXPECT_TRUE(state.CheckInvariants().ok()) << state.CheckInvariants();
}

TEST(ClusterState, NodesThatDifferByLessThanTheMemoryGrainShareAClass) {
  ClusterState state;
  Node a = MakeNode("a", 8000, 32), b = MakeNode("b", 8000, 32);
  a.mem_bytes += 4096;
  b.mem_bytes += 8192;
  ASSERT_TRUE(state.AddNode(a).ok());
  ASSERT_TRUE(state.AddNode(b).ok());
  EXPECT_EQ(state.occupied().size(), 1u);
  // The chosen node is checked exactly: 4096 bytes more than b has.
  PodRequest r = Request(0, 32);
  r.mem_bytes += 8192 + 1;
  EXPECT_FALSE(state.FitsExactly(NodeId(1), state.Resolve(r)));
  EXPECT_EQ(state.Place(state.Resolve(r), NodeId(1), 0).code(), absl::StatusCode::kResourceExhausted);
  r.mem_bytes -= 1;
  EXPECT_TRUE(state.FitsExactly(NodeId(1), state.Resolve(r)));
  EXPECT_FALSE(state.FitsExactly(NodeId(0), state.Resolve(r)));
}

TEST(ClusterState, PlaceRefusesWhatDoesNotFitWithResourceAndAmountsAndChangesNothing) {
  ClusterState state;
  ASSERT_TRUE(state.AddNode(MakeNode("a", 1000, 1, 2)).ok());
  ASSERT_TRUE(state.Place(state.Resolve(Request(500, 0, 1, 700)), NodeId(0), 1).ok());
  const Generation before = state.generation();
  const auto message = [&](const PodRequest& r, DeviceSet devices) {
    return std::string(state.Place(state.Resolve(r), NodeId(0), devices).message());
  };
  EXPECT_THAT(message(Request(501, 0), 0), HasSubstr("cpu_milli: want 501, free 500"));
  EXPECT_THAT(message(Request(0, 2), 0), HasSubstr("mem_bytes: want 2147483648, free 1073741824"));
  EXPECT_THAT(message(Request(0, 0, 1, 301), 1), HasSubstr("gpu_milli of device 0: want 301, free 300"));
  EXPECT_THAT(message(Request(0, 0, 1, 300), 4), HasSubstr("devices"));
  EXPECT_THAT(message(Request(0, 0, 1, 300), 3), HasSubstr("devices"));
  EXPECT_THAT(message(Request(0, 0, 2, 300), 1), HasSubstr("devices"));
  EXPECT_EQ(state.generation(), before);
  EXPECT_TRUE(state.CheckInvariants().ok());
}

// Trap T16: tenths of a device are exact in thousandths.
TEST(ClusterState, TenTenthsOfADeviceAreTheWholeDevice) {
  ClusterState state;
  ASSERT_TRUE(state.AddNode(MakeNode("a", 100000, 100, 1)).ok());
  const ResolvedRequest tenth = state.Resolve(Request(0, 0, 1, 100));
  for (int i = 0; i < 10; ++i) ASSERT_TRUE(state.Place(tenth, NodeId(0), 1).ok());
  EXPECT_EQ(state.node(NodeId(0)).gpu_milli[0], 0);
  EXPECT_FALSE(state.Place(state.Resolve(Request(0, 0, 1, 1)), NodeId(0), 1).ok());
  for (int i = 0; i < 10; ++i) ASSERT_TRUE(state.Remove(tenth, NodeId(0), 1).ok());
  EXPECT_EQ(state.node(NodeId(0)).gpu_milli[0], 1000);
  EXPECT_TRUE(state.Place(state.Resolve(Request(0, 0, 1, 1000)), NodeId(0), 1).ok());
}

// Trap T17: a device that is gone is not credited, and its index is not given out again.
TEST(ClusterState, ADeviceThatIsGoneStaysGone) {
  ClusterState state;
  ASSERT_TRUE(state.AddNode(MakeNode("a", 8000, 8, 2)).ok());
  const ResolvedRequest half = state.Resolve(Request(0, 0, 1, 500));
  ASSERT_TRUE(state.Place(half, NodeId(0), 2).ok());
  ASSERT_TRUE(state.UpdateNode(NodeId(0), MakeNode("a", 8000, 8, 1)).ok());
  EXPECT_EQ(state.DevicesAt(NodeId(0), 1), 1u);
  EXPECT_FALSE(state.Place(half, NodeId(0), 2).ok());
  EXPECT_FALSE(state.FitsExactly(NodeId(0), state.Resolve(Request(0, 0, 2, 1000))));
  ASSERT_TRUE(state.Remove(half, NodeId(0), 2).ok());
  EXPECT_EQ(state.node(NodeId(0)).gpu_milli[0], 1000);
  EXPECT_TRUE(state.CheckInvariants().ok()) << state.CheckInvariants();
}

TEST(ClusterState, ANodeThatShrinksUnderItsPodsHasNegativeFreeAndTakesNothing) {
  ClusterState state;
  ASSERT_TRUE(state.AddNode(MakeNode("a", 4000, 8)).ok());
  ASSERT_TRUE(state.Place(state.Resolve(Request(3000, 4)), NodeId(0), 0).ok());
  ASSERT_TRUE(state.UpdateNode(NodeId(0), MakeNode("a", 2000, 8)).ok());
  EXPECT_EQ(state.node(NodeId(0)).cpu_milli, -1000);
  EXPECT_FALSE(state.FitsExactly(NodeId(0), state.Resolve(Request(1, 0))));
  ASSERT_TRUE(state.Remove(state.Resolve(Request(3000, 4)), NodeId(0), 0).ok());
  EXPECT_EQ(state.node(NodeId(0)).cpu_milli, 2000);
  EXPECT_TRUE(state.CheckInvariants().ok()) << state.CheckInvariants();
}

TEST(ClusterState, ACordonedNodeTakesNothingAndKeepsWhatItHas) {
  ClusterState state;
  Node node;
  node.name = "a";
  node.cpu_milli = 4000;
  node.mem_bytes = int64_t{1} << 34;
  const auto id = state.AddNode(node);
  ASSERT_TRUE(id.ok());
  Pod pod;
  pod.request.cpu_milli = 1000;
  const ResolvedRequest request = state.Resolve(pod.request);
  ASSERT_TRUE(state.Place(request, *id, 0).ok());
  ASSERT_TRUE(state.Cordon(*id, true).ok());
  EXPECT_TRUE(state.Violation(*id, pod, request).has_value());
  EXPECT_EQ(state.used_cpu_milli(), 1000);
  ASSERT_TRUE(state.Cordon(*id, false).ok());
  EXPECT_FALSE(state.Violation(*id, pod, request).has_value());
  EXPECT_TRUE(state.CheckInvariants().ok()) << state.CheckInvariants();
  EXPECT_EQ(state.Cordon(NodeId(7), true).code(), absl::StatusCode::kNotFound);
}

TEST(ClusterState, BadNodesAreErrorsThatNameTheFieldAndChangeNothing) {
  ClusterState state;
  ASSERT_TRUE(state.AddNode(MakeNode("a", 1000, 1), 5).ok());
  const Generation before = state.generation();
  const auto error = [&](auto change, std::optional<uint32_t> rank = std::nullopt) {
    Node node = MakeNode("b", 1000, 1);
    change(node);
    return std::string(state.AddNode(node, rank).status().message());
  };
  EXPECT_THAT(error([](Node& n) { n.name = "a"; }), HasSubstr("node.name"));
  EXPECT_THAT(error([](Node& n) { n.name = ""; }), HasSubstr("node.name"));
  EXPECT_THAT(error([](Node& n) { n.name = std::string(254, 'x'); }), HasSubstr("254 bytes"));
  EXPECT_THAT(error([](Node& n) { n.cpu_milli = -1; }), HasSubstr("node.cpu_milli is \"-1\""));
  EXPECT_THAT(error([](Node& n) { n.mem_bytes = int64_t{1} << 60; }), HasSubstr("node.mem_bytes"));
  EXPECT_THAT(error([](Node& n) { n.gpu_count = 17; }), HasSubstr("from 0 to 16"));
  EXPECT_THAT(error([](Node& n) { n.weight = -1; }), HasSubstr("node.weight"));
  EXPECT_THAT(error([](Node& n) { n.position.x_ms = std::numeric_limits<double>::quiet_NaN(); }), HasSubstr("node.position"));
  EXPECT_THAT(error([](Node& n) { n.labels = {{"k", "1"}, {"k", "2"}}; }), HasSubstr("each key once"));
  EXPECT_THAT(error([](Node& n) { n.extended = {{"x", -5}}; }), HasSubstr("extended"));
  EXPECT_THAT(error([](Node&) {}, 5), HasSubstr("rank"));
  EXPECT_EQ(state.generation(), before);
  EXPECT_EQ(state.node_count(), 1u);
}

TEST(ClusterState, TaintsAreToleratedAsKubernetesDoes) {
  const Taint taint{"gpu", "yes", TaintEffect::kNoSchedule};
  const auto tolerates = [&](Toleration t) { return ToleratesTaints(std::vector<Taint>{taint}, std::vector<Toleration>{t}); };
  EXPECT_FALSE(ToleratesTaints(std::vector<Taint>{taint}, {}));
  EXPECT_TRUE(tolerates({"gpu", "yes", false, std::nullopt}));
  EXPECT_FALSE(tolerates({"gpu", "no", false, std::nullopt}));
  EXPECT_TRUE(tolerates({"gpu", "", true, TaintEffect::kNoSchedule}));
  EXPECT_FALSE(tolerates({"gpu", "", true, TaintEffect::kNoExecute}));
  EXPECT_TRUE(tolerates({"", "", true, std::nullopt}));
  EXPECT_FALSE(tolerates({"", "", false, std::nullopt}));
  EXPECT_TRUE(ToleratesTaints(std::vector<Taint>{{"x", "", TaintEffect::kPreferNoSchedule}}, {}));
}

// Random changes against a plain recomputation; CheckInvariants is the checker, and the last test its positive control.
TEST(ClusterStateProperty, IncrementalStateEqualsRecomputedState) {
  for (uint64_t seed = 0; seed < 20; ++seed) {
    Rng rng(seed);
    ClusterState::Options options;
    options.key_fields = {.pod_count = seed % 2 == 0, .gpu_affinity = seed % 3 == 0};
    ClusterState state(options);
    struct Placed {
      ResolvedRequest request;
      NodeId node;
      uint32_t incarnation;
      DeviceSet devices;
    };
    std::vector<Placed> placed;
    std::vector<std::string> names;
    for (int step = 0; step < 600; ++step) {
      const uint64_t kind = rng.Below(10);
      if (kind == 0 || names.empty()) {
        const std::string name = "n" + std::to_string(step);
        ASSERT_TRUE(state.AddNode(MakeNode(name, 1000 * static_cast<int64_t>(rng.Below(4) + 1), 16, static_cast<int32_t>(rng.Below(5)),
                                           rng.Below(2) == 0 ? "A" : "B")).ok());
        names.push_back(name);
      } else if (kind == 1 && names.size() > 3) {
        const size_t at = rng.Below(names.size());
        ASSERT_TRUE(state.RemoveNode(*state.FindNode(names[at])).ok());
        names.erase(names.begin() + static_cast<std::ptrdiff_t>(at));
      } else if (kind < 7) {
        const auto gpus = static_cast<int32_t>(rng.Below(3));
        const ResolvedRequest r = state.Resolve(Request(static_cast<int64_t>(rng.Below(800)), static_cast<int64_t>(rng.Below(4)), gpus,
                                                        gpus == 1 ? static_cast<int32_t>(100 * (1 + rng.Below(10))) : gpus * 500));
        const NodeId node = *state.FindNode(names[rng.Below(names.size())]);
        const bool fits = state.FitsExactly(node, r);
        const DeviceSet devices = fits ? state.DevicesAt(node, TightestDevices(state.state_class(state.view(node).class_id).state, r)) : 0;
        const absl::Status status = state.Place(r, node, devices);
        ASSERT_EQ(status.ok(), fits) << status;
        if (fits) placed.push_back({r, node, state.node(node).incarnation, devices});
      } else if (!placed.empty()) {
        const size_t at = rng.Below(placed.size());
        const Placed p = placed[at];
        placed.erase(placed.begin() + static_cast<std::ptrdiff_t>(at));
        if (state.node(p.node).is_present && state.node(p.node).incarnation == p.incarnation) {
          ASSERT_TRUE(state.Remove(p.request, p.node, p.devices).ok());
        }
      }
      if (step % 50 == 0) {
        ASSERT_TRUE(state.CheckInvariants().ok()) << state.CheckInvariants() << " seed " << seed << " step " << step;
      }
    }
    // A copy goes its own way.
    ClusterState copy = state;
    for (const Placed& p : placed) {
      if (copy.node(p.node).is_present && copy.node(p.node).incarnation == p.incarnation) {
        ASSERT_TRUE(copy.Remove(p.request, p.node, p.devices).ok());
      }
    }
    EXPECT_EQ(copy.used_cpu_milli(), 0);
    EXPECT_EQ(copy.active_nodes(), 0u);
    EXPECT_TRUE(copy.CheckInvariants().ok()) << copy.CheckInvariants();
    EXPECT_TRUE(state.CheckInvariants().ok());
  }
}

TEST(ClusterStateProperty, TheCheckerSeesACorruptedSum) {
  ClusterState state;
  ASSERT_TRUE(state.AddNode(MakeNode("a", 1000, 1)).ok());
  ASSERT_TRUE(state.CheckInvariants().ok());
  const_cast<ClusterState::NodeRecord&>(state.node(NodeId(0))).cpu_milli -= 1;  // the seeded bug
  EXPECT_FALSE(state.CheckInvariants().ok());
}

}  // namespace
}  // namespace berth

#include "policy/node_policy.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "base/status.h"
#include "cluster/cluster_state.h"

namespace berth {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

Node MakeNode(std::string name, int32_t weight = 1) {
  Node node;
  node.name = std::move(name);
  node.cpu_milli = 1'000'000'000;
  node.weight = weight;
  return node;
}

Pod SmallPod() {
  Pod pod;
  pod.id = "p";
  pod.request.cpu_milli = 1;
  return pod;
}

// Decides and places; the node's index, or -1 with the decision in `decision`.
int PlaceNext(Decider& decider, ClusterState* state, const Pod& pod, Decision* decision = nullptr) {
  const Decision d = decider.Decide(*state, pod, 1, {});
  if (decision != nullptr) *decision = d;
  if (!d.is_placed) return -1;
  EXPECT_TRUE(state->Place(state->Resolve(pod.request), d.node, d.devices).ok());
  return static_cast<int>(d.node.value);
}

std::vector<int> PlaceMany(Decider& decider, ClusterState* state, int count) {
  std::vector<int> nodes;
  for (int i = 0; i < count; ++i) nodes.push_back(PlaceNext(decider, state, SmallPod()));
  return nodes;
}

TEST(RoundRobin, TakesTurnsInRankOrderAndSkipsWhatDoesNotFit) {
  ClusterState state;
  ASSERT_TRUE(state.AddNode(MakeNode("a"), 7).ok());
  ASSERT_TRUE(state.AddNode(MakeNode("b"), 2).ok());
  ASSERT_TRUE(state.AddNode(MakeNode("c"), 4).ok());
  const auto decider = MakeRoundRobinPolicy()->NewDecider();
  EXPECT_THAT(PlaceMany(*decider, &state, 7), ElementsAre(1, 2, 0, 1, 2, 0, 1));
  Node cordoned = MakeNode("c");
  cordoned.is_unschedulable = true;
  ASSERT_TRUE(state.UpdateNode(NodeId(2), cordoned).ok());
  EXPECT_THAT(PlaceMany(*decider, &state, 3), ElementsAre(0, 1, 0));
  ASSERT_TRUE(state.RemoveNode(NodeId(0)).ok());
  EXPECT_THAT(PlaceMany(*decider, &state, 2), ElementsAre(1, 1));
}

TEST(RoundRobin, NamesTheNextInTurnAsRunnerUp) {
  ClusterState state;
  for (const char* name : {"a", "b", "c"}) ASSERT_TRUE(state.AddNode(MakeNode(name)).ok());
  const auto decider = MakeRoundRobinPolicy()->NewDecider();
  Decision d;
  EXPECT_EQ(PlaceNext(*decider, &state, SmallPod(), &d), 0);
  EXPECT_EQ(d.runner_up, NodeId(1));
  EXPECT_EQ(PlaceNext(*decider, &state, SmallPod(), &d), 1);
  EXPECT_EQ(d.runner_up, NodeId(2));
}

// Trap T34.
TEST(Weighted, WeightZeroTakesNothingAndTheCauseIsNamed) {
  for (int nodes : {1, 2}) {
    ClusterState state;
    for (int i = 0; i < nodes; ++i) ASSERT_TRUE(state.AddNode(MakeNode("n" + std::to_string(i), 0)).ok());
    const auto decider = MakeWeightedPolicy()->NewDecider();
    Decision d;
    EXPECT_EQ(PlaceNext(*decider, &state, SmallPod(), &d), -1);
    EXPECT_EQ(d.refused[static_cast<size_t>(Constraint::kPolicy)], static_cast<uint32_t>(nodes));
    EXPECT_EQ(d.feasible_nodes, 0u);
  }
  ClusterState state;
  for (int weight : {0, 3, 0})
    ASSERT_TRUE(state.AddNode(MakeNode("n" + std::to_string(state.node_count()), weight)).ok());
  const auto decider = MakeWeightedPolicy()->NewDecider();
  EXPECT_THAT(PlaceMany(*decider, &state, 4), ElementsAre(1, 1, 1, 1));
}

TEST(Weighted, SharesAreThoseOfTheWeights) {
  ClusterState state;
  ASSERT_TRUE(state.AddNode(MakeNode("a", 3)).ok());
  ASSERT_TRUE(state.AddNode(MakeNode("b", 1)).ok());
  const auto decider = MakeWeightedPolicy()->NewDecider();
  for (int cycle = 0; cycle < 50; ++cycle) {
    const std::vector<int> picks = PlaceMany(*decider, &state, 4);
    EXPECT_EQ(std::count(picks.begin(), picks.end(), 0), 3) << cycle;
  }
}

TEST(Weighted, NegativeWeightIsRefusedAtConfiguration) {
  ClusterState state;
  const auto added = state.AddNode(MakeNode("a", -1));
  EXPECT_EQ(added.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(MessageOf(added.status())), HasSubstr("weight"));
}

// Trap T33: a pick every 10 ms; B joins and ramps up over 10 s, leaves, and ramps up anew.
TEST(Weighted, ANewNodeRampsUpAndIsNeverStarved) {
  constexpr int64_t kSecond = 1'000'000, kPick = kSecond / 100;
  ClusterState::Options options;
  options.slow_start_us = 10 * kSecond;
  ClusterState state(options);
  ASSERT_TRUE(state.AddNode(MakeNode("A")).ok());
  const auto decider = MakeWeightedPolicy()->NewDecider();
  int64_t now = 100 * kSecond;
  state.set_now_us(now);
  PlaceMany(*decider, &state, 1000);
  for (int join = 0; join < 2; ++join) {
    SCOPED_TRACE(join);
    const auto b = state.AddNode(MakeNode("B"));
    ASSERT_TRUE(b.ok());
    std::vector<bool> is_b;
    for (int i = 0; i < 2000; ++i) {
      is_b.push_back(PlaceNext(*decider, &state, SmallPod()) == static_cast<int>(b->value));
      state.set_now_us(now += kPick);
    }
    const auto count = [&](int from, int to) { return std::count(is_b.begin() + from, is_b.begin() + to, true); };
    EXPECT_GE(count(0, 200), 1) << "the first 2 s";
    EXPECT_LT(count(0, 200), 60) << "it does ramp";
    EXPECT_GT(count(900, 1000), 35) << "second 9 to 10";
    EXPECT_GE(count(1000, 1100), 45) << "after the window";
    EXPECT_LE(count(1000, 1100), 55) << "after the window";
    ASSERT_TRUE(state.RemoveNode(*b).ok());
    PlaceMany(*decider, &state, 500);
  }
}

TEST(Weighted, WithNewNodesAloneNobodyIsStarved) {
  ClusterState::Options options;
  options.slow_start_us = 10'000'000;
  ClusterState state(options);
  ASSERT_TRUE(state.AddNode(MakeNode("A")).ok());
  ASSERT_TRUE(state.AddNode(MakeNode("B")).ok());
  const auto decider = MakeWeightedPolicy()->NewDecider();
  const std::vector<int> picks = PlaceMany(*decider, &state, 100);
  EXPECT_EQ(std::count(picks.begin(), picks.end(), 0), 50);
}

TEST(LeastResponseTime, TakesTheFastestAndTriesTheUnknownFirst) {
  ClusterState state;
  for (const char* name : {"a", "b", "c"}) ASSERT_TRUE(state.AddNode(MakeNode(name)).ok());
  const auto decider = MakeLeastResponseTimePolicy()->NewDecider();
  state.ReportResponse(NodeId(0), 900);
  state.ReportResponse(NodeId(1), 300);
  EXPECT_EQ(PlaceNext(*decider, &state, SmallPod()), 2) << "no sample yet";
  state.ReportResponse(NodeId(2), 500);
  Decision d;
  EXPECT_EQ(PlaceNext(*decider, &state, SmallPod(), &d), 1);
  EXPECT_EQ(d.score, -300);
  EXPECT_EQ(d.runner_up, NodeId(2));
  // One bad sample is smoothed, many are not.
  state.ReportResponse(NodeId(1), 1300);
  EXPECT_EQ(PlaceNext(*decider, &state, SmallPod()), 1) << "400 now";
  for (int i = 0; i < 20; ++i) state.ReportResponse(NodeId(1), 1300);
  EXPECT_EQ(PlaceNext(*decider, &state, SmallPod()), 2);
  // What is no time is no sample.
  for (double bad : {-1.0, std::nan(""), HUGE_VAL}) state.ReportResponse(NodeId(2), bad);
  EXPECT_EQ(state.view(NodeId(2)).response_us, 500);
}

TEST(MinimumLatency, TakesTheNodeNearestToThePodsCallers) {
  ClusterState state;
  const Coordinates places[] = {{0, 0, 0, 1}, {30, 40, 0, 1}, {29, 40, 0, 9}};
  for (const Coordinates& place : places) {
    Node node = MakeNode("n" + std::to_string(state.node_count()));
    node.position = place;
    ASSERT_TRUE(state.AddNode(node).ok());
  }
  const auto decider = MakeMinimumLatencyPolicy()->NewDecider();
  Pod pod = SmallPod();
  pod.origin = {1, 0, 0, 2};
  Decision d;
  EXPECT_EQ(PlaceNext(*decider, &state, pod, &d), 0);
  EXPECT_DOUBLE_EQ(d.score, -(1 + 1 + 2)) << "distance and both heights";
  pod.origin = {30, 37, 0, 0};
  EXPECT_EQ(PlaceNext(*decider, &state, pod, &d), 1) << "the height of the third outweighs its place";
  EXPECT_DOUBLE_EQ(d.score, -(3 + 1));
}

TEST(MinimumDistance, PrefersTheRackThenTheZoneThenTheRest) {
  ClusterState state;
  const std::pair<const char*, const char*> places[] = {{"z1", "r1"}, {"z2", "r1"}, {"z2", "r2"}, {"z2", "r2"}};
  for (const auto& [zone, rack] : places) {
    Node node = MakeNode("n" + std::to_string(state.node_count()));
    node.zone = zone;
    node.rack = rack;
    node.max_pods = 1;
    ASSERT_TRUE(state.AddNode(node).ok());
  }
  const auto decider = MakeMinimumDistancePolicy()->NewDecider();
  Pod pod = SmallPod();
  pod.zone = "z2";
  pod.rack = "r2";
  Decision d;
  EXPECT_EQ(PlaceNext(*decider, &state, pod, &d), 2);
  EXPECT_EQ(d.score, 0);
  EXPECT_EQ(d.tied_nodes, 2u);
  EXPECT_EQ(PlaceNext(*decider, &state, pod), 3);
  EXPECT_EQ(PlaceNext(*decider, &state, pod, &d), 1);
  EXPECT_EQ(d.score, -1);
  EXPECT_EQ(PlaceNext(*decider, &state, pod, &d), 0) << "a rack of that name in another zone is far";
  EXPECT_EQ(d.score, -2);
  EXPECT_EQ(PlaceNext(*decider, &state, pod, &d), -1);
  EXPECT_EQ(d.refused[static_cast<size_t>(Constraint::kPodSlots)], 4u);
}

TEST(MinimumDistance, APodWithoutAPlaceIsNearNothing) {
  ClusterState state;
  for (const char* zone : {"z1", ""}) {
    Node node = MakeNode("n" + std::to_string(state.node_count()));
    node.zone = zone;
    ASSERT_TRUE(state.AddNode(node).ok());
  }
  const auto decider = MakeMinimumDistancePolicy()->NewDecider();
  Decision d;
  EXPECT_EQ(PlaceNext(*decider, &state, SmallPod(), &d), 0);
  EXPECT_EQ(d.score, -2);
  EXPECT_EQ(d.tied_nodes, 2u) << "an unnamed zone is not the pod's";
}

}  // namespace
}  // namespace berth

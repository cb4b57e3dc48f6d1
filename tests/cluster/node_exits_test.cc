#include "cluster/node_exits.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "base/rng.h"
#include "cluster/ledger.h"
#include "cluster/lifetimes.h"

namespace berth {
namespace {

constexpr int64_t kSecond = 1'000'000;

PodRequest Request(int64_t cpu_milli) {
  PodRequest request;
  request.cpu_milli = cpu_milli;
  return request;
}

ResolvedRequest Resolved(int64_t cpu_milli) {
  ResolvedRequest r;
  r.cpu_milli = cpu_milli;
  return r;
}

Node NodeNamed(std::string name) {
  Node node;
  node.name = std::move(name);
  node.cpu_milli = 100'000;
  node.mem_bytes = int64_t{1} << 34;
  return node;
}

TEST(Lifetimes, AnHourIsExpectedOfEveryAgeBeforeAnythingWasSeen) {
  Lifetimes lifetimes;
  const uint32_t life = lifetimes.ClassOf(Resolved(1));
  for (double age : {0.0, 59.0, 60.0, 1e4, 1e7}) EXPECT_NEAR(lifetimes.MeanRemainingS(life, age), 3600, 1e-6) << age;
}

TEST(Lifetimes, LearnsAMeanAndThatOldPodsLiveLongerWhereLivesAreOfTwoKinds) {
  Lifetimes lifetimes;
  const uint32_t one = lifetimes.ClassOf(Resolved(1)), mixed = lifetimes.ClassOf(Resolved(2));
  EXPECT_NE(one, mixed);
  EXPECT_EQ(one, lifetimes.ClassOf(Resolved(1)));
  Rng rng(5);
  for (int i = 0; i < 20'000; ++i) {
    const double plain = rng.Exponential(600), other = rng.Exponential(i % 10 == 0 ? 20'000 : 60);
    lifetimes.Lived(one, 0, plain), lifetimes.Ended(one, plain);
    lifetimes.Lived(mixed, 0, other), lifetimes.Ended(mixed, other);
  }
  EXPECT_NEAR(lifetimes.MeanRemainingS(one, 0), 600, 30);
  EXPECT_NEAR(lifetimes.MeanRemainingS(one, 900), 600, 60);
  EXPECT_NEAR(lifetimes.MeanRemainingS(mixed, 0), 0.9 * 60 + 0.1 * 20'000, 300);
  EXPECT_NEAR(lifetimes.MeanRemainingS(mixed, 2000), 20'000, 4000);
}

TEST(Lifetimes, CountsPodsThatStillRun) {
  Lifetimes seen, blind;
  const uint32_t a = seen.ClassOf(Resolved(1)), b = blind.ClassOf(Resolved(1));
  for (int i = 0; i < 1000; ++i) {   // a tenth ended after 50 s, the others have lived 10,000 s and go on
    seen.Lived(a, 0, i % 10 == 0 ? 50 : 10'000);
    if (i % 10 != 0) continue;
    seen.Ended(a, 50);
    blind.Lived(b, 0, 50), blind.Ended(b, 50);
  }
  EXPECT_LT(blind.MeanRemainingS(b, 0), 1500);
  EXPECT_GT(seen.MeanRemainingS(a, 0), 10'000);
}

TEST(Lifetimes, SeeingALifeInPiecesIsSeeingItWhole) {
  Lifetimes whole, pieces;
  const uint32_t a = whole.ClassOf(Resolved(1)), b = pieces.ClassOf(Resolved(1));
  whole.Lived(a, 0, 5000), whole.Ended(a, 5000);
  for (double at = 0; at < 5000; at += 12.5) pieces.Lived(b, at, at + 12.5);
  pieces.Ended(b, 5000);
  for (double age : {0.0, 100.0, 5000.0, 1e6}) EXPECT_NEAR(whole.MeanRemainingS(a, age), pieces.MeanRemainingS(b, age), 1e-6);
}

TEST(Lifetimes, AClassOfFewPodsLeansOnAllAndManyClassesShareOne) {
  Lifetimes lifetimes;
  const uint32_t common = lifetimes.ClassOf(Resolved(1)), rare = lifetimes.ClassOf(Resolved(2));
  for (int i = 0; i < 5000; ++i) lifetimes.Lived(common, 0, 30), lifetimes.Ended(common, 30);
  EXPECT_LT(lifetimes.MeanRemainingS(rare, 0), 600);   // never seen, but all others end within the first minute
  for (int64_t cpu = 10; cpu < 10 + static_cast<int64_t>(Lifetimes::kMostClasses) + 5; ++cpu) lifetimes.ClassOf(Resolved(cpu));
  EXPECT_EQ(lifetimes.ClassOf(Resolved(1'000'000)), lifetimes.ClassOf(Resolved(2'000'000)));
  ResolvedRequest again = Resolved(1);
  again.exit_class = 7;   // what was learned is no other class
  EXPECT_EQ(lifetimes.ClassOf(again), common);
}

TEST(NodeExits, ClassesArePowersOfTwoMinutes) {
  const std::vector<std::pair<double, int>> cases = {{0, 0}, {-5, 0}, {1, 1}, {59, 1}, {60, 2}, {179, 2}, {180, 3}, {3600, 6}, {1e12, 15}};
  for (const auto& [seconds, want] : cases) EXPECT_EQ(NodeExits::ExitClass(seconds), want) << seconds;
}

class NodeExitsTest : public ::testing::Test {
 protected:
  NodeExitsTest() {
    ClusterState::Options options;
    options.key_fields.exit_class = true;
    state_ = ClusterState(options);
    for (const char* name : {"a", "b"}) nodes_.push_back(*state_.AddNode(NodeNamed(name)));
  }
  int ClassOf(int node) const { return state_.state_class(state_.view(nodes_[static_cast<size_t>(node)]).class_id).state.exit_class; }
  void Place(uint32_t pod, int64_t cpu, int node, int64_t now_s) {
    const ResolvedRequest request = state_.Resolve(Request(cpu));
    ASSERT_TRUE(state_.Place(request, nodes_[static_cast<size_t>(node)], 0).ok());
    exits_.Came(pod, request, nodes_[static_cast<size_t>(node)], now_s * kSecond, &state_);
  }
  ClusterState state_;
  std::vector<NodeId> nodes_;
  NodeExits exits_;
};

TEST_F(NodeExitsTest, ANodeIsAsLateAsItsLongestPodAndEmptyOnesAreZero) {
  EXPECT_EQ(ClassOf(0), 0);
  Place(0, 1000, 0, 0);
  EXPECT_EQ(ClassOf(0), 6);   // an hour, as long as nothing was learned
  for (int i = 0; i < 500; ++i) {   // pods of another kind end after a minute
    Place(1, 2000, 1, 10 * i);
    ASSERT_TRUE(state_.Remove(state_.Resolve(Request(2000)), nodes_[1], 0).ok());
    exits_.Went(1, true, (10 * i + 5) * kSecond, &state_);
  }
  EXPECT_EQ(ClassOf(1), 0);
  EXPECT_LE(state_.Resolve(Request(2000)).exit_class, 2u);
  Place(1, 2000, 1, 6000);
  EXPECT_LE(ClassOf(1), 2);
  Place(2, 1000, 1, 6000);
  const int with_both = ClassOf(1);
  EXPECT_GE(with_both, 1);
  exits_.Went(2, false, 6001 * kSecond, &state_);
  EXPECT_LE(ClassOf(1), with_both);
  EXPECT_TRUE(state_.CheckInvariants().ok());
}

TEST_F(NodeExitsTest, RefreshSeesPodsGrowOld) {
  for (int i = 0; i < 400; ++i) {   // nine of ten end within a minute, the tenth lives on for hours
    const int64_t life = i % 10 == 0 ? 20'000 : 30;
    Place(0, 1000, 0, 0);
    ASSERT_TRUE(state_.Remove(state_.Resolve(Request(1000)), nodes_[0], 0).ok());
    exits_.Went(0, true, life * kSecond, &state_);
  }
  Place(0, 1000, 1, 0);
  const int young = ClassOf(1);
  exits_.Refresh(2, 2000 * kSecond, &state_);
  EXPECT_GT(ClassOf(1), young);
}

TEST_F(NodeExitsTest, StateAfterTakesTheLaterOfNodeAndPod) {
  Place(0, 1000, 0, 0);
  const NodeState before = state_.state_class(state_.view(nodes_[0]).class_id).state;
  ResolvedRequest request = state_.Resolve(Request(500));
  request.exit_class = 2;
  EXPECT_EQ(StateAfter(before, request, 0, 1, state_.options().key_fields).exit_class, before.exit_class);
  request.exit_class = 9;
  EXPECT_EQ(StateAfter(before, request, 0, 1, state_.options().key_fields).exit_class, 9);
  EXPECT_EQ(StateAfter(before, request, 0, 1, {}).exit_class, before.exit_class);
}

TEST(Ledger, KnowsWhenNodesWillBeEmptyThroughAllThatMayHappenToAPod) {
  ManualClock clock;
  Ledger::Options options;
  options.clock = &clock;
  options.cluster.key_fields.exit_class = true;
  Ledger ledger(options);
  const auto exit_class = [&](std::string_view node) {
    int value = -1;
    ledger.Read([&](const ClusterState& state) { value = state.state_class(state.view(*state.FindNode(node)).class_id).state.exit_class; });
    return value;
  };
  const auto pod = [](std::string id) {
    Pod p;
    p.id = std::move(id);
    p.request = Request(1000);
    return p;
  };
  for (const char* name : {"a", "b"}) ASSERT_TRUE(ledger.AddNode(NodeNamed(name)).ok());
  EXPECT_EQ(exit_class("a"), 0);
  for (int i = 0; i < 300; ++i) {   // most end after half a minute
    ASSERT_TRUE(ledger.Assume(pod("short"), "b", 0).ok());
    clock.Advance(30 * kSecond);
    ASSERT_TRUE(ledger.Release("short").ok());
  }
  EXPECT_EQ(exit_class("b"), 0);
  ASSERT_TRUE(ledger.Assume(pod("p"), "a", 0).ok());
  const int young = exit_class("a");
  EXPECT_GT(young, 0);
  clock.Advance(5000 * kSecond);
  ASSERT_TRUE(ledger.Assume(pod("q"), "b", 0).ok());   // any placement has a look round
  EXPECT_GT(exit_class("a"), young);
  ASSERT_TRUE(ledger.Apply(std::vector<Change>{RunPod{{pod("p"), "b", 0}}}).ok());   // reported elsewhere
  EXPECT_EQ(exit_class("a"), 0);
  EXPECT_GT(exit_class("b"), 0);
  ASSERT_TRUE(ledger.RemoveNode("b").ok());
  ASSERT_TRUE(ledger.AddNode(NodeNamed("b")).ok());    // its pods come back with it
  EXPECT_GT(exit_class("b"), 0);
  for (const char* id : {"p", "q"}) ASSERT_TRUE(ledger.Release(id).ok());
  EXPECT_EQ(exit_class("b"), 0);
  EXPECT_TRUE(ledger.CheckInvariants().ok()) << ledger.CheckInvariants();
}

TEST(NodeExits, WithoutTheKeyFieldNothingIsToldApart) {
  ClusterState state;
  const NodeId a = *state.AddNode(NodeNamed("a")), b = *state.AddNode(NodeNamed("b"));
  state.SetExitClass(a, 5);
  state.SetExitClass(state.Resolve(Request(1)), 5);
  EXPECT_EQ(state.view(a).class_id, state.view(b).class_id);
  EXPECT_EQ(state.Resolve(Request(1)).exit_class, 0u);
  state.KeyBy({.exit_class = true});   // what was learned before counts from now on
  EXPECT_NE(state.view(a).class_id, state.view(b).class_id);
  EXPECT_EQ(state.Resolve(Request(1)).exit_class, 5u);
  EXPECT_TRUE(state.CheckInvariants().ok());
}

}  // namespace
}  // namespace berth

#include "policy/class_policy.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <map>
#include <numeric>

#include "base/rng.h"
#include "conformance/policy_kit.h"
#include "policy/potential/model_dir.h"
#include "policy/registry.h"
#include "policy/rules/scorers.h"

namespace berth {
namespace {

constexpr int64_t kGib = int64_t{1} << 30;

Node MakeNode(std::string name, int64_t cpu_milli, int64_t mem_bytes, int32_t gpus = 0, std::string model = "") {
  Node node;
  node.name = std::move(name);
  node.cpu_milli = cpu_milli;
  node.mem_bytes = mem_bytes;
  node.gpu_count = gpus;
  node.gpu_model = std::move(model);
  return node;
}

Pod MakePod(int64_t cpu_milli, int64_t mem_bytes, int32_t gpus = 0, int32_t milli = 0) {
  Pod pod;
  pod.id = "p";
  pod.request.cpu_milli = cpu_milli;
  pod.request.mem_bytes = mem_bytes;
  pod.request.gpu_count = gpus;
  pod.request.gpu_milli = milli;
  return pod;
}

ClusterState Cluster(const std::vector<Node>& nodes) {
  ClusterState state;
  for (const Node& node : nodes) EXPECT_TRUE(state.AddNode(node).ok()) << state.AddNode(node).status();
  return state;
}

// The score is the free cpu of the node: what is best is known without thinking.
class FreeCpuScorer : public ClassScorer {
 public:
  Scored Score(const Shape&, const NodeState& state, const ResolvedRequest& request) override {
    return {static_cast<double>(state.cpu_milli), TightestDevices(state, request), 0};
  }
};

std::shared_ptr<const Policy> PolicyOf(ClassScorerFactory scorer, TieRule tie) {
  ClassPolicySpec spec;
  spec.info.name = "test";
  spec.scorer = std::move(scorer);
  spec.tie = tie;
  return MakeClassPolicy(std::move(spec));
}

std::shared_ptr<const Policy> Constant(TieRule tie) {
  return PolicyOf([] { return MakeConstantScorer(false); }, tie);
}

std::shared_ptr<const Policy> FreeCpu() {
  return PolicyOf([] { return std::make_unique<FreeCpuScorer>(); }, TieRule::kLowestRank);
}

Decision Decide(const Policy& policy, const ClusterState& state, const Pod& pod, uint64_t seed = 1) {
  return policy.NewDecider()->Decide(state, pod, seed, {.count_nodes = true});
}

uint32_t Refused(const Decision& decision, Constraint constraint) {
  return decision.refused[static_cast<size_t>(constraint)];
}

TEST(TieRules, LowestRankTakesTheFirstNodeWhateverItsClass) {
  ClusterState state;
  ASSERT_TRUE(state.AddNode(MakeNode("late", 8000, 4 * kGib), 9).ok());
  ASSERT_TRUE(state.AddNode(MakeNode("first", 8000, 8 * kGib), 2).ok());
  ASSERT_TRUE(state.AddNode(MakeNode("second", 8000, 4 * kGib), 5).ok());
  const Decision d = Decide(*Constant(TieRule::kLowestRank), state, MakePod(1000, kGib));
  ASSERT_TRUE(d.is_placed);
  EXPECT_EQ(state.node(d.node).spec.name, "first");
  EXPECT_EQ(d.tied_nodes, 3u);
}

TEST(TieRules, LeastFreeMemoryTakesItsClassAndThenTheLowestRank) {
  const ClusterState state = Cluster({MakeNode("a", 8000, 8 * kGib), MakeNode("b", 8000, 4 * kGib),
                                      MakeNode("c", 8000, 4 * kGib), MakeNode("d", 8000, 16 * kGib)});
  const auto policy = Constant(TieRule::kLeastFreeMemory);
  EXPECT_EQ(Decide(*policy, state, MakePod(1000, kGib)).node, NodeId(1));
  EXPECT_EQ(Decide(*policy, state, MakePod(1000, 6 * kGib)).node, NodeId(0)) << "only among nodes that fit";
  EXPECT_EQ(policy->info().tie_rule, "least-free-memory, then lowest-rank");
}

TEST(TieRules, UniformTakesEveryTiedNodeAlikeAndFollowsTheSeed) {
  // Three nodes of one class and one of another: by node, not by class.
  const ClusterState state = Cluster({MakeNode("a", 8000, 8 * kGib), MakeNode("b", 8000, 8 * kGib),
                                      MakeNode("c", 8000, 8 * kGib), MakeNode("d", 8000, 4 * kGib)});
  const auto policy = Constant(TieRule::kUniform);
  const auto decider = policy->NewDecider();
  std::map<uint32_t, int> times;
  for (uint64_t seed = 0; seed < 4000; ++seed) {
    const Decision d = decider->Decide(state, MakePod(1000, kGib), seed, {});
    ++times[d.node.value];
    EXPECT_EQ(decider->Decide(state, MakePod(1000, kGib), seed, {}).node, d.node);
  }
  ASSERT_EQ(times.size(), 4u);
  // 1000 expected, standard deviation 27.
  for (const auto& [node, count] : times) EXPECT_NEAR(count, 1000, 140) << node;
}

TEST(TieRules, AnotherRuleBreaksTiesFirst) {
  const ClusterState state =
      Cluster({MakeNode("a", 4000, 8 * kGib), MakeNode("b", 16000, 8 * kGib), MakeNode("c", 16000, 4 * kGib)});
  ClassPolicySpec spec;
  spec.scorer = [] { return MakeConstantScorer(false); };
  spec.tie_scorer = [] { return std::make_unique<FreeCpuScorer>(); };
  spec.tie_scorer_name = "free-cpu";
  spec.tie = TieRule::kLeastFreeMemory;
  const auto policy = MakeClassPolicy(std::move(spec));
  EXPECT_EQ(policy->info().tie_rule, "free-cpu, then least-free-memory, then lowest-rank");
  EXPECT_EQ(Decide(*policy, state, MakePod(1000, kGib)).node, NodeId(2));
}

TEST(TieRules, NamesRoundTripAndNothingElseIsOne) {
  for (TieRule tie : {TieRule::kLowestRank, TieRule::kUniform, TieRule::kLeastFreeMemory}) {
    EXPECT_EQ(ParseTieRule(TieRuleName(tie)), tie);
  }
  EXPECT_EQ(ParseTieRule("Uniform"), std::nullopt);
  EXPECT_EQ(ParseTieRule(""), std::nullopt);
}

TEST(RunnerUp, IsTheBestNodeOfAnotherClass) {
  const ClusterState state = Cluster(
      {MakeNode("a", 8000, kGib), MakeNode("b", 16000, kGib), MakeNode("c", 16000, kGib), MakeNode("d", 4000, kGib)});
  const Decision d = Decide(*FreeCpu(), state, MakePod(1000, 0));
  EXPECT_EQ(d.node, NodeId(1));
  EXPECT_EQ(d.score, 16000);
  EXPECT_EQ(d.tied_nodes, 2u);
  ASSERT_TRUE(d.has_runner_up);
  EXPECT_EQ(d.runner_up, NodeId(0));
  EXPECT_EQ(d.runner_up_score, 8000);
}

TEST(RunnerUp, MayTieWithTheBestAndIsAbsentWhereThereIsOneClass) {
  const ClusterState two = Cluster({MakeNode("a", 8000, kGib), MakeNode("b", 8000, 2 * kGib)});
  const Decision tie = Decide(*FreeCpu(), two, MakePod(1000, 0));
  ASSERT_TRUE(tie.has_runner_up);
  EXPECT_EQ(tie.runner_up, NodeId(1));
  EXPECT_EQ(tie.runner_up_score, tie.score);
  const ClusterState one = Cluster({MakeNode("a", 8000, kGib), MakeNode("b", 8000, kGib)});
  EXPECT_FALSE(Decide(*FreeCpu(), one, MakePod(1000, 0)).has_runner_up);
}

TEST(Masks, SelectorsTaintsAndCordonsRestrictOneDecisionAndItsRunnerUp) {
  std::vector<Node> nodes;
  for (int i = 0; i < 5; ++i) nodes.push_back(MakeNode("n" + std::to_string(i), 4000 + 4000 * i, 8 * kGib));
  nodes[4].is_unschedulable = true;
  nodes[3].taints = {{"dedicated", "db", TaintEffect::kNoSchedule}};
  nodes[2].taints = {{"flaky", "", TaintEffect::kPreferNoSchedule}};
  nodes[1].labels = nodes[3].labels = {{"disk", "ssd"}};
  const ClusterState state = Cluster(nodes);
  const auto policy = FreeCpu();
  const auto decider = policy->NewDecider();

  const Decision plain = decider->Decide(state, MakePod(1000, 0), 1, {.count_nodes = true});
  EXPECT_EQ(plain.node, NodeId(2)) << "a preference is no refusal";
  EXPECT_EQ(plain.runner_up, NodeId(1));
  EXPECT_EQ(plain.feasible_nodes, 3u);
  EXPECT_EQ(Refused(plain, Constraint::kUnschedulable), 1u);
  EXPECT_EQ(Refused(plain, Constraint::kTaint), 1u);

  Pod tolerant = MakePod(1000, 0);
  tolerant.tolerations = {{"dedicated", "db", false, TaintEffect::kNoSchedule}};
  EXPECT_EQ(decider->Decide(state, tolerant, 1, {}).node, NodeId(3));

  Pod selective = MakePod(1000, 0);
  selective.node_selector = {{"disk", "ssd"}};
  const Decision ssd = decider->Decide(state, selective, 1, {.count_nodes = true});
  EXPECT_EQ(ssd.node, NodeId(1));
  EXPECT_FALSE(ssd.has_runner_up);
  EXPECT_EQ(Refused(ssd, Constraint::kSelector), 2u);

  selective.node_selector = {{"disk", "tape"}};
  const Decision none = decider->Decide(state, selective, 1, {});
  EXPECT_FALSE(none.is_placed);
  EXPECT_EQ(Refused(none, Constraint::kSelector), 3u);
  // The mask of one pod is not the next one's.
  EXPECT_EQ(decider->Decide(state, MakePod(1000, 0), 1, {}).node, NodeId(2));
}

TEST(Masks, FollowChangesOfLabelsAndCordons) {
  ClusterState state = Cluster({MakeNode("a", 4000, kGib), MakeNode("b", 8000, kGib), MakeNode("c", 2000, kGib)});
  const auto policy = FreeCpu();
  const auto decider = policy->NewDecider();
  const auto chosen = [&](const Pod& pod) { return decider->Decide(state, pod, 1, {}).node; };
  const auto change = [&](uint32_t node, const std::function<void(Node*)>& edit) {
    Node spec = state.node(NodeId(node)).spec;
    edit(&spec);
    ASSERT_TRUE(state.UpdateNode(NodeId(node), spec).ok());
  };
  EXPECT_EQ(chosen(MakePod(1000, 0)), NodeId(1));
  change(1, [](Node* n) { n->is_unschedulable = true; });
  EXPECT_EQ(chosen(MakePod(1000, 0)), NodeId(0));
  change(0, [](Node* n) { n->taints = {{"x", "", TaintEffect::kNoSchedule}}; });
  EXPECT_EQ(chosen(MakePod(1000, 0)), NodeId(2));
  change(1, [](Node* n) { n->is_unschedulable = false; });
  EXPECT_EQ(chosen(MakePod(1000, 0)), NodeId(1)) << "a is still tainted";

  Pod selective = MakePod(1000, 0);
  selective.node_selector = {{"disk", "ssd"}};
  EXPECT_FALSE(chosen(selective).is_valid());
  change(2, [](Node* n) { n->labels = {{"disk", "ssd"}}; });
  EXPECT_EQ(chosen(selective), NodeId(2));
  Node added = MakeNode("d", 9000, kGib);
  added.labels = {{"disk", "ssd"}};
  const auto id = state.AddNode(added);
  ASSERT_TRUE(id.ok());
  EXPECT_EQ(chosen(selective), *id);
}

// Nodes of one class may differ by less than the grain of memory; the one that is chosen must hold the pod to the byte.
TEST(Memory, IsExactToTheByteInsideAClass) {
  ClusterState state = Cluster(
      {MakeNode("a", 8000, 8 * kGib), MakeNode("b", 8000, 8 * kGib + 4096), MakeNode("c", 8000, 8 * kGib + 8192)});
  ASSERT_EQ(state.occupied().size(), 1u);
  const auto policy = FreeCpu();
  const auto decider = policy->NewDecider();
  for (const auto& [bytes, node, feasible] :
       {std::tuple{8 * kGib, 0u, 3u}, {8 * kGib + 1, 1u, 2u}, {8 * kGib + 4096, 1u, 2u}, {8 * kGib + 4097, 2u, 1u}}) {
    const Decision d = decider->Decide(state, MakePod(1000, bytes), 1, {.count_nodes = true});
    ASSERT_TRUE(d.is_placed) << bytes;
    EXPECT_EQ(d.node, NodeId(node)) << bytes;
    EXPECT_EQ(d.feasible_nodes, feasible) << bytes;
    EXPECT_EQ(Refused(d, Constraint::kMemory), 3 - feasible) << bytes;
  }
  const Decision none = decider->Decide(state, MakePod(1000, 8 * kGib + 8193), 1, {});
  EXPECT_FALSE(none.is_placed);
  EXPECT_EQ(Refused(none, Constraint::kMemory), 3u);
}

TEST(Refusals, AreCountedUnderTheFirstViolatedConstraint) {
  std::vector<Node> nodes(9, MakeNode("", 8000, 8 * kGib, 2, "A"));
  for (size_t i = 0; i < nodes.size(); ++i) {
    nodes[i].name = "n" + std::to_string(i);
    nodes[i].labels = {{"disk", "ssd"}};
    nodes[i].extended = {{"nic", 1}};
  }
  nodes[0].is_unschedulable = true;
  nodes[1].taints = {{"x", "", TaintEffect::kNoExecute}};
  nodes[2].labels.clear();
  nodes[3].gpu_model = "B";
  nodes[4].max_pods = 0;
  nodes[5].cpu_milli = 999;
  nodes[6].mem_bytes = kGib - 1;
  nodes[7].gpu_count = 1;
  nodes[8].extended.clear();
  const ClusterState state = Cluster(nodes);
  Pod pod = MakePod(1000, kGib, 2, 500);
  pod.request.gpu_models = {"A"};
  pod.request.extended = {{"nic", 1}};
  pod.node_selector = {{"disk", "ssd"}};
  const Decision d = Decide(*FreeCpu(), state, pod);
  EXPECT_FALSE(d.is_placed);
  EXPECT_EQ(d.feasible_nodes, 0u);
  for (Constraint c :
       {Constraint::kUnschedulable, Constraint::kTaint, Constraint::kSelector, Constraint::kGpuModel,
        Constraint::kPodSlots, Constraint::kCpu, Constraint::kMemory, Constraint::kGpu, Constraint::kExtended}) {
    EXPECT_EQ(Refused(d, c), 1u) << ConstraintName(c);
  }
}

TEST(Refusals, AnEmptyClusterPlacesNothingAndRefusesNothing) {
  const Decision d = Decide(*FreeCpu(), ClusterState(), MakePod(1000, kGib));
  EXPECT_FALSE(d.is_placed);
  EXPECT_EQ(std::accumulate(d.refused.begin(), d.refused.end(), 0u), 0u);
}

TEST(Devices, TheLowestIndexAmongEqualOnesOrARandomOne) {
  const ClusterState state = Cluster({MakeNode("a", 8000, 8 * kGib, 4, "A")});
  ClassPolicySpec spec;
  spec.scorer = [] { return MakeConstantScorer(true); };
  const auto lowest = MakeClassPolicy(spec);
  spec.random_device = true;
  const auto random = MakeClassPolicy(spec);
  std::map<DeviceSet, int> times;
  for (uint64_t seed = 0; seed < 2000; ++seed) {
    EXPECT_EQ(Decide(*lowest, state, MakePod(1000, 0, 1, 500), seed).devices, 0b0001u);
    ++times[Decide(*random, state, MakePod(1000, 0, 1, 500), seed).devices];
  }
  ASSERT_EQ(times.size(), 4u);
  for (const auto& [devices, count] : times) EXPECT_NEAR(count, 500, 100) << devices;
}

// A warm decider follows its cluster through anything; a fresh one is the oracle.
class WarmDecider : public ::testing::Test {
 protected:
  void ExpectFresh(const ClusterState& state, const Pod& pod) {
    test::ExpectSameDecision(warm_->Decide(state, pod, 7, {.count_nodes = true}), Decide(*policy_, state, pod, 7));
  }
  ClusterState state_ =
      Cluster({MakeNode("a", 64000, 64 * kGib), MakeNode("b", 32000, 32 * kGib), MakeNode("c", 48000, 96 * kGib)});
  const std::shared_ptr<const Policy> policy_ = *MakePolicy("best-fit", {});
  const std::unique_ptr<Decider> warm_ = policy_->NewDecider();
};

TEST_F(WarmDecider, CatchesUpAfterMoreChangesThanAreLogged) {
  const Pod pod = MakePod(3000, kGib);
  ExpectFresh(state_, pod);
  Rng rng(3);
  const ResolvedRequest small = state_.Resolve(MakePod(100, kGib / 8).request);
  std::vector<NodeId> running;
  const uint64_t before = state_.change_count();
  while (state_.change_count() - before <= ClusterState::kChangeLog + 1000) {
    if (!running.empty() && rng.Below(2) == 0) {
      std::swap(running[rng.Below(running.size())], running.back());
      ASSERT_TRUE(state_.Remove(small, running.back(), 0).ok());
      running.pop_back();
    } else {
      const NodeId node(static_cast<uint32_t>(rng.Below(3)));
      if (!state_.FitsExactly(node, small)) continue;
      ASSERT_TRUE(state_.Place(small, node, 0).ok());
      running.push_back(node);
    }
  }
  ExpectFresh(state_, pod);
}

TEST_F(WarmDecider, ForgetsPodClassesWithoutAChangeOfAnswer) {
  const Pod pod = MakePod(3000, kGib);
  ExpectFresh(state_, pod);
  for (int i = 0; i < 5000; ++i) warm_->Decide(state_, MakePod(1 + i, kGib), 1, {});
  ExpectFresh(state_, pod);
}

TEST_F(WarmDecider, AnswersForAnotherClusterAndThenForTheFirstAgain) {
  const Pod pod = MakePod(3000, kGib);
  ClusterState other = Cluster({MakeNode("x", 4000, 4 * kGib, 2, "A"), MakeNode("y", 2000, 4 * kGib)});
  ClusterState empty;
  ExpectFresh(state_, pod);
  ExpectFresh(other, pod);
  ExpectFresh(empty, pod);
  ExpectFresh(state_, pod);
}

// Two copies that went different ways count the same number of changes, of different classes.
TEST_F(WarmDecider, DoesNotTakeACopyThatWentAnotherWayForTheOriginal) {
  const Pod pod = MakePod(3000, kGib);
  ExpectFresh(state_, pod);
  ClusterState copy = state_;
  const ResolvedRequest big = state_.Resolve(MakePod(31000, kGib).request);
  ASSERT_TRUE(state_.Place(big, NodeId(0), 0).ok());
  ExpectFresh(state_, pod);
  ASSERT_TRUE(copy.Place(big, NodeId(1), 0).ok());
  ASSERT_EQ(copy.change_count(), state_.change_count());
  ASSERT_NE(Decide(*policy_, copy, pod).score, Decide(*policy_, state_, pod).score) << "a mix-up would be seen";
  ExpectFresh(copy, pod);
  ExpectFresh(state_, pod);
}

TEST_F(WarmDecider, FollowsNodesThatComeChangeAndGo) {
  const Pod pod = MakePod(3000, kGib);
  ExpectFresh(state_, pod);
  const auto added = state_.AddNode(MakeNode("d", 3500, 2 * kGib));
  ASSERT_TRUE(added.ok());
  ExpectFresh(state_, pod);
  EXPECT_EQ(Decide(*policy_, state_, pod).node, *added) << "the tightest";
  Node grown = state_.node(*added).spec;
  grown.cpu_milli = 2000;
  ASSERT_TRUE(state_.UpdateNode(*added, grown).ok());
  ExpectFresh(state_, pod);
  ASSERT_TRUE(state_.RemoveNode(*added).ok());
  ExpectFresh(state_, pod);
  EXPECT_EQ(Decide(*policy_, state_, pod).node, NodeId(1));
}

// Trap T03: a node that has just registered reports zeros, a pod asks for nothing; no rule may divide by them.
// Counts what it is told has arrived.
class ArrivalCounter : public ClassScorer {
 public:
  explicit ArrivalCounter(int* arrivals) : arrivals_(arrivals) {}
  ScoreVersion Observe(const ClusterState&, const Pod&, const ResolvedRequest&, bool is_arrival) override {
    *arrivals_ += is_arrival;
    return {};
  }
  Scored Score(const Shape&, const NodeState&, const ResolvedRequest&) override { return {}; }

 private:
  int* const arrivals_;
};

TEST(Arrivals, EveryDecisionIsOneUnlessItIsARetryAndWeighingAPodTwiceIsOne) {
  ClusterState state = Cluster({MakeNode("a", 8000, kGib)});
  int arrivals = 0;
  const auto policy = PolicyOf([&] { return std::make_unique<ArrivalCounter>(&arrivals); }, TieRule::kLowestRank);
  const auto decider = policy->NewDecider();
  Pod pod = MakePod(1000, 0);
  decider->Decide(state, pod, 0, {});
  decider->Decide(state, pod, 0, {});   // an environment names pods by their class
  EXPECT_EQ(arrivals, 2);
  decider->Decide(state, pod, 0, {.is_retry = true});
  decider->Explain(state, pod, 0, 3);
  EXPECT_EQ(arrivals, 2);
  const NodeId nodes[] = {*state.FindNode("a")};
  Weighed weighed;
  decider->Weigh(state, pod, 0, nodes, &weighed);
  EXPECT_EQ(arrivals, 2);
  pod.id = "q";
  decider->Weigh(state, pod, 0, nodes, &weighed);
  decider->Weigh(state, pod, 0, nodes, &weighed);
  EXPECT_EQ(arrivals, 3);
}

TEST(ZeroCapacities, EveryPolicyScoresThemFinitelyAndInTheSameOrder) {
  const PodMix mix = {{MakePod(1000, kGib).request, 2}, {MakePod(0, 0).request, 1}, {MakePod(0, 0, 1, 500).request, 1}};
  const auto model = MakeModelPolicy("model", "1", StrandingWeights(), mix);
  ASSERT_TRUE(model.ok()) << model.status();
  std::vector<std::shared_ptr<const Policy>> policies{*model};
  for (const PolicyInfo& info : ListPolicies()) {
    if (info.kind == "index") continue;  // made by a solver, not by a name
    const auto policy = MakePolicy(info.name, {.mix = mix, .tie = {}, .tie_policy = {}, .resolve = {}});
    ASSERT_TRUE(policy.ok()) << policy.status();
    policies.push_back(*policy);
  }
  EXPECT_GT(policies.size(), 20u);
  for (const auto& policy : policies) {
    for (const int32_t gpus : {0, 1}) {  // rules may score a cluster without GPUs by another formula
      SCOPED_TRACE(policy->info().name + (gpus == 0 ? ", no GPU" : ", one GPU"));
      ClusterState::Options options;
      options.key_fields = policy->info().key_fields;
      ClusterState state(options);
      ASSERT_TRUE(state.AddNode(MakeNode("a", 4000, 0, gpus)).ok());
      ASSERT_TRUE(state.AddNode(MakeNode("b", 4000, 8 * kGib)).ok());
      ASSERT_TRUE(state.AddNode(MakeNode("zero", 0, 0)).ok());
      // Nothing is left of a's device.
      if (gpus > 0) {
        ASSERT_TRUE(state.Place(state.Resolve(MakePod(0, 0, 1, 1000).request), NodeId(0), 1).ok());
      }
      const Explanation first = policy->NewDecider()->Explain(state, MakePod(0, 0), 5, 10);
      ASSERT_TRUE(first.decision.is_placed);
      EXPECT_EQ(first.decision.feasible_nodes, 3u);
      for (const Candidate& c : first.candidates) EXPECT_TRUE(std::isfinite(c.score)) << c.node.value;
      const Explanation again = policy->NewDecider()->Explain(state, MakePod(0, 0), 5, 10);
      ASSERT_EQ(again.candidates.size(), first.candidates.size());
      for (size_t i = 0; i < first.candidates.size(); ++i)
        EXPECT_EQ(again.candidates[i].node, first.candidates[i].node);
    }
  }
}

TEST(ZeroCapacities, LeastAllocatedDoesNotPreferANodeWithoutMemory) {
  const ClusterState state = Cluster({MakeNode("a", 4000, 0), MakeNode("b", 4000, 8 * kGib)});
  EXPECT_EQ(Decide(**MakePolicy("kubernetes-default", {}), state, MakePod(0, 0)).node, NodeId(1));
}

TEST(Explain, ListsOneLineAClassBestFirstWithTheStatesBeforeAndAfter) {
  const ClusterState state = Cluster(
      {MakeNode("a", 8000, kGib), MakeNode("b", 16000, kGib), MakeNode("c", 16000, kGib), MakeNode("d", 500, kGib)});
  const auto policy = FreeCpu();
  const Explanation e = policy->NewDecider()->Explain(state, MakePod(1000, 0), 1, 10);
  ASSERT_EQ(e.candidates.size(), 2u) << "d does not fit";
  EXPECT_EQ(e.candidates[0].node, e.decision.node);
  EXPECT_EQ(e.candidates[0].class_nodes, 2u);
  EXPECT_EQ(e.candidates[1].node, NodeId(0));
  EXPECT_EQ(e.candidates[1].score, 8000);
  EXPECT_EQ(e.candidates[0].before.cpu_milli, 16000);
  EXPECT_EQ(e.candidates[0].after.cpu_milli, 15000);
  EXPECT_EQ(policy->NewDecider()->Explain(state, MakePod(1000, 0), 1, 1).candidates.size(), 1u);
}

}  // namespace
}  // namespace berth

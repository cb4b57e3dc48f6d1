// The kit that every policy passes. Three lines for a new one:
//
//   INSTANTIATE_TEST_SUITE_P(Mine, PolicyConformance, testing::Values("mine"));
//
// What it demands of any policy on any cluster: a decision fits exactly, devices included; a pod that fits somewhere is
// placed, one that fits nowhere is not, with counts that add up; the same (view, pod, seed) gives the same decision, whether
// the decider is fresh or warm, on the original or on a copy; scores are finite.
#ifndef BERTH_TESTS_CONFORMANCE_POLICY_KIT_H_
#define BERTH_TESTS_CONFORMANCE_POLICY_KIT_H_

#include <gtest/gtest.h>

#include <cmath>
#include <memory>
#include <numeric>
#include <string>
#include <vector>

#include "base/rng.h"
#include "cluster/cluster_state.h"
#include "cluster/policy.h"

namespace berth::test {

// A random cluster with GPUs, zero capacities, taints, cordons, labels, odd memory and extended resources.
class RandomCluster {
 public:
  RandomCluster(uint64_t seed, const KeyFields& key_fields) : rng_(seed) {
    ClusterState::Options options;
    options.key_fields = key_fields;
    state_ = ClusterState(options);
    const uint64_t nodes = 3 + rng_.Below(25);
    for (uint64_t i = 0; i < nodes; ++i) {
      Node node;
      node.name = "node-" + std::to_string(i);
      node.cpu_milli = 1000 * static_cast<int64_t>(rng_.Below(5) * 8);
      node.mem_bytes = (static_cast<int64_t>(rng_.Below(5)) << 33) + static_cast<int64_t>(rng_.Below(3)) * 4096;
      node.gpu_count = static_cast<int32_t>(rng_.Below(3) * 4);
      if (node.gpu_count > 0) node.gpu_model = rng_.Below(2) == 0 ? "A" : "B";
      if (rng_.Below(3) == 0) node.extended = {{"nic", static_cast<int64_t>(rng_.Below(3))}};
      if (rng_.Below(6) == 0) node.taints = {{"dedicated", "x", TaintEffect::kNoSchedule}};
      if (rng_.Below(10) == 0) node.is_unschedulable = true;
      node.labels = {{"disk", rng_.Below(2) == 0 ? "ssd" : "hdd"}};
      node.zone = "z" + std::to_string(rng_.Below(2));
      node.rack = "r" + std::to_string(rng_.Below(3));
      node.position = {static_cast<double>(rng_.Below(50)), static_cast<double>(rng_.Below(50)), 0, 1};
      node.weight = static_cast<int32_t>(rng_.Below(4));
      if (rng_.Below(5) == 0) node.max_pods = static_cast<int32_t>(rng_.Below(3));
      EXPECT_TRUE(state_.AddNode(node).ok());
    }
  }

  Pod NextPod() {
    Pod pod;
    pod.id = "pod-" + std::to_string(count_++);
    pod.request.cpu_milli = static_cast<int64_t>(rng_.Below(6)) * 700;
    pod.request.mem_bytes = (static_cast<int64_t>(rng_.Below(5)) << 31) + static_cast<int64_t>(rng_.Below(2)) * 4000;
    pod.request.gpu_count = static_cast<int32_t>(rng_.Below(4));
    if (pod.request.gpu_count == 1) pod.request.gpu_milli = 100 * static_cast<int32_t>(1 + rng_.Below(10));
    if (pod.request.gpu_count > 1) pod.request.gpu_milli = rng_.Below(4) == 0 ? 500 : 1000;
    if (pod.request.gpu_count > 0 && rng_.Below(3) == 0) pod.request.gpu_models = {rng_.Below(4) == 0 ? "none-such" : "A"};
    if (rng_.Below(8) == 0) pod.request.extended = {{rng_.Below(3) == 0 ? "unknown" : "nic", 1}};
    if (rng_.Below(4) == 0) pod.node_selector = {{"disk", rng_.Below(5) == 0 ? "tape" : "ssd"}};
    if (rng_.Below(4) == 0) pod.tolerations = {{"dedicated", "", true, std::nullopt}};
    pod.zone = "z1";
    pod.rack = "r2";
    return pod;
  }

  ClusterState& state() { return state_; }
  Rng& rng() { return rng_; }

 private:
  Rng rng_;
  ClusterState state_;
  int count_ = 0;
};

inline void ExpectSameDecision(const Decision& a, const Decision& b) {
  EXPECT_EQ(a.is_placed, b.is_placed);
  EXPECT_EQ(a.node, b.node);
  EXPECT_EQ(a.devices, b.devices);
  EXPECT_EQ(a.score, b.score);
  EXPECT_EQ(a.has_runner_up, b.has_runner_up);
  EXPECT_EQ(a.runner_up, b.runner_up);
  EXPECT_EQ(a.runner_up_score, b.runner_up_score);
  EXPECT_EQ(a.tied_nodes, b.tied_nodes);
  EXPECT_EQ(a.feasible_nodes, b.feasible_nodes);
  EXPECT_EQ(a.refused, b.refused);
}

// Weigh says of each node what the node's state says, and agrees with Decide where both look at the same nodes.
inline void CheckWeigh(const ClusterState& state, const Pod& pod, const ResolvedRequest& request, uint64_t seed, const Decision& decision,
                       Decider& decider) {
  std::vector<NodeId> nodes, allowed;
  Pod free = pod;   // asks for nothing but capacity
  free.node_selector.clear();
  for (uint32_t i = 0; i < state.nodes().size(); ++i) {
    if (!state.node(NodeId(i)).is_present) continue;
    nodes.push_back(NodeId(i));
    const auto violation = state.Violation(NodeId(i), pod, request);
    if (violation != Constraint::kUnschedulable && violation != Constraint::kTaint && violation != Constraint::kSelector) allowed.push_back(NodeId(i));
  }
  Weighed weighed;
  decider.Weigh(state, free, seed, nodes, &weighed);
  ASSERT_EQ(weighed.verdicts.size(), nodes.size());
  for (size_t i = 0; i < nodes.size(); ++i) {
    const NodeVerdict& verdict = weighed.verdicts[i];
    EXPECT_TRUE(std::isfinite(verdict.score));
    const bool is_taken = !verdict.refused || verdict.refused == Constraint::kPolicy;
    EXPECT_EQ(is_taken, state.FitsExactly(nodes[i], request)) << "node " << i;
  }
  decider.Weigh(state, pod, seed, allowed, &weighed);
  EXPECT_EQ(weighed.chosen != Weighed::kNone, decision.is_placed);
  if (!decision.is_placed || weighed.chosen == Weighed::kNone) return;
  EXPECT_FALSE(weighed.verdicts[weighed.chosen].refused.has_value());
  EXPECT_EQ(weighed.verdicts[weighed.chosen].score, decision.score);
  if (decision.tied_nodes == 1) {
    EXPECT_EQ(allowed[weighed.chosen], decision.node);
    EXPECT_EQ(__builtin_popcount(weighed.devices), pod.request.gpu_count);
  }
  if (weighed.runner_up != Weighed::kNone) {
    EXPECT_NE(weighed.runner_up, weighed.chosen);
    EXPECT_LE(weighed.verdicts[weighed.runner_up].score, decision.score);
  }
}

// One run of the kit; `may_refuse_feasible`: the policy has a reason of its own to take no node (Constraint::kPolicy).
inline void CheckPolicyConformance(const Policy& policy, uint64_t seed, int steps = 150) {
  RandomCluster cluster(seed, policy.info().key_fields);
  ClusterState& state = cluster.state();
  const auto warm = policy.NewDecider(), twin = policy.NewDecider();
  struct Running {
    ResolvedRequest request;
    NodeId node;
    DeviceSet devices;
  };
  std::vector<Running> running;
  for (int step = 0; step < steps; ++step) {
    SCOPED_TRACE(policy.info().name + " seed " + std::to_string(seed) + " step " + std::to_string(step));
    const Pod pod = cluster.NextPod();
    const ResolvedRequest request = state.Resolve(pod.request);
    const uint64_t decision_seed = cluster.rng().Next();
    const Decision decision = warm->Decide(state, pod, decision_seed, {.count_nodes = true});

    // Brute force over nodes.
    RefusalCounts refused{};
    uint32_t feasible = 0;
    for (uint32_t i = 0; i < state.nodes().size(); ++i) {
      const auto violation = state.Violation(NodeId(i), pod, request);
      if (violation) ++refused[static_cast<size_t>(*violation)];
      else ++feasible;
    }
    const auto by_policy = decision.refused[static_cast<size_t>(Constraint::kPolicy)];
    EXPECT_EQ(decision.feasible_nodes + by_policy, feasible);
    refused[static_cast<size_t>(Constraint::kPolicy)] = by_policy;
    EXPECT_EQ(decision.refused, refused);
    ASSERT_EQ(decision.is_placed, feasible > by_policy);
    EXPECT_TRUE(std::isfinite(decision.score));
    EXPECT_TRUE(std::isfinite(decision.runner_up_score));

    // Purity: fresh and warm, original and copy. An adaptive policy: whoever has seen the same stream.
    const ClusterState copy = state;
    if (policy.info().is_adaptive) ExpectSameDecision(twin->Decide(copy, pod, decision_seed, {.count_nodes = true}), decision);
    else ExpectSameDecision(policy.NewDecider()->Decide(state, pod, decision_seed, {.count_nodes = true}), decision);
    ExpectSameDecision(warm->Decide(copy, pod, decision_seed, {.count_nodes = true, .is_retry = true}), decision);
    const Explanation explanation = warm->Explain(state, pod, decision_seed, 5);
    ExpectSameDecision(explanation.decision, decision);

    CheckWeigh(state, pod, request, decision_seed, decision, *warm);

    if (decision.is_placed) {
      EXPECT_FALSE(explanation.candidates.empty());
      EXPECT_FALSE(state.Violation(decision.node, pod, request).has_value());
      if (decision.has_runner_up) {
        EXPECT_NE(decision.runner_up, decision.node);
        EXPECT_FALSE(state.Violation(decision.runner_up, pod, request).has_value());
        EXPECT_LE(decision.runner_up_score, decision.score);
      }
      ASSERT_TRUE(state.Place(request, decision.node, decision.devices).ok())
          << state.Place(request, decision.node, decision.devices);
      running.push_back({request, decision.node, decision.devices});
    }
    if (!running.empty() && cluster.rng().Below(3) == 0) {
      const size_t at = cluster.rng().Below(running.size());
      ASSERT_TRUE(state.Remove(running[at].request, running[at].node, running[at].devices).ok());
      running.erase(running.begin() + static_cast<std::ptrdiff_t>(at));
    }
    ASSERT_TRUE(state.CheckInvariants().ok()) << state.CheckInvariants();
  }
}

}  // namespace berth::test

#endif  // BERTH_TESTS_CONFORMANCE_POLICY_KIT_H_

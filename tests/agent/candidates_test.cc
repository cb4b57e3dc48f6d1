// The incremental engine against the plain definition: all legal actions scored anew at every epoch.
#include "agent/candidates.h"

#include <algorithm>
#include <cmath>

#include "agent/arena.h"
#include "policy/potential/network.h"

namespace berth {
namespace {

// What Best should answer, from the environment's own list of actions.
std::vector<ScoredAction> ByDefinition(Env& env, FeatureTable* table, const NetworkWeights& weights, size_t limit) {
  const ClusterState& view = env.view();
  const ResolvedRequest request = view.Resolve(env.pod().request);
  std::vector<ScoredAction> all;
  for (const EnvAction& action : env.actions()) {
    if (!action.is_legal) continue;
    const NodeState& state = view.state_class(action.class_id).state;
    const Shape& shape = view.shape_of(state);
    const NodeState after = StateAfter(state, request, action.devices, view.options().mem_grain_bytes, view.options().key_fields);
    ScoredAction a{.action = action, .before = table->Find(shape, state), .after = table->Find(shape, after)};
    a.score = NetworkValue(weights, table->features(a.before)) - NetworkValue(weights, table->features(a.after));
    all.push_back(a);
  }
  std::stable_sort(all.begin(), all.end(), [](const ScoredAction& a, const ScoredAction& b) {
    if (a.score != b.score) return a.score > b.score;
    return a.action.class_id != b.action.class_id ? a.action.class_id < b.action.class_id : a.action.devices < b.action.devices;
  });
  if (limit > 0 && all.size() > limit) all.resize(limit);
  return all;
}

class Candidates : public ::testing::Test {
 protected:
  static NetworkWeights Network(uint64_t seed) {
    NetworkWeights w = StrandingWeights();
    w.hidden = 4;
    Rng rng(seed);
    for (auto [v, n] : {std::pair{&w.w1, 4 * kFeatureCount}, {&w.b1, 4}, {&w.w2, 16}, {&w.b2, 4}, {&w.w3, 4}}) {
      for (int i = 0; i < n; ++i) v->push_back(static_cast<float>(0.3 * rng.Normal()));
    }
    return w;
  }

  // Plays an episode by random candidates and compares at every epoch. Returns the epochs.
  static int Play(Env& env, StepResult result, FeatureTable* table, CandidateIndex* index, const NetworkWeights& weights, size_t limit, int most) {
    table->Bind(env.view());
    index->Begin(weights, nullptr);
    Rng rng(3);
    int epochs = 0;
    for (; !result.is_done() && epochs < most; ++epochs) {
      const auto wanted = ByDefinition(env, table, weights, limit);
      const auto got = index->Best(env, env.view().Resolve(env.pod().request), 0, limit);
      EXPECT_EQ(got.size(), wanted.size());
      for (size_t i = 0; i < std::min(got.size(), wanted.size()); ++i) {
        EXPECT_EQ(got[i].score, wanted[i].score) << epochs;
        EXPECT_EQ(got[i].action.class_id, wanted[i].action.class_id);
        EXPECT_EQ(got[i].action.devices, wanted[i].action.devices);
        EXPECT_EQ(got[i].before, wanted[i].before);
        EXPECT_EQ(got[i].after, wanted[i].after);
      }
      if (::testing::Test::HasFailure() || got.empty()) break;
      result = *env.Step(got[rng.Below(got.size())].action);
    }
    return epochs;
  }

  static EnvOptions Options() {
    EnvOptions o;
    o.warmup_us = 0;
    o.load = 1.1;
    return o;
  }
};

TEST_F(Candidates, AreThoseOfTheDefinitionWhateverWasAskedBefore) {
  const Workload workload = *ScaleNodes(*BuiltinWorkload("openb-like"), 24);
  FeatureTable table(MixOf(workload));
  CandidateIndex index(&table);
  const auto warm = *Env::Create(workload, Options());
  StepResult start = warm->Reset(601);
  EXPECT_GT(Play(*warm, start, &table, &index, Network(1), 6, 300), 200);
  // Copies of one cluster share what is remembered; other weights, and another cluster, do not.
  for (const uint64_t weights : {1, 1, 2}) {
    const auto copy = warm->Clone();
    EXPECT_GT(Play(*copy, {}, &table, &index, Network(weights), weights == 2 ? 0 : 6, 200), 100);
  }
  const auto other = *Env::Create(workload, Options());
  start = other->Reset(602);
  EXPECT_GT(Play(*other, start, &table, &index, Network(2), 6, 200), 100);
}

// Nodes that some pods may not use, and memory that is no multiple of the grain: the members of a class are looked at.
TEST_F(Candidates, LeaveOutClassesWhoseNodesAreClosed) {
  Workload workload = *ScaleNodes(*BuiltinWorkload("openb-like"), 24);
  workload.pod_classes[0].request.mem_bytes += 1;
  for (NodeGroup& group : workload.node_groups) {
    group.node.taints = {{.key = "closed", .value = "", .effect = TaintEffect::kNoSchedule}};
    break;
  }
  FeatureTable table(MixOf(workload));
  CandidateIndex index(&table);
  const auto env = *Env::Create(workload, Options());
  const StepResult start = env->Reset(601);
  EXPECT_TRUE(env->view().has_restricted_nodes());
  EXPECT_GT(Play(*env, start, &table, &index, Network(1), 6, 300), 100);
}

TEST_F(Candidates, WeightsThatAreEqualHaveOneIdAndOthersAnother) {
  FeatureTable table(MixOf(*BuiltinWorkload("openb-like")));
  const uint64_t first = table.WeightsId(Network(1));
  EXPECT_EQ(table.WeightsId(Network(1)), first);
  EXPECT_NE(table.WeightsId(Network(2)), first);
  for (uint64_t seed = 3; seed < 10; ++seed) table.WeightsId(Network(seed));   // more than are known at a time
  EXPECT_NE(table.WeightsId(Network(2)), first);
}

}  // namespace
}  // namespace berth

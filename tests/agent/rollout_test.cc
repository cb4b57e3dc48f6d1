#include "agent/rollout.h"

#include <cmath>
#include <functional>

#include "agent/arena.h"
#include "agent/loss_rate.h"
#include "policy/potential/model_dir.h"

namespace berth {
namespace {

constexpr int64_t kHourUs = 3'600'000'000;

class SmallCluster : public ::testing::Test {
 protected:
  static std::unique_ptr<Arena> NewArena(int jobs, Form form = Form::kLoss) {
    static const Workload workload = *ScaleNodes(*BuiltinWorkload("openb-like"), 24);
    ArenaOptions o;
    o.form = form;
    o.warmup_us = kHourUs;
    o.window_us = 2 * kHourUs;
    o.jobs = jobs;
    return *Arena::Create({&workload, 1}, o);
  }
  // Plays up to 1000 decisions of two policies on one stream: they must be the same. Returns how many; `see` is called with each.
  static int PlayBoth(const Arena& arena, const Policy& first, const Policy& second, const std::function<void(const Env&, const Decision&)>& see) {
    auto env = *Env::Create(arena.workload(), arena.EnvOptionsFor(1.0));
    const auto a = first.NewDecider(), b = second.NewDecider();
    StepResult result = env->Reset(11);
    int decisions = 0;
    for (; !result.is_done() && decisions < 1000; ++decisions) {
      const Decision x = a->Decide(env->view(), env->pod(), env->decision_seed(), {});
      const Decision y = b->Decide(env->view(), env->pod(), env->decision_seed(), {});
      EXPECT_EQ(x.node, y.node);
      EXPECT_EQ(x.devices, y.devices);
      EXPECT_EQ(x.score, y.score);
      if (::testing::Test::HasFailure()) break;
      see(*env, x);
      result = *env->StepDecision(x);
    }
    return decisions;
  }
  static RolloutOptions Small() {
    RolloutOptions o;
    o.groups = 2;
    o.rollouts = 2;
    o.decisions = 60;
    o.candidates = 6;
    o.tau = 0.1;
    return o;
  }
};

TEST_F(SmallCluster, RolloutsDoNotDependOnThreads) {
  const auto one = Collect(*NewArena(1), StrandingWeights(), Small(), 5);
  const auto many = Collect(*NewArena(3), StrandingWeights(), Small(), 5);
  ASSERT_TRUE(one.ok() && many.ok());
  ASSERT_EQ(one->size(), 4u);
  for (size_t r = 0; r < one->size(); ++r) {
    EXPECT_EQ((*one)[r].states, (*many)[r].states);
    EXPECT_EQ((*one)[r].after, (*many)[r].after);
    ASSERT_EQ((*one)[r].epochs.size(), (*many)[r].epochs.size());
    for (size_t t = 0; t < (*one)[r].epochs.size(); ++t) {
      EXPECT_EQ((*one)[r].epochs[t].chosen, (*many)[r].epochs[t].chosen);
      EXPECT_EQ((*one)[r].epochs[t].context, (*many)[r].epochs[t].context);
      EXPECT_EQ((*one)[r].epochs[t].reward, (*many)[r].epochs[t].reward);
    }
  }
  EXPECT_NE((*one)[0].after, (*Collect(*NewArena(1), StrandingWeights(), Small(), 6))[0].after);   // control: another seed
}

TEST_F(SmallCluster, AGroupStartsAtOneEpochAndMeetsTheSameArrivals) {
  const auto rollouts = Collect(*NewArena(1), StrandingWeights(), Small(), 5);
  ASSERT_TRUE(rollouts.ok());
  const auto &a = (*rollouts)[0].epochs, &b = (*rollouts)[1].epochs, &other = (*rollouts)[2].epochs;
  EXPECT_EQ(a[0].context, b[0].context);
  EXPECT_EQ(a[0].now_us, b[0].now_us);
  EXPECT_NE(a[0].now_us, other[0].now_us);
  bool differ = false;   // they are not the same rollout
  for (size_t t = 0; t < std::min(a.size(), b.size()); ++t) differ |= a[t].chosen != b[t].chosen;
  EXPECT_TRUE(differ);
}

TEST_F(SmallCluster, LogProbabilityOfASampleIsThatOfItsLogits) {
  const auto rollouts = Collect(*NewArena(1), StrandingWeights(), Small(), 5);
  ASSERT_TRUE(rollouts.ok());
  int checked = 0;
  for (const Rollout& r : *rollouts) {
    for (const Epoch& e : r.epochs) {
      if (e.action_count < 2) continue;
      double sum = 0;   // without an mlp the base logits are all there is
      for (uint32_t a = 0; a < e.action_count; ++a) sum += std::exp(static_cast<double>(r.base[e.first_action + a] - r.base[e.first_action]));
      EXPECT_NEAR(e.log_prob, static_cast<double>(r.base[e.first_action + e.chosen] - r.base[e.first_action]) - std::log(sum), 1e-3);
      ++checked;
    }
  }
  EXPECT_GT(checked, 100);
}

TEST_F(SmallCluster, TheTablePolicyDecidesAsTheModelThatIsServed) {
  NetworkWeights w = StrandingWeights();
  w.hidden = 4;
  Rng rng(2);
  for (auto [v, n] : {std::pair{&w.w1, 4 * kFeatureCount}, {&w.b1, 4}, {&w.w2, 16}, {&w.b2, 4}, {&w.w3, 4}}) {
    for (int i = 0; i < n; ++i) v->push_back(static_cast<float>(0.3 * rng.Normal()));
  }
  const auto arena = NewArena(1);
  const PodMix mix = MixOf(arena->workload());
  const auto served = MakeModelPolicy("m", "1", w, mix);
  ASSERT_TRUE(served.ok());
  FeatureTable table(mix);
  const auto trained = MakeTablePolicy(w, &table);
  EXPECT_GT(PlayBoth(*arena, **served, *trained, [](const Env&, const Decision&) {}), 200);
}

// The same with prices, which follow what was asked: two deciders that see the same stream stay equal.
TEST_F(SmallCluster, PricedPotentialsInTrainingDecideAsTheyAreServed) {
  const auto arena = NewArena(1, Form::kStatic);
  const PodMix mix = MixOf(arena->workload());
  PricedOptions prices;
  prices.period = 0.05;
  const auto served = MakeModelPolicy("m", "1", StrandingWeights(), mix, prices);
  ASSERT_TRUE(served.ok());
  FeatureTable table(mix);
  const auto trained = MakeTablePolicy(StrandingWeights(), &table, mix, prices);
  const auto without = MakeTablePolicy(StrandingWeights(), &table)->NewDecider();
  int differ = 0;
  EXPECT_GT(PlayBoth(*arena, **served, *trained, [&](const Env& env, const Decision& x) {
              differ += without->Decide(env.view(), env.pod(), env.decision_seed(), {}).node != x.node;
            }), 100);
  EXPECT_GT(differ, 0) << "prices must matter";
}

// Pods of part of a device dropped: a mix of another shape on the same nodes.
Workload WithoutSharedPods(Workload workload) {
  std::erase_if(workload.pod_classes, [](const PodClass& c) { return c.request.gpu_count == 1 && c.request.gpu_milli < 1000; });
  double sum = 0;
  for (const PodClass& c : workload.pod_classes) sum += c.share;
  for (PodClass& c : workload.pod_classes) c.share /= sum;
  return workload;
}

std::span<const Workload> TwoMixes() {
  static const std::array<Workload, 2> workloads = {*ScaleNodes(*BuiltinWorkload("openb-like"), 24),
                                                    WithoutSharedPods(*ScaleNodes(*BuiltinWorkload("openb-like"), 24))};
  return workloads;
}

std::unique_ptr<Arena> NewPricedArena(int jobs) {
  ArenaOptions o;
  o.form = Form::kStatic;
  o.jobs = jobs;
  o.prices.emplace();
  return *Arena::Create(TwoMixes(), o);
}

NetworkWeights NetworkOfTheMix() {
  NetworkWeights w = StrandingWeights();
  w.hidden = 4;
  w.mlp_sees_mix = true;
  Rng rng(2);
  for (auto [v, n] : {std::pair{&w.w1, 4 * kActorInputCount}, {&w.b1, 4}, {&w.w2, 16}, {&w.b2, 4}, {&w.w3, 4}}) {
    for (int i = 0; i < n; ++i) v->push_back(static_cast<float>(0.5 * rng.Normal()));
  }
  return w;
}

// At a temperature near 0 a rollout is the served policy: its best logits are the scores of a decider that sees the same stream from the
// same start, prices solved again on the way.
TEST_F(SmallCluster, ColdRolloutsWithPricesDecideAsTheServedPolicy) {
  const auto arena = NewPricedArena(1);
  const NetworkWeights weights = NetworkOfTheMix();
  RolloutOptions o = Small();
  o.tau = 1e-7;
  o.candidates = 0;
  o.decisions = 1000;
  for (const int mix : {0, 1}) {
    const auto env = *Env::Create(arena->workload(mix), arena->EnvOptionsFor(1.0)), twin = *Env::Create(arena->workload(mix), arena->EnvOptionsFor(1.0));
    env->Reset(11);
    const auto cold = PlayRollout(*arena, mix, *env, weights, o, Rng(1));
    ASSERT_TRUE(cold.ok()) << cold.status();
    const NetworkWeights folded = ForMix(weights, cold->mix_shape);
    const auto served = MakeModelPolicy("m", "1", weights, MixOf(arena->workload(mix)), arena->options().prices);
    const auto without = MakeModelPolicy("m", "1", weights, MixOf(arena->workload(mix)));
    ASSERT_TRUE(served.ok() && without.ok());
    const auto decider = (*served)->NewDecider(), unpriced = (*without)->NewDecider();
    StepResult result = twin->Reset(11);
    twin->set_miss_listener(decider.get());
    size_t t = 0;
    int compared = 0, priced = 0;
    bool is_tied = false;   // of two that are alike each may take another, and the clusters part
    for (; t < cold->epochs.size() && !result.is_done() && !is_tied; ++t) {
      const Epoch& e = cold->epochs[t];
      ASSERT_EQ(e.now_us, twin->now_us()) << t;
      const Decision decision = decider->Decide(twin->view(), twin->pod(), twin->decision_seed(), {});
      if (e.action_count > 1) {
        const uint32_t a = e.first_action + e.chosen;
        const auto mlp = [&](uint32_t row) { return static_cast<double>(MlpForward(folded, cold->states[row])); };
        const double logit = static_cast<double>(cold->base[a]) * o.tau + mlp(cold->before[a]) - mlp(cold->after[a]);
        ASSERT_NEAR(logit, decision.score, 1e-4 * (1 + std::abs(logit))) << t;
        priced += std::abs(unpriced->Decide(twin->view(), twin->pod(), twin->decision_seed(), {}).score - logit) > 0.01;
        ++compared;
      }
      is_tied = decision.has_runner_up && decision.score - decision.runner_up_score < 1e-5;
      result = *twin->StepDecision(decision);
    }
    EXPECT_TRUE(is_tied || t == cold->epochs.size()) << t;
    EXPECT_GT(compared, 40);
    EXPECT_GT(priced, 20) << "prices are part of the logits";
  }
}

TEST_F(SmallCluster, RolloutsWithPricesOnSeveralMixesDoNotDependOnThreads) {
  const NetworkWeights teacher = UniversalWeights();
  const auto one = Collect(*NewPricedArena(1), NetworkOfTheMix(), Small(), 5, &teacher), many = Collect(*NewPricedArena(3), NetworkOfTheMix(), Small(), 5, &teacher);
  ASSERT_TRUE(one.ok() && many.ok());
  for (size_t r = 0; r < one->size(); ++r) {
    EXPECT_EQ((*one)[r].base, (*many)[r].base);
    EXPECT_EQ((*one)[r].teacher, (*many)[r].teacher);
    EXPECT_NE((*one)[r].base, (*one)[r].teacher);
    for (size_t t = 0; t < (*one)[r].epochs.size(); ++t) EXPECT_EQ((*one)[r].epochs[t].reward, (*many)[r].epochs[t].reward);
  }
}

// Each mix's shape reaches the network, the critic and the blend that a teacher with experts stands for.
TEST_F(SmallCluster, EachMixIsSeenByWhatPlaysOnIt) {
  const auto arena = NewPricedArena(1);
  NetworkWeights teacher = StrandingWeights();
  const MixShape first = MixShapeOf(TwoMixes()[0]), second = MixShapeOf(TwoMixes()[1]);
  ASSERT_NE(Quantised(first), Quantised(second));
  teacher.expert_shapes = {first, second};
  teacher.experts.assign(2 * kFeatureCount, 0);
  for (size_t i = 0; i < kFeatureCount; ++i) teacher.experts[kFeatureCount + i] = UniversalWeights().linear[i] - StrandingWeights().linear[i];
  const auto rollouts = Collect(*arena, StrandingWeights(), Small(), 5, &teacher);
  ASSERT_TRUE(rollouts.ok());
  for (size_t r = 0; r < 4; ++r) {
    const bool is_second = r >= 2;
    const Rollout& rollout = (*rollouts)[r];
    EXPECT_EQ(rollout.mix_shape, Quantised(is_second ? second : first));
    for (size_t i = 0; i < kMixShapeCount; ++i) EXPECT_EQ(rollout.epochs[0].context[kContextCount - kMixShapeCount + i], rollout.mix_shape[i]);
    const PolicyBatch batch = MakeBatch({rollout}, {std::vector<double>(rollout.epochs.size(), 0)}, 1);
    for (size_t i = 0; i < kMixShapeCount; ++i) EXPECT_EQ(batch.states[0][kFeatureCount + i], rollout.mix_shape[i]);
    double difference = 0;
    for (size_t a = 0; a < batch.base.size(); ++a) difference = std::max(difference, static_cast<double>(std::abs(batch.base[a] - batch.teacher[a])));
    if (is_second) EXPECT_GT(difference, 0.1);
    else EXPECT_LT(difference, 0.05) << "the first mix's expert is zero";
  }
}

// Static form: the expected loss an epoch has the mean of what is refused; here against the sum over classes by hand.
TEST_F(SmallCluster, StaticLossIsThatOfTheArrivalsUntilOneFits) {
  const auto arena = NewArena(1, Form::kStatic);
  const Workload& workload = arena->workload();
  EnvOptions options = arena->EnvOptionsFor(1.0);
  options.static_until = 1.2;
  auto env = *Env::Create(workload, options);
  FeatureTable table(MixOf(workload));
  const auto policy = MakeTablePolicy(StrandingWeights(), &table);
  const auto decider = policy->NewDecider();
  StepResult result = env->Reset(11);
  LossRate rate(*env);
  int positive = 0;
  while (!result.is_done()) {
    double loss = 0, refused = 0;
    for (const PodClass& c : workload.pod_classes) {
      const ResolvedRequest request = env->view().Resolve(c.request);
      bool fits = false;
      for (uint32_t n = 0; n < env->view().nodes().size() && !fits; ++n) fits = env->view().FitsExactly(NodeId(n), request);
      if (fits) continue;
      loss += c.share * static_cast<double>(c.request.total_gpu_milli()) / static_cast<double>(env->view().total_gpu_milli());
      refused += c.share;
    }
    const double want = loss / std::max(1e-3, 1 - refused);
    ASSERT_NEAR(rate.UntilNextEpoch(env->view()), want, 1e-9 + 1e-9 * want);
    positive += want > 0;
    const Decision decision = decider->Decide(env->view(), env->pod(), env->decision_seed(), {});
    result = *env->StepDecision(decision);
  }
  EXPECT_GT(positive, 5);
}

TEST_F(SmallCluster, ManyWorkloadsAreCrossedAndWeighed) {
  static const std::array<Workload, 2> workloads = {*ScaleNodes(*BuiltinWorkload("openb-like"), 16), *ScaleNodes(*BuiltinWorkload("openb-like"), 24)};
  ArenaOptions o;
  o.form = Form::kStatic;
  o.jobs = 2;
  o.mix_weights = {1, 3};
  const auto arena = *Arena::Create(workloads, o);
  const auto cases = CrossCases(5, 2, {1.0}, arena->mixes());
  ASSERT_EQ(cases.size(), 4u);
  EXPECT_EQ(cases[1].mix, 1);
  const std::vector<NetworkWeights> weights{StrandingWeights()};
  const auto costs = *arena->Costs(weights, cases);
  const auto relative = *arena->RelativeCosts(weights, cases);
  const auto best = *arena->BestRule(cases);
  for (size_t c = 0; c < cases.size(); ++c) {
    EXPECT_DOUBLE_EQ(relative[0][c], costs[0][c] / std::max(best[c], 0.5) * o.mix_weights[static_cast<size_t>(cases[c].mix)]);
  }
  EXPECT_NE(costs[0][0], costs[0][1]) << "other clusters";
}

TEST_F(SmallCluster, CostsArePairedAndRelativeToTheBestRule) {
  const auto arena = NewArena(2);
  const auto cases = CrossCases(31, 2, {1.0, 1.1});
  ASSERT_EQ(cases.size(), 4u);
  const std::vector<NetworkWeights> weights{StrandingWeights(), KeepEmptyWeights(), StrandingWeights()};
  const auto costs = arena->Costs(weights, cases);
  const auto relative = arena->RelativeCosts(weights, cases);
  const auto best = arena->BestRule(cases);
  ASSERT_TRUE(costs.ok() && relative.ok() && best.ok());
  EXPECT_EQ((*costs)[0], (*costs)[2]);
  EXPECT_NE((*costs)[0], (*costs)[1]);
  for (size_t c = 0; c < cases.size(); ++c) EXPECT_DOUBLE_EQ((*relative)[0][c], (*costs)[0][c] / std::max((*best)[c], 1.0));
}

TEST_F(SmallCluster, LossRateIsThatOfTheClassesThatFitNowhere) {
  const auto arena = NewArena(1);
  const Workload& workload = arena->workload();
  auto env = *Env::Create(workload, arena->EnvOptionsFor(1.1));
  FeatureTable table(MixOf(workload));
  const auto policy = MakeTablePolicy(StrandingWeights(), &table);
  const auto decider = policy->NewDecider();
  StepResult result = env->Reset(11);
  LossRate rate(*env);
  int positive = 0;
  for (int i = 0; i < 600 && !result.is_done(); ++i) {
    double want = 0;   // node by node, without classes or memory
    for (const PodClass& c : workload.pod_classes) {
      const ResolvedRequest request = env->view().Resolve(c.request);
      bool fits = false;
      for (uint32_t n = 0; n < env->view().nodes().size() && !fits; ++n) fits = env->view().FitsExactly(NodeId(n), request);
      if (!fits) {
        want += ArrivalRatePerS(workload, 1.1) * c.share * static_cast<double>(c.request.total_gpu_milli()) * c.lifetime.mean_s /
                static_cast<double>(env->view().total_gpu_milli());
      }
    }
    const double got = rate.Of(env->view());
    ASSERT_NEAR(got, want, 1e-9 + 1e-9 * want);
    positive += got > 0;
    const Decision decision = decider->Decide(env->view(), env->pod(), env->decision_seed(), {});
    result = *env->StepDecision(decision);
  }
  EXPECT_GT(positive, 50);
}

// The critic's view is kept up change by change; here node by node.
TEST_F(SmallCluster, TheContextIsTheMeanOverNodes) {
  const auto arena = NewArena(1);
  const auto env = *Env::Create(arena->workload(), arena->EnvOptionsFor(1.0));
  env->Reset(601);
  RolloutOptions o = Small();
  o.decisions = 300;
  FeatureTable table(MixOf(arena->workload()));
  const auto rollout = *PlayRollout(*arena, 0, *env, StrandingWeights(), o, Rng(1));
  ASSERT_GT(rollout.epochs.size(), 200u);
  // The end of the rollout, where every change has been counted.
  table.Bind(env->view());
  std::array<double, kFeatureCount> mean{};
  for (const auto& record : env->view().nodes()) {
    const NodeState& state = env->view().state_class(env->view().view(*env->view().FindNode(record.spec.name)).class_id).state;
    const Features& x = table.features(table.Find(env->view().shape_of(state), state));
    for (size_t i = 0; i < kFeatureCount; ++i) mean[i] += static_cast<double>(x[i]) / static_cast<double>(env->view().node_count());
  }
  for (size_t i = 0; i < kFeatureCount; ++i) EXPECT_NEAR(rollout.last_context[i], mean[i], 1e-5) << FeatureNames()[i];
}

// Two epochs by hand: rewards -1 and -2, a second apart each, then a cut with value -4.
Rollout TwoEpochs(double first_reward) {
  Rollout r;
  r.epochs.resize(2);
  r.epochs[0].now_us = 0;
  r.epochs[0].reward = first_reward;
  r.epochs[1].now_us = 1'000'000;
  r.epochs[1].reward = -2;
  r.end_us = 2'000'000;
  return r;
}

TEST(Estimate, EqualsTheDefinitionByHandAndBootstrapsAtTheCut) {
  const double g = std::exp(-1.0 / 10), l = std::exp(-1.0 / 5);
  const std::vector<std::vector<float>> values{{-1, -3, -4}};
  const auto got = Estimate({TwoEpochs(-1)}, values, 1, 1, {10, 5});
  const double last = -2 + g * -4 - -3, first = -1 + g * -3 - -1;
  EXPECT_NEAR(got.advantage[0][1], last, 1e-12);
  EXPECT_NEAR(got.advantage[0][0], first + g * l * last, 1e-12);
  EXPECT_NEAR(got.target[0][0], first + g * l * last - 1, 1e-12);
  Rollout ended = TwoEpochs(-1);
  ended.is_terminated = true;   // then nothing comes after
  EXPECT_NEAR(Estimate({ended}, values, 1, 1, {10, 5}).advantage[0][1], -2 + 3, 1e-12);
}

TEST(Estimate, TakesOffWhatTheWholeGroupLost) {
  const std::vector<std::vector<float>> values{{0, 0, 0}, {0, 0, 0}};
  const auto same = Estimate({TwoEpochs(-1), TwoEpochs(-1)}, values, 1, 2, {10, 5});
  for (const auto& row : same.advantage) {
    for (double a : row) EXPECT_NEAR(a, 0, 1e-12);
  }
  const auto better = Estimate({TwoEpochs(-1), TwoEpochs(-5)}, values, 1, 2, {10, 5});
  EXPECT_NEAR(better.advantage[0][0], 4, 1e-12);
  EXPECT_NEAR(better.advantage[1][0], -4, 1e-12);
}

TEST(MakeBatch, DropsDecisionsWithoutAChoice) {
  Rollout r = TwoEpochs(-1);
  r.states.resize(2);
  r.epochs[0].action_count = 1;
  r.epochs[1].action_count = 2;
  r.after = {0, 1};
  r.before = {1, 0};
  r.base = r.teacher = {0.5f, 0.25f};
  const PolicyBatch batch = MakeBatch({r, r}, {{7, 8}, {9, 10}}, 2);
  EXPECT_EQ(batch.decisions(), 2u);
  EXPECT_EQ(batch.advantage, (std::vector<float>{4, 5}));
  EXPECT_EQ(batch.offsets, (std::vector<uint32_t>{0, 2, 4}));
  EXPECT_EQ(batch.after, (std::vector<uint32_t>{0, 1, 2, 3}));
}

TEST(CalibrateTau, GivesTheBestActionTheProbabilityAskedFor) {
  PolicyBatch batch;
  batch.base = {2, 0};   // gap 2 at temperature 1
  batch.offsets = {0, 2};
  batch.chosen = {0};
  const double tau = CalibrateTau(batch, 1, 0.9);
  EXPECT_NEAR(1 / (1 + std::exp(-2 / tau)), 0.9, 1e-6);
}

// Equal potentials whose logits differ by rounding are ties: no temperature is to tell them apart.
TEST(CalibrateTau, RoundingMakesNoBestAction) {
  PolicyBatch batch;
  batch.base = {40.00001f, 40, 2, 0};
  batch.offsets = {0, 2, 4};
  batch.chosen = {0, 0};
  ASSERT_NE(batch.base[0], batch.base[1]);
  // The first decision counts as 1, so the second has 0.8.
  EXPECT_NEAR(1 / (1 + std::exp(-2 / CalibrateTau(batch, 1, 0.9))), 0.8, 1e-6);
}

}  // namespace
}  // namespace berth

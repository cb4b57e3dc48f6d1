#include "env/env.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "conformance/env_kit.h"
#include "policy/registry.h"

namespace berth {
namespace {

using ::testing::HasSubstr;

PodClass MakeClass(std::string name, int64_t cpu, int64_t gib, int32_t gpus, int32_t milli, double share, double mean_s) {
  PodClass c;
  c.name = std::move(name);
  c.request.cpu_milli = cpu;
  c.request.mem_bytes = gib << 30;
  c.request.gpu_count = gpus;
  c.request.gpu_milli = milli;
  c.share = share;
  c.lifetime.mean_s = mean_s;
  return c;
}

Workload Small() {
  Workload w;
  w.name = "small";
  Node a;
  a.name = "a";
  a.cpu_milli = 32000;
  a.mem_bytes = int64_t{64} << 30;
  a.gpu_count = 4;
  Node b = a;
  b.name = "b";
  b.gpu_count = 8;
  b.cpu_milli = 64000;
  w.node_groups = {{a, 4}, {b, 2}};
  w.pod_classes = {MakeClass("half", 4000, 4, 1, 500, 0.5, 600), MakeClass("one", 8000, 8, 1, 1000, 0.3, 1200),
                   MakeClass("four", 16000, 16, 4, 1000, 0.1, 1800), MakeClass("cpu", 6000, 8, 0, 0, 0.1, 300)};
  EXPECT_TRUE(FinishWorkload(w).ok());
  return w;
}

EnvOptions Options(Form form, double load) {
  EnvOptions o;
  o.form = form;
  o.load = load;
  o.warmup_us = int64_t{600} * 1000000;
  o.window_us = int64_t{3600} * 1000000;
  return o;
}

TEST(EnvConformance, LossForm) {
  const Workload w = Small();
  for (uint64_t seed = 1; seed < 5; ++seed) test::CheckEnvConformance(w, Options(Form::kLoss, 1.1), seed);
}

TEST(EnvConformance, KeyedByWhenNodesWillBeEmpty) {
  const Workload w = Small();
  for (const Form form : {Form::kLoss, Form::kQueue}) {
    EnvOptions options = Options(form, 1.1);
    options.cluster.key_fields.exit_class = true;
    options.node_mtbf_s = 2000;
    for (uint64_t seed = 1; seed < 4; ++seed) test::CheckEnvConformance(w, options, seed);
  }
}

TEST(Env, NodesWithPodsAreToldApartByHowLongTheseWillStay) {
  const Workload w = Small();
  EnvOptions options = Options(Form::kLoss, 0.9);
  const auto policy = MakePolicy("best-fit", {});
  ASSERT_TRUE(policy.ok());
  for (const bool is_keyed : {false, true}) {
    options.cluster.key_fields.exit_class = is_keyed;
    auto env = Env::Create(w, options);
    ASSERT_TRUE(env.ok());
    StepResult result = (*env)->Reset(3);
    const auto decider = (*policy)->NewDecider();
    int seen = 0;
    while (!result.is_done()) {
      for (const auto& occupied : (*env)->view().occupied()) {
        const NodeState& state = (*env)->view().state_class(occupied.id).state;
        EXPECT_EQ(state.exit_class > 0, is_keyed && !state.is_empty);
        seen = std::max<int>(seen, state.exit_class);
      }
      result = *(*env)->StepDecision(decider->Decide((*env)->view(), (*env)->pod(), (*env)->decision_seed(), {}));
    }
    EXPECT_EQ(seen > 2, is_keyed);
  }
}

TEST(EnvConformance, QueueForm) {
  const Workload w = Small();
  for (uint64_t seed = 1; seed < 5; ++seed) test::CheckEnvConformance(w, Options(Form::kQueue, 1.05), seed);
}

TEST(EnvConformance, StaticForm) { test::CheckEnvConformance(Small(), Options(Form::kStatic, 1), 3); }

TEST(EnvConformance, FailingNodesAndEveryReward) {
  const Workload w = Small();
  for (Form form : {Form::kLoss, Form::kQueue}) {
    EnvOptions o = Options(form, 1);
    o.node_mtbf_s = 1500;
    o.node_repair_s = 300;
    o.reward = {.allocation = 1, .waiting = 0.5, .active_nodes = 0.1, .latency = 0.01, .balance = 0.2};
    for (uint64_t seed = 1; seed < 4; ++seed) test::CheckEnvConformance(w, o, seed);
  }
}

TEST(Env, TwoPoliciesMeetTheSameStream) {
  const Workload w = Small();
  class Recorder : public PodObserver {
   public:
    void OnPod(const Env&, uint32_t c, bool) override { classes.push_back(c); }
    std::vector<uint32_t> classes;
  };
  std::vector<uint32_t> first;
  for (const char* name : {"best-fit", "minimum-resource-usage", "random"}) {
    Recorder recorder;
    EnvOptions o = Options(Form::kLoss, 1.3);
    o.observer = &recorder;
    auto env = Env::Create(w, o);
    ASSERT_TRUE(env.ok());
    ASSERT_TRUE(RunEpisode(**env, *(*MakePolicy(name, {}))->NewDecider(), 9).ok());
    if (first.empty()) first = recorder.classes;
    EXPECT_EQ(recorder.classes, first) << name;
    EXPECT_GT((*env)->stats().rejected, 0);
  }
}

// The action itself does what its number does; one that is not there, or does not fit, changes nothing.
TEST(Env, AnActionStepsAsItsNumberDoes) {
  const Workload w = Small();
  const auto by_number = *Env::Create(w, Options(Form::kLoss, 1.1)), by_action = *Env::Create(w, Options(Form::kLoss, 1.1));
  StepResult a = by_number->Reset(9), b = by_action->Reset(9);
  EXPECT_EQ(by_action->Step(EnvAction{ClassId(100'000), 0, true}).status().code(), absl::StatusCode::kInvalidArgument);
  Rng rng(1);
  int masked = 0;
  for (int i = 0; i < 300 && !a.is_done(); ++i) {
    const std::vector<EnvAction> actions = by_action->actions();
    size_t chosen = rng.Below(actions.size());
    while (!actions[chosen].is_legal) {
      EnvAction claimed = actions[chosen];
      claimed.is_legal = true;
      EXPECT_EQ(by_action->Step(claimed).status().code(), absl::StatusCode::kInvalidArgument);
      ++masked;
      chosen = (chosen + 1) % actions.size();
    }
    EnvAction odd = actions[chosen];
    odd.devices |= DevicePositions{1} << 31;
    EXPECT_EQ(by_action->Step(odd).status().code(), absl::StatusCode::kInvalidArgument);
    a = *by_number->Step(static_cast<int>(chosen));
    b = *by_action->Step(actions[chosen]);
    ASSERT_EQ(a.reward, b.reward);
    ASSERT_EQ(by_number->now_us(), by_action->now_us());
    ASSERT_EQ(by_number->pod_class(), by_action->pod_class());
  }
  EXPECT_GT(masked, 0);
  EXPECT_EQ(by_number->stats().reward, by_action->stats().reward);
}

// One node of one device, pods of one device: an M/M/1/1 loss system, whose rejected share is load / (1 + load) (Erlang B).
TEST(Env, LossFormAgreesWithErlangB) {
  Workload w;
  Node node;
  node.name = "n";
  node.cpu_milli = 1000;
  node.mem_bytes = int64_t{1} << 30;
  node.gpu_count = 1;
  w.node_groups = {{node, 1}};
  w.pod_classes = {MakeClass("one", 100, 0, 1, 1000, 1, 100)};
  ASSERT_TRUE(FinishWorkload(w).ok());
  for (double load : {0.5, 1.0, 2.0}) {
    EnvOptions o = Options(Form::kLoss, load);
    o.window_us = int64_t{3'000'000} * 1000000;
    auto env = Env::Create(w, o);
    ASSERT_TRUE(env.ok());
    ASSERT_TRUE(RunEpisode(**env, *(*MakePolicy("first-fit", {}))->NewDecider(), 4).ok());
    const EnvStats& s = (*env)->stats();
    EXPECT_NEAR(static_cast<double>(s.rejected) / static_cast<double>(s.arrived), load / (1 + load), 0.01) << load;
    EXPECT_NEAR(s.allocated_gpu / s.window_hours, load / (1 + load), 0.01) << load;
  }
}

// The same with a queue: M/M/1, mean wait rho / (1 - rho) service times.
TEST(Env, QueueFormAgreesWithTheMeanWaitOfMM1) {
  Workload w;
  Node node;
  node.name = "n";
  node.cpu_milli = 1000;
  node.mem_bytes = int64_t{1} << 30;
  node.gpu_count = 1;
  w.node_groups = {{node, 1}};
  w.pod_classes = {MakeClass("one", 100, 0, 1, 1000, 1, 100)};
  ASSERT_TRUE(FinishWorkload(w).ok());
  EnvOptions o = Options(Form::kQueue, 0.5);
  o.window_us = int64_t{20'000'000} * 1000000;
  auto env = Env::Create(w, o);
  ASSERT_TRUE(env.ok());
  ASSERT_TRUE(RunEpisode(**env, *(*MakePolicy("first-fit", {}))->NewDecider(), 4).ok());
  double sum = 0;
  for (float x : (*env)->stats().waits_s) sum += static_cast<double>(x);
  EXPECT_NEAR(sum / static_cast<double>((*env)->stats().waits_s.size()), 100, 4);
  EXPECT_EQ((*env)->stats().rejected, 0);
}

TEST(Env, RewardOfTheLossFormIsTheRejectedDemand) {
  const Workload w = Small();
  EnvOptions o = Options(Form::kLoss, 1.3);
  o.warmup_us = 0;
  auto env = Env::Create(w, o);
  ASSERT_TRUE(env.ok());
  ASSERT_TRUE(RunEpisode(**env, *(*MakePolicy("best-fit", {}))->NewDecider(), 2).ok());
  const EnvStats& s = (*env)->stats();
  EXPECT_NEAR(s.reward, -s.rejected_gpu_hours / 32.0, 1e-6);   // 32 devices in the cluster
}

TEST(Env, BadOptionsAreErrorsThatNameThem) {
  const Workload w = Small();
  const auto message = [&](auto change) {
    EnvOptions o = Options(Form::kLoss, 0.9);
    change(o);
    const auto env = Env::Create(w, o);
    return std::string(env.ok() ? "" : env.status().message());
  };
  EXPECT_THAT(message([](EnvOptions& o) { o.load = 0; }), HasSubstr("load"));
  EXPECT_THAT(message([](EnvOptions& o) { o.load = std::nan(""); }), HasSubstr("load"));
  EXPECT_THAT(message([](EnvOptions& o) { o.window_us = 0; }), HasSubstr("window_us"));
  EXPECT_THAT(message([](EnvOptions& o) { o.node_mtbf_s = -1; }), HasSubstr("node_mtbf_s"));
  EXPECT_THAT(message([](EnvOptions& o) { o.reward.balance = INFINITY; }), HasSubstr("reward.balance"));
  EXPECT_THAT(message([](EnvOptions& o) { o.node_ranks = {1, 2}; }), HasSubstr("node_ranks"));
  EXPECT_THAT(message([](EnvOptions& o) { o.node_ranks = {0, 1, 2, 3, 4, 4}; }), HasSubstr("node_ranks"));
  EXPECT_THAT(std::string(ParseForm("lossy").status().message()), HasSubstr("static, loss, queue"));
}

}  // namespace
}  // namespace berth

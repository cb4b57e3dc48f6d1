// Who waits for whom in the queue form, what is kept for whom, and pods that a policy declines.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "conformance/env_kit.h"
#include "env/env.h"
#include "policy/registry.h"

namespace berth {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr int64_t kSecond = 1'000'000;

PodClass Gpus(std::string name, int32_t gpus, double share, double mean_s = 600) {
  PodClass c;
  c.name = std::move(name);
  c.request.cpu_milli = 1000;
  c.request.gpu_count = gpus;
  c.request.gpu_milli = gpus > 0 ? 1000 : 0;
  c.share = share;
  c.lifetime.mean_s = mean_s;
  return c;
}

Workload Cluster(int32_t nodes, int32_t gpus, std::vector<PodClass> classes) {
  Workload w;
  w.name = "cluster";
  Node node;
  node.name = "n";
  node.cpu_milli = 64000;
  node.mem_bytes = int64_t{64} << 30;
  node.gpu_count = gpus;
  w.node_groups = {{node, nodes}};
  w.pod_classes = std::move(classes);
  EXPECT_TRUE(FinishWorkload(w).ok());
  return w;
}

// Three nodes of 8 in which pods of one GPU fill every hole.
Workload Saturated() { return Cluster(3, 8, {Gpus("one", 1, 0.97), Gpus("eight", 8, 0.03)}); }

EnvOptions Queue(double load, double hours) {
  EnvOptions o;
  o.form = Form::kQueue;
  o.load = load;
  o.warmup_us = 3600 * kSecond;
  o.window_us = static_cast<int64_t>(hours * 3600) * kSecond;
  return o;
}

// Writes down the order in which pods are placed or turned away, as the class and when.
class Recorder : public PodObserver {
 public:
  void OnPod(const Env&, uint32_t c, bool is_placed) override {
    if (is_placed) placed.push_back(c);
  }
  std::vector<uint32_t> placed;
};

EnvStats Play(const Workload& w, const EnvOptions& o, uint64_t seed, const char* policy = "first-fit") {
  auto env = Env::Create(w, o);
  EXPECT_TRUE(env.ok()) << env.status();
  const absl::Status status = RunEpisode(**env, *(*MakePolicy(policy, {}))->NewDecider(), seed);
  EXPECT_TRUE(status.ok()) << status;
  return (*env)->stats();
}

float LongestWait(const EnvStats& s, uint32_t pod_class) {
  float longest = 0;
  for (size_t i = 0; i < s.waits_s.size(); ++i) {
    if (s.wait_class[i] == pod_class) longest = std::max(longest, s.waits_s[i]);
  }
  return longest;
}

TEST(Queue, TheAgingLimitBoundsTheWaitOfAPodThatStarvesWithoutIt) {
  const Workload w = Saturated();
  for (uint64_t seed : {1, 2, 3}) {
    EnvOptions o = Queue(1.05, 40);
    const float starving = LongestWait(Play(w, o, seed), 1);
    EXPECT_GT(starving, 14 * 3600) << "not saturated: the test shows nothing";
    o.queue.aging_limit_s = 600;
    EXPECT_LT(LongestWait(Play(w, o, seed), 1), 6 * 3600);
  }
}

TEST(Queue, AHeldNodeTakesNobodyElse) {
  // One node of 2 with a pod of one GPU to 100 s; a pod of two waits from 10 s and is seen to have aged at 25 s, when another pod ends;
  // pods of one come at 30 and 50 s.
  Workload w = Cluster(1, 2, {Gpus("one", 1, 0.5), Gpus("two", 2, 0.5)});
  w.arrivals = {{0, 0, 100 * kSecond}, {10 * kSecond, 1, 50 * kSecond}, {15 * kSecond, 0, 10 * kSecond}, {30 * kSecond, 0, 30 * kSecond}, {50 * kSecond, 0, 30 * kSecond}};
  EnvOptions o = Queue(1, 1);
  o.warmup_us = 0;
  EXPECT_THAT(Play(w, o, 1).waits_s, ElementsAre(0, 0, 0, 10, 90));
  o.queue.aging_limit_s = 10;
  EXPECT_THAT(Play(w, o, 1).waits_s, ElementsAre(0, 0, 90, 120, 100));   // the pod of two goes first, at 100 s
  Recorder recorder;
  o.observer = &recorder;
  Play(w, o, 1);
  EXPECT_THAT(recorder.placed, ElementsAre(0, 0, 1, 0, 0));
}

// A node of four GPUs, busy to 100 s, and four pods that come meanwhile: which of them is placed when.
std::vector<uint32_t> PlacedBy(QueueOptions queue) {
  Workload w = Cluster(1, 4, {Gpus("one", 1, 0.25, 300), Gpus("two", 2, 0.25, 200), Gpus("four", 4, 0.25, 100), Gpus("all", 4, 0.25, 400)});
  w.arrivals = {{0, 3, 100 * kSecond}, {10 * kSecond, 1, 1000 * kSecond}, {20 * kSecond, 0, 1000 * kSecond}, {30 * kSecond, 2, 1000 * kSecond}, {40 * kSecond, 0, 1000 * kSecond}};
  EnvOptions o = Queue(1, 5);
  o.warmup_us = 0;
  o.queue = queue;
  Recorder recorder;
  o.observer = &recorder;
  Play(w, o, 1);
  return recorder.placed;
}

TEST(Queue, TheOrderSaysWhoIsTriedFirstAndTheWindowWhoIsTriedAtAll) {
  EXPECT_THAT(PlacedBy({}), ElementsAre(3, 1, 0, 0, 2));
  EXPECT_THAT(PlacedBy({.order = QueueOrder::kLargest}), ElementsAre(3, 2, 1, 0, 0));
  EXPECT_THAT(PlacedBy({.order = QueueOrder::kSmallest}), ElementsAre(3, 0, 0, 1, 2));
  EXPECT_THAT(PlacedBy({.order = QueueOrder::kShortest}), ElementsAre(3, 2, 1, 0, 0));
  // Nobody overtakes: the second pod of one GPU waits behind the pod of four.
  EXPECT_THAT(PlacedBy({.window = 1}), ElementsAre(3, 1, 0, 2, 0));
  // Of two the largest: the pod of four comes third and is looked at when there is no room any more.
  EXPECT_THAT(PlacedBy({.order = QueueOrder::kLargest, .window = 2}), ElementsAre(3, 1, 0, 0, 2));
  EXPECT_THAT(PlacedBy({.order = QueueOrder::kLargest, .window = 3}), ElementsAre(3, 2, 1, 0, 0));
}

TEST(Queue, AWindowOfOneIsFirstComeFirstServed) {
  const Workload w = Saturated();
  EnvOptions o = Queue(0.7, 20);
  o.queue.window = 1;
  auto env = Env::Create(w, o);
  ASSERT_TRUE(env.ok());
  const auto decider = (*MakePolicy("first-fit", {}))->NewDecider();
  StepResult result = (*env)->Reset(5);
  int64_t last_arrival = 0;
  while (!result.is_done()) {
    EXPECT_GE((*env)->arrived_us(), last_arrival) << "overtaken";
    last_arrival = (*env)->arrived_us();
    result = *(*env)->StepDecision(decider->Decide((*env)->view(), (*env)->pod(), 1, {}));
  }
  EXPECT_GT((*env)->stats().placed, 100);
}

TEST(Queue, APodThatNoNodeCouldTakeDoesNotBlockTheWindow) {
  const Workload w = Cluster(1, 2, {Gpus("one", 1, 0.5), Gpus("three", 3, 0.5)});
  EnvOptions o = Queue(0.4, 100);
  o.queue.window = 1;
  o.queue.aging_limit_s = 60;
  const EnvStats s = Play(w, o, 1);
  EXPECT_GT(s.placed, 50);
  EXPECT_LT(LongestWait(s, 0), 3600);
}

TEST(Queue, DefaultsWrittenOutChangeNothing) {
  const Workload w = Saturated();
  EnvOptions plain = Queue(1.05, 10), written = plain;
  written.queue = {.order = QueueOrder::kArrival, .window = 1'000'000'000, .aging_limit_s = 1e9, .held_nodes = 1};
  written.reserved_nodes = 0;
  const EnvStats a = Play(w, plain, 3), b = Play(w, written, 3);
  EXPECT_EQ(a.waits_s, b.waits_s);
  EXPECT_EQ(a.allocated_gpu, b.allocated_gpu);
  EXPECT_EQ(a.reward, b.reward);
  written.queue = {.order = QueueOrder::kSmallest};
  EXPECT_NE(a.waits_s, Play(w, written, 3).waits_s) << "the comparison can't fail";
}

TEST(Reserve, ReservedNodesTakeWholeNodePodsAlone) {
  const Workload w = Saturated();
  class Watch : public PodObserver {
   public:
    void OnPod(const Env& now, uint32_t, bool) override {
      int reserved = 0;
      for (uint32_t i = 0; i < now.view().nodes().size(); ++i) {
        const auto& node = now.view().node(NodeId(i));
        if (node.spec.taints.empty()) continue;
        ++reserved;
        const int used = static_cast<int>(std::count(node.gpu_milli.begin(), node.gpu_milli.begin() + 8, 0));
        EXPECT_TRUE(used == 0 || (used == 8 && node.pod_count == 1)) << used;
        has_used = has_used || used == 8;
      }
      EXPECT_EQ(reserved, 1);
    }
    bool has_used = false;
  } watch;
  EnvOptions o = Queue(1.1, 40);
  o.form = Form::kLoss;
  const EnvStats open = Play(w, o, 2);
  o.reserved_nodes = 1;
  o.observer = &watch;
  auto env = Env::Create(w, o);
  ASSERT_TRUE(env.ok());
  for (uint64_t seed : {1, 2}) ASSERT_TRUE(RunEpisode(**env, *(*MakePolicy("first-fit", {}))->NewDecider(), seed).ok());   // again: another node
  EXPECT_TRUE(watch.has_used);
  const EnvStats& kept = (*env)->stats();
  EXPECT_EQ(kept.class_arrived, open.class_arrived);
  EXPECT_LT(kept.class_rejected[1], open.class_rejected[1]);
  EXPECT_GT(kept.class_rejected[0], open.class_rejected[0]);
}

// Declines every pod of one class; everything else as first-fit.
class Declining : public Decider {
 public:
  explicit Declining(std::string pod) : inner_((*MakePolicy("first-fit", {}))->NewDecider()), pod_(std::move(pod)) {}
  Decision Decide(const ClusterState& view, const Pod& pod, uint64_t seed, const DecideOptions& options) override {
    Decision d = inner_->Decide(view, pod, seed, options);
    if (pod.id != pod_) return d;
    d = Decision();
    if (says_why) d.refused[static_cast<size_t>(Constraint::kPolicy)] = 1;
    return d;
  }
  void Weigh(const ClusterState&, const Pod&, uint64_t, std::span<const NodeId>, Weighed*) override {}
  Explanation Explain(const ClusterState&, const Pod&, uint64_t, size_t) override { return {}; }
  bool says_why = true;

 private:
  std::unique_ptr<Decider> inner_;
  std::string pod_;
};

TEST(Refusal, ADeclinedPodIsRejectedAndNotCountedAsOneThatFitsNowhere) {
  const Workload w = Cluster(4, 8, {Gpus("one", 1, 0.5), Gpus("two", 2, 0.5)});
  for (Form form : {Form::kLoss, Form::kStatic}) {
    EnvOptions o = Queue(0.2, 10);
    o.form = form;
    o.static_until = 0.5;
    auto env = Env::Create(w, o);
    ASSERT_TRUE(env.ok());
    Declining decider("two");
    ASSERT_TRUE(RunEpisode(**env, decider, 1).ok());
    const EnvStats& s = (*env)->stats();
    EXPECT_GT(s.class_arrived[1], 5);
    EXPECT_EQ(s.declined, s.class_arrived[1]);
    EXPECT_EQ(s.rejected, s.declined) << "nothing else was turned away: the cluster is nearly empty";
    EXPECT_EQ(s.class_declined, (std::vector<int64_t>{0, s.declined}));
    EXPECT_EQ(s.arrived, s.placed + s.rejected);
    EXPECT_GT(s.rejected_gpu_hours, 0);
    EXPECT_LT(s.reward, 0);
  }
}

TEST(Refusal, NoNodeWithoutAReasonIsAnErrorAndAQueueTakesNone) {
  const Workload w = Cluster(4, 8, {Gpus("one", 1, 0.5), Gpus("two", 2, 0.5)});
  for (const bool says_why : {true, false}) {
    EnvOptions o = Queue(0.2, 1);
    if (!says_why) o.form = Form::kLoss;
    auto env = Env::Create(w, o);
    ASSERT_TRUE(env.ok());
    Declining decider("two");
    decider.says_why = says_why;
    const absl::Status status = RunEpisode(**env, decider, 1);
    EXPECT_FALSE(status.ok());
    EXPECT_THAT(std::string(status.message()), HasSubstr("a node that fits"));
  }
}

TEST(Queue, ADecisionForANodeThatIsClosedToThePodIsRefusedAndChangesNothing) {
  const Workload w = Saturated();
  EnvOptions o = Queue(0.5, 1);
  o.reserved_nodes = 1;
  auto env = Env::Create(w, o);
  ASSERT_TRUE(env.ok());
  StepResult result = (*env)->Reset(1);
  ASSERT_FALSE(result.is_done());
  while ((*env)->pod().id != "one") result = *(*env)->StepDecision((*MakePolicy("first-fit", {}))->NewDecider()->Decide((*env)->view(), (*env)->pod(), 1, {}));
  Decision d;
  d.is_placed = true;
  d.devices = 1;
  for (uint32_t i = 0; i < 3; ++i) {
    if (!(*env)->view().node(NodeId(i)).spec.taints.empty()) d.node = NodeId(i);
  }
  const Generation before = (*env)->view().generation();
  const auto stepped = (*env)->StepDecision(d);
  EXPECT_FALSE(stepped.ok());
  EXPECT_THAT(std::string(stepped.status().message()), HasSubstr("open to the pod"));
  EXPECT_EQ((*env)->view().generation(), before);
}

TEST(Queue, BadOptionsAreErrorsThatNameThem) {
  const Workload w = Saturated();
  const auto message = [&](auto change) {
    EnvOptions o = Queue(0.9, 1);
    change(o);
    const auto env = Env::Create(w, o);
    return std::string(env.ok() ? "" : env.status().message());
  };
  EXPECT_EQ(message([](EnvOptions&) {}), "");
  EXPECT_THAT(message([](EnvOptions& o) { o.queue.window = -1; }), HasSubstr("queue.window"));
  EXPECT_THAT(message([](EnvOptions& o) { o.queue.aging_limit_s = std::nan(""); }), HasSubstr("queue.aging_limit_s"));
  EXPECT_THAT(message([](EnvOptions& o) { o.queue.held_nodes = 2; }), HasSubstr("queue.held_nodes"));
  EXPECT_THAT(message([](EnvOptions& o) { o.queue.held_nodes = 0; }), HasSubstr("queue.held_nodes"));
  EXPECT_THAT(message([](EnvOptions& o) { o.reserved_nodes = 4; }), HasSubstr("from 0 to 3"));
  EXPECT_THAT(message([](EnvOptions& o) {
                o.form = Form::kLoss;
                o.queue.window = 5;
              }), HasSubstr("form"));
  EXPECT_THAT(std::string(ParseQueueOrder("best").status().message()), HasSubstr("arrival, largest, smallest, shortest"));
}

// Any options: the kit of every environment (pods are conserved, clones go on alike, invariants hold), and no pod on a closed node.
TEST(QueueProperty, TheKitHoldsWithAnyOptions) {
  for (uint64_t seed = 1; seed <= 24; ++seed) {
    Rng rng = Rng::Stream(seed, 7);
    const Workload w = Cluster(2 + static_cast<int32_t>(rng.Below(3)), 4, {Gpus("one", 1, 0.6, 400), Gpus("two", 2, 0.2, 900), Gpus("four", 4, 0.1), Gpus("five", 5, 0.03), Gpus("cpu", 0, 0.07, 200)});
    EnvOptions o = Queue(0.7 + 0.6 * rng.Uniform(), 2);
    o.warmup_us = 600 * kSecond;
    o.queue.order = static_cast<QueueOrder>(rng.Below(4));
    o.queue.window = static_cast<int64_t>(rng.Below(5));
    if (rng.Below(3) > 0) {
      o.queue.aging_limit_s = 30 + 900 * rng.Uniform();
      o.queue.held_nodes = 1 + static_cast<int64_t>(rng.Below(3));
    }
    o.reserved_nodes = static_cast<int64_t>(rng.Below(2));
    if (rng.Below(2) == 0) o.node_mtbf_s = 2000;
    if (rng.Below(5) == 0) {
      o.form = Form::kLoss;
      o.queue = {};
    }
    SCOPED_TRACE(seed);
    test::CheckEnvConformance(w, o, seed);
  }
}

}  // namespace
}  // namespace berth

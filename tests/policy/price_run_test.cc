// Prices that are solved in the background: the same prices as in place, no decision that waits or fails, a clean end; and what
// rows remember across new prices.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include "base/rng.h"
#include "policy/potential/priced_potential.h"
#include "policy/registry.h"

namespace berth {
namespace {

PodRequest Gpu(int milli, int count = 1, std::vector<std::string> models = {}) {
  PodRequest r;
  r.cpu_milli = 2000;
  r.mem_bytes = int64_t{1} << 30;
  r.gpu_count = count;
  r.gpu_milli = milli;
  r.gpu_models = std::move(models);
  return r;
}

Node GpuNode(const std::string& name, const std::string& model, int64_t gib = 384) {
  Node node;
  node.name = name;
  node.cpu_milli = 96000;
  node.mem_bytes = gib << 30;
  node.gpu_count = 8;
  node.gpu_model = model;
  return node;
}

PodMix Mix() { return {{Gpu(300), 0.3}, {Gpu(700), 0.2}, {Gpu(1000), 0.2}, {Gpu(1000, 1, {"A"}), 0.2}, {Gpu(1000, 4), 0.1}}; }

// Another thread comes to it sooner or later; a minute is a machine that hangs.
void WaitUntil(const std::function<bool()>& is_true) {
  for (int ms = 0; ms < 60'000; ++ms) {
    if (is_true()) return;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  FAIL() << "it did not come";
}

// A cluster that fills and empties at random, whatever is decided about it.
class Stream {
 public:
  explicit Stream(uint64_t seed) : rng_(Rng::Stream(seed, 7)) {
    for (int i = 0; i < 12; ++i) EXPECT_TRUE(state_.AddNode(GpuNode("n" + std::to_string(i), i % 3 == 0 ? "A" : "B")).ok());
  }

  const Pod& NextPod() {
    pod_.id = "p" + std::to_string(++count_);
    pod_.request = Mix()[rng_.Below(5)].request;
    return pod_;
  }

  void Step() {
    const ResolvedRequest request = state_.Resolve(pod_.request);
    const NodeId node(static_cast<uint32_t>(rng_.Below(12)));
    if (state_.FitsExactly(node, request)) {
      const NodeState& s = state_.state_class(state_.view(node).class_id).state;
      running_.push_back({request, node, state_.DevicesAt(node, TightestDevices(s, request))});
      EXPECT_TRUE(state_.Place(request, node, running_.back().devices).ok());
    }
    if (running_.size() > 30) {
      const size_t at = rng_.Below(running_.size());
      EXPECT_TRUE(state_.Remove(running_[at].request, running_[at].node, running_[at].devices).ok());
      running_.erase(running_.begin() + static_cast<std::ptrdiff_t>(at));
    }
  }

  ClusterState& state() { return state_; }

 private:
  struct Running {
    ResolvedRequest request;
    NodeId node;
    DeviceSet devices;
  };
  Rng rng_;
  ClusterState state_;
  Pod pod_;
  int count_ = 0;
  std::vector<Running> running_;
};

struct Priced {
  Priced(bool in_background, bool learns_mix, std::function<void()> before_solve = {}) {
    PricedOptions options;
    options.period = 0.05;
    options.learns_mix = learns_mix;
    potential = MakePricedPotential([](const PodMix& mix) { return MakeStrandingPotential(TypicalPods(mix)); }, Mix(), options,
                                    {.in_background = in_background, .stats = stats, .before_solve = std::move(before_solve)});
  }
  void Reset(const ClusterState& view) { potential->Reset(view, {view.options().mem_grain_bytes, view.options().key_fields, view.has_gpus()}); }
  ScoreVersion Observe(const ClusterState& view, const Pod& pod, bool is_arrival = true) {
    return potential->Observe(view, pod, view.Resolve(pod.request), is_arrival);
  }
  int64_t solves() const { return stats->solves.load(); }

  std::shared_ptr<PriceStats> stats = std::make_shared<PriceStats>();
  std::unique_ptr<Potential> potential;
};

// Holds solves of the thread until they are let through; lets all through at its end, which must be before that of whoever solves.
class Gate {
 public:
  std::function<void()> Keeper() {
    return [doors = doors_] {
      const int number = ++doors->begun;
      while (doors->open < number) std::this_thread::yield();
    };
  }
  ~Gate() { Open(1 << 30); }
  void Open(int solves) { doors_->open = solves; }   // so many in all
  int begun() const { return doors_->begun; }

 private:
  struct Doors {
    std::atomic<int> begun{0}, open{0};
  };
  std::shared_ptr<Doors> doors_ = std::make_shared<Doors>();
};

std::vector<double> Worths(const ClusterState& state, const Potential& potential) {
  std::vector<double> worths;
  for (const auto& [id, uid] : state.occupied()) {
    const NodeState& s = state.state_class(id).state;
    worths.push_back(potential.Worth(state.shape_of(s), s));
  }
  return worths;
}

class PriceRunTest : public ::testing::TestWithParam<bool> {};   // whether the mix is learned
INSTANTIATE_TEST_SUITE_P(Mixes, PriceRunTest, ::testing::Bool(), [](const auto& learns) { return learns.param ? "Learned" : "Given"; });

TEST_P(PriceRunTest, GivenTimeTheBackgroundEndsWithThePricesOfInPlace) {
  Stream stream(1);
  Priced in_place(false, GetParam()), background(true, GetParam());
  in_place.Reset(stream.state());
  background.Reset(stream.state());
  for (int i = 0; i < 300; ++i) {
    const Pod& pod = stream.NextPod();
    in_place.Observe(stream.state(), pod);
    background.Observe(stream.state(), pod);
    ASSERT_NO_FATAL_FAILURE(WaitUntil([&] {
      background.Observe(stream.state(), pod, false);   // no arrival: only takes what is ready
      return background.solves() == in_place.solves();
    })) << i;
    const std::vector<double> expected = Worths(stream.state(), *in_place.potential);
    ASSERT_EQ(Worths(stream.state(), *background.potential), expected) << i;
    if (i > 40) {
      ASSERT_GT(*std::max_element(expected.begin(), expected.end()), 0);
    }
    stream.Step();
  }
  EXPECT_GT(in_place.solves(), 5) << "the test can tell";
  EXPECT_EQ(background.stats->failures.load(), 0);
  EXPECT_GE(background.stats->counted_us.load(), 0);
}

TEST_P(PriceRunTest, DecisionsGoOnWithTheOldPricesWhileASolveIsUnderWay) {
  Stream stream(2);
  std::unique_ptr<Priced> priced;
  Gate gate;
  priced = std::make_unique<Priced>(true, GetParam(), gate.Keeper());
  priced->Reset(stream.state());
  ScoreVersion version;
  ASSERT_NO_FATAL_FAILURE(WaitUntil([&] {   // until a solve has begun, and stands still
    stream.Step();
    version = priced->Observe(stream.state(), stream.NextPod());
    return gate.begun() == 1;
  }));
  EXPECT_EQ(priced->solves(), 1) << "the first, in place";
  const int64_t counted_us = priced->stats->counted_us;
  const std::vector<double> before = Worths(stream.state(), *priced->potential);
  const ClusterState as_it_was = stream.state();
  for (int i = 0; i < 200; ++i) {   // twenty more solves fall due meanwhile
    EXPECT_EQ(priced->Observe(stream.state(), stream.NextPod()), version);
    stream.Step();
  }
  EXPECT_EQ(Worths(as_it_was, *priced->potential), before);
  EXPECT_EQ(priced->solves(), 1);
  EXPECT_EQ(gate.begun(), 1);
  gate.Open(1);
  ASSERT_NO_FATAL_FAILURE(WaitUntil([&] { return priced->Observe(stream.state(), stream.NextPod(), false) != version; }));
  EXPECT_EQ(priced->solves(), 2);
  EXPECT_GT(priced->stats->counted_us, counted_us);
}

// A cancelled solve, one that has just ended, one that has not begun: whatever the thread is at.
TEST_P(PriceRunTest, ADeciderEndsWhileASolveIsUnderWay) {
  for (int i = 0; i < 30; ++i) {
    Stream stream(3);
    std::unique_ptr<Priced> priced;
    Gate gate;
    priced = std::make_unique<Priced>(true, GetParam(), gate.Keeper());
    const std::shared_ptr<PriceStats> stats = priced->stats;
    priced->Reset(stream.state());
    ASSERT_NO_FATAL_FAILURE(WaitUntil([&] {
      stream.Step();
      priced->Observe(stream.state(), stream.NextPod());
      return gate.begun() == 1;
    }));
    gate.Open(1);
    for (int spin = 0; spin < 1000 * i; ++spin) std::atomic_signal_fence(std::memory_order_seq_cst);
    priced.reset();
    EXPECT_EQ(stats->solves.load(), 1) << "nobody has taken what was under way";
    EXPECT_EQ(stats.use_count(), 1) << "the thread holds nothing any more";
  }
}

// A GPU model that a class insists on joins while a solve is under way: what that solve finds means nothing any more.
TEST(PriceRun, WhatIsSolvedForOtherGpuModelsIsDropped) {
  PricedOptions options;
  options.period = 0.05;
  options.horizon = 4;   // more is to come than fits
  const PodMix mix = {{Gpu(1000), 0.5}, {Gpu(1000, 1, {"C"}), 0.5}};
  const auto make = [&](const PriceRun& run) { return MakePricedPotential([](const PodMix& m) { return MakeStrandingPotential(TypicalPods(m)); }, mix, options, run); };
  const auto stats = std::make_shared<PriceStats>();
  std::unique_ptr<Potential> background;
  Gate gate;
  background = make({.in_background = true, .stats = stats, .before_solve = gate.Keeper()});
  ClusterState state;
  for (int i = 0; i < 4; ++i) ASSERT_TRUE(state.AddNode(GpuNode("n" + std::to_string(i), "B")).ok());
  const auto reset = [&](Potential& p) { p.Reset(state, {state.options().mem_grain_bytes, {}, true}); };
  reset(*background);
  Pod pod;
  pod.request = Gpu(1000, 4);
  const auto observe = [&](bool is_arrival) { background->Observe(state, pod, state.Resolve(pod.request), is_arrival); };
  observe(true);
  observe(true);
  ASSERT_NO_FATAL_FAILURE(WaitUntil([&] { return gate.begun() == 1; }));
  const int64_t solves = stats->solves.load();
  const std::vector<double> before = Worths(state, *background);

  // A node of another size is no new mix: nothing is solved in place, and the worth stays.
  ASSERT_TRUE(state.AddNode(GpuNode("larger", "B", 385)).ok());
  reset(*background);
  observe(false);
  EXPECT_EQ(stats->solves.load(), solves);
  EXPECT_EQ(Worths(state, *background).front(), before.front());

  ASSERT_TRUE(state.AddNode(GpuNode("c", "C")).ok());
  reset(*background);
  observe(false);
  EXPECT_EQ(stats->solves.load(), solves + 1) << "in place: there are no prices to go on with";
  const std::vector<double> anew = Worths(state, *background);
  EXPECT_NE(anew.front(), before.front());
  gate.Open(1);
  observe(true);   // due again, once the first one has ended and was taken back
  ASSERT_NO_FATAL_FAILURE(WaitUntil([&] { return observe(false), gate.begun() == 2; }));
  EXPECT_EQ(Worths(state, *background), anew);
  EXPECT_EQ(stats->solves.load(), solves + 1);
  gate.Open(2);
  ASSERT_NO_FATAL_FAILURE(WaitUntil([&] { return observe(false), stats->solves == solves + 2; }));
}

// What a row remembers across new prices gives the very score that is worked out anew.
TEST_P(PriceRunTest, RowsThatRememberScoreAsAFreshScoreDoes) {
  Stream stream(4);
  PricedOptions options;
  options.period = 0.05;
  options.learns_mix = GetParam();
  const auto scorer = MakePotentialScorer(MakePricedPotential([](const PodMix& mix) { return MakeStrandingPotential(TypicalPods(mix)); }, Mix(), options));
  const ScoreContext context{stream.state().options().mem_grain_bytes, {}, true};
  scorer->Reset(stream.state(), context);
  const ResolvedRequest request = stream.state().Resolve(Gpu(300));
  std::unique_ptr<ClassScorer::RowMemo> memo = scorer->NewRowMemo();
  ASSERT_NE(memo, nullptr);
  std::vector<uint64_t> known(1000);
  ScoreVersion last;
  int new_prices = 0, remembered = 0;
  for (int i = 0; i < 300; ++i) {
    const Pod& pod = stream.NextPod();
    const ClusterState& view = stream.state();
    const ScoreVersion version = scorer->Observe(view, pod, view.Resolve(pod.request), true);
    new_prices += version.prices != last.prices;
    if (version.values != last.values) {
      memo = scorer->NewRowMemo();
      std::fill(known.begin(), known.end(), 0);
    }
    last = version;
    for (const auto& [id, uid] : view.occupied()) {
      const NodeState& s = view.state_class(id).state;
      const Shape& shape = view.shape_of(s);
      ASSERT_LT(id.value, known.size());
      if (FirstViolation(shape, s, request)) continue;
      const bool is_known = std::exchange(known[id.value], uid) == uid;
      remembered += is_known;
      ASSERT_EQ(scorer->RowScore({id.value, uid, shape, s}, request, is_known, memo.get()), scorer->Score(shape, s, request).score) << i;
    }
    stream.Step();
  }
  EXPECT_GT(new_prices, 5);
  EXPECT_GT(remembered, 500);
}

// Through the registry, as a server runs it: every decision fits, and prices come.
TEST(PriceRun, ServedDecisionsFit) {
  Stream stream(5);
  PolicyContext context;
  context.mix = Mix();
  const auto stats = std::make_shared<PriceStats>();
  context.price_run = {.in_background = true, .stats = stats};
  const auto policy = MakePolicy("stranding-priced", context);
  ASSERT_TRUE(policy.ok()) << policy.status();
  const auto decider = (*policy)->NewDecider();
  int placed = 0;
  for (int i = 0; i < 20'000 && (i < 300 || stats->solves.load() < 5); ++i) {
    const Pod pod = stream.NextPod();
    const Decision d = decider->Decide(stream.state(), pod, static_cast<uint64_t>(i), {});
    if (d.is_placed) {
      ++placed;
      EXPECT_FALSE(stream.state().Violation(d.node, pod, stream.state().Resolve(pod.request)).has_value());
    }
    stream.Step();
  }
  EXPECT_GT(placed, 200);
  EXPECT_GE(stats->solves.load(), 5);
  EXPECT_EQ(stats->failures.load(), 0);
}

}  // namespace
}  // namespace berth

#include "evaluate/bound.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <map>

#include "evaluate/placement_lp.h"
#include "fmt/format.h"
#include "openb_bounds.h"
#include "policy/registry.h"
#include "workload/summary.h"

namespace berth {
namespace {

Node NodeOf(int64_t cpus, int64_t gib, int gpus, std::string model = "") {
  Node n;
  n.name = "n";
  n.cpu_milli = cpus * 1000;
  n.mem_bytes = gib << 30;
  n.gpu_count = gpus;
  n.gpu_model = std::move(model);
  return n;
}

PodRequest Ask(int64_t cpus, int64_t gib, int gpus, int milli, std::vector<std::string> models = {}) {
  PodRequest r;
  r.cpu_milli = cpus * 1000;
  r.mem_bytes = gib << 30;
  r.gpu_count = gpus;
  r.gpu_milli = milli;
  r.gpu_models = std::move(models);
  return r;
}

double Gpus(const PodRequest& r) { return static_cast<double>(r.total_gpu_milli()) / kWholeGpuMilli; }

std::vector<double> GpuValues(const std::vector<PodRequest>& classes) {
  std::vector<double> value;
  for (const PodRequest& r : classes) value.push_back(Gpus(r));
  return value;
}

PlacementBounds BoundsOf(const std::vector<Node>& nodes, const std::vector<PodRequest>& classes, const std::vector<double>& supply,
                         const PlacementLpOptions& options = {}, const PlacementLp::Relation& relation = NeedsNoMore) {
  const auto bounds = PlacementLp(nodes, classes, relation).Solve(supply, GpuValues(classes), options);
  EXPECT_TRUE(bounds.ok()) << bounds.status();
  return bounds.ok() ? *bounds : PlacementBounds{};
}

// --- Small cases, computed by hand ---------------------------------------------------------------------------------------

TEST(PlacementLp, ADeviceHoldsOnePodOf810Milli) {
  const std::vector<Node> nodes = {NodeOf(10, 10, 2)};
  EXPECT_NEAR(BoundsOf(nodes, {Ask(1, 1, 1, 810)}, {4}).may_refuse.value, 1.62, 1e-9);
  EXPECT_NEAR(BoundsOf(nodes, {Ask(1, 1, 1, 810), Ask(1, 1, 1, 190)}, {4, 4}).may_refuse.value, 2.0, 1e-9);
  EXPECT_NEAR(BoundsOf(nodes, {Ask(1, 1, 1, 810), Ask(1, 1, 1, 191)}, {4, 4}).may_refuse.value, 1.62, 1e-9);
}

TEST(PlacementLp, WhoMayNotRefuseTakesTheAwkwardPodsToo) {
  const std::vector<Node> nodes = {NodeOf(10, 10, 2)};
  // Refusing: two whole pods. Not refusing: as large a share of the 810s as of the whole ones, so one each.
  const PlacementBounds bounds = BoundsOf(nodes, {Ask(1, 1, 1, 810), Ask(1, 1, 1, 1000)}, {4, 4});
  EXPECT_NEAR(bounds.may_refuse.value, 2.0, 1e-9);
  EXPECT_NEAR(bounds.no_refusal.value, 1.81, 1e-9);
  // The 810s need more cpu: they may fail where whole ones are placed.
  EXPECT_NEAR(BoundsOf(nodes, {Ask(2, 1, 1, 810), Ask(1, 1, 1, 1000)}, {4, 4}).no_refusal.value, 2.0, 1e-9);
}

TEST(PlacementLp, PodsStayOnTheirModels) {
  const std::vector<Node> nodes = {NodeOf(10, 10, 1, "A"), NodeOf(10, 10, 1, "B")};
  EXPECT_NEAR(BoundsOf(nodes, {Ask(1, 1, 1, 1000, {"A"})}, {2}).may_refuse.value, 1.0, 1e-9);
  EXPECT_NEAR(BoundsOf(nodes, {Ask(1, 1, 1, 1000, {"A", "B"})}, {2}).may_refuse.value, 2.0, 1e-9);
  EXPECT_NEAR(BoundsOf(nodes, {Ask(1, 1, 1, 1000, {"C"})}, {2}).may_refuse.value, 0.0, 1e-9);
  // Untyped pods are no harder than typed ones, so they take their share of the scarce model.
  const PlacementBounds bounds = BoundsOf({NodeOf(10, 10, 1, "A")}, {Ask(1, 1, 1, 500), Ask(1, 1, 1, 1000, {"A"})}, {1, 1});
  EXPECT_NEAR(bounds.may_refuse.value, 1.0, 1e-9);
  EXPECT_NEAR(bounds.no_refusal.value, 0.75, 1e-9);   // half of each; there is no second 500 to fill the device
}

TEST(PlacementLp, PodsOfSeveralDevicesNeedThemOnOneNode) {
  EXPECT_NEAR(BoundsOf({NodeOf(10, 10, 4), NodeOf(10, 10, 1)}, {Ask(1, 1, 2, 1000)}, {3}).may_refuse.value, 4.0, 1e-9);
  EXPECT_NEAR(BoundsOf({NodeOf(10, 10, 1), NodeOf(10, 10, 1)}, {Ask(1, 1, 2, 1000)}, {3}).may_refuse.value, 0.0, 1e-9);
  // Halves of several devices are slots like any other.
  EXPECT_NEAR(BoundsOf({NodeOf(10, 10, 2)}, {Ask(1, 1, 2, 600)}, {3}).may_refuse.value, 1.2, 1e-9);
}

TEST(PlacementLp, CpuMemoryAndPodSlotsBindInSum) {
  EXPECT_NEAR(BoundsOf({NodeOf(10, 100, 2)}, {Ask(8, 1, 1, 1000)}, {2}).may_refuse.value, 1.25, 1e-9);
  EXPECT_NEAR(BoundsOf({NodeOf(100, 10, 2)}, {Ask(1, 8, 1, 1000)}, {2}).may_refuse.value, 1.25, 1e-9);
  Node one_slot = NodeOf(100, 100, 2);
  one_slot.max_pods = 1;
  EXPECT_NEAR(BoundsOf({one_slot}, {Ask(1, 1, 1, 1000)}, {2}).may_refuse.value, 1.0, 1e-9);
  Node rdma = NodeOf(100, 100, 2);
  rdma.extended = {{"rdma", 3}};
  PodRequest two = Ask(1, 1, 1, 1000);
  two.extended = {{"rdma", 2}};
  EXPECT_NEAR(BoundsOf({rdma}, {two}, {2}).may_refuse.value, 1.5, 1e-9);
  rdma.extended = {{"disk_bytes", int64_t{3} << 40}};
  two.extended = {{"disk_bytes", int64_t{2} << 40}};
  EXPECT_NEAR(BoundsOf({rdma}, {two}, {2}).may_refuse.value, 1.5, 1e-9);
  two.extended = {{"unknown", 1}};
  EXPECT_NEAR(BoundsOf({rdma}, {two}, {2}).may_refuse.value, 0, 1e-9);
}

TEST(PlacementLp, PodsWithoutGpuTakeCpuFromThoseWithOne) {
  // 2 cpus, one whole pod of 1 cpu, four of 1 cpu without GPU that are no harder: x + 4 x <= 2.
  const PlacementBounds bounds = BoundsOf({NodeOf(2, 100, 1)}, {Ask(1, 1, 1, 1000), Ask(1, 1, 0, 0)}, {1, 4});
  EXPECT_NEAR(bounds.may_refuse.value, 1.0, 1e-9);
  EXPECT_NEAR(bounds.no_refusal.value, 0.4, 1e-9);
}

TEST(PlacementLp, ADeviceHoldsNoMoreCopiesThanThereArePods) {
  const std::vector<Node> nodes = {NodeOf(10, 10, 1)};
  const std::vector<PodRequest> classes = {Ask(1, 1, 1, 400), Ask(1, 1, 1, 700)};
  EXPECT_NEAR(BoundsOf(nodes, classes, {1, 1}).may_refuse.value, 0.7, 1e-9);
  PlacementLpOptions of_means;
  of_means.limit_copies = false;
  EXPECT_NEAR(BoundsOf(nodes, classes, {1, 1}, of_means).may_refuse.value, 0.75, 1e-9);   // half a device with two 400s
}

TEST(PlacementLp, RefusesSuppliesAndValuesThatAreNone) {
  PlacementLp lp(std::vector<Node>{NodeOf(1, 1, 1)}, {Ask(1, 1, 1, 500)});
  const std::vector<double> one = {1}, two = {1, 1}, negative = {-1}, endless = {INFINITY};
  EXPECT_EQ(lp.Solve(two, one, {}).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(lp.Solve(one, negative, {}).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(lp.Solve(endless, one, {}).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_TRUE(lp.Solve(one, one, {}).ok());
}

TEST(NeedsNoMore, LooksAtEveryResourceAndAtTheModels) {
  const PodRequest hard = Ask(4, 8, 1, 500, {"A"});
  EXPECT_TRUE(NeedsNoMore(hard, hard));
  EXPECT_TRUE(NeedsNoMore(Ask(4, 8, 1, 400, {"A", "B"}), hard));
  EXPECT_TRUE(NeedsNoMore(Ask(4, 8, 0, 0), hard));
  EXPECT_FALSE(NeedsNoMore(Ask(5, 8, 1, 400), hard));
  EXPECT_FALSE(NeedsNoMore(Ask(4, 9, 1, 400), hard));
  EXPECT_FALSE(NeedsNoMore(Ask(4, 8, 1, 501), hard));
  EXPECT_FALSE(NeedsNoMore(Ask(4, 8, 2, 400), hard));
  EXPECT_FALSE(NeedsNoMore(Ask(4, 8, 1, 500, {"B"}), hard));
  EXPECT_FALSE(NeedsNoMore(Ask(4, 8, 1, 500, {"A"}), Ask(4, 8, 1, 500)));
  EXPECT_TRUE(NeedsNoMore(Ask(4, 8, 1, 1000), Ask(4, 8, 2, 1000)));
  PodRequest extended = hard;
  extended.extended = {{"rdma", 1}};
  EXPECT_FALSE(NeedsNoMore(extended, hard));
  EXPECT_TRUE(NeedsNoMore(hard, extended));
}

// --- Against brute force -------------------------------------------------------------------------------------------------

// Nodes with what is free on them, small enough to try everything.
struct Tiny {
  struct Free {
    int64_t cpu_milli, mem_bytes;
    std::vector<int> devices;
    auto operator<=>(const Free&) const = default;
  };
  std::vector<Node> nodes;
  std::vector<PodRequest> classes;

  std::vector<Free> Empty() const {
    std::vector<Free> free;
    for (const Node& n : nodes) free.push_back({n.cpu_milli, n.mem_bytes, std::vector<int>(static_cast<size_t>(n.gpu_count), kWholeGpuMilli)});
    return free;
  }
  // Every state that placing a pod can lead to. Which of the devices a pod of several takes matters, so all subsets are tried.
  std::vector<std::vector<Free>> After(const std::vector<Free>& before, const PodRequest& r) const {
    std::vector<std::vector<Free>> all;
    for (size_t i = 0; i < nodes.size(); ++i) {
      const bool is_allowed = r.gpu_count == 0 || r.gpu_models.empty() || std::count(r.gpu_models.begin(), r.gpu_models.end(), nodes[i].gpu_model) > 0;
      if (!is_allowed || before[i].cpu_milli < r.cpu_milli || before[i].mem_bytes < r.mem_bytes) continue;
      for (unsigned subset = 0; subset < 1u << before[i].devices.size(); ++subset) {
        if (__builtin_popcount(subset) != r.gpu_count) continue;
        auto after = before;
        after[i].cpu_milli -= r.cpu_milli;
        after[i].mem_bytes -= r.mem_bytes;
        bool fits = true;
        for (size_t d = 0; d < after[i].devices.size(); ++d) {
          if (subset >> d & 1) fits &= (after[i].devices[d] -= r.gpu_milli) >= 0;
        }
        if (fits) all.push_back(std::move(after));
      }
    }
    return all;
  }
};

Tiny RandomTiny(Rng& rng) {
  Tiny t;
  for (uint64_t i = 0, n = 1 + rng.Below(2); i < n; ++i) {
    t.nodes.push_back(NodeOf(4 + static_cast<int64_t>(rng.Below(8)), 4 + static_cast<int64_t>(rng.Below(8)), 1 + static_cast<int>(rng.Below(2)), rng.Below(2) ? "A" : "B"));
  }
  for (int i = 0; i < 3; ++i) {
    const uint64_t kind = rng.Below(6);
    const auto cpus = 1 + static_cast<int64_t>(rng.Below(4)), gib = 1 + static_cast<int64_t>(rng.Below(4));
    if (kind == 0) t.classes.push_back(Ask(cpus, gib, 0, 0));
    else if (kind == 1) t.classes.push_back(Ask(cpus, gib, 2, 1000));
    else t.classes.push_back(Ask(cpus, gib, 1, 100 * (1 + static_cast<int>(rng.Below(10)))));
    if (kind > 0 && rng.Below(3) == 0) t.classes.back().gpu_models = {"A"};
  }
  return t;
}

// The most that can be placed of `pods` by whoever may refuse and knows them all.
double BestWithHindsight(const Tiny& t, const std::vector<Tiny::Free>& state, const std::vector<size_t>& pods, size_t next) {
  if (next == pods.size()) return 0;
  double best = BestWithHindsight(t, state, pods, next + 1);
  const PodRequest& r = t.classes[pods[next]];
  for (const auto& after : t.After(state, r)) best = std::max(best, Gpus(r) + BestWithHindsight(t, after, pods, next + 1));
  return best;
}

TEST(PlacementLpBruteForce, NoScheduleBeatsTheBoundThatMayRefuse) {
  Rng rng(5);
  int tight = 0, loose = 0;
  for (int instance = 0; instance < 150; ++instance) {
    const Tiny t = RandomTiny(rng);
    std::vector<size_t> pods;
    std::vector<double> supply(t.classes.size(), 0);
    for (int i = 0; i < 5; ++i) {
      pods.push_back(rng.Below(t.classes.size()));
      supply[pods.back()] += 1;
    }
    const double best = BestWithHindsight(t, t.Empty(), pods, 0);
    const double bound = BoundsOf(t.nodes, t.classes, supply).may_refuse.value;
    ASSERT_LE(best, bound + 1e-6) << instance;
    (bound < best + 1e-6 ? tight : loose)++;
  }
  EXPECT_GT(tight, 50);   // it is no bound that is always far away
  EXPECT_GT(loose, 0);
}

// The most that can be placed on average of `left` pods drawn independently, by whoever places every pod that fits and knows
// the shares. Exact, by dynamic programming.
class NonRefusing {
 public:
  NonRefusing(const Tiny& tiny, const std::vector<double>& shares) : tiny_(tiny), shares_(shares) {}

  double Best(const std::vector<Tiny::Free>& state, int left) {
    if (left == 0) return 0;
    const auto key = std::pair{state, left};
    if (const auto it = known_.find(key); it != known_.end()) return it->second;
    double mean = 0;
    for (size_t k = 0; k < tiny_.classes.size(); ++k) {
      double best = -1;
      for (const auto& after : tiny_.After(state, tiny_.classes[k])) best = std::max(best, Gpus(tiny_.classes[k]) + Best(after, left - 1));
      mean += shares_[k] * (best < 0 ? Best(state, left - 1) : best);
    }
    return known_[key] = mean;
  }

 private:
  const Tiny& tiny_;
  const std::vector<double>& shares_;
  std::map<std::pair<std::vector<Tiny::Free>, int>, double> known_;
};

struct Beaten {
  int times = 0;        // the best policy was better than the bound
  double least_gap = 1e9;
};

Beaten TryNoRefusal(const PlacementLp::Relation& relation) {
  Rng rng(6);
  Beaten beaten;
  constexpr int kPods = 6;
  for (int instance = 0; instance < 100; ++instance) {
    const Tiny t = RandomTiny(rng);
    std::vector<double> shares(t.classes.size()), supply(t.classes.size());
    double sum = 0;
    for (double& s : shares) sum += s = 0.2 + rng.Uniform();
    for (size_t k = 0; k < shares.size(); ++k) supply[k] = kPods * (shares[k] /= sum);
    PlacementLpOptions of_means;
    of_means.limit_copies = false;
    const double best = NonRefusing(t, shares).Best(t.Empty(), kPods);
    const double bound = BoundsOf(t.nodes, t.classes, supply, of_means, relation).no_refusal.value;
    beaten.times += best > bound + 1e-6;
    beaten.least_gap = std::min(beaten.least_gap, bound - best);
  }
  return beaten;
}

TEST(PlacementLpBruteForce, NoPolicyThatNeverRefusesBeatsItsBound) {
  const Beaten beaten = TryNoRefusal(NeedsNoMore);
  EXPECT_EQ(beaten.times, 0);
  EXPECT_LT(beaten.least_gap, 0.3);
}

// Positive controls: with relations that are wrong, the check above must find policies that beat the "bound".
TEST(PlacementLpBruteForce, WrongRefusalRowsAreCaught) {
  EXPECT_GT(TryNoRefusal([](const PodRequest& easy, const PodRequest& hard) { return NeedsNoMore(hard, easy); }).times, 0);
  EXPECT_GT(TryNoRefusal([](const PodRequest& easy, const PodRequest& hard) { return easy.gpu_count <= hard.gpu_count && easy.gpu_milli <= hard.gpu_milli; }).times, 0);
}

TEST(PlacementLpBruteForce, WithoutTheMemoryRowTheBoundIsWeaker) {
  Rng rng(7);
  int weaker = 0;
  for (int instance = 0; instance < 100; ++instance) {
    Tiny t = RandomTiny(rng);
    const std::vector<double> supply = {2, 2, 2};
    const double with = BoundsOf(t.nodes, t.classes, supply).may_refuse.value;
    for (PodRequest& r : t.classes) r.mem_bytes = 0;
    const double without = BoundsOf(t.nodes, t.classes, supply).may_refuse.value;
    ASSERT_GE(without, with - 1e-7) << instance;
    weaker += without > with + 1e-3;
  }
  EXPECT_GT(weaker, 10);
}

// --- The proof -----------------------------------------------------------------------------------------------------------

TEST(PlacementLp, ABoundThatWasCutShortIsABound) {
  // Sizes that fill a device only together, so that the first patterns, of one size each, are far from enough.
  const std::vector<Node> nodes(20, NodeOf(96, 384, 8));
  std::vector<PodRequest> classes;
  for (const int milli : {290, 330, 370, 450, 550, 630, 710, 810, 1000}) classes.push_back(Ask(1, 1, 1, milli));
  const std::vector<double> supply(classes.size(), 40);
  const PlacementBounds whole = BoundsOf(nodes, classes, supply);
  EXPECT_NEAR(whole.may_refuse.value, whole.may_refuse.lp_objective, 1e-5);
  EXPECT_NEAR(whole.no_refusal.value, whole.no_refusal.lp_objective, 1e-5);
  EXPECT_LT(whole.no_refusal.value, whole.may_refuse.value - 1e-3);
  EXPECT_GT(whole.no_refusal.refusal_rows, 0);
  bool was_unfinished = false, was_above = false;
  for (int rounds = 1; rounds < std::max(whole.may_refuse.rounds, whole.no_refusal.rounds); ++rounds) {
    PlacementLpOptions options;
    options.max_rounds = rounds;
    const PlacementBounds cut = BoundsOf(nodes, classes, supply, options);
    ASSERT_GE(cut.may_refuse.value, whole.may_refuse.value - 1e-5) << rounds;
    ASSERT_GE(cut.no_refusal.value, whole.no_refusal.value - 1e-5) << rounds;
    was_unfinished |= cut.may_refuse.lp_objective < whole.may_refuse.value - 1e-2;
    was_above |= cut.may_refuse.value > whole.may_refuse.value + 1e-2;
  }
  EXPECT_TRUE(was_unfinished);   // positive control: what the LP itself said at that time was no bound
  EXPECT_TRUE(was_above);
}

TEST(PlacementLp, WhatWasKeptFromAnotherSupplyChangesNothing) {
  const Workload w = *ScaleNodes(*BuiltinWorkload("openb-like"), 50);
  std::vector<PodRequest> classes;
  std::vector<double> much, little;
  for (const PodClass& c : w.pod_classes) {
    classes.push_back(c.request);
    much.push_back(std::round(c.share * 800));
    little.push_back(std::round(c.share * 300));
  }
  const std::vector<double> value = GpuValues(classes);
  PlacementLp kept(w.Nodes(), classes);
  const auto first = kept.Solve(much, value, {});
  ASSERT_TRUE(first.ok());
  for (const auto* supply : {&little, &much, &little}) {
    const auto again = kept.Solve(*supply, value, {});
    const auto fresh = PlacementLp(w.Nodes(), classes).Solve(*supply, value, {});
    ASSERT_TRUE(again.ok() && fresh.ok());
    EXPECT_NEAR(again->may_refuse.value, fresh->may_refuse.value, 1e-5);
    EXPECT_NEAR(again->no_refusal.value, fresh->no_refusal.value, 1e-5);
  }
}

// Real nodes of one type differ by a little memory, each from each.
TEST(PlacementLp, ManyShapesAreTakenTogetherAndTheBoundStaysABound) {
  Rng rng(8);
  std::vector<Node> nodes, alike, rich;
  for (int i = 0; i < 200; ++i) {
    Node n = NodeOf(16, 64, 2, i % 2 ? "A" : "B");
    alike.push_back(n);
    n.mem_bytes -= static_cast<int64_t>(rng.Below(1 << 20));
    nodes.push_back(n);
    n.cpu_milli = 4000 + static_cast<int64_t>(rng.Below(30'000));   // no two alike, far apart
    n.max_pods = 100 + i;
    n.extended = {{"x", i}};
    rich.push_back(n);
  }
  const std::vector<PodRequest> classes = {Ask(7, 20, 1, 1000), Ask(3, 40, 1, 810, {"A"}), Ask(1, 1, 1, 190), Ask(9, 9, 0, 0)};
  const std::vector<double> supply = {200, 100, 300, 100};
  const PlacementBounds near = BoundsOf(nodes, classes, supply), same = BoundsOf(alike, classes, supply);
  EXPECT_LE(near.no_refusal.value, same.no_refusal.value + 1e-6);
  EXPECT_NEAR(near.no_refusal.value, same.no_refusal.value, 1e-3 * same.no_refusal.value);
  // 64 shapes at most are told apart. Nodes that have nothing make of 60 shapes too many, and the bound only weaker.
  const std::vector<Node> few(rich.begin(), rich.begin() + 60);
  const double exact = BoundsOf(few, classes, supply).may_refuse.value;
  auto padded = few;
  for (int i = 0; i < 60; ++i) {
    Node nothing = NodeOf(0, 0, 0, "A");
    nothing.max_pods = 0;
    nothing.cpu_milli = i;
    padded.push_back(nothing);
  }
  EXPECT_GE(BoundsOf(padded, classes, supply).may_refuse.value, exact - 1e-6);
  EXPECT_GT(exact, 20);
}

// --- With departures -----------------------------------------------------------------------------------------------------

Workload Departures(const std::vector<Node>& nodes, const std::vector<PodRequest>& classes) {
  Workload w;
  w.name = "test";
  for (const Node& n : nodes) w.node_groups.push_back({n, 1});
  for (const PodRequest& r : classes) w.pod_classes.push_back({fmt::format("c{}", w.pod_classes.size()), r, 1, {}});
  for (size_t i = 0; i < nodes.size(); ++i) w.node_groups[i].node.name = fmt::format("n{}", i);
  EXPECT_TRUE(FinishWorkload(w).ok());
  return w;
}

TEST(BoundChurn, SmallCasesByHand) {
  const std::vector<double> loads = {0.5, 1, 2};
  const auto one = *BoundChurn(Departures({NodeOf(10, 10, 1)}, {Ask(1, 1, 1, 1000)}), loads);
  EXPECT_NEAR(one[0].rejected_percent.no_refusal, 0, 1e-6);
  EXPECT_NEAR(one[1].rejected_percent.no_refusal, 0, 1e-6);
  EXPECT_NEAR(one[2].rejected_percent.no_refusal, 50, 1e-6);
  // Half of the pods are 810s and strand 190 milli; load 2 = two devices' worth of demand on one, 2 / 1.81 of each class.
  const auto two = *BoundChurn(Departures({NodeOf(10, 10, 1)}, {Ask(1, 1, 1, 1000), Ask(1, 1, 1, 810)}), loads);
  EXPECT_NEAR(two[2].rejected_percent.may_refuse, 50, 1e-6);
  EXPECT_NEAR(two[2].rejected_percent.no_refusal, 100 * (1 - 0.905 / 2), 1e-6);
  EXPECT_LT(two[2].rejected_percent.may_refuse, two[2].rejected_percent.no_refusal);
  // Lives weigh: a class that lives three times as long is three times as much of what runs.
  Workload lives = Departures({NodeOf(10, 10, 1)}, {Ask(1, 1, 1, 1000), Ask(1, 1, 1, 810)});
  lives.pod_classes[1].lifetime.mean_s *= 3;
  EXPECT_NEAR((*BoundChurn(lives, loads))[2].rejected_percent.no_refusal, 100 * (1 - (1 + 3 * 0.81) / 4 / 2), 1e-6);
}

TEST(BoundChurn, WithoutGpusCpuHoursCount) {
  // 4 cpus and 4 GiB; pods of 1 cpu and 2 GiB: memory is the load resource, and at load 2 half of everything is rejected.
  const auto bounds = *BoundChurn(Departures({NodeOf(4, 4, 0)}, {Ask(1, 2, 0, 0)}), std::vector<double>{1, 2});
  EXPECT_NEAR(bounds[0].rejected_percent.no_refusal, 0, 1e-6);
  EXPECT_NEAR(bounds[1].rejected_percent.no_refusal, 50, 1e-6);
}

TEST(BoundChurn, SaysWhereThereIsNone) {
  Workload w = Departures({NodeOf(10, 10, 1)}, {Ask(1, 1, 1, 1000)});
  w.pod_classes[0].lifetime.kind = Lifetime::Kind::kUnlimited;
  EXPECT_EQ(BoundChurn(w, std::vector<double>{1}).status().code(), absl::StatusCode::kFailedPrecondition);
  w = Departures({NodeOf(10, 10, 1)}, {Ask(1, 1, 1, 1000)});
  w.arrivals = {{1, 0, 5}};
  EXPECT_EQ(BoundChurn(w, std::vector<double>{1}).status().code(), absl::StatusCode::kFailedPrecondition);
}

// Measured in the same environment, over long runs: every rule loses more than the bound, with a cluster that is small
// enough for chance and large enough for the bound to bind.
TEST(BoundChurn, NoRuleRejectsLess) {
  for (const char* name : {"openb-like", "vm-like"}) {
    Workload w = *ScaleNodes(*BuiltinWorkload(name), 20);
    for (PodClass& c : w.pod_classes) c.lifetime = Lifetime{};   // an hour, so that the run is long
    ChurnOptions churn;
    churn.env.warmup_us = 5 * int64_t{3'600'000'000};
    churn.env.window_us = 40 * int64_t{3'600'000'000};
    churn.loads = {1.0, 1.3};
    churn.seeds = {1, 2};
    PolicyContext context;
    context.mix = MixOf(w);
    const auto bounds = *BoundChurn(w, churn.loads);
    EXPECT_GT(bounds[1].rejected_percent.no_refusal, 5) << name;
    const auto runs = RunChurn(w, churn, {*MakePolicy("best-fit", context), *MakePolicy("fgd", context)}, {0, true});
    ASSERT_TRUE(runs.ok()) << runs.status();
    const bool has_gpus = LoadResourceOf(w) == LoadResource::kGpu;
    for (size_t i = 0; i < runs->size(); i += 2) {
      double rejected = 0;
      for (const ChurnRun& run : {(*runs)[i], (*runs)[i + 1]}) rejected += (has_gpus ? run.rejected_gpu_hours_percent() : run.rejected_cpu_hours_percent()) / 2;
      EXPECT_GT(rejected, bounds[(*runs)[i].load > 1.1].rejected_percent.no_refusal) << name << " " << (*runs)[i].policy;
    }
  }
}

TEST(BoundRecorded, SmallCasesByHand) {
  constexpr int64_t kSecond = 1'000'000;
  Workload w = Departures({NodeOf(10, 10, 1)}, {Ask(1, 1, 1, 1000), Ask(1, 1, 1, 600)});
  const std::vector<double> loads = {1};
  const auto lost = [&](std::vector<Arrival> arrivals, int64_t warmup_us = 0, int64_t window_us = kForever) {
    w.arrivals = std::move(arrivals);
    const auto bounds = BoundRecorded(w, loads, warmup_us, window_us);
    EXPECT_TRUE(bounds.ok()) << bounds.status();
    return (*bounds)[0].rejected_percent.may_refuse;
  };
  // Two at once on one device; one after the other; half of the time at once.
  EXPECT_NEAR(lost({{1, 0, 10 * kSecond}, {1, 0, 10 * kSecond}}), 50, 1e-6);
  EXPECT_NEAR(lost({{1, 0, 10 * kSecond}, {1 + 10 * kSecond, 0, 10 * kSecond}}), 0, 1e-6);
  EXPECT_NEAR(lost({{1, 0, 10 * kSecond}, {1 + 5 * kSecond, 0, 10 * kSecond}}), 25, 1e-6);
  EXPECT_NEAR(lost({{1, 1, 10 * kSecond}, {1, 1, 10 * kSecond}}), 50, 1e-6);   // two times 600 milli don't fit either
  // Only what arrives in the window counts, and what lives for ever counts for an hour.
  EXPECT_NEAR(lost({{1, 0, 10 * kSecond}, {1 + kSecond, 0, 10 * kSecond}}, 2), 0, 1e-6);
  EXPECT_NEAR(lost({{1, 0, 10 * kSecond}, {1 + kSecond, 0, 10 * kSecond}}, 0, kSecond), 0, 1e-6);
  EXPECT_NEAR(lost({{1, 0, kForever}, {1, 0, kForever}}), 50, 1e-6);
  // A coarser cut is weaker, never wrong.
  w.arrivals = {{1, 0, 10 * kSecond}, {1, 0, 10 * kSecond}, {1 + 30 * kSecond, 0, 10 * kSecond}};
  const double fine = (*BoundRecorded(w, loads, 0, kForever, 100))[0].rejected_percent.may_refuse, coarse = (*BoundRecorded(w, loads, 0, kForever, 1))[0].rejected_percent.may_refuse;
  EXPECT_NEAR(fine, 100.0 / 3, 1e-6);
  EXPECT_LT(coarse, fine);
  // Twice as dense at load 2: the third comes while the first two run.
  w.arrivals = {{1, 0, 10 * kSecond}, {1 + 15 * kSecond, 0, 10 * kSecond}};
  const auto denser = *BoundRecorded(w, std::vector<double>{1, 2}, 0, kForever);
  EXPECT_NEAR(denser[0].rejected_percent.may_refuse, 0, 1e-6);
  EXPECT_NEAR(denser[1].rejected_percent.may_refuse, 100 * 2.5 / 20, 1e-4);
  w.arrivals.clear();
  EXPECT_EQ(BoundRecorded(w, loads, 0, kForever).status().code(), absl::StatusCode::kFailedPrecondition);
  w.arrivals = {{1, 0, 10}};
  EXPECT_EQ(BoundRecorded(w, loads, 5, kForever).status().code(), absl::StatusCode::kFailedPrecondition);
}

// Run by run on the same stream, not on average. The cluster is full all the time, so the bound is far from nothing.
TEST(BoundRecorded, NoRunRejectsLess) {
  for (const char* name : {"openb-like", "vm-like"}) {
    Workload w = *ScaleNodes(*BuiltinWorkload(name), 10);
    for (PodClass& c : w.pod_classes) c.lifetime = Lifetime{};
    PolicyContext context;
    context.mix = MixOf(w);
    const bool has_gpus = LoadResourceOf(w) == LoadResource::kGpu;
    for (const uint64_t seed : {1, 2, 3}) {
      const Workload recorded = *RecordArrivals(w, 1.4, seed, 12);
      ChurnOptions churn;
      churn.env.warmup_us = 2 * int64_t{3'600'000'000};
      churn.env.window_us = 8 * int64_t{3'600'000'000};
      churn.loads = {1.0};
      churn.seeds = {seed};
      const auto bound = BoundRecorded(recorded, churn.loads, churn.env.warmup_us, churn.env.window_us, 100);
      const auto runs = RunChurn(recorded, churn, {*MakePolicy("best-fit", context), *MakePolicy("fgd", context)}, {0, true});
      ASSERT_TRUE(bound.ok() && runs.ok());
      EXPECT_GT((*bound)[0].rejected_percent.may_refuse, 5) << name;
      for (const ChurnRun& run : *runs) {
        EXPECT_GT(has_gpus ? run.rejected_gpu_hours_percent() : run.rejected_cpu_hours_percent(), (*bound)[0].rejected_percent.may_refuse) << name << " " << run.policy;
      }
    }
  }
}

TEST(AvoidableLoss, IsTheShareOfTheWayFromTheBestRuleToTheBound) {
  EXPECT_DOUBLE_EQ(AvoidableLossRemovedPercent(5, 5, 3), 0);
  EXPECT_DOUBLE_EQ(AvoidableLossRemovedPercent(5, 3, 3), 100);
  EXPECT_DOUBLE_EQ(AvoidableLossRemovedPercent(5, 6, 3), -50);
  EXPECT_TRUE(std::isnan(AvoidableLossRemovedPercent(3, 3, 3)));
}

// --- Published workloads -------------------------------------------------------------------------------------------------

TEST(BoundFgdProtocol, ParallelEqualsSerial) {
  const Workload w = *ScaleNodes(*BuiltinWorkload("openb-like"), 30);
  std::vector<PodRequest> pods;
  const auto sequences = DrawFgdSequences(w, {1, 2, 3}, 1.3, false, &pods);
  const auto a = BoundFgdProtocol(w.Nodes(), pods, sequences, {130, 100}, {1, true}), b = BoundFgdProtocol(w.Nodes(), pods, sequences, {100, 130}, {3, true});
  ASSERT_TRUE(a.ok() && b.ok());
  ASSERT_EQ(a->size(), 6u);
  for (size_t i = 0; i < a->size(); ++i) {
    EXPECT_EQ((*a)[i].arrived_percent, i % 2 ? 130 : 100);
    EXPECT_EQ((*a)[i].seed, i / 2 + 1);
    EXPECT_EQ((*a)[i].unallocated_percent.may_refuse, (*b)[i].unallocated_percent.may_refuse);
    EXPECT_EQ((*a)[i].unallocated_percent.no_refusal, (*b)[i].unallocated_percent.no_refusal);
  }
}

INSTANTIATE_TEST_SUITE_P(Fast, PublishedBounds, ::testing::Values("default", "gpushare100"));
INSTANTIATE_TEST_SUITE_P(Fast, PublishedChurnBounds, ::testing::Values("default"));

}  // namespace
}  // namespace berth

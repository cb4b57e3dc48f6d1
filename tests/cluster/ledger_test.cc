#include "cluster/ledger.h"

#include <gtest/gtest.h>

#include <map>
#include <set>
#include <thread>

#include "base/rng.h"

namespace berth {
namespace {

Node MakeNode(const std::string& name, int64_t cpu_milli, int32_t gpus = 0) {
  Node node;
  node.name = name;
  node.cpu_milli = cpu_milli;
  node.mem_bytes = int64_t{64} << 30;
  node.gpu_count = gpus;
  return node;
}

Pod MakePod(const std::string& id, int64_t cpu_milli, int32_t gpus = 0, int32_t milli = 0) {
  Pod pod;
  pod.id = id;
  pod.request.cpu_milli = cpu_milli;
  pod.request.gpu_count = gpus;
  pod.request.gpu_milli = milli;
  return pod;
}

TEST(Ledger, AReservationLivesUntilAFactEndsIt) {
  Ledger ledger;
  ASSERT_TRUE(ledger.AddNode(MakeNode("a", 1000)).ok());
  ASSERT_TRUE(ledger.Assume(MakePod("p", 600), "a", 0).ok());
  EXPECT_EQ(ledger.Assume(MakePod("p", 100), "a", 0).status().code(), absl::StatusCode::kAlreadyExists);
  EXPECT_EQ(ledger.Assume(MakePod("q", 600), "a", 0).status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(ledger.FindPod("p")->phase, PodPhase::kAssumed);
  ASSERT_TRUE(ledger.Confirm("p").ok());
  EXPECT_EQ(ledger.FindPod("p")->phase, PodPhase::kConfirmed);
  EXPECT_FALSE(ledger.Forget("p").ok()) << "a confirmed pod is released, not forgotten";
  ASSERT_TRUE(ledger.Release("p").ok());
  EXPECT_TRUE(ledger.Assume(MakePod("q", 1000), "a", 0).ok());
  EXPECT_TRUE(ledger.CheckInvariants().ok()) << ledger.CheckInvariants();
}

TEST(Ledger, ErrorsChangeNothing) {
  Ledger ledger;
  ASSERT_TRUE(ledger.AddNode(MakeNode("a", 1000, 1)).ok());
  const Generation before = ledger.generation();
  EXPECT_FALSE(ledger.Assume(MakePod("p", 100), "none", 0).ok());
  EXPECT_FALSE(ledger.Assume(MakePod("", 100), "a", 0).ok());
  EXPECT_FALSE(ledger.Assume(MakePod("p", -1), "a", 0).ok());
  EXPECT_FALSE(ledger.Assume(MakePod("p", 1, 1, 500), "a", 6).ok());
  EXPECT_FALSE(ledger.Confirm("none").ok());
  EXPECT_FALSE(ledger.Release("none").ok());
  EXPECT_FALSE(ledger.RemoveNode("none").ok());
  const Change changes[] = {UpsertNode{MakeNode("b", 5)}, DropNode{"none"}};
  EXPECT_FALSE(ledger.Apply(changes).ok());
  EXPECT_EQ(ledger.generation(), before);
  EXPECT_EQ(ledger.totals().nodes, 1u);
}

// Traps T11 and T17: identity is the id, and what is gone is not credited.
// Places nothing, and keeps what it was told of each pod.
class RefusingDecider : public Decider {
 public:
  Decision Decide(const ClusterState&, const Pod&, uint64_t, const DecideOptions& options) override {
    is_retry.push_back(options.is_retry);
    return {};
  }
  void Weigh(const ClusterState&, const Pod&, uint64_t, std::span<const NodeId>, Weighed*) override {}
  Explanation Explain(const ClusterState&, const Pod&, uint64_t, size_t) override { return {}; }
  std::vector<bool> is_retry;
};

TEST(Ledger, ARefusedPodThatAsksAgainIsNoNewArrival) {
  Ledger ledger;
  RefusingDecider decider;
  for (const char* id : {"p", "q", "p"}) ASSERT_TRUE(ledger.Place(decider, MakePod(id, 100), 0, {}).ok());
  EXPECT_EQ(decider.is_retry, (std::vector<bool>{false, false, true}));
}

TEST(Ledger, PodsOfALostNodeAreOrphansAndAreChargedAgainWhenItReturns) {
  Ledger ledger;
  ASSERT_TRUE(ledger.AddNode(MakeNode("a", 1000)).ok());
  ASSERT_TRUE(ledger.Assume(MakePod("p", 600), "a", 0).ok());
  ASSERT_TRUE(ledger.Confirm("p").ok());
  const auto removed = ledger.RemoveNode("a");
  ASSERT_TRUE(removed.ok());
  EXPECT_EQ(removed->orphaned, std::vector<std::string>{"p"});
  EXPECT_TRUE(ledger.FindPod("p")->is_orphaned);
  const auto back = ledger.AddNode(MakeNode("a", 1000));
  ASSERT_TRUE(back.ok());
  EXPECT_EQ(back->recharged, std::vector<std::string>{"p"});
  EXPECT_FALSE(ledger.Assume(MakePod("q", 600), "a", 0).ok());
  EXPECT_TRUE(ledger.CheckInvariants().ok()) << ledger.CheckInvariants();
}

// Random operations against a plain map of who runs where.
TEST(LedgerProperty, AgreesWithANaiveLedger) {
  for (uint64_t seed = 0; seed < 10; ++seed) {
    Rng rng(seed);
    Ledger ledger;
    std::map<std::string, int64_t> capacity;
    std::map<std::string, std::pair<std::string, int64_t>> pods;
    for (int i = 0; i < 5; ++i) {
      const std::string name = "n" + std::to_string(i);
      capacity[name] = 1000 * static_cast<int64_t>(1 + rng.Below(4));
      ASSERT_TRUE(ledger.AddNode(MakeNode(name, capacity[name])).ok());
    }
    for (int step = 0; step < 500; ++step) {
      const std::string id = "p" + std::to_string(rng.Below(40));
      const std::string node = "n" + std::to_string(rng.Below(5));
      if (rng.Below(2) == 0) {
        const auto cpu = static_cast<int64_t>(rng.Below(900));
        int64_t used = 0;
        for (const auto& [other, where] : pods) used += where.first == node ? where.second : 0;
        const bool fits = !pods.contains(id) && used + cpu <= capacity[node];
        EXPECT_EQ(ledger.Assume(MakePod(id, cpu), node, 0).ok(), fits);
        if (fits) pods[id] = {node, cpu};
      } else {
        EXPECT_EQ(ledger.Release(id).ok(), pods.erase(id) > 0);
      }
    }
    EXPECT_EQ(ledger.totals().assumed + ledger.totals().confirmed, pods.size());
    for (const auto& [id, where] : pods) EXPECT_EQ(ledger.FindPod(id)->node, where.first);
    EXPECT_TRUE(ledger.CheckInvariants().ok()) << ledger.CheckInvariants();
  }
}

TEST(Ledger, ConcurrentUseNeverOvercommits) {
  Ledger ledger;
  ASSERT_TRUE(ledger.AddNode(MakeNode("a", 1000)).ok());
  std::vector<std::jthread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&ledger, t] {
      for (int i = 0; i < 200; ++i) {
        const std::string id = std::to_string(t) + "-" + std::to_string(i);
        if (ledger.Assume(MakePod(id, 300), "a", 0).ok() && i % 2 == 0) (void)ledger.Release(id);
        (void)ledger.TakeSnapshot().state().used_cpu_milli();
      }
    });
  }
  threads.clear();
  EXPECT_LE(ledger.TakeSnapshot().state().used_cpu_milli(), 1000);
  EXPECT_TRUE(ledger.CheckInvariants().ok());
}

}  // namespace
}  // namespace berth

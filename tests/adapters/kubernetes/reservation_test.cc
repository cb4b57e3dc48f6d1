// A decision reserves until a fact ends it, and a node freed by a preemption is not refused because our watch is behind.
#include <gtest/gtest.h>

#include <chrono>
#include <set>
#include <thread>

#include "adapters/kubernetes/support.h"

namespace berth::kubernetes {
namespace {

using nlohmann::json;
using test::NodeJson;
using test::Parsed;
using test::PodJson;

// Extender and feed, as the server puts them together.
struct Both {
  explicit Both(const std::string& policy = "minimum-resource-usage")
      : bench(policy), feed(&bench.sink, &bench.names, &bench.metrics, bench.extender.get()) {
    bench.extender->set_feed(&feed);
    ListNodes({NodeJson("n1", "4"), NodeJson("n2", "4"), NodeJson("n3", "4")});
    ListPods({});
  }
  void ListNodes(const std::vector<std::string>& objects) { List(feed.nodes(), objects); }
  void ListPods(const std::vector<std::string>& objects) { List(feed.pods(), objects); }
  static void List(ReflectorListener& listener, const std::vector<std::string>& objects) {
    listener.BeginList();
    for (const std::string& object : objects) listener.Item(*Parsed(object));
    listener.EndList();
  }
  void Pod(EventType type, const std::string& object) { feed.pods().Event(type, *Parsed(object)); }
  json Ask(Verb verb, const std::string& uid, const std::string& cpu = "1", const std::string& names = R"(["n1","n2","n3"])") {
    return bench.Call(verb, R"({"Pod":)" + PodJson("p" + uid, uid, cpu) + R"(,"NodeNames":)" + names + "}");
  }
  std::string Choose(const std::string& uid, const std::string& cpu = "1") {
    const json names = Ask(Verb::kChoose, uid, cpu)["NodeNames"];
    EXPECT_EQ(names.size(), 1u);
    return names.empty() ? "" : names[0].get<std::string>();
  }
  std::string ReservedNode(const std::string& uid) const {
    const auto info = bench.sink.ledger().FindPod(uid);
    return info ? info->node : "";
  }
  test::ExtenderBench bench;
  ClusterFeed feed;
};

TEST(Reservation, TheNextPodIsDecidedWithTheOnesBefore) {
  for (const Verb verb : {Verb::kChoose, Verb::kPrioritize}) {
    Both both;
    std::set<std::string> nodes;
    for (const char* uid : {"a", "b", "c"}) {
      both.Ask(verb, uid);
      nodes.insert(both.ReservedNode(uid));
    }
    EXPECT_EQ(nodes.size(), 3u) << "spread over all three, though none is bound yet";
  }
}

TEST(Reservation, EndsByAFact) {
  Both both;
  const std::string node = both.Choose("a");
  EXPECT_EQ(both.ReservedNode("a"), node);
  // Asked again (kube-scheduler could not use it): decided anew, charged once.
  both.Choose("a");
  EXPECT_EQ(both.bench.sink.ledger().totals().assumed, 1u);
  // Bound there.
  both.Pod(EventType::kModified, PodJson("pa", "a", "1", both.ReservedNode("a")));
  EXPECT_EQ(both.bench.sink.ledger().FindPod("a")->phase, PodPhase::kConfirmed);
  // Bound elsewhere: kube-scheduler has overruled us, which is no difference.
  const std::string wanted = both.Choose("b");
  const std::string other = wanted == "n1" ? "n2" : "n1";
  both.Pod(EventType::kModified, PodJson("pb", "b", "1", other));
  EXPECT_EQ(both.ReservedNode("b"), other);
  EXPECT_EQ(both.bench.metrics.outweighed->Value(), 1);
  EXPECT_EQ(both.bench.metrics.differences[static_cast<size_t>(Difference::kMoved)]->Value(), 0);
  // Deleted before it was bound; and once it is settled a late decision reserves nothing.
  both.Choose("c");
  both.Pod(EventType::kDeleted, PodJson("pc", "c", "1"));
  EXPECT_EQ(both.ReservedNode("c"), "");
  both.Choose("c");
  EXPECT_EQ(both.ReservedNode("c"), "");
  // Deleted while the watch was away.
  both.Choose("d");
  both.Choose("e");
  both.ListPods({PodJson("pa", "a", "1", both.ReservedNode("a")), PodJson("pb", "b", "1", other), PodJson("pe", "e", "1")});
  EXPECT_EQ(both.ReservedNode("d"), "");
  EXPECT_NE(both.ReservedNode("e"), "");
  EXPECT_EQ(both.bench.sink.ledger().totals().assumed, 1u);
  EXPECT_TRUE(both.bench.sink.ledger().CheckInvariants().ok());
}

TEST(Reservation, IsNotMadeWhereNobodyTellsItsEnd) {
  test::ExtenderBench bench;
  bench.sink.AddNode("n1", 4000, int64_t{8} << 30);
  bench.Call(Verb::kChoose, R"({"Pod":)" + PodJson("p", "a", "1") + R"(,"NodeNames":["n1"]})");
  EXPECT_EQ(bench.sink.ledger().totals().assumed, 0u);
}

std::string AskPreempt(const std::string& uid, const std::string& candidates) {
  return R"({"Pod":)" + PodJson("high", uid, "2") + R"(,"NodeNameToMetaVictims":)" + candidates + "}";
}

// kube-scheduler 1.34 made two victims of this: its cache knew of the victim's end, our watch did not yet, so our filter refused
// the node that had just been freed for the pod.
TEST(Preemption, TheFreedNodeIsNotRefusedWhileOurWatchIsBehind) {
  Both both("best-fit");
  for (const char* n : {"1", "2", "3"}) both.Pod(EventType::kAdded, PodJson(std::string("low") + n, std::string("low") + n, "3", std::string("n") + n));
  const json named = both.bench.Call(Verb::kPreempt, AskPreempt("h", R"({"n1":{"Pods":[{"UID":"low1"}]},"n2":{"Pods":[{"UID":"low2"}]}})"))["NodeNameToMetaVictims"];
  ASSERT_TRUE(named.contains("n1"));
  // The victim has ended; we have not heard. Asked about the node (it passed kube-scheduler's own filters), we let it pass.
  EXPECT_EQ(both.Ask(Verb::kFilter, "h", "2", R"(["n1"])")["NodeNames"], json({"n1"}));
  EXPECT_EQ(both.Ask(Verb::kChoose, "h", "2", R"(["n1"])")["NodeNames"], json({"n1"}));
  // Other pods have no such right, and this one has none on other nodes: an Error, so that they are tried again.
  EXPECT_NE(both.Ask(Verb::kFilter, "x", "2", R"(["n1"])")["Error"], "");
  EXPECT_NE(both.Ask(Verb::kFilter, "h", "2", R"(["n2"])")["Error"], "");
  // Nor when something else took the room.
  both.Pod(EventType::kAdded, PodJson("thief", "thief", "1", "n1"));
  EXPECT_NE(both.Ask(Verb::kFilter, "h", "4", R"(["n1"])")["Error"], "");
}

TEST(Filter, WaitsForTheWatchWhereKubeSchedulerKnowsMore) {
  for (const bool is_told : {false, true}) {
    Both both("best-fit");
    both.Pod(EventType::kAdded, PodJson("old", "old", "4", "n1"));
    std::thread telling([&] {
      std::this_thread::sleep_for(std::chrono::milliseconds(30));
      if (is_told) both.Pod(EventType::kDeleted, PodJson("old", "old", "4"));
    });
    const json answer = both.Ask(Verb::kFilter, "new", "2", R"(["n1"])");
    telling.join();
    EXPECT_EQ(answer["Error"] == "", is_told);
    if (is_told) {
      EXPECT_EQ(answer["NodeNames"], json({"n1"}));
    }
  }
}

TEST(Filter, RefusesAtOnceWhereAPodOfAnotherSystemExplainsIt) {
  Both both("best-fit");
  both.bench.sink.Run("vm", "n1", 3500);
  const json answer = both.Ask(Verb::kFilter, "new", "2", R"(["n1"])");
  EXPECT_EQ(answer["Error"], "");
  EXPECT_EQ(answer["FailedNodes"], json({{"n1", "Berth: not enough cpu"}}));
}

TEST(Preemption, NoSecondNodeIsNamedWhileTheFirstIsOnItsWay) {
  Both both("best-fit");
  for (const char* n : {"1", "2", "3"}) both.Pod(EventType::kAdded, PodJson(std::string("low") + n, std::string("low") + n, "3", std::string("n") + n));
  const std::string first = R"({"n1":{"Pods":[{"UID":"low1"}]},"n2":{"Pods":[{"UID":"low2"}]}})";
  const std::string others = R"({"n2":{"Pods":[{"UID":"low2"}]},"n3":{"Pods":[{"UID":"low3"}]}})";
  const auto ask = [&](const std::string& candidates) { return both.bench.Call(Verb::kPreempt, AskPreempt("h", candidates))["NodeNameToMetaVictims"]; };
  ASSERT_TRUE(ask(first).contains("n1"));
  EXPECT_TRUE(ask(first).contains("n1"));   // no sign of an eviction: named again
  EXPECT_TRUE(ask(others).empty());         // it may be under way all the same
  std::string terminating = PodJson("low1", "low1", "3", "n1");
  terminating.replace(terminating.find(R"("name":"low1")"), 13, R"("name":"low1","deletionTimestamp":"2026-01-01T00:00:00Z")");
  both.Pod(EventType::kModified, terminating);
  // kube-scheduler may not have heard yet, and must not evict it again.
  EXPECT_TRUE(ask(first).empty());
  EXPECT_TRUE(ask(others).empty());
  std::this_thread::sleep_for(std::chrono::milliseconds(1100));
  EXPECT_TRUE(ask(first).contains("n1"));   // it has heard by now: the nomination stays, nothing is evicted again
  EXPECT_TRUE(ask(others).empty());         // however long the victim takes
  both.Pod(EventType::kDeleted, PodJson("low1", "low1", "3"));
  EXPECT_TRUE(ask(first).empty());          // gone by what we know
  EXPECT_TRUE(ask(others).empty());
  both.Pod(EventType::kAdded, PodJson("thief", "thief", "3", "n1"));
  EXPECT_TRUE(ask(others).contains("n2"));  // the room is lost
}

}  // namespace
}  // namespace berth::kubernetes

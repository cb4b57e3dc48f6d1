// The Race traps T11, T14 (record side) and what the feed promises of nodes that come and go. T12, T15: reflector_fault_test.cc.
#include "adapters/kubernetes/cluster_feed.h"

#include <gtest/gtest.h>

#include "adapters/kubernetes/support.h"

namespace berth::kubernetes {
namespace {

using test::NodeJson;
using test::Parsed;
using test::PodJson;

struct FeedBench : FeedObserver {
  FeedBench() : feed(&bench.sink, &bench.names, &bench.metrics, this) {}
  void ListNodes(const std::vector<std::string>& nodes) { List(feed.nodes(), nodes); }
  void ListPods(const std::vector<std::string>& pods) { List(feed.pods(), pods); }
  static void List(ReflectorListener& listener, const std::vector<std::string>& objects) {
    listener.BeginList();
    for (const std::string& object : objects) listener.Item(*Parsed(object));
    listener.EndList();
  }
  void Pod(EventType type, const std::string& json) { feed.pods().Event(type, *Parsed(json)); }
  void Node(EventType type, const std::string& json) { feed.nodes().Event(type, *Parsed(json)); }
  double Differences(Difference difference) const { return bench.metrics.differences[static_cast<size_t>(difference)]->Value(); }
  const Ledger& ledger() const { return bench.sink.ledger(); }
  void Settled(const std::string& uid) override { settled.push_back(uid); }
  void Listed(const absl::flat_hash_set<std::string>& uids) override { listed = uids.size(); }
  bool IsProvisional(const std::string& uid) override { return uid == provisional; }

  test::ExtenderBench bench;
  std::vector<std::string> settled;
  size_t listed = 0;
  std::string provisional;
  ClusterFeed feed;
};

// T11: kubernetes#106545, kubernetes#141255
TEST(ClusterFeed, APodRecreatedUnderItsNameIsExchangedInOneStep) {
  for (const bool is_bound : {false, true}) {
    FeedBench b;
    b.ListNodes({NodeJson("n1", "4"), NodeJson("n2", "4")});
    b.ListPods({PodJson("web-0", "u1", "2", "n1")});
    EXPECT_EQ(b.bench.sink.FreeCpu("n1"), 2000);
    const Generation before = b.ledger().generation();
    b.ListPods({is_bound ? PodJson("web-0", "u2", "1", "n2") : PodJson("web-0", "u2", "1")});
    EXPECT_EQ(b.bench.sink.FreeCpu("n1"), 4000);
    EXPECT_EQ(b.bench.sink.FreeCpu("n2"), is_bound ? 3000 : 4000);
    EXPECT_FALSE(b.ledger().FindPod("u1").has_value());
    EXPECT_EQ(b.ledger().FindPod("u2").has_value(), is_bound);
    EXPECT_GT(b.ledger().generation(), before);
    EXPECT_EQ(b.Differences(Difference::kMissedEvent), 1);
    EXPECT_TRUE(b.ledger().CheckInvariants().ok());
  }
}

TEST(ClusterFeed, IsSyncedOnceBothListsHaveComeInAnyOrder) {
  for (const bool nodes_first : {false, true}) {
    FeedBench b;
    const auto nodes = [&] { b.ListNodes({NodeJson("n1", "4")}); };
    const auto pods = [&] { b.ListPods({PodJson("p", "u", "1", "n1"), PodJson("q", "v", "1", "later")}); };
    nodes_first ? nodes() : pods();
    EXPECT_FALSE(b.feed.is_synced());
    nodes_first ? pods() : nodes();
    EXPECT_TRUE(b.feed.is_synced());
    EXPECT_EQ(b.bench.sink.FreeCpu("n1"), 3000);
    EXPECT_FALSE(b.ledger().FindPod("v").has_value());
    b.Node(EventType::kAdded, NodeJson("later", "4"));
    EXPECT_EQ(b.bench.sink.FreeCpu("later"), 3000);
    EXPECT_TRUE(b.ledger().CheckInvariants().ok());
  }
}

TEST(ClusterFeed, ANodeThatComesBackIsChargedForThePodsThatStillRunThere) {
  FeedBench b;
  b.ListNodes({NodeJson("n1", "4")});
  b.ListPods({PodJson("a", "a", "1", "n1"), PodJson("b", "b", "1", "n1"), PodJson("c", "c", "1", "n1")});
  b.Node(EventType::kDeleted, NodeJson("n1", "4"));
  EXPECT_EQ(b.ledger().totals().nodes, 0u);
  b.Pod(EventType::kDeleted, PodJson("b", "b", "1", "n1"));          // ends while its node is away
  b.Pod(EventType::kModified, PodJson("c", "c", "1500m", "n1"));     // and one is resized
  b.Pod(EventType::kAdded, PodJson("d", "d", "250m", "n1"));         // and one was bound just before
  b.Node(EventType::kAdded, NodeJson("n1", "4"));
  EXPECT_EQ(b.bench.sink.FreeCpu("n1"), 4000 - 1000 - 1500 - 250);
  EXPECT_TRUE(b.ledger().CheckInvariants().ok());
}

TEST(ClusterFeed, TakesABindOfOursAsConfirmedAndEndsWhatIsDeletedBeforeItsBind) {
  FeedBench b;
  b.ListNodes({NodeJson("n1", "4"), NodeJson("n2", "4")});
  b.ListPods({PodJson("p", "u", "1")});
  berth::Pod pod;
  pod.id = "u";
  pod.request.cpu_milli = 1000;
  ASSERT_TRUE(b.bench.sink.Assume(pod, "n1", 0).ok());
  b.Pod(EventType::kModified, PodJson("p", "u", "1"));   // still without a node: no news of the bind
  EXPECT_EQ(b.ledger().FindPod("u")->phase, PodPhase::kAssumed);
  b.ListPods({PodJson("p", "u", "1")});
  EXPECT_EQ(b.ledger().FindPod("u")->phase, PodPhase::kAssumed);
  b.Pod(EventType::kModified, PodJson("p", "u", "1", "n1"));
  EXPECT_EQ(b.ledger().FindPod("u")->phase, PodPhase::kConfirmed);
  EXPECT_EQ(b.bench.sink.FreeCpu("n1"), 3000);

  pod.id = "v";
  ASSERT_TRUE(b.bench.sink.Assume(pod, "n1", 0).ok());
  b.Pod(EventType::kDeleted, PodJson("q", "v", "1"));
  EXPECT_FALSE(b.ledger().FindPod("v").has_value());

  pod.id = "w";   // bound by somebody else, elsewhere
  ASSERT_TRUE(b.bench.sink.Assume(pod, "n1", 0).ok());
  b.Pod(EventType::kModified, PodJson("r", "w", "1", "n2"));
  EXPECT_EQ(b.ledger().FindPod("w")->node, "n2");
  EXPECT_EQ(b.bench.sink.FreeCpu("n1"), 3000);
  EXPECT_EQ(b.Differences(Difference::kMoved), 1);
  EXPECT_TRUE(b.ledger().CheckInvariants().ok());
}

TEST(ClusterFeed, EndedPodsHoldNothing) {
  FeedBench b;
  b.ListNodes({NodeJson("n1", "4")});
  b.ListPods({});
  std::string done = PodJson("p", "u", "1", "n1");
  b.Pod(EventType::kAdded, done);
  EXPECT_EQ(b.bench.sink.FreeCpu("n1"), 3000);
  done.replace(done.find("Running"), 7, "Failed");
  b.Pod(EventType::kModified, done);
  EXPECT_EQ(b.bench.sink.FreeCpu("n1"), 4000);
  b.Pod(EventType::kModified, done);
  b.Pod(EventType::kDeleted, done);
  EXPECT_EQ(b.ledger().totals().confirmed, 0u);
  EXPECT_EQ(b.settled.size(), 4u);
}

TEST(ClusterFeed, WhatCannotBeReadIsCountedAndHoldsUpNothing) {
  FeedBench b;
  b.ListNodes({NodeJson("n1", "4"), NodeJson("bad", "-4"), R"({"metadata":{}})"});
  b.ListPods({PodJson("p", "u", "1", "n1"), R"({"metadata":{"name":"x"}})", PodJson("y", "y", "1e99", "n1")});
  EXPECT_TRUE(b.feed.is_synced());
  EXPECT_EQ(b.ledger().totals().nodes, 1u);
  EXPECT_EQ(b.ledger().totals().confirmed, 1u);
  EXPECT_EQ(b.Differences(Difference::kUnreadable), 4);
  b.Node(EventType::kModified, NodeJson("n1", "nonsense"));   // what was known stays
  EXPECT_EQ(b.bench.sink.FreeCpu("n1"), 3000);
  b.Node(EventType::kDeleted, NodeJson("n1", "nonsense"));    // its name says enough
  EXPECT_EQ(b.ledger().totals().nodes, 0u);
}

TEST(ClusterFeed, APodWithMoreDevicesThanItsNodeShowsIsChargedForTheRest) {
  FeedBench b;
  b.ListNodes({NodeJson("n1", "4")});
  b.ListPods({});
  std::string pod = PodJson("p", "u", "1", "n1");
  pod.replace(pod.find(R"("cpu":"1")"), 9, R"("cpu":"1","nvidia.com/gpu":"2")");
  b.Pod(EventType::kAdded, pod);
  EXPECT_EQ(b.bench.sink.FreeCpu("n1"), 3000);
  EXPECT_EQ(b.Differences(Difference::kWithoutGpus), 1);
}

TEST(ClusterFeed, DevicesComeFromTheAnnotationOfTheBind) {
  FeedBench b;
  std::string node = NodeJson("n1", "4");
  node.replace(node.find(R"("pods")"), 6, R"("nvidia.com/gpu":"4","pods")");
  b.ListNodes({node});
  std::string pod = PodJson("p", "u", "1", "n1");
  pod.replace(pod.find(R"("name":"p")"), 10, R"("name":"p","annotations":{"berth.dev/gpu-milli":"500","berth.dev/gpu-devices":"2"})");
  b.ListPods({pod});
  EXPECT_EQ(b.ledger().FindPod("u")->devices, 0b100u);
}

// A random stream of events, cut by lists, against a table that only remembers the last object of each.
TEST(ClusterFeed, EqualsTheServerAfterAnyStreamOfEventsAndLists) {
  for (uint64_t seed = 1; seed <= 30; ++seed) {
    SCOPED_TRACE(seed);
    Rng rng(seed);
    FeedBench b;
    std::map<std::string, std::string> nodes;                          // name -> cpu
    std::map<std::string, std::pair<std::string, std::string>> pods;   // uid -> cpu, node ("" = pending)
    const auto node_name = [&] { return fmt::format("n{}", rng.Below(6)); };
    const auto list_nodes = [&] {
      std::vector<std::string> all;
      for (const auto& [name, cpu] : nodes) all.push_back(NodeJson(name, cpu));
      b.ListNodes(all);
    };
    const auto list_pods = [&] {
      std::vector<std::string> all;
      for (const auto& [uid, pod] : pods) all.push_back(PodJson("p" + uid, uid, pod.first, pod.second));
      b.ListPods(all);
    };
    list_nodes();
    list_pods();
    for (int step = 0; step < 300; ++step) {
      const bool is_told = rng.Below(10) != 0;   // else the event is missed, until a list
      switch (rng.Below(6)) {
        case 0: {
          const std::string name = node_name(), cpu = std::to_string(1 + rng.Below(64));
          nodes[name] = cpu;
          if (is_told) b.Node(EventType::kModified, NodeJson(name, cpu));
          break;
        }
        case 1: {
          const std::string name = node_name();
          if (nodes.erase(name) == 0) break;
          if (is_told) b.Node(EventType::kDeleted, NodeJson(name, "1"));
          break;
        }
        case 2:
        case 3: {
          const std::string uid = std::to_string(rng.Below(40)), cpu = std::to_string(1 + rng.Below(4));
          auto& pod = pods[uid];
          pod.first = cpu;
          if (pod.second.empty() && rng.Below(2) == 0) pod.second = node_name();
          if (is_told) b.Pod(EventType::kModified, PodJson("p" + uid, uid, pod.first, pod.second));
          break;
        }
        case 4: {
          const std::string uid = std::to_string(rng.Below(40));
          if (pods.erase(uid) == 0) break;
          if (is_told) b.Pod(EventType::kDeleted, PodJson("p" + uid, uid, "1"));
          break;
        }
        case 5:
          if (rng.Below(8) == 0) list_nodes();
          if (rng.Below(8) == 0) list_pods();
          break;
      }
    }
    list_pods();
    list_nodes();
    for (const auto& [name, cpu] : nodes) {
      int64_t free = std::stoll(cpu) * 1000;
      for (const auto& [uid, pod] : pods) free -= pod.second == name ? std::stoll(pod.first) * 1000 : 0;
      EXPECT_EQ(b.bench.sink.FreeCpu(name), free) << name;
    }
    EXPECT_EQ(b.ledger().totals().nodes, nodes.size());
    EXPECT_TRUE(b.ledger().CheckInvariants().ok()) << b.ledger().CheckInvariants();
  }
}

}  // namespace
}  // namespace berth::kubernetes

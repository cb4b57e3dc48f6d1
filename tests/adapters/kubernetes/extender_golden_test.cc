// Calls of real kube-schedulers (1.34.4, 1.37.2), byte for byte as they were recorded.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

#include "adapters/kubernetes/support.h"
#include "support/shared_data.h"

namespace berth::kubernetes {
namespace {

using nlohmann::json;

std::string Read(const std::string& relative) {
  std::ifstream in(*berth::test::SharedData(relative));
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

// The recorded cluster: hollow-0..4 of 4 CPU and 8 GiB.
void AddHollowNodes(test::LedgerSink& sink) {
  for (int i = 0; i < 5; ++i) sink.AddNode(fmt::format("hollow-{}", i), 4000, int64_t{8} << 30);
}

TEST(RecordedCalls, FilterByNames) {
  BERTH_REQUIRE_SHARED_DATA("kubernetes-1.34/extender");
  for (const char* file : {"kubernetes-1.34/extender/filter-nodenames.request.json", "kubernetes-1.37/extender-filter-gang-pod.request.json"}) {
    test::ExtenderBench bench;
    AddHollowNodes(bench.sink);
    bench.sink.Run("stranger", "hollow-4", 4000);
    const json request = json::parse(Read(file));
    const json answer = bench.Call(Verb::kFilter, Read(file));
    EXPECT_EQ(answer["Error"], "");
    EXPECT_TRUE(answer["Nodes"].is_null());
    json wanted = json::array();
    for (const json& name : request["NodeNames"]) {
      if (name != "hollow-4") wanted.push_back(name);
    }
    EXPECT_EQ(answer["NodeNames"], wanted) << file;
  }
}

TEST(RecordedCalls, FilterAndPrioritizeByWholeNodes) {
  BERTH_REQUIRE_SHARED_DATA("kubernetes-1.34/extender");
  test::ExtenderBench bench;
  AddHollowNodes(bench.sink);
  const std::string body = Read("kubernetes-1.34/extender/filter-nodes.request.json");
  const json answer = bench.Call(Verb::kFilter, body);
  EXPECT_TRUE(answer["NodeNames"].is_null());
  EXPECT_EQ(answer["Nodes"]["items"], json::parse(body)["Nodes"]["items"]);   // as received
  const json scores = bench.Call(Verb::kPrioritize, Read("kubernetes-1.34/extender/prioritize-nodes.request.json"));
  EXPECT_EQ(scores.size(), json::parse(Read("kubernetes-1.34/extender/prioritize-nodes.response.json")).size());
}

TEST(RecordedCalls, PrioritizeByNames) {
  BERTH_REQUIRE_SHARED_DATA("kubernetes-1.34/extender");
  test::ExtenderBench bench("best-fit");
  AddHollowNodes(bench.sink);
  bench.sink.Run("stranger", "hollow-2", 1000, int64_t{1} << 30);
  const json scores = bench.Call(Verb::kPrioritize, Read("kubernetes-1.34/extender/prioritize-nodenames.request.json"));
  const json recorded = json::parse(Read("kubernetes-1.34/extender/prioritize-nodenames.response.json"));
  ASSERT_EQ(scores.size(), recorded.size());
  for (size_t i = 0; i < scores.size(); ++i) {
    EXPECT_EQ(scores[i]["Host"], recorded[i]["Host"]);
    EXPECT_EQ(scores[i]["Score"] == 10, scores[i]["Host"] == "hollow-2");
  }
}

TEST(RecordedCalls, TheUsersPodIsReadAsItAsks) {
  BERTH_REQUIRE_SHARED_DATA("kubernetes-1.34/extender");
  const test::Parsed body(Read("kubernetes-1.34/extender/filter-nodenames.request.json"));
  KubePod pod;
  ASSERT_TRUE(PodFromJson(**FindObject(*body, "Pod", Where{}), "Pod", &pod).ok());
  EXPECT_THAT(pod.name, ::testing::StartsWith("my-app-"));
  EXPECT_EQ(pod.pod.request.cpu_milli, 250);
  EXPECT_EQ(pod.pod.request.mem_bytes, int64_t{256} << 20);
  EXPECT_TRUE(pod.node.empty());
}

// The second call is the one that made kube-scheduler 1.34 evict a second victim: the answer must stay the same.
TEST(RecordedCalls, PreemptNamesOneNodeInBothCalls) {
  BERTH_REQUIRE_SHARED_DATA("kubernetes-1.34/extender");
  for (const auto& [first, second] : {std::pair("preempt-metavictims", "preempt-metavictims-second-call"), std::pair("preempt-single-1", "preempt-single-2")}) {
    test::ExtenderBench bench;
    AddHollowNodes(bench.sink);
    const std::string body = Read(fmt::format("kubernetes-1.34/extender/{}.request.json", first));
    const json candidates = json::parse(body)["NodeNameToMetaVictims"];
    for (const auto& [node, victims] : candidates.items()) {
      for (const json& pod : victims["Pods"]) bench.sink.Run(pod["UID"], node, 3000);
    }
    const json answer = bench.Call(Verb::kPreempt, body)["NodeNameToMetaVictims"];
    ASSERT_EQ(answer.size(), 1u);
    const json again = bench.Call(Verb::kPreempt, Read(fmt::format("kubernetes-1.34/extender/{}.request.json", second)))["NodeNameToMetaVictims"];
    EXPECT_EQ(again, answer);
  }
}

TEST(RecordedCalls, PreemptWithWholeVictimsAnswersWithTheirUids) {
  BERTH_REQUIRE_SHARED_DATA("kubernetes-1.34/extender");
  test::ExtenderBench bench;
  AddHollowNodes(bench.sink);
  const std::string body = Read("kubernetes-1.34/extender/preempt-victims.request.json");
  const json candidates = json::parse(body)["NodeNameToVictims"];
  const json answer = bench.Call(Verb::kPreempt, body)["NodeNameToMetaVictims"];
  ASSERT_EQ(answer.size(), 1u);
  const std::string node = answer.begin().key();
  EXPECT_EQ(answer[node]["Pods"][0]["UID"], candidates[node]["Pods"][0]["metadata"]["uid"]);
  EXPECT_EQ(answer[node]["NumPDBViolations"], candidates[node]["NumPDBViolations"]);
}

TEST(RecordedWatch, OfAllPodsLeavesTheLedgerAsTheServerHadIt) {
  BERTH_REQUIRE_SHARED_DATA("kubernetes-1.34/scheduler/pods-watch-all.jsonl");
  test::ExtenderBench bench;
  ClusterFeed feed(&bench.sink, &bench.names, &bench.metrics, nullptr);
  feed.nodes().BeginList();
  std::ifstream nodes(*berth::test::SharedData("kubernetes-1.34/scheduler/nodes-watch-sendInitialEvents.jsonl"));
  for (std::string line; std::getline(nodes, line);) {
    const json event = json::parse(line);
    if (event["type"] == "ADDED") feed.nodes().Item(*test::Parsed(event["object"].dump()));
  }
  feed.nodes().EndList();
  feed.pods().BeginList();
  feed.pods().EndList();
  std::ifstream pods(*berth::test::SharedData("kubernetes-1.34/scheduler/pods-watch-all.jsonl"));
  std::map<std::string, json> last;   // what an independent reader of the stream ends with
  for (std::string line; std::getline(pods, line);) {
    const json event = json::parse(line);
    const std::string type = event["type"];
    if (type == "BOOKMARK") continue;
    const test::Parsed object(event["object"].dump());
    feed.pods().Event(type == "ADDED" ? EventType::kAdded : type == "MODIFIED" ? EventType::kModified : EventType::kDeleted, *object);
    const std::string uid = event["object"]["metadata"]["uid"];
    if (type == "DELETED") last.erase(uid);
    else last[uid] = event["object"];
  }
  size_t bound = 0;
  for (const auto& [uid, pod] : last) {
    const bool is_bound = pod["spec"].contains("nodeName") && pod["status"]["phase"] != "Succeeded" && pod["status"]["phase"] != "Failed";
    const auto info = bench.sink.ledger().FindPod(uid);
    EXPECT_EQ(info.has_value(), is_bound) << uid;
    if (info && is_bound) {
      EXPECT_EQ(info->node, pod["spec"]["nodeName"]);
    }
    bound += is_bound ? 1 : 0;
  }
  EXPECT_GT(bound, 0u);
  EXPECT_EQ(bench.sink.ledger().totals().confirmed, bound);
  EXPECT_TRUE(bench.sink.ledger().CheckInvariants().ok());
}

}  // namespace
}  // namespace berth::kubernetes

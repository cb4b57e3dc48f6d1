// The Extender traps T07, T09, T10, and what filter, prioritize and preempt promise. Bind: bind_fault_test.cc.
#include "adapters/kubernetes/extender.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <thread>

#include "adapters/kubernetes/support.h"

namespace berth::kubernetes {
namespace {

using nlohmann::json;
using test::ExtenderBench;
using test::PodJson;

std::string Ask(const std::string& pod, const std::string& names) { return R"({"Pod":)" + pod + R"(,"Nodes":null,"NodeNames":)" + names + "}"; }

Weighed WeighedOf(std::vector<std::optional<double>> scores) {
  Weighed weighed;
  for (size_t i = 0; i < scores.size(); ++i) {
    NodeVerdict verdict;
    if (scores[i]) verdict.score = *scores[i];
    else verdict.refused = Constraint::kCpu;
    weighed.verdicts.push_back(verdict);
    if (scores[i] && (weighed.chosen == Weighed::kNone || *scores[i] > weighed.verdicts[weighed.chosen].score)) weighed.chosen = i;
  }
  return weighed;
}

// T07: kubernetes#83490, kubernetes#81281, kubernetes#24720
TEST(ExtenderScores, AreWholeNumbersThatKeepTheOrderAndTheLead) {
  const std::vector<int> scores = ExtenderScores(WeighedOf({0.31, 0.30, -4.2}));
  EXPECT_EQ(scores[0], 10);
  EXPECT_LT(scores[1], 10);
  EXPECT_GT(scores[1], scores[2]);
  EXPECT_EQ(scores[2], 0);
  EXPECT_THAT(ExtenderScores(WeighedOf({5.0, 5.0, 5.0})), ::testing::ElementsAre(10, 9, 9));
  EXPECT_THAT(ExtenderScores(WeighedOf({7.0})), ::testing::ElementsAre(10));
  EXPECT_THAT(ExtenderScores(WeighedOf({std::nullopt, std::nullopt})), ::testing::ElementsAre(0, 0));
  EXPECT_THAT(ExtenderScores(WeighedOf({1e308, -1e308, 0.0})), ::testing::ElementsAre(10, 0, 4));
  EXPECT_TRUE(ExtenderScores(Weighed()).empty());
}

TEST(Prioritize, GivesTheNodeThatThePolicyChoosesTheLead) {
  for (const auto& [policy, wanted] : {std::pair("best-fit", "small"), std::pair("minimum-resource-usage", "large")}) {
    ExtenderBench bench(policy);
    bench.sink.AddNode("large", 16000, int64_t{64} << 30);
    bench.sink.AddNode("small", 2000, int64_t{4} << 30);
    const json scores = bench.Call(Verb::kPrioritize, Ask(PodJson("p", "u", "1"), R"(["large","small","unknown"])"));
    ASSERT_EQ(scores.size(), 3u);
    int leaders = 0;
    for (const json& entry : scores) {
      EXPECT_TRUE(entry["Score"].is_number_integer());
      if (entry["Score"] == 10) {
        EXPECT_EQ(entry["Host"], wanted) << policy;
        ++leaders;
      }
    }
    EXPECT_EQ(leaders, 1);
    EXPECT_EQ(scores[2]["Score"], 0);
    ASSERT_EQ(bench.log.size(), 1u);
    const json line = json::parse(bench.log[0]);
    EXPECT_EQ(line["node"], wanted);
    EXPECT_EQ(line["policy"], policy);
    EXPECT_EQ(line["pod"], "d/p");
  }
}

// T09: kubernetes#126425, intel/pmem-csi#746, lixd/i-scheduler-extender#2
TEST(Filter, AnswersInTheFormOfTheQuestion) {
  ExtenderBench bench;
  bench.sink.AddNode("n1", 4000, int64_t{8} << 30);
  bench.sink.AddNode("n2", 4000, int64_t{8} << 30);
  bench.sink.Run("full", "n2", 4000);
  const std::string pod = PodJson("p", "u", "1");
  const json n1 = json::parse(R"({"metadata":{"name":"n1","labels":{"a":"\u00e4 \"b\""},"x":{"keep":[1,2.5,true,null]}},"spec":{},"status":{"big":9007199254740993}})");
  const json n2 = json::parse(R"({"metadata":{"name":"n2"}})");
  const json whole = bench.Call(Verb::kFilter, json({{"Pod", json::parse(pod)}, {"NodeNames", nullptr}, {"Nodes", {{"metadata", json::object()}, {"items", {n1, n2}}}}}).dump());
  EXPECT_TRUE(whole["NodeNames"].is_null());
  ASSERT_EQ(whole["Nodes"]["items"].size(), 1u);
  EXPECT_EQ(whole["Nodes"]["items"][0], n1);
  const json names = bench.Call(Verb::kFilter, Ask(pod, R"(["n1","n2"])"));
  EXPECT_TRUE(names["Nodes"].is_null());
  EXPECT_EQ(names["NodeNames"], json({"n1"}));
  for (const json& answer : {whole, names}) {
    EXPECT_EQ(answer["FailedNodes"], json({{"n2", "Berth: not enough cpu"}}));
    EXPECT_EQ(answer["Error"], "");
  }
  // Go reads keys in any letter case, and so do we.
  EXPECT_EQ(bench.Call(Verb::kFilter, R"({"pod":)" + pod + R"(,"nodenames":["n1"]})")["NodeNames"], json({"n1"}));
}

TEST(Choose, PassesTheChosenNodeAloneAndRefusesAsFilterDoes) {
  for (const auto& [policy, wanted] : {std::pair("best-fit", "small"), std::pair("minimum-resource-usage", "large")}) {
    ExtenderBench bench(policy);
    bench.sink.AddNode("large", 16000, int64_t{64} << 30);
    bench.sink.AddNode("small", 2000, int64_t{4} << 30);
    bench.sink.AddNode("full", 500, int64_t{4} << 30);
    const json answer = bench.Call(Verb::kChoose, Ask(PodJson("p", "u", "1"), R"(["large","full","small","unknown"])"));
    EXPECT_EQ(answer["NodeNames"], json({wanted}));
    EXPECT_TRUE(answer["FailedNodes"].empty());
    EXPECT_TRUE(answer["FailedAndUnresolvableNodes"].empty());
    ASSERT_EQ(bench.log.size(), 1u);
    EXPECT_EQ(json::parse(bench.log[0])["node"], wanted);
    const std::string nowhere = Ask(PodJson("p", "v", "64"), R"(["large","full","unknown"])");
    EXPECT_EQ(bench.Call(Verb::kChoose, nowhere), bench.Call(Verb::kFilter, nowhere));
  }
}

// T10: Project-HAMi/HAMi#2688, kubernetes-sigs/azuredisk-csi-driver#1457
TEST(Filter, SurvivesWhatAnyClientCanSend) {
  ExtenderBench bench;
  bench.sink.AddNode("n1", 4000, int64_t{8} << 30);
  const std::string pod = PodJson("p", "u", "1");
  const Generation before = bench.sink.ledger().generation();
  const auto good = [&] { EXPECT_EQ(bench.Call(Verb::kFilter, Ask(pod, R"(["n1"])"))["NodeNames"], json({"n1"})); };
  EXPECT_NE(bench.Call(Verb::kFilter, R"({"Pod":)" + pod + "}")["Error"], "");
  good();
  EXPECT_NE(bench.Call(Verb::kFilter, R"({"Pod":)" + pod + R"(,"Nodes":null,"NodeNames":null})")["Error"], "");
  good();
  const json empty = bench.Call(Verb::kFilter, Ask(pod, "[]"));
  EXPECT_EQ(empty["Error"], "");
  EXPECT_EQ(empty["NodeNames"], json::array());
  good();
  bench.Call(Verb::kFilter, "{", 400);
  good();
  EXPECT_EQ(bench.sink.ledger().generation(), before);
}

TEST(Filter, RefusesWithConstantTextsAndSaysWhereEvictingIsOfNoUse) {
  ExtenderBench bench("weighted");
  Node gpus;
  gpus.name = "gpus";
  gpus.cpu_milli = 8000;
  gpus.mem_bytes = int64_t{8} << 30;
  gpus.gpu_count = 2;
  gpus.gpu_model = "T4";
  ASSERT_TRUE(bench.sink.mutable_ledger().AddNode(gpus).ok());
  Node retired = gpus;
  retired.name = "retired";
  retired.weight = 0;
  ASSERT_TRUE(bench.sink.mutable_ledger().AddNode(retired).ok());
  Node full = gpus;
  full.name = "slots";
  full.max_pods = 0;
  ASSERT_TRUE(bench.sink.mutable_ledger().AddNode(full).ok());
  const std::string pod = R"({"metadata":{"name":"p","uid":"u","annotations":{"berth.dev/gpu-milli":"500"}},"spec":{"containers":[]}})";
  const json answer = bench.Call(Verb::kFilter, Ask(pod, R"(["gpus","retired","slots","nowhere"])"));
  EXPECT_EQ(answer["NodeNames"], json({"gpus"}));
  EXPECT_EQ(answer["FailedNodes"], json({{"slots", "Berth: too many pods"}, {"nowhere", "x"}}).patch(json::parse(R"([{"op":"remove","path":"/nowhere"}])")));
  EXPECT_EQ(answer["FailedAndUnresolvableNodes"], json({{"retired", "Berth: the policy takes no new pods on the node"}, {"nowhere", "Berth: the node is not known yet"}}));
  const std::string picky = R"({"metadata":{"name":"p","uid":"u","annotations":{"berth.dev/gpu-milli":"500","berth.dev/gpu-models":"A100"}},"spec":{}})";
  EXPECT_EQ(bench.Call(Verb::kFilter, Ask(picky, R"(["gpus"])"))["FailedAndUnresolvableNodes"]["gpus"], "Berth: the node's GPU model is not among the allowed ones");
}

TEST(Filter, LetsAPodThatIsReservedPassOnlyWhereItIs) {
  ExtenderBench bench;
  bench.sink.AddNode("n1", 1000, int64_t{8} << 30);
  bench.sink.AddNode("n2", 1000, int64_t{8} << 30);
  Pod pod;
  pod.id = "u";
  pod.request.cpu_milli = 1000;
  ASSERT_TRUE(bench.sink.Assume(pod, "n1", 0).ok());
  EXPECT_EQ(bench.Call(Verb::kFilter, Ask(PodJson("p", "u", "1"), R"(["n1","n2"])"))["NodeNames"], json({"n1"}));
}

TEST(Filter, DoesNotLookAtLabelsAndTaints) {
  // kube-scheduler's own filters did, on fresher objects.
  ExtenderBench bench;
  Node node;
  node.name = "n1";
  node.cpu_milli = 4000;
  node.taints = {{"k", "v", TaintEffect::kNoSchedule}};
  ASSERT_TRUE(bench.sink.mutable_ledger().AddNode(node).ok());
  const std::string pod = R"({"metadata":{"name":"p","uid":"u"},"spec":{"nodeSelector":{"a":"b"},"containers":[]}})";
  EXPECT_EQ(bench.Call(Verb::kFilter, Ask(pod, R"(["n1"])"))["NodeNames"], json({"n1"}));
}

// --- Preempt -------------------------------------------------------------------------------------------------------

std::string AskPreempt(const std::string& uid, const std::string& candidates, const std::string& nominated = "") {
  return R"({"Pod":{"metadata":{"name":"high","uid":")" + uid + R"("},"spec":{"containers":[{"name":"c","resources":{"requests":{"cpu":"3"}}}]},"status":{"nominatedNodeName":")" +
         nominated + R"("}},"NodeNameToVictims":null,"NodeNameToMetaVictims":)" + candidates + "}";
}

ExtenderBench& FillThree(ExtenderBench& bench) {
  for (const char* node : {"n1", "n2", "n3"}) {
    bench.sink.AddNode(node, 4000, int64_t{8} << 30);
    bench.sink.Run(std::string("low-") + node, node, 3000);
  }
  return bench;
}

constexpr char kThree[] = R"({"n1":{"Pods":[{"UID":"low-n1"}],"NumPDBViolations":1},"n2":{"Pods":[{"UID":"low-n2"}],"NumPDBViolations":0},"n3":{"Pods":[{"UID":"low-n3"}],"NumPDBViolations":0}})";

TEST(Preempt, NamesOneNodeAndStaysWithIt) {
  ExtenderBench bench;
  FillThree(bench);
  const json first = bench.Call(Verb::kPreempt, AskPreempt("h", kThree));
  EXPECT_EQ(first, json::parse(R"({"NodeNameToMetaVictims":{"n2":{"Pods":[{"UID":"low-n2"}],"NumPDBViolations":0}}})"));
  // A second call, in which another candidate looks better now.
  const std::string later = R"({"n2":{"Pods":[{"UID":"low-n2"}],"NumPDBViolations":5},"n3":{"Pods":[{"UID":"low-n3"}],"NumPDBViolations":0}})";
  EXPECT_TRUE(bench.Call(Verb::kPreempt, AskPreempt("h", later))["NodeNameToMetaVictims"].contains("n2"));
  // Another pod is free to choose, and so is this one once its node is no candidate any more, or it was settled.
  EXPECT_TRUE(bench.Call(Verb::kPreempt, AskPreempt("other", later))["NodeNameToMetaVictims"].contains("n3"));
  // Not at once: its victim may be on its way out.
  const std::string third = R"({"n3":{"Pods":[{"UID":"low-n3"}],"NumPDBViolations":0}})";
  EXPECT_TRUE(bench.Call(Verb::kPreempt, AskPreempt("h", third))["NodeNameToMetaVictims"].empty());
  std::this_thread::sleep_for(std::chrono::milliseconds(250));   // it is not: nobody evicts there
  EXPECT_TRUE(bench.Call(Verb::kPreempt, AskPreempt("h", third))["NodeNameToMetaVictims"].contains("n3"));
  bench.extender->Settled("h");
  EXPECT_TRUE(bench.Call(Verb::kPreempt, AskPreempt("h", kThree))["NodeNameToMetaVictims"].contains("n2"));
}

TEST(Preempt, FollowsTheNominatedNodeAfterARestart) {
  ExtenderBench bench;
  FillThree(bench);
  EXPECT_TRUE(bench.Call(Verb::kPreempt, AskPreempt("h", kThree, "n3"))["NodeNameToMetaVictims"].contains("n3"));
  EXPECT_TRUE(bench.Call(Verb::kPreempt, AskPreempt("h2", kThree, "gone"))["NodeNameToMetaVictims"].contains("n2"));
}

TEST(Preempt, NamesNoNodeWhereEvictingDoesNotHelp) {
  ExtenderBench bench;
  FillThree(bench);
  // Something that kube-scheduler does not know of holds the rest of n2.
  bench.sink.Run("reserved", "n2", 1000);
  bench.sink.Run("reserved-more", "n2", 500);
  EXPECT_TRUE(bench.Call(Verb::kPreempt, AskPreempt("h", kThree))["NodeNameToMetaVictims"].contains("n3"));
  const std::string only = R"({"n2":{"Pods":[{"UID":"low-n2"}],"NumPDBViolations":0},"unknown":{"Pods":[],"NumPDBViolations":0}})";
  EXPECT_EQ(bench.Call(Verb::kPreempt, AskPreempt("h2", only))["NodeNameToMetaVictims"], json::object());
}

TEST(Preempt, ChoosesInTheOrderOfKubeScheduler) {
  ExtenderBench bench;
  for (const char* node : {"a", "b", "c", "d"}) bench.sink.AddNode(node, 4000, int64_t{8} << 30);
  const auto victim = [](const std::string& uid, int priority, const std::string& start) {
    return fmt::format(R"({{"metadata":{{"name":"{0}","uid":"{0}"}},"spec":{{"priority":{1}}},"status":{{"startTime":"{2}"}}}})", uid, priority, start);
  };
  const auto ask = [&](const std::string& uid, const std::string& candidates) {
    const json answer = bench.Call(Verb::kPreempt, R"({"Pod":{"metadata":{"name":"h","uid":")" + uid + R"("},"spec":{}},"NodeNameToVictims":{)" + candidates + "}}");
    return answer["NodeNameToMetaVictims"].begin().key();
  };
  const auto node = [](const std::string& name, int violations, const std::string& pods) {
    return fmt::format(R"("{}":{{"Pods":[{}],"NumPDBViolations":{}}})", name, pods, violations);
  };
  const std::string old = "2026-01-01T00:00:00Z", recent = "2026-02-01T00:00:00Z";
  EXPECT_EQ(ask("1", node("a", 1, victim("x", 1, old)) + "," + node("b", 0, victim("y", 9, old) + "," + victim("z", 9, old))), "b");   // budgets
  EXPECT_EQ(ask("2", node("a", 0, victim("x", 5, old)) + "," + node("b", 0, victim("y", 4, old) + "," + victim("z", 4, old))), "b");   // highest priority
  EXPECT_EQ(ask("3", node("a", 0, victim("x", 5, old) + "," + victim("v", 3, old)) + "," + node("b", 0, victim("y", 5, old) + "," + victim("z", 2, old))), "b");   // sum
  EXPECT_EQ(ask("4", node("a", 0, victim("x", -5, old) + "," + victim("v", -5, old)) + "," + node("b", 0, victim("y", -5, old))), "b");   // fewer, negative too
  EXPECT_EQ(ask("5", node("a", 0, victim("x", 5, old)) + "," + node("b", 0, victim("y", 5, recent))), "b");   // latest start
  EXPECT_EQ(ask("6", node("d", 0, victim("x", 5, old)) + "," + node("c", 0, victim("y", 5, old))), "c");      // name
}

}  // namespace
}  // namespace berth::kubernetes

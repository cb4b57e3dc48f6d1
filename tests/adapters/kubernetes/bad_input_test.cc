// Bad bodies, row by row: each gets a clear answer, the next good call works, the ledger is unchanged.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "adapters/kubernetes/support.h"

namespace berth::kubernetes {
namespace {

using nlohmann::json;

struct Row {
  Verb verb;
  std::string body;
  int status;                  // of the answer
  std::string says;            // part of its Error
};

std::string PodOf(const std::string& spec) { return R"({"metadata":{"name":"p","uid":"u"},"spec":)" + spec + "}"; }
std::string Ask(const std::string& pod, const std::string& rest = R"("NodeNames":["n1"])") { return R"({"Pod":)" + pod + "," + rest + "}"; }
std::string Requests(const std::string& requests) { return Ask(PodOf(R"({"containers":[{"name":"c","resources":{"requests":)" + requests + "}}]}")); }
std::string Victims(const std::string& victims) { return Ask(PodOf("{}"), R"("NodeNameToMetaVictims":)" + victims); }
std::string Deep(size_t levels) { return std::string(levels, '[') + std::string(levels, ']'); }
std::string Names(size_t count) {
  std::string text = R"("NodeNames":[)";
  for (size_t i = 0; i < count; ++i) text += (i > 0 ? ",\"n" : "\"n") + std::to_string(i) + "\"";
  return text + "]";
}

std::vector<Row> Rows() {
  const std::string good = PodOf("{}");
  std::vector<Row> rows = {
      // No JSON, or not all of it.
      {Verb::kFilter, "", 400, "body is empty"},
      {Verb::kFilter, "{", 400, "body is no JSON"},
      {Verb::kFilter, "{\"Pod\":", 400, "body is no JSON"},
      {Verb::kFilter, Ask(good).substr(0, 30), 400, "body is no JSON"},
      {Verb::kFilter, "null", 400, "body is null, accepted: an object"},
      {Verb::kFilter, "[]", 400, "body is a list"},
      {Verb::kFilter, "\"text\"", 400, "body is a string"},
      {Verb::kFilter, "17", 400, "body is a whole number"},
      {Verb::kFilter, "{} {}", 400, "body is no JSON"},
      {Verb::kFilter, "{'Pod':1}", 400, "body is no JSON"},
      {Verb::kFilter, std::string("{\"Pod\":\"\0\"}", 11), 400, "body is no JSON"},
      {Verb::kFilter, "{\"Pod\":\"\xff\xfe\"}", 400, "body is no JSON"},
      {Verb::kFilter, "{\"Pod\":\"\\ud800\"}", 400, "body is no JSON"},
      {Verb::kFilter, "\xef\xbb\xbf{}}", 400, "body is no JSON"},
      {Verb::kFilter, "{\"Pod\":NaN}", 400, "body is no JSON"},
      {Verb::kFilter, "{\"a\":" + Deep(200) + "}", 400, "nested too deeply"},
      {Verb::kFilter, "{\"a\":" + Deep(100000) + "}", 400, "nested too deeply"},
      {Verb::kFilter, "{\"a\":" + std::string(100000, '['), 400, "body is n"},
      {Verb::kChoose, "{", 400, "body is no JSON"},
      {Verb::kChoose, "{}", 200, "Pod is missing"},
      {Verb::kPrioritize, "{", 400, "body is no JSON"},
      {Verb::kPreempt, "{", 400, "body is no JSON"},
      {Verb::kBind, "{", 400, "body is no JSON"},
      // The question.
      {Verb::kFilter, "{}", 200, "Pod is missing"},
      {Verb::kFilter, R"({"Pod":null,"NodeNames":["n1"]})", 200, "Pod is missing"},
      {Verb::kFilter, R"({"Pod":7,"NodeNames":["n1"]})", 200, "Pod is a whole number, accepted: an object"},
      {Verb::kFilter, Ask("[]"), 200, "Pod is a list"},
      {Verb::kFilter, Ask("{}"), 200, "Pod.metadata is missing"},
      {Verb::kFilter, Ask(R"({"metadata":3})"), 200, "Pod.metadata is a whole number"},
      {Verb::kFilter, Ask(R"({"metadata":{"name":"p"},"spec":{}})"), 200, "Pod.metadata.uid is missing"},
      {Verb::kFilter, Ask(R"({"metadata":{"name":"p","uid":5},"spec":{}})"), 200, "Pod.metadata.uid is a whole number, accepted: a string"},
      {Verb::kFilter, Ask(R"({"metadata":{"uid":"u"}})"), 200, "Pod.spec is missing"},
      {Verb::kFilter, Ask(R"({"metadata":{"uid":")" + std::string(300, 'u') + R"("},"spec":{}})"), 200, "Pod.id"},
      {Verb::kFilter, Ask(good, R"("NodeNames":"n1")"), 200, "NodeNames is a string, accepted: a list of names"},
      {Verb::kFilter, Ask(good, R"("NodeNames":["n1",2])"), 200, "NodeNames[1] is a whole number"},
      {Verb::kFilter, Ask(good, R"("NodeNames":[null])"), 200, "NodeNames[0] is null"},
      {Verb::kFilter, Ask(good, R"("Nodes":[])"), 200, "Nodes is a list"},
      {Verb::kFilter, Ask(good, R"("Nodes":{"items":{}})"), 200, "Nodes.items is an object"},
      {Verb::kFilter, Ask(good, R"("Nodes":{"items":[1]})"), 200, "Nodes.items[0] is a whole number"},
      {Verb::kFilter, Ask(good, R"("Nodes":{"items":[{}]})"), 200, "Nodes.items[0].metadata is missing"},
      {Verb::kFilter, Ask(good, R"("x":1)"), 200, "NodeNames and Nodes is missing"},
      {Verb::kFilter, Ask(good, Names(20001)), 200, "at most 20000"},
      {Verb::kPrioritize, "{}", 400, "Pod is missing"},
      {Verb::kPrioritize, Ask(good, R"("NodeNames":{})"), 400, "NodeNames is an object"},
      // The pod's requests.
      {Verb::kFilter, Ask(PodOf(R"({"containers":{}})")), 200, "Pod.spec.containers is an object, accepted: a list"},
      {Verb::kFilter, Ask(PodOf(R"({"containers":["x"]})")), 200, "Pod.spec.containers[0] is a string"},
      {Verb::kFilter, Ask(PodOf(R"({"containers":[{"resources":[]}]})")), 200, "Pod.spec.containers[0].resources is a list"},
      {Verb::kFilter, Ask(PodOf(R"({"initContainers":[{"resources":{"limits":7}}]})")), 200, "Pod.spec.initContainers[0].resources.limits is a whole number"},
      {Verb::kFilter, Requests(R"({"cpu":true})"), 200, "requests.cpu is a boolean, accepted: a quantity"},
      {Verb::kFilter, Requests(R"({"cpu":"-1"})"), 200, "requests.cpu is \"-1\""},
      {Verb::kFilter, Requests(R"({"cpu":"1e400"})"), 200, "requests.cpu"},
      {Verb::kFilter, Requests(R"({"cpu":"9223372036854775807"})"), 200, "requests.cpu"},
      {Verb::kFilter, Requests(R"({"cpu":"NaN"})"), 200, "requests.cpu is \"NaN\""},
      {Verb::kFilter, Requests(R"({"memory":"12Qi"})"), 200, "requests.memory is \"12Qi\""},
      {Verb::kFilter, Requests(R"({"memory":"9Ei"})"), 200, "requests.memory"},
      {Verb::kFilter, Requests(R"({"memory":"")" + std::string(1000, '9') + "\"}"), 400, "body is no JSON"},
      {Verb::kFilter, Requests("{\"memory\":\"" + std::string(1000, '9') + "\"}"), 200, "requests.memory"},
      {Verb::kFilter, Requests(R"({"nvidia.com/gpu":"17"})"), 200, "nvidia.com/gpu"},
      {Verb::kFilter, Requests(R"({"nvidia.com/gpu":"0.5"})"), 200, "must be an integer"},
      {Verb::kFilter, Ask(PodOf(R"({"priority":99999999999})")), 200, "Pod.spec.priority is \"99999999999\""},
      {Verb::kFilter, Ask(PodOf(R"({"priority":"high"})")), 200, "Pod.spec.priority is a string"},
      {Verb::kFilter, Ask(PodOf(R"({"nodeSelector":{"a":1}})")), 200, "Pod.spec.nodeSelector.a is a whole number"},
      {Verb::kFilter, Ask(PodOf(R"({"tolerations":[{"effect":"Sometimes"}]})")), 200, "Pod.spec.tolerations[0].effect is \"Sometimes\""},
      {Verb::kFilter, Ask(PodOf(R"({"overhead":[]})")), 200, "Pod.spec.overhead is a list"},
      {Verb::kFilter, Ask(R"({"metadata":{"uid":"u","annotations":{"berth.dev/gpu-milli":"lots"}},"spec":{}})"), 200, "berth.dev/gpu-milli is \"lots\""},
      {Verb::kFilter, Ask(R"({"metadata":{"uid":"u"},"spec":{},"status":{"containerStatuses":[{"name":"c","allocatedResources":{"cpu":"x"}}]}})"), 200,
       "Pod.status.containerStatuses[0].allocatedResources.cpu is \"x\""},
      // Preempt.
      {Verb::kPreempt, "{}", 400, "Pod is missing"},
      {Verb::kPreempt, Ask(good, R"("x":1)"), 400, "NodeNameToMetaVictims and NodeNameToVictims is missing"},
      {Verb::kPreempt, Victims("[]"), 400, "NodeNameToMetaVictims is a list"},
      {Verb::kPreempt, Victims(R"({"n1":7})"), 400, "NodeNameToMetaVictims.n1 is a whole number"},
      {Verb::kPreempt, Victims(R"({"n1":{"Pods":"x"}})"), 400, "NodeNameToMetaVictims.n1.Pods is a string"},
      {Verb::kPreempt, Victims(R"({"n1":{"Pods":[{}]}})"), 400, "NodeNameToMetaVictims.n1.Pods[0].UID is missing"},
      {Verb::kPreempt, Victims(R"({"n1":{"Pods":[],"NumPDBViolations":-1}})"), 400, "NodeNameToMetaVictims.n1.NumPDBViolations is \"-1\""},
      {Verb::kPreempt, Ask(good, R"("NodeNameToVictims":{"n1":{"Pods":[{"metadata":{}}]}})"), 400, "Pods[0].metadata.uid is missing"},
      // Bind.
      {Verb::kBind, "{}", 200, "PodName is missing"},
      {Verb::kBind, R"({"PodName":"p","PodNamespace":"d","Node":"n1"})", 200, "PodUID is missing"},
      {Verb::kBind, R"({"PodName":"p","PodNamespace":"d","PodUID":"u","Node":""})", 200, "Node is \"\""},
      {Verb::kBind, R"({"PodName":["p"],"PodNamespace":"d","PodUID":"u","Node":"n1"})", 200, "PodName is a list"},
      {Verb::kBind, R"({"PodName":")" + std::string(254, 'p') + R"(","PodNamespace":"d","PodUID":"u","Node":"n1"})", 200, "1 to 253 bytes"},
  };
  return rows;
}

TEST(BadInput, EachRowGetsAClearAnswerAndTheNextCallWorks) {
  test::ExtenderBench bench;
  bench.sink.AddNode("n1", 4000, int64_t{8} << 30);
  const Generation before = bench.sink.ledger().generation();
  const std::vector<Row> rows = Rows();
  EXPECT_GE(rows.size(), 60u);
  for (size_t i = 0; i < rows.size(); ++i) {
    const Row& row = rows[i];
    SCOPED_TRACE(fmt::format("row {}: {} {}", i, VerbName(row.verb), row.body.substr(0, 120)));
    const Extender::Answer answer = bench.extender->Call(row.verb, row.body);
    EXPECT_EQ(answer.status, row.status) << answer.body;
    const json said = json::parse(answer.body, nullptr, false);
    ASSERT_FALSE(said.is_discarded()) << answer.body;
    EXPECT_THAT(said.value("Error", ""), ::testing::HasSubstr(row.says));
    EXPECT_LT(answer.body.size(), 1000u);
    EXPECT_EQ(bench.Call(Verb::kFilter, Ask(PodOf("{}")))["NodeNames"], json({"n1"}));
  }
  EXPECT_EQ(bench.sink.ledger().generation(), before);
  EXPECT_TRUE(bench.sink.ledger().CheckInvariants().ok());
}

// Positive control: the good neighbours of some rows have no Error.
TEST(BadInput, GoodNeighboursAreAnswered) {
  test::ExtenderBench bench;
  bench.sink.AddNode("n1", 4000, int64_t{8} << 30);
  for (const std::string& body : {Ask(PodOf("{}")), Requests(R"({"cpu":2})"), Requests(R"({"cpu":"1.5","memory":"1Gi","unknown":"x"})"), Ask(PodOf("{}"), R"("Nodes":{"items":null})"),
                                  Ask(PodOf("{}"), Names(20000)), "{\"x\":" + Deep(50) + "," + Ask(PodOf("{}")).substr(1)}) {
    EXPECT_EQ(bench.Call(Verb::kFilter, body)["Error"], "") << body.substr(0, 100);
  }
}

// Every cut of a good body, and every body with one byte changed, is answered too.
TEST(BadInput, NoCutAndNoChangedByteKillsIt) {
  test::ExtenderBench bench;
  bench.sink.AddNode("n1", 4000, int64_t{8} << 30);
  const Generation before = bench.sink.ledger().generation();
  const std::string good = Ask(R"({"metadata":{"name":"p","uid":"u","annotations":{"berth.dev/gpu-milli":"500"}},"spec":{"containers":[{"name":"c","resources":{"requests":{"cpu":"250m","memory":"1.5Gi"}}}],"tolerations":[{"operator":"Exists"}]}})");
  for (size_t cut = 0; cut < good.size(); ++cut) EXPECT_EQ(bench.extender->Call(Verb::kFilter, good.substr(0, cut)).status, 400);
  Rng rng(7);
  for (int i = 0; i < 20000; ++i) {
    std::string body = good;
    for (uint64_t n = 1 + rng.Below(3); n > 0; --n) body[rng.Below(body.size())] = static_cast<char>(rng.Below(256));
    const auto verb = static_cast<Verb>(rng.Below(4));
    const Extender::Answer answer = bench.extender->Call(verb, body);
    EXPECT_TRUE(answer.status == 200 || answer.status == 400) << answer.status;
    EXPECT_TRUE(json::accept(answer.body)) << answer.body;
  }
  EXPECT_EQ(bench.sink.ledger().generation(), before);
}

}  // namespace
}  // namespace berth::kubernetes

// The traps T08 and T14, and binds whose answer gets lost.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

#include "adapters/kubernetes/scripted_server.h"
#include "adapters/kubernetes/support.h"

namespace berth::kubernetes {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;
using test::PodJson;
using test::ScriptedRequest;
using test::ScriptedServer;

constexpr char kConflict[] = R"({"kind":"Status","status":"Failure","message":"Operation cannot be fulfilled on pods/binding \"p\": pod p is already assigned to node \"n9\"","reason":"Conflict","code":409})";
constexpr char kCreated[] = R"({"kind":"Status","status":"Success","code":201})";

struct BindBench {
  explicit BindBench(ScriptedServer& server)
      : client(Credentials{.server = server.url(), .ca_pem = "", .skip_tls_verify = false, .token = "secret", .token_file = "", .certificate_pem = "", .key_pem = ""}),
        bench("best-fit", &client) {
    bench.sink.AddNode("n1", 1000, int64_t{8} << 30);
    bench.sink.AddNode("n2", 1000, int64_t{8} << 30);
  }
  std::string Bind(const std::string& uid, const std::string& node) {
    return bench.Call(Verb::kBind, fmt::format(R"({{"PodName":"p","PodNamespace":"d","PodUID":"{}","Node":"{}"}})", uid, node))["Error"];
  }
  const Ledger& ledger() const { return bench.sink.ledger(); }
  ApiClient client;
  test::ExtenderBench bench;
};

// T08: kubernetes#96579, AliyunContainerService/gpushare-scheduler-extender#199, pingcap/tidb-operator#1346, Project-HAMi/HAMi#273
TEST(Bind, IsIdempotentByUidAndNode) {
  std::atomic<bool> u2_refused{true};
  ScriptedServer server([&](const ScriptedRequest& r) -> std::string {
    if (r.method == "POST") return r.body.find("\"u2\"") != std::string::npos && u2_refused ? ScriptedServer::Json(409, kConflict) : ScriptedServer::Json(201, kCreated);
    return ScriptedServer::Json(200, r.Has("/pods/p") && u2_refused ? PodJson("p", "u1", "1") : PodJson("p", "u2", "1", "n9"));
  });
  BindBench b(server);
  EXPECT_EQ(b.Bind("u1", "n1"), "");
  EXPECT_EQ(b.bench.sink.FreeCpu("n1"), 0);
  EXPECT_EQ(b.Bind("u1", "n1"), "");        // the answer was lost: the same call again
  EXPECT_EQ(b.bench.sink.FreeCpu("n1"), 0);
  EXPECT_THAT(b.Bind("u1", "n2"), HasSubstr("already on n1"));
  EXPECT_EQ(b.bench.sink.FreeCpu("n2"), 1000);

  // u2 is refused by the server: its reservation goes, and the node takes the next pod at once.
  Pod pod;
  pod.id = "u2";
  pod.request.cpu_milli = 1000;
  ASSERT_TRUE(b.bench.sink.Assume(pod, "n2", 0).ok());   // an earlier bind of it whose end was not known
  EXPECT_THAT(b.Bind("u2", "n2"), HasSubstr("already assigned to node"));
  EXPECT_FALSE(b.ledger().FindPod("u2").has_value());
  EXPECT_EQ(b.bench.sink.FreeCpu("n2"), 1000);
}

// T14: kubernetes#105261, kubernetes#102761, kubernetes#121436
TEST(Bind, NeverPutsARecreatedPodOnTheNodeOfItsForerunner) {
  ScriptedServer server([&](const ScriptedRequest& r) -> std::string {
    if (r.method == "POST") {
      const json binding = json::parse(r.body);
      EXPECT_EQ(binding["metadata"]["uid"], "u1");
      return ScriptedServer::Json(409, R"x({"kind":"Status","message":"the UID in the precondition (u1) does not match the UID in record (u2)","code":409})x");
    }
    return ScriptedServer::Json(200, PodJson("p", "u2", "3"));
  });
  BindBench b(server);
  // The decision was made for u1.
  b.bench.Call(Verb::kPrioritize, R"({"Pod":)" + PodJson("p", "u1", "1") + R"(,"NodeNames":["n1"]})");
  EXPECT_THAT(b.Bind("u1", "n1"), HasSubstr("does not match the UID"));
  EXPECT_FALSE(b.ledger().FindPod("u1").has_value());
  EXPECT_FALSE(b.ledger().FindPod("u2").has_value());
  EXPECT_EQ(b.bench.sink.FreeCpu("n1"), 1000);
}

TEST(Bind, SendsUidTokenAndWhy) {
  ScriptedServer server([&](const ScriptedRequest& r) -> std::string {
    return r.method == "POST" ? ScriptedServer::Json(201, kCreated) : ScriptedServer::Json(500, "{}");
  });
  BindBench b(server);
  b.bench.Call(Verb::kPrioritize, R"({"Pod":)" + PodJson("p", "u1", "500m") + R"(,"NodeNames":["n1","n2"]})");
  EXPECT_EQ(b.Bind("u1", "n1"), "");
  ASSERT_EQ(server.requests().size(), 1u);
  EXPECT_EQ(server.requests()[0].target, "/api/v1/namespaces/d/pods/p/binding");
  const json binding = json::parse(server.requests()[0].body);
  EXPECT_EQ(binding["metadata"]["uid"], "u1");
  EXPECT_EQ(binding["target"]["name"], "n1");
  const json why = json::parse(binding["metadata"]["annotations"]["berth.dev/decision"].get<std::string>());
  EXPECT_EQ(why["policy"], "best-fit");
  EXPECT_TRUE(why["score"].is_number());
  EXPECT_EQ(why["runner_up"], "n2");
}

TEST(Bind, SaysWhichDevicesAShareGot) {
  ScriptedServer server([&](const ScriptedRequest&) -> std::string { return ScriptedServer::Json(201, kCreated); });
  BindBench b(server);
  b.bench.sink.AddNode("gpus", 8000, int64_t{8} << 30, 2);
  const auto place = [&](const std::string& uid) {
    std::string pod = PodJson("p", uid, "1");
    pod.replace(pod.find(R"("name":"p")"), 10, R"("name":"p","annotations":{"berth.dev/gpu-milli":"600"})");
    b.bench.Call(Verb::kPrioritize, R"({"Pod":)" + pod + R"(,"NodeNames":["gpus"]})");
    EXPECT_EQ(b.Bind(uid, "gpus"), "");
    return json::parse(server.requests().back().body)["metadata"]["annotations"]["berth.dev/gpu-devices"].get<std::string>();
  };
  EXPECT_EQ(place("a"), "0");
  EXPECT_EQ(place("b"), "1");   // 400 are left on device 0
  EXPECT_EQ(b.ledger().FindPod("b")->devices, 0b10u);
}

TEST(Bind, LooksUpHowACallThatBrokeHasEnded) {
  // The POST breaks: it came through (bound), it did not and the pod is another one, the API server is gone.
  for (const auto& [pod_now, error, is_on_record] : {std::tuple(PodJson("p", "u1", "1", "n1"), false, true), std::tuple(PodJson("p", "u9", "1"), true, false),
                                                     std::tuple(std::string(), true, true), std::tuple(PodJson("p", "u1", "1", "n2"), true, false)}) {
    std::atomic<int> gets{0};
    ScriptedServer server([&, pod_now = pod_now](const ScriptedRequest& r) -> std::string {
      if (r.method == "POST") return "";
      if (gets++ == 0) return ScriptedServer::Json(200, PodJson("p", "u1", "1"));   // to learn what it asks for
      return pod_now.empty() ? std::string() : ScriptedServer::Json(200, pod_now);
    });
    BindBench b(server);
    EXPECT_EQ(!b.Bind("u1", "n1").empty(), error) << pod_now;
    EXPECT_EQ(b.ledger().FindPod("u1").has_value(), is_on_record) << pod_now;
  }
}

TEST(Bind, APodThatIsGoneOrDoesNotFitIsNotPosted) {
  ScriptedServer server([&](const ScriptedRequest& r) -> std::string {
    if (r.method == "POST") return ScriptedServer::Json(201, kCreated);
    if (r.Has("/pods/p")) return ScriptedServer::Json(200, PodJson("p", "u1", "2"));
    return ScriptedServer::Json(404, R"({"kind":"Status","message":"pods \"x\" not found","code":404})");
  });
  BindBench b(server);
  EXPECT_THAT(b.Bind("u1", "n1"), HasSubstr("not enough cpu"));
  EXPECT_THAT(b.Bind("u1", "n7"), HasSubstr("not known"));
  EXPECT_THAT(b.Bind("other", "n1"), HasSubstr("another one now"));
  for (const auto& r : server.requests()) EXPECT_EQ(r.method, "GET");
  EXPECT_EQ(b.ledger().totals().assumed, 0u);
}

TEST(Bind, ManyAtOnceOfOnePodAreOneBind) {
  std::atomic<int> posts{0};
  ScriptedServer server([&](const ScriptedRequest& r) -> std::string {
    if (r.method == "POST") {
      ++posts;
      std::this_thread::sleep_for(std::chrono::milliseconds(30));
      return ScriptedServer::Json(201, kCreated);
    }
    return ScriptedServer::Json(200, PodJson("p", "u1", "1"));
  });
  BindBench b(server);
  std::vector<std::thread> threads;
  std::atomic<int> good{0};
  for (int i = 0; i < 8; ++i) threads.emplace_back([&] { good += b.Bind("u1", "n1").empty() ? 1 : 0; });
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(good, 8);
  EXPECT_EQ(b.bench.sink.FreeCpu("n1"), 0);
  EXPECT_EQ(b.ledger().totals().assumed, 1u);
}

TEST(Bind, NeedsAnApiServer) {
  test::ExtenderBench bench;
  EXPECT_THAT(bench.Call(Verb::kBind, R"({"PodName":"p","PodNamespace":"d","PodUID":"u","Node":"n"})")["Error"].get<std::string>(), HasSubstr("--kubeconfig"));
}

}  // namespace
}  // namespace berth::kubernetes

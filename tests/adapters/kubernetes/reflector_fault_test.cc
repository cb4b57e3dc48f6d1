// The Race traps T12 and T15, and streams that break where it hurts.
#include "adapters/kubernetes/reflector.h"

#include <gtest/gtest.h>

#include <thread>

#include "adapters/kubernetes/scripted_server.h"
#include "adapters/kubernetes/support.h"

namespace berth::kubernetes {
namespace {

using test::Eventually;
using test::NodeJson;
using test::PodJson;
using test::ScriptedRequest;
using test::ScriptedServer;

std::string ListOf(const std::vector<std::string>& items, const std::string& version, const std::string& next = "") {
  std::string text = fmt::format(R"({{"metadata":{{"resourceVersion":"{}","continue":"{}"}},"items":[)", version, next);
  for (size_t i = 0; i < items.size(); ++i) text += (i > 0 ? "," : "") + items[i];
  return ScriptedServer::Json(200, text + "]}");
}
std::string EventOf(const std::string& type, const std::string& object) { return fmt::format("{{\"type\":\"{}\",\"object\":{}}}\n", type, object); }
std::string Stay(const std::string& lines) { return ScriptedServer::Stream(lines) + std::string(ScriptedServer::kStayOpen); }

// Reflectors of nodes and pods against a script, into a ledger.
class Following {
 public:
  explicit Following(ScriptedServer& server, bool use_watch_list = false)
      : client_(Credentials{.server = server.url(), .ca_pem = "", .skip_tls_verify = false, .token = "t", .token_file = "", .certificate_pem = "", .key_pem = ""}),
        feed(&bench.sink, &bench.names, &bench.metrics, nullptr) {
    for (const bool is_nodes : {true, false}) {
      Reflector::Options options;
      options.path = is_nodes ? "/api/v1/nodes" : "/api/v1/pods";
      options.use_watch_list = use_watch_list;
      options.first_backoff_ms = 5;
      options.max_backoff_ms = 20;
      reflectors.push_back(std::make_unique<Reflector>(&client_, is_nodes ? &feed.nodes() : &feed.pods(), options));
      threads_.emplace_back([r = reflectors.back().get()] { r->Run(); });
    }
  }
  ~Following() {
    client_.Cancel();
    for (std::thread& thread : threads_) thread.join();
  }
  const Ledger& ledger() const { return bench.sink.ledger(); }

 private:
  ApiClient client_;

 public:
  test::ExtenderBench bench;
  ClusterFeed feed;
  std::vector<std::unique_ptr<Reflector>> reflectors;   // nodes, pods

 private:
  std::vector<std::thread> threads_;
};

// T12: kubernetes-sigs/headlamp#7451, kubernetes-client/javascript#392, kubernetes#69926, kubernetes#55587
TEST(Reflector, AnExpiredVersionIsListedAnewOnceWithinAStreamOrAtConnect) {
  for (const bool at_connect : {false, true}) {
    std::atomic<int> pod_lists{0}, node_lists{0};
    ScriptedServer server([&](const ScriptedRequest& r) -> std::string {
      const bool is_pods = r.Has("/pods");
      if (!r.Has("watch=1")) {
        const bool is_first = (is_pods ? pod_lists++ : node_lists++) == 0;
        if (is_pods) return ListOf(is_first ? std::vector{PodJson("a", "a", "2", "n1")} : std::vector<std::string>{}, is_first ? "100" : "200");
        return ListOf(is_first ? std::vector{NodeJson("n1", "4"), NodeJson("n2", "4")} : std::vector{NodeJson("n1", "4")}, is_first ? "100" : "200");
      }
      if (r.Has("resourceVersion=200")) return Stay("");
      const std::string status = R"x({"kind":"Status","apiVersion":"v1","reason":"Expired","code":410,"message":"too old resource version: 100 (150)"})x";
      return at_connect ? ScriptedServer::Json(410, status) : ScriptedServer::Stream(EventOf("ERROR", status));
    });
    Following following(server);
    ASSERT_TRUE(Eventually([&] { return server.CountOf("resourceVersion=200") == 2; }));
    EXPECT_EQ(following.bench.sink.FreeCpu("n1"), 4000);
    EXPECT_EQ(following.bench.sink.FreeCpu("n2"), -1);
    EXPECT_EQ(following.ledger().totals().confirmed, 0u);   // no phantom
    EXPECT_EQ(pod_lists, 2);
    EXPECT_EQ(node_lists, 2);
    EXPECT_EQ(following.reflectors[1]->counts().expired, 1u);
  }
}

// T15: kubernetes-client/python#1404 and #1796
TEST(Reflector, ABookmarkMovesTheVersionAndIsNoObject) {
  ScriptedServer server([&](const ScriptedRequest& r) -> std::string {
    if (!r.Has("watch=1")) return r.Has("/pods") ? ListOf({}, "100") : ListOf({NodeJson("n1", "4")}, "100");
    if (r.Has("/pods") && r.Has("resourceVersion=100")) {
      return ScriptedServer::Stream(EventOf("BOOKMARK", R"({"kind":"Pod","metadata":{"resourceVersion":"900"},"spec":{"containers":null}})"));
    }
    return Stay("");
  });
  Following following(server);
  ASSERT_TRUE(Eventually([&] { return server.CountOf("/pods?watch=1&allowWatchBookmarks=true&timeoutSeconds=300&resourceVersion=900") > 0; }));
  EXPECT_EQ(following.ledger().totals().confirmed, 0u);
  EXPECT_EQ(following.bench.metrics.differences[static_cast<size_t>(Difference::kUnreadable)]->Value(), 0);
}

TEST(Reflector, TakesUpAStreamThatWasCutInTheMiddleOfAnObject) {
  ScriptedServer server([&](const ScriptedRequest& r) -> std::string {
    if (!r.Has("watch=1")) return r.Has("/pods") ? ListOf({}, "100") : ListOf({NodeJson("n1", "4")}, "100");
    if (!r.Has("/pods")) return Stay("");
    const std::string second = EventOf("ADDED", PodJson("b", "b", "1", "n1", "102"));
    if (r.Has("resourceVersion=100")) return ScriptedServer::Stream(EventOf("ADDED", PodJson("a", "a", "1", "n1", "101")) + second.substr(0, second.size() / 2));
    if (r.Has("resourceVersion=101")) return Stay(second);
    return ScriptedServer::Json(500, "{}");
  });
  Following following(server);
  ASSERT_TRUE(Eventually([&] { return following.ledger().totals().confirmed == 2; }));
  EXPECT_EQ(following.bench.sink.FreeCpu("n1"), 2000);
  EXPECT_EQ(following.reflectors[1]->counts().lists, 1u);   // no list was needed
}

TEST(Reflector, FallsBackWhereTheServerHasNoWatchList) {
  for (const bool by_event : {false, true}) {
    ScriptedServer server([&](const ScriptedRequest& r) -> std::string {
      if (r.Has("sendInitialEvents")) {
        const std::string status = R"({"kind":"Status","code":400,"message":"required storage feature RequestWatchProgress is disabled"})";
        return by_event ? ScriptedServer::Stream(EventOf("ERROR", status)) : ScriptedServer::Json(400, status);
      }
      if (!r.Has("watch=1")) return r.Has("/pods") ? ListOf({PodJson("a", "a", "1", "n1")}, "7") : ListOf({NodeJson("n1", "4")}, "7");
      return Stay("");
    });
    Following following(server, true);
    ASSERT_TRUE(Eventually([&] { return following.feed.is_synced(); }));
    EXPECT_EQ(following.bench.sink.FreeCpu("n1"), 3000);
    EXPECT_EQ(server.CountOf("sendInitialEvents"), 2u);   // asked once each
  }
}

TEST(Reflector, UsesTheStreamOfAWatchListFurther) {
  ScriptedServer server([&](const ScriptedRequest& r) -> std::string {
    const std::string end = EventOf("BOOKMARK", R"({"metadata":{"resourceVersion":"50","annotations":{"k8s.io/initial-events-end":"true"}}})");
    if (!r.Has("sendInitialEvents")) return r.Has("resourceVersion=60") ? Stay("") : ScriptedServer::Json(500, "{}");
    if (!r.Has("/pods")) return Stay(EventOf("ADDED", NodeJson("n1", "4")) + end);
    return ScriptedServer::Stream(EventOf("ADDED", PodJson("a", "a", "1", "n1")) + end + EventOf("ADDED", PodJson("b", "b", "1", "n1", "60")));
  });
  Following following(server, true);
  ASSERT_TRUE(Eventually([&] { return server.CountOf("resourceVersion=60") > 0; }));
  EXPECT_EQ(following.bench.sink.FreeCpu("n1"), 2000);
}

TEST(Reflector, AListThatBreaksOffChangesNothing) {
  std::atomic<int> tries{0};
  ScriptedServer server([&](const ScriptedRequest& r) -> std::string {
    if (r.Has("watch=1")) return Stay("");
    if (!r.Has("/pods")) return ListOf({NodeJson("n1", "4")}, "1");
    if (!r.Has("continue=")) return ListOf({PodJson("a", "a", "1", "n1")}, "5", "to/ken=");
    EXPECT_TRUE(r.Has("continue=to%2Fken%3D")) << r.target;
    if (tries++ == 0) return ScriptedServer::Json(410, R"({"kind":"Status","code":410,"message":"The provided continue parameter is too old"})");
    return ListOf({PodJson("b", "b", "1", "n1")}, "5");
  });
  Following following(server);
  ASSERT_TRUE(Eventually([&] { return following.feed.is_synced(); }));
  EXPECT_EQ(tries, 2);
  EXPECT_EQ(following.ledger().totals().confirmed, 2u);
}

TEST(Reflector, KeepsTryingThroughRefusalsGarbageAndSilence) {
  std::atomic<int> calls{0};
  const std::vector<std::string> bad = {"", ScriptedServer::Json(403, R"({"kind":"Status","code":403,"message":"forbidden"})"), ScriptedServer::Json(200, "{"),
                                        ScriptedServer::Json(200, "[]"), ScriptedServer::Json(200, R"({"metadata":{}})"), ScriptedServer::Json(503, "oops"),
                                        "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{\"metadata\":", "garbage\r\n\r\n"};
  ScriptedServer server([&](const ScriptedRequest& r) -> std::string {
    if (!r.Has("/pods")) return r.Has("watch=1") ? Stay("") : ListOf({NodeJson("n1", "4")}, "1");
    if (r.Has("watch=1")) return Stay("");
    const auto n = static_cast<size_t>(calls++);
    return n < bad.size() ? bad[n] : ListOf({PodJson("a", "a", "1", "n1")}, "1");
  });
  Following following(server);
  ASSERT_TRUE(Eventually([&] { return following.feed.is_synced(); }));
  EXPECT_EQ(following.reflectors[1]->counts().failures, bad.size());
  EXPECT_EQ(following.bench.sink.FreeCpu("n1"), 3000);
}

}  // namespace
}  // namespace berth::kubernetes

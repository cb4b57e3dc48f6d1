// Leader election against a Lease that a server keeps with resourceVersions. Time is the test's.
#include "adapters/kubernetes/lease.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <mutex>
#include <optional>

#include "adapters/kubernetes/scripted_server.h"
#include "adapters/kubernetes/support.h"

namespace berth::kubernetes::test {
namespace {

using ::testing::HasSubstr;

constexpr char kPath[] = "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases";

// The server's side of one Lease.
struct LeaseStore {
  std::mutex mu;
  std::optional<nlohmann::json> lease;
  int64_t version = 0;
  int fails_with = 0;

  std::string Answer(const ScriptedRequest& request) {
    const std::lock_guard<std::mutex> lock(mu);
    if (fails_with != 0) return ScriptedServer::Json(fails_with, R"({"kind":"Status","message":"not now"})");
    if (request.method == "GET") {
      return lease ? ScriptedServer::Json(200, lease->dump()) : ScriptedServer::Json(404, R"({"kind":"Status","message":"not found"})");
    }
    nlohmann::json body = nlohmann::json::parse(request.body);
    if (request.method == "POST") {
      EXPECT_EQ(request.target, kPath);
      if (lease) return ScriptedServer::Json(409, R"({"kind":"Status","message":"already exists"})");
    } else {
      EXPECT_EQ(request.target, std::string(kPath) + "/berth");
      if (body["metadata"].value("resourceVersion", "") != (*lease)["metadata"]["resourceVersion"]) {
        return ScriptedServer::Json(409, R"({"kind":"Status","message":"the object has been modified"})");
      }
    }
    body["metadata"]["resourceVersion"] = std::to_string(++version);
    lease = body;
    return ScriptedServer::Json(request.method == "POST" ? 201 : 200, body.dump());
  }
};

struct LeaseTest : ::testing::Test {
  LeaseStore store;
  ScriptedServer server{[this](const ScriptedRequest& request) { return store.Answer(request); }};
  int64_t now_ms = 1'000'000;   // monotonic, of all
  std::vector<std::unique_ptr<ApiClient>> clients;

  std::unique_ptr<LeaderElector> Candidate(const std::string& identity, const int64_t* wall_us) {
    Credentials credentials;
    credentials.server = server.url();
    clients.push_back(std::make_unique<ApiClient>(credentials));
    LeaderElector::Options options;
    options.name_space = "kube-system";
    options.name = "berth";
    options.identity = identity;
    options.monotonic_ms = [this] { return now_ms; };
    options.wall_us = [wall_us] { return *wall_us; };
    return std::make_unique<LeaderElector>(clients.back().get(), options);
  }
};

// Trap T13.
TEST_F(LeaseTest, ClocksOfOthersDecideNothing) {
  int64_t a_wall = 1'764'000'000'000'000, b_wall = a_wall + 40'000'000;   // the standby's clock is 40 s ahead
  const auto a = Candidate("a", &a_wall), b = Candidate("b", &b_wall);
  ASSERT_TRUE(a->Step().ok());
  EXPECT_TRUE(a->Leads());
  int64_t last_change_ms = now_ms;
  for (int i = 0; i < 60; ++i) {
    now_ms += 1000;
    a_wall += 1'000'000;
    b_wall += 1'000'000;
    if (i % 2 == 0) {
      ASSERT_TRUE(a->Step().ok());
      last_change_ms = now_ms;
    } else {
      ASSERT_TRUE(b->Step().ok());
    }
    ASSERT_TRUE(a->Leads()) << i;
    ASSERT_FALSE(b->Leads()) << i;
  }
  // The holder is killed, and the standby's wall clock is set back by an hour.
  b_wall -= 3600'000'000LL;
  int64_t ousted_ms = 0, taken_ms = 0;
  for (int i = 0; i < 40 && taken_ms == 0; ++i) {
    now_ms += 500;
    if (ousted_ms == 0 && !a->Leads()) ousted_ms = now_ms;
    if (i % 4 == 3) {
      ASSERT_TRUE(b->Step().ok());
    }
    if (b->Leads()) taken_ms = now_ms;
    ASSERT_FALSE(a->Leads() && b->Leads());
  }
  EXPECT_GE(taken_ms - last_change_ms, 15000);
  EXPECT_LE(taken_ms - last_change_ms, 20000);
  // A bind that the old one began before takes 4 s at most.
  EXPECT_LE(ousted_ms - last_change_ms, 11000);
  EXPECT_EQ((*store.lease)["spec"]["holderIdentity"], "b");
  EXPECT_EQ((*store.lease)["spec"]["leaseTransitions"], 1);
  // The old one comes back and does not take it.
  ASSERT_TRUE(a->Step().ok());
  EXPECT_FALSE(a->Leads());
}

TEST_F(LeaseTest, OneOfTwoThatTryAtOnceLeads) {
  int64_t wall = 1'764'000'000'000'000;
  const auto a = Candidate("a", &wall), b = Candidate("b", &wall), c = Candidate("c", &wall);
  ASSERT_TRUE(c->Step().ok());
  ASSERT_TRUE(a->Step().ok());
  ASSERT_TRUE(b->Step().ok());
  now_ms += 15001;
  std::thread other([&] { a->Step().IgnoreError(); });   // the loser is told 409
  b->Step().IgnoreError();
  other.join();
  EXPECT_NE(a->Leads(), b->Leads());
  EXPECT_FALSE(c->Leads());
}

TEST_F(LeaseTest, AHolderThatCannotRenewStops) {
  int64_t wall = 1'764'000'000'000'000;
  const auto a = Candidate("a", &wall);
  ASSERT_TRUE(a->Step().ok());
  store.fails_with = 500;
  for (int i = 0; i < 4; ++i) {
    now_ms += 2000;
    EXPECT_THAT(std::string(a->Step().message()), HasSubstr("500 not now"));
    EXPECT_TRUE(a->Leads());
  }
  now_ms += 2000;
  EXPECT_FALSE(a->Leads());
  store.fails_with = 0;
  ASSERT_TRUE(a->Step().ok());   // the record still names it
  EXPECT_TRUE(a->Leads());
}

TEST_F(LeaseTest, ALeaseGivenUpIsTakenAtOnce) {
  int64_t wall = 1'764'000'000'000'000;
  const auto a = Candidate("a", &wall), b = Candidate("b", &wall);
  a->Stop();
  ASSERT_TRUE(a->Step().ok());
  ASSERT_TRUE(b->Step().ok());
  EXPECT_FALSE(b->Leads());
  a->Run();   // stopped already: gives up
  EXPECT_FALSE(a->Leads());
  now_ms += 2000;
  ASSERT_TRUE(b->Step().ok());
  EXPECT_TRUE(b->Leads());
}

TEST(LeaderElection, AStandbyAnswersAndBindsNothing) {
  LedgerSink sink;
  sink.AddNode("n1", 4000, 1 << 30);
  prometheus::Registry registry;
  Metrics metrics(registry);
  ExtendedNames names;
  Extender::Options options;
  bool leads = false;
  options.leads = [&leads] { return leads; };
  ScriptedServer server([](const ScriptedRequest&) { return ScriptedServer::Json(500, "{}"); });
  Credentials credentials;
  credentials.server = server.url();
  ApiClient client(credentials);
  Extender extender(&sink, &names, &metrics, &client, options);
  const std::string question = R"({"Pod":{"metadata":{"name":"p","namespace":"d","uid":"u"},"spec":{"containers":[{"name":"c"}]}},"NodeNames":["n1"]})";
  EXPECT_THAT(extender.Call(Verb::kFilter, question).body, HasSubstr("another Berth leads"));
  EXPECT_THAT(extender.Call(Verb::kBind, R"({"PodName":"p","PodNamespace":"d","PodUID":"u","Node":"n1"})").body, HasSubstr("another Berth leads"));
  EXPECT_TRUE(server.requests().empty());
  leads = true;
  EXPECT_THAT(extender.Call(Verb::kFilter, question).body, HasSubstr(R"("NodeNames":["n1"])"));
}

}  // namespace
}  // namespace berth::kubernetes::test

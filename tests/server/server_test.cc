#include "server/server.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <unistd.h>

#include <filesystem>
#include <thread>

#include "berth/v1/cluster.grpc.pb.h"
#include "berth/v1/model.grpc.pb.h"
#include "berth/v1/placement.grpc.pb.h"
#include "grpcpp/grpcpp.h"
#include "policy/registry.h"

namespace berth {
namespace {

using ::testing::HasSubstr;
namespace fs = std::filesystem;

Node MakeNode(const std::string& name, int64_t cpu_milli, int32_t gpus = 0) {
  Node node;
  node.name = name;
  node.cpu_milli = cpu_milli;
  node.mem_bytes = int64_t{8} << 30;
  node.gpu_count = gpus;
  return node;
}

// A real server on a unix socket, and a client of it.
class ServerTest : public ::testing::Test {
 protected:
  void SetUp() override {
    dir_ = fs::temp_directory_path() / ("berth-server-test-" + std::to_string(getpid()));
    fs::remove_all(dir_);
    fs::create_directories(dir_);
    options_.listen = "unix:" + (dir_ / "s").string();
    options_.limits.drain_s = 1;
  }
  void TearDown() override {
    Stop();
    fs::remove_all(dir_);
  }

  void Start(std::vector<Node> nodes, const std::string& policy = "first-fit") {
    Server::Parts parts;
    parts.policy = *MakePolicy(policy, {});
    parts.nodes = std::move(nodes);
    parts.loader = [](const std::string&) -> absl::StatusOr<std::shared_ptr<const Policy>> {
      return absl::InvalidArgumentError("model weights_sha256 is wrong");
    };
    auto server = Server::Start(options_, std::move(parts));
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
    channel_ = grpc::CreateChannel(server_->address(), grpc::InsecureChannelCredentials());
    placement_ = v1::PlacementService::NewStub(channel_);
    cluster_ = v1::ClusterService::NewStub(channel_);
    models_ = v1::ModelService::NewStub(channel_);
  }
  void Stop() {
    placement_.reset(), cluster_.reset(), models_.reset(), channel_.reset();
    server_.reset();
  }

  static v1::PlaceRequest Request(const std::string& id, int64_t cpu_milli, const std::string& key = "") {
    v1::PlaceRequest request;
    request.mutable_pod()->set_id(id);
    request.mutable_pod()->set_cpu_milli(cpu_milli);
    request.set_idempotency_key(key);
    return request;
  }
  grpc::Status Place(const v1::PlaceRequest& request, v1::PlaceResponse* response) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(20));
    return placement_->Place(&context, request, response);
  }
  grpc::Status Release(const std::string& id) {
    grpc::ClientContext context;
    v1::ReleaseRequest request;
    request.set_pod_id(id);
    v1::ReleaseResponse response;
    return placement_->Release(&context, request, &response);
  }
  grpc::Status Confirm(const std::string& id) {
    grpc::ClientContext context;
    v1::ConfirmRequest request;
    request.set_pod_id(id);
    v1::ConfirmResponse response;
    return placement_->Confirm(&context, request, &response);
  }
  grpc::Status Apply(const v1::ApplyDeltaRequest& request, v1::ApplyDeltaResponse* response) {
    grpc::ClientContext context;
    return cluster_->ApplyDelta(&context, request, response);
  }
  // The whole cluster, by pages.
  std::string Cluster() {
    std::string all, token;
    do {
      grpc::ClientContext context;
      v1::GetClusterRequest request;
      request.set_page_token(token);
      v1::GetClusterResponse response;
      EXPECT_TRUE(cluster_->GetCluster(&context, request, &response).ok());
      EXPECT_LT(response.ByteSizeLong(), size_t{4} << 20);
      token = response.next_page_token();
      response.clear_next_page_token();
      all += response.SerializeAsString();
    } while (!token.empty());
    return all;
  }

  fs::path dir_;
  ServerOptions options_;
  std::unique_ptr<Server> server_;
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<v1::PlacementService::Stub> placement_;
  std::unique_ptr<v1::ClusterService::Stub> cluster_;
  std::unique_ptr<v1::ModelService::Stub> models_;
};

TEST_F(ServerTest, APodIsPlacedConfirmedExplainedAndReleased) {
  Start({MakeNode("a", 2000, 2), MakeNode("b", 4000)});
  v1::PlaceRequest request = Request("p", 1000);
  request.mutable_pod()->set_gpu_count(1);
  request.mutable_pod()->set_gpu_milli(500);
  request.set_count_nodes(true);
  v1::PlaceResponse response;
  ASSERT_TRUE(Place(request, &response).ok());
  const v1::Decision& d = response.decision();
  EXPECT_TRUE(d.is_placed());
  EXPECT_EQ(d.node(), "a");
  ASSERT_EQ(d.devices_size(), 1);
  EXPECT_EQ(d.policy(), "first-fit");
  EXPECT_EQ(d.feasible_nodes(), 1u);
  ASSERT_EQ(d.refused_size(), 1);
  EXPECT_EQ(d.refused(0).constraint(), "gpu");
  EXPECT_TRUE(Confirm("p").ok());
  EXPECT_TRUE(Confirm("p").ok()) << "confirming twice is no error";
  grpc::ClientContext context;
  v1::ExplainRequest explain;
  explain.set_pod_id("p");
  v1::ExplainResponse explained;
  ASSERT_TRUE(placement_->Explain(&context, explain, &explained).ok());
  EXPECT_EQ(explained.phase(), "confirmed");
  EXPECT_EQ(explained.recorded().node(), "a");
  EXPECT_EQ(explained.decision().node(), "a");
  EXPECT_FALSE(explained.formula().empty());
  EXPECT_TRUE(Release("p").ok());
  EXPECT_EQ(Release("p").error_code(), grpc::StatusCode::NOT_FOUND);
}

TEST_F(ServerTest, NoNodeFitsIsADecisionWithCounts) {
  Start({MakeNode("a", 1000), MakeNode("b", 2000)});
  v1::PlaceResponse response;
  ASSERT_TRUE(Place(Request("p", 3000), &response).ok());
  EXPECT_FALSE(response.decision().is_placed());
  ASSERT_EQ(response.decision().refused_size(), 1);
  EXPECT_EQ(response.decision().refused(0).constraint(), "cpu");
  EXPECT_EQ(response.decision().refused(0).nodes(), 2u);
}

// Trap T25: a retry is the same wish, also after a restart; another body under the key is refused.
TEST_F(ServerTest, ARetriedPlaceGetsTheSameDecisionAndNeverASecondReservation) {
  options_.state_dir = (dir_ / "state").string();
  Start({MakeNode("a", 2000), MakeNode("b", 2000)});
  v1::PlaceResponse first, second;
  ASSERT_TRUE(Place(Request("p", 2000, "r1"), &first).ok());
  ASSERT_TRUE(Place(Request("p", 2000, "r1"), &second).ok());
  EXPECT_FALSE(first.is_replay());
  EXPECT_TRUE(second.is_replay());
  EXPECT_EQ(first.decision().SerializeAsString(), second.decision().SerializeAsString());
  EXPECT_EQ(server_->placements().ledger().totals().assumed, 1u);
  EXPECT_EQ(Place(Request("p", 1500, "r1"), &second).error_code(), grpc::StatusCode::FAILED_PRECONDITION);
  EXPECT_EQ(Place(Request("p", 2000), &second).error_code(), grpc::StatusCode::ALREADY_EXISTS);
  Stop();
  Start({});
  ASSERT_TRUE(Place(Request("p", 2000, "r1"), &second).ok());
  EXPECT_TRUE(second.is_replay());
  EXPECT_EQ(first.decision().SerializeAsString(), second.decision().SerializeAsString());
  EXPECT_EQ(server_->placements().ledger().totals().nodes, 2u);
  EXPECT_EQ(server_->placements().ledger().totals().assumed, 1u);
  v1::PlaceResponse other;
  ASSERT_TRUE(Place(Request("q", 2000), &other).ok());
  EXPECT_EQ(other.decision().node(), "b") << "the restored pod still holds its node";
  EXPECT_TRUE(server_->placements().ledger().CheckInvariants().ok());
}

TEST_F(ServerTest, BatchAndStreamAnswerEachRequestInOrder) {
  Start({MakeNode("a", 1500)});
  v1::PlaceBatchRequest batch;
  *batch.add_requests() = Request("p", 1000);
  *batch.add_requests() = Request("", 1);
  *batch.add_requests() = Request("q", 1000);
  v1::PlaceBatchResponse results;
  {
    grpc::ClientContext context;
    ASSERT_TRUE(placement_->PlaceBatch(&context, batch, &results).ok());
  }
  ASSERT_EQ(results.results_size(), 3);
  EXPECT_TRUE(results.results(0).response().decision().is_placed());
  EXPECT_THAT(results.results(1).error().message(), HasSubstr("pod.id"));
  EXPECT_FALSE(results.results(2).response().decision().is_placed());
  grpc::ClientContext context;
  auto stream = placement_->PlaceStream(&context);
  for (uint64_t id = 1; id <= 3; ++id) {
    v1::PlaceStreamRequest request;
    request.set_id(id);
    *request.mutable_request() = Request("s" + std::to_string(id), id == 2 ? -1 : 100);
    ASSERT_TRUE(stream->Write(request));
    v1::PlaceStreamResponse response;
    ASSERT_TRUE(stream->Read(&response));
    EXPECT_EQ(response.id(), id);
    EXPECT_EQ(response.result().has_error(), id == 2);
  }
  stream->WritesDone();
  EXPECT_TRUE(stream->Finish().ok());
}

TEST_F(ServerTest, DeltasAndSnapshotsAreAppliedWholeOrNotAtAll) {
  Start({});
  v1::ApplyDeltaRequest delta;
  delta.add_changes()->mutable_upsert_node()->set_name("a");
  delta.mutable_changes(0)->mutable_upsert_node()->set_cpu_milli(1000);
  v1::ApplyDeltaResponse applied;
  ASSERT_TRUE(Apply(delta, &applied).ok());
  const std::string before = Cluster();
  delta.mutable_changes(0)->mutable_upsert_node()->set_cpu_milli(9000);
  delta.add_changes()->set_remove_node("none");
  EXPECT_EQ(Apply(delta, &applied).error_code(), grpc::StatusCode::NOT_FOUND);
  EXPECT_EQ(Cluster(), before);
  grpc::ClientContext context;
  v1::ReplaceSnapshotResponse replaced;
  auto writer = cluster_->ReplaceSnapshot(&context, &replaced);
  v1::ReplaceSnapshotRequest part;
  part.add_nodes()->set_name("b");
  writer->Write(part);
  part.mutable_nodes(0)->set_name("");
  writer->Write(part);
  writer->WritesDone();
  EXPECT_EQ(writer->Finish().error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(Cluster(), before);
}

// Trap T26: the state of 5,000 nodes comes in pages that a default client takes; an oversized delta is refused by name.
TEST_F(ServerTest, LargeClustersArePagedAndLargeMessagesRefused) {
  std::vector<Node> nodes;
  for (int i = 0; i < 5000; ++i) {
    nodes.push_back(MakeNode("node-" + std::to_string(i), 1000));
    for (int l = 0; l < 20; ++l) nodes.back().labels.push_back({"label-" + std::to_string(l), std::string(60, 'x')});
  }
  Start(std::move(nodes));
  EXPECT_GT(Cluster().size(), size_t{4} << 20);
  const Generation generation = server_->placements().ledger().generation();
  v1::ApplyDeltaRequest delta;
  for (int i = 0; i < 5000; ++i) delta.add_changes()->set_end_pod(std::string(1000, 'p'));
  v1::ApplyDeltaResponse applied;
  const grpc::Status status = Apply(delta, &applied);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED) << status.error_message();
  v1::PlaceRequest large = Request("p", 1);
  for (int i = 0; i < 3000; ++i) large.mutable_pod()->add_gpu_models(std::string(500, 'm'));
  v1::PlaceResponse response;
  const grpc::Status refused = Place(large, &response);
  EXPECT_EQ(refused.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_THAT(refused.error_message(), HasSubstr("1048576"));
  EXPECT_EQ(server_->placements().ledger().generation(), generation);
}

TEST_F(ServerTest, BadFieldsAreErrorsThatNameThemAndChangeNothing) {
  Start({MakeNode("a", 100000, 8)});
  const std::string before = Cluster();
  using Edit = std::function<void(v1::PlaceRequest&)>;
  const std::pair<Edit, const char*> cases[] = {
      {[](auto& r) { r.clear_pod(); }, "pod.id"},
      {[](auto& r) { r.mutable_pod()->set_id(""); }, "pod.id"},
      {[](auto& r) { r.mutable_pod()->set_id(std::string(254, 'x')); }, "pod.id"},
      {[](auto& r) { r.mutable_pod()->set_id(std::string("a\0b", 3)); }, "pod.id"},
      {[](auto& r) { r.mutable_pod()->set_cpu_milli(-1); }, "cpu_milli is \"-1\""},
      {[](auto& r) { r.mutable_pod()->set_cpu_milli(std::numeric_limits<int64_t>::max()); }, "cpu_milli"},
      {[](auto& r) { r.mutable_pod()->set_mem_bytes(-5); }, "mem_bytes"},
      {[](auto& r) { r.mutable_pod()->set_mem_bytes(std::numeric_limits<int64_t>::max()); }, "mem_bytes"},
      {[](auto& r) { r.mutable_pod()->set_gpu_count(17); }, "gpu_count"},
      {[](auto& r) { r.mutable_pod()->set_gpu_count(-1); }, "gpu_count"},
      {[](auto& r) { r.mutable_pod()->set_gpu_milli(5); }, "gpu_milli"},
      {[](auto& r) { r.mutable_pod()->set_gpu_count(1), r.mutable_pod()->set_gpu_milli(1001); }, "gpu_milli"},
      {[](auto& r) { r.mutable_pod()->set_gpu_count(1), r.mutable_pod()->set_gpu_milli(0); }, "gpu_milli"},
      {[](auto& r) { r.mutable_pod()->add_gpu_models(""); }, "gpu_models"},
      {[](auto& r) { r.mutable_pod()->mutable_origin()->set_x_ms(std::nan("")); }, "origin"},
      {[](auto& r) { r.mutable_pod()->mutable_origin()->set_height_ms(INFINITY); }, "origin"},
      {[](auto& r) { r.mutable_pod()->add_extended()->set_name(""); }, "extended"},
      {[](auto& r) { r.mutable_pod()->add_extended()->set_name("x"), r.mutable_pod()->mutable_extended(0)->set_amount(-1); }, "extended"},
      {[](auto& r) { for (int i = 0; i < 2; ++i) r.mutable_pod()->add_extended()->set_name("x"); }, "each name once"},
      {[](auto& r) { for (int i = 0; i < 9; ++i) r.mutable_pod()->add_extended()->set_name("x" + std::to_string(i)); }, "extended"},
      {[](auto& r) { r.mutable_pod()->add_node_selector(); }, "node_selector"},
      {[](auto& r) { for (int i = 0; i < 300; ++i) r.mutable_pod()->add_node_selector()->set_key("k" + std::to_string(i)); }, "node_selector"},
      {[](auto& r) { r.mutable_pod()->add_tolerations()->set_effect(static_cast<v1::TaintEffect>(77)); }, "effect"},
      {[](auto& r) { r.mutable_pod()->set_zone(std::string(1000, 'z')); }, "zone"},
      {[](auto& r) { r.set_idempotency_key(std::string(129, 'k')); }, "idempotency_key"}};
  for (const auto& [edit, want] : cases) {
    v1::PlaceRequest request = Request("p", 100);
    edit(request);
    v1::PlaceResponse response;
    const grpc::Status status = Place(request, &response);
    EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT) << want << ": " << status.error_message();
    EXPECT_THAT(status.error_message(), HasSubstr(want));
  }
  using NodeEdit = std::function<void(v1::Node&)>;
  const std::pair<NodeEdit, const char*> nodes[] = {
      {[](auto& n) { n.set_name(""); }, "name"},          {[](auto& n) { n.set_cpu_milli(-1); }, "cpu_milli"},   {[](auto& n) { n.set_gpu_count(99); }, "gpu_count"},
      {[](auto& n) { n.set_weight(-2); }, "weight"},      {[](auto& n) { n.set_max_pods(-1); }, "max_pods"},     {[](auto& n) { n.add_taints()->set_key("k"); }, "effect"},
      {[](auto& n) { n.mutable_position()->set_y_ms(-INFINITY); }, "position"}};
  for (const auto& [edit, want] : nodes) {
    v1::ApplyDeltaRequest delta;
    v1::Node* node = delta.add_changes()->mutable_upsert_node();
    node->set_name("n");
    edit(*node);
    v1::ApplyDeltaResponse applied;
    const grpc::Status status = Apply(delta, &applied);
    EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT) << want;
    EXPECT_THAT(status.error_message(), HasSubstr(want));
  }
  v1::ApplyDeltaRequest empty;
  empty.add_changes();
  v1::ApplyDeltaResponse applied;
  EXPECT_FALSE(Apply(empty, &applied).ok());
  EXPECT_EQ(Confirm("none").error_code(), grpc::StatusCode::NOT_FOUND);
  grpc::ClientContext context;
  v1::GetClusterRequest page;
  page.set_page_token("x12");
  v1::GetClusterResponse got;
  EXPECT_THAT(cluster_->GetCluster(&context, page, &got).error_message(), HasSubstr("page_token"));
  EXPECT_EQ(Cluster(), before);
  v1::PlaceResponse alive;
  EXPECT_TRUE(Place(Request("alive", 100), &alive).ok());
}

TEST_F(ServerTest, LargeMetadataIsRefused) {
  Start({MakeNode("a", 1000)});
  grpc::ClientContext context;
  context.AddMetadata("x-long", std::string(20'000, 'x'));
  v1::PlaceResponse response;
  EXPECT_EQ(placement_->Place(&context, Request("p", 1), &response).error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_EQ(server_->placements().ledger().totals().assumed, 0u);
}

// Trap T29: a model that does not load changes nothing, and says why.
TEST_F(ServerTest, AModelThatDoesNotLoadLeavesTheOldOneDeciding) {
  options_.models_dir = (dir_ / "models").string();
  fs::create_directories(dir_ / "models" / "m" / "1");
  Start({MakeNode("a", 1000)});
  v1::PromoteRequest request;
  request.set_name("m");
  request.set_version(1);
  v1::PromoteResponse response;
  {
    grpc::ClientContext context;
    EXPECT_THAT(models_->Promote(&context, request, &response).error_message(), HasSubstr("weights_sha256"));
  }
  request.set_name("../m");
  {
    grpc::ClientContext context;
    EXPECT_EQ(models_->Promote(&context, request, &response).error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  }
  {
    grpc::ClientContext context;
    v1::RollbackResponse rolled;
    EXPECT_EQ(models_->Rollback(&context, {}, &rolled).error_code(), grpc::StatusCode::FAILED_PRECONDITION);
  }
  v1::PlaceResponse placed;
  ASSERT_TRUE(Place(Request("p", 100), &placed).ok());
  EXPECT_EQ(placed.decision().policy(), "first-fit");
}

TEST_F(ServerTest, ConcurrentClientsNeverOvercommit) {
  Start({MakeNode("a", 5000), MakeNode("b", 5000)}, "best-fit");
  std::atomic<int> placed{0};
  std::vector<std::jthread> clients;
  for (int c = 0; c < 4; ++c) {
    clients.emplace_back([&, c] {
      for (int i = 0; i < 30; ++i) {
        v1::PlaceResponse response;
        if (Place(Request(std::to_string(c) + "-" + std::to_string(i), 300), &response).ok() && response.decision().is_placed()) ++placed;
      }
    });
  }
  clients.clear();
  EXPECT_EQ(placed.load(), 32);
  EXPECT_TRUE(server_->placements().ledger().CheckInvariants().ok());
}

TEST(ServerOptions, AddressesBeyondLoopbackNeedTlsOrASwitch) {
  const auto parse = [](const std::string& listen, bool insecure = false) {
    return ParseListenAddress(listen, "--listen", false, insecure).status();
  };
  EXPECT_TRUE(parse("127.0.0.1:0").ok());
  EXPECT_TRUE(parse("unix:/tmp/x").ok());
  EXPECT_EQ(parse("0.0.0.0:5").code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_TRUE(parse("0.0.0.0:5", true).ok());
  for (const char* bad : {"", ":5", "host", "127.0.0.1:", "127.0.0.1:-1", "127.0.0.1:65536", "127.0.0.1:x", "unix:", "::1:5"}) {
    EXPECT_EQ(parse(bad).code(), absl::StatusCode::kInvalidArgument) << bad;
  }
  ServerLimits limits;
  EXPECT_TRUE(ValidateLimits(limits).ok());
  limits.max_batch = 0;
  EXPECT_THAT(std::string(ValidateLimits(limits).message()), HasSubstr("--max-batch"));
}

}  // namespace
}  // namespace berth

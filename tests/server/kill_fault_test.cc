// The program itself, killed with -9 under a burst of placements and started again: what was acknowledged is there.
#include <gtest/gtest.h>

#include <unistd.h>

#include <chrono>
#include <csignal>
#include <filesystem>
#include <map>

#include "berth/v1/cluster.grpc.pb.h"
#include "berth/v1/placement.grpc.pb.h"
#include "grpcpp/grpcpp.h"
#include "support/process.h"

namespace berth {
namespace {

namespace fs = std::filesystem;

using test::Process;

TEST(KillFault, AcknowledgedPlacementsSurviveKillNineAndATermEndsWithZero) {
  const char* const bin = std::getenv("BERTH_BIN_DIR");
  ASSERT_NE(bin, nullptr);
  const fs::path dir = fs::temp_directory_path() / ("berth-kill-test-" + std::to_string(getpid()));
  fs::remove_all(dir);
  fs::create_directories(dir);
  const std::string address = "unix:" + (dir / "s").string();
  const std::vector<std::string> command = {std::string(bin) + "/berth", "--log-level", "error", "serve", "--listen", address, "--nodes", "vm-like",
                                            "--policy", "best-fit", "--state", (dir / "state").string()};
  std::map<std::string, std::string> acknowledged;   // pod -> node
  int count = 0;
  for (int round = 0; round < 5; ++round) {
    Process server(command);
    ASSERT_EQ(server.line(), "ready " + address);
    const auto channel = grpc::CreateChannel(address, grpc::InsecureChannelCredentials());
    const auto stub = v1::PlacementService::NewStub(channel);
    for (const auto& [pod, node] : acknowledged) {
      grpc::ClientContext context;
      v1::ExplainRequest request;
      request.set_pod_id(pod);
      v1::ExplainResponse response;
      ASSERT_TRUE(stub->Explain(&context, request, &response).ok()) << pod << " was lost";
      EXPECT_EQ(response.node(), node);
    }
    // A stream of placements; the server is killed while answers are under way.
    grpc::ClientContext context;
    const auto stream = stub->PlaceStream(&context);
    for (int i = 0; i < 40; ++i, ++count) {
      v1::PlaceStreamRequest request;
      request.mutable_request()->mutable_pod()->set_id("pod-" + std::to_string(count));
      request.mutable_request()->mutable_pod()->set_cpu_milli(500);
      request.mutable_request()->set_idempotency_key("key-" + std::to_string(count));
      if (!stream->Write(request)) break;
      if (i == 30 + round) server.Stop(SIGKILL);
      v1::PlaceStreamResponse response;
      if (!stream->Read(&response)) break;
      ASSERT_TRUE(response.result().response().decision().is_placed());
      acknowledged["pod-" + std::to_string(count)] = response.result().response().decision().node();
    }
    ++count;
    context.TryCancel();
    (void)stream->Finish();
  }
  EXPECT_GE(acknowledged.size(), 150u);
  Process server(command);
  EXPECT_EQ(server.Stop(SIGTERM), 0);
  fs::remove_all(dir);
}

}  // namespace
}  // namespace berth

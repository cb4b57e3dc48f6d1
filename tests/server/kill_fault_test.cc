// The program itself, killed with -9 under a burst of placements and started again: what was acknowledged is there.
#include <gtest/gtest.h>

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <map>

#include "berth/v1/cluster.grpc.pb.h"
#include "berth/v1/placement.grpc.pb.h"
#include "grpcpp/grpcpp.h"

extern char** environ;

namespace berth {
namespace {

namespace fs = std::filesystem;

// A `berth serve` of its own, gone with the object.
class Process {
 public:
  explicit Process(std::vector<std::string> arguments) {
    int out[2];
    EXPECT_EQ(pipe2(out, O_CLOEXEC), 0);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, out[1], STDOUT_FILENO);
    std::vector<char*> argv;
    for (std::string& a : arguments) argv.push_back(a.data());
    argv.push_back(nullptr);
    EXPECT_EQ(posix_spawn(&pid_, argv[0], &actions, nullptr, argv.data(), environ), 0);
    posix_spawn_file_actions_destroy(&actions);
    close(out[1]);
    char c = 0;
    while (read(out[0], &c, 1) == 1 && c != '\n') line_ += c;
    close(out[0]);
  }
  ~Process() { Stop(SIGKILL); }
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;
  int Stop(int signal) {
    if (pid_ <= 0) return -1;
    kill(pid_, signal);
    int status = 0;
    waitpid(pid_, &status, 0);
    pid_ = -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }
  const std::string& line() const { return line_; }

 private:
  pid_t pid_ = -1;
  std::string line_;
};

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

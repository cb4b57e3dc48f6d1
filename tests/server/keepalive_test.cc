// Trap T26: a client that pings as often as it may, without calls, is not sent away; one that pings too often is.
#include <gtest/gtest.h>

#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <thread>

#include "berth/v1/placement.grpc.pb.h"
#include "grpcpp/grpcpp.h"
#include "policy/registry.h"
#include "server/server.h"

namespace berth {
namespace {

namespace fs = std::filesystem;

// Idles for six seconds with a ping every `ping_ms`; returns whether the connection is still the first one.
bool KeepsItsConnection(int64_t min_ping_s, int ping_ms) {
  const fs::path dir = fs::temp_directory_path() / ("berth-keepalive-" + std::to_string(getpid()));
  fs::create_directories(dir);
  ServerOptions options;
  options.listen = "unix:" + (dir / "s").string();
  options.limits.min_ping_s = min_ping_s;
  options.limits.drain_s = 1;
  Server::Parts parts;
  parts.policy = *MakePolicy("first-fit", {});
  auto server = Server::Start(options, std::move(parts));
  EXPECT_TRUE(server.ok()) << server.status();
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, ping_ms);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  arguments.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  const auto channel = grpc::CreateCustomChannel((*server)->address(), grpc::InsecureChannelCredentials(), arguments);
  EXPECT_TRUE(channel->WaitForConnected(std::chrono::system_clock::now() + std::chrono::seconds(10)));
  // A connection that is sent away leaves READY.
  const bool has_changed = channel->WaitForStateChange(GRPC_CHANNEL_READY, std::chrono::system_clock::now() + std::chrono::seconds(6));
  (*server)->Drain();
  fs::remove_all(dir);
  return !has_changed;
}

TEST(Keepalive, PingsInTimeAreWelcomeWithoutCalls) { EXPECT_TRUE(KeepsItsConnection(1, 1000)); }

// The positive control: the server does count pings that come too early.
TEST(Keepalive, PingsThatComeTooEarlyEndTheConnection) { EXPECT_FALSE(KeepsItsConnection(3600, 500)); }

}  // namespace
}  // namespace berth

// A control plane and a `berth serve` beside it, for one test; nothing of either outlives it.
#ifndef BERTH_TESTS_E2E_KUBERNETES_PLANE_H_
#define BERTH_TESTS_E2E_KUBERNETES_PLANE_H_

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <memory>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "berth/v1/cluster.grpc.pb.h"
#include "fmt/format.h"
#include "grpcpp/grpcpp.h"
#include "nlohmann/json.hpp"
#include "support/free_port.h"
#include "support/process.h"

namespace berth::e2e {

namespace fs = std::filesystem;
using nlohmann::json;

struct Result {
  int code = -1;
  std::string output;
};
inline Result Shell(const std::string& command) {
  Result result;
  FILE* const pipe = popen(("exec 2>&1; " + command).c_str(), "r");
  if (pipe == nullptr) return result;
  char buffer[4096];
  for (size_t n = 0; (n = fread(buffer, 1, sizeof buffer, pipe)) > 0;) result.output.append(buffer, n);
  const int status = pclose(pipe);
  result.code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  return result;
}

inline std::string ReadText(const std::string& path) {
  std::ostringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}

inline bool Eventually(const std::function<bool()>& is_so, int seconds = 60) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(seconds);
  while (std::chrono::steady_clock::now() < end) {
    if (is_so()) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
  }
  return is_so();
}

class Plane {
 public:
  // Why it can't be had here; empty: it is built.
  static std::string Build(const std::string& version) {
    const char* const wanted = std::getenv("BERTH_E2E_VERSIONS");
    const std::string versions = wanted != nullptr ? wanted : "1.37.2";
    if (versions.find(version) == std::string::npos) return version + " is run by ./test.sh --e2e-all";
    const Result built = Shell(Script() + " build " + version);
    if (built.code == 77) return built.output.substr(built.output.find("SKIPPED"));
    EXPECT_EQ(built.code, 0) << built.output;
    return built.code == 0 ? "" : "the build failed";
  }

  Plane(const std::string& version, int nodes) {
    static int count = 0;
    dir_ = (fs::temp_directory_path() / fmt::format("berth-e2e-{}-{}", getpid(), count++)).string();
    setenv("BERTH_E2E_PARENT", std::to_string(getpid()).c_str(), 1);
    const Result up = Shell(fmt::format("{} up {} {} --without-scheduler", Script(), version, dir_));
    EXPECT_EQ(up.code, 0) << up.output;
    std::ifstream env(dir_ + "/env");
    for (std::string line; std::getline(env, line);) {
      const size_t at = line.find('=');
      if (at == std::string::npos) continue;
      std::string value = line.substr(at + 1);
      if (value.size() >= 2 && (value.front() == '\'' || value.front() == '"')) value = value.substr(1, value.size() - 2);
      env_[line.substr(0, at)] = value;
    }
    if (nodes > 0) Control(fmt::format("nodes {} {}", dir_, nodes));
  }
  ~Plane() {
    const Result down = Shell(fmt::format("{} down {}", Script(), dir_));
    EXPECT_EQ(down.code, 0) << down.output;
    std::error_code error;
    if (!testing::Test::HasFailure()) fs::remove_all(dir_, error);
    else std::fprintf(stderr, "logs are in %s\n", dir_.c_str());
  }

  static std::string Source() { return std::getenv("BERTH_SOURCE_DIR"); }
  static std::string Script() { return Source() + "/tests/e2e/kubernetes/control_plane.sh"; }
  static std::string Berth() { return std::string(std::getenv("BERTH_BIN_DIR")) + "/berth"; }
  const std::string& dir() const { return dir_; }
  const std::string& env(const std::string& name) { return env_[name]; }

  void Control(const std::string& arguments) {
    const Result result = Shell(Script() + " " + arguments);
    EXPECT_EQ(result.code, 0) << arguments << "\n" << result.output;
  }
  Result Kubectl(const std::string& arguments) { return Shell(env_["KUBECTL"] + " " + arguments); }
  std::string Must(const std::string& arguments) {
    const Result result = Kubectl(arguments);
    EXPECT_EQ(result.code, 0) << arguments << "\n" << result.output;
    return result.output;
  }
  json Get(const std::string& what) {
    const Result result = Kubectl("get " + what + " -o json --request-timeout=10s");
    return result.code == 0 ? json::parse(result.output, nullptr, false) : json();
  }
  void Apply(const std::string& manifest) {
    const std::string path = fmt::format("{}/manifest-{}.yaml", dir_, manifests_++);
    std::ofstream(path) << manifest;
    Must("apply -f " + path);
  }
  // Starts kube-scheduler with the shipped configuration, changed.
  void StartScheduler(int extender_port, const std::function<void(std::string*)>& change = {}) {
    std::string config = ReadText(Source() + "/deploy/kubernetes/extender/scheduler-config.yaml");
    Replace(&config, "127.0.0.1:50052", fmt::format("127.0.0.1:{}", extender_port));
    if (change) change(&config);
    const std::string path = dir_ + "/scheduler-config.yaml";
    std::ofstream(path) << config;
    Control(fmt::format("scheduler start {} {}", dir_, path));
  }
  void StopScheduler() { Control(fmt::format("scheduler stop {}", dir_)); }
  static void Replace(std::string* text, const std::string& from, const std::string& to) {
    const size_t at = text->find(from);
    ASSERT_NE(at, std::string::npos) << from;
    text->replace(at, from.size(), to);
  }

 private:
  std::string dir_;
  std::map<std::string, std::string> env_;
  int manifests_ = 0;
};

class BerthServer {
 public:
  BerthServer(Plane& plane, const std::string& policy, int extender_port, const std::string& kubeconfig = "",
              const std::vector<std::string>& more = {})
      : log_(fmt::format("{}/decisions-{}.jsonl", plane.dir(), policy)), extender_(fmt::format("127.0.0.1:{}", extender_port)),
        process_(Joined({Plane::Berth(), "serve", "--listen", "127.0.0.1:0", "--extender", extender_, "--kubeconfig",
                         kubeconfig.empty() ? plane.env("BERTH_KUBECONFIG") : kubeconfig, "--policy", policy, "--decision-log", log_,
                         "--watch-s", "30"}, more),
                 plane.dir() + "/log/berth.log") {
    EXPECT_EQ(process_.line().substr(0, 6), "ready ") << ReadText(plane.dir() + "/log/berth.log");
    stub_ = v1::ClusterService::NewStub(grpc::CreateChannel(process_.line().substr(6), grpc::InsecureChannelCredentials()));
  }
  bool IsReady() const { return Shell(fmt::format("curl -sf --max-time 5 http://{}/readyz", extender_)).code == 0; }
  void WaitReady() const { EXPECT_TRUE(Eventually([&] { return IsReady(); })) << "not ready"; }
  int Stop(int signal) { return process_.Stop(signal); }
  v1::ClusterService::Stub& stub() { return *stub_; }

  // The decisions logged so far, those of one verb.
  std::vector<json> Decisions(const std::string& verb) const {
    std::vector<json> lines;
    std::ifstream in(log_);
    for (std::string line; std::getline(in, line);) {
      json parsed = json::parse(line, nullptr, false);
      if (!parsed.is_discarded() && parsed["verb"] == verb) lines.push_back(std::move(parsed));
    }
    return lines;
  }

  // The ledger, whole.
  v1::GetClusterResponse Ledger() {
    v1::GetClusterResponse all;
    v1::GetClusterRequest request;
    do {
      grpc::ClientContext context;
      v1::GetClusterResponse page;
      const grpc::Status status = stub_->GetCluster(&context, request, &page);
      EXPECT_TRUE(status.ok()) << status.error_message();
      request.set_page_token(page.next_page_token());
      *all.mutable_totals() = page.totals();
      all.MergeFrom(page);
    } while (!request.page_token().empty());
    return all;
  }

 private:
  static std::vector<std::string> Joined(std::vector<std::string> all, const std::vector<std::string>& more) {
    all.insert(all.end(), more.begin(), more.end());
    return all;
  }

  const std::string log_, extender_;
  test::Process process_;
  std::unique_ptr<v1::ClusterService::Stub> stub_;
};

}  // namespace berth::e2e

#endif  // BERTH_TESTS_E2E_KUBERNETES_PLANE_H_

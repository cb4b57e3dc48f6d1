// berth-train in several processes on loopback, started as torchrun does: the same weights as one process, bit for bit.
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "agent/process_group.h"
#include "agent/tiny_plan.h"
#include "nlohmann/json.hpp"
#include "support/free_port.h"

namespace berth {
namespace {

namespace fs = std::filesystem;

const std::string kPlan = std::string(test::kTinyPlan) + " --seed 3";
// Hours, to be ended from outside.
constexpr const char* kLongPlan =
    " --workload openb-like --node-count 20 --loads 1.0 --warmup-hours 0.5 --window-hours 0.5 --generations 100000 --population 4 --critic-updates 0"
    " --ppo-updates 0 --validate-every 1 --validation-seeds 1 --checkpoint-every 1 --seed 3 --quiet";

class Ranks : public ::testing::Test {
 protected:
  void SetUp() override {
    const char* bin = std::getenv("BERTH_BIN_DIR");
    ASSERT_NE(bin, nullptr) << "BERTH_BIN_DIR is not set";
    program_ = std::string(bin) + "/berth-train";
    ASSERT_TRUE(fs::exists(program_));
    // Without torch.distributed there is nothing to test, and Join says so before it looks at the network.
    if (ProcessGroup::Join({"127.0.0.1", test::FreePort(), 1, 2}, 0.001).status().code() == absl::StatusCode::kFailedPrecondition) {
      GTEST_SKIP() << "this LibTorch came without torch.distributed";
    }
    dir_ = fs::temp_directory_path() / ("berth-ranks-" + std::to_string(getpid()));
    fs::remove_all(dir_);
    fs::create_directories(dir_);
    port_ = test::FreePort();
  }
  void TearDown() override {
    for (pid_t pid : running_) kill(pid, SIGKILL), waitpid(pid, nullptr, 0);
    std::error_code ignored;
    if (!dir_.empty()) fs::remove_all(dir_, ignored);
  }

  // size 0: without any of the variables.
  pid_t Start(int rank, int size, const std::string& arguments) {
    const std::string command = "exec " + program_ + arguments + " >" + Log(rank, "stdout") + " 2>" + Log(rank, "stderr");
    const pid_t pid = fork();
    if (pid == 0) {
      if (size > 0) {
        setenv("MASTER_ADDR", "127.0.0.1", 1), setenv("MASTER_PORT", std::to_string(port_).c_str(), 1);
        setenv("RANK", std::to_string(rank).c_str(), 1), setenv("WORLD_SIZE", std::to_string(size).c_str(), 1);
      }
      execl("/bin/sh", "sh", "-c", command.c_str(), nullptr);
      _exit(127);
    }
    running_.push_back(pid);
    return pid;
  }
  // Exit code; -1 by a signal, -2 where it had not ended after two minutes.
  int Wait(pid_t pid) {
    int status = 0;
    for (int i = 0; i < 12'000; ++i) {
      if (waitpid(pid, &status, WNOHANG) == pid) {
        std::erase(running_, pid);
        return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
      }
      usleep(10'000);
    }
    return -2;
  }
  // One run of `size` processes (0: one, without the variables); the exit codes by rank. Ranks write to folders of their own, if at all.
  std::vector<int> Train(int size, const std::string& name, const std::string& arguments) {
    std::vector<pid_t> pids;
    for (int r = 0; r < std::max(1, size); ++r) pids.push_back(Start(r, size, arguments + Out(name, r)));
    std::vector<int> codes;
    for (pid_t pid : pids) codes.push_back(Wait(pid));
    return codes;
  }
  std::string Log(int rank, const char* what) const { return (dir_ / (std::string(what) + std::to_string(rank))).string(); }
  std::string Out(const std::string& name, int rank) const {
    const std::string folder = (dir_ / (rank == 0 ? name : name + ".rank" + std::to_string(rank))).string();
    return " --out " + folder + " --run " + folder + ".run";
  }
  static std::string Read(const fs::path& path) {
    std::ifstream in(path);
    std::ostringstream text;
    text << in.rdbuf();
    return text.str();
  }
  nlohmann::json Checkpoint(const std::string& name) const { return nlohmann::json::parse(Read(dir_ / (name + ".run") / "checkpoint.json"), nullptr, false); }
  std::string Errors(int rank) const { return Read(Log(rank, "stderr")); }

  std::string program_;
  fs::path dir_;
  uint16_t port_ = 0;
  std::vector<pid_t> running_;
};

TEST_F(Ranks, EndWithTheWeightsOfOneProcess) {
  ASSERT_EQ(Train(0, "one", kPlan), (std::vector<int>{0})) << Errors(0);
  const auto one = Checkpoint("one");
  ASSERT_EQ(one["state"]["trainer"]["update"], 8);
  for (const int size : {2, 3}) {   // as many as groups; one more, so that a group is shared
    const std::string name = "of" + std::to_string(size);
    ASSERT_EQ(Train(size, name, kPlan), std::vector<int>(static_cast<size_t>(size), 0)) << Errors(0) << Errors(1);
    EXPECT_EQ(Checkpoint(name), one) << size << " processes";
    EXPECT_EQ(Read(dir_ / name / "openb-like/1/weights.safetensors"), Read(dir_ / "one/openb-like/1/weights.safetensors"));
    for (int r = 1; r < size; ++r) {
      EXPECT_FALSE(fs::exists(dir_ / (name + ".rank" + std::to_string(r)))) << "rank 0 alone writes";
      EXPECT_FALSE(fs::exists(dir_ / (name + ".rank" + std::to_string(r) + ".run")));
      EXPECT_EQ(Read(Log(r, "stdout")), "");
    }
  }
  // Control: half the groups is another batch, and ends elsewhere.
  std::string half = kPlan;
  half.replace(half.find("--groups 2"), 10, "--groups 1");
  ASSERT_EQ(Train(0, "half", half), (std::vector<int>{0}));
  EXPECT_NE(Checkpoint("half")["tensors_sha256"], one["tensors_sha256"]);
}

TEST_F(Ranks, WithPricesMixesAndSmallerRolloutsTheSame) {
  const std::string plan =
      " --form static --workload openb-like --mixes openb-like --node-count 20 --price-beta 10 --teacher universal --imitate stranding --generations 1"
      " --population 4 --seeds-per-generation 1 --imitation-updates 2 --critic-updates 1 --ppo-updates 2 --network-generations 2 --hidden 4 --groups 2"
      " --rollouts 2 --decisions 30 --rollout-nodes 12 --minibatch 32 --validate-every 1 --validation-seeds 1 --gate-seeds 2 --test-seeds 2 --quiet --json --seed 3";
  ASSERT_EQ(Train(0, "one", plan), (std::vector<int>{0})) << Errors(0);
  ASSERT_EQ(Train(2, "two", plan), (std::vector<int>{0, 0})) << Errors(0) << Errors(1);
  EXPECT_EQ(Checkpoint("two"), Checkpoint("one"));
}

TEST_F(Ranks, AnotherNumberOfThemResumesTheRun) {
  ASSERT_EQ(Train(0, "one", kPlan), (std::vector<int>{0})) << Errors(0);
  struct Step {
    int first, then, stop;   // processes, processes, update
  };
  for (const Step& s : {Step{2, 2, 6}, {2, 0, 4}, {0, 3, 6}}) {
    const std::string name = "part" + std::to_string(s.first) + std::to_string(s.then);
    ASSERT_EQ(Train(s.first, name, kPlan + " --steps " + std::to_string(s.stop))[0], 0) << Errors(0);
    ASSERT_EQ(Checkpoint(name)["state"]["trainer"]["update"], s.stop);
    // The checkpoint is where rank 0 is; the others need no more than to be started.
    std::vector<pid_t> pids{Start(0, s.then, " --quiet --resume " + (dir_ / (name + ".run")).string() + Out(name, 0))};
    for (int r = 1; r < s.then; ++r) pids.push_back(Start(r, s.then, ""));
    for (pid_t pid : pids) ASSERT_EQ(Wait(pid), 0) << Errors(0) << Errors(1);
    EXPECT_EQ(Checkpoint(name), Checkpoint("one")) << s.first << " processes, then " << s.then;
  }
}

// The time they would wait for each other is longer than the test waits, so it is the death that ends them.
TEST_F(Ranks, OneThatDiesEndsTheOthers) {
  for (const int victim : {1, 0}) {
    port_ = test::FreePort();
    const std::string name = "dies" + std::to_string(victim);
    std::vector<pid_t> pids;
    for (int r = 0; r < 3; ++r) pids.push_back(Start(r, 3, std::string(kLongPlan) + " --rank-timeout-s 3600" + Out(name, r)));
    for (int i = 0; i < 12'000 && !fs::exists(dir_ / (name + ".run") / "checkpoint.json"); ++i) usleep(10'000);
    ASSERT_TRUE(fs::exists(dir_ / (name + ".run") / "checkpoint.json")) << Errors(0);
    kill(pids[static_cast<size_t>(victim)], SIGKILL);
    for (int r = 0; r < 3; ++r) EXPECT_EQ(Wait(pids[static_cast<size_t>(r)]), r == victim ? -1 : 1) << "rank " << r;
    if (victim == 1) {
      EXPECT_THAT(Errors(0), ::testing::HasSubstr("of the run has ended or is out of reach"));
    }
    EXPECT_THAT(Errors(2), ::testing::AnyOf(::testing::HasSubstr("of the run has ended or is out of reach"), ::testing::HasSubstr("rank 0 ended")));
    EXPECT_TRUE(Checkpoint(name).is_object()) << "the last checkpoint is whole";
  }
}

TEST_F(Ranks, WhatRankZeroCannotDoEndsTheOthersToo) {
  EXPECT_EQ(Train(2, "bad", " --workload nope"), (std::vector<int>{1, 1})) << Errors(0) << Errors(1);
  EXPECT_THAT(Errors(1), ::testing::HasSubstr("rank 0 ended"));
  EXPECT_THAT(Errors(1), ::testing::HasSubstr("nope"));
}

TEST_F(Ranks, OneThatNeverComesIsWaitedForSoLong) {
  EXPECT_EQ(Wait(Start(0, 2, kPlan + " --rank-timeout-s 1" + Out("lonely", 0))), 1);
  EXPECT_THAT(Errors(0), ::testing::HasSubstr("MASTER_PORT"));
  EXPECT_THAT(Errors(0), ::testing::HasSubstr("within 1 s"));
  EXPECT_FALSE(fs::exists(dir_ / "lonely.run"));
}

TEST_F(Ranks, ABadEnvironmentIsWrongUsage) {
  EXPECT_EQ(Wait(Start(5, 2, kPlan + Out("bad", 0))), 2);
  EXPECT_THAT(Errors(5), ::testing::HasSubstr("RANK"));
}

}  // namespace
}  // namespace berth

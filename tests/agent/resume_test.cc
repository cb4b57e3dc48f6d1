// berth-train as a user starts it: k updates are, bit for bit, j updates, a stop, and k - j more in a new process.
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "agent/tiny_plan.h"
#include "nlohmann/json.hpp"

namespace berth {
namespace {

namespace fs = std::filesystem;

class Resume : public ::testing::Test {
 protected:
  void SetUp() override {
    const char* bin = std::getenv("BERTH_BIN_DIR");
    ASSERT_NE(bin, nullptr);
    program_ = (fs::path(bin) / "berth-train").string();
    dir_ = fs::temp_directory_path() / (std::string("berth-resume-") + ::testing::UnitTest::GetInstance()->current_test_info()->name());
    fs::remove_all(dir_);
    fs::create_directories(dir_);
  }
  int Train(const std::string& arguments) const {
    const int status = std::system((program_ + arguments + " > " + (dir_ / "stdout").string() + " 2> " + (dir_ / "stderr").string()).c_str());
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }
  static std::string Read(const fs::path& path) {
    std::ifstream in(path, std::ios::binary);
    std::ostringstream text;
    text << in.rdbuf();
    return text.str();
  }
  // The checkpoint: counters, evolution, schedule and best scores as text, and the name of the tensors' file by its sha256.
  static nlohmann::json Checkpoint(const fs::path& dir) { return nlohmann::json::parse(Read(dir / "checkpoint.json"), nullptr, false); }
  std::string Out(const std::string& name) const { return " --out " + (dir_ / name).string() + " --run " + (dir_ / (name + ".run")).string(); }

  std::string program_;
  fs::path dir_;
};

TEST_F(Resume, InANewProcessEndsBitIdentical) {
  ASSERT_EQ(Train(std::string(test::kTinyPlan) + " --seed 3" + Out("whole")), 0) << Read(dir_ / "stderr");
  const auto whole = Checkpoint(dir_ / "whole.run");
  ASSERT_EQ(whole["state"]["trainer"]["update"], 8);
  for (const int stop : {2, 4, 6}) {   // inside evolution, critic and PPO
    const std::string name = "part" + std::to_string(stop);
    ASSERT_EQ(Train(std::string(test::kTinyPlan) + " --seed 3 --steps " + std::to_string(stop) + Out(name)), 0) << Read(dir_ / "stderr");
    ASSERT_EQ(Checkpoint(dir_ / (name + ".run"))["state"]["trainer"]["update"], stop);
    ASSERT_EQ(Train(" --quiet --jobs 1 --resume " + (dir_ / (name + ".run")).string() + Out(name)), 0) << Read(dir_ / "stderr");
    EXPECT_EQ(Checkpoint(dir_ / (name + ".run")), whole) << "stopped after " << stop;
  }
  // Control: another seed ends elsewhere.
  ASSERT_EQ(Train(std::string(test::kTinyPlan) + " --seed 4" + Out("other")), 0);
  EXPECT_NE(Checkpoint(dir_ / "other.run")["tensors_sha256"], whole["tensors_sha256"]);
}

// The same with prices, two mixes and every stage that the network has: imitation at 1 and 2, critic, PPO, evolution of its last layer.
TEST_F(Resume, WithPricesAndMixesEndsBitIdentical) {
  const std::string plan =
      " --form static --workload openb-like --mixes openb-like --node-count 20 --price-beta 10 --teacher universal --imitate stranding --generations 1"
      " --population 4 --seeds-per-generation 1 --imitation-updates 2 --critic-updates 1 --ppo-updates 2 --network-generations 2 --hidden 4 --groups 2"
      " --rollouts 2 --decisions 30 --rollout-nodes 12 --minibatch 32 --validate-every 1 --validation-seeds 1 --gate-seeds 2 --test-seeds 2 --quiet --json --seed 3";
  ASSERT_EQ(Train(plan + Out("whole")), 0) << Read(dir_ / "stderr");
  const auto whole = Checkpoint(dir_ / "whole.run");
  ASSERT_EQ(whole["state"]["trainer"]["update"], 8);
  EXPECT_EQ(whole["state"]["trainer"]["network_evolution"]["generation"], 2);
  for (const int stop : {2, 3, 5, 7}) {
    const std::string name = "part" + std::to_string(stop);
    ASSERT_EQ(Train(plan + " --steps " + std::to_string(stop) + Out(name)), 0) << Read(dir_ / "stderr");
    ASSERT_EQ(Train(" --quiet --jobs 1 --resume " + (dir_ / (name + ".run")).string() + Out(name)), 0) << Read(dir_ / "stderr");
    EXPECT_EQ(Checkpoint(dir_ / (name + ".run")), whole) << "stopped after " << stop;
  }
}

TEST_F(Resume, PublishesAModelAndItsRecord) {
  ASSERT_EQ(Train(std::string(test::kTinyPlan) + " --seed 3 --name tiny" + Out("out")), 0) << Read(dir_ / "stderr");
  const auto answer = nlohmann::json::parse(Read(dir_ / "stdout"), nullptr, false);
  ASSERT_TRUE(answer.is_object());
  EXPECT_EQ(answer["version"], 1);
  for (const char* file : {"manifest.json", "weights.safetensors", "golden.json"}) EXPECT_TRUE(fs::exists(dir_ / "out/tiny/1" / file)) << file;
  EXPECT_TRUE(fs::exists(dir_ / "out.run/config.yaml"));
  std::istringstream lines(Read(dir_ / "out.run/train.jsonl"));
  int count = 0;
  for (std::string line; std::getline(lines, line); ++count) EXPECT_TRUE(nlohmann::json::parse(line, nullptr, false).is_object()) << line;
  EXPECT_GE(count, 8);
  ASSERT_EQ(Train(std::string(test::kTinyPlan) + " --seed 3 --name tiny" + Out("out")), 0);
  EXPECT_TRUE(fs::exists(dir_ / "out/tiny/2/manifest.json"));   // never over an old one
}

TEST_F(Resume, SaysWhenTheArithmeticIsAnother) {
  ASSERT_EQ(Train(std::string(test::kTinyPlan) + " --seed 3 --steps 2" + Out("a")), 0);
  auto checkpoint = Checkpoint(dir_ / "a.run");
  checkpoint["fingerprint"] = "another machine";
  std::ofstream(dir_ / "a.run/checkpoint.json") << checkpoint.dump();
  ASSERT_EQ(Train(" --quiet --steps 3 --resume " + (dir_ / "a.run").string() + Out("a")), 0);
  EXPECT_THAT(Read(dir_ / "stderr"), ::testing::HasSubstr("not bit-identical here"));
}

TEST_F(Resume, RefusesFlagsThatContradictTheRun) {
  ASSERT_EQ(Train(std::string(test::kTinyPlan) + " --seed 3 --steps 1" + Out("a")), 0);
  EXPECT_EQ(Train(" --seed 4 --quiet --resume " + (dir_ / "a.run").string() + Out("a")), 2);
  EXPECT_THAT(Read(dir_ / "stderr"), ::testing::HasSubstr("seed"));
  EXPECT_EQ(Train(" --quiet --resume " + (dir_ / "nothing").string() + Out("a")), 1);
  for (const char* bad : {" --form nope", " --lr nan", " --population 1", " --steps -1", " --node-count 99999999999999999999", " --loads 0.9,x", " --workload nope"}) {
    EXPECT_NE(Train(std::string(bad) + Out("b")), 0) << bad;
  }
}

}  // namespace
}  // namespace berth

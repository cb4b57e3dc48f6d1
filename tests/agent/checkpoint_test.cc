#include "agent/checkpoint.h"

#include <filesystem>
#include <fstream>

namespace berth {
namespace {

namespace fs = std::filesystem;

std::string FreshDir(const std::string& name) {
  const auto dir = fs::temp_directory_path() / ("berth-checkpoint-" + name);
  fs::remove_all(dir);
  return dir.string();
}

Checkpoint Sample() {
  Checkpoint c;
  c.tensors["actor.w1"] = {{2, 2}, {0.1f, -2.5e-20f, 3, 4}};
  c.state = {{"update", 7}, {"sigma", 0.1 + 0.2}};
  c.fingerprint = "here";
  return c;
}

fs::path TensorFile(const std::string& dir) {
  for (const auto& entry : fs::directory_iterator(dir)) {
    if (entry.path().extension() == ".safetensors") return entry.path();
  }
  return {};
}

TEST(Checkpoint, ComesBackBitForBit) {
  const std::string dir = FreshDir("round");
  ASSERT_TRUE(WriteCheckpoint(dir, Sample()).ok());
  const auto read = ReadCheckpoint(dir);
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->tensors.at("actor.w1").values, Sample().tensors.at("actor.w1").values);
  EXPECT_EQ(read->tensors.at("actor.w1").shape, Sample().tensors.at("actor.w1").shape);
  EXPECT_EQ(read->state["sigma"].get<double>(), 0.1 + 0.2);
  EXPECT_EQ(read->fingerprint, "here");
}

TEST(Checkpoint, ALaterOneReplacesTheEarlierWhole) {
  const std::string dir = FreshDir("replace");
  ASSERT_TRUE(WriteCheckpoint(dir, Sample()).ok());
  Checkpoint later = Sample();
  later.tensors["actor.w1"].values[0] = 9;
  later.state["update"] = 8;
  ASSERT_TRUE(WriteCheckpoint(dir, later).ok());
  const auto read = ReadCheckpoint(dir);
  ASSERT_TRUE(read.ok());
  EXPECT_EQ(read->state["update"], 8);
  EXPECT_EQ(read->tensors.at("actor.w1").values[0], 9);
  EXPECT_EQ(std::distance(fs::directory_iterator(dir), fs::directory_iterator()), 2);
}

TEST(Checkpoint, RefusesAFileThatWasCutOrChanged) {
  for (const bool is_cut : {true, false}) {
    const std::string dir = FreshDir("bad");
    ASSERT_TRUE(WriteCheckpoint(dir, Sample()).ok());
    const fs::path file = TensorFile(dir);
    if (is_cut) {
      fs::resize_file(file, fs::file_size(file) - 1);
    } else {
      std::fstream out(file, std::ios::in | std::ios::out | std::ios::binary);
      out.seekp(-1, std::ios::end);
      out.put('x');
    }
    EXPECT_EQ(ReadCheckpoint(dir).status().code(), absl::StatusCode::kInvalidArgument);
  }
}

TEST(Checkpoint, RefusesWhatIsNoCheckpoint) {
  EXPECT_EQ(ReadCheckpoint(FreshDir("none")).status().code(), absl::StatusCode::kNotFound);
  for (const char* text : {"", "{", "[]", "{}", R"({"format": "berth-checkpoint-1"})", R"({"format": "other", "state": {}})",
                           R"({"format": "berth-checkpoint-1", "state": {}, "tensors": "../etc/passwd"})",
                           R"({"format": "berth-checkpoint-1", "state": {}, "tensors": "checkpoint-/../x"})"}) {
    const std::string dir = FreshDir("text");
    fs::create_directories(dir);
    std::ofstream(fs::path(dir) / "checkpoint.json") << text;
    EXPECT_EQ(ReadCheckpoint(dir).status().code(), absl::StatusCode::kInvalidArgument) << text;
  }
}

}  // namespace
}  // namespace berth

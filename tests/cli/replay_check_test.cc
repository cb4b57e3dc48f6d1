// tools/replay-check over what the program places, and over records that were damaged on purpose.
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <vector>

#include "cli/run_berth.h"
#include "fmt/format.h"
#include "support/shared_data.h"

namespace berth::cli {
namespace {

namespace fs = std::filesystem;

class ReplayCheck : public ::testing::Test {
 protected:
  void SetUp() override {
    dir_ = fs::temp_directory_path() / fmt::format("berth-replay-{}", getpid());
    fs::remove_all(dir_);
    fs::create_directories(dir_);
  }
  void TearDown() override { fs::remove_all(dir_); }

  // The files of an openb list as flags, for both programs.
  static std::vector<std::string> Files(const std::string& openb, const std::string& list) {
    return {"--nodes", openb + "/openb_node_list_gpu_node.csv", "--pods", openb + "/openb_pod_list_" + list + ".csv", "--arrival",
            openb + "/protocol/arrival_" + list + ".csv"};
  }
  int Check(const std::string& openb, const std::string& list) const {
    std::string command = fmt::format("python3 {}/tools/replay-check/replay_check.py", std::getenv("BERTH_SOURCE_DIR"));
    for (const std::string& f : Files(openb, list)) command += " " + f;
    command += fmt::format(" --records {0}/records --result {0}/result.json > {0}/said.txt", dir_.string());
    return std::system(command.c_str());
  }
  std::vector<std::string> ReadRecord(const std::string& name) const {
    std::ifstream in(dir_ / "records" / name);
    std::vector<std::string> lines;
    for (std::string line; std::getline(in, line);) lines.push_back(line);
    return lines;
  }
  void WriteRecord(const std::string& name, const std::vector<std::string>& lines) const {
    std::ofstream out(dir_ / "records" / name);
    for (const std::string& line : lines) out << line << '\n';
  }
  fs::path dir_;
};

TEST_F(ReplayCheck, FindsNoFaultInWhatWePlaceAndEveryFaultThatWasMade) {
  BERTH_REQUIRE_SHARED_DATA("openb");
  const std::string openb = *test::SharedData("openb"), list = "gpushare40";
  std::vector<std::string> flags{"evaluate", "--protocol", "fgd", "--noderank", openb + "/protocol/noderank_" + list + ".csv", "--seeds", "42,43",
                                 "--policies", "first-fit,stranding-priced", "--record", (dir_ / "records").string(), "--json", "--quiet"};
  for (const std::string& f : Files(openb, list)) flags.push_back(f);
  const Ran ran = Berth(flags);
  ASSERT_EQ(ran.code, 0) << ran.err;
  std::ofstream(dir_ / "result.json") << ran.out;
  ASSERT_EQ(Check(openb, list), 0);

  const std::string name = "stranding-priced-42.csv";
  const std::vector<std::string> good = ReadRecord(name);
  ASSERT_GT(good.size(), 10000u);
  const auto with = [&](const std::function<void(std::vector<std::string>*)>& damage) {
    std::vector<std::string> lines = good;
    damage(&lines);
    WriteRecord(name, lines);
    const int code = Check(openb, list);
    WriteRecord(name, good);
    return code;
  };
  EXPECT_NE(with([](auto* l) { l->pop_back(); }), 0) << "an arrival without a line";
  EXPECT_NE(with([](auto* l) { (*l)[5] = ","; }), 0) << "a pod that fits was turned away";
  EXPECT_NE(with([](auto* l) {
              for (size_t i = 1; i < 400; ++i) (*l)[i] = (*l)[1];   // all on one node
            }), 0) << "over capacity";
  EXPECT_EQ(with([](auto*) {}), 0);
}

}  // namespace
}  // namespace berth::cli

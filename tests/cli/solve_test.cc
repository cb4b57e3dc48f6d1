// `berth solve` on workloads: plots, tables of nodes with GPUs. On model files: solve_model_test.cc.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "cli/solve_plot.h"
#include "nlohmann/json.hpp"
#include "run_berth.h"
#include "support/temp_file.h"

namespace berth::cli {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

std::string TextOf(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

TEST(SolvePlot, DrawsTheFreeStateOfAShape) {
  const test::TempFile file("");
  const std::string path = file.path() + ".svg";
  const Ran ran =
      Berth({"solve", "--workload", "vm-like", "--m", "6", "--plot", path, "--plot-x", "memory", "--plot-y", "cpu"});
  ASSERT_EQ(ran.code, 0) << ran.err;
  EXPECT_THAT(TextOf(path), AllOf(HasSubstr("<svg"), HasSubstr("free memory, GiB"), HasSubstr("free cpu, cores"),
                                  HasSubstr("shape host")));
  std::filesystem::remove(path);
}

TEST(SolvePlot, AxesRunFromFullToFreeAndValuesStandWhereTheyBelong) {
  // Three levels of cpu, two of memory; h by what is in use.
  const ValueTable table{.cpu_milli = 3000,
                         .mem_bytes = int64_t{4} << 30,
                         .cpu_unit_milli = 1000,
                         .mem_unit_bytes = int64_t{2} << 30,
                         .cpu_levels = 3,
                         .mem_levels = 2,
                         .value = {0, -1, -2, -3, -4, -5}};
  const HeatMap map = DrawTable("s", table, "cpu", "memory");
  EXPECT_EQ(map.columns, 3u);
  EXPECT_THAT(map.row_labels, testing::ElementsAre("2", "4"));
  EXPECT_THAT(map.values, testing::ElementsAre(0, 2, 4, 1, 3, 5));  // [free memory][free cpu], above the least
  EXPECT_EQ(map.x_low, 0.5);
  EXPECT_EQ(map.x_high, 3.5);
  EXPECT_EQ(map.most, 5);
  const HeatMap turned = DrawTable("s", table, "memory", "cpu");
  EXPECT_EQ(turned.columns, 2u);
  EXPECT_THAT(turned.values, testing::ElementsAre(0, 1, 2, 3, 4, 5));
}

TEST(SolvePlot, ALargeTableIsThinnedAndAFlatOneHasAScale) {
  const ValueTable table{.cpu_milli = 1000,
                         .mem_bytes = 1,
                         .cpu_unit_milli = 1,
                         .cpu_levels = 1000,
                         .mem_levels = 1,
                         .value = std::vector<float>(1000, -7.0F)};
  const HeatMap map = DrawTable("s", table, "cpu", "memory");
  EXPECT_EQ(map.columns, 100u);
  EXPECT_EQ(map.values.size(), 100u);
  EXPECT_EQ(map.most, 1);
}

// Ten nodes of two GPUs; half, one and two of them wanted.
constexpr char kGpuWorkload[] = R"(format: berth-workload-1
name: pairs
nodes:
  - {name: pair, count: 10, cpu: 32, memory: 64Gi, gpus: 2, gpu_model: A}
pods:
  - {name: half, share: 5, cpu: 4, memory: 1Gi, gpus: 1, gpu_milli: 500}
  - {name: one, share: 4, cpu: 8, memory: 1Gi, gpus: 1}
  - {name: two, share: 1, cpu: 16, memory: 1Gi, gpus: 2}
)";

TEST(SolveVerb, NodesWithGpusGiveTablesThatEvaluateTakes) {
  const test::TempFile workload(kGpuWorkload);
  const std::string table = workload.path() + ".table.json", plot = workload.path() + ".svg";
  const auto solve = [&](std::vector<std::string> more) {
    std::vector<std::string> arguments = {"solve",   "--workload", workload.path(), "--m", "4",
                                          "--units", "2",          "--cpu-levels",  "9",   "--json"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return Berth(arguments);
  };
  const Ran ran = solve({"--out", table, "--plot", plot});
  ASSERT_EQ(ran.code, 0) << ran.err;
  const auto json = nlohmann::json::parse(ran.out);
  EXPECT_EQ(json["units"], 2);
  EXPECT_EQ(json["trials"].size(), 0u);
  ASSERT_EQ(json["shapes"].size(), 1u);
  const auto& shape = json["shapes"][0];
  EXPECT_EQ(shape["name"], "2xgpu 32 cpu");
  EXPECT_EQ(shape["states"], 9 * 11);  // a device is free, half used, used up, or whole; or both are of one pod
  EXPECT_LE(shape["gain_lower_per_h"], shape["gain_per_h"]);
  EXPECT_LE(shape["gain_per_h"], shape["gain_upper_per_h"]);
  EXPECT_EQ(json["classes"].size(), 3u);
  EXPECT_THAT(TextOf(plot), AllOf(HasSubstr("<svg"), HasSubstr("2xgpu 32 cpu")));
  EXPECT_EQ(solve({"--threads", "2"}).code, 0);

  const Ran evaluated =
      Berth({"evaluate", "--workload", workload.path(), "--load", "1", "--seeds", "1-2", "--warmup-hours", "2",
             "--window-hours", "5", "--policies", "best-fit", "--model", table, "--json", "--quiet"});
  EXPECT_EQ(evaluated.code, 0) << evaluated.err;
  EXPECT_THAT(evaluated.out, HasSubstr("best-fit"));
  std::filesystem::remove(table);
  std::filesystem::remove(plot);
}

TEST(SolveVerb, CandidatesOfNodesWithGpusAreTriedBesideTheRules) {
  const test::TempFile workload(kGpuWorkload);
  const Ran ran = Berth({"solve", "--workload", workload.path(), "--m", "4", "--cpu-levels", "9", "--json"});
  ASSERT_EQ(ran.code, 0) << ran.err;
  std::vector<std::string> rules;
  std::vector<int> units;
  const auto json = nlohmann::json::parse(ran.out);
  for (const auto& trial : json["trials"]) {
    if (trial.contains("policy"))
      rules.push_back(trial["policy"]);
    else
      units.push_back(trial["units"]);
  }
  EXPECT_THAT(rules, testing::ElementsAre("best-fit", "fgd", "fgd-keep-empty"));
  EXPECT_THAT(units, testing::ElementsAre(4, 8));
}

struct BadFlags {
  std::vector<std::string> flags;
  const char* message;
};

// Nothing is printed or drawn, and no tables are written.
void ExpectRefused(const std::vector<std::string>& command, const std::vector<BadFlags>& cases) {
  for (const BadFlags& c : cases) {
    std::vector<std::string> arguments = command;
    arguments.insert(arguments.end(), c.flags.begin(), c.flags.end());
    const Ran ran = Berth(arguments);
    EXPECT_EQ(ran.code, 2) << testing::PrintToString(c.flags) << ran.err;
    EXPECT_THAT(ran.err, HasSubstr(c.message)) << testing::PrintToString(c.flags);
    EXPECT_EQ(ran.out, "");
  }
  EXPECT_FALSE(std::filesystem::exists("x.svg"));
  EXPECT_FALSE(std::filesystem::exists("x.json"));
}

TEST(SolveVerb, BadFlagsOfAWorkloadWithGpusAreNamed) {
  const test::TempFile workload(kGpuWorkload);
  const std::vector<BadFlags> cases = {
      {{"--units", "11"}, "units is \"11\", accepted: a number from 1 to 10"},
      {{"--units", "-1"}, "units is \"-1\", accepted: a number from 1 to 10"},
      {{"--units", "2", "--m", "0.5"}, "m is \"0.5\", accepted: a number from 1 to 1000"},
      {{"--cpu-levels", "1"}, "cpu_levels is \"1\", accepted: a number from 2 to 1024"},
      {{"--threads", "0"}, "threads is \"0\", accepted: a number from 1 to 64"},
      {{"--tolerance", "0"}, "gain_tolerance is \"0\", accepted: a number from 1e-12 to 1"},
      {{"--load", "0"}, "design load is \"0\", accepted: a number from 0.01 to 10"},
      {{"--m", "4", "--units", "2", "--plot", "x.svg", "--plot-shape", "none"},
       "--plot-shape is \"none\", accepted: 2xgpu 32 cpu"}};
  ExpectRefused({"solve", "--workload", workload.path()}, cases);
}

TEST(SolveVerb, BadFlagsOfAWorkloadAreNamed) {
  const std::vector<BadFlags> cases = {
      {{"--plot", "x.png"}, "--plot is \"x.png\", accepted: a name that ends in .svg"},
      {{"--plot", "x.svg", "--plot-x", "gpu"}, "--plot-x is \"gpu\", accepted: cpu or memory"},
      {{"--plot", "x.svg", "--plot-y", "cpu"}, "accepted: another resource than --plot-x"},
      {{"--m", "6", "--plot", "x.svg", "--plot-shape", "none"}, "--plot-shape is \"none\", accepted: host"},
      {{"--m", "6", "--plot", "x.svg", "--plot-shape", "none", "--out", "x.json"}, "--plot-shape is \"none\""},
      {{"--method", "all"}, "--method requires --model"},
      {{"--model", "m.csv", "--workload", "vm-like"}, "--model excludes --workload"},
      {{"--model", "m.csv", "--out", "t"}, "--model excludes --out"}};
  ExpectRefused({"solve"}, cases);
}

}  // namespace
}  // namespace berth::cli

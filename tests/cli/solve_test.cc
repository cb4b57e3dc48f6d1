// `berth solve` on workloads: the plot. On model files: solve_model_test.cc.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "cli/solve_plot.h"
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

TEST(SolveVerb, BadFlagsOfAWorkloadAreNamed) {
  const struct {
    std::vector<std::string> flags;
    const char* message;
  } cases[] = {{{"--plot", "x.png"}, "--plot is \"x.png\", accepted: a name that ends in .svg"},
               {{"--plot", "x.svg", "--plot-x", "gpu"}, "--plot-x is \"gpu\", accepted: cpu or memory"},
               {{"--plot", "x.svg", "--plot-y", "cpu"}, "accepted: another resource than --plot-x"},
               {{"--m", "6", "--plot", "x.svg", "--plot-shape", "none"}, "--plot-shape is \"none\", accepted: host"},
               {{"--method", "all"}, "--method requires --model"},
               {{"--model", "m.csv", "--workload", "vm-like"}, "--model excludes --workload"},
               {{"--model", "m.csv", "--out", "t"}, "--model excludes --out"}};
  for (const auto& c : cases) {
    std::vector<std::string> arguments = {"solve"};
    arguments.insert(arguments.end(), c.flags.begin(), c.flags.end());
    const Ran ran = Berth(arguments);
    EXPECT_EQ(ran.code, 2) << testing::PrintToString(c.flags) << ran.err;
    EXPECT_THAT(ran.err, HasSubstr(c.message)) << testing::PrintToString(c.flags);
    EXPECT_EQ(ran.out, "");
  }
  EXPECT_FALSE(std::filesystem::exists("x.svg"));
}

}  // namespace
}  // namespace berth::cli

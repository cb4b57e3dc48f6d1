// `berth trace` as a user runs it: flags in, exit code, stdout, stderr and the file out.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "run_berth.h"
#include "support/temp_file.h"
#include "workload/summary.h"

namespace berth::cli {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using test::TempFile;

std::string TextOf(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

constexpr char kNodes[] = "sn,cpu_milli,memory_mib,gpu,model\nn1,8000,16384,2,T4\nn2,8000,16384,0,\n";
constexpr char kPods[] =
    "name,cpu_milli,memory_mib,num_gpu,gpu_milli,gpu_spec,qos,pod_phase,creation_time,deletion_time,scheduled_time\n"
    "p1,4000,1024,1,500,T4,LS,Running,10,70,12\np2,2000,512,0,0,,BE,Failed,30,90,\n";

TEST(TraceVerb, ImportsOpenbAndDescribesIt) {
  const TempFile nodes(kNodes), pods(kPods), out("");
  const Ran import = Berth({"trace", "import", "openb", "--nodes", nodes.path(), "--pods", pods.path(), "--recorded", "--name", "tiny",
                            "--attribution", "two\nlines", "--out", out.path()});
  ASSERT_EQ(import.code, 0) << import.err;
  EXPECT_EQ(import.out, "");
  EXPECT_FALSE(std::filesystem::exists(out.path() + ".part"));
  EXPECT_THAT(TextOf(out.path()), AllOf(HasSubstr("# Made by berth trace import openb\n"), HasSubstr("#   recorded=true\n")));
  const auto workload = LoadWorkload(out.path());
  ASSERT_TRUE(workload.ok()) << workload.status();
  EXPECT_EQ(workload->attribution, "two\nlines");
  ASSERT_EQ(workload->arrivals.size(), 2u);
  EXPECT_EQ(workload->arrivals[0].life_us, 60'000'000);

  const Ran describe = Berth({"trace", "describe", out.path(), "--json"});
  ASSERT_EQ(describe.code, 0) << describe.err;
  const auto json = nlohmann::json::parse(describe.out);
  EXPECT_EQ(json["name"], "tiny");
  EXPECT_EQ(json["nodes"], 2);
  EXPECT_EQ(json["capacity"]["gpu_devices"], 2.0);
  EXPECT_EQ(json["recorded"]["arrivals"], 2);
  EXPECT_EQ(json["recorded"]["peak"]["cpu_cores"], 6.0);
  EXPECT_THAT(Berth({"trace", "describe", out.path()}).out, HasSubstr("Recorded: 2 arrivals"));
}

TEST(TraceVerb, ImportsAzure) {
  const TempFile flavours("0 b,g,|,b,|\n300 g,|\n"), durations("0 U1,C0,|,U13,|\n300 U12,|\n"), map("1,1.75 b\n2,3.5 g\n"),
      bins("0 0\n300 1\n3600 12\n7200 13\n3900 13\n");
  const std::vector<std::string> flags = {"trace", "import", "azure", "--flavours", flavours.path(), "--durations", durations.path(),
                                          "--flavour-map", map.path(), "--interval-map", bins.path()};
  auto with = [&](std::vector<std::string> more) {
    more.insert(more.begin(), flags.begin(), flags.end());
    return Berth(more);
  };
  const Ran import = with({"--hosts", "3", "--host-cpu", "1500m", "--host-memory", "4Gi"});
  ASSERT_EQ(import.code, 0) << import.err;
  const auto workload = ParseWorkload(import.out);
  ASSERT_TRUE(workload.ok()) << workload.status();
  EXPECT_EQ(workload->node_count(), 3u);
  EXPECT_EQ(workload->node_groups[0].node.cpu_milli, 1500);
  EXPECT_EQ(workload->arrivals.size(), 4u);
  for (const auto& [flag, value] : std::vector<std::pair<std::string, std::string>>{
           {"--host-cpu", "-1"}, {"--host-memory", "1Gib"}, {"--keep", "0"}, {"--keep", "nan"}, {"--hosts", "0"}, {"--seed", "-1"}}) {
    const Ran ran = with({flag, value});
    EXPECT_EQ(ran.code, 2) << flag << " " << value;
    EXPECT_FALSE(ran.err.empty());
    EXPECT_TRUE(ran.out.empty()) << ran.out.substr(0, 300);
  }
}

TEST(TraceVerb, GeneratesTheStreamOfALoadAndSeed) {
  const Ran ran = Berth({"trace", "generate", "--workload", "vm-like", "--node-count", "10", "--load", "0.5", "--hours", "3", "--seed", "9"});
  ASSERT_EQ(ran.code, 0) << ran.err;
  const auto workload = ParseWorkload(ran.out);
  ASSERT_TRUE(workload.ok()) << workload.status();
  const auto want = RecordArrivals(*ScaleNodes(*BuiltinWorkload("vm-like"), 10), 0.5, 9, 3);
  ASSERT_TRUE(want.ok());
  EXPECT_EQ(WorkloadToYaml(*workload), WorkloadToYaml(*want));
}

TEST(TraceVerb, BadFlagsAreNamedAndNothingIsWritten) {
  const TempFile nodes(kNodes), bad_pods(std::string(kPods) + "p3,x,1,0,0,,,,,,\n");
  const std::string out = nodes.path() + ".yaml";
  const Ran import = Berth({"trace", "import", "openb", "--nodes", nodes.path(), "--pods", bad_pods.path(), "--out", out});
  EXPECT_EQ(import.code, 2);
  EXPECT_THAT(import.err, HasSubstr("pod list line 4 column 2 (cpu_milli) is \"x\""));
  EXPECT_FALSE(std::filesystem::exists(out));
  const struct {
    std::vector<std::string> flags;
    int code;
    const char* message;
  } cases[] = {{{"trace"}, 2, "subcommand"},
               {{"trace", "import"}, 2, "subcommand"},
               {{"trace", "import", "openb", "--nodes", "n"}, 2, "--pods"},
               {{"trace", "import", "openb", "--nodes", "/nonexistent", "--pods", "p"}, 1, "node list"},
               {{"trace", "import", "openb", "--nodes", "n", "--pods", "p", "--max-life", "0"}, 2, "--max-life"},
               {{"trace", "describe"}, 2, "required"},
               {{"trace", "describe", "no-such-workload"}, 1, "openb-like, vm-like or a file"},
               {{"trace", "describe", "openb-like", "--node-count", "3"}, 2, "one of every GPU model"},
               {{"trace", "describe", "openb-like", "--node-count", "-1"}, 2, "--node-count"},
               {{"trace", "generate", "--load", "0"}, 2, "load"},
               {{"trace", "generate", "--load", "inf"}, 2, "load"},
               {{"trace", "generate", "--hours", "-1"}, 2, "hours"},
               {{"trace", "generate", "--hours", "1", "--out", "/nonexistent/folder/file"}, 1, "--out"},
               {{"trace", "generate", "--hours", "1", "--out", "/"}, 2, "not a directory"},
               {{"trace", "generate", "--seed", "99999999999999999999999"}, 2, "--seed"}};
  for (const auto& c : cases) {
    const Ran ran = Berth(c.flags);
    EXPECT_EQ(ran.code, c.code) << testing::PrintToString(c.flags) << ran.err;
    EXPECT_THAT((ran.err + ran.out).substr(0, 500), HasSubstr(c.message)) << testing::PrintToString(c.flags);
  }
}

}  // namespace
}  // namespace berth::cli

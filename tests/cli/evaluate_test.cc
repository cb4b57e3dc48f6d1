// `berth evaluate` on openb files with departures and on the Azure trace, as a user runs it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "cli/evaluate_azure.h"
#include "cli/evaluate_churn.h"
#include "cli/verbs.h"
#include "run_berth.h"
#include "support/temp_file.h"

namespace berth::cli {
namespace {

using ::testing::HasSubstr;
using test::TempFile;
namespace fs = std::filesystem;

constexpr char kNodes[] = "sn,cpu_milli,memory_mib,gpu,model\nn1,8000,16384,2,T4\nn2,8000,16384,2,T4\nn3,4000,16384,1,P100\n";
constexpr char kPods[] =
    "name,cpu_milli,memory_mib,num_gpu,gpu_milli,gpu_spec,creation_time,deletion_time\n"
    "p1,1000,1024,1,500,T4,10,4000\np2,1000,2048,1,1000,,0,5000\np3,2000,1024,2,1000,,5,8000\n";

std::vector<std::string> Churn(const TempFile& nodes, const TempFile& pods, std::vector<std::string> more) {
  std::vector<std::string> all = {"evaluate", "--protocol", "churn", "--nodes", nodes.path(), "--pods", pods.path(), "--seeds", "1-3",
                                  "--load", "0.9,1.1", "--policies", "best-fit,first-fit", "--jobs", "1", "--quiet", "--json"};
  all.insert(all.end(), more.begin(), more.end());
  return all;
}

TEST(EvaluateChurn, RunsOnOpenbFilesAndPairsPolicies) {
  const TempFile nodes(kNodes), pods(kPods);
  const Ran ran = Berth(Churn(nodes, pods, {"--sample-nodes", "all"}));
  ASSERT_EQ(ran.code, 0) << ran.err;
  const auto json = nlohmann::json::parse(ran.out);
  EXPECT_EQ(json["workload"], "openb");
  EXPECT_EQ(json["nodes"], 3);
  ASSERT_EQ(json["runs"].size(), 12u);
  EXPECT_GT(json["runs"][0]["arrived_pods"], 0);
  EXPECT_FALSE(json["runs"][0].contains("waits_by_class"));
  EXPECT_EQ(json["paired_metric"], "rejected_gpu_hours_percent");
}

TEST(EvaluateChurn, OptionsOfTheQueueAndTheReserveReachTheEnvironmentAndBadOnesAreNamed) {
  const TempFile nodes(kNodes), pods(kPods);
  const auto wait_of = [&](std::vector<std::string> more) {
    std::vector<std::string> flags = {"--sample-nodes", "all", "--form", "queue"};
    flags.insert(flags.end(), more.begin(), more.end());
    const Ran ran = Berth(Churn(nodes, pods, flags));
    EXPECT_EQ(ran.code, 0) << ran.err;
    const auto json = nlohmann::json::parse(ran.out);
    return json["runs"].back()["waits_by_class"][2]["p99_s"].get<double>();   // of the pod of two GPUs
  };
  const double plain = wait_of({});
  EXPECT_NE(wait_of({"--queue-order", "largest"}), plain);
  EXPECT_NE(wait_of({"--aging-limit", "60", "--held-nodes", "2"}), plain);
  const Ran loss = Berth(Churn(nodes, pods, {"--sample-nodes", "all", "--reserve", "1"}));
  ASSERT_EQ(loss.code, 0) << loss.err;
  const auto json = nlohmann::json::parse(loss.out);
  ASSERT_FALSE(json["runs"][0]["rejections_by_class"].empty());
  for (const auto& [flags, want] : std::vector<std::pair<std::vector<std::string>, const char*>>{
           {{"--form", "queue", "--queue-order", "biggest"}, "--queue-order"},
           {{"--held-nodes", "2"}, "--held-nodes"},
           {{"--aging-limit", "60"}, "--form"}}) {
    const Ran ran = Berth(Churn(nodes, pods, flags));
    EXPECT_NE(ran.code, 0);
    EXPECT_THAT(ran.err, HasSubstr(want));
  }
}

TEST(EvaluateChurn, TheQueueFormGivesWaitsOfEachClassAndATable) {
  const TempFile nodes(kNodes), pods(kPods);
  const fs::path out = fs::temp_directory_path() / ("berth-waits-" + std::to_string(getpid()));
  const Ran ran = Berth(Churn(nodes, pods, {"--sample-nodes", "all", "--form", "queue", "--lives", "trace", "--out", out.string()}));
  ASSERT_EQ(ran.code, 0) << ran.err;
  const auto json = nlohmann::json::parse(ran.out);
  const auto& waits = json["runs"][0]["waits_by_class"];
  ASSERT_EQ(waits.size(), 3u);
  for (const auto& w : waits) {
    EXPECT_LE(w["p50_s"], w["p90_s"]);
    EXPECT_LE(w["p90_s"], w["p99_s"]);
  }
  EXPECT_GT(waits[2]["p90_s"], 0);   // the pod of two GPUs has to wait
  std::ifstream in(out / "report.html");
  const std::string html((std::istreambuf_iterator<char>(in)), {});
  EXPECT_THAT(html, HasSubstr("Waits by kind of pod"));
  EXPECT_THAT(html, HasSubstr("2 gpu"));
  std::error_code error;
  fs::remove_all(out, error);
}

TEST(EvaluateChurn, WindowsAreThePublishedOnesUnlessGiven) {
  const auto hours = [](std::string sample, std::string lives) {
    const ChurnHours h = DefaultHours({"n", "p", std::move(sample), std::move(lives)});
    return std::pair(h.warmup, h.window);
  };
  EXPECT_EQ(hours("151", "exponential"), std::pair(5.0, 30.0));
  EXPECT_EQ(hours("all", "exponential"), std::pair(5.0, 3.0));
  EXPECT_EQ(hours("151", "trace"), std::pair(4.0, 18.0));
}

TEST(EvaluateChurn, BadFlagsAreNamed) {
  const TempFile nodes(kNodes), pods(kPods);
  const struct {
    std::vector<std::string> flags;
    const char* message;
  } cases[] = {{{"--sample-nodes", "1"}, "GPU model"}, {{"--sample-nodes", "some"}, "--sample-nodes"}, {{"--sample-nodes", "all", "--lives", "long"}, "exponential, trace"}, {{"--sample-nodes", "all", "--form", "other"}, "form"}};
  for (const auto& c : cases) {
    const Ran ran = Berth(Churn(nodes, pods, c.flags));
    EXPECT_EQ(ran.code, 2);
    EXPECT_THAT(ran.err, HasSubstr(c.message));
  }
  EXPECT_THAT(Berth({"evaluate", "--protocol", "churn", "--nodes", nodes.path()}).err, HasSubstr("--nodes and --pods together"));
}

TEST(EvaluateMatrix, ComparesEveryPolicyWithTheBestRuleOfEveryColumn) {
  const TempFile nodes(kNodes), pods(kPods), more_pods(std::string(kPods) + "p4,4000,1024,1,200,,1,100\n");
  const fs::path out = fs::temp_directory_path() / ("berth-matrix-" + std::to_string(getpid()));
  const std::vector<std::string> common = {"evaluate", "--protocol", "matrix", "--nodes", nodes.path(), "--seeds", "1-3", "--load", "0.9,1.1", "--jobs", "1", "--quiet", "--json"};
  const auto run = [&](std::vector<std::string> flags) {
    flags.insert(flags.begin(), common.begin(), common.end());
    return Berth(flags);
  };
  const Ran ran = run({"--pods", pods.path() + "," + more_pods.path(), "--sample-nodes", "all,9", "--policies", "best-fit,first-fit,stranding", "--out", out.string()});
  ASSERT_EQ(ran.code, 0) << ran.err;
  const auto cells = nlohmann::json::parse(ran.out)["cells"];
  ASSERT_EQ(cells.size(), 2u * 4 * 3);   // loads, columns, policies
  for (const auto& cell : cells) {
    const double below = cell["below_percent"];
    if (cell["policy"] == cell["best_rule"]) {
      EXPECT_EQ(below, 0);
    } else if (cell["policy"] != "stranding") {   // of two rules, the other
      EXPECT_LE(below, 0);
    }
    EXPECT_NE(cell["best_rule"], "stranding");                     // no rule
    EXPECT_NEAR(cell["difference"].get<double>(), cell["rejected_gpu_hours_percent"].get<double>() - cell["best_rule_percent"].get<double>(), 1e-9);
    EXPECT_TRUE(cell["nodes"] == 3 || cell["nodes"] == 9);
  }
  // A column alone is what the churn protocol gives.
  const auto churn = nlohmann::json::parse(Berth(Churn(nodes, pods, {"--sample-nodes", "9"})).out);
  double sum = 0;
  for (const auto& r : churn["runs"]) sum += r["policy"] == "best-fit" && r["load"] == 0.9 ? r["rejected_gpu_hours_percent"].get<double>() / 3 : 0;
  bool is_found = false;
  for (const auto& cell : cells) {
    if (cell["policy"] != "best-fit" || cell["load"] != 0.9 || cell["nodes"] != 9 || std::abs(cell["rejected_gpu_hours_percent"].get<double>() - sum) > 1e-9) continue;
    is_found = true;
  }
  EXPECT_TRUE(is_found);
  std::ifstream in(out / "report.html");
  const std::string html((std::istreambuf_iterator<char>(in)), {});
  EXPECT_THAT(html, HasSubstr("best rule"));
  EXPECT_TRUE(html.find("<svg") != std::string::npos || html.find("No plot of") != std::string::npos);
  std::error_code error;
  fs::remove_all(out, error);
  EXPECT_THAT(run({"--pods", pods.path(), "--policies", "stranding"}).err, HasSubstr("no rule"));
  EXPECT_THAT(run({"--pods", pods.path(), "--form", "queue"}).err, HasSubstr("--form"));
  EXPECT_THAT(run({"--pods", pods.path(), "--sample-nodes", "all,some"}).err, HasSubstr("--sample-nodes"));
  EXPECT_NE(run({}).code, 0);
}

struct AzureFolder {
  AzureFolder() {
    fs::create_directory(path);
    Write("v1.dev.txt", "0 b,|,b,|\n300 b,|\n");
    Write("v1.dev.c600.txt", "0 U2,|,U2,|\n300 C1,|\n");
    Write("flav_map.txt", "2,4 b\n");
    Write("v1.interval_map.txt", "300 1\n600 2\n");
  }
  ~AzureFolder() {
    std::error_code error;
    fs::remove_all(path, error);
  }
  void Write(const char* name, const char* text) const { std::ofstream(path / name) << text; }
  std::string at(const char* name) const { return (path / name).string(); }
  const fs::path path = fs::temp_directory_path() / ("berth-azure-" + std::to_string(getpid()));
};

TEST(EvaluateAzure, FindsItsFilesAndGivesRunsAndFewestHosts) {
  const AzureFolder folder;
  const Ran ran = Berth({"evaluate", "--protocol", "azure", "--test", folder.at("v1.dev.txt"), "--host", "4/1000", "--keep", "1", "--replicas", "2", "--factors", "0.5,1",
                         "--policies", "best-fit,first-fit", "--quiet", "--jobs", "1", "--json"});
  ASSERT_EQ(ran.code, 0) << ran.err;
  const auto json = nlohmann::json::parse(ran.out);
  EXPECT_EQ(json["replicas"][0]["need_hosts"], 1.5);
  EXPECT_EQ(json["runs"].size(), 8u);
  EXPECT_EQ(json["fewest"].size(), 4u);
  EXPECT_EQ(json["fewest"][0]["hosts"], 2);
}

TEST(EvaluateAzure, BadFlagsAreNamed) {
  const AzureFolder folder;
  const auto error_of = [&](std::vector<std::string> flags) {
    std::vector<std::string> all = {"evaluate", "--protocol", "azure", "--quiet", "--policies", "best-fit"};
    all.insert(all.end(), flags.begin(), flags.end());
    const Ran ran = Berth(all);
    EXPECT_EQ(ran.code, 2);
    return ran.err;
  };
  EXPECT_THAT(error_of({}), HasSubstr("--test"));
  EXPECT_THAT(error_of({"--test", folder.at("v1.other.txt")}), HasSubstr("v1.other.c*.txt"));
  EXPECT_THAT(error_of({"--test", folder.at("v1.dev.txt"), "--host", "64"}), HasSubstr("--host"));
  EXPECT_THAT(error_of({"--test", folder.at("v1.dev.txt"), "--factors", "0"}), HasSubstr("--factors"));
  folder.Write("v1.dev.c700.txt", "");
  EXPECT_THAT(error_of({"--test", folder.at("v1.dev.txt")}), HasSubstr("not several"));
}

}  // namespace
}  // namespace berth::cli

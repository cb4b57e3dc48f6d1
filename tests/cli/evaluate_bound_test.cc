// `berth evaluate --bound` as a user runs it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "nlohmann/json.hpp"
#include "run_berth.h"

namespace berth::cli {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

const std::vector<std::string> kFgd = {"evaluate", "--protocol", "fgd", "--workload", "openb-like", "--node-count", "30", "--seeds", "1-3", "--policies", "random,best-fit,fgd,stranding", "--quiet"};
const std::vector<std::string> kChurn = {"evaluate", "--workload", "openb-like", "--node-count", "20", "--load", "1,1.3", "--seeds", "1-2", "--warmup-hours", "5", "--window-hours", "20", "--policies", "best-fit,fgd", "--quiet"};

std::vector<std::string> With(std::vector<std::string> arguments, std::vector<std::string> more) {
  arguments.insert(arguments.end(), more.begin(), more.end());
  return arguments;
}

// The shares are what the definition says, of the means that stand beside them; the best rule has removed nothing.
void CheckShares(const nlohmann::json& at, const std::string& key, double bound) {
  double best = 1e9;
  for (const auto& p : at["policies"]) {
    if (p["policy"] != "stranding") best = std::min(best, p[key].get<double>());
  }
  bool has_best = false;
  for (const auto& p : at["policies"]) {
    EXPECT_NEAR(p["avoidable_loss_removed_percent"].get<double>(), 100 * (best - p[key].get<double>()) / (best - bound), 1e-6) << p;
    if (p["policy"] == at["best_rule"]) has_best = p[key] == best;
  }
  EXPECT_TRUE(has_best);
  EXPECT_LT(bound, best);
}

TEST(EvaluateBound, FgdHasBoundsAndSharesAtBothCheckpoints) {
  const Ran ran = Berth(With(kFgd, {"--bound", "--json"}));
  ASSERT_EQ(ran.code, 0) << ran.err;
  EXPECT_THAT(ran.err, HasSubstr("bounds of 3 sequences"));
  const auto json = nlohmann::json::parse(ran.out);
  const auto& checkpoints = json["bound"]["checkpoints"];
  ASSERT_EQ(checkpoints.size(), 2u);
  for (size_t c = 0; c < 2; ++c) {
    const auto& at = checkpoints[c];
    const int percent = c == 0 ? 100 : 130;
    EXPECT_EQ(at["arrived_percent"], percent);
    ASSERT_EQ(at["seeds"].size(), 3u);
    ASSERT_EQ(at["policies"].size(), 4u);
    EXPECT_LE(at["may_refuse_unallocated_percent"].get<double>(), at["no_refusal_unallocated_percent"].get<double>());
    double mean = 0;
    for (const auto& seed : at["seeds"]) mean += seed["no_refusal_unallocated_percent"].get<double>() / 3;
    const double bound = at["no_refusal_unallocated_percent"].get<double>();
    EXPECT_NEAR(mean, bound, 1e-9);
    CheckShares(at, "unallocated_percent", bound);
    // The means are those of the runs in the same answer.
    double fgd = 0;
    for (const auto& run : json["runs"]) {
      if (run["policy"] == "fgd") fgd += run["unallocated_percent_at_" + std::to_string(percent)].get<double>() / 3;
    }
    EXPECT_NEAR(at["policies"][2]["unallocated_percent"].get<double>(), fgd, 1e-9);
  }
}

TEST(EvaluateBound, ChurnHasBoundsAndSharesAtEveryLoad) {
  const Ran ran = Berth(With(kChurn, {"--bound", "--json"}));
  ASSERT_EQ(ran.code, 0) << ran.err;
  const auto json = nlohmann::json::parse(ran.out);
  const auto& loads = json["bound"]["loads"];
  ASSERT_EQ(loads.size(), 2u);
  EXPECT_EQ(loads[0]["load"], 1.0);
  EXPECT_EQ(loads[1]["load"], 1.3);
  EXPECT_GT(loads[1]["no_refusal_rejected_percent"].get<double>(), loads[1]["may_refuse_rejected_percent"].get<double>());
  for (const auto& at : loads) CheckShares(at, "rejected_percent", at["no_refusal_rejected_percent"].get<double>());
}

TEST(EvaluateBound, IsThereOnlyWhereAskedForAndChangesNothingElse) {
  const Ran plain = Berth(With(kChurn, {"--json"})), bounded = Berth(With(kChurn, {"--json", "--bound"}));
  ASSERT_EQ(plain.code, 0) << plain.err;
  auto json = nlohmann::json::parse(bounded.out);
  EXPECT_EQ(json.erase("bound"), 1u);
  EXPECT_EQ(json, nlohmann::json::parse(plain.out));
}

TEST(EvaluateBound, StandsInTheTableAndInTheReport) {
  const std::filesystem::path dir = std::filesystem::path(testing::TempDir()) / "bound-report";
  const Ran ran = Berth(With(kFgd, {"--bound", "--out", dir.string()}));
  ASSERT_EQ(ran.code, 0) << ran.err;
  EXPECT_THAT(ran.out, HasSubstr("bound: places all that fits"));
  std::ifstream in(dir / "report.html");
  std::stringstream html;
  html << in.rdbuf();
  EXPECT_THAT(html.str(), HasSubstr("bound of the mix: may refuse"));
  std::filesystem::remove_all(dir);
  EXPECT_THAT(Berth(kFgd).out, Not(HasSubstr("bound")));
}

TEST(EvaluateBound, WithoutARuleThereIsNoShare) {
  auto arguments = kFgd;
  *std::find(arguments.begin(), arguments.end(), "random,best-fit,fgd,stranding") = "stranding";
  const Ran ran = Berth(With(arguments, {"--bound", "--json"}));
  ASSERT_EQ(ran.code, 0) << ran.err;
  const auto at = nlohmann::json::parse(ran.out)["bound"]["checkpoints"][0];
  EXPECT_TRUE(at["best_rule"].is_null());
  EXPECT_TRUE(at["policies"][0]["avoidable_loss_removed_percent"].is_null());
}

TEST(EvaluateBound, AQueueIsRefusedBeforeAnythingRuns) {
  const Ran ran = Berth(With(kChurn, {"--bound", "--form", "queue"}));
  EXPECT_EQ(ran.code, 2);
  EXPECT_THAT(ran.err, HasSubstr("a queue rejects nothing"));
  EXPECT_TRUE(ran.out.empty());
}

}  // namespace
}  // namespace berth::cli

// `berth solve --model` as a user runs it: the contract of its JSON, the shared oracles through every method and
// format, traps of published solvers, limits, and flags that are wrong.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <limits>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "mdp/files/solution_file.h"
#include "nlohmann/json.hpp"
#include "run_berth.h"
#include "support/mdp_oracles.h"
#include "support/shared_data.h"
#include "support/temp_file.h"

namespace berth::cli {
namespace {

using nlohmann::json;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

// A folder of the test's own, so that files keep their extensions.
class SolveModelTest : public testing::Test {
 protected:
  std::string File(const std::string& name) const { return folder_.File(name); }
  std::string Csv(const std::string& lines) const {
    std::string path = File("model.csv");
    std::ofstream(path) << "state,action,next,probability,reward\n" << lines;
    return path;
  }
  // With --json; the answer, or null where it failed.
  static json Solve(const std::string& model, std::vector<std::string> flags) {
    flags.insert(flags.begin(), {"solve", "--model", model, "--json"});
    const Ran ran = Berth(flags);
    EXPECT_EQ(ran.code, 0) << ran.err;
    return json::parse(ran.out, nullptr, false);
  }

 private:
  test::TempFolder folder_;
};

std::vector<std::string> Names(const json& list) {
  std::vector<std::string> names;
  for (const json& entry : list) names.push_back(entry["method"]);
  return names;
}

const std::vector<std::string> kMethods = {"value-iteration",           "gauss-seidel",     "anderson",
                                           "modified-policy-iteration", "policy-iteration", "topological",
                                           "backward-induction"};
constexpr char kTrap30[] = "0,0,0,1,1\n0,1,1,1,0\n1,0,1,1,2\n";

// Whether the bounds hold what `want` is the nearest double of.
bool Hold(const json& result, const std::vector<double>& want) {
  for (size_t s = 0; s < want.size(); ++s) {
    const double rounding = std::abs(want[s]) * std::numeric_limits<double>::epsilon();
    if (!(result["lower"][s].get<double>() <= want[s] + rounding &&
          want[s] - rounding <= result["upper"][s].get<double>()))
      return false;
  }
  return true;
}

class SolveOracleTest : public SolveModelTest, public testing::WithParamInterface<const char*> {
 protected:
  void SetUp() override {
    const std::string relative = std::string("mdp-oracles/") + GetParam() + ".json";
    BERTH_REQUIRE_SHARED_DATA(relative);
    path_ = *test::SharedData(relative);
    std::ifstream in(path_);
    oracle_ = json::parse(in);
  }
  std::vector<double> want() const { return oracle_["value_float"].get<std::vector<double>>(); }

  std::string path_;
  json oracle_;
};

TEST_P(SolveOracleTest, EveryMethodThatAppliesHoldsTheExactAnswer) {
  const json answer = Solve(path_, {"--method", "all", "--epsilon", "1e-7"});
  EXPECT_EQ(answer["states"], oracle_["states"]);
  EXPECT_EQ(answer["criterion"], oracle_["criterion"]);
  EXPECT_EQ(answer["objective"], oracle_["objective"]);
  EXPECT_GE(answer["results"].size(), oracle_["criterion"] == "finite" ? 1u : 5u);
  for (const json& r : answer["results"]) {
    SCOPED_TRACE(r["method"]);
    EXPECT_EQ(r["value"].size(), want().size());
    EXPECT_TRUE(Hold(r, want()));
    EXPECT_LE(r["error"].get<double>(), 1e-7);
    EXPECT_EQ(r["stop_reason"], "converged");
    EXPECT_GE(r["sweeps"].get<int64_t>(), 0);
    EXPECT_GE(r["cpu_s"].get<double>(), 0);
    for (size_t s = 0; s < want().size(); ++s) {
      EXPECT_LE(r["lower"][s].get<double>(), r["value"][s].get<double>());
      EXPECT_LE(r["value"][s].get<double>(), r["upper"][s].get<double>());
      const auto listed = r["optimal_actions"][s].get<std::vector<int>>();
      if (oracle_.contains("optimal_actions")) {
        EXPECT_EQ(listed, oracle_["optimal_actions"][s].get<std::vector<int>>()) << "state " << s;
      }
      EXPECT_THAT(listed, testing::Contains(r["policy"][s].get<int>())) << "state " << s;
    }
    // The checker can fail: one value moved out of its bounds.
    std::vector<double> moved = want();
    moved.back() += 1e-3 * std::max(1.0, std::abs(moved.back()));
    EXPECT_FALSE(Hold(r, moved));
  }
  // Every method is either solved or skipped, with a reason.
  std::multiset<std::string> named;
  for (const auto& list : {"results", "skipped"}) {
    for (const std::string& name : Names(answer[list])) named.insert(name);
  }
  EXPECT_EQ(named, std::multiset<std::string>(kMethods.begin(), kMethods.end()));
  for (const json& skipped : answer["skipped"]) EXPECT_GT(skipped["reason"].get<std::string>().size(), 10u);
}

TEST_P(SolveOracleTest, AutoSolvesIt) {
  const json answer = Solve(path_, {"--epsilon", "1e-7"});
  ASSERT_EQ(answer["results"].size(), 1u);
  EXPECT_TRUE(answer["skipped"].empty());
  EXPECT_THAT(kMethods, testing::Contains(answer["results"][0]["method"].get<std::string>()));
  EXPECT_TRUE(Hold(answer["results"][0], want()));
}

TEST_P(SolveOracleTest, WrittenInEveryFormatItHasTheSameValues) {
  std::vector<std::string> criterion;
  const std::string kind = oracle_["criterion"];
  if (kind == "discounted") {
    const json first = Solve(path_, {});
    criterion = {"--one-minus-gamma", first["one_minus_gamma"].dump()};
  } else if (kind == "finite") {
    criterion = {"--horizon", oracle_["horizon"].dump()};
  } else {
    criterion = {"--" + kind};
  }
  if (oracle_["objective"] == "min") criterion.push_back("--minimize");
  for (const std::string extension : {".umb", ".tra", ".csv", ".json"}) {
    SCOPED_TRACE(extension);
    const std::string written = File("written" + extension);
    const json before = Solve(path_, {"--write", written});
    const json after = Solve(written, criterion);
    EXPECT_EQ(after["states"], before["states"]);
    EXPECT_EQ(after["results"][0]["value"], before["results"][0]["value"]);
    EXPECT_EQ(after["results"][0]["optimal_actions"], before["results"][0]["optimal_actions"]);
    if (extension == ".json") {
      EXPECT_EQ(Solve(written, {})["results"][0]["value"], before["results"][0]["value"]);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(MdpOracles, SolveOracleTest, testing::ValuesIn(test::kMdpOracles),
                         [](const auto& test) { return test::OracleTestName(test.param); });

TEST_F(SolveModelTest, ASmallChangeASweepIsNotTakenForASmallError) {  // trap T30
  const std::string model = Csv(kTrap30);
  const json answer = Solve(model, {"--discount", "0.99", "--epsilon", "0.01", "--method", "all"});
  EXPECT_GE(answer["results"].size(), 5u);
  for (const json& r : answer["results"]) {
    SCOPED_TRACE(r["method"]);
    EXPECT_NEAR(r["value"][0].get<double>(), 198, 0.01);
    EXPECT_NEAR(r["value"][1].get<double>(), 200, 0.01);
    EXPECT_TRUE(Hold(r, {198, 200}));
    EXPECT_EQ(r["policy"][0], 1);
    EXPECT_LE(r["error"].get<double>(), 0.01);
  }
  // Beyond what single precision can give, it goes on in double precision; what double can't is said.
  const json fine = Solve(
      model, {"--discount", "0.99", "--epsilon", "1e-9", "--method", "value-iteration", "--single-precision-first"});
  EXPECT_LE(fine["results"][0]["error"].get<double>(), 1e-9);
  const json exact = Solve(model, {"--discount", "0.99", "--epsilon", "0", "--method", "value-iteration"});
  EXPECT_EQ(exact["results"][0]["stop_reason"], "precision limit");
  EXPECT_GT(exact["results"][0]["error"].get<double>(), 0);
  EXPECT_TRUE(Hold(exact["results"][0], {198, 200}));
}

TEST_F(SolveModelTest, AnActionThatIsNotThereIsNotWorthZero) {  // trap T31
  const json answer = Solve(Csv("0,0,1,1,-1\n1,,,,\n2,0,1,1,2\n"), {"--discount", "0.9", "--method", "all"});
  EXPECT_GE(answer["results"].size(), 5u);
  for (const json& r : answer["results"]) {
    SCOPED_TRACE(r["method"]);
    EXPECT_TRUE(Hold(r, {-1, 0, 2}));
    EXPECT_LE(r["error"].get<double>(), 1e-12);
    EXPECT_THAT(r["policy"], ElementsAre(0, -1, 0));
    EXPECT_TRUE(r["optimal_actions"][1].empty());
  }
}

TEST_F(SolveModelTest, NothingToEarnAndExactTiesEndAtOnce) {  // trap T32
  const json nothing = Solve(Csv("0,0,1,1,0\n0,1,0,1,0\n1,0,0,1,0\n"), {"--discount", "0.9", "--method", "all"});
  EXPECT_GE(nothing["results"].size(), 5u);
  for (const json& r : nothing["results"]) {
    EXPECT_THAT(r["value"], ElementsAre(0, 0));
    EXPECT_EQ(r["error"], 0.0);
    EXPECT_LE(r["sweeps"], 1);
    EXPECT_EQ(r["policy"][0], 0);
  }
  const json ties = Solve(Csv("0,0,1,1,1\n0,1,1,1,1\n1,0,2,1,0\n2,,,,\n"), {"--discount", "0.9", "--method", "all"});
  EXPECT_GE(ties["results"].size(), 5u);
  for (const json& r : ties["results"]) {
    SCOPED_TRACE(r["method"]);
    EXPECT_TRUE(Hold(r, {1, 0, 0}));
    EXPECT_THAT(r["policy"], ElementsAre(0, 0, -1));
    EXPECT_THAT(r["optimal_actions"][0], ElementsAre(0, 1));
    if (r["method"] == "policy-iteration") {
      EXPECT_LE(r["sweeps"], 3);
    }
  }
}

TEST_F(SolveModelTest, TheDigitsOfADiscountAreExact) {
  const std::string model = Csv(kTrap30);
  for (const auto& [gamma, one_minus] :
       {std::pair{"0.999999", "1e-6"}, {"0.9", "0.1"}, {"0", "1"}, {"0.99999999", "1e-8"}}) {
    const json by_gamma = Solve(model, {"--discount", gamma});
    const json by_rest = Solve(model, {"--one-minus-gamma", one_minus});
    EXPECT_EQ(by_gamma["one_minus_gamma"], by_rest["one_minus_gamma"]) << gamma;
    EXPECT_EQ(by_gamma["results"][0]["value"], by_rest["results"][0]["value"]) << gamma;
  }
}

TEST_F(SolveModelTest, LimitsEndWithTrueBounds) {
  // A ring that forgets slowly: no sweep gets far.
  std::string lines;
  for (int s = 0; s < 400; ++s) {
    lines += std::to_string(s) + ",0," + std::to_string((s + 1) % 400) + ",1," + (s == 0 ? "1" : "0") + "\n";
    lines += std::to_string(s) + ",1," + std::to_string(s) + ",1,0.001\n";
  }
  const std::string model = Csv(lines);
  // Round and round earns 1 in 400, by staying 1 in 1000: from state 0, 1 / (1 - gamma^400).
  const double best = -1 / std::expm1(400 * std::log1p(-1e-4));
  const auto expect = [&](const json& answer, const char* stop) {
    for (const json& r : answer["results"]) {
      EXPECT_EQ(r["stop_reason"], stop) << r["method"];
      EXPECT_TRUE(Hold(r, {best})) << r["method"];
      EXPECT_GT(r["error"].get<double>(), 1e-9) << r["method"];
    }
    EXPECT_FALSE(answer["results"].empty());
  };
  for (const char* method : {"value-iteration", "gauss-seidel", "anderson", "modified-policy-iteration"}) {
    expect(Solve(model, {"--one-minus-gamma", "1e-4", "--epsilon", "1e-9", "--method", method, "--time-limit", "1e-9"}),
           "time limit");
    const json cut =
        Solve(model, {"--one-minus-gamma", "1e-4", "--epsilon", "1e-9", "--method", method, "--max-sweeps", "3"});
    expect(cut, "iteration limit");
    EXPECT_LE(cut["results"][0]["sweeps"], 4);
  }
  const json steps = Solve(model, {"--horizon", "4000", "--max-sweeps", "400"});
  EXPECT_EQ(steps["results"][0]["stop_reason"], "iteration limit");
  EXPECT_TRUE(Hold(steps["results"][0], {10}));
  const json memory = Solve(model, {"--average", "--method", "anderson", "--max-memory-mib", "1"});
  EXPECT_EQ(memory["results"].size(), 1u);
}

TEST_F(SolveModelTest, OneMethodThatDoesNotApplyIsNamedAndNoFailure) {
  const std::string model = Csv(kTrap30);
  const json answer = Solve(model, {"--average", "--method", "backward-induction"});
  EXPECT_TRUE(answer["results"].empty());
  EXPECT_THAT(Names(answer["skipped"]), ElementsAre("backward-induction"));
  const Ran text = Berth({"solve", "--model", model, "--average", "--method", "backward-induction"});
  EXPECT_EQ(text.code, 0);
  EXPECT_THAT(text.out, HasSubstr("skipped backward-induction: backward-induction is for the criterion finite"));
}

TEST_F(SolveModelTest, ThreadsAndLayoutsChangeNoBit) {
  const std::string model = Csv(kTrap30);
  const std::vector<std::string> flags = {"--discount", "0.9", "--method", "modified-policy-iteration"};
  const json plain = Solve(model, flags);
  for (const std::vector<std::string>& more : {std::vector<std::string>{"--threads", "2"}, {"--storage", "sell8"}}) {
    std::vector<std::string> all = flags;
    all.insert(all.end(), more.begin(), more.end());
    EXPECT_EQ(Solve(model, all)["results"][0]["value"], plain["results"][0]["value"]);
  }
}

TEST_F(SolveModelTest, ThePlotShowsValuesByState) {
  const std::string plot = File("values.svg");
  ASSERT_EQ(Berth({"solve", "--model", Csv(kTrap30), "--discount", "0.9", "--plot", plot}).code, 0);
  std::ifstream in(plot);
  std::ostringstream text;
  text << in.rdbuf();
  EXPECT_THAT(text.str(),
              AllOf(HasSubstr("<svg"), HasSubstr(">state<"), HasSubstr(">value<"), HasSubstr("value and bounds")));
}

TEST_F(SolveModelTest, PeopleSeeATableAndNoProgressOfWhatIsDoneAtOnce) {
  const Ran ran = Berth({"solve", "--model", Csv(kTrap30), "--discount", "0.9"});
  EXPECT_EQ(ran.code, 0);
  EXPECT_THAT(ran.out, AllOf(HasSubstr("2 states, 3 actions, 3 transitions; discounted, max"),
                             HasSubstr("policy-iteration: converged"), HasSubstr("all that may be optimal")));
  EXPECT_EQ(ran.err, "");
}

TEST_F(SolveModelTest, WrongFlagsAreNamedWithWhatIsAccepted) {
  const std::string model = Csv(kTrap30), absent = File("absent.csv"), broken = File("broken.umb");
  std::ofstream(broken) << "no tar";
  const struct {
    std::vector<std::string> flags;
    int code;
    const char* message;
  } cases[] = {
      {{model, "--average", "--method", "nope"}, 2, "--method is \"nope\", accepted: auto, all, value-iteration"},
      {{model, "--average", "--total"}, 2, "criterion is \"more than one\", accepted: one of --one-minus-gamma"},
      {{model, "--horizon", "3", "--total"}, 2, "criterion is \"more than one\""},
      {{model, "--discount", "0.9", "--one-minus-gamma", "0.1"}, 2, "criterion is \"more than one\""},
      {{model}, 2, "criterion is \"none\", accepted: one of --one-minus-gamma"},
      {{model, "--average", "--epsilon", "-1"}, 2, "--epsilon is \"-1\", accepted: a finite number, 0 or more"},
      {{model, "--average", "--epsilon", "nan"}, 2, "--epsilon is \"nan\""},
      {{model, "--average", "--epsilon", "x"}, 2, "--epsilon"},
      {{model, "--average", "--time-limit", "-1"}, 2, "--time-limit is \"-1\", accepted: 0 (none) or more seconds"},
      {{model, "--average", "--max-sweeps", "0"}, 2, "--max-sweeps is \"0\", accepted: 1 or more"},
      {{model, "--average", "--threads", "0"}, 2, "--threads is \"0\", accepted: 1 to 256"},
      {{model, "--average", "--storage", "rows"}, 2, "--storage"},
      {{model, "--average", "--max-memory-mib", "-4"}, 2, "--max-memory-mib is \"-4\", accepted: 0 (none) to"},
      {{model, "--average", "--max-memory-mib", "9999999999999999"}, 2, "--max-memory-mib is"},
      {{model, "--average", "--plot", "x.png"}, 2, "--plot is \"x.png\", accepted: a name that ends in .svg"},
      {{model, "--average", "--plot", "/nonexistent/x.svg"}, 1, "--plot can't be written"},
      {{model, "--average", "--write", File("x.foo")}, 2, ".foo"},
      {{model, "--average", "--write", "/nonexistent/x.csv"}, 1, "can't be"},
      {{model, "--average", "--solution", "x.csv"}, 2, "--solution is \"x.csv\", accepted: a name that ends in .umb"},
      {{model, "--average", "--solution", "/nonexistent/x.umb"}, 1, "can't be"},
      {{model, "--average", "--method", "topological", "--solution", File("x.umb")}, 1,
       "--solution has nothing to write: topological"},
      {{model, "--discount", "1"}, 2, "--discount is \"1\", accepted: 0 or more, and below 1"},
      {{model, "--discount", "-0.5"}, 2, "--discount is \"-0.5\""},
      {{model, "--one-minus-gamma", "-0.5"}, 2, "--one-minus-gamma is \"-0.5\", accepted: above 0"},
      {{model, "--one-minus-gamma", "0"}, 2, "--one-minus-gamma is \"0\""},
      {{model, "--one-minus-gamma", "2"}, 2, "--one-minus-gamma is \"2\", accepted: above 0"},
      {{model, "--horizon", "-5"}, 2, "--horizon is \"-5\", accepted: 0 or more steps"},
      {{model, "--total"}, 2, "state 0: one can stay for ever at a mean reward of 1"},
      {{absent, "--average"}, 1, "model file"},
      {{broken, "--average"}, 2, "accepted"}};
  for (const auto& c : cases) {
    std::vector<std::string> arguments = {"solve", "--json", "--model"};
    arguments.insert(arguments.end(), c.flags.begin(), c.flags.end());
    const Ran ran = Berth(arguments);
    EXPECT_EQ(ran.code, c.code) << testing::PrintToString(c.flags) << ran.err;
    EXPECT_THAT(ran.err, HasSubstr(c.message)) << testing::PrintToString(c.flags);
    EXPECT_EQ(ran.out, "") << testing::PrintToString(c.flags);
  }
}

TEST_F(SolveModelTest, ASolutionFileHoldsTheBestResultAndIsTheModel) {
  const std::string solved = File("solved.umb");
  const std::vector<std::string> asked = {"--one-minus-gamma", "0.001", "--method", "all", "--max-sweeps", "3"};
  std::vector<std::string> flags = asked;
  flags.insert(flags.end(), {"--solution", solved});
  const json answer = Solve(Csv(kTrap30), flags);
  const json& best = *std::min_element(
      answer["results"].begin(), answer["results"].end(),
      [](const json& a, const json& b) { return a["error"].get<double>() < b["error"].get<double>(); });
  const auto read = mdp::ReadSolutionFile(solved);
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->criterion.one_minus_gamma, 0.001);
  EXPECT_EQ(read->epsilon, 1e-6);
  EXPECT_EQ(mdp::MethodName(read->solution.method), best["method"].get<std::string>());
  EXPECT_EQ(read->solution.values, best["value"].get<std::vector<double>>());
  EXPECT_EQ(read->solution.lower, best["lower"].get<std::vector<double>>());
  EXPECT_EQ(read->solution.upper, best["upper"].get<std::vector<double>>());
  EXPECT_EQ(read->solution.policy, best["policy"].get<std::vector<int32_t>>());
  EXPECT_EQ(read->solution.error, best["error"].get<double>());
  EXPECT_EQ(mdp::StopReasonName(read->solution.stop), best["stop_reason"].get<std::string>());
  const json again = Solve(solved, asked);
  for (size_t i = 0; i < answer["results"].size(); ++i) {
    for (const char* field : {"value", "lower", "upper", "policy", "optimal_actions", "sweeps"}) {
      EXPECT_EQ(again["results"][i][field], answer["results"][i][field]) << field;
    }
  }
}

TEST_F(SolveModelTest, ADiscountIsNoRate) {
  const std::string path = File("rates.csv");
  std::ofstream(path) << "state,action,next,rate,reward\n0,0,1,2,1\n1,0,0,3,0\n";
  const Ran ran = Berth({"solve", "--model", path, "--discount", "0.9"});
  EXPECT_EQ(ran.code, 2);
  EXPECT_THAT(ran.err, HasSubstr("--discount is \"0.9\", accepted: nothing for a model of rates"));
  // V0 = (1 + 2 V1) / (alpha + 2), V1 = 3 V0 / (alpha + 3), alpha = 5.
  const json answer = Solve(path, {"--one-minus-gamma", "5"});
  EXPECT_TRUE(Hold(answer["results"][0], {0.16, 0.06}));
  EXPECT_TRUE(Hold(Solve(path, {"--average"})["results"][0], {0.6, 0.6}));
  EXPECT_EQ(Names(Solve(path, {"--horizon", "3"})["skipped"]), std::vector<std::string>{"auto"});
}

}  // namespace
}  // namespace berth::cli

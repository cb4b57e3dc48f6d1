// The certificate of every solver contains the exact answers of the oracles in the shared data folder (mdp-oracles,
// format mdp-oracle-1: small models whose optimal values are exact fractions). Skipped, and said so, where the folder
// is absent.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <optional>
#include <string>
#include <vector>

#include "mdp/finite_horizon.h"
#include "mdp/policy_iteration.h"
#include "mdp/solve.h"
#include "mdp/total_reward.h"
#include "mdp/value_iteration.h"
#include "nlohmann/json.hpp"
#include "support.h"
#include "support/mdp_oracles.h"

namespace berth::mdp {
namespace {

// An integer or a fraction of any number of digits.
Exact ParseFraction(const std::string& text) {
  const auto parse_integer = [](const std::string& digits) {
    Exact value = 0;
    for (const char c : digits) {
      if (c != '-') value = 10 * value + (c - '0');
    }
    return digits.front() == '-' ? -value : value;
  };
  const size_t slash = text.find('/');
  if (slash == std::string::npos) return parse_integer(text);
  return parse_integer(text.substr(0, slash)) / parse_integer(text.substr(slash + 1));
}

struct Oracle {
  std::string criterion;
  Objective objective = Objective::kMaximize;
  Exact one_minus_gamma = 0;
  int64_t horizon = 0;
  PlainModel plain;
  std::vector<Exact> exact;
  std::vector<std::vector<int32_t>> optimal_actions;
};

class OracleTest : public testing::TestWithParam<const char*> {
 protected:
  // Skips or fails where the folder is absent; check `oracle_`.
  void SetUp() override {
    namespace fs = std::filesystem;
    const char* data = std::getenv("BERTH_SHARED_DATA");
    const char* source = std::getenv("BERTH_SOURCE_DIR");
    const fs::path folder =
        data != nullptr ? fs::path(data) : fs::path(source != nullptr ? source : ".") / "../shared/data";
    const fs::path file = folder / "mdp-oracles" / (std::string(GetParam()) + ".json");
    std::ifstream in(file);
    if (!in) {
      const char* ci = std::getenv("CI");
      if (ci != nullptr && std::string(ci) == "true") {
        FAIL() << "the shared data is absent and CI=true: set BERTH_SHARED_DATA to the folder that holds mdp-oracles";
      }
      GTEST_SKIP() << "SKIPPED: the shared data is absent; set BERTH_SHARED_DATA to the folder that holds mdp-oracles";
    }
    const nlohmann::json json = nlohmann::json::parse(in);
    Oracle& oracle = oracle_.emplace();
    oracle.criterion = json["criterion"];
    oracle.objective = json["objective"] == "min" ? Objective::kMinimize : Objective::kMaximize;
    if (json["discount"].is_string()) {
      // 1 - a/b = (b - a)/b: exact here, where 1 - (a/b) is not.
      const std::string discount = json["discount"];
      const size_t slash = discount.find('/');
      const Exact below = ParseFraction(discount.substr(slash + 1));
      oracle.one_minus_gamma = (below - ParseFraction(discount.substr(0, slash))) / below;
    }
    oracle.horizon = json.value("horizon", 0);
    std::vector<bool> is_absorbing(json["states"].get<size_t>(), false);
    for (const size_t s : json.value("absorbing", std::vector<size_t>{})) is_absorbing[s] = true;
    for (const auto& actions : json["actions"]) {
      auto& state = oracle.plain.emplace_back();
      if (oracle.criterion == "total" && is_absorbing[oracle.plain.size() - 1]) continue;
      for (const auto& action : actions) {
        PlainAction& plain = state.emplace_back();
        plain.reward = static_cast<double>(ParseFraction(action["reward"]));
        for (const auto& to : action["to"]) {
          plain.to.push_back({to[0].get<StateIndex>(), static_cast<double>(ParseFraction(to[1]))});
        }
      }
    }
    for (const auto& value : json["value"]) oracle.exact.push_back(ParseFraction(value));
    oracle.optimal_actions = json.value("optimal_actions", std::vector<std::vector<int32_t>>{});
  }

  void ExpectHolds(const DiscountedSolution& solution, double largest_error) const {
    EXPECT_EQ(solution.stop, StopReason::kConverged);
    EXPECT_LE(solution.error, largest_error);
    const auto wrong = FirstFalseBound(solution.values, solution.lower, solution.upper, solution.error, oracle_->exact);
    EXPECT_FALSE(wrong.has_value()) << "state " << *wrong;
    for (size_t s = 0; s < oracle_->optimal_actions.size(); ++s) {
      if (solution.policy[s] >= 0) {
        EXPECT_THAT(oracle_->optimal_actions[s], testing::Contains(solution.policy[s])) << "state " << s;
      }
    }
  }

  std::optional<Oracle> oracle_;
};

TEST_P(OracleTest, IsWithinTheBoundsOfEverySolver) {
  const Oracle& oracle = *oracle_;
  const auto mdp = BuildFrom(oracle.plain);
  ASSERT_TRUE(mdp.ok()) << mdp.status();
  const double one_minus_gamma = static_cast<double>(oracle.one_minus_gamma);
  // Near one a double holds V = 8.7e5 to 1e-10, and what every operation may lose is divided by 1 - gamma = 1e-6.
  const double tolerance = one_minus_gamma == 1e-6 ? 2e-8 : 1e-8;
  for (const SweepMethod method : {SweepMethod::kGaussSeidel, SweepMethod::kJacobi}) {
    SolveOptions options = {
        .tolerance = tolerance, .max_sweeps = 100'000, .method = method, .objective = oracle.objective};
    if (oracle.criterion == "discounted") {
      const auto solution = SolveDiscounted(*mdp, one_minus_gamma, options);
      ASSERT_TRUE(solution.ok()) << solution.status();
      ExpectHolds(*solution, options.tolerance);
    } else if (oracle.criterion == "total") {
      const auto solution = SolveTotal(*mdp, options);
      ASSERT_TRUE(solution.ok()) << solution.status();
      ExpectHolds(*solution, options.tolerance);
    } else if (oracle.criterion == "average") {
      const bool is_unichain = std::string(GetParam()) == "average-unichain";
      if (!is_unichain) options.max_sweeps = 2000;
      const auto solution = SolveAverage(*mdp, options);
      ASSERT_TRUE(solution.ok()) << solution.status();
      EXPECT_EQ(solution->stop, is_unichain ? StopReason::kConverged : StopReason::kIterationLimit);
      for (const Exact gain : oracle.exact) {
        EXPECT_LE(solution->gain_lower, gain);
        EXPECT_GE(solution->gain_upper, gain);
      }
    }
  }
  if (oracle.criterion == "discounted") {
    const auto solution = IteratePoliciesDiscounted(*mdp, one_minus_gamma, {.objective = oracle.objective});
    ASSERT_TRUE(solution.ok()) << solution.status();
    ExpectHolds(*solution, tolerance);
    EXPECT_LE(solution->sweeps, 10);
  } else if (oracle.criterion == "finite") {
    const auto solution = SolveFiniteHorizon(*mdp, oracle.horizon, {.objective = oracle.objective});
    ASSERT_TRUE(solution.ok()) << solution.status();
    EXPECT_LE(solution->error, 1e-11);
    for (size_t s = 0; s < oracle.exact.size(); ++s) {
      EXPECT_LE(std::abs(solution->values[s] - oracle.exact[s]), solution->error);
    }
  } else if (oracle.criterion == "average" && std::string(GetParam()) == "average-unichain") {
    const auto solution = IteratePoliciesAverage(*mdp, {.objective = oracle.objective});
    ASSERT_TRUE(solution.ok()) << solution.status();
    EXPECT_LE(solution->gain_lower, oracle.exact[0]);
    EXPECT_GE(solution->gain_upper, oracle.exact[0]);
    EXPECT_LE(solution->error, 1e-12);
  }
}

TEST_P(OracleTest, IsSolvedByEveryMethodThatApplies) {
  const Oracle& oracle = *oracle_;
  const auto mdp = BuildFrom(oracle.plain);
  ASSERT_TRUE(mdp.ok()) << mdp.status();
  Criterion criterion;
  criterion.kind = oracle.criterion == "discounted" ? CriterionKind::kDiscounted
                   : oracle.criterion == "average"  ? CriterionKind::kAverage
                   : oracle.criterion == "total"    ? CriterionKind::kTotal
                                                    : CriterionKind::kFinite;
  criterion.one_minus_gamma = static_cast<double>(oracle.one_minus_gamma);
  criterion.horizon = oracle.horizon;
  criterion.objective = oracle.objective;
  std::vector<Method> methods(std::begin(kAllMethods), std::end(kAllMethods));
  methods.push_back(Method::kAuto);
  int applied = 0;
  for (const Method method : methods) {
    if (!MethodApplies(*mdp, criterion, method).ok()) continue;
    ++applied;
    for (const bool starts_in_single_precision : {false, true}) {
      SCOPED_TRACE(MethodName(method));
      ModelSolveOptions options;
      options.epsilon = 1e-7;
      options.max_sweeps = 100'000;
      options.starts_in_single_precision = starts_in_single_precision;
      const auto solution = SolveModel(*mdp, criterion, method, options);
      ASSERT_TRUE(solution.ok()) << solution.status();
      EXPECT_EQ(solution->stop, StopReason::kConverged);
      EXPECT_LE(solution->error, options.epsilon);
      const auto wrong =
          FirstFalseBound(solution->values, solution->lower, solution->upper, solution->error, oracle.exact);
      EXPECT_FALSE(wrong.has_value()) << "state " << *wrong;
      for (size_t s = 0; s < oracle.optimal_actions.size(); ++s) {
        if (solution->policy[s] < 0) continue;
        EXPECT_THAT(oracle.optimal_actions[s], testing::Contains(solution->policy[s])) << "state " << s;
        EXPECT_THAT(solution->optimal(static_cast<StateIndex>(s)), testing::ElementsAreArray(oracle.optimal_actions[s]))
            << "state " << s;
      }
      if (std::string(GetParam()) == "average-multichain") {
        EXPECT_GT(solution->end_components, 1);
      }
    }
  }
  EXPECT_GE(applied, oracle.criterion == "finite" ? 2 : 5);
}

INSTANTIATE_TEST_SUITE_P(MdpOracles, OracleTest, testing::ValuesIn(test::kMdpOracles),
                         [](const auto& test) { return test::OracleTestName(test.param); });

}  // namespace
}  // namespace berth::mdp

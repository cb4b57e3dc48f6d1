// A solution in the archive of its model: what goes in comes out, and the archive is still the model. Broken ones are
// errors, never a crash (run under asan by test.sh).
#include "mdp/files/solution_file.h"

#include <cmath>
#include <limits>

#include "mdp/files/archive_test_base.h"
#include "mdp/files/support.h"
#include "nlohmann/json.hpp"

namespace berth::mdp {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

// State 2 has no action in one case, and only stays in the other. Its actions have a gap.
ModelFile SmallModel(bool has_terminal = false) {
  std::vector<PlainRow> rows = {
      {0, 0, 1.5, {{1, 0.5}, {2, 0.5}}}, {0, 3, 2, {{0, 0.5}, {2, 0.5}}}, {1, 0, 3, {{2, 1}}}, {1, 1, 3, {{2, 1}}}};
  if (!has_terminal) rows.push_back({2, 0, 0, {{2, 1}}});
  std::vector<StateIndex> terminal;
  if (has_terminal) terminal.push_back(2);
  auto mdp = BuildRows(3, rows, RowKind::kProbability, terminal);
  EXPECT_TRUE(mdp.ok()) << mdp.status();
  return ModelFile{.mdp = *std::move(mdp), .is_absorbing = {false, false, true}, .initial = 1, .name = "small"};
}

SolutionFile Solve(const ModelFile& model, const Criterion& criterion, Method method = Method::kAuto,
                   bool lists_optimal = true) {
  auto solution =
      SolveModel(model.mdp, criterion, method, {.lists_optimal_actions = lists_optimal}, model.is_absorbing);
  EXPECT_TRUE(solution.ok()) << solution.status();
  return {.criterion = criterion, .epsilon = 1e-6, .solution = *std::move(solution)};
}

void ExpectSame(const SolutionFile& read, const SolutionFile& wanted) {
  EXPECT_EQ(read.criterion.kind, wanted.criterion.kind);
  EXPECT_EQ(read.criterion.one_minus_gamma, wanted.criterion.one_minus_gamma);
  EXPECT_EQ(read.criterion.horizon, wanted.criterion.horizon);
  EXPECT_EQ(read.criterion.objective, wanted.criterion.objective);
  EXPECT_EQ(read.epsilon, wanted.epsilon);
  EXPECT_EQ(read.solution.method, wanted.solution.method);
  EXPECT_EQ(read.solution.values, wanted.solution.values);
  EXPECT_EQ(read.solution.lower, wanted.solution.lower);
  EXPECT_EQ(read.solution.upper, wanted.solution.upper);
  EXPECT_EQ(read.solution.error, wanted.solution.error);
  EXPECT_EQ(read.solution.policy, wanted.solution.policy);
  EXPECT_EQ(read.solution.optimal_begin, wanted.solution.optimal_begin);
  EXPECT_EQ(read.solution.optimal_actions, wanted.solution.optimal_actions);
  EXPECT_TRUE(read.solution.action_gap == wanted.solution.action_gap ||
              (std::isnan(read.solution.action_gap) && std::isnan(wanted.solution.action_gap)));
  EXPECT_EQ(read.solution.stop, wanted.solution.stop);
  EXPECT_EQ(read.solution.sweeps, wanted.solution.sweeps);
  EXPECT_EQ(read.solution.end_components, wanted.solution.end_components);
}

const Criterion kDiscounted = {.kind = CriterionKind::kDiscounted, .one_minus_gamma = 0.1};

TEST(SolutionFile, ComesBackBitForBitForEveryCriterionAndMethod) {
  const TempFolder folder;
  const std::string path = folder.File("solved.umb");
  const ModelFile model = SmallModel();
  const Criterion criteria[] = {kDiscounted,
                                {.kind = CriterionKind::kDiscounted, .one_minus_gamma = 1e-6},
                                {.kind = CriterionKind::kAverage, .objective = Objective::kMinimize},
                                {.kind = CriterionKind::kTotal},
                                {.kind = CriterionKind::kFinite, .one_minus_gamma = 1.0 / 3, .horizon = 7}};
  int solved = 0;
  for (const Criterion& criterion : criteria) {
    for (const Method method : kAllMethods) {
      if (!MethodApplies(model.mdp, criterion, method).ok()) continue;
      for (const bool lists_optimal : {true, false}) {
        const SolutionFile solution = Solve(model, criterion, method, lists_optimal);
        ASSERT_TRUE(WriteSolutionFile(path, model, solution).ok());
        const auto read = ReadSolutionFile(path);
        ASSERT_TRUE(read.ok()) << read.status();
        ExpectSame(*read, solution);
        ++solved;
      }
    }
  }
  EXPECT_GT(solved, 30);
  EXPECT_EQ(folder.Names().size(), 1);
}

TEST(SolutionFile, IsStillTheModelAndItsRewardIsNotTheValue) {
  const TempFolder folder;
  const ModelFile model = SmallModel();
  ASSERT_TRUE(WriteSolutionFile(folder.File("solved.umb"), model, Solve(model, kDiscounted)).ok());
  const auto read = ReadModelFile(folder.File("solved.umb"));
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(RowsOf(read->mdp), RowsOf(model.mdp));
  EXPECT_EQ(read->is_absorbing, model.is_absorbing);
  EXPECT_EQ(read->initial, model.initial);
  EXPECT_EQ(read->name, model.name);
  const auto value = ReadModelFile(folder.File("solved.umb"), {.reward = "value"});
  EXPECT_THAT(std::string(value.status().message()), HasSubstr(R"(reward is "value", accepted: one of "reward")"));
  // Written again, the model is without its solution.
  ASSERT_TRUE(WriteModelFile(folder.File("again.umb"), *read).ok());
  const auto none = ReadSolutionFile(folder.File("again.umb"));
  EXPECT_EQ(none.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(none.status().message(), R"(solution is "missing", accepted: a UMB archive with a solution)");
}

TEST(SolutionFile, AStateWithoutActionsHasTheChoiceThatIsWrittenForIt) {
  const TempFolder folder;
  const ModelFile model = SmallModel(true);
  const SolutionFile solution = Solve(model, kDiscounted);
  EXPECT_EQ(solution.solution.policy[2], -1);
  ASSERT_TRUE(WriteSolutionFile(folder.File("solved.umb"), model, solution).ok());
  const auto read = ReadSolutionFile(folder.File("solved.umb"));
  ASSERT_TRUE(read.ok()) << read.status();
  SolutionFile wanted = solution;
  wanted.solution.policy[2] = 0;
  wanted.solution.optimal_actions.push_back(0);
  ++wanted.solution.optimal_begin[3];
  ExpectSame(*read, wanted);
}

TEST(SolutionFile, WhatDoesNotFitTheModelIsNotWritten) {
  const TempFolder folder;
  const ModelFile model = SmallModel();
  const SolutionFile solution = Solve(model, kDiscounted);
  const auto error = [&](const std::string& name, const std::function<void(ModelSolution&)>& change) {
    SolutionFile changed = solution;
    change(changed.solution);
    const absl::Status status = WriteSolutionFile(folder.File(name), model, changed);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_TRUE(folder.Names().empty());
    return std::string(status.message());
  };
  EXPECT_EQ(error("x.csv", [](ModelSolution&) {}), R"(extension of the solution file is ".csv", accepted: .umb)");
  EXPECT_EQ(error("x.umb", [](ModelSolution& s) { s.upper.pop_back(); }),
            R"(solution values is "2 numbers", accepted: 3, one a state)");
  EXPECT_EQ(error("x.umb", [](ModelSolution& s) { s.lower[1] = -INFINITY; }),
            R"(solution values is "-inf in state 1", accepted: finite numbers)");
  EXPECT_EQ(error("x.umb", [](ModelSolution& s) { s.error = NAN; }),
            R"(solution error is "nan", accepted: a finite number)");
  EXPECT_EQ(error("x.umb", [](ModelSolution& s) { s.policy.clear(); }),
            R"(solution policy is "0 actions", accepted: 3, one a state)");
  EXPECT_EQ(error("x.umb", [](ModelSolution& s) { s.policy[1] = 2; }),
            R"(solution action is "2 in state 1", accepted: 0 to 1)");
  EXPECT_EQ(error("x.umb", [](ModelSolution& s) { s.policy[1] = -1; }),
            R"(solution action is "-1 in state 1", accepted: 0 to 1)");
  EXPECT_EQ(error("x.umb", [](ModelSolution& s) { s.optimal_actions[0] = 9; }),
            R"(solution action is "9 in state 0", accepted: 0 to 1)");
  EXPECT_EQ(error("x.umb", [](ModelSolution& s) { s.optimal_begin[1] = 100; }),
            R"(solution optimal actions is "lists of other states", accepted: a list for each state)");
  const absl::Status nowhere = WriteSolutionFile("/nonexistent/x.umb", model, solution);
  EXPECT_EQ(nowhere.code(), absl::StatusCode::kFailedPrecondition);
}

// Changes one entry of an archive, and says what reading its solution says.
class SolutionEntryTest : public ArchiveTest {
 protected:
  SolutionEntryTest() {
    EXPECT_TRUE(WriteSolutionFile(folder_.File("solved.umb"), SmallModel(), solution_).ok());
    TakeEntries(folder_.File("solved.umb"));
  }

  absl::StatusOr<SolutionFile> Read() const { return ReadSolutionFile(Written()); }
  std::string Error() const { return ErrorOf(Read()); }
  // Changes what index.json says of the solution.
  std::string ErrorWith(const std::string& field, const nlohmann::json& value) {
    const std::string kept = entries_["index.json"];
    auto index = nlohmann::json::parse(kept);
    auto& about = index["file-data"]["parameters"]["solution"];
    about[field] = value;
    if (value.is_null()) about.erase(field);
    entries_["index.json"] = index.dump();
    const std::string error = Error();
    entries_["index.json"] = kept;
    return error;
  }

  SolutionFile solution_ = Solve(SmallModel(), kDiscounted);
};

TEST_F(SolutionEntryTest, UnchangedIsTheSolution) {
  const auto read = Read();
  ASSERT_TRUE(read.ok()) << read.status();
  ExpectSame(*read, solution_);
}

TEST_F(SolutionEntryTest, ArraysHaveTheirSize) {
  for (const std::string name :
       {"value/states", "lower/states", "upper/states", "policy/choices", "optimal-actions/choices"}) {
    const std::string entry = "annotations/solution/" + name + "/values.bin";
    const std::string kept = entries_.at(entry);
    entries_[entry] += '\0';
    EXPECT_THAT(Error(), StartsWith(entry + " is \"")) << "one byte more";
    entries_[entry] = kept.substr(0, kept.size() - 8);
    EXPECT_THAT(Error(), StartsWith(entry + " is \"")) << "one value less";
    entries_.erase(entry);
    EXPECT_EQ(Error(), entry + R"( is "missing", accepted: an array)");
    entries_[entry] = kept;
  }
}

TEST_F(SolutionEntryTest, NumbersAreFiniteAndInOrder) {
  const std::string value = "annotations/solution/value/states/values.bin";
  Set<double>(value, 1, NAN);
  EXPECT_EQ(Error(), R"(annotation "value" of state 1 is "nan", accepted: a finite number)");
  Set<double>(value, 1, 1e9);
  EXPECT_THAT(Error(), AllOf(StartsWith("solution of state 1 is \"1000000000 in ["), HasSubstr("within its bounds")));
  Set<double>(value, 1, solution_.solution.values[1]);
  // Bounds that are wider than the error that is claimed.
  Set<double>("annotations/solution/lower/states/values.bin", 1, -1e9);
  EXPECT_THAT(Error(), HasSubstr("accepted: a value within its bounds, and those within "));
}

TEST_F(SolutionEntryTest, EveryStateHasOneAction) {
  // Choices 0 and 1 are of state 0.
  Set<uint64_t>("annotations/solution/policy/choices/values.bin", 0, 0b10111);
  EXPECT_EQ(Error(), R"(policy of state 0 is "several actions", accepted: one action)");
  Set<uint64_t>("annotations/solution/policy/choices/values.bin", 0, 0b10101);
  EXPECT_TRUE(Read().ok());
  Set<uint64_t>("annotations/solution/policy/choices/values.bin", 0, 0b00101);
  EXPECT_EQ(Error(), R"(policy of state 2 is "no action", accepted: one action)");
}

TEST_F(SolutionEntryTest, TheCertificateIsChecked) {
  EXPECT_EQ(ErrorWith("criterion", "best"),
            R"(solution criterion is "best", accepted: discounted, average, total, finite)");
  EXPECT_EQ(ErrorWith("objective", 3), R"(solution objective is "3", accepted: a text)");
  EXPECT_EQ(ErrorWith("method", "auto"),
            R"(solution method is "auto", accepted: value-iteration, gauss-seidel, anderson, )"
            "modified-policy-iteration, policy-iteration, topological, backward-induction");
  EXPECT_EQ(ErrorWith("stop-reason", "tired"),
            R"(solution stop-reason is "tired", accepted: converged, iteration limit, precision limit, cancelled, )"
            "time limit");
  EXPECT_EQ(ErrorWith("error", -1), R"(solution error is "-1", accepted: a finite number from 0)");
  EXPECT_EQ(ErrorWith("error", "small"), R"(solution error is "small", accepted: a finite number from 0)");
  EXPECT_EQ(ErrorWith("epsilon", nullptr), R"(solution epsilon is "missing", accepted: a finite number from 0)");
  EXPECT_THAT(ErrorWith("one-minus-gamma", true), HasSubstr(R"(one-minus-gamma is "true")"));
  EXPECT_THAT(ErrorWith("sweeps", 1.5), HasSubstr(R"(solution sweeps is "1.5", accepted: a whole number)"));
  EXPECT_THAT(ErrorWith("horizon", -1), HasSubstr(R"(solution horizon is "-1", accepted: a whole number)"));
  EXPECT_THAT(ErrorWith("end-components", -1), HasSubstr(R"(solution end-components is "-1")"));
  EXPECT_THAT(ErrorWith("action-gap", -1), HasSubstr(R"(solution action-gap is "-1")"));
}

TEST(BrokenSolution, CutOffOrBentItIsAnErrorOrASoundSolution) {
  const TempFolder folder;
  const ModelFile model = SmallModel();
  const std::string path = folder.File("solved.umb");
  ASSERT_TRUE(WriteSolutionFile(path, model, Solve(model, kDiscounted)).ok());
  const std::string whole = ReadBytes(path);
  int errors = 0;
  const auto read = [&] {
    const auto file = ReadSolutionFile(path);
    if (!file.ok()) {
      EXPECT_FALSE(file.status().message().empty());
      ++errors;
      return;
    }
    const ModelSolution& solution = file->solution;
    const size_t n = solution.values.size();
    EXPECT_TRUE(solution.lower.size() == n && solution.upper.size() == n && solution.policy.size() == n);
    EXPECT_TRUE(std::isfinite(solution.error));
    for (size_t s = 0; s < n; ++s) EXPECT_TRUE(solution.lower[s] <= solution.upper[s]);
  };
  for (size_t i = 0; i < whole.size(); ++i) {
    // The padding after a header or an entry says nothing: some of it is enough.
    if (whole.compare(i < 64 ? 0 : i - 64, 128, std::string(128, '\0')) == 0 && i % 61 != 0) continue;
    for (const int flip : {0x01, 0x80, 0xff}) {
      std::fstream file(path, std::ios::binary | std::ios::in | std::ios::out);
      file.seekp(static_cast<std::streamoff>(i)).put(static_cast<char>(whole[i] ^ flip)).flush();
      read();
      file.seekp(static_cast<std::streamoff>(i)).put(whole[i]).flush();
    }
  }
  EXPECT_GT(errors, 1000);
  errors = 0;
  for (size_t size = whole.size(); size > 0; size -= size % 512 == 0 ? 1 : 511) {
    std::filesystem::resize_file(path, size);
    read();
  }
  EXPECT_GT(errors, 20);
}

}  // namespace
}  // namespace berth::mdp

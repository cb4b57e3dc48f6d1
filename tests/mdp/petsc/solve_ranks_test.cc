// berth-solve-mpi as a user runs it, under mpirun on this machine: any number of ranks gives what one process gives.
// Every run is bounded in time, so that ranks that wait for each other fail a test and don't hang it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/rng.h"
#include "fmt/format.h"
#include "mdp/files/model_file.h"
#include "mdp/petsc/model_part.h"
#include "mdp/solve.h"
#include "mdp/support.h"
#include "nlohmann/json.hpp"
#include "support/shared_data.h"
#include "support/temp_file.h"

namespace berth::mdp {
namespace {

using nlohmann::json;
using testing::HasSubstr;

constexpr int kTimedOut = 124;  // of coreutils' timeout
// Loopback alone, and as root too, as containers run.
constexpr char kMpirun[] =
    "timeout --kill-after=5 120 env OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 " BERTH_MPIEXEC
    " --oversubscribe --mca btl self,vader --mca btl_vader_single_copy_mechanism none ";

struct Ran {
  int code = -1;
  std::string out, err;
};

Ran Execute(const std::string& command) {
  const test::TempFile err("");
  Ran ran;
  std::FILE* const pipe = popen((command + " 2>" + err.path()).c_str(), "r");
  if (pipe == nullptr) return ran;
  char block[4096];
  for (size_t n = 0; (n = std::fread(block, 1, sizeof block, pipe)) > 0;) ran.out.append(block, n);
  const int status = pclose(pipe);
  ran.code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  std::ifstream in(err.path());
  ran.err.assign(std::istreambuf_iterator<char>(in), {});
  return ran;
}

std::string Program() {
  const char* bin = std::getenv("BERTH_BIN_DIR");
  return std::string(bin != nullptr ? bin : "build/release/bin") + "/berth-solve-mpi";
}

Ran Solve(int ranks, const std::string& flags) {
  return Execute(fmt::format("{} -n {} {} --json {}", kMpirun, ranks, Program(), flags));
}

// A file of the model with the extension that says its format.
class WrittenModel {
 public:
  WrittenModel(const SparseMdp& mdp, const std::string& extension) : placeholder_("") {
    path_ = placeholder_.path() + extension;
    const absl::Status status = WriteModelFile(path_, {.mdp = mdp});
    EXPECT_TRUE(status.ok()) << status;
  }
  ~WrittenModel() { std::remove(path_.c_str()); }
  WrittenModel(const WrittenModel&) = delete;
  WrittenModel& operator=(const WrittenModel&) = delete;
  const std::string& path() const { return path_; }

 private:
  test::TempFile placeholder_;  // keeps the name ours
  std::string path_;
};

struct Answer {
  std::vector<double> value, lower, upper;
  std::vector<int32_t> policy;
  double error = 0;
  int64_t rounds = 0;
  std::string stop;
};

std::optional<Answer> ParseAnswer(const Ran& ran) {
  EXPECT_EQ(ran.code, 0) << ran.err;
  const json answer = json::parse(ran.out, nullptr, false);
  if (answer.is_discarded()) return std::nullopt;
  const json& r = answer["results"][0];
  EXPECT_EQ(r["method"], "policy-iteration-mpi");
  return Answer{r["value"], r["lower"], r["upper"], r["policy"], r["error"], r["sweeps"], r["stop_reason"]};
}

// The checker: what is wrong with the answer of the ranks beside that of one process; empty: nothing.
std::string Difference(const SparseMdp& mdp, const Answer& answer, const ModelSolution& one) {
  if (answer.value.size() != one.values.size()) return "number of values";
  for (size_t s = 0; s < answer.value.size(); ++s) {
    if (!(std::abs(answer.value[s] - one.values[s]) <= answer.error + one.error)) return fmt::format("value {}", s);
    const bool is_common = answer.lower[s] <= one.upper[s] && one.lower[s] <= answer.upper[s];
    if (!(is_common && answer.lower[s] <= answer.value[s] && answer.value[s] <= answer.upper[s])) {
      return fmt::format("bounds of {}", s);
    }
    const auto state = static_cast<StateIndex>(s);
    bool is_listed = mdp.is_terminal(state) && answer.policy[s] == -1;
    for (const int32_t action : one.optimal(state)) {
      is_listed = is_listed || answer.policy[s] == mdp.ActionNumber(state, action);
    }
    if (!is_listed) return fmt::format("action of {}", s);
  }
  return "";
}

SparseMdp Garnet(StateIndex states, int32_t actions, int successors, uint64_t seed) {
  Rng rng(seed);
  SparseMdpBuilder builder(states);
  std::vector<Transition> row;
  for (StateIndex s = 0; s < states; ++s) {
    for (int32_t a = 0; a < actions; ++a) {
      row.clear();
      double sum = 0;
      while (row.size() < static_cast<size_t>(successors)) {
        const auto next = static_cast<StateIndex>(rng.Below(static_cast<uint64_t>(states)));
        if (std::any_of(row.begin(), row.end(), [&](const Transition& t) { return t.next == next; })) continue;
        row.push_back({next, rng.Exponential(1)});
        sum += row.back().weight;
      }
      for (Transition& t : row) t.weight /= sum;
      EXPECT_TRUE(builder.AddAction(s, a, rng.Uniform(), row).ok());
    }
  }
  return *std::move(builder).Build();
}

// By both Krylov methods the same as SolveModel, the same number of rounds, and where there is no tie the same policy.
void ExpectEqualsOneProcess(const SparseMdp& mdp, const std::string& path, const Criterion& criterion, double epsilon,
                            const std::vector<int>& ranks) {
  ModelSolveOptions options;
  options.epsilon = epsilon;
  const auto one = SolveModel(mdp, criterion, Method::kAuto, options);
  ASSERT_TRUE(one.ok()) << one.status();
  for (const char* krylov : {"bicgstab", "gmres"}) {
    std::optional<Answer> first;
    for (const int n : ranks) {
      SCOPED_TRACE(fmt::format("{}, {} ranks", krylov, n));
      const auto answer = ParseAnswer(Solve(
          n, fmt::format("--model {} --one-minus-gamma {} --epsilon {} --krylov {} {}", path, criterion.one_minus_gamma,
                         epsilon, krylov, criterion.objective == Objective::kMinimize ? "--minimize" : "")));
      ASSERT_TRUE(answer.has_value());
      EXPECT_EQ(answer->stop, "converged");
      EXPECT_LE(answer->error, epsilon);
      EXPECT_EQ(Difference(mdp, *answer, *one), "");
      if (!first) first = answer;
      for (size_t s = 0; s < first->policy.size(); ++s) {
        const bool is_tie = one->optimal(static_cast<StateIndex>(s)).size() > 1;
        EXPECT_TRUE(is_tie || answer->policy[s] == first->policy[s]) << "state " << s;
      }
      EXPECT_EQ(answer->rounds, first->rounds);
    }
  }
}

class OracleTest : public testing::TestWithParam<const char*> {};

TEST_P(OracleTest, AnyNumberOfRanksEqualsOneProcess) {
  const std::string relative = fmt::format("mdp-oracles/{}.json", GetParam());
  BERTH_REQUIRE_SHARED_DATA(relative);
  const std::string path = *test::SharedData(relative);
  const auto file = ReadModelFile(path);
  ASSERT_TRUE(file.ok() && file->criterion) << file.status();
  // Five ranks: one of them at least has no states, for the oracle of four.
  const double epsilon = file->criterion->one_minus_gamma < 1e-4 ? 2e-8 : 1e-8;
  ExpectEqualsOneProcess(file->mdp, path, *file->criterion, epsilon, {1, 2, 3, 5});
}

INSTANTIATE_TEST_SUITE_P(MdpOracles, OracleTest,
                         testing::Values("ties-discounted", "near-one-discounted", "unreachable-discounted"),
                         [](const auto& test) {
                           std::string name = test.param;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

TEST(SolveOverRanks, TwoAndThreeRanksEqualOneProcessOnALargeGarnet) {
  const SparseMdp mdp = Garnet(20'000, 4, 5, 1);
  const WrittenModel file(mdp, ".umb");
  ExpectEqualsOneProcess(mdp, file.path(), {.one_minus_gamma = 0.01}, 1e-6, {1, 2, 3});
}

TEST(SolveOverRanks, TerminalStatesAndCostsAreKept) {
  Rng rng(7);
  PlainModel plain = RandomModel(rng, 30, 3, 4);
  plain[0].clear();
  plain[17].clear();
  const auto mdp = BuildFrom(plain);
  ASSERT_TRUE(mdp.ok()) << mdp.status();
  const WrittenModel file(*mdp, ".csv");
  for (const Objective objective : {Objective::kMaximize, Objective::kMinimize}) {
    ExpectEqualsOneProcess(*mdp, file.path(), {.one_minus_gamma = 0.001, .objective = objective}, 1e-8, {1, 2, 3});
  }
}

TEST(SolveOverRanks, RatesThatDifferByOrdersAreSolved) {
  Rng rng(8);
  PlainModel plain = RandomModel(rng, 40, 3, 3);
  for (auto& actions : plain) {
    const double rate = std::pow(10.0, 4 * rng.Uniform() - 2);
    for (PlainAction& action : actions) {
      for (Transition& t : action.to) t.weight *= rate;
    }
  }
  const auto mdp = BuildFrom(plain, RowKind::kRate);
  ASSERT_TRUE(mdp.ok()) << mdp.status();
  const WrittenModel file(*mdp, ".csv");
  ExpectEqualsOneProcess(*mdp, file.path(), {.one_minus_gamma = 1e-3}, 1e-6, {1, 2});
}

// States that move in small steps: the width of the certificate grows before it shrinks.
TEST(SolveOverRanks, ALongWalkIsSolved) {
  constexpr StateIndex kStates = 500;
  SparseMdpBuilder builder(kStates);
  for (StateIndex s = 0; s < kStates; ++s) {
    const StateIndex up = std::min(s + 1, kStates - 1), down = std::max(s - 1, 0);
    for (int32_t a = 0; a < 2; ++a) {
      const double p = a == 0 ? 0.55 : 0.4;
      ASSERT_TRUE(builder.AddAction(s, a, s == kStates - 1 ? 1 : a == 0 ? -0.01 : 0, {{up, p}, {down, 1 - p}}).ok());
    }
  }
  const SparseMdp mdp = *std::move(builder).Build();
  const WrittenModel file(mdp, ".umb");
  ExpectEqualsOneProcess(mdp, file.path(), {.one_minus_gamma = 1e-3}, 1e-5, {1, 2});
}

TEST(SolveOverRanks, RanksWithoutStatesDoNoHarm) {
  SparseMdpBuilder builder(1);
  ASSERT_TRUE(builder.AddAction(0, 3, 1, {{0, 1.0}}).ok());
  ASSERT_TRUE(builder.AddAction(0, 5, 2, {{0, 1.0}}).ok());
  const SparseMdp mdp = *std::move(builder).Build();
  const WrittenModel file(mdp, ".csv");
  ExpectEqualsOneProcess(mdp, file.path(), {.one_minus_gamma = 0.1}, 1e-9, {1, 3});
}

TEST(SolveOverRanks, TheCertificateOfGivenValuesIsTheSameBitForBit) {
  const SparseMdp mdp = Garnet(500, 3, 4, 2);
  const WrittenModel file(mdp, ".umb");
  std::optional<Answer> first;
  for (const int ranks : {1, 2, 3}) {
    // Out of time at once: the bounds are those of the values to start from.
    const auto answer = ParseAnswer(Solve(ranks, "--one-minus-gamma 0.01 --time-limit 1e-9 --model " + file.path()));
    ASSERT_TRUE(answer.has_value());
    EXPECT_EQ(answer->stop, "time limit");
    if (!first) first = answer;
    EXPECT_EQ(answer->value, first->value);
    EXPECT_EQ(answer->lower, first->lower);
    EXPECT_EQ(answer->upper, first->upper);
    EXPECT_EQ(answer->policy, first->policy);
    EXPECT_EQ(answer->error, first->error);
  }
}

TEST(SolveOverRanks, BoundsHoldWhereRoundsRunOut) {
  const SparseMdp mdp = Garnet(500, 3, 4, 3);
  const WrittenModel file(mdp, ".umb");
  const auto exact = SolveModel(mdp, {.one_minus_gamma = 0.01}, Method::kPolicyIteration, {});
  ASSERT_TRUE(exact.ok()) << exact.status();
  const auto answer = ParseAnswer(Solve(2, "--one-minus-gamma 0.01 --max-rounds 1 --model " + file.path()));
  ASSERT_TRUE(answer.has_value());
  EXPECT_EQ(answer->stop, "iteration limit");
  EXPECT_GT(answer->error, 1e-6);
  for (size_t s = 0; s < answer->value.size(); ++s) {
    EXPECT_LE(answer->lower[s], exact->upper[s]) << s;
    EXPECT_GE(answer->upper[s], exact->lower[s]) << s;
  }
}

TEST(SolveOverRanks, WhatDoublesCannotCertifyEndsAtThePrecisionLimit) {
  const SparseMdp mdp = Garnet(500, 3, 4, 4);
  const WrittenModel file(mdp, ".umb");
  const auto answer = ParseAnswer(Solve(2, "--one-minus-gamma 1e-6 --epsilon 0 --model " + file.path()));
  ASSERT_TRUE(answer.has_value());
  EXPECT_EQ(answer->stop, "precision limit");
  EXPECT_LT(answer->error, 1e-6);
}

TEST(SolveOverRanks, NoValuesLeavesTheVectorsOut) {
  const WrittenModel file(Garnet(50, 2, 3, 5), ".umb");
  const Ran ran = Solve(2, "--one-minus-gamma 0.01 --no-values --model " + file.path());
  ASSERT_EQ(ran.code, 0) << ran.err;
  const json answer = json::parse(ran.out, nullptr, false);
  ASSERT_FALSE(answer.is_discarded());
  EXPECT_FALSE(answer["results"][0].contains("value"));
  EXPECT_FALSE(answer["results"][0].contains("policy"));
  EXPECT_EQ(answer["results"][0]["ranks"], 2);
  EXPECT_LE(answer["results"][0]["error"].get<double>(), 1e-6);
}

TEST(SolveOverRanks, ABadFileEndsAllRanksWithOneMessageAndOneCode) {
  for (const char* text : {"state,action,next,probability,reward\n0,0,0,0.5,1\n", "no model\n", ""}) {
    const test::TempFile named("");
    const std::string path = named.path() + ".csv";
    std::ofstream(path) << text;
    const absl::Status expected = ReadModelFile(path).status();
    ASSERT_FALSE(expected.ok());
    for (const int ranks : {1, 2, 3}) {
      const Ran ran = Solve(ranks, "--one-minus-gamma 0.01 --model " + path);
      EXPECT_NE(ran.code, kTimedOut);
      EXPECT_EQ(ran.code, 2) << ran.err;
      const std::string line = fmt::format("berth-solve-mpi: {}\n", std::string(expected.message()));
      EXPECT_THAT(ran.err, HasSubstr(line));
      EXPECT_EQ(ran.err.find("berth-solve-mpi: "), ran.err.rfind("berth-solve-mpi: ")) << ran.err;
      EXPECT_EQ(ran.out, "");
    }
    std::remove(path.c_str());
  }
}

TEST(SolveOverRanks, WrongFlagsAndCriteriaAreRefusedByName) {
  const WrittenModel file(Garnet(50, 2, 3, 5), ".umb");
  const struct {
    const char* flags;
    int code;
    const char* message;
  } cases[] = {
      {"--average", 1, "criterion is average, accepted: discounted"},
      {"--total", 1, "criterion is total, accepted: discounted"},
      {"", 2, "criterion is \"none\", accepted: --one-minus-gamma"},
      {"--average --one-minus-gamma 0.1", 2, "criterion is \"more than one\", accepted: --one-minus-gamma"},
      {"--one-minus-gamma 1.5", 2, "1 - gamma is 1.5, accepted: above 0, at most 1"},
      {"--one-minus-gamma 0.1 --epsilon nan", 2, "epsilon is \"nan\", accepted: a finite number >= 0"},
      {"--one-minus-gamma 0.1 --max-rounds 0", 2, "max rounds is \"0\", accepted: 1 or more"},
      {"--one-minus-gamma 0.1 --time-limit -1", 2, "time limit is \"-1\", accepted: above 0"},
      {"--one-minus-gamma 0.1 --krylov lu", 2, "--krylov"},
  };
  for (const auto& c : cases) {
    const Ran ran = Solve(2, fmt::format("--model {} {}", file.path(), c.flags));
    EXPECT_EQ(ran.code, c.code) << c.flags;
    EXPECT_THAT(ran.err, HasSubstr(c.message)) << c.flags;
  }
}

TEST(SolveOverRanks, ARankThatDiesEndsAll) {
  const WrittenModel file(Garnet(50, 2, 3, 5), ".umb");
  const Ran ran = Execute(
      fmt::format("{} -n 1 {} --one-minus-gamma 0.01 --model {} : -n 1 /bin/false", kMpirun, Program(), file.path()));
  EXPECT_NE(ran.code, kTimedOut);
  EXPECT_NE(ran.code, 0);
}

TEST(SolveOverRanks, TheCheckerSeesAWrongValueBoundAndAction) {
  const SparseMdp mdp = Garnet(50, 2, 3, 5);
  const auto one = SolveModel(mdp, {.one_minus_gamma = 0.01}, Method::kAuto, {});
  ASSERT_TRUE(one.ok()) << one.status();
  Answer answer{one->values, one->lower, one->upper, one->policy, one->error, 1, "converged"};
  EXPECT_EQ(Difference(mdp, answer, *one), "");
  Answer wrong = answer;
  wrong.value[3] += 3 * one->error + 1e-9;
  EXPECT_EQ(Difference(mdp, wrong, *one), "value 3");
  wrong = answer;
  wrong.lower[4] = one->upper[4] + 1e-6;
  EXPECT_EQ(Difference(mdp, wrong, *one), "bounds of 4");
  wrong = answer;
  wrong.policy[5] = 1 - wrong.policy[5];
  EXPECT_EQ(Difference(mdp, wrong, *one), "action of 5");
}

TEST(SplitStates, RunsCoverAllStatesAndShareTheTransitions) {
  const SparseMdp mdp = Garnet(1000, 3, 4, 6);
  for (const int ranks : {1, 2, 3, 7, 1500}) {
    const std::vector<StateIndex> begin = internal::SplitStates(mdp, ranks);
    ASSERT_EQ(begin.size(), static_cast<size_t>(ranks) + 1);
    EXPECT_EQ(begin.front(), 0);
    EXPECT_EQ(begin.back(), 1000);
    for (size_t r = 0; r + 1 < begin.size(); ++r) {
      EXPECT_LE(begin[r], begin[r + 1]);
      EXPECT_LE(begin[r + 1] - begin[r], 1000 / ranks + 1);
    }
  }
}

}  // namespace
}  // namespace berth::mdp

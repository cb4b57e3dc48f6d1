// A model that is written and read is the same model, for every format and for random models of every kind.
#include <algorithm>
#include <cmath>
#include <set>

#include "mdp/files/support.h"

namespace berth::mdp {
namespace {

using testing::HasSubstr;
using testing::UnorderedElementsAre;

// `gaps`: numbers of actions that are not 0, 1, 2, ...
std::vector<PlainRow> RandomRows(Rng& rng, StateIndex num_states, RowKind kind, bool gaps, int32_t max_actions = 3) {
  std::vector<PlainRow> rows;
  for (StateIndex s = 0; s < num_states; ++s) {
    int32_t action = 0;
    for (int32_t left = 1 + static_cast<int32_t>(rng.Below(max_actions)); left > 0; --left) {
      if (gaps) action += static_cast<int32_t>(rng.Below(3));
      PlainRow& row = rows.emplace_back(PlainRow{s, action++, 200 * rng.Uniform() - 100});
      std::set<StateIndex> successors;
      for (uint64_t k = 1 + rng.Below(4); k > 0; --k) successors.insert(static_cast<StateIndex>(rng.Below(num_states)));
      double sum = 0;
      for (const StateIndex next : successors) {
        row.to.push_back({next, kind == RowKind::kRate ? 10 * rng.Uniform() : 0.01 + rng.Uniform()});
        sum += row.to.back().weight;
      }
      std::reverse(row.to.begin(), row.to.end());  // the order within a row is the caller's, and kept
      for (Transition& t : row.to) t.weight /= kind == RowKind::kRate ? 1 : sum;
    }
  }
  return rows;
}

class RoundTrip : public testing::TestWithParam<const char*> {
 protected:
  std::string extension() const { return GetParam(); }
  bool keeps_gaps() const { return extension() == "umb" || extension() == "csv"; }
  // What comes back; the test has failed where it is nothing.
  absl::StatusOr<ModelFile> Pass(const ModelFile& model, const ReadOptions& options = {}) const {
    const std::string path = folder_.File("model." + extension());
    if (auto status = WriteModelFile(path, model); !status.ok()) return status;
    return ReadModelFile(path, options);
  }
  TempFolder folder_;
};

TEST_P(RoundTrip, GivesTheSameProbabilitiesAndRewardsBitForBit) {
  Rng rng(20261129);
  for (int round = 0; round < 100; ++round) {
    const auto num_states = static_cast<StateIndex>(1 + rng.Below(70));
    auto mdp =
        BuildRows(num_states, RandomRows(rng, num_states, RowKind::kProbability, keeps_gaps() && round % 2 == 0));
    ASSERT_TRUE(mdp.ok()) << mdp.status();
    ModelFile model{.mdp = *std::move(mdp)};
    const bool has_absorbing = rng.Below(2) == 0;
    for (StateIndex s = 0; s < num_states && has_absorbing; ++s)
      model.is_absorbing.push_back(s == 0 || rng.Below(4) == 0);
    model.initial = extension() == "csv" ? 0 : static_cast<StateIndex>(rng.Below(num_states));
    const auto read = Pass(model);
    ASSERT_TRUE(read.ok()) << read.status();
    ASSERT_EQ(read->mdp.num_states(), num_states);
    EXPECT_EQ(read->mdp.kind(), RowKind::kProbability);
    ASSERT_EQ(RowsOf(read->mdp), RowsOf(model.mdp));
    EXPECT_EQ(read->is_absorbing, model.is_absorbing);
    EXPECT_EQ(read->initial, model.initial);
    EXPECT_FALSE(read->criterion.has_value());
  }
}

class RatesRoundTrip : public RoundTrip {};

TEST_P(RatesRoundTrip, GivesTheSameRates) {
  Rng rng(7);
  for (int round = 0; round < 100; ++round) {
    const auto num_states = static_cast<StateIndex>(1 + rng.Below(40));
    std::vector<PlainRow> rows = RandomRows(rng, num_states, RowKind::kRate, false, round % 2 == 0 ? 1 : 3);
    if (extension() == "tra") {
      for (PlainRow& row : rows) row.reward = row.state;  // its reward rates are of states
    }
    auto mdp = BuildRows(num_states, rows, RowKind::kRate);
    ASSERT_TRUE(mdp.ok()) << mdp.status();
    const ModelFile model{.mdp = *std::move(mdp)};
    const auto read = Pass(model, {.tra_kind = RowKind::kRate});
    ASSERT_TRUE(read.ok()) << read.status();
    EXPECT_EQ(read->mdp.kind(), RowKind::kRate);
    const std::vector<PlainRow> got = RowsOf(read->mdp);
    const std::vector<PlainRow> wanted = RowsOf(model.mdp);
    if (extension() != "umb") {
      ASSERT_EQ(got, wanted);
      continue;
    }
    // exit rate * (rate / exit rate) rounds, and an action slower than the others of its state stays for the rest.
    ASSERT_EQ(got.size(), wanted.size());
    for (size_t i = 0; i < got.size(); ++i) {
      EXPECT_NEAR(got[i].reward, wanted[i].reward, 1e-13);
      std::vector<double> dense(num_states, 0);
      for (const Transition& t : got[i].to) dense[t.next] += t.next == got[i].state ? 0 : t.weight;
      for (const Transition& t : wanted[i].to) dense[t.next] -= t.next == got[i].state ? 0 : t.weight;
      for (const double difference : dense) EXPECT_NEAR(difference, 0, 1e-13);
    }
  }
}

TEST_P(RoundTrip, KeepsStatesThatAreNeverLeft) {
  auto mdp = BuildRows(3, {{0, 0, 1.5, {{1, 0.25}, {2, 0.75}}}, {1, 0, -2, {{1, 1}}}}, RowKind::kProbability, {2});
  ASSERT_TRUE(mdp.ok()) << mdp.status();
  const ModelFile model{.mdp = *std::move(mdp)};
  const auto read = Pass(model);
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->is_absorbing, std::vector<bool>({false, false, true}));
  std::vector<PlainRow> wanted = RowsOf(model.mdp);
  if (extension() == "umb" || extension() == "tra") wanted.push_back({2, 0, 0, {{2, 1}}});
  EXPECT_EQ(RowsOf(read->mdp), wanted);
}

TEST_P(RoundTrip, GivesEqualBytesForEqualModelsAndLeavesNothingElse) {
  auto mdp = BuildRows(2, {{0, 0, 0.1, {{1, 1}}}, {1, 0, 1e-300, {{0, 1.0 / 3}, {1, 2.0 / 3}}}});
  ASSERT_TRUE(mdp.ok()) << mdp.status();
  const ModelFile model{.mdp = *std::move(mdp), .name = "two"};
  const std::string path = folder_.File("model." + extension());
  ASSERT_TRUE(WriteModelFile(path, model).ok());
  const std::string first = ReadBytes(path);
  ASSERT_TRUE(WriteModelFile(path, model).ok());
  EXPECT_EQ(ReadBytes(path), first);
  if (extension() == "tra") {
    EXPECT_THAT(folder_.Names(), UnorderedElementsAre("model.tra", "model.srew", "model.trew", "model.lab"));
  } else {
    EXPECT_THAT(folder_.Names(), UnorderedElementsAre("model." + extension()));
  }
  const auto read = ReadModelFile(path);
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(RowsOf(read->mdp), RowsOf(model.mdp));
  EXPECT_EQ(read->name, extension() == "umb" || extension() == "json" ? "two" : "model");
}

TEST_P(RoundTrip, AFailedWriteLeavesNothing) {
  auto mdp = BuildRows(1, {{0, 0, 0, {{0, 1}}}});
  ASSERT_TRUE(mdp.ok()) << mdp.status();
  const absl::Status status = WriteModelFile(folder_.File("absent/model." + extension()), {.mdp = *std::move(mdp)});
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()), HasSubstr("can't be written"));
  EXPECT_THAT(folder_.Names(), testing::IsEmpty());
}

INSTANTIATE_TEST_SUITE_P(Formats, RatesRoundTrip, testing::Values("umb", "tra", "csv"),  // JSON has no rates
                         [](const auto& test) { return std::string(test.param); });
INSTANTIATE_TEST_SUITE_P(Formats, RoundTrip, testing::Values("umb", "tra", "csv", "json"),
                         [](const auto& test) { return std::string(test.param); });

TEST(RowsOf, TellsModelsApartThatDifferInTheLastBitOfANumber) {
  const double next = std::nextafter(0.25, 1);
  const auto rows = [](double reward, double probability, StateIndex to) {
    const auto mdp =
        BuildRows(2, {{0, 0, reward, {{to, probability}, {1 - to, 1 - probability}}}, {1, 0, 0, {{1, 1}}}});
    return RowsOf(*mdp);
  };
  EXPECT_EQ(rows(0.25, 0.25, 0), rows(0.25, 0.25, 0));
  EXPECT_NE(rows(0.25, 0.25, 0), rows(next, 0.25, 0));
  EXPECT_NE(rows(0.25, 0.25, 0), rows(0.25, next, 0));
  EXPECT_NE(rows(0.25, 0.25, 0), rows(0.25, 0.25, 1));
}

TEST(JsonRoundTrip, KeepsTheCriterionToTheLastBit) {
  const TempFolder folder;
  Rng rng(3);
  for (int round = 0; round < 200; ++round) {
    auto mdp = BuildRows(1, {{0, 0, 0, {{0, 1}}}});
    ASSERT_TRUE(mdp.ok()) << mdp.status();
    Criterion criterion{.kind = static_cast<CriterionKind>(round % 4),
                        .objective = round % 3 == 0 ? Objective::kMinimize : Objective::kMaximize};
    if (criterion.kind == CriterionKind::kFinite) criterion.horizon = 1 + static_cast<int64_t>(rng.Below(1000));
    if (criterion.kind == CriterionKind::kDiscounted || round % 8 == 3) {
      criterion.one_minus_gamma = round == 0 ? 1e-6 : round == 4 ? 1 : 1e-7 + rng.Uniform() / (1 + 1e5 * rng.Uniform());
    }
    const std::string path = folder.File("model.json");
    const absl::Status written = WriteModelFile(path, {.mdp = *std::move(mdp), .criterion = criterion});
    ASSERT_TRUE(written.ok()) << written;
    const auto read = ReadModelFile(path);
    ASSERT_TRUE(read.ok()) << read.status();
    ASSERT_TRUE(read->criterion.has_value());
    EXPECT_EQ(read->criterion->kind, criterion.kind);
    EXPECT_EQ(read->criterion->objective, criterion.objective);
    EXPECT_EQ(read->criterion->horizon, criterion.horizon);
    EXPECT_EQ(read->criterion->one_minus_gamma, criterion.one_minus_gamma);
  }
}

}  // namespace
}  // namespace berth::mdp

// Archives written by Storm 2.0.0 (data/README.md) hold what their models say.
#include <algorithm>

#include "mdp/files/support.h"
#include "mdp/files/tar.h"

namespace berth::mdp {
namespace {

using testing::HasSubstr;

std::vector<PlainRow> MdpRows(const std::vector<double>& rewards) {
  return {{0, 0, rewards[0], {{1, 0.5}, {2, 0.5}}},
          {0, 1, rewards[1], {{0, 0.75}, {3, 0.25}}},
          {1, 0, rewards[2], {{3, 1}}},
          {2, 0, rewards[3], {{0, 0.125}, {3, 0.875}}},
          {3, 0, rewards[4], {{3, 1}}}};
}

class StormMdp : public testing::TestWithParam<const char*> {};

TEST_P(StormMdp, HasItsRewardsOfStatesAndChoicesAdded) {
  const auto cost = ReadModelFile(DataFile(GetParam()), {.reward = "cost"});
  ASSERT_TRUE(cost.ok()) << cost.status();
  EXPECT_EQ(cost->mdp.num_states(), 4);
  auto rows = RowsOf(cost->mdp);
  std::vector<PlainRow> wanted = MdpRows({1.75, 0.75, 2, 3, 0});
  // The order within a row is Storm's.
  for (auto* list : {&rows, &wanted}) {
    for (PlainRow& row : *list) {
      std::sort(row.to.begin(), row.to.end(), [](const Transition& a, const Transition& b) { return a.next < b.next; });
    }
  }
  EXPECT_EQ(rows, wanted);
  EXPECT_EQ(cost->initial, 0);
  EXPECT_TRUE(cost->is_absorbing.empty());
  const auto time = ReadModelFile(DataFile(GetParam()), {.reward = "time", .absorbing_label = "goal"});
  ASSERT_TRUE(time.ok()) << time.status();
  EXPECT_EQ(time->mdp.Reward(0, 0), 1);
  EXPECT_EQ(time->mdp.Reward(3, 0), 0);
  EXPECT_EQ(time->is_absorbing, std::vector<bool>({false, false, false, true}));
}

TEST_P(StormMdp, AsksWhichReward) {
  const auto none = ReadModelFile(DataFile(GetParam()));
  EXPECT_THAT(std::string(none.status().message()), HasSubstr(R"(reward is "", accepted: one of "cost, time")"));
  const auto other = ReadModelFile(DataFile(GetParam()), {.reward = "money"});
  EXPECT_THAT(std::string(other.status().message()), HasSubstr(R"(reward is "money", accepted: one of "cost, time")"));
  const auto label = ReadModelFile(DataFile(GetParam()), {.reward = "cost", .absorbing_label = "end"});
  EXPECT_THAT(std::string(label.status().message()),
              HasSubstr(R"(absorbing label is "end", accepted: one of "deadlock, goal")"));
}

INSTANTIATE_TEST_SUITE_P(Compressions, StormMdp, testing::Values("storm-mdp.umb", "storm-mdp-xz.umb"),
                         [](const auto& test) { return std::string(test.index == 0 ? "gzip" : "xz"); });

TEST(StormChain, OfRatesHasExitRateTimesProbability) {
  const auto read = ReadModelFile(DataFile("storm-ctmc.umb"));
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->mdp.kind(), RowKind::kRate);
  const std::vector<PlainRow> wanted = {{0, 0, 0, {{1, 1.5}}}, {1, 0, 1, {{0, 2}, {2, 1.5}}}, {2, 0, 2, {{1, 2}}}};
  EXPECT_EQ(RowsOf(read->mdp), wanted);
}

TEST(StormChain, OfProbabilitiesHasOneActionAState) {
  const auto read = ReadModelFile(DataFile("storm-dtmc.umb"));
  ASSERT_TRUE(read.ok()) << read.status();
  const std::vector<PlainRow> wanted = {{0, 0, 3, {{1, 0.5}, {2, 0.5}}}, {1, 0, 0, {{2, 1}}}, {2, 0, 0, {{2, 1}}}};
  EXPECT_EQ(RowsOf(read->mdp), wanted);
}

TEST(WhatStormRead, IsWhatWeWrite) {
  const auto everything = [](std::string_view) { return true; };
  const auto read = ReadModelFile(DataFile("storm-mdp.umb"), {.reward = "cost", .absorbing_label = "goal"});
  ASSERT_TRUE(read.ok()) << read.status();
  const TempFolder folder;
  ASSERT_TRUE(WriteModelFile(folder.File("berth-mdp.umb"), *read).ok());
  const auto written = internal::ReadTar(folder.File("berth-mdp.umb"), 1 << 20, everything);
  const auto wanted = internal::ReadTar(DataFile("berth-mdp.umb"), 1 << 20, everything);
  ASSERT_TRUE(written.ok()) << written.status();
  ASSERT_TRUE(wanted.ok()) << wanted.status();
  EXPECT_EQ(*written, *wanted);
}

}  // namespace
}  // namespace berth::mdp

// The shared oracles (mdp-oracle-1) are read as what they say. Skipped where the shared data is absent.
#include "mdp/files/support.h"
#include "support/mdp_oracles.h"
#include "support/shared_data.h"

namespace berth::mdp {
namespace {

struct OracleFile {
  const char* name;
  StateIndex num_states;
  CriterionKind kind;
  double one_minus_gamma;
  int64_t horizon;
  Objective objective;
  std::vector<StateIndex> absorbing;
};

class OracleFileTest : public testing::TestWithParam<OracleFile> {};

TEST_P(OracleFileTest, SaysItsCriterionExactly) {
  const OracleFile& wanted = GetParam();
  const std::string relative = std::string("mdp-oracles/") + wanted.name + ".json";
  BERTH_REQUIRE_SHARED_DATA(relative);
  const auto read = ReadModelFile(*test::SharedData(relative));
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->name, wanted.name);
  EXPECT_EQ(read->initial, 0);
  ASSERT_EQ(read->mdp.num_states(), wanted.num_states);
  ASSERT_TRUE(read->criterion.has_value());
  EXPECT_EQ(read->criterion->kind, wanted.kind);
  EXPECT_EQ(read->criterion->one_minus_gamma, wanted.one_minus_gamma);
  EXPECT_EQ(read->criterion->horizon, wanted.horizon);
  EXPECT_EQ(read->criterion->objective, wanted.objective);
  std::vector<StateIndex> absorbing;
  for (size_t s = 0; s < read->is_absorbing.size(); ++s) {
    if (!read->is_absorbing[s]) continue;
    absorbing.push_back(static_cast<StateIndex>(s));
    EXPECT_GT(read->mdp.num_actions(static_cast<StateIndex>(s)), 0);
  }
  EXPECT_EQ(absorbing, wanted.absorbing);

  // Through every other format and back: the model alone.
  const TempFolder folder;
  for (const char* extension : {"umb", "tra", "csv", "json"}) {
    const std::string path = folder.File(std::string("oracle.") + extension);
    const absl::Status written = WriteModelFile(path, *read);
    ASSERT_TRUE(written.ok()) << written;
    const auto again = ReadModelFile(path);
    ASSERT_TRUE(again.ok()) << again.status();
    EXPECT_EQ(RowsOf(again->mdp), RowsOf(read->mdp)) << extension;
    EXPECT_EQ(again->is_absorbing, read->is_absorbing) << extension;
  }
}

constexpr auto kMax = Objective::kMaximize;
constexpr auto kMin = Objective::kMinimize;
INSTANTIATE_TEST_SUITE_P(
    MdpOracles, OracleFileTest,
    testing::Values(OracleFile{"ties-discounted", 4, CriterionKind::kDiscounted, 0.1, 0, kMax, {}},
                    OracleFile{"near-one-discounted", 5, CriterionKind::kDiscounted, 1e-6, 0, kMax, {}},
                    OracleFile{"absorbing-shortest-path", 8, CriterionKind::kTotal, 0, 0, kMin, {7}},
                    OracleFile{"unreachable-discounted", 10, CriterionKind::kDiscounted, 0.05, 0, kMax, {}},
                    OracleFile{"average-unichain", 6, CriterionKind::kAverage, 0, 0, kMax, {}},
                    OracleFile{"average-multichain", 8, CriterionKind::kAverage, 0, 0, kMax, {}},
                    OracleFile{"bound-trap-total", 3, CriterionKind::kTotal, 0, 0, kMax, {2}},
                    OracleFile{"finite-horizon-25", 4, CriterionKind::kFinite, 0, 25, kMax, {}}),
    [](const auto& test) { return test::OracleTestName(test.param.name); });

}  // namespace
}  // namespace berth::mdp

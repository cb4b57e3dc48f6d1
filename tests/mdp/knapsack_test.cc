#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "mdp/knapsack_model.h"
#include "mdp/knapsack_solve.h"
#include "mdp/knapsack_sweep.h"
#include "mdp/value_iteration.h"
#include "support.h"

namespace berth::mdp {
namespace {

using testing::HasSubstr;
using Sizes = std::vector<std::vector<int64_t>>;

const Sizes kAnchorSizes = {{1, 2}, {3, 6}, {5, 20}, {2, 12}};

std::vector<KnapsackClass> AnchorClasses(double nodes, const std::array<double, 4>& price = {}) {
  return {{2.3730337 * nodes, 1, 1 - price[0]},
          {0.8898876 * nodes, 0.5, 6.6 - price[1]},
          {0.3559551 * nodes, 0.25, 24 - price[2]},
          {0.1483146 * nodes, 0.2, 17.25 - price[3]}};
}

KnapsackSpace SpaceOf(const std::vector<int64_t>& capacity, const Sizes& sizes = kAnchorSizes) {
  auto space = KnapsackSpace::Create(capacity, sizes);
  EXPECT_TRUE(space.ok()) << space.status();
  return *std::move(space);
}

KnapsackModel ModelOf(const KnapsackSpace& space, std::vector<KnapsackClass> classes) {
  auto model = KnapsackModel::Create(space, std::move(classes));
  EXPECT_TRUE(model.ok()) << model.status();
  return *std::move(model);
}

// A knapsack at random: capacities and sizes small, some classes never fit, some sizes are 0.
struct RandomKnapsack {
  std::vector<int64_t> capacity;
  Sizes sizes;
  std::vector<KnapsackClass> classes;

  explicit RandomKnapsack(Rng& rng, uint64_t most_classes = 4) {
    const uint64_t resources = 1 + rng.Below(3);
    for (uint64_t d = 0; d < resources; ++d) capacity.push_back(static_cast<int64_t>(3 + rng.Below(10)));
    const uint64_t count = 1 + rng.Below(most_classes);
    for (uint64_t k = 0; k < count; ++k) {
      std::vector<int64_t>& size = sizes.emplace_back();
      for (uint64_t d = 0; d < resources; ++d) size.push_back(static_cast<int64_t>(rng.Below(6)));
      size[0] = std::max<int64_t>(size[0], 1);
      classes.push_back({rng.Exponential(2), 0.1 + rng.Exponential(0.5), 6 * rng.Uniform() - 1});
    }
  }
};

// Every x that fits, found by trying all.
std::vector<std::vector<int32_t>> AllThatFit(const RandomKnapsack& k) {
  std::vector<std::vector<int32_t>> all;
  std::vector<int32_t> counts(k.sizes.size(), 0);
  for (;;) {
    bool fits = true;
    for (size_t d = 0; d < k.capacity.size(); ++d) {
      int64_t used = 0;
      for (size_t i = 0; i < counts.size(); ++i) used += counts[i] * k.sizes[i][d];
      fits = fits && used <= k.capacity[d];
    }
    if (fits) all.push_back(counts);
    size_t i = 0;
    while (i < counts.size() && ++counts[i] > 12) counts[i++] = 0;
    if (i == counts.size()) return all;
  }
}

TEST(KnapsackSpace, TheAnchorsNodesHaveTheirPublishedNumbersOfStates) {
  const std::map<std::vector<int64_t>, StateIndex> expected = {
      {{16, 64}, 280}, {{16, 32}, 103}, {{64, 256}, 30'210}, {{96, 384}, 136'817}, {{192, 768}, 1'950'407}};
  for (const auto& [capacity, states] : expected) {
    const KnapsackSpace space = SpaceOf(capacity);
    EXPECT_EQ(space.num_states(), states);
    EXPECT_EQ(space.run_class(), 0);
    EXPECT_LT(space.table_bytes(), 3 * states + 10'000) << "a stored chain would take a hundred bytes a state";
  }
}

TEST(KnapsackSpace, NumbersExactlyTheCountsThatFit) {
  Rng rng(1);
  for (int i = 0; i < 60; ++i) {
    const RandomKnapsack k(rng);
    const KnapsackSpace space = SpaceOf(k.capacity, k.sizes);
    const auto all = AllThatFit(k);
    ASSERT_EQ(static_cast<size_t>(space.num_states()), all.size());
    std::vector<bool> is_taken(all.size(), false);
    int64_t transitions = 0;
    for (const auto& counts : all) {
      const StateIndex s = space.StateOf(counts);
      ASSERT_GE(s, 0);
      ASSERT_FALSE(is_taken[s]);
      is_taken[s] = true;
      std::vector<int32_t> back(counts.size(), -1);
      space.CountsOf(s, back);
      ASSERT_EQ(back, counts);
      for (int c = 0; c < space.num_classes(); ++c) {
        for (const int by : {1, -1}) {
          std::vector<int32_t> moved = counts;
          moved[c] += by;
          const StateIndex next = moved[c] < 0 ? -1 : space.StateOf(moved);
          EXPECT_EQ(by > 0 ? space.Above(s, c) : space.Below(s, c), next);
          transitions += next >= 0 ? 1 : 0;
        }
      }
    }
    EXPECT_EQ(space.num_transitions(), transitions);
    EXPECT_EQ(space.StateOf(std::vector<int32_t>(k.sizes.size(), 100)), -1);
  }
}

TEST(KnapsackModel, EqualsRowsOfJointActionsFoundByBruteForce) {
  Rng rng(2);
  for (int i = 0; i < 25; ++i) {
    const RandomKnapsack k(rng, 3);
    const KnapsackSpace space = SpaceOf(k.capacity, k.sizes);
    const KnapsackModel model = ModelOf(space, k.classes);
    ASSERT_TRUE(ValidateEventModel(model).ok());
    const auto all = AllThatFit(k);
    std::map<std::vector<int32_t>, StateIndex> index;
    for (size_t s = 0; s < all.size(); ++s) index[all[s]] = static_cast<StateIndex>(s);
    PlainModel plain;
    for (const auto& counts : all) {
      auto& actions = plain.emplace_back();
      for (uint32_t taken = 0; taken < 1U << counts.size(); ++taken) {
        PlainAction action;
        bool is_possible = true;
        for (size_t c = 0; c < counts.size(); ++c) {
          std::vector<int32_t> moved = counts;
          if (counts[c] > 0) {
            --moved[c];
            action.to.push_back({index.at(moved), counts[c] * k.classes[c].departure_rate});
            ++moved[c];
          }
          if ((taken >> c & 1U) == 0) continue;
          ++moved[c];
          const auto it = index.find(moved);
          is_possible = is_possible && it != index.end();
          if (!is_possible) break;
          action.to.push_back({it->second, k.classes[c].arrival_rate});
          action.reward += k.classes[c].arrival_rate * k.classes[c].reward;
        }
        if (is_possible) actions.push_back(action);
      }
    }
    const auto rows = BuildFrom(plain, RowKind::kRate);
    ASSERT_TRUE(rows.ok()) << rows.status();
    const auto stored = SolveAverage(*rows, {.tolerance = 1e-9});
    const auto walked = SolveAverage(model, {.tolerance = 1e-9});
    const auto swept = SolveKnapsack(model, {.tolerance = 1e-9});
    ASSERT_TRUE(stored.ok() && walked.ok() && swept.ok()) << swept.status();
    EXPECT_EQ(swept->stop, StopReason::kConverged);
    EXPECT_NEAR(walked->gain, stored->gain, walked->error + stored->error);
    EXPECT_NEAR(swept->level, stored->gain, swept->error + stored->error);
    const auto discounted = SolveDiscountedRate(*rows, 0.2, {.tolerance = 1e-8});
    const auto swept_discounted = SolveKnapsack(model, {.discount_rate = 0.2, .tolerance = 1e-8});
    ASSERT_TRUE(discounted.ok() && swept_discounted.ok());
    for (size_t s = 0; s < all.size(); ++s) {
      const double value = swept_discounted->relative_values[space.StateOf(all[s])] + swept_discounted->level / 0.2;
      EXPECT_NEAR(value, discounted->values[s], discounted->error + swept_discounted->error);
    }
  }
}

// Residuals of the sweep against a walk of `reference`; true if every bit is the same.
bool IsWalkedAlike(const KnapsackModel& model, const KnapsackModel& reference, double alpha, int threads,
                   InstructionSet instructions, Rng& rng) {
  const auto n = static_cast<size_t>(model.num_states());
  std::vector<double> h(n);
  for (double& v : h) v = 100 * rng.Normal();
  KnapsackSweep sweep(model, {.discount_rate = alpha, .threads = threads, .instructions = instructions});
  sweep.SetValues(h);
  std::vector<double> residuals(n);
  const ResidualRange range = sweep.Residuals(residuals);
  const ResidualRange again = sweep.Range();
  EXPECT_EQ(range.lowest, *std::min_element(residuals.begin(), residuals.end()));
  EXPECT_EQ(range.highest, *std::max_element(residuals.begin(), residuals.end()));
  EXPECT_EQ(range.lowest_value, *std::min_element(h.begin(), h.end()));
  EXPECT_EQ(range.highest_value, *std::max_element(h.begin(), h.end()));
  EXPECT_TRUE(range.lowest == again.lowest && range.highest == again.highest);
  for (StateIndex s = 0; s < model.num_states(); ++s) {
    const double walked = EvaluateBackup(reference, s, h.data()).residual;
    if (residuals[s] != (alpha > 0 ? walked - alpha * h[s] : walked)) return false;
  }
  return true;
}

std::vector<InstructionSet> SupportedSets() {
  std::vector<InstructionSet> sets;
  for (const InstructionSet set : {InstructionSet::kPortable, InstructionSet::kAvx2, InstructionSet::kAvx512}) {
    if (IsSupported(set)) sets.push_back(set);
  }
  return sets;
}

TEST(KnapsackSweep, HasTheBitsOfAWalkOnEveryInstructionSetAndNumberOfThreads) {
  Rng rng(3);
  for (const InstructionSet set : SupportedSets()) {
    SCOPED_TRACE(InstructionSetName(set));
    for (int i = 0; i < 30; ++i) {
      const RandomKnapsack k(rng);
      const KnapsackSpace space = SpaceOf(k.capacity, k.sizes);
      const KnapsackModel model = ModelOf(space, k.classes);
      EXPECT_TRUE(IsWalkedAlike(model, model, i % 2 * 0.3, 1 + i % 3, set, rng));
    }
    const KnapsackSpace space = SpaceOf({48, 192});
    const KnapsackModel model = ModelOf(space, AnchorClasses(3));
    EXPECT_TRUE(IsWalkedAlike(model, model, 0, 2, set, rng));
    // The check sees a rate that is off by the last bit.
    std::vector<KnapsackClass> classes = AnchorClasses(3);
    classes[2].arrival_rate = std::nextafter(classes[2].arrival_rate, 9.0);
    EXPECT_FALSE(IsWalkedAlike(model, ModelOf(space, classes), 0, 2, set, rng));
  }
}

TEST(KnapsackSweep, SweepsAlikeOnEveryInstructionSetAndNumberOfThreads) {
  const KnapsackSpace space = SpaceOf({32, 128});
  const KnapsackModel model = ModelOf(space, AnchorClasses(2, {0.4, 2.6, 9.6, 6.9}));
  std::vector<double> first;
  for (const InstructionSet set : SupportedSets()) {
    for (const int threads : {1, 2, 3}) {
      KnapsackSweep sweep(model, {.discount_rate = 0.01, .threads = threads, .instructions = set});
      for (int i = 0; i < 20; ++i) sweep.GaussSeidelSweep(20);
      sweep.JacobiSweep(0.9 / sweep.max_rate(), 20);
      std::vector<double> h(static_cast<size_t>(space.num_states()));
      sweep.GetValues(h);
      if (first.empty()) first = h;
      EXPECT_EQ(h, first) << InstructionSetName(set) << ", " << threads << " threads";
    }
  }
}

TEST(KnapsackSweep, ARedBlackSweepSolvesEachHalfForTheOther) {
  const KnapsackSpace space = SpaceOf({16, 64});
  const KnapsackModel model = ModelOf(space, AnchorClasses(1));
  KnapsackSweep sweep(model, {});
  std::vector<double> h(static_cast<size_t>(space.num_states()));
  Rng rng(4);
  for (double& v : h) v = rng.Normal();
  sweep.SetValues(h);
  sweep.GaussSeidelSweep(12);
  for (const int colour : {0, 1}) {
    for (StateIndex s = 0; s < space.num_states(); ++s) {
      std::array<int32_t, 4> counts;
      space.CountsOf(s, counts);
      if ((counts[0] + counts[1] + counts[2] + counts[3]) % 2 != colour) continue;
      const Backup backup = EvaluateBackup(model, s, h.data());
      h[s] += (backup.residual - 12) / backup.exit_rate;
    }
  }
  std::vector<double> swept(h.size());
  sweep.GetValues(swept);
  EXPECT_EQ(swept, h);
}

TEST(KnapsackSweep, TheRoundingBoundHoldsInEveryState) {
  const KnapsackSpace space = SpaceOf({16, 64});
  const KnapsackModel model = ModelOf(space, AnchorClasses(1, {0.1, 0.3, 0.7, 0.9}));
  Rng rng(5);
  std::vector<double> h(static_cast<size_t>(space.num_states()));
  for (double& v : h) v = 1000 * rng.Normal();
  KnapsackSweep sweep(model, {});
  sweep.SetValues(h);
  const double bound = sweep.RoundingBound(sweep.Range());
  for (StateIndex s = 0; s < space.num_states(); ++s) {
    internal::CheckedBackupVisitor checked(h.data(), s);
    model.VisitState(s, checked);
    EXPECT_LE(checked.error(), bound);
  }
  EXPECT_LT(bound, 1e-7);
}

TEST(SolveKnapsack, AgreesWithTheGeneralSolverWithinTheBoundsOfBoth) {
  const KnapsackSpace space = SpaceOf({16, 64});
  for (const double share : {0.0, 0.4, 0.9}) {
    const KnapsackModel model = ModelOf(space, AnchorClasses(2, {share, 6.6 * share, 24 * share, 17.25 * share}));
    const auto walked = SolveAverage(model, {.tolerance = 1e-10});
    ASSERT_TRUE(walked.ok());
    for (const int depth : {0, 1, 10}) {
      const auto swept = SolveKnapsack(model, {.tolerance = 1e-9, .anderson_depth = depth});
      ASSERT_TRUE(swept.ok()) << swept.status();
      EXPECT_EQ(swept->stop, StopReason::kConverged);
      EXPECT_LE(swept->level_lower, walked->gain_upper);
      EXPECT_GE(swept->level_upper, walked->gain_lower);
      const GainBounds certified = CertifyGain(model, swept->relative_values);
      EXPECT_LE(swept->level_lower, certified.lower);  // of the same values, by the finer count of roundings
      EXPECT_GE(swept->level_upper, certified.upper);
    }
  }
}

TEST(SolveKnapsack, BoundsHoldWhenItIsStoppedEarly) {
  const KnapsackSpace space = SpaceOf({16, 64});
  const KnapsackModel model = ModelOf(space, AnchorClasses(1));
  const auto exact = SolveKnapsack(model, {.tolerance = 1e-9});
  ASSERT_TRUE(exact.ok());
  double before = 1e300;
  for (const int sweeps : {1, 8, 24, 64}) {
    const auto rough = SolveKnapsack(model, {.tolerance = 0, .max_sweeps = sweeps});
    ASSERT_TRUE(rough.ok());
    EXPECT_EQ(rough->stop, StopReason::kIterationLimit);
    EXPECT_EQ(rough->sweeps, sweeps);
    EXPECT_LE(rough->level_lower, exact->level_upper);
    EXPECT_GE(rough->level_upper, exact->level_lower);
    EXPECT_LE(rough->error, before);
    before = rough->error;
  }
  const auto cancelled = SolveKnapsack(model, {.progress = [](const Progress& p) { return p.sweeps < 16; }});
  ASSERT_TRUE(cancelled.ok());
  EXPECT_EQ(cancelled->stop, StopReason::kCancelled);
  EXPECT_EQ(cancelled->sweeps, 16);
  const auto limit = SolveKnapsack(model, {.tolerance = 0});
  ASSERT_TRUE(limit.ok());
  EXPECT_EQ(limit->stop, StopReason::kPrecisionLimit);
  EXPECT_LT(limit->error, 1e-10);
}

TEST(SolveKnapsack, ThreadsChangeNoBit) {
  const KnapsackSpace space = SpaceOf({64, 256});
  const KnapsackModel model = ModelOf(space, AnchorClasses(4));
  const auto serial = SolveKnapsack(model, {.tolerance = 1e-3});
  const auto threaded = SolveKnapsack(model, {.tolerance = 1e-3, .threads = 3});
  ASSERT_TRUE(serial.ok() && threaded.ok());
  EXPECT_EQ(serial->stop, StopReason::kConverged);
  EXPECT_EQ(serial->relative_values, threaded->relative_values);
  EXPECT_EQ(serial->level, threaded->level);
  EXPECT_EQ(serial->sweeps, threaded->sweeps);
}

TEST(SolveKnapsack, AWarmStartSavesSweeps) {
  const KnapsackSpace space = SpaceOf({32, 128});
  const auto first = SolveKnapsack(ModelOf(space, AnchorClasses(2)));
  ASSERT_TRUE(first.ok());
  const KnapsackModel like = ModelOf(space, AnchorClasses(2.002));
  const auto cold = SolveKnapsack(like);
  const auto warm = SolveKnapsack(like, {}, first->relative_values);
  ASSERT_TRUE(cold.ok() && warm.ok());
  EXPECT_LT(warm->sweeps, cold->sweeps);
  EXPECT_NEAR(warm->level, cold->level, warm->error + cold->error);
}

TEST(Knapsack, BadInputIsNamed) {
  const auto message = [](const auto& result) { return std::string(result.status().message()); };
  EXPECT_THAT(message(KnapsackSpace::Create({}, {{1}})), HasSubstr("number of resources is 0, accepted: 1 to 8"));
  const std::vector<int64_t> capacity = {4};
  EXPECT_THAT(message(KnapsackSpace::Create(capacity, {})), HasSubstr("number of classes is 0, accepted: 1 to 16"));
  EXPECT_THAT(message(KnapsackSpace::Create(capacity, {{1, 2}})), HasSubstr("number of sizes of class 0 is 2"));
  EXPECT_THAT(message(KnapsackSpace::Create(capacity, {{-1}})), HasSubstr("size 0 of class 0 is -1"));
  EXPECT_THAT(message(KnapsackSpace::Create(capacity, {{1}, {0}})), HasSubstr("largest size of class 1 is 0"));
  const std::vector<int64_t> huge = {1'000'000, 1'000'000};
  EXPECT_EQ(KnapsackSpace::Create(huge, {{1, 0}, {0, 1}}).status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(message(KnapsackSpace::Create(capacity, {{1}}, 4)), HasSubstr("number of states is at least 5"));

  const KnapsackSpace space = SpaceOf({4}, {{1}});
  EXPECT_THAT(message(KnapsackModel::Create(space, {})), HasSubstr("number of classes is 0, accepted: 1"));
  EXPECT_THAT(message(KnapsackModel::Create(space, {{-1, 1, 1}})), HasSubstr("arrival rate of class 0 is -1"));
  EXPECT_THAT(message(KnapsackModel::Create(space, {{1, NAN, 1}})), HasSubstr("departure rate of class 0 is nan"));
  EXPECT_THAT(message(KnapsackModel::Create(space, {{1, 1, INFINITY}})), HasSubstr("reward of class 0 is inf"));

  const KnapsackModel model = ModelOf(space, {{1, 1, 1}});
  EXPECT_THAT(message(SolveKnapsack(model, {.discount_rate = -1})), HasSubstr("discount rate is -1"));
  EXPECT_THAT(message(SolveKnapsack(model, {.tolerance = NAN})), HasSubstr("tolerance is nan"));
  EXPECT_THAT(message(SolveKnapsack(model, {.threads = 0})), HasSubstr("threads is 0, accepted: 1 to 64"));
  EXPECT_THAT(message(SolveKnapsack(model, {}, std::vector<double>(2))), HasSubstr("warm start values is 2"));
  EXPECT_EQ(SolveKnapsack(ModelOf(space, {{1e300, 1, 1e300}})).status().code(), absl::StatusCode::kOutOfRange);
}

TEST(Knapsack, ASpaceOfOneStateAndOneClassIsSolved) {
  const KnapsackSpace nothing_fits = SpaceOf({0}, {{1}});
  const auto zero = SolveKnapsack(ModelOf(nothing_fits, {{1, 1, 1}}));
  ASSERT_TRUE(zero.ok()) << zero.status();
  EXPECT_EQ(zero->level, 0);
  // Erlang's loss formula: two places, offered load one, a fifth is lost.
  const KnapsackSpace space = SpaceOf({2}, {{1}});
  const auto erlang = SolveKnapsack(ModelOf(space, {{1, 1, 1}}), {.tolerance = 1e-12});
  ASSERT_TRUE(erlang.ok());
  EXPECT_NEAR(erlang->level, 0.8, 1e-12);
}

}  // namespace
}  // namespace berth::mdp

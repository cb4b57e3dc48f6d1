#include "mdp/model.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <limits>
#include <ostream>
#include <string>
#include <vector>

#include "mdp/event_model.h"
#include "mdp/finite_horizon.h"
#include "mdp/policy_iteration.h"
#include "mdp/total_reward.h"
#include "mdp/value_iteration.h"

namespace berth::mdp {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
constexpr double kInf = std::numeric_limits<double>::infinity();

TEST(SparseMdpBuilder, OrdersRowsByStateAndActionNumberWhateverTheOrderOfAdding) {
  SparseMdpBuilder builder(3);
  ASSERT_TRUE(builder.AddAction(2, 0, 5, {{2, 1}}).ok());
  ASSERT_TRUE(builder.AddAction(0, 7, 2, {{1, 0.25}, {2, 0.75}}).ok());
  ASSERT_TRUE(builder.AddAction(0, 3, 1, {{0, 1}, {1, 0}}).ok());
  ASSERT_TRUE(builder.DeclareTerminal(1).ok());
  const auto mdp = std::move(builder).Build();
  ASSERT_TRUE(mdp.ok()) << mdp.status();
  EXPECT_EQ(mdp->num_states(), 3);
  EXPECT_EQ(mdp->num_rows(), 3);
  EXPECT_EQ(mdp->num_transitions(), 4);  // the weight of 0 is dropped
  EXPECT_EQ(mdp->num_actions(0), 2);
  EXPECT_EQ(mdp->ActionNumber(0, 0), 3);
  EXPECT_EQ(mdp->ActionNumber(0, 1), 7);
  EXPECT_EQ(mdp->Reward(0, 1), 2);
  EXPECT_TRUE(mdp->is_terminal(1));
  EXPECT_FALSE(mdp->is_terminal(2));
  std::vector<Transition> row;
  mdp->VisitSuccessors(0, 1, [&](StateIndex next, double weight) { row.push_back({next, weight}); });
  EXPECT_THAT(row, ElementsAre(Transition{1, 0.25}, Transition{2, 0.75}));
}

struct BadRow {
  const char* name;
  std::function<absl::Status(SparseMdpBuilder&)> add;
  std::vector<std::string> message;
};
void PrintTo(const BadRow& row, std::ostream* out) { *out << row.name; }

class RefusedRow : public testing::TestWithParam<BadRow> {};

TEST_P(RefusedRow, NamesStateActionRowValueAndRangeAndLeavesTheBuilderUsable) {
  SparseMdpBuilder builder(3);
  ASSERT_TRUE(builder.AddAction(0, 0, 1, {{1, 1}}).ok());
  const absl::Status status = GetParam().add(builder);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  for (const std::string& part : GetParam().message) {
    EXPECT_THAT(std::string(status.message()), HasSubstr(part));
  }
  // The refused row has left nothing behind, not even its successors.
  ASSERT_TRUE(builder.AddAction(1, 0, 1, {{0, 0.5}, {2, 0.5}}).ok());
  ASSERT_TRUE(builder.DeclareTerminal(2).ok());
  const auto mdp = std::move(builder).Build();
  ASSERT_TRUE(mdp.ok()) << mdp.status();
  EXPECT_EQ(mdp->num_rows(), 2);
  EXPECT_EQ(mdp->num_transitions(), 3);
}

INSTANTIATE_TEST_SUITE_P(
    SparseMdpBuilder, RefusedRow,
    testing::Values(BadRow{"StateTooLarge",
                           [](auto& b) {
                             return b.AddAction(3, 4, 0, {{0, 1}});
                           },
                           {"state 3, action 4, row 1: state is 3, accepted: 0 to 2"}},
                    BadRow{"StateNegative",
                           [](auto& b) {
                             return b.AddAction(-1, 0, 0, {{0, 1}});
                           },
                           {"state is -1"}},
                    BadRow{"ActionNegative",
                           [](auto& b) {
                             return b.AddAction(1, -2, 0, {{0, 1}});
                           },
                           {"action is -2"}},
                    BadRow{"RewardNaN",
                           [](auto& b) {
                             return b.AddAction(1, 0, kNaN, {{0, 1}});
                           },
                           {"reward is nan"}},
                    BadRow{"RewardInfinite",
                           [](auto& b) {
                             return b.AddAction(1, 0, -kInf, {{0, 1}});
                           },
                           {"reward is -inf"}},
                    BadRow{"SuccessorTooLarge",
                           [](auto& b) {
                             return b.AddAction(1, 0, 0, {{0, 0.5}, {3, 0.5}});
                           },
                           {"state 1, action 0, row 1: successor is 3, accepted: 0 to 2"}},
                    BadRow{"SuccessorNegative",
                           [](auto& b) {
                             return b.AddAction(1, 0, 0, {{-7, 1}});
                           },
                           {"successor is -7"}},
                    BadRow{"SuccessorTwice",
                           [](auto& b) {
                             return b.AddAction(1, 0, 0, {{2, 0.5}, {2, 0.5}});
                           },
                           {"successor is 2, accepted: every successor once a row"}},
                    BadRow{"ProbabilityNegative",
                           [](auto& b) {
                             return b.AddAction(1, 0, 0, {{0, 1.5}, {2, -0.5}});
                           },
                           {"probability to state 0 is 1.5, accepted: 0 to 1"}},
                    BadRow{"ProbabilityBelowZero",
                           [](auto& b) {
                             return b.AddAction(1, 0, 0, {{2, -0.5}, {0, 1}});
                           },
                           {"probability to state 2 is -0.5"}},
                    BadRow{"ProbabilityNaN",
                           [](auto& b) {
                             return b.AddAction(1, 0, 0, {{2, kNaN}});
                           },
                           {"probability to state 2 is nan"}},
                    BadRow{"ProbabilityInfinite",
                           [](auto& b) {
                             return b.AddAction(1, 0, 0, {{2, kInf}});
                           },
                           {"is inf"}},
                    BadRow{"SumBelowOne",
                           [](auto& b) {
                             return b.AddAction(1, 0, 0, {{0, 0.5}, {2, 0.4}});
                           },
                           {"state 1, action 0, row 1: sum of the probabilities is 0.9, accepted: 1 within 1e-09"}},
                    BadRow{"SumAboveOne",
                           [](auto& b) {
                             return b.AddAction(1, 0, 0, {{0, 0.5}, {2, 0.6}});
                           },
                           {"sum of the probabilities is 1.1"}},
                    BadRow{"SumZero",
                           [](auto& b) { return b.AddAction(1, 0, 0, std::span<const Transition>()); },
                           {"sum of the probabilities is 0"}},
                    BadRow{"SemiMarkovInAModelOfProbabilities",
                           [](auto& b) {
                             return b.AddSemiMarkovAction(1, 0, 0, 1, std::vector<Transition>{{0, 1}});
                           },
                           {"kind of the model is probabilities, accepted: rates"}},
                    BadRow{"TerminalOutOfRange",
                           [](auto& b) { return b.DeclareTerminal(3); },
                           {"terminal state is 3, accepted: 0 to 2"}}),
    [](const auto& test) { return test.param.name; });

TEST(SparseMdpBuilder, RefusesAStateWithoutActionUnlessDeclaredTerminal) {
  // Rows for states 0, 2 and 3 only: a missing row must not shift the later states.
  SparseMdpBuilder builder(4);
  for (const StateIndex s : {0, 2, 3}) ASSERT_TRUE(builder.AddAction(s, 0, s, {{s, 1}}).ok());
  SparseMdpBuilder declared = builder;
  EXPECT_THAT(std::string(std::move(builder).Build().status().message()), HasSubstr("state 1: number of actions is 0"));

  ASSERT_TRUE(declared.DeclareTerminal(1).ok());
  const auto mdp = std::move(declared).Build();
  ASSERT_TRUE(mdp.ok()) << mdp.status();
  EXPECT_EQ(mdp->Reward(2, 0), 2);
  EXPECT_EQ(mdp->Reward(3, 0), 3);
}

TEST(SparseMdpBuilder, RefusesActionsOfATerminalStateAndTheSamePairTwice) {
  SparseMdpBuilder terminal(1);
  ASSERT_TRUE(terminal.AddAction(0, 0, 0, {{0, 1}}).ok());
  ASSERT_TRUE(terminal.DeclareTerminal(0).ok());
  EXPECT_THAT(std::string(std::move(terminal).Build().status().message()),
              HasSubstr("state 0, action 0, row 0: the state is declared terminal"));

  SparseMdpBuilder twice(1);
  ASSERT_TRUE(twice.AddAction(0, 5, 0, {{0, 1}}).ok());
  ASSERT_TRUE(twice.AddAction(0, 5, 1, {{0, 1}}).ok());
  EXPECT_THAT(std::string(std::move(twice).Build().status().message()),
              HasSubstr("state 0, action 5, row 1: the pair of state and action is the same as of row 0"));
}

TEST(SparseMdpBuilder, RefusesFewerThanOneState) {
  for (const StateIndex n : {0, -5}) {
    EXPECT_THAT(std::string(SparseMdpBuilder(n).Build().status().message()), HasSubstr("number of states is"));
  }
}

TEST(SparseMdpBuilder, ScalesARowWithinTheToleranceToSumToOne) {
  SparseMdpBuilder builder(2);
  ASSERT_TRUE(builder.AddAction(0, 0, 0, {{0, 0.5}, {1, 0.5 + 5e-10}}).ok());
  ASSERT_TRUE(builder.AddAction(1, 0, 0, {{0, 1.0 / 3}, {1, 2.0 / 3}}).ok());
  const auto mdp = std::move(builder).Build();
  ASSERT_TRUE(mdp.ok());
  double sum = 0;
  mdp->VisitSuccessors(0, 0, [&](StateIndex, double weight) { sum += weight; });
  EXPECT_NEAR(sum, 1, 3e-16);
  // A row that is one but for rounding stays bit for bit.
  mdp->VisitSuccessors(1, 0, [&](StateIndex next, double weight) { EXPECT_EQ(weight, next == 0 ? 1.0 / 3 : 2.0 / 3); });
}

TEST(SparseMdpBuilder, ChecksRatesAndSemiMarkovTimes) {
  SparseMdpBuilder builder(2, RowKind::kRate);
  EXPECT_TRUE(builder.AddAction(0, 0, 1, {{1, 250.0}}).ok());
  EXPECT_TRUE(builder.AddAction(1, 0, 1, std::span<const Transition>()).ok());  // stays for ever
  EXPECT_THAT(std::string(builder.AddAction(0, 1, 1, {{1, -1.0}}).message()), HasSubstr("rate to state 1 is -1"));
  EXPECT_THAT(std::string(builder.AddAction(0, 1, 1, {{0, 1e308}, {1, 1e308}}).message()),
              HasSubstr("sum of the rates is inf"));
  const std::vector<Transition> to = {{0, 0.5}, {1, 0.5}};
  for (const double time : {0.0, -1.0, kNaN, kInf}) {
    EXPECT_THAT(std::string(builder.AddSemiMarkovAction(0, 1, 1, time, to).message()), HasSubstr("mean time is"));
  }
  EXPECT_THAT(std::string(builder.AddSemiMarkovAction(0, 1, 1e308, 1e-300, to).message()),
              HasSubstr("accepted: a finite number"));
  EXPECT_TRUE(builder.AddSemiMarkovAction(0, 1, 6, 2, to).ok());
  const auto mdp = std::move(builder).Build();
  ASSERT_TRUE(mdp.ok());
  EXPECT_EQ(mdp->Reward(0, 1), 3);
  mdp->VisitSuccessors(0, 1, [](StateIndex, double rate) { EXPECT_EQ(rate, 0.25); });
}

TEST(Uniformise, RefusesAClockSlowerThanTheFastestRow) {
  SparseMdpBuilder builder(2, RowKind::kRate);
  ASSERT_TRUE(builder.AddAction(0, 0, 1, {{1, 3.0}}).ok());
  ASSERT_TRUE(builder.AddAction(1, 4, 1, {{0, 5.0}, {1, 99.0}}).ok());
  const auto rates = std::move(builder).Build();
  ASSERT_TRUE(rates.ok());
  EXPECT_THAT(std::string(Uniformise(*rates, 4).status().message()),
              HasSubstr("clock rate is 4, accepted: at least 5, the total rate of state 1, action 4"));
  for (const double bad : {0.0, -1.0, kNaN, kInf}) EXPECT_FALSE(Uniformise(*rates, bad).ok());
  const auto steps = Uniformise(*rates, 10);
  ASSERT_TRUE(steps.ok()) << steps.status();
  EXPECT_EQ(steps->kind(), RowKind::kProbability);
  EXPECT_EQ(steps->ActionNumber(1, 0), 4);
  EXPECT_FALSE(Uniformise(*steps, 10).ok());
}

// One state with one event, each field of which can be spoilt.
struct OneEvent {
  StateIndex n = 1;
  double earn = 0;
  double rate = 1;
  double reward = 0;
  StateIndex next = 0;
  bool offers = true;
  StateIndex num_states() const { return n; }
  template <class Visitor>
  void VisitState(StateIndex, Visitor& visit) const {
    visit.Earn(earn);
    visit.Jump(1, 0, 0);
    visit.Decide(rate, [&](auto&& offer) {
      if (offers) offer(reward, next);
    });
  }
};

TEST(ValidateEventModel, NamesStateEventValueAndRange) {
  EXPECT_TRUE(ValidateEventModel(OneEvent{}).ok());
  const std::vector<std::pair<OneEvent, std::string>> bad = {
      {{.n = 0}, "number of states is 0"},
      {{.earn = kNaN}, "state 0, event 0: reward rate is nan"},
      {{.rate = -1}, "state 0, event 1: rate is -1, accepted: a finite number >= 0"},
      {{.rate = kInf}, "rate is inf"},
      {{.reward = kNaN}, "state 0, event 1: reward is nan"},
      {{.next = 1}, "next state is 1, accepted: 0 to 0"},
      {{.next = -1}, "next state is -1"},
      {{.offers = false}, "state 0, event 1: number of options is 0, accepted: at least 1"},
  };
  for (const auto& [model, message] : bad) {
    EXPECT_THAT(std::string(ValidateEventModel(model).message()), HasSubstr(message));
    EXPECT_EQ(SolveAverage(model).status().code(), absl::StatusCode::kInvalidArgument);
  }
}

// A generated model that breaks a promise of ActionModel.
struct Generated {
  double reward = 0;
  StateIndex next = 0;
  double weight = 1;
  StateIndex num_states() const { return 1; }
  int32_t num_actions(StateIndex) const { return 1; }
  double Reward(StateIndex, int32_t) const { return reward; }
  template <class Visit>
  void VisitSuccessors(StateIndex, int32_t, Visit&& visit) const {
    visit(next, weight);
  }
};

TEST(ActionModel, GeneratedModelsAreCheckedBeforeTheyAreSolved) {
  EXPECT_TRUE(SolveDiscounted(Generated{.reward = 1}, 0.5).ok());
  const std::vector<std::pair<Generated, std::string>> bad = {
      {{.reward = kInf}, "state 0, action 0: reward is inf"},
      {{.next = 1}, "state 0, action 0: successor is 1, accepted: 0 to 0"},
      {{.weight = -0.5}, "weight is -0.5"},
      {{.weight = kNaN}, "weight is nan"},
      {{.weight = 1.5}, "state 0, action 0: sum of the probabilities is 1.5, accepted: at most 1"},
  };
  for (const auto& [model, message] : bad) {
    EXPECT_THAT(std::string(SolveDiscounted(model, 0.5).status().message()), HasSubstr(message));
  }
}

TEST(SparseMdp, RatesAreNotTakenForProbabilitiesNorTheOtherWayRound) {
  SparseMdpBuilder rate_builder(1, RowKind::kRate);
  ASSERT_TRUE(rate_builder.AddAction(0, 0, 1, {{0, 0.5}}).ok());
  const auto rates = std::move(rate_builder).Build();
  SparseMdpBuilder step_builder(1);
  ASSERT_TRUE(step_builder.AddAction(0, 0, 1, {{0, 1}}).ok());
  const auto steps = std::move(step_builder).Build();
  ASSERT_TRUE(rates.ok() && steps.ok());
  const std::string no_rates = "kind of the model is rates, accepted: probabilities";
  EXPECT_EQ(SolveDiscounted(*rates, 0.1).status().message(), no_rates);
  EXPECT_EQ(SolveTotal(*rates).status().message(), no_rates);
  EXPECT_EQ(SolveFiniteHorizon(*rates, 3).status().message(), no_rates);
  EXPECT_EQ(IteratePoliciesDiscounted(*rates, 0.1).status().message(), no_rates);
  const std::string no_steps = "kind of the model is probabilities, accepted: rates";
  EXPECT_EQ(SolveDiscountedRate(*steps, 0.1).status().message(), no_steps);
  EXPECT_EQ(IteratePoliciesDiscountedRate(*steps, 0.1).status().message(), no_steps);
  EXPECT_TRUE(SolveAverage(*rates).ok());
  EXPECT_TRUE(SolveAverage(*steps).ok());
}

// A gambler with s of `goal` coins stakes a + 1 of them on a coin that falls right with probability p; reaching the
// goal earns 1. The rows are made on the fly.
struct Gambler {
  StateIndex goal;
  double p;
  StateIndex num_states() const { return goal + 1; }
  int32_t num_actions(StateIndex s) const { return std::min(s, goal - s); }
  double Reward(StateIndex s, int32_t action) const { return s + action + 1 == goal ? p : 0; }
  template <class Visit>
  void VisitSuccessors(StateIndex s, int32_t action, Visit&& visit) const {
    visit(s + action + 1, p);
    visit(s - action - 1, 1 - p);
  }
};
static_assert(ActionModel<Gambler>);

TEST(ActionModel, AGeneratedModelIsSolvedWithoutBeingStored) {
  // With a fair coin every way of playing wins with probability s / goal (Dubins and Savage 1965).
  const auto fair = SolveTotal(Gambler{64, 0.5}, {.tolerance = 1e-9});
  ASSERT_TRUE(fair.ok()) << fair.status();
  EXPECT_EQ(fair->stop, StopReason::kConverged);
  for (StateIndex s = 0; s < 64; ++s) EXPECT_NEAR(fair->values[s], s / 64.0, fair->error + 1e-15);
  // With a coin against him he must stake all that helps: from a half he wins with p, from a quarter with p^2.
  const auto unfair = SolveTotal(Gambler{64, 0.4}, {.tolerance = 1e-9});
  ASSERT_TRUE(unfair.ok());
  EXPECT_NEAR(unfair->values[32], 0.4, unfair->error);
  EXPECT_NEAR(unfair->values[16], 0.16, unfair->error);
  EXPECT_EQ(unfair->policy[32], 31);
}

}  // namespace
}  // namespace berth::mdp

#include "mdp/event_model.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <map>
#include <utility>
#include <vector>

#include "mdp/policy_iteration.h"
#include "mdp/value_iteration.h"
#include "support.h"

namespace berth::mdp {
namespace {

// One node under streams of pods: the anchor instance. Four classes with requests of (cpu, GiB), exponential lifetimes
// and a reward for each admission; the state is how many of each class run.
class Node {
 public:
  static constexpr int kClasses = 4;
  using Counts = std::array<int, kClasses>;

  Node(int cpu, int gib) {
    Counts counts{};
    Enumerate(0, cpu, gib, counts);
    for (size_t s = 0; s < states_.size(); ++s) index_[states_[s]] = static_cast<StateIndex>(s);
    for (const Counts& state : states_) {
      Next next;
      for (int k = 0; k < kClasses; ++k) {
        next.arrival[k] = Find(state, k, 1);
        next.departure[k] = Find(state, k, -1);
      }
      next_.push_back(next);
    }
  }

  StateIndex size() const { return static_cast<StateIndex>(states_.size()); }
  int count(StateIndex s, int k) const { return states_[s][k]; }
  // -1 where there is none.
  StateIndex after_arrival(StateIndex s, int k) const { return next_[s].arrival[k]; }
  StateIndex after_departure(StateIndex s, int k) const { return next_[s].departure[k]; }

 private:
  static constexpr int kCpu[kClasses] = {1, 3, 5, 2};
  static constexpr int kGib[kClasses] = {2, 6, 20, 12};
  struct Next {
    std::array<StateIndex, kClasses> arrival;
    std::array<StateIndex, kClasses> departure;
  };

  void Enumerate(int k, int cpu, int gib, Counts& counts) {
    if (k == kClasses) {
      states_.push_back(counts);
      return;
    }
    for (counts[k] = 0; counts[k] * kCpu[k] <= cpu && counts[k] * kGib[k] <= gib; ++counts[k]) {
      Enumerate(k + 1, cpu - counts[k] * kCpu[k], gib - counts[k] * kGib[k], counts);
    }
    counts[k] = 0;
  }
  StateIndex Find(Counts counts, int k, int by) const {
    counts[k] += by;
    const auto it = index_.find(counts);
    return it == index_.end() ? -1 : it->second;
  }

  std::vector<Counts> states_;
  std::map<Counts, StateIndex> index_;
  std::vector<Next> next_;
};

constexpr double kDepartureRate[] = {1, 0.5, 0.25, 0.2};
constexpr double kReward[] = {1, 6.6, 24, 17.25};
// Per node, at an offered load of 1.1 of the tightest resource.
constexpr double kArrivalRate[] = {2.3730337, 0.8898876, 0.3559551, 0.1483146};

// One node alone; each admission costs a price.
struct PricedNode {
  const Node& node;
  std::array<double, 4> price;
  StateIndex num_states() const { return node.size(); }
  template <class Visitor>
  void VisitState(StateIndex s, Visitor& visit) const {
    for (int k = 0; k < Node::kClasses; ++k) {
      const StateIndex after = node.after_arrival(s, k);
      if (after < 0) continue;
      visit.Decide(kArrivalRate[k], [&](auto&& offer) {
        offer(0.0, s);
        offer(kReward[k] - price[k], after);
      });
    }
    for (int k = 0; k < Node::kClasses; ++k) {
      if (node.count(s, k) > 0) visit.Jump(node.count(s, k) * kDepartureRate[k], 0.0, node.after_departure(s, k));
    }
  }
};

// Two nodes that share their streams: refuse, or place on one of them.
struct TwoNodes {
  const Node& first;
  const Node& second;
  double load = 1.1;  // offered to the tightest resource
  StateIndex num_states() const { return first.size() * second.size(); }
  template <class Visitor>
  void VisitState(StateIndex s, Visitor& visit) const {
    const StateIndex width = second.size();
    const StateIndex i = s / width;
    const StateIndex j = s % width;
    for (int k = 0; k < Node::kClasses; ++k) {
      visit.Decide(2 * kArrivalRate[k] * (load / 1.1), [&](auto&& offer) {
        offer(0.0, s);
        if (first.after_arrival(i, k) >= 0) offer(kReward[k], first.after_arrival(i, k) * width + j);
        if (second.after_arrival(j, k) >= 0) offer(kReward[k], i * width + second.after_arrival(j, k));
      });
      if (first.count(i, k) > 0) {
        visit.Jump(first.count(i, k) * kDepartureRate[k], 0.0, first.after_departure(i, k) * width + j);
      }
      if (second.count(j, k) > 0) {
        visit.Jump(second.count(j, k) * kDepartureRate[k], 0.0, i * width + second.after_departure(j, k));
      }
    }
  }
};
static_assert(EventModel<PricedNode> && EventModel<TwoNodes>);

TEST(EventModel, TheTwoNodeAnchorHasItsPublishedGain) {
  const Node large(16, 64);
  const Node small(16, 32);
  ASSERT_EQ(large.size(), 280);
  ASSERT_EQ(small.size(), 103);
  const TwoNodes model{large, small};
  ASSERT_EQ(model.num_states(), 28'840);
  const auto solution = SolveAverage(model, {.tolerance = 1e-8});
  ASSERT_TRUE(solution.ok()) << solution.status();
  EXPECT_EQ(solution->stop, StopReason::kConverged);
  EXPECT_LE(solution->error, 1e-8);
  // Within the anchor's own half width of 5e-7 and its six digits.
  EXPECT_NEAR(solution->gain, 26.122745, 5e-7 + 5e-7);
  const auto coarse = SolveAverage(model, {.tolerance = 0.1, .method = SweepMethod::kJacobi});
  ASSERT_TRUE(coarse.ok());
  EXPECT_LE(coarse->gain_lower, solution->gain_upper);
  EXPECT_GE(coarse->gain_upper, solution->gain_lower);
}

TEST(EventModel, TheTwoNodeAnchorHasItsPublishedGainsAtOtherLoads) {
  const Node large(16, 64);
  const Node small(16, 32);
  for (const auto& [load, gain] : {std::pair(0.9, 23.860360), std::pair(1.5, 29.189479)}) {
    const auto solution = SolveAverage(TwoNodes{large, small, load}, {.tolerance = 1e-7});
    ASSERT_TRUE(solution.ok()) << solution.status();
    EXPECT_EQ(solution->stop, StopReason::kConverged);
    // The arrival rates are published to seven digits.
    EXPECT_NEAR(solution->gain, gain, 3e-6) << "load " << load;
  }
}

TEST(EventModel, TheTwoNodeAnchorHasItsPublishedDiscountedValue) {
  const Node large(16, 64);
  const Node small(16, 32);
  const TwoNodes model{large, small};
  const auto solution = SolveDiscountedRate(model, 0.01, {.tolerance = 1e-3});
  ASSERT_TRUE(solution.ok()) << solution.status();
  EXPECT_EQ(solution->stop, StopReason::kConverged);
  EXPECT_NEAR(solution->values[0], 2648.010, 1e-3 + 5e-4);  // the empty state comes first
  EXPECT_TRUE(solution->policy.empty());
}

// The same model in rows of rates, one joint action for every subset of the streams that fit.
PlainModel JointActions(const PricedNode& model) {
  PlainModel plain;
  for (StateIndex s = 0; s < model.num_states(); ++s) {
    auto& actions = plain.emplace_back();
    for (int accepted = 0; accepted < 1 << Node::kClasses; ++accepted) {
      PlainAction action;
      bool is_possible = true;
      std::map<StateIndex, double> rates;
      for (int k = 0; k < Node::kClasses; ++k) {
        if (model.node.count(s, k) > 0)
          rates[model.node.after_departure(s, k)] += model.node.count(s, k) * kDepartureRate[k];
        if ((accepted >> k & 1) == 0) continue;
        const StateIndex after = model.node.after_arrival(s, k);
        is_possible = is_possible && after >= 0;
        if (after < 0) break;
        rates[after] += kArrivalRate[k];
        action.reward += kArrivalRate[k] * (kReward[k] - model.price[k]);
      }
      if (!is_possible) continue;
      for (const auto& [next, rate] : rates) action.to.push_back({next, rate});
      actions.push_back(action);
    }
  }
  return plain;
}

TEST(EventModel, AMaximumPerEventEqualsTheMaximumOverJointActions) {
  const Node node(16, 32);
  const PricedNode model{node, {0.4, 2.6, 9.6, 6.9}};
  const auto rows = BuildFrom(JointActions(model), RowKind::kRate);
  ASSERT_TRUE(rows.ok()) << rows.status();
  for (const SweepMethod method : {SweepMethod::kGaussSeidel, SweepMethod::kJacobi}) {
    const SolveOptions options = {.tolerance = 1e-9, .method = method};
    const auto walked = SolveAverage(model, options);
    const auto stored = SolveAverage(*rows, options);
    ASSERT_TRUE(walked.ok() && stored.ok());
    EXPECT_NEAR(walked->gain, stored->gain, walked->error + stored->error);
    const auto walked_discounted = SolveDiscountedRate(model, 0.3, options);
    const auto stored_discounted = SolveDiscountedRate(*rows, 0.3, options);
    ASSERT_TRUE(walked_discounted.ok() && stored_discounted.ok());
    for (StateIndex s = 0; s < node.size(); ++s) {
      EXPECT_NEAR(walked_discounted->values[s], stored_discounted->values[s],
                  walked_discounted->error + stored_discounted->error);
    }
  }
  const auto iterated = IteratePoliciesAverage(*rows);
  const auto walked = SolveAverage(model, {.tolerance = 1e-9});
  ASSERT_TRUE(iterated.ok() && walked.ok());
  EXPECT_EQ(iterated->stop, StopReason::kConverged);
  EXPECT_NEAR(walked->gain, iterated->gain, walked->error + iterated->error);
  EXPECT_LT(iterated->error, 1e-10);
}

TEST(EventModel, TheGreedyChainEarnsWhatTheEquationSays) {
  const Node node(16, 32);
  const PricedNode model{node, {0.4, 2.6, 9.6, 6.9}};
  const auto solution = SolveAverage(model, {.tolerance = 1e-10});
  ASSERT_TRUE(solution.ok());
  const double* h = solution->relative_values.data();
  int refused = 0;
  for (StateIndex s = 0; s < model.num_states(); ++s) {
    double change = 0;
    const double earned =
        VisitGreedyJumps(model, s, h, [&](StateIndex next, double rate) { change += rate * (h[next] - h[s]); });
    EXPECT_NEAR(earned + change, solution->gain, 1e-9);
    int events = 0;
    VisitGreedyOptions(model, s, h, [&](int event, int option) {
      EXPECT_EQ(event, events++);
      refused += option == 0 ? 1 : 0;
    });
  }
  EXPECT_GT(refused, 0);  // at these prices something is refused somewhere
}

TEST(EventModel, TheFirstOfEqualOptionsIsChosen) {
  const Node node(16, 32);
  // At a price equal to the reward, and with no value in the future, taking and refusing are the same.
  const PricedNode model{node, {kReward[0], kReward[1], kReward[2], kReward[3]}};
  const std::vector<double> zero(static_cast<size_t>(node.size()), 0.0);
  for (StateIndex s = 0; s < node.size(); ++s) {
    VisitGreedyOptions(model, s, zero.data(), [](int, int option) { EXPECT_EQ(option, 0); });
  }
}

// R(s) in more digits.
struct ExactBackupVisitor {
  const double* h;
  double here;
  Exact residual = 0;
  void Earn(double reward_rate) { residual += reward_rate; }
  void Jump(double rate, double reward, StateIndex next) {
    residual += static_cast<Exact>(rate) * (static_cast<Exact>(reward) + h[next] - here);
  }
  template <class Options>
  void Decide(double rate, Options&& options) {
    Exact best = -1e300L;
    options(
        [&](double reward, StateIndex next) { best = std::max(best, static_cast<Exact>(reward) + h[next] - here); });
    residual += rate * best;
  }
};

TEST(EventModel, TheRoundingTermBoundsTheRoundingError) {
  const Node node(16, 64);
  const PricedNode model{node, {0.4, 2.6, 9.6, 6.9}};
  Rng rng(9);
  std::vector<double> h(static_cast<size_t>(node.size()));
  for (double& x : h) x = 1000 * rng.Normal();
  int inexact = 0;
  for (StateIndex s = 0; s < model.num_states(); ++s) {
    internal::CheckedBackupVisitor checked(h.data(), s);
    model.VisitState(s, checked);
    ExactBackupVisitor exact{h.data(), h[s]};
    model.VisitState(s, exact);
    const Exact error = std::abs(checked.residual - exact.residual);
    EXPECT_LE(error, checked.error());
    EXPECT_LT(checked.error(), 1e-9);
    inexact += error > 0 ? 1 : 0;
    EXPECT_EQ(EvaluateBackup(model, s, h.data()).residual, checked.residual);
  }
  EXPECT_GT(inexact, model.num_states() / 2);  // there is something to bound
}

TEST(CertifyGain, ItsBoundsHoldForAnyTableAndAreTightOnlyForTheRightOne) {
  const Node node(16, 32);
  const PricedNode model{node, {0.4, 2.6, 9.6, 6.9}};
  const auto solution = SolveAverage(model, {.tolerance = 1e-9});
  ASSERT_TRUE(solution.ok());
  Rng rng(4);
  for (int i = 0; i < 20; ++i) {
    std::vector<double> table = solution->relative_values;
    for (double& h : table) h += rng.Normal();
    const GainBounds bounds = CertifyGain(model, table);
    EXPECT_LT(bounds.lower, solution->gain_lower);
    EXPECT_GT(bounds.upper, solution->gain_upper);
    EXPECT_GT(bounds.upper - bounds.lower, 0.1);
  }
  std::vector<double> shifted = solution->relative_values;
  for (double& h : shifted) h += 1000;
  const GainBounds bounds = CertifyGain(model, shifted);
  EXPECT_LT(bounds.upper - bounds.lower, 1e-7);
}

TEST(EventModel, AWarmStartAtLikePricesSavesSweeps) {
  const Node node(16, 64);
  PricedNode model{node, {0.4, 2.6, 9.6, 6.9}};
  const auto first = SolveAverage(model, {.tolerance = 1e-6});
  ASSERT_TRUE(first.ok());
  for (double& price : model.price) price *= 1.001;
  const auto cold = SolveAverage(model, {.tolerance = 1e-6});
  const auto warm = SolveAverage(model, {.tolerance = 1e-6}, first->relative_values);
  ASSERT_TRUE(cold.ok() && warm.ok());
  EXPECT_LT(warm->sweeps, cold->sweeps);
  EXPECT_NEAR(warm->gain, cold->gain, warm->error + cold->error);
}

TEST(EventModel, MixingSavesSweepsAndChangesNothingElse) {
  const Node node(16, 64);
  const PricedNode model{node, {0.4, 2.6, 9.6, 6.9}};
  const auto plain = SolveAverage(model, {.tolerance = 1e-8, .anderson_depth = 0});
  const auto mixed = SolveAverage(model, {.tolerance = 1e-8});
  ASSERT_TRUE(plain.ok() && mixed.ok());
  EXPECT_EQ(plain->stop, StopReason::kConverged);
  EXPECT_EQ(mixed->stop, StopReason::kConverged);
  EXPECT_LT(2 * mixed->sweeps, plain->sweeps);
  EXPECT_NEAR(mixed->gain, plain->gain, mixed->error + plain->error);
}

TEST(EventModel, CostsAreRefusedAsAnObjective) {
  const Node node(16, 32);
  const PricedNode model{node, {}};
  EXPECT_FALSE(SolveAverage(model, {.objective = Objective::kMinimize}).ok());
  EXPECT_FALSE(SolveDiscountedRate(model, 0.1, {.objective = Objective::kMinimize}).ok());
}

}  // namespace
}  // namespace berth::mdp

// The kit that every environment passes: CheckEnvConformance(workload, options) in one line.
//
// What it demands: at every epoch some action is legal; legal actions fit and masked ones are refused without a change; the
// cluster's invariants hold after every step; a seed and the same actions give the same run bit for bit; a clone goes on as
// the original does; terminated and truncated are never both true; the rewards add up to the episode's; offered = placed +
// rejected + waiting; two policies meet the same stream.
#ifndef BERTH_TESTS_CONFORMANCE_ENV_KIT_H_
#define BERTH_TESTS_CONFORMANCE_ENV_KIT_H_

#include <gtest/gtest.h>

#include <cmath>
#include <memory>
#include <vector>

#include "base/rng.h"
#include "env/env.h"

namespace berth::test {

struct Trace {
  std::vector<double> rewards;
  std::vector<int64_t> times;
  std::vector<uint32_t> classes;
  EnvStats stats;
  bool terminated = false, truncated = false;
};

// Plays random legal actions; checks as it goes when `is_checking`.
inline Trace PlayRandomly(Env& env, uint64_t seed, uint64_t action_seed, int max_steps, bool is_checking) {
  Trace trace;
  Rng rng(action_seed);
  StepResult result = env.Reset(seed);
  EXPECT_EQ(result.reward, 0);
  double sum = 0;
  for (int step = 0; step < max_steps && !result.is_done(); ++step) {
    const std::vector<EnvAction> actions = env.actions();
    std::vector<int> legal;
    for (size_t a = 0; a < actions.size(); ++a) {
      if (actions[a].is_legal) legal.push_back(static_cast<int>(a));
      else if (is_checking && rng.Below(20) == 0) {
        const Generation before = env.view().generation();
        EXPECT_FALSE(env.Step(static_cast<int>(a)).ok());
        EXPECT_EQ(env.view().generation(), before);
      }
    }
    if (legal.empty()) {
      ADD_FAILURE() << "an epoch without a legal action";
      return trace;
    }
    trace.times.push_back(env.now_us());
    trace.classes.push_back(env.pod_class());
    if (is_checking) {
      EXPECT_FALSE(env.Step(-1).ok());
      EXPECT_FALSE(env.Step(static_cast<int>(actions.size())).ok());
      const absl::Status invariants = env.view().CheckInvariants();
      EXPECT_TRUE(invariants.ok()) << invariants;
    }
    Rng pick(SplitMix64(action_seed + static_cast<uint64_t>(step)));
    const auto stepped = env.Step(legal[pick.Below(legal.size())]);
    if (!stepped.ok()) {
      ADD_FAILURE() << "a legal action was refused: " << stepped.status();
      return trace;
    }
    result = *stepped;
    EXPECT_TRUE(std::isfinite(result.reward));
    EXPECT_FALSE(result.terminated && result.truncated);
    sum += result.reward;
    trace.rewards.push_back(result.reward);
  }
  trace.stats = env.stats();
  trace.terminated = result.terminated;
  trace.truncated = result.truncated;
  if (result.is_done()) {
    EXPECT_FALSE(env.Step(0).ok());
    EXPECT_EQ(env.is_running(), false);
  }
  return trace;
}

inline void ExpectSameTrace(const Trace& a, const Trace& b) {
  EXPECT_EQ(a.rewards, b.rewards);
  EXPECT_EQ(a.times, b.times);
  EXPECT_EQ(a.classes, b.classes);
  EXPECT_EQ(a.stats.rejected_gpu_hours, b.stats.rejected_gpu_hours);
  EXPECT_EQ(a.stats.allocated_cpu, b.stats.allocated_cpu);
  EXPECT_EQ(a.stats.waits_s, b.stats.waits_s);
  EXPECT_EQ(a.terminated, b.terminated);
  EXPECT_EQ(a.truncated, b.truncated);
}

inline void CheckEnvConformance(const Workload& workload, const EnvOptions& options, uint64_t seed, int max_steps = 400) {
  auto made = Env::Create(workload, options);
  ASSERT_TRUE(made.ok()) << made.status();
  Env& env = **made;
  EXPECT_FALSE(env.Step(0).ok()) << "a step before Reset";
  const Trace first = PlayRandomly(env, seed, 1, max_steps, true);
  const Trace again = PlayRandomly(env, seed, 1, max_steps, false);
  ExpectSameTrace(first, again);

  // Another instance, and another seed.
  auto other = Env::Create(workload, options);
  ASSERT_TRUE(other.ok());
  ExpectSameTrace(PlayRandomly(**other, seed, 1, max_steps, false), first);

  // A clone in the middle goes on alike, and apart from the original.
  StepResult result = env.Reset(seed);
  for (int step = 0; step < max_steps / 2 && !result.is_done(); ++step) {
    const auto& actions = env.actions();
    int legal = 0;
    while (!actions[static_cast<size_t>(legal)].is_legal) ++legal;
    result = *env.Step(legal);
  }
  if (!result.is_done()) {
    const auto clone = env.Clone();
    for (int step = 0; step < 50 && !result.is_done(); ++step) {
      const auto& actions = env.actions();
      int legal = 0;
      while (!actions[static_cast<size_t>(legal)].is_legal) ++legal;
      ASSERT_EQ(clone->actions().size(), actions.size());
      const StepResult a = *env.Step(legal);
      const StepResult b = *clone->Step(legal);
      EXPECT_EQ(a.reward, b.reward);
      EXPECT_EQ(env.now_us(), clone->now_us());
      EXPECT_EQ(env.pod_class(), clone->pod_class());
      result = a;
    }
  }

  // The episode's sums.
  if (first.terminated || first.truncated) {
    double sum = 0;
    for (double r : first.rewards) sum += r;
    EXPECT_NEAR(sum, first.stats.reward, 1e-9 * (1 + std::abs(sum)));
    const auto waiting = static_cast<int64_t>(first.stats.waits_s.size()) - (options.form == Form::kQueue ? first.stats.placed : 0);
    EXPECT_EQ(first.stats.arrived, first.stats.placed + first.stats.rejected + (options.form == Form::kQueue ? waiting : 0));
  }
}

}  // namespace berth::test

#endif  // BERTH_TESTS_CONFORMANCE_ENV_KIT_H_

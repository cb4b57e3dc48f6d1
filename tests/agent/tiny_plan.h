// What the tests that start berth-train run: a plan of seconds that passes through evolution, critic and PPO, 3 + 2 + 3 updates and two
// groups of rollouts. The seed is the test's.
#ifndef BERTH_TESTS_AGENT_TINY_PLAN_H_
#define BERTH_TESTS_AGENT_TINY_PLAN_H_

namespace berth::test {

inline constexpr char kTinyPlan[] =
    " --workload openb-like --node-count 20 --loads 1.0 --warmup-hours 0.5 --window-hours 0.5 --generations 3 --population 4 --critic-updates 2"
    " --ppo-updates 3 --groups 2 --rollouts 2 --decisions 40 --minibatch 32 --validate-every 2 --validation-seeds 1 --gate-seeds 2"
    " --test-seeds 2 --quiet --json";

}  // namespace berth::test

#endif  // BERTH_TESTS_AGENT_TINY_PLAN_H_

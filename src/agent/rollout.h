// Rollouts of the stochastic policy: groups of them on the same arrivals, from the same warmed-up cluster.
#ifndef BERTH_AGENT_ROLLOUT_H_
#define BERTH_AGENT_ROLLOUT_H_

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "agent/arena.h"
#include "agent/learner.h"
#include "base/rng.h"

namespace berth {

struct RolloutOptions {
  std::vector<double> loads{0.9};   // they take turns over the groups, and the mixes before them
  int groups = 4;                   // arrival sequences an update
  int64_t first_group = 0;          // whose turn it is
  int rollouts = 4;                 // on each of them
  int decisions = 512;              // of each rollout
  int candidates = 16;              // actions kept a decision, best logits first; 0 = all legal ones
  double tau = 1;                   // temperature
  bool teacher_acts = false;        // else the weights themselves
};

// One epoch with its decision.
struct Epoch {
  Context context;
  int64_t now_us = 0;
  double reward = 0;               // from this decision to the next epoch: expected where it can be (loss_rate.h), else as it came
  uint32_t first_action = 0, action_count = 0, chosen = 0;
  float log_prob = 0;
};

struct Rollout {
  int mix = 0;                     // of the arena
  MixShape mix_shape{};            // quantised
  std::vector<Features> states;    // distinct states met, in order of appearance
  std::vector<uint32_t> after, before;
  std::vector<float> base;         // logit without the mlp
  std::vector<float> teacher;      // the teacher's logit
  std::vector<Epoch> epochs;
  bool is_terminated = false;      // else it was cut: bootstrap with the value of `last_context` at `end_us`
  Context last_context{};
  int64_t end_us = 0;
};

// CPU seconds of the process.
struct CollectTimes {
  double warmup_s = 0, rollouts_s = 0;
};

// In the loss and the static form the reward of an interval is what is lost of it in expectation (loss_rate.h).
//
// Rollouts in the order group, rollout; a pure function of the arguments, whatever the number of threads and processes. The weights' linear part
// (experts blended for the group's mix) and class terms give the base logits; `teacher` its own, null: it is that part. Each group
// is of one mix and warms up by the greedy policy: by time in the forms with departures, until 30 to 90 % has arrived in the static form. With
// prices, what is free is worth what it is served with, in every logit; each rollout solves its own, from the warm start on. What it took
// is added to `times`, unless that is null.
absl::StatusOr<std::vector<Rollout>> Collect(Arena& arena, const NetworkWeights& weights, const RolloutOptions& options,
                                             uint64_t seed, const NetworkWeights* teacher = nullptr, CollectTimes* times = nullptr);
// Which of `ranks` processes plays rollout `k` of group `g`: groups go round; where they are fewer than the processes, the rollouts of one
// go round among those that it falls to, each of which warms it up.
size_t RankOf(size_t g, size_t k, size_t groups, size_t ranks);
// The rollouts of a share, as Collect has them; the others are left empty.
absl::StatusOr<std::vector<Rollout>> CollectShare(Arena& arena, const NetworkWeights& weights, const RolloutOptions& options, uint64_t seed,
                                                  const NetworkWeights* teacher, Share share, CollectTimes* times = nullptr);
// What another rank answers to a task of kind kRollouts.
absl::StatusOr<std::string> AnswerRollouts(Arena& arena, std::string_view task, Share share);
// One of them, from where `env` stands, which plays the arena's `mix`.
absl::StatusOr<Rollout> PlayRollout(Arena& arena, int mix, Env& env, const NetworkWeights& weights, const RolloutOptions& options, Rng rng,
                                    const NetworkWeights* teacher = nullptr);

struct AdvantageOptions {
  double horizon_s = 7200;         // values decay by exp(-t / horizon); infinite = no discount
  double credit_s = 1800;          // GAE's lambda by time: exp(-t / credit)
};

// Per rollout and epoch. `values[r]` has one entry an epoch and one for the cut (ignored where terminated).
struct Advantages {
  std::vector<std::vector<double>> advantage;   // with the mean of the group's others at the same time taken off
  std::vector<std::vector<double>> target;      // of the critic
};
Advantages Estimate(const std::vector<Rollout>& rollouts, const std::vector<std::vector<float>>& values, double reward_scale,
                    int group_size, const AdvantageOptions& options);

// The decisions with a choice (two actions or more), with their advantages divided by `advantage_scale`.
PolicyBatch MakeBatch(const std::vector<Rollout>& rollouts, const std::vector<std::vector<double>>& advantage,
                      double advantage_scale);

// The temperature at which the teacher's best action has this mean probability over the decisions of the batch, whose base
// logits were made with `tau`. Bisection.
double CalibrateTau(const PolicyBatch& batch, double tau, double mean_best_probability);

}  // namespace berth

#endif  // BERTH_AGENT_ROLLOUT_H_

// A round of PPO (Schulman et al., 2017): rollouts, advantages, minibatches of the actor and of the critic. Training and the bench
// run the same code.
#ifndef BERTH_AGENT_PPO_H_
#define BERTH_AGENT_PPO_H_

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "absl/status/statusor.h"
#include "agent/arena.h"
#include "agent/learner.h"
#include "agent/rollout.h"
#include "agent/training_plan.h"

namespace berth {

// Fixed at the first round and kept in the checkpoint.
struct Calibration {
  double tau = 0;            // temperature of the stochastic policy; 0 = not calibrated yet
  double reward_scale = 0;   // 1 / deviation of the returns
};

struct Round {
  std::vector<Rollout> rollouts;
  Advantages advantages;
  std::vector<Context> contexts;      // of all epochs
  std::vector<float> targets;
  double explained_variance = 0;      // of the critic before this round
  double reward = 0;                  // mean a rollout, in its own units
  size_t decisions() const { return contexts.size(); }
};

struct ActorRound {
  ActorStats last;           // of the last minibatch
  int minibatches = 0;
  double max_kl = 0;
  size_t decisions = 0;      // with a choice
};

// Stateless but for what it points to: every draw is a function of (plan.seed, update). Not thread-safe.
// Errors: as the environment; INTERNAL LibTorch.
class Ppo {
 public:
  // Plan and arena must outlive it.
  Ppo(const TrainingPlan& plan, Arena& arena) : plan_(plan), arena_(arena) {}

  // The temperature gives the best action of `linear` the plan's mean probability; the scale gives returns a deviation of 1.
  absl::StatusOr<Calibration> Calibrate(const NetworkWeights& linear, int64_t update) const;
  // `times` null: not measured.
  absl::StatusOr<std::vector<Rollout>> Roll(const NetworkWeights& weights, const NetworkWeights* teacher, double tau, bool teacher_acts, int64_t update,
                                            CollectTimes* times = nullptr) const;
  // Rollouts of `weights` and what the critic says of them.
  absl::StatusOr<Round> Play(Learner& learner, const NetworkWeights& weights, const NetworkWeights* teacher, const Calibration& calibration,
                             int64_t update, CollectTimes* times = nullptr) const;
  // The plan's epochs over the decisions of the round; ends early where the divergence passes 1.5 times the plan's target.
  absl::StatusOr<ActorRound> ImproveActor(Learner& learner, const Round& round, const ActorOptions& options, int64_t update) const;
  // Minibatches of KL to the teacher alone; the divergence in each.
  absl::StatusOr<std::vector<double>> ImitateTeacher(Learner& learner, const PolicyBatch& batch, double lr, int64_t update) const;
  // Returns the loss of the last minibatch.
  absl::StatusOr<double> FitCritic(Learner& learner, const Round& round, int64_t update) const;

 private:
  RolloutOptions OptionsFor(double tau, int64_t update) const;
  uint64_t SeedOf(int64_t update) const;
  absl::Status Minibatches(size_t count, int epochs, int64_t update, uint64_t purpose,
                           const std::function<absl::StatusOr<bool>(std::span<const uint32_t>)>& step) const;

  const TrainingPlan& plan_;
  Arena& arena_;
};

}  // namespace berth

#endif  // BERTH_AGENT_PPO_H_

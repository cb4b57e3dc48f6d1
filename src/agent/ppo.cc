#include "agent/ppo.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/rng.h"
#include "base/status.h"

namespace berth {
namespace {

constexpr uint64_t kRolloutStream = 322, kShuffleStream = 323, kSeedsApart = 1'000'000;
constexpr uint64_t kCriticShuffle = 1, kActorShuffle = 2, kImitationShuffle = 3;
constexpr double kFirstTau = 0.05;   // before calibration

}  // namespace

RolloutOptions Ppo::OptionsFor(double tau, int64_t update) const {
  RolloutOptions o;
  o.loads = plan_.loads;
  o.groups = plan_.groups;
  o.rollouts = plan_.rollouts;
  o.decisions = plan_.decisions;
  o.candidates = plan_.candidates;
  o.tau = tau;
  if (arena_.mixes() > 1) o.first_group = update * plan_.groups;
  return o;
}

uint64_t Ppo::SeedOf(int64_t update) const { return SplitMix64(SplitMix64(plan_.seed) + static_cast<uint64_t>(update) + kRolloutStream * kSeedsApart); }

absl::StatusOr<Calibration> Ppo::Calibrate(const NetworkWeights& linear, int64_t update) const {
  Calibration calibration{.tau = kFirstTau, .reward_scale = 1};
  BERTH_ASSIGN_OR_RETURN(const auto rollouts, Collect(arena_, linear, OptionsFor(kFirstTau, update), SplitMix64(SeedOf(update))));
  std::vector<std::vector<float>> zeros;
  for (const Rollout& r : rollouts) zeros.emplace_back(r.epochs.size() + 1, 0.0f);
  const auto returns = Estimate(rollouts, zeros, 1, 1, {plan_.horizon_s, 1e15}).target;
  double sum = 0, squares = 0, n = 0;
  for (const auto& row : returns) {
    for (double x : row) sum += x, squares += x * x, n += 1;
  }
  const double deviation = std::sqrt(std::max(0.0, squares / n - sum / n * (sum / n)));
  if (deviation > 1e-9) calibration.reward_scale = 1 / deviation;
  const PolicyBatch batch = MakeBatch(rollouts, returns, 1);
  if (batch.decisions() > 0) calibration.tau = std::clamp(CalibrateTau(batch, kFirstTau, plan_.best_probability), 1e-6, 1e6);
  return calibration;
}

absl::StatusOr<std::vector<Rollout>> Ppo::Roll(const NetworkWeights& weights, const NetworkWeights* teacher, double tau, bool teacher_acts, int64_t update,
                                               CollectTimes* times) const {
  RolloutOptions options = OptionsFor(tau, update);
  options.teacher_acts = teacher_acts;
  return Collect(arena_, weights, options, SeedOf(update), teacher, times);
}

absl::StatusOr<Round> Ppo::Play(Learner& learner, const NetworkWeights& weights, const NetworkWeights* teacher, const Calibration& calibration,
                                int64_t update, CollectTimes* times) const {
  Round round;
  BERTH_ASSIGN_OR_RETURN(round.rollouts, Roll(weights, teacher, calibration.tau, false, update, times));
  std::vector<std::vector<float>> values;
  for (const Rollout& r : round.rollouts) {
    std::vector<Context> contexts;
    for (const Epoch& e : r.epochs) contexts.push_back(e.context), round.reward += e.reward / static_cast<double>(round.rollouts.size());
    round.contexts.insert(round.contexts.end(), contexts.begin(), contexts.end());
    contexts.push_back(r.last_context);
    BERTH_ASSIGN_OR_RETURN(values.emplace_back(), learner.Values(contexts));
  }
  round.advantages = Estimate(round.rollouts, values, calibration.reward_scale, plan_.rollouts, {plan_.horizon_s, plan_.credit_s});
  double n = 0, target_sum = 0, target_squares = 0, error_sum = 0, error_squares = 0;
  for (size_t r = 0; r < values.size(); ++r) {
    for (size_t t = 0; t < round.advantages.target[r].size(); ++t) {
      const double target = round.advantages.target[r][t], error = target - static_cast<double>(values[r][t]);
      round.targets.push_back(static_cast<float>(target));
      n += 1, target_sum += target, target_squares += target * target, error_sum += error, error_squares += error * error;
    }
  }
  const double variance = target_squares / n - target_sum / n * (target_sum / n);
  round.explained_variance = variance > 1e-12 ? 1 - (error_squares / n - error_sum / n * (error_sum / n)) / variance : 0;
  return round;
}

// Minibatches of shuffled indices, `epochs` times; stops when `step` says false. The last one may be short, down to one.
absl::Status Ppo::Minibatches(size_t count, int epochs, int64_t update, uint64_t purpose,
                              const std::function<absl::StatusOr<bool>(std::span<const uint32_t>)>& step) const {
  std::vector<uint32_t> order(count);
  std::iota(order.begin(), order.end(), 0u);
  Rng rng = Rng::Stream(SplitMix64(plan_.seed) + static_cast<uint64_t>(update), kShuffleStream + 1000 * purpose);
  const auto size = static_cast<size_t>(plan_.minibatch);
  for (int e = 0; e < epochs; ++e) {
    rng.Shuffle(order);
    for (size_t i = 0; i < count; i += size) {
      BERTH_ASSIGN_OR_RETURN(const bool goes_on, step(std::span(order).subspan(i, std::min(size, count - i))));
      if (!goes_on) return absl::OkStatus();
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<ActorRound> Ppo::ImproveActor(Learner& learner, const Round& round, const ActorOptions& options, int64_t update) const {
  // Mixes differ in what they lose; each counts alike.
  std::vector<double> squares(static_cast<size_t>(arena_.mixes()), 0), count(squares.size(), 0);
  auto advantage = round.advantages.advantage;
  const auto mix_of = [&](size_t r) { return static_cast<size_t>(round.rollouts[r].mix); };
  for (size_t r = 0; r < advantage.size(); ++r) {
    for (double a : advantage[r]) squares[mix_of(r)] += a * a, count[mix_of(r)] += 1;
  }
  for (size_t r = 0; r < advantage.size(); ++r) {
    for (double& a : advantage[r]) a /= std::max(1e-8, std::sqrt(squares[mix_of(r)] / count[mix_of(r)]));
  }
  const PolicyBatch batch = MakeBatch(round.rollouts, advantage, 1);
  ActorRound result;
  result.decisions = batch.decisions();
  BERTH_RETURN_IF_ERROR(Minibatches(batch.decisions(), plan_.epochs, update, kActorShuffle, [&](std::span<const uint32_t> decisions) -> absl::StatusOr<bool> {
    BERTH_ASSIGN_OR_RETURN(result.last, learner.StepActor(batch, decisions, options));
    ++result.minibatches;
    result.max_kl = std::max(result.max_kl, result.last.approx_kl);
    return result.last.approx_kl <= 1.5 * plan_.target_kl;
  }));
  return result;
}

absl::StatusOr<std::vector<double>> Ppo::ImitateTeacher(Learner& learner, const PolicyBatch& batch, double lr, int64_t update) const {
  ActorOptions o;
  o.lr = lr;
  o.surrogate = o.entropy = 0;
  o.kl_teacher = 1;
  std::vector<double> kl;
  BERTH_RETURN_IF_ERROR(Minibatches(batch.decisions(), plan_.epochs, update, kImitationShuffle, [&](std::span<const uint32_t> decisions) -> absl::StatusOr<bool> {
    BERTH_ASSIGN_OR_RETURN(const ActorStats stats, learner.StepActor(batch, decisions, o));
    kl.push_back(stats.kl_teacher);
    return true;
  }));
  return kl;
}

absl::StatusOr<double> Ppo::FitCritic(Learner& learner, const Round& round, int64_t update) const {
  double last = 0;
  CriticOptions o;
  o.lr = plan_.critic_lr;
  BERTH_RETURN_IF_ERROR(Minibatches(round.contexts.size(), plan_.critic_epochs, update, kCriticShuffle, [&](std::span<const uint32_t> rows) -> absl::StatusOr<bool> {
    BERTH_ASSIGN_OR_RETURN(last, learner.StepCritic(round.contexts, round.targets, rows, o));
    return true;
  }));
  return last;
}

}  // namespace berth

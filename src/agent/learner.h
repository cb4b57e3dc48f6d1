// The learner: the residual network (actor) and the critic, their optimisers and their updates. LibTorch stays behind it.
#ifndef BERTH_AGENT_LEARNER_H_
#define BERTH_AGENT_LEARNER_H_

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "policy/potential/features.h"
#include "policy/potential/network.h"
#include "policy/potential/safetensors.h"

namespace berth {

// What the critic sees of an epoch: mean features over the nodes, used shares, the load, the pod to place, the mix's shape. float32.
inline constexpr int kContextCount = kFeatureCount + 8 + kMixShapeCount;
using Context = std::array<float, kContextCount>;

// What the actor sees of a node: its features and the mix's quantised shape, which only an actor that sees the mix looks at.
inline constexpr int kActorInputCount = kFeatureCount + kMixShapeCount;
using ActorInput = std::array<float, kActorInputCount>;
ActorInput MakeActorInput(const Features& x, const MixShape& quantised);

// Decisions with their candidate actions, variable in number (CSR). Logit of action a = base[a] - (mlp(after) - mlp(before)) /
// tau. Actions point into the rows of `states`.
struct PolicyBatch {
  std::vector<ActorInput> states;
  std::vector<uint32_t> after, before;      // [actions], rows of states
  std::vector<float> base;                  // [actions], the logit without the mlp
  std::vector<float> teacher;               // [actions], the teacher's logit
  std::vector<uint32_t> offsets{0};         // [decisions + 1]
  std::vector<uint32_t> chosen;             // [decisions], index within the decision's actions
  std::vector<float> old_log_prob;          // [decisions]
  std::vector<float> advantage;             // [decisions]
  size_t decisions() const { return chosen.size(); }
};

struct ActorOptions {
  double lr = 3e-4;
  double clip = 0.2;
  double entropy = 0.001;      // weight of the entropy over the candidates
  double kl_teacher = 0.05;    // weight of KL(teacher || policy)
  double surrogate = 1;        // weight of the clipped surrogate; with 0, and no entropy, the step imitates the teacher
  double max_grad_norm = 0.5;
};

struct ActorStats {
  double loss = 0, entropy = 0, kl_teacher = 0;
  double approx_kl = 0;        // k3 estimate against the policy that sampled
  double clip_fraction = 0;
  double grad_norm = 0;
};

struct CriticOptions {
  double lr = 1e-3;
  double max_grad_norm = 0.5;
};

struct LearnerOptions {
  int hidden = 32;
  bool sees_mix = false;       // the actor sees the mix's shape too
  int critic_hidden = 64;
  double tau = 1;              // temperature of the stochastic policy, in units of Phi
};

// Not thread-safe. Runs LibTorch on one thread. Errors: INTERNAL with LibTorch's message; the learner is then unusable.
class Learner {
 public:
  // Orthogonal initial weights from `seed`; the last layer of the actor is zero, so that it starts as its teacher.
  static absl::StatusOr<std::unique_ptr<Learner>> Create(const LearnerOptions& options, uint64_t seed);
  virtual ~Learner() = default;

  // `base` with the actor as its mlp, for our own forward pass.
  virtual NetworkWeights Export(NetworkWeights base) const = 0;
  // The actor's mlp of each row, by LibTorch.
  virtual absl::StatusOr<std::vector<float>> Mlp(std::span<const ActorInput> states) = 0;
  virtual absl::StatusOr<std::vector<float>> Values(std::span<const Context> contexts) = 0;
  // Log-probabilities of all actions, by LibTorch.
  virtual absl::StatusOr<std::vector<float>> LogProbs(const PolicyBatch& batch) = 0;

  // One clipped-surrogate minibatch over the decisions named. Advantages are normalised over the minibatch by its biased
  // deviation; a minibatch of one keeps its advantage as it is. Requires one decision at least, each with two actions or more.
  virtual absl::StatusOr<ActorStats> StepActor(const PolicyBatch& batch, std::span<const uint32_t> decisions,
                                               const ActorOptions& options) = 0;
  // One minibatch of the squared error; returns it before the step.
  virtual absl::StatusOr<double> StepCritic(std::span<const Context> contexts, std::span<const float> targets,
                                            std::span<const uint32_t> rows, const CriticOptions& options) = 0;

  // Everything that a later update depends on: weights, Adam's step and moments. Names: actor.*, critic.*.
  virtual TensorMap State() const = 0;
  // Errors: INVALID_ARGUMENT a tensor that is missing, unknown or of another shape; nothing changed.
  virtual absl::Status Restore(const TensorMap& state) = 0;
};

// Call once, first thing in main: one thread, deterministic algorithms, memory kept by the process.
void PrepareTorch();

// What bit-identity depends on besides the seed, as JSON: torch version, BLAS and its core, CPU capability, threads, compiler.
std::string ArithmeticFingerprint();

}  // namespace berth

#endif  // BERTH_AGENT_LEARNER_H_

// LibTorch against our own forward pass and against plain arithmetic.
#include <cmath>

#include "agent/learner.h"
#include "base/rng.h"
#include "base/status.h"

namespace berth {
namespace {

ActorInput RandomInput(Rng& rng) {
  ActorInput x;
  for (float& v : x) v = static_cast<float>(std::round(32 * rng.Normal()) / 32);   // as fine as the mix's steps
  return x;
}

std::unique_ptr<Learner> NewLearner(double tau = 0.5, bool sees_mix = false) {
  LearnerOptions o;
  o.tau = tau;
  o.sees_mix = sees_mix;
  auto learner = Learner::Create(o, 3);
  EXPECT_TRUE(learner.ok()) << learner.status();
  return *std::move(learner);
}

// `decisions` with the given number of actions each, advantage +1 where the first action was chosen, else -1.
PolicyBatch RandomBatch(const std::vector<int>& actions, uint64_t seed) {
  Rng rng(seed);
  PolicyBatch batch;
  for (int i = 0; i < 40; ++i) batch.states.push_back(RandomInput(rng));
  for (int n : actions) {
    for (int a = 0; a < n; ++a) {
      batch.after.push_back(static_cast<uint32_t>(rng.Below(40)));
      batch.before.push_back(static_cast<uint32_t>(rng.Below(40)));
      batch.base.push_back(static_cast<float>(rng.Normal()));
      batch.teacher.push_back(batch.base.back());
    }
    batch.offsets.push_back(static_cast<uint32_t>(batch.base.size()));
    batch.chosen.push_back(static_cast<uint32_t>(rng.Below(static_cast<uint64_t>(n))));
    batch.advantage.push_back(batch.chosen.back() == 0 ? 1.0f : -1.0f);
    batch.old_log_prob.push_back(-std::log(static_cast<float>(n)));
  }
  return batch;
}

// The mlp of the row as it is served: the mix's numbers in the row, if the network sees them, folded into its bias.
float ServedMlp(const NetworkWeights& w, const ActorInput& row) {
  Features x;
  MixShape shape;
  std::copy_n(row.begin(), x.size(), x.begin());
  std::copy_n(row.begin() + kFeatureCount, shape.size(), shape.begin());
  return MlpForward(ForMix(w, shape), x);
}

NetworkWeights NoLinear() {
  NetworkWeights w;
  w.linear.assign(kFeatureCount, 0);
  return w;
}

// Log-softmax of each decision in double, by the flat forward pass.
std::vector<double> PlainLogProbs(const PolicyBatch& batch, const NetworkWeights& w, double tau) {
  std::vector<double> result;
  for (size_t d = 0; d < batch.decisions(); ++d) {
    std::vector<double> logits;
    for (uint32_t a = batch.offsets[d]; a < batch.offsets[d + 1]; ++a) {
      const auto mlp = [&](uint32_t row) { return static_cast<double>(ServedMlp(w, batch.states[row])); };
      logits.push_back(static_cast<double>(batch.base[a]) - (mlp(batch.after[a]) - mlp(batch.before[a])) / tau);
    }
    double largest = logits[0], sum = 0;
    for (double l : logits) largest = std::max(largest, l);
    for (double l : logits) sum += std::exp(l - largest);
    for (double l : logits) result.push_back(l - largest - std::log(sum));
  }
  return result;
}

void TrainABit(Learner& learner) {
  const PolicyBatch batch = RandomBatch(std::vector<int>(64, 5), 1);
  std::vector<uint32_t> all(64);
  for (uint32_t i = 0; i < 64; ++i) all[i] = i;
  for (int i = 0; i < 20; ++i) ASSERT_TRUE(learner.StepActor(batch, all, {.lr = 1e-2}).ok());
}

TEST(Learner, StartsAsItsTeacher) {
  const auto learner = NewLearner();
  Rng rng(1);
  std::vector<ActorInput> x{RandomInput(rng), RandomInput(rng)};
  const auto y = learner->Mlp(x);
  ASSERT_TRUE(y.ok());
  EXPECT_EQ(*y, (std::vector<float>{0, 0}));
}

TEST(Learner, ForwardEqualsTheFlatForwardPass) {
  const auto learner = NewLearner();
  TrainABit(*learner);
  const NetworkWeights w = learner->Export(NoLinear());
  ASSERT_TRUE(ValidateWeights(w).ok());
  Rng rng(9);
  std::vector<ActorInput> x;
  for (int i = 0; i < 500; ++i) x.push_back(RandomInput(rng));
  const auto y = learner->Mlp(x);
  ASSERT_TRUE(y.ok());
  double largest = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    EXPECT_NEAR((*y)[i], ServedMlp(w, x[i]), 1e-5 * (1 + std::abs((*y)[i])));
    largest = std::max(largest, std::abs(static_cast<double>((*y)[i])));
  }
  EXPECT_GT(largest, 0.01);   // else the zero network was compared
  NetworkWeights wrong = w;   // control: one weight off is seen
  wrong.b2[0] += 1;
  wrong.w3[0] += 1;
  double difference = 0;
  for (size_t i = 0; i < x.size(); ++i) difference = std::max(difference, std::abs(static_cast<double>((*y)[i] - ServedMlp(wrong, x[i]))));
  EXPECT_GT(difference, 1e-3);
}

// The same of a network that sees the mix, which serving folds into the first bias.
TEST(Learner, ForwardWithTheMixEqualsTheFoldedForwardPass) {
  const auto learner = NewLearner(0.5, true);
  TrainABit(*learner);
  const NetworkWeights w = learner->Export(NoLinear());
  ASSERT_TRUE(ValidateWeights(w).ok());
  EXPECT_EQ(w.w1.size(), size_t{32} * kActorInputCount);
  Rng rng(9);
  std::vector<ActorInput> x;
  for (int i = 0; i < 200; ++i) {
    Features features;
    MixShape shape;
    for (float& v : features) v = static_cast<float>(rng.Normal());
    for (float& v : shape) v = static_cast<float>(rng.Uniform());
    x.push_back(MakeActorInput(features, Quantised(shape)));
  }
  const auto y = learner->Mlp(x);
  ASSERT_TRUE(y.ok());
  double largest = 0, by_mix = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    EXPECT_NEAR((*y)[i], ServedMlp(w, x[i]), 1e-5 * (1 + std::abs((*y)[i])));
    largest = std::max(largest, std::abs(static_cast<double>((*y)[i])));
    ActorInput other = x[i];   // control: the mix matters
    other.back() += 1;
    by_mix = std::max(by_mix, std::abs(static_cast<double>((*y)[i] - ServedMlp(w, other))));
  }
  EXPECT_GT(largest, 0.01);
  EXPECT_GT(by_mix, 1e-3);
}

// Choices of a teacher that wants other things than the base: the divergence from it must fall, and by much.
TEST(Learner, ImitationLowersTheDivergenceFromTheTeacher) {
  for (const bool sees_mix : {false, true}) {
    const auto learner = NewLearner(0.5, sees_mix);
    PolicyBatch batch = RandomBatch(std::vector<int>(64, 5), 1);
    Rng rng(8);
    NetworkWeights teacher = NewLearner(0.5, sees_mix)->Export(NoLinear());
    for (float& v : teacher.w3) v = static_cast<float>(0.2 * rng.Normal());
    for (size_t a = 0; a < batch.base.size(); ++a) {
      batch.teacher[a] = batch.base[a] - (ServedMlp(teacher, batch.states[batch.after[a]]) - ServedMlp(teacher, batch.states[batch.before[a]])) / 0.5f;
    }
    std::vector<uint32_t> all(64);
    for (uint32_t i = 0; i < 64; ++i) all[i] = i;
    ActorOptions o{.lr = 1e-2, .entropy = 0, .kl_teacher = 1, .surrogate = 0};
    const double first = learner->StepActor(batch, all, o)->kl_teacher;
    double last = 0;
    for (int i = 0; i < 200; ++i) last = learner->StepActor(batch, all, o)->kl_teacher;
    EXPECT_GT(first, 0.05);
    EXPECT_LT(last, 0.1 * first);
  }
}

TEST(Learner, SegmentLogSoftmaxIsRightFromOneToTwentyThousandActions) {
  const auto learner = NewLearner();
  TrainABit(*learner);
  const NetworkWeights w = learner->Export(NoLinear());
  const PolicyBatch batch = RandomBatch({1, 2, 5000, 1, 20000, 7}, 5);
  const auto got = learner->LogProbs(batch);
  ASSERT_TRUE(got.ok()) << got.status();
  const auto want = PlainLogProbs(batch, w, 0.5);
  ASSERT_EQ(got->size(), want.size());
  for (size_t i = 0; i < want.size(); ++i) ASSERT_NEAR((*got)[i], want[i], 1e-4 * (1 + std::abs(want[i]))) << i;
  for (size_t d = 0; d < batch.decisions(); ++d) {
    double sum = 0;
    for (uint32_t a = batch.offsets[d]; a < batch.offsets[d + 1]; ++a) sum += std::exp(static_cast<double>((*got)[a]));
    EXPECT_NEAR(sum, 1, 1e-3);
  }
}

TEST(Learner, HugeLogitsStayFinite) {
  const auto learner = NewLearner();
  PolicyBatch batch = RandomBatch({3, 3}, 5);
  batch.base = {1e6f, -1e6f, 0, 3e4f, 3e4f, 3e4f};
  const auto got = learner->LogProbs(batch);
  ASSERT_TRUE(got.ok());
  for (float p : *got) EXPECT_TRUE(std::isfinite(p));
  EXPECT_NEAR((*got)[3], std::log(1.0 / 3), 1e-5);
}

TEST(Learner, StepsTowardsWhatPaid) {
  const auto learner = NewLearner();
  const PolicyBatch batch = RandomBatch(std::vector<int>(64, 5), 1);
  const auto mean_first = [&] {
    const auto p = learner->LogProbs(batch);
    double chosen_first = 0;
    for (size_t d = 0; d < batch.decisions(); ++d) {
      if (batch.chosen[d] == 0) chosen_first += static_cast<double>((*p)[batch.offsets[d]]);
    }
    return chosen_first;
  };
  const double before = mean_first();
  TrainABit(*learner);
  EXPECT_GT(mean_first(), before);
}

// T27: 9 samples in minibatches of 4 leave one over.
TEST(Learner, MinibatchOfOneSampleLeavesEverythingFinite) {
  const auto learner = NewLearner();
  const PolicyBatch batch = RandomBatch(std::vector<int>(9, 4), 2);
  const std::vector<uint32_t> order{0, 1, 2, 3, 4, 5, 6, 7, 8};
  const NetworkWeights start = learner->Export(NoLinear());
  for (size_t i = 0; i < 9; i += 4) {
    const auto stats = learner->StepActor(batch, std::span(order).subspan(i, std::min<size_t>(4, 9 - i)), {});
    ASSERT_TRUE(stats.ok());
    EXPECT_TRUE(std::isfinite(stats->loss));
    EXPECT_GT(stats->grad_norm, 0) << "the minibatch from " << i << " was skipped";
  }
  const NetworkWeights end = learner->Export(NoLinear());
  EXPECT_TRUE(ValidateWeights(end).ok());   // all finite
  EXPECT_NE(start.w3, end.w3);
}

TEST(Learner, CriticFitsALinearTarget) {
  const auto learner = NewLearner();
  Rng rng(4);
  std::vector<Context> x(256);
  std::vector<float> y;
  std::vector<uint32_t> all;
  for (auto& row : x) {
    for (float& v : row) v = static_cast<float>(rng.Uniform());
    y.push_back(row[0] - row[5]);
    all.push_back(static_cast<uint32_t>(all.size()));
  }
  const auto first = learner->StepCritic(x, y, all, {});
  double last = 0;
  for (int i = 0; i < 300; ++i) last = *learner->StepCritic(x, y, all, {});
  EXPECT_LT(last, 0.1 * *first);
}

TEST(Learner, GoesOnFromItsStateAsIfItHadNeverStopped) {
  const auto whole = NewLearner(), first = NewLearner(), second = NewLearner();
  TrainABit(*whole);
  TrainABit(*whole);
  TrainABit(*first);
  ASSERT_TRUE(second->Restore(first->State()).ok());
  TrainABit(*second);
  const TensorMap a = whole->State(), b = second->State();
  for (const auto& [name, tensor] : a) EXPECT_EQ(tensor.values, b.at(name).values) << name;

  // Control: without Adam's moments the weights come out otherwise.
  const auto third = NewLearner();
  TensorMap without = first->State();
  for (auto& [name, tensor] : without) {
    if (name.ends_with("exp_avg") || name.ends_with("exp_avg_sq")) std::fill(tensor.values.begin(), tensor.values.end(), 0.0f);
  }
  ASSERT_TRUE(third->Restore(without).ok());
  TrainABit(*third);
  EXPECT_NE(third->State().at("actor.w3").values, a.at("actor.w3").values);
}

TEST(Learner, RefusesTheStateOfAnotherNetworkAndKeepsItsOwn) {
  const auto learner = NewLearner();
  const TensorMap own = learner->State();
  TensorMap missing = own, extra = own, reshaped = own;
  missing.erase("actor.w2");
  extra["actor.w9"] = {{1}, {0}};
  reshaped["actor.b1"] = {{31}, std::vector<float>(31, 1)};
  for (const TensorMap& bad : {missing, extra, reshaped}) {
    EXPECT_EQ(learner->Restore(bad).code(), absl::StatusCode::kInvalidArgument);
    for (const auto& [name, tensor] : learner->State()) EXPECT_EQ(tensor.values, own.at(name).values);
  }
}

TEST(Learner, RefusesOptionsOutOfRange) {
  EXPECT_FALSE(Learner::Create({.hidden = 0}, 1).ok());
  EXPECT_FALSE(Learner::Create({.hidden = 257}, 1).ok());
  EXPECT_FALSE(Learner::Create({.tau = 0}, 1).ok());
  EXPECT_FALSE(Learner::Create({.tau = NAN}, 1).ok());
}

}  // namespace
}  // namespace berth

// The one learned form of a potential: Phi(s) = linear . x(s) + mlp(x(s)), x = the features of a node's free state,
// mlp = features -> hidden -> hidden -> 1 with ReLU. The forward pass is ours; tests prove it equal to LibTorch's to 1e-5.
#ifndef BERTH_POLICY_POTENTIAL_NETWORK_H_
#define BERTH_POLICY_POTENTIAL_NETWORK_H_

#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "policy/potential/features.h"
#include "policy/potential/potential.h"

namespace berth {

// float32; matrices [out, in] row-major, as LibTorch keeps them. hidden 0 = no mlp: a linear potential.
struct NetworkWeights {
  std::vector<float> linear;        // [kFeatureCount]
  int hidden = 0;
  std::vector<float> w1, b1;        // [hidden, kFeatureCount], [hidden]
  std::vector<float> w2, b2;        // [hidden, hidden], [hidden]
  std::vector<float> w3;            // [hidden]; there is no last bias: a constant changes no decision
};

// Weights that pass give finite values on every node that cluster/node.h accepts. Errors: INVALID_ARGUMENT, named: a size
// that does not fit, hidden above 256, a value beyond +-1e6 or not finite.
absl::Status ValidateWeights(const NetworkWeights& weights);

// Zero but for the linear part. The first equals MakeStrandingPotential on clusters with GPUs (without, the hand potential is
// another: see potential.h); the second is where training with departures can start: fragment, and a bonus for nodes whose
// devices are all free.
NetworkWeights StrandingWeights();
NetworkWeights KeepEmptyWeights();

// mlp(x) in float32, sums in index order. Requires valid weights. Cost: hidden x (features + hidden) multiplications.
float MlpForward(const NetworkWeights& weights, const Features& x);
double NetworkValue(const NetworkWeights& weights, const Features& x);

// `typical` and `mix` as FeatureExtractor. Requires valid weights.
std::unique_ptr<Potential> MakeNetworkPotential(std::shared_ptr<const NetworkWeights> weights, PodMix typical, PodMix mix = {});

}  // namespace berth

#endif  // BERTH_POLICY_POTENTIAL_NETWORK_H_

// The one learned form of a potential: Phi(s) = linear . x(s) + classes . z(s) + mlp(x(s)), x = the features of a node's free
// state, z = terms of single pod classes and GPU models (class_terms.h; none where `classes` is empty),
// mlp = features -> hidden -> hidden -> 1 with ReLU. The forward pass is ours; tests prove it equal to LibTorch's to 1e-5. Where the
// mlp sees the mix too, its inputs are the features and the mix's quantised shape, which is constant for a cluster and a mix and so
// becomes part of the first bias (ForMix): it costs nothing a decision.
#ifndef BERTH_POLICY_POTENTIAL_NETWORK_H_
#define BERTH_POLICY_POTENTIAL_NETWORK_H_

#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "policy/potential/class_terms.h"
#include "policy/potential/features.h"
#include "policy/potential/potential.h"

namespace berth {

// float32; matrices [out, in] row-major, as LibTorch keeps them. hidden 0 = no mlp: a linear potential.
struct NetworkWeights {
  std::vector<float> linear;        // [kFeatureCount]
  int hidden = 0;
  bool mlp_sees_mix = false;
  std::vector<float> w1, b1;        // [hidden, mlp_inputs()], [hidden]
  std::vector<float> w2, b2;        // [hidden, hidden], [hidden]
  std::vector<float> w3;            // [hidden]; there is no last bias: a constant changes no decision
  std::vector<float> classes;       // [ClassTerms::Count(typical pods, class models)], or empty
  std::vector<std::string> class_models;   // GPU models with terms of their own
  // Weights trained for single mixes, [experts][kFeatureCount], and where those mixes stand. What serves a mix is `linear` + the sum
  // of the experts by their HullShares in it: each expert alone on its own mix, a blend between. At most kMaxExperts.
  std::vector<float> experts;
  std::vector<MixShape> expert_shapes;

  size_t mlp_inputs() const { return kFeatureCount + (mlp_sees_mix ? size_t{kMixShapeCount} : 0); }
  bool depends_on_mix() const { return mlp_sees_mix || !experts.empty(); }
  friend bool operator==(const NetworkWeights&, const NetworkWeights&) = default;
};

// Phi times `factor`: every term of it.
void Scale(double factor, NetworkWeights* weights);
// Whether the cluster must be keyed by when nodes will be empty: a linear part or an expert weighs it.
bool LooksAtExits(const NetworkWeights& weights);

// The weights that serve a mix of this shape: experts blended, the shape folded into the first bias of an mlp that sees it. They
// depend on no mix any more. Cost: HullShares where there are experts.
NetworkWeights ForMix(const NetworkWeights& weights, const MixShape& shape);
// The first half of it: without experts; an mlp that sees the mix still does.
NetworkWeights BlendExperts(const NetworkWeights& weights, const MixShape& shape);

// Weights that pass give finite values on every node that cluster/node.h accepts. Errors: INVALID_ARGUMENT, named: a size
// that does not fit, hidden above 256, a value beyond +-1e6 or not finite. That `classes` fits the typical pods is checked
// where they are known: CheckClasses, same errors.
absl::Status ValidateWeights(const NetworkWeights& weights);
absl::Status CheckClasses(const NetworkWeights& weights, const PodMix& typical);

// Zero but for the linear part. The first equals MakeStrandingPotential on clusters with GPUs (without, the hand potential is
// another: see potential.h); the second is where training with departures can start: fragment, and a bonus for nodes whose
// devices are all free.
NetworkWeights StrandingWeights();
NetworkWeights KeepEmptyWeights();
// For clusters without GPUs: expected free cpu that no longer fits a class, as a share of the node: the policy `stranding` on nodes
// of one shape, but for ties that float32 breaks otherwise.
NetworkWeights CpuStrandingWeights();
// To be served with prices, on any mix of pods that do not depart.
NetworkWeights UniversalWeights();

// mlp(x) in float32, sums in index order. Requires valid weights whose mlp does not see the mix (ForMix). Cost: hidden x (features + hidden) multiplications.
float MlpForward(const NetworkWeights& weights, const Features& x);
double LinearValue(const NetworkWeights& weights, const Features& x);   // linear . x
double NetworkValue(const NetworkWeights& weights, const Features& x);  // + mlp
// classes . z, z as ClassTerms computes it; 0 without classes. Cost: one multiplication a term.
double ClassValue(const NetworkWeights& weights, const float* z);

// `typical` and `mix` as FeatureExtractor. Requires weights that pass both checks.
std::unique_ptr<Potential> MakeNetworkPotential(std::shared_ptr<const NetworkWeights> weights, PodMix typical, PodMix mix = {});

}  // namespace berth

#endif  // BERTH_POLICY_POTENTIAL_NETWORK_H_

// A model on disk: models/<name>/<version>/ with
//   manifest.json         what it is: name, version, feature schema, sizes, sha256 of the weights, the mix of pods that it
//                         looks ahead to, what it was trained on, measured results
//   weights.safetensors   the weights (network.h)
//   golden.json           a small cluster, a stream of pods and the decisions that the model must give
// docs/model-format.md describes them. Loading is all or nothing; no code is ever run from a model.
#ifndef BERTH_POLICY_POTENTIAL_MODEL_DIR_H_
#define BERTH_POLICY_POTENTIAL_MODEL_DIR_H_

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "cluster/node.h"
#include "cluster/policy.h"
#include "policy/pod_mix.h"
#include "policy/potential/network.h"
#include "policy/potential/priced_potential.h"

namespace berth {

struct ModelContent {
  std::string name;                 // [a-z0-9-]{1,63}
  int64_t version = 1;              // 1 or more
  NetworkWeights weights;
  PodMix mix;                       // as MixOf(workload); the typical pods are taken from it
  std::optional<PricedOptions> prices;   // none: a potential without prices
  bool serves_any_mix = false;      // trained to look ahead to whatever mix it is given, `mix` being the one where none is
  std::string trained_on_json;      // free JSON text, e.g. {"workload": "openb-like", "seed": 1}
  std::string metrics_json;         // free JSON text: what was measured, with the command
  std::vector<Node> golden_nodes;   // a small cluster for the golden answers, at most 64 nodes
};

// Writes <root>/<name>/<version>, whole or not at all, loads it once as LoadModelDir does, and returns its path. Of the golden
// nodes only capacity, GPU model and pod limit are kept. Errors, nothing published: ALREADY_EXISTS the version is there;
// INVALID_ARGUMENT a field, also one that could not be loaded again; FAILED_PRECONDITION it can't be written.
absl::StatusOr<std::string> WriteModelDir(const std::string& root, const ModelContent& content);

// Reads a model, checks format, feature schema, sizes, sha256, finite weights and the golden answers, and makes its policy
// (kind "model", ties by least free memory, then rank). Files are opened without following links and at most 16 MiB large.
// Errors: NOT_FOUND a file; INVALID_ARGUMENT what is wrong with it, e.g. both numbers where sizes differ;
// FAILED_PRECONDITION it was made for another feature list, or gives other golden answers on this machine.
// `given`: the mix at hand, for models that serve any; null: the model's own. `learns_mix`: such a model with prices learns the mix
// from the arrivals instead (priced_potential.h); of others it changes nothing. `run`: how prices are solved; the golden answers are
// checked with prices in place.
absl::StatusOr<std::shared_ptr<const Policy>> LoadModelDir(const std::string& dir, const PodMix* given = nullptr, bool learns_mix = false,
                                                           const PriceRun& run = {});
// The same without a policy: what is inside, for `berth model` and for training on from it.
absl::StatusOr<ModelContent> ReadModelDir(const std::string& dir);

// One model out of several that were trained on single mixes (and say so: trained_on.mix_shape, as `berth train` writes it): it
// serves any mix by the blend of them (network.h, `experts`). Name and version are the caller's to set; mix, golden nodes and prices
// are those of the first part. Errors: INVALID_ARGUMENT, naming the part: fewer than 2 or more than kMaxExperts parts, a network,
// class terms or experts in one, other prices than the first part's, no mix_shape.
absl::StatusOr<ModelContent> BlendModels(const std::vector<ModelContent>& parts);

// The policy of some weights, as LoadModelDir would make it.
absl::StatusOr<std::shared_ptr<const Policy>> MakeModelPolicy(const std::string& name, const std::string& version, const NetworkWeights& weights,
                                                              const PodMix& mix, const std::optional<PricedOptions>& prices = std::nullopt,
                                                              const PriceRun& run = {});

}  // namespace berth

#endif  // BERTH_POLICY_POTENTIAL_MODEL_DIR_H_

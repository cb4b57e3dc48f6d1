#include "agent/weight_space.h"

#include <algorithm>
#include <cmath>

namespace berth {
namespace {

constexpr double kFeatureScale = 0.3;
constexpr double kDeadScale = 0.9;        // "dead" is in GPUs and weighs more
constexpr double kFragmentExponent = 0.6, kMostExponent = 8;
constexpr double kHostedScale = 0.6, kModelScale = 0.7;

size_t IndexOf(std::string_view feature) {
  const auto names = FeatureNames();
  return static_cast<size_t>(std::find(names.begin(), names.end(), feature) - names.begin());
}

}  // namespace

WeightSpace::WeightSpace(NetworkWeights start, size_t typical, std::vector<std::string> class_models)
    : start_(std::move(start)), typical_(typical), class_models_(std::move(class_models)), scales_(kFeatureCount, kFeatureScale) {
  scales_[IndexOf("dead")] = kDeadScale;
}

NetworkWeights WeightSpace::At(const std::vector<double>& x) const {
  NetworkWeights weights = start_;
  for (size_t i = 0; i < kFeatureCount; ++i) weights.linear[i] += static_cast<float>(scales_[i] * x[i]);
  if (x.size() != all()) return weights;
  const auto fragment = static_cast<double>(weights.linear[IndexOf("fragment")]);
  weights.class_models = class_models_;
  weights.classes.resize(all() - shared());
  for (size_t i = 0; i < weights.classes.size(); ++i) {
    const double at = x[kFeatureCount + i];
    const double weight = i < typical_       ? fragment * (std::exp(std::clamp(kFragmentExponent * at, -kMostExponent, kMostExponent)) - 1)
                          : i < 2 * typical_ ? kHostedScale * at
                                             : kModelScale * at;
    weights.classes[i] = static_cast<float>(weight);
  }
  return weights;
}

}  // namespace berth

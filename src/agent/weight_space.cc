#include "agent/weight_space.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <utility>

#include "workload/summary.h"

namespace berth {
namespace {

constexpr double kFeatureScale = 0.3;
constexpr double kExitScale = 1;
constexpr double kDeadScale = 0.9;        // "dead" is in GPUs and weighs more
constexpr double kFragmentExponent = 1, kMostExponent = 8;
constexpr double kHostedScale = 0.6, kModelScale = 1.5;
constexpr double kTermScale = 0.3;        // of all terms of a class without GPUs

// Those that neither are 0 on nodes without GPUs nor repeat another one there.
constexpr std::array<std::string_view, 9> kWithoutGpus = {"sqrt_cpu",  "sqrt_mem",     "is_empty",     "cpu_share",  "mem_share",
                                                          "cpu_fragment", "mem_fragment", "cpu_share_2", "share_gap"};

bool IsOfExits(size_t feature) { return feature >= kFirstExitFeature && feature < kFirstExitFeature + kExitFeatures; }

}  // namespace

WeightSpace::WeightSpace(NetworkWeights start, int features, const PodMix& typical, std::vector<std::string> class_models, bool lifetimes)
    : start_(std::move(start)), has_gpus_(HasGpus(typical)), class_models_(std::move(class_models)), scales_(kFeatureCount, kFeatureScale) {
  scales_[FeatureIndex("dead")] = kDeadScale;
  for (size_t i = 0; i < (features > 0 ? static_cast<size_t>(features) : kFeatureCount); ++i) {
    if (IsOfExits(i)) continue;
    if (has_gpus_ || std::find(kWithoutGpus.begin(), kWithoutGpus.end(), FeatureNames()[i]) != kWithoutGpus.end()) moves_.push_back(i);
  }
  for (size_t i = kFirstExitFeature; lifetimes && i < kFirstExitFeature + kExitFeatures; ++i) {
    scales_[i] = kExitScale;
    moves_.push_back(i);
  }
  std::map<std::pair<int, std::vector<std::string>>, size_t> groups;
  for (const MixClass& c : typical) {
    group_of_.push_back(groups.try_emplace({PodKindIndex(c.request), c.request.gpu_models}, groups.size()).first->second);
  }
  groups_ = groups.size();
  if (start_.class_models != class_models_ || start_.classes.size() != ClassTerms::Count(typical, class_models_.size())) {
    start_.classes.clear();
    start_.class_models.clear();
  }
}

NetworkWeights WeightSpace::At(const std::vector<double>& x) const {
  NetworkWeights weights = start_;
  for (size_t i = 0; i < moves_.size(); ++i) weights.linear[moves_[i]] += static_cast<float>(scales_[moves_[i]] * x[i]);
  if (x.size() != all()) return weights;
  if (!has_gpus_) {
    weights.classes.clear();
    weights.class_models = class_models_;
    for (size_t i = moves_.size(); i < x.size(); ++i) weights.classes.push_back(static_cast<float>(kTermScale * x[i]));
    for (size_t i = 0; i < start_.classes.size(); ++i) weights.classes[i] += start_.classes[i];
    return weights;
  }
  const auto fragment = static_cast<double>(weights.linear[FeatureIndex("fragment")]);
  const double* const fragments = &x[moves_.size()];
  const double* const hosted = fragments + groups_;
  const double* const models = hosted + groups_;
  weights.classes.clear();
  weights.class_models = class_models_;
  for (size_t group : group_of_) {
    const double exponent = std::clamp(kFragmentExponent * fragments[group], -kMostExponent, kMostExponent);
    weights.classes.push_back(static_cast<float>(fragment * (std::exp(exponent) - 1)));
  }
  for (size_t group : group_of_) weights.classes.push_back(static_cast<float>(kHostedScale * hosted[group]));
  for (size_t i = 0; i < 3 * class_models_.size(); ++i) weights.classes.push_back(static_cast<float>(kModelScale * models[i]));
  for (size_t i = 0; i < start_.classes.size(); ++i) weights.classes[i] += start_.classes[i];
  return weights;
}

}  // namespace berth

// What a learned potential sees of a node's free state. One piece of code computes it for training and for serving.
//
// Layout: kFeatureCount float32. All are shares or numbers of order one; the meaning of each is in features.cc beside its
// line and by name in FeatureNames(). They are functions of (shape, state) and of the mix of pods that the potential was made
// for; nothing depends on the number of nodes, so weights carry over to clusters of any size.
#ifndef BERTH_POLICY_POTENTIAL_FEATURES_H_
#define BERTH_POLICY_POTENTIAL_FEATURES_H_

#include <array>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "policy/class_policy.h"
#include "policy/pod_mix.h"
#include "policy/potential/mix_scan.h"

namespace berth {

inline constexpr int kFeatureCount = 32;
using Features = std::array<float, kFeatureCount>;

// Names in order; the list is the schema that a model's manifest must equal.
std::span<const std::string_view, kFeatureCount> FeatureNames();

// Not thread-safe.
class FeatureExtractor {
 public:
  // `typical`: typical pods with their memory (TypicalPods(mix, 0.95, false)).
  explicit FeatureExtractor(PodMix typical);
  void Reset(const ClusterState& view);
  // Cost: O(mix), no allocation.
  void Compute(const Shape& shape, const NodeState& state, Features* out);
  // The typical pods against the state that was computed last.
  MixScan* scan() { return &scan_; }

 private:
  PodMix typical_;
  MixScan scan_;
};

}  // namespace berth

#endif  // BERTH_POLICY_POTENTIAL_FEATURES_H_

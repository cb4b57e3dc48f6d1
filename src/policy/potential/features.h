// What a learned potential sees of a node's free state. One piece of code computes it for training and for serving.
//
// Layout: kFeatureCount float32. All are shares or numbers of order one; the meaning of each is in features.cc beside its
// line and by name in FeatureNames(). They are functions of (shape, state), of the mix of pods that the potential was made for and
// of what the cluster has a GPU (ClusterRatios); nothing depends on the number of nodes, so weights carry over to clusters of
// any size. New features are added at the end: a model that was made for the first n is read with weights of 0 for the rest.
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
#include "policy/potential/mix_shape.h"

namespace berth {

inline constexpr int kFeatureCount = 47;
using Features = std::array<float, kFeatureCount>;

// Names in order; the list is the schema that a model's manifest must equal.
std::span<const std::string_view, kFeatureCount> FeatureNames();
// Where a name stands among them; kFeatureCount for one that does not.
size_t FeatureIndex(std::string_view name);
// Those that look at when a node will be empty: 0 unless the cluster is keyed by it (KeyFields::exit_class).
inline constexpr int kExitFeatures = 4, kFirstExitFeature = 43;

// Cpu and memory that the cluster has a GPU, in steps of 1/16 (of a power of two), so that what rests on them lives long.
struct ClusterRatios {
  int cpu_step = 0, mem_step = 0;      // 16 log2 of vCPU and of GiB a GPU
  static ClusterRatios Of(const ClusterState& view);
  friend bool operator==(const ClusterRatios&, const ClusterRatios&) = default;
};

// Not thread-safe.
class FeatureExtractor {
 public:
  // `typical`: typical pods with their memory (TypicalPods(mix)); `mix`: all of them, for what the mix asks a GPU
  // and of each GPU model; empty: the typical ones.
  explicit FeatureExtractor(PodMix typical, PodMix mix = {});
  void Reset(const ClusterState& view);
  // Whether what Reset saw of the cluster as a whole still holds: false once nodes that came or went have moved a ratio by a step.
  // Before every decision, so O(1): three comparisons while no node comes or goes.
  bool IsUpToDate(const ClusterState& view);
  // Cost: O(mix), no allocation.
  void Compute(const Shape& shape, const NodeState& state, Features* out);
  // Of the whole mix on the cluster that Reset saw.
  const MixShape& mix_shape() const { return mix_shape_; }
  // The typical pods against the state that was computed last.
  const MixScan& scan() const { return scan_; }

 private:
  PodMix typical_, whole_;
  MixScan scan_;
  ClusterRatios has_;                      // at Reset
  std::array<int64_t, 3> totals_{};        // of the cluster when has_ was last compared
  double cpu_asked_ = 0, gib_asked_ = 0;   // a GPU of the mix: vCPU, GiB
  double cpu_mid_ = 0, gib_mid_ = 0;       // between that and what the cluster has a GPU
  MixShape mix_shape_{};
  int32_t most_devices_ = 0;               // of a node
  std::vector<double> scarcity_;           // by GPU model: share of the mix's GPUs that insist on it or on few others
};

}  // namespace berth

#endif  // BERTH_POLICY_POTENTIAL_FEATURES_H_

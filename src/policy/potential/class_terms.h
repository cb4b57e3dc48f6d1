// Terms of a potential that belong to single pod classes and GPU models, beside the shared features (features.h): what a
// typed or many-sided mix needs, at the price that they serve that mix alone.
#ifndef BERTH_POLICY_POTENTIAL_CLASS_TERMS_H_
#define BERTH_POLICY_POTENTIAL_CLASS_TERMS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "policy/pod_mix.h"
#include "policy/potential/mix_scan.h"

namespace berth {

// Layout of the terms z(s), T typical pods t with shares p_t, M GPU models m:
//   [0, T)           p_t x GPU that t can't use on the node, memory looked at (devices)
//   [T, 2T)          sqrt(p_t) x how many copies of t the node could host / 32
//   [2T + 3m, +3)    on nodes of model m, 0 on others: idle GPU / 8, free vCPU / 100, 1 where all devices are wholly free
// Of a mix without GPUs, where none of these says anything:
//   [0, T)           free vCPU of the node that t can't use (all or none), as a share of its capacity
//   [T, 2T)          copies of t that fit, as a share of those that an empty node hosts (both counted to 64 at most)
//   [2T, 3T)         the square root of that share
// They are functions of (shape, state), of the mix and of the list of models, never of the number of nodes. Not thread-safe.
class ClassTerms {
 public:
  static size_t Count(const PodMix& typical, size_t models) { return HasGpus(typical) ? 2 * typical.size() + 3 * models : 3 * typical.size(); }

  // `typical` as FeatureExtractor takes it.
  ClassTerms(PodMix typical, std::vector<std::string> models) : typical_(std::move(typical)), models_(std::move(models)), has_gpus_(HasGpus(typical_)), count_(Count(typical_, models_.size())) {}
  size_t count() const { return count_; }
  void Reset(const ClusterState& view);
  // Writes count() numbers. `scan` is of the typical pods and has scanned and counted this state (FeatureExtractor::scan after Compute).
  // Cost: O(typical + models), no allocation.
  void Compute(const Shape& shape, const NodeState& state, const MixScan& scan, float* out) const;

 private:
  void ComputeWithoutGpus(const Shape& shape, const NodeState& state, const MixScan& scan, float* out) const;

  PodMix typical_;
  std::vector<std::string> models_;
  bool has_gpus_;   // the mix
  size_t count_;
  std::vector<ResolvedMixClass> classes_;
  std::vector<double> weights_, roots_;   // p_t / 1000, sqrt(p_t) / 32
  std::vector<int32_t> index_of_model_;   // of models_[m] in the cluster; -2 = no node has it
};

}  // namespace berth

#endif  // BERTH_POLICY_POTENTIAL_CLASS_TERMS_H_

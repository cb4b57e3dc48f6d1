// Features of node states, computed once and kept while weights change: training asks for the same states again and again.
#ifndef BERTH_AGENT_FEATURE_TABLE_H_
#define BERTH_AGENT_FEATURE_TABLE_H_

#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "cluster/policy.h"
#include "policy/pod_mix.h"
#include "policy/potential/class_terms.h"
#include "policy/potential/features.h"
#include "policy/potential/network.h"
#include "policy/potential/priced_potential.h"
#include "workload/workload.h"

namespace berth {

// Where the workload's mix stands on its own nodes.
MixShape MixShapeOf(const Workload& workload);

// Not thread-safe. What it answers never depends on what was asked before.
class FeatureTable {
 public:
  // `mix`: all classes, as MixOf gives them. With `class_models` the table keeps class terms too, of these models: weights that
  // have classes can be asked about.
  explicit FeatureTable(const PodMix& mix, const std::optional<std::vector<std::string>>& class_models = std::nullopt);

  // To be called before the first Find of an episode. Forgets everything if the cluster's shapes or ratios are others, or if
  // the table has grown past 300,000 states; indices from before are then invalid.
  void Bind(const ClusterState& view);
  // Index of the state; valid until the next Bind. Cost: a hash look-up, features if it is new.
  uint32_t Find(const Shape& shape, const NodeState& state);
  const Features& features(uint32_t index) const { return features_[index]; }
  // Of the mix on the cluster that was bound last.
  const MixShape& mix_shape() const { return extractor_.mix_shape(); }
  // An id of the weights, the same for equal ones: what was remembered under it still holds. The last few are known; cost: one comparison
  // of all weights each.
  uint64_t WeightsId(const NetworkWeights& weights);
  // Phi of the state under the weights of that id, remembered until it is asked for with another id. The weights depend on no mix; weights
  // with classes must be of the table's class models.
  double Value(uint32_t index, const NetworkWeights& weights, uint64_t weights_id);
  // The part of it without the mlp: linear . x + classes . z. Remembered for as long as those weights stay, whatever the mlp's do.
  double Base(uint32_t index, const NetworkWeights& weights, uint64_t weights_id);
  // Changes when everything is forgotten.
  uint64_t version() const { return version_; }

 private:
  struct Memo {
    uint64_t weights_id = 0, linear_id = 0;
    double value = 0, linear = 0, classes = 0;
  };
  struct KnownWeights {
    NetworkWeights weights;
    uint64_t id = 0, linear_id = 0;   // equal linear parts have equal linear ids
  };

  Memo& WithLinear(uint32_t index, const NetworkWeights& weights, uint64_t weights_id);
  const float* TermsOf(uint32_t index) const { return &chunks_[index / kChunk][index % kChunk * terms_.count()]; }

  static constexpr size_t kChunk = 1024;   // states
  FeatureExtractor extractor_;
  ClassTerms terms_;
  const bool has_terms_;
  std::vector<std::vector<float>> chunks_;
  std::vector<Shape> shapes_;
  absl::flat_hash_map<NodeState, uint32_t> index_;
  std::deque<Features> features_;
  std::vector<Memo> memo_;
  static constexpr size_t kKnown = 4;
  std::vector<KnownWeights> known_;   // newest last
  uint64_t last_id_ = 0, version_ = 0;
};

// One table a thread. Thread-safe.
class FeatureTablePool {
 public:
  explicit FeatureTablePool(PodMix mix, std::optional<std::vector<std::string>> class_models = std::nullopt)
      : mix_(std::move(mix)), class_models_(std::move(class_models)) {}
  const PodMix& mix() const { return mix_; }
  std::unique_ptr<FeatureTable> Take();
  void Return(std::unique_ptr<FeatureTable> table);

 private:
  const PodMix mix_;
  const std::optional<std::vector<std::string>> class_models_;
  std::mutex mutex_;
  std::vector<std::unique_ptr<FeatureTable>> free_;
};

// Holds a table of the pool while it lives.
class FeatureTableLease {
 public:
  explicit FeatureTableLease(FeatureTablePool& pool) : pool_(pool), table_(pool.Take()) {}
  ~FeatureTableLease() { pool_.Return(std::move(table_)); }
  FeatureTableLease(const FeatureTableLease&) = delete;
  FeatureTableLease& operator=(const FeatureTableLease&) = delete;
  FeatureTable* get() { return table_.get(); }

 private:
  FeatureTablePool& pool_;
  std::unique_ptr<FeatureTable> table_;
};

// Decides as MakeModelPolicy(weights) does (a test compares them), but looks features up in `table`, which must outlive
// the policy's deciders; for the thread that holds the table alone. `mix`: of the table; `prices` none: a potential without.
std::shared_ptr<const Policy> MakeTablePolicy(NetworkWeights weights, FeatureTable* table, const PodMix& mix = {},
                                              const std::optional<PricedOptions>& prices = std::nullopt);

}  // namespace berth

#endif  // BERTH_AGENT_FEATURE_TABLE_H_

#include "agent/feature_table.h"

#include <algorithm>
#include <limits>

#include "policy/class_policy.h"

namespace berth {
namespace {

constexpr size_t kMaxStates = 300'000;
constexpr double kCoverage = 0.95;

// MakePotentialScorer over a network potential, with the table in place of both memories.
class TableScorer : public ClassScorer {
 public:
  TableScorer(std::shared_ptr<const NetworkWeights> weights, FeatureTable* table)
      : weights_(std::move(weights)), table_(table), weights_id_(table->NewWeightsId()) {}

  void Reset(const ClusterState& view, const ScoreContext& context) override {
    context_ = context;
    table_->Bind(view);
  }

  Scored Score(const Shape& shape, const NodeState& state, const ResolvedRequest& request) override {
    const double before = Value(shape, state);
    const auto score = [&](DevicePositions devices) {
      return before - Value(shape, StateAfter(state, request, devices, context_.mem_grain_bytes, context_.key_fields));
    };
    if (request.gpu_count != 1) {
      const DevicePositions devices = TightestDevices(state, request);
      return {score(devices), devices, 0};
    }
    Scored best;
    best.score = -std::numeric_limits<double>::infinity();
    for (uint32_t i = 0; i < state.device_count; ++i) {
      if (state.gpu_milli[i] < request.gpu_milli || (i > 0 && state.gpu_milli[i] == state.gpu_milli[i - 1])) continue;
      const double s = score(1u << i);
      if (s > best.score) best = {s, 1u << i, 0};
    }
    return best;
  }

 private:
  double Value(const Shape& shape, const NodeState& state) {
    return table_->Value(table_->Find(shape, state), *weights_, weights_id_);
  }

  const std::shared_ptr<const NetworkWeights> weights_;
  FeatureTable* const table_;
  const uint64_t weights_id_;
  ScoreContext context_;
};

}  // namespace

PodMix TypicalForModels(const PodMix& mix) { return TypicalPods(mix, kCoverage, false); }

void FeatureTable::Bind(const ClusterState& view) {
  const auto shapes = view.shapes();
  const bool is_same = std::equal(shapes.begin(), shapes.end(), shapes_.begin(), shapes_.end());
  if (is_same && !shapes_.empty() && features_.size() <= kMaxStates) return;
  shapes_.assign(shapes.begin(), shapes.end());
  index_.clear();
  features_.clear();
  chunks_.clear();
  memo_.clear();
  extractor_.Reset(view);
  if (has_terms_) terms_.Reset(view);
}

uint32_t FeatureTable::Find(const Shape& shape, const NodeState& state) {
  const auto [it, is_new] = index_.try_emplace(state, static_cast<uint32_t>(features_.size()));
  if (is_new) {
    extractor_.Compute(shape, state, &features_.emplace_back());
    memo_.emplace_back();
    if (has_terms_) {
      if (it->second % kChunk == 0) chunks_.emplace_back(kChunk * terms_.count());
      terms_.Compute(shape, state, extractor_.scan(), &chunks_.back()[it->second % kChunk * terms_.count()]);
    }
  }
  return it->second;
}

double FeatureTable::Value(uint32_t index, const NetworkWeights& weights, uint64_t weights_id) {
  Memo& memo = memo_[index];
  if (memo.weights_id != weights_id) memo = {weights_id, NetworkValue(weights, features_[index]) + ClassPart(index, weights)};
  return memo.value;
}

std::unique_ptr<FeatureTable> FeatureTablePool::Take() {
  {
    const std::lock_guard lock(mutex_);
    if (!free_.empty()) {
      auto table = std::move(free_.back());
      free_.pop_back();
      return table;
    }
  }
  return std::make_unique<FeatureTable>(typical_, class_models_);
}

void FeatureTablePool::Return(std::unique_ptr<FeatureTable> table) {
  const std::lock_guard lock(mutex_);
  free_.push_back(std::move(table));
}

std::shared_ptr<const Policy> MakeTablePolicy(NetworkWeights weights, FeatureTable* table) {
  ClassPolicySpec spec;
  spec.info.name = "in-training";
  spec.info.kind = "model";
  spec.tie = TieRule::kLeastFreeMemory;
  spec.scorer = [shared = std::make_shared<const NetworkWeights>(std::move(weights)), table] {
    return std::make_unique<TableScorer>(shared, table);
  };
  return MakeClassPolicy(std::move(spec));
}

}  // namespace berth

#include "agent/feature_table.h"

#include <algorithm>

#include "evaluate/evaluate.h"
#include "policy/class_policy.h"

namespace berth {
namespace {

constexpr size_t kMaxStates = 300'000;

// A network potential with the table in place of its memory.
class TablePotential : public Potential {
 public:
  TablePotential(std::shared_ptr<const NetworkWeights> weights, FeatureTable* table)
      : weights_(std::move(weights)), served_(weights_), table_(table), weights_id_(table->WeightsId(*weights_)) {}
  void Reset(const ClusterState& view, const ScoreContext&) override {
    table_->Bind(view);
    if (!weights_->depends_on_mix()) return;
    served_ = std::make_shared<const NetworkWeights>(ForMix(*weights_, table_->mix_shape()));
    weights_id_ = table_->WeightsId(*served_);
  }
  double Value(const Shape& shape, const NodeState& state) override {
    return table_->Value(table_->Find(shape, state), *served_, weights_id_);
  }
  bool is_memoised() const override { return false; }

 private:
  const std::shared_ptr<const NetworkWeights> weights_;
  std::shared_ptr<const NetworkWeights> served_;   // for the mix and the cluster at hand
  FeatureTable* const table_;
  uint64_t weights_id_;
};

}  // namespace

MixShape MixShapeOf(const Workload& workload) {
  ClusterState state;
  for (const Node& node : workload.Nodes()) (void)state.AddNode(node);   // a workload's nodes are valid
  const PodMix mix = MixOf(workload);
  FeatureExtractor extractor(TypicalPods(mix), mix);
  extractor.Reset(state);
  return extractor.mix_shape();
}

FeatureTable::FeatureTable(const PodMix& mix, const std::optional<std::vector<std::string>>& class_models)
    : extractor_(TypicalPods(mix), mix), terms_(TypicalPods(mix), class_models.value_or(std::vector<std::string>())), has_terms_(class_models.has_value()) {}

void FeatureTable::Bind(const ClusterState& view) {
  const auto shapes = view.shapes();
  const bool is_same = std::equal(shapes.begin(), shapes.end(), shapes_.begin(), shapes_.end());
  if (is_same && !shapes_.empty() && extractor_.IsUpToDate(view) && features_.size() <= kMaxStates) return;
  shapes_.assign(shapes.begin(), shapes.end());
  index_.clear();
  features_.clear();
  chunks_.clear();
  memo_.clear();
  ++version_;
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

uint64_t FeatureTable::WeightsId(const NetworkWeights& weights) {
  uint64_t linear_id = 0;
  for (const KnownWeights& known : known_) {
    const bool is_linear_same = known.weights.linear == weights.linear && known.weights.classes == weights.classes;
    if (is_linear_same && known.weights == weights) return known.id;
    if (is_linear_same) linear_id = known.linear_id;
  }
  if (known_.size() == kKnown) known_.erase(known_.begin());
  const uint64_t id = ++last_id_;
  known_.push_back({weights, id, linear_id != 0 ? linear_id : id});
  return id;
}

FeatureTable::Memo& FeatureTable::WithLinear(uint32_t index, const NetworkWeights& weights, uint64_t weights_id) {
  uint64_t linear_id = weights_id;   // of weights that are no longer known
  for (const KnownWeights& known : known_) {
    if (known.id == weights_id) linear_id = known.linear_id;
  }
  Memo& memo = memo_[index];
  if (memo.linear_id != linear_id) {
    memo.linear_id = linear_id;
    memo.linear = LinearValue(weights, features_[index]);
    memo.classes = weights.classes.empty() ? 0 : ClassValue(weights, TermsOf(index));
  }
  return memo;
}

double FeatureTable::Value(uint32_t index, const NetworkWeights& weights, uint64_t weights_id) {
  if (memo_[index].weights_id == weights_id) return memo_[index].value;
  Memo& memo = WithLinear(index, weights, weights_id);
  memo.weights_id = weights_id;
  memo.value = memo.linear + static_cast<double>(MlpForward(weights, features_[index])) + memo.classes;
  return memo.value;
}

double FeatureTable::Base(uint32_t index, const NetworkWeights& weights, uint64_t weights_id) {
  const Memo& memo = WithLinear(index, weights, weights_id);
  return memo.linear + memo.classes;
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
  return std::make_unique<FeatureTable>(mix_, class_models_);
}

void FeatureTablePool::Return(std::unique_ptr<FeatureTable> table) {
  const std::lock_guard lock(mutex_);
  free_.push_back(std::move(table));
}

std::shared_ptr<const Policy> MakeTablePolicy(NetworkWeights weights, FeatureTable* table, const PodMix& mix, const std::optional<PricedOptions>& prices) {
  ClassPolicySpec spec;
  spec.info.name = "in-training";
  spec.info.kind = "model";
  spec.info.is_adaptive = prices.has_value();
  spec.info.key_fields.exit_class = LooksAtExits(weights);
  spec.tie = TieRule::kLeastFreeMemory;
  spec.scorer = [shared = std::make_shared<const NetworkWeights>(std::move(weights)), table, mix, prices] {
    auto potential = [shared, table](const PodMix&) -> std::unique_ptr<Potential> { return std::make_unique<TablePotential>(shared, table); };
    return MakePotentialScorer(prices ? MakePricedPotential(potential, mix, *prices) : potential(mix));
  };
  return MakeClassPolicy(std::move(spec));
}

}  // namespace berth

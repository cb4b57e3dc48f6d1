#include "policy/potential/class_terms.h"

#include <algorithm>
#include <cmath>

namespace berth {

void ClassTerms::Reset(const ClusterState& view) {
  weights_.clear();
  roots_.clear();
  for (const MixClass& c : typical_) {
    weights_.push_back(c.weight / 1000);
    roots_.push_back(std::sqrt(c.weight) / 32);
  }
  index_of_model_.clear();
  const auto names = view.gpu_models();
  for (const std::string& model : models_) {
    const auto it = std::find(names.begin(), names.end(), model);
    index_of_model_.push_back(it == names.end() ? -2 : static_cast<int32_t>(it - names.begin()));
  }
}

void ClassTerms::Compute(const Shape& shape, const NodeState& state, const MixScan& scan, float* out) const {
  const size_t t = typical_.size();
  for (size_t i = 0; i < t; ++i) {
    out[i] = static_cast<float>(weights_[i] * scan.fragment_milli(i));
    out[t + i] = static_cast<float>(roots_[i] * scan.copies(i));
  }
  float* at = out + 2 * t;
  const bool has_devices = state.device_count > 0;
  const bool is_full = has_devices && state.full_devices() == state.device_count;
  for (const int32_t index : index_of_model_) {
    const bool is_mine = has_devices && index == shape.gpu_model;
    *at++ = is_mine ? static_cast<float>(scan.idle_milli() / 8000) : 0;
    *at++ = is_mine ? static_cast<float>(static_cast<double>(std::max<int64_t>(0, state.cpu_milli)) / 100'000) : 0;
    *at++ = is_mine && is_full ? 1.0f : 0.0f;
  }
}

}  // namespace berth

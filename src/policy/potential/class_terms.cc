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
  classes_ = ResolveMix(view, typical_);
  index_of_model_.clear();
  const auto names = view.gpu_models();
  for (const std::string& model : models_) {
    const auto it = std::find(names.begin(), names.end(), model);
    index_of_model_.push_back(it == names.end() ? -2 : static_cast<int32_t>(it - names.begin()));
  }
}

void ClassTerms::Compute(const Shape& shape, const NodeState& state, const MixScan& scan, float* out) const {
  if (!has_gpus_) return ComputeWithoutGpus(shape, state, scan, out);
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

void ClassTerms::ComputeWithoutGpus(const Shape& shape, const NodeState& state, const MixScan& scan, float* out) const {
  const size_t t = typical_.size();
  const double cpu_share = shape.cpu_milli > 0 ? static_cast<double>(std::max<int64_t>(0, state.cpu_milli)) / static_cast<double>(shape.cpu_milli) : 0;
  for (size_t i = 0; i < t; ++i) {
    const ResolvedRequest& r = classes_[i].request;
    int64_t most = MixScan::kMostCopies;
    if (r.cpu_milli > 0) most = std::min(most, shape.cpu_milli / r.cpu_milli);
    if (r.mem_floor_bytes > 0) most = std::min(most, shape.mem_bytes / r.mem_floor_bytes);
    const double share = most > 0 ? scan.copies(i) / static_cast<double>(most) : 0;
    out[i] = scan.fits(i) ? 0.0f : static_cast<float>(cpu_share);
    out[t + i] = static_cast<float>(share);
    out[2 * t + i] = static_cast<float>(std::sqrt(share));
  }
}

}  // namespace berth

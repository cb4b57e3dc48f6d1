#include "policy/potential/class_terms.h"

#include <algorithm>
#include <cmath>

namespace berth {
namespace {

constexpr int64_t kMostCopies = 64;

// Copies of the class that fit side by side.
int64_t Copies(const Shape& shape, const NodeState& state, const ResolvedRequest& r) {
  if (!CanHost(shape, state, r, true)) return 0;
  int64_t copies = kMostCopies;
  if (r.cpu_milli > 0) copies = std::min(copies, state.cpu_milli / r.cpu_milli);
  if (r.mem_floor_bytes > 0) copies = std::min(copies, state.mem_bytes / r.mem_floor_bytes);
  if (r.gpu_count == 0) return copies;
  int64_t on_devices = 0;
  for (size_t i = 0; i < state.device_count; ++i) {
    if (state.gpu_milli[i] >= r.gpu_milli) on_devices += r.gpu_count > 1 || r.gpu_milli == 0 ? 1 : state.gpu_milli[i] / r.gpu_milli;
  }
  return std::min(copies, on_devices / r.gpu_count);
}

}  // namespace

void ClassTerms::Reset(const ClusterState& view) {
  mix_ = ResolveMix(view, typical_);
  index_of_model_.clear();
  const auto names = view.gpu_models();
  for (const std::string& model : models_) {
    const auto it = std::find(names.begin(), names.end(), model);
    index_of_model_.push_back(it == names.end() ? -2 : static_cast<int32_t>(it - names.begin()));
  }
}

void ClassTerms::Compute(const Shape& shape, const NodeState& state, float* out) const {
  const size_t t = mix_.size();
  for (size_t i = 0; i < t; ++i) {
    const ResolvedMixClass& c = mix_[i];
    out[i] = static_cast<float>(c.weight * static_cast<double>(ClassFragment(shape, state, c.request, true)) / 1000);
    out[t + i] = static_cast<float>(std::sqrt(c.weight) * static_cast<double>(Copies(shape, state, c.request)) / 32);
  }
  float* at = out + 2 * t;
  const int full = state.full_devices();
  for (const int32_t index : index_of_model_) {
    const bool is_mine = shape.device_count > 0 && index == shape.gpu_model;
    *at++ = is_mine ? static_cast<float>(IdleGpuMilli(state)) / 8000 : 0;
    *at++ = is_mine ? static_cast<float>(std::max<int64_t>(0, state.cpu_milli)) / 100'000 : 0;
    *at++ = is_mine && full == state.device_count ? 1.0f : 0.0f;
  }
}

}  // namespace berth

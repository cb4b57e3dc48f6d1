#include "policy/potential/fragment.h"

#include <algorithm>

namespace berth {
namespace {

bool HasDevices(const NodeState& state, const ResolvedRequest& request) {
  const int first = state.device_count - request.gpu_count;
  return request.gpu_count == 0 ||
         (first >= 0 && state.gpu_milli[static_cast<size_t>(first)] >= request.gpu_milli);
}

int64_t TooSmall(const NodeState& state, const ResolvedRequest& request) {
  int64_t sum = 0;
  for (size_t i = 0; i < state.device_count && state.gpu_milli[i] < request.gpu_milli; ++i) sum += std::max<int64_t>(0, state.gpu_milli[i]);
  return sum;
}

}  // namespace

std::vector<ResolvedMixClass> ResolveMix(const ClusterState& view, const PodMix& mix) {
  std::vector<ResolvedMixClass> resolved;
  resolved.reserve(mix.size());
  for (const MixClass& c : mix) resolved.push_back({view.Resolve(c.request), c.weight});
  return resolved;
}

int64_t IdleGpuMilli(const NodeState& state) {
  int64_t sum = 0;
  for (size_t i = 0; i < state.device_count; ++i) sum += std::max<int64_t>(0, state.gpu_milli[i]);
  return sum;
}

bool CanHost(const Shape& shape, const NodeState& state, const ResolvedRequest& request, bool with_memory) {
  if (request.gpu_count > 0 && !request.allows_model(shape.gpu_model)) return false;
  return state.cpu_milli >= request.cpu_milli && (!with_memory || state.mem_bytes >= request.mem_floor_bytes) &&
         HasDevices(state, request);
}

int64_t ClassFragment(const Shape& shape, const NodeState& state, const ResolvedRequest& request, bool with_memory) {
  if (request.gpu_count == 0 || !CanHost(shape, state, request, with_memory)) return IdleGpuMilli(state);
  return TooSmall(state, request);
}

double FgdFragment(const Shape& shape, const NodeState& state, const std::vector<ResolvedMixClass>& mix) {
  const auto free = static_cast<double>(IdleGpuMilli(state));
  double q1 = 0, q2 = 0, q4 = 0, xl = 0, xr = 0, na = 0;
  for (const ResolvedMixClass& c : mix) {
    const ResolvedRequest& r = c.request;
    const bool has_cpu = state.cpu_milli >= r.cpu_milli;
    if (r.gpu_count == 0) {
      (has_cpu ? xl : xr) += c.weight * free;
    } else if (!r.allows_model(shape.gpu_model)) {
      na += c.weight * free;
    } else if (HasDevices(state, r)) {
      if (has_cpu) q2 += c.weight * static_cast<double>(TooSmall(state, r));
      else q4 += c.weight * free;
    } else {
      (has_cpu ? q2 : q1) += c.weight * free;
    }
  }
  return q1 + q2 + q4 + xl + xr + na;
}

double CpuFragment(const Shape& shape, const NodeState& state, const std::vector<ResolvedMixClass>& mix) {
  double sum = 0;
  for (const ResolvedMixClass& c : mix) {
    if (!CanHost(shape, state, c.request, true)) sum += c.weight;
  }
  return sum * static_cast<double>(std::max<int64_t>(0, state.cpu_milli));
}

}  // namespace berth

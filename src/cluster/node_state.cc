#include "cluster/node_state.h"

#include <algorithm>

namespace berth {

int AffinityIndex(int32_t gpu_count, int32_t gpu_milli) {
  switch (gpu_count) {
    case 0: return -1;
    case 1: return gpu_milli < kWholeGpuMilli ? 0 : 1;
    case 2: return 2;
    case 4: return 3;
    case 8: return 4;
    default: return 5;
  }
}

std::optional<Constraint> FirstViolation(const Shape& shape, const NodeState& state, const ResolvedRequest& request) {
  if (request.gpu_count > 0 && !request.allows_model(shape.gpu_model)) return Constraint::kGpuModel;
  if (!state.has_pod_slot) return Constraint::kPodSlots;
  if (state.cpu_milli < request.cpu_milli) return Constraint::kCpu;
  if (state.mem_bytes < request.mem_floor_bytes) return Constraint::kMemory;
  if (request.gpu_count > 0) {
    // Devices are sorted, so the largest gpu_count of them must each have enough.
    const int first = state.device_count - request.gpu_count;
    if (first < 0 || state.gpu_milli[static_cast<size_t>(first)] < request.gpu_milli) return Constraint::kGpu;
  }
  if (request.is_impossible) return Constraint::kExtended;
  for (size_t i = 0; i < kMaxExtendedNames; ++i) {
    if (request.extended[i] > 0 && state.extended[i] < request.extended[i]) return Constraint::kExtended;
  }
  return std::nullopt;
}

DevicePositions TightestDevices(const NodeState& state, const ResolvedRequest& request) {
  DevicePositions positions = 0;
  int left = request.gpu_count;
  for (uint32_t i = 0; i < state.device_count && left > 0; ++i) {
    if (state.gpu_milli[i] >= request.gpu_milli) {
      positions |= 1u << i;
      --left;
    }
  }
  return positions;
}

NodeState StateAfter(const NodeState& state, const ResolvedRequest& request, DevicePositions devices,
                     int64_t mem_grain_bytes, const KeyFields& key_fields) {
  NodeState after = state;
  after.cpu_milli -= request.cpu_milli;
  after.mem_bytes = std::max<int64_t>(0, state.mem_bytes - request.mem_bytes);
  after.mem_bytes -= after.mem_bytes % mem_grain_bytes;
  for (uint32_t bits = devices; bits != 0; bits &= bits - 1) {
    const auto i = static_cast<size_t>(__builtin_ctz(bits));
    after.gpu_milli[i] = static_cast<int16_t>(after.gpu_milli[i] - request.gpu_milli);
  }
  if (devices != 0) std::sort(after.gpu_milli.begin(), after.gpu_milli.begin() + after.device_count);
  for (size_t i = 0; i < kMaxExtendedNames; ++i) after.extended[i] -= request.extended[i];
  after.is_empty = 0;
  if (key_fields.pod_count) ++after.pod_count;
  if (key_fields.exit_class) after.exit_class = std::max(after.exit_class, static_cast<uint8_t>(request.exit_class));
  const int affinity = AffinityIndex(request.gpu_count, request.gpu_milli);
  if (key_fields.gpu_affinity && affinity >= 0) {
    after.gpu_affinity = static_cast<uint8_t>(after.gpu_affinity | 1u << affinity);
  }
  return after;
}

}  // namespace berth

// The free state of a node, in the form that policies score: nodes with equal NodeState are one state class.
#ifndef BERTH_CLUSTER_NODE_STATE_H_
#define BERTH_CLUSTER_NODE_STATE_H_

#include <array>
#include <cstdint>
#include <cstring>
#include <optional>
#include <utility>

#include "base/rng.h"
#include "cluster/constraints.h"
#include "cluster/pod.h"

namespace berth {

using ExtendedAmounts = std::array<int64_t, kMaxExtendedNames>;  // by the cluster's own index of names; unused = 0

// What a class key holds beyond free capacity, because a policy in use looks at it.
struct KeyFields {
  bool pod_count = false;
  bool gpu_affinity = false;
  bool exit_class = false;      // when the node will be empty (node_exits.h)
  KeyFields operator|(const KeyFields& o) const {
    return {pod_count || o.pod_count, gpu_affinity || o.gpu_affinity, exit_class || o.exit_class};
  }
  friend bool operator==(const KeyFields&, const KeyFields&) = default;
};

// What does not change while pods come and go; nodes of one machine type share a shape.
struct Shape {
  int64_t cpu_milli = 0;
  int64_t mem_bytes = 0;        // rounded down to the cluster's memory grain
  int32_t device_count = 0;
  int32_t gpu_model = -1;       // the cluster's index of model names; -1 = unnamed or none
  int32_t max_pods = 0;
  ExtendedAmounts extended{};

  int64_t total_gpu_milli() const { return int64_t{device_count} * kWholeGpuMilli; }
  friend bool operator==(const Shape&, const Shape&) = default;
};

// GpuClustering's affinity classes, as bits of NodeState::gpu_affinity.
inline constexpr int kAffinityCount = 6;
// Index 0 shared, 1..4 one, two, four, eight devices, 5 any other count; -1 for a pod without GPU.
int AffinityIndex(int32_t gpu_count, int32_t gpu_milli);

// All bytes are defined (no padding), so that states compare and hash as memory.
struct NodeState {
  int64_t cpu_milli = 0;                          // free
  int64_t mem_bytes = 0;                          // free, rounded down to the cluster's memory grain
  std::array<int16_t, kMaxDevices> gpu_milli{};   // free of each device, ascending; entries >= device_count are 0
  uint32_t shape = 0;                             // index into ClusterState::shapes()
  uint32_t pod_count = 0;                         // 0 unless the cluster keys by it
  uint8_t device_count = 0;
  uint8_t has_pod_slot = 1;                       // pods < max_pods
  uint8_t gpu_affinity = 0;                       // 0 unless the cluster keys by it
  uint8_t is_empty = 1;                           // no pod runs here
  uint8_t exit_class = 0;                         // 0 unless the cluster keys by it
  std::array<uint8_t, 3> reserved{};
  ExtendedAmounts extended{};                     // free

  int64_t free_gpu_milli() const {
    int64_t sum = 0;
    for (int i = 0; i < device_count; ++i) sum += gpu_milli[static_cast<size_t>(i)];
    return sum;
  }
  int full_devices() const {
    int n = 0;
    while (n < device_count && gpu_milli[static_cast<size_t>(device_count - 1 - n)] >= kWholeGpuMilli) ++n;
    return n;
  }
  friend bool operator==(const NodeState& a, const NodeState& b) { return std::memcmp(&a, &b, sizeof a) == 0; }
  uint64_t Hash() const {
    std::array<uint64_t, 16> words;
    static_assert(sizeof words == sizeof(NodeState));
    std::memcpy(words.data(), this, sizeof words);
    // Four lanes, so that the multiplications overlap.
    std::array<uint64_t, 4> lane = {0x2545f4914f6cdd1dULL, 0x9e3779b97f4a7c15ULL, 0xbf58476d1ce4e5b9ULL, 0x94d049bb133111ebULL};
    for (size_t i = 0; i < words.size(); i += 4) {
      for (size_t j = 0; j < 4; ++j) {
        lane[j] = (lane[j] ^ words[i + j]) * 0x9fb21c651e98df25ULL;
        lane[j] ^= lane[j] >> 32;
      }
    }
    uint64_t h = 0;
    for (uint64_t l : lane) h = (h ^ l) * 0x9fb21c651e98df25ULL, h ^= h >> 29;
    return h;
  }
  template <class H>
  friend H AbslHashValue(H h, const NodeState& s) {
    return H::combine(std::move(h), s.Hash());
  }
};
static_assert(sizeof(NodeState) == 128);

// A PodRequest with the cluster's names looked up. Comparable and hashable as memory.
struct ResolvedRequest {
  int64_t cpu_milli = 0;
  int64_t mem_bytes = 0;
  int64_t mem_floor_bytes = 0;          // mem_bytes rounded down to the grain: the least rounded free that may be enough
  int32_t gpu_count = 0;
  int32_t gpu_milli = 0;
  uint64_t model_mask = ~uint64_t{0};   // bit i: model i allowed; all ones = any
  uint32_t is_impossible = 0;           // 1: asks for an extended resource that no node has
  uint32_t exit_class = 0;              // of a node that has nothing but such a pod; 0 unless the cluster keys by it
  ExtendedAmounts extended{};

  int64_t total_gpu_milli() const { return int64_t{gpu_count} * gpu_milli; }
  bool allows_model(int32_t model) const {
    return model_mask == ~uint64_t{0} || (model >= 0 && (model_mask >> model & 1) != 0);
  }
  friend bool operator==(const ResolvedRequest& a, const ResolvedRequest& b) {
    return std::memcmp(&a, &b, sizeof a) == 0;
  }
  template <class H>
  friend H AbslHashValue(H h, const ResolvedRequest& r) {
    return H::combine(std::move(h), r.cpu_milli, r.mem_bytes, r.gpu_count, r.gpu_milli, r.model_mask, r.exit_class, r.extended[0]);
  }
};
static_assert(sizeof(ResolvedRequest) == 112);

// Which devices of a state a pod would take: bit i = the i-th smallest free device (NodeState::gpu_milli[i]).
using DevicePositions = uint32_t;

// The first violated constraint of a node in this state, or nullopt when the pod fits. Taints, labels and cordons are not
// part of the state. Where NeedsExactCheck says so, the rounding of memory leaves it open whether a given node of the class
// fits, and ClusterState::FitsExactly decides.
std::optional<Constraint> FirstViolation(const Shape& shape, const NodeState& state, const ResolvedRequest& request);

inline bool NeedsExactCheck(const NodeState& state, const ResolvedRequest& request) {
  return state.mem_bytes < request.mem_bytes;
}

// The tightest fit: the gpu_count devices with the least free that is enough. Requires that the pod fits.
DevicePositions TightestDevices(const NodeState& state, const ResolvedRequest& request);

// The state after the pod was put on the given devices. Requires that it fits. Whether a pod slot is left after is not
// known to a state, so has_pod_slot stays; is_empty becomes 0.
NodeState StateAfter(const NodeState& state, const ResolvedRequest& request, DevicePositions devices,
                     int64_t mem_grain_bytes, const KeyFields& key_fields);

}  // namespace berth

#endif  // BERTH_CLUSTER_NODE_STATE_H_

// Pod: what is placed (a Kubernetes pod, a Swarm task, a VM). Quantities are exact integers.
#ifndef BERTH_CLUSTER_POD_H_
#define BERTH_CLUSTER_POD_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"

namespace berth {

inline constexpr int kMaxDevices = 16;         // GPU devices of one node
inline constexpr int kWholeGpuMilli = 1000;    // one device
inline constexpr int kMaxExtendedNames = 8;    // distinct extended resources in one cluster
inline constexpr int64_t kMaxCpuMilli = int64_t{1} << 40;
inline constexpr int64_t kMaxMemBytes = int64_t{1} << 56;

// A countable resource beside cpu, memory and GPU, by the orchestrator's name ("rdma/hca").
struct ExtendedResource {
  std::string name;
  int64_t amount = 0;
  friend bool operator==(const ExtendedResource&, const ExtendedResource&) = default;
};

// What a pod asks for. Pods with equal requests are one pod class.
struct PodRequest {
  int64_t cpu_milli = 0;
  int64_t mem_bytes = 0;
  int32_t gpu_count = 0;                    // devices, 0..kMaxDevices
  int32_t gpu_milli = 0;                    // of each device, 1..1000; 0 when gpu_count is 0
  std::vector<std::string> gpu_models;      // allowed models; empty = any
  std::vector<ExtendedResource> extended;   // names unique

  int64_t total_gpu_milli() const { return int64_t{gpu_count} * gpu_milli; }
  friend bool operator==(const PodRequest&, const PodRequest&) = default;
};

// Errors: INVALID_ARGUMENT naming "<field>.<part>", value and range.
absl::Status ValidateRequest(std::string_view field, const PodRequest& request);

enum class TaintEffect : uint8_t { kNoSchedule, kPreferNoSchedule, kNoExecute };

// Kubernetes' meaning: an empty key with `exists` tolerates everything; without an effect every effect.
struct Toleration {
  std::string key;
  std::string value;
  bool exists = false;
  std::optional<TaintEffect> effect;
  friend bool operator==(const Toleration&, const Toleration&) = default;
};

// key = value that a node's labels must have.
struct LabelMatch {
  std::string key;
  std::string value;
  friend bool operator==(const LabelMatch&, const LabelMatch&) = default;
};

// A point of a latency space (Vivaldi): Euclidean distance plus both heights estimates a round trip.
struct Coordinates {
  double x_ms = 0, y_ms = 0, z_ms = 0, height_ms = 0;
  friend bool operator==(const Coordinates&, const Coordinates&) = default;
};
double LatencyMs(const Coordinates& a, const Coordinates& b);

struct Pod {
  std::string id;                            // unique while the pod lives (a Kubernetes UID)
  PodRequest request;
  std::vector<LabelMatch> node_selector;     // all must match
  std::vector<Toleration> tolerations;
  // Where the pod's callers are; minimum-latency and minimum-distance look at these.
  Coordinates origin;
  std::string zone;
  std::string rack;

  bool has_constraints() const { return !node_selector.empty() || !tolerations.empty(); }
};

// Errors: as ValidateRequest; also an empty or over-long id, label or taint text (253 bytes, keys 317), non-finite coordinates.
absl::Status ValidatePod(std::string_view field, const Pod& pod);

}  // namespace berth

#endif  // BERTH_CLUSTER_POD_H_

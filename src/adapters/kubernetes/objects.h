// Pod and Node of the core/v1 API as our domain. What Berth does not model (affinity, spread, ports, volumes, ephemeral
// storage, huge pages, claims) is left to kube-scheduler's own filters: docs/kubernetes.md has the list.
//
// Requests are summed as the API does (k8s.io/component-helpers/resource PodRequests, 1.37): a missing request equals the
// limit; containers and sidecars are summed, each init step needs itself plus the sidecars declared before it, the larger
// counts; pod-level cpu and memory replace that sum; overhead is added last. A container that is being resized counts the
// most of what is asked, allocated and in use. Quantities round up to whole milli-cores and bytes.
//
// Thread-safety: pure functions. Errors: INVALID_ARGUMENT that names the field from `name` on, the value and what is accepted.
#ifndef BERTH_ADAPTERS_KUBERNETES_OBJECTS_H_
#define BERTH_ADAPTERS_KUBERNETES_OBJECTS_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "adapters/kubernetes/json.h"
#include "cluster/cluster_state.h"
#include "cluster/node.h"
#include "cluster/pod.h"

namespace berth::kubernetes {

// Devices of this resource are GPUs of the domain; a pod's whole ones are asked for by it.
inline constexpr std::string_view kGpuResource = "nvidia.com/gpu";
inline constexpr std::string_view kGpuModelLabel = "nvidia.com/gpu.product";
// Annotations of ours. Shares of a device go by kGpuMilli alone ("500": half of each device, kGpuCount devices, default 1):
// an extended resource is whole.
inline constexpr std::string_view kGpuMilliAnnotation = "berth.dev/gpu-milli";
inline constexpr std::string_view kGpuCountAnnotation = "berth.dev/gpu-count";
inline constexpr std::string_view kGpuModelsAnnotation = "berth.dev/gpu-models";     // allowed models, "A100,H100"
inline constexpr std::string_view kGpuDevicesAnnotation = "berth.dev/gpu-devices";   // "0,3", set when Berth binds
inline constexpr std::string_view kDecisionAnnotation = "berth.dev/decision";        // why, set when Berth binds
inline constexpr std::string_view kWeightAnnotation = "berth.dev/weight";            // of a node, for the weighted rule
inline constexpr std::string_view kRackLabel = "berth.dev/rack";
inline constexpr std::string_view kZoneLabel = "topology.kubernetes.io/zone";

struct KubePod {
  Pod pod;                      // pod.id is the UID
  std::string namespace_name, name;
  std::string resource_version;
  std::string node;             // where it is bound; empty: nowhere
  std::string nominated_node;   // status.nominatedNodeName
  DeviceSet devices = 0;        // by annotation; 0: not known
  int32_t priority = 0;
  std::string start_time;       // RFC 3339, UTC: comparable as text; empty: not started
  bool is_terminating = false;  // deletion has been asked for; it holds its node until it is gone
  bool has_ended = false;       // phase Succeeded or Failed: it holds nothing any more

  // Whether it holds capacity of a node.
  bool is_running() const { return !node.empty() && !has_ended; }
};

// Neither checks what ValidatePod and ValidateNode check: a caller that keeps few resource names (ExtendedNames) does it after.
absl::Status PodFromJson(JsonObject json, std::string_view name, KubePod* pod);
// Without an error: more than kMaxDevices GPUs count as kMaxDevices; labels beyond the domain's limits are left out.
absl::Status NodeFromJson(JsonObject json, std::string_view name, Node* node);

// The extended resources that are modelled: the first kMaxExtendedNames that nodes brought. Others are kube-scheduler's alone.
// Thread-safe.
class ExtendedNames {
 public:
  // Drops what is not modelled; a node's names become modelled while there is room.
  void KeepOf(Node* node);
  void KeepOf(Pod* pod) const;

 private:
  mutable absl::Mutex mu_;
  std::vector<std::string> names_ ABSL_GUARDED_BY(mu_);
};

// "default/my-app-7c9"; for messages.
std::string DisplayName(const KubePod& pod);

// "0,3" for bits 0 and 3, and back. Errors: INVALID_ARGUMENT.
std::string FormatDevices(DeviceSet devices);
absl::StatusOr<DeviceSet> ParseDevices(std::string_view field, std::string_view text);

}  // namespace berth::kubernetes

#endif  // BERTH_ADAPTERS_KUBERNETES_OBJECTS_H_

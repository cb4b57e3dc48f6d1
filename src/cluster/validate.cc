#include <cmath>

#include "absl/container/flat_hash_set.h"
#include "base/status.h"
#include "cluster/node.h"
#include "cluster/pod.h"
#include "fmt/format.h"

namespace berth {
namespace {

constexpr size_t kMaxNameBytes = 253;    // Kubernetes' limit for names
constexpr size_t kMaxKeyBytes = 317;     // of labels and taints: a prefix of 253, "/" and 63
constexpr size_t kMaxListEntries = 256;  // labels, taints, tolerations, models of one object
constexpr double kMaxLatencyMs = 1e7;

absl::Status CheckRange(std::string_view field, std::string_view part, int64_t value, int64_t low, int64_t high) {
  if (value >= low && value <= high) return absl::OkStatus();
  return InvalidField(fmt::format("{}.{}", field, part), fmt::format("{}", value),
                      fmt::format("a whole number from {} to {}", low, high));
}

absl::Status CheckText(std::string_view field, std::string_view part, std::string_view value, bool may_be_empty,
                       size_t most = kMaxNameBytes) {
  const bool has_control =
      value.find_first_of(std::string_view("\0\n\r\t", 4)) != std::string_view::npos;
  if (value.size() <= most && !has_control && (may_be_empty || !value.empty())) return absl::OkStatus();
  return InvalidField(fmt::format("{}.{}", field, part), value,
                      fmt::format("{} to {} bytes without control characters", may_be_empty ? 0 : 1, most));
}

absl::Status CheckCount(std::string_view field, std::string_view part, size_t count, size_t most) {
  return CheckRange(field, fmt::format("{} (count)", part), static_cast<int64_t>(count), 0, static_cast<int64_t>(most));
}

absl::Status CheckExtended(std::string_view field, const std::vector<ExtendedResource>& extended) {
  BERTH_RETURN_IF_ERROR(CheckCount(field, "extended", extended.size(), kMaxExtendedNames));
  absl::flat_hash_set<std::string> seen;
  for (const ExtendedResource& e : extended) {
    BERTH_RETURN_IF_ERROR(CheckText(field, "extended.name", e.name, false));
    BERTH_RETURN_IF_ERROR(CheckRange(field, fmt::format("extended[{}]", Quoted(e.name)), e.amount, 0, kMaxMemBytes));
    if (!seen.insert(e.name).second) {
      return InvalidField(fmt::format("{}.extended.name", field), e.name, "each name once");
    }
  }
  return absl::OkStatus();
}

absl::Status CheckLabels(std::string_view field, std::string_view part, const std::vector<LabelMatch>& labels) {
  BERTH_RETURN_IF_ERROR(CheckCount(field, part, labels.size(), kMaxListEntries));
  absl::flat_hash_set<std::string> seen;
  for (const LabelMatch& label : labels) {
    BERTH_RETURN_IF_ERROR(CheckText(field, fmt::format("{}.key", part), label.key, false, kMaxKeyBytes));
    BERTH_RETURN_IF_ERROR(CheckText(field, fmt::format("{}.value", part), label.value, true));
    if (!seen.insert(label.key).second) {
      return InvalidField(fmt::format("{}.{}.key", field, part), label.key, "each key once");
    }
  }
  return absl::OkStatus();
}

absl::Status CheckCoordinates(std::string_view field, std::string_view part, const Coordinates& c) {
  for (double v : {c.x_ms, c.y_ms, c.z_ms, c.height_ms}) {
    if (!std::isfinite(v) || std::abs(v) > kMaxLatencyMs) {
      return InvalidField(fmt::format("{}.{}", field, part), fmt::format("{}", v),
                          fmt::format("finite milliseconds from {} to {}", -kMaxLatencyMs, kMaxLatencyMs));
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status ValidateRequest(std::string_view field, const PodRequest& r) {
  BERTH_RETURN_IF_ERROR(CheckRange(field, "cpu_milli", r.cpu_milli, 0, kMaxCpuMilli));
  BERTH_RETURN_IF_ERROR(CheckRange(field, "mem_bytes", r.mem_bytes, 0, kMaxMemBytes));
  BERTH_RETURN_IF_ERROR(CheckRange(field, "gpu_count", r.gpu_count, 0, kMaxDevices));
  if (r.gpu_count > 0) {
    BERTH_RETURN_IF_ERROR(CheckRange(field, "gpu_milli", r.gpu_milli, 1, kWholeGpuMilli));
  } else {
    BERTH_RETURN_IF_ERROR(CheckRange(field, "gpu_milli", r.gpu_milli, 0, 0));
  }
  BERTH_RETURN_IF_ERROR(CheckCount(field, "gpu_models", r.gpu_models.size(), kMaxListEntries));
  for (const std::string& model : r.gpu_models) BERTH_RETURN_IF_ERROR(CheckText(field, "gpu_models", model, false));
  return CheckExtended(field, r.extended);
}

absl::Status ValidatePod(std::string_view field, const Pod& pod) {
  BERTH_RETURN_IF_ERROR(CheckText(field, "id", pod.id, false));
  BERTH_RETURN_IF_ERROR(ValidateRequest(fmt::format("{}.request", field), pod.request));
  BERTH_RETURN_IF_ERROR(CheckLabels(field, "node_selector", pod.node_selector));
  BERTH_RETURN_IF_ERROR(CheckCount(field, "tolerations", pod.tolerations.size(), kMaxListEntries));
  for (const Toleration& t : pod.tolerations) {
    BERTH_RETURN_IF_ERROR(CheckText(field, "tolerations.key", t.key, t.exists, kMaxKeyBytes));
    BERTH_RETURN_IF_ERROR(CheckText(field, "tolerations.value", t.value, true));
  }
  BERTH_RETURN_IF_ERROR(CheckCoordinates(field, "origin", pod.origin));
  BERTH_RETURN_IF_ERROR(CheckText(field, "zone", pod.zone, true));
  return CheckText(field, "rack", pod.rack, true);
}

absl::Status ValidateNode(std::string_view field, const Node& node) {
  BERTH_RETURN_IF_ERROR(CheckText(field, "name", node.name, false));
  BERTH_RETURN_IF_ERROR(CheckRange(field, "cpu_milli", node.cpu_milli, 0, kMaxCpuMilli));
  BERTH_RETURN_IF_ERROR(CheckRange(field, "mem_bytes", node.mem_bytes, 0, kMaxMemBytes));
  BERTH_RETURN_IF_ERROR(CheckRange(field, "gpu_count", node.gpu_count, 0, kMaxDevices));
  BERTH_RETURN_IF_ERROR(CheckText(field, "gpu_model", node.gpu_model, true));
  BERTH_RETURN_IF_ERROR(CheckExtended(field, node.extended));
  BERTH_RETURN_IF_ERROR(CheckRange(field, "max_pods", node.max_pods, 0, std::numeric_limits<int32_t>::max()));
  BERTH_RETURN_IF_ERROR(CheckLabels(field, "labels", node.labels));
  BERTH_RETURN_IF_ERROR(CheckCount(field, "taints", node.taints.size(), kMaxListEntries));
  for (const Taint& t : node.taints) {
    BERTH_RETURN_IF_ERROR(CheckText(field, "taints.key", t.key, false, kMaxKeyBytes));
    BERTH_RETURN_IF_ERROR(CheckText(field, "taints.value", t.value, true));
  }
  BERTH_RETURN_IF_ERROR(CheckText(field, "zone", node.zone, true));
  BERTH_RETURN_IF_ERROR(CheckText(field, "rack", node.rack, true));
  BERTH_RETURN_IF_ERROR(CheckCoordinates(field, "position", node.position));
  return CheckRange(field, "weight", node.weight, 0, 1'000'000);
}

double LatencyMs(const Coordinates& a, const Coordinates& b) {
  const double dx = a.x_ms - b.x_ms, dy = a.y_ms - b.y_ms, dz = a.z_ms - b.z_ms;
  return std::sqrt(dx * dx + dy * dy + dz * dz) + a.height_ms + b.height_ms;
}

}  // namespace berth

#include "adapters/kubernetes/objects.h"

#include <algorithm>
#include <limits>
#include <map>
#include <utility>
#include <vector>

#include "absl/strings/str_split.h"
#include "base/log.h"
#include "base/quantity.h"
#include "base/status.h"
#include "fmt/format.h"

namespace berth::kubernetes {
namespace {

constexpr size_t kMaxContainers = 512;
constexpr size_t kMaxValueBytes = 253, kMaxKeyBytes = 317;
constexpr size_t kMaxEntries = 256;
constexpr int64_t kMaxAmount = kMaxMemBytes;

// Amounts by resource name, in the grain of the domain: cpu in milli, memory in bytes, others whole.
using Amounts = std::map<std::string, int64_t, std::less<>>;

// What kube-scheduler checks alone; the domain does not model it.
bool IsModelled(std::string_view resource) {
  if (resource == "cpu" || resource == "memory") return true;
  // Extended resources have a domain; kubernetes.io is the API's own.
  return resource.find('/') != std::string_view::npos && resource.find("kubernetes.io/") == std::string_view::npos &&
         !resource.starts_with("attachable-volumes-") && !resource.starts_with("hugepages-");
}

absl::StatusOr<int64_t> ParseAmount(std::string_view resource, std::string_view field, std::string_view text) {
  if (resource == "cpu" || resource == "memory") {
    const bool is_cpu = resource == "cpu";
    BERTH_ASSIGN_OR_RETURN(const int64_t amount, is_cpu ? ParseCpuMilli(field, text) : ParseBytes(field, text));
    const int64_t most = is_cpu ? kMaxCpuMilli : kMaxMemBytes;
    if (amount > most) return InvalidField(field, text, fmt::format("at most {}", is_cpu ? FormatCpuMilli(most) : FormatBytes(most)));
    return amount;
  }
  const absl::StatusOr<int64_t> milli = ParseCpuMilli(field, text);   // whole numbers in any form: "2.0", "1k"
  if (!milli.ok()) return milli.status();
  if (*milli % 1000 != 0 || *milli / 1000 > kMaxAmount) {
    return InvalidField(field, text, fmt::format("an integer from 0 to {}: an extended resource must be an integer", kMaxAmount));
  }
  return *milli / 1000;
}

absl::StatusOr<Amounts> ReadAmounts(JsonObject in, std::string_view key, const Where& where) {
  Amounts amounts;
  BERTH_ASSIGN_OR_RETURN(const auto object, FindObject(in, key, where));
  if (!object) return amounts;
  const Where here{&where, key};
  for (const auto& [name, value] : *object) {
    if (!IsModelled(name) || value.is_null()) continue;
    const Where field{&here, name};
    std::string text;
    if (std::string_view s; value.get(s) == simdjson::SUCCESS) text = s;
    else if (value.is_int64() || value.is_uint64() || value.is_double()) text = simdjson::to_string(value);   // YAML's numbers
    else return WrongType(value, field, "a quantity");
    BERTH_ASSIGN_OR_RETURN(const int64_t amount, ParseAmount(name, field.Text(), text));
    amounts[std::string(name)] = amount;
  }
  return amounts;
}

void TakeMax(const Amounts& from, Amounts* into) {
  for (const auto& [name, amount] : from) {
    int64_t& value = (*into)[name];
    value = std::max(value, amount);
  }
}

absl::Status AddTo(const Amounts& from, const Where& where, Amounts* into) {
  for (const auto& [name, amount] : from) {
    int64_t& value = (*into)[name];
    if (__builtin_add_overflow(value, amount, &value) || value > kMaxAmount) {
      return InvalidField(where.Text(), name, fmt::format("requests that add up to at most {}", kMaxAmount));
    }
  }
  return absl::OkStatus();
}

// requests, and where one is missing its limit.
absl::StatusOr<Amounts> ReadRequests(JsonObject container, const Where& where) {
  BERTH_ASSIGN_OR_RETURN(const auto resources, FindObject(container, "resources", where));
  if (!resources) return Amounts();
  const Where here{&where, "resources"};
  BERTH_ASSIGN_OR_RETURN(Amounts requests, ReadAmounts(*resources, "requests", here));
  BERTH_ASSIGN_OR_RETURN(const Amounts limits, ReadAmounts(*resources, "limits", here));
  for (const auto& [name, amount] : limits) requests.emplace(name, amount);
  return requests;
}

// What the kubelet has allocated to a container and what it uses: during a resize either may be above the request.
absl::StatusOr<Amounts> ReadAllocated(JsonObject status, const Where& where) {
  BERTH_ASSIGN_OR_RETURN(Amounts most, ReadAmounts(status, "allocatedResources", where));
  BERTH_ASSIGN_OR_RETURN(const auto resources, FindObject(status, "resources", where));
  if (resources) {
    BERTH_ASSIGN_OR_RETURN(const Amounts actual, ReadAmounts(*resources, "requests", Where{&where, "resources"}));
    TakeMax(actual, &most);
  }
  return most;
}

absl::Status ReadContainerStatuses(JsonObject status, std::string_view key, const Where& where, std::map<std::string, Amounts, std::less<>>* out) {
  BERTH_ASSIGN_OR_RETURN(const auto list, FindArray(status, key, where));
  if (!list) return absl::OkStatus();
  const Where here{&where, key};
  int64_t i = 0;
  for (JsonElement element : *list) {
    const Where item{&here, {}, i++};
    BERTH_ASSIGN_OR_RETURN(const JsonObject object, AsObject(element, item));
    BERTH_ASSIGN_OR_RETURN(const std::string_view name, FindString(object, "name", item));
    BERTH_ASSIGN_OR_RETURN(Amounts allocated, ReadAllocated(object, item));
    if (!allocated.empty()) (*out)[std::string(name)] = std::move(allocated);
  }
  return absl::OkStatus();
}

// The kubelet has said that the asked resize can never be: what is allocated stays.
absl::StatusOr<bool> IsResizeInfeasible(JsonObject status, const Where& where) {
  BERTH_ASSIGN_OR_RETURN(const auto conditions, FindArray(status, "conditions", where));
  if (!conditions) return false;
  const Where here{&where, "conditions"};
  int64_t i = 0;
  for (JsonElement element : *conditions) {
    const Where item{&here, {}, i++};
    BERTH_ASSIGN_OR_RETURN(const JsonObject object, AsObject(element, item));
    BERTH_ASSIGN_OR_RETURN(const std::string_view type, FindString(object, "type", item));
    if (type != "PodResizePending") continue;
    BERTH_ASSIGN_OR_RETURN(const std::string_view reason, FindString(object, "reason", item));
    return reason == "Infeasible";
  }
  return false;
}

struct ContainerList {
  JsonObject spec;
  const Where& where;
  const std::map<std::string, Amounts, std::less<>>& allocated;
  bool is_infeasible = false;

  // Calls each(requests, is_sidecar, where) for every container of the list.
  template <class Each>
  absl::Status ForEach(std::string_view key, Each&& each) const {
    BERTH_ASSIGN_OR_RETURN(const auto list, FindArray(spec, key, where));
    if (!list) return absl::OkStatus();
    const Where here{&where, key};
    if (list->size() > kMaxContainers) return InvalidField(here.Text(), fmt::format("{} entries", list->size()), fmt::format("at most {}", kMaxContainers));
    int64_t i = 0;
    for (JsonElement element : *list) {
      const Where item{&here, {}, i++};
      BERTH_ASSIGN_OR_RETURN(const JsonObject container, AsObject(element, item));
      BERTH_ASSIGN_OR_RETURN(Amounts requests, ReadRequests(container, item));
      BERTH_ASSIGN_OR_RETURN(const std::string_view name, FindString(container, "name", item));
      if (const auto it = allocated.find(name); it != allocated.end()) {
        if (is_infeasible) requests = it->second;
        else TakeMax(it->second, &requests);
      }
      BERTH_ASSIGN_OR_RETURN(const std::string_view restart, FindString(container, "restartPolicy", item));
      BERTH_RETURN_IF_ERROR(each(std::move(requests), restart == "Always", item));
    }
    return absl::OkStatus();
  }
};

absl::StatusOr<Amounts> SumRequests(JsonObject spec, std::optional<JsonObject> status, const Where& spec_where, const Where& status_where) {
  std::map<std::string, Amounts, std::less<>> allocated;
  bool is_infeasible = false;
  if (status) {
    BERTH_RETURN_IF_ERROR(ReadContainerStatuses(*status, "containerStatuses", status_where, &allocated));
    BERTH_RETURN_IF_ERROR(ReadContainerStatuses(*status, "initContainerStatuses", status_where, &allocated));
    BERTH_ASSIGN_OR_RETURN(is_infeasible, IsResizeInfeasible(*status, status_where));
  }
  const ContainerList containers{spec, spec_where, allocated, is_infeasible};
  Amounts sum, sidecars, init_peak;
  BERTH_RETURN_IF_ERROR(containers.ForEach("containers", [&](Amounts requests, bool, const Where& where) { return AddTo(requests, where, &sum); }));
  BERTH_RETURN_IF_ERROR(containers.ForEach("initContainers", [&](Amounts requests, bool is_sidecar, const Where& where) {
    if (is_sidecar) {
      BERTH_RETURN_IF_ERROR(AddTo(requests, where, &sum));
      BERTH_RETURN_IF_ERROR(AddTo(requests, where, &sidecars));
      TakeMax(sidecars, &init_peak);
      return absl::OkStatus();
    }
    BERTH_RETURN_IF_ERROR(AddTo(sidecars, where, &requests));
    TakeMax(requests, &init_peak);
    return absl::OkStatus();
  }));
  TakeMax(init_peak, &sum);

  BERTH_ASSIGN_OR_RETURN(const auto pod_resources, FindObject(spec, "resources", spec_where));
  if (pod_resources) {
    const Where here{&spec_where, "resources"};
    BERTH_ASSIGN_OR_RETURN(Amounts pod_level, ReadAmounts(*pod_resources, "requests", here));
    BERTH_ASSIGN_OR_RETURN(const Amounts limits, ReadAmounts(*pod_resources, "limits", here));
    // The API server's defaulting: a limit of the pod is its request where no container asks.
    for (const auto& [name, amount] : limits) {
      if (!sum.contains(name)) pod_level.emplace(name, amount);
    }
    if (status) {
      BERTH_ASSIGN_OR_RETURN(const Amounts actual, ReadAllocated(*status, status_where));
      for (auto& [name, amount] : pod_level) {
        const auto it = actual.find(name);
        if (it != actual.end()) amount = std::max(amount, it->second);
      }
    }
    for (const auto& [name, amount] : pod_level) {
      if (name == "cpu" || name == "memory") sum[name] = amount;
    }
  }
  BERTH_ASSIGN_OR_RETURN(const Amounts overhead, ReadAmounts(spec, "overhead", spec_where));
  BERTH_RETURN_IF_ERROR(AddTo(overhead, Where{&spec_where, "overhead"}, &sum));
  return sum;
}

int64_t Take(Amounts& amounts, std::string_view name) {
  const auto it = amounts.find(name);
  if (it == amounts.end()) return 0;
  const int64_t amount = it->second;
  amounts.erase(it);
  return amount;
}

absl::Status ReadGpuAnnotations(JsonObject metadata, const Where& where, KubePod* out) {
  BERTH_ASSIGN_OR_RETURN(const auto annotations, FindObject(metadata, "annotations", where));
  if (!annotations) return absl::OkStatus();
  const Where here{&where, "annotations"};
  PodRequest& request = out->pod.request;
  BERTH_ASSIGN_OR_RETURN(const std::string_view milli, FindString(*annotations, kGpuMilliAnnotation, here));
  BERTH_ASSIGN_OR_RETURN(const std::string_view count, FindString(*annotations, kGpuCountAnnotation, here));
  if (!milli.empty()) {
    if (request.gpu_count > 0) {
      return InvalidField(Where{&here, kGpuMilliAnnotation}.Text(), milli, fmt::format("no share where whole devices are requested by {}", kGpuResource));
    }
    BERTH_ASSIGN_OR_RETURN(const int64_t share, ParseInteger(Where{&here, kGpuMilliAnnotation}.Text(), milli, 1, kWholeGpuMilli));
    request.gpu_milli = static_cast<int32_t>(share);
    request.gpu_count = 1;
    if (!count.empty()) {
      BERTH_ASSIGN_OR_RETURN(const int64_t devices, ParseInteger(Where{&here, kGpuCountAnnotation}.Text(), count, 1, kMaxDevices));
      request.gpu_count = static_cast<int32_t>(devices);
    }
  } else if (!count.empty()) {
    return InvalidField(Where{&here, kGpuCountAnnotation}.Text(), count, fmt::format("it only beside {}", kGpuMilliAnnotation));
  }
  BERTH_ASSIGN_OR_RETURN(const std::string_view models, FindString(*annotations, kGpuModelsAnnotation, here));
  if (!models.empty()) {
    for (absl::string_view model : absl::StrSplit(absl::string_view(models.data(), models.size()), ',', absl::SkipWhitespace())) {
      while (!model.empty() && model.front() == ' ') model.remove_prefix(1);
      while (!model.empty() && model.back() == ' ') model.remove_suffix(1);
      request.gpu_models.emplace_back(model.data(), model.size());
    }
    if (request.gpu_count == 0) request.gpu_models.clear();   // says nothing of a pod without GPUs
  }
  BERTH_ASSIGN_OR_RETURN(const std::string_view devices, FindString(*annotations, kGpuDevicesAnnotation, here));
  if (!devices.empty()) {
    BERTH_ASSIGN_OR_RETURN(out->devices, ParseDevices(Where{&here, kGpuDevicesAnnotation}.Text(), devices));
    if (__builtin_popcount(out->devices) != request.gpu_count) out->devices = 0;   // a hint of a stranger
  }
  return absl::OkStatus();
}

absl::Status ReadSelectors(JsonObject spec, const Where& where, Pod* pod) {
  BERTH_ASSIGN_OR_RETURN(const auto selector, FindObject(spec, "nodeSelector", where));
  if (selector) {
    const Where here{&where, "nodeSelector"};
    for (const auto& [key, value] : *selector) {
      BERTH_ASSIGN_OR_RETURN(const std::string_view text, AsString(value, Where{&here, key}));
      pod->node_selector.push_back({std::string(key), std::string(text)});
    }
  }
  BERTH_ASSIGN_OR_RETURN(const auto tolerations, FindArray(spec, "tolerations", where));
  if (!tolerations) return absl::OkStatus();
  const Where here{&where, "tolerations"};
  int64_t i = 0;
  for (JsonElement element : *tolerations) {
    const Where item{&here, {}, i++};
    BERTH_ASSIGN_OR_RETURN(const JsonObject object, AsObject(element, item));
    Toleration toleration;
    BERTH_ASSIGN_OR_RETURN(const std::string_view op, FindString(object, "operator", item));
    if (!op.empty() && op != "Exists" && op != "Equal") continue;   // Lt, Gt: kube-scheduler's own filter decides
    toleration.exists = op == "Exists";
    BERTH_ASSIGN_OR_RETURN(const std::string_view key, FindString(object, "key", item));
    BERTH_ASSIGN_OR_RETURN(const std::string_view value, FindString(object, "value", item));
    BERTH_ASSIGN_OR_RETURN(const std::string_view effect, FindString(object, "effect", item));
    toleration.key = key;
    toleration.value = value;
    if (effect == "NoSchedule") toleration.effect = TaintEffect::kNoSchedule;
    else if (effect == "PreferNoSchedule") toleration.effect = TaintEffect::kPreferNoSchedule;
    else if (effect == "NoExecute") toleration.effect = TaintEffect::kNoExecute;
    else if (!effect.empty()) return InvalidField(Where{&item, "effect"}.Text(), effect, "NoSchedule, PreferNoSchedule, NoExecute");
    pod->tolerations.push_back(std::move(toleration));
  }
  return absl::OkStatus();
}

std::vector<ExtendedResource> ToExtended(const Amounts& amounts) {
  std::vector<ExtendedResource> extended;
  for (const auto& [name, amount] : amounts) {
    if (amount > 0) extended.push_back({name, amount});
  }
  return extended;
}

}  // namespace

void ExtendedNames::KeepOf(Node* node) {
  absl::MutexLock lock(&mu_);
  std::erase_if(node->extended, [&](const ExtendedResource& e) {
    if (std::find(names_.begin(), names_.end(), e.name) != names_.end()) return false;
    if (names_.size() >= static_cast<size_t>(kMaxExtendedNames)) return true;
    LogInfo("kubernetes: the extended resource {} is modelled from now on", Quoted(e.name));
    names_.push_back(e.name);
    return false;
  });
}

void ExtendedNames::KeepOf(Pod* pod) const {
  absl::MutexLock lock(&mu_);
  std::erase_if(pod->request.extended, [&](const ExtendedResource& e) { return std::find(names_.begin(), names_.end(), e.name) == names_.end(); });
}

std::string DisplayName(const KubePod& pod) { return fmt::format("{}/{}", pod.namespace_name, pod.name); }

std::string FormatDevices(DeviceSet devices) {
  std::string text;
  for (DeviceSet bits = devices; bits != 0; bits &= bits - 1) {
    if (!text.empty()) text += ',';
    text += fmt::format("{}", __builtin_ctz(bits));
  }
  return text;
}

absl::StatusOr<DeviceSet> ParseDevices(std::string_view field, std::string_view text) {
  DeviceSet devices = 0;
  for (absl::string_view part : absl::StrSplit(absl::string_view(text.data(), text.size()), ',')) {
    BERTH_ASSIGN_OR_RETURN(const int64_t device, ParseInteger(field, {part.data(), part.size()}, 0, kMaxDevices - 1));
    if ((devices >> device & 1) != 0) return InvalidField(field, text, "each device once");
    devices |= DeviceSet{1} << device;
  }
  return devices;
}

absl::Status PodFromJson(JsonObject json, std::string_view name, KubePod* out) {
  *out = KubePod();
  const Where root{nullptr, name};
  const Where metadata_where{&root, "metadata"}, spec_where{&root, "spec"}, status_where{&root, "status"};
  BERTH_ASSIGN_OR_RETURN(const auto metadata, FindObject(json, "metadata", root));
  if (!metadata) return absl::InvalidArgumentError(fmt::format("{} is missing, accepted: an object with name and uid", metadata_where.Text()));
  BERTH_ASSIGN_OR_RETURN(const std::string_view pod_name, FindString(*metadata, "name", metadata_where));
  BERTH_ASSIGN_OR_RETURN(const std::string_view namespace_name, FindString(*metadata, "namespace", metadata_where));
  BERTH_ASSIGN_OR_RETURN(const std::string_view uid, FindString(*metadata, "uid", metadata_where));
  BERTH_ASSIGN_OR_RETURN(const std::string_view version, FindString(*metadata, "resourceVersion", metadata_where));
  out->is_terminating = Find(*metadata, "deletionTimestamp").has_value();
  if (uid.empty()) return absl::InvalidArgumentError(fmt::format("{}.uid is missing, accepted: the UID that the API server gave", metadata_where.Text()));
  out->name = pod_name;
  out->namespace_name = namespace_name.empty() ? "default" : namespace_name;
  out->pod.id = uid;
  out->resource_version = version;

  BERTH_ASSIGN_OR_RETURN(const auto spec, FindObject(json, "spec", root));
  if (!spec) return absl::InvalidArgumentError(fmt::format("{} is missing, accepted: an object with containers", spec_where.Text()));
  BERTH_ASSIGN_OR_RETURN(const auto status, FindObject(json, "status", root));
  BERTH_ASSIGN_OR_RETURN(Amounts amounts, SumRequests(*spec, status, spec_where, status_where));
  PodRequest& request = out->pod.request;
  request.cpu_milli = Take(amounts, "cpu");
  request.mem_bytes = Take(amounts, "memory");
  const int64_t gpus = Take(amounts, kGpuResource);
  if (gpus > kMaxDevices) return InvalidField(fmt::format("{} ({})", spec_where.Text(), kGpuResource), fmt::format("{}", gpus), fmt::format("0 to {}", kMaxDevices));
  request.gpu_count = static_cast<int32_t>(gpus);
  request.gpu_milli = gpus > 0 ? kWholeGpuMilli : 0;
  request.extended = ToExtended(amounts);
  BERTH_RETURN_IF_ERROR(ReadGpuAnnotations(*metadata, metadata_where, out));
  BERTH_RETURN_IF_ERROR(ReadSelectors(*spec, spec_where, &out->pod));
  BERTH_ASSIGN_OR_RETURN(const std::string_view node, FindString(*spec, "nodeName", spec_where));
  out->node = node;
  BERTH_ASSIGN_OR_RETURN(const int64_t priority, FindInt(*spec, "priority", spec_where, std::numeric_limits<int32_t>::min(), std::numeric_limits<int32_t>::max(), 0));
  out->priority = static_cast<int32_t>(priority);
  if (status) {
    BERTH_ASSIGN_OR_RETURN(const std::string_view phase, FindString(*status, "phase", status_where));
    BERTH_ASSIGN_OR_RETURN(const std::string_view nominated, FindString(*status, "nominatedNodeName", status_where));
    BERTH_ASSIGN_OR_RETURN(const std::string_view start, FindString(*status, "startTime", status_where));
    out->has_ended = phase == "Succeeded" || phase == "Failed";
    out->nominated_node = nominated;
    out->start_time = start;
  }
  return absl::OkStatus();
}

absl::Status NodeFromJson(JsonObject json, std::string_view name, Node* out) {
  *out = Node();
  const Where root{nullptr, name};
  const Where metadata_where{&root, "metadata"}, spec_where{&root, "spec"}, status_where{&root, "status"};
  BERTH_ASSIGN_OR_RETURN(const auto metadata, FindObject(json, "metadata", root));
  if (!metadata) return absl::InvalidArgumentError(fmt::format("{} is missing, accepted: an object with a name", metadata_where.Text()));
  BERTH_ASSIGN_OR_RETURN(const std::string_view node_name, FindString(*metadata, "name", metadata_where));
  out->name = node_name;
  BERTH_ASSIGN_OR_RETURN(const auto labels, FindObject(*metadata, "labels", metadata_where));
  if (labels) {
    const Where here{&metadata_where, "labels"};
    for (const auto& [key, value] : *labels) {
      BERTH_ASSIGN_OR_RETURN(const std::string_view text, AsString(value, Where{&here, key}));
      if (key == kZoneLabel) out->zone = text;
      if (key == kRackLabel) out->rack = text;
      if (key == kGpuModelLabel) out->gpu_model = text;
      if (key.size() <= kMaxKeyBytes && text.size() <= kMaxValueBytes && out->labels.size() < kMaxEntries) out->labels.push_back({std::string(key), std::string(text)});
    }
  }
  BERTH_ASSIGN_OR_RETURN(const auto annotations, FindObject(*metadata, "annotations", metadata_where));
  if (annotations) {
    const Where here{&metadata_where, "annotations"};
    BERTH_ASSIGN_OR_RETURN(const std::string_view weight, FindString(*annotations, kWeightAnnotation, here));
    if (!weight.empty()) {
      BERTH_ASSIGN_OR_RETURN(const int64_t value, ParseInteger(Where{&here, kWeightAnnotation}.Text(), weight, 0, 1'000'000));
      out->weight = static_cast<int32_t>(value);
    }
  }
  BERTH_ASSIGN_OR_RETURN(const auto spec, FindObject(json, "spec", root));
  if (spec) {
    BERTH_ASSIGN_OR_RETURN(out->is_unschedulable, FindBool(*spec, "unschedulable", spec_where));
    BERTH_ASSIGN_OR_RETURN(const auto taints, FindArray(*spec, "taints", spec_where));
    const Where here{&spec_where, "taints"};
    for (size_t i = 0; taints && i < taints->size(); ++i) {
      const Where item{&here, {}, static_cast<int64_t>(i)};
      const JsonElement element = taints->at(i);
      BERTH_ASSIGN_OR_RETURN(const JsonObject object, AsObject(element, item));
      BERTH_ASSIGN_OR_RETURN(const std::string_view key, FindString(object, "key", item));
      BERTH_ASSIGN_OR_RETURN(const std::string_view value, FindString(object, "value", item));
      BERTH_ASSIGN_OR_RETURN(const std::string_view effect, FindString(object, "effect", item));
      Taint taint{std::string(key), std::string(value), TaintEffect::kNoSchedule};
      if (effect == "PreferNoSchedule") taint.effect = TaintEffect::kPreferNoSchedule;
      else if (effect == "NoExecute") taint.effect = TaintEffect::kNoExecute;
      else if (effect != "NoSchedule") return InvalidField(Where{&item, "effect"}.Text(), effect, "NoSchedule, PreferNoSchedule, NoExecute");
      out->taints.push_back(std::move(taint));
    }
  }
  BERTH_ASSIGN_OR_RETURN(const auto status, FindObject(json, "status", root));
  if (status) {
    BERTH_ASSIGN_OR_RETURN(Amounts amounts, ReadAmounts(*status, "allocatable", status_where));
    out->cpu_milli = Take(amounts, "cpu");
    out->mem_bytes = Take(amounts, "memory");
    out->gpu_count = static_cast<int32_t>(std::min<int64_t>(Take(amounts, kGpuResource), kMaxDevices));
    for (auto& [resource, amount] : amounts) out->extended.push_back({resource, amount});
    BERTH_ASSIGN_OR_RETURN(const auto allocatable, FindObject(*status, "allocatable", status_where));
    if (allocatable) {
      const Where here{&status_where, "allocatable"};
      if (const auto pods = Find(*allocatable, "pods")) {
        std::string text;
        if (std::string_view s; pods->get(s) == simdjson::SUCCESS) text = s;
        else if (pods->is_int64()) text = simdjson::to_string(*pods);
        else return WrongType(*pods, Where{&here, "pods"}, "a quantity");
        BERTH_ASSIGN_OR_RETURN(const int64_t most, ParseAmount("pods", Where{&here, "pods"}.Text(), text));
        out->max_pods = static_cast<int32_t>(std::min<int64_t>(most, std::numeric_limits<int32_t>::max()));
      }
    }
  }
  return absl::OkStatus();
}

}  // namespace berth::kubernetes

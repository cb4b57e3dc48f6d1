#include "adapters/kubernetes/extender_wire.h"

#include <limits>
#include <utility>

#include "adapters/kubernetes/api_client.h"
#include "base/status.h"
#include "fmt/format.h"

namespace berth::kubernetes {
namespace {

constexpr size_t kMaxNameBytes = 253;
constexpr size_t kMaxVictims = 10000;   // of one node
const Where kRoot;

// Go matches keys in any letter case.
std::optional<JsonElement> FindAnyCase(JsonObject in, std::string_view key) {
  JsonElement element;
  if (in.at_key(key).get(element) != simdjson::SUCCESS && in.at_key_case_insensitive(key).get(element) != simdjson::SUCCESS) return std::nullopt;
  if (element.is_null()) return std::nullopt;
  return element;
}

absl::Status Missing(std::string_view field, std::string_view accepted) {
  return absl::InvalidArgumentError(fmt::format("{} is missing, accepted: {}", field, accepted));
}

absl::Status ReadPod(JsonObject body, KubePod* pod) {
  const auto element = FindAnyCase(body, "Pod");
  if (!element) return Missing("Pod", "a v1 Pod");
  BERTH_ASSIGN_OR_RETURN(const JsonObject object, AsObject(*element, Where{&kRoot, "Pod"}));
  return PodFromJson(object, "Pod", pod);
}

absl::Status CheckCount(std::string_view field, size_t count, size_t most) {
  if (count <= most) return absl::OkStatus();
  return InvalidField(field, fmt::format("{} entries", count), fmt::format("at most {}", most));
}

absl::Status CheckName(std::string_view field, std::string_view name) {
  if (!name.empty() && name.size() <= kMaxNameBytes) return absl::OkStatus();
  return InvalidField(field, name, fmt::format("1 to {} bytes", kMaxNameBytes));
}

absl::StatusOr<std::string> ReadName(JsonObject body, std::string_view key) {
  const auto element = FindAnyCase(body, key);
  if (!element) return Missing(key, "a name");
  BERTH_ASSIGN_OR_RETURN(const std::string_view text, AsString(*element, Where{&kRoot, key}));
  BERTH_RETURN_IF_ERROR(CheckName(key, text));
  return std::string(text);
}

absl::Status ReadNames(JsonElement element, size_t max_nodes, ExtenderArgs* args) {
  const Where where{&kRoot, "NodeNames"};
  JsonArray array;
  if (element.get(array) != simdjson::SUCCESS) return WrongType(element, where, "a list of names");
  args->names.reserve(array.size());
  int64_t i = 0;
  for (const JsonElement name : array) {
    BERTH_ASSIGN_OR_RETURN(const std::string_view text, AsString(name, Where{&where, {}, i++}));
    args->names.push_back(text);
  }
  return CheckCount("NodeNames", args->names.size(), max_nodes);
}

absl::Status ReadNodes(JsonElement element, size_t max_nodes, ExtenderArgs* args) {
  const Where where{&kRoot, "Nodes"};
  BERTH_ASSIGN_OR_RETURN(const JsonObject list, AsObject(element, where));
  args->has_whole_nodes = true;
  const auto items = FindAnyCase(list, "items");
  if (!items) return absl::OkStatus();   // null: no node
  const Where items_where{&where, "items"};
  JsonArray array;
  if (items->get(array) != simdjson::SUCCESS) return WrongType(*items, items_where, "a list of Nodes");
  int64_t i = 0;
  for (const JsonElement node : array) {
    const Where item{&items_where, {}, i++};
    BERTH_ASSIGN_OR_RETURN(const JsonObject object, AsObject(node, item));
    BERTH_ASSIGN_OR_RETURN(const auto metadata, FindObject(object, "metadata", item));
    if (!metadata) return Missing(Where{&item, "metadata"}.Text(), "an object with a name");
    BERTH_ASSIGN_OR_RETURN(const std::string_view name, FindString(*metadata, "name", Where{&item, "metadata"}));
    args->names.push_back(name);
    args->whole_nodes.push_back(node);
  }
  return CheckCount("Nodes.items", args->names.size(), max_nodes);
}

absl::Status ReadVictims(JsonObject candidate, const Where& where, bool is_whole, PreemptionArgs::Candidate* out) {
  BERTH_ASSIGN_OR_RETURN(out->violations, FindInt(candidate, "NumPDBViolations", where, 0, std::numeric_limits<int32_t>::max(), 0));
  const auto pods = FindAnyCase(candidate, "Pods");
  if (!pods) return absl::OkStatus();
  const Where pods_where{&where, "Pods"};
  JsonArray array;
  if (pods->get(array) != simdjson::SUCCESS) return WrongType(*pods, pods_where, "a list");
  BERTH_RETURN_IF_ERROR(CheckCount(pods_where.Text(), array.size(), kMaxVictims));
  int64_t i = 0;
  for (const JsonElement element : array) {
    const Where item{&pods_where, {}, i++};
    BERTH_ASSIGN_OR_RETURN(const JsonObject object, AsObject(element, item));
    PreemptionArgs::Victim victim;
    if (is_whole) {
      KubePod pod;
      BERTH_RETURN_IF_ERROR(PodFromJson(object, item.Text(), &pod));
      victim = {pod.pod.id, pod.priority, pod.start_time};
    } else {
      const auto uid = FindAnyCase(object, "UID");
      if (!uid) return Missing(Where{&item, "UID"}.Text(), "the UID of a pod");
      BERTH_ASSIGN_OR_RETURN(const std::string_view text, AsString(*uid, Where{&item, "UID"}));
      victim.uid = text;
    }
    out->victims.push_back(std::move(victim));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status ReadExtenderArgs(JsonObject body, size_t max_nodes, ExtenderArgs* args) {
  BERTH_RETURN_IF_ERROR(ReadPod(body, &args->pod));
  if (const auto names = FindAnyCase(body, "NodeNames")) return ReadNames(*names, max_nodes, args);
  if (const auto nodes = FindAnyCase(body, "Nodes")) return ReadNodes(*nodes, max_nodes, args);
  return Missing("NodeNames and Nodes", "one of them (nodeCacheCapable says which)");
}

std::string WriteFilterAnswer(const ExtenderArgs& args, const FilterAnswer& answer) {
  std::string out;
  out.reserve(128 + 32 * args.names.size());
  out = args.has_whole_nodes ? "{\"NodeNames\":null,\"Nodes\":{\"metadata\":{},\"items\":[" : "{\"Nodes\":null,\"NodeNames\":[";
  bool is_first = true;
  for (size_t i = 0; i < args.names.size(); ++i) {
    if (!answer.verdicts[i].reason.empty() || answer.verdicts[i].is_left_out) continue;
    if (!is_first) out += ',';
    is_first = false;
    if (args.has_whole_nodes) out += simdjson::to_string(args.whole_nodes[i]);
    else AppendJsonString(args.names[i], &out);
  }
  out += args.has_whole_nodes ? "]}" : "]";
  for (const bool is_unresolvable : {false, true}) {
    out += is_unresolvable ? "},\"FailedAndUnresolvableNodes\":{" : ",\"FailedNodes\":{";
    for (size_t i = 0; i < args.names.size(); ++i) {
      const auto& verdict = answer.verdicts[i];
      if (verdict.reason.empty() || verdict.is_left_out || verdict.is_unresolvable != is_unresolvable) continue;
      if (out.back() != '{') out += ',';
      AppendJsonString(args.names[i], &out);
      out += ':';
      AppendJsonString(verdict.reason, &out);
    }
  }
  out += "},\"Error\":\"\"}";
  return out;
}

std::string WriteScores(const std::vector<std::string_view>& names, const std::vector<int>& scores) {
  std::string out = "[";
  out.reserve(32 + 48 * names.size());
  for (size_t i = 0; i < names.size(); ++i) {
    out += i == 0 ? "{\"Host\":" : ",{\"Host\":";
    AppendJsonString(names[i], &out);
    out += ",\"Score\":";
    out += std::to_string(scores[i]);
    out += '}';
  }
  out += ']';
  return out;
}

absl::Status ReadPreemptionArgs(JsonObject body, size_t max_nodes, PreemptionArgs* args) {
  BERTH_RETURN_IF_ERROR(ReadPod(body, &args->pod));
  bool is_whole = false;
  std::string_view key = "NodeNameToMetaVictims";
  auto candidates = FindAnyCase(body, key);
  if (!candidates) {
    key = "NodeNameToVictims";
    candidates = FindAnyCase(body, key);
    is_whole = true;
  }
  if (!candidates) return Missing("NodeNameToMetaVictims and NodeNameToVictims", "one of them");
  const Where where{&kRoot, key};
  BERTH_ASSIGN_OR_RETURN(const JsonObject object, AsObject(*candidates, where));
  BERTH_RETURN_IF_ERROR(CheckCount(key, object.size(), max_nodes));
  for (const auto& [node, value] : object) {
    const Where item{&where, node};
    PreemptionArgs::Candidate candidate;
    candidate.node = node;
    if (!value.is_null()) {
      BERTH_ASSIGN_OR_RETURN(const JsonObject victims, AsObject(value, item));
      BERTH_RETURN_IF_ERROR(ReadVictims(victims, item, is_whole, &candidate));
    }
    args->candidates.push_back(std::move(candidate));
  }
  return absl::OkStatus();
}

std::string WritePreemptionAnswer(const PreemptionArgs::Candidate* chosen) {
  std::string out = "{\"NodeNameToMetaVictims\":{";
  if (chosen != nullptr) {
    AppendJsonString(chosen->node, &out);
    out += ":{\"Pods\":[";
    for (const auto& victim : chosen->victims) {
      if (out.back() != '[') out += ',';
      out += "{\"UID\":";
      AppendJsonString(victim.uid, &out);
      out += '}';
    }
    out += fmt::format("],\"NumPDBViolations\":{}}}", chosen->violations);
  }
  out += "}}";
  return out;
}

absl::Status ReadBindingArgs(JsonObject body, BindingArgs* args) {
  BERTH_ASSIGN_OR_RETURN(args->name, ReadName(body, "PodName"));
  BERTH_ASSIGN_OR_RETURN(args->namespace_name, ReadName(body, "PodNamespace"));
  BERTH_ASSIGN_OR_RETURN(args->uid, ReadName(body, "PodUID"));
  BERTH_ASSIGN_OR_RETURN(args->node, ReadName(body, "Node"));
  return absl::OkStatus();
}

std::string WriteError(std::string_view text) {
  std::string out = "{\"Error\":";
  AppendJsonString(text, &out);
  out += '}';
  return out;
}

std::string WriteBinding(std::string_view namespace_name, std::string_view name, std::string_view uid, std::string_view node,
                         std::string_view explanation, std::string_view devices) {
  std::string out = "{\"apiVersion\":\"v1\",\"kind\":\"Binding\",\"metadata\":{\"name\":";
  AppendJsonString(name, &out);
  out += ",\"namespace\":";
  AppendJsonString(namespace_name, &out);
  out += ",\"uid\":";
  AppendJsonString(uid, &out);
  out += ",\"annotations\":{";
  if (!explanation.empty()) AppendField(kDecisionAnnotation, explanation, &out);
  if (!devices.empty()) AppendField(kGpuDevicesAnnotation, devices, &out);
  out += "}},\"target\":{\"apiVersion\":\"v1\",\"kind\":\"Node\",\"name\":";
  AppendJsonString(node, &out);
  out += "}}";
  return out;
}

std::string PodPath(std::string_view namespace_name, std::string_view name) {
  return fmt::format("/api/v1/namespaces/{}/pods/{}", UrlEncode(namespace_name), UrlEncode(name));
}

}  // namespace berth::kubernetes

// Berth's own workload format; docs/workload-format.md describes it.
#include <algorithm>
#include <cmath>
#include <initializer_list>
#include <iterator>
#include <optional>
#include <sstream>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "base/quantity.h"
#include "base/status.h"
#include "fmt/format.h"
#include "workload/builtin_texts.h"
#include "workload/plain_arrivals.h"
#include "workload/text_file.h"
#include "workload/workload.h"
#include "yaml-cpp/eventhandler.h"
#include "yaml-cpp/yaml.h"

namespace berth {
namespace {

constexpr std::string_view kFormat = "berth-workload-1";
constexpr size_t kMaxDepth = 32;
constexpr size_t kMaxTreeBytes = size_t{64} << 20;   // of text that becomes a tree, at some 50 bytes a byte

std::string Where(const YAML::Node& node) {
  const YAML::Mark mark = node.Mark();
  return mark.is_null() ? "workload" : fmt::format("workload line {} column {}", mark.line + 1, mark.column + 1);
}

absl::Status Bad(const YAML::Node& node, std::string_view field, std::string_view value, std::string_view accepted) {
  return InvalidField(fmt::format("{}: {}", Where(node), field), value, accepted);
}

absl::Status CheckKeys(const YAML::Node& map, std::string_view what, std::initializer_list<std::string_view> known) {
  if (!map.IsMap()) return Bad(map, what, map.IsScalar() ? map.Scalar() : "", "a mapping");
  std::vector<std::string> seen;
  for (const auto& entry : map) {
    const std::string key = entry.first.IsScalar() ? entry.first.Scalar() : "";
    if (std::find(known.begin(), known.end(), key) == known.end()) {
      std::string all;
      for (std::string_view k : known) all += fmt::format("{}{}", all.empty() ? "" : ", ", k);
      return Bad(entry.first, fmt::format("a key of {}", what), key, all);
    }
    if (std::find(seen.begin(), seen.end(), key) != seen.end()) return Bad(entry.first, fmt::format("a key of {}", what), key, "each key once");
    seen.push_back(key);
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> Text(const YAML::Node& map, const char* key, std::string fallback, bool is_required = false) {
  const YAML::Node node = map[key];
  if (!node) {
    if (is_required) return Bad(map, key, "", "a value: it is missing");
    return fallback;
  }
  if (!node.IsScalar()) return Bad(node, key, "", "one value");
  return node.Scalar();
}

// A field that `parse` (of base/quantity.h) understands.
template <class T, class Parse>
absl::Status Read(const YAML::Node& map, const char* key, T* out, Parse parse) {
  const YAML::Node node = map[key];
  if (!node) return absl::OkStatus();
  if (!node.IsScalar()) return Bad(node, key, "", "one value");
  auto value = parse(fmt::format("{}: {}", Where(node), key), node.Scalar());
  if (!value.ok()) return value.status();
  *out = static_cast<T>(*value);
  return absl::OkStatus();
}

auto IntegerIn(int64_t low, int64_t high) {
  return [=](std::string_view field, std::string_view text) { return ParseInteger(field, text, low, high); };
}
auto NumberIn(double low, double high) {
  return [=](std::string_view field, std::string_view text) { return ParseDouble(field, text, low, high); };
}

absl::Status ReadExtended(const YAML::Node& map, std::vector<ExtendedResource>* out) {
  const YAML::Node node = map["extended"];
  if (!node) return absl::OkStatus();
  if (!node.IsMap()) return Bad(node, "extended", "", "a mapping of name: amount");
  for (const auto& entry : node) {
    if (!entry.first.IsScalar() || !entry.second.IsScalar()) return Bad(entry.first, "extended", "", "a mapping of name: amount");
    BERTH_ASSIGN_OR_RETURN(const int64_t amount, ParseBytes(fmt::format("{}: extended.{}", Where(entry.second), entry.first.Scalar()), entry.second.Scalar()));
    out->push_back({entry.first.Scalar(), amount});
  }
  return absl::OkStatus();
}

constexpr std::pair<std::string_view, TaintEffect> kEffects[] = {{"NoSchedule", TaintEffect::kNoSchedule},
                                                                {"PreferNoSchedule", TaintEffect::kPreferNoSchedule},
                                                                {"NoExecute", TaintEffect::kNoExecute}};

absl::Status ReadTaints(const YAML::Node& map, std::vector<Taint>* out) {
  const YAML::Node list = map["taints"];
  if (!list) return absl::OkStatus();
  if (!list.IsSequence()) return Bad(list, "taints", "", "a list of {key, value, effect}");
  for (const auto& entry : list) {
    BERTH_RETURN_IF_ERROR(CheckKeys(entry, "taints", {"key", "value", "effect"}));
    Taint taint;
    BERTH_ASSIGN_OR_RETURN(taint.key, Text(entry, "key", "", true));
    BERTH_ASSIGN_OR_RETURN(taint.value, Text(entry, "value", ""));
    BERTH_ASSIGN_OR_RETURN(const std::string effect, Text(entry, "effect", "NoSchedule"));
    const auto it = std::find_if(std::begin(kEffects), std::end(kEffects), [&](const auto& e) { return e.first == effect; });
    if (it == std::end(kEffects)) return Bad(entry["effect"], "effect", effect, "NoSchedule, PreferNoSchedule, NoExecute");
    taint.effect = it->second;
    out->push_back(std::move(taint));
  }
  return absl::OkStatus();
}

absl::StatusOr<NodeGroup> ParseNode(const YAML::Node& map) {
  BERTH_RETURN_IF_ERROR(CheckKeys(map, "nodes", {"name", "count", "cpu", "memory", "gpus", "gpu_model", "max_pods", "zone", "rack", "weight", "extended", "labels",
                                               "taints", "unschedulable", "position"}));
  NodeGroup group;
  Node& node = group.node;
  BERTH_ASSIGN_OR_RETURN(node.name, Text(map, "name", "", true));
  BERTH_RETURN_IF_ERROR(Read(map, "count", &group.count, IntegerIn(1, 1'000'000)));
  BERTH_RETURN_IF_ERROR(Read(map, "cpu", &node.cpu_milli, ParseCpuMilli));
  BERTH_RETURN_IF_ERROR(Read(map, "memory", &node.mem_bytes, ParseBytes));
  BERTH_RETURN_IF_ERROR(Read(map, "gpus", &node.gpu_count, IntegerIn(0, kMaxDevices)));
  BERTH_RETURN_IF_ERROR(Read(map, "max_pods", &node.max_pods, IntegerIn(0, std::numeric_limits<int32_t>::max())));
  BERTH_RETURN_IF_ERROR(Read(map, "weight", &node.weight, IntegerIn(0, 1'000'000)));
  BERTH_ASSIGN_OR_RETURN(node.gpu_model, Text(map, "gpu_model", ""));
  BERTH_ASSIGN_OR_RETURN(node.zone, Text(map, "zone", ""));
  BERTH_ASSIGN_OR_RETURN(node.rack, Text(map, "rack", ""));
  BERTH_RETURN_IF_ERROR(ReadExtended(map, &node.extended));
  if (const YAML::Node labels = map["labels"]) {
    if (!labels.IsMap()) return Bad(labels, "labels", "", "a mapping of key: value");
    for (const auto& entry : labels) {
      if (!entry.first.IsScalar() || !entry.second.IsScalar()) return Bad(entry.first, "labels", "", "a mapping of key: value");
      node.labels.push_back({entry.first.Scalar(), entry.second.Scalar()});
    }
  }
  BERTH_RETURN_IF_ERROR(ReadTaints(map, &node.taints));
  BERTH_ASSIGN_OR_RETURN(const std::string unschedulable, Text(map, "unschedulable", "false"));
  if (unschedulable != "true" && unschedulable != "false") return Bad(map["unschedulable"], "unschedulable", unschedulable, "true, false");
  node.is_unschedulable = unschedulable == "true";
  if (const YAML::Node position = map["position"]) {
    BERTH_RETURN_IF_ERROR(CheckKeys(position, "position", {"x_ms", "y_ms", "z_ms", "height_ms"}));
    BERTH_RETURN_IF_ERROR(Read(position, "x_ms", &node.position.x_ms, NumberIn(-1e7, 1e7)));
    BERTH_RETURN_IF_ERROR(Read(position, "y_ms", &node.position.y_ms, NumberIn(-1e7, 1e7)));
    BERTH_RETURN_IF_ERROR(Read(position, "z_ms", &node.position.z_ms, NumberIn(-1e7, 1e7)));
    BERTH_RETURN_IF_ERROR(Read(position, "height_ms", &node.position.height_ms, NumberIn(0, 1e7)));
  }
  if (auto status = ValidateNode("node", node); !status.ok()) return WithContext(status, Where(map));
  return group;
}

absl::StatusOr<PodClass> ParsePod(const YAML::Node& map) {
  BERTH_RETURN_IF_ERROR(CheckKeys(map, "pods", {"name", "share", "cpu", "memory", "gpus", "gpu_milli", "gpu_models", "extended", "lifetime"}));
  PodClass c;
  PodRequest& r = c.request;
  BERTH_ASSIGN_OR_RETURN(c.name, Text(map, "name", "", true));
  BERTH_RETURN_IF_ERROR(Read(map, "share", &c.share, NumberIn(0, 1e12)));
  BERTH_RETURN_IF_ERROR(Read(map, "cpu", &r.cpu_milli, ParseCpuMilli));
  BERTH_RETURN_IF_ERROR(Read(map, "memory", &r.mem_bytes, ParseBytes));
  BERTH_RETURN_IF_ERROR(Read(map, "gpus", &r.gpu_count, IntegerIn(0, kMaxDevices)));
  r.gpu_milli = r.gpu_count > 0 ? kWholeGpuMilli : 0;
  BERTH_RETURN_IF_ERROR(Read(map, "gpu_milli", &r.gpu_milli, IntegerIn(0, kWholeGpuMilli)));
  if (const YAML::Node models = map["gpu_models"]) {
    if (!models.IsSequence()) return Bad(models, "gpu_models", "", "a list");
    for (const auto& model : models) {
      if (!model.IsScalar()) return Bad(model, "gpu_models", "", "a list of names");
      r.gpu_models.push_back(model.Scalar());
    }
  }
  BERTH_RETURN_IF_ERROR(ReadExtended(map, &r.extended));
  if (const YAML::Node life = map["lifetime"]) {
    BERTH_RETURN_IF_ERROR(CheckKeys(life, "lifetime", {"kind", "mean_s", "samples_s"}));
    BERTH_ASSIGN_OR_RETURN(const std::string kind, Text(life, "kind", "exponential"));
    if (kind == "exponential") c.lifetime.kind = Lifetime::Kind::kExponential;
    else if (kind == "empirical") c.lifetime.kind = Lifetime::Kind::kEmpirical;
    else if (kind == "unlimited") c.lifetime.kind = Lifetime::Kind::kUnlimited;
    else return Bad(life["kind"], "lifetime.kind", kind, "exponential, empirical, unlimited");
    BERTH_RETURN_IF_ERROR(Read(life, "mean_s", &c.lifetime.mean_s, NumberIn(1e-6, 1e9)));
    if (const YAML::Node samples = life["samples_s"]) {
      if (!samples.IsSequence()) return Bad(samples, "lifetime.samples_s", "", "a list of seconds");
      for (const auto& sample : samples) {
        if (!sample.IsScalar()) return Bad(sample, "lifetime.samples_s", "", "a list of seconds");
        BERTH_ASSIGN_OR_RETURN(const double s, ParseDouble(fmt::format("{}: lifetime.samples_s", Where(sample)), sample.Scalar(), 1e-6, 1e9));
        c.lifetime.samples_s.push_back(s);
      }
    }
  }
  if (auto status = ValidateRequest("pod", r); !status.ok()) return WithContext(status, Where(map));
  return c;
}

using ClassIndex = absl::flat_hash_map<std::string, uint32_t>;

absl::Status ParseArrivals(const YAML::Node& list, const ClassIndex& classes, std::vector<Arrival>* out) {
  if (!list.IsSequence()) return Bad(list, "arrivals", "", "a list of [time_us, class name, life_us or forever]");
  for (const auto& entry : list) {
    if (!entry.IsSequence() || entry.size() != 3 || !entry[0].IsScalar() || !entry[1].IsScalar() || !entry[2].IsScalar()) {
      return Bad(entry, "arrivals", "", "[time_us, class name, life_us or forever]");
    }
    Arrival a;
    BERTH_ASSIGN_OR_RETURN(a.time_us, ParseInteger(fmt::format("{}: time_us", Where(entry[0])), entry[0].Scalar(), 0, kMaxTimeUs));
    const auto it = classes.find(entry[1].Scalar());
    if (it == classes.end()) return Bad(entry[1], "class", entry[1].Scalar(), "the name of a class in pods");
    a.pod_class = it->second;
    if (entry[2].Scalar() != "forever") {
      BERTH_ASSIGN_OR_RETURN(a.life_us, ParseInteger(fmt::format("{}: life_us", Where(entry[2])), entry[2].Scalar(), 1, kMaxTimeUs));
    }
    out->push_back(a);
  }
  return absl::OkStatus();
}

// The arrivals that were read beside the tree, with classes of the workload.
absl::Status TakePlainArrivals(PlainArrivals plain, const ClassIndex& classes, std::vector<Arrival>* out) {
  std::vector<uint32_t> class_of;
  for (std::string_view name : plain.classes) {
    const auto it = classes.find(std::string(name));
    if (it == classes.end()) return InvalidField("workload: class", name, "the name of a class in pods");
    class_of.push_back(it->second);
  }
  for (Arrival& a : plain.arrivals) a.pod_class = class_of[a.pod_class];
  *out = std::move(plain.arrivals);
  return absl::OkStatus();
}

absl::StatusOr<Workload> ParseRoot(const YAML::Node& root, std::optional<PlainArrivals> plain) {
  BERTH_RETURN_IF_ERROR(CheckKeys(root, "the workload", {"format", "name", "attribution", "nodes", "pods", "arrivals"}));
  BERTH_ASSIGN_OR_RETURN(const std::string format, Text(root, "format", "", true));
  if (format != kFormat) return Bad(root["format"], "format", format, kFormat);
  Workload workload;
  BERTH_ASSIGN_OR_RETURN(workload.name, Text(root, "name", "", true));
  BERTH_ASSIGN_OR_RETURN(workload.attribution, Text(root, "attribution", ""));
  for (const char* key : {"nodes", "pods"}) {
    if (!root[key] || !root[key].IsSequence()) return Bad(root, key, "", "a list of one entry or more");
  }
  for (const auto& entry : root["nodes"]) {
    BERTH_ASSIGN_OR_RETURN(auto group, ParseNode(entry));
    workload.node_groups.push_back(std::move(group));
  }
  for (const auto& entry : root["pods"]) {
    BERTH_ASSIGN_OR_RETURN(auto pod, ParsePod(entry));
    workload.pod_classes.push_back(std::move(pod));
  }
  ClassIndex classes;
  for (const PodClass& c : workload.pod_classes) classes.emplace(c.name, static_cast<uint32_t>(classes.size()));
  if (plain) {
    // Else the line was no key: part of a quoted text, for one.
    if (!root["arrivals"] || !root["arrivals"].IsNull()) return Bad(root, "arrivals", "", "a key without a value in its line");
    BERTH_RETURN_IF_ERROR(TakePlainArrivals(*std::move(plain), classes, &workload.arrivals));
  } else if (root["arrivals"]) {
    BERTH_RETURN_IF_ERROR(ParseArrivals(root["arrivals"], classes, &workload.arrivals));
  }
  if (auto status = FinishWorkload(workload); !status.ok()) return WithContext(status, "workload");
  return workload;
}

// Hears of documents only.
class DocumentStarts : public YAML::EventHandler {
 public:
  void OnDocumentStart(const YAML::Mark& mark) override { mark_ = mark; }
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark&, YAML::anchor_t) override {}
  void OnAlias(const YAML::Mark&, YAML::anchor_t) override {}
  void OnScalar(const YAML::Mark&, const std::string&, YAML::anchor_t, const std::string&) override {}
  void OnSequenceStart(const YAML::Mark&, const std::string&, YAML::anchor_t, YAML::EmitterStyle::value) override {}
  void OnSequenceEnd() override {}
  void OnMapStart(const YAML::Mark&, const std::string&, YAML::anchor_t, YAML::EmitterStyle::value) override {}
  void OnMapEnd() override {}

  const YAML::Mark& mark() const { return mark_; }

 private:
  YAML::Mark mark_;
};

// YAML::Load stops behind the first document and says nothing of the rest; YAML::LoadAll never ends on a lone comma.
absl::Status CheckOneDocument(const std::string& text) {
  std::istringstream stream(text);
  YAML::Parser parser(stream);
  DocumentStarts starts;
  if (!parser.HandleNextDocument(starts) || !parser.HandleNextDocument(starts)) return absl::OkStatus();
  return InvalidField(fmt::format("workload line {} column {}", starts.mark().line + 1, starts.mark().column + 1),
                      "text behind the end of the document", "one document");
}

// `text` ends with the key of the arrivals where those were read beside it.
absl::StatusOr<Workload> ParseText(std::string_view text, std::optional<PlainArrivals> plain) {
  if (text.size() > kMaxTreeBytes) {
    return absl::ResourceExhaustedError(fmt::format(
        "workload: {} bytes, accepted: up to {}, without arrivals written one a line as - [time_us, class, life_us] at the end",
        text.size(), kMaxTreeBytes));
  }
  try {
    const std::string copy(text);
    BERTH_RETURN_IF_ERROR(CheckOneDocument(copy));
    return ParseRoot(YAML::Load(copy), std::move(plain));
  } catch (const YAML::Exception& error) {
    return absl::InvalidArgumentError(fmt::format("workload line {} column {}: {}, accepted: YAML", error.mark.line + 1,
                                                  error.mark.column + 1, error.msg));
  }
}

// yaml-cpp recurses over nesting; text that nests deeper than any workload is refused before it is parsed.
bool NestsTooDeep(std::string_view text) {
  size_t depth = 0, indent_levels = 0, last_indent = 0, column = 0;
  bool at_line_start = true, in_comment = false;
  char before = '\n';
  for (char c : text) {
    in_comment = c != '\n' && (in_comment || (c == '#' && (before == ' ' || before == '\n')));
    before = c;
    if (in_comment) continue;
    if (c == '\n') {
      at_line_start = true;
      column = 0;
      continue;
    }
    if (at_line_start && c != ' ' && c != '-') {
      indent_levels = column > last_indent ? indent_levels + 1 : column < last_indent ? 0 : indent_levels;
      last_indent = column;
      at_line_start = false;
    }
    if (at_line_start && c == '-' && column > 4 * kMaxDepth) return true;
    ++column;
    if (c == '[' || c == '{') ++depth;
    if ((c == ']' || c == '}') && depth > 0) --depth;
    if (depth > kMaxDepth || indent_levels > kMaxDepth) return true;
  }
  return false;
}

std::string Quote(const std::string& text) {
  YAML::Emitter out;
  out << YAML::DoubleQuoted << text;
  return out.c_str();
}

}  // namespace

absl::StatusOr<Workload> ParseWorkload(std::string_view text) {
  if (NestsTooDeep(text)) return InvalidField("workload", "nested text", fmt::format("at most {} levels of nesting", kMaxDepth));
  if (auto plain = SplitPlainArrivals(text)) {
    const std::string_view head = plain->head;
    auto workload = ParseText(head, std::move(plain));
    // An error is named by the parser that sees the whole text, unless that is too much for it.
    if (workload.ok() || text.size() > kMaxTreeBytes) return workload;
  }
  return ParseText(text, std::nullopt);
}

absl::StatusOr<Workload> LoadWorkload(const std::string& path) {
  BERTH_ASSIGN_OR_RETURN(const std::string text, ReadTextFile("workload file", path));
  return ParseWorkload(text);
}

std::vector<std::string> BuiltinWorkloadNames() {
  std::vector<std::string> names;
  for (const BuiltinText& builtin : kBuiltinTexts) names.emplace_back(builtin.name);
  return names;
}

absl::StatusOr<Workload> BuiltinWorkload(std::string_view name) {
  for (const BuiltinText& builtin : kBuiltinTexts) {
    if (builtin.name == name) return ParseWorkload(builtin.text);
  }
  return absl::NotFoundError(fmt::format("workload is {}, accepted: {} or a file", Quoted(name), fmt::join(BuiltinWorkloadNames(), ", ")));
}

absl::StatusOr<Workload> LoadWorkloadByNameOrFile(const std::string& name_or_path) {
  auto builtin = BuiltinWorkload(name_or_path);
  if (builtin.ok() || builtin.status().code() != absl::StatusCode::kNotFound) return builtin;
  auto file = LoadWorkload(name_or_path);
  if (file.status().code() == absl::StatusCode::kNotFound) return builtin.status();
  return file;
}

std::string WorkloadToYaml(const Workload& w) {
  std::string out = fmt::format("format: {}\nname: {}\n", kFormat, Quote(w.name));
  if (!w.attribution.empty()) out += fmt::format("attribution: {}\n", Quote(w.attribution));
  const auto extended = [](const std::vector<ExtendedResource>& list) {
    std::string text;
    for (const ExtendedResource& e : list) text += fmt::format("{}{}: {}", text.empty() ? "" : ", ", Quote(e.name), e.amount);
    return text.empty() ? text : fmt::format(", extended: {{{}}}", text);
  };
  out += "nodes:\n";
  for (const NodeGroup& g : w.node_groups) {
    const Node& n = g.node;
    out += fmt::format("  - {{name: {}, count: {}, cpu: {}, memory: {}", Quote(n.name), g.count, FormatCpuMilli(n.cpu_milli), FormatBytes(n.mem_bytes));
    if (n.gpu_count > 0) out += fmt::format(", gpus: {}", n.gpu_count);
    if (!n.gpu_model.empty()) out += fmt::format(", gpu_model: {}", Quote(n.gpu_model));
    if (n.max_pods != std::numeric_limits<int32_t>::max()) out += fmt::format(", max_pods: {}", n.max_pods);
    if (!n.zone.empty()) out += fmt::format(", zone: {}", Quote(n.zone));
    if (!n.rack.empty()) out += fmt::format(", rack: {}", Quote(n.rack));
    if (n.weight != 1) out += fmt::format(", weight: {}", n.weight);
    if (!n.labels.empty()) {
      std::string labels;
      for (const LabelMatch& l : n.labels) labels += fmt::format("{}{}: {}", labels.empty() ? "" : ", ", Quote(l.key), Quote(l.value));
      out += fmt::format(", labels: {{{}}}", labels);
    }
    if (!n.taints.empty()) {
      std::string taints;
      for (const Taint& t : n.taints) {
        const auto it = std::find_if(std::begin(kEffects), std::end(kEffects), [&](const auto& e) { return e.second == t.effect; });
        taints += fmt::format("{}{{key: {}, value: {}, effect: {}}}", taints.empty() ? "" : ", ", Quote(t.key), Quote(t.value), it->first);
      }
      out += fmt::format(", taints: [{}]", taints);
    }
    if (n.is_unschedulable) out += ", unschedulable: true";
    if (n.position != Coordinates()) {
      out += fmt::format(", position: {{x_ms: {}, y_ms: {}, z_ms: {}, height_ms: {}}}", n.position.x_ms, n.position.y_ms, n.position.z_ms, n.position.height_ms);
    }
    out += extended(n.extended) + "}\n";
  }
  out += "pods:\n";
  for (const PodClass& c : w.pod_classes) {
    const PodRequest& r = c.request;
    out += fmt::format("  - {{name: {}, share: {}, cpu: {}, memory: {}", Quote(c.name), c.share, FormatCpuMilli(r.cpu_milli), FormatBytes(r.mem_bytes));
    if (r.gpu_count > 0) out += fmt::format(", gpus: {}, gpu_milli: {}", r.gpu_count, r.gpu_milli);
    if (!r.gpu_models.empty()) {
      std::string models;
      for (const std::string& m : r.gpu_models) models += (models.empty() ? "" : ", ") + Quote(m);
      out += fmt::format(", gpu_models: [{}]", models);
    }
    out += extended(r.extended);
    switch (c.lifetime.kind) {
      case Lifetime::Kind::kUnlimited: out += ", lifetime: {kind: unlimited}"; break;
      case Lifetime::Kind::kExponential: out += fmt::format(", lifetime: {{mean_s: {}}}", c.lifetime.mean_s); break;
      case Lifetime::Kind::kEmpirical: out += fmt::format(", lifetime: {{kind: empirical, samples_s: [{}]}}", fmt::join(c.lifetime.samples_s, ", ")); break;
    }
    out += "}\n";
  }
  if (!w.arrivals.empty()) {
    out += "arrivals:\n";
    std::vector<std::string> names;
    for (const PodClass& c : w.pod_classes) names.push_back(Quote(c.name));
    for (const Arrival& a : w.arrivals) {
      fmt::format_to(std::back_inserter(out), "  - [{}, {}, ", a.time_us, names[a.pod_class]);
      if (a.life_us == kForever) out += "forever]\n";
      else fmt::format_to(std::back_inserter(out), "{}]\n", a.life_us);
    }
  }
  return out;
}

}  // namespace berth

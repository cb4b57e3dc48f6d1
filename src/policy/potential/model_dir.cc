#include "policy/potential/model_dir.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <limits>

#include "base/rng.h"
#include "base/status.h"
#include "fmt/format.h"
#include "nlohmann/json.hpp"
#include "policy/potential/safetensors.h"
#include "policy/potential/strict_json.h"

namespace berth {
namespace {

using Json = nlohmann::json;

// The second format has prices or serves any mix, which a reader of the first would pass over.
constexpr std::string_view kFormat = "berth-model-1", kFormatWithPrices = "berth-model-2", kKind = "network";
constexpr size_t kMaxFileBytes = 16 << 20;
constexpr size_t kGoldenPods = 200;
constexpr size_t kMaxGoldenNodes = 64;
constexpr double kGoldenTolerance = 1e-5;
constexpr size_t kMaxMix = 4096;
constexpr double kMaxMixWeight = 1e18;
constexpr int kMaxJsonDepth = 32;
constexpr size_t kMaxClassModels = 64;       // as many models as a cluster may have

absl::Status Bad(std::string_view field, std::string_view value, std::string_view accepted) {
  return InvalidField(fmt::format("model {}", field), value, accepted);
}

absl::Status CheckName(const std::string& name) {
  const bool is_plain = !name.empty() && name.size() <= 63 && name[0] != '-' &&
                        name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789-") == std::string::npos;
  return is_plain ? absl::OkStatus() : Bad("name", name, "1 to 63 of a-z, 0-9 and -, not starting with -");
}

absl::StatusOr<std::string> ReadFile(const std::string& dir, const std::string& name) {
  const std::string path = dir + "/" + name;
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);   // a FIFO must not hang the reader
  if (fd < 0) return absl::NotFoundError(fmt::format("model file {} can't be opened", name));
  struct stat info {};
  std::string bytes;
  absl::Status status;
  if (fstat(fd, &info) != 0 || !S_ISREG(info.st_mode)) {
    status = Bad(fmt::format("file {}", name), "no regular file", "a regular file");
  } else if (static_cast<size_t>(info.st_size) > kMaxFileBytes) {
    status = Bad(fmt::format("file {}", name), fmt::format("{} bytes", info.st_size), fmt::format("at most {} bytes", kMaxFileBytes));
  } else {
    bytes.resize(static_cast<size_t>(info.st_size));
    size_t done = 0;
    while (done < bytes.size()) {
      const ssize_t n = read(fd, bytes.data() + done, bytes.size() - done);
      if (n <= 0) break;
      done += static_cast<size_t>(n);
    }
    if (done != bytes.size()) status = absl::InternalError(fmt::format("model file {} can't be read", name));
  }
  close(fd);
  if (!status.ok()) return status;
  return bytes;
}

absl::StatusOr<Json> ParseObject(std::string_view file, const std::string& bytes) {
  return ParseStrictJson(fmt::format("model file {}", file), bytes, kMaxJsonDepth);
}

absl::StatusOr<int64_t> Integer(const Json& object, const char* key, int64_t low, int64_t high) {
  const auto it = object.find(key);
  if (it == object.end() || !it->is_number_integer() || (it->is_number_unsigned() && it->get<uint64_t>() > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) ||
      it->get<int64_t>() < low || it->get<int64_t>() > high) {
    return Bad(key, it == object.end() ? "missing" : it->dump(), fmt::format("a whole number from {} to {}", low, high));
  }
  return it->get<int64_t>();
}

absl::StatusOr<std::string> Text(const Json& object, const char* key) {
  const auto it = object.find(key);
  if (it == object.end() || !it->is_string()) return Bad(key, it == object.end() ? "missing" : it->dump(), "a text");
  return it->get<std::string>();
}

Json ToJson(const PodRequest& r) {
  Json j{{"cpu_milli", r.cpu_milli}, {"mem_bytes", r.mem_bytes}, {"gpu_count", r.gpu_count}, {"gpu_milli", r.gpu_milli}};
  if (!r.gpu_models.empty()) j["gpu_models"] = r.gpu_models;
  return j;
}

absl::StatusOr<PodRequest> RequestFromJson(const Json& j) {
  if (!j.is_object()) return Bad("request", j.dump(), "an object");
  PodRequest r;
  BERTH_ASSIGN_OR_RETURN(r.cpu_milli, Integer(j, "cpu_milli", 0, kMaxCpuMilli));
  BERTH_ASSIGN_OR_RETURN(r.mem_bytes, Integer(j, "mem_bytes", 0, kMaxMemBytes));
  BERTH_ASSIGN_OR_RETURN(const int64_t count, Integer(j, "gpu_count", 0, kMaxDevices));
  BERTH_ASSIGN_OR_RETURN(const int64_t milli, Integer(j, "gpu_milli", 0, kWholeGpuMilli));
  r.gpu_count = static_cast<int32_t>(count);
  r.gpu_milli = static_cast<int32_t>(milli);
  if (const auto it = j.find("gpu_models"); it != j.end()) {
    if (!it->is_array()) return Bad("gpu_models", it->dump(), "a list of names");
    for (const Json& m : *it) {
      if (!m.is_string()) return Bad("gpu_models", m.dump(), "a list of names");
      r.gpu_models.push_back(m.get<std::string>());
    }
  }
  BERTH_RETURN_IF_ERROR(ValidateRequest("model request", r));
  return r;
}

// What a mix must be for finite values.
absl::Status CheckMix(const PodMix& mix) {
  if (mix.empty() || mix.size() > kMaxMix) return Bad("mix", fmt::format("{} classes", mix.size()), fmt::format("1 to {} classes", kMaxMix));
  double sum = 0;
  for (const MixClass& c : mix) {
    BERTH_RETURN_IF_ERROR(ValidateRequest("model mix request", c.request));
    if (!(c.weight >= 0 && c.weight <= kMaxMixWeight)) return Bad("mix weight", fmt::format("{}", c.weight), fmt::format("a number from 0 to {}", kMaxMixWeight));
    sum += c.weight;
  }
  return sum > 0 ? absl::OkStatus() : Bad("mix weight", "0 in every class", "one above 0");
}

Json ToJson(const Node& n) {
  return {{"name", n.name}, {"cpu_milli", n.cpu_milli}, {"mem_bytes", n.mem_bytes}, {"gpu_count", n.gpu_count}, {"gpu_model", n.gpu_model}, {"max_pods", n.max_pods}};
}

absl::StatusOr<Node> NodeFromJson(const Json& j) {
  if (!j.is_object()) return Bad("golden node", j.dump(), "an object");
  Node n;
  BERTH_ASSIGN_OR_RETURN(n.name, Text(j, "name"));
  BERTH_ASSIGN_OR_RETURN(n.cpu_milli, Integer(j, "cpu_milli", 0, kMaxCpuMilli));
  BERTH_ASSIGN_OR_RETURN(n.mem_bytes, Integer(j, "mem_bytes", 0, kMaxMemBytes));
  BERTH_ASSIGN_OR_RETURN(const int64_t count, Integer(j, "gpu_count", 0, kMaxDevices));
  BERTH_ASSIGN_OR_RETURN(const int64_t pods, Integer(j, "max_pods", 0, std::numeric_limits<int32_t>::max()));
  BERTH_ASSIGN_OR_RETURN(n.gpu_model, Text(j, "gpu_model"));
  n.gpu_count = static_cast<int32_t>(count);
  n.max_pods = static_cast<int32_t>(pods);
  return n;
}

Json ToJson(const PricedOptions& options) {
  Json j = Json::object();
  VisitPricedFields(options, [&](const char* name, double value, double, double) { j[name] = value; });
  return j;
}

absl::StatusOr<PricedOptions> PricesFromJson(const Json& j) {
  if (!j.is_object()) return Bad("prices", j.dump().substr(0, 64), "an object");
  PricedOptions options;
  absl::Status status;
  VisitPricedFields(options, [&](const char* name, double& value, double, double) {
    const auto it = j.find(name);
    if (it == j.end() || !it->is_number()) status = Bad(fmt::format("prices {}", name), it == j.end() ? "missing" : it->dump(), "a number");
    else value = it->get<double>();
  });
  if (!status.ok()) return status;
  BERTH_RETURN_IF_ERROR(ValidatePricedOptions(options));
  return options;
}

TensorMap ToTensors(const NetworkWeights& w) {
  const int64_t h = w.hidden;
  TensorMap tensors{{"linear", {{kFeatureCount}, w.linear}}};
  if (h > 0) {
    tensors["w1"] = {{h, static_cast<int64_t>(w.mlp_inputs())}, w.w1};
    tensors["b1"] = {{h}, w.b1};
    tensors["w2"] = {{h, h}, w.w2};
    tensors["b2"] = {{h}, w.b2};
    tensors["w3"] = {{h}, w.w3};
  }
  if (!w.experts.empty()) {
    const auto count = static_cast<int64_t>(w.expert_shapes.size());
    Tensor& shapes = tensors["expert_shapes"] = {{count, kMixShapeCount}, {}};
    for (const MixShape& s : w.expert_shapes) shapes.values.insert(shapes.values.end(), s.begin(), s.end());
    tensors["experts"] = {{count, kFeatureCount}, w.experts};
  }
  if (!w.classes.empty()) tensors["classes"] = {{static_cast<int64_t>(w.classes.size())}, w.classes};
  return tensors;
}

// Rows of `features` numbers and `others` behind them, the features widened to kFeatureCount with zeros.
std::vector<float> Widen(const std::vector<float>& rows, int64_t features, int64_t others = 0) {
  const auto narrow = static_cast<size_t>(features + others), row = static_cast<size_t>(kFeatureCount + others);
  std::vector<float> wide(rows.size() / narrow * row, 0);
  for (size_t r = 0; r * narrow < rows.size(); ++r) {
    const auto from = rows.begin() + static_cast<int64_t>(r * narrow);
    const auto to = wide.begin() + static_cast<int64_t>(r * row);
    std::copy_n(from, features, to);
    std::copy_n(from + features, others, to + kFeatureCount);
  }
  return wide;
}

// Weights of the first `features` features; those of the rest are 0. `classes`: how many class weights there must be.
absl::StatusOr<NetworkWeights> FromTensors(const TensorMap& tensors, int hidden, bool sees_mix, int64_t features, int64_t experts, std::vector<std::string> class_models, size_t classes) {
  NetworkWeights w;
  w.hidden = hidden;
  w.mlp_sees_mix = sees_mix;
  const int64_t others = sees_mix ? kMixShapeCount : 0;
  w.class_models = std::move(class_models);
  const int64_t h = hidden;
  TensorMap wanted{{"linear", {{features}, {}}}};
  if (h > 0) wanted.insert({{"w1", {{h, features + others}, {}}}, {"b1", {{h}, {}}}, {"w2", {{h, h}, {}}}, {"b2", {{h}, {}}}, {"w3", {{h}, {}}}});
  if (experts > 0) wanted.insert({{"experts", {{experts, features}, {}}}, {"expert_shapes", {{experts, kMixShapeCount}, {}}}});
  if (classes > 0) wanted.insert({"classes", {{static_cast<int64_t>(classes)}, {}}});
  for (const auto& [name, tensor] : wanted) {
    const auto it = tensors.find(name);
    if (it == tensors.end()) return Bad(fmt::format("tensor {}", name), "missing", fmt::format("shape [{}]", fmt::join(tensor.shape, ", ")));
    if (it->second.shape != tensor.shape) {
      return Bad(fmt::format("tensor {}", name), fmt::format("shape [{}]", fmt::join(it->second.shape, ", ")), fmt::format("shape [{}]", fmt::join(tensor.shape, ", ")));
    }
  }
  for (const auto& [name, tensor] : tensors) {
    if (!wanted.contains(name)) return Bad("tensor", name, "linear, w1, b1, w2, b2, w3, experts and expert_shapes where the manifest has experts, classes where it has class_models");
  }
  const auto take = [&](const char* name) { return tensors.at(name).values; };
  w.linear = Widen(take("linear"), features);
  if (experts > 0) {
    w.experts = Widen(take("experts"), features);
    const std::vector<float> shapes = take("expert_shapes");
    w.expert_shapes.resize(static_cast<size_t>(experts));
    for (size_t i = 0; i < shapes.size(); ++i) w.expert_shapes[i / kMixShapeCount][i % kMixShapeCount] = shapes[i];
  }
  if (classes > 0) w.classes = take("classes");
  if (hidden > 0) {
    w.w1 = Widen(take("w1"), features, others);
    w.b1 = take("b1"), w.w2 = take("w2"), w.b2 = take("b2"), w.w3 = take("w3");
  }
  BERTH_RETURN_IF_ERROR(ValidateWeights(w));
  return w;
}

// Places pods of the mix on the golden nodes one after the other; the answers of `policy` as JSON steps.
absl::StatusOr<Json> GoldenSteps(const Policy& policy, const std::vector<Node>& nodes, const std::vector<PodRequest>& pods) {
  ClusterState state;
  for (const Node& node : nodes) {
    auto added = state.AddNode(node);
    if (!added.ok()) return WithContext(added.status(), "model golden answers");
  }
  const auto decider = policy.NewDecider();
  Json steps = Json::array();
  for (const PodRequest& request : pods) {
    Pod pod;
    pod.id = "golden";
    pod.request = request;
    const Decision d = decider->Decide(state, pod, 0, {});
    Json step{{"request", ToJson(request)}, {"node", d.is_placed ? state.node(d.node).spec.name : ""}};
    if (d.is_placed) {
      step["devices"] = d.devices;
      step["score"] = d.score;
      BERTH_RETURN_IF_ERROR(state.Place(state.Resolve(request), d.node, d.devices));
    }
    steps.push_back(std::move(step));
  }
  return steps;
}

absl::StatusOr<std::vector<Node>> GoldenNodes(const Json& golden) {
  const auto it = golden.find("nodes");
  if (it == golden.end() || !it->is_array() || it->empty() || it->size() > kMaxGoldenNodes) return Bad("file golden.json", "nodes", fmt::format("1 to {} nodes", kMaxGoldenNodes));
  std::vector<Node> nodes;
  for (const Json& j : *it) {
    BERTH_ASSIGN_OR_RETURN(nodes.emplace_back(), NodeFromJson(j));
  }
  return nodes;
}

absl::Status CheckGolden(const Policy& policy, const std::vector<Node>& nodes, const Json& golden) {
  const auto steps_it = golden.find("steps");
  if (steps_it == golden.end() || !steps_it->is_array() || steps_it->empty() || steps_it->size() > 10 * kGoldenPods) {
    return Bad("file golden.json", "steps", fmt::format("1 to {} steps", 10 * kGoldenPods));
  }
  std::vector<PodRequest> pods;
  for (const Json& step : *steps_it) {
    if (!step.is_object() || !step.contains("request")) return Bad("golden step", step.dump().substr(0, 64), "an object with a request");
    BERTH_ASSIGN_OR_RETURN(pods.emplace_back(), RequestFromJson(step["request"]));
  }
  BERTH_ASSIGN_OR_RETURN(const Json answers, GoldenSteps(policy, nodes, pods));
  for (size_t i = 0; i < pods.size(); ++i) {
    const Json &want = (*steps_it)[i], &got = answers[i];
    const bool is_same_score = !got.contains("score") || (want.contains("score") && want["score"].is_number() &&
                               std::abs(want["score"].get<double>() - got["score"].get<double>()) <= kGoldenTolerance * (1 + std::abs(got["score"].get<double>())));
    if (want.value("node", Json()) != got["node"] || want.value("devices", Json()) != got.value("devices", Json()) || !is_same_score) {
      return absl::FailedPreconditionError(fmt::format("model golden answer {}: got {}, accepted: {}", i, got.dump().substr(0, 200), want.dump().substr(0, 200)));
    }
  }
  return absl::OkStatus();
}

// ReadModelDir and, where wanted, the policy with its golden answers checked.
absl::StatusOr<ModelContent> Read(const std::string& dir, std::shared_ptr<const Policy>* policy) {
  BERTH_ASSIGN_OR_RETURN(const std::string manifest_bytes, ReadFile(dir, "manifest.json"));
  BERTH_ASSIGN_OR_RETURN(const Json manifest, ParseObject("manifest.json", manifest_bytes));
  BERTH_ASSIGN_OR_RETURN(const std::string format, Text(manifest, "format"));
  if (format != kFormat && format != kFormatWithPrices) return Bad("format", format, fmt::format("{} or {}", kFormat, kFormatWithPrices));
  BERTH_ASSIGN_OR_RETURN(const std::string kind, Text(manifest, "kind"));
  if (kind != kKind) return Bad("kind", kind, kKind);
  ModelContent content;
  BERTH_ASSIGN_OR_RETURN(content.name, Text(manifest, "name"));
  BERTH_RETURN_IF_ERROR(CheckName(content.name));
  BERTH_ASSIGN_OR_RETURN(content.version, Integer(manifest, "version", 1, std::numeric_limits<int32_t>::max()));
  BERTH_ASSIGN_OR_RETURN(const int64_t hidden, Integer(manifest, "hidden", 0, 256));
  const auto features = manifest.find("features");
  if (features == manifest.end() || !features->is_array()) return Bad("features", features == manifest.end() ? "missing" : features->dump().substr(0, 64), "a list of names");
  if (features->empty() || features->size() > kFeatureCount) {
    return absl::FailedPreconditionError(fmt::format("model features is \"{} features\", accepted: the {} features of this program, or the first of them", features->size(), kFeatureCount));
  }
  for (size_t i = 0; i < features->size(); ++i) {
    if ((*features)[i] != FeatureNames()[i]) {
      return absl::FailedPreconditionError(fmt::format("model features[{}] is {}, accepted: {}: the model was made for another feature list", i, (*features)[i].dump(), FeatureNames()[i]));
    }
  }
  const auto mix = manifest.find("mix");
  if (mix == manifest.end() || !mix->is_array()) return Bad("mix", mix == manifest.end() ? "missing" : mix->dump().substr(0, 64), "a list of classes");
  for (const Json& j : *mix) {
    MixClass c;
    BERTH_ASSIGN_OR_RETURN(c.request, RequestFromJson(j.is_object() ? j.value("request", Json()) : Json()));
    if (!j.contains("weight") || !j["weight"].is_number()) return Bad("mix weight", j.value("weight", Json()).dump(), "a number");
    c.weight = j["weight"].get<double>();
    content.mix.push_back(std::move(c));
  }
  BERTH_RETURN_IF_ERROR(CheckMix(content.mix));
  int64_t experts = 0;
  bool sees_mix = false;
  if (format == kFormatWithPrices) {
    if (const auto sees = manifest.find("mlp_sees_mix"); sees != manifest.end()) {
      if (!sees->is_boolean() || (sees->get<bool>() && hidden == 0)) return Bad("mlp_sees_mix", sees->dump(), "true or false, false where hidden is 0");
      sees_mix = sees->get<bool>();
    }
    if (manifest.contains("experts")) {
      BERTH_ASSIGN_OR_RETURN(experts, Integer(manifest, "experts", 1, static_cast<int64_t>(kMaxExperts)));
    }
    const auto any = manifest.find("serves_any_mix");
    if (any != manifest.end() && !any->is_boolean()) return Bad("serves_any_mix", any->dump(), "true or false");
    content.serves_any_mix = any != manifest.end() && any->get<bool>();
    if (const auto prices = manifest.find("prices"); prices != manifest.end()) {
      BERTH_ASSIGN_OR_RETURN(content.prices, PricesFromJson(*prices));
    }
  }
  content.trained_on_json = manifest.value("trained_on", Json::object()).dump();
  content.metrics_json = manifest.value("metrics", Json::object()).dump();
  BERTH_ASSIGN_OR_RETURN(const std::string sha, Text(manifest, "weights_sha256"));
  BERTH_ASSIGN_OR_RETURN(const std::string weights_bytes, ReadFile(dir, "weights.safetensors"));
  if (Sha256Hex(weights_bytes) != sha) return Bad("weights_sha256", Sha256Hex(weights_bytes), sha + ", as the manifest says: the weights file was changed or cut");
  BERTH_ASSIGN_OR_RETURN(const TensorMap tensors, ParseSafetensors(weights_bytes));
  std::vector<std::string> class_models;
  size_t classes = 0;
  if (const auto it = manifest.find("class_models"); it != manifest.end()) {
    if (!it->is_array() || it->size() > kMaxClassModels || !std::all_of(it->begin(), it->end(), [](const Json& m) { return m.is_string(); })) {
      return Bad("class_models", it->dump().substr(0, 64), fmt::format("a list of at most {} names", kMaxClassModels));
    }
    class_models = it->get<std::vector<std::string>>();
    classes = ClassTerms::Count(TypicalPods(content.mix), class_models.size());
  }
  BERTH_ASSIGN_OR_RETURN(content.weights, FromTensors(tensors, static_cast<int>(hidden), sees_mix, static_cast<int64_t>(features->size()), experts, std::move(class_models), classes));
  BERTH_ASSIGN_OR_RETURN(const std::string golden_bytes, ReadFile(dir, "golden.json"));
  BERTH_ASSIGN_OR_RETURN(const Json golden, ParseObject("golden.json", golden_bytes));
  BERTH_ASSIGN_OR_RETURN(content.golden_nodes, GoldenNodes(golden));
  if (policy != nullptr) {
    BERTH_ASSIGN_OR_RETURN(*policy, MakeModelPolicy(content.name, fmt::format("{}", content.version), content.weights, content.mix, content.prices));
    BERTH_RETURN_IF_ERROR(CheckGolden(**policy, content.golden_nodes, golden));
  }
  return content;
}

absl::Status WriteFile(const std::filesystem::path& path, const std::string& bytes) {
  const int fd = open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
  if (fd < 0) return absl::FailedPreconditionError(fmt::format("model file {} can't be made", path.filename().string()));
  size_t done = 0;
  while (done < bytes.size()) {
    const ssize_t n = write(fd, bytes.data() + done, bytes.size() - done);
    if (n <= 0) break;
    done += static_cast<size_t>(n);
  }
  const bool is_whole = done == bytes.size() && fsync(fd) == 0;
  close(fd);
  return is_whole ? absl::OkStatus() : absl::FailedPreconditionError(fmt::format("model file {} can't be written", path.filename().string()));
}

}  // namespace

absl::StatusOr<std::shared_ptr<const Policy>> MakeModelPolicy(const std::string& name, const std::string& version, const NetworkWeights& weights,
                                                              const PodMix& mix, const std::optional<PricedOptions>& prices, const PriceRun& run) {
  BERTH_RETURN_IF_ERROR(ValidateWeights(weights));
  BERTH_RETURN_IF_ERROR(CheckMix(mix));
  if (prices) BERTH_RETURN_IF_ERROR(ValidatePricedOptions(*prices));
  BERTH_RETURN_IF_ERROR(CheckClasses(weights, TypicalPods(mix)));
  ClassPolicySpec spec;
  spec.info = {name, version, "model", weights.hidden > 0 ? "phi(s) = linear . features(s) + mlp(features(s)); least phi(after) - phi(before)" : "phi(s) = linear . features(s); least phi(after) - phi(before)",
               "trained by berth train", "", {}};
  if (weights.mlp_sees_mix) spec.info.formula += "; mlp sees what the mix asks";
  if (!weights.experts.empty()) spec.info.formula += fmt::format("; linear is a blend of {} vectors by what the mix asks", weights.expert_shapes.size());
  if (prices) spec.info.formula += fmt::format("; phi is less by {} x the worth of the free devices at the prices of a linear program", prices->beta);
  spec.info.is_adaptive = prices.has_value();
  spec.info.key_fields.exit_class = LooksAtExits(weights);
  spec.tie = TieRule::kLeastFreeMemory;
  spec.scorer = [shared = std::make_shared<const NetworkWeights>(weights), mix, prices, run] {
    const PotentialFactory network = [shared](const PodMix& m) { return MakeNetworkPotential(shared, TypicalPods(m), m); };
    return MakePotentialScorer(prices ? MakePricedPotential(network, mix, *prices, run) : network(mix));
  };
  return MakeClassPolicy(std::move(spec));
}

absl::StatusOr<ModelContent> BlendModels(const std::vector<ModelContent>& parts) {
  if (parts.size() < 2 || parts.size() > kMaxExperts) return Bad("parts", fmt::format("{}", parts.size()), fmt::format("2 to {}", kMaxExperts));
  ModelContent blend;
  blend.mix = parts.front().mix;
  blend.prices = parts.front().prices;
  blend.golden_nodes = parts.front().golden_nodes;
  blend.serves_any_mix = true;
  blend.weights.linear.assign(kFeatureCount, 0);
  Json trained_on = Json::array(), metrics = Json::array();
  for (const ModelContent& part : parts) {
    const NetworkWeights& w = part.weights;
    const std::string who = fmt::format("part {}", Quoted(part.name));
    if (w.hidden > 0 || !w.classes.empty() || !w.experts.empty()) return Bad(who, "a model with a network, class terms or experts", "a linear potential");
    if ((part.prices ? ToJson(*part.prices) : Json()) != (blend.prices ? ToJson(*blend.prices) : Json())) return Bad(who + " prices", "others than the first part's", "the same");
    const Json json = Json::parse(part.trained_on_json, nullptr, false);
    const auto shape = json.is_object() ? json.value("mix_shape", Json()) : Json();
    blend.weights.expert_shapes.emplace_back();
    for (size_t i = 0; i < kMixShapeCount; ++i) {
      const auto it = shape.is_object() ? shape.find(MixShapeNames()[i]) : shape.end();
      if (!shape.is_object() || it == shape.end() || !it->is_number()) return Bad(fmt::format("{} mix_shape {}", who, MixShapeNames()[i]), "missing", "a number");
      blend.weights.expert_shapes.back()[i] = it->get<float>();
    }
    blend.weights.experts.insert(blend.weights.experts.end(), w.linear.begin(), w.linear.end());
    trained_on.push_back(json);
    if (const Json measured = Json::parse(part.metrics_json, nullptr, false); !measured.is_discarded()) metrics.push_back(measured);
  }
  BERTH_RETURN_IF_ERROR(ValidateWeights(blend.weights));
  blend.trained_on_json = Json{{"parts", trained_on}}.dump();
  blend.metrics_json = Json{{"parts", metrics}}.dump();
  return blend;
}

absl::StatusOr<ModelContent> ReadModelDir(const std::string& dir) { return Read(dir, nullptr); }

absl::StatusOr<std::shared_ptr<const Policy>> LoadModelDir(const std::string& dir, const PodMix* given, bool learns_mix, const PriceRun& run) {
  std::shared_ptr<const Policy> checked;
  BERTH_ASSIGN_OR_RETURN(ModelContent content, Read(dir, &checked));
  if (content.serves_any_mix && learns_mix && content.prices) content.prices->learns_mix = true;
  else if (content.serves_any_mix && given != nullptr && !given->empty()) content.mix = *given;
  return MakeModelPolicy(content.name, fmt::format("{}", content.version), content.weights, content.mix, content.prices, run);
}

absl::StatusOr<std::string> WriteModelDir(const std::string& root, const ModelContent& content) {
  namespace fs = std::filesystem;
  BERTH_RETURN_IF_ERROR(CheckName(content.name));
  if (content.version < 1 || content.version > std::numeric_limits<int32_t>::max()) return Bad("version", fmt::format("{}", content.version), "a whole number from 1");
  if (content.golden_nodes.empty() || content.golden_nodes.size() > kMaxGoldenNodes) return Bad("golden nodes", fmt::format("{}", content.golden_nodes.size()), fmt::format("1 to {}", kMaxGoldenNodes));
  const std::string version = fmt::format("{}", content.version);
  BERTH_ASSIGN_OR_RETURN(const auto policy, MakeModelPolicy(content.name, version, content.weights, content.mix, content.prices));
  const Json trained_on = Json::parse(content.trained_on_json.empty() ? "{}" : content.trained_on_json, nullptr, false);
  const Json metrics = Json::parse(content.metrics_json.empty() ? "{}" : content.metrics_json, nullptr, false);
  if (trained_on.is_discarded() || metrics.is_discarded()) return Bad("trained_on or metrics", "no JSON", "JSON text");

  std::vector<PodRequest> pods;
  Rng rng(1);
  double sum = 0;
  for (const MixClass& c : content.mix) sum += c.weight;
  for (size_t i = 0; i < kGoldenPods; ++i) {
    double at = rng.Uniform() * sum;
    size_t k = 0;
    while (k + 1 < content.mix.size() && at >= content.mix[k].weight) at -= content.mix[k++].weight;
    pods.push_back(content.mix[k].request);
    pods.back().extended.clear();
  }
  // The answers are those of the nodes as the file keeps them, without taints, labels and extended resources.
  Json golden{{"nodes", Json::array()}};
  std::vector<Node> nodes;
  for (const Node& node : content.golden_nodes) {
    golden["nodes"].push_back(ToJson(node));
    BERTH_ASSIGN_OR_RETURN(nodes.emplace_back(), NodeFromJson(golden["nodes"].back()));
  }
  BERTH_ASSIGN_OR_RETURN(golden["steps"], GoldenSteps(*policy, nodes, pods));

  const std::string weights = ToSafetensors(ToTensors(content.weights));
  const bool is_second = content.prices || content.serves_any_mix || content.weights.depends_on_mix();
  Json manifest{{"format", is_second ? kFormatWithPrices : kFormat}, {"name", content.name}, {"version", content.version}, {"kind", kKind}, {"hidden", content.weights.hidden},
                {"features", Json::array()}, {"weights_sha256", Sha256Hex(weights)}, {"mix", Json::array()}, {"trained_on", trained_on}, {"metrics", metrics}};
  if (content.prices) manifest["prices"] = ToJson(*content.prices);
  if (content.weights.mlp_sees_mix) manifest["mlp_sees_mix"] = true;
  if (!content.weights.experts.empty()) manifest["experts"] = content.weights.expert_shapes.size();
  if (content.serves_any_mix) manifest["serves_any_mix"] = true;
  for (std::string_view name : FeatureNames()) manifest["features"].push_back(name);
  if (!content.weights.classes.empty()) manifest["class_models"] = content.weights.class_models;
  for (const MixClass& c : content.mix) manifest["mix"].push_back({{"request", ToJson(c.request)}, {"weight", c.weight}});

  BERTH_ASSIGN_OR_RETURN(const std::string manifest_text, DumpStrictJson("model names", manifest, 1));
  BERTH_ASSIGN_OR_RETURN(const std::string golden_text, DumpStrictJson("model golden nodes", golden, 1));

  std::error_code error;
  const fs::path parent = fs::path(root) / content.name, target = parent / version;
  fs::create_directories(parent, error);
  if (error) return absl::FailedPreconditionError(fmt::format("models: {} can't be made", Quoted(parent.string())));
  if (fs::exists(target, error)) return absl::AlreadyExistsError(fmt::format("model {} version {} is there already", content.name, version));
  const fs::path partial = parent / fmt::format(".{}.{}.partial", version, getpid());
  fs::remove_all(partial, error);
  if (!fs::create_directory(partial, error)) return absl::FailedPreconditionError(fmt::format("models: {} can't be made", Quoted(partial.string())));
  absl::Status status = WriteFile(partial / "manifest.json", manifest_text + "\n");
  if (status.ok()) status = WriteFile(partial / "weights.safetensors", weights);
  if (status.ok()) status = WriteFile(partial / "golden.json", golden_text + "\n");
  // What this program would not load is not published.
  if (status.ok()) status = LoadModelDir(partial.string()).status();
  if (status.ok()) {
    fs::rename(partial, target, error);
    if (error) status = absl::FailedPreconditionError("the model can't be moved into its place");
  }
  if (!status.ok()) {
    fs::remove_all(partial, error);
    return status;
  }
  return target.string();
}

}  // namespace berth

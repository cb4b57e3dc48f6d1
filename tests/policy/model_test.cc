#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <sstream>

#include "base/rng.h"
#include "base/status.h"
#include "conformance/policy_kit.h"
#include "fmt/format.h"
#include "nlohmann/json.hpp"
#include "policy/potential/model_dir.h"
#include "policy/potential/network.h"
#include "policy/potential/safetensors.h"

namespace berth {
namespace {

using ::testing::HasSubstr;
namespace fs = std::filesystem;

PodMix SmallMix() {
  const auto request = [](int64_t cpu, int64_t gib, int32_t gpus, int32_t milli) {
    PodRequest r;
    r.cpu_milli = cpu;
    r.mem_bytes = gib << 30;
    r.gpu_count = gpus;
    r.gpu_milli = milli;
    return r;
  };
  return {{request(4000, 8, 0, 0), 5}, {request(3000, 6, 1, 810), 4}, {request(11000, 48, 1, 1000), 3}, {request(30000, 90, 4, 1000), 1}};
}

NetworkWeights RandomWeights(uint64_t seed, int hidden) {
  Rng rng(seed);
  NetworkWeights w = StrandingWeights();
  w.hidden = hidden;
  const auto h = static_cast<size_t>(hidden);
  const auto fill = [&](std::vector<float>* v, size_t n, double scale) {
    v->resize(n);
    for (float& x : *v) x = static_cast<float>(scale * rng.Normal());
  };
  fill(&w.w1, h * kFeatureCount, 0.2);
  fill(&w.b1, h, 0.1);
  fill(&w.w2, h * h, 0.2);
  fill(&w.b2, h, 0.1);
  fill(&w.w3, h, 0.1);
  return w;
}

std::vector<Node> GoldenNodes() {
  std::vector<Node> nodes;
  for (int i = 0; i < 6; ++i) {
    Node n;
    n.name = "n" + std::to_string(i);
    n.cpu_milli = 96000;
    n.mem_bytes = int64_t{384} << 30;
    n.gpu_count = i % 3 == 0 ? 0 : 4 * (i % 3);
    n.gpu_model = n.gpu_count > 0 ? "G" : "";
    nodes.push_back(n);
  }
  return nodes;
}

// States reached by placing random pods.
std::vector<std::pair<Shape, NodeState>> RandomStates(ClusterState* state, uint64_t seed, int count) {
  Rng rng(seed);
  std::vector<std::pair<Shape, NodeState>> states;
  const PodMix mix = SmallMix();
  for (int i = 0; i < count; ++i) {
    const ResolvedRequest r = state->Resolve(mix[rng.Below(mix.size())].request);
    const NodeId node(static_cast<uint32_t>(rng.Below(state->nodes().size())));
    if (state->FitsExactly(node, r)) {
      const NodeState& s = state->state_class(state->view(node).class_id).state;
      EXPECT_TRUE(state->Place(r, node, state->DevicesAt(node, TightestDevices(s, r))).ok());
    }
    const NodeState& s = state->state_class(state->view(node).class_id).state;
    states.emplace_back(state->shape_of(s), s);
  }
  return states;
}

TEST(Network, StrandingIsOneLinearVector) {
  ClusterState state;
  for (Node& n : GoldenNodes()) ASSERT_TRUE(state.AddNode(n).ok());
  const PodMix typical = TypicalPods(SmallMix(), 0.95, false);
  const auto hand = MakeStrandingPotential(typical);
  const auto linear = MakeNetworkPotential(std::make_shared<NetworkWeights>(StrandingWeights()), typical);
  const ScoreContext context{1 << 20, {}, true};
  hand->Reset(state, context);
  linear->Reset(state, context);
  for (const auto& [shape, s] : RandomStates(&state, 1, 300)) {
    EXPECT_NEAR(hand->Value(shape, s), linear->Value(shape, s), 1e-5 * (1 + std::abs(hand->Value(shape, s))));
  }
}

TEST(Network, AZeroLastLayerLeavesTheLinearPart) {
  NetworkWeights w = RandomWeights(3, 16);
  std::fill(w.w3.begin(), w.w3.end(), 0.0f);
  Features x;
  Rng rng(5);
  for (float& v : x) v = static_cast<float>(rng.Normal());
  EXPECT_EQ(NetworkValue(w, x), NetworkValue(StrandingWeights(), x));
}

TEST(Network, ModelsPassThePolicyKit) {
  const auto policy = MakeModelPolicy("m", "1", RandomWeights(1, 8), SmallMix());
  ASSERT_TRUE(policy.ok()) << policy.status();
  for (uint64_t seed = 0; seed < 6; ++seed) test::CheckPolicyConformance(**policy, seed);
}

std::string WithHeader(const std::string& header, const std::string& data) {
  const uint64_t length = header.size();
  std::string bytes(8, '\0');
  std::memcpy(bytes.data(), &length, 8);
  return bytes + header + data;
}

TEST(Safetensors, RoundTripIsExact) {
  TensorMap tensors{{"a", {{2, 3}, {1, 2, 3, 4, 5, 6.5f}}}, {"b", {{0}, {}}}, {"c", {{}, {7}}}};
  const auto parsed = ParseSafetensors(ToSafetensors(tensors));
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  ASSERT_EQ(parsed->size(), 3u);
  for (const auto& [name, t] : tensors) {
    EXPECT_EQ(parsed->at(name).shape, t.shape);
    EXPECT_EQ(parsed->at(name).values, t.values);
  }
}

TEST(Safetensors, BadFilesAreRefused) {
  const std::string four(4, '\0'), eight(8, '\0');
  float nan = std::nanf("");
  std::string nan_bytes(4, '\0');
  std::memcpy(nan_bytes.data(), &nan, 4);
  const std::string ok = R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})";
  ASSERT_TRUE(ParseSafetensors(WithHeader(ok, four)).ok());
  const std::pair<std::string, const char*> cases[] = {
      {"", "size"}, {"1234567", "size"}, {std::string(8, '\xff'), "header length"}, {WithHeader(ok, four).substr(0, 20), "header length"},
      {WithHeader(ok, ""), "data_offsets"}, {WithHeader(ok, eight), "size"}, {WithHeader("[]", ""), "JSON object"}, {WithHeader("{", ""), "JSON object"},
      {WithHeader("nonsense", ""), "JSON object"}, {WithHeader(R"({"a":1})", ""), "dtype"},
      {WithHeader(R"({"a":{"dtype":"F64","shape":[1],"data_offsets":[0,4]}})", four), "F32"},
      {WithHeader(R"({"a":{"dtype":"f32","shape":[1],"data_offsets":[0,4]}})", four), "F32"},
      {WithHeader(R"({"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}})", four), "shape"},
      {WithHeader(R"({"a":{"dtype":"F32","shape":[1.5],"data_offsets":[0,4]}})", four), "shape"},
      {WithHeader(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}})", four), "data_offsets"},
      {WithHeader(R"({"a":{"dtype":"F32","shape":[4194304,4194304],"data_offsets":[0,4]}})", four), "values"},
      {WithHeader(R"({"a":{"dtype":"F32","shape":[18446744073709551615],"data_offsets":[0,4]}})", four), "shape"},
      {WithHeader(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})", eight), "data_offsets"},
      {WithHeader(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[4,0]}})", four), "data_offsets"},
      {WithHeader(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[-4,0]}})", four), "data_offsets"},
      {WithHeader(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0]}})", four), "data_offsets"},
      {WithHeader(R"({"a":{"dtype":"F32","shape":[1]}})", four), "data_offsets"},
      {WithHeader(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4],"x":1}})", four), "dtype"},
      {WithHeader(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})", four), "each key once"},
      {WithHeader(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"b":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})", four), "data_offsets"},
      {WithHeader(R"({"a":{"dtype":"F32","shape":[[[[[[1]]]]]],"data_offsets":[0,4]}})", four), "level"},
      {WithHeader(R"({"a":{"a":{"a":{"a":{"a":{"a":{}}}}}}})", four), "level"},
      {WithHeader(std::string(100'000, '['), ""), "JSON object"},
      {WithHeader(R"({"a":)" + std::string(100'000, '[') + std::string(100'000, ']') + "}", ""), "level"},
      {WithHeader(R"({"a":{"dtype":"F32","shape":[1],"shape":[1],"data_offsets":[0,4]}})", four), "each key once"},
      {WithHeader(R"({"__metadata__":{"a":1},"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})", four), "__metadata__"},
      {WithHeader(R"({"__metadata__":[],"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})", four), "__metadata__"},
      {WithHeader("\xef\xbb\xbf" + ok, four), "JSON object"},
      {WithHeader(" " + ok, four), "JSON object"},
      {WithHeader(ok + "x", four), "JSON object"},
      {WithHeader(ok + std::string(1, '\0'), four), "JSON object"},
      {WithHeader("{\"\xff\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", four), "JSON object"},
      {WithHeader(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,18446744073709551616]}})", four), "data_offsets"},
      {WithHeader(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[18446744073709551612,0]}})", four), "data_offsets"},
      {WithHeader(ok, nan_bytes), "finite"},
      {WithHeader(ok, std::string("\x00\x00\x80\xff", 4)), "finite"}};
  for (const auto& [bytes, want] : cases) {
    const auto parsed = ParseSafetensors(bytes);
    ASSERT_FALSE(parsed.ok()) << want;
    EXPECT_THAT(std::string(parsed.status().message()), HasSubstr(want));
  }
}

TEST(Safetensors, MetadataPaddingAndEmptyTensorsAreAccepted) {
  const std::string header = R"({"__metadata__":{"k":"v"},"b":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"a":{"dtype":"F32","shape":[0,3],"data_offsets":[0,0]}}   )";
  const auto parsed = ParseSafetensors(WithHeader(header, std::string("\0\0\x80\x3f", 4)));
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  EXPECT_EQ(parsed->size(), 2u);
  EXPECT_EQ(parsed->at("b").values, std::vector<float>{1});
  EXPECT_TRUE(parsed->at("a").values.empty());
  EXPECT_TRUE(ParseSafetensors(ToSafetensors({}))->empty());
}

// The parser alone, without a checksum in front of it: nothing crashes, and what is still read is sound in itself.
TEST(Safetensors, FlippedAndCutBytesAreRefusedOrReadAsSoundTensors) {
  Rng rng(21);
  TensorMap tensors{{"linear", {{4, 8}, std::vector<float>(32, 1.5f)}}, {"w1", {{3}, {1, 2, 3}}}, {"none", {{0}, {}}}};
  const std::string original = ToSafetensors(tensors);
  int refused = 0, read = 0;
  for (int i = 0; i < 20'000; ++i) {
    std::string bytes = original;
    if (rng.Below(4) == 0) {
      bytes.resize(rng.Below(bytes.size()));
    } else {
      for (uint64_t n = 1 + rng.Below(3); n > 0; --n) bytes[rng.Below(bytes.size())] ^= static_cast<char>(1 << rng.Below(8));
    }
    const auto parsed = ParseSafetensors(bytes);
    if (!parsed.ok()) {
      EXPECT_EQ(parsed.status().code(), absl::StatusCode::kInvalidArgument);
      ++refused;
      continue;
    }
    ++read;
    size_t values = 0;
    for (const auto& [name, t] : *parsed) {
      int64_t count = 1;
      for (int64_t size : t.shape) count *= size;
      ASSERT_EQ(static_cast<size_t>(count), t.values.size());
      values += t.values.size();
      EXPECT_TRUE(std::all_of(t.values.begin(), t.values.end(), [](float v) { return std::isfinite(v); }));
    }
    EXPECT_EQ(values, 35u);   // every byte of data belongs to a tensor
  }
  EXPECT_GT(refused, 5'000);
  EXPECT_GT(read, 1'000);
}

class ModelDir : public ::testing::Test {
 protected:
  void SetUp() override {
    root_ = fs::temp_directory_path() / ("berth-model-test-" + std::to_string(getpid()));
    fs::remove_all(root_);
    content_.name = "test";
    content_.version = 3;
    content_.weights = RandomWeights(7, 8);
    content_.mix = SmallMix();
    content_.golden_nodes = GoldenNodes();
    content_.trained_on_json = R"({"workload": "small"})";
    const auto dir = WriteModelDir(root_.string(), content_);
    ASSERT_TRUE(dir.ok()) << dir.status();
    dir_ = *dir;
  }
  void TearDown() override { fs::remove_all(root_); }

  static std::string Slurp(const fs::path& path) {
    std::ifstream in(path, std::ios::binary);
    std::stringstream s;
    s << in.rdbuf();
    return s.str();
  }
  void Spit(const std::string& file, const std::string& bytes) const { std::ofstream(fs::path(dir_) / file, std::ios::binary | std::ios::trunc) << bytes; }
  std::string Message() const {
    const auto policy = LoadModelDir(dir_);
    return policy.ok() ? "OK" : std::string(policy.status().message());
  }
  void EditManifest(const std::function<void(nlohmann::json&)>& edit) const {
    auto manifest = nlohmann::json::parse(Slurp(fs::path(dir_) / "manifest.json"));
    edit(manifest);
    Spit("manifest.json", manifest.dump());
  }

  fs::path root_;
  std::string dir_;
  ModelContent content_;
};

TEST_F(ModelDir, AWrittenModelLoadsAndDecidesAsItDid) {
  EXPECT_EQ(fs::path(dir_), root_ / "test" / "3");
  const auto policy = LoadModelDir(dir_);
  ASSERT_TRUE(policy.ok()) << policy.status();
  EXPECT_EQ((*policy)->info().name, "test");
  EXPECT_EQ((*policy)->info().version, "3");
  const auto content = ReadModelDir(dir_);
  ASSERT_TRUE(content.ok());
  EXPECT_EQ(content->weights.w2, content_.weights.w2);
  EXPECT_EQ(content->mix.size(), content_.mix.size());
  EXPECT_EQ(WriteModelDir(root_.string(), content_).status().code(), absl::StatusCode::kAlreadyExists);
}

// A change of features, of a tie rule or of the arithmetic would make the models that ship useless: it is seen here.
TEST(ShippedModels, LoadAndGiveTheirGoldenAnswers) {
  const char* const source = std::getenv("BERTH_SOURCE_DIR");
  const fs::path root = fs::path(source == nullptr ? "." : source) / "models";
  if (!fs::is_directory(root)) GTEST_SKIP() << "SKIPPED: no models in this tree";
  int loaded = 0;
  for (const auto& model : fs::directory_iterator(root)) {
    if (!model.is_directory() || model.path().filename().string().starts_with('.')) continue;
    for (const auto& version : fs::directory_iterator(model.path())) {
      if (version.path().filename().string().starts_with('.')) continue;
      const auto policy = LoadModelDir(version.path().string());
      ASSERT_TRUE(policy.ok()) << version.path() << ": " << policy.status();
      EXPECT_EQ((*policy)->info().name, model.path().filename().string());
      EXPECT_EQ((*policy)->info().version, version.path().filename().string());
      ++loaded;
    }
  }
  if (loaded == 0) GTEST_SKIP() << "SKIPPED: no models in this tree";
}

// Trap T29: (a) another number of features, (b) a file cut by one byte, (c) the right size but another feature list.
TEST_F(ModelDir, AModelForOtherInputsIsRefusedWithItsCause) {
  EditManifest([](nlohmann::json& m) { m["features"].push_back("one_more"); });
  EXPECT_THAT(Message(), HasSubstr(fmt::format("{} features", kFeatureCount + 1)));
  EXPECT_THAT(Message(), HasSubstr(fmt::format("the {} features", kFeatureCount)));
  SetUp();
  // A shorter list is that of an older program; here the sizes of the tensors tell that it is not.
  EditManifest([](nlohmann::json& m) { m["features"].erase(m["features"].size() - 1); });
  EXPECT_THAT(Message(), HasSubstr(fmt::format("shape [{}]", kFeatureCount)));
  SetUp();
  EditManifest([](nlohmann::json& m) { m["features"].erase(0); });
  EXPECT_THAT(Message(), HasSubstr("another feature list"));
  SetUp();
  EditManifest([](nlohmann::json& m) { std::swap(m["features"][3], m["features"][4]); });
  EXPECT_THAT(Message(), HasSubstr("another feature list"));
  SetUp();
  const std::string weights = Slurp(fs::path(dir_) / "weights.safetensors");
  Spit("weights.safetensors", weights.substr(0, weights.size() - 1));
  EXPECT_THAT(Message(), HasSubstr("changed or cut"));
}

TEST_F(ModelDir, OtherDefectsAreRefusedWithTheirCause) {
  const auto expect = [&](const std::function<void()>& damage, const char* want) {
    SetUp();
    damage();
    EXPECT_THAT(Message(), HasSubstr(want));
  };
  const auto edit = [&](const std::function<void(nlohmann::json&)>& change) { return [this, change] { EditManifest(change); }; };
  expect([&] { fs::remove(fs::path(dir_) / "manifest.json"); }, "manifest.json can't be opened");
  expect([&] { fs::remove(fs::path(dir_) / "golden.json"); }, "golden.json can't be opened");
  expect([&] { Spit("manifest.json", "{"); }, "JSON object");
  expect([&] {
    std::string text = Slurp(fs::path(dir_) / "manifest.json");
    Spit("manifest.json", text.insert(1, R"("version": 4,)"));
  }, "each key once");
  expect([&] { fs::resize_file(fs::path(dir_) / "golden.json", (16 << 20) + 1); }, "16777216 bytes");
  expect([&] {
    fs::remove(fs::path(dir_) / "golden.json");
    fs::create_directory(fs::path(dir_) / "golden.json");
  }, "a regular file");
  expect([&] {   // a reader that waits for a writer would hang here
    fs::remove(fs::path(dir_) / "golden.json");
    ASSERT_EQ(mkfifo((fs::path(dir_) / "golden.json").c_str(), 0600), 0);
  }, "a regular file");
  expect([&] { Spit("manifest.json", std::string(200, '[')); }, "manifest.json");
  expect(edit([](auto& m) { m["format"] = "berth-model-9"; }), "format");
  expect(edit([](auto& m) { m["name"] = "../evil"; }), "name");
  expect(edit([](auto& m) { m["kind"] = "program"; }), "kind");
  expect(edit([](auto& m) { m["version"] = 0; }), "version");
  expect(edit([](auto& m) { m["version"] = "03"; }), "version");
  expect(edit([](auto& m) { m["version"] = 1e30; }), "version");
  expect(edit([](auto& m) { m["hidden"] = 9; }), "shape [9");
  expect(edit([](auto& m) { m["hidden"] = 100000; }), "hidden");
  expect(edit([](auto& m) { m["mix"] = nlohmann::json::array(); }), "mix");
  expect(edit([](auto& m) { m["mix"][0]["weight"] = -1; }), "weight");
  expect(edit([](auto& m) { m["mix"][0]["weight"] = 1e300; }), "weight");
  expect(edit([](auto& m) { for (auto& c : m["mix"]) c["weight"] = 0; }), "one above 0");
  expect(edit([](auto& m) { m["mix"][0]["request"]["cpu_milli"] = -1; }), "cpu_milli");
  expect(edit([](auto& m) { m["mix"][0]["request"].erase("mem_bytes"); }), "mem_bytes");
  expect(edit([](auto& m) { m.erase("weights_sha256"); }), "weights_sha256");
  expect([&] {
    auto golden = nlohmann::json::parse(Slurp(fs::path(dir_) / "golden.json"));
    golden["steps"][5]["score"] = 123.0;
    Spit("golden.json", golden.dump());
  }, "golden answer 5");
  expect([&] { Spit("golden.json", R"({"nodes": [], "steps": []})"); }, "golden.json");
  expect([&] {
    fs::rename(fs::path(dir_) / "weights.safetensors", root_ / "elsewhere");
    fs::create_symlink(root_ / "elsewhere", fs::path(dir_) / "weights.safetensors");
  }, "weights.safetensors can't be opened");
}

// What could not be loaded again is refused, and nothing is left behind.
TEST_F(ModelDir, WhatCouldNotBeLoadedIsNotWritten) {
  const auto message = [&](const std::function<void(ModelContent*)>& damage) {
    ModelContent content = content_;
    content.version = 4;
    damage(&content);
    const auto written = WriteModelDir(root_.string(), content);
    EXPECT_FALSE(written.ok());
    EXPECT_EQ(std::distance(fs::directory_iterator(root_ / "test"), fs::directory_iterator()), 1) << "only version 3";
    return std::string(MessageOf(written.status()));
  };
  EXPECT_THAT(message([](ModelContent* c) { c->name = "Upper"; }), HasSubstr("name"));
  EXPECT_THAT(message([](ModelContent* c) { c->version = 0; }), HasSubstr("version"));
  EXPECT_THAT(message([](ModelContent* c) { c->version = int64_t{1} << 31; }), HasSubstr("version"));
  EXPECT_THAT(message([](ModelContent* c) { c->weights.w1[0] = std::nanf(""); }), HasSubstr("w1[0]"));
  EXPECT_THAT(message([](ModelContent* c) { c->golden_nodes.clear(); }), HasSubstr("golden nodes"));
  EXPECT_THAT(message([](ModelContent* c) { c->golden_nodes[0].cpu_milli = -1; }), HasSubstr("cpu_milli"));
  EXPECT_THAT(message([](ModelContent* c) { c->golden_nodes[0].name = "\xff"; }), HasSubstr("UTF-8"));
  EXPECT_THAT(message([](ModelContent* c) { c->mix[0].request.gpu_models = {"\xc3"}; }), HasSubstr("UTF-8"));
  EXPECT_THAT(message([](ModelContent* c) { c->mix.clear(); }), HasSubstr("mix"));
  EXPECT_THAT(message([](ModelContent* c) { c->mix.resize(4097, c->mix[0]); }), HasSubstr("4096"));
  EXPECT_THAT(message([](ModelContent* c) { c->mix[1].weight = std::nan(""); }), HasSubstr("weight"));
  EXPECT_THAT(message([](ModelContent* c) { c->mix[1].weight = -1; }), HasSubstr("weight"));
  EXPECT_THAT(message([](ModelContent* c) { c->mix[1].request.gpu_milli = 1001; }), HasSubstr("gpu_milli"));
  EXPECT_THAT(message([](ModelContent* c) { c->metrics_json = "{"; }), HasSubstr("metrics"));
  // Seen by nothing but the reader that tries the model before it is published.
  EXPECT_THAT(message([](ModelContent* c) { c->metrics_json = std::string(40, '[') + std::string(40, ']'); }), HasSubstr("32 levels"));
  EXPECT_THAT(message([](ModelContent* c) { c->trained_on_json = nlohmann::json(std::string(17 << 20, 'x')).dump(); }), HasSubstr("16777216 bytes"));
}

// Taints, labels and extended resources are not kept; they once made golden answers that the reader could not repeat.
TEST_F(ModelDir, GoldenNodesMayComeFromAnyCluster) {
  content_.version = 4;
  content_.golden_nodes[2].taints = {{"dedicated", "x", TaintEffect::kNoSchedule}};
  content_.golden_nodes[3].is_unschedulable = true;
  content_.golden_nodes[4].extended = {{"nic", 2}};
  content_.mix[0].request.extended = {{"nic", 1}};
  const auto dir = WriteModelDir(root_.string(), content_);
  ASSERT_TRUE(dir.ok()) << dir.status();
  EXPECT_TRUE(LoadModelDir(*dir).ok()) << LoadModelDir(*dir).status();
}

// Whatever bytes are flipped or cut, a model is refused or loads as it was; nothing crashes.
TEST_F(ModelDir, FlippedAndCutFilesNeverLoadAsAnotherModel) {
  Rng rng(11);
  const std::string files[] = {"manifest.json", "weights.safetensors", "golden.json"};
  std::map<std::string, std::string> original;
  for (const std::string& f : files) original[f] = Slurp(fs::path(dir_) / f);
  int refused = 0;
  for (int i = 0; i < 300; ++i) {
    const std::string& file = files[rng.Below(3)];
    std::string bytes = original[file];
    if (rng.Below(2) == 0) bytes.resize(rng.Below(bytes.size()));
    else bytes[rng.Below(bytes.size())] ^= static_cast<char>(1 << rng.Below(8));
    Spit(file, bytes);
    const auto content = ReadModelDir(dir_);
    const auto policy = LoadModelDir(dir_);
    if (!policy.ok()) {
      ++refused;
    } else {
      ASSERT_TRUE(content.ok());
      EXPECT_EQ(content->weights.w1, content_.weights.w1);
    }
    Spit(file, original[file]);
  }
  EXPECT_GT(refused, 200);
}

}  // namespace
}  // namespace berth

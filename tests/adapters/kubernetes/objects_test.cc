// The Quantity traps T01-T06, and what else a Pod or Node of the API may hold.
#include "adapters/kubernetes/objects.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "adapters/kubernetes/support.h"

namespace berth::kubernetes {
namespace {

using ::testing::HasSubstr;
using test::Parsed;

std::string PodWith(const std::string& spec, const std::string& status = "{}", const std::string& annotations = "{}") {
  return fmt::format(R"({{"metadata":{{"name":"p","namespace":"d","uid":"u","annotations":{}}},"spec":{},"status":{}}})", annotations, spec, status);
}

PodRequest RequestOf(const std::string& spec, const std::string& status = "{}", const std::string& annotations = "{}") {
  KubePod pod;
  const Parsed json(PodWith(spec, status, annotations));
  const absl::Status read = PodFromJson(*json, "Pod", &pod);
  EXPECT_TRUE(read.ok()) << read;
  return pod.pod.request;
}

std::string ErrorOf(const std::string& spec, const std::string& annotations = "{}") {
  KubePod pod;
  const Parsed json(PodWith(spec, "{}", annotations));
  const absl::Status read = PodFromJson(*json, "Pod", &pod);
  EXPECT_EQ(read.code(), absl::StatusCode::kInvalidArgument) << spec;
  return std::string(read.message());
}

std::string Containers(const std::string& resources) { return R"({"containers":[{"name":"c","resources":)" + resources + "}]}"; }

// T01: kubernetes/website#57244, kai-scheduler/KAI-Scheduler#1556, kubernetes#127868
TEST(PodRequests, SidecarsCountInTheirOrder) {
  const PodRequest r = RequestOf(R"({"initContainers":[
      {"name":"s1","restartPolicy":"Always","resources":{"requests":{"cpu":"150m","memory":"64Mi"}}},
      {"name":"i1","resources":{"requests":{"cpu":"700m"}}},
      {"name":"s2","restartPolicy":"Always","resources":{"requests":{"cpu":"200m"}}},
      {"name":"i2","resources":{"requests":{"cpu":"300m"}}}],
      "containers":[{"name":"app","resources":{"requests":{"cpu":"250m","memory":"128Mi"}}}],"overhead":{"cpu":"30m"}})");
  EXPECT_EQ(r.cpu_milli, 880);
  EXPECT_EQ(r.mem_bytes, 201'326'592);

  test::ExtenderBench bench;
  bench.sink.AddNode("A", 860, int64_t{1} << 40);
  bench.sink.AddNode("B", 880, int64_t{1} << 40);
  Pod pod;
  pod.id = "u";
  pod.request = r;
  bench.sink.ledger().Read([&](const ClusterState& state) {
    EXPECT_EQ(state.Violation(*state.FindNode("A"), pod, state.Resolve(r)), Constraint::kCpu);
    EXPECT_EQ(state.Violation(*state.FindNode("B"), pod, state.Resolve(r)), std::nullopt);
  });
}

// T02: kubernetes#91156, kubernetes#94445, kubernetes#49559
TEST(PodRequests, FractionsRoundUpToTheGrain) {
  EXPECT_EQ(RequestOf(Containers(R"({"requests":{"memory":"1.3Gi"}})")).mem_bytes, 1'395'864'372);
  EXPECT_EQ(RequestOf(Containers(R"({"requests":{"memory":"1395864371200m"}})")).mem_bytes, 1'395'864'372);
  EXPECT_EQ(RequestOf(Containers(R"({"requests":{"cpu":"0.1m"}})")).cpu_milli, 1);
  EXPECT_EQ(RequestOf(Containers(R"({"requests":{"cpu":"1500u"}})")).cpu_milli, 2);
  EXPECT_EQ(RequestOf(Containers(R"({"requests":{"cpu":"250000000n"}})")).cpu_milli, 250);
  test::LedgerSink sink;
  sink.AddNode("less", 1000, 1'395'864'371);
  sink.AddNode("enough", 1000, 1'395'864'372);
  PodRequest request;
  request.mem_bytes = 1'395'864'372;
  sink.ledger().Read([&](const ClusterState& state) {
    EXPECT_FALSE(state.FitsExactly(*state.FindNode("less"), state.Resolve(request)));
    EXPECT_TRUE(state.FitsExactly(*state.FindNode("enough"), state.Resolve(request)));
  });
}

// T03: Project-HAMi/HAMi#1780, kubewharf/katalyst-core#1214, hashicorp/nomad#8863
TEST(PodRequests, NodesOfZeroSizeGiveFiniteScoresUnderEveryPolicy) {
  for (const PolicyInfo& info : ListPolicies()) {
    const std::string& policy = info.name;
    SCOPED_TRACE(policy);
    if (info.kind == "index") continue;   // made of a workload, not by name alone
    test::ExtenderBench bench(policy);
    Node a;
    a.name = "A";
    a.cpu_milli = 4000;
    bench.sink.AddNode("B", 4000, int64_t{8} << 30);
    ASSERT_TRUE(bench.sink.mutable_ledger().AddNode(a).ok());
    const std::string body = R"({"Pod":{"metadata":{"name":"p","uid":"u"},"spec":{"containers":[{"name":"c"}]}},"NodeNames":["A","B"]})";
    const nlohmann::json first = bench.Call(Verb::kPrioritize, body);
    ASSERT_EQ(first.size(), 2u);
    EXPECT_EQ(bench.Call(Verb::kPrioritize, body), first);
    for (const auto& entry : first) EXPECT_TRUE(entry["Score"].is_number_integer());
    for (const std::string& line : bench.log) EXPECT_TRUE(nlohmann::json::accept(line)) << line;
    if (policy == "kubernetes-default" || policy == "minimum-resource-usage") {
      EXPECT_LE(first[0]["Score"], first[1]["Score"]);
    }
  }
}

// T04: kai-scheduler/KAI-Scheduler#1894, kubernetes-sigs/kueue#12334
TEST(PodRequests, PodLevelResourcesReplaceCpuAndMemoryByName) {
  const PodRequest r = RequestOf(R"({"resources":{"requests":{"cpu":"2","memory":"1Gi"}},"overhead":{"cpu":"100m"},"containers":[
      {"name":"a","resources":{"requests":{"cpu":"500m","memory":"256Mi","nvidia.com/gpu":"1"}}},
      {"name":"b","resources":{"requests":{"cpu":"700m","memory":"512Mi"}}}]})");
  EXPECT_EQ(r.cpu_milli, 2100);
  EXPECT_EQ(r.mem_bytes, int64_t{1} << 30);
  EXPECT_EQ(r.gpu_count, 1);
  EXPECT_EQ(r.gpu_milli, 1000);
}

// T05: kubernetes-sigs/kueue#317, kubernetes#73242
TEST(PodRequests, AMissingRequestEqualsTheLimit) {
  const PodRequest r = RequestOf(R"({"containers":[{"name":"c","resources":{"limits":{"cpu":"500m","memory":"1Gi","nvidia.com/gpu":2},
      "requests":{"cpu":"100m"}}}],"initContainers":[{"name":"i","resources":{"limits":{"cpu":"2"}}}]})");
  EXPECT_EQ(r.cpu_milli, 2000);
  EXPECT_EQ(r.mem_bytes, int64_t{1} << 30);
  EXPECT_EQ(r.gpu_count, 2);
}

// T06: skypilot-org/skypilot#2655, argonne-lcf/ensemble_launcher#52
TEST(PodRequests, ExtendedResourcesAreWhole) {
  const auto gpu = [](const std::string& amount) { return Containers(R"({"limits":{"nvidia.com/gpu":")" + amount + "\"}}"); };
  for (const char* fraction : {"0.5", "1500m", "0.0001"}) {
    EXPECT_THAT(ErrorOf(gpu(fraction)), AllOf(HasSubstr("Pod.spec.containers[0].resources.limits.nvidia.com/gpu"), HasSubstr("must be an integer"))) << fraction;
  }
  EXPECT_EQ(RequestOf(gpu("2.0")).gpu_count, 2);
  const PodRequest r = RequestOf(Containers(R"({"limits":{"example.com/nic":"1k"}})"));
  ASSERT_EQ(r.extended.size(), 1u);
  EXPECT_EQ(r.extended[0].amount, 1000);
}

TEST(PodRequests, SharesGoByAnnotationAlone) {
  const std::string spec = Containers("{}");
  EXPECT_EQ(RequestOf(spec, "{}", R"({"berth.dev/gpu-milli":"500"})").total_gpu_milli(), 500);
  const PodRequest two = RequestOf(spec, "{}", R"({"berth.dev/gpu-milli":"250","berth.dev/gpu-count":"2","berth.dev/gpu-models":"A100, H100"})");
  EXPECT_EQ(two.gpu_count, 2);
  EXPECT_THAT(two.gpu_models, ::testing::ElementsAre("A100", "H100"));
  EXPECT_THAT(ErrorOf(spec, R"({"berth.dev/gpu-milli":"0.5"})"), HasSubstr("Pod.metadata.annotations.berth.dev/gpu-milli"));
  EXPECT_THAT(ErrorOf(spec, R"({"berth.dev/gpu-milli":"1001"})"), HasSubstr("1 to 1000"));
  EXPECT_THAT(ErrorOf(spec, R"({"berth.dev/gpu-count":"2"})"), HasSubstr("beside berth.dev/gpu-milli"));
  EXPECT_THAT(ErrorOf(Containers(R"({"limits":{"nvidia.com/gpu":"1"}})"), R"({"berth.dev/gpu-milli":"500"})"), HasSubstr("nvidia.com/gpu"));
}

TEST(PodRequests, AResizeCountsTheMostOfAskedAllocatedAndUsed) {
  const std::string spec = Containers(R"({"requests":{"cpu":"400m","memory":"1Gi"}})");
  EXPECT_EQ(RequestOf(spec, R"({"containerStatuses":[{"name":"c","allocatedResources":{"cpu":"700m"},"resources":{"requests":{"cpu":"900m"}}}]})").cpu_milli, 900);
  EXPECT_EQ(RequestOf(spec, R"({"containerStatuses":[{"name":"c","allocatedResources":{"cpu":"100m"}}]})").cpu_milli, 400);
  EXPECT_EQ(RequestOf(spec, R"({"containerStatuses":[{"name":"c","allocatedResources":{"cpu":"100m","memory":"1Gi"}}],
      "conditions":[{"type":"PodResizePending","reason":"Infeasible"}]})").cpu_milli, 100);
  EXPECT_EQ(RequestOf(spec, R"({"containerStatuses":[{"name":"other","allocatedResources":{"cpu":"9"}}]})").cpu_milli, 400);
}

TEST(PodRequests, SuffixesAndOverflow) {
  const auto cpu = [](const std::string& text) { return Containers(R"({"requests":{"cpu":")" + text + "\"}}"); };
  const auto memory = [](const std::string& text) { return Containers(R"({"requests":{"memory":")" + text + "\"}}"); };
  for (const auto& [text, bytes] : std::initializer_list<std::pair<const char*, int64_t>>{
           {"1Ki", 1024}, {"1Mi", 1 << 20}, {"1Gi", 1 << 30}, {"1Ti", int64_t{1} << 40}, {"1k", 1000}, {"1M", 1000000}, {"1G", 1000000000},
           {"1e3", 1000}, {"1E3", 1000}, {"12e-1", 2}, {"128974848", 128974848}, {"129e6", 129000000}, {"+5", 5}, {"0", 0}, {".5Ki", 512}}) {
    EXPECT_EQ(RequestOf(memory(text)).mem_bytes, bytes) << text;
  }
  for (const char* text : {"9223372036854775808", "1e30", "8Ei", "100000Pi"}) EXPECT_THAT(ErrorOf(memory(text)), HasSubstr("resources.requests.memory")) << text;
  for (const char* text : {"9e18", "99999999999999", "-1", "1 ", "", "abc", "1Kib", "0x10", "NaN", "Inf", "1e", "--1", "1.2.3"}) {
    EXPECT_THAT(ErrorOf(cpu(text)), HasSubstr("Pod.spec.containers[0].resources.requests.cpu")) << text;
  }
  // Parts that fit one by one but not together.
  const std::string half = R"({"name":"c","resources":{"requests":{"memory":"40000Ti"}}})";
  EXPECT_THAT(ErrorOf("{\"containers\":[" + half + "," + half + "]}"), HasSubstr("add up"));
}

TEST(PodRequests, WhatIsNotModelledIsLeftOut) {
  const PodRequest r = RequestOf(Containers(R"({"requests":{"cpu":"1","ephemeral-storage":"1Gi","hugepages-2Mi":"4Mi","attachable-volumes-aws-ebs":"1","example.com/x":"3"}})"));
  ASSERT_EQ(r.extended.size(), 1u);
  EXPECT_EQ(r.extended[0].name, "example.com/x");
}

TEST(Nodes, AreReadWithWhatPoliciesLookAt) {
  const Parsed json(R"({"metadata":{"name":"n","labels":{"topology.kubernetes.io/zone":"z","berth.dev/rack":"r","nvidia.com/gpu.product":"A100"},
      "annotations":{"berth.dev/weight":"3"}},"spec":{"unschedulable":true,"taints":[{"key":"k","effect":"NoExecute"}]},
      "status":{"capacity":{"cpu":"9"},"allocatable":{"cpu":"3920m","memory":"7Gi","pods":"110","nvidia.com/gpu":"40","example.com/nic":"2","ephemeral-storage":"1"}}})");
  Node node;
  ASSERT_TRUE(NodeFromJson(*json, "Node", &node).ok());
  EXPECT_EQ(node.cpu_milli, 3920);
  EXPECT_EQ(node.mem_bytes, int64_t{7} << 30);
  EXPECT_EQ(node.max_pods, 110);
  EXPECT_EQ(node.gpu_count, kMaxDevices);
  EXPECT_EQ(node.gpu_model, "A100");
  EXPECT_EQ(node.zone, "z");
  EXPECT_EQ(node.rack, "r");
  EXPECT_EQ(node.weight, 3);
  EXPECT_TRUE(node.is_unschedulable);
  EXPECT_EQ(node.taints.size(), 1u);
  ASSERT_EQ(node.extended.size(), 1u);
  EXPECT_TRUE(ValidateNode("Node", node).ok());
}

TEST(ExtendedNames, KeepsAsManyAsTheDomainHolds) {
  ExtendedNames names;
  Node node;
  for (int i = 0; i < kMaxExtendedNames + 3; ++i) node.extended.push_back({fmt::format("example.com/{}", i), 1});
  names.KeepOf(&node);
  EXPECT_EQ(node.extended.size(), static_cast<size_t>(kMaxExtendedNames));
  Pod pod;
  pod.request.extended = {{"example.com/0", 1}, {"example.com/10", 1}};
  names.KeepOf(&pod);
  ASSERT_EQ(pod.request.extended.size(), 1u);
  EXPECT_EQ(pod.request.extended[0].name, "example.com/0");
}

TEST(Devices, AreWrittenAndReadBack) {
  EXPECT_EQ(FormatDevices(0b1001), "0,3");
  EXPECT_EQ(*ParseDevices("f", "0,3"), 0b1001u);
  for (const char* bad : {"", "0,", "0,0", "16", "-1", "a"}) EXPECT_FALSE(ParseDevices("f", bad).ok()) << bad;
}

}  // namespace
}  // namespace berth::kubernetes

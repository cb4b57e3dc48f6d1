#include "policy/registry.h"

#include <gmock/gmock.h>
#include <gtest/gtest-spi.h>
#include <gtest/gtest.h>

#include "conformance/policy_kit.h"

namespace berth {
namespace {

using ::testing::HasSubstr;

PodMix SmallMix() {
  const auto request = [](int64_t cpu, int64_t gib, int32_t gpus, int32_t milli) {
    PodRequest r;
    r.cpu_milli = cpu;
    r.mem_bytes = gib << 30;
    r.gpu_count = gpus;
    r.gpu_milli = milli;
    return r;
  };
  return {{request(1400, 2, 0, 0), 5}, {request(700, 4, 1, 500), 4}, {request(2800, 4, 1, 1000), 3}, {request(2100, 8, 3, 1000), 1}};
}

std::vector<std::string> RegistryNames() {
  std::vector<std::string> names;
  for (const PolicyInfo& info : ListPolicies()) {
    if (info.kind != "index") names.push_back(info.name);
  }
  for (const char* name : {"best-fit:tie=uniform", "gpu-packing:tie=best-fit", "fgd:tie=least-free-memory", "dotprod:tie=gpu-clustering",
                           "stranding-priced:refuse=0", "stranding-priced:refuse=-0.5"}) {
    names.emplace_back(name);
  }
  return names;
}

class PolicyConformance : public ::testing::TestWithParam<std::string> {};

TEST_P(PolicyConformance, DecidesFeasiblyPurelyAndCompletely) {
  const auto policy = MakePolicy(GetParam(), {.mix = SmallMix(), .tie = {}, .tie_policy = {}, .resolve = {}});
  ASSERT_TRUE(policy.ok()) << policy.status();
  for (uint64_t seed = 0; seed < 12; ++seed) test::CheckPolicyConformance(**policy, seed);
}

INSTANTIATE_TEST_SUITE_P(Registry, PolicyConformance, ::testing::ValuesIn(RegistryNames()), [](const auto& parameter) {
  std::string name = parameter.param;
  for (char& c : name) {
    if (!std::isalnum(static_cast<unsigned char>(c))) c = '_';
  }
  return name;
});

// Positive controls: policies with a seeded fault that the kit must catch.
class FaultyDecider : public Decider {
 public:
  FaultyDecider(std::unique_ptr<Decider> inner, int fault) : inner_(std::move(inner)), fault_(fault) {}
  Decision Decide(const ClusterState& view, const Pod& pod, uint64_t seed, const DecideOptions& options) override {
    Decision d = inner_->Decide(view, pod, seed, options);
    ++calls_;
    if (fault_ == 0 && d.is_placed) d.node = NodeId((d.node.value + 1) % static_cast<uint32_t>(view.nodes().size()));  // does not fit
    if (fault_ == 1) d.score += calls_;                                                                                // not pure
    if (fault_ == 2) d.refused[static_cast<size_t>(Constraint::kCpu)] += 1;                                            // miscounts
    if (fault_ == 3) d.is_placed = false;                                                                              // gives up
    if (fault_ == 4 && pod.request.gpu_count > 0) d.devices <<= 1;                                                     // wrong device
    return d;
  }
  void Weigh(const ClusterState& view, const Pod& pod, uint64_t seed, std::span<const NodeId> nodes, Weighed* weighed) override {
    inner_->Weigh(view, pod, seed, nodes, weighed);
    if (fault_ == 5 && !nodes.empty()) weighed->verdicts.front().refused.reset();   // takes what doesn't fit
    if (fault_ == 6 && weighed->runner_up != Weighed::kNone) std::swap(weighed->chosen, weighed->runner_up);
  }
  Explanation Explain(const ClusterState& view, const Pod& pod, uint64_t seed, size_t max) override {
    Explanation e = inner_->Explain(view, pod, seed, max);
    e.decision = Decide(view, pod, seed, {.count_nodes = true});
    return e;
  }

 private:
  std::unique_ptr<Decider> inner_;
  const int fault_;
  int calls_ = 0;
};

class FaultyPolicy : public Policy {
 public:
  FaultyPolicy(std::shared_ptr<const Policy> inner, int fault) : inner_(std::move(inner)), fault_(fault) {}
  const PolicyInfo& info() const override { return inner_->info(); }
  std::unique_ptr<Decider> NewDecider() const override { return std::make_unique<FaultyDecider>(inner_->NewDecider(), fault_); }

 private:
  std::shared_ptr<const Policy> inner_;
  const int fault_;
};

TEST(PolicyKit, CatchesSeededFaults) {
  const auto inner = MakePolicy("best-fit", {});
  ASSERT_TRUE(inner.ok());
  for (int fault = -1; fault < 7; ++fault) {
    ::testing::TestPartResultArray results;
    {
      ::testing::ScopedFakeTestPartResultReporter reporter(::testing::ScopedFakeTestPartResultReporter::INTERCEPT_ONLY_CURRENT_THREAD, &results);
      for (uint64_t seed = 0; seed < 4; ++seed) test::CheckPolicyConformance(FaultyPolicy(*inner, fault), seed, 60);
    }
    EXPECT_EQ(results.size() > 0, fault >= 0) << "fault " << fault;
  }
}

TEST(Refusal, BadMarginsAreErrorsThatNameThem) {
  const auto message = [](const char* name) { return std::string(MakePolicy(name, {.mix = SmallMix(), .tie = {}, .tie_policy = {}, .resolve = {}}).status().message()); };
  EXPECT_THAT(message("stranding-priced:refuse=x"), HasSubstr("-1 to 1000"));
  EXPECT_THAT(message("stranding-priced:refuse=nan"), HasSubstr("-1 to 1000"));
  EXPECT_THAT(message("best-fit:refuse=0.1"), HasSubstr("have prices"));
}

TEST(Registry, NamesThatOthersRelyOnAreThere) {
  for (const char* name : {"random", "round-robin", "weighted", "least-connections", "least-response-time", "minimum-resource-usage", "minimum-latency",
                           "minimum-distance", "first-fit", "best-fit", "most-allocated", "most-allocated-gpu", "dotprod", "gpu-packing", "gpu-clustering", "fgd",
                           "fgd-keep-empty", "kubernetes-default", "requested-to-capacity-ratio", "stranding", "stranding-priced", "random-offer",
                           "random-offer-priced"}) {
    EXPECT_TRUE(MakePolicy(name, {.mix = SmallMix(), .tie = {}, .tie_policy = {}, .resolve = {}}).ok()) << name;
  }
}

TEST(Registry, EveryPolicyStatesFormulaSourceAndTieRule) {
  for (const PolicyInfo& info : ListPolicies()) {
    EXPECT_FALSE(info.formula.empty() || info.source.empty() || info.tie_rule.empty()) << info.name;
  }
}

TEST(Registry, BadNamesAreErrorsThatSayWhatThereIs) {
  const auto message = [](const char* name, const PodMix& mix) {
    return std::string(MakePolicy(name, {.mix = mix, .tie = {}, .tie_policy = {}, .resolve = {}}).status().message());
  };
  EXPECT_THAT(message("best-fitt", SmallMix()), HasSubstr("best-fit"));
  EXPECT_THAT(message("", SmallMix()), HasSubstr("accepted"));
  EXPECT_THAT(message("best-fit:tie=coin", SmallMix()), HasSubstr("tie rule"));
  EXPECT_THAT(message("round-robin:tie=uniform", SmallMix()), HasSubstr("tie rule"));
  EXPECT_THAT(message("fgd", {}), HasSubstr("workload"));
}

}  // namespace
}  // namespace berth

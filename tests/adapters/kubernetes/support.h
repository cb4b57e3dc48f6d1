// A ledger with a policy as the adapter's sink, and short ways to JSON objects.
#ifndef BERTH_TESTS_ADAPTERS_KUBERNETES_SUPPORT_H_
#define BERTH_TESTS_ADAPTERS_KUBERNETES_SUPPORT_H_

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "adapters/kubernetes/cluster_feed.h"
#include "adapters/kubernetes/cluster_sink.h"
#include "adapters/kubernetes/extender.h"
#include "adapters/kubernetes/metrics.h"
#include "fmt/format.h"
#include "nlohmann/json.hpp"
#include "policy/registry.h"
#include "prometheus/registry.h"

namespace berth::kubernetes::test {

class LedgerSink : public ClusterSink {
 public:
  explicit LedgerSink(const std::string& policy = "best-fit") { Use(policy); }
  void Use(const std::string& policy) {
    PolicyContext context;
    context.mix.push_back({});
    context.mix.back().request.cpu_milli = 1000;
    context.mix.back().weight = 1;
    auto made = MakePolicy(policy, context);
    EXPECT_TRUE(made.ok()) << made.status();
    policy_ = *made;
    ledger_.KeyBy(policy_->info().key_fields);
  }
  absl::StatusOr<ChangeReport> Apply(std::span<const Change> changes) override { return ledger_.Apply(changes); }
  absl::StatusOr<ChangeReport> ReplaceAll(std::span<const Node> nodes, std::span<const RunningPod> pods) override {
    return ledger_.ReplaceAll(nodes, pods);
  }
  absl::StatusOr<Generation> Assume(const Pod& pod, std::string_view node, DeviceSet devices) override { return ledger_.Assume(pod, node, devices); }
  absl::StatusOr<Generation> Forget(const std::string& pod_id) override { return ledger_.Forget(pod_id); }
  const Ledger& ledger() const override { return ledger_; }
  std::shared_ptr<const Policy> policy() const override { return policy_; }
  Ledger& mutable_ledger() { return ledger_; }

  void AddNode(const std::string& name, int64_t cpu_milli, int64_t mem_bytes, int32_t gpus = 0) {
    Node node;
    node.name = name;
    node.cpu_milli = cpu_milli;
    node.mem_bytes = mem_bytes;
    node.gpu_count = gpus;
    EXPECT_TRUE(ledger_.AddNode(node).ok());
  }
  // Charges a pod that runs.
  void Run(const std::string& uid, const std::string& node, int64_t cpu_milli, int64_t mem_bytes = 0) {
    RunningPod running;
    running.pod.id = uid;
    running.pod.request.cpu_milli = cpu_milli;
    running.pod.request.mem_bytes = mem_bytes;
    running.node = node;
    const Change change = RunPod{running};
    EXPECT_TRUE(ledger_.Apply({&change, 1}).ok());
  }
  int64_t FreeCpu(const std::string& node) const {
    int64_t free = -1;
    ledger_.Read([&](const ClusterState& state) {
      if (const auto id = state.FindNode(node)) free = state.node(*id).cpu_milli;
    });
    return free;
  }

 private:
  Ledger ledger_;
  std::shared_ptr<const Policy> policy_;
};

// Everything an extender needs, over a LedgerSink.
struct ExtenderBench {
  explicit ExtenderBench(const std::string& policy = "best-fit", ApiClient* client = nullptr)
      : sink(policy), registry(std::make_shared<prometheus::Registry>()), metrics(*registry) {
    Extender::Options options;
    options.nomination_ms = 200;
    options.eviction_wait_ms = 20;
    options.behind_wait_ms = 100;
    options.log = [this](std::string_view line) { log.emplace_back(line); };
    extender = std::make_unique<Extender>(&sink, &names, &metrics, client, options);
  }
  nlohmann::json Call(Verb verb, const std::string& body, int status = 200) {
    const Extender::Answer answer = extender->Call(verb, body);
    EXPECT_EQ(answer.status, status) << answer.body;
    return nlohmann::json::parse(answer.body, nullptr, false);
  }

  LedgerSink sink;
  std::shared_ptr<prometheus::Registry> registry;
  Metrics metrics;
  ExtendedNames names;
  std::unique_ptr<Extender> extender;
  std::vector<std::string> log;
};

inline std::string PodJson(const std::string& name, const std::string& uid, const std::string& cpu, const std::string& node = "",
                           const std::string& version = "1") {
  return fmt::format(R"({{"metadata":{{"name":"{}","namespace":"d","uid":"{}","resourceVersion":"{}"}},"spec":{{{}"containers":[{{"name":"c","resources":{{"requests":{{"cpu":"{}"}}}}}}]}},"status":{{"phase":"{}"}}}})",
                     name, uid, version, node.empty() ? "" : fmt::format("\"nodeName\":\"{}\",", node), cpu, node.empty() ? "Pending" : "Running");
}
inline std::string NodeJson(const std::string& name, const std::string& cpu, const std::string& memory = "8Gi", const std::string& version = "1") {
  return fmt::format(R"({{"metadata":{{"name":"{}","resourceVersion":"{}"}},"spec":{{}},"status":{{"allocatable":{{"cpu":"{}","memory":"{}","pods":"110"}}}}}})",
                     name, version, cpu, memory);
}

// Parses; the object lives as long as this.
class Parsed {
 public:
  explicit Parsed(const std::string& text) {
    const auto parsed = ParseObject(parser_, text, "body");
    EXPECT_TRUE(parsed.ok()) << parsed.status() << "\n" << text;
    if (parsed.ok()) object_ = *parsed;
  }
  JsonObject operator*() const { return object_; }

 private:
  simdjson::dom::parser parser_;
  JsonObject object_;
};

}  // namespace berth::kubernetes::test

#endif  // BERTH_TESTS_ADAPTERS_KUBERNETES_SUPPORT_H_

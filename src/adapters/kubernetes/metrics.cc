#include "adapters/kubernetes/metrics.h"

namespace berth::kubernetes {
namespace {

// kube-scheduler's own buckets of an extension point are powers of two from 0.1 ms; ours begin lower.
const prometheus::Histogram::BucketBoundaries kSeconds = {1e-5, 2e-5, 5e-5, 1e-4, 2e-4, 4e-4, 8e-4, 1.6e-3, 3.2e-3, 6.4e-3,
                                                          1.28e-2, 2.56e-2, 5.12e-2, 0.1024, 0.2048, 0.4096, 0.8192};

// kube-scheduler names its extension points so; preempt is its PostFilter.
std::string_view ExtensionPoint(Verb verb) {
  switch (verb) {
    case Verb::kFilter:
    case Verb::kChoose: return "Filter";
    case Verb::kPrioritize: return "Score";
    case Verb::kPreempt: return "PostFilter";
    case Verb::kBind: return "Bind";
  }
  return "";
}

}  // namespace

std::string_view VerbName(Verb verb) {
  switch (verb) {
    case Verb::kFilter: return "filter";
    case Verb::kChoose: return "choose";
    case Verb::kPrioritize: return "prioritize";
    case Verb::kPreempt: return "preempt";
    case Verb::kBind: return "bind";
  }
  return "";
}

std::string_view DifferenceName(Difference difference) {
  switch (difference) {
    case Difference::kMissedEvent: return "missed_event";
    case Difference::kMoved: return "moved";
    case Difference::kUnreadable: return "unreadable";
    case Difference::kRefused: return "refused";
    case Difference::kWithoutGpus: return "without_gpus";
  }
  return "";
}

Metrics::Metrics(prometheus::Registry& registry) {
  const auto text = [](std::string_view s) { return std::string(s); };
  auto& durations = prometheus::BuildHistogram()
                        .Name("scheduler_framework_extension_point_duration_seconds")
                        .Help("Time of a call of kube-scheduler, from the whole request to the whole answer, without the network")
                        .Register(registry);
  auto& all_calls = prometheus::BuildCounter().Name("berth_extender_calls_total").Help("Calls of the extender, by verb and result").Register(registry);
  constexpr std::string_view kResults[] = {"ok", "error", "bad_request"};
  for (int i = 0; i < kVerbCount; ++i) {
    const auto verb = static_cast<Verb>(i);
    const auto at = static_cast<size_t>(i);
    seconds[at] = &durations.Add({{"extension_point", text(ExtensionPoint(verb))}, {"profile", "berth"}}, kSeconds);
    for (size_t r = 0; r < 3; ++r) calls[at][r] = &all_calls.Add({{"verb", text(VerbName(verb))}, {"result", text(kResults[r])}});
  }
  auto& refused = prometheus::BuildCounter().Name("berth_extender_refused_nodes_total").Help("Nodes that filter refused, by reason").Register(registry);
  for (int i = 0; i < kConstraintCount; ++i) refused_nodes[static_cast<size_t>(i)] = &refused.Add({{"reason", text(ConstraintName(static_cast<Constraint>(i)))}});
  unknown_nodes = &refused.Add({{"reason", "unknown_node"}});
  auto& all_differences = prometheus::BuildCounter().Name("berth_kubernetes_differences_total").Help("Where the ledger differed from the API server, and followed it").Register(registry);
  for (int i = 0; i < kDifferenceCount; ++i) {
    differences[static_cast<size_t>(i)] = &all_differences.Add({{"kind", text(DifferenceName(static_cast<Difference>(i)))}});
  }
  auto& sizes = prometheus::BuildGauge().Name("scheduler_cache_size").Help("Nodes, pods and assumed pods in the ledger").Register(registry);
  constexpr std::string_view kTypes[] = {"nodes", "pods", "assumed_pods"};
  for (size_t i = 0; i < 3; ++i) cache_size[i] = &sizes.Add({{"type", text(kTypes[i])}});
  is_synced = &prometheus::BuildGauge().Name("berth_kubernetes_synced").Help("1 once nodes and pods have been read").Register(registry).Add({});
  outweighed = &prometheus::BuildCounter().Name("berth_extender_outweighed_total").Help("Pods that kube-scheduler put elsewhere than the policy chose").Register(registry).Add({});
  preemption_victims = &prometheus::BuildCounter().Name("berth_extender_preemption_victims_total").Help("Victims of the nodes that preempt named").Register(registry).Add({});
}

}  // namespace berth::kubernetes

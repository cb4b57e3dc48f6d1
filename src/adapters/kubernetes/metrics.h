// What the adapter counts. Names as kube-scheduler's where they mean the same, else berth_*; no label has unbounded values.
#ifndef BERTH_ADAPTERS_KUBERNETES_METRICS_H_
#define BERTH_ADAPTERS_KUBERNETES_METRICS_H_

#include <array>
#include <memory>
#include <string>
#include <string_view>

#include "cluster/constraints.h"
#include "prometheus/counter.h"
#include "prometheus/gauge.h"
#include "prometheus/histogram.h"
#include "prometheus/registry.h"

namespace berth::kubernetes {

enum class Verb : uint8_t { kFilter, kChoose, kPrioritize, kPreempt, kBind };
inline constexpr int kVerbCount = 5;
std::string_view VerbName(Verb verb);   // as in a KubeSchedulerConfiguration: "filter", "choose", …

// A difference between the ledger and what the API server says.
enum class Difference : uint8_t {
  kMissedEvent,   // a list shows a change that no event had told
  kMoved,         // a pod is on another node, or on other devices, than the ledger had it
  kUnreadable,    // an object can't be read, or breaks a limit of the domain
  kRefused,       // the ledger refused a change
  kWithoutGpus,   // a pod runs with more devices than its node shows: charged without them
};
inline constexpr int kDifferenceCount = 5;
std::string_view DifferenceName(Difference difference);

struct Metrics {
  explicit Metrics(prometheus::Registry& registry);

  std::array<prometheus::Histogram*, kVerbCount> seconds{};             // scheduler_framework_extension_point_duration_seconds
  std::array<std::array<prometheus::Counter*, 3>, kVerbCount> calls{};  // berth_extender_calls_total: ok, error, bad_request
  std::array<prometheus::Counter*, kConstraintCount> refused_nodes{};   // berth_extender_refused_nodes_total
  prometheus::Counter* unknown_nodes = nullptr;                         // the same, reason unknown_node
  std::array<prometheus::Counter*, kDifferenceCount> differences{};     // berth_kubernetes_differences_total
  std::array<prometheus::Gauge*, 3> cache_size{};                       // scheduler_cache_size: nodes, pods, assumed_pods
  prometheus::Gauge* is_synced = nullptr;                               // berth_kubernetes_synced
  prometheus::Counter* outweighed = nullptr;                            // berth_extender_outweighed_total
  prometheus::Counter* preemption_victims = nullptr;                    // berth_extender_preemption_victims_total
};

}  // namespace berth::kubernetes

#endif  // BERTH_ADAPTERS_KUBERNETES_METRICS_H_

// What the adapter needs of the server: the ledger, and the policy in use. Implemented where both are known (src/cli).
#ifndef BERTH_ADAPTERS_KUBERNETES_CLUSTER_SINK_H_
#define BERTH_ADAPTERS_KUBERNETES_CLUSTER_SINK_H_

#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cluster/ledger.h"
#include "cluster/policy.h"

namespace berth::kubernetes {

// Thread-safe. Errors as the methods of Ledger; UNAVAILABLE where changes can't be kept.
class ClusterSink {
 public:
  virtual ~ClusterSink() = default;
  virtual absl::StatusOr<ChangeReport> Apply(std::span<const Change> changes) = 0;
  virtual absl::StatusOr<ChangeReport> ReplaceAll(std::span<const Node> nodes, std::span<const RunningPod> pods) = 0;
  // A bind that is under way. Not kept beyond this process: after a restart the API server tells how it ended.
  virtual absl::StatusOr<Generation> Assume(const Pod& pod, std::string_view node, DeviceSet devices) = 0;
  virtual absl::StatusOr<Generation> Forget(const std::string& pod_id) = 0;
  virtual const Ledger& ledger() const = 0;
  virtual std::shared_ptr<const Policy> policy() const = 0;
};

}  // namespace berth::kubernetes

#endif  // BERTH_ADAPTERS_KUBERNETES_CLUSTER_SINK_H_

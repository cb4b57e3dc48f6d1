// The HTTP side port of `berth serve`, put together: /livez, /readyz, /metrics, the verbs of the Kubernetes extender, and the
// threads that read the cluster from an API server.
#ifndef BERTH_CLI_SIDE_PORT_H_
#define BERTH_CLI_SIDE_PORT_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "policy/potential/price_run.h"
#include "server/http_server.h"
#include "server/placements.h"

namespace berth::cli {

struct SidePortOptions {
  HttpOptions http;
  std::string prefix = "/extender";   // of the verbs
  std::string kubeconfig, context;    // both empty and not in_cluster: no API server, the ledger is fed by gRPC
  bool in_cluster = false;
  std::string lease;                  // "NAMESPACE/NAME": acts only while it holds this Lease; empty: always
  int64_t watch_s = 300;
  std::string decision_log;           // empty: none
  int64_t decision_log_bytes = 64 << 20;
  std::shared_ptr<const PriceStats> prices;   // of what decides, for /metrics; null: none
};

class SidePort {
 public:
  // Errors: INVALID_ARGUMENT, FAILED_PRECONDITION an option, named. `placements` outlives it. Does not wait for the cluster.
  static absl::StatusOr<std::unique_ptr<SidePort>> Start(const SidePortOptions& options, Placements* placements);
  virtual ~SidePort() = default;   // stops
  virtual const std::string& address() const = 0;
  // /readyz answers 503 from now on.
  virtual void SetNotReady() = 0;
};

}  // namespace berth::cli

#endif  // BERTH_CLI_SIDE_PORT_H_

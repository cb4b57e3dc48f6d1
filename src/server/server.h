// The gRPC server: start here. Start() opens the journal, restores what it holds, binds and serves; Drain() ends it.
// Callback API; handlers run on gRPC's threads, model loads on a thread of their own. Health: grpc.health.v1 for "" and for
// each service; NOT_SERVING while draining and once the journal can't be written.
#ifndef BERTH_SERVER_SERVER_H_
#define BERTH_SERVER_SERVER_H_

#include <functional>
#include <memory>
#include <span>
#include <string>

#include "absl/status/statusor.h"
#include "cluster/node.h"
#include "cluster/policy.h"
#include "grpcpp/server_builder.h"
#include "server/model_repository.h"
#include "server/options.h"
#include "server/placements.h"

namespace berth {

class Server {
 public:
  struct Parts {
    std::shared_ptr<const Policy> policy;
    std::vector<Node> nodes;
    ModelRepository::Loader loader;                          // may be empty where there is no repository
    std::function<void(grpc::ServerBuilder&)> add_services;  // further services; may be empty
  };

  // Errors: INVALID_ARGUMENT, FAILED_PRECONDITION an option (named); DATA_LOSS the journal; as Placements::Create.
  static absl::StatusOr<std::unique_ptr<Server>> Start(const ServerOptions& options, Parts parts);
  // Drains.
  virtual ~Server() = default;

  // Where it answers, in the form that a client wants: "127.0.0.1:40123", "unix:/run/berth.sock".
  virtual const std::string& address() const = 0;
  virtual Placements& placements() = 0;
  // NOT_SERVING, no new calls, up to limits.drain_s for those under way, then their cancellation. Returns when all ended.
  virtual void Drain() = 0;
};

}  // namespace berth

#endif  // BERTH_SERVER_SERVER_H_

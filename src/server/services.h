// The three services of berth.v1 over Placements and ModelRepository. Internal to the server.
#ifndef BERTH_SERVER_SERVICES_H_
#define BERTH_SERVER_SERVICES_H_

#include <atomic>
#include <functional>
#include <list>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "berth/v1/cluster.grpc.pb.h"
#include "berth/v1/model.grpc.pb.h"
#include "berth/v1/placement.grpc.pb.h"
#include "google/protobuf/arena.h"
#include "grpcpp/server_context.h"
#include "grpcpp/support/message_allocator.h"
#include "server/model_repository.h"
#include "server/options.h"
#include "server/placements.h"

namespace berth {

// Refuses a call whose metadata or body is over the limits: RESOURCE_EXHAUSTED with the limit. gRPC's own limit of metadata
// is not relied on, and its limit of messages is one for all calls.
grpc::Status Admit(const grpc::CallbackServerContext& context, const ServerLimits& limits, size_t body_bytes, int64_t max_body_bytes);

// Request and response of a unary call on one arena with its first block inline: one allocation a call.
template <class Request, class Response>
class ArenaAllocator : public grpc::MessageAllocator<Request, Response> {
 public:
  grpc::MessageHolder<Request, Response>* AllocateMessages() override { return new Holder; }

 private:
  class Holder : public grpc::MessageHolder<Request, Response> {
   public:
    Holder() : arena_(block_, sizeof block_) {
      this->set_request(google::protobuf::Arena::CreateMessage<Request>(&arena_));
      this->set_response(google::protobuf::Arena::CreateMessage<Response>(&arena_));
    }
    void Release() override { delete this; }

   private:
    alignas(16) char block_[3072];
    google::protobuf::Arena arena_;
  };
};

class PlacementService final : public v1::PlacementService::CallbackService {
 public:
  PlacementService(Placements* placements, const ServerLimits& limits);

  grpc::ServerUnaryReactor* Place(grpc::CallbackServerContext*, const v1::PlaceRequest*, v1::PlaceResponse*) override;
  grpc::ServerUnaryReactor* PlaceBatch(grpc::CallbackServerContext*, const v1::PlaceBatchRequest*, v1::PlaceBatchResponse*) override;
  grpc::ServerBidiReactor<v1::PlaceStreamRequest, v1::PlaceStreamResponse>* PlaceStream(grpc::CallbackServerContext*) override;
  grpc::ServerUnaryReactor* Confirm(grpc::CallbackServerContext*, const v1::ConfirmRequest*, v1::ConfirmResponse*) override;
  grpc::ServerUnaryReactor* Release(grpc::CallbackServerContext*, const v1::ReleaseRequest*, v1::ReleaseResponse*) override;
  grpc::ServerUnaryReactor* Explain(grpc::CallbackServerContext*, const v1::ExplainRequest*, v1::ExplainResponse*) override;

  // One request of any of the three forms of Place.
  absl::Status PlaceOne(const v1::PlaceRequest& request, v1::PlaceResponse* response);
  const ServerLimits& limits() const { return limits_; }

 private:
  absl::Status DoExplain(const v1::ExplainRequest& request, v1::ExplainResponse* response);

  Placements* const placements_;
  const ServerLimits limits_;
  std::atomic<int64_t> explains_{0};
  ArenaAllocator<v1::PlaceRequest, v1::PlaceResponse> place_allocator_;
};

class ClusterService final : public v1::ClusterService::CallbackService {
 public:
  ClusterService(Placements* placements, const ServerLimits& limits) : placements_(placements), limits_(limits) {}

  grpc::ServerUnaryReactor* ApplyDelta(grpc::CallbackServerContext*, const v1::ApplyDeltaRequest*, v1::ApplyDeltaResponse*) override;
  grpc::ServerReadReactor<v1::ReplaceSnapshotRequest>* ReplaceSnapshot(grpc::CallbackServerContext*, v1::ReplaceSnapshotResponse*) override;
  grpc::ServerUnaryReactor* GetCluster(grpc::CallbackServerContext*, const v1::GetClusterRequest*, v1::GetClusterResponse*) override;

 private:
  absl::Status DoGetCluster(const v1::GetClusterRequest& request, v1::GetClusterResponse* response) const;

  Placements* const placements_;
  const ServerLimits limits_;
};

class ModelService final : public v1::ModelService::CallbackService {
 public:
  ModelService(ModelRepository* repository, const ServerLimits& limits) : repository_(repository), limits_(limits) {}
  ~ModelService() override;

  grpc::ServerUnaryReactor* ListModels(grpc::CallbackServerContext*, const v1::ListModelsRequest*, v1::ListModelsResponse*) override;
  grpc::ServerUnaryReactor* Promote(grpc::CallbackServerContext*, const v1::PromoteRequest*, v1::PromoteResponse*) override;
  grpc::ServerUnaryReactor* Rollback(grpc::CallbackServerContext*, const v1::RollbackRequest*, v1::RollbackResponse*) override;

 private:
  // Runs `work` on a thread of its own, so that loading holds up no call, and finishes the call with its status.
  grpc::ServerUnaryReactor* RunAside(grpc::CallbackServerContext* context, size_t body_bytes, std::function<absl::Status()> work);

  ModelRepository* const repository_;
  const ServerLimits limits_;
  absl::Mutex mu_;
  struct Worker {
    std::thread thread;
    std::atomic<bool> is_done{false};
  };
  std::list<Worker> workers_ ABSL_GUARDED_BY(mu_);
};

}  // namespace berth

#endif  // BERTH_SERVER_SERVICES_H_

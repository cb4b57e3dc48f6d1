// The two streaming calls: PlaceStream (requests and answers) and ReplaceSnapshot (a snapshot in parts).
#include "base/status.h"
#include "fmt/format.h"
#include "server/services.h"

namespace berth {
namespace {

// One request, one answer, in turn: the client's flow control is the queue.
class PlaceStreamReactor final : public grpc::ServerBidiReactor<v1::PlaceStreamRequest, v1::PlaceStreamResponse> {
 public:
  PlaceStreamReactor(PlacementService* service, const grpc::Status& admitted) : service_(service) {
    if (admitted.ok()) StartRead(&request_);
    else Finish(admitted);
  }
  void OnReadDone(bool ok) override {
    if (!ok) return Finish(grpc::Status::OK);
    response_.Clear();
    response_.set_id(request_.id());
    v1::PlaceResult* result = response_.mutable_result();
    const size_t bytes = request_.ByteSizeLong();
    const auto most = static_cast<size_t>(service_->limits().max_request_bytes);
    const absl::Status status =
        bytes > most ? absl::ResourceExhaustedError(fmt::format("the message has {} bytes, accepted: at most {}", bytes, most))
                     : service_->PlaceOne(request_.request(), result->mutable_response());
    if (!status.ok()) {
      result->mutable_error()->set_code(static_cast<int32_t>(status.code()));
      result->mutable_error()->set_message(std::string(MessageOf(status)));
    }
    StartWrite(&response_);
  }
  void OnWriteDone(bool ok) override {
    if (ok) StartRead(&request_);
    else Finish(grpc::Status::OK);
  }
  void OnDone() override { delete this; }

 private:
  PlacementService* const service_;
  v1::PlaceStreamRequest request_;
  v1::PlaceStreamResponse response_;
};

// Collects, and applies when the client has said all; a stream that breaks off applies nothing.
class ReplaceSnapshotReactor final : public grpc::ServerReadReactor<v1::ReplaceSnapshotRequest> {
 public:
  ReplaceSnapshotReactor(grpc::CallbackServerContext* context, Placements* placements, const ServerLimits& limits,
                         v1::ReplaceSnapshotResponse* response, const grpc::Status& admitted)
      : context_(context), placements_(placements), limits_(limits), response_(response) {
    if (admitted.ok()) StartRead(&request_);
    else Finish(admitted);
  }
  void OnReadDone(bool ok) override {
    if (!ok) {
      if (context_->IsCancelled()) return Finish(grpc::Status::CANCELLED);
      return Finish(ToGrpc(Apply()));
    }
    const absl::Status status = Collect();
    if (!status.ok()) return Finish(ToGrpc(status));
    StartRead(&request_);
  }
  void OnDone() override { delete this; }

 private:
  absl::Status Collect() {
    bytes_ += static_cast<int64_t>(request_.ByteSizeLong());
    if (bytes_ > limits_.max_snapshot_bytes) {
      return absl::ResourceExhaustedError(fmt::format("the snapshot has more than {} bytes, the most that is accepted", limits_.max_snapshot_bytes));
    }
    drop_assumed_ |= request_.drop_assumed();
    for (const v1::Node& node : request_.nodes()) {
      const absl::Status status = NodeFromWire(node, &nodes_.emplace_back());
      if (!status.ok()) return WithContext(status, fmt::format("nodes[{}]", nodes_.size() - 1));
    }
    for (const v1::RunningPod& pod : request_.pods()) {
      const absl::Status status = RunningPodFromWire(pod, &pods_.emplace_back());
      if (!status.ok()) return WithContext(status, fmt::format("pods[{}]", pods_.size() - 1));
    }
    return absl::OkStatus();
  }
  absl::Status Apply() {
    BERTH_ASSIGN_OR_RETURN(const ChangeReport report, placements_->ReplaceAll(nodes_, pods_, drop_assumed_));
    response_->set_generation(report.generation);
    ReportToWire(report, response_->mutable_report());
    return absl::OkStatus();
  }

  grpc::CallbackServerContext* const context_;
  Placements* const placements_;
  const ServerLimits limits_;
  v1::ReplaceSnapshotResponse* const response_;
  v1::ReplaceSnapshotRequest request_;
  std::vector<Node> nodes_;
  std::vector<RunningPod> pods_;
  int64_t bytes_ = 0;
  bool drop_assumed_ = false;
};

}  // namespace

grpc::ServerBidiReactor<v1::PlaceStreamRequest, v1::PlaceStreamResponse>* PlacementService::PlaceStream(grpc::CallbackServerContext* context) {
  return new PlaceStreamReactor(this, Admit(*context, limits_, 0, limits_.max_request_bytes));
}

grpc::ServerReadReactor<v1::ReplaceSnapshotRequest>* ClusterService::ReplaceSnapshot(grpc::CallbackServerContext* context,
                                                                                     v1::ReplaceSnapshotResponse* response) {
  return new ReplaceSnapshotReactor(context, placements_, limits_, response, Admit(*context, limits_, 0, limits_.max_delta_bytes));
}

}  // namespace berth

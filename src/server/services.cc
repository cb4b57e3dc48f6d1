#include "server/services.h"

#include <charconv>

#include "base/status.h"
#include "fmt/format.h"

namespace berth {
namespace {

grpc::ServerUnaryReactor* Finish(grpc::CallbackServerContext* context, const grpc::Status& status) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  reactor->Finish(status);
  return reactor;
}

// Admission, then the work, then its status.
template <class Request, class Work>
grpc::ServerUnaryReactor* Serve(grpc::CallbackServerContext* context, const ServerLimits& limits, const Request& request,
                                int64_t max_body_bytes, const Work& work) {
  const grpc::Status admitted = Admit(*context, limits, request.ByteSizeLong(), max_body_bytes);
  return Finish(context, admitted.ok() ? ToGrpc(work()) : admitted);
}

}  // namespace

grpc::Status Admit(const grpc::CallbackServerContext& context, const ServerLimits& limits, size_t body_bytes, int64_t max_body_bytes) {
  size_t metadata_bytes = 0;
  for (const auto& [key, value] : context.client_metadata()) metadata_bytes += key.size() + value.size();
  if (metadata_bytes > static_cast<size_t>(limits.max_metadata_bytes)) {
    return {grpc::StatusCode::RESOURCE_EXHAUSTED,
            fmt::format("metadata has {} bytes, accepted: at most {}", metadata_bytes, limits.max_metadata_bytes)};
  }
  if (body_bytes > static_cast<size_t>(max_body_bytes)) {
    return {grpc::StatusCode::RESOURCE_EXHAUSTED,
            fmt::format("the message has {} bytes, accepted: at most {}", body_bytes, max_body_bytes)};
  }
  return grpc::Status::OK;
}

// --- PlacementService ----------------------------------------------------------------------------------------------------

PlacementService::PlacementService(Placements* placements, const ServerLimits& limits) : placements_(placements), limits_(limits) {
  SetMessageAllocatorFor_Place(&place_allocator_);
}

absl::Status PlacementService::PlaceOne(const v1::PlaceRequest& request, v1::PlaceResponse* response) {
  static thread_local Pod pod;  // keeps its memory from call to call
  static thread_local Placements::Answer answer;
  BERTH_RETURN_IF_ERROR(PodFromWire(request.pod(), &pod));
  BERTH_RETURN_IF_ERROR(placements_->Place(pod, request.idempotency_key(), request.seed(), request.count_nodes(), &answer));
  DecisionToWire(answer.decision, response->mutable_decision());
  response->set_is_replay(answer.is_replay);
  return absl::OkStatus();
}

grpc::ServerUnaryReactor* PlacementService::Place(grpc::CallbackServerContext* context, const v1::PlaceRequest* request,
                                                  v1::PlaceResponse* response) {
  return Serve(context, limits_, *request, limits_.max_request_bytes, [&] { return PlaceOne(*request, response); });
}

grpc::ServerUnaryReactor* PlacementService::PlaceBatch(grpc::CallbackServerContext* context, const v1::PlaceBatchRequest* request,
                                                       v1::PlaceBatchResponse* response) {
  return Serve(context, limits_, *request, limits_.max_request_bytes, [&]() -> absl::Status {
    if (request->requests_size() > limits_.max_batch) {
      return InvalidField("requests (count)", fmt::format("{}", request->requests_size()), fmt::format("0 to {}", limits_.max_batch));
    }
    for (const v1::PlaceRequest& one : request->requests()) {
      v1::PlaceResult* result = response->add_results();
      const absl::Status status = PlaceOne(one, result->mutable_response());
      if (status.ok()) continue;
      result->mutable_error()->set_code(static_cast<int32_t>(status.code()));
      result->mutable_error()->set_message(std::string(MessageOf(status)));
    }
    return absl::OkStatus();
  });
}

grpc::ServerUnaryReactor* PlacementService::Confirm(grpc::CallbackServerContext* context, const v1::ConfirmRequest* request,
                                                    v1::ConfirmResponse* response) {
  return Serve(context, limits_, *request, limits_.max_request_bytes, [&]() -> absl::Status {
    BERTH_ASSIGN_OR_RETURN(const Generation generation, placements_->Confirm(request->pod_id()));
    response->set_generation(generation);
    return absl::OkStatus();
  });
}

grpc::ServerUnaryReactor* PlacementService::Release(grpc::CallbackServerContext* context, const v1::ReleaseRequest* request,
                                                    v1::ReleaseResponse* response) {
  return Serve(context, limits_, *request, limits_.max_request_bytes, [&]() -> absl::Status {
    BERTH_ASSIGN_OR_RETURN(const Generation generation, placements_->Release(request->pod_id()));
    response->set_generation(generation);
    return absl::OkStatus();
  });
}

grpc::ServerUnaryReactor* PlacementService::Explain(grpc::CallbackServerContext* context, const v1::ExplainRequest* request,
                                                    v1::ExplainResponse* response) {
  return Serve(context, limits_, *request, limits_.max_request_bytes, [&]() -> absl::Status {
    if (explains_.fetch_add(1) >= limits_.max_explains) {
      explains_.fetch_sub(1);
      return absl::ResourceExhaustedError(fmt::format("explanations at once, accepted: at most {}", limits_.max_explains));
    }
    const absl::Status status = DoExplain(*request, response);
    explains_.fetch_sub(1);
    return status;
  });
}

absl::Status PlacementService::DoExplain(const v1::ExplainRequest& request, v1::ExplainResponse* response) {
  constexpr uint32_t kMostCandidates = 100;
  if (request.max_candidates() > kMostCandidates) {
    return InvalidField("max_candidates", fmt::format("{}", request.max_candidates()), fmt::format("0 to {}", kMostCandidates));
  }
  const size_t most = request.max_candidates() == 0 ? 10 : request.max_candidates();
  Placements::Explained explained;
  if (request.target_case() == v1::ExplainRequest::kPodId) {
    BERTH_ASSIGN_OR_RETURN(explained, placements_->ExplainRecorded(request.pod_id(), most));
  } else if (request.target_case() == v1::ExplainRequest::kPod) {
    Pod pod;
    BERTH_RETURN_IF_ERROR(PodFromWire(request.pod(), &pod));
    BERTH_ASSIGN_OR_RETURN(explained, placements_->ExplainPod(pod, request.seed(), most));
  } else {
    return InvalidField("target", "", "pod_id or pod");
  }
  if (explained.recorded) DecisionToWire(*explained.recorded, response->mutable_recorded());
  if (explained.info) {
    response->set_phase(std::string(PodPhaseName(explained.info->phase)));
    response->set_node(explained.info->node);
    response->set_is_orphaned(explained.info->is_orphaned);
  }
  DecisionToWire(explained.decision, response->mutable_decision());
  for (const Candidate& candidate : explained.explanation.candidates) {
    CandidateToWire(candidate, explained.view.state(), response->add_candidates());
  }
  response->set_formula(explained.policy.formula);
  response->set_tie_rule(explained.policy.tie_rule);
  return absl::OkStatus();
}

// --- ClusterService ------------------------------------------------------------------------------------------------------

grpc::ServerUnaryReactor* ClusterService::ApplyDelta(grpc::CallbackServerContext* context, const v1::ApplyDeltaRequest* request,
                                                     v1::ApplyDeltaResponse* response) {
  return Serve(context, limits_, *request, limits_.max_delta_bytes, [&]() -> absl::Status {
    std::vector<Change> changes(static_cast<size_t>(request->changes_size()));
    for (int i = 0; i < request->changes_size(); ++i) {
      const absl::Status status = ChangeFromWire(request->changes(i), &changes[static_cast<size_t>(i)]);
      if (!status.ok()) return WithContext(status, fmt::format("changes[{}]", i));
    }
    BERTH_ASSIGN_OR_RETURN(const ChangeReport report, placements_->Apply(changes));
    response->set_generation(report.generation);
    ReportToWire(report, response->mutable_report());
    return absl::OkStatus();
  });
}

grpc::ServerUnaryReactor* ClusterService::GetCluster(grpc::CallbackServerContext* context, const v1::GetClusterRequest* request,
                                                     v1::GetClusterResponse* response) {
  return Serve(context, limits_, *request, limits_.max_request_bytes, [&] { return DoGetCluster(*request, response); });
}

absl::Status ClusterService::DoGetCluster(const v1::GetClusterRequest& request, v1::GetClusterResponse* response) const {
  // A node or a pod is at most 400 KB on the wire (two lists of 256 pairs of 317 and 253 bytes); as many as surely fit are read at once.
  constexpr int64_t kMostBytesOfOne = 400 << 10;
  const Ledger& ledger = placements_->ledger();
  const std::string_view token = request.page_token();
  bool is_nodes = true;
  uint32_t cursor = 0;
  if (!token.empty()) {
    const auto [end, error] = std::from_chars(token.data() + 1, token.data() + token.size(), cursor);
    if ((token[0] != 'n' && token[0] != 'p') || error != std::errc() || end != token.data() + token.size() || cursor == Ledger::kEnd) {
      return InvalidField("page_token", token, "empty, or the next_page_token of the page before");
    }
    is_nodes = token[0] == 'n';
  }
  const LedgerTotals totals = ledger.totals();
  response->mutable_totals()->set_nodes(totals.nodes);
  response->mutable_totals()->set_assumed_pods(totals.assumed);
  response->mutable_totals()->set_confirmed_pods(totals.confirmed);
  response->mutable_totals()->set_orphaned_pods(totals.orphaned);
  response->set_generation(totals.generation);
  if (request.only_totals()) return absl::OkStatus();
  int64_t left = limits_.max_page_bytes;
  std::vector<ClusterState::NodeRecord> nodes;
  std::vector<PodInfo> pods;
  bool is_first = true;
  while (left > 0) {
    const auto most = static_cast<size_t>(std::max<int64_t>(1, left / kMostBytesOfOne));
    const Generation generation = is_nodes ? ledger.ReadNodes(&cursor, most, &nodes) : ledger.ReadPods(&cursor, most, &pods);
    // A page that was read while the cluster changed says so by another generation than its neighbours'.
    if (is_first || generation > response->generation()) response->set_generation(generation);
    is_first = false;
    for (const ClusterState::NodeRecord& node : nodes) {
      v1::NodeStatus* status = response->add_nodes();
      NodeStatusToWire(node, status);
      left -= static_cast<int64_t>(status->ByteSizeLong()) + 8;
    }
    for (const PodInfo& pod : pods) {
      v1::PodStatus* status = response->add_pods();
      PodStatusToWire(pod, status);
      left -= static_cast<int64_t>(status->ByteSizeLong()) + 8;
    }
    nodes.clear();
    pods.clear();
    if (cursor != Ledger::kEnd) continue;
    if (!is_nodes) return absl::OkStatus();
    is_nodes = false;
    cursor = 0;
  }
  response->set_next_page_token(fmt::format("{}{}", is_nodes ? 'n' : 'p', cursor));
  return absl::OkStatus();
}

// --- ModelService --------------------------------------------------------------------------------------------------------

ModelService::~ModelService() {
  absl::MutexLock lock(&mu_);
  for (Worker& worker : workers_) worker.thread.join();
}

grpc::ServerUnaryReactor* ModelService::RunAside(grpc::CallbackServerContext* context, size_t body_bytes,
                                                 std::function<absl::Status()> work) {
  constexpr size_t kMostWorkers = 8;
  const grpc::Status admitted = Admit(*context, limits_, body_bytes, limits_.max_request_bytes);
  if (!admitted.ok()) return Finish(context, admitted);
  absl::MutexLock lock(&mu_);
  for (auto it = workers_.begin(); it != workers_.end();) {
    const auto current = it++;
    if (!current->is_done.load()) continue;
    current->thread.join();
    workers_.erase(current);
  }
  if (workers_.size() >= kMostWorkers) return Finish(context, {grpc::StatusCode::RESOURCE_EXHAUSTED, "too many model calls at once"});
  grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
  Worker& worker = workers_.emplace_back();
  worker.thread = std::thread([reactor, work = std::move(work), &worker] {
    reactor->Finish(ToGrpc(work()));
    worker.is_done.store(true);
  });
  return reactor;
}

grpc::ServerUnaryReactor* ModelService::ListModels(grpc::CallbackServerContext* context, const v1::ListModelsRequest* request,
                                                   v1::ListModelsResponse* response) {
  return RunAside(context, request->ByteSizeLong(), [this, response] {
    const ModelRepository::Status status = repository_->List();
    for (const ModelRepository::Version& version : status.versions) {
      v1::ModelVersion* out = response->add_models();
      out->set_name(version.name);
      out->set_version(version.version);
      out->set_is_serving(version.is_serving);
    }
    response->set_serving_policy(status.serving.name);
    response->set_serving_version(status.serving.version);
    if (status.previous != nullptr) {
      response->set_previous_policy(status.previous->info().name);
      response->set_previous_version(status.previous->info().version);
    }
    return absl::OkStatus();
  });
}

grpc::ServerUnaryReactor* ModelService::Promote(grpc::CallbackServerContext* context, const v1::PromoteRequest* request,
                                                v1::PromoteResponse* response) {
  return RunAside(context, request->ByteSizeLong(), [this, request, response]() -> absl::Status {
    BERTH_ASSIGN_OR_RETURN(const PolicyInfo info, repository_->Promote(request->name(), request->version()));
    response->set_policy(info.name);
    response->set_version(info.version);
    return absl::OkStatus();
  });
}

grpc::ServerUnaryReactor* ModelService::Rollback(grpc::CallbackServerContext* context, const v1::RollbackRequest* request,
                                                 v1::RollbackResponse* response) {
  return RunAside(context, request->ByteSizeLong(), [this, response]() -> absl::Status {
    BERTH_ASSIGN_OR_RETURN(const PolicyInfo info, repository_->Rollback());
    response->set_policy(info.name);
    response->set_version(info.version);
    return absl::OkStatus();
  });
}

}  // namespace berth

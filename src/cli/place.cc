// `berth place` and `berth explain`: ask a running server.
#include <unistd.h>

#include <memory>

#include "base/clock.h"
#include "base/quantity.h"
#include "base/status.h"
#include "berth/v1/placement.grpc.pb.h"
#include "cli/client.h"
#include "cli/verbs.h"
#include "cluster/pod.h"
#include "evaluate/report.h"
#include "fmt/format.h"

namespace berth::cli {
namespace {

struct PlaceFlags {
  ClientFlags client;
  std::string id, cpu = "0", memory = "0", key, zone, rack;
  std::string gpus = "0", gpu_milli;
  std::vector<std::string> gpu_models, selector;
  uint64_t seed = 0;
};

absl::StatusOr<v1::PlaceRequest> RequestOf(const PlaceFlags& flags) {
  v1::PlaceRequest request;
  v1::Pod& pod = *request.mutable_pod();
  pod.set_id(flags.id.empty() ? fmt::format("pod-{:x}-{:x}", Clock::Real().UnixMicros(), getpid()) : flags.id);
  BERTH_ASSIGN_OR_RETURN(const int64_t cpu, ParseCpuMilli("--cpu", flags.cpu));
  BERTH_ASSIGN_OR_RETURN(const int64_t mem, ParseBytes("--memory", flags.memory));
  BERTH_ASSIGN_OR_RETURN(const int64_t gpus, ParseInteger("--gpus", flags.gpus, 0, kMaxDevices));
  int64_t milli = gpus > 0 ? kWholeGpuMilli : 0;
  if (!flags.gpu_milli.empty()) {
    BERTH_ASSIGN_OR_RETURN(milli, ParseInteger("--gpu-milli", flags.gpu_milli, gpus > 0 ? 1 : 0, gpus > 0 ? kWholeGpuMilli : 0));
  }
  pod.set_cpu_milli(cpu);
  pod.set_mem_bytes(mem);
  pod.set_gpu_count(static_cast<int32_t>(gpus));
  pod.set_gpu_milli(static_cast<int32_t>(milli));
  for (const std::string& model : flags.gpu_models) pod.add_gpu_models(model);
  for (const std::string& pair : flags.selector) {
    const size_t equals = pair.find('=');
    if (equals == std::string::npos || equals == 0) return InvalidField("--selector", pair, "key=value");
    v1::Label* label = pod.add_node_selector();
    label->set_key(pair.substr(0, equals));
    label->set_value(pair.substr(equals + 1));
  }
  pod.set_zone(flags.zone);
  pod.set_rack(flags.rack);
  request.set_idempotency_key(flags.key);
  request.set_seed(flags.seed);
  request.set_count_nodes(true);
  return request;
}

absl::Status RunPlace(const PlaceFlags& flags) {
  BERTH_ASSIGN_OR_RETURN(const v1::PlaceRequest request, RequestOf(flags));
  BERTH_ASSIGN_OR_RETURN(const auto channel, Connect(flags.client));
  grpc::ClientContext context;
  SetDeadline(flags.client, &context);
  v1::PlaceResponse response;
  BERTH_RETURN_IF_ERROR(FromGrpc(v1::PlacementService::NewStub(channel)->Place(&context, request, &response)));
  if (flags.client.json) {
    nlohmann::json json = ToJson(response.decision());
    json["is_replay"] = response.is_replay();
    fmt::print("{}\n", json.dump());
  } else {
    fmt::print("{}", Describe(response.decision()));
  }
  return absl::OkStatus();
}

struct ExplainFlags {
  ClientFlags client;
  std::string pod;
  uint32_t candidates = 10;
};

absl::Status RunExplain(const ExplainFlags& flags) {
  BERTH_ASSIGN_OR_RETURN(const auto channel, Connect(flags.client));
  grpc::ClientContext context;
  SetDeadline(flags.client, &context);
  v1::ExplainRequest request;
  request.set_pod_id(flags.pod);
  request.set_max_candidates(flags.candidates);
  v1::ExplainResponse response;
  BERTH_RETURN_IF_ERROR(FromGrpc(v1::PlacementService::NewStub(channel)->Explain(&context, request, &response)));
  nlohmann::json candidates = nlohmann::json::array();
  Table table{"what was weighed, as of now, without this pod", {"node", "nodes alike", "score", "free cpu", "free memory", "free GPU milli"}, {}};
  for (const v1::Candidate& c : response.candidates()) {
    std::vector<int32_t> gpu(c.free_gpu_milli().begin(), c.free_gpu_milli().end());
    std::vector<uint32_t> devices(c.devices().begin(), c.devices().end());
    candidates.push_back({{"node", c.node()}, {"class_nodes", c.class_nodes()}, {"devices", devices}, {"score", c.score()}, {"free_cpu_milli", c.free_cpu_milli()},
                          {"free_mem_bytes", c.free_mem_bytes()}, {"free_gpu_milli", gpu}});
    table.rows.push_back({c.node(), fmt::format("{}", c.class_nodes()), fmt::format("{:.6g}", c.score()), FormatCpuMilli(c.free_cpu_milli()), FormatBytes(c.free_mem_bytes()),
                          fmt::format("{}", fmt::join(gpu, " "))});
  }
  if (flags.client.json) {
    nlohmann::json json{{"pod_id", flags.pod}, {"phase", response.phase()}, {"node", response.node()}, {"is_orphaned", response.is_orphaned()},
                        {"recorded", nullptr}, {"decision", ToJson(response.decision())}, {"candidates", candidates}, {"formula", response.formula()}, {"tie_rule", response.tie_rule()}};
    if (response.has_recorded()) json["recorded"] = ToJson(response.recorded());
    fmt::print("{}\n", json.dump());
    return absl::OkStatus();
  }
  fmt::print("pod {} is {} on {}{}\n", flags.pod, response.phase(), response.node(), response.is_orphaned() ? ", which is not in the cluster" : "");
  if (response.has_recorded()) fmt::print("as decided:\n{}", Describe(response.recorded()));
  fmt::print("score: {}\nties: {}\n{}", response.formula(), response.tie_rule(), TextTable(table));
  return absl::OkStatus();
}

const VerbRegistration kPlace("place", [](CLI::App& app, VerbResult& result) {
  auto flags = std::make_shared<PlaceFlags>();
  CLI::App* verb = app.add_subcommand("place", "Ask a running server where a pod goes, and reserve it there");
  verb->footer("Example:\n  berth place --server 127.0.0.1:50051 --cpu 500m --memory 512Mi --gpus 1 --gpu-milli 500 --json");
  AddClientFlags(verb, &flags->client);
  verb->add_option("--id", flags->id, "the pod's id; made up without it");
  verb->add_option("--cpu", flags->cpu, "e.g. 500m")->capture_default_str();
  verb->add_option("--memory", flags->memory, "e.g. 512Mi")->capture_default_str();
  verb->add_option("--gpus", flags->gpus, "devices")->capture_default_str();
  verb->add_option("--gpu-milli", flags->gpu_milli, "thousandths of each device, 1 to 1000 (default 1000)");
  verb->add_option("--gpu-model", flags->gpu_models, "an allowed model; may be given more than once");
  verb->add_option("--selector", flags->selector, "key=value that the node's labels must have; may be given more than once");
  verb->add_option("--zone", flags->zone, "where the pod's callers are");
  verb->add_option("--rack", flags->rack, "where the pod's callers are");
  verb->add_option("--key", flags->key, "idempotency key: a retry gets the same answer");
  verb->add_option("--seed", flags->seed, "of policies that draw");
  verb->callback([flags, &result] { result.status = RunPlace(*flags); });
});

const VerbRegistration kExplain("explain", [](CLI::App& app, VerbResult& result) {
  auto flags = std::make_shared<ExplainFlags>();
  CLI::App* verb = app.add_subcommand("explain", "Why a pod went where it went, and what would be weighed now");
  verb->footer("Example:\n  berth explain --server 127.0.0.1:50051 my-pod --json");
  AddClientFlags(verb, &flags->client);
  verb->add_option("POD", flags->pod, "the pod's id")->required();
  verb->add_option("--candidates", flags->candidates, "states of nodes to show")->check(CLI::Range(1, 100))->capture_default_str();
  verb->callback([flags, &result] { result.status = RunExplain(*flags); });
});

}  // namespace
}  // namespace berth::cli

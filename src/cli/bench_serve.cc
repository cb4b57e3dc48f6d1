// `berth bench serve`: what Place costs over the wire, beside an echo of the same size in the same server and run.
#include <ctime>
#include <deque>
#include <memory>

#include "base/log.h"
#include "base/status.h"
#include "berth/bench/v1/echo.grpc.pb.h"
#include "berth/v1/placement.grpc.pb.h"
#include "cli/client.h"
#include "cli/compose.h"
#include "cli/verbs.h"
#include "evaluate/report.h"
#include "evaluate/statistics.h"
#include "fmt/format.h"
#include "server/server.h"

namespace berth::cli {
namespace {

struct Flags {
  std::string nodes = "50,500,5000,50000";
  std::string workload = "openb-like";
  std::string policy = "best-fit";
  std::string listen = "127.0.0.1:0";
  std::string state;
  double fill = 0.85;
  int64_t calls = 5000;
  uint64_t seed = 1;
  bool json = false;
};

class EchoServiceImpl final : public bench::v1::EchoService::CallbackService {
 public:
  grpc::ServerUnaryReactor* Echo(grpc::CallbackServerContext* context, const bench::v1::EchoRequest* request, bench::v1::EchoResponse* response) override {
    response->set_payload(std::string(request->response_bytes() > 65536 ? 65536 : request->response_bytes(), 'x'));
    grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
    reactor->Finish(grpc::Status::OK);
    return reactor;
  }
};

double NowUs() {
  timespec t{};
  clock_gettime(CLOCK_MONOTONIC, &t);
  return static_cast<double>(t.tv_sec) * 1e6 + static_cast<double>(t.tv_nsec) / 1e3;
}

// Draws pods of the workload's mix.
class PodSource {
 public:
  PodSource(const Workload& workload, uint64_t seed) : stream_(MakeArrivalStream(workload, 1, seed)), workload_(workload) {}
  v1::PlaceRequest Next() {
    Arrival arrival;
    stream_->Next(&arrival);
    const PodRequest& r = workload_.pod_classes[arrival.pod_class].request;
    v1::PlaceRequest request;
    v1::Pod& pod = *request.mutable_pod();
    pod.set_id(fmt::format("pod-{:08}", count_++));
    pod.set_cpu_milli(r.cpu_milli);
    pod.set_mem_bytes(r.mem_bytes);
    pod.set_gpu_count(r.gpu_count);
    pod.set_gpu_milli(r.gpu_milli);
    request.set_idempotency_key(pod.id());
    return request;
  }

 private:
  std::unique_ptr<ArrivalStream> stream_;
  const Workload& workload_;
  int64_t count_ = 0;
};

absl::StatusOr<nlohmann::json> RunSize(const Flags& flags, int64_t nodes) {
  BERTH_ASSIGN_OR_RETURN(const Workload base, LoadWorkloadByNameOrFile(flags.workload));
  BERTH_ASSIGN_OR_RETURN(const Workload workload, ScaleNodes(base, nodes));
  if (!workload.arrivals.empty()) return InvalidField("--workload", flags.workload, "a workload that is drawn, not recorded");
  ServerOptions options;
  options.listen = flags.listen;
  if (!flags.state.empty()) options.state_dir = fmt::format("{}/{}", flags.state, nodes);
  EchoServiceImpl echo_service;
  Server::Parts parts;
  BERTH_ASSIGN_OR_RETURN(parts.policy, MakeOnePolicy(flags.policy, "", workload, false, {.in_background = true}));   // as `berth serve` runs it
  parts.nodes = workload.Nodes();
  parts.add_services = [&echo_service](grpc::ServerBuilder& builder) { builder.RegisterService(&echo_service); };
  BERTH_ASSIGN_OR_RETURN(const auto server, Server::Start(options, std::move(parts)));
  const auto channel = grpc::CreateChannel(server->address(), grpc::InsecureChannelCredentials());
  const auto place = v1::PlacementService::NewStub(channel);
  const auto echo = bench::v1::EchoService::NewStub(channel);

  PodSource source(workload, flags.seed);
  std::deque<std::string> running;
  v1::PlaceRequest request;
  v1::PlaceResponse response;
  const auto is_full = [&] {
    const Snapshot snapshot = server->placements().ledger().TakeSnapshot();
    const ClusterState& s = snapshot.state();
    const bool has_gpus = s.total_gpu_milli() > 0;
    return static_cast<double>(has_gpus ? s.used_gpu_milli() : s.used_cpu_milli()) >= flags.fill * static_cast<double>(has_gpus ? s.total_gpu_milli() : s.total_cpu_milli());
  };
  // Fill in process: the calls are what is measured, not this.
  const int64_t chunk = std::max<int64_t>(10, nodes / 20);
  for (int64_t i = 0; i % chunk != 0 || !is_full(); ++i) {
    request = source.Next();
    Pod pod;
    pod.id = request.pod().id();
    pod.request.cpu_milli = request.pod().cpu_milli();
    pod.request.mem_bytes = request.pod().mem_bytes();
    pod.request.gpu_count = request.pod().gpu_count();
    pod.request.gpu_milli = request.pod().gpu_milli();
    Placements::Answer answer;
    BERTH_RETURN_IF_ERROR(server->placements().Place(pod, "", 0, false, &answer));
    if (answer.decision.decision.is_placed) running.push_back(pod.id);
    if (i > 200 * nodes) return absl::InternalError("the cluster does not fill");
  }
  const auto call_echo = [&](size_t request_bytes, size_t response_bytes) -> absl::StatusOr<double> {
    bench::v1::EchoRequest ping;
    ping.set_payload(std::string(request_bytes, 'x'));
    ping.set_response_bytes(static_cast<uint32_t>(response_bytes));
    bench::v1::EchoResponse pong;
    grpc::ClientContext context;
    const double start = NowUs();
    const grpc::Status status = echo->Echo(&context, ping, &pong);
    const double took = NowUs() - start;
    if (!status.ok()) return FromGrpc(status);
    return took;
  };
  std::vector<double> place_us, echo_us;
  for (int64_t i = 0; i < flags.calls + flags.calls / 5; ++i) {
    request = source.Next();
    response.Clear();
    double took = 0;
    {
      grpc::ClientContext context;
      const double start = NowUs();
      const grpc::Status status = place->Place(&context, request, &response);
      took = NowUs() - start;
      if (!status.ok()) return FromGrpc(status);
    }
    BERTH_ASSIGN_OR_RETURN(const double floor, call_echo(request.ByteSizeLong(), response.ByteSizeLong()));
    if (response.decision().is_placed()) running.push_back(request.pod().id());
    // As many leave as come, oldest first, so that the load stays.
    while (static_cast<int64_t>(running.size()) > 10 && response.decision().is_placed()) {
      BERTH_RETURN_IF_ERROR(server->placements().Release(running.front()).status());
      running.pop_front();
      break;
    }
    if (i < flags.calls / 5) continue;   // warm-up
    place_us.push_back(took);
    echo_us.push_back(floor);
  }
  server->Drain();
  const double place_p50 = Quantile(place_us, 0.5), echo_p50 = Quantile(echo_us, 0.5);
  return nlohmann::json{{"nodes", nodes}, {"workload", flags.workload}, {"policy", flags.policy}, {"transport", server->address().starts_with("unix:") ? "unix" : "tcp"},
                        {"is_journalled", !flags.state.empty()}, {"place_us_p50", place_p50}, {"place_us_p99", Quantile(place_us, 0.99)}, {"echo_us_p50", echo_p50},
                        {"echo_us_p99", Quantile(echo_us, 0.99)}, {"place_over_echo_p50_ratio", place_p50 / echo_p50}};
}

absl::Status Run(const Flags& flags) {
  BERTH_ASSIGN_OR_RETURN(const auto sizes, ParseSeeds("--nodes", flags.nodes));
  nlohmann::json results = nlohmann::json::array();
  Table table{fmt::format("one Place over the wire and an echo of the same size, {} filled to {}", flags.workload, flags.fill),
              {"nodes", "place p50, us", "place p99, us", "echo p50, us", "echo p99, us", "place / echo"}, {}};
  for (uint64_t nodes : sizes) {
    LogInfo("bench serve: {} nodes", nodes);
    BERTH_ASSIGN_OR_RETURN(nlohmann::json r, RunSize(flags, static_cast<int64_t>(nodes)));
    const auto cell = [&](const char* key) { return fmt::format("{:.2f}", r[key].get<double>()); };
    table.rows.push_back({fmt::format("{}", nodes), cell("place_us_p50"), cell("place_us_p99"), cell("echo_us_p50"), cell("echo_us_p99"), cell("place_over_echo_p50_ratio")});
    results.push_back(std::move(r));
  }
  if (flags.json) fmt::print("{}\n", nlohmann::json{{"results", results}, {"machine", MachineJson()}}.dump(1));
  else fmt::print("{}", TextTable(table));
  return absl::OkStatus();
}

const BenchRegistration kServe("serve", [](CLI::App& app, VerbResult& result) {
  auto flags = std::make_shared<Flags>();
  CLI::App* bench = app.add_subcommand("serve", "Microseconds of one Place over gRPC, and of an echo in the same server and run");
  bench->footer("Example:\n  berth bench serve --nodes 50,500,5000,50000 --json");
  bench->add_option("--nodes", flags->nodes, "cluster sizes, with commas between")->capture_default_str();
  bench->add_option("--workload", flags->workload, "a built-in workload or a file")->capture_default_str();
  bench->add_option("--policy", flags->policy, "what decides")->capture_default_str();
  bench->add_option("--listen", flags->listen, "loopback HOST:PORT or unix:PATH")->capture_default_str();
  bench->add_option("--state", flags->state, "an empty folder: with the journal");
  bench->add_option("--fill", flags->fill, "share of the cluster in use")->check(CLI::Range(0.0, 0.95))->capture_default_str();
  bench->add_option("--calls", flags->calls, "counted calls a size")->check(CLI::Range(int64_t{100}, int64_t{1'000'000}))->capture_default_str();
  bench->add_option("--seed", flags->seed, "of the stream of pods")->capture_default_str();
  bench->add_flag("--json", flags->json, "for programs");
  bench->callback([flags, &result] { result.status = Run(*flags); });
});

}  // namespace
}  // namespace berth::cli

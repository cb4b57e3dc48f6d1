// `berth serve`: the server.
#include <csignal>
#include <filesystem>
#include <map>
#include <memory>

#include "base/log.h"
#include "base/status.h"
#include "cli/compose.h"
#include "cli/side_port.h"
#include "cli/verbs.h"
#include "fmt/format.h"
#include "policy/potential/model_dir.h"
#include "server/server.h"
#include "workload/openb.h"

namespace berth::cli {
namespace {

struct Flags {
  ServerOptions server;
  SidePortOptions side;
  std::string nodes, policy, model, workload;
  std::string prices = "background";
  double slow_start_s = 0;
  bool learns_mix = false;
};

// The nodes of --nodes: a workload (built-in name or YAML), or an openb node list.
absl::StatusOr<std::vector<Node>> ReadNodes(const std::string& nodes, Workload* workload) {
  const bool is_csv = std::filesystem::path(nodes).extension() == ".csv";
  if (is_csv) return ReadOpenbNodes(nodes);
  BERTH_ASSIGN_OR_RETURN(*workload, LoadWorkloadByNameOrFile(nodes));
  return workload->Nodes();
}

absl::Status Run(Flags& flags) {
  Workload workload;   // what the policy looks ahead to
  std::vector<Node> nodes;
  if (!flags.nodes.empty()) {
    BERTH_ASSIGN_OR_RETURN(nodes, ReadNodes(flags.nodes, &workload));
  }
  if (!flags.workload.empty()) {
    BERTH_ASSIGN_OR_RETURN(workload, LoadWorkloadByNameOrFile(flags.workload));
  } else if (workload.pod_classes.empty()) {
    const bool has_gpus = std::any_of(nodes.begin(), nodes.end(), [](const Node& n) { return n.gpu_count > 0; });
    BERTH_ASSIGN_OR_RETURN(workload, BuiltinWorkload(has_gpus || nodes.empty() ? "openb-like" : "vm-like"));
    LogInfo("no --workload: policies that look ahead use the mix of {}", workload.name);
  }
  if (flags.policy.empty() && flags.model.empty()) flags.policy = "fgd-keep-empty";
  Server::Parts parts;
  // Whatever decides, now or after a promotion, solves its prices alike and is counted together.
  const PriceRun run{.in_background = flags.prices == "background", .stats = std::make_shared<PriceStats>()};
  flags.side.prices = run.stats;
  BERTH_ASSIGN_OR_RETURN(parts.policy, MakeOnePolicy(flags.policy, flags.model, workload, flags.learns_mix, run));
  parts.nodes = std::move(nodes);
  parts.loader = [run](const std::string& dir) { return LoadModelDir(dir, nullptr, false, run); };
  flags.server.ledger.cluster.slow_start_us = static_cast<int64_t>(flags.slow_start_s * 1e6);

  // Signals are waited for, not handled; blocked before there are other threads, so that they reach this one.
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);

  for (const LimitField& limit : LimitFields()) LogInfo("--{} {}", limit.flag, flags.server.limits.*limit.field);
  LogInfo("BLAS of this process: {} (decisions need none: the forward pass is our own)", MachineJson()["blas"].get<std::string>());
  const bool has_api = flags.side.in_cluster || !flags.side.kubeconfig.empty();
  if (flags.side.http.listen.empty() && (has_api || !flags.side.lease.empty() || !flags.side.decision_log.empty())) {
    return absl::InvalidArgumentError("--kubeconfig, --in-cluster, --leader-elect and --decision-log need --extender");
  }
  if (has_api && !flags.nodes.empty()) return absl::InvalidArgumentError("--nodes: the nodes come from the API server");
  const PolicyInfo info = parts.policy->info();
  BERTH_ASSIGN_OR_RETURN(const std::unique_ptr<Server> server, Server::Start(flags.server, std::move(parts)));
  LogInfo("policy {}{}{}, {} nodes", info.name, info.version.empty() ? "" : " version ", info.version, server->placements().ledger().totals().nodes);
  std::unique_ptr<SidePort> side;
  if (!flags.side.http.listen.empty()) {
    flags.side.http.insecure_listen_beyond_loopback = flags.server.insecure_listen_beyond_loopback;
    BERTH_ASSIGN_OR_RETURN(side, SidePort::Start(flags.side, &server->placements()));
    LogInfo("extender, /metrics, /livez and /readyz on {}", side->address());
  }
  fmt::print("ready {}\n", server->address());
  if (side != nullptr) fmt::print("extender {}\n", side->address());
  std::fflush(stdout);
  int signal = 0;
  sigwait(&signals, &signal);
  LogInfo("signal {}: draining", signal);
  if (side != nullptr) side->SetNotReady();
  side.reset();
  server->Drain();
  return absl::OkStatus();
}

const VerbRegistration kServe("serve", [](CLI::App& app, VerbResult& result) {
  auto flags = std::make_shared<Flags>();
  ServerOptions& o = flags->server;
  CLI::App* verb = app.add_subcommand("serve", "The server: gRPC (berth.v1), fed by deltas, answering placement queries with one policy");
  verb->footer("Prints `ready <address>` once it answers. Ends on SIGTERM: not serving, drained, exit 0.\nExamples:\n"
               "  berth serve --listen 127.0.0.1:50051 --nodes nodes.csv --policy best-fit\n"
               "  berth serve --listen unix:/run/berth.sock --nodes workloads/openb-like.yaml --model models/openb-like/1 --state /var/lib/berth\n"
               "  berth serve --extender 127.0.0.1:50052 --kubeconfig ~/.kube/config --policy best-fit");
  verb->add_option("--listen", o.listen, "HOST:PORT (port 0: any free one) or unix:PATH")->capture_default_str();
  verb->add_option("--nodes", flags->nodes, "the cluster at the start: an openb node list (.csv), a workload file or a built-in name; without it, deltas bring the nodes");
  verb->add_option("--policy", flags->policy, "what decides, by name (berth policies)");
  verb->add_option("--model", flags->model, "what decides, as a model directory");
  verb->add_option("--workload", flags->workload, "the mix of pods that the policy looks ahead to; default: that of --nodes");
  verb->add_flag("--learn-mix", flags->learns_mix, "a policy with prices learns the mix from the arrivals so far, instead of knowing it");
  verb->add_option("--prices", flags->prices, "a policy with prices solves them in the background, or sync: inside the decision at which they are due, so that equal streams give equal decisions")
      ->check(CLI::IsMember({"background", "sync"}))->capture_default_str();
  verb->add_option("--models", o.models_dir, "root of the model repository, for promote and rollback");
  verb->add_option("--state", o.state_dir, "folder of the journal: placements and idempotency keys survive kill -9");
  verb->add_flag("--fsync", o.fsync, "with --state: survive the loss of power too; slower");
  verb->add_option("--slow-start-s", flags->slow_start_s, "weighted rule: a node that joins ramps up over this time")->check(CLI::Range(0.0, 86400.0));
  verb->add_flag("--insecure-listen-beyond-loopback", o.insecure_listen_beyond_loopback, "accept an address that others can reach, without TLS");
  verb->add_option("--tls-cert", o.tls.certificate_file, "PEM certificate chain");
  verb->add_option("--tls-key", o.tls.key_file, "PEM private key");
  verb->add_option("--tls-client-ca", o.tls.client_ca_file, "PEM; clients must show a certificate that it signed");
  for (const LimitField& limit : LimitFields()) {
    verb->add_option(fmt::format("--{}", limit.flag), o.limits.*limit.field, limit.help)->check(CLI::Range(limit.low, limit.high))->capture_default_str();
  }
  SidePortOptions& k = flags->side;
  k.http.flag = "--extender";
  k.http.listen.clear();
  verb->add_option("--extender", k.http.listen, "HOST:PORT of the HTTP side port: the Kubernetes scheduler extender, /metrics, /livez, /readyz; prints `extender <address>` after the ready line");
  verb->add_option("--extender-prefix", k.prefix, "path before filter, prioritize, preempt and bind: urlPrefix of the scheduler's configuration")->capture_default_str();
  verb->add_option("--extender-tls-cert", k.http.tls.certificate_file, "PEM certificate chain of the side port");
  verb->add_option("--extender-tls-key", k.http.tls.key_file, "PEM private key of the side port");
  verb->add_option("--extender-tls-client-ca", k.http.tls.client_ca_file, "PEM; clients of the side port must show a certificate that it signed");
  verb->add_option("--extender-max-body-bytes", k.http.max_body_bytes, "of one request; whole nodes take about 4 KB each")->check(CLI::Range(int64_t{1} << 10, int64_t{1} << 30))->capture_default_str();
  verb->add_option("--extender-max-total-body-bytes", k.http.max_total_body_bytes, "of all requests at once")->check(CLI::Range(int64_t{1} << 10, int64_t{1} << 34))->capture_default_str();
  verb->add_option("--extender-max-connections", k.http.max_connections)->check(CLI::Range(int64_t{1}, int64_t{100000}))->capture_default_str();
  verb->add_option("--extender-request-timeout-s", k.http.request_timeout_s, "from the first byte of a request to its last")->check(CLI::Range(int64_t{1}, int64_t{3600}))->capture_default_str();
  verb->add_option("--extender-idle-timeout-s", k.http.idle_timeout_s, "between requests")->check(CLI::Range(int64_t{1}, int64_t{86400}))->capture_default_str();
  verb->add_option("--kubeconfig", k.kubeconfig, "read nodes and pods from this API server, and bind there");
  verb->add_option("--context", k.context, "context of --kubeconfig; default: its current one");
  verb->add_flag("--in-cluster", k.in_cluster, "the same with the service account of the pod that this runs in");
  verb->add_option("--leader-elect", k.lease, "NAMESPACE/NAME of a Lease: of several Berths that one answers which holds it; the others follow the cluster and are not ready");
  verb->add_option("--watch-s", k.watch_s, "length of a watch before it is renewed")->check(CLI::Range(int64_t{1}, int64_t{3600}))->capture_default_str();
  verb->add_option("--decision-log", k.decision_log, "file of one JSON object a decision of the extender; rotated, three older ones are kept");
  verb->add_option("--decision-log-bytes", k.decision_log_bytes, "of one such file")->check(CLI::Range(int64_t{1} << 16, int64_t{1} << 40))->capture_default_str();
  verb->set_config("--config", "", "read flags from a file");
  verb->callback([flags, &result] { result.status = Run(*flags); });
});

}  // namespace
}  // namespace berth::cli

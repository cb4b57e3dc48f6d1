#include "cli/client.h"

#include <chrono>

#include "base/status.h"
#include "fmt/format.h"
#include "workload/text_file.h"

namespace berth::cli {

void AddClientFlags(CLI::App* verb, ClientFlags* flags) {
  verb->add_option("--server", flags->server, "HOST:PORT or unix:PATH of a running server")->capture_default_str();
  verb->add_option("--tls-ca", flags->ca_file, "PEM of the authority that signed the server's certificate; plain text without it");
  verb->add_option("--timeout-s", flags->timeout_s, "seconds to wait for the answer")->check(CLI::Range(0.001, 3600.0))->capture_default_str();
  verb->add_flag("--json", flags->json, "for programs");
}

absl::StatusOr<std::shared_ptr<grpc::Channel>> Connect(const ClientFlags& flags) {
  if (flags.ca_file.empty()) return grpc::CreateChannel(flags.server, grpc::InsecureChannelCredentials());
  grpc::SslCredentialsOptions options;
  BERTH_ASSIGN_OR_RETURN(options.pem_root_certs, ReadTextFile("--tls-ca", flags.ca_file));
  return grpc::CreateChannel(flags.server, grpc::SslCredentials(options));
}

void SetDeadline(const ClientFlags& flags, grpc::ClientContext* context) {
  context->set_deadline(std::chrono::system_clock::now() + std::chrono::microseconds(static_cast<int64_t>(flags.timeout_s * 1e6)));
}

absl::Status FromGrpc(const grpc::Status& status) {
  if (status.ok()) return absl::OkStatus();
  return absl::Status(static_cast<absl::StatusCode>(status.error_code()), status.error_message());
}

nlohmann::json ToJson(const v1::Decision& d) {
  nlohmann::json json{{"pod_id", d.pod_id()}, {"is_placed", d.is_placed()}, {"node", d.node()}, {"devices", nlohmann::json::array()},
                      {"policy", d.policy()}, {"model_version", d.model_version()}, {"generation", d.generation()}, {"score", d.score()},
                      {"runner_up", nullptr}, {"tied_nodes", d.tied_nodes()}, {"feasible_nodes", d.feasible_nodes()}, {"refused", nlohmann::json::object()}};
  for (uint32_t device : d.devices()) json["devices"].push_back(device);
  if (d.has_runner_up()) json["runner_up"] = {{"node", d.runner_up().node()}, {"score", d.runner_up().score()}};
  for (const v1::Refusal& r : d.refused()) json["refused"][r.constraint()] = r.nodes();
  return json;
}

std::string Describe(const v1::Decision& d) {
  std::string refused;
  for (const v1::Refusal& r : d.refused()) refused += fmt::format("{}{} {}", refused.empty() ? "" : ", ", r.nodes(), r.constraint());
  std::string text;
  if (d.is_placed()) {
    text = fmt::format("pod {} goes to {}", d.pod_id(), d.node());
    for (int i = 0; i < d.devices_size(); ++i) text += fmt::format("{}{}", i == 0 ? ", devices " : ",", d.devices(i));
    text += fmt::format("\n  score {} by {}{}{}, generation {}, {} tied", d.score(), d.policy(), d.model_version().empty() ? "" : " version ", d.model_version(),
                        d.generation(), d.tied_nodes());
    if (d.has_runner_up()) text += fmt::format("; next: {} with {}", d.runner_up().node(), d.runner_up().score());
  } else {
    text = fmt::format("pod {} fits no node", d.pod_id());
  }
  if (!refused.empty()) text += fmt::format("\n  refused nodes: {}", refused);
  return text + "\n";
}

}  // namespace berth::cli

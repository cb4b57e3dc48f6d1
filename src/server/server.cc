#include "server/server.h"

#include <chrono>
#include <fstream>
#include <sstream>
#include <utility>

#include "base/log.h"
#include "base/status.h"
#include "fmt/format.h"
#include "grpcpp/ext/health_check_service_server_builder_option.h"
#include "grpcpp/grpcpp.h"
#include "grpcpp/health_check_service_interface.h"
#include "grpcpp/resource_quota.h"
#include "server/services.h"

namespace berth {
namespace {

constexpr const char* kServices[] = {"berth.v1.PlacementService", "berth.v1.ClusterService", "berth.v1.ModelService"};

absl::StatusOr<std::string> ReadSmallFile(std::string_view flag, const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  std::string text(size_t{1} << 20, '\0');
  in.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<size_t>(in.gcount()));
  if (text.empty()) return absl::FailedPreconditionError(fmt::format("{} is {}, which can't be read or is empty", flag, Quoted(path)));
  return text;
}

absl::StatusOr<std::shared_ptr<grpc::ServerCredentials>> Credentials(const TlsOptions& tls) {
  if (tls.certificate_file.empty() != tls.key_file.empty()) {
    return absl::InvalidArgumentError("--tls-cert and --tls-key: give both or none");
  }
  if (tls.certificate_file.empty()) {
    if (!tls.client_ca_file.empty()) return absl::InvalidArgumentError("--tls-client-ca needs --tls-cert and --tls-key");
    return grpc::InsecureServerCredentials();
  }
  grpc::SslServerCredentialsOptions options;
  auto& pair = options.pem_key_cert_pairs.emplace_back();
  BERTH_ASSIGN_OR_RETURN(pair.cert_chain, ReadSmallFile("--tls-cert", tls.certificate_file));
  BERTH_ASSIGN_OR_RETURN(pair.private_key, ReadSmallFile("--tls-key", tls.key_file));
  if (!tls.client_ca_file.empty()) {
    BERTH_ASSIGN_OR_RETURN(options.pem_root_certs, ReadSmallFile("--tls-client-ca", tls.client_ca_file));
    options.client_certificate_request = GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY;
  }
  return grpc::SslServerCredentials(options);
}

void SetLimits(const ServerLimits& limits, grpc::ServerBuilder& builder) {
  const auto most = static_cast<int>(std::max(limits.max_request_bytes, limits.max_delta_bytes));
  builder.SetMaxReceiveMessageSize(most);
  builder.SetMaxSendMessageSize(static_cast<int>(limits.max_page_bytes + (1 << 20)));
  grpc::ResourceQuota quota("berth");
  quota.Resize(static_cast<size_t>(limits.quota_bytes)).SetMaxThreads(static_cast<int>(limits.quota_threads));
  builder.SetResourceQuota(quota);
  builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, static_cast<int>(limits.max_concurrent_streams));
  builder.AddChannelArgument(GRPC_ARG_MAX_METADATA_SIZE, static_cast<int>(limits.max_metadata_bytes));
  // Pings in time never count as strikes, also of a client that is idle and whose clock is a little fast.
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, static_cast<int>(limits.min_ping_s * 1000 * 9 / 10));
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MAX_PING_STRIKES, 2);
  if (limits.max_connection_age_s > 0) {
    builder.AddChannelArgument(GRPC_ARG_MAX_CONNECTION_AGE_MS, static_cast<int>(std::min<int64_t>(limits.max_connection_age_s, 2'000'000) * 1000));
    builder.AddChannelArgument(GRPC_ARG_MAX_CONNECTION_AGE_GRACE_MS, 30'000);
  }
  if (limits.max_connection_idle_s > 0) {
    builder.AddChannelArgument(GRPC_ARG_MAX_CONNECTION_IDLE_MS, static_cast<int>(std::min<int64_t>(limits.max_connection_idle_s, 2'000'000) * 1000));
  }
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);  // a second server on the port is an error, not a lottery
  // A small compressed message can be a large one: nobody needs it here.
  builder.SetDefaultCompressionAlgorithm(GRPC_COMPRESS_NONE);
  for (grpc_compression_algorithm algorithm : {GRPC_COMPRESS_DEFLATE, GRPC_COMPRESS_GZIP}) {
    builder.SetCompressionAlgorithmSupportStatus(algorithm, false);
  }
}

class ServerImpl final : public Server {
 public:
  ServerImpl(const ServerOptions& options, std::unique_ptr<Placements> placements, ModelRepository::Loader loader)
      : options_(options), placements_(std::move(placements)),
        repository_(options.models_dir, std::move(loader), placements_.get()),
        placement_service_(placements_.get(), options.limits),
        cluster_service_(placements_.get(), options.limits), model_service_(&repository_, options.limits) {}
  ~ServerImpl() override { Drain(); }

  absl::Status Listen(const ListenAddress& address, const Parts& parts) {
    BERTH_ASSIGN_OR_RETURN(const auto credentials, Credentials(options_.tls));
    grpc::EnableDefaultHealthCheckService(true);
    grpc::ServerBuilder builder;
    SetLimits(options_.limits, builder);
    int port = 0;
    builder.AddListeningPort(address.grpc_address, credentials, &port);
    builder.RegisterService(&placement_service_);
    builder.RegisterService(&cluster_service_);
    builder.RegisterService(&model_service_);
    if (parts.add_services) parts.add_services(builder);
    server_ = builder.BuildAndStart();
    if (server_ == nullptr || (!address.is_unix && port <= 0)) {
      server_.reset();
      return absl::FailedPreconditionError(fmt::format("--listen is {}, which can't be bound", Quoted(options_.listen)));
    }
    address_ = address.is_unix ? address.grpc_address : fmt::format("{}:{}", address.host, port);
    SetServing(true);
    return absl::OkStatus();
  }

  const std::string& address() const override { return address_; }
  Placements& placements() override { return *placements_; }

  void Drain() override {
    if (server_ == nullptr) return;
    SetServing(false);
    server_->Shutdown(std::chrono::system_clock::now() + std::chrono::seconds(options_.limits.drain_s));
    server_->Wait();
    server_.reset();
  }

 private:
  void SetServing(bool is_serving) {
    grpc::HealthCheckServiceInterface* health = server_->GetHealthCheckService();
    if (health == nullptr) return;
    health->SetServingStatus(is_serving);
    for (const char* service : kServices) health->SetServingStatus(service, is_serving);
  }

  const ServerOptions options_;
  const std::unique_ptr<Placements> placements_;
  ModelRepository repository_;
  PlacementService placement_service_;
  ClusterService cluster_service_;
  ModelService model_service_;
  std::string address_;
  std::unique_ptr<grpc::Server> server_;  // last: its calls use all of the above
};

}  // namespace

absl::StatusOr<std::unique_ptr<Server>> Server::Start(const ServerOptions& options, Parts parts) {
  BERTH_RETURN_IF_ERROR(ValidateLimits(options.limits));
  BERTH_ASSIGN_OR_RETURN(const ListenAddress address, ParseListenAddress(options.listen, "--listen", !options.tls.certificate_file.empty(),
                                                                          options.insecure_listen_beyond_loopback));
  std::unique_ptr<Journal> journal;
  if (options.state_dir.empty()) {
    LogWarning("no --state: placements and idempotency keys are forgotten when the server ends");
  } else {
    BERTH_ASSIGN_OR_RETURN(journal, Journal::Open(options.state_dir, options.fsync));
  }
  BERTH_ASSIGN_OR_RETURN(std::unique_ptr<Placements> placements,
                         Placements::Create({options.ledger, options.limits.max_finished_keys}, std::move(parts.policy),
                                            std::move(journal), parts.nodes));
  auto server = std::make_unique<ServerImpl>(options, std::move(placements), std::move(parts.loader));
  BERTH_RETURN_IF_ERROR(server->Listen(address, parts));
  return server;
}

}  // namespace berth

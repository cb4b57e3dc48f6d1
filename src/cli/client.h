// What the client verbs (place, explain, model) share.
#ifndef BERTH_CLI_CLIENT_H_
#define BERTH_CLI_CLIENT_H_

#include <memory>
#include <string>

#include "CLI/CLI.hpp"
#include "absl/status/statusor.h"
#include "berth/v1/placement.pb.h"
#include "grpcpp/grpcpp.h"
#include "nlohmann/json.hpp"

namespace berth::cli {

struct ClientFlags {
  std::string server = "127.0.0.1:50051";
  std::string ca_file;          // PEM; empty = plain text
  double timeout_s = 5;
  bool json = false;
};
void AddClientFlags(CLI::App* verb, ClientFlags* flags);

// Errors: FAILED_PRECONDITION the CA file.
absl::StatusOr<std::shared_ptr<grpc::Channel>> Connect(const ClientFlags& flags);
void SetDeadline(const ClientFlags& flags, grpc::ClientContext* context);
absl::Status FromGrpc(const grpc::Status& status);

nlohmann::json ToJson(const v1::Decision& decision);
// One or two lines for people.
std::string Describe(const v1::Decision& decision);

}  // namespace berth::cli

#endif  // BERTH_CLI_CLIENT_H_

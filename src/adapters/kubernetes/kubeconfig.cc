#include "adapters/kubernetes/kubeconfig.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string_view>

#include "absl/strings/escaping.h"
#include "base/status.h"
#include "fmt/format.h"
#include "yaml-cpp/yaml.h"

namespace berth::kubernetes {
namespace {

constexpr std::streamsize kMaxFileBytes = 4 << 20;

absl::StatusOr<std::string> ReadFile(std::string_view field, const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) return absl::NotFoundError(fmt::format("{} is {}, which can't be read", field, Quoted(path)));
  std::string text(static_cast<size_t>(kMaxFileBytes), '\0');
  in.read(text.data(), kMaxFileBytes);
  if (in.gcount() == kMaxFileBytes) return InvalidField(field, path, fmt::format("a file below {} bytes", kMaxFileBytes));
  text.resize(static_cast<size_t>(in.gcount()));
  return text;
}

// A file of the kubeconfig; relative names are relative to its folder.
class Kubeconfig {
 public:
  Kubeconfig(YAML::Node root, std::filesystem::path folder) : root_(std::move(root)), folder_(std::move(folder)) {}

  absl::StatusOr<Credentials> Read(std::string context) const {
    if (!root_.IsMap()) return absl::InvalidArgumentError("kubeconfig is no map, accepted: a Config of v1");
    if (context.empty()) {
      BERTH_ASSIGN_OR_RETURN(context, Text(root_, "current-context", "kubeconfig"));
    }
    if (context.empty()) return absl::InvalidArgumentError("kubeconfig.current-context is missing, accepted: the name of a context");
    BERTH_ASSIGN_OR_RETURN(const YAML::Node in_context, Named("contexts", context, "context"));
    BERTH_ASSIGN_OR_RETURN(const std::string cluster_name, Text(in_context, "cluster", "context"));
    BERTH_ASSIGN_OR_RETURN(const std::string user_name, Text(in_context, "user", "context"));
    BERTH_ASSIGN_OR_RETURN(const YAML::Node cluster, Named("clusters", cluster_name, "cluster"));
    Credentials out;
    BERTH_ASSIGN_OR_RETURN(out.server, Text(cluster, "server", "cluster"));
    while (out.server.ends_with('/')) out.server.pop_back();
    if (!out.server.starts_with("https://") && !out.server.starts_with("http://")) {
      return InvalidField("cluster.server", out.server, "a URL that starts with https:// (or http://)");
    }
    BERTH_ASSIGN_OR_RETURN(out.ca_pem, Data(cluster, "certificate-authority", "cluster"));
    BERTH_ASSIGN_OR_RETURN(const std::string skip, Text(cluster, "insecure-skip-tls-verify", "cluster"));
    if (!skip.empty() && skip != "true" && skip != "false") return InvalidField("cluster.insecure-skip-tls-verify", skip, "true or false");
    out.skip_tls_verify = skip == "true";
    for (const char* key : {"proxy-url", "tls-server-name"}) {
      if (cluster[key]) return absl::UnimplementedError(fmt::format("cluster.{} is set: it is not supported", key));
    }
    if (user_name.empty()) return out;
    BERTH_ASSIGN_OR_RETURN(const YAML::Node user, Named("users", user_name, "user"));
    for (const char* key : {"exec", "auth-provider", "username", "as"}) {
      if (user[key]) return absl::UnimplementedError(fmt::format("user.{} is set: accepted are token, tokenFile and client certificates", key));
    }
    BERTH_ASSIGN_OR_RETURN(out.token, Text(user, "token", "user"));
    BERTH_ASSIGN_OR_RETURN(out.token_file, Text(user, "tokenFile", "user"));
    if (!out.token_file.empty()) out.token_file = (folder_ / out.token_file).string();
    BERTH_ASSIGN_OR_RETURN(out.certificate_pem, Data(user, "client-certificate", "user"));
    BERTH_ASSIGN_OR_RETURN(out.key_pem, Data(user, "client-key", "user"));
    if (out.certificate_pem.empty() != out.key_pem.empty()) return absl::InvalidArgumentError("user: give client-certificate and client-key, or none");
    return out;
  }

 private:
  // The entry of that name in a list of {name, <inner>}.
  absl::StatusOr<YAML::Node> Named(const char* list, const std::string& name, const char* inner) const {
    const YAML::Node entries = root_[list];
    if (entries && entries.IsSequence()) {
      for (const YAML::Node& entry : entries) {
        if (entry.IsMap() && entry["name"] && entry["name"].IsScalar() && entry["name"].Scalar() == name && entry[inner] && entry[inner].IsMap()) {
          return YAML::Node(entry[inner]);
        }
      }
    }
    return InvalidField(fmt::format("kubeconfig: name in {}", list), name, fmt::format("one that the file has, with a {}", inner));
  }

  static absl::StatusOr<std::string> Text(const YAML::Node& in, const char* key, const char* where) {
    const YAML::Node value = in[key];
    if (!value || value.IsNull()) return std::string();
    if (!value.IsScalar()) return absl::InvalidArgumentError(fmt::format("{}.{} is no scalar, accepted: a text", where, key));
    return value.Scalar();
  }

  // `key`-data in base64, or the file that `key` names.
  absl::StatusOr<std::string> Data(const YAML::Node& in, const std::string& key, const char* where) const {
    const std::string data_key = key + "-data";
    BERTH_ASSIGN_OR_RETURN(const std::string encoded, Text(in, data_key.c_str(), where));
    if (!encoded.empty()) {
      std::string decoded;
      if (!absl::Base64Unescape(encoded, &decoded)) return InvalidField(fmt::format("{}.{}", where, data_key), encoded, "base64");
      return decoded;
    }
    BERTH_ASSIGN_OR_RETURN(const std::string file, Text(in, key.c_str(), where));
    if (file.empty()) return std::string();
    return ReadFile(fmt::format("{}.{}", where, key), (folder_ / file).string());
  }

  const YAML::Node root_;
  const std::filesystem::path folder_;
};

}  // namespace

absl::StatusOr<Credentials> ReadKubeconfig(const std::string& path, const std::string& context) {
  BERTH_ASSIGN_OR_RETURN(const std::string text, ReadFile("--kubeconfig", path));
  try {
    return Kubeconfig(YAML::Load(text), std::filesystem::path(path).parent_path()).Read(context);
  } catch (const YAML::Exception& error) {
    return absl::InvalidArgumentError(fmt::format("--kubeconfig is {}, which is no YAML: line {}, column {}: {}", Quoted(path), error.mark.line + 1,
                                                  error.mark.column + 1, error.msg));
  }
}

absl::StatusOr<Credentials> InClusterCredentials(const std::string& folder) {
  const char* host = std::getenv("KUBERNETES_SERVICE_HOST");
  const char* port = std::getenv("KUBERNETES_SERVICE_PORT");
  if (host == nullptr || port == nullptr) {
    return absl::FailedPreconditionError("--in-cluster: KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are not set: this is no pod, give --kubeconfig");
  }
  Credentials out;
  const std::string_view name = host;
  const bool is_ipv6 = name.find(':') != std::string_view::npos;
  out.server = fmt::format("https://{}{}{}:{}", is_ipv6 ? "[" : "", name, is_ipv6 ? "]" : "", port);
  out.token_file = folder + "/token";
  BERTH_ASSIGN_OR_RETURN(out.ca_pem, ReadFile("the service account's ca.crt", folder + "/ca.crt"));
  return out;
}

}  // namespace berth::kubernetes

// How to reach an API server, and as whom: from a kubeconfig file or from what a pod is given.
// Source: https://kubernetes.io/docs/reference/config-api/kubeconfig.v1/ ; in a pod: .../access-api-from-pod/
#ifndef BERTH_ADAPTERS_KUBERNETES_KUBECONFIG_H_
#define BERTH_ADAPTERS_KUBERNETES_KUBECONFIG_H_

#include <string>

#include "absl/status/statusor.h"

namespace berth::kubernetes {

struct Credentials {
  std::string server;             // "https://10.0.0.1:443", no slash at the end
  std::string ca_pem;             // empty: the system's
  bool skip_tls_verify = false;
  std::string token;
  std::string token_file;         // read anew for each call, since such tokens rotate; wins over `token`
  std::string certificate_pem, key_pem;
};

// The current context of the file, or the named one. Errors: NOT_FOUND the file; INVALID_ARGUMENT a field, named;
// UNIMPLEMENTED exec plugins, auth providers, basic authentication, impersonation, proxies and tls-server-name.
absl::StatusOr<Credentials> ReadKubeconfig(const std::string& path, const std::string& context = "");

// The service account of the pod that this runs in. Errors: FAILED_PRECONDITION not in a pod.
absl::StatusOr<Credentials> InClusterCredentials(const std::string& folder = "/var/run/secrets/kubernetes.io/serviceaccount");

}  // namespace berth::kubernetes

#endif  // BERTH_ADAPTERS_KUBERNETES_KUBECONFIG_H_

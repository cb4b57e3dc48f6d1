// HTTPS to the API server, by libcurl: requests, and watches line by line. Lists come gzipped.
// Thread-safety: all methods may be called concurrently; each call uses a connection of its own from a pool that keeps them
// alive. Errors: UNAVAILABLE no connection, or it broke; DEADLINE_EXCEEDED; RESOURCE_EXHAUSTED an answer above the limits;
// CANCELLED after Cancel(). An answer with another status than 2xx is no error of these methods.
#ifndef BERTH_ADAPTERS_KUBERNETES_API_CLIENT_H_
#define BERTH_ADAPTERS_KUBERNETES_API_CLIENT_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "adapters/kubernetes/kubeconfig.h"

namespace berth::kubernetes {

class ApiClient {
 public:
  struct Options {
    int64_t connect_timeout_ms = 5000;
    int64_t max_answer_bytes = int64_t{1} << 30;   // of a list, unpacked
    size_t max_line_bytes = size_t{16} << 20;      // of one event of a watch
  };
  struct Answer {
    int status = 0;
    std::string body;
    bool is_ok() const { return status >= 200 && status < 300; }
  };

  ApiClient(Credentials credentials, Options options);
  explicit ApiClient(Credentials credentials) : ApiClient(std::move(credentials), Options()) {}
  ~ApiClient();
  ApiClient(const ApiClient&) = delete;
  ApiClient& operator=(const ApiClient&) = delete;

  // `path` from the slash on, query included. `body` empty: none.
  absl::StatusOr<Answer> Call(const char* method, const std::string& path, std::string_view body = {},
                              const char* content_type = "application/json", int64_t timeout_ms = 30000);

  // Calls `line` with each whole line of the answer while it arrives; false ends the call. A part of a line at the end is
  // dropped. Returns the answer's status, with the body where that is not 2xx.
  absl::StatusOr<Answer> Stream(const std::string& path, int64_t timeout_ms, const std::function<bool(std::string_view)>& line);

  // All calls under way and to come end with CANCELLED, within a second.
  void Cancel() { is_cancelled_.store(true); }
  bool is_cancelled() const { return is_cancelled_.load(); }
  const std::string& server() const { return credentials_.server; }

 private:
  struct Handle;
  struct Transfer;
  std::unique_ptr<Handle> Acquire();
  void Give(std::unique_ptr<Handle> handle);
  absl::Status Perform(Handle& handle, const char* method, const std::string& path, std::string_view body, const char* content_type,
                       int64_t timeout_ms, bool is_packed, Transfer* transfer);

  const Credentials credentials_;
  const Options options_;
  std::atomic<bool> is_cancelled_{false};
  absl::Mutex mu_;
  std::vector<std::unique_ptr<Handle>> idle_ ABSL_GUARDED_BY(mu_);
};

// The message of a Status object of the API, or the start of the body.
std::string ApiMessage(const ApiClient::Answer& answer);

// Percent-encodes what may not stand in a path segment or a query value.
std::string UrlEncode(std::string_view text);

}  // namespace berth::kubernetes

#endif  // BERTH_ADAPTERS_KUBERNETES_API_CLIENT_H_

// The HTTP/1.1 side port: a few fixed paths, answered from memory. On Boost.Beast: TCP_NODELAY, headers and body in one write,
// keep-alive, optional TLS. Bounded everywhere: connections, bytes of a request, bytes of all requests together, time for a
// whole request (so that a slow sender can't hold a connection), idle time, calls that wait for a worker.
// Thread-safety: handlers run on the server's threads, several at once; those that block run on workers of their own, so that
// they hold up no other call.
#ifndef BERTH_SERVER_HTTP_SERVER_H_
#define BERTH_SERVER_HTTP_SERVER_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "server/options.h"

namespace berth {

struct HttpAnswer {
  int status = 200;
  std::string content_type = "application/json";
  std::string body;
};

struct HttpOptions {
  std::string flag = "--http";             // named in messages
  std::string listen = "127.0.0.1:0";      // host:port
  bool insecure_listen_beyond_loopback = false;
  TlsOptions tls;
  int threads = 2;
  int workers = 16;                        // for handlers that block
  int64_t max_body_bytes = 8 << 20;
  int64_t max_total_body_bytes = 64 << 20; // of all requests that are being read or answered
  int64_t max_connections = 256;           // above: 503 and closed
  int64_t max_waiting = 256;               // calls of blocking handlers under way; above: 503
  int64_t request_timeout_s = 10;          // from its first byte to its last
  int64_t idle_timeout_s = 120;            // between requests
  int64_t drain_s = 5;                     // for calls under way, when stopped
};

class HttpServer {
 public:
  // Gets the body of the request, valid during the call.
  using Handler = std::function<HttpAnswer(std::string_view body)>;
  struct Route {
    std::string method;                    // "GET" (HEAD is then answered too), "POST"
    std::string path;                      // exact; a query is cut off
    Handler handler;
    bool is_blocking = false;
  };

  // Errors: INVALID_ARGUMENT, FAILED_PRECONDITION the address, a file of TLS, the port is taken; each names its flag.
  static absl::StatusOr<std::unique_ptr<HttpServer>> Start(const HttpOptions& options, std::vector<Route> routes);
  // Stops: no new connections, calls under way end, at most drain_s.
  virtual ~HttpServer() = default;

  // "127.0.0.1:40123"
  virtual const std::string& address() const = 0;
  virtual void Stop() = 0;
};

}  // namespace berth

#endif  // BERTH_SERVER_HTTP_SERVER_H_

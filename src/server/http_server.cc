#include "server/http_server.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <map>
#include <mutex>
#include <set>
#include <thread>
#include <utility>

#include "base/log.h"
#include "base/status.h"
#include "boost/asio/awaitable.hpp"
#include "boost/asio/co_spawn.hpp"
#include "boost/asio/detached.hpp"
#include "boost/asio/io_context.hpp"
#include "boost/asio/ip/tcp.hpp"
#include "boost/asio/post.hpp"
#include "boost/asio/redirect_error.hpp"
#include "boost/asio/ssl.hpp"
#include "boost/asio/steady_timer.hpp"
#include "boost/asio/strand.hpp"
#include "boost/asio/thread_pool.hpp"
#include "boost/asio/use_awaitable.hpp"
#include "boost/beast/core.hpp"
#include "boost/beast/http.hpp"
#include "boost/beast/ssl.hpp"
#include "fmt/format.h"

namespace berth {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;
using asio::ip::tcp;
using boost::system::error_code;

constexpr uint32_t kMaxHeaderBytes = 16 << 10;

HttpAnswer ErrorAnswer(http::status status, std::string_view text) {
  return {static_cast<int>(status), "application/json", fmt::format("{{\"Error\":\"{}\"}}", text)};   // texts are ours: no escapes
}

class HttpServerImpl final : public HttpServer {
 public:
  HttpServerImpl(const HttpOptions& options, std::vector<Route> routes)
      : options_(options), io_(options.threads), acceptor_(io_), workers_(static_cast<size_t>(options.workers)) {
    for (Route& route : routes) routes_[route.path][route.method] = std::move(route);
  }
  ~HttpServerImpl() override { Stop(); }

  absl::Status Listen() {
    BERTH_RETURN_IF_ERROR(SetUpTls());
    BERTH_ASSIGN_OR_RETURN(const ListenAddress parsed, ParseListenAddress(options_.listen, options_.flag, ssl_ != nullptr,
                                                                         options_.insecure_listen_beyond_loopback));
    if (parsed.is_unix) return InvalidField(options_.flag, options_.listen, "HOST:PORT");
    std::string host = parsed.host;
    const std::string port = options_.listen.substr(options_.listen.rfind(':') + 1);
    if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
    error_code error;
    tcp::resolver resolver(io_);
    const auto found = resolver.resolve(host, port, tcp::resolver::passive | tcp::resolver::numeric_service, error);
    if (error || found.empty()) return InvalidField(options_.flag, options_.listen, "a host that this machine has");
    const tcp::endpoint endpoint = *found.begin();
    acceptor_.open(endpoint.protocol(), error);
    if (!error) acceptor_.set_option(asio::socket_base::reuse_address(true), error);
    if (!error) acceptor_.bind(endpoint, error);
    if (!error) acceptor_.listen(asio::socket_base::max_listen_connections, error);
    if (error) return absl::FailedPreconditionError(fmt::format("{} is {}, which can't be bound: {}", options_.flag, Quoted(options_.listen), error.message()));
    address_ = fmt::format("{}:{}", parsed.host, acceptor_.local_endpoint(error).port());
    asio::co_spawn(io_, Accept(), asio::detached);
    for (int i = 0; i < options_.threads; ++i) threads_.emplace_back([this] { io_.run(); });
    return absl::OkStatus();
  }

  const std::string& address() const override { return address_; }

  void Stop() override {
    if (is_stopping_.exchange(true)) return;
    asio::post(io_, [this] {
      error_code ignored;
      acceptor_.close(ignored);
    });
    // Idle connections end at once, calls under way after their answer.
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(options_.drain_s);
    while (busy_.load() > 0 && std::chrono::steady_clock::now() < end) std::this_thread::sleep_for(std::chrono::milliseconds(5));
    io_.stop();
    workers_.stop();
    workers_.join();
    for (std::thread& thread : threads_) thread.join();
  }

 private:
  struct Counted {   // holds a count for as long as it lives
    Counted(std::atomic<int64_t>& of, int64_t amount) : count(of), held(amount) { count += held; }
    ~Counted() { count -= held; }
    Counted(const Counted&) = delete;
    Counted& operator=(const Counted&) = delete;
    std::atomic<int64_t>& count;
    const int64_t held;
  };

  absl::Status SetUpTls() {
    const TlsOptions& tls = options_.tls;
    if (tls.certificate_file.empty() != tls.key_file.empty()) {
      return absl::InvalidArgumentError(fmt::format("{0}-tls-cert and {0}-tls-key: give both or none", options_.flag));
    }
    if (tls.certificate_file.empty()) {
      if (tls.client_ca_file.empty()) return absl::OkStatus();
      return absl::InvalidArgumentError(fmt::format("{0}-tls-client-ca needs {0}-tls-cert and {0}-tls-key", options_.flag));
    }
    ssl_ = std::make_unique<asio::ssl::context>(asio::ssl::context::tls_server);
    error_code error;
    const auto failed = [&](std::string_view part, const std::string& path) {
      return absl::FailedPreconditionError(fmt::format("{}-tls-{} is {}, which can't be used: {}", options_.flag, part, Quoted(path), error.message()));
    };
    SSL_CTX_set_min_proto_version(ssl_->native_handle(), TLS1_2_VERSION);
    ssl_->use_certificate_chain_file(tls.certificate_file, error);
    if (error) return failed("cert", tls.certificate_file);
    ssl_->use_private_key_file(tls.key_file, asio::ssl::context::pem, error);
    if (error) return failed("key", tls.key_file);
    if (!tls.client_ca_file.empty()) {
      ssl_->load_verify_file(tls.client_ca_file, error);
      if (error) return failed("client-ca", tls.client_ca_file);
      ssl_->set_verify_mode(asio::ssl::verify_peer | asio::ssl::verify_fail_if_no_peer_cert, error);
    }
    return absl::OkStatus();
  }

  asio::awaitable<void> Accept() {
    while (!is_stopping_) {
      error_code error;
      tcp::socket socket(asio::make_strand(io_));
      co_await acceptor_.async_accept(socket, asio::redirect_error(asio::use_awaitable, error));
      if (is_stopping_) co_return;
      if (error) {   // out of descriptors, most likely: give it time
        asio::steady_timer timer(io_, std::chrono::milliseconds(50));
        co_await timer.async_wait(asio::redirect_error(asio::use_awaitable, error));
        continue;
      }
      socket.set_option(tcp::no_delay(true), error);
      const auto executor = socket.get_executor();
      asio::co_spawn(executor, Serve(std::move(socket)), asio::detached);
    }
  }

  asio::awaitable<void> Serve(tcp::socket socket) {
    const Counted connection(connections_, 1);
    const bool is_full = connections_.load() > options_.max_connections;
    if (ssl_ == nullptr) {
      beast::tcp_stream stream(std::move(socket));
      co_await Converse(stream, is_full);
      error_code ignored;
      stream.socket().shutdown(tcp::socket::shutdown_send, ignored);
      co_return;
    }
    if (is_full) co_return;   // no handshake for it
    beast::ssl_stream<beast::tcp_stream> stream(std::move(socket), *ssl_);
    error_code error;
    beast::get_lowest_layer(stream).expires_after(std::chrono::seconds(options_.request_timeout_s));
    co_await stream.async_handshake(asio::ssl::stream_base::server, asio::redirect_error(asio::use_awaitable, error));
    if (error) co_return;
    co_await Converse(stream, false);
    beast::get_lowest_layer(stream).expires_after(std::chrono::seconds(1));
    co_await stream.async_shutdown(asio::redirect_error(asio::use_awaitable, error));
  }

  // Ends the reading of a request that isn't whole in its time, and leaves the connection open for the answer (a beast stream's own
  // timeout would close it). Lives until its last wait has ended; used on the connection's strand alone.
  template <class Lowest>
  struct ReadDeadline : std::enable_shared_from_this<ReadDeadline<Lowest>> {
    explicit ReadDeadline(Lowest& stream) : lowest(&stream), timer(stream.get_executor()) {}
    void Begin(std::chrono::seconds time) {
      has_passed = false;
      timer.expires_after(time);
      timer.async_wait([self = this->shared_from_this(), number = ++waits](error_code error) {
        if (error || self->lowest == nullptr || number != self->waits) return;
        self->has_passed = true;
        self->lowest->cancel();
      });
    }
    void End() {
      ++waits;
      timer.cancel();
    }
    Lowest* lowest;   // null: the connection has ended
    asio::steady_timer timer;
    uint64_t waits = 0;
    bool has_passed = false;
  };

  template <class Stream>
  asio::awaitable<void> Converse(Stream& stream, bool is_full) {
    const auto token = [](error_code& error) { return asio::redirect_error(asio::use_awaitable, error); };
    auto& lowest = beast::get_lowest_layer(stream);
    const auto deadline = std::make_shared<ReadDeadline<std::remove_reference_t<decltype(lowest)>>>(lowest);
    struct Leaving {   // by any way out
      decltype(deadline)& of;
      ~Leaving() {
        of->End();
        of->lowest = nullptr;
      }
    } leaving{deadline};
    beast::flat_buffer buffer(static_cast<size_t>(options_.max_body_bytes) + kMaxHeaderBytes);
    error_code error;
    while (!is_stopping_) {
      // A request's time runs from its first byte.
      if (buffer.size() == 0) {
        lowest.expires_after(std::chrono::seconds(is_full ? 1 : options_.idle_timeout_s));
        const size_t got = co_await stream.async_read_some(buffer.prepare(4096), token(error));
        if (error) co_return;
        buffer.commit(got);
      }
      const Counted busy(busy_, 1);
      lowest.expires_never();
      deadline->Begin(std::chrono::seconds(options_.request_timeout_s));
      http::request_parser<http::string_body> parser;
      parser.header_limit(kMaxHeaderBytes);
      parser.body_limit(static_cast<uint64_t>(options_.max_body_bytes));
      co_await http::async_read_header(stream, buffer, parser, token(error));
      HttpAnswer answer;
      bool is_readable = !error;
      int64_t reserved = 0;
      if (!error) {
        // Without a length it may become as large as is allowed.
        const auto length = parser.content_length();
        reserved = length ? static_cast<int64_t>(std::min<uint64_t>(*length, static_cast<uint64_t>(options_.max_body_bytes)))
                          : parser.chunked() ? options_.max_body_bytes : 0;
      }
      const Counted bytes(body_bytes_, reserved);
      if (is_readable && (is_full || body_bytes_.load() > options_.max_total_body_bytes)) {
        answer = ErrorAnswer(http::status::service_unavailable, is_full ? "too many connections" : "too many bytes of requests at once");
        is_readable = false;
      } else if (is_readable) {
        if (beast::iequals(parser.get()[http::field::expect], "100-continue")) {
          http::response<http::empty_body> go_on(http::status::continue_, 11);
          co_await http::async_write(stream, go_on, token(error));
        }
        if (!error) co_await http::async_read(stream, buffer, parser, token(error));
        is_readable = !error;
      }
      deadline->End();
      if (error) {
        // What a client can be told is told; a broken connection just ends.
        if (error == http::error::body_limit || error == http::error::buffer_overflow) {
          answer = ErrorAnswer(http::status::payload_too_large, fmt::format("the body is larger than {} bytes", options_.max_body_bytes));
        } else if (error == http::error::header_limit) {
          answer = ErrorAnswer(http::status::request_header_fields_too_large, fmt::format("the headers are larger than {} bytes", kMaxHeaderBytes));
        } else if (deadline->has_passed) {
          answer = ErrorAnswer(http::status::request_timeout, fmt::format("the request was not whole after {} s", options_.request_timeout_s));
          error = {};
        } else if (error.category() == http::make_error_code(http::error::bad_method).category() && error != http::error::end_of_stream &&
                   error != http::error::partial_message) {
          answer = ErrorAnswer(http::status::bad_request, "no HTTP/1.1 request");
        } else {
          co_return;
        }
      }
      const bool keeps = is_readable && parser.get().keep_alive() && !is_stopping_;
      const bool is_head = is_readable && parser.get().method() == http::verb::head;
      if (is_readable) answer = co_await Answer(parser.get());

      http::response<http::string_body> response(static_cast<http::status>(answer.status), 11);
      response.set(http::field::content_type, answer.content_type);
      if (answer.status == 503) response.set(http::field::retry_after, "1");
      response.keep_alive(keeps);
      response.body() = std::move(answer.body);
      response.prepare_payload();
      if (is_head) response.body().clear();   // its length stays
      lowest.expires_after(std::chrono::seconds(options_.request_timeout_s));
      if (is_head) {
        http::response_serializer<http::string_body> serializer(response);
        co_await http::async_write_header(stream, serializer, token(error));
      } else {
        co_await http::async_write(stream, response, token(error));
      }
      if (error || !keeps) {
        // The rest of a body that nobody reads would reset the connection before the answer has arrived.
        if (!error && !is_readable) co_await DrainRest(stream, buffer);
        co_return;
      }
    }
  }

  template <class Stream>
  asio::awaitable<void> DrainRest(Stream& stream, beast::flat_buffer& buffer) {
    auto& lowest = beast::get_lowest_layer(stream);
    error_code error;
    lowest.socket().shutdown(tcp::socket::shutdown_send, error);
    lowest.expires_after(std::chrono::seconds(2));
    int64_t left = 4 * options_.max_body_bytes;
    buffer.clear();
    while (left > 0) {
      const size_t got = co_await stream.async_read_some(buffer.prepare(65536), asio::redirect_error(asio::use_awaitable, error));
      if (error) co_return;
      left -= static_cast<int64_t>(got);
    }
  }

  asio::awaitable<HttpAnswer> Answer(const http::request<http::string_body>& request) {
    std::string path(request.target().data(), request.target().size());
    path.resize(std::min(path.find('?'), path.size()));
    const auto routes = routes_.find(path);
    if (routes == routes_.end()) co_return ErrorAnswer(http::status::not_found, "no such path");
    std::string method(request.method_string().data(), request.method_string().size());
    if (method == "HEAD") method = "GET";
    const auto route = routes->second.find(method);
    if (route == routes->second.end()) co_return ErrorAnswer(http::status::method_not_allowed, "this method is not for this path");
    const Handler& handler = route->second.handler;
    const std::string_view body = request.body();
    if (!route->second.is_blocking) co_return handler(body);
    const Counted waiting(waiting_, 1);
    if (waiting_.load() > options_.max_waiting) co_return ErrorAnswer(http::status::service_unavailable, "too many calls are waiting");
    const auto executor = co_await asio::this_coro::executor;
    HttpAnswer answer;
    // Runs the handler on a worker and comes back to this connection's strand.
    co_await asio::async_initiate<decltype(asio::use_awaitable), void()>(
        [&](auto done) {
          asio::post(workers_, [&, done = std::move(done), executor]() mutable {
            answer = handler(body);
            asio::post(executor, std::move(done));
          });
        },
        asio::use_awaitable);
    co_return answer;
  }

  const HttpOptions options_;
  std::map<std::string, std::map<std::string, Route>> routes_;   // by path, then method
  std::unique_ptr<asio::ssl::context> ssl_;
  std::string address_;
  std::atomic<bool> is_stopping_{false};
  std::atomic<int64_t> connections_{0}, busy_{0}, body_bytes_{0}, waiting_{0};
  asio::io_context io_;
  tcp::acceptor acceptor_;
  asio::thread_pool workers_;
  std::vector<std::thread> threads_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<HttpServer>> HttpServer::Start(const HttpOptions& options, std::vector<Route> routes) {
  auto server = std::make_unique<HttpServerImpl>(options, std::move(routes));
  BERTH_RETURN_IF_ERROR(server->Listen());
  return server;
}

}  // namespace berth

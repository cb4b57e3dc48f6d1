// The side port as a stranger meets it: good calls, bad calls, slow calls, too many calls.
#include "server/http_server.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <thread>

#include "fmt/format.h"

namespace berth {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

// One connection, as raw as it gets.
class Client {
 public:
  explicit Client(const std::string& address) : fd_(::socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    to.sin_port = htons(static_cast<uint16_t>(std::stoi(address.substr(address.rfind(':') + 1))));
    is_connected_ = ::connect(fd_, reinterpret_cast<sockaddr*>(&to), sizeof to) == 0;
  }
  ~Client() { ::close(fd_); }
  bool Send(std::string_view text) const {
    while (!text.empty()) {
      const ssize_t n = ::send(fd_, text.data(), text.size(), MSG_NOSIGNAL);
      if (n <= 0) return false;
      text.remove_prefix(static_cast<size_t>(n));
    }
    return true;
  }
  // Reads one answer, or all until the end or until nothing came for `quiet_ms`.
  std::string Read(int quiet_ms = 15000) {
    std::string text;
    while (true) {
      const size_t head = text.find("\r\n\r\n");
      const size_t at = text.find("Content-Length: ");
      if (head != std::string::npos && at != std::string::npos && text.size() >= head + 4 + std::stoul(text.substr(at + 16))) return text;
      pollfd p{fd_, POLLIN, 0};
      if (::poll(&p, 1, quiet_ms) <= 0) return text + "<silence>";
      char buffer[65536];
      const ssize_t n = ::recv(fd_, buffer, sizeof buffer, 0);
      if (n <= 0) return text + "<end>";
      text.append(buffer, static_cast<size_t>(n));
    }
  }
  bool is_connected() const { return is_connected_; }

 private:
  const int fd_;
  bool is_connected_ = false;
};

std::string Post(const std::string& body, const std::string& path = "/echo", const std::string& more = "") {
  return fmt::format("POST {} HTTP/1.1\r\nHost: x\r\n{}Content-Length: {}\r\n\r\n{}", path, more, body.size(), body);
}

struct Bench {
  explicit Bench(HttpOptions options = {}) {
    std::vector<HttpServer::Route> routes;
    routes.push_back({"GET", "/livez", [](std::string_view) { return HttpAnswer{200, "text/plain", "ok\n"}; }});
    routes.push_back({"POST", "/echo", [](std::string_view body) { return HttpAnswer{200, "text/plain", std::string(body)}; }});
    routes.push_back({"POST", "/slow", [this](std::string_view) {
                        ++waiting;
                        while (is_held) std::this_thread::sleep_for(std::chrono::milliseconds(2));
                        return HttpAnswer{200, "text/plain", "slow"};
                      }, true});
    options.listen = "127.0.0.1:0";
    auto started = HttpServer::Start(options, std::move(routes));
    EXPECT_TRUE(started.ok()) << started.status();
    server = *std::move(started);
  }
  ~Bench() { is_held = false; }
  std::string Ask(const std::string& request) {
    Client client(server->address());
    EXPECT_TRUE(client.Send(request));
    return client.Read();
  }
  void ExpectAlive() { EXPECT_THAT(Ask("GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"), HasSubstr("ok\n")); }

  std::atomic<bool> is_held{true};
  std::atomic<int> waiting{0};
  std::unique_ptr<HttpServer> server;
};

TEST(HttpServer, KeepsAConnectionAndAnswersInOrder) {
  Bench bench;
  Client client(bench.server->address());
  for (int i = 0; i < 100; ++i) {
    const std::string body = fmt::format("call {}", i);
    ASSERT_TRUE(client.Send(Post(body)));
    EXPECT_THAT(client.Read(), AllOf(StartsWith("HTTP/1.1 200"), HasSubstr(body)));
  }
  // Two at once, and one in two halves.
  ASSERT_TRUE(client.Send(Post("one") + Post("two").substr(0, 40)));
  EXPECT_THAT(client.Read(), HasSubstr("one"));
  ASSERT_TRUE(client.Send(Post("two").substr(40)));
  EXPECT_THAT(client.Read(), HasSubstr("two"));
}

TEST(HttpServer, AnswersHeadWithoutABodyAndUnknownPathsWithAnError) {
  Bench bench;
  const std::string head = bench.Ask("HEAD /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  EXPECT_THAT(head, AllOf(StartsWith("HTTP/1.1 200"), HasSubstr("Content-Length: 3"), ::testing::Not(HasSubstr("ok\n"))));
  EXPECT_THAT(bench.Ask("GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n"), StartsWith("HTTP/1.1 404"));
  EXPECT_THAT(bench.Ask("GET /echo HTTP/1.1\r\nHost: x\r\n\r\n"), StartsWith("HTTP/1.1 405"));
  EXPECT_THAT(bench.Ask("GET /livez?verbose=1 HTTP/1.1\r\nHost: x\r\n\r\n"), StartsWith("HTTP/1.1 200"));
  EXPECT_THAT(bench.Ask("GET /livez HTTP/1.0\r\n\r\n"), StartsWith("HTTP/1.1 200"));
}

TEST(HttpServer, BadRequestsAreAnsweredAndTheNextIsServed) {
  HttpOptions options;
  options.max_body_bytes = 10000;
  Bench bench(options);
  struct Row {
    std::string request, answer;
  };
  const std::vector<Row> rows = {
      {"nonsense\r\n\r\n", "HTTP/1.1 400"},
      {"GET /livez HTTP/9.9\r\n\r\n", "HTTP/1.1 400"},
      {"GET  /livez HTTP/1.1\r\n\r\n", "HTTP/1.1 400"},
      {"GET /livez HTTP/1.1\r\nbroken header\r\n\r\n", "HTTP/1.1 400"},
      {"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: lots\r\n\r\n", "HTTP/1.1 400"},
      {"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", "HTTP/1.1 400"},
      {"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999999\r\n\r\n", "HTTP/1.1 400"},
      {"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd", "HTTP/1.1 400"},
      {"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "HTTP/1.1 400"},
      {"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", "HTTP/1.1 200"},
      {"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3000\r\n" + std::string(0x3000, 'x') + "\r\n0\r\n\r\n", "HTTP/1.1 413"},
      {"GET /livez HTTP/1.1\r\nX: " + std::string(20000, 'x') + "\r\n\r\n", "HTTP/1.1 431"},
      {Post(std::string(10001, 'x')), "HTTP/1.1 413"},
      {Post(std::string(10000, 'x')), "HTTP/1.1 200"},
  };
  for (const Row& row : rows) {
    SCOPED_TRACE(row.request.substr(0, 80));
    EXPECT_THAT(bench.Ask(row.request), StartsWith(row.answer));
    bench.ExpectAlive();
  }
}

TEST(HttpServer, TenMegabytesAreRefusedAndTheSenderHearsWhy) {
  Bench bench;
  EXPECT_THAT(bench.Ask(Post(std::string(10 << 20, 'x'))), AllOf(StartsWith("HTTP/1.1 413"), HasSubstr("larger than 8388608 bytes")));
  bench.ExpectAlive();
}

TEST(HttpServer, ASlowSenderIsCutOffAndHoldsUpNobody) {
  HttpOptions options;
  options.request_timeout_s = 1;
  options.threads = 1;
  Bench bench(options);
  Client loris(bench.server->address()), half(bench.server->address()), idle(bench.server->address());
  ASSERT_TRUE(loris.Send("GET /livez HTTP/1.1\r\nX:"));
  ASSERT_TRUE(half.Send("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nhalf"));
  std::atomic<bool> is_over{false};
  std::thread dripping([&] {
    for (int i = 0; i < 1000 && !is_over; ++i) {
      if (!loris.Send("x")) break;
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
  });
  bench.ExpectAlive();
  for (Client* slow : {&half, &loris}) EXPECT_THAT(slow->Read(), AllOf(StartsWith("HTTP/1.1 408"), HasSubstr("not whole after 1 s")));
  is_over = true;
  dripping.join();
  bench.ExpectAlive();
  // One that says nothing may stay.
  ASSERT_TRUE(idle.Send(Post("still here")));
  EXPECT_THAT(idle.Read(), HasSubstr("still here"));
}

TEST(HttpServer, BoundsConnectionsAndWaitingCalls) {
  HttpOptions options;
  options.max_connections = 8;
  options.max_waiting = 2;
  Bench bench(options);
  {
    std::vector<std::unique_ptr<Client>> many;
    for (int i = 0; i < 8; ++i) {
      many.push_back(std::make_unique<Client>(bench.server->address()));
      ASSERT_TRUE(many.back()->Send(Post("x")));
      EXPECT_THAT(many.back()->Read(), StartsWith("HTTP/1.1 200"));
    }
    Client one_more(bench.server->address());
    ASSERT_TRUE(one_more.Send(Post("x")));
    EXPECT_THAT(one_more.Read(), AllOf(StartsWith("HTTP/1.1 503"), HasSubstr("Retry-After")));
    for (int i = 0; i < 2; ++i) ASSERT_TRUE(many[static_cast<size_t>(i)]->Send(Post("", "/slow")));
    for (int i = 0; i < 5000 && bench.waiting < 2; ++i) std::this_thread::sleep_for(std::chrono::milliseconds(2));
    ASSERT_EQ(bench.waiting, 2);
    ASSERT_TRUE(many[2]->Send(Post("", "/slow")));
    EXPECT_THAT(many[2]->Read(), StartsWith("HTTP/1.1 503"));
    ASSERT_TRUE(many[3]->Send(Post("not held up")));   // by blocking calls
    EXPECT_THAT(many[3]->Read(), HasSubstr("not held up"));
    bench.is_held = false;
    for (int i = 0; i < 2; ++i) EXPECT_THAT(many[static_cast<size_t>(i)]->Read(), HasSubstr("slow"));
  }
}

TEST(HttpServer, ACallUnderWayIsAnsweredWhenItStops) {
  Bench bench;
  Client client(bench.server->address());
  ASSERT_TRUE(client.Send(Post("", "/slow")));
  for (int i = 0; i < 5000 && bench.waiting < 1; ++i) std::this_thread::sleep_for(std::chrono::milliseconds(2));
  std::thread stopping([&] { bench.server->Stop(); });
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  bench.is_held = false;
  EXPECT_THAT(client.Read(), HasSubstr("slow"));
  stopping.join();
  EXPECT_FALSE(Client(bench.server->address()).is_connected());
}

// By stock programs: what openssl makes, curl asks for.
TEST(HttpServer, SpeaksTlsAndAsksForACertificate) {
  namespace fs = std::filesystem;
  const fs::path dir = fs::temp_directory_path() / fmt::format("berth-http-tls-{}", getpid());
  fs::create_directories(dir);
  const auto shell = [](const std::string& command) { return std::system((command + " >/dev/null 2>&1").c_str()); };
  const auto file = [&](const char* name) { return (dir / name).string(); };
  ASSERT_EQ(shell(fmt::format("openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -addext subjectAltName=IP:127.0.0.1 -keyout {} -out {}", file("key"), file("cert"))), 0)
      << "needs openssl";
  ASSERT_EQ(shell(fmt::format("openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=client -keyout {} -out {}", file("client.key"), file("client.cert"))), 0);
  for (const bool asks : {false, true}) {
    HttpOptions options;
    options.tls = {file("cert"), file("key"), asks ? file("client.cert") : ""};
    Bench bench(options);
    const std::string get = fmt::format("curl -sf --noproxy '*' --max-time 20 --cacert {} https://{}/livez", file("cert"), bench.server->address());
    const std::string with_certificate = fmt::format(" --cert {} --key {}", file("client.cert"), file("client.key"));
    EXPECT_EQ(shell(get) == 0, !asks);
    EXPECT_EQ(shell(get + with_certificate), 0);
    // Neither plain text nor an unknown authority gets through.
    EXPECT_NE(shell(fmt::format("curl -sf --noproxy '*' --max-time 20 http://{}/livez", bench.server->address())), 0);
    EXPECT_NE(shell(fmt::format("curl -sf --noproxy '*' --max-time 20 --cacert {} https://{}/livez", file("client.cert"), bench.server->address())), 0);
    EXPECT_EQ(shell(get + with_certificate), 0);
  }
  fs::remove_all(dir);
}

TEST(HttpServer, RefusesAddressesAndFilesByName) {
  const auto error = [](const std::function<void(HttpOptions&)>& change) {
    HttpOptions options;
    options.flag = "--extender";
    change(options);
    const auto started = HttpServer::Start(options, {});
    return std::string(started.ok() ? "started" : started.status().message());
  };
  for (const char* listen : {"", "nonsense", "127.0.0.1:99999", "unix:/tmp/x", "127.0.0.1:-1", "no.such.host.invalid:1"}) {
    EXPECT_THAT(error([&](HttpOptions& o) { o.listen = listen; o.insecure_listen_beyond_loopback = true; }), HasSubstr("--extender is ")) << listen;
  }
  EXPECT_THAT(error([](HttpOptions& o) { o.listen = "0.0.0.0:0"; }), HasSubstr("--extender-tls-cert"));
  EXPECT_THAT(error([](HttpOptions& o) { o.tls.key_file = "k"; }), HasSubstr("--extender-tls-key"));
  EXPECT_THAT(error([](HttpOptions& o) { o.tls = {"none.crt", "none.key", ""}; }), HasSubstr("--extender-tls-cert is \"none.crt\""));
  Bench bench;
  EXPECT_THAT(error([&](HttpOptions& o) { o.listen = bench.server->address(); }), HasSubstr("can't be bound"));
}

}  // namespace
}  // namespace berth

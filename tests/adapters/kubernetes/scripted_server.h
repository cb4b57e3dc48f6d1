// An API server that answers from a script, byte by byte: for what a real one does only by accident (a stream cut in the
// middle of an object, an answer that gets lost). Loopback only; ends with the test.
#ifndef BERTH_TESTS_ADAPTERS_KUBERNETES_SCRIPTED_SERVER_H_
#define BERTH_TESTS_ADAPTERS_KUBERNETES_SCRIPTED_SERVER_H_

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "fmt/format.h"

namespace berth::kubernetes::test {

struct ScriptedRequest {
  std::string method, target, body;
  bool Has(std::string_view text) const { return target.find(text) != std::string::npos; }
};

class ScriptedServer {
 public:
  // Returns the raw answer; it is sent and the connection closed. Empty: closed without an answer. A stream that should stay
  // open ends with kStayOpen.
  using Script = std::function<std::string(const ScriptedRequest&)>;
  static constexpr std::string_view kStayOpen = "\x01stay";

  explicit ScriptedServer(Script script) : script_(std::move(script)), listener_(::socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    EXPECT_EQ(::bind(listener_, reinterpret_cast<sockaddr*>(&address), size), 0);
    EXPECT_EQ(::listen(listener_, 64), 0);
    EXPECT_EQ(::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size), 0);
    port_ = ntohs(address.sin_port);
    acceptor_ = std::thread([this] { Accept(); });
  }
  ~ScriptedServer() {
    is_over_ = true;
    acceptor_.join();
    for (std::thread& thread : connections_) thread.join();
    ::close(listener_);
  }
  std::string url() const { return fmt::format("http://127.0.0.1:{}", port_); }
  std::vector<ScriptedRequest> requests() const {
    const std::lock_guard<std::mutex> lock(mu_);
    return requests_;
  }
  size_t CountOf(std::string_view text) const {
    size_t count = 0;
    for (const ScriptedRequest& r : requests()) count += r.Has(text) ? 1 : 0;
    return count;
  }

  static std::string Json(int status, const std::string& body) {
    return fmt::format("HTTP/1.1 {} X\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{}", status, body.size(), body);
  }
  // A stream without a length: its end is the end of the connection.
  static std::string Stream(const std::string& lines) { return "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n" + lines; }

 private:
  bool WaitReadable(int fd) const {
    while (!is_over_) {
      pollfd p{fd, POLLIN, 0};
      if (::poll(&p, 1, 50) > 0) return true;
    }
    return false;
  }

  void Accept() {
    while (WaitReadable(listener_)) {
      const int fd = ::accept(listener_, nullptr, nullptr);
      if (fd >= 0) connections_.emplace_back([this, fd] { Serve(fd); });
    }
  }

  void Serve(int fd) {
    std::string text;
    char buffer[65536];
    size_t head = std::string::npos, length = 0;
    while (head == std::string::npos || text.size() < head + 4 + length) {
      if (!WaitReadable(fd)) break;
      const ssize_t got = ::recv(fd, buffer, sizeof buffer, 0);
      if (got <= 0) break;
      text.append(buffer, static_cast<size_t>(got));
      head = text.find("\r\n\r\n");
      const size_t at = text.find("Content-Length: ");
      if (head != std::string::npos && at < head) length = std::stoul(text.substr(at + 16));
    }
    if (head != std::string::npos) {
      ScriptedRequest request;
      const size_t space = text.find(' ');
      request.method = text.substr(0, space);
      request.target = text.substr(space + 1, text.find(' ', space + 1) - space - 1);
      request.body = text.substr(head + 4);
      {
        const std::lock_guard<std::mutex> lock(mu_);
        requests_.push_back(request);
      }
      std::string answer = script_(request);
      const bool stays = answer.ends_with(kStayOpen);
      if (stays) answer.resize(answer.size() - kStayOpen.size());
      for (size_t sent = 0; sent < answer.size();) {
        const ssize_t n = ::send(fd, answer.data() + sent, answer.size() - sent, MSG_NOSIGNAL);
        if (n <= 0) break;
        sent += static_cast<size_t>(n);
      }
      if (stays) WaitReadable(fd);   // until the client goes, or the test ends
    }
    ::close(fd);
  }

  const Script script_;
  const int listener_;
  uint16_t port_ = 0;
  std::atomic<bool> is_over_{false};
  mutable std::mutex mu_;
  std::vector<ScriptedRequest> requests_;
  std::vector<std::thread> connections_;   // touched by the acceptor alone until it has ended
  std::thread acceptor_;
};

// Waits for something that another thread will do; the bound is for a test that fails.
inline bool Eventually(const std::function<bool()>& is_so) {
  for (int i = 0; i < 1500; ++i) {
    if (is_so()) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return false;
}

}  // namespace berth::kubernetes::test

#endif  // BERTH_TESTS_ADAPTERS_KUBERNETES_SCRIPTED_SERVER_H_

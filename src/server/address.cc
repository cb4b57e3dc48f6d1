#include <charconv>

#include "base/status.h"
#include "fmt/format.h"
#include "server/options.h"

namespace berth {
namespace {

bool IsLoopback(std::string_view host) {
  return host == "localhost" || host == "[::1]" || (host.starts_with("127.") && host.find_first_not_of("0123456789.") == std::string_view::npos);
}

}  // namespace

absl::StatusOr<ListenAddress> ParseListenAddress(const std::string& listen, std::string_view flag, bool has_tls, bool may_be_insecure) {
  constexpr std::string_view kAccepted = "HOST:PORT with a port from 0 to 65535, or unix:PATH with a path of 1 to 100 bytes";
  const std::string_view text = listen;
  ListenAddress address;
  address.grpc_address = listen;
  if (text.find('\0') != std::string_view::npos) return InvalidField(flag, text, kAccepted);
  if (text.starts_with("unix:")) {
    const std::string_view path = text.substr(5);
    if (path.empty() || path.size() > 100) return InvalidField(flag, text, kAccepted);
    address.is_unix = true;
    return address;
  }
  const size_t colon = text.rfind(':');
  if (colon == std::string_view::npos || colon == 0) return InvalidField(flag, text, kAccepted);
  const std::string_view port = text.substr(colon + 1);
  int number = -1;
  const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), number);
  if (error != std::errc() || end != port.data() + port.size() || number < 0 || number > 65535) {
    return InvalidField(flag, text, kAccepted);
  }
  address.host = text.substr(0, colon);
  if (address.host.find(':') != std::string::npos && address.host.front() != '[') return InvalidField(flag, text, kAccepted);
  if (!IsLoopback(address.host) && !has_tls && !may_be_insecure) {
    const std::string tls = flag == "--listen" ? "--tls" : fmt::format("{}-tls", flag);
    return absl::FailedPreconditionError(fmt::format("{} is {}, which others can reach: give {}-cert and {}-key, or say --insecure-listen-beyond-loopback",
                                                     flag, Quoted(text), tls, tls));
  }
  return address;
}

}  // namespace berth

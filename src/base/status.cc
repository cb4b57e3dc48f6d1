#include "base/status.h"

#include "fmt/format.h"

namespace berth {
namespace {

// Length of the valid UTF-8 sequence at the front, 0 if there is none.
size_t Utf8Length(std::string_view s) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(s[i]); };
  const unsigned char first = byte(0);
  const size_t length = first < 0x80 ? 1 : first >= 0xc2 && first < 0xe0 ? 2 : first >= 0xe0 && first < 0xf0 ? 3
                                        : first >= 0xf0 && first < 0xf5 ? 4 : 0;
  if (length == 0 || s.size() < length) return 0;
  for (size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xc0) != 0x80) return 0;
  }
  if (first == 0xe0 && byte(1) < 0xa0) return 0;  // overlong
  if (first == 0xed && byte(1) > 0x9f) return 0;  // surrogate
  if (first == 0xf0 && byte(1) < 0x90) return 0;
  if (first == 0xf4 && byte(1) > 0x8f) return 0;
  return length;
}

}  // namespace

std::string Quoted(std::string_view value) {
  constexpr size_t kMaxBytes = 64;
  std::string out = "\"";
  size_t used = 0;
  while (used < value.size()) {
    const size_t length = Utf8Length(value.substr(used));
    if (used + (length == 0 ? 1 : length) > kMaxBytes) break;
    const unsigned char c = static_cast<unsigned char>(value[used]);
    if (length == 0 || c < 0x20 || c == 0x7f) {
      out += fmt::format("\\x{:02x}", c);
      ++used;
    } else {
      if (c == '"' || c == '\\') out += '\\';
      out.append(value.substr(used, length));
      used += length;
    }
  }
  out += '"';
  if (used < value.size()) out += fmt::format(" ({} bytes)", value.size());
  return out;
}

absl::Status InvalidField(std::string_view field, std::string_view value, std::string_view accepted) {
  return absl::InvalidArgumentError(fmt::format("{} is {}, accepted: {}", field, Quoted(value), accepted));
}

absl::Status WithContext(const absl::Status& status, std::string_view where) {
  if (status.ok()) return status;
  return absl::Status(status.code(), fmt::format("{}: {}", where, MessageOf(status)));
}

std::string_view MessageOf(const absl::Status& status) {
  return status.ok() ? std::string_view("OK") : std::string_view(status.message().data(), status.message().size());
}

}  // namespace berth

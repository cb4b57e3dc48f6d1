#include "mdp/files/file_io.h"

#include <filesystem>
#include <fstream>
#include <system_error>

#include "base/status.h"
#include "fmt/format.h"

namespace berth::mdp::internal {

absl::StatusOr<std::string> ReadWholeFile(const std::string& kind, const std::string& path, int64_t max_bytes) {
  std::error_code error;
  if (std::filesystem::is_directory(path, error)) return InvalidField(kind, "a folder", "a file");
  std::ifstream in(path, std::ios::binary);
  if (!in) return absl::NotFoundError(fmt::format("{} can't be opened", kind));
  const auto limit = static_cast<uintmax_t>(max_bytes);
  const auto too_large = [&] {
    return absl::ResourceExhaustedError(fmt::format("{}: accepted: up to {} bytes", kind, max_bytes));
  };
  // A pipe has no size: it is counted while it is read.
  const uintmax_t size = std::filesystem::file_size(path, error);
  if (!error && size > limit) return too_large();
  std::string text;
  if (!error) text.reserve(size);
  char buffer[1 << 16];
  while (in.read(buffer, sizeof buffer), in.gcount() > 0) {
    text.append(buffer, static_cast<size_t>(in.gcount()));
    if (text.size() > limit) return too_large();
  }
  if (in.bad()) return absl::InternalError(fmt::format("{} can't be read", kind));
  return text;
}

}  // namespace berth::mdp::internal

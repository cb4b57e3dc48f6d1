#include "workload/text_file.h"

#include <filesystem>
#include <fstream>

#include "base/status.h"
#include "fmt/format.h"

namespace berth {

absl::StatusOr<std::string> ReadTextFile(const std::string& kind, const std::string& path) {
  constexpr size_t kMaxBytes = size_t{1} << 30;
  std::error_code error;
  if (std::filesystem::is_directory(path, error)) return InvalidField(kind, path, "a file, not a directory");
  std::ifstream in(path, std::ios::binary);
  if (!in) return absl::NotFoundError(fmt::format("{} {} can't be opened", kind, Quoted(path)));
  const auto too_large = [&] {
    return absl::ResourceExhaustedError(fmt::format("{} {} is larger than {} bytes", kind, Quoted(path), kMaxBytes));
  };
  // Pipes have no size: they are counted while they are read.
  if (const uintmax_t size = std::filesystem::file_size(path, error); !error && size > kMaxBytes) return too_large();
  std::string text;
  char buffer[1 << 16];
  while (in.read(buffer, sizeof buffer), in.gcount() > 0) {
    text.append(buffer, static_cast<size_t>(in.gcount()));
    if (text.size() > kMaxBytes) return too_large();
  }
  if (in.bad()) return absl::InternalError(fmt::format("{} {} can't be read", kind, Quoted(path)));
  return text;
}

}  // namespace berth

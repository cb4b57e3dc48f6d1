#include "mdp/files/file_io.h"

#include <unistd.h>

#include <filesystem>
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

NewFile::NewFile(const std::string& path) : path_(path), partial_path_(fmt::format("{}.{}.partial", path, getpid())) {}

NewFile::~NewFile() {
  out_.close();
  std::error_code error;
  std::filesystem::remove(partial_path_, error);
}

std::ofstream& NewFile::out() {
  if (!out_.is_open()) out_.open(partial_path_, std::ios::binary);
  return out_;
}

absl::Status NewFile::Close() {
  out().close();
  return out_ ? absl::OkStatus() : Failed();
}

absl::Status NewFile::Commit() {
  if (out_.is_open()) BERTH_RETURN_IF_ERROR(Close());
  std::error_code error;
  std::filesystem::rename(partial_path_, path_, error);
  return error ? Failed() : absl::OkStatus();
}

absl::Status NewFile::Failed() const {
  return absl::FailedPreconditionError(
      fmt::format("model file {} can't be written", Quoted(std::filesystem::path(path_).filename().string())));
}

}  // namespace berth::mdp::internal

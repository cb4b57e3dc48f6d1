#include "base/new_file.h"

#include <unistd.h>

#include <filesystem>
#include <system_error>

#include "base/status.h"
#include "fmt/format.h"

namespace berth {

NewFile::NewFile(const std::string& kind, const std::string& path)
    : kind_(kind), path_(path), partial_path_(fmt::format("{}.{}.partial", path, getpid())) {}

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
      fmt::format("{} {} can't be written", kind_, Quoted(std::filesystem::path(path_).filename().string())));
}

}  // namespace berth

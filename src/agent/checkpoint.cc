#include "agent/checkpoint.h"

#include <filesystem>
#include <fstream>
#include <sstream>

#include "base/status.h"
#include "fmt/format.h"

namespace berth {
namespace {

namespace fs = std::filesystem;
constexpr std::string_view kFormat = "berth-checkpoint-1";
constexpr size_t kMaxBytes = 256 << 20;

absl::Status WriteWhole(const fs::path& path, const std::string& bytes) {
  const fs::path partial = path.string() + ".partial";
  {
    std::ofstream out(partial, std::ios::binary | std::ios::trunc);
    out << bytes;
    out.close();
    if (!out) return absl::FailedPreconditionError(fmt::format("checkpoint file {} can't be written", path.filename().string()));
  }
  std::error_code error;
  fs::rename(partial, path, error);
  if (error) return absl::FailedPreconditionError(fmt::format("checkpoint file {} can't be put in place", path.filename().string()));
  return absl::OkStatus();
}

absl::StatusOr<std::string> ReadWhole(const fs::path& path) {
  std::error_code error;
  const auto size = fs::file_size(path, error);
  if (error) return absl::NotFoundError(fmt::format("checkpoint file {} is not there", path.filename().string()));
  if (size > kMaxBytes) return InvalidField("checkpoint file", fmt::format("{} bytes", size), fmt::format("at most {} bytes", kMaxBytes));
  std::ifstream in(path, std::ios::binary);
  std::ostringstream text;
  text << in.rdbuf();
  if (!in) return absl::NotFoundError(fmt::format("checkpoint file {} can't be read", path.filename().string()));
  return std::move(text).str();
}

}  // namespace

absl::Status WriteCheckpoint(const std::string& dir, const Checkpoint& checkpoint) {
  std::error_code error;
  fs::create_directories(dir, error);
  if (error) return InvalidField("checkpoint directory", dir, "a directory that can be made");
  const std::string bytes = ToSafetensors(checkpoint.tensors);
  const std::string sha = Sha256Hex(bytes);
  const std::string name = fmt::format("checkpoint-{}.safetensors", sha.substr(0, 16));
  BERTH_RETURN_IF_ERROR(WriteWhole(fs::path(dir) / name, bytes));
  const nlohmann::json json{{"format", kFormat}, {"tensors", name}, {"tensors_sha256", sha},
                            {"fingerprint", checkpoint.fingerprint}, {"state", checkpoint.state}};
  BERTH_RETURN_IF_ERROR(WriteWhole(fs::path(dir) / "checkpoint.json", json.dump(1) + "\n"));
  // The tensors of earlier checkpoints.
  for (const auto& entry : fs::directory_iterator(dir, error)) {
    const std::string file = entry.path().filename().string();
    if (file.starts_with("checkpoint-") && file.ends_with(".safetensors") && file != name) fs::remove(entry.path(), error);
  }
  return absl::OkStatus();
}

absl::StatusOr<Checkpoint> ReadCheckpoint(const std::string& dir) {
  BERTH_ASSIGN_OR_RETURN(const std::string text, ReadWhole(fs::path(dir) / "checkpoint.json"));
  const auto json = nlohmann::json::parse(text, nullptr, false);
  const auto string_at = [&](const char* key) { return json.contains(key) && json[key].is_string() ? json[key].get<std::string>() : ""; };
  if (!json.is_object() || string_at("format") != kFormat || !json.contains("state") || !json["state"].is_object()) {
    return InvalidField("checkpoint", text.substr(0, 64), fmt::format("JSON of the format {}", kFormat));
  }
  const std::string name = string_at("tensors");
  if (!name.starts_with("checkpoint-") || name.find('/') != std::string::npos) {
    return InvalidField("checkpoint tensors", name, "the name of a file beside checkpoint.json");
  }
  BERTH_ASSIGN_OR_RETURN(const std::string bytes, ReadWhole(fs::path(dir) / name));
  if (Sha256Hex(bytes) != string_at("tensors_sha256")) {
    return InvalidField("checkpoint tensors_sha256", Sha256Hex(bytes), string_at("tensors_sha256") + ": the file was changed or cut");
  }
  Checkpoint checkpoint;
  BERTH_ASSIGN_OR_RETURN(checkpoint.tensors, ParseSafetensors(bytes));
  checkpoint.state = json["state"];
  checkpoint.fingerprint = string_at("fingerprint");
  return checkpoint;
}

}  // namespace berth

#include "mdp/files/model_file.h"

#include <algorithm>
#include <array>
#include <filesystem>
#include <fstream>
#include <new>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "fmt/format.h"
#include "mdp/files/format.h"

namespace berth::mdp {
namespace {

namespace fs = std::filesystem;

struct Format {
  std::string_view extension;
  absl::StatusOr<ModelFile> (*read)(const std::string&, const ReadOptions&);
  absl::Status (*write)(const std::string&, const ModelFile&, const std::vector<bool>&);
};
constexpr Format kFormats[] = {
    {".umb", internal::ReadUmb, internal::WriteUmb},
    {".tra", internal::ReadPrism, internal::WritePrism},
    {".csv", internal::ReadCsv, internal::WriteCsv},
    {".json", internal::ReadOracleJson, internal::WriteOracleJson},
};
constexpr std::string_view kExtensions = ".umb, .tra, .csv or .json";

const Format* FindFormat(std::string_view extension) {
  for (const Format& format : kFormats) {
    if (format.extension == extension) return &format;
  }
  return nullptr;
}

// The extension that the first bytes stand for, if they tell.
std::string_view ExtensionByContent(const std::string& path) {
  std::array<char, 512> head{};
  std::ifstream(path, std::ios::binary).read(head.data(), head.size());
  const std::string_view text(head.data(), head.size());
  if (text.starts_with("\x1f\x8b") ||
      text.starts_with("\xfd"
                       "7zXZ") ||
      text.substr(257, 5) == "ustar") {
    return ".umb";
  }
  return text.starts_with("{") ? ".json" : "";
}

absl::Status OutOfMemory() { return absl::ResourceExhaustedError("model file: no memory"); }

}  // namespace

absl::StatusOr<std::vector<bool>> internal::AbsorbingStates(const ModelFile& model) {
  const auto num_states = static_cast<size_t>(model.mdp.num_states());
  if (!model.is_absorbing.empty() && model.is_absorbing.size() != num_states) {
    return InvalidField("number of absorbing marks", fmt::format("{}", model.is_absorbing.size()),
                        fmt::format("0 or {}, the number of states", num_states));
  }
  if (model.initial < 0 || static_cast<size_t>(model.initial) >= num_states) {
    return InvalidField("initial state", fmt::format("{}", model.initial), fmt::format("0 to {}", num_states - 1));
  }
  std::vector<bool> is_absorbing = model.is_absorbing;
  is_absorbing.resize(num_states, false);
  for (StateIndex s = 0; s < model.mdp.num_states(); ++s) {
    if (model.mdp.is_terminal(s)) is_absorbing[s] = true;
  }
  return is_absorbing;
}

absl::StatusOr<ModelFile> ReadModelFile(const std::string& path, const ReadOptions& options) try {
  std::error_code error;
  if (!fs::exists(path, error)) return absl::NotFoundError("model file can't be opened");
  if (fs::is_directory(path, error)) return InvalidField("model file", "a folder", "a file");
  const std::string extension = fs::path(path).extension().string();
  const Format* format = FindFormat(extension);
  if (format == nullptr) format = FindFormat(ExtensionByContent(path));
  if (format == nullptr) return InvalidField("extension of the model file", extension, kExtensions);
  BERTH_ASSIGN_OR_RETURN(ModelFile model, format->read(path, options));
  if (std::find(model.is_absorbing.begin(), model.is_absorbing.end(), true) == model.is_absorbing.end()) {
    model.is_absorbing.clear();
  }
  if (model.name.empty()) model.name = fs::path(path).stem().string();
  return model;
} catch (const std::bad_alloc&) {
  return OutOfMemory();
}

absl::Status WriteModelFile(const std::string& path, const ModelFile& model) try {
  const std::string extension = fs::path(path).extension().string();
  const Format* const format = FindFormat(extension);
  if (format == nullptr) return InvalidField("extension of the model file", extension, kExtensions);
  BERTH_ASSIGN_OR_RETURN(const std::vector<bool> is_absorbing, internal::AbsorbingStates(model));
  return format->write(path, model, is_absorbing);
} catch (const std::bad_alloc&) {
  return OutOfMemory();
}

}  // namespace berth::mdp

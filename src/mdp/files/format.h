// The four formats, one pair of functions each; internal, model_file.h says what they do. `path` has no part in
// messages.
#ifndef BERTH_MDP_FILES_FORMAT_H_
#define BERTH_MDP_FILES_FORMAT_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "mdp/files/model_file.h"

namespace berth::mdp::internal {

absl::StatusOr<ModelFile> ReadUmb(const std::string& path, const ReadOptions& options);
absl::StatusOr<ModelFile> ReadPrism(const std::string& path, const ReadOptions& options);
absl::StatusOr<ModelFile> ReadCsv(const std::string& path, const ReadOptions& options);
absl::StatusOr<ModelFile> ReadOracleJson(const std::string& path, const ReadOptions& options);

// `is_absorbing`: [num_states], of the model, terminal states included.
absl::Status WriteUmb(const std::string& path, const ModelFile& model, const std::vector<bool>& is_absorbing);
absl::Status WritePrism(const std::string& path, const ModelFile& model, const std::vector<bool>& is_absorbing);
absl::Status WriteCsv(const std::string& path, const ModelFile& model, const std::vector<bool>& is_absorbing);
absl::Status WriteOracleJson(const std::string& path, const ModelFile& model, const std::vector<bool>& is_absorbing);

// The checks of WriteModelFile, and the absorbing states for the writers: [num_states].
absl::StatusOr<std::vector<bool>> AbsorbingStates(const ModelFile& model);

// "absorbing": the label that is written, and looked for where the caller names none.
inline constexpr char kAbsorbingLabel[] = "absorbing";

}  // namespace berth::mdp::internal

#endif  // BERTH_MDP_FILES_FORMAT_H_

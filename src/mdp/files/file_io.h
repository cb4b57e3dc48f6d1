// Bounded reading, and what the files are called in messages. Internal.
#ifndef BERTH_MDP_FILES_FILE_IO_H_
#define BERTH_MDP_FILES_FILE_IO_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace berth::mdp::internal {

inline constexpr char kModelFile[] = "model file";

// The whole file; `kind` names it in messages. Errors: NOT_FOUND it can't be opened; INVALID_ARGUMENT a folder;
// RESOURCE_EXHAUSTED more than `max_bytes`.
absl::StatusOr<std::string> ReadWholeFile(const std::string& kind, const std::string& path, int64_t max_bytes);

}  // namespace berth::mdp::internal

#endif  // BERTH_MDP_FILES_FILE_IO_H_

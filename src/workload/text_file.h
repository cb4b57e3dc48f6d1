#ifndef BERTH_WORKLOAD_TEXT_FILE_H_
#define BERTH_WORKLOAD_TEXT_FILE_H_

#include <string>

#include "absl/status/statusor.h"

namespace berth {

// The whole file. Errors, with `kind` naming it: NOT_FOUND it can't be opened; INVALID_ARGUMENT no regular file or pipe;
// RESOURCE_EXHAUSTED more than 1 GiB; INTERNAL reading failed.
absl::StatusOr<std::string> ReadTextFile(const std::string& kind, const std::string& path);

}  // namespace berth

#endif  // BERTH_WORKLOAD_TEXT_FILE_H_

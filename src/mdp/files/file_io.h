// Bounded reading and whole-or-nothing writing. Internal.
#ifndef BERTH_MDP_FILES_FILE_IO_H_
#define BERTH_MDP_FILES_FILE_IO_H_

#include <cstdint>
#include <fstream>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace berth::mdp::internal {

// The whole file; `kind` names it in messages. Errors: NOT_FOUND it can't be opened; INVALID_ARGUMENT a folder;
// RESOURCE_EXHAUSTED more than `max_bytes`.
absl::StatusOr<std::string> ReadWholeFile(const std::string& kind, const std::string& path, int64_t max_bytes);

// A file that appears under its name only at Commit; without it, nothing is left.
class NewFile {
 public:
  explicit NewFile(const std::string& path);
  ~NewFile();
  NewFile(const NewFile&) = delete;
  NewFile& operator=(const NewFile&) = delete;

  // Where the bytes go until then.
  const std::string& partial_path() const { return partial_path_; }
  // A stream to it, opened on first use; Close checks that all of it was written.
  std::ofstream& out();
  absl::Status Close();
  // Errors: FAILED_PRECONDITION.
  absl::Status Commit();

 private:
  absl::Status Failed() const;

  std::string path_;
  std::string partial_path_;
  std::ofstream out_;
};

}  // namespace berth::mdp::internal

#endif  // BERTH_MDP_FILES_FILE_IO_H_

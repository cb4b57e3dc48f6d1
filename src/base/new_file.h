// A file that is written whole or not at all.
#ifndef BERTH_BASE_NEW_FILE_H_
#define BERTH_BASE_NEW_FILE_H_

#include <fstream>
#include <string>

#include "absl/status/status.h"

namespace berth {

// Appears under its name only at Commit; without it, nothing is left. Until then the bytes go to a file beside it, of
// another name for each process. Not thread-safe.
class NewFile {
 public:
  // `kind` ("model file") names it in messages.
  NewFile(const std::string& kind, const std::string& path);
  ~NewFile();
  NewFile(const NewFile&) = delete;
  NewFile& operator=(const NewFile&) = delete;

  // Where the bytes go until then.
  const std::string& partial_path() const { return partial_path_; }
  // A stream to it, opened on first use; Close checks that all of it was written.
  std::ofstream& out();
  absl::Status Close();
  // Closes it, if that is not done, and puts it in place. Errors: FAILED_PRECONDITION.
  absl::Status Commit();

 private:
  absl::Status Failed() const;

  std::string kind_;
  std::string path_;
  std::string partial_path_;
  std::ofstream out_;
};

}  // namespace berth

#endif  // BERTH_BASE_NEW_FILE_H_

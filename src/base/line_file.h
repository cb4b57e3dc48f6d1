// A file of lines that many threads append to and that never grows beyond a bound: at `max_bytes` it becomes <path>.1, and so
// on up to `files`. Written by a thread of its own; when more than 8192 lines wait, the oldest waiting one is dropped and
// counted, so that a slow disk holds up nobody. Thread-safe.
#ifndef BERTH_BASE_LINE_FILE_H_
#define BERTH_BASE_LINE_FILE_H_

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace berth {

class LineFile {
 public:
  // Errors: FAILED_PRECONDITION the file can't be opened.
  static absl::StatusOr<std::unique_ptr<LineFile>> Open(const std::string& path, size_t max_bytes, size_t files);
  virtual ~LineFile() = default;   // writes what waits
  virtual void Append(std::string_view line) = 0;
  virtual size_t dropped() const = 0;
};

}  // namespace berth

#endif  // BERTH_BASE_LINE_FILE_H_

// A tar read into memory and written; libarchive does the format. Internal.
#ifndef BERTH_MDP_FILES_TAR_H_
#define BERTH_MDP_FILES_TAR_H_

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

struct archive;

namespace berth::mdp::internal {

using TarEntries = std::map<std::string, std::string, std::less<>>;  // by name, without "./" or "/" in front

// The regular files that `is_wanted` by name; plain, gzip or xz. Memory: what is really there, never what a header
// claims. Errors: NOT_FOUND; INVALID_ARGUMENT no tar, one without its end mark (cut off), a name twice, a sparse entry;
// RESOURCE_EXHAUSTED more than `max_bytes` of wanted entries or of the whole, unpacked.
absl::StatusOr<TarEntries> ReadTar(const std::string& path, int64_t max_bytes,
                                   const std::function<bool(std::string_view)>& is_wanted);

// Writes a plain ustar file. Times and owners are zero, so that equal content gives equal bytes. After the first error
// the rest is ignored; Close tells it.
class TarWriter {
 public:
  explicit TarWriter(const std::string& path);
  void Add(const std::string& name, std::string_view bytes);
  absl::Status Close();

 private:
  struct Free {
    void operator()(archive* a) const;
  };
  std::unique_ptr<archive, Free> archive_;
  bool is_good_ = false;
};

}  // namespace berth::mdp::internal

#endif  // BERTH_MDP_FILES_TAR_H_

// A UMB archive whose entries a test may change.
#ifndef BERTH_TESTS_MDP_FILES_ARCHIVE_TEST_BASE_H_
#define BERTH_TESTS_MDP_FILES_ARCHIVE_TEST_BASE_H_

#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <string_view>
#include <utility>

#include "absl/status/statusor.h"
#include "mdp/files/tar.h"
#include "support/temp_file.h"

namespace berth::mdp {

class ArchiveTest : public testing::Test {
 protected:
  // From the archive at `path`.
  void TakeEntries(const std::string& path) {
    auto entries = internal::ReadTar(path, 1 << 20, [](std::string_view) { return true; });
    ASSERT_TRUE(entries.ok()) << entries.status();
    entries_ = *std::move(entries);
  }
  // Where the entries as they are now are an archive.
  std::string Written() const {
    std::string path = folder_.File("changed.umb");
    internal::TarWriter tar(path);
    for (const auto& [name, bytes] : entries_) tar.Add(name, bytes);
    EXPECT_TRUE(tar.Close().ok());
    return path;
  }
  template <class T>
  static std::string ErrorOf(const absl::StatusOr<T>& read) {
    EXPECT_FALSE(read.ok());
    EXPECT_EQ(read.status().code(), absl::StatusCode::kInvalidArgument);
    return std::string(read.status().message());
  }
  // Value `i` of an array.
  template <class T>
  void Set(const std::string& name, size_t i, T value) {
    std::string& bytes = entries_.at(name);
    ASSERT_LE((i + 1) * sizeof(T), bytes.size());
    std::memcpy(bytes.data() + i * sizeof(T), &value, sizeof(T));
  }

  test::TempFolder folder_;
  internal::TarEntries entries_;
};

}  // namespace berth::mdp

#endif  // BERTH_TESTS_MDP_FILES_ARCHIVE_TEST_BASE_H_

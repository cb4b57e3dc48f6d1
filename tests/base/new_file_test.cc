#include "base/new_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <string>

#include "support/temp_file.h"

namespace berth {
namespace {

using testing::ElementsAre;

std::string BytesOf(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

TEST(NewFile, AppearsAtCommitAndReplacesWhatWasThere) {
  const test::TempFolder folder;
  folder.Write("a", "old");
  NewFile file("table file", folder.File("a"));
  file.out() << "new";
  file.out().flush();
  EXPECT_EQ(BytesOf(folder.File("a")), "old");
  EXPECT_EQ(BytesOf(file.partial_path()), "new");
  ASSERT_TRUE(file.Commit().ok());
  EXPECT_EQ(BytesOf(folder.File("a")), "new");
  EXPECT_THAT(folder.Names(), ElementsAre("a"));
}

TEST(NewFile, LeavesNothingWithoutCommit) {
  const test::TempFolder folder;
  {
    NewFile file("table file", folder.File("a"));
    file.out() << "new";
  }
  EXPECT_THAT(folder.Names(), ElementsAre());
}

TEST(NewFile, SaysWhatCantBeWritten) {
  const test::TempFolder folder;
  NewFile file("table file", folder.File("absent/a"));
  file.out() << "new";
  const absl::Status status = file.Commit();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(status.message(), "table file \"a\" can't be written");
}

}  // namespace
}  // namespace berth

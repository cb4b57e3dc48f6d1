// Real traces for tests: they are no part of the project. BERTH_SHARED_DATA names their folder, else ../shared/data beside
// the checkout is looked at. A test that needs them is skipped without them, and fails where CI=true.
#ifndef BERTH_TESTS_SUPPORT_SHARED_DATA_H_
#define BERTH_TESTS_SUPPORT_SHARED_DATA_H_

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

namespace berth::test {

inline std::optional<std::string> SharedData(std::string_view relative) {
  namespace fs = std::filesystem;
  const char* const given = std::getenv("BERTH_SHARED_DATA");
  const char* const source = std::getenv("BERTH_SOURCE_DIR");
  const fs::path root = given != nullptr ? fs::path(given) : source != nullptr ? fs::path(source).parent_path() / "shared" / "data" : fs::path("../shared/data");
  const fs::path path = root / relative;
  std::error_code error;
  if (!fs::exists(path, error)) return std::nullopt;
  return path.string();
}

inline bool IsCi() {
  const char* const ci = std::getenv("CI");
  return ci != nullptr && std::string_view(ci) == "true";
}

}  // namespace berth::test

// Ends the test where the data is absent: skipped, or failed under CI=true.
#define BERTH_REQUIRE_SHARED_DATA(relative)                                                                       \
  do {                                                                                                            \
    if (!::berth::test::SharedData(relative)) {                                                                   \
      ASSERT_FALSE(::berth::test::IsCi()) << "the data " << (relative) << " is needed under CI=true";             \
      GTEST_SKIP() << "SKIPPED: the data " << (relative) << " is not here; BERTH_SHARED_DATA names its folder";   \
    }                                                                                                             \
  } while (false)

#endif  // BERTH_TESTS_SUPPORT_SHARED_DATA_H_

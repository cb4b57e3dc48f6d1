// A file for one test.
#ifndef BERTH_TESTS_SUPPORT_TEMP_FILE_H_
#define BERTH_TESTS_SUPPORT_TEMP_FILE_H_

#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>

namespace berth::test {

// A file with the given bytes in the folder for temporary files; removed with the object. Names are unique among
// processes that run at the same time.
class TempFile {
 public:
  explicit TempFile(std::string_view bytes) {
    static int count = 0;
    path_ = (std::filesystem::temp_directory_path() / ("berth-test-" + std::to_string(getpid()) + "-" + std::to_string(count++))).string();
    Write(bytes);
  }
  ~TempFile() {
    std::error_code error;
    std::filesystem::remove(path_, error);
  }
  TempFile(const TempFile&) = delete;
  TempFile& operator=(const TempFile&) = delete;

  void Write(std::string_view bytes) const {
    std::ofstream(path_, std::ios::binary).write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

}  // namespace berth::test

#endif  // BERTH_TESTS_SUPPORT_TEMP_FILE_H_

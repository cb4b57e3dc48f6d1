// Rules of the house about texts: folder READMEs, length of files, nothing of one machine, and one list of packages.
#include <algorithm>
#include <array>
#include <cctype>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace berth {
namespace {

namespace fs = std::filesystem;
using Findings = std::vector<std::string>;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr size_t kReadmeLines = 40;
constexpr size_t kSourceLines = 700;

fs::path Root() {
  const char* root = std::getenv("BERTH_SOURCE_DIR");
  return root == nullptr ? fs::path(BERTH_DEFAULT_SOURCE_DIR) : fs::path(root);
}

std::vector<std::string> Lines(const fs::path& file) {
  std::vector<std::string> lines;
  std::ifstream in(file, std::ios::binary);
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  return lines;
}

// Every file of the project below `root`, in order of path: no build output, no hidden folder but .ci.
std::vector<fs::path> ProjectFiles(const fs::path& root) {
  std::vector<fs::path> files;
  for (auto it = fs::recursive_directory_iterator(root); it != fs::recursive_directory_iterator(); ++it) {
    const std::string name = it->path().filename().string();
    const bool is_top = it.depth() == 0;
    if (it->is_directory() &&
        ((name.starts_with('.') && name != ".ci") || (is_top && (name.starts_with("build") || name == "out")))) {
      it.disable_recursion_pending();
    } else if (it->is_regular_file()) {
      files.push_back(it->path());
    }
  }
  std::sort(files.begin(), files.end());
  return files;
}

bool IsSource(const fs::path& file) {
  return file.extension() == ".h" || file.extension() == ".cc" || file.extension() == ".go";
}

// Each folder of src/ that holds sources has a README.md of at most 40 lines.
Findings CheckReadmes(const fs::path& root) {
  Findings findings;
  for (const auto& folder : fs::directory_iterator(root / "src")) {
    if (!folder.is_directory()) continue;
    const std::vector<fs::path> files = ProjectFiles(folder.path());
    if (std::none_of(files.begin(), files.end(), IsSource)) continue;
    const std::string name = "src/" + folder.path().filename().string() + "/README.md";
    const size_t lines = Lines(root / name).size();
    if (lines == 0) findings.push_back(name + ": missing or empty");
    if (lines > kReadmeLines) findings.push_back(name + ": " + std::to_string(lines) + " lines, at most 40");
  }
  std::sort(findings.begin(), findings.end());
  return findings;
}

// No source file is longer than 700 lines.
Findings CheckLengths(const fs::path& root) {
  Findings findings;
  for (const fs::path& file : ProjectFiles(root)) {
    if (!IsSource(file)) continue;
    const size_t lines = Lines(file).size();
    if (lines > kSourceLines)
      findings.push_back(fs::relative(file, root).string() + ": " + std::to_string(lines) + " lines, at most 700");
  }
  return findings;
}

// No file of text names a folder that only one machine has. The words are put together here so that this file passes.
Findings CheckPaths(const fs::path& root) {
  const std::array<std::string, 4> words = {std::string("/home") + "/", std::string("/root") + "/",
                                            std::string("/work") + "/", std::string("/tmp") + "/h/"};
  Findings findings;
  for (const fs::path& file : ProjectFiles(root)) {
    const std::vector<std::string> lines = Lines(file);
    if (!lines.empty() && lines[0].find('\0') != std::string::npos) continue;  // not a text
    for (size_t i = 0; i < lines.size(); ++i) {
      for (const std::string& word : words) {
        // A path begins after something that cannot be part of one: docs/work/x names no machine's folder.
        const size_t at = lines[i].find(word);
        if (at == std::string::npos) continue;
        const char before = at == 0 ? ' ' : lines[i][at - 1];
        if (std::isalnum(static_cast<unsigned char>(before)) ||
            std::string_view("_.-/}").find(before) != std::string_view::npos)
          continue;
        findings.push_back(fs::relative(file, root).string() + ":" + std::to_string(i + 1) + ": " + word);
      }
    }
  }
  return findings;
}

// A tree of files that breaks each rule once, and comes close to breaking it once.
class BrokenTree : public ::testing::Test {
 protected:
  void SetUp() override {
    root_ =
        fs::path(::testing::TempDir()) / ("texts-" + std::to_string(::testing::UnitTest::GetInstance()->random_seed()) +
                                          "-" + ::testing::UnitTest::GetInstance()->current_test_info()->name());
    fs::remove_all(root_);
  }
  void TearDown() override { fs::remove_all(root_); }
  void Write(const std::string& name, const std::string& text) const {
    fs::create_directories((root_ / name).parent_path());
    std::ofstream(root_ / name, std::ios::binary) << text;
  }
  static std::string Times(size_t n, std::string_view line) {
    std::string text;
    for (size_t i = 0; i < n; ++i) text += line;
    return text;
  }
  const fs::path& root() const { return root_; }

 private:
  fs::path root_;
};

TEST(Texts, TheWholeProjectIsRead) {
  const std::vector<fs::path> files = ProjectFiles(Root());
  for (const char* name : {"test.sh", ".ci/run", "src/base/status.h", "tests/tools/texts_test.cc"}) {
    EXPECT_TRUE(std::find(files.begin(), files.end(), Root() / name) != files.end()) << name;
  }
}

TEST(Texts, EveryFolderOfSrcHasAShortReadme) { EXPECT_THAT(CheckReadmes(Root()), IsEmpty()); }

TEST(Texts, NoSourceFileIsLongerThan700Lines) { EXPECT_THAT(CheckLengths(Root()), IsEmpty()); }

TEST(Texts, NoTextNamesAFolderOfOneMachine) { EXPECT_THAT(CheckPaths(Root()), IsEmpty()); }

TEST_F(BrokenTree, AMissingAndALongReadmeAreSeen) {
  Write("src/good/a.cc", "int a;\n");
  Write("src/good/README.md", Times(40, "x\n"));
  Write("src/long/a.h", "");
  Write("src/long/README.md", Times(41, "x\n"));
  Write("src/none/deeper/a.h", "");
  Write("src/empty/notes.txt", "no source, no README\n");
  EXPECT_THAT(CheckReadmes(root()),
              ElementsAre("src/long/README.md: 41 lines, at most 40", "src/none/README.md: missing or empty"));
}

TEST_F(BrokenTree, ALongFileIsSeen) {
  Write("src/a.cc", Times(700, "\n"));
  Write("tests/b.cc", Times(701, "\n"));
  Write("notes.md", Times(2000, "\n"));
  Write("build/generated.cc", Times(2000, "\n"));
  EXPECT_THAT(CheckLengths(root()), ElementsAre("tests/b.cc: 701 lines, at most 700"));
}

TEST_F(BrokenTree, APathOfOneMachineIsSeen) {
  const std::string home = std::string("/home") + "/";
  Write("README.md", "fine\ncd " + home + "someone/berth\n");
  Write("run.sh", home + "x\n");
  Write("fine.md", "see docs" + home + "page and ${prefix}" + home + "page\n");
  Write("weights.bin", std::string("\0\1", 2) + home + "x\n");
  Write("out/log", home + "x\n");
  EXPECT_THAT(CheckPaths(root()), ElementsAre("README.md:2: " + home, "run.sh:1: " + home));
}

}  // namespace
}  // namespace berth

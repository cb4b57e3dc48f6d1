#include "layering/house_rules.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <fstream>
#include <iterator>
#include <optional>
#include <set>
#include <sstream>
#include <utility>

namespace berth::layering {
namespace {

namespace fs = std::filesystem;

// The folders of layer 5 and above, which alone may see generated protobuf code.
constexpr std::array<std::string_view, 4> kMaySeeProto = {"agent", "server", "adapters", "cli"};
constexpr std::array<std::string_view, 3> kTorch = {"torch", "ATen", "c10"};
constexpr std::string_view kTorchMain = "src/cli/train_main/";
constexpr std::array<std::string_view, 9> kSourceEndings = {".h",   ".cc",  ".in",  ".inc", ".hpp",
                                                            ".cpp", ".cxx", ".ipp", ".c"};
constexpr std::array<std::string_view, 6> kTestEndings = {
    "_test.cc", "_property_test.cc", "_differential_test.cc", "_golden_test.cc", "_fault_test.cc", "_fuzz.cc"};

// C headers of POSIX, glibc and the C standard that stand in no folder. Others, such as csv.h, are third party.
constexpr std::array<std::string_view, 46> kSystemHeaders = {
    "assert.h",  "complex.h",  "ctype.h",     "dirent.h", "dlfcn.h",  "elf.h",      "endian.h",    "errno.h",
    "fcntl.h",   "features.h", "fenv.h",      "float.h",  "getopt.h", "grp.h",      "immintrin.h", "inttypes.h",
    "limits.h",  "link.h",     "locale.h",    "malloc.h", "math.h",   "netdb.h",    "poll.h",      "pthread.h",
    "pwd.h",     "sched.h",    "semaphore.h", "setjmp.h", "signal.h", "spawn.h",    "stdarg.h",    "stdatomic.h",
    "stdbool.h", "stddef.h",   "stdint.h",    "stdio.h",  "stdlib.h", "string.h",   "strings.h",   "syslog.h",
    "termios.h", "time.h",     "ucontext.h",  "unistd.h", "wchar.h",  "x86intrin.h"};
constexpr std::array<std::string_view, 6> kSystemFolders = {"sys", "linux", "netinet", "arpa", "net", "asm"};

template <typename Container>
bool Contains(const Container& container, std::string_view value) {
  return std::find(std::begin(container), std::end(container), value) != std::end(container);
}

template <typename Container>
bool EndsWithAny(std::string_view name, const Container& endings) {
  return std::any_of(std::begin(endings), std::end(endings),
                     [&](std::string_view ending) { return name.ends_with(ending); });
}

std::string Variable(std::string_view folder) {
  std::string name(folder);
  std::replace(name.begin(), name.end(), '/', '_');
  return name;
}

std::string ReadFile(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

// Regular files below a folder, in a fixed order.
std::vector<fs::path> FilesBelow(const fs::path& folder) {
  std::vector<fs::path> files;
  if (fs::is_directory(folder)) {
    for (const auto& entry : fs::recursive_directory_iterator(folder)) {
      if (entry.is_regular_file()) files.push_back(entry.path());
    }
  }
  std::sort(files.begin(), files.end());
  return files;
}

// The longest folder of the table that holds the path (relative to src/); "" when there is none.
std::string FolderOf(const LayerTable& table, std::string_view path) {
  std::string best;
  for (const std::string& folder : table.folders) {
    if (path.size() > folder.size() && path.starts_with(folder) && path[folder.size()] == '/' &&
        folder.size() > best.size()) {
      best = folder;
    }
  }
  return best;
}

const std::vector<std::string>& ListOf(const std::map<std::string, std::vector<std::string>>& lists,
                                       std::string_view folder) {
  static const std::vector<std::string> kEmpty;
  const auto found = lists.find(Variable(folder));
  return found == lists.end() ? kEmpty : found->second;
}

// What stands after #include in a line: nullopt when the line is none, "" when it names no header.
std::optional<std::string> IncludedHeader(std::string_view line) {
  const auto skip_blanks = [&line] {
    while (!line.empty() && (line.front() == ' ' || line.front() == '\t')) line.remove_prefix(1);
  };
  skip_blanks();
  if (!line.starts_with('#')) return std::nullopt;
  line.remove_prefix(1);
  skip_blanks();
  constexpr std::string_view kInclude = "include";
  if (!line.starts_with(kInclude)) return std::nullopt;
  line.remove_prefix(kInclude.size());
  if (line.starts_with("_next")) line.remove_prefix(5);
  skip_blanks();
  if (line.empty() || (line.front() != '<' && line.front() != '"')) return "";
  const size_t end = line.find(line.front() == '<' ? '>' : '"', 1);
  return end == std::string_view::npos ? "" : std::string(line.substr(1, end - 1));
}

// Why the folder may not include the header; "" when it may.
std::string Refusal(const LayerTable& table, std::string_view folder, std::string_view file, std::string_view header) {
  const size_t slash = header.find('/');
  const std::string_view first = header.substr(0, slash);
  if (header.empty()) return "an #include whose header cannot be read; accepted: a header in <> or quotes";
  if (header.ends_with(".pb.h") && !Contains(kMaySeeProto, folder)) {
    return "generated protobuf code below layer 5; accepted in server and above";
  }
  if (Contains(kTorch, first) && folder != "agent" && !file.starts_with(kTorchMain)) {
    return "LibTorch outside agent; accepted in agent and in the main program of berth-train";
  }
  const std::string target = FolderOf(table, header);
  if (!target.empty()) {
    const auto& allowed = ListOf(table.own, folder);
    if (target == folder || Contains(allowed, target)) return "";
    return std::string(folder) + " may not include " + target + "; the layer table has no such edge";
  }
  if (slash == std::string_view::npos) {
    const bool is_cpp_standard = header.find('.') == std::string_view::npos;
    if (is_cpp_standard || Contains(kSystemHeaders, header)) return "";
  } else if (Contains(kSystemFolders, first)) {
    return "";
  }
  const auto& third_party = ListOf(table.third_party, folder);
  if (Contains(third_party, first) || Contains(third_party, header)) return "";
  return std::string(folder) + " may not include " + std::string(header) +
         "; it is no folder of the layer table, no system header, and not among the folder's third-party headers";
}

}  // namespace

std::vector<std::string> CMakeWords(std::string_view text) {
  std::vector<std::string> words;
  std::string word;
  bool in_quotes = false;
  bool has_word = false;  // an empty quoted word is a word
  const auto finish = [&] {
    if (has_word) words.push_back(word);
    word.clear();
    has_word = false;
  };
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_quotes) {
      in_quotes = c != '"';
      if (c == ';') {
        finish();
        has_word = true;
      } else if (in_quotes) {
        word += c;
      }
    } else if (c == '"') {
      in_quotes = has_word = true;
    } else if (c == '#') {
      finish();
      if (text.substr(i).starts_with("#[[")) {
        const size_t end = text.find("]]", i);
        i = end == std::string_view::npos ? text.size() : end + 1;
      } else {
        i = std::min(text.find('\n', i), text.size() - 1);
      }
    } else if (c == '(' || c == ')') {
      finish();
      words.emplace_back(1, c);
    } else if (c == ';' || std::isspace(static_cast<unsigned char>(c)) != 0) {
      finish();
    } else {
      word += c;
      has_word = true;
    }
  }
  finish();
  return words;
}

LayerTable ParseLayers(std::string_view text, Findings& findings) {
  LayerTable table;
  std::set<std::string> seen;
  const std::vector<std::string> words = CMakeWords(text);
  for (size_t i = 0; i < words.size();) {
    if (words[i] != "set" || i + 2 >= words.size() || words[i + 1] != "(") {
      findings.push_back("cmake/Layers.cmake: \"" + words[i] +
                         "\" is no set(); accepted: set() of BERTH_ variables alone");
      return table;
    }
    const std::string name = words[i + 2];
    std::vector<std::string> values;
    for (i += 3; i < words.size() && words[i] != ")"; ++i) {
      if (!words[i].empty()) values.push_back(words[i]);
    }
    ++i;
    constexpr std::string_view kOwn = "BERTH_LAYER_";
    constexpr std::string_view kThirdParty = "BERTH_THIRD_PARTY_";
    if (!seen.insert(name).second) findings.push_back("cmake/Layers.cmake: " + name + " is set twice");
    if (name == "BERTH_FOLDERS") {
      table.folders = std::move(values);
    } else if (name.starts_with(kOwn)) {
      table.own[name.substr(kOwn.size())] = std::move(values);
    } else if (name.starts_with(kThirdParty)) {
      table.third_party[name.substr(kThirdParty.size())] = std::move(values);
    } else {
      findings.push_back("cmake/Layers.cmake: " + name + " is no variable of the layer table");
    }
  }
  return table;
}

Findings CheckTable(const LayerTable& table) {
  Findings findings;
  const auto report = [&findings](const std::string& what) { findings.push_back("cmake/Layers.cmake: " + what); };
  if (table.folders.empty()) report("BERTH_FOLDERS is empty");
  std::map<std::string, size_t> position;
  for (size_t i = 0; i < table.folders.size(); ++i) {
    if (!position.emplace(table.folders[i], i).second) report(table.folders[i] + " stands twice in BERTH_FOLDERS");
  }
  std::set<std::string> variables;
  for (const std::string& folder : table.folders) {
    variables.insert(Variable(folder));
    if (!table.own.contains(Variable(folder))) report("BERTH_LAYER_" + Variable(folder) + " is missing");
    if (!table.third_party.contains(Variable(folder))) report("BERTH_THIRD_PARTY_" + Variable(folder) + " is missing");
    for (const std::string& lower : ListOf(table.own, folder)) {
      const auto found = position.find(lower);
      if (found == position.end()) {
        report(folder + " may include " + lower + ", which is no folder of BERTH_FOLDERS");
      } else if (found->second >= position[folder]) {
        report(folder + " may include " + lower + ", which does not stand before it in BERTH_FOLDERS");
      }
    }
  }
  for (const auto* lists : {&table.own, &table.third_party}) {
    for (const auto& [name, values] : *lists) {
      if (!variables.contains(name)) report("a list for " + name + ", which is no folder of BERTH_FOLDERS");
    }
  }
  // Kahn: take away folders that include no folder that is left; what cannot be taken away is on a cycle or above one.
  std::set<std::string> left(table.folders.begin(), table.folders.end());
  for (bool changed = true; changed;) {
    changed = false;
    for (auto it = left.begin(); it != left.end();) {
      const auto& lower = ListOf(table.own, *it);
      const bool is_free =
          std::none_of(lower.begin(), lower.end(), [&](const std::string& name) { return left.contains(name); });
      it = is_free ? left.erase(it) : std::next(it);
      changed = changed || is_free;
    }
  }
  if (!left.empty()) {
    std::string names;
    for (const std::string& name : left) names += " " + name;
    report("a cycle among (or below):" + names);
  }
  return findings;
}

IncludeReport CheckIncludes(const LayerTable& table, const fs::path& root) {
  IncludeReport report;
  for (const fs::path& path : FilesBelow(root / "src")) {
    if (!EndsWithAny(path.filename().string(), kSourceEndings)) continue;
    const std::string file = path.lexically_relative(root).generic_string();
    const std::string folder = FolderOf(table, path.lexically_relative(root / "src").generic_string());
    if (folder.empty()) {
      report.findings.push_back(file + ": stands in no folder of BERTH_FOLDERS");
      continue;
    }
    std::istringstream lines(ReadFile(path));
    int number = 0;
    for (std::string line; std::getline(lines, line);) {
      ++number;
      const auto header = IncludedHeader(line);
      if (!header) continue;
      ++report.includes;
      const std::string refusal = Refusal(table, folder, file, *header);
      if (!refusal.empty()) report.findings.push_back(file + ":" + std::to_string(number) + ": " + refusal);
    }
  }
  return report;
}

TestReport CheckTestsAreBuilt(const LayerTable& table, const fs::path& root) {
  // Every word of a reached CMakeLists.txt, as a path from the root; CMakeLists.txt files to visit grow on the way.
  std::set<fs::path> named;
  std::set<fs::path> visited;
  std::vector<fs::path> to_visit = {fs::path()};  // folders, relative to root
  for (const std::string& folder : table.folders) to_visit.push_back(fs::path("tests") / folder);
  while (!to_visit.empty()) {
    const fs::path folder = to_visit.back();
    to_visit.pop_back();
    const fs::path list = root / folder / "CMakeLists.txt";
    if (!fs::is_regular_file(list) || !visited.insert(folder).second) continue;
    const auto words = CMakeWords(ReadFile(list));
    for (size_t i = 0; i < words.size(); ++i) {
      fs::path from_root = folder / words[i];
      for (const std::string_view variable : {"${CMAKE_CURRENT_SOURCE_DIR}/", "${CMAKE_CURRENT_LIST_DIR}/"}) {
        if (words[i].starts_with(variable)) from_root = folder / words[i].substr(variable.size());
      }
      for (const std::string_view variable : {"${CMAKE_SOURCE_DIR}/", "${PROJECT_SOURCE_DIR}/"}) {
        if (words[i].starts_with(variable)) from_root = words[i].substr(variable.size());
      }
      from_root = from_root.lexically_normal();
      named.insert(from_root);
      if (i >= 2 && words[i - 1] == "(" && words[i - 2] == "add_subdirectory" && *from_root.begin() == "tests") {
        to_visit.push_back(from_root);
      }
    }
  }
  TestReport report;
  for (const fs::path& path : FilesBelow(root / "tests")) {
    if (!EndsWithAny(path.filename().string(), kTestEndings)) continue;
    ++report.test_files;
    const fs::path from_root = path.lexically_relative(root);
    if (!named.contains(from_root)) {
      report.findings.push_back(from_root.generic_string() + ": no CMakeLists.txt that is reached names this test");
    }
  }
  return report;
}

}  // namespace berth::layering

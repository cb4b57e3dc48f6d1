// The rules of the house that no compiler checks: which folder may include what, and that every test is built.
// A checker reads files and returns what is wrong, one line a finding: "<file>:<line>: <what>"; empty when all is well.
// Pure functions of the tree and the table; thread-safe; cost: one pass over the text files under src/ or tests/.
#ifndef BERTH_TESTS_LAYERING_HOUSE_RULES_H_
#define BERTH_TESTS_LAYERING_HOUSE_RULES_H_

#include <cstddef>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace berth::layering {

using Findings = std::vector<std::string>;

// cmake/Layers.cmake, read. Keys of the maps are the folder names in the variables' form: env/node_mdp is env_node_mdp.
struct LayerTable {
  std::vector<std::string> folders;                             // BERTH_FOLDERS, lowest first
  std::map<std::string, std::vector<std::string>> own;          // BERTH_LAYER_<folder>
  std::map<std::string, std::vector<std::string>> third_party;  // BERTH_THIRD_PARTY_<folder>
};

// The words of a CMake file: comments dropped, quotes taken off, "(" and ")" words of their own, ";" a separator.
std::vector<std::string> CMakeWords(std::string_view text);

// Reads the table. What is no set() of one of the three kinds of variable, or is set twice, goes to findings.
LayerTable ParseLayers(std::string_view text, Findings& findings);

// The table itself: every folder has both lists, every name is a folder, edges go to a folder listed before, no cycle.
Findings CheckTable(const LayerTable& table);

struct IncludeReport {
  Findings findings;
  size_t includes = 0;  // how many were read, so that a caller can tell a clean tree from an unread one
};

// Every #include under <root>/src. A file belongs to the longest folder of the table that holds it. Our own header must
// be in the same folder or one of BERTH_LAYER_<folder>; another must be C++'s, the system's C, or begin with (or be) a
// word of BERTH_THIRD_PARTY_<folder>. Whatever the table says, .pb.h stays out of the folders below layer 5, and
// LibTorch out of all but agent and the main program of berth-train.
// Not seen: an #include in the lines of a block comment is taken for one; macros are not expanded (an #include of a
// macro is a finding).
IncludeReport CheckIncludes(const LayerTable& table, const std::filesystem::path& root);

struct TestReport {
  Findings findings;
  size_t test_files = 0;
};

// Every test source under <root>/tests (by the suffix of its name) must be named by a CMakeLists.txt under tests/ that
// is itself reached: tests/<folder of the table>, or by add_subdirectory from one that is reached or from the top.
TestReport CheckTestsAreBuilt(const LayerTable& table, const std::filesystem::path& root);

}  // namespace berth::layering

#endif  // BERTH_TESTS_LAYERING_HOUSE_RULES_H_

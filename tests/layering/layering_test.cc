#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <utility>
#include <vector>

#include "layering/house_rules.h"

namespace berth::layering {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// --- The tree itself ---

fs::path SourceRoot() {
  const char* root = std::getenv("BERTH_SOURCE_DIR");
  return root != nullptr ? root : BERTH_DEFAULT_SOURCE_DIR;
}

LayerTable OwnTable(Findings& findings) {
  std::ifstream in(SourceRoot() / "cmake" / "Layers.cmake");
  const std::string text((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
  return ParseLayers(text, findings);
}

TEST(Layering, TheTableIsWholeAndHasNoCycle) {
  Findings findings;
  const LayerTable table = OwnTable(findings);
  EXPECT_THAT(findings, IsEmpty());
  EXPECT_THAT(CheckTable(table), IsEmpty());
}

TEST(Layering, EveryIncludeIsInTheTable) {
  Findings findings;
  const IncludeReport report = CheckIncludes(OwnTable(findings), SourceRoot());
  EXPECT_THAT(report.findings, IsEmpty());
  EXPECT_GT(report.includes, 100U) << "the tree was not read";
}

TEST(Layering, EveryTestSourceIsBuilt) {
  Findings findings;
  const TestReport report = CheckTestsAreBuilt(OwnTable(findings), SourceRoot());
  EXPECT_THAT(report.findings, IsEmpty());
  EXPECT_GT(report.test_files, 10U) << "the tree was not read";
}

// --- Positive controls: each checker must see what it is there for, and nothing else ---

// A small house in a temporary folder, clean until a test plants something in it.
class SmallHouse : public ::testing::Test {
 protected:
  SmallHouse() {
    std::string name = (fs::temp_directory_path() / "berth-layering-XXXXXX").string();
    if (mkdtemp(name.data()) != nullptr) root_ = name;
    Findings findings;
    table_ = ParseLayers(
        "# the layers\n"
        "set(BERTH_FOLDERS base\n  policy env env/node_mdp # lowest first\n  agent server cli)\n"
        "set(BERTH_LAYER_base \"\")\n"
        "set(BERTH_LAYER_policy base)\n"
        "set(BERTH_LAYER_env base policy)\n"
        "set(BERTH_LAYER_env_node_mdp base policy env)\n"
        "set(BERTH_LAYER_agent base policy env)\n"
        "set(BERTH_LAYER_server base policy)\n"
        "set(BERTH_LAYER_cli base policy env env/node_mdp agent server)\n"
        "set(BERTH_THIRD_PARTY_base absl csv.h)\n"
        "set(BERTH_THIRD_PARTY_policy absl torch berth)\n"
        "set(BERTH_THIRD_PARTY_env \"absl;Eigen\")\n"
        "set(BERTH_THIRD_PARTY_env_node_mdp Eigen)\n"
        "set(BERTH_THIRD_PARTY_agent torch)\n"
        "set(BERTH_THIRD_PARTY_server absl berth)\n"
        "set(BERTH_THIRD_PARTY_cli absl torch berth)\n",
        findings);
    EXPECT_THAT(findings, IsEmpty());
    Write("src/base/a.h",
          "#include <sys/stat.h>\n#include <unistd.h>\n#include <vector>\n\n#include \"absl/status/status.h\"\n");
    Write("src/base/a.cc",
          "#include \"base/a.h\"\n#include <csv.h>\n// #include \"env/env.h\"\nconst char* text = \"#include x\";\n");
    Write("src/policy/rules/r.cc", "#include \"policy/rules/r.h\"\n  #  include \"base/a.h\"\n");
    Write("src/env/env.h", "#include <Eigen/Core>\n#include \"policy/rules/r.h\"\n");
    Write("src/env/node_mdp/n.cc", "#include \"env/env.h\"\n#include \"env/node_mdp/n.h\"\n");
    Write("src/agent/learner.cc", "#include <torch/torch.h>\n");
    Write("src/cli/train_main/main.cc", "#include <torch/version.h>\n");
    Write("src/server/wire.cc", "#include \"berth/v1/placement.pb.h\"\n");
    Write("src/README.md", "#include \"nothing/here.h\"\n");
    Write("CMakeLists.txt", "foreach(folder IN LISTS BERTH_FOLDERS)\nendforeach()\nadd_subdirectory(tests/layering)\n");
    Write("tests/base/CMakeLists.txt", "berth_tests(base SOURCES a_test.cc)\n");
    Write("tests/base/a_test.cc", "");
    Write("tests/layering/CMakeLists.txt",
          "berth_tests(layering SOURCES\n  ${CMAKE_CURRENT_SOURCE_DIR}/l_golden_test.cc)\n");
    Write("tests/layering/l_golden_test.cc", "");
    Write("tests/base/helper.cc", "");
  }
  ~SmallHouse() override {
    std::error_code ignored;
    if (!root_.empty()) fs::remove_all(root_, ignored);
  }

  void Write(const std::string& file, const std::string& content) {
    ASSERT_FALSE(root_.empty()) << "no temporary folder";
    fs::create_directories((root_ / file).parent_path());
    std::ofstream(root_ / file) << content;
  }
  Findings Includes() const { return CheckIncludes(table_, root_).findings; }
  Findings Tests() const { return CheckTestsAreBuilt(table_, root_).findings; }

  fs::path root_;
  LayerTable table_;
};

TEST_F(SmallHouse, IsCleanAndWhollyRead) {
  EXPECT_THAT(CheckTable(table_), IsEmpty());
  const IncludeReport includes = CheckIncludes(table_, root_);
  EXPECT_THAT(includes.findings, IsEmpty());
  EXPECT_EQ(includes.includes, 15U);
  const TestReport tests = CheckTestsAreBuilt(table_, root_);
  EXPECT_THAT(tests.findings, IsEmpty());
  EXPECT_EQ(tests.test_files, 2U);
}

TEST_F(SmallHouse, AnEdgeUpwardsIsSeenWithFileAndLine) {
  Write("src/base/bad.h", "#include <vector>\n#include \"policy/rules/r.h\"\n");
  EXPECT_THAT(Includes(),
              ElementsAre(AllOf(HasSubstr("src/base/bad.h:2: "), HasSubstr("base may not include policy"))));
}

TEST_F(SmallHouse, ANestedFolderIsItsOwnAndNotItsParents) {
  Write("src/env/bad.cc", "#include \"env/node_mdp/n.h\"\n");
  Write("src/env/node_mdp/bad.cc", "#include \"absl/status/status.h\"\n");  // allowed in env alone
  EXPECT_THAT(Includes(),
              ElementsAre(HasSubstr("env may not include env/node_mdp"), HasSubstr("src/env/node_mdp/bad.cc:1: ")));
}

TEST_F(SmallHouse, ASidewaysEdgeIsSeenInEveryFormOfInclude) {
  for (const char* line : {"#include \"agent/x.h\"", "#include <agent/x.h>", " \t# include\t\"agent/x.h\"",
                           "#include\"agent/x.h\"", "#include_next <agent/x.h>", "#include \"agent/x.h\"\r"}) {
    Write("src/server/bad.cc", std::string(line) + "\n");
    EXPECT_THAT(Includes(), ElementsAre(HasSubstr("server may not include agent"))) << line;
  }
}

TEST_F(SmallHouse, AThirdPartyHeaderThatTheFolderMayNotHaveIsSeen) {
  for (const char* header : {"Eigen/Core", "csv.hpp", "leveldb/db.h", "boost/any.hpp", "zlib.h", "a.h", "evn/env.h"}) {
    Write("src/base/bad.cc", "#include <" + std::string(header) + ">\n");
    EXPECT_THAT(Includes(), ElementsAre(HasSubstr(std::string("base may not include ") + header))) << header;
  }
  Write("src/base/bad.cc", "#include HEADER\n#include \"open\n");
  EXPECT_THAT(Includes(),
              ElementsAre(HasSubstr("bad.cc:1: an #include whose header cannot be read"), HasSubstr("bad.cc:2: ")));
}

TEST_F(SmallHouse, ProtobufBelowLayerFiveIsSeenThoughTheTableAllowsIt) {
  Write("src/policy/bad.h", "#include \"berth/v1/placement.pb.h\"\n");
  EXPECT_THAT(Includes(), ElementsAre(HasSubstr("src/policy/bad.h:1: generated protobuf code below layer 5")));
}

TEST_F(SmallHouse, TorchOutsideAgentAndItsProgramIsSeenThoughTheTableAllowsIt) {
  Write("src/policy/bad.cc", "#include <torch/torch.h>\n");
  Write("src/cli/bad.cc", "#include <torch/torch.h>\n");
  EXPECT_THAT(Includes(),
              ElementsAre(HasSubstr("src/cli/bad.cc:1: LibTorch"), HasSubstr("src/policy/bad.cc:1: LibTorch")));
}

TEST_F(SmallHouse, AFolderOutsideTheTableIsSeen) {
  Write("src/misc/x.h", "");
  Write("src/x.cc", "");
  Write("src/baseless/x.cc", "");  // begins like base
  EXPECT_THAT(Includes(),
              ElementsAre(HasSubstr("src/baseless/x.cc"), HasSubstr("src/misc/x.h"), HasSubstr("src/x.cc")));
}

TEST_F(SmallHouse, ACycleInTheTableIsSeen) {
  table_.own["policy"].push_back("env");
  const Findings findings = CheckTable(table_);
  EXPECT_THAT(findings, Contains(AllOf(HasSubstr("a cycle among"), HasSubstr("policy"), HasSubstr("env"))));
  EXPECT_THAT(findings, Contains(HasSubstr("policy may include env, which does not stand before it")));
  table_.own["policy"] = {"policy"};
  EXPECT_THAT(CheckTable(table_), Contains(HasSubstr("a cycle among")));
}

TEST_F(SmallHouse, AHoleOrAStrangerInTheTableIsSeen) {
  table_.own.erase("env");
  table_.third_party.erase("env");
  table_.own["polcy"] = {};
  table_.own["agent"].push_back("evn");
  table_.folders.push_back("base");
  const Findings findings = CheckTable(table_);
  for (const char* part : {"BERTH_LAYER_env is missing", "BERTH_THIRD_PARTY_env is missing", "a list for polcy",
                           "agent may include evn, which is no folder", "base stands twice"}) {
    EXPECT_THAT(findings, Contains(HasSubstr(part)));
  }
  EXPECT_THAT(CheckTable(LayerTable()), Contains(HasSubstr("BERTH_FOLDERS is empty")));
}

TEST(LayersFile, WhatIsNoTableIsSeen) {
  for (const auto& [text, want] : std::vector<std::pair<std::string, std::string>>{
           {"set(BERTH_LAYER_x a)\nset(BERTH_LAYER_x b)", "BERTH_LAYER_x is set twice"},
           {"set(BERTH_LAYERS_x a)", "BERTH_LAYERS_x is no variable of the layer table"},
           {"list(APPEND BERTH_LAYER_x a)", "\"list\" is no set()"},
           {"set(", "\"set\" is no set()"}}) {
    Findings findings;
    ParseLayers(text, findings);
    EXPECT_THAT(findings, ElementsAre(HasSubstr(want))) << text;
  }
}

TEST(LayersFile, WordsComeWithoutCommentsAndQuotes) {
  EXPECT_THAT(CMakeWords("set(a \"b c\" d;e \"\")# f\n#[[ g\n h ]] \"i;j\" k"),
              ElementsAre("set", "(", "a", "b c", "d", "e", "", ")", "i", "j", "k"));
}

TEST_F(SmallHouse, AnOrphanTestOfEveryKindIsSeen) {
  for (const char* kind :
       {"_test.cc", "_property_test.cc", "_differential_test.cc", "_golden_test.cc", "_fault_test.cc", "_fuzz.cc"}) {
    const std::string file = std::string("tests/base/orphan") + kind;
    Write(file, "");
    EXPECT_THAT(Tests(), ElementsAre(HasSubstr(file))) << kind;
    fs::remove(root_ / file);
  }
}

TEST_F(SmallHouse, ATestThatOnlyACommentOrAnotherFolderNamesIsAnOrphan) {
  Write("tests/base/CMakeLists.txt", "berth_tests(base SOURCES a_test.cc # b_test.cc\n)\n");
  Write("tests/base/b_test.cc", "");
  Write("tests/env/CMakeLists.txt", "berth_tests(env SOURCES b_test.cc)\n");
  Write("tests/env/b_test.cc", "");
  EXPECT_THAT(Tests(), ElementsAre(HasSubstr("tests/base/b_test.cc")));
}

TEST_F(SmallHouse, ATestInAFolderThatNobodyAddsIsAnOrphanUntilItIsAdded) {
  Write("tests/fault/CMakeLists.txt", "berth_tests(fault SOURCES f_fault_test.cc)\n");
  Write("tests/fault/f_fault_test.cc", "");
  EXPECT_THAT(Tests(), ElementsAre(HasSubstr("tests/fault/f_fault_test.cc")));
  Write("tests/layering/CMakeLists.txt",
        "berth_tests(layering SOURCES l_golden_test.cc)\nadd_subdirectory(../fault)\n");
  EXPECT_THAT(Tests(), IsEmpty());
}

}  // namespace
}  // namespace berth::layering

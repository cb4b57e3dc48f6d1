// Files that are cut off or bent: always an error or a whole model, never a crash (run under asan by test.sh).
#include <cmath>

#include "mdp/files/archive_test_base.h"
#include "mdp/files/support.h"
#include "mdp/files/tar.h"

namespace berth::mdp {
namespace {

using testing::AnyOf;
using testing::HasSubstr;

ModelFile SmallModel(RowKind kind = RowKind::kProbability) {
  auto mdp = BuildRows(
      3, {{0, 0, 1.5, {{1, 0.5}, {2, 0.5}}}, {0, 3, 2, {{0, 1}}}, {1, 0, 3, {{2, 1}}}, {2, 1, 0, {{2, 1}}}}, kind);
  return ModelFile{.mdp = *std::move(mdp), .is_absorbing = {false, false, true}, .initial = 1, .name = "small"};
}

std::string SmallArchive(const TempFolder& folder, RowKind kind = RowKind::kProbability) {
  const std::string path = folder.File("small.umb");
  EXPECT_TRUE(WriteModelFile(path, SmallModel(kind)).ok());
  return ReadBytes(path);
}

bool IsSmallModel(const ModelFile& model) {
  const ModelFile small = SmallModel();
  return RowsOf(model.mdp) == RowsOf(small.mdp) && model.is_absorbing == small.is_absorbing &&
         model.initial == small.initial;
}

// What holds of every model that is handed out, however it came about.
void ExpectSound(const SparseMdp& mdp) {
  for (const PlainRow& row : RowsOf(mdp)) {
    EXPECT_TRUE(std::isfinite(row.reward));
    double sum = 0;
    for (const Transition& t : row.to) {
      EXPECT_TRUE(t.next >= 0 && t.next < mdp.num_states() && t.weight > 0);
      sum += t.weight;
    }
    if (mdp.kind() == RowKind::kProbability) {
      EXPECT_NEAR(sum, 1, 1e-12);
    }
  }
}

// Changed in place: to write a small file anew costs some file systems a flush.
void FlipInPlace(const std::string& path, size_t i, int flip) {
  std::fstream file(path, std::ios::binary | std::ios::in | std::ios::out);
  file.seekg(static_cast<std::streamoff>(i));
  const int byte = file.get();
  file.seekp(static_cast<std::streamoff>(i));
  file.put(static_cast<char>(byte ^ flip));
  ASSERT_TRUE(file.flush().good());
}

TEST(BrokenUmb, CutOffAnywhereItIsAnErrorOrTheWholeModel) {
  const TempFolder folder;
  const std::string whole = SmallArchive(folder);
  const std::string path = folder.Write("cut.umb", whole);
  int errors = 0;
  int models = 0;
  for (size_t size = whole.size(); size > 0; size -= size % 512 == 0 ? 1 : 511) {  // at every block, and a byte before
    std::filesystem::resize_file(path, size);
    const auto read = ReadModelFile(path);
    if (read.ok()) {
      EXPECT_TRUE(IsSmallModel(*read)) << size;
      ++models;
    } else {
      EXPECT_EQ(read.status().code(), absl::StatusCode::kInvalidArgument) << read.status();
      ++errors;
    }
  }
  EXPECT_GT(errors, 20);
  EXPECT_GT(models, 0);  // only padding was cut off
}

TEST(BrokenUmb, CutOffCompressedItIsAnErrorOrTheWholeModel) {
  const TempFolder folder;
  for (const std::string name : {"storm-mdp.umb", "storm-mdp-xz.umb"}) {
    const std::string whole = ReadBytes(DataFile(name));
    ASSERT_FALSE(whole.empty());
    const std::string path = folder.Write(name, whole);
    const auto wanted = ReadModelFile(path, {.reward = "cost"});
    ASSERT_TRUE(wanted.ok());
    int errors = 0;
    for (size_t size = whole.size(); size-- > 0;) {
      std::filesystem::resize_file(path, size);
      const auto read = ReadModelFile(path, {.reward = "cost"});
      if (read.ok()) {
        EXPECT_EQ(RowsOf(read->mdp), RowsOf(wanted->mdp));
      } else {
        ++errors;
      }
    }
    EXPECT_GT(errors, 1000);
  }
}

TEST(BrokenUmb, WithAnyByteFlippedItIsAnErrorOrASoundModel) {
  const TempFolder folder;
  int errors = 0;
  const auto flip_every_byte = [&](const std::string& path, std::initializer_list<int> flips) {
    const std::string whole = ReadBytes(path);
    ASSERT_FALSE(whole.empty());
    for (size_t i = 0; i < whole.size(); ++i) {
      // The padding after a header or an entry says nothing: some of it is enough.
      if (whole.compare(i < 64 ? 0 : i - 64, 128, std::string(128, '\0')) == 0 && i % 61 != 0) continue;
      for (const int flip : flips) {
        FlipInPlace(path, i, flip);
        const auto read = ReadModelFile(path, {.reward = path.find("storm") != std::string::npos ? "cost" : ""});
        if (read.ok()) {
          ExpectSound(read->mdp);
        } else {
          EXPECT_FALSE(read.status().message().empty());
          ++errors;
        }
        FlipInPlace(path, i, flip);
      }
    }
  };
  for (const RowKind kind : {RowKind::kProbability, RowKind::kRate}) {
    SmallArchive(folder, kind);
    flip_every_byte(folder.File("small.umb"), {0x01, 0x80, 0xff});
  }
  EXPECT_GT(errors, 1000);
  for (const std::string name : {"storm-mdp.umb", "storm-mdp-xz.umb"}) {
    flip_every_byte(folder.Write(name, ReadBytes(DataFile(name))), {0x10});
  }
}

TEST(BrokenText, WithAnyByteChangedItIsAnErrorOrASoundModel) {
  const TempFolder folder;
  int errors = 0;
  for (const std::string written : {"small.csv", "small.tra", "small.json"}) {
    ASSERT_TRUE(WriteModelFile(folder.File(written), SmallModel()).ok());
    for (const std::string& name : folder.Names()) {
      const std::string whole = ReadBytes(folder.File(name));
      for (size_t i = 0; i < whole.size(); ++i) {
        for (const char other : {'\0', '\n', ' ', '"', ',', '-', '/', '9', 'e', '\xff'}) {
          FlipInPlace(folder.File(name), i, static_cast<uint8_t>(other) ^ static_cast<uint8_t>(whole[i]));
          const auto read = ReadModelFile(folder.File(written));
          if (read.ok()) {
            ExpectSound(read->mdp);
          } else {
            ++errors;
          }
          FlipInPlace(folder.File(name), i, static_cast<uint8_t>(other) ^ static_cast<uint8_t>(whole[i]));
        }
      }
    }
    for (const std::string& name : folder.Names()) std::filesystem::remove(folder.File(name));
  }
  EXPECT_GT(errors, 1000);
}

// Changes one entry of the small archive, and says what reading it says.
class UmbEntryTest : public ArchiveTest {
 protected:
  UmbEntryTest() {
    SmallArchive(folder_);
    TakeEntries(folder_.File("small.umb"));
  }

  absl::StatusOr<ModelFile> Read() const { return ReadModelFile(Written()); }
  std::string Error() const { return ErrorOf(Read()); }
  // In index.json.
  void Replace(const std::string& from, const std::string& to) {
    std::string& index = entries_["index.json"];
    const size_t at = index.find(from);
    ASSERT_NE(at, std::string::npos) << from << " in " << index;
    index.replace(at, from.size(), to);
  }
};

TEST_F(UmbEntryTest, UnchangedIsTheModel) {
  const auto read = Read();
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_TRUE(IsSmallModel(*read));
}

TEST_F(UmbEntryTest, CountsOfTheIndexAreCheckedAgainstTheEntries) {
  Replace("\"#states\": 3", "\"#states\": 2000000000");
  EXPECT_EQ(Error(), R"(state-to-choices.bin is "32 bytes", accepted: 2000000001 values of 8 bytes)");
}

TEST_F(UmbEntryTest, CountsOfTheIndexHaveLimits) {
  Replace("\"#states\": 3", "\"#states\": 18446744073709551615");
  EXPECT_EQ(Error(), R"(#states is "18446744073709551615", accepted: a whole number from 1 to 2147483646)");
  Replace("\"#states\": 18446744073709551615", "\"#states\": 0");
  EXPECT_EQ(Error(), R"(#states is "0", accepted: a whole number from 1 to 2147483646)");
  Replace("\"#states\": 0", "\"#states\": -3");
  EXPECT_THAT(Error(), HasSubstr(R"(#states is "-3")"));
  Replace("\"#states\": -3", "\"#states\": 3.5");
  EXPECT_THAT(Error(), HasSubstr(R"(#states is "3.5")"));
}

TEST_F(UmbEntryTest, MissingEntriesAreNamed) {
  for (const std::string name :
       {"branch-to-target.bin", "branch-to-probability.bin", "state-to-choices.bin", "choice-to-branches.bin",
        "annotations/rewards/reward/choices/values.bin", "annotations/aps/absorbing/states/values.bin"}) {
    const std::string kept = entries_.at(name);
    entries_.erase(name);
    EXPECT_THAT(Error(), testing::StartsWith(name + R"( is "missing", accepted: an array)"));
    entries_[name] = kept;
  }
  entries_.erase("index.json");
  EXPECT_EQ(Error(), R"(archive is "without index.json", accepted: a UMB model)");
}

TEST_F(UmbEntryTest, OffsetsNeverGoDownAndEndWithTheirArray) {
  Set<uint64_t>("state-to-choices.bin", 1, 5);
  EXPECT_EQ(Error(), R"(state-to-choices.bin entry 1 is "5", accepted: 0 to 4)");
  Set<uint64_t>("state-to-choices.bin", 1, 3);
  Set<uint64_t>("state-to-choices.bin", 2, 2);
  EXPECT_EQ(Error(), R"(state-to-choices.bin entry 2 is "2", accepted: 3 to 4)");
  Set<uint64_t>("state-to-choices.bin", 1, 2);
  Set<uint64_t>("state-to-choices.bin", 0, 1);
  EXPECT_EQ(Error(), R"(state-to-choices.bin entry 0 is "1", accepted: 0)");
  Set<uint64_t>("state-to-choices.bin", 0, 0);
  Set<uint64_t>("choice-to-branches.bin", 4, 4);
  EXPECT_EQ(Error(), R"(choice-to-branches.bin entry 4 is "4", accepted: 5)");
}

TEST_F(UmbEntryTest, AStateWithoutChoicesMustBeAbsorbing) {
  Set<uint64_t>("state-to-choices.bin", 2, 2);  // state 1 has none, state 2 two
  EXPECT_EQ(Error(), "state 1: number of actions is 0, accepted: at least 1, or a state that is declared terminal");
  Set<uint64_t>("annotations/aps/absorbing/states/values.bin", 0, 2);
  const auto read = Read();
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_TRUE(read->mdp.is_terminal(1));
}

TEST_F(UmbEntryTest, BadRowsNameStateActionAndRow) {
  Set<uint64_t>("branch-to-target.bin", 1, 7);
  EXPECT_EQ(Error(), R"(state 0, action 0, branch 1: successor is "7", accepted: 0 to 2)");
  Set<uint64_t>("branch-to-target.bin", 1, 2);
  Set<double>("branch-to-probability.bin", 2, -1);
  EXPECT_EQ(Error(), "state 0, action 3, row 1: probability to state 0 is -1, accepted: 0 to 1");
  Set<double>("branch-to-probability.bin", 2, NAN);
  EXPECT_EQ(Error(), "state 0, action 3, row 1: probability to state 0 is nan, accepted: 0 to 1");
  Set<double>("branch-to-probability.bin", 2, 0.5);
  EXPECT_THAT(Error(), HasSubstr("state 0, action 3, row 1: sum of the probabilities is 0.5, accepted: 1"));
  Set<double>("branch-to-probability.bin", 2, 1);
  Set<double>("annotations/rewards/reward/choices/values.bin", 2, INFINITY);
  EXPECT_EQ(Error(), "state 1, action 0, row 2: reward is inf, accepted: a finite number");
}

TEST_F(UmbEntryTest, ASuccessorTwiceIsAddedButHidesNoNegativeNumber) {
  Set<uint64_t>("branch-to-target.bin", 1, 1);
  const auto read = Read();
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(RowsOf(read->mdp)[0].to, std::vector<Transition>({{1, 1.0}}));
  Set<double>("branch-to-probability.bin", 0, -0.5);
  Set<double>("branch-to-probability.bin", 1, 1.5);
  EXPECT_EQ(Error(), "state 0, action 0, row 0: probability to state 1 is -0.5, accepted: 0 to 1");
  Set<double>("branch-to-probability.bin", 0, 1.5);
  Set<double>("branch-to-probability.bin", 1, -0.5);
  EXPECT_THAT(Error(), HasSubstr("state 0, action 0, row 0: probability to state 1 is"));
}

TEST_F(UmbEntryTest, NumbersOfActionsThatDontTellThemApartAreNames) {
  Set<uint32_t>("actions/choices/values.bin", 1, 0);
  const auto read = Read();
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->mdp.ActionNumber(0, 1), 1);
}

TEST_F(UmbEntryTest, WhatIsNoMdpOfDoublesIsRefused) {
  const auto refuse = [&](const std::string& from, const std::string& to, const std::string& message) {
    Replace(from, to);
    EXPECT_EQ(Error(), message);
    Replace(to, from);
  };
  refuse(R"("time": "discrete")", R"("time": "urgent-stochastic")",
         R"(time is "urgent-stochastic", accepted: discrete or stochastic)");
  refuse(R"("#players": 1)", R"("#players": 2)", R"(#players is "2", accepted: a whole number from 0 to 1)");
  refuse(R"("#players": 1)", R"("#players": 0)",
         R"(#choices is "4", accepted: up to 3, one a state where #players is 0)");
  refuse(R"("#observations": 0)", R"("#observations": 4)",
         R"(#observations is "4", accepted: a whole number from 0 to 0)");
  refuse(R"("format-version": 1)", R"("format-version": 2)",
         R"(format-version is "2", accepted: a whole number from 1 to 1)");
  refuse("\"branch-probability-type\": {\n      \"type\": \"double\"",
         "\"branch-probability-type\": {\n      \"type\": \"rational\"",
         R"(branch-probability-type type is "rational", accepted: double)");
  refuse("\"applies-to\": [\n          \"choices\"", "\"applies-to\": [\n          \"players\"",
         R"(reward "reward" applies-to is "players", accepted: states, choices or branches)");
}

TEST_F(UmbEntryTest, BrokenIndexesAreRefused) {
  const auto refuse = [&](const std::string& text, const testing::Matcher<std::string>& message) {
    entries_["index.json"] = text;
    EXPECT_THAT(Error(), message);
  };
  refuse("", HasSubstr("accepted: a JSON object"));
  refuse("{}", HasSubstr(R"(format-version is "missing")"));
  refuse("[]", HasSubstr("accepted: a JSON object"));
  refuse(R"({"format-version": 1})", HasSubstr(R"(transition-system is "missing", accepted: an object)"));
  refuse(R"({"a": 1, "a": 1})", HasSubstr("accepted: each key once"));
  refuse(std::string(100000, '['), AnyOf(HasSubstr("at most 16 levels"), HasSubstr("a JSON object")));
  std::string deep = "{\"a\":";
  for (int i = 0; i < 100000; ++i) deep += "{\"a\":";
  refuse(deep, HasSubstr("at most 16 levels"));
}

TEST_F(UmbEntryTest, RatesNeedProbabilitiesThatSumToOneAndAnExitRate) {
  SmallArchive(folder_, RowKind::kRate);
  auto entries = internal::ReadTar(folder_.File("small.umb"), 1 << 20, [](std::string_view) { return true; });
  ASSERT_TRUE(entries.ok()) << entries.status();
  entries_ = *std::move(entries);
  Set<double>("branch-to-probability.bin", 0, 0.25);
  EXPECT_THAT(Error(), HasSubstr("state 0, action 0, row 0: sum of the probabilities is"));
  Set<double>("branch-to-probability.bin", 0, 0.5);
  Set<double>("state-to-exit-rate.bin", 1, -1);
  EXPECT_EQ(Error(), "state 1, action 0, row 2: rate to state 2 is -1, accepted: a finite number >= 0");
  entries_.erase("state-to-exit-rate.bin");
  EXPECT_EQ(Error(), R"(state-to-exit-rate.bin is "missing", accepted: an array)");
}

TEST_F(UmbEntryTest, TheIndexHasALimitOfItsOwn) {
  entries_["index.json"] += std::string(size_t{16} << 20, ' ');
  const auto read = Read();
  EXPECT_EQ(read.status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(read.status().message(), "index.json: accepted: up to 16777216 bytes");
}

TEST(UmbLimits, UnpackedBytesAreCountedNotBelieved) {
  const TempFolder folder;
  const auto read = ReadModelFile(DataFile("storm-mdp.umb"), {.reward = "cost", .max_bytes = 10'000});
  EXPECT_EQ(read.status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(read.status().message(), "archive: accepted: up to 10000 bytes unpacked");
}

}  // namespace
}  // namespace berth::mdp

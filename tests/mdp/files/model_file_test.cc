// What text files may hold, and every way in which they can be bad, with the message.
#include "mdp/files/support.h"

namespace berth::mdp {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

class TextTest : public testing::Test {
 protected:
  absl::StatusOr<ModelFile> Read(const std::string& name, std::string_view text,
                                 const ReadOptions& options = {}) const {
    return ReadModelFile(folder_.Write(name, text), options);
  }
  std::string Error(const std::string& name, std::string_view text, const ReadOptions& options = {}) const {
    const auto read = Read(name, text, options);
    EXPECT_FALSE(read.ok()) << text;
    EXPECT_EQ(read.status().code(), absl::StatusCode::kInvalidArgument) << read.status();
    return std::string(read.status().message());
  }
  TempFolder folder_;
};

using ModelFileTest = TextTest;

TEST_F(ModelFileTest, GoesByTheExtensionElseByTheContent) {
  EXPECT_EQ(ReadModelFile(folder_.File("absent.csv")).status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(Error("model.xyz", "state,action"),
              StartsWith(R"(extension of the model file is ".xyz", accepted: .umb, .tra, .csv or .json)"));
  EXPECT_THAT(std::string(ReadModelFile(folder_.File("")).status().message()), HasSubstr("accepted: a file"));
  EXPECT_TRUE(
      Read("oracle", R"({"format": "mdp-oracle-1", "states": 1, "actions": [[{"reward": "1", "to": [[0, "1"]]}]]})")
          .ok());
  EXPECT_TRUE(Read("storm", ReadBytes(DataFile("storm-mdp.umb")), {.reward = "cost"}).ok());
  EXPECT_THAT(Error("no.umb", "no tar at all"), HasSubstr("accepted: a whole tar file, plain or under gzip or xz"));
  EXPECT_THAT(Error("empty.umb", ""), HasSubstr("accepted: a whole tar file"));
}

TEST_F(ModelFileTest, RefusesMarksAndInitialStatesThatDontFit) {
  auto mdp = BuildRows(1, {{0, 0, 0, {{0, 1}}}});
  ASSERT_TRUE(mdp.ok());
  ModelFile model{.mdp = *std::move(mdp), .is_absorbing = {true, false}};
  const std::string path = folder_.File("model.csv");
  EXPECT_EQ(WriteModelFile(path, model).message(),
            R"(number of absorbing marks is "2", accepted: 0 or 1, the number of states)");
  model.is_absorbing.clear();
  model.initial = 1;
  EXPECT_EQ(WriteModelFile(path, model).message(), R"(initial state is "1", accepted: 0 to 0)");
  model.initial = 0;
  EXPECT_THAT(std::string(WriteModelFile(folder_.File("model"), model).message()), HasSubstr("accepted: .umb, .tra"));
}

TEST_F(ModelFileTest, RefusesModelsThatAFormatCannotHold) {
  auto mdp = BuildRows(1, {{0, 0, 0, {{0, 1}}}, {0, 1, 3, {{0, 2}}}}, RowKind::kRate);
  ASSERT_TRUE(mdp.ok());
  const ModelFile rates{.mdp = *std::move(mdp)};
  EXPECT_EQ(WriteModelFile(folder_.File("model.json"), rates).message(),
            R"(kind of the model is "rates", accepted: probabilities in JSON)");
  EXPECT_EQ(
      WriteModelFile(folder_.File("model.tra"), rates).message(),
      R"(reward rate of state 0, action 1 is "3", accepted: 0, as of the state's first action, in a .tra of rates)");
  auto plain = BuildRows(1, {{0, 0, 0, {{0, 1}}}});
  ASSERT_TRUE(plain.ok());
  ModelFile tiny{.mdp = *std::move(plain), .criterion = Criterion{.one_minus_gamma = 1e-30}};
  EXPECT_EQ(WriteModelFile(folder_.File("model.json"), tiny).message(),
            R"(1 - gamma is "1e-30", accepted: a fraction from 0 to 1 of up to 18 digits, in JSON)");
  EXPECT_THAT(folder_.Names(), testing::IsEmpty());
}

using CsvTest = TextTest;
constexpr char kCsvHeader[] = "state,action,next,probability,reward\n";

TEST_F(CsvTest, TakesColumnsAndLinesInAnyOrderAndSpreadsheetsBytes) {
  const auto read = Read("model.csv",
                         "\xef\xbb\xbfreward,probability,next,action,state\r\n"
                         "\"3\",1,0,5,1\r\n\r\n2,1/4,1,0,0\r\n6,0.75,0,0,0\r\n,,,,2");
  ASSERT_TRUE(read.ok()) << read.status();
  const std::vector<PlainRow> wanted = {{0, 0, 5, {{1, 0.25}, {0, 0.75}}}, {1, 5, 3, {{0, 1}}}};
  EXPECT_EQ(RowsOf(read->mdp), wanted);  // 2 / 4 + 6 * 3 / 4 = 5
  EXPECT_EQ(read->is_absorbing, std::vector<bool>({false, false, true}));
  EXPECT_TRUE(read->mdp.is_terminal(2));
  EXPECT_EQ(read->name, "model");
}

TEST_F(CsvTest, HasRatesWhereTheHeaderSaysRate) {
  const auto read = Read("model.csv", "state,action,next,rate,reward\n0,0,1,2.5,7\n0,0,0,0,7\n1,0,0,30,1\n");
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->mdp.kind(), RowKind::kRate);
  const std::vector<PlainRow> wanted = {{0, 0, 7, {{1, 2.5}}}, {1, 0, 1, {{0, 30}}}};
  EXPECT_EQ(RowsOf(read->mdp), wanted);
  EXPECT_EQ(Error("model.csv", "state,action,next,rate,reward\n0,0,0,1,7\n0,0,1,2,8\n1,0,0,3,1\n"),
            "CSV line 2: state 0, action 0: reward differs by successor, accepted: one reward rate an action");
}

TEST_F(CsvTest, AnAbsorbingStateKeepsItsActions) {
  const auto read = Read("model.csv", std::string(kCsvHeader) + "0,,,,\n0,0,0,1,4\n");
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->is_absorbing, std::vector<bool>({true}));
  EXPECT_EQ(read->mdp.num_actions(0), 1);
}

TEST_F(CsvTest, ErrorsNameLineStateActionAndRow) {
  const auto error = [&](const std::string& lines) { return Error("model.csv", kCsvHeader + lines); };
  EXPECT_EQ(error("0,0,0,1,0\n1,0,0,-1,0\n1,0,1,2,0\n"),
            "CSV line 3: state 1, action 0, row 1: probability to state 0 is -1, accepted: 0 to 1");
  EXPECT_EQ(error("0,0,0,nan,0\n"),
            "CSV line 2: state 0, action 0, row 0: probability to state 0 is nan, accepted: 0 to 1");
  EXPECT_EQ(error("0,0,0,inf,0\n"),
            "CSV line 2: state 0, action 0, row 0: probability to state 0 is inf, accepted: 0 to 1");
  EXPECT_EQ(error("0,0,0,0.5,0\n"),
            "CSV line 2: state 0, action 0, row 0: sum of the probabilities is 0.5, accepted: 1 within 1e-09");
  EXPECT_EQ(error("0,0,0,.5,0\n0,0,0,.5,0\n"),
            "CSV line 2: state 0, action 0, row 0: successor is 0, accepted: every successor once a row");
  EXPECT_EQ(error("0,0,0,1,inf\n"), "CSV line 2: state 0, action 0, row 0: reward is inf, accepted: a finite number");
  EXPECT_EQ(error("0,0,0,1,0\n2,0,0,1,0\n3,0,0,1,0\n1,,,,\n0,1,4,1,0\n"),
            "state 4: number of actions is 0, accepted: at least 1, or a state that is declared terminal");
  EXPECT_EQ(error("2147483645,0,0,1,0\n"),
            "state 0: number of actions is 0, accepted: at least 1, or a state that is declared absorbing");
}

TEST_F(CsvTest, ErrorsNameLineColumnAndValue) {
  const auto error = [&](const std::string& lines) { return Error("model.csv", kCsvHeader + lines); };
  EXPECT_EQ(error("\n0,x,0,1,0\n"),
            R"(CSV line 3 column 2 (action) is "x", accepted: a whole number from 0 to 2147483647)");
  EXPECT_EQ(error("-1,0,0,1,0\n"),
            R"(CSV line 2 column 1 (state) is "-1", accepted: a whole number from 0 to 2147483645)");
  EXPECT_EQ(error("0,0,4294967296,1,0\n"),
            R"(CSV line 2 column 3 (next) is "4294967296", accepted: a whole number from 0 to 2147483645)");
  EXPECT_EQ(error("0,0,0,1/0,0\n"), R"(CSV line 2 column 4 (probability) is "1/0", accepted: a number or a fraction)");
  EXPECT_EQ(error("0,0,0,1, 0\n"), R"(CSV line 2 column 5 (reward) is " 0", accepted: a number or a fraction)");
  EXPECT_EQ(error("0,0,0,1\n"), R"(CSV line 2 is "4 fields", accepted: 5 as in the header)");
  EXPECT_EQ(error("0,0,0,1,0,0\n"), R"(CSV line 2 column 6 is "0", accepted: 5 fields, as in the header)");
  EXPECT_EQ(error("0,0,,1,0\n"),
            R"(CSV line 2 is "1 empty fields", accepted: none, or all but the state, which declares it absorbing)");
  EXPECT_EQ(error(",0,,,\n"),
            R"(CSV line 2 is "4 empty fields", accepted: none, or all but the state, which declares it absorbing)");
  EXPECT_EQ(error("0,0,0,\"1,0\n"),
            R"(CSV line 2 column 4 is "a quote that does not end where a field ends", accepted: RFC 4180)");
}

TEST_F(CsvTest, NeedsItsHeader) {
  EXPECT_EQ(Error("model.csv", ""), R"(CSV is "empty", accepted: a header and lines)");
  EXPECT_EQ(Error("model.csv", kCsvHeader), R"(CSV is "a header alone", accepted: a header and lines)");
  EXPECT_EQ(Error("model.csv", "0,0,0,1,0\n"),
            R"(CSV line 1 column 1 is "0", accepted: state, action, next, probability or rate, reward)");
  EXPECT_EQ(Error("model.csv", "state,state\n"), R"(CSV line 1 column 2 is "state", accepted: each column once)");
  EXPECT_EQ(Error("model.csv", "state,action,next,reward\n0,0,0,0\n"),
            R"(CSV header is "4 columns", accepted: state, action, next, reward, and either probability or rate)");
  EXPECT_EQ(Error("model.csv", "state,action,next,reward,rate,probability\n"),
            R"(CSV header is "6 columns", accepted: state, action, next, reward, and either probability or rate)");
  const auto large = Read("model.csv", std::string(kCsvHeader) + "0,0,0,1,0\n", {.max_bytes = 20});
  EXPECT_EQ(large.status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(large.status().message(), "CSV: accepted: up to 20 bytes");
}

using PrismTest = TextTest;
constexpr char kMdp[] = "2 3 4\n0 0 0 0.25 go\n0 0 1 0.75 go\n0 1 1 1\n1 0 1 1\n";

TEST_F(PrismTest, AddsRewardsOfStatesAndTransitions) {
  folder_.Write("model.srew", "# Reward structure: \"cost\"\n2 1\n0 10\n");
  folder_.Write("model.trew", "2 3 2\n0 0 1 4\n1 0 1 3\n");
  folder_.Write("model.lab", "0=\"init\" 1=\"deadlock\" 2=\"goal\"\n1: 0 2\n");
  const auto read = Read("model.tra", kMdp, {.absorbing_label = "goal"});
  ASSERT_TRUE(read.ok()) << read.status();
  const std::vector<PlainRow> wanted = {{0, 0, 13, {{0, 0.25}, {1, 0.75}}}, {0, 1, 10, {{1, 1}}}, {1, 0, 3, {{1, 1}}}};
  EXPECT_EQ(RowsOf(read->mdp), wanted);
  EXPECT_EQ(read->initial, 1);
  EXPECT_EQ(read->is_absorbing, std::vector<bool>({false, true}));
}

TEST_F(PrismTest, TakesRewardsFromWhereTheCallerSays) {
  const std::string states = folder_.Write("one.srew", "2 1\n1 1/2\n");
  const std::string transitions = folder_.Write("two.trew", "2 3 1\n0 1 1 8\n");
  const auto read = Read("model.tra", kMdp, {.state_rewards_path = states, .transition_rewards_path = transitions});
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->mdp.Reward(0, 1), 8);
  EXPECT_EQ(read->mdp.Reward(1, 0), 0.5);
  EXPECT_EQ(read->mdp.Reward(0, 0), 0);
  EXPECT_EQ(Read("model.tra", kMdp, {.labels_path = folder_.File("absent")}).status().code(),
            absl::StatusCode::kNotFound);
}

TEST_F(PrismTest, ReadsChainsOfProbabilitiesAndOfRates) {
  folder_.Write("chain.rew", "2 1\n0 1 6\n");
  const auto chain = Read("chain.tra", "2 3\r\n0 0 .5\r\n0 1 .5\r\n\r\n1 1 1\r\n");
  ASSERT_TRUE(chain.ok()) << chain.status();
  EXPECT_EQ(chain->mdp.Reward(0, 0), 3);
  EXPECT_EQ(chain->mdp.kind(), RowKind::kProbability);
  const auto rates = Read("rates.tra", "2 2\n1 0 0.125\n0 1 30\n", {.tra_kind = RowKind::kRate});
  ASSERT_TRUE(rates.ok()) << rates.status();
  EXPECT_EQ(rates->mdp.kind(), RowKind::kRate);
  const std::vector<PlainRow> wanted = {{0, 0, 0, {{1, 30}}}, {1, 0, 0, {{0, 0.125}}}};
  EXPECT_EQ(RowsOf(rates->mdp), wanted);
  EXPECT_THAT(Error("rates.tra", "2 2\n1 0 0.125\n0 1 30\n"),
              StartsWith(".tra line 3: state 0, action 0, row 0: probability to state 1 is 30, accepted: 0 to 1"));
}

TEST_F(PrismTest, OfRatesEarnsRewardsOfTransitionsAtTheirJumps) {
  folder_.Write("rates.srew", "2 1\n0 7\n");
  folder_.Write("rates.trew", "2 3 2\n0 1 1 10\n1 0 0 2\n");
  const auto read = Read("rates.tra", "2 3 4\n0 0 1 3\n0 1 0 5\n0 1 1 0.5\n1 0 0 4\n", {.tra_kind = RowKind::kRate});
  ASSERT_TRUE(read.ok()) << read.status();
  const std::vector<PlainRow> wanted = {{0, 0, 7, {{1, 3}}}, {0, 1, 12, {{0, 5}, {1, 0.5}}}, {1, 0, 8, {{0, 4}}}};
  EXPECT_EQ(RowsOf(read->mdp), wanted);
}

TEST_F(PrismTest, AStateWithoutLinesMustBeAbsorbingAndEarnNothing) {
  const char* text = "2 1 1\n0 0 1 1\n";
  EXPECT_EQ(Error("model.tra", text),
            "state 1: number of actions is 0, accepted: at least 1, or a state that is declared absorbing");
  folder_.Write("model.lab", "0=\"init\" 1=\"deadlock\"\n1: 1\n");
  const auto read = Read("model.tra", text, {.absorbing_label = "deadlock"});
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_TRUE(read->mdp.is_terminal(1));
  folder_.Write("model.srew", "2 1\n1 3\n");
  EXPECT_EQ(Error("model.tra", text, {.absorbing_label = "deadlock"}),
            R"(reward of state 1 is "3", accepted: 0 in a state without actions)");
}

TEST_F(PrismTest, FindsTransitionsOfARewardsFileInAnyOrder) {
  folder_.Write("model.trew", "2 3 4\n1 0 1 1\n0 1 1 2\n0 0 1 4\n0 0 0 8\n");
  const auto read = Read("model.tra", "2 3 4\n1 0 1 1\n0 0 1 0.75\n0 0 0 0.25\n0 1 1 1\n");
  ASSERT_TRUE(read.ok()) << read.status();
  const std::vector<PlainRow> wanted = {{0, 0, 5, {{1, 0.75}, {0, 0.25}}}, {0, 1, 2, {{1, 1}}}, {1, 0, 1, {{1, 1}}}};
  EXPECT_EQ(RowsOf(read->mdp), wanted);
}

TEST_F(PrismTest, ErrorsOfTheTransitionsNameLineAndValue) {
  const auto error = [&](std::string_view text) { return Error("model.tra", text); };
  EXPECT_EQ(error(""), R"(.tra is "empty", accepted: a header and lines)");
  EXPECT_EQ(error("mdp\n0 0 0 1\n"),
            R"(.tra line 1: line is "mdp", accepted: "states transitions" or "states choices transitions")");
  EXPECT_EQ(error("0 0 0\n"), R"(.tra line 1: line is "0 0 0", accepted: at least one state)");
  EXPECT_EQ(error("1 1 1\n0 0 0\n"), R"(.tra line 2: line is "0 0 0", accepted: state, choice, successor, weight)");
  EXPECT_EQ(error("1 1 1\n1 0 0 1\n"), R"(.tra line 2: state is "1", accepted: a whole number from 0 to 0)");
  EXPECT_EQ(error("1 1 1\n0 -1 0 1\n"),
            R"(.tra line 2: choice is "-1", accepted: a whole number from 0 to 2147483647)");
  EXPECT_EQ(error("1 1 1\n0 0 7 1\n"), R"(.tra line 2: successor is "7", accepted: a whole number from 0 to 0)");
  EXPECT_EQ(error("1 1 1\n0 0 0 one\n"), R"(.tra line 2: weight is "one", accepted: a number or a fraction)");
  EXPECT_EQ(error("1 1 2\n0 0 0 1\n"), R"(.tra number of transitions is "2", accepted: 1, the number of lines)");
  EXPECT_EQ(error("1 2 1\n0 0 0 1\n"), R"(.tra number of choices is "2", accepted: 1, as the lines have)");
  EXPECT_EQ(error("1 1 2\n0 0 0 .5\n0 0 0 .5\n"),
            ".tra line 2: state 0, action 0, row 0: successor is 0, accepted: every successor once a row");
  EXPECT_EQ(error("3 2 2\n0 0 0 1\n2 0 0 1\n"),
            "state 1: number of actions is 0, accepted: at least 1, or a state that is declared absorbing");
  EXPECT_EQ(error("2000000000 1 1\n0 0 0 1\n"),
            "state 1: number of actions is 0, accepted: at least 1, or a state that is declared absorbing");
}

TEST_F(PrismTest, ErrorsOfRewardsAndLabelsNameLineAndValue) {
  const auto with = [&](const std::string& name, const std::string& text) {
    folder_.Write(name, text);
    const std::string message = Error("model.tra", kMdp);
    std::filesystem::remove(folder_.File(name));
    return message;
  };
  EXPECT_EQ(with("model.srew", ""), R"(.srew is "empty", accepted: a header and lines)");
  EXPECT_EQ(with("model.srew", "3 0\n"), R"(.srew line 1: line is "3 0", accepted: 2 states, as the .tra has)");
  EXPECT_EQ(with("model.srew", "2 2\n0 1\n"), R"(.srew number of rewards is "2", accepted: 1, the number of lines)");
  EXPECT_EQ(with("model.srew", "2 2\n0 1\n0 1\n"), R"(.srew line 3: line is "0 1", accepted: every state once)");
  EXPECT_EQ(with("model.srew", "2 1\n0 x\n"), R"(.srew line 2: reward is "x", accepted: a number or a fraction)");
  EXPECT_EQ(with("model.trew", "2 3 1\n1 0 0 1\n"),
            R"(.trew line 2: line is "1 0 0 1", accepted: a transition that the .tra has)");
  EXPECT_EQ(with("model.trew", "2 3 2\n1 0 1 1\n1 0 1 2\n"),
            R"(.trew line 3: line is "1 0 1 2", accepted: every transition once)");
  EXPECT_EQ(with("model.rew", "2 1\n1 1 1\n"),
            R"(.rew line 2: line is "1 1 1", accepted: state, reward, or 4 words of a transition and its reward)");
  EXPECT_THAT(with("model.lab", "init\n"),
              StartsWith(R"(.lab line 1: line is "init", accepted: number="label" from 0 on)"));
  EXPECT_THAT(with("model.lab", "0=\"a\" 1=\"a\"\n"), HasSubstr("each label once"));
  EXPECT_EQ(with("model.lab", "0=\"init\"\n2: 0\n"),
            R"(.lab line 2: state is "2", accepted: a whole number from 0 to 1)");
  EXPECT_EQ(with("model.lab", "0=\"init\"\n1: 3\n"),
            R"(.lab line 2: label is "3", accepted: a whole number from 0 to 0)");
  EXPECT_EQ(with("model.lab", "0=\"init\"\n1\n"), R"(.lab line 2: line is "1", accepted: state: numbers of labels)");
  EXPECT_EQ(Error("model.tra", kMdp, {.absorbing_label = "goal"}),
            R"(absorbing label is "goal", accepted: a label of the .lab)");
}

using JsonTest = TextTest;

std::string Oracle(const std::string& fields, const std::string& actions = R"([[{"reward": "1/3", "to": [[0, "1"]]}]])",
                   int states = 1) {
  return R"({"format": "mdp-oracle-1", "states": )" + std::to_string(states) + ", " + fields + R"("actions": )" +
         actions + "}";
}

TEST_F(JsonTest, OneMinusGammaIsComputedFromTheFraction) {
  const auto gamma = [&](const std::string& discount) {
    const auto read = Read(
        "model.json", Oracle(R"("objective": "min", "criterion": "discounted", "discount": ")" + discount + "\","));
    EXPECT_TRUE(read.ok()) << read.status();
    return read.ok() && read->criterion ? read->criterion->one_minus_gamma : -1;
  };
  EXPECT_EQ(gamma("999999/1000000"), 1e-6);
  EXPECT_NE(1 - 999999.0 / 1000000, 1e-6);  // what a double of gamma would have given
  EXPECT_EQ(gamma("0.999999999"), 1e-9);
  EXPECT_EQ(gamma("0"), 1);
}

TEST_F(JsonTest, LeavesOutTheCriterionWhereThereIsNone) {
  const auto read = Read("model.json", Oracle(R"("value": ["1234567890123456789012345678901234567890/7"], )"));
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_FALSE(read->criterion.has_value());
  EXPECT_EQ(read->mdp.Reward(0, 0), 1.0 / 3);
}

TEST_F(JsonTest, AStateWithoutActionsMustBeAbsorbing) {
  const std::string actions = R"([[{"reward": "0", "to": [[1, "1"]]}], []])";
  const auto read = Read("model.json", Oracle(R"("absorbing": [1], )", actions, 2));
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_TRUE(read->mdp.is_terminal(1));
  EXPECT_EQ(Error("model.json", Oracle("", actions, 2)),
            "state 1: number of actions is 0, accepted: at least 1, or a state that is declared terminal");
}

TEST_F(JsonTest, ErrorsNameFieldAndValue) {
  const auto error = [&](const std::string& fields) { return Error("model.json", Oracle(fields)); };
  EXPECT_THAT(Error("model.json", "[]"), HasSubstr("accepted: a JSON object"));
  EXPECT_THAT(Error("model.json", R"({"format": "mdp-oracle-2"})"),
              HasSubstr(R"(format is "mdp-oracle-2", accepted: mdp-oracle-1)"));
  EXPECT_EQ(error(R"("criterion": "best", )"),
            R"(criterion is "best", accepted: discounted, average, total or finite)");
  EXPECT_EQ(error(R"("criterion": "total", "objective": "most", )"), R"(objective is "most", accepted: max or min)");
  EXPECT_EQ(error(R"("criterion": "finite", "objective": "max", )"),
            R"(horizon is "missing", accepted: a whole number from 1 to 9223372036854775807)");
  for (const char* discount : {"null", "\"1\"", "\"3/2\"", "\"-1/2\"", "0.9", "\"1e-3\""}) {
    EXPECT_THAT(error(std::string(R"("criterion": "discounted", "objective": "max", "discount": )") + discount + ", "),
                HasSubstr("accepted: a fraction from 0 to below 1, as a text"));
  }
  EXPECT_EQ(error(R"("absorbing": [1], )"), R"(absorbing is "1", accepted: a whole number from 0 to 0)");
  EXPECT_EQ(error(R"("absorbing": 1, )"), R"(absorbing is "1", accepted: a list)");
  EXPECT_EQ(error(R"("initial": 5, )"), R"(initial is "5", accepted: a whole number from 0 to 0)");
  EXPECT_EQ(error(R"("name": 5, )"), R"(name is "5", accepted: a text)");
  EXPECT_EQ(error(R"("name": "a", "name": "b", )"), R"(JSON: key is "name", accepted: each key once)");
  EXPECT_EQ(Error("model.json", Oracle("", "[]")),
            R"(actions is "a list of 0", accepted: a list of one entry a state)");
  EXPECT_EQ(Error("model.json", Oracle("", "[[]]", 2)), R"(states is "2", accepted: a whole number from 1 to 1)");
}

TEST_F(JsonTest, ErrorsOfActionsNameStateAndAction) {
  const auto error = [&](const std::string& actions) { return Error("model.json", Oracle("", "[" + actions + "]")); };
  EXPECT_EQ(error("1"), R"(state 0: actions is "1", accepted: a list)");
  EXPECT_EQ(error("[1]"), R"(state 0, action 0: action is "1", accepted: an object)");
  EXPECT_EQ(error(R"([{"reward": "x", "to": []}])"),
            R"(state 0, action 0: reward is "x", accepted: a number or a fraction, as a text)");
  EXPECT_EQ(error(R"([{"reward": "0"}])"), R"(state 0, action 0: to is "missing", accepted: a list)");
  EXPECT_EQ(error(R"([{"reward": "0", "to": [0]}])"),
            R"(state 0, action 0: to is "0", accepted: lists of a successor and a probability)");
  EXPECT_EQ(error(R"([{"reward": "0", "to": [[1, "1"]]}])"),
            R"(state 0, action 0: successor is "1", accepted: a whole number from 0 to 0)");
  EXPECT_THAT(error(R"([{"reward": "0", "to": [[0, "1/2"]]}])"),
              StartsWith("state 0, action 0, row 0: sum of the probabilities is 0.5, accepted: 1"));
  EXPECT_EQ(error(R"([{"reward": "0", "to": [[0, "-1/2"]]}])"),
            "state 0, action 0, row 0: probability to state 0 is -0.5, accepted: 0 to 1");
}

}  // namespace
}  // namespace berth::mdp

#include "policy/potential/table_potential.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <limits>
#include <tuple>

#include "conformance/policy_kit.h"
#include "nlohmann/json.hpp"
#include "policy/potential/table_file.h"

namespace berth {
namespace {

using ::testing::HasSubstr;

constexpr int64_t kGib = int64_t{1} << 30;

// 4 vCPU and 8 GiB in units of 2 vCPU and 4 GiB: value -(10 a + b).
ValueTable Small() { return {4000, 8 * kGib, 2000, 4 * kGib, 3, 3, {0, -1, -2, -10, -11, -12, -20, -21, -22}}; }

TEST(ValueTable, RoundsUpToTheNextLevelAndForgivesATwentieth) {
  const ValueTable t = Small();
  EXPECT_EQ(t.At(0, 0), 0);
  EXPECT_EQ(t.At(2000, static_cast<double>(4 * kGib)), -11);
  EXPECT_EQ(t.At(2200, 0), -20);
  EXPECT_EQ(t.At(2099, 0), -10);
  EXPECT_EQ(t.At(99, 0), 0);
  EXPECT_EQ(t.At(1, static_cast<double>(kGib)), -1);
}

TEST(ValueTable, IsHeldConstantOutside) {
  const ValueTable t = Small();
  EXPECT_EQ(t.At(1e9, 1e18), -22);
  EXPECT_EQ(t.At(-1e9, -1), 0);  // an overloaded node reports less free than nothing, or more than all
}

double Value(const std::vector<ValueTable>& tables, int64_t cpu, int64_t mem, int64_t free_cpu, int64_t free_mem) {
  const auto potential = MakeTablePotential(std::make_shared<const std::vector<ValueTable>>(tables));
  Shape shape;
  shape.cpu_milli = cpu;
  shape.mem_bytes = mem;
  NodeState state;
  state.cpu_milli = free_cpu;
  state.mem_bytes = free_mem;
  return potential->Value(shape, state);
}

TEST(TablePotential, IsMinusTheValueOfWhatIsInUse) {
  EXPECT_EQ(Value({Small()}, 4000, 8 * kGib, 4000, 8 * kGib), 0);
  EXPECT_EQ(Value({Small()}, 4000, 8 * kGib, 2000, 0), 12);
}

TEST(TablePotential, AShapeWithoutATableTakesTheNearestAtTheSameShares) {
  ValueTable large = Small();
  large.cpu_milli *= 8;
  large.mem_bytes *= 8;
  large.cpu_unit_milli *= 8;
  large.mem_unit_bytes *= 8;
  for (float& v : large.value) v *= 100;
  EXPECT_EQ(Value({Small(), large}, 6000, 8 * kGib, 3000, 8 * kGib), 10);
  EXPECT_EQ(Value({Small(), large}, 30'000, 60 * kGib, 15'000, 60 * kGib), 1000);
  EXPECT_TRUE(std::isfinite(Value({Small()}, 0, 0, 0, 0)));
}

TEST(TablePolicy, PassesThePolicyKit) {
  const auto policy = MakeTablePolicy({Small()});
  for (uint64_t seed = 0; seed < 6; ++seed) test::CheckPolicyConformance(*policy, seed);
  EXPECT_EQ(policy->info().name, "index");
}

TableFile File() { return {"vm-like", 6, 1.1, {Small(), Small()}, {}}; }

// Two devices in halves and three levels of cpu: each value is its place in the table.
GpuValueTable SmallGpu() {
  GpuValueTable t{2, "A", 8000, 2, 4000, 3, GpuPatternKeys(2, 2), {}};
  for (size_t i = 0; i < t.keys.size() * 3; ++i) t.value.push_back(0.1f * static_cast<float>(i));
  return t;
}

TEST(TableFile, WhatIsWrittenIsReadBack) {
  TableFile file = File();
  file.tables[1].value[4] = 0.1f;
  const std::string path = testing::TempDir() + "/berth-table-test.json";
  ASSERT_TRUE(WriteTableFile(path, file).ok());
  const auto read = LoadTableFile(path);
  std::filesystem::remove(path);
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->workload, "vm-like");
  EXPECT_EQ(read->m, 6);
  EXPECT_EQ(read->design_load, 1.1);
  ASSERT_EQ(read->tables.size(), 2u);
  EXPECT_EQ(read->tables[1].value, file.tables[1].value);
  EXPECT_EQ(read->tables[1].mem_unit_bytes, 4 * kGib);
}

TEST(TableFile, TablesOfNodesWithGpusAreReadBackBitForBit) {
  GpuValueTable one = SmallGpu();
  one.gpu_model = "";
  one.devices = 1;
  one.keys = GpuPatternKeys(1, 2);
  one.value.assign(one.keys.size() * 3, 7.0f);
  const auto read = ParseTableFile(ToJson({"gpus", 4, 1.1, {}, {SmallGpu(), one}}));
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_TRUE(read->tables.empty());
  ASSERT_EQ(read->gpu_tables.size(), 2u);
  const GpuValueTable& t = read->gpu_tables[0];
  EXPECT_EQ(t.keys, SmallGpu().keys);
  EXPECT_EQ(t.value, SmallGpu().value);
  EXPECT_EQ(t.gpu_model, "A");
  EXPECT_EQ(t.cpu_unit_milli, 4000);
  EXPECT_EQ(read->gpu_tables[1].devices, 1);
}

TEST(TableFile, BadTablesOfNodesWithGpusAreRefusedWithTheFieldNamed) {
  const auto expect_refused = [](const nlohmann::json& json, const std::string& field) {
    const auto read = ParseTableFile(json.dump());
    EXPECT_EQ(read.status().code(), absl::StatusCode::kInvalidArgument) << field;
    EXPECT_THAT(std::string(read.status().message()), HasSubstr(field));
  };
  const auto good = nlohmann::json::parse(ToJson({"gpus", 4, 1.1, {}, {SmallGpu()}}));
  ASSERT_TRUE(ParseTableFile(good.dump()).ok());
  const std::vector<std::tuple<std::string, nlohmann::json, std::string>> cases = {
      {"devices", 0, "gpu_tables[0].devices"},
      {"devices", 9, "gpu_tables[0].devices"},
      {"devices", 1, "gpu_tables[0].value"},
      {"units", 11, "gpu_tables[0].units"},
      {"units", "2", "gpu_tables[0].units"},
      {"cpu_levels", 1025, "gpu_tables[0].cpu_levels"},
      {"cpu_levels", 2, "gpu_tables[0].value"},
      {"cpu_milli", -1, "gpu_tables[0].cpu_milli"},
      {"cpu_unit_milli", 0, "cpu_unit_milli"},
      {"value_base64", 5, "gpu_tables[0].value_base64"},
      {"value_base64", "?", "gpu_tables[0].value_base64"},
      {"value_base64", "AAAA", "gpu_tables[0].value"},
  };
  for (const auto& [key, value, field] : cases) {
    auto bad = good;
    bad["gpu_tables"][0][key] = value;
    expect_refused(bad, field);
  }
  auto bad = good;
  bad["gpu_tables"] = nlohmann::json::array();
  expect_refused(bad, "gpu_tables");
  bad["gpu_tables"] = nlohmann::json(std::vector<int>(1025, 0));
  expect_refused(bad, "1 to 1024 tables");
  bad = good;
  bad["tables"] = nlohmann::json::array();
  expect_refused(bad, "one of the two");
  GpuValueTable infinite = SmallGpu();
  infinite.value[4] = std::numeric_limits<float>::infinity();
  EXPECT_THAT(std::string(ParseTableFile(ToJson({"gpus", 4, 1.1, {}, {infinite}})).status().message()),
              HasSubstr("gpu_tables[0].value[4]"));
}

TEST(GpuTablePolicy, PassesThePolicyKit) {
  const auto policy = MakeGpuTablePolicy({SmallGpu()});
  for (uint64_t seed = 0; seed < 6; ++seed) test::CheckPolicyConformance(*policy, seed);
  EXPECT_EQ(policy->info().name, "index");
}

TEST(TableFile, AFileThatIsNotThereOrCannotBeWrittenIsAnError) {
  EXPECT_EQ(LoadTableFile(testing::TempDir() + "/no-such-table.json").status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(LoadTableFile(testing::TempDir()).status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(WriteTableFile(testing::TempDir() + "/no-such-folder/t.json", File()).code(),
            absl::StatusCode::kFailedPrecondition);
}

TEST(TableFile, BadTextIsRefusedWithTheFieldNamed) {
  const std::string good = ToJson(File());
  ASSERT_TRUE(ParseTableFile(good).ok()) << ParseTableFile(good).status();
  const auto with = [&](const std::string& from, const std::string& to) {
    std::string text = good;
    const size_t at = text.find(from);
    EXPECT_NE(at, std::string::npos) << from;
    return text.replace(at, from.size(), to);
  };
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"", "JSON object"},
      {"[]", "JSON object"},
      {good.substr(0, good.size() / 2), "JSON object"},
      {good + "x", "JSON object"},
      {with("berth-table-1", "berth-table-9"), "format"},
      {with("\"format\"", "\"form\""), "format"},
      {with("\"tables\"", "\"table\""), "tables"},
      {with("\"cpu_levels\":3", "\"cpu_levels\":0"), "tables[0].cpu_levels"},
      {with("\"cpu_levels\":3", "\"cpu_levels\":4"), "cpu_levels x mem_levels"},
      {with("\"cpu_levels\":3", "\"cpu_levels\":99999999999999999999"), "tables[0].cpu_levels"},
      {with("\"mem_levels\":3", "\"mem_levels\":-3"), "tables[0].mem_levels"},
      {with("\"mem_levels\":3", "\"mem_levels\":\"3\""), "tables[0].mem_levels"},
      {with("\"cpu_milli\":4000", "\"cpu_milli\":0.5"), "tables[0].cpu_milli"},
      {with("\"mem_unit_bytes\":4294967296", "\"mem_unit_bytes\":null"), "tables[0].mem_unit_bytes"},
      {with("-10.0", "\"x\""), "tables[0].value[3]"},
      {with("-10.0", "1e300"), "tables[0].value[3]"},
      {with("\"value\"", "\"values\""), "tables[0].value"},
      {with("{\"cpu_levels\"", "7,{\"cpu_levels\""), "tables[0]"},
      {with("\"cpu_levels\":3", "\"cpu_levels\":3,\"cpu_levels\":3"), "each key once"},
  };
  for (const auto& [text, field] : cases) {
    const auto read = ParseTableFile(text);
    EXPECT_EQ(read.status().code(), absl::StatusCode::kInvalidArgument) << field;
    EXPECT_THAT(std::string(read.status().message()), HasSubstr(field)) << text.substr(0, 100);
  }
}

TEST(ValidateTables, RefusesNoTablesWrongSizesAndNumbersThatAreNotFinite) {
  EXPECT_FALSE(ValidateTables({}).ok());
  EXPECT_FALSE(ValidateTables(std::vector<ValueTable>(1025, Small())).ok());
  ValueTable t = Small();
  t.value.pop_back();
  EXPECT_FALSE(ValidateTables({t}).ok());
  t = Small();
  t.value[2] = std::numeric_limits<float>::infinity();
  EXPECT_FALSE(ValidateTables({t}).ok());
  t = Small();
  t.cpu_unit_milli = 0;
  EXPECT_FALSE(ValidateTables({t}).ok());
  EXPECT_TRUE(ValidateTables({Small()}).ok());
}

}  // namespace
}  // namespace berth

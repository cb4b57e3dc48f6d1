#include "policy/potential/table_file.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <limits>

#include "base/new_file.h"
#include "base/status.h"
#include "fmt/format.h"
#include "nlohmann/json.hpp"
#include "policy/potential/strict_json.h"

namespace berth {
namespace {

using Json = nlohmann::json;

constexpr std::string_view kFormat = "berth-table-1";
constexpr size_t kMostTables = 1024;
constexpr int64_t kMostLevels = 65'536, kMostValues = 1'000'000;
constexpr uintmax_t kMostBytes = uintmax_t{64} << 20;
constexpr int kMostDepth = 8;

absl::StatusOr<int64_t> Integer(const Json& object, const std::string& field, const char* key, int64_t high) {
  const auto it = object.find(key);
  const bool is_good = it != object.end() && it->is_number_unsigned() && it->get<uint64_t>() >= 1 &&
                       it->get<uint64_t>() <= static_cast<uint64_t>(high);
  if (!is_good)
    return InvalidField(fmt::format("{}.{}", field, key), it == object.end() ? "missing" : it->dump(),
                        fmt::format("a whole number from 1 to {}", high));
  return it->get<int64_t>();
}

double NumberOr(const Json& object, const char* key, double otherwise) {
  const auto it = object.find(key);
  return it != object.end() && it->is_number() ? it->get<double>() : otherwise;
}

absl::StatusOr<ValueTable> TableFrom(const Json& json, const std::string& field) {
  if (!json.is_object()) return InvalidField(field, json.dump().substr(0, 64), "an object");
  ValueTable table;
  BERTH_ASSIGN_OR_RETURN(table.cpu_milli, Integer(json, field, "cpu_milli", kMaxCpuMilli));
  BERTH_ASSIGN_OR_RETURN(table.mem_bytes, Integer(json, field, "mem_bytes", kMaxMemBytes));
  BERTH_ASSIGN_OR_RETURN(table.cpu_unit_milli, Integer(json, field, "cpu_unit_milli", kMaxCpuMilli));
  BERTH_ASSIGN_OR_RETURN(table.mem_unit_bytes, Integer(json, field, "mem_unit_bytes", kMaxMemBytes));
  BERTH_ASSIGN_OR_RETURN(const int64_t cpu_levels, Integer(json, field, "cpu_levels", kMostLevels));
  BERTH_ASSIGN_OR_RETURN(const int64_t mem_levels, Integer(json, field, "mem_levels", kMostLevels));
  table.cpu_levels = static_cast<int32_t>(cpu_levels);
  table.mem_levels = static_cast<int32_t>(mem_levels);
  const auto value = json.find("value");
  if (value == json.end() || !value->is_array()) return InvalidField(field + ".value", "missing", "a list of numbers");
  for (const Json& number : *value) {
    const double v = number.is_number() ? number.get<double>() : std::numeric_limits<double>::quiet_NaN();
    if (!(std::abs(v) <= static_cast<double>(std::numeric_limits<float>::max()))) {
      return InvalidField(fmt::format("{}.value[{}]", field, table.value.size()), number.dump(),
                          "a finite single-precision number");
    }
    table.value.push_back(static_cast<float>(v));
  }
  return table;
}

}  // namespace

absl::Status ValidateTables(const std::vector<ValueTable>& tables) {
  if (tables.empty() || tables.size() > kMostTables)
    return InvalidField("tables", fmt::format("{}", tables.size()), fmt::format("1 to {} tables", kMostTables));
  for (size_t i = 0; i < tables.size(); ++i) {
    const ValueTable& t = tables[i];
    const auto check = [&](const char* name, int64_t value, int64_t high) {
      if (value >= 1 && value <= high) return absl::OkStatus();
      return InvalidField(fmt::format("tables[{}].{}", i, name), fmt::format("{}", value),
                          fmt::format("a whole number from 1 to {}", high));
    };
    BERTH_RETURN_IF_ERROR(check("cpu_milli", t.cpu_milli, kMaxCpuMilli));
    BERTH_RETURN_IF_ERROR(check("mem_bytes", t.mem_bytes, kMaxMemBytes));
    BERTH_RETURN_IF_ERROR(check("cpu_unit_milli", t.cpu_unit_milli, kMaxCpuMilli));
    BERTH_RETURN_IF_ERROR(check("mem_unit_bytes", t.mem_unit_bytes, kMaxMemBytes));
    BERTH_RETURN_IF_ERROR(check("cpu_levels", t.cpu_levels, kMostLevels));
    BERTH_RETURN_IF_ERROR(check("mem_levels", t.mem_levels, kMostLevels));
    const int64_t cells = int64_t{t.cpu_levels} * t.mem_levels;
    if (cells > kMostValues || static_cast<int64_t>(t.value.size()) != cells) {
      return InvalidField(fmt::format("tables[{}].value", i), fmt::format("{} numbers", t.value.size()),
                          fmt::format("cpu_levels x mem_levels = {}, at most {}", cells, kMostValues));
    }
    const auto bad = std::find_if(t.value.begin(), t.value.end(), [](float v) { return !std::isfinite(v); });
    if (bad != t.value.end())
      return InvalidField(fmt::format("tables[{}].value[{}]", i, bad - t.value.begin()), fmt::format("{}", *bad),
                          "a finite number");
  }
  return absl::OkStatus();
}

std::string ToJson(const TableFile& file) {
  Json json{{"format", kFormat},
            {"workload", file.workload},
            {"m", file.m},
            {"design_load", file.design_load},
            {"tables", Json::array()}};
  for (const ValueTable& t : file.tables) {
    json["tables"].push_back({{"cpu_milli", t.cpu_milli},
                              {"mem_bytes", t.mem_bytes},
                              {"cpu_unit_milli", t.cpu_unit_milli},
                              {"mem_unit_bytes", t.mem_unit_bytes},
                              {"cpu_levels", t.cpu_levels},
                              {"mem_levels", t.mem_levels},
                              {"value", t.value}});
  }
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

absl::StatusOr<TableFile> ParseTableFile(std::string_view text) {
  BERTH_ASSIGN_OR_RETURN(const Json json, ParseStrictJson("table file", text, kMostDepth));
  const auto format = json.find("format");
  if (format == json.end() || *format != kFormat)
    return InvalidField("format", format == json.end() ? "missing" : format->dump(), kFormat);
  TableFile file;
  if (const auto it = json.find("workload"); it != json.end() && it->is_string())
    file.workload = it->get<std::string>();
  file.m = NumberOr(json, "m", 0);
  file.design_load = NumberOr(json, "design_load", 0);
  const auto tables = json.find("tables");
  if (tables == json.end() || !tables->is_array()) return InvalidField("tables", "missing", "a list of tables");
  for (const Json& table : *tables) {
    BERTH_ASSIGN_OR_RETURN(auto read, TableFrom(table, fmt::format("tables[{}]", file.tables.size())));
    file.tables.push_back(std::move(read));
  }
  BERTH_RETURN_IF_ERROR(ValidateTables(file.tables));
  return file;
}

absl::StatusOr<TableFile> LoadTableFile(const std::string& path) {
  const std::string name = std::filesystem::path(path).filename().string();
  std::error_code error;
  const uintmax_t bytes = std::filesystem::file_size(path, error);
  std::ifstream in(path, std::ios::binary);
  if (error || !in) return absl::NotFoundError(fmt::format("table file {} can't be read", Quoted(name)));
  if (bytes > kMostBytes)
    return InvalidField("table file", fmt::format("{} bytes", bytes), fmt::format("at most {} bytes", kMostBytes));
  std::string text(static_cast<size_t>(bytes), '\0');
  in.read(text.data(), static_cast<std::streamsize>(bytes));
  text.resize(static_cast<size_t>(in.gcount()));
  return ParseTableFile(text);
}

absl::Status WriteTableFile(const std::string& path, const TableFile& file) {
  NewFile out("table file", path);
  out.out() << ToJson(file) << '\n';
  return out.Commit();
}

}  // namespace berth

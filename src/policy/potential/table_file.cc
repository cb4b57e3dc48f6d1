#include "policy/potential/table_file.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <limits>

#include "absl/strings/escaping.h"
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
constexpr uintmax_t kMostBytes = uintmax_t{512} << 20;
constexpr int kMostDepth = 8;
constexpr int64_t kMostDevices = 8, kMostGpuLevels = 1024;

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

static_assert(std::endian::native == std::endian::little, "floats are stored as they lie in memory");

absl::Status CheckGpuValues(const std::string& field, const GpuValueTable& table) {
  if (table.value.size() == table.keys.size() * static_cast<size_t>(table.cpu_levels)) return absl::OkStatus();
  return InvalidField(field + ".value", fmt::format("{} numbers", table.value.size()), "patterns x cpu_levels numbers");
}

absl::StatusOr<GpuValueTable> GpuTableFrom(const Json& json, const std::string& field) {
  if (!json.is_object()) return InvalidField(field, json.dump().substr(0, 64), "an object");
  GpuValueTable table;
  BERTH_ASSIGN_OR_RETURN(const int64_t devices, Integer(json, field, "devices", kMostDevices));
  BERTH_ASSIGN_OR_RETURN(table.cpu_milli, Integer(json, field, "cpu_milli", kMaxCpuMilli));
  BERTH_ASSIGN_OR_RETURN(const int64_t units, Integer(json, field, "units", kMostGpuUnits));
  BERTH_ASSIGN_OR_RETURN(const int64_t levels, Integer(json, field, "cpu_levels", kMostGpuLevels));
  table.devices = static_cast<int32_t>(devices);
  table.units = static_cast<int32_t>(units);
  table.cpu_levels = static_cast<int32_t>(levels);
  table.cpu_unit_milli = NumberOr(json, "cpu_unit_milli", 0);
  const auto model = json.find("gpu_model");
  if (model != json.end() && model->is_string()) table.gpu_model = model->get<std::string>();
  const auto value = json.find("value_base64");
  std::string bytes;
  if (value == json.end() || !value->is_string() ||
      !absl::Base64Unescape(value->get_ref<const std::string&>(), &bytes) || bytes.size() % sizeof(float) != 0) {
    return InvalidField(field + ".value_base64", value == json.end() ? "missing" : "other text",
                        "floats in base64, padded");
  }
  table.value.resize(bytes.size() / sizeof(float));
  std::memcpy(table.value.data(), bytes.data(), bytes.size());
  table.keys = GpuPatternKeys(table.devices, table.units);
  // Here already: many tables of no values would make many keys of a short text.
  BERTH_RETURN_IF_ERROR(CheckGpuValues(field, table));
  return table;
}

absl::Status CheckFinite(const std::string& field, const std::vector<float>& value) {
  const auto bad = std::find_if(value.begin(), value.end(), [](float v) { return !std::isfinite(v); });
  if (bad == value.end()) return absl::OkStatus();
  return InvalidField(fmt::format("{}[{}]", field, bad - value.begin()), fmt::format("{}", *bad), "a finite number");
}

absl::Status CheckCount(const char* field, size_t tables) {
  if (tables >= 1 && tables <= kMostTables) return absl::OkStatus();
  return InvalidField(field, fmt::format("{}", tables), fmt::format("1 to {} tables", kMostTables));
}

}  // namespace

absl::Status ValidateGpuTables(const std::vector<GpuValueTable>& tables) {
  BERTH_RETURN_IF_ERROR(CheckCount("gpu_tables", tables.size()));
  for (size_t i = 0; i < tables.size(); ++i) {
    const GpuValueTable& t = tables[i];
    const auto check = [&](const char* name, double value, double high) {
      if (value > 0 && value <= high) return absl::OkStatus();
      return InvalidField(fmt::format("gpu_tables[{}].{}", i, name), fmt::format("{}", value),
                          fmt::format("above 0, at most {}", high));
    };
    BERTH_RETURN_IF_ERROR(check("devices", t.devices, kMostDevices));
    BERTH_RETURN_IF_ERROR(check("units", t.units, kMostGpuUnits));
    BERTH_RETURN_IF_ERROR(check("cpu_levels", t.cpu_levels, kMostGpuLevels));
    BERTH_RETURN_IF_ERROR(check("cpu_milli", static_cast<double>(t.cpu_milli), static_cast<double>(kMaxCpuMilli)));
    BERTH_RETURN_IF_ERROR(check("cpu_unit_milli", t.cpu_unit_milli, static_cast<double>(kMaxCpuMilli)));
    if (t.keys != GpuPatternKeys(t.devices, t.units)) {
      return InvalidField(fmt::format("gpu_tables[{}].keys", i), "other keys", "as GpuPatternKeys");
    }
    BERTH_RETURN_IF_ERROR(CheckGpuValues(fmt::format("gpu_tables[{}]", i), t));
    BERTH_RETURN_IF_ERROR(CheckFinite(fmt::format("gpu_tables[{}].value", i), t.value));
  }
  return absl::OkStatus();
}

absl::Status ValidateTables(const std::vector<ValueTable>& tables) {
  BERTH_RETURN_IF_ERROR(CheckCount("tables", tables.size()));
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
    BERTH_RETURN_IF_ERROR(CheckFinite(fmt::format("tables[{}].value", i), t.value));
  }
  return absl::OkStatus();
}

std::string ToJson(const TableFile& file) {
  Json json{{"format", kFormat}, {"workload", file.workload}, {"m", file.m}, {"design_load", file.design_load}};
  for (const ValueTable& t : file.tables) {
    json["tables"].push_back({{"cpu_milli", t.cpu_milli},
                              {"mem_bytes", t.mem_bytes},
                              {"cpu_unit_milli", t.cpu_unit_milli},
                              {"mem_unit_bytes", t.mem_unit_bytes},
                              {"cpu_levels", t.cpu_levels},
                              {"mem_levels", t.mem_levels},
                              {"value", t.value}});
  }
  for (const GpuValueTable& t : file.gpu_tables) {
    const std::string_view bytes(reinterpret_cast<const char*>(t.value.data()), t.value.size() * sizeof(float));
    json["gpu_tables"].push_back({{"devices", t.devices},
                                  {"gpu_model", t.gpu_model},
                                  {"cpu_milli", t.cpu_milli},
                                  {"units", t.units},
                                  {"cpu_unit_milli", t.cpu_unit_milli},
                                  {"cpu_levels", t.cpu_levels},
                                  {"value_base64", absl::Base64Escape({bytes.data(), bytes.size()})}});
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
  if (const auto gpu_tables = json.find("gpu_tables"); gpu_tables != json.end()) {
    if (json.contains("tables")) return InvalidField("gpu_tables", "beside tables", "one of the two");
    if (!gpu_tables->is_array()) return InvalidField("gpu_tables", "no list", "a list of tables");
    BERTH_RETURN_IF_ERROR(CheckCount("gpu_tables", gpu_tables->size()));
    for (const Json& table : *gpu_tables) {
      BERTH_ASSIGN_OR_RETURN(auto read, GpuTableFrom(table, fmt::format("gpu_tables[{}]", file.gpu_tables.size())));
      file.gpu_tables.push_back(std::move(read));
    }
    BERTH_RETURN_IF_ERROR(ValidateGpuTables(file.gpu_tables));
    return file;
  }
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

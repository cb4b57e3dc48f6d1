#include "mdp/files/json_fields.h"

#include <optional>
#include <set>
#include <vector>

#include "base/status.h"
#include "fmt/format.h"

namespace berth::mdp::internal {

using nlohmann::json;

absl::StatusOr<json> ParseJsonObject(std::string_view kind, std::string_view text) {
  constexpr int kMaxDepth = 16;
  std::vector<std::set<std::string>> keys;  // of the objects that are open
  std::optional<std::string> duplicate;
  bool is_deep = false;
  const auto look = [&](int depth, json::parse_event_t event, json& parsed) {
    if (depth > kMaxDepth) is_deep = true;
    if (is_deep) return false;
    if (event == json::parse_event_t::object_start) {
      keys.emplace_back();
    } else if (event == json::parse_event_t::object_end) {
      keys.pop_back();
    } else if (event == json::parse_event_t::key && !keys.back().insert(parsed.get<std::string>()).second) {
      duplicate = parsed.get<std::string>();
    }
    return true;
  };
  // A NUL would end the text for the parser, whatever follows.
  const bool is_text = text.find('\0') == std::string_view::npos;
  json result = is_text ? json::parse(text, look, false) : json(json::value_t::discarded);
  if (is_deep) return InvalidField(kind, "nested JSON", fmt::format("at most {} levels", kMaxDepth));
  if (duplicate) return InvalidField(fmt::format("{}: key", kind), *duplicate, "each key once");
  if (result.is_discarded() || !result.is_object()) return InvalidField(kind, text.substr(0, 64), "a JSON object");
  return result;
}

absl::StatusOr<int64_t> IntegerOf(const json& value, std::string_view field, int64_t low, int64_t high) {
  // An unsigned number above 2^63 - 1 would turn negative.
  const bool is_small =
      value.is_number_integer() && (!value.is_number_unsigned() || value.get<uint64_t>() <= INT64_MAX);
  if (!is_small || value.get<int64_t>() < low || value.get<int64_t>() > high) {
    return InvalidField(field, Shown(value), fmt::format("a whole number from {} to {}", low, high));
  }
  return value.get<int64_t>();
}

absl::StatusOr<int64_t> IntegerField(const json& object, std::string_view where, const char* field, int64_t low,
                                     int64_t high) {
  return IntegerOf(FieldOrNull(object, field), fmt::format("{}{}", where, field), low, high);
}

absl::StatusOr<std::string> TextField(const json& object, std::string_view where, const char* field) {
  const json& value = FieldOrNull(object, field);
  if (!value.is_string()) return InvalidField(fmt::format("{}{}", where, field), Shown(value), "a text");
  return value.get<std::string>();
}

std::string Shown(const json& value) {
  if (value.is_null()) return "missing";
  if (value.is_string()) return value.get<std::string>();
  if (value.is_object()) return "an object";
  if (value.is_array()) return fmt::format("a list of {}", value.size());
  return value.dump();
}

const json& FieldOrNull(const json& object, const char* field) {
  static const json null;
  const auto it = object.find(field);
  return it == object.end() ? null : *it;
}

}  // namespace berth::mdp::internal

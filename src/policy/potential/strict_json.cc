#include "policy/potential/strict_json.h"

#include <optional>
#include <set>
#include <vector>

#include "base/status.h"
#include "fmt/format.h"

namespace berth {

using nlohmann::json;

absl::StatusOr<json> ParseStrictJson(std::string_view field, std::string_view text, int max_depth) {
  std::vector<std::set<std::string>> keys;  // of the objects that are open
  std::optional<std::string> duplicate;
  bool is_deep = false;
  const auto callback = [&](int depth, json::parse_event_t event, json& parsed) {
    using Event = json::parse_event_t;
    if (depth > max_depth) {
      is_deep = true;
      return false;
    }
    if (event == Event::object_start) {
      keys.emplace_back();
    } else if (event == Event::object_end) {
      keys.pop_back();
    } else if (event == Event::key && !keys.back().insert(parsed.get<std::string>()).second) {
      duplicate = parsed.get<std::string>();
    }
    return true;
  };
  // The parser skips white space and a byte order mark in front, and ends at a NUL whatever follows.
  const bool is_object = text.substr(0, 1) == "{" && text.find('\0') == std::string_view::npos;
  json result = is_object ? json::parse(text, callback, false) : json(json::value_t::discarded);
  if (is_deep) return InvalidField(field, "nested JSON", fmt::format("at most {} levels", max_depth));
  if (duplicate) return InvalidField(fmt::format("{}: key", field), *duplicate, "each key once");
  if (result.is_discarded() || !result.is_object()) return InvalidField(field, text, "a JSON object");
  return result;
}

absl::StatusOr<std::string> DumpStrictJson(std::string_view field, const json& value, int indent) {
  std::string text = value.dump(indent, ' ', false, json::error_handler_t::replace);
  // Broken bytes are left out by one handler and replaced by the other.
  if (text != value.dump(indent, ' ', false, json::error_handler_t::ignore)) {
    return InvalidField(field, "a text of other bytes", "UTF-8");
  }
  return text;
}

}  // namespace berth

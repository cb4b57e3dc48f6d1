#include "adapters/kubernetes/json.h"

#include "base/status.h"
#include "fmt/format.h"
#include "nlohmann/json.hpp"

namespace berth::kubernetes {
namespace {

std::string_view TypeName(JsonElement element) {
  switch (element.type()) {
    case simdjson::dom::element_type::ARRAY: return "a list";
    case simdjson::dom::element_type::OBJECT: return "an object";
    case simdjson::dom::element_type::INT64:
    case simdjson::dom::element_type::UINT64: return "a whole number";
    case simdjson::dom::element_type::DOUBLE: return "a fraction";
    case simdjson::dom::element_type::STRING: return "a string";
    case simdjson::dom::element_type::BOOL: return "a boolean";
    case simdjson::dom::element_type::NULL_VALUE: return "null";
  }
  return "of an unknown type";
}

}  // namespace

std::string Where::Text() const {
  std::string text = parent == nullptr ? std::string() : parent->Text();
  if (index >= 0) return text + fmt::format("[{}]", index);
  if (!text.empty() && !key.empty()) text += '.';
  return text + std::string(key);
}

absl::Status WrongType(JsonElement element, const Where& where, std::string_view accepted) {
  return absl::InvalidArgumentError(fmt::format("{} is {}, accepted: {}", where.Text(), TypeName(element), accepted));
}

absl::StatusOr<JsonObject> ParseObject(simdjson::dom::parser& parser, std::string_view text, std::string_view where) {
  if (parser.max_depth() != kMaxJsonDepth && parser.allocate(std::max<size_t>(text.size(), 1024), kMaxJsonDepth) != simdjson::SUCCESS) {
    return absl::ResourceExhaustedError("out of memory for JSON");
  }
  JsonElement element;
  const simdjson::error_code error = parser.parse(text.data(), text.size()).get(element);
  if (error == simdjson::DEPTH_ERROR) {
    return absl::InvalidArgumentError(fmt::format("{} is nested too deeply, accepted: at most {} levels", where, kMaxJsonDepth));
  }
  if (error != simdjson::SUCCESS) {
    return absl::InvalidArgumentError(fmt::format("{} is {}, accepted: one JSON object ({})", where, text.empty() ? "empty" : "no JSON",
                                                  simdjson::error_message(error)));
  }
  return AsObject(element, Where{nullptr, where});
}

std::optional<JsonElement> Find(JsonObject in, std::string_view key) {
  JsonElement element;
  if (in.at_key(key).get(element) != simdjson::SUCCESS || element.is_null()) return std::nullopt;
  return element;
}

absl::StatusOr<JsonObject> AsObject(JsonElement element, const Where& where) {
  JsonObject object;
  if (element.get(object) != simdjson::SUCCESS) return WrongType(element, where, "an object");
  return object;
}

absl::StatusOr<std::string_view> AsString(JsonElement element, const Where& where) {
  std::string_view text;
  if (element.get(text) != simdjson::SUCCESS) return WrongType(element, where, "a string");
  return text;
}

absl::StatusOr<std::optional<JsonObject>> FindObject(JsonObject in, std::string_view key, const Where& where) {
  const std::optional<JsonElement> element = Find(in, key);
  if (!element) return std::nullopt;
  BERTH_ASSIGN_OR_RETURN(const JsonObject object, AsObject(*element, Where{&where, key}));
  return object;
}

absl::StatusOr<std::optional<JsonArray>> FindArray(JsonObject in, std::string_view key, const Where& where) {
  const std::optional<JsonElement> element = Find(in, key);
  if (!element) return std::nullopt;
  JsonArray array;
  if (element->get(array) != simdjson::SUCCESS) return WrongType(*element, Where{&where, key}, "a list");
  return array;
}

absl::StatusOr<std::string_view> FindString(JsonObject in, std::string_view key, const Where& where) {
  const std::optional<JsonElement> element = Find(in, key);
  if (!element) return std::string_view();
  return AsString(*element, Where{&where, key});
}

absl::StatusOr<bool> FindBool(JsonObject in, std::string_view key, const Where& where) {
  const std::optional<JsonElement> element = Find(in, key);
  if (!element) return false;
  bool value = false;
  if (element->get(value) != simdjson::SUCCESS) return WrongType(*element, Where{&where, key}, "true or false");
  return value;
}

absl::StatusOr<int64_t> FindInt(JsonObject in, std::string_view key, const Where& where, int64_t low, int64_t high, int64_t absent) {
  const std::optional<JsonElement> element = Find(in, key);
  if (!element) return absent;
  int64_t value = 0;
  const std::string accepted = fmt::format("a whole number from {} to {}", low, high);
  if (element->get(value) != simdjson::SUCCESS) return WrongType(*element, Where{&where, key}, accepted);
  if (value < low || value > high) return InvalidField(Where{&where, key}.Text(), fmt::format("{}", value), accepted);
  return value;
}

void AppendJsonString(std::string_view text, std::string* out) {
  const bool is_plain = std::all_of(text.begin(), text.end(), [](char c) { return c >= 0x20 && c < 0x7f && c != '"' && c != '\\'; });
  if (!is_plain) {
    *out += nlohmann::json(text).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
    return;
  }
  *out += '"';
  *out += text;
  *out += '"';
}

void AppendField(std::string_view key, std::string_view text, std::string* out) {
  if (out->back() != '{') *out += ',';
  AppendJsonString(key, out);
  *out += ':';
  AppendJsonString(text, out);
}

}  // namespace berth::kubernetes

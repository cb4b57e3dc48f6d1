// Reading JSON of the core/v1 API with errors that name the field. Over simdjson's DOM: elements are views into a parser and
// live until it parses again. An absent key and a null are the same, as in Go. Thread-safety: pure functions.
#ifndef BERTH_ADAPTERS_KUBERNETES_JSON_H_
#define BERTH_ADAPTERS_KUBERNETES_JSON_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "simdjson.h"

namespace berth::kubernetes {

using JsonElement = simdjson::dom::element;
using JsonObject = simdjson::dom::object;
using JsonArray = simdjson::dom::array;

// Where we are, for messages; a chain on the stack, so that a good document costs no text.
struct Where {
  const Where* parent = nullptr;
  std::string_view key;
  int64_t index = -1;   // within a list
  // "Pod.spec.containers[2].resources.requests.cpu"
  std::string Text() const;
};

// Parses a document of at most `parser`'s capacity. `where` names it in messages. Errors: INVALID_ARGUMENT: not JSON, not an
// object, nested deeper than 64.
absl::StatusOr<JsonObject> ParseObject(simdjson::dom::parser& parser, std::string_view text, std::string_view where);
inline constexpr size_t kMaxJsonDepth = 64;

// The value of a key, or none. Errors: INVALID_ARGUMENT another type.
absl::StatusOr<std::optional<JsonObject>> FindObject(JsonObject in, std::string_view key, const Where& where);
absl::StatusOr<std::optional<JsonArray>> FindArray(JsonObject in, std::string_view key, const Where& where);
absl::StatusOr<std::string_view> FindString(JsonObject in, std::string_view key, const Where& where);   // empty when absent
absl::StatusOr<bool> FindBool(JsonObject in, std::string_view key, const Where& where);                 // false when absent
absl::StatusOr<int64_t> FindInt(JsonObject in, std::string_view key, const Where& where, int64_t low, int64_t high, int64_t absent);
std::optional<JsonElement> Find(JsonObject in, std::string_view key);   // null is absent

// The element as an object. Errors: INVALID_ARGUMENT.
absl::StatusOr<JsonObject> AsObject(JsonElement element, const Where& where);
absl::StatusOr<std::string_view> AsString(JsonElement element, const Where& where);

// INVALID_ARGUMENT "<where>.<key> is <type>, accepted: <accepted>".
absl::Status WrongType(JsonElement element, const Where& where, std::string_view accepted);

// Appends the text as a JSON string, quotes included; broken UTF-8 is replaced.
void AppendJsonString(std::string_view text, std::string* out);
// Appends a member with a text to an object that is being written, with a comma where it is not the first.
void AppendField(std::string_view key, std::string_view text, std::string* out);

}  // namespace berth::kubernetes

#endif  // BERTH_ADAPTERS_KUBERNETES_JSON_H_

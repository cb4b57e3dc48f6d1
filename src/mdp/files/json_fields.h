// JSON from files that nobody here wrote, and its fields with their limits. Internal.
#ifndef BERTH_MDP_FILES_JSON_FIELDS_H_
#define BERTH_MDP_FILES_JSON_FIELDS_H_

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "nlohmann/json.hpp"

namespace berth::mdp::internal {

// Errors: INVALID_ARGUMENT text that is no JSON object from its first byte on, the same key twice in one object, more
// than 16 levels.
absl::StatusOr<nlohmann::json> ParseJsonObject(std::string_view kind, std::string_view text);

// The fields below: `where` stands in front of the field's name in errors. Errors: INVALID_ARGUMENT the field is absent
// or not what is asked for.
absl::StatusOr<int64_t> IntegerField(const nlohmann::json& object, std::string_view where, const char* field,
                                     int64_t low, int64_t high);
absl::StatusOr<std::string> TextField(const nlohmann::json& object, std::string_view where, const char* field);

// A field that is no integer within [low, high], as an error or its value.
absl::StatusOr<int64_t> IntegerOf(const nlohmann::json& value, std::string_view field, int64_t low, int64_t high);

// The value as it may stand in a message; "missing" for null.
std::string Shown(const nlohmann::json& value);

// object[field], or null.
const nlohmann::json& FieldOrNull(const nlohmann::json& object, const char* field);

}  // namespace berth::mdp::internal

#endif  // BERTH_MDP_FILES_JSON_FIELDS_H_

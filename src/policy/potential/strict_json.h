// JSON from files that nobody here wrote: what nlohmann::json is silent about is an error.
#ifndef BERTH_POLICY_POTENTIAL_STRICT_JSON_H_
#define BERTH_POLICY_POTENTIAL_STRICT_JSON_H_

#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "nlohmann/json.hpp"

namespace berth {

// Errors, `field` in front: INVALID_ARGUMENT text that is no JSON object from its first byte to its last (a byte order
// mark and broken UTF-8 included), more than `max_depth` levels, the same key twice in one object. Thread-safe; cost
// O(text).
absl::StatusOr<nlohmann::json> ParseStrictJson(std::string_view field, std::string_view text, int max_depth);

// Errors: INVALID_ARGUMENT a text inside that is no UTF-8. `indent` -1 = one line.
absl::StatusOr<std::string> DumpStrictJson(std::string_view field, const nlohmann::json& json, int indent);

}  // namespace berth

#endif  // BERTH_POLICY_POTENTIAL_STRICT_JSON_H_

// Kubernetes quantities, exact: "250m", "1.5", "256Mi", "1e3", "128974848", "1395864371200m".
// Grammar and rounding as in k8s.io/apimachinery resource.Quantity: fractions round up to the wanted grain.
#ifndef BERTH_BASE_QUANTITY_H_
#define BERTH_BASE_QUANTITY_H_

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace berth {

// Thousandths of a core; "0.1m" is 1. Errors: INVALID_ARGUMENT that names `field`, for malformed text, a negative amount
// or one above 2^63 - 1 thousandths.
absl::StatusOr<int64_t> ParseCpuMilli(std::string_view field, std::string_view text);

// Bytes, rounded up. Errors as above.
absl::StatusOr<int64_t> ParseBytes(std::string_view field, std::string_view text);

// A whole number within [low, high]; no sign but '-', no spaces. Errors: INVALID_ARGUMENT that names field, value, range.
absl::StatusOr<int64_t> ParseInteger(std::string_view field, std::string_view text, int64_t low, int64_t high);

// A finite decimal number within [low, high].
absl::StatusOr<double> ParseDouble(std::string_view field, std::string_view text, double low, double high);

// The shortest exact forms: 1500 -> "1500m", 2000 -> "2"; 268435456 -> "256Mi".
std::string FormatCpuMilli(int64_t cpu_milli);
std::string FormatBytes(int64_t bytes);

}  // namespace berth

#endif  // BERTH_BASE_QUANTITY_H_

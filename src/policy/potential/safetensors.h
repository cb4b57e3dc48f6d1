// The safetensors file format, float32 only: u64 header length, JSON header, flat data. A strict reader: a file is data and
// nothing else, so every byte of it is accounted for before any is used.
#ifndef BERTH_POLICY_POTENTIAL_SAFETENSORS_H_
#define BERTH_POLICY_POTENTIAL_SAFETENSORS_H_

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace berth {

struct Tensor {
  std::vector<int64_t> shape;
  std::vector<float> values;         // row-major
};
using TensorMap = std::map<std::string, Tensor>;

// Errors: INVALID_ARGUMENT that says what is wrong: header length above 1 MiB or past the end, no JSON object, duplicate or
// unknown keys, metadata other than texts, dtype other than F32, more than 2^22 values in one tensor, a shape that does not
// match the offsets, gaps, overlaps, trailing bytes, values that are not finite. Stricter than the reference reader, which
// takes duplicate and unknown keys and any dtype. Cost: O(bytes); nothing is allocated for values that are not in the file.
absl::StatusOr<TensorMap> ParseSafetensors(std::string_view bytes);
// Names in order, header padded with spaces to 8 bytes. Requires that sizes and shapes agree.
std::string ToSafetensors(const TensorMap& tensors);

// Lower-case hex.
std::string Sha256Hex(std::string_view bytes);

}  // namespace berth

#endif  // BERTH_POLICY_POTENTIAL_SAFETENSORS_H_

// A checkpoint: tensors (safetensors) and state (JSON), written whole or not at all, with the fingerprint of the machine's
// arithmetic, because the same weights are reached again only with the same arithmetic.
#ifndef BERTH_AGENT_CHECKPOINT_H_
#define BERTH_AGENT_CHECKPOINT_H_

#include <string>

#include "absl/status/statusor.h"
#include "nlohmann/json.hpp"
#include "policy/potential/safetensors.h"

namespace berth {

struct Checkpoint {
  TensorMap tensors;
  nlohmann::json state;         // an object; doubles survive exactly
  std::string fingerprint;      // ArithmeticFingerprint() of the machine that wrote it
};

// Writes <dir>/checkpoint.json and the tensors beside it; a reader finds the old pair or the new one, never a mix: the JSON
// names the tensors file and its sha256, and is put in place last. Errors: FAILED_PRECONDITION it can't be written.
absl::Status WriteCheckpoint(const std::string& dir, const Checkpoint& checkpoint);

// Errors: NOT_FOUND there is none; INVALID_ARGUMENT what is wrong with it (not ours, cut, changed).
absl::StatusOr<Checkpoint> ReadCheckpoint(const std::string& dir);

}  // namespace berth

#endif  // BERTH_AGENT_CHECKPOINT_H_

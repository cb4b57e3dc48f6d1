// A public program that a bench compares with, run to its end in a process of its own.
#ifndef BERTH_CLI_PEER_H_
#define BERTH_CLI_PEER_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "nlohmann/json.hpp"

namespace berth::cli {

// Runs `python script arguments...` behind `prefix` (shell words in front of it: variables, `timeout`; may be empty)
// and parses what it prints, an object that has `key`. Errors: RESOURCE_EXHAUSTED no process is left; INVALID_ARGUMENT
// of peers-python, which accepts `accepted`, where it fails or prints something else.
absl::StatusOr<nlohmann::json> RunPeer(const std::string& prefix, const std::string& python, const std::string& script,
                                       const std::vector<std::string>& arguments, const std::string& key,
                                       const std::string& accepted);

}  // namespace berth::cli

#endif  // BERTH_CLI_PEER_H_

// The processes of one training run: rank 0 leads, the others work for it. torch.distributed (c10d with Gloo) behind a plain interface.
#ifndef BERTH_AGENT_PROCESS_GROUP_H_
#define BERTH_AGENT_PROCESS_GROUP_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace berth {

// What torchrun and Kubeflow's PyTorchJob put into the environment of each process.
struct RankSettings {
  std::string master_addr;   // MASTER_ADDR: where rank 0 listens
  uint16_t master_port = 0;  // MASTER_PORT
  int rank = 0;              // RANK, 0 to size - 1
  int size = 1;              // WORLD_SIZE
};

inline constexpr int kMostRanks = 1024;

// None where neither RANK nor WORLD_SIZE is set, or WORLD_SIZE is 1: one process, no network. `get` null: getenv.
// Errors: INVALID_ARGUMENT naming variable, value and range; a variable that is missing beside the others too.
absl::StatusOr<std::optional<RankSettings>> RankSettingsFromEnvironment(const std::function<const char*(const char*)>& get = nullptr);

// One for each process. Not thread-safe. All ranks must call the same operations in the same order.
//
// Errors of every operation: UNAVAILABLE a process is gone, or did not answer in the time that Join was given; the group is then unusable.
// A process that dies closes its connections, which the others notice at once; a machine that is cut off, after that time.
class ProcessGroup {
 public:
  // Waits until all processes are there. Errors: UNAVAILABLE they are not within `timeout_s`; FAILED_PRECONDITION this LibTorch was built
  // without torch.distributed.
  static absl::StatusOr<std::unique_ptr<ProcessGroup>> Join(const RankSettings& settings, double timeout_s);
  virtual ~ProcessGroup() = default;

  virtual int rank() const = 0;
  virtual int size() const = 0;
  // `*bytes` of rank 0 becomes that of every rank. Cost: its length, over each connection of a tree.
  virtual absl::Status Broadcast(std::string* bytes) = 0;
  // At rank 0 `bytes` of each rank, in order; empty elsewhere.
  virtual absl::StatusOr<std::vector<std::string>> Gather(const std::string& bytes) = 0;
};

}  // namespace berth

#endif  // BERTH_AGENT_PROCESS_GROUP_H_

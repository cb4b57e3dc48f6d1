// The openb trace (Alibaba cluster-trace-gpu-v2023) and the arrival and rank files of the published FGD protocol
// (Weng et al., USENIX ATC 2023; hkust-adsl/kubernetes-scheduler-simulator). Any files of the same format work.
//
// CSV by RFC 4180 with or without BOM, CRLF or LF, with or without a last line end. Errors:
// INVALID_ARGUMENT "<file kind> line L column C (<header>): …" with value and range; NOT_FOUND the file; RESOURCE_EXHAUSTED
// files over 1 GiB or fields over 4 KiB. Rows with a repeated name are an error that gives both line numbers.
#ifndef BERTH_WORKLOAD_OPENB_H_
#define BERTH_WORKLOAD_OPENB_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "workload/workload.h"

namespace berth {

struct OpenbPod {
  std::string name;
  PodRequest request;
  std::string qos;                                   // empty where the file has no such column
  std::string phase;
  std::optional<int64_t> creation_s, deletion_s, scheduled_s;   // an empty cell is no time, never 0
};

// Header sn,cpu_milli,memory_mib,gpu,model. max_pods is the protocol's 1001.
absl::StatusOr<std::vector<Node>> ReadOpenbNodes(const std::string& path);
// Header name,cpu_milli,memory_mib,num_gpu,gpu_milli[,gpu_spec,qos,pod_phase,creation_time,deletion_time,scheduled_time].
// gpu_spec "A|B" lists allowed models, empty = any; num_gpu 0 ignores gpu_milli.
absl::StatusOr<std::vector<OpenbPod>> ReadOpenbPods(const std::string& path);

// One column a seed, header s<seed>. arrival: pods in arrival order as 0-based row numbers, shorter columns end in empty
// cells. noderank: row i = rank of node row i, a permutation. Errors also: a row number >= pods, a rank twice, a seed
// that has no column.
struct SeedColumn {
  uint64_t seed = 0;
  std::vector<uint32_t> values;
};
absl::StatusOr<std::vector<SeedColumn>> ReadArrivalOrders(const std::string& path, size_t pods);
absl::StatusOr<std::vector<SeedColumn>> ReadNodeRanks(const std::string& path, size_t nodes);

// The trace as a workload: pods with equal requests are one class, shares by count, lifetimes empirical (deletion -
// creation, at least 1 s, at most `max_life_s`) or, where the file has no times, exponential with mean 1 h.
// With `recorded`, arrivals are replayed at their creation times.
absl::StatusOr<Workload> OpenbWorkload(const std::string& nodes_path, const std::string& pods_path, double max_life_s,
                                       bool recorded);

}  // namespace berth

#endif  // BERTH_WORKLOAD_OPENB_H_

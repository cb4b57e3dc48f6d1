// The openb trace as a workload whose pods depart ("churn"): the mix of a pod list, lives of two kinds, all of its nodes or
// a sample of them. Readers and their errors: openb.h.
#ifndef BERTH_WORKLOAD_OPENB_CHURN_H_
#define BERTH_WORKLOAD_OPENB_CHURN_H_

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "workload/workload.h"

namespace berth {

enum class ChurnLives : uint8_t {
  kExponential,   // mean of one hour, all pods alike
  kTrace,         // deletion - creation of a random pod with the same cpu, GPUs, GPU share and allowed models: 1 s to 2 h
};
// "exponential", "trace". Errors: INVALID_ARGUMENT another name.
absl::StatusOr<ChurnLives> ParseChurnLives(std::string_view name);

struct OpenbChurnOptions {
  int64_t sample_nodes = 0;   // 0 = all; else largest remainder over the node shapes, with one node of every GPU model
  ChurnLives lives = ChurnLives::kExponential;
};

// Arrivals are drawn uniformly from the pod list, with replacement: pods with equal requests are one class, its share is their
// share of the list. Nodes of one shape are one group, in order of first appearance; 151 of the 1213 GPU nodes hold 768 GPUs.
// The name says list and sample ("openb-cpu250-151" for openb_pod_list_cpu250.csv; "openb" alone for other file names).
// Errors: as the readers; INVALID_ARGUMENT lives kTrace where a pod has no times, a sample smaller than the number of GPU
// models or larger than 1,000,000. Cost: O(nodes x shapes + pods log classes).
absl::StatusOr<Workload> OpenbChurnWorkload(const std::string& nodes_path, const std::string& pods_path, const OpenbChurnOptions& options);

}  // namespace berth

#endif  // BERTH_WORKLOAD_OPENB_CHURN_H_

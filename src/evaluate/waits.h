// How long pods waited (queue form), by pod class and by kind of pod: a mean hides that the tail is one class.
#ifndef BERTH_EVALUATE_WAITS_H_
#define BERTH_EVALUATE_WAITS_H_

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "evaluate/evaluate.h"
#include "workload/workload.h"

namespace berth {

// Over the pods of a group that arrived inside the window; a pod that still waits at the end counts with its wait so far.
struct WaitSummary {
  std::string name;          // of the pod class, or of the kind as in workload/summary.h ("cpu only", "8 gpu")
  int64_t pods = 0;
  double gpus = 0;           // asked for by one of its pods on average
  double mean_s = 0, p50_s = 0, p90_s = 0, p99_s = 0;
};

// Pools the pods of all `runs`, which must be of `workload` and of the queue form (nothing waits in others: no groups).
// Groups without pods are left out; classes in the workload's order, kinds by GPUs. Cost: O(n log n) for n pods.
std::vector<WaitSummary> WaitsByClass(const Workload& workload, std::span<const ChurnRun> runs);
std::vector<WaitSummary> WaitsByKind(const Workload& workload, std::span<const ChurnRun> runs);

}  // namespace berth

#endif  // BERTH_EVALUATE_WAITS_H_

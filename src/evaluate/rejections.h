// Which pods were turned away (static and loss form), by pod class and by kind of pod: a share of GPU hours hides that it is one class.
#ifndef BERTH_EVALUATE_REJECTIONS_H_
#define BERTH_EVALUATE_REJECTIONS_H_

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "evaluate/evaluate.h"
#include "workload/workload.h"

namespace berth {

// Over the pods of a group that arrived inside the window.
struct RejectionSummary {
  std::string name;          // of the pod class, or of the kind as in workload/summary.h ("cpu only", "8 gpu")
  int64_t arrived = 0;
  int64_t rejected = 0;
  int64_t declined = 0;      // of the rejected: fitted somewhere, and the policy turned them away
  double rejected_percent() const { return arrived > 0 ? 100 * static_cast<double>(rejected) / static_cast<double>(arrived) : 0; }
};

// Pools the pods of all `runs`, which must be of `workload`. Groups without pods are left out; classes in the workload's order, kinds
// by GPUs. Cost: O(runs x classes).
std::vector<RejectionSummary> RejectionsByClass(const Workload& workload, std::span<const ChurnRun> runs);
std::vector<RejectionSummary> RejectionsByKind(const Workload& workload, std::span<const ChurnRun> runs);

}  // namespace berth

#endif  // BERTH_EVALUATE_REJECTIONS_H_

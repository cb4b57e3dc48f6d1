// What `berth evaluate --bound` adds: the least loss that any policy can have, and the share of the avoidable loss that each
// policy removes, in JSON, tables and plots. Bounds are computed before the runs, so that what has none says so at once.
#ifndef BERTH_CLI_EVALUATE_BOUND_H_
#define BERTH_CLI_EVALUATE_BOUND_H_

#include <functional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "evaluate/bound.h"
#include "evaluate/evaluate.h"
#include "evaluate/report.h"
#include "nlohmann/json.hpp"

namespace berth::cli {

// At 80, 90, … 130 % arrived, for the plot; 100 and 130 are reported.
struct FgdBounds {
  std::vector<FgdBound> of_sequences;   // seed after seed
  std::vector<FgdBound> of_mix;
};
absl::StatusOr<FgdBounds> ComputeFgdBounds(const std::vector<Node>& nodes, const std::vector<PodRequest>& pods,
                                           const std::vector<FgdSequence>& sequences, const Workload& mix, const RunOptions& options);

// `runs` as RunFgdProtocol gives them: policy after policy, its seeds in the order of the sequences. The first plot of the
// report gets the bounds as dashed lines.
void AddFgdBounds(const FgdBounds& bounds, const PolicyList& policies, const std::vector<FgdRun>& runs, nlohmann::json* json, Report* report);

// Of the long run, or of the recorded arrivals. Errors: as BoundChurn and BoundRecorded; INVALID_ARGUMENT not the loss form: a queue rejects nothing.
absl::StatusOr<std::vector<ChurnBound>> ComputeChurnBounds(const Workload& workload, const ChurnOptions& churn);

// `runs` as RunChurn gives them; `rejected_percent` is what the bound is on.
void AddChurnBounds(const std::vector<ChurnBound>& bounds, const PolicyList& policies, const std::vector<ChurnRun>& runs,
                    const std::function<double(const ChurnRun&)>& rejected_percent, nlohmann::json* json, Report* report);

}  // namespace berth::cli

#endif  // BERTH_CLI_EVALUATE_BOUND_H_

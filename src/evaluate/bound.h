// Bounds: the least loss that any policy can have on a workload, by the programs of placement_lp.h.
#ifndef BERTH_EVALUATE_BOUND_H_
#define BERTH_EVALUATE_BOUND_H_

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "evaluate/evaluate.h"
#include "workload/workload.h"

namespace berth {

// No policy loses less, in percent.
struct LossBound {
  double may_refuse = 0;    // also of those that refuse pods that fit
  double no_refusal = 0;    // of those that place every pod that fits somewhere; >= may_refuse
};

// --- Arrivals only -------------------------------------------------------------------------------------------------------

// Unallocated GPU, % of the cluster, where the arrived demand is `arrived_percent` of the cluster's GPU.
struct FgdBound {
  int arrived_percent = 0;
  uint64_t seed = 0;
  LossBound unallocated_percent;
};

// For every sequence and every checkpoint: what is offered are the pods up to the last one at which the arrived demand is not
// above the checkpoint. Seed after seed, checkpoints ascending. may_refuse holds for each sequence; no_refusal for the mean
// over sequences, but for what one pod more or less changes for those that follow. A point of the published curve is a mean
// over half a percent of arrivals to both sides: what the LP can place is concave in the supply, so that this adds nothing but the
// chance in which pods that half percent holds.
// Errors: as RunFgdProtocol and PlacementLp. Cost: 0.02 to 0.5 s a sequence and checkpoint of 10,000 pods.
absl::StatusOr<std::vector<FgdBound>> BoundFgdProtocol(const std::vector<Node>& nodes, const std::vector<PodRequest>& pods,
                                                       const std::vector<FgdSequence>& sequences, std::vector<int> checkpoints,
                                                       const RunOptions& options);

// The same where pods are drawn independently from the workload's classes by their shares: what is offered are the expected
// numbers. Both forms hold for the mean over all sequences, exactly. `seed` is 0. Errors: FAILED_PRECONDITION no pod asks for
// a GPU, or there is none.
absl::StatusOr<std::vector<FgdBound>> BoundFgdMix(const Workload& mix, std::vector<int> checkpoints);

// --- With departures -----------------------------------------------------------------------------------------------------

// Rejected GPU hours, % of those offered (CPU hours where nothing asks for a GPU), in loss form.
struct ChurnBound {
  double load = 0;
  LossBound rejected_percent;
};

// The long run of a workload whose arrivals are drawn: the fluid LP over running pods, of which each class has
// arrival rate x mean life at most (Little's law). Of policies that don't know how long a pod will live. A measured window
// that is short beside the lives may be luckier. Errors: FAILED_PRECONDITION arrivals are recorded, pods that never end, or
// nothing is asked for.
absl::StatusOr<std::vector<ChurnBound>> BoundChurn(const Workload& workload, std::span<const double> loads);

// One recorded stream, of which the arrivals from `warmup_us` on and before `warmup_us + window_us` count, as in EnvOptions:
// what runs at a time fits the cluster, however it was chosen. Time is cut into at most `slices` of about as many
// arrivals and departures each; of each the mean of what would run if nothing was rejected is offered to the LP. Holds for
// this very stream, also with refusal; no_refusal is the same figure, since a recorded stream makes no classes alike.
// Pods that never end count with an hour, as in EnvStats. Errors: FAILED_PRECONDITION no recorded arrivals, or none that
// counts and asks for something. Cost: `slices` LPs.
absl::StatusOr<std::vector<ChurnBound>> BoundRecorded(const Workload& workload, std::span<const double> loads, int64_t warmup_us,
                                                      int64_t window_us, int slices = 1000);

// --- What a policy has removed of the loss that can be avoided -------------------------------------------------------------

// (best rule - policy) / (best rule - bound) in percent; NaN where the rule is within 1e-9 of the bound.
double AvoidableLossRemovedPercent(double best_rule, double policy, double bound);

}  // namespace berth

#endif  // BERTH_EVALUATE_BOUND_H_

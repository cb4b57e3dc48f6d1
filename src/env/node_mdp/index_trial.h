// What policies reject in training runs of a workload (loss form): by that the parameters of `index` are chosen.
#ifndef BERTH_ENV_NODE_MDP_INDEX_TRIAL_H_
#define BERTH_ENV_NODE_MDP_INDEX_TRIAL_H_

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "cluster/policy.h"
#include "workload/workload.h"

namespace berth {

// Keep test seeds out of `seeds`.
struct IndexTrialOptions {
  std::vector<double> loads = {0.9, 1.0};  // offered, of the runs
  std::vector<uint64_t> seeds = {900'001, 900'002, 900'003, 900'004};
  int64_t max_nodes = 200;                     // a larger cluster is scaled down for the runs
  double warmup_lives = 5, window_lives = 20;  // length of a run in mean lives (weighted by load)
  int64_t max_arrivals = 200'000;              // of a run; a longer one is cut
};

// All policies are tried on the same arrivals, drawn from the workload's classes, never from its record.
class IndexTrials {
 public:
  // Errors: INVALID_ARGUMENT a trial option; as ScaleNodes. Pods must depart.
  static absl::StatusOr<IndexTrials> Create(const Workload& workload, const IndexTrialOptions& options);

  // By load: rejected / offered hours of the load resource, %, mean over the seeds. Cost: seconds.
  absl::StatusOr<std::vector<double>> Rejected(const Policy& policy) const;

 private:
  IndexTrials(Workload workload, IndexTrialOptions options) : workload_(std::move(workload)), options_(options) {}

  Workload workload_;
  IndexTrialOptions options_;
  double life_s_ = 0;  // mean of what runs, weighted by demand: how long a cluster remembers
};

}  // namespace berth

#endif  // BERTH_ENV_NODE_MDP_INDEX_TRIAL_H_

// Policies x workloads x seeds: paired runs and what they say.
#ifndef BERTH_EVALUATE_EVALUATE_H_
#define BERTH_EVALUATE_EVALUATE_H_

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "cluster/policy.h"
#include "env/env.h"
#include "evaluate/statistics.h"
#include "policy/pod_mix.h"
#include "workload/workload.h"

namespace berth {

using PolicyList = std::vector<std::shared_ptr<const Policy>>;

struct RunOptions {
  int jobs = 0;             // threads; 0 = one a core
  bool is_quiet = false;    // no progress
  std::string record_dir = {};   // fgd: one file <policy>-<seed>.csv a run with node and devices of every arrival; empty: none
};

// --- The published FGD protocol (arrivals only; Weng et al., USENIX ATC 2023) --------------------------------------------

// One seed: pods in arrival order and the rank of every node.
struct FgdSequence {
  uint64_t seed = 0;
  std::vector<uint32_t> pods;    // row numbers of the pod list
  std::vector<uint32_t> ranks;
};

inline constexpr int kCurvePoints = 131;

struct FgdRun {
  std::string policy;
  uint64_t seed = 0;
  int64_t allocated_gpu_milli = 0;
  int64_t failed_pods = 0;
  // Mean of round(allocation %, 2) over the pods whose arrived % rounds (half to even) to the index; where no pod does, the
  // value before. Rounded to 2 digits.
  std::array<double, kCurvePoints> curve{};
  double unallocated_percent_at(int arrived_percent) const { return 100 - curve[static_cast<size_t>(arrived_percent)]; }
};

// One sequence as a recorded workload, equal requests one class, and the options of its environment. Errors: as RunFgdProtocol.
absl::StatusOr<Workload> FgdWorkload(const std::vector<Node>& nodes, const std::vector<PodRequest>& pods, const FgdSequence& sequence);
EnvOptions FgdEnvOptions(const FgdSequence& sequence, const Policy& policy);

// Runs every policy on every sequence. Errors: INVALID_ARGUMENT a row number or ranks that do not fit; as Env otherwise.
absl::StatusOr<std::vector<FgdRun>> RunFgdProtocol(const std::vector<Node>& nodes, const std::vector<PodRequest>& pods,
                                                   const std::vector<FgdSequence>& sequences, const PolicyList& policies,
                                                   const RunOptions& options);

// Sequences of our own making for a workload: pods drawn by share until `until` x GPU capacity has arrived, random ranks.
// For training and where no published order is at hand; `pods` receives one request a class. `is_exact`: every class comes as
// often as its share says, in random order, instead of as often as chance has it.
std::vector<FgdSequence> DrawFgdSequences(const Workload& workload, const std::vector<uint64_t>& seeds, double until, bool is_exact,
                                          std::vector<PodRequest>* pods);

// --- With departures -----------------------------------------------------------------------------------------------------

struct ChurnRun {
  std::string policy;
  uint64_t seed = 0;
  double load = 0;
  EnvStats stats;
  double rejected_gpu_hours_percent() const;
  double rejected_cpu_hours_percent() const;
  double rejected_pods_percent() const;
  double allocated_gpu_percent() const;
  double allocated_cpu_percent() const;
  double active_nodes_percent() const;
  double wait_mean_s() const;
  double wait_gpu_weighted_mean_s() const;
  double wait_quantile_s(double p) const;
};

struct ChurnOptions {
  EnvOptions env;                 // load is overwritten by each of `loads`
  std::vector<double> loads;
  std::vector<uint64_t> seeds;
};

absl::StatusOr<std::vector<ChurnRun>> RunChurn(const Workload& workload, const ChurnOptions& churn, const PolicyList& policies,
                                               const RunOptions& options);

// --- What the runs say ---------------------------------------------------------------------------------------------------

struct PairedDifference {
  std::string policy, against;
  double load = 0;
  Interval difference;            // policy minus against, paired by seed
};

// All ordered pairs at each load of metric(run).
std::vector<PairedDifference> PairedDifferences(const std::vector<ChurnRun>& runs,
                                                const std::function<double(const ChurnRun&)>& metric);

// Calls task(i) for i in [0, count) on `jobs` threads. The first error wins; the other tasks that have begun are finished.
absl::Status RunParallel(size_t count, int jobs, const std::function<absl::Status(size_t)>& task);

}  // namespace berth

#endif  // BERTH_EVALUATE_EVALUATE_H_

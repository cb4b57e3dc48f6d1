// What `berth evaluate --protocol churn` has of its own: a cluster and a mix from openb files, who waits for whom and what is kept
// for whom, and waits and rejections by class.
#ifndef BERTH_CLI_EVALUATE_CHURN_H_
#define BERTH_CLI_EVALUATE_CHURN_H_

#include <string>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/status/statusor.h"
#include "evaluate/evaluate.h"
#include "evaluate/report.h"
#include "nlohmann/json.hpp"
#include "workload/workload.h"

namespace berth::cli {

struct OpenbChurnFlags {
  std::string nodes, pods;            // files; empty = not given
  std::string sample_nodes = "151";   // or "all"
  std::string lives = "exponential";
};

// Errors: as OpenbChurnWorkload, naming the flag; INVALID_ARGUMENT one file without the other.
absl::StatusOr<Workload> LoadOpenbChurn(const OpenbChurnFlags& flags);

struct ChurnHours {
  double warmup = 0, window = 0;
};
// The published windows: exponential lives 5 h + 30 h on a sample, 5 h + 3 h on all nodes; the trace's lives 4 h + 18 h.
ChurnHours DefaultHours(const OpenbChurnFlags& flags);

// [{"class", "gpus", "pods", "mean_s", "p50_s", "p90_s", "p99_s"}, …] of one run of the queue form.
nlohmann::json WaitsByClassJson(const Workload& workload, const ChurnRun& run);

// [{"class", "arrived", "rejected", "declined", "rejected_percent"}, …] of one run of the loss form.
nlohmann::json RejectionsByClassJson(const Workload& workload, const ChurnRun& run);

// A table of the rejected pods by kind for every policy and load, and the same as json["rejections_by_kind"]. `runs` and `seeds` as for AddWaits.
void AddRejections(const Workload& workload, const std::vector<ChurnRun>& runs, size_t seeds, nlohmann::json* json, Report* report);

// Flags of the environment's queue and reserve.
struct AdmissionFlags {
  std::string order = "arrival";
  int64_t window = 0;
  double aging_limit_s = 0;
  int64_t held_nodes = 1;
  int64_t reserve = 0;
};
void AddAdmissionFlags(CLI::App& verb, AdmissionFlags& flags);
// Errors: INVALID_ARGUMENT naming the flag, value and range; a flag of the queue in another form.
absl::Status ApplyAdmissionFlags(const AdmissionFlags& flags, EnvOptions* options);

// A table of the waits by kind of pod for every policy and load, the same as json["waits_by_kind"], and a plot of their p99 over the load. `runs` as RunChurn
// gives them, `seeds` of each policy and load.
void AddWaits(const Workload& workload, const std::vector<ChurnRun>& runs, size_t seeds, nlohmann::json* json, Report* report);

}  // namespace berth::cli

#endif  // BERTH_CLI_EVALUATE_CHURN_H_

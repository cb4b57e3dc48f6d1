// `berth evaluate --protocol matrix`: every policy on every pod list and cluster size with departures, against the best rule of each
// of them. It answers how far what was trained on one list or size carries over to the others.
#ifndef BERTH_CLI_EVALUATE_MATRIX_H_
#define BERTH_CLI_EVALUATE_MATRIX_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "cli/evaluate_churn.h"
#include "evaluate/evaluate.h"
#include "evaluate/report.h"
#include "nlohmann/json.hpp"

namespace berth::cli {

struct MatrixFlags {
  std::string nodes;                          // openb node list
  std::vector<std::string> pods;              // openb pod lists; columns are these times
  std::vector<std::string> sample_nodes;      // these sizes
  std::string lives = "exponential";
  std::vector<double> loads;
  std::vector<uint64_t> seeds;
  double warmup_hours = -1, window_hours = -1;   // below 0: the published ones of each size
  std::vector<std::string> policies, models;  // rows
  bool learns_mix = false;
  RunOptions run;
};

struct MatrixAnswer {
  // {"cells": [{"policy", "workload", "nodes", "load", "rejected_gpu_hours_percent", "best_rule", "best_rule_percent", "below_percent", "difference",
  // "ci95_low", "ci95_high"}, …]}: the difference is paired, policy minus the best rule of the cell's column and load.
  nlohmann::json json;
  Report report;                              // one table, and one coloured matrix a load
};
// The best rule is the policy of kind "rule" whose mean is least on these very seeds, which favours it. Errors: INVALID_ARGUMENT no rule
// among the policies; as LoadOpenbChurn and RunChurn.
absl::StatusOr<MatrixAnswer> EvaluateMatrix(const MatrixFlags& flags);

}  // namespace berth::cli

#endif  // BERTH_CLI_EVALUATE_MATRIX_H_

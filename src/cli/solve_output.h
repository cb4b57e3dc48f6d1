// What `berth solve --workload` says and writes alike for nodes with and without GPUs.
#ifndef BERTH_CLI_SOLVE_OUTPUT_H_
#define BERTH_CLI_SOLVE_OUTPUT_H_

#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "env/node_mdp/index_policy.h"
#include "evaluate/report.h"
#include "nlohmann/json.hpp"
#include "policy/potential/table_file.h"
#include "workload/workload.h"

namespace berth::cli {

struct SolveOutput {
  std::string out;   // tables; empty: none
  std::string plot;  // .svg; empty: none
  std::string plot_shape;
  bool json = false;
};

// The fields that both kinds of solution have. `classes` and `shapes` are left empty.
template <class Solution>
nlohmann::json CommonJson(const Workload& workload, const Solution& solution, double seconds);

// On standard error, where the prices did not settle or a rule did better than the policy. Solution: IndexSolution or
// GpuIndexSolution.
template <class Solution>
void WarnOf(const Solution& solution);

// How each candidate and rule did. `unit`: of what was rejected.
void PrintTrials(const nlohmann::json& trials, const std::string& unit);

// Writes the tables and draws the shape, where they are wanted. `shapes`: their names; `draw`: by place in `shapes`.
// Errors: INVALID_ARGUMENT no such shape, and nothing is written; as WriteTableFile and WriteSvg.
absl::Status WriteFiles(const SolveOutput& output, const TableFile& tables, const std::vector<std::string>& shapes,
                        const std::function<HeatMap(size_t)>& draw);

// To standard output: as it is, or by `print`.
void PrintResult(const SolveOutput& output, const nlohmann::json& json, void (*print)(const nlohmann::json&));

}  // namespace berth::cli

#endif  // BERTH_CLI_SOLVE_OUTPUT_H_

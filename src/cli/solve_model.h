// `berth solve --model`: a model file, solved by any method (mdp/solve.h).
#ifndef BERTH_CLI_SOLVE_MODEL_H_
#define BERTH_CLI_SOLVE_MODEL_H_

#include <cstdint>
#include <optional>
#include <string>

#include "CLI/CLI.hpp"
#include "absl/status/status.h"
#include "mdp/files/model_file.h"

namespace berth::cli {

struct SolveModelFlags {
  std::string model;            // file; empty: the verb solves a workload
  std::string method = "auto";  // a name, auto or all
  double epsilon = 1e-6;
  std::optional<double> one_minus_gamma, discount;
  std::optional<int64_t> horizon;
  bool is_average = false, is_total = false, is_minimize = false, is_rates = false;
  int threads = 1;
  std::string storage = "compressed";
  bool starts_in_single_precision = false;
  double time_limit_s = 0;  // 0: none
  int64_t max_sweeps = 1'000'000;
  int64_t max_memory_mib = 0;  // 0: none
  mdp::ReadOptions read;
  std::string out;       // a model file to write besides
  std::string solution;  // a model file with the solution to write besides
  std::string plot;      // an SVG file to write besides
  bool json = false;
};

// Adds the options of a model file to the verb; all of them need --model, which is returned.
CLI::Option* AddSolveModelOptions(CLI::App* verb, SolveModelFlags& flags);

// Prints the results. Errors: as the parts; a method that does not apply is no error but listed as skipped.
absl::Status RunSolveModel(const SolveModelFlags& flags);

}  // namespace berth::cli

#endif  // BERTH_CLI_SOLVE_MODEL_H_

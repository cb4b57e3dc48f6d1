// The verbs of the `berth` program. A verb's file registers itself, so that adding a verb touches one file:
//
//   absl::Status Run(const Flags& flags);
//   const VerbRegistration kSolve("solve", [](CLI::App& app, VerbResult& result) {
//     auto flags = std::make_shared<Flags>();
//     CLI::App* verb = app.add_subcommand("solve", "Value iteration on …");
//     verb->footer("Example:\n  berth solve --workload vm-like --json");
//     verb->add_option("--workload", flags->workload, "…")->required();
//     verb->callback([flags, &result] { result.status = Run(*flags); });
//   });
//
// Results go to stdout, the log to stderr. Exit codes: 0 done, 1 failed, 2 wrong usage (INVALID_ARGUMENT of a flag that
// CLI11 can't see is usage too: return UsageError).
#ifndef BERTH_CLI_VERBS_H_
#define BERTH_CLI_VERBS_H_

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cli/machine.h"

namespace berth::cli {

struct VerbResult {
  absl::Status status;
  bool is_usage_error = false;
};

class VerbRegistration {
 public:
  using Add = std::function<void(CLI::App& app, VerbResult& result)>;
  VerbRegistration(std::string name, Add add);
};

// A benchmark under `berth bench`, registered like a verb: `app` is the bench verb.
class BenchRegistration {
 public:
  BenchRegistration(std::string name, VerbRegistration::Add add);
};

// Runs the program; returns the exit code.
int Main(int argc, char** argv);

// "42-51", "1,2,5-7" -> the numbers, in order, each once. Errors: INVALID_ARGUMENT naming `field`; at most 100,000.
absl::StatusOr<std::vector<uint64_t>> ParseSeeds(std::string_view field, std::string_view text);
// "0.9,1.0" -> numbers within [low, high].
absl::StatusOr<std::vector<double>> ParseNumbers(std::string_view field, std::string_view text, double low, double high);
// "a,b,c" -> non-empty parts.
std::vector<std::string> SplitList(std::string_view text);

}  // namespace berth::cli

#endif  // BERTH_CLI_VERBS_H_

// berth-solve-mpi: a model file, solved over the processes that mpirun starts. The only program that links MPI and
// PETSc.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <string>

#include "CLI/CLI.hpp"
#include "base/clock.h"
#include "base/log.h"
#include "base/status.h"
#include "cli/machine.h"
#include "fmt/format.h"
#include "mdp/files/model_file.h"
#include "mdp/petsc/solve_ranks.h"
#include "nlohmann/json.hpp"

namespace berth {
namespace {

using nlohmann::json;

constexpr char kProgram[] = "berth-solve-mpi";
constexpr size_t kShownStates = 20;  // without --json

struct Flags {
  std::string model, krylov = "bicgstab";
  double one_minus_gamma = -1;  // below 0: not given
  double time_limit_s = 0;      // 0: none
  bool is_average = false, is_total = false, is_minimize = false, is_rates = false;
  bool has_no_values = false, is_json = false;
  mdp::ReadOptions read;
  mdp::RankedOptions options;
};

void AddFlags(CLI::App& app, Flags& flags) {
  app.add_option("--model", flags.model, "file on the machine of rank 0: .umb, .tra (PRISM explicit), .csv or .json")
      ->required();
  app.add_option("--one-minus-gamma", flags.one_minus_gamma,
                 "discounted reward: 1 - gamma itself, or for a model of rates the discount rate");
  app.add_flag("--average", flags.is_average, "refused, with the reason; see berth solve");
  app.add_flag("--total", flags.is_total, "refused, with the reason; see berth solve");
  app.add_flag("--minimize", flags.is_minimize, "rewards are costs");
  app.add_option("--epsilon", flags.options.epsilon, "wanted certified error of every value")->capture_default_str();
  app.add_option("--krylov", flags.krylov, "how the equations of a policy are solved")
      ->check(CLI::IsMember({"bicgstab", "gmres"}))
      ->capture_default_str();
  app.add_option("--max-rounds", flags.options.max_rounds, "policies, then the best bounds so far")
      ->capture_default_str();
  app.add_option("--time-limit", flags.time_limit_s, "seconds, then the best bounds so far; 0 = none");
  app.add_option("--reward", flags.read.reward, "which reward of a .umb, where it has several");
  app.add_flag("--rates", flags.is_rates, "the numbers of a .tra are rates");
  app.add_flag("--no-values", flags.has_no_values, "leave the vectors out, and don't bring them together");
  app.add_flag("--json", flags.is_json, "print JSON, as berth solve does");
}

absl::StatusOr<mdp::RankedProblem> Read(const Flags& flags, std::string& name) {
  mdp::ReadOptions read = flags.read;
  if (flags.is_rates) read.tra_kind = mdp::RowKind::kRate;
  BERTH_ASSIGN_OR_RETURN(mdp::ModelFile file, mdp::ReadModelFile(flags.model, read));
  const int given = (flags.one_minus_gamma >= 0 ? 1 : 0) + (flags.is_average ? 1 : 0) + (flags.is_total ? 1 : 0);
  if (given > 1) return InvalidField("criterion", "more than one", "--one-minus-gamma");
  if (given == 0 && !file.criterion) return InvalidField("criterion", "none", "--one-minus-gamma");
  mdp::Criterion criterion = file.criterion.value_or(mdp::Criterion{});
  if (given == 1) {
    criterion.kind = flags.is_average ? mdp::CriterionKind::kAverage
                     : flags.is_total ? mdp::CriterionKind::kTotal
                                      : mdp::CriterionKind::kDiscounted;
    criterion.one_minus_gamma = std::max(0.0, flags.one_minus_gamma);
  }
  if (flags.is_minimize) criterion.objective = mdp::Objective::kMinimize;
  name = file.name;
  return mdp::RankedProblem{std::move(file.mdp), criterion};
}

json ResultJson(const Flags& flags, const mdp::RankedSolution& solution, int ranks, double seconds, double cpu_s) {
  json result{{"method", "policy-iteration-mpi"},
              {"krylov", flags.krylov},
              {"error", solution.error},
              {"stop_reason", mdp::StopReasonName(solution.stop)},
              {"sweeps", solution.rounds},
              {"krylov_iterations", solution.krylov_iterations},
              {"ranks", ranks},
              {"largest_part_bytes", solution.largest_part_bytes},
              {"solve_s", seconds},
              {"cpu_s", cpu_s}};
  if (!flags.has_no_values) {
    result["value"] = solution.values;
    result["lower"] = solution.lower;
    result["upper"] = solution.upper;
    result["policy"] = solution.policy;
  }
  return result;
}

void Print(const Flags& flags, const std::string& name, const mdp::RankedSolution& solution, const json& result) {
  if (flags.is_json) {
    const json answer{{"model", name},
                      {"states", solution.num_states},
                      {"actions", solution.num_rows},
                      {"transitions", solution.num_transitions},
                      {"criterion", mdp::CriterionName(solution.criterion.kind)},
                      {"objective", solution.criterion.objective == mdp::Objective::kMaximize ? "max" : "min"},
                      {"one_minus_gamma", solution.criterion.one_minus_gamma},
                      {"results", json::array({result})},
                      {"skipped", json::array()},
                      {"machine", cli::MachineJson()}};
    fmt::print("{}\n", answer.dump(1, ' ', false, json::error_handler_t::replace));
    return;
  }
  fmt::print(
      "{}: {} states, {} actions, {} transitions\n{} ranks: {}, certified error {:.3g}, {} policies, {} {} "
      "iterations, {:.3f} s\n",
      name, solution.num_states, solution.num_rows, solution.num_transitions, result["ranks"].get<int>(),
      mdp::StopReasonName(solution.stop), solution.error, solution.rounds, solution.krylov_iterations, flags.krylov,
      result["solve_s"].get<double>());
  for (size_t s = 0; s < std::min(kShownStates, solution.values.size()); ++s) {
    fmt::print("{:>10} {:>22.12g} {:>10.2g} {:>8}\n", s, solution.values[s],
               (solution.upper[s] - solution.lower[s]) / 2, solution.policy[s]);
  }
}

absl::Status Run(const mdp::RankSession& session, Flags& flags) {
  const bool is_first = session.rank() == 0;
  flags.options.krylov = flags.krylov == "gmres" ? mdp::KrylovMethod::kGmres : mdp::KrylovMethod::kBiCgStab;
  flags.options.gathers_values = !flags.has_no_values;
  if (flags.time_limit_s != 0) flags.options.time_limit_s = flags.time_limit_s;
  int64_t begin_us = 0;
  double begin_cpu_s = 0;
  if (is_first) {
    flags.options.on_round = [&](const mdp::RankedRound& at) {
      LogInfo("{} policies, {} Krylov iterations, certified error {:.3g}", at.round, at.krylov_iterations, at.error);
    };
  }
  std::string name;
  const auto read = [&]() -> absl::StatusOr<mdp::RankedProblem> {
    auto problem = Read(flags, name);
    begin_us = Clock::Real().MonotonicMicros();
    begin_cpu_s = ProcessCpuSeconds();
    return problem;
  };
  BERTH_ASSIGN_OR_RETURN(const mdp::RankedSolution solution, mdp::SolveOverRanks(session, read, flags.options));
  if (is_first) {
    const double seconds = static_cast<double>(Clock::Real().MonotonicMicros() - begin_us) / 1e6;
    const double cpu_s = ProcessCpuSeconds() - begin_cpu_s;
    Print(flags, name, solution, ResultJson(flags, solution, session.size(), seconds, cpu_s));
  }
  return absl::OkStatus();
}

// The exit code; on every rank the same, and only rank 0 speaks.
int RunRank(const mdp::RankSession& session, int argc, char** argv) {
  CLI::App app("Solves a model file over several processes, with a certificate", kProgram);
  app.footer("Example:\n  mpirun -n 2 berth-solve-mpi --model MODEL.umb --one-minus-gamma 0.01 --epsilon 1e-6 --json");
  Flags flags;
  AddFlags(app, flags);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (session.rank() == 0) app.exit(error);
    return error.get_exit_code() == 0 ? 0 : 2;
  }
  const absl::Status status = Run(session, flags);
  if (status.ok()) return 0;
  const int code = status.code() == absl::StatusCode::kInvalidArgument ? 2 : 1;
  if (session.rank() == 0 || absl::IsInternal(status)) fmt::print(stderr, "{}: {}\n", kProgram, MessageOf(status));
  if (absl::IsInternal(status)) session.Abort(code);  // perhaps the others know nothing of it and wait
  return code;
}

int Main(int argc, char** argv) {
  const auto session = mdp::RankSession::Start();
  if (!session.ok()) {
    fmt::print(stderr, "{}: {}\n", kProgram, MessageOf(session.status()));
    return 1;
  }
  try {
    return RunRank(**session, argc, argv);
  } catch (const std::exception& error) {
    fmt::print(stderr, "{}: rank {}: {}\n", kProgram, (*session)->rank(), error.what());
    (*session)->Abort(1);
  }
}

}  // namespace
}  // namespace berth

int main(int argc, char** argv) { return berth::Main(argc, argv); }

// `berth solve`: value iteration on the per-node MDP of a workload.
#include <memory>

#include "base/clock.h"
#include "base/status.h"
#include "cli/verbs.h"
#include "env/node_mdp/node_mdp.h"
#include "evaluate/report.h"
#include "fmt/format.h"

namespace berth::cli {
namespace {

struct Flags {
  std::string workload = "vm-like";
  NodeMdpOptions options;
  bool json = false;
};

absl::Status Run(const Flags& flags) {
  BERTH_ASSIGN_OR_RETURN(const Workload workload, LoadWorkloadByNameOrFile(flags.workload));
  const int64_t start = Clock::Real().MonotonicMicros();
  BERTH_ASSIGN_OR_RETURN(const auto solutions, SolveNodeMdps(workload, flags.options));
  const double seconds = static_cast<double>(Clock::Real().MonotonicMicros() - start) / 1e6;
  nlohmann::json shapes = nlohmann::json::array();
  for (const NodeMdpSolution& s : solutions) {
    nlohmann::json classes = nlohmann::json::array();
    Table table{fmt::format("node {}: {} x {} states (cpu x memory), {} sweeps, gain {:.4f} vCPU within [{:.4f}, {:.4f}]", s.shape, s.table.cpu_levels, s.table.mem_levels, s.sweeps,
                            s.gain, s.gain_lower, s.gain_upper),
                {"class", "price, share of its reward", "taken / fair share"}, {}};
    for (size_t k = 0; k < workload.pod_classes.size(); ++k) {
      classes.push_back({{"class", workload.pod_classes[k].name}, {"price_ratio", s.prices[k]}, {"accepted_over_fair_ratio", s.accepted_share[k]}});
      table.rows.push_back({workload.pod_classes[k].name, fmt::format("{:.4f}", s.prices[k]), fmt::format("{:.4f}", s.accepted_share[k])});
    }
    shapes.push_back({{"shape", s.shape}, {"states", s.table.value.size()}, {"cpu_levels", s.table.cpu_levels}, {"mem_levels", s.table.mem_levels},
                      {"cpu_unit_milli", s.table.cpu_unit_milli}, {"mem_unit_bytes", s.table.mem_unit_bytes}, {"cpu_rounding_percent", s.cpu_rounding_percent},
                      {"mem_rounding_percent", s.mem_rounding_percent}, {"gain_vcpu", s.gain}, {"gain_lower_vcpu", s.gain_lower}, {"gain_upper_vcpu", s.gain_upper},
                      {"certified_error_vcpu", (s.gain_upper - s.gain_lower) / 2}, {"sweeps", s.sweeps}, {"classes", classes}});
    if (!flags.json) fmt::print("{}", TextTable(table));
  }
  if (flags.json) fmt::print("{}\n", nlohmann::json{{"workload", workload.name}, {"m", flags.options.m}, {"design_load_ratio", flags.options.design_load}, {"shapes", shapes}, {"seconds_s", seconds}}.dump(1));
  return absl::OkStatus();
}

const VerbRegistration kSolve("solve", [](CLI::App& app, VerbResult& result) {
  auto flags = std::make_shared<Flags>();
  CLI::App* verb = app.add_subcommand("solve", "Value iteration on the per-node MDP of a workload at Lagrangian prices; prints the certified error of the gain");
  verb->footer("The policy `index` places by the table that this makes.\nExample:\n  berth solve --workload vm-like --json");
  verb->add_option("--workload", flags->workload, "a built-in workload or a file, without GPUs")->capture_default_str();
  verb->add_option("--m", flags->options.m, "nodes that compete for a pod")->check(CLI::Range(1.0, 100.0))->capture_default_str();
  verb->add_option("--design-load", flags->options.design_load, "offered load that the prices are made for")->check(CLI::Range(0.001, 10.0))->capture_default_str();
  verb->add_option("--price-steps", flags->options.price_steps, "steps of the price search")->check(CLI::Range(1, 100'000))->capture_default_str();
  verb->add_flag("--json", flags->json, "for programs");
  verb->callback([flags, &result] { result.status = Run(*flags); });
});

}  // namespace
}  // namespace berth::cli

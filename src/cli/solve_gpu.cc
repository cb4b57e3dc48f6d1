#include "cli/solve_gpu.h"

#include <algorithm>
#include <vector>

#include "base/clock.h"
#include "base/quantity.h"
#include "base/status.h"
#include "cli/solve_plot.h"
#include "env/node_mdp/index_policy.h"
#include "fmt/format.h"
#include "fmt/ranges.h"
#include "nlohmann/json.hpp"

namespace berth::cli {
namespace {

std::string NameOf(const GpuNodeMdpShape& shape) {
  const GpuValueTable& t = shape.table;
  return fmt::format("{}x{}{}", t.devices, t.gpu_model.empty() ? "gpu" : t.gpu_model,
                     fmt::format(" {} cpu", FormatCpuMilli(t.cpu_milli)));
}

std::string NameOf(const GpuNodeMdpClass& c) {
  const std::string devices = c.whole > 0       ? fmt::format("{} GPU", c.whole)
                              : c.gpu_milli > 0 ? fmt::format("{:.0f} milli GPU", c.gpu_milli)
                                                : "no GPU";
  return fmt::format("{}, {:.1f} cpu{}", devices, c.cpu_milli / 1000,
                     c.gpu_models.empty() ? "" : fmt::format(" ({})", fmt::join(c.gpu_models, ", ")));
}

nlohmann::json SolutionJson(const Workload& workload, const GpuIndexSolution& solution, double seconds) {
  const GpuNodeMdpSolution& mdp = solution.mdp;
  nlohmann::json json = CommonJson(workload, solution, seconds);
  json["units"] = mdp.shapes.front().table.units;
  json["demand_unit"] = "GPU hours";
  for (const GpuNodeMdpClass& c : mdp.classes) {
    json["classes"].push_back({{"name", NameOf(c)},
                               {"devices", c.whole},
                               {"gpu_milli", c.gpu_milli},
                               {"cpu_milli", c.cpu_milli},
                               {"gpu_models", c.gpu_models},
                               {"mean_life_h", c.life_h},
                               {"offered_per_h", c.rate_per_h},
                               {"demand_h", c.demand},
                               {"price_h", c.price},
                               {"price_ratio", c.price / c.demand},
                               {"taken_ratio", c.taken_share}});
  }
  for (const GpuNodeMdpShape& s : mdp.shapes) {
    json["shapes"].push_back({{"name", NameOf(s)},
                              {"nodes", s.nodes},
                              {"states", s.states},
                              {"cpu_levels", s.table.cpu_levels},
                              {"sweeps", s.sweeps},
                              {"gain_per_h", s.gain},
                              {"gain_lower_per_h", s.gain_lower},
                              {"gain_upper_per_h", s.gain_upper}});
  }
  return json;
}

void Print(const nlohmann::json& json) {
  fmt::print("{}: {} nodes, design load {}, m = {}, a device in {} units ({})\n", json["workload"].get<std::string>(),
             json["nodes"].get<int64_t>(), json["design_load_ratio"].get<double>(), json["m"].get<double>(),
             json["units"].get<int>(), json["trials"].empty() ? "given" : "chosen by simulation");
  PrintTrials(json["trials"], json["demand_unit"].get<std::string>());
  fmt::print("\n{:<28} {:>7} {:>10} {:>8} {:>24}\n", "shape", "nodes", "states", "sweeps", "GPU hours an hour");
  for (const auto& s : json["shapes"]) {
    fmt::print("{:<28} {:>7} {:>10} {:>8} {:>13.5f} ± {:.1e}\n", s["name"].get<std::string>(),
               s["nodes"].get<int64_t>(), s["states"].get<int64_t>(), s["sweeps"].get<int64_t>(),
               s["gain_per_h"].get<double>(),
               (s["gain_upper_per_h"].get<double>() - s["gain_lower_per_h"].get<double>()) / 2);
  }
  fmt::print("\n{:<36} {:>12} {:>12} {:>12} {:>12}\n", "pods", "offered / h", "demand, h", "price/demand",
             "taken/offered");
  for (const auto& c : json["classes"]) {
    fmt::print("{:<36} {:>12.2f} {:>12.3f} {:>12.3f} {:>12.3f}\n", c["name"].get<std::string>(),
               c["offered_per_h"].get<double>(), c["demand_h"].get<double>(), c["price_ratio"].get<double>(),
               c["taken_ratio"].get<double>());
  }
  fmt::print("\nof every class {:.4f} is taken, no policy takes more than {:.4f}; {} price steps, {:.2f} s\n",
             json["taken_ratio_lower"].get<double>(), json["taken_ratio_upper"].get<double>(),
             json["price_steps"].get<int>(), json["solve_s"].get<double>());
}

}  // namespace

absl::Status RunSolveGpu(const Workload& workload, const SolveGpuFlags& flags) {
  if (!flags.output.plot.empty()) BERTH_RETURN_IF_ERROR(ValidatePlotName(flags.output.plot));
  GpuIndexOptions options;
  options.mdp.design_load = flags.load;
  options.mdp.cpu_levels = flags.cpu_levels;
  options.mdp.gain_tolerance = flags.tolerance;
  options.mdp.threads = flags.threads;
  options.chooses = flags.m == 0 || flags.units == 0;
  if (flags.m != 0) options.mdp.m = flags.m;
  if (flags.units != 0) options.mdp.units = flags.units;
  for (GpuIndexOptions::Candidate& c : options.candidates) {
    if (flags.m != 0) c.m = flags.m;
    if (flags.units != 0) c.units = flags.units;
  }
  const auto is_same = [](const auto& a, const auto& b) { return a.m == b.m && a.units == b.units; };
  for (auto it = options.candidates.begin(); it != options.candidates.end();) {
    const bool is_seen = std::any_of(options.candidates.begin(), it, [&](const auto& c) { return is_same(c, *it); });
    it = is_seen ? options.candidates.erase(it) : it + 1;
  }
  const int64_t start_us = Clock::Real().MonotonicMicros();
  BERTH_ASSIGN_OR_RETURN(const GpuIndexSolution solution, SolveGpuIndex(workload, options));
  const double seconds = static_cast<double>(Clock::Real().MonotonicMicros() - start_us) / 1e6;
  WarnOf(solution);
  std::vector<std::string> names;
  for (const GpuNodeMdpShape& shape : solution.mdp.shapes) names.push_back(NameOf(shape));
  BERTH_RETURN_IF_ERROR(
      WriteFiles(flags.output, {workload.name, solution.mdp.m, solution.mdp.design_load, {}, TablesOf(solution.mdp)},
                 names, [&](size_t i) { return DrawGpuTable(names[i], solution.mdp.shapes[i].table); }));
  PrintResult(flags.output, SolutionJson(workload, solution, seconds), Print);
  return absl::OkStatus();
}

}  // namespace berth::cli

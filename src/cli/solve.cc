// `berth solve`: value iteration on the per-node decision process of a workload, or on a model file (solve_model.h).
#include <algorithm>
#include <memory>
#include <numeric>
#include <optional>

#include "base/clock.h"
#include "base/quantity.h"
#include "base/status.h"
#include "cli/solve_gpu.h"
#include "cli/solve_model.h"
#include "cli/solve_output.h"
#include "cli/solve_plot.h"
#include "cli/verbs.h"
#include "env/node_mdp/index_policy.h"
#include "fmt/format.h"

namespace berth::cli {
namespace {

struct Flags {
  std::string workload = "vm-like";
  int64_t nodes = 0;
  double load = NodeMdpOptions().design_load;
  double m = 0;
  std::optional<double> tolerance;
  int32_t max_states = NodeMdpOptions().max_states;
  int32_t units = 0, cpu_levels = GpuNodeMdpOptions().cpu_levels;
  SolveOutput output;
  std::string plot_x = "cpu", plot_y = "memory";
  SolveModelFlags model;
};

// A state that a class may be put on, and what that changes.
struct Ranked {
  int64_t used_cpu_milli = 0, used_mem_bytes = 0;
  double change = 0;  // h(after) - h(before)
};

// All states of a shape with room for the pod, best first.
std::vector<Ranked> Rank(const NodeMdpShape& shape, const PodRequest& request) {
  std::vector<Ranked> ranked;
  const ValueTable& t = shape.table;
  for (int32_t cell : shape.state_cells) {
    Ranked r{cell / t.mem_levels * t.cpu_unit_milli, cell % t.mem_levels * t.mem_unit_bytes, 0};
    if (r.used_cpu_milli + request.cpu_milli > t.cpu_milli || r.used_mem_bytes + request.mem_bytes > t.mem_bytes)
      continue;
    const auto cpu = static_cast<double>(r.used_cpu_milli), mem = static_cast<double>(r.used_mem_bytes);
    r.change = t.At(cpu + static_cast<double>(request.cpu_milli), mem + static_cast<double>(request.mem_bytes)) -
               t.At(cpu, mem);
    ranked.push_back(r);
  }
  std::stable_sort(ranked.begin(), ranked.end(), [](const Ranked& a, const Ranked& b) { return a.change > b.change; });
  return ranked;
}

nlohmann::json ToJson(const Ranked& r) {
  return {{"used_cpu_milli", r.used_cpu_milli}, {"used_mem_bytes", r.used_mem_bytes}, {"value_change", r.change}};
}

nlohmann::json ClassJson(const Workload& workload, const NodeMdpSolution& mdp, const NodeMdpClass& c) {
  constexpr size_t kShown = 3;
  const PodClass& pod = workload.pod_classes[c.pod_class];
  nlohmann::json json{{"name", pod.name},
                      {"cpu_milli", pod.request.cpu_milli},
                      {"mem_bytes", pod.request.mem_bytes},
                      {"mean_life_s", pod.lifetime.mean_s},
                      {"fair_share_per_h", c.fair_per_h},
                      {"demand_h", c.demand},
                      {"price_h", c.price},
                      {"price_ratio", c.price / c.demand},
                      {"taken_ratio", c.taken_share},
                      {"ranking", nlohmann::json::array()}};
  for (const NodeMdpShape& shape : mdp.shapes) {
    const std::vector<Ranked> ranked = Rank(shape, pod.request);
    nlohmann::json entry{{"shape", shape.name}, {"states", ranked.size()}, {"best", nlohmann::json::array()}};
    for (size_t i = 0; i < std::min(kShown, ranked.size()); ++i) entry["best"].push_back(ToJson(ranked[i]));
    if (!ranked.empty()) entry["worst"] = ToJson(ranked.back());
    json["ranking"].push_back(std::move(entry));
  }
  return json;
}

nlohmann::json SolutionJson(const Workload& workload, const IndexSolution& solution, double seconds) {
  const NodeMdpSolution& mdp = solution.mdp;
  nlohmann::json json = CommonJson(workload, solution, seconds);
  json["demand_unit"] = mdp.resource == LoadResource::kMemory ? "GiB hours" : "vCPU hours";
  json["sweeps"] = mdp.sweeps;
  for (const NodeMdpClass& c : mdp.classes) json["classes"].push_back(ClassJson(workload, mdp, c));
  for (const NodeMdpShape& s : mdp.shapes) {
    json["shapes"].push_back({{"name", s.name},
                              {"nodes", s.nodes},
                              {"states", s.state_cells.size()},
                              {"cpu_unit_milli", s.table.cpu_unit_milli},
                              {"mem_unit_bytes", s.table.mem_unit_bytes},
                              {"cpu_levels", s.table.cpu_levels},
                              {"mem_levels", s.table.mem_levels},
                              {"cpu_rounding_percent", s.cpu_rounding_percent},
                              {"mem_rounding_percent", s.mem_rounding_percent},
                              {"cpu_capacity_lost_percent", s.cpu_capacity_percent},
                              {"mem_capacity_lost_percent", s.mem_capacity_percent},
                              {"gain_per_h", s.gain},
                              {"gain_lower_per_h", s.gain_lower},
                              {"gain_upper_per_h", s.gain_upper}});
  }
  return json;
}

std::string Amounts(const nlohmann::json& ranked) {
  return fmt::format("{} cpu {}", FormatCpuMilli(ranked["used_cpu_milli"].get<int64_t>()),
                     FormatBytes(ranked["used_mem_bytes"].get<int64_t>()));
}

void Print(const nlohmann::json& json) {
  fmt::print("{}: {} nodes, design load {}, m = {} ({})\n", json["workload"].get<std::string>(),
             json["nodes"].get<int64_t>(), json["design_load_ratio"].get<double>(), json["m"].get<double>(),
             json["trials"].empty() ? "given" : "chosen by simulation");
  PrintTrials(json["trials"], json["demand_unit"].get<std::string>());
  fmt::print("\n{:<20} {:>8} {:>14} {:>7} {:>11} {:>11} {:>22}\n", "shape", "states", "unit", "levels", "rounding, %",
             "lost, %", "gain per h");
  for (const auto& s : json["shapes"]) {
    fmt::print(
        "{:<20} {:>8} {:>14} {:>7} {:>11} {:>11} {:>11.4f} ± {:.1e}\n", s["name"].get<std::string>(),
        s["states"].get<int64_t>(),
        FormatCpuMilli(s["cpu_unit_milli"].get<int64_t>()) + " " + FormatBytes(s["mem_unit_bytes"].get<int64_t>()),
        fmt::format("{}x{}", s["cpu_levels"].get<int>(), s["mem_levels"].get<int>()),
        fmt::format("{:.2f} {:.2f}", s["cpu_rounding_percent"].get<double>(), s["mem_rounding_percent"].get<double>()),
        fmt::format("{:.2f} {:.2f}", s["cpu_capacity_lost_percent"].get<double>(),
                    s["mem_capacity_lost_percent"].get<double>()),
        s["gain_per_h"].get<double>(), (s["gain_upper_per_h"].get<double>() - s["gain_lower_per_h"].get<double>()) / 2);
  }
  fmt::print("\n{:<16} {:>10} {:>10} {:>12} {:>12}   {}\n", "class", "demand, h", "price, h", "price/demand",
             "taken/fair", "best where in use is ... worst");
  for (const auto& c : json["classes"]) {
    std::string where;
    for (const auto& r : c["ranking"]) {
      if (r["best"].empty()) continue;
      where += fmt::format("{}{} ({:.2f}) ... {} ({:.2f})", where.empty() ? "" : "; ", Amounts(r["best"][0]),
                           r["best"][0]["value_change"].get<double>(), Amounts(r["worst"]),
                           r["worst"]["value_change"].get<double>());
    }
    fmt::print("{:<16} {:>10.3f} {:>10.3f} {:>12.3f} {:>12.3f}   {}\n", c["name"].get<std::string>(),
               c["demand_h"].get<double>(), c["price_h"].get<double>(), c["price_ratio"].get<double>(),
               c["taken_ratio"].get<double>(), where);
  }
  fmt::print(
      "\nof every class {:.4f} of the fair share is taken, no policy takes more than {:.4f}; {} price steps, {} "
      "sweeps, {:.2f} s\n",
      json["taken_ratio_lower"].get<double>(), json["taken_ratio_upper"].get<double>(), json["price_steps"].get<int>(),
      json["sweeps"].get<int64_t>(), json["solve_s"].get<double>());
}

absl::Status ValidatePlot(const Flags& flags) {
  if (flags.output.plot.empty()) return absl::OkStatus();
  BERTH_RETURN_IF_ERROR(ValidatePlotName(flags.output.plot));
  BERTH_RETURN_IF_ERROR(ValidateResource("--plot-x", flags.plot_x));
  BERTH_RETURN_IF_ERROR(ValidateResource("--plot-y", flags.plot_y));
  if (flags.plot_x == flags.plot_y) return InvalidField("--plot-y", flags.plot_y, "another resource than --plot-x");
  return absl::OkStatus();
}

absl::Status Run(const Flags& flags) {
  BERTH_RETURN_IF_ERROR(ValidatePlot(flags));
  BERTH_ASSIGN_OR_RETURN(Workload workload, LoadWorkloadByNameOrFile(flags.workload));
  if (flags.nodes != 0) {
    BERTH_ASSIGN_OR_RETURN(workload, ScaleNodes(workload, flags.nodes));
  }
  if (LoadResourceOf(workload) == LoadResource::kGpu) {
    return RunSolveGpu(workload, {.load = flags.load,
                                  .m = flags.m,
                                  .units = flags.units,
                                  .cpu_levels = flags.cpu_levels,
                                  .tolerance = flags.tolerance.value_or(GpuNodeMdpOptions().gain_tolerance),
                                  .threads = flags.model.threads,
                                  .output = flags.output});
  }
  IndexOptions options;
  options.mdp.design_load = flags.load;
  options.mdp.max_states = flags.max_states;
  if (flags.tolerance.has_value()) options.mdp.gain_tolerance = *flags.tolerance;
  options.chooses_m = flags.m == 0;
  if (flags.m != 0) options.mdp.m = flags.m;
  const int64_t start_us = Clock::Real().MonotonicMicros();
  BERTH_ASSIGN_OR_RETURN(const IndexSolution solution, SolveIndex(workload, options));
  const double seconds = static_cast<double>(Clock::Real().MonotonicMicros() - start_us) / 1e6;
  WarnOf(solution);
  std::vector<std::string> names;
  for (const NodeMdpShape& shape : solution.mdp.shapes) names.push_back(shape.name);
  BERTH_RETURN_IF_ERROR(WriteFiles(
      flags.output, {workload.name, solution.mdp.m, solution.mdp.design_load, TablesOf(solution.mdp), {}}, names,
      [&](size_t i) { return DrawTable(names[i], solution.mdp.shapes[i].table, flags.plot_x, flags.plot_y); }));
  PrintResult(flags.output, SolutionJson(workload, solution, seconds), Print);
  return absl::OkStatus();
}

const VerbRegistration kSolve("solve", [](CLI::App& app, VerbResult& result) {
  auto flags = std::make_shared<Flags>();
  CLI::App* verb = app.add_subcommand("solve",
                                      "Value iteration with a certified error: on the decision process of one node of "
                                      "a workload (prices, gain, the table of the policy `index`), or on a model file");
  verb->footer(
      "Example:\n  berth solve --workload vm-like --json\n  berth solve --workload vm-like --out vm-like.table.json\n"
      "  berth evaluate --workload vm-like --policies best-fit --model vm-like.table.json\n"
      "  berth solve --workload openb-like --threads 2 --out openb-like.table.json\n"
      "  berth solve --workload vm-like --plot vm-like.svg --plot-x cpu --plot-y memory\n"
      "  berth solve --model maze.umb --total --method all --epsilon 1e-9 --json\n"
      "  berth solve --model queue.csv --one-minus-gamma 1e-6");
  CLI::Option* const model = AddSolveModelOptions(verb, flags->model);
  const auto of_workload = [&](CLI::Option* option) { option->group("Of a workload")->excludes(model); };
  of_workload(verb->add_option("--workload", flags->workload, "a built-in workload or a file in Berth's format")
                  ->capture_default_str());
  of_workload(verb->add_option("--nodes", flags->nodes, "scale the workload to this many nodes; 0 = as it is")
                  ->capture_default_str());
  of_workload(verb->add_option("--load", flags->load, "offered load that prices are made for")->capture_default_str());
  of_workload(verb->add_option("--m", flags->m, "nodes that compete for a pod; 0 = chosen by simulation")
                  ->capture_default_str());
  of_workload(verb->add_option("--tolerance", flags->tolerance,
                               fmt::format("certified half width of the gain, as a share of what is offered; {} "
                                           "without it, {} with GPUs",
                                           NodeMdpOptions().gain_tolerance, GpuNodeMdpOptions().gain_tolerance)));
  of_workload(verb->add_option("--max-states", flags->max_states, "of one node shape; the grid is coarsened to it")
                  ->capture_default_str());
  of_workload(verb->add_option("--units", flags->units,
                               "with GPUs: steps in which a device is shared, 1 to 10; 0 = chosen by simulation")
                  ->capture_default_str());
  of_workload(
      verb->add_option("--cpu-levels", flags->cpu_levels, "with GPUs: steps of a node's cpu")->capture_default_str());
  of_workload(verb->add_option("--out", flags->output.out, "write the tables to this file"));
  of_workload(verb->add_option("--plot-x", flags->plot_x, "resource across: cpu or memory")->capture_default_str());
  of_workload(verb->add_option("--plot-y", flags->plot_y, "resource upwards")->capture_default_str());
  of_workload(verb->add_option("--plot-shape", flags->output.plot_shape, "node shape; the first without it"));
  verb->add_option("--plot", flags->output.plot,
                   "draw h over two free resources (with GPUs: cpu and GPU), or of a model file the values with their "
                   "bounds, to this .svg");
  verb->add_option("--threads", flags->model.threads,
                   "of a workload with GPUs, and of value-iteration and modified-policy-iteration on a model file; the "
                   "bits don't depend on it")
      ->capture_default_str();
  verb->add_flag("--json", flags->output.json, "for programs");
  verb->callback([flags, &result] {
    flags->model.json = flags->output.json;
    flags->model.plot = flags->output.plot;
    result.status = flags->model.model.empty() ? Run(*flags) : RunSolveModel(flags->model);
  });
});

}  // namespace
}  // namespace berth::cli

#include "cli/solve_output.h"

#include <algorithm>

#include "base/log.h"
#include "base/status.h"
#include "cli/solve_plot.h"
#include "fmt/format.h"
#include "fmt/ranges.h"

namespace berth::cli {
namespace {

nlohmann::json TrialsJson(const std::vector<IndexTrial>& trials) {
  auto json = nlohmann::json::array();
  for (const IndexTrial& t : trials) {
    nlohmann::json trial{{"rejected_percent", t.rejected_percent}};
    if (t.m > 0)
      trial["m"] = t.m;
    else
      trial["policy"] = t.rule;
    if (t.units > 0) trial["units"] = t.units;
    json.push_back(std::move(trial));
  }
  return json;
}

std::string NameOf(const nlohmann::json& trial) {
  if (trial.contains("policy")) return trial["policy"].get<std::string>();
  const double m = trial["m"].get<double>();
  return trial.contains("units") ? fmt::format("m = {}, {} units", m, trial["units"].get<int>())
                                 : fmt::format("m = {}", m);
}

}  // namespace

template <class Solution>
nlohmann::json CommonJson(const Workload& workload, const Solution& solution, double seconds) {
  return {{"workload", workload.name},
          {"nodes", workload.node_count()},
          {"design_load_ratio", solution.mdp.design_load},
          {"m", solution.mdp.m},
          {"taken_ratio_lower", solution.mdp.share_lower},
          {"taken_ratio_upper", solution.mdp.share_upper},
          {"price_gap_ratio", solution.mdp.price_gap},
          {"is_price_converged", solution.mdp.is_price_converged},
          {"price_steps", solution.mdp.price_steps},
          {"solve_s", seconds},
          {"classes", nlohmann::json::array()},
          {"shapes", nlohmann::json::array()},
          {"trials", TrialsJson(solution.trials)}};
}
template nlohmann::json CommonJson(const Workload&, const IndexSolution&, double);
template nlohmann::json CommonJson(const Workload&, const GpuIndexSolution&, double);

template <class Solution>
void WarnOf(const Solution& solution) {
  if (!solution.mdp.is_price_converged) {
    LogWarning("prices did not settle: the gap is {:.4f} after {} steps", solution.mdp.price_gap,
               solution.mdp.price_steps);
  }
  if (!BeatsRules(solution.trials)) {
    LogWarning("a rule rejected less than every candidate in the training runs: prefer it for this workload");
  }
}
template void WarnOf(const IndexSolution&);
template void WarnOf(const GpuIndexSolution&);

void PrintTrials(const nlohmann::json& trials, const std::string& unit) {
  for (const auto& trial : trials) {
    fmt::print("  {:<20} rejected {:.3f} % of the {} of the training runs\n", NameOf(trial),
               fmt::join(trial["rejected_percent"].get<std::vector<double>>(), " %, "), unit);
  }
}

absl::Status WriteFiles(const SolveOutput& output, const TableFile& tables, const std::vector<std::string>& shapes,
                        const std::function<HeatMap(size_t)>& draw) {
  const auto shape =
      output.plot_shape.empty() ? shapes.begin() : std::find(shapes.begin(), shapes.end(), output.plot_shape);
  if (shape == shapes.end()) {
    return InvalidField("--plot-shape", output.plot_shape, fmt::format("{}", fmt::join(shapes, "; ")));
  }
  if (!output.out.empty()) {
    BERTH_RETURN_IF_ERROR(WriteTableFile(output.out, tables));
    LogInfo("wrote the tables to {}; use them with --model", output.out);
  }
  if (!output.plot.empty()) {
    BERTH_RETURN_IF_ERROR(WriteSvg(output.plot, DrawSvg(draw(static_cast<size_t>(shape - shapes.begin())))));
    LogInfo("wrote the plot");
  }
  return absl::OkStatus();
}

void PrintResult(const SolveOutput& output, const nlohmann::json& json, void (*print)(const nlohmann::json&)) {
  if (output.json)
    fmt::print("{}\n", json.dump(1, ' ', false, nlohmann::json::error_handler_t::replace));
  else
    print(json);
}

}  // namespace berth::cli

#include "cli/evaluate_churn.h"

#include <algorithm>

#include "base/quantity.h"
#include "base/status.h"
#include "evaluate/waits.h"
#include "fmt/format.h"
#include "workload/openb_churn.h"

namespace berth::cli {

absl::StatusOr<Workload> LoadOpenbChurn(const OpenbChurnFlags& flags) {
  if (flags.nodes.empty() || flags.pods.empty()) {
    return absl::InvalidArgumentError("the churn protocol on openb files needs --nodes and --pods together");
  }
  OpenbChurnOptions options;
  if (flags.sample_nodes != "all") {
    BERTH_ASSIGN_OR_RETURN(options.sample_nodes, ParseInteger("--sample-nodes", flags.sample_nodes, 1, 1'000'000));
  }
  BERTH_ASSIGN_OR_RETURN(options.lives, ParseChurnLives(flags.lives));
  return OpenbChurnWorkload(flags.nodes, flags.pods, options);
}

ChurnHours DefaultHours(const OpenbChurnFlags& flags) {
  if (flags.lives == "trace") return {4, 18};
  return {5, flags.sample_nodes == "all" ? 3.0 : 30.0};
}

nlohmann::json WaitsByClassJson(const Workload& workload, const ChurnRun& run) {
  nlohmann::json json = nlohmann::json::array();
  for (const WaitSummary& w : WaitsByClass(workload, {&run, 1})) {
    json.push_back({{"class", w.name}, {"gpus", w.gpus}, {"pods", w.pods}, {"mean_s", w.mean_s}, {"p50_s", w.p50_s}, {"p90_s", w.p90_s}, {"p99_s", w.p99_s}});
  }
  return json;
}

void AddWaits(const Workload& workload, const std::vector<ChurnRun>& runs, size_t seeds, Report* report) {
  Table table{"Waits by kind of pod, s (all seeds together)", {"policy", "load", "kind", "pods", "mean", "p50", "p90", "p99"}, {}};
  Plot plot{"99th percentile of the wait by kind of pod", "offered load", "p99 wait, s", {}};
  for (size_t first = 0; first + seeds <= runs.size(); first += seeds) {
    const ChurnRun& run = runs[first];
    for (const WaitSummary& w : WaitsByKind(workload, std::span(runs).subspan(first, seeds))) {
      const auto digits = [](double x) { return fmt::format("{:.1f}", x); };
      table.rows.push_back({run.policy, fmt::format("{}", run.load), w.name, fmt::format("{}", w.pods), digits(w.mean_s), digits(w.p50_s),
                            digits(w.p90_s), digits(w.p99_s)});
      const std::string name = run.policy + ", " + w.name;
      auto it = std::find_if(plot.series.begin(), plot.series.end(), [&](const Series& s) { return s.name == name; });
      if (it == plot.series.end()) it = plot.series.insert(it, {name, {}, {}, {}, {}});
      it->x.push_back(run.load);
      it->y.push_back(w.p99_s);
    }
  }
  report->tables.push_back(std::move(table));
  report->plots.push_back(std::move(plot));
}

}  // namespace berth::cli

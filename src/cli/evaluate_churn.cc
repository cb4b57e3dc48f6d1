#include "cli/evaluate_churn.h"

#include <algorithm>

#include "base/quantity.h"
#include "base/status.h"
#include "evaluate/rejections.h"
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

nlohmann::json RejectionsByClassJson(const Workload& workload, const ChurnRun& run) {
  nlohmann::json json = nlohmann::json::array();
  for (const RejectionSummary& r : RejectionsByClass(workload, {&run, 1})) {
    json.push_back({{"class", r.name}, {"arrived", r.arrived}, {"rejected", r.rejected}, {"declined", r.declined}, {"rejected_percent", r.rejected_percent()}});
  }
  return json;
}

void AddRejections(const Workload& workload, const std::vector<ChurnRun>& runs, size_t seeds, nlohmann::json* json, Report* report) {
  nlohmann::json& rows = (*json)["rejections_by_kind"] = nlohmann::json::array();
  Table table{"Rejected pods by kind of pod (all seeds together)", {"policy", "load", "kind", "arrived", "rejected, %", "declined, %"}, {}};
  for (size_t first = 0; first + seeds <= runs.size(); first += seeds) {
    const ChurnRun& run = runs[first];
    for (const RejectionSummary& r : RejectionsByKind(workload, std::span(runs).subspan(first, seeds))) {
      table.rows.push_back({run.policy, fmt::format("{}", run.load), r.name, fmt::format("{}", r.arrived), fmt::format("{:.2f}", r.rejected_percent()),
                            fmt::format("{:.2f}", 100 * static_cast<double>(r.declined) / static_cast<double>(r.arrived))});
      rows.push_back({{"policy", run.policy}, {"load", run.load}, {"kind", r.name}, {"arrived", r.arrived}, {"rejected_percent", r.rejected_percent()}, {"declined", r.declined}});
    }
  }
  report->tables.push_back(std::move(table));
}

void AddAdmissionFlags(CLI::App& verb, AdmissionFlags& flags) {
  verb.add_option("--queue-order", flags.order, "churn, queue form: which waiting pod is tried first: arrival, largest (most GPUs), smallest, shortest (mean life of its class)")->capture_default_str();
  verb.add_option("--queue-window", flags.window, "churn, queue form: only this many pods, longest waiting first, may be tried; 1 = nobody overtakes, 0 = all")
      ->check(CLI::Range(int64_t{0}, int64_t{1'000'000'000}))->capture_default_str();
  verb.add_option("--aging-limit", flags.aging_limit_s, "churn, queue form: seconds after which a pod goes before all others and a node is held for it; 0 = never")
      ->check(CLI::Range(0.0, 1e9))->capture_default_str();
  verb.add_option("--held-nodes", flags.held_nodes, "churn, with --aging-limit: nodes held at a time, for the pods that have aged longest")
      ->check(CLI::Range(int64_t{1}, int64_t{1'000'000}))->capture_default_str();
  verb.add_option("--reserve", flags.reserve, "churn: nodes with the most GPUs that take only pods which ask for all of these GPUs")
      ->check(CLI::Range(int64_t{0}, int64_t{1'000'000}))->capture_default_str();
}

absl::Status ApplyAdmissionFlags(const AdmissionFlags& flags, EnvOptions* options) {
  const auto order = ParseQueueOrder(flags.order);
  if (!order.ok()) return InvalidField("--queue-order", flags.order, "arrival, largest, smallest, shortest");
  options->queue = {*order, flags.window, flags.aging_limit_s, flags.held_nodes};
  options->reserved_nodes = flags.reserve;
  if (flags.held_nodes != 1 && flags.aging_limit_s == 0) {
    return InvalidField("--held-nodes", fmt::format("{}", flags.held_nodes), "1 without --aging-limit: nodes are held for aged pods alone");
  }
  if (options->form != Form::kQueue && options->queue != QueueOptions()) {
    return InvalidField("--form", FormName(options->form), "queue with --queue-order, --queue-window and --aging-limit");
  }
  return absl::OkStatus();
}

void AddWaits(const Workload& workload, const std::vector<ChurnRun>& runs, size_t seeds, nlohmann::json* json, Report* report) {
  nlohmann::json& rows = (*json)["waits_by_kind"] = nlohmann::json::array();
  Table table{"Waits by kind of pod, s (all seeds together)", {"policy", "load", "kind", "pods", "mean", "p50", "p90", "p99"}, {}};
  Plot plot{"99th percentile of the wait by kind of pod", "offered load", "p99 wait, s", {}};
  for (size_t first = 0; first + seeds <= runs.size(); first += seeds) {
    const ChurnRun& run = runs[first];
    for (const WaitSummary& w : WaitsByKind(workload, std::span(runs).subspan(first, seeds))) {
      const auto digits = [](double x) { return fmt::format("{:.1f}", x); };
      table.rows.push_back({run.policy, fmt::format("{}", run.load), w.name, fmt::format("{}", w.pods), digits(w.mean_s), digits(w.p50_s),
                            digits(w.p90_s), digits(w.p99_s)});
      rows.push_back({{"policy", run.policy}, {"load", run.load}, {"kind", w.name}, {"pods", w.pods}, {"mean_s", w.mean_s}, {"p50_s", w.p50_s}, {"p90_s", w.p90_s}, {"p99_s", w.p99_s}});
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

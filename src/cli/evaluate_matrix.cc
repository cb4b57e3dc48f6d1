#include "cli/evaluate_matrix.h"

#include <algorithm>

#include "base/log.h"
#include "base/status.h"
#include "cli/compose.h"
#include "evaluate/statistics.h"
#include "fmt/format.h"

namespace berth::cli {
namespace {

constexpr double kMostBelow = 60;   // %; where the colours end

struct Column {
  std::string name;
  Workload workload;
  PolicyList policies;
  std::vector<ChurnRun> runs;         // as RunChurn gives them
};

// Of one policy at one load of a column, in the order of the seeds.
std::vector<double> Rejected(const Column& column, const MatrixFlags& flags, size_t policy, size_t load) {
  std::vector<double> values;
  for (size_t s = 0; s < flags.seeds.size(); ++s) {
    values.push_back(column.runs[(policy * flags.loads.size() + load) * flags.seeds.size() + s].rejected_gpu_hours_percent());
  }
  return values;
}

absl::StatusOr<Column> RunColumn(const MatrixFlags& flags, const OpenbChurnFlags& openb) {
  Column column;
  BERTH_ASSIGN_OR_RETURN(column.workload, LoadOpenbChurn(openb));
  column.name = column.workload.name;   // says the size where it is a sample
  if (openb.sample_nodes == "all") column.name += fmt::format("-{}", column.workload.node_count());
  BERTH_ASSIGN_OR_RETURN(column.policies, MakePolicies(flags.policies, flags.models, column.workload, flags.learns_mix));
  if (std::none_of(column.policies.begin(), column.policies.end(), [](const auto& p) { return p->info().kind == "rule"; })) {
    return absl::InvalidArgumentError("--policies: no rule is among them; the matrix compares with the best rule, e.g. best-fit,fgd,fgd-keep-empty");
  }
  ChurnHours hours = DefaultHours(openb);
  if (flags.warmup_hours >= 0) hours.warmup = flags.warmup_hours;
  if (flags.window_hours >= 0) hours.window = flags.window_hours;
  ChurnOptions churn;
  churn.env.form = Form::kLoss;
  churn.env.warmup_us = static_cast<int64_t>(hours.warmup * 3.6e9);
  churn.env.window_us = static_cast<int64_t>(hours.window * 3.6e9);
  churn.loads = flags.loads;
  churn.seeds = flags.seeds;
  LogInfo("matrix: {}", column.name);
  BERTH_ASSIGN_OR_RETURN(column.runs, RunChurn(column.workload, churn, column.policies, flags.run));
  return column;
}

}  // namespace

absl::StatusOr<MatrixAnswer> EvaluateMatrix(const MatrixFlags& flags) {
  std::vector<Column> columns;
  for (const std::string& pods : flags.pods) {
    for (const std::string& size : flags.sample_nodes) {
      BERTH_ASSIGN_OR_RETURN(columns.emplace_back(), RunColumn(flags, {flags.nodes, pods, size, flags.lives}));
    }
  }
  if (columns.empty()) return absl::InvalidArgumentError("the matrix protocol needs --nodes, --pods and --sample-nodes");
  const PolicyList& rows = columns.front().policies;
  MatrixAnswer answer;
  answer.json = {{"cells", nlohmann::json::array()}};
  answer.report.title = "Every policy on every list and size";
  Table table{"Rejected GPU hours, %, and how far below the best rule (paired, 95 %)", {"policy", "workload", "load", "rejected, %", "best rule", "its, %", "difference", "below, %"}, {}};
  for (size_t l = 0; l < flags.loads.size(); ++l) {
    HeatMap map;
    map.title = fmt::format("Rejected GPU hours below those of the best rule, %, load {}", flags.loads[l]);
    map.y_label = "policy";
    map.scale = "below the best rule, %";
    map.least = -kMostBelow, map.most = kMostBelow;
    map.x_high = static_cast<double>(columns.size());
    map.columns = columns.size();
    map.values.resize(rows.size() * columns.size());
    for (const auto& policy : rows) map.row_labels.push_back(policy->info().name);
    for (size_t c = 0; c < columns.size(); ++c) {
      const Column& column = columns[c];
      map.column_labels.push_back(column.name);
      size_t best = rows.size();
      for (size_t p = 0; p < rows.size(); ++p) {
        const auto mean = [&](size_t policy) { return MeanInterval(Rejected(column, flags, policy, l)).mean; };
        if (column.policies[p]->info().kind == "rule" && (best == rows.size() || mean(p) < mean(best))) best = p;
      }
      const std::vector<double> of_best = Rejected(column, flags, best, l);
      const double best_mean = MeanInterval(of_best).mean;
      const std::string& best_name = column.policies[best]->info().name;
      for (size_t p = 0; p < rows.size(); ++p) {
        const std::vector<double> values = Rejected(column, flags, p, l);
        const Interval interval = MeanInterval(values), difference = PairedInterval(values, of_best);
        const double below = best_mean > 0 ? -100 * difference.mean / best_mean : 0;
        const std::string& name = column.policies[p]->info().name;
        answer.json["cells"].push_back({{"policy", name}, {"workload", column.workload.name}, {"nodes", column.workload.node_count()}, {"load", flags.loads[l]},
                                        {"rejected_gpu_hours_percent", interval.mean}, {"best_rule", best_name}, {"best_rule_percent", best_mean},
                                        {"below_percent", below}, {"difference", difference.mean}, {"ci95_low", difference.low}, {"ci95_high", difference.high}});
        table.rows.push_back({name, column.name, fmt::format("{}", flags.loads[l]), MeanAndHalf(interval), best_name, fmt::format("{:.3f}", best_mean),
                              MeanAndHalf(difference), fmt::format("{:.1f}", below)});
        map.values[p * columns.size() + c] = below;
      }
    }
    answer.report.heat_maps.push_back(std::move(map));
  }
  answer.report.tables.push_back(std::move(table));
  return answer;
}

}  // namespace berth::cli

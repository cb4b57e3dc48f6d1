#include "agent/publish.h"

#include <algorithm>
#include <filesystem>
#include <limits>

#include "base/status.h"
#include "evaluate/azure_protocol.h"
#include "fmt/format.h"
#include "policy/potential/model_dir.h"
#include "policy/registry.h"

namespace berth {
namespace {

using Json = nlohmann::json;

constexpr uint64_t kTestSeeds = 101, kStaticTestSeeds = 1'001;
constexpr int64_t kTestWindowHours = 20, kMaxGoldenNodes = 24;

struct Scores {
  std::string metric, unit;
  std::vector<std::string> policies;
  std::vector<double> loads;
  // [policy][load][seed]
  std::vector<std::vector<std::vector<double>>> values;
};

absl::StatusOr<Scores> Measure(const Workload& workload, const TrainingPlan& plan, const PolicyList& policies, const PublishOptions& options) {
  Scores scores;
  for (const auto& p : policies) scores.policies.push_back(p->info().name);
  BERTH_ASSIGN_OR_RETURN(const Form form, ParseForm(plan.form));
  std::vector<uint64_t> seeds;
  for (int i = 0; i < plan.test_seeds; ++i) seeds.push_back((form == Form::kStatic ? kStaticTestSeeds : kTestSeeds) + static_cast<uint64_t>(i));
  const RunOptions run{options.jobs, options.is_quiet};
  if (form == Form::kStatic) {
    scores.metric = "unallocated_percent_at_100", scores.unit = "GPU unallocated at 100 % arrived, %", scores.loads = {1.0};
    std::vector<PodRequest> pods;
    const auto sequences = DrawFgdSequences(workload, seeds, 1.012, false, &pods);
    BERTH_ASSIGN_OR_RETURN(const auto runs, RunFgdProtocol(workload.Nodes(), pods, sequences, policies, run));
    scores.values.assign(policies.size(), {{}});
    for (size_t i = 0; i < runs.size(); ++i) scores.values[i / seeds.size()][0].push_back(runs[i].unallocated_percent_at(100));
    return scores;
  }
  if (plan.protocol == "azure") {
    scores.metric = "rejected_cpu_hours_percent", scores.unit = "rejected core-hours, %, on load x the need of hosts, thinnings of the trace that was trained on", scores.loads = plan.loads;
    AzureOptions thinning;
    BERTH_ASSIGN_OR_RETURN(const AzureTrace trace, PlannedTrace(plan, &thinning));
    std::vector<AzureReplica> replicas;
    for (uint64_t seed : seeds) {
      BERTH_ASSIGN_OR_RETURN(replicas.emplace_back(), MakeAzureReplica(trace, thinning, seed));
    }
    BERTH_ASSIGN_OR_RETURN(const AzureResult result, RunAzureProtocol(replicas, policies, {plan.loads, false, run}));
    scores.values.assign(policies.size(), std::vector<std::vector<double>>(plan.loads.size()));
    for (size_t i = 0; i < result.runs.size(); ++i) {
      scores.values[i / (seeds.size() * plan.loads.size())][i / seeds.size() % plan.loads.size()].push_back(result.runs[i].rejected_cpu_hours_percent);
    }
    return scores;
  }
  const bool has_gpus = LoadResourceOf(workload) == LoadResource::kGpu;
  ChurnOptions churn;
  churn.env.form = form;
  churn.env.warmup_us = static_cast<int64_t>(plan.warmup_hours * 3.6e9);
  churn.env.window_us = static_cast<int64_t>(std::max(plan.window_hours, std::min<double>(2 * plan.window_hours, kTestWindowHours)) * 3.6e9);
  churn.loads = plan.loads;
  churn.seeds = seeds;
  BERTH_ASSIGN_OR_RETURN(const auto runs, RunChurn(workload, churn, policies, run));
  scores.loads = plan.loads;
  scores.metric = form == Form::kQueue ? (has_gpus ? "wait_gpu_weighted_mean_s" : "wait_mean_s") : has_gpus ? "rejected_gpu_hours_percent" : "rejected_cpu_hours_percent";
  scores.unit = form == Form::kQueue ? "mean wait, s" : has_gpus ? "rejected GPU hours, %" : "rejected CPU hours, %";
  scores.values.assign(policies.size(), std::vector<std::vector<double>>(plan.loads.size()));
  for (size_t i = 0; i < runs.size(); ++i) {
    const ChurnRun& r = runs[i];
    const double value = form == Form::kQueue ? (has_gpus ? r.wait_gpu_weighted_mean_s() : r.wait_mean_s())
                         : has_gpus           ? r.rejected_gpu_hours_percent()
                                              : r.rejected_cpu_hours_percent();
    scores.values[i / (seeds.size() * plan.loads.size())][i / seeds.size() % plan.loads.size()].push_back(value);
  }
  return scores;
}

int64_t FreeVersion(const std::string& parent) {
  int64_t version = 1;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(parent, error)) {
    const std::string name = entry.path().filename().string();
    if (name.find_first_not_of("0123456789") == std::string::npos && name.size() < 10) version = std::max<int64_t>(version, std::stoll(name) + 1);
  }
  return version;
}

}  // namespace

absl::StatusOr<Published> Publish(const Workload& workload, const TrainingPlan& plan, const Outcome& outcome, const PublishOptions& options) {
  ModelContent content;
  content.name = options.name;
  content.version = FreeVersion((std::filesystem::path(options.root) / options.name).string());
  content.weights = outcome.weights;
  content.mix = MixOf(workload);
  content.prices = PricesOf(plan);
  content.serves_any_mix = !plan.mixes.empty();
  BERTH_ASSIGN_OR_RETURN(const Workload small, ScaleNodes(workload, std::min<int64_t>(kMaxGoldenNodes, static_cast<int64_t>(workload.node_count()))));
  content.golden_nodes = small.Nodes();

  BERTH_ASSIGN_OR_RETURN(const auto model, MakeModelPolicy(options.name, fmt::format("{}", content.version), content.weights, content.mix, content.prices));
  PolicyContext context;
  context.mix = content.mix;
  PolicyList policies{model};
  std::vector<std::string> names{"best-fit", "fgd", "fgd-keep-empty", "stranding"};
  if (const auto rules = RulesToBeat(plan.protocol); !rules.empty()) names.assign(rules.begin(), rules.end());
  for (const std::string& name : names) {
    BERTH_ASSIGN_OR_RETURN(auto rule, MakePolicy(name, context));
    policies.push_back(std::move(rule));
  }
  BERTH_ASSIGN_OR_RETURN(const Scores scores, Measure(workload, plan, policies, options));

  Published published;
  published.version = content.version;
  Json results = Json::array(), paired = Json::array();
  std::string& table = published.table;
  table = fmt::format("{} (lower is better; {} unseen seeds)\n{:<24}", scores.unit, plan.test_seeds, "policy");
  for (double load : scores.loads) table += fmt::format("  load {:<10}", load);
  table += "\n";
  for (size_t p = 0; p < scores.policies.size(); ++p) {
    table += fmt::format("{:<24}", scores.policies[p]);
    for (size_t l = 0; l < scores.loads.size(); ++l) {
      const Interval interval = MeanInterval(scores.values[p][l]);
      table += fmt::format("  {:<15.3f}", interval.mean);
      results.push_back({{"policy", scores.policies[p]}, {"load", scores.loads[l]}, {"mean", interval.mean}});
    }
    table += "\n";
  }
  table += "paired difference to the model's disadvantage if positive (95 % interval)\n";
  for (size_t p = 1; p < scores.policies.size(); ++p) {
    table += fmt::format("{:<24}", fmt::format("{} - {}", "model", scores.policies[p]));
    for (size_t l = 0; l < scores.loads.size(); ++l) {
      const Interval d = PairedInterval(scores.values[0][l], scores.values[p][l]);
      table += fmt::format("  {:+.3f} [{:+.3f}, {:+.3f}]{}", d.mean, d.low, d.high, d.excludes_zero() ? "" : " (0 inside)");
      paired.push_back({{"against", scores.policies[p]}, {"load", scores.loads[l]}, {"difference", d.mean}, {"ci95_low", d.low}, {"ci95_high", d.high}});
    }
    table += "\n";
  }

  Json gate = Json::array();
  for (const GateResult& g : outcome.gate) {
    Json by_mix = Json::array();
    for (size_t m = 0; m < g.by_mix.size(); ++m) {
      const Interval& d = g.by_mix[m];
      by_mix.push_back({{"mix", outcome.mixes[m]}, {"cost_difference_share", d.mean}, {"ci95_low", d.low}, {"ci95_high", d.high}});
    }
    gate.push_back({{"challenger", g.challenger}, {"champion", g.champion}, {"relative_cost_difference", g.difference.mean},
                    {"ci95_low", g.difference.low}, {"ci95_high", g.difference.high}, {"is_better", g.is_better()}, {"by_mix", by_mix}});
  }
  published.metrics = {{"shipped", outcome.shipped}, {"metric", scores.metric}, {"test_seeds", plan.test_seeds}, {"nodes", workload.node_count()},
                       {"results", results}, {"paired", paired}, {"gate", gate}};
  content.metrics_json = published.metrics.dump();
  Json mix_shape;
  const MixShape shape = MixShapeOf(workload);
  for (size_t i = 0; i < shape.size(); ++i) mix_shape[std::string(MixShapeNames()[i])] = shape[i];
  content.trained_on_json = Json{{"workload", workload.name}, {"attribution", workload.attribution}, {"mix_shape", mix_shape}, {"updates", outcome.updates},
                                 {"plan", PlanToJson(plan)}, {"command", options.command}, {"arithmetic", Json::parse(ArithmeticFingerprint())}}
                                .dump();
  if (outcome.is_rule()) return published;
  BERTH_ASSIGN_OR_RETURN(published.dir, WriteModelDir(options.root, content));
  return published;
}

}  // namespace berth

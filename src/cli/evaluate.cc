// `berth evaluate`: policies on workloads, paired, with intervals.
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <memory>

#include "base/log.h"
#include "base/status.h"
#include "cli/compose.h"
#include "cli/evaluate_azure.h"
#include "cli/evaluate_bound.h"
#include "cli/evaluate_churn.h"
#include "cli/evaluate_matrix.h"
#include "cli/verbs.h"
#include "evaluate/evaluate.h"
#include "evaluate/heat_map.h"
#include "evaluate/report.h"
#include "fmt/format.h"
#include "workload/openb.h"

namespace berth::cli {
namespace {

struct Flags {
  std::string protocol = "churn";
  std::string nodes, pods, arrival, noderank;
  std::string sample_nodes = "151", lives = "exponential";
  AzureFlags azure;
  AdmissionFlags admission;
  std::string workload = "openb-like";
  std::string form = "loss";
  std::string load = "0.9";
  std::string seeds = "101-108";
  std::string policies;
  std::vector<std::string> models;
  int64_t node_count = 0;
  double warmup_hours = -1, window_hours = -1;   // below 0: the protocol's
  int jobs = 0;
  std::string out;
  bool has_bound = false;
  bool json = false;
  std::string record;
  bool learns_mix = false;
  bool is_quiet = false;
};

std::string Digits(double x) { return fmt::format("{:.3f}", x); }

std::vector<std::string> DefaultPolicies(bool has_gpus) {
  if (!has_gpus) return {"first-fit", "best-fit", "most-allocated", "fgd", "stranding", "kubernetes-default"};
  return {"first-fit", "best-fit", "most-allocated", "most-allocated-gpu", "fgd", "fgd-keep-empty", "stranding"};
}

bool HasGpus(const Workload& workload) { return LoadResourceOf(workload) == LoadResource::kGpu; }

std::string CommandLine(const CLI::App& verb) {
  std::string line = "berth " + verb.get_name();
  for (const CLI::Option* option : verb.get_options()) {
    if (option->count() == 0) continue;
    line += " " + option->get_name();
    if (option->get_expected_max() == 0) continue;
    for (const std::string& value : option->results()) line += " " + value;
  }
  return line;
}

absl::Status WriteFile(const std::filesystem::path& path, std::string_view text) {
  std::ofstream out(path, std::ios::binary);
  out << text;
  out.close();
  if (!out) return absl::FailedPreconditionError(fmt::format("--out: {} can't be written", Quoted(path.filename().string())));
  return absl::OkStatus();
}

// Writes report.html, results.json and config.yaml, or says where results went.
absl::Status WriteOut(const Flags& flags, const CLI::App& verb, const nlohmann::json& results, Report report) {
  if (flags.out.empty()) return absl::OkStatus();
  std::error_code error;
  std::filesystem::create_directories(flags.out, error);
  if (error) return InvalidField("--out", flags.out, "a directory that can be made");
  const nlohmann::json machine = MachineJson();
  report.command = CommandLine(verb);
  report.machine = fmt::format("{}, {} cores, {}, {}, commit {}, {}", machine["cpu"].get<std::string>(), machine["cores"].get<int>(),
                               machine["compiler"].get<std::string>(), machine["build_type"].get<std::string>(),
                               machine["commit"].get<std::string>(), machine["date"].get<std::string>());
  nlohmann::json with_machine = results;
  with_machine["machine"] = machine;
  with_machine["command"] = report.command;
  const std::filesystem::path dir(flags.out);
  BERTH_RETURN_IF_ERROR(WriteFile(dir / "results.json", with_machine.dump(1) + "\n"));
  BERTH_RETURN_IF_ERROR(WriteFile(dir / "report.html", HtmlReport(report)));
  BERTH_RETURN_IF_ERROR(WriteFile(dir / "config.yaml", verb.config_to_str(true, false)));
  LogInfo("wrote report.html, results.json and the effective configuration to {}", flags.out);
  return absl::OkStatus();
}

absl::StatusOr<std::vector<FgdSequence>> ReadSequences(const Flags& flags, size_t nodes, size_t pods,
                                                       const std::vector<uint64_t>& seeds) {
  BERTH_ASSIGN_OR_RETURN(const auto orders, ReadArrivalOrders(flags.arrival, pods));
  BERTH_ASSIGN_OR_RETURN(const auto ranks, ReadNodeRanks(flags.noderank, nodes));
  std::vector<FgdSequence> sequences;
  for (uint64_t seed : seeds) {
    const auto find = [&](const std::vector<SeedColumn>& columns) {
      return std::find_if(columns.begin(), columns.end(), [&](const SeedColumn& c) { return c.seed == seed; });
    };
    const auto order = find(orders);
    const auto rank = find(ranks);
    if (order == orders.end() || rank == ranks.end()) {
      return InvalidField("--seeds", fmt::format("{}", seed), order == orders.end() ? "a seed with a column in the arrival file"
                                                                                    : "a seed with a column in the rank file");
    }
    sequences.push_back({seed, order->values, rank->values});
  }
  return sequences;
}

absl::Status RunFgd(const Flags& flags, const CLI::App& verb) {
  BERTH_ASSIGN_OR_RETURN(const auto seeds, ParseSeeds("--seeds", flags.seeds));
  std::vector<Node> nodes;
  std::vector<PodRequest> requests;
  std::vector<FgdSequence> sequences;
  Workload mix;   // what the policies look ahead to
  const int files = !flags.nodes.empty() + !flags.pods.empty() + !flags.arrival.empty() + !flags.noderank.empty();
  if (files == 4) {
    BERTH_ASSIGN_OR_RETURN(nodes, ReadOpenbNodes(flags.nodes));
    BERTH_ASSIGN_OR_RETURN(const auto pods, ReadOpenbPods(flags.pods));
    for (const OpenbPod& pod : pods) {
      requests.push_back(pod.request);
      PodClass c;
      c.request = pod.request;
      c.share = 1;
      mix.pod_classes.push_back(std::move(c));
    }
    for (const Node& node : nodes) mix.node_groups.push_back({node, 1});
    BERTH_ASSIGN_OR_RETURN(sequences, ReadSequences(flags, nodes.size(), pods.size(), seeds));
  } else if (files == 0) {
    BERTH_ASSIGN_OR_RETURN(mix, LoadWorkloadByNameOrFile(flags.workload));
    if (flags.node_count > 0) {
      BERTH_ASSIGN_OR_RETURN(mix, ScaleNodes(mix, flags.node_count));
    }
    nodes = mix.Nodes();
    sequences = DrawFgdSequences(mix, seeds, 1.3, false, &requests);
  } else {
    return absl::InvalidArgumentError("the fgd protocol needs --nodes, --pods, --arrival and --noderank together, or none of them and --workload");
  }
  const auto names = flags.policies.empty() && flags.models.empty() ? DefaultPolicies(true) : SplitList(flags.policies);
  BERTH_ASSIGN_OR_RETURN(const auto policies, MakePolicies(names, flags.models, mix, flags.learns_mix));
  FgdBounds bounds;
  if (flags.has_bound) {
    BERTH_ASSIGN_OR_RETURN(bounds, ComputeFgdBounds(nodes, requests, sequences, mix, {flags.jobs, flags.is_quiet}));
  }
  if (!flags.record.empty()) {
    std::error_code error;
    std::filesystem::create_directories(flags.record, error);
    if (error) return InvalidField("--record", flags.record, "a directory that can be made");
  }
  BERTH_ASSIGN_OR_RETURN(const auto runs, RunFgdProtocol(nodes, requests, sequences, policies, {flags.jobs, flags.is_quiet, flags.record}));

  nlohmann::json json{{"runs", nlohmann::json::array()}};
  for (const FgdRun& run : runs) {
    json["runs"].push_back({{"policy", run.policy},
                            {"seed", run.seed},
                            {"allocated_gpu_milli", run.allocated_gpu_milli},
                            {"failed_pods", run.failed_pods},
                            {"unallocated_percent_at_100", run.unallocated_percent_at(100)},
                            {"unallocated_percent_at_130", run.unallocated_percent_at(130)},
                            {"curve", run.curve}});
  }
  Report report;
  report.title = "Arrivals only (FGD protocol)";
  Table table{"Unallocated GPU, % of the cluster (lower is better; mean ± 95 % half width over seeds)",
              {"policy", "at 100 % arrived", "at 130 %", "failed pods"}, {}};
  Plot plot{"GPU allocation", "arrived demand, % of capacity", "allocated, % of capacity", {}};
  const size_t per_policy = sequences.size();
  for (size_t p = 0; p < policies.size(); ++p) {
    std::vector<double> at_100, at_130, failed;
    Series series{runs[p * per_policy].policy, {}, {}, {}, {}};
    for (size_t s = 0; s < per_policy; ++s) {
      const FgdRun& run = runs[p * per_policy + s];
      at_100.push_back(run.unallocated_percent_at(100));
      at_130.push_back(run.unallocated_percent_at(130));
      failed.push_back(static_cast<double>(run.failed_pods));
    }
    for (int b = 80; b < kCurvePoints; ++b) {
      double mean = 0;
      for (size_t s = 0; s < per_policy; ++s) mean += runs[p * per_policy + s].curve[static_cast<size_t>(b)] / static_cast<double>(per_policy);
      series.x.push_back(b);
      series.y.push_back(mean);
    }
    plot.series.push_back(std::move(series));
    table.rows.push_back({runs[p * per_policy].policy, MeanAndHalf(MeanInterval(at_100)), MeanAndHalf(MeanInterval(at_130)),
                          fmt::format("{:.1f}", MeanInterval(failed).mean)});
  }
  report.tables.push_back(table);
  report.plots.push_back(plot);
  if (flags.has_bound) AddFgdBounds(bounds, policies, runs, &json, &report);
  if (!flags.out.empty()) {
    BERTH_ASSIGN_OR_RETURN(const Workload first, FgdWorkload(nodes, requests, sequences.front()));
    for (const auto& policy : policies) {
      BERTH_ASSIGN_OR_RETURN(report.heat_maps.emplace_back(), PlayHeatMap(first, FgdEnvOptions(sequences.front(), *policy), *policy, seeds.front()));
    }
  }
  BERTH_RETURN_IF_ERROR(WriteOut(flags, verb, json, report));
  if (flags.json) fmt::print("{}\n", json.dump());
  else fmt::print("{}{}", TextTable(table), flags.has_bound ? "\n" + TextTable(report.tables.back()) : "");
  return absl::OkStatus();
}

struct Metric {
  std::string key, title;
  std::function<double(const ChurnRun&)> value;
};

absl::Status RunDepartures(const Flags& flags, const CLI::App& verb) {
  BERTH_ASSIGN_OR_RETURN(const auto seeds, ParseSeeds("--seeds", flags.seeds));
  BERTH_ASSIGN_OR_RETURN(const auto loads, ParseNumbers("--load", flags.load, 1e-6, 10));
  const OpenbChurnFlags openb{flags.nodes, flags.pods, flags.sample_nodes, flags.lives};
  const bool is_openb = !flags.nodes.empty() || !flags.pods.empty();
  ChurnHours hours{5, 30};
  Workload workload;
  if (is_openb) {
    BERTH_ASSIGN_OR_RETURN(workload, LoadOpenbChurn(openb));
    hours = DefaultHours(openb);
  } else {
    BERTH_ASSIGN_OR_RETURN(workload, LoadWorkloadByNameOrFile(flags.workload));
  }
  if (flags.node_count > 0) {
    BERTH_ASSIGN_OR_RETURN(workload, ScaleNodes(workload, flags.node_count));
  }
  if (flags.warmup_hours >= 0) hours.warmup = flags.warmup_hours;
  if (flags.window_hours >= 0) hours.window = flags.window_hours;
  ChurnOptions churn;
  BERTH_ASSIGN_OR_RETURN(churn.env.form, ParseForm(flags.form));
  BERTH_RETURN_IF_ERROR(ApplyAdmissionFlags(flags.admission, &churn.env));
  churn.env.warmup_us = static_cast<int64_t>(hours.warmup * 3.6e9);
  churn.env.window_us = static_cast<int64_t>(hours.window * 3.6e9);
  churn.loads = loads;
  churn.seeds = seeds;
  const bool has_gpus = HasGpus(workload);
  const auto names = flags.policies.empty() && flags.models.empty() ? DefaultPolicies(has_gpus) : SplitList(flags.policies);
  BERTH_ASSIGN_OR_RETURN(const auto policies, MakePolicies(names, flags.models, workload, flags.learns_mix));
  std::vector<ChurnBound> bounds;
  if (flags.has_bound) {
    BERTH_ASSIGN_OR_RETURN(bounds, ComputeChurnBounds(workload, churn));
  }
  BERTH_ASSIGN_OR_RETURN(const auto runs, RunChurn(workload, churn, policies, {flags.jobs, flags.is_quiet}));

  // What the paired differences are taken of.
  Metric metric = has_gpus ? Metric{"rejected_gpu_hours_percent", "rejected GPU hours, %", [](const ChurnRun& r) { return r.rejected_gpu_hours_percent(); }}
                           : Metric{"rejected_cpu_hours_percent", "rejected CPU hours, %", [](const ChurnRun& r) { return r.rejected_cpu_hours_percent(); }};
  if (churn.env.form == Form::kQueue) {
    metric = {"wait_gpu_weighted_mean_s", "GPU-weighted mean wait, s", [](const ChurnRun& r) { return r.wait_gpu_weighted_mean_s(); }};
    if (!has_gpus) metric = {"wait_mean_s", "mean wait, s", [](const ChurnRun& r) { return r.wait_mean_s(); }};
  }
  nlohmann::json json{{"workload", workload.name}, {"nodes", workload.node_count()}, {"form", flags.form}, {"runs", nlohmann::json::array()}};
  for (const ChurnRun& run : runs) {
    json["runs"].push_back({{"policy", run.policy},
                            {"seed", run.seed},
                            {"load", run.load},
                            {"rejected_gpu_hours_percent", run.rejected_gpu_hours_percent()},
                            {"rejected_cpu_hours_percent", run.rejected_cpu_hours_percent()},
                            {"rejected_pods_percent", run.rejected_pods_percent()},
                            {"allocated_gpu_percent", run.allocated_gpu_percent()},
                            {"allocated_cpu_percent", run.allocated_cpu_percent()},
                            {"active_nodes_percent", run.active_nodes_percent()},
                            {"wait_mean_s", run.wait_mean_s()},
                            {"wait_gpu_weighted_mean_s", run.wait_gpu_weighted_mean_s()},
                            {"wait_p99_s", run.wait_quantile_s(0.99)},
                            {"arrived_pods", run.stats.arrived},
                            {"placed_pods", run.stats.placed}});
    if (churn.env.form == Form::kQueue) json["runs"].back()["waits_by_class"] = WaitsByClassJson(workload, run);
    else json["runs"].back()["rejections_by_class"] = RejectionsByClassJson(workload, run);
  }
  const auto differences = PairedDifferences(runs, metric.value);
  json["paired_metric"] = metric.key;
  json["paired"] = nlohmann::json::array();
  for (const PairedDifference& d : differences) {
    json["paired"].push_back({{"policy", d.policy}, {"against", d.against}, {"load", d.load}, {"metric", metric.key},
                              {"difference", d.difference.mean}, {"ci95_low", d.difference.low}, {"ci95_high", d.difference.high}});
  }

  Report report;
  report.title = fmt::format("{} nodes of {}, {} form", workload.node_count(), workload.name, flags.form);
  Table table{metric.title + " (mean ± 95 % half width over seeds)", {"policy", "load", metric.title, "allocated GPU, %", "allocated CPU, %", "mean wait, s", "p99 wait, s"}, {}};
  Plot plot{metric.title, "offered load", metric.title, {}};
  for (size_t p = 0; p < policies.size(); ++p) {
    Series series{policies[p]->info().name, {}, {}, {}, {}};
    for (size_t l = 0; l < loads.size(); ++l) {
      std::vector<double> values, gpu, cpu, wait, p99;
      for (size_t s = 0; s < seeds.size(); ++s) {
        const ChurnRun& run = runs[(p * loads.size() + l) * seeds.size() + s];
        values.push_back(metric.value(run));
        gpu.push_back(run.allocated_gpu_percent());
        cpu.push_back(run.allocated_cpu_percent());
        wait.push_back(run.wait_mean_s());
        p99.push_back(run.wait_quantile_s(0.99));
      }
      const Interval interval = MeanInterval(values);
      table.rows.push_back({series.name, fmt::format("{}", loads[l]), MeanAndHalf(interval), Digits(MeanInterval(gpu).mean), Digits(MeanInterval(cpu).mean),
                            Digits(MeanInterval(wait).mean), Digits(MeanInterval(p99).mean)});
      series.x.push_back(loads[l]);
      series.y.push_back(interval.mean);
      series.low.push_back(interval.low);
      series.high.push_back(interval.high);
    }
    plot.series.push_back(std::move(series));
  }
  Table paired{"Paired differences of " + metric.title + " (95 % interval; policy minus against)", {"policy", "against", "load", "difference", "low", "high", "excludes 0"}, {}};
  for (const PairedDifference& d : differences) {
    const auto at = [&](const std::string& name) {
      return std::find_if(policies.begin(), policies.end(), [&](const auto& p) { return p->info().name == name; }) - policies.begin();
    };
    if (at(d.policy) < at(d.against)) continue;   // each pair once, the later policy against the earlier
    paired.rows.push_back({d.policy, d.against, fmt::format("{}", d.load), Digits(d.difference.mean), Digits(d.difference.low), Digits(d.difference.high),
                           d.difference.excludes_zero() ? "yes" : "no"});
  }
  report.tables = {table, paired};
  report.plots.push_back(plot);
  if (churn.env.form == Form::kQueue) AddWaits(workload, runs, seeds.size(), &json, &report);
  else AddRejections(workload, runs, seeds.size(), &json, &report);
  if (flags.has_bound) AddChurnBounds(bounds, policies, runs, metric.value, &json, &report);
  if (!flags.out.empty()) {
    EnvOptions options = churn.env;
    options.load = loads.front();
    for (const auto& policy : policies) {
      BERTH_ASSIGN_OR_RETURN(report.heat_maps.emplace_back(), PlayHeatMap(workload, options, *policy, seeds.front()));
    }
  }
  BERTH_RETURN_IF_ERROR(WriteOut(flags, verb, json, report));
  if (flags.json) fmt::print("{}\n", json.dump());
  else fmt::print("{}\n{}{}", TextTable(table), TextTable(paired), flags.has_bound ? "\n" + TextTable(report.tables.back()) : "");
  return absl::OkStatus();
}

absl::Status RunAzure(const Flags& flags, const CLI::App& verb) {
  AzureFlags azure = flags.azure;
  azure.policies = SplitList(flags.policies);
  azure.models = flags.models;
  azure.run = {flags.jobs, flags.is_quiet};
  BERTH_ASSIGN_OR_RETURN(const AzureAnswer answer, EvaluateAzure(azure));
  BERTH_RETURN_IF_ERROR(WriteOut(flags, verb, answer.json, answer.report));
  if (flags.json) fmt::print("{}\n", answer.json.dump());
  else for (const Table& table : answer.report.tables) fmt::print("{}\n", TextTable(table));
  return absl::OkStatus();
}

absl::Status RunMatrix(const Flags& flags, const CLI::App& verb) {
  if (flags.form != "loss") return InvalidField("--form", flags.form, "loss for the matrix protocol");
  MatrixFlags matrix;
  matrix.nodes = flags.nodes;
  matrix.pods = SplitList(flags.pods);
  matrix.sample_nodes = SplitList(flags.sample_nodes);
  matrix.lives = flags.lives;
  BERTH_ASSIGN_OR_RETURN(matrix.loads, ParseNumbers("--load", flags.load, 1e-6, 10));
  BERTH_ASSIGN_OR_RETURN(matrix.seeds, ParseSeeds("--seeds", flags.seeds));
  matrix.warmup_hours = flags.warmup_hours;
  matrix.window_hours = flags.window_hours;
  matrix.policies = flags.policies.empty() ? DefaultPolicies(true) : SplitList(flags.policies);
  matrix.models = flags.models;
  matrix.learns_mix = flags.learns_mix;
  matrix.run = {flags.jobs, flags.is_quiet};
  BERTH_ASSIGN_OR_RETURN(const MatrixAnswer answer, EvaluateMatrix(matrix));
  BERTH_RETURN_IF_ERROR(WriteOut(flags, verb, answer.json, answer.report));
  if (flags.json) fmt::print("{}\n", answer.json.dump());
  else fmt::print("{}", TextTable(answer.report.tables.front()));
  return absl::OkStatus();
}

absl::Status Run(const Flags& flags, const CLI::App& verb) {
  if (flags.protocol == "azure") return RunAzure(flags, verb);
  if (flags.protocol == "fgd") return RunFgd(flags, verb);
  if (flags.protocol == "churn") return RunDepartures(flags, verb);
  if (flags.protocol == "matrix") return RunMatrix(flags, verb);
  return InvalidField("--protocol", flags.protocol, "fgd, churn, azure, matrix");
}

const VerbRegistration kEvaluate("evaluate", [](CLI::App& app, VerbResult& result) {
  auto flags = std::make_shared<Flags>();
  CLI::App* verb = app.add_subcommand("evaluate", "Any set of policies on any workload: paired seeds, confidence intervals, JSON and an HTML report");
  verb->footer(
      "Examples:\n"
      "  berth evaluate --workload openb-like --node-count 151 --form loss --load 0.9,1.0 --seeds 101-108 --policies best-fit,fgd,fgd-keep-empty --bound\n"
      "  berth evaluate --protocol fgd --nodes N.csv --pods P.csv --arrival A.csv --noderank R.csv --policies best-fit,fgd,stranding --seeds 42-51 --json\n"
      "  berth evaluate --protocol churn --nodes N.csv --pods P.csv --sample-nodes 151 --load 0.9,1.0,1.1 --seeds 101-108 --model DIR --json\n"
      "  berth evaluate --protocol churn --nodes N.csv --pods P.csv --form queue --load 1.0 --aging-limit 3600 --held-nodes 4 --policies fgd,fgd-keep-empty\n"
      "  berth evaluate --protocol matrix --nodes N.csv --pods default.csv,cpu250.csv --sample-nodes 50,151,all --load 0.9,1.0 --seeds 1-8 --model A --model B --out report/\n"
      "  berth evaluate --protocol azure --dev v1.dev.txt --test v1.test.txt --host 64/192 --replicas 6 --policies best-fit,fgd,index\n"
      "  berth evaluate --workload vm-like --policies best-fit,index --out report/");
  verb->add_option("--protocol", flags->protocol, "churn: pods arrive and depart; matrix: churn on every pod list and size that is given, against the best rule of each; azure: the Azure VM trace on identical hosts; fgd: the published protocol, arrivals only")->capture_default_str();
  verb->add_option("--workload", flags->workload, "a built-in workload (openb-like, vm-like) or a file of Berth's format")->capture_default_str();
  verb->add_option("--node-count", flags->node_count, "scale the workload to this many nodes (0 = as it is)")->check(CLI::Range(int64_t{0}, int64_t{1'000'000}));
  verb->add_option("--form", flags->form, "churn: loss (what fits nowhere is lost) or queue (it waits)")->capture_default_str();
  verb->add_option("--load", flags->load, "churn: offered load, one or more, e.g. 0.9,1.0")->capture_default_str();
  AddAdmissionFlags(*verb, flags->admission);
  verb->add_option("--warmup-hours", flags->warmup_hours, "churn: not counted (default 5; with --lives trace 4)")->check(CLI::Range(0.0, 1e5));
  verb->add_option("--window-hours", flags->window_hours, "churn: counted (default 30; with --sample-nodes all 3, with --lives trace 18)")->check(CLI::Range(1e-3, 1e5));
  verb->add_option("--nodes", flags->nodes, "fgd, churn, matrix: node list (openb CSV)");
  verb->add_option("--pods", flags->pods, "fgd, churn: pod list (openb CSV); matrix: one or more with commas between");
  verb->add_option("--sample-nodes", flags->sample_nodes, "churn on openb files: this many nodes, shapes by largest remainder, or all; matrix: one or more, e.g. 50,151,all")->capture_default_str();
  verb->add_option("--lives", flags->lives, "churn on openb files: exponential (mean 1 h) or trace (of the pod list, at most 2 h)")->capture_default_str();
  verb->add_option("--arrival", flags->arrival, "fgd: arrival orders, one column a seed");
  verb->add_option("--noderank", flags->noderank, "fgd: node ranks, one column a seed");
  verb->add_option("--dev", flags->azure.dev, "azure: flavour file that the policies look ahead to (v1.dev.txt; the other files are beside it)");
  verb->add_option("--test", flags->azure.test, "azure: flavour file that is measured");
  verb->add_option("--host", flags->azure.host, "azure: vCPU/GiB of a host")->capture_default_str();
  verb->add_option("--keep", flags->azure.keep_batches, "azure: share of the tenant batches that a replica keeps")->check(CLI::Range(1e-6, 1.0))->capture_default_str();
  verb->add_option("--replicas", flags->azure.replicas, "azure: thinnings of the trace")->check(CLI::Range(1, 1000))->capture_default_str();
  verb->add_option("--factors", flags->azure.factors, "azure: hosts as multiples of the replica's own peak need")->capture_default_str();
  verb->add_option("--seeds", flags->seeds, "e.g. 42-51 or 1,2,5")->capture_default_str();
  verb->add_option("--policies", flags->policies, "names with commas between; `berth policies` lists them");
  verb->add_option("--model", flags->models, "model directory; may be given more than once");
  verb->add_option("--record", flags->record, "fgd: directory for one CSV a run with node and devices of every arrival; tools/replay-check plays them again");
  verb->add_flag("--learn-mix", flags->learns_mix, "policies with prices learn the mix from the arrivals so far, instead of knowing it");
  verb->add_option("--jobs", flags->jobs, "threads (0 = one a core)")->check(CLI::Range(0, 1024));
  verb->add_option("--out", flags->out, "directory for report.html, results.json and the effective configuration");
  verb->add_flag("--bound", flags->has_bound, "also the least loss that any policy can have, and the share of the avoidable loss that each removes");
  verb->add_flag("--json", flags->json, "print JSON");
  verb->add_flag("--quiet", flags->is_quiet, "no progress");
  verb->set_config("--config", "", "read flags from a file");
  verb->callback([flags, verb, &result] { result.status = Run(*flags, *verb); });
});

}  // namespace
}  // namespace berth::cli

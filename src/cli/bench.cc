// `berth bench`: every performance figure that we quote.
#include <sys/resource.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <ctime>
#include <map>
#include <memory>

#include "base/clock.h"
#include "base/log.h"
#include "base/progress.h"
#include "base/status.h"
#include "cli/compose.h"
#include "cli/verbs.h"
#include "env/env.h"
#include "evaluate/report.h"
#include "evaluate/statistics.h"
#include "fmt/format.h"

namespace berth::cli {
namespace {

std::map<std::string, VerbRegistration::Add>& Benches() {
  static auto* const benches = new std::map<std::string, VerbRegistration::Add>();
  return *benches;
}

double CpuSeconds() {
  rusage usage{};
  getrusage(RUSAGE_THREAD, &usage);
  const auto seconds = [](const timeval& t) { return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) / 1e6; };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

double Micros(clockid_t clock) {
  timespec t{};
  clock_gettime(clock, &t);
  return static_cast<double>(t.tv_sec) * 1e6 + static_cast<double>(t.tv_nsec) / 1e3;
}

struct Flags {
  std::string nodes = "50,500,5000,50000";
  std::string workload;
  std::string policies;
  std::string prices = "both";
  double load = 0.9;
  int64_t steps = 200'000;
  uint64_t seed = 1;
  bool json = false;
};

// Everything that a bench needs of one size: an environment run in until arrivals and departures balance.
struct Warm {
  std::unique_ptr<Workload> workload;
  std::unique_ptr<Env> env;
  std::shared_ptr<const Policy> policy;
  std::unique_ptr<Decider> decider;
};

absl::StatusOr<Warm> WarmUp(const Flags& flags, int64_t nodes, const std::string& policy, const PriceRun& run = {}) {
  Warm warm;
  BERTH_ASSIGN_OR_RETURN(Workload base, LoadWorkloadByNameOrFile(flags.workload));
  BERTH_ASSIGN_OR_RETURN(Workload scaled, ScaleNodes(base, nodes));
  warm.workload = std::make_unique<Workload>(std::move(scaled));
  BERTH_ASSIGN_OR_RETURN(warm.policy, MakeOnePolicy(policy, "", *warm.workload, false, run));
  EnvOptions options;
  options.load = flags.load;
  options.warmup_us = 0;
  options.window_us = kForever;
  options.cluster.key_fields = warm.policy->info().key_fields;
  BERTH_ASSIGN_OR_RETURN(warm.env, Env::Create(*warm.workload, options));
  warm.decider = warm.policy->NewDecider();
  StepResult result = warm.env->Reset(flags.seed);
  // Three mean lives bring the load to 95 % of its end.
  double life_s = 0, work = 0;
  for (const PodClass& c : warm.workload->pod_classes) {
    const double amount = c.share * static_cast<double>(std::max<int64_t>(1, c.request.total_gpu_milli() + c.request.cpu_milli));
    work += amount * c.lifetime.mean_s;
    life_s += amount * c.lifetime.mean_s * c.lifetime.mean_s;
  }
  const auto until_us = static_cast<int64_t>(3e6 * life_s / work);
  while (!result.is_done() && warm.env->now_us() < until_us) {
    const Decision d = warm.decider->Decide(warm.env->view(), warm.env->pod(), warm.env->decision_seed(), {});
    BERTH_ASSIGN_OR_RETURN(result, warm.env->StepDecision(d));
  }
  if (result.is_done()) return absl::InternalError("the workload ended while warming up");
  return warm;
}

void Print(const Flags& flags, const nlohmann::json& results, Table table) {
  if (flags.json) fmt::print("{}\n", nlohmann::json{{"results", results}, {"machine", MachineJson()}}.dump(1));
  else fmt::print("{}", TextTable(table));
}

absl::Status RunEnv(const Flags& flags) {
  BERTH_ASSIGN_OR_RETURN(const auto sizes, ParseSeeds("--nodes", flags.nodes));
  const auto names = flags.policies.empty() ? std::vector<std::string>{"best-fit"} : SplitList(flags.policies);
  nlohmann::json results = nlohmann::json::array();
  Table table{fmt::format("environment steps a CPU-second, {} at load {}", flags.workload, flags.load), {"nodes", "policy", "state classes", "running pods", "steps/CPU-s"}, {}};
  for (uint64_t nodes : sizes) {
    for (const std::string& name : names) {
      LogInfo("bench env: {} nodes, {}", nodes, name);
      BERTH_ASSIGN_OR_RETURN(Warm warm, WarmUp(flags, static_cast<int64_t>(nodes), name));
      // Five equal parts; the median is quoted, since the machine may be shared.
      std::vector<double> rates;
      for (int part = 0; part < 5; ++part) {
        const int64_t steps = std::max<int64_t>(1, flags.steps / 5);
        const double start = CpuSeconds();
        for (int64_t i = 0; i < steps; ++i) {
          const Decision d = warm.decider->Decide(warm.env->view(), warm.env->pod(), warm.env->decision_seed(), {});
          BERTH_ASSIGN_OR_RETURN(const StepResult result, warm.env->StepDecision(d));
          if (result.is_done()) return absl::InternalError("the workload ended");
        }
        rates.push_back(static_cast<double>(steps) / std::max(1e-9, CpuSeconds() - start));
      }
      const double low = *std::min_element(rates.begin(), rates.end()), high = *std::max_element(rates.begin(), rates.end());
      const double median = Quantile(rates, 0.5);
      const ClusterState& view = warm.env->view();
      results.push_back({{"nodes", nodes}, {"workload", flags.workload}, {"policy", name}, {"load_ratio", flags.load}, {"state_classes", view.occupied().size()},
                         {"running_pods", view.pod_count()}, {"steps_per_cpu_s", median}, {"steps_per_cpu_s_min", low}, {"steps_per_cpu_s_max", high}});
      table.rows.push_back({fmt::format("{}", nodes), name, fmt::format("{}", view.occupied().size()), fmt::format("{}", view.pod_count()), fmt::format("{:.0f}", median)});
    }
  }
  Print(flags, results, table);
  return absl::OkStatus();
}

constexpr std::array<double, 3> kQuantiles = {0.5, 0.99, 0.999};
constexpr std::array<std::string_view, 3> kQuantileNames = {"p50", "p99", "p999"};

// Microseconds of single decisions, by how the policy's prices are solved.
struct DecideTimes {
  std::array<double, 3> wall_us{}, cpu_us{};   // at kQuantiles; CPU of the deciding thread, which others on the machine do not disturb
  size_t state_classes = 0;
  bool has_prices = false;
};

absl::StatusOr<DecideTimes> TimeDecisions(const Flags& flags, int64_t nodes, const std::string& policy, bool in_background) {
  BERTH_ASSIGN_OR_RETURN(Warm warm, WarmUp(flags, nodes, policy, {.in_background = in_background}));
  const int64_t count = std::clamp<int64_t>(flags.steps / 4, 1, 50'000);
  std::vector<double> wall_us, cpu_us;
  // The cluster changes between decisions as it does in service, so nothing is decided twice in the same state.
  const auto decide = [&](bool is_timed) -> absl::Status {
    const double cpu_begin = Micros(CLOCK_THREAD_CPUTIME_ID), wall_begin = Micros(CLOCK_MONOTONIC);
    const Decision d = warm.decider->Decide(warm.env->view(), warm.env->pod(), warm.env->decision_seed(), {});
    const double wall_end = Micros(CLOCK_MONOTONIC), cpu_end = Micros(CLOCK_THREAD_CPUTIME_ID);
    if (is_timed) {
      wall_us.push_back(wall_end - wall_begin);
      cpu_us.push_back(cpu_end - cpu_begin);
    }
    return warm.env->StepDecision(d).status();
  };
  for (int64_t i = 0; i < count / 2; ++i) BERTH_RETURN_IF_ERROR(decide(false));
  for (int64_t i = 0; i < count; ++i) BERTH_RETURN_IF_ERROR(decide(true));
  DecideTimes times;
  for (size_t i = 0; i < kQuantiles.size(); ++i) {
    times.wall_us[i] = Quantile(wall_us, kQuantiles[i]);
    times.cpu_us[i] = Quantile(cpu_us, kQuantiles[i]);
  }
  times.state_classes = warm.env->view().occupied().size();
  times.has_prices = warm.policy->info().is_adaptive;
  return times;
}

absl::Status RunDecide(const Flags& flags) {
  BERTH_ASSIGN_OR_RETURN(const auto sizes, ParseSeeds("--nodes", flags.nodes));
  std::vector<std::string> names = SplitList(flags.policies);
  if (names.empty()) {
    for (const PolicyInfo& info : ListPolicies()) {
      if (info.kind != "index" && info.kind != "model") names.push_back(info.name);
    }
  }
  nlohmann::json results = nlohmann::json::array();
  Table table{fmt::format("one decision in process, {} at load {}", flags.workload, flags.load), {"nodes", "policy", "prices", "state classes", "p50, us", "p99, us", "p99.9, us", "CPU p50, us", "CPU p99, us", "CPU p99.9, us"}, {}};
  for (uint64_t nodes : sizes) {
    for (const std::string& name : names) {
      for (const std::string mode : {"sync", "background"}) {
        if (flags.prices != "both" && flags.prices != mode) continue;
        LogInfo("bench decide: {} nodes, {}", nodes, name);
        BERTH_ASSIGN_OR_RETURN(const DecideTimes times, TimeDecisions(flags, static_cast<int64_t>(nodes), name, mode == "background"));
        results.push_back({{"nodes", nodes}, {"workload", flags.workload}, {"policy", name}, {"load_ratio", flags.load}, {"state_classes", times.state_classes}});
        if (times.has_prices) results.back()["prices"] = mode;
        table.rows.push_back({fmt::format("{}", nodes), name, times.has_prices ? mode : "-", fmt::format("{}", times.state_classes)});
        for (const auto& [key, micros] : {std::pair("decide_us", times.wall_us), std::pair("decide_cpu_us", times.cpu_us)}) {
          for (size_t i = 0; i < micros.size(); ++i) {
            results.back()[fmt::format("{}_{}", key, kQuantileNames[i])] = micros[i];
            table.rows.back().push_back(fmt::format("{:.2f}", micros[i]));
          }
        }
        if (!times.has_prices) break;   // one row
      }
    }
  }
  Print(flags, results, table);
  return absl::OkStatus();
}

void AddCommon(CLI::App* bench, const std::shared_ptr<Flags>& flags) {
  bench->add_option("--nodes", flags->nodes, "cluster sizes, with commas between")->capture_default_str();
  bench->add_option("--workload", flags->workload, "a built-in workload or a file")->capture_default_str();
  bench->add_option("--policies", flags->policies, "names with commas between");
  bench->add_option("--load", flags->load, "offered load")->check(CLI::Range(0.01, 10.0))->capture_default_str();
  bench->add_option("--steps", flags->steps, "decisions a size and policy")->check(CLI::Range(int64_t{100}, int64_t{1'000'000'000}))->capture_default_str();
  bench->add_option("--seed", flags->seed, "of the stream of pods")->capture_default_str();
  bench->add_flag("--json", flags->json, "for programs");
}

const BenchRegistration kEnv("env", [](CLI::App& app, VerbResult& result) {
  auto flags = std::make_shared<Flags>();
  flags->workload = "vm-like";
  CLI::App* bench = app.add_subcommand("env", "Environment steps a CPU-second by number of nodes: one arrival, its decision, and the departures between");
  bench->footer("Example:\n  berth bench env --nodes 50,500,5000,50000 --json\n  berth bench env --workload openb-like --policies best-fit,fgd");
  AddCommon(bench, flags);
  bench->callback([flags, &result] { result.status = RunEnv(*flags); });
});

const BenchRegistration kDecide("decide", [](CLI::App& app, VerbResult& result) {
  auto flags = std::make_shared<Flags>();
  flags->workload = "openb-like";
  CLI::App* bench = app.add_subcommand("decide", "Microseconds of one decision in process, by policy and number of nodes");
  bench->footer("Example:\n  berth bench decide --nodes 5000 --policies best-fit,fgd --json");
  AddCommon(bench, flags);
  bench->add_option("--prices", flags->prices, "of policies with prices: solved inside decisions (sync), in the background, or a row of each (both)")
      ->check(CLI::IsMember({"sync", "background", "both"}))->capture_default_str();
  bench->callback([flags, &result] { result.status = RunDecide(*flags); });
});

const VerbRegistration kBench("bench", [](CLI::App& app, VerbResult& result) {
  CLI::App* verb = app.add_subcommand("bench", "Every performance figure that we quote, as JSON");
  verb->require_subcommand(1);
  for (const auto& [name, add] : Benches()) add(*verb, result);
});

}  // namespace

BenchRegistration::BenchRegistration(std::string name, VerbRegistration::Add add) { Benches().emplace(std::move(name), std::move(add)); }

}  // namespace berth::cli

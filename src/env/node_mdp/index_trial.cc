#include "env/node_mdp/index_trial.h"

#include <algorithm>
#include <utility>

#include "base/status.h"
#include "env/env.h"
#include "env/node_mdp/price_search.h"
#include "fmt/format.h"

namespace berth {
namespace {

double Demand(const PodRequest& request, LoadResource resource) {
  switch (resource) {
    case LoadResource::kGpu:
      return static_cast<double>(request.gpu_count) * request.gpu_milli;
    case LoadResource::kMemory:
      return static_cast<double>(request.mem_bytes);
    case LoadResource::kCpu:
      break;
  }
  return static_cast<double>(request.cpu_milli);
}

double MeanLifeS(const Workload& workload) {
  const LoadResource resource = LoadResourceOf(workload);
  double sum = 0, total = 0;
  for (const PodClass& c : workload.pod_classes) {
    const double running = c.share * c.lifetime.mean_s * Demand(c.request, resource);
    sum += running * c.lifetime.mean_s;
    total += running;
  }
  return sum / total;
}

double RejectedPercent(const EnvStats& stats, LoadResource resource) {
  const auto percent = [](double rejected, double offered) { return offered > 0 ? 100 * rejected / offered : 0; };
  switch (resource) {
    case LoadResource::kGpu:
      return percent(stats.rejected_gpu_hours, stats.offered_gpu_hours);
    case LoadResource::kMemory:
      return percent(stats.rejected_mem_hours, stats.offered_mem_hours);
    case LoadResource::kCpu:
      break;
  }
  return percent(stats.rejected_cpu_hours, stats.offered_cpu_hours);
}

}  // namespace

absl::StatusOr<IndexTrials> IndexTrials::Create(const Workload& workload, const IndexTrialOptions& options) {
  if (options.loads.empty() || options.seeds.empty()) {
    return InvalidField("trial loads and seeds", "an empty list", "one or more of each");
  }
  BERTH_RETURN_IF_ERROR(CheckRange("trial max_nodes", static_cast<double>(options.max_nodes), 1, 1e9));
  BERTH_RETURN_IF_ERROR(CheckRange("trial warmup_lives", options.warmup_lives, 0, 1e6));
  BERTH_RETURN_IF_ERROR(CheckRange("trial window_lives", options.window_lives, 1e-6, 1e6));
  BERTH_RETURN_IF_ERROR(CheckRange("trial max_arrivals", static_cast<double>(options.max_arrivals), 1, 1e12));
  Workload drawn = workload;
  drawn.arrivals.clear();
  if (static_cast<int64_t>(drawn.node_count()) > options.max_nodes) {
    BERTH_ASSIGN_OR_RETURN(drawn, ScaleNodes(drawn, options.max_nodes));
  }
  IndexTrials trials(std::move(drawn), options);
  trials.life_s_ = MeanLifeS(workload);
  return trials;
}

absl::StatusOr<std::vector<double>> IndexTrials::Rejected(const Policy& policy) const {
  const LoadResource resource = LoadResourceOf(workload_);
  const double lives = options_.warmup_lives + options_.window_lives;
  std::vector<double> percent;
  for (const double load : options_.loads) {
    const double most_s = static_cast<double>(options_.max_arrivals) / ArrivalRatePerS(workload_, load);
    const double length_s = std::min(lives * life_s_, most_s);
    const double warmup_s = length_s * options_.warmup_lives / lives;
    EnvOptions options;
    options.form = Form::kLoss;
    options.load = load;
    options.warmup_us = static_cast<int64_t>(1e6 * warmup_s);
    options.window_us = std::max<int64_t>(1, static_cast<int64_t>(1e6 * (length_s - warmup_s)));
    options.cluster.key_fields = policy.info().key_fields;
    BERTH_ASSIGN_OR_RETURN(const auto env, Env::Create(workload_, options));
    double sum = 0;
    for (const uint64_t seed : options_.seeds) {
      const auto decider = policy.NewDecider();
      BERTH_RETURN_IF_ERROR(RunEpisode(*env, *decider, seed));
      sum += RejectedPercent(env->stats(), resource);
    }
    percent.push_back(sum / static_cast<double>(options_.seeds.size()));
  }
  return percent;
}

}  // namespace berth

#include "evaluate/azure_protocol.h"

#include <algorithm>
#include <cmath>

#include "base/progress.h"
#include "base/status.h"
#include "fmt/format.h"
#include "workload/summary.h"

namespace berth {
namespace {

constexpr int64_t kBinUs = 300 * int64_t{1'000'000};
constexpr double kMostRejectedPercent = 0.1;
constexpr double kFewestLow = 0.9, kFewestHigh = 1.3;

int64_t HostsAt(const AzureReplica& replica, double factor) {
  return std::max<int64_t>(1, static_cast<int64_t>(std::ceil(factor * replica.need_hosts - 1e-9)));
}

absl::StatusOr<ChurnRun> RunOn(const AzureReplica& replica, const Policy& policy, int64_t hosts) {
  Workload workload = replica.workload;
  workload.node_groups[0].count = static_cast<int32_t>(hosts);
  EnvOptions options;
  options.form = Form::kLoss;
  options.load = 1;
  options.warmup_us = 0;
  options.window_us = kForever;
  options.cluster.key_fields = policy.info().key_fields;
  BERTH_ASSIGN_OR_RETURN(auto env, Env::Create(workload, options));
  const auto decider = policy.NewDecider();
  BERTH_RETURN_IF_ERROR(RunEpisode(*env, *decider, replica.seed));
  ChurnRun run;
  run.policy = policy.info().name;
  run.seed = replica.seed;
  run.stats = env->stats();
  return run;
}

absl::StatusOr<AzureFewest> FindFewest(const AzureReplica& replica, const Policy& policy) {
  int64_t low = HostsAt(replica, kFewestLow) - 1, high = HostsAt(replica, kFewestHigh);   // too few; enough
  BERTH_ASSIGN_OR_RETURN(const ChurnRun most, RunOn(replica, policy, high));
  if (most.rejected_pods_percent() >= kMostRejectedPercent) {
    return absl::OutOfRangeError(fmt::format("policy {} rejects {:.2f} % of the requests on {} hosts, accepted: below {} %", policy.info().name,
                                             most.rejected_pods_percent(), high, kMostRejectedPercent));
  }
  while (high - low > 1) {
    const int64_t middle = low + (high - low) / 2;
    BERTH_ASSIGN_OR_RETURN(const ChurnRun run, RunOn(replica, policy, middle));
    (run.rejected_pods_percent() < kMostRejectedPercent ? high : low) = middle;
  }
  return AzureFewest{policy.info().name, replica.seed, high, static_cast<double>(high) / replica.need_hosts};
}

}  // namespace

absl::StatusOr<AzureReplica> MakeAzureReplica(const AzureTrace& trace, const AzureOptions& options, uint64_t seed) {
  AzureOptions own = options;
  own.seed = seed;
  own.hosts = 1;
  AzureReplica replica;
  replica.seed = seed;
  BERTH_ASSIGN_OR_RETURN(replica.workload, AzureWorkload(trace, own));
  auto& arrivals = replica.workload.arrivals;
  const int64_t end_us = (arrivals.back().time_us / kBinUs + 1) * kBinUs;
  for (Arrival& a : arrivals) a.life_us = std::min(a.life_us, end_us - a.time_us);
  const WorkloadSummary summary = Summarise(replica.workload);
  replica.need_hosts = std::max(summary.peak.cpus * 1000 / static_cast<double>(own.host_cpu_milli),
                                summary.peak.memory_gib * static_cast<double>(int64_t{1} << 30) / static_cast<double>(own.host_mem_bytes));
  return replica;
}

absl::StatusOr<std::vector<AzureReplica>> MakeAzureReplicas(const AzureFiles& files, const AzureOptions& options,
                                                            const std::vector<uint64_t>& seeds) {
  BERTH_ASSIGN_OR_RETURN(const AzureTrace trace, ReadAzureTrace(files));
  std::vector<AzureReplica> replicas;
  for (uint64_t seed : seeds) {
    BERTH_ASSIGN_OR_RETURN(replicas.emplace_back(), MakeAzureReplica(trace, options, seed));
  }
  return replicas;
}

absl::StatusOr<AzureRun> RunAzureReplica(const AzureReplica& replica, const Policy& policy, double factor) {
  const int64_t hosts = HostsAt(replica, factor);
  BERTH_ASSIGN_OR_RETURN(const ChurnRun run, RunOn(replica, policy, hosts));
  return AzureRun{run.policy, replica.seed, factor, hosts, run.rejected_cpu_hours_percent(), run.rejected_pods_percent()};
}

absl::StatusOr<AzureResult> RunAzureProtocol(const std::vector<AzureReplica>& replicas, const PolicyList& policies,
                                             const AzureProtocolOptions& options) {
  for (double factor : options.factors) {
    if (!(factor > 0 && factor <= 10)) return InvalidField("factor", fmt::format("{}", factor), "a number above 0 up to 10");
  }
  AzureResult result;
  const size_t per_policy = options.factors.size() * replicas.size();
  result.runs.resize(policies.size() * per_policy);
  if (options.finds_fewest) result.fewest.resize(policies.size() * replicas.size());
  const size_t tasks = result.runs.size() + result.fewest.size();
  Progress progress("azure protocol", static_cast<int64_t>(tasks), "runs", options.run.is_quiet);
  BERTH_RETURN_IF_ERROR(RunParallel(tasks, options.run.jobs, [&](size_t i) -> absl::Status {
    if (i >= result.runs.size()) {
      const size_t k = i - result.runs.size();
      BERTH_ASSIGN_OR_RETURN(result.fewest[k], FindFewest(replicas[k % replicas.size()], *policies[k / replicas.size()]));
    } else {
      const double factor = options.factors[i % per_policy / replicas.size()];
      BERTH_ASSIGN_OR_RETURN(result.runs[i], RunAzureReplica(replicas[i % replicas.size()], *policies[i / per_policy], factor));
    }
    progress.Advance(1);
    return absl::OkStatus();
  }));
  return result;
}

}  // namespace berth

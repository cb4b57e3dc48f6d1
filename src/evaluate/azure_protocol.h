// The Azure protocol: virtual machines of a recorded trace on identical hosts. Replicas are thinnings of the trace by tenant
// batch; hosts are counted in the replica's own peak need, so that replicas of any size compare.
#ifndef BERTH_EVALUATE_AZURE_PROTOCOL_H_
#define BERTH_EVALUATE_AZURE_PROTOCOL_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "evaluate/evaluate.h"
#include "workload/azure.h"
#include "workload/workload.h"

namespace berth {

struct AzureReplica {
  uint64_t seed = 0;
  Workload workload;             // recorded; its node count is a placeholder
  double need_hosts = 0;         // of the peak: the greater of cpu and memory if every machine ran at once where it asks to
};

// One replica a seed: tenant batches kept with `options.keep_batches`, lives inside a bin drawn from a fixed stream, machines that
// were still running at the end of the trace live to its end. Clusters start empty. Errors: as AzureWorkload.
absl::StatusOr<AzureReplica> MakeAzureReplica(const AzureTrace& trace, const AzureOptions& options, uint64_t seed);
absl::StatusOr<std::vector<AzureReplica>> MakeAzureReplicas(const AzureFiles& files, const AzureOptions& options,
                                                            const std::vector<uint64_t>& seeds);

struct AzureRun {
  std::string policy;
  uint64_t seed = 0;
  double factor = 0;             // hosts / need
  int64_t hosts = 0;
  double rejected_cpu_hours_percent = 0;
  double rejected_requests_percent = 0;
};

// The fewest hosts, in hosts and as a share of the need, on which fewer than 0.1 % of the requests are rejected.
struct AzureFewest {
  std::string policy;
  uint64_t seed = 0;
  int64_t hosts = 0;
  double hosts_per_need = 0;
};

struct AzureResult {
  std::vector<AzureRun> runs;           // in the order policy, factor, seed; hosts = need x factor, rounded up
  std::vector<AzureFewest> fewest;      // policy, seed; empty unless asked for
};

struct AzureProtocolOptions {
  std::vector<double> factors = {0.97, 1.0};
  bool finds_fewest = true;             // by bisection on 0.9 to 1.3 of the need, taking rejections to fall with hosts
  RunOptions run;
};

// One policy on need x factor hosts, rounded up. Errors: as the environment.
absl::StatusOr<AzureRun> RunAzureReplica(const AzureReplica& replica, const Policy& policy, double factor);

// Errors: INVALID_ARGUMENT a factor that is not above 0 up to 10; OUT_OF_RANGE a policy that rejects more even on 1.3 x need; as
// the environment otherwise.
absl::StatusOr<AzureResult> RunAzureProtocol(const std::vector<AzureReplica>& replicas, const PolicyList& policies,
                                             const AzureProtocolOptions& options);

}  // namespace berth

#endif  // BERTH_EVALUATE_AZURE_PROTOCOL_H_

// azure-vm-2017: Azure VM requests with arrival bin, size, tenant batch and lifetime bin, as processed by
// huaweicloud/trace_generation_rnn (MIT; data CC-BY-4.0). Any files of the same format work.
// Errors: as openb.h, with file kind, line and position in the line.
#ifndef BERTH_WORKLOAD_AZURE_H_
#define BERTH_WORKLOAD_AZURE_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "workload/workload.h"

namespace berth {

struct AzureFiles {
  std::string flavours;    // v1.<split>.txt: "<time_s> f,f,|,f,|"
  std::string durations;   // v1.<split>.c<end>.txt, aligned with it element for element
  std::string flavour_map; // flav_map.txt: "vCPU,GiB letter"
  std::string interval_map;// v1.interval_map.txt: "<lifetime_s> <bin>"
};

struct AzureOptions {
  double keep_batches = 1;        // share of tenant batches kept, (0, 1]
  uint64_t seed = 1;              // of the thinning and of the place inside a lifetime bin
  int64_t host_cpu_milli = 64000;
  int64_t host_mem_bytes = int64_t{192} << 30;
  int32_t hosts = 1;
};

// Arrivals of a bin are spread evenly over it in file order. Lifetimes: bins 1..12 exact, bin 0 uniform below 300 s, longer
// bins uniform within the bin, censored ("C") = to the end of the split.
absl::StatusOr<Workload> AzureWorkload(const AzureFiles& files, const AzureOptions& options);

}  // namespace berth

#endif  // BERTH_WORKLOAD_AZURE_H_

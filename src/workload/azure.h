// azure-vm-2017: Azure VM requests with arrival bin, size, tenant batch and lifetime bin, as processed by
// huaweicloud/trace_generation_rnn (MIT; data CC-BY-4.0). Any files of the same format work.
// Errors: as openb.h, with file kind, line and position in the line.
#ifndef BERTH_WORKLOAD_AZURE_H_
#define BERTH_WORKLOAD_AZURE_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "workload/workload.h"

namespace berth {

struct AzureFiles {
  std::string flavours;    // v1.<split>.txt: "<time_s> f,f,|,f,|"
  std::string durations;   // v1.<split>.c<end>.txt, aligned with it element for element
  std::string flavour_map; // flav_map.txt: "vCPU,GiB letter"
  std::string interval_map;// v1.interval_map.txt: "<lifetime_s> <bin>"
};

// The files beside a flavour file X.txt: durations X.c<end>.txt (the only one), flav_map.txt and <version>.interval_map.txt (the
// only *interval_map.txt). Errors: INVALID_ARGUMENT naming `flag` where there is none or more than one.
absl::StatusOr<AzureFiles> AzureFilesBeside(std::string_view flag, const std::string& flavours);

// The trace as it was read: nothing drawn yet. Thin it as often as needed.
struct AzureTrace {
  struct Request {
    int64_t time_us = 0;            // since the first bin; arrivals of a bin are spread evenly over it in file order
    uint32_t flavour = 0;
    int32_t batch = 0;              // of one tenant; grows
    bool has_ended = false;         // else still running at the end of the split
    double low_s = 0, high_s = 0;   // the lifetime's bin
  };
  std::vector<PodClass> flavours;   // without shares and lifetimes
  std::vector<Request> requests;
  int64_t span_s = 0;               // from the first bin to the last
};
absl::StatusOr<AzureTrace> ReadAzureTrace(const AzureFiles& files);

struct AzureOptions {
  double keep_batches = 1;        // share of tenant batches kept, (0, 1]
  uint64_t seed = 1;              // of the thinning and of the place inside a lifetime bin
  int64_t host_cpu_milli = 64000;
  int64_t host_mem_bytes = int64_t{192} << 30;
  int32_t hosts = 1;
  // Machines that ask for more memory a vCPU than the host has come in so many copies, batch by batch, each thinned for itself: a
  // mix that the recorded one may turn into. 1 to 100; 1 is the trace as it was.
  int32_t heavy_copies = 1;
};

// Host "64/192" (vCPU/GiB) -> its amounts. Errors: INVALID_ARGUMENT.
absl::Status ParseHost(std::string_view flag, std::string_view text, AzureOptions* options);

// Lifetimes: bins 1..12 exact, bin 0 uniform below 300 s, longer bins uniform within the bin, censored ("C") = to the end of the split.
// Cost: O(requests).
absl::StatusOr<Workload> AzureWorkload(const AzureTrace& trace, const AzureOptions& options);
absl::StatusOr<Workload> AzureWorkload(const AzureFiles& files, const AzureOptions& options);

}  // namespace berth

#endif  // BERTH_WORKLOAD_AZURE_H_

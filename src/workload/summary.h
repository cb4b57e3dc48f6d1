// What a workload holds, in figures, and a drawn stream made into a recorded one.
#ifndef BERTH_WORKLOAD_SUMMARY_H_
#define BERTH_WORKLOAD_SUMMARY_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "workload/workload.h"

namespace berth {

// An amount of each resource: cores, GiB and devices.
struct Amounts {
  double cpus = 0, memory_gib = 0, gpus = 0;
};

// Nodes of one shape: cpu, memory, GPUs and model are equal.
struct NodeShape {
  Node node;   // the first of them
  int64_t count = 0;
};

// Pods by what they ask of GPUs: "cpu only", "shared gpu" (part of a device), "1 gpu", "2 gpu", …
struct PodKind {
  std::string name;
  double pods_percent = 0;         // of the arrivals
  double gpu_demand_percent = 0;   // of the GPUs that an arrival asks for on average
};

// Sorts the kinds: 0 asks for no GPU, 1 for part of one, k + 1 for k GPUs.
int PodKindIndex(const PodRequest& request);
std::string PodKindName(int index);

struct WorkloadSummary {
  int64_t nodes = 0;
  std::vector<NodeShape> shapes;   // in order of first appearance
  Amounts capacity;
  size_t pod_classes = 0;
  std::vector<PodKind> kinds;      // by GPUs asked for, kinds without pods left out
  Amounts mean_request;            // of an arrival
  double mean_life_s = 0;          // of arrivals that end, by the classes
  LoadResource load_resource = LoadResource::kCpu;
  double arrivals_per_s_at_load_1 = 0;
  // Demand over capacity at load 1 of the load resource; the greater a figure, the tighter that resource.
  Amounts tightness;

  // Of recorded arrivals; zero where there are none. The peak is of pods that all run at once if each is placed at once;
  // a departure at the time of an arrival comes first.
  size_t arrivals = 0;
  double span_s = 0;
  int64_t peak_pods = 0;
  Amounts peak;                    // each resource at its own peak
};

// `workload` must be finished. Cost: O(nodes groups x shapes + classes + n log n) for n recorded arrivals.
WorkloadSummary Summarise(const Workload& workload);

inline constexpr int64_t kMaxRecordedArrivals = 10'000'000;

// `workload` with the arrivals that MakeArrivalStream(workload, load, seed) gives in the first `hours`.
// Errors: INVALID_ARGUMENT the workload has recorded arrivals already, a load that is not above 0 up to 10, hours that are
// not above 0 up to 1e6, or so few that nothing arrives; RESOURCE_EXHAUSTED more than kMaxRecordedArrivals.
absl::StatusOr<Workload> RecordArrivals(const Workload& workload, double load, uint64_t seed, double hours);

}  // namespace berth

#endif  // BERTH_WORKLOAD_SUMMARY_H_

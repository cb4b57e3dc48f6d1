// Workload: a cluster and a stream of pods for it, either recorded (a trace) or drawn from classes.
#ifndef BERTH_WORKLOAD_WORKLOAD_H_
#define BERTH_WORKLOAD_WORKLOAD_H_

#include <cstdint>
#include <limits>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "base/rng.h"
#include "cluster/node.h"
#include "cluster/pod.h"

namespace berth {

inline constexpr int64_t kForever = std::numeric_limits<int64_t>::max();
// Times and lives that are not for ever end here (36,000 years), so that a time and a life can be added.
inline constexpr int64_t kMaxTimeUs = int64_t{1} << 60;

// `count` nodes alike; the nodes are named <name>-0000, <name>-0001, … unless count is 1, then <name>.
struct NodeGroup {
  Node node;
  int32_t count = 1;
};

// How long pods of a class live.
struct Lifetime {
  enum class Kind : uint8_t { kUnlimited, kExponential, kEmpirical };
  Kind kind = Kind::kExponential;
  double mean_s = 3600;                     // exponential; for empirical computed from the samples
  std::vector<double> samples_s;            // empirical: one drawn uniformly
  int64_t DrawUs(Rng& rng) const;           // at least 1
};

struct PodClass {
  std::string name;
  PodRequest request;
  double share = 0;                         // of the arrivals; shares are normalised when a workload is made
  Lifetime lifetime;
};

struct Arrival {
  int64_t time_us = 0;
  uint32_t pod_class = 0;                   // index into Workload::pod_classes
  int64_t life_us = kForever;
};

struct Workload {
  std::string name;
  std::string attribution;                  // source and licence of facts that were taken over
  std::vector<NodeGroup> node_groups;
  std::vector<PodClass> pod_classes;
  std::vector<Arrival> arrivals;            // recorded, in time order; empty = drawn from the classes

  size_t node_count() const;
  std::vector<Node> Nodes() const;          // groups expanded, in order
};

// Errors: INVALID_ARGUMENT naming the field, e.g. no nodes, no pod classes, a share that is negative or not finite, shares
// that sum to 0, a duplicate name (also among the names that a group's nodes get), arrivals out of order, a time or life
// above kMaxTimeUs. Normalises the shares; shares that sum to 1 already stay as they are, bit for bit.
absl::Status FinishWorkload(Workload& workload);

// The same mix on `nodes` nodes: node groups scaled by largest remainder, with at least one node of every GPU model.
// Errors: INVALID_ARGUMENT fewer nodes than GPU models, more than 1,000,000, or names that would be there twice.
absl::StatusOr<Workload> ScaleNodes(const Workload& workload, int64_t nodes);

// Offered load is measured on one resource: GPU where the cluster has any and a pod asks for it, else the tighter of cpu and
// memory.
enum class LoadResource : uint8_t { kGpu, kCpu, kMemory };
LoadResource LoadResourceOf(const Workload& workload);

// Arrivals per second at which the mean demand is `load` x capacity of that resource; 0 where nothing asks for anything.
double ArrivalRatePerS(const Workload& workload, double load);

// A stream of arrivals; the same seed gives the same stream whatever is decided. Never ends for drawn workloads.
class ArrivalStream {
 public:
  virtual ~ArrivalStream() = default;
  virtual bool Next(Arrival* arrival) = 0;   // false at the end
  virtual std::unique_ptr<ArrivalStream> Clone() const = 0;   // with its position, for checkpoints
};
// Poisson at `load` for a drawn workload (`load` > 0; one arrival a second where ArrivalRatePerS is 0); a recorded one is
// replayed and `load` scales its gaps: 1 is as recorded, 2 twice as dense, lives stay. Times stop growing at kMaxTimeUs.
// `workload` must be finished and outlive the stream. Cost: O(classes) to make; a Next is O(1) and allocates nothing.
std::unique_ptr<ArrivalStream> MakeArrivalStream(const Workload& workload, double load, uint64_t seed);

// The workloads that ship inside the program: "openb-like", "vm-like". Errors: NOT_FOUND names what there is.
absl::StatusOr<Workload> BuiltinWorkload(std::string_view name);
std::vector<std::string> BuiltinWorkloadNames();

// Berth's own format (YAML; docs/workload-format.md), from a file or from text. Errors: INVALID_ARGUMENT with line and
// column, field, value and range; NOT_FOUND the file.
absl::StatusOr<Workload> LoadWorkload(const std::string& path);
absl::StatusOr<Workload> ParseWorkload(std::string_view text);
// A built-in name, or else a file.
absl::StatusOr<Workload> LoadWorkloadByNameOrFile(const std::string& name_or_path);
// ParseWorkload gives the same workload back. `workload` must be finished.
std::string WorkloadToYaml(const Workload& workload);

}  // namespace berth

#endif  // BERTH_WORKLOAD_WORKLOAD_H_

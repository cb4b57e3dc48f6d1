// Node: a machine that pods are placed on, as it is configured; what is free on it is known by ClusterState.
#ifndef BERTH_CLUSTER_NODE_H_
#define BERTH_CLUSTER_NODE_H_

#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "cluster/pod.h"

namespace berth {

struct Taint {
  std::string key;
  std::string value;
  TaintEffect effect = TaintEffect::kNoSchedule;
  friend bool operator==(const Taint&, const Taint&) = default;
};

struct Node {
  std::string name;                          // unique in the cluster
  int64_t cpu_milli = 0;                     // allocatable
  int64_t mem_bytes = 0;                     // allocatable
  int32_t gpu_count = 0;                     // devices of 1000 milli each, 0..kMaxDevices
  std::string gpu_model;                     // empty = unnamed
  std::vector<ExtendedResource> extended;    // allocatable
  int32_t max_pods = std::numeric_limits<int32_t>::max();
  std::vector<LabelMatch> labels;            // keys unique
  std::vector<Taint> taints;
  bool is_unschedulable = false;             // cordoned
  std::string zone;
  std::string rack;
  Coordinates position;
  int32_t weight = 1;                        // share in the weighted rule; 0 = no new pods from it

  friend bool operator==(const Node&, const Node&) = default;
};

// Errors: INVALID_ARGUMENT naming "<field>.<part>", value and range.
absl::Status ValidateNode(std::string_view field, const Node& node);

}  // namespace berth

#endif  // BERTH_CLUSTER_NODE_H_

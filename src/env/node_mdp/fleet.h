// A fleet of nodes of a few types under streams that all of them share: the placement problem in its purest form, small
// enough to be bounded, and for two nodes to be solved exactly. Docs: docs/node-mdp.md, "Exact nodes".
//
// Pods of class k come to the whole fleet at num_nodes * arrival_rate, live for an exponential time of mean 1 /
// departure_rate, and earn `reward` when placed (refusing is free). A node holds any set of pods whose requests add up
// to its capacity at most. The time unit is the caller's.
#ifndef BERTH_ENV_NODE_MDP_FLEET_H_
#define BERTH_ENV_NODE_MDP_FLEET_H_

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "mdp/knapsack_model.h"

namespace berth {

struct FleetClass {
  std::vector<int64_t> request;  // [resources], whole units
  double arrival_rate = 0;       // per node of the fleet
  double departure_rate = 1;     // > 0
  double reward = 0;             // >= 0
};

struct FleetType {
  std::vector<int64_t> capacity;  // [resources]
  double share = 1;               // of the nodes, > 0; the shares add up to one
};

struct Fleet {
  std::vector<FleetClass> classes;
  std::vector<FleetType> types;
};

// The states of a node of every type; what all code of a fleet shares.
class FleetSpaces {
 public:
  // The fleet is copied. Errors: INVALID_ARGUMENT that names the field; RESOURCE_EXHAUSTED above `max_states` of a
  // type.
  static absl::StatusOr<FleetSpaces> Create(Fleet fleet, mdp::StateIndex max_states = 4'000'000);

  const Fleet& fleet() const { return fleet_; }
  int num_types() const { return static_cast<int>(spaces_.size()); }
  int num_classes() const { return static_cast<int>(fleet_.classes.size()); }
  const mdp::KnapsackSpace& space(int type) const { return spaces_[type]; }

 private:
  Fleet fleet_;
  std::vector<mdp::KnapsackSpace> spaces_;
};

// The instance of the figures in docs/node-mdp.md: half the nodes (16 cpu, 64 GiB), half (16, 32), four classes,
// arrivals scaled so that `load` of the tightest resource is asked for. `has_divisible_sizes`: requests that tile the
// nodes.
Fleet ExampleFleet(double load, bool has_divisible_sizes = false);

// Mean amount asked for at a time over what there is, of the resource where that is greatest.
double OfferedLoad(const Fleet& fleet);

// The same fleet with every arrival rate times `factor`.
Fleet Scaled(Fleet fleet, double factor);

}  // namespace berth

#endif  // BERTH_ENV_NODE_MDP_FLEET_H_

// The choice of the two numbers that an index hangs on, by simulation: for how many nodes that compete for a pod (m),
// and at which load, its values are made. At its own optimum the relaxation of a large fleet is indifferent to so much
// that its values rank nodes badly; those of a few nodes at a moderate load do not (docs/node-mdp.md).
#ifndef BERTH_ENV_NODE_MDP_FLEET_TUNING_H_
#define BERTH_ENV_NODE_MDP_FLEET_TUNING_H_

#include <vector>

#include "absl/status/statusor.h"
#include "env/node_mdp/fleet_ranking.h"
#include "env/node_mdp/fleet_simulation.h"

namespace berth {

struct FleetTuningOptions {
  std::vector<double> competitors = {2, 4, 5, 10, 15, 20};    // m
  std::vector<double> loads = {0.8, 0.9, 1, 1.1, 1.2, 1.35};  // of the tightest resource
  // Every pair is simulated for an eighth of the window, the best four for all of it. Take a seed that is not reported.
  FleetSimulationOptions simulation = {};
};

struct TunedIndex {
  double competitors = 0;
  double load = 0;
  FleetRanking ranking;
  FleetEstimate estimate;  // of the choosing run: the best of four, so a little too good
};

// For the fleet of `spaces` at the load that it has. Errors: INVALID_ARGUMENT (no candidates, no arrivals, a bad
// option). Cost: a relaxation (some 50 ms for small types) and a simulation for each pair.
absl::StatusOr<TunedIndex> TuneIndex(const FleetSpaces& spaces, const FleetTuningOptions& options);

}  // namespace berth

#endif  // BERTH_ENV_NODE_MDP_FLEET_TUNING_H_

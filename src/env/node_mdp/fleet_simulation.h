// A fleet of any size under a ranking, simulated: nodes are kept in buckets by type and state, so that an event costs
// the same at ten nodes and at ten thousand.
#ifndef BERTH_ENV_NODE_MDP_FLEET_SIMULATION_H_
#define BERTH_ENV_NODE_MDP_FLEET_SIMULATION_H_

#include <cstdint>

#include "absl/status/statusor.h"
#include "env/node_mdp/fleet_ranking.h"

namespace berth {

struct FleetSimulationOptions {
  int32_t num_nodes = 1000;  // 1 to 10 million; types get their shares, rounded
  double warmup_time = 50;   // from the empty fleet, time units, not counted; >= 0
  double window_time = 500;  // > 0
  int batches = 20;          // of the window, 2 to 1000
  uint64_t seed = 1;
};

struct FleetEstimate {
  double reward = 0;      // per node and time unit: reward * departure_rate of what runs, averaged over time
  double half_width = 0;  // of the 95 % interval by batch means
  int64_t events = 0;     // arrivals and departures, those of the warm-up included
};

// Errors: INVALID_ARGUMENT naming the option. Cost: about 0.1 us an event; memory: some tens of bytes a node and a pod.
absl::StatusOr<FleetEstimate> SimulateFleet(const FleetSpaces& spaces, const FleetRanking& ranking,
                                            const FleetSimulationOptions& options);

}  // namespace berth

#endif  // BERTH_ENV_NODE_MDP_FLEET_SIMULATION_H_

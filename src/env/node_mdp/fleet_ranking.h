// Policies of a fleet that rank nodes by type and state: a pod goes to the first node of its class's ranking, and is
// refused where the ranking has no node. Index policies, best-fit and spreading are of this kind.
#ifndef BERTH_ENV_NODE_MDP_FLEET_RANKING_H_
#define BERTH_ENV_NODE_MDP_FLEET_RANKING_H_

#include <cstdint>
#include <span>
#include <vector>

#include "env/node_mdp/fleet.h"

namespace berth {

// A bucket is a state of a type: states of type t are the buckets bucket_begin(t) + state.
int32_t NumBuckets(const FleetSpaces& spaces);
int32_t BucketBegin(const FleetSpaces& spaces, int type);

// [classes]: the buckets whose nodes may get a pod of the class, the best first. All of them can hold it.
struct FleetRanking {
  std::vector<std::vector<int32_t>> buckets;
};

// Where h(x + e_k) - h(x) is greatest; not at all where that and `reward - toll` of the class do not add up to more
// than 0. `values` [types][states]; `tolls` empty (the index policy proper) or [classes] (Whittle's rule: the price
// that made the values is asked again on placing).
FleetRanking RankByValues(const FleetSpaces& spaces, std::span<const std::vector<double>> values,
                          std::span<const double> tolls = {});

// Whatever fits is placed. Best-fit: where the sum of weight * free amount, after placing, is least; `weights` is
// [resources], by default one over the largest capacity of the fleet, so that a small node counts as nearly full.
// Spreading: where the mean of the free shares of the node's own capacity is greatest, the LeastAllocated score of
// kube-scheduler. Ties by type, then by counts; spreading has many, and they matter (docs/node-mdp.md).
FleetRanking RankBestFit(const FleetSpaces& spaces, std::span<const double> weights = {});
FleetRanking RankSpreading(const FleetSpaces& spaces);

// Reward per node and time unit of a fleet of one node for each entry of `types` (so shares do not count), by the
// stationary distribution of the joint chain, to about 1e-9. Errors: INVALID_ARGUMENT for a type; RESOURCE_EXHAUSTED
// above two million joint states; DEADLINE_EXCEEDED where the distribution does not settle.
absl::StatusOr<double> EvaluateExactly(const FleetSpaces& spaces, const FleetRanking& ranking,
                                       std::span<const int> types);

}  // namespace berth

#endif  // BERTH_ENV_NODE_MDP_FLEET_RANKING_H_

// What a cluster is losing at this moment, in expectation: the pod classes that fit nowhere, by rate, demand and mean life.
//
// Integrated over time it stands for the capacity-hours that are really lost, and a critic can predict it: an eight-GPU pod comes a
// few times an hour, but that none would fit is seen all the time. (The idea of the approximating martingale of Dai and
// Gluzman, arXiv 2008.01644.) Taken at epochs it is a little low, because epochs come after departures. Over hours its
// paired differences vary as much as the real ones, so that it serves rollouts of minutes and not whole runs.
#ifndef BERTH_AGENT_LOSS_RATE_H_
#define BERTH_AGENT_LOSS_RATE_H_

#include <vector>

#include "env/env.h"
#include "policy/class_sync.h"

namespace berth {

// Whether the rate exists: a drawn workload in the loss form or in the static form, where time means nothing and what counts is the
// loss an arrival.
bool HasLossRate(const Workload& workload, Form form);

// Not thread-safe. Belongs to one environment and its clones, from Reset to the end of an episode.
class LossRate {
 public:
  // Requires HasLossRate and a running episode.
  explicit LossRate(const Env& env);
  // Loss form. Share of the cluster's load resource, a unit of time: 0.02 = 2 % of capacity is being turned away. Without failures,
  // offered demand is EnvOptions::load on the same scale. Cost: O(pod classes), O(changes since the last call) for each that fits
  // nowhere, and O(state classes) for each whose last fit is gone.
  double Of(const ClusterState& view);
  // Static form. Share of the load resource that is turned away, in expectation, before an arrival fits: refused arrivals change
  // nothing, so their number is geometric. Summed over epochs it has the mean of what is really refused. Cost as Of.
  double UntilNextEpoch(const ClusterState& view);

 private:
  struct PodKind {
    ResolvedRequest request;
    double loss = 0;    // loss form: an hour; static form: an arrival
    double share = 0;   // of the arrivals
    ClassId last_fit{};   // a class that it fits, and its uid; invalid: none did when `sync` was there
    uint64_t fit_uid = 0;
    ClassSync sync{};
  };
  struct Refused {
    double loss = 0, share = 0;
  };
  static bool Fits(const ClusterState& view, const PodKind& kind, ClassId id);
  Refused Sum(const ClusterState& view);

  std::vector<PodKind> kinds_;
};

}  // namespace berth

#endif  // BERTH_AGENT_LOSS_RATE_H_

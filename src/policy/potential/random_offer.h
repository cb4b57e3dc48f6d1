// What a node would still take in: the random-offer value of its free capacity, a stand-in for value iteration where a node has too many
// states (eight devices with cpu and memory).
#ifndef BERTH_POLICY_POTENTIAL_RANDOM_OFFER_H_
#define BERTH_POLICY_POTENTIAL_RANDOM_OFFER_H_

#include <memory>

#include "policy/pod_mix.h"
#include "policy/potential/potential.h"

namespace berth {

struct RandomOfferOptions {
  int sequences = 16;   // of offers, the same for all nodes
  int offers = 100;     // in each
};

// Phi(s) = -U(s) + sqrt(idle). U = mean over fixed sequences, drawn from the mix, of the GPUs that the node would fill if every pod that is
// offered and fits were put on its tightest devices; in devices. On a cluster without GPUs U counts vCPU, and Phi = -U. The mean, not the
// best sequence: what counts is what will be stranded, not what could be had. `mix`: all classes. Cost of a value: O(sequences x offers).
std::unique_ptr<Potential> MakeRandomOfferPotential(PodMix mix, const RandomOfferOptions& options = {});

}  // namespace berth

#endif  // BERTH_POLICY_POTENTIAL_RANDOM_OFFER_H_

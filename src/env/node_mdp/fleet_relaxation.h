// The Lagrangian relaxation of a fleet: every node sees the whole stream and says which pods it would take; that a pod
// goes to one node only is priced. The fleet falls apart into one small decision process a type:
//
//   g(nu) = sum_k lambda_k nu_k + sum_t share_t g_t(nu)       per node; no policy earns more, for any prices nu >= 0
//   0 = -g_t + sum_k N lambda_k max{0, r_k - nu_k + h_t(x + e_k) - h_t(x)} + sum_k x_k mu_k [h_t(x - e_k) - h_t(x)]
//
// (Hawkins, PhD thesis, MIT 2003; Adelman and Mersereau, Operations Research 56(3), 2008). The least g(nu) is found by
// Kelley's cutting planes: each solved type gives the plane "what this policy earns, less what it pays".
#ifndef BERTH_ENV_NODE_MDP_FLEET_RELAXATION_H_
#define BERTH_ENV_NODE_MDP_FLEET_RELAXATION_H_

#include <vector>

#include "absl/status/statusor.h"
#include "env/node_mdp/fleet.h"

namespace berth {

struct RelaxationOptions {
  double tolerance = 1e-6;  // width between upper and lower bound, as a share of what is offered; above 0
  int max_cuts = 200;       // solved prices, >= 1
  int threads = 1;          // of each solve
};

struct Relaxation {
  // Reward per node and time unit. `bound` holds for every policy of the fleet, rounding included. `lower` is what the
  // planes leave for the least g(nu) (by the stationary distributions, so to about 1e-9).
  double bound = 0;
  double lower = 0;
  std::vector<double> prices;               // nu [classes] of `bound`
  std::vector<std::vector<double>> values;  // h [types][states] at those prices
  std::vector<double> gains;                // g_t [types] there, certified upper bounds
  int cuts = 0;
  bool is_converged = false;
};

// A fleet of `num_nodes` >= 1 (only a number: a fraction will do). Errors: INVALID_ARGUMENT; INTERNAL where the linear
// program gives up.
absl::StatusOr<Relaxation> RelaxFleet(const FleetSpaces& spaces, double num_nodes,
                                      const RelaxationOptions& options = {});

}  // namespace berth

#endif  // BERTH_ENV_NODE_MDP_FLEET_RELAXATION_H_

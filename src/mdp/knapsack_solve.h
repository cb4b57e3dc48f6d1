// Solves a KnapsackModel of up to some millions of states in seconds, with a certificate: red-black sweeps along the
// runs (knapsack_sweep.h) and Anderson mixing. The general solvers take the model too; this one is an order of
// magnitude faster on it.
#ifndef BERTH_MDP_KNAPSACK_SOLVE_H_
#define BERTH_MDP_KNAPSACK_SOLVE_H_

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "absl/status/statusor.h"
#include "mdp/knapsack_model.h"
#include "mdp/solve_options.h"

namespace berth::mdp {

struct KnapsackSolveOptions {
  double discount_rate = 0;  // alpha; 0 is the average criterion
  // Largest wanted certified error: of the gain, with discount of every value. Finite and >= 0; 0 means "as far as the
  // arithmetic goes".
  double tolerance = 1e-6;
  int64_t max_sweeps = 100'000;  // >= 1
  int sweeps_between = 8;        // sweeps between certificates, 1 to 1000; every certified point is mixed
  int anderson_depth = 10;       // 0 to 50; memory: 2 * (depth + 2) vectors of num_states() doubles
  int threads = 1;               // 1 to 64; the answer does not depend on it
  // Called at every certificate from the solving thread; false stops the solve.
  std::function<bool(const Progress&)> progress = {};
};

struct KnapsackSolution {
  std::vector<double> relative_values;  // h [num_states], h(0) = 0. A warm start for a like model
  // The gain; with discount V(s) = h(s) + level / alpha, and the bounds of the level bound every V(s) in the same way
  // (Odoni 1969; MacQueen 1966). Rounding included; they hold whatever the stop reason.
  double level = 0;
  double level_lower = 0;
  double level_upper = 0;
  double error = 0;  // certified, in the unit of `tolerance`
  StopReason stop = StopReason::kIterationLimit;
  int64_t sweeps = 0;
};

// `warm_start`: empty, or a value a state. Errors: INVALID_ARGUMENT naming option or value; OUT_OF_RANGE when the
// values leave the range of double precision.
absl::StatusOr<KnapsackSolution> SolveKnapsack(const KnapsackModel& model, const KnapsackSolveOptions& options = {},
                                               std::span<const double> warm_start = {});

}  // namespace berth::mdp

#endif  // BERTH_MDP_KNAPSACK_SOLVE_H_

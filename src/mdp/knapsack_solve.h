// Solves a KnapsackModel of up to some millions of states in seconds, with a certificate: red-black sweeps along the
// runs (knapsack_sweep.h) and Anderson mixing (sweep_solve.h). The general solvers take the model too; this one is an
// order of magnitude faster on it.
#ifndef BERTH_MDP_KNAPSACK_SOLVE_H_
#define BERTH_MDP_KNAPSACK_SOLVE_H_

#include <span>

#include "absl/status/statusor.h"
#include "mdp/knapsack_model.h"
#include "mdp/sweep_solve.h"

namespace berth::mdp {

// `warm_start`: empty, or a value a state. Errors: INVALID_ARGUMENT naming option or value; OUT_OF_RANGE when the
// values leave the range of double precision.
absl::StatusOr<SweepSolution> SolveKnapsack(const KnapsackModel& model, const SweepSolveOptions& options = {},
                                            std::span<const double> warm_start = {});

}  // namespace berth::mdp

#endif  // BERTH_MDP_KNAPSACK_SOLVE_H_

#include "mdp/knapsack_solve.h"

#include <cmath>

#include "base/status.h"
#include "fmt/format.h"
#include "mdp/knapsack_sweep.h"

namespace berth::mdp {

absl::StatusOr<SweepSolution> SolveKnapsack(const KnapsackModel& model, const SweepSolveOptions& options,
                                            std::span<const double> warm_start) {
  BERTH_RETURN_IF_ERROR(internal::CheckOptions(options));
  if (!warm_start.empty() && warm_start.size() != static_cast<size_t>(model.num_states())) {
    return absl::InvalidArgumentError(
        fmt::format("number of warm start values is {}, accepted: 0 or {}", warm_start.size(), model.num_states()));
  }
  for (size_t s = 0; s < warm_start.size(); ++s) {
    if (std::isfinite(warm_start[s])) continue;
    return absl::InvalidArgumentError(
        fmt::format("warm start value of state {} is {}, accepted: a finite number", s, warm_start[s]));
  }
  KnapsackSweep sweep(model, {.discount_rate = options.discount_rate, .threads = options.threads});
  if (!warm_start.empty()) sweep.SetValues(warm_start);
  return SolveBySweeps(sweep, options);
}

}  // namespace berth::mdp

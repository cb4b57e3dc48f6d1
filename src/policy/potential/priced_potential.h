// A potential with prices: Phi(s) - beta x worth of the free devices at prices that are solved again as the cluster fills, and,
// where wanted, for a mix that is learned from the arrivals so far.
#ifndef BERTH_POLICY_POTENTIAL_PRICED_POTENTIAL_H_
#define BERTH_POLICY_POTENTIAL_PRICED_POTENTIAL_H_

#include <functional>
#include <memory>
#include <optional>

#include "absl/status/status.h"
#include "policy/pod_mix.h"
#include "policy/potential/potential.h"
#include "policy/potential/price_run.h"
#include "policy/potential/prices.h"

namespace berth {

struct PricedOptions {
  double beta = 10;              // weight of the worth, 0 to 1000
  double period = 0.02;          // prices are solved again when that share of the cluster's GPUs was asked for, 0.001 to 1
  // GPUs to come: (horizon - share asked for so far) x all, at least `least_to_come` x all. Once pods have left, the share that is
  // in use counts instead of what was asked for.
  double horizon = 1.05;
  double least_to_come = 0.02;
  // Forget the given mix: count the classes of the arrivals so far instead. Nothing is priced before the first 16 arrivals.
  bool learns_mix = false;
  // A pod is declined where the worth that the node's devices lose by it (without beta) is more than (1 + margin) x the GPUs it asks
  // for, which is what it is worth itself in the program. -1 (declines every pod that costs anything) to 1000; none: declines nothing.
  std::optional<double> refusal_margin = {};
  PriceOptions prices;
};
// Calls visit(name, value, least, most) for every number of the options that a model keeps, in order.
template <class Options, class Visit>
void VisitPricedFields(Options& o, Visit&& visit) {
  visit("beta", o.beta, 0, 1000);
  visit("period", o.period, 0.001, 1);
  visit("horizon", o.horizon, 0.1, 100);
  visit("least_to_come", o.least_to_come, 0.001, 100);
  visit("typed_safety", o.prices.typed_safety, 0.1, 100);
  visit("multi_safety", o.prices.multi_safety, 0.1, 100);
  visit("smoothing", o.prices.smoothing, 0.01, 1);
}
// Errors: INVALID_ARGUMENT naming field, value and range.
absl::Status ValidatePricedOptions(const PricedOptions& options);

// The potential that the worth is subtracted from, for one mix.
using PotentialFactory = std::function<std::unique_ptr<Potential>(const PodMix& mix)>;

// Its decisions are adaptive (PolicyInfo::is_adaptive). `mix`: all classes of the workload. Not thread-safe, as every potential; its
// thread, where it has one, ends with it.
std::unique_ptr<Potential> MakePricedPotential(PotentialFactory inner, PodMix mix, const PricedOptions& options, const PriceRun& run = {});

}  // namespace berth

#endif  // BERTH_POLICY_POTENTIAL_PRICED_POTENTIAL_H_

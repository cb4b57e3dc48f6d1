#include "mdp/stationary.h"

#include <algorithm>
#include <cmath>

namespace berth::mdp {
namespace {

// The chain by columns: who flows into a state.
struct Inflow {
  std::vector<int64_t> begin;
  std::vector<StateIndex> from;
  std::vector<double> rate;
  std::vector<double> leaving;  // [num_states] total rate out of a state
};

Inflow Transpose(const PolicyChain& chain) {
  const StateIndex n = chain.num_states();
  Inflow inflow;
  inflow.begin.assign(static_cast<size_t>(n) + 1, 0);
  inflow.leaving.assign(static_cast<size_t>(n), 0.0);
  for (StateIndex s = 0; s < n; ++s) {
    for (int64_t i = chain.begin[s]; i < chain.begin[s + 1]; ++i) {
      if (chain.next[i] == s) continue;
      ++inflow.begin[chain.next[i] + 1];
      inflow.leaving[s] += chain.weight[i];
    }
  }
  for (StateIndex s = 0; s < n; ++s) inflow.begin[s + 1] += inflow.begin[s];
  inflow.from.resize(static_cast<size_t>(inflow.begin[n]));
  inflow.rate.resize(inflow.from.size());
  std::vector<int64_t> fill(inflow.begin.begin(), inflow.begin.end() - 1);
  for (StateIndex s = 0; s < n; ++s) {
    for (int64_t i = chain.begin[s]; i < chain.begin[s + 1]; ++i) {
      if (chain.next[i] == s) continue;
      const int64_t at = fill[chain.next[i]]++;
      inflow.from[at] = s;
      inflow.rate[at] = chain.weight[i];
    }
  }
  return inflow;
}

double FlowInto(const Inflow& inflow, StateIndex s, const std::vector<double>& p) {
  double flow = 0;
  for (int64_t i = inflow.begin[s]; i < inflow.begin[s + 1]; ++i) flow += inflow.rate[i] * p[inflow.from[i]];
  return flow;
}

void Normalise(std::vector<double>& p) {
  double sum = 0;
  for (const double x : p) sum += x;
  if (sum > 0) {
    for (double& x : p) x /= sum;
  }
}

double Imbalance(const Inflow& inflow, const std::vector<double>& p) {
  double total = 0;
  double largest = 0;
  for (StateIndex s = 0; s < static_cast<StateIndex>(p.size()); ++s) {
    const double out = p[s] * inflow.leaving[s];
    total += out;
    largest = std::max(largest, std::abs(FlowInto(inflow, s, p) - out));
  }
  return total > 0 ? largest / total : 0;
}

}  // namespace

absl::StatusOr<StationaryDistribution> SolveStationary(const PolicyChain& chain, const StationaryOptions& options,
                                                       std::span<const double> warm_start) {
  constexpr int64_t kSweepsBetweenChecks = 10;
  const StateIndex n = chain.num_states();
  if (n < 1) return absl::InvalidArgumentError("number of states is 0, accepted: at least 1");
  if (!(options.tolerance > 0) || !std::isfinite(options.tolerance)) {
    return absl::InvalidArgumentError(fmt::format("tolerance is {}, accepted: a finite number > 0", options.tolerance));
  }
  if (options.max_sweeps < 1) {
    return absl::InvalidArgumentError(fmt::format("max_sweeps is {}, accepted: at least 1", options.max_sweeps));
  }
  if (!warm_start.empty() && warm_start.size() != static_cast<size_t>(n)) {
    return absl::InvalidArgumentError(
        fmt::format("number of warm start values is {}, accepted: 0 or {}", warm_start.size(), n));
  }
  const Inflow inflow = Transpose(chain);
  StationaryDistribution result;
  std::vector<double>& p = result.probability;
  p.assign(static_cast<size_t>(n), 1.0 / n);
  for (StateIndex s = 0; s < n && !warm_start.empty(); ++s) {
    if (!(std::isfinite(warm_start[s]) && warm_start[s] >= 0)) {
      return absl::InvalidArgumentError(
          fmt::format("warm start value of state {} is {}, accepted: a finite number >= 0", s, warm_start[s]));
    }
    // A state that the other chain never visits may matter here.
    p[s] = std::max(warm_start[s], 1e-12 / n);
  }
  Normalise(p);
  // A state that is never left holds all the mass that reaches it: the sweep would divide by nothing.
  for (StateIndex s = 0; s < n; ++s) {
    if (inflow.leaving[s] > 0) continue;
    std::fill(p.begin(), p.end(), 0.0);
    p[s] = 1;
    result.is_converged = true;
    return result;
  }
  for (;;) {
    result.imbalance = Imbalance(inflow, p);
    result.is_converged = result.imbalance <= options.tolerance;
    if (result.is_converged || result.sweeps >= options.max_sweeps) return result;
    const int64_t count = std::min(options.max_sweeps - result.sweeps, kSweepsBetweenChecks);
    for (int64_t i = 0; i < count; ++i, ++result.sweeps) {
      const bool is_forward = result.sweeps % 2 == 0;
      for (StateIndex k = 0; k < n; ++k) {
        const StateIndex s = is_forward ? k : n - 1 - k;
        p[s] = FlowInto(inflow, s, p) / inflow.leaving[s];
      }
      Normalise(p);
    }
  }
}

}  // namespace berth::mdp

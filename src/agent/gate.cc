#include "agent/gate.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace berth {

bool GateResult::worst_mix_fails() const {
  if (most_harm <= 0) return false;
  return std::any_of(by_mix.begin(), by_mix.end(), [&](const Interval& d) { return !(d.high < most_harm); });
}

GateResult Compare(std::span<const double> challenger, std::span<const double> champion, size_t seeds, size_t loads, size_t mixes, double most_harm) {
  GateResult result;
  result.most_harm = most_harm;
  // Means by seed over the loads: of one mix, or of all.
  const auto by_seed = [&](std::span<const double> costs, size_t first, size_t count) {
    std::vector<double> means(seeds, 0);
    for (size_t s = 0; s < seeds; ++s) {
      for (size_t l = 0; l < loads; ++l) {
        for (size_t m = first; m < first + count; ++m) means[s] += costs[(s * loads + l) * mixes + m] / static_cast<double>(loads * count);
      }
    }
    return means;
  };
  result.difference = PairedInterval(by_seed(challenger, 0, mixes), by_seed(champion, 0, mixes));
  if (mixes < 2) return result;
  for (size_t m = 0; m < mixes; ++m) {
    std::vector<double> mine = by_seed(challenger, m, 1), other = by_seed(champion, m, 1);
    // A champion that loses nothing leaves nothing to take a share of: any loss is then as much harm as can be.
    const double scale = std::max(MeanInterval(other).mean, std::numeric_limits<double>::min());
    for (double& x : mine) x /= scale;
    for (double& x : other) x /= scale;
    result.by_mix.push_back(PairedInterval(mine, other));
  }
  return result;
}

}  // namespace berth

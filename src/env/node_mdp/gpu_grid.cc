#include "env/node_mdp/gpu_grid.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

namespace berth {

int32_t GpuGrid::PatternOf(const GpuPattern& pattern) const {
  const auto at = std::lower_bound(keys_.begin(), keys_.end(), GpuPatternKey(pattern, units_));
  return by_key_[static_cast<size_t>(at - keys_.begin())];
}

GpuGrid::GpuGrid(int32_t devices, int32_t units, int32_t cpu_levels, std::vector<GpuGridClass> classes)
    : devices_(devices),
      units_(units),
      cpu_levels_(cpu_levels),
      classes_(std::move(classes)),
      patterns_(GpuPatterns(devices, units)),
      keys_(GpuPatternKeys(devices, units)),
      by_key_(patterns_.size()) {
  // From emptier to fuller.
  const auto fill = [&](const GpuPattern& p) {
    int32_t sum = 0;
    for (int32_t kind = 1; kind <= units_; ++kind) sum += kind * p[static_cast<size_t>(kind)];
    return sum + units_ * (p[static_cast<size_t>(units_ + 1)] + p[static_cast<size_t>(units_ + 2)]);
  };
  std::vector<int32_t> order(patterns_.size());  // number in patterns_ by key
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int32_t a, int32_t b) {
    return fill(patterns_[static_cast<size_t>(a)]) < fill(patterns_[static_cast<size_t>(b)]);
  });
  std::vector<GpuPattern> ranked;
  for (const int32_t i : order) {
    by_key_[static_cast<size_t>(i)] = static_cast<int32_t>(ranked.size());
    ranked.push_back(patterns_[static_cast<size_t>(i)]);
  }
  patterns_ = std::move(ranked);
  for (size_t p = 0; p < patterns_.size(); ++p) {
    if (p == 0 || fill(patterns_[p]) != fill(patterns_[p - 1])) rank_begin_.push_back(static_cast<int32_t>(p));
  }
  rank_begin_.push_back(num_patterns());
  for (const GpuGridClass& c : classes_) cpu_step_.push_back(static_cast<int32_t>(std::lround(c.cpu_levels)));
  BuildMoves();
}

int32_t GpuGrid::PatternOf(std::span<const int32_t> used) const {
  GpuPattern pattern{};
  for (const int32_t u : used) ++pattern[static_cast<size_t>(u == kWhole ? units_ + 1 : std::clamp(u, 0, units_))];
  return PatternOf(pattern);
}

void GpuGrid::BuildMoves() {
  const auto n_units = static_cast<size_t>(units_);
  const size_t whole = n_units + 1, all = n_units + 2;
  // Of shared pods by size, of whole devices, of all at once and of pods without GPU: how many are offered, the mean
  // cpu of one (of a device, of those of whole devices) and its leaving rate.
  struct Mean {
    double offered = 0, cpu = 0, leaves = 0;
    void Add(double running, double levels, double life_h) {
      offered += running;
      cpu += running * levels;
      leaves += running / life_h;
    }
    void Divide(const Mean& otherwise) {
      *this = offered > 0 ? Mean{offered, cpu / offered, leaves / offered} : Mean{0, otherwise.cpu, otherwise.leaves};
    }
  };
  std::vector<Mean> shared(n_units + 1);
  Mean any_shared, of_whole, of_all, plain, any;
  for (size_t k = 0; k < classes_.size(); ++k) {
    const GpuGridClass& c = classes_[k];
    any.Add(c.running, cpu_step_[k], c.life_h);
    if (c.units > 0) {
      any_shared.Add(c.running, cpu_step_[k], c.life_h);
      shared[static_cast<size_t>(c.units)].Add(c.running, cpu_step_[k], c.life_h);
    } else if (c.whole == devices_ && devices_ > 1) {
      of_all.Add(c.running, cpu_step_[k], c.life_h);
    } else if (c.whole > 0) {
      of_whole.Add(c.running * c.whole, static_cast<double>(cpu_step_[k]) / c.whole, c.life_h);
    } else {
      plain.Add(c.running, cpu_step_[k], c.life_h);
    }
  }
  // A state that is there without pods that make it (rounding of what is in use may show one) is left all the same.
  any.Divide({0, 1, 1});
  any_shared.Divide({0, 0, any.leaves});
  for (Mean& m : shared) m.Divide(any_shared);
  of_whole.Divide({0, 0, any.leaves});
  of_all.Divide({0, 0, any.leaves});
  plain.Divide({0, 1, any.leaves});
  plain_cpu_ = std::max(1, static_cast<int32_t>(std::lround(plain.cpu)));
  plain_rate_per_h_ = plain.leaves / plain_cpu_;

  // likely[u][v]: mean number of pods of v units on a device with u units in use.
  std::vector<double> z(n_units + 1, 0);
  z[0] = 1;
  for (size_t u = 1; u <= n_units; ++u) {
    for (size_t v = 1; v <= u; ++v)
      z[u] += static_cast<double>(v) * shared[v].offered * z[u - v] / static_cast<double>(u);
  }
  std::vector<std::vector<double>> likely(n_units + 1, std::vector<double>(n_units + 1, 0));
  for (size_t u = 1; u <= n_units; ++u) {
    for (size_t v = 1; v <= u; ++v) likely[u][v] = z[u] > 0 ? shared[v].offered * z[u - v] / z[u] : 0;
    // A fill that no pods make (rounding of what is in use may show one): one pod of that size.
    if (!(z[u] > 0)) likely[u][u] = 1;
  }
  after_.assign(patterns_.size() * classes_.size(), -1);
  begin_.assign(1, 0);
  mean_cpu_.assign(patterns_.size(), 0);
  for (size_t p = 0; p < patterns_.size(); ++p) {
    const GpuPattern& pattern = patterns_[p];
    for (size_t k = 0; k < classes_.size(); ++k) {
      const GpuGridClass& c = classes_[k];
      GpuPattern next = pattern;
      bool fits = true;
      if (c.units > 0) {
        size_t kind = n_units + 1;  // the fullest device that has room
        for (size_t u = 0; u + static_cast<size_t>(c.units) <= n_units; ++u) kind = pattern[u] > 0 ? u : kind;
        fits = kind <= n_units;
        if (fits) --next[kind], ++next[kind + static_cast<size_t>(c.units)];
      } else if (c.whole > 0) {
        fits = pattern[0] >= c.whole;
        if (fits) {
          next[0] = static_cast<int8_t>(next[0] - c.whole);
          const size_t to = c.whole == devices_ && devices_ > 1 ? all : whole;
          next[to] = static_cast<int8_t>(next[to] + c.whole);
        }
      }
      if (fits) after_[p * classes_.size() + k] = PatternOf(next);
    }
    const auto add = [&](const GpuPattern& next, double number, double leaving, double freed) {
      if (!(number * leaving > 0)) return;
      const auto low = static_cast<int32_t>(freed);
      departures_.push_back({PatternOf(next), low, freed - low, number * leaving});
      mean_cpu_[p] += number * freed;
    };
    for (size_t u = 1; u <= n_units; ++u) {
      if (pattern[u] == 0) continue;
      for (size_t v = 1; v <= u; ++v) {
        GpuPattern next = pattern;
        --next[u], ++next[u - v];
        add(next, pattern[u] * likely[u][v], shared[v].leaves, shared[v].cpu);
      }
    }
    if (pattern[whole] > 0) {
      GpuPattern next = pattern;
      --next[whole], ++next[0];
      add(next, pattern[whole], of_whole.leaves, of_whole.cpu);
    }
    if (pattern[all] > 0) {
      GpuPattern next{};
      next[0] = pattern[all];
      add(next, 1, of_all.leaves, of_all.cpu);
    }
    begin_.push_back(departures_.size());
    cpu_share_.push_back(mean_cpu_[p] > 0 ? 1 / mean_cpu_[p] : 1);
  }
}

}  // namespace berth

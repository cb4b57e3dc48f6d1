#include "env/node_mdp/gpu_grid.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include "policy/potential/gpu_table_potential.h"

namespace berth {

uint64_t GpuGrid::KeyOf(const Pattern& pattern) const {
  return GpuPatternKey({pattern.data(), static_cast<size_t>(units_) + 3});
}

int32_t GpuGrid::Find(const Pattern& pattern) const { return FindGpuPattern(index_, KeyOf(pattern)); }

void GpuGrid::Enumerate(Pattern& pattern, int32_t kind, int32_t left) {
  if (kind == units_ + 1) {
    pattern[static_cast<size_t>(kind)] = static_cast<int8_t>(left);
    patterns_.push_back(pattern);
    pattern[static_cast<size_t>(kind)] = 0;
    return;
  }
  for (int32_t n = 0; n <= left; ++n) {
    pattern[static_cast<size_t>(kind)] = static_cast<int8_t>(n);
    Enumerate(pattern, kind + 1, left - n);
  }
  pattern[static_cast<size_t>(kind)] = 0;
}

GpuGrid::GpuGrid(int32_t devices, int32_t units, int32_t cpu_levels, std::vector<GpuGridClass> classes)
    : devices_(devices), units_(units), cpu_levels_(cpu_levels), classes_(std::move(classes)) {
  Pattern pattern{};
  Enumerate(pattern, 0, devices_);
  if (devices_ > 1) {
    pattern[static_cast<size_t>(units_ + 2)] = static_cast<int8_t>(devices_);
    patterns_.push_back(pattern);
  }
  // Sweeps go from emptier to fuller and back: most events lead to a neighbour of about the same fill.
  const auto fill = [&](const Pattern& p) {
    int32_t sum = 0;
    for (int32_t kind = 1; kind <= units_; ++kind) sum += kind * p[static_cast<size_t>(kind)];
    return sum + units_ * (p[static_cast<size_t>(units_ + 1)] + p[static_cast<size_t>(units_ + 2)]);
  };
  std::stable_sort(patterns_.begin(), patterns_.end(),
                   [&](const Pattern& a, const Pattern& b) { return fill(a) < fill(b); });
  for (size_t p = 0; p < patterns_.size(); ++p) index_.emplace_back(KeyOf(patterns_[p]), static_cast<int32_t>(p));
  std::sort(index_.begin(), index_.end());
  for (const GpuGridClass& c : classes_) cpu_step_.push_back(static_cast<int32_t>(std::lround(c.cpu_levels)));
  BuildMoves();
}

int32_t GpuGrid::PatternOf(std::span<const int32_t> used) const {
  Pattern pattern{};
  for (const int32_t u : used) ++pattern[static_cast<size_t>(u == kWhole ? units_ + 1 : std::clamp(u, 0, units_))];
  return Find(pattern);
}

void GpuGrid::BuildMoves() {
  const auto n_units = static_cast<size_t>(units_);
  const size_t whole = n_units + 1, all = n_units + 2;
  // Of shared pods by size: how many are offered, their mean cpu and leaving rate; then those of whole devices.
  std::vector<double> offered(n_units + 1, 0), cpu(n_units + 1, 0), leaves(n_units + 1, 0);
  double whole_devices = 0, whole_cpu = 0, whole_leaves = 0;
  double all_offered = 0, all_cpu = 0, all_leaves = 0, plain = 0, plain_leaves = 0;
  plain_cpu_ = 0;
  for (const GpuGridClass& c : classes_) {
    const double leaving = c.running / c.life_h;
    if (c.units > 0) {
      const auto u = static_cast<size_t>(c.units);
      offered[u] += c.running;
      cpu[u] += c.running * c.cpu_levels;
      leaves[u] += leaving;
    } else if (c.whole == devices_ && devices_ > 1) {
      all_offered += c.running;
      all_cpu += c.running * c.cpu_levels;
      all_leaves += leaving;
    } else if (c.whole > 0) {
      whole_devices += c.running * c.whole;
      whole_cpu += c.running * c.cpu_levels;
      whole_leaves += leaving * c.whole;
    } else {
      plain += c.running;
      plain_cpu_ += c.running * c.cpu_levels;
      plain_leaves += leaving;
    }
  }
  const auto divide = [](double& x, double by) { x = by > 0 ? x / by : 0; };
  for (size_t u = 1; u <= n_units; ++u) divide(cpu[u], offered[u]), divide(leaves[u], offered[u]);
  divide(whole_cpu, whole_devices), divide(whole_leaves, whole_devices);
  divide(all_cpu, all_offered), divide(all_leaves, all_offered);
  divide(plain_cpu_, plain), divide(plain_leaves, plain);
  plain_rate_per_h_ = plain_leaves;
  if (!(plain_cpu_ > 0)) {
    // What is in use beyond the pattern's mean would stay for ever, and there would be states that nothing leaves.
    double running = 0, leaving = 0;
    for (const GpuGridClass& c : classes_) running += c.running, leaving += c.running / c.life_h;
    plain_cpu_ = 1;
    plain_rate_per_h_ = running > 0 ? leaving / running : 1;
  }

  // likely[u][v]: mean number of pods of v units on a device with u units in use.
  std::vector<double> z(n_units + 1, 0);
  z[0] = 1;
  for (size_t u = 1; u <= n_units; ++u) {
    for (size_t v = 1; v <= u; ++v) z[u] += static_cast<double>(v) * offered[v] * z[u - v] / static_cast<double>(u);
  }
  std::vector<std::vector<double>> likely(n_units + 1, std::vector<double>(n_units + 1, 0));
  for (size_t u = 1; u <= n_units; ++u) {
    for (size_t v = 1; v <= u; ++v) likely[u][v] = z[u] > 0 ? offered[v] * z[u - v] / z[u] : 0;
    // A fill that no pods make (rounding of what is in use may show one): one pod of that size.
    if (!(z[u] > 0)) likely[u][u] = 1;
  }
  double mean_leaves = 0, mean_cpu = 0, shared = 0;
  for (size_t u = 1; u <= n_units; ++u) {
    shared += offered[u];
    mean_leaves += offered[u] * leaves[u];
    mean_cpu += offered[u] * cpu[u];
  }
  divide(mean_leaves, shared), divide(mean_cpu, shared);
  for (size_t u = 1; u <= n_units; ++u) {
    if (offered[u] > 0) continue;
    leaves[u] = mean_leaves > 0 ? mean_leaves : 1;
    cpu[u] = mean_cpu;
  }

  after_.assign(patterns_.size() * classes_.size(), -1);
  begin_.assign(1, 0);
  mean_cpu_.assign(patterns_.size(), 0);
  for (size_t p = 0; p < patterns_.size(); ++p) {
    const Pattern& pattern = patterns_[p];
    for (size_t k = 0; k < classes_.size(); ++k) {
      const GpuGridClass& c = classes_[k];
      Pattern next = pattern;
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
      if (fits) after_[p * classes_.size() + k] = Find(next);
    }
    const auto add = [&](const Pattern& next, double number, double leaving, double freed) {
      if (!(number * leaving > 0)) return;
      departures_.push_back({Find(next), static_cast<float>(number * leaving), static_cast<float>(freed)});
      mean_cpu_[p] += number * freed;
    };
    for (size_t u = 1; u <= n_units; ++u) {
      if (pattern[u] == 0) continue;
      for (size_t v = 1; v <= u; ++v) {
        Pattern next = pattern;
        --next[u], ++next[u - v];
        add(next, pattern[u] * likely[u][v], leaves[v], cpu[v]);
      }
    }
    if (pattern[whole] > 0) {
      Pattern next = pattern;
      --next[whole], ++next[0];
      add(next, pattern[whole], whole_leaves > 0 ? whole_leaves : 1, whole_cpu);
    }
    if (pattern[all] > 0) {
      Pattern next{};
      next[0] = pattern[all];
      add(next, 1, all_leaves > 0 ? all_leaves : 1, all_cpu);
    }
    begin_.push_back(departures_.size());
  }
}

}  // namespace berth

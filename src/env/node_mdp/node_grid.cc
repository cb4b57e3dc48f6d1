#include "env/node_mdp/node_grid.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

namespace berth {
namespace {

constexpr double kNone = -std::numeric_limits<double>::infinity();
constexpr double kWantedLossPercent = 1;
constexpr int64_t kMostParts = 8;

}  // namespace

int32_t GridUnit::Round(int64_t size) const {
  if (size <= 0) return 0;
  const double units = std::round(static_cast<double>(size) / static_cast<double>(unit));
  return static_cast<int32_t>(std::clamp(units, 1.0, 1e9));
}

GridUnit PickGridUnit(const std::vector<int64_t>& sizes, const std::vector<double>& weights, int64_t capacity,
                      int32_t max_levels) {
  std::vector<int64_t> units = {std::max<int64_t>(1, capacity / (max_levels - 1))};
  for (int64_t size : sizes) {
    for (int64_t parts = 1; parts <= kMostParts && parts <= size; ++parts) units.push_back(size / parts);
  }
  std::sort(units.begin(), units.end(), std::greater<>());
  units.erase(std::unique(units.begin(), units.end()), units.end());
  GridUnit best;
  double least = std::numeric_limits<double>::infinity();
  for (int64_t unit : units) {
    if (unit > capacity || capacity / unit + 1 > max_levels) continue;
    GridUnit grid;
    grid.unit = unit;
    grid.levels = static_cast<int32_t>(capacity / unit) + 1;
    double sum = 0, total = 0;
    for (size_t i = 0; i < sizes.size(); ++i) {
      if (sizes[i] <= 0) continue;
      const auto size = static_cast<double>(sizes[i]);
      sum += weights[i] * std::abs(grid.Round(sizes[i]) * static_cast<double>(unit) - size) / size;
      total += weights[i];
    }
    grid.rounding_percent = total > 0 ? 100 * sum / total : 0;
    grid.capacity_percent = 100 * static_cast<double>(capacity % unit) / static_cast<double>(capacity);
    const double loss = grid.rounding_percent + grid.capacity_percent;
    if (loss < least) {
      least = loss;
      best = grid;
    }
    if (loss <= kWantedLossPercent) break;
  }
  return best;
}

NodeGrid::NodeGrid(int32_t cpu_levels, int32_t mem_levels, std::vector<GridClass> classes)
    : cpu_levels_(cpu_levels), mem_levels_(mem_levels), classes_(std::move(classes)) {
  state_of_cell_.assign(Index(cpu_levels) * Index(mem_levels), -1);
  for (int32_t a = 0; a < cpu_levels; ++a) {
    for (int32_t b = 0; b < mem_levels; ++b) {
      const bool is_state =
          (a == 0 && b == 0) || std::any_of(classes_.begin(), classes_.end(), [&](const GridClass& c) {
            return c.cpu <= a && c.mem <= b && StateAt(a - c.cpu, b - c.mem) >= 0;
          });
      if (!is_state) continue;
      state_of_cell_[Index(a * mem_levels + b)] = num_states();
      cells_.push_back(a * mem_levels + b);
    }
  }
  for (int32_t s = 0; s < num_states(); ++s) {
    const int32_t a = used_cpu(s), b = used_mem(s);
    for (const GridClass& c : classes_) {
      after_.push_back(c.cpu < cpu_levels - a && c.mem < mem_levels - b ? StateAt(a + c.cpu, b + c.mem) : -1);
      before_.push_back(a >= c.cpu && b >= c.mem ? StateAt(a - c.cpu, b - c.mem) : -1);
    }
  }
  SetMix(std::vector<double>(classes_.size(), 1.0));
}

void NodeGrid::SetMix(const std::vector<double>& rho) {
  running_.assign(before_.size(), 0);
  // log Z of every state: Z itself overflows on a large node.
  std::vector<double> log_z(cells_.size()), terms(classes_.size());
  for (int32_t s = 1; s < num_states(); ++s) {
    const bool by_cpu = used_cpu(s) > 0;
    double most = kNone;
    for (size_t k = 0; k < classes_.size(); ++k) {
      const int32_t size = by_cpu ? classes_[k].cpu : classes_[k].mem;
      terms[k] = size > 0 && Before(s, k) >= 0 ? log_z[Index(Before(s, k))] + std::log(rho[k] * size) : kNone;
      most = std::max(most, terms[k]);
    }
    double sum = 0;
    for (double term : terms) sum += std::exp(term - most);
    log_z[Index(s)] = most + std::log(sum) - std::log(by_cpu ? used_cpu(s) : used_mem(s));
    for (size_t k = 0; k < classes_.size(); ++k) {
      if (Before(s, k) >= 0)
        running_[Index(s) * classes_.size() + k] = rho[k] * std::exp(log_z[Index(Before(s, k))] - log_z[Index(s)]);
    }
  }
}

std::vector<float> NodeGrid::FillCells(const std::vector<double>& values) const {
  std::vector<float> filled(state_of_cell_.size());
  std::vector<int32_t> queue;  // cells that have a value, in the order of getting it
  std::vector<bool> has_value(filled.size());
  const auto fill = [&](int32_t cell, float value) {
    filled[Index(cell)] = value;
    has_value[Index(cell)] = true;
    queue.push_back(cell);
  };
  for (int32_t a = cpu_levels_ - 1; a >= 0; --a) {
    int32_t next = -1;
    for (int32_t b = mem_levels_ - 1; b >= 0; --b) {
      if (StateAt(a, b) >= 0) next = StateAt(a, b);
      if (next >= 0) fill(a * mem_levels_ + b, static_cast<float>(values[Index(next)]));
    }
  }
  for (size_t i = 0; i < queue.size(); ++i) {
    const int32_t cell = queue[i], a = cell / mem_levels_, b = cell % mem_levels_;
    const auto spread = [&](bool is_inside, int32_t neighbour) {
      if (is_inside && !has_value[Index(neighbour)]) fill(neighbour, filled[Index(cell)]);
    };
    spread(b + 1 < mem_levels_, cell + 1);
    spread(a > 0, cell - mem_levels_);
    spread(a + 1 < cpu_levels_, cell + mem_levels_);
    spread(b > 0, cell - 1);
  }
  return filled;
}

}  // namespace berth

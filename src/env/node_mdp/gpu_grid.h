// The states of one node with GPUs, for its decision process: how full each device is, and the cpu in use.
//
// A device is free, used by shared pods in one of `units` steps, or taken by a pod of whole devices. Devices are alike,
// so a state is the number of devices of each kind (the pattern) and a level of cpu: 8 devices in eighths make 24,310
// patterns, with 80 levels of cpu two million states. What runs is not in the state; it is estimated from it:
// - The shared pods of a device that is u units full are independent Poisson numbers given their sum (Kaufman 1981,
//   Roberts 1981; node_grid.h has the recursion).
// - A device that a pod took whole gets free by itself, at the mean life of such pods; but a pod of all devices of the
//   node leaves at once, and that is a pattern of its own.
// - A pod frees its kind's mean cpu, less where less is in use than the pods of the pattern have on average; what is in
//   use beyond is that of pods without GPU.
// docs/node-mdp.md has what these estimates cost. Memory is not in the state.
#ifndef BERTH_ENV_NODE_MDP_GPU_GRID_H_
#define BERTH_ENV_NODE_MDP_GPU_GRID_H_

#include <array>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "mdp/event_model.h"

namespace berth {

// Pods that are alike to a node: what one of them takes, in grid units.
struct GpuGridClass {
  int32_t whole = 0;      // devices taken whole, 0 to the node's
  int32_t units = 0;      // of one shared device, 0 to the grid's; one of whole and units is 0
  double cpu_levels = 0;  // mean, not rounded
  double running = 0;     // mean number offered to the node, for what is likely to run
  double life_h = 1;
};

class GpuGrid {
 public:
  static constexpr int32_t kMaxDevices = 8;
  static constexpr int32_t kMaxUnits = 10;

  // 1 to kMaxDevices devices of 1 to kMaxUnits units, at least one level of cpu (level 0 is none in use).
  GpuGrid(int32_t devices, int32_t units, int32_t cpu_levels, std::vector<GpuGridClass> classes);

  mdp::StateIndex num_states() const { return num_patterns() * cpu_levels_; }
  int32_t num_patterns() const { return static_cast<int32_t>(patterns_.size()); }
  int32_t cpu_levels() const { return cpu_levels_; }
  int32_t units() const { return units_; }
  int32_t devices() const { return devices_; }
  const std::vector<GpuGridClass>& classes() const { return classes_; }
  // State 0 is the empty node.
  mdp::StateIndex StateAt(int32_t pattern, int32_t cpu) const { return pattern * cpu_levels_ + cpu; }
  // `used`: units in use of each device, or kWhole. Order does not matter.
  static constexpr int32_t kWhole = -1;
  int32_t PatternOf(std::span<const int32_t> used) const;
  // Keys (policy/potential/gpu_table_potential.h) and numbers of all patterns, ascending by key.
  const std::vector<std::pair<uint64_t, int32_t>>& index() const { return index_; }

  // The pattern after a pod of class k took the tightest devices, -1 where it does not fit.
  int32_t After(int32_t pattern, size_t k) const { return after_[static_cast<size_t>(pattern) * classes_.size() + k]; }
  // The level of cpu after it, the nearest; -1 where it does not fit. Level `cpu_levels - 1` is a full node.
  int32_t CpuAfter(int32_t cpu, size_t k) const {
    const int32_t after = cpu + cpu_step_[k];
    return after < cpu_levels_ ? after : -1;
  }

  // A device, or a pod without GPU, that gets freer: at `rate_per_h` the pattern becomes `pattern` and `cpu` levels of
  // cpu are freed where the pods of the pattern have their mean.
  struct Departure {
    int32_t pattern;
    float rate_per_h;
    float cpu;
  };
  std::span<const Departure> Departures(int32_t pattern) const {
    return {departures_.data() + begin_[static_cast<size_t>(pattern)],
            departures_.data() + begin_[static_cast<size_t>(pattern) + 1]};
  }
  double MeanCpu(int32_t pattern) const { return mean_cpu_[static_cast<size_t>(pattern)]; }
  // Of pods without GPU, beside what the pattern explains: levels each, and the rate at which one leaves.
  double plain_cpu() const { return plain_cpu_; }
  double plain_rate_per_h() const { return plain_rate_per_h_; }

 private:
  // Devices of each kind: [0, units] in use by shared pods, units + 1 whole; units + 2: all of them by one pod.
  using Pattern = std::array<int8_t, kMaxUnits + 3>;
  uint64_t KeyOf(const Pattern& pattern) const;
  int32_t Find(const Pattern& pattern) const;
  void Enumerate(Pattern& pattern, int32_t kind, int32_t left);
  void BuildMoves();

  int32_t devices_, units_, cpu_levels_;
  std::vector<GpuGridClass> classes_;
  std::vector<int32_t> cpu_step_;                    // [classes]
  std::vector<Pattern> patterns_;                    // fewest units in use first
  std::vector<std::pair<uint64_t, int32_t>> index_;  // key, pattern; ascending
  std::vector<int32_t> after_;                       // [patterns, classes]
  std::vector<size_t> begin_;                        // [patterns + 1] into departures_
  std::vector<Departure> departures_;
  std::vector<double> mean_cpu_;  // [patterns] levels
  double plain_cpu_ = 0, plain_rate_per_h_ = 0;
};

// What one class brings to the node; rates per hour.
struct GpuStream {
  double offered_per_h = 0;  // the node may take or refuse each
  double earned = 0;         // for taking one
};

// An mdp::EventModel: streams[k] belongs to class k of the grid. Both must outlive it; a stream of rate 0 is not
// looked at.
class GpuNodeModel {
 public:
  GpuNodeModel(const GpuGrid& grid, const std::vector<GpuStream>& streams) : grid_(&grid), streams_(&streams) {}

  mdp::StateIndex num_states() const { return grid_->num_states(); }

  template <class Visitor>
  void VisitState(mdp::StateIndex s, Visitor& visit) const {
    const GpuGrid& grid = *grid_;
    const int32_t pattern = s / grid.cpu_levels();
    const int32_t cpu = s % grid.cpu_levels();
    for (size_t k = 0; k < streams_->size(); ++k) {
      const GpuStream& stream = (*streams_)[k];
      if (stream.offered_per_h <= 0) continue;
      const int32_t after = grid.After(pattern, k);
      const int32_t cpu_after = grid.CpuAfter(cpu, k);
      if (after < 0 || cpu_after < 0) continue;
      visit.Decide(stream.offered_per_h, [&](auto&& offer) {
        offer(0.0, s);
        offer(stream.earned, grid.StateAt(after, cpu_after));
      });
    }
    const double mean = grid.MeanCpu(pattern);
    const double extra = cpu - mean;
    // Pods of the pattern have their mean or, where less is in use, their part of it.
    const double part = mean > cpu ? cpu / mean : 1;
    const auto leave = [&](double rate, int32_t to, double freed) {
      const double left = std::max(0.0, cpu - freed);
      const auto low = static_cast<int32_t>(left);
      const double above = left - low;
      if (above < 1) visit.Jump(rate * (1 - above), 0.0, grid.StateAt(to, low));
      if (above > 0) visit.Jump(rate * above, 0.0, grid.StateAt(to, low + 1));
    };
    for (const GpuGrid::Departure& d : grid.Departures(pattern)) leave(d.rate_per_h, d.pattern, part * d.cpu);
    if (extra > 0 && grid.plain_cpu() > 0) {
      leave(extra / grid.plain_cpu() * grid.plain_rate_per_h(), pattern, std::min(extra, grid.plain_cpu()));
    }
  }

 private:
  const GpuGrid* grid_;
  const std::vector<GpuStream>* streams_;
};

}  // namespace berth

#endif  // BERTH_ENV_NODE_MDP_GPU_GRID_H_

// The states of one node with GPUs, for its decision process: how full each device is, and the cpu in use.
//
// A device is free, used by shared pods in one of `units` steps, or taken by a pod of whole devices. Devices are alike,
// so a state is the number of devices of each kind (the pattern) and a level of cpu: 8 devices in eighths make 24,310
// patterns, with 80 levels of cpu two million states. What runs is not in the state; it is estimated from it:
// - The shared pods of a device that is u units full are independent Poisson numbers given their sum (Kaufman 1981,
//   Roberts 1981; node_grid.h has the recursion).
// - A device that a pod took whole gets free by itself, at the mean life of such pods; but a pod of all devices of the
//   node leaves at once, and that is a pattern of its own.
// - A pod frees its kind's mean cpu. Where less cpu is in use than the pods of the pattern have on average, it frees
// that
//   much with the probability (in use / average), else none; what is in use beyond is that of pods without GPU.
// docs/node-mdp.md has what these estimates cost. Memory is not in the state.
#ifndef BERTH_ENV_NODE_MDP_GPU_GRID_H_
#define BERTH_ENV_NODE_MDP_GPU_GRID_H_

#include <algorithm>
#include <cstdint>
#include <span>
#include <vector>

#include "mdp/event_model.h"
#include "policy/potential/gpu_table_potential.h"

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
  static constexpr int32_t kMaxUnits = kMostGpuUnits;

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
  int32_t PatternOf(const GpuPattern& pattern) const;  // one of GpuPatterns(devices(), units())
  const GpuPattern& pattern(int32_t p) const { return patterns_[static_cast<size_t>(p)]; }
  // As GpuPatternKeys, and the numbers of the patterns in that order.
  const std::vector<uint64_t>& keys() const { return keys_; }
  const std::vector<int32_t>& by_key() const { return by_key_; }

  // The pattern after a pod of class k took the tightest devices, -1 where it does not fit.
  int32_t After(int32_t pattern, size_t k) const { return after_[static_cast<size_t>(pattern) * classes_.size() + k]; }
  // Levels of cpu that it takes, the nearest whole number. Level `cpu_levels - 1` is a full node.
  int32_t CpuStep(size_t k) const { return cpu_step_[k]; }

  // Patterns come in ranks, [rank_begin()[r], rank_begin()[r + 1]): a pod that takes devices leads to a higher rank,
  // one that leaves them to a lower one. One rank's patterns never lead to each other.
  const std::vector<int32_t>& rank_begin() const { return rank_begin_; }

  // A device that gets freer: at `rate_per_h` the pattern becomes `pattern`, and `cpu` levels are freed or one more,
  // the latter with probability `one_more`.
  struct Departure {
    int32_t pattern;
    int32_t cpu;
    double one_more;
    double rate_per_h;
  };
  std::span<const Departure> Departures(int32_t pattern) const {
    return {departures_.data() + begin_[static_cast<size_t>(pattern)],
            departures_.data() + begin_[static_cast<size_t>(pattern) + 1]};
  }
  // The probability that a pod that leaves frees its cpu: min(1, cpu * CpuShare(pattern)).
  double CpuShare(int32_t pattern) const { return cpu_share_[static_cast<size_t>(pattern)]; }
  // Levels that the pods of the pattern have on average; those beyond are of pods without GPU, which leave at
  // plain_rate_per_h() a level, plain_cpu() >= 1 levels at once.
  double MeanCpu(int32_t pattern) const { return mean_cpu_[static_cast<size_t>(pattern)]; }
  int32_t plain_cpu() const { return plain_cpu_; }
  double plain_rate_per_h() const { return plain_rate_per_h_; }

 private:
  void BuildMoves();

  int32_t devices_, units_, cpu_levels_;
  std::vector<GpuGridClass> classes_;
  std::vector<int32_t> cpu_step_;     // [classes]
  std::vector<GpuPattern> patterns_;  // fewest units in use first
  std::vector<uint64_t> keys_;        // ascending
  std::vector<int32_t> by_key_;       // pattern of each key
  std::vector<int32_t> after_;        // [patterns, classes]
  std::vector<size_t> begin_;         // [patterns + 1] into departures_
  std::vector<Departure> departures_;
  std::vector<int32_t> rank_begin_;
  std::vector<double> mean_cpu_, cpu_share_;  // [patterns]
  int32_t plain_cpu_ = 1;
  double plain_rate_per_h_ = 0;
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
      const int32_t cpu_after = cpu + grid.CpuStep(k);
      if (after < 0 || cpu_after >= grid.cpu_levels()) continue;
      visit.Decide(stream.offered_per_h, [&](auto&& offer) {
        offer(0.0, s);
        offer(stream.earned, grid.StateAt(after, cpu_after));
      });
    }
    const double share = std::min(1.0, cpu * grid.CpuShare(pattern));
    const auto at = [&](int32_t to, int32_t freed) { return grid.StateAt(to, std::max(0, cpu - freed)); };
    for (const GpuGrid::Departure& d : grid.Departures(pattern)) {
      visit.Jump(d.rate_per_h * (1 - share), 0.0, at(d.pattern, 0));
      visit.Jump(d.rate_per_h * share * (1 - d.one_more), 0.0, at(d.pattern, d.cpu));
      visit.Jump(d.rate_per_h * share * d.one_more, 0.0, at(d.pattern, d.cpu + 1));
    }
    const double extra = cpu - grid.MeanCpu(pattern);
    if (extra > 0) visit.Jump(extra * grid.plain_rate_per_h(), 0.0, at(pattern, grid.plain_cpu()));
  }

 private:
  const GpuGrid* grid_;
  const std::vector<GpuStream>* streams_;
};

}  // namespace berth

#endif  // BERTH_ENV_NODE_MDP_GPU_GRID_H_

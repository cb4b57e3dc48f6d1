// The states of one node: how much cpu and memory is in use, on a grid, and what most likely runs at each.
//
// Which pods make up the amounts in use is not part of the state (that would be thousands of times more states). The
// mean number of class-k pods given the amounts takes its place, under the law of independent Poisson numbers n_k of
// mean rho_k:
//   Z(s) = sum over all n with sum n_k c_k = s of prod rho_k^n_k / n_k!,    E[n_k | s] = rho_k Z(s - c_k) / Z(s)
// with Z from the recursion of Kaufman (IEEE Trans. Comm. 29(10), 1981) and Roberts: a Z(a, b) = sum_k cpu_k rho_k Z(s
// - c_k). It is exact for a node that takes whatever fits (a product-form loss network of offered loads rho_k), and
// uses up the amounts exactly whatever the policy: sum_k E[n_k | s] c_k = s. Multiplying every rho_k by exp(x cpu_k + y
// mem_k) changes nothing. docs/node-mdp.md has how far it is from runs.
//
// States are only the amounts that some set of pods can make and that fit; cells between them have no state.
#ifndef BERTH_ENV_NODE_MDP_NODE_GRID_H_
#define BERTH_ENV_NODE_MDP_NODE_GRID_H_

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"

namespace berth {

// The size of a class in grid units.
struct GridClass {
  int32_t cpu = 0;
  int32_t mem = 0;
};

// The grid unit of one resource.
struct GridUnit {
  int64_t unit = 1;             // cpu milli or bytes
  int32_t levels = 1;           // 0 .. levels - 1 units in use fit
  double rounding_percent = 0;  // mean |rounded - asked| / asked of the pods, weighted by load
  double capacity_percent = 0;  // of the node, lost because it is no multiple of the unit

  // Nearest number of units, at least 1 for a size above 0.
  int32_t Round(int64_t size) const;
};

// `sizes` are the pods' requests, `weights` their load. Candidates are the sizes and their halves to eighths, the
// nearest there is to a greatest common divisor, and an even division. Taken is the coarsest whose rounding and
// capacity loss together are at most 1 %, else the one that loses least. Requires capacity >= 1, 2 <= max_levels.
GridUnit PickGridUnit(const std::vector<int64_t>& sizes, const std::vector<double>& weights, int64_t capacity,
                      int32_t max_levels);

class NodeGrid {
 public:
  // Requires cpu_levels, mem_levels >= 1; classes of at least one unit of something. Classes that don't fit are
  // allowed. All classes have rho 1. Cost: O(cells x classes).
  NodeGrid(int32_t cpu_levels, int32_t mem_levels, std::vector<GridClass> classes);

  // Sets rho_k > 0, the mean number of pods of each class offered to the node. Cost: O(states x classes).
  void SetMix(const std::vector<double>& rho);

  int32_t num_states() const { return static_cast<int32_t>(cells_.size()); }
  size_t num_classes() const { return classes_.size(); }
  int32_t cpu_levels() const { return cpu_levels_; }
  int32_t mem_levels() const { return mem_levels_; }
  int32_t used_cpu(int32_t state) const { return cells_[Index(state)] / mem_levels_; }
  int32_t used_mem(int32_t state) const { return cells_[Index(state)] % mem_levels_; }
  // -1 where no set of pods makes these amounts. State 0 is the empty node.
  int32_t StateAt(int32_t cpu, int32_t mem) const { return state_of_cell_[Index(cpu * mem_levels_ + mem)]; }
  // The state with one pod more or less, -1 where there is none.
  int32_t After(int32_t state, size_t k) const { return after_[Index(state) * classes_.size() + k]; }
  int32_t Before(int32_t state, size_t k) const { return before_[Index(state) * classes_.size() + k]; }
  // E[n_k | state]; > 0 only where Before is a state.
  double Running(int32_t state, size_t k) const { return running_[Index(state) * classes_.size() + k]; }

  // `values` of the states spread over all cells, [cpu_levels, mem_levels] row-major: a cell without a state takes the
  // value of the next state with as much cpu and more memory in use; where there is none, that of the nearest cell that
  // has one (in grid steps; of equals the one with more in use).
  std::vector<float> FillCells(const std::vector<double>& values) const;

 private:
  static size_t Index(int32_t i) { return static_cast<size_t>(i); }

  int32_t cpu_levels_, mem_levels_;
  std::vector<GridClass> classes_;
  std::vector<int32_t> cells_;           // [states] cpu * mem_levels + mem, ascending
  std::vector<int32_t> state_of_cell_;   // [cells]
  std::vector<int32_t> after_, before_;  // [states, classes]
  std::vector<double> running_;          // [states, classes]
};

}  // namespace berth

#endif  // BERTH_ENV_NODE_MDP_NODE_GRID_H_

// Sweeps over the decision process of a node with GPUs (gpu_grid.h) as straight loops along the levels of cpu: nothing
// is gathered and no probability stored, eight states at a time by AVX-512 or AVX2 where the processor has them. An
// mdp::Sweep, for mdp/sweep_solve.h; the discount rate is 0.
//
// Bits: every instruction set and every number of threads gives the same.
#ifndef BERTH_ENV_NODE_MDP_GPU_SWEEP_H_
#define BERTH_ENV_NODE_MDP_GPU_SWEEP_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "env/node_mdp/gpu_grid.h"
#include "mdp/knapsack_sweep.h"
#include "mdp/sweep_solve.h"

namespace berth {

// Holds the values that it sweeps. Not thread-safe; works with `threads` - 1 threads of its own, which sleep between
// calls. Cost of a sweep: O(transitions). Memory: one vector of num_states() doubles and a quarter.
class GpuSweep {
 public:
  // `grid` is kept by reference, as are `streams`, whose `earned` may change between calls; streams of rate 0 must stay
  // so. Values begin at 0. `instructions` must be supported.
  GpuSweep(const GpuGrid& grid, const std::vector<GpuStream>& streams, int threads,
           mdp::InstructionSet instructions = mdp::BestInstructionSet());
  ~GpuSweep();
  GpuSweep(const GpuSweep&) = delete;
  GpuSweep& operator=(const GpuSweep&) = delete;

  int64_t num_states() const;
  void SetValues(std::span<const double> values);  // [num_states()], by state
  void GetValues(std::span<double> values) const;
  // In the order of the sweep, with padding that follows along; state 0 first.
  std::span<double> shuffled_values();

  mdp::ResidualRange Range();
  // h(s) += step * (d(s) - level) for all s from the old values.
  void JacobiSweep(double step, double level);
  // Moves every h(s) to where d(s) = level, by a Newton step: rank after rank from emptier to fuller, from old values
  // within a rank. What is refused now does not slow it down.
  void GaussSeidelSweep(double level);
  void ForEachBlock(const std::function<void(int block, size_t begin, size_t end)>& visit);
  int num_blocks() const;
  double max_rate() const;
  double RoundingBound(const mdp::ResidualRange& range) const;

  // How often each stream is taken by the policy that is greedy on the values, per hour [streams], from `probability`
  // of states, which is moved towards the stationary one by `sweeps` symmetric Gauss-Seidel sweeps over the balance
  // equations; empty: begins evenly.
  std::vector<double> Flows(int sweeps, std::vector<double>& probability) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace berth

#endif  // BERTH_ENV_NODE_MDP_GPU_SWEEP_H_

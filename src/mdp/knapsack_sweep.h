// Sweeps over a KnapsackModel as straight loops along its runs: no gather, no stored probability, eight states at a
// time by AVX-512 or AVX2 where the processor has them. Used by knapsack_solve.h; use it directly to check or improve a
// table of your own.
//
// Bits: every instruction set and every number of threads gives the same, and Residuals gives those of EvaluateBackup.
#ifndef BERTH_MDP_KNAPSACK_SWEEP_H_
#define BERTH_MDP_KNAPSACK_SWEEP_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "mdp/knapsack_model.h"
#include "mdp/sweep_solve.h"

namespace berth::mdp {

enum class InstructionSet { kPortable, kAvx2, kAvx512 };

bool IsSupported(InstructionSet set);
InstructionSet BestInstructionSet();
const char* InstructionSetName(InstructionSet set);  // "portable", "avx2", "avx512"

// Holds the values that it sweeps. Not thread-safe; works with `threads` - 1 threads of its own, which sleep between
// calls. Cost of a sweep: O(transitions); memory: one vector of num_states() doubles.
class KnapsackSweep {
 public:
  struct Options {
    double discount_rate = 0;                            // alpha >= 0, finite
    int threads = 1;                                     // 1 to 64
    InstructionSet instructions = BestInstructionSet();  // must be supported
  };

  // `model` is kept by reference. Values begin at 0.
  KnapsackSweep(const KnapsackModel& model, const Options& options);
  ~KnapsackSweep();
  KnapsackSweep(const KnapsackSweep&) = delete;
  KnapsackSweep& operator=(const KnapsackSweep&) = delete;

  int64_t num_states() const;
  // By state.
  void SetValues(std::span<const double> values);
  void GetValues(std::span<double> values) const;
  // The values in an order of the sweep's own, state 0 first: for what treats all states alike.
  std::span<double> shuffled_values();

  // Of d(s) = R(s) - alpha h(s) over all states.
  ResidualRange Range();
  // The same, and d(s) of every state into `residuals` [num_states].
  ResidualRange Residuals(std::span<double> residuals);

  // h(s) += step * (d(s) - level) for all s from the old values.
  void JacobiSweep(double step, double level);

  // Solves d(s) = level of every state for h(s), first where the number of items is even, then where it is odd: an
  // event changes that number by one, so each half sees the other alone (red-black Gauss-Seidel).
  void GaussSeidelSweep(double level);

  // Calls visit(block, begin, end) for stretches of the shuffled values, on all threads. The blocks are the same for
  // any number of threads.
  void ForEachBlock(const std::function<void(int block, size_t begin, size_t end)>& visit);
  int num_blocks() const;

  // Upper bound of the rates of all events of a state.
  double max_rate() const;

  // Upper bound of the rounding error of any d(s) of values within [lowest_value, highest_value], the roundings of the
  // model's own numbers included.
  double RoundingBound(const ResidualRange& range) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace berth::mdp

#endif  // BERTH_MDP_KNAPSACK_SWEEP_H_

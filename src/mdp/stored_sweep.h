// One sweep over a stored model at the speed of the memory: every row is read once, the maximum and the smallest and
// largest change are taken in the same pass. Internal to src/mdp; the loop under value iteration and modified policy
// iteration of a SparseMdp.
//
// What is swept: q(s) = max_a [ r(s,a) + gamma sum_j p(s,a,j) h(j) ] and d(s) = q(s) - h(s). As every row sums to one,
// d is the d of sweep.h (rate form, weights gamma p, alpha = 1 - gamma), so its smallest and largest value certify h.
// A terminal state has q = h, d = 0.
//
// Speed. Two streams (weights, successors) are read once and the vector h is read at random. The streams would push h
// out of the cache, so they are fetched past it (non-temporal prefetch); that alone makes a sweep 1.7 to 2.2 times
// faster. `berth bench mdp` prints the figures, docs/mdp.md has them.
#ifndef BERTH_MDP_STORED_SWEEP_H_
#define BERTH_MDP_STORED_SWEEP_H_

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "mdp/model.h"
#include "mdp/solve_options.h"
#include "mdp/thread_team.h"

namespace berth::mdp::internal {

// Compressed rows, by reference. Rows of state s are [state_begin[s], state_begin[s + 1]), transitions of row i are
// [row_begin[i], row_begin[i + 1]).
template <class Real>
struct RowsView {
  std::span<const int64_t> state_begin;
  std::span<const int64_t> row_begin;
  std::span<const Real> reward;
  std::span<const Real> weight;
  std::span<const StateIndex> next;
  std::span<const int32_t> action;  // of a row; empty: the rows of a state are its actions in order

  StateIndex num_states() const { return static_cast<StateIndex>(state_begin.size()) - 1; }
};

// The same, owned.
template <class Real>
struct Rows {
  std::vector<int64_t> state_begin = {0};
  std::vector<int64_t> row_begin = {0};
  std::vector<Real> reward;
  std::vector<Real> weight;
  std::vector<StateIndex> next;
  std::vector<int32_t> action;

  RowsView<Real> view() const { return {state_begin, row_begin, reward, weight, next, action}; }
};

// Rows of eight states side by side (SELL-8, after Kreutzer et al., SIAM J. Sci. Comput. 36, 2014): in a chunk, lane l
// belongs to state 8 chunk + l. Short rows and missing actions are padded. Sums run in the order of the row, so the
// result is that of the compressed rows bit for bit.
template <class Real>
struct SellRows {
  struct Chunk {
    int64_t transition_begin = 0;  // into weight and next, a multiple of 8
    int64_t group_begin = 0;       // into width; times 8 into reward and action
    int32_t num_groups = 0;        // rows of the state that has most
  };
  std::vector<Chunk> chunks;
  std::vector<int32_t> width;  // [groups] transitions of the longest of the 8 rows
  std::vector<Real> reward;    // [groups, 8]; minus infinity where a state has no such row
  std::vector<Real> weight;    // [.., 8]
  std::vector<StateIndex> next;
};

template <class Real>
class StoredSweep {
 public:
  // `model` holds probabilities; where Real is double it is kept by reference. `sign` is -1 for costs, `gamma` 0 to 1.
  // `threads` >= 1; the result does not depend on their number. kSell8 copies the model (12 bytes a padded transition,
  // 8 a padded row), and so does Real = float.
  StoredSweep(const SparseMdp& model, double gamma, double sign, int threads, Storage storage);
  StoredSweep(const StoredSweep&) = delete;
  StoredSweep& operator=(const StoredSweep&) = delete;

  struct Span {
    double lowest = 0;   // min over s of d(s)
    double highest = 0;  // max
    double largest = 0;  // max over s of |h(s)|
  };

  // `h` and `q` are [num_states] and do not overlap. `policy` [num_states] receives the first best action of every
  // state, -1 in a terminal one. With `keeps_rows` the rows of that policy are copied as they pass by, for Evaluate;
  // where the policy of a state is the one of the last such call (which `policy` then has to hold), its row is there
  // already.
  Span Greedy(const Real* h, Real* q, int32_t* policy, bool keeps_rows = false);

  // The same with the one action a state of the last Greedy that kept its rows.
  Span Evaluate(const Real* h, Real* q);

  // Drops every action whose value at h is more than `slack` below the best of its state; looks at some states first,
  // and leaves all as it is where that would drop less than a third. Returns the rows left.
  int64_t Eliminate(const Real* h, double slack);

  // Bound of what rounding does to any d(s), numbers of the model included, where |h| is at most `largest`.
  double Rounding(double largest) const;

  bool has_terminal() const { return has_terminal_; }
  int64_t bytes_per_sweep() const;  // of Greedy: all that is read and written, each once

 private:
  struct Part {
    StateIndex begin = 0, end = 0;  // multiples of 8 but for the last end
  };

  // The rows of a policy, each in a place that is long enough for any row of its state.
  struct PolicyRows {
    std::vector<int64_t> begin;  // [num_states + 1]
    std::vector<int32_t> length;
    std::vector<Real> reward;
    std::vector<Real> weight;
    std::vector<StateIndex> next;
    bool is_filled = false;
  };

  Span GreedyCompressed(Part part, const Real* h, Real* q, int32_t* policy, bool keeps_rows);
  Span GreedySell(Part part, const Real* h, Real* q, int32_t* policy, bool keeps_rows);
  void KeepRow(StateIndex s, int64_t row);
  Span EvaluatePart(Part part, const Real* h, Real* q) const;
  Span RunParts(const std::function<Span(Part)>& sweep);
  void SplitParts();
  void BuildSell();
  void PreparePolicyRows();
  // Calls keep(row) for every row of s that is not more than `slack` below the best.
  template <class Keep>
  void VisitNearBest(StateIndex s, const Real* h, double slack, std::vector<Real>& values, Keep&& keep) const;

  const Real gamma_;
  const Real sign_;
  const Storage storage_;
  ThreadTeam team_;
  RowsView<Real> rows_;
  Rows<Real> own_;  // what rows_ shows, once it is not the model itself
  SellRows<Real> sell_;
  PolicyRows policy_;
  std::vector<Part> parts_;  // one a thread, of about equal numbers of transitions
  double largest_reward_ = 0;
  int64_t longest_row_ = 0;
  bool has_terminal_ = false;
};

extern template class StoredSweep<double>;
extern template class StoredSweep<float>;

}  // namespace berth::mdp::internal

#endif  // BERTH_MDP_STORED_SWEEP_H_

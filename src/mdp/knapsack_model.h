// The stochastic knapsack (Ross and Tsang, IEEE Trans. Communications 37, 1989) as a decision process: items of K
// classes come, are taken or refused, stay for a random time and leave; at each moment sum_k x_k size_k <= capacity in
// each of D resources. The state is the exact number x_k of items of every class.
//
// Class k comes at rate arrival_rate; taking one earns `reward`, refusing nothing. Each of the x_k leaves at
// departure_rate. Nothing but a table of runs is stored: states that differ in the count of one class alone, the run
// class, follow each other, so every neighbour of a run is itself a stretch of a run. `knapsack_sweep.h` makes straight
// loops of that; every other solver of this folder walks the model as an EventModel.
#ifndef BERTH_MDP_KNAPSACK_MODEL_H_
#define BERTH_MDP_KNAPSACK_MODEL_H_

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "mdp/event_model.h"

namespace berth::mdp {

// All x with sum_k x_k size_k <= capacity, numbered. State 0 is the empty one. Immutable; safe to share between
// threads.
class KnapsackSpace {
 public:
  static constexpr int kMaxClasses = 16;
  static constexpr int kMaxResources = 8;
  static constexpr StateIndex kMaxStates = 1 << 28;

  // `capacity` [D], `sizes` [K][D], both in whole units >= 0; every class has a size > 0 in some resource. A class that
  // never fits is allowed. Errors: INVALID_ARGUMENT naming the field; RESOURCE_EXHAUSTED above `max_states`. Cost:
  // O(runs K log runs); memory 4 (3 K) bytes a run.
  static absl::StatusOr<KnapsackSpace> Create(std::span<const int64_t> capacity,
                                              const std::vector<std::vector<int64_t>>& sizes,
                                              StateIndex max_states = kMaxStates);

  StateIndex num_states() const { return begin_.back(); }
  int num_classes() const { return static_cast<int>(sizes_.size()); }
  int num_runs() const { return static_cast<int>(begin_.size()) - 1; }
  const std::vector<int64_t>& capacity() const { return capacity_; }         // [D]
  const std::vector<std::vector<int64_t>>& sizes() const { return sizes_; }  // [K][D]
  // The class whose count grows along a run: the one of which most fit alone; of equals the lowest.
  int run_class() const { return run_class_; }

  // Run r holds the states begin(r) + j, j = 0 .. length(r) - 1, with j items of the run class.
  StateIndex begin(int run) const { return begin_[run]; }
  int32_t length(int run) const { return begin_[run + 1] - begin_[run]; }
  int RunOf(StateIndex s) const;
  // Of a class other than the run class. The neighbours have the same j; -1 where there is no such run. The run above
  // is no longer than `run` itself, the one below no shorter.
  int32_t count(int run, int k) const { return counts_[Cell(run, k)]; }
  int32_t above(int run, int k) const { return above_[Cell(run, k)]; }
  int32_t below(int run, int k) const { return below_[Cell(run, k)]; }

  // `counts` is [K].
  void CountsOf(StateIndex s, std::span<int32_t> counts) const;
  // -1 where the counts don't fit. Cost O(K log runs).
  StateIndex StateOf(std::span<const int32_t> counts) const;
  // The state with one item of class k more or less; -1 where there is none.
  StateIndex Above(StateIndex s, int k) const;
  StateIndex Below(StateIndex s, int k) const;

  // Arrivals that fit and departures, summed over the states: what one sweep looks at.
  int64_t num_transitions() const { return num_transitions_; }
  int64_t table_bytes() const;

 private:
  KnapsackSpace() = default;
  size_t Cell(int run, int k) const { return static_cast<size_t>(run) * sizes_.size() + static_cast<size_t>(k); }
  int FindRun(std::span<const int32_t> counts) const;

  std::vector<int64_t> capacity_;
  std::vector<std::vector<int64_t>> sizes_;
  int run_class_ = 0;
  std::vector<StateIndex> begin_;  // [runs + 1]
  std::vector<int32_t> counts_;    // [runs, K]; 0 for the run class
  std::vector<int32_t> above_;     // [runs, K]
  std::vector<int32_t> below_;     // [runs, K]
  std::vector<int32_t> run_hint_;  // run of every 64th state
  int64_t num_transitions_ = 0;
};

// Rates per time unit; finite, rates >= 0.
struct KnapsackClass {
  double arrival_rate = 0;
  double departure_rate = 0;  // of each item
  double reward = 0;          // of taking one
};

// An EventModel. The space is kept by reference. Immutable; may be walked from several threads.
class KnapsackModel {
 public:
  // Errors: INVALID_ARGUMENT naming class and field.
  static absl::StatusOr<KnapsackModel> Create(const KnapsackSpace& space, std::vector<KnapsackClass> classes);

  const KnapsackSpace& space() const { return *space_; }
  const std::vector<KnapsackClass>& classes() const { return classes_; }
  StateIndex num_states() const { return space_->num_states(); }

  // Arrivals that fit, by class (option 0 refuses, 1 takes), then departures by class.
  template <class Visitor>
  void VisitState(StateIndex s, Visitor& visit) const {
    const KnapsackSpace& space = *space_;
    const int run = space.RunOf(s);
    const int32_t j = s - space.begin(run);
    const int run_class = space.run_class();
    for (int k = 0; k < space.num_classes(); ++k) {
      StateIndex after = s + 1;
      if (k == run_class) {
        if (j + 1 >= space.length(run)) continue;
      } else {
        const int32_t above = space.above(run, k);
        if (above < 0 || j >= space.length(above)) continue;
        after = space.begin(above) + j;
      }
      visit.Decide(classes_[k].arrival_rate, [&](auto&& offer) {
        offer(0.0, s);
        offer(classes_[k].reward, after);
      });
    }
    for (int k = 0; k < space.num_classes(); ++k) {
      const int32_t count = k == run_class ? j : space.count(run, k);
      if (count == 0) continue;
      const StateIndex after = k == run_class ? s - 1 : space.begin(space.below(run, k)) + j;
      visit.Jump(count * classes_[k].departure_rate, 0.0, after);
    }
  }

 private:
  KnapsackModel(const KnapsackSpace& space, std::vector<KnapsackClass> classes)
      : space_(&space), classes_(std::move(classes)) {}

  const KnapsackSpace* space_;
  std::vector<KnapsackClass> classes_;
};

}  // namespace berth::mdp

#endif  // BERTH_MDP_KNAPSACK_MODEL_H_

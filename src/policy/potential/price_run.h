// How the prices of a policy (priced_potential.h) are solved where it runs, and what can be told of it meanwhile.
#ifndef BERTH_POLICY_POTENTIAL_PRICE_RUN_H_
#define BERTH_POLICY_POTENTIAL_PRICE_RUN_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>

namespace berth {

// What operators ask of prices, for all deciders that are run alike. Thread-safe.
struct PriceStats {
  std::atomic<int64_t> solves{0}, failures{0};   // that a decider has taken up; a failure is a solve without prices, those of before stay
  std::atomic<int64_t> last_solve_us{0};         // what the last one took
  std::atomic<int64_t> counted_us{-1};           // MonotonicMicros of the cluster that the newest prices in use were solved for; -1: none yet
};

// How prices are solved where a policy runs; no part of what it is, so a model file keeps nothing of it.
struct PriceRun {
  // In place: inside the decision at which they are due, 1 to 15 ms on 1,213 nodes. Equal streams of questions give equal answers.
  // In the background: what is free is counted at that decision, a thread of the decider solves, decisions go on with the prices of
  // before, and the first decision after the end takes the new ones. Only a decider's first prices are solved in place, and those after
  // a GPU model that is new to the cluster. Answers then also depend on when a solve ends.
  bool in_background = false;
  std::shared_ptr<PriceStats> stats = nullptr;   // counts the solves of all deciders that have it; may be null
  std::function<void()> before_solve = {};       // for tests: called on the thread before it solves; may block
};

}  // namespace berth

#endif  // BERTH_POLICY_POTENTIAL_PRICE_RUN_H_

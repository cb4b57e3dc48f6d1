// The keep-best gate: whether what was trained may replace what was there, on seeds that nothing was trained or chosen on.
#ifndef BERTH_AGENT_GATE_H_
#define BERTH_AGENT_GATE_H_

#include <span>
#include <string>
#include <vector>

#include "agent/arena.h"
#include "evaluate/statistics.h"

namespace berth {

// One step of the gate. Differences are challenger minus champion, paired by seed; below 0 the challenger costs less.
struct GateResult {
  std::string challenger, champion;
  Interval difference;               // of the relative cost, mean over loads and mixes
  // Of each mix, where there are several: the cost as a share of the champion's mean on that mix.
  std::vector<Interval> by_mix;
  // A challenger that must not be worse anywhere: on every mix the upper end of the 95 % interval is below this; 0 = not asked for.
  double most_harm = 0;

  bool is_better() const { return difference.high < 0 && !worst_mix_fails(); }
  // Whether harm on some mix, shown or not excluded, is what keeps the challenger out.
  bool worst_mix_fails() const;
};

// `challenger`, `champion`: relative costs of `cases` in the order of CrossCases: seeds, loads, mixes.
GateResult Compare(std::span<const double> challenger, std::span<const double> champion, size_t seeds, size_t loads, size_t mixes, double most_harm);

}  // namespace berth

#endif  // BERTH_AGENT_GATE_H_

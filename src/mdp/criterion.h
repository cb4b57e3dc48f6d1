// What is asked of a model: which sum of rewards is to be best.
#ifndef BERTH_MDP_CRITERION_H_
#define BERTH_MDP_CRITERION_H_

#include <cstdint>

#include "mdp/solve_options.h"

namespace berth::mdp {

enum class CriterionKind {
  kDiscounted,  // expected reward, a step later worth gamma times as much; for rates, exp(-discount_rate t) after t
  kAverage,     // long-run average: the gain, a step for probabilities, a time unit for rates
  kTotal,       // expected reward until an absorbing state is reached
  kFinite,      // expected reward of `horizon` steps
};

// "discounted", "average", "total", "finite".
const char* CriterionName(CriterionKind kind);

struct Criterion {
  CriterionKind kind = CriterionKind::kDiscounted;
  // Of kDiscounted, above 0: 1 - gamma (at most 1) where the rows hold probabilities, the discount rate alpha where they
  // hold rates. Of kFinite: 1 - gamma, 0 for no discount. Given itself, because near 1 a double of gamma is not the
  // model.
  double one_minus_gamma = 0;
  int64_t horizon = 0;  // of kFinite, steps
  Objective objective = Objective::kMaximize;
};

}  // namespace berth::mdp

#endif  // BERTH_MDP_CRITERION_H_

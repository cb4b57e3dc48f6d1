// Separable CMA-ES (Ros and Hansen, PPSN 2008): evolution strategy with one adapted step size a coordinate.
#ifndef BERTH_AGENT_EVOLUTION_H_
#define BERTH_AGENT_EVOLUTION_H_

#include <cstdint>
#include <vector>

#include "base/rng.h"

namespace berth {

// Minimises. All state is public: it is what a checkpoint holds.
struct EvolutionState {
  std::vector<double> mean;
  std::vector<double> variance;        // of each coordinate, before sigma^2
  std::vector<double> path_sigma, path_c;
  double sigma = 0;
  int64_t generation = 0;
};

class SeparableCmaEs {
 public:
  // `population` >= 4. The start has variance 1 everywhere.
  SeparableCmaEs(std::vector<double> mean, double sigma, int population);
  SeparableCmaEs(EvolutionState state, int population);

  // The generation's candidates [population][coordinates]; a pure function of the state and `rng`.
  std::vector<std::vector<double>> Ask(Rng& rng) const;
  // `costs[i]` of candidates[i], all finite. Ties go to the lower index.
  void Tell(const std::vector<std::vector<double>>& candidates, const std::vector<double>& costs);

  const EvolutionState& state() const { return state_; }
  int population() const { return population_; }

 private:
  void Prepare();

  EvolutionState state_;
  const int population_;
  std::vector<double> weights_;        // of the best half
  double mu_eff_ = 0, c_sigma_ = 0, d_sigma_ = 0, c_c_ = 0, c_1_ = 0, c_mu_ = 0, chi_ = 0;
};

}  // namespace berth

#endif  // BERTH_AGENT_EVOLUTION_H_

// Where evolution walks: coordinates of order one, and the weights that they stand for.
#ifndef BERTH_AGENT_WEIGHT_SPACE_H_
#define BERTH_AGENT_WEIGHT_SPACE_H_

#include <string>
#include <vector>

#include "policy/potential/network.h"

namespace berth {

// Immutable. The first shared() coordinates are the features' (network.h, `linear`), the rest the class terms' (`classes`).
// 0 everywhere is the start.
class WeightSpace {
 public:
  // `start` has no class terms. `typical` pods and `class_models` as the arena's.
  WeightSpace(NetworkWeights start, size_t typical, std::vector<std::string> class_models);
  size_t shared() const { return kFeatureCount; }
  size_t all() const { return kFeatureCount + ClassTerms::Count(typical_, class_models_.size()); }
  // x: shared() or all() coordinates; with shared() alone the weights have no class terms. A class's fragment weighs e^(0.6 x)
  // times the shared one, so that no class ever counts with the wrong sign; everything else is linear.
  NetworkWeights At(const std::vector<double>& x) const;

 private:
  const NetworkWeights start_;
  const size_t typical_;
  const std::vector<std::string> class_models_;
  std::vector<double> scales_;
};

}  // namespace berth

#endif  // BERTH_AGENT_WEIGHT_SPACE_H_

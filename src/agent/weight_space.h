// Where evolution walks: coordinates of order one, and the weights that they stand for.
#ifndef BERTH_AGENT_WEIGHT_SPACE_H_
#define BERTH_AGENT_WEIGHT_SPACE_H_

#include <string>
#include <vector>

#include "policy/pod_mix.h"
#include "policy/potential/network.h"

namespace berth {

// Immutable. The first shared() coordinates are the features' (network.h, `linear`), the rest the class terms' (`classes`).
// 0 everywhere is the start. Of a mix without GPUs only the features move that say something there, and every
// class has its own coordinates. Else classes that wish alike (no GPU, part of one, one, two, …; the same GPU models) share their
// coordinates: a typed list has hundreds of classes, and evolution has minutes.
class WeightSpace {
 public:
  // The weights of `start`'s first `features` features move (0 = of all), and its class terms where they are of the same pods and models. `typical` pods and `class_models` as
  // the arena's.
  WeightSpace(NetworkWeights start, int features, const PodMix& typical, std::vector<std::string> class_models, bool lifetimes = false);
  size_t shared() const { return moves_.size(); }
  size_t all() const { return moves_.size() + (has_gpus_ ? 2 * groups_ + 3 * class_models_.size() : 3 * group_of_.size()); }
  // x: shared() or all() coordinates; with shared() alone the weights have no class terms. A class's fragment weighs e^x
  // times the shared one, so that no class ever counts with the wrong sign; everything else is linear.
  NetworkWeights At(const std::vector<double>& x) const;

 private:
  NetworkWeights start_;
  const bool has_gpus_;             // the mix
  std::vector<size_t> moves_;      // features of which the weight moves
  const std::vector<std::string> class_models_;
  std::vector<double> scales_;
  std::vector<size_t> group_of_;   // of each typical pod
  size_t groups_ = 0;
};

}  // namespace berth

#endif  // BERTH_AGENT_WEIGHT_SPACE_H_

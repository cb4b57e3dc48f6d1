// Anderson mixing of a fixed-point iteration x <- G(x): the next point is the affine combination of the last ones whose
// residual G(x) - x is least (Anderson, J. ACM 12, 1965; Walker and Ni, SIAM J. Numer. Anal. 49, 2011, type II).
// Internal to src/mdp.
//
// Nothing is promised of the point it gives; the caller checks it and goes back to G(x) where it is worse.
#ifndef BERTH_MDP_ANDERSON_H_
#define BERTH_MDP_ANDERSON_H_

#include <cstddef>
#include <vector>

namespace berth::mdp::internal {

class AndersonMixer {
 public:
  // Remembers `depth` >= 1 differences: 2 * depth vectors of the length of x.
  explicit AndersonMixer(int depth);

  // `x` and `image` = G(x) of the same length every time. Replaces `image` by the mixed point; the first call after
  // Clear leaves it as it is. Cost: depth + 2 passes over the vectors.
  void Mix(const std::vector<double>& x, std::vector<double>& image);

  // Forgets everything.
  void Clear();

 private:
  const int depth_;
  int count_ = 0;   // differences held
  int oldest_ = 0;  // column that the next difference goes to, once all are taken
  bool has_last_ = false;
  size_t size_ = 0;  // length n of x
  std::vector<double> last_residual_;
  std::vector<double> last_image_;
  std::vector<double> residual_steps_;  // [n, depth] column-major, differences of successive residuals
  std::vector<double> image_steps_;     // [n, depth] column-major, differences of successive images
  std::vector<double> gram_;            // [depth, depth] inner products of residual_steps_
};

}  // namespace berth::mdp::internal

#endif  // BERTH_MDP_ANDERSON_H_

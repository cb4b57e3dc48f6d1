#include "mdp/anderson.h"

#include <Eigen/Cholesky>
#include <algorithm>

namespace berth::mdp::internal {

AndersonMixer::AndersonMixer(int depth) : depth_(std::max(depth, 1)), gram_(depth_, depth_) {}

void AndersonMixer::Clear() {
  count_ = 0;
  oldest_ = 0;
  has_last_ = false;
}

void AndersonMixer::Mix(const std::vector<double>& x, std::vector<double>& image) {
  const Eigen::Index n = static_cast<Eigen::Index>(x.size());
  const Eigen::Map<const Eigen::VectorXd> from(x.data(), n);
  Eigen::Map<Eigen::VectorXd> to(image.data(), n);
  if (residual_steps_.rows() != n) {
    residual_steps_.resize(n, depth_);
    image_steps_.resize(n, depth_);
    Clear();
  }
  const Eigen::VectorXd residual = to - from;
  if (has_last_) {
    const int column = count_ < depth_ ? count_++ : oldest_;
    oldest_ = (column + 1) % depth_;
    residual_steps_.col(column) = residual - last_residual_;
    image_steps_.col(column) = to - last_image_;
    for (int i = 0; i < count_; ++i) {
      gram_(i, column) = gram_(column, i) = residual_steps_.col(i).dot(residual_steps_.col(column));
    }
  }
  last_residual_ = residual;
  last_image_ = to;
  has_last_ = true;
  if (count_ == 0) return;
  Eigen::MatrixXd gram = gram_.topLeftCorner(count_, count_);
  // The differences become nearly dependent as the iteration converges.
  gram.diagonal().array() += 1e-10 * gram.trace();
  const Eigen::VectorXd weights = gram.ldlt().solve(residual_steps_.leftCols(count_).transpose() * residual);
  if (!weights.allFinite()) {
    Clear();
    return;
  }
  to.noalias() -= image_steps_.leftCols(count_) * weights;
}

}  // namespace berth::mdp::internal

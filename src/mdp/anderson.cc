#include "mdp/anderson.h"

#include <Eigen/Cholesky>
#include <Eigen/Core>
#include <algorithm>

namespace berth::mdp::internal {
namespace {

using Vector = Eigen::Map<Eigen::VectorXd>;
using Matrix = Eigen::Map<Eigen::MatrixXd>;

}  // namespace

AndersonMixer::AndersonMixer(int depth)
    : depth_(std::max(depth, 1)), gram_(static_cast<size_t>(depth_) * static_cast<size_t>(depth_)) {}

void AndersonMixer::Clear() {
  count_ = 0;
  oldest_ = 0;
  has_last_ = false;
}

void AndersonMixer::Mix(const std::vector<double>& x, std::vector<double>& image) {
  const Eigen::Index n = static_cast<Eigen::Index>(x.size());
  if (size_ != x.size()) {
    Clear();
    size_ = x.size();
    last_residual_.resize(size_);
    last_image_.resize(size_);
    residual_steps_.resize(size_ * static_cast<size_t>(depth_));
    image_steps_.resize(size_ * static_cast<size_t>(depth_));
  }
  const Eigen::Map<const Eigen::VectorXd> from(x.data(), n);
  Vector to(image.data(), n);
  Vector last_residual(last_residual_.data(), n);
  Vector last_image(last_image_.data(), n);
  Matrix residual_steps(residual_steps_.data(), n, depth_);
  Matrix image_steps(image_steps_.data(), n, depth_);
  Matrix all_products(gram_.data(), depth_, depth_);

  const Eigen::VectorXd residual = to - from;
  if (has_last_) {
    const int column = count_ < depth_ ? count_++ : oldest_;
    oldest_ = (column + 1) % depth_;
    residual_steps.col(column) = residual - last_residual;
    image_steps.col(column) = to - last_image;
    for (int i = 0; i < count_; ++i) {
      all_products(i, column) = all_products(column, i) = residual_steps.col(i).dot(residual_steps.col(column));
    }
  }
  last_residual = residual;
  last_image = to;
  has_last_ = true;
  if (count_ == 0) return;
  Eigen::MatrixXd products = all_products.topLeftCorner(count_, count_);
  // The differences become nearly dependent as the iteration converges.
  products.diagonal().array() += 1e-10 * products.trace();
  const Eigen::VectorXd weights = products.ldlt().solve(residual_steps.leftCols(count_).transpose() * residual);
  if (!weights.allFinite()) {
    Clear();
    return;
  }
  to.noalias() -= image_steps.leftCols(count_) * weights;
}

}  // namespace berth::mdp::internal

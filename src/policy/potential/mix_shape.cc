#include "policy/potential/mix_shape.h"

#include <Eigen/Dense>
#include <cmath>
#include <limits>

namespace berth {
namespace {

constexpr std::array<std::string_view, kMixShapeCount> kNames = {"cpu_asked", "shared", "multi", "typed"};
// Makes the nearest combination the only one; far below what tells two mixes apart.
constexpr double kRidge = 1e-9;
constexpr double kTolerance = 1e-9;
constexpr float kSteps = 32;

}  // namespace

std::span<const std::string_view, kMixShapeCount> MixShapeNames() { return kNames; }

MixShape Quantised(const MixShape& shape) {
  MixShape steps;
  for (size_t i = 0; i < shape.size(); ++i) steps[i] = std::round(shape[i] * kSteps) / kSteps;
  return steps;
}

std::vector<double> HullShares(std::span<const MixShape> corners, const MixShape& shape) {
  const auto n = static_cast<int>(corners.size());
  Eigen::MatrixXd points(kMixShapeCount, n);
  Eigen::VectorXd target(kMixShapeCount);
  for (int i = 0; i < kMixShapeCount; ++i) {
    target(i) = static_cast<double>(shape[static_cast<size_t>(i)]);
    for (int k = 0; k < n; ++k) points(i, k) = static_cast<double>(corners[static_cast<size_t>(k)][static_cast<size_t>(i)]);
  }
  // The optimum is the constrained least-squares solution on its own support; so few corners allow to try every support.
  std::vector<double> best(static_cast<size_t>(n), 0);
  double least = std::numeric_limits<double>::infinity();
  for (unsigned subset = 1; subset < 1u << n; ++subset) {
    std::vector<int> members;
    for (int k = 0; k < n; ++k) {
      if ((subset >> k & 1) != 0) members.push_back(k);
    }
    const auto m = static_cast<int>(members.size());
    Eigen::MatrixXd p(kMixShapeCount, m);
    for (int k = 0; k < m; ++k) p.col(k) = points.col(members[static_cast<size_t>(k)]);
    Eigen::MatrixXd kkt = Eigen::MatrixXd::Zero(m + 1, m + 1);
    kkt.topLeftCorner(m, m) = p.transpose() * p + kRidge * Eigen::MatrixXd::Identity(m, m);
    kkt.col(m).head(m).setOnes();
    kkt.row(m).head(m).setOnes();
    Eigen::VectorXd right(m + 1);
    right.head(m) = p.transpose() * target;
    right(m) = 1;
    const Eigen::VectorXd shares = kkt.fullPivLu().solve(right).head(m);
    if (!shares.allFinite() || shares.minCoeff() < -kTolerance) continue;
    const double distance = (p * shares - target).squaredNorm() + kRidge * shares.squaredNorm();
    if (distance >= least) continue;
    least = distance;
    best.assign(static_cast<size_t>(n), 0);
    for (int k = 0; k < m; ++k) best[static_cast<size_t>(members[static_cast<size_t>(k)])] = std::max(0.0, shares(k));
  }
  return best;
}

}  // namespace berth

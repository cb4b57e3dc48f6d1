#include "agent/evolution.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace berth {

SeparableCmaEs::SeparableCmaEs(std::vector<double> mean, double sigma, int population) : population_(population) {
  const size_t n = mean.size();
  state_.mean = std::move(mean);
  state_.variance.assign(n, 1);
  state_.path_sigma.assign(n, 0);
  state_.path_c.assign(n, 0);
  state_.sigma = sigma;
  Prepare();
}

SeparableCmaEs::SeparableCmaEs(EvolutionState state, int population) : state_(std::move(state)), population_(population) {
  Prepare();
}

void SeparableCmaEs::Prepare() {
  const auto n = static_cast<double>(state_.mean.size());
  const int mu = population_ / 2;
  double sum = 0, squares = 0;
  for (int i = 0; i < mu; ++i) {
    weights_.push_back(std::log((population_ + 1) / 2.0) - std::log(i + 1.0));
    sum += weights_.back();
  }
  for (double& w : weights_) {
    w /= sum;
    squares += w * w;
  }
  mu_eff_ = 1 / squares;
  c_sigma_ = (mu_eff_ + 2) / (n + mu_eff_ + 5);
  d_sigma_ = 1 + 2 * std::max(0.0, std::sqrt((mu_eff_ - 1) / (n + 1)) - 1) + c_sigma_;
  c_c_ = (4 + mu_eff_ / n) / (n + 4 + 2 * mu_eff_ / n);
  // The separable form learns (n + 2) / 3 times as fast as the full matrix.
  const double faster = (n + 2) / 3;
  c_1_ = std::min(0.5, faster * 2 / ((n + 1.3) * (n + 1.3) + mu_eff_));
  c_mu_ = std::min(0.9 - c_1_, faster * 2 * (mu_eff_ - 2 + 1 / mu_eff_) / ((n + 2) * (n + 2) + mu_eff_));
  chi_ = std::sqrt(n) * (1 - 1 / (4 * n) + 1 / (21 * n * n));
}

std::vector<std::vector<double>> SeparableCmaEs::Ask(Rng& rng) const {
  std::vector<std::vector<double>> candidates(static_cast<size_t>(population_));
  for (auto& x : candidates) {
    for (size_t i = 0; i < state_.mean.size(); ++i) {
      x.push_back(state_.mean[i] + state_.sigma * std::sqrt(state_.variance[i]) * rng.Normal());
    }
  }
  return candidates;
}

void SeparableCmaEs::Tell(const std::vector<std::vector<double>>& candidates, const std::vector<double>& costs) {
  std::vector<size_t> order(costs.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return costs[a] < costs[b]; });

  EvolutionState& s = state_;
  const size_t n = s.mean.size();
  ++s.generation;
  double norm = 0;
  std::vector<double> step(n), rank_mu(n);
  for (size_t i = 0; i < n; ++i) {
    for (size_t k = 0; k < weights_.size(); ++k) {
      const double y = (candidates[order[k]][i] - s.mean[i]) / s.sigma;
      step[i] += weights_[k] * y;
      rank_mu[i] += weights_[k] * y * y;
    }
    s.mean[i] += s.sigma * step[i];
    s.path_sigma[i] = (1 - c_sigma_) * s.path_sigma[i] +
                      std::sqrt(c_sigma_ * (2 - c_sigma_) * mu_eff_) * step[i] / std::sqrt(s.variance[i]);
    norm += s.path_sigma[i] * s.path_sigma[i];
  }
  norm = std::sqrt(norm);
  const double decay = std::sqrt(1 - std::pow(1 - c_sigma_, 2 * static_cast<double>(s.generation)));
  const bool is_short = norm / decay < (1.4 + 2 / (static_cast<double>(n) + 1)) * chi_;
  for (size_t i = 0; i < n; ++i) {
    s.path_c[i] = (1 - c_c_) * s.path_c[i] + (is_short ? std::sqrt(c_c_ * (2 - c_c_) * mu_eff_) * step[i] : 0);
    s.variance[i] = (1 - c_1_ - c_mu_ + (is_short ? 0 : c_1_ * c_c_ * (2 - c_c_))) * s.variance[i] +
                    c_1_ * s.path_c[i] * s.path_c[i] + c_mu_ * rank_mu[i];
  }
  s.sigma *= std::exp(std::min(1.0, c_sigma_ / d_sigma_ * (norm / chi_ - 1)));
}

}  // namespace berth

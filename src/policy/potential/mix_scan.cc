#include "policy/potential/mix_scan.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace berth {
namespace {

// Free on devices that are too small, which come first.
double TooSmall(const NodeState& state, int32_t milli) {
  int32_t sum = 0;
  for (size_t d = 0; d < state.device_count && state.gpu_milli[d] < milli; ++d) sum += std::max<int32_t>(0, state.gpu_milli[d]);
  return sum;
}

}  // namespace

void MixScan::Reset(const ClusterState& view, const PodMix& mix) {
  const std::vector<ResolvedMixClass> classes = ResolveMix(view, mix);
  weights_.clear();
  roots_.clear();
  gpu_counts_.clear();
  cpu_milli_.clear();
  mem_bytes_.clear();
  wish_of_.clear();
  wishes_.clear();
  for (const ResolvedMixClass& c : classes) {
    const ResolvedRequest& r = c.request;
    weights_.push_back(c.weight);
    roots_.push_back(std::sqrt(c.weight));
    gpu_counts_.push_back(r.gpu_count);
    cpu_milli_.push_back(static_cast<double>(r.cpu_milli));
    mem_bytes_.push_back(static_cast<double>(r.mem_floor_bytes));
    auto it = std::find_if(wishes_.begin(), wishes_.end(), [&](const Wish& w) { return w.count == r.gpu_count && w.milli == r.gpu_milli; });
    if (it == wishes_.end()) it = wishes_.insert(it, {r.gpu_count, r.gpu_milli});
    wish_of_.push_back(static_cast<uint32_t>(it - wishes_.begin()));
  }
  answers_.resize(wishes_.size());
  left_.resize(wishes_.size());
  cpu_on_.assign(view.gpu_models().size() + 1, cpu_milli_);
  for (size_t m = 0; m < cpu_on_.size(); ++m) {
    for (size_t i = 0; i < classes.size(); ++i) {
      const ResolvedRequest& r = classes[i].request;
      if (r.gpu_count > 0 && !r.allows_model(static_cast<int32_t>(m) - 1)) cpu_on_[m][i] = std::numeric_limits<double>::infinity();
    }
  }
  fits_.assign(classes.size(), 0);
  fragment_milli_.assign(classes.size(), 0);
  copies_.assign(classes.size(), 0);
}

void MixScan::Scan(const Shape& shape, const NodeState& state) {
  const auto idle = static_cast<double>(IdleGpuMilli(state));
  idle_milli_ = idle;
  for (size_t w = 0; w < wishes_.size(); ++w) {
    const auto [count, milli] = wishes_[w];
    if (count == 0) {
      answers_[w] = {idle, kMostCopies, 1};
      continue;
    }
    answers_[w] = {TooSmall(state, milli), 0, Has(state, wishes_[w])};
  }
  const std::vector<double>& cpu_on = cpu_on_[static_cast<size_t>(shape.gpu_model + 1)];
  const auto cpu = static_cast<double>(state.cpu_milli), mem = static_cast<double>(state.mem_bytes);
  for (size_t i = 0; i < weights_.size(); ++i) {
    const Answer& answer = answers_[wish_of_[i]];
    const auto fits = static_cast<uint8_t>((cpu_on[i] <= cpu) & (mem_bytes_[i] <= mem) & answer.fits);
    fits_[i] = fits;
    fragment_milli_[i] = fits != 0 ? answer.too_small_milli : idle;
  }
}

MixScan::Fragment MixScan::ExpectedFragment(const Shape& shape, const NodeState& state, std::span<const uint32_t> common) {
  const double idle = static_cast<double>(IdleGpuMilli(state)) / 1000;
  for (size_t w = 0; w < wishes_.size(); ++w) {
    left_[w] = wishes_[w].count > 0 && Has(state, wishes_[w]) ? TooSmall(state, wishes_[w].milli) / 1000 : idle;
  }
  const double* const cpu_on = cpu_on_[static_cast<size_t>(shape.gpu_model + 1)].data();
  const auto cpu = static_cast<double>(state.cpu_milli), mem = static_cast<double>(state.mem_bytes);
  const auto fragment = [&](size_t i) { return (cpu_on[i] <= cpu) & (mem_bytes_[i] <= mem) ? left_[wish_of_[i]] : idle; };
  Fragment sum{0, idle};
  for (size_t i = 0; i < weights_.size(); ++i) sum.expected += weights_[i] * fragment(i);
  for (uint32_t i : common) sum.least = std::min(sum.least, fragment(i));
  return sum;
}

void MixScan::Count(const NodeState& state) {
  for (size_t w = 0; w < wishes_.size(); ++w) {
    const auto [count, milli] = wishes_[w];
    if (count == 0 || answers_[w].fits == 0) continue;
    int32_t copies = 0;
    for (size_t d = 0; d < state.device_count; ++d) {
      const int32_t free = state.gpu_milli[d];
      if (free >= milli) copies += count > 1 || free < 2 * milli ? 1 : milli > 0 ? free / milli : 1;
    }
    answers_[w].copies = copies / count;
  }
  const auto cpu = static_cast<double>(state.cpu_milli), mem = static_cast<double>(state.mem_bytes);
  for (size_t i = 0; i < weights_.size(); ++i) {
    copies_[i] = 0;
    if (fits_[i] == 0) continue;
    // All are whole numbers far below 2^53, so that no quotient is rounded up to the next whole number.
    double copies = std::min<double>(kMostCopies, answers_[wish_of_[i]].copies);
    if (cpu_milli_[i] > 0) copies = std::min(copies, cpu / cpu_milli_[i]);
    if (mem_bytes_[i] > 0) copies = std::min(copies, mem / mem_bytes_[i]);
    copies_[i] = static_cast<double>(static_cast<int32_t>(copies));
  }
}

}  // namespace berth

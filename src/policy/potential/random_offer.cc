#include "policy/potential/random_offer.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "base/rng.h"
#include "policy/potential/fragment.h"

namespace berth {
namespace {

constexpr uint64_t kSeed = 20'230'401, kStream = 401;

class RandomOfferPotential : public Potential {
 public:
  RandomOfferPotential(PodMix mix, const RandomOfferOptions& options) : mix_(std::move(mix)), options_(options) {}

  void Reset(const ClusterState& view, const ScoreContext& context) override {
    has_gpus_ = context.has_gpus;
    grain_ = context.mem_grain_bytes;
    std::vector<double> ends;   // cumulated weights
    requests_.clear();
    for (const ResolvedMixClass& c : ResolveMix(view, mix_)) {
      if (!(c.weight > 0)) continue;
      requests_.push_back(c.request);
      ends.push_back((ends.empty() ? 0 : ends.back()) + c.weight);
    }
    offers_.clear();
    if (requests_.empty()) return;
    for (int s = 0; s < options_.sequences; ++s) {
      Rng rng = Rng::Stream(kSeed + static_cast<uint64_t>(s), kStream);
      for (int i = 0; i < options_.offers; ++i) {
        const auto at = std::upper_bound(ends.begin(), ends.end(), rng.Uniform() * ends.back());
        offers_.push_back(static_cast<uint32_t>(std::min<std::ptrdiff_t>(at - ends.begin(), std::ssize(ends) - 1)));
      }
    }
  }

  double Value(const Shape& shape, const NodeState& state) override {
    int64_t filled = 0;
    for (size_t first = 0; first < offers_.size(); first += static_cast<size_t>(options_.offers)) {
      NodeState s = state;
      for (size_t i = first; i < first + static_cast<size_t>(options_.offers); ++i) {
        const ResolvedRequest& request = requests_[offers_[i]];
        if (FirstViolation(shape, s, request)) continue;
        s = StateAfter(s, request, request.gpu_count > 0 ? TightestDevices(s, request) : 0, grain_, {});
        filled += has_gpus_ ? request.total_gpu_milli() : request.cpu_milli;
      }
    }
    const double mean = static_cast<double>(filled) / 1000 / options_.sequences;
    return has_gpus_ ? std::sqrt(static_cast<double>(IdleGpuMilli(state)) / 1000) - mean : -mean;
  }

 private:
  const PodMix mix_;
  const RandomOfferOptions options_;
  bool has_gpus_ = false;
  int64_t grain_ = 1;
  std::vector<ResolvedRequest> requests_;
  std::vector<uint32_t> offers_;   // [sequence][offer]
};

}  // namespace

std::unique_ptr<Potential> MakeRandomOfferPotential(PodMix mix, const RandomOfferOptions& options) {
  return std::make_unique<RandomOfferPotential>(std::move(mix), options);
}

}  // namespace berth

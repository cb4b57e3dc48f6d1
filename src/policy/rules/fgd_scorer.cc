#include <cmath>

#include "absl/container/flat_hash_map.h"
#include "policy/potential/fragment.h"
#include "policy/rules/scorers.h"

namespace berth {
namespace {

constexpr size_t kMaxStates = 1 << 20;
// Larger than any FGD score, so that a protected node is opened only when nothing else fits.
constexpr double kKeepEmptyPenalty = 1000;
constexpr int kProtectedDevices = 8;

class FgdScorer : public ClassScorer {
 public:
  FgdScorer(const PodMix& typical, bool keep_empty) : typical_(typical), keep_empty_(keep_empty) {}

  void Reset(const ClusterState& view, const ScoreContext& context) override {
    mix_ = ResolveMix(view, typical_);
    context_ = context;
    fragment_.clear();
  }

  Scored Score(const Shape& shape, const NodeState& state, const ResolvedRequest& request) override {
    const double before = Fragment(shape, state);
    Scored best;
    if (request.gpu_count == 1) {
      bool is_first = true;
      for (uint32_t i = 0; i < state.device_count; ++i) {
        if (state.gpu_milli[i] < request.gpu_milli) continue;
        if (i > 0 && state.gpu_milli[i] == state.gpu_milli[i - 1]) continue;  // a device like the last one
        const double score = ScoreOf(shape, state, request, 1u << i, before);
        if (is_first || score > best.score) {
          best = {score, 1u << i, 1u << i};
          is_first = false;
        } else if (score == best.score) {
          best.equal_devices |= 1u << i;
        }
      }
    } else {
      const DevicePositions devices = TightestDevices(state, request);
      best = {ScoreOf(shape, state, request, devices, before), devices, 0};
    }
    if (keep_empty_ && state.device_count >= kProtectedDevices && state.full_devices() == state.device_count &&
        request.gpu_count < state.device_count) {
      best.score -= kKeepEmptyPenalty;
    }
    return best;
  }

 private:
  double ScoreOf(const Shape& shape, const NodeState& state, const ResolvedRequest& request, DevicePositions devices,
                 double before) {
    const NodeState after = StateAfter(state, request, devices, context_.mem_grain_bytes, context_.key_fields);
    const double x = (before - Fragment(shape, after)) / 1000;
    return std::trunc(1 / (1 + std::exp(-x)) * 100);
  }

  double Fragment(const Shape& shape, const NodeState& state) {
    if (fragment_.size() >= kMaxStates) fragment_.clear();
    const auto [it, is_new] = fragment_.try_emplace(state, 0.0);
    if (is_new) it->second = context_.has_gpus ? FgdFragment(shape, state, mix_) : CpuFragment(shape, state, mix_);
    return it->second;
  }

  const PodMix typical_;
  const bool keep_empty_;
  ScoreContext context_;
  std::vector<ResolvedMixClass> mix_;
  absl::flat_hash_map<NodeState, double> fragment_;
};

}  // namespace

std::unique_ptr<ClassScorer> MakeFgdScorer(const PodMix& typical, bool keep_empty) {
  return std::make_unique<FgdScorer>(typical, keep_empty);
}

}  // namespace berth

#include "policy/potential/potential.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "absl/container/flat_hash_map.h"
#include "policy/potential/fragment.h"

namespace berth {
namespace {

constexpr size_t kMaxStates = 100'000;

class PotentialScorer : public ClassScorer {
 public:
  explicit PotentialScorer(std::unique_ptr<Potential> potential) : potential_(std::move(potential)) {}

  void Reset(const ClusterState& view, const ScoreContext& context) override {
    context_ = context;
    values_.clear();
    potential_->Reset(view, context);
  }

  uint64_t Observe(const ClusterState& view, const Pod& pod, const ResolvedRequest& request, bool is_arrival) override {
    const PotentialVersion version = potential_->Observe(view, pod, request, is_arrival);
    if (version.values != version_.values) values_.clear();
    version_ = version;
    return uint64_t{version.values} << 32 | version.prices;
  }

  Scored Score(const Shape& shape, const NodeState& state, const ResolvedRequest& request) override {
    const double before = Value(shape, state);
    const double class_term = potential_->ClassTerm(shape, state, request);
    const auto score = [&](DevicePositions devices) {
      const NodeState after = StateAfter(state, request, devices, context_.mem_grain_bytes, context_.key_fields);
      return before - Value(shape, after) - class_term;
    };
    if (request.gpu_count != 1) {
      const DevicePositions devices = TightestDevices(state, request);
      return {score(devices), devices, 0};
    }
    Scored best;
    best.score = -std::numeric_limits<double>::infinity();
    for (uint32_t i = 0; i < state.device_count; ++i) {
      if (state.gpu_milli[i] < request.gpu_milli || (i > 0 && state.gpu_milli[i] == state.gpu_milli[i - 1])) continue;
      const double s = score(1u << i);
      if (s > best.score) best = {s, 1u << i, 0};
    }
    return best;
  }

  bool may_decline() const override { return potential_->may_decline(); }
  bool Declines(const Shape& shape, const NodeState& state, const ResolvedRequest& request, DevicePositions devices) override {
    return potential_->Declines(shape, state, StateAfter(state, request, devices, context_.mem_grain_bytes, context_.key_fields), request);
  }

 private:
  double Value(const Shape& shape, const NodeState& state) {
    if (!potential_->is_memoised()) return potential_->Value(shape, state) - potential_->Worth(shape, state);
    if (values_.size() >= kMaxStates) values_.clear();
    const auto [it, is_new] = values_.try_emplace(state, 0.0);
    if (is_new) it->second = potential_->Value(shape, state);
    return it->second - potential_->Worth(shape, state);
  }

  const std::unique_ptr<Potential> potential_;
  PotentialVersion version_;
  ScoreContext context_;
  absl::flat_hash_map<NodeState, double> values_;
};

// Six numbers, each times the trained form's scale of 0.3 (three of which are merged into the last).
constexpr double kScale = 0.3;
constexpr double kSqrtIdle = 1.1 * kScale;
constexpr double kSquares = 2.4 * kScale / 8;
constexpr double kNoCpu = 4 * kScale / 4;
constexpr double kSurplusCpu = 4 * kScale / 40;
constexpr double kSurplusMem = 4 * kScale / 200;
constexpr double kDead = 6 * kScale * 3;
constexpr double kCommonShare = 0.01;   // classes below this share do not save a residue from being dead
constexpr double kCpuPerGpu = 16, kMinCpuPerGpu = 8, kGibPerGpu = 64;

class StrandingPotential : public Potential {
 public:
  explicit StrandingPotential(const PodMix& mix) : typical_(mix) {}

  void Reset(const ClusterState& view, const ScoreContext& context) override {
    mix_ = ResolveMix(view, typical_);
    has_gpus_ = context.has_gpus;
  }

  double Value(const Shape& shape, const NodeState& state) override {
    if (!has_gpus_) return CpuFragment(shape, state, mix_) / 1000;
    const double idle = static_cast<double>(IdleGpuMilli(state)) / 1000;
    const double cpu = std::max(0.0, static_cast<double>(state.cpu_milli) / 1000);
    const double gib = std::max(0.0, static_cast<double>(state.mem_bytes) / static_cast<double>(int64_t{1} << 30));
    double fragment = 0, least = idle, squares = 0;
    for (const ResolvedMixClass& c : mix_) {
      const double f = static_cast<double>(ClassFragment(shape, state, c.request, true)) / 1000;
      fragment += c.weight * f;
      if (c.request.gpu_count == 1 && c.weight >= kCommonShare) least = std::min(least, f);
    }
    for (size_t i = 0; i < state.device_count; ++i) {
      const double g = std::max(0.0, static_cast<double>(state.gpu_milli[i]) / 1000);
      squares += g * g;
    }
    const auto plus = [](double x) { return std::max(0.0, x); };
    return fragment + kSqrtIdle * std::sqrt(idle) + kSquares * squares + kNoCpu * plus(idle - cpu / kMinCpuPerGpu) +
           kSurplusCpu * plus(cpu - kCpuPerGpu * idle) + kSurplusMem * plus(gib - kGibPerGpu * idle) + kDead * least;
  }

 private:
  const PodMix typical_;
  bool has_gpus_ = false;
  std::vector<ResolvedMixClass> mix_;
};

}  // namespace

std::unique_ptr<ClassScorer> MakePotentialScorer(std::unique_ptr<Potential> potential) {
  return std::make_unique<PotentialScorer>(std::move(potential));
}

std::unique_ptr<Potential> MakeStrandingPotential(const PodMix& mix) { return std::make_unique<StrandingPotential>(mix); }

}  // namespace berth

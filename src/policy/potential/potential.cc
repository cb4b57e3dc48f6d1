#include "policy/potential/potential.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "absl/container/flat_hash_map.h"
#include "absl/container/inlined_vector.h"
#include "policy/potential/fragment.h"
#include "policy/potential/mix_scan.h"

namespace berth {
namespace {

constexpr size_t kMaxStates = 100'000;

class PotentialScorer : public ClassScorer {
 public:
  explicit PotentialScorer(std::unique_ptr<Potential> potential) : potential_(std::move(potential)) {}

  void Reset(const ClusterState& view, const ScoreContext& context) override {
    context_ = context;
    Forget();
    potential_->Reset(view, context);
  }

  ScoreVersion Observe(const ClusterState& view, const Pod& pod, const ResolvedRequest& request, bool is_arrival) override {
    const ScoreVersion version = potential_->Observe(view, pod, request, is_arrival);
    if (version.values != version_.values) Forget();
    version_ = version;
    return version;
  }

  Scored Score(const Shape& shape, const NodeState& state, const ResolvedRequest& request) override {
    const double before = Value(shape, state) - potential_->Worth(shape, state);
    Scored best;
    best.score = -std::numeric_limits<double>::infinity();
    ForEachAfter(state, request, [&](DevicePositions devices, const NodeState& after) {
      const double score = before - (Value(shape, after) - potential_->Worth(shape, after));
      if (score > best.score) best = {score, devices, 0};
    });
    return best;
  }

  std::unique_ptr<RowMemo> NewRowMemo() const override { return potential_->has_prices() ? std::make_unique<Memo>() : nullptr; }

  double RowScore(const ScoredClass& at, const ResolvedRequest& request, bool is_known, RowMemo* memo) override {
    const double before = ValueOf(at);
    double best = -std::numeric_limits<double>::infinity();
    if (memo == nullptr) {
      ForEachAfter(at.state, request, [&](DevicePositions, const NodeState& after) { best = std::max(best, before - Value(at.shape, after)); });
      return best;
    }
    auto& afters = static_cast<Memo*>(memo)->afters;
    if (afters.size() <= at.slot) afters.resize(2 * (at.slot + size_t{1}));
    auto& of_slot = afters[at.slot];
    if (!is_known) {
      of_slot.clear();
      ForEachAfter(at.state, request, [&](DevicePositions, const NodeState& after) { of_slot.push_back({Value(at.shape, after), potential_->PricedStateOf(at.shape, after)}); });
    }
    for (const Priced& after : of_slot) best = std::max(best, before - (after.value - potential_->WorthOf(after.seen)));
    return best;
  }

  bool may_decline() const override { return potential_->may_decline(); }
  bool Declines(const Shape& shape, const NodeState& state, const ResolvedRequest& request, DevicePositions devices) override {
    return potential_->Declines(shape, state, StateAfter(state, request, devices, context_.mem_grain_bytes, context_.key_fields), request);
  }

 private:
  // What of a state's potential no prices change.
  struct Priced {
    double value = 0;
    PricedState seen;
  };
  struct Memo : RowMemo {
    std::vector<absl::InlinedVector<Priced, 1>> afters;   // by slot: of the states after a placement there
  };
  // A class that the cluster has, shared by all rows.
  struct Known : Priced {
    uint64_t uid = 0;
    double priced = 0;       // value less worth
    uint32_t prices = 0;     // of the version of `priced`
  };

  void Forget() {
    values_.clear();
    known_.clear();
  }

  // Calls visit(devices, state after) for every distinct choice of devices, the tightest first.
  template <class Visit>
  void ForEachAfter(const NodeState& state, const ResolvedRequest& request, Visit&& visit) const {
    const auto after = [&](DevicePositions devices) { visit(devices, StateAfter(state, request, devices, context_.mem_grain_bytes, context_.key_fields)); };
    if (request.gpu_count != 1) return after(TightestDevices(state, request));
    for (uint32_t i = 0; i < state.device_count; ++i) {
      if (state.gpu_milli[i] >= request.gpu_milli && (i == 0 || state.gpu_milli[i] != state.gpu_milli[i - 1])) after(1u << i);
    }
  }

  double Value(const Shape& shape, const NodeState& state) {
    if (!potential_->is_memoised()) return potential_->Value(shape, state);
    if (values_.size() >= kMaxStates) values_.clear();
    const auto [it, is_new] = values_.try_emplace(state, 0.0);
    if (is_new) it->second = potential_->Value(shape, state);
    return it->second;
  }

  double ValueOf(const ScoredClass& at) {
    if (known_.size() <= at.slot) known_.resize(2 * (at.slot + size_t{1}));
    Known& known = known_[at.slot];
    const bool is_known = known.uid == at.uid;
    if (is_known && known.prices == version_.prices) return known.priced;
    if (!is_known) {
      known.uid = at.uid;
      known.value = Value(at.shape, at.state);
      known.seen = potential_->PricedStateOf(at.shape, at.state);
    }
    known.prices = version_.prices;
    known.priced = known.value - potential_->WorthOf(known.seen);
    return known.priced;
  }

  const std::unique_ptr<Potential> potential_;
  ScoreVersion version_;
  ScoreContext context_;
  absl::flat_hash_map<NodeState, double> values_;
  std::vector<Known> known_;   // by slot
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
    has_gpus_ = context.has_gpus;
    mix_ = ResolveMix(view, typical_);
    scan_.Reset(view, typical_);
    common_.clear();
    for (size_t i = 0; i < scan_.size(); ++i) {
      if (scan_.gpu_count(i) == 1 && scan_.weight(i) >= kCommonShare) common_.push_back(static_cast<uint32_t>(i));
    }
  }

  // With GPUs three states of four are new, and a value costs less than to look for it.
  bool is_memoised() const override { return !has_gpus_; }
  double Value(const Shape& shape, const NodeState& state) override {
    if (!has_gpus_) return CpuFragment(shape, state, mix_) / 1000;
    const double idle = static_cast<double>(IdleGpuMilli(state)) / 1000;
    const double cpu = std::max(0.0, static_cast<double>(state.cpu_milli) / 1000);
    const double gib = std::max(0.0, static_cast<double>(state.mem_bytes) / static_cast<double>(int64_t{1} << 30));
    const auto [fragment, least] = scan_.ExpectedFragment(shape, state, common_);
    double squares = 0;
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
  MixScan scan_;                    // of the same mix
  std::vector<uint32_t> common_;    // classes that save a residue from being dead
};

}  // namespace

std::unique_ptr<ClassScorer> MakePotentialScorer(std::unique_ptr<Potential> potential) {
  return std::make_unique<PotentialScorer>(std::move(potential));
}

std::unique_ptr<Potential> MakeStrandingPotential(const PodMix& mix) { return std::make_unique<StrandingPotential>(mix); }

}  // namespace berth

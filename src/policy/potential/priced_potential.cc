#include "policy/potential/priced_potential.h"

#include <algorithm>
#include <optional>

#include "absl/container/flat_hash_map.h"
#include "base/log.h"
#include "base/status.h"
#include "fmt/format.h"

namespace berth {
namespace {

constexpr int64_t kFirstArrivals = 16;   // a learned mix is looked at after 16, 32, 64, ... arrivals and at each solve
constexpr double kRounding = 1e-9;       // a pod that costs just what it is worth is not declined
constexpr size_t kMaxClasses = 4096;     // of a learned mix; more are not told apart from each other's absence

// Classes of the arrivals so far.
class MixCounter {
 public:
  void Add(const Pod& pod, const ResolvedRequest& request) {
    ++arrivals_;
    ResolvedRequest key = request;
    key.exit_class = 0;   // how long its pods live is learned too, and makes no class of its own
    if (counts_.size() >= kMaxClasses && !counts_.contains(key)) return;
    auto [it, is_new] = counts_.try_emplace(key, mix_.size());
    if (is_new) mix_.push_back({pod.request, 0});
    mix_[it->second].weight += 1;
  }
  const PodMix& mix() const { return mix_; }
  int64_t arrivals() const { return arrivals_; }

 private:
  absl::flat_hash_map<ResolvedRequest, size_t> counts_;
  PodMix mix_;
  int64_t arrivals_ = 0;
};

class PricedPotential : public Potential {
 public:
  PricedPotential(PotentialFactory factory, PodMix mix, const PricedOptions& options)
      : factory_(std::move(factory)), options_(options), given_mix_(options.learns_mix ? PodMix() : std::move(mix)), inner_(factory_(given_mix_)) {}

  void Reset(const ClusterState& view, const ScoreContext& context) override {
    context_ = context;
    inner_->Reset(view, context);
    if (!options_.learns_mix) MakePrices(view, given_mix_);
    else if (counter_.arrivals() > 0) MakePrices(view, counter_.mix());
    asked_since_ = 0;
    is_due_ = true;
  }

  PotentialVersion Observe(const ClusterState& view, const Pod& pod, const ResolvedRequest& request, bool is_arrival) override {
    if (options_.beta > 0 && view.has_gpus()) {
      if (view.used_gpu_milli() < last_used_gpu_milli_) has_departures_ = true;
      last_used_gpu_milli_ = view.used_gpu_milli();
      if (is_arrival) {
        asked_gpu_milli_ += request.total_gpu_milli();
        asked_since_ += request.total_gpu_milli();
        if (options_.learns_mix) counter_.Add(pod, request);
      }
      const auto capacity = static_cast<double>(view.total_gpu_milli());
      const bool is_learning = options_.learns_mix && counter_.arrivals() >= next_look_;
      if (is_due_ || is_learning || static_cast<double>(asked_since_) >= options_.period * capacity) Solve(view, capacity);
    }
    const PotentialVersion inner = inner_->Observe(view, pod, request, is_arrival);
    return {version_.values + inner.values, version_.prices + inner.prices};
  }

  double Value(const Shape& shape, const NodeState& state) override { return inner_->Value(shape, state); }
  double ClassTerm(const Shape& shape, const NodeState& before, const ResolvedRequest& request) override {
    return inner_->ClassTerm(shape, before, request);
  }
  bool is_memoised() const override { return inner_->is_memoised(); }
  bool may_decline() const override { return options_.refusal_margin.has_value(); }
  bool Declines(const Shape& shape, const NodeState& before, const NodeState& after, const ResolvedRequest& request) const override {
    if (!options_.refusal_margin || !prices_ || request.gpu_count == 0) return false;
    const double cost = prices_->Value(shape, before) - prices_->Value(shape, after);
    return cost > (1 + *options_.refusal_margin) * static_cast<double>(request.total_gpu_milli()) / kWholeGpuMilli + kRounding;
  }
  double Worth(const Shape& shape, const NodeState& state) const override { return prices_ ? options_.beta * prices_->Value(shape, state) : 0; }

 private:
  void MakePrices(const ClusterState& view, const PodMix& mix) { prices_.emplace(options_.prices, view, ResolveMix(view, mix)); }

  void Solve(const ClusterState& view, double capacity) {
    if (options_.learns_mix) {
      if (counter_.arrivals() < kFirstArrivals) return;
      next_look_ = std::max(2 * counter_.arrivals(), kFirstArrivals);
      inner_ = factory_(counter_.mix());
      inner_->Reset(view, context_);
      MakePrices(view, counter_.mix());   // the classes are others now; nothing of the old columns would hold
      ++version_.values;
    }
    is_due_ = false;
    asked_since_ = 0;
    // A decider that starts on a full cluster has seen nothing arrive, and one whose pods leave sees ever more arrive.
    const auto used = static_cast<double>(view.used_gpu_milli());
    const double asked = has_departures_ ? used : std::max(static_cast<double>(asked_gpu_milli_), used);
    const double to_come = std::max(options_.least_to_come, options_.horizon - asked / capacity) * capacity / 1000;
    if (const absl::Status status = prices_->Solve(view, to_come); !status.ok()) LogWarning("prices were not solved and stay as they were: {}", MessageOf(status));
    ++version_.prices;
  }

  const PotentialFactory factory_;
  const PricedOptions options_;
  const PodMix given_mix_;
  std::unique_ptr<Potential> inner_;
  ScoreContext context_;
  std::optional<Prices> prices_;
  MixCounter counter_;
  PotentialVersion version_;
  int64_t asked_gpu_milli_ = 0, asked_since_ = 0, last_used_gpu_milli_ = 0;
  bool has_departures_ = false;
  int64_t next_look_ = kFirstArrivals;
  bool is_due_ = true;
};

}  // namespace

absl::Status ValidatePricedOptions(const PricedOptions& o) {
  const auto check = [](std::string_view name, double value, double low, double high) -> absl::Status {
    if (value >= low && value <= high) return absl::OkStatus();
    return InvalidField(fmt::format("prices {}", name), fmt::format("{}", value), fmt::format("a number from {} to {}", low, high));
  };
  absl::Status first;
  VisitPricedFields(o, [&](std::string_view name, double value, double low, double high) {
    if (first.ok()) first = check(name, value, low, high);
  });
  if (first.ok() && o.refusal_margin) first = check("refusal_margin", *o.refusal_margin, -1, 1000);
  return first;
}

std::unique_ptr<Potential> MakePricedPotential(PotentialFactory inner, PodMix mix, const PricedOptions& options) {
  return std::make_unique<PricedPotential>(std::move(inner), std::move(mix), options);
}

}  // namespace berth

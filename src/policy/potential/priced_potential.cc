#include "policy/potential/priced_potential.h"

#include <algorithm>
#include <optional>

#include "absl/container/flat_hash_map.h"
#include "base/clock.h"
#include "base/status.h"
#include "fmt/format.h"
#include "policy/potential/price_worker.h"
#include "policy/potential/prices.h"

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
  PricedPotential(PotentialFactory factory, PodMix mix, const PricedOptions& options, const PriceRun& run)
      : factory_(std::move(factory)), options_(options), run_(run), mix_(options.learns_mix ? PodMix() : std::move(mix)), inner_(factory_(mix_)), worker_(run_.before_solve) {}

  void Reset(const ClusterState& view, const ScoreContext& context) override {
    context_ = context;
    inner_->Reset(view, context);
    is_due_ = true;
    asked_since_ = 0;
    if (options_.learns_mix && mix_.empty()) return;
    auto classes = std::make_shared<const PriceClasses>(view, ResolveMix(view, mix_));
    // In the background the prices of before are gone on with where they mean the same: a node of a new size is no new mix.
    if (run_.in_background && table_ != nullptr && *classes == table_->classes()) return;
    StartAnew(std::move(classes));
    table_ = nullptr;
  }

  ScoreVersion Observe(const ClusterState& view, const Pod& pod, const ResolvedRequest& request, bool is_arrival) override {
    if (options_.beta > 0 && view.has_gpus()) {
      if (auto job = worker_.Take()) Finish(std::move(job));
      if (view.used_gpu_milli() < last_used_gpu_milli_) has_departures_ = true;
      last_used_gpu_milli_ = view.used_gpu_milli();
      if (is_arrival) {
        asked_gpu_milli_ += request.total_gpu_milli();
        asked_since_ += request.total_gpu_milli();
        if (options_.learns_mix) counter_.Add(pod, request);
      }
      const auto capacity = static_cast<double>(view.total_gpu_milli());
      const bool is_learning = options_.learns_mix && counter_.arrivals() >= next_look_;
      const bool is_due = is_due_ || is_learning || static_cast<double>(asked_since_) >= options_.period * capacity;
      // What falls due while a solve is under way is due when that one has ended, unless what it finds is not wanted any more.
      if (is_due && (!worker_.is_busy() || table_ == nullptr)) Solve(view, capacity);
    }
    inner_version_ = inner_->Observe(view, pod, request, is_arrival);
    return {version_.values + inner_version_.values, version_.prices + inner_version_.prices};
  }

  double Value(const Shape& shape, const NodeState& state) override { return inner_->Value(shape, state); }
  bool is_memoised() const override { return inner_->is_memoised(); }
  bool has_prices() const override { return true; }
  PricedState PricedStateOf(const Shape& shape, const NodeState& state) const override { return table_ ? table_->classes().See(shape, state) : PricedState(); }
  double WorthOf(const PricedState& state) const override { return table_ ? options_.beta * table_->Value(state) : 0; }
  bool may_decline() const override { return options_.refusal_margin.has_value(); }
  bool Declines(const Shape& shape, const NodeState& before, const NodeState& after, const ResolvedRequest& request) const override {
    if (!options_.refusal_margin || !table_ || request.gpu_count == 0) return false;
    const double cost = table_->Value(shape, before) - table_->Value(shape, after);
    return cost > (1 + *options_.refusal_margin) * static_cast<double>(request.total_gpu_milli()) / kWholeGpuMilli + kRounding;
  }

 private:
  // The classes are others now; nothing of the old columns would hold, nor what a solve under way finds.
  void StartAnew(std::shared_ptr<const PriceClasses> classes) {
    classes_ = std::move(classes);
    solver_ = std::make_unique<PriceSolver>(options_.prices, classes_);
    next_inner_ = nullptr;
  }

  void Solve(const ClusterState& view, double capacity) {
    if (options_.learns_mix) {
      if (counter_.arrivals() < kFirstArrivals) return;
      next_look_ = std::max(2 * counter_.arrivals(), kFirstArrivals);
      mix_ = counter_.mix();
      StartAnew(std::make_shared<const PriceClasses>(view, ResolveMix(view, mix_)));
      next_inner_ = factory_(mix_);
      next_inner_->Reset(view, context_);
    }
    is_due_ = false;
    asked_since_ = 0;
    // A decider that starts on a full cluster has seen nothing arrive, and one whose pods leave sees ever more arrive.
    const auto used = static_cast<double>(view.used_gpu_milli());
    const double asked = has_departures_ ? used : std::max(static_cast<double>(asked_gpu_milli_), used);
    auto job = std::make_unique<PriceWorker::Job>();
    job->solver = std::move(solver_);
    job->free = classes_->Count(view);
    job->to_come_gpus = std::max(options_.least_to_come, options_.horizon - asked / capacity) * capacity / 1000;
    job->counted_us = Clock::Real().MonotonicMicros();
    // The first prices are waited for, since there are none to go on with.
    if (run_.in_background && table_ != nullptr) job = worker_.Begin(std::move(job));
    if (job == nullptr) return;
    PriceWorker::Solve(job.get(), nullptr);
    Finish(std::move(job));
  }

  // Takes over what a solve has found.
  void Finish(std::unique_ptr<PriceWorker::Job> job) {
    if (job->solver->classes() != classes_) return;   // started anew since
    solver_ = std::move(job->solver);
    if (PriceStats* const stats = run_.stats.get()) {
      stats->solves.fetch_add(1, std::memory_order_relaxed);
      stats->failures.fetch_add(job->table.ok() ? 0 : 1, std::memory_order_relaxed);
      stats->last_solve_us.store(job->took_us, std::memory_order_relaxed);
      if (job->table.ok()) stats->counted_us.store(job->counted_us, std::memory_order_relaxed);
    }
    if (!job->table.ok()) return;
    if (next_inner_ != nullptr) {
      inner_ = std::move(next_inner_);
      version_.values += inner_version_.values;   // the new one counts from 0
      version_.prices += inner_version_.prices;
    }
    if (table_ == nullptr || &table_->classes() != classes_.get()) ++version_.values;   // prices look at states in another way
    table_ = *std::move(job->table);
    ++version_.prices;
  }

  const PotentialFactory factory_;
  const PricedOptions options_;
  const PriceRun run_;
  PodMix mix_;                                     // of `classes_`: as given, or learned when it was last looked at
  std::unique_ptr<Potential> inner_, next_inner_;  // in use; of a learned mix whose prices are being solved
  ScoreVersion version_, inner_version_;
  ScoreContext context_;
  std::shared_ptr<const PriceClasses> classes_;    // of the next solve
  std::unique_ptr<PriceSolver> solver_;            // null while the worker has it
  std::shared_ptr<const PriceTable> table_;        // in use; null: nothing is worth anything
  MixCounter counter_;
  int64_t asked_gpu_milli_ = 0, asked_since_ = 0, last_used_gpu_milli_ = 0;
  bool has_departures_ = false;
  int64_t next_look_ = kFirstArrivals;
  bool is_due_ = true;
  PriceWorker worker_;                             // last, so that its thread ends first
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

std::unique_ptr<Potential> MakePricedPotential(PotentialFactory inner, PodMix mix, const PricedOptions& options, const PriceRun& run) {
  return std::make_unique<PricedPotential>(std::move(inner), std::move(mix), options, run);
}

}  // namespace berth

#include "cli/evaluate_bound.h"

#include <algorithm>
#include <cmath>

#include "base/clock.h"
#include "base/log.h"
#include "base/status.h"
#include "fmt/format.h"

namespace berth::cli {
namespace {

const std::vector<int> kCheckpoints = {80, 90, 100, 110, 120, 130};
constexpr int kReported[] = {100, 130};

double SecondsSince(int64_t start_us) { return static_cast<double>(Clock::Real().MonotonicMicros() - start_us) / 1e6; }
std::string Digits(double x) { return std::isnan(x) ? "-" : fmt::format("{:.3f}", x); }
std::string Share(double x) { return std::isnan(x) ? "-" : fmt::format("{:.1f}", x); }
// JSON knows no NaN.
nlohmann::json OrNull(double x) { return std::isnan(x) ? nlohmann::json() : nlohmann::json(x); }

// The mean loss of each policy, percent, at one checkpoint or load.
struct Losses {
  std::vector<double> mean;
  size_t best_rule = 0;   // index; mean.size() where no policy is a rule
};

Losses LossesOf(const PolicyList& policies, size_t per_policy, const std::function<double(size_t policy, size_t run)>& loss) {
  Losses losses;
  losses.best_rule = policies.size();
  for (size_t p = 0; p < policies.size(); ++p) {
    double sum = 0;
    for (size_t i = 0; i < per_policy; ++i) sum += loss(p, i);
    losses.mean.push_back(sum / static_cast<double>(per_policy));
    const bool is_rule = policies[p]->info().kind == "rule";
    if (is_rule && (losses.best_rule == policies.size() || losses.mean[p] < losses.mean[losses.best_rule])) losses.best_rule = p;
  }
  return losses;
}

double RemovedPercent(const Losses& losses, size_t policy, double bound) {
  if (losses.best_rule == losses.mean.size()) return std::nan("");
  return AvoidableLossRemovedPercent(losses.mean[losses.best_rule], losses.mean[policy], bound);
}

// {"best_rule", "policies": [{"policy", <key>, "avoidable_loss_removed_percent"}]}
void AddShares(const PolicyList& policies, const Losses& losses, double bound, const std::string& key, nlohmann::json* json) {
  (*json)["best_rule"] = losses.best_rule < policies.size() ? nlohmann::json(policies[losses.best_rule]->info().name) : nlohmann::json();
  (*json)["policies"] = nlohmann::json::array();
  for (size_t p = 0; p < policies.size(); ++p) {
    (*json)["policies"].push_back({{"policy", policies[p]->info().name}, {key, losses.mean[p]}, {"avoidable_loss_removed_percent", OrNull(RemovedPercent(losses, p, bound))}});
    if (losses.mean[p] < bound) {
      LogWarning("{} loses less ({:.3f} %) than the bound ({:.3f} %), which is of the mean over all arrival orders, or of the long run: too few seeds, or a window too short for the lives",
                 policies[p]->info().name, losses.mean[p], bound);
    }
  }
}

LossBound MeanAt(const std::vector<FgdBound>& bounds, int checkpoint) {
  LossBound mean;
  double n = 0;
  for (const FgdBound& b : bounds) {
    if (b.arrived_percent != checkpoint) continue;
    mean.may_refuse += b.unallocated_percent.may_refuse;
    mean.no_refusal += b.unallocated_percent.no_refusal;
    n += 1;
  }
  if (n > 0) {
    mean.may_refuse /= n;
    mean.no_refusal /= n;
  }
  return mean;
}

}  // namespace

absl::StatusOr<FgdBounds> ComputeFgdBounds(const std::vector<Node>& nodes, const std::vector<PodRequest>& pods,
                                           const std::vector<FgdSequence>& sequences, const Workload& mix, const RunOptions& options) {
  const int64_t start_us = Clock::Real().MonotonicMicros();
  FgdBounds bounds;
  BERTH_ASSIGN_OR_RETURN(bounds.of_mix, BoundFgdMix(mix, kCheckpoints));
  BERTH_ASSIGN_OR_RETURN(bounds.of_sequences, BoundFgdProtocol(nodes, pods, sequences, kCheckpoints, options));
  LogInfo("bounds of {} sequences and of the mix at {} checkpoints: {:.1f} s", sequences.size(), kCheckpoints.size(), SecondsSince(start_us));
  return bounds;
}

void AddFgdBounds(const FgdBounds& bounds, const PolicyList& policies, const std::vector<FgdRun>& runs, nlohmann::json* json, Report* report) {
  const size_t per_policy = policies.empty() ? 0 : runs.size() / policies.size();
  Table table{"Bounds on unallocated GPU, %, and the share of the avoidable loss that is removed: (best rule - policy) / (best rule - bound)",
              {"policy", "at 100 % arrived", "removed, %", "at 130 %", "removed, %"}, {}};
  for (const auto& policy : policies) table.rows.push_back({policy->info().name});
  std::vector<std::string> no_refusal = {"bound: places all that fits"}, may_refuse = {"bound: may refuse"};
  std::vector<std::string> mix_no_refusal = {"bound of the mix: places all that fits"}, mix_may_refuse = {"bound of the mix: may refuse"};
  nlohmann::json checkpoints = nlohmann::json::array();
  for (const int checkpoint : kReported) {
    const LossBound bound = MeanAt(bounds.of_sequences, checkpoint), of_mix = MeanAt(bounds.of_mix, checkpoint);
    const Losses losses = LossesOf(policies, per_policy, [&](size_t p, size_t i) { return runs[p * per_policy + i].unallocated_percent_at(checkpoint); });
    nlohmann::json at{{"arrived_percent", checkpoint},
                      {"no_refusal_unallocated_percent", bound.no_refusal},
                      {"may_refuse_unallocated_percent", bound.may_refuse},
                      {"mix_no_refusal_unallocated_percent", of_mix.no_refusal},
                      {"mix_may_refuse_unallocated_percent", of_mix.may_refuse},
                      {"seeds", nlohmann::json::array()}};
    for (const FgdBound& b : bounds.of_sequences) {
      if (b.arrived_percent != checkpoint) continue;
      at["seeds"].push_back({{"seed", b.seed}, {"no_refusal_unallocated_percent", b.unallocated_percent.no_refusal}, {"may_refuse_unallocated_percent", b.unallocated_percent.may_refuse}});
    }
    AddShares(policies, losses, bound.no_refusal, "unallocated_percent", &at);
    checkpoints.push_back(std::move(at));
    for (size_t p = 0; p < policies.size(); ++p) {
      table.rows[p].push_back(Digits(losses.mean[p]));
      table.rows[p].push_back(Share(RemovedPercent(losses, p, bound.no_refusal)));
    }
    for (const auto& [row, value] : {std::pair{&no_refusal, bound.no_refusal}, std::pair{&may_refuse, bound.may_refuse},
                                     std::pair{&mix_no_refusal, of_mix.no_refusal}, std::pair{&mix_may_refuse, of_mix.may_refuse}}) {
      row->push_back(Digits(value));
      row->emplace_back();
    }
  }
  for (auto* row : {&no_refusal, &may_refuse, &mix_no_refusal, &mix_may_refuse}) table.rows.push_back(std::move(*row));
  (*json)["bound"] = {{"checkpoints", std::move(checkpoints)}};
  report->tables.push_back(std::move(table));
  if (report->plots.empty()) return;
  Series no_refusal_line{"bound", {}, {}, {}, {}, true}, may_refuse_line{"bound, may refuse", {}, {}, {}, {}, true};
  for (const int checkpoint : kCheckpoints) {
    const LossBound bound = MeanAt(bounds.of_sequences, checkpoint);
    for (auto* line : {&no_refusal_line, &may_refuse_line}) line->x.push_back(checkpoint);
    no_refusal_line.y.push_back(100 - bound.no_refusal);
    may_refuse_line.y.push_back(100 - bound.may_refuse);
  }
  report->plots[0].series.push_back(std::move(no_refusal_line));
  report->plots[0].series.push_back(std::move(may_refuse_line));
}

absl::StatusOr<std::vector<ChurnBound>> ComputeChurnBounds(const Workload& workload, const ChurnOptions& churn) {
  if (churn.env.form != Form::kLoss) return InvalidField("--form", FormName(churn.env.form), "loss with --bound: a queue rejects nothing");
  const int64_t start_us = Clock::Real().MonotonicMicros();
  const auto bounds = workload.arrivals.empty() ? BoundChurn(workload, churn.loads)
                                                : BoundRecorded(workload, churn.loads, churn.env.warmup_us, churn.env.window_us);
  if (bounds.ok()) LogInfo("bound of {}: {:.2f} s", workload.arrivals.empty() ? "the long run" : "the recorded arrivals", SecondsSince(start_us));
  return bounds;
}

void AddChurnBounds(const std::vector<ChurnBound>& bounds, const PolicyList& policies, const std::vector<ChurnRun>& runs,
                    const std::function<double(const ChurnRun&)>& rejected_percent, nlohmann::json* json, Report* report) {
  Table table{"Bounds on what is rejected, % of the hours offered, and the share of the avoidable loss that is removed: (best rule - policy) / (best rule - bound)",
              {"policy", "load", "rejected, %", "bound", "bound, may refuse", "removed, %"}, {}};
  Series line{"bound", {}, {}, {}, {}, true};
  nlohmann::json loads = nlohmann::json::array();
  std::vector<std::vector<std::vector<std::string>>> rows(policies.size());   // of each policy, by load
  for (const ChurnBound& bound : bounds) {
    std::vector<std::vector<double>> of_policy(policies.size());
    for (size_t i = 0; i < runs.size(); ++i) {
      if (runs[i].load == bound.load) of_policy[i * policies.size() / runs.size()].push_back(rejected_percent(runs[i]));
    }
    const size_t per_policy = policies.empty() ? 0 : of_policy[0].size();
    const Losses losses = LossesOf(policies, per_policy, [&](size_t p, size_t i) { return of_policy[p][i]; });
    nlohmann::json at{{"load", bound.load}, {"no_refusal_rejected_percent", bound.rejected_percent.no_refusal}, {"may_refuse_rejected_percent", bound.rejected_percent.may_refuse}};
    AddShares(policies, losses, bound.rejected_percent.no_refusal, "rejected_percent", &at);
    loads.push_back(std::move(at));
    for (size_t p = 0; p < policies.size(); ++p) {
      rows[p].push_back({policies[p]->info().name, fmt::format("{}", bound.load), Digits(losses.mean[p]), Digits(bound.rejected_percent.no_refusal),
                         Digits(bound.rejected_percent.may_refuse), Share(RemovedPercent(losses, p, bound.rejected_percent.no_refusal))});
    }
    line.x.push_back(bound.load);
    line.y.push_back(bound.rejected_percent.no_refusal);
  }
  for (auto& of_policy : rows) table.rows.insert(table.rows.end(), of_policy.begin(), of_policy.end());
  (*json)["bound"] = {{"loads", std::move(loads)}};
  report->tables.push_back(std::move(table));
  if (!report->plots.empty()) report->plots[0].series.push_back(std::move(line));
}

}  // namespace berth::cli

// The arena: what weights cost inside the environment itself, against the best of the rules on the same arrivals.
#ifndef BERTH_AGENT_ARENA_H_
#define BERTH_AGENT_ARENA_H_

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "agent/crew.h"
#include "agent/feature_table.h"
#include "env/env.h"
#include "evaluate/azure_protocol.h"
#include "evaluate/evaluate.h"

namespace berth {

// One run: the same arrivals, lives and node ranks for whoever meets it.
struct ArenaCase {
  uint64_t seed = 0;
  double load = 0;   // ignored by the static form; of a trace, hosts / need
  int mix = 0;       // which of the arena's workloads; of a trace, which of heavy_copies
  friend auto operator<=>(const ArenaCase&, const ArenaCase&) = default;
};
std::vector<ArenaCase> CrossCases(uint64_t first_seed, int seeds, const std::vector<double>& loads, int mixes = 1);

// A recorded trace instead of drawn arrivals: a case is a thinning of it on load x its need of hosts (evaluate/azure_protocol.h).
struct ArenaTrace {
  AzureTrace trace;
  AzureOptions thinning;
  std::vector<int> heavy_copies;   // at least one
};

struct ArenaOptions {
  Form form = Form::kLoss;
  int64_t warmup_us = 4 * int64_t{3'600'000'000};
  int64_t window_us = 10 * int64_t{3'600'000'000};
  bool class_weights = false;   // rollouts may be of weights with class terms, of the models in class_models()
  int jobs = 0;      // threads; 0 = one a core. The results do not depend on it
  std::vector<double> mix_weights;             // of the relative costs of each workload; empty: 1
  std::optional<PricedOptions> prices;         // what the potentials are served with
  std::shared_ptr<const ArenaTrace> trace;     // loss form, one workload
  Crew* crew = nullptr;                        // shares the runs among processes; not owned; null: all are played here
  uint8_t number = 0;                          // of this arena, the same on every rank of the crew
};

// Who plays: weights, or rules by name; both empty: the three rules that costs are relative to.
struct Players {
  std::vector<NetworkWeights> weights;
  std::vector<std::string> rules;
};

// Cost of a run, lower is better:
//   loss    rejected GPU hours, % of those offered (CPU hours on a cluster without GPUs)
//   trace   rejected core-hours, % plus rejected requests, %: the first is what is lost, by the second the fewest hosts are counted
//   queue   GPU-weighted mean wait, s (mean wait on a cluster without GPUs)
//   static  unallocated GPU, %, when 100 % has arrived, blended with 99 and 98 % to calm it and with the end of the published
//           curve, 130 % (weights 1, .3, .3, .4)
// The relative cost divides by the best of three rules (best-fit, most-allocated-gpu, fgd) on the same case, so that easy and
// hard cases weigh alike; the divisor is at least 1 % (static: 0.5 %; trace: 0.2 %) or 10 s, lest a case that no rule loses
// anything on decides alone.
// Thread-safety: none; uses `jobs` threads inside.
class Arena {
 public:
  // The workloads must outlive the arena; at least one.
  static absl::StatusOr<std::unique_ptr<Arena>> Create(std::span<const Workload> workloads, const ArenaOptions& options);

  // [weights][cases], absolute.
  absl::StatusOr<std::vector<std::vector<double>>> Costs(std::span<const NetworkWeights> weights,
                                                         std::span<const ArenaCase> cases);
  absl::StatusOr<std::vector<std::vector<double>>> RelativeCosts(std::span<const NetworkWeights> weights,
                                                                 std::span<const ArenaCase> cases);
  // The same of rules by name. Errors also: as MakePolicy.
  absl::StatusOr<std::vector<std::vector<double>>> RelativeCostsOfRules(std::span<const std::string> names, std::span<const ArenaCase> cases);
  // From here on the relative cost divides by the mean, over the given cases of a load, of what the best rule of each case costs:
  // the same number for every run of that load, which is calmer than a divisor that changes from run to run.
  absl::Status DivideByMeans(std::span<const ArenaCase> cases);
  // Absolute cost of the best rule of each case. Remembered.
  absl::StatusOr<std::vector<double>> BestRule(std::span<const ArenaCase> cases);

  // Absolute costs of a share of the runs, [player][case]; 0 where the run is not of the share.
  absl::StatusOr<std::vector<double>> PlayShare(const Players& players, std::span<const ArenaCase> cases, Share share);

  // The workloads and their tables.
  const Workload& workload(int mix = 0) const { return *mixes_[static_cast<size_t>(mix)].workload; }
  FeatureTablePool& tables(int mix = 0) { return *mixes_[static_cast<size_t>(mix)].tables; }
  int mixes() const { return static_cast<int>(options_.trace ? options_.trace->heavy_copies.size() : mixes_.size()); }
  // Of the first workload: the GPU models of its nodes, sorted.
  std::vector<std::string> class_models() const;
  const ArenaOptions& options() const { return options_; }
  // Options of an environment for `load` as the arena itself makes it.
  EnvOptions EnvOptionsFor(double load) const;

 private:
  struct Mix {
    const Workload* workload = nullptr;
    PolicyList rules;
    bool has_gpus = false;
    std::vector<Node> nodes;
    std::unique_ptr<FeatureTablePool> tables;
  };
  Arena(const ArenaOptions& options, std::vector<Mix> mixes) : options_(options), mixes_(std::move(mixes)) {}
  using Replicas = std::map<std::pair<uint64_t, int>, AzureReplica>;   // by seed and mix
  // Of a trace, what the cases are played on; empty without.
  absl::StatusOr<Replicas> Thin(std::span<const ArenaCase> cases) const;
  absl::StatusOr<double> Run(const Policy& policy, const ArenaCase& c, const Replicas& replicas) const;
  // All cases of a trace share its one workload.
  size_t WorkloadIndex(const ArenaCase& c) const { return options_.trace ? 0 : static_cast<size_t>(c.mix); }
  const Mix& MixFor(const ArenaCase& c) const { return mixes_[WorkloadIndex(c)]; }
  // All runs, by whoever is there to play them: [player][case].
  absl::StatusOr<std::vector<std::vector<double>>> Play(Players players, std::span<const ArenaCase> cases);
  // Divides [..][cases] by what the relative cost is relative to.
  absl::Status MakeRelative(std::span<const ArenaCase> cases, std::vector<std::vector<double>>* costs);

  const ArenaOptions options_;
  const std::vector<Mix> mixes_;
  std::map<ArenaCase, double> best_rule_;
  std::map<std::pair<double, int>, double> divisors_;   // by load and mix; empty: each case its own
};

// What another rank answers to a task of kind kCosts.
absl::StatusOr<std::string> AnswerCosts(Arena& arena, std::string_view task, Share share);

}  // namespace berth

#endif  // BERTH_AGENT_ARENA_H_

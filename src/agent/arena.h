// The arena: what weights cost inside the environment itself, against the best of the rules on the same arrivals.
#ifndef BERTH_AGENT_ARENA_H_
#define BERTH_AGENT_ARENA_H_

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "agent/feature_table.h"
#include "env/env.h"
#include "evaluate/evaluate.h"

namespace berth {

// One run: the same arrivals, lives and node ranks for whoever meets it.
struct ArenaCase {
  uint64_t seed = 0;
  double load = 0;   // ignored by the static form
  friend auto operator<=>(const ArenaCase&, const ArenaCase&) = default;
};
std::vector<ArenaCase> CrossCases(uint64_t first_seed, int seeds, const std::vector<double>& loads);

struct ArenaOptions {
  Form form = Form::kLoss;
  int64_t warmup_us = 4 * int64_t{3'600'000'000};
  int64_t window_us = 10 * int64_t{3'600'000'000};
  bool class_weights = false;   // rollouts may be of weights with class terms, of the models in class_models()
  int jobs = 0;      // threads; 0 = one a core. The results do not depend on it
};

// Cost of a run, lower is better:
//   loss    rejected GPU hours, % of those offered (CPU hours on a cluster without GPUs)
//   queue   GPU-weighted mean wait, s (mean wait on a cluster without GPUs)
//   static  unallocated GPU, %, when 100 % has arrived, blended with 99 and 98 % (weights 1, .3, .3) to calm it
// The relative cost divides by the best of three rules (best-fit, most-allocated-gpu, fgd) on the same case, so that easy and
// hard cases weigh alike; the divisor is at least 1 % (static: 0.5 %) or 10 s, lest a case that no rule loses
// anything on decides alone.
// Thread-safety: none; uses `jobs` threads inside.
class Arena {
 public:
  // `workload` must outlive the arena.
  static absl::StatusOr<std::unique_ptr<Arena>> Create(const Workload& workload, const ArenaOptions& options);

  // [weights][cases], absolute.
  absl::StatusOr<std::vector<std::vector<double>>> Costs(std::span<const NetworkWeights> weights,
                                                         std::span<const ArenaCase> cases);
  absl::StatusOr<std::vector<std::vector<double>>> RelativeCosts(std::span<const NetworkWeights> weights,
                                                                 std::span<const ArenaCase> cases);
  // The same of rules by name. Errors also: as MakePolicy.
  absl::StatusOr<std::vector<std::vector<double>>> RelativeCostsOfRules(std::span<const std::string> names, std::span<const ArenaCase> cases);
  // Absolute cost of the best rule of each case. Remembered.
  absl::StatusOr<std::vector<double>> BestRule(std::span<const ArenaCase> cases);

  const Workload& workload() const { return workload_; }
  // GPU models of the workload's nodes, sorted; and the pods that the class terms are of.
  const std::vector<std::string>& class_models() const { return class_models_; }
  const PodMix& typical_pods() const { return typical_; }
  const ArenaOptions& options() const { return options_; }
  FeatureTablePool& tables() { return tables_; }
  // Options of an environment for `load` as the arena itself makes it.
  EnvOptions EnvOptionsFor(double load) const;

 private:
  Arena(const Workload& workload, const ArenaOptions& options, PolicyList rules);
  absl::StatusOr<double> Run(const Policy& policy, const ArenaCase& c) const;
  // Divides [..][cases] by what the relative cost is relative to.
  absl::Status MakeRelative(std::span<const ArenaCase> cases, std::vector<std::vector<double>>* costs);

  const Workload& workload_;
  const ArenaOptions options_;
  const PolicyList rules_;
  const bool has_gpus_;
  const std::vector<Node> nodes_;
  const PodMix mix_, typical_;
  const std::vector<std::string> class_models_;
  FeatureTablePool tables_;
  std::map<ArenaCase, double> best_rule_;
};

}  // namespace berth

#endif  // BERTH_AGENT_ARENA_H_

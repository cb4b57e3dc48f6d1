#include "agent/training_arenas.h"

#include <utility>

#include "base/status.h"

namespace berth {

absl::StatusOr<std::unique_ptr<TrainingArenas>> MakeArenas(const TrainingPlan& plan, std::span<const Workload> workloads, int jobs, Crew* crew) {
  ArenaOptions options;
  BERTH_ASSIGN_OR_RETURN(options.form, ParseForm(plan.form));
  options.warmup_us = static_cast<int64_t>(plan.warmup_hours * 3.6e9);
  options.window_us = static_cast<int64_t>(plan.window_hours * 3.6e9);
  options.jobs = jobs;
  options.class_weights = plan.class_generations > 0 && plan.has_network();
  options.mix_weights = plan.mix_weights;
  options.prices = PricesOf(plan);
  options.crew = crew;
  if (plan.protocol == "azure") {
    auto trace = std::make_shared<ArenaTrace>();
    BERTH_ASSIGN_OR_RETURN(trace->trace, PlannedTrace(plan, &trace->thinning));
    trace->heavy_copies = plan.heavy_copies;
    options.trace = std::move(trace);
  }
  auto arenas = std::make_unique<TrainingArenas>();
  BERTH_ASSIGN_OR_RETURN(arenas->whole, Arena::Create(workloads, options));
  if (plan.rollout_nodes > 0 && plan.has_network()) {
    for (const Workload& w : workloads) {
      BERTH_ASSIGN_OR_RETURN(arenas->scaled.emplace_back(), ScaleNodes(w, plan.rollout_nodes));
    }
    options.number = 1;
    BERTH_ASSIGN_OR_RETURN(arenas->smaller, Arena::Create(arenas->scaled, options));
  }
  return arenas;
}

}  // namespace berth

// What a training plan is played on, the same on every rank.
#ifndef BERTH_AGENT_TRAINING_ARENAS_H_
#define BERTH_AGENT_TRAINING_ARENAS_H_

#include <memory>
#include <span>
#include <vector>

#include "absl/status/statusor.h"
#include "agent/arena.h"
#include "agent/training_plan.h"

namespace berth {

struct TrainingArenas {
  std::unique_ptr<Arena> whole;      // evolution, validation, gate
  std::vector<Workload> scaled;      // what rollouts play on, where they are smaller (TrainingPlan::rollout_nodes)
  std::unique_ptr<Arena> smaller;    // null: there too they play on the whole

  Arena& rollouts() { return smaller != nullptr ? *smaller : *whole; }
  // As ArenaOptions::number counts them; null: there is none.
  Arena* numbered(uint8_t number) { return number == 0 ? whole.get() : number == 1 ? smaller.get() : nullptr; }
};

// `workloads` = PlannedWorkloads(plan); must outlive the arenas. `crew` null: one process. Errors: as Arena::Create, ScaleNodes and PlannedTrace.
absl::StatusOr<std::unique_ptr<TrainingArenas>> MakeArenas(const TrainingPlan& plan, std::span<const Workload> workloads, int jobs, Crew* crew);

}  // namespace berth

#endif  // BERTH_AGENT_TRAINING_ARENAS_H_

#include "agent/worker.h"

#include <memory>
#include <string>
#include <vector>

#include "agent/crew.h"
#include "agent/rollout.h"
#include "agent/training_arenas.h"
#include "base/log.h"
#include "base/status.h"
#include "nlohmann/json.hpp"

namespace berth {
namespace {

class Worker {
 public:
  Worker(Share share, int jobs) : share_(share), jobs_(jobs) {}

  absl::StatusOr<std::string> Answer(TaskKind kind, std::string_view task) {
    if (kind == TaskKind::kPlan) return TakePlan(task);
    // Both kinds of task begin with the number of their arena.
    Arena* const arena = arenas_ == nullptr || task.empty() ? nullptr : arenas_->numbered(static_cast<uint8_t>(task[0]));
    if (arena == nullptr) return absl::InternalError("a task before the plan, or for an arena that the plan has not");
    if (kind == TaskKind::kCosts) return AnswerCosts(*arena, task, share_);
    if (kind == TaskKind::kRollouts) return AnswerRollouts(*arena, task, share_);
    return absl::InternalError("a task of a kind that this version does not know");
  }

 private:
  absl::StatusOr<std::string> TakePlan(std::string_view text) {
    const nlohmann::json json = nlohmann::json::parse(text, nullptr, false);
    if (!json.is_object()) return absl::InternalError("a plan that is no JSON object");
    BERTH_ASSIGN_OR_RETURN(const TrainingPlan plan, PlanFromJson(json));
    arenas_.reset();
    BERTH_ASSIGN_OR_RETURN(workloads_, PlannedWorkloads(plan));
    BERTH_ASSIGN_OR_RETURN(arenas_, MakeArenas(plan, workloads_, jobs_, nullptr));
    LogInfo("rank {} of {}: ready", share_.index, share_.of);
    return std::string();
  }

  const Share share_;
  const int jobs_;
  std::vector<Workload> workloads_;
  std::unique_ptr<TrainingArenas> arenas_;
};

}  // namespace

absl::Status WorkFor(ProcessGroup* group, int jobs) {
  Worker worker({static_cast<size_t>(group->rank()), static_cast<size_t>(group->size())}, jobs);
  return Serve(group, [&](TaskKind kind, std::string_view task) { return worker.Answer(kind, task); });
}

}  // namespace berth

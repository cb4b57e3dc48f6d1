// The work of a run shared among its processes. Rank 0 leads: it alone keeps the state of training, learns, and writes. What takes the
// time, costs of weights (arena.h) and rollouts (rollout.h), are pure functions of what they are asked, so every rank does its share of
// them and rank 0 puts the answers together. A run is thus bit-identical on any number of processes of machines alike
// (docs/decisions/0010).
#ifndef BERTH_AGENT_CREW_H_
#define BERTH_AGENT_CREW_H_

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "agent/process_group.h"

namespace berth {

// Which part of a list a process does: the entries i with i % of == index.
struct Share {
  size_t index = 0, of = 1;
  bool has(size_t i) const { return i % of == index; }
};

enum class TaskKind : uint8_t {
  kEnd,        // text: why, empty = all is done
  kPlan,       // JSON of the training plan
  kCosts,      // Arena::Costs
  kRollouts,   // Collect
};

// The leader's side. Not thread-safe. The group must outlive it.
class Crew {
 public:
  explicit Crew(ProcessGroup* group) : group_(*group) {}
  size_t size() const { return static_cast<size_t>(group_.size()); }

  // Every rank answers the task; `own` is rank 0's answer, worked out meanwhile. Returns the answers by rank.
  // Errors: of the ranks, with the rank's number; UNAVAILABLE as ProcessGroup.
  absl::StatusOr<std::vector<std::string>> Ask(TaskKind kind, const std::string& task, const std::function<absl::StatusOr<std::string>()>& own);
  // The others end, with an error where `status` is one. To be called once, at last; nothing follows.
  void End(const absl::Status& status);

 private:
  ProcessGroup& group_;
};

// The other side: answers tasks until the leader ends. Errors: UNAVAILABLE the leader is gone; ABORTED it ended with an error.
absl::Status Serve(ProcessGroup* group, const std::function<absl::StatusOr<std::string>(TaskKind kind, std::string_view task)>& answer);

}  // namespace berth

#endif  // BERTH_AGENT_CREW_H_

// A training run: evolution of the linear weights, then the network on top: imitation, a critic, PPO, evolution of its last layer; a
// checkpoint between updates; at the end the keep-best gate decides what is shipped.
//
// Seeds: training arrivals from 20,001 (and a million further for each next seed), validation from 7,001, the gate from
// 7,101, the final test from 101. They never meet.
#ifndef BERTH_AGENT_TRAINER_H_
#define BERTH_AGENT_TRAINER_H_

#include <memory>
#include <span>
#include <string>

#include "absl/status/statusor.h"
#include "agent/arena.h"
#include "agent/crew.h"
#include "agent/evolution.h"
#include "agent/gate.h"
#include "agent/learner.h"
#include "agent/rollout.h"
#include "agent/training_log.h"
#include "agent/training_plan.h"
#include "evaluate/statistics.h"

namespace berth {

struct TrainerOptions {
  std::string run_dir;              // checkpoints, train.jsonl, event files
  std::string resume_dir;           // empty = a new run
  int64_t steps = 0;                // stop after this many updates in all, counted from the start of the run; 0 = the plan's end
  int checkpoint_every = 10;        // updates
  int jobs = 0;                     // threads for the environments; the result does not depend on it
  bool is_quiet = false;
  Crew* crew = nullptr;             // of rank 0, the only one to have a trainer; null: one process
};

struct Outcome {
  // "teacher", "evolution", "imitation", "ppo" or "network-evolution"; "rule <name>" where the best of RulesToBeat was not beaten.
  std::string shipped;
  NetworkWeights weights;
  std::vector<GateResult> gate;
  std::vector<std::string> mixes;   // names, as GateResult::by_mix counts them
  int64_t updates = 0;
  bool is_rule() const { return shipped.starts_with("rule "); }
};

// Not thread-safe. Errors: as the environment; INVALID_ARGUMENT a resumed checkpoint of another plan; INTERNAL LibTorch.
class Trainer {
 public:
  // `workloads` = the plan's and its mixes, scaled; must outlive the trainer.
  static absl::StatusOr<std::unique_ptr<Trainer>> Create(std::span<const Workload> workloads, const TrainingPlan& plan, const TrainerOptions& options);
  virtual ~Trainer() = default;
  // Runs updates up to the end (or options.steps), writing checkpoints. After an error the last checkpoint is whole.
  virtual absl::Status Run() = 0;
  // The gate. Only after Run.
  virtual absl::StatusOr<Outcome> Finish() = 0;
};

}  // namespace berth

#endif  // BERTH_AGENT_TRAINER_H_

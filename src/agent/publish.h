// The end of a training run: what was trained is measured against the rules on seeds that nobody trained on, and published.
#ifndef BERTH_AGENT_PUBLISH_H_
#define BERTH_AGENT_PUBLISH_H_

#include <string>

#include "absl/status/statusor.h"
#include "agent/trainer.h"
#include "nlohmann/json.hpp"

namespace berth {

struct PublishOptions {
  std::string root;          // models go to <root>/<name>/<version>
  std::string name;
  std::string command;       // for the manifest: how to train this again
  int jobs = 0;
  bool is_quiet = false;
};

struct Published {
  std::string dir;           // empty where a rule won: nothing is published then
  int64_t version = 0;       // the first that is free
  nlohmann::json metrics;    // as in the manifest
  std::string table;         // for people: the model and the rules, and the paired differences
};

// Errors: as WriteModelDir and the environment.
absl::StatusOr<Published> Publish(const Workload& workload, const TrainingPlan& plan, const Outcome& outcome, const PublishOptions& options);

}  // namespace berth

#endif  // BERTH_AGENT_PUBLISH_H_

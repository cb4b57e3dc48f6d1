// The record of a training run: one JSON object a line (train.jsonl) and the same numbers as a TensorBoard event file.
#ifndef BERTH_AGENT_TRAINING_LOG_H_
#define BERTH_AGENT_TRAINING_LOG_H_

#include <fstream>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "agent/event_file.h"
#include "nlohmann/json.hpp"

namespace berth {

// Not thread-safe.
class TrainingLog {
 public:
  // Appends to what is in `dir`, as a resumed run wants it. Errors: FAILED_PRECONDITION a file can't be made.
  static absl::StatusOr<std::unique_ptr<TrainingLog>> Open(const std::string& dir);
  // `fields`: a flat object. Numbers become scalars "<stage>/<key>"; all of it becomes a line {"stage", "step", …}.
  void Write(const std::string& stage, int64_t step, const nlohmann::json& fields);

 private:
  TrainingLog(std::ofstream lines, std::unique_ptr<EventFile> events) : lines_(std::move(lines)), events_(std::move(events)) {}
  std::ofstream lines_;
  std::unique_ptr<EventFile> events_;
};

}  // namespace berth

#endif  // BERTH_AGENT_TRAINING_LOG_H_

#include "agent/training_log.h"

#include <filesystem>

#include "base/clock.h"
#include "base/status.h"

namespace berth {
namespace {

double WallSeconds() { return static_cast<double>(Clock::Real().UnixMicros()) / 1e6; }

}  // namespace

absl::StatusOr<std::unique_ptr<TrainingLog>> TrainingLog::Open(const std::string& dir) {
  std::error_code error;
  std::filesystem::create_directories(dir, error);
  std::ofstream lines(std::filesystem::path(dir) / "train.jsonl", std::ios::app);
  if (error || !lines) return absl::FailedPreconditionError("the training log can't be made");
  BERTH_ASSIGN_OR_RETURN(auto events, EventFile::Create(dir, WallSeconds()));
  return std::unique_ptr<TrainingLog>(new TrainingLog(std::move(lines), std::move(events)));
}

void TrainingLog::Write(const std::string& stage, int64_t step, const nlohmann::json& fields) {
  nlohmann::json line{{"stage", stage}, {"step", step}};
  line.update(fields);
  lines_ << line.dump() << "\n" << std::flush;
  for (const auto& [key, value] : fields.items()) {
    if (value.is_number()) events_->Scalar(stage + "/" + key, step, value.get<double>(), WallSeconds());
  }
}

}  // namespace berth

#include "mdp/solve_options.h"

#include <cmath>

#include "absl/strings/str_cat.h"
#include "mdp/criterion.h"

namespace berth::mdp {

const char* StopReasonName(StopReason reason) {
  switch (reason) {
    case StopReason::kConverged:
      return "converged";
    case StopReason::kIterationLimit:
      return "iteration limit";
    case StopReason::kPrecisionLimit:
      return "precision limit";
    case StopReason::kCancelled:
      return "cancelled";
    case StopReason::kTimeLimit:
      return "time limit";
  }
  return "unknown";
}

const char* CriterionName(CriterionKind kind) {
  switch (kind) {
    case CriterionKind::kDiscounted:
      return "discounted";
    case CriterionKind::kAverage:
      return "average";
    case CriterionKind::kTotal:
      return "total";
    case CriterionKind::kFinite:
      return "finite";
  }
  return "unknown";
}

absl::Status ValidateOptions(const SolveOptions& options) {
  const auto invalid = [](const char* field, auto value, const char* accepted) {
    return absl::InvalidArgumentError(absl::StrCat(field, " is ", value, ", accepted: ", accepted));
  };
  if (!std::isfinite(options.tolerance) || options.tolerance < 0) {
    return invalid("tolerance", options.tolerance, "a finite number >= 0");
  }
  if (options.max_sweeps < 1) return invalid("max_sweeps", options.max_sweeps, "at least 1");
  if (options.certificate_interval < 1) {
    return invalid("certificate_interval", options.certificate_interval, "at least 1");
  }
  if (options.anderson_depth < 0 || options.anderson_depth > 50) {
    return invalid("anderson_depth", options.anderson_depth, "0 to 50");
  }
  if (!(options.aperiodicity > 0 && options.aperiodicity < 1)) {
    return invalid("aperiodicity", options.aperiodicity, "above 0 and below 1");
  }
  return absl::OkStatus();
}

}  // namespace berth::mdp

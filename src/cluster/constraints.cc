#include "cluster/constraints.h"

#include <algorithm>

namespace berth {

std::string_view ConstraintName(Constraint constraint) {
  switch (constraint) {
    case Constraint::kUnschedulable: return "unschedulable";
    case Constraint::kTaint: return "taint";
    case Constraint::kSelector: return "selector";
    case Constraint::kGpuModel: return "gpu_model";
    case Constraint::kPodSlots: return "pod_slots";
    case Constraint::kCpu: return "cpu";
    case Constraint::kMemory: return "memory";
    case Constraint::kGpu: return "gpu";
    case Constraint::kExtended: return "extended";
    case Constraint::kPolicy: return "policy";
  }
  return "unknown";
}

bool ToleratesTaints(std::span<const Taint> taints, std::span<const Toleration> tolerations) {
  return std::all_of(taints.begin(), taints.end(), [&](const Taint& taint) {
    if (taint.effect == TaintEffect::kPreferNoSchedule) return true;
    return std::any_of(tolerations.begin(), tolerations.end(), [&](const Toleration& t) {
      if (t.effect && *t.effect != taint.effect) return false;
      if (t.key.empty()) return t.exists;
      return t.key == taint.key && (t.exists || t.value == taint.value);
    });
  });
}

bool MatchesSelector(std::span<const LabelMatch> labels, std::span<const LabelMatch> selector) {
  return std::all_of(selector.begin(), selector.end(), [&](const LabelMatch& wanted) {
    return std::find(labels.begin(), labels.end(), wanted) != labels.end();
  });
}

}  // namespace berth

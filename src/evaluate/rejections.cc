#include "evaluate/rejections.h"

#include <functional>
#include <map>

#include "workload/summary.h"

namespace berth {
namespace {

std::vector<RejectionSummary> Summaries(std::span<const ChurnRun> runs, const std::function<int(uint32_t)>& group_of,
                                        const std::function<std::string(int)>& name_of) {
  std::map<int, RejectionSummary> groups;
  for (const ChurnRun& run : runs) {
    for (uint32_t c = 0; c < run.stats.class_arrived.size(); ++c) {
      if (run.stats.class_arrived[c] == 0) continue;
      RejectionSummary& group = groups[group_of(c)];
      group.arrived += run.stats.class_arrived[c];
      group.rejected += run.stats.class_rejected[c];
      group.declined += run.stats.class_declined[c];
    }
  }
  std::vector<RejectionSummary> summaries;
  for (auto& [index, group] : groups) {
    group.name = name_of(index);
    summaries.push_back(std::move(group));
  }
  return summaries;
}

}  // namespace

std::vector<RejectionSummary> RejectionsByClass(const Workload& workload, std::span<const ChurnRun> runs) {
  return Summaries(runs, [](uint32_t c) { return static_cast<int>(c); },
                   [&](int c) { return workload.pod_classes[static_cast<size_t>(c)].name; });
}

std::vector<RejectionSummary> RejectionsByKind(const Workload& workload, std::span<const ChurnRun> runs) {
  return Summaries(runs, [&](uint32_t c) { return PodKindIndex(workload.pod_classes[c].request); }, PodKindName);
}

}  // namespace berth

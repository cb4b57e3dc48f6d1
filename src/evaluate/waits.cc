#include "evaluate/waits.h"

#include <functional>
#include <map>
#include <numeric>

#include "workload/summary.h"

namespace berth {
namespace {

struct Group {
  std::vector<double> waits_s;
  double gpus = 0;
};

std::vector<WaitSummary> Summaries(std::span<const ChurnRun> runs, const std::function<int(uint32_t)>& group_of,
                                   const std::function<std::string(int)>& name_of) {
  std::map<int, Group> groups;
  for (const ChurnRun& run : runs) {
    for (size_t i = 0; i < run.stats.waits_s.size(); ++i) {
      Group& group = groups[group_of(run.stats.wait_class[i])];
      group.waits_s.push_back(static_cast<double>(run.stats.waits_s[i]));
      group.gpus += static_cast<double>(run.stats.wait_gpus[i]);
    }
  }
  std::vector<WaitSummary> summaries;
  for (auto& [index, group] : groups) {
    const auto pods = static_cast<double>(group.waits_s.size());
    WaitSummary s;
    s.name = name_of(index);
    s.pods = static_cast<int64_t>(group.waits_s.size());
    s.gpus = group.gpus / pods;
    s.mean_s = std::accumulate(group.waits_s.begin(), group.waits_s.end(), 0.0) / pods;
    s.p50_s = Quantile(group.waits_s, 0.5);
    s.p90_s = Quantile(group.waits_s, 0.9);
    s.p99_s = Quantile(group.waits_s, 0.99);
    summaries.push_back(std::move(s));
  }
  return summaries;
}

}  // namespace

std::vector<WaitSummary> WaitsByClass(const Workload& workload, std::span<const ChurnRun> runs) {
  return Summaries(runs, [](uint32_t c) { return static_cast<int>(c); },
                   [&](int c) { return workload.pod_classes[static_cast<size_t>(c)].name; });
}

std::vector<WaitSummary> WaitsByKind(const Workload& workload, std::span<const ChurnRun> runs) {
  return Summaries(runs, [&](uint32_t c) { return PodKindIndex(workload.pod_classes[c].request); }, PodKindName);
}

}  // namespace berth

#include "workload/summary.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <map>
#include <queue>
#include <utility>

#include "base/status.h"
#include "fmt/format.h"

namespace berth {
namespace {

constexpr double kGib = static_cast<double>(int64_t{1} << 30);

Amounts Of(const PodRequest& r) {
  return {static_cast<double>(r.cpu_milli) / 1000, static_cast<double>(r.mem_bytes) / kGib,
          static_cast<double>(r.total_gpu_milli()) / kWholeGpuMilli};
}

Amounts Of(const Node& n) {
  return {static_cast<double>(n.cpu_milli) / 1000, static_cast<double>(n.mem_bytes) / kGib, static_cast<double>(n.gpu_count)};
}

void Add(Amounts* sum, const Amounts& more, double times) {
  sum->cpus += times * more.cpus;
  sum->memory_gib += times * more.memory_gib;
  sum->gpus += times * more.gpus;
}

bool HaveOneShape(const Node& a, const Node& b) {
  return a.cpu_milli == b.cpu_milli && a.mem_bytes == b.mem_bytes && a.gpu_count == b.gpu_count && a.gpu_model == b.gpu_model;
}

// Exact sums of what runs, so that the peak of a long trace carries no rounding.
struct Running {
  int64_t cpu_milli = 0, gpu_milli = 0;
  __int128 mem_bytes = 0;
  int64_t pods = 0;

  void Change(const PodRequest& r, int sign) {
    cpu_milli += sign * r.cpu_milli;
    mem_bytes += static_cast<__int128>(sign) * r.mem_bytes;
    gpu_milli += sign * r.total_gpu_milli();
    pods += sign;
  }
};

void SummariseArrivals(const Workload& workload, WorkloadSummary* summary) {
  using Departure = std::pair<int64_t, uint32_t>;
  std::priority_queue<Departure, std::vector<Departure>, std::greater<>> departures;
  Running now, peak;
  for (const Arrival& a : workload.arrivals) {
    for (; !departures.empty() && departures.top().first <= a.time_us; departures.pop()) {
      now.Change(workload.pod_classes[departures.top().second].request, -1);
    }
    now.Change(workload.pod_classes[a.pod_class].request, 1);
    peak.cpu_milli = std::max(peak.cpu_milli, now.cpu_milli);
    peak.mem_bytes = std::max(peak.mem_bytes, now.mem_bytes);
    peak.gpu_milli = std::max(peak.gpu_milli, now.gpu_milli);
    peak.pods = std::max(peak.pods, now.pods);
    if (a.life_us != kForever) departures.emplace(a.time_us + a.life_us, a.pod_class);
  }
  summary->arrivals = workload.arrivals.size();
  summary->span_s = static_cast<double>(workload.arrivals.back().time_us - workload.arrivals.front().time_us) / 1e6;
  summary->peak_pods = peak.pods;
  summary->peak = {static_cast<double>(peak.cpu_milli) / 1000, static_cast<double>(peak.mem_bytes) / kGib,
                   static_cast<double>(peak.gpu_milli) / kWholeGpuMilli};
}

}  // namespace

int PodKindIndex(const PodRequest& r) {
  if (r.gpu_count == 0) return 0;
  return r.gpu_count == 1 && r.gpu_milli < kWholeGpuMilli ? 1 : r.gpu_count + 1;
}

std::string PodKindName(int kind) {
  if (kind == 0) return "cpu only";
  return kind == 1 ? "shared gpu" : fmt::format("{} gpu", kind - 1);
}

WorkloadSummary Summarise(const Workload& workload) {
  WorkloadSummary summary;
  for (const NodeGroup& group : workload.node_groups) {
    summary.nodes += group.count;
    Add(&summary.capacity, Of(group.node), group.count);
    const auto it = std::find_if(summary.shapes.begin(), summary.shapes.end(),
                                 [&](const NodeShape& s) { return HaveOneShape(s.node, group.node); });
    if (it == summary.shapes.end()) summary.shapes.push_back({group.node, group.count});
    else it->count += group.count;
  }
  summary.pod_classes = workload.pod_classes.size();
  std::map<int, PodKind> kinds;
  Amounts work;   // request x life, of an arrival
  double ending = 0;
  for (const PodClass& c : workload.pod_classes) {
    const Amounts request = Of(c.request);
    Add(&summary.mean_request, request, c.share);
    PodKind& kind = kinds[PodKindIndex(c.request)];
    kind.pods_percent += 100 * c.share;
    kind.gpu_demand_percent += 100 * c.share * request.gpus;
    // As ArrivalRatePerS: pods that never end count with an hour.
    const bool is_ending = c.lifetime.kind != Lifetime::Kind::kUnlimited;
    const double life_s = is_ending ? c.lifetime.mean_s : 3600;
    Add(&work, request, c.share * life_s);
    if (!is_ending) continue;
    ending += c.share;
    summary.mean_life_s += c.share * life_s;
  }
  if (ending > 0) summary.mean_life_s /= ending;
  for (auto& [kind, entry] : kinds) {
    if (entry.pods_percent <= 0) continue;
    entry.name = PodKindName(kind);
    if (summary.mean_request.gpus > 0) entry.gpu_demand_percent /= summary.mean_request.gpus;
    summary.kinds.push_back(entry);
  }
  summary.load_resource = LoadResourceOf(workload);
  summary.arrivals_per_s_at_load_1 = ArrivalRatePerS(workload, 1);
  const auto over = [&](double demand, double capacity) {
    return capacity > 0 ? summary.arrivals_per_s_at_load_1 * demand / capacity : 0;
  };
  summary.tightness = {over(work.cpus, summary.capacity.cpus), over(work.memory_gib, summary.capacity.memory_gib),
                       over(work.gpus, summary.capacity.gpus)};
  if (!workload.arrivals.empty()) SummariseArrivals(workload, &summary);
  return summary;
}

absl::StatusOr<Workload> RecordArrivals(const Workload& workload, double load, uint64_t seed, double hours) {
  if (!workload.arrivals.empty()) {
    return InvalidField("workload", workload.name, "a workload without recorded arrivals");
  }
  if (!(load > 0 && load <= 10)) return InvalidField("load", fmt::format("{}", load), "a number above 0 up to 10");
  if (!(hours > 0 && hours <= 1e6)) return InvalidField("hours", fmt::format("{}", hours), "a number above 0 up to 1e6");
  const auto end_us = static_cast<int64_t>(hours * 3.6e9);
  Workload recorded = workload;
  const auto stream = MakeArrivalStream(workload, load, seed);
  for (Arrival a; stream->Next(&a) && a.time_us <= end_us;) {
    if (recorded.arrivals.size() == static_cast<size_t>(kMaxRecordedArrivals)) {
      return absl::ResourceExhaustedError(
          fmt::format("hours is {}: more than {} arrivals by hour {:.3g}", hours, kMaxRecordedArrivals,
                      static_cast<double>(a.time_us) / 3.6e9));
    }
    recorded.arrivals.push_back(a);
  }
  if (recorded.arrivals.empty()) {
    return InvalidField("hours", fmt::format("{}", hours),
                        fmt::format("enough for an arrival: one comes every {:.3g} s", 1 / std::max(1e-300, ArrivalRatePerS(workload, load))));
  }
  return recorded;
}

}  // namespace berth

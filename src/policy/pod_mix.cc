#include "policy/pod_mix.h"

#include <algorithm>
#include <map>
#include <tuple>

namespace berth {
namespace {

constexpr double kCoverage = 0.95, kCoverageWithoutGpus = 0.995;

}  // namespace

PodMix TypicalPods(const PodMix& mix, double coverage, bool ignore_memory) {
  using Key = std::tuple<int64_t, int64_t, int32_t, std::vector<std::string>, int64_t>;
  std::map<Key, double> count;
  double total = 0;
  for (const MixClass& c : mix) {
    const PodRequest& r = c.request;
    count[{r.cpu_milli, r.gpu_milli, r.gpu_count, r.gpu_models, ignore_memory ? 0 : r.mem_bytes}] += c.weight;
    total += c.weight;
  }
  std::vector<std::pair<Key, double>> sorted(count.begin(), count.end());
  std::sort(sorted.begin(), sorted.end(), [](const auto& a, const auto& b) {
    return a.second != b.second ? a.second > b.second : a.first > b.first;
  });
  PodMix typical;
  double prefix = 0;
  for (const auto& [key, weight] : sorted) {
    if (total <= 0 || prefix / total >= coverage) break;
    MixClass c;
    std::tie(c.request.cpu_milli, std::ignore, c.request.gpu_count, c.request.gpu_models, c.request.mem_bytes) = key;
    c.request.gpu_milli = static_cast<int32_t>(std::get<1>(key));
    c.weight = weight;
    prefix += weight;
    typical.push_back(c);
  }
  for (MixClass& c : typical) c.weight = (c.weight / total) / (prefix / total);
  return typical;
}

bool HasGpus(const PodMix& mix) {
  return std::any_of(mix.begin(), mix.end(), [](const MixClass& c) { return c.request.gpu_count > 0; });
}

PodMix TypicalPods(const PodMix& mix) {
  if (HasGpus(mix)) return TypicalPods(mix, kCoverage, false);
  PodMix by_cpu = mix;
  for (MixClass& c : by_cpu) c.weight *= static_cast<double>(std::max<int64_t>(1, c.request.cpu_milli));
  return TypicalPods(by_cpu, kCoverageWithoutGpus, false);
}

PodMix TypicalPodsOfFgd(const PodMix& mix) {
  return HasGpus(mix) ? TypicalPods(mix, kCoverage, true) : TypicalPods(mix, kCoverageWithoutGpus, false);
}

}  // namespace berth

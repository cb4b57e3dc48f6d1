// The mix of pods that a fragmentation measure or a potential looks ahead to.
#ifndef BERTH_POLICY_POD_MIX_H_
#define BERTH_POLICY_POD_MIX_H_

#include <vector>

#include "cluster/pod.h"

namespace berth {

struct MixClass {
  PodRequest request;
  double weight = 0;   // any scale
};
using PodMix = std::vector<MixClass>;

// The "typical pods" of FGD (Weng et al., USENIX ATC 2023; traces-and-quality protocol): equal specs are counted together,
// sorted by count (ties: larger cpu, GPU milli, GPU count, models first), cut to the shortest prefix with at least
// `coverage` of the weight, renormalised to sum 1 as (count / total) / (prefix / total). With `ignore_memory`, specs differ
// only in cpu, GPU and models, and memory is 0 in the result. Extended resources are dropped.
PodMix TypicalPods(const PodMix& mix, double coverage, bool ignore_memory);

bool HasGpus(const PodMix& mix);
// What models and `stranding` look ahead to: the typical pods with their memory, at FGD's coverage of 0.95. In a mix without GPUs
// a class weighs its share times its cpu, and 0.995 are covered: the few large machines hold a great part of the memory.
PodMix TypicalPods(const PodMix& mix);
// What FGD looks ahead to: 0.95 without memory, as published. The published rule is for GPUs; without any, 0.995 with memory.
PodMix TypicalPodsOfFgd(const PodMix& mix);

}  // namespace berth

#endif  // BERTH_POLICY_POD_MIX_H_

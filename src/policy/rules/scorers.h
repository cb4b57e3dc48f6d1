// The scores of the class rules. Each states its formula and source in its PolicyInfo (see registry.cc); all numbers are
// those of the named source, truncations and constants included.
#ifndef BERTH_POLICY_RULES_SCORERS_H_
#define BERTH_POLICY_RULES_SCORERS_H_

#include <memory>

#include "policy/class_policy.h"
#include "policy/pod_mix.h"

namespace berth {

// Pods equal, device by the tightest fit; with `any_device` every device that fits is as good as another.
std::unique_ptr<ClassScorer> MakeConstantScorer(bool any_device);
// int(100 (1 - (0.5 (c - cp) / 128000 + 0.5 (G - gp) / 8000))); on clusters without GPUs the same form over cpu and memory
// shares of the node.
std::unique_ptr<ClassScorer> MakeBestFitScorer();
// int(100 (1 - (c/128000 cp/128000 + G/8000 gp/8000) / 2)); without GPUs over cpu and memory shares.
std::unique_ptr<ClassScorer> MakeDotProdScorer();
std::unique_ptr<ClassScorer> MakeGpuPackingScorer();
// Needs key field gpu_affinity.
std::unique_ptr<ClassScorer> MakeGpuClusteringScorer();
// Mean of used share after placement x 100, integer per resource as kube-scheduler: cpu and memory, or GPU only.
std::unique_ptr<ClassScorer> MakeMostAllocatedScorer(bool gpu_only);
// kube-scheduler's default: LeastAllocated + BalancedAllocation over cpu and memory.
std::unique_ptr<ClassScorer> MakeKubernetesDefaultScorer();
// kube-scheduler's RequestedToCapacityRatio with shape 0 -> 0, 100 -> 10, over cpu and memory.
std::unique_ptr<ClassScorer> MakeRequestedToCapacityRatioScorer();
// -(mean used share of cpu, memory and GPU before placement).
std::unique_ptr<ClassScorer> MakeMinimumUsageScorer();
// -(pods on the node). Needs key field pod_count.
std::unique_ptr<ClassScorer> MakeFewestPodsScorer();
// Fragmentation gradient descent; `mix` = typical pods. With `keep_empty`, a node with all of eight or more devices free is
// opened by a smaller pod only if nothing else fits.
std::unique_ptr<ClassScorer> MakeFgdScorer(const PodMix& typical, bool keep_empty);

}  // namespace berth

#endif  // BERTH_POLICY_RULES_SCORERS_H_

#include <algorithm>
#include <cmath>

#include "policy/rules/scorers.h"

namespace berth {
namespace {

// Normalisation of the published runs (FGD simulator): the largest node of the cluster.
constexpr double kNormCpuMilli = 128000;
constexpr double kNormGpuMilli = 8000;
// kube-scheduler scores a pod without a request as if it asked for this much (pkg/scheduler/util/pod_resources.go).
constexpr int64_t kDefaultCpuMilli = 100;
constexpr int64_t kDefaultMemBytes = int64_t{200} << 20;

Scored Tightest(double score, const NodeState& state, const ResolvedRequest& request) {
  return {score, TightestDevices(state, request), 0};
}

double Share(int64_t part, int64_t whole) {
  return whole <= 0 ? 0 : static_cast<double>(part) / static_cast<double>(whole);
}

class ConstantScorer : public ClassScorer {
 public:
  explicit ConstantScorer(bool any_device) : any_device_(any_device) {}
  Scored Score(const Shape&, const NodeState& state, const ResolvedRequest& request) override {
    Scored scored = Tightest(0, state, request);
    if (any_device_ && request.gpu_count == 1) {
      for (uint32_t i = 0; i < state.device_count; ++i) {
        if (state.gpu_milli[i] >= request.gpu_milli) scored.equal_devices |= 1u << i;
      }
    }
    return scored;
  }

 private:
  const bool any_device_;
};

class BestFitScorer : public ClassScorer {
 public:
  void Reset(const ClusterState&, const ScoreContext& context) override { has_gpus_ = context.has_gpus; }
  Scored Score(const Shape& shape, const NodeState& state, const ResolvedRequest& request) override {
    double left = 0;
    if (has_gpus_) {
      left = 0.5 * static_cast<double>(state.cpu_milli - request.cpu_milli) / kNormCpuMilli +
             0.5 * static_cast<double>(state.free_gpu_milli() - request.total_gpu_milli()) / kNormGpuMilli;
    } else {
      left = 0.5 * Share(state.cpu_milli - request.cpu_milli, shape.cpu_milli) +
             0.5 * Share(state.mem_bytes - request.mem_bytes, shape.mem_bytes);
    }
    return Tightest(std::trunc(100 * (1 - left)), state, request);
  }

 private:
  bool has_gpus_ = false;
};

class DotProdScorer : public ClassScorer {
 public:
  void Reset(const ClusterState&, const ScoreContext& context) override { has_gpus_ = context.has_gpus; }
  Scored Score(const Shape& shape, const NodeState& state, const ResolvedRequest& request) override {
    double product = 0;
    if (has_gpus_) {
      product = static_cast<double>(state.cpu_milli) / kNormCpuMilli * (static_cast<double>(request.cpu_milli) / kNormCpuMilli) +
                static_cast<double>(state.free_gpu_milli()) / kNormGpuMilli *
                    (static_cast<double>(request.total_gpu_milli()) / kNormGpuMilli);
    } else {
      product = Share(state.cpu_milli, shape.cpu_milli) * Share(request.cpu_milli, shape.cpu_milli) +
                Share(state.mem_bytes, shape.mem_bytes) * Share(request.mem_bytes, shape.mem_bytes);
    }
    return Tightest(std::trunc(100 * (1 - product / 2)), state, request);
  }

 private:
  bool has_gpus_ = false;
};

class GpuPackingScorer : public ClassScorer {
 public:
  Scored Score(const Shape&, const NodeState& state, const ResolvedRequest& request) override {
    if (request.gpu_count == 0) return {0, 0, 0};
    const int n = state.device_count;
    const DevicePositions devices = TightestDevices(state, request);
    if (state.full_devices() == n) return {static_cast<double>(std::max(33 - n, n)), devices, 0};
    int full = 0, free_percent = 0;
    for (DevicePositions bits = devices; bits != 0; bits &= bits - 1) {
      const int free = state.gpu_milli[static_cast<size_t>(__builtin_ctz(bits))];
      if (free >= kWholeGpuMilli) ++full;
      free_percent += free * 100 / kWholeGpuMilli;
    }
    const int score = full > 0 ? std::max(50 - full, 33) : std::max(100 - free_percent / 10, 50);
    return {static_cast<double>(score), devices, 0};
  }
};

class GpuClusteringScorer : public ClassScorer {
 public:
  Scored Score(const Shape&, const NodeState& state, const ResolvedRequest& request) override {
    const int affinity = AffinityIndex(request.gpu_count, request.gpu_milli);
    if (affinity < 0) return {0, 0, 0};
    const uint32_t own = 1u << affinity;
    int64_t score = 25 * (8000 - state.free_gpu_milli()) / 8000;
    if (state.gpu_affinity == own) score += 75;
    else if ((state.gpu_affinity & own) != 0) score += 50;
    else if (state.gpu_affinity == 0) score += 25;
    return Tightest(static_cast<double>(score), state, request);
  }
};

int64_t UsedPercentAfter(int64_t capacity, int64_t free, int64_t wanted) {
  const int64_t used = capacity - free + wanted;
  return capacity <= 0 || used > capacity ? 0 : used * 100 / capacity;
}

class MostAllocatedScorer : public ClassScorer {
 public:
  explicit MostAllocatedScorer(bool gpu_only) : gpu_only_(gpu_only) {}
  Scored Score(const Shape& shape, const NodeState& state, const ResolvedRequest& request) override {
    int64_t score = 0;
    if (gpu_only_) {
      score = UsedPercentAfter(shape.total_gpu_milli(), state.free_gpu_milli(), request.total_gpu_milli());
    } else {
      score = (UsedPercentAfter(shape.cpu_milli, state.cpu_milli, request.cpu_milli ? request.cpu_milli : kDefaultCpuMilli) +
               UsedPercentAfter(shape.mem_bytes, state.mem_bytes, request.mem_bytes ? request.mem_bytes : kDefaultMemBytes)) / 2;
    }
    return Tightest(static_cast<double>(score), state, request);
  }

 private:
  const bool gpu_only_;
};

class KubernetesDefaultScorer : public ClassScorer {
 public:
  Scored Score(const Shape& shape, const NodeState& state, const ResolvedRequest& request) override {
    const int64_t cpu = request.cpu_milli ? request.cpu_milli : kDefaultCpuMilli;
    const int64_t mem = request.mem_bytes ? request.mem_bytes : kDefaultMemBytes;
    const auto least = [](int64_t capacity, int64_t free, int64_t wanted) -> int64_t {
      return capacity <= 0 || wanted > free ? 0 : (free - wanted) * 100 / capacity;
    };
    const int64_t least_allocated = (least(shape.cpu_milli, state.cpu_milli, cpu) + least(shape.mem_bytes, state.mem_bytes, mem)) / 2;
    const double f1 = std::min(1.0, Share(shape.cpu_milli - state.cpu_milli + cpu, shape.cpu_milli));
    const double f2 = std::min(1.0, Share(shape.mem_bytes - state.mem_bytes + mem, shape.mem_bytes));
    const auto balanced = static_cast<int64_t>((1 - std::abs(f1 - f2) / 2) * 100);
    return Tightest(static_cast<double>(least_allocated + balanced), state, request);
  }
};

class RequestedToCapacityRatioScorer : public ClassScorer {
 public:
  Scored Score(const Shape& shape, const NodeState& state, const ResolvedRequest& request) override {
    int64_t sum = 0, weight = 0;
    const auto add = [&](int64_t capacity, int64_t free, int64_t wanted) {
      // The shape's line from (0, 0) to (100, 100): the score of a utilisation is that utilisation.
      const int64_t used = capacity - free + wanted;
      const int64_t score = capacity <= 0 || used > capacity ? 100 : used * 100 / capacity;
      if (score > 0) {
        sum += score;
        ++weight;
      }
    };
    add(shape.cpu_milli, state.cpu_milli, request.cpu_milli ? request.cpu_milli : kDefaultCpuMilli);
    add(shape.mem_bytes, state.mem_bytes, request.mem_bytes ? request.mem_bytes : kDefaultMemBytes);
    const double score = weight == 0 ? 0 : std::round(static_cast<double>(sum) / static_cast<double>(weight));
    return Tightest(score, state, request);
  }
};

class MinimumUsageScorer : public ClassScorer {
 public:
  Scored Score(const Shape& shape, const NodeState& state, const ResolvedRequest& request) override {
    double used = 0, resources = 0;
    const auto add = [&](int64_t capacity, int64_t free) {
      if (capacity <= 0) return;
      used += Share(capacity - free, capacity);
      ++resources;
    };
    add(shape.cpu_milli, state.cpu_milli);
    add(shape.mem_bytes, state.mem_bytes);
    add(shape.total_gpu_milli(), state.free_gpu_milli());
    return Tightest(resources == 0 ? 0 : -used / resources, state, request);
  }
};

class FewestPodsScorer : public ClassScorer {
 public:
  Scored Score(const Shape&, const NodeState& state, const ResolvedRequest& request) override {
    return Tightest(-static_cast<double>(state.pod_count), state, request);
  }
};

}  // namespace

std::unique_ptr<ClassScorer> MakeConstantScorer(bool any_device) { return std::make_unique<ConstantScorer>(any_device); }
std::unique_ptr<ClassScorer> MakeBestFitScorer() { return std::make_unique<BestFitScorer>(); }
std::unique_ptr<ClassScorer> MakeDotProdScorer() { return std::make_unique<DotProdScorer>(); }
std::unique_ptr<ClassScorer> MakeGpuPackingScorer() { return std::make_unique<GpuPackingScorer>(); }
std::unique_ptr<ClassScorer> MakeGpuClusteringScorer() { return std::make_unique<GpuClusteringScorer>(); }
std::unique_ptr<ClassScorer> MakeMostAllocatedScorer(bool gpu_only) { return std::make_unique<MostAllocatedScorer>(gpu_only); }
std::unique_ptr<ClassScorer> MakeKubernetesDefaultScorer() { return std::make_unique<KubernetesDefaultScorer>(); }
std::unique_ptr<ClassScorer> MakeRequestedToCapacityRatioScorer() { return std::make_unique<RequestedToCapacityRatioScorer>(); }
std::unique_ptr<ClassScorer> MakeMinimumUsageScorer() { return std::make_unique<MinimumUsageScorer>(); }
std::unique_ptr<ClassScorer> MakeFewestPodsScorer() { return std::make_unique<FewestPodsScorer>(); }

}  // namespace berth

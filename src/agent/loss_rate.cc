#include "agent/loss_rate.h"

#include <algorithm>

namespace berth {

bool HasLossRate(const Workload& workload, Form form) { return form != Form::kQueue && workload.arrivals.empty(); }

LossRate::LossRate(const Env& env) {
  const Workload& workload = env.workload();
  const ClusterState& view = env.view();
  const LoadResource resource = LoadResourceOf(workload);
  const bool is_static = env.options().form == Form::kStatic;
  const double per_hour = is_static ? 0 : 3600 * ArrivalRatePerS(workload, env.options().load);
  const auto share = [](int64_t part, int64_t total) { return total > 0 ? static_cast<double>(part) / static_cast<double>(total) : 0; };
  for (const PodClass& c : workload.pod_classes) {
    const double demand = resource == LoadResource::kGpu   ? share(c.request.total_gpu_milli(), view.total_gpu_milli())
                          : resource == LoadResource::kCpu ? share(c.request.cpu_milli, view.total_cpu_milli())
                                                           : share(c.request.mem_bytes, view.total_mem_bytes());
    const double loss = c.share * demand * (is_static ? 1 : per_hour * c.lifetime.mean_s / 3600);
    if (loss > 0 || is_static) kinds_.push_back({.request = view.Resolve(c.request), .loss = loss, .share = c.share});
  }
}

bool LossRate::Fits(const ClusterState& view, const PodKind& kind, ClassId id) {
  const NodeState& state = view.state_class(id).state;
  return !FirstViolation(view.shape_of(state), state, kind.request);
}

double LossRate::Of(const ClusterState& view) { return Sum(view).loss; }

double LossRate::UntilNextEpoch(const ClusterState& view) {
  constexpr double kLeastFits = 1e-3;   // where next to nothing fits any more the episode ends before
  const Refused refused = Sum(view);
  return refused.loss / std::max(kLeastFits, 1 - refused.share);
}

LossRate::Refused LossRate::Sum(const ClusterState& view) {
  Refused sum;
  const auto uids = view.active_uids();
  for (PodKind& kind : kinds_) {
    // A uid stands for one state, so what fitted it fits it.
    if (kind.last_fit.is_valid() && kind.last_fit.value < uids.size() && uids[kind.last_fit.value] == kind.fit_uid) continue;
    if (kind.last_fit.is_valid()) {
      kind.sync = ClassSync();   // all classes are to be looked at
      kind.last_fit = ClassId();
    }
    kind.sync.CatchUp(view, [&](uint32_t slot) {
      if (kind.last_fit.is_valid() || uids[slot] == 0 || !Fits(view, kind, ClassId(slot))) return;
      kind.last_fit = ClassId(slot);
      kind.fit_uid = uids[slot];
    });
    if (!kind.last_fit.is_valid()) sum.loss += kind.loss, sum.share += kind.share;
  }
  return sum;
}

}  // namespace berth

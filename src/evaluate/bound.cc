#include "evaluate/bound.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "absl/container/flat_hash_map.h"
#include "base/progress.h"
#include "base/status.h"
#include "evaluate/placement_lp.h"
#include "fmt/format.h"

namespace berth {
namespace {

struct RequestHash {
  size_t operator()(const PodRequest& r) const { return absl::HashOf(r.cpu_milli, r.mem_bytes, r.gpu_count, r.gpu_milli, r.gpu_models); }
};

// Distinct requests and which one each of the given is.
struct Classes {
  std::vector<PodRequest> requests;
  std::vector<size_t> of;
};

template <class List, class Request>
Classes ClassesOf(const List& list, const Request& request) {
  Classes classes;
  absl::flat_hash_map<PodRequest, size_t, RequestHash> known;
  for (const auto& item : list) {
    const auto [it, is_new] = known.try_emplace(request(item), classes.requests.size());
    if (is_new) classes.requests.push_back(request(item));
    classes.of.push_back(it->second);
  }
  return classes;
}

double Gpus(const PodRequest& r) { return static_cast<double>(r.total_gpu_milli()) / kWholeGpuMilli; }

// The loss in percent of `whole` where at most `value` is reached. A bound below 0 says nothing.
double LossPercent(double value, double whole) { return whole > 0 ? std::max(0.0, 100 * (1 - value / whole)) : 0; }

LossBound LossOf(const PlacementBounds& bounds, double whole) {
  LossBound loss;
  loss.may_refuse = LossPercent(bounds.may_refuse.value, whole);
  loss.no_refusal = std::max(loss.may_refuse, LossPercent(bounds.no_refusal.value, whole));
  return loss;
}

// Supplies are means then: they say nothing about how many copies there are at one time.
PlacementLpOptions OfMeans() {
  PlacementLpOptions options;
  options.limit_copies = false;
  return options;
}

}  // namespace

absl::StatusOr<std::vector<FgdBound>> BoundFgdProtocol(const std::vector<Node>& nodes, const std::vector<PodRequest>& pods,
                                                       const std::vector<FgdSequence>& sequences, std::vector<int> checkpoints,
                                                       const RunOptions& options) {
  std::sort(checkpoints.begin(), checkpoints.end());
  const Classes classes = ClassesOf(pods, [](const PodRequest& r) -> const PodRequest& { return r; });
  std::vector<double> value;
  for (const PodRequest& r : classes.requests) value.push_back(Gpus(r));
  const PlacementLp empty(nodes, classes.requests);
  std::vector<FgdBound> bounds(sequences.size() * checkpoints.size());
  Progress progress("bound", static_cast<int64_t>(bounds.size()), "programs", options.is_quiet);
  BERTH_RETURN_IF_ERROR(RunParallel(sequences.size(), options.jobs, [&](size_t s) -> absl::Status {
    const FgdSequence& sequence = sequences[s];
    PlacementLp lp = empty;
    std::vector<double> supply(classes.requests.size(), 0);
    int64_t arrived_milli = 0;
    size_t next = 0;
    for (size_t c = 0; c < checkpoints.size(); ++c) {
      const double limit_milli = checkpoints[c] / 100.0 * lp.gpu_capacity() * kWholeGpuMilli;
      for (; next < sequence.pods.size(); ++next) {
        const size_t row = sequence.pods[next];
        if (row >= pods.size()) {
          return InvalidField(fmt::format("arrival row of seed {}", sequence.seed), fmt::format("{}", row), fmt::format("0 to {}", pods.size() - 1));
        }
        const int64_t milli = pods[row].total_gpu_milli();
        if (static_cast<double>(arrived_milli + milli) > limit_milli) break;
        arrived_milli += milli;
        supply[classes.of[row]] += 1;
      }
      BERTH_ASSIGN_OR_RETURN(const PlacementBounds solved, lp.Solve(supply, value, {}));
      bounds[s * checkpoints.size() + c] = {checkpoints[c], sequence.seed, LossOf(solved, lp.gpu_capacity())};
      progress.Advance(1);
    }
    return absl::OkStatus();
  }));
  return bounds;
}

absl::StatusOr<std::vector<FgdBound>> BoundFgdMix(const Workload& mix, std::vector<int> checkpoints) {
  std::sort(checkpoints.begin(), checkpoints.end());
  const Classes classes = ClassesOf(mix.pod_classes, [](const PodClass& c) -> const PodRequest& { return c.request; });
  std::vector<double> value, share(classes.requests.size(), 0);
  for (const PodRequest& r : classes.requests) value.push_back(Gpus(r));
  double gpus = 0;   // of a pod, times the sum of the shares
  for (size_t i = 0; i < mix.pod_classes.size(); ++i) {
    share[classes.of[i]] += mix.pod_classes[i].share;
    gpus += mix.pod_classes[i].share * value[classes.of[i]];
  }
  PlacementLp lp(mix.Nodes(), classes.requests);
  if (gpus <= 0 || lp.gpu_capacity() <= 0) return absl::FailedPreconditionError("there is no bound on allocated GPU: no pod asks for one, or no node has one");
  std::vector<FgdBound> bounds;
  for (const int checkpoint : checkpoints) {
    std::vector<double> supply = share;
    for (double& pods : supply) pods *= checkpoint / 100.0 * lp.gpu_capacity() / gpus;
    BERTH_ASSIGN_OR_RETURN(const PlacementBounds solved, lp.Solve(supply, value, OfMeans()));
    bounds.push_back({checkpoint, 0, LossOf(solved, lp.gpu_capacity())});
  }
  return bounds;
}

absl::StatusOr<std::vector<ChurnBound>> BoundChurn(const Workload& workload, std::span<const double> loads) {
  if (!workload.arrivals.empty()) return absl::FailedPreconditionError("there is no fluid bound where arrivals are recorded: it is of the long run");
  const bool has_gpus = LoadResourceOf(workload) == LoadResource::kGpu;
  const Classes classes = ClassesOf(workload.pod_classes, [](const PodClass& c) -> const PodRequest& { return c.request; });
  std::vector<double> value, running(classes.requests.size(), 0);   // pods at one arrival a second
  for (const PodRequest& r : classes.requests) value.push_back(has_gpus ? Gpus(r) : static_cast<double>(r.cpu_milli) / 1000);
  double offered = 0;
  for (size_t i = 0; i < workload.pod_classes.size(); ++i) {
    const PodClass& c = workload.pod_classes[i];
    if (c.share <= 0) continue;
    if (c.lifetime.kind == Lifetime::Kind::kUnlimited) {
      return absl::FailedPreconditionError(fmt::format("there is no fluid bound: pods of class {} never end", Quoted(c.name)));
    }
    running[classes.of[i]] += c.share * c.lifetime.mean_s;
    offered += c.share * c.lifetime.mean_s * value[classes.of[i]];
  }
  if (offered <= 0) return absl::FailedPreconditionError("there is no fluid bound: the pods ask for neither GPU nor cpu");
  PlacementLp lp(workload.Nodes(), classes.requests);
  std::vector<ChurnBound> bounds;
  for (const double load : loads) {
    const double rate = ArrivalRatePerS(workload, load);
    std::vector<double> supply = running;
    for (double& pods : supply) pods *= rate;
    BERTH_ASSIGN_OR_RETURN(const PlacementBounds solved, lp.Solve(supply, value, OfMeans()));
    bounds.push_back({load, LossOf(solved, offered * rate)});
  }
  return bounds;
}

namespace {

// Of the pods that count: how long each class runs in each slice of time, in pod hours, if nothing is rejected.
struct Slices {
  std::vector<double> hours;                     // length of each
  std::vector<std::vector<double>> pod_hours;    // of each slice and class
};

struct Life {
  int64_t from_us, to_us;
  size_t class_index;
};

constexpr double kHourUs = 3.6e9;

Slices Slice(const std::vector<Life>& lives, size_t classes, int count) {
  std::vector<int64_t> times;
  for (const Life& life : lives) times.insert(times.end(), {life.from_us, life.to_us});
  std::sort(times.begin(), times.end());
  std::vector<int64_t> edges;
  for (int i = 0; i <= count; ++i) edges.push_back(times[(times.size() - 1) * static_cast<size_t>(i) / static_cast<size_t>(count)]);
  edges.erase(std::unique(edges.begin(), edges.end()), edges.end());
  const size_t slices = edges.size() - 1;
  // Whole slices that a pod runs through are counted where that begins and ends.
  std::vector<std::vector<double>> running(slices + 1, std::vector<double>(classes, 0));
  Slices result{{}, std::vector<std::vector<double>>(slices, std::vector<double>(classes, 0))};
  const auto slice_at = [&](int64_t us) { return static_cast<size_t>(std::upper_bound(edges.begin(), edges.end(), us) - edges.begin()) - 1; };
  const auto add = [&](size_t slice, const Life& life) {
    const int64_t us = std::min(life.to_us, edges[slice + 1]) - std::max(life.from_us, edges[slice]);
    result.pod_hours[slice][life.class_index] += static_cast<double>(us) / kHourUs;
  };
  for (const Life& life : lives) {
    const size_t first = slice_at(life.from_us), last = std::min(slice_at(life.to_us), slices - 1);
    add(first, life);
    if (last == first) continue;
    add(last, life);
    running[first + 1][life.class_index] += 1;
    running[last][life.class_index] -= 1;
  }
  for (size_t i = 0; i < slices; ++i) {
    result.hours.push_back(static_cast<double>(edges[i + 1] - edges[i]) / kHourUs);
    for (size_t k = 0; k < classes; ++k) {
      if (i > 0) running[i][k] += running[i - 1][k];
      result.pod_hours[i][k] += running[i][k] * result.hours[i];
    }
  }
  return result;
}

}  // namespace

absl::StatusOr<std::vector<ChurnBound>> BoundRecorded(const Workload& workload, std::span<const double> loads, int64_t warmup_us,
                                                      int64_t window_us, int slices) {
  const std::string none = "there is no bound on what is rejected: ";
  if (workload.arrivals.empty()) return absl::FailedPreconditionError(none + "no arrivals are recorded");
  const bool has_gpus = LoadResourceOf(workload) == LoadResource::kGpu;
  const Classes classes = ClassesOf(workload.pod_classes, [](const PodClass& c) -> const PodRequest& { return c.request; });
  std::vector<double> value;
  for (const PodRequest& r : classes.requests) value.push_back(has_gpus ? Gpus(r) : static_cast<double>(r.cpu_milli) / 1000);
  PlacementLp lp(workload.Nodes(), classes.requests);
  PlacementLpOptions of_slice = OfMeans();
  of_slice.may_refuse_only = true;
  std::vector<ChurnBound> bounds;
  for (const double load : loads) {
    std::vector<Life> lives;
    const int64_t end_us = window_us >= kForever - warmup_us ? kForever : warmup_us + window_us;
    const auto stream = MakeArrivalStream(workload, load, 0);
    for (Arrival a; stream->Next(&a) && a.time_us < end_us;) {
      if (a.time_us < warmup_us) continue;
      const int64_t life_us = a.life_us == kForever ? static_cast<int64_t>(kHourUs) : a.life_us;
      if (life_us > 0) lives.push_back({a.time_us, a.time_us + life_us, classes.of[a.pod_class]});
    }
    if (lives.empty()) return absl::FailedPreconditionError(none + "no recorded arrival counts");
    const Slices sliced = Slice(lives, classes.requests.size(), std::max(1, slices));
    double offered = 0, placed = 0;
    for (size_t i = 0; i < sliced.hours.size(); ++i) {
      std::vector<double> supply = sliced.pod_hours[i];
      for (size_t k = 0; k < supply.size(); ++k) {
        offered += supply[k] * value[k];
        supply[k] = std::max(0.0, supply[k] / sliced.hours[i]);
      }
      BERTH_ASSIGN_OR_RETURN(const PlacementBounds solved, lp.Solve(supply, value, of_slice));
      placed += solved.may_refuse.value * sliced.hours[i];
    }
    if (offered <= 0) return absl::FailedPreconditionError(none + "the pods ask for neither GPU nor cpu");
    const double lost = LossPercent(placed, offered);
    bounds.push_back({load, {lost, lost}});
  }
  return bounds;
}

double AvoidableLossRemovedPercent(double best_rule, double policy, double bound) {
  if (best_rule - bound < 1e-9) return std::numeric_limits<double>::quiet_NaN();
  return 100 * (best_rule - policy) / (best_rule - bound);
}

}  // namespace berth

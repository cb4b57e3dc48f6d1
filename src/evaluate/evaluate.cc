#include "evaluate/evaluate.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <fstream>
#include <mutex>
#include <numeric>
#include <thread>

#include "absl/container/flat_hash_map.h"
#include "base/progress.h"
#include "base/status.h"
#include "fmt/format.h"

namespace berth {
namespace {

double Percent(double part, double whole) { return whole > 0 ? 100 * part / whole : 0; }
// Half to even, as the published analysis (pandas) rounds.
double Round2(double x) { return std::nearbyint(x * 100) / 100; }

// Builds the published curve while the pods pass by.
class CurveRecorder : public PodObserver {
 public:
  explicit CurveRecorder(const Workload& workload) : workload_(workload) {}

  void OnPod(const Env& now, uint32_t pod_class, bool) override {
    const auto capacity = static_cast<double>(now.view().total_gpu_milli());
    arrived_milli_ += workload_.pod_classes[pod_class].request.total_gpu_milli();
    if (capacity <= 0) return;
    const double arrived = std::nearbyint(100 * static_cast<double>(arrived_milli_) / capacity);
    if (arrived >= kCurvePoints) return;
    const auto point = static_cast<size_t>(arrived);
    sums_[point] += Round2(100 * static_cast<double>(now.view().used_gpu_milli()) / capacity);
    ++counts_[point];
  }

  void Fill(std::array<double, kCurvePoints>* curve) const {
    double last = 0;
    for (size_t i = 0; i < kCurvePoints; ++i) {
      if (counts_[i] > 0) last = Round2(sums_[i] / static_cast<double>(counts_[i]));
      (*curve)[i] = last;
    }
  }

 private:
  const Workload& workload_;
  int64_t arrived_milli_ = 0;
  std::array<double, kCurvePoints> sums_{};
  std::array<int64_t, kCurvePoints> counts_{};
};

// Passes questions on and writes down what came of every arrival.
class RecordingDecider : public Decider {
 public:
  RecordingDecider(std::unique_ptr<Decider> inner, const std::string& path) : inner_(std::move(inner)), out_(path) { out_ << "node,devices\n"; }
  Decision Decide(const ClusterState& view, const Pod& pod, uint64_t seed, const DecideOptions& options) override {
    const Decision decision = inner_->Decide(view, pod, seed, options);
    if (!decision.is_placed) {
      out_ << ",\n";
      return decision;
    }
    out_ << view.node(decision.node).spec.name << ',';
    for (int d = 0, written = 0; d < kMaxDevices; ++d) {
      if ((decision.devices >> d & 1) != 0) out_ << (written++ > 0 ? " " : "") << d;
    }
    out_ << '\n';
    return decision;
  }
  void Miss(const ClusterState& view, const Pod& pod) override {
    inner_->Miss(view, pod);
    out_ << ",\n";
  }
  void Weigh(const ClusterState& view, const Pod& pod, uint64_t seed, std::span<const NodeId> nodes, Weighed* weighed) override {
    inner_->Weigh(view, pod, seed, nodes, weighed);
  }
  Explanation Explain(const ClusterState& view, const Pod& pod, uint64_t seed, size_t max_candidates) override {
    return inner_->Explain(view, pod, seed, max_candidates);
  }
  absl::Status Finish() {
    out_.close();
    return out_ ? absl::OkStatus() : absl::FailedPreconditionError("a record of placements can't be written");
  }

 private:
  const std::unique_ptr<Decider> inner_;
  std::ofstream out_;
};

struct PodRequestHash {
  size_t operator()(const PodRequest& r) const {
    return absl::HashOf(r.cpu_milli, r.mem_bytes, r.gpu_count, r.gpu_milli, r.gpu_models);
  }
};

}  // namespace

absl::Status RunParallel(size_t count, int jobs, const std::function<absl::Status(size_t)>& task) {
  const size_t threads = std::min<size_t>(count, jobs > 0 ? static_cast<size_t>(jobs) : std::max(1u, std::thread::hardware_concurrency()));
  std::atomic<size_t> next{0};
  std::mutex mutex;
  absl::Status first = absl::OkStatus();
  const auto work = [&] {
    for (size_t i = next++; i < count; i = next++) {
      const absl::Status status = task(i);
      if (status.ok()) continue;
      const std::lock_guard lock(mutex);
      if (first.ok()) first = status;
      next = count;
    }
  };
  std::vector<std::jthread> pool;
  for (size_t t = 1; t < threads; ++t) pool.emplace_back(work);
  work();
  pool.clear();
  return first;
}

absl::StatusOr<Workload> FgdWorkload(const std::vector<Node>& nodes, const std::vector<PodRequest>& pods, const FgdSequence& sequence) {
  Workload workload;
  workload.name = "fgd";
  for (const Node& node : nodes) workload.node_groups.push_back({node, 1});
  std::vector<uint32_t> class_of(pods.size());
  absl::flat_hash_map<PodRequest, uint32_t, PodRequestHash> classes;
  for (size_t i = 0; i < pods.size(); ++i) {
    const auto [it, is_new] = classes.try_emplace(pods[i], static_cast<uint32_t>(workload.pod_classes.size()));
    if (is_new) {
      PodClass c;
      c.name = fmt::format("class-{}", workload.pod_classes.size());
      c.request = pods[i];
      c.lifetime.kind = Lifetime::Kind::kUnlimited;
      workload.pod_classes.push_back(std::move(c));
    }
    class_of[i] = it->second;
    workload.pod_classes[it->second].share += 1.0 / static_cast<double>(pods.size());
  }
  int64_t time = 0;
  for (uint32_t row : sequence.pods) {
    if (row >= pods.size()) {
      return InvalidField(fmt::format("arrival row of seed {}", sequence.seed), fmt::format("{}", row), fmt::format("0 to {}", pods.size() - 1));
    }
    workload.arrivals.push_back({++time, class_of[row], kForever});
  }
  return workload;
}

EnvOptions FgdEnvOptions(const FgdSequence& sequence, const Policy& policy) {
  EnvOptions options;
  options.form = Form::kStatic;
  options.node_ranks = sequence.ranks;
  options.cluster.key_fields = policy.info().key_fields;
  return options;
}

absl::StatusOr<std::vector<FgdRun>> RunFgdProtocol(const std::vector<Node>& nodes, const std::vector<PodRequest>& pods,
                                                   const std::vector<FgdSequence>& sequences, const PolicyList& policies,
                                                   const RunOptions& options) {
  std::vector<Workload> workloads;
  for (const FgdSequence& sequence : sequences) {
    BERTH_ASSIGN_OR_RETURN(workloads.emplace_back(), FgdWorkload(nodes, pods, sequence));
  }
  std::vector<FgdRun> runs(sequences.size() * policies.size());
  Progress progress("fgd protocol", static_cast<int64_t>(runs.size()), "runs", options.is_quiet);
  BERTH_RETURN_IF_ERROR(RunParallel(runs.size(), options.jobs, [&](size_t i) -> absl::Status {
    const size_t p = i / sequences.size(), s = i % sequences.size();
    CurveRecorder recorder(workloads[s]);
    EnvOptions env_options = FgdEnvOptions(sequences[s], *policies[p]);
    env_options.observer = &recorder;
    BERTH_ASSIGN_OR_RETURN(auto env, Env::Create(workloads[s], env_options));
    auto decider = policies[p]->NewDecider();
    if (options.record_dir.empty()) {
      BERTH_RETURN_IF_ERROR(RunEpisode(*env, *decider, sequences[s].seed));
    } else {
      std::string name = fmt::format("{}-{}", policies[p]->info().name, sequences[s].seed);
      std::replace_if(name.begin(), name.end(), [](char c) { return c == '/' || c == ':'; }, '_');
      RecordingDecider recording(std::move(decider), fmt::format("{}/{}.csv", options.record_dir, name));
      BERTH_RETURN_IF_ERROR(RunEpisode(*env, recording, sequences[s].seed));
      BERTH_RETURN_IF_ERROR(recording.Finish());
    }
    runs[i].policy = policies[p]->info().name;
    runs[i].seed = sequences[s].seed;
    runs[i].allocated_gpu_milli = env->view().used_gpu_milli();
    runs[i].failed_pods = env->stats().rejected;
    recorder.Fill(&runs[i].curve);
    progress.Advance(1);
    return absl::OkStatus();
  }));
  return runs;
}

std::vector<FgdSequence> DrawFgdSequences(const Workload& workload, const std::vector<uint64_t>& seeds, double until, bool is_exact,
                                          std::vector<PodRequest>* pods) {
  constexpr uint64_t kOrderStream = 201, kRankStream = 202;
  constexpr size_t kMostPods = 10'000'000;
  pods->clear();
  std::vector<double> cumulative;
  double sum = 0, capacity = 0, gpus = 0;
  for (const PodClass& c : workload.pod_classes) {
    pods->push_back(c.request);
    cumulative.push_back(sum += c.share);
    gpus += c.share * static_cast<double>(c.request.total_gpu_milli());
  }
  for (const Node& node : workload.Nodes()) capacity += node.gpu_count * static_cast<double>(kWholeGpuMilli);
  std::vector<FgdSequence> sequences;
  for (uint64_t seed : seeds) {
    FgdSequence sequence;
    sequence.seed = seed;
    Rng order = Rng::Stream(seed, kOrderStream);
    if (is_exact && gpus > 0) {
      // The i-th of n pods stands at (i + 1/2)/n of the shares.
      const auto n = static_cast<size_t>(std::min(std::ceil(until * capacity / (gpus / sum)), static_cast<double>(kMostPods)));
      size_t c = 0;
      for (size_t i = 0; i < n; ++i) {
        while (c + 1 < cumulative.size() && cumulative[c] * static_cast<double>(n) <= (static_cast<double>(i) + 0.5) * sum) ++c;
        sequence.pods.push_back(static_cast<uint32_t>(c));
      }
      order.Shuffle(sequence.pods);
    }
    double arrived = 0;
    while (!is_exact && gpus > 0 && arrived < until * capacity && sequence.pods.size() < kMostPods) {
      const auto it = std::upper_bound(cumulative.begin(), cumulative.end(), order.Uniform() * sum);
      const auto c = static_cast<uint32_t>(std::min<std::ptrdiff_t>(it - cumulative.begin(), std::ssize(cumulative) - 1));
      sequence.pods.push_back(c);
      arrived += static_cast<double>((*pods)[c].total_gpu_milli());
    }
    sequence.ranks.resize(workload.node_count());
    std::iota(sequence.ranks.begin(), sequence.ranks.end(), 0u);
    Rng rank = Rng::Stream(seed, kRankStream);
    rank.Shuffle(sequence.ranks);
    sequences.push_back(std::move(sequence));
  }
  return sequences;
}

double ChurnRun::rejected_gpu_hours_percent() const { return Percent(stats.rejected_gpu_hours, stats.offered_gpu_hours); }
double ChurnRun::rejected_cpu_hours_percent() const { return Percent(stats.rejected_cpu_hours, stats.offered_cpu_hours); }
double ChurnRun::rejected_pods_percent() const { return Percent(static_cast<double>(stats.rejected), static_cast<double>(stats.arrived)); }
double ChurnRun::allocated_gpu_percent() const { return Percent(stats.allocated_gpu, stats.window_hours); }
double ChurnRun::allocated_cpu_percent() const { return Percent(stats.allocated_cpu, stats.window_hours); }
double ChurnRun::active_nodes_percent() const { return Percent(stats.active_nodes, stats.window_hours); }

double ChurnRun::wait_mean_s() const {
  double sum = 0;
  for (float w : stats.waits_s) sum += static_cast<double>(w);
  return stats.waits_s.empty() ? 0 : sum / static_cast<double>(stats.waits_s.size());
}

double ChurnRun::wait_gpu_weighted_mean_s() const {
  double sum = 0, weight = 0;
  for (size_t i = 0; i < stats.waits_s.size(); ++i) {
    sum += static_cast<double>(stats.waits_s[i]) * static_cast<double>(stats.wait_gpus[i]);
    weight += static_cast<double>(stats.wait_gpus[i]);
  }
  return weight > 0 ? sum / weight : 0;
}

double ChurnRun::wait_quantile_s(double p) const {
  std::vector<double> waits(stats.waits_s.begin(), stats.waits_s.end());
  return Quantile(waits, p);
}

absl::StatusOr<std::vector<ChurnRun>> RunChurn(const Workload& workload, const ChurnOptions& churn, const PolicyList& policies,
                                               const RunOptions& options) {
  const size_t per_policy = churn.loads.size() * churn.seeds.size();
  std::vector<ChurnRun> runs(policies.size() * per_policy);
  Progress progress("evaluate", static_cast<int64_t>(runs.size()), "runs", options.is_quiet);
  BERTH_RETURN_IF_ERROR(RunParallel(runs.size(), options.jobs, [&](size_t i) -> absl::Status {
    const Policy& policy = *policies[i / per_policy];
    ChurnRun& run = runs[i];
    run.policy = policy.info().name;
    run.load = churn.loads[i % per_policy / churn.seeds.size()];
    run.seed = churn.seeds[i % churn.seeds.size()];
    EnvOptions env_options = churn.env;
    env_options.load = run.load;
    env_options.cluster.key_fields = policy.info().key_fields;
    BERTH_ASSIGN_OR_RETURN(auto env, Env::Create(workload, env_options));
    const auto decider = policy.NewDecider();
    BERTH_RETURN_IF_ERROR(RunEpisode(*env, *decider, run.seed));
    run.stats = env->stats();
    progress.Advance(1);
    return absl::OkStatus();
  }));
  return runs;
}

std::vector<PairedDifference> PairedDifferences(const std::vector<ChurnRun>& runs,
                                                const std::function<double(const ChurnRun&)>& metric) {
  // Runs come in the order policy, load, seed; each group holds the seeds of one (policy, load).
  struct Group {
    std::string policy;
    double load;
    std::vector<double> values;
  };
  std::vector<Group> groups;
  for (const ChurnRun& run : runs) {
    if (groups.empty() || groups.back().policy != run.policy || groups.back().load != run.load) groups.push_back({run.policy, run.load, {}});
    groups.back().values.push_back(metric(run));
  }
  std::vector<PairedDifference> differences;
  for (const Group& a : groups) {
    for (const Group& b : groups) {
      if (a.load == b.load && a.policy != b.policy) {
        differences.push_back({a.policy, b.policy, a.load, PairedInterval(a.values, b.values)});
      }
    }
  }
  return differences;
}

}  // namespace berth

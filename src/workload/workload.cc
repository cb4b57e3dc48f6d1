#include "workload/workload.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "absl/container/flat_hash_set.h"
#include "base/quantity.h"
#include "base/status.h"
#include "fmt/format.h"

namespace berth {
namespace {

constexpr int64_t kMaxNodes = 1'000'000;
constexpr double kMinLifeS = 1e-6, kMaxLifeS = 1e9;   // 1 us to 31 years
constexpr double kSumIsOne = 1e-9;                    // rounding of normalised shares, and no share anybody means
constexpr double kLastTimeUs = 0x1p60 - 1024;         // of a drawn arrival: a double below kMaxTimeUs
// Purposes of a seed; see Rng::Stream.
constexpr uint64_t kArrivalStream = 1, kLifeStream = 2;

double AmountOf(const PodRequest& r, LoadResource resource) {
  switch (resource) {
    case LoadResource::kGpu: return static_cast<double>(r.total_gpu_milli());
    case LoadResource::kCpu: return static_cast<double>(r.cpu_milli);
    case LoadResource::kMemory: return static_cast<double>(r.mem_bytes);
  }
  return 0;
}

double CapacityOf(const Workload& workload, LoadResource resource) {
  double sum = 0;
  for (const NodeGroup& group : workload.node_groups) {
    const Node& n = group.node;
    sum += group.count * (resource == LoadResource::kGpu   ? n.gpu_count * static_cast<double>(kWholeGpuMilli)
                          : resource == LoadResource::kCpu ? static_cast<double>(n.cpu_milli)
                                                           : static_cast<double>(n.mem_bytes));
  }
  return sum;
}

// Mean of request x life over the arrivals; pods that never end count with an hour.
double MeanWork(const Workload& workload, LoadResource resource) {
  double sum = 0;
  for (const PodClass& c : workload.pod_classes) {
    const double life = c.lifetime.kind == Lifetime::Kind::kUnlimited ? 3600 : c.lifetime.mean_s;
    sum += c.share * AmountOf(c.request, resource) * life;
  }
  return sum;
}

// Poisson arrivals of the classes by their shares (alias method: Walker 1977, Vose 1991).
class DrawnStream : public ArrivalStream {
 public:
  DrawnStream(const Workload& workload, double load, uint64_t seed)
      : workload_(&workload), arrivals_(Rng::Stream(seed, kArrivalStream)), lives_(Rng::Stream(seed, kLifeStream)) {
    const double rate = ArrivalRatePerS(workload, load);
    mean_gap_us_ = rate > 0 ? 1e6 / rate : 1e6;
    const size_t n = workload.pod_classes.size();
    alias_.resize(n);
    std::vector<double> scaled(n);
    std::vector<uint32_t> small, large;
    for (uint32_t i = 0; i < n; ++i) {
      scaled[i] = workload.pod_classes[i].share * static_cast<double>(n);
      (scaled[i] < 1 ? small : large).push_back(i);
    }
    while (!small.empty() && !large.empty()) {
      const uint32_t s = small.back(), l = large.back();
      small.pop_back();
      alias_[s] = {scaled[s], l};
      scaled[l] -= 1 - scaled[s];
      if (scaled[l] < 1) {
        large.pop_back();
        small.push_back(l);
      }
    }
    for (uint32_t i : small) alias_[i] = {1, i};
    for (uint32_t i : large) alias_[i] = {1, i};
  }

  bool Next(Arrival* arrival) override {
    time_us_ = std::min(time_us_ + arrivals_.Exponential(mean_gap_us_), kLastTimeUs);
    arrival->time_us = static_cast<int64_t>(time_us_) + 1;
    const double at = arrivals_.Uniform() * static_cast<double>(alias_.size());
    const auto i = std::min(static_cast<size_t>(at), alias_.size() - 1);
    arrival->pod_class = at - static_cast<double>(i) < alias_[i].keep ? static_cast<uint32_t>(i) : alias_[i].other;
    arrival->life_us = workload_->pod_classes[arrival->pod_class].lifetime.DrawUs(lives_);
    return true;
  }

  std::unique_ptr<ArrivalStream> Clone() const override { return std::make_unique<DrawnStream>(*this); }

 private:
  struct Alias {
    double keep = 1;
    uint32_t other = 0;
  };
  const Workload* workload_;
  Rng arrivals_, lives_;
  double mean_gap_us_ = 1;
  double time_us_ = 0;
  std::vector<Alias> alias_;
};

class RecordedStream : public ArrivalStream {
 public:
  // Lives stay as recorded; the gaps shrink with the load.
  RecordedStream(const Workload& workload, double load) : workload_(&workload), scale_(1 / load) {}

  bool Next(Arrival* arrival) override {
    if (next_ == workload_->arrivals.size()) return false;
    *arrival = workload_->arrivals[next_++];
    if (scale_ != 1) {
      arrival->time_us =
          static_cast<int64_t>(std::min(static_cast<double>(arrival->time_us) * scale_, static_cast<double>(kMaxTimeUs)));
    }
    return true;
  }

  std::unique_ptr<ArrivalStream> Clone() const override { return std::make_unique<RecordedStream>(*this); }

 private:
  const Workload* workload_;
  double scale_;
  size_t next_ = 0;
};

std::string NameInGroup(const std::string& group, int64_t i) { return fmt::format("{}-{:04}", group, i); }

// A single node must not be called what a node of a group will be called.
absl::Status CheckNamesOfGroups(const Workload& workload) {
  std::map<std::string, int32_t> groups;
  for (const NodeGroup& group : workload.node_groups) {
    if (group.count > 1) groups.emplace(group.node.name, group.count);
  }
  for (const NodeGroup& single : workload.node_groups) {
    const std::string& name = single.node.name;
    const size_t dash = name.rfind('-');
    if (single.count > 1 || dash == std::string::npos) continue;
    const auto group = groups.find(name.substr(0, dash));
    if (group == groups.end()) continue;
    const auto number = ParseInteger("number", std::string_view(name).substr(dash + 1), 0, group->second - 1);
    if (number.ok() && NameInGroup(group->first, *number) == name) {
      return InvalidField("nodes.name", name, fmt::format("a name that no node of the group {} has", Quoted(group->first)));
    }
  }
  return absl::OkStatus();
}

}  // namespace

int64_t Lifetime::DrawUs(Rng& rng) const {
  if (kind == Kind::kUnlimited) return kForever;
  const double seconds = kind == Kind::kExponential || samples_s.empty() ? rng.Exponential(mean_s) : samples_s[rng.Below(samples_s.size())];
  return std::max<int64_t>(1, static_cast<int64_t>(seconds * 1e6));
}

size_t Workload::node_count() const {
  size_t n = 0;
  for (const NodeGroup& group : node_groups) n += static_cast<size_t>(std::max(0, group.count));
  return n;
}

std::vector<Node> Workload::Nodes() const {
  std::vector<Node> nodes;
  nodes.reserve(node_count());
  for (const NodeGroup& group : node_groups) {
    for (int32_t i = 0; i < group.count; ++i) {
      nodes.push_back(group.node);
      if (group.count > 1) nodes.back().name = NameInGroup(group.node.name, i);
    }
  }
  return nodes;
}

absl::Status FinishWorkload(Workload& workload) {
  if (workload.node_groups.empty()) return InvalidField("nodes", "none", "one group or more");
  std::set<std::string> names;
  for (const NodeGroup& group : workload.node_groups) {
    BERTH_RETURN_IF_ERROR(ValidateNode(fmt::format("nodes[{}]", Quoted(group.node.name)), group.node));
    if (group.count < 1 || group.count > kMaxNodes) {
      return InvalidField(fmt::format("nodes[{}].count", Quoted(group.node.name)), fmt::format("{}", group.count), fmt::format("1 to {}", kMaxNodes));
    }
    if (!names.insert(group.node.name).second) return InvalidField("nodes.name", group.node.name, "each name once");
  }
  BERTH_RETURN_IF_ERROR(CheckNamesOfGroups(workload));
  if (workload.node_count() > static_cast<size_t>(kMaxNodes)) {
    return InvalidField("nodes", fmt::format("{} nodes", workload.node_count()), fmt::format("up to {} in all", kMaxNodes));
  }
  if (workload.pod_classes.empty()) return InvalidField("pods", "none", "one class or more");
  const std::string lives = fmt::format("seconds from {} to {}", kMinLifeS, kMaxLifeS);
  names.clear();
  double sum = 0;
  for (PodClass& c : workload.pod_classes) {
    const std::string field = fmt::format("pods[{}]", Quoted(c.name));
    if (!names.insert(c.name).second) return InvalidField("pods.name", c.name, "each name once");
    BERTH_RETURN_IF_ERROR(ValidateRequest(field, c.request));
    if (!std::isfinite(c.share) || c.share < 0) return InvalidField(field + ".share", fmt::format("{}", c.share), "a finite number from 0");
    sum += c.share;
    Lifetime& life = c.lifetime;
    if (life.kind == Lifetime::Kind::kEmpirical) {
      if (life.samples_s.empty()) return InvalidField(field + ".lifetime.samples_s", "none", "one sample or more");
      life.mean_s = 0;
      for (double s : life.samples_s) {
        if (!(s >= kMinLifeS && s <= kMaxLifeS)) return InvalidField(field + ".lifetime.samples_s", fmt::format("{}", s), lives);
        life.mean_s += s / static_cast<double>(life.samples_s.size());
      }
    } else if (life.kind == Lifetime::Kind::kExponential && !(life.mean_s >= kMinLifeS && life.mean_s <= kMaxLifeS)) {
      return InvalidField(field + ".lifetime.mean_s", fmt::format("{}", life.mean_s), lives);
    }
  }
  if (!(sum > 0) || !std::isfinite(sum)) return InvalidField("pods.share", fmt::format("{} in all", sum), "shares that sum to a finite number above 0");
  if (std::abs(sum - 1) > kSumIsOne) {
    for (PodClass& c : workload.pod_classes) c.share /= sum;
  }
  int64_t last = 0;
  for (const Arrival& a : workload.arrivals) {
    if (a.time_us < last) return InvalidField("arrivals.time_us", fmt::format("{}", a.time_us), fmt::format("times in order, here {} or later", last));
    last = a.time_us;
    if (a.pod_class >= workload.pod_classes.size()) {
      return InvalidField("arrivals.class", fmt::format("{}", a.pod_class), fmt::format("0 to {}", workload.pod_classes.size() - 1));
    }
    if (a.life_us < 1 || (a.life_us > kMaxTimeUs && a.life_us != kForever)) {
      return InvalidField("arrivals.life_us", fmt::format("{}", a.life_us), fmt::format("1 to {}, or forever", kMaxTimeUs));
    }
  }
  if (last > kMaxTimeUs) return InvalidField("arrivals.time_us", fmt::format("{}", last), fmt::format("0 to {}", kMaxTimeUs));
  return absl::OkStatus();
}

absl::StatusOr<Workload> ScaleNodes(const Workload& workload, int64_t nodes) {
  std::set<std::string> models;
  for (const NodeGroup& group : workload.node_groups) {
    if (group.node.gpu_count > 0) models.insert(group.node.gpu_model);
  }
  const auto least = std::max<int64_t>(1, static_cast<int64_t>(models.size()));
  if (nodes < least || nodes > kMaxNodes) {
    return InvalidField("node count", fmt::format("{}", nodes), fmt::format("{} (one of every GPU model) to {}", least, kMaxNodes));
  }
  Workload scaled = workload;
  auto& groups = scaled.node_groups;
  const auto total = static_cast<double>(workload.node_count());
  std::vector<std::pair<double, size_t>> remainders;
  int64_t sum = 0;
  for (size_t i = 0; i < groups.size(); ++i) {
    const double exact = static_cast<double>(workload.node_groups[i].count) * static_cast<double>(nodes) / total;
    groups[i].count = static_cast<int32_t>(exact);
    sum += groups[i].count;
    remainders.emplace_back(exact - groups[i].count, i);
  }
  std::stable_sort(remainders.begin(), remainders.end(), [](const auto& a, const auto& b) { return a.first > b.first; });
  for (size_t k = 0; sum < nodes; ++k, ++sum) ++groups[remainders[k % remainders.size()].second].count;
  // A model without a node gets one in its most common shape, taken from the largest group that can give one without
  // leaving its own model with none.
  std::map<std::string, int64_t> of_model;
  for (const NodeGroup& g : groups) {
    if (g.node.gpu_count > 0) of_model[g.node.gpu_model] += g.count;
  }
  const auto spare = [&](const NodeGroup& g) {
    return g.node.gpu_count > 0 && of_model[g.node.gpu_model] < 2 ? 0 : g.count;
  };
  for (const std::string& model : models) {
    if (of_model[model] > 0) continue;
    size_t common = groups.size();
    for (size_t i = 0; i < groups.size(); ++i) {
      if (groups[i].node.gpu_model != model || groups[i].node.gpu_count == 0) continue;
      if (common == groups.size() || workload.node_groups[i].count > workload.node_groups[common].count) common = i;
    }
    const auto giver = std::max_element(groups.begin(), groups.end(),
                                        [&](const auto& a, const auto& b) { return spare(a) < spare(b); });
    --giver->count;
    if (giver->node.gpu_count > 0) --of_model[giver->node.gpu_model];
    ++groups[common].count;
    of_model[model] = 1;
  }
  std::erase_if(groups, [](const NodeGroup& g) { return g.count == 0; });
  BERTH_RETURN_IF_ERROR(CheckNamesOfGroups(scaled));
  return scaled;
}

LoadResource LoadResourceOf(const Workload& workload) {
  if (CapacityOf(workload, LoadResource::kGpu) > 0 && MeanWork(workload, LoadResource::kGpu) > 0) return LoadResource::kGpu;
  const auto tightness = [&](LoadResource r) {
    const double capacity = CapacityOf(workload, r);
    return capacity > 0 ? MeanWork(workload, r) / capacity : 0;
  };
  return tightness(LoadResource::kMemory) > tightness(LoadResource::kCpu) ? LoadResource::kMemory : LoadResource::kCpu;
}

double ArrivalRatePerS(const Workload& workload, double load) {
  const LoadResource resource = LoadResourceOf(workload);
  const double work = MeanWork(workload, resource);
  return work > 0 ? load * CapacityOf(workload, resource) / work : 0;
}

std::unique_ptr<ArrivalStream> MakeArrivalStream(const Workload& workload, double load, uint64_t seed) {
  if (!workload.arrivals.empty()) return std::make_unique<RecordedStream>(workload, load > 0 ? load : 1);
  return std::make_unique<DrawnStream>(workload, load, seed);
}

}  // namespace berth

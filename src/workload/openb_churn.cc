#include "workload/openb_churn.h"

#include <algorithm>
#include <map>
#include <tuple>

#include "base/status.h"
#include "fmt/format.h"
#include "workload/openb.h"

namespace berth {
namespace {

constexpr double kMeanLifeS = 3600;
constexpr double kLeastLifeS = 1, kMaxLifeS = 7200;

// Pods that share one list of lives.
using LifeKey = std::tuple<int64_t, int32_t, int32_t, std::vector<std::string>>;
using ClassKey = std::pair<LifeKey, int64_t>;

LifeKey LifeKeyOf(const PodRequest& r) { return {r.cpu_milli, r.gpu_milli, r.gpu_count, r.gpu_models}; }

bool SameShape(const Node& a, const Node& b) {
  return a.cpu_milli == b.cpu_milli && a.mem_bytes == b.mem_bytes && a.gpu_count == b.gpu_count && a.gpu_model == b.gpu_model;
}

std::vector<NodeGroup> GroupByShape(const std::vector<Node>& nodes) {
  std::vector<NodeGroup> groups;
  for (const Node& node : nodes) {
    const auto it = std::find_if(groups.begin(), groups.end(), [&](const NodeGroup& g) { return SameShape(g.node, node); });
    if (it != groups.end()) {
      ++it->count;
      continue;
    }
    groups.push_back({node, 1});
    groups.back().node.name = fmt::format("shape-{:02}", groups.size());
  }
  return groups;
}

// "cpu250" of ".../openb_pod_list_cpu250.csv"; empty for other names.
std::string ListName(std::string_view path) {
  constexpr std::string_view kHead = "openb_pod_list_", kTail = ".csv";
  std::string_view file = path.substr(path.rfind('/') + 1);
  if (!file.starts_with(kHead) || !file.ends_with(kTail) || file.size() <= kHead.size() + kTail.size()) return "";
  file.remove_prefix(kHead.size());
  file.remove_suffix(kTail.size());
  return std::string(file);
}

absl::StatusOr<std::map<LifeKey, std::vector<double>>> LivesOf(const std::vector<OpenbPod>& pods) {
  std::map<LifeKey, std::vector<double>> lives;
  for (const OpenbPod& pod : pods) {
    if (!pod.creation_s || !pod.deletion_s) {
      return InvalidField("lives", "trace", fmt::format("exponential for this pod list: {} has no creation_time or no deletion_time", Quoted(pod.name)));
    }
    lives[LifeKeyOf(pod.request)].push_back(std::clamp(static_cast<double>(*pod.deletion_s - *pod.creation_s), kLeastLifeS, kMaxLifeS));
  }
  return lives;
}

}  // namespace

absl::StatusOr<ChurnLives> ParseChurnLives(std::string_view name) {
  if (name == "exponential") return ChurnLives::kExponential;
  if (name == "trace") return ChurnLives::kTrace;
  return InvalidField("lives", name, "exponential, trace");
}

absl::StatusOr<Workload> OpenbChurnWorkload(const std::string& nodes_path, const std::string& pods_path, const OpenbChurnOptions& options) {
  BERTH_ASSIGN_OR_RETURN(const auto nodes, ReadOpenbNodes(nodes_path));
  BERTH_ASSIGN_OR_RETURN(const auto pods, ReadOpenbPods(pods_path));
  Workload workload;
  workload.name = "openb";
  if (const std::string list = ListName(pods_path); !list.empty()) workload.name += "-" + list;
  workload.node_groups = GroupByShape(nodes);
  std::map<LifeKey, std::vector<double>> lives;
  if (options.lives == ChurnLives::kTrace) {
    BERTH_ASSIGN_OR_RETURN(lives, LivesOf(pods));
    workload.name += "-trace-lives";
  }
  std::map<ClassKey, size_t> classes;
  for (const OpenbPod& pod : pods) {
    const auto [it, is_new] = classes.try_emplace({LifeKeyOf(pod.request), pod.request.mem_bytes}, workload.pod_classes.size());
    if (is_new) {
      PodClass c;
      c.name = fmt::format("class-{:03}", workload.pod_classes.size());
      c.request = pod.request;
      c.lifetime.mean_s = kMeanLifeS;
      if (options.lives == ChurnLives::kTrace) c.lifetime = {Lifetime::Kind::kEmpirical, 0, lives.at(it->first.first)};
      workload.pod_classes.push_back(std::move(c));
    }
    workload.pod_classes[it->second].share += 1;
  }
  BERTH_RETURN_IF_ERROR(FinishWorkload(workload));
  if (options.sample_nodes == 0) return workload;
  BERTH_ASSIGN_OR_RETURN(Workload sample, ScaleNodes(workload, options.sample_nodes));
  sample.name += fmt::format("-{}", options.sample_nodes);
  return sample;
}

}  // namespace berth

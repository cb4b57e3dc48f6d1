#include "evaluate/heat_map.h"

#include <algorithm>
#include <array>
#include <map>
#include <utility>

#include "base/status.h"
#include "fmt/format.h"

namespace berth {
namespace {

constexpr size_t kColumns = 100, kMostRows = 64;
constexpr double kStaticEnd = 130;   // % arrived, as the published curve

class Photographer : public PodObserver {
 public:
  Photographer(const Workload& workload, const EnvOptions& options) : workload_(workload), options_(options) {}

  void OnPod(const Env& now, uint32_t pod_class, bool) override {
    const ClusterState& view = now.view();
    if (kinds_.empty()) Begin(view);
    double at = 0;
    if (options_.form == Form::kStatic) {
      const PodRequest& r = workload_.pod_classes[pod_class].request;
      arrived_ += static_cast<double>(has_gpus_ ? r.total_gpu_milli() : r.cpu_milli);
      at = 100 * arrived_ / static_cast<double>(has_gpus_ ? view.total_gpu_milli() : view.total_cpu_milli()) / kStaticEnd;
    } else {
      at = static_cast<double>(now.now_us() - options_.warmup_us) / static_cast<double>(options_.window_us);
    }
    if (at < 0) return;
    const auto column = std::min(kColumns, static_cast<size_t>(at * kColumns) + 1);
    if (column <= taken_) return;
    while (taken_ + 1 < column) columns_[taken_++] = picture_;   // nothing happened in between
    Take(view);
    columns_[taken_++] = picture_;
  }

  HeatMap Map(const std::string& policy) {
    while (taken_ > 0 && taken_ < kColumns) {   // the stream ended early
      columns_[taken_] = columns_[taken_ - 1];
      ++taken_;
    }
    HeatMap map;
    const bool is_static = options_.form == Form::kStatic;
    map.title = fmt::format("{} in use, {}", has_gpus_ ? "GPUs" : "vCPU", policy);
    map.x_label = is_static ? "arrived demand, % of capacity" : "hours since the end of the warm-up";
    map.y_label = "nodes by kind, the fullest of a kind on top";
    map.x_high = is_static ? kStaticEnd : static_cast<double>(options_.window_us) / 3.6e9;
    map.columns = kColumns;
    for (const auto& [kind, nodes] : kinds_) {
      const size_t rows = RowsOf(nodes.size());
      for (size_t r = 0; r < rows; ++r) map.row_labels.push_back(r == rows / 2 ? fmt::format("{} ({})", kind, nodes.size()) : "");
    }
    map.values.resize(map.row_labels.size() * kColumns);
    for (size_t c = 0; c < kColumns; ++c) {
      for (size_t r = 0; r < columns_[c].size(); ++r) map.values[r * kColumns + c] = columns_[c][r];
    }
    return map;
  }

 private:
  void Begin(const ClusterState& view) {
    has_gpus_ = view.has_gpus();
    for (uint32_t i = 0; i < view.nodes().size(); ++i) {
      const Node& node = view.node(NodeId(i)).spec;
      const double capacity = Capacity(node);
      if (capacity <= 0) continue;
      ++nodes_;
      kinds_[has_gpus_ ? fmt::format("{} x{}", node.gpu_model.empty() ? "GPU" : node.gpu_model, node.gpu_count)
                       : fmt::format("{} vCPU", node.cpu_milli / 1000)].push_back(NodeId(i));
    }
  }
  double Capacity(const Node& node) const { return has_gpus_ ? node.gpu_count * static_cast<double>(kWholeGpuMilli) : static_cast<double>(node.cpu_milli); }
  // Rows of a kind of so many nodes: one at least.
  size_t RowsOf(size_t nodes) const { return nodes_ <= kMostRows ? nodes : std::max<size_t>(1, nodes * kMostRows / nodes_); }

  void Take(const ClusterState& view) {
    picture_.clear();
    for (const auto& [kind, nodes] : kinds_) {
      used_.clear();
      for (NodeId id : nodes) {
        const auto& record = view.node(id);
        double free = 0;
        if (has_gpus_) {
          for (int d = 0; d < record.spec.gpu_count; ++d) free += std::max(0, static_cast<int>(record.gpu_milli[static_cast<size_t>(d)]));
        } else {
          free = static_cast<double>(std::max<int64_t>(0, record.cpu_milli));
        }
        used_.push_back(record.is_present ? 1 - free / Capacity(record.spec) : 0);
      }
      std::sort(used_.begin(), used_.end());
      const size_t rows = RowsOf(used_.size());
      for (size_t r = 0; r < rows; ++r) {
        const size_t first = r * used_.size() / rows, last = (r + 1) * used_.size() / rows;
        double sum = 0;
        for (size_t i = first; i < last; ++i) sum += used_[i];
        picture_.push_back(sum / static_cast<double>(std::max<size_t>(1, last - first)));
      }
    }
  }

  const Workload& workload_;
  const EnvOptions& options_;
  bool has_gpus_ = false;
  std::map<std::string, std::vector<NodeId>> kinds_;
  size_t nodes_ = 0, taken_ = 0;
  double arrived_ = 0;
  std::vector<double> used_, picture_;
  std::array<std::vector<double>, kColumns> columns_;
};

}  // namespace

absl::StatusOr<HeatMap> PlayHeatMap(const Workload& workload, const EnvOptions& given, const Policy& policy, uint64_t seed) {
  Photographer photographer(workload, given);
  EnvOptions options = given;
  options.cluster.key_fields = policy.info().key_fields;
  options.observer = &photographer;
  BERTH_ASSIGN_OR_RETURN(auto env, Env::Create(workload, options));
  const auto decider = policy.NewDecider();
  BERTH_RETURN_IF_ERROR(RunEpisode(*env, *decider, seed));
  return photographer.Map(policy.info().name);
}

}  // namespace berth

#include "workload/openb.h"

#include <algorithm>
#include <map>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_split.h"
#include "base/quantity.h"
#include "base/status.h"
#include "fmt/format.h"
#include "workload/csv_table.h"

namespace berth {
namespace {

constexpr int32_t kMaxPods = 1001;                 // of one node, in the published protocol
constexpr int64_t kMaxMib = kMaxMemBytes >> 20;
constexpr int64_t kMaxSeconds = int64_t{1} << 40;

// Names must be unique; the error gives both lines.
class UniqueNames {
 public:
  absl::Status Add(const CsvTable& table, const CsvRow& row, size_t column) {
    const auto [it, is_new] = lines_.try_emplace(row.fields[column], row.line);
    if (is_new) return absl::OkStatus();
    return InvalidField(table.Where(row, column), row.fields[column], fmt::format("each name once; line {} has it already", it->second));
  }

 private:
  absl::flat_hash_map<std::string, int64_t> lines_;
};

// `is_rank`: every column is a permutation of 0..end-1; else columns may repeat values and end early.
absl::StatusOr<std::vector<SeedColumn>> ReadSeedColumns(const std::string& kind, const std::string& path, int64_t end,
                                                        bool is_rank) {
  BERTH_ASSIGN_OR_RETURN(const CsvTable table, CsvTable::Read(kind, path));
  std::vector<SeedColumn> columns;
  for (size_t c = 0; c < table.header().size(); ++c) {
    const std::string& name = table.header()[c];
    SeedColumn column;
    const std::string where = fmt::format("{} line 1 column {}", kind, c + 1);
    if (name.empty() || name[0] != 's') return InvalidField(where, name, "s<seed>, e.g. s42");
    BERTH_ASSIGN_OR_RETURN(const int64_t seed, ParseInteger(where, std::string_view(name).substr(1), 0, int64_t{1} << 53));
    column.seed = static_cast<uint64_t>(seed);
    for (const SeedColumn& other : columns) {
      if (other.seed == column.seed) return InvalidField(where, name, "each seed once");
    }
    bool has_ended = false;
    std::vector<int64_t> line_of_rank(is_rank ? static_cast<size_t>(end) : 0);
    for (const CsvRow& row : table.rows()) {
      if (!is_rank && row.fields[c].empty()) {
        has_ended = true;
        continue;
      }
      if (has_ended) {
        return InvalidField(table.Where(row, c), row.fields[c], "an empty cell: the column has ended above");
      }
      BERTH_ASSIGN_OR_RETURN(const int64_t value, table.Integer(row, c, 0, end - 1));
      if (is_rank) {
        int64_t& line = line_of_rank[static_cast<size_t>(value)];
        if (line > 0) {
          return InvalidField(table.Where(row, c), row.fields[c], fmt::format("each rank once; line {} has it already", line));
        }
        line = row.line;
      }
      column.values.push_back(static_cast<uint32_t>(value));
    }
    if (is_rank && column.values.size() != static_cast<size_t>(end)) {
      return InvalidField(fmt::format("{} column s{}", kind, column.seed), fmt::format("{} rows", column.values.size()),
                          fmt::format("{} rows, one a node", end));
    }
    columns.push_back(std::move(column));
  }
  return columns;
}

}  // namespace

absl::StatusOr<std::vector<Node>> ReadOpenbNodes(const std::string& path) {
  BERTH_ASSIGN_OR_RETURN(const CsvTable table, CsvTable::Read("node list", path));
  BERTH_ASSIGN_OR_RETURN(const size_t name, table.Column("sn"));
  BERTH_ASSIGN_OR_RETURN(const size_t cpu, table.Column("cpu_milli"));
  BERTH_ASSIGN_OR_RETURN(const size_t mem, table.Column("memory_mib"));
  BERTH_ASSIGN_OR_RETURN(const size_t gpu, table.Column("gpu"));
  BERTH_ASSIGN_OR_RETURN(const size_t model, table.Column("model"));
  UniqueNames names;
  std::vector<Node> nodes;
  for (const CsvRow& row : table.rows()) {
    BERTH_RETURN_IF_ERROR(names.Add(table, row, name));
    Node node;
    node.name = row.fields[name];
    BERTH_ASSIGN_OR_RETURN(node.cpu_milli, table.Integer(row, cpu, 0, kMaxCpuMilli));
    BERTH_ASSIGN_OR_RETURN(const int64_t mib, table.Integer(row, mem, 0, kMaxMib));
    node.mem_bytes = mib << 20;
    BERTH_ASSIGN_OR_RETURN(const int64_t gpus, table.Integer(row, gpu, 0, kMaxDevices));
    node.gpu_count = static_cast<int32_t>(gpus);
    node.gpu_model = row.fields[model];
    node.max_pods = kMaxPods;
    BERTH_RETURN_IF_ERROR(ValidateNode(fmt::format("node list line {}", row.line), node));
    nodes.push_back(std::move(node));
  }
  if (nodes.empty()) return absl::InvalidArgumentError("node list: no rows, accepted: one node or more");
  return nodes;
}

absl::StatusOr<std::vector<OpenbPod>> ReadOpenbPods(const std::string& path) {
  BERTH_ASSIGN_OR_RETURN(const CsvTable table, CsvTable::Read("pod list", path));
  BERTH_ASSIGN_OR_RETURN(const size_t name, table.Column("name"));
  BERTH_ASSIGN_OR_RETURN(const size_t cpu, table.Column("cpu_milli"));
  BERTH_ASSIGN_OR_RETURN(const size_t mem, table.Column("memory_mib"));
  BERTH_ASSIGN_OR_RETURN(const size_t gpus, table.Column("num_gpu"));
  BERTH_ASSIGN_OR_RETURN(const size_t milli, table.Column("gpu_milli"));
  const auto spec = table.FindColumn("gpu_spec"), qos = table.FindColumn("qos"), phase = table.FindColumn("pod_phase");
  const auto creation = table.FindColumn("creation_time"), deletion = table.FindColumn("deletion_time"), scheduled = table.FindColumn("scheduled_time");
  UniqueNames names;
  std::vector<OpenbPod> pods;
  for (const CsvRow& row : table.rows()) {
    BERTH_RETURN_IF_ERROR(names.Add(table, row, name));
    OpenbPod pod;
    pod.name = row.fields[name];
    if (pod.name.empty()) return InvalidField(table.Where(row, name), "", "a name");
    PodRequest& r = pod.request;
    BERTH_ASSIGN_OR_RETURN(r.cpu_milli, table.Integer(row, cpu, 0, kMaxCpuMilli));
    BERTH_ASSIGN_OR_RETURN(const int64_t mib, table.Integer(row, mem, 0, kMaxMib));
    r.mem_bytes = mib << 20;
    BERTH_ASSIGN_OR_RETURN(const int64_t count, table.Integer(row, gpus, 0, kMaxDevices));
    r.gpu_count = static_cast<int32_t>(count);
    if (count > 0) {
      BERTH_ASSIGN_OR_RETURN(const int64_t share, table.Integer(row, milli, 1, kWholeGpuMilli));
      r.gpu_milli = static_cast<int32_t>(share);
    }
    if (spec && count > 0 && !row.fields[*spec].empty()) {
      r.gpu_models = absl::StrSplit(row.fields[*spec], '|');
      // In the order of the file: it decides between equally common specs in FGD's typical pods, and so the last digit.
      for (const std::string& model : r.gpu_models) {
        if (model.empty()) return InvalidField(table.Where(row, *spec), row.fields[*spec], "models with | between, or nothing");
      }
    }
    if (qos) pod.qos = row.fields[*qos];
    if (phase) pod.phase = row.fields[*phase];
    const auto read_time = [&](const std::optional<size_t>& column, std::optional<int64_t>* out) -> absl::Status {
      if (!column || row.fields[*column].empty()) return absl::OkStatus();
      BERTH_ASSIGN_OR_RETURN(*out, table.Integer(row, *column, 0, kMaxSeconds));
      return absl::OkStatus();
    };
    BERTH_RETURN_IF_ERROR(read_time(creation, &pod.creation_s));
    BERTH_RETURN_IF_ERROR(read_time(deletion, &pod.deletion_s));
    BERTH_RETURN_IF_ERROR(read_time(scheduled, &pod.scheduled_s));
    if (pod.creation_s && pod.deletion_s && *pod.deletion_s < *pod.creation_s) {
      return InvalidField(table.Where(row, *deletion), row.fields[*deletion], fmt::format("{} (creation_time) or later", *pod.creation_s));
    }
    pods.push_back(std::move(pod));
  }
  if (pods.empty()) return absl::InvalidArgumentError("pod list: no rows, accepted: one pod or more");
  return pods;
}

absl::StatusOr<std::vector<SeedColumn>> ReadArrivalOrders(const std::string& path, size_t pods) {
  return ReadSeedColumns("arrival file", path, static_cast<int64_t>(pods), false);
}

absl::StatusOr<std::vector<SeedColumn>> ReadNodeRanks(const std::string& path, size_t nodes) {
  return ReadSeedColumns("rank file", path, static_cast<int64_t>(nodes), true);
}

absl::StatusOr<Workload> OpenbWorkload(const std::string& nodes_path, const std::string& pods_path, double max_life_s, bool recorded) {
  if (!(max_life_s >= 1 && max_life_s <= 1e9)) return InvalidField("max life", fmt::format("{}", max_life_s), "seconds from 1 to 1e9");
  BERTH_ASSIGN_OR_RETURN(const auto nodes, ReadOpenbNodes(nodes_path));
  BERTH_ASSIGN_OR_RETURN(const auto pods, ReadOpenbPods(pods_path));
  Workload workload;
  workload.name = "openb";
  for (const Node& node : nodes) workload.node_groups.push_back({node, 1});
  std::map<std::vector<std::string>, uint32_t> classes;   // by everything that makes requests equal
  struct Timed {
    int64_t creation_s, life_us;
    uint32_t pod_class;
  };
  std::vector<Timed> timed;
  for (const OpenbPod& pod : pods) {
    const PodRequest& r = pod.request;
    std::vector<std::string> key = r.gpu_models;
    key.push_back(fmt::format("{}/{}/{}/{}", r.cpu_milli, r.mem_bytes, r.gpu_count, r.gpu_milli));
    const auto [it, is_new] = classes.try_emplace(key, static_cast<uint32_t>(workload.pod_classes.size()));
    if (is_new) {
      PodClass c;
      c.name = fmt::format("class-{:03}", workload.pod_classes.size());
      c.request = r;
      workload.pod_classes.push_back(std::move(c));
    }
    PodClass& c = workload.pod_classes[it->second];
    c.share += 1;
    if (pod.creation_s && pod.deletion_s) {
      const double life = std::clamp(static_cast<double>(*pod.deletion_s - *pod.creation_s), 1.0, max_life_s);
      c.lifetime.kind = Lifetime::Kind::kEmpirical;
      c.lifetime.samples_s.push_back(life);
      timed.push_back({*pod.creation_s, static_cast<int64_t>(life * 1e6), it->second});
    }
  }
  if (recorded) {
    if (timed.size() != pods.size()) return absl::InvalidArgumentError("pod list: pods without creation_time and deletion_time can't be replayed; accepted: a list with times");
    std::stable_sort(timed.begin(), timed.end(), [](const Timed& a, const Timed& b) { return a.creation_s < b.creation_s; });
    for (const Timed& t : timed) workload.arrivals.push_back({t.creation_s * 1'000'000, t.pod_class, t.life_us});
  }
  BERTH_RETURN_IF_ERROR(FinishWorkload(workload));
  return workload;
}

}  // namespace berth

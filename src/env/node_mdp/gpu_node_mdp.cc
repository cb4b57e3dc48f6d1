#include "env/node_mdp/gpu_node_mdp.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <memory>
#include <tuple>

#include "base/status.h"
#include "env/node_mdp/gpu_grid.h"
#include "env/node_mdp/gpu_sweep.h"
#include "env/node_mdp/price_search.h"
#include "fmt/format.h"

namespace berth {
namespace {

// A step of the search for prices is solved to less than the prices move the gain: what is not near the optimum has
// flows that say nothing.
constexpr double kStepTolerance = 1e-2;
constexpr int64_t kStepSweeps = 400;
constexpr int kFlowSweeps = 4;
constexpr int kAndersonDepth = 5;
constexpr int kSweepsBetween = 4;

absl::Status CheckOptions(const GpuNodeMdpOptions& o) {
  BERTH_RETURN_IF_ERROR(CheckRange("m", o.m, 1, 1000));
  BERTH_RETURN_IF_ERROR(CheckRange("design load", o.design_load, 0.01, 10));
  BERTH_RETURN_IF_ERROR(CheckRange("units", o.units, 1, GpuGrid::kMaxUnits));
  BERTH_RETURN_IF_ERROR(CheckRange("cpu_levels", o.cpu_levels, 2, 1024));
  BERTH_RETURN_IF_ERROR(CheckRange("price_units", o.price_units, 1, GpuGrid::kMaxUnits));
  BERTH_RETURN_IF_ERROR(CheckRange("price_cpu_levels", o.price_cpu_levels, 2, 1024));
  BERTH_RETURN_IF_ERROR(CheckRange("cpu_groups", o.cpu_groups, 1, 100));
  BERTH_RETURN_IF_ERROR(CheckRange("price_steps", o.price_steps, 1, 100'000));
  BERTH_RETURN_IF_ERROR(CheckRange("price_tolerance", o.price_tolerance, 0, 1));
  BERTH_RETURN_IF_ERROR(CheckRange("gain_tolerance", o.gain_tolerance, 1e-12, 1));
  BERTH_RETURN_IF_ERROR(CheckRange("threads", o.threads, 1, 64));
  return CheckRange("last_sweeps", static_cast<double>(o.last_sweeps), 1, 1e9);
}

struct ShapeOf {
  int32_t devices = 0;
  std::string gpu_model;
  int64_t cpu_milli = 0;
  int64_t nodes = 0;
};

// Steps of a device that a shared pod takes: rounded up as the table does with what is in use, but as many pods fit a
// device as do in truth.
int32_t UnitsOf(double gpu_milli, int32_t units) {
  if (!(gpu_milli > 0)) return 0;
  const auto fit = std::max(1, static_cast<int32_t>(kWholeGpuMilli / gpu_milli));
  const auto up = static_cast<int32_t>(std::ceil(gpu_milli * units / kWholeGpuMilli - 0.05));
  return std::clamp(up, 1, std::max(1, units / fit));
}

bool Allows(const GpuNodeMdpClass& c, const ShapeOf& shape) {
  if (c.whole > shape.devices || (c.gpu_milli > 0 && shape.devices == 0)) return false;
  if (c.cpu_milli > static_cast<double>(shape.cpu_milli)) return false;
  return c.gpu_models.empty() ||
         std::find(c.gpu_models.begin(), c.gpu_models.end(), shape.gpu_model) != c.gpu_models.end();
}

absl::StatusOr<std::vector<ShapeOf>> ShapesOf(const Workload& workload) {
  bool has_models = false;
  for (const PodClass& c : workload.pod_classes) has_models = has_models || !c.request.gpu_models.empty();
  std::vector<ShapeOf> shapes;
  for (const NodeGroup& group : workload.node_groups) {
    if (group.node.gpu_count == 0) continue;
    if (group.node.gpu_count > GpuGrid::kMaxDevices) {
      return InvalidField(fmt::format("gpu count of node {}", Quoted(group.node.name)),
                          fmt::format("{}", group.node.gpu_count), "at most 8, for the per-node decision process");
    }
    const ShapeOf shape{group.node.gpu_count, has_models ? group.node.gpu_model : "", group.node.cpu_milli,
                        group.count};
    const auto known = std::find_if(shapes.begin(), shapes.end(), [&](const ShapeOf& s) {
      return s.devices == shape.devices && s.gpu_model == shape.gpu_model && s.cpu_milli == shape.cpu_milli;
    });
    if (known == shapes.end())
      shapes.push_back(shape);
    else
      known->nodes += shape.nodes;
  }
  if (shapes.empty()) return InvalidField("workload.nodes", "no GPU", "nodes with GPUs");
  return shapes;
}

// Classes of the workload, merged where they differ in less than the process sees.
absl::StatusOr<std::vector<GpuNodeMdpClass>> ClassesOf(const Workload& workload, const std::vector<ShapeOf>& shapes,
                                                       const GpuNodeMdpOptions& options) {
  const double rate_per_h = 3600 * ArrivalRatePerS(workload, options.design_load);
  double gpus = 0, cpu = 0;
  for (const ShapeOf& s : shapes) {
    gpus += static_cast<double>(s.nodes) * s.devices;
    cpu += static_cast<double>(s.nodes) * static_cast<double>(s.cpu_milli);
  }
  std::map<std::tuple<int32_t, int32_t, std::vector<std::string>>, std::vector<GpuNodeMdpClass>> alike;
  for (const PodClass& pod : workload.pod_classes) {
    if (pod.lifetime.kind == Lifetime::Kind::kUnlimited || !(pod.lifetime.mean_s > 0)) {
      return InvalidField(fmt::format("lifetime of pod {}", Quoted(pod.name)), "unlimited",
                          "a mean above 0; the per-node decision process needs departures");
    }
    if (!(pod.share > 0)) continue;
    const bool is_shared = pod.request.gpu_count == 1 && pod.request.gpu_milli < kWholeGpuMilli;
    GpuNodeMdpClass c;
    c.whole = is_shared ? 0 : pod.request.gpu_count;
    c.gpu_milli = is_shared ? pod.request.gpu_milli : 0;
    c.cpu_milli = static_cast<double>(pod.request.cpu_milli);
    c.life_h = pod.lifetime.mean_s / 3600;
    c.rate_per_h = rate_per_h * pod.share;
    c.gpu_models = pod.request.gpu_models;
    if (std::none_of(shapes.begin(), shapes.end(), [&](const ShapeOf& s) { return Allows(c, s); })) continue;
    alike[{c.whole, UnitsOf(c.gpu_milli, options.units), c.gpu_models}].push_back(c);
  }
  std::vector<GpuNodeMdpClass> classes;
  for (auto& [key, members] : alike) {
    std::sort(members.begin(), members.end(),
              [](const GpuNodeMdpClass& a, const GpuNodeMdpClass& b) { return a.cpu_milli < b.cpu_milli; });
    double total = 0, seen = 0;
    for (const GpuNodeMdpClass& c : members) total += c.rate_per_h * c.life_h;
    int32_t group = -1;
    for (const GpuNodeMdpClass& c : members) {
      const double running = c.rate_per_h * c.life_h;
      const auto own =
          std::min(options.cpu_groups - 1, static_cast<int32_t>((seen + running / 2) / total * options.cpu_groups));
      seen += running;
      if (own != group) {
        group = own;
        classes.push_back({});
        classes.back().whole = c.whole;
        classes.back().gpu_models = c.gpu_models;
      }
      // Means weighted by what runs.
      GpuNodeMdpClass& merged = classes.back();
      const double before = merged.rate_per_h * merged.life_h;
      const auto mean = [&](double& x, double y) { x = (x * before + y * running) / (before + running); };
      mean(merged.gpu_milli, c.gpu_milli);
      mean(merged.cpu_milli, c.cpu_milli);
      merged.rate_per_h += c.rate_per_h;
      merged.life_h = (before + running) / merged.rate_per_h;
    }
  }
  if (classes.empty()) return InvalidField("workload.pods", workload.name, "a class that fits an empty node");
  for (GpuNodeMdpClass& c : classes) {
    const double devices = c.whole > 0 ? c.whole : c.gpu_milli / kWholeGpuMilli;
    c.demand = c.life_h * (devices > 0 ? devices : 0.1 * c.cpu_milli * gpus / cpu);
    c.price = c.demand;
  }
  return classes;
}

// Values of a grid, on one of the same devices with other steps: linear in cpu, and the mean of all devices in use
// rounded down and rounded up.
std::vector<double> ValuesOn(const GpuGrid& to, const GpuGrid& from, const mdp::SweepSolution& solved) {
  const auto rounded = [&](const GpuPattern& pattern, int32_t up) {
    GpuPattern near{};
    const auto to_units = static_cast<size_t>(to.units()), from_units = static_cast<size_t>(from.units());
    for (size_t u = 0; u <= to_units; ++u) {
      const size_t scaled = u * from_units;
      near[(scaled + static_cast<size_t>(up) * (to_units - 1)) / to_units] += pattern[u];
    }
    near[from_units + 1] = pattern[to_units + 1];
    near[from_units + 2] = pattern[to_units + 2];
    return from.PatternOf(near);
  };
  const double step = to.cpu_levels() > 1 ? (from.cpu_levels() - 1.0) / (to.cpu_levels() - 1) : 0;
  std::vector<double> values;
  values.reserve(static_cast<size_t>(to.num_states()));
  for (int32_t p = 0; p < to.num_patterns(); ++p) {
    const int32_t down = rounded(to.pattern(p), 0), up = rounded(to.pattern(p), 1);
    for (int32_t cpu = 0; cpu < to.cpu_levels(); ++cpu) {
      const double at = cpu * step;
      const auto low = std::min(static_cast<int32_t>(at), from.cpu_levels() - 1);
      const int32_t high = std::min(low + 1, from.cpu_levels() - 1);
      double sum = 0;
      for (const int32_t pattern : {down, up}) {
        const double first = solved.relative_values[static_cast<size_t>(from.StateAt(pattern, low))];
        const double next = solved.relative_values[static_cast<size_t>(from.StateAt(pattern, high))];
        sum += first + (at - low) * (next - first);
      }
      values.push_back(sum / 2);
    }
  }
  return values;
}

class GpuShapeSolver {
 public:
  GpuShapeSolver(const std::vector<ShapeOf>& shapes, std::vector<GpuNodeMdpClass>& classes, double m, int32_t units,
                 int32_t cpu_levels, int threads)
      : classes_(classes) {
    std::vector<double> eligible(classes.size(), 0);
    for (const ShapeOf& s : shapes) {
      for (size_t k = 0; k < classes.size(); ++k) {
        if (Allows(classes[k], s)) eligible[k] += static_cast<double>(s.nodes);
      }
    }
    for (const ShapeOf& s : shapes) {
      const double cpu_unit = static_cast<double>(s.cpu_milli) / (cpu_levels - 1);
      std::vector<GpuGridClass> grid;
      std::vector<GpuStream> streams;
      for (size_t k = 0; k < classes.size(); ++k) {
        const GpuNodeMdpClass& c = classes[k];
        const bool allows = Allows(c, s);
        const double fair = allows ? c.rate_per_h / eligible[k] : 0;
        grid.push_back({c.whole, UnitsOf(c.gpu_milli, units), c.cpu_milli / cpu_unit, fair * c.life_h, c.life_h});
        streams.push_back({m * fair, c.price});
      }
      shapes_.push_back(std::make_unique<ShapeState>(GpuGrid(s.devices, units, cpu_levels, std::move(grid)),
                                                     std::move(streams), static_cast<double>(s.nodes), cpu_unit,
                                                     threads));
    }
    double offered = 0, nodes = 0;
    for (const GpuNodeMdpClass& c : classes) offered += c.rate_per_h * c.demand;
    for (const ShapeOf& s : shapes) nodes += static_cast<double>(s.nodes);
    offered_ = offered;
    node_offered_ = offered / nodes;
  }

  double offered() const { return offered_; }
  double share_upper() const { return share_upper_; }
  const std::vector<double>& taken_share() const { return taken_share_; }

  struct ShapeState {
    ShapeState(GpuGrid g, std::vector<GpuStream> s, double n, double unit, int threads)
        : grid(std::move(g)), streams(std::move(s)), sweep(grid, streams, threads), nodes(n), cpu_unit_milli(unit) {}
    const GpuGrid grid;
    std::vector<GpuStream> streams;
    GpuSweep sweep;
    mdp::SweepSolution solved;
    std::vector<double> probability;
    const double nodes, cpu_unit_milli;
  };
  const std::vector<std::unique_ptr<ShapeState>>& shapes() const { return shapes_; }

  // A step of the search for prices. No flows are summed.
  absl::Status Solve() { return Solve(kStepTolerance, kStepSweeps, true); }
  void ForgetFlows() {}

  // Begins at the values that a solver of the same shapes on another grid holds.
  void StartFrom(const GpuShapeSolver& other) {
    for (size_t t = 0; t < shapes_.size(); ++t)
      shapes_[t]->sweep.SetValues(ValuesOn(shapes_[t]->grid, other.shapes_[t]->grid, other.shapes_[t]->solved));
  }

  absl::Status Solve(double tolerance, int64_t max_sweeps, bool needs_flows) {
    mdp::SweepSolveOptions solve;
    solve.tolerance = tolerance * node_offered_;
    solve.max_sweeps = max_sweeps;
    solve.anderson_depth = kAndersonDepth;
    solve.sweeps_between = kSweepsBetween;
    taken_share_.assign(classes_.size(), 0);
    share_upper_ = 0;
    for (const auto& shape : shapes_) {
      for (size_t k = 0; k < classes_.size(); ++k) shape->streams[k].earned = classes_[k].price;
      BERTH_ASSIGN_OR_RETURN(shape->solved, mdp::SolveBySweeps(shape->sweep, solve));
      share_upper_ += shape->nodes * shape->solved.level_upper / offered_;
      if (!needs_flows) continue;
      const std::vector<double> taken = shape->sweep.Flows(kFlowSweeps, shape->probability);
      for (size_t k = 0; k < taken.size(); ++k) taken_share_[k] += shape->nodes * taken[k] / classes_[k].rate_per_h;
    }
    return absl::OkStatus();
  }

 private:
  std::vector<GpuNodeMdpClass>& classes_;
  std::vector<std::unique_ptr<ShapeState>> shapes_;
  std::vector<double> taken_share_;
  double share_upper_ = 0, offered_ = 0, node_offered_ = 0;
};

}  // namespace

absl::StatusOr<GpuNodeMdpSolution> SolveGpuNodeMdp(const Workload& workload, const GpuNodeMdpOptions& options) {
  BERTH_RETURN_IF_ERROR(CheckOptions(options));
  BERTH_ASSIGN_OR_RETURN(const std::vector<ShapeOf> shapes, ShapesOf(workload));
  GpuNodeMdpSolution solution;
  solution.m = options.m;
  solution.design_load = options.design_load;
  BERTH_ASSIGN_OR_RETURN(solution.classes, ClassesOf(workload, shapes, options));
  GpuShapeSolver coarse(shapes, solution.classes, options.m, options.price_units, options.price_cpu_levels,
                        options.threads);
  BERTH_RETURN_IF_ERROR(SearchPrices({options.m, options.price_tolerance, options.price_steps},
                                     &GpuNodeMdpClass::rate_per_h, coarse, solution));
  BERTH_RETURN_IF_ERROR(coarse.Solve(kStepTolerance / 10, options.last_sweeps, false));
  GpuShapeSolver fine(shapes, solution.classes, options.m, options.units, options.cpu_levels, options.threads);
  fine.StartFrom(coarse);
  BERTH_RETURN_IF_ERROR(fine.Solve(options.gain_tolerance, options.last_sweeps, false));
  for (size_t t = 0; t < shapes.size(); ++t) {
    const GpuShapeSolver::ShapeState& solved = *fine.shapes()[t];
    GpuNodeMdpShape out;
    out.nodes = shapes[t].nodes;
    out.gain = solved.solved.level;
    out.gain_lower = solved.solved.level_lower;
    out.gain_upper = solved.solved.level_upper;
    out.sweeps = solved.solved.sweeps;
    out.states = solved.grid.num_states();
    out.table.devices = shapes[t].devices;
    out.table.gpu_model = shapes[t].gpu_model;
    out.table.cpu_milli = shapes[t].cpu_milli;
    out.table.units = options.units;
    out.table.cpu_unit_milli = solved.cpu_unit_milli;
    out.table.cpu_levels = options.cpu_levels;
    out.table.keys = solved.grid.keys();
    const auto levels = static_cast<ptrdiff_t>(options.cpu_levels);
    for (const int32_t pattern : solved.grid.by_key()) {
      const auto row = solved.solved.relative_values.begin() + pattern * levels;
      out.table.value.insert(out.table.value.end(), row, row + levels);
    }
    solution.shapes.push_back(std::move(out));
  }
  return solution;
}

std::vector<GpuValueTable> TablesOf(const GpuNodeMdpSolution& solution) {
  std::vector<GpuValueTable> tables;
  for (const GpuNodeMdpShape& shape : solution.shapes) tables.push_back(shape.table);
  return tables;
}

}  // namespace berth

#include "env/node_mdp/node_mdp.h"

#include <algorithm>
#include <cmath>

#include "base/status.h"
#include "env/node_mdp/node_grid.h"
#include "env/node_mdp/node_model.h"
#include "env/node_mdp/price_search.h"
#include "fmt/format.h"
#include "mdp/stationary.h"
#include "mdp/value_iteration.h"

namespace berth {
namespace {

constexpr int32_t kMostLevels = 1024;
constexpr double kGib = 1024.0 * 1024 * 1024;
// While prices move: tolerance of the gain as a share of the offer, and sweeps at most.
constexpr double kStepTolerance = 1e-4;
constexpr int64_t kStepSweeps = 60, kLastSweeps = 200'000;
constexpr double kFlowTolerance = 1e-6;  // of stationary distributions

absl::Status CheckOptions(const NodeMdpOptions& options) {
  BERTH_RETURN_IF_ERROR(CheckRange("m", options.m, 1, 1000));
  BERTH_RETURN_IF_ERROR(CheckRange("design load", options.design_load, 0.01, 10));
  BERTH_RETURN_IF_ERROR(CheckRange("max_states", options.max_states, 16, 1'000'000));
  BERTH_RETURN_IF_ERROR(CheckRange("price_steps", options.price_steps, 1, 100'000));
  BERTH_RETURN_IF_ERROR(CheckRange("mix_rounds", options.mix_rounds, 1, 1000));
  BERTH_RETURN_IF_ERROR(CheckRange("mix_tolerance", options.mix_tolerance, 0, 1));
  BERTH_RETURN_IF_ERROR(CheckRange("price_tolerance", options.price_tolerance, 0, 1));
  return CheckRange("gain_tolerance", options.gain_tolerance, 1e-12, 1);
}

absl::Status CheckWorkload(const Workload& workload) {
  if (workload.node_count() == 0) return InvalidField("workload.nodes", "0", "1 or more");
  for (const NodeGroup& group : workload.node_groups) {
    if (group.node.gpu_count > 0) {
      return InvalidField(fmt::format("gpu count of node {}", Quoted(group.node.name)),
                          fmt::format("{}", group.node.gpu_count),
                          "0; the per-node decision process knows cpu and memory");
    }
  }
  for (const PodClass& c : workload.pod_classes) {
    if (c.lifetime.kind == Lifetime::Kind::kUnlimited || !(c.lifetime.mean_s > 0)) {
      return InvalidField(fmt::format("lifetime of pod {}", Quoted(c.name)), "unlimited",
                          "a mean above 0; the per-node decision process needs departures");
    }
  }
  return absl::OkStatus();
}

// Units of cpu and memory for a shape, so that the grid has at most max_states states.
struct ShapeGrid {
  GridUnit cpu, mem;
  std::vector<GridClass> classes;
};

std::vector<GridClass> SizesOn(const Workload& workload, const std::vector<NodeMdpClass>& classes, const GridUnit& cpu,
                               const GridUnit& mem) {
  std::vector<GridClass> sizes;
  for (const NodeMdpClass& c : classes) {
    const PodRequest& request = workload.pod_classes[c.pod_class].request;
    sizes.push_back({cpu.Round(request.cpu_milli), mem.Round(request.mem_bytes)});
  }
  return sizes;
}

ShapeGrid GridFor(const Workload& workload, const std::vector<NodeMdpClass>& classes, const Node& node,
                  int32_t max_states) {
  std::vector<int64_t> cpu, mem;
  std::vector<double> cpu_load, mem_load;
  for (const NodeMdpClass& c : classes) {
    const PodClass& pod = workload.pod_classes[c.pod_class];
    const double running = pod.share * pod.lifetime.mean_s;
    cpu.push_back(pod.request.cpu_milli);
    mem.push_back(pod.request.mem_bytes);
    cpu_load.push_back(running * static_cast<double>(pod.request.cpu_milli));
    mem_load.push_back(running * static_cast<double>(pod.request.mem_bytes));
  }
  int32_t cpu_levels = kMostLevels, mem_levels = kMostLevels;
  while (true) {
    ShapeGrid grid;
    grid.cpu = PickGridUnit(cpu, cpu_load, std::max<int64_t>(1, node.cpu_milli), cpu_levels);
    grid.mem = PickGridUnit(mem, mem_load, std::max<int64_t>(1, node.mem_bytes), mem_levels);
    grid.classes = SizesOn(workload, classes, grid.cpu, grid.mem);
    const bool is_last = grid.cpu.levels <= 4 && grid.mem.levels <= 4;
    if (is_last || NodeGrid(grid.cpu.levels, grid.mem.levels, grid.classes).num_states() <= max_states) return grid;
    // The finer axis gets coarser.
    if (grid.cpu.levels >= grid.mem.levels)
      cpu_levels = std::max(4, grid.cpu.levels * 3 / 4);
    else
      mem_levels = std::max(4, grid.mem.levels * 3 / 4);
  }
}

double DemandOf(const PodRequest& request, LoadResource resource) {
  return resource == LoadResource::kMemory ? static_cast<double>(request.mem_bytes) / kGib
                                           : static_cast<double>(request.cpu_milli) / 1000;
}

// The classes that some shape can take, with their demand and rate.
absl::StatusOr<std::vector<NodeMdpClass>> ClassesOf(const Workload& workload, double design_load) {
  const LoadResource resource = LoadResourceOf(workload);
  const double rate_per_h = 3600 * ArrivalRatePerS(workload, design_load) / static_cast<double>(workload.node_count());
  std::vector<NodeMdpClass> classes;
  for (size_t k = 0; k < workload.pod_classes.size(); ++k) {
    const PodClass& pod = workload.pod_classes[k];
    const bool fits = std::any_of(workload.node_groups.begin(), workload.node_groups.end(), [&](const NodeGroup& g) {
      return pod.request.cpu_milli <= g.node.cpu_milli && pod.request.mem_bytes <= g.node.mem_bytes &&
             pod.request.gpu_count == 0;
    });
    NodeMdpClass c;
    c.pod_class = k;
    c.fair_per_h = rate_per_h * pod.share;
    c.demand = c.price = DemandOf(pod.request, resource) * pod.lifetime.mean_s / 3600;
    if (fits && c.fair_per_h > 0 && c.demand > 0) classes.push_back(c);
  }
  if (classes.empty()) return InvalidField("workload.pods", workload.name, "a class that fits an empty node");
  return classes;
}

// The shapes of a workload at given prices. Keeps values and distributions from solve to solve as warm starts.
class ShapeSolver {
 public:
  ShapeSolver(const Workload& workload, const NodeMdpOptions& options, NodeMdpSolution* solution)
      : solution_(*solution) {
    for (const NodeMdpClass& c : solution_.classes) offered_ += c.fair_per_h * c.demand;
    for (const NodeGroup& group : workload.node_groups) {
      const auto known = std::find_if(solution_.shapes.begin(), solution_.shapes.end(), [&](const NodeMdpShape& s) {
        return s.table.cpu_milli == group.node.cpu_milli && s.table.mem_bytes == group.node.mem_bytes;
      });
      if (known == solution_.shapes.end())
        Add(workload, group, options.max_states);
      else
        known->nodes += group.count;
    }
    for (const NodeMdpShape& shape : solution_.shapes) {
      weights_.push_back(static_cast<double>(shape.nodes) / static_cast<double>(workload.node_count()));
    }
  }

  // Demand hours offered per hour to one node's fair share.
  double offered() const { return offered_; }
  const std::vector<double>& taken_share() const { return taken_share_; }  // by class, of the last Solve
  double share_upper() const { return share_upper_; }                      // of every class, by the last Solve

  // A step of the search for prices.
  absl::Status Solve() { return Solve(kStepTolerance, kStepSweeps); }

  // Solves every shape at the prices of the solution's classes, which must sum to offered() over the fair share. Spends
  // at most `max_sweeps` on each: while prices move, values and distributions only follow them.
  absl::Status Solve(double tolerance, int64_t max_sweeps) {
    mdp::SolveOptions solve;
    solve.tolerance = tolerance * offered_;
    solve.max_sweeps = max_sweeps;
    taken_share_.assign(solution_.classes.size(), 0);
    share_upper_ = 0;
    for (size_t t = 0; t < shapes_.size(); ++t) {
      Shape& shape = shapes_[t];
      for (size_t k = 0; k < shape.streams.size(); ++k) shape.streams[k].earned = solution_.classes[k].price;
      const NodeModel model(shape.grid, shape.streams);
      BERTH_ASSIGN_OR_RETURN(shape.solved, mdp::SolveAverage(model, solve, shape.solved.relative_values));
      BERTH_ASSIGN_OR_RETURN(shape.chain, mdp::SolveStationary(mdp::GreedyChain(model, shape.solved.relative_values),
                                                               {.tolerance = kFlowTolerance, .max_sweeps = max_sweeps},
                                                               shape.chain.probability));
      solution_.sweeps += shape.solved.sweeps + shape.chain.sweeps;
      share_upper_ += weights_[t] * shape.solved.gain_upper / offered_;
      AddFlows(&shape, weights_[t]);
    }
    return absl::OkStatus();
  }

  void ForgetFlows() {
    for (Shape& shape : shapes_) {
      std::fill(shape.came.begin(), shape.came.end(), 0.0);
      std::fill(shape.left.begin(), shape.left.end(), 0.0);
    }
  }

  // The greatest |come / leave - 1| since ForgetFlows; classes that hardly come to a shape are left out.
  double MixGap() const {
    double gap = 0;
    for (const Shape& shape : shapes_) {
      for (size_t k = 0; k < shape.rho.size(); ++k) {
        if (IsCommon(shape, k)) gap = std::max(gap, std::abs(shape.came[k] / shape.left[k] - 1));
      }
    }
    return gap;
  }

  // Moves the mix of what runs towards what came.
  void CorrectMix() {
    for (Shape& shape : shapes_) {
      for (size_t k = 0; k < shape.rho.size(); ++k) {
        if (IsCommon(shape, k)) shape.rho[k] *= std::clamp(shape.came[k] / shape.left[k], 0.25, 4.0);
      }
      shape.grid.SetMix(shape.rho);
    }
  }

  // Writes values and gains of the last Solve into the solution.
  void Finish() {
    for (size_t t = 0; t < shapes_.size(); ++t) {
      NodeMdpShape& out = solution_.shapes[t];
      std::vector<double> h = shapes_[t].solved.relative_values;
      const double top = *std::max_element(h.begin(), h.end());
      for (double& value : h) value -= top;
      out.table.value = shapes_[t].grid.FillCells(h);
      out.gain = shapes_[t].solved.gain;
      out.gain_lower = shapes_[t].solved.gain_lower;
      out.gain_upper = shapes_[t].solved.gain_upper;
    }
  }

 private:
  struct Shape {
    NodeGrid grid;
    std::vector<NodeStream> streams;
    mdp::AverageSolution solved;
    mdp::StationaryDistribution chain;
    std::vector<double> rho;         // the mix of what runs
    std::vector<double> came, left;  // pods of each class, summed since ForgetFlows
  };

  static bool IsCommon(const Shape& shape, size_t k) {
    double came = 0;
    for (double c : shape.came) came += c;
    return shape.came[k] > 1e-4 * came && shape.left[k] > 1e-4 * came;
  }

  void Add(const Workload& workload, const NodeGroup& group, int32_t max_states) {
    const ShapeGrid grid = GridFor(workload, solution_.classes, group.node, max_states);
    Shape shape{NodeGrid(grid.cpu.levels, grid.mem.levels, grid.classes), {}, {}, {}, {}, {}, {}};
    for (const NodeMdpClass& c : solution_.classes) {
      const double life_h = workload.pod_classes[c.pod_class].lifetime.mean_s / 3600;
      shape.streams.push_back({solution_.m * c.fair_per_h, 1 / life_h, c.price});
      shape.rho.push_back(c.fair_per_h * life_h);
    }
    shape.grid.SetMix(shape.rho);
    shape.came.resize(shape.rho.size());
    shape.left.resize(shape.rho.size());
    NodeMdpShape out;
    out.name = group.node.name;
    out.nodes = group.count;
    for (int32_t state = 0; state < shape.grid.num_states(); ++state) {
      out.state_cells.push_back(shape.grid.used_cpu(state) * shape.grid.mem_levels() + shape.grid.used_mem(state));
    }
    out.table = {
        group.node.cpu_milli, group.node.mem_bytes, grid.cpu.unit, grid.mem.unit, grid.cpu.levels, grid.mem.levels, {}};
    out.cpu_rounding_percent = grid.cpu.rounding_percent;
    out.mem_rounding_percent = grid.mem.rounding_percent;
    out.cpu_capacity_percent = grid.cpu.capacity_percent;
    out.mem_capacity_percent = grid.mem.capacity_percent;
    solution_.shapes.push_back(std::move(out));
    shapes_.push_back(std::move(shape));
  }

  // What the greedy policy of the values takes and what departs, in the long run.
  void AddFlows(Shape* shape, double weight) {
    const std::vector<double>& h = shape->solved.relative_values;
    std::vector<double> taken(shape->streams.size());
    for (int32_t s = 0; s < shape->grid.num_states(); ++s) {
      const double probability = shape->chain.probability[static_cast<size_t>(s)];
      for (size_t k = 0; k < taken.size(); ++k) {
        shape->left[k] += probability * shape->grid.Running(s, k) * shape->streams[k].departures_per_h;
        const int32_t after = shape->grid.After(s, k);
        if (after < 0 || shape->streams[k].earned + (h[static_cast<size_t>(after)] - h[static_cast<size_t>(s)]) <= 0)
          continue;
        taken[k] += probability * shape->streams[k].offered_per_h;
      }
    }
    for (size_t k = 0; k < taken.size(); ++k) {
      shape->came[k] += taken[k];
      taken_share_[k] += weight * taken[k] / solution_.classes[k].fair_per_h;
    }
  }

  NodeMdpSolution& solution_;
  std::vector<Shape> shapes_;
  std::vector<double> weights_;  // share of the nodes, by shape
  std::vector<double> taken_share_;
  double share_upper_ = 0, offered_ = 0;
};

}  // namespace

absl::StatusOr<NodeMdpSolution> SolveNodeMdp(const Workload& workload, const NodeMdpOptions& options) {
  BERTH_RETURN_IF_ERROR(CheckOptions(options));
  BERTH_RETURN_IF_ERROR(CheckWorkload(workload));
  NodeMdpSolution solution;
  solution.m = std::min(options.m, static_cast<double>(workload.node_count()));
  solution.design_load = options.design_load;
  solution.resource = LoadResourceOf(workload);
  BERTH_ASSIGN_OR_RETURN(solution.classes, ClassesOf(workload, options.design_load));
  ShapeSolver solver(workload, options, &solution);
  while (true) {
    // The steps that are left are shared by the rounds that are left.
    const int32_t steps = (options.price_steps - solution.price_steps) / (options.mix_rounds - solution.mix_rounds);
    BERTH_RETURN_IF_ERROR(SearchPrices({options.m, options.price_tolerance, std::max(1, steps)},
                                       &NodeMdpClass::fair_per_h, solver, solution));
    solution.mix_gap = solver.MixGap();
    ++solution.mix_rounds;
    if (solution.mix_rounds == options.mix_rounds || solution.price_steps >= options.price_steps ||
        solution.mix_gap <= options.mix_tolerance)
      break;
    solver.CorrectMix();
  }
  BERTH_RETURN_IF_ERROR(solver.Solve(options.gain_tolerance, kLastSweeps));
  solution.share_upper = std::min(solution.share_upper, solver.share_upper());
  solution.price_gap = std::max(0.0, 1 - solution.share_lower / solution.share_upper);
  solver.Finish();
  return solution;
}

std::vector<ValueTable> TablesOf(const NodeMdpSolution& solution) {
  std::vector<ValueTable> tables;
  for (const NodeMdpShape& shape : solution.shapes) tables.push_back(shape.table);
  return tables;
}

}  // namespace berth

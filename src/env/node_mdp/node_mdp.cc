#include "env/node_mdp/node_mdp.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "base/status.h"
#include "fmt/format.h"
#include "mdp/event_model.h"
#include "mdp/stationary.h"
#include "mdp/value_iteration.h"
#include "policy/class_policy.h"

namespace berth {
namespace {

using mdp::StateIndex;

constexpr int64_t kStepSweeps = 120, kLastSweeps = 4000;

// A class as one node sees it; sizes in grid units.
struct Stream {
  size_t pod_class = 0;
  int32_t cpu = 0, mem = 0;
  double offered_per_s = 0;   // m x fair share
  double fair_per_s = 0;
  double departure_per_s = 0; // of one pod
  double reward = 0;          // vCPU x seconds
  double price = 0;           // in units of reward
};

class NodeModel {
 public:
  NodeModel(int32_t cpu_levels, int32_t mem_levels, std::vector<Stream> streams)
      : cpu_levels_(cpu_levels), mem_levels_(mem_levels), streams_(std::move(streams)) {
    running_.resize(static_cast<size_t>(num_states()) * streams_.size());
    is_stuck_.resize(static_cast<size_t>(num_states()));
    for (const Stream& s : streams_) reset_per_s_ = std::max(reset_per_s_, s.departure_per_s);
    for (int32_t a = 0; a < cpu_levels_; ++a) {
      for (int32_t b = 0; b < mem_levels_; ++b) FillRunning(a, b);
    }
  }

  StateIndex num_states() const { return cpu_levels_ * mem_levels_; }

  template <class Visitor>
  void VisitState(StateIndex s, Visitor& visit) const {
    const int32_t a = s / mem_levels_, b = s % mem_levels_;
    const float* const running = &running_[static_cast<size_t>(s) * streams_.size()];
    for (size_t k = 0; k < streams_.size(); ++k) {
      const Stream& stream = streams_[k];
      if (a + stream.cpu < cpu_levels_ && b + stream.mem < mem_levels_) {
        const StateIndex after = s + stream.cpu * mem_levels_ + stream.mem;
        visit.Decide(stream.offered_per_s, [&](auto&& offer) {
          offer(0.0, s);
          offer(stream.reward - stream.price, after);
        });
      }
      if (running[k] > 0) visit.Jump(static_cast<double>(running[k]) * stream.departure_per_s, 0.0, s - stream.cpu * mem_levels_ - stream.mem);
    }
    // Amounts that no mix of classes adds up to: no pod would ever leave, and the chain would have a second closed class.
    if (s != 0 && is_stuck_[static_cast<size_t>(s)]) visit.Jump(reset_per_s_, 0.0, 0);
  }

  std::vector<Stream>& streams() { return streams_; }
  const std::vector<Stream>& streams() const { return streams_; }
  double running(StateIndex s, size_t k) const { return static_cast<double>(running_[static_cast<size_t>(s) * streams_.size() + k]); }

  // Rate at which the greedy policy of h takes each class, when the node is in state s with probability p[s].
  std::vector<double> TakenPerS(const std::vector<double>& h, const std::vector<double>& p) const {
    std::vector<double> taken(streams_.size());
    for (StateIndex s = 0; s < num_states(); ++s) {
      const int32_t a = s / mem_levels_, b = s % mem_levels_;
      for (size_t k = 0; k < streams_.size(); ++k) {
        const Stream& stream = streams_[k];
        if (a + stream.cpu >= cpu_levels_ || b + stream.mem >= mem_levels_) continue;
        const auto after = static_cast<size_t>(s + stream.cpu * mem_levels_ + stream.mem);
        if (stream.reward - stream.price + h[after] - h[static_cast<size_t>(s)] > 0) taken[k] += p[static_cast<size_t>(s)] * stream.offered_per_s;
      }
    }
    return taken;
  }

 private:
  // The most likely numbers n_k of pods of each class on a node that uses (a, b): n_k = rho_k exp(x cpu_k + y mem_k) with x, y
  // such that the amounts add up; rho_k = offered load of the class. Newton on the two multipliers.
  void FillRunning(int32_t a, int32_t b) {
    float* const out = &running_[static_cast<size_t>(a * mem_levels_ + b) * streams_.size()];
    double x = 0, y = 0;
    std::array<double, 2> miss{};
    std::vector<double> n(streams_.size());
    const auto evaluate = [&](double at_x, double at_y, std::array<double, 3>* hessian) {
      miss = {-static_cast<double>(a), -static_cast<double>(b)};
      if (hessian != nullptr) *hessian = {};
      for (size_t k = 0; k < streams_.size(); ++k) {
        const Stream& s = streams_[k];
        n[k] = 0;
        if (s.cpu > a || s.mem > b) continue;
        const double rho = s.fair_per_s / s.departure_per_s;
        n[k] = rho * std::exp(std::clamp(at_x * s.cpu + at_y * s.mem, -60.0, 60.0));
        miss[0] += n[k] * s.cpu;
        miss[1] += n[k] * s.mem;
        if (hessian != nullptr) {
          (*hessian)[0] += n[k] * s.cpu * s.cpu;
          (*hessian)[1] += n[k] * s.cpu * s.mem;
          (*hessian)[2] += n[k] * s.mem * s.mem;
        }
      }
      return miss[0] * miss[0] + miss[1] * miss[1];
    };
    std::array<double, 3> h{};
    double error = evaluate(x, y, &h);
    for (int iteration = 0; iteration < 60 && error > 1e-12 * (1.0 + a * a + b * b); ++iteration) {
      const double ridge = 1e-9 * (h[0] + h[2]) + 1e-12;
      const double determinant = (h[0] + ridge) * (h[2] + ridge) - h[1] * h[1];
      if (!(determinant > 0)) break;
      const double dx = ((h[2] + ridge) * miss[0] - h[1] * miss[1]) / determinant;
      const double dy = ((h[0] + ridge) * miss[1] - h[1] * miss[0]) / determinant;
      double step = std::min(1.0, 2.0 / std::max(1e-12, std::max(std::abs(dx), std::abs(dy))));
      bool is_better = false;
      for (int half = 0; half < 30 && !is_better; ++half, step /= 2) {
        const double tried = evaluate(x - step * dx, y - step * dy, nullptr);
        if (tried < error) {
          is_better = true;
          x -= step * dx;
          y -= step * dy;
        }
      }
      error = evaluate(x, y, &h);
      if (!is_better) break;
    }
    double leaving = 0;
    for (size_t k = 0; k < streams_.size(); ++k) {
      // No more than would fit into what is used.
      const Stream& s = streams_[k];
      double most = 1e9;
      if (s.cpu > 0) most = std::min(most, static_cast<double>(a) / s.cpu);
      if (s.mem > 0) most = std::min(most, static_cast<double>(b) / s.mem);
      out[k] = static_cast<float>(std::min(n[k], most));
      leaving += static_cast<double>(out[k]);
    }
    is_stuck_[static_cast<size_t>(a * mem_levels_ + b)] = leaving < 0.5;
  }

  const int32_t cpu_levels_, mem_levels_;
  std::vector<Stream> streams_;
  std::vector<float> running_;   // [states, streams]
  std::vector<bool> is_stuck_;   // [states]
  double reset_per_s_ = 0;
};

// The grid unit of one resource: of the requests and their parts that at which rounding costs least, with the fewest levels.
double PickUnit(const std::vector<double>& sizes, const std::vector<double>& weights, double capacity, int32_t max_levels, double* rounding) {
  double best_unit = capacity / (max_levels - 1), best_cost = 1e300;
  const auto rounding_of = [&](double unit) {
    double sum = 0, total = 0;
    for (size_t i = 0; i < sizes.size(); ++i) {
      if (sizes[i] <= 0) continue;
      sum += weights[i] * std::abs(std::max(1.0, std::round(sizes[i] / unit)) * unit - sizes[i]) / sizes[i];
      total += weights[i];
    }
    return total > 0 ? sum / total : 0;
  };
  for (double size : sizes) {
    for (int parts = 1; parts <= 8 && size > 0; ++parts) {
      const double unit = size / parts;
      const double levels = std::floor(capacity / unit) + 1;
      if (levels > max_levels || levels < 2) continue;
      const double cost = rounding_of(unit) + 1e-4 * levels;
      if (cost < best_cost) {
        best_cost = cost;
        best_unit = unit;
      }
    }
  }
  *rounding = 100 * rounding_of(best_unit);
  return best_unit;
}

absl::Status CheckRange(std::string_view field, double value, double low, double high) {
  if (value >= low && value <= high) return absl::OkStatus();
  return InvalidField(field, fmt::format("{}", value), fmt::format("{} to {}", low, high));
}

absl::StatusOr<NodeMdpSolution> SolveShape(const Workload& workload, const NodeGroup& group, const NodeMdpOptions& options) {
  const Node& node = group.node;
  NodeMdpSolution solution;
  solution.shape = node.name;
  std::vector<double> cpu, mem, load;
  for (const PodClass& c : workload.pod_classes) {
    cpu.push_back(static_cast<double>(c.request.cpu_milli));
    mem.push_back(static_cast<double>(c.request.mem_bytes));
    load.push_back(c.share * c.lifetime.mean_s * static_cast<double>(c.request.cpu_milli));
  }
  ValueTable& table = solution.table;
  table.cpu_milli = node.cpu_milli;
  table.mem_bytes = node.mem_bytes;
  table.cpu_unit_milli = PickUnit(cpu, load, static_cast<double>(node.cpu_milli), options.max_cpu_levels, &solution.cpu_rounding_percent);
  table.mem_unit_bytes = PickUnit(mem, load, static_cast<double>(node.mem_bytes), options.max_mem_levels, &solution.mem_rounding_percent);
  table.cpu_levels = static_cast<int32_t>(std::floor(static_cast<double>(node.cpu_milli) / table.cpu_unit_milli + 1e-9)) + 1;
  table.mem_levels = static_cast<int32_t>(std::floor(static_cast<double>(node.mem_bytes) / table.mem_unit_bytes + 1e-9)) + 1;

  // The node's share of the stream is its share of the cluster's cpu.
  double cluster_cpu = 0;
  for (const NodeGroup& g : workload.node_groups) cluster_cpu += static_cast<double>(g.node.cpu_milli) * g.count;
  const double rate = ArrivalRatePerS(workload, options.design_load) * static_cast<double>(node.cpu_milli) / cluster_cpu;
  std::vector<Stream> streams;
  double most = 0;
  for (size_t k = 0; k < workload.pod_classes.size(); ++k) {
    const PodClass& c = workload.pod_classes[k];
    Stream s;
    s.pod_class = k;
    s.cpu = static_cast<int32_t>(std::max(c.request.cpu_milli > 0 ? 1.0 : 0.0, std::round(cpu[k] / table.cpu_unit_milli)));
    s.mem = static_cast<int32_t>(std::max(c.request.mem_bytes > 0 ? 1.0 : 0.0, std::round(mem[k] / table.mem_unit_bytes)));
    s.fair_per_s = rate * c.share;
    s.offered_per_s = options.m * s.fair_per_s;
    s.departure_per_s = 1 / c.lifetime.mean_s;
    s.reward = cpu[k] / 1000 * c.lifetime.mean_s;
    s.price = 0.5 * s.reward;
    if (s.fair_per_s <= 0 || s.reward <= 0 || s.cpu >= table.cpu_levels || s.mem >= table.mem_levels) continue;
    most += s.fair_per_s * s.reward;
    streams.push_back(s);
  }
  if (streams.empty()) return InvalidField("workload", workload.name, fmt::format("a class of pods that fits node {}", Quoted(node.name)));

  NodeModel model(table.cpu_levels, table.mem_levels, std::move(streams));
  mdp::SolveOptions solve;
  solve.tolerance = std::max(1e-12, options.tolerance * most);
  std::vector<double> h(static_cast<size_t>(model.num_states())), p, mean_price(model.streams().size());
  int averaged = 0;
  for (int step = 0; step <= options.price_steps; ++step) {
    const bool is_last = step == options.price_steps;
    if (is_last) {
      for (size_t k = 0; k < mean_price.size(); ++k) model.streams()[k].price = mean_price[k] / std::max(1, averaged);
    }
    // On the way each price is only followed; the last table is solved until it is certified or the sweeps are spent.
    solve.max_sweeps = is_last ? kLastSweeps : kStepSweeps;
    BERTH_ASSIGN_OR_RETURN(auto solved, mdp::SolveAverage(model, solve, h));
    h = std::move(solved.relative_values);
    solution.sweeps += solved.sweeps;
    BERTH_ASSIGN_OR_RETURN(auto chain, mdp::SolveStationary(mdp::GreedyChain(model, h), {.tolerance = 1e-6, .max_sweeps = is_last ? 10 * kStepSweeps : kStepSweeps}, p));
    p = std::move(chain.probability);
    solution.sweeps += chain.sweeps;
    const std::vector<double> taken = model.TakenPerS(h, p);
    if (is_last) {
      solution.gain = solved.gain;
      solution.gain_lower = solved.gain_lower;
      solution.gain_upper = solved.gain_upper;
      solution.prices.assign(workload.pod_classes.size(), 0);
      solution.accepted_share.assign(workload.pod_classes.size(), 0);
      for (size_t k = 0; k < taken.size(); ++k) {
        const Stream& s = model.streams()[k];
        solution.prices[s.pod_class] = s.price / s.reward;
        solution.accepted_share[s.pod_class] = taken[k] / s.fair_per_s;
      }
      break;
    }
    // Subgradient of the dual in each price: fair share - taken. Steps shrink; the mean over the second half is kept.
    const double length = 0.3 / (1 + 0.05 * step);
    for (size_t k = 0; k < taken.size(); ++k) {
      Stream& s = model.streams()[k];
      const double excess = std::clamp(taken[k] / s.fair_per_s - 1, -1.0, 1.0);
      s.price = std::clamp(s.price + length * s.reward * excess, 0.0, s.reward);
      if (step >= options.price_steps / 2) mean_price[k] += s.price;
    }
    if (step >= options.price_steps / 2) ++averaged;
  }
  table.value.resize(h.size());
  const double top = *std::max_element(h.begin(), h.end());
  for (size_t s = 0; s < h.size(); ++s) table.value[s] = static_cast<float>(h[s] - top);
  return solution;
}

}  // namespace

absl::StatusOr<std::vector<NodeMdpSolution>> SolveNodeMdps(const Workload& workload, const NodeMdpOptions& options) {
  BERTH_RETURN_IF_ERROR(CheckRange("m", options.m, 1, 100));
  BERTH_RETURN_IF_ERROR(CheckRange("design load", options.design_load, 1e-3, 10));
  BERTH_RETURN_IF_ERROR(CheckRange("max_cpu_levels", options.max_cpu_levels, 4, 1024));
  BERTH_RETURN_IF_ERROR(CheckRange("max_mem_levels", options.max_mem_levels, 4, 1024));
  BERTH_RETURN_IF_ERROR(CheckRange("price_steps", options.price_steps, 1, 100'000));
  BERTH_RETURN_IF_ERROR(CheckRange("tolerance", options.tolerance, 1e-9, 1));
  if (LoadResourceOf(workload) == LoadResource::kGpu) {
    return InvalidField("workload", workload.name, "a workload without GPUs: the per-node MDP knows cpu and memory");
  }
  for (const PodClass& c : workload.pod_classes) {
    if (c.lifetime.kind == Lifetime::Kind::kUnlimited) return InvalidField(fmt::format("lifetime of {}", Quoted(c.name)), "unlimited", "pods that depart");
  }
  std::vector<NodeMdpSolution> solutions;
  for (const NodeGroup& group : workload.node_groups) {
    const bool is_known = std::any_of(solutions.begin(), solutions.end(), [&](const NodeMdpSolution& s) {
      return s.table.cpu_milli == group.node.cpu_milli && s.table.mem_bytes == group.node.mem_bytes;
    });
    if (is_known) continue;
    BERTH_ASSIGN_OR_RETURN(auto solution, SolveShape(workload, group, options));
    solutions.push_back(std::move(solution));
  }
  return solutions;
}

std::shared_ptr<const Policy> MakeIndexPolicy(const std::vector<NodeMdpSolution>& solutions) {
  auto tables = std::make_shared<std::vector<ValueTable>>();
  for (const NodeMdpSolution& s : solutions) tables->push_back(s.table);
  ClassPolicySpec spec;
  spec.info = {"index", "", "index", "least h(before) - h(after), h = value of a node's free state in its own MDP at Lagrangian prices",
               "per-node value iteration (berth solve); Hawkins 2003, Whittle 1988", "", {}};
  spec.tie = TieRule::kLeastFreeMemory;
  spec.scorer = [tables] { return MakePotentialScorer(MakeTablePotential(tables)); };
  return MakeClassPolicy(std::move(spec));
}

absl::StatusOr<std::shared_ptr<const Policy>> MakeIndexPolicy(const Workload& workload, const NodeMdpOptions& options) {
  BERTH_ASSIGN_OR_RETURN(const auto solutions, SolveNodeMdps(workload, options));
  return MakeIndexPolicy(solutions);
}

}  // namespace berth

// `berth bench node-mdp`: exact nodes and a node with GPUs. What a sweep costs beside the floor of reading the values,
// how soon millions of states are solved, and what an index earns beside the bound, the optimum and two rules.
#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <functional>
#include <map>
#include <memory>

#include "base/clock.h"
#include "base/log.h"
#include "base/status.h"
#include "cli/verbs.h"
#include "env/node_mdp/fleet_joint.h"
#include "env/node_mdp/fleet_relaxation.h"
#include "env/node_mdp/fleet_simulation.h"
#include "env/node_mdp/fleet_tuning.h"
#include "env/node_mdp/gpu_grid.h"
#include "env/node_mdp/gpu_sweep.h"
#include "evaluate/report.h"
#include "evaluate/statistics.h"
#include "fmt/format.h"
#include "mdp/knapsack_solve.h"
#include "mdp/knapsack_sweep.h"
#include "mdp/value_iteration.h"

namespace berth::cli {
namespace {

struct Flags {
  int threads = 2;
  double time_scale = 1;
  uint64_t seed = 1;
  std::string parts = "sweeps,solves,two-nodes,fleets";
  bool json = false;
};

struct Times {
  double median = 0, least = 0;
};

// Seconds of one call, over seven parts of at least 30 ms.
Times TimeCalls(const std::function<void()>& call) {
  call();
  const double start = MonotonicSeconds();
  call();
  const int calls = std::clamp(static_cast<int>(0.03 / std::max(1e-9, MonotonicSeconds() - start)), 1, 100'000);
  std::vector<double> seconds;
  for (int part = 0; part < 7; ++part) {
    const double begin = MonotonicSeconds();
    for (int i = 0; i < calls; ++i) call();
    seconds.push_back((MonotonicSeconds() - begin) / calls);
  }
  return {Quantile(seconds, 0.5), *std::min_element(seconds.begin(), seconds.end())};
}

// A node of `scale` times the larger one of the example, under arrivals in proportion.
struct LargeNode {
  std::unique_ptr<mdp::KnapsackSpace> space;
  std::unique_ptr<mdp::KnapsackModel> model;
};

absl::StatusOr<LargeNode> MakeLargeNode(int64_t scale) {
  const Fleet fleet = ExampleFleet(1.1);
  std::vector<int64_t> capacity = fleet.types[0].capacity;
  for (int64_t& c : capacity) c *= scale;
  std::vector<std::vector<int64_t>> sizes;
  std::vector<mdp::KnapsackClass> classes;
  for (const FleetClass& c : fleet.classes) {
    sizes.push_back(c.request);
    classes.push_back({static_cast<double>(scale) * c.arrival_rate, c.departure_rate, c.reward});
  }
  LargeNode node;
  BERTH_ASSIGN_OR_RETURN(mdp::KnapsackSpace space, mdp::KnapsackSpace::Create(capacity, sizes));
  node.space = std::make_unique<mdp::KnapsackSpace>(std::move(space));
  BERTH_ASSIGN_OR_RETURN(mdp::KnapsackModel model, mdp::KnapsackModel::Create(*node.space, classes));
  node.model = std::make_unique<mdp::KnapsackModel>(std::move(model));
  return node;
}

// A node of eight GPUs, 96 cpu and a typical mix: pods of a quarter, a half and most of a device, of one, two and eight
// devices, and of none, an hour each; devices in eighths, cpu in 80 levels.
struct GpuNode {
  std::unique_ptr<GpuGrid> grid;
  std::vector<GpuStream> streams;
};

GpuNode MakeGpuNode() {
  struct Kind {
    int32_t whole, units;
    double cpu_levels, running, earned;
  };
  constexpr Kind kKinds[] = {{0, 2, 3.5, 4, 0.25}, {0, 4, 5, 3, 0.5},  {0, 7, 7, 1, 0.8}, {1, 0, 7, 3, 1},
                             {2, 0, 14, 0.4, 2},   {8, 0, 60, 0.2, 8}, {0, 0, 6, 2, 0.1}};
  constexpr double kCompetitors = 4;
  GpuNode node;
  std::vector<GpuGridClass> classes;
  for (const Kind& kind : kKinds) {
    classes.push_back({kind.whole, kind.units, kind.cpu_levels, kind.running, 1});
    node.streams.push_back({kCompetitors * kind.running, kind.earned});
  }
  node.grid = std::make_unique<GpuGrid>(8, 8, 80, std::move(classes));
  return node;
}

struct TransitionCounter {
  int64_t count = 0;
  void Jump(double, double, mdp::StateIndex) { ++count; }
  void Earn(double) {}
  void Decide(double, const auto& each) {
    each([&](double reward, mdp::StateIndex) { count += reward > 0 ? 1 : 0; });  // refusing is none
  }
};

int64_t CountTransitions(const GpuNode& node) {
  TransitionCounter counter;
  const GpuNodeModel model(*node.grid, node.streams);
  for (mdp::StateIndex s = 0; s < model.num_states(); ++s) model.VisitState(s, counter);
  return counter.count;
}

constexpr char kExact[] = "exact counts";
constexpr char kGpus[] = "eight GPUs";

template <mdp::Sweep S>
void AddSweep(const char* node, S& sweep, int64_t transitions, int threads, nlohmann::json& results, Table& table) {
  LogInfo("bench node-mdp: sweeps of {} states, {} threads", sweep.num_states(), threads);
  const Times check = TimeCalls([&] { sweep.Range(); });
  const Times step = TimeCalls([&] { sweep.GaussSeidelSweep(0); });
  std::vector<uint64_t> seen(static_cast<size_t>(sweep.num_blocks()));
  const std::span<const double> h = sweep.shuffled_values();
  const Times floor = TimeCalls([&] {
    sweep.ForEachBlock([&](int block, size_t begin, size_t end) {
      uint64_t bits = 0;
      for (size_t i = begin; i < end; ++i) bits ^= std::bit_cast<uint64_t>(h[i]);
      seen[block] = bits;
    });
  });
  const auto ns = [&](double seconds) { return 1e9 * seconds / static_cast<double>(transitions); };
  results.push_back({{"node", node},
                     {"states", sweep.num_states()},
                     {"transitions", transitions},
                     {"threads", threads},
                     {"instructions", mdp::InstructionSetName(mdp::BestInstructionSet())},
                     {"certificate_ns", ns(check.median)},
                     {"certificate_ns_min", ns(check.least)},
                     {"sweep_ns", ns(step.median)},
                     {"sweep_ns_min", ns(step.least)},
                     {"read_floor_ns", ns(floor.median)},
                     {"read_floor_ns_min", ns(floor.least)}});
  const auto cell = [&](const Times& t) { return fmt::format("{:.3f} ({:.3f})", ns(t.median), ns(t.least)); };
  table.rows.push_back({node, fmt::format("{}", sweep.num_states()), fmt::format("{}", transitions),
                        fmt::format("{}", threads), cell(check), cell(step), cell(floor)});
}

absl::Status AddSweeps(const Flags& flags, nlohmann::json& results, std::vector<Table>& tables) {
  Table table{"ns a transition, median (least) of 7 parts",
              {"node", "states", "transitions", "threads", "certificate", "sweep", "read the values once"},
              {}};
  std::vector<int> threads = {1};
  if (flags.threads > 1) threads.push_back(flags.threads);
  for (const int64_t scale : {3, 4, 6, 12}) {
    BERTH_ASSIGN_OR_RETURN(const LargeNode node, MakeLargeNode(scale));
    for (const int count : threads) {
      mdp::KnapsackSweep sweep(*node.model, {.threads = count});
      AddSweep(kExact, sweep, node.space->num_transitions(), count, results, table);
    }
  }
  const GpuNode node = MakeGpuNode();
  const int64_t transitions = CountTransitions(node);
  for (const int count : threads) {
    GpuSweep sweep(*node.grid, node.streams, count);
    AddSweep(kGpus, sweep, transitions, count, results, table);
  }
  tables.push_back(std::move(table));
  return absl::OkStatus();
}

absl::Status AddSolves(const Flags& flags, nlohmann::json& results, std::vector<Table>& tables) {
  Table table{
      "time to a certified gain", {"node", "states", "criterion", "relative width", "gain", "sweeps", "seconds"}, {}};
  const auto add = [&](const char* node, int64_t states, double discount_rate, double tolerance,
                       const mdp::SweepSolution& solution, double seconds) {
    const std::string criterion = discount_rate > 0 ? fmt::format("discount {}", discount_rate) : "average";
    results.push_back({{"node", node},
                       {"states", states},
                       {"discount_rate", discount_rate},
                       {"relative_tolerance", tolerance},
                       {"level_lower", solution.level_lower},
                       {"level_upper", solution.level_upper},
                       {"stop", mdp::StopReasonName(solution.stop)},
                       {"sweeps", solution.sweeps},
                       {"threads", flags.threads},
                       {"seconds", seconds}});
    table.rows.push_back({node, fmt::format("{}", states), criterion, fmt::format("{:.0e}", tolerance),
                          fmt::format("{:.6f}", solution.level), fmt::format("{}", solution.sweeps),
                          fmt::format("{:.2f}", seconds)});
  };
  for (const int64_t scale : {6, 12}) {
    BERTH_ASSIGN_OR_RETURN(const LargeNode node, MakeLargeNode(scale));
    double offered = 0;
    for (const mdp::KnapsackClass& c : node.model->classes()) offered += c.arrival_rate * c.reward;
    for (const double discount_rate : {0.0, 0.01}) {
      for (const double tolerance : {1e-4, 1e-8}) {
        if (discount_rate > 0 && tolerance < 1e-4) continue;
        LogInfo("bench node-mdp: solving {} states to {}", node.space->num_states(), tolerance);
        const double begin = MonotonicSeconds();
        BERTH_ASSIGN_OR_RETURN(
            const mdp::SweepSolution solution,
            mdp::SolveKnapsack(*node.model, {.discount_rate = discount_rate,
                                             .tolerance = tolerance * offered / (discount_rate > 0 ? discount_rate : 1),
                                             .threads = flags.threads}));
        add(kExact, node.space->num_states(), discount_rate, tolerance, solution, MonotonicSeconds() - begin);
      }
    }
  }
  const GpuNode node = MakeGpuNode();
  double offered = 0;
  for (const GpuStream& stream : node.streams) offered += stream.offered_per_h * stream.earned;
  for (const double tolerance : {1e-2, 1e-3}) {
    LogInfo("bench node-mdp: solving {} states with GPUs to {}", node.grid->num_states(), tolerance);
    const double begin = MonotonicSeconds();
    GpuSweep sweep(*node.grid, node.streams, flags.threads);
    BERTH_ASSIGN_OR_RETURN(const mdp::SweepSolution solution,
                           mdp::SolveBySweeps(sweep, {.tolerance = tolerance * offered}));
    add(kGpus, node.grid->num_states(), 0, tolerance, solution, MonotonicSeconds() - begin);
  }
  tables.push_back(std::move(table));
  return absl::OkStatus();
}

// Memory first, which is the scarce resource of the example, then cpu.
constexpr std::array<double, 2> kMemoryFirst = {0.01, 1};

absl::Status AddPair(const Flags&, nlohmann::json& results, std::vector<Table>& tables) {
  constexpr int kOneOfEach[] = {0, 1};
  BERTH_ASSIGN_OR_RETURN(const FleetSpaces spaces, FleetSpaces::Create(ExampleFleet(1.1)));
  BERTH_ASSIGN_OR_RETURN(const FleetJoint joint, FleetJoint::Create(spaces, kOneOfEach));
  LogInfo("bench node-mdp: two nodes exactly, {} joint states", joint.num_states());
  BERTH_ASSIGN_OR_RETURN(const mdp::AverageSolution optimum, mdp::SolveAverage(joint, {.tolerance = 1e-7}));
  BERTH_ASSIGN_OR_RETURN(const Relaxation pair, RelaxFleet(spaces, 2));
  BERTH_ASSIGN_OR_RETURN(const Relaxation split, RelaxFleet(spaces, 1));
  Table table{"two nodes, load 1.1, exactly: reward a node", {"policy", "reward", "% of the optimum"}, {}};
  const auto add = [&](const std::string& name, double reward) {
    const double share = 200 * reward / optimum.gain;
    results.push_back({{"policy", name}, {"reward", reward}, {"percent_of_optimum", share}});
    table.rows.push_back({name, fmt::format("{:.6f}", reward), fmt::format("{:.2f}", share)});
  };
  add("bound", pair.bound);
  add("optimum", optimum.gain / 2);
  const std::vector<std::pair<std::string, FleetRanking>> rankings = {
      {"index, m = 2", RankByValues(spaces, pair.values)},
      {"index, m = 2, toll asked on placing", RankByValues(spaces, pair.values, pair.prices)},
      {"index, m = 1", RankByValues(spaces, split.values)},
      {"best-fit, memory first", RankBestFit(spaces, kMemoryFirst)},
      {"best-fit", RankBestFit(spaces)},
      {"spreading", RankSpreading(spaces)}};
  for (const auto& [name, ranking] : rankings) {
    BERTH_ASSIGN_OR_RETURN(const double reward, EvaluateExactly(spaces, ranking, kOneOfEach));
    add(name, reward);
  }
  add("streams split at random", split.bound);
  tables.push_back(std::move(table));
  return absl::OkStatus();
}

struct Case {
  double load;
  bool has_divisible_sizes;
  int32_t num_nodes;
};
constexpr Case kCases[] = {{0.9, false, 100}, {0.9, false, 1000}, {1.1, false, 10},
                           {1.1, false, 100}, {1.1, false, 1000}, {1.1, false, 10000},
                           {1.5, false, 100}, {1.5, false, 1000}, {1.1, true, 1000}};

absl::Status AddFleets(const Flags& flags, nlohmann::json& results, std::vector<Table>& tables) {
  Table table{"fleets, simulated: reward a node (% of the bound)",
              {"load", "sizes", "nodes", "bound", "index, m = 10", "index, tuned", "m, load", "best-fit",
               "best-fit, memory first", "spreading", "index, m = 1", "95 %"},
              {}};
  for (const Case& c : kCases) {
    LogInfo("bench node-mdp: {} nodes at load {}", c.num_nodes, c.load);
    const double design_load = std::max(c.load, 1.1);
    BERTH_ASSIGN_OR_RETURN(const FleetSpaces served, FleetSpaces::Create(ExampleFleet(c.load, c.has_divisible_sizes)));
    BERTH_ASSIGN_OR_RETURN(const FleetSpaces design,
                           FleetSpaces::Create(ExampleFleet(design_load, c.has_divisible_sizes)));
    BERTH_ASSIGN_OR_RETURN(const Relaxation bound, RelaxFleet(served, c.num_nodes));
    const double window_time = flags.time_scale * std::clamp(2e6 / c.num_nodes, 200.0, 100'000.0);
    double half_width = 0;
    int64_t events = 0;
    const auto simulate = [&](const FleetRanking& ranking, uint64_t seed, double time) -> absl::StatusOr<double> {
      BERTH_ASSIGN_OR_RETURN(
          const FleetEstimate estimate,
          SimulateFleet(served, ranking,
                        {.num_nodes = c.num_nodes, .warmup_time = 300, .window_time = time, .seed = seed}));
      half_width = std::max(half_width, estimate.half_width);
      events += estimate.events;
      return estimate.reward;
    };
    BERTH_ASSIGN_OR_RETURN(TunedIndex tuned, TuneIndex(served, {.simulation = {.num_nodes = c.num_nodes,
                                                                               .warmup_time = 100,
                                                                               .window_time = window_time / 2,
                                                                               .seed = flags.seed + 900'000}}));
    const double begin = MonotonicSeconds();
    BERTH_ASSIGN_OR_RETURN(const Relaxation ten, RelaxFleet(design, 10));
    BERTH_ASSIGN_OR_RETURN(const Relaxation one, RelaxFleet(design, 1));
    nlohmann::json& result = results.emplace_back(nlohmann::json{{"load", c.load},
                                                                 {"has_divisible_sizes", c.has_divisible_sizes},
                                                                 {"nodes", c.num_nodes},
                                                                 {"bound", bound.bound},
                                                                 {"tuned_m", tuned.competitors},
                                                                 {"tuned_load", tuned.load}});
    std::vector<std::string> row = {fmt::format("{}", c.load), c.has_divisible_sizes ? "divisible" : "mixed",
                                    fmt::format("{}", c.num_nodes), fmt::format("{:.3f}", bound.bound)};
    const std::vector<std::pair<std::string, FleetRanking>> rankings = {
        {"index_m10", RankByValues(served, ten.values)},
        {"index_tuned", tuned.ranking},
        {"best_fit", RankBestFit(served)},
        {"best_fit_memory_first", RankBestFit(served, kMemoryFirst)},
        {"spreading", RankSpreading(served)},
        {"index_m1", RankByValues(served, one.values)}};
    for (const auto& [name, ranking] : rankings) {
      BERTH_ASSIGN_OR_RETURN(const double reward, simulate(ranking, flags.seed, window_time));
      result[name] = reward;
      row.push_back(fmt::format("{:.2f} ({:.1f})", reward, 100 * reward / bound.bound));
      if (name == "index_tuned") row.push_back(fmt::format("{}, {}", tuned.competitors, tuned.load));
    }
    result["half_width_max"] = half_width;
    result["events_per_s"] = static_cast<double>(events) / std::max(1e-9, MonotonicSeconds() - begin);
    row.push_back(fmt::format("{:.2f}", half_width));
    table.rows.push_back(std::move(row));
  }
  tables.push_back(std::move(table));
  return absl::OkStatus();
}

absl::Status Run(const Flags& flags) {
  using Part = std::function<absl::Status(const Flags&, nlohmann::json&, std::vector<Table>&)>;
  const std::map<std::string, Part> known = {
      {"sweeps", AddSweeps}, {"solves", AddSolves}, {"two-nodes", AddPair}, {"fleets", AddFleets}};
  nlohmann::json results;
  std::vector<Table> tables;
  for (const std::string& name : SplitList(flags.parts)) {
    const auto part = known.find(name);
    if (part == known.end()) return InvalidField("--parts", name, "sweeps, solves, two-nodes, fleets");
    nlohmann::json& result = results[name] = nlohmann::json::array();
    BERTH_RETURN_IF_ERROR(part->second(flags, result, tables));
  }
  if (flags.json) {
    fmt::print("{}\n", nlohmann::json{{"results", results}, {"machine", MachineJson()}}.dump(1));
  } else {
    for (const Table& table : tables) fmt::print("{}\n", TextTable(table));
  }
  return absl::OkStatus();
}

const BenchRegistration kNodeMdp("node-mdp", [](CLI::App& app, VerbResult& result) {
  auto flags = std::make_shared<Flags>();
  CLI::App* bench = app.add_subcommand("node-mdp",
                                       "Exact nodes, and one with GPUs: ns a transition of a sweep, time to a "
                                       "certified gain, and what an index earns beside the bound");
  bench->footer("Example:\n  berth bench node-mdp --json\n  berth bench node-mdp --parts fleets --time-scale 0.1");
  bench->add_option("--threads", flags->threads, "of sweeps and solves")
      ->check(CLI::Range(1, 64))
      ->capture_default_str();
  bench
      ->add_option("--time-scale", flags->time_scale,
                   "simulated time, as a multiple of what the figures were quoted from")
      ->check(CLI::Range(0.001, 100.0))
      ->capture_default_str();
  bench->add_option("--parts", flags->parts, "sweeps, solves, two-nodes, fleets; commas between")
      ->capture_default_str();
  bench->add_option("--seed", flags->seed, "of the simulated fleets")->capture_default_str();
  bench->add_flag("--json", flags->json, "for programs");
  bench->callback([flags, &result] { result.status = Run(*flags); });
});

}  // namespace
}  // namespace berth::cli

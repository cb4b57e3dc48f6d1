// `berth bench mdp`: sweeps and whole certified solves of random models (Garnet), beside what the memory allows and
// beside public solvers.
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <memory>
#include <optional>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "base/log.h"
#include "base/rng.h"
#include "base/status.h"
#include "cli/peer.h"
#include "cli/verbs.h"
#include "evaluate/report.h"
#include "evaluate/statistics.h"
#include "fmt/format.h"
#include "mdp/files/model_file.h"
#include "mdp/modified_policy_iteration.h"
#include "mdp/solve.h"
#include "mdp/stored_sweep.h"

namespace berth::cli {
namespace {

using nlohmann::json;

struct Flags {
  std::string states = "100000";
  int64_t actions = 10, successors = 5;
  double one_minus_gamma = 0.01, epsilon = 1e-6;
  int repeats = 7;
  uint64_t seed = 20261125;
  bool has_peers = false, sweeps_only = false;
  std::string python = "python3", script = "tools/mdp_peers.py", peers = "quantecon,quantecon-k10,storm";
  bool json = false;
};

double Median(std::vector<double> values) { return Quantile(values, 0.5); }

// Garnet (Archibald, McKinnon and Thomas, J. Oper. Res. Soc. 46, 1995): `successors` distinct uniform states for every
// action, probabilities Dirichlet(1), rewards U(0, 1).
absl::StatusOr<mdp::SparseMdp> Garnet(int64_t states, const Flags& flags) {
  Rng rng(flags.seed);
  mdp::SparseMdpBuilder builder(static_cast<mdp::StateIndex>(states));
  std::vector<mdp::Transition> row(static_cast<size_t>(flags.successors));
  for (mdp::StateIndex s = 0; s < states; ++s) {
    for (int32_t a = 0; a < flags.actions; ++a) {
      double sum = 0;
      for (size_t k = 0; k < row.size(); ++k) {
        const auto is_taken = [&](mdp::StateIndex next) {
          return std::any_of(row.begin(), row.begin() + static_cast<std::ptrdiff_t>(k),
                             [&](const mdp::Transition& t) { return t.next == next; });
        };
        do {
          row[k].next = static_cast<mdp::StateIndex>(rng.Below(static_cast<uint64_t>(states)));
        } while (is_taken(row[k].next));
        row[k].weight = rng.Exponential(1);
        sum += row[k].weight;
      }
      for (mdp::Transition& t : row) t.weight /= sum;
      BERTH_RETURN_IF_ERROR(builder.AddAction(s, a, rng.Uniform(), row));
    }
  }
  return std::move(builder).Build();
}

// One thread is timed by its CPU time, which others on the machine do not stretch; several by the wall clock.
double Seconds(int threads) { return threads == 1 ? ProcessCpuSeconds() : MonotonicSeconds(); }

// Bytes a second at which `threads` threads read an array that no cache holds: the best of a few passes.
double ReadBandwidth(int threads) {
  constexpr size_t kDoubles = size_t{48} << 20;  // 384 MiB
  const std::vector<double> data(kDoubles, 1.0);
  double best = 0;
  for (int pass = 0; pass < 5; ++pass) {
    std::vector<double> sums(static_cast<size_t>(threads));
    const double begin = Seconds(threads);
    const auto read = [&](size_t part) {
      const size_t from = kDoubles * part / sums.size(), to = kDoubles * (part + 1) / sums.size();
      // Independent sums, so that no addition waits for another.
      std::array<double, 32> sum{};
      for (size_t i = from; i + sum.size() <= to; i += sum.size()) {
        for (size_t k = 0; k < sum.size(); ++k) sum[k] += data[i + k];
      }
      for (const double x : sum) sums[part] += x;
    };
    std::vector<std::thread> others;
    for (size_t part = 1; part < sums.size(); ++part) others.emplace_back(read, part);
    read(0);
    for (std::thread& t : others) t.join();
    const double seconds = Seconds(threads) - begin;
    double total = 0;
    for (const double x : sums) total += x;
    if (total > 0) best = std::max(best, static_cast<double>(kDoubles * sizeof(double)) / seconds);
  }
  return best;
}

// Values to compare with, in 80-bit floats: modified policy iteration far below any tolerance measured here.
std::vector<double> Reference(const mdp::SparseMdp& model, double alpha, std::vector<double> start,
                              std::span<const int32_t> policy) {
  std::vector<long double> v(start.begin(), start.end()), next(v.size());
  const long double gamma = 1 - static_cast<long double>(alpha);
  for (int i = 0; i < 400; ++i) {
    long double lowest = 1e300L, highest = -1e300L;
    for (mdp::StateIndex s = 0; s < model.num_states(); ++s) {
      const auto worth = [&](int32_t a) {
        long double sum = 0;
        model.VisitSuccessors(s, a, [&](mdp::StateIndex to, double p) { sum += static_cast<long double>(p) * v[to]; });
        return model.Reward(s, a) + gamma * sum;
      };
      // Every eighth sweep looks at all actions.
      long double best = worth(policy[s]);
      for (int32_t a = 0; i % 8 == 0 && a < model.num_actions(s); ++a) best = std::max(best, worth(a));
      next[s] = best;
      lowest = std::min(lowest, best - v[s]);
      highest = std::max(highest, best - v[s]);
    }
    v.swap(next);
    const long double shift = (lowest + highest) / 2 * gamma / alpha;
    for (long double& x : v) x += shift;
    if (i % 8 == 0 && highest - lowest < 1e-15L) break;
  }
  return {v.begin(), v.end()};
}

template <class Real>
json TimeSweeps(const mdp::SparseMdp& model, const Flags& flags, mdp::Storage storage, int threads, double bandwidth) {
  mdp::internal::StoredSweep<Real> sweep(model, 1 - flags.one_minus_gamma, 1, threads, storage);
  std::vector<Real> h(static_cast<size_t>(model.num_states())), q(h.size());
  std::vector<int32_t> policy(h.size());
  Rng rng(flags.seed + 1);
  for (Real& v : h) v = static_cast<Real>(rng.Uniform());
  std::vector<double> sweeps_ms;
  for (int i = 0; i < flags.repeats + 1; ++i) {
    const double begin = Seconds(threads);
    sweep.Greedy(h.data(), q.data(), policy.data());
    if (i > 0) sweeps_ms.push_back(1e3 * (Seconds(threads) - begin));  // the first warms up
  }
  const auto transitions = static_cast<double>(model.num_transitions());
  const auto bytes = static_cast<double>(sweep.bytes_per_sweep());
  const double floor_ms = 1e3 * bytes / bandwidth;
  const double ms = Median(sweeps_ms);
  return {{"storage", storage == mdp::Storage::kSell8 ? "sell8" : "compressed"},
          {"precision", sizeof(Real) == 8 ? "double" : "single"},
          {"threads", threads},
          {"sweep_ms", ms},
          {"sweep_ms_min", *std::min_element(sweeps_ms.begin(), sweeps_ms.end())},
          {"ns_per_transition", 1e6 * ms / transitions},
          {"bytes_per_transition", bytes / transitions},
          {"floor_ms", floor_ms},
          {"of_floor_ratio", floor_ms / ms}};
}

absl::StatusOr<json> RunSolver(const Flags& flags, const std::string& peer, const std::string& model,
                               const std::string& reference) {
  return RunPeer("OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 NUMBA_NUM_THREADS=1 timeout 3600", flags.python,
                 flags.script,
                 {"--peer", peer, "--model", model, "--reference", reference, "--one-minus-gamma",
                  fmt::format("{}", flags.one_minus_gamma), "--epsilon", fmt::format("{}", flags.epsilon), "--repeats",
                  fmt::format("{}", flags.repeats)},
                 "cpu_s", "a Python with quantecon and stormpy, started where --peers-script is found");
}

absl::Status Run(const Flags& flags) {
  BERTH_ASSIGN_OR_RETURN(const std::vector<uint64_t> sizes, ParseSeeds("--states", flags.states));
  const std::array<double, 2> bandwidth = {ReadBandwidth(1), ReadBandwidth(2)};
  LogInfo("reads {:.1f} GB/s with one thread, {:.1f} with two", bandwidth[0] / 1e9, bandwidth[1] / 1e9);
  json results = json::array();
  Table sweeps{fmt::format("one greedy sweep, Garnet of {} actions x {} successors", flags.actions, flags.successors),
               {"states", "storage", "precision", "threads", "ms", "ns/transition", "bytes/transition", "floor, ms",
                "of the floor"},
               {}};
  Table solves{fmt::format("whole solve to a certified {:g}, gamma = {:g}, one thread", flags.epsilon,
                           1 - flags.one_minus_gamma),
               {"states", "program", "CPU s", "sweeps", "error claimed", "true error", "times ours"},
               {}};
  for (const uint64_t size : sizes) {
    const auto states = static_cast<int64_t>(size);
    if (states < flags.successors || states > 100'000'000) {
      return InvalidField("--states", fmt::format("{}", states), fmt::format("{} to 100000000", flags.successors));
    }
    LogInfo("bench mdp: {} states", states);
    BERTH_ASSIGN_OR_RETURN(mdp::SparseMdp model, Garnet(states, flags));
    json entry{{"states", states},
               {"transitions", model.num_transitions()},
               {"sweeps", json::array()},
               {"solves", json::array()}};
    for (const mdp::Storage storage : {mdp::Storage::kCompressed, mdp::Storage::kSell8}) {
      for (const int threads : {1, 2}) {
        for (const bool is_double : {true, false}) {
          json timed = is_double ? TimeSweeps<double>(model, flags, storage, threads, bandwidth[threads - 1])
                                 : TimeSweeps<float>(model, flags, storage, threads, bandwidth[threads - 1]);
          sweeps.rows.push_back({fmt::format("{}", states), timed["storage"], timed["precision"],
                                 fmt::format("{}", threads), fmt::format("{:.2f}", timed["sweep_ms"].get<double>()),
                                 fmt::format("{:.3f}", timed["ns_per_transition"].get<double>()),
                                 fmt::format("{:.1f}", timed["bytes_per_transition"].get<double>()),
                                 fmt::format("{:.2f}", timed["floor_ms"].get<double>()),
                                 fmt::format("{:.0f} %", 100 * timed["of_floor_ratio"].get<double>())});
          entry["sweeps"].push_back(std::move(timed));
        }
      }
    }
    if (!flags.sweeps_only) {
      std::vector<double> reference;
      double own_s = 0;
      const auto solve = [&](const char* name, mdp::Method method, bool is_single, int repeats) -> absl::Status {
        mdp::ModelSolveOptions options;
        options.epsilon = flags.epsilon;
        options.lists_optimal_actions = false;
        options.starts_in_single_precision = is_single;
        std::vector<double> seconds;
        std::optional<mdp::ModelSolution> solution;
        for (int i = 0; i < repeats; ++i) {
          const double begin = ProcessCpuSeconds();
          BERTH_ASSIGN_OR_RETURN(solution,
                                 mdp::SolveModel(model, {.one_minus_gamma = flags.one_minus_gamma}, method, options));
          seconds.push_back(ProcessCpuSeconds() - begin);
        }
        if (reference.empty()) reference = Reference(model, flags.one_minus_gamma, solution->values, solution->policy);
        double error = 0;
        for (size_t s = 0; s < reference.size(); ++s)
          error = std::max(error, std::abs(solution->values[s] - reference[s]));
        const double cpu_s = Median(seconds);
        if (own_s == 0) own_s = cpu_s;
        entry["solves"].push_back({{"program", name},
                                   {"cpu_s", cpu_s},
                                   {"cpu_s_min", *std::min_element(seconds.begin(), seconds.end())},
                                   {"sweeps", solution->sweeps},
                                   {"claimed_error", solution->error},
                                   {"true_error", error},
                                   {"stop_reason", mdp::StopReasonName(solution->stop)},
                                   {"ratio", cpu_s / own_s}});
        solves.rows.push_back({fmt::format("{}", states), name, fmt::format("{:.3f}", cpu_s),
                               fmt::format("{}", solution->sweeps), fmt::format("{:.1e}", solution->error),
                               fmt::format("{:.1e}", error), fmt::format("{:.2f}", cpu_s / own_s)});
        return absl::OkStatus();
      };
      BERTH_RETURN_IF_ERROR(
          solve("berth, modified policy iteration", mdp::Method::kModifiedPolicyIteration, false, flags.repeats));
      BERTH_RETURN_IF_ERROR(
          solve("berth, the same, single precision first", mdp::Method::kModifiedPolicyIteration, true, flags.repeats));
      BERTH_RETURN_IF_ERROR(
          solve("berth, value iteration", mdp::Method::kValueIteration, false, std::min(3, flags.repeats)));
      BERTH_RETURN_IF_ERROR(solve("berth, policy iteration", mdp::Method::kPolicyIteration, false, 1));
      if (flags.has_peers) {
        const auto folder = std::filesystem::temp_directory_path() / fmt::format("berth-bench-mdp-{}", getpid());
        std::filesystem::create_directories(folder);
        const auto remove = [](const std::filesystem::path* path) {
          std::error_code ignored;
          std::filesystem::remove_all(*path, ignored);
        };
        const std::unique_ptr<const std::filesystem::path, decltype(remove)> cleanup(&folder, remove);
        const std::string file = (folder / "model.umb").string(), values = (folder / "reference.f64").string();
        BERTH_RETURN_IF_ERROR(mdp::WriteModelFile(file, {.mdp = model}));
        std::ofstream(values, std::ios::binary)
            .write(reinterpret_cast<const char*>(reference.data()),
                   static_cast<std::streamsize>(reference.size() * sizeof(double)));
        for (const std::string& peer : SplitList(flags.peers)) {
          LogInfo("bench mdp: {} states, {}", states, peer);
          BERTH_ASSIGN_OR_RETURN(json answer, RunSolver(flags, peer, file, values));
          const double cpu_s = answer["cpu_s"].get<double>();
          answer["program"] = fmt::format("{} {}, {}", peer.substr(0, peer.find('-')),
                                          answer["version"].get<std::string>(), answer["method"].get<std::string>());
          answer["ratio"] = cpu_s / own_s;
          solves.rows.push_back(
              {fmt::format("{}", states), answer["program"], fmt::format("{:.3f}", cpu_s),
               answer["iterations"].is_null() ? "" : answer["iterations"].dump(),
               answer["bounds"].is_null() ? "none" : fmt::format("{:.1e}", answer["claimed_error"].get<double>()),
               fmt::format("{:.1e}", answer["error"].get<double>()), fmt::format("{:.2f}", cpu_s / own_s)});
          entry["solves"].push_back(std::move(answer));
        }
      }
    }
    results.push_back(std::move(entry));
  }
  if (flags.json) {
    fmt::print("{}\n", json{{"results", results},
                            {"read_gb_per_s", {bandwidth[0] / 1e9, bandwidth[1] / 1e9}},
                            {"actions", flags.actions},
                            {"successors", flags.successors},
                            {"seed", flags.seed},
                            {"machine", MachineJson()}}
                           .dump(1));
  } else {
    fmt::print("{}", TextTable(sweeps));
    if (!solves.rows.empty()) fmt::print("\n{}", TextTable(solves));
  }
  return absl::OkStatus();
}

const BenchRegistration kMdp("mdp", [](CLI::App& app, VerbResult& result) {
  auto flags = std::make_shared<Flags>();
  CLI::App* bench = app.add_subcommand(
      "mdp", "Sweeps and certified solves of random MDPs, beside the speed of the memory and public solvers");
  bench->footer(
      "Examples:\n  berth bench mdp --json\n  berth bench mdp --states 100000,1000000 --peers --peers-python "
      "VENV/bin/python\n"
      "  berth bench mdp --states 10000,100000,1000000,10000000 --actions 2 --sweeps-only");
  bench->add_option("--states", flags->states, "sizes")->capture_default_str();
  bench->add_option("--actions", flags->actions, "of a state")->check(CLI::Range(1, 1000))->capture_default_str();
  bench->add_option("--successors", flags->successors, "of an action")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  bench->add_option("--one-minus-gamma", flags->one_minus_gamma, "1 - gamma")->capture_default_str();
  bench->add_option("--epsilon", flags->epsilon, "certified error of a whole solve")->capture_default_str();
  bench->add_option("--repeats", flags->repeats, "the median of so many is printed")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  bench->add_option("--seed", flags->seed, "of the draw")->capture_default_str();
  bench->add_flag("--sweeps-only", flags->sweeps_only, "no whole solves");
  bench->add_flag("--peers", flags->has_peers, "QuantEcon and Storm on the same draw too, in processes of their own");
  bench->add_option("--peers-list", flags->peers, "which")->capture_default_str();
  bench->add_option("--peers-python", flags->python, "a Python that has them (pip install quantecon stormpy)")
      ->capture_default_str();
  bench->add_option("--peers-script", flags->script, "the script that runs them")->capture_default_str();
  bench->add_flag("--json", flags->json, "for programs");
  bench->callback([flags, &result] { result.status = Run(*flags); });
});

}  // namespace
}  // namespace berth::cli

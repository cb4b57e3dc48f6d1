#include "env/node_mdp/node_grid.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <map>
#include <numeric>
#include <optional>
#include <string>
#include <utility>

#include "base/rng.h"
#include "mdp/stationary.h"
#include "workload/workload.h"

namespace berth {
namespace {

using Counts = std::vector<int32_t>;
using Amounts = std::pair<int32_t, int32_t>;

constexpr int32_t kCpuLevels = 9, kMemLevels = 8;
const std::vector<GridClass> kClasses = {{1, 1}, {3, 1}, {2, 4}};
const std::vector<double> kRho = {1.7, 0.6, 0.9};
const std::vector<double> kDepartures = {4, 1, 0.25};  // per pod and time unit

Amounts Used(const Counts& n) {
  Amounts used{0, 0};
  for (size_t k = 0; k < n.size(); ++k) {
    used.first += n[k] * kClasses[k].cpu;
    used.second += n[k] * kClasses[k].mem;
  }
  return used;
}

// Every set of pods that fits.
std::vector<Counts> AllSets() {
  std::vector<Counts> sets;
  Counts n(kClasses.size());
  const std::function<void(size_t)> extend = [&](size_t k) {
    if (k == kClasses.size()) {
      sets.push_back(n);
      return;
    }
    for (n[k] = 0; Used(n).first < kCpuLevels && Used(n).second < kMemLevels; ++n[k]) extend(k + 1);
    n[k] = 0;
  };
  extend(0);
  return sets;
}

NodeGrid Grid() {
  NodeGrid grid(kCpuLevels, kMemLevels, kClasses);
  grid.SetMix(kRho);
  return grid;
}

TEST(NodeGrid, StatesAreExactlyTheSumsOfPodsThatFit) {
  const NodeGrid grid = Grid();
  std::map<Amounts, int> sums;
  for (const Counts& n : AllSets()) ++sums[Used(n)];
  EXPECT_EQ(grid.num_states(), static_cast<int32_t>(sums.size()));
  for (const auto& [used, sets] : sums)
    EXPECT_GE(grid.StateAt(used.first, used.second), 0) << used.first << ", " << used.second;
  EXPECT_EQ(grid.used_cpu(0), 0);
  EXPECT_EQ(grid.used_mem(0), 0);
}

TEST(NodeGrid, MeanRunningEqualsTheSumOverAllSetsOfPods) {
  const NodeGrid grid = Grid();
  std::map<Amounts, double> weight;
  std::map<Amounts, std::vector<double>> pods;
  for (const Counts& n : AllSets()) {
    double w = 1;
    for (size_t k = 0; k < n.size(); ++k) w *= std::pow(kRho[k], n[k]) / std::tgamma(n[k] + 1);
    weight[Used(n)] += w;
    auto& mean = pods[Used(n)];
    mean.resize(n.size());
    for (size_t k = 0; k < n.size(); ++k) mean[k] += w * n[k];
  }
  for (int32_t s = 0; s < grid.num_states(); ++s) {
    const Amounts used{grid.used_cpu(s), grid.used_mem(s)};
    for (size_t k = 0; k < kClasses.size(); ++k) EXPECT_NEAR(grid.Running(s, k), pods[used][k] / weight[used], 1e-12);
  }
}

TEST(NodeGrid, RunningPodsUseUpTheAmountsExactlyWhateverTheMix) {
  NodeGrid grid = Grid();
  for (const std::vector<double>& rho : {kRho, {1, 1, 1}, {1e-6, 30, 1e5}}) {
    grid.SetMix(rho);
    for (int32_t s = 0; s < grid.num_states(); ++s) {
      double cpu = 0, mem = 0;
      for (size_t k = 0; k < kClasses.size(); ++k) {
        cpu += grid.Running(s, k) * kClasses[k].cpu;
        mem += grid.Running(s, k) * kClasses[k].mem;
        EXPECT_EQ(grid.Running(s, k) > 0, grid.Before(s, k) >= 0);
      }
      EXPECT_NEAR(cpu, grid.used_cpu(s), 1e-9);
      EXPECT_NEAR(mem, grid.used_mem(s), 1e-9);
    }
  }
}

TEST(NodeGrid, ALargeNodeDoesNotOverflow) {
  NodeGrid grid(1024, 2, {{1, 0}, {2, 0}});
  grid.SetMix({900, 300});
  const int32_t full = grid.StateAt(1023, 0);
  EXPECT_NEAR(grid.Running(full, 0) + 2 * grid.Running(full, 1), 1023, 1e-6);
}

// Long-run probability of the amounts in use on a node that takes whatever fits, from the chain over whole sets of
// pods.
std::map<Amounts, double> ExactAmounts() {
  const std::vector<Counts> sets = AllSets();
  std::map<Counts, mdp::StateIndex> index;
  for (const Counts& n : sets) index.emplace(n, static_cast<mdp::StateIndex>(index.size()));
  mdp::PolicyChain chain;
  std::vector<Counts> by_index(sets.size());
  for (const auto& [n, i] : index) by_index[static_cast<size_t>(i)] = n;
  for (const Counts& n : by_index) {
    for (size_t k = 0; k < n.size(); ++k) {
      Counts more = n, less = n;
      ++more[k];
      --less[k];
      if (index.contains(more)) chain.next.push_back(index[more]), chain.weight.push_back(kRho[k] * kDepartures[k]);
      if (n[k] > 0) chain.next.push_back(index[less]), chain.weight.push_back(n[k] * kDepartures[k]);
    }
    chain.begin.push_back(static_cast<int64_t>(chain.next.size()));
    chain.reward.push_back(0);
  }
  std::map<Amounts, double> probability;
  const auto solved = mdp::SolveStationary(chain, {.tolerance = 1e-13, .max_sweeps = 1'000'000});
  EXPECT_TRUE(solved.ok() && solved->is_converged);
  for (size_t i = 0; i < by_index.size(); ++i) probability[Used(by_index[i])] += solved->probability[i];
  return probability;
}

double DistanceToExact(const NodeGrid& grid) {
  mdp::PolicyChain chain;
  for (int32_t s = 0; s < grid.num_states(); ++s) {
    for (size_t k = 0; k < kClasses.size(); ++k) {
      if (grid.After(s, k) >= 0)
        chain.next.push_back(grid.After(s, k)), chain.weight.push_back(kRho[k] * kDepartures[k]);
      if (grid.Before(s, k) >= 0)
        chain.next.push_back(grid.Before(s, k)), chain.weight.push_back(grid.Running(s, k) * kDepartures[k]);
    }
    chain.begin.push_back(static_cast<int64_t>(chain.next.size()));
    chain.reward.push_back(0);
  }
  const auto solved = mdp::SolveStationary(chain, {.tolerance = 1e-13, .max_sweeps = 1'000'000});
  EXPECT_TRUE(solved.ok() && solved->is_converged);
  double distance = 0;
  for (const auto& [used, probability] : ExactAmounts()) {
    distance +=
        std::abs(probability - solved->probability[static_cast<size_t>(grid.StateAt(used.first, used.second))]) / 2;
  }
  return distance;
}

TEST(NodeGrid, IsExactForANodeThatTakesWhateverFits) { EXPECT_LT(DistanceToExact(Grid()), 1e-9); }

// The positive control of the test above.
TEST(NodeGrid, AWrongMixIsNotExact) {
  NodeGrid grid = Grid();
  grid.SetMix({0.9, 0.6, 1.7});
  EXPECT_GT(DistanceToExact(grid), 0.02);
}

// What runs on 60 nodes of vm-like that best-fit fills, against the mean numbers given the amounts in use.
class BestFitRun {
 public:
  explicit BestFitRun(double load)
      : workload_(*ScaleNodes(*BuiltinWorkload("vm-like"), kNodes)), rate_(ArrivalRatePerS(workload_, load)) {
    const Node& node = workload_.node_groups[0].node;
    std::vector<double> rho;
    for (const PodClass& c : workload_.pod_classes) {
      sizes_.push_back({kCpu.Round(c.request.cpu_milli), kMem.Round(c.request.mem_bytes)});
      rho.push_back(rate_ / kNodes * c.share * c.lifetime.mean_s);
    }
    grid_.emplace(static_cast<int32_t>(node.cpu_milli / kCpu.unit) + 1,
                  static_cast<int32_t>(node.mem_bytes / kMem.unit) + 1, sizes_);
    grid_->SetMix(rho);
  }

  // Share of the cpu in use that the grid gives to a wrong class, over the nodes at times a minute apart.
  double WrongShare() {
    std::vector<double> visits(static_cast<size_t>(grid_->num_states()));
    std::vector<std::vector<double>> pods(visits.size(), std::vector<double>(sizes_.size()));
    const double warmup_s = 50 * 3600, end_s = 250 * 3600;
    double sample_s = warmup_s;
    for (double now_s = Step(); now_s < end_s; now_s = Step()) {
      for (; sample_s < now_s; sample_s += 60) {
        for (const Counts& n : nodes_) {
          const auto [cpu, mem] = UsedOf(n);
          const bool is_inside = cpu < grid_->cpu_levels() && mem < grid_->mem_levels();
          if (!is_inside) continue;  // requests rounded up may add to more than a node
          const auto s = static_cast<size_t>(grid_->StateAt(cpu, mem));
          ++visits[s];
          for (size_t k = 0; k < n.size(); ++k) pods[s][k] += n[k];
        }
      }
    }
    double wrong = 0, all = 0;
    for (size_t s = 0; s < visits.size(); ++s) {
      for (size_t k = 0; k < sizes_.size(); ++k) {
        all += pods[s][k] * sizes_[k].cpu;
        wrong += std::abs(pods[s][k] - visits[s] * grid_->Running(static_cast<int32_t>(s), k)) * sizes_[k].cpu / 2;
      }
    }
    return wrong / all;
  }

 private:
  static constexpr int32_t kNodes = 60;
  static constexpr GridUnit kCpu{1000}, kMem{int64_t{1792} << 20};

  Amounts UsedOf(const Counts& n) const {
    Amounts used{0, 0};
    for (size_t k = 0; k < n.size(); ++k) {
      used.first += n[k] * sizes_[k].cpu;
      used.second += n[k] * sizes_[k].mem;
    }
    return used;
  }

  double Exponential(double mean) { return -mean * std::log(1 - rng_.Uniform()); }

  // The next event; returns its time.
  double Step() {
    if (!departures_.empty() && departures_.begin()->first < arrival_s_) {
      const auto [now_s, pod] = *departures_.begin();
      departures_.erase(departures_.begin());
      --nodes_[pod.first][pod.second];
      return now_s;
    }
    const double now_s = arrival_s_;
    arrival_s_ += Exponential(1 / rate_);
    double at = rng_.Uniform();
    size_t k = 0;
    while (k + 1 < sizes_.size() && at >= workload_.pod_classes[k].share) at -= workload_.pod_classes[k++].share;
    size_t best = kNodes;
    double fullest = -1;
    for (size_t i = 0; i < kNodes; ++i) {
      double cpu = 0, mem = 0;
      for (size_t c = 0; c < sizes_.size(); ++c) {
        const PodRequest& r = workload_.pod_classes[c].request;
        cpu += (nodes_[i][c] + (c == k)) * static_cast<double>(r.cpu_milli) /
               static_cast<double>(workload_.node_groups[0].node.cpu_milli);
        mem += (nodes_[i][c] + (c == k)) * static_cast<double>(r.mem_bytes) /
               static_cast<double>(workload_.node_groups[0].node.mem_bytes);
      }
      if (cpu <= 1 && mem <= 1 && cpu + mem > fullest) {
        fullest = cpu + mem;
        best = i;
      }
    }
    if (best < kNodes) {
      ++nodes_[best][k];
      departures_.emplace(now_s + Exponential(workload_.pod_classes[k].lifetime.mean_s), std::pair{best, k});
    }
    return now_s;
  }

  const Workload workload_;
  const double rate_;
  std::vector<GridClass> sizes_;
  std::optional<NodeGrid> grid_;
  Rng rng_{1};
  double arrival_s_ = 0;
  std::vector<Counts> nodes_ = std::vector<Counts>(kNodes, Counts(6));
  std::multimap<double, std::pair<size_t, size_t>> departures_;
};

TEST(NodeGrid, IsNearWhatRunsUnderBestFit) {
  const double wrong = BestFitRun(0.9).WrongShare();
  RecordProperty("wrong_percent", std::to_string(100 * wrong));
  EXPECT_LT(wrong, 0.12);  // measured: 0.064
}

TEST(NodeGrid, CellsWithoutAStateTakeTheNextWithMoreInUseElseTheNearest) {
  // States (0,0), (2,1), (4,2); five rows, four columns.
  const NodeGrid grid(5, 4, {{2, 1}});
  ASSERT_EQ(grid.num_states(), 3);
  const std::vector<float> cells = grid.FillCells({10, 20, 30});
  const auto at = [&](size_t a, size_t b) { return cells[a * 4 + b]; };
  EXPECT_EQ(at(0, 0), 10);
  EXPECT_EQ(at(2, 0), 20);  // up to the state of its row
  EXPECT_EQ(at(2, 1), 20);
  EXPECT_EQ(at(4, 1), 30);
  EXPECT_EQ(at(4, 3), 30);  // nothing above: the nearest
  EXPECT_EQ(at(0, 1), 10);
  EXPECT_EQ(at(3, 1), 30);  // a row without states, as near to both: the one with more in use
  EXPECT_EQ(at(1, 3), 20);
}

TEST(PickGridUnit, TakesTheGreatestCommonDivisorOfTheRequests) {
  const GridUnit unit = PickGridUnit({1000, 4000, 8000, 2500}, {1, 1, 1, 1}, 64'000, 1024);
  EXPECT_EQ(unit.unit, 500);
  EXPECT_EQ(unit.levels, 129);
  EXPECT_EQ(unit.rounding_percent, 0);
  EXPECT_EQ(unit.capacity_percent, 0);
}

TEST(PickGridUnit, IgnoresARareOddRequestWithinOnePercentAndSaysTheLoss) {
  const GridUnit unit = PickGridUnit({1000, 300}, {1, 0.002}, 16'000, 1024);
  EXPECT_EQ(unit.unit, 1000);
  EXPECT_NEAR(unit.rounding_percent, 100 * (0.002 * 700 / 300) / 1.002, 1e-9);
  EXPECT_EQ(unit.Round(300), 1);  // never nothing
  EXPECT_EQ(unit.Round(0), 0);
}

TEST(PickGridUnit, KeepsToTheLevelsAllowed) {
  for (int32_t levels : {4, 17, 100}) {
    const GridUnit unit = PickGridUnit({977, 1009, 1231}, {1, 1, 1}, 100'003, levels);
    EXPECT_LE(unit.levels, levels);
    EXPECT_GE(unit.levels, 2);
    EXPECT_EQ(unit.levels, 100'003 / unit.unit + 1);
  }
}

TEST(PickGridUnit, ARequestLargerThanTheNodeIsNoUnit) {
  const GridUnit unit = PickGridUnit({50'000, 1000}, {1, 1}, 8000, 64);
  EXPECT_EQ(unit.unit, 1000);
}

}  // namespace
}  // namespace berth

#include "env/node_mdp/fleet_simulation.h"

#include <bit>
#include <cmath>
#include <vector>

#include "base/rng.h"
#include "base/status.h"
#include "fmt/format.h"

namespace berth {
namespace {

// A set of ranks that gives its least in a word or two: a bit a rank, and a bit a word of those.
class RankSet {
 public:
  explicit RankSet(size_t ranks) : words_((ranks + 63) / 64), summary_((words_.size() + 63) / 64) {}
  void Add(int32_t rank) {
    words_[rank / 64] |= Bit(rank);
    summary_[rank / 4096] |= Bit(rank / 64);
  }
  void Remove(int32_t rank) {
    words_[rank / 64] &= ~Bit(rank);
    if (words_[rank / 64] == 0) summary_[rank / 4096] &= ~Bit(rank / 64);
  }
  int32_t Least() const {
    for (size_t i = 0; i < summary_.size(); ++i) {
      if (summary_[i] == 0) continue;
      const size_t word = 64 * i + static_cast<size_t>(std::countr_zero(summary_[i]));
      return static_cast<int32_t>(64 * word) + std::countr_zero(words_[word]);
    }
    return -1;
  }

 private:
  static uint64_t Bit(int32_t i) { return uint64_t{1} << (i % 64); }
  std::vector<uint64_t> words_;
  std::vector<uint64_t> summary_;
};

class Simulation {
 public:
  Simulation(const FleetSpaces& spaces, const FleetRanking& ranking, int32_t num_nodes, uint64_t seed)
      : ranking_(ranking),
        num_classes_(spaces.num_classes()),
        rng_(seed),
        members_(static_cast<size_t>(NumBuckets(spaces))),
        running_(static_cast<size_t>(num_classes_)) {
    const auto cells = members_.size() * static_cast<size_t>(num_classes_);
    above_.reserve(cells);
    below_.reserve(cells);
    for (int t = 0; t < spaces.num_types(); ++t) {
      const int32_t begin = BucketBegin(spaces, t);
      const auto bucket = [begin](mdp::StateIndex s) { return s < 0 ? -1 : begin + s; };
      for (mdp::StateIndex s = 0; s < spaces.space(t).num_states(); ++s) {
        for (int k = 0; k < num_classes_; ++k) {
          above_.push_back(bucket(spaces.space(t).Above(s, k)));
          below_.push_back(bucket(spaces.space(t).Below(s, k)));
        }
      }
    }
    rank_.assign(cells, -1);
    for (int k = 0; k < num_classes_; ++k) {
      const FleetClass& c = spaces.fleet().classes[k];
      arrival_rate_.push_back(num_nodes * c.arrival_rate);
      departure_rate_.push_back(c.departure_rate);
      earning_rate_.push_back(c.reward * c.departure_rate);
      total_arrivals_ += arrival_rate_.back();
      open_.emplace_back(ranking.buckets[k].size());
      for (size_t i = 0; i < ranking.buckets[k].size(); ++i) {
        rank_[Cell(ranking.buckets[k][i], k)] = static_cast<int32_t>(i);
      }
    }
    double share = 0;
    for (int t = 0; t < spaces.num_types(); ++t) {
      share += spaces.fleet().types[t].share;
      const auto end = static_cast<int32_t>(std::lround(share * num_nodes));
      while (static_cast<int32_t>(bucket_.size()) < end) {
        bucket_.push_back(-1);
        place_.push_back(0);
        Enter(static_cast<int32_t>(bucket_.size()) - 1, BucketBegin(spaces, t));
      }
    }
  }

  // Runs for `time` and returns what was earned by then per time unit.
  double Run(double time) {
    double earned = 0;
    double passed = 0;
    while (passed < time) {
      double departures = 0, earning = 0;
      for (int k = 0; k < num_classes_; ++k) {
        const auto count = static_cast<double>(running_[k].size());
        departures += departure_rate_[k] * count;
        earning += earning_rate_[k] * count;
      }
      // The mean time to the next event in place of a drawn one: the same average, less noise.
      const double rate = total_arrivals_ + departures;
      passed += 1 / rate;
      earned += earning / rate;
      Step(rng_.Uniform() * rate);
      ++events_;
    }
    return earned / passed;
  }
  int64_t events() const { return events_; }

 private:
  size_t Cell(int32_t bucket, int k) const { return static_cast<size_t>(bucket * int64_t{num_classes_} + k); }

  void Step(double u) {
    for (int k = 0; k < num_classes_; ++k) {
      if (u < arrival_rate_[k]) return Arrive(k);
      u -= arrival_rate_[k];
    }
    for (int k = 0; k < num_classes_; ++k) {
      const double rate = departure_rate_[k] * static_cast<double>(running_[k].size());
      if (u < rate) return Depart(k);
      u -= rate;
    }
    // Rounding may leave a little: no event, as good as a refused pod.
  }
  void Arrive(int k) {
    const int32_t rank = open_[k].Least();
    if (rank < 0) return;
    const int32_t node = members_[ranking_.buckets[k][rank]].back();
    running_[k].push_back(node);
    MoveTo(node, above_[Cell(bucket_[node], k)]);
  }
  void Depart(int k) {
    std::vector<int32_t>& pods = running_[k];
    const size_t i = rng_.Below(pods.size());
    const int32_t node = pods[i];
    pods[i] = pods.back();
    pods.pop_back();
    MoveTo(node, below_[Cell(bucket_[node], k)]);
  }
  void MoveTo(int32_t node, int32_t bucket) {
    const int32_t old = bucket_[node];
    std::vector<int32_t>& members = members_[old];
    members[place_[node]] = members.back();
    place_[members.back()] = place_[node];
    members.pop_back();
    if (members.empty()) {
      for (int k = 0; k < num_classes_; ++k) {
        if (const int32_t rank = rank_[Cell(old, k)]; rank >= 0) open_[k].Remove(rank);
      }
    }
    Enter(node, bucket);
  }
  void Enter(int32_t node, int32_t bucket) {
    std::vector<int32_t>& members = members_[bucket];
    bucket_[node] = bucket;
    place_[node] = static_cast<int32_t>(members.size());
    members.push_back(node);
    if (members.size() > 1) return;
    for (int k = 0; k < num_classes_; ++k) {
      if (const int32_t rank = rank_[Cell(bucket, k)]; rank >= 0) open_[k].Add(rank);
    }
  }

  const FleetRanking& ranking_;
  const int num_classes_;
  Rng rng_;
  std::vector<int32_t> bucket_;                // [nodes]
  std::vector<int32_t> place_;                 // [nodes] where a node stands in members_[bucket_]
  std::vector<std::vector<int32_t>> members_;  // [buckets] nodes
  std::vector<std::vector<int32_t>> running_;  // [classes] the node of each pod
  std::vector<int32_t> above_, below_, rank_;  // [buckets, classes]
  std::vector<RankSet> open_;                  // [classes] ranks of the buckets that have nodes
  std::vector<double> arrival_rate_, departure_rate_, earning_rate_;
  double total_arrivals_ = 0;
  int64_t events_ = 0;
};

absl::Status CheckRange(std::string_view field, double value, double low, double high) {
  if (value >= low && value <= high) return absl::OkStatus();  // false for NaN
  return InvalidField(field, fmt::format("{}", value), fmt::format("{} to {}", low, high));
}

}  // namespace

absl::StatusOr<FleetEstimate> SimulateFleet(const FleetSpaces& spaces, const FleetRanking& ranking,
                                            const FleetSimulationOptions& options) {
  BERTH_RETURN_IF_ERROR(CheckRange("num_nodes", options.num_nodes, 1, 1e7));
  BERTH_RETURN_IF_ERROR(CheckRange("warmup_time", options.warmup_time, 0, 1e9));
  BERTH_RETURN_IF_ERROR(CheckRange("window_time", options.window_time, 1e-9, 1e9));
  BERTH_RETURN_IF_ERROR(CheckRange("batches", options.batches, 2, 1000));
  double arrivals = 0;
  for (const FleetClass& c : spaces.fleet().classes) arrivals += c.arrival_rate;
  if (!(arrivals > 0)) return InvalidField("sum of the arrival rates", "0", "above 0");
  Simulation simulation(spaces, ranking, options.num_nodes, options.seed);
  if (options.warmup_time > 0) simulation.Run(options.warmup_time);
  double sum = 0, squares = 0;
  for (int i = 0; i < options.batches; ++i) {
    const double reward = simulation.Run(options.window_time / options.batches) / options.num_nodes;
    sum += reward;
    squares += reward * reward;
  }
  const double n = options.batches;
  FleetEstimate estimate;
  estimate.reward = sum / n;
  // 2.1 is Student's quantile at 20 batches; close enough from 15 on.
  estimate.half_width = 2.1 * std::sqrt(std::max(0.0, squares - sum * sum / n) / (n - 1) / n);
  estimate.events = simulation.events();
  return estimate;
}

}  // namespace berth

#include "env/node_mdp/fleet_ranking.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/status.h"
#include "fmt/format.h"
#include "mdp/stationary.h"

namespace berth {
namespace {

// Buckets that can hold class k, by falling score(type, state, state after) among those where accepts says so. Equal
// ones by type, then by counts.
template <class Score, class Accepts>
FleetRanking RankBy(const FleetSpaces& spaces, Score&& score, Accepts&& accepts) {
  struct Scored {
    double less;
    int type;
    std::vector<int32_t> counts;
    int32_t bucket;
    auto operator<=>(const Scored&) const = default;
  };
  FleetRanking ranking;
  for (int k = 0; k < spaces.num_classes(); ++k) {
    std::vector<Scored> scored;
    for (int t = 0; t < spaces.num_types(); ++t) {
      const int32_t begin = BucketBegin(spaces, t);
      for (mdp::StateIndex s = 0; s < spaces.space(t).num_states(); ++s) {
        const mdp::StateIndex after = spaces.space(t).Above(s, k);
        if (after < 0) continue;
        const double value = score(t, s, after);
        if (!accepts(k, value)) continue;
        std::vector<int32_t> counts(static_cast<size_t>(spaces.num_classes()));
        spaces.space(t).CountsOf(s, counts);
        scored.push_back({-value, t, std::move(counts), begin + s});
      }
    }
    std::sort(scored.begin(), scored.end());
    std::vector<int32_t>& buckets = ranking.buckets.emplace_back();
    for (const Scored& one : scored) buckets.push_back(one.bucket);
  }
  return ranking;
}

// `weights` [types][resources]. Sums are rounded, so that what is equal in fractions is equal here.
FleetRanking RankByFree(const FleetSpaces& spaces, const std::vector<std::vector<double>>& weights, double sign) {
  const auto score = [&](int t, mdp::StateIndex, mdp::StateIndex after) {
    std::vector<int32_t> counts(static_cast<size_t>(spaces.num_classes()));
    spaces.space(t).CountsOf(after, counts);
    double sum = 0;
    for (size_t d = 0; d < weights[t].size(); ++d) {
      int64_t free = spaces.fleet().types[t].capacity[d];
      for (size_t k = 0; k < counts.size(); ++k) free -= counts[k] * spaces.fleet().classes[k].request[d];
      sum += weights[t][d] * static_cast<double>(free);
    }
    return sign * std::round(1e9 * sum);
  };
  return RankBy(spaces, score, [](int, double) { return true; });
}

}  // namespace

int32_t NumBuckets(const FleetSpaces& spaces) { return BucketBegin(spaces, spaces.num_types()); }

int32_t BucketBegin(const FleetSpaces& spaces, int type) {
  int32_t begin = 0;
  for (int t = 0; t < type; ++t) begin += spaces.space(t).num_states();
  return begin;
}

FleetRanking RankByValues(const FleetSpaces& spaces, std::span<const std::vector<double>> values,
                          std::span<const double> tolls) {
  return RankBy(
      spaces, [&](int t, mdp::StateIndex s, mdp::StateIndex after) { return values[t][after] - values[t][s]; },
      [&](int k, double gain) { return spaces.fleet().classes[k].reward - (tolls.empty() ? 0 : tolls[k]) + gain > 0; });
}

FleetRanking RankBestFit(const FleetSpaces& spaces, std::span<const double> weights) {
  const std::vector<FleetType>& types = spaces.fleet().types;
  std::vector<double> common(weights.begin(), weights.end());
  for (size_t d = 0; weights.empty() && d < types[0].capacity.size(); ++d) {
    int64_t largest = 1;
    for (const FleetType& type : types) largest = std::max(largest, type.capacity[d]);
    common.push_back(1 / static_cast<double>(largest));
  }
  return RankByFree(spaces, std::vector<std::vector<double>>(types.size(), common), -1);
}

FleetRanking RankSpreading(const FleetSpaces& spaces) {
  std::vector<std::vector<double>> weights;
  for (const FleetType& type : spaces.fleet().types) {
    std::vector<double>& own = weights.emplace_back();
    for (const int64_t c : type.capacity) own.push_back(1 / static_cast<double>(std::max<int64_t>(c, 1)));
  }
  return RankByFree(spaces, weights, 1);
}

absl::StatusOr<double> EvaluateExactly(const FleetSpaces& spaces, const FleetRanking& ranking,
                                       std::span<const int> types) {
  constexpr int64_t kMostStates = 2'000'000;
  int64_t num_states = 1;
  for (const int type : types) {
    if (type < 0 || type >= spaces.num_types()) {
      return InvalidField("node type", fmt::format("{}", type), fmt::format("0 to {}", spaces.num_types() - 1));
    }
    num_states *= spaces.space(type).num_states();
    if (num_states > kMostStates) {
      return absl::ResourceExhaustedError(
          fmt::format("number of joint states is {} or more, accepted: at most {}", num_states, kMostStates));
    }
  }
  if (types.empty()) return InvalidField("number of nodes", "0", "1 or more");
  const int num_classes = spaces.num_classes();
  std::vector<std::vector<int32_t>> rank(static_cast<size_t>(num_classes),
                                         std::vector<int32_t>(static_cast<size_t>(NumBuckets(spaces)), -1));
  for (int k = 0; k < num_classes; ++k) {
    for (size_t i = 0; i < ranking.buckets[k].size(); ++i) rank[k][ranking.buckets[k][i]] = static_cast<int32_t>(i);
  }
  std::vector<int32_t> begins;
  for (const int type : types) begins.push_back(BucketBegin(spaces, type));
  mdp::PolicyChain chain;
  std::vector<mdp::StateIndex> states(types.size());
  std::vector<mdp::StateIndex> strides(types.size());
  std::vector<int32_t> counts(static_cast<size_t>(num_classes));
  mdp::StateIndex stride = 1;
  for (size_t n = 0; n < types.size(); ++n) {
    strides[n] = stride;
    stride *= spaces.space(types[n]).num_states();
  }
  for (mdp::StateIndex s = 0; s < static_cast<mdp::StateIndex>(num_states); ++s) {
    for (size_t n = 0; n < types.size(); ++n) states[n] = s / strides[n] % spaces.space(types[n]).num_states();
    const auto move = [&](size_t n, mdp::StateIndex to, double rate) {
      chain.next.push_back(s + (to - states[n]) * strides[n]);
      chain.weight.push_back(rate);
    };
    double reward = 0;
    for (int k = 0; k < num_classes; ++k) {
      const FleetClass& c = spaces.fleet().classes[k];
      int32_t best = -1;
      size_t chosen = 0;
      for (size_t n = 0; n < types.size(); ++n) {
        const int32_t r = rank[k][begins[n] + states[n]];
        if (r < 0 || (best >= 0 && r >= best)) continue;
        best = r;
        chosen = n;
      }
      if (best < 0) continue;
      const double rate = c.arrival_rate * static_cast<double>(types.size());
      move(chosen, spaces.space(types[chosen]).Above(states[chosen], k), rate);
      reward += rate * c.reward;
    }
    for (size_t n = 0; n < types.size(); ++n) {
      const mdp::KnapsackSpace& space = spaces.space(types[n]);
      space.CountsOf(states[n], counts);
      for (int k = 0; k < num_classes; ++k) {
        if (counts[k] > 0) move(n, space.Below(states[n], k), counts[k] * spaces.fleet().classes[k].departure_rate);
      }
    }
    chain.begin.push_back(static_cast<int64_t>(chain.next.size()));
    chain.reward.push_back(reward);
  }
  BERTH_ASSIGN_OR_RETURN(const mdp::StationaryDistribution visits,
                         mdp::SolveStationary(chain, {.tolerance = 1e-13, .max_sweeps = 20'000}));
  if (!(visits.imbalance <= 1e-10)) {
    return absl::DeadlineExceededError(
        fmt::format("imbalance of the stationary distribution is {}, accepted: at most 1e-10", visits.imbalance));
  }
  double reward = 0;
  for (size_t s = 0; s < visits.probability.size(); ++s) reward += visits.probability[s] * chain.reward[s];
  return reward / static_cast<double>(types.size());
}

}  // namespace berth

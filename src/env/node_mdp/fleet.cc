#include "env/node_mdp/fleet.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/status.h"
#include "fmt/format.h"

namespace berth {
namespace {

absl::Status CheckNumber(const std::string& field, double value, bool is_valid, std::string_view accepted) {
  if (std::isfinite(value) && is_valid) return absl::OkStatus();
  return InvalidField(field, fmt::format("{}", value), accepted);
}

}  // namespace

absl::StatusOr<FleetSpaces> FleetSpaces::Create(Fleet fleet, mdp::StateIndex max_states) {
  std::vector<std::vector<int64_t>> requests;
  for (size_t k = 0; k < fleet.classes.size(); ++k) {
    const FleetClass& c = fleet.classes[k];
    const auto field = [k](const char* name) { return fmt::format("{} of class {}", name, k); };
    BERTH_RETURN_IF_ERROR(CheckNumber(field("arrival rate"), c.arrival_rate, c.arrival_rate >= 0, "0 or more"));
    BERTH_RETURN_IF_ERROR(CheckNumber(field("departure rate"), c.departure_rate, c.departure_rate > 0, "above 0"));
    BERTH_RETURN_IF_ERROR(CheckNumber(field("reward"), c.reward, c.reward >= 0, "0 or more"));
    requests.push_back(c.request);
  }
  if (fleet.types.empty()) return InvalidField("number of node types", "0", "1 or more");
  double shares = 0;
  FleetSpaces spaces;
  for (size_t t = 0; t < fleet.types.size(); ++t) {
    const FleetType& type = fleet.types[t];
    const std::string field = fmt::format("share of node type {}", t);
    BERTH_RETURN_IF_ERROR(CheckNumber(field, type.share, type.share > 0, "above 0"));
    shares += type.share;
    auto space = mdp::KnapsackSpace::Create(type.capacity, requests, max_states);
    if (!space.ok()) return WithContext(space.status(), fmt::format("node type {}", t));
    spaces.spaces_.push_back(*std::move(space));
  }
  if (std::abs(shares - 1) > 1e-9) return InvalidField("sum of the shares", fmt::format("{}", shares), "1");
  spaces.fleet_ = std::move(fleet);
  return spaces;
}

Fleet ExampleFleet(double load, bool has_divisible_sizes) {
  Fleet fleet;
  if (has_divisible_sizes) {
    fleet.classes = {{{1, 2}, 4, 1, 1}, {{2, 8}, 1.5, 0.5, 4.4}, {{4, 8}, 0.6, 0.25, 18.4}, {{4, 32}, 0.25, 0.2, 30}};
  } else {
    fleet.classes = {{{1, 2}, 4, 1, 1}, {{3, 6}, 1.5, 0.5, 6.6}, {{5, 20}, 0.6, 0.25, 24}, {{2, 12}, 0.25, 0.2, 17.25}};
  }
  fleet.types = {{{16, 64}, 0.5}, {{16, 32}, 0.5}};
  return Scaled(fleet, load / OfferedLoad(fleet));
}

double OfferedLoad(const Fleet& fleet) {
  double tightest = 0;
  for (size_t d = 0; !fleet.types.empty() && d < fleet.types[0].capacity.size(); ++d) {
    double asked = 0, capacity = 0;
    for (const FleetClass& c : fleet.classes) {
      asked += c.arrival_rate * static_cast<double>(c.request[d]) / c.departure_rate;
    }
    for (const FleetType& t : fleet.types) capacity += t.share * static_cast<double>(t.capacity[d]);
    if (capacity > 0) tightest = std::max(tightest, asked / capacity);
  }
  return tightest;
}

Fleet Scaled(Fleet fleet, double factor) {
  for (FleetClass& c : fleet.classes) c.arrival_rate *= factor;
  return fleet;
}

}  // namespace berth

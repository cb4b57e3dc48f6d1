#include "env/node_mdp/fleet_tuning.h"

#include <algorithm>
#include <utility>

#include "base/status.h"
#include "env/node_mdp/fleet_relaxation.h"
#include "fmt/format.h"

namespace berth {

absl::StatusOr<TunedIndex> TuneIndex(const FleetSpaces& spaces, const FleetTuningOptions& options) {
  constexpr size_t kFinalists = 4;
  if (options.competitors.empty()) return InvalidField("number of competitors to try", "0", "1 or more");
  if (options.loads.empty()) return InvalidField("number of loads to try", "0", "1 or more");
  const double own_load = OfferedLoad(spaces.fleet());
  if (!(own_load > 0)) return InvalidField("offered load", "0", "above 0");
  std::vector<TunedIndex> candidates;
  FleetSimulationOptions brief = options.simulation;
  brief.window_time /= 8;
  for (const double load : options.loads) {
    if (!(load > 0 && load <= 100)) return InvalidField("load to try", fmt::format("{}", load), "above 0, at most 100");
    BERTH_ASSIGN_OR_RETURN(const FleetSpaces design, FleetSpaces::Create(Scaled(spaces.fleet(), load / own_load)));
    for (const double competitors : options.competitors) {
      BERTH_ASSIGN_OR_RETURN(const Relaxation relaxed, RelaxFleet(design, competitors));
      TunedIndex candidate{competitors, load, RankByValues(spaces, relaxed.values), {}};
      BERTH_ASSIGN_OR_RETURN(candidate.estimate, SimulateFleet(spaces, candidate.ranking, brief));
      candidates.push_back(std::move(candidate));
    }
  }
  const auto is_better = [](const TunedIndex& a, const TunedIndex& b) { return a.estimate.reward > b.estimate.reward; };
  std::stable_sort(candidates.begin(), candidates.end(), is_better);
  candidates.resize(std::min(candidates.size(), kFinalists));
  for (TunedIndex& finalist : candidates) {
    BERTH_ASSIGN_OR_RETURN(finalist.estimate, SimulateFleet(spaces, finalist.ranking, options.simulation));
  }
  std::stable_sort(candidates.begin(), candidates.end(), is_better);
  return std::move(candidates.front());
}

}  // namespace berth

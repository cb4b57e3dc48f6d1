#include "env/node_mdp/fleet_joint.h"

#include "base/status.h"
#include "fmt/format.h"

namespace berth {

absl::StatusOr<FleetJoint> FleetJoint::Create(const FleetSpaces& spaces, std::span<const int> types) {
  if (types.empty()) return InvalidField("number of nodes", "0", "1 or more");
  FleetJoint joint;
  joint.classes_ = spaces.fleet().classes;
  const int num_classes = spaces.num_classes();
  for (const FleetClass& c : joint.classes_) {
    joint.arrival_rate_.push_back(c.arrival_rate * static_cast<double>(types.size()));
  }
  for (const int type : types) {
    if (type < 0 || type >= spaces.num_types()) {
      return InvalidField("node type", fmt::format("{}", type), fmt::format("0 to {}", spaces.num_types() - 1));
    }
    const mdp::StateIndex own = spaces.space(type).num_states();
    if (int64_t{joint.num_states_} * own > kMaxStates) {
      return absl::ResourceExhaustedError(fmt::format("number of joint states is {} or more, accepted: at most {}",
                                                      int64_t{joint.num_states_} * own, int64_t{kMaxStates}));
    }
    joint.nodes_.push_back({type, own, joint.num_states_});
    joint.num_states_ *= own;
  }
  for (int t = 0; t < spaces.num_types(); ++t) {
    const mdp::KnapsackSpace& space = spaces.space(t);
    Table& table = joint.tables_.emplace_back();
    std::vector<int32_t> counts(static_cast<size_t>(num_classes));
    for (mdp::StateIndex s = 0; s < space.num_states(); ++s) {
      space.CountsOf(s, counts);
      for (int k = 0; k < num_classes; ++k) {
        const mdp::StateIndex above = space.Above(s, k);
        const mdp::StateIndex below = space.Below(s, k);
        table.count.push_back(counts[k]);
        table.above.push_back(above < 0 ? 0 : above - s);
        table.below.push_back(below < 0 ? 0 : below - s);
      }
    }
  }
  return joint;
}

}  // namespace berth

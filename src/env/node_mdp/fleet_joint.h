// The decision process of a fleet of a few nodes as one chain, for the exact optimum: what any policy, knowing all, can
// earn. Feasible for two or three small nodes, where it shows how far bound and index are from the truth.
#ifndef BERTH_ENV_NODE_MDP_FLEET_JOINT_H_
#define BERTH_ENV_NODE_MDP_FLEET_JOINT_H_

#include <cstdint>
#include <span>
#include <vector>

#include "absl/status/statusor.h"
#include "env/node_mdp/fleet.h"
#include "mdp/event_model.h"

namespace berth {

// One node for each entry of `types` (shares do not count); class k comes at arrival_rate times the number of nodes.
// The state is sum_n state_n * stride_n, the first node fastest; state 0 is the empty fleet. Model of mdp::EventModel:
// option 0 refuses, the others place on the nodes that can hold the pod, in order. Immutable.
class FleetJoint {
 public:
  static constexpr int64_t kMaxStates = 20'000'000;

  // `spaces` is not kept. Errors: INVALID_ARGUMENT for a type; RESOURCE_EXHAUSTED above kMaxStates.
  static absl::StatusOr<FleetJoint> Create(const FleetSpaces& spaces, std::span<const int> types);

  mdp::StateIndex num_states() const { return num_states_; }

  template <class Visitor>
  void VisitState(mdp::StateIndex s, Visitor& visit) const {
    const auto num_classes = classes_.size();
    for (size_t k = 0; k < num_classes; ++k) {
      visit.Decide(arrival_rate_[k], [&](auto&& offer) {
        offer(0.0, s);
        for (const Node& node : nodes_) {
          const mdp::StateIndex own = s / node.stride % node.num_states;
          const mdp::StateIndex step = tables_[node.type].above[own * num_classes + k];
          if (step != 0) offer(classes_[k].reward, s + step * node.stride);
        }
      });
    }
    for (const Node& node : nodes_) {
      const mdp::StateIndex own = s / node.stride % node.num_states;
      for (size_t k = 0; k < num_classes; ++k) {
        const int32_t count = tables_[node.type].count[own * num_classes + k];
        if (count == 0) continue;
        const mdp::StateIndex step = tables_[node.type].below[own * num_classes + k];
        visit.Jump(count * classes_[k].departure_rate, 0.0, s + step * node.stride);
      }
    }
  }

 private:
  struct Node {
    int type;
    mdp::StateIndex num_states;
    mdp::StateIndex stride;
  };
  // [states, classes] of a type; the steps are differences of state numbers, 0 where there is no such state.
  struct Table {
    std::vector<int32_t> count, above, below;
  };

  FleetJoint() = default;

  std::vector<FleetClass> classes_;
  std::vector<double> arrival_rate_;
  std::vector<Table> tables_;
  std::vector<Node> nodes_;
  mdp::StateIndex num_states_ = 1;
};

}  // namespace berth

#endif  // BERTH_ENV_NODE_MDP_FLEET_JOINT_H_

// The parts of a stored model that its chains can't leave or can't come back to: strongly connected components and
// maximal end components. The solvers take a model apart along them.
#ifndef BERTH_MDP_COMPONENTS_H_
#define BERTH_MDP_COMPONENTS_H_

#include <cstdint>
#include <span>
#include <vector>

#include "mdp/model.h"

namespace berth::mdp {

struct Components {
  std::vector<int32_t> of_state;                // [num_states] component of a state, -1: in none
  std::vector<std::vector<StateIndex>> states;  // of every component, ascending

  size_t size() const { return states.size(); }
};

// Strongly connected components of the graph of all transitions (Tarjan 1972); a component comes after all that it
// leads to, so that solving them in order solves successors first. Every state is in one. Cost: O(transitions).
Components FindStronglyConnected(const SparseMdp& model);

// Maximal end components: sets of states, each with the actions that stay inside, in which every state can be reached
// from every other with probability one (de Alfaro, PhD thesis, Stanford 1997). A chain of any policy ends in one. A
// terminal state is one of its own. `is_inside`, where not null, receives for every row whether it stays in the
// component of its state. `is_allowed`, where not null, says of every row whether it counts at all; a state all of
// whose rows don't count is in no component. Cost: O(transitions) for each round of taking actions away; few rounds are
// usual.
Components FindEndComponents(const SparseMdp& model, std::vector<bool>* is_inside = nullptr,
                             const std::vector<bool>* is_allowed = nullptr);

namespace internal {

// The first action of s that `allows(s, a)` and that may lead to a state for which is_there holds; -1 if there is none.
template <class Model, class Allows>
int32_t FirstActionInto(const Model& model, StateIndex s, const std::vector<bool>& is_there, Allows&& allows) {
  for (int32_t a = 0; a < model.num_actions(s); ++a) {
    if (!allows(s, a)) continue;
    bool may_arrive = false;
    model.VisitSuccessors(
        s, a, [&](StateIndex next, double weight) { may_arrive = may_arrive || (weight > 0 && is_there[next]); });
    if (may_arrive) return a;
  }
  return -1;
}

// FindStronglyConnected of any graph: successors of node i are next[begin[i]] .. next[begin[i + 1] - 1].
Components FindStronglyConnected(std::span<const int64_t> begin, std::span<const StateIndex> next);

}  // namespace internal
}  // namespace berth::mdp

#endif  // BERTH_MDP_COMPONENTS_H_

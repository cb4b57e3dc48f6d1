// The decision process of one node, for the solvers of src/mdp.
#ifndef BERTH_ENV_NODE_MDP_NODE_MODEL_H_
#define BERTH_ENV_NODE_MDP_NODE_MODEL_H_

#include <vector>

#include "env/node_mdp/node_grid.h"
#include "mdp/event_model.h"

namespace berth {

// What one class brings to the node; rates per hour.
struct NodeStream {
  double offered_per_h = 0;     // the node may take or refuse each
  double departures_per_h = 0;  // of one pod
  double earned = 0;            // for taking one
};

// An mdp::EventModel: streams[k] belongs to class k of the grid. Both must outlive it; `earned` may change between
// solves. States are the grid's. A pod is refused where taking it is not better.
class NodeModel {
 public:
  NodeModel(const NodeGrid& grid, const std::vector<NodeStream>& streams) : grid_(&grid), streams_(&streams) {}

  mdp::StateIndex num_states() const { return grid_->num_states(); }

  template <class Visitor>
  void VisitState(mdp::StateIndex s, Visitor& visit) const {
    const size_t classes = streams_->size();
    for (size_t k = 0; k < classes; ++k) {
      const NodeStream& stream = (*streams_)[k];
      if (const mdp::StateIndex after = grid_->After(s, k); after >= 0) {
        visit.Decide(stream.offered_per_h, [&](auto&& offer) {
          offer(0.0, s);
          offer(stream.earned, after);
        });
      }
      if (const mdp::StateIndex before = grid_->Before(s, k); before >= 0) {
        visit.Jump(grid_->Running(s, k) * stream.departures_per_h, 0.0, before);
      }
    }
  }

 private:
  const NodeGrid* grid_;
  const std::vector<NodeStream>* streams_;
};

}  // namespace berth

#endif  // BERTH_ENV_NODE_MDP_NODE_MODEL_H_

// The rows of one rank. Internal to src/mdp/petsc.
#ifndef BERTH_MDP_PETSC_MODEL_PART_H_
#define BERTH_MDP_PETSC_MODEL_PART_H_

#include <mpi.h>

#include <cstdint>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "mdp/model.h"

namespace berth::mdp::internal {

// What every rank knows of the whole model.
struct WholeModel {
  StateIndex num_states = 0;
  int64_t num_rows = 0, num_transitions = 0;
  RowKind kind = RowKind::kProbability;
  bool has_terminal = false;
};

// Rank r of n gets the states from begin[r] to begin[r + 1] - 1, runs of about equal work; some may be empty.
std::vector<StateIndex> SplitStates(const SparseMdp& model, int ranks);

// An ActionModel of the states of a rank, numbered from 0, but for one thing: a successor that is not among them is
// num_states() + its place in ghosts(). Values for it are [num_states() + ghosts().size()]. Rows keep their order.
class ModelPart {
 public:
  // Called by all ranks; `model` is that of rank 0 and null elsewhere. Memory besides the part: 4 bytes a state of the
  // whole model for a moment.
  static ModelPart Scatter(MPI_Comm ranks, const SparseMdp* model);

  const WholeModel& whole() const { return whole_; }
  StateIndex first_state() const { return first_state_; }
  int owner_of_first() const { return owner_of_first_; }          // the rank that has state 0
  std::span<const StateIndex> ghosts() const { return ghosts_; }  // ascending, numbers of the whole model
  int64_t bytes() const;

  StateIndex num_states() const { return static_cast<StateIndex>(state_begin_.size()) - 1; }
  int32_t num_actions(StateIndex s) const { return static_cast<int32_t>(state_begin_[s + 1] - state_begin_[s]); }
  double Reward(StateIndex s, int32_t action) const { return reward_[state_begin_[s] + action]; }
  int32_t ActionNumber(StateIndex s, int32_t action) const { return action_number_[state_begin_[s] + action]; }
  template <class Visit>
  void VisitSuccessors(StateIndex s, int32_t action, Visit&& visit) const {
    const int64_t row = state_begin_[s] + action;
    for (int64_t i = row_begin_[row]; i < row_begin_[row + 1]; ++i) visit(next_[i], weight_[i]);
  }

 private:
  void NumberLocally();

  WholeModel whole_;
  StateIndex first_state_ = 0;
  int owner_of_first_ = 0;
  std::vector<StateIndex> ghosts_;
  std::vector<int64_t> state_begin_ = {0};
  std::vector<int64_t> row_begin_ = {0};
  std::vector<double> reward_;
  std::vector<int32_t> action_number_;
  std::vector<StateIndex> next_;
  std::vector<double> weight_;
};

static_assert(ActionModel<ModelPart>);

// The status of rank 0, on every rank.
absl::Status ShareStatus(MPI_Comm ranks, const absl::Status& status);

}  // namespace berth::mdp::internal

#endif  // BERTH_MDP_PETSC_MODEL_PART_H_

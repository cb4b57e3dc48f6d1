// Lines of text files, in any order, to the rows of a model. Internal.
#ifndef BERTH_MDP_FILES_ENTRIES_H_
#define BERTH_MDP_FILES_ENTRIES_H_

#include <cstdint>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "mdp/model.h"

namespace berth::mdp::internal {

struct Entry {
  StateIndex state = 0;
  int32_t action = 0;
  StateIndex next = 0;
  double weight = 0;
  double reward = 0;  // when this successor is reached
  int64_t line = 0;   // in the file, from 1
};

// Orders by state and action; within an action the order stays. O(n) if they are in order.
void SortEntries(std::vector<Entry>& entries);

// What the rewards of entries are in a model of rates. In one of probabilities the two are the same.
enum class EntryReward {
  kRate,  // the reward rate of the action, the same on all of its lines
  kJump,  // earned at each jump to the successor
};

// Sorted entries to a model. An action earns `state_rewards` (empty, or [num_states]) of its state and the rewards of
// its successors, as an expectation if they differ. States of `is_absorbing` (empty, or [num_states]) may lack actions,
// and are terminal then. Errors: INVALID_ARGUMENT as of SparseMdpBuilder, with `kind` and the line where the row
// begins; different rewards in a row where they are a rate; a state reward where there is no action.
absl::StatusOr<SparseMdp> BuildFromEntries(std::string_view kind, StateIndex num_states, RowKind row_kind,
                                           EntryReward meaning, const std::vector<Entry>& entries,
                                           const std::vector<double>& state_rewards,
                                           const std::vector<bool>& is_absorbing);

// The error that BuildFromEntries would give for a state without a line, if there is one; for before arrays of
// [num_states] are made: with fewer states than lines, memory is in proportion to the file. `declared`: absorbing
// states.
absl::Status CheckEveryStateHasALine(StateIndex num_states, const std::vector<Entry>& entries,
                                     const std::vector<StateIndex>& declared);

}  // namespace berth::mdp::internal

#endif  // BERTH_MDP_FILES_ENTRIES_H_

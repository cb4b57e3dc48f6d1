#include "mdp/files/entries.h"

#include <algorithm>

#include "base/status.h"
#include "fmt/format.h"

namespace berth::mdp::internal {
namespace {

bool IsBefore(const Entry& a, const Entry& b) { return a.state != b.state ? a.state < b.state : a.action < b.action; }

bool IsSameRow(const Entry& a, const Entry& b) { return a.state == b.state && a.action == b.action; }

}  // namespace

void SortEntries(std::vector<Entry>& entries) {
  if (!std::is_sorted(entries.begin(), entries.end(), IsBefore)) {
    std::stable_sort(entries.begin(), entries.end(), IsBefore);
  }
}

absl::Status CheckEveryStateHasALine(StateIndex num_states, const std::vector<Entry>& entries,
                                     const std::vector<StateIndex>& declared) {
  if (static_cast<size_t>(num_states) <= entries.size() + declared.size()) return absl::OkStatus();
  // More states than lines: one of the first (lines + 1) has none.
  std::vector<bool> has_line(entries.size() + declared.size() + 1, false);
  for (const Entry& entry : entries) {
    if (static_cast<size_t>(entry.state) < has_line.size()) has_line[entry.state] = true;
  }
  for (const StateIndex s : declared) {
    if (static_cast<size_t>(s) < has_line.size()) has_line[s] = true;
  }
  const auto missing = std::find(has_line.begin(), has_line.end(), false) - has_line.begin();
  return absl::InvalidArgumentError(fmt::format(
      "state {}: number of actions is 0, accepted: at least 1, or a state that is declared absorbing", missing));
}

absl::StatusOr<SparseMdp> BuildFromEntries(std::string_view kind, StateIndex num_states, RowKind row_kind,
                                           EntryReward meaning, const std::vector<Entry>& entries,
                                           const std::vector<double>& state_rewards,
                                           const std::vector<bool>& is_absorbing) {
  SparseMdpBuilder builder(num_states, row_kind);
  std::vector<Transition> row;
  StateIndex next_state = 0;  // the first that no row was seen of
  const auto declare_terminal = [&](StateIndex end) -> absl::Status {
    for (; next_state < end; ++next_state) {
      if (!state_rewards.empty() && state_rewards[next_state] != 0) {
        return InvalidField(fmt::format("reward of state {}", next_state), fmt::format("{}", state_rewards[next_state]),
                            "0 in a state without actions");
      }
      if (!is_absorbing.empty() && is_absorbing[next_state]) BERTH_RETURN_IF_ERROR(builder.DeclareTerminal(next_state));
    }
    return absl::OkStatus();
  };
  for (size_t begin = 0, end = 0; begin < entries.size(); begin = end) {
    const Entry& first = entries[begin];
    row.clear();
    double expected = 0;
    bool is_same = true;
    for (end = begin; end < entries.size() && IsSameRow(first, entries[end]); ++end) {
      const Entry& entry = entries[end];
      row.push_back({entry.next, entry.weight});
      expected += entry.weight * entry.reward;
      is_same = is_same && entry.reward == first.reward;
    }
    const auto where = [&] { return fmt::format("{} line {}", kind, first.line); };
    const bool is_jump = row_kind == RowKind::kRate && meaning == EntryReward::kJump;
    if (!is_same && row_kind == RowKind::kRate && !is_jump) {
      return absl::InvalidArgumentError(
          fmt::format("{}: state {}, action {}: reward differs by successor, accepted: one reward rate an action",
                      where(), first.state, first.action));
    }
    // The expectation of equal numbers would round.
    double reward = is_same && !is_jump ? first.reward : expected;
    if (!state_rewards.empty()) reward += state_rewards[first.state];
    if (absl::Status status = builder.AddAction(first.state, first.action, reward, row); !status.ok()) {
      return WithContext(status, where());
    }
    BERTH_RETURN_IF_ERROR(declare_terminal(first.state));
    next_state = first.state + 1;
  }
  BERTH_RETURN_IF_ERROR(declare_terminal(num_states));
  return std::move(builder).Build();
}

}  // namespace berth::mdp::internal

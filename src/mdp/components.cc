#include "mdp/components.h"

#include <algorithm>

namespace berth::mdp {
namespace internal {

Components FindStronglyConnected(std::span<const int64_t> begin, std::span<const StateIndex> next) {
  const auto n = static_cast<StateIndex>(begin.size() - 1);
  constexpr int32_t kUnseen = -1;
  Components result;
  result.of_state.assign(static_cast<size_t>(n), -1);
  std::vector<int32_t> order(static_cast<size_t>(n), kUnseen);
  std::vector<int32_t> low(static_cast<size_t>(n), 0);
  std::vector<StateIndex> open;  // seen, not yet in a component
  struct Frame {
    StateIndex node;
    int64_t edge;
  };
  std::vector<Frame> stack;  // instead of recursion, which a long chain would overflow
  int32_t seen = 0;
  const auto enter = [&](StateIndex node) {
    order[node] = low[node] = seen++;
    open.push_back(node);
    stack.push_back({node, begin[node]});
  };
  for (StateIndex root = 0; root < n; ++root) {
    if (order[root] != kUnseen) continue;
    enter(root);
    while (!stack.empty()) {
      Frame& frame = stack.back();
      const StateIndex node = frame.node;
      if (frame.edge < begin[node + 1]) {
        const StateIndex to = next[frame.edge++];
        if (order[to] == kUnseen) {
          enter(to);
        } else if (result.of_state[to] < 0) {
          low[node] = std::min(low[node], order[to]);
        }
        continue;
      }
      stack.pop_back();
      if (!stack.empty()) low[stack.back().node] = std::min(low[stack.back().node], low[node]);
      if (low[node] != order[node]) continue;
      const auto component = static_cast<int32_t>(result.states.size());
      auto& states = result.states.emplace_back();
      for (StateIndex last = -1; last != node;) {
        last = open.back();
        open.pop_back();
        result.of_state[last] = component;
        states.push_back(last);
      }
      std::sort(states.begin(), states.end());
    }
  }
  return result;
}

}  // namespace internal

namespace {

// The graph of the rows for which is_live holds.
template <class IsLive>
Components ConnectRows(const SparseMdp& model, IsLive&& is_live) {
  std::vector<int64_t> begin = {0};
  std::vector<StateIndex> next;
  const auto state_begin = model.state_begin();
  const auto row_begin = model.row_begin();
  begin.reserve(static_cast<size_t>(model.num_states()) + 1);
  for (StateIndex s = 0; s < model.num_states(); ++s) {
    for (int64_t row = state_begin[s]; row < state_begin[s + 1]; ++row) {
      if (!is_live(row)) continue;
      for (int64_t i = row_begin[row]; i < row_begin[row + 1]; ++i) next.push_back(model.successors()[i]);
    }
    begin.push_back(static_cast<int64_t>(next.size()));
  }
  return internal::FindStronglyConnected(begin, next);
}

}  // namespace

Components FindStronglyConnected(const SparseMdp& model) {
  return ConnectRows(model, [](int64_t) { return true; });
}

Components FindEndComponents(const SparseMdp& model, std::vector<bool>* is_inside,
                             const std::vector<bool>* is_allowed) {
  const auto state_begin = model.state_begin();
  const auto row_begin = model.row_begin();
  const StateIndex n = model.num_states();
  std::vector<bool> is_live(static_cast<size_t>(model.num_rows()), true);
  if (is_allowed != nullptr) is_live = *is_allowed;
  Components found;
  for (bool has_changed = true; has_changed;) {
    found = ConnectRows(model, [&](int64_t row) { return is_live[row]; });
    has_changed = false;
    std::vector<bool> is_left(static_cast<size_t>(n), true);
    for (StateIndex s = 0; s < n; ++s) {
      bool has_live = model.is_terminal(s);
      for (int64_t row = state_begin[s]; row < state_begin[s + 1]; ++row) has_live = has_live || is_live[row];
      is_left[s] = has_live;
    }
    for (StateIndex s = 0; s < n; ++s) {
      for (int64_t row = state_begin[s]; row < state_begin[s + 1]; ++row) {
        if (!is_live[row]) continue;
        const bool stays =
            std::all_of(model.successors().begin() + row_begin[row], model.successors().begin() + row_begin[row + 1],
                        [&](StateIndex to) { return is_left[to] && found.of_state[to] == found.of_state[s]; });
        if (stays) continue;
        is_live[row] = false;
        has_changed = true;
      }
    }
  }
  Components result;
  result.of_state.assign(static_cast<size_t>(n), -1);
  for (const auto& states : found.states) {
    // A state without actions left is alone in its component.
    const StateIndex first = states.front();
    const bool is_end = model.is_terminal(first) ||
                        std::any_of(is_live.begin() + state_begin[first], is_live.begin() + state_begin[first + 1],
                                    [](bool live) { return live; });
    if (!is_end) continue;
    for (const StateIndex s : states) result.of_state[s] = static_cast<int32_t>(result.states.size());
    result.states.push_back(states);
  }
  if (is_inside != nullptr) *is_inside = std::move(is_live);
  return result;
}

}  // namespace berth::mdp

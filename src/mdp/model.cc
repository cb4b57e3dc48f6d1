#include "mdp/model.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "fmt/format.h"

namespace berth::mdp {
namespace {

// "state 3, action 1, row 7: <field> is <value>, accepted: <accepted>"
template <class Value>
absl::Status RowError(StateIndex s, int32_t action, int64_t row, std::string_view field, Value value,
                      std::string_view accepted) {
  return absl::InvalidArgumentError(
      fmt::format("state {}, action {}, row {}: {} is {}, accepted: {}", s, action, row, field, value, accepted));
}

}  // namespace

SparseMdpBuilder::SparseMdpBuilder(StateIndex num_states, RowKind kind) : num_states_(num_states), kind_(kind) {
  const size_t n = num_states > 0 ? static_cast<size_t>(num_states) : 0;
  is_terminal_.assign(n, false);
  seen_in_row_.assign(n, -1);
}

absl::Status SparseMdpBuilder::CheckAndAppend(StateIndex s, int32_t action, double reward,
                                              std::span<const Transition> transitions, bool is_distribution,
                                              double time) {
  const int64_t row = static_cast<int64_t>(rows_.size());
  const auto states = [&] { return absl::StrCat("0 to ", num_states_ - 1); };
  if (s < 0 || s >= num_states_) return RowError(s, action, row, "state", s, states());
  if (action < 0) return RowError(s, action, row, "action", action, "0 to 2147483647");
  if (!std::isfinite(reward)) return RowError(s, action, row, "reward", reward, "a finite number");
  if (!(time > 0) || !std::isfinite(time)) {
    return RowError(s, action, row, "mean time", time, "a finite number > 0");
  }
  const std::string_view field = is_distribution ? "probability" : "rate";
  double sum = 0;
  absl::Status status;
  size_t marked = 0;
  for (const Transition& t : transitions) {
    if (t.next < 0 || t.next >= num_states_) {
      status = RowError(s, action, row, "successor", t.next, states());
    } else if (!std::isfinite(t.weight) || t.weight < 0 || (is_distribution && t.weight > 1 + kRowSumTolerance)) {
      status = RowError(s, action, row, fmt::format("{} to state {}", field, t.next), t.weight,
                        is_distribution ? "0 to 1" : "a finite number >= 0");
    } else if (seen_in_row_[t.next] == row) {
      status = RowError(s, action, row, "successor", t.next, "every successor once a row");
    }
    if (!status.ok()) break;
    seen_in_row_[t.next] = row;
    ++marked;
    sum += t.weight;
  }
  if (status.ok() && is_distribution && !(std::abs(sum - 1) <= kRowSumTolerance)) {
    status = RowError(s, action, row, "sum of the probabilities", sum, absl::StrCat("1 within ", kRowSumTolerance));
  }
  if (status.ok() && !std::isfinite(sum / time)) {
    status = RowError(s, action, row, "sum of the rates", sum / time, "a finite number");
  }
  if (status.ok() && !std::isfinite(reward / time)) {
    status = RowError(s, action, row, "reward rate", reward / time, "a finite number");
  }
  if (!status.ok()) {
    for (size_t i = 0; i < marked; ++i) seen_in_row_[transitions[i].next] = -1;
    return status;
  }
  // A sum that is one but for the rounding of its terms is left alone, so that exact input stays exact.
  const double rounding = 2 * std::numeric_limits<double>::epsilon() * static_cast<double>(transitions.size() + 1);
  const double divisor = is_distribution && std::abs(sum - 1) > rounding ? sum * time : time;
  const int64_t begin = static_cast<int64_t>(transitions_.size());
  for (const Transition& t : transitions) {
    if (t.weight > 0) transitions_.push_back({t.next, t.weight / divisor});
  }
  rows_.push_back({s, action, reward / time, begin, static_cast<int64_t>(transitions_.size())});
  return absl::OkStatus();
}

absl::Status SparseMdpBuilder::AddAction(StateIndex s, int32_t action, double reward,
                                         std::span<const Transition> transitions) {
  return CheckAndAppend(s, action, reward, transitions, kind_ == RowKind::kProbability, 1);
}

absl::Status SparseMdpBuilder::AddSemiMarkovAction(StateIndex s, int32_t action, double reward, double mean_time,
                                                   std::span<const Transition> transitions) {
  if (kind_ != RowKind::kRate) {
    return RowError(s, action, static_cast<int64_t>(rows_.size()), "kind of the model", "probabilities",
                    "rates, for a semi-Markov action");
  }
  return CheckAndAppend(s, action, reward, transitions, true, mean_time);
}

absl::Status SparseMdpBuilder::DeclareTerminal(StateIndex s) {
  if (s < 0 || s >= num_states_) {
    return absl::InvalidArgumentError(absl::StrCat("terminal state is ", s, ", accepted: 0 to ", num_states_ - 1));
  }
  is_terminal_[s] = true;
  return absl::OkStatus();
}

absl::StatusOr<SparseMdp> SparseMdpBuilder::Build() && {
  if (num_states_ < 1) {
    return absl::InvalidArgumentError(absl::StrCat("number of states is ", num_states_, ", accepted: 1 to 2147483646"));
  }
  if (num_states_ == std::numeric_limits<StateIndex>::max()) {
    return absl::InvalidArgumentError("number of states is 2147483647, accepted: 1 to 2147483646");
  }
  std::vector<int64_t> order(rows_.size());
  for (size_t i = 0; i < order.size(); ++i) order[i] = static_cast<int64_t>(i);
  const auto comes_before = [&](int64_t x, int64_t y) {
    const Row& a = rows_[x];
    const Row& b = rows_[y];
    if (a.state != b.state) return a.state < b.state;
    return a.action != b.action ? a.action < b.action : x < y;
  };
  if (!std::is_sorted(order.begin(), order.end(), comes_before)) std::sort(order.begin(), order.end(), comes_before);
  SparseMdp mdp;
  mdp.kind_ = kind_;
  mdp.state_begin_.assign(static_cast<size_t>(num_states_) + 1, 0);
  mdp.row_begin_.reserve(rows_.size() + 1);
  mdp.reward_.reserve(rows_.size());
  mdp.action_number_.reserve(rows_.size());
  mdp.next_.reserve(transitions_.size());
  mdp.weight_.reserve(transitions_.size());
  mdp.row_begin_.push_back(0);
  for (size_t i = 0; i < order.size(); ++i) {
    const Row& row = rows_[order[i]];
    if (i > 0) {
      const Row& before = rows_[order[i - 1]];
      if (before.state == row.state && before.action == row.action) {
        return RowError(row.state, row.action, order[i], "the pair of state and action",
                        absl::StrCat("the same as of row ", order[i - 1]), "every pair once");
      }
    }
    if (is_terminal_[row.state]) {
      return RowError(row.state, row.action, order[i], "the state", "declared terminal", "a state that has actions");
    }
    ++mdp.state_begin_[row.state + 1];
    mdp.reward_.push_back(row.reward);
    mdp.action_number_.push_back(row.action);
    for (int64_t t = row.begin; t < row.end; ++t) {
      mdp.next_.push_back(transitions_[t].next);
      mdp.weight_.push_back(transitions_[t].weight);
    }
    mdp.row_begin_.push_back(static_cast<int64_t>(mdp.next_.size()));
  }
  for (StateIndex s = 0; s < num_states_; ++s) {
    if (mdp.state_begin_[s + 1] == 0 && !is_terminal_[s]) {
      return absl::InvalidArgumentError(absl::StrCat(
          "state ", s, ": number of actions is 0, accepted: at least 1, or a state that is declared terminal"));
    }
    mdp.state_begin_[s + 1] += mdp.state_begin_[s];
  }
  return mdp;
}

absl::StatusOr<SparseMdp> Uniformise(const SparseMdp& rates, double clock_rate) {
  if (rates.kind() != RowKind::kRate) {
    return absl::InvalidArgumentError("kind of the model is probabilities, accepted: rates");
  }
  if (!std::isfinite(clock_rate) || clock_rate <= 0) {
    return absl::InvalidArgumentError(fmt::format("clock rate is {}, accepted: a finite number > 0", clock_rate));
  }
  SparseMdpBuilder builder(rates.num_states());
  std::vector<Transition> row;
  for (StateIndex s = 0; s < rates.num_states(); ++s) {
    if (rates.is_terminal(s)) BERTH_RETURN_IF_ERROR(builder.DeclareTerminal(s));
    for (int32_t a = 0; a < rates.num_actions(s); ++a) {
      row.clear();
      double leaving = 0;
      rates.VisitSuccessors(s, a, [&](StateIndex next, double rate) {
        if (next == s) return;
        leaving += rate;
        row.push_back({next, rate / clock_rate});
      });
      if (leaving > clock_rate) {
        return absl::InvalidArgumentError(
            fmt::format("clock rate is {}, accepted: at least {}, the total rate of state {}, action {}", clock_rate,
                        leaving, s, rates.ActionNumber(s, a)));
      }
      row.push_back({s, std::max(0.0, 1 - leaving / clock_rate)});
      BERTH_RETURN_IF_ERROR(builder.AddAction(s, rates.ActionNumber(s, a), rates.Reward(s, a) / clock_rate, row));
    }
  }
  return std::move(builder).Build();
}

}  // namespace berth::mdp

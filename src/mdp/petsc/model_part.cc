#include "mdp/petsc/model_part.h"

#include <algorithm>
#include <array>
#include <string>
#include <utility>

namespace berth::mdp::internal {
namespace {

// MPI counts in int.
constexpr int64_t kMessageBytes = int64_t{1} << 30;

template <class T>
void Send(MPI_Comm ranks, int to, std::span<const T> values) {
  const auto bytes = std::as_bytes(values);
  for (size_t at = 0; at < bytes.size(); at += kMessageBytes) {
    const auto message = bytes.subspan(at, std::min<size_t>(bytes.size() - at, kMessageBytes));
    MPI_Send(message.data(), static_cast<int>(message.size()), MPI_BYTE, to, 0, ranks);
  }
}

template <class T>
void Receive(MPI_Comm ranks, std::span<T> values) {
  const auto bytes = std::as_writable_bytes(values);
  for (size_t at = 0; at < bytes.size(); at += kMessageBytes) {
    const auto message = bytes.subspan(at, std::min<size_t>(bytes.size() - at, kMessageBytes));
    MPI_Recv(message.data(), static_cast<int>(message.size()), MPI_BYTE, 0, 0, ranks, MPI_STATUS_IGNORE);
  }
}

// What is at hand where the states before s are done: transitions, and something for each row and state.
int64_t WorkBefore(const SparseMdp& model, StateIndex s) {
  const int64_t row = model.state_begin()[s];
  return model.row_begin()[row] + row + s;
}

}  // namespace

std::vector<StateIndex> SplitStates(const SparseMdp& model, int ranks) {
  const int64_t work = WorkBefore(model, model.num_states());
  std::vector<StateIndex> begin = {0};
  StateIndex s = 0;
  for (int rank = 1; rank < ranks; ++rank) {
    const double share = static_cast<double>(work) * rank / ranks;
    while (s < model.num_states() && static_cast<double>(WorkBefore(model, s)) < share) ++s;
    begin.push_back(s);
  }
  begin.push_back(model.num_states());
  return begin;
}

ModelPart ModelPart::Scatter(MPI_Comm ranks, const SparseMdp* model) {
  int rank = 0, size = 1;
  MPI_Comm_rank(ranks, &rank);
  MPI_Comm_size(ranks, &size);

  ModelPart part;
  std::array<int64_t, 5> about{};
  std::vector<StateIndex> begin(static_cast<size_t>(size) + 1);
  if (rank == 0) {
    begin = SplitStates(*model, size);
    bool has_terminal = false;
    for (StateIndex s = 0; s < model->num_states(); ++s) has_terminal = has_terminal || model->is_terminal(s);
    about = {model->num_states(), model->num_rows(), model->num_transitions(), model->kind() == RowKind::kRate,
             has_terminal};
  }
  MPI_Bcast(about.data(), static_cast<int>(about.size()), MPI_INT64_T, 0, ranks);
  MPI_Bcast(begin.data(), static_cast<int>(begin.size()), MPI_INT32_T, 0, ranks);
  part.whole_ = {static_cast<StateIndex>(about[0]), about[1], about[2],
                 about[3] != 0 ? RowKind::kRate : RowKind::kProbability, about[4] != 0};
  part.first_state_ = begin[static_cast<size_t>(rank)];
  const StateIndex own = begin[static_cast<size_t>(rank) + 1] - part.first_state_;
  while (begin[static_cast<size_t>(part.owner_of_first_) + 1] == 0) ++part.owner_of_first_;

  if (rank == 0) {
    // Its own rows last: what is sent is then out of the way.
    for (int to = size - 1; to >= 0; --to) {
      const StateIndex first = begin[static_cast<size_t>(to)], last = begin[static_cast<size_t>(to) + 1];
      const int64_t row = model->state_begin()[first], rows = model->state_begin()[last] - row;
      const int64_t transition = model->row_begin()[row], transitions = model->row_begin()[row + rows] - transition;
      std::vector<int32_t> numbers;
      numbers.reserve(static_cast<size_t>(rows));
      for (StateIndex s = first; s < last; ++s) {
        for (int32_t a = 0; a < model->num_actions(s); ++a) numbers.push_back(model->ActionNumber(s, a));
      }
      const auto state_begin = model->state_begin().subspan(first, last - first + 1);
      const auto row_begin = model->row_begin().subspan(row, rows + 1);
      const auto reward = model->rewards().subspan(row, rows);
      const auto next = model->successors().subspan(transition, transitions);
      const auto weight = model->weights().subspan(transition, transitions);
      if (to > 0) {
        Send(ranks, to, state_begin);
        Send(ranks, to, row_begin);
        Send(ranks, to, reward);
        Send(ranks, to, std::span<const int32_t>(numbers));
        Send(ranks, to, next);
        Send(ranks, to, weight);
      } else {
        part.state_begin_.assign(state_begin.begin(), state_begin.end());
        part.row_begin_.assign(row_begin.begin(), row_begin.end());
        part.reward_.assign(reward.begin(), reward.end());
        part.action_number_ = std::move(numbers);
        part.next_.assign(next.begin(), next.end());
        part.weight_.assign(weight.begin(), weight.end());
      }
    }
  } else {
    part.state_begin_.resize(static_cast<size_t>(own) + 1);
    Receive(ranks, std::span(part.state_begin_));
    const auto rows = static_cast<size_t>(part.state_begin_.back() - part.state_begin_.front());
    part.row_begin_.resize(rows + 1);
    Receive(ranks, std::span(part.row_begin_));
    const auto transitions = static_cast<size_t>(part.row_begin_.back() - part.row_begin_.front());
    part.reward_.resize(rows);
    part.action_number_.resize(rows);
    part.next_.resize(transitions);
    part.weight_.resize(transitions);
    Receive(ranks, std::span(part.reward_));
    Receive(ranks, std::span(part.action_number_));
    Receive(ranks, std::span(part.next_));
    Receive(ranks, std::span(part.weight_));
  }
  part.NumberLocally();
  return part;
}

void ModelPart::NumberLocally() {
  for (std::vector<int64_t>* begin : {&state_begin_, &row_begin_}) {
    const int64_t first = begin->front();
    for (int64_t& at : *begin) at -= first;
  }
  const StateIndex own = num_states();
  const auto is_own = [&](StateIndex s) { return s >= first_state_ && s < first_state_ + own; };
  constexpr StateIndex kUnseen = -1;
  std::vector<StateIndex> local(static_cast<size_t>(whole_.num_states), kUnseen);
  for (const StateIndex s : next_) local[s] = 0;
  for (StateIndex s = 0; s < whole_.num_states; ++s) {
    if (is_own(s)) {
      local[s] = s - first_state_;
    } else if (local[s] != kUnseen) {
      local[s] = own + static_cast<StateIndex>(ghosts_.size());
      ghosts_.push_back(s);
    }
  }
  for (StateIndex& s : next_) s = local[s];
}

int64_t ModelPart::bytes() const {
  return static_cast<int64_t>(8 * (state_begin_.size() + row_begin_.size()) + 12 * reward_.size() + 12 * next_.size() +
                              4 * ghosts_.size());
}

absl::Status ShareStatus(MPI_Comm ranks, const absl::Status& status) {
  int rank = 0;
  MPI_Comm_rank(ranks, &rank);
  std::string message(status.message());
  std::array<int, 2> about = {static_cast<int>(status.code()), static_cast<int>(message.size())};
  MPI_Bcast(about.data(), 2, MPI_INT, 0, ranks);
  message.resize(static_cast<size_t>(about[1]));
  MPI_Bcast(message.data(), about[1], MPI_CHAR, 0, ranks);
  return {static_cast<absl::StatusCode>(about[0]), message};
}

}  // namespace berth::mdp::internal

// Models for the tests of src/mdp/files.
#ifndef BERTH_TESTS_MDP_FILES_SUPPORT_H_
#define BERTH_TESTS_MDP_FILES_SUPPORT_H_

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/rng.h"
#include "mdp/files/model_file.h"
#include "support/temp_file.h"

namespace berth::mdp {

using test::TempFolder;

struct PlainRow {
  StateIndex state = 0;
  int32_t action = 0;
  double reward = 0;
  std::vector<Transition> to = {};
  friend bool operator==(const PlainRow&, const PlainRow&) = default;
  friend void PrintTo(const PlainRow& row, std::ostream* out) {
    *out << "state " << row.state << " action " << row.action << " reward " << row.reward << ":";
    for (const Transition& t : row.to) *out << " " << t.next << " " << t.weight;
  }
};

// All that a model holds but its number of states: equal rows are equal bits.
inline std::vector<PlainRow> RowsOf(const SparseMdp& mdp) {
  std::vector<PlainRow> rows;
  for (StateIndex s = 0; s < mdp.num_states(); ++s) {
    for (int32_t a = 0; a < mdp.num_actions(s); ++a) {
      PlainRow& row = rows.emplace_back(PlainRow{s, mdp.ActionNumber(s, a), mdp.Reward(s, a)});
      mdp.VisitSuccessors(s, a, [&](StateIndex next, double weight) { row.to.push_back({next, weight}); });
    }
  }
  return rows;
}

inline absl::StatusOr<SparseMdp> BuildRows(StateIndex num_states, const std::vector<PlainRow>& rows,
                                           RowKind kind = RowKind::kProbability,
                                           const std::vector<StateIndex>& terminal = {}) {
  SparseMdpBuilder builder(num_states, kind);
  for (const PlainRow& row : rows) {
    if (auto status = builder.AddAction(row.state, row.action, row.reward, row.to); !status.ok()) return status;
  }
  for (const StateIndex s : terminal) {
    if (auto status = builder.DeclareTerminal(s); !status.ok()) return status;
  }
  return std::move(builder).Build();
}

inline std::string ReadBytes(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

inline std::string DataFile(const std::string& name) {
  const char* source = std::getenv("BERTH_SOURCE_DIR");
  return std::string(source != nullptr ? source : ".") + "/tests/mdp/files/data/" + name;
}

}  // namespace berth::mdp

#endif  // BERTH_TESTS_MDP_FILES_SUPPORT_H_

// Files that hold a finite model: read into a SparseMdp that is checked row by row, and written.
//
// - .umb: UMB version 1, as Storm 2.0 writes and reads it; a tar, plain or under gzip or xz.
// - .tra: PRISM's explicit files, chain or MDP, of probabilities or rates; rewards and labels in files beside it.
// - .csv: header `state,action,next,probability,reward`, or `rate` for `probability`; a line with a state alone says
//   that it is absorbing. In a model of rates `reward` is the action's reward rate.
// - .json: mdp-oracle-1, with numbers as texts of exact fractions; for small models.
//
// What a format has no place for is dropped in writing: the criterion and discount by all but JSON; the initial state
// by CSV; the name by .tra and CSV; gaps between the numbers of a state's actions by .tra and JSON. UMB and PRISM ask
// for an action in every state: where there is none, they get an absorbing state that stays, for nothing.
//
// Untrusted files are safe to read: memory is in proportion to the file, never to a number in it. Limits:
// ReadOptions::max_bytes (JSON 256 MiB, UMB's index.json 16 MiB), fewer than 2^31 - 1 states, action numbers below
// 2^31.
//
// Sources: "Specification of the UMB Format" (pmc-tools, format-version 1, 2026-01); PRISM manual, appendix "Explicit
// Model Files"; what Storm 2.0.0 writes.
//
// Thread-safe: no state is shared. Cost: O(file), and a sort where the lines of a text are not ordered by state and
// action. Memory at the peak: about 60 bytes a transition for UMB, 80 and the text itself for CSV and .tra, 400 for
// JSON.
#ifndef BERTH_MDP_FILES_MODEL_FILE_H_
#define BERTH_MDP_FILES_MODEL_FILE_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "mdp/criterion.h"
#include "mdp/model.h"

namespace berth::mdp {

struct ModelFile {
  SparseMdp mdp;
  // What the file asks of the model, if it does. Only JSON can.
  std::optional<Criterion> criterion = std::nullopt;
  // Empty (none), or [num_states]: the states where a total reward stops. They keep their actions in `mdp`; every
  // terminal state of `mdp` is one of them.
  std::vector<bool> is_absorbing = {};
  StateIndex initial = 0;  // the first, if a file has several; 0 if it has none
  std::string name = "";   // what the file calls itself, else its name without the extension
};

struct ReadOptions {
  // Which reward structure, by its name or alias, where a UMB file holds several.
  std::string reward = "";
  // The label (atomic proposition) of the absorbing states in UMB and PRISM's files. Empty: "absorbing", if it is
  // there.
  std::string absorbing_label = "";
  // Of .tra: the files beside it. Empty: same stem and .srew or .rews, .trew or .rewt, .rew (either kind), .lab, where
  // there are such files.
  std::string state_rewards_path = "";
  std::string transition_rewards_path = "";
  std::string labels_path = "";
  // Of .tra: what its numbers are; the file does not say. With rates, rewards of transitions are earned at jumps.
  RowKind tra_kind = RowKind::kProbability;
  int64_t max_bytes = int64_t{8} << 30;  // of one file, and of all that a .umb unpacks to
};

// The format goes by the extension; a file of another name is looked at: a tar, gzip or xz is UMB, a brace JSON.
//
// Rewards that differ by successor become their expectation. An action of a model of rates earns a reward rate: in UMB,
// state rewards + exit rate * (choice + expected branch rewards).
//
// Errors: NOT_FOUND no such file; RESOURCE_EXHAUSTED above a limit, or no memory; INVALID_ARGUMENT for all else, naming
// state, action and row for a row that SparseMdpBuilder refuses, the field and its value otherwise; in a text also the
// line. UMB alone may name a successor twice in a row (the numbers are added); Markov automata, games, partial
// observation and numbers other than doubles are refused.
absl::StatusOr<ModelFile> ReadModelFile(const std::string& path, const ReadOptions& options = {});

// By the extension of `path`. A .tra comes with .srew, .trew and .lab. Every file is written under another name beside
// it and then renamed, the .tra last: on an error nothing under its final name is half done. Doubles come back bit for
// bit; but UMB keeps rates as exit rate * probability, which rounds. Equal models give equal bytes.
//
// Errors: INVALID_ARGUMENT the extension; is_absorbing or initial that don't fit the model; rates in JSON, or in a .tra
// with reward rates that differ by action; a number in JSON for `discount` that no fraction of 18 digits gives.
// FAILED_PRECONDITION the file can't be written.
absl::Status WriteModelFile(const std::string& path, const ModelFile& model);

}  // namespace berth::mdp

#endif  // BERTH_MDP_FILES_MODEL_FILE_H_

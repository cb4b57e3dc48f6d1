// Triples: one line a transition, under a header. libcsv cuts the fields; a line is parsed and forgotten.
#include <csv.h>

#include <algorithm>
#include <array>
#include <limits>
#include <new>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/new_file.h"
#include "base/status.h"
#include "fmt/format.h"
#include "mdp/files/entries.h"
#include "mdp/files/file_io.h"
#include "mdp/files/format.h"
#include "mdp/files/number.h"

namespace berth::mdp::internal {
namespace {

constexpr char kKind[] = "CSV";

enum Column { kState, kAction, kNext, kProbability, kRate, kReward, kNumColumns };
constexpr std::array<std::string_view, kNumColumns> kColumnNames = {"state",       "action", "next",
                                                                    "probability", "rate",   "reward"};

// What the parser's callbacks fill. After the first error the rest is ignored.
class Lines {
 public:
  void AddField(std::string_view field) {
    if (status_.ok()) status_ = num_columns_ == 0 ? ReadHeader(field) : ReadField(field);
  }
  void SetOutOfMemory() { status_ = absl::ResourceExhaustedError(fmt::format("{}: no memory", kKind)); }

  void EndRow(int end) {
    if (status_.ok() && field_ > 0) {
      if (num_columns_ == 0) {
        status_ = EndHeader();
      } else {
        status_ = EndLine();
      }
      field_ = 0;
    }
    // CR LF is one end of a line; libcsv reports both.
    if (!(end == '\n' && last_end_is_cr_)) ++line_;
    last_end_is_cr_ = end == '\r';
  }

  absl::StatusOr<ModelFile> Finish() && {
    BERTH_RETURN_IF_ERROR(status_);
    if (num_columns_ == 0) return InvalidField(kKind, "empty", "a header and lines");
    if (last_state_ < 0) return InvalidField(kKind, "a header alone", "a header and lines");
    const StateIndex num_states = last_state_ + 1;
    BERTH_RETURN_IF_ERROR(CheckEveryStateHasALine(num_states, entries_, declared_));
    std::vector<bool> is_absorbing(declared_.empty() ? 0 : num_states, false);
    for (const StateIndex s : declared_) is_absorbing[s] = true;
    SortEntries(entries_);
    BERTH_ASSIGN_OR_RETURN(SparseMdp mdp, BuildFromEntries(kKind, num_states, kind_, EntryReward::kRate, entries_,
                                                           std::vector<double>(), is_absorbing));
    return ModelFile{.mdp = std::move(mdp), .is_absorbing = std::move(is_absorbing)};
  }

  absl::Status UnfinishedQuote() const {
    return status_.ok() ? InvalidField(Where(), "a quote that does not end where a field ends", "RFC 4180") : status_;
  }

 private:
  std::string Where() const { return fmt::format("{} line {} column {}", kKind, line_, field_ + 1); }

  absl::Status ReadHeader(std::string_view name) {
    if (field_ == 0 && name.starts_with("\xef\xbb\xbf")) name.remove_prefix(3);
    const auto it = std::find(kColumnNames.begin(), kColumnNames.end(), name);
    if (it == kColumnNames.end()) {
      return InvalidField(Where(), name, "state, action, next, probability or rate, reward");
    }
    const auto column = static_cast<Column>(it - kColumnNames.begin());
    if (std::find(columns_.begin(), columns_.end(), column) != columns_.end()) {
      return InvalidField(Where(), name, "each column once");
    }
    columns_.push_back(column);
    ++field_;
    return absl::OkStatus();
  }

  absl::Status EndHeader() {
    const auto has = [&](Column c) { return std::find(columns_.begin(), columns_.end(), c) != columns_.end(); };
    if (!has(kState) || !has(kAction) || !has(kNext) || !has(kReward) || has(kProbability) == has(kRate)) {
      return InvalidField(fmt::format("{} header", kKind), fmt::format("{} columns", columns_.size()),
                          "state, action, next, reward, and either probability or rate");
    }
    kind_ = has(kRate) ? RowKind::kRate : RowKind::kProbability;
    num_columns_ = columns_.size();
    return absl::OkStatus();
  }

  absl::Status ReadField(std::string_view text) {
    if (field_ >= num_columns_) {
      return InvalidField(Where(), text, fmt::format("{} fields, as in the header", num_columns_));
    }
    const Column column = columns_[field_];
    const auto where = [&] { return fmt::format("{} ({})", Where(), kColumnNames[column]); };
    if (field_ == 0) {
      entry_ = {.line = line_};
      num_empty_ = 0;
      is_state_empty_ = false;
    }
    if (text.empty()) {
      ++num_empty_;
      is_state_empty_ = is_state_empty_ || column == kState;
    } else if (column == kState || column == kNext || column == kAction) {
      // The last state number is kept free: the number of states is one more.
      const int32_t high = std::numeric_limits<int32_t>::max() - (column == kAction ? 0 : 2);
      const std::optional<int32_t> number = ParseIndex(text, high);
      if (!number) return InvalidField(where(), text, fmt::format("a whole number from 0 to {}", high));
      (column == kState ? entry_.state : column == kNext ? entry_.next : entry_.action) = *number;
    } else {
      const std::optional<double> number = ParseNumber(text);
      if (!number) return InvalidField(where(), text, "a number or a fraction");
      (column == kReward ? entry_.reward : entry_.weight) = *number;
    }
    ++field_;
    return absl::OkStatus();
  }

  absl::Status EndLine() {
    if (field_ < num_columns_) {
      return InvalidField(fmt::format("{} line {}", kKind, line_), fmt::format("{} fields", field_),
                          fmt::format("{} as in the header", num_columns_));
    }
    const bool is_declaration = !is_state_empty_ && num_empty_ + 1 == num_columns_;
    if (num_empty_ > 0 && !is_declaration) {
      return InvalidField(fmt::format("{} line {}", kKind, line_), fmt::format("{} empty fields", num_empty_),
                          "none, or all but the state, which declares it absorbing");
    }
    if (is_declaration) {
      declared_.push_back(entry_.state);
      last_state_ = std::max(last_state_, entry_.state);
    } else {
      entries_.push_back(entry_);
      last_state_ = std::max({last_state_, entry_.state, entry_.next});
    }
    return absl::OkStatus();
  }

  absl::Status status_;
  std::vector<Column> columns_;
  size_t num_columns_ = 0;  // 0: the header is not read
  RowKind kind_ = RowKind::kProbability;
  int64_t line_ = 1;
  bool last_end_is_cr_ = false;
  size_t field_ = 0;
  size_t num_empty_ = 0;
  bool is_state_empty_ = false;
  Entry entry_;
  std::vector<Entry> entries_;
  std::vector<StateIndex> declared_;
  StateIndex last_state_ = -1;
};

// Called from C, which an exception must not cross.
template <class Step>
void Guard(void* user, Step&& step) {
  auto* const lines = static_cast<Lines*>(user);
  try {
    step(*lines);
  } catch (const std::bad_alloc&) {
    lines->SetOutOfMemory();
  }
}
void OnField(void* data, size_t size, void* user) {
  Guard(user, [&](Lines& lines) { lines.AddField({static_cast<const char*>(data), size}); });
}
void OnRow(int end, void* user) {
  Guard(user, [&](Lines& lines) { lines.EndRow(end); });
}

}  // namespace

absl::StatusOr<ModelFile> ReadCsv(const std::string& path, const ReadOptions& options) {
  BERTH_ASSIGN_OR_RETURN(const std::string text, ReadWholeFile(kKind, path, options.max_bytes));
  Lines lines;
  csv_parser parser;
  if (csv_init(&parser, CSV_STRICT | CSV_STRICT_FINI | CSV_REPALL_NL) != 0) return absl::InternalError("no CSV parser");
  csv_set_space_func(&parser, [](unsigned char) { return 0; });  // blanks belong to a field (RFC 4180, 2.4)
  const size_t used = csv_parse(&parser, text.data(), text.size(), OnField, OnRow, &lines);
  const bool is_whole = used == text.size() && csv_fini(&parser, OnField, OnRow, &lines) == 0;
  csv_free(&parser);
  if (!is_whole) return lines.UnfinishedQuote();
  return std::move(lines).Finish();
}

absl::Status WriteCsv(const std::string& path, const ModelFile& model, const std::vector<bool>& is_absorbing) {
  const SparseMdp& mdp = model.mdp;
  NewFile file(kModelFile, path);
  fmt::memory_buffer out;
  const auto flush = [&] {
    file.out().write(out.data(), static_cast<std::streamsize>(out.size()));
    out.clear();
  };
  fmt::format_to(std::back_inserter(out), "state,action,next,{},reward\n",
                 mdp.kind() == RowKind::kRate ? "rate" : "probability");
  for (StateIndex s = 0; s < mdp.num_states(); ++s) {
    if (is_absorbing[s]) fmt::format_to(std::back_inserter(out), "{},,,,\n", s);
    for (int32_t a = 0; a < mdp.num_actions(s); ++a) {
      bool has_line = false;
      const auto write = [&](StateIndex next, double weight) {
        fmt::format_to(std::back_inserter(out), "{},{},{},{},{}\n", s, mdp.ActionNumber(s, a), next, weight,
                       mdp.Reward(s, a));
        has_line = true;
      };
      mdp.VisitSuccessors(s, a, write);
      if (!has_line) write(s, 0);  // a row of rates that never leaves; weights of 0 are dropped on reading
    }
    if (out.size() > (1 << 20)) flush();
  }
  flush();
  BERTH_RETURN_IF_ERROR(file.Close());
  return file.Commit();
}

}  // namespace berth::mdp::internal

// PRISM's explicit files: a .tra, and rewards and labels in files of their own beside it.
#include <algorithm>
#include <filesystem>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/new_file.h"
#include "base/quantity.h"
#include "base/status.h"
#include "fmt/format.h"
#include "mdp/files/entries.h"
#include "mdp/files/file_io.h"
#include "mdp/files/format.h"
#include "mdp/files/number.h"

namespace berth::mdp::internal {
namespace {

namespace fs = std::filesystem;

constexpr size_t kMaxWords = 8;  // no line has more that we read; the labels' header is cut elsewhere

// Lines of words. Blank lines and lines that begin with # are passed over.
class Scanner {
 public:
  Scanner(std::string_view kind, std::string_view text) : kind_(kind), text_(text) {}

  // The next line with words; false at the end. Of more than kMaxWords words the rest is left out.
  bool Next() {
    while (at_ < text_.size()) {
      const size_t end = std::min(text_.find('\n', at_), text_.size());
      raw_ = text_.substr(at_, end - at_);
      at_ = end + 1;
      ++line_;
      Cut();
      if (num_words_ > 0 && words_[0].front() != '#') return true;
    }
    return false;
  }

  size_t num_words() const { return num_words_; }
  std::string_view word(size_t i) const { return words_[i]; }
  std::string_view raw() const { return raw_; }
  int64_t line() const { return line_; }
  std::string Where(std::string_view field) const { return fmt::format("{} line {}: {}", kind_, line_, field); }

  absl::StatusOr<int32_t> Index(size_t i, const char* field, int32_t high) const {
    const std::optional<int32_t> value = ParseIndex(words_[i], high);
    if (!value) return InvalidField(Where(field), words_[i], fmt::format("a whole number from 0 to {}", high));
    return *value;
  }

  absl::StatusOr<double> Number(size_t i, const char* field) const {
    const std::optional<double> value = ParseNumber(words_[i]);
    if (!value) return InvalidField(Where(field), words_[i], "a number or a fraction");
    return *value;
  }

  absl::Status BadLine(std::string_view accepted) const { return InvalidField(Where("line"), raw_, accepted); }

 private:
  void Cut() {
    constexpr std::string_view kBlank = " \t\r";
    num_words_ = 0;
    for (size_t i = raw_.find_first_not_of(kBlank); i != std::string_view::npos && num_words_ < kMaxWords;) {
      const size_t end = std::min(raw_.find_first_of(kBlank, i), raw_.size());
      words_[num_words_++] = raw_.substr(i, end - i);
      i = raw_.find_first_not_of(kBlank, end);
    }
  }

  std::string_view kind_;
  std::string_view text_;
  size_t at_ = 0;
  int64_t line_ = 0;
  std::string_view raw_;
  std::string_view words_[kMaxWords];
  size_t num_words_ = 0;
};

struct Transitions {
  bool has_choices = false;  // an MDP: lines have a choice after the state
  StateIndex num_states = 0;
  std::vector<Entry> entries;
};

absl::StatusOr<Transitions> ReadTransitions(std::string_view text) {
  constexpr int32_t kMaxIndex = std::numeric_limits<int32_t>::max() - 1;
  Scanner scanner(".tra", text);
  if (!scanner.Next()) return InvalidField(".tra", "empty", "a header and lines");
  Transitions read;
  const size_t counts = scanner.num_words();
  if (counts != 2 && counts != 3) return scanner.BadLine("\"states transitions\" or \"states choices transitions\"");
  read.has_choices = counts == 3;
  BERTH_ASSIGN_OR_RETURN(read.num_states, scanner.Index(0, "number of states", kMaxIndex));
  if (read.num_states == 0) return scanner.BadLine("at least one state");
  const std::string choices_named = read.has_choices ? std::string(scanner.word(1)) : "";
  const auto field = [&](const char* name, std::string_view word) {
    return ParseInteger(scanner.Where(name), word, 0, std::numeric_limits<int64_t>::max());
  };
  int64_t num_choices = 0;
  if (read.has_choices) {
    BERTH_ASSIGN_OR_RETURN(num_choices, field("number of choices", scanner.word(1)));
  }
  BERTH_ASSIGN_OR_RETURN(const int64_t num_transitions, field("number of transitions", scanner.word(counts - 1)));
  const size_t at = read.has_choices ? 1 : 0;  // words before the successor, less one
  while (scanner.Next()) {
    // The name of an action may stand last.
    if (scanner.num_words() != at + 3 && scanner.num_words() != at + 4) {
      return scanner.BadLine(read.has_choices ? "state, choice, successor, weight" : "state, successor, weight");
    }
    Entry entry{.line = scanner.line()};
    BERTH_ASSIGN_OR_RETURN(entry.state, scanner.Index(0, "state", read.num_states - 1));
    if (read.has_choices) {
      BERTH_ASSIGN_OR_RETURN(entry.action, scanner.Index(1, "choice", std::numeric_limits<int32_t>::max()));
    }
    BERTH_ASSIGN_OR_RETURN(entry.next, scanner.Index(at + 1, "successor", read.num_states - 1));
    BERTH_ASSIGN_OR_RETURN(entry.weight, scanner.Number(at + 2, "weight"));
    read.entries.push_back(entry);
  }
  if (static_cast<int64_t>(read.entries.size()) != num_transitions) {
    return InvalidField(".tra number of transitions", fmt::format("{}", num_transitions),
                        fmt::format("{}, the number of lines", read.entries.size()));
  }
  SortEntries(read.entries);
  int64_t rows = 0;
  for (size_t i = 0; i < read.entries.size(); ++i) {
    if (i == 0 || read.entries[i].state != read.entries[i - 1].state ||
        read.entries[i].action != read.entries[i - 1].action) {
      ++rows;
    }
  }
  if (read.has_choices && rows != num_choices) {
    return InvalidField(".tra number of choices", choices_named, fmt::format("{}, as the lines have", rows));
  }
  return read;
}

// Finds entries by state, action and successor. Files are mostly in the order of the entries: the next one is tried
// first.
class EntryFinder {
 public:
  explicit EntryFinder(std::vector<Entry>& entries) : entries_(entries) {}

  Entry* Find(StateIndex state, int32_t action, StateIndex next) {
    const Entry wanted{.state = state, .action = action, .next = next};
    if (at_ < entries_.size() && Key(entries_[at_]) == Key(wanted)) return &entries_[at_++];
    if (order_.empty()) {
      order_.resize(entries_.size());
      for (size_t i = 0; i < order_.size(); ++i) order_[i] = i;
      std::sort(order_.begin(), order_.end(), [&](size_t a, size_t b) { return Key(entries_[a]) < Key(entries_[b]); });
    }
    const auto it = std::lower_bound(order_.begin(), order_.end(), wanted,
                                     [&](size_t a, const Entry& b) { return Key(entries_[a]) < Key(b); });
    if (it == order_.end() || Key(entries_[*it]) != Key(wanted)) return nullptr;
    at_ = *it + 1;
    return &entries_[*it];
  }

 private:
  static std::tuple<StateIndex, int32_t, StateIndex> Key(const Entry& e) { return {e.state, e.action, e.next}; }

  std::vector<Entry>& entries_;
  size_t at_ = 0;
  std::vector<size_t> order_;
};

// Adds a rewards file to the entries, or to `state_rewards`. Which kind it is, the number of words of a line says.
absl::Status ReadRewards(std::string_view kind, std::string_view text, Transitions& model,
                         std::vector<double>& state_rewards) {
  const size_t transition_words = model.has_choices ? 4 : 3;
  Scanner scanner(kind, text);
  if (!scanner.Next()) return InvalidField(kind, "empty", "a header and lines");
  StateIndex num_states = 0;
  BERTH_ASSIGN_OR_RETURN(num_states, scanner.Index(0, "number of states", std::numeric_limits<int32_t>::max()));
  if (num_states != model.num_states) {
    return scanner.BadLine(fmt::format("{} states, as the .tra has", model.num_states));
  }
  BERTH_ASSIGN_OR_RETURN(const int64_t wanted_lines,
                         ParseInteger(scanner.Where("number of rewards"), scanner.word(scanner.num_words() - 1), 0,
                                      std::numeric_limits<int64_t>::max()));
  EntryFinder finder(model.entries);
  std::vector<bool> has_state_reward;
  std::vector<bool> has_reward;
  int64_t lines = 0;
  while (scanner.Next()) {
    ++lines;
    StateIndex state = 0;
    BERTH_ASSIGN_OR_RETURN(state, scanner.Index(0, "state", model.num_states - 1));
    BERTH_ASSIGN_OR_RETURN(const double reward, scanner.Number(scanner.num_words() - 1, "reward"));
    if (scanner.num_words() == 2) {
      if (has_state_reward.empty()) has_state_reward.assign(model.num_states, false);
      if (state_rewards.empty()) state_rewards.assign(model.num_states, 0);
      if (has_state_reward[state]) return scanner.BadLine("every state once");
      has_state_reward[state] = true;
      state_rewards[state] += reward;
    } else if (scanner.num_words() == transition_words) {
      int32_t action = 0;
      StateIndex next = 0;
      if (model.has_choices) {
        BERTH_ASSIGN_OR_RETURN(action, scanner.Index(1, "choice", std::numeric_limits<int32_t>::max()));
      }
      BERTH_ASSIGN_OR_RETURN(next, scanner.Index(transition_words - 2, "successor", model.num_states - 1));
      Entry* const entry = finder.Find(state, action, next);
      if (entry == nullptr) return scanner.BadLine("a transition that the .tra has");
      if (has_reward.empty()) has_reward.assign(model.entries.size(), false);
      const auto i = static_cast<size_t>(entry - model.entries.data());
      if (has_reward[i]) return scanner.BadLine("every transition once");
      has_reward[i] = true;
      entry->reward += reward;
    } else {
      return scanner.BadLine(
          fmt::format("state, reward, or {} words of a transition and its reward", transition_words));
    }
  }
  if (lines == wanted_lines) return absl::OkStatus();
  return InvalidField(fmt::format("{} number of rewards", kind), fmt::format("{}", wanted_lines),
                      fmt::format("{}, the number of lines", lines));
}

// States by label. The header is `0="init" 1="deadlock"`, a line `7: 0 2`.
absl::StatusOr<std::map<std::string, std::vector<StateIndex>>> ReadLabels(std::string_view text,
                                                                          StateIndex num_states) {
  Scanner scanner(".lab", text);
  if (!scanner.Next()) return InvalidField(".lab", "empty", "a header and lines");
  std::map<std::string, std::vector<StateIndex>> labels;
  std::vector<std::vector<StateIndex>*> by_number;
  std::string_view rest = scanner.raw();
  const auto bad_header = [&] { return scanner.BadLine("number=\"label\" from 0 on, each label once"); };
  for (;;) {
    rest.remove_prefix(std::min(rest.find_first_not_of(" \t\r"), rest.size()));
    if (rest.empty()) break;
    const std::string begin = fmt::format("{}=\"", by_number.size());
    if (!rest.starts_with(begin)) return bad_header();
    rest.remove_prefix(begin.size());
    const size_t quote = rest.find('"');
    if (quote == std::string_view::npos) return bad_header();
    const auto [it, is_new] = labels.try_emplace(std::string(rest.substr(0, quote)));
    if (!is_new) return bad_header();
    by_number.push_back(&it->second);
    rest.remove_prefix(quote + 1);
  }
  while (scanner.Next()) {
    const std::string_view line = scanner.raw();
    const size_t colon = std::min(line.find(':'), line.size());
    const std::string_view state_text = scanner.word(0).substr(0, scanner.word(0).find(':'));
    BERTH_ASSIGN_OR_RETURN(const int64_t state, ParseInteger(scanner.Where("state"), state_text, 0, num_states - 1));
    if (colon == line.size()) return scanner.BadLine("state: numbers of labels");
    std::string_view numbers = line.substr(colon + 1);
    for (;;) {
      numbers.remove_prefix(std::min(numbers.find_first_not_of(" \t\r"), numbers.size()));
      if (numbers.empty()) break;
      const size_t end = std::min(numbers.find_first_of(" \t\r"), numbers.size());
      BERTH_ASSIGN_OR_RETURN(const int64_t label, ParseInteger(scanner.Where("label"), numbers.substr(0, end), 0,
                                                               static_cast<int64_t>(by_number.size()) - 1));
      by_number[label]->push_back(static_cast<StateIndex>(state));
      numbers.remove_prefix(end);
    }
  }
  return labels;
}

// The path that the caller gives, else the first file beside the .tra with one of the extensions; "" if there is none.
std::string Beside(const std::string& given, const fs::path& path, std::initializer_list<const char*> extensions) {
  if (!given.empty()) return given;
  for (const char* extension : extensions) {
    const fs::path beside = fs::path(path).replace_extension(extension);
    std::error_code error;
    if (fs::exists(beside, error)) return beside.string();
  }
  return "";
}

}  // namespace

absl::StatusOr<ModelFile> ReadPrism(const std::string& path, const ReadOptions& options) {
  std::string text;
  BERTH_ASSIGN_OR_RETURN(text, ReadWholeFile(".tra", path, options.max_bytes));
  BERTH_ASSIGN_OR_RETURN(Transitions read, ReadTransitions(text));
  text = std::string();

  const std::string state_rewards_path = Beside(options.state_rewards_path, path, {".srew", ".rews"});
  const std::string transition_rewards_path = Beside(options.transition_rewards_path, path, {".trew", ".rewt"});
  const bool has_rewards = !state_rewards_path.empty() || !transition_rewards_path.empty();
  const std::string labels_path = Beside(options.labels_path, path, {".lab"});

  std::map<std::string, std::vector<StateIndex>> labels;
  if (!labels_path.empty()) {
    BERTH_ASSIGN_OR_RETURN(text, ReadWholeFile(".lab", labels_path, options.max_bytes));
    BERTH_ASSIGN_OR_RETURN(labels, ReadLabels(text, read.num_states));
  }
  const bool is_asked = !options.absorbing_label.empty();
  const auto absorbing = labels.find(is_asked ? options.absorbing_label : kAbsorbingLabel);
  if (is_asked && absorbing == labels.end()) {
    return InvalidField("absorbing label", options.absorbing_label, "a label of the .lab");
  }
  const std::vector<StateIndex> declared = absorbing == labels.end() ? std::vector<StateIndex>() : absorbing->second;
  BERTH_RETURN_IF_ERROR(CheckEveryStateHasALine(read.num_states, read.entries, declared));

  std::vector<double> state_rewards;
  for (const auto& [kind, from] : {std::pair<const char*, std::string>{".srew", state_rewards_path},
                                   {".trew", transition_rewards_path},
                                   {".rew", has_rewards ? "" : Beside("", path, {".rew"})}}) {
    if (from.empty()) continue;
    BERTH_ASSIGN_OR_RETURN(text, ReadWholeFile(kind, from, options.max_bytes));
    BERTH_RETURN_IF_ERROR(ReadRewards(kind, text, read, state_rewards));
  }
  text = std::string();

  std::vector<bool> is_absorbing(absorbing == labels.end() ? 0 : read.num_states, false);
  for (const StateIndex s : declared) is_absorbing[s] = true;
  BERTH_ASSIGN_OR_RETURN(SparseMdp mdp, BuildFromEntries(".tra", read.num_states, options.tra_kind, EntryReward::kJump,
                                                         read.entries, state_rewards, is_absorbing));
  ModelFile model{.mdp = std::move(mdp), .is_absorbing = std::move(is_absorbing)};
  if (const auto init = labels.find("init"); init != labels.end() && !init->second.empty()) {
    model.initial = *std::min_element(init->second.begin(), init->second.end());
  }
  return model;
}

absl::Status WritePrism(const std::string& path, const ModelFile& model, const std::vector<bool>& is_absorbing) {
  const SparseMdp& mdp = model.mdp;
  const bool has_rates = mdp.kind() == RowKind::kRate;
  bool has_choices = !has_rates;
  for (StateIndex s = 0; s < mdp.num_states(); ++s) has_choices = has_choices || mdp.num_actions(s) > 1;
  int64_t num_transitions = 0;
  int64_t num_choices = 0;
  int64_t num_state_rewards = 0;
  fmt::memory_buffer tra, srew, trew, lab;
  for (StateIndex s = 0; s < mdp.num_states(); ++s) {
    const double reward = mdp.is_terminal(s) ? 0 : mdp.Reward(s, 0);
    // In continuous time, rewards of transitions come at jumps: a reward rate is the state's.
    if (has_rates && reward != 0) {
      fmt::format_to(std::back_inserter(srew), "{} {}\n", s, reward);
      ++num_state_rewards;
    }
    const bool is_initial = s == model.initial;
    if (is_initial || is_absorbing[s]) {
      fmt::format_to(std::back_inserter(lab), "{}:{}{}\n", s, is_initial ? " 0" : "", is_absorbing[s] ? " 1" : "");
    }
    for (int32_t a = 0; a < std::max(mdp.num_actions(s), 1); ++a) {
      const double earned = mdp.is_terminal(s) ? 0 : mdp.Reward(s, a);
      if (has_rates && earned != reward) {
        return InvalidField(fmt::format("reward rate of state {}, action {}", s, a), fmt::format("{}", earned),
                            fmt::format("{}, as of the state's first action, in a .tra of rates", reward));
      }
      const std::string from = has_choices ? fmt::format("{} {}", s, a) : fmt::format("{}", s);
      const int64_t before = num_transitions;
      const auto write = [&](StateIndex next, double weight) {
        fmt::format_to(std::back_inserter(tra), "{} {} {}\n", from, next, weight);
        if (!has_rates) fmt::format_to(std::back_inserter(trew), "{} {} {}\n", from, next, earned);
        ++num_transitions;
      };
      if (!mdp.is_terminal(s)) mdp.VisitSuccessors(s, a, write);
      if (num_transitions == before) write(s, 1);  // stays, as PRISM wants a transition
      ++num_choices;
    }
  }
  const std::string choices = has_choices ? fmt::format(" {}", num_choices) : "";
  const std::string states = fmt::format("{}", mdp.num_states());
  const auto write = [](NewFile& file, const std::string& header, const fmt::memory_buffer& lines) {
    file.out() << header << '\n';
    file.out().write(lines.data(), static_cast<std::streamsize>(lines.size()));
    return file.Close();
  };
  NewFile labels(kModelFile, fs::path(path).replace_extension(".lab").string());
  NewFile state_rewards(kModelFile, fs::path(path).replace_extension(".srew").string());
  NewFile transition_rewards(kModelFile, fs::path(path).replace_extension(".trew").string());
  NewFile transitions(kModelFile, path);
  BERTH_RETURN_IF_ERROR(write(labels, fmt::format("0=\"init\" 1=\"{}\"", kAbsorbingLabel), lab));
  BERTH_RETURN_IF_ERROR(write(state_rewards, fmt::format("{} {}", states, num_state_rewards), srew));
  BERTH_RETURN_IF_ERROR(
      write(transition_rewards, fmt::format("{}{} {}", states, choices, has_rates ? 0 : num_transitions), trew));
  BERTH_RETURN_IF_ERROR(write(transitions, fmt::format("{}{} {}", states, choices, num_transitions), tra));
  for (NewFile* file : {&labels, &state_rewards, &transition_rewards, &transitions}) {
    BERTH_RETURN_IF_ERROR(file->Commit());
  }
  return absl::OkStatus();
}

}  // namespace berth::mdp::internal

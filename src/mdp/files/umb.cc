// Reads UMB: index.json says how much of everything there is; each array must be exactly that large.
#include <cmath>
#include <cstring>
#include <limits>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/status.h"
#include "fmt/format.h"
#include "mdp/files/format.h"
#include "mdp/files/json_fields.h"
#include "mdp/files/tar.h"
#include "mdp/files/umb_names.h"

namespace berth::mdp::internal {
namespace {

using nlohmann::json;

// An array of numbers in an entry of the archive. The bytes stay where they are.
template <class T>
class Array {
 public:
  Array() = default;
  explicit Array(std::string_view bytes) : bytes_(bytes) {}
  bool is_absent() const { return bytes_.data() == nullptr; }
  T operator[](int64_t i) const {
    T value;
    std::memcpy(&value, bytes_.data() + i * static_cast<int64_t>(sizeof(T)), sizeof(T));
    return value;
  }

 private:
  std::string_view bytes_;
};

struct Reward {
  Array<double> of_state, of_choice, of_branch;
};

class UmbReader {
 public:
  UmbReader(const TarEntries& entries, const ReadOptions& options) : entries_(entries), options_(options) {}

  absl::StatusOr<ModelFile> Read() {
    BERTH_RETURN_IF_ERROR(ReadIndex());
    BERTH_RETURN_IF_ERROR(ReadArrays());
    BERTH_RETURN_IF_ERROR(ReadReward());
    std::vector<bool> is_absorbing;
    BERTH_RETURN_IF_ERROR(ReadAbsorbing(&is_absorbing));
    BERTH_ASSIGN_OR_RETURN(SparseMdp mdp, Build(is_absorbing));
    ModelFile model{.mdp = std::move(mdp), .is_absorbing = std::move(is_absorbing)};
    BERTH_ASSIGN_OR_RETURN(const std::string_view initial, Bits(umb::kStateIsInitial, true));
    for (int64_t s = num_states_ - 1; s >= 0 && !initial.empty(); --s) {
      if (Bit(initial, s)) model.initial = static_cast<StateIndex>(s);
    }
    const json& name = FieldOrNull(FieldOrNull(index_, "model-data"), "name");
    if (name.is_string()) model.name = name.get<std::string>();
    return model;
  }

 private:
  static bool Bit(std::string_view bits, int64_t i) { return (static_cast<uint8_t>(bits[i / 8]) >> (i % 8) & 1) != 0; }

  absl::Status ReadIndex() {
    const auto text = entries_.find(umb::kIndex);
    if (text == entries_.end()) return InvalidField("archive", "without index.json", "a UMB model");
    constexpr size_t kMaxIndexBytes = size_t{16} << 20;  // parsed, it takes many times its size
    if (text->second.size() > kMaxIndexBytes) {
      return absl::ResourceExhaustedError(fmt::format("{}: accepted: up to {} bytes", umb::kIndex, kMaxIndexBytes));
    }
    BERTH_ASSIGN_OR_RETURN(index_, ParseJsonObject(umb::kIndex, text->second));
    constexpr int64_t kMax = std::numeric_limits<int64_t>::max();
    BERTH_RETURN_IF_ERROR(IntegerField(index_, "", "format-version", 1, 1).status());
    const json& system = FieldOrNull(index_, "transition-system");
    if (!system.is_object()) return InvalidField("transition-system", Shown(system), "an object");
    BERTH_ASSIGN_OR_RETURN(const std::string time, TextField(system, "", "time"));
    if (time == "stochastic") {
      kind_ = RowKind::kRate;
    } else if (time != "discrete") {
      return InvalidField("time", time, "discrete or stochastic");
    }
    // One player chooses; none: a chain, with one choice in each state.
    BERTH_ASSIGN_OR_RETURN(const int64_t players, IntegerField(system, "", "#players", 0, 1));
    BERTH_ASSIGN_OR_RETURN(num_states_,
                           IntegerField(system, "", "#states", 1, std::numeric_limits<StateIndex>::max() - 1));
    BERTH_ASSIGN_OR_RETURN(num_choices_, IntegerField(system, "", "#choices", 0, kMax));
    BERTH_ASSIGN_OR_RETURN(num_branches_, IntegerField(system, "", "#branches", 0, kMax));
    BERTH_RETURN_IF_ERROR(CheckDoubles(system, "branch-probability-type"));
    if (kind_ == RowKind::kRate) BERTH_RETURN_IF_ERROR(CheckDoubles(system, "exit-rate-type"));
    if (const json& seen = FieldOrNull(system, "#observations"); !seen.is_null()) {
      BERTH_RETURN_IF_ERROR(IntegerOf(seen, "#observations", 0, 0).status());
    }
    if (players == 0 && num_choices_ > num_states_) {
      return InvalidField("#choices", fmt::format("{}", num_choices_),
                          fmt::format("up to {}, one a state where #players is 0", num_states_));
    }
    return absl::OkStatus();
  }

  static absl::Status CheckDoubles(const json& object, const char* field) {
    const json& type = FieldOrNull(FieldOrNull(object, field), "type");
    if (type == "double") return absl::OkStatus();
    return InvalidField(fmt::format("{} type", field), Shown(type), "double");
  }

  // The bytes of an entry that must hold `count` values of `size` bytes. Absent: an error unless it `can_miss`.
  absl::StatusOr<std::string_view> Bytes(const std::string& name, int64_t count, int64_t size, bool can_miss) const {
    const auto it = entries_.find(name);
    if (it == entries_.end()) {
      if (can_miss) return std::string_view();
      return InvalidField(name, "missing", "an array");
    }
    const auto bytes = static_cast<int64_t>(it->second.size());
    if (bytes % size != 0 || bytes / size != count) {
      return InvalidField(name, fmt::format("{} bytes", bytes), fmt::format("{} values of {} bytes", count, size));
    }
    return std::string_view(it->second);
  }

  absl::StatusOr<std::string_view> Bits(const std::string& name, bool can_miss) const {
    return Bytes(name, (num_states_ + 63) / 64, 8, can_miss);
  }

  template <class T>
  absl::Status Read(const std::string& name, int64_t count, bool can_miss, Array<T>* array) const {
    BERTH_ASSIGN_OR_RETURN(const std::string_view bytes, Bytes(name, count, sizeof(T), can_miss));
    *array = Array<T>(bytes);
    return absl::OkStatus();
  }

  // Offsets from 0 to `last` that never go down. Absent: one each, which the counts must bear out.
  absl::Status ReadOffsets(const char* name, int64_t count, int64_t last, Array<uint64_t>* offsets) const {
    if (!entries_.contains(name)) {
      if (count == last) return absl::OkStatus();
      return InvalidField(name, "missing", fmt::format("an array, as {} is not {}", count, last));
    }
    BERTH_RETURN_IF_ERROR(Read(name, count + 1, false, offsets));
    uint64_t before = 0;
    for (int64_t i = 0; i <= count; ++i) {
      const uint64_t offset = (*offsets)[i];
      const bool is_end = i == 0 || i == count;
      const uint64_t wanted = i == 0 ? 0 : static_cast<uint64_t>(last);
      if (is_end ? offset != wanted : offset < before || offset > static_cast<uint64_t>(last)) {
        return InvalidField(fmt::format("{} entry {}", name, i), fmt::format("{}", offset),
                            is_end ? fmt::format("{}", wanted) : fmt::format("{} to {}", before, last));
      }
      before = offset;
    }
    return absl::OkStatus();
  }

  static int64_t Offset(const Array<uint64_t>& offsets, int64_t i) {
    return offsets.is_absent() ? i : static_cast<int64_t>(offsets[i]);
  }

  absl::Status ReadArrays() {
    BERTH_RETURN_IF_ERROR(ReadOffsets(umb::kStateToChoices, num_states_, num_choices_, &state_to_choices_));
    BERTH_RETURN_IF_ERROR(ReadOffsets(umb::kChoiceToBranches, num_choices_, num_branches_, &choice_to_branches_));
    BERTH_RETURN_IF_ERROR(Read(umb::kBranchToTarget, num_branches_, false, &target_));
    BERTH_RETURN_IF_ERROR(Read(umb::kBranchToProbability, num_branches_, false, &probability_));
    if (kind_ == RowKind::kRate) BERTH_RETURN_IF_ERROR(Read(umb::kStateToExitRate, num_states_, false, &exit_rate_));
    BERTH_RETURN_IF_ERROR(Read(umb::kActionOfChoice, num_choices_, true, &action_));
    // Actions with names are names (Storm gives every choice one, "" included, and the same to several). Only bare
    // numbers that tell the choices of every state apart are the numbers of its actions.
    bool is_number = !action_.is_absent() && !entries_.contains(umb::kActionNames);
    for (int64_t s = 0; s < num_states_ && is_number; ++s) {
      const int64_t end = Offset(state_to_choices_, s + 1);
      for (int64_t c = Offset(state_to_choices_, s); c < end; ++c) {
        is_number = is_number && action_[c] <= static_cast<uint32_t>(std::numeric_limits<int32_t>::max()) &&
                    (c + 1 == end || action_[c] < action_[c + 1]);
      }
    }
    if (!is_number) action_ = Array<uint32_t>();
    return absl::OkStatus();
  }

  // The annotation that the caller wants: by key or alias. Nothing: null.
  static const json* Find(const json& annotations, const std::string& wanted, std::string* key) {
    for (const auto& [id, annotation] : annotations.items()) {
      if (id != wanted && FieldOrNull(annotation, "alias") != wanted) continue;
      *key = id;
      return &annotation;
    }
    return nullptr;
  }

  static std::string Names(const json& annotations) {
    std::string names;
    for (const auto& [id, annotation] : annotations.items()) {
      const json& alias = FieldOrNull(annotation, "alias");
      names += (names.empty() ? "" : ", ") + (alias.is_string() ? alias.get<std::string>() : id);
    }
    return names.empty() ? "none, the file has none" : "one of " + Quoted(names);
  }

  absl::StatusOr<const json*> Annotations(const char* group) const {
    static const json none = json::object();
    const json& found = FieldOrNull(FieldOrNull(index_, "annotations"), group);
    if (found.is_null()) return &none;
    if (!found.is_object()) return InvalidField(fmt::format("annotations {}", group), Shown(found), "an object");
    for (const auto& [id, annotation] : found.items()) {
      if (!annotation.is_object()) {
        return InvalidField(fmt::format("annotation {}", Quoted(id)), Shown(annotation), "an object");
      }
    }
    return &found;
  }

  absl::Status ReadReward() {
    BERTH_ASSIGN_OR_RETURN(const json* all, Annotations("rewards"));
    std::string key;
    const json* annotation = nullptr;
    if (options_.reward.empty()) {
      if (all->size() > 1) return InvalidField("reward", "", Names(*all));
      if (all->empty()) return absl::OkStatus();
      key = all->begin().key();
      annotation = &*all->begin();
    } else {
      annotation = Find(*all, options_.reward, &key);
      if (annotation == nullptr) return InvalidField("reward", options_.reward, Names(*all));
    }
    const std::string field = fmt::format("reward {} ", Quoted(key));
    if (absl::Status status = CheckDoubles(*annotation, "type"); !status.ok()) return WithContext(status, field);
    const json& applies = FieldOrNull(*annotation, "applies-to");
    if (!applies.is_array()) return InvalidField(field + "applies-to", Shown(applies), "a list");
    for (const json& to : applies) {
      const bool is_state = to == "states";
      const bool is_choice = to == "choices";
      if (!is_state && !is_choice && to != "branches") {
        return InvalidField(field + "applies-to", Shown(to), "states, choices or branches");
      }
      const std::string name = fmt::format("{}{}/{}/values.bin", umb::kRewards, key, to.get<std::string>());
      BERTH_RETURN_IF_ERROR(Read(name,
                                 is_state    ? num_states_
                                 : is_choice ? num_choices_
                                             : num_branches_,
                                 false,
                                 is_state    ? &reward_.of_state
                                 : is_choice ? &reward_.of_choice
                                             : &reward_.of_branch));
    }
    return absl::OkStatus();
  }

  absl::Status ReadAbsorbing(std::vector<bool>* is_absorbing) const {
    BERTH_ASSIGN_OR_RETURN(const json* all, Annotations("aps"));
    std::string key;
    const bool is_asked = !options_.absorbing_label.empty();
    const std::string wanted = is_asked ? options_.absorbing_label : kAbsorbingLabel;
    if (Find(*all, wanted, &key) == nullptr) {
      return is_asked ? InvalidField("absorbing label", wanted, Names(*all)) : absl::OkStatus();
    }
    BERTH_ASSIGN_OR_RETURN(const std::string_view bits,
                           Bits(fmt::format("{}{}/states/values.bin", umb::kLabels, key), false));
    is_absorbing->assign(num_states_, false);
    for (int64_t s = 0; s < num_states_; ++s) (*is_absorbing)[s] = Bit(bits, s);
    return absl::OkStatus();
  }

  absl::StatusOr<SparseMdp> Build(const std::vector<bool>& is_absorbing) const {
    SparseMdpBuilder builder(static_cast<StateIndex>(num_states_), kind_);
    std::vector<Transition> row;
    std::vector<int64_t> place(num_states_,
                               -1);  // where in the row a successor is, if at or after the row's first branch
    for (int64_t s = 0; s < num_states_; ++s) {
      const double exit_rate = kind_ == RowKind::kRate ? exit_rate_[s] : 1;
      const int64_t first = Offset(state_to_choices_, s);
      const int64_t end = Offset(state_to_choices_, s + 1);
      if (end - first > std::numeric_limits<int32_t>::max()) {
        return InvalidField(fmt::format("number of choices of state {}", s), fmt::format("{}", end - first),
                            "up to 2147483647");
      }
      if (first == end && !is_absorbing.empty() && is_absorbing[s]) {
        if (!reward_.of_state.is_absent() && reward_.of_state[s] != 0) {
          return InvalidField(fmt::format("reward of state {}", s), fmt::format("{}", reward_.of_state[s]),
                              "0 in a state without actions");
        }
        BERTH_RETURN_IF_ERROR(builder.DeclareTerminal(static_cast<StateIndex>(s)));
      }
      for (int64_t c = first; c < end; ++c) {
        const auto action = action_.is_absent() ? static_cast<int32_t>(c - first) : static_cast<int32_t>(action_[c]);
        row.clear();
        double sum = 0;
        double earned = reward_.of_choice.is_absent() ? 0 : reward_.of_choice[c];
        const int64_t begin = Offset(choice_to_branches_, c);
        for (int64_t b = begin; b < Offset(choice_to_branches_, c + 1); ++b) {
          const uint64_t next = target_[b];
          const double probability = probability_[b];
          if (next >= static_cast<uint64_t>(num_states_)) {
            return InvalidField(fmt::format("state {}, action {}, branch {}: successor", s, action, b),
                                fmt::format("{}", next), fmt::format("0 to {}", num_states_ - 1));
          }
          if (!reward_.of_branch.is_absent()) earned += probability * reward_.of_branch[b];
          sum += probability;
          // The specification allows a successor twice; a negative number must not vanish in a sum. Branches of a row
          // are a range, so that places of earlier rows are told apart.
          if (place[next] >= begin && probability >= 0 && row[place[next] - begin].weight >= 0) {
            row[place[next] - begin].weight += exit_rate * probability;
          } else {
            place[next] = begin + static_cast<int64_t>(row.size());
            row.push_back({static_cast<StateIndex>(next), exit_rate * probability});
          }
        }
        // Rates need not sum to anything, so the builder cannot see this.
        if (kind_ == RowKind::kRate && !(std::abs(sum - 1) <= SparseMdpBuilder::kRowSumTolerance)) {
          return InvalidField(fmt::format("state {}, action {}, row {}: sum of the probabilities", s, action, c),
                              fmt::format("{}", sum), fmt::format("1 within {}", SparseMdpBuilder::kRowSumTolerance));
        }
        const double reward = (reward_.of_state.is_absent() ? 0 : reward_.of_state[s]) + exit_rate * earned;
        BERTH_RETURN_IF_ERROR(builder.AddAction(static_cast<StateIndex>(s), action, reward, row));
      }
    }
    return std::move(builder).Build();
  }

  const TarEntries& entries_;
  const ReadOptions& options_;
  json index_;
  RowKind kind_ = RowKind::kProbability;
  int64_t num_states_ = 0;
  int64_t num_choices_ = 0;
  int64_t num_branches_ = 0;
  Array<uint64_t> state_to_choices_, choice_to_branches_, target_;
  Array<double> probability_, exit_rate_;
  Array<uint32_t> action_;
  Reward reward_;
};

}  // namespace

absl::StatusOr<ModelFile> ReadUmb(const std::string& path, const ReadOptions& options) {
  const auto is_wanted = [](std::string_view name) {
    // State valuations and names of actions are not looked at; that there are names is.
    return name.find('/') == std::string_view::npos || name == umb::kActionOfChoice || name == umb::kActionNames ||
           name.starts_with(umb::kRewards) || name.starts_with(umb::kLabels);
  };
  BERTH_ASSIGN_OR_RETURN(const TarEntries entries, ReadTar(path, options.max_bytes, is_wanted));
  return UmbReader(entries, options).Read();
}

}  // namespace berth::mdp::internal

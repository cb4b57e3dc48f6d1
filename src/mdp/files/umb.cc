// Reads the model of a UMB archive.
#include <cmath>
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
#include "mdp/files/umb_archive.h"
#include "mdp/files/umb_names.h"

namespace berth::mdp::internal {
namespace {

using nlohmann::json;

struct Reward {
  Array<double> of_state, of_choice, of_branch;
};

class UmbReader : public UmbArchive {
 public:
  UmbReader(const TarEntries& entries, const ReadOptions& options) : UmbArchive(entries), options_(options) {}

  absl::StatusOr<ModelFile> ReadModel() {
    BERTH_RETURN_IF_ERROR(ReadIndex());
    BERTH_RETURN_IF_ERROR(ReadArrays());
    BERTH_RETURN_IF_ERROR(ReadReward());
    std::vector<bool> is_absorbing;
    BERTH_RETURN_IF_ERROR(ReadAbsorbing(&is_absorbing));
    BERTH_ASSIGN_OR_RETURN(SparseMdp mdp, Build(is_absorbing));
    ModelFile model{.mdp = std::move(mdp), .is_absorbing = std::move(is_absorbing)};
    BERTH_ASSIGN_OR_RETURN(const std::string_view initial, Bits(umb::kStateIsInitial, num_states(), true));
    for (int64_t s = num_states() - 1; s >= 0 && !initial.empty(); --s) {
      if (Bit(initial, s)) model.initial = static_cast<StateIndex>(s);
    }
    const json& name = FieldOrNull(FieldOrNull(index(), "model-data"), "name");
    if (name.is_string()) model.name = name.get<std::string>();
    return model;
  }

 private:
  absl::Status ReadArrays() {
    BERTH_RETURN_IF_ERROR(ReadChoices());
    BERTH_RETURN_IF_ERROR(ReadOffsets(umb::kChoiceToBranches, num_choices(), num_branches(), &choice_to_branches_));
    BERTH_RETURN_IF_ERROR(Read(umb::kBranchToTarget, num_branches(), false, &target_));
    BERTH_RETURN_IF_ERROR(Read(umb::kBranchToProbability, num_branches(), false, &probability_));
    if (kind() == RowKind::kRate) BERTH_RETURN_IF_ERROR(Read(umb::kStateToExitRate, num_states(), false, &exit_rate_));
    BERTH_RETURN_IF_ERROR(Read(umb::kActionOfChoice, num_choices(), true, &action_));
    // Actions with names are names (Storm gives every choice one, "" included, and the same to several). Only bare
    // numbers that tell the choices of every state apart are the numbers of its actions.
    bool is_number = !action_.is_absent() && !has(umb::kActionNames);
    for (int64_t s = 0; s < num_states() && is_number; ++s) {
      const int64_t end = first_choice(s + 1);
      for (int64_t c = first_choice(s); c < end; ++c) {
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
                                 is_state    ? num_states()
                                 : is_choice ? num_choices()
                                             : num_branches(),
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
                           Bits(fmt::format("{}{}/states/values.bin", umb::kLabels, key), num_states(), false));
    is_absorbing->assign(num_states(), false);
    for (int64_t s = 0; s < num_states(); ++s) (*is_absorbing)[s] = Bit(bits, s);
    return absl::OkStatus();
  }

  absl::StatusOr<SparseMdp> Build(const std::vector<bool>& is_absorbing) const {
    SparseMdpBuilder builder(static_cast<StateIndex>(num_states()), kind());
    std::vector<Transition> row;
    std::vector<int64_t> place(num_states(),
                               -1);  // where in the row a successor is, if at or after the row's first branch
    for (int64_t s = 0; s < num_states(); ++s) {
      const double exit_rate = kind() == RowKind::kRate ? exit_rate_[s] : 1;
      const int64_t first = first_choice(s);
      const int64_t end = first_choice(s + 1);
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
          if (next >= static_cast<uint64_t>(num_states())) {
            return InvalidField(fmt::format("state {}, action {}, branch {}: successor", s, action, b),
                                fmt::format("{}", next), fmt::format("0 to {}", num_states() - 1));
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
        if (kind() == RowKind::kRate && !(std::abs(sum - 1) <= SparseMdpBuilder::kRowSumTolerance)) {
          return InvalidField(fmt::format("state {}, action {}, row {}: sum of the probabilities", s, action, c),
                              fmt::format("{}", sum), fmt::format("1 within {}", SparseMdpBuilder::kRowSumTolerance));
        }
        const double reward = (reward_.of_state.is_absent() ? 0 : reward_.of_state[s]) + exit_rate * earned;
        BERTH_RETURN_IF_ERROR(builder.AddAction(static_cast<StateIndex>(s), action, reward, row));
      }
    }
    return std::move(builder).Build();
  }

  const ReadOptions& options_;
  Array<uint64_t> choice_to_branches_, target_;
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
  return UmbReader(entries, options).ReadModel();
}

}  // namespace berth::mdp::internal

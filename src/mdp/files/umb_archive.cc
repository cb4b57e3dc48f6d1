#include "mdp/files/umb_archive.h"

#include <limits>

#include "fmt/format.h"
#include "mdp/files/json_fields.h"
#include "mdp/files/umb_names.h"

namespace berth::mdp::internal {

using nlohmann::json;

absl::Status UmbArchive::ReadIndex() {
  const auto text = entries_.find(umb::kIndex);
  if (text == entries_.end()) return InvalidField("archive", "without index.json", "a UMB model");
  constexpr size_t kMaxIndexBytes = size_t{16} << 20;  // parsed, it takes many times its size
  if (text->second.size() > kMaxIndexBytes) {
    return absl::ResourceExhaustedError(fmt::format("{}: accepted: up to {} bytes", umb::kIndex, kMaxIndexBytes));
  }
  BERTH_ASSIGN_OR_RETURN(index_, ParseJsonObject(umb::kIndex, text->second));
  constexpr int64_t kMax = int64_t{1} << 58;  // sizes in bits and bytes must not overflow
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

absl::Status UmbArchive::CheckDoubles(const json& object, const char* field) {
  const json& type = FieldOrNull(FieldOrNull(object, field), "type");
  if (type == "double") return absl::OkStatus();
  return InvalidField(fmt::format("{} type", field), Shown(type), "double");
}

absl::StatusOr<std::string_view> UmbArchive::Bytes(const std::string& name, int64_t count, int64_t size,
                                                   bool can_miss) const {
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

absl::Status UmbArchive::ReadOffsets(const char* name, int64_t count, int64_t last, Array<uint64_t>* offsets) const {
  if (!has(name)) {
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

absl::StatusOr<const json*> UmbArchive::Annotations(const char* group) const {
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

absl::Status UmbArchive::ReadChoices() {
  return ReadOffsets(umb::kStateToChoices, num_states_, num_choices_, &state_to_choices_);
}

}  // namespace berth::mdp::internal

// What every reader of a UMB archive asks of it: index.json says how much of everything there is, and each array must
// be exactly that large. Internal.
#ifndef BERTH_MDP_FILES_UMB_ARCHIVE_H_
#define BERTH_MDP_FILES_UMB_ARCHIVE_H_

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/status.h"
#include "mdp/files/tar.h"
#include "mdp/model.h"
#include "nlohmann/json.hpp"

namespace berth::mdp::internal {

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

// Refers to the entries, which must outlive it. Errors are INVALID_ARGUMENT with the entry or field, but for an index
// that is too large (RESOURCE_EXHAUSTED).
class UmbArchive {
 public:
  explicit UmbArchive(const TarEntries& entries) : entries_(entries) {}

  // Reads the counts; first of all.
  absl::Status ReadIndex();
  // Reads which choices each state has; before first_choice.
  absl::Status ReadChoices();

  const nlohmann::json& index() const { return index_; }
  RowKind kind() const { return kind_; }
  int64_t num_states() const { return num_states_; }
  int64_t num_choices() const { return num_choices_; }
  int64_t num_branches() const { return num_branches_; }
  // Choices of state s: first_choice(s) to first_choice(s + 1) - 1.
  int64_t first_choice(int64_t s) const { return Offset(state_to_choices_, s); }

  bool has(std::string_view name) const { return entries_.contains(name); }
  // That the type which `object` gives in `field` is double.
  static absl::Status CheckDoubles(const nlohmann::json& object, const char* field);
  // The annotations of a group, each an object; an empty object if there are none.
  absl::StatusOr<const nlohmann::json*> Annotations(const char* group) const;

  template <class T>
  absl::Status Read(const std::string& name, int64_t count, bool can_miss, Array<T>* array) const {
    BERTH_ASSIGN_OR_RETURN(const std::string_view bytes, Bytes(name, count, sizeof(T), can_miss));
    *array = Array<T>(bytes);
    return absl::OkStatus();
  }
  // `count` bits in words of 64; empty if absent.
  absl::StatusOr<std::string_view> Bits(const std::string& name, int64_t count, bool can_miss) const {
    return Bytes(name, (count + 63) / 64, 8, can_miss);
  }
  static bool Bit(std::string_view bits, int64_t i) { return (static_cast<uint8_t>(bits[i / 8]) >> (i % 8) & 1) != 0; }

  // Offsets from 0 to `last` that never go down. Absent: one each, which the counts must bear out.
  absl::Status ReadOffsets(const char* name, int64_t count, int64_t last, Array<uint64_t>* offsets) const;
  static int64_t Offset(const Array<uint64_t>& offsets, int64_t i) {
    return offsets.is_absent() ? i : static_cast<int64_t>(offsets[i]);
  }

 private:
  // The bytes of an entry that must hold `count` values of `size` bytes. Absent: an error unless it `can_miss`.
  absl::StatusOr<std::string_view> Bytes(const std::string& name, int64_t count, int64_t size, bool can_miss) const;

  const TarEntries& entries_;
  nlohmann::json index_;
  RowKind kind_ = RowKind::kProbability;
  int64_t num_states_ = 0;
  int64_t num_choices_ = 0;
  int64_t num_branches_ = 0;
  Array<uint64_t> state_to_choices_;
};

}  // namespace berth::mdp::internal

#endif  // BERTH_MDP_FILES_UMB_ARCHIVE_H_

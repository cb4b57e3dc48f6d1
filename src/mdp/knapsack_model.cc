#include "mdp/knapsack_model.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "absl/strings/str_cat.h"

namespace berth::mdp {
namespace {

constexpr int kHintShift = 6;
constexpr int64_t kMaxSize = int64_t{1} << 50;

// How many items of this size fit into what is free.
int64_t MostThatFit(const std::vector<int64_t>& free, const std::vector<int64_t>& size) {
  int64_t most = std::numeric_limits<int64_t>::max();
  for (size_t d = 0; d < size.size(); ++d) {
    if (size[d] > 0) most = std::min(most, free[d] / size[d]);
  }
  return most;
}

absl::Status CheckAmount(const std::string& field, int64_t value) {
  if (value >= 0 && value <= kMaxSize) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(field, " is ", value, ", accepted: 0 to 2^50"));
}

absl::Status CheckSizes(std::span<const int64_t> capacity, const std::vector<std::vector<int64_t>>& sizes) {
  if (capacity.empty() || capacity.size() > KnapsackSpace::kMaxResources) {
    return absl::InvalidArgumentError(absl::StrCat("number of resources is ", capacity.size(), ", accepted: 1 to ",
                                                   static_cast<int>(KnapsackSpace::kMaxResources)));
  }
  if (sizes.empty() || sizes.size() > KnapsackSpace::kMaxClasses) {
    return absl::InvalidArgumentError(absl::StrCat("number of classes is ", sizes.size(), ", accepted: 1 to ",
                                                   static_cast<int>(KnapsackSpace::kMaxClasses)));
  }
  for (size_t d = 0; d < capacity.size(); ++d) {
    if (auto status = CheckAmount(absl::StrCat("capacity ", d), capacity[d]); !status.ok()) return status;
  }
  for (size_t k = 0; k < sizes.size(); ++k) {
    if (sizes[k].size() != capacity.size()) {
      return absl::InvalidArgumentError(
          absl::StrCat("number of sizes of class ", k, " is ", sizes[k].size(), ", accepted: ", capacity.size()));
    }
    int64_t largest = 0;
    for (size_t d = 0; d < capacity.size(); ++d) {
      if (auto status = CheckAmount(absl::StrCat("size ", d, " of class ", k), sizes[k][d]); !status.ok()) {
        return status;
      }
      largest = std::max(largest, sizes[k][d]);
    }
    if (largest == 0) {
      return absl::InvalidArgumentError(
          absl::StrCat("largest size of class ", k, " is 0, accepted: at least one size above 0"));
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<KnapsackSpace> KnapsackSpace::Create(std::span<const int64_t> capacity,
                                                    const std::vector<std::vector<int64_t>>& sizes,
                                                    StateIndex max_states) {
  if (auto status = CheckSizes(capacity, sizes); !status.ok()) return status;
  KnapsackSpace space;
  space.capacity_.assign(capacity.begin(), capacity.end());
  space.sizes_ = sizes;
  std::vector<int64_t> free(capacity.begin(), capacity.end());
  int64_t most = -1;
  for (size_t k = 0; k < sizes.size(); ++k) {
    const int64_t fit = MostThatFit(free, sizes[k]);
    if (fit > most) {
      most = fit;
      space.run_class_ = static_cast<int>(k);
    }
  }
  std::vector<int> prefix;  // the other classes, the slowest to change first
  for (int k = 0; k < space.num_classes(); ++k) {
    if (k != space.run_class_) prefix.push_back(k);
  }
  // An odometer over the counts of the prefix classes; each reading is a run.
  std::vector<int32_t> counts(sizes.size(), 0);
  const auto take = [&](int k, int64_t by) {
    counts[k] += static_cast<int32_t>(by);
    for (size_t d = 0; d < free.size(); ++d) free[d] -= by * sizes[k][d];
  };
  const std::vector<int64_t>& run_size = sizes[space.run_class_];
  int64_t states = 0;
  space.begin_.push_back(0);
  for (bool is_done = false; !is_done;) {
    states += MostThatFit(free, run_size) + 1;
    if (states > std::min(max_states, kMaxStates)) {
      return absl::ResourceExhaustedError(absl::StrCat("number of states is at least ", states, ", accepted: at most ",
                                                       std::min(max_states, kMaxStates)));
    }
    space.begin_.push_back(static_cast<StateIndex>(states));
    space.counts_.insert(space.counts_.end(), counts.begin(), counts.end());
    is_done = true;
    for (size_t i = prefix.size(); i-- > 0;) {
      if (MostThatFit(free, sizes[prefix[i]]) >= 1) {
        take(prefix[i], 1);
        is_done = false;
        break;
      }
      take(prefix[i], -counts[prefix[i]]);
    }
  }
  for (int run = 0; run < space.num_runs(); ++run) {
    while (static_cast<int64_t>(space.run_hint_.size()) << kHintShift < space.begin(run + 1)) {
      space.run_hint_.push_back(run);
    }
  }
  space.above_.assign(space.counts_.size(), -1);
  space.below_.assign(space.counts_.size(), -1);
  for (int run = 0; run < space.num_runs(); ++run) {
    std::copy_n(space.counts_.begin() + static_cast<int64_t>(space.Cell(run, 0)), counts.size(), counts.begin());
    space.num_transitions_ += 2 * (space.length(run) - 1);
    for (const int k : prefix) {
      ++counts[k];
      const int above = space.FindRun(counts);
      --counts[k];
      if (above < 0) continue;
      space.above_[space.Cell(run, k)] = above;
      space.below_[space.Cell(above, k)] = run;
      space.num_transitions_ += 2 * space.length(above);
    }
  }
  return space;
}

int KnapsackSpace::RunOf(StateIndex s) const {
  int run = run_hint_[static_cast<size_t>(s) >> kHintShift];
  while (s >= begin_[run + 1]) ++run;
  return run;
}

int KnapsackSpace::FindRun(std::span<const int32_t> counts) const {
  const auto compare = [&](int run) {
    for (int k = 0; k < num_classes(); ++k) {
      if (k == run_class_ || count(run, k) == counts[k]) continue;
      return count(run, k) < counts[k] ? -1 : 1;
    }
    return 0;
  };
  int low = 0;
  int high = num_runs();
  while (low < high) {
    const int middle = low + (high - low) / 2;
    (compare(middle) < 0 ? low : high) = compare(middle) < 0 ? middle + 1 : middle;
  }
  return low < num_runs() && compare(low) == 0 ? low : -1;
}

void KnapsackSpace::CountsOf(StateIndex s, std::span<int32_t> counts) const {
  const int run = RunOf(s);
  for (int k = 0; k < num_classes(); ++k) counts[k] = k == run_class_ ? s - begin(run) : count(run, k);
}

StateIndex KnapsackSpace::StateOf(std::span<const int32_t> counts) const {
  const int32_t j = counts[run_class_];
  const int run = FindRun(counts);
  return run >= 0 && j >= 0 && j < length(run) ? begin(run) + j : -1;
}

StateIndex KnapsackSpace::Above(StateIndex s, int k) const {
  const int run = RunOf(s);
  const int32_t j = s - begin(run);
  if (k == run_class_) return j + 1 < length(run) ? s + 1 : -1;
  const int32_t next = above(run, k);
  return next >= 0 && j < length(next) ? begin(next) + j : -1;
}

StateIndex KnapsackSpace::Below(StateIndex s, int k) const {
  const int run = RunOf(s);
  const int32_t j = s - begin(run);
  if (k == run_class_) return j > 0 ? s - 1 : -1;
  const int32_t next = below(run, k);
  return next >= 0 ? begin(next) + j : -1;
}

int64_t KnapsackSpace::table_bytes() const {
  return static_cast<int64_t>(sizeof(int32_t) *
                              (begin_.size() + counts_.size() + above_.size() + below_.size() + run_hint_.size()));
}

absl::StatusOr<KnapsackModel> KnapsackModel::Create(const KnapsackSpace& space, std::vector<KnapsackClass> classes) {
  if (classes.size() != static_cast<size_t>(space.num_classes())) {
    return absl::InvalidArgumentError(
        absl::StrCat("number of classes is ", classes.size(), ", accepted: ", space.num_classes()));
  }
  for (size_t k = 0; k < classes.size(); ++k) {
    const auto check = [&](const char* field, double value, double low) {
      if (std::isfinite(value) && value >= low) return absl::OkStatus();
      return absl::InvalidArgumentError(
          absl::StrCat(field, " of class ", k, " is ", value, ", accepted: a finite number", low == 0 ? " >= 0" : ""));
    };
    constexpr double kLowest = std::numeric_limits<double>::lowest();
    if (auto status = check("arrival rate", classes[k].arrival_rate, 0); !status.ok()) return status;
    if (auto status = check("departure rate", classes[k].departure_rate, 0); !status.ok()) return status;
    if (auto status = check("reward", classes[k].reward, kLowest); !status.ok()) return status;
  }
  return KnapsackModel(space, std::move(classes));
}

}  // namespace berth::mdp

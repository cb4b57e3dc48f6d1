// The solution beside a model in a UMB archive: its parts of index.json, its arrays, and reading them back.
#include "mdp/files/umb_solution.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <iterator>
#include <limits>
#include <new>
#include <optional>
#include <utility>
#include <vector>

#include "base/status.h"
#include "fmt/format.h"
#include "mdp/files/format.h"
#include "mdp/files/json_fields.h"
#include "mdp/files/umb_archive.h"
#include "mdp/files/umb_names.h"

namespace berth::mdp {
namespace internal {
namespace {

using nlohmann::json;

constexpr CriterionKind kCriteria[] = {CriterionKind::kDiscounted, CriterionKind::kAverage, CriterionKind::kTotal,
                                       CriterionKind::kFinite};
constexpr StopReason kStopReasons[] = {StopReason::kConverged, StopReason::kIterationLimit, StopReason::kPrecisionLimit,
                                       StopReason::kCancelled, StopReason::kTimeLimit};
constexpr char kWhere[] = "solution ";

const char* ObjectiveName(Objective objective) { return objective == Objective::kMaximize ? "max" : "min"; }

std::string ArrayName(const char* name, const char* entity) {
  return fmt::format("{}{}/{}/values.bin", umb::kSolution, name, entity);
}

// The member of `all` whose name the field holds.
template <class T, size_t N, class NameOf>
absl::StatusOr<T> NamedField(const json& object, const char* field, const T (&all)[N], NameOf&& name_of) {
  BERTH_ASSIGN_OR_RETURN(const std::string text, TextField(object, kWhere, field));
  std::string names;
  for (const T& one : all) {
    if (text == name_of(one)) return one;
    names += (names.empty() ? "" : ", ") + std::string(name_of(one));
  }
  return InvalidField(fmt::format("{}{}", kWhere, field), text, names);
}

absl::StatusOr<double> NumberField(const json& object, const char* field, double low) {
  const json& value = FieldOrNull(object, field);
  if (!value.is_number() || !std::isfinite(value.get<double>()) || value.get<double>() < low) {
    return InvalidField(fmt::format("{}{}", kWhere, field), Shown(value), fmt::format("a finite number from {}", low));
  }
  return value.get<double>();
}

class SolutionReader : public UmbArchive {
 public:
  using UmbArchive::UmbArchive;

  absl::StatusOr<SolutionFile> ReadSolution() {
    BERTH_RETURN_IF_ERROR(ReadIndex());
    BERTH_RETURN_IF_ERROR(ReadChoices());
    SolutionFile file;
    const json& parameters = FieldOrNull(FieldOrNull(index(), "file-data"), "parameters");
    const json& about = FieldOrNull(parameters, umb::kSolutionGroup);
    if (!about.is_object()) return InvalidField("solution", Shown(about), "a UMB archive with a solution");
    BERTH_RETURN_IF_ERROR(ReadCertificate(about, file));
    BERTH_ASSIGN_OR_RETURN(const json* arrays, Annotations(umb::kSolutionGroup));
    ModelSolution& solution = file.solution;
    BERTH_ASSIGN_OR_RETURN(solution.values, Numbers(*arrays, umb::kValue));
    BERTH_ASSIGN_OR_RETURN(solution.lower, Numbers(*arrays, umb::kLower));
    BERTH_ASSIGN_OR_RETURN(solution.upper, Numbers(*arrays, umb::kUpper));
    for (int64_t s = 0; s < num_states(); ++s) {
      const double value = solution.values[s], lower = solution.lower[s], upper = solution.upper[s];
      if (!(lower <= value && value <= upper && value - lower <= solution.error && upper - value <= solution.error)) {
        return InvalidField(fmt::format("solution of state {}", s), fmt::format("{} in [{}, {}]", value, lower, upper),
                            fmt::format("a value within its bounds, and those within {} of it", solution.error));
      }
    }
    BERTH_RETURN_IF_ERROR(ReadPolicy(solution));
    if (FieldOrNull(*arrays, umb::kOptimal).is_null()) {
      solution.action_gap = std::numeric_limits<double>::quiet_NaN();
      return file;
    }
    BERTH_RETURN_IF_ERROR(ReadOptimal(solution));
    return file;
  }

 private:
  static absl::Status ReadCertificate(const json& about, SolutionFile& file) {
    constexpr int64_t kMost = std::numeric_limits<int64_t>::max();
    constexpr Objective kObjectives[] = {Objective::kMaximize, Objective::kMinimize};
    BERTH_ASSIGN_OR_RETURN(file.criterion.kind, NamedField(about, "criterion", kCriteria, CriterionName));
    BERTH_ASSIGN_OR_RETURN(file.criterion.objective, NamedField(about, "objective", kObjectives, ObjectiveName));
    BERTH_ASSIGN_OR_RETURN(file.criterion.one_minus_gamma, NumberField(about, "one-minus-gamma", 0));
    BERTH_ASSIGN_OR_RETURN(file.criterion.horizon, IntegerField(about, kWhere, "horizon", 0, kMost));
    BERTH_ASSIGN_OR_RETURN(file.epsilon, NumberField(about, "epsilon", 0));
    ModelSolution& solution = file.solution;
    BERTH_ASSIGN_OR_RETURN(solution.method, NamedField(about, "method", kAllMethods, MethodName));
    BERTH_ASSIGN_OR_RETURN(solution.error, NumberField(about, "error", 0));
    BERTH_ASSIGN_OR_RETURN(solution.stop, NamedField(about, "stop-reason", kStopReasons, StopReasonName));
    BERTH_ASSIGN_OR_RETURN(solution.sweeps, IntegerField(about, kWhere, "sweeps", 0, kMost));
    BERTH_ASSIGN_OR_RETURN(solution.end_components, IntegerField(about, kWhere, "end-components", 0, kMost));
    if (!FieldOrNull(about, "action-gap").is_null()) {
      BERTH_ASSIGN_OR_RETURN(solution.action_gap, NumberField(about, "action-gap", 0));
    }
    return absl::OkStatus();
  }

  absl::StatusOr<std::vector<double>> Numbers(const json& arrays, const char* name) const {
    const json& annotation = FieldOrNull(arrays, name);
    const std::string field = fmt::format("annotation {} ", Quoted(name));
    if (absl::Status status = CheckDoubles(annotation, "type"); !status.ok()) return WithContext(status, field);
    Array<double> array;
    BERTH_RETURN_IF_ERROR(Read(ArrayName(name, "states"), num_states(), false, &array));
    std::vector<double> numbers(static_cast<size_t>(num_states()));
    for (int64_t s = 0; s < num_states(); ++s) {
      numbers[s] = array[s];
      if (!std::isfinite(numbers[s])) {
        return InvalidField(fmt::format("{}of state {}", field, s), fmt::format("{}", numbers[s]), "a finite number");
      }
    }
    return numbers;
  }

  // Calls take(s, index of the action) for every choice whose bit is set.
  template <class Take>
  void VisitChosen(std::string_view bits, Take&& take) const {
    for (int64_t s = 0; s < num_states(); ++s) {
      const int64_t first = first_choice(s);
      for (int64_t c = first; c < first_choice(s + 1); ++c) {
        if (Bit(bits, c)) take(s, static_cast<int32_t>(c - first));
      }
    }
  }

  absl::Status ReadPolicy(ModelSolution& solution) const {
    BERTH_ASSIGN_OR_RETURN(const std::string_view bits, Bits(ArrayName(umb::kPolicy, "choices"), num_choices(), false));
    std::vector<int32_t> chosen(static_cast<size_t>(num_states()), 0);
    solution.policy.assign(static_cast<size_t>(num_states()), -1);
    VisitChosen(bits, [&](int64_t s, int32_t action) {
      solution.policy[s] = action;
      chosen[s] = std::min(chosen[s] + 1, 2);
    });
    for (int64_t s = 0; s < num_states(); ++s) {
      const bool has_choice = first_choice(s) < first_choice(s + 1);
      if (chosen[s] == (has_choice ? 1 : 0)) continue;
      return InvalidField(fmt::format("policy of state {}", s), chosen[s] == 0 ? "no action" : "several actions",
                          "one action");
    }
    return absl::OkStatus();
  }

  absl::Status ReadOptimal(ModelSolution& solution) const {
    BERTH_ASSIGN_OR_RETURN(const std::string_view bits,
                           Bits(ArrayName(umb::kOptimal, "choices"), num_choices(), false));
    solution.optimal_begin.assign(static_cast<size_t>(num_states()) + 1, 0);
    VisitChosen(bits, [&](int64_t s, int32_t action) {
      solution.optimal_actions.push_back(action);
      ++solution.optimal_begin[s + 1];
    });
    for (int64_t s = 0; s < num_states(); ++s) solution.optimal_begin[s + 1] += solution.optimal_begin[s];
    return absl::OkStatus();
  }
};

}  // namespace

absl::Status CheckFits(const SparseMdp& mdp, const SolutionFile& file) {
  const ModelSolution& solution = file.solution;
  const auto n = static_cast<size_t>(mdp.num_states());
  const auto refuse = [](const char* field, const std::string& value, const std::string& accepted) {
    return InvalidField(fmt::format("{}{}", kWhere, field), value, accepted);
  };
  for (const auto* numbers : {&solution.values, &solution.lower, &solution.upper}) {
    if (numbers->size() != n) {
      return refuse("values", fmt::format("{} numbers", numbers->size()), fmt::format("{}, one a state", n));
    }
    const auto bad = std::find_if(numbers->begin(), numbers->end(), [](double x) { return !std::isfinite(x); });
    if (bad != numbers->end()) {
      return refuse("values", fmt::format("{} in state {}", *bad, bad - numbers->begin()), "finite numbers");
    }
  }
  if (!std::isfinite(solution.error)) return refuse("error", fmt::format("{}", solution.error), "a finite number");
  if (solution.policy.size() != n) {
    return refuse("policy", fmt::format("{} actions", solution.policy.size()), fmt::format("{}, one a state", n));
  }
  if (!solution.optimal_begin.empty() &&
      (solution.optimal_begin.size() != n + 1 || solution.optimal_begin.front() != 0 ||
       !std::is_sorted(solution.optimal_begin.begin(), solution.optimal_begin.end()) ||
       solution.optimal_begin.back() != static_cast<int64_t>(solution.optimal_actions.size()))) {
    return refuse("optimal actions", "lists of other states", "a list for each state");
  }
  for (StateIndex s = 0; s < mdp.num_states(); ++s) {
    const auto check = [&](int32_t action, int32_t lowest) {
      if (action >= lowest && action < mdp.num_actions(s)) return absl::OkStatus();
      return refuse("action", fmt::format("{} in state {}", action, s),
                    fmt::format("{} to {}", lowest, mdp.num_actions(s) - 1));
    };
    BERTH_RETURN_IF_ERROR(check(solution.policy[s], mdp.is_terminal(s) ? -1 : 0));
    for (const int32_t action : solution.optimal(s)) BERTH_RETURN_IF_ERROR(check(action, 0));
  }
  return absl::OkStatus();
}

json SolutionParameters(const SolutionFile& file) {
  const ModelSolution& solution = file.solution;
  json about = {{"criterion", CriterionName(file.criterion.kind)},
                {"objective", ObjectiveName(file.criterion.objective)},
                {"one-minus-gamma", file.criterion.one_minus_gamma},
                {"horizon", file.criterion.horizon},
                {"epsilon", file.epsilon},
                {"method", MethodName(solution.method)},
                {"error", solution.error},
                {"stop-reason", StopReasonName(solution.stop)},
                {"sweeps", solution.sweeps},
                {"end-components", solution.end_components}};
  // JSON has no infinity: nothing is a gap that no action leaves.
  if (std::isfinite(solution.action_gap)) about["action-gap"] = solution.action_gap;
  return {{umb::kSolutionGroup, std::move(about)}};
}

json SolutionAnnotations(const SolutionFile& file) {
  const auto annotation = [](const char* entity, const char* type, const char* description) {
    return json{{"applies-to", {entity}}, {"type", {{"type", type}}}, {"description", description}};
  };
  json group = {{umb::kValue, annotation("states", "double", "best expected reward from the state")},
                {umb::kLower, annotation("states", "double", "certified lower bound of the value")},
                {umb::kUpper, annotation("states", "double", "certified upper bound of the value")},
                {umb::kPolicy, annotation("choices", "bool", "the choice of the state that is taken")}};
  if (!file.solution.optimal_begin.empty()) {
    group[umb::kOptimal] = annotation("choices", "bool", "all choices that may be optimal within the bounds");
  }
  return group;
}

void AddSolution(const SparseMdp& mdp, const SolutionFile& file, TarWriter& tar) {
  const ModelSolution& solution = file.solution;
  const auto add_numbers = [&](const char* name, const std::vector<double>& numbers) {
    tar.Add(ArrayName(name, "states"),
            {reinterpret_cast<const char*>(numbers.data()), numbers.size() * sizeof(double)});
  };
  add_numbers(umb::kValue, solution.values);
  add_numbers(umb::kLower, solution.lower);
  add_numbers(umb::kUpper, solution.upper);
  std::vector<bool> policy, optimal;
  for (StateIndex s = 0; s < mdp.num_states(); ++s) {
    const size_t first = policy.size();
    // Where there is no action, the one choice that is written for it.
    const auto num_choices = static_cast<size_t>(std::max(mdp.num_actions(s), 1));
    policy.resize(first + num_choices, false);
    optimal.resize(first + num_choices, mdp.is_terminal(s));
    policy[first + static_cast<size_t>(std::max(solution.policy[s], 0))] = true;
    for (const int32_t action : solution.optimal(s)) optimal[first + static_cast<size_t>(action)] = true;
  }
  tar.Add(ArrayName(umb::kPolicy, "choices"), PackedBits(policy));
  if (!solution.optimal_begin.empty()) tar.Add(ArrayName(umb::kOptimal, "choices"), PackedBits(optimal));
}

}  // namespace internal

absl::Status WriteSolutionFile(const std::string& path, const ModelFile& model, const SolutionFile& solution) try {
  if (const std::string extension = std::filesystem::path(path).extension().string(); extension != ".umb") {
    return InvalidField("extension of the solution file", extension, ".umb");
  }
  BERTH_ASSIGN_OR_RETURN(const std::vector<bool> is_absorbing, internal::AbsorbingStates(model));
  BERTH_RETURN_IF_ERROR(internal::CheckFits(model.mdp, solution));
  return internal::WriteUmbWith(path, model, is_absorbing, &solution);
} catch (const std::bad_alloc&) {
  return absl::ResourceExhaustedError("solution file: no memory");
}

absl::StatusOr<SolutionFile> ReadSolutionFile(const std::string& path, int64_t max_bytes) try {
  const auto is_wanted = [](std::string_view name) {
    return name == internal::umb::kIndex || name == internal::umb::kStateToChoices ||
           name.starts_with(internal::umb::kSolution);
  };
  BERTH_ASSIGN_OR_RETURN(const internal::TarEntries entries, internal::ReadTar(path, max_bytes, is_wanted));
  return internal::SolutionReader(entries).ReadSolution();
} catch (const std::bad_alloc&) {
  return absl::ResourceExhaustedError("solution file: no memory");
}

}  // namespace berth::mdp

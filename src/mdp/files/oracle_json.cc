// mdp-oracle-1: actions[s][a] = {reward, to: [[successor, probability], ...]}, numbers as texts of exact fractions.
#include <limits>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/new_file.h"
#include "base/status.h"
#include "fmt/format.h"
#include "mdp/files/file_io.h"
#include "mdp/files/format.h"
#include "mdp/files/json_fields.h"
#include "mdp/files/number.h"

namespace berth::mdp::internal {
namespace {

using nlohmann::json;

constexpr char kKind[] = "JSON";
constexpr char kFormat[] = "mdp-oracle-1";
constexpr int64_t kMaxBytes = int64_t{256} << 20;
constexpr CriterionKind kCriteria[] = {CriterionKind::kDiscounted, CriterionKind::kAverage, CriterionKind::kTotal,
                                       CriterionKind::kFinite};

absl::StatusOr<double> NumberOf(const json& value, std::string_view field) {
  std::optional<double> number;
  if (value.is_string()) number = ParseNumber(value.get_ref<const std::string&>());
  if (value.is_number()) number = value.get<double>();
  if (!number) return InvalidField(field, Shown(value), "a number or a fraction, as a text");
  return *number;
}

absl::StatusOr<Criterion> ReadCriterion(const json& file) {
  Criterion criterion;
  BERTH_ASSIGN_OR_RETURN(const std::string name, TextField(file, "", "criterion"));
  bool is_known = false;
  for (const CriterionKind kind : kCriteria) {
    if (name != CriterionName(kind)) continue;
    criterion.kind = kind;
    is_known = true;
  }
  if (!is_known) return InvalidField("criterion", name, "discounted, average, total or finite");
  BERTH_ASSIGN_OR_RETURN(const std::string objective, TextField(file, "", "objective"));
  if (objective != "max" && objective != "min") return InvalidField("objective", objective, "max or min");
  criterion.objective = objective == "max" ? Objective::kMaximize : Objective::kMinimize;
  if (criterion.kind == CriterionKind::kFinite) {
    BERTH_ASSIGN_OR_RETURN(criterion.horizon,
                           IntegerField(file, "", "horizon", 1, std::numeric_limits<int64_t>::max()));
  }
  const json& discount = FieldOrNull(file, "discount");
  const bool is_discounted = criterion.kind == CriterionKind::kDiscounted;
  if (is_discounted || (criterion.kind == CriterionKind::kFinite && !discount.is_null())) {
    std::optional<Fraction> gamma;
    if (discount.is_string()) gamma = ParseFraction(discount.get_ref<const std::string&>());
    if (!gamma || gamma->numerator < 0 || gamma->numerator > gamma->denominator ||
        (is_discounted && gamma->numerator == gamma->denominator)) {
      return InvalidField("discount", Shown(discount),
                          fmt::format("a fraction from 0 to {} 1, as a text", is_discounted ? "below" : "at most"));
    }
    // 1 - a/b = (b - a)/b, rounded once.
    criterion.one_minus_gamma = NearestDouble({gamma->denominator - gamma->numerator, gamma->denominator});
  }
  return criterion;
}

absl::StatusOr<SparseMdp> ReadActions(const json& actions, StateIndex num_states,
                                      const std::vector<bool>& is_absorbing) {
  SparseMdpBuilder builder(num_states);
  std::vector<Transition> row;
  for (StateIndex s = 0; s < num_states; ++s) {
    const std::string state = fmt::format("state {}", s);
    if (!actions[s].is_array()) return InvalidField(state + ": actions", Shown(actions[s]), "a list");
    if (actions[s].empty() && !is_absorbing.empty() && is_absorbing[s]) {
      BERTH_RETURN_IF_ERROR(builder.DeclareTerminal(s));
    }
    for (size_t a = 0; a < actions[s].size(); ++a) {
      const json& action = actions[s][a];
      const std::string where = fmt::format("{}, action {}: ", state, a);
      if (!action.is_object()) return InvalidField(where + "action", Shown(action), "an object");
      BERTH_ASSIGN_OR_RETURN(const double reward, NumberOf(FieldOrNull(action, "reward"), where + "reward"));
      const json& to = FieldOrNull(action, "to");
      if (!to.is_array()) return InvalidField(where + "to", Shown(to), "a list");
      row.clear();
      for (const json& pair : to) {
        if (!pair.is_array() || pair.size() != 2) {
          return InvalidField(where + "to", Shown(pair), "lists of a successor and a probability");
        }
        BERTH_ASSIGN_OR_RETURN(const int64_t next, IntegerOf(pair[0], where + "successor", 0, num_states - 1));
        BERTH_ASSIGN_OR_RETURN(const double probability, NumberOf(pair[1], where + "probability"));
        row.push_back({static_cast<StateIndex>(next), probability});
      }
      BERTH_RETURN_IF_ERROR(builder.AddAction(s, static_cast<int32_t>(a), reward, row));
    }
  }
  return std::move(builder).Build();
}

}  // namespace

absl::StatusOr<ModelFile> ReadOracleJson(const std::string& path, const ReadOptions& options) {
  BERTH_ASSIGN_OR_RETURN(const std::string text, ReadWholeFile(kKind, path, std::min(options.max_bytes, kMaxBytes)));
  BERTH_ASSIGN_OR_RETURN(const json file, ParseJsonObject(kKind, text));
  BERTH_ASSIGN_OR_RETURN(const std::string format, TextField(file, "", "format"));
  if (format != kFormat) return InvalidField("format", format, kFormat);
  const json& actions = FieldOrNull(file, "actions");
  if (!actions.is_array()) return InvalidField("actions", Shown(actions), "a list");
  const auto listed = static_cast<int64_t>(actions.size());
  if (listed < 1) return InvalidField("actions", Shown(actions), "a list of one entry a state");
  BERTH_RETURN_IF_ERROR(IntegerField(file, "", "states", listed, listed).status());
  const auto num_states = static_cast<StateIndex>(listed);

  std::vector<bool> is_absorbing;
  if (const json& absorbing = FieldOrNull(file, "absorbing"); !absorbing.is_null()) {
    if (!absorbing.is_array()) return InvalidField("absorbing", Shown(absorbing), "a list");
    is_absorbing.assign(num_states, false);
    for (const json& state : absorbing) {
      BERTH_ASSIGN_OR_RETURN(const int64_t s, IntegerOf(state, "absorbing", 0, num_states - 1));
      is_absorbing[s] = true;
    }
  }
  BERTH_ASSIGN_OR_RETURN(SparseMdp mdp, ReadActions(actions, num_states, is_absorbing));
  ModelFile model{.mdp = std::move(mdp), .is_absorbing = std::move(is_absorbing)};
  if (!FieldOrNull(file, "criterion").is_null()) {
    BERTH_ASSIGN_OR_RETURN(model.criterion, ReadCriterion(file));
  }
  if (!FieldOrNull(file, "initial").is_null()) {
    BERTH_ASSIGN_OR_RETURN(const int64_t initial, IntegerField(file, "", "initial", 0, num_states - 1));
    model.initial = static_cast<StateIndex>(initial);
  }
  if (!FieldOrNull(file, "name").is_null()) {
    BERTH_ASSIGN_OR_RETURN(model.name, TextField(file, "", "name"));
  }
  return model;
}

absl::Status WriteOracleJson(const std::string& path, const ModelFile& model, const std::vector<bool>& is_absorbing) {
  const SparseMdp& mdp = model.mdp;
  if (mdp.kind() == RowKind::kRate) return InvalidField("kind of the model", "rates", "probabilities in JSON");
  nlohmann::ordered_json file = {{"format", kFormat}, {"name", model.name}};
  if (model.criterion) {
    const Criterion& criterion = *model.criterion;
    file["objective"] = criterion.objective == Objective::kMaximize ? "max" : "min";
    file["criterion"] = CriterionName(criterion.kind);
    file["discount"] = nullptr;
    if (criterion.kind == CriterionKind::kDiscounted || criterion.one_minus_gamma != 0) {
      const std::optional<Fraction> one_minus = FractionOf(criterion.one_minus_gamma);
      if (!one_minus || one_minus->numerator < 0 || one_minus->numerator > one_minus->denominator) {
        return InvalidField("1 - gamma", fmt::format("{}", criterion.one_minus_gamma),
                            "a fraction from 0 to 1 of up to 18 digits, in JSON");
      }
      file["discount"] = fmt::format("{}/{}", one_minus->denominator - one_minus->numerator, one_minus->denominator);
    }
    if (criterion.kind == CriterionKind::kFinite) file["horizon"] = criterion.horizon;
  }
  file["states"] = mdp.num_states();
  file["initial"] = model.initial;
  auto absorbing = nlohmann::ordered_json::array();
  auto actions = nlohmann::ordered_json::array();
  for (StateIndex s = 0; s < mdp.num_states(); ++s) {
    if (is_absorbing[s]) absorbing.push_back(s);
    auto state = nlohmann::ordered_json::array();
    for (int32_t a = 0; a < mdp.num_actions(s); ++a) {
      auto to = nlohmann::ordered_json::array();
      mdp.VisitSuccessors(s, a, [&](StateIndex next, double probability) {
        to.push_back(nlohmann::ordered_json::array({next, FractionText(probability)}));
      });
      state.push_back({{"reward", FractionText(mdp.Reward(s, a))}, {"to", std::move(to)}});
    }
    actions.push_back(std::move(state));
  }
  file["absorbing"] = std::move(absorbing);
  file["actions"] = std::move(actions);
  NewFile out(kModelFile, path);
  out.out() << file.dump(1, ' ', false, json::error_handler_t::replace) << '\n';
  BERTH_RETURN_IF_ERROR(out.Close());
  return out.Commit();
}

}  // namespace berth::mdp::internal

#include "cli/solve_model.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/log.h"
#include "base/progress.h"
#include "base/status.h"
#include "cli/machine.h"
#include "cli/solve_plot.h"
#include "fmt/format.h"
#include "mdp/files/solution_file.h"
#include "mdp/solve.h"
#include "nlohmann/json.hpp"

namespace berth::cli {
namespace {

using nlohmann::json;

// States printed one by one without --json.
constexpr size_t kShownStates = 20;

// Progress towards a tolerance goes by digits: the error shrinks by about the same factor each second.
class DigitProgress {
 public:
  DigitProgress(const char* title, double epsilon) : title_(title), epsilon_(std::max(epsilon, 1e-300)) {}

  bool operator()(const mdp::Progress& progress) {
    if (!(progress.error > 0) || !std::isfinite(progress.error)) return true;
    const double digits = std::log10(progress.error / epsilon_);
    if (!first_.has_value()) first_ = digits;
    // What is done at once needs no bar.
    if (bar_ == nullptr && Clock::Real().MonotonicMicros() - start_us_ < kQuietUs) return true;
    if (bar_ == nullptr) bar_ = std::make_unique<Progress>(title_, 100, "% of the digits");
    const double share = *first_ > 0 ? (*first_ - digits) / *first_ : 1;
    const int64_t done = std::clamp<int64_t>(std::llround(100 * share), done_, 100);
    bar_->Advance(done - done_, fmt::format("{} sweeps, certified error {:.3g}", progress.sweeps, progress.error));
    done_ = done;
    return true;
  }

 private:
  static constexpr int64_t kQuietUs = 500'000;

  const char* const title_;
  const double epsilon_;
  const int64_t start_us_ = Clock::Real().MonotonicMicros();
  std::unique_ptr<Progress> bar_;
  std::optional<double> first_;
  int64_t done_ = 0;
};

// 1 - gamma of the digits of gamma: "0.999999" means one millionth, which 1 - 0.999999 in doubles is not.
double OneMinus(double gamma) {
  // The shortest decimal that reads back as this double is what was typed.
  const std::string text = fmt::format("{}", gamma);
  const size_t point = text.find('.');
  if (point == std::string::npos || text.find('e') != std::string::npos || text[0] != '0') return 1 - gamma;
  const size_t digits = text.size() - point - 1;
  if (digits > 17) return 1 - gamma;
  int64_t numerator = 0, denominator = 1;
  for (size_t i = point + 1; i < text.size(); ++i) {
    numerator = 10 * numerator + (text[i] - '0');
    denominator *= 10;
  }
  return static_cast<double>(denominator - numerator) / static_cast<double>(denominator);
}

absl::Status OutOfRange(const char* flag, double value, const char* accepted) {
  return InvalidField(flag, fmt::format("{}", value), accepted);
}

absl::Status ValidateFlags(const SolveModelFlags& flags) {
  if (!(flags.epsilon >= 0) || !std::isfinite(flags.epsilon)) {
    return OutOfRange("--epsilon", flags.epsilon, "a finite number, 0 or more");
  }
  if (!(flags.time_limit_s >= 0)) return OutOfRange("--time-limit", flags.time_limit_s, "0 (none) or more seconds");
  if (flags.max_sweeps < 1) return OutOfRange("--max-sweeps", static_cast<double>(flags.max_sweeps), "1 or more");
  if (flags.threads < 1 || flags.threads > 256) return OutOfRange("--threads", flags.threads, "1 to 256");
  constexpr int64_t kMostMib = int64_t{1} << 40;
  if (flags.max_memory_mib < 0 || flags.max_memory_mib > kMostMib) {
    return InvalidField("--max-memory-mib", fmt::format("{}", flags.max_memory_mib),
                        fmt::format("0 (none) to {}", kMostMib));
  }
  if (!flags.plot.empty()) BERTH_RETURN_IF_ERROR(ValidatePlotName(flags.plot));
  if (!flags.solution.empty() && !flags.solution.ends_with(".umb")) {
    return InvalidField("--solution", flags.solution, "a name that ends in .umb");
  }
  if (flags.horizon.has_value() && *flags.horizon < 0) {
    return InvalidField("--horizon", fmt::format("{}", *flags.horizon), "0 or more steps");
  }
  // With a number of steps there may be no discount at all.
  if (const auto gamma = flags.discount;
      gamma.has_value() && !(*gamma >= 0 && (*gamma < 1 || (flags.horizon && *gamma == 1)))) {
    return OutOfRange("--discount", *gamma, "0 or more, and below 1");
  }
  if (const auto alpha = flags.one_minus_gamma;
      alpha.has_value() && !(std::isfinite(*alpha) && (*alpha > 0 || (flags.horizon && *alpha == 0)))) {
    return OutOfRange("--one-minus-gamma", *alpha, "above 0; at most 1, but for a model of rates");
  }
  return absl::OkStatus();
}

absl::StatusOr<mdp::Criterion> CriterionOf(const SolveModelFlags& flags, const mdp::ModelFile& file) {
  constexpr char kAccepted[] =
      "one of --one-minus-gamma, --discount, --average, --total, --horizon (with a discount or not)";
  mdp::Criterion criterion = file.criterion.value_or(mdp::Criterion{});
  const bool has_discount = flags.one_minus_gamma.has_value() || flags.discount.has_value();
  const bool has_horizon = flags.horizon.has_value();
  const int given = int{has_discount && !has_horizon} + int{flags.is_average} + int{flags.is_total} + int{has_horizon};
  if (given > 1 || (flags.one_minus_gamma.has_value() && flags.discount.has_value())) {
    return InvalidField("criterion", "more than one", kAccepted);
  }
  if (given == 0 && !file.criterion.has_value()) return InvalidField("criterion", "none", kAccepted);
  if (given == 1) {
    criterion.kind = flags.is_average ? mdp::CriterionKind::kAverage
                     : flags.is_total ? mdp::CriterionKind::kTotal
                     : has_horizon    ? mdp::CriterionKind::kFinite
                                      : mdp::CriterionKind::kDiscounted;
    criterion.one_minus_gamma =
        flags.discount.has_value() ? OneMinus(*flags.discount) : flags.one_minus_gamma.value_or(0);
    criterion.horizon = flags.horizon.value_or(0);
  }
  if (flags.discount.has_value() && file.mdp.kind() == mdp::RowKind::kRate) {
    return OutOfRange("--discount", *flags.discount,
                      "nothing for a model of rates; give its discount rate by --one-minus-gamma");
  }
  if (flags.one_minus_gamma.has_value() && *flags.one_minus_gamma > 1 &&
      file.mdp.kind() == mdp::RowKind::kProbability) {
    return OutOfRange("--one-minus-gamma", *flags.one_minus_gamma, "above 0, at most 1");
  }
  if (flags.is_minimize) criterion.objective = mdp::Objective::kMinimize;
  return criterion;
}

// The value of every state, or of some of many, between its bounds.
Plot PlotOf(const json& answer) {
  constexpr size_t kMostPoints = 500;
  const json& r = *std::min_element(
      answer["results"].begin(), answer["results"].end(),
      [](const json& a, const json& b) { return a["error"].get<double>() < b["error"].get<double>(); });
  Plot plot{.title = fmt::format("{}, {}, by {}", answer["model"].get<std::string>(),
                                 answer["criterion"].get<std::string>(), r["method"].get<std::string>()),
            .x_label = "state",
            .y_label = "value",
            .series = {}};
  Series series{.name = "value and bounds", .x = {}, .y = {}, .low = {}, .high = {}};
  const size_t n = r["value"].size(), points = std::min(n, kMostPoints);
  for (size_t i = 0; i < points; ++i) {
    const size_t s = points > 1 ? i * (n - 1) / (points - 1) : 0;
    series.x.push_back(static_cast<double>(s));
    series.y.push_back(r["value"][s].get<double>());
    series.low.push_back(r["lower"][s].get<double>());
    series.high.push_back(r["upper"][s].get<double>());
  }
  // Bounds that nearly touch would make an axis on which all numbers look alike.
  const double low = *std::min_element(series.low.begin(), series.low.end());
  const double high = *std::max_element(series.high.begin(), series.high.end());
  const double size = std::max(std::abs(low), std::abs(high));
  if (high - low <= 1e-4 * size) {
    plot.y_low = low - 0.01 * size;
    plot.y_high = high + 0.01 * size;
  }
  plot.series.push_back(std::move(series));
  return plot;
}

json SolutionJson(const mdp::SparseMdp& model, const mdp::ModelSolution& solution, double cpu_s) {
  json policy = json::array(), optimal = json::array();
  for (mdp::StateIndex s = 0; s < model.num_states(); ++s) {
    const auto number = [&](int32_t action) { return action < 0 ? action : model.ActionNumber(s, action); };
    policy.push_back(number(solution.policy[s]));
    json listed = json::array();
    for (const int32_t action : solution.optimal(s)) listed.push_back(number(action));
    optimal.push_back(std::move(listed));
  }
  json result{{"method", mdp::MethodName(solution.method)},
              {"value", solution.values},
              {"lower", solution.lower},
              {"upper", solution.upper},
              {"error", solution.error},
              {"policy", std::move(policy)},
              {"optimal_actions", std::move(optimal)},
              {"stop_reason", mdp::StopReasonName(solution.stop)},
              {"sweeps", solution.sweeps},
              {"cpu_s", cpu_s}};
  if (std::isfinite(solution.action_gap)) result["action_gap"] = solution.action_gap;
  if (solution.end_components > 0) result["end_components"] = solution.end_components;
  return result;
}

void Print(const json& answer) {
  fmt::print("{}: {} states, {} actions, {} transitions; {}, {}\n", answer["model"].get<std::string>(),
             answer["states"].get<int64_t>(), answer["actions"].get<int64_t>(), answer["transitions"].get<int64_t>(),
             answer["criterion"].get<std::string>(), answer["objective"].get<std::string>());
  for (const json& r : answer["results"]) {
    const auto& value = r["value"];
    fmt::print("\n{}: {}, certified error {:.3g}, {} sweeps, {:.3f} CPU-s\n", r["method"].get<std::string>(),
               r["stop_reason"].get<std::string>(), r["error"].get<double>(), r["sweeps"].get<int64_t>(),
               r["cpu_s"].get<double>());
    fmt::print("{:>10} {:>22} {:>10} {:>8}  {}\n", "state", "value", "+-", "action", "all that may be optimal");
    for (size_t s = 0; s < std::min(kShownStates, value.size()); ++s) {
      fmt::print("{:>10} {:>22.12g} {:>10.2g} {:>8}  {}\n", s, value[s].get<double>(),
                 (r["upper"][s].get<double>() - r["lower"][s].get<double>()) / 2, r["policy"][s].get<int>(),
                 fmt::join(r["optimal_actions"][s].get<std::vector<int>>(), " "));
    }
    if (value.size() > kShownStates)
      fmt::print("{:>10} and {} more; all of them with --json\n", "", value.size() - kShownStates);
  }
  for (const json& s : answer["skipped"]) {
    fmt::print("\nskipped {}: {}\n", s["method"].get<std::string>(), s["reason"].get<std::string>());
  }
}

}  // namespace

CLI::Option* AddSolveModelOptions(CLI::App* verb, SolveModelFlags& flags) {
  constexpr char kGroup[] = "Of a model file";
  CLI::Option* const model =
      verb->add_option("--model", flags.model, "solve this file: .umb, .tra (PRISM explicit), .csv or .json")
          ->group(kGroup);
  const auto of_model = [&](CLI::Option* option) { option->group(kGroup)->needs(model); };
  of_model(verb->add_option(
                   "--method", flags.method,
                   "auto, all, value-iteration, gauss-seidel, anderson, modified-policy-iteration, policy-iteration, "
                   "topological or backward-induction")
               ->capture_default_str());
  of_model(
      verb->add_option("--epsilon", flags.epsilon, "wanted certified error of every value")->capture_default_str());
  of_model(verb->add_option("--one-minus-gamma", flags.one_minus_gamma,
                            "discounted reward: 1 - gamma itself, or for a model of rates the discount rate"));
  of_model(verb->add_option("--discount", flags.discount,
                            "discounted reward: gamma; its decimal digits are taken as exact"));
  of_model(verb->add_flag("--average", flags.is_average, "long-run average reward"));
  of_model(verb->add_flag("--total", flags.is_total, "total reward until an absorbing state"));
  of_model(verb->add_option("--horizon", flags.horizon, "reward of so many steps"));
  of_model(verb->add_flag("--minimize", flags.is_minimize, "rewards are costs"));
  of_model(verb->add_option(
                   "--storage", flags.storage,
                   "compressed or sell8: how the model is laid out for value-iteration and modified-policy-iteration")
               ->check(CLI::IsMember({"compressed", "sell8"}))
               ->capture_default_str());
  of_model(verb->add_flag("--single-precision-first", flags.starts_in_single_precision,
                          "those two start in single precision"));
  of_model(verb->add_option("--time-limit", flags.time_limit_s, "seconds; then the best bounds so far; 0 = none"));
  of_model(verb->add_option("--max-sweeps", flags.max_sweeps, "then the best bounds so far")->capture_default_str());
  of_model(verb->add_option("--max-memory-mib", flags.max_memory_mib,
                            "skip a method that needs more beside the model; 0 = no limit"));
  of_model(verb->add_option("--reward", flags.read.reward, "which reward of a .umb, where it has several"));
  of_model(verb->add_option("--absorbing-label", flags.read.absorbing_label,
                            "label of the states where a total reward stops (.umb, .tra)"));
  of_model(verb->add_flag("--rates", flags.is_rates, "the numbers of a .tra are rates"));
  of_model(verb->add_option("--write", flags.out, "write the model to this file too: .umb, .tra, .csv or .json"));
  of_model(
      verb->add_option("--solution", flags.solution,
                       "write the model and its solution (values, bounds, policy, certificate) to this file: .umb; "
                       "of several methods the one with the least error"));
  return model;
}

absl::Status RunSolveModel(const SolveModelFlags& flags) {
  BERTH_RETURN_IF_ERROR(ValidateFlags(flags));
  mdp::ReadOptions read = flags.read;
  if (flags.is_rates) read.tra_kind = mdp::RowKind::kRate;
  BERTH_ASSIGN_OR_RETURN(const mdp::ModelFile file, mdp::ReadModelFile(flags.model, read));
  BERTH_ASSIGN_OR_RETURN(const mdp::Criterion criterion, CriterionOf(flags, file));
  std::vector<mdp::Method> methods;
  if (flags.method == "all") {
    methods.assign(std::begin(mdp::kAllMethods), std::end(mdp::kAllMethods));
  } else if (const auto method = mdp::ParseMethod(flags.method)) {
    methods.push_back(*method);
  } else {
    std::string names = "auto, all";
    for (const mdp::Method m : mdp::kAllMethods) names += std::string(", ") + mdp::MethodName(m);
    return InvalidField("--method", flags.method, names);
  }
  mdp::ModelSolveOptions options;
  options.epsilon = flags.epsilon;
  options.max_sweeps = flags.max_sweeps;
  options.threads = flags.threads;
  options.storage = flags.storage == "sell8" ? mdp::Storage::kSell8 : mdp::Storage::kCompressed;
  options.starts_in_single_precision = flags.starts_in_single_precision;
  if (flags.time_limit_s != 0) options.time_limit_s = flags.time_limit_s;
  if (flags.max_memory_mib > 0) options.max_memory_bytes = flags.max_memory_mib << 20;
  json answer{{"model", file.name},
              {"states", file.mdp.num_states()},
              {"actions", file.mdp.num_rows()},
              {"transitions", file.mdp.num_transitions()},
              {"criterion", mdp::CriterionName(criterion.kind)},
              {"objective", criterion.objective == mdp::Objective::kMaximize ? "max" : "min"},
              {"results", json::array()},
              {"skipped", json::array()}};
  if (criterion.one_minus_gamma > 0) answer["one_minus_gamma"] = criterion.one_minus_gamma;
  if (criterion.kind == mdp::CriterionKind::kFinite) answer["horizon"] = criterion.horizon;
  // Before the work: what can't be written is better known now.
  if (!flags.out.empty()) {
    mdp::ModelFile written = file;
    written.criterion = criterion;
    BERTH_RETURN_IF_ERROR(mdp::WriteModelFile(flags.out, written));
    LogInfo("wrote the model");
  }
  std::optional<mdp::ModelSolution> best;  // for --solution
  for (const mdp::Method method : methods) {
    DigitProgress progress(mdp::MethodName(method), flags.epsilon);
    options.progress = std::ref(progress);
    const double begin = ProcessCpuSeconds();
    auto solution = mdp::SolveModel(file.mdp, criterion, method, options, file.is_absorbing);
    const double cpu_s = ProcessCpuSeconds() - begin;
    const absl::StatusCode code = solution.status().code();
    if (code == absl::StatusCode::kFailedPrecondition || code == absl::StatusCode::kResourceExhausted ||
        code == absl::StatusCode::kDeadlineExceeded) {
      answer["skipped"].push_back(
          {{"method", mdp::MethodName(method)}, {"reason", std::string(solution.status().message())}});
      continue;
    }
    if (!solution.ok()) return solution.status();
    answer["results"].push_back(SolutionJson(file.mdp, *solution, cpu_s));
    if (!flags.solution.empty() && (!best.has_value() || solution->error < best->error)) best = *std::move(solution);
  }
  if (!flags.solution.empty()) {
    if (!best.has_value()) {
      return absl::FailedPreconditionError(
          fmt::format("--solution has nothing to write: {}", answer["skipped"][0]["reason"].get<std::string>()));
    }
    const mdp::SolutionFile written{.criterion = criterion, .epsilon = flags.epsilon, .solution = *std::move(best)};
    BERTH_RETURN_IF_ERROR(mdp::WriteSolutionFile(flags.solution, file, written));
    LogInfo("wrote the solution");
  }
  if (!flags.plot.empty()) {
    if (answer["results"].empty()) {
      return absl::FailedPreconditionError(
          fmt::format("--plot has nothing to draw: {}", answer["skipped"][0]["reason"].get<std::string>()));
    }
    BERTH_RETURN_IF_ERROR(WriteSvg(flags.plot, DrawSvg(PlotOf(answer))));
    LogInfo("wrote the plot");
  }
  if (flags.json) {
    answer["machine"] = MachineJson();
    fmt::print("{}\n", answer.dump(1, ' ', false, json::error_handler_t::replace));
  } else {
    Print(answer);
  }
  return absl::OkStatus();
}

}  // namespace berth::cli

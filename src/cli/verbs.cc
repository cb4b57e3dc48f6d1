#include "cli/verbs.h"

#include <algorithm>
#include <cstdio>
#include <map>

#include "absl/strings/str_split.h"
#include "base/log.h"
#include "base/quantity.h"
#include "base/status.h"
#include "cli/build_info.h"
#include "fmt/format.h"

namespace berth::cli {
namespace {

std::map<std::string, VerbRegistration::Add>& Registry() {
  static auto* const registry = new std::map<std::string, VerbRegistration::Add>();  // outlives every static user
  return *registry;
}

}  // namespace

VerbRegistration::VerbRegistration(std::string name, Add add) { Registry().emplace(std::move(name), std::move(add)); }

absl::StatusOr<std::vector<uint64_t>> ParseSeeds(std::string_view field, std::string_view text) {
  constexpr size_t kMost = 100'000;
  constexpr int64_t kHigh = int64_t{1} << 53;
  std::vector<uint64_t> seeds;
  for (const std::string& part : SplitList(text)) {
    const size_t dash = part.find('-', 1);
    BERTH_ASSIGN_OR_RETURN(const int64_t low, ParseInteger(field, part.substr(0, dash), 0, kHigh));
    int64_t high = low;
    if (dash != std::string::npos) {
      BERTH_ASSIGN_OR_RETURN(high, ParseInteger(field, part.substr(dash + 1), low, kHigh));
    }
    if (static_cast<uint64_t>(high - low) >= kMost - seeds.size()) {
      return InvalidField(field, text, fmt::format("at most {} seeds", kMost));
    }
    for (int64_t s = low; s <= high; ++s) {
      if (std::find(seeds.begin(), seeds.end(), static_cast<uint64_t>(s)) == seeds.end()) seeds.push_back(static_cast<uint64_t>(s));
    }
  }
  if (seeds.empty()) return InvalidField(field, text, "seeds such as 42-51 or 1,2,5");
  return seeds;
}

absl::StatusOr<std::vector<double>> ParseNumbers(std::string_view field, std::string_view text, double low, double high) {
  std::vector<double> numbers;
  for (const std::string& part : SplitList(text)) {
    BERTH_ASSIGN_OR_RETURN(const double number, ParseDouble(field, part, low, high));
    numbers.push_back(number);
  }
  if (numbers.empty()) return InvalidField(field, text, fmt::format("numbers from {} to {}, with commas between", low, high));
  return numbers;
}

std::vector<std::string> SplitList(std::string_view text) {
  return absl::StrSplit(absl::string_view(text.data(), text.size()), ',', absl::SkipWhitespace());
}

int Main(int argc, char** argv) {
  CLI::App app("Berth: the scheduling brain of a container cluster.\n"
               "It learns from a cluster's trace where each container should go, proves offline how far that beats the rules\n"
               "in use, and answers live placement queries.");
  app.name("berth");
  app.set_version_flag("--version", std::string(kVersion) + " (" + std::string(kCommit) + ")");
  app.require_subcommand(1);
  app.footer("Start with:  berth policies   |   berth evaluate --help   |   berth serve --help");
  std::string log_level = "info";
  app.add_option("--log-level", log_level, "debug, info, warning or error")->capture_default_str();
  app.fallthrough();
  VerbResult result;
  app.parse_complete_callback([&] { result.status = SetLogLevelByName(log_level); });
  for (const auto& [name, add] : Registry()) add(app, result);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    const int code = app.exit(error);
    return code == 0 ? 0 : 2;
  }
  if (result.status.ok()) return 0;
  fmt::print(stderr, "berth: {}\n", MessageOf(result.status));
  return result.status.code() == absl::StatusCode::kInvalidArgument || result.is_usage_error ? 2 : 1;
}

}  // namespace berth::cli

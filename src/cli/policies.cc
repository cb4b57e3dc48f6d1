// `berth policies`: what can decide here.
#include <memory>

#include "cli/verbs.h"
#include "fmt/format.h"
#include "policy/registry.h"

namespace berth::cli {
namespace {

struct Flags {
  bool json = false;
};

absl::Status Run(const Flags& flags) {
  nlohmann::json list = nlohmann::json::array();
  for (const PolicyInfo& info : ListPolicies()) {
    list.push_back({{"name", info.name}, {"kind", info.kind}, {"formula", info.formula}, {"source", info.source}, {"tie_rule", info.tie_rule}});
  }
  if (flags.json) {
    fmt::print("{}\n", nlohmann::json{{"policies", list}}.dump(2));
    return absl::OkStatus();
  }
  for (const auto& p : list) {
    fmt::print("{} ({})\n  {}\n  ties: {}; source: {}\n", p["name"].get<std::string>(), p["kind"].get<std::string>(),
               p["formula"].get<std::string>(), p["tie_rule"].get<std::string>(), p["source"].get<std::string>());
  }
  return absl::OkStatus();
}

const VerbRegistration kPolicies("policies", [](CLI::App& app, VerbResult& result) {
  auto flags = std::make_shared<Flags>();
  CLI::App* verb = app.add_subcommand("policies", "What can decide here: every rule, index and potential, with formula, source and tie rule");
  verb->footer("Another tie rule: NAME:tie=uniform, NAME:tie=best-fit\nExample:\n  berth policies --json");
  verb->add_flag("--json", flags->json, "for programs");
  verb->callback([flags, &result] { result.status = Run(*flags); });
});

}  // namespace
}  // namespace berth::cli

#include "policy/registry.h"

#include <algorithm>

#include "absl/strings/numbers.h"
#include "base/status.h"
#include "fmt/format.h"
#include "policy/node_policy.h"
#include "policy/potential/potential.h"
#include "policy/potential/priced_potential.h"
#include "policy/potential/random_offer.h"
#include "policy/rules/scorers.h"

namespace berth {
namespace {

struct Entry {
  PolicyInfo info;
  TieRule tie = TieRule::kLowestRank;
  bool needs_mix = false;
  bool random_device = false;
  bool has_prices = false;
  // Class rules; null for those made by `make`.
  std::function<ClassScorerFactory(const PolicyContext&)> scorer;
  std::function<std::shared_ptr<const Policy>()> make;
};

ClassScorerFactory FgdFactory(const PolicyContext& context, bool keep_empty) {
  return [typical = TypicalPodsOfFgd(context.mix), keep_empty] { return MakeFgdScorer(typical, keep_empty); };
}

Entry Class(std::string name, std::string formula, std::string source, ClassScorerFactory factory,
            TieRule tie = TieRule::kLowestRank, KeyFields key_fields = {}) {
  Entry entry;
  entry.info = {std::move(name), "", "rule", std::move(formula), std::move(source), "", key_fields};
  entry.tie = tie;
  entry.scorer = [factory = std::move(factory)](const PolicyContext&) { return factory; };
  return entry;
}

Entry Single(std::function<std::shared_ptr<const Policy>()> make) {
  Entry entry;
  entry.info = make()->info();
  entry.make = std::move(make);
  return entry;
}

Entry Mixed(std::string name, std::string kind, std::string formula, std::string source, TieRule tie,
            std::function<ClassScorerFactory(const PolicyContext&)> scorer) {
  Entry entry;
  entry.info = {std::move(name), "", std::move(kind), std::move(formula), std::move(source), "", {}};
  entry.tie = tie;
  entry.needs_mix = true;
  entry.scorer = std::move(scorer);
  return entry;
}

ClassScorerFactory Priced(const PolicyContext& c, PotentialFactory inner) {
  PricedOptions options;
  options.learns_mix = c.learns_mix;
  options.refusal_margin = c.refusal_margin;
  return [inner = std::move(inner), mix = c.mix, options, run = c.price_run] { return MakePotentialScorer(MakePricedPotential(inner, mix, options, run)); };
}

const std::vector<Entry>& Entries() {
  static const auto* const entries = [] {
    constexpr std::string_view kSim = "FGD simulator (Weng et al., USENIX ATC 2023)";
    const std::string sim(kSim);
    const std::string kube = "kube-scheduler, NodeResourcesFit";
    auto* list = new std::vector<Entry>();
    list->push_back(Class("random", "one node that fits, uniformly; device too", sim, [] { return MakeConstantScorer(true); }, TieRule::kUniform));
    list->back().random_device = true;
    list->push_back(Single(MakeRoundRobinPolicy));
    list->push_back(Single(MakeWeightedPolicy));
    list->push_back(Class("least-connections", "fewest pods on the node", "load balancing, classical",
                          [] { return MakeFewestPodsScorer(); }, TieRule::kLowestRank, {.pod_count = true}));
    list->push_back(Single(MakeLeastResponseTimePolicy));
    list->push_back(Class("minimum-resource-usage", "least mean used share of cpu, memory and GPU", "load balancing, classical",
                          [] { return MakeMinimumUsageScorer(); }));
    list->push_back(Single(MakeMinimumLatencyPolicy));
    list->push_back(Single(MakeMinimumDistancePolicy));
    list->push_back(Class("first-fit", "the first node that fits, in rank order", "bin packing, classical", [] { return MakeConstantScorer(false); }));
    list->push_back(Class("best-fit", "int(100 (1 - (0.5 (c - cp)/128000 + 0.5 (G - gp)/8000))); without GPUs 0.5 of the free cpu share + 0.5 of the free memory share after placement",
                          sim + ", BestFit", [] { return MakeBestFitScorer(); }));
    list->push_back(Class("most-allocated", "mean over cpu and memory of int(100 used/capacity) after placement", kube + ", MostAllocated",
                          [] { return MakeMostAllocatedScorer(false); }));
    list->push_back(Class("most-allocated-gpu", "int(100 used/capacity) of GPU after placement", kube + ", MostAllocated on GPU alone",
                          [] { return MakeMostAllocatedScorer(true); }));
    list->push_back(Class("dotprod", "int(100 (1 - (c/128000 cp/128000 + G/8000 gp/8000)/2)); without GPUs over cpu and memory shares",
                          sim + ", DotProd", [] { return MakeDotProdScorer(); }));
    list->push_back(Class("gpu-packing", "partly used devices first, then used nodes, then empty ones", sim + ", GpuPacking",
                          [] { return MakeGpuPackingScorer(); }));
    list->push_back(Class("gpu-clustering", "int(25 used/8) + 75, 50, 25 or 0 by the classes of GPU pods on the node", sim + ", GpuClustering",
                          [] { return MakeGpuClusteringScorer(); }, TieRule::kLowestRank, {.gpu_affinity = true}));
    list->push_back(Mixed("fgd", "rule", "int(100 sigmoid((F(before) - F(after))/1000)), F = expected fragment of the typical pods in GPU milli; without GPUs in cpu milli, memory looked at",
                          sim + ", FGD", TieRule::kLowestRank, [](const PolicyContext& c) { return FgdFactory(c, false); }));
    list->push_back(Mixed("fgd-keep-empty", "rule", "fgd, but a node with all of 8 or more devices free is opened by a smaller pod only if nothing else fits",
                          "FGD with one line more; see docs/policies.md", TieRule::kLowestRank, [](const PolicyContext& c) { return FgdFactory(c, true); }));
    list->push_back(Class("kubernetes-default", "LeastAllocated + BalancedAllocation over cpu and memory, integer as upstream", "kube-scheduler, default plugins",
                          [] { return MakeKubernetesDefaultScorer(); }, TieRule::kUniform));
    list->push_back(Class("requested-to-capacity-ratio", "round(mean over cpu and memory of int(100 used/capacity)), shape (0, 0), (100, 10)", kube + ", RequestedToCapacityRatio",
                          [] { return MakeRequestedToCapacityRatioScorer(); }));
    list->push_back(Mixed("stranding", "potential", "least growth of stranded capacity: phi = expected fragment with memory + 0.33 sqrt(g) + 0.72 sum g_d^2/8 + 1.2 (g - C/8)+/4 + 1.2 (C - 16 g)+/40 + 1.2 (M - 64 g)+/200 + 5.4 least fragment; "
                          "without GPUs the expected free cpu that no longer fits a class",
                          "hand potential of six numbers, distilled from trained ones; see docs/policies.md", TieRule::kLeastFreeMemory,
                          [](const PolicyContext& c) -> ClassScorerFactory {
                            return [mix = TypicalPods(c.mix)] {
                              return MakePotentialScorer(MakeStrandingPotential(mix));
                            };
                          }));
    list->push_back(Mixed("stranding-priced", "potential", "stranding, minus 10 x what the free devices are worth at the prices of a linear program over the mix, solved again as the cluster fills",
                          "hand potential with device prices; see docs/policies.md", TieRule::kLeastFreeMemory,
                          [](const PolicyContext& c) { return Priced(c, [](const PodMix& mix) { return MakeStrandingPotential(TypicalPods(mix)); }); }));
    list->back().info.is_adaptive = true;
    list->back().has_prices = true;
    list->push_back(Mixed("random-offer", "potential", "least loss of what the node would still take in: phi = sqrt(g) - mean over 16 sequences of 100 pods drawn from the mix of the GPUs that fit one after the other; "
                          "without GPUs minus the mean vCPU",
                          "random-offer value of a single node; see docs/policies.md", TieRule::kLeastFreeMemory,
                          [](const PolicyContext& c) -> ClassScorerFactory { return [mix = c.mix] { return MakePotentialScorer(MakeRandomOfferPotential(mix)); }; }));
    list->push_back(Mixed("random-offer-priced", "potential", "random-offer, minus 10 x what the free devices are worth at the prices of a linear program over the mix, solved again as the cluster fills",
                          "random-offer value with device prices; see docs/policies.md", TieRule::kLeastFreeMemory,
                          [](const PolicyContext& c) { return Priced(c, [](const PodMix& mix) { return MakeRandomOfferPotential(mix); }); }));
    list->back().info.is_adaptive = true;
    list->back().has_prices = true;
    return list;
  }();
  return *entries;
}

std::string KnownNames() {
  std::string names;
  for (const PolicyInfo& info : ListPolicies()) names += (names.empty() ? "" : ", ") + info.name;
  return names;
}

absl::StatusOr<ClassScorerFactory> FactoryOf(const Entry& entry, const PolicyContext& context) {
  if (entry.needs_mix && context.mix.empty()) {
    return absl::InvalidArgumentError(fmt::format("policy {} looks ahead to a mix of pods: give a workload", entry.info.name));
  }
  return entry.scorer(context);
}

}  // namespace

absl::StatusOr<std::shared_ptr<const Policy>> MakePolicy(std::string_view full_name, const PolicyContext& given) {
  PolicyContext context = given;
  std::string_view name = full_name;
  const size_t colon = full_name.find(":tie=");
  if (colon != std::string_view::npos) {
    name = full_name.substr(0, colon);
    const std::string_view tie = full_name.substr(colon + 5);
    context.tie = ParseTieRule(tie);
    context.tie_policy = context.tie ? "" : std::string(tie);
  }
  const size_t refuse = name.find(":refuse=");
  if (refuse != std::string_view::npos) {
    const std::string_view margin = name.substr(refuse + 8);
    name = name.substr(0, refuse);
    double value = 0;
    if (!absl::SimpleAtod(absl::string_view(margin.data(), margin.size()), &value) || !(value >= -1 && value <= 1000)) return InvalidField("refusal margin", margin, "a number from -1 to 1000");
    context.refusal_margin = value;
  }
  const auto& entries = Entries();
  const auto find = [&](std::string_view wanted) {
    return std::find_if(entries.begin(), entries.end(), [&](const Entry& e) { return e.info.name == wanted; });
  };
  const auto it = find(name);
  if (it == entries.end()) {
    if (context.resolve) {
      BERTH_ASSIGN_OR_RETURN(auto resolved, context.resolve(name, context));
      if (resolved) return resolved;
    }
    return absl::NotFoundError(fmt::format("policy is {}, accepted: {}", Quoted(name), KnownNames()));
  }
  if (context.refusal_margin && !it->has_prices) {
    return InvalidField("policy", full_name, "a refusal margin only with policies that have prices: stranding-priced, random-offer-priced");
  }
  if (it->make) {
    if (context.tie || !context.tie_policy.empty()) {
      return InvalidField("policy", full_name, "a tie rule only with rules that score classes of nodes");
    }
    return it->make();
  }
  ClassPolicySpec spec;
  spec.info = it->info;
  spec.info.name = std::string(full_name);
  spec.tie = context.tie.value_or(it->tie);
  spec.random_device = it->random_device;
  BERTH_ASSIGN_OR_RETURN(spec.scorer, FactoryOf(*it, context));
  if (!context.tie_policy.empty()) {
    const auto tie = find(context.tie_policy);
    if (tie == entries.end() || !tie->scorer) {
      return InvalidField("tie rule", context.tie_policy, "lowest-rank, uniform, least-free-memory or the name of a rule that scores classes of nodes");
    }
    BERTH_ASSIGN_OR_RETURN(spec.tie_scorer, FactoryOf(*tie, context));
    spec.tie_scorer_name = context.tie_policy;
    spec.info.key_fields = spec.info.key_fields | tie->info.key_fields;
  }
  return MakeClassPolicy(std::move(spec));
}

std::vector<PolicyInfo> ListPolicies() {
  std::vector<PolicyInfo> list;
  for (const Entry& entry : Entries()) {
    list.push_back(entry.info);
    if (list.back().tie_rule.empty()) list.back().tie_rule = TieRuleName(entry.tie);
  }
  list.push_back({"index", "", "index", "least h(before) - h(after), h = value of a node's free state in its own MDP at Lagrangian prices",
                  "per-node value iteration (berth solve); Hawkins 2003, Whittle 1988", "least-free-memory, then lowest-rank", {}});
  return list;
}

}  // namespace berth

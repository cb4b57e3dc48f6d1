// Everything that can decide, by name: what `berth policies` lists and every flag --policy or --policies accepts.
#ifndef BERTH_POLICY_REGISTRY_H_
#define BERTH_POLICY_REGISTRY_H_

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "cluster/policy.h"
#include "policy/class_policy.h"
#include "policy/pod_mix.h"
#include "policy/potential/price_run.h"

namespace berth {

// What a policy may need to know of the cluster's work before it sees any.
struct PolicyContext {
  PodMix mix;                                   // of pods; weights on any scale. Fragmentation rules need it
  bool learns_mix = false;                      // policies with prices learn the mix from the arrivals instead
  std::optional<double> refusal_margin = {};    // PricedOptions::refusal_margin
  PriceRun price_run = {};                      // of policies with prices
  std::optional<TieRule> tie;                   // instead of the policy's own
  std::string tie_policy;                       // break ties by this rule first ("best-fit")
  // Tables and models that are not made from a name alone are injected by whoever can make them (`index` needs a solver).
  std::function<absl::StatusOr<std::shared_ptr<const Policy>>(std::string_view name, const PolicyContext& context)> resolve;
};

// `name`, or `name:tie=uniform`, `name:tie=best-fit` for another tie rule, `name:refuse=0.1` for a policy with prices that declines
// pods which cost more than 1.1 times what they are worth; one such ending. Errors: NOT_FOUND an unknown name, with the names that
// there are; INVALID_ARGUMENT an unknown tie rule, a margin outside -1 to 1000 or for a policy without prices, or a rule that needs a
// mix where there is none.
absl::StatusOr<std::shared_ptr<const Policy>> MakePolicy(std::string_view name, const PolicyContext& context);

// Descriptions of all that MakePolicy knows, in the order of the documentation.
std::vector<PolicyInfo> ListPolicies();

}  // namespace berth

#endif  // BERTH_POLICY_REGISTRY_H_

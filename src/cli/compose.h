// Where concrete policies are made: the composition root of every verb that decides.
#ifndef BERTH_CLI_COMPOSE_H_
#define BERTH_CLI_COMPOSE_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "evaluate/evaluate.h"
#include "policy/registry.h"
#include "workload/workload.h"

namespace berth::cli {

// The policies named (registry names, `index` included) and the models in the given directories, in that order. `workload`
// is what they look ahead to; with `learns_mix`, policies with prices learn it instead. Prices are solved in place. Errors: as MakePolicy
// and LoadModelDir; INVALID_ARGUMENT the same name twice.
absl::StatusOr<PolicyList> MakePolicies(const std::vector<std::string>& names, const std::vector<std::string>& model_dirs,
                                        const Workload& workload, bool learns_mix = false);

// One policy, by name or from a model directory or a file of value tables (exactly one of the two is not empty). `run`: how prices are
// solved.
absl::StatusOr<std::shared_ptr<const Policy>> MakeOnePolicy(const std::string& name, const std::string& model_dir,
                                                            const Workload& workload, bool learns_mix = false, const PriceRun& run = {});

}  // namespace berth::cli

#endif  // BERTH_CLI_COMPOSE_H_

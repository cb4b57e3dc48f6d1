#include "cli/compose.h"

#include <algorithm>
#include <filesystem>
#include <map>
#include <tuple>

#include "base/status.h"
#include "env/node_mdp/index_policy.h"
#include "fmt/format.h"
#include "policy/potential/gpu_table_potential.h"
#include "policy/potential/model_dir.h"
#include "policy/potential/table_file.h"

namespace berth::cli {
namespace {

PolicyContext ContextOf(const Workload& workload, bool learns_mix, const PriceRun& run) {
  PolicyContext context;
  context.mix = MixOf(workload);
  context.learns_mix = learns_mix;
  context.price_run = run;
  context.resolve = [&workload](std::string_view name, const PolicyContext&) -> absl::StatusOr<std::shared_ptr<const Policy>> {
    if (name == "index") return MakeIndexPolicy(workload);
    return nullptr;
  };
  return context;
}

// Equal requests as one class: a list of pods has one class a pod, a model takes thousands of classes at most.
PodMix MergeEqual(const PodMix& mix) {
  using Key = std::tuple<int64_t, int64_t, int32_t, int32_t, std::vector<std::string>>;
  std::map<Key, size_t> seen;
  PodMix merged;
  for (const MixClass& c : mix) {
    const PodRequest& r = c.request;
    const auto [it, is_new] = seen.try_emplace({r.cpu_milli, r.mem_bytes, r.gpu_count, r.gpu_milli, r.gpu_models}, merged.size());
    if (is_new) merged.push_back(c);
    else merged[it->second].weight += c.weight;
  }
  return merged;
}

}  // namespace

absl::StatusOr<PolicyList> MakePolicies(const std::vector<std::string>& names, const std::vector<std::string>& model_dirs,
                                        const Workload& workload, bool learns_mix) {
  PolicyList policies;
  const auto add = [&](std::shared_ptr<const Policy> policy) -> absl::Status {
    for (const auto& other : policies) {
      if (other->info().name == policy->info().name && other->info().version == policy->info().version) {
        return InvalidField("policies", policy->info().name, "each policy once");
      }
    }
    policies.push_back(std::move(policy));
    return absl::OkStatus();
  };
  for (const std::string& name : names) {
    BERTH_ASSIGN_OR_RETURN(auto policy, MakeOnePolicy(name, "", workload, learns_mix));
    BERTH_RETURN_IF_ERROR(add(std::move(policy)));
  }
  for (const std::string& dir : model_dirs) {
    BERTH_ASSIGN_OR_RETURN(auto policy, MakeOnePolicy("", dir, workload, learns_mix));
    BERTH_RETURN_IF_ERROR(add(std::move(policy)));
  }
  if (policies.empty()) return InvalidField("policies", "", "at least one policy or model; `berth policies` lists them");
  return policies;
}

absl::StatusOr<std::shared_ptr<const Policy>> MakeOnePolicy(const std::string& name, const std::string& model_dir,
                                                            const Workload& workload, bool learns_mix, const PriceRun& run) {
  if (name.empty() == model_dir.empty()) {
    return absl::InvalidArgumentError("give either a policy by name or a model directory");
  }
  if (std::error_code error; std::filesystem::is_regular_file(model_dir, error)) {
    BERTH_ASSIGN_OR_RETURN(TableFile file, LoadTableFile(model_dir));
    if (!file.gpu_tables.empty()) return MakeGpuTablePolicy(std::move(file.gpu_tables));
    return MakeTablePolicy(std::move(file.tables));
  }
  if (!model_dir.empty()) {
    const PodMix mix = MergeEqual(MixOf(workload));
    return LoadModelDir(model_dir, &mix, learns_mix, run);
  }
  return MakePolicy(name, ContextOf(workload, learns_mix, run));
}

}  // namespace berth::cli

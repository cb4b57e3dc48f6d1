// What goes over the wire of kube-scheduler's extender, read and written. Source: k8s.io/kube-scheduler/extender/v1 types.go.
// Texts of questions are views into the parser's document. Errors: INVALID_ARGUMENT that names the field. Pure functions.
#ifndef BERTH_ADAPTERS_KUBERNETES_EXTENDER_WIRE_H_
#define BERTH_ADAPTERS_KUBERNETES_EXTENDER_WIRE_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "adapters/kubernetes/json.h"
#include "adapters/kubernetes/objects.h"

namespace berth::kubernetes {

// Of filter and prioritize.
struct ExtenderArgs {
  KubePod pod;
  std::vector<std::string_view> names;      // of the nodes asked about, in order
  bool has_whole_nodes = false;             // asked with Nodes, not NodeNames
  std::vector<JsonElement> whole_nodes;     // then: the objects, in the same order
};
absl::Status ReadExtenderArgs(JsonObject body, size_t max_nodes, ExtenderArgs* args);

struct FilterAnswer {
  struct Verdict {
    std::string_view reason;                // empty: the node passes
    bool is_unresolvable = false;           // evicting pods would not help
    bool is_left_out = false;               // in no list of the answer
  };
  std::vector<Verdict> verdicts;            // one a name
};
std::string WriteFilterAnswer(const ExtenderArgs& args, const FilterAnswer& answer);
std::string WriteScores(const std::vector<std::string_view>& names, const std::vector<int>& scores);

struct PreemptionArgs {
  struct Victim {
    std::string uid;
    std::optional<int32_t> priority;        // where whole pods came
    std::string start_time;
  };
  struct Candidate {
    std::string node;
    int64_t violations = 0;                 // budgets (PDB) that evicting would violate
    std::vector<Victim> victims;
  };
  KubePod pod;
  std::vector<Candidate> candidates;
};
absl::Status ReadPreemptionArgs(JsonObject body, size_t max_nodes, PreemptionArgs* args);
// null: no node.
std::string WritePreemptionAnswer(const PreemptionArgs::Candidate* chosen);

struct BindingArgs {
  std::string name, namespace_name, uid, node;
};
absl::Status ReadBindingArgs(JsonObject body, BindingArgs* args);
// {"Error": text}; empty: done.
std::string WriteError(std::string_view text);

// The Binding object for the API server; `devices` empty: none.
std::string WriteBinding(std::string_view namespace_name, std::string_view name, std::string_view uid, std::string_view node,
                         std::string_view explanation, std::string_view devices);
// "/api/v1/namespaces/<namespace>/pods/<name>"
std::string PodPath(std::string_view namespace_name, std::string_view name);

}  // namespace berth::kubernetes

#endif  // BERTH_ADAPTERS_KUBERNETES_EXTENDER_WIRE_H_

// The one interface of everything that decides: rules, tables made by value iteration, networks.
//
// A Policy is an immutable description. It makes Deciders, which do the work: Decide is a pure function of (view, pod, seed).
// A Decider keeps caches and scratch memory, never anything that changes an answer: a fresh one answers as a warm one does
// (the conformance kit in tests/conformance checks that). The exception says so (PolicyInfo::is_adaptive): it keeps prices, or a
// mix, that follow what it was asked before; equal streams of questions give equal answers, unless its prices are solved in the
// background (policy/potential/price_run.h), as a server has it. What is evaluated offline is what is served: the same Decider.
#ifndef BERTH_CLUSTER_POLICY_H_
#define BERTH_CLUSTER_POLICY_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/ids.h"
#include "cluster/cluster_state.h"
#include "cluster/constraints.h"
#include "cluster/pod.h"

namespace berth {

struct PolicyInfo {
  std::string name;      // as in the registry
  std::string version;   // of a model; empty for rules
  std::string kind;      // "rule", "potential", "index", "model"
  std::string formula;   // what is computed, in one line
  std::string source;    // where it comes from
  std::string tie_rule;  // which of the best nodes wins
  KeyFields key_fields;  // what the cluster must key its classes by
  bool is_adaptive = false;   // answers also depend on what was asked before, in its order
};

// No node is a decision too, with the counts that say why.
struct Decision {
  bool is_placed = false;
  NodeId node;
  DeviceSet devices = 0;
  double score = 0;               // of the chosen node; higher is better
  bool has_runner_up = false;     // the best node of another state class
  NodeId runner_up;
  double runner_up_score = 0;
  uint32_t tied_nodes = 0;        // nodes that shared the best score, the chosen one included
  uint32_t feasible_nodes = 0;    // counted only when asked for
  RefusalCounts refused{};        // counted when asked for, and always when no node was found
  Generation generation = 0;
};

struct DecideOptions {
  bool count_nodes = false;       // fill feasible_nodes and refused; costs O(classes), O(nodes) with selectors or taints
  bool is_retry = false;          // the pod was asked about before; it does not count as an arrival
};

// One line of an explanation.
struct Candidate {
  NodeId node;                    // of lowest rank in its class
  uint32_t class_nodes = 0;       // feasible nodes that share the state
  DeviceSet devices = 0;
  double score = 0;
  NodeState before, after;
};

// What a pod is worth on one of the nodes that a caller named.
struct NodeVerdict {
  std::optional<Constraint> refused;   // the node's state can't take the pod, or the policy doesn't want to
  double score = 0;                    // higher is better; 0 where refused
};

struct Weighed {
  static constexpr size_t kNone = ~size_t{0};
  std::vector<NodeVerdict> verdicts;   // one a node asked about, in their order
  size_t chosen = kNone;               // index of the best one, ties by the policy's rule among the asked nodes
  size_t runner_up = kNone;            // the next best
  DeviceSet devices = 0;               // on the chosen one
};

struct Explanation {
  Decision decision;
  std::vector<Candidate> candidates;   // best first, one a state class (or a node, where a rule looks at single nodes)
};

// Not thread-safe: one a thread.
class Decider {
 public:
  virtual ~Decider() = default;
  // Requires that `view` keys by the policy's key_fields. No allocation once warm; never fails.
  virtual Decision Decide(const ClusterState& view, const Pod& pod, uint64_t seed, const DecideOptions& options) = 0;
  // A pod arrived that fits nowhere, so that the caller need not ask. For policies that learn what arrives.
  virtual void Miss(const ClusterState& view, const Pod& pod) { (void)view, (void)pod; }
  // Weighs nodes that the caller named, for orchestrators that choose the candidates themselves. Looked at is what the
  // nodes have free, exactly, and the policy's own refusals: labels, taints and cordons are what the caller chose by.
  // Requires present nodes; `weighed` is overwritten. Cost: O(nodes asked) beside what Decide costs.
  virtual void Weigh(const ClusterState& view, const Pod& pod, uint64_t seed, std::span<const NodeId> nodes, Weighed* weighed) = 0;
  // The same decision with up to `max_candidates` of what was weighed. Slower.
  virtual Explanation Explain(const ClusterState& view, const Pod& pod, uint64_t seed, size_t max_candidates) = 0;
};

// Immutable, thread-safe.
class Policy {
 public:
  virtual ~Policy() = default;
  virtual const PolicyInfo& info() const = 0;
  virtual std::unique_ptr<Decider> NewDecider() const = 0;
};

}  // namespace berth

#endif  // BERTH_CLUSTER_POLICY_H_

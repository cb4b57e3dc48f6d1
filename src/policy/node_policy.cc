#include "policy/node_policy.h"

#include <algorithm>
#include <limits>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "policy/class_sync.h"
#include "policy/node_mask.h"

namespace berth {
namespace {

constexpr double kRefused = -std::numeric_limits<double>::infinity();
constexpr size_t kMaxRows = 4096;

// Whether a pod class fits a state class, by class slot.
enum class Fit : uint8_t { kNo, kYes, kAskNode };   // kAskNode: memory decides, node by node
struct FitRow {
  ClassSync sync;
  std::vector<Fit> fits;
};

class NodeDecider : public Decider {
 public:
  explicit NodeDecider(std::shared_ptr<const NodePolicySpec> spec) : spec_(std::move(spec)) {}

  Decision Decide(const ClusterState& view, const Pod& pod, uint64_t, const DecideOptions& options) override {
    const ResolvedRequest request = view.Resolve(pod.request);
    const std::vector<Fit>& fits = FitsOf(view, request);
    const NodeMask* mask = masks_.Get(view, pod);
    Decision decision;
    decision.generation = view.generation();
    if (spec_->is_round_robin) NextInTurn(view, request, fits, mask, &decision);
    else Best(view, pod, request, fits, mask, &decision);
    if (decision.is_placed) {
      const NodeState& state = view.state_class(view.view(decision.node).class_id).state;
      decision.devices = view.DevicesAt(decision.node, TightestDevices(state, request));
    }
    if (options.count_nodes || !decision.is_placed) Count(view, pod, request, &decision);
    return decision;
  }

  Explanation Explain(const ClusterState& view, const Pod& pod, uint64_t seed, size_t max_candidates) override {
    Explanation explanation;
    explanation.decision = Decide(view, pod, seed, {.count_nodes = true});
    const ResolvedRequest request = view.Resolve(pod.request);
    const std::vector<Fit>& fits = FitsOf(view, request);
    const NodeMask* mask = masks_.Get(view, pod);
    std::vector<Candidate> all;
    const auto views = view.node_views();
    for (uint32_t i = 0; i < views.size(); ++i) {
      const NodeId id(i);
      if (!IsAllowed(view, id, request, fits, mask)) continue;
      Candidate candidate;
      candidate.score = spec_->is_round_robin ? -static_cast<double>(Turn(view, views[i].rank)) : spec_->score(view, views[i], pod);
      if (candidate.score == kRefused) continue;
      candidate.node = id;
      candidate.class_nodes = 1;
      all.push_back(candidate);
    }
    const size_t count = std::min(max_candidates, all.size());
    std::partial_sort(all.begin(), all.begin() + static_cast<std::ptrdiff_t>(count), all.end(), [&](const Candidate& a, const Candidate& b) {
      return a.score != b.score ? a.score > b.score : view.view(a.node).rank < view.view(b.node).rank;
    });
    all.resize(count);
    for (Candidate& c : all) {
      c.before = view.state_class(view.view(c.node).class_id).state;
      const DevicePositions devices = TightestDevices(c.before, request);
      c.devices = view.DevicesAt(c.node, devices);
      c.after = StateAfter(c.before, request, devices, view.options().mem_grain_bytes, view.options().key_fields);
    }
    explanation.candidates = std::move(all);
    return explanation;
  }

  void Weigh(const ClusterState& view, const Pod& pod, uint64_t, std::span<const NodeId> nodes, Weighed* weighed) override {
    const ResolvedRequest request = view.Resolve(pod.request);
    weighed->verdicts.assign(nodes.size(), {});
    weighed->chosen = weighed->runner_up = Weighed::kNone;
    weighed->devices = 0;
    const auto is_before = [&](size_t a, size_t b) {   // whether a is the better one
      if (b == Weighed::kNone) return true;
      const NodeVerdict &x = weighed->verdicts[a], &y = weighed->verdicts[b];
      return x.score != y.score ? x.score > y.score : view.view(nodes[a]).rank < view.view(nodes[b]).rank;
    };
    for (size_t i = 0; i < nodes.size(); ++i) {
      NodeVerdict& verdict = weighed->verdicts[i];
      const auto& node = view.view(nodes[i]);
      const NodeState& state = view.state_class(node.class_id).state;
      verdict.refused = FirstViolation(view.shape_of(state), state, request);
      if (!verdict.refused && NeedsExactCheck(state, request) && !view.FitsExactly(nodes[i], request)) verdict.refused = Constraint::kMemory;
      if (verdict.refused) continue;
      const double score = spec_->is_round_robin ? -static_cast<double>(Turn(view, node.rank)) : spec_->score(view, node, pod);
      if (score == kRefused) {
        verdict.refused = Constraint::kPolicy;
        continue;
      }
      verdict.score = score;
      if (is_before(i, weighed->chosen)) {
        weighed->runner_up = weighed->chosen;
        weighed->chosen = i;
      } else if (is_before(i, weighed->runner_up)) {
        weighed->runner_up = i;
      }
    }
    if (weighed->chosen == Weighed::kNone) return;
    const NodeId chosen = nodes[weighed->chosen];
    weighed->devices = view.DevicesAt(chosen, TightestDevices(view.state_class(view.view(chosen).class_id).state, request));
  }

 private:
  const std::vector<Fit>& FitsOf(const ClusterState& view, const ResolvedRequest& request) {
    if (naming_version_ != view.naming_version() || rows_.size() >= kMaxRows) {
      rows_.clear();
      naming_version_ = view.naming_version();
    }
    FitRow& row = rows_[request];
    if (row.fits.size() < view.class_slots()) row.fits.resize(view.class_slots() * 2);
    const auto update = [&](uint32_t slot) {
      if (view.active_uids()[slot] == 0) return;   // no node to ask about
      const NodeState& state = view.state_class(ClassId(slot)).state;
      row.fits[slot] = FirstViolation(view.shape_of(state), state, request) ? Fit::kNo : NeedsExactCheck(state, request) ? Fit::kAskNode : Fit::kYes;
    };
    row.sync.CatchUp(view, update);
    return row.fits;
  }

  static bool IsAllowed(const ClusterState& view, NodeId id, const ResolvedRequest& request, const std::vector<Fit>& fits,
                        const NodeMask* mask) {
    const ClassId class_id = view.view(id).class_id;
    if (!class_id.is_valid() || fits[class_id.value] == Fit::kNo) return false;
    return (mask == nullptr || mask->allows(id)) && (fits[class_id.value] == Fit::kYes || view.FitsExactly(id, request));
  }

  // Places until it is this rank's turn: 0 for the one right after the last.
  static uint64_t Turn(const ClusterState& view, uint32_t rank) {
    const uint64_t end = view.rank_end();
    const uint64_t first = view.last_placed_rank() >= end ? 0 : view.last_placed_rank() + 1;
    return (rank + end - first) % end;
  }

  void NextInTurn(const ClusterState& view, const ResolvedRequest& request, const std::vector<Fit>& fits,
                  const NodeMask* mask, Decision* decision) const {
    const uint32_t end = view.rank_end();
    uint32_t rank = view.last_placed_rank() >= end ? 0 : view.last_placed_rank() + 1;
    for (uint32_t i = 0; i < end; ++i, ++rank) {
      if (rank >= end) rank -= end;
      const NodeId id = view.node_of_rank(rank);
      if (!id.is_valid() || !IsAllowed(view, id, request, fits, mask)) continue;
      if (!decision->is_placed) {
        decision->is_placed = true;
        decision->node = id;
        decision->score = -static_cast<double>(i);
        decision->tied_nodes = 1;
        continue;
      }
      decision->has_runner_up = true;
      decision->runner_up = id;
      decision->runner_up_score = -static_cast<double>(i);
      return;
    }
  }

  void Best(const ClusterState& view, const Pod& pod, const ResolvedRequest& request, const std::vector<Fit>& fits,
            const NodeMask* mask, Decision* decision) const {
    double best = kRefused, second = kRefused;
    const auto views = view.node_views();
    const auto is_before = [&](NodeId a, NodeId b) { return views[a.value].rank < views[b.value].rank; };
    for (uint32_t i = 0; i < views.size(); ++i) {
      const NodeId id(i);
      if (!IsAllowed(view, id, request, fits, mask)) continue;
      const double score = spec_->score(view, views[i], pod);
      if (score == kRefused) continue;
      if (score > best || (score == best && is_before(id, decision->node))) {
        decision->tied_nodes = score == best ? decision->tied_nodes + 1 : 1;
        second = best;
        decision->runner_up = decision->node;
        best = score;
        decision->node = id;
      } else {
        if (score == best) ++decision->tied_nodes;
        if (score > second || (score == second && is_before(id, decision->runner_up))) {
          second = score;
          decision->runner_up = id;
        }
      }
    }
    decision->is_placed = best != kRefused;
    decision->score = decision->is_placed ? best : 0;
    decision->has_runner_up = second != kRefused;
    decision->runner_up_score = decision->has_runner_up ? second : 0;
  }

  void Count(const ClusterState& view, const Pod& pod, const ResolvedRequest& request, Decision* decision) const {
    const auto views = view.node_views();
    for (uint32_t i = 0; i < views.size(); ++i) {
      if (!views[i].class_id.is_valid()) continue;
      auto violation = view.Violation(NodeId(i), pod, request);
      if (!violation && !spec_->is_round_robin && spec_->score(view, views[i], pod) == kRefused) violation = Constraint::kPolicy;
      if (violation) ++decision->refused[static_cast<size_t>(*violation)];
      else ++decision->feasible_nodes;
    }
  }

  const std::shared_ptr<const NodePolicySpec> spec_;
  uint64_t naming_version_ = 0;
  absl::flat_hash_map<ResolvedRequest, FitRow> rows_;
  NodeMaskCache masks_;
};

class NodePolicy : public Policy {
 public:
  explicit NodePolicy(NodePolicySpec spec) : spec_(std::make_shared<const NodePolicySpec>(std::move(spec))) {}
  const PolicyInfo& info() const override { return spec_->info; }
  std::unique_ptr<Decider> NewDecider() const override { return std::make_unique<NodeDecider>(spec_); }

 private:
  std::shared_ptr<const NodePolicySpec> spec_;
};

PolicyInfo Rule(std::string name, std::string formula, std::string source) {
  return {std::move(name), "", "rule", std::move(formula), std::move(source), "lowest-rank", {}};
}

}  // namespace

std::shared_ptr<const Policy> MakeNodePolicy(NodePolicySpec spec) { return std::make_shared<NodePolicy>(std::move(spec)); }

std::shared_ptr<const Policy> MakeRoundRobinPolicy() {
  return MakeNodePolicy({Rule("round-robin", "the first node that fits after the one placed on last, in rank order",
                              "load balancing, classical"), nullptr, true});
}

std::shared_ptr<const Policy> MakeWeightedPolicy() {
  return MakeNodePolicy({Rule("weighted", "least virtual time; a placement adds 1 / weight; weight 0 takes no new pods",
                              "stride scheduling (Waldspurger, Weihl, MIT-LCS-TM-528, 1995); slow start with a floor of 10 % "
                              "as in Envoy"),
                         [](const ClusterState&, const ClusterState::NodeView& node, const Pod&) {
                           return node.weight <= 0 ? kRefused : -static_cast<double>(node.virtual_time);
                         }, false});
}

std::shared_ptr<const Policy> MakeLeastResponseTimePolicy() {
  return MakeNodePolicy({Rule("least-response-time", "least smoothed response time; a node without a sample comes first",
                              "load balancing, classical (NGINX least_time); smoothing 0.1"),
                         [](const ClusterState&, const ClusterState::NodeView& node, const Pod&) {
                           return -static_cast<double>(node.response_us);
                         }, false});
}

std::shared_ptr<const Policy> MakeMinimumLatencyPolicy() {
  return MakeNodePolicy({Rule("minimum-latency", "least estimated round trip between the pod's callers and the node, ms",
                              "network coordinates (Dabek et al., Vivaldi, SIGCOMM 2004)"),
                         [](const ClusterState&, const ClusterState::NodeView& node, const Pod& pod) {
                           return -LatencyMs(pod.origin, node.position);
                         }, false});
}

std::shared_ptr<const Policy> MakeMinimumDistancePolicy() {
  return MakeNodePolicy({Rule("minimum-distance", "0 in the pod's rack and zone, 1 in its zone, 2 elsewhere",
                              "topology-aware placement: rack, zone, rest"),
                         [](const ClusterState& view, const ClusterState::NodeView& node, const Pod& pod) {
                           if (pod.zone.empty() || node.zone != view.FindPlace(pod.zone)) return -2.0;
                           return !pod.rack.empty() && node.rack == view.FindPlace(pod.rack) ? 0.0 : -1.0;
                         }, false});
}

}  // namespace berth

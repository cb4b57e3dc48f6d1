#include "policy/class_policy.h"

#include <algorithm>
#include <limits>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "base/rng.h"
#include "fmt/format.h"
#include "policy/node_mask.h"

namespace berth {
namespace {

constexpr double kInfeasible = -std::numeric_limits<double>::infinity();
constexpr size_t kMaxRows = 4096;   // pod classes remembered; a stream of ever new ones can't grow the memory

// What is remembered of one pod class on one state class.
struct Cell {
  uint64_t uid = 0;      // of the state class; 0 = never scored
  double score = 0;      // kInfeasible when the pod does not fit
};
struct CellDetail {
  DevicePositions devices = 0;
  DevicePositions equal_devices = 0;
  double tie_score = 0;
  Constraint violation = Constraint::kPolicy;
  bool needs_exact_check = false;
};
struct Row {
  std::vector<Cell> cells;            // by ClassId
  std::vector<CellDetail> details;
};

class ClassDecider : public Decider {
 public:
  explicit ClassDecider(std::shared_ptr<const ClassPolicySpec> spec)
      : spec_(std::move(spec)), scorer_(spec_->scorer()), tie_scorer_(spec_->tie_scorer ? spec_->tie_scorer() : nullptr) {}

  Decision Decide(const ClusterState& view, const Pod& pod, uint64_t seed, const DecideOptions& options) override {
    Refresh(view);
    const ResolvedRequest request = view.Resolve(pod.request);
    Row& row = RowOf(view, request);
    const NodeMask* mask = masks_.Get(view, pod);
    Scan(view, request, mask, row);

    Decision decision;
    decision.generation = view.generation();
    if (!tied_.empty()) Choose(view, request, mask, row, seed, &decision);
    if (options.count_nodes || !decision.is_placed) Count(view, pod, request, mask, row, &decision);
    return decision;
  }

  Explanation Explain(const ClusterState& view, const Pod& pod, uint64_t seed, size_t max_candidates) override {
    Explanation explanation;
    explanation.decision = Decide(view, pod, seed, {.count_nodes = true});
    const ResolvedRequest request = view.Resolve(pod.request);
    Row& row = RowOf(view, request);
    const NodeMask* mask = masks_.Get(view, pod);
    std::vector<std::pair<double, ClassId>> order;
    for (const auto& occupied : view.occupied()) {
      const Cell& cell = row.cells[occupied.id.value];
      if (cell.score != kInfeasible) order.emplace_back(cell.score, occupied.id);
    }
    std::sort(order.begin(), order.end(), [&](const auto& a, const auto& b) {
      if (a.first != b.first) return a.first > b.first;
      return view.view(view.Lowest(a.second)).rank < view.view(view.Lowest(b.second)).rank;
    });
    for (const auto& [score, id] : order) {
      if (explanation.candidates.size() == max_candidates) break;
      const CellDetail& detail = row.details[id.value];
      const auto [count, lowest] = Members(view, id, request, mask, detail);
      if (count == 0) continue;
      Candidate candidate;
      candidate.node = explanation.decision.is_placed && view.view(explanation.decision.node).class_id == id
                           ? explanation.decision.node : lowest;
      candidate.class_nodes = count;
      candidate.devices = candidate.node == explanation.decision.node
                              ? explanation.decision.devices : view.DevicesAt(candidate.node, detail.devices);
      candidate.score = score;
      candidate.before = view.state_class(id).state;
      candidate.after = StateAfter(candidate.before, request, detail.devices, context_.mem_grain_bytes, context_.key_fields);
      explanation.candidates.push_back(candidate);
    }
    return explanation;
  }

 private:
  void Refresh(const ClusterState& view) {
    const ScoreContext context{view.options().mem_grain_bytes, view.options().key_fields, view.has_gpus()};
    if (is_ready_ && naming_version_ == view.naming_version() && context.has_gpus == context_.has_gpus &&
        context.mem_grain_bytes == context_.mem_grain_bytes && context.key_fields == context_.key_fields) {
      return;
    }
    is_ready_ = true;
    naming_version_ = view.naming_version();
    context_ = context;
    rows_.clear();
    scorer_->Reset(view, context);
    if (tie_scorer_) tie_scorer_->Reset(view, context);
  }

  Row& RowOf(const ClusterState& view, const ResolvedRequest& request) {
    if (rows_.size() >= kMaxRows) rows_.clear();
    Row& row = rows_[request];
    if (row.cells.size() < view.class_slots()) {
      row.cells.resize(view.class_slots() * 2);
      row.details.resize(row.cells.size());
    }
    return row;
  }

  void Fill(const ClusterState& view, const ResolvedRequest& request, ClassId id, uint64_t uid, Row& row) {
    const NodeState& state = view.state_class(id).state;
    const Shape& shape = view.shape_of(state);
    Cell& cell = row.cells[id.value];
    CellDetail& detail = row.details[id.value];
    cell.uid = uid;
    const auto violation = FirstViolation(shape, state, request);
    if (violation) {
      cell.score = kInfeasible;
      detail.violation = *violation;
      return;
    }
    const Scored scored = scorer_->Score(shape, state, request);
    cell.score = scored.score;
    detail.devices = scored.devices;
    detail.equal_devices = scored.equal_devices == 0 ? scored.devices : scored.equal_devices;
    detail.needs_exact_check = NeedsExactCheck(state, request);
    detail.tie_score = tie_scorer_ ? tie_scorer_->Score(shape, state, request).score : 0;
  }

  bool IsAllowed(const ClusterState& view, NodeId id, const ResolvedRequest& request, const NodeMask* mask,
                 const CellDetail& detail) const {
    if (mask != nullptr && !mask->allows(id)) return false;
    return !detail.needs_exact_check || view.FitsExactly(id, request);
  }

  // Number of members that the pod may use, and the one of lowest rank.
  std::pair<uint32_t, NodeId> Members(const ClusterState& view, ClassId id, const ResolvedRequest& request,
                                      const NodeMask* mask, const CellDetail& detail) const {
    const auto& members = view.state_class(id).members;
    if (mask == nullptr && !detail.needs_exact_check) return {static_cast<uint32_t>(members.size()), view.Lowest(id)};
    uint32_t count = 0;
    NodeId lowest;
    for (NodeId m : members) {
      if (!IsAllowed(view, m, request, mask, detail)) continue;
      ++count;
      if (!lowest.is_valid() || view.view(m).rank < view.view(lowest).rank) lowest = m;
    }
    return {count, lowest};
  }

  // Fills tied_ with the classes of the best score and second_ with the best of the others.
  void Scan(const ClusterState& view, const ResolvedRequest& request, const NodeMask* mask, Row& row) {
    double best = kInfeasible;
    second_score_ = kInfeasible;
    tied_.clear();
    for (const auto& [id, uid] : view.occupied()) {
      Cell& cell = row.cells[id.value];
      if (cell.uid != uid) Fill(view, request, id, uid, row);
      if (cell.score <= second_score_ && cell.score < best) continue;
      if (cell.score == kInfeasible) continue;
      const CellDetail& detail = row.details[id.value];
      if ((mask != nullptr || detail.needs_exact_check) && Members(view, id, request, mask, detail).first == 0) continue;
      if (cell.score > best) {
        if (!tied_.empty()) {
          second_score_ = best;
          second_ = tied_.front();
        }
        best = cell.score;
        tied_.clear();
        tied_.push_back(id);
      } else if (cell.score == best) {
        tied_.push_back(id);
      } else {
        second_score_ = cell.score;
        second_ = id;
      }
    }
    best_score_ = best;
  }

  void Choose(const ClusterState& view, const ResolvedRequest& request, const NodeMask* mask, const Row& row,
              uint64_t seed, Decision* decision) {
    // Runner-up first: another tied class, else the best of the rest. `tied_` is narrowed below.
    const auto tied_classes = tied_.size();
    uint32_t tied_nodes = 0;
    for (ClassId id : tied_) tied_nodes += Members(view, id, request, mask, row.details[id.value]).first;
    if (tied_classes > 1) Narrow(view, row);

    NodeId chosen;
    Rng rng(seed);
    if (spec_->tie == TieRule::kUniform) {
      uint64_t total = 0;
      for (ClassId id : tied_) total += Members(view, id, request, mask, row.details[id.value]).first;
      uint64_t k = rng.Below(total);
      for (ClassId id : tied_) {
        const CellDetail& detail = row.details[id.value];
        const uint64_t count = Members(view, id, request, mask, detail).first;
        if (k < count) {
          chosen = KthMember(view, id, request, mask, detail, k);
          break;
        }
        k -= count;
      }
    } else {
      for (ClassId id : tied_) {
        const NodeId lowest = Members(view, id, request, mask, row.details[id.value]).second;
        if (!chosen.is_valid() || view.view(lowest).rank < view.view(chosen).rank) chosen = lowest;
      }
    }
    const ClassId chosen_class = view.view(chosen).class_id;
    const CellDetail& detail = row.details[chosen_class.value];
    decision->is_placed = true;
    decision->node = chosen;
    decision->score = best_score_;
    decision->tied_nodes = tied_nodes;
    decision->devices = Devices(view, chosen, request, detail, rng);
    ClassId runner_up;
    if (tied_classes > 1) {
      for (const auto& [id, uid] : view.occupied()) {
        if (id != chosen_class && row.cells[id.value].score == best_score_ &&
            Members(view, id, request, mask, row.details[id.value]).first > 0) {
          const NodeId lowest = Members(view, id, request, mask, row.details[id.value]).second;
          if (!runner_up.is_valid() || view.view(lowest).rank < view.view(decision->runner_up).rank) {
            runner_up = id;
            decision->runner_up = lowest;
          }
        }
      }
      decision->runner_up_score = best_score_;
    } else if (second_score_ != kInfeasible) {
      runner_up = second_;
      decision->runner_up = Members(view, second_, request, mask, row.details[second_.value]).second;
      decision->runner_up_score = second_score_;
    }
    decision->has_runner_up = runner_up.is_valid();
  }

  // Keeps of the tied classes those that the tie scorer, and then the tie rule, likes best.
  void Narrow(const ClusterState& view, const Row& row) {
    const auto keep_least = [&](auto&& cost) {
      auto least = cost(tied_.front());
      for (ClassId id : tied_) least = std::min(least, cost(id));
      std::erase_if(tied_, [&](ClassId id) { return cost(id) != least; });
    };
    if (tie_scorer_) keep_least([&](ClassId id) { return -row.details[id.value].tie_score; });
    if (spec_->tie == TieRule::kLeastFreeMemory) {
      keep_least([&](ClassId id) { return view.state_class(id).state.mem_bytes; });
    }
  }

  // The k-th member that the pod may use, in the view's own order.
  NodeId KthMember(const ClusterState& view, ClassId id, const ResolvedRequest& request, const NodeMask* mask,
                   const CellDetail& detail, uint64_t k) const {
    const auto& members = view.state_class(id).members;
    if (mask == nullptr && !detail.needs_exact_check) return members[k];
    for (NodeId m : members) {
      if (IsAllowed(view, m, request, mask, detail) && k-- == 0) return m;
    }
    return members.back();
  }

  DeviceSet Devices(const ClusterState& view, NodeId node, const ResolvedRequest& request, const CellDetail& detail,
                    Rng& rng) const {
    if (request.gpu_count != 1) return view.DevicesAt(node, detail.devices);
    const NodeState& state = view.state_class(view.view(node).class_id).state;
    const auto& record = view.node(node);
    DeviceSet equal = 0;
    for (int i = 0; i < record.spec.gpu_count; ++i) {
      for (DevicePositions bits = detail.equal_devices; bits != 0; bits &= bits - 1) {
        if (record.gpu_milli[static_cast<size_t>(i)] == state.gpu_milli[static_cast<size_t>(__builtin_ctz(bits))]) {
          equal |= DeviceSet{1} << i;
          break;
        }
      }
    }
    uint64_t k = spec_->random_device ? rng.Below(static_cast<uint64_t>(__builtin_popcount(equal))) : 0;
    while (k-- > 0) equal &= equal - 1;
    return equal & (0 - equal);
  }

  void Count(const ClusterState& view, const Pod& pod, const ResolvedRequest& request, const NodeMask* mask,
             const Row& row, Decision* decision) const {
    decision->feasible_nodes = 0;
    decision->refused.fill(0);
    for (const auto& [id, uid] : view.occupied()) {
      const auto& members = view.state_class(id).members;
      const CellDetail& detail = row.details[id.value];
      const bool fits = row.cells[id.value].score != kInfeasible;
      if (mask == nullptr && !(fits && detail.needs_exact_check)) {
        const auto n = static_cast<uint32_t>(members.size());
        if (fits) decision->feasible_nodes += n;
        else decision->refused[static_cast<size_t>(detail.violation)] += n;
        continue;
      }
      for (NodeId m : members) {
        const auto violation = view.Violation(m, pod, request);
        if (violation) ++decision->refused[static_cast<size_t>(*violation)];
        else ++decision->feasible_nodes;
      }
    }
  }

  const std::shared_ptr<const ClassPolicySpec> spec_;
  const std::unique_ptr<ClassScorer> scorer_;
  const std::unique_ptr<ClassScorer> tie_scorer_;
  bool is_ready_ = false;
  uint64_t naming_version_ = 0;
  ScoreContext context_;
  absl::flat_hash_map<ResolvedRequest, Row> rows_;
  NodeMaskCache masks_;
  // Scratch of one decision.
  std::vector<ClassId> tied_;
  double best_score_ = 0;
  double second_score_ = 0;
  ClassId second_;
};

class ClassPolicy : public Policy {
 public:
  explicit ClassPolicy(ClassPolicySpec spec) : spec_(std::make_shared<const ClassPolicySpec>(std::move(spec))) {}
  const PolicyInfo& info() const override { return spec_->info; }
  std::unique_ptr<Decider> NewDecider() const override { return std::make_unique<ClassDecider>(spec_); }

 private:
  std::shared_ptr<const ClassPolicySpec> spec_;
};

}  // namespace

std::string_view TieRuleName(TieRule tie) {
  switch (tie) {
    case TieRule::kLowestRank: return "lowest-rank";
    case TieRule::kUniform: return "uniform";
    case TieRule::kLeastFreeMemory: return "least-free-memory";
  }
  return "unknown";
}

std::optional<TieRule> ParseTieRule(std::string_view name) {
  for (TieRule tie : {TieRule::kLowestRank, TieRule::kUniform, TieRule::kLeastFreeMemory}) {
    if (TieRuleName(tie) == name) return tie;
  }
  return std::nullopt;
}

std::shared_ptr<const Policy> MakeClassPolicy(ClassPolicySpec spec) {
  spec.info.tie_rule = spec.tie_scorer ? fmt::format("{}, then {}", spec.tie_scorer_name, TieRuleName(spec.tie))
                                       : std::string(TieRuleName(spec.tie));
  if (spec.tie == TieRule::kLeastFreeMemory) spec.info.tie_rule += ", then lowest-rank";
  return std::make_shared<ClassPolicy>(std::move(spec));
}

}  // namespace berth

#include "policy/class_policy.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "base/rng.h"
#include "fmt/format.h"
#include "policy/class_sync.h"
#include "policy/node_mask.h"
#include "policy/score_tree.h"

namespace berth {
namespace {

// Pod classes remembered, and their class slots in all; a stream of ever new classes can't grow the memory.
constexpr size_t kMaxRows = 4096, kMaxRowSlots = size_t{1} << 22;

// What is remembered of one pod class.
struct Row {
  struct Known {
    uint64_t uid = 0;                 // of the state that was scored last; 0 = none
    double score = ScoreTree::kNone;
    uint32_t prices = 0;              // of the version at that time
  };
  ScoreTree scores;                   // by ClassId; kNone where the slot is vacant or the pod does not fit
  std::vector<Known> known;           // by ClassId; of vacated slots too, in case the state recurs
  std::unique_ptr<ClassScorer::RowMemo> memo;
  ClassSync sync;
  ScoreVersion version;               // of the scorer, for `known` and `memo`
};

class ClassDecider : public Decider {
 public:
  explicit ClassDecider(std::shared_ptr<const ClassPolicySpec> spec)
      : spec_(std::move(spec)), scorer_(spec_->scorer()), tie_scorer_(spec_->tie_scorer ? spec_->tie_scorer() : nullptr) {}

  Decision Decide(const ClusterState& view, const Pod& pod, uint64_t seed, const DecideOptions& options) override {
    if (!options.is_retry) last_pod_ = pod.id;
    return DecideOn(Prepare(view, pod, !options.is_retry), seed, options.count_nodes);
  }

  void Miss(const ClusterState& view, const Pod& pod) override {
    if (!spec_->info.is_adaptive) return;
    Refresh(view);
    version_ = scorer_->Observe(view, pod, view.Resolve(pod.request), true);
  }

  Explanation Explain(const ClusterState& view, const Pod& pod, uint64_t seed, size_t max_candidates) override {
    Explanation explanation;
    const Query query = Prepare(view, pod, false);
    explanation.decision = DecideOn(query, seed, true);
    if (explanation.decision.refused[static_cast<size_t>(Constraint::kPolicy)] > 0) return explanation;   // it fits, and is declined
    std::vector<std::pair<double, ClassId>> order;
    for (const auto& occupied : view.occupied()) {
      const double score = query.row->scores[occupied.id.value];
      if (score != ScoreTree::kNone && Allowed(query, occupied.id) > 0) order.emplace_back(score, occupied.id);
    }
    std::sort(order.begin(), order.end(), [&](const auto& a, const auto& b) {
      return a.first != b.first ? a.first > b.first : view.lowest_ranks()[a.second.value] < view.lowest_ranks()[b.second.value];
    });
    if (order.size() > max_candidates) order.resize(max_candidates);
    for (const auto& [score, id] : order) {
      const Scored scored = ScoreOf(query, id);
      Candidate candidate;
      const bool is_chosen = explanation.decision.is_placed && view.view(explanation.decision.node).class_id == id;
      candidate.node = is_chosen ? explanation.decision.node : LowestAllowed(query, id);
      candidate.devices = is_chosen ? explanation.decision.devices : view.DevicesAt(candidate.node, scored.devices);
      candidate.class_nodes = Allowed(query, id);
      candidate.score = score;
      candidate.before = view.state_class(id).state;
      candidate.after = StateAfter(candidate.before, query.request, scored.devices, context_.mem_grain_bytes, context_.key_fields);
      explanation.candidates.push_back(candidate);
    }
    return explanation;
  }

  void Weigh(const ClusterState& view, const Pod& pod, uint64_t seed, std::span<const NodeId> nodes, Weighed* weighed) override {
    // An orchestrator asks about one pod more than once, to filter and to score; it does not say which is the first time.
    const bool is_arrival = pod.id.empty() || pod.id != last_pod_;
    if (is_arrival) last_pod_ = pod.id;
    const Query query = PrepareWithoutMask(view, pod, is_arrival);
    weighed->verdicts.resize(nodes.size());
    for (size_t i = 0; i < nodes.size(); ++i) {
      const ClassId id = view.view(nodes[i]).class_id;
      const double score = query.row->scores[id.value];
      NodeVerdict& verdict = weighed->verdicts[i];
      verdict = {};
      if (score == ScoreTree::kNone) verdict.refused = FirstViolation(view.shape_of(view.state_class(id).state), view.state_class(id).state, query.request);
      else if (!IsAllowed(query, nodes[i])) verdict.refused = Constraint::kMemory;
      else verdict.score = score;
    }
    Rng rng(seed);
    weighed->chosen = BestOf(query, nodes, weighed->verdicts, Weighed::kNone, rng);
    if (weighed->chosen != Weighed::kNone && Declines(query, nodes[weighed->chosen])) {
      for (NodeVerdict& verdict : weighed->verdicts) {
        if (!verdict.refused) verdict = {.refused = Constraint::kPolicy};
      }
      weighed->chosen = Weighed::kNone;
    }
    weighed->runner_up = weighed->chosen == Weighed::kNone ? Weighed::kNone : BestOf(query, nodes, weighed->verdicts, weighed->chosen, rng);
    weighed->devices = 0;
    if (weighed->chosen == Weighed::kNone) return;
    const NodeId chosen = nodes[weighed->chosen];
    weighed->devices = Devices(query, chosen, ScoreOf(query, view.view(chosen).class_id), rng);
  }

 private:
  struct Query {
    const ClusterState& view;
    const Pod& pod;
    ResolvedRequest request;
    const NodeMask* mask = nullptr;
    bool is_plain = true;   // every member of a class that fits may be used
    Row* row = nullptr;
  };

  Query Prepare(const ClusterState& view, const Pod& pod, bool is_arrival) {
    Query query = PrepareWithoutMask(view, pod, is_arrival);
    query.mask = masks_.Get(view, pod);
    query.is_plain = query.is_plain && query.mask == nullptr;
    return query;
  }

  Query PrepareWithoutMask(const ClusterState& view, const Pod& pod, bool is_arrival) {
    Refresh(view);
    Query query{view, pod, view.Resolve(pod.request)};
    version_ = scorer_->Observe(view, pod, query.request, is_arrival);
    query.is_plain = query.request.mem_floor_bytes == query.request.mem_bytes;
    if (rows_.size() >= kMaxRows || rows_.size() * view.class_slots() > kMaxRowSlots) rows_.clear();
    query.row = &rows_[query.request];
    Sync(query);
    return query;
  }

  Decision DecideOn(const Query& query, uint64_t seed, bool count_nodes) {
    Decision decision;
    decision.generation = query.view.generation();
    const double best = query.is_plain ? query.row->scores.Best() : BestAllowed(query);
    if (best != ScoreTree::kNone) Choose(query, best, seed, &decision);
    const bool is_declined = decision.is_placed && Declines(query, decision.node);
    if (is_declined) {
      decision = Decision();
      decision.generation = query.view.generation();
    }
    if (count_nodes || !decision.is_placed) Count(query, &decision);
    if (is_declined) decision.refused[static_cast<size_t>(Constraint::kPolicy)] = std::exchange(decision.feasible_nodes, 0);
    return decision;
  }

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

  // Brings the row in step with the view: O(changes since it was last asked), at most O(slots).
  void Sync(const Query& query) {
    Row& row = *query.row;
    const ClusterState& view = query.view;
    const bool is_new = row.known.empty();
    if (row.known.size() < view.class_slots()) {
      row.known.resize(2 * view.class_slots());
      row.scores.Resize(2 * view.class_slots());
    }
    if (is_new || row.version.values != version_.values) {
      std::fill(row.known.begin(), row.known.end(), Row::Known());
      row.memo = scorer_->NewRowMemo();
    }
    if (row.version != version_) row.sync = ClassSync();
    row.version = version_;
    row.sync.CatchUp(view, [&](uint32_t slots) { row.scores.Assign(slots, [&](uint32_t slot) { return ScoreAt(query, slot); }); },
                     [&](uint32_t slot) {
                       const double score = ScoreAt(query, slot);
                       if (row.scores[slot] != score) row.scores.Set(slot, score);
                     });
  }

  double ScoreAt(const Query& query, uint32_t slot) {
    const uint64_t uid = query.view.active_uids()[slot];
    if (uid == 0) return ScoreTree::kNone;
    Row& row = *query.row;
    Row::Known& known = row.known[slot];
    const bool is_known = known.uid == uid;
    if (is_known && (known.prices == version_.prices || known.score == ScoreTree::kNone)) return known.score;
    const NodeState& state = query.view.state_class(ClassId(slot)).state;
    const Shape& shape = query.view.shape_of(state);
    known.uid = uid;
    known.prices = version_.prices;
    known.score = !is_known && FirstViolation(shape, state, query.request)
                      ? ScoreTree::kNone
                      : scorer_->RowScore({slot, uid, shape, state}, query.request, is_known, row.memo.get());
    return known.score;
  }

  Scored ScoreOf(const Query& query, ClassId id) {
    const NodeState& state = query.view.state_class(id).state;
    return scorer_->Score(query.view.shape_of(state), state, query.request);
  }

  bool Declines(const Query& query, NodeId best) {
    if (!scorer_->may_decline()) return false;
    const ClassId id = query.view.view(best).class_id;
    const NodeState& state = query.view.state_class(id).state;
    return scorer_->Declines(query.view.shape_of(state), state, query.request, ScoreOf(query, id).devices);
  }

  bool IsAllowed(const Query& query, NodeId id) const {
    if (query.mask != nullptr && !query.mask->allows(id)) return false;
    return query.request.mem_floor_bytes == query.request.mem_bytes || query.view.FitsExactly(id, query.request);
  }

  // Members of a class that fits which this pod may use.
  uint32_t Allowed(const Query& query, ClassId id) const {
    if (query.is_plain) return query.view.class_sizes()[id.value];
    uint32_t count = 0;
    for (NodeId m : query.view.state_class(id).members) count += IsAllowed(query, m);
    return count;
  }

  NodeId LowestAllowed(const Query& query, ClassId id) const {
    if (query.is_plain) return query.view.Lowest(id);
    NodeId lowest;
    for (NodeId m : query.view.state_class(id).members) {
      if (IsAllowed(query, m) && (!lowest.is_valid() || query.view.view(m).rank < query.view.view(lowest).rank)) lowest = m;
    }
    return lowest;
  }

  NodeId KthAllowed(const Query& query, ClassId id, uint64_t k) const {
    const auto& members = query.view.state_class(id).members;
    if (query.is_plain) return members[k];
    for (NodeId m : members) {
      if (IsAllowed(query, m) && k-- == 0) return m;
    }
    return members.back();
  }

  // The best of the weighed nodes but `except`: by score, then by the tie scorer and the tie rule.
  size_t BestOf(const Query& query, std::span<const NodeId> nodes, std::span<const NodeVerdict> verdicts, size_t except, Rng& rng) {
    double best = ScoreTree::kNone;
    tied_.clear();   // classes of the best nodes, once each
    for (size_t i = 0; i < nodes.size(); ++i) {
      if (i == except || verdicts[i].refused || verdicts[i].score < best) continue;
      if (verdicts[i].score > best) tied_.clear();
      best = verdicts[i].score;
      const ClassId id = query.view.view(nodes[i]).class_id;
      if (std::find(tied_.begin(), tied_.end(), id) == tied_.end()) tied_.push_back(id);
    }
    if (tied_.empty()) return Weighed::kNone;
    kept_ = tied_;
    if (tied_.size() > 1) Narrow(query);
    size_t chosen = Weighed::kNone;
    uint64_t seen = 0;
    for (size_t i = 0; i < nodes.size(); ++i) {
      const auto& view = query.view.view(nodes[i]);
      if (i == except || verdicts[i].refused || verdicts[i].score != best ||
          std::find(kept_.begin(), kept_.end(), view.class_id) == kept_.end()) continue;
      const bool is_better = spec_->tie == TieRule::kUniform ? rng.Below(++seen) == 0
                                                             : chosen == Weighed::kNone || view.rank < query.view.view(nodes[chosen]).rank;
      if (is_better) chosen = i;
    }
    return chosen;
  }

  // The best score over classes of which some member may be used.
  double BestAllowed(const Query& query) const {
    double best = ScoreTree::kNone;
    for (const auto& [id, uid] : query.view.occupied()) {
      const double score = query.row->scores[id.value];
      if (score > best && Allowed(query, id) > 0) best = score;
    }
    return best;
  }

  void Choose(const Query& query, double best, uint64_t seed, Decision* decision) {
    const ClusterState& view = query.view;
    tied_.clear();
    query.row->scores.ForEach(best, [&](uint32_t slot) { tied_.push_back(ClassId(slot)); });
    if (!query.is_plain) std::erase_if(tied_, [&](ClassId id) { return Allowed(query, id) == 0; });
    uint32_t tied_nodes = 0;
    for (ClassId id : tied_) tied_nodes += Allowed(query, id);
    const bool is_tie = tied_.size() > 1;
    kept_ = tied_;
    if (is_tie) Narrow(query);

    NodeId chosen;
    Rng rng(seed);
    if (spec_->tie == TieRule::kUniform) {
      uint64_t total = 0;
      for (ClassId id : kept_) total += Allowed(query, id);
      uint64_t k = rng.Below(total);
      for (ClassId id : kept_) {
        const uint64_t count = Allowed(query, id);
        if (k < count) {
          chosen = KthAllowed(query, id, k);
          break;
        }
        k -= count;
      }
    } else {
      chosen = LowestOf(query, kept_, ClassId());
    }
    const ClassId chosen_class = view.view(chosen).class_id;
    decision->is_placed = true;
    decision->node = chosen;
    decision->score = best;
    decision->tied_nodes = tied_nodes;
    decision->devices = Devices(query, chosen, ScoreOf(query, chosen_class), rng);
    if (is_tie) {
      decision->has_runner_up = true;
      decision->runner_up = LowestOf(query, tied_, chosen_class);
      decision->runner_up_score = best;
    } else if (query.is_plain) {
      const ScoreTree::Second second = query.row->scores.BestBelow(best);
      decision->has_runner_up = second.score != ScoreTree::kNone;
      if (decision->has_runner_up) {
        decision->runner_up = view.Lowest(ClassId(second.slot));
        decision->runner_up_score = second.score;
      }
    } else {
      SecondAllowed(query, best, decision);
    }
  }

  void SecondAllowed(const Query& query, double best, Decision* decision) const {
    double second = ScoreTree::kNone;
    ClassId slot;
    for (const auto& [id, uid] : query.view.occupied()) {
      const double score = query.row->scores[id.value];
      if (score < best && (score > second || (score == second && id < slot)) && score != ScoreTree::kNone && Allowed(query, id) > 0) {
        second = score;
        slot = id;
      }
    }
    if (second == ScoreTree::kNone) return;
    decision->has_runner_up = true;
    decision->runner_up = LowestAllowed(query, slot);
    decision->runner_up_score = second;
  }

  NodeId LowestOf(const Query& query, const std::vector<ClassId>& classes, ClassId except) const {
    NodeId lowest;
    uint32_t rank = ~0u;
    for (ClassId id : classes) {
      if (id == except) continue;
      const NodeId node = query.is_plain && query.view.lowest_ranks()[id.value] >= rank ? lowest : LowestAllowed(query, id);
      if (query.view.view(node).rank < rank) {
        rank = query.view.view(node).rank;
        lowest = node;
      }
    }
    return lowest;
  }

  // Keeps of the tied classes those that the tie scorer, and then the tie rule, likes best.
  void Narrow(const Query& query) {
    const auto keep_least = [&](auto&& cost) {
      auto least = cost(kept_.front());
      for (ClassId id : kept_) least = std::min(least, cost(id));
      std::erase_if(kept_, [&](ClassId id) { return cost(id) != least; });
    };
    if (tie_scorer_) {
      keep_least([&](ClassId id) {
        const NodeState& state = query.view.state_class(id).state;
        return -tie_scorer_->Score(query.view.shape_of(state), state, query.request).score;
      });
    }
    if (spec_->tie == TieRule::kLeastFreeMemory) {
      keep_least([&](ClassId id) { return query.view.state_class(id).state.mem_bytes; });
    }
  }

  DeviceSet Devices(const Query& query, NodeId node, const Scored& scored, Rng& rng) const {
    if (query.request.gpu_count != 1) return query.view.DevicesAt(node, scored.devices);
    const NodeState& state = query.view.state_class(query.view.view(node).class_id).state;
    const auto& record = query.view.node(node);
    DeviceSet equal = 0;
    for (int i = 0; i < record.spec.gpu_count; ++i) {
      for (DevicePositions bits = scored.devices | scored.equal_devices; bits != 0; bits &= bits - 1) {
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

  void Count(const Query& query, Decision* decision) const {
    decision->feasible_nodes = 0;
    decision->refused.fill(0);
    for (const auto& [id, uid] : query.view.occupied()) {
      const auto& cls = query.view.state_class(id);
      const bool fits = query.row->scores[id.value] != ScoreTree::kNone;
      if (query.is_plain || (query.mask == nullptr && !fits)) {
        const auto n = static_cast<uint32_t>(cls.members.size());
        if (fits) decision->feasible_nodes += n;
        else decision->refused[static_cast<size_t>(*FirstViolation(query.view.shape_of(cls.state), cls.state, query.request))] += n;
        continue;
      }
      for (NodeId m : cls.members) {
        const auto violation = query.view.Violation(m, query.pod, query.request);
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
  ScoreVersion version_;   // of the scorer
  std::string last_pod_;
  ScoreContext context_;
  absl::flat_hash_map<ResolvedRequest, Row> rows_;
  NodeMaskCache masks_;
  std::vector<ClassId> tied_, kept_;   // scratch of one decision
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

#include "agent/candidates.h"

#include <algorithm>

namespace berth {
namespace {

constexpr size_t kMaxRows = 4096;   // as class_policy.cc

}  // namespace

void CandidateIndex::Begin(const NetworkWeights& weights, const Potential* prices) {
  const uint64_t id = table_->WeightsId(weights);
  // Prices are of one rollout, so what they made is of no use to the next.
  if (prices != nullptr || prices_ != nullptr || id != weights_id_ || table_->version() != table_version_) rows_.clear();
  weights_ = &weights;
  weights_id_ = id;
  prices_ = prices;
  table_version_ = table_->version();
}

std::span<const ScoredAction> CandidateIndex::Best(Env& env, const ResolvedRequest& request, uint32_t price_version, size_t limit) {
  const ClusterState& view = env.view();
  found_.clear();
  if (view.naming_version() != naming_version_) {
    rows_.clear();
    naming_version_ = view.naming_version();
  }
  if (view.has_restricted_nodes() || request.mem_floor_bytes != request.mem_bytes) {   // it depends on the members which classes may be used
    for (const EnvAction& action : env.actions()) {
      if (!action.is_legal) continue;
      const NodeState& state = view.state_class(action.class_id).state;
      Append(view, request, action, table_->Find(view.shape_of(state), state));
    }
  } else {
    if (rows_.size() >= kMaxRows) rows_.clear();
    Row& row = rows_[request];
    Sync(view, request, price_version, &row);
    row.scores.Top(limit == 0 ? row.scores.size() : limit, &top_);
    for (const ScoreTree::Second& slot : top_) Expand(view, request, ClassId(slot.slot));
  }
  // A class outside the best `limit` has no action among the best `limit`.
  const auto is_before = [](const ScoredAction& a, const ScoredAction& b) {
    if (a.score != b.score) return a.score > b.score;
    return a.action.class_id != b.action.class_id ? a.action.class_id < b.action.class_id : a.action.devices < b.action.devices;
  };
  const size_t kept = limit == 0 ? found_.size() : std::min(limit, found_.size());
  std::partial_sort(found_.begin(), found_.begin() + static_cast<std::ptrdiff_t>(kept), found_.end(), is_before);
  return {found_.data(), kept};
}

void CandidateIndex::Sync(const ClusterState& view, const ResolvedRequest& request, uint32_t price_version, Row* row) {
  const size_t slots = view.class_slots();
  if (row->uids.size() < slots) {
    row->uids.resize(2 * slots);
    row->memo.resize(2 * slots);
    row->scores.Resize(2 * slots);
  }
  if (row->price_version != price_version) {
    std::fill(row->uids.begin(), row->uids.end(), 0);
    row->sync = ClassSync();
    row->price_version = price_version;
  }
  const auto score_at = [&](uint32_t slot) {
    const uint64_t uid = view.active_uids()[slot];
    if (uid != 0 && row->uids[slot] != uid) {
      row->uids[slot] = uid;
      found_.clear();
      Expand(view, request, ClassId(slot));
      double best = ScoreTree::kNone;
      for (const ScoredAction& c : found_) best = std::max(best, c.score);
      row->memo[slot] = best;
    }
    return uid == 0 ? ScoreTree::kNone : row->memo[slot];
  };
  row->sync.CatchUp(view, [&](uint32_t all) { row->scores.Assign(all, score_at); }, [&](uint32_t slot) {
    const double score = score_at(slot);
    if (row->scores[slot] != score) row->scores.Set(slot, score);
  });
  found_.clear();
}

void CandidateIndex::Expand(const ClusterState& view, const ResolvedRequest& request, ClassId id) {
  const NodeState& state = view.state_class(id).state;
  const Shape& shape = view.shape_of(state);
  if (FirstViolation(shape, state, request)) return;
  const uint32_t before = table_->Find(shape, state);
  if (request.gpu_count != 1) {
    Append(view, request, {id, TightestDevices(state, request), true}, before);
    return;
  }
  for (uint32_t i = 0; i < state.device_count; ++i) {   // as Env::actions
    if (state.gpu_milli[i] < request.gpu_milli || (i > 0 && state.gpu_milli[i] == state.gpu_milli[i - 1])) continue;
    Append(view, request, {id, 1u << i, true}, before);
  }
}

void CandidateIndex::Append(const ClusterState& view, const ResolvedRequest& request, const EnvAction& action, uint32_t before) {
  const NodeState& state = view.state_class(action.class_id).state;
  const Shape& shape = view.shape_of(state);
  const NodeState after = StateAfter(state, request, action.devices, view.options().mem_grain_bytes, view.options().key_fields);
  ScoredAction c;
  c.action = action;
  c.before = before;
  c.after = table_->Find(shape, after);
  c.worth = Worth(shape, after) - Worth(shape, state);
  c.score = table_->Value(before, *weights_, weights_id_) - table_->Value(c.after, *weights_, weights_id_) + c.worth;
  found_.push_back(c);
}

}  // namespace berth

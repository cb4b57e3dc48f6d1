#include "server/placements.h"

#include <utility>
#include <variant>

#include "absl/container/flat_hash_set.h"
#include "base/log.h"
#include "base/status.h"
#include "fmt/format.h"

namespace berth {
namespace {

absl::string_view View(std::string_view s) { return {s.data(), s.size()}; }

std::shared_ptr<const PolicyName> NameOf(const Policy& policy) {
  return std::make_shared<const PolicyName>(PolicyName{policy.info().name, policy.info().version});
}

std::unique_ptr<Decider> WarmDecider(const Policy& policy, const ClusterState& state) {
  std::unique_ptr<Decider> decider = policy.NewDecider();
  ClusterState view = state;
  view.KeyBy(view.options().key_fields | policy.info().key_fields);
  Pod pod;
  pod.id = "warm-up";
  for (const auto& [gpus, milli] : {std::pair(0, 0), std::pair(1, 500), std::pair(1, 1000)}) {
    pod.request.cpu_milli = 1000;
    pod.request.gpu_count = gpus;
    pod.request.gpu_milli = milli;
    decider->Decide(view, pod, 0, {});
  }
  return decider;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Placements>> Placements::Create(const Options& options, std::shared_ptr<const Policy> policy,
                                                               std::unique_ptr<Journal> journal, std::span<const Node> nodes) {
  std::unique_ptr<Placements> self(new Placements(options));
  Journal::Content content;
  if (journal != nullptr) {
    BERTH_ASSIGN_OR_RETURN(content, journal->Load());
  }
  absl::MutexLock lock(&self->mu_);
  self->journal_ = std::move(journal);
  // Generations of different starts never meet: a start owns 2^40 of them.
  if (content.starts > 0) self->ledger_.AdvanceGeneration(content.starts << 40);
  Journal::Batch batch;
  if (!content.nodes.empty() && !nodes.empty()) LogInfo("the state folder has {} nodes; those of --nodes are not looked at", content.nodes.size());
  const bool is_restart = !content.nodes.empty();
  const std::span<const Node> initial = is_restart ? std::span<const Node>(content.nodes) : nodes;
  const absl::Status added = self->ledger_.ReplaceAll(initial, {}).status();
  if (!added.ok()) return added;
  for (const Node& node : initial) {
    if (is_restart) self->node_order_[node.name] = self->next_order_++;
    else self->PutNode(node, batch);
  }
  for (Journal::KeptPod& pod : content.pods) {
    const absl::Status restored = self->ledger_.Restore(pod.info);
    if (!restored.ok()) return absl::DataLossError(fmt::format("--state: a pod can't be restored: {}", MessageOf(restored)));
    if (!pod.answer) continue;
    auto kept = std::make_shared<Kept>(Kept{*std::move(pod.answer), 0});
    if (!kept->answer.key.empty()) self->by_key_[kept->answer.key] = kept;
    self->by_pod_[pod.info.pod.id] = std::move(kept);
  }
  for (auto& [sequence, answer] : content.finished) {
    auto kept = std::make_shared<Kept>(Kept{std::move(answer), sequence});
    self->by_key_.emplace(kept->answer.key, kept);
    self->finished_.push_back(std::move(kept));
    self->next_sequence_ = sequence + 1;
  }
  if (!is_restart) BERTH_RETURN_IF_ERROR(self->Write(batch));
  if (content.starts > 0) {
    const LedgerTotals totals = self->ledger_.totals();
    LogInfo("restored {} nodes, {} assumed and {} confirmed pods ({} without a node), {} finished keys", totals.nodes,
            totals.assumed, totals.confirmed, totals.orphaned, self->finished_.size());
  }
  self->ledger_.KeyBy(policy->info().key_fields);
  self->policy_name_ = NameOf(*policy);
  self->decider_ = WarmDecider(*policy, self->ledger_.TakeSnapshot().state());
  self->policy_ = std::move(policy);
  return self;
}

absl::Status Placements::CheckWritable() const {
  if (is_writable()) return absl::OkStatus();
  return absl::UnavailableError("the journal can't be written: nothing is changed any more until the server is restarted");
}

absl::Status Placements::Write(Journal::Batch& batch) {
  if (journal_ == nullptr) return absl::OkStatus();
  absl::Status status = journal_->Write(batch);
  if (!status.ok()) {
    is_broken_.store(true);
    LogError("the journal can't be written: every change is refused until a restart, which finds what was written");
  }
  return status;
}

absl::Status Placements::Place(const Pod& pod, std::string_view key, uint64_t seed, bool count_nodes, Answer* answer) {
  if (key.size() > kMaxKeyBytes) {
    return InvalidField("idempotency_key", key, fmt::format("at most {} bytes", kMaxKeyBytes));
  }
  BERTH_RETURN_IF_ERROR(ValidatePod("pod", pod));
  const Fingerprint fingerprint = key.empty() ? Fingerprint{} : FingerprintOf(pod, seed);
  absl::MutexLock lock(&mu_);
  BERTH_RETURN_IF_ERROR(CheckWritable());
  if (!key.empty()) {
    const auto known = by_key_.find(View(key));
    if (known != by_key_.end()) {
      if (known->second->answer.fingerprint != fingerprint) {
        return absl::FailedPreconditionError(
            fmt::format("idempotency_key is {}, which was used for another request", Quoted(key)));
      }
      answer->decision = known->second->answer.decision;
      answer->is_replay = true;
      return absl::OkStatus();
    }
  }
  absl::StatusOr<PlaceResult> placed = ledger_.Place(*decider_, pod, seed, DecideOptions{count_nodes});
  if (!placed.ok()) return placed.status();
  DecisionRecord& record = answer->decision;
  record.pod_id = pod.id;
  record.node = std::move(placed->node);
  record.runner_up = std::move(placed->runner_up);
  record.decision = placed->decision;
  record.policy = policy_name_;
  record.seed = seed;
  answer->is_replay = false;
  const bool is_placed = record.decision.is_placed;
  if (!is_placed && key.empty()) return absl::OkStatus();

  auto kept = std::make_shared<Kept>(Kept{{std::string(key), fingerprint, record}, 0});
  Journal::Batch batch;
  if (is_placed) {
    if (journal_ != nullptr) {
      PodInfo info;
      info.pod = pod;
      info.node = record.node;
      info.devices = record.decision.devices;
      batch.PutPod(info, &kept->answer);
    }
    by_pod_.emplace(pod.id, kept);
    if (!key.empty()) by_key_.emplace(std::string(key), std::move(kept));
  } else {
    by_key_.emplace(std::string(key), kept);
    KeepFinished(std::move(kept), batch);
  }
  return Write(batch);
}

// Keeps the answer among the finished; the oldest one goes when there are too many.
void Placements::KeepFinished(std::shared_ptr<Kept> kept, Journal::Batch& batch) {
  if (kept->answer.key.empty()) return;
  kept->sequence = next_sequence_++;
  if (journal_ != nullptr) batch.PutFinished(kept->sequence, kept->answer);
  finished_.push_back(std::move(kept));
  while (finished_.size() > static_cast<size_t>(options_.max_finished_keys)) {
    if (journal_ != nullptr) batch.DeleteFinished(finished_.front()->sequence);
    by_key_.erase(finished_.front()->answer.key);
    finished_.pop_front();
  }
}

// The pod is off the ledger: so must it be here and in the journal.
void Placements::Finish(const std::string& pod_id, Journal::Batch& batch) {
  if (journal_ != nullptr) batch.DeletePod(pod_id);
  const auto it = by_pod_.find(pod_id);
  if (it == by_pod_.end()) return;
  std::shared_ptr<Kept> kept = std::move(it->second);
  by_pod_.erase(it);
  KeepFinished(std::move(kept), batch);
}

const KeptAnswer* Placements::AnswerOf(const std::string& pod_id) const {
  const auto it = by_pod_.find(pod_id);
  return it == by_pod_.end() ? nullptr : &it->second->answer;
}

void Placements::PutPod(const std::string& pod_id, Journal::Batch& batch) {
  if (journal_ == nullptr) return;
  const std::optional<PodInfo> info = ledger_.FindPod(pod_id);
  if (info) batch.PutPod(*info, AnswerOf(pod_id));
}

void Placements::PutNode(const Node& node, Journal::Batch& batch) {
  const auto [it, is_new] = node_order_.try_emplace(node.name, next_order_);
  if (is_new) ++next_order_;
  if (journal_ != nullptr) batch.PutNode(node, it->second);
}

absl::StatusOr<Generation> Placements::Assume(const Pod& pod, std::string_view node, DeviceSet devices) {
  absl::MutexLock lock(&mu_);
  BERTH_RETURN_IF_ERROR(CheckWritable());
  return ledger_.Assume(pod, node, devices);
}

absl::StatusOr<Generation> Placements::Forget(const std::string& pod_id) {
  absl::MutexLock lock(&mu_);
  BERTH_RETURN_IF_ERROR(CheckWritable());
  BERTH_ASSIGN_OR_RETURN(const Generation generation, ledger_.Forget(pod_id));
  Journal::Batch batch;
  Finish(pod_id, batch);   // it may have been placed by Place
  BERTH_RETURN_IF_ERROR(Write(batch));
  return generation;
}

absl::StatusOr<Generation> Placements::Confirm(std::string_view pod_id) {
  absl::MutexLock lock(&mu_);
  BERTH_RETURN_IF_ERROR(CheckWritable());
  BERTH_ASSIGN_OR_RETURN(const Generation generation, ledger_.Confirm(pod_id));
  Journal::Batch batch;
  PutPod(std::string(pod_id), batch);
  BERTH_RETURN_IF_ERROR(Write(batch));
  return generation;
}

absl::StatusOr<Generation> Placements::Release(const std::string& pod_id) {
  absl::MutexLock lock(&mu_);
  BERTH_RETURN_IF_ERROR(CheckWritable());
  BERTH_ASSIGN_OR_RETURN(const Generation generation, ledger_.Release(pod_id));
  Journal::Batch batch;
  Finish(pod_id, batch);
  BERTH_RETURN_IF_ERROR(Write(batch));
  return generation;
}

absl::StatusOr<ChangeReport> Placements::Apply(std::span<const Change> changes) {
  absl::MutexLock lock(&mu_);
  BERTH_RETURN_IF_ERROR(CheckWritable());
  BERTH_ASSIGN_OR_RETURN(ChangeReport report, ledger_.Apply(changes));
  Journal::Batch batch;
  for (const Change& change : changes) {
    if (const auto* upsert = std::get_if<UpsertNode>(&change)) {
      PutNode(upsert->node, batch);
    } else if (const auto* drop = std::get_if<DropNode>(&change)) {
      node_order_.erase(drop->name);
      if (journal_ != nullptr) batch.DeleteNode(drop->name);
    } else if (const auto* end = std::get_if<EndPod>(&change)) {
      Finish(end->id, batch);
    }
  }
  for (const Change& change : changes) {  // as they are at the end, ended ones not at all
    if (const auto* run = std::get_if<RunPod>(&change)) PutPod(run->running.pod.id, batch);
  }
  BERTH_RETURN_IF_ERROR(Write(batch));
  return report;
}

absl::StatusOr<ChangeReport> Placements::ReplaceAll(std::span<const Node> nodes, std::span<const RunningPod> pods,
                                                    bool drop_assumed) {
  absl::MutexLock lock(&mu_);
  BERTH_RETURN_IF_ERROR(CheckWritable());
  BERTH_ASSIGN_OR_RETURN(ChangeReport report, ledger_.ReplaceAll(nodes, pods, drop_assumed));
  Journal::Batch batch;
  absl::flat_hash_set<absl::string_view> names;
  for (const Node& node : nodes) names.insert(node.name);
  for (auto it = node_order_.begin(); it != node_order_.end();) {
    const auto current = it++;
    if (names.contains(current->first)) continue;
    if (journal_ != nullptr) batch.DeleteNode(current->first);
    node_order_.erase(current);
  }
  for (const std::string& id : report.ended) Finish(id, batch);
  for (const Node& node : nodes) PutNode(node, batch);
  for (const RunningPod& running : pods) PutPod(running.pod.id, batch);
  BERTH_RETURN_IF_ERROR(Write(batch));
  return report;
}

absl::StatusOr<Placements::Explained> Placements::ExplainRecorded(const std::string& pod_id, size_t max_candidates) const {
  Explained explained;
  PodInfo info;
  BERTH_ASSIGN_OR_RETURN(ClusterState state, ledger_.CopyWithout(pod_id, &info));
  std::shared_ptr<const Policy> policy;
  uint64_t seed = 0;
  {
    absl::MutexLock lock(&mu_);
    policy = policy_;
    if (const KeptAnswer* answer = AnswerOf(pod_id)) {
      explained.recorded = answer->decision;
      seed = answer->decision.seed;
    }
  }
  state.KeyBy(state.options().key_fields | policy->info().key_fields);
  explained.view = Snapshot(std::make_shared<const ClusterState>(std::move(state)));
  const ClusterState& view = explained.view.state();
  explained.explanation = policy->NewDecider()->Explain(view, info.pod, seed, max_candidates);
  explained.policy = policy->info();
  const Decision& d = explained.explanation.decision;
  explained.decision = {pod_id, d.is_placed ? view.node(d.node).spec.name : "", d.has_runner_up ? view.node(d.runner_up).spec.name : "",
                        d, NameOf(*policy), seed};
  explained.info = std::move(info);
  return explained;
}

absl::StatusOr<Placements::Explained> Placements::ExplainPod(const Pod& pod, uint64_t seed, size_t max_candidates) const {
  BERTH_RETURN_IF_ERROR(ValidatePod("pod", pod));
  Explained explained;
  const std::shared_ptr<const Policy> policy = this->policy();
  explained.view = ledger_.TakeSnapshot();
  if (const KeyFields& has = explained.view.state().options().key_fields; !((has | policy->info().key_fields) == has)) {
    ClusterState state = explained.view.state();  // the policy was swapped after the snapshot
    state.KeyBy(has | policy->info().key_fields);
    explained.view = Snapshot(std::make_shared<const ClusterState>(std::move(state)));
  }
  const ClusterState& view = explained.view.state();
  explained.explanation = policy->NewDecider()->Explain(view, pod, seed, max_candidates);
  explained.policy = policy->info();
  const Decision& d = explained.explanation.decision;
  explained.decision = {pod.id, d.is_placed ? view.node(d.node).spec.name : "", d.has_runner_up ? view.node(d.runner_up).spec.name : "",
                        d, NameOf(*policy), seed};
  return explained;
}

void Placements::SetPolicy(std::shared_ptr<const Policy> policy) {
  std::shared_ptr<const PolicyName> name = NameOf(*policy);
  std::unique_ptr<Decider> decider = WarmDecider(*policy, ledger_.TakeSnapshot().state());
  absl::MutexLock lock(&mu_);
  ledger_.KeyBy(policy->info().key_fields);
  policy_.swap(policy);
  policy_name_.swap(name);
  decider_.swap(decider);
}

std::shared_ptr<const Policy> Placements::policy() const {
  absl::MutexLock lock(&mu_);
  return policy_;
}

}  // namespace berth

#include "adapters/kubernetes/extender.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <thread>
#include <utility>

#include "adapters/kubernetes/extender_wire.h"
#include "base/log.h"
#include "base/status.h"
#include "fmt/format.h"

namespace berth::kubernetes {
namespace {

constexpr int kMostScore = 10;   // MaxExtenderPriority

// Constant texts: kube-scheduler counts nodes by equal text, and the user reads them in the pod's events.
std::string_view RefusalText(Constraint constraint) {
  switch (constraint) {
    case Constraint::kUnschedulable: return "Berth: the node is cordoned";
    case Constraint::kTaint: return "Berth: the node has a taint that the pod does not tolerate";
    case Constraint::kSelector: return "Berth: the node has not the labels that the pod asks for";
    case Constraint::kGpuModel: return "Berth: the node's GPU model is not among the allowed ones";
    case Constraint::kPodSlots: return "Berth: too many pods";
    case Constraint::kCpu: return "Berth: not enough cpu";
    case Constraint::kMemory: return "Berth: not enough memory";
    case Constraint::kGpu: return "Berth: too few GPU devices with enough free";
    case Constraint::kExtended: return "Berth: not enough of an extended resource";
    case Constraint::kPolicy: return "Berth: the policy takes no new pods on the node";
  }
  return "Berth: refused";
}
constexpr std::string_view kUnknownNode = "Berth: the node is not known yet";
constexpr std::string_view kPodElsewhere = "Berth: the pod is reserved on another node";

// Evicting pods does not help there.
bool IsUnresolvable(Constraint constraint) { return constraint == Constraint::kGpuModel || constraint == Constraint::kPolicy; }

uint64_t SeedOf(std::string_view uid) {
  uint64_t h = 0xcbf29ce484222325ULL;   // FNV-1a: the same in every process
  for (const char c : uid) h = (h ^ static_cast<unsigned char>(c)) * 0x100000001b3ULL;
  return h;
}

template <class Number>
void AppendNumber(std::string_view key, Number value, std::string* out) {
  if (out->back() != '{') *out += ',';
  AppendJsonString(key, out);
  *out += fmt::format(":{}", value);
}

}  // namespace

std::vector<int> ExtenderScores(const Weighed& weighed) {
  std::vector<int> scores(weighed.verdicts.size(), 0);
  if (weighed.chosen == Weighed::kNone) return scores;
  const double best = weighed.verdicts[weighed.chosen].score;
  double least = best;
  for (const NodeVerdict& v : weighed.verdicts) {
    if (!v.refused) least = std::min(least, v.score);
  }
  for (size_t i = 0; i < scores.size(); ++i) {
    const NodeVerdict& v = weighed.verdicts[i];
    if (v.refused) continue;
    // Halves first: best - least of two finite numbers may overflow.
    const double share = best > least ? (v.score / 2 - least / 2) / (best / 2 - least / 2) : 1;
    scores[i] = std::clamp(static_cast<int>(std::floor((kMostScore - 1) * share)), 0, kMostScore - 1);
  }
  scores[weighed.chosen] = kMostScore;
  return scores;
}

// A parser a thread: it keeps its memory, up to a bound.
class Extender::Parsers {
 public:
  static simdjson::dom::parser& OfThread(size_t bytes) {
    static constexpr size_t kKeptBytes = size_t{4} << 20;
    thread_local std::unique_ptr<simdjson::dom::parser> parser;
    if (parser == nullptr || (parser->capacity() > kKeptBytes && bytes <= kKeptBytes)) parser = std::make_unique<simdjson::dom::parser>();
    return *parser;
  }
};

Extender::Extender(ClusterSink* sink, ExtendedNames* names, Metrics* metrics, ApiClient* client, Options options)
    : sink_(sink), names_(names), metrics_(metrics), client_(client), options_(std::move(options)),
      decided_(options_.max_remembered), nominated_(options_.max_remembered), settled_(options_.max_remembered) {}

Extender::Answer Extender::Call(Verb verb, std::string_view body) {
  const auto began = std::chrono::steady_clock::now();
  const auto index = static_cast<size_t>(verb);
  Answer answer;
  const absl::StatusOr<JsonObject> parsed = ParseObject(Parsers::OfThread(body.size()), body, "body");
  absl::StatusOr<std::string> text = std::string();
  if (!parsed.ok()) {
    text = parsed.status();
    answer.status = 400;
  } else {
    switch (verb) {
      case Verb::kFilter: text = Filter(*parsed, false); break;
      case Verb::kChoose: text = Filter(*parsed, true); break;
      case Verb::kPrioritize: text = Prioritize(*parsed); break;
      case Verb::kPreempt: text = Preempt(*parsed); break;
      case Verb::kBind: text = Bind(*parsed); break;
    }
  }
  if (text.ok()) {
    answer.body = *std::move(text);
  } else {
    // Filter and bind have a field for the reason, which reaches the user; the others can only fail.
    const bool has_field = verb == Verb::kFilter || verb == Verb::kChoose || verb == Verb::kBind;
    if (!has_field && answer.status == 200) answer.status = text.status().code() == absl::StatusCode::kUnavailable ? 503 : 400;
    answer.body = WriteError(MessageOf(text.status()));
    LogInfo("extender: {}: {}", VerbName(verb), MessageOf(text.status()));
  }
  metrics_->calls[index][answer.status == 400 ? 2 : text.ok() ? 0 : 1]->Increment();
  metrics_->seconds[index]->Observe(std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count());
  return answer;
}

absl::Status Extender::CheckReady() const {
  if (options_.leads && !options_.leads()) return absl::UnavailableError("another Berth leads; this one stands by");
  if (feed_ == nullptr || feed_->is_synced()) return absl::OkStatus();
  return absl::UnavailableError("Berth has not read the cluster from the API server yet");
}

void Extender::Settled(const std::string& uid) {
  absl::MutexLock lock(&mu_);
  nominated_.Erase(uid);
  decided_.Erase(uid);
  settled_.Put(uid, 1);
  // It may have been reserved after its end had reached the ledger. A pod that runs is confirmed, and stays.
  if (reserved_.erase(uid) > 0) sink_->Forget(uid).status().IgnoreError();
}

void Extender::Listed(const absl::flat_hash_set<std::string>& uids) {
  absl::MutexLock lock(&mu_);
  for (auto it = reserved_.begin(); it != reserved_.end();) {
    const auto current = it++;
    if (uids.contains(current->first)) continue;
    sink_->Forget(current->first).status().IgnoreError();   // deleted while nobody watched
    reserved_.erase(current);
  }
}

bool Extender::IsProvisional(const std::string& uid) {
  absl::MutexLock lock(&mu_);
  const auto it = reserved_.find(uid);
  return it != reserved_.end() && it->second == Reserved::kByDecision;
}

std::vector<std::pair<PodRequest, DeviceSet>> Extender::HeldBy(const std::vector<std::string>& uids, std::string_view node) const {
  std::vector<std::pair<PodRequest, DeviceSet>> held;
  for (const std::string& uid : uids) {
    const std::optional<PodInfo> info = sink_->ledger().FindPod(uid);
    if (info && info->node == node && !info->is_orphaned) held.emplace_back(info->pod.request, info->devices & ~info->lost_devices);
  }
  return held;
}

bool Extender::FitsWithout(const ClusterState& state, std::string_view node, const std::vector<std::pair<PodRequest, DeviceSet>>& gone,
                           const Pod& pod) const {
  const std::optional<NodeId> id = state.FindNode(node);
  if (!id) return false;
  std::vector<ClusterState::Held> held;
  for (const auto& [request, devices] : gone) held.push_back({state.Resolve(request), devices});
  return !state.ViolationWithout(*id, held, state.Resolve(pod.request));
}

Decider& Extender::DeciderInUse() {
  std::shared_ptr<const Policy> policy = sink_->policy();
  if (policy != policy_) {
    policy_ = std::move(policy);
    decider_ = policy_->NewDecider();
  }
  return *decider_;
}

void Extender::Log(std::string_view verb, const std::function<void(std::string*)>& fields) const {
  if (!options_.log) return;
  std::string line = "{";
  AppendField("verb", verb, &line);
  AppendNumber("unix_us", Clock::Real().UnixMicros(), &line);
  fields(&line);
  line += '}';
  options_.log(line);
}

// What filter and prioritize were asked, and what the ledger and the policy say.
struct Extender::Question : ExtenderArgs {
  std::vector<NodeId> ids;           // of the known nodes
  std::vector<size_t> index;         // of each of `ids` among the names
  std::vector<char> is_known;        // by name
  Weighed weighed;                   // by `ids`
  std::optional<size_t> reserved;    // the pod is on record: its node among the names, or names.size()
  std::optional<size_t> freed;       // index of `ids`: the node of its preemption, which it fits without the victims
  std::shared_ptr<const Policy> policy;
  Generation generation = 0;
};

absl::Status Extender::ReadQuestion(JsonObject body, Question* question) const {
  BERTH_RETURN_IF_ERROR(CheckReady());
  BERTH_RETURN_IF_ERROR(ReadExtenderArgs(body, options_.max_nodes, question));
  names_->KeepOf(&question->pod.pod);
  return ValidatePod("Pod", question->pod.pod);
}

void Extender::Weigh(Question* question) {
  const Ledger& ledger = sink_->ledger();
  const std::string& uid = question->pod.pod.id;
  absl::MutexLock lock(&mu_);
  // Asked again: what was decided before has come to nothing.
  if (const auto it = reserved_.find(uid); it != reserved_.end() && it->second == Reserved::kByDecision) {
    sink_->Forget(uid).status().IgnoreError();
    reserved_.erase(it);
  }
  const std::optional<PodInfo> on_record = ledger.FindPod(uid);
  const Nomination* nomination = nominated_.Find(uid);
  std::vector<std::pair<PodRequest, DeviceSet>> victims;
  if (nomination != nullptr) victims = HeldBy(nomination->victims, nomination->node);
  Decider& decider = DeciderInUse();
  question->policy = policy_;
  question->is_known.assign(question->names.size(), 0);
  question->ids.clear();
  question->index.clear();
  question->freed.reset();
  question->reserved.reset();
  ledger.Read([&](const ClusterState& state) {
    question->generation = state.generation();
    for (size_t i = 0; i < question->names.size(); ++i) {
      const std::optional<NodeId> id = state.FindNode(question->names[i]);
      if (!id) continue;
      question->is_known[i] = 1;
      question->ids.push_back(*id);
      question->index.push_back(i);
    }
    decider.Weigh(state, question->pod.pod, SeedOf(uid), question->ids, &question->weighed);
    if (victims.empty()) return;
    for (size_t k = 0; k < question->ids.size(); ++k) {
      if (question->names[question->index[k]] != nomination->node || !question->weighed.verdicts[k].refused) continue;
      if (!FitsWithout(state, nomination->node, victims, question->pod.pod)) continue;
      question->weighed.verdicts[k].refused.reset();
      question->freed = k;
    }
  });
  if (!on_record) return;
  const auto at = std::find(question->names.begin(), question->names.end(), on_record->node);
  question->reserved = static_cast<size_t>(at - question->names.begin());
}

bool Extender::IsBehind(const Question& question) {
  if (feed_ == nullptr || question.reserved) return false;
  for (size_t k = 0; k < question.ids.size(); ++k) {
    const std::optional<Constraint>& refused = question.weighed.verdicts[k].refused;
    if (!refused) return false;   // some node passes
  }
  for (size_t k = 0; k < question.ids.size(); ++k) {
    const Constraint refused = *question.weighed.verdicts[k].refused;
    if (refused != Constraint::kCpu && refused != Constraint::kMemory && refused != Constraint::kPodSlots && refused != Constraint::kExtended) continue;
    const std::vector<std::string> pods = sink_->ledger().PodsOn(question.names[question.index[k]]);
    const bool is_explained = std::any_of(pods.begin(), pods.end(), [&](const std::string& uid) {
      if (feed_->FindImportance(uid)) return false;
      absl::MutexLock lock(&mu_);
      return !reserved_.contains(uid) && !binding_.contains(uid);
    });
    if (!is_explained) return true;
  }
  return false;
}

absl::StatusOr<std::string> Extender::Filter(JsonObject body, bool chooses) {
  Question question;
  BERTH_RETURN_IF_ERROR(ReadQuestion(body, &question));
  Weigh(&question);
  for (const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(options_.behind_wait_ms); IsBehind(question);) {
    if (std::chrono::steady_clock::now() > end) {
      return absl::UnavailableError("Berth is behind the API server: it knows of no room on nodes that kube-scheduler found room on");
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
    if (sink_->ledger().generation() != question.generation) Weigh(&question);
  }
  FilterAnswer answer;
  answer.verdicts.assign(question.names.size(), {});
  RefusalCounts refused{};
  size_t unknown = 0;
  for (size_t i = 0; i < question.names.size(); ++i) {
    if (question.is_known[i]) continue;
    answer.verdicts[i] = {kUnknownNode, true};
    ++unknown;
  }
  for (size_t k = 0; k < question.ids.size(); ++k) {
    const std::optional<Constraint>& constraint = question.weighed.verdicts[k].refused;
    FilterAnswer::Verdict& verdict = answer.verdicts[question.index[k]];
    if (question.reserved) {
      if (question.index[k] != *question.reserved) verdict = {kPodElsewhere, false};
    } else if (constraint) {
      verdict = {RefusalText(*constraint), IsUnresolvable(*constraint)};
      ++refused[static_cast<size_t>(*constraint)];
    }
  }
  for (int c = 0; c < kConstraintCount; ++c) {
    if (refused[static_cast<size_t>(c)] > 0) metrics_->refused_nodes[static_cast<size_t>(c)]->Increment(refused[static_cast<size_t>(c)]);
  }
  if (unknown > 0) metrics_->unknown_nodes->Increment(static_cast<double>(unknown));
  const size_t chosen = question.freed.value_or(question.weighed.chosen);
  if (chooses && chosen != Weighed::kNone && !question.reserved) {
    for (FilterAnswer::Verdict& verdict : answer.verdicts) verdict.is_left_out = true;
    answer.verdicts[question.index[chosen]] = {};
    Decide("choose", question, chosen);
    return WriteFilterAnswer(question, answer);
  }
  const auto passed = static_cast<size_t>(std::count_if(answer.verdicts.begin(), answer.verdicts.end(), [](const auto& v) { return v.reason.empty(); }));
  if (passed < question.names.size()) {
    Log("filter", [&](std::string* line) {
      AppendField("pod", DisplayName(question.pod), line);
      AppendField("uid", question.pod.pod.id, line);
      AppendNumber("generation", question.generation, line);
      AppendNumber("nodes", question.names.size(), line);
      AppendNumber("passed", passed, line);
      *line += ",\"refused\":{";
      for (int c = 0; c < kConstraintCount; ++c) {
        if (refused[static_cast<size_t>(c)] > 0) AppendNumber(ConstraintName(static_cast<Constraint>(c)), refused[static_cast<size_t>(c)], line);
      }
      if (unknown > 0) AppendNumber("unknown_node", unknown, line);
      *line += '}';
    });
  }
  return WriteFilterAnswer(question, answer);
}

void Extender::Decide(std::string_view verb, const Question& question, size_t chosen) {
  const Weighed& weighed = question.weighed;
  const bool has_second = weighed.runner_up != Weighed::kNone && weighed.chosen == chosen;
  const std::string& uid = question.pod.pod.id;
  Decided decided;
  decided.pod = question.pod.pod;
  decided.node = question.names[question.index[chosen]];
  decided.score = weighed.verdicts[chosen].score;
  decided.policy = question.policy->info().name;
  decided.model_version = question.policy->info().version;
  decided.generation = question.generation;
  if (has_second) {
    decided.runner_up = question.names[question.index[weighed.runner_up]];
    decided.runner_up_score = weighed.verdicts[weighed.runner_up].score;
  }
  Log(verb, [&](std::string* line) {
    AppendField("pod", DisplayName(question.pod), line);
    AppendField("uid", uid, line);
    AppendField("policy", decided.policy, line);
    AppendField("model_version", decided.model_version, line);
    AppendNumber("generation", decided.generation, line);
    AppendNumber("nodes", question.names.size(), line);
    AppendField("node", decided.node, line);
    AppendNumber("score", decided.score, line);
    if (has_second) {
      AppendField("runner_up", decided.runner_up, line);
      AppendNumber("runner_up_score", decided.runner_up_score, line);
    }
  });
  absl::MutexLock lock(&mu_);
  // Where the room is not there yet (victims), or no longer, the bind or the watch will tell.
  const bool can_reserve = feed_ != nullptr && weighed.chosen == chosen && !question.reserved && settled_.Find(uid) == nullptr;
  if (can_reserve && sink_->Assume(decided.pod, decided.node, weighed.devices).ok()) reserved_[uid] = Reserved::kByDecision;
  decided_.Put(uid, std::move(decided));
}

absl::StatusOr<std::string> Extender::Prioritize(JsonObject body) {
  Question question;
  BERTH_RETURN_IF_ERROR(ReadQuestion(body, &question));
  Weigh(&question);
  std::vector<int> scores(question.names.size(), 0);
  const std::vector<int> known = ExtenderScores(question.weighed);
  for (size_t k = 0; k < known.size(); ++k) scores[question.index[k]] = known[k];
  if (question.weighed.chosen != Weighed::kNone) Decide("prioritize", question, question.weighed.chosen);
  return WriteScores(question.names, scores);
}

// --- Preempt -------------------------------------------------------------------------------------------------------

absl::Status Extender::ReadPreemption(JsonObject body, PreemptionArgs* preemption) const {
  BERTH_RETURN_IF_ERROR(CheckReady());
  BERTH_RETURN_IF_ERROR(ReadPreemptionArgs(body, options_.max_nodes, preemption));
  names_->KeepOf(&preemption->pod.pod);
  return ValidatePod("Pod", preemption->pod.pod);
}

absl::StatusOr<std::string> Extender::Preempt(JsonObject body) {
  PreemptionArgs preemption;
  BERTH_RETURN_IF_ERROR(ReadPreemption(body, &preemption));
  BERTH_ASSIGN_OR_RETURN(const std::string chosen, ChooseVictims(preemption));
  const auto it = std::find_if(preemption.candidates.begin(), preemption.candidates.end(), [&](const auto& c) { return c.node == chosen; });
  const bool is_found = it != preemption.candidates.end();
  Log("preempt", [&](std::string* line) {
    AppendField("pod", DisplayName(preemption.pod), line);
    AppendField("uid", preemption.pod.pod.id, line);
    AppendNumber("nodes", preemption.candidates.size(), line);
    AppendField("node", chosen, line);
    AppendNumber("victims", is_found ? it->victims.size() : 0, line);
  });
  return WritePreemptionAnswer(is_found ? &*it : nullptr);
}

// What we know of the victims that were named: kUnderWay when all are being deleted or gone. kube-scheduler knows of it within
// the same moment or so; of a deletion that was asked for a second ago it surely knows.
Extender::Eviction Extender::EvictionOf(const Nomination& nomination) const {
  const auto recent = std::chrono::steady_clock::now() - std::chrono::seconds(1);
  bool all_for_long = !nomination.victims.empty();
  for (const std::string& uid : nomination.victims) {
    const auto known = feed_ == nullptr ? std::nullopt : feed_->FindImportance(uid);
    const bool is_here = feed_ == nullptr ? sink_->ledger().FindPod(uid).has_value() : known.has_value();
    if (is_here && !(known && known->terminating_since)) return Eviction::kNotBegun;
    if (!is_here || *known->terminating_since > recent) all_for_long = false;
  }
  return all_for_long ? Eviction::kUnderWayForLong : Eviction::kUnderWay;
}

std::optional<std::string> Extender::AnswerAgain(const PreemptionArgs& preemption) {
  const std::string& uid = preemption.pod.pod.id;
  const auto is_candidate = [&](std::string_view node) {
    return std::any_of(preemption.candidates.begin(), preemption.candidates.end(), [&](const auto& c) { return c.node == node; });
  };
  Nomination named;
  {
    absl::MutexLock lock(&mu_);
    const Nomination* nomination = nominated_.Find(uid);
    if (nomination == nullptr) return std::nullopt;
    named = *nomination;
  }
  using std::chrono::steady_clock;
  const auto now = steady_clock::now();
  const bool is_recent = now - named.named < std::chrono::milliseconds(options_.nomination_ms);
  Eviction eviction = EvictionOf(named);
  for (const auto end = now + std::chrono::milliseconds(options_.eviction_wait_ms);
       eviction == Eviction::kNotBegun && is_recent && steady_clock::now() < end;) {
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
    eviction = EvictionOf(named);
  }
  if (is_candidate(named.node)) {
    if (eviction == Eviction::kUnderWay) return std::string();
    absl::MutexLock lock(&mu_);
    if (Nomination* nomination = nominated_.Find(uid)) nomination->named = now;
    return named.node;
  }
  const auto held = HeldBy(named.victims, named.node);
  bool fits = false;
  sink_->ledger().Read([&](const ClusterState& state) { fits = FitsWithout(state, named.node, held, preemption.pod.pod); });
  const bool is_leaving = eviction != Eviction::kNotBegun && !held.empty();
  if (fits && (is_leaving || is_recent)) return std::string();
  return std::nullopt;   // the room is lost, or nobody evicts there
}

absl::StatusOr<std::string> Extender::ChooseVictims(const PreemptionArgs& preemption) {
  const std::string& uid = preemption.pod.pod.id;
  const auto victims_of = [](const PreemptionArgs::Candidate& candidate) {
    std::vector<std::string> uids;
    for (const auto& victim : candidate.victims) uids.push_back(victim.uid);
    return uids;
  };
  if (const std::optional<std::string> again = AnswerAgain(preemption)) return *again;
  // Another instance of Berth, or this one before a restart, named it.
  for (const auto& candidate : preemption.candidates) {
    if (candidate.node != preemption.pod.nominated_node) continue;
    absl::MutexLock lock(&mu_);
    if (nominated_.Find(uid) != nullptr) break;
    return nominated_.Put(uid, {candidate.node, victims_of(candidate), std::chrono::steady_clock::now()}).node;
  }
  // Sort key of kube-scheduler's own choice (pickOneNodeForPreemption); least is best.
  struct Key {
    int64_t violations = 0, highest = 0, sum = 0;
    size_t victims = 0;
    std::string earliest_start;   // of the victims of highest priority; the latest is best
    std::string_view node;
    bool operator<(const Key& o) const {
      if (std::tie(violations, highest, sum, victims) != std::tie(o.violations, o.highest, o.sum, o.victims)) {
        return std::tie(violations, highest, sum, victims) < std::tie(o.violations, o.highest, o.sum, o.victims);
      }
      return earliest_start != o.earliest_start ? earliest_start > o.earliest_start : node < o.node;
    }
  };
  std::optional<Key> best;
  for (const auto& candidate : preemption.candidates) {
    // Would our filter take the pod there once the victims are gone?
    const auto victims = HeldBy(victims_of(candidate), candidate.node);
    bool fits = false;
    sink_->ledger().Read([&](const ClusterState& state) { fits = FitsWithout(state, candidate.node, victims, preemption.pod.pod); });
    if (!fits) continue;
    Key key;
    key.violations = candidate.violations;
    key.victims = candidate.victims.size();
    key.node = candidate.node;
    bool is_first = true;
    for (const auto& victim : candidate.victims) {
      ClusterFeed::Importance importance{victim.priority.value_or(0), victim.start_time, std::nullopt};
      if (!victim.priority && feed_ != nullptr) importance = feed_->FindImportance(victim.uid).value_or(importance);
      // kube-scheduler shifts priorities so that many negative ones do not look better than one.
      key.sum += int64_t{importance.priority} + (int64_t{1} << 31);
      if (is_first || importance.priority > key.highest) {
        key.highest = importance.priority;
        key.earliest_start = importance.start_time;
      } else if (importance.priority == key.highest && importance.start_time < key.earliest_start) {
        key.earliest_start = importance.start_time;
      }
      is_first = false;
    }
    if (!best || key < *best) best = std::move(key);
  }
  if (!best) return std::string();
  metrics_->preemption_victims->Increment(static_cast<double>(best->victims));
  const auto chosen = std::find_if(preemption.candidates.begin(), preemption.candidates.end(), [&](const auto& c) { return c.node == best->node; });
  absl::MutexLock lock(&mu_);
  return nominated_.Put(uid, {chosen->node, victims_of(*chosen), std::chrono::steady_clock::now()}).node;
}

// --- Bind ----------------------------------------------------------------------------------------------------------

absl::StatusOr<Pod> Extender::FindPod(const std::string& namespace_name, const std::string& name, const std::string& uid) {
  {
    absl::MutexLock lock(&mu_);
    if (const Decided* decided = decided_.Find(uid)) return decided->pod;
  }
  BERTH_ASSIGN_OR_RETURN(const ApiClient::Answer answer, client_->Call("GET", PodPath(namespace_name, name), {}, "", options_.bind_timeout_ms));
  if (!answer.is_ok()) return absl::NotFoundError(ApiMessage(answer));
  simdjson::dom::parser parser;
  BERTH_ASSIGN_OR_RETURN(const JsonObject object, ParseObject(parser, answer.body, "Pod"));
  KubePod pod;
  BERTH_RETURN_IF_ERROR(PodFromJson(object, "Pod", &pod));
  names_->KeepOf(&pod.pod);
  BERTH_RETURN_IF_ERROR(ValidatePod("Pod", pod.pod));
  if (pod.pod.id != uid) return absl::FailedPreconditionError(fmt::format("PodUID is {}, but pod {} is another one now", Quoted(uid), DisplayName(pod)));
  return pod.pod;
}

absl::StatusOr<std::string> Extender::Bind(JsonObject body) {
  BindingArgs args;
  BERTH_RETURN_IF_ERROR(ReadBindingArgs(body, &args));
  if (client_ == nullptr) return absl::FailedPreconditionError("Berth knows no API server: give --kubeconfig or --in-cluster, or leave bindVerb out");
  BERTH_RETURN_IF_ERROR(CheckReady());
  // One bind of a pod at a time; a repeated call waits for the one before it.
  {
    absl::MutexLock lock(&mu_);
    while (binding_.contains(args.uid)) bound_.Wait(&mu_);
    binding_.insert(args.uid);
  }
  struct Done {
    Extender* self;
    const std::string& uid;
    ~Done() {
      absl::MutexLock lock(&self->mu_);
      self->binding_.erase(uid);
      self->bound_.SignalAll();
    }
  } done{this, args.uid};

  std::optional<PodInfo> info = sink_->ledger().FindPod(args.uid);
  Decided decided;
  {
    absl::MutexLock lock(&mu_);
    const auto reserved = reserved_.find(args.uid);
    const bool is_by_decision = reserved != reserved_.end() && reserved->second == Reserved::kByDecision;
    if (reserved != reserved_.end()) reserved_.erase(reserved);   // it is this call's now
    if (info && info->node != args.node && is_by_decision) {      // kube-scheduler has overruled it
      sink_->Forget(args.uid).status().IgnoreError();
      info.reset();
    }
    if (const Decided* known = decided_.Find(args.uid)) decided = *known;
  }
  if (info && info->node != args.node) return absl::FailedPreconditionError(fmt::format("already on {}", info->node));
  if (info && info->phase == PodPhase::kConfirmed) return WriteError({});
  Pod pod;
  DeviceSet devices = 0;
  if (info) {
    pod = std::move(info->pod);
    devices = info->devices;
  } else {
    BERTH_ASSIGN_OR_RETURN(pod, FindPod(args.namespace_name, args.name, args.uid));
    BERTH_RETURN_IF_ERROR(ReserveForBind(pod, args.node, &devices, &decided));
  }
  std::string explanation;
  if (!decided.policy.empty()) {
    explanation = "{";
    AppendField("policy", decided.policy, &explanation);
    if (!decided.model_version.empty()) AppendField("model_version", decided.model_version, &explanation);
    AppendNumber("score", decided.score, &explanation);
    AppendNumber("generation", decided.generation, &explanation);
    if (decided.node == args.node && !decided.runner_up.empty()) {
      AppendField("runner_up", decided.runner_up, &explanation);
      AppendNumber("runner_up_score", decided.runner_up_score, &explanation);
    } else if (decided.node != args.node && !decided.node.empty()) {
      AppendField("preferred", decided.node, &explanation);   // other scores of kube-scheduler outweighed ours
    }
    explanation += '}';
  }
  bool is_unknown = false;
  // The time that was waited above may have cost the lead.
  absl::Status posted = CheckReady();
  if (posted.ok()) posted = PostBinding(args.namespace_name, args.name, pod, args.node, devices, explanation, &is_unknown);
  Log("bind", [&](std::string* line) {
    AppendField("pod", fmt::format("{}/{}", args.namespace_name, args.name), line);
    AppendField("uid", args.uid, line);
    AppendField("node", args.node, line);
    AppendField("devices", FormatDevices(devices), line);
    AppendField("result", posted.ok() ? "bound" : is_unknown ? "unknown" : "refused", line);
    AppendField("error", posted.ok() ? std::string_view() : MessageOf(posted), line);
  });
  if (!posted.ok() && is_unknown) {   // the reservation stays until the watch, or a repeated bind, tells
    absl::MutexLock lock(&mu_);
    if (settled_.Find(args.uid) == nullptr) reserved_[args.uid] = Reserved::kByBrokenBind;
  } else if (!posted.ok()) {
    sink_->Forget(args.uid).status().IgnoreError();
  }
  BERTH_RETURN_IF_ERROR(posted);
  return WriteError({});
}

absl::Status Extender::ReserveForBind(const Pod& pod, const std::string& node, DeviceSet* devices, Decided* decided) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(options_.bind_timeout_ms / 2);
  while (true) {
    absl::Status status = absl::NotFoundError(fmt::format("{} is not known yet", Quoted(node)));
    bool has_victims = false;
    {
      absl::MutexLock lock(&mu_);
      Decider& decider = DeciderInUse();
      sink_->ledger().Read([&](const ClusterState& state) {
        const std::optional<NodeId> id = state.FindNode(node);
        if (!id) return;
        Weighed weighed;
        decider.Weigh(state, pod, SeedOf(pod.id), {&*id, 1}, &weighed);
        const std::optional<Constraint>& constraint = weighed.verdicts[0].refused;
        status = constraint ? absl::ResourceExhaustedError(std::string(RefusalText(*constraint))) : absl::OkStatus();
        *devices = weighed.devices;
        decided->score = weighed.verdicts[0].score;
        decided->generation = state.generation();
      });
      decided->policy = policy_->info().name;
      decided->model_version = policy_->info().version;
      const Nomination* nomination = nominated_.Find(pod.id);
      has_victims = nomination != nullptr && nomination->node == node && !HeldBy(nomination->victims, node).empty();
    }
    if (status.ok()) status = sink_->Assume(pod, node, *devices).status();
    // kube-scheduler knows of its victims' end before our watch does.
    if (status.ok() || !has_victims || std::chrono::steady_clock::now() > end) return status;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
}

absl::Status Extender::PostBinding(const std::string& namespace_name, const std::string& name, const Pod& pod, const std::string& node,
                                   DeviceSet devices, const std::string& explanation, bool* is_unknown) {
  const std::string binding = WriteBinding(namespace_name, name, pod.id, node, explanation, FormatDevices(devices));
  const auto answer = client_->Call("POST", PodPath(namespace_name, name) + "/binding", binding, "application/json", options_.bind_timeout_ms);
  if (answer.ok() && answer->is_ok()) return absl::OkStatus();
  const absl::Status failed = answer.ok() ? absl::FailedPreconditionError(ApiMessage(*answer)) : answer.status();
  // 409 has many reasons, and a call that broke may have come through: the pod itself tells.
  const bool is_open = !answer.ok() || answer->status == 409 || answer->status >= 500;
  if (!is_open) return failed;
  const auto pod_answer = client_->Call("GET", PodPath(namespace_name, name), {}, "", options_.bind_timeout_ms);
  if (pod_answer.ok() && pod_answer->status == 404) return failed;
  simdjson::dom::parser parser;
  KubePod now;
  if (!pod_answer.ok() || !pod_answer->is_ok()) {
    *is_unknown = true;
    return failed;
  }
  const auto object = ParseObject(parser, pod_answer->body, "Pod");
  if (!object.ok() || !PodFromJson(*object, "Pod", &now).ok()) {
    *is_unknown = true;
    return failed;
  }
  if (now.pod.id == pod.id && now.node == node) return absl::OkStatus();
  // A POST that broke may still be on its way: not bound now is no proof that it won't be.
  *is_unknown = !answer.ok() && now.pod.id == pod.id && now.node.empty();
  return failed;
}

}  // namespace berth::kubernetes

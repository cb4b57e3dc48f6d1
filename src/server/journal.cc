#include "server/journal.h"

#include <algorithm>

#include "base/status.h"
#include "berth/journal/v1/journal.pb.h"
#include "fmt/format.h"

namespace berth {
namespace {

namespace pb = journal::v1;

// Keys: "n/" node name, "p/" pod id, "f/" sequence number (16 hex digits, so that they sort), "m/starts".
constexpr char kStarts[] = "m/starts";

std::string FinishedKey(uint64_t sequence) { return fmt::format("f/{:016x}", sequence); }

void AnswerToRecord(const KeptAnswer& answer, pb::Answer* out) {
  out->set_idempotency_key(answer.key);
  out->set_fingerprint_low(answer.fingerprint[0]);
  out->set_fingerprint_high(answer.fingerprint[1]);
  DecisionToWire(answer.decision, out->mutable_decision());
}

KeptAnswer AnswerFromRecord(const pb::Answer& in) {
  return {in.idempotency_key(), {in.fingerprint_low(), in.fingerprint_high()}, DecisionFromWire(in.decision())};
}

}  // namespace

void Journal::Batch::PutNode(const Node& node, uint64_t order) {
  pb::NodeRecord record;
  NodeToWire(node, record.mutable_node());
  record.set_order(order);
  record.SerializeToString(&value_);
  batch_.Put("n/" + node.name, value_);
}

void Journal::Batch::DeleteNode(const std::string& name) { batch_.Delete("n/" + name); }

void Journal::Batch::PutPod(const PodInfo& info, const KeptAnswer* answer) {
  static thread_local pb::PodRecord record;  // keeps its memory
  record.Clear();
  PodToWire(info.pod, record.mutable_pod());
  record.set_node(info.node);
  record.set_devices(info.devices);
  record.set_is_confirmed(info.phase == PodPhase::kConfirmed);
  if (answer != nullptr) AnswerToRecord(*answer, record.mutable_answer());
  record.SerializeToString(&value_);
  key_.assign("p/").append(info.pod.id);
  batch_.Put(key_, value_);
}

void Journal::Batch::DeletePod(const std::string& id) { batch_.Delete("p/" + id); }

void Journal::Batch::PutFinished(uint64_t sequence, const KeptAnswer& answer) {
  pb::Answer record;
  AnswerToRecord(answer, &record);
  record.SerializeToString(&value_);
  batch_.Put(FinishedKey(sequence), value_);
}

void Journal::Batch::DeleteFinished(uint64_t sequence) { batch_.Delete(FinishedKey(sequence)); }

absl::StatusOr<std::unique_ptr<Journal>> Journal::Open(const std::string& dir, bool fsync) {
  leveldb::Options options;
  options.create_if_missing = true;
  options.paranoid_checks = true;
  options.write_buffer_size = size_t{16} << 20;
  leveldb::DB* db = nullptr;
  const leveldb::Status status = leveldb::DB::Open(options, dir, &db);
  if (status.IsCorruption()) return absl::DataLossError("--state: the journal is damaged; it was not changed");
  if (!status.ok()) {
    return absl::FailedPreconditionError(
        fmt::format("--state is {}, accepted: a folder that can be written and that no other server uses", Quoted(dir)));
  }
  return std::unique_ptr<Journal>(new Journal(std::unique_ptr<leveldb::DB>(db), fsync));
}

absl::StatusOr<Journal::Content> Journal::Load() {
  Content content;
  std::vector<std::pair<uint64_t, Node>> nodes;
  leveldb::ReadOptions options;
  options.verify_checksums = true;
  options.fill_cache = false;
  const std::unique_ptr<leveldb::Iterator> it(db_->NewIterator(options));
  const auto damaged = [](std::string_view what) {
    return absl::DataLossError(fmt::format("--state: a record of {} can't be read; the journal was not changed", what));
  };
  for (it->SeekToFirst(); it->Valid(); it->Next()) {
    const std::string_view key(it->key().data(), it->key().size());
    const int size = static_cast<int>(it->value().size());
    if (key == kStarts) {
      content.starts = std::strtoull(it->value().ToString().c_str(), nullptr, 10);
    } else if (key.starts_with("n/")) {
      pb::NodeRecord record;
      Node node;
      if (!record.ParseFromArray(it->value().data(), size) || !NodeFromWire(record.node(), &node).ok()) return damaged("a node");
      nodes.emplace_back(record.order(), std::move(node));
    } else if (key.starts_with("p/")) {
      pb::PodRecord record;
      KeptPod pod;
      if (!record.ParseFromArray(it->value().data(), size) || !PodFromWire(record.pod(), &pod.info.pod).ok()) return damaged("a pod");
      pod.info.node = record.node();
      pod.info.devices = record.devices();
      pod.info.phase = record.is_confirmed() ? PodPhase::kConfirmed : PodPhase::kAssumed;
      if (record.has_answer()) pod.answer = AnswerFromRecord(record.answer());
      content.pods.push_back(std::move(pod));
    } else if (key.starts_with("f/")) {
      pb::Answer record;
      if (!record.ParseFromArray(it->value().data(), size)) return damaged("an answer");
      content.finished.emplace_back(std::strtoull(std::string(key.substr(2)).c_str(), nullptr, 16), AnswerFromRecord(record));
    }
  }
  if (!it->status().ok()) return damaged("the journal");
  std::stable_sort(nodes.begin(), nodes.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  for (auto& [order, node] : nodes) content.nodes.push_back(std::move(node));
  Batch batch;
  batch.batch_.Put(kStarts, fmt::format("{}", content.starts + 1));
  BERTH_RETURN_IF_ERROR(Write(batch));
  return content;
}

absl::Status Journal::Write(Batch& batch) {
  leveldb::WriteOptions options;
  options.sync = fsync_;
  const leveldb::Status status = db_->Write(options, &batch.batch_);
  if (status.ok()) return absl::OkStatus();
  return absl::UnavailableError("the journal can't be written");
}

}  // namespace berth

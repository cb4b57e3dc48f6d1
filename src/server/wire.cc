#include "server/wire.h"

#include <bit>

#include "base/rng.h"
#include "base/status.h"
#include "fmt/format.h"

namespace berth {
namespace {

constexpr int kMaxList = 256;          // entries of one list; the domain's own limit, before anything is copied
constexpr int kMaxReported = 1000;     // pods of one list of a report

absl::Status CheckList(std::string_view field, int size, int most) {
  if (size <= most) return absl::OkStatus();
  return InvalidField(fmt::format("{} (count)", field), fmt::format("{}", size), fmt::format("0 to {}", most));
}

// Two lanes of multiply-and-mix over 64-bit words; text is length, then bytes.
class Mixer {
 public:
  void Add(uint64_t word) {
    low_ = SplitMix64(low_ ^ word);
    high_ = SplitMix64(high_ + word * 0x9fb21c651e98df25ULL);
  }
  void AddText(std::string_view text) {
    Add(text.size());
    while (!text.empty()) {
      uint64_t word = 0;
      const size_t part = std::min<size_t>(8, text.size());
      for (size_t i = 0; i < part; ++i) word |= uint64_t{static_cast<unsigned char>(text[i])} << (8 * i);
      Add(word);
      text.remove_prefix(part);
    }
  }
  void AddDouble(double value) { Add(std::bit_cast<uint64_t>(value)); }
  Fingerprint result() const { return {low_, high_}; }

 private:
  uint64_t low_ = 0x6265727468ULL, high_ = 0x706c616365ULL;
};

void ExtendedFromWire(const google::protobuf::RepeatedPtrField<v1::ExtendedResource>& wire, std::vector<ExtendedResource>* out) {
  out->reserve(static_cast<size_t>(wire.size()));
  for (const v1::ExtendedResource& e : wire) out->push_back({e.name(), e.amount()});
}

void LabelsFromWire(const google::protobuf::RepeatedPtrField<v1::Label>& wire, std::vector<LabelMatch>* out) {
  out->reserve(static_cast<size_t>(wire.size()));
  for (const v1::Label& l : wire) out->push_back({l.key(), l.value()});
}

Coordinates CoordinatesFromWire(const v1::Coordinates& c) { return {c.x_ms(), c.y_ms(), c.z_ms(), c.height_ms()}; }

void CoordinatesToWire(const Coordinates& c, v1::Coordinates* wire) {
  wire->set_x_ms(c.x_ms);
  wire->set_y_ms(c.y_ms);
  wire->set_z_ms(c.z_ms);
  wire->set_height_ms(c.height_ms);
}

absl::StatusOr<TaintEffect> EffectFromWire(std::string_view field, v1::TaintEffect effect) {
  switch (effect) {
    case v1::TAINT_EFFECT_NO_SCHEDULE: return TaintEffect::kNoSchedule;
    case v1::TAINT_EFFECT_PREFER_NO_SCHEDULE: return TaintEffect::kPreferNoSchedule;
    case v1::TAINT_EFFECT_NO_EXECUTE: return TaintEffect::kNoExecute;
    default: return InvalidField(field, fmt::format("{}", static_cast<int>(effect)), "NO_SCHEDULE (1), PREFER_NO_SCHEDULE (2) or NO_EXECUTE (3)");
  }
}

v1::TaintEffect EffectToWire(TaintEffect effect) {
  switch (effect) {
    case TaintEffect::kNoSchedule: return v1::TAINT_EFFECT_NO_SCHEDULE;
    case TaintEffect::kPreferNoSchedule: return v1::TAINT_EFFECT_PREFER_NO_SCHEDULE;
    case TaintEffect::kNoExecute: return v1::TAINT_EFFECT_NO_EXECUTE;
  }
  return v1::TAINT_EFFECT_UNSPECIFIED;
}

template <class Field>
void DevicesToWire(DeviceSet devices, Field* field) {
  for (DeviceSet bits = devices; bits != 0; bits &= bits - 1) field->Add(static_cast<uint32_t>(std::countr_zero(bits)));
}

}  // namespace

Fingerprint FingerprintOf(const Pod& pod, uint64_t seed) {
  Mixer mixer;
  mixer.Add(seed);
  mixer.AddText(pod.id);
  const PodRequest& r = pod.request;
  mixer.Add(static_cast<uint64_t>(r.cpu_milli));
  mixer.Add(static_cast<uint64_t>(r.mem_bytes));
  mixer.Add(uint64_t{static_cast<uint32_t>(r.gpu_count)} << 32 | static_cast<uint32_t>(r.gpu_milli));
  mixer.Add(r.gpu_models.size());
  for (const std::string& model : r.gpu_models) mixer.AddText(model);
  mixer.Add(r.extended.size());
  for (const ExtendedResource& e : r.extended) {
    mixer.AddText(e.name);
    mixer.Add(static_cast<uint64_t>(e.amount));
  }
  mixer.Add(pod.node_selector.size());
  for (const LabelMatch& l : pod.node_selector) {
    mixer.AddText(l.key);
    mixer.AddText(l.value);
  }
  mixer.Add(pod.tolerations.size());
  for (const Toleration& t : pod.tolerations) {
    mixer.AddText(t.key);
    mixer.AddText(t.value);
    mixer.Add((t.exists ? 1u : 0u) | (t.effect ? 2u + static_cast<uint64_t>(*t.effect) : 0u) << 1);
  }
  for (double v : {pod.origin.x_ms, pod.origin.y_ms, pod.origin.z_ms, pod.origin.height_ms}) mixer.AddDouble(v);
  mixer.AddText(pod.zone);
  mixer.AddText(pod.rack);
  return mixer.result();
}

absl::Status PodFromWire(const v1::Pod& wire, Pod* pod) {
  BERTH_RETURN_IF_ERROR(CheckList("pod.gpu_models", wire.gpu_models_size(), kMaxList));
  BERTH_RETURN_IF_ERROR(CheckList("pod.extended", wire.extended_size(), kMaxExtendedNames));
  BERTH_RETURN_IF_ERROR(CheckList("pod.node_selector", wire.node_selector_size(), kMaxList));
  BERTH_RETURN_IF_ERROR(CheckList("pod.tolerations", wire.tolerations_size(), kMaxList));
  pod->id = wire.id();
  PodRequest& r = pod->request;
  r.cpu_milli = wire.cpu_milli();
  r.mem_bytes = wire.mem_bytes();
  r.gpu_count = wire.gpu_count();
  r.gpu_milli = wire.gpu_milli();
  r.gpu_models.assign(wire.gpu_models().begin(), wire.gpu_models().end());
  r.extended.clear();
  pod->node_selector.clear();
  pod->tolerations.clear();
  ExtendedFromWire(wire.extended(), &r.extended);
  LabelsFromWire(wire.node_selector(), &pod->node_selector);
  for (const v1::Toleration& t : wire.tolerations()) {
    Toleration& toleration = pod->tolerations.emplace_back(Toleration{t.key(), t.value(), t.exists(), std::nullopt});
    if (t.effect() == v1::TAINT_EFFECT_UNSPECIFIED) continue;
    BERTH_ASSIGN_OR_RETURN(toleration.effect, EffectFromWire("pod.tolerations.effect", t.effect()));
  }
  pod->origin = wire.has_origin() ? CoordinatesFromWire(wire.origin()) : Coordinates{};
  pod->zone = wire.zone();
  pod->rack = wire.rack();
  return absl::OkStatus();
}

absl::Status NodeFromWire(const v1::Node& wire, Node* node) {
  BERTH_RETURN_IF_ERROR(CheckList("node.extended", wire.extended_size(), kMaxExtendedNames));
  BERTH_RETURN_IF_ERROR(CheckList("node.labels", wire.labels_size(), kMaxList));
  BERTH_RETURN_IF_ERROR(CheckList("node.taints", wire.taints_size(), kMaxList));
  *node = Node();
  node->name = wire.name();
  node->cpu_milli = wire.cpu_milli();
  node->mem_bytes = wire.mem_bytes();
  node->gpu_count = wire.gpu_count();
  node->gpu_model = wire.gpu_model();
  ExtendedFromWire(wire.extended(), &node->extended);
  if (wire.has_max_pods()) node->max_pods = wire.max_pods();
  LabelsFromWire(wire.labels(), &node->labels);
  for (const v1::Taint& t : wire.taints()) {
    BERTH_ASSIGN_OR_RETURN(const TaintEffect effect, EffectFromWire("node.taints.effect", t.effect()));
    node->taints.push_back({t.key(), t.value(), effect});
  }
  node->is_unschedulable = wire.is_unschedulable();
  node->zone = wire.zone();
  node->rack = wire.rack();
  if (wire.has_position()) node->position = CoordinatesFromWire(wire.position());
  if (wire.has_weight()) node->weight = wire.weight();
  return absl::OkStatus();
}

absl::Status RunningPodFromWire(const v1::RunningPod& wire, RunningPod* running) {
  BERTH_RETURN_IF_ERROR(PodFromWire(wire.pod(), &running->pod));
  running->node = wire.node();
  running->devices = 0;
  for (uint32_t device : wire.devices()) {
    if (device >= kMaxDevices || (running->devices >> device & 1) != 0) {
      return InvalidField("devices", fmt::format("{}", device), fmt::format("indices from 0 to {}, each once", kMaxDevices - 1));
    }
    running->devices |= DeviceSet{1} << device;
  }
  return absl::OkStatus();
}

absl::Status ChangeFromWire(const v1::Change& wire, Change* change) {
  switch (wire.change_case()) {
    case v1::Change::kUpsertNode: {
      UpsertNode upsert;
      BERTH_RETURN_IF_ERROR(NodeFromWire(wire.upsert_node(), &upsert.node));
      *change = std::move(upsert);
      return absl::OkStatus();
    }
    case v1::Change::kRemoveNode: *change = DropNode{wire.remove_node()}; return absl::OkStatus();
    case v1::Change::kRunPod: {
      RunPod run;
      BERTH_RETURN_IF_ERROR(RunningPodFromWire(wire.run_pod(), &run.running));
      *change = std::move(run);
      return absl::OkStatus();
    }
    case v1::Change::kEndPod: *change = EndPod{wire.end_pod()}; return absl::OkStatus();
    case v1::Change::kResponse: *change = ReportResponse{wire.response().node(), wire.response().response_us()}; return absl::OkStatus();
    case v1::Change::CHANGE_NOT_SET: break;
  }
  return InvalidField("change", "", "one of upsert_node, remove_node, run_pod, end_pod, response");
}

DecisionRecord DecisionFromWire(const v1::Decision& wire) {
  DecisionRecord record;
  record.pod_id = wire.pod_id();
  record.node = wire.node();
  record.policy = std::make_shared<const PolicyName>(PolicyName{wire.policy(), wire.model_version()});
  record.seed = wire.seed();
  Decision& d = record.decision;
  d.is_placed = wire.is_placed();
  for (uint32_t device : wire.devices()) d.devices |= DeviceSet{1} << (device & 31u);
  d.generation = wire.generation();
  d.score = wire.score();
  d.has_runner_up = wire.has_runner_up();
  record.runner_up = wire.runner_up().node();
  d.runner_up_score = wire.runner_up().score();
  d.tied_nodes = wire.tied_nodes();
  d.feasible_nodes = wire.feasible_nodes();
  for (const v1::Refusal& refusal : wire.refused()) {
    for (int i = 0; i < kConstraintCount; ++i) {
      if (ConstraintName(static_cast<Constraint>(i)) == std::string_view(refusal.constraint())) d.refused[static_cast<size_t>(i)] = refusal.nodes();
    }
  }
  return record;
}

void PodToWire(const Pod& pod, v1::Pod* wire) {
  wire->set_id(pod.id);
  const PodRequest& r = pod.request;
  wire->set_cpu_milli(r.cpu_milli);
  wire->set_mem_bytes(r.mem_bytes);
  wire->set_gpu_count(r.gpu_count);
  wire->set_gpu_milli(r.gpu_milli);
  for (const std::string& model : r.gpu_models) wire->add_gpu_models(model);
  for (const ExtendedResource& e : r.extended) {
    v1::ExtendedResource* out = wire->add_extended();
    out->set_name(e.name);
    out->set_amount(e.amount);
  }
  for (const LabelMatch& l : pod.node_selector) {
    v1::Label* out = wire->add_node_selector();
    out->set_key(l.key);
    out->set_value(l.value);
  }
  for (const Toleration& t : pod.tolerations) {
    v1::Toleration* out = wire->add_tolerations();
    out->set_key(t.key);
    out->set_value(t.value);
    out->set_exists(t.exists);
    if (t.effect) out->set_effect(EffectToWire(*t.effect));
  }
  if (!(pod.origin == Coordinates{})) CoordinatesToWire(pod.origin, wire->mutable_origin());
  wire->set_zone(pod.zone);
  wire->set_rack(pod.rack);
}

void NodeToWire(const Node& node, v1::Node* wire) {
  wire->set_name(node.name);
  wire->set_cpu_milli(node.cpu_milli);
  wire->set_mem_bytes(node.mem_bytes);
  wire->set_gpu_count(node.gpu_count);
  wire->set_gpu_model(node.gpu_model);
  for (const ExtendedResource& e : node.extended) {
    v1::ExtendedResource* out = wire->add_extended();
    out->set_name(e.name);
    out->set_amount(e.amount);
  }
  if (node.max_pods != Node().max_pods) wire->set_max_pods(node.max_pods);
  for (const LabelMatch& l : node.labels) {
    v1::Label* out = wire->add_labels();
    out->set_key(l.key);
    out->set_value(l.value);
  }
  for (const Taint& t : node.taints) {
    v1::Taint* out = wire->add_taints();
    out->set_key(t.key);
    out->set_value(t.value);
    out->set_effect(EffectToWire(t.effect));
  }
  wire->set_is_unschedulable(node.is_unschedulable);
  wire->set_zone(node.zone);
  wire->set_rack(node.rack);
  if (!(node.position == Coordinates{})) CoordinatesToWire(node.position, wire->mutable_position());
  if (node.weight != Node().weight) wire->set_weight(node.weight);
}

void NodeStatusToWire(const ClusterState::NodeRecord& record, v1::NodeStatus* wire) {
  NodeToWire(record.spec, wire->mutable_node());
  wire->set_free_cpu_milli(record.cpu_milli);
  wire->set_free_mem_bytes(record.mem_bytes);
  for (int i = 0; i < record.spec.gpu_count; ++i) wire->add_free_gpu_milli(record.gpu_milli[static_cast<size_t>(i)]);
  wire->set_pods(record.pod_count);
}

void PodStatusToWire(const PodInfo& info, v1::PodStatus* wire) {
  PodToWire(info.pod, wire->mutable_pod());
  wire->set_node(info.node);
  DevicesToWire(info.devices, wire->mutable_devices());
  DevicesToWire(info.lost_devices, wire->mutable_lost_devices());
  wire->set_is_confirmed(info.phase == PodPhase::kConfirmed);
  wire->set_is_orphaned(info.is_orphaned);
}

void DecisionToWire(const DecisionRecord& record, v1::Decision* wire) {
  const Decision& d = record.decision;
  wire->set_pod_id(record.pod_id);
  wire->set_is_placed(d.is_placed);
  wire->set_node(record.node);
  DevicesToWire(d.devices, wire->mutable_devices());
  if (record.policy != nullptr) {
    wire->set_policy(record.policy->name);
    wire->set_model_version(record.policy->version);
  }
  wire->set_generation(d.generation);
  wire->set_score(d.score);
  if (d.has_runner_up) {
    wire->mutable_runner_up()->set_node(record.runner_up);
    wire->mutable_runner_up()->set_score(d.runner_up_score);
  }
  wire->set_tied_nodes(d.tied_nodes);
  wire->set_feasible_nodes(d.feasible_nodes);
  for (int i = 0; i < kConstraintCount; ++i) {
    const uint32_t nodes = d.refused[static_cast<size_t>(i)];
    if (nodes == 0) continue;
    v1::Refusal* refusal = wire->add_refused();
    const std::string_view name = ConstraintName(static_cast<Constraint>(i));
    refusal->set_constraint(name.data(), name.size());
    refusal->set_nodes(nodes);
  }
  wire->set_seed(record.seed);
}

void ReportToWire(const ChangeReport& report, v1::ChangeReport* wire) {
  const auto copy = [](const std::vector<std::string>& ids, auto* field) {
    for (const std::string& id : ids) {
      if (field->size() == kMaxReported) break;
      *field->Add() = id;
    }
  };
  copy(report.orphaned, wire->mutable_orphaned());
  copy(report.recharged, wire->mutable_recharged());
  copy(report.lost_devices, wire->mutable_lost_devices());
  copy(report.moved, wire->mutable_moved());
  copy(report.ended, wire->mutable_ended());
}

void CandidateToWire(const Candidate& candidate, const ClusterState& view, v1::Candidate* wire) {
  wire->set_node(view.node(candidate.node).spec.name);
  wire->set_class_nodes(candidate.class_nodes);
  DevicesToWire(candidate.devices, wire->mutable_devices());
  wire->set_score(candidate.score);
  wire->set_free_cpu_milli(candidate.before.cpu_milli);
  wire->set_free_mem_bytes(candidate.before.mem_bytes);
  for (int i = 0; i < candidate.before.device_count; ++i) wire->add_free_gpu_milli(candidate.before.gpu_milli[static_cast<size_t>(i)]);
}

grpc::Status ToGrpc(const absl::Status& status) {
  if (status.ok()) return grpc::Status::OK;
  return {static_cast<grpc::StatusCode>(status.code()), std::string(MessageOf(status))};
}

}  // namespace berth

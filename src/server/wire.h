// The one translator between the wire (berth.v1) and the domain. Nothing else reads or writes the fields of Pod, Node and
// Decision messages. Numbers pass unchanged; the domain's own checks (ValidatePod, ValidateNode) say what is accepted.
// Thread-safety: pure functions.
#ifndef BERTH_SERVER_WIRE_H_
#define BERTH_SERVER_WIRE_H_

#include <array>
#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "berth/v1/cluster.pb.h"
#include "berth/v1/placement.pb.h"
#include "berth/v1/resource.pb.h"
#include "cluster/ledger.h"
#include "grpcpp/support/status.h"

namespace berth {

// Which policy decided; shared by all decisions that it made.
struct PolicyName {
  std::string name;
  std::string version;
};

// A decision with names in place of indices: what is answered, kept and replayed.
struct DecisionRecord {
  std::string pod_id;
  std::string node, runner_up;
  Decision decision;                 // its NodeIds mean nothing after the call
  std::shared_ptr<const PolicyName> policy;
  uint64_t seed = 0;
};

// 128 bits that tell two requests apart; the same in every process and version.
using Fingerprint = std::array<uint64_t, 2>;
Fingerprint FingerprintOf(const Pod& pod, uint64_t seed);

// Errors: INVALID_ARGUMENT for what only the wire can get wrong: an unknown enum value, too long a list, a device index.
absl::Status PodFromWire(const v1::Pod& wire, Pod* pod);
absl::Status NodeFromWire(const v1::Node& wire, Node* node);
absl::Status RunningPodFromWire(const v1::RunningPod& wire, RunningPod* running);
absl::Status ChangeFromWire(const v1::Change& wire, Change* change);
DecisionRecord DecisionFromWire(const v1::Decision& wire);

void PodToWire(const Pod& pod, v1::Pod* wire);
void NodeToWire(const Node& node, v1::Node* wire);
void NodeStatusToWire(const ClusterState::NodeRecord& record, v1::NodeStatus* wire);
void PodStatusToWire(const PodInfo& info, v1::PodStatus* wire);
void DecisionToWire(const DecisionRecord& record, v1::Decision* wire);
void ReportToWire(const ChangeReport& report, v1::ChangeReport* wire);
void CandidateToWire(const Candidate& candidate, const ClusterState& view, v1::Candidate* wire);

// The code is the same number; the message is sent as it is.
grpc::Status ToGrpc(const absl::Status& status);

}  // namespace berth

#endif  // BERTH_SERVER_WIRE_H_

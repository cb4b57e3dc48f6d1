// Prices: what the free devices of a node are worth, from a fluid linear program over what is still to come.
//
// The program asks how the free devices of the whole cluster would best be filled by the mix of pods that is expected. Classes are
// (GPU milli, models allowed); pods of several devices are classes with their cpu and memory too. Devices are counted by group of
// GPU models that no class tells apart, and by free milli on a grid of 10. A column is one way to fill one device, found by a
// knapsack at the present prices; or, for a node with f wholly free devices, c pods of one multi-device class and f - c n single
// devices. Demand is concave: the first 60 % of a class's expected arrivals count whole, later ones less and less, so that no
// class is starved and prices do not vanish while there is room. While a model has slack the program does not mind who takes it, but
// what is spent early is gone and waiting costs nothing; so the share of classes that insist on a model, and of classes of several
// devices, is multiplied by a safety factor, which makes the others take such devices last (docs/decisions/0008); the sum of the
// demand stays what is to come. Cpu and memory of single devices are not in the program.
//
//   maximise   sum_k sum_j w_k s_j u_kj            w_k = p_k milli_k / P, P = sum_k p_k milli_k,
//                                                p_k with its safety factor
//   subject to u_kj <= H (e_j - e_j-1)             H = GPUs still to arrive
//              sum of fillings of (group g, residue r) <= number of such devices (and what node columns add to whole ones)
//              sum over columns of copies of k >= p_k / P sum_j u_kj
//
// The duals of the class rows are the class prices nu; v_g(r) is the best value of residue r under them. They are kept smooth:
// each solve moves them half way. Columns are kept, so that a solve after the cluster has moved on takes 1 to 15 ms.
// Source: device-level fluid program with concave demand and multi-device rows; measured in docs/quality.md.
// Thread-safety: none; Value is const and cheap: O(devices + multi-device classes of the node).
#ifndef BERTH_POLICY_POTENTIAL_PRICES_H_
#define BERTH_POLICY_POTENTIAL_PRICES_H_

#include <cstdint>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "cluster/cluster_state.h"
#include "cluster/node_state.h"
#include "lp/linear_program.h"
#include "policy/potential/fragment.h"

namespace berth {

struct PriceOptions {
  double typed_safety = 2.5;     // of classes that insist on GPU models
  double multi_safety = 2;       // of classes of several devices
  double smoothing = 0.5;        // weight of the new prices
  int max_rounds = 40;           // of column generation; what comes out after fewer is a price too
};

class Prices {
 public:
  // `mix` as ResolveMix gives it for `view`; weights on any scale; classes without GPU are left out.
  Prices(const PriceOptions& options, const ClusterState& view, const std::vector<ResolvedMixClass>& mix);

  // Solves for what is free in `view`. `to_come_gpus` = GPUs expected to arrive until the horizon, > 0. Errors: those of the
  // solver; the prices from before then stay.
  absl::Status Solve(const ClusterState& view, double to_come_gpus);
  bool is_solved() const { return is_solved_; }

  // Worth of the free devices of a node in this state, in prices per GPU: about its idle GPUs times 0 to 1. 0 before the first
  // solve, and on nodes without GPUs.
  double Value(const Shape& shape, const NodeState& state) const;

  // For tests and plots.
  double DeviceValue(int32_t gpu_model, int gpu_milli) const;   // v_g(r)
  int groups() const { return groups_; }

 private:
  static constexpr int kGrid = 100;            // cells of a device
  static constexpr int kSegments = 6;

  struct DeviceClass {                         // pods of one device
    int cells = 0;
    uint64_t model_mask = 0;
    double share = 0;                         // its safety factor included
    int row = 0;                               // its coverage
    double nu = 0;
  };
  struct MultiClass {
    int devices = 0;
    ResolvedRequest request;
    double share = 0;                         // its safety factor included
    int row = 0;
    double nu = 0, smooth_nu = 0;
  };
  struct NodeKey {                             // nodes with `full` free devices on which these multi classes fit
    int group = 0, full = 0;
    uint64_t fits = 0;
    friend auto operator<=>(const NodeKey&, const NodeKey&) = default;
    template <class H>
    friend H AbslHashValue(H h, const NodeKey& k) { return H::combine(std::move(h), k.group, k.full, k.fits); }
  };

  int GroupOf(const Shape& shape) const;
  // Whether one pod of the class could run on a node in this state, `full` of whose devices are wholly free.
  static bool Hosts(const Shape& shape, const NodeState& state, int full, const MultiClass& m);
  // Bit m: multi class m could run on the node.
  uint64_t Fits(const Shape& shape, const NodeState& state, int full) const;
  void AddDemand(double weight, double share_per_gpu, int row);
  // Best fillings of all residues of a group at the class prices; `take[r]` = class of the last item, -1 none.
  void Knapsack(int group, std::vector<double>* best, std::vector<int>* take) const;
  int NodeRow(const NodeKey& key);
  void Count(const ClusterState& view);

  const PriceOptions options_;
  std::vector<int> group_of_model_;
  int groups_ = 0;
  std::vector<uint64_t> models_of_group_;      // a model mask of one member
  std::vector<DeviceClass> singles_;
  std::vector<MultiClass> multis_;
  double mix_gpus_ = 0;                        // P, safety factors included

  LinearProgram lp_;
  std::vector<int> demand_columns_;            // kSegments a class, singles first
  std::vector<int> device_rows_;               // [group][cell]
  absl::flat_hash_map<NodeKey, int> node_rows_;
  absl::flat_hash_set<uint64_t> column_hashes_;
  std::vector<double> device_counts_;
  absl::flat_hash_map<NodeKey, double> node_counts_;
  std::vector<double> values_;                 // [group][cell], smoothed
  bool is_solved_ = false;
};

}  // namespace berth

#endif  // BERTH_POLICY_POTENTIAL_PRICES_H_

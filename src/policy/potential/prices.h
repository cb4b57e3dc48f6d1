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
//
// In four parts, so that a solve needs no cluster and may run on another thread: PriceClasses (who asks; for one mix and one list
// of GPU models), FreeDevices (what is free, counted), PriceSolver, and PriceTable (what decisions look up).
#ifndef BERTH_POLICY_POTENTIAL_PRICES_H_
#define BERTH_POLICY_POTENTIAL_PRICES_H_

#include <array>
#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/status/statusor.h"
#include "cluster/cluster_state.h"
#include "cluster/node_state.h"
#include "lp/linear_program.h"
#include "policy/potential/fragment.h"
#include "policy/potential/priced_state.h"

namespace berth {

struct PriceOptions {
  double typed_safety = 2.5;     // of classes that insist on GPU models
  double multi_safety = 2;       // of classes of several devices
  double smoothing = 0.5;        // weight of the new prices
  int max_rounds = 40;           // of column generation; what comes out after fewer is a price too
};

// Nodes with `full` wholly free devices on which these multi classes fit.
struct PricedNodes {
  int group = 0, full = 0;
  uint64_t fits = 0;
  friend auto operator<=>(const PricedNodes&, const PricedNodes&) = default;
};

// What is free in a cluster, counted. Copyable.
struct FreeDevices {
  std::vector<double> devices;                            // [group][cell], those of PricedNodes left out
  std::vector<std::pair<PricedNodes, double>> nodes;      // ascending, each key once
};

// Immutable, thread-safe.
class PriceClasses {
 public:
  static constexpr int kGrid = 100;            // cells of a device
  struct Single {                              // pods of one device
    int cells = 0;
    uint64_t model_mask = 0;
    double share = 0;                          // on the mix's scale
    friend bool operator==(const Single&, const Single&) = default;
  };
  struct Multi {                               // pods of several devices; at most 64 classes, the rarest are left out
    int devices = 0;
    ResolvedRequest request;
    double share = 0;
    friend bool operator==(const Multi&, const Multi&) = default;
  };

  // `mix` as ResolveMix gives it for `view`; weights on any scale; classes without GPU are left out.
  PriceClasses(const ClusterState& view, const std::vector<ResolvedMixClass>& mix);

  const std::vector<Single>& singles() const { return singles_; }
  const std::vector<Multi>& multis() const { return multis_; }
  int groups() const { return groups_; }
  // Whether devices of a group serve a class that asks for these models.
  bool Serves(int group, uint64_t model_mask) const { return model_mask == ~uint64_t{0} || (model_mask & models_of_group_[static_cast<size_t>(group)]) != 0; }

  // Cost: O(devices + multi classes of nodes with a wholly free device).
  PricedState See(const Shape& shape, const NodeState& state) const;
  // Cost: See once a state class.
  FreeDevices Count(const ClusterState& view) const;

  friend bool operator==(const PriceClasses&, const PriceClasses&) = default;

 private:
  int GroupOf(const Shape& shape) const;

  std::vector<Single> singles_;
  std::vector<Multi> multis_;
  std::vector<int64_t> multi_cpu_milli_, multi_mem_bytes_;   // as in their requests, side by side for See
  std::vector<uint64_t> multis_of_group_;      // bit m: the group serves multi class m
  std::vector<int> group_of_model_;            // by GPU model; the last one: devices without a model's name
  std::vector<uint64_t> models_of_group_;      // a model mask of one member
  int groups_ = 0;
};

// The prices of one solve. Immutable, thread-safe. Units: prices per GPU, so that a node is worth about its idle GPUs times 0 to 1.
class PriceTable {
 public:
  // `values` [group][cell], `nu` by multi class.
  PriceTable(std::shared_ptr<const PriceClasses> classes, std::vector<double> values, std::vector<double> nu);

  // Worth of the free devices of a node; `state` as classes().See gives it. Cost: one look-up a partly free device, and few more.
  double Value(const PricedState& state) const {
    const double* const v = &values_[static_cast<size_t>(state.group) * (PriceClasses::kGrid + 1)];
    double sum = 0;
    for (size_t i = 0; i < state.partly; ++i) sum += v[state.cells[i]];
    return state.full == 0 ? sum : sum + Whole(state, v[PriceClasses::kGrid]);
  }
  double Value(const Shape& shape, const NodeState& state) const { return Value(classes_->See(shape, state)); }
  double DeviceValue(int32_t gpu_model, int gpu_milli) const;   // v_g(r); for tests and plots

  const PriceClasses& classes() const { return *classes_; }
  const std::vector<double>& values() const { return values_; }
  const std::vector<double>& nu() const { return nu_; }

 private:
  struct Offer {           // what a multi class makes all wholly free devices of a node worth
    double value = 0;
    uint64_t bit = 0;      // of the class in PricedState::fits
  };
  double Whole(const PricedState& state, double device) const {
    for (const Offer& offer : offers_[static_cast<size_t>(state.group) * (kMaxDevices + 1) + state.full]) {
      if ((state.fits & offer.bit) != 0) return offer.value;
    }
    return state.full * device;
  }

  std::shared_ptr<const PriceClasses> classes_;
  std::vector<double> values_, nu_;
  std::vector<std::vector<Offer>> offers_;     // [group][full], best first
};

// Not thread-safe, but tied to no thread.
class PriceSolver {
 public:
  PriceSolver(const PriceOptions& options, std::shared_ptr<const PriceClasses> classes);

  // `free` as classes().Count gives it; `to_come_gpus` = GPUs expected to arrive until the horizon, > 0. Null where the mix has no
  // GPU: then nothing is worth anything. Errors: those of the linear program; CANCELLED once `is_cancelled` (may be null) is true,
  // looked at between rounds. After an error the next solve starts from the table before.
  absl::StatusOr<std::shared_ptr<const PriceTable>> Solve(const FreeDevices& free, double to_come_gpus, const std::atomic<bool>* is_cancelled = nullptr);

  const std::shared_ptr<const PriceClasses>& classes() const { return classes_; }

 private:
  struct Demand {
    double share = 0;                          // safety factor included
    int row = 0;                               // its coverage
    double nu = 0;
  };
  struct NodeRow {
    int index = -1;
    double count = 0;
  };

  void AddDemand(double weight, double share_per_gpu, int row);
  // Best fillings of all residues of a group at the class prices; `take[r]` = class of the last item, -1 none.
  void Knapsack(int group, std::vector<double>* best, std::vector<int>* take) const;
  // The row of such nodes, with its columns.
  int NewNodeRow(const PricedNodes& nodes);
  void SetSupply(const FreeDevices& free);

  const PriceOptions options_;
  const std::shared_ptr<const PriceClasses> classes_;
  std::vector<Demand> singles_, multis_;       // as in classes_
  double mix_gpus_ = 0;                        // P, safety factors included

  LinearProgram lp_;
  std::vector<int> demand_columns_;            // kSegments a class, singles first
  std::vector<int> device_rows_;               // [group][cell]
  std::map<PricedNodes, NodeRow> node_rows_;
  absl::flat_hash_set<uint64_t> column_hashes_;
  std::shared_ptr<const PriceTable> last_;
};

}  // namespace berth

#endif  // BERTH_POLICY_POTENTIAL_PRICES_H_

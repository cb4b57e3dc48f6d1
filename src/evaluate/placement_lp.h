// PlacementLp: what no policy can place more than, by a configuration LP with a proof that needs no trust in the LP solver.
//
// Nodes of one shape are taken together: cpu, memory, pod slots and extended resources in sum, devices one by one. A device is
// filled by a pattern, a multiset of GPU shares that fits 1000 milli; patterns are made by column generation, priced by a
// bounded knapsack. A pod of class k on shape s takes one slot of its size on each of its devices:
//   maximise   sum_k value_k supply_k f_k                          f_k in [0, 1]: the share of class k that is placed
//   subject to supply_k f_k <= sum_s x_ks                          every class
//              sum_k request_kr x_ks <= capacity_sr                every shape s, resource r
//              sum_(k of size m) gpus_k x_ks <= sum_c slots_cm y_sc   every shape, size
//              sum_c y_sc <= devices_s                             every shape
//              f_i <= f_j   where j needs no more than i           the no-refusal rows, added where they are violated
// Whatever is placed at one moment satisfies all but the last rows, however it was chosen: pods may be refused. The last rows
// hold on average over arrival orders that are equally likely, and for Poisson arrivals with departures, of whoever never
// refuses a pod that fits: where i is placed, j would have been. They hold exactly for pods that are drawn independently.
//
// Nodes of more than 64 shapes are taken together where cpu and memory are near each other, as if each had what the richest has
// and all had their true sum: that only adds to what can be placed.
//
// The proof is weak duality. From the solver's duals only the prices of classes, resources and rows are taken, made
// non-negative; slot and device prices are computed from them (a knapsack), so that every column, known or not, is covered.
// The sum is an upper bound for any prices, whether the solver was right, and column generation finished, or not.
// Source: Gilmore and Gomory 1961 (patterns), Lasdon 1970 (the bound at any prices).
#ifndef BERTH_EVALUATE_PLACEMENT_LP_H_
#define BERTH_EVALUATE_PLACEMENT_LP_H_

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "cluster/node.h"
#include "cluster/pod.h"

namespace berth {

// True only where every node that can take `hard`, whatever runs there, could take `easy` instead: no more of any resource,
// on no fewer GPU models.
bool NeedsNoMore(const PodRequest& easy, const PodRequest& hard);

struct PlacementLpOptions {
  // Supplies are numbers of pods, so that no device holds more copies of a size than there are pods of it.
  bool limit_copies = true;
  int max_rounds = 1000;      // of column and row generation; a bound that was cut short is a bound
  bool may_refuse_only = false;
};

// An upper bound on sum_k value_k x placed_k, and what came of its computation.
struct PlacementBound {
  double value = 0;            // proven
  // Of the LP as far as its columns and rows were made. Equal to `value` but for rounding where generation has ended.
  double lp_objective = 0;
  std::vector<double> placed;  // share of each class in that solution, 0..1
  int rounds = 0;
  int refusal_rows = 0;
};

struct PlacementBounds {
  PlacementBound may_refuse;
  PlacementBound no_refusal;   // value <= may_refuse.value; equal to it with may_refuse_only
};

// Patterns and rows are kept from one Solve to the next, which makes the next one faster and changes its result by rounding
// alone. Not thread-safe.
class PlacementLp {
 public:
  using Relation = std::function<bool(const PodRequest& easy, const PodRequest& hard)>;

  PlacementLp(std::span<const Node> nodes, std::vector<PodRequest> classes, Relation needs_no_more = NeedsNoMore);

  // `supply` (pods offered) and `value` (of one placed pod) have an entry for each class, >= 0.
  // Errors: INVALID_ARGUMENT another number of entries, one that is negative or not finite; INTERNAL the solver gave up
  // before there was a bound. Cost: a few LPs of K + S (R + M) rows and K S columns, for K classes, S shapes, R resources, M sizes.
  absl::StatusOr<PlacementBounds> Solve(std::span<const double> supply, std::span<const double> value, const PlacementLpOptions& options);

  double gpu_capacity() const { return gpu_capacity_; }   // devices

 private:
  struct Shape {
    Node first;                          // that others were compared with
    Node largest;                        // of each resource what the richest of them has
    std::vector<double> capacity;        // of all, by resource
    double devices = 0;                  // of all
    std::vector<std::vector<int>> patterns;   // slots of each size
  };
  struct Class {
    PodRequest request;
    int size = -1;                       // index into sizes_; -1 = no GPU
    double gpus = 0;                     // slots it takes
    std::vector<double> needs;           // by resource, in the units of Shape::capacity
    std::vector<int> shapes;             // whose empty node can take it
  };
  struct Program;                        // the LP of one Solve

  void ReadNodes(std::span<const Node> nodes);
  void AddNode(const Node& node, double tolerance);
  void ReadClasses(std::vector<PodRequest> requests);

  std::vector<Shape> shapes_;
  std::vector<Class> classes_;
  std::vector<int> sizes_;               // GPU milli of a slot, ascending
  std::vector<std::string> extended_names_;
  std::vector<double> extended_units_;   // the most that a node has of each, so that all figures are of one size
  std::vector<std::vector<int>> no_harder_;   // of each class: those that need no more than it
  std::vector<std::pair<int, int>> rows_;     // refusal rows (hard, easy) that were needed once
  double gpu_capacity_ = 0;
};

}  // namespace berth

#endif  // BERTH_EVALUATE_PLACEMENT_LP_H_

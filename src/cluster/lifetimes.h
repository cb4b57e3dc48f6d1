// How long pods of a class live, learned from nothing but the past: pods that ended, and how old those that run have become.
//
// Ages are cut at 1, 2, 4, ... minutes. Within a cut the hazard (ends a second of life) is taken as constant: ends seen there over seconds of
// life seen there, which counts pods that still run for what they have lived (the piecewise exponential model). A class of few pods leans on
// all classes together: kPriorEnds ends at their hazard are added to its own; and all together begin at one end an hour.
// Not thread-safe. A function of what was observed, in its order.
#ifndef BERTH_CLUSTER_LIFETIMES_H_
#define BERTH_CLUSTER_LIFETIMES_H_

#include <array>
#include <cstdint>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "cluster/node_state.h"

namespace berth {

class Lifetimes {
 public:
  static constexpr int kCuts = 16;             // the last is open: 2^14 minutes, 11 days, and more
  static constexpr double kPriorEnds = 4;
  static constexpr size_t kMostClasses = 4096; // further ones are one class

  // The index of the request's class; makes it.
  uint32_t ClassOf(const ResolvedRequest& request);
  // What its pods ask for; of class 0, those beyond kMostClasses, nothing.
  const ResolvedRequest& RequestOf(uint32_t life) const { return requests_[life]; }
  // A pod was seen to live from one age to the other, in seconds, `from_s` <= `to_s`. Cost: O(cuts between them).
  void Lived(uint32_t life, double from_s, double to_s);
  void Ended(uint32_t life, double age_s);
  // How long a pod of that age still lives on average, seconds. Cost: O(kCuts).
  double MeanRemainingS(uint32_t life, double age_s) const;

 private:
  struct Counts {
    std::array<double, kCuts> lived_s{}, ended{};
  };
  static int CutOf(double age_s);
  static double StartOf(int cut);              // seconds
  double Hazard(const Counts& counts, int cut) const;

  absl::flat_hash_map<ResolvedRequest, uint32_t> index_;
  std::vector<Counts> counts_{1};              // [0]: classes beyond kMostClasses
  std::vector<ResolvedRequest> requests_{1};
  Counts all_;
};

}  // namespace berth

#endif  // BERTH_CLUSTER_LIFETIMES_H_

// All classes of a mix against one node state at once: what fits, what GPU it leaves unused, how often it fits. The numbers are
// those of CanHost and ClassFragment (fragment.h), many times faster: what depends on devices is worked out once for each
// distinct wish of devices and not once a class.
#ifndef BERTH_POLICY_POTENTIAL_MIX_SCAN_H_
#define BERTH_POLICY_POTENTIAL_MIX_SCAN_H_

#include <cstdint>
#include <span>
#include <vector>

#include "policy/pod_mix.h"
#include "policy/potential/fragment.h"

namespace berth {

// Not thread-safe: the results of a Scan live until the next.
class MixScan {
 public:
  static constexpr int kMostCopies = 64;

  void Reset(const ClusterState& view, const PodMix& mix);
  size_t size() const { return weights_.size(); }
  double weight(size_t i) const { return weights_[i]; }
  double root(size_t i) const { return roots_[i]; }                        // sqrt(weight)
  double cpu_milli(size_t i) const { return cpu_milli_[i]; }
  int gpu_count(size_t i) const { return gpu_counts_[i]; }

  // Cost: O(mix + distinct device wishes x devices), no allocation.
  void Scan(const Shape& shape, const NodeState& state);
  bool fits(size_t i) const { return fits_[i] != 0; }                       // CanHost with memory
  double fragment_milli(size_t i) const { return fragment_milli_[i]; }      // ClassFragment with memory
  double idle_milli() const { return idle_milli_; }
  // The expected fragment alone, in GPUs: sum of weight(i) x fragment(i), in the order of the classes; and the least fragment of the
  // classes `common`. Cheaper than a Scan, whose results it leaves as they are.
  struct Fragment {
    double expected = 0, least = 0;   // `least`: all that is idle where no class is common
  };
  Fragment ExpectedFragment(const Shape& shape, const NodeState& state, std::span<const uint32_t> common);
  // How many copies of the class fit side by side, at most kMostCopies, at least 1 where it fits. After a Scan of this state.
  // Cost: O(mix).
  void Count(const NodeState& state);
  double copies(size_t i) const { return copies_[i]; }

 private:
  struct Wish {
    int32_t count = 0, milli = 0;
  };
  static bool Has(const NodeState& state, const Wish& wish) {
    return wish.count <= state.device_count && state.gpu_milli[static_cast<size_t>(state.device_count - wish.count)] >= wish.milli;
  }
  struct Answer {
    double too_small_milli = 0;   // free on devices that are too small
    double copies = 0;
    uint8_t fits = 0;
  };

  std::vector<double> weights_, roots_;
  std::vector<int32_t> gpu_counts_;
  std::vector<double> cpu_milli_, mem_bytes_;   // whole numbers below 2^53
  std::vector<uint32_t> wish_of_;
  std::vector<Wish> wishes_;
  std::vector<Answer> answers_;
  std::vector<std::vector<double>> cpu_on_;   // [GPU model + 1][class]: cpu_milli, infinite where the class does not take the model
  std::vector<double> left_;                  // by wish: what a class that fits leaves unused, in GPUs; scratch of ExpectedFragment
  std::vector<uint8_t> fits_;
  std::vector<double> fragment_milli_, copies_;
  double idle_milli_ = 0;
};

}  // namespace berth

#endif  // BERTH_POLICY_POTENTIAL_MIX_SCAN_H_

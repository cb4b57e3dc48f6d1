// The pods that wait in the queue form, and which of them is tried next.
//
// A pod class waits in arrival order; between classes the order is QueueOptions::order. Only the `window` pods that have waited
// longest are tried. A pod that has waited longer than the aging limit goes before all that have not, in arrival order.
//
// Thread-safety: none; copyable. Cost: Push O(1), Next O(pod classes), Take O(window); no allocation once warm.
#ifndef BERTH_ENV_WAITING_LINE_H_
#define BERTH_ENV_WAITING_LINE_H_

#include <cstdint>
#include <deque>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "workload/workload.h"

namespace berth {

enum class QueueOrder : uint8_t {
  kArrival,    // first come, first tried
  kLargest,    // most GPUs first (without GPUs: most cpu)
  kSmallest,   // fewest GPUs first
  kShortest,   // shortest mean life of the class first; a pod's own life is not known before its end
};
// "arrival", "largest", "smallest", "shortest". Errors: INVALID_ARGUMENT another name.
absl::StatusOr<QueueOrder> ParseQueueOrder(std::string_view name);
std::string_view QueueOrderName(QueueOrder order);

struct QueueOptions {
  QueueOrder order = QueueOrder::kArrival;
  // Pods that may be tried, longest waiting first, new arrivals included; 1 = nobody overtakes, 0 = all. Up to 1e9. A pod that
  // no node could take even if it were empty is not counted.
  int64_t window = 0;
  // Seconds after which a pod goes before all others and a node is held for it; 0 = never. Up to 1e9. Noticed with the first event after.
  double aging_limit_s = 0;
  // Nodes held at a time, for the pods that have aged longest, 1 to 1,000,000. A held node takes no other pod until that one is
  // placed: the reservation of EASY backfilling (Lifka 1995), on the node that has least to free, since no end is known before.
  int64_t held_nodes = 1;

  friend bool operator==(const QueueOptions&, const QueueOptions&) = default;
};
// Errors: INVALID_ARGUMENT naming the option, value and range.
absl::Status ValidateQueueOptions(const QueueOptions& options);

class WaitingLine {
 public:
  static constexpr uint32_t kNone = ~0u;
  struct Entry {
    int64_t arrived_us = 0;
    int64_t life_us = 0;
    uint64_t order = 0;       // grows with the arrivals; 0 = before all
    bool is_counted = false;  // in the statistics
  };

  WaitingLine() = default;
  // `options` are valid.
  WaitingLine(const QueueOptions& options, const std::vector<PodClass>& classes);
  void Clear();

  // `at_front`: before all others; its order must be 0. `in_window`: counts in the window, and may be tried.
  void Push(uint32_t pod_class, const Entry& entry, bool at_front, bool in_window);
  // Removes the pod of the class that has waited longest. Requires one.
  Entry Take(uint32_t pod_class);

  size_t size() const { return size_; }
  const std::deque<Entry>& of(uint32_t pod_class) const { return by_class_[pod_class]; }
  uint32_t classes() const { return static_cast<uint32_t>(by_class_.size()); }
  // Whether a pod that arrives now would be tried.
  bool admits_arrival() const { return window_ == 0 || in_order_.size() < window_; }
  bool IsAged(const Entry& entry, int64_t now_us) const { return now_us - entry.arrived_us > aging_limit_us_; }

  // Whether a waiting pod may be tried.
  bool IsInWindow(const Entry& entry) const { return window_ == 0 || in_order_.size() <= window_ || entry.order <= in_order_[window_ - 1].first; }
  // The class whose first pod goes before all others for which fits(class) is true; kNone when there is none.
  template <class Fits>
  uint32_t Next(int64_t now_us, Fits&& fits) const {
    uint32_t best = kNone;
    for (uint32_t c = 0; c < by_class_.size(); ++c) {
      if (by_class_[c].empty() || !IsInWindow(by_class_[c].front())) continue;
      if (best != kNone && !Precedes(c, best, now_us)) continue;
      if (fits(c)) best = c;
    }
    return best;
  }
  // The class of a pod that has come into the window since and was not tried anywhere yet; kNone when there is none left.
  uint32_t PopEntered();

 private:
  bool Precedes(uint32_t a, uint32_t b, int64_t now_us) const;

  size_t window_ = 0;
  int64_t aging_limit_us_ = kForever;
  std::vector<double> precedence_;             // of each class; less goes first
  std::vector<std::deque<Entry>> by_class_;
  std::deque<std::pair<uint64_t, uint32_t>> in_order_;   // (order, class) of those in the window and behind it; unused without a window
  std::vector<uint32_t> entered_;
  size_t size_ = 0;
};

}  // namespace berth

#endif  // BERTH_ENV_WAITING_LINE_H_

// A node's free devices as prices see them: all that its worth depends on, whatever the prices. Made by PriceClasses::See (prices.h),
// kept beside a state's value, and looked up in a PriceTable once for each new table.
#ifndef BERTH_POLICY_POTENTIAL_PRICED_STATE_H_
#define BERTH_POLICY_POTENTIAL_PRICED_STATE_H_

#include <array>
#include <cstdint>

#include "cluster/pod.h"

namespace berth {

struct PricedState {
  uint64_t fits = 0;                           // bit m: a pod of multi class m could run here; 0 where no device is wholly free
  std::array<uint8_t, kMaxDevices> cells{};    // free of the first `partly` devices that are partly free, in 10 milli, ascending
  uint8_t group = 0, partly = 0, full = 0;     // group of GPU models, partly free devices, wholly free ones
};

}  // namespace berth

#endif  // BERTH_POLICY_POTENTIAL_PRICED_STATE_H_

// Keeps a table by class slot in step with a ClusterState at the cost of what changed since it was last looked at.
#ifndef BERTH_POLICY_CLASS_SYNC_H_
#define BERTH_POLICY_CLASS_SYNC_H_

#include <cstdint>

#include "cluster/cluster_state.h"

namespace berth {

class ClassSync {
 public:
  // Calls one(slot) for every class slot of `view` that may have changed since the last call, or whole(slots) where that is all of
  // them: the first time, for another cluster, and when more changed than there are slots.
  template <class Whole, class One>
  void CatchUp(const ClusterState& view, Whole&& whole, One&& one) {
    const auto slots = static_cast<uint32_t>(view.class_slots());
    const uint64_t behind = view.change_count() - position_;
    if (lineage_ != view.lineage() || behind > ClusterState::kChangeLog || behind > slots) {
      whole(slots);
    } else {
      for (; position_ != view.change_count(); ++position_) one(view.change(position_).value);
    }
    lineage_ = view.lineage();
    position_ = view.change_count();
  }

  // The same where all of them are looked at one by one.
  template <class One>
  void CatchUp(const ClusterState& view, One&& one) {
    CatchUp(view, [&](uint32_t slots) { for (uint32_t slot = 0; slot < slots; ++slot) one(slot); }, one);
  }

 private:
  uint64_t lineage_ = 0;
  uint64_t position_ = 0;
};

}  // namespace berth

#endif  // BERTH_POLICY_CLASS_SYNC_H_

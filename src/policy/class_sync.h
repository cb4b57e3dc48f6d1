// Keeps a table by class slot in step with a ClusterState at the cost of what changed since it was last looked at.
#ifndef BERTH_POLICY_CLASS_SYNC_H_
#define BERTH_POLICY_CLASS_SYNC_H_

#include <cstdint>

#include "cluster/cluster_state.h"

namespace berth {

class ClassSync {
 public:
  // Calls update(slot) for every class slot of `view` that may have changed since the last call; all of them the first time,
  // for another cluster, or when more changed than there are slots. Returns whether it was all of them.
  template <class Update>
  bool CatchUp(const ClusterState& view, Update&& update) {
    const auto slots = static_cast<uint32_t>(view.class_slots());
    const uint64_t behind = view.change_count() - position_;
    const bool is_whole = lineage_ != view.lineage() || behind > ClusterState::kChangeLog || behind > slots;
    if (is_whole) {
      for (uint32_t slot = 0; slot < slots; ++slot) update(slot);
    } else {
      for (; position_ != view.change_count(); ++position_) update(view.change(position_).value);
    }
    lineage_ = view.lineage();
    position_ = view.change_count();
    return is_whole;
  }

 private:
  uint64_t lineage_ = 0;
  uint64_t position_ = 0;
};

}  // namespace berth

#endif  // BERTH_POLICY_CLASS_SYNC_H_

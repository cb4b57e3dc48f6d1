// Strong identifiers: an index of one kind can't be passed where another kind is wanted.
#ifndef BERTH_BASE_IDS_H_
#define BERTH_BASE_IDS_H_

#include <compare>
#include <cstdint>
#include <functional>
#include <limits>

namespace berth {

template <class Tag, class Rep = uint32_t>
struct StrongId {
  Rep value = std::numeric_limits<Rep>::max();

  constexpr StrongId() = default;
  constexpr explicit StrongId(Rep v) : value(v) {}
  constexpr bool is_valid() const { return value != std::numeric_limits<Rep>::max(); }
  friend constexpr auto operator<=>(StrongId, StrongId) = default;
  template <class H>
  friend H AbslHashValue(H h, StrongId id) {
    return H::combine(std::move(h), id.value);
  }
};

// Dense index of a node inside one ClusterState; reused after the node is removed. The name is the lasting identity.
using NodeId = StrongId<struct NodeTag>;
// Dense index of a state class inside one ClusterState; reused with a new version when its last node has left.
using ClassId = StrongId<struct ClassTag>;
// Counts the changes of a cluster; strictly increasing.
using Generation = uint64_t;

}  // namespace berth

#endif  // BERTH_BASE_IDS_H_

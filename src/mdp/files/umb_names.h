// Names of the files in a UMB archive (version 1). Internal.
#ifndef BERTH_MDP_FILES_UMB_NAMES_H_
#define BERTH_MDP_FILES_UMB_NAMES_H_

#include <bit>

namespace berth::mdp::internal::umb {

static_assert(std::endian::native == std::endian::little, "the arrays of UMB are little-endian");

inline constexpr char kIndex[] = "index.json";
inline constexpr char kStateToChoices[] = "state-to-choices.bin";
inline constexpr char kStateIsInitial[] = "state-is-initial.bin";
inline constexpr char kStateToExitRate[] = "state-to-exit-rate.bin";
inline constexpr char kChoiceToBranches[] = "choice-to-branches.bin";
inline constexpr char kBranchToTarget[] = "branch-to-target.bin";
inline constexpr char kBranchToProbability[] = "branch-to-probability.bin";
inline constexpr char kActionOfChoice[] = "actions/choices/values.bin";
inline constexpr char kActionNames[] = "actions/choices/string-mapping.bin";
inline constexpr char kRewards[] = "annotations/rewards/";
inline constexpr char kLabels[] = "annotations/aps/";
// A group of our own (the specification leaves their names free): what SolutionFile holds. A reward is never looked for
// in it.
inline constexpr char kSolutionGroup[] = "solution";
inline constexpr char kSolution[] = "annotations/solution/";
inline constexpr char kValue[] = "value";
inline constexpr char kLower[] = "lower";
inline constexpr char kUpper[] = "upper";
inline constexpr char kPolicy[] = "policy";
inline constexpr char kOptimal[] = "optimal-actions";

}  // namespace berth::mdp::internal::umb

#endif  // BERTH_MDP_FILES_UMB_NAMES_H_

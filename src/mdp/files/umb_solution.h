// What a solution adds to the UMB archive of its model; solution_file.h says what it holds. Internal.
#ifndef BERTH_MDP_FILES_UMB_SOLUTION_H_
#define BERTH_MDP_FILES_UMB_SOLUTION_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "mdp/files/solution_file.h"
#include "mdp/files/tar.h"
#include "nlohmann/json.hpp"

namespace berth::mdp::internal {

// Errors: INVALID_ARGUMENT the solution is of another model, or holds numbers that are not finite.
absl::Status CheckFits(const SparseMdp& mdp, const SolutionFile& file);

// Parts of index.json: file-data / parameters, and annotations / solution.
nlohmann::json SolutionParameters(const SolutionFile& file);
nlohmann::json SolutionAnnotations(const SolutionFile& file);
// The arrays. The solution fits.
void AddSolution(const SparseMdp& mdp, const SolutionFile& file, TarWriter& tar);

// One bit a value, in whole words of 64.
std::string PackedBits(const std::vector<bool>& values);

// WriteUmb, with a solution or null.
absl::Status WriteUmbWith(const std::string& path, const ModelFile& model, const std::vector<bool>& is_absorbing,
                          const SolutionFile* solution);

}  // namespace berth::mdp::internal

#endif  // BERTH_MDP_FILES_UMB_SOLUTION_H_

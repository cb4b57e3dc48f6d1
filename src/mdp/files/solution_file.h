// A model and its solution in one UMB archive. Every reader of UMB takes it for the model; the solution is a group of
// annotations, "solution", beside the rewards:
//
// - value, lower, upper: [states] float64, as in ModelSolution.
// - policy: [choices] bool, exactly one in every state. optimal-actions: [choices] bool, where they were listed.
// - file-data / parameters / solution of index.json: what was asked (criterion, objective, one-minus-gamma, horizon,
//   epsilon), and the certificate (method, error, stop-reason, sweeps, action-gap, end-components).
//
// A state without actions is an absorbing one with a single choice here (model_file.h), and that choice is its policy.
//
// Untrusted files are safe to read: memory is in proportion to the file. Thread-safe. Cost: O(file).
#ifndef BERTH_MDP_FILES_SOLUTION_FILE_H_
#define BERTH_MDP_FILES_SOLUTION_FILE_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "mdp/criterion.h"
#include "mdp/files/model_file.h"
#include "mdp/solve.h"

namespace berth::mdp {

struct SolutionFile {
  Criterion criterion;
  double epsilon = 0;  // that was wanted
  ModelSolution solution;
};

// `path` ends in .umb. Written under another name and then renamed. The model comes back as WriteModelFile says, the
// solution bit for bit. Errors: as WriteModelFile; INVALID_ARGUMENT also where the solution does not fit the model or
// holds numbers that are not finite.
absl::Status WriteSolutionFile(const std::string& path, const ModelFile& model, const SolutionFile& solution);

// What was written; the policy and the optimal actions are indices among the choices of the state. Whether the bounds
// are true of the model is not checked: that would be to solve it. Errors: NOT_FOUND no such file; RESOURCE_EXHAUSTED
// more than `max_bytes`, or no memory; INVALID_ARGUMENT no archive of a model with a solution, an array of another size
// than index.json says, a number that is not finite, bounds that are not in order or wider than the error, a state
// with no action or with two as its policy.
absl::StatusOr<SolutionFile> ReadSolutionFile(const std::string& path, int64_t max_bytes = int64_t{8} << 30);

}  // namespace berth::mdp

#endif  // BERTH_MDP_FILES_SOLUTION_FILE_H_

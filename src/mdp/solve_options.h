// What every solver of this folder takes and tells beside its answer.
#ifndef BERTH_MDP_SOLVE_OPTIONS_H_
#define BERTH_MDP_SOLVE_OPTIONS_H_

#include <cstdint>
#include <functional>

#include "absl/status/status.h"

namespace berth::mdp {

enum class Objective { kMaximize, kMinimize };

enum class SweepMethod {
  // In place, forwards and backwards in turn, every state divided by its own rate, with Anderson mixing; a certificate
  // every `certificate_interval` sweeps. If its width stops shrinking, the solver goes on with kJacobi by itself. Best
  // where the state moves in small steps, as the free capacity of a node does.
  kGaussSeidel,
  // All states from the old values, with one step length; every sweep brings its own bounds (MacQueen 1966; Odoni
  // 1969). Best where a few steps lead anywhere, as in random graphs.
  kJacobi,
};

// How a stored model is laid out for the sweeps of modified_policy_iteration.h.
enum class Storage {
  kCompressed,  // as it is
  kSell8,       // copied once into rows of eight states side by side: a fifth faster a sweep, worth it for many sweeps
};

enum class StopReason {
  kConverged,       // the certified error is within the tolerance
  kIterationLimit,  // max_sweeps were done; the answer and its certified error are those of the best sweep seen
  kPrecisionLimit,  // double (or the wanted single) precision cannot certify the tolerance; the error says what it can
  kCancelled,       // the progress callback said stop; the answer is the best so far, certified
  kTimeLimit,       // the same, for time
};

// "converged", "iteration limit", "precision limit", "cancelled", "time limit".
const char* StopReasonName(StopReason reason);

struct Progress {
  int64_t sweeps = 0;
  double error = 0;      // certified error now, in the unit of the answer; infinite: none yet
  double tolerance = 0;  // where it has to get
};

struct SolveOptions {
  // Largest wanted certified error, in the unit of the answer: of every value, or of the gain for the average
  // criterion. Finite and >= 0; 0 means "as far as the arithmetic goes".
  double tolerance = 1e-6;
  int64_t max_sweeps = 1'000'000;  // >= 1
  SweepMethod method = SweepMethod::kGaussSeidel;
  int64_t certificate_interval = 4;  // sweeps between certificates, >= 1; kGaussSeidel only
  // Of kGaussSeidel: how many of the last certified points are mixed into the next one, 0 to 50; 0 is off. A mixed
  // point whose certificate is worse is thrown away. Memory: 2 * depth + 4 vectors of num_states() doubles.
  int anderson_depth = 10;
  // Step length of kJacobi as a share of the longest that is stable: below 1 breaks periods.
  double aperiodicity = 0.9;  // above 0, below 1
  // Round the values of the answer to single precision, for a table that is stored so; the error is that of the rounded
  // values.
  bool single_precision_values = false;
  Objective objective = Objective::kMaximize;  // kMinimize: rewards are costs (stored models only)
  // Called at every certificate from the solving thread; false stops the solve.
  std::function<bool(const Progress&)> progress = {};
};

// Errors: INVALID_ARGUMENT that names the option, its value and what is accepted.
absl::Status ValidateOptions(const SolveOptions& options);

}  // namespace berth::mdp

#endif  // BERTH_MDP_SOLVE_OPTIONS_H_

// Discounted models over several processes: policy iteration whose linear equations are solved by the Krylov methods of
// PETSc, the rows of the model split among the ranks of MPI. Built only with BERTH_WITH_PETSC (docs/mdp-mpi.md).
//
//   BERTH_ASSIGN_OR_RETURN(const auto session, RankSession::Start());
//   BERTH_ASSIGN_OR_RETURN(const RankedSolution solution, SolveOverRanks(*session, read, options));
//
// Each outer round (inexact policy iteration, as in Gargiani et al., arXiv 2211.04299, and their madupite): every rank
// finds the best action of its own states, which certifies the values as all solvers here do (sweep.h: the smallest and
// largest d over all ranks, with the rounding); then the equations of that policy are solved, only as far as pays off.
// Values are kept relative to state 0 where no terminal state fixes them.
//
// The certificate of given values is the same on any number of ranks, bit for bit: the sum of a row runs in the order
// of the row, and a minimum has no order. The Krylov method adds up over the ranks, so the values themselves differ
// within the bounds. Equal input on an equal number of ranks gives equal output but for the order in which MPI adds up,
// which it keeps on one machine.
#ifndef BERTH_MDP_PETSC_SOLVE_RANKS_H_
#define BERTH_MDP_PETSC_SOLVE_RANKS_H_

#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "mdp/criterion.h"
#include "mdp/model.h"
#include "mdp/solve_options.h"

namespace berth::mdp {

// MPI and PETSc, from Start to the end of the object: one a process, on the main thread. Start and the destructor wait
// for all ranks. A rank that dies, or a connection that breaks, ends them all: MPI's own rule, which this keeps.
class RankSession {
 public:
  // Errors: INTERNAL where PETSc can't start.
  static absl::StatusOr<std::unique_ptr<RankSession>> Start();
  ~RankSession();
  RankSession(const RankSession&) = delete;
  RankSession& operator=(const RankSession&) = delete;

  int rank() const { return rank_; }
  int size() const { return size_; }
  // Ends all ranks at once, for an error that only this one knows of.
  [[noreturn]] void Abort(int exit_code) const;

 private:
  RankSession() = default;
  int rank_ = 0;
  int size_ = 1;
};

enum class KrylovMethod { kBiCgStab, kGmres };

struct RankedProblem {
  SparseMdp mdp;
  Criterion criterion;
};

struct RankedRound {
  int64_t round = 0;              // rounds done
  double error = 0;               // certified, of the best values so far
  int64_t krylov_iterations = 0;  // so far
};

// Equal on all ranks.
struct RankedOptions {
  double epsilon = 1e-6;      // wanted certified error of every value, finite and >= 0
  int64_t max_rounds = 1000;  // >= 1
  double time_limit_s = std::numeric_limits<double>::infinity();  // above 0; looked at once a round
  KrylovMethod krylov = KrylovMethod::kBiCgStab;
  bool gathers_values = true;
  std::function<void(const RankedRound&)> on_round = {};  // called on rank 0
};

struct RankedSolution {
  // On rank 0 with gathers_values, of all states; elsewhere empty. In the caller's sign, as in DiscountedSolution, but
  // `policy` holds the caller's action numbers; -1: terminal.
  std::vector<double> values, lower, upper;
  std::vector<int32_t> policy;
  // The rest is the same on every rank.
  double error = 0;
  StopReason stop = StopReason::kIterationLimit;
  int64_t rounds = 0;  // policies evaluated
  int64_t krylov_iterations = 0;
  Criterion criterion;
  StateIndex num_states = 0;
  int64_t num_rows = 0, num_transitions = 0;
  int64_t largest_part_bytes = 0;  // what the rank with most keeps of the model and of values, once it is split
};

// Called by all ranks at once. `read` is called on rank 0 alone, which sends every rank its rows and forgets the rest:
// rank 0 needs the memory of the whole model while it reads, the others never do. States are split into runs of about
// equal numbers of transitions; a rank may get none.
//
// Errors, the same on every rank: those of `read`; INVALID_ARGUMENT options and discount; FAILED_PRECONDITION another
// criterion than the discounted one; OUT_OF_RANGE the values overflow. INTERNAL: PETSc failed, perhaps on this rank
// alone; the caller has to Abort. Processes are taken to be of one architecture.
absl::StatusOr<RankedSolution> SolveOverRanks(const RankSession& session,
                                              const std::function<absl::StatusOr<RankedProblem>()>& read,
                                              const RankedOptions& options = {});

}  // namespace berth::mdp

#endif  // BERTH_MDP_PETSC_SOLVE_RANKS_H_

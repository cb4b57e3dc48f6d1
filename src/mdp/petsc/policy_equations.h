// The linear equations of one policy, over all ranks. Internal to src/mdp/petsc.
#ifndef BERTH_MDP_PETSC_POLICY_EQUATIONS_H_
#define BERTH_MDP_PETSC_POLICY_EQUATIONS_H_

#include <petscksp.h>

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "mdp/petsc/model_part.h"
#include "mdp/petsc/solve_ranks.h"

namespace berth::mdp::internal {

// Values of a rank's own states, and behind them copies of those that its rows lead to.
class GhostedValues {
 public:
  explicit GhostedValues(const ModelPart& part)
      : values_(static_cast<size_t>(part.num_states()) + part.ghosts().size(), 0.0) {}
  ~GhostedValues() { VecDestroy(&vector_); }
  GhostedValues(const GhostedValues&) = delete;
  GhostedValues& operator=(const GhostedValues&) = delete;

  PetscErrorCode Create(MPI_Comm ranks, const ModelPart& part);
  // Brings the copies up to date; called by all ranks.
  PetscErrorCode Update();
  double* data() { return values_.data(); }

 private:
  std::vector<double> values_;
  Vec vector_ = nullptr;  // looks at values_
};

// Solves, for the correction x of values with the residual d,
//   alpha x(s) - sum_j w(s,j) (x(j) - x(s)) = d(s),
// by a Krylov method, w the weights of the policy. The rows are used where they are: no matrix is stored.
//
// Constant vectors have the eigenvalue alpha, next to singular where gamma is near one. Where a constant in x is of no
// concern (no terminal state), a multiple of the mean of x is added to every equation: that moves this eigenvalue to
// where the others are, leaves those alone (Brauer, Duke Math. J. 19, 1952), and changes x by a constant only.
class PolicyEquations {
 public:
  struct Solved {
    int64_t iterations = 0;
    bool is_useful = false;  // less of d is left than there was
  };

  // `part` and `policy` (an action index a state of it, -1: terminal) are kept by reference. `scale` multiplies the
  // weights.
  static absl::StatusOr<std::unique_ptr<PolicyEquations>> Create(MPI_Comm ranks, const ModelPart& part,
                                                                 std::span<const int32_t> policy, double scale,
                                                                 double alpha, KrylovMethod method);
  ~PolicyEquations();
  PolicyEquations(const PolicyEquations&) = delete;
  PolicyEquations& operator=(const PolicyEquations&) = delete;

  // Called by all ranks, whenever the policy may have changed too. Until the 2-norm of what is left is below
  // `relative` times that of d, or `absolute`. `residual` and `correction` are of the own states.
  absl::StatusOr<Solved> Solve(std::span<const double> residual, double relative, double absolute,
                               std::span<double> correction);

  // Over all rows of the model: the rate at which a state is left, times `scale`.
  double largest_rate() const { return largest_rate_; }

  // Values that fit in with the rows of `part`, brought up to date.
  absl::Status Update(GhostedValues& values) const;
  absl::Status Create(GhostedValues& values) const;

 private:
  PolicyEquations(MPI_Comm ranks, const ModelPart& part, std::span<const int32_t> policy, double scale, double alpha)
      : ranks_(ranks), part_(part), policy_(policy), scale_(scale), alpha_(alpha), x_(part) {}
  PetscErrorCode Setup(KrylovMethod method);
  PetscErrorCode SolveBy(std::span<const double> residual, double relative, double absolute,
                         std::span<double> correction, Solved& solved);
  PetscErrorCode Multiply(Vec in, Vec out);
  static PetscErrorCode MultiplyShell(Mat matrix, Vec in, Vec out);

  const MPI_Comm ranks_;
  const ModelPart& part_;
  const std::span<const int32_t> policy_;
  const double scale_;
  const double alpha_;
  double largest_rate_ = 0;
  GhostedValues x_;
  std::vector<double> inverse_diagonal_;  // the unknowns are x times the diagonal
  Mat matrix_ = nullptr;
  Vec right_ = nullptr, solution_ = nullptr;
  KSP krylov_ = nullptr;
};

}  // namespace berth::mdp::internal

#endif  // BERTH_MDP_PETSC_POLICY_EQUATIONS_H_

#include "mdp/petsc/policy_equations.h"

#include <algorithm>
#include <cmath>

#include "base/status.h"
#include "fmt/format.h"

namespace berth::mdp::internal {
namespace {

constexpr PetscInt kMaxIterations = 10'000;
// The residual of BiCGStab leaps; PETSc's own limit of 1e4 times the first one ends solves that come right.
constexpr double kDivergence = 1e8;
// Less than this left of the residual is worth a step.
constexpr double kUsefulShare = 0.5;

absl::Status FromPetsc(PetscErrorCode code) {
  if (code == 0) return absl::OkStatus();
  return absl::InternalError(fmt::format("PETSc failed with its error {}, accepted: none", static_cast<int>(code)));
}

}  // namespace

PetscErrorCode GhostedValues::Create(MPI_Comm ranks, const ModelPart& part) {
  PetscCall(VecCreateGhostWithArray(ranks, part.num_states(), part.whole().num_states,
                                    static_cast<PetscInt>(part.ghosts().size()), part.ghosts().data(), values_.data(),
                                    &vector_));
  return 0;
}

PetscErrorCode GhostedValues::Update() {
  PetscCall(VecGhostUpdateBegin(vector_, INSERT_VALUES, SCATTER_FORWARD));
  PetscCall(VecGhostUpdateEnd(vector_, INSERT_VALUES, SCATTER_FORWARD));
  return 0;
}

absl::Status PolicyEquations::Create(GhostedValues& values) const { return FromPetsc(values.Create(ranks_, part_)); }
absl::Status PolicyEquations::Update(GhostedValues& values) const { return FromPetsc(values.Update()); }

absl::StatusOr<std::unique_ptr<PolicyEquations>> PolicyEquations::Create(MPI_Comm ranks, const ModelPart& part,
                                                                         std::span<const int32_t> policy, double scale,
                                                                         double alpha, KrylovMethod method) {
  std::unique_ptr<PolicyEquations> equations(new PolicyEquations(ranks, part, policy, scale, alpha));
  BERTH_RETURN_IF_ERROR(FromPetsc(equations->Setup(method)));
  return equations;
}

PolicyEquations::~PolicyEquations() {
  KSPDestroy(&krylov_);
  VecDestroy(&right_);
  VecDestroy(&solution_);
  MatDestroy(&matrix_);
}

PetscErrorCode PolicyEquations::Setup(KrylovMethod method) {
  const StateIndex own = part_.num_states();
  inverse_diagonal_.resize(static_cast<size_t>(own));
  double largest_rate = 0;
  for (StateIndex s = 0; s < own; ++s) {
    for (int32_t a = 0; a < part_.num_actions(s); ++a) {
      double rate = 0;
      part_.VisitSuccessors(s, a, [&](StateIndex next, double weight) { rate += next == s ? 0 : weight; });
      largest_rate = std::max(largest_rate, rate);
    }
  }
  MPI_Allreduce(MPI_IN_PLACE, &largest_rate, 1, MPI_DOUBLE, MPI_MAX, ranks_);
  largest_rate_ = scale_ * largest_rate;
  PetscCall(x_.Create(ranks_, part_));
  const PetscInt all = part_.whole().num_states;
  PetscCall(MatCreateShell(ranks_, own, own, all, all, this, &matrix_));
  PetscCall(MatShellSetOperation(matrix_, MATOP_MULT, reinterpret_cast<void (*)()>(&MultiplyShell)));
  PetscCall(MatCreateVecs(matrix_, &solution_, &right_));
  PetscCall(KSPCreate(ranks_, &krylov_));
  PetscCall(KSPSetOperators(krylov_, matrix_, matrix_));
  PetscCall(KSPSetType(krylov_, method == KrylovMethod::kGmres ? KSPGMRES : KSPBCGS));
  PC none = nullptr;
  PetscCall(KSPGetPC(krylov_, &none));
  PetscCall(PCSetType(none, PCNONE));
  return 0;
}

PetscErrorCode PolicyEquations::MultiplyShell(Mat matrix, Vec in, Vec out) {
  void* self = nullptr;
  PetscCall(MatShellGetContext(matrix, &self));
  return static_cast<PolicyEquations*>(self)->Multiply(in, out);
}

PetscErrorCode PolicyEquations::Multiply(Vec in, Vec out) {
  const StateIndex own = part_.num_states();
  double* const x = x_.data();
  const double* unknown = nullptr;
  PetscCall(VecGetArrayRead(in, &unknown));
  double sum = 0;
  for (StateIndex s = 0; s < own; ++s) {
    x[s] = unknown[s] * inverse_diagonal_[s];
    sum += x[s];
  }
  PetscCall(VecRestoreArrayRead(in, &unknown));
  PetscCall(x_.Update());
  double shift = 0;
  if (!part_.whole().has_terminal) {
    MPI_Allreduce(MPI_IN_PLACE, &sum, 1, MPI_DOUBLE, MPI_SUM, ranks_);
    shift = largest_rate_ * sum / part_.whole().num_states;
  }
  double* y = nullptr;
  PetscCall(VecGetArrayWrite(out, &y));
  for (StateIndex s = 0; s < own; ++s) {
    const double here = x[s];
    double change = 0;
    if (policy_[s] >= 0) {
      part_.VisitSuccessors(s, policy_[s],
                            [&](StateIndex next, double weight) { change += weight * (x[next] - here); });
    }
    y[s] = alpha_ * here - scale_ * change + shift;
  }
  PetscCall(VecRestoreArrayWrite(out, &y));
  return 0;
}

PetscErrorCode PolicyEquations::SolveBy(std::span<const double> residual, double relative, double absolute,
                                        std::span<double> correction, Solved& solved) {
  const StateIndex own = part_.num_states();
  for (StateIndex s = 0; s < own; ++s) {
    double rate = 0;
    if (policy_[s] >= 0) {
      part_.VisitSuccessors(s, policy_[s], [&](StateIndex next, double weight) { rate += next == s ? 0 : weight; });
    }
    inverse_diagonal_[s] = 1 / (alpha_ + scale_ * rate);
  }
  double* right = nullptr;
  PetscCall(VecGetArrayWrite(right_, &right));
  std::copy(residual.begin(), residual.end(), right);
  PetscCall(VecRestoreArrayWrite(right_, &right));
  double before = 0, after = 0;
  PetscCall(VecNorm(right_, NORM_2, &before));
  PetscCall(KSPSetTolerances(krylov_, relative, absolute, kDivergence, kMaxIterations));
  PetscCall(KSPSolve(krylov_, right_, solution_));
  PetscInt iterations = 0;
  PetscCall(KSPGetIterationNumber(krylov_, &iterations));
  PetscCall(KSPGetResidualNorm(krylov_, &after));
  double size = 0;
  PetscCall(VecNorm(solution_, NORM_2, &size));
  solved = {iterations, std::isfinite(size) && after <= std::max(kUsefulShare * before, absolute)};
  const double* solution = nullptr;
  PetscCall(VecGetArrayRead(solution_, &solution));
  for (StateIndex s = 0; s < own; ++s) correction[s] = solution[s] * inverse_diagonal_[s];
  PetscCall(VecRestoreArrayRead(solution_, &solution));
  return 0;
}

absl::StatusOr<PolicyEquations::Solved> PolicyEquations::Solve(std::span<const double> residual, double relative,
                                                               double absolute, std::span<double> correction) {
  Solved solved;
  BERTH_RETURN_IF_ERROR(FromPetsc(SolveBy(residual, relative, absolute, correction, solved)));
  return solved;
}

}  // namespace berth::mdp::internal

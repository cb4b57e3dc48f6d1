#include <petscksp.h>

#include <cstdlib>

#include "mdp/petsc/solve_ranks.h"

namespace berth::mdp {

absl::StatusOr<std::unique_ptr<RankSession>> RankSession::Start() {
  // Signals and files of options are the program's business, and errors come back as codes.
  const bool is_started = PetscOptionsSetValue(nullptr, "-no_signal_handler", "true") == 0 &&
                          PetscOptionsSetValue(nullptr, "-skip_petscrc", "true") == 0 &&
                          PetscInitializeNoArguments() == 0 &&
                          PetscPushErrorHandler(PetscReturnErrorHandler, nullptr) == 0;
  if (!is_started) return absl::InternalError("PETSc did not start, accepted: a working installation of MPI and PETSc");
  std::unique_ptr<RankSession> session(new RankSession());
  MPI_Comm_rank(PETSC_COMM_WORLD, &session->rank_);
  MPI_Comm_size(PETSC_COMM_WORLD, &session->size_);
  return session;
}

RankSession::~RankSession() { PetscFinalize(); }

void RankSession::Abort(int exit_code) const {
  MPI_Abort(PETSC_COMM_WORLD, exit_code);
  std::abort();  // not reached, but MPI does not say so
}

}  // namespace berth::mdp

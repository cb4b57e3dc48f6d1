// LinearProgram: maximise c.x over rows low <= a.x <= high and columns low <= x <= high, by COIN-OR Clp.
//
// Rows and columns may be added between solves, costs and bounds may change; the basis is kept, so that a solve after a change
// starts from the last optimum. Column generation: solve, read dual(), add columns that would pay, solve again.
// Units are the caller's. Thread-safety: none. Cost: AddRow and AddColumn O(entries), collected until the next solve.
// Source: https://github.com/coin-or/Clp (dual and primal simplex).
#ifndef BERTH_LP_LINEAR_PROGRAM_H_
#define BERTH_LP_LINEAR_PROGRAM_H_

#include <limits>
#include <memory>
#include <span>

#include "absl/status/status.h"

namespace berth {

struct LpEntry {
  int index = 0;   // of a column in AddRow, of a row in AddColumn
  double value = 0;
};

class LinearProgram {
 public:
  static constexpr double kInfinity = std::numeric_limits<double>::infinity();

  LinearProgram();
  ~LinearProgram();
  LinearProgram(LinearProgram&&) noexcept;
  LinearProgram& operator=(LinearProgram&&) noexcept;

  // Index of the new row or column. Entries name what exists already, each once.
  int AddRow(double low, double high, std::span<const LpEntry> columns = {});
  int AddColumn(double cost, double low, double high, std::span<const LpEntry> rows);
  void SetRow(int row, double low, double high);
  void SetColumn(int column, double low, double high);
  void SetCost(int column, double cost);
  int rows() const;
  int columns() const;

  // From the last basis. Errors: FAILED_PRECONDITION infeasible; OUT_OF_RANGE unbounded; DEADLINE_EXCEEDED `max_iterations`;
  // INTERNAL the solver gave up on the numbers. After an error values and duals mean nothing.
  absl::Status Solve(int max_iterations = 1'000'000);

  // Of the last solve.
  double objective() const;
  double value(int column) const;
  // What one unit more of the row's binding bound would add to the objective: >= 0 where `high` binds, <= 0 where `low` does.
  double dual(int row) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace berth

#endif  // BERTH_LP_LINEAR_PROGRAM_H_

#include "lp/linear_program.h"

#include <algorithm>
#include <vector>

#include "coin/ClpSimplex.hpp"
#include "fmt/format.h"

namespace berth {
namespace {

double ToClp(double bound) { return std::clamp(bound, -COIN_DBL_MAX, COIN_DBL_MAX); }

// What was added and is not in the solver yet, in the form that it takes.
struct Pending {
  std::vector<double> low, high, cost, values;
  std::vector<int> starts{0}, indices;
  int count() const { return static_cast<int>(low.size()); }
  void Add(double l, double h, std::span<const LpEntry> entries) {
    low.push_back(ToClp(l));
    high.push_back(ToClp(h));
    for (const LpEntry& e : entries) {
      indices.push_back(e.index);
      values.push_back(e.value);
    }
    starts.push_back(static_cast<int>(indices.size()));
  }
  void Clear() { *this = Pending(); }
};

}  // namespace

struct LinearProgram::Impl {
  Impl() {
    clp.setLogLevel(0);
    clp.setOptimizationDirection(-1);
  }
  // Rows name columns and columns rows, so what was added first goes in first.
  void Flush() {
    FlushRows();
    FlushColumns();
  }
  void FlushRows() {
    if (rows.count() == 0) return;
    clp.addRows(rows.count(), rows.low.data(), rows.high.data(), rows.starts.data(), rows.indices.data(), rows.values.data());
    rows.Clear();
  }
  void FlushColumns() {
    if (columns.count() == 0) return;
    clp.addColumns(columns.count(), columns.low.data(), columns.high.data(), columns.cost.data(), columns.starts.data(), columns.indices.data(),
                   columns.values.data());
    columns.Clear();
  }

  ClpSimplex clp;
  Pending rows, columns;
  bool is_solved = false, bounds_changed = false;
};

LinearProgram::LinearProgram() : impl_(std::make_unique<Impl>()) {}
LinearProgram::~LinearProgram() = default;
LinearProgram::LinearProgram(LinearProgram&&) noexcept = default;
LinearProgram& LinearProgram::operator=(LinearProgram&&) noexcept = default;

int LinearProgram::rows() const { return impl_->clp.numberRows() + impl_->rows.count(); }
int LinearProgram::columns() const { return impl_->clp.numberColumns() + impl_->columns.count(); }

int LinearProgram::AddRow(double low, double high, std::span<const LpEntry> columns) {
  if (!columns.empty()) impl_->FlushColumns();
  impl_->rows.Add(low, high, columns);
  impl_->bounds_changed = true;
  return rows() - 1;
}

int LinearProgram::AddColumn(double cost, double low, double high, std::span<const LpEntry> rows) {
  impl_->FlushRows();
  impl_->columns.cost.push_back(cost);
  impl_->columns.Add(low, high, rows);
  return columns() - 1;
}

void LinearProgram::SetRow(int row, double low, double high) {
  impl_->Flush();
  impl_->clp.setRowBounds(row, ToClp(low), ToClp(high));
  impl_->bounds_changed = true;
}

void LinearProgram::SetColumn(int column, double low, double high) {
  impl_->Flush();
  impl_->clp.setColumnBounds(column, ToClp(low), ToClp(high));
  impl_->bounds_changed = true;
}

void LinearProgram::SetCost(int column, double cost) {
  impl_->Flush();
  impl_->clp.setObjectiveCoefficient(column, cost);
}

absl::Status LinearProgram::Solve(int max_iterations) {
  Impl& p = *impl_;
  p.Flush();
  p.clp.setMaximumIterations(max_iterations);
  // After new columns or costs the last basis is still feasible (primal); after new bounds or rows its duals still are (dual).
  if (p.is_solved && p.bounds_changed) p.clp.dual(0, 1);
  else p.clp.primal(0, 1);
  // Either may stop at a point that the other has to finish.
  if (p.clp.status() != 0 && p.clp.status() != 3) p.clp.primal();
  p.bounds_changed = false;
  p.is_solved = p.clp.status() == 0;
  switch (p.clp.status()) {
    case 0: return absl::OkStatus();
    case 1: return absl::FailedPreconditionError("the linear program has no solution");
    case 2: return absl::OutOfRangeError("the linear program is unbounded");
    case 3: return absl::DeadlineExceededError(fmt::format("the linear program was not solved in {} iterations", max_iterations));
    default: return absl::InternalError(fmt::format("the linear program was not solved: Clp status {}", p.clp.status()));
  }
}

double LinearProgram::objective() const { return impl_->clp.objectiveValue(); }
double LinearProgram::value(int column) const { return impl_->clp.primalColumnSolution()[column]; }
// Clp's duals are those of the maximisation as it stands: d objective / d row.
double LinearProgram::dual(int row) const { return impl_->clp.dualRowSolution()[row]; }

}  // namespace berth

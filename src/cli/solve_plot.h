// `berth solve --plot`: what was solved, as a picture.
#ifndef BERTH_CLI_SOLVE_PLOT_H_
#define BERTH_CLI_SOLVE_PLOT_H_

#include <string>

#include "absl/status/status.h"
#include "evaluate/report.h"
#include "policy/potential/gpu_table_potential.h"
#include "policy/potential/table_potential.h"

namespace berth::cli {

// Errors: INVALID_ARGUMENT a name that does not end in .svg.
absl::Status ValidatePlotName(const std::string& path);

// A resource of a node's table: "cpu" or "memory". Errors: INVALID_ARGUMENT naming `field`.
absl::Status ValidateResource(const std::string& field, const std::string& name);

// h of a node's free state over two resources, relative to its least value, at most 100 points a side. `x` and `y` are
// valid and differ.
HeatMap DrawTable(const std::string& shape, const ValueTable& table, const std::string& x, const std::string& y);

// The same of a node with GPUs, over free cpu and free GPU; what is in use fills one device after another.
HeatMap DrawGpuTable(const std::string& shape, const GpuValueTable& table);

// Draws and writes. Replaces the file whole or not at all. Errors: FAILED_PRECONDITION gnuplot is not installed, or the
// file can't be written.
absl::Status WriteSvg(const std::string& path, const absl::StatusOr<std::string>& svg);

}  // namespace berth::cli

#endif  // BERTH_CLI_SOLVE_PLOT_H_

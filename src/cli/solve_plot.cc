#include "cli/solve_plot.h"

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <utility>
#include <vector>

#include "base/new_file.h"
#include "base/status.h"
#include "fmt/format.h"

namespace berth::cli {
namespace {

// More points are not seen, and each is a shape of its own in the file.
constexpr int32_t kMostPoints = 100;

struct Axis {
  std::string label;
  double unit = 1;   // of a level, in the unit of the label
  double most = 0;   // capacity, the same
  double grain = 1;  // of the table's amounts, in that unit
  int32_t levels = 1;
  int32_t points = 1;

  // Free amount at a point, from the least to the most.
  double Free(int32_t point) const {
    const double used_levels = points > 1 ? static_cast<double>(levels - 1) * (points - 1 - point) / (points - 1) : 0;
    return most - used_levels * unit;
  }
  // In the table's grain.
  double Used(int32_t point) const { return (most - Free(point)) / grain; }
};

Axis AxisOf(const ValueTable& table, const std::string& resource) {
  Axis axis;
  const bool is_cpu = resource == "cpu";
  axis.label = is_cpu ? "free cpu, cores" : "free memory, GiB";
  axis.grain = is_cpu ? 1e-3 : 1.0 / (int64_t{1} << 30);
  axis.unit = axis.grain * static_cast<double>(is_cpu ? table.cpu_unit_milli : table.mem_unit_bytes);
  axis.most = axis.grain * static_cast<double>(is_cpu ? table.cpu_milli : table.mem_bytes);
  axis.levels = is_cpu ? table.cpu_levels : table.mem_levels;
  axis.points = std::min(axis.levels, kMostPoints);
  return axis;
}

// `value(column, row)` of the table.
template <class Value>
HeatMap Draw(const std::string& shape, const Axis& across, const Axis& up, Value&& value) {
  HeatMap map;
  map.title = fmt::format("What the free state of a node is worth, shape {}", shape);
  map.x_label = across.label;
  map.y_label = up.label;
  map.scale = "h, above its least";
  map.columns = static_cast<size_t>(across.points);
  const double first = across.Free(0), last = across.Free(across.points - 1);
  const double half = across.points > 1 ? (last - first) / (across.points - 1) / 2 : across.unit / 2;
  map.x_low = first - half;
  map.x_high = last + half;
  for (int32_t row = 0; row < up.points; ++row) {
    // About ten ticks.
    const bool is_labelled = row % std::max(1, up.points / 10) == 0 || row == up.points - 1;
    map.row_labels.push_back(is_labelled ? fmt::format("{:.4g}", up.Free(row)) : "");
    for (int32_t column = 0; column < across.points; ++column) map.values.push_back(value(column, row));
  }
  const double least = *std::min_element(map.values.begin(), map.values.end());
  for (double& v : map.values) v -= least;
  map.most = *std::max_element(map.values.begin(), map.values.end());
  if (!(map.most > 0)) map.most = 1;  // a flat table still has a scale
  return map;
}

}  // namespace

absl::Status ValidatePlotName(const std::string& path) {
  const std::filesystem::path name = std::filesystem::path(path).filename();
  if (name.extension() == ".svg") return absl::OkStatus();
  return InvalidField("--plot", name.string(), "a name that ends in .svg");
}

absl::Status ValidateResource(const std::string& field, const std::string& name) {
  if (name == "cpu" || name == "memory") return absl::OkStatus();
  return InvalidField(field, name, "cpu or memory");
}

HeatMap DrawTable(const std::string& shape, const ValueTable& table, const std::string& x, const std::string& y) {
  const Axis across = AxisOf(table, x), up = AxisOf(table, y);
  return Draw(shape, across, up, [&](int32_t column, int32_t row) {
    double used_x = across.Used(column), used_y = up.Used(row);
    if (x != "cpu") std::swap(used_x, used_y);
    return table.At(used_x, used_y);
  });
}

HeatMap DrawGpuTable(const std::string& shape, const GpuValueTable& table) {
  const double cpu = static_cast<double>(table.cpu_milli) * 1e-3;
  const Axis across{.label = "free cpu, cores",
                    .unit = 1e-3 * table.cpu_unit_milli,
                    .most = cpu,
                    .grain = 1e-3,
                    .levels = table.cpu_levels,
                    .points = std::min(table.cpu_levels, kMostPoints)};
  const int32_t steps = table.devices * table.units + 1;
  const Axis up{.label = "free GPUs, the others full one after another",
                .unit = 1.0 / table.units,
                .most = static_cast<double>(table.devices),
                .grain = 1.0 / table.units,
                .levels = steps,
                .points = steps};
  std::vector<int32_t> used(static_cast<size_t>(table.devices));
  return Draw(shape, across, up, [&](int32_t column, int32_t row) {
    int32_t left = steps - 1 - row;
    for (int32_t& device : used) {
      device = std::min(left, table.units);
      left -= device;
    }
    return table.At(table.RowOf(used), across.Used(column));
  });
}

absl::Status WriteSvg(const std::string& path, const absl::StatusOr<std::string>& svg) {
  if (!svg.ok()) return WithContext(svg.status(), "--plot");
  NewFile file("plot", path);
  file.out() << *svg;
  return file.Commit().ok() ? absl::OkStatus() : absl::FailedPreconditionError("--plot can't be written");
}

}  // namespace berth::cli

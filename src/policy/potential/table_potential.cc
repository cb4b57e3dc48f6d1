#include "policy/potential/table_potential.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace berth {
namespace {

class TablePotential : public Potential {
 public:
  explicit TablePotential(std::shared_ptr<const std::vector<ValueTable>> tables) : tables_(std::move(tables)) {}

  double Value(const Shape& shape, const NodeState& state) override {
    const ValueTable& table = Nearest(shape);
    const double cpu = Share(shape.cpu_milli - state.cpu_milli, shape.cpu_milli) * static_cast<double>(table.cpu_milli);
    const double mem = Share(shape.mem_bytes - state.mem_bytes, shape.mem_bytes) * static_cast<double>(table.mem_bytes);
    return -table.At(cpu, mem);
  }

 private:
  static double Share(int64_t used, int64_t capacity) {
    return capacity > 0 ? static_cast<double>(used) / static_cast<double>(capacity) : 0;
  }

  const ValueTable& Nearest(const Shape& shape) const {
    const ValueTable* best = &tables_->front();
    double least = std::numeric_limits<double>::infinity();
    for (const ValueTable& t : *tables_) {
      const double distance = std::abs(std::log((1.0 + static_cast<double>(shape.cpu_milli)) / (1.0 + static_cast<double>(t.cpu_milli)))) +
                              std::abs(std::log((1.0 + static_cast<double>(shape.mem_bytes)) / (1.0 + static_cast<double>(t.mem_bytes))));
      if (distance < least) {
        least = distance;
        best = &t;
      }
    }
    return *best;
  }

  const std::shared_ptr<const std::vector<ValueTable>> tables_;
};

}  // namespace

double ValueTable::At(double used_cpu_milli, double used_mem_bytes) const {
  const double x = std::clamp(used_cpu_milli / cpu_unit_milli, 0.0, static_cast<double>(cpu_levels - 1));
  const double y = std::clamp(used_mem_bytes / mem_unit_bytes, 0.0, static_cast<double>(mem_levels - 1));
  const auto i = static_cast<size_t>(std::min(x, static_cast<double>(std::max(0, cpu_levels - 2))));
  const auto j = static_cast<size_t>(std::min(y, static_cast<double>(std::max(0, mem_levels - 2))));
  const double fx = x - static_cast<double>(i), fy = y - static_cast<double>(j);
  const auto at = [&](size_t a, size_t b) {
    a = std::min(a, static_cast<size_t>(cpu_levels - 1));
    b = std::min(b, static_cast<size_t>(mem_levels - 1));
    return static_cast<double>(value[a * static_cast<size_t>(mem_levels) + b]);
  };
  return (1 - fx) * ((1 - fy) * at(i, j) + fy * at(i, j + 1)) + fx * ((1 - fy) * at(i + 1, j) + fy * at(i + 1, j + 1));
}

std::unique_ptr<Potential> MakeTablePotential(std::shared_ptr<const std::vector<ValueTable>> tables) {
  return std::make_unique<TablePotential>(std::move(tables));
}

}  // namespace berth

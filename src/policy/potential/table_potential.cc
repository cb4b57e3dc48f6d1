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
      const double distance =
          std::abs(std::log((1.0 + static_cast<double>(shape.cpu_milli)) / (1.0 + static_cast<double>(t.cpu_milli)))) +
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
  constexpr double kForgiven = 0.05;
  const auto level = [](double units, int32_t levels) {
    return static_cast<size_t>(std::clamp(std::ceil(units - kForgiven), 0.0, static_cast<double>(levels - 1)));
  };
  const size_t a = level(used_cpu_milli / static_cast<double>(cpu_unit_milli), cpu_levels);
  const size_t b = level(used_mem_bytes / static_cast<double>(mem_unit_bytes), mem_levels);
  return static_cast<double>(value[a * static_cast<size_t>(mem_levels) + b]);
}

std::unique_ptr<Potential> MakeTablePotential(std::shared_ptr<const std::vector<ValueTable>> tables) {
  return std::make_unique<TablePotential>(std::move(tables));
}

std::shared_ptr<const Policy> MakeIndexPolicyOf(std::function<std::unique_ptr<Potential>()> potential) {
  ClassPolicySpec spec;
  spec.info = {"index",
               "",
               "index",
               "greatest h(after) - h(before), h = value of a node's free state in its own decision process at "
               "Lagrangian prices",
               "per-node value iteration (berth solve); Hawkins 2003, Whittle 1988",
               "",
               {}};
  spec.tie = TieRule::kLeastFreeMemory;
  spec.scorer = [potential = std::move(potential)] { return MakePotentialScorer(potential()); };
  return MakeClassPolicy(std::move(spec));
}

std::shared_ptr<const Policy> MakeTablePolicy(std::vector<ValueTable> tables) {
  return MakeIndexPolicyOf([shared = std::make_shared<const std::vector<ValueTable>>(std::move(tables))] {
    return MakeTablePotential(shared);
  });
}

}  // namespace berth

#include "policy/potential/gpu_table_potential.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <limits>

#include "cluster/cluster_state.h"
#include "policy/potential/table_potential.h"

namespace berth {
namespace {

constexpr int32_t kMaxTableDevices = 8;

class GpuTablePotential : public Potential {
 public:
  explicit GpuTablePotential(std::shared_ptr<const std::vector<GpuValueTable>> tables) : tables_(std::move(tables)) {}

  void Reset(const ClusterState& view, const ScoreContext&) override {
    models_.assign(view.gpu_models().begin(), view.gpu_models().end());
  }

  double Value(const Shape& shape, const NodeState& state) override {
    const GpuValueTable* table = Nearest(shape);
    if (table == nullptr) return 0;
    std::array<int32_t, kMaxTableDevices> used{};
    const auto n = static_cast<size_t>(shape.device_count);
    for (size_t i = 0; i < n; ++i) {
      const int32_t milli = kWholeGpuMilli - state.gpu_milli[i];
      const double steps = static_cast<double>(milli) * table->units / kWholeGpuMilli;
      used[i] = milli >= kWholeGpuMilli ? table->units + 1
                                        : std::clamp(static_cast<int32_t>(std::ceil(steps - 0.05)), 0, table->units);
    }
    const double share = shape.cpu_milli > 0 ? static_cast<double>(shape.cpu_milli - state.cpu_milli) /
                                                   static_cast<double>(shape.cpu_milli)
                                             : 0;
    return -table->At(table->RowOf({used.data(), n}), share * static_cast<double>(table->cpu_milli));
  }

 private:
  const GpuValueTable* Nearest(const Shape& shape) const {
    const GpuValueTable* best = nullptr;
    double least = std::numeric_limits<double>::infinity();
    if (shape.device_count < 1 || shape.device_count > kMaxTableDevices) return nullptr;
    const std::string_view model =
        shape.gpu_model >= 0 ? std::string_view(models_[static_cast<size_t>(shape.gpu_model)]) : std::string_view();
    for (const GpuValueTable& t : *tables_) {
      if (t.devices != shape.device_count) continue;
      const double cpu =
          std::abs(std::log((1.0 + static_cast<double>(shape.cpu_milli)) / (1.0 + static_cast<double>(t.cpu_milli))));
      const double distance = cpu + (t.gpu_model.empty() || t.gpu_model == model ? 0 : 100);
      if (distance < least) {
        least = distance;
        best = &t;
      }
    }
    return best;
  }

  const std::shared_ptr<const std::vector<GpuValueTable>> tables_;
  std::vector<std::string> models_;
};

}  // namespace

std::vector<GpuPattern> GpuPatterns(int32_t devices, int32_t units) {
  std::vector<GpuPattern> patterns;
  GpuPattern pattern{};
  const auto kinds = static_cast<size_t>(units) + 2;  // but for the pattern of one pod
  const std::function<void(size_t, int32_t)> enumerate = [&](size_t kind, int32_t left) {
    for (int32_t n = kind + 1 == kinds ? left : 0; n <= left; ++n) {
      pattern[kind] = static_cast<int8_t>(n);
      if (kind + 1 == kinds)
        patterns.push_back(pattern);
      else
        enumerate(kind + 1, left - n);
    }
    pattern[kind] = 0;
  };
  if (devices > 1) {
    pattern[kinds] = static_cast<int8_t>(devices);
    patterns.push_back(pattern);
    pattern[kinds] = 0;
  }
  enumerate(0, devices);
  return patterns;
}

uint64_t GpuPatternKey(const GpuPattern& pattern, int32_t units) {
  uint64_t key = 0;
  for (size_t kind = 0; kind < static_cast<size_t>(units) + 3; ++kind) {
    key = key * (kMaxTableDevices + 1) + static_cast<uint64_t>(pattern[kind]);
  }
  return key;
}

std::vector<uint64_t> GpuPatternKeys(int32_t devices, int32_t units) {
  std::vector<uint64_t> keys;
  for (const GpuPattern& pattern : GpuPatterns(devices, units)) keys.push_back(GpuPatternKey(pattern, units));
  return keys;
}

int32_t GpuValueTable::RowOf(std::span<const int32_t> used) const {
  GpuPattern counts{};
  for (const int32_t u : used) ++counts[static_cast<size_t>(u)];
  const uint64_t key = GpuPatternKey(counts, units);
  const auto at = std::lower_bound(keys.begin(), keys.end(), key);
  return at != keys.end() && *at == key ? static_cast<int32_t>(at - keys.begin()) : -1;
}

double GpuValueTable::At(int32_t row, double used_cpu_milli) const {
  if (row < 0) return 0;
  const double level = std::clamp(used_cpu_milli / cpu_unit_milli, 0.0, static_cast<double>(cpu_levels - 1));
  const auto low = static_cast<size_t>(level);
  const size_t high = std::min(low + 1, static_cast<size_t>(cpu_levels - 1));
  const size_t base = static_cast<size_t>(row) * static_cast<size_t>(cpu_levels);
  const double share = level - static_cast<double>(low);
  return (1 - share) * static_cast<double>(value[base + low]) + share * static_cast<double>(value[base + high]);
}

std::unique_ptr<Potential> MakeGpuTablePotential(std::shared_ptr<const std::vector<GpuValueTable>> tables) {
  return std::make_unique<GpuTablePotential>(std::move(tables));
}

std::shared_ptr<const Policy> MakeGpuTablePolicy(std::vector<GpuValueTable> tables) {
  return MakeIndexPolicyOf([shared = std::make_shared<const std::vector<GpuValueTable>>(std::move(tables))] {
    return MakeGpuTablePotential(shared);
  });
}

}  // namespace berth

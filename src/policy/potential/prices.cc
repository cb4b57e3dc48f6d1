#include "policy/potential/prices.h"

#include <algorithm>

#include "absl/container/flat_hash_map.h"
#include "absl/hash/hash.h"
#include "base/status.h"

namespace berth {
namespace {

// Ends of the demand's segments as shares of what is to come, and the value of a unit in each.
constexpr int kSegments = 6;
constexpr std::array<double, kSegments> kEnds = {0.6, 0.8, 0.9, 0.95, 1, 1.15};
constexpr std::array<double, kSegments> kSlopes = {1, 0.9, 0.8, 0.7, 0.6, 0.25};
constexpr double kTolerance = 1e-9;
constexpr size_t kMaxMulti = 64;
constexpr int kGrid = PriceClasses::kGrid;
constexpr uint64_t kAnyModel = ~uint64_t{0};

int CellsUp(int milli) { return (milli + 9) / 10; }
int CellsDown(int milli) { return std::clamp(milli / 10, 0, kGrid); }

bool Allows(uint64_t mask, int32_t model) { return mask == kAnyModel || (model >= 0 && (mask >> model & 1) != 0); }

size_t CellIndex(int group, int cells) { return static_cast<size_t>(group * (kGrid + 1) + cells); }

}  // namespace

PriceClasses::PriceClasses(const ClusterState& view, const std::vector<ResolvedMixClass>& mix) {
  // Classes that differ in what the program does not look at are one.
  std::map<std::pair<int, uint64_t>, double> singles;
  for (const ResolvedMixClass& c : mix) {
    const ResolvedRequest& r = c.request;
    if (r.gpu_count <= 0 || r.gpu_milli <= 0 || c.weight <= 0 || r.is_impossible != 0) continue;
    if (r.gpu_count == 1) {
      singles[{CellsUp(r.gpu_milli), r.model_mask}] += c.weight;
      continue;
    }
    const auto same = std::find_if(multis_.begin(), multis_.end(), [&](const Multi& m) { return m.request == r; });
    if (same != multis_.end()) same->share += c.weight;
    else multis_.push_back({r.gpu_count, r, c.weight});
  }
  std::stable_sort(multis_.begin(), multis_.end(), [](const Multi& a, const Multi& b) { return a.share * a.devices > b.share * b.devices; });
  if (multis_.size() > kMaxMulti) multis_.resize(kMaxMulti);
  for (const auto& [key, share] : singles) singles_.push_back({key.first, key.second, share});

  // Models that every class treats alike are one group.
  std::map<std::vector<bool>, int> signatures;
  for (size_t model = 0; model < view.gpu_models().size(); ++model) {
    std::vector<bool> signature;
    for (const Single& c : singles_) signature.push_back(Allows(c.model_mask, static_cast<int32_t>(model)));
    for (const Multi& m : multis_) signature.push_back(m.request.allows_model(static_cast<int32_t>(model)));
    const auto [it, is_new] = signatures.try_emplace(signature, groups_);
    if (is_new) {
      ++groups_;
      models_of_group_.push_back(uint64_t{1} << model);
    }
    group_of_model_.push_back(it->second);
  }
  // Devices without a model's name: only pods that take any model.
  const int unnamed = groups_++;
  models_of_group_.push_back(0);
  group_of_model_.push_back(unnamed);

  multis_of_group_.resize(static_cast<size_t>(groups_));
  for (size_t m = 0; m < multis_.size(); ++m) {
    multi_cpu_milli_.push_back(multis_[m].request.cpu_milli);
    multi_mem_bytes_.push_back(multis_[m].request.mem_floor_bytes);
    for (int g = 0; g < groups_; ++g) multis_of_group_[static_cast<size_t>(g)] |= uint64_t{Serves(g, multis_[m].request.model_mask)} << m;
  }
}

int PriceClasses::GroupOf(const Shape& shape) const {
  return shape.gpu_model < 0 || static_cast<size_t>(shape.gpu_model) + 1 >= group_of_model_.size() ? group_of_model_.back()
                                                                                                  : group_of_model_[static_cast<size_t>(shape.gpu_model)];
}

PricedState PriceClasses::See(const Shape& shape, const NodeState& state) const {
  PricedState seen;
  const int full = state.full_devices();
  seen.group = static_cast<uint8_t>(GroupOf(shape));
  seen.full = static_cast<uint8_t>(full);
  for (size_t i = 0; i + static_cast<size_t>(full) < state.device_count; ++i) {
    const int cells = CellsDown(state.gpu_milli[i]);
    if (cells > 0) seen.cells[seen.partly++] = static_cast<uint8_t>(cells);
  }
  if (full == 0) return seen;
  // A wholly free device has room for whatever milli a pod asks of it.
  for (size_t m = 0; m < multis_.size(); ++m) {
    seen.fits |= uint64_t{multis_[m].devices <= full && multi_cpu_milli_[m] <= state.cpu_milli && multi_mem_bytes_[m] <= state.mem_bytes} << m;
  }
  seen.fits &= multis_of_group_[seen.group];
  return seen;
}

FreeDevices PriceClasses::Count(const ClusterState& view) const {
  FreeDevices free;
  free.devices.resize(CellIndex(groups_, 0));
  absl::flat_hash_map<std::array<uint64_t, 2>, double> nodes;   // by (group, full) and fits
  for (const auto& [id, uid] : view.occupied()) {
    const NodeState& state = view.state_class(id).state;
    if (state.device_count == 0) continue;
    const PricedState seen = See(view.shape_of(state), state);
    const auto count = static_cast<double>(view.class_sizes()[id.value]);
    for (size_t i = 0; i < seen.partly; ++i) free.devices[CellIndex(seen.group, seen.cells[i])] += count;
    if (seen.full == 0) continue;
    if (seen.fits == 0) free.devices[CellIndex(seen.group, kGrid)] += count * seen.full;
    else nodes[{uint64_t{seen.group} << 8 | seen.full, seen.fits}] += count;
  }
  for (const auto& [key, count] : nodes) free.nodes.push_back({{static_cast<int>(key[0] >> 8), static_cast<int>(key[0] & 0xff), key[1]}, count});
  std::sort(free.nodes.begin(), free.nodes.end());   // rows are made in this order, which must not depend on hashing
  return free;
}

PriceTable::PriceTable(std::shared_ptr<const PriceClasses> classes, std::vector<double> values, std::vector<double> nu)
    : classes_(std::move(classes)), values_(std::move(values)), nu_(std::move(nu)), offers_(static_cast<size_t>(classes_->groups()) * (kMaxDevices + 1)) {
  for (int g = 0; g < classes_->groups(); ++g) {
    const double device = values_[CellIndex(g, kGrid)];
    for (int full = 1; full <= kMaxDevices; ++full) {
      std::vector<Offer>& offers = offers_[static_cast<size_t>(g * (kMaxDevices + 1) + full)];
      for (size_t m = 0; m < nu_.size(); ++m) {
        const PriceClasses::Multi& multi = classes_->multis()[m];
        const double gain = nu_[m] - multi.devices * device;
        if (gain > 0 && multi.devices <= full && classes_->Serves(g, multi.request.model_mask)) {
          offers.push_back({full * device + (full / multi.devices) * gain, uint64_t{1} << m});
        }
      }
      std::sort(offers.begin(), offers.end(), [](const Offer& a, const Offer& b) { return a.value > b.value; });
    }
  }
}

double PriceTable::DeviceValue(int32_t gpu_model, int gpu_milli) const {
  Shape shape;
  shape.gpu_model = gpu_model;
  return values_[CellIndex(classes_->See(shape, NodeState()).group, CellsDown(gpu_milli))];
}

PriceSolver::PriceSolver(const PriceOptions& options, std::shared_ptr<const PriceClasses> classes) : options_(options), classes_(std::move(classes)) {
  device_rows_.resize(CellIndex(classes_->groups(), 0), -1);
  for (int g = 0; g < classes_->groups(); ++g) {
    for (int r = 1; r <= kGrid; ++r) device_rows_[CellIndex(g, r)] = lp_.AddRow(-LinearProgram::kInfinity, 0);
  }
  // The safety factors shift demand between classes; its sum stays what is to come.
  const auto safety = [&](uint64_t mask) { return mask != kAnyModel ? options_.typed_safety : 1.0; };
  for (const PriceClasses::Single& c : classes_->singles()) {
    singles_.push_back({c.share * safety(c.model_mask)});
    mix_gpus_ += singles_.back().share * c.cells / kGrid;
  }
  for (const PriceClasses::Multi& m : classes_->multis()) {
    multis_.push_back({m.share * (safety(m.request.model_mask) * options_.multi_safety)});
    mix_gpus_ += multis_.back().share * m.devices;
  }
  for (size_t k = 0; k < singles_.size(); ++k) {
    Demand& d = singles_[k];
    d.row = lp_.AddRow(0, LinearProgram::kInfinity);
    AddDemand(d.share * classes_->singles()[k].cells / kGrid / mix_gpus_, d.share / mix_gpus_, d.row);
  }
  for (size_t m = 0; m < multis_.size(); ++m) {
    Demand& d = multis_[m];
    d.row = lp_.AddRow(0, LinearProgram::kInfinity);
    AddDemand(d.share * classes_->multis()[m].devices / mix_gpus_, d.share / mix_gpus_, d.row);
  }
}

void PriceSolver::AddDemand(double weight, double share_per_gpu, int row) {
  for (double slope : kSlopes) {
    const LpEntry entry{row, -share_per_gpu};
    demand_columns_.push_back(lp_.AddColumn(weight * slope, 0, 0, {&entry, 1}));
  }
}

void PriceSolver::Knapsack(int group, std::vector<double>* best, std::vector<int>* take) const {
  best->assign(kGrid + 1, 0);
  take->assign(kGrid + 1, -1);
  for (int r = 1; r <= kGrid; ++r) {
    // A residue is worth at least what a smaller one is; -2 - r' would be the same filling, kept by copying its choice.
    double value = (*best)[static_cast<size_t>(r - 1)];
    int item = -2;
    for (size_t k = 0; k < singles_.size(); ++k) {
      const PriceClasses::Single& c = classes_->singles()[k];
      if (c.cells > r || !classes_->Serves(group, c.model_mask)) continue;
      const double with = (*best)[static_cast<size_t>(r - c.cells)] + singles_[k].nu;
      if (with > value + 1e-15) {
        value = with;
        item = static_cast<int>(k);
      }
    }
    (*best)[static_cast<size_t>(r)] = value;
    (*take)[static_cast<size_t>(r)] = item;
  }
}

int PriceSolver::NewNodeRow(const PricedNodes& nodes) {
  const int row = lp_.AddRow(-LinearProgram::kInfinity, 0);
  const int whole = device_rows_[CellIndex(nodes.group, kGrid)];
  const std::array<LpEntry, 2> alone{{{row, 1}, {whole, -static_cast<double>(nodes.full)}}};
  lp_.AddColumn(0, 0, LinearProgram::kInfinity, alone);
  for (size_t m = 0; m < multis_.size(); ++m) {
    if ((nodes.fits >> m & 1) == 0) continue;
    const int devices = classes_->multis()[m].devices;
    for (int c = 1; c * devices <= nodes.full; ++c) {
      // Copies share cpu and memory of the node; whether c of them fit is not looked at, one does.
      const double rest = nodes.full - c * devices;
      std::array<LpEntry, 3> entries{{{row, 1}, {multis_[m].row, static_cast<double>(c)}, {whole, -rest}}};
      lp_.AddColumn(0, 0, LinearProgram::kInfinity, {entries.data(), rest > 0 ? 3u : 2u});
    }
  }
  return row;
}

void PriceSolver::SetSupply(const FreeDevices& free) {
  for (size_t i = 0; i < device_rows_.size(); ++i) {
    if (device_rows_[i] >= 0) lp_.SetRow(device_rows_[i], -LinearProgram::kInfinity, free.devices[i]);
  }
  for (auto& [nodes, row] : node_rows_) row.count = 0;
  for (const auto& [nodes, count] : free.nodes) node_rows_[nodes].count = count;
  for (auto& [nodes, row] : node_rows_) {
    if (row.index < 0) row.index = NewNodeRow(nodes);
    lp_.SetRow(row.index, -LinearProgram::kInfinity, row.count);
  }
}

absl::StatusOr<std::shared_ptr<const PriceTable>> PriceSolver::Solve(const FreeDevices& free, double to_come_gpus, const std::atomic<bool>* is_cancelled) {
  if (mix_gpus_ <= 0) return std::shared_ptr<const PriceTable>();
  for (size_t i = 0; i < demand_columns_.size(); ++i) {
    const size_t j = i % kSegments;
    lp_.SetColumn(demand_columns_[i], 0, to_come_gpus * (kEnds[j] - (j > 0 ? kEnds[j - 1] : 0)));
  }
  SetSupply(free);

  std::vector<double> best;
  std::vector<int> take;
  std::vector<LpEntry> entries;
  std::vector<double> values(device_rows_.size());
  for (int round = 1;; ++round) {
    if (is_cancelled != nullptr && is_cancelled->load(std::memory_order_relaxed)) return absl::CancelledError("the solve was called off");
    BERTH_RETURN_IF_ERROR(lp_.Solve());
    for (std::vector<Demand>* demands : {&singles_, &multis_}) {
      for (Demand& d : *demands) d.nu = std::max(0.0, -lp_.dual(d.row));
    }
    bool is_better = false;
    for (int g = 0; g < classes_->groups(); ++g) {
      Knapsack(g, &best, &take);
      std::copy(best.begin(), best.end(), values.begin() + static_cast<std::ptrdiff_t>(CellIndex(g, 0)));
      for (int r = 1; r <= kGrid; ++r) {
        const int row = device_rows_[CellIndex(g, r)];
        if (take[static_cast<size_t>(r)] == -1 || best[static_cast<size_t>(r)] <= std::max(0.0, lp_.dual(row)) + kTolerance) continue;
        // A residue nobody has needs no column, unless node columns may add whole devices.
        if (r < kGrid && free.devices[CellIndex(g, r)] <= 0) continue;
        std::map<int, int> copies;
        for (int rest = r; rest > 0;) {
          const int item = take[static_cast<size_t>(rest)];
          if (item < 0) {
            --rest;
            continue;
          }
          ++copies[item];
          rest -= classes_->singles()[static_cast<size_t>(item)].cells;
        }
        if (copies.empty()) continue;
        if (!column_hashes_.insert(absl::HashOf(row, std::vector<std::pair<int, int>>(copies.begin(), copies.end()))).second) continue;
        entries.assign(1, {row, 1});
        for (const auto& [k, count] : copies) entries.push_back({singles_[static_cast<size_t>(k)].row, static_cast<double>(count)});
        lp_.AddColumn(0, 0, LinearProgram::kInfinity, entries);
        is_better = true;
      }
    }
    if (!is_better || round >= options_.max_rounds) break;
  }
  std::vector<double> nu;
  for (const Demand& d : multis_) nu.push_back(d.nu);
  if (last_ != nullptr) {
    const auto smooth = [&](const std::vector<double>& before, std::vector<double>* now) {
      for (size_t i = 0; i < now->size(); ++i) (*now)[i] = before[i] + options_.smoothing * ((*now)[i] - before[i]);
    };
    smooth(last_->values(), &values);
    smooth(last_->nu(), &nu);
  }
  last_ = std::make_shared<const PriceTable>(classes_, std::move(values), std::move(nu));
  return last_;
}

}  // namespace berth

#include "policy/potential/prices.h"

#include <algorithm>
#include <array>
#include <map>

#include "absl/hash/hash.h"
#include "base/status.h"

namespace berth {
namespace {

// Ends of the demand's segments as shares of what is to come, and the value of a unit in each.
constexpr std::array<double, 6> kEnds = {0.6, 0.8, 0.9, 0.95, 1, 1.15};
constexpr std::array<double, 6> kSlopes = {1, 0.9, 0.8, 0.7, 0.6, 0.25};
constexpr double kTolerance = 1e-9;
constexpr size_t kMaxMulti = 64;
constexpr uint64_t kAnyModel = ~uint64_t{0};

int CellsUp(int milli) { return (milli + 9) / 10; }
int CellsDown(int milli) { return std::clamp(milli / 10, 0, 100); }

bool Allows(uint64_t mask, int32_t model) { return mask == kAnyModel || (model >= 0 && (mask >> model & 1) != 0); }

}  // namespace

Prices::Prices(const PriceOptions& options, const ClusterState& view, const std::vector<ResolvedMixClass>& mix) : options_(options) {
  // Classes that differ in what the program does not look at are one.
  std::map<std::pair<int, uint64_t>, double> singles;
  for (const ResolvedMixClass& c : mix) {
    const ResolvedRequest& r = c.request;
    if (r.gpu_count <= 0 || r.gpu_milli <= 0 || c.weight <= 0 || r.is_impossible != 0) continue;
    if (r.gpu_count == 1) {
      singles[{CellsUp(r.gpu_milli), r.model_mask}] += c.weight;
      continue;
    }
    const auto same = std::find_if(multis_.begin(), multis_.end(), [&](const MultiClass& m) { return m.request == r; });
    if (same != multis_.end()) same->share += c.weight;
    else multis_.push_back({r.gpu_count, r, c.weight, 0, 0, 0});
  }
  std::stable_sort(multis_.begin(), multis_.end(), [](const MultiClass& a, const MultiClass& b) { return a.share * a.devices > b.share * b.devices; });
  if (multis_.size() > kMaxMulti) multis_.resize(kMaxMulti);   // the rarest are left out
  for (const auto& [key, share] : singles) singles_.push_back({key.first, key.second, share, 0, 0});

  // Models that every class treats alike are one group.
  std::map<std::vector<bool>, int> signatures;
  for (size_t model = 0; model < view.gpu_models().size(); ++model) {
    std::vector<bool> signature;
    for (const DeviceClass& c : singles_) signature.push_back(Allows(c.model_mask, static_cast<int32_t>(model)));
    for (const MultiClass& m : multis_) signature.push_back(m.request.allows_model(static_cast<int32_t>(model)));
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

  device_rows_.resize(static_cast<size_t>(groups_) * (kGrid + 1), -1);
  device_counts_.resize(device_rows_.size());
  values_.resize(device_rows_.size());
  for (int g = 0; g < groups_; ++g) {
    for (int r = 1; r <= kGrid; ++r) device_rows_[static_cast<size_t>(g * (kGrid + 1) + r)] = lp_.AddRow(-LinearProgram::kInfinity, 0);
  }
  // The safety factors shift demand between classes; its sum stays what is to come.
  const auto safety = [&](uint64_t mask) { return mask != kAnyModel ? options_.typed_safety : 1.0; };
  mix_gpus_ = 0;
  for (DeviceClass& c : singles_) {
    c.share *= safety(c.model_mask);
    mix_gpus_ += c.share * c.cells / kGrid;
  }
  for (MultiClass& m : multis_) {
    m.share *= safety(m.request.model_mask) * options_.multi_safety;
    mix_gpus_ += m.share * m.devices;
  }
  for (DeviceClass& c : singles_) {
    c.row = lp_.AddRow(0, LinearProgram::kInfinity);
    AddDemand(c.share * c.cells / kGrid / mix_gpus_, c.share / mix_gpus_, c.row);
  }
  for (MultiClass& m : multis_) {
    m.row = lp_.AddRow(0, LinearProgram::kInfinity);
    AddDemand(m.share * m.devices / mix_gpus_, m.share / mix_gpus_, m.row);
  }
}

void Prices::AddDemand(double weight, double share_per_gpu, int row) {
  for (int j = 0; j < kSegments; ++j) {
    const LpEntry entry{row, -share_per_gpu};
    demand_columns_.push_back(lp_.AddColumn(weight * kSlopes[static_cast<size_t>(j)], 0, 0, {&entry, 1}));
  }
}

int Prices::GroupOf(const Shape& shape) const {
  return shape.gpu_model < 0 || static_cast<size_t>(shape.gpu_model) + 1 >= group_of_model_.size() ? group_of_model_.back()
                                                                                                  : group_of_model_[static_cast<size_t>(shape.gpu_model)];
}

bool Prices::Hosts(const Shape& shape, const NodeState& state, int full, const MultiClass& m) {
  return full >= m.devices && CanHost(shape, state, m.request, true);
}

uint64_t Prices::Fits(const Shape& shape, const NodeState& state, int full) const {
  uint64_t fits = 0;
  for (size_t m = 0; m < multis_.size(); ++m) {
    if (Hosts(shape, state, full, multis_[m])) fits |= uint64_t{1} << m;
  }
  return fits;
}

void Prices::Knapsack(int group, std::vector<double>* best, std::vector<int>* take) const {
  const uint64_t models = models_of_group_[static_cast<size_t>(group)];
  best->assign(kGrid + 1, 0);
  take->assign(kGrid + 1, -1);
  for (int r = 1; r <= kGrid; ++r) {
    // A residue is worth at least what a smaller one is; -2 - r' would be the same filling, kept by copying its choice.
    double value = (*best)[static_cast<size_t>(r - 1)];
    int item = -2;
    for (size_t k = 0; k < singles_.size(); ++k) {
      const DeviceClass& c = singles_[k];
      if (c.cells > r || (c.model_mask != kAnyModel && (c.model_mask & models) == 0)) continue;
      const double with = (*best)[static_cast<size_t>(r - c.cells)] + c.nu;
      if (with > value + 1e-15) {
        value = with;
        item = static_cast<int>(k);
      }
    }
    (*best)[static_cast<size_t>(r)] = value;
    (*take)[static_cast<size_t>(r)] = item;
  }
}

int Prices::NodeRow(const NodeKey& key) {
  const auto [it, is_new] = node_rows_.try_emplace(key, 0);
  if (!is_new) return it->second;
  it->second = lp_.AddRow(-LinearProgram::kInfinity, 0);
  const int whole = device_rows_[static_cast<size_t>(key.group * (kGrid + 1) + kGrid)];
  const std::array<LpEntry, 2> alone{{{it->second, 1}, {whole, -static_cast<double>(key.full)}}};
  lp_.AddColumn(0, 0, LinearProgram::kInfinity, alone);
  for (size_t m = 0; m < multis_.size(); ++m) {
    if ((key.fits >> m & 1) == 0) continue;
    for (int c = 1; c * multis_[m].devices <= key.full; ++c) {
      // Copies share cpu and memory of the node; whether c of them fit is not looked at, one does.
      const double rest = key.full - c * multis_[m].devices;
      std::array<LpEntry, 3> entries{{{it->second, 1}, {multis_[m].row, static_cast<double>(c)}, {whole, -rest}}};
      lp_.AddColumn(0, 0, LinearProgram::kInfinity, {entries.data(), rest > 0 ? 3u : 2u});
    }
  }
  return it->second;
}

void Prices::Count(const ClusterState& view) {
  std::fill(device_counts_.begin(), device_counts_.end(), 0.0);
  for (auto& [key, count] : node_counts_) count = 0;
  for (const auto& [id, uid] : view.occupied()) {
    const NodeState& state = view.state_class(id).state;
    if (state.device_count == 0) continue;
    const Shape& shape = view.shape_of(state);
    const int group = GroupOf(shape);
    const auto nodes = static_cast<double>(view.class_sizes()[id.value]);
    const int full = state.full_devices();
    for (size_t i = 0; i + static_cast<size_t>(full) < state.device_count; ++i) {
      const int cells = CellsDown(state.gpu_milli[i]);
      if (cells > 0) device_counts_[static_cast<size_t>(group * (kGrid + 1) + cells)] += nodes;
    }
    if (full == 0) continue;
    const uint64_t fits = Fits(shape, state, full);
    if (fits == 0) device_counts_[static_cast<size_t>(group * (kGrid + 1) + kGrid)] += nodes * full;
    else node_counts_[{group, full, fits}] += nodes;
  }
}

absl::Status Prices::Solve(const ClusterState& view, double to_come_gpus) {
  if (mix_gpus_ <= 0) return absl::OkStatus();
  Count(view);
  for (size_t i = 0; i < demand_columns_.size(); ++i) {
    const size_t j = i % kSegments;
    lp_.SetColumn(demand_columns_[i], 0, to_come_gpus * (kEnds[j] - (j > 0 ? kEnds[j - 1] : 0)));
  }
  for (size_t i = 0; i < device_rows_.size(); ++i) {
    if (device_rows_[i] >= 0) lp_.SetRow(device_rows_[i], -LinearProgram::kInfinity, device_counts_[i]);
  }
  // Rows may be made on the way, so the order must not depend on hashing.
  std::vector<std::pair<NodeKey, double>> nodes(node_counts_.begin(), node_counts_.end());
  std::sort(nodes.begin(), nodes.end());
  for (const auto& [key, count] : nodes) {
    const int row = NodeRow(key);
    lp_.SetRow(row, -LinearProgram::kInfinity, count);
  }

  std::vector<double> best;
  std::vector<int> take;
  std::vector<LpEntry> entries;
  std::vector<std::vector<double>> values(static_cast<size_t>(groups_));
  for (int round = 1;; ++round) {
    BERTH_RETURN_IF_ERROR(lp_.Solve());
    for (DeviceClass& c : singles_) c.nu = std::max(0.0, -lp_.dual(c.row));
    for (MultiClass& m : multis_) m.nu = std::max(0.0, -lp_.dual(m.row));
    bool is_better = false;
    for (int g = 0; g < groups_; ++g) {
      Knapsack(g, &best, &take);
      values[static_cast<size_t>(g)] = best;
      for (int r = 1; r <= kGrid; ++r) {
        const int row = device_rows_[static_cast<size_t>(g * (kGrid + 1) + r)];
        if (take[static_cast<size_t>(r)] == -1 || best[static_cast<size_t>(r)] <= std::max(0.0, lp_.dual(row)) + kTolerance) continue;
        // A residue nobody has needs no column, unless node columns may add whole devices.
        if (r < kGrid && device_counts_[static_cast<size_t>(g * (kGrid + 1) + r)] <= 0) continue;
        std::map<int, int> copies;
        for (int rest = r; rest > 0;) {
          const int item = take[static_cast<size_t>(rest)];
          if (item < 0) {
            --rest;
            continue;
          }
          ++copies[item];
          rest -= singles_[static_cast<size_t>(item)].cells;
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
  const double weight = is_solved_ ? options_.smoothing : 1;
  for (int g = 0; g < groups_; ++g) {
    for (int r = 0; r <= kGrid; ++r) {
      double& v = values_[static_cast<size_t>(g * (kGrid + 1) + r)];
      v += weight * (values[static_cast<size_t>(g)][static_cast<size_t>(r)] - v);
    }
  }
  for (MultiClass& m : multis_) m.smooth_nu += weight * (m.nu - m.smooth_nu);
  is_solved_ = true;
  return absl::OkStatus();
}

double Prices::Value(const Shape& shape, const NodeState& state) const {
  if (!is_solved_ || state.device_count == 0) return 0;
  const double* const v = &values_[static_cast<size_t>(GroupOf(shape) * (kGrid + 1))];
  const int full = state.full_devices();
  double sum = 0;
  for (size_t i = 0; i + static_cast<size_t>(full) < state.device_count; ++i) sum += v[CellsDown(state.gpu_milli[i])];
  if (full == 0) return sum;
  double whole = full * v[kGrid];
  for (const MultiClass& m : multis_) {
    const double gain = m.smooth_nu - m.devices * v[kGrid];
    if (gain > 0 && Hosts(shape, state, full, m)) whole = std::max(whole, full * v[kGrid] + (full / m.devices) * gain);
  }
  return sum + whole;
}

double Prices::DeviceValue(int32_t gpu_model, int gpu_milli) const {
  Shape shape;
  shape.gpu_model = gpu_model;
  return values_[static_cast<size_t>(GroupOf(shape) * (kGrid + 1) + CellsDown(gpu_milli))];
}

}  // namespace berth

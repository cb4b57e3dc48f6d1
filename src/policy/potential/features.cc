#include "policy/potential/features.h"

#include <algorithm>
#include <bit>
#include <cmath>

namespace berth {
namespace {

// The names are the schema of a model; Compute lists the values in the same order.
constexpr std::array<std::string_view, kFeatureCount> kNames = {
    "fragment",           // expected GPU that the mix can't use, memory looked at
    "sqrt_idle",          // idle = free GPU, in devices
    "sum_g2",             // sum of squared free device shares / 8
    "no_cpu_8",           // (idle - C/8)+ / 4, C = free vCPU: idle GPU that has not 8 vCPU each
    "surplus_cpu_16",     // (C - 16 idle)+ / 40
    "surplus_mem_64",     // (M - 64 idle)+ / 200, M = free GiB
    "dead",               // least fragment over the common one-device classes: GPU that no common class can use
    "idle",               // idle / 8
    "has_full",           // a wholly free device exists
    "full",               // wholly free devices / 8
    "cpu_ratio_12",       // |C/12 - idle| / 8
    "sqrt_cpu",           // sqrt(C) / 10
    "mem_ratio_48",       // |M/48 - idle| / 8
    "no_cpu_12",          // (idle - C/12)+ / 4
    "no_cpu_16",          // (idle - C/16)+ / 4
    "no_mem_32",          // (idle - M/32)+ / 4
    "no_mem_48",          // (idle - M/48)+ / 4
    "sqrt_mem",           // sqrt(M) / 20
    "has_partly_used",    // a device between free and used up exists
    "full_share_2",       // (wholly free devices / devices)^2
    "all_full",           // every device is wholly free
    "full_4",             // 4 or more wholly free devices
    "partly_used",        // devices between free and used up / 8
    "full_2",             // 2 or more wholly free devices
    "dead_all",           // least fragment over all classes with GPU
    "is_empty",           // no pod runs on the node
    "cpu_share",          // free cpu / capacity
    "mem_share",          // free memory / capacity
    "cpu_fragment",       // cpu_share x weight of the classes that do not fit any more
    "mem_fragment",       // mem_share x the same
    "cpu_share_2",        // cpu_share^2
    "share_gap",          // |cpu_share - mem_share|
    "surplus_cpu_mid",    // (C - c idle)+ / 40, c = half way from the vCPU that the mix asks a GPU to those that the cluster has
    "surplus_mem_mid",    // (M - m idle)+ / 200, m the same for GiB
    "surplus_cpu_asked",  // (C - c idle)+ / 40, c = what the mix asks
    "surplus_mem_asked",  // (M - m idle)+ / 200
    "no_cpu_asked",       // (idle - C/c)+ / 4
    "no_mem_asked",       // (idle - M/m)+ / 4
    "surplus_cpu_12",     // (C - 12 idle)+ / 40
    "cpu_pods_fit",       // vCPU of the classes without GPU that fit, times their weight
    "cpu_pods_copies",    // the same times sqrt(copies that fit) / 4
    "copies",             // sum of sqrt(weight) x copies that fit / 32, over classes with GPU
    "scarce_idle",        // scarcity of the node's GPU model x idle / 8
    "exit",               // exit class / 8 (node_exits.h): log2 of the minutes until the node is empty
    "exit_whole",         // the same, on nodes with the most devices of the cluster
    "exit_idle",          // exit class / 8 x idle / 8
    "exit_cpu",           // exit class / 8 x cpu_share
};

constexpr double kCommonShare = 0.01;
constexpr double kGib = static_cast<double>(int64_t{1} << 30);
constexpr double kLeastRatio = 0.25, kMostRatio = 4096;   // of vCPU or GiB a GPU

std::array<int64_t, 3> TotalsOf(const ClusterState& view) { return {view.total_gpu_milli(), view.total_cpu_milli(), view.total_mem_bytes()}; }

}  // namespace

std::span<const std::string_view, kFeatureCount> FeatureNames() { return kNames; }

size_t FeatureIndex(std::string_view name) { return static_cast<size_t>(std::find(kNames.begin(), kNames.end(), name) - kNames.begin()); }

ClusterRatios ClusterRatios::Of(const ClusterState& view) {
  ClusterRatios ratios;
  if (!view.has_gpus()) return ratios;
  const double gpus = static_cast<double>(view.total_gpu_milli()) / 1000;
  const auto step = [&](double amount) { return amount > 0 ? static_cast<int>(std::lround(16 * std::log2(amount / gpus))) : 0; };
  ratios.cpu_step = step(static_cast<double>(view.total_cpu_milli()) / 1000);
  ratios.mem_step = step(static_cast<double>(view.total_mem_bytes()) / kGib);
  return ratios;
}

FeatureExtractor::FeatureExtractor(PodMix typical, PodMix mix) : typical_(std::move(typical)), whole_(std::move(mix)) {
  if (whole_.empty()) whole_ = typical_;
}

bool FeatureExtractor::IsUpToDate(const ClusterState& view) {
  const auto totals = TotalsOf(view);
  if (totals == totals_) return true;
  if (ClusterRatios::Of(view) != has_) return false;
  totals_ = totals;
  return true;
}

void FeatureExtractor::Reset(const ClusterState& view) {
  has_ = ClusterRatios::Of(view);
  totals_ = TotalsOf(view);
  scan_.Reset(view, typical_);
  most_devices_ = 0;
  for (const Shape& shape : view.shapes()) most_devices_ = std::max(most_devices_, shape.device_count);
  double cpu = 0, gib = 0, gpus = 0, shared = 0, multi = 0, typed = 0;
  scarcity_.assign(view.gpu_models().size(), 0);
  for (const ResolvedMixClass& c : ResolveMix(view, whole_)) {
    const double g = c.weight * static_cast<double>(c.request.total_gpu_milli()) / 1000;
    cpu += c.weight * static_cast<double>(c.request.cpu_milli) / 1000;
    gib += c.weight * static_cast<double>(c.request.mem_bytes) / kGib;
    gpus += g;
    if (c.request.gpu_count > 1) multi += g;
    else if (c.request.gpu_milli < kWholeGpuMilli) shared += g;
    if (c.request.model_mask != ~uint64_t{0}) typed += g;
    if (g <= 0 || c.request.model_mask == ~uint64_t{0}) continue;
    const int models = std::popcount(c.request.model_mask);
    for (size_t m = 0; m < scarcity_.size(); ++m) {
      if (models > 0 && c.request.allows_model(static_cast<int32_t>(m))) scarcity_[m] += g / models;
    }
  }
  if (gpus > 0) {
    for (double& s : scarcity_) s /= gpus;
  }
  // A mix without GPUs, or without cpu, has no ratio: the cluster's own stands for it.
  const auto ratio = [](double asked, double of, double instead) { return asked > 0 && of > 0 ? std::clamp(asked / of, kLeastRatio, kMostRatio) : instead; };
  const double cpu_has = std::clamp(std::exp2(has_.cpu_step / 16.0), kLeastRatio, kMostRatio);
  const double gib_has = std::clamp(std::exp2(has_.mem_step / 16.0), kLeastRatio, kMostRatio);
  cpu_asked_ = ratio(cpu, gpus, cpu_has);
  gib_asked_ = ratio(gib, gpus, gib_has);
  mix_shape_ = {};
  if (gpus > 0 && view.has_gpus()) {
    mix_shape_ = {static_cast<float>(std::min<double>(kMostMixShape, cpu_asked_ / cpu_has)), static_cast<float>(shared / gpus), static_cast<float>(multi / gpus),
                  static_cast<float>(typed / gpus)};
  }
  cpu_mid_ = (cpu_asked_ + cpu_has) / 2;
  gib_mid_ = (gib_asked_ + gib_has) / 2;
}

void FeatureExtractor::Compute(const Shape& shape, const NodeState& state, Features* out) {
  const double n = state.device_count;
  const double idle = static_cast<double>(IdleGpuMilli(state)) / 1000;
  const double cpu = std::max(0.0, static_cast<double>(state.cpu_milli) / 1000);
  const double gib = std::max(0.0, static_cast<double>(state.mem_bytes) / static_cast<double>(int64_t{1} << 30));
  const double full = state.full_devices();
  double squares = 0, partly = 0;
  for (size_t i = 0; i < state.device_count; ++i) {
    const double g = std::max(0.0, static_cast<double>(state.gpu_milli[i]) / 1000);
    squares += g * g;
    partly += state.gpu_milli[i] > 0 && state.gpu_milli[i] < kWholeGpuMilli;
  }
  double fragment = 0, dead = idle, dead_all = idle, refused = 0, cpu_pods = 0, cpu_copies = 0, copies = 0;
  scan_.Scan(shape, state);
  scan_.Count(state);
  for (size_t i = 0; i < scan_.size(); ++i) {
    const double weight = scan_.weight(i), f = scan_.fragment_milli(i) / 1000, n_fit = scan_.copies(i);
    fragment += weight * f;
    if (!scan_.fits(i)) {
      refused += weight;
    } else if (scan_.gpu_count(i) == 0) {
      const double weighted = weight * scan_.cpu_milli(i) / 1000;
      cpu_pods += weighted;
      cpu_copies += weighted * std::sqrt(n_fit) / 4;
    } else {
      copies += scan_.root(i) * n_fit / 32;
    }
    if (scan_.gpu_count(i) > 0) dead_all = std::min(dead_all, f);
    if (scan_.gpu_count(i) == 1 && weight >= kCommonShare) dead = std::min(dead, f);
  }
  const auto plus = [](double x) { return std::max(0.0, x); };
  const double cpu_share = shape.cpu_milli > 0 ? cpu * 1000 / static_cast<double>(shape.cpu_milli) : 0;
  const double mem_share =
      shape.mem_bytes > 0 ? gib * static_cast<double>(int64_t{1} << 30) / static_cast<double>(shape.mem_bytes) : 0;
  const double scarcity = shape.gpu_model >= 0 && static_cast<size_t>(shape.gpu_model) < scarcity_.size() ? scarcity_[static_cast<size_t>(shape.gpu_model)] : 0;
  const double exit = state.exit_class / 8.0;
  const std::array<double, kFeatureCount> x = {
      fragment, std::sqrt(idle), squares / 8, plus(idle - cpu / 8) / 4, plus(cpu - 16 * idle) / 40, plus(gib - 64 * idle) / 200,
      dead, idle / 8, full > 0 ? 1.0 : 0.0, full / 8, std::abs(cpu / 12 - idle) / 8, std::sqrt(cpu) / 10,
      std::abs(gib / 48 - idle) / 8, plus(idle - cpu / 12) / 4, plus(idle - cpu / 16) / 4, plus(idle - gib / 32) / 4,
      plus(idle - gib / 48) / 4, std::sqrt(gib) / 20, partly > 0 ? 1.0 : 0.0, n > 0 ? full / n * (full / n) : 0,
      n > 0 && full == n ? 1.0 : 0.0, full >= 4 ? 1.0 : 0.0, partly / 8, full >= 2 ? 1.0 : 0.0, dead_all,
      state.is_empty ? 1.0 : 0.0, cpu_share, mem_share, cpu_share * refused, mem_share * refused, cpu_share * cpu_share,
      std::abs(cpu_share - mem_share), plus(cpu - cpu_mid_ * idle) / 40, plus(gib - gib_mid_ * idle) / 200,
      plus(cpu - cpu_asked_ * idle) / 40, plus(gib - gib_asked_ * idle) / 200, plus(idle - cpu / cpu_asked_) / 4,
      plus(idle - gib / gib_asked_) / 4, plus(cpu - 12 * idle) / 40, cpu_pods, cpu_copies, copies, scarcity * idle / 8,
      exit, shape.device_count == most_devices_ ? exit : 0, exit * idle / 8, exit * cpu_share};
  for (size_t i = 0; i < x.size(); ++i) (*out)[i] = static_cast<float>(x[i]);
}

}  // namespace berth

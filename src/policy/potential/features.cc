#include "policy/potential/features.h"

#include <algorithm>
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
};

constexpr double kCommonShare = 0.01;

}  // namespace

std::span<const std::string_view, kFeatureCount> FeatureNames() { return kNames; }

FeatureExtractor::FeatureExtractor(PodMix typical) : typical_(std::move(typical)) {}

void FeatureExtractor::Reset(const ClusterState& view) { scan_.Reset(view, typical_); }

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
  double fragment = 0, dead = idle, dead_all = idle, refused = 0;
  scan_.Scan(shape, state);
  for (size_t i = 0; i < scan_.size(); ++i) {
    const double weight = scan_.weight(i), f = scan_.fragment_milli(i) / 1000;
    if (!scan_.fits(i)) refused += weight;
    fragment += weight * f;
    if (scan_.gpu_count(i) > 0) dead_all = std::min(dead_all, f);
    if (scan_.gpu_count(i) == 1 && weight >= kCommonShare) dead = std::min(dead, f);
  }
  const auto plus = [](double x) { return std::max(0.0, x); };
  const double cpu_share = shape.cpu_milli > 0 ? cpu * 1000 / static_cast<double>(shape.cpu_milli) : 0;
  const double mem_share =
      shape.mem_bytes > 0 ? gib * static_cast<double>(int64_t{1} << 30) / static_cast<double>(shape.mem_bytes) : 0;
  const std::array<double, kFeatureCount> x = {
      fragment, std::sqrt(idle), squares / 8, plus(idle - cpu / 8) / 4, plus(cpu - 16 * idle) / 40, plus(gib - 64 * idle) / 200,
      dead, idle / 8, full > 0 ? 1.0 : 0.0, full / 8, std::abs(cpu / 12 - idle) / 8, std::sqrt(cpu) / 10,
      std::abs(gib / 48 - idle) / 8, plus(idle - cpu / 12) / 4, plus(idle - cpu / 16) / 4, plus(idle - gib / 32) / 4,
      plus(idle - gib / 48) / 4, std::sqrt(gib) / 20, partly > 0 ? 1.0 : 0.0, n > 0 ? full / n * (full / n) : 0,
      n > 0 && full == n ? 1.0 : 0.0, full >= 4 ? 1.0 : 0.0, partly / 8, full >= 2 ? 1.0 : 0.0, dead_all,
      state.is_empty ? 1.0 : 0.0, cpu_share, mem_share, cpu_share * refused, mem_share * refused, cpu_share * cpu_share,
      std::abs(cpu_share - mem_share)};
  for (size_t i = 0; i < x.size(); ++i) (*out)[i] = static_cast<float>(x[i]);
}

}  // namespace berth

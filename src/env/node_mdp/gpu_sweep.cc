#include "env/node_mdp/gpu_sweep.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "mdp/thread_team.h"

namespace berth {
namespace {

// Beside the levels of a row there are so many copies of the first value before them, and after them kNoState, which no
// pod is offered.
constexpr int64_t kPad = 8;  // the most lanes
constexpr double kNoState = -1e300;
constexpr int64_t kBlockValues = 4096;
// Fewer states of a rank are swept sooner by one thread than others wake up.
constexpr int64_t kSharedStates = 4096;

struct Offer {
  const double* to;  // of level 0
  int64_t length;    // levels with room
  double rate;
  double reward;
};
struct Leave {
  const double* to;
  int64_t cpu;
  double one_more;
  double rate;
};
// The states of one pattern.
struct Row {
  const double* values;
  int64_t levels;
  double cpu_share, mean_cpu, plain_rate, leave_rate;
  double idle_rate;  // > 0, of a state that nothing moves
  int64_t plain_cpu;
  int num_offers, num_leaves;
  const Offer* offers;
  const Leave* leaves;
};

// Blocks are never passed between separately compiled functions.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wpsabi"
namespace portable {
constexpr int64_t kLanes = 2;
#include "env/node_mdp/gpu_kernel.inc"
}  // namespace portable
#if defined(__x86_64__)
#pragma GCC push_options
#pragma GCC target("avx2")
namespace avx2 {
constexpr int64_t kLanes = 4;
#include "env/node_mdp/gpu_kernel.inc"
}  // namespace avx2
#pragma GCC pop_options
#pragma GCC push_options
#pragma GCC target("avx512f,avx512dq,avx512vl,prefer-vector-width=512")
namespace avx512 {
constexpr int64_t kLanes = 8;
#include "env/node_mdp/gpu_kernel.inc"
}  // namespace avx512
#pragma GCC pop_options
#endif
#pragma GCC diagnostic pop

// What a thread works with.
struct Bench {
  std::vector<Offer> offers;
  std::vector<Leave> leaves;
  std::vector<double> out;
  mdp::ResidualRange range;
};

struct Kernel {
  void (*residuals)(const Row& row, double* out, mdp::ResidualRange& range);
  void (*relax)(const Row& row, double level, double* out);
};

Kernel KernelFor(mdp::InstructionSet set) {
#if defined(__x86_64__)
  if (set == mdp::InstructionSet::kAvx512) return {avx512::Residuals, avx512::Relax};
  if (set == mdp::InstructionSet::kAvx2) return {avx2::Residuals, avx2::Relax};
#endif
  (void)set;
  return {portable::Residuals, portable::Relax};
}

}  // namespace

struct GpuSweep::Impl {
  Impl(const GpuGrid& g, const std::vector<GpuStream>& s, int threads, mdp::InstructionSet set)
      : grid(g),
        streams(s),
        levels(g.cpu_levels()),
        stride((levels + kPad - 1) / kPad * kPad + 2 * kPad),
        kernel(KernelFor(set)),
        team(std::clamp(threads, 1, 64)),
        padded(static_cast<size_t>(stride * g.num_patterns()), 0.0),
        benches(static_cast<size_t>(team.size())) {
    for (Bench& bench : benches) bench.out.resize(static_cast<size_t>(stride));
    for (const GpuStream& stream : streams) arrival_rate += stream.offered_per_h;
    for (int32_t p = 0; p < grid.num_patterns(); ++p) {
      double rate = 0;
      for (const GpuGrid::Departure& d : grid.Departures(p)) rate += d.rate_per_h;
      leave_rate.push_back(rate);
      most_leaves = std::max(most_leaves, static_cast<double>(grid.Departures(p).size()));
      const double plain = std::max(0.0, static_cast<double>(levels - 1) - grid.MeanCpu(p)) * grid.plain_rate_per_h();
      most_leaving = std::max(most_leaving, rate + plain);
      Pad(p);
    }
  }

  double* row(int32_t pattern) { return padded.data() + pattern * stride + kPad; }

  void Pad(int32_t pattern) {
    double* h = row(pattern);
    std::fill(h - kPad, h, h[0]);
    std::fill(h + levels, h + (stride - kPad), kNoState);
  }

  // Stands on what `bench` holds, until the next one.
  Row RowOf(int32_t pattern, Bench& bench) {
    bench.offers.clear();
    bench.leaves.clear();
    Row out;
    out.values = row(pattern);
    out.levels = levels;
    out.cpu_share = grid.CpuShare(pattern);
    out.mean_cpu = grid.MeanCpu(pattern);
    out.plain_rate = grid.plain_rate_per_h();
    out.plain_cpu = grid.plain_cpu();
    out.leave_rate = leave_rate[static_cast<size_t>(pattern)];
    out.idle_rate = arrival_rate > 0 ? arrival_rate : 1;
    for (size_t k = 0; k < streams.size(); ++k) {
      const int32_t after = grid.After(pattern, k), step = grid.CpuStep(k);
      if (streams[k].offered_per_h <= 0 || after < 0 || step >= levels) continue;
      bench.offers.push_back({row(after) + step, levels - step, streams[k].offered_per_h, streams[k].earned});
    }
    for (const GpuGrid::Departure& d : grid.Departures(pattern)) {
      bench.leaves.push_back({row(d.pattern), d.cpu, d.one_more, d.rate_per_h});
    }
    out.offers = bench.offers.data();
    out.num_offers = static_cast<int>(bench.offers.size());
    out.leaves = bench.leaves.data();
    out.num_leaves = static_cast<int>(bench.leaves.size());
    return out;
  }

  // The part of [begin, end) that is a member's.
  template <class Visit>
  void ForPart(int member, int64_t begin, int64_t end, Visit&& visit) {
    ForPart(member, team.size(), begin, end, visit);
  }
  template <class Visit>
  static void ForPart(int member, int members, int64_t begin, int64_t end, Visit&& visit) {
    const int64_t n = end - begin;
    for (int64_t i = begin + n * member / members; i < begin + n * (member + 1) / members; ++i) visit(i);
  }

  mdp::ResidualRange RangeInto(double* out) {
    constexpr double kInfinity = std::numeric_limits<double>::infinity();
    constexpr mdp::ResidualRange kNothing = {kInfinity, -kInfinity, kInfinity, -kInfinity};
    team.Run([&](int member) {
      Bench& bench = benches[static_cast<size_t>(member)];
      mdp::ResidualRange range = kNothing;
      ForPart(member, 0, grid.num_patterns(), [&](int64_t p) {
        const auto pattern = static_cast<int32_t>(p);
        kernel.residuals(RowOf(pattern, bench), out == nullptr ? nullptr : out + (row(pattern) - padded.data()), range);
      });
      bench.range = range;
    });
    mdp::ResidualRange all = kNothing;
    for (const Bench& bench : benches) {
      const mdp::ResidualRange& range = bench.range;
      all.lowest = std::min(all.lowest, range.lowest);
      all.highest = std::max(all.highest, range.highest);
      all.lowest_value = std::min(all.lowest_value, range.lowest_value);
      all.highest_value = std::max(all.highest_value, range.highest_value);
    }
    return all;
  }

  const GpuGrid& grid;
  const std::vector<GpuStream>& streams;
  const int64_t levels, stride;
  const Kernel kernel;
  bool is_downwards = false;  // the last sweep
  mdp::internal::ThreadTeam team;
  std::vector<double> padded;  // [patterns, stride]
  std::vector<double> residuals;
  std::vector<Bench> benches;      // [threads]
  std::vector<double> leave_rate;  // [patterns] of what leaves devices
  double arrival_rate = 0, most_leaving = 0, most_leaves = 0;
};

GpuSweep::GpuSweep(const GpuGrid& grid, const std::vector<GpuStream>& streams, int threads,
                   mdp::InstructionSet instructions)
    : impl_(std::make_unique<Impl>(grid, streams, threads, instructions)) {}
GpuSweep::~GpuSweep() = default;

int64_t GpuSweep::num_states() const { return impl_->grid.num_states(); }

void GpuSweep::SetValues(std::span<const double> values) {
  for (int32_t p = 0; p < impl_->grid.num_patterns(); ++p) {
    const auto from = values.begin() + p * impl_->levels;
    std::copy(from, from + impl_->levels, impl_->row(p));
    impl_->Pad(p);
  }
}

void GpuSweep::GetValues(std::span<double> values) const {
  for (int32_t p = 0; p < impl_->grid.num_patterns(); ++p) {
    const double* row = impl_->row(p);
    std::copy(row, row + impl_->levels, values.begin() + p * impl_->levels);
  }
}

std::span<double> GpuSweep::shuffled_values() { return std::span(impl_->padded).subspan(kPad); }

mdp::ResidualRange GpuSweep::Range() { return impl_->RangeInto(nullptr); }

void GpuSweep::JacobiSweep(double step, double level) {
  Impl& impl = *impl_;
  impl.residuals.resize(impl.padded.size());
  impl.RangeInto(impl.residuals.data());
  for (int32_t p = 0; p < impl.grid.num_patterns(); ++p) {
    double* h = impl.row(p);
    const double* d = impl.residuals.data() + (h - impl.padded.data());
    for (int64_t i = 0; i < impl.levels; ++i) h[i] += step * (d[i] - level);
    impl.Pad(p);
  }
}

void GpuSweep::GaussSeidelSweep(double level) {
  Impl& impl = *impl_;
  const std::vector<int32_t>& ranks = impl.grid.rank_begin();
  const size_t last = ranks.size() - 2;
  impl.is_downwards = !impl.is_downwards;
  for (size_t i = 0; i <= last; ++i) {
    const size_t r = impl.is_downwards ? last - i : i;
    const auto relax = [&](int member, int members) {
      Bench& bench = impl.benches[static_cast<size_t>(member)];
      Impl::ForPart(member, members, ranks[r], ranks[r + 1], [&](int64_t p) {
        const auto pattern = static_cast<int32_t>(p);
        impl.kernel.relax(impl.RowOf(pattern, bench), level, bench.out.data());
        std::copy(bench.out.begin(), bench.out.begin() + impl.levels, impl.row(pattern));
        impl.Pad(pattern);
      });
    };
    if ((ranks[r + 1] - ranks[r]) * impl.levels < kSharedStates)
      relax(0, 1);
    else
      impl.team.Run([&](int member) { relax(member, impl.team.size()); });
  }
}

int GpuSweep::num_blocks() const {
  return static_cast<int>((static_cast<int64_t>(impl_->padded.size()) - kPad - 1) / kBlockValues + 1);
}

void GpuSweep::ForEachBlock(const std::function<void(int, size_t, size_t)>& visit) {
  const auto size = static_cast<int64_t>(impl_->padded.size()) - kPad;
  impl_->team.Run([&](int member) {
    impl_->ForPart(member, 0, num_blocks(), [&](int64_t block) {
      visit(static_cast<int>(block), static_cast<size_t>(block * kBlockValues),
            static_cast<size_t>(std::min(size, (block + 1) * kBlockValues)));
    });
  });
}

double GpuSweep::max_rate() const { return impl_->arrival_rate + impl_->most_leaving; }

double GpuSweep::RoundingBound(const mdp::ResidualRange& range) const {
  // One rounding for each operation, partial sum and number of the model, twice over (as KnapsackSweep).
  double offered = 0;
  for (const GpuStream& stream : impl_->streams) offered += stream.offered_per_h * std::abs(stream.earned);
  const double spread = range.highest_value - range.lowest_value;
  const double operations = 2 * static_cast<double>(impl_->streams.size()) + 4 * impl_->most_leaves + 24;
  return operations * std::numeric_limits<double>::epsilon() * (offered + max_rate() * spread);
}

std::vector<double> GpuSweep::Flows(int sweeps, std::vector<double>& probability) const {
  Impl& impl = *impl_;
  const GpuGrid& grid = impl.grid;
  const int64_t levels = impl.levels;
  const auto states = static_cast<size_t>(grid.num_states());
  if (probability.size() != states) probability.assign(states, 1.0 / static_cast<double>(states));
  const auto for_taken = [&](int32_t p, auto&& visit) {
    const double* h = impl.row(p);
    for (size_t k = 0; k < impl.streams.size(); ++k) {
      const GpuStream& stream = impl.streams[k];
      const int32_t after = grid.After(p, k);
      if (stream.offered_per_h <= 0 || after < 0) continue;
      const int64_t step = grid.CpuStep(k);
      const double* there = impl.row(after) + step;
      for (int64_t c = 0; c + step < levels; ++c) {
        if (stream.earned + (there[c] - h[c]) > 0) visit(k, after, c, c + step);
      }
    }
  };
  // What comes into a state from lower ranks, as of the last pass upwards; from higher ones, as of the last downwards.
  std::vector<double> from_below(states, 0), from_above(states, 0);
  const auto push_up = [&](int32_t p) {
    const double* pi = probability.data() + int64_t{p} * levels;
    for_taken(p, [&](size_t k, int32_t after, int64_t c, int64_t to) {
      if (after != p) from_below[static_cast<size_t>(after * levels + to)] += impl.streams[k].offered_per_h * pi[c];
    });
  };
  const auto push_down = [&](int32_t p) {
    const double* pi = probability.data() + int64_t{p} * levels;
    for (const GpuGrid::Departure& d : grid.Departures(p)) {
      double* to = from_above.data() + int64_t{d.pattern} * levels;
      for (int64_t c = 0; c < levels; ++c) {
        const double share = std::min(1.0, static_cast<double>(c) * grid.CpuShare(p));
        const double flow = d.rate_per_h * pi[c];
        to[c] += flow * (1 - share);
        to[std::max<int64_t>(0, c - d.cpu)] += flow * share * (1 - d.one_more);
        to[std::max<int64_t>(0, c - d.cpu - 1)] += flow * share * d.one_more;
      }
    }
  };
  std::vector<double> out(static_cast<size_t>(levels)), within(static_cast<size_t>(levels));
  const auto balance = [&](int32_t p) {
    const int64_t at = int64_t{p} * levels;
    double* pi = probability.data() + at;
    std::fill(out.begin(), out.end(), impl.leave_rate[static_cast<size_t>(p)]);
    std::fill(within.begin(), within.end(), 0);
    const auto inside = [&](double rate, int64_t c, int64_t to) {
      out[static_cast<size_t>(c)] += rate;
      within[static_cast<size_t>(to)] += rate * pi[c];
    };
    for (int64_t c = 1; c < levels; ++c) {
      const double extra = static_cast<double>(c) - grid.MeanCpu(p);
      if (extra > 0) inside(extra * grid.plain_rate_per_h(), c, std::max<int64_t>(0, c - grid.plain_cpu()));
    }
    for_taken(p, [&](size_t k, int32_t after, int64_t c, int64_t to) {
      const double rate = impl.streams[k].offered_per_h;
      if (after != p)
        out[static_cast<size_t>(c)] += rate;
      else if (to != c)
        inside(rate, c, to);
    });
    for (int64_t c = 0; c < levels; ++c) {
      const auto i = static_cast<size_t>(at + c), j = static_cast<size_t>(c);
      if (out[j] > 0) pi[c] = (from_below[i] + from_above[i] + within[j]) / out[j];
    }
  };
  for (int32_t p = 0; p < grid.num_patterns(); ++p) push_down(p);
  for (int sweep = 0; sweep < sweeps; ++sweep) {
    std::fill(from_below.begin(), from_below.end(), 0);
    for (int32_t p = 0; p < grid.num_patterns(); ++p) balance(p), push_up(p);
    std::fill(from_above.begin(), from_above.end(), 0);
    for (int32_t p = grid.num_patterns(); p-- > 0;) balance(p), push_down(p);
    double sum = 0;
    for (const double pi : probability) sum += pi;
    for (auto* values : {&probability, &from_above}) {
      for (double& v : *values) v /= sum;
    }
  }
  std::vector<double> taken(impl.streams.size(), 0);
  for (int32_t p = 0; p < grid.num_patterns(); ++p) {
    const double* pi = probability.data() + int64_t{p} * levels;
    for_taken(p, [&](size_t k, int32_t, int64_t c, int64_t) { taken[k] += impl.streams[k].offered_per_h * pi[c]; });
  }
  return taken;
}

}  // namespace berth

#include "mdp/knapsack_sweep.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "mdp/thread_team.h"

namespace berth::mdp {
namespace {

constexpr int64_t kMostLanes = 8;
constexpr int32_t kBlockStates = 2048;
using internal::kInfinity;

// What comes to the states of a half run, and what leaves them, as stretches of other half runs counted from its own
// first state.
struct ArrivalTerm {
  const double* values;
  int64_t length;  // states of the half, from its first, in which the class fits
  double rate;
  double reward;
};
struct DepartureTerm {
  const double* values;
  double rate;  // of all the items; of one where is_run_class
  bool is_run_class;
};
// The states of a run with an even, or an odd, number of items of the run class.
struct HalfRun {
  const double* values;
  double* out;
  int64_t length;
  int parity;
  int num_arrivals = 0;
  int num_departures = 0;
  ArrivalTerm arrivals[KnapsackSpace::kMaxClasses];
  DepartureTerm departures[KnapsackSpace::kMaxClasses];
};

// Blocks are never passed between separately compiled functions.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wpsabi"
namespace portable {
constexpr int64_t kLanes = 2;
#include "mdp/knapsack_kernel.inc"
}  // namespace portable
#if defined(__x86_64__)
#pragma GCC push_options
#pragma GCC target("avx2")
namespace avx2 {
constexpr int64_t kLanes = 4;
#include "mdp/knapsack_kernel.inc"
}  // namespace avx2
#pragma GCC pop_options
#pragma GCC push_options
#pragma GCC target("avx512f,avx512dq,avx512vl,prefer-vector-width=512")
namespace avx512 {
constexpr int64_t kLanes = 8;
#include "mdp/knapsack_kernel.inc"
}  // namespace avx512
#pragma GCC pop_options
#endif
#pragma GCC diagnostic pop

struct Kernel {
  void (*range)(const HalfRun& half, double alpha, ResidualRange& range);
  void (*residuals)(const HalfRun& half, double alpha, ResidualRange& range);
  void (*relax)(const HalfRun& half, double alpha, double level);
};

Kernel KernelFor(InstructionSet set) {
#if defined(__x86_64__)
  if (set == InstructionSet::kAvx512) return {avx512::RangeOf, avx512::ResidualsOf, avx512::Relax};
  if (set == InstructionSet::kAvx2) return {avx2::RangeOf, avx2::ResidualsOf, avx2::Relax};
#endif
  (void)set;
  return {portable::RangeOf, portable::ResidualsOf, portable::Relax};
}

// First runs of the slabs, and the end: in a slab the slowest class has one count, so that the neighbours of its states
// are in it, in the one before and in the one after.
std::vector<int> SlabsOf(const KnapsackSpace& space) {
  if (space.num_classes() == 1) return {0, space.num_runs()};
  const int slowest = space.run_class() == 0 ? 1 : 0;
  std::vector<int> begins = {0};
  for (int run = 1; run < space.num_runs(); ++run) {
    if (space.count(run, slowest) != space.count(run - 1, slowest)) begins.push_back(run);
  }
  begins.push_back(space.num_runs());
  return begins;
}

// The slabs cut into stretches of about as much work. A run costs as much to set up as some 32 states to sweep.
std::vector<int> CutSlabs(const KnapsackSpace& space, const std::vector<int>& slabs, int parts) {
  const int count = static_cast<int>(slabs.size()) - 1;
  const auto work_before = [&](int run) { return space.begin(run) + int64_t{32} * run; };
  const int64_t total = work_before(space.num_runs());
  std::vector<int> cuts(static_cast<size_t>(parts) + 1, count);
  int slab = 0;
  for (int part = 0; part < parts; ++part) {
    while (slab < count && (work_before(slabs[slab]) + work_before(slabs[slab + 1])) / 2 * parts < total * part) ++slab;
    cuts[part] = slab;
  }
  return cuts;
}

}  // namespace

bool IsSupported(InstructionSet set) {
#if defined(__x86_64__)
  if (set == InstructionSet::kAvx512) {
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("avx512vl");
  }
  if (set == InstructionSet::kAvx2) return __builtin_cpu_supports("avx2");
#endif
  return set == InstructionSet::kPortable;
}

InstructionSet BestInstructionSet() {
  for (const InstructionSet set : {InstructionSet::kAvx512, InstructionSet::kAvx2}) {
    if (IsSupported(set)) return set;
  }
  return InstructionSet::kPortable;
}

const char* InstructionSetName(InstructionSet set) {
  if (set == InstructionSet::kAvx512) return "avx512";
  return set == InstructionSet::kAvx2 ? "avx2" : "portable";
}

// Values are kept run by run, in each first those with an even number of items of the run class, then the others: the
// neighbours of a half run are stretches of half runs. Every event changes the number of all items by one, so the
// states whose number is even see odd ones alone: those of one colour can move together.
struct KnapsackSweep::Impl {
  Impl(const KnapsackModel& m, const Options& options)
      : model(m),
        space(m.space()),
        alpha(options.discount_rate),
        kernel(KernelFor(options.instructions)),
        team(std::clamp(options.threads, 1, 64)),
        padded(static_cast<size_t>(space.num_states()) + 2 * kMostLanes, 0.0),
        slabs(SlabsOf(space)),
        cuts(CutSlabs(space, slabs, team.size())),
        ranges(static_cast<size_t>(team.size())) {
    for (const KnapsackClass& c : m.classes()) {
      offered += c.arrival_rate * std::abs(c.reward);
      arrival_rate += c.arrival_rate;
    }
    colour.resize(static_cast<size_t>(space.num_runs()));
    for (int run = 0; run < space.num_runs(); ++run) {
      double rate = 0;
      int32_t items = 0;
      for (int k = 0; k < space.num_classes(); ++k) {
        const bool is_run_class = k == space.run_class();
        rate += (is_run_class ? space.length(run) - 1 : space.count(run, k)) * m.classes()[k].departure_rate;
        items += is_run_class ? 0 : space.count(run, k);
      }
      most_departures = std::max(most_departures, rate);
      colour[run] = static_cast<int8_t>(items % 2);
    }
  }

  double* first() { return padded.data() + kMostLanes; }
  StateIndex half_begin(int run, int parity) const {
    return space.begin(run) + (parity == 0 ? 0 : half_length(run, 0));
  }
  int32_t half_length(int run, int parity) const { return (space.length(run) + 1 - parity) / 2; }

  HalfRun HalfOf(int run, int parity, double* out) {
    HalfRun half;
    const double* h = first();
    const int run_class = space.run_class();
    half.values = h + half_begin(run, parity);
    half.out = out == nullptr ? nullptr : out + half_begin(run, parity);
    half.length = half_length(run, parity);
    half.parity = parity;
    for (int k = 0; k < space.num_classes(); ++k) {
      const KnapsackClass& c = model.classes()[k];
      ArrivalTerm& term = half.arrivals[half.num_arrivals];
      if (k == run_class) {
        // From even numbers to the odd ones of the same place; from odd ones to the even ones of the next.
        term = {h + half_begin(run, 1 - parity) + parity, half_length(run, 1 - parity) - parity, c.arrival_rate,
                c.reward};
      } else if (const int32_t above = space.above(run, k); above >= 0) {
        term = {h + half_begin(above, parity), half_length(above, parity), c.arrival_rate, c.reward};
      } else {
        continue;
      }
      ++half.num_arrivals;
    }
    for (int k = 0; k < space.num_classes(); ++k) {
      const double rate = model.classes()[k].departure_rate;
      DepartureTerm& term = half.departures[half.num_departures];
      if (k == run_class) {
        // Where there is no item the rate is 0, and what is read beside the half does not matter.
        term = {h + half_begin(run, 1 - parity) - (1 - parity), rate, true};
      } else if (const int32_t count = space.count(run, k); count > 0) {
        term = {h + half_begin(space.below(run, k), parity), count * rate, false};
      } else {
        continue;
      }
      ++half.num_departures;
    }
    return half;
  }

  template <class Visit>
  void ForEachRun(Visit&& visit) {
    team.Run([&](int member) {
      for (int run = slabs[cuts[member]]; run < slabs[cuts[member + 1]]; ++run) visit(run);
    });
  }

  ResidualRange RangeInto(double* out) {
    constexpr ResidualRange kNothing = {kInfinity, -kInfinity, kInfinity, -kInfinity};
    team.Run([&](int member) {
      ResidualRange range = kNothing;  // a member's own: neighbours in `ranges` share a cache line
      for (int run = slabs[cuts[member]]; run < slabs[cuts[member + 1]]; ++run) {
        for (const int parity : {0, 1}) {
          const HalfRun half = HalfOf(run, parity, out);
          (out == nullptr ? kernel.range : kernel.residuals)(half, alpha, range);
        }
      }
      ranges[member] = range;
    });
    ResidualRange all = kNothing;
    for (const ResidualRange& range : ranges) {
      all.lowest = std::min(all.lowest, range.lowest);
      all.highest = std::max(all.highest, range.highest);
      all.lowest_value = std::min(all.lowest_value, range.lowest_value);
      all.highest_value = std::max(all.highest_value, range.highest_value);
    }
    return all;
  }

  // Calls visit(position, state) for the states in the order of the positions.
  template <class Visit>
  void ForEachPosition(Visit&& visit) const {
    StateIndex position = 0;
    for (int run = 0; run < space.num_runs(); ++run) {
      for (const int parity : {0, 1}) {
        for (int32_t j = parity; j < space.length(run); j += 2) visit(position++, space.begin(run) + j);
      }
    }
  }

  const KnapsackModel& model;
  const KnapsackSpace& space;
  const double alpha;
  const Kernel kernel;
  internal::ThreadTeam team;
  // Blocks at the ends of halves read a little beside them, so the values have room before and after.
  std::vector<double> padded;
  std::vector<double> residuals;  // in the order of `padded`
  std::vector<int8_t> colour;     // [runs] parity of all items but those of the run class
  const std::vector<int> slabs;   // runs [slabs[i], slabs[i + 1]) are slab i
  const std::vector<int> cuts;    // slabs [cuts[i], cuts[i + 1]) belong to member i
  std::vector<ResidualRange> ranges;
  double offered = 0;  // most that arrivals can earn, in absolute numbers
  double arrival_rate = 0;
  double most_departures = 0;
};

KnapsackSweep::KnapsackSweep(const KnapsackModel& model, const Options& options)
    : impl_(std::make_unique<Impl>(model, options)) {}
KnapsackSweep::~KnapsackSweep() = default;

int64_t KnapsackSweep::num_states() const { return impl_->space.num_states(); }

void KnapsackSweep::SetValues(std::span<const double> values) {
  double* h = impl_->first();
  impl_->ForEachPosition([&](StateIndex position, StateIndex s) { h[position] = values[s]; });
}

void KnapsackSweep::GetValues(std::span<double> values) const {
  const double* h = impl_->first();
  impl_->ForEachPosition([&](StateIndex position, StateIndex s) { values[s] = h[position]; });
}

std::span<double> KnapsackSweep::shuffled_values() {
  return {impl_->first(), static_cast<size_t>(impl_->space.num_states())};
}

ResidualRange KnapsackSweep::Range() { return impl_->RangeInto(nullptr); }

ResidualRange KnapsackSweep::Residuals(std::span<double> residuals) {
  impl_->residuals.resize(static_cast<size_t>(impl_->space.num_states()));
  const ResidualRange range = impl_->RangeInto(impl_->residuals.data());
  impl_->ForEachPosition([&](StateIndex position, StateIndex s) { residuals[s] = impl_->residuals[position]; });
  return range;
}

void KnapsackSweep::JacobiSweep(double step, double level) {
  Impl& impl = *impl_;
  impl.residuals.resize(static_cast<size_t>(impl.space.num_states()));
  impl.RangeInto(impl.residuals.data());
  double* h = impl.first();
  impl.ForEachRun([&](int run) {
    for (StateIndex i = impl.space.begin(run); i < impl.space.begin(run + 1); ++i) {
      h[i] += step * (impl.residuals[i] - level);
    }
  });
}

void KnapsackSweep::GaussSeidelSweep(double level) {
  Impl& impl = *impl_;
  const auto relax = [&](int slab, int colour) {
    for (int run = impl.slabs[slab]; run < impl.slabs[slab + 1]; ++run) {
      impl.kernel.relax(impl.HalfOf(run, impl.colour[run] ^ colour, impl.first()), impl.alpha, level);
    }
  };
  // The second colour follows one slab behind the first, while that is in the cache. The slabs at the ends of a
  // member's stretch wait for the first colour of the next member's.
  impl.team.Run([&](int member) {
    const int first = impl.cuts[member], end = impl.cuts[member + 1];
    for (int slab = first; slab < end; ++slab) {
      relax(slab, 0);
      if (slab - 1 > first) relax(slab - 1, 1);
    }
  });
  impl.team.Run([&](int member) {
    const int first = impl.cuts[member], end = impl.cuts[member + 1];
    if (first < end) relax(first, 1);
    if (first + 1 < end) relax(end - 1, 1);
  });
}

int KnapsackSweep::num_blocks() const { return (impl_->space.num_states() - 1) / kBlockStates + 1; }

void KnapsackSweep::ForEachBlock(const std::function<void(int, size_t, size_t)>& visit) {
  const int64_t blocks = num_blocks();
  const int64_t members = impl_->team.size();
  impl_->team.Run([&](int member) {
    for (int64_t block = blocks * member / members; block < blocks * (member + 1) / members; ++block) {
      const int64_t end = std::min<int64_t>((block + 1) * kBlockStates, impl_->space.num_states());
      visit(static_cast<int>(block), static_cast<size_t>(block * kBlockStates), static_cast<size_t>(end));
    }
  });
}

double KnapsackSweep::max_rate() const { return impl_->arrival_rate + impl_->most_departures; }

double KnapsackSweep::RoundingBound(const ResidualRange& range) const {
  // As CheckedBackupVisitor counts: one rounding for each operation, partial sum and number of the model, twice over.
  const Impl& impl = *impl_;
  const double spread = range.highest_value - range.lowest_value;
  const double largest = std::max(std::abs(range.lowest_value), std::abs(range.highest_value));
  const double magnitude = impl.offered + (impl.arrival_rate + impl.most_departures) * spread;
  return (2 * impl.space.num_classes() + 12) * std::numeric_limits<double>::epsilon() *
         (magnitude + impl.alpha * largest);
}

}  // namespace berth::mdp

#include "cluster/lifetimes.h"

#include <algorithm>
#include <cmath>

namespace berth {
namespace {

constexpr double kFirstCutS = 60;
constexpr double kFirstEnds = 1, kFirstLivedS = 3600;   // what all classes together begin with, in every cut

}  // namespace

uint32_t Lifetimes::ClassOf(const ResolvedRequest& request) {
  ResolvedRequest key = request;
  key.exit_class = 0;   // what is learned here must not make a class of its own
  const auto it = index_.find(key);
  if (it != index_.end()) return it->second;
  if (counts_.size() > kMostClasses) return 0;
  const auto life = static_cast<uint32_t>(counts_.size());
  counts_.emplace_back();
  requests_.push_back(key);
  index_.emplace(key, life);
  return life;
}

int Lifetimes::CutOf(double age_s) {
  if (!(age_s >= kFirstCutS)) return 0;
  return std::min(kCuts - 1, 1 + std::ilogb(age_s / kFirstCutS));
}

double Lifetimes::StartOf(int cut) { return cut == 0 ? 0 : std::ldexp(kFirstCutS, cut - 1); }

void Lifetimes::Lived(uint32_t life, double from_s, double to_s) {
  for (int cut = CutOf(from_s); from_s < to_s; ++cut) {
    const double until = cut + 1 < kCuts ? std::min(to_s, StartOf(cut + 1)) : to_s;
    const auto c = static_cast<size_t>(cut);
    counts_[life].lived_s[c] += until - from_s;
    all_.lived_s[c] += until - from_s;
    from_s = until;
  }
}

void Lifetimes::Ended(uint32_t life, double age_s) {
  const auto cut = static_cast<size_t>(CutOf(age_s));
  counts_[life].ended[cut] += 1;
  all_.ended[cut] += 1;
}

double Lifetimes::Hazard(const Counts& counts, int cut) const {
  const auto c = static_cast<size_t>(cut);
  const double together = (all_.ended[c] + kFirstEnds) / (all_.lived_s[c] + kFirstLivedS);
  return (counts.ended[c] + kPriorEnds) / (counts.lived_s[c] + kPriorEnds / together);
}

double Lifetimes::MeanRemainingS(uint32_t life, double age_s) const {
  const Counts& counts = counts_[life];
  double mean = 0, survives = 1, from = std::max(0.0, age_s);
  for (int cut = CutOf(age_s); cut < kCuts; ++cut) {
    const double hazard = Hazard(counts, cut);
    if (cut == kCuts - 1) return mean + survives / hazard;
    const double until = StartOf(cut + 1);
    const double stays = std::exp(-hazard * (until - from));
    mean += survives * (1 - stays) / hazard;
    survives *= stays;
    from = until;
  }
  return mean;
}

}  // namespace berth

// Random numbers that are the same on every machine and standard library: the generator and every distribution are ours.
// Cost: a few nanoseconds a draw, no allocation. Not thread-safe; copy the state to save it.
#ifndef BERTH_BASE_RNG_H_
#define BERTH_BASE_RNG_H_

#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <utility>

namespace berth {

// SplitMix64 (Steele, Lea, Flood, OOPSLA 2014): one step, also a good hash of 64 bits.
constexpr uint64_t SplitMix64(uint64_t x) {
  x += 0x9e3779b97f4a7c15ULL;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
  return x ^ (x >> 31);
}

// xoshiro256** 1.0 (Blackman, Vigna, ACM TOMS 47(4), 2021), seeded by SplitMix64.
class Rng {
 public:
  using State = std::array<uint64_t, 4>;

  explicit Rng(uint64_t seed = 0) {
    for (uint64_t& word : state_) {
      word = SplitMix64(seed);
      seed += 0x9e3779b97f4a7c15ULL;
    }
  }
  // An independent stream of the same seed, for one purpose each (arrivals, lifetimes, node ranks): draws of one purpose
  // never shift those of another, which is what makes runs of two policies comparable pair by pair.
  static Rng Stream(uint64_t seed, uint64_t stream) { return Rng(SplitMix64(seed) ^ SplitMix64(~stream)); }

  uint64_t Next() {
    const uint64_t result = RotateLeft(state_[1] * 5, 7) * 9;
    const uint64_t t = state_[1] << 17;
    state_[2] ^= state_[0];
    state_[3] ^= state_[1];
    state_[1] ^= state_[2];
    state_[0] ^= state_[3];
    state_[2] ^= t;
    state_[3] = RotateLeft(state_[3], 45);
    return result;
  }

  // Uniform in [0, 1), 53 bits.
  double Uniform() { return static_cast<double>(Next() >> 11) * 0x1.0p-53; }

  // Uniform in [0, n), exact (Lemire, ACM TOMACS 29(1), 2019). Requires n > 0.
  uint64_t Below(uint64_t n) {
    unsigned __int128 product = static_cast<unsigned __int128>(Next()) * n;
    if (static_cast<uint64_t>(product) < n) {
      const uint64_t threshold = (0 - n) % n;
      while (static_cast<uint64_t>(product) < threshold) product = static_cast<unsigned __int128>(Next()) * n;
    }
    return static_cast<uint64_t>(product >> 64);
  }

  // Exponential with the given mean.
  double Exponential(double mean) { return -mean * std::log1p(-Uniform()); }

  // Standard normal by the polar method; draws in pairs, the second is thrown away to keep the state plain.
  double Normal() {
    for (;;) {
      const double u = 2 * Uniform() - 1;
      const double v = 2 * Uniform() - 1;
      const double s = u * u + v * v;
      if (s > 0 && s < 1) return u * std::sqrt(-2 * std::log(s) / s);
    }
  }

  // Fisher–Yates.
  template <class Container>
  void Shuffle(Container& c) {
    for (size_t i = c.size(); i > 1; --i) std::swap(c[i - 1], c[Below(i)]);
  }

  const State& state() const { return state_; }
  void set_state(const State& state) { state_ = state; }

 private:
  static constexpr uint64_t RotateLeft(uint64_t x, int k) { return (x << k) | (x >> (64 - k)); }

  State state_;
};

}  // namespace berth

#endif  // BERTH_BASE_RNG_H_

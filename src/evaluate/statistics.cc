#include "evaluate/statistics.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "fmt/format.h"

namespace berth {
namespace {

// Regularised incomplete beta function by its continued fraction (Lentz); Abramowitz & Stegun 26.5.8.
double IncompleteBeta(double a, double b, double x) {
  if (x <= 0) return 0;
  if (x >= 1) return 1;
  if (x > (a + 1) / (a + b + 2)) return 1 - IncompleteBeta(b, a, 1 - x);
  constexpr double kTiny = 1e-300;
  const double front = std::exp(std::lgamma(a + b) - std::lgamma(a) - std::lgamma(b) + a * std::log(x) + b * std::log1p(-x)) / a;
  double c = 1, d = 1 - (a + b) * x / (a + 1);
  d = 1 / (std::abs(d) < kTiny ? kTiny : d);
  double f = d;
  for (int i = 1; i < 500; ++i) {
    const double m = i;
    const auto step = [&](double numerator) {
      d = 1 + numerator * d;
      d = 1 / (std::abs(d) < kTiny ? kTiny : d);
      c = 1 + numerator / c;
      if (std::abs(c) < kTiny) c = kTiny;
      f *= c * d;
      return std::abs(c * d - 1) < 1e-15;
    };
    step(m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)));
    if (step(-(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)))) break;
  }
  return front * f;
}

}  // namespace

double StudentQuantile(int degrees, double confidence) {
  const double n = std::max(1, degrees);
  const auto covered = [&](double t) { return 1 - IncompleteBeta(n / 2, 0.5, n / (n + t * t)); };
  double low = 0, high = 1;
  while (covered(high) < confidence && high < 1e12) high *= 2;
  for (int i = 0; i < 200 && high - low > 1e-13 * high; ++i) {
    const double middle = (low + high) / 2;
    (covered(middle) < confidence ? low : high) = middle;
  }
  return (low + high) / 2;
}

Interval MeanInterval(std::span<const double> values) {
  Interval interval;
  if (values.empty()) return interval;
  const auto n = static_cast<double>(values.size());
  for (double v : values) interval.mean += v / n;
  interval.low = interval.high = interval.mean;
  if (values.size() < 2) return interval;
  double squares = 0;
  for (double v : values) squares += (v - interval.mean) * (v - interval.mean);
  interval.standard_deviation = std::sqrt(squares / (n - 1));
  const double half = StudentQuantile(static_cast<int>(values.size()) - 1, 0.95) * interval.standard_deviation / std::sqrt(n);
  interval.low -= half;
  interval.high += half;
  return interval;
}

std::string MeanAndHalf(const Interval& i) { return fmt::format("{:.3f} ± {:.3f}", i.mean, i.high - i.mean); }

Interval PairedInterval(std::span<const double> a, std::span<const double> b) {
  std::vector<double> differences(std::min(a.size(), b.size()));
  for (size_t i = 0; i < differences.size(); ++i) differences[i] = a[i] - b[i];
  return MeanInterval(differences);
}

double Quantile(std::span<double> values, double p) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  const double at = std::clamp(p, 0.0, 1.0) * static_cast<double>(values.size() - 1);
  const auto below = static_cast<size_t>(at);
  if (below + 1 >= values.size()) return values.back();
  return values[below] + (at - static_cast<double>(below)) * (values[below + 1] - values[below]);
}

}  // namespace berth

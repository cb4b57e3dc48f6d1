// Means and 95 % confidence intervals, plain and paired.
#ifndef BERTH_EVALUATE_STATISTICS_H_
#define BERTH_EVALUATE_STATISTICS_H_

#include <span>
#include <string>

namespace berth {

// Two-sided: P(|T| <= t) = confidence for Student's t with `degrees` >= 1 degrees of freedom. Relative error below 1e-9.
double StudentQuantile(int degrees, double confidence);

struct Interval {
  double mean = 0;
  double low = 0, high = 0;        // 95 %, Student's t; equal to the mean for fewer than two values
  double standard_deviation = 0;   // of the values, n - 1
  bool excludes_zero() const { return low > 0 || high < 0; }
};
Interval MeanInterval(std::span<const double> values);
// "0.123 ± 0.004": mean and half width.
std::string MeanAndHalf(const Interval& interval);

// Of a[i] - b[i], run i of both on the same seed. Requires equal sizes.
Interval PairedInterval(std::span<const double> a, std::span<const double> b);

// The p-quantile (0..1) by linear interpolation between order statistics; 0 for no values. Sorts `values`.
double Quantile(std::span<double> values, double p);

}  // namespace berth

#endif  // BERTH_EVALUATE_STATISTICS_H_

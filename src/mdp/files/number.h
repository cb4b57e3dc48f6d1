// Numbers of text files: decimals and fractions, to the nearest double and back. Internal.
#ifndef BERTH_MDP_FILES_NUMBER_H_
#define BERTH_MDP_FILES_NUMBER_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace berth::mdp::internal {

// numerator / denominator, denominator > 0, both up to 10^18 in absolute value.
struct Fraction {
  int64_t numerator = 0;
  int64_t denominator = 1;
};

// "7", "-1/3", "0.25": nothing for other forms, a denominator of 0 or more than 18 digits.
std::optional<Fraction> ParseFraction(std::string_view text);

// The double nearest to it, ties to even.
double NearestDouble(Fraction fraction);

// A decimal of any form (also inf and nan, which are for the caller to refuse with the place), or a fraction. Nothing
// if malformed, or a decimal out of the range of doubles.
std::optional<double> ParseNumber(std::string_view text);

// A whole number from 0 to `high`, digits alone.
std::optional<int32_t> ParseIndex(std::string_view text, int32_t high);

// The fraction of the smallest denominator found by continued fractions whose nearest double is `value`; nothing where
// it takes more than 18 digits (roughly: below 1e-9 or above 1e18).
std::optional<Fraction> FractionOf(double value);

// "1/3", "2": FractionOf, else the shortest decimal that comes back as `value`.
std::string FractionText(double value);

}  // namespace berth::mdp::internal

#endif  // BERTH_MDP_FILES_NUMBER_H_

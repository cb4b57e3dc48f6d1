#include "mdp/files/number.h"

#include <algorithm>
#include <bit>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <utility>

#include "fmt/format.h"

namespace berth::mdp::internal {
namespace {

constexpr int64_t kLimit = 1'000'000'000'000'000'000;  // 10^18
__extension__ using Wide = unsigned __int128;

// Digits with an optional sign and, if `point` is given, one decimal point; `point` gets the digits after it.
std::optional<int64_t> ParseDigits(std::string_view text, int* point) {
  const bool is_negative = !text.empty() && text[0] == '-';
  int64_t value = 0;
  int digits = 0;
  int after = -1;
  for (const char c : text.substr(is_negative ? 1 : 0)) {
    if (c == '.' && point != nullptr && after < 0) {
      after = 0;
      continue;
    }
    if (c < '0' || c > '9' || value >= kLimit / 10) return std::nullopt;
    value = 10 * value + (c - '0');
    ++digits;
    if (after >= 0) ++after;
  }
  if (digits == 0 || after > 18) return std::nullopt;
  if (point != nullptr) *point = std::max(after, 0);
  return is_negative ? -value : value;
}

}  // namespace

std::optional<Fraction> ParseFraction(std::string_view text) {
  const size_t slash = text.find('/');
  if (slash == std::string_view::npos) {
    int after = 0;
    const std::optional<int64_t> digits = ParseDigits(text, &after);
    if (!digits) return std::nullopt;
    Fraction fraction{.numerator = *digits};
    for (; after > 0; --after) fraction.denominator *= 10;
    return fraction;
  }
  const std::optional<int64_t> above = ParseDigits(text.substr(0, slash), nullptr);
  const std::optional<int64_t> below = ParseDigits(text.substr(slash + 1), nullptr);
  if (!above || !below || *below <= 0) return std::nullopt;
  return Fraction{*above, *below};
}

double NearestDouble(Fraction fraction) {
  if (fraction.numerator == 0) return 0;
  const auto above = static_cast<uint64_t>(std::llabs(fraction.numerator));
  // Shifted until the quotient has at least 65 bits, so that its last bit, set where something remains, decides ties.
  const int shift = 64 + std::countl_zero(above | 1);  // | 1: clang-tidy doesn't see that it is not 0
  const Wide shifted = Wide{above} << shift;
  const auto below = static_cast<Wide>(fraction.denominator);
  const Wide quotient = shifted / below | static_cast<Wide>(shifted % below != 0);
  const double value = std::ldexp(static_cast<double>(quotient), -shift);
  return fraction.numerator < 0 ? -value : value;
}

std::optional<double> ParseNumber(std::string_view text) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error == std::errc() && end == text.data() + text.size()) return value;
  if (text.find('/') == std::string_view::npos) return std::nullopt;
  const std::optional<Fraction> fraction = ParseFraction(text);
  if (!fraction) return std::nullopt;
  return NearestDouble(*fraction);
}

std::optional<int32_t> ParseIndex(std::string_view text, int32_t high) {
  int32_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < 0 || value > high) return std::nullopt;
  return value;
}

std::optional<Fraction> FractionOf(double value) {
  if (!std::isfinite(value)) return std::nullopt;
  long double rest = std::fabs(value);
  // The last two convergents.
  int64_t above = 1, below = 0, above_before = 0, below_before = 1;
  for (int step = 0; step < 64; ++step) {
    const long double whole = std::floor(rest);
    const long double above_next = whole * above + above_before;
    const long double below_next = whole * below + below_before;
    if (above_next >= kLimit || below_next >= kLimit) return std::nullopt;
    above_before = std::exchange(above, static_cast<int64_t>(above_next));
    below_before = std::exchange(below, static_cast<int64_t>(below_next));
    const Fraction fraction{value < 0 ? -above : above, below};
    if (NearestDouble(fraction) == value) return fraction;
    if (rest == whole) return std::nullopt;
    rest = 1 / (rest - whole);
  }
  return std::nullopt;
}

std::string FractionText(double value) {
  const std::optional<Fraction> fraction = FractionOf(value);
  if (!fraction || (value == 0 && std::signbit(value))) return fmt::format("{}", value);
  if (fraction->denominator == 1) return fmt::format("{}", fraction->numerator);
  return fmt::format("{}/{}", fraction->numerator, fraction->denominator);
}

}  // namespace berth::mdp::internal

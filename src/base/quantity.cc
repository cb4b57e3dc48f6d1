#include "base/quantity.h"

#include <cmath>
#include <limits>

#include "absl/strings/charconv.h"
#include "absl/strings/numbers.h"
#include "base/status.h"
#include "fmt/format.h"

namespace berth {
namespace {

constexpr std::string_view kForms = "a Kubernetes quantity from 0 such as 250m, 1.5, 256Mi, 2G or 1e3";
constexpr int kMaxDigits = 38;

// digits * 10^exponent * 2^(10 * binary), exact.
struct Parsed {
  unsigned __int128 digits = 0;
  int exponent = 0;
  int binary = 0;
};

bool ParseSuffix(std::string_view suffix, Parsed* out) {
  if (suffix.empty()) return true;
  constexpr std::string_view kBinary[] = {"Ki", "Mi", "Gi", "Ti", "Pi", "Ei"};
  for (int i = 0; i < 6; ++i) {
    if (suffix == kBinary[i]) {
      out->binary = i + 1;
      return true;
    }
  }
  constexpr std::string_view kDecimal = "num kMGTPE";  // the blank stands for 10^0 and never matches
  if (suffix.size() == 1 && suffix[0] != ' ') {
    const size_t at = kDecimal.find(suffix[0]);
    if (at != std::string_view::npos) {
      out->exponent += (static_cast<int>(at) - 3) * 3;
      return true;
    }
  }
  if (suffix.size() > 1 && (suffix[0] == 'e' || suffix[0] == 'E')) {
    std::string_view number = suffix.substr(1);
    bool negative = false;
    if (number[0] == '+' || number[0] == '-') {
      negative = number[0] == '-';
      number.remove_prefix(1);
    }
    if (number.empty() || number.size() > 3) return false;
    int value = 0;
    for (char c : number) {
      if (c < '0' || c > '9') return false;
      value = value * 10 + (c - '0');
    }
    out->exponent += negative ? -value : value;
    return true;
  }
  return false;
}

bool ParseQuantity(std::string_view text, Parsed* out) {
  if (!text.empty() && text[0] == '+') text.remove_prefix(1);
  size_t i = 0;
  int digits = 0, significant = 0;
  bool point = false;
  for (; i < text.size(); ++i) {
    const char c = text[i];
    if (c == '.') {
      if (point) return false;
      point = true;
      continue;
    }
    if (c < '0' || c > '9') break;
    ++digits;
    if (significant > 0 || c != '0') ++significant;
    if (significant > kMaxDigits) return false;
    out->digits = out->digits * 10 + static_cast<unsigned>(c - '0');
    if (point) --out->exponent;
  }
  if (digits == 0) return false;
  return ParseSuffix(text.substr(i), out);
}

// ceil(parsed * 10^scale), or false when it does not fit in int64.
bool Ceil(Parsed parsed, int scale, int64_t* out) {
  if (parsed.digits == 0) {
    *out = 0;
    return true;
  }
  constexpr unsigned __int128 kMax = static_cast<unsigned __int128>(std::numeric_limits<int64_t>::max());
  int exponent = parsed.exponent + scale;
  unsigned __int128 value = parsed.digits;
  bool inexact = false;
  // Binary factors first where there is room, so that a fraction of a Mi is rounded once, at the end.
  int binary = parsed.binary * 10;
  while (exponent < 0 || binary > 0 || exponent > 0) {
    if (binary > 0 && value >> 120 == 0) {
      value <<= 1;
      --binary;
    } else if (exponent < 0) {
      inexact = inexact || value % 10 != 0;
      value /= 10;
      ++exponent;
      if (value == 0 && binary == 0) break;
    } else if (exponent > 0 && binary == 0 && value <= kMax / 10) {
      value *= 10;
      --exponent;
    } else {
      return false;
    }
  }
  if (inexact) ++value;
  if (value > kMax) return false;
  *out = static_cast<int64_t>(value);
  return true;
}

absl::StatusOr<int64_t> ParseScaled(std::string_view field, std::string_view text, int scale) {
  Parsed parsed;
  int64_t value = 0;
  if (!ParseQuantity(text, &parsed)) return InvalidField(field, text, kForms);
  if (!Ceil(parsed, scale, &value)) {
    return InvalidField(field, text, scale == 0 ? "a quantity up to 9223372036854775807"
                                                : "a quantity up to 9223372036854775807 thousandths");
  }
  return value;
}

}  // namespace

absl::StatusOr<int64_t> ParseCpuMilli(std::string_view field, std::string_view text) {
  return ParseScaled(field, text, 3);
}

absl::StatusOr<int64_t> ParseBytes(std::string_view field, std::string_view text) {
  return ParseScaled(field, text, 0);
}

absl::StatusOr<int64_t> ParseInteger(std::string_view field, std::string_view text, int64_t low, int64_t high) {
  int64_t value = 0;
  const bool has_form = !text.empty() && (text[0] == '-' || (text[0] >= '0' && text[0] <= '9')) &&
                        text.find_first_not_of("-0123456789") == std::string_view::npos;
  if (!has_form || !absl::SimpleAtoi(absl::string_view(text.data(), text.size()), &value) || value < low ||
      value > high) {
    return InvalidField(field, text, fmt::format("a whole number from {} to {}", low, high));
  }
  return value;
}

absl::StatusOr<double> ParseDouble(std::string_view field, std::string_view text, double low, double high) {
  double value = 0;
  const auto result = absl::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || result.ec != std::errc() || result.ptr != text.data() + text.size() || !std::isfinite(value) ||
      value < low || value > high) {
    return InvalidField(field, text, fmt::format("a number from {} to {}", low, high));
  }
  return value;
}

std::string FormatCpuMilli(int64_t cpu_milli) {
  return cpu_milli % 1000 == 0 ? fmt::format("{}", cpu_milli / 1000) : fmt::format("{}m", cpu_milli);
}

std::string FormatBytes(int64_t bytes) {
  constexpr std::string_view kSuffix[] = {"", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"};
  int i = 0;
  while (bytes != 0 && bytes % 1024 == 0 && i < 6) {
    bytes /= 1024;
    ++i;
  }
  return fmt::format("{}{}", bytes, kSuffix[i]);
}

}  // namespace berth

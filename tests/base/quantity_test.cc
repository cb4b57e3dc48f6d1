#include "base/quantity.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace berth {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

TEST(Quantity, CpuIsExactInThousandthsAndRoundsUp) {
  const std::pair<const char*, int64_t> cases[] = {
      {"0", 0}, {"250m", 250}, {"1", 1000}, {"1.5", 1500}, {"0.1m", 1}, {"1500u", 2}, {"250000000n", 250},
      {".5", 500}, {"2.", 2000}, {"1e3", 1000000}, {"1E-3", 1}, {"+1", 1000}, {"1k", 1000000},
      {"9223372036854775807m", 9223372036854775807}, {"0.0010000000000000000000000000000000001", 2}};
  for (const auto& [text, want] : cases) {
    const auto got = ParseCpuMilli("cpu", text);
    ASSERT_TRUE(got.ok()) << text << got.status();
    EXPECT_EQ(*got, want) << text;
  }
}

// Trap T02: fractional bytes round up, and the canonical "m" form is thousandths, not mega.
TEST(Quantity, BytesRoundUpToTheNextByte) {
  const std::pair<const char*, int64_t> cases[] = {
      {"1.3Gi", 1395864372}, {"1395864371200m", 1395864372}, {"256Mi", 268435456}, {"1Ki", 1024}, {"2G", 2000000000},
      {"0.5Ki", 512}, {"7Ei", 8070450532247928832}, {"128974848", 128974848}, {"129e6", 129000000}};
  for (const auto& [text, want] : cases) {
    const auto got = ParseBytes("memory", text);
    ASSERT_TRUE(got.ok()) << text << got.status();
    EXPECT_EQ(*got, want) << text;
  }
}

TEST(Quantity, BadTextIsAnErrorThatNamesFieldAndValue) {
  for (const char* text : {"", " ", "-1", "1 ", " 1", "1.2.3", "Mi", "1Mib", "1mm", "0x10", "NaN", "inf", "1e", "1e+", "1e1000",
                           "8Ei", "9999999999999Ki0", "99999999999999999999999999999999999999999", "1_000", "1,5", "1K", "5 Gi"}) {
    const auto got = ParseBytes("memory", text);
    ASSERT_FALSE(got.ok()) << text;
    EXPECT_EQ(got.status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(got.status().message()), AllOf(HasSubstr("memory"), HasSubstr(text), HasSubstr("accepted")));
  }
}

TEST(Quantity, IntegersAndDoublesKeepTheirRange) {
  EXPECT_EQ(*ParseInteger("n", "-5", -5, 5), -5);
  for (const char* text : {"", "6", "-6", "1.0", "+1", "1e1", " 1", "9223372036854775808", "--1"}) {
    EXPECT_FALSE(ParseInteger("n", text, -5, 5).ok()) << text;
  }
  EXPECT_EQ(*ParseDouble("x", "0.25", 0, 1), 0.25);
  for (const char* text : {"", "nan", "inf", "-0.1", "1.1", "0.5x", "1e400", "0,5"}) {
    EXPECT_FALSE(ParseDouble("x", text, 0, 1).ok()) << text;
  }
}

TEST(Quantity, FormattedTextParsesToTheSameAmount) {
  for (int64_t value : {0L, 1L, 250L, 1000L, 1500L, 1024L, 268435456L, 1395864372L}) {
    EXPECT_EQ(*ParseCpuMilli("cpu", FormatCpuMilli(value)), value);
    EXPECT_EQ(*ParseBytes("memory", FormatBytes(value)), value);
  }
}

}  // namespace
}  // namespace berth

#include "base/status.h"

#include <gtest/gtest.h>

namespace berth {
namespace {

TEST(Status, QuotedCutsAtSixtyFourBytesAndEscapes) {
  EXPECT_EQ(Quoted("a\"b\\c"), "\"a\\\"b\\\\c\"");
  EXPECT_EQ(Quoted(std::string_view("\0\n\xff", 3)), "\"\\x00\\x0a\\xff\"");
  EXPECT_EQ(Quoted("é"), "\"é\"");
  EXPECT_EQ(Quoted(std::string(100, 'x')), "\"" + std::string(64, 'x') + "\" (100 bytes)");
  // A character that would cross the limit is left out whole.
  EXPECT_EQ(Quoted(std::string(63, 'x') + "é"), "\"" + std::string(63, 'x') + "\" (65 bytes)");
}

TEST(Status, InvalidFieldNamesFieldValueAndWhatIsAccepted) {
  EXPECT_EQ(InvalidField("pod.cpu", "-1", "0 or more").message(), "pod.cpu is \"-1\", accepted: 0 or more");
}

}  // namespace
}  // namespace berth

#include "agent/event_file.h"

#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>

namespace berth {
namespace {

uint32_t U32(const std::string& bytes, size_t at) {
  uint32_t value = 0;
  std::memcpy(&value, bytes.data() + at, sizeof value);
  return value;
}

uint32_t Masked(std::string_view bytes) {
  const uint32_t crc = Crc32c(bytes);
  return ((crc >> 15) | (crc << 17)) + 0xa282ead8u;
}

TEST(Crc32c, GivesTheStandardsCheckValue) {
  EXPECT_EQ(Crc32c("123456789"), 0xe3069283u);   // RFC 3720, appendix B.4 and the CRC catalogue
  EXPECT_EQ(Crc32c(std::string(32, '\0')), 0x8a9136aau);
}

TEST(EventFile, RecordCarriesLengthAndBothChecksums) {
  const std::string record = EventFile::Record("payload");
  ASSERT_EQ(record.size(), 8 + 4 + 7 + 4u);
  EXPECT_EQ(record[0], 7);
  EXPECT_EQ(U32(record, 8), Masked(record.substr(0, 8)));
  EXPECT_EQ(U32(record, 19), Masked("payload"));
  EXPECT_NE(U32(record, 19), Masked("paylobd"));
}

TEST(EventFile, ScalarIsAnEventInProtobufWireFormat) {
  const std::string event = EventFile::ScalarEvent("a/b", 300, 1.5, 2.0);
  std::string expected("\x09\0\0\0\0\0\0\0\x40", 9);            // field 1, double 2.0
  expected += std::string("\x10\xac\x02", 3);                   // field 2, varint 300
  expected += std::string("\x2a\x0c\x0a\x0a", 4);               // field 5: summary; its field 1: value
  expected += std::string("\x0a\x03", 2) + "a/b";               // tag
  expected += std::string("\x15\0\0\xc0\x3f", 5);               // simple_value 1.5
  EXPECT_EQ(event, expected);
}

TEST(EventFile, FileBeginsWithTheVersionAndGrowsByOneRecordAScalar) {
  const auto dir = std::filesystem::temp_directory_path() / "berth-event-file-test";
  std::filesystem::remove_all(dir);
  std::filesystem::create_directories(dir);
  auto file = EventFile::Create(dir.string(), 12.0);
  ASSERT_TRUE(file.ok());
  (*file)->Scalar("loss", 1, 0.25, 12.0);
  std::ifstream in(std::filesystem::directory_iterator(dir)->path(), std::ios::binary);
  std::ostringstream text;
  text << in.rdbuf();
  const std::string bytes = text.str();
  EXPECT_NE(bytes.find("brain.Event:2"), std::string::npos);
  EXPECT_TRUE(bytes.ends_with(EventFile::Record(EventFile::ScalarEvent("loss", 1, 0.25, 12.0))));
}

}  // namespace
}  // namespace berth

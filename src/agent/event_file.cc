#include "agent/event_file.h"

#include <unistd.h>

#include <array>
#include <cstring>
#include <filesystem>

#include "fmt/format.h"

namespace berth {
namespace {

constexpr std::array<uint32_t, 256> kCrcTable = [] {
  std::array<uint32_t, 256> table{};
  for (uint32_t i = 0; i < 256; ++i) {
    uint32_t crc = i;
    for (int bit = 0; bit < 8; ++bit) crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78u : 0);   // Castagnoli, reflected
    table[i] = crc;
  }
  return table;
}();

template <class T>
void PutFixed(std::string* out, T value) {
  std::array<char, sizeof value> bytes;
  std::memcpy(bytes.data(), &value, sizeof value);   // the machines we build for are little-endian
  out->append(bytes.data(), bytes.size());
}

void PutVarint(std::string* out, uint64_t value) {
  for (; value >= 0x80; value >>= 7) out->push_back(static_cast<char>(value | 0x80));
  out->push_back(static_cast<char>(value));
}

enum Wire : uint32_t { kVarint = 0, kFixed64 = 1, kBytes = 2, kFixed32 = 5 };

void PutKey(std::string* out, uint32_t field, Wire wire) { PutVarint(out, field << 3 | wire); }

void PutBytes(std::string* out, uint32_t field, std::string_view bytes) {
  PutKey(out, field, kBytes);
  PutVarint(out, bytes.size());
  out->append(bytes);
}

uint32_t MaskedCrc(std::string_view bytes) {
  const uint32_t crc = Crc32c(bytes);
  return (crc >> 15 | crc << 17) + 0xa282ead8u;
}

}  // namespace

uint32_t Crc32c(std::string_view bytes) {
  uint32_t crc = ~0u;
  for (char c : bytes) crc = crc >> 8 ^ kCrcTable[(crc ^ static_cast<unsigned char>(c)) & 0xff];
  return ~crc;
}

std::string EventFile::Record(std::string_view payload) {
  std::string length, record;
  PutFixed(&length, static_cast<uint64_t>(payload.size()));
  record = length;
  PutFixed(&record, MaskedCrc(length));
  record.append(payload);
  PutFixed(&record, MaskedCrc(payload));
  return record;
}

std::string EventFile::ScalarEvent(std::string_view tag, int64_t step, double value, double wall_time_s) {
  std::string scalar, summary, event;
  PutBytes(&scalar, 1, tag);
  PutKey(&scalar, 2, kFixed32);
  PutFixed(&scalar, static_cast<float>(value));
  PutBytes(&summary, 1, scalar);
  PutKey(&event, 1, kFixed64);
  PutFixed(&event, wall_time_s);
  PutKey(&event, 2, kVarint);
  PutVarint(&event, static_cast<uint64_t>(step));
  PutBytes(&event, 5, summary);
  return event;
}

absl::StatusOr<std::unique_ptr<EventFile>> EventFile::Create(const std::string& dir, double wall_time_s) {
  std::array<char, 256> host{};
  if (gethostname(host.data(), host.size() - 1) != 0) std::strcpy(host.data(), "host");
  const auto name = fmt::format("events.out.tfevents.{}.{}", static_cast<int64_t>(wall_time_s), host.data());
  std::ofstream out(std::filesystem::path(dir) / name, std::ios::binary | std::ios::app);
  if (!out) return absl::FailedPreconditionError("the TensorBoard event file can't be made");
  std::string version;
  PutKey(&version, 1, kFixed64);
  PutFixed(&version, wall_time_s);
  PutBytes(&version, 3, "brain.Event:2");
  const std::string record = Record(version);
  out.write(record.data(), static_cast<std::streamsize>(record.size()));
  return std::unique_ptr<EventFile>(new EventFile(std::move(out)));
}

void EventFile::Scalar(std::string_view tag, int64_t step, double value, double wall_time_s) {
  const std::string record = Record(ScalarEvent(tag, step, value, wall_time_s));
  out_.write(record.data(), static_cast<std::streamsize>(record.size()));
  out_.flush();
}

}  // namespace berth

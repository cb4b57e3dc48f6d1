// TensorBoard event files, written without TensorBoard, TensorFlow or protobuf: scalars only.
//
// Record: u64 length, masked crc32c of it, payload, masked crc32c of the payload, little-endian (TensorFlow's record format).
// Payload: an Event message of tensorflow/core/util/event.proto in protobuf's wire format; the first says "brain.Event:2".
#ifndef BERTH_AGENT_EVENT_FILE_H_
#define BERTH_AGENT_EVENT_FILE_H_

#include <cstdint>
#include <fstream>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace berth {

uint32_t Crc32c(std::string_view bytes);

// Not thread-safe. Each scalar reaches the file at once.
class EventFile {
 public:
  // Makes <dir>/events.out.tfevents.<wall_time>.<host>. Errors: FAILED_PRECONDITION it can't be made.
  static absl::StatusOr<std::unique_ptr<EventFile>> Create(const std::string& dir, double wall_time_s);
  void Scalar(std::string_view tag, int64_t step, double value, double wall_time_s);

  static std::string Record(std::string_view payload);
  static std::string ScalarEvent(std::string_view tag, int64_t step, double value, double wall_time_s);

 private:
  explicit EventFile(std::ofstream out) : out_(std::move(out)) {}
  std::ofstream out_;
};

}  // namespace berth

#endif  // BERTH_AGENT_EVENT_FILE_H_

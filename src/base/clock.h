// Time comes in through here, so that tests can hold it in their hands.
#ifndef BERTH_BASE_CLOCK_H_
#define BERTH_BASE_CLOCK_H_

#include <atomic>
#include <cstdint>

namespace berth {

// Thread-safe.
class Clock {
 public:
  virtual ~Clock() = default;
  // Microseconds of a clock that never goes back; the origin is arbitrary.
  virtual int64_t MonotonicMicros() const = 0;
  // Microseconds since 1970-01-01 UTC; for people, never for deadlines.
  virtual int64_t UnixMicros() const = 0;

  // The machine's clocks; lives for ever.
  static const Clock& Real();
};

// A clock that moves only when told to.
class ManualClock : public Clock {
 public:
  explicit ManualClock(int64_t micros = 0) : micros_(micros) {}
  int64_t MonotonicMicros() const override { return micros_.load(); }
  int64_t UnixMicros() const override { return micros_.load(); }
  void Advance(int64_t micros) { micros_.fetch_add(micros); }

 private:
  std::atomic<int64_t> micros_;
};

// CPU seconds that the threads of this process have used, user and system; for benches.
double ProcessCpuSeconds();
// Seconds of a clock that never goes back, finer than MonotonicMicros; for benches.
double MonotonicSeconds();

}  // namespace berth

#endif  // BERTH_BASE_CLOCK_H_

#include "base/clock.h"

#include <chrono>
#include <ctime>

namespace berth {
namespace {

class RealClock : public Clock {
 public:
  int64_t MonotonicMicros() const override { return Count(std::chrono::steady_clock::now()); }
  int64_t UnixMicros() const override { return Count(std::chrono::system_clock::now()); }

 private:
  template <class TimePoint>
  static int64_t Count(TimePoint t) {
    return std::chrono::duration_cast<std::chrono::microseconds>(t.time_since_epoch()).count();
  }
};

double SecondsOf(clockid_t clock) {
  timespec t{};
  clock_gettime(clock, &t);
  return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_nsec) / 1e9;
}

}  // namespace

const Clock& Clock::Real() {
  static const RealClock clock;
  return clock;
}

double ProcessCpuSeconds() { return SecondsOf(CLOCK_PROCESS_CPUTIME_ID); }

double MonotonicSeconds() { return SecondsOf(CLOCK_MONOTONIC); }

}  // namespace berth

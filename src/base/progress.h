// Progress of a long job on stderr: a bar with rate and ETA on a terminal, else a plain line now and then.
#ifndef BERTH_BASE_PROGRESS_H_
#define BERTH_BASE_PROGRESS_H_

#include <cstdint>
#include <mutex>
#include <string>

#include "base/clock.h"

namespace berth {

// Thread-safe. Cost: a lock and a clock read an Advance; draws at most ten times a second (plain lines: every 10 s).
class Progress {
 public:
  // `total` units of work called `unit` ("runs"); 0 = unknown. Silent with is_quiet.
  Progress(std::string title, int64_t total, std::string unit, bool is_quiet = false);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  // `note` is shown behind the figures, e.g. the best score so far.
  void Advance(int64_t units, const std::string& note = "");
  void Finish();

  // "1h02m", "3m05s", "12s".
  static std::string FormatDuration(double seconds);

 private:
  void Draw(bool is_last);

  const std::string title_, unit_;
  const int64_t total_;
  const bool is_quiet_, is_terminal_;
  const int64_t start_us_;
  std::mutex mutex_;
  int64_t done_ = 0;
  int64_t drawn_us_ = 0;
  bool is_finished_ = false;
  std::string note_;
};

}  // namespace berth

#endif  // BERTH_BASE_PROGRESS_H_

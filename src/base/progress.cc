#include "base/progress.h"

#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "base/log.h"
#include "fmt/format.h"

namespace berth {
namespace {

constexpr int64_t kBarIntervalUs = 100'000;
constexpr int64_t kLineIntervalUs = 10'000'000;
constexpr int kBarWidth = 30;

}  // namespace

Progress::Progress(std::string title, int64_t total, std::string unit, bool is_quiet)
    : title_(std::move(title)), unit_(std::move(unit)), total_(total), is_quiet_(is_quiet),
      is_terminal_(isatty(STDERR_FILENO) != 0), start_us_(Clock::Real().MonotonicMicros()), drawn_us_(start_us_) {}

Progress::~Progress() { Finish(); }

void Progress::Advance(int64_t units, const std::string& note) {
  const std::lock_guard lock(mutex_);
  done_ += units;
  if (!note.empty()) note_ = note;
  const int64_t now = Clock::Real().MonotonicMicros();
  if (is_quiet_ || now - drawn_us_ < (is_terminal_ ? kBarIntervalUs : kLineIntervalUs)) return;
  drawn_us_ = now;
  Draw(false);
}

void Progress::Finish() {
  const std::lock_guard lock(mutex_);
  if (is_finished_) return;
  is_finished_ = true;
  if (!is_quiet_ && done_ > 0) Draw(true);
}

void Progress::Draw(bool is_last) {
  const double seconds = static_cast<double>(Clock::Real().MonotonicMicros() - start_us_) / 1e6;
  const double rate = seconds > 0 ? static_cast<double>(done_) / seconds : 0;
  std::string text = fmt::format("{}: {}{} {}, {:.3g}/s", title_, done_, total_ > 0 ? fmt::format("/{}", total_) : "", unit_, rate);
  if (is_last) text += fmt::format(", took {}", FormatDuration(seconds));
  else if (total_ > 0 && rate > 0) text += fmt::format(", ETA {}", FormatDuration(static_cast<double>(total_ - done_) / rate));
  if (!note_.empty()) text += fmt::format("  {}", note_);
  if (!is_terminal_) {
    LogInfo("{}", text);
    return;
  }
  std::string bar;
  if (total_ > 0) {
    const auto full = static_cast<size_t>(std::clamp<int64_t>(done_ * kBarWidth / total_, 0, kBarWidth));
    bar = fmt::format("[{}{}] ", std::string(full, '#'), std::string(kBarWidth - full, '.'));
  }
  fmt::print(stderr, "\r\x1b[2K{}{}{}", bar, text, is_last ? "\n" : "");
  std::fflush(stderr);
}

std::string Progress::FormatDuration(double seconds) {
  const int64_t s = std::llround(seconds);
  if (s >= 3600) return fmt::format("{}h{:02}m", s / 3600, s % 3600 / 60);
  if (s >= 60) return fmt::format("{}m{:02}s", s / 60, s % 60);
  return fmt::format("{}s", s);
}

}  // namespace berth

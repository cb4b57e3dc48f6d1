#include "base/line_file.h"

#include <chrono>

#include "base/status.h"
#include "fmt/format.h"
#include "spdlog/async.h"
#include "spdlog/async_logger.h"
#include "spdlog/sinks/rotating_file_sink.h"

namespace berth {
namespace {

constexpr size_t kMaxWaiting = 8192;

class SpdlogLineFile final : public LineFile {
 public:
  SpdlogLineFile(const std::string& path, size_t max_bytes, size_t files)
      : pool_(std::make_shared<spdlog::details::thread_pool>(kMaxWaiting, 1)),
        logger_(std::make_shared<spdlog::async_logger>("lines", std::make_shared<spdlog::sinks::rotating_file_sink_mt>(path, max_bytes, files),
                                                       pool_, spdlog::async_overflow_policy::overrun_oldest)) {
    logger_->set_pattern("%v");
    logger_->flush_on(spdlog::level::info);
  }
  void Append(std::string_view line) override { logger_->log(spdlog::level::info, "{}", line); }
  size_t dropped() const override { return pool_->overrun_counter(); }

 private:
  std::shared_ptr<spdlog::details::thread_pool> pool_;
  std::shared_ptr<spdlog::async_logger> logger_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<LineFile>> LineFile::Open(const std::string& path, size_t max_bytes, size_t files) {
  try {
    return std::make_unique<SpdlogLineFile>(path, max_bytes, files);
  } catch (const spdlog::spdlog_ex& error) {
    return absl::FailedPreconditionError(fmt::format("{} can't be written: {}", Quoted(path), error.what()));
  }
}

}  // namespace berth

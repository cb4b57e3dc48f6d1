// The log: structured lines on stderr; results belong on stdout. spdlog stays behind this header.
#ifndef BERTH_BASE_LOG_H_
#define BERTH_BASE_LOG_H_

#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "fmt/format.h"

namespace berth {

enum class LogLevel { kDebug, kInfo, kWarning, kError };

// Thread-safe. Lines below the level cost one comparison.
void SetLogLevel(LogLevel level);
bool IsLogged(LogLevel level);
void LogLine(LogLevel level, std::string_view line);

// Errors: INVALID_ARGUMENT for a name that is none of debug, info, warning, error.
absl::Status SetLogLevelByName(std::string_view name);

template <class... Args>
void Log(LogLevel level, fmt::format_string<Args...> format, Args&&... args) {
  if (IsLogged(level)) LogLine(level, fmt::format(format, std::forward<Args>(args)...));
}
template <class... Args>
void LogInfo(fmt::format_string<Args...> format, Args&&... args) {
  Log(LogLevel::kInfo, format, std::forward<Args>(args)...);
}
template <class... Args>
void LogWarning(fmt::format_string<Args...> format, Args&&... args) {
  Log(LogLevel::kWarning, format, std::forward<Args>(args)...);
}
template <class... Args>
void LogError(fmt::format_string<Args...> format, Args&&... args) {
  Log(LogLevel::kError, format, std::forward<Args>(args)...);
}

}  // namespace berth

#endif  // BERTH_BASE_LOG_H_

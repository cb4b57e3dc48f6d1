#include "agent/process_group.h"

#include <cstdlib>

#include "base/quantity.h"
#include "base/status.h"
#include "fmt/format.h"

namespace berth {

absl::StatusOr<std::optional<RankSettings>> RankSettingsFromEnvironment(const std::function<const char*(const char*)>& get) {
  const auto value_of = [&](const char* name) -> std::optional<std::string> {
    const char* const value = get ? get(name) : std::getenv(name);
    return value == nullptr || *value == '\0' ? std::nullopt : std::optional<std::string>(value);
  };
  const auto rank = value_of("RANK"), size = value_of("WORLD_SIZE");
  if (!rank && !size) return std::nullopt;
  RankSettings settings;
  if (!size) return InvalidField("WORLD_SIZE", "not set", fmt::format("1 to {}, as RANK is set", kMostRanks));
  BERTH_ASSIGN_OR_RETURN(const int64_t world, ParseInteger("WORLD_SIZE", *size, 1, kMostRanks));
  if (!rank) return InvalidField("RANK", "not set", fmt::format("0 to {}, as WORLD_SIZE is {}", world - 1, world));
  BERTH_ASSIGN_OR_RETURN(const int64_t own, ParseInteger("RANK", *rank, 0, world - 1));
  if (world == 1) return std::nullopt;
  settings.rank = static_cast<int>(own);
  settings.size = static_cast<int>(world);
  const auto addr = value_of("MASTER_ADDR"), port = value_of("MASTER_PORT");
  if (!addr) return InvalidField("MASTER_ADDR", "not set", "a host name or address of rank 0, as WORLD_SIZE is above 1");
  if (!port) return InvalidField("MASTER_PORT", "not set", "1 to 65535, as WORLD_SIZE is above 1");
  settings.master_addr = *addr;
  BERTH_ASSIGN_OR_RETURN(const int64_t number, ParseInteger("MASTER_PORT", *port, 1, 65535));
  settings.master_port = static_cast<uint16_t>(number);
  return settings;
}

}  // namespace berth

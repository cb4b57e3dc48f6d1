#include "server/options.h"

#include "base/status.h"
#include "fmt/format.h"

namespace berth {

const std::vector<LimitField>& LimitFields() {
  constexpr int64_t kMiB = 1 << 20, kDay = 86400;
  static const auto* const fields = new std::vector<LimitField>{
      {"max-request-bytes", &ServerLimits::max_request_bytes, 1024, 64 * kMiB, "bytes of a request"},
      {"max-delta-bytes", &ServerLimits::max_delta_bytes, 1024, 64 * kMiB, "bytes of a delta, or of one message of a snapshot"},
      {"max-snapshot-bytes", &ServerLimits::max_snapshot_bytes, 1024, 4096 * kMiB, "bytes of a whole snapshot"},
      {"max-page-bytes", &ServerLimits::max_page_bytes, 1024, 64 * kMiB, "bytes of a page of the cluster"},
      {"max-batch", &ServerLimits::max_batch, 1, 100'000, "requests of one batch"},
      {"max-metadata-bytes", &ServerLimits::max_metadata_bytes, 256, kMiB, "bytes of a call's metadata"},
      {"max-concurrent-streams", &ServerLimits::max_concurrent_streams, 1, 1'000'000, "calls at once of one connection"},
      {"quota-bytes", &ServerLimits::quota_bytes, kMiB, int64_t{1} << 40, "memory of all calls"},
      {"quota-threads", &ServerLimits::quota_threads, 4, 10'000, "threads of the transport"},
      {"min-ping-s", &ServerLimits::min_ping_s, 1, kDay, "seconds between keepalive pings that a client may send"},
      {"max-connection-age-s", &ServerLimits::max_connection_age_s, 0, 365 * kDay, "age at which a connection is renewed; 0 = never"},
      {"max-connection-idle-s", &ServerLimits::max_connection_idle_s, 0, 365 * kDay, "idle time after which a connection is closed; 0 = never"},
      {"max-explains", &ServerLimits::max_explains, 1, 64, "explanations at once"},
      {"max-finished-keys", &ServerLimits::max_finished_keys, 0, 10'000'000, "idempotency keys kept after their pod ended"},
      {"drain-s", &ServerLimits::drain_s, 0, 3600, "seconds for calls under way at a shutdown"},
  };
  return *fields;
}

absl::Status ValidateLimits(const ServerLimits& limits) {
  for (const LimitField& f : LimitFields()) {
    const int64_t value = limits.*f.field;
    if (value < f.low || value > f.high) {
      return InvalidField(fmt::format("--{}", f.flag), fmt::format("{}", value), fmt::format("{} to {}", f.low, f.high));
    }
  }
  return absl::OkStatus();
}

}  // namespace berth

// Every limit and switch of the server, with its default. `berth serve` has a flag for each and prints them at start.
#ifndef BERTH_SERVER_OPTIONS_H_
#define BERTH_SERVER_OPTIONS_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "cluster/ledger.h"

namespace berth {

struct ServerLimits {
  int64_t max_request_bytes = 1 << 20;           // of every call but deltas and snapshots
  int64_t max_delta_bytes = 4 << 20;             // of a delta, of one message of a snapshot
  int64_t max_snapshot_bytes = 256 << 20;        // of all messages of a snapshot
  int64_t max_page_bytes = 3 << 20;              // of an answer of GetCluster
  int64_t max_batch = 1000;                      // requests of one PlaceBatch
  int64_t max_metadata_bytes = 16 << 10;         // of one call; checked by us, whatever the library does
  int64_t max_concurrent_streams = 100;          // of one connection
  int64_t quota_bytes = 512 << 20;               // memory of all calls together
  int64_t quota_threads = 64;
  int64_t min_ping_s = 30;                       // a client may ping that often, also without calls
  int64_t max_connection_age_s = 1800;           // then the client is asked to connect anew
  int64_t max_connection_idle_s = 0;             // 0 = for ever
  int64_t max_explains = 2;                      // at once; each copies the cluster
  int64_t max_finished_keys = 65536;             // idempotency keys that are kept after their pod ended
  int64_t drain_s = 5;                           // for calls under way, after SIGTERM
};

struct TlsOptions {
  std::string certificate_file;                  // PEM; empty = no TLS
  std::string key_file;
  std::string client_ca_file;                    // PEM; if named, clients must show a certificate signed by it
};

struct ServerOptions {
  std::string listen = "127.0.0.1:50051";        // host:port, port 0 = any free one; unix:PATH
  bool insecure_listen_beyond_loopback = false;
  TlsOptions tls;
  std::string state_dir;                         // empty: memory only
  bool fsync = false;                            // survive loss of power, not only of the process
  std::string models_dir;                        // root of the model repository; empty: none
  ServerLimits limits;
  Ledger::Options ledger;
};

// One limit: its flag without dashes, where it is, and its accepted range.
struct LimitField {
  const char* flag;
  int64_t ServerLimits::*field;
  int64_t low, high;
  const char* help;
};
const std::vector<LimitField>& LimitFields();

// Errors: INVALID_ARGUMENT naming the flag, value and range.
absl::Status ValidateLimits(const ServerLimits& limits);

// An address that was checked, in gRPC's form.
struct ListenAddress {
  std::string grpc_address;   // "127.0.0.1:0", "unix:/run/berth.sock"
  std::string host;           // empty for unix sockets
  bool is_unix = false;
};
// `flag`, with its dashes, is named in errors. Errors: INVALID_ARGUMENT malformed; FAILED_PRECONDITION a host beyond loopback
// where neither `has_tls` nor `may_be_insecure`.
absl::StatusOr<ListenAddress> ParseListenAddress(const std::string& listen, std::string_view flag, bool has_tls, bool may_be_insecure);

}  // namespace berth

#endif  // BERTH_SERVER_OPTIONS_H_

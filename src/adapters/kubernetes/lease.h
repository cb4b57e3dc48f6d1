// LeaderElector: at most one of several Berths acts, by a Lease of coordination.k8s.io.
//
// Times in the record are for people. A standby counts from the moment, by its own monotonic clock, at which it last saw the record
// change: only after the holder's lease duration without a change it takes over, by an update that the server refuses if somebody
// was faster (resourceVersion). The holder counts from the moment at which it began its last renewal that came through, and stops
// acting `renew_deadline_ms` later; so it has stopped, a bind under way included, before another may begin.
// Source: https://kubernetes.io/docs/concepts/architecture/leases/ ; client-go's defaults of 15, 10 and 2 s.
// Thread-safety: Leads and Stop may be called by all; Step and Run by one thread.
#ifndef BERTH_ADAPTERS_KUBERNETES_LEASE_H_
#define BERTH_ADAPTERS_KUBERNETES_LEASE_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <string>

#include "absl/status/status.h"
#include "adapters/kubernetes/api_client.h"

namespace berth::kubernetes {

class LeaderElector {
 public:
  struct Options {
    std::string name_space, name;   // of the Lease; it is made if it isn't there
    std::string identity;           // differs between the candidates
    int64_t lease_duration_ms = 15000;
    int64_t renew_deadline_ms = 10000;   // shorter than the duration by more than a bind takes
    int64_t retry_ms = 2000;
    std::function<int64_t()> monotonic_ms;                 // default: steady_clock
    std::function<int64_t()> wall_us;                      // for the record only; default: system_clock
  };

  // `client` outlives this.
  LeaderElector(ApiClient* client, Options options);

  // Whether this one may act now.
  bool Leads() const { return options_.monotonic_ms() < leads_until_ms_.load(); }

  // One try to take or to renew the lease. Errors: those of the client; UNAVAILABLE what the server said.
  absl::Status Step();
  // Steps until Stop(), then gives the lease up, so that a standby need not wait.
  void Run();
  void Stop() { is_stopped_.store(true); }

 private:
  void Release();
  absl::Status Write(const char* method, const std::string& path, const std::string& holder, int64_t began_ms);

  ApiClient* const client_;
  Options options_;
  const std::string collection_, path_;   // where a Lease is made, and where it then is
  std::atomic<bool> is_stopped_{false};
  std::atomic<int64_t> leads_until_ms_;
  std::string seen_version_;            // of the record that was seen last
  int64_t seen_ms_ = 0;                 // when it was first seen
  std::string acquired_;                // record: when we became its holder
  int64_t transitions_ = 0;
};

// "host_<16 hex digits>": differs between processes.
std::string NewLeaseIdentity();

}  // namespace berth::kubernetes

#endif  // BERTH_ADAPTERS_KUBERNETES_LEASE_H_

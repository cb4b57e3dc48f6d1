#include "adapters/kubernetes/lease.h"

#include <unistd.h>

#include <chrono>
#include <limits>
#include <random>
#include <thread>
#include <utility>

#include "adapters/kubernetes/json.h"
#include "base/log.h"
#include "base/status.h"
#include "fmt/chrono.h"
#include "fmt/format.h"
#include "nlohmann/json.hpp"

namespace berth::kubernetes {
namespace {

constexpr int64_t kNever = std::numeric_limits<int64_t>::min();

// MicroTime of the API.
std::string MicroTime(int64_t wall_us) {
  const std::time_t seconds = static_cast<std::time_t>(wall_us / 1000000);
  return fmt::format("{:%Y-%m-%dT%H:%M:%S}.{:06}Z", fmt::gmtime(seconds), wall_us % 1000000);
}

}  // namespace

std::string NewLeaseIdentity() {
  char host[256] = {};
  if (::gethostname(host, sizeof host - 1) != 0) host[0] = '\0';
  std::random_device random;
  return fmt::format("{}_{:08x}{:08x}", host[0] != '\0' ? host : "berth", random(), random());
}

LeaderElector::LeaderElector(ApiClient* client, Options options)
    : client_(client),
      options_(std::move(options)),
      collection_(fmt::format("/apis/coordination.k8s.io/v1/namespaces/{}/leases", UrlEncode(options_.name_space))),
      path_(collection_ + "/" + UrlEncode(options_.name)),
      leads_until_ms_(kNever) {
  using std::chrono::duration_cast;
  if (!options_.monotonic_ms) {
    options_.monotonic_ms = [] {
      return duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now().time_since_epoch()).count();
    };
  }
  if (!options_.wall_us) {
    options_.wall_us = [] {
      return duration_cast<std::chrono::microseconds>(std::chrono::system_clock::now().time_since_epoch()).count();
    };
  }
}

absl::Status LeaderElector::Write(const char* method, const std::string& path, const std::string& holder, int64_t began_ms) {
  const std::string now = MicroTime(options_.wall_us());
  if (acquired_.empty()) acquired_ = now;
  nlohmann::json lease = {{"apiVersion", "coordination.k8s.io/v1"}, {"kind", "Lease"}};
  lease["metadata"] = {{"name", options_.name}, {"namespace", options_.name_space}};
  if (!seen_version_.empty()) lease["metadata"]["resourceVersion"] = seen_version_;
  lease["spec"] = {{"holderIdentity", holder},
                   {"leaseDurationSeconds", holder.empty() ? 1 : options_.lease_duration_ms / 1000},
                   {"acquireTime", acquired_},
                   {"renewTime", now},
                   {"leaseTransitions", transitions_}};
  BERTH_ASSIGN_OR_RETURN(const ApiClient::Answer answer,
                         client_->Call(method, path, lease.dump(), "application/json", options_.renew_deadline_ms / 2));
  if (!answer.is_ok()) {
    seen_version_.clear();   // somebody was faster, or it is gone: look again before the next try
    return absl::UnavailableError(fmt::format("lease {}/{}: {} {}", options_.name_space, options_.name, answer.status, ApiMessage(answer)));
  }
  simdjson::dom::parser parser;
  BERTH_ASSIGN_OR_RETURN(const JsonObject object, ParseObject(parser, answer.body, "Lease"));
  const Where where{nullptr, "Lease", -1};
  BERTH_ASSIGN_OR_RETURN(const auto metadata, FindObject(object, "metadata", where));
  if (metadata) {
    BERTH_ASSIGN_OR_RETURN(const std::string_view version, FindString(*metadata, "resourceVersion", where));
    seen_version_ = version;
    seen_ms_ = began_ms;
  }
  return absl::OkStatus();
}

absl::Status LeaderElector::Step() {
  const int64_t began_ms = options_.monotonic_ms();
  const bool led = began_ms < leads_until_ms_.load();
  BERTH_ASSIGN_OR_RETURN(const ApiClient::Answer answer, client_->Call("GET", path_, {}, "", options_.renew_deadline_ms / 2));
  if (answer.status == 404) {
    seen_version_.clear();
    acquired_.clear();
    transitions_ = 0;
  } else if (!answer.is_ok()) {
    return absl::UnavailableError(fmt::format("lease {}/{}: {} {}", options_.name_space, options_.name, answer.status, ApiMessage(answer)));
  } else {
    simdjson::dom::parser parser;
    BERTH_ASSIGN_OR_RETURN(const JsonObject object, ParseObject(parser, answer.body, "Lease"));
    const Where where{nullptr, "Lease", -1};
    BERTH_ASSIGN_OR_RETURN(const auto metadata, FindObject(object, "metadata", where));
    BERTH_ASSIGN_OR_RETURN(const auto spec, FindObject(object, "spec", where));
    std::string version, holder;
    int64_t duration_ms = options_.lease_duration_ms, transitions = 0;
    if (metadata) {
      BERTH_ASSIGN_OR_RETURN(version, FindString(*metadata, "resourceVersion", where));
    }
    if (spec) {
      BERTH_ASSIGN_OR_RETURN(holder, FindString(*spec, "holderIdentity", where));
      BERTH_ASSIGN_OR_RETURN(const int64_t seconds, FindInt(*spec, "leaseDurationSeconds", where, 1, 86400, options_.lease_duration_ms / 1000));
      BERTH_ASSIGN_OR_RETURN(transitions, FindInt(*spec, "leaseTransitions", where, 0, std::numeric_limits<int32_t>::max(), 0));
      duration_ms = seconds * 1000;
    }
    if (version != seen_version_) {
      seen_version_ = version;
      seen_ms_ = options_.monotonic_ms();
    }
    const bool is_ours = holder == options_.identity;
    if (!is_ours) {
      leads_until_ms_.store(kNever);
      if (!holder.empty() && options_.monotonic_ms() < seen_ms_ + duration_ms) return absl::OkStatus();   // its holder may be alive
      acquired_.clear();
      transitions_ = transitions + 1;
    }
  }
  BERTH_RETURN_IF_ERROR(answer.status == 404 ? Write("POST", collection_, options_.identity, began_ms) : Write("PUT", path_, options_.identity, began_ms));
  leads_until_ms_.store(began_ms + options_.renew_deadline_ms);
  if (!led) LogInfo("kubernetes: this Berth leads now ({} of lease {}/{})", options_.identity, options_.name_space, options_.name);
  return absl::OkStatus();
}

void LeaderElector::Run() {
  bool was_leading = false;
  while (!is_stopped_) {
    if (const absl::Status status = Step(); !status.ok()) LogWarning("kubernetes: leader election: {}", MessageOf(status));
    if (was_leading && !Leads()) LogWarning("kubernetes: this Berth leads no longer");
    was_leading = Leads();
    const int64_t end = options_.monotonic_ms() + options_.retry_ms;
    while (!is_stopped_ && options_.monotonic_ms() < end) std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
  Release();
}

void LeaderElector::Release() {
  if (!Leads()) return;
  leads_until_ms_.store(kNever);
  if (const absl::Status status = Write("PUT", path_, "", options_.monotonic_ms()); !status.ok()) {
    LogWarning("kubernetes: the lease was not given up: {}", MessageOf(status));
  }
}

}  // namespace berth::kubernetes

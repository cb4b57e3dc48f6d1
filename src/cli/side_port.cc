#include "cli/side_port.h"

#include <algorithm>
#include <atomic>
#include <thread>
#include <utility>
#include <vector>

#include "absl/synchronization/mutex.h"
#include "adapters/kubernetes/api_client.h"
#include "adapters/kubernetes/cluster_feed.h"
#include "adapters/kubernetes/extender.h"
#include "adapters/kubernetes/kubeconfig.h"
#include "adapters/kubernetes/lease.h"
#include "adapters/kubernetes/reflector.h"
#include "base/clock.h"
#include "base/line_file.h"
#include "base/log.h"
#include "base/status.h"
#include "fmt/format.h"
#include "prometheus/registry.h"
#include "prometheus/text_serializer.h"

namespace berth::cli {
namespace {

class PlacementsSink final : public kubernetes::ClusterSink {
 public:
  explicit PlacementsSink(Placements* placements) : placements_(placements) {}
  absl::StatusOr<ChangeReport> Apply(std::span<const Change> changes) override { return placements_->Apply(changes); }
  absl::StatusOr<ChangeReport> ReplaceAll(std::span<const Node> nodes, std::span<const RunningPod> pods) override {
    return placements_->ReplaceAll(nodes, pods, false);
  }
  absl::StatusOr<Generation> Assume(const Pod& pod, std::string_view node, DeviceSet devices) override {
    return placements_->Assume(pod, node, devices);
  }
  absl::StatusOr<Generation> Forget(const std::string& pod_id) override { return placements_->Forget(pod_id); }
  const Ledger& ledger() const override { return placements_->ledger(); }
  std::shared_ptr<const Policy> policy() const override { return placements_->policy(); }

 private:
  Placements* const placements_;
};

// Prices as /metrics shows them: looked at when it is asked for.
class PriceMetrics {
 public:
  PriceMetrics(std::shared_ptr<const PriceStats> stats, prometheus::Registry& registry) : stats_(std::move(stats)) {
    auto& solves = prometheus::BuildCounter().Name("berth_price_solves_total").Help("Solves of the prices of GPU devices, by result").Register(registry);
    solved_ = &solves.Add({{"result", "ok"}});
    failed_ = &solves.Add({{"result", "error"}});
    seconds_ = &prometheus::BuildGauge().Name("berth_price_solve_seconds").Help("What the last solve took").Register(registry).Add({});
    age_ = &prometheus::BuildGauge().Name("berth_price_age_seconds").Help("Since what is free was counted for the newest prices in use; -1: there are none").Register(registry).Add({});
  }

  void Update() {
    if (stats_ == nullptr) return;
    const absl::MutexLock lock(&mu_);
    const int64_t failures = stats_->failures.load(), solves = stats_->solves.load(), counted_us = stats_->counted_us.load();
    failed_->Increment(static_cast<double>(failures) - failed_->Value());
    solved_->Increment(std::max(0.0, static_cast<double>(solves - failures) - solved_->Value()));
    seconds_->Set(static_cast<double>(stats_->last_solve_us.load()) / 1e6);
    age_->Set(counted_us < 0 ? -1 : static_cast<double>(Clock::Real().MonotonicMicros() - counted_us) / 1e6);
  }

 private:
  const std::shared_ptr<const PriceStats> stats_;
  absl::Mutex mu_;   // two scrapes at once would count an increment twice
  prometheus::Counter *solved_ = nullptr, *failed_ = nullptr;
  prometheus::Gauge *seconds_ = nullptr, *age_ = nullptr;
};

class SidePortImpl final : public SidePort {
 public:
  SidePortImpl(Placements* placements, std::shared_ptr<const PriceStats> prices)
      : placements_(placements), sink_(placements), registry_(std::make_shared<prometheus::Registry>()), metrics_(*registry_),
        price_metrics_(std::move(prices), *registry_) {}

  ~SidePortImpl() override {
    is_ready_ = false;
    if (http_ != nullptr) http_->Stop();   // a bind under way ends before its client is cancelled
    if (elector_ != nullptr) {
      elector_->Stop();
      if (elector_thread_.joinable()) elector_thread_.join();   // gives the lease up
    }
    if (client_ != nullptr) client_->Cancel();
    for (std::thread& thread : threads_) thread.join();
  }

  absl::Status Begin(const SidePortOptions& options) {
    if (!options.prefix.empty() && (options.prefix.front() != '/' || options.prefix.back() == '/')) {
      return InvalidField("--extender-prefix", options.prefix, "nothing, or a path that begins with / and does not end with it");
    }
    kubernetes::Extender::Options extender;
    if (!options.decision_log.empty()) {
      auto log = LineFile::Open(options.decision_log, static_cast<size_t>(options.decision_log_bytes), 3);
      if (!log.ok()) return WithContext(log.status(), "--decision-log");
      decision_log_ = *std::move(log);
      extender.log = [this](std::string_view line) { decision_log_->Append(line); };
    }
    if (options.in_cluster && !options.kubeconfig.empty()) return absl::InvalidArgumentError("--in-cluster and --kubeconfig: give one of them");
    const bool has_api = options.in_cluster || !options.kubeconfig.empty();
    if (has_api) {
      BERTH_ASSIGN_OR_RETURN(auto credentials, options.in_cluster ? kubernetes::InClusterCredentials()
                                                                  : kubernetes::ReadKubeconfig(options.kubeconfig, options.context));
      if (credentials.skip_tls_verify) LogWarning("the API server's certificate is not checked: insecure-skip-tls-verify");
      client_ = std::make_unique<kubernetes::ApiClient>(std::move(credentials));
    }
    if (!options.lease.empty()) {
      const size_t slash = options.lease.find('/');
      if (!has_api || slash == 0 || slash == std::string::npos || slash + 1 == options.lease.size() || options.lease.find('/', slash + 1) != std::string::npos) {
        return InvalidField("--leader-elect", options.lease, "NAMESPACE/NAME of a Lease, with --kubeconfig or --in-cluster");
      }
      kubernetes::LeaderElector::Options lease;
      lease.name_space = options.lease.substr(0, slash);
      lease.name = options.lease.substr(slash + 1);
      lease.identity = kubernetes::NewLeaseIdentity();
      elector_ = std::make_unique<kubernetes::LeaderElector>(client_.get(), std::move(lease));
      extender.leads = [e = elector_.get()] { return e->Leads(); };
    }
    extender_ = std::make_unique<kubernetes::Extender>(&sink_, &names_, &metrics_, client_.get(), std::move(extender));
    if (has_api) {
      feed_ = std::make_unique<kubernetes::ClusterFeed>(&sink_, &names_, &metrics_, extender_.get());
      extender_->set_feed(feed_.get());
    }
    BERTH_ASSIGN_OR_RETURN(http_, HttpServer::Start(options.http, Routes(options.prefix)));
    if (has_api) {
      const auto reflect = [&](const char* path, kubernetes::ReflectorListener& listener) {
        kubernetes::Reflector::Options reflector;
        reflector.path = path;
        reflector.watch_s = options.watch_s;
        auto made = std::make_unique<kubernetes::Reflector>(client_.get(), &listener, std::move(reflector));
        threads_.emplace_back([r = made.get()] { r->Run(); });
        reflectors_.push_back(std::move(made));
      };
      LogInfo("kubernetes: following nodes and pods of {}", client_->server());
      reflect("/api/v1/nodes", feed_->nodes());
      reflect("/api/v1/pods", feed_->pods());
      if (elector_ != nullptr) elector_thread_ = std::thread([this] { elector_->Run(); });
    }
    return absl::OkStatus();
  }

  const std::string& address() const override { return http_->address(); }
  void SetNotReady() override { is_ready_ = false; }

 private:
  std::vector<HttpServer::Route> Routes(const std::string& prefix) {
    std::vector<HttpServer::Route> routes;
    routes.push_back({"GET", "/livez", [](std::string_view) { return HttpAnswer{200, "text/plain", "ok\n"}; }});
    routes.push_back({"GET", "/readyz", [this](std::string_view) { return Readiness(); }});
    routes.push_back({"GET", "/metrics", [this](std::string_view) {
                        price_metrics_.Update();
                        return HttpAnswer{200, "text/plain; version=0.0.4", prometheus::TextSerializer().Serialize(registry_->Collect())};
                      }});
    for (int i = 0; i < kubernetes::kVerbCount; ++i) {
      const auto verb = static_cast<kubernetes::Verb>(i);
      routes.push_back({"POST", fmt::format("{}/{}", prefix, kubernetes::VerbName(verb)),
                        [this, verb](std::string_view body) {
                          kubernetes::Extender::Answer answer = extender_->Call(verb, body);
                          return HttpAnswer{answer.status, "application/json", std::move(answer.body)};
                        },
                        verb == kubernetes::Verb::kBind || verb == kubernetes::Verb::kPreempt});
    }
    return routes;
  }

  HttpAnswer Readiness() const {
    const auto no = [](const char* why) { return HttpAnswer{503, "text/plain", why}; };
    if (!is_ready_) return no("draining\n");
    if (!placements_->is_writable()) return no("the journal can't be written\n");
    if (feed_ != nullptr && !feed_->is_synced()) return no("the cluster has not been read from the API server yet\n");
    if (elector_ != nullptr && !elector_->Leads()) return no("another Berth leads\n");
    return {200, "text/plain", "ok\n"};
  }

  Placements* const placements_;
  PlacementsSink sink_;
  const std::shared_ptr<prometheus::Registry> registry_;
  kubernetes::Metrics metrics_;
  PriceMetrics price_metrics_;
  kubernetes::ExtendedNames names_;
  std::atomic<bool> is_ready_{true};
  std::unique_ptr<LineFile> decision_log_;
  std::unique_ptr<kubernetes::ApiClient> client_;
  std::unique_ptr<kubernetes::LeaderElector> elector_;
  std::thread elector_thread_;
  std::unique_ptr<kubernetes::Extender> extender_;
  std::unique_ptr<kubernetes::ClusterFeed> feed_;
  std::vector<std::unique_ptr<kubernetes::Reflector>> reflectors_;
  std::vector<std::thread> threads_;
  std::unique_ptr<HttpServer> http_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<SidePort>> SidePort::Start(const SidePortOptions& options, Placements* placements) {
  auto port = std::make_unique<SidePortImpl>(placements, options.prices);
  BERTH_RETURN_IF_ERROR(port->Begin(options));
  return port;
}

}  // namespace berth::cli

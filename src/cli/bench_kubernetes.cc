// `berth bench kubernetes`: pods a second of kube-scheduler alone and with Berth as its extender, side by side in one run.
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <thread>

#include "adapters/kubernetes/api_client.h"
#include "adapters/kubernetes/kubeconfig.h"
#include "adapters/kubernetes/reflector.h"
#include "base/log.h"
#include "base/status.h"
#include "cli/child.h"
#include "cli/verbs.h"
#include "evaluate/report.h"
#include "evaluate/statistics.h"
#include "fmt/format.h"

namespace berth::cli {
namespace {

using kubernetes::ApiClient;

struct Flags {
  int64_t nodes = 1000, pods = 2000, rounds = 3;
  std::string policy = "best-fit";
  std::string version = "1.37.2";
  std::string script = "tests/e2e/kubernetes/control_plane.sh";
  bool json = false;
};

constexpr char kConfig[] = R"(apiVersion: kubescheduler.config.k8s.io/v1
kind: KubeSchedulerConfiguration
clientConnection: {kubeconfig: "@KUBECONFIG@", qps: 5000, burst: 5000}
leaderElection: {leaderElect: false}
)";

std::string ExtenderConfig(const std::string& address, std::string_view verbs) {
  return fmt::format("extenders:\n- {{urlPrefix: \"http://{}/extender\", {}, nodeCacheCapable: true, httpTimeout: 5s}}\n", address, verbs);
}

// Notes when pods are bound.
class BindTimes final : public kubernetes::ReflectorListener {
 public:
  void BeginList() override {}
  void Item(kubernetes::JsonObject object) override { Take(object); }
  void EndList() override { is_listed = true; }
  void AbortList() override {}
  void Event(kubernetes::EventType, kubernetes::JsonObject object) override { Take(object); }

  std::atomic<int64_t> bound{0};
  std::atomic<bool> is_listed{false};
  std::atomic<double> first_s{0}, last_s{0};

 private:
  void Take(kubernetes::JsonObject object) {
    const auto spec = kubernetes::FindObject(object, "spec", kubernetes::Where{});
    const auto metadata = kubernetes::FindObject(object, "metadata", kubernetes::Where{});
    if (!spec.ok() || !*spec || !metadata.ok() || !*metadata) return;
    if (kubernetes::FindString(**spec, "nodeName", kubernetes::Where{}).value_or("").empty()) return;
    const std::string name(kubernetes::FindString(**metadata, "name", kubernetes::Where{}).value_or(""));
    if (!seen_.insert({name, true}).second) return;
    const double now = std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
    if (bound.fetch_add(1) == 0) first_s = now;
    last_s = now;
  }
  std::map<std::string, bool> seen_;
};

// Mean and count of a call of ours, from /metrics.
struct CallTime {
  double sum_s = 0, count = 0;
  double mean_us() const { return count > 0 ? sum_s / count * 1e6 : 0; }
};
CallTime ReadCallTime(const std::string& metrics, std::string_view point) {
  CallTime time;
  size_t begin = 0;
  while (begin < metrics.size()) {
    const size_t end = std::min(metrics.find('\n', begin), metrics.size());
    const std::string line = metrics.substr(begin, end - begin);
    begin = end + 1;
    if (line.find(fmt::format("extension_point=\"{}\"", point)) == std::string::npos) continue;
    const double value = std::atof(line.substr(line.rfind(' ') + 1).c_str());
    if (line.starts_with("scheduler_framework_extension_point_duration_seconds_sum")) time.sum_s = value;
    if (line.starts_with("scheduler_framework_extension_point_duration_seconds_count")) time.count = value;
  }
  return time;
}

// A control plane of its own in a folder of its own; both are gone with the object.
class Plane {
 public:
  static absl::StatusOr<std::unique_ptr<Plane>> Start(const Flags& flags) {
    std::unique_ptr<Plane> plane(new Plane(flags));
    setenv("BERTH_E2E_PARENT", std::to_string(getpid()).c_str(), 1);
    LogInfo("bench kubernetes: building {} where it is not built yet (minutes), starting it, {} nodes", flags.version, flags.nodes);
    BERTH_RETURN_IF_ERROR(Child::Run({flags.script, "build", flags.version}));
    BERTH_RETURN_IF_ERROR(Child::Run({flags.script, "up", flags.version, plane->dir_, "--without-kcm", "--without-kwok", "--without-scheduler"}));
    BERTH_RETURN_IF_ERROR(Child::Run({flags.script, "nodes", plane->dir_, std::to_string(flags.nodes), "32", "128Gi"}));
    BERTH_ASSIGN_OR_RETURN(auto credentials, kubernetes::ReadKubeconfig(plane->dir_ + "/admin.kubeconfig"));
    plane->admin_ = std::make_unique<ApiClient>(std::move(credentials));
    return plane;
  }
  ~Plane() {
    const absl::Status down = Child::Run({flags_.script, "down", dir_});
    if (!down.ok()) LogError("bench kubernetes: {}", MessageOf(down));
    std::error_code error;
    if (down.ok()) std::filesystem::remove_all(dir_, error);
  }

  // Pods a second of one kube-scheduler with this configuration: 2000 pods wait when it starts; timed from the first bind to
  // the last.
  absl::StatusOr<double> Measure(const std::string& config) {
    BERTH_RETURN_IF_ERROR(CreatePods());
    BERTH_ASSIGN_OR_RETURN(auto credentials, kubernetes::ReadKubeconfig(dir_ + "/admin.kubeconfig"));
    ApiClient watcher(std::move(credentials));
    BindTimes times;
    kubernetes::Reflector::Options options;
    options.path = "/api/v1/namespaces/default/pods";
    kubernetes::Reflector reflector(&watcher, &times, options);
    std::thread watching([&] { reflector.Run(); });
    absl::Status status;
    for (int i = 0; i < 300 && !times.is_listed; ++i) std::this_thread::sleep_for(std::chrono::milliseconds(100));
    const std::string path = dir_ + "/bench-config.yaml";
    std::ofstream(path) << config;
    status = Child::Run({flags_.script, "scheduler", "start", dir_, path});
    for (int i = 0; i < 6000 && status.ok() && times.bound < flags_.pods; ++i) std::this_thread::sleep_for(std::chrono::milliseconds(50));
    watcher.Cancel();
    watching.join();
    const absl::Status stopped = Child::Run({flags_.script, "scheduler", "stop", dir_});
    BERTH_RETURN_IF_ERROR(status);
    BERTH_RETURN_IF_ERROR(stopped);
    if (times.bound < flags_.pods) return absl::DeadlineExceededError(fmt::format("only {} of {} pods were bound in 300 s", times.bound.load(), flags_.pods));
    BERTH_RETURN_IF_ERROR(DeletePods());
    return static_cast<double>(flags_.pods - 1) / std::max(1e-9, times.last_s - times.first_s);
  }

  std::string kubeconfig() const { return dir_ + "/berth.kubeconfig"; }
  absl::Status AllowBerth() {
    return Child::Run({dir_ + "/kubectl", "apply", "-f", std::filesystem::path(flags_.script).parent_path().string() + "/../../../deploy/kubernetes/extender/rbac.yaml"});
  }

 private:
  explicit Plane(const Flags& flags)
      : flags_(flags), dir_((std::filesystem::temp_directory_path() / fmt::format("berth-bench-{}", getpid())).string()) {}

  absl::Status CreatePods() {
    std::atomic<int64_t> next{0}, failed{0};
    std::vector<std::thread> threads;
    for (int t = 0; t < 8; ++t) {
      threads.emplace_back([&] {
        for (int64_t i = 0; (i = next++) < flags_.pods;) {
          const std::string pod = fmt::format(
              R"({{"apiVersion":"v1","kind":"Pod","metadata":{{"name":"bench-{}"}},"spec":{{"containers":[{{"name":"c","image":"i","resources":{{"requests":{{"cpu":"{}m","memory":"{}Mi"}}}}}}]}}}})",
              i, 250 * (1 + i % 4), 256 * (1 + i % 3));
          const auto answer = admin_->Call("POST", "/api/v1/namespaces/default/pods", pod);
          if (!answer.ok() || !answer->is_ok()) ++failed;
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
    if (failed > 0) return absl::UnavailableError(fmt::format("{} of {} pods could not be created", failed.load(), flags_.pods));
    return absl::OkStatus();
  }

  absl::Status DeletePods() {
    std::atomic<int64_t> next{0};
    std::vector<std::thread> threads;
    for (int t = 0; t < 8; ++t) {
      threads.emplace_back([&] {
        for (int64_t i = 0; (i = next++) < flags_.pods;) {
          admin_->Call("DELETE", fmt::format("/api/v1/namespaces/default/pods/bench-{}?gracePeriodSeconds=0", i)).status().IgnoreError();
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
    return absl::OkStatus();
  }

  const Flags flags_;
  const std::string dir_;
  std::unique_ptr<ApiClient> admin_;
};

struct Variant {
  const char* name;
  const char* verbs;   // null: no extender
};
constexpr Variant kVariants[] = {{"alone", nullptr},
                                 {"extender", "filterVerb: filter, prioritizeVerb: prioritize, weight: 100"},
                                 {"extender-bind", "filterVerb: filter, prioritizeVerb: prioritize, weight: 100, bindVerb: bind"},
                                 {"choose", "filterVerb: choose"},
                                 {"choose-bind", "filterVerb: choose, bindVerb: bind"}};

absl::Status Run(const Flags& flags) {
  std::error_code error;
  const std::string self = std::filesystem::read_symlink("/proc/self/exe", error).string();
  BERTH_ASSIGN_OR_RETURN(const std::unique_ptr<Plane> plane, Plane::Start(flags));
  BERTH_RETURN_IF_ERROR(plane->AllowBerth());
  std::map<std::string, std::vector<double>> rates, cpu_us;
  std::map<std::string, CallTime> filter, prioritize, bind;
  for (int64_t round = 0; round < flags.rounds; ++round) {
    for (const Variant& variant : kVariants) {   // in turn, so that the machine's mood hits all alike
      std::string config = kConfig;
      std::unique_ptr<Child> berth;
      std::string address;
      double cpu_before = 0;
      if (variant.verbs != nullptr) {
        BERTH_ASSIGN_OR_RETURN(berth, Child::Start({self, "--log-level", "warning", "serve", "--listen", "127.0.0.1:0", "--extender", "127.0.0.1:0",
                                                    "--kubeconfig", plane->kubeconfig(), "--policy", flags.policy}));
        berth->ReadLine();
        address = berth->ReadLine().substr(std::string("extender ").size());
        ApiClient side({.server = "http://" + address, .ca_pem = "", .skip_tls_verify = false, .token = "", .token_file = "", .certificate_pem = "", .key_pem = ""});
        bool is_ready = false;
        for (int i = 0; i < 300 && !is_ready; ++i) {
          const auto answer = side.Call("GET", "/readyz");
          is_ready = answer.ok() && answer->is_ok();
          if (!is_ready) std::this_thread::sleep_for(std::chrono::milliseconds(100));
        }
        if (!is_ready) return absl::UnavailableError("berth serve is not ready after 30 s");
        config += ExtenderConfig(address, variant.verbs);
        cpu_before = berth->CpuSeconds();
      }
      BERTH_ASSIGN_OR_RETURN(const double rate, plane->Measure(config));
      rates[variant.name].push_back(rate);
      LogInfo("bench kubernetes: round {} of {}, {}: {:.1f} pods/s", round + 1, flags.rounds, variant.name, rate);
      if (berth == nullptr) continue;
      cpu_us[variant.name].push_back((berth->CpuSeconds() - cpu_before) * 1e6 / static_cast<double>(flags.pods));
      ApiClient side({.server = "http://" + address, .ca_pem = "", .skip_tls_verify = false, .token = "", .token_file = "", .certificate_pem = "", .key_pem = ""});
      BERTH_ASSIGN_OR_RETURN(const ApiClient::Answer metrics, side.Call("GET", "/metrics"));
      const auto add = [&](std::map<std::string, CallTime>& to, std::string_view point) {
        const CallTime time = ReadCallTime(metrics.body, point);
        to[variant.name].sum_s += time.sum_s;
        to[variant.name].count += time.count;
      };
      add(filter, "Filter");
      add(prioritize, "Score");
      add(bind, "Bind");
    }
  }
  const double alone = Quantile(rates["alone"], 0.5);
  nlohmann::json results = nlohmann::json::array();
  Table table{fmt::format("kube-scheduler {}, {} nodes, {} pods, median of {} rounds", flags.version, flags.nodes, flags.pods, flags.rounds),
              {"variant", "pods/s", "lost, %", "our filter, us", "our prioritize, us", "more a pod, us", "of it ours, %"}, {}};
  for (const Variant& variant : kVariants) {
    const std::string name = variant.name;
    std::vector<double>& all = rates[name];
    const double rate = Quantile(all, 0.5);
    nlohmann::json r = {{"nodes", flags.nodes}, {"pods", flags.pods}, {"variant", name}, {"version", flags.version}, {"pods_per_s", rate},
                        {"pods_per_s_min", *std::min_element(all.begin(), all.end())}, {"pods_per_s_max", *std::max_element(all.begin(), all.end())}};
    std::vector<std::string> row{name, fmt::format("{:.1f}", rate), "", "", "", "", ""};
    if (variant.verbs != nullptr) {
      const double lost = 100 * (1 - rate / alone), more_us = 1e6 / rate - 1e6 / alone;
      const double ours_us = filter[name].mean_us() + prioritize[name].mean_us();
      r["policy"] = flags.policy;
      r["lost_percent"] = lost;
      r["filter_us_mean"] = filter[name].mean_us();
      r["prioritize_us_mean"] = prioritize[name].mean_us();
      r["bind_us_mean"] = bind[name].mean_us();
      r["ours_us_per_pod"] = ours_us;
      r["more_us_per_pod"] = more_us;
      r["ours_of_more_percent"] = more_us > 0 ? 100 * ours_us / more_us : 0;
      r["berth_cpu_us_per_pod"] = Quantile(cpu_us[name], 0.5);
      row = {name, row[1], fmt::format("{:.1f}", lost), fmt::format("{:.0f}", filter[name].mean_us()), fmt::format("{:.0f}", prioritize[name].mean_us()),
             fmt::format("{:.0f}", more_us), fmt::format("{:.0f}", more_us > 0 ? 100 * ours_us / more_us : 0)};
    }
    table.rows.push_back(row);
    results.push_back(std::move(r));
  }
  if (flags.json) fmt::print("{}\n", nlohmann::json{{"results", results}, {"machine", MachineJson()}}.dump(1));
  else fmt::print("{}", TextTable(table));
  return absl::OkStatus();
}

const BenchRegistration kKubernetes("kubernetes", [](CLI::App& app, VerbResult& result) {
  auto flags = std::make_shared<Flags>();
  CLI::App* bench = app.add_subcommand("kubernetes", "Pods a second of a stock kube-scheduler alone and with Berth as its extender, side by side");
  bench->footer("Starts a control plane of its own on loopback, and stops it. From the root of the checkout; needs Go 1.26 the first time.\n"
                "Example:\n  berth bench kubernetes --nodes 1000 --pods 2000 --json");
  bench->add_option("--nodes", flags->nodes, "hollow nodes")->check(CLI::Range(int64_t{1}, int64_t{20000}))->capture_default_str();
  bench->add_option("--pods", flags->pods, "pods that wait when the scheduler starts")->check(CLI::Range(int64_t{10}, int64_t{100000}))->capture_default_str();
  bench->add_option("--rounds", flags->rounds, "of each variant, in turn")->check(CLI::Range(int64_t{1}, int64_t{100}))->capture_default_str();
  bench->add_option("--policy", flags->policy, "what decides")->capture_default_str();
  bench->add_option("--kubernetes-version", flags->version, "one that the control plane script builds")->capture_default_str();
  bench->add_option("--control-plane", flags->script, "the script that builds and runs a control plane")->capture_default_str()->check(CLI::ExistingFile);
  bench->add_flag("--json", flags->json, "for programs");
  bench->callback([flags, &result] { result.status = Run(*flags); });
});

}  // namespace
}  // namespace berth::cli

// A stock kube-scheduler asks Berth, on a real control plane. Run by ./test.sh --e2e (one version), --e2e-all (both).
#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <atomic>
#include <set>

#include "e2e/kubernetes/plane.h"

namespace berth::e2e {
namespace {

class KubernetesE2e : public ::testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    const std::string why_not = Plane::Build(GetParam());
    if (!why_not.empty()) GTEST_SKIP() << "SKIPPED: " << why_not;
  }
};
INSTANTIATE_TEST_SUITE_P(Versions, KubernetesE2e, ::testing::Values("1.37.2", "1.34.4"), [](const auto& version) {
  std::string name = "v" + version.param;
  for (char& c : name) c = c == '.' ? '_' : c;
  return name;
});

// name -> node of the bound pods of a label.
std::map<std::string, std::string> Placement(Plane& plane, const std::string& label) {
  std::map<std::string, std::string> placement;
  const json pods = plane.Get("pods -l " + label);
  if (!pods.is_object()) return placement;
  for (const json& pod : pods["items"]) {
    if (pod["spec"].contains("nodeName")) placement[pod["metadata"]["name"]] = pod["spec"]["nodeName"];
  }
  return placement;
}

const char kMyApp[] = "/deploy/kubernetes/extender/my-app.yaml";

TEST_P(KubernetesE2e, MyAppIsPlacedWhereThePolicySaysWithAndWithoutOurBind) {
  Plane plane(GetParam(), 3);
  plane.Control(fmt::format("nodes {} 1 16 32Gi large-", plane.dir()));
  for (const std::string mode : {"prioritize", "bind", "choose"}) {
    const bool binds = mode == "bind", chooses = mode == "choose";
    const std::string verb = chooses ? "choose" : "prioritize";
    std::map<std::string, std::multiset<std::string>> nodes_by_policy;
    for (const std::string policy : {"best-fit", "minimum-resource-usage"}) {
      SCOPED_TRACE(policy + ", " + mode);
      const int port = test::FreePort();
      BerthServer berth(plane, policy, port);
      berth.WaitReady();
      plane.StartScheduler(port, [&](std::string* config) {
        if (!binds) Plane::Replace(config, "bindVerb: bind", "# kube-scheduler binds");
        if (chooses) {
          Plane::Replace(config, "filterVerb: filter", "filterVerb: choose");
          Plane::Replace(config, "prioritizeVerb: prioritize", "# nothing is left to score");
        }
      });
      const size_t prioritized = berth.Decisions(verb).size(), bound = berth.Decisions("bind").size();
      plane.Must("apply -f " + Plane::Source() + kMyApp);
      EXPECT_TRUE(Eventually([&] { return Placement(plane, "app=my-app").size() == 3; }));
      plane.Must("rollout status deployment/my-app --timeout=60s");
      const auto placement = Placement(plane, "app=my-app");
      ASSERT_EQ(placement.size(), 3u);

      // The log says where each pod was to go, and there it is.
      std::map<std::string, std::string> chosen, bound_by_us;
      const std::vector<json> lines = berth.Decisions(verb), binds_lines = berth.Decisions("bind");
      for (size_t i = prioritized; i < lines.size(); ++i) {
        EXPECT_EQ(lines[i]["policy"], policy);
        chosen[lines[i]["pod"].get<std::string>().substr(8)] = lines[i]["node"];   // without "default/"
      }
      for (size_t i = bound; i < binds_lines.size(); ++i) {
        EXPECT_EQ(binds_lines[i]["result"], "bound");
        bound_by_us[binds_lines[i]["pod"].get<std::string>().substr(8)] = binds_lines[i]["node"];
      }
      EXPECT_EQ(chosen, placement);
      if (binds) {
        EXPECT_EQ(bound_by_us, placement);
      } else {
        EXPECT_TRUE(bound_by_us.empty());
      }
      for (const json& pod : plane.Get("pods -l app=my-app")["items"]) {
        const json annotations = pod["metadata"].value("annotations", json::object());
        ASSERT_EQ(annotations.contains("berth.dev/decision"), binds);
        if (binds) {
          EXPECT_EQ(json::parse(annotations["berth.dev/decision"].get<std::string>())["policy"], policy);
        }
      }
      for (const auto& [pod, node] : placement) nodes_by_policy[policy].insert(node);
      // The Service of the manifest reaches all three.
      EXPECT_TRUE(Eventually([&] {
        const json slices = plane.Get("endpointslices -l kubernetes.io/service-name=my-app-service");
        return slices.is_object() && !slices["items"].empty() && slices["items"][0]["endpoints"].is_array() && slices["items"][0]["endpoints"].size() == 3 &&
               slices["items"][0]["ports"][0]["port"] == 8080;
      }));
      // The ledger has them too.
      EXPECT_TRUE(Eventually([&] { return berth.Ledger().totals().confirmed_pods() == 3; }));
      plane.Must("delete --timeout=60s --cascade=background -f " + Plane::Source() + kMyApp);
      EXPECT_TRUE(Eventually([&] { return berth.Ledger().totals().confirmed_pods() == 0; }));
      EXPECT_TRUE(Eventually([&] { return Placement(plane, "app=my-app").empty(); }));
      plane.StopScheduler();
      EXPECT_EQ(berth.Stop(SIGTERM), 0);
    }
    EXPECT_NE(nodes_by_policy["best-fit"], nodes_by_policy["minimum-resource-usage"]);
    EXPECT_EQ(std::set<std::string>(nodes_by_policy["best-fit"].begin(), nodes_by_policy["best-fit"].end()).size(), 1u);   // packed
  }
}

const char kLow[] = R"(
apiVersion: scheduling.k8s.io/v1
kind: PriorityClass
metadata: {name: berth-high}
value: 1000000
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {name: low}
spec: {minAvailable: 4, selector: {matchLabels: {app: low}}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: low}
spec:
  replicas: 4
  selector: {matchLabels: {app: low}}
  template:
    metadata: {labels: {app: low}}
    spec:
      affinity: {podAntiAffinity: {requiredDuringSchedulingIgnoredDuringExecution: [{labelSelector: {matchLabels: {app: low}}, topologyKey: kubernetes.io/hostname}]}}
      containers: [{name: c, image: low, resources: {requests: {cpu: "3", memory: 1Gi}}}]
)";
const char kHigh[] = R"(
apiVersion: v1
kind: Pod
metadata: {name: high, labels: {app: high}}
spec:
  priorityClassName: berth-high
  containers: [{name: c, image: high, resources: {requests: {cpu: "2", memory: 1Gi}}}]
)";

std::set<std::string> BoundUids(Plane& plane, const std::string& label) {
  std::set<std::string> uids;
  const json pods = plane.Get("pods -l " + label);
  if (!pods.is_object()) return uids;
  for (const json& pod : pods["items"]) {
    if (pod["spec"].contains("nodeName") && !pod["metadata"].contains("deletionTimestamp")) uids.insert(pod["metadata"]["uid"]);
  }
  return uids;
}

TEST_P(KubernetesE2e, OnePodOfHighPriorityHasExactlyOneVictimTenTimesOfTen) {
  Plane plane(GetParam(), 5);
  const int port = test::FreePort();
  BerthServer berth(plane, "best-fit", port);
  berth.WaitReady();
  // hollow-4 is used by something that Kubernetes knows nothing of: our filter refuses it.
  {
    v1::ApplyDeltaRequest request;
    v1::RunningPod& running = *request.add_changes()->mutable_run_pod();
    running.mutable_pod()->set_id("vm-of-another-system");
    running.mutable_pod()->set_cpu_milli(3500);
    running.set_node("hollow-4");
    grpc::ClientContext context;
    v1::ApplyDeltaResponse response;
    ASSERT_TRUE(berth.stub().ApplyDelta(&context, request, &response).ok());
  }
  plane.StartScheduler(port);
  plane.Apply(kLow);
  for (int run = 0; run < 10; ++run) {
    SCOPED_TRACE(run);
    ASSERT_TRUE(Eventually([&] { return BoundUids(plane, "app=low").size() == 4; }));
    const std::set<std::string> before = BoundUids(plane, "app=low");
    plane.Apply(kHigh);
    const auto is_placed = [&] { return Placement(plane, "app=high").size() == 1; };
    if (!Eventually(is_placed, 10)) {
      // kube-scheduler 1.34 now and then does not wake the pod when its victim is gone; any event of the cluster does.
      std::printf("run %d: not woken by the end of its victim; pods now:\n%s", run, plane.Kubectl("get pods -o wide").output.c_str());
      plane.Must(fmt::format("label node hollow-1 run={} --overwrite", run));
      ASSERT_TRUE(Eventually(is_placed)) << plane.Kubectl("describe pod high").output;
    }
    std::this_thread::sleep_for(std::chrono::seconds(2));   // a second eviction would come right after the first
    std::set<std::string> left;
    for (const std::string& uid : BoundUids(plane, "app=low")) {
      if (before.contains(uid)) left.insert(uid);
    }
    EXPECT_EQ(left.size(), 3u) << "victims: " << before.size() - left.size();
    plane.Must("delete pod high --timeout=60s");
  }
  EXPECT_GE(berth.Decisions("preempt").size(), 10u);
}

// A relay to the API server that breaks its connections when told to, wherever they are: in the middle of an object, too.
class CuttingRelay {
 public:
  explicit CuttingRelay(int target) : target_(target), listener_(socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in address = Loopback(0);
    socklen_t size = sizeof address;
    EXPECT_EQ(bind(listener_, reinterpret_cast<sockaddr*>(&address), size), 0);
    EXPECT_EQ(listen(listener_, 64), 0);
    getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size);
    port_ = ntohs(address.sin_port);
    thread_ = std::thread([this] { Run(); });
  }
  ~CuttingRelay() {
    is_over_ = true;
    thread_.join();
    close(listener_);
  }
  int port() const { return port_; }
  void Cut() { ++cuts_; }

 private:
  static sockaddr_in Loopback(int port) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(static_cast<uint16_t>(port));
    return address;
  }
  struct Link {
    int from, to;
  };
  static void Reset(int fd) {   // RST: what is on its way is lost
    const linger hard{1, 0};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
    close(fd);
  }
  void Run() {
    std::vector<Link> links;   // two a connection, side by side
    int cuts_done = 0;
    while (!is_over_) {
      if (cuts_ != cuts_done) {
        cuts_done = cuts_;
        for (size_t i = 0; i < links.size(); i += 2) Reset(links[i].from), Reset(links[i].to);
        links.clear();
      }
      std::vector<pollfd> fds = {{listener_, POLLIN, 0}};
      for (const Link& link : links) fds.push_back({link.from, POLLIN, 0});
      if (poll(fds.data(), fds.size(), 20) <= 0) continue;
      std::set<size_t> ended;
      for (size_t i = 1; i < fds.size(); ++i) {
        if (fds[i].revents == 0) continue;
        char buffer[3000];   // odd pieces: a cut falls into objects
        const ssize_t n = recv(links[i - 1].from, buffer, sizeof buffer, 0);
        ssize_t sent = 0;
        while (n > 0 && sent < n) {
          const ssize_t more = send(links[i - 1].to, buffer + sent, static_cast<size_t>(n - sent), MSG_NOSIGNAL);
          if (more <= 0) break;
          sent += more;
        }
        if (n <= 0 || sent < n) ended.insert((i - 1) / 2);
      }
      for (auto it = ended.rbegin(); it != ended.rend(); ++it) {
        const auto at = static_cast<std::ptrdiff_t>(2 * *it);
        close(links[static_cast<size_t>(at)].from);
        close(links[static_cast<size_t>(at)].to);
        links.erase(links.begin() + at, links.begin() + at + 2);
      }
      if ((fds[0].revents & POLLIN) != 0) {
        const int client = accept(listener_, nullptr, nullptr);
        const int server = socket(AF_INET, SOCK_STREAM, 0);
        const sockaddr_in address = Loopback(target_);
        if (client < 0 || connect(server, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
          if (client >= 0) close(client);
          close(server);
          continue;
        }
        links.push_back({client, server});
        links.push_back({server, client});
      }
    }
    for (size_t i = 0; i < links.size(); i += 2) close(links[i].from), close(links[i].to);
  }

  const int target_, listener_;
  int port_ = 0;
  std::atomic<bool> is_over_{false};
  std::atomic<int> cuts_{0};
  std::thread thread_;
};

std::string Pods(const std::string& prefix, int count) {
  std::string text;
  for (int i = 0; i < count; ++i) {
    text += fmt::format("apiVersion: v1\nkind: Pod\nmetadata: {{name: {}-{}, labels: {{app: burst}}}}\nspec:\n"
                        "  containers: [{{name: c, image: i, resources: {{requests: {{cpu: 250m, memory: 128Mi}}}}}}]\n---\n", prefix, i);
  }
  return text;
}

size_t BoundCount(Plane& plane) { return BoundUids(plane, "app=burst").size(); }

// Everything that is bound, on both sides.
std::string Compare(Plane& plane, BerthServer& berth) {
  const json pods = plane.Get("pods -A"), nodes = plane.Get("nodes");
  if (!pods.is_object() || !nodes.is_object()) return "the API server does not answer";
  std::map<std::string, std::string> theirs, ours;
  std::map<std::string, int64_t> free, free_by_us;
  for (const json& node : nodes["items"]) free[node["metadata"]["name"]] = 4000;
  for (const json& pod : pods["items"]) {
    if (!pod["spec"].contains("nodeName")) continue;
    theirs[pod["metadata"]["uid"]] = pod["spec"]["nodeName"];
    free[pod["spec"]["nodeName"]] -= 250;
  }
  const v1::GetClusterResponse ledger = berth.Ledger();
  for (const v1::PodStatus& pod : ledger.pods()) ours[pod.pod().id()] = pod.node() + (pod.is_confirmed() ? "" : " (assumed)") + (pod.is_orphaned() ? " (orphaned)" : "");
  for (const v1::NodeStatus& node : ledger.nodes()) free_by_us[node.node().name()] = node.free_cpu_milli();
  for (const auto& [node, milli] : free) {
    if (milli < 0) return fmt::format("{} is over capacity: {}m free", node, milli);
  }
  if (free != free_by_us) return "free amounts differ";
  for (const auto& [uid, node] : theirs) {
    if (!ours.contains(uid)) return fmt::format("pod {} on {} is not in the ledger", uid, node);
    if (ours[uid] != node) return fmt::format("pod {} is on {}, in the ledger on {}", uid, node, ours[uid]);
  }
  return ours.size() == theirs.size() ? "" : fmt::format("{} pods in the ledger, {} bound", ours.size(), theirs.size());
}

TEST_P(KubernetesE2e, FaultsLeaveEveryPodBoundOnceAndTheLedgerEqualToTheServer) {
  Plane plane(GetParam(), 6);   // room for 96 pods of 250m
  CuttingRelay relay(std::stoi(plane.env("API_SERVER_PORT")));
  std::string kubeconfig = ReadText(plane.env("BERTH_KUBECONFIG"));
  Plane::Replace(&kubeconfig, ":" + plane.env("API_SERVER_PORT"), fmt::format(":{}", relay.port()));
  const std::string relayed = plane.dir() + "/relayed.kubeconfig";
  std::ofstream(relayed) << kubeconfig;
  fs::permissions(relayed, fs::perms::owner_read | fs::perms::owner_write);
  const int port = test::FreePort();
  auto berth = std::make_unique<BerthServer>(plane, "best-fit", port, relayed);
  berth->WaitReady();
  plane.StartScheduler(port);

  // Connections cut again and again, and kill -9 in the middle of a burst.
  {
    std::atomic<bool> is_over{false};
    std::thread cutting([&] {
      while (!is_over) {
        std::this_thread::sleep_for(std::chrono::milliseconds(150));
        relay.Cut();
      }
    });
    std::thread burst([&] { plane.Apply(Pods("a", 40)); });
    EXPECT_TRUE(Eventually([&] { return BoundCount(plane) >= 10; }, 120)) << ReadText(plane.dir() + "/log/berth.log");
    berth->Stop(SIGKILL);
    berth.reset();
    std::this_thread::sleep_for(std::chrono::seconds(1));
    is_over = true;   // with cuts every 150 ms the first list would hardly ever end
    cutting.join();
    berth = std::make_unique<BerthServer>(plane, "best-fit", port, relayed);
    berth->WaitReady();
    burst.join();
    EXPECT_TRUE(Eventually([&] { return BoundCount(plane) == 40; }, 120)) << BoundCount(plane);
  }
  EXPECT_TRUE(Eventually([&] { return Compare(plane, *berth).empty(); })) << Compare(plane, *berth);

  // The API server is killed and comes back.
  plane.Control(fmt::format("apiserver kill {}", plane.dir()));
  std::this_thread::sleep_for(std::chrono::seconds(1));
  plane.Control(fmt::format("apiserver start {}", plane.dir()));
  plane.Apply(Pods("b", 30));
  EXPECT_TRUE(Eventually([&] { return BoundCount(plane) == 70; }, 120)) << BoundCount(plane);
  EXPECT_TRUE(Eventually([&] { return Compare(plane, *berth).empty(); })) << Compare(plane, *berth);

  // A node is deleted while its pods live, and added again; the watch is cut meanwhile.
  plane.Must("delete node hollow-0 --timeout=30s --wait=false");
  EXPECT_TRUE(Eventually([&] { return berth->Ledger().totals().nodes() == 5; }));
  relay.Cut();
  plane.Control(fmt::format("nodes {} 1", plane.dir()));
  plane.Apply(Pods("c", 20));
  EXPECT_TRUE(Eventually([&] { return BoundCount(plane) == 90; }, 120)) << BoundCount(plane);
  EXPECT_TRUE(Eventually([&] { return Compare(plane, *berth).empty(); })) << Compare(plane, *berth);
  EXPECT_EQ(berth->Ledger().totals().assumed_pods(), 0u);
}

TEST_P(KubernetesE2e, ShippedManifestsPassTheServersStrictDryRun) {
  Plane plane(GetParam(), 0);
  const std::string folder = Plane::Source() + "/deploy/kubernetes/extender/";
  plane.Must("apply --validate=strict -f " + folder + "rbac.yaml");   // the namespace must be there for the rest
  for (const char* file : {"rbac.yaml", "scheduler.yaml", "my-app.yaml"}) plane.Must("apply --validate=strict --dry-run=server -f " + folder + file);
  // Positive control: the check finds a wrong field.
  std::string wrong = ReadText(folder + "my-app.yaml");
  Plane::Replace(&wrong, "replicas", "replicaz");
  const std::string path = plane.dir() + "/wrong.yaml";
  std::ofstream(path) << wrong;
  EXPECT_NE(plane.Kubectl("apply --validate=strict --dry-run=server -f " + path).code, 0);
}

// With the rights of rbac.yaml alone.
TEST_P(KubernetesE2e, OfTwoBerthsOneLeads) {
  Plane plane(GetParam(), 1);
  const std::vector<std::string> elects = {"--leader-elect", "berth-system/berth-extender"};
  auto first = std::make_unique<BerthServer>(plane, "best-fit", test::FreePort(), "", elects);
  first->WaitReady();
  BerthServer second(plane, "dotprod", test::FreePort(), "", elects);
  EXPECT_TRUE(Eventually([&] { return second.Ledger().totals().nodes() == 1; }));   // it follows, and stands by
  EXPECT_FALSE(second.IsReady());
  EXPECT_TRUE(first->IsReady());
  EXPECT_EQ(first->Stop(SIGTERM), 0);
  first.reset();
  EXPECT_TRUE(Eventually([&] { return second.IsReady(); }, 10));   // given up: sooner than the lease would end
  BerthServer third(plane, "first-fit", test::FreePort(), "", elects);
  EXPECT_TRUE(Eventually([&] { return third.Ledger().totals().nodes() == 1; }));
  second.Stop(SIGKILL);
  EXPECT_FALSE(third.IsReady());
  third.WaitReady();
}

// docs/kubernetes.md, word for word: its commands run from top to bottom.
TEST_P(KubernetesE2e, TheCommandsOfTheDocumentationRun) {
  std::ifstream doc(Plane::Source() + "/docs/kubernetes.md");
  std::string script = "set -euo pipefail\n", line;
  bool is_inside = false;
  int blocks = 0;
  while (std::getline(doc, line)) {
    if (line == "```sh") is_inside = true, ++blocks;
    else if (line == "```") is_inside = false;
    else if (is_inside) script += line + "\n";
  }
  ASSERT_GE(blocks, 3);
  const std::string dir = (fs::temp_directory_path() / fmt::format("berth-e2e-doc-{}", getpid())).string();
  fs::remove_all(dir);
  fs::create_directories(dir + "/build/release");
  // A checkout as the reader has it: everything by link, so that what the commands write stays out of the source tree.
  for (const char* name : {"tests", "deploy"}) fs::create_symlink(Plane::Source() + "/" + name, dir + "/" + name);
  fs::create_symlink(std::getenv("BERTH_BIN_DIR"), dir + "/build/release/bin");
  Plane::Replace(&script, "1.37.2", GetParam());
  std::ofstream(dir + "/commands.sh") << "trap 'kill $(jobs -p) 2>/dev/null || true; tests/e2e/kubernetes/control_plane.sh down plane >/dev/null 2>&1 || true' EXIT\n" + script;
  const Result ran = Shell(fmt::format("cd {} && timeout 300 bash commands.sh", dir));
  EXPECT_EQ(ran.code, 0) << ran.output;
  EXPECT_THAT(ran.output, ::testing::HasSubstr("\"verb\":\"prioritize\""));
  EXPECT_THAT(ran.output, ::testing::HasSubstr("berth.dev/decision"));
  fs::remove_all(dir);
}

}  // namespace
}  // namespace berth::e2e

#include "workload/workload.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "support/shared_data.h"
#include "support/temp_file.h"
#include "workload/azure.h"
#include "workload/openb.h"

namespace berth {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using test::TempFile;

constexpr char kMinimal[] =
    "format: berth-workload-1\nname: w\nnodes:\n  - {name: n, count: 2, cpu: 4, memory: 8Gi}\npods:\n  - {name: p, share: 1, cpu: 500m, memory: 1Gi}\n";

TEST(Workload, BuiltinsAreWhatTheirTablesSay) {
  ASSERT_EQ(BuiltinWorkloadNames(), (std::vector<std::string>{"openb-like", "vm-like"}));
  const auto openb = BuiltinWorkload("openb-like");
  ASSERT_TRUE(openb.ok()) << openb.status();
  EXPECT_EQ(openb->node_count(), 1213u);
  int gpus = 0;
  for (const Node& n : openb->Nodes()) gpus += n.gpu_count;
  EXPECT_EQ(gpus, 6212);
  EXPECT_EQ(LoadResourceOf(*openb), LoadResource::kGpu);
  EXPECT_FALSE(openb->attribution.empty());
  const auto vm = BuiltinWorkload("vm-like");
  ASSERT_TRUE(vm.ok()) << vm.status();
  EXPECT_EQ(vm->node_count(), 100u);
  EXPECT_NE(LoadResourceOf(*vm), LoadResource::kGpu);
  EXPECT_THAT(std::string(BuiltinWorkload("none").status().message()), HasSubstr("openb-like, vm-like"));
}

// At 151 nodes the trace's cluster has 768 GPUs (churn protocol).
TEST(Workload, ScalingKeepsTheMixAndOneNodeOfEveryModel) {
  const Workload openb = *BuiltinWorkload("openb-like");
  for (int64_t nodes : {7, 20, 151, 500, 5000}) {
    const auto scaled = ScaleNodes(openb, nodes);
    ASSERT_TRUE(scaled.ok()) << scaled.status();
    EXPECT_EQ(scaled->node_count(), static_cast<size_t>(nodes));
    std::map<std::string, int> models;
    int gpus = 0;
    for (const Node& n : scaled->Nodes()) ++models[n.gpu_model], gpus += n.gpu_count;
    EXPECT_EQ(models.size(), 7u) << nodes;
    if (nodes == 151) {
      EXPECT_EQ(gpus, 768);
    }
  }
  EXPECT_THAT(std::string(ScaleNodes(openb, 6).status().message()), HasSubstr("7 (one of every GPU model)"));
  EXPECT_FALSE(ScaleNodes(openb, 0).ok());
  EXPECT_FALSE(ScaleNodes(openb, 1'000'001).ok());
}

TEST(Workload, ADrawnStreamHasItsRateSharesAndLives) {
  const Workload vm = *BuiltinWorkload("vm-like");
  const auto stream = MakeArrivalStream(vm, 0.9, 5);
  std::vector<double> count(vm.pod_classes.size()), life(vm.pod_classes.size());
  constexpr int kDraws = 200'000;
  Arrival a;
  int64_t last = 0;
  for (int i = 0; i < kDraws; ++i) {
    ASSERT_TRUE(stream->Next(&a));
    ASSERT_GT(a.time_us, last - 1);
    last = a.time_us;
    ++count[a.pod_class];
    life[a.pod_class] += static_cast<double>(a.life_us) / 1e6;
  }
  EXPECT_NEAR(kDraws / (static_cast<double>(last) / 1e6), ArrivalRatePerS(vm, 0.9), 0.01 * ArrivalRatePerS(vm, 0.9));
  for (size_t c = 0; c < count.size(); ++c) {
    EXPECT_NEAR(count[c] / kDraws, vm.pod_classes[c].share, 0.005) << vm.pod_classes[c].name;
    EXPECT_NEAR(life[c] / count[c], vm.pod_classes[c].lifetime.mean_s, 0.05 * vm.pod_classes[c].lifetime.mean_s) << vm.pod_classes[c].name;
  }
}

TEST(Workload, AStreamIsTheSameForASeedAndAClone) {
  const Workload w = *BuiltinWorkload("openb-like");
  const auto a = MakeArrivalStream(w, 1, 3), b = MakeArrivalStream(w, 1, 3), c = MakeArrivalStream(w, 1, 4);
  Arrival x, y, z;
  bool differs = false;
  for (int i = 0; i < 100; ++i) {
    a->Next(&x), b->Next(&y), c->Next(&z);
    EXPECT_EQ(x.time_us, y.time_us);
    EXPECT_EQ(x.pod_class, y.pod_class);
    EXPECT_EQ(x.life_us, y.life_us);
    differs = differs || x.time_us != z.time_us;
  }
  EXPECT_TRUE(differs);
  const auto clone = a->Clone();
  a->Next(&x), clone->Next(&y);
  EXPECT_EQ(x.time_us, y.time_us);
}

TEST(WorkloadYaml, RoundTripKeepsEverything) {
  Workload w = *ParseWorkload(
      "format: berth-workload-1\nname: \"a: b\"\nattribution: someone\nnodes:\n"
      "  - {name: g, count: 3, cpu: 4500m, memory: 8Gi, gpus: 2, gpu_model: A, max_pods: 10, zone: z, rack: r, weight: 3, extended: {nic: 4}, labels: {disk: ssd}, "
      "position: {x_ms: 1.5, height_ms: 2}}\n"
      "pods:\n  - {name: p, share: 2, cpu: 500m, memory: 1Gi, gpus: 1, gpu_milli: 300, gpu_models: [A, B], extended: {nic: 1}, lifetime: {mean_s: 60}}\n"
      "  - {name: q, share: 6, cpu: 1, memory: 1Mi, lifetime: {kind: empirical, samples_s: [1, 2.5]}}\n  - {name: r, share: 0, cpu: 1, memory: 1, lifetime: {kind: unlimited}}\n"
      "arrivals:\n  - [5, q, 100]\n  - [7, p, forever]\n");
  const auto again = ParseWorkload(WorkloadToYaml(w));
  ASSERT_TRUE(again.ok()) << again.status() << WorkloadToYaml(w);
  EXPECT_EQ(again->name, "a: b");
  EXPECT_EQ(again->node_groups[0].node, w.node_groups[0].node);
  EXPECT_EQ(again->node_groups[0].count, 3);
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(again->pod_classes[i].request, w.pod_classes[i].request);
    EXPECT_DOUBLE_EQ(again->pod_classes[i].share, w.pod_classes[i].share);
    EXPECT_EQ(again->pod_classes[i].lifetime.kind, w.pod_classes[i].lifetime.kind);
    EXPECT_EQ(again->pod_classes[i].lifetime.samples_s, w.pod_classes[i].lifetime.samples_s);
  }
  EXPECT_DOUBLE_EQ(w.pod_classes[0].share, 0.25);
  EXPECT_DOUBLE_EQ(w.pod_classes[1].lifetime.mean_s, 1.75);
  ASSERT_EQ(again->arrivals.size(), 2u);
  EXPECT_EQ(again->arrivals[1].life_us, kForever);
}

TEST(WorkloadYaml, BadTextIsAnErrorWithLineColumnFieldAndValue) {
  ASSERT_TRUE(ParseWorkload(kMinimal).ok()) << ParseWorkload(kMinimal).status();
  const auto with = [](const std::string& from, const std::string& to) {
    std::string text = kMinimal;
    text.replace(text.find(from), from.size(), to);
    return text;
  };
  const std::pair<std::string, const char*> cases[] = {
      {"", "mapping"}, {"[]", "mapping"}, {"a: [", "line 1"}, {"\t x", "mapping"}, {std::string(1000, '['), "nesting"}, {std::string(100000, '{'), "nesting"},
      {with("berth-workload-1", "berth-workload-9"), "format"}, {with("name: w\n", ""), "name"}, {with("name: w", "nam: w"), "nam"},
      {with("cpu: 4,", "cpu: -4,"), "line 4 column"}, {with("cpu: 4,", "cpu: 4, cpu: 5,"), "each key once"}, {with("cpu: 4,", "cpu: 99999999999999999999,"), "cpu"},
      {with("memory: 8Gi", "memory: 8Gib"), "8Gib"}, {with("count: 2", "count: 0"), "1 to 1000000"}, {with("count: 2", "count: 1.5"), "count"},
      {with("count: 2", "count: 2, gpus: 17"), "0 to 16"}, {with("count: 2", "count: 2, weight: -1"), "weight"}, {with("share: 1", "share: -1"), "share"},
      {with("share: 1", "share: nan"), "share"}, {with("share: 1", "share: .inf"), "share"}, {with("share: 1", "share: 0"), "shares that sum"},
      {with("share: 1", "share: 1, gpu_milli: 100"), "gpu_milli"}, {with("share: 1", "share: 1, gpus: 1, gpu_milli: 1001"), "gpu_milli"},
      {with("share: 1", "share: 1, lifetime: {mean_s: 0}"), "mean_s"}, {with("share: 1", "share: 1, lifetime: {kind: often}"), "exponential, empirical, unlimited"},
      {with("share: 1", "share: 1, lifetime: {kind: empirical}"), "samples_s"}, {with("share: 1", "share: 1, lifetime: {kind: empirical, samples_s: [1, -2]}"), "samples_s"},
      {with("share: 1", "share: 1, gpu_models: A"), "gpu_models"}, {std::string(kMinimal) + "  - {name: p, share: 1, cpu: 1, memory: 1}\n", "each name once"},
      {std::string(kMinimal) + "arrivals:\n  - [1, none, 5]\n", "line 8"}, {std::string(kMinimal) + "arrivals:\n  - [1, p]\n", "arrivals"},
      {std::string(kMinimal) + "arrivals:\n  - [9, p, 5]\n  - [3, p, 5]\n", "in order"}, {std::string(kMinimal) + "arrivals:\n  - [1, p, 0]\n", "life_us"},
      {"format: berth-workload-1\nname: w\nnodes: []\npods: []\n", "nodes"}, {"format: berth-workload-1\nname: w\nnodes: 3\npods: []\n", "nodes"}};
  for (const auto& [text, want] : cases) {
    const auto parsed = ParseWorkload(text);
    ASSERT_FALSE(parsed.ok()) << text;
    EXPECT_THAT(std::string(parsed.status().message()), HasSubstr(want)) << text;
  }
  EXPECT_EQ(LoadWorkload("/nonexistent/file").status().code(), absl::StatusCode::kNotFound);
  EXPECT_FALSE(LoadWorkload("/").ok());
}

// Trap T35: BOM, CRLF, quotes with commas and line ends, an empty last cell, no last line end.
TEST(Openb, PodsAreReadAsSpreadsheetsWriteThem) {
  const TempFile file("\xef\xbb\xbfname,cpu_milli,memory_mib,num_gpu,gpu_milli,gpu_spec\r\n\"pod,1\",500,1024,1,500,\r\n\"pod\n2\",250,512,1,1000,\"B|A\"");
  const auto pods = ReadOpenbPods(file.path());
  ASSERT_TRUE(pods.ok()) << pods.status();
  ASSERT_EQ(pods->size(), 2u);
  EXPECT_EQ((*pods)[0].name, "pod,1");
  EXPECT_TRUE((*pods)[0].request.gpu_models.empty());
  EXPECT_EQ((*pods)[1].name, "pod\n2");
  EXPECT_EQ((*pods)[1].request.gpu_models, (std::vector<std::string>{"B", "A"}));
  EXPECT_EQ((*pods)[1].request.mem_bytes, int64_t{512} << 20);
}

// Trap T36: an empty time is no time; a repeated name is an error with both lines.
TEST(Openb, TimesAndNamesAreNotTakenAtFaceValue) {
  const std::string header = "name,cpu_milli,memory_mib,num_gpu,gpu_milli,gpu_spec,qos,pod_phase,creation_time,deletion_time,scheduled_time\n";
  const TempFile file(header + "r1,1,1,0,0,,LS,Running,10,50,11\nr2,1,1,0,0,,LS,Failed,20,60,\n");
  const auto pods = ReadOpenbPods(file.path());
  ASSERT_TRUE(pods.ok()) << pods.status();
  EXPECT_EQ((*pods)[0].deletion_s, 50);
  EXPECT_FALSE((*pods)[1].scheduled_s.has_value());
  const TempFile twice(header + "r3,1,1,0,0,,,,,,\nr4,1,1,0,0,,,,,,\nr3,1,1,0,0,,,,,,\n");
  EXPECT_THAT(std::string(ReadOpenbPods(twice.path()).status().message()), AllOf(HasSubstr("line 4"), HasSubstr("line 2")));
}

TEST(Openb, BadFilesAreErrorsWithLineColumnFieldAndValue) {
  const std::string pods = "name,cpu_milli,memory_mib,num_gpu,gpu_milli\n", nodes = "sn,cpu_milli,memory_mib,gpu,model\n";
  const auto pod_error = [](const std::string& text) {
    const TempFile file(text);
    const auto result = ReadOpenbPods(file.path());
    return std::string(result.ok() ? "OK" : result.status().message());
  };
  const std::pair<std::string, const char*> pod_cases[] = {
      {"", "empty"}, {pods, "no rows"}, {"name,cpu_milli\na,1\n", "memory_mib"}, {pods + "a,1,1,0\n", "pod list line 2 column 5: 4 fields"}, {pods + "a,1,1,0,0,9\n", "pod list line 2 column 6: 6 fields"},
      {pods + "a,x,1,0,0\n", "pod list line 2 column 2 (cpu_milli) is \"x\""}, {pods + "a,-1,1,0,0\n", "from 0"}, {pods + "a,1e3,1,0,0\n", "1e3"},
      {pods + "a,99999999999999999999,1,0,0\n", "cpu_milli"}, {pods + "a,1,9223372036854775807,0,0\n", "memory_mib"}, {pods + "a,1,1,17,1000\n", "0 to 16"},
      {pods + "a,1,1,1,0\n", "1 to 1000"}, {pods + "a,1,1,1,1001\n", "1 to 1000"}, {pods + "a,1,1,nan,0\n", "nan"}, {pods + ",1,1,0,0\n", "name"},
      {pods + "\"a,1,1,0,0\n", "line 2 column 1: a quote"}, {pods + "a,\"1\"x,1,0,0\n", "line 2 column 2: a quote"}, {pods + std::string("a,1,1,0,0\0\n", 11), "line 2 column 5: a NUL byte"}, {pods + "a, 1,1,0,0\n", " 1"}, {pods + "\n\na,?,1,0,0\n", "line 4"}, {pods + "\"a\r\nb\",1,1,0,0\nc,?,1,0,0\n", "line 4 column 2"},
      {pods + "a" + std::string(5000, 'x') + ",1,1,0,0\n", "line 2 column 1: a field of 5001 bytes"}, {std::string(5000, ','), "up to 4096 columns"}, {"name,cpu_milli,memory_mib,num_gpu,gpu_milli,name\na,1,1,0,0,b\n", "2 times"}};
  for (const auto& [text, want] : pod_cases) EXPECT_THAT(pod_error(text), HasSubstr(want)) << text.substr(0, 100);
  const auto node_error = [](const std::string& text) {
    const TempFile file(text);
    const auto result = ReadOpenbNodes(file.path());
    return std::string(result.ok() ? "OK" : result.status().message());
  };
  EXPECT_THAT(node_error(nodes + "n,1,1,17,A\n"), HasSubstr("gpu"));
  EXPECT_THAT(node_error(nodes + "n,1,1,1,A\nn,1,1,1,A\n"), AllOf(HasSubstr("line 3"), HasSubstr("line 2")));
  EXPECT_THAT(node_error(nodes + "n,,1,1,A\n"), HasSubstr("cpu_milli"));
  EXPECT_EQ(ReadOpenbNodes("/nonexistent").status().code(), absl::StatusCode::kNotFound);

  const auto orders = [](const std::string& text) {
    const TempFile file(text);
    return std::string(ReadArrivalOrders(file.path(), 3).status().message());
  };
  EXPECT_EQ(orders("s1,s2\n0,2\n1,\n"), "");
  EXPECT_THAT(orders("s1,s2\n0,3\n"), HasSubstr("0 to 2"));
  EXPECT_THAT(orders("s1,x\n0,1\n"), HasSubstr("s<seed>"));
  EXPECT_THAT(orders("s1,s1\n0,1\n"), HasSubstr("each seed once"));
  EXPECT_THAT(orders("s1,s2\n0,\n1,1\n"), HasSubstr("ended above"));
  EXPECT_THAT(orders("s1\n-1\n"), HasSubstr("-1"));
  const auto ranks = [](const std::string& text) {
    const TempFile file(text);
    return std::string(ReadNodeRanks(file.path(), 2).status().message());
  };
  EXPECT_EQ(ranks("s1\n1\n0\n"), "");
  EXPECT_THAT(ranks("s1\n\n1\n1\n"), AllOf(HasSubstr("rank file line 4 column 1 (s1)"), HasSubstr("line 3 has it already")));
  EXPECT_THAT(ranks("s1\n1\n"), HasSubstr("2 rows"));
  EXPECT_THAT(ranks("s1\n1\n\"\"\n"), HasSubstr("rank file"));
}

TEST(Openb, TheTraceHasThePublishedTotals) {
  BERTH_REQUIRE_SHARED_DATA("openb");
  const std::string dir = *test::SharedData("openb");
  const auto nodes = ReadOpenbNodes(dir + "/openb_node_list_gpu_node.csv");
  ASSERT_TRUE(nodes.ok()) << nodes.status();
  EXPECT_EQ(nodes->size(), 1213u);
  const auto pods = ReadOpenbPods(dir + "/openb_pod_list_default.csv");
  ASSERT_TRUE(pods.ok()) << pods.status();
  EXPECT_EQ(pods->size(), 8152u);
  int64_t gpu = 0, pending = 0;
  for (const OpenbPod& p : *pods) gpu += p.request.total_gpu_milli(), pending += !p.scheduled_s.has_value();
  EXPECT_NEAR(static_cast<double>(gpu) / 1000, 6086.8, 0.05);
  EXPECT_EQ(pending, 897);
  for (const char* list : {"cpu250", "gpushare100", "gpushare40", "gpuspec10", "gpuspec33", "multigpu20", "multigpu50"}) {
    EXPECT_TRUE(ReadOpenbPods(dir + "/openb_pod_list_" + list + ".csv").ok()) << list;
  }
  const auto workload = OpenbWorkload(dir + "/openb_node_list_gpu_node.csv", dir + "/openb_pod_list_default.csv", 7200, true);
  ASSERT_TRUE(workload.ok()) << workload.status();
  EXPECT_EQ(workload->pod_classes.size(), 151u);
  EXPECT_EQ(workload->arrivals.size(), 8152u);
}

constexpr char kFlavours[] = "1,1.75 b\n2,3.5 g\n";
constexpr char kBins[] = "0 0\n300 1\n3600 12\n7200 13\n3900 13\n";

TEST(Azure, RequestsAreReadElementForElement) {
  const TempFile fl("0 b,g,|,b,|\n300 g,|\n"), du("0 U1,C0,|,U13,|\r\n300 U12,|"), map(kFlavours), bins(kBins);
  const auto w = AzureWorkload({fl.path(), du.path(), map.path(), bins.path()}, {});
  ASSERT_TRUE(w.ok()) << w.status();
  ASSERT_EQ(w->arrivals.size(), 4u);
  EXPECT_EQ(w->arrivals[0].life_us, 300'000'000);
  EXPECT_EQ(w->arrivals[1].life_us, kForever);
  EXPECT_EQ(w->arrivals[1].time_us, 100'000'000);
  EXPECT_GE(w->arrivals[2].life_us, 3900'000'000);
  EXPECT_LE(w->arrivals[2].life_us, 7200'000'000);
  EXPECT_EQ(w->arrivals[3].time_us, 300'000'000);
}

TEST(Azure, HeavyMachinesComeInCopiesAndNothingElseChanges) {
  const TempFile fl("0 b,g,|,b,|,g,|\n300 g,g,|,b,|\n"), du("0 U13,U13,|,U1,|,U13,|\n300 U13,C0,|,U13,|\n"), map("1,1.75 b\n1,7 g\n"), bins(kBins);
  const AzureFiles files{fl.path(), du.path(), map.path(), bins.path()};
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    AzureOptions options{.keep_batches = 0.5, .seed = seed};
    const auto plain = AzureWorkload(files, options);
    options.heavy_copies = 200;
    EXPECT_THAT(std::string(AzureWorkload(files, options).status().message()), HasSubstr("heavy_copies"));
    options.heavy_copies = 4;
    const auto copied = AzureWorkload(files, options);
    if (!plain.ok()) continue;   // nothing was kept
    ASSERT_TRUE(copied.ok()) << copied.status();
    // Without the copies the recorded machines are left, with the lives that they had.
    std::vector<int64_t> was, is;
    int heavy = 0;
    for (const Arrival& a : plain->arrivals) (a.pod_class == 0 ? was : is).push_back(a.life_us);
    heavy = static_cast<int>(is.size());
    is.clear();
    for (const Arrival& a : copied->arrivals) {
      if (a.pod_class == 0) is.push_back(a.life_us);
    }
    EXPECT_EQ(is, was);
    EXPECT_LE(copied->arrivals.size() - is.size(), 4u * 4);
    EXPECT_GE(static_cast<int>(copied->arrivals.size() - is.size()), heavy);
  }
  AzureOptions all{.heavy_copies = 3};
  EXPECT_EQ(AzureWorkload(files, all)->arrivals.size(), 3u + 3 * 4);
}

TEST(Azure, BadFilesAreErrorsWithLineAndElement) {
  const TempFile map(kFlavours), bins(kBins);
  const auto message = [&](const std::string& fl, const std::string& du, AzureOptions options = {}) {
    const TempFile f(fl), d(du);
    return std::string(AzureWorkload({f.path(), d.path(), map.path(), bins.path()}, options).status().message());
  };
  EXPECT_THAT(message("", "0 U1\n"), HasSubstr("empty"));
  EXPECT_THAT(message("0 b,|\n", "0 U1,|\n300 U1,|\n"), HasSubstr("2 lines"));
  EXPECT_THAT(message("0 b,|\n", "1 U1,|\n"), HasSubstr("time_s"));
  EXPECT_THAT(message("0 b,g,|\n", "0 U1,|\n"), HasSubstr("2 elements"));
  EXPECT_THAT(message("0 b,|,g\n", "0 U1,U1,|\n"), HasSubstr("element 2"));
  EXPECT_THAT(message("0 z,|\n", "0 U1,|\n"), HasSubstr("letter of the flavour map"));
  EXPECT_THAT(message("0 b,|\n", "0 X1,|\n"), HasSubstr("U<bin>"));
  EXPECT_THAT(message("0 b,|\n", "0 U99,|\n"), HasSubstr("bin of the interval map"));
  EXPECT_THAT(message("0 b,|\n", "0 U-1,|\n"), HasSubstr("duration file line 1"));
  EXPECT_THAT(message("5 b,|\n3 b,|\n", "5 U1,|\n3 U1,|\n"), HasSubstr("times grow"));
  EXPECT_THAT(message("b,|\n", "0 U1,|\n"), HasSubstr("time_s"));
  EXPECT_THAT(message("0 b,|\n", "0 U1,|\n", {.keep_batches = 0}), HasSubstr("keep"));
  EXPECT_THAT(message("0 b,|\n", "0 U1,|\n", {.hosts = 0}), HasSubstr("hosts"));
}

TEST(Azure, TheTraceHasItsCountedRequests) {
  BERTH_REQUIRE_SHARED_DATA("azure-vm-2017");
  const std::string dir = *test::SharedData("azure-vm-2017") + "/";
  const auto test_split = AzureWorkload({dir + "v1.test.txt", dir + "v1.test.c2591400.txt", dir + "flav_map.txt", dir + "v1.interval_map.txt"}, {.hosts = 1100});
  ASSERT_TRUE(test_split.ok()) << test_split.status();
  EXPECT_EQ(test_split->arrivals.size(), 410276u);
  EXPECT_EQ(std::count_if(test_split->arrivals.begin(), test_split->arrivals.end(), [](const Arrival& a) { return a.life_us == kForever; }), 23311);
  const auto dev = AzureWorkload({dir + "v1.dev.txt", dir + "v1.dev.c2100000.txt", dir + "flav_map.txt", dir + "v1.interval_map.txt"}, {.keep_batches = 0.25, .hosts = 300});
  ASSERT_TRUE(dev.ok()) << dev.status();
  EXPECT_NEAR(static_cast<double>(dev->arrivals.size()), 259159 * 0.25, 6000);
}

}  // namespace
}  // namespace berth

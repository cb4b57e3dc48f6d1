#include "evaluate/azure_protocol.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "policy/registry.h"
#include "support/shared_data.h"
#include "support/temp_file.h"

namespace berth {
namespace {

using ::testing::HasSubstr;
using test::SharedData;
using test::TempFile;

struct Files {
  // Four machines of 2 vCPU in one bin, three of which live 600 s and one to the end; then four that live one bin.
  TempFile flavours{"0 b,b,|,b,b,|\n900 b,b,b,b,|\n"}, durations{"0 U2,U2,|,U2,C3,|\n900 U1,U1,U1,U1,|\n"};
  TempFile map{"2,4 b\n"}, bins{"300 1\n600 2\n900 3\n"};
  AzureFiles files{flavours.path(), durations.path(), map.path(), bins.path()};
};

PolicyList Rules(const Workload& w, std::vector<std::string> names) {
  PolicyContext context;
  context.mix = MixOf(w);
  PolicyList list;
  for (const std::string& name : names) list.push_back(*MakePolicy(name, context));
  return list;
}

TEST(AzureProtocol, TheNeedIsThePeakOfTheTighterResource) {
  const Files f;
  AzureOptions options;
  options.host_cpu_milli = 4000;
  options.host_mem_bytes = int64_t{4} << 30;
  const auto replicas = MakeAzureReplicas(f.files, options, {1});
  ASSERT_TRUE(replicas.ok()) << replicas.status();
  // Five machines of 4 GiB run at the peak; by cpu alone three hosts of 4 vCPU would do.
  EXPECT_DOUBLE_EQ((*replicas)[0].need_hosts, 5);
  // Whoever still runs at the end lives to the end of the last bin.
  EXPECT_EQ((*replicas)[0].workload.arrivals[3].life_us, 1'200'000'000 - (*replicas)[0].workload.arrivals[3].time_us);
}

TEST(AzureProtocol, TheFewestHostsAreThoseOnWhichNobodyIsRejected) {
  const Files f;
  AzureOptions options;
  options.host_cpu_milli = 4000;
  options.host_mem_bytes = int64_t{1} << 40;
  const auto replicas = MakeAzureReplicas(f.files, options, {1, 2});
  ASSERT_TRUE(replicas.ok());
  EXPECT_DOUBLE_EQ((*replicas)[0].need_hosts, 2.5);
  AzureProtocolOptions protocol;
  protocol.factors = {0.4, 1.0};
  const auto result = RunAzureProtocol(*replicas, Rules((*replicas)[0].workload, {"best-fit", "first-fit"}), protocol);
  ASSERT_TRUE(result.ok()) << result.status();
  ASSERT_EQ(result->runs.size(), 8u);
  EXPECT_EQ(result->runs[0].hosts, 1);
  EXPECT_GT(result->runs[0].rejected_cpu_hours_percent, 0);
  EXPECT_EQ(result->runs[2].hosts, 3);   // 2.5 rounded up
  EXPECT_EQ(result->runs[2].rejected_requests_percent, 0);
  ASSERT_EQ(result->fewest.size(), 4u);
  EXPECT_EQ(result->fewest[0].hosts, 3);
  EXPECT_DOUBLE_EQ(result->fewest[0].hosts_per_need, 1.2);
}

TEST(AzureProtocol, ThreadsDoNotChangeTheResultAndBadFactorsAreNamed) {
  const Files f;
  const auto replicas = MakeAzureReplicas(f.files, {}, {1, 2, 3});
  ASSERT_TRUE(replicas.ok());
  const auto policies = Rules((*replicas)[0].workload, {"best-fit"});
  AzureProtocolOptions one, three;
  one.run = {1, true};
  three.run = {3, true};
  const auto a = RunAzureProtocol(*replicas, policies, one), b = RunAzureProtocol(*replicas, policies, three);
  ASSERT_TRUE(a.ok() && b.ok());
  for (size_t i = 0; i < a->runs.size(); ++i) EXPECT_EQ(a->runs[i].rejected_cpu_hours_percent, b->runs[i].rejected_cpu_hours_percent);
  for (size_t i = 0; i < a->fewest.size(); ++i) EXPECT_EQ(a->fewest[i].hosts, b->fewest[i].hosts);
  one.factors = {-1};
  EXPECT_THAT(std::string(RunAzureProtocol(*replicas, policies, one).status().message()), HasSubstr("factor"));
}

// Half of the tenant batches on hosts of 64 vCPU and 192 GiB: a replica needs about 508 hosts, and more on hosts with less memory.
TEST(AzureProtocol, HalfOfTheTestTraceNeedsAboutFiveHundredHosts) {
  BERTH_REQUIRE_SHARED_DATA("azure-vm-2017");
  const auto at = [](const char* name) { return *SharedData(std::string("azure-vm-2017/") + name); };
  const AzureFiles files{at("v1.test.txt"), at("v1.test.c2591400.txt"), at("flav_map.txt"), at("v1.interval_map.txt")};
  AzureOptions options;
  options.keep_batches = 0.5;
  const auto replicas = MakeAzureReplicas(files, options, {101, 102, 103, 104});
  ASSERT_TRUE(replicas.ok()) << replicas.status();
  double need = 0, arrivals = 0;
  for (const AzureReplica& r : *replicas) {
    need += r.need_hosts / 4;
    arrivals += static_cast<double>(r.workload.arrivals.size()) / 4;
  }
  EXPECT_NEAR(need, 508, 40);
  EXPECT_NEAR(arrivals, 410'276 * 0.5, 8000);
}

}  // namespace
}  // namespace berth

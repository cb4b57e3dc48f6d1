#include "agent/arena.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "agent/weight_space.h"
#include "base/rng.h"
#include "fmt/format.h"
#include "policy/potential/model_dir.h"
#include "policy/registry.h"
#include "support/temp_file.h"

namespace berth {
namespace {

using test::TempFile;

// A trace of 40 bins in which machines of 1 vCPU / 2 GiB, 8 / 14 and 8 / 56 come and stay for one to eight bins.
class TraceArena : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string flavours, durations, bins;
    Rng rng(5);
    for (int t = 0; t < 40; ++t) {
      std::string f, d;
      for (int i = 0; i < 25; ++i) {
        const double u = rng.Uniform();
        f += fmt::format("{},|,", u < 0.6 ? 's' : u < 0.85 ? 'm' : 'h');
        d += fmt::format("U{},|,", 1 + rng.Below(8));
      }
      flavours += fmt::format("{} {}\n", 300 * t, f);
      durations += fmt::format("{} {}\n", 300 * t, d);
    }
    for (int b = 1; b <= 8; ++b) bins += fmt::format("{} {}\n", 300 * b, b);
    flavours_.Write(flavours);
    durations_.Write(durations);
    bins_.Write(bins);
    trace_ = std::make_shared<ArenaTrace>();
    auto read = ReadAzureTrace({flavours_.path(), durations_.path(), map_.path(), bins_.path()});
    ASSERT_TRUE(read.ok()) << read.status();
    trace_->trace = *std::move(read);
    trace_->thinning.keep_batches = 0.9;
    trace_->heavy_copies = {1, 3};
    auto replica = MakeAzureReplica(trace_->trace, trace_->thinning, 1);
    ASSERT_TRUE(replica.ok()) << replica.status();
    workload_ = replica->workload;
    workload_.node_groups[0].count = static_cast<int32_t>(replica->need_hosts) + 1;
  }
  TempFile flavours_{""}, durations_{""}, bins_{""}, map_{"1,2 s\n8,14 m\n8,56 h\n"};
  std::shared_ptr<ArenaTrace> trace_;
  Workload workload_;
};

TEST_F(TraceArena, CostsAreThoseOfTheProtocolOnThinningsWithMoreHeavyMachines) {
  ArenaOptions options;
  options.trace = trace_;
  options.jobs = 2;
  auto arena = Arena::Create({&workload_, 1}, options);
  ASSERT_TRUE(arena.ok()) << arena.status();
  EXPECT_EQ((*arena)->mixes(), 2);
  const auto cases = CrossCases(7, 2, {0.7, 0.9}, (*arena)->mixes());
  const WeightSpace space(CpuStrandingWeights(), 32, TypicalPods(MixOf(workload_)), {});
  std::vector<double> x(space.all(), 0);
  Rng rng(6);
  for (double& v : x) v = rng.Normal();
  const std::vector<NetworkWeights> weights{CpuStrandingWeights(), space.At(x)};
  const auto costs = (*arena)->Costs(weights, cases);
  ASSERT_TRUE(costs.ok()) << costs.status();
  bool is_any_rejected = false, is_any_other = false;
  for (size_t w = 0; w < weights.size(); ++w) {
    const auto policy = MakeModelPolicy("m", "1", weights[w], MixOf(workload_));
    ASSERT_TRUE(policy.ok()) << policy.status();
    for (size_t c = 0; c < cases.size(); ++c) {
      AzureOptions thinning = trace_->thinning;
      thinning.heavy_copies = trace_->heavy_copies[static_cast<size_t>(cases[c].mix)];
      const auto run = RunAzureReplica(*MakeAzureReplica(trace_->trace, thinning, cases[c].seed), **policy, cases[c].load);
      ASSERT_TRUE(run.ok()) << run.status();
      EXPECT_DOUBLE_EQ((*costs)[w][c], run->rejected_cpu_hours_percent + run->rejected_requests_percent);
      is_any_rejected |= (*costs)[w][c] > 0;
      is_any_other |= (*costs)[w][c] != (*costs)[0][c];
    }
  }
  EXPECT_TRUE(is_any_rejected);
  EXPECT_TRUE(is_any_other);   // the weights decide
}

TEST_F(TraceArena, CostsAreRelativeToTheMeanOfTheBestRuleOfAMixAndLoad) {
  ArenaOptions options;
  options.trace = trace_;
  auto arena = Arena::Create({&workload_, 1}, options);
  ASSERT_TRUE(arena.ok()) << arena.status();
  const auto cases = CrossCases(3, 3, {0.7}, 2);
  ASSERT_TRUE((*arena)->DivideByMeans(cases).ok());
  const std::vector<NetworkWeights> teacher{CpuStrandingWeights()};
  const auto best = (*arena)->BestRule(cases);
  const auto absolute = (*arena)->Costs(teacher, cases), relative = (*arena)->RelativeCosts(teacher, cases);
  ASSERT_TRUE(best.ok() && absolute.ok() && relative.ok());
  for (size_t c = 0; c < cases.size(); ++c) {
    double mean = 0;
    for (size_t o = 0; o < cases.size(); ++o) mean += cases[o].mix == cases[c].mix ? (*best)[o] / 3 : 0;
    ASSERT_GT(mean, 0.2);   // else the least divisor is what counts
    EXPECT_DOUBLE_EQ((*relative)[0][c], (*absolute)[0][c] / mean);
  }
}

}  // namespace
}  // namespace berth

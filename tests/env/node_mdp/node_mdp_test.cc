#include "env/node_mdp/node_mdp.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "env/node_mdp/node_grid.h"
#include "env/node_mdp/node_model.h"
#include "env/node_mdp/support.h"
#include "mdp/policy_iteration.h"
#include "mdp/value_iteration.h"

namespace berth {
namespace {

using test::FourKinds;
using test::Make;
using test::MakeGroup;
using test::MakePodClass;
using test::SmallWorkload;
using ::testing::HasSubstr;

// The same decision process stored by rows, with an action for every subset of the classes that are taken.
mdp::SparseMdp AllSubsets(const NodeGrid& grid, const std::vector<NodeStream>& streams) {
  mdp::SparseMdpBuilder builder(grid.num_states(), mdp::RowKind::kRate);
  for (int32_t s = 0; s < grid.num_states(); ++s) {
    for (uint32_t subset = 0; subset < 1u << streams.size(); ++subset) {
      std::vector<double> rate(static_cast<size_t>(grid.num_states()));
      double reward = 0;
      bool is_possible = true;
      for (size_t k = 0; k < streams.size(); ++k) {
        if (const int32_t before = grid.Before(s, k); before >= 0)
          rate[static_cast<size_t>(before)] += grid.Running(s, k) * streams[k].departures_per_h;
        if ((subset >> k & 1) == 0) continue;
        const int32_t after = grid.After(s, k);
        is_possible = is_possible && after >= 0;
        if (after < 0) continue;
        rate[static_cast<size_t>(after)] += streams[k].offered_per_h;
        reward += streams[k].offered_per_h * streams[k].earned;
      }
      if (!is_possible) continue;
      std::vector<mdp::Transition> row;
      for (int32_t next = 0; next < grid.num_states(); ++next) {
        if (rate[static_cast<size_t>(next)] > 0) row.push_back({next, rate[static_cast<size_t>(next)]});
      }
      EXPECT_TRUE(builder.AddAction(s, static_cast<int32_t>(subset), reward, row).ok());
    }
  }
  auto built = std::move(builder).Build();
  EXPECT_TRUE(built.ok()) << built.status();
  return *std::move(built);
}

TEST(NodeModel, ValueIterationAgreesWithPolicyIterationOverAllSubsetsOfClasses) {
  NodeGrid grid(9, 17, {{1, 1}, {4, 2}, {2, 8}});
  grid.SetMix({2, 0.6, 0.5});
  const std::vector<NodeStream> streams = {{12, 2, 1.0}, {3, 0.5, 9.0}, {4, 1, 3.5}};
  const auto by_values = mdp::SolveAverage(NodeModel(grid, streams), {.tolerance = 1e-10});
  const auto by_policies = mdp::IteratePoliciesAverage(AllSubsets(grid, streams));
  ASSERT_TRUE(by_values.ok()) << by_values.status();
  ASSERT_TRUE(by_policies.ok()) << by_policies.status();
  EXPECT_NEAR(by_values->gain, by_policies->gain, by_values->error + by_policies->error + 1e-9);
  for (size_t s = 0; s < by_values->relative_values.size(); ++s) {
    EXPECT_NEAR(by_values->relative_values[s] - by_values->relative_values[0],
                by_policies->relative_values[s] - by_policies->relative_values[0], 1e-6);
  }
}

TEST(NodeMdp, ThePricesMakeANodeTakeTheSameShareOfEveryClass) {
  for (double m : {1.0, 3.0, 6.0}) {
    const auto solved = SolveNodeMdp(SmallWorkload(), {.m = m});
    ASSERT_TRUE(solved.ok()) << solved.status();
    EXPECT_TRUE(solved->is_price_converged);
    EXPECT_LE(solved->price_gap, 0.02);
    EXPECT_LE(solved->share_lower, solved->share_upper);
    for (const NodeMdpClass& c : solved->classes) EXPECT_GE(c.taken_share, solved->share_upper * 0.98) << c.pod_class;
  }
}

// The positive control of the test above: with each pod paid by its demand, some classes are crowded out.
TEST(NodeMdp, WithoutPricesANodeTakesUnequalShares) {
  const auto solved = SolveNodeMdp(SmallWorkload(), {.m = 6, .price_steps = 1});
  ASSERT_TRUE(solved.ok());
  EXPECT_FALSE(solved->is_price_converged);
  EXPECT_GT(solved->price_gap, 0.2);
}

TEST(NodeMdp, PricesAreScaledToTheDemandOffered) {
  const auto solved = SolveNodeMdp(SmallWorkload(), {});
  ASSERT_TRUE(solved.ok());
  double demand = 0, price = 0;
  for (const NodeMdpClass& c : solved->classes) {
    demand += c.fair_per_h * c.demand;
    price += c.fair_per_h * c.price;
    EXPECT_GT(c.price, 0);
  }
  EXPECT_NEAR(price, demand, 1e-9 * demand);
}

TEST(NodeMdp, PodsOfAClassComeAsOftenAsTheyLeave) {
  const Workload w = Make({MakeGroup("node", 16, 32, 40)},
                          {MakePodClass("brief", 1, 1, 1, 900), MakePodClass("b", 4, 2, 1, 3600),
                           MakePodClass("c", 1, 8, 1, 3600), MakePodClass("long", 8, 16, 1, 4 * 3600)});
  const auto corrected = SolveNodeMdp(w, {.m = 12, .price_steps = 4000});
  ASSERT_TRUE(corrected.ok());
  EXPECT_LE(corrected->mix_gap, 0.02);
  // The positive control: with the mix that is offered, the model lets long pods leave as brief ones.
  const auto uncorrected = SolveNodeMdp(w, {.m = 12, .price_steps = 4000, .mix_rounds = 1});
  ASSERT_TRUE(uncorrected.ok());
  EXPECT_GT(uncorrected->mix_gap, 0.5);
}

// With one round the mix is the offered load, so the table can be made again from the prices.
TEST(NodeMdp, TheTableHoldsTheSolversValues) {
  const auto solved = SolveNodeMdp(SmallWorkload(), {.m = 3, .mix_rounds = 1, .gain_tolerance = 1e-10});
  ASSERT_TRUE(solved.ok());
  const NodeMdpShape& shape = solved->shapes[0];
  ASSERT_EQ(shape.table.cpu_unit_milli, 1000);
  ASSERT_EQ(shape.table.mem_unit_bytes, int64_t{1} << 30);
  NodeGrid grid(shape.table.cpu_levels, shape.table.mem_levels, {{1, 1}, {4, 2}, {2, 8}});
  std::vector<NodeStream> streams;
  std::vector<double> rho;
  for (const NodeMdpClass& c : solved->classes) {
    const double life_h = SmallWorkload().pod_classes[c.pod_class].lifetime.mean_s / 3600;
    streams.push_back({3 * c.fair_per_h, 1 / life_h, c.price});
    rho.push_back(c.fair_per_h * life_h);
  }
  grid.SetMix(rho);
  const auto again = mdp::SolveAverage(NodeModel(grid, streams), {.tolerance = 1e-11});
  ASSERT_TRUE(again.ok());
  EXPECT_NEAR(shape.gain, again->gain, 1e-6);
  const std::vector<double>& h = again->relative_values;
  const double top = *std::max_element(h.begin(), h.end());
  ASSERT_EQ(shape.state_cells.size(), h.size());
  for (int32_t s = 0; s < grid.num_states(); ++s) {
    const double cpu = 1000.0 * grid.used_cpu(s), mem = std::ldexp(grid.used_mem(s), 30);
    EXPECT_NEAR(shape.table.At(cpu, mem), h[static_cast<size_t>(s)] - top, 1e-5);
    EXPECT_EQ(shape.state_cells[static_cast<size_t>(s)], grid.used_cpu(s) * shape.table.mem_levels + grid.used_mem(s));
  }
}

TEST(NodeMdp, TheGainIsCertifiedToTheTolerance) {
  const auto solved = SolveNodeMdp(SmallWorkload(), {.gain_tolerance = 1e-8});
  ASSERT_TRUE(solved.ok());
  double offered = 0;
  for (const NodeMdpClass& c : solved->classes) offered += c.fair_per_h * c.demand;
  const NodeMdpShape& shape = solved->shapes[0];
  EXPECT_LE(shape.gain_lower, shape.gain);
  EXPECT_LE(shape.gain, shape.gain_upper);
  EXPECT_LE(shape.gain_upper - shape.gain_lower, 2e-8 * offered * 1.001);
}

TEST(NodeMdp, SolvingIsDeterministic) {
  const auto a = SolveNodeMdp(SmallWorkload(), {}), b = SolveNodeMdp(SmallWorkload(), {});
  ASSERT_TRUE(a.ok() && b.ok());
  EXPECT_EQ(a->shapes[0].table.value, b->shapes[0].table.value);
  EXPECT_EQ(a->sweeps, b->sweeps);
}

TEST(NodeMdp, ShapesShareThePricesAndEqualShapesAreOne) {
  const Workload w = Make(
      {MakeGroup("large", 16, 64, 5), MakeGroup("small", 16, 32, 5), MakeGroup("again", 16, 64, 10)},
      {MakePodClass("a", 1, 2, 4, 3600), MakePodClass("b", 5, 20, 0.6, 7200), MakePodClass("wide", 2, 48, 0.1, 7200)});
  const auto solved = SolveNodeMdp(w, {.m = 3, .price_steps = 4000});
  ASSERT_TRUE(solved.ok()) << solved.status();
  ASSERT_EQ(solved->shapes.size(), 2u);
  EXPECT_EQ(solved->shapes[0].nodes, 15);
  EXPECT_EQ(solved->shapes[1].nodes, 5);
  EXPECT_EQ(solved->classes.size(), 3u);  // what fits one shape alone has a price too
  for (const NodeMdpClass& c : solved->classes) EXPECT_GE(c.taken_share, 0.95 * solved->share_upper);
}

TEST(NodeMdp, NoMoreNodesCompeteThanThereAre) {
  const auto solved = SolveNodeMdp(Make({MakeGroup("host", 8, 16, 2)}, SmallWorkload().pod_classes), {.m = 12});
  ASSERT_TRUE(solved.ok());
  EXPECT_EQ(solved->m, 2);
}

TEST(NodeMdp, TheGridIsCoarsenedToTheStatesAllowed) {
  const Workload w =
      Make({MakeGroup("host", 64, 256, 10)},
           {MakePodClass("a", 1, 3, 1, 600), MakePodClass("b", 2, 5, 1, 600), MakePodClass("c", 3, 1, 1, 600)});
  const auto fine = SolveNodeMdp(w, {.max_states = 100'000, .price_steps = 1, .gain_tolerance = 0.1});
  const auto coarse = SolveNodeMdp(w, {.max_states = 300, .price_steps = 1, .gain_tolerance = 0.1});
  ASSERT_TRUE(fine.ok() && coarse.ok());
  EXPECT_EQ(fine->shapes[0].mem_rounding_percent, 0);
  EXPECT_GT(fine->shapes[0].state_cells.size(), 300u);
  EXPECT_LE(coarse->shapes[0].state_cells.size(), 300u);
  EXPECT_GT(coarse->shapes[0].mem_rounding_percent + coarse->shapes[0].cpu_rounding_percent, 1);
}

TEST(NodeMdp, BadOptionsAndWorkloadsAreErrorsThatNameThem) {
  const auto message = [](const Workload& w, const NodeMdpOptions& o) {
    return std::string(SolveNodeMdp(w, o).status().message());
  };
  const Workload w = SmallWorkload();
  EXPECT_THAT(message(w, {.m = 0.5}), HasSubstr("m is \"0.5\", accepted: a number from 1 to 1000"));
  EXPECT_THAT(message(w, {.m = std::nan("")}), HasSubstr("m is"));
  EXPECT_THAT(message(w, {.design_load = 0}), HasSubstr("design load"));
  EXPECT_THAT(message(w, {.max_states = 1}), HasSubstr("max_states"));
  EXPECT_THAT(message(w, {.price_steps = 0}), HasSubstr("price_steps"));
  EXPECT_THAT(message(w, {.mix_rounds = 0}), HasSubstr("mix_rounds"));
  EXPECT_THAT(message(w, {.mix_tolerance = 2}), HasSubstr("mix_tolerance"));
  EXPECT_THAT(message(w, {.price_tolerance = -1}), HasSubstr("price_tolerance"));
  EXPECT_THAT(message(w, {.gain_tolerance = 0}), HasSubstr("gain_tolerance"));
  EXPECT_THAT(message(*BuiltinWorkload("openb-like"), {}), HasSubstr("gpu count of node"));
  Workload forever = w;
  forever.pod_classes[0].lifetime.kind = Lifetime::Kind::kUnlimited;
  EXPECT_THAT(message(forever, {}), HasSubstr("lifetime of pod \"small\" is \"unlimited\""));
  EXPECT_THAT(message(Make({MakeGroup("host", 1, 1, 2)}, {MakePodClass("big", 4, 4, 1, 60)}), {}),
              HasSubstr("fits an empty node"));
}

}  // namespace
}  // namespace berth

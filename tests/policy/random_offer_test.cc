#include "policy/potential/random_offer.h"

#include <gtest/gtest.h>

#include <cmath>

namespace berth {
namespace {

constexpr int64_t kGib = int64_t{1} << 30;

Node MakeNode(int64_t cpu_milli, int32_t gpus) {
  Node node;
  node.name = "n";
  node.cpu_milli = cpu_milli;
  node.mem_bytes = 64 * kGib;
  node.gpu_count = gpus;
  return node;
}

PodRequest MakeRequest(int64_t cpu_milli, int32_t gpus, int32_t milli) {
  PodRequest request;
  request.cpu_milli = cpu_milli;
  request.gpu_count = gpus;
  request.gpu_milli = milli;
  return request;
}

double ValueOf(const Node& node, const PodMix& mix, const RandomOfferOptions& options = {}) {
  ClusterState state;
  const NodeId id = *state.AddNode(node);
  const auto potential = MakeRandomOfferPotential(mix, options);
  potential->Reset(state, {1, {}, node.gpu_count > 0});
  const NodeState& s = state.state_class(state.view(id).class_id).state;
  return potential->Value(state.shape_of(s), s);
}

TEST(RandomOffer, OneClassFillsWhatItCan) {
  // Devices of 1000 take three of 300; a hundred offers are enough for both devices.
  EXPECT_NEAR(ValueOf(MakeNode(64'000, 2), {{MakeRequest(1000, 1, 300), 1}}), std::sqrt(2.0) - 1.8, 1e-9);
  EXPECT_NEAR(ValueOf(MakeNode(2'000, 2), {{MakeRequest(1000, 1, 300), 1}}), std::sqrt(2.0) - 0.6, 1e-9);     // cpu for two pods
  EXPECT_NEAR(ValueOf(MakeNode(64'000, 2), {{MakeRequest(1000, 2, 1000), 1}}), std::sqrt(2.0) - 2, 1e-9);
  EXPECT_NEAR(ValueOf(MakeNode(64'000, 2), {{MakeRequest(1000, 4, 1000), 1}}), std::sqrt(2.0), 1e-9);         // never fits
  EXPECT_NEAR(ValueOf(MakeNode(64'000, 2), {{MakeRequest(1000, 1, 300), 1}}, {.sequences = 3, .offers = 2}), std::sqrt(2.0) - 0.6, 1e-9);
}

TEST(RandomOffer, WithoutGpusItCountsCpu) { EXPECT_NEAR(ValueOf(MakeNode(10'000, 0), {{MakeRequest(3000, 0, 0), 1}}), -9, 1e-9); }

TEST(RandomOffer, AnEmptyMixValuesTheIdleDevicesAlone) { EXPECT_NEAR(ValueOf(MakeNode(10'000, 4), {}), 2, 1e-9); }

TEST(RandomOffer, TheMeanIsBelowTheBestSequenceWhereOrdersMatter) {
  // Two devices, two kinds: a pair of 600 and 400 fills a device, two of 600 don't. Chance decides, so the mean lies between.
  const PodMix mix = {{MakeRequest(100, 1, 600), 1}, {MakeRequest(100, 1, 500), 1}};
  const double filled = std::sqrt(2.0) - ValueOf(MakeNode(64'000, 2), mix);
  EXPECT_GT(filled, 1.2);
  EXPECT_LT(filled, 2);
}

}  // namespace
}  // namespace berth

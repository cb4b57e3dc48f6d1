#include "agent/weight_space.h"

#include <gtest/gtest.h>

#include <cmath>

namespace berth {
namespace {

PodMix Mix() {
  PodMix mix;
  for (const auto& [milli, models, weight] : std::vector<std::tuple<int, std::vector<std::string>, double>>{
           {500, {}, 0.4}, {300, {}, 0.3}, {500, {"T4"}, 0.2}, {1000, {}, 0.1}}) {
    MixClass c;
    c.request.cpu_milli = 1000;
    c.request.gpu_count = 1;
    c.request.gpu_milli = milli;
    c.request.gpu_models = models;
    c.weight = weight;
    mix.push_back(c);
  }
  return mix;
}

TEST(WeightSpace, ZeroIsTheStartWithAndWithoutClassTerms) {
  const WeightSpace space(KeepEmptyWeights(), 0, Mix(), {"P100", "T4"});
  EXPECT_EQ(space.all(), space.shared() + 2 * 3 + 3 * 2);   // three groups: shared, shared T4, whole
  const NetworkWeights narrow = space.At(std::vector<double>(space.shared(), 0)), wide = space.At(std::vector<double>(space.all(), 0));
  EXPECT_EQ(narrow.linear, KeepEmptyWeights().linear);
  EXPECT_TRUE(narrow.classes.empty());
  EXPECT_EQ(wide.linear, KeepEmptyWeights().linear);
  EXPECT_EQ(wide.classes, std::vector<float>(ClassTerms::Count(Mix(), 2), 0.0f));
  EXPECT_TRUE(CheckClasses(wide, Mix()).ok());
  PodMix more = Mix();
  more.push_back(more.back());
  EXPECT_FALSE(CheckClasses(wide, more).ok());
}

TEST(WeightSpace, ClassesThatWishAlikeShareACoordinate) {
  const WeightSpace space(KeepEmptyWeights(), 0, Mix(), {"T4"});
  std::vector<double> x(space.all(), 0);
  x[space.shared()] = 1;   // the fragment of the untyped shared pods, both of them
  const NetworkWeights w = space.At(x);
  EXPECT_FLOAT_EQ(w.classes[0], w.classes[1]);
  EXPECT_NEAR(w.classes[0], std::exp(1.0) - 1, 1e-5);
  EXPECT_EQ(w.classes[2], 0);
  EXPECT_EQ(w.classes[3], 0);
}

TEST(WeightSpace, OnlyTheFirstFeaturesMoveWhereThePlanSaysSoAndClassTermsAreAddedToTheStarts) {
  NetworkWeights start = KeepEmptyWeights();
  start.class_models = {"T4"};
  start.classes.assign(ClassTerms::Count(Mix(), 1), 2.0f);
  const WeightSpace space(start, 32, Mix(), {"T4"});
  EXPECT_EQ(space.shared(), 32u);
  const NetworkWeights w = space.At(std::vector<double>(space.all(), 1));
  EXPECT_NE(w.linear[31], start.linear[31]);
  EXPECT_EQ(w.linear[kFeatureCount - 1], start.linear[kFeatureCount - 1]);
  EXPECT_FLOAT_EQ(w.classes[4], 2.6f);
  EXPECT_EQ(space.At(std::vector<double>(space.all(), 0)).classes, start.classes);
  // Terms of other pods or models are no start.
  EXPECT_EQ(WeightSpace(start, 32, Mix(), {"P100"}).At(std::vector<double>(32, 0)).classes.size(), 0u);
}

TEST(WeightSpace, WithoutGpusOnlyWhatSaysSomethingMovesAndEveryClassByItself) {
  PodMix mix = Mix();
  for (MixClass& c : mix) c.request.gpu_count = 0, c.request.gpu_milli = 0, c.request.gpu_models.clear();
  const WeightSpace space(CpuStrandingWeights(), 32, mix, {});
  EXPECT_EQ(space.shared(), 9u);
  EXPECT_EQ(space.all(), 9u + 3 * 4);
  const NetworkWeights start = space.At(std::vector<double>(space.all(), 0)), moved = space.At(std::vector<double>(space.all(), 1));
  EXPECT_EQ(start.linear, CpuStrandingWeights().linear);
  EXPECT_EQ(start.classes, std::vector<float>(12, 0.0f));
  EXPECT_TRUE(CheckClasses(moved, mix).ok());
  EXPECT_FALSE(CheckClasses(moved, Mix()).ok());
  int features = 0;
  for (size_t i = 0; i < kFeatureCount; ++i) features += moved.linear[i] != start.linear[i];
  EXPECT_EQ(features, 9);
  for (float w : moved.classes) EXPECT_FLOAT_EQ(w, 0.3f);
}

TEST(WeightSpace, NoClassEverCountsNegatively) {
  const WeightSpace space(KeepEmptyWeights(), 0, Mix(), {});
  std::vector<double> x(space.all(), -1000);
  for (size_t i = 0; i < space.shared(); ++i) x[i] = 0;
  const NetworkWeights w = space.At(x);
  for (size_t t = 0; t < 4; ++t) EXPECT_GT(w.linear[0] + w.classes[t], 0) << t;
  EXPECT_TRUE(ValidateWeights(w).ok());
}

}  // namespace
}  // namespace berth

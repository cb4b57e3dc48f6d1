#include "evaluate/heat_map.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "evaluate/evaluate.h"
#include "policy/registry.h"

namespace berth {
namespace {

using ::testing::HasSubstr;

// Four nodes of two devices, filled by eight pods of one device each in node order.
class HeatMapTest : public ::testing::Test {
 protected:
  HeatMapTest() {
    for (int i = 0; i < 4; ++i) {
      Node node;
      node.name = "n" + std::to_string(i);
      node.cpu_milli = 8000;
      node.gpu_count = 2;
      node.gpu_model = i < 2 ? "A" : "B";
      nodes_.push_back(node);
    }
    PodRequest pod;
    pod.cpu_milli = 1000;
    pod.gpu_count = 1;
    pod.gpu_milli = 1000;
    pods_.assign(8, pod);
    sequence_.ranks = {0, 1, 2, 3};
    for (uint32_t i = 0; i < 8; ++i) sequence_.pods.push_back(i);
  }
  HeatMap Play() {
    const auto workload = FgdWorkload(nodes_, pods_, sequence_);
    EXPECT_TRUE(workload.ok());
    const auto policy = MakePolicy("first-fit", {});
    const auto map = PlayHeatMap(*workload, FgdEnvOptions(sequence_, **policy), **policy, 1);
    EXPECT_TRUE(map.ok()) << map.status();
    return *map;
  }

  std::vector<Node> nodes_;
  std::vector<PodRequest> pods_;
  FgdSequence sequence_;
};

TEST_F(HeatMapTest, ShowsNodesFillUpInOrderOfArrivedDemand) {
  const HeatMap map = Play();
  ASSERT_EQ(map.row_labels.size(), 4u);
  EXPECT_EQ(map.row_labels[1], "A x2 (2)");
  ASSERT_EQ(map.values.size(), 4 * map.columns);
  const auto at = [&](size_t row, double percent) { return map.values[row * map.columns + static_cast<size_t>(percent / map.x_high * static_cast<double>(map.columns))]; };
  // Half of the demand: both nodes of A are full, those of B are free. The fullest of a kind is its last row.
  EXPECT_EQ(at(0, 51), 1);
  EXPECT_EQ(at(1, 51), 1);
  EXPECT_EQ(at(2, 51), 0);
  EXPECT_EQ(at(3, 51), 0);
  // Five eighths: one device of one node of B.
  EXPECT_EQ(at(2, 63.5), 0);
  EXPECT_EQ(at(3, 63.5), 0.5);
  EXPECT_EQ(at(3, 129), 1) << "the last picture stands to the end";
}

TEST_F(HeatMapTest, IsDrawnIntoTheReportOrSaysWhyNot) {
  Report report;
  report.heat_maps.push_back(Play());
  const std::string html = HtmlReport(report);
  if (DrawSvg(report.heat_maps.front()).ok()) EXPECT_THAT(html, HasSubstr("<svg"));
  else EXPECT_THAT(html, HasSubstr("No plot of GPUs in use, first-fit"));
  report.heat_maps.front().values.pop_back();
  EXPECT_THAT(HtmlReport(report), HasSubstr("another size than its labels"));
}

}  // namespace
}  // namespace berth

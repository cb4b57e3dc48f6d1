// Our own format beyond the basics: exact round trips, the quick path for long recordings, and what has to be refused.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "base/rng.h"
#include "base/status.h"
#include "fmt/format.h"
#include "workload/plain_arrivals.h"
#include "workload/workload.h"

namespace berth {
namespace {

using ::testing::HasSubstr;

constexpr char kBody[] =
    "format: berth-workload-1\nname: w\nnodes:\n  - {name: n, count: 2, cpu: 4, memory: 8Gi}\n"
    "pods:\n  - {name: p, share: 1, cpu: 500m, memory: 1Gi}\n  - {name: q.2, share: 2, cpu: 1, memory: 1Gi}\n";
constexpr char kArrivals[] = "arrivals:\n  - [5, \"p\", 100]\n  - [7, q.2, forever]\n  - [7, \"p\", 1152921504606846976]\n";

std::string MessageOfParse(const std::string& text) {
  const auto parsed = ParseWorkload(text);
  return parsed.ok() ? "OK" : std::string(parsed.status().message());
}

TEST(WorkloadYaml, WritingAndReadingChangesNotOneBit) {
  for (const std::string& name : BuiltinWorkloadNames()) {
    const Workload w = *BuiltinWorkload(name);
    const auto again = ParseWorkload(WorkloadToYaml(w));
    ASSERT_TRUE(again.ok()) << again.status();
    EXPECT_EQ(WorkloadToYaml(*again), WorkloadToYaml(w));
    for (size_t i = 0; i < w.pod_classes.size(); ++i) EXPECT_EQ(again->pod_classes[i].share, w.pod_classes[i].share);
  }
}

TEST(WorkloadYaml, FinishingTwiceIsFinishingOnce) {
  Rng rng(3);
  for (int trial = 0; trial < 200; ++trial) {
    Workload w = *ParseWorkload(kBody);
    const size_t classes = 1 + rng.Below(200);
    for (size_t i = 0; i < classes; ++i) {
      w.pod_classes.push_back(w.pod_classes[0]);
      w.pod_classes.back().name = fmt::format("c{}", i);
      w.pod_classes.back().share = rng.Uniform() * 1e6;
    }
    ASSERT_TRUE(FinishWorkload(w).ok());
    Workload twice = w;
    ASSERT_TRUE(FinishWorkload(twice).ok());
    for (size_t i = 0; i < w.pod_classes.size(); ++i) ASSERT_EQ(w.pod_classes[i].share, twice.pod_classes[i].share);
  }
}

TEST(WorkloadYaml, TaintsAndCordonsAreKept) {
  const auto w = ParseWorkload(
      "format: berth-workload-1\nname: w\nnodes:\n  - {name: n, cpu: 4, memory: 8Gi, unschedulable: true, taints: [{key: gpu, value: \"yes\", "
      "effect: NoExecute}, {key: b, effect: PreferNoSchedule}, {key: c}]}\npods:\n  - {name: p, share: 1, cpu: 1, memory: 1}\n");
  ASSERT_TRUE(w.ok()) << w.status();
  const Node& node = w->node_groups[0].node;
  EXPECT_TRUE(node.is_unschedulable);
  EXPECT_EQ(node.taints, (std::vector<Taint>{{"gpu", "yes", TaintEffect::kNoExecute},
                                             {"b", "", TaintEffect::kPreferNoSchedule},
                                             {"c", "", TaintEffect::kNoSchedule}}));
  const auto again = ParseWorkload(WorkloadToYaml(*w));
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(again->node_groups[0].node, node);
}

TEST(WorkloadYaml, TextsThatOnlyLookRightAreRefused) {
  const std::string body = kBody;
  const auto with = [&](const std::string& from, const std::string& to) {
    std::string text = body;
    text.replace(text.find(from), from.size(), to);
    return text;
  };
  const std::pair<std::string, const char*> cases[] = {
      {body + "---\n" + body, "workload line 8 column 1 is \"text behind the end of the document\""},
      {body + "...\narrivals:\n  - [1, p, 1]\n", "one document"},
      {"{format: berth-workload-1}\nname: w\n", "one document"},
      {std::string(10'000, ','), "workload"},
      {with("cpu: 4,", "cpu: 4, taints: yes,"), "taints"},
      {with("cpu: 4,", "cpu: 4, taints: [{value: v}],"), "key"},
      {with("cpu: 4,", "cpu: 4, taints: [{key: k, effect: Never}],"), "NoSchedule, PreferNoSchedule, NoExecute"},
      {with("cpu: 4,", "cpu: 4, unschedulable: maybe,"), "true, false"},
      {with("cpu: 4,", "cpu: [4],"), "one value"},
      {with("cpu: 4,", "cpu: 4, labels: [a],"), "labels"},
      {with("cpu: 4,", "cpu: 4, position: {x_ms: 1e400},"), "x_ms"},
      {with("cpu: 4,", "cpu: 4, extended: {nic: -1},"), "extended.nic"},
      {with("name: n,", "name: \"a\\0b\","), "control characters"},
      {with("name: n,", "name: " + std::string(300, 'n') + ","), "253 bytes"},
      {with("name: q.2", "name: p"), "each name once"},
      {with("nodes:\n", "nodes:\n  - {name: n-0001, cpu: 1, memory: 1}\n"), "no node of the group \"n\" has"},
      {with("memory: 1Gi}", "memory: 1Gi, lifetime: {kind: empirical, samples_s: [1e10]}}"), "samples_s"},
      {with("format: berth-workload-1\n", ""), "format"},
      {"arrivals:\n  - [1, p, 1]\n", "format"},
      {std::string("format: \0", 9), "workload"}};
  for (const auto& [text, want] : cases) EXPECT_THAT(MessageOfParse(text), HasSubstr(want)) << text;
}

TEST(PlainArrivals, AreReadAsTheTreeReadsThem) {
  const std::string plain = std::string(kBody) + kArrivals;
  const std::string tree = plain + "# a last line that is not plain\n";
  ASSERT_TRUE(SplitPlainArrivals(plain).has_value());
  ASSERT_FALSE(SplitPlainArrivals(tree).has_value());
  const auto a = ParseWorkload(plain), b = ParseWorkload(tree);
  ASSERT_TRUE(a.ok() && b.ok()) << a.status() << b.status();
  EXPECT_EQ(WorkloadToYaml(*a), WorkloadToYaml(*b));
  ASSERT_EQ(a->arrivals.size(), 3u);
  EXPECT_EQ(a->arrivals[1].life_us, kForever);
  EXPECT_EQ(a->arrivals[1].pod_class, 1u);
  EXPECT_EQ(a->arrivals[2].life_us, kMaxTimeUs);
}

TEST(PlainArrivals, WhatTheWriterWritesIsPlain) {
  Workload w = *ParseWorkload(std::string(kBody) + kArrivals);
  EXPECT_TRUE(SplitPlainArrivals(WorkloadToYaml(w)).has_value());
  // A name that needs escapes goes through the tree, and comes back.
  w.pod_classes[0].name = "a \"b\"\nc";
  const std::string text = WorkloadToYaml(w);
  EXPECT_FALSE(SplitPlainArrivals(text).has_value());
  const auto again = ParseWorkload(text);
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(WorkloadToYaml(*again), text);
}

// One text, put in ways that YAML reads alike or refuses: the quick path may not be told from the tree.
TEST(PlainArrivals, DecideNothingThatTheTreeWouldDecideOtherwise) {
  const std::string body = kBody;
  const std::string texts[] = {
      body + kArrivals,
      body + "arrivals:\n- [1, p, 2]\n- [3, p, 2]\n",
      body + "arrivals:\n  - [1, p, 2]\n - [3, p, 2]\n",                       // indents differ
      body + "arrivals:\n  - [1, p, 2]\n   - [3, p, 2]\n",
      body + "arrivals:\r\n  - [1, p, 2]\r\n",
      body + "arrivals:\n\n  - [1, p, 2]\n\n",
      body + "arrivals:\n",
      body + "arrivals:\n  - [2, p, 2]\n  - [1, p, 2]\n",                       // out of order
      body + "arrivals:\n  - [1, null, 2]\n",
      body + "arrivals:\n  - [1, none, 2]\n",
      body + "arrivals:\n  - [1, p, 0]\n",
      body + "arrivals:\n  - [-1, p, 1]\n",
      body + "arrivals:\n  - [1, p, 1152921504606846977]\n",
      body + "arrivals:\n  - [1, p, 99999999999999999999]\n",
      body + "arrivals:\n  - [007, p, 1]\n",
      body + "arrivals:\n  - [1, p, 1, 1]\n",
      body + "arrivals:\n  - [1, p, 1]\narrivals:\n  - [1, p, 1]\n",            // the key twice
      body + "arrivals: []\n" + "arrivals:\n  - [1, p, 1]\n",
      body + "...\n" + "arrivals:\n  - [1, p, 1]\n",                            // the document has ended
      body + "---\n" + "arrivals:\n  - [1, p, 1]\n",
      "---\n" + body + "arrivals:\n  - [1, p, 1]\n",
      "{format: berth-workload-1, name: w, nodes: [{name: n, cpu: 1, memory: 1}], pods: [{name: p, share: 1, cpu: 1, memory: 1}]}\narrivals:\n  - [1, p, 1]\n",
      " format: berth-workload-1\n name: w\n nodes: [{name: n, cpu: 1, memory: 1}]\n pods: [{name: p, share: 1, cpu: 1, memory: 1}]\narrivals:\n  - [1, p, 1]\n",
      body + "attribution: \"open\n\"\narrivals:\n  - [1, p, 1]\n",
      body + "attribution: |\n  text\narrivals:\n  - [1, p, 1]\n",
      body + "attribution:\narrivals:\n  - [1, p, 1]\n",
      body + "attribution: >\narrivals:\n  - [1, p, 1]\n",
  };
  int accepted = 0;
  for (const std::string& text : texts) {
    const auto quick = ParseWorkload(text);
    // A comment at the end changes nothing but that the text is not plain.
    const auto tree = ParseWorkload(text.substr(0, text.find_last_not_of("\r\n") + 1) + " # end\n");
    ASSERT_EQ(quick.ok(), tree.ok()) << text << "\n" << quick.status() << "\n" << tree.status();
    if (!quick.ok()) {
      EXPECT_EQ(MessageOf(quick.status()), MessageOf(tree.status())) << text;
      continue;
    }
    ++accepted;
    EXPECT_EQ(WorkloadToYaml(*quick), WorkloadToYaml(*tree)) << text;
  }
  EXPECT_GE(accepted, 5);
  // The parser takes a quote that nobody closes to go on to the end: what is in it is no arrival.
  const auto open = ParseWorkload(body + "attribution: \"open\narrivals:\n  - [1, p, 1]\n");
  EXPECT_TRUE(!open.ok() || open->arrivals.empty());
}

TEST(PlainArrivals, AreReadWhereTheWholeTextIsTooMuchForATree) {
  const std::string name(240, 'p');
  std::string text = kBody;
  text.replace(text.find("name: p,"), 8, "name: " + name + ",");
  text += "arrivals:\n";
  constexpr size_t kCount = 280'000;
  const std::string line = "  - [1, " + name + ", 1000000000]\n";
  text.reserve(kCount * line.size() + 1000);
  for (size_t i = 0; i < kCount; ++i) text += line;
  ASSERT_GT(text.size(), size_t{64} << 20);
  const auto w = ParseWorkload(text);
  ASSERT_TRUE(w.ok()) << w.status();
  EXPECT_EQ(w->arrivals.size(), kCount);
  EXPECT_EQ(w->arrivals.back().life_us, 1'000'000'000);
  const auto refused = ParseWorkload(text + "# not plain\n");
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(refused.status().message()), HasSubstr("up to 67108864"));
}

}  // namespace
}  // namespace berth

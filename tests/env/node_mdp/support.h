// Small workloads for the tests of the per-node decision process.
#ifndef BERTH_TESTS_ENV_NODE_MDP_SUPPORT_H_
#define BERTH_TESTS_ENV_NODE_MDP_SUPPORT_H_

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "workload/workload.h"

namespace berth::test {

inline PodClass MakePodClass(std::string name, int64_t cpu, int64_t gib, double share, double mean_s) {
  PodClass c;
  c.name = std::move(name);
  c.request.cpu_milli = 1000 * cpu;
  c.request.mem_bytes = gib << 30;
  c.share = share;
  c.lifetime.mean_s = mean_s;
  return c;
}

inline NodeGroup MakeGroup(std::string name, int64_t cpu, int64_t gib, int32_t count) {
  Node node;
  node.name = std::move(name);
  node.cpu_milli = 1000 * cpu;
  node.mem_bytes = gib << 30;
  return {node, count};
}

inline Workload Make(std::vector<NodeGroup> nodes, std::vector<PodClass> pods) {
  Workload w;
  w.name = "test";
  w.node_groups = std::move(nodes);
  w.pod_classes = std::move(pods);
  EXPECT_TRUE(FinishWorkload(w).ok());
  return w;
}

// Hosts of 8 vCPU and 16 GiB; lives differ.
inline Workload SmallWorkload() {
  return Make({MakeGroup("host", 8, 16, 40)},
              {MakePodClass("small", 1, 1, 6, 600), MakePodClass("cpu", 4, 2, 1.5, 1800),
               MakePodClass("memory", 2, 8, 1, 900)});
}

// Four kinds of pods as likely and long as each other, on nodes of 16 vCPU and 32 GiB.
inline Workload FourKinds() {
  return Make({MakeGroup("node", 16, 32, 100)}, {MakePodClass("a", 1, 2, 1, 3600), MakePodClass("b", 4, 2, 1, 3600),
                                                 MakePodClass("c", 2, 8, 1, 3600), MakePodClass("d", 8, 16, 1, 3600)});
}

}  // namespace berth::test

#endif  // BERTH_TESTS_ENV_NODE_MDP_SUPPORT_H_

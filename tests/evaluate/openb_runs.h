// The published runs of the FGD protocol as the tests read them: nodes, pods, orders, and the curves that came out.
#ifndef BERTH_TESTS_EVALUATE_OPENB_RUNS_H_
#define BERTH_TESTS_EVALUATE_OPENB_RUNS_H_

#include <fstream>
#include <map>
#include <string>
#include <tuple>
#include <vector>

#include "absl/strings/str_split.h"
#include "evaluate/evaluate.h"
#include "support/shared_data.h"
#include "workload/openb.h"

namespace berth {

struct Published {
  std::map<std::tuple<std::string, uint64_t>, std::vector<double>> curves;   // policy, seed
};

inline Published ReadPublished(const std::string& path, const std::string& workload) {
  const std::map<std::string, std::string> names = {{"02-DotProd", "dotprod"}, {"03-GpuClustering", "gpu-clustering"}, {"04-GpuPacking", "gpu-packing"},
                                                    {"05-BestFit", "best-fit"}, {"06-FGD", "fgd"}};
  Published published;
  std::ifstream in(path);
  for (std::string line; std::getline(in, line);) {
    const std::vector<std::string> cells = absl::StrSplit(line, ',');
    if (cells.size() != 5 + kCurvePoints || cells[0] != "openb_pod_list_" + workload) continue;
    const auto name = names.find(cells[1]);
    if (name == names.end()) continue;
    std::vector<double>& curve = published.curves[{name->second, static_cast<uint64_t>(std::stoi(cells[3]))}];
    for (size_t i = 5; i < cells.size(); ++i) curve.push_back(std::stod(cells[i]));
  }
  return published;
}

struct OpenbRuns {
  std::vector<Node> nodes;
  std::vector<PodRequest> requests;
  std::vector<FgdSequence> sequences;
  PodMix mix;
};

inline OpenbRuns ReadRuns(const std::string& dir, const std::string& workload) {
  OpenbRuns r;
  const std::string orders = workload.rfind("gpuspec", 0) == 0 ? "default" : workload;
  r.nodes = *ReadOpenbNodes(dir + "/openb_node_list_gpu_node.csv");
  const std::vector<OpenbPod> pods = *ReadOpenbPods(dir + "/openb_pod_list_" + workload + ".csv");
  for (const OpenbPod& pod : pods) {
    r.requests.push_back(pod.request);
    r.mix.push_back({pod.request, 1});
  }
  const auto arrivals = *ReadArrivalOrders(dir + "/protocol/arrival_" + orders + ".csv", r.requests.size());
  const auto ranks = *ReadNodeRanks(dir + "/protocol/noderank_" + orders + ".csv", r.nodes.size());
  for (size_t s = 0; s < arrivals.size(); ++s) r.sequences.push_back({arrivals[s].seed, arrivals[s].values, ranks[s].values});
  return r;
}

}  // namespace berth

#endif  // BERTH_TESTS_EVALUATE_OPENB_RUNS_H_

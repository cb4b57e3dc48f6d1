#include "agent/teachers.h"

#include <array>

#include "base/status.h"
#include "policy/potential/model_dir.h"

namespace berth {
namespace {

// In the order of FeatureNames().
constexpr std::array<float, 32> kDepartures = {
    1.37f,  4.25f, -0.47f, 1.17f,  1.37f,  0.93f, 2.83f, 2.82f, 0.57f, -0.66f, 0.16f, -1.09f, -0.57f, 0.37f,  0.16f, 0.16f,
    -0.69f, -0.55f, 0.04f, 0.49f, -0.05f, 0.15f, 0.65f, 0.85f, -0.71f, -2.38f, -0.61f, 0.34f, 0.60f, -0.37f, 1.04f, 0.25f};

}  // namespace

absl::StatusOr<NetworkWeights> TeacherWeights(std::string_view name) {
  if (name == "stranding") return StrandingWeights();
  if (name == "keep-empty") return KeepEmptyWeights();
  if (name == "cpu-stranding") return CpuStrandingWeights();
  if (name == "universal") return UniversalWeights();
  if (name == "sharing") {
    NetworkWeights weights = UniversalWeights();
    weights.linear[FeatureIndex("partly_used")] -= 10;
    for (float& weight : weights.linear) weight *= 0.1f;
    return weights;
  }
  if (name.find('/') != std::string_view::npos) {
    BERTH_ASSIGN_OR_RETURN(ModelContent content, ReadModelDir(std::string(name)));
    return std::move(content.weights);
  }
  if (name != "departures") return InvalidField("teacher", name, "stranding, cpu-stranding, keep-empty, departures, universal, sharing, or the directory of a model");
  NetworkWeights weights;
  weights.linear.assign(kDepartures.begin(), kDepartures.end());
  weights.linear.resize(kFeatureCount, 0);
  return weights;
}

}  // namespace berth

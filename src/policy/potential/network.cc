#include "policy/potential/network.h"

#include <algorithm>
#include <cmath>

#include "base/status.h"
#include "fmt/format.h"

namespace berth {
namespace {

constexpr int kMaxHidden = 256;
// Keeps every value finite in float32: |mlp| <= 256 x 256 x 32 x limit^3 x 1e8, the last being more than any feature of a
// node within the limits of cluster/node.h.
constexpr float kMaxWeight = 1e6f;

// out = relu(w x + b), w [rows, columns].
// Eight rows side by side: each sum still goes in index order, and none waits for another's last addition.
void Layer(const std::vector<float>& w, const std::vector<float>& b, const float* x, size_t columns, float* out) {
  constexpr size_t kRows = 8;
  size_t r = 0;
  for (; r + kRows <= b.size(); r += kRows) {
    std::array<float, kRows> sums;
    std::copy_n(&b[r], kRows, sums.begin());
    const float* const rows = &w[r * columns];
    for (size_t c = 0; c < columns; ++c) {
      for (size_t k = 0; k < kRows; ++k) sums[k] += rows[k * columns + c] * x[c];
    }
    for (size_t k = 0; k < kRows; ++k) out[r + k] = std::max(0.0f, sums[k]);
  }
  for (; r < b.size(); ++r) {
    float sum = b[r];
    const float* const row = &w[r * columns];
    for (size_t c = 0; c < columns; ++c) sum += row[c] * x[c];
    out[r] = std::max(0.0f, sum);
  }
}

class NetworkPotential : public Potential {
 public:
  NetworkPotential(std::shared_ptr<const NetworkWeights> weights, const PodMix& typical, PodMix mix)
      : weights_(std::move(weights)), extractor_(typical, std::move(mix)), terms_(typical, weights_->class_models), z_(weights_->classes.size()) {}
  void Reset(const ClusterState& view, const ScoreContext&) override {
    See(view);
    if (!z_.empty()) terms_.Reset(view);
  }
  ScoreVersion Observe(const ClusterState& view, const Pod&, const ResolvedRequest&, bool) override {
    if (!extractor_.IsUpToDate(view)) {
      See(view);
      ++version_.values;
    }
    return version_;
  }
  double Value(const Shape& shape, const NodeState& state) override {
    Features x;
    extractor_.Compute(shape, state, &x);
    if (z_.empty()) return NetworkValue(*served_, x);
    terms_.Compute(shape, state, extractor_.scan(), z_.data());
    return NetworkValue(*served_, x) + ClassValue(*weights_, z_.data());
  }

 private:
  void See(const ClusterState& view) {
    extractor_.Reset(view);
    served_ = weights_->depends_on_mix() ? std::make_shared<const NetworkWeights>(ForMix(*weights_, extractor_.mix_shape())) : weights_;
  }

  const std::shared_ptr<const NetworkWeights> weights_;
  std::shared_ptr<const NetworkWeights> served_;   // for the mix and the cluster at hand
  FeatureExtractor extractor_;
  ClassTerms terms_;
  std::vector<float> z_;
  ScoreVersion version_;
};

NetworkWeights LinearWeights(std::initializer_list<std::pair<std::string_view, float>> values) {
  NetworkWeights weights;
  weights.linear.assign(kFeatureCount, 0);
  for (const auto& [name, value] : values) weights.linear[FeatureIndex(name)] = value;
  return weights;
}

}  // namespace

absl::Status ValidateWeights(const NetworkWeights& w) {
  if (w.mlp_sees_mix && w.hidden == 0) return InvalidField("mlp_sees_mix", "true", "false where hidden is 0");
  if (w.hidden < 0 || w.hidden > kMaxHidden) return InvalidField("hidden", fmt::format("{}", w.hidden), fmt::format("0 to {}", kMaxHidden));
  const auto h = static_cast<size_t>(w.hidden);
  const auto check = [](std::string_view name, const std::vector<float>& values, size_t size) -> absl::Status {
    if (values.size() != size) return InvalidField(fmt::format("tensor {}", name), fmt::format("{} values", values.size()), fmt::format("{} values", size));
    for (size_t i = 0; i < size; ++i) {
      if (!(std::abs(values[i]) <= kMaxWeight)) {
        return InvalidField(fmt::format("tensor {}[{}]", name, i), fmt::format("{}", values[i]), fmt::format("a number from {} to {}", -kMaxWeight, kMaxWeight));
      }
    }
    return absl::OkStatus();
  };
  BERTH_RETURN_IF_ERROR(check("linear", w.linear, kFeatureCount));
  if (w.expert_shapes.size() > kMaxExperts) return InvalidField("experts", fmt::format("{}", w.expert_shapes.size()), fmt::format("0 to {}", kMaxExperts));
  BERTH_RETURN_IF_ERROR(check("experts", w.experts, w.expert_shapes.size() * kFeatureCount));
  for (const MixShape& shape : w.expert_shapes) {
    for (size_t i = 0; i < shape.size(); ++i) {
      if (!(shape[i] >= 0 && shape[i] <= kMostMixShape)) {
        return InvalidField(fmt::format("expert shape {}", MixShapeNames()[i]), fmt::format("{}", shape[i]), fmt::format("a number from 0 to {}", kMostMixShape));
      }
    }
  }
  BERTH_RETURN_IF_ERROR(check("w1", w.w1, h * w.mlp_inputs()));
  BERTH_RETURN_IF_ERROR(check("b1", w.b1, h));
  BERTH_RETURN_IF_ERROR(check("w2", w.w2, h * h));
  BERTH_RETURN_IF_ERROR(check("b2", w.b2, h));
  BERTH_RETURN_IF_ERROR(check("w3", w.w3, h));
  return check("classes", w.classes, w.classes.size());
}

void Scale(double factor, NetworkWeights* weights) {
  for (std::vector<float>* part : {&weights->linear, &weights->experts, &weights->classes, &weights->w3}) {
    for (float& weight : *part) weight *= static_cast<float>(factor);
  }
}

bool LooksAtExits(const NetworkWeights& w) {
  const auto looks = [](const float* row) { return std::any_of(row + kFirstExitFeature, row + kFirstExitFeature + kExitFeatures, [](float weight) { return weight != 0; }); };
  for (size_t k = 0; k < w.expert_shapes.size(); ++k) {
    if (looks(&w.experts[k * kFeatureCount])) return true;
  }
  return looks(w.linear.data());
}

NetworkWeights BlendExperts(const NetworkWeights& weights, const MixShape& shape) {
  NetworkWeights blend = weights;
  blend.experts.clear();
  blend.expert_shapes.clear();
  if (weights.experts.empty()) return blend;
  const std::vector<double> shares = HullShares(weights.expert_shapes, shape);
  for (size_t i = 0; i < kFeatureCount; ++i) {
    double sum = static_cast<double>(weights.linear[i]);
    for (size_t k = 0; k < shares.size(); ++k) sum += shares[k] * static_cast<double>(weights.experts[k * kFeatureCount + i]);
    blend.linear[i] = static_cast<float>(sum);
  }
  return blend;
}

NetworkWeights ForMix(const NetworkWeights& weights, const MixShape& shape) {
  NetworkWeights served = BlendExperts(weights, shape);
  if (!weights.mlp_sees_mix) return served;
  const MixShape seen = Quantised(shape);
  served.mlp_sees_mix = false;
  served.w1.clear();
  for (size_t r = 0; r < weights.b1.size(); ++r) {
    const auto row = weights.w1.begin() + static_cast<std::ptrdiff_t>(r * weights.mlp_inputs());
    served.w1.insert(served.w1.end(), row, row + kFeatureCount);
    for (size_t i = 0; i < seen.size(); ++i) served.b1[r] += row[kFeatureCount + static_cast<std::ptrdiff_t>(i)] * seen[i];
  }
  return served;
}

absl::Status CheckClasses(const NetworkWeights& w, const PodMix& typical) {
  const size_t wanted = ClassTerms::Count(typical, w.class_models.size());
  if (w.classes.empty() ? w.class_models.empty() : w.classes.size() == wanted) return absl::OkStatus();
  return InvalidField("tensor classes", fmt::format("{} values", w.classes.size()), fmt::format("{} values, or none and no class models", wanted));
}

NetworkWeights StrandingWeights() {
  return LinearWeights({{"fragment", 1}, {"sqrt_idle", 0.33f}, {"sum_g2", 0.72f}, {"no_cpu_8", 1.2f}, {"surplus_cpu_16", 1.2f},
                        {"surplus_mem_64", 1.2f}, {"dead", 5.4f}});
}

NetworkWeights KeepEmptyWeights() {
  return LinearWeights({{"fragment", 1}, {"sqrt_idle", 0.3f}, {"full_share_2", -1.8f}, {"all_full", -0.9f}, {"cpu_fragment", 1}});
}

NetworkWeights CpuStrandingWeights() { return LinearWeights({{"cpu_fragment", 1}}); }

NetworkWeights UniversalWeights() {
  return LinearWeights({{"fragment", 1}, {"idle", 0.129f}, {"sqrt_idle", 0.771f}, {"has_full", -0.75f}, {"full", 0.54f}, {"sum_g2", 0.507f},
                        {"cpu_ratio_12", 0.489f}, {"sqrt_cpu", 0.723f}, {"mem_ratio_48", 0.237f}, {"no_cpu_8", 1.695f}, {"no_cpu_12", 1.449f},
                        {"no_cpu_16", 0.063f}, {"no_mem_32", -0.183f}, {"no_mem_48", -0.303f}, {"surplus_cpu_16", 1.182f},
                        {"surplus_mem_64", 1.035f}, {"sqrt_mem", 0.078f}, {"has_partly_used", 0.168f}, {"dead", 5.166f}, {"dead_all", -0.675f},
                        {"surplus_cpu_12", 0.291f}, {"all_full", -0.015f}});
}

float MlpForward(const NetworkWeights& w, const Features& x) {
  if (w.hidden == 0) return 0;
  std::array<float, kMaxHidden> a, b;
  Layer(w.w1, w.b1, x.data(), kFeatureCount, a.data());
  Layer(w.w2, w.b2, a.data(), static_cast<size_t>(w.hidden), b.data());
  float sum = 0;
  for (size_t i = 0; i < static_cast<size_t>(w.hidden); ++i) sum += w.w3[i] * b[i];
  return sum;
}

double LinearValue(const NetworkWeights& w, const Features& x) {
  double sum = 0;
  for (size_t i = 0; i < kFeatureCount; ++i) sum += static_cast<double>(w.linear[i]) * static_cast<double>(x[i]);
  return sum;
}

double NetworkValue(const NetworkWeights& w, const Features& x) { return LinearValue(w, x) + static_cast<double>(MlpForward(w, x)); }

double ClassValue(const NetworkWeights& w, const float* z) {
  double sum = 0;
  for (size_t i = 0; i < w.classes.size(); ++i) sum += static_cast<double>(w.classes[i]) * static_cast<double>(z[i]);
  return sum;
}

std::unique_ptr<Potential> MakeNetworkPotential(std::shared_ptr<const NetworkWeights> weights, PodMix typical, PodMix mix) {
  return std::make_unique<NetworkPotential>(std::move(weights), typical, std::move(mix));
}

}  // namespace berth

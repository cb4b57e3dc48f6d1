#include "policy/node_mask.h"

namespace berth {
namespace {

void Append(std::string& key, std::string_view text) {
  const auto size = static_cast<uint32_t>(text.size());
  key.append(reinterpret_cast<const char*>(&size), sizeof size);
  key.append(text);
}

}  // namespace

const NodeMask* NodeMaskCache::Get(const ClusterState& view, const Pod& pod) {
  // Tolerations alone restrict nothing; they matter only where a node is tainted.
  if (pod.node_selector.empty() && !view.has_restricted_nodes()) return nullptr;
  if (version_ != view.attribute_version()) {
    masks_.clear();
    version_ = view.attribute_version();
  }
  key_.clear();
  for (const LabelMatch& m : pod.node_selector) {
    Append(key_, m.key);
    Append(key_, m.value);
  }
  key_ += '|';
  for (const Toleration& t : pod.tolerations) {
    Append(key_, t.key);
    Append(key_, t.value);
    key_ += t.exists ? '1' : '0';
    key_ += t.effect ? static_cast<char>('a' + static_cast<char>(*t.effect)) : '-';
  }
  const auto found = masks_.find(key_);
  if (found != masks_.end()) return &found->second;
  if (masks_.size() >= kMaxMasks) masks_.clear();
  NodeMask& mask = masks_[key_];
  const auto nodes = view.nodes();
  mask.words_.assign(nodes.size() / 64 + 1, 0);
  for (uint32_t i = 0; i < nodes.size(); ++i) {
    const Node& spec = nodes[i].spec;
    if (nodes[i].is_present && !spec.is_unschedulable && ToleratesTaints(spec.taints, pod.tolerations) &&
        MatchesSelector(spec.labels, pod.node_selector)) {
      mask.words_[i / 64] |= uint64_t{1} << (i % 64);
    }
  }
  return &mask;
}

}  // namespace berth

// The scores of one pod class over all class slots, with the best found without a scan: a tournament of fan-out 16.
#ifndef BERTH_POLICY_SCORE_TREE_H_
#define BERTH_POLICY_SCORE_TREE_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

namespace berth {

// Not thread-safe. Set is O(16 log16 slots), Assign O(slots); Best is O(1).
class ScoreTree {
 public:
  static constexpr double kNone = -std::numeric_limits<double>::infinity();

  size_t size() const { return levels_.empty() ? 0 : levels_[0].size(); }

  // Grows to at least `slots`; new slots hold kNone.
  void Resize(size_t slots) {
    if (slots <= size()) return;
    size_t n = std::max<size_t>(2 * slots, kFan);
    for (size_t level = 0;; ++level) {
      n = (n + kFan - 1) / kFan * kFan;
      if (levels_.size() <= level) levels_.emplace_back();
      levels_[level].resize(n, kNone);
      if (n == kFan) break;
      n /= kFan;
    }
    Rebuild();   // a new top level starts without what was below it
  }

  // Slot i gets score(i) for i < slots, the others kNone. Requires slots <= size().
  template <class Score>
  void Assign(size_t slots, Score&& score) {
    if (levels_.empty()) return;
    std::vector<double>& leaves = levels_[0];
    for (size_t i = 0; i < slots; ++i) leaves[i] = score(static_cast<uint32_t>(i));
    std::fill(leaves.begin() + static_cast<std::ptrdiff_t>(slots), leaves.end(), kNone);
    Rebuild();
  }

  double operator[](size_t slot) const { return levels_[0][slot]; }

  void Set(size_t slot, double score) {
    double before = levels_[0][slot];
    levels_[0][slot] = score;
    for (size_t level = 1; level < levels_.size(); ++level) {
      slot /= kFan;
      double& parent = levels_[level][slot];
      const double old = parent;
      if (score >= old) parent = score;
      else if (before == old) parent = MaxOf(level - 1, slot);
      else return;
      if (parent == old) return;
      before = old;
      score = parent;
    }
  }

  double Best() const {
    return levels_.empty() ? kNone : *std::max_element(levels_.back().begin(), levels_.back().end());
  }

  // Calls visit(slot) for every slot with exactly this score, in ascending order.
  template <class Visit>
  void ForEach(double score, Visit&& visit) const {
    if (!levels_.empty()) Descend(levels_.size() - 1, 0, levels_.back().size(), score, visit);
  }

  // The best score below `best` and a slot that has it; kNone when there is none.
  struct Second {
    double score = kNone;
    uint32_t slot = 0;
  };
  Second BestBelow(double best) const {
    Second second;
    if (!levels_.empty()) Below(levels_.size() - 1, 0, levels_.back().size(), best, &second);
    return second;
  }

  // The `count` best slots that hold a score, in no order; ties by the lower slot. Cost: O(count log count log16 slots), about.
  void Top(size_t count, std::vector<Second>* out) const {
    out->clear();
    if (!levels_.empty() && count > 0) Collect(levels_.size() - 1, 0, levels_.back().size(), count, out);
  }

 private:
  static constexpr size_t kFan = 16;

  void Rebuild() {
    for (size_t level = 1; level < levels_.size(); ++level) {
      for (size_t i = 0; i * kFan < levels_[level - 1].size(); ++i) levels_[level][i] = MaxOf(level - 1, i);
    }
  }

  double MaxOf(size_t level, size_t block) const {
    const double* const p = &levels_[level][block * kFan];
    double m = p[0];
    for (size_t i = 1; i < kFan; ++i) m = p[i] > m ? p[i] : m;
    return m;
  }

  template <class Visit>
  void Descend(size_t level, size_t begin, size_t end, double score, Visit& visit) const {
    for (size_t i = begin; i < end; ++i) {
      if (level == 0) {
        if (levels_[0][i] == score) visit(static_cast<uint32_t>(i));
      } else if (levels_[level][i] >= score) {
        Descend(level - 1, i * kFan, (i + 1) * kFan, score, visit);
      }
    }
  }

  void Below(size_t level, size_t begin, size_t end, double best, Second* second) const {
    for (size_t i = begin; i < end; ++i) {
      const double value = levels_[level][i];
      if (value <= second->score) continue;
      if (level > 0) Below(level - 1, i * kFan, (i + 1) * kFan, best, second);
      else if (value < best) *second = {value, static_cast<uint32_t>(i)};
    }
  }

  // A heap with the worst in front; a later slot has to be better than it.
  void Collect(size_t level, size_t begin, size_t end, size_t count, std::vector<Second>* out) const {
    const auto is_better = [](const Second& a, const Second& b) { return a.score != b.score ? a.score > b.score : a.slot < b.slot; };
    for (size_t i = begin; i < end; ++i) {
      const double value = levels_[level][i];
      if (value == kNone || (out->size() == count && value <= out->front().score)) continue;
      if (level > 0) {
        Collect(level - 1, i * kFan, (i + 1) * kFan, count, out);
        continue;
      }
      if (out->size() == count) {
        std::pop_heap(out->begin(), out->end(), is_better);
        out->pop_back();
      }
      out->push_back({value, static_cast<uint32_t>(i)});
      std::push_heap(out->begin(), out->end(), is_better);
    }
  }

  std::vector<std::vector<double>> levels_;   // [0] = slots, each level above = maxima of 16
};

}  // namespace berth

#endif  // BERTH_POLICY_SCORE_TREE_H_

#include "mdp/stored_sweep.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <type_traits>
#include <utility>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace berth::mdp::internal {
namespace {

constexpr int kLanes = 8;
template <class Real>
constexpr Real kLowest = -std::numeric_limits<Real>::infinity();
// How far ahead the streams are fetched, in transitions. Measured flat from 256 to 768.
constexpr int64_t kAhead = 384;
constexpr int64_t kPerLine = 8;  // weights in a cache line

// Reads once, so it should not push h out of the cache. An address past the end is no fault.
inline void PrefetchStream(const void* address) { __builtin_prefetch(address, 0, 0); }

template <class Span>
struct SpanSum {
  Span span{std::numeric_limits<double>::infinity(), -std::numeric_limits<double>::infinity(), 0};
  void Add(double h, double d) {
    span.lowest = std::min(span.lowest, d);
    span.highest = std::max(span.highest, d);
    span.largest = std::max(span.largest, std::abs(h));
  }
  void Add(const Span& other) {
    span.lowest = std::min(span.lowest, other.lowest);
    span.highest = std::max(span.highest, other.highest);
    span.largest = std::max(span.largest, other.largest);
  }
};

// sum_j p h(j) of one row.
template <class Real>
inline Real RowSum(const Real* weight, const StateIndex* next, int64_t begin, int64_t end, const Real* h) {
  Real sum = 0;
  for (int64_t i = begin; i < end; i += kPerLine) {
    PrefetchStream(weight + i + kAhead);
    PrefetchStream(next + i + kAhead);
    const int64_t stop = std::min(end, i + kPerLine);
    for (int64_t j = i; j < stop; ++j) sum += weight[j] * h[next[j]];
  }
  return sum;
}

template <class Real>
struct SellChunk {
  const Real* reward;
  const int32_t* width;
  const Real* weight;
  const StateIndex* next;
  int32_t num_groups;
};

// best[l] = max over rows, row[l] the first that reaches it, -1 where the lane has none.
template <class Real>
void BackupChunk(SellChunk<Real> chunk, const Real* h, Real gamma, Real* best, int32_t* row) {
  std::fill_n(best, kLanes, kLowest<Real>);
  std::fill_n(row, kLanes, -1);
  for (int32_t a = 0; a < chunk.num_groups; ++a) {
    Real sum[kLanes] = {};
    for (int32_t k = 0; k < chunk.width[a]; ++k, chunk.weight += kLanes, chunk.next += kLanes) {
      PrefetchStream(chunk.weight + kAhead);
      PrefetchStream(chunk.next + kAhead);
      for (int l = 0; l < kLanes; ++l) sum[l] += chunk.weight[l] * h[chunk.next[l]];
    }
    for (int l = 0; l < kLanes; ++l) {
      const Real q = chunk.reward[a * kLanes + l] + gamma * sum[l];
      const bool is_better = q > best[l];
      best[l] = is_better ? q : best[l];
      row[l] = is_better ? a : row[l];
    }
  }
}

#if defined(__x86_64__)
// The same operations in the same order, eight lanes in one register.
__attribute__((target("avx512f,avx512vl"))) void BackupChunkAvx512(SellChunk<double> chunk, const double* h,
                                                                   double gamma, double* best, int32_t* row) {
  __m512d best_q = _mm512_set1_pd(kLowest<double>);
  __m512i best_row = _mm512_set1_epi64(-1);
  const __m512d scale = _mm512_set1_pd(gamma);
  for (int32_t a = 0; a < chunk.num_groups; ++a) {
    __m512d sum = _mm512_setzero_pd();
    for (int32_t k = 0; k < chunk.width[a]; ++k, chunk.weight += kLanes, chunk.next += kLanes) {
      PrefetchStream(chunk.weight + kAhead);
      if (k % 2 == 0) PrefetchStream(chunk.next + kAhead);
      const __m256i index = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(chunk.next));
      const __m512d values = _mm512_mask_i32gather_pd(_mm512_setzero_pd(), 0xff, index, h, sizeof(double));
      sum = _mm512_add_pd(sum, _mm512_mul_pd(_mm512_loadu_pd(chunk.weight), values));
    }
    const __m512d q = _mm512_add_pd(_mm512_loadu_pd(chunk.reward + a * kLanes), _mm512_mul_pd(scale, sum));
    const __mmask8 is_better = _mm512_cmp_pd_mask(q, best_q, _CMP_GT_OQ);
    best_q = _mm512_mask_mov_pd(best_q, is_better, q);
    best_row = _mm512_mask_mov_epi64(best_row, is_better, _mm512_set1_epi64(a));
  }
  _mm512_storeu_pd(best, best_q);
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(row), _mm512_maskz_cvtepi64_epi32(0xff, best_row));
}
#endif

template <class Real>
using BackupFn = void (*)(SellChunk<Real>, const Real*, Real, Real*, int32_t*);

template <class Real>
BackupFn<Real> PickBackup() {
#if defined(__x86_64__)
  if constexpr (std::is_same_v<Real, double>) {
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl")) return BackupChunkAvx512;
  }
#endif
  return BackupChunk<Real>;
}

}  // namespace

template <class Real>
StoredSweep<Real>::StoredSweep(const SparseMdp& model, double gamma, double sign, int threads, Storage storage)
    : gamma_(static_cast<Real>(gamma)), sign_(static_cast<Real>(sign)), storage_(storage), team_(threads) {
  if constexpr (std::is_same_v<Real, double>) {
    rows_ = {model.state_begin(), model.row_begin(), model.rewards(), model.weights(), model.successors(), {}};
  } else {
    own_.state_begin.assign(model.state_begin().begin(), model.state_begin().end());
    own_.row_begin.assign(model.row_begin().begin(), model.row_begin().end());
    own_.reward.assign(model.rewards().begin(), model.rewards().end());
    own_.weight.assign(model.weights().begin(), model.weights().end());
    own_.next.assign(model.successors().begin(), model.successors().end());
    rows_ = own_.view();
  }
  for (const Real r : rows_.reward) largest_reward_ = std::max(largest_reward_, std::abs(static_cast<double>(r)));
  for (size_t row = 0; row + 1 < rows_.row_begin.size(); ++row) {
    longest_row_ = std::max(longest_row_, rows_.row_begin[row + 1] - rows_.row_begin[row]);
  }
  for (StateIndex s = 0; s < rows_.num_states(); ++s) {
    has_terminal_ = has_terminal_ || rows_.state_begin[s] == rows_.state_begin[s + 1];
  }
  SplitParts();
  if (storage_ == Storage::kSell8) BuildSell();
}

template <class Real>
void StoredSweep<Real>::SplitParts() {
  const StateIndex n = rows_.num_states();
  const int64_t work = static_cast<int64_t>(rows_.next.size()) + n;
  parts_.clear();
  StateIndex begin = 0;
  for (int part = 1; part <= team_.size(); ++part) {
    const int64_t until = work * part / team_.size();
    StateIndex end = begin;
    while (end < n && (part == team_.size() || rows_.row_begin[rows_.state_begin[end]] + end < until)) {
      end = std::min<StateIndex>(n, end + kLanes);
    }
    parts_.push_back({begin, end});
    begin = end;
  }
}

template <class Real>
void StoredSweep<Real>::BuildSell() {
  sell_ = {};
  const StateIndex n = rows_.num_states();
  const auto num_rows = [&](StateIndex s) {
    return static_cast<int32_t>(rows_.state_begin[s + 1] - rows_.state_begin[s]);
  };
  int64_t transitions = 0, groups = 0;
  for (StateIndex first = 0; first < n; first += kLanes) {
    const StateIndex last = std::min<StateIndex>(n, first + kLanes);
    typename SellRows<Real>::Chunk chunk{transitions, groups, 0};
    for (StateIndex s = first; s < last; ++s) chunk.num_groups = std::max(chunk.num_groups, num_rows(s));
    for (int32_t a = 0; a < chunk.num_groups; ++a) {
      int64_t width = 0;
      for (StateIndex s = first; s < last; ++s) {
        const int64_t row = rows_.state_begin[s] + a;
        if (a < num_rows(s)) width = std::max(width, rows_.row_begin[row + 1] - rows_.row_begin[row]);
      }
      sell_.width.push_back(static_cast<int32_t>(width));
      transitions += width * kLanes;
    }
    groups += chunk.num_groups;
    sell_.chunks.push_back(chunk);
  }
  sell_.reward.assign(static_cast<size_t>(groups * kLanes), kLowest<Real>);
  sell_.weight.assign(static_cast<size_t>(transitions), Real{0});
  sell_.next.assign(static_cast<size_t>(transitions), 0);
  for (StateIndex s = 0; s < n; ++s) {
    const auto& chunk = sell_.chunks[s / kLanes];
    int64_t at = chunk.transition_begin + s % kLanes;
    for (int32_t a = 0; a < num_rows(s); ++a) {
      const int64_t group = chunk.group_begin + a;
      const int64_t row = rows_.state_begin[s] + a;
      sell_.reward[group * kLanes + s % kLanes] = sign_ * rows_.reward[row];
      for (int64_t i = rows_.row_begin[row]; i < rows_.row_begin[row + 1]; ++i) {
        const int64_t to = at + (i - rows_.row_begin[row]) * kLanes;
        sell_.weight[to] = rows_.weight[i];
        sell_.next[to] = rows_.next[i];
      }
      at += int64_t{sell_.width[group]} * kLanes;
    }
  }
}

template <class Real>
double StoredSweep<Real>::Rounding(double largest) const {
  // Of d = (r + gamma sum p h) - h with b terms: b + 4 roundings of sums that are at most |r| + 2 |h|, one of each p, r
  // and of gamma, and what a row's sum may lack to one after rounding, 2 b + 2; with a margin for higher orders.
  return static_cast<double>(4 * longest_row_ + 24) * static_cast<double>(std::numeric_limits<Real>::epsilon()) *
         (largest_reward_ + largest);
}

template <class Real>
int64_t StoredSweep<Real>::bytes_per_sweep() const {
  constexpr int64_t kReal = sizeof(Real);
  const int64_t n = rows_.num_states();
  const int64_t vectors = n * (2 * kReal + 4);
  if (storage_ == Storage::kSell8) {
    return static_cast<int64_t>(sell_.weight.size()) * (kReal + 4) + static_cast<int64_t>(sell_.reward.size()) * kReal +
           static_cast<int64_t>(sell_.width.size()) * 4 + static_cast<int64_t>(sell_.chunks.size()) * 24 + vectors;
  }
  return static_cast<int64_t>(rows_.next.size()) * (kReal + 4) +
         static_cast<int64_t>(rows_.reward.size()) * (kReal + 8) + n * 8 + vectors;
}

template <class Real>
typename StoredSweep<Real>::Span StoredSweep<Real>::RunParts(const std::function<Span(Part)>& sweep) {
  std::vector<Span> spans(parts_.size());
  team_.Run([&](int worker) { spans[worker] = sweep(parts_[worker]); });
  SpanSum<Span> all;
  for (const Span& span : spans) all.Add(span);
  return all.span;
}

template <class Real>
void StoredSweep<Real>::PreparePolicyRows() {
  const auto n = static_cast<size_t>(rows_.num_states());
  policy_.begin.assign(n + 1, 0);
  policy_.length.assign(n, 0);
  policy_.reward.assign(n, Real{0});
  for (size_t s = 0; s < n; ++s) {
    int64_t longest = 0;
    for (int64_t row = rows_.state_begin[s]; row < rows_.state_begin[s + 1]; ++row) {
      longest = std::max(longest, rows_.row_begin[row + 1] - rows_.row_begin[row]);
    }
    policy_.begin[s + 1] = policy_.begin[s] + longest;
  }
  policy_.weight.resize(static_cast<size_t>(policy_.begin[n]));
  policy_.next.resize(static_cast<size_t>(policy_.begin[n]));
}

template <class Real>
void StoredSweep<Real>::KeepRow(StateIndex s, int64_t row) {
  const int64_t from = rows_.row_begin[row];
  const int64_t length = rows_.row_begin[row + 1] - from;
  const int64_t to = policy_.begin[s];
  policy_.reward[s] = sign_ * rows_.reward[row];
  policy_.length[s] = static_cast<int32_t>(length);
  for (int64_t i = 0; i < length; ++i) {
    policy_.weight[to + i] = rows_.weight[from + i];
    policy_.next[to + i] = rows_.next[from + i];
  }
}

template <class Real>
typename StoredSweep<Real>::Span StoredSweep<Real>::Greedy(const Real* h, Real* q, int32_t* policy, bool keeps_rows) {
  if (keeps_rows && policy_.begin.empty()) PreparePolicyRows();
  const Span span = RunParts([&](Part part) {
    return storage_ == Storage::kSell8 ? GreedySell(part, h, q, policy, keeps_rows)
                                       : GreedyCompressed(part, h, q, policy, keeps_rows);
  });
  policy_.is_filled = policy_.is_filled || keeps_rows;
  return span;
}

template <class Real>
typename StoredSweep<Real>::Span StoredSweep<Real>::GreedyCompressed(Part part, const Real* h, Real* q, int32_t* policy,
                                                                     bool keeps_rows) {
  const int64_t* state_begin = rows_.state_begin.data();
  const int64_t* row_begin = rows_.row_begin.data();
  const Real* reward = rows_.reward.data();
  const Real* weight = rows_.weight.data();
  const StateIndex* next = rows_.next.data();
  SpanSum<Span> result;
  for (StateIndex s = part.begin; s < part.end; ++s) {
    const int64_t first = state_begin[s];
    const int64_t last = state_begin[s + 1];
    Real best = first == last ? h[s] : kLowest<Real>;
    int64_t best_row = first - 1;
    for (int64_t row = first; row < last; ++row) {
      const Real value = sign_ * reward[row] + gamma_ * RowSum(weight, next, row_begin[row], row_begin[row + 1], h);
      best_row = value > best ? row : best_row;
      best = value > best ? value : best;
    }
    q[s] = best;
    result.Add(h[s], best - h[s]);
    const bool is_numbered = best_row >= first && !rows_.action.empty();
    const auto action = is_numbered ? rows_.action[best_row] : static_cast<int32_t>(best_row - first);
    if (keeps_rows && action >= 0 && (!policy_.is_filled || action != policy[s])) KeepRow(s, best_row);
    policy[s] = action;
  }
  return result.span;
}

template <class Real>
typename StoredSweep<Real>::Span StoredSweep<Real>::GreedySell(Part part, const Real* h, Real* q, int32_t* policy,
                                                               bool keeps_rows) {
  static const BackupFn<Real> backup = PickBackup<Real>();
  SpanSum<Span> result;
  Real best[kLanes];
  int32_t row[kLanes];
  for (StateIndex first = part.begin; first < part.end; first += kLanes) {
    const auto& chunk = sell_.chunks[first / kLanes];
    backup({sell_.reward.data() + chunk.group_begin * kLanes, sell_.width.data() + chunk.group_begin,
            sell_.weight.data() + chunk.transition_begin, sell_.next.data() + chunk.transition_begin, chunk.num_groups},
           h, gamma_, best, row);
    const int lanes = std::min<int>(kLanes, part.end - first);
    for (int l = 0; l < lanes; ++l) {
      const StateIndex s = first + l;
      q[s] = row[l] < 0 ? h[s] : best[l];
      result.Add(h[s], q[s] - h[s]);
      const bool is_numbered = row[l] >= 0 && !rows_.action.empty();
      const int32_t action = is_numbered ? rows_.action[rows_.state_begin[s] + row[l]] : row[l];
      if (keeps_rows && action >= 0 && (!policy_.is_filled || action != policy[s])) {
        KeepRow(s, rows_.state_begin[s] + row[l]);
      }
      policy[s] = action;
    }
  }
  return result.span;
}

template <class Real>
typename StoredSweep<Real>::Span StoredSweep<Real>::Evaluate(const Real* h, Real* q) {
  return RunParts([&](Part part) { return EvaluatePart(part, h, q); });
}

template <class Real>
typename StoredSweep<Real>::Span StoredSweep<Real>::EvaluatePart(Part part, const Real* h, Real* q) const {
  const int64_t* begin = policy_.begin.data();
  const int32_t* length = policy_.length.data();
  const Real* weight = policy_.weight.data();
  const StateIndex* next = policy_.next.data();
  SpanSum<Span> result;
  for (StateIndex s = part.begin; s < part.end; ++s) {
    const bool is_terminal = has_terminal_ && rows_.state_begin[s] == rows_.state_begin[s + 1];
    q[s] = is_terminal ? h[s] : policy_.reward[s] + gamma_ * RowSum(weight, next, begin[s], begin[s] + length[s], h);
    result.Add(h[s], q[s] - h[s]);
  }
  return result.span;
}

template <class Real>
template <class Keep>
void StoredSweep<Real>::VisitNearBest(StateIndex s, const Real* h, double slack, std::vector<Real>& values,
                                      Keep&& keep) const {
  const int64_t first = rows_.state_begin[s];
  const int64_t last = rows_.state_begin[s + 1];
  values.clear();
  Real best = kLowest<Real>;
  for (int64_t row = first; row < last; ++row) {
    values.push_back(sign_ * rows_.reward[row] + gamma_ * RowSum(rows_.weight.data(), rows_.next.data(),
                                                                 rows_.row_begin[row], rows_.row_begin[row + 1], h));
    best = std::max(best, values.back());
  }
  for (int64_t row = first; row < last; ++row) {
    if (static_cast<double>(best) - static_cast<double>(values[row - first]) <= slack) keep(row);
  }
}

template <class Real>
int64_t StoredSweep<Real>::Eliminate(const Real* h, double slack) {
  constexpr StateIndex kSampleEvery = 64;
  const auto num_rows = static_cast<int64_t>(rows_.reward.size());
  std::vector<Real> values;
  int64_t looked_at = 0, near_best = 0;
  for (StateIndex s = 0; s < rows_.num_states(); s += kSampleEvery) {
    looked_at += rows_.state_begin[s + 1] - rows_.state_begin[s];
    VisitNearBest(s, h, slack, values, [&](int64_t) { ++near_best; });
  }
  if (3 * near_best > 2 * looked_at) return num_rows;
  Rows<Real> left;
  for (StateIndex s = 0; s < rows_.num_states(); ++s) {
    VisitNearBest(s, h, slack, values, [&](int64_t row) {
      left.reward.push_back(rows_.reward[row]);
      left.action.push_back(rows_.action.empty() ? static_cast<int32_t>(row - rows_.state_begin[s])
                                                 : rows_.action[row]);
      for (int64_t i = rows_.row_begin[row]; i < rows_.row_begin[row + 1]; ++i) {
        left.weight.push_back(rows_.weight[i]);
        left.next.push_back(rows_.next[i]);
      }
      left.row_begin.push_back(static_cast<int64_t>(left.next.size()));
    });
    left.state_begin.push_back(static_cast<int64_t>(left.reward.size()));
  }
  own_ = std::move(left);
  rows_ = own_.view();
  SplitParts();
  if (storage_ == Storage::kSell8) BuildSell();
  return static_cast<int64_t>(own_.reward.size());
}

template class StoredSweep<double>;
template class StoredSweep<float>;

}  // namespace berth::mdp::internal

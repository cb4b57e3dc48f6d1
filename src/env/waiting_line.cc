#include "env/waiting_line.h"

#include <algorithm>

#include "base/status.h"
#include "fmt/format.h"

namespace berth {

absl::StatusOr<QueueOrder> ParseQueueOrder(std::string_view name) {
  for (QueueOrder order : {QueueOrder::kArrival, QueueOrder::kLargest, QueueOrder::kSmallest, QueueOrder::kShortest}) {
    if (QueueOrderName(order) == name) return order;
  }
  return InvalidField("queue order", name, "arrival, largest, smallest, shortest");
}

std::string_view QueueOrderName(QueueOrder order) {
  switch (order) {
    case QueueOrder::kArrival: return "arrival";
    case QueueOrder::kLargest: return "largest";
    case QueueOrder::kSmallest: return "smallest";
    case QueueOrder::kShortest: return "shortest";
  }
  return "unknown";
}

absl::Status ValidateQueueOptions(const QueueOptions& o) {
  if (o.window < 0 || o.window > 1'000'000'000) return InvalidField("queue.window", fmt::format("{}", o.window), "0 to 1000000000 pods; 0 = all");
  if (!(o.aging_limit_s >= 0 && o.aging_limit_s <= 1e9)) {
    return InvalidField("queue.aging_limit_s", fmt::format("{}", o.aging_limit_s), "a number from 0 to 1e9 seconds; 0 = none");
  }
  if (o.held_nodes < 1 || o.held_nodes > 1'000'000) return InvalidField("queue.held_nodes", fmt::format("{}", o.held_nodes), "1 to 1000000");
  if (o.held_nodes != 1 && o.aging_limit_s == 0) {
    return InvalidField("queue.held_nodes", fmt::format("{}", o.held_nodes), "1 without queue.aging_limit_s: nodes are held for aged pods alone");
  }
  return absl::OkStatus();
}

WaitingLine::WaitingLine(const QueueOptions& options, const std::vector<PodClass>& classes)
    : window_(static_cast<size_t>(options.window)),
      aging_limit_us_(options.aging_limit_s > 0 ? static_cast<int64_t>(options.aging_limit_s * 1e6) : kForever),
      by_class_(classes.size()) {
  const bool has_gpus = std::any_of(classes.begin(), classes.end(), [](const PodClass& c) { return c.request.gpu_count > 0; });
  for (const PodClass& c : classes) {
    const double size = static_cast<double>(has_gpus ? c.request.total_gpu_milli() : c.request.cpu_milli);
    switch (options.order) {
      case QueueOrder::kArrival: precedence_.push_back(0); break;
      case QueueOrder::kLargest: precedence_.push_back(-size); break;
      case QueueOrder::kSmallest: precedence_.push_back(size); break;
      case QueueOrder::kShortest:
        precedence_.push_back(c.lifetime.kind == Lifetime::Kind::kUnlimited ? static_cast<double>(kForever) : c.lifetime.mean_s);
        break;
    }
  }
}

void WaitingLine::Clear() {
  for (auto& queue : by_class_) queue.clear();
  in_order_.clear();
  entered_.clear();
  size_ = 0;
}

void WaitingLine::Push(uint32_t pod_class, const Entry& entry, bool at_front, bool in_window) {
  if (at_front) by_class_[pod_class].push_front(entry);
  else by_class_[pod_class].push_back(entry);
  ++size_;
  if (window_ == 0 || !in_window) return;
  if (at_front) in_order_.emplace_front(entry.order, pod_class);
  else in_order_.emplace_back(entry.order, pod_class);
}

WaitingLine::Entry WaitingLine::Take(uint32_t pod_class) {
  const Entry entry = by_class_[pod_class].front();
  by_class_[pod_class].pop_front();
  --size_;
  if (window_ == 0) return entry;
  // Restarted pods share the order 0, so the class has to agree too.
  auto it = std::lower_bound(in_order_.begin(), in_order_.end(), std::pair{entry.order, 0u});
  while (it != in_order_.end() && it->first == entry.order && it->second != pod_class) ++it;
  if (it == in_order_.end() || it->first != entry.order) return entry;
  in_order_.erase(it);
  if (in_order_.size() >= window_) entered_.push_back(in_order_[window_ - 1].second);
  return entry;
}

uint32_t WaitingLine::PopEntered() {
  while (!entered_.empty()) {
    const uint32_t c = entered_.back();
    entered_.pop_back();
    if (!by_class_[c].empty() && IsInWindow(by_class_[c].front())) return c;
  }
  return kNone;
}

bool WaitingLine::Precedes(uint32_t a, uint32_t b, int64_t now_us) const {
  const Entry &first = by_class_[a].front(), &second = by_class_[b].front();
  const bool is_aged = IsAged(first, now_us);
  if (is_aged != IsAged(second, now_us)) return is_aged;
  if (!is_aged && precedence_[a] != precedence_[b]) return precedence_[a] < precedence_[b];
  return first.order < second.order;
}

}  // namespace berth

// A map of at most `capacity` entries; the entry that was put in first goes when there are more. Not thread-safe. O(1).
#ifndef BERTH_ADAPTERS_KUBERNETES_BOUNDED_MAP_H_
#define BERTH_ADAPTERS_KUBERNETES_BOUNDED_MAP_H_

#include <list>
#include <string>
#include <string_view>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"

namespace berth::kubernetes {

template <class Value>
class BoundedMap {
 public:
  explicit BoundedMap(size_t capacity) : capacity_(capacity) {}

  // Puts a value in, or replaces it; it then counts as the newest.
  Value& Put(const std::string& key, Value value) {
    Erase(key);
    if (by_key_.size() >= capacity_) Erase(std::string(entries_.front().first));
    entries_.emplace_back(key, std::move(value));
    by_key_.emplace(key, std::prev(entries_.end()));
    return entries_.back().second;
  }
  Value* Find(std::string_view key) {
    const auto it = by_key_.find(absl::string_view(key.data(), key.size()));
    return it == by_key_.end() ? nullptr : &it->second->second;
  }
  void Erase(const std::string& key) {
    const auto it = by_key_.find(key);
    if (it == by_key_.end()) return;
    const auto entry = it->second;
    by_key_.erase(it);
    entries_.erase(entry);
  }
  size_t size() const { return by_key_.size(); }

 private:
  const size_t capacity_;
  std::list<std::pair<std::string, Value>> entries_;   // oldest first
  absl::flat_hash_map<std::string, typename std::list<std::pair<std::string, Value>>::iterator> by_key_;
};

}  // namespace berth::kubernetes

#endif  // BERTH_ADAPTERS_KUBERNETES_BOUNDED_MAP_H_

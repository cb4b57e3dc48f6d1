// Values as bytes, for another process of the same program on the same kind of machine; no file format.
//
// Numbers and structs without pointers go as they lie in memory, texts and vectors with their length before. Another struct has a
// function Fields(io, value) beside it that names its fields, for writing and reading alike.
#ifndef BERTH_AGENT_BYTES_H_
#define BERTH_AGENT_BYTES_H_

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

namespace berth {

class BytesOut {
 public:
  template <class... T>
  void operator()(const T&... values) {
    (Put(values), ...);
  }
  std::string Take() { return std::move(bytes_); }

 private:
  template <class T>
  void Put(const T& value) {
    if constexpr (std::is_trivially_copyable_v<T>) bytes_.append(reinterpret_cast<const char*>(&value), sizeof value);
    else Fields(*this, const_cast<T&>(value));   // which only reads here
  }
  void Put(const std::string& text) {
    Put(uint64_t{text.size()});
    bytes_ += text;
  }
  template <class T>
  void Put(const std::vector<T>& values) {
    Put(uint64_t{values.size()});
    if constexpr (std::is_trivially_copyable_v<T>) bytes_.append(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T));
    else for (const T& value : values) Put(value);
  }

  std::string bytes_;
};

// Reads in the order of writing. Where the bytes end too soon values are left as they were, and is_whole() is false.
class BytesIn {
 public:
  explicit BytesIn(std::string_view bytes) : rest_(bytes) {}
  template <class... T>
  void operator()(T&... values) {
    (Get(values), ...);
  }
  // Everything was there, and nothing is left.
  bool is_whole() const { return !is_short_ && rest_.empty(); }

 private:
  bool Take(void* out, size_t size) {
    if (is_short_ || rest_.size() < size) {
      is_short_ = true;
      return false;
    }
    if (size > 0) std::memcpy(out, rest_.data(), size);
    rest_.remove_prefix(size);
    return true;
  }
  template <class T>
  void Get(T& value) {
    if constexpr (std::is_trivially_copyable_v<T>) Take(&value, sizeof value);
    else Fields(*this, value);
  }
  void Get(std::string& text) { GetMany(text); }
  template <class T>
  void Get(std::vector<T>& values) {
    if constexpr (std::is_trivially_copyable_v<T>) {
      GetMany(values);
    } else {
      uint64_t size = 0;
      values.clear();
      for (Take(&size, sizeof size); size > 0 && !is_short_; --size) Get(values.emplace_back());
    }
  }
  template <class Container>
  void GetMany(Container& values) {
    uint64_t size = 0;
    if (!Take(&size, sizeof size)) return;
    if (size > rest_.size() / sizeof values[0]) {
      is_short_ = true;
      return;
    }
    values.resize(size);
    Take(values.data(), size * sizeof values[0]);
  }

  std::string_view rest_;
  bool is_short_ = false;
};

}  // namespace berth

#endif  // BERTH_AGENT_BYTES_H_

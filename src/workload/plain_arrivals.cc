#include "workload/plain_arrivals.h"

#include <charconv>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"

namespace berth {
namespace {

constexpr std::string_view kKey = "arrivals:";

bool IsDigit(char c) { return c >= '0' && c <= '9'; }
bool IsLetter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

// Takes what it reads off the front of one line.
class Cursor {
 public:
  explicit Cursor(std::string_view line) : rest_(line) {}

  bool Take(std::string_view text) {
    if (rest_.substr(0, text.size()) != text) return false;
    rest_.remove_prefix(text.size());
    return true;
  }
  size_t TakeBlanks() {
    size_t n = 0;
    while (n < rest_.size() && rest_[n] == ' ') ++n;
    rest_.remove_prefix(n);
    return n;
  }
  bool TakeInteger(int64_t low, int64_t high, int64_t* value) {
    if (rest_.empty() || !IsDigit(rest_[0])) return false;
    const auto [end, error] = std::from_chars(rest_.data(), rest_.data() + rest_.size(), *value);
    if (error != std::errc() || *value < low || *value > high) return false;
    rest_.remove_prefix(static_cast<size_t>(end - rest_.data()));
    return true;
  }
  // In double quotes without escapes, or a word that YAML takes for nothing but itself.
  bool TakeName(std::string_view* name) {
    const bool is_quoted = Take("\"");
    size_t n = 0;
    while (n < rest_.size() && (IsLetter(rest_[n]) || IsDigit(rest_[n]) || rest_[n] == '-' || rest_[n] == '_' || rest_[n] == '.')) ++n;
    *name = rest_.substr(0, n);
    rest_.remove_prefix(n);
    if (is_quoted) return Take("\"");
    return n > 0 && IsLetter((*name)[0]) && *name != "null" && *name != "Null" && *name != "NULL";
  }
  bool empty() const { return rest_.empty(); }

 private:
  std::string_view rest_;
};

// The line without its end, taken off the front of `text`.
std::string_view TakeLine(std::string_view* text) {
  const size_t end = text->find('\n');
  std::string_view line = text->substr(0, end);
  text->remove_prefix(end == std::string_view::npos ? text->size() : end + 1);
  if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
  return line;
}

}  // namespace

std::optional<PlainArrivals> SplitPlainArrivals(std::string_view text) {
  size_t start = text.find("\narrivals:");
  if (start == std::string_view::npos) return std::nullopt;
  ++start;
  std::string_view rest = text.substr(start);
  if (TakeLine(&rest) != kKey) return std::nullopt;
  PlainArrivals out;
  out.head = text.substr(0, text.size() - rest.size());
  absl::flat_hash_map<absl::string_view, uint32_t> index;
  std::optional<size_t> indent;
  while (!rest.empty()) {
    const std::string_view line = TakeLine(&rest);
    if (line.empty()) continue;
    Cursor cursor(line);
    const size_t blanks = cursor.TakeBlanks();
    if (indent.value_or(blanks) != blanks) return std::nullopt;
    indent = blanks;
    Arrival arrival;
    std::string_view name;
    if (!cursor.Take("- [") || !cursor.TakeInteger(0, kMaxTimeUs, &arrival.time_us) || !cursor.Take(", ") ||
        !cursor.TakeName(&name) || !cursor.Take(", ")) {
      return std::nullopt;
    }
    if (!cursor.Take("forever") && !cursor.TakeInteger(1, kMaxTimeUs, &arrival.life_us)) return std::nullopt;
    if (!cursor.Take("]") || !cursor.empty()) return std::nullopt;
    const auto [it, is_new] =
        index.try_emplace(absl::string_view(name.data(), name.size()), static_cast<uint32_t>(out.classes.size()));
    if (is_new) out.classes.push_back(name);
    arrival.pod_class = it->second;
    out.arrivals.push_back(arrival);
  }
  if (out.arrivals.empty()) return std::nullopt;
  return out;
}

}  // namespace berth

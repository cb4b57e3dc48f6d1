#include "policy/potential/safetensors.h"

#include <openssl/sha.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "base/status.h"
#include "fmt/format.h"
#include "nlohmann/json.hpp"
#include "policy/potential/strict_json.h"

namespace berth {
namespace {

static_assert(std::numeric_limits<float>::is_iec559 && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__);

constexpr uint64_t kMaxHeaderBytes = 1 << 20;
constexpr int64_t kMaxValues = 1 << 22;
constexpr int kMaxHeaderDepth = 4;

absl::Status Bad(std::string_view what, std::string_view value, std::string_view accepted) {
  return InvalidField(fmt::format("weights file: {}", what), value, accepted);
}

absl::Status ParseTensor(const std::string& name, const nlohmann::json& entry, std::string_view data, uint64_t* end, Tensor* out) {
  if (!entry.is_object() || entry.size() != 3 || !entry.contains("dtype") || !entry.contains("shape") || !entry.contains("data_offsets")) {
    return Bad(fmt::format("tensor {}", Quoted(name)), entry.dump().substr(0, 64), "dtype, shape and data_offsets");
  }
  if (entry["dtype"] != "F32") return Bad(fmt::format("dtype of {}", Quoted(name)), entry["dtype"].dump(), "F32");
  if (!entry["shape"].is_array()) return Bad(fmt::format("shape of {}", Quoted(name)), entry["shape"].dump(), "a list of sizes");
  int64_t count = 1;
  for (const auto& size : entry["shape"]) {
    if (!size.is_number_unsigned() || size.get<uint64_t>() > static_cast<uint64_t>(kMaxValues)) {
      return Bad(fmt::format("shape of {}", Quoted(name)), size.dump(), fmt::format("sizes from 0 to {}", kMaxValues));
    }
    out->shape.push_back(size.get<int64_t>());
    count *= out->shape.back();
    if (count > kMaxValues) return Bad(fmt::format("shape of {}", Quoted(name)), entry["shape"].dump(), fmt::format("at most {} values", kMaxValues));
  }
  const auto& offsets = entry["data_offsets"];
  if (!offsets.is_array() || offsets.size() != 2 || !offsets[0].is_number_unsigned() || !offsets[1].is_number_unsigned()) {
    return Bad(fmt::format("data_offsets of {}", Quoted(name)), offsets.dump(), "[begin, end]");
  }
  const auto begin = offsets[0].get<uint64_t>(), stop = offsets[1].get<uint64_t>();
  if (begin != *end || stop < begin || stop > data.size() || stop - begin != static_cast<uint64_t>(count) * sizeof(float)) {
    return Bad(fmt::format("data_offsets of {}", Quoted(name)), offsets.dump(),
               fmt::format("[{}, {}] within {} bytes of data", *end, *end + static_cast<uint64_t>(count) * sizeof(float), data.size()));
  }
  *end = stop;
  out->values.resize(static_cast<size_t>(count));
  if (count > 0) std::memcpy(out->values.data(), data.data() + begin, stop - begin);
  for (float v : out->values) {
    if (!std::isfinite(v)) return Bad(fmt::format("tensor {}", Quoted(name)), fmt::format("{}", v), "finite values");
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<TensorMap> ParseSafetensors(std::string_view bytes) {
  uint64_t length = 0;
  if (bytes.size() < sizeof length) return Bad("size", fmt::format("{} bytes", bytes.size()), "8 bytes or more");
  std::memcpy(&length, bytes.data(), sizeof length);
  if (length > kMaxHeaderBytes || length > bytes.size() - sizeof length) {
    return Bad("header length", fmt::format("{}", length), fmt::format("at most {} and within the file", kMaxHeaderBytes));
  }
  BERTH_ASSIGN_OR_RETURN(nlohmann::json header, ParseStrictJson("weights file: header", bytes.substr(sizeof length, length), kMaxHeaderDepth));
  const std::string_view data = bytes.substr(sizeof length + length);
  std::vector<std::pair<uint64_t, std::string>> order;
  for (const auto& [name, entry] : header.items()) {
    if (name == "__metadata__") {
      const auto is_text = [](const nlohmann::json& v) { return v.is_string(); };
      if (!entry.is_object() || !std::all_of(entry.begin(), entry.end(), is_text)) {
        return Bad("__metadata__", entry.dump().substr(0, 64), "an object of texts");
      }
      continue;
    }
    const bool has_begin = entry.is_object() && entry.contains("data_offsets") && entry["data_offsets"].is_array() &&
                           !entry["data_offsets"].empty() && entry["data_offsets"][0].is_number_unsigned();
    order.emplace_back(has_begin ? entry["data_offsets"][0].get<uint64_t>() : 0, name);
  }
  std::sort(order.begin(), order.end(), [&](const auto& a, const auto& b) {
    if (a.first != b.first) return a.first < b.first;
    // Of two tensors that begin alike, one is empty: it comes first.
    const auto size = [&](const std::string& n) { return header[n].is_object() ? header[n].value("data_offsets", nlohmann::json()).dump() : ""; };
    return size(a.second).size() != size(b.second).size() ? size(a.second).size() < size(b.second).size() : size(a.second) < size(b.second);
  });
  TensorMap tensors;
  uint64_t end = 0;
  for (const auto& [begin, name] : order) BERTH_RETURN_IF_ERROR(ParseTensor(name, header[name], data, &end, &tensors[name]));
  if (end != data.size()) return Bad("size", fmt::format("{} bytes of data", data.size()), fmt::format("{} bytes, as the tensors take", end));
  return tensors;
}

std::string ToSafetensors(const TensorMap& tensors) {
  nlohmann::ordered_json header;
  std::string data;
  for (const auto& [name, tensor] : tensors) {
    const size_t begin = data.size();
    data.append(reinterpret_cast<const char*>(tensor.values.data()), tensor.values.size() * sizeof(float));
    header[name] = {{"dtype", "F32"}, {"shape", tensor.shape}, {"data_offsets", {begin, data.size()}}};
  }
  std::string text = header.is_null() ? "{}" : header.dump();
  text.resize((text.size() + 7) / 8 * 8, ' ');
  const uint64_t length = text.size();
  std::string bytes(sizeof length, '\0');
  std::memcpy(bytes.data(), &length, sizeof length);
  return bytes + text + data;
}

std::string Sha256Hex(std::string_view bytes) {
  unsigned char digest[SHA256_DIGEST_LENGTH];
  SHA256(reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size(), digest);
  std::string hex;
  for (unsigned char c : digest) hex += fmt::format("{:02x}", c);
  return hex;
}

}  // namespace berth

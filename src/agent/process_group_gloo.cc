// Another file that sees LibTorch, where its torch.distributed is: BERTH_HAS_GLOO (cmake/FindBerthTorch.cmake).
#include "agent/process_group.h"
#include "base/status.h"
#include "fmt/format.h"

#ifdef BERTH_HAS_GLOO

#define USE_C10D_GLOO   // the header is empty without
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>
#include <torch/torch.h>

#include <chrono>
#include <cstdlib>
#include <cstring>

namespace berth {
namespace {

class GlooGroup : public ProcessGroup {
 public:
  GlooGroup(const RankSettings& settings, double timeout_s) : settings_(settings), timeout_s_(timeout_s) {
    const auto timeout = std::chrono::milliseconds(static_cast<int64_t>(1000 * timeout_s));
    c10d::TCPStoreOptions store;
    store.port = settings.master_port;
    store.isServer = settings.rank == 0;
    store.numWorkers = static_cast<std::size_t>(settings.size);
    store.timeout = timeout;
    auto options = c10d::ProcessGroupGloo::Options::create(timeout);
    options->threads = 1;
    options->devices = {Device()};
    group_ = c10::make_intrusive<c10d::ProcessGroupGloo>(c10::make_intrusive<c10d::TCPStore>(settings.master_addr, store), settings.rank, settings.size, options);
  }

  int rank() const override { return settings_.rank; }
  int size() const override { return settings_.size; }

  absl::Status Broadcast(std::string* bytes) override {
    return Guard("", [&] {
      std::vector<at::Tensor> length{at::full({1}, static_cast<int64_t>(bytes->size()), at::kLong)};
      group_->broadcast(length)->wait();
      std::vector<at::Tensor> data{rank() == 0 ? ToTensor(*bytes) : at::empty({length[0].item<int64_t>()}, at::kByte)};
      if (data[0].numel() == 0) return bytes->clear();
      group_->broadcast(data)->wait();
      if (rank() != 0) bytes->assign(reinterpret_cast<const char*>(data[0].data_ptr<uint8_t>()), static_cast<size_t>(data[0].numel()));
    });
  }

  absl::StatusOr<std::vector<std::string>> Gather(const std::string& bytes) override {
    std::vector<std::string> all;
    if (rank() != 0) {
      BERTH_RETURN_IF_ERROR(Guard("rank 0", [&] {
        std::vector<at::Tensor> length{at::full({1}, static_cast<int64_t>(bytes.size()), at::kLong)}, data{ToTensor(bytes)};
        group_->send(length, 0, kTag)->wait();
        if (!bytes.empty()) group_->send(data, 0, kTag)->wait();
      }));
      return all;
    }
    all.push_back(bytes);
    for (int r = 1; r < size(); ++r) {
      BERTH_RETURN_IF_ERROR(Guard(fmt::format("rank {}", r), [&] {
        std::vector<at::Tensor> length{at::empty({1}, at::kLong)};
        group_->recv(length, r, kTag)->wait();
        std::vector<at::Tensor> data{at::empty({length[0].item<int64_t>()}, at::kByte)};
        if (data[0].numel() > 0) group_->recv(data, r, kTag)->wait();
        all.emplace_back(reinterpret_cast<const char*>(data[0].data_ptr<uint8_t>()), static_cast<size_t>(data[0].numel()));
      }));
    }
    return all;
  }

  // Runs `body`; an exception of LibTorch or Gloo becomes a status. Their texts name source files and are left out.
  template <class Body>
  absl::Status Guard(const std::string& who, const Body& body) const {
    try {
      body();
      return absl::OkStatus();
    } catch (const std::exception& error) {
      const std::string_view text = error.what();
      const bool is_late = text.find("imed out") != std::string_view::npos || text.find("imeout") != std::string_view::npos;
      return absl::UnavailableError(fmt::format("{} of the run {}", who.empty() ? "another process" : who,
                                                is_late ? fmt::format("did not answer within {} s", timeout_s_) : std::string("has ended or is out of reach")));
    }
  }

 private:
  static constexpr int kTag = 1;

  // Gloo listens at the address of this host's name, or at the interface that GLOO_SOCKET_IFNAME names, as torch has it. Where
  // everything is on one machine nothing leaves it.
  std::shared_ptr<::gloo::transport::Device> Device() const {
    if (const char* name = std::getenv("GLOO_SOCKET_IFNAME"); name != nullptr && *name != '\0') return c10d::ProcessGroupGloo::createDeviceForInterface(name);
    const std::string& addr = settings_.master_addr;
    if (addr == "localhost" || addr.starts_with("127.")) return c10d::ProcessGroupGloo::createDeviceForHostname("127.0.0.1");
    return c10d::ProcessGroupGloo::createDefaultDevice();
  }

  static at::Tensor ToTensor(const std::string& bytes) {
    at::Tensor data = at::empty({static_cast<int64_t>(bytes.size())}, at::kByte);
    if (!bytes.empty()) std::memcpy(data.data_ptr<uint8_t>(), bytes.data(), bytes.size());
    return data;
  }

  const RankSettings settings_;
  const double timeout_s_;
  c10::intrusive_ptr<c10d::ProcessGroupGloo> group_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<ProcessGroup>> ProcessGroup::Join(const RankSettings& settings, double timeout_s) {
  try {
    return std::make_unique<GlooGroup>(settings, timeout_s);
  } catch (const std::exception&) {
    return absl::UnavailableError(fmt::format("rank {}: not all of the {} processes of the run met at MASTER_ADDR {}, MASTER_PORT {} within {} s", settings.rank,
                                              settings.size, Quoted(settings.master_addr), settings.master_port, timeout_s));
  }
}

}  // namespace berth

#else

namespace berth {

absl::StatusOr<std::unique_ptr<ProcessGroup>> ProcessGroup::Join(const RankSettings& settings, double) {
  return absl::FailedPreconditionError(fmt::format(
      "WORLD_SIZE: {}, accepted: 1 in this build, whose LibTorch came without torch.distributed (libgloo-dev and libtorch-dev have it)", settings.size));
}

}  // namespace berth

#endif

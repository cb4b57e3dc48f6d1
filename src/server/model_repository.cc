#include "server/model_repository.h"

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <utility>

#include "base/log.h"
#include "base/status.h"
#include "fmt/format.h"

namespace berth {
namespace {

constexpr size_t kMaxListed = 10'000;

bool IsModelName(std::string_view name) {
  return !name.empty() && name.size() <= 63 &&
         name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789-") == std::string_view::npos;
}

// The number that a folder name stands for; 0 for anything else ("01", "1a", "").
int64_t VersionOf(std::string_view text) {
  int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size() && value > 0 && text.front() != '0' ? value : 0;
}

}  // namespace

ModelRepository::ModelRepository(std::string root, Loader loader, Placements* placements)
    : root_(std::move(root)), loader_(std::move(loader)), placements_(placements) {}

ModelRepository::Status ModelRepository::List() const {
  Status status;
  status.serving = placements_->policy()->info();
  {
    absl::MutexLock lock(&mu_);
    status.previous = previous_;
  }
  if (root_.empty()) return status;
  std::error_code error;
  for (std::filesystem::directory_iterator name(root_, error), end; !error && name != end; name.increment(error)) {
    const std::string text = name->path().filename().string();
    if (!IsModelName(text)) continue;
    std::error_code inner;
    for (std::filesystem::directory_iterator version(name->path(), inner), last; !inner && version != last; version.increment(inner)) {
      const int64_t number = VersionOf(version->path().filename().string());
      if (number == 0 || status.versions.size() == kMaxListed) continue;
      status.versions.push_back({text, number, status.serving.name == text && status.serving.version == fmt::format("{}", number)});
    }
  }
  std::sort(status.versions.begin(), status.versions.end(),
            [](const Version& a, const Version& b) { return std::tie(a.name, a.version) < std::tie(b.name, b.version); });
  return status;
}

absl::StatusOr<PolicyInfo> ModelRepository::Promote(const std::string& name, int64_t version) {
  if (!IsModelName(name)) return InvalidField("name", name, "1 to 63 of a-z, 0-9 and '-'");
  if (version < 1) return InvalidField("version", fmt::format("{}", version), "1 or more");
  if (root_.empty()) return absl::FailedPreconditionError("the server was started without a model repository (--models)");
  if (!loading_.TryLock()) return absl::AbortedError("another model is being loaded");
  const auto result = [&]() -> absl::StatusOr<PolicyInfo> {
    absl::StatusOr<std::shared_ptr<const Policy>> policy = loader_(fmt::format("{}/{}/{}", root_, name, version));
    if (!policy.ok()) {
      LogWarning("model {} version {} was refused: {}", name, version, MessageOf(policy.status()));
      return WithContext(policy.status(), fmt::format("model {} version {}", name, version));
    }
    std::shared_ptr<const Policy> before = placements_->policy();
    placements_->SetPolicy(*policy);
    absl::MutexLock lock(&mu_);
    previous_ = std::move(before);
    return (*policy)->info();
  }();
  loading_.Unlock();
  if (result.ok()) LogInfo("model {} version {} decides from now on", name, version);
  return result;
}

absl::StatusOr<PolicyInfo> ModelRepository::Rollback() {
  if (!loading_.TryLock()) return absl::AbortedError("another model is being loaded");
  const auto result = [&]() -> absl::StatusOr<PolicyInfo> {
    std::shared_ptr<const Policy> to;
    {
      absl::MutexLock lock(&mu_);
      to = previous_;
    }
    if (to == nullptr) return absl::FailedPreconditionError("nothing decided before what decides now");
    std::shared_ptr<const Policy> before = placements_->policy();
    placements_->SetPolicy(to);
    absl::MutexLock lock(&mu_);
    previous_ = std::move(before);
    return to->info();
  }();
  loading_.Unlock();
  if (result.ok()) LogInfo("back to {} {}", result->name, result->version);
  return result;
}

}  // namespace berth

#include "adapters/kubernetes/reflector.h"

#include <algorithm>
#include <chrono>
#include <thread>

#include "base/log.h"
#include "base/rng.h"
#include "base/status.h"
#include "fmt/format.h"

namespace berth::kubernetes {
namespace {

constexpr int64_t kListTimeoutMs = 120'000;
constexpr int64_t kGraceMs = 30'000;   // a watch that the server should have ended by now

// What a Status object says.
struct ApiStatus {
  int64_t code = 0;
  std::string message;
};
ApiStatus ReadStatus(JsonObject object) {
  ApiStatus status;
  const Where where;
  status.code = FindInt(object, "code", where, 0, 999, 0).value_or(0);
  status.message = std::string(FindString(object, "message", where).value_or(std::string_view()).substr(0, 512));
  return status;
}

std::string VersionOf(JsonObject object) {
  const auto metadata = FindObject(object, "metadata", Where{});
  if (!metadata.ok() || !*metadata) return {};
  return std::string(FindString(**metadata, "resourceVersion", Where{}).value_or(std::string_view()));
}

bool EndsInitialEvents(JsonObject object) {
  const auto metadata = FindObject(object, "metadata", Where{});
  if (!metadata.ok() || !*metadata) return false;
  const auto annotations = FindObject(**metadata, "annotations", Where{});
  if (!annotations.ok() || !*annotations) return false;
  return FindString(**annotations, "k8s.io/initial-events-end", Where{}).value_or(std::string_view()) == "true";
}

}  // namespace

Reflector::Reflector(ApiClient* client, ReflectorListener* listener, Options options)
    : client_(client), listener_(listener), options_(std::move(options)), use_watch_list_(options_.use_watch_list) {}

Reflector::Counts Reflector::counts() const {
  return {lists_.load(), watches_.load(), expired_.load(), events_.load(), bookmarks_.load(), failures_.load()};
}

void Reflector::Sleep(int64_t ms) const {
  const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(ms);
  while (!client_->is_cancelled() && std::chrono::steady_clock::now() < end) std::this_thread::sleep_for(std::chrono::milliseconds(20));
}

void Reflector::Run() {
  int64_t backoff_ms = options_.first_backoff_ms;
  Rng jitter(std::hash<std::string>()(options_.path));
  const auto back_off = [&] {
    failures_.fetch_add(1);
    Sleep(backoff_ms / 2 + static_cast<int64_t>(jitter.Below(static_cast<uint64_t>(backoff_ms))));
    backoff_ms = std::min(2 * backoff_ms, options_.max_backoff_ms);
  };
  while (!client_->is_cancelled()) {
    if (resource_version_.empty()) {
      const absl::Status listed = List();
      if (client_->is_cancelled()) return;
      if (!listed.ok()) {
        LogWarning("kubernetes: {} can't be listed, tried again: {}", options_.path, MessageOf(listed));
        back_off();
        continue;
      }
    }
    const uint64_t events_before = events_.load() + bookmarks_.load();
    const auto began = std::chrono::steady_clock::now();
    switch (Watch()) {
      case Outcome::kAgain:
        // A server that ends watches at once must not be asked in a busy loop.
        if (events_.load() + bookmarks_.load() == events_before && std::chrono::steady_clock::now() - began < std::chrono::seconds(1)) back_off();
        else backoff_ms = options_.first_backoff_ms;
        break;
      case Outcome::kExpired:
        expired_.fetch_add(1);
        LogInfo("kubernetes: the version of {} is too old for the server: all is listed anew", options_.path);
        resource_version_.clear();
        Sleep(static_cast<int64_t>(jitter.Below(100)));
        break;
      case Outcome::kFailed: back_off(); break;
    }
  }
}

absl::Status Reflector::List() {
  if (use_watch_list_) {
    const absl::Status status = ListByWatch();
    if (status.code() != absl::StatusCode::kUnimplemented) return status;
    use_watch_list_ = false;
    LogInfo("kubernetes: {}: no WatchList here ({}); lists are used", options_.path, MessageOf(status));
  }
  return ListByPages();
}

absl::Status Reflector::ListByWatch() {
  const std::string path = fmt::format(
      "{}?watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true&timeoutSeconds={}", options_.path, options_.watch_s);
  bool is_over = false;
  Outcome outcome = Outcome::kFailed;
  std::string message;
  bool has_error = false;
  listener_->BeginList();
  // The same stream goes on as the watch once the list is over.
  const auto answer = client_->Stream(path, options_.watch_s * 1000 + kGraceMs, [&](std::string_view line) {
    const bool goes_on = TakeEvent(line, !is_over, &is_over, &outcome, &message);
    has_error = !goes_on;
    return goes_on;
  });
  if (is_over) {
    watches_.fetch_add(1);
    if (has_error && outcome == Outcome::kExpired) resource_version_.clear();
    return absl::OkStatus();
  }
  listener_->AbortList();
  if (!answer.ok()) return answer.status();
  if (has_error && outcome == Outcome::kExpired) return absl::UnavailableError(message);
  // Servers without the feature answer 400 or 422, or an ERROR event (etcd without progress requests).
  if (answer->status == 400 || answer->status == 422 || has_error) return absl::UnimplementedError(message.empty() ? ApiMessage(*answer) : message);
  if (!answer->is_ok()) return absl::UnavailableError(ApiMessage(*answer));
  return absl::UnavailableError("the stream ended before all objects had come");
}

absl::Status Reflector::ListByPages() {
  listener_->BeginList();
  std::string next, version;
  do {
    std::string path = fmt::format("{}?limit={}", options_.path, options_.page);
    if (!next.empty()) path += "&continue=" + UrlEncode(next);
    auto answer = client_->Call("GET", path, {}, "", kListTimeoutMs);
    absl::Status status = answer.status();
    if (status.ok() && !answer->is_ok()) status = absl::UnavailableError(ApiMessage(*answer));
    if (status.ok()) {
      const auto parsed = ParseObject(parser_, answer->body, options_.path);
      status = parsed.status();
      if (status.ok()) {
        const auto metadata = FindObject(*parsed, "metadata", Where{});
        const auto items = FindArray(*parsed, "items", Where{});
        if (!metadata.ok() || !*metadata || !items.ok()) {
          status = absl::UnavailableError("the answer is no list");
        } else {
          version = FindString(**metadata, "resourceVersion", Where{}).value_or(std::string_view());
          next = FindString(**metadata, "continue", Where{}).value_or(std::string_view());
          if (version.empty()) status = absl::UnavailableError("the list has no resourceVersion");
          for (size_t i = 0; status.ok() && *items && i < (*items)->size(); ++i) {
            JsonObject object;
            if ((*items)->at(i).get(object) == simdjson::SUCCESS) listener_->Item(object);
          }
        }
      }
    }
    if (!status.ok()) {   // 410 too: the pages are of one version, so all of them are read again
      listener_->AbortList();
      return status;
    }
  } while (!next.empty());
  listener_->EndList();
  lists_.fetch_add(1);
  resource_version_ = version;
  return absl::OkStatus();
}

Reflector::Outcome Reflector::Watch() {
  if (resource_version_.empty()) return Outcome::kExpired;   // ended as such while it was the list
  watches_.fetch_add(1);
  const std::string path = fmt::format("{}?watch=1&allowWatchBookmarks=true&timeoutSeconds={}&resourceVersion={}", options_.path, options_.watch_s,
                                       UrlEncode(resource_version_));
  bool is_over = true;
  Outcome outcome = Outcome::kAgain;
  std::string message;
  const auto answer = client_->Stream(path, options_.watch_s * 1000 + kGraceMs,
                                      [&](std::string_view line) { return TakeEvent(line, false, &is_over, &outcome, &message); });
  if (!answer.ok()) {
    if (!client_->is_cancelled()) LogInfo("kubernetes: the watch of {} broke: {}", options_.path, MessageOf(answer.status()));
    return outcome == Outcome::kAgain ? Outcome::kFailed : outcome;
  }
  if (answer->status == 410) return Outcome::kExpired;
  if (!answer->is_ok()) {
    LogWarning("kubernetes: {} can't be watched, tried again: {}", options_.path, ApiMessage(*answer));
    return Outcome::kFailed;
  }
  if (outcome == Outcome::kFailed) LogWarning("kubernetes: the watch of {} ended with an error: {}", options_.path, message);
  return outcome;
}

bool Reflector::TakeEvent(std::string_view text, bool is_initial, bool* is_initial_over, Outcome* outcome, std::string* message) {
  const auto event = ParseObject(parser_, text, options_.path);
  const auto fail = [&](Outcome what, std::string why) {
    *outcome = what;
    *message = std::move(why);
    return false;
  };
  // A line that can't be read hides a change: only a new list can tell.
  if (!event.ok()) return fail(Outcome::kExpired, std::string(MessageOf(event.status())));
  const std::string_view type = FindString(*event, "type", Where{}).value_or(std::string_view());
  const auto object = FindObject(*event, "object", Where{});
  if (!object.ok() || !*object) return fail(Outcome::kExpired, "an event without an object");
  if (type == "ERROR") {
    const ApiStatus status = ReadStatus(**object);
    return fail(status.code == 410 ? Outcome::kExpired : Outcome::kFailed, fmt::format("{} {}", status.code, status.message));
  }
  const std::string version = VersionOf(**object);
  if (type == "BOOKMARK") {   // nothing but the version has a meaning in it
    bookmarks_.fetch_add(1);
    if (is_initial) {
      if (!EndsInitialEvents(**object)) return true;
      listener_->EndList();
      lists_.fetch_add(1);
      *is_initial_over = true;
    }
    if (!version.empty()) resource_version_ = version;
    return true;
  }
  events_.fetch_add(1);
  if (is_initial) {
    // Only ADDED comes before the end of the initial events.
    listener_->Item(**object);
    return true;
  }
  if (type == "ADDED") listener_->Event(EventType::kAdded, **object);
  else if (type == "MODIFIED") listener_->Event(EventType::kModified, **object);
  else if (type == "DELETED") listener_->Event(EventType::kDeleted, **object);
  if (!version.empty()) resource_version_ = version;
  return true;
}

}  // namespace berth::kubernetes

// Reflector: keeps a listener in step with one collection of the API server, by list and watch.
//
//   WatchList (one watch that begins with all objects) where the server has it, else pages of a list and a watch from its
//   version. Bookmarks move the version on. A watch that ends is taken up again from the last version; 410 means that the
//   version is too old, and all is listed anew. Failures are retried for ever with back-off (0.1 s doubling to 5 s, jittered).
//
// A list replaces: what it doesn't hold is gone. The part of an object at the end of a broken stream is dropped.
// Source: https://kubernetes.io/docs/reference/using-api/api-concepts/ ; KEP-3157 (WatchList).
#ifndef BERTH_ADAPTERS_KUBERNETES_REFLECTOR_H_
#define BERTH_ADAPTERS_KUBERNETES_REFLECTOR_H_

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "adapters/kubernetes/api_client.h"
#include "adapters/kubernetes/json.h"

namespace berth::kubernetes {

enum class EventType : uint8_t { kAdded, kModified, kDeleted };

// Called by one thread. Objects are valid during the call.
class ReflectorListener {
 public:
  virtual ~ReflectorListener() = default;
  virtual void BeginList() = 0;
  virtual void Item(JsonObject object) = 0;
  virtual void EndList() = 0;      // what came between is all there is
  virtual void AbortList() = 0;    // it broke off: nothing of it counts
  virtual void Event(EventType type, JsonObject object) = 0;
};

class Reflector {
 public:
  struct Options {
    std::string path;              // "/api/v1/nodes"
    int64_t watch_s = 300;         // the server ends a watch after that
    int64_t page = 500;            // objects of a page of a list
    bool use_watch_list = true;
    int64_t first_backoff_ms = 100, max_backoff_ms = 5000;
  };
  struct Counts {                  // since the start
    uint64_t lists = 0, watches = 0, expired = 0, events = 0, bookmarks = 0, failures = 0;
  };

  // `client` and `listener` outlive this.
  Reflector(ApiClient* client, ReflectorListener* listener, Options options);

  // Runs until the client is cancelled.
  void Run();

  Counts counts() const;           // thread-safe

 private:
  enum class Outcome { kAgain, kExpired, kFailed };
  // Either leaves resource_version_ set, or returns an error and has changed nothing.
  absl::Status List();
  absl::Status ListByWatch();
  absl::Status ListByPages();
  Outcome Watch();
  // One line of a watch. False: the watch is of no more use (`outcome`).
  bool TakeEvent(std::string_view text, bool is_initial, bool* is_initial_over, Outcome* outcome, std::string* message);
  void Sleep(int64_t ms) const;

  ApiClient* const client_;
  ReflectorListener* const listener_;
  const Options options_;
  bool use_watch_list_;
  std::string resource_version_;
  simdjson::dom::parser parser_;
  std::atomic<uint64_t> lists_{0}, watches_{0}, expired_{0}, events_{0}, bookmarks_{0}, failures_{0};
};

}  // namespace berth::kubernetes

#endif  // BERTH_ADAPTERS_KUBERNETES_REFLECTOR_H_

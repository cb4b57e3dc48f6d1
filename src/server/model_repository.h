// The model repository models/<name>/<version>/ and what decides. AvailabilityPreserving: a model is loaded and verified
// beside the one in use, then swapped in; a model that fails changes nothing. What decided before stays in memory.
// Names are checked before they become part of a path. Thread-safe; Promote blocks for the load, so call it off the hot path.
#ifndef BERTH_SERVER_MODEL_REPOSITORY_H_
#define BERTH_SERVER_MODEL_REPOSITORY_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "cluster/policy.h"
#include "server/placements.h"

namespace berth {

class ModelRepository {
 public:
  // Loads a model directory whole and verified, or not at all.
  using Loader = std::function<absl::StatusOr<std::shared_ptr<const Policy>>(const std::string& dir)>;

  struct Version {
    std::string name;
    int64_t version = 0;
    bool is_serving = false;
  };
  struct Status {
    std::vector<Version> versions;   // by name, then version; at most 10000
    PolicyInfo serving;
    std::shared_ptr<const Policy> previous;   // null: none
  };

  // `root` empty: no repository, Promote is FAILED_PRECONDITION. `placements` outlives this.
  ModelRepository(std::string root, Loader loader, Placements* placements);

  Status List() const;
  // Errors, nothing changed: INVALID_ARGUMENT name or version; NOT_FOUND; ABORTED another load is under way; as the loader.
  absl::StatusOr<PolicyInfo> Promote(const std::string& name, int64_t version);
  // Errors: FAILED_PRECONDITION nothing decided before; ABORTED.
  absl::StatusOr<PolicyInfo> Rollback();

 private:
  const std::string root_;
  const Loader loader_;
  Placements* const placements_;
  absl::Mutex loading_;      // held for a whole load: one at a time
  mutable absl::Mutex mu_;   // held for a moment, so that List does not wait for a load
  std::shared_ptr<const Policy> previous_ ABSL_GUARDED_BY(mu_);
};

}  // namespace berth

#endif  // BERTH_SERVER_MODEL_REPOSITORY_H_

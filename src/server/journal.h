// Journal: what the server must not forget (nodes, pods on record, answers by idempotency key), in a LevelDB folder.
// A write reaches the kernel before it returns, so it survives kill -9; with `fsync` also the loss of power.
// Thread-safety: Write may be called by one thread at a time. Cost: some microseconds a write, without fsync.
// Source of the choice: docs/decisions/0002.
#ifndef BERTH_SERVER_JOURNAL_H_
#define BERTH_SERVER_JOURNAL_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cluster/ledger.h"
#include "leveldb/db.h"
#include "leveldb/write_batch.h"
#include "server/wire.h"

namespace berth {

// An answer with what it answered.
struct KeptAnswer {
  std::string key;               // may be empty
  Fingerprint fingerprint{};
  DecisionRecord decision;
};

class Journal {
 public:
  struct KeptPod {
    PodInfo info;
    std::optional<KeptAnswer> answer;
  };
  struct Content {
    uint64_t starts = 0;         // earlier starts
    std::vector<Node> nodes;     // in the order in which they joined
    std::vector<KeptPod> pods;
    std::vector<std::pair<uint64_t, KeptAnswer>> finished;   // by sequence number, ascending
  };
  // Changes that are written together or not at all.
  class Batch {
   public:
    void PutNode(const Node& node, uint64_t order);
    void DeleteNode(const std::string& name);
    void PutPod(const PodInfo& info, const KeptAnswer* answer);
    void DeletePod(const std::string& id);
    void PutFinished(uint64_t sequence, const KeptAnswer& answer);
    void DeleteFinished(uint64_t sequence);

   private:
    friend class Journal;
    leveldb::WriteBatch batch_;
    std::string key_, value_;
  };

  // Opens or makes the folder. Errors: FAILED_PRECONDITION another process has it, or it can't be made; DATA_LOSS it is damaged.
  static absl::StatusOr<std::unique_ptr<Journal>> Open(const std::string& dir, bool fsync);

  // Reads everything and counts this start. Errors: DATA_LOSS a record that can't be read.
  absl::StatusOr<Content> Load();
  // Errors: UNAVAILABLE; it is then unknown whether the batch is on disk, and nothing may be written after it.
  absl::Status Write(Batch& batch);

 private:
  Journal(std::unique_ptr<leveldb::DB> db, bool fsync) : db_(std::move(db)), fsync_(fsync) {}

  std::unique_ptr<leveldb::DB> db_;
  const bool fsync_;
};

}  // namespace berth

#endif  // BERTH_SERVER_JOURNAL_H_

// PriceWorker: solves prices on a thread of its own, one solve at a time, so that no decision waits for one.
//
// Thread-safety: one owner calls everything; the worker's thread is the only other one. Between Begin and the Take that gives it back, a
// job belongs to the thread alone. Owner and thread meet in one atomic: no lock, nothing blocks but the destructor.
#ifndef BERTH_POLICY_POTENTIAL_PRICE_WORKER_H_
#define BERTH_POLICY_POTENTIAL_PRICE_WORKER_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <thread>
#include <utility>

#include "absl/status/statusor.h"
#include "policy/potential/prices.h"

namespace berth {

class PriceWorker {
 public:
  struct Job {
    std::unique_ptr<PriceSolver> solver;
    FreeDevices free;
    double to_come_gpus = 0;
    int64_t counted_us = 0;                      // when `free` was counted
    // The answer.
    absl::StatusOr<std::shared_ptr<const PriceTable>> table = std::shared_ptr<const PriceTable>();
    int64_t took_us = 0;
  };

  // `before_solve`: PriceRun's.
  explicit PriceWorker(std::function<void()> before_solve) : before_solve_(std::move(before_solve)) {}
  PriceWorker(const PriceWorker&) = delete;
  PriceWorker& operator=(const PriceWorker&) = delete;
  // Calls off a solve under way and waits until its present round has ended: milliseconds.
  ~PriceWorker();

  // From Begin until Take has given the job back.
  bool is_busy() const { return job_ != nullptr; }
  // Requires !is_busy(). Gives the job back where no thread can be made.
  std::unique_ptr<Job> Begin(std::unique_ptr<Job> job);
  // The job, once it is solved; null until then. Cost: one atomic load while a solve is under way, nothing otherwise.
  std::unique_ptr<Job> Take();

  // Solves in the calling thread; logs. No exception comes out: what the solver throws is INTERNAL.
  static void Solve(Job* job, const std::atomic<bool>* is_cancelled);

 private:
  enum class State : int32_t { kIdle, kAsked, kSolved, kStopped };   // a futex's width

  void Run();

  const std::function<void()> before_solve_;
  std::unique_ptr<Job> job_;
  std::atomic<State> state_{State::kIdle};
  std::atomic<bool> is_cancelled_{false};
  std::thread thread_;   // made by the first Begin
};

}  // namespace berth

#endif  // BERTH_POLICY_POTENTIAL_PRICE_WORKER_H_

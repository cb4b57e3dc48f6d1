#include "policy/potential/price_worker.h"

#include <exception>
#include <system_error>
#include <utility>

#include "base/clock.h"
#include "base/log.h"
#include "base/status.h"
#include "fmt/format.h"

namespace berth {

PriceWorker::~PriceWorker() {
  if (!thread_.joinable()) return;
  is_cancelled_.store(true, std::memory_order_relaxed);
  state_.store(State::kStopped, std::memory_order_release);
  state_.notify_one();
  thread_.join();
}

std::unique_ptr<PriceWorker::Job> PriceWorker::Begin(std::unique_ptr<Job> job) {
  if (!thread_.joinable()) {
    try {
      thread_ = std::thread([this] { Run(); });
    } catch (const std::system_error&) {
      return job;
    }
  }
  job_ = std::move(job);
  state_.store(State::kAsked, std::memory_order_release);
  state_.notify_one();
  return nullptr;
}

std::unique_ptr<PriceWorker::Job> PriceWorker::Take() {
  if (job_ == nullptr || state_.load(std::memory_order_acquire) != State::kSolved) return nullptr;
  state_.store(State::kIdle, std::memory_order_relaxed);   // the thread sleeps on either
  return std::move(job_);
}

void PriceWorker::Run() {
  while (true) {
    State state = state_.load(std::memory_order_acquire);
    while (state == State::kIdle || state == State::kSolved) {
      state_.wait(state, std::memory_order_acquire);
      state = state_.load(std::memory_order_acquire);
    }
    if (state == State::kStopped) return;
    if (before_solve_) before_solve_();
    Solve(job_.get(), &is_cancelled_);
    if (!state_.compare_exchange_strong(state, State::kSolved, std::memory_order_release, std::memory_order_relaxed)) return;   // stopped
  }
}

void PriceWorker::Solve(Job* job, const std::atomic<bool>* is_cancelled) {
  const int64_t begin_us = Clock::Real().MonotonicMicros();
  try {
    job->table = job->solver->Solve(job->free, job->to_come_gpus, is_cancelled);
  } catch (const std::exception&) {
    job->table = absl::InternalError("the solver of prices threw");
  } catch (...) {   // Clp has exceptions of its own kind
    job->table = absl::InternalError("the solver of prices threw");
  }
  if (absl::IsCancelled(job->table.status())) return;
  job->took_us = Clock::Real().MonotonicMicros() - begin_us;
  if (job->table.ok()) Log(LogLevel::kDebug, "prices solved in {} us", job->took_us);
  else LogWarning("prices were not solved and stay as they were: {}", MessageOf(job->table.status()));
}

}  // namespace berth

#include "mdp/thread_team.h"

#include <algorithm>

namespace berth::mdp::internal {

ThreadTeam::ThreadTeam(int size) {
  for (int worker = 1; worker < size; ++worker) threads_.emplace_back([this, worker] { Work(worker); });
}

ThreadTeam::~ThreadTeam() {
  job_ = nullptr;
  round_.fetch_add(1, std::memory_order_release);
  round_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

void ThreadTeam::Run(const std::function<void(int)>& job) {
  if (!threads_.empty()) {
    job_ = &job;
    busy_.store(static_cast<uint32_t>(threads_.size()), std::memory_order_relaxed);
    round_.fetch_add(1, std::memory_order_release);
    round_.notify_all();
  }
  job(0);
  for (uint32_t busy = busy_.load(std::memory_order_acquire); busy != 0; busy = busy_.load(std::memory_order_acquire)) {
    busy_.wait(busy, std::memory_order_acquire);
  }
}

void ThreadTeam::Work(int worker) {
  for (uint32_t seen = 0;; ++seen) {
    round_.wait(seen, std::memory_order_acquire);
    if (job_ == nullptr) return;
    (*job_)(worker);
    if (busy_.fetch_sub(1, std::memory_order_acq_rel) == 1) busy_.notify_all();
  }
}

}  // namespace berth::mdp::internal

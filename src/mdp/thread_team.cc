#include "mdp/thread_team.h"

namespace berth::mdp::internal {

void ThreadTeam::Await(const std::atomic<uint32_t>& value, uint32_t old) {
  constexpr int kSpins = 4000;
  for (int i = 0; i < kSpins; ++i) {
    if (value.load(std::memory_order_acquire) != old) return;
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
  }
  value.wait(old, std::memory_order_acquire);
}

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
    Await(busy_, busy);
  }
}

void ThreadTeam::Work(int worker) {
  for (uint32_t seen = 0;; ++seen) {
    Await(round_, seen);
    if (job_ == nullptr) return;
    (*job_)(worker);
    if (busy_.fetch_sub(1, std::memory_order_acq_rel) == 1) busy_.notify_all();
  }
}

}  // namespace berth::mdp::internal

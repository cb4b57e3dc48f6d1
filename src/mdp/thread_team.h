// A few threads that do the same job on different parts, again and again, for sweeps of a fraction of a millisecond:
// they watch for work for a moment before they sleep. Internal to src/mdp.
#ifndef BERTH_MDP_THREAD_TEAM_H_
#define BERTH_MDP_THREAD_TEAM_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <thread>
#include <vector>

namespace berth::mdp::internal {

class ThreadTeam {
 public:
  // `size` >= 1 workers, the calling thread among them: a team of one starts no thread.
  explicit ThreadTeam(int size);
  ~ThreadTeam();
  ThreadTeam(const ThreadTeam&) = delete;
  ThreadTeam& operator=(const ThreadTeam&) = delete;

  int size() const { return static_cast<int>(threads_.size()) + 1; }

  // Calls job(0) .. job(size - 1) at the same time and returns when all are done. Not reentrant. The job must not
  // throw.
  void Run(const std::function<void(int)>& job);

 private:
  void Work(int worker);
  static void Await(const std::atomic<uint32_t>& value, uint32_t old);  // until `value` is no longer `old`

  std::vector<std::thread> threads_;
  const std::function<void(int)>* job_ = nullptr;  // null: the team is dismissed
  std::atomic<uint32_t> round_{0};
  std::atomic<uint32_t> busy_{0};
};

}  // namespace berth::mdp::internal

#endif  // BERTH_MDP_THREAD_TEAM_H_

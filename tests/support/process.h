// A program that a test starts, and that never outlives it.
#ifndef BERTH_TESTS_SUPPORT_PROCESS_H_
#define BERTH_TESTS_SUPPORT_PROCESS_H_

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <string>
#include <vector>

extern char** environ;

namespace berth::test {

class Process {
 public:
  // Starts it and waits for the first line that it prints. `log`: a file that its stderr is appended to; empty: ours.
  explicit Process(std::vector<std::string> arguments, const std::string& log = "") {
    int out[2];
    EXPECT_EQ(pipe2(out, O_CLOEXEC), 0);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, out[1], STDOUT_FILENO);
    if (!log.empty()) posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, log.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
    std::vector<char*> argv;
    for (std::string& a : arguments) argv.push_back(a.data());
    argv.push_back(nullptr);
    EXPECT_EQ(posix_spawn(&pid_, argv[0], &actions, nullptr, argv.data(), environ), 0);
    posix_spawn_file_actions_destroy(&actions);
    close(out[1]);
    out_ = out[0];
    line_ = ReadLine();
  }
  ~Process() {
    Stop(SIGKILL);
    close(out_);
  }
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  // Signals it and waits; its exit code, or -1 where a signal ended it.
  int Stop(int signal) {
    if (pid_ <= 0) return -1;
    kill(pid_, signal);
    int status = 0;
    waitpid(pid_, &status, 0);
    pid_ = -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }
  // The next line of its stdout; empty at the end.
  std::string ReadLine() {
    std::string line;
    char c = 0;
    while (read(out_, &c, 1) == 1 && c != '\n') line += c;
    return line;
  }
  const std::string& line() const { return line_; }

 private:
  pid_t pid_ = -1;
  int out_ = -1;
  std::string line_;
};

}  // namespace berth::test

#endif  // BERTH_TESTS_SUPPORT_PROCESS_H_

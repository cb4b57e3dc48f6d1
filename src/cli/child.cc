#include "cli/child.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <fstream>
#include <sstream>

#include "base/status.h"
#include "fmt/format.h"

extern char** environ;

namespace berth::cli {

absl::StatusOr<std::unique_ptr<Child>> Child::Start(std::vector<std::string> arguments) {
  int out[2];
  if (pipe2(out, O_CLOEXEC) != 0) return absl::ResourceExhaustedError("no pipe is left");
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, out[1], STDOUT_FILENO);
  std::vector<char*> argv;
  for (std::string& a : arguments) argv.push_back(a.data());
  argv.push_back(nullptr);
  pid_t pid = -1;
  const int error = posix_spawnp(&pid, argv[0], &actions, nullptr, argv.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  close(out[1]);
  if (error != 0) {
    close(out[0]);
    return absl::FailedPreconditionError(fmt::format("{} can't be started: {}", Quoted(arguments[0]), std::strerror(error)));
  }
  return std::unique_ptr<Child>(new Child(pid, out[0]));
}

absl::Status Child::Run(std::vector<std::string> arguments) {
  const std::string name = arguments[0] + (arguments.size() > 1 ? " " + arguments[1] : "");
  BERTH_ASSIGN_OR_RETURN(const std::unique_ptr<Child> child, Start(std::move(arguments)));
  std::string output;
  char buffer[4096];
  for (ssize_t n = 0; (n = read(child->out_, buffer, sizeof buffer)) > 0;) output.append(buffer, static_cast<size_t>(n));
  const int code = child->Wait();
  if (code == 0) return absl::OkStatus();
  while (output.ends_with('\n')) output.pop_back();
  return absl::FailedPreconditionError(fmt::format("{} ended with {}: {}", name, code, output.substr(output.size() - std::min<size_t>(output.size(), 500))));
}

int Child::Wait() {
  int status = 0;
  waitpid(pid_, &status, 0);
  pid_ = -1;
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

Child::~Child() {
  if (pid_ > 0) {
    kill(pid_, SIGTERM);
    for (int i = 0; i < 1000 && pid_ > 0; ++i) {
      int status = 0;
      if (waitpid(pid_, &status, WNOHANG) == pid_) pid_ = -1;
      else usleep(10'000);
    }
    if (pid_ > 0) {
      kill(pid_, SIGKILL);
      Wait();
    }
  }
  close(out_);
}

std::string Child::ReadLine() {
  std::string line;
  for (char c = 0; read(out_, &c, 1) == 1 && c != '\n';) line += c;
  return line;
}

double Child::CpuSeconds() const {
  std::ifstream in(fmt::format("/proc/{}/stat", pid_));
  std::string text;
  std::getline(in, text);
  const size_t at = text.rfind(')');   // the name before it may hold anything
  if (at == std::string::npos) return 0;
  std::istringstream fields(text.substr(at + 2));
  std::string skipped;
  for (int i = 0; i < 11; ++i) fields >> skipped;
  int64_t user = 0, system = 0;
  fields >> user >> system;
  return static_cast<double>(user + system) / static_cast<double>(sysconf(_SC_CLK_TCK));
}

}  // namespace berth::cli

// A program that a verb starts; it ends with the object.
#ifndef BERTH_CLI_CHILD_H_
#define BERTH_CLI_CHILD_H_

#include <sys/types.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace berth::cli {

class Child {
 public:
  // Starts arguments[0], found by PATH; its stdout is read here, its stderr is ours. Errors: FAILED_PRECONDITION.
  static absl::StatusOr<std::unique_ptr<Child>> Start(std::vector<std::string> arguments);
  // Runs it to its end. Errors: FAILED_PRECONDITION where it exits with another code than 0, with the end of its output.
  static absl::Status Run(std::vector<std::string> arguments);
  ~Child();   // SIGTERM, and SIGKILL after 10 s
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;

  // The next line of its output; empty at the end.
  std::string ReadLine();
  // CPU time that it has used so far, in seconds.
  double CpuSeconds() const;

 private:
  Child(pid_t pid, int out) : pid_(pid), out_(out) {}
  int Wait();

  pid_t pid_;
  const int out_;
};

}  // namespace berth::cli

#endif  // BERTH_CLI_CHILD_H_

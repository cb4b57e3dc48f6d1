// The program as a user runs it, inside the test: flags in; exit code, stdout and stderr out.
#ifndef BERTH_TESTS_CLI_RUN_BERTH_H_
#define BERTH_TESTS_CLI_RUN_BERTH_H_

#include <gtest/gtest.h>

#include <cstdio>
#include <string>
#include <vector>

#include "cli/verbs.h"

namespace berth::cli {

struct Ran {
  int code = 0;
  std::string out, err;
};

inline Ran Berth(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), "berth");
  std::vector<char*> argv;
  for (std::string& a : arguments) argv.push_back(a.data());
  argv.push_back(nullptr);
  testing::internal::CaptureStdout();
  testing::internal::CaptureStderr();
  Ran ran;
  ran.code = Main(static_cast<int>(arguments.size()), argv.data());
  std::fflush(stdout);
  ran.out = testing::internal::GetCapturedStdout();
  ran.err = testing::internal::GetCapturedStderr();
  return ran;
}

}  // namespace berth::cli

#endif  // BERTH_TESTS_CLI_RUN_BERTH_H_

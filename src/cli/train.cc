// `berth train` and `berth bench train` start berth-train beside this program, so that LibTorch is loaded by who trains and by nobody else.
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>

#include "cli/verbs.h"
#include "fmt/format.h"

namespace berth::cli {
namespace {

absl::Status Start(const std::vector<std::string>& arguments) {
  std::error_code error;
  const auto self = std::filesystem::read_symlink("/proc/self/exe", error);
  const auto program = self.parent_path() / "berth-train";
  if (error || access(program.c_str(), X_OK) != 0) {
    return absl::FailedPreconditionError("berth-train is not beside this program: it is built where LibTorch is (BERTH_WITH_TORCH=ON)");
  }
  std::vector<std::string> texts{program.string()};
  texts.insert(texts.end(), arguments.begin(), arguments.end());
  std::vector<char*> argv;
  for (std::string& text : texts) argv.push_back(text.data());
  argv.push_back(nullptr);
  execv(program.c_str(), argv.data());
  return absl::FailedPreconditionError(fmt::format("berth-train can't be started: {}", std::strerror(errno)));
}

const VerbRegistration kTrain("train", [](CLI::App& app, VerbResult& result) {
  CLI::App* verb = app.add_subcommand("train", "Train a policy network offline; checkpoints, resumes, publishes a model");
  verb->set_help_flag();   // berth-train answers --help itself
  verb->allow_extras();
  verb->fallthrough(false);
  verb->callback([verb, &result] { result.status = Start(verb->remaining()); });
});

const BenchRegistration kBenchTrain("train", [](CLI::App& app, VerbResult& result) {
  CLI::App* bench = app.add_subcommand("train", "Decisions and trained steps a CPU-second by number of nodes, beside MaskablePPO of sb3-contrib");
  bench->set_help_flag();
  bench->allow_extras();
  bench->fallthrough(false);
  bench->callback([bench, &result] {
    std::vector<std::string> arguments = bench->remaining();
    arguments.insert(arguments.begin(), "--bench");
    result.status = Start(arguments);
  });
});

}  // namespace
}  // namespace berth::cli

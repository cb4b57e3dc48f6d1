#include "cli/machine.h"

#include <link.h>
#include <sys/utsname.h>

#include <ctime>
#include <fstream>
#include <string>
#include <string_view>
#include <thread>

#include "cli/build_info.h"
#include "fmt/format.h"

namespace berth::cli {
namespace {

std::string CpuModel() {
  std::ifstream in("/proc/cpuinfo");
  for (std::string line; std::getline(in, line);) {
    if (line.rfind("model name", 0) == 0 && line.find(": ") != std::string::npos) return line.substr(line.find(": ") + 2);
  }
  return "unknown";
}

// The BLAS that this process has mapped; "none" where no library in it needs one.
std::string MappedBlas() {
  std::string found = "none";
  dl_iterate_phdr(
      [](dl_phdr_info* info, size_t, void* out) {
        const std::string_view name(info->dlpi_name);
        for (std::string_view part : {"openblas", "mkl", "blis", "libblas"}) {
          if (name.find(part) != std::string_view::npos) {
            *static_cast<std::string*>(out) = name.substr(name.rfind('/') + 1);
            return 1;
          }
        }
        return 0;
      },
      &found);
  return found;
}

}  // namespace

nlohmann::json MachineJson() {
  utsname os{};
  uname(&os);
  char date[32] = "";
  const std::time_t now = std::time(nullptr);
  std::tm utc{};
  gmtime_r(&now, &utc);
  std::strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%SZ", &utc);
  return {{"cpu", CpuModel()},
          {"cores", std::thread::hardware_concurrency()},
          {"os", fmt::format("{} {}", os.sysname, os.release)},
          {"compiler", kCompiler},
          {"build_type", kBuildType},
          {"blas", MappedBlas()},
          {"version", kVersion},
          {"commit", kCommit},
          {"date", date}};
}

}  // namespace berth::cli

// Another file that sees LibTorch: settings of the process, and what its arithmetic depends on.
#include <dlfcn.h>
#include <link.h>
#include <malloc.h>
#include <torch/torch.h>
#include <torch/version.h>

#include <sstream>

#include "agent/learner.h"
#include "fmt/format.h"
#include "nlohmann/json.hpp"

namespace berth {
namespace {

// The file name of the BLAS that was loaded; LibTorch itself only says "generic".
int FindBlas(dl_phdr_info* info, size_t, void* out) {
  const std::string path = info->dlpi_name == nullptr ? "" : info->dlpi_name;
  const std::string name = path.substr(path.find_last_of('/') + 1);
  for (const char* known : {"libopenblas", "libmkl", "libblis", "libatlas", "libblas"}) {
    auto* const found = static_cast<std::string*>(out);
    if (name.starts_with(known)) {
      *found = path.find("openblas") != std::string::npos && !name.starts_with("libopenblas") ? "openblas " + name : name;
      return name.starts_with("libblas") ? 0 : 1;   // go on: libblas.so may be a shell around a better one
    }
  }
  return 0;
}

std::string BlasCore() {
  using CoreName = char* (*)();
  if (auto* const name = reinterpret_cast<CoreName>(dlsym(RTLD_DEFAULT, "openblas_get_corename"))) return name();
  return "unknown";
}

// "CPU capability usage: AVX2" in the text that LibTorch prints of itself.
std::string CpuCapability() {
  std::istringstream text(at::show_config());
  constexpr std::string_view kMark = "CPU capability usage: ";
  for (std::string line; std::getline(text, line);) {
    if (const size_t at = line.find(kMark); at != std::string::npos) return line.substr(at + kMark.size());
  }
  return "unknown";
}

}  // namespace

void PrepareTorch() {
  // Else glibc hands the activations back to the kernel after every step.
  mallopt(M_MMAP_THRESHOLD, 1 << 28);
  mallopt(M_TRIM_THRESHOLD, 1 << 30);
  mallopt(M_TOP_PAD, 64 << 20);
  at::set_num_threads(1);
  at::set_num_interop_threads(1);
  at::globalContext().setDeterministicAlgorithms(true, false);
}

std::string ArithmeticFingerprint() {
  std::string blas = "unknown";
  dl_iterate_phdr(FindBlas, &blas);
  return nlohmann::json{{"torch", TORCH_VERSION}, {"blas", blas}, {"blas_core", BlasCore()}, {"cpu_capability", CpuCapability()},
                        {"threads", at::get_num_threads()}, {"compiler", __VERSION__}}
      .dump();
}

}  // namespace berth

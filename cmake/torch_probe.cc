// Built and run once by FindBerthTorch.cmake. Prints the version of LibTorch's headers and, on a second line, the BLAS
// that comes with its library: LibTorch's own build information is no help, since Debian's says "generic" whatever is
// installed.
#include <link.h>
#include <torch/version.h>

#include <climits>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace {

// The name of the BLAS behind the shared object `path`; nullptr where it is none. Debian puts every BLAS behind the
// name libblas.so.3, so the links must be followed.
const char* BlasOf(const char* path) {
  char real[PATH_MAX];
  if (realpath(path, real) == nullptr) return nullptr;
  if (std::strstr(real, "openblas") != nullptr) return "OpenBLAS";
  if (std::strstr(real, "libmkl") != nullptr) return "MKL";
  if (std::strstr(real, "blis") != nullptr) return "BLIS";
  if (std::strstr(real, "atlas") != nullptr) return "ATLAS";
  if (std::strstr(real, "libblas") != nullptr) return "reference";
  return nullptr;
}

int Visit(dl_phdr_info* info, std::size_t, void* found) {
  const char* blas = BlasOf(info->dlpi_name);
  if (blas == nullptr) return 0;
  *static_cast<const char**>(found) = blas;
  return 1;
}

}  // namespace

int main() {
  const char* blas = "built into LibTorch";
  dl_iterate_phdr(Visit, &blas);
  std::printf("%s\n%s\n", TORCH_VERSION, blas);
}

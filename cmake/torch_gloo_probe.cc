// Compiles and links where LibTorch has torch.distributed with Gloo.
#define USE_C10D_GLOO
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>

int main(int argc, char**) { return argc > 1 && c10d::ProcessGroupGloo::createDefaultDevice() != nullptr ? 1 : 0; }

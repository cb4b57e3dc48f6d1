// The machine, build and time that a measured figure belongs to.
#ifndef BERTH_CLI_MACHINE_H_
#define BERTH_CLI_MACHINE_H_

#include "nlohmann/json.hpp"

namespace berth::cli {

// {"cpu", "cores", "os", "compiler", "build_type", "blas", "version", "commit", "date"}.
nlohmann::json MachineJson();

}  // namespace berth::cli

#endif  // BERTH_CLI_MACHINE_H_

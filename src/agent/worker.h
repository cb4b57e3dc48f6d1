// What ranks other than 0 do: they answer what rank 0 asks (crew.h), keep nothing, and write nothing.
#ifndef BERTH_AGENT_WORKER_H_
#define BERTH_AGENT_WORKER_H_

#include "absl/status/status.h"
#include "agent/process_group.h"

namespace berth {

// Until rank 0 ends. The plan comes from rank 0; files that it names must be here too. `jobs`: threads of the environments.
// Errors: as Serve.
absl::Status WorkFor(ProcessGroup* group, int jobs);

}  // namespace berth

#endif  // BERTH_AGENT_WORKER_H_

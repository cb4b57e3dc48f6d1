// Value tables on disk, so that serving the policy `index` needs no solver: one JSON object
//   {"format": "berth-table-1", "workload": text, "m": number, "design_load": number, "tables": [{"cpu_milli",
//   "mem_bytes",
//    "cpu_unit_milli", "mem_unit_bytes", "cpu_levels", "mem_levels", "value": [cpu_levels x mem_levels numbers,
//    row-major]}]}
// or, of nodes with GPUs, in place of "tables"
//   "gpu_tables": [{"devices", "gpu_model", "cpu_milli", "units", "cpu_unit_milli", "cpu_levels",
//    "value_base64": [patterns x cpu_levels little-endian floats, row-major]}]
#ifndef BERTH_POLICY_POTENTIAL_TABLE_FILE_H_
#define BERTH_POLICY_POTENTIAL_TABLE_FILE_H_

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "policy/potential/gpu_table_potential.h"
#include "policy/potential/table_potential.h"

namespace berth {

struct TableFile {
  std::string workload;           // what it was solved for; for people
  double m = 0, design_load = 0;  // likewise
  std::vector<ValueTable> tables;  // or
  std::vector<GpuValueTable> gpu_tables;
};

// Errors: INVALID_ARGUMENT naming the field, its value and what is accepted: 1 to 1024 tables, capacities and units of
// 1 or more, 1 to 65536 levels and at most 1,000,000 values a table, as many values as levels say, finite
// single-precision numbers.
absl::Status ValidateTables(const std::vector<ValueTable>& tables);

// The same, of 1 to 8 devices in 1 to 10 units and 1 to 1024 levels of cpu.
absl::Status ValidateGpuTables(const std::vector<GpuValueTable>& tables);

std::string ToJson(const TableFile& file);
// Errors: as ValidateTables and ValidateGpuTables; INVALID_ARGUMENT text that is no such object, with the field.
absl::StatusOr<TableFile> ParseTableFile(std::string_view text);
// Errors: NOT_FOUND no file that can be read; INVALID_ARGUMENT more than 512 MiB, or as ParseTableFile.
absl::StatusOr<TableFile> LoadTableFile(const std::string& path);
// Replaces the file whole or not at all. Errors: FAILED_PRECONDITION it can't be written.
absl::Status WriteTableFile(const std::string& path, const TableFile& file);

}  // namespace berth

#endif  // BERTH_POLICY_POTENTIAL_TABLE_FILE_H_

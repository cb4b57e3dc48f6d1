// A CSV file with a header, by RFC 4180 (libcsv does the parsing). Every row knows its line, so that errors can name it.
#ifndef BERTH_WORKLOAD_CSV_TABLE_H_
#define BERTH_WORKLOAD_CSV_TABLE_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace berth {

struct CsvRow {
  int64_t line = 0;                 // of its first byte, from 1
  std::vector<std::string> fields;
};

class CsvTable {
 public:
  // `kind` names the file in messages ("node list"). BOM, CRLF and a missing last line end are understood; blank lines are
  // skipped. Errors: NOT_FOUND the file; INVALID_ARGUMENT with line and column: no header, an unfinished quote, a row with
  // more or fewer fields than the header, a NUL byte; RESOURCE_EXHAUSTED more than 1 GiB, a field of more than 4 KiB or
  // more than 4096 columns. The file is read whole: cost O(size) in time and memory.
  static absl::StatusOr<CsvTable> Read(const std::string& kind, const std::string& path);

  const std::vector<CsvRow>& rows() const { return rows_; }
  const std::vector<std::string>& header() const { return header_; }
  // Errors: INVALID_ARGUMENT the column is missing, or there twice.
  absl::StatusOr<size_t> Column(std::string_view name) const;
  std::optional<size_t> FindColumn(std::string_view name) const;
  // "<kind> line L column C (<header>)", C from 1.
  std::string Where(const CsvRow& row, size_t column) const;
  // The field as a whole number within [low, high]. Errors: INVALID_ARGUMENT with Where, value and range.
  absl::StatusOr<int64_t> Integer(const CsvRow& row, size_t column, int64_t low, int64_t high) const;

 private:
  std::string kind_;
  std::vector<std::string> header_;
  std::vector<CsvRow> rows_;
};

}  // namespace berth

#endif  // BERTH_WORKLOAD_CSV_TABLE_H_

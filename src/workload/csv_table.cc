#include "workload/csv_table.h"

#include <csv.h>

#include <algorithm>

#include "base/quantity.h"
#include "base/status.h"
#include "fmt/format.h"
#include "workload/text_file.h"

namespace berth {
namespace {

constexpr size_t kMaxFieldBytes = 4096;

struct Collector {
  std::vector<CsvRow> rows;
  CsvRow row;
  int64_t line = 1;        // of the next row
  int64_t inner_lines = 0; // line ends inside quotes of this row
  int64_t long_field_line = 0;
};

void OnField(void* data, size_t size, void* user) {
  auto* c = static_cast<Collector*>(user);
  if (size > kMaxFieldBytes && c->long_field_line == 0) c->long_field_line = c->line;
  c->row.fields.emplace_back(static_cast<const char*>(data), size);
  c->inner_lines += std::count(c->row.fields.back().begin(), c->row.fields.back().end(), '\n');
}

void OnRow(int, void* user) {
  auto* c = static_cast<Collector*>(user);
  if (!c->row.fields.empty()) {
    c->row.line = c->line;
    c->rows.push_back(std::move(c->row));
    c->row = CsvRow();
  }
  c->line += 1 + c->inner_lines;
  c->inner_lines = 0;
}

}  // namespace

absl::StatusOr<CsvTable> CsvTable::Read(const std::string& kind, const std::string& path) {
  BERTH_ASSIGN_OR_RETURN(std::string text, ReadTextFile(kind, path));
  // libcsv takes \r and \n as line ends of their own; \r\n must count once.
  std::string unified;
  unified.reserve(text.size());
  const size_t start = text.rfind("\xef\xbb\xbf", 0) == 0 ? 3 : 0;
  for (size_t i = start; i < text.size(); ++i) {
    if (text[i] == '\0') return absl::InvalidArgumentError(fmt::format("{} line {}: a NUL byte, accepted: text", kind, 1 + std::count(unified.begin(), unified.end(), '\n')));
    if (text[i] == '\r' && i + 1 < text.size() && text[i + 1] == '\n') continue;
    unified += text[i] == '\r' ? '\n' : text[i];
  }
  Collector collector;
  csv_parser parser;
  if (csv_init(&parser, CSV_STRICT | CSV_STRICT_FINI | CSV_REPALL_NL) != 0) return absl::InternalError("no CSV parser");
  csv_set_space_func(&parser, [](unsigned char) { return 0; });   // blanks belong to a field (RFC 4180, 2.4)
  const size_t used = csv_parse(&parser, unified.data(), unified.size(), OnField, OnRow, &collector);
  const int finished = used == unified.size() ? csv_fini(&parser, OnField, OnRow, &collector) : -1;
  csv_free(&parser);
  if (finished != 0) {
    return absl::InvalidArgumentError(fmt::format("{} line {}: a quote that does not end where a field ends, accepted: RFC 4180", kind, collector.line));
  }
  if (collector.long_field_line > 0) {
    return absl::ResourceExhaustedError(fmt::format("{} line {}: a field of more than {} bytes", kind, collector.long_field_line, kMaxFieldBytes));
  }
  if (collector.rows.empty()) return absl::InvalidArgumentError(fmt::format("{} line 1: empty, accepted: a header and rows", kind));
  CsvTable table;
  table.kind_ = kind;
  table.header_ = std::move(collector.rows.front().fields);
  collector.rows.erase(collector.rows.begin());
  for (const CsvRow& row : collector.rows) {
    if (row.fields.size() != table.header_.size()) {
      return absl::InvalidArgumentError(fmt::format("{} line {}: {} fields, accepted: {} as in the header", kind, row.line, row.fields.size(), table.header_.size()));
    }
  }
  table.rows_ = std::move(collector.rows);
  return table;
}

std::optional<size_t> CsvTable::FindColumn(std::string_view name) const {
  const auto it = std::find(header_.begin(), header_.end(), name);
  if (it == header_.end()) return std::nullopt;
  return static_cast<size_t>(it - header_.begin());
}

absl::StatusOr<size_t> CsvTable::Column(std::string_view name) const {
  const auto found = std::count(header_.begin(), header_.end(), name);
  if (found != 1) {
    return absl::InvalidArgumentError(fmt::format("{} line 1: column {} is there {} times, accepted: once", kind_, Quoted(name), found));
  }
  return *FindColumn(name);
}

std::string CsvTable::Where(const CsvRow& row, size_t column) const {
  return fmt::format("{} line {} column {} ({})", kind_, row.line, column + 1, header_[column]);
}

absl::StatusOr<int64_t> CsvTable::Integer(const CsvRow& row, size_t column, int64_t low, int64_t high) const {
  return ParseInteger(Where(row, column), row.fields[column], low, high);
}

}  // namespace berth

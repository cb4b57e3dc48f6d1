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
constexpr size_t kMaxColumns = 4096;

// What the parser's callbacks fill. After the first error nothing more is kept, so that a bad file costs no memory.
struct Collector {
  explicit Collector(const std::string& file_kind) : kind(file_kind) {}

  const std::string& kind;
  std::vector<CsvRow> rows;   // the header is the first
  CsvRow row;
  int64_t line = 1;           // of the row that is being read
  int64_t inner_lines = 0;    // line ends inside its quotes
  absl::Status status;

  std::string Place(size_t column) const { return fmt::format("{} line {} column {}", kind, line, column); }

  void AddField(std::string_view field) {
    if (!status.ok()) return;
    const size_t column = row.fields.size() + 1;
    if (field.size() > kMaxFieldBytes) {
      status = absl::ResourceExhaustedError(
          fmt::format("{}: a field of {} bytes, accepted: up to {} bytes", Place(column), field.size(), kMaxFieldBytes));
    } else if (field.find('\0') != std::string_view::npos) {
      status = absl::InvalidArgumentError(fmt::format("{}: a NUL byte, accepted: text", Place(column)));
    } else if (column > kMaxColumns) {
      status = absl::ResourceExhaustedError(fmt::format("{}: accepted: up to {} columns", Place(column), kMaxColumns));
    } else {
      row.fields.emplace_back(field);
      inner_lines += std::count(field.begin(), field.end(), '\n');
    }
  }

  void EndRow() {
    if (!status.ok()) return;
    if (!row.fields.empty()) {
      const size_t width = rows.empty() ? row.fields.size() : rows.front().fields.size();
      if (row.fields.size() != width) {
        status = absl::InvalidArgumentError(fmt::format("{}: {} fields, accepted: {} as in the header",
                                                        Place(std::min(row.fields.size(), width) + 1), row.fields.size(), width));
        return;
      }
      row.line = line;
      rows.push_back(std::move(row));
      row = CsvRow();
    }
    line += 1 + inner_lines;
    inner_lines = 0;
  }
};

void OnField(void* data, size_t size, void* user) {
  static_cast<Collector*>(user)->AddField({static_cast<const char*>(data), size});
}
void OnRow(int, void* user) { static_cast<Collector*>(user)->EndRow(); }

}  // namespace

absl::StatusOr<CsvTable> CsvTable::Read(const std::string& kind, const std::string& path) {
  BERTH_ASSIGN_OR_RETURN(std::string text, ReadTextFile(kind, path));
  // libcsv takes \r and \n as line ends of their own; \r\n must count once.
  std::string unified;
  unified.reserve(text.size());
  const size_t start = text.rfind("\xef\xbb\xbf", 0) == 0 ? 3 : 0;
  for (size_t i = start; i < text.size(); ++i) {
    if (text[i] == '\r' && i + 1 < text.size() && text[i + 1] == '\n') continue;
    unified += text[i] == '\r' ? '\n' : text[i];
  }
  text = std::string();
  Collector collector(kind);
  csv_parser parser;
  if (csv_init(&parser, CSV_STRICT | CSV_STRICT_FINI | CSV_REPALL_NL) != 0) return absl::InternalError("no CSV parser");
  csv_set_space_func(&parser, [](unsigned char) { return 0; });   // blanks belong to a field (RFC 4180, 2.4)
  const size_t used = csv_parse(&parser, unified.data(), unified.size(), OnField, OnRow, &collector);
  const int finished = used == unified.size() ? csv_fini(&parser, OnField, OnRow, &collector) : -1;
  csv_free(&parser);
  BERTH_RETURN_IF_ERROR(collector.status);
  if (finished != 0) {
    return absl::InvalidArgumentError(fmt::format("{}: a quote that does not end where a field ends, accepted: RFC 4180",
                                                  collector.Place(collector.row.fields.size() + 1)));
  }
  if (collector.rows.empty()) return absl::InvalidArgumentError(fmt::format("{} line 1: empty, accepted: a header and rows", kind));
  CsvTable table;
  table.kind_ = kind;
  table.header_ = std::move(collector.rows.front().fields);
  collector.rows.erase(collector.rows.begin());
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

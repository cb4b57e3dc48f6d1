// The report of an evaluation: one HTML file with tables and plots inside it, nothing fetched from elsewhere.
#ifndef BERTH_EVALUATE_REPORT_H_
#define BERTH_EVALUATE_REPORT_H_

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace berth {

// One line of a plot. `low` and `high` are drawn as error bars where they are not empty.
struct Series {
  std::string name;
  std::vector<double> x, y, low, high;
  bool is_dashed = false;
};

struct Plot {
  std::string title, x_label, y_label;
  std::vector<Series> series;
  double y_low = 0, y_high = 0;  // equal: as the series ask for
};

// The plot as SVG text, drawn by gnuplot. Errors: FAILED_PRECONDITION gnuplot is not installed or failed.
absl::StatusOr<std::string> DrawSvg(const Plot& plot);

// Numbers as colours.
struct HeatMap {
  std::string title, x_label, y_label;
  double x_low = 0, x_high = 1;              // of the columns together
  std::vector<std::string> row_labels;       // from the bottom; empty ones are not written
  size_t columns = 0;
  std::vector<double> values;                // [row][column]
  std::string scale = "share in use";        // what the colours stand for
  double least = 0, most = 1;                // of the colours; below 0 has another colour than above
  std::vector<std::string> column_labels;    // in place of x_low and x_high; the cells then show their numbers
};
absl::StatusOr<std::string> DrawSvg(const HeatMap& map);

struct Table {
  std::string title;
  std::vector<std::string> header;
  std::vector<std::vector<std::string>> rows;
};

struct Report {
  std::string title;
  std::string command;               // that made it
  std::string machine;               // one line
  std::vector<Table> tables;
  std::vector<Plot> plots;
  std::vector<HeatMap> heat_maps;
};

// Without gnuplot the plots are replaced by a line that says so. All text is escaped.
std::string HtmlReport(const Report& report);

// A table for the terminal, columns aligned.
std::string TextTable(const Table& table);

}  // namespace berth

#endif  // BERTH_EVALUATE_REPORT_H_

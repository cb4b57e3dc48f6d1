#include "evaluate/report.h"

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <iterator>

#include "base/status.h"
#include "fmt/format.h"

extern char** environ;  // NOLINT(readability-redundant-declaration): POSIX leaves it to the program

namespace berth {
namespace {

std::string Escaped(std::string_view text) {
  std::string out;
  for (char c : text) {
    switch (c) {
      case '&': out += "&amp;"; break;
      case '<': out += "&lt;"; break;
      case '>': out += "&gt;"; break;
      case '"': out += "&quot;"; break;
      default: out += c;
    }
  }
  return out;
}

// A gnuplot string: single quotes, doubled inside.
std::string Literal(std::string_view text) {
  std::string out = "'";
  for (char c : text) {
    if (c == '\'') out += '\'';
    out += c == '\n' ? ' ' : c;
  }
  return out + "'";
}

// Runs `program` with `input` on its stdin; returns its stdout.
absl::StatusOr<std::string> Filter(const std::string& program, const std::string& input) {
  int in[2], out[2];
  if (pipe2(in, O_CLOEXEC) != 0) return absl::InternalError("no pipe");
  if (pipe2(out, O_CLOEXEC) != 0) {
    close(in[0]);
    close(in[1]);
    return absl::InternalError("no pipe");
  }
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, in[0], STDIN_FILENO);
  posix_spawn_file_actions_adddup2(&actions, out[1], STDOUT_FILENO);
  posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
  std::string name = program;
  char* const arguments[] = {name.data(), nullptr};
  pid_t child = -1;
  const int spawned = posix_spawnp(&child, program.c_str(), &actions, nullptr, arguments, environ);
  posix_spawn_file_actions_destroy(&actions);
  close(in[0]);
  close(out[1]);
  std::string output;
  if (spawned == 0) {
    // Both ways at once, so that neither side waits for the other with a full pipe.
    struct sigaction ignore {}, before {};
    ignore.sa_handler = SIG_IGN;
    sigaction(SIGPIPE, &ignore, &before);
    size_t written = 0;
    bool is_writing = true;
    for (;;) {
      pollfd fds[2] = {{out[0], POLLIN, 0}, {is_writing ? in[1] : -1, POLLOUT, 0}};
      if (poll(fds, 2, -1) < 0) break;
      if (is_writing && fds[1].revents != 0) {
        const ssize_t n = write(in[1], input.data() + written, std::min<size_t>(input.size() - written, 4096));
        if (n > 0) written += static_cast<size_t>(n);
        if (n < 0 || written == input.size()) {
          close(in[1]);
          is_writing = false;
        }
      }
      if (fds[0].revents != 0) {
        char buffer[16384];
        const ssize_t n = read(out[0], buffer, sizeof buffer);
        if (n <= 0) break;
        output.append(buffer, static_cast<size_t>(n));
      }
    }
    if (is_writing) close(in[1]);
    int status = 0;
    waitpid(child, &status, 0);
    sigaction(SIGPIPE, &before, nullptr);
    close(out[0]);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return output;
    return absl::FailedPreconditionError(fmt::format("{} failed", program));
  }
  close(in[1]);
  close(out[0]);
  return absl::FailedPreconditionError(fmt::format("{} is not installed", program));
}

}  // namespace

absl::StatusOr<std::string> DrawSvg(const Plot& plot) {
  std::string script = fmt::format(
      "set terminal svg size 860,480 dynamic font 'sans-serif,13' background rgb 'white'\n"
      "set title {}\nset xlabel {}\nset ylabel {}\nset key outside right\nset grid\nset style fill solid 0.5\n",
      Literal(plot.title), Literal(plot.x_label), Literal(plot.y_label));
  if (plot.y_low < plot.y_high) script += fmt::format("set yrange [{}:{}]\n", plot.y_low, plot.y_high);
  std::string commands;
  for (size_t s = 0; s < plot.series.size(); ++s) {
    const Series& series = plot.series[s];
    const bool has_bars = !series.low.empty();
    script += fmt::format("$s{} << EOD\n", s);
    for (size_t i = 0; i < series.x.size() && i < series.y.size(); ++i) {
      script += fmt::format("{} {}", series.x[i], series.y[i]);
      if (has_bars) script += fmt::format(" {} {}", series.low[i], series.high[i]);
      script += '\n';
    }
    script += "EOD\n";
    commands += fmt::format("{}$s{} using 1:2 with {} lw 2 lc {}{} title {}", commands.empty() ? "plot " : ", ", s,
                            has_bars ? "linespoints" : "lines", s + 1, series.is_dashed ? " dt 2" : "", Literal(series.name));
    if (has_bars) commands += fmt::format(", $s{} using 1:2:3:4 with yerrorbars lw 1 lc {} notitle", s, s + 1);
  }
  if (commands.empty()) return absl::InvalidArgumentError("a plot without series");
  return Filter("gnuplot", script + commands + "\n");
}

absl::StatusOr<std::string> DrawSvg(const HeatMap& map) {
  const size_t rows = map.row_labels.size();
  if (rows == 0 || map.columns == 0 || map.values.size() != rows * map.columns) return absl::InvalidArgumentError("a heat map of another size than its labels");
  const double width = (map.x_high - map.x_low) / static_cast<double>(map.columns);
  std::string ticks;
  for (size_t r = 0; r < rows; ++r) {
    if (!map.row_labels[r].empty()) ticks += fmt::format("{}{} {}", ticks.empty() ? "" : ", ", Literal(map.row_labels[r]), r);
  }
  std::string script = fmt::format(
      "set terminal svg size 860,560 dynamic font 'sans-serif,12' background rgb 'white'\n"
      "set title {}\nset xlabel {}\nset ylabel {}\nset ytics ({})\nset tics out\nset cbrange [{}:{}]\nset cblabel {}\n"
      "set palette defined {}\nset xrange [{}:{}]\nset yrange [-0.5:{}.5]\n",
      Literal(map.title), Literal(map.x_label), Literal(map.y_label), ticks, map.least, map.most, Literal(map.scale),
      map.least < 0 ? fmt::format("({} '#b2182b', 0 '#f7f7f7', {} '#2166ac')", map.least, map.most) : "(0 '#f7fbff', 0.5 '#6baed6', 0.9 '#08519c', 1 '#08306b')",
      map.x_low, map.x_high, rows - 1);
  const bool has_columns = map.column_labels.size() == map.columns;
  if (has_columns) {
    std::string names;
    for (size_t c = 0; c < map.columns; ++c) names += fmt::format("{}{} {}", c > 0 ? ", " : "", Literal(map.column_labels[c]), map.x_low + (static_cast<double>(c) + 0.5) * width);
    script += fmt::format("set xtics rotate by -20 ({})\n", names);
  }
  script += "$m << EOD\n";
  for (size_t r = 0; r < rows; ++r) {
    for (size_t c = 0; c < map.columns; ++c) {
      script += fmt::format("{} {} {:.3f}\n", map.x_low + (static_cast<double>(c) + 0.5) * width, r, map.values[r * map.columns + c]);
    }
  }
  return Filter("gnuplot", script + "EOD\nplot $m using 1:2:3 with image pixels notitle" + (has_columns ? ", $m using 1:2:(sprintf('%.1f', $3)) with labels notitle\n" : "\n"));
}

std::string HtmlReport(const Report& report) {
  std::string html = fmt::format(
      "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{0}</title>\n<style>\n"
      "body{{font:15px/1.5 sans-serif;max-width:1000px;margin:2em auto;padding:0 1em;color:#222}}\n"
      "table{{border-collapse:collapse;margin:1em 0}}th,td{{padding:.25em .7em;border-bottom:1px solid #ddd;text-align:right}}\n"
      "th:first-child,td:first-child{{text-align:left}}code{{background:#f4f4f4;padding:.1em .3em;word-break:break-all}}\n"
      "figure{{margin:1.5em 0}}svg{{max-width:100%;height:auto}}\n</style></head><body>\n<h1>{0}</h1>\n"
      "<p>Made by <code>{1}</code><br>{2}</p>\n",
      Escaped(report.title), Escaped(report.command), Escaped(report.machine));
  const auto draw = [&](const auto& figure) {
    const auto svg = DrawSvg(figure);
    if (!svg.ok()) {
      html += fmt::format("<p>No plot of {}: {}.</p>\n", Escaped(figure.title), Escaped(MessageOf(svg.status())));
      return;
    }
    const size_t start = svg->find("<svg");
    html += "<figure>" + (start == std::string::npos ? *svg : svg->substr(start)) + "</figure>\n";
  };
  for (const Plot& plot : report.plots) draw(plot);
  for (const HeatMap& map : report.heat_maps) draw(map);
  for (const Table& table : report.tables) {
    html += fmt::format("<h2>{}</h2>\n<table><tr>", Escaped(table.title));
    for (const std::string& h : table.header) html += fmt::format("<th>{}</th>", Escaped(h));
    html += "</tr>\n";
    for (const auto& row : table.rows) {
      html += "<tr>";
      for (const std::string& cell : row) html += fmt::format("<td>{}</td>", Escaped(cell));
      html += "</tr>\n";
    }
    html += "</table>\n";
  }
  return html + "</body></html>\n";
}

std::string TextTable(const Table& table) {
  std::vector<size_t> width(table.header.size());
  const auto widen = [&](const std::vector<std::string>& row) {
    for (size_t i = 0; i < row.size() && i < width.size(); ++i) width[i] = std::max(width[i], row[i].size());
  };
  widen(table.header);
  for (const auto& row : table.rows) widen(row);
  std::string text = table.title + "\n";
  const auto line = [&](const std::vector<std::string>& row) {
    for (size_t i = 0; i < row.size() && i < width.size(); ++i) {
      text += i == 0 ? fmt::format("  {:<{}}", row[i], width[i]) : fmt::format("  {:>{}}", row[i], width[i]);
    }
    text += '\n';
  };
  line(table.header);
  for (const auto& row : table.rows) line(row);
  return text;
}

}  // namespace berth

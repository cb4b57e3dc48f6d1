#include "workload/azure.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <filesystem>
#include <map>

#include "absl/strings/str_split.h"
#include "base/quantity.h"
#include "base/status.h"
#include "fmt/format.h"
#include "workload/text_file.h"

namespace berth {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kBinUs = 300 * int64_t{1'000'000};   // arrivals are recorded in bins of 300 s
constexpr int64_t kMaxSeconds = int64_t{1} << 40;

struct Bin {
  int64_t low_s = 0, high_s = 0;   // lifetimes of the bin, inclusive
};

// One file, cut into lines without their ends.
absl::StatusOr<std::vector<std::string>> Lines(const std::string& kind, const std::string& path) {
  BERTH_ASSIGN_OR_RETURN(const std::string text, ReadTextFile(kind, path));
  std::vector<std::string> lines = absl::StrSplit(text, '\n');
  for (std::string& line : lines) {
    if (!line.empty() && line.back() == '\r') line.pop_back();
  }
  while (!lines.empty() && lines.back().empty()) lines.pop_back();
  if (lines.empty()) return absl::InvalidArgumentError(fmt::format("{} line 1: empty, accepted: one line or more", kind));
  return lines;
}

absl::StatusOr<std::map<char, PodClass>> ReadFlavours(const std::string& path) {
  const std::string kind = "flavour map";
  BERTH_ASSIGN_OR_RETURN(const auto lines, Lines(kind, path));
  std::map<char, PodClass> flavours;
  for (size_t i = 0; i < lines.size(); ++i) {
    const std::string where = fmt::format("{} line {}", kind, i + 1);
    const std::vector<std::string> parts = absl::StrSplit(lines[i], absl::ByAnyChar(", "));
    if (parts.size() != 3 || parts[2].size() != 1) return InvalidField(where, lines[i], "vCPU,GiB letter");
    BERTH_ASSIGN_OR_RETURN(const double cpus, ParseDouble(where + " vCPU", parts[0], 1e-3, 1e6));
    BERTH_ASSIGN_OR_RETURN(const double gib, ParseDouble(where + " GiB", parts[1], 0, 1e6));
    PodClass c;
    c.name = fmt::format("{}cpu-{}gi", parts[0], parts[1]);
    c.request.cpu_milli = static_cast<int64_t>(std::llround(cpus * 1000));
    c.request.mem_bytes = static_cast<int64_t>(std::llround(gib * static_cast<double>(int64_t{1} << 30)));
    if (!flavours.emplace(parts[2][0], std::move(c)).second) return InvalidField(where, parts[2], "each letter once");
  }
  return flavours;
}

absl::StatusOr<std::map<int64_t, Bin>> ReadBins(const std::string& path) {
  const std::string kind = "interval map";
  BERTH_ASSIGN_OR_RETURN(const auto lines, Lines(kind, path));
  std::map<int64_t, Bin> bins;
  for (size_t i = 0; i < lines.size(); ++i) {
    const std::string where = fmt::format("{} line {}", kind, i + 1);
    const std::vector<std::string> parts = absl::StrSplit(lines[i], ' ');
    if (parts.size() != 2) return InvalidField(where, lines[i], "lifetime_s bin");
    BERTH_ASSIGN_OR_RETURN(const int64_t life, ParseInteger(where + " lifetime_s", parts[0], 0, kMaxSeconds));
    BERTH_ASSIGN_OR_RETURN(const int64_t bin, ParseInteger(where + " bin", parts[1], 0, 1'000'000));
    const auto [it, is_new] = bins.try_emplace(bin, Bin{life, life});
    it->second.low_s = std::min(it->second.low_s, life);
    it->second.high_s = std::max(it->second.high_s, life);
  }
  return bins;
}

// "<time_s> a,b,|" -> time and elements.
absl::StatusOr<int64_t> SplitLine(const std::string& where, const std::string& line, std::vector<std::string>* elements) {
  const size_t space = line.find(' ');
  if (space == std::string::npos) return InvalidField(where, line, "time_s, a blank and elements with commas between");
  BERTH_ASSIGN_OR_RETURN(const int64_t time, ParseInteger(where + " time_s", line.substr(0, space), 0, kMaxSeconds));
  *elements = absl::StrSplit(line.substr(space + 1), ',', absl::SkipEmpty());
  return time;
}

absl::StatusOr<std::string> OnlyFile(std::string_view flag, const fs::path& folder, std::string_view head, std::string_view tail) {
  std::string found;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder.empty() ? fs::path(".") : folder, error)) {
    const std::string name = entry.path().filename().string();
    if (!name.starts_with(head) || !name.ends_with(tail) || name.size() < head.size() + tail.size()) continue;
    if (!found.empty()) return InvalidField(flag, name, fmt::format("one file {}*{} beside it, and not several", head, tail));
    found = entry.path().string();
  }
  if (found.empty()) return InvalidField(flag, folder.string(), fmt::format("a folder that holds {}*{}", head, tail));
  return found;
}

}  // namespace

absl::StatusOr<AzureFiles> AzureFilesBeside(std::string_view flag, const std::string& flavours) {
  const fs::path path(flavours), folder = path.parent_path();
  AzureFiles files;
  files.flavours = flavours;
  BERTH_ASSIGN_OR_RETURN(files.durations, OnlyFile(flag, folder, path.stem().string() + ".c", ".txt"));
  BERTH_ASSIGN_OR_RETURN(files.flavour_map, OnlyFile(flag, folder, "flav_map", ".txt"));
  BERTH_ASSIGN_OR_RETURN(files.interval_map, OnlyFile(flag, folder, "", "interval_map.txt"));
  return files;
}

absl::Status ParseHost(std::string_view flag, std::string_view text, AzureOptions* options) {
  const size_t slash = text.find('/');
  if (slash == std::string_view::npos) return InvalidField(flag, text, "vCPU/GiB, e.g. 64/192");
  BERTH_ASSIGN_OR_RETURN(const double cpus, ParseDouble(flag, text.substr(0, slash), 0.001, 1e5));
  BERTH_ASSIGN_OR_RETURN(const double gib, ParseDouble(flag, text.substr(slash + 1), 0.001, 1e6));
  options->host_cpu_milli = std::llround(cpus * 1000);
  options->host_mem_bytes = std::llround(gib * static_cast<double>(int64_t{1} << 30));
  return absl::OkStatus();
}

absl::StatusOr<AzureTrace> ReadAzureTrace(const AzureFiles& files) {
  BERTH_ASSIGN_OR_RETURN(const auto flavours, ReadFlavours(files.flavour_map));
  BERTH_ASSIGN_OR_RETURN(const auto bins, ReadBins(files.interval_map));
  BERTH_ASSIGN_OR_RETURN(const auto flavour_lines, Lines("flavour file", files.flavours));
  BERTH_ASSIGN_OR_RETURN(const auto duration_lines, Lines("duration file", files.durations));
  if (flavour_lines.size() != duration_lines.size()) {
    return InvalidField("duration file", fmt::format("{} lines", duration_lines.size()), fmt::format("{} lines as in the flavour file", flavour_lines.size()));
  }
  AzureTrace trace;
  std::map<char, uint32_t> class_of;
  for (const auto& [letter, c] : flavours) {
    class_of[letter] = static_cast<uint32_t>(trace.flavours.size());
    trace.flavours.push_back(c);
  }
  int32_t batch = 0;
  int64_t start_s = -1, last_s = -1;
  std::vector<std::string> fl, du;
  for (size_t i = 0; i < flavour_lines.size(); ++i) {
    const std::string flavour_where = fmt::format("flavour file line {}", i + 1), duration_where = fmt::format("duration file line {}", i + 1);
    BERTH_ASSIGN_OR_RETURN(const int64_t time, SplitLine(flavour_where, flavour_lines[i], &fl));
    BERTH_ASSIGN_OR_RETURN(const int64_t other, SplitLine(duration_where, duration_lines[i], &du));
    if (time != other) return InvalidField(duration_where + " time_s", fmt::format("{}", other), fmt::format("{} as in the flavour file", time));
    if (time <= last_s) return InvalidField(flavour_where + " time_s", fmt::format("{}", time), fmt::format("more than {}: times grow", last_s));
    if (fl.size() != du.size()) return InvalidField(duration_where, fmt::format("{} elements", du.size()), fmt::format("{} as in the flavour file", fl.size()));
    if (start_s < 0) start_s = time;
    last_s = time;
    // The arrivals of a bin are spread evenly over it, whatever a thinning keeps of them.
    const auto count = static_cast<int64_t>(std::count_if(fl.begin(), fl.end(), [](const std::string& f) { return f != "|"; }));
    int64_t at = 0;
    ++batch;
    for (size_t k = 0; k < fl.size(); ++k) {
      const std::string where = fmt::format("{} element {}", duration_where, k + 1);
      if ((fl[k] == "|") != (du[k] == "|")) return InvalidField(where, du[k], "| where the flavour file has |, and only there");
      if (fl[k] == "|") {
        ++batch;
        continue;
      }
      const auto flavour = fl[k].size() == 1 ? class_of.find(fl[k][0]) : class_of.end();
      if (flavour == class_of.end()) return InvalidField(fmt::format("{} element {}", flavour_where, k + 1), fl[k], "a letter of the flavour map");
      if (du[k].empty() || (du[k][0] != 'U' && du[k][0] != 'C')) return InvalidField(where, du[k], "U<bin> or C<bin>");
      BERTH_ASSIGN_OR_RETURN(const int64_t bin_number, ParseInteger(where, du[k].substr(1), 0, 1'000'000));
      const auto bin = bins.find(bin_number);
      if (bin == bins.end()) return InvalidField(where, du[k], "a bin of the interval map");
      AzureTrace::Request& r = trace.requests.emplace_back();
      r.time_us = (time - start_s) * 1'000'000 + at++ * kBinUs / std::max<int64_t>(1, count);
      r.flavour = flavour->second;
      r.batch = batch;
      r.has_ended = du[k][0] == 'U';
      r.low_s = bin_number == 0 ? 1.0 : static_cast<double>(bin->second.low_s);
      r.high_s = bin_number == 0 ? 300.0 : static_cast<double>(bin->second.high_s);
    }
  }
  trace.span_s = last_s - start_s;
  return trace;
}

absl::StatusOr<Workload> AzureWorkload(const AzureTrace& trace, const AzureOptions& options) {
  if (!(options.keep_batches > 0 && options.keep_batches <= 1)) return InvalidField("keep", fmt::format("{}", options.keep_batches), "a share above 0 up to 1");
  if (options.hosts < 1 || options.hosts > 1'000'000) return InvalidField("hosts", fmt::format("{}", options.hosts), "1 to 1000000");
  if (options.heavy_copies < 1 || options.heavy_copies > 100) return InvalidField("heavy_copies", fmt::format("{}", options.heavy_copies), "1 to 100");
  Workload workload;
  workload.name = "azure-vm";
  workload.attribution = "Microsoft Azure AzurePublicDataset V1 (CC-BY-4.0), processed by Huawei Cloud (MIT)";
  Node host;
  host.name = "host";
  host.cpu_milli = options.host_cpu_milli;
  host.mem_bytes = options.host_mem_bytes;
  workload.node_groups = {{host, options.hosts}};
  workload.pod_classes = trace.flavours;
  std::vector<bool> is_heavy;
  for (PodClass& c : workload.pod_classes) {
    c.lifetime.kind = Lifetime::Kind::kEmpirical;
    is_heavy.push_back(static_cast<double>(c.request.mem_bytes) * static_cast<double>(host.cpu_milli) >
                       static_cast<double>(host.mem_bytes) * static_cast<double>(c.request.cpu_milli));
  }
  // Copies have streams of their own, so that they do not change what becomes of the recorded machines.
  Rng thinning = Rng::Stream(options.seed, 301), lives = Rng::Stream(options.seed, 302);
  Rng copy_thinning = Rng::Stream(options.seed, 303), copy_lives = Rng::Stream(options.seed, 304);
  std::vector<bool> keeps(static_cast<size_t>(options.heavy_copies));   // each copy of the batch; the first is the recorded one
  int32_t batch = 0;
  for (const AzureTrace::Request& r : trace.requests) {
    while (batch < r.batch) {   // one draw a batch, empty ones too
      ++batch;
      keeps[0] = thinning.Uniform() < options.keep_batches;
      for (size_t c = 1; c < keeps.size(); ++c) keeps[c] = copy_thinning.Uniform() < options.keep_batches;
    }
    PodClass& flavour = workload.pod_classes[r.flavour];
    for (size_t c = 0; c < keeps.size() && (c == 0 || is_heavy[r.flavour]); ++c) {
      // Drawn whether kept or not, so that thinning does not change the lives of those that stay.
      const double life_s = r.low_s + (c == 0 ? lives : copy_lives).Uniform() * (r.high_s - r.low_s);
      if (!keeps[c]) continue;
      Arrival a{r.time_us, r.flavour, kForever};
      if (r.has_ended) {
        a.life_us = std::max<int64_t>(1, static_cast<int64_t>(life_s * 1e6));
        flavour.lifetime.samples_s.push_back(life_s);
      }
      flavour.share += 1;
      workload.arrivals.push_back(a);
    }
  }
  // Flavours that never came, and those of which no end was seen.
  for (PodClass& c : workload.pod_classes) {
    if (c.lifetime.samples_s.empty()) c.lifetime = {Lifetime::Kind::kExponential, static_cast<double>(std::max<int64_t>(1, trace.span_s)), {}};
  }
  if (workload.arrivals.empty()) return InvalidField("keep", fmt::format("{}", options.keep_batches), "a share that keeps a batch");
  BERTH_RETURN_IF_ERROR(FinishWorkload(workload));
  return workload;
}

absl::StatusOr<Workload> AzureWorkload(const AzureFiles& files, const AzureOptions& options) {
  BERTH_ASSIGN_OR_RETURN(const AzureTrace trace, ReadAzureTrace(files));
  return AzureWorkload(trace, options);
}

}  // namespace berth

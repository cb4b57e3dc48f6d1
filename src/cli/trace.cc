// `berth trace`: recorded workloads; imported from public traces, described, or drawn.
#include <filesystem>
#include <fstream>
#include <memory>
#include <system_error>

#include "base/log.h"
#include "base/quantity.h"
#include "base/status.h"
#include "cli/verbs.h"
#include "evaluate/report.h"
#include "fmt/format.h"
#include "workload/azure.h"
#include "workload/openb.h"
#include "workload/summary.h"

namespace berth::cli {
namespace {

// Of the workload file that is written.
struct OutFlags {
  std::string out, name, attribution;
};

struct OpenbFlags {
  std::string nodes, pods;
  double max_life_s = 86'400;
  bool is_recorded = false;
  OutFlags out;
};

struct AzureFlags {
  AzureFiles files;
  AzureOptions options;
  std::string host_cpu = "64", host_memory = "192Gi", seed = "1";
  OutFlags out;
};

struct DescribeFlags {
  std::string workload;
  int64_t node_count = 0;
  bool json = false;
};

struct GenerateFlags {
  std::string workload = "openb-like";
  int64_t node_count = 0;
  double load = 0.9, hours = 24;
  std::string seed = "1";
  OutFlags out;
};

// CLI11 would take -1 and numbers of thirty digits for some uint64_t.
absl::StatusOr<uint64_t> ParseSeed(const std::string& text) {
  BERTH_ASSIGN_OR_RETURN(const int64_t seed, ParseInteger("--seed", text, 0, int64_t{1} << 53));
  return static_cast<uint64_t>(seed);
}

absl::StatusOr<Workload> LoadScaled(const std::string& name_or_file, int64_t node_count) {
  BERTH_ASSIGN_OR_RETURN(Workload workload, LoadWorkloadByNameOrFile(name_or_file));
  if (node_count == 0) return workload;
  return ScaleNodes(workload, node_count);
}

// The flags that made a file, with those that were not given, as YAML comments.
std::string Comments(const CLI::App& verb) {
  std::string path;
  for (const CLI::App* app = &verb; app->get_parent() != nullptr; app = app->get_parent()) path = " " + app->get_name() + path;
  std::string text = "# Made by berth" + path;
  std::string line;
  for (const char c : verb.config_to_str(true, false) + "\n") {
    if (c == '\n') {
      if (!line.empty()) text += "\n#   " + line;
      line.clear();
    } else {
      line += static_cast<unsigned char>(c) < 0x20 || c == 0x7f ? '?' : c;
    }
  }
  return text + "\n";
}

// A file appears whole or not at all; a pipe or device is written to as it is.
absl::Status WriteWhole(const std::string& out, std::string_view text) {
  const auto failed = [&] { return absl::FailedPreconditionError(fmt::format("--out: {} can't be written", Quoted(out))); };
  std::error_code error;
  const auto kind = std::filesystem::status(out, error).type();
  if (kind == std::filesystem::file_type::directory) return InvalidField("--out", out, "a file, not a directory");
  const bool is_plain = kind == std::filesystem::file_type::not_found || kind == std::filesystem::file_type::regular;
  const std::string path = is_plain ? out + ".part" : out;
  std::ofstream file(path, std::ios::binary);
  file.write(text.data(), static_cast<std::streamsize>(text.size()));
  file.close();
  if (file && is_plain) std::filesystem::rename(path, out, error);
  if (file && !error) return absl::OkStatus();
  if (is_plain) std::filesystem::remove(path, error);
  return failed();
}

absl::Status Write(Workload workload, const OutFlags& flags, const CLI::App& verb) {
  if (!flags.name.empty()) workload.name = flags.name;
  if (!flags.attribution.empty()) workload.attribution = flags.attribution;
  const std::string text = Comments(verb) + WorkloadToYaml(workload);
  if (flags.out.empty()) {
    fmt::print("{}", text);
    return absl::OkStatus();
  }
  BERTH_RETURN_IF_ERROR(WriteWhole(flags.out, text));
  LogInfo("wrote {} nodes, {} pod classes and {} arrivals to {}", workload.node_count(), workload.pod_classes.size(),
          workload.arrivals.size(), flags.out);
  return absl::OkStatus();
}

absl::Status RunOpenb(const OpenbFlags& flags, const CLI::App& verb) {
  BERTH_ASSIGN_OR_RETURN(Workload workload, OpenbWorkload(flags.nodes, flags.pods, flags.max_life_s, flags.is_recorded));
  return Write(std::move(workload), flags.out, verb);
}

absl::Status RunAzure(const AzureFlags& flags, const CLI::App& verb) {
  AzureOptions options = flags.options;
  BERTH_ASSIGN_OR_RETURN(options.host_cpu_milli, ParseCpuMilli("--host-cpu", flags.host_cpu));
  BERTH_ASSIGN_OR_RETURN(options.host_mem_bytes, ParseBytes("--host-memory", flags.host_memory));
  BERTH_ASSIGN_OR_RETURN(options.seed, ParseSeed(flags.seed));
  BERTH_ASSIGN_OR_RETURN(Workload workload, AzureWorkload(flags.files, options));
  return Write(std::move(workload), flags.out, verb);
}

absl::Status RunGenerate(const GenerateFlags& flags, const CLI::App& verb) {
  BERTH_ASSIGN_OR_RETURN(const uint64_t seed, ParseSeed(flags.seed));
  BERTH_ASSIGN_OR_RETURN(const Workload workload, LoadScaled(flags.workload, flags.node_count));
  BERTH_ASSIGN_OR_RETURN(Workload recorded, RecordArrivals(workload, flags.load, seed, flags.hours));
  return Write(std::move(recorded), flags.out, verb);
}

std::string_view NameOf(LoadResource resource) {
  switch (resource) {
    case LoadResource::kGpu: return "gpu";
    case LoadResource::kCpu: return "cpu";
    case LoadResource::kMemory: return "memory";
  }
  return "";
}

nlohmann::json ToJson(const Amounts& a) {
  return {{"cpu_cores", a.cpus}, {"memory_gib", a.memory_gib}, {"gpu_devices", a.gpus}};
}

nlohmann::json ToJson(const Workload& w, const WorkloadSummary& s) {
  nlohmann::json shapes = nlohmann::json::array(), kinds = nlohmann::json::array();
  for (const NodeShape& shape : s.shapes) {
    shapes.push_back({{"nodes", shape.count}, {"cpu_milli", shape.node.cpu_milli}, {"mem_bytes", shape.node.mem_bytes},
                      {"gpus", shape.node.gpu_count}, {"gpu_model", shape.node.gpu_model}});
  }
  for (const PodKind& kind : s.kinds) {
    kinds.push_back({{"kind", kind.name}, {"pods_percent", kind.pods_percent}, {"gpu_demand_percent", kind.gpu_demand_percent}});
  }
  nlohmann::json json{{"name", w.name},
                      {"attribution", w.attribution},
                      {"nodes", s.nodes},
                      {"shapes", shapes},
                      {"capacity", ToJson(s.capacity)},
                      {"pod_classes", s.pod_classes},
                      {"pod_kinds", kinds},
                      {"mean_request", ToJson(s.mean_request)},
                      {"mean_life_s", s.mean_life_s},
                      {"load_resource", NameOf(s.load_resource)},
                      {"arrivals_at_load_1_per_s", s.arrivals_per_s_at_load_1},
                      {"demand_over_capacity_at_load_1",
                       {{"cpu_ratio", s.tightness.cpus}, {"memory_ratio", s.tightness.memory_gib}, {"gpu_ratio", s.tightness.gpus}}}};
  json["recorded"] = nullptr;
  if (s.arrivals > 0) {
    json["recorded"] = {{"arrivals", s.arrivals}, {"span_s", s.span_s}, {"peak_pods", s.peak_pods}, {"peak", ToJson(s.peak)}};
  }
  return json;
}

void PrintText(const Workload& w, const WorkloadSummary& s) {
  fmt::print("{}; nodes: {}, shapes: {}, pod classes: {}\n", w.name, s.nodes, s.shapes.size(), s.pod_classes);
  if (!w.attribution.empty()) fmt::print("{}\n", w.attribution);
  Table shapes{"\nNodes", {"GPU model", "nodes", "cores", "GiB", "GPUs"}, {}};
  for (const NodeShape& shape : s.shapes) {
    const Node& n = shape.node;
    shapes.rows.push_back({n.gpu_model.empty() ? "-" : n.gpu_model, fmt::format("{}", shape.count), FormatCpuMilli(n.cpu_milli),
                           fmt::format("{:.6g}", static_cast<double>(n.mem_bytes) / static_cast<double>(int64_t{1} << 30)), fmt::format("{}", n.gpu_count)});
  }
  Table kinds{"\nPods", {"kind", "of the arrivals, %", "of the GPU demand, %"}, {}};
  for (const PodKind& kind : s.kinds) {
    kinds.rows.push_back({kind.name, fmt::format("{:.2f}", kind.pods_percent), fmt::format("{:.2f}", kind.gpu_demand_percent)});
  }
  const auto row = [](std::string name, const Amounts& a, const char* format) {
    return std::vector<std::string>{std::move(name), fmt::format(fmt::runtime(format), a.cpus), fmt::format(fmt::runtime(format), a.memory_gib),
                                    fmt::format(fmt::runtime(format), a.gpus)};
  };
  Table amounts{"\nAmounts", {"", "cores", "GiB", "GPUs"}, {}};
  amounts.rows = {row("capacity", s.capacity, "{:.0f}"), row("an arrival asks for, on average", s.mean_request, "{:.3f}"),
                  row(fmt::format("demand / capacity at load 1 (of {})", NameOf(s.load_resource)), s.tightness, "{:.3f}")};
  if (s.arrivals > 0) amounts.rows.push_back(row("peak of the recorded arrivals", s.peak, "{:.1f}"));
  fmt::print("{}{}{}\n", TextTable(shapes), TextTable(kinds), TextTable(amounts));
  fmt::print("A pod lives {:.0f} s on average; load 1 is {:.6g} arrivals per second.\n", s.mean_life_s, s.arrivals_per_s_at_load_1);
  if (s.arrivals > 0) fmt::print("Recorded: {} arrivals in {:.3f} hours, at most {} pods at once.\n", s.arrivals, s.span_s / 3600, s.peak_pods);
}

absl::Status RunDescribe(const DescribeFlags& flags) {
  BERTH_ASSIGN_OR_RETURN(const Workload workload, LoadScaled(flags.workload, flags.node_count));
  const WorkloadSummary summary = Summarise(workload);
  if (flags.json) fmt::print("{}\n", ToJson(workload, summary).dump(1, ' ', false, nlohmann::json::error_handler_t::replace));
  else PrintText(workload, summary);
  return absl::OkStatus();
}

void AddOut(CLI::App* verb, OutFlags* flags) {
  verb->add_option("--out", flags->out, "the file to write; without it the workload goes to stdout");
  verb->add_option("--name", flags->name, "name of the workload");
  verb->add_option("--attribution", flags->attribution, "source and licence of the facts, kept in the file");
}

void AddNodeCount(CLI::App* verb, int64_t* count) {
  verb->add_option("--node-count", *count, "scale the workload to this many nodes (0 = as it is)")->check(CLI::Range(int64_t{0}, int64_t{1'000'000}))->capture_default_str();
}

void AddOpenb(CLI::App* import, VerbResult& result) {
  auto flags = std::make_shared<OpenbFlags>();
  CLI::App* verb = import->add_subcommand("openb", "Node and pod lists of the openb GPU trace, or of the same format");
  verb->footer("Example:\n  berth trace import openb --nodes openb_node_list_gpu_node.csv --pods openb_pod_list_default.csv --out openb.yaml");
  verb->add_option("--nodes", flags->nodes, "node list (CSV)")->required();
  verb->add_option("--pods", flags->pods, "pod list (CSV)")->required();
  verb->add_option("--max-life", flags->max_life_s, "lifetimes are cut at this many seconds")->check(CLI::Range(1.0, 1e9))->capture_default_str();
  verb->add_flag("--recorded", flags->is_recorded, "keep the arrivals as they were; else they are drawn, with classes and lifetimes of the trace");
  AddOut(verb, &flags->out);
  verb->callback([flags, verb, &result] { result.status = RunOpenb(*flags, *verb); });
}

void AddAzure(CLI::App* import, VerbResult& result) {
  auto flags = std::make_shared<AzureFlags>();
  CLI::App* verb = import->add_subcommand("azure", "The Azure 2017 VM trace as arrival bins, or files of the same format; arrivals are recorded");
  verb->footer("Example:\n  berth trace import azure --flavours v1.test.txt --durations v1.test.c2591400.txt --flavour-map flav_map.txt "
               "--interval-map v1.interval_map.txt --hosts 1100 --out azure.yaml");
  verb->add_option("--flavours", flags->files.flavours, "flavours of the requests, one line a bin")->required();
  verb->add_option("--durations", flags->files.durations, "their lifetimes, element for element")->required();
  verb->add_option("--flavour-map", flags->files.flavour_map, "cores and GiB of each flavour")->required();
  verb->add_option("--interval-map", flags->files.interval_map, "seconds of each bin of lifetimes")->required();
  verb->add_option("--hosts", flags->options.hosts, "hosts, all alike: the trace names none")->check(CLI::Range(1, 1'000'000))->capture_default_str();
  verb->add_option("--host-cpu", flags->host_cpu, "cores of a host")->capture_default_str();
  verb->add_option("--host-memory", flags->host_memory, "memory of a host")->capture_default_str();
  verb->add_option("--keep", flags->options.keep_batches, "share of the tenants' batches that is kept, above 0 up to 1")->capture_default_str();
  verb->add_option("--seed", flags->seed, "of the batches kept and of lifetimes inside their bins")->capture_default_str();
  AddOut(verb, &flags->out);
  verb->callback([flags, verb, &result] { result.status = RunAzure(*flags, *verb); });
}

void AddDescribe(CLI::App* trace, VerbResult& result) {
  auto flags = std::make_shared<DescribeFlags>();
  CLI::App* verb = trace->add_subcommand("describe", "Nodes, pods, what binds, and the peak of recorded arrivals");
  verb->footer("Example:\n  berth trace describe openb-like --node-count 151");
  verb->add_option("workload,--workload", flags->workload, "a built-in workload (openb-like, vm-like) or a file")->required();
  AddNodeCount(verb, &flags->node_count);
  verb->add_flag("--json", flags->json, "for programs");
  verb->callback([flags, &result] { result.status = RunDescribe(*flags); });
}

void AddGenerate(CLI::App* trace, VerbResult& result) {
  auto flags = std::make_shared<GenerateFlags>();
  CLI::App* verb = trace->add_subcommand("generate", "Draw the arrivals of a workload and write them down, to be replayed");
  verb->footer("The arrivals are those that `berth evaluate` draws for the same load and seed.\n"
               "Example:\n  berth trace generate --workload vm-like --load 0.9 --hours 48 --seed 7 --out vm-48h.yaml");
  verb->add_option("--workload", flags->workload, "a built-in workload (openb-like, vm-like) or a file")->capture_default_str();
  AddNodeCount(verb, &flags->node_count);
  verb->add_option("--load", flags->load, "offered load, above 0 up to 10")->capture_default_str();
  verb->add_option("--hours", flags->hours, "length of the recording")->capture_default_str();
  verb->add_option("--seed", flags->seed, "of the arrivals and lifetimes")->capture_default_str();
  AddOut(verb, &flags->out);
  verb->callback([flags, verb, &result] { result.status = RunGenerate(*flags, *verb); });
}

const VerbRegistration kTrace("trace", [](CLI::App& app, VerbResult& result) {
  CLI::App* trace = app.add_subcommand("trace", "Workloads as files: import public traces, describe, generate");
  trace->require_subcommand(1);
  trace->footer("Start with:  berth trace describe openb-like   |   berth trace import openb --help");
  CLI::App* import = trace->add_subcommand("import", "Make a workload file of a trace");
  import->require_subcommand(1);
  AddOpenb(import, result);
  AddAzure(import, result);
  AddDescribe(trace, result);
  AddGenerate(trace, result);
});

}  // namespace
}  // namespace berth::cli

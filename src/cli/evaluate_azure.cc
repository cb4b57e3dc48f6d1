#include "cli/evaluate_azure.h"

#include <cmath>

#include "base/status.h"
#include "cli/compose.h"
#include "cli/verbs.h"
#include "fmt/format.h"

namespace berth::cli {
namespace {

constexpr uint64_t kTestSeed = 101, kDevSeed = 20'001;

}  // namespace

absl::StatusOr<AzureAnswer> EvaluateAzure(const AzureFlags& flags) {
  if (flags.test.empty()) return InvalidField("--test", "", "the flavour file that is measured, e.g. v1.test.txt");
  AzureOptions options;
  options.keep_batches = flags.keep_batches;
  BERTH_RETURN_IF_ERROR(ParseHost("--host", flags.host, &options));
  AzureProtocolOptions protocol;
  protocol.run = flags.run;
  BERTH_ASSIGN_OR_RETURN(protocol.factors, ParseNumbers("--factors", flags.factors, 1e-3, 10));
  std::vector<uint64_t> seeds;
  for (int i = 0; i < flags.replicas; ++i) seeds.push_back(kTestSeed + static_cast<uint64_t>(i));
  BERTH_ASSIGN_OR_RETURN(const AzureFiles test_files, AzureFilesBeside("--test", flags.test));
  BERTH_ASSIGN_OR_RETURN(const AzureFiles dev_files, AzureFilesBeside("--dev", flags.dev.empty() ? flags.test : flags.dev));
  BERTH_ASSIGN_OR_RETURN(const auto replicas, MakeAzureReplicas(test_files, options, seeds));
  // What policies look ahead to is the past: its mix, on as many hosts as it needed.
  BERTH_ASSIGN_OR_RETURN(auto past, MakeAzureReplicas(dev_files, options, {kDevSeed}));
  past[0].workload.node_groups[0].count = static_cast<int32_t>(std::ceil(past[0].need_hosts));
  std::vector<std::string> names = flags.policies;
  if (names.empty() && flags.models.empty()) names = {"first-fit", "best-fit", "most-allocated", "fgd", "kubernetes-default", "index"};
  BERTH_ASSIGN_OR_RETURN(const PolicyList policies, MakePolicies(names, flags.models, past[0].workload));
  BERTH_ASSIGN_OR_RETURN(const AzureResult result, RunAzureProtocol(replicas, policies, protocol));

  AzureAnswer answer;
  nlohmann::json& json = answer.json;
  json = {{"protocol", "azure"}, {"host", flags.host}, {"keep", flags.keep_batches}, {"replicas", nlohmann::json::array()}, {"runs", nlohmann::json::array()},
          {"fewest", nlohmann::json::array()}, {"paired", nlohmann::json::array()}};
  for (const AzureReplica& r : replicas) json["replicas"].push_back({{"seed", r.seed}, {"arrivals", r.workload.arrivals.size()}, {"need_hosts", r.need_hosts}});
  for (const AzureRun& r : result.runs) {
    json["runs"].push_back({{"policy", r.policy}, {"seed", r.seed}, {"factor", r.factor}, {"hosts", r.hosts}, {"rejected_cpu_hours_percent", r.rejected_cpu_hours_percent},
                            {"rejected_pods_percent", r.rejected_requests_percent}});
  }
  for (const AzureFewest& f : result.fewest) {
    json["fewest"].push_back({{"policy", f.policy}, {"seed", f.seed}, {"hosts", f.hosts}, {"hosts_per_need", f.hosts_per_need}});
  }

  const size_t n = replicas.size(), factors = protocol.factors.size();
  answer.report.title = fmt::format("Azure VM trace on hosts of {}, {} replicas of {:.0f} % of the tenant batches", flags.host, n, 100 * flags.keep_batches);
  Table rejected{"Rejected, % (mean ± 95 % half width over replicas)", {"policy", "hosts / need", "core-hours", "requests"}, {}};
  Table fewest{"Fewest hosts for less than 0.1 % rejected requests, in units of the peak need", {"policy", "hosts / need"}, {}};
  Table paired{"Paired differences, policy minus against (95 % interval)", {"policy", "against", "metric", "difference", "low", "high", "relative, %"}, {}};
  const auto add_pairs = [&](const std::string& metric, const std::vector<std::vector<double>>& values) {
    for (size_t a = 0; a < policies.size(); ++a) {
      for (size_t b = 0; b < policies.size(); ++b) {
        if (a == b) continue;
        const Interval d = PairedInterval(values[a], values[b]);
        const double base = MeanInterval(values[b]).mean;
        const std::string &p = policies[a]->info().name, &against = policies[b]->info().name;
        json["paired"].push_back({{"policy", p}, {"against", against}, {"metric", metric}, {"difference", d.mean}, {"ci95_low", d.low}, {"ci95_high", d.high}});
        if (a < b) continue;
        paired.rows.push_back({p, against, metric, fmt::format("{:+.4f}", d.mean), fmt::format("{:+.4f}", d.low), fmt::format("{:+.4f}", d.high),
                               base > 0 ? fmt::format("{:+.1f}", 100 * d.mean / base) : "-"});
      }
    }
  };
  for (size_t f = 0; f < factors; ++f) {
    std::vector<std::vector<double>> hours(policies.size()), requests(policies.size());
    for (size_t p = 0; p < policies.size(); ++p) {
      for (size_t s = 0; s < n; ++s) {
        const AzureRun& run = result.runs[(p * factors + f) * n + s];
        hours[p].push_back(run.rejected_cpu_hours_percent);
        requests[p].push_back(run.rejected_requests_percent);
      }
      rejected.rows.push_back({policies[p]->info().name, fmt::format("{}", protocol.factors[f]), MeanAndHalf(MeanInterval(hours[p])), MeanAndHalf(MeanInterval(requests[p]))});
    }
    add_pairs(fmt::format("rejected_cpu_hours_percent at {}", protocol.factors[f]), hours);
  }
  std::vector<std::vector<double>> hosts(policies.size());
  for (size_t i = 0; i < result.fewest.size(); ++i) hosts[i / n].push_back(result.fewest[i].hosts_per_need);
  for (size_t p = 0; p < policies.size(); ++p) fewest.rows.push_back({policies[p]->info().name, MeanAndHalf(MeanInterval(hosts[p]))});
  add_pairs("hosts_per_need", hosts);
  answer.report.tables = {rejected, fewest, paired};
  return answer;
}

}  // namespace berth::cli

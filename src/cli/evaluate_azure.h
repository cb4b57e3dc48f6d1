// `berth evaluate --protocol azure`: policies on thinnings of the Azure VM trace (evaluate/azure_protocol.h).
#ifndef BERTH_CLI_EVALUATE_AZURE_H_
#define BERTH_CLI_EVALUATE_AZURE_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "evaluate/azure_protocol.h"
#include "evaluate/report.h"
#include "nlohmann/json.hpp"

namespace berth::cli {

struct AzureFlags {
  std::string dev;                 // flavour file that policies look ahead to (their mix); empty: --test's
  std::string test;                // flavour file that is measured
  std::string host = "64/192";     // vCPU/GiB
  std::string factors = "0.97,1";  // hosts / need
  double keep_batches = 0.5;
  int replicas = 6;
  std::vector<std::string> policies, models;
  RunOptions run;
};

struct AzureAnswer {
  nlohmann::json json;
  Report report;                   // title, tables and plots
};
// Replica i is thinned with seed 101 + i on the test side, and 20,001 on the dev side for the mix. Errors: as the parts.
absl::StatusOr<AzureAnswer> EvaluateAzure(const AzureFlags& flags);

}  // namespace berth::cli

#endif  // BERTH_CLI_EVALUATE_AZURE_H_

// Every reader on every beginning of a good file, and on good files with bytes changed: it accepts or names an error, and
// what it accepts is sound. Addresses and undefined behaviour are watched in the asan build.
#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <vector>

#include "base/rng.h"
#include "base/status.h"
#include "support/temp_file.h"
#include "workload/azure.h"
#include "workload/openb.h"
#include "workload/summary.h"
#include "workload/workload.h"

namespace berth {
namespace {

constexpr int kMutations = 1000;

struct Reader {
  std::string name;
  std::string good;
  std::function<absl::Status(const std::string& text)> read;   // also checks what was read
};

absl::Status CheckSound(absl::StatusOr<Workload> w) {
  if (!w.ok()) return w.status();
  const std::string text = WorkloadToYaml(*w);
  const auto again = ParseWorkload(text);
  EXPECT_TRUE(again.ok()) << again.status() << "\n" << text;
  const WorkloadSummary summary = Summarise(*w);
  EXPECT_GE(summary.nodes, 1);
  const auto stream = MakeArrivalStream(*w, 0.5, 1);
  Arrival a;
  for (int i = 0; i < 3 && stream->Next(&a); ++i) EXPECT_LT(a.pod_class, w->pod_classes.size());
  return absl::OkStatus();
}

std::vector<Reader> Readers() {
  static const test::TempFile flavours("0 b,g,|,b,|\n300 g,|\n"), durations("0 U1,C0,|,U13,|\n300 U12,|\n"),
      map("1,1.75 b\n2,3.5 g\n"), bins("0 0\n300 1\n3600 12\n7200 13\n3900 13\n");
  static const test::TempFile nodes("sn,cpu_milli,memory_mib,gpu,model\nn1,4000,1024,2,T4\nn2,4000,1024,0,\n");
  const auto azure = [](AzureFiles files, std::string AzureFiles::*part) {
    return [files, part](const std::string& text) mutable {
      const test::TempFile file(text);
      files.*part = file.path();
      return CheckSound(AzureWorkload(files, {}));
    };
  };
  const AzureFiles files{flavours.path(), durations.path(), map.path(), bins.path()};
  return {
      {"node list", "\xef\xbb\xbfsn,cpu_milli,memory_mib,gpu,model\r\nn1,4000,1024,2,T4\r\n\"n,2\",4000,1024,0,\r\n",
       [](const std::string& text) {
         const test::TempFile file(text);
         const auto read = ReadOpenbNodes(file.path());
         if (!read.ok()) return read.status();
         EXPECT_FALSE(read->empty());
         for (const Node& n : *read) EXPECT_TRUE(ValidateNode("node", n).ok());
         return absl::OkStatus();
       }},
      {"pod list",
       "name,cpu_milli,memory_mib,num_gpu,gpu_milli,gpu_spec,qos,pod_phase,creation_time,deletion_time,scheduled_time\n"
       "p1,4000,1024,1,500,T4|A10,LS,Running,1,5,2\np2,2000,512,0,0,,BE,Failed,3,9,\n",
       [](const std::string& text) {
         const test::TempFile file(text);
         const auto read = ReadOpenbPods(file.path());
         if (!read.ok()) return read.status();
         for (const OpenbPod& p : *read) EXPECT_TRUE(ValidateRequest("pod", p.request).ok());
         return CheckSound(OpenbWorkload(nodes.path(), file.path(), 7200, false));
       }},
      {"arrival file", "s42,s43\n0,2\n1,1\n2,\n",
       [](const std::string& text) {
         const test::TempFile file(text);
         const auto read = ReadArrivalOrders(file.path(), 3);
         if (!read.ok()) return read.status();
         for (const SeedColumn& c : *read) {
           for (uint32_t v : c.values) EXPECT_LT(v, 3u);
         }
         return absl::OkStatus();
       }},
      {"rank file", "s42,s43\n0,2\n2,1\n1,0\n",
       [](const std::string& text) {
         const test::TempFile file(text);
         const auto read = ReadNodeRanks(file.path(), 3);
         if (!read.ok()) return read.status();
         for (const SeedColumn& c : *read) {
           EXPECT_EQ(c.values.size(), 3u);
           EXPECT_EQ(c.values[0] + c.values[1] + c.values[2], 3u);
         }
         return absl::OkStatus();
       }},
      {"flavour file", "0 b,g,|,b,|\n300 g,|\n", azure(files, &AzureFiles::flavours)},
      {"duration file", "0 U1,C0,|,U13,|\n300 U12,|\n", azure(files, &AzureFiles::durations)},
      {"flavour map", "1,1.75 b\n2,3.5 g\n", azure(files, &AzureFiles::flavour_map)},
      {"interval map", "0 0\n300 1\n3600 12\n7200 13\n3900 13\n", azure(files, &AzureFiles::interval_map)},
      {"workload",
       "format: berth-workload-1\nname: w\nnodes:\n  - {name: n, count: 2, cpu: 4, memory: 8Gi, gpus: 1, gpu_model: A, labels: {a: b}, "
       "taints: [{key: k}], position: {x_ms: 1}}\npods:\n  - {name: p, share: 1, cpu: 500m, memory: 1Gi, gpus: 1, gpu_milli: 5, "
       "extended: {nic: 1}}\n  - {name: q, share: 1, cpu: 1, memory: 1, lifetime: {kind: empirical, samples_s: [1, 2]}}\n"
       "arrivals:\n  - [1, p, 5]\n  - [2, q, forever]\n",
       [](const std::string& text) { return CheckSound(ParseWorkload(text)); }},
  };
}

// An error says where: in which file of several, and at what line or of which field.
void ExpectNamed(const Reader& reader, const absl::Status& status, const std::string& text) {
  if (status.ok()) return;
  const std::string message(MessageOf(status));
  EXPECT_TRUE(status.code() == absl::StatusCode::kInvalidArgument || status.code() == absl::StatusCode::kResourceExhausted) << message;
  EXPECT_FALSE(message.empty());
  EXPECT_LT(message.size(), 1000u) << message;
  EXPECT_EQ(message.find(testing::TempDir()), std::string::npos) << reader.name << ": " << message << "\n" << text;
}

TEST(Readers, AcceptTheirGoodFile) {
  for (const Reader& reader : Readers()) {
    const absl::Status status = reader.read(reader.good);
    EXPECT_TRUE(status.ok()) << reader.name << ": " << status;
  }
}

TEST(Readers, AcceptOrNameAnErrorForEveryBeginning) {
  for (const Reader& reader : Readers()) {
    int refused = 0;
    for (size_t n = 0; n < reader.good.size(); ++n) {
      const absl::Status status = reader.read(reader.good.substr(0, n));
      ExpectNamed(reader, status, reader.good.substr(0, n));
      refused += !status.ok();
    }
    EXPECT_GT(refused, 0) << reader.name;
  }
}

TEST(Readers, AcceptOrNameAnErrorWhenBytesAreChanged) {
  Rng rng(20261125);
  // The first byte is a NUL.
  const std::string bytes = std::string(1, '\0') + "\n\r\t \",'-+.:|[]{}#&*!%@0123456789eEnaNxUCsT\x7f\x80\xff\xef";
  for (const Reader& reader : Readers()) {
    int refused = 0;
    for (int i = 0; i < kMutations; ++i) {
      std::string text = reader.good;
      for (uint64_t changes = 1 + rng.Below(3); changes > 0 && !text.empty(); --changes) {
        const size_t at = rng.Below(text.size());
        switch (rng.Below(4)) {
          case 0: text[at] = bytes[rng.Below(bytes.size())]; break;
          case 1: text.erase(at, 1 + rng.Below(8)); break;
          case 2: text.insert(at, 1 + rng.Below(20), bytes[rng.Below(bytes.size())]); break;
          default: text.insert(at, text.substr(rng.Below(text.size()), 1 + rng.Below(30)));
        }
      }
      const absl::Status status = reader.read(text);
      ExpectNamed(reader, status, text);
      refused += !status.ok();
    }
    EXPECT_GT(refused, kMutations / 10) << reader.name;
  }
}

}  // namespace
}  // namespace berth

#include "agent/crew.h"

#include <condition_variable>
#include <map>
#include <mutex>
#include <set>
#include <thread>

#include "agent/tasks.h"

namespace berth {
namespace {

using ::testing::HasSubstr;

const char* Get(const std::map<std::string, std::string>& variables, const char* name) {
  const auto it = variables.find(name);
  return it == variables.end() ? nullptr : it->second.c_str();
}

absl::StatusOr<std::optional<RankSettings>> Settings(const std::map<std::string, std::string>& variables) {
  return RankSettingsFromEnvironment([&](const char* name) { return Get(variables, name); });
}

TEST(RankSettings, AreThoseOfTorchrun) {
  const auto s = Settings({{"MASTER_ADDR", "berth-train-master-0"}, {"MASTER_PORT", "23456"}, {"RANK", "3"}, {"WORLD_SIZE", "4"}});
  ASSERT_TRUE(s.ok() && s->has_value()) << s.status();
  EXPECT_EQ((*s)->master_addr, "berth-train-master-0");
  EXPECT_EQ((*s)->master_port, 23456);
  EXPECT_EQ((*s)->rank, 3);
  EXPECT_EQ((*s)->size, 4);
  EXPECT_FALSE((*Settings({})).has_value());
  EXPECT_FALSE((*Settings({{"MASTER_ADDR", "somewhere"}})).has_value());                     // some shells have it set
  EXPECT_FALSE((*Settings({{"RANK", "0"}, {"WORLD_SIZE", "1"}})).has_value());               // no network for one
}

TEST(RankSettings, ErrorsNameVariableValueAndRange) {
  const std::map<std::string, std::string> good = {{"MASTER_ADDR", "127.0.0.1"}, {"MASTER_PORT", "29500"}, {"RANK", "0"}, {"WORLD_SIZE", "2"}};
  ASSERT_TRUE(Settings(good).ok());
  struct Bad {
    const char *name, *value, *accepted;   // value null: not set
  };
  for (const Bad& bad : {Bad{"WORLD_SIZE", nullptr, "1 to 1024"}, {"RANK", nullptr, "0 to 1"}, {"RANK", "2", "1"}, {"RANK", "-1", "0"}, {"RANK", "x", "0"},
                         {"WORLD_SIZE", "0", "1"}, {"WORLD_SIZE", "1025", "1024"}, {"WORLD_SIZE", "2.0", "1024"}, {"MASTER_ADDR", nullptr, "host name"},
                         {"MASTER_ADDR", "", "host name"}, {"MASTER_PORT", nullptr, "65535"}, {"MASTER_PORT", "0", "1"}, {"MASTER_PORT", "65536", "65535"}}) {
    auto variables = good;
    if (bad.value == nullptr) variables.erase(bad.name);
    else variables[bad.name] = bad.value;
    const auto s = Settings(variables);
    ASSERT_EQ(s.status().code(), absl::StatusCode::kInvalidArgument) << bad.name;
    const std::string text(s.status().message());
    EXPECT_THAT(text, HasSubstr(bad.name));
    EXPECT_THAT(text, HasSubstr(bad.accepted));
    EXPECT_THAT(text, HasSubstr(bad.value == nullptr || *bad.value == '\0' ? "not set" : bad.value));
  }
}

TEST(Bytes, ComeBackAsTheyWere) {
  Rollout r;
  r.mix = 2;
  r.states.resize(3);
  r.states[1][4] = 0.5f;
  r.after = {1, 2};
  r.base = {0.25f};
  r.epochs.resize(2);
  r.epochs[1].reward = -3;
  r.epochs[1].context[7] = 2;
  r.is_terminated = true;
  r.end_us = 77;
  Players p;
  p.weights.push_back(StrandingWeights());
  p.weights[0].class_models = {"A", "", "V100"};
  p.weights[0].expert_shapes.resize(1);
  p.rules = {"fgd"};
  BytesOut out;
  out(r, p, uint8_t{9});
  const std::string bytes = out.Take();
  Rollout r2;
  Players p2;
  uint8_t nine = 0;
  BytesIn in(bytes);
  in(r2, p2, nine);
  ASSERT_TRUE(in.is_whole());
  EXPECT_EQ(nine, 9);
  EXPECT_EQ(r2.states, r.states);
  EXPECT_EQ(r2.after, r.after);
  EXPECT_EQ(r2.epochs[1].reward, -3);
  EXPECT_EQ(r2.epochs[1].context, r.epochs[1].context);
  EXPECT_EQ(r2.end_us, 77);
  EXPECT_EQ(p2.weights, p.weights);
  EXPECT_EQ(p2.rules, p.rules);
  // Whatever is cut off is noticed; so is what is too much, and a length that can't be.
  for (size_t length = 0; length < bytes.size(); ++length) {
    BytesIn cut(std::string_view(bytes).substr(0, length));
    cut(r2, p2, nine);
    ASSERT_FALSE(cut.is_whole()) << length;
  }
  BytesIn more(bytes + "x");
  more(r2, p2, nine);
  EXPECT_FALSE(more.is_whole());
  std::vector<double> huge;
  BytesIn wrong(std::string(8, '\xff') + "12345678");
  wrong(huge);
  EXPECT_FALSE(wrong.is_whole());
}

TEST(RankOf, GivesEveryRolloutToOneRankAndEveryRankItsPart) {
  for (size_t groups : {1u, 2u, 4u, 5u}) {
    for (size_t ranks = 1; ranks <= 9; ++ranks) {
      const size_t size = 4;
      std::vector<size_t> count(ranks, 0);
      for (size_t g = 0; g < groups; ++g) {
        std::set<size_t> of_group;
        for (size_t k = 0; k < size; ++k) {
          const size_t r = RankOf(g, k, groups, ranks);
          ASSERT_LT(r, ranks);
          ++count[r];
          of_group.insert(r);
        }
        if (groups >= ranks) {
          EXPECT_EQ(of_group.size(), 1u) << "a group is warmed up once";
        }
      }
      const size_t busy = static_cast<size_t>(std::count_if(count.begin(), count.end(), [](size_t n) { return n > 0; }));
      EXPECT_EQ(busy, std::min(ranks, groups * size)) << groups << " groups, " << ranks << " ranks";
    }
  }
}

// The processes of a run as threads of this one.
class Threads {
 public:
  explicit Threads(int size) : size_(size) {}
  std::unique_ptr<ProcessGroup> Join(int rank) { return std::make_unique<One>(*this, rank); }

 private:
  class One : public ProcessGroup {
   public:
    One(Threads& all, int rank) : all_(all), rank_(rank) {}
    int rank() const override { return rank_; }
    int size() const override { return all_.size_; }
    absl::Status Broadcast(std::string* bytes) override {
      *bytes = all_.Exchange(rank_, *bytes)[0];
      return absl::OkStatus();
    }
    absl::StatusOr<std::vector<std::string>> Gather(const std::string& bytes) override {
      auto got = all_.Exchange(rank_, bytes);
      return rank_ == 0 ? got : std::vector<std::string>();
    }

   private:
    Threads& all_;
    const int rank_;
  };

  // Everybody's bytes, once all are there.
  std::vector<std::string> Exchange(int rank, const std::string& bytes) {
    std::unique_lock lock(mutex_);
    const uint64_t round = round_;
    given_[rank] = bytes;
    if (given_.size() == static_cast<size_t>(size_)) {
      result_.clear();
      for (const auto& [r, b] : given_) result_.push_back(b);
      given_.clear();
      ++round_;
      changed_.notify_all();
    } else {
      changed_.wait(lock, [&] { return round_ != round; });
    }
    return result_;
  }

  const int size_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<int, std::string> given_;
  std::vector<std::string> result_;
  uint64_t round_ = 0;
};

TEST(Crew, EveryRankAnswersInOrderAndErrorsNameTheRank) {
  Threads threads(3);
  std::vector<absl::Status> ended(3);
  std::vector<std::thread> others;
  for (int r = 1; r < 3; ++r) {
    others.emplace_back([&, r] {
      const auto group = threads.Join(r);
      ended[static_cast<size_t>(r)] = Serve(group.get(), [&](TaskKind kind, std::string_view task) -> absl::StatusOr<std::string> {
        if (task == "fail" && r == 2) return absl::NotFoundError("no file");
        return std::to_string(static_cast<int>(kind)) + std::string(task) + std::to_string(r);
      });
    });
  }
  const auto group = threads.Join(0);
  Crew crew(group.get());
  const auto own = [] { return absl::StatusOr<std::string>("mine"); };
  const auto answers = crew.Ask(TaskKind::kCosts, "x", own);
  ASSERT_TRUE(answers.ok());
  EXPECT_EQ(*answers, (std::vector<std::string>{"mine", "2x1", "2x2"}));
  const auto failed = crew.Ask(TaskKind::kCosts, "fail", own);
  EXPECT_EQ(failed.status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(failed.status().message()), HasSubstr("rank 2: no file"));
  const auto own_failed = crew.Ask(TaskKind::kCosts, "x", [] { return absl::StatusOr<std::string>(absl::InternalError("here")); });
  EXPECT_THAT(std::string(own_failed.status().message()), HasSubstr("rank 0: here"));
  EXPECT_TRUE(crew.Ask(TaskKind::kRollouts, "y", own).ok()) << "a failed task leaves the crew in step";
  crew.End(absl::InternalError("enough"));
  for (std::thread& t : others) t.join();
  for (size_t r : {1u, 2u}) {
    EXPECT_EQ(ended[r].code(), absl::StatusCode::kAborted);
    EXPECT_THAT(std::string(ended[r].message()), HasSubstr("enough"));
  }
}

}  // namespace
}  // namespace berth

#include "agent/training_plan.h"

#include "agent/teachers.h"
#include "base/status.h"

namespace berth {
namespace {

using ::testing::HasSubstr;

TEST(TrainingPlan, SurvivesJson) {
  for (const char* form : {"loss", "queue", "static"}) {
    const auto plan = DefaultPlan(form);
    ASSERT_TRUE(plan.ok());
    const auto back = PlanFromJson(PlanToJson(*plan));
    ASSERT_TRUE(back.ok()) << back.status();
    EXPECT_EQ(PlanToJson(*back), PlanToJson(*plan));
  }
}

TEST(TrainingPlan, EveryBadFieldIsNamed) {
  const std::vector<std::pair<const char*, nlohmann::json>> cases = {
      {"form", "other"}, {"teacher", "nobody"}, {"loads", nlohmann::json::array()}, {"loads", {-1.0}}, {"node_count", -1}, {"population", 3},
      {"hidden", 0}, {"hidden", 257}, {"minibatch", 0}, {"lr", -1e-3}, {"lr", 2}, {"clip", 0}, {"sigma", 0}, {"best_probability", 1.0},
      {"gate_seeds", 1}, {"generations", -1}, {"horizon_s", 0}, {"imitate", "nobody"}, {"imitation_updates", 3},
      {"imitation_lr", 2}, {"rollout_nodes", -1}, {"network_generations", -1}, {"most_harm", 0}, {"lr", "fast"}, {"loads", 0.9}, {"unknown", 1}};
  for (const auto& [field, value] : cases) {
    nlohmann::json json = PlanToJson(TrainingPlan());
    json[field] = value;
    const auto plan = PlanFromJson(json);
    ASSERT_FALSE(plan.ok()) << field << value;
    EXPECT_EQ(plan.status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(MessageOf(plan.status())), HasSubstr(field));
  }
  EXPECT_FALSE(PlanFromJson(nlohmann::json::array()).ok());
}

TEST(TrainingPlan, OfATraceSurvivesJsonAndItsBadFieldsAreNamed) {
  auto plan = DefaultPlan("loss", "azure");
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_THAT(std::string(ValidatePlan(*plan).message()), HasSubstr("dev"));
  plan->dev = "v1.dev.txt";
  const auto back = PlanFromJson(PlanToJson(*plan));
  ASSERT_TRUE(back.ok()) << back.status();
  EXPECT_EQ(PlanToJson(*back), PlanToJson(*plan));
  for (const auto& [field, value] : std::vector<std::pair<const char*, nlohmann::json>>{
           {"host", "64"}, {"keep", 0}, {"keep", 2}, {"heavy_copies", nlohmann::json::array()}, {"heavy_copies", {0}}, {"form", "queue"}, {"node_count", 5},
           {"mixes", {"vm-like"}}, {"ppo_updates", 1}}) {
    nlohmann::json json = PlanToJson(*plan);
    json[field] = value;
    const auto bad = PlanFromJson(json);
    ASSERT_FALSE(bad.ok()) << field;
    EXPECT_THAT(std::string(MessageOf(bad.status())), HasSubstr(field));
  }
  EXPECT_FALSE(DefaultPlan("queue", "azure").ok());
  EXPECT_TRUE(RulesToBeat("workload").empty());
  EXPECT_FALSE(RulesToBeat("azure").empty());
}

TEST(TrainingPlan, NetworksTrainWithPricesAndOnSeveralMixes) {
  TrainingPlan plan = *DefaultPlan("static");
  plan.price_beta = 10;
  plan.mixes = {"openb-like", "vm-like"};
  plan.imitate = "universal";
  plan.imitation_updates = 5;
  plan.network_generations = 2;
  EXPECT_TRUE(ValidatePlan(plan).ok()) << ValidatePlan(plan);
  EXPECT_EQ(plan.total_updates(), plan.generations + 5 + plan.critic_updates + plan.ppo_updates + 2);
  plan.imitation_updates = 0;
  EXPECT_THAT(std::string(MessageOf(ValidatePlan(plan))), HasSubstr("imitation_updates"));
  plan.imitation_updates = 5;
  plan.class_generations = 1;
  EXPECT_THAT(std::string(MessageOf(ValidatePlan(plan))), HasSubstr("class_generations"));
  plan.class_generations = 0;
  plan.form = "loss";
  EXPECT_THAT(std::string(MessageOf(ValidatePlan(plan))), HasSubstr("price_beta"));
  plan.imitate.clear();
  plan.imitation_updates = plan.critic_updates = plan.ppo_updates = plan.network_generations = 0;
  EXPECT_TRUE(ValidatePlan(plan).ok()) << "evolution may have prices where pods depart: " << ValidatePlan(plan);
}

TEST(TeacherWeights, AreLinearAndDifferent) {
  std::vector<std::vector<float>> seen;
  for (const char* name : {"stranding", "keep-empty", "departures", "cpu-stranding"}) {
    const auto weights = TeacherWeights(name);
    ASSERT_TRUE(weights.ok());
    EXPECT_TRUE(ValidateWeights(*weights).ok());
    EXPECT_EQ(weights->hidden, 0);
    EXPECT_THAT(seen, ::testing::Not(::testing::Contains(weights->linear)));
    seen.push_back(weights->linear);
  }
  EXPECT_EQ(TeacherWeights("other").status().code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace berth

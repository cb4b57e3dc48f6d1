// All that decides how a training run goes. With the seed it decides the result, bit for bit on one machine.
#ifndef BERTH_AGENT_TRAINING_PLAN_H_
#define BERTH_AGENT_TRAINING_PLAN_H_

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "nlohmann/json.hpp"
#include "policy/potential/priced_potential.h"
#include "workload/azure.h"
#include "workload/workload.h"

namespace berth {

// Budgets are counted in updates and never in seconds, so that a slow machine gets the same model. One update is a generation
// of evolution, a round of imitation, of critic fitting or of PPO, or a generation of the network's evolution; they follow each other in
// that order.
struct TrainingPlan {
  std::string protocol = "workload";         // workload; churn: the mix and the nodes of openb files (workload/openb_churn.h); azure: a VM trace (workload/azure.h)
  std::string workload = "openb-like";       // a built-in name or a file
  std::string nodes, pods;                   // churn: openb CSV files
  std::string sample_nodes = "151";          // churn: this many of the nodes, or all
  std::string lives = "exponential";         // churn: exponential or trace
  std::string dev;                           // azure: flavour file of the trace that is trained on, e.g. v1.dev.txt
  std::string host = "64/192";               // azure: vCPU/GiB
  double keep = 0.5;                         // azure: share of tenant batches in a replica
  std::vector<int> heavy_copies{1, 2, 4};    // azure: mixes, by how often a heavy machine comes (AzureOptions)
  std::vector<std::string> mixes;            // more of them that the same weights must serve
  std::vector<double> mix_weights;           // of the relative cost on each, the workload first; empty: 1
  double price_beta = 0;                     // > 0: a potential with prices (priced_potential.h)
  double price_period = 0.02;                // they are solved again when that share of the cluster's GPUs was asked for
  double price_horizon = 1.05, price_smoothing = 0.5;   // as PricedOptions and PriceOptions have them
  double typed_safety = 2.5, multi_safety = 2;
  uint64_t seed = 1;
  std::string form = "loss";                 // loss, queue, static
  int64_t node_count = 151;                  // the workload is scaled to this many; 0 = as it is (churn: always as it is)
  std::string teacher = "stranding";         // where evolution starts; see teachers.h
  double teacher_scale = 1;                  // its weights times this; below 1 prices weigh more against them
  int features = 32;                         // evolution moves the weights of the first so many (the rest tell mixes apart); 0 = all
  bool lifetimes = false;                    // evolution also moves the weights of when nodes will be empty
  std::vector<double> loads{0.9, 1.0};       // of the forms with departures; azure: hosts / need of the replica
  double warmup_hours = 4, window_hours = 10;

  // Evolution of the linear weights.
  int generations = 80;
  int class_generations = 0;                 // in the last of them, terms of single pod classes and GPU models move too
  int population = 14;
  int seeds_per_generation = 3;              // fresh arrivals, shared by the population; the loads take turns
  double sigma = 0.5;                        // first step, in units of 0.3 of a weight
  double least_sigma = 0.5;                  // noisy costs shrink steps too early; large ones tell candidates apart

  // The network on top.
  int hidden = 32;
  std::string imitate;                       // a teacher as above, whose choices the network learns first: a blend of single mixes, say
  int imitation_updates = 0;
  double imitation_lr = 3e-3;                // falls to 0 over them
  int critic_updates = 6;                    // rounds with the actor frozen
  int ppo_updates = 30;
  int groups = 4, rollouts = 4;              // arrival sequences an update, rollouts on each
  int decisions = 512;                       // a rollout
  int candidates = 16;                       // actions kept a decision
  int minibatch = 512;                       // decisions
  int epochs = 3, critic_epochs = 4;
  double lr = 1e-3, critic_lr = 1e-3;        // the first falls to 0 over the PPO updates
  double clip = 0.2;
  double target_kl = 0.02;                   // ends the epochs of an update at 1.5 times this
  double entropy = 0.001, kl_teacher = 0.02; // weights; both fall to 0
  double horizon_s = 7200;                   // discount exp(-t / horizon)
  double credit_s = 600;                     // GAE's lambda as exp(-t / credit)
  double best_probability = 0.9;             // the temperature gives the teacher's best action this mean probability
  int64_t rollout_nodes = 0;                 // rollouts play on the workload scaled to this many; 0 = as it is
  int network_generations = 0;               // evolution of the network's last layer, after PPO
  double most_harm = 0.005;                  // of several mixes: what a network may cost more on one, as a share, at the interval's upper end

  int validate_every = 10;                   // updates
  int validation_seeds = 8, gate_seeds = 16, test_seeds = 12;

  bool has_network() const { return imitation_updates + critic_updates + ppo_updates + network_generations > 0; }
  int total_updates() const { return generations + imitation_updates + critic_updates + ppo_updates + network_generations; }
};

// None where price_beta is 0.
std::optional<PricedOptions> PricesOf(const TrainingPlan& plan);

// What differs by form: the static form runs on the whole cluster, without discount, on two orders a generation. What differs
// by protocol: churn starts at the best of three teachers, with prices, evolves terms of single classes too, leaves the network out, and ships nothing
// that does not beat every one of RulesToBeat(); azure does so too, from cpu-stranding, on thinnings of the trace.
// Errors: INVALID_ARGUMENT an unknown form or protocol.
absl::StatusOr<TrainingPlan> DefaultPlan(std::string_view form, std::string_view protocol = "workload");

// The rules that a policy for the churn or the azure protocol has to beat; none for workload.
std::span<const std::string> RulesToBeat(std::string_view protocol);

// The trace of the azure protocol and how to thin it. Errors: as the readers.
absl::StatusOr<AzureTrace> PlannedTrace(const TrainingPlan& plan, AzureOptions* thinning);

// The workload that the plan names, scaled, and `plan.mixes` behind it; of a trace, one thinning on the hosts that it needs. Errors: as the readers and ScaleNodes.
absl::StatusOr<std::vector<Workload>> PlannedWorkloads(const TrainingPlan& plan);

// Errors: INVALID_ARGUMENT naming field, value and range.
absl::Status ValidatePlan(const TrainingPlan& plan);

nlohmann::json PlanToJson(const TrainingPlan& plan);
// Fields that are missing keep their default; an unknown one is an error. Validates.
absl::StatusOr<TrainingPlan> PlanFromJson(const nlohmann::json& json);

}  // namespace berth

#endif  // BERTH_AGENT_TRAINING_PLAN_H_

// Writes UMB such that Storm 2.0 reads it: every state has a choice, offsets are given, numbers are doubles.
#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "base/new_file.h"
#include "base/status.h"
#include "fmt/format.h"
#include "mdp/files/file_io.h"
#include "mdp/files/format.h"
#include "mdp/files/tar.h"
#include "mdp/files/umb_names.h"
#include "mdp/files/umb_solution.h"
#include "nlohmann/json.hpp"

namespace berth::mdp::internal {
namespace {

using nlohmann::json;

constexpr char kReward[] = "reward";

template <class T>
std::string_view BytesOf(const std::vector<T>& values) {
  return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T)};
}

double TotalRate(const SparseMdp& mdp, StateIndex s, int32_t a) {
  double total = 0;
  mdp.VisitSuccessors(s, a, [&](StateIndex, double rate) { total += rate; });
  return total;
}

// The largest total rate of the state's actions; 1 where it is never left, so that a choice that stays can be written.
double ExitRate(const SparseMdp& mdp, StateIndex s) {
  double exit_rate = 0;
  for (int32_t a = 0; a < mdp.num_actions(s); ++a) exit_rate = std::max(exit_rate, TotalRate(mdp, s, a));
  return exit_rate > 0 ? exit_rate : 1;
}

// Calls visit(next, probability) for every branch of an action. Where a rate row lacks to the exit rate, it stays.
template <class Visit>
void VisitBranches(const SparseMdp& mdp, StateIndex s, int32_t a, double exit_rate, Visit&& visit) {
  if (mdp.kind() == RowKind::kProbability) return mdp.VisitSuccessors(s, a, visit);
  const double total = TotalRate(mdp, s, a);
  double staying = total < exit_rate ? exit_rate - total : 0;
  mdp.VisitSuccessors(s, a, [&](StateIndex next, double rate) {
    if (next == s) rate += std::exchange(staying, 0);
    visit(next, rate / exit_rate);
  });
  if (staying > 0) visit(s, staying / exit_rate);
}

}  // namespace

std::string PackedBits(const std::vector<bool>& values) {
  std::string bits((values.size() + 63) / 64 * 8, '\0');
  for (size_t i = 0; i < values.size(); ++i) {
    if (values[i]) bits[i / 8] = static_cast<char>(static_cast<uint8_t>(bits[i / 8]) | 1U << (i % 8));
  }
  return bits;
}

absl::Status WriteUmb(const std::string& path, const ModelFile& model, const std::vector<bool>& is_absorbing) {
  return WriteUmbWith(path, model, is_absorbing, nullptr);
}

absl::Status WriteUmbWith(const std::string& path, const ModelFile& model, const std::vector<bool>& is_absorbing,
                          const SolutionFile* solution) {
  const SparseMdp& mdp = model.mdp;
  const bool has_rates = mdp.kind() == RowKind::kRate;
  std::vector<uint64_t> state_to_choices = {0}, choice_to_branches = {0}, target;
  std::vector<double> exit_rates, probability, reward;
  std::vector<uint32_t> action_of_choice;
  bool is_chain = true;
  bool has_gaps = false;
  for (StateIndex s = 0; s < mdp.num_states(); ++s) {
    const double exit_rate = has_rates ? ExitRate(mdp, s) : 1;
    if (has_rates) exit_rates.push_back(exit_rate);
    for (int32_t a = 0; a < std::max(mdp.num_actions(s), 1); ++a) {
      if (mdp.is_terminal(s)) {  // stays, for nothing
        target.push_back(static_cast<uint64_t>(s));
        probability.push_back(1);
      } else {
        VisitBranches(mdp, s, a, exit_rate, [&](StateIndex next, double share) {
          target.push_back(static_cast<uint64_t>(next));
          probability.push_back(share);
        });
      }
      // A reward rate is earned in lumps at the jumps, which come at the exit rate.
      reward.push_back(mdp.is_terminal(s) ? 0 : mdp.Reward(s, a) / exit_rate);
      action_of_choice.push_back(mdp.is_terminal(s) ? 0 : static_cast<uint32_t>(mdp.ActionNumber(s, a)));
      has_gaps = has_gaps || action_of_choice.back() != static_cast<uint32_t>(a);
      choice_to_branches.push_back(target.size());
    }
    is_chain = is_chain && mdp.num_actions(s) <= 1;
    state_to_choices.push_back(reward.size());
  }
  const uint32_t num_actions = has_gaps ? *std::max_element(action_of_choice.begin(), action_of_choice.end()) + 1 : 0;

  const json real = {{"type", "double"}};
  const json index = {{"format-version", 1},
                      {"format-revision", 0},
                      {"model-data", {{"name", model.name}}},
                      {"file-data", {{"tool", "Berth"}}},
                      {"transition-system",
                       {{"time", has_rates ? "stochastic" : "discrete"},
                        // Storm knows no continuous-time MDP, but a chain of rates.
                        {"#players", has_rates && is_chain ? 0 : 1},
                        {"#states", mdp.num_states()},
                        {"#initial-states", 1},
                        {"#choices", reward.size()},
                        {"#choice-actions", num_actions},
                        {"#branches", target.size()},
                        {"#branch-actions", 0},
                        {"#observations", 0},
                        {"branch-probability-type", real}}},
                      {"annotations",
                       {{"rewards", {{kReward, {{"alias", kReward}, {"applies-to", {"choices"}}, {"type", real}}}}},
                        {"aps",
                         {{kAbsorbingLabel,
                           {{"alias", kAbsorbingLabel}, {"applies-to", {"states"}}, {"type", {{"type", "bool"}}}}}}}}}};
  json complete = index;
  if (has_rates) complete["transition-system"]["exit-rate-type"] = real;
  if (solution != nullptr) {
    complete["file-data"]["parameters"] = SolutionParameters(*solution);
    complete["annotations"][umb::kSolutionGroup] = SolutionAnnotations(*solution);
  }

  NewFile file(kModelFile, path);
  TarWriter tar(file.partial_path());
  std::vector<bool> is_initial(mdp.num_states(), false);
  is_initial[model.initial] = true;
  tar.Add(umb::kIndex, complete.dump(2, ' ', false, json::error_handler_t::replace));
  tar.Add(umb::kStateToChoices, BytesOf(state_to_choices));
  tar.Add(umb::kStateIsInitial, PackedBits(is_initial));
  if (has_rates) tar.Add(umb::kStateToExitRate, BytesOf(exit_rates));
  tar.Add(umb::kChoiceToBranches, BytesOf(choice_to_branches));
  tar.Add(umb::kBranchToTarget, BytesOf(target));
  tar.Add(umb::kBranchToProbability, BytesOf(probability));
  if (has_gaps) tar.Add(umb::kActionOfChoice, BytesOf(action_of_choice));
  tar.Add(fmt::format("{}{}/choices/values.bin", umb::kRewards, kReward), BytesOf(reward));
  tar.Add(fmt::format("{}{}/states/values.bin", umb::kLabels, kAbsorbingLabel), PackedBits(is_absorbing));
  if (solution != nullptr) AddSolution(mdp, *solution, tar);
  BERTH_RETURN_IF_ERROR(tar.Close());
  return file.Commit();
}

}  // namespace berth::mdp::internal

#include "env/node_mdp/fleet_relaxation.h"

#include <algorithm>
#include <limits>
#include <span>
#include <utility>

#include "base/status.h"
#include "fmt/format.h"
#include "lp/linear_program.h"
#include "mdp/knapsack_solve.h"
#include "mdp/policy_evaluation.h"
#include "mdp/stationary.h"
#include "mdp/value_iteration.h"

namespace berth {
namespace {

// Types of at most so many states are solved by policy iteration with direct solves, which rates of very different
// sizes (the whole stream of a large fleet against the life of one pod) do not slow down.
constexpr mdp::StateIndex kDirectStates = 3000;
constexpr int kMostPolicies = 100;
constexpr double kDiscount = 1e-7;

// One type at given prices.
struct SolvedType {
  std::vector<double> values;
  double gain_upper = 0;       // certified
  double earned = 0;           // by the greedy policy, prices not subtracted
  std::vector<double> taken;   // [classes] rate of pods taken by it
  std::vector<double> visits;  // stationary distribution; empty where it was not needed
};

// Calls visit(s, k) where the greedy policy takes class k.
template <class Visit>
void VisitTaken(const mdp::KnapsackModel& model, std::span<const double> h, Visit&& visit) {
  for (mdp::StateIndex s = 0; s < model.num_states(); ++s) {
    for (int k = 0; k < model.space().num_classes(); ++k) {
      const mdp::StateIndex after = model.space().Above(s, k);
      if (after >= 0 && model.classes()[k].reward + (h[after] - h[s]) > 0) visit(s, k);
    }
  }
}

// Where the chain is after always having taken the fastest way: a state that it is in often.
mdp::StateIndex OftenVisited(const mdp::PolicyChain& chain) {
  mdp::StateIndex s = 0;
  for (mdp::StateIndex i = 0; i < chain.num_states(); ++i) {
    double fastest = 0;
    mdp::StateIndex next = s;
    for (int64_t n = chain.begin[s]; n < chain.begin[s + 1]; ++n) {
      if (!(chain.weight[n] > fastest)) continue;
      fastest = chain.weight[n];
      next = chain.next[n];
    }
    s = next;
  }
  return s;
}

// Where a full node is refilled at once it may stay with what it holds for ever, as far as double precision can tell:
// then the policy has several gains. A little discount tells them apart, and the next policy leaves the worse.
absl::StatusOr<mdp::PolicyValues> Evaluate(const mdp::PolicyChain& chain) {
  const mdp::StateIndex reference = OftenVisited(chain);
  absl::StatusOr<mdp::PolicyValues> values = mdp::EvaluatePolicy(chain, 0, mdp::ValueLevel::kRelative, reference);
  if (absl::IsFailedPrecondition(values.status()))
    values = mdp::EvaluatePolicy(chain, kDiscount, mdp::ValueLevel::kRelative, reference);
  return values;
}

absl::StatusOr<SolvedType> SolveDirectly(const mdp::KnapsackModel& model, double tolerance, const SolvedType* last) {
  const auto num_states = static_cast<size_t>(model.num_states());
  const int num_classes = model.space().num_classes();
  SolvedType solved;
  solved.gain_upper = std::numeric_limits<double>::infinity();
  std::vector<double> h = last == nullptr ? std::vector<double>(num_states, 0.0) : last->values;
  mdp::PolicyChain chain;
  for (int i = 0;; ++i) {
    const mdp::GainBounds bounds = mdp::CertifyGain(model, h);
    if (bounds.upper < solved.gain_upper) {
      solved.gain_upper = bounds.upper;
      solved.values = h;
    }
    if (bounds.upper - bounds.lower <= tolerance || i >= kMostPolicies) break;
    chain = mdp::GreedyChain(model, h);
    BERTH_ASSIGN_OR_RETURN(mdp::PolicyValues values, Evaluate(chain));
    h = std::move(values.values);
  }
  // How often each class is taken is the gain of a chain that earns one for it.
  chain = mdp::GreedyChain(model, solved.values);
  std::vector<std::vector<double>> rates(static_cast<size_t>(num_classes), std::vector<double>(num_states, 0.0));
  VisitTaken(model, solved.values, [&](mdp::StateIndex s, int k) { rates[k][s] = model.classes()[k].arrival_rate; });
  for (int k = 0; k < num_classes; ++k) {
    chain.reward = std::move(rates[k]);
    BERTH_ASSIGN_OR_RETURN(const mdp::PolicyValues values, Evaluate(chain));
    solved.taken.push_back(values.level);
  }
  return solved;
}

absl::StatusOr<SolvedType> SolveBySweeps(const mdp::KnapsackModel& model, double tolerance, int threads,
                                         const SolvedType* last) {
  SolvedType solved;
  const mdp::SweepSolveOptions options = {.tolerance = tolerance, .max_sweeps = 20'000, .threads = threads};
  BERTH_ASSIGN_OR_RETURN(mdp::SweepSolution solution,
                         mdp::SolveKnapsack(model, options, last == nullptr ? std::vector<double>() : last->values));
  solved.values = std::move(solution.relative_values);
  solved.gain_upper = solution.level_upper;
  BERTH_ASSIGN_OR_RETURN(
      mdp::StationaryDistribution visits,
      mdp::SolveStationary(mdp::GreedyChain(model, solved.values), {.tolerance = 1e-9, .max_sweeps = 20'000},
                           last == nullptr ? std::span<const double>() : last->visits));
  solved.visits = std::move(visits.probability);
  solved.taken.assign(static_cast<size_t>(model.space().num_classes()), 0.0);
  VisitTaken(model, solved.values,
             [&](mdp::StateIndex s, int k) { solved.taken[k] += solved.visits[s] * model.classes()[k].arrival_rate; });
  return solved;
}

absl::StatusOr<SolvedType> SolveType(const FleetSpaces& spaces, int type, double num_nodes,
                                     std::span<const double> prices, double tolerance, int threads,
                                     const SolvedType* last) {
  std::vector<mdp::KnapsackClass> classes;
  for (int k = 0; k < spaces.num_classes(); ++k) {
    const FleetClass& c = spaces.fleet().classes[k];
    classes.push_back({num_nodes * c.arrival_rate, c.departure_rate, c.reward - prices[k]});
  }
  BERTH_ASSIGN_OR_RETURN(const mdp::KnapsackModel model,
                         mdp::KnapsackModel::Create(spaces.space(type), std::move(classes)));
  BERTH_ASSIGN_OR_RETURN(SolvedType solved, model.num_states() <= kDirectStates
                                                ? SolveDirectly(model, tolerance, last)
                                                : SolveBySweeps(model, tolerance, threads, last));
  for (int k = 0; k < spaces.num_classes(); ++k) solved.earned += solved.taken[k] * spaces.fleet().classes[k].reward;
  return solved;
}

}  // namespace

absl::StatusOr<Relaxation> RelaxFleet(const FleetSpaces& spaces, double num_nodes, const RelaxationOptions& options) {
  if (!(num_nodes > 0 && num_nodes <= 1e9)) {
    return InvalidField("number of nodes", fmt::format("{}", num_nodes), "above 0, at most 1e9");
  }
  if (!(options.tolerance > 0 && options.tolerance <= 1)) {
    return InvalidField("tolerance", fmt::format("{}", options.tolerance), "above 0, at most 1");
  }
  if (options.max_cuts < 1) return InvalidField("max_cuts", fmt::format("{}", options.max_cuts), "1 or more");
  const Fleet& fleet = spaces.fleet();
  const int num_classes = spaces.num_classes();
  double offered = 0;
  for (const FleetClass& c : fleet.classes) offered += c.arrival_rate * c.reward;
  const double tolerance = options.tolerance * std::max(offered, 1e-12);

  // Least sum lambda nu + sum share theta_t over theta_t >= earned - taken nu for every policy found so far. At a price
  // of r_k nobody takes class k, so more is never needed.
  LinearProgram planes;
  std::vector<double> prices;
  for (const FleetClass& c : fleet.classes) {
    planes.AddColumn(-c.arrival_rate, 0, c.reward, {});
    prices.push_back(0.3 * c.reward);
  }
  for (const FleetType& type : fleet.types) planes.AddColumn(-type.share, 0, 1e3 * offered + 1e3, {});

  Relaxation best;
  best.bound = std::numeric_limits<double>::infinity();
  std::vector<SolvedType> last;
  for (best.cuts = 1;; ++best.cuts) {
    std::vector<SolvedType> solved;
    double bound = 0;
    for (int k = 0; k < num_classes; ++k) bound += fleet.classes[k].arrival_rate * prices[k];
    for (int t = 0; t < spaces.num_types(); ++t) {
      BERTH_ASSIGN_OR_RETURN(SolvedType type, SolveType(spaces, t, num_nodes, prices, tolerance / 10, options.threads,
                                                        last.empty() ? nullptr : &last[t]));
      bound += fleet.types[t].share * type.gain_upper;
      std::vector<LpEntry> row = {{num_classes + t, 1.0}};
      for (int k = 0; k < num_classes; ++k) row.push_back({k, type.taken[k]});
      planes.AddRow(type.earned, LinearProgram::kInfinity, row);
      solved.push_back(std::move(type));
    }
    if (bound < best.bound) {
      best.bound = bound;
      best.prices = prices;
      best.values.clear();
      best.gains.clear();
      for (const SolvedType& type : solved) {
        best.values.push_back(type.values);
        best.gains.push_back(type.gain_upper);
      }
    }
    last = std::move(solved);
    BERTH_RETURN_IF_ERROR(planes.Solve());
    best.lower = -planes.objective();
    best.is_converged = best.bound - best.lower <= tolerance;
    if (best.is_converged || best.cuts >= options.max_cuts) return best;
    for (int k = 0; k < num_classes; ++k) prices[k] = std::max(0.0, planes.value(k));
  }
}

}  // namespace berth

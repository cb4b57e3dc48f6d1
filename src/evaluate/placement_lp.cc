#include "evaluate/placement_lp.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <set>

#include "base/status.h"
#include "fmt/format.h"
#include "lp/linear_program.h"

namespace berth {
namespace {

constexpr double kGib = static_cast<double>(int64_t{1} << 30);
// Resources in the order of Shape::capacity; extended ones follow.
enum Resource : size_t { kCpus, kMemoryGib, kPodSlots, kFirstExtended };

constexpr size_t kMostShapes = 64;
constexpr double kGap = 1e-8;         // of the bound's size: generation ends
constexpr double kViolation = 1e-6;   // of a refusal row, in shares; above what the solver leaves of a row that it has

double AmountOf(std::span<const ExtendedResource> list, const std::string& name) {
  for (const ExtendedResource& e : list) {
    if (e.name == name) return static_cast<double>(e.amount);
  }
  return 0;
}

// Whether nodes are taken together: cpu and memory within `tolerance` of each other; infinite = whatever they have beside GPUs.
bool HaveOneShape(const Node& a, const Node& b, double tolerance) {
  if (a.gpu_count != b.gpu_count || a.gpu_model != b.gpu_model) return false;
  if (std::isinf(tolerance)) return true;
  const auto are_near = [tolerance](int64_t x, int64_t y) {
    return std::abs(static_cast<double>(x) - static_cast<double>(y)) <= tolerance * static_cast<double>(std::max(x, y));
  };
  return are_near(a.cpu_milli, b.cpu_milli) && are_near(a.mem_bytes, b.mem_bytes) && a.max_pods == b.max_pods && a.extended == b.extended;
}

// The node that has of everything what the richer of both has.
void Enlarge(Node* node, const Node& other) {
  node->cpu_milli = std::max(node->cpu_milli, other.cpu_milli);
  node->mem_bytes = std::max(node->mem_bytes, other.mem_bytes);
  node->max_pods = std::max(node->max_pods, other.max_pods);
  for (const ExtendedResource& e : other.extended) {
    const auto mine = std::find_if(node->extended.begin(), node->extended.end(), [&](const ExtendedResource& m) { return m.name == e.name; });
    if (mine == node->extended.end()) node->extended.push_back(e);
    else mine->amount = std::max(mine->amount, e.amount);
  }
}

bool FitsEmpty(const PodRequest& r, const Node& n) {
  if (r.cpu_milli > n.cpu_milli || r.mem_bytes > n.mem_bytes || r.gpu_count > n.gpu_count || n.max_pods < 1) return false;
  if (r.gpu_count > 0 && !r.gpu_models.empty() && std::find(r.gpu_models.begin(), r.gpu_models.end(), n.gpu_model) == r.gpu_models.end()) return false;
  return std::all_of(r.extended.begin(), r.extended.end(),
                     [&](const ExtendedResource& e) { return static_cast<double>(e.amount) <= AmountOf(n.extended, e.name); });
}

// The best pattern of a device at these slot prices: at most `copies[m]` slots of size sizes[m], `cells` in all.
struct Filling {
  double value = 0;
  std::vector<int> slots;
};

class Knapsack {
 public:
  // Sizes are whole numbers of cells.
  Knapsack(int cells, std::vector<int> sizes) : cells_(cells), sizes_(std::move(sizes)) {}

  Filling Fill(std::span<const double> prices, std::span<const int> copies) {
    const auto width = static_cast<size_t>(cells_) + 1;
    best_.assign(width, 0);
    taken_.clear();
    items_.clear();
    // Copies of one size are items of their own: what is taken of each is read back from the last item to the first.
    for (size_t m = 0; m < sizes_.size(); ++m) {
      if (!(prices[m] > 0)) continue;
      for (int copy = 0; copy < std::min(copies[m], cells_ / sizes_[m]); ++copy) {
        items_.push_back(m);
        taken_.resize(items_.size() * width, 0);
        char* const taken = taken_.data() + (items_.size() - 1) * width;
        const auto size = static_cast<size_t>(sizes_[m]);
        for (size_t cell = width - 1; cell >= size; --cell) {
          const double with = best_[cell - size] + prices[m];
          if (with <= best_[cell]) continue;
          best_[cell] = with;
          taken[cell] = 1;
        }
      }
    }
    Filling filling{best_[width - 1], std::vector<int>(sizes_.size(), 0)};
    size_t cell = width - 1;
    for (size_t i = items_.size(); i-- > 0;) {
      if (!taken_[i * width + cell]) continue;
      ++filling.slots[items_[i]];
      cell -= static_cast<size_t>(sizes_[items_[i]]);
    }
    return filling;
  }

 private:
  int cells_;
  std::vector<int> sizes_;
  std::vector<double> best_;
  std::vector<char> taken_;
  std::vector<size_t> items_;
};

}  // namespace

bool NeedsNoMore(const PodRequest& easy, const PodRequest& hard) {
  if (easy.cpu_milli > hard.cpu_milli || easy.mem_bytes > hard.mem_bytes) return false;
  if (easy.gpu_count > hard.gpu_count || easy.gpu_milli > hard.gpu_milli) return false;
  if (!easy.gpu_models.empty()) {
    if (hard.gpu_models.empty()) return false;
    for (const std::string& model : hard.gpu_models) {
      if (std::find(easy.gpu_models.begin(), easy.gpu_models.end(), model) == easy.gpu_models.end()) return false;
    }
  }
  return std::all_of(easy.extended.begin(), easy.extended.end(),
                     [&](const ExtendedResource& e) { return static_cast<double>(e.amount) <= AmountOf(hard.extended, e.name); });
}

PlacementLp::PlacementLp(std::span<const Node> nodes, std::vector<PodRequest> classes, Relation needs_no_more) {
  std::map<std::string, int64_t> most;
  for (const Node& n : nodes) {
    for (const ExtendedResource& e : n.extended) most[e.name] = std::max({most[e.name], e.amount, int64_t{1}});
  }
  for (const auto& [name, amount] : most) {
    extended_names_.push_back(name);
    extended_units_.push_back(static_cast<double>(amount));
  }
  ReadNodes(nodes);
  ReadClasses(std::move(classes));
  no_harder_.resize(classes_.size());
  for (size_t hard = 0; hard < classes_.size(); ++hard) {
    for (size_t easy = 0; easy < classes_.size(); ++easy) {
      if (easy != hard && needs_no_more(classes_[easy].request, classes_[hard].request)) no_harder_[hard].push_back(static_cast<int>(easy));
    }
  }
}

void PlacementLp::ReadNodes(std::span<const Node> nodes) {
  for (const double tolerance : {0.0, 0.01, 0.03, 0.1, 0.3, LinearProgram::kInfinity}) {
    const size_t most = std::isinf(tolerance) ? nodes.size() : kMostShapes;
    shapes_.clear();
    for (size_t i = 0; i < nodes.size() && shapes_.size() <= most; ++i) AddNode(nodes[i], tolerance);
    if (shapes_.size() <= most) break;
  }
  for (const Node& n : nodes) gpu_capacity_ += n.gpu_count;
}

void PlacementLp::AddNode(const Node& n, double tolerance) {
  std::vector<double> capacity = {static_cast<double>(n.cpu_milli) / 1000, static_cast<double>(n.mem_bytes) / kGib, static_cast<double>(n.max_pods)};
  for (size_t i = 0; i < extended_names_.size(); ++i) capacity.push_back(AmountOf(n.extended, extended_names_[i]) / extended_units_[i]);
  const auto shape = std::find_if(shapes_.begin(), shapes_.end(), [&](const Shape& s) { return HaveOneShape(s.first, n, tolerance); });
  if (shape == shapes_.end()) {
    shapes_.push_back({n, n, std::move(capacity), static_cast<double>(n.gpu_count), {}});
    return;
  }
  Enlarge(&shape->largest, n);
  for (size_t r = 0; r < capacity.size(); ++r) shape->capacity[r] += capacity[r];
  shape->devices += n.gpu_count;
}

void PlacementLp::ReadClasses(std::vector<PodRequest> requests) {
  std::set<int> sizes;
  for (const PodRequest& r : requests) {
    if (r.gpu_count > 0) sizes.insert(r.gpu_milli);
  }
  sizes_.assign(sizes.begin(), sizes.end());
  for (PodRequest& r : requests) {
    Class c;
    if (r.gpu_count > 0) c.size = static_cast<int>(std::lower_bound(sizes_.begin(), sizes_.end(), r.gpu_milli) - sizes_.begin());
    c.gpus = r.gpu_count;
    c.needs = {static_cast<double>(r.cpu_milli) / 1000, static_cast<double>(r.mem_bytes) / kGib, 1};
    for (size_t i = 0; i < extended_names_.size(); ++i) c.needs.push_back(AmountOf(r.extended, extended_names_[i]) / extended_units_[i]);
    for (size_t s = 0; s < shapes_.size(); ++s) {
      if (FitsEmpty(r, shapes_[s].largest)) c.shapes.push_back(static_cast<int>(s));
    }
    c.request = std::move(r);
    classes_.push_back(std::move(c));
  }
}

// Rows and columns of one Solve, in the order of the header's description. Classes without supply are left out.
struct PlacementLp::Program {
  Program(PlacementLp& lp, std::span<const double> supply, std::span<const double> value, const PlacementLpOptions& options);

  absl::Status Generate(bool with_refusal_rows, PlacementBound* bound);
  // The bound at the prices of the last solve; adds a pattern for each shape where one pays.
  double Prove(int* added);
  int AddViolatedRows();
  void AddRefusalRow(int hard, int easy);
  void AddPattern(size_t shape, const std::vector<int>& slots);

  double Price(int row) const { return row < 0 ? 0 : std::max(0.0, program.dual(row)); }

  PlacementLp& lp;
  std::span<const double> supply, value;
  const PlacementLpOptions& options;
  LinearProgram program;
  std::vector<int> class_rows, share_columns;         // of each class; -1 = left out
  std::vector<std::vector<int>> resource_rows;        // of each shape; -1 = nothing limits it
  std::vector<std::vector<int>> slot_rows;            // of each shape and size
  std::vector<int> device_rows;
  std::vector<int> copies;                            // of each size on one device
  Knapsack knapsack;
  std::vector<std::pair<int, int>> refusals;          // (hard, easy)
  std::set<std::pair<int, int>> has_refusal;
  std::vector<int> refusal_rows;
};

namespace {

// The coarsest grid on which a device and all sizes are whole numbers of cells.
int Grid(std::span<const int> sizes) {
  return std::accumulate(sizes.begin(), sizes.end(), kWholeGpuMilli, [](int a, int b) { return std::gcd(a, b); });
}

std::vector<int> InCells(std::span<const int> sizes) {
  std::vector<int> cells(sizes.begin(), sizes.end());
  for (int& c : cells) c /= Grid(sizes);
  return cells;
}

}  // namespace

PlacementLp::Program::Program(PlacementLp& owner, std::span<const double> s, std::span<const double> v, const PlacementLpOptions& o)
    : lp(owner), supply(s), value(v), options(o), class_rows(lp.classes_.size(), -1), share_columns(lp.classes_.size(), -1),
      knapsack(kWholeGpuMilli / Grid(lp.sizes_), InCells(lp.sizes_)) {
  const size_t sizes = lp.sizes_.size(), resources = kFirstExtended + lp.extended_names_.size();
  std::vector<double> pods_of_size(sizes, 0), asked(resources, 0);
  for (size_t k = 0; k < lp.classes_.size(); ++k) {
    if (!(supply[k] > 0)) continue;
    class_rows[k] = program.AddRow(-LinearProgram::kInfinity, 0);
    for (size_t r = 0; r < resources; ++r) asked[r] += supply[k] * lp.classes_[k].needs[r];
    if (lp.classes_[k].size >= 0) pods_of_size[static_cast<size_t>(lp.classes_[k].size)] += supply[k];
  }
  for (size_t m = 0; m < sizes; ++m) {
    copies.push_back(options.limit_copies ? static_cast<int>(std::min(std::ceil(pods_of_size[m]), double{kWholeGpuMilli})) : kWholeGpuMilli);
  }
  for (const Shape& shape : lp.shapes_) {
    auto& of_resource = resource_rows.emplace_back();
    for (size_t r = 0; r < resources; ++r) {
      of_resource.push_back(asked[r] <= shape.capacity[r] ? -1 : program.AddRow(-LinearProgram::kInfinity, shape.capacity[r]));
    }
    auto& of_size = slot_rows.emplace_back();
    for (size_t m = 0; shape.devices > 0 && m < sizes; ++m) of_size.push_back(program.AddRow(-LinearProgram::kInfinity, 0));
    device_rows.push_back(program.AddRow(-LinearProgram::kInfinity, shape.devices));
  }
  std::vector<LpEntry> entries;
  for (size_t k = 0; k < lp.classes_.size(); ++k) {
    if (class_rows[k] < 0) continue;
    const Class& c = lp.classes_[k];
    share_columns[k] = program.AddColumn(value[k] * supply[k], 0, 1, std::vector<LpEntry>{{class_rows[k], supply[k]}});
    for (const int shape : c.shapes) {
      const auto at = static_cast<size_t>(shape);
      entries = {{class_rows[k], -1}};
      for (size_t r = 0; r < resources; ++r) {
        if (c.needs[r] > 0 && resource_rows[at][r] >= 0) entries.push_back({resource_rows[at][r], c.needs[r]});
      }
      if (c.size >= 0) entries.push_back({slot_rows[at][static_cast<size_t>(c.size)], c.gpus});
      program.AddColumn(0, 0, LinearProgram::kInfinity, entries);
    }
  }
  for (size_t shape = 0; shape < lp.shapes_.size(); ++shape) {
    auto& patterns = lp.shapes_[shape].patterns;
    if (patterns.empty() && lp.shapes_[shape].devices > 0) {
      for (size_t m = 0; m < sizes; ++m) {
        patterns.emplace_back(sizes, 0);
        patterns.back()[m] = kWholeGpuMilli / lp.sizes_[m];
      }
    }
    for (const auto& slots : patterns) AddPattern(shape, slots);
  }
}

void PlacementLp::Program::AddPattern(size_t shape, const std::vector<int>& slots) {
  std::vector<LpEntry> entries{{device_rows[shape], 1}};
  for (size_t m = 0; m < slots.size(); ++m) {
    // A pattern of another supply is cut to this one's copies.
    const int count = std::min(slots[m], copies[m]);
    if (count > 0) entries.push_back({slot_rows[shape][m], -static_cast<double>(count)});
  }
  if (entries.size() > 1) program.AddColumn(0, 0, LinearProgram::kInfinity, entries);
}

double PlacementLp::Program::Prove(int* added) {
  *added = 0;
  double bound = 0;
  std::vector<double> class_price(lp.classes_.size(), 0);
  for (size_t k = 0; k < lp.classes_.size(); ++k) {
    if (class_rows[k] >= 0) class_price[k] = Price(class_rows[k]);
  }
  const auto cost_on = [&](const Class& c, size_t shape) {
    double cost = 0;
    for (size_t r = 0; r < c.needs.size(); ++r) cost += Price(resource_rows[shape][r]) * c.needs[r];
    return cost;
  };
  std::vector<std::vector<double>> slot_price(lp.shapes_.size(), std::vector<double>(lp.sizes_.size(), 0));
  for (size_t k = 0; k < lp.classes_.size(); ++k) {
    if (class_rows[k] < 0) continue;
    const Class& c = lp.classes_[k];
    for (const int shape : c.shapes) {
      const auto at = static_cast<size_t>(shape);
      if (c.size < 0) {
        // Without devices nothing else bounds the number placed: the class may not be worth more than what it takes.
        class_price[k] = std::min(class_price[k], cost_on(c, at));
        continue;
      }
      double& price = slot_price[at][static_cast<size_t>(c.size)];
      price = std::max(price, (class_price[k] - cost_on(c, at)) / c.gpus);
    }
  }
  for (size_t shape = 0; shape < lp.shapes_.size(); ++shape) {
    const Shape& s = lp.shapes_[shape];
    for (size_t r = 0; r < s.capacity.size(); ++r) {
      const double price = Price(resource_rows[shape][r]);
      if (price > 0) bound += price * s.capacity[r];
    }
    if (s.devices <= 0) continue;
    const Filling filling = knapsack.Fill(slot_price[shape], copies);
    bound += s.devices * filling.value;
    if (filling.value <= program.dual(device_rows[shape]) + 1e-9) continue;
    auto& patterns = lp.shapes_[shape].patterns;
    if (std::find(patterns.begin(), patterns.end(), filling.slots) != patterns.end()) continue;   // it pays by rounding alone
    patterns.push_back(filling.slots);
    AddPattern(shape, filling.slots);
    ++*added;
  }
  std::vector<double> worth(lp.classes_.size(), 0);
  for (size_t k = 0; k < lp.classes_.size(); ++k) worth[k] = (value[k] - class_price[k]) * supply[k];
  for (size_t i = 0; i < refusals.size(); ++i) {
    const double price = Price(refusal_rows[i]);
    worth[static_cast<size_t>(refusals[i].first)] -= price;
    worth[static_cast<size_t>(refusals[i].second)] += price;
  }
  for (size_t k = 0; k < lp.classes_.size(); ++k) {
    if (class_rows[k] >= 0) bound += std::max(0.0, worth[k]);
  }
  return bound;
}

void PlacementLp::Program::AddRefusalRow(int hard, int easy) {
  const int columns[] = {share_columns[static_cast<size_t>(hard)], share_columns[static_cast<size_t>(easy)]};
  if (columns[0] < 0 || columns[1] < 0) return;
  refusals.emplace_back(hard, easy);
  has_refusal.emplace(hard, easy);
  refusal_rows.push_back(program.AddRow(-LinearProgram::kInfinity, 0, std::vector<LpEntry>{{columns[0], 1}, {columns[1], -1}}));
}

// The most violated row of each class.
int PlacementLp::Program::AddViolatedRows() {
  std::vector<std::pair<int, int>> violated;
  for (size_t hard = 0; hard < lp.classes_.size(); ++hard) {
    if (share_columns[hard] < 0) continue;
    double least = program.value(share_columns[hard]) - kViolation;
    int worst = -1;
    for (const int easy : lp.no_harder_[hard]) {
      const int column = share_columns[static_cast<size_t>(easy)];
      if (column < 0 || program.value(column) >= least) continue;
      least = program.value(column);
      worst = easy;
    }
    const std::pair row(static_cast<int>(hard), worst);
    if (worst >= 0 && !has_refusal.contains(row)) violated.push_back(row);
  }
  for (const auto& [hard, easy] : violated) {
    AddRefusalRow(hard, easy);
    lp.rows_.emplace_back(hard, easy);
  }
  return static_cast<int>(violated.size());
}

absl::Status PlacementLp::Program::Generate(bool with_refusal_rows, PlacementBound* bound) {
  for (int round = 0; round < options.max_rounds; ++round) {
    const absl::Status solved = program.Solve();
    if (!solved.ok()) {
      // What was proven before stays proven.
      return bound->rounds > 0 ? absl::OkStatus() : absl::InternalError(fmt::format("the bound's linear program: {}", MessageOf(solved)));
    }
    ++bound->rounds;
    bound->lp_objective = program.objective();
    for (size_t k = 0; k < share_columns.size(); ++k) {
      if (share_columns[k] >= 0) bound->placed[k] = program.value(share_columns[k]);
    }
    int patterns = 0;
    const double proven = Prove(&patterns);
    bound->value = std::min(bound->value, proven);
    if (patterns > 0 && proven - bound->lp_objective > kGap * std::max(1.0, std::abs(proven))) continue;
    // Rows only after the columns: the simplex method then starts from a basis that is optimal but for them.
    const bool is_complete = !with_refusal_rows || AddViolatedRows() == 0;
    bound->refusal_rows = static_cast<int>(refusals.size());
    if (is_complete) break;
  }
  return absl::OkStatus();
}

absl::StatusOr<PlacementBounds> PlacementLp::Solve(std::span<const double> supply, std::span<const double> value, const PlacementLpOptions& options) {
  for (const auto& [name, list] : {std::pair{"supply", supply}, std::pair{"value", value}}) {
    if (list.size() != classes_.size()) return InvalidField(name, fmt::format("{} entries", list.size()), fmt::format("{}, one a class", classes_.size()));
    for (const double x : list) {
      if (!std::isfinite(x) || x < 0) return InvalidField(name, fmt::format("{}", x), "0 or more");
    }
  }
  double everything = 0;
  for (size_t k = 0; k < classes_.size(); ++k) everything += supply[k] * value[k];
  PlacementBounds bounds;
  bounds.may_refuse.value = everything;
  bounds.may_refuse.placed.assign(classes_.size(), 0);
  Program program(*this, supply, value, options);
  BERTH_RETURN_IF_ERROR(program.Generate(false, &bounds.may_refuse));
  bounds.no_refusal = bounds.may_refuse;
  if (options.may_refuse_only) return bounds;
  bounds.no_refusal.rounds = 0;
  for (const auto& [hard, easy] : rows_) program.AddRefusalRow(hard, easy);
  BERTH_RETURN_IF_ERROR(program.Generate(true, &bounds.no_refusal));
  return bounds;
}

}  // namespace berth

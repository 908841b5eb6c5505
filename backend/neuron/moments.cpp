// Count, mean and spread of a row in a few instructions: bn_stats, 512 elements at a time, gives the states of those at even and at odd places, bn_aggr
// the mean and variance of all states. `full` alone has them.
//
// Two ask for them: a reducer of the text that combines such states, however it is written, with its loop bound to `free`; and bn_spread of
// stdlib/machine/neuron.hd, by `replace`.
#include <array>
#include <cmath>

#include "backend/neuron/lowering.h"

namespace heddle::neuron {

using namespace ir;

namespace {

constexpr int64_t bn_stats_elements = 512;

// Numbers modulo a large prime: two formulas of a few operations that agree on random ones are the same but by a chance below 2^-100.
constexpr uint64_t prime = (uint64_t{1} << 31) - 1;
constexpr int trials = 8;

uint64_t power(uint64_t x, uint64_t n) {
  uint64_t out = 1;
  for (; n; n /= 2, x = x * x % prime)
    if (n % 2) out = out * x % prime;
  return out;
}
uint64_t inverse(uint64_t x) { return power(x, prime - 2); }

struct Residue {
  uint64_t value = 0;
  bool positive = false;  // a count, or a sum or product of counts
};

Residue residue_of(double x) {
  int exponent = 0;
  const double mantissa = std::frexp(std::fabs(x), &exponent);
  uint64_t r = static_cast<uint64_t>(std::ldexp(mantissa, 53)) % prime;
  exponent -= 53;
  const uint64_t two = power(2, static_cast<uint64_t>(std::abs(exponent)));
  r = r * (exponent < 0 ? inverse(two) : two) % prime;
  return {x < 0 && r ? prime - r : r, x > 0};
}

// The combine block of a reducer, computed with residues. What it cannot follow is none: other functions, conditions on anything but whether a count is 0.
class Combination {
 public:
  using State = std::array<Residue, 3>;
  Combination(const Reducer& r, const State& a, const State& b) : sides_{a, b, {}} {
    for (const ReducerLine& line : r.combine) {
      std::optional<Residue> v = line.axes.empty() ? value(line.value) : std::nullopt;
      if (!v) return;
      if (line.field >= 0) sides_[2][line.field] = *v;
      else locals_[line.local.value] = *v;
    }
    known_ = true;
  }
  bool known() const { return known_; }
  const State& result() const { return sides_[2]; }

 private:
  std::optional<Residue> value(const Expr& e) {
    if (e.type() != ScalarType::f32) return std::nullopt;
    if (const Constant* c = e.as<Constant>(); c && std::isfinite(c->real)) return residue_of(c->real);
    if (const StateField* f = e.as<StateField>(); f && f->subs.empty() && f->side < 3) return sides_[f->side][f->field];
    if (const Var* v = e.as<Var>()) {
      auto known = locals_.find(v->symbol.value);
      return known == locals_.end() ? std::nullopt : std::optional(known->second);
    }
    if (const Unary* u = e.as<Unary>(); u && u->op == UnaryOp::negate) {
      std::optional<Residue> v = value(u->value);
      return v ? std::optional(Residue{(prime - v->value) % prime}) : std::nullopt;
    }
    if (const Select* s = e.as<Select>()) {
      std::optional<bool> holds = truth(s->condition);
      return holds ? value(*holds ? s->yes : s->no) : std::nullopt;
    }
    const Binary* b = e.as<Binary>();
    if (!b) return std::nullopt;
    std::optional<Residue> l = value(b->left), r = value(b->right);
    if (!l || !r) return std::nullopt;
    const bool positive = l->positive && r->positive;
    switch (b->op) {
      case BinaryOp::add: return Residue{(l->value + r->value) % prime, positive};
      case BinaryOp::sub: return Residue{(l->value + prime - r->value) % prime};
      case BinaryOp::mul: return Residue{l->value * r->value % prime, positive};
      case BinaryOp::div:
        return r->value ? std::optional(Residue{l->value * inverse(r->value) % prime, positive}) : std::nullopt;
      default: return std::nullopt;
    }
  }
  std::optional<bool> truth(const Expr& e) {
    const Binary* b = e.as<Binary>();
    if (!b) return std::nullopt;
    auto zero = [](const Expr& x) {
      const Constant* c = x.as<Constant>();
      return c && is_float(x.type()) && c->real == 0;
    };
    auto greater = [&](const Expr& x) {
      std::optional<Residue> v = value(x);
      return v && v->positive;
    };
    const bool left = greater(b->left) && zero(b->right), right = zero(b->left) && greater(b->right);
    if (!left && !right) return std::nullopt;
    switch (b->op) {
      case BinaryOp::eq: return false;
      case BinaryOp::ne: return true;
      case BinaryOp::gt:
      case BinaryOp::ge: return left;
      case BinaryOp::lt:
      case BinaryOp::le: return right;
      default: return std::nullopt;
    }
  }

  std::array<State, 3> sides_;
  std::map<uint32_t, Residue> locals_;
  bool known_ = false;
};

// Whether states (n, mean, m2) of two groups of numbers become that of all of them, by whatever formula.
bool combines_moments(const Reducer& r, size_t n, size_t mean, size_t m2) {
  uint64_t seed = 1;
  auto random = [&] { return seed = power(seed + 7, 16807), 1 + seed % (prime - 1); };
  for (int trial = 0; trial < trials; ++trial) {
    Combination::State a, b;
    for (Combination::State* s : {&a, &b})
      for (size_t f = 0; f < 3; ++f) (*s)[f] = {random(), f == n};
    const uint64_t all = (a[n].value + b[n].value) % prime;
    if (!all) continue;
    const uint64_t apart = (b[mean].value + prime - a[mean].value) % prime, part = b[n].value * inverse(all) % prime;
    Combination made(r, a, b);
    if (!made.known() || made.result()[n].value != all ||
        made.result()[mean].value != (a[mean].value + apart * part) % prime ||
        made.result()[m2].value !=
            (a[m2].value + b[m2].value + apart * apart % prime * (a[n].value * part % prime)) % prime)
      return false;
  }
  return true;
}

bool is_number(const Expr& e, double x) {
  const Expr v = simplify(e);
  const Constant* c = v.as<Constant>();
  return c && is_float(v.type()) && c->real == x;
}

}  // namespace

// Mean and variance of each row of a tile in SBUF, side by side in one tile.
View Lowering::row_moments(const View& data, const Expr& np) {
  const Expr n = data.axes[1].count, pieces = simple(ceildiv(n, index_constant(bn_stats_elements)));
  const int64_t most = (bound_of(n) + bn_stats_elements - 1) / bn_stats_elements;
  View stats = whole(temporary("stats", ScalarType::f32, Space::sbuf, bound_of(np), 6 * most), np, index_constant(6));
  auto piece = [&](const Expr& at, const Expr& count) {
    View part = data, there = stats;
    part.axes[1].start = simple(data.axes[1].start + at * (bn_stats_elements * data.axes[1].step));
    part.axes[1].count = count;
    there.axes[1].start = simple(at * 6);
    emit("bn_stats", {{"dst", there}, {"data", part}});
  };
  if (most <= 1) {
    piece(index_constant(0), n);
  } else {
    SymbolId t = new_symbol("t");
    push_loop(t, index_constant(0), pieces,
              [&] { piece(var(t), counted(min(index_constant(bn_stats_elements), n - var(t) * bn_stats_elements))); });
  }
  // A last piece of one element has none at an odd place: the mean of none is not documented.
  stats.axes[1].count = counted(simple(min(pieces * 6, (n - (pieces - 1) * (bn_stats_elements - 2)) * 3)));
  View moments = whole(temporary("moments", ScalarType::f32, Space::sbuf, bound_of(np), 2), np, index_constant(2));
  emit("bn_aggr", {{"dst", moments}, {"data", stats}});
  return moments;
}

// The state of a row by bn_stats, where `r` combines counts, means and spreads and the elements are single numbers; none where they are not.
std::optional<std::vector<Value>> Lowering::moments_of(const Reducer& r, const Leaf& l, const std::vector<Expr>& values,
                                                       const Axes& axes) {
  if (basic() || !p_.allow.reassociate || !r.commutes || r.fields.size() != 3 || values.size() != 3 ||
      (!engine_.empty() && engine_ != "vector"))
    return std::nullopt;
  std::optional<size_t> n, mean, m2;
  for (size_t f = 0; f < 3; ++f) {
    if (r.fields[f].type != ScalarType::f32 || !r.fields[f].extents.empty() || !l.assigns[f].over.empty())
      return std::nullopt;
    if (is_number(values[f], 1) && !n) n = f;
    else if (is_number(values[f], 0) && !m2) m2 = f;
    else mean = f;
  }
  std::vector<double> begin;
  if (!n || !mean || !m2 || !identities(r, begin) || begin[*n] != 0 || begin[*m2] != 0 ||
      !combines_moments(r, *n, *mean, *m2))
    return std::nullopt;
  Value v = in_sbuf(spread(eval(values[*mean], axes), axes, axes.partition.has_value(), true), axes);
  if (!failure_.empty()) return std::nullopt;
  const View both = row_moments(v.view, v.view.axes[0].count);
  const Expr count = axes.frees();
  Value column;
  column.over_partition = axes.partition.has_value();
  column.view = both;
  column.view.axes[1].count = index_constant(1);
  Axes row = axes;
  row.free.reset();
  std::vector<Value> out(3);
  out[*n] = eval_index(count, {});
  out[*mean] = out[*m2] = column;
  out[*m2].view.axes[1].start = index_constant(1);
  out[*m2] = arith("multiply", out[*m2], out[*n], row, nullptr);
  out[*m2].temporary = false;
  return out;
}

// spread[i] sum= (data[i, j] - from[i]) * (data[i, j] - from[i]): n times the variance and the square of the mean's distance.
void Lowering::summed_spread(const std::vector<View>& views) {
  const Expr columns = views[1].axes[1].count, one = index_constant(1);
  View off = beside(views, "off", basic() ? columns : one);
  if (basic()) {
    View part = beside(views, "part", one);
    emit("tensor_scalar", {{"dst", off}, {"data", views[1]}, {"op0", "nl.subtract"}, {"operand0", views[2]}});
    emit("tensor_tensor", {{"dst", off}, {"data1", off}, {"data2", off}, {"op", "nl.multiply"}});
    emit("tensor_reduce", {{"dst", part}, {"op", "nl.add"}, {"data", off}, {"axis", "1"}});
    emit("tensor_tensor", {{"dst", views[0]}, {"data1", views[0]}, {"data2", part}, {"op", "nl.add"}});
    return;
  }
  View mean = row_moments(views[1], views[1].axes[0].count), variance = mean;
  mean.axes[1].count = variance.axes[1].count = one;
  variance.axes[1].start = one;
  index_texts_.push_back(counted(columns));
  const std::string n = "@" + std::to_string(index_texts_.size() - 1) + "@";
  emit("tensor_tensor", {{"dst", off}, {"data1", mean}, {"data2", views[2]}, {"op", "nl.subtract"}});
  emit("scalar_tensor_tensor", {{"dst", off},
                                {"data", off},
                                {"op0", "nl.multiply"},
                                {"operand0", off},
                                {"op1", "nl.add"},
                                {"operand1", variance}});
  emit("scalar_tensor_tensor", {{"dst", views[0]},
                                {"data", off},
                                {"op0", "nl.multiply"},
                                {"operand0", n},
                                {"op1", "nl.add"},
                                {"operand1", views[0]}});
}

}  // namespace heddle::neuron

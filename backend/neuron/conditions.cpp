// Conditions as engine operations, and what they choose between: by cutting the tile where they speak of loops, else by the truth of each
// element as 1 or 0.
#include "backend/neuron/lowering.h"

#include <cmath>

namespace heddle::neuron {

using namespace ir;

Value Lowering::finite(Value v, const Axes& axes) {
  if (v.scalar) return v;
  v = scaled(v, "minimum", number_text(INFINITY), axes);
  return scaled(v, "maximum", number_text(-INFINITY), axes);
}

// 1 where the comparison holds, else 0. `basic` has no comparisons: differences are cut to 0 .. 1, those of reals after they are scaled so far
// that the least f32 reaches 1.
Value Lowering::compare(BinaryOp op, Value a, Value b, const Axes& axes, bool whole_numbers) {
  if (!basic()) return arith(alu_name(op), a, b, axes, nullptr);
  if (!whole_numbers && !a.scalar && !b.scalar) a = finite(a, axes), b = finite(b, axes);  // inf - inf is no number
  auto positive = [&](Value d) {                                                           // 1 where d > 0
    if (!whole_numbers) {
      d = scaled(d, "maximum", "0.0", axes);
      d = scaled(d, "multiply", number_text(std::ldexp(1.0, 100)), axes);
      d = scaled(d, "minimum", "1.0", axes);
      d = scaled(d, "multiply", number_text(std::ldexp(1.0, 100)), axes);
      return scaled(d, "minimum", "1.0", axes);
    }
    d = scaled(d, "maximum", "0.0", axes);
    return scaled(d, "minimum", "1.0", axes);
  };
  auto not_of = [&](Value v) {
    v = scaled(v, "multiply", "-1.0", axes);
    return scaled(v, "add", "1.0", axes);
  };
  switch (op) {
    case BinaryOp::lt: return positive(arith("subtract", b, a, axes, nullptr));
    case BinaryOp::gt: return positive(arith("subtract", a, b, axes, nullptr));
    case BinaryOp::le: return not_of(positive(arith("subtract", a, b, axes, nullptr)));
    case BinaryOp::ge: return not_of(positive(arith("subtract", b, a, axes, nullptr)));
    default: {
      Value d = arith("subtract", a, b, axes, nullptr);
      Value d2 = d;
      d2.temporary = false;
      Value minus = scaled(d2, "multiply", "-1.0", axes);
      Value size = arith("maximum", minus, d, axes, nullptr);
      Value differs = positive(size);
      return op == BinaryOp::ne ? differs : not_of(differs);
    }
  }
}

// The truth of a condition as 1 or 0 for each element.
Value Lowering::truth(const Expr& e, const Axes& axes) {
  if (const Var* v = e.as<Var>(); v && state_)
    if (auto known = state_->locals.find(v->symbol.value); known != state_->locals.end()) return known->second;
  if (const int64_t* c = constant_value(e)) return number(static_cast<double>(*c));
  if (const Binary* b = e.as<Binary>()) {
    if (b->op == BinaryOp::logical_and)
      return arith("multiply", truth(b->left, axes), truth(b->right, axes), axes, nullptr);
    if (b->op == BinaryOp::logical_or)
      return arith("maximum", truth(b->left, axes), truth(b->right, axes), axes, nullptr);
    if (b->op >= BinaryOp::eq && b->op <= BinaryOp::ge) {
      if (b->left.type() == ScalarType::index && mentions_load(e)) {
        auto side = [&](const Expr& x) { return mentions_load(x) ? index_of_data(x, axes, 0) : eval_index(x, axes); };
        Value left = side(b->left), right = side(b->right);
        return compare(b->op, left, right, axes, true);
      }
      if (b->left.type() == ScalarType::index) {
        Expr d = simplify(b->left - b->right);
        if (const int64_t* c = constant_value(d)) {
          bool holds = b->op == BinaryOp::eq   ? *c == 0
                       : b->op == BinaryOp::ne ? *c != 0
                       : b->op == BinaryOp::lt ? *c < 0
                       : b->op == BinaryOp::le ? *c <= 0
                       : b->op == BinaryOp::gt ? *c > 0
                                               : *c >= 0;
          return number(holds);
        }
        Value v = eval_index(d, axes);
        if (v.scalar) {  // Python's numbers: cut to 0 .. 1
          v = spread(v, axes, axes.partition.has_value(), false);
        }
        return compare(b->op, v, number(0), axes, true);
      }
      if (is_float(b->left.type())) return compare(b->op, eval(b->left, axes), eval(b->right, axes), axes, false);
      // In f32, which keeps an order against numbers below 2^24.
      auto small = [&](const Expr& x) {
        const Constant* c = x.as<Constant>();
        return c ? c->integer > -(1 << 24) && c->integer < (1 << 24) : exact_integer(x);
      };
      if (!small(b->left) && !small(b->right))
        fail(codes::no_integers,
             "`" + ir::print(k_.program, e) + "` compares integers that the engines would round above 2^24",
             "convert to a float first where the numbers stay below 2^24");
      const bool before = picking_;
      picking_ = true;
      Value left = eval(b->left, axes), right = eval(b->right, axes);
      picking_ = before;
      left.small = right.small = true;
      return compare(b->op, left, right, axes, true);
    }
  }
  if (const Unary* u = e.as<Unary>(); u && u->op == UnaryOp::logical_not) {
    Value v = truth(u->value, axes);
    if (v.number) return number(*v.number == 0);
    v = scaled(v, "multiply", "-1.0", axes);
    return scaled(v, "add", "1.0", axes);
  }
  fail(codes::no_form, "the condition `" + ir::print(k_.program, e) + "` has no NKI text yet");
  return number(0);
}

// A condition on one loop, or on none that runs over the tile: each arm is computed where it holds, and only there.
std::optional<Value> Lowering::choose_by_range(const Expr& condition, const Expr& yes, const Expr& no, const Axes& axes,
                                               const Destination* to, ScalarType type) {
  const Binary* b = condition.as<Binary>();
  if (!b || b->left.type() != ScalarType::index || b->op < BinaryOp::lt || b->op > BinaryOp::ge ||
      mentions_load(condition))
    return std::nullopt;
  static constexpr BinaryOp opposite[] = {BinaryOp::ge, BinaryOp::gt, BinaryOp::le, BinaryOp::lt};
  Expr other = binary(opposite[static_cast<int>(b->op) - static_cast<int>(BinaryOp::lt)], b->left, b->right);
  struct Part {
    Axes axes;
    std::vector<Expr> outer;
    const Expr* arm;
  };
  std::vector<Part> parts;
  for (auto [holds, arm] : {std::pair{condition, &yes}, std::pair{other, &no}}) {
    Part part{axes, {}, arm};
    std::vector<BoundLoop*> loops;
    if (part.axes.partition) loops.push_back(&*part.axes.partition);
    if (part.axes.free) loops.push_back(&*part.axes.free);
    std::vector<Expr> mask;
    Facts before = facts_;
    for (BoundLoop* l : loops) facts_.add_range(l->loop, l->lo, l->hi);
    cut({holds}, loops, part.outer, mask);
    facts_ = before;
    if (!mask.empty()) return std::nullopt;
    bool nothing = false;
    for (BoundLoop* l : loops) {
      std::optional<int64_t> c = constant_of(simple(l->count()));
      nothing |= c && *c <= 0;
      if (!prove(facts_, less_equal(index_constant(1), l->count())))
        part.outer.push_back(less(index_constant(0), l->count()));
    }
    if (!nothing) parts.push_back(part);
  }
  Value v;
  bool direct = to != nullptr;
  v.type = direct ? to->type : type;
  v.over_partition = axes.partition.has_value();
  v.over_free = axes.free.has_value();
  v.temporary = !direct;
  v.view = direct ? to->view : space_for(axes, v.over_partition, v.over_free, type, nullptr, {});
  for (Part& part : parts)
    guarded(part.outer, [&] {
      Destination there{v.view, v.type};
      if (axes.partition)
        there.view.axes[0] = {simple(v.view.axes[0].start + (part.axes.partition->lo - axes.partition->lo)),
                              counted(part.axes.partition->count())};
      if (axes.free)
        there.view.axes[1] = {simple(v.view.axes[1].start + (part.axes.free->lo - axes.free->lo) * v.view.axes[1].step),
                              counted(part.axes.free->count()), v.view.axes[1].step};
      std::vector<Loaded> before = std::move(loaded_);
      loaded_.clear();  // what is loaded for a part covers that part alone
      Value arm = eval(*part.arm, part.axes, &there);
      copy_into(there.view, arm, part.axes);
      loaded_ = std::move(before);
    });
  return v;
}

// An order of one number of each partition and column against another, affine in both: one instruction of GpSimd, which copies where it holds.
std::optional<Value> Lowering::choose_affine(const Expr& condition, const Expr& yes, const Expr& no, const Axes& axes,
                                             const Destination* to, ScalarType type) {
  const Binary* b = condition.as<Binary>();
  const Constant* other = no.as<Constant>();
  if (basic() || !engine_.empty() || !b || !other || !is_float(no.type()) || !axes.partition || !axes.free ||
      b->left.type() != ScalarType::index || b->op < BinaryOp::eq || b->op > BinaryOp::ge || mentions_load(condition))
    return std::nullopt;
  AffineIn p = affine_in(simplify(b->left - b->right), axes.partition->loop);
  AffineIn f = p.ok ? affine_in(p.rest, axes.free->loop) : p;
  if (!f.ok) return std::nullopt;
  Value v = eval(yes, axes);
  if (v.scalar) return std::nullopt;
  v = in_sbuf(spread(v, axes, true, true), axes);
  Value base = eval_index(simple(f.rest + axes.partition->lo * p.coefficient + axes.free->lo * f.coefficient), {});
  index_texts_.push_back(counted(axes.free->count()));
  const std::string columns = "@" + std::to_string(index_texts_.size() - 1) + "@";
  const bool direct = to && k_.tiles[to->view.tile].space == Space::sbuf;
  Value out = v;
  out.view = space_for(axes, true, true, type, direct ? to : nullptr, {});
  out.type = direct ? to->type : type;
  out.temporary = !direct;
  emit("affine_select", {{"dst", out.view},
                         {"pattern", "[[" + std::to_string(f.coefficient) + ", " + columns + "]]"},
                         {"channel_multiplier", std::to_string(p.coefficient)},
                         {"on_true_tile", v.view},
                         {"on_false_value", number_text(other->real)},
                         {"cmp_op", std::string("nl.") + alu_name(b->op)},
                         {"offset", base.number ? std::to_string(static_cast<int64_t>(*base.number)) : base.text}});
  return out;
}

Value Lowering::choose(const Expr& condition, const Expr& yes, const Expr& no, const Axes& axes, const Destination* to,
                       ScalarType type) {
  Facts here = facts_;
  for (const BoundLoop* b : {axes.partition ? &*axes.partition : nullptr, axes.free ? &*axes.free : nullptr})
    if (b) here.add_range(b->loop, b->lo, b->hi);
  if (prove(here, condition)) return eval(yes, axes, to);
  if (const Binary* b = condition.as<Binary>();
      b && b->op >= BinaryOp::eq && b->op <= BinaryOp::ge && b->left.type() == ScalarType::index) {
    static constexpr BinaryOp opposite[] = {BinaryOp::ne, BinaryOp::eq, BinaryOp::ge,
                                            BinaryOp::gt, BinaryOp::le, BinaryOp::lt};
    if (prove(here, binary(opposite[static_cast<int>(b->op) - static_cast<int>(BinaryOp::eq)], b->left, b->right)))
      return eval(no, axes, to);
  }
  // One condition after the other, so that each arm is computed where it holds: elsewhere what it reads may not be there.
  const std::function<bool(const Expr&)> order = [&](const Expr& e) {
    const Binary* c = e.as<Binary>();
    if (c && (c->op == BinaryOp::logical_and || c->op == BinaryOp::logical_or))
      return order(c->left) || order(c->right);
    return c && c->left.type() == ScalarType::index && c->op >= BinaryOp::lt && c->op <= BinaryOp::ge &&
           !mentions_load(e);
  };
  if (const Binary* b = condition.as<Binary>();
      b && (b->op == BinaryOp::logical_and || b->op == BinaryOp::logical_or) && (order(b->left) || order(b->right))) {
    const Expr& first = order(b->left) ? b->left : b->right;
    const Expr& second = order(b->left) ? b->right : b->left;
    if (b->op == BinaryOp::logical_and) return choose(first, ir::select(second, yes, no), no, axes, to, type);
    return choose(first, yes, ir::select(second, yes, no), axes, to, type);
  }
  if (std::optional<Value> v = choose_by_range(condition, yes, no, axes, to, type)) return *v;
  if (std::optional<Value> v = choose_affine(condition, yes, no, axes, to, type)) return *v;
  Value m = truth(condition, axes);
  if (m.number) return eval(*m.number != 0 ? yes : no, axes, to);
  // In `basic` both arms count: where one is not taken it divides by 1, as 0 times what a division by 0 gives may be no number.
  auto divides_by_one = [&](const Expr& arm, bool where) {
    return rewrite(arm, [&](const Expr& part) -> Expr {
      const Binary* d = part.as<Binary>();
      if (!d || d->op != BinaryOp::div || !is_float(part.type()) || d->right.as<Constant>()) return part;
      Expr one = real_constant(part.type(), 1);
      return binary(BinaryOp::div, d->left,
                    where ? select(condition, d->right, one) : select(condition, one, d->right));
    });
  };
  Value a = eval(basic() ? divides_by_one(yes, true) : yes, axes),
        b = eval(basic() ? divides_by_one(no, false) : no, axes);
  auto constant = [](const Value& v, double x) { return v.scalar && v.number && *v.number == x; };
  if (!basic() && !a.scalar) {
    // Where the condition holds the one is copied over the other: nothing of the other arm is computed with.
    Value out =
        b.scalar ? spread(b, axes, true, true) : spread(b, axes, axes.partition.has_value(), axes.free.has_value());
    if (!out.temporary || out.type != ScalarType::f32) {
      Value copy = out;
      copy.view = space_for(axes, out.over_partition, out.over_free, ScalarType::f32, nullptr, {});
      copy.type = ScalarType::f32;
      copy.temporary = true;
      emit_engine("tensor_copy", {{"dst", copy.view}, {"src", out.view}});
      out = copy;
    }
    a = spread(converted(a, ScalarType::f32, axes), axes, out.over_partition, out.over_free);
    m = spread(m, axes, out.over_partition, out.over_free);
    Value mask = m;
    mask.view = space_for(axes, m.over_partition, m.over_free, ScalarType::u8, nullptr, {});
    emit_engine("tensor_copy", {{"dst", mask.view}, {"src", m.view}});
    emit_engine("tensor_copy_predicated", {{"dst", out.view}, {"src", a.view}, {"predicate", mask.view}});
    return out;
  }
  // c*yes + (1 - c)*no; both arms are cut to what is finite, so that the one not taken cannot disturb.
  Value keep = m;
  keep.temporary = false;
  if (constant(b, 0)) return arith("multiply", finite(a, axes), m, axes, to, type);
  Value first = constant(a, 0) ? number(0) : arith("multiply", finite(a, axes), keep, axes, nullptr);
  Value rest = scaled(keep, "multiply", "-1.0", axes);
  rest = scaled(rest, "add", "1.0", axes);
  Value second = arith("multiply", finite(b, axes), rest, axes, nullptr);
  if (constant(first, 0)) return second;
  return arith("add", first, second, axes, to, type);
}

}  // namespace heddle::neuron

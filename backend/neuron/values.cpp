// Expressions as engine operations, one for each node. A value that lacks an axis is kept small: a column is the operand of
// tensor_scalar, what Python can compute stays text.
#include "backend/neuron/lowering.h"

#include <algorithm>
#include <cmath>

namespace heddle::neuron {

using namespace ir;

const char* alu_name(BinaryOp op) {
  switch (op) {
    case BinaryOp::add: return "add";
    case BinaryOp::sub: return "subtract";
    case BinaryOp::mul: return "multiply";
    case BinaryOp::min: return "minimum";
    case BinaryOp::max: return "maximum";
    case BinaryOp::eq: return "equal";
    case BinaryOp::ne: return "not_equal";
    case BinaryOp::lt: return "less";
    case BinaryOp::le: return "less_equal";
    case BinaryOp::gt: return "greater";
    case BinaryOp::ge: return "greater_equal";
    default: return "";
  }
}

Value Lowering::number(double v) {
  Value out;
  out.scalar = true;
  out.number = v;
  out.text = number_text(v);
  return out;
}

Value Lowering::with_text(std::string text) {
  Value out;
  out.scalar = true;
  out.text = std::move(text);
  return out;
}

View Lowering::space_for(const Axes& axes, bool partition, bool free, ScalarType type, const Destination* to,
                         std::initializer_list<Value*> reuse) {
  if (to && partition == axes.partition.has_value() && free == axes.free.has_value()) return to->view;
  for (Value* v : reuse)
    if (v && !v->scalar && v->temporary && v->over_partition == partition && v->over_free == free && v->type == type &&
        k_.tiles[v->view.tile].space == Space::sbuf)
      return v->view;
  Expr np = partition ? counted(axes.partitions()) : index_constant(1),
       nf = free ? counted(axes.frees()) : index_constant(1);
  return whole(temporary("v", type, Space::sbuf, bound_of(np), bound_of(nf)), np, nf);
}

void Lowering::fill(const View& v, double value) {
  if (!basic()) {
    const ScalarType kept = k_.tiles[v.tile].type;
    std::string text = number_text(value);
    if (!is_float(kept)) {  // infinite: the greatest of the type, or the least
      const bool sign = kept == ScalarType::i8 || kept == ScalarType::i16 || kept == ScalarType::i32;
      const double greatest = std::ldexp(1.0, scalar_bytes(kept) * 8 - (sign ? 1 : 0)) - 1;
      text = std::to_string(static_cast<long long>(std::clamp(value, sign ? -greatest - 1 : 0.0, greatest)));
    }
    return emit_engine("memset", {{"dst", v}, {"value", text}});
  }
  View zeros = kernel_constant("zeros");
  int64_t width = 512;
  auto piece = [&](const Expr& at, const Expr& count) {
    View zero = zeros, part = v;
    part.axes[1].start = simple(v.axes[1].start + at * v.axes[1].step);
    part.axes[1].count = count;
    zero.axes[0].count = part.axes[0].count;
    zero.axes[1].count = part.axes[1].count;
    emit_engine("tensor_scalar", {{"dst", part}, {"data", zero}, {"op0", "nl.add"}, {"operand0", number_text(value)}});
  };
  in_pieces(v.axes[1].count, width, piece);
}

Value Lowering::in_sbuf(Value v, const Axes& axes) {
  if (v.scalar || k_.tiles[v.view.tile].space == Space::sbuf) return v;
  Value out = v;
  out.view = space_for(axes, v.over_partition, v.over_free, v.type, nullptr, {});
  out.temporary = true;
  emit_engine("tensor_copy", {{"dst", out.view}, {"src", v.view}});
  return out;
}

// tensor_scalar with a number, an expression of run-time scalars, or (by `column`) a tile of one column.
Value Lowering::scaled(Value a, const std::string& op, const std::string& operand, const Axes& axes,
                       const Destination* to, ScalarType type) {
  Value out = a;
  out.view = space_for(axes, a.over_partition, a.over_free, type, to, {&a});
  out.type =
      to && same(out.view.axes[0].start, to->view.axes[0].start) && out.view.tile == to->view.tile ? to->type : type;
  out.temporary = !(to && out.view.tile == to->view.tile);
  emit_engine("tensor_scalar", {{"dst", out.view}, {"data", a.view}, {"op0", "nl." + op}, {"operand0", operand}});
  return out;
}

// The same value on all partitions, along the whole free axis.
Value Lowering::spread(Value v, const Axes& axes, bool partition, bool free) {
  if (v.scalar) {
    Value out;
    out.over_partition = partition;
    out.over_free = free;
    out.temporary = true;
    out.view = space_for(axes, partition, free, ScalarType::f32, nullptr, {});
    if (v.number) {
      fill(out.view, *v.number);
    } else {
      fill(out.view, 0);
      emit_engine("tensor_scalar", {{"dst", out.view}, {"data", out.view}, {"op0", "nl.add"}, {"operand0", v.text}});
    }
    return out;
  }
  if (partition && !v.over_partition) v = row_everywhere(v, axes);
  if (free && !v.over_free) {
    Value out = v;
    out.over_free = true;
    out.temporary = true;
    if (is_rounded(v)) {
      out.view = space_for(axes, v.over_partition, true, v.type, nullptr, {});
      columns_of(out.view, v.view);
      return out;
    }
    out.type = ScalarType::f32;
    out.view = space_for(axes, v.over_partition, true, ScalarType::f32, nullptr, {});
    fill(out.view, 0);
    Value column = v.type == ScalarType::f32 ? in_sbuf(v, axes) : converted(v, ScalarType::f32, axes);
    emit_engine("tensor_scalar", {{"dst", out.view}, {"data", out.view}, {"op0", "nl.add"}, {"operand0", column.view}});
    return out;
  }
  return v;
}

// The same column again and again, of integers that f32 would round.
void Lowering::columns_of(const View& to, const View& column) {
  SymbolId t = new_symbol("t");
  push_loop(t, index_constant(0), to.axes[1].count, [&] {
    View there = to;
    there.axes[1] = {simple(to.axes[1].start + var(t) * to.axes[1].step), index_constant(1)};
    emit_engine("tensor_copy", {{"dst", there}, {"src", column}});
  });
}

Value Lowering::converted(Value v, ScalarType type, const Axes& axes, const Destination* to) {
  if (v.scalar || v.type == type) return v;
  Value out = v;
  out.type = type;
  out.view = space_for(axes, v.over_partition, v.over_free, type, to && to->type == type ? to : nullptr, {});
  out.temporary = true;
  emit_engine("tensor_copy", {{"dst", out.view}, {"src", v.view}});
  return out;
}

void Lowering::copy_into(const View& to, const Value& value, const Axes& axes) {
  Value v = value;
  if (v.scalar && v.number) return fill(to, *v.number);
  if (!v.scalar && same(v.view, to)) return;
  if (v.scalar || v.over_partition != axes.partition.has_value() || v.over_free != axes.free.has_value()) {
    if (!v.scalar && v.over_partition == axes.partition.has_value() && !v.over_free) {
      if (is_rounded(v)) return columns_of(to, v.view);
      // A column along the free axis, straight into its place.
      Value column = v.type == ScalarType::f32 ? in_sbuf(v, axes) : converted(v, ScalarType::f32, axes);
      fill(to, 0);
      emit_engine("tensor_scalar", {{"dst", to}, {"data", to}, {"op0", "nl.add"}, {"operand0", column.view}});
      return;
    }
    v = spread(v, axes, axes.partition.has_value(), axes.free.has_value());
  }
  emit_engine("tensor_copy", {{"dst", to}, {"src", v.view}});
}

// An operation of the vector engine on two values; any of them may be a scalar or lack an axis.
Value Lowering::arith(const std::string& op, Value a, Value b, const Axes& axes, const Destination* to,
                      ScalarType type) {
  bool commutes = op != "subtract" && op != "less" && op != "less_equal" && op != "greater" && op != "greater_equal";
  if (a.scalar && b.scalar) {
    if (a.number && b.number) {
      float x = static_cast<float>(*a.number), y = static_cast<float>(*b.number);
      if (op == "add") return number(x + y);
      if (op == "subtract") return number(x - y);
      if (op == "multiply") return number(x * y);
      if (op == "maximum") return number(std::max(x, y));
      if (op == "minimum") return number(std::min(x, y));
    }
    const char* sign = op == "add" ? " + " : op == "subtract" ? " - " : op == "multiply" ? "*" : nullptr;
    if (sign) return with_text("(" + a.text + sign + b.text + ")");
    if (op == "maximum" || op == "minimum") return with_text(op.substr(0, 3) + "(" + a.text + ", " + b.text + ")");
    fail(codes::no_form, "a comparison of run-time scalars has no NKI text yet");
    return number(0);
  }
  if (b.scalar) {
    if (b.number && ((op == "multiply" && *b.number == 1) ||
                     ((op == "add" || op == "subtract") && *b.number == 0 && *b.number == 0))) {
      if (a.type == type) return a;
    }
    return scaled(a, op, b.text, axes, to, type);
  }
  auto flipped = [&](Value data, auto operand) -> Value {
    // operand OP data, where the engine computes data OP operand.
    if (op == "subtract") {
      Value less = arith("subtract", data, operand, axes, nullptr);
      return scaled(less, "multiply", "-1.0", axes, to, type);
    }
    std::string other = op == "less"         ? "greater"
                        : op == "greater"    ? "less"
                        : op == "less_equal" ? "greater_equal"
                                             : "less_equal";
    return arith(other, data, operand, axes, to, type);
  };
  if (a.scalar) return commutes ? arith(op, b, a, axes, to, type) : flipped(b, a);
  if (a.over_partition != b.over_partition) {
    Value& small = a.over_partition ? b : a;
    small = row_everywhere(small, axes);
  }
  if (a.over_free != b.over_free) {
    if (!a.over_free) return commutes ? arith(op, b, a, axes, to, type) : flipped(b, a);
    Value column = b.type == ScalarType::f32 ? in_sbuf(b, axes) : converted(b, ScalarType::f32, axes);
    Value out = a;
    out.view = space_for(axes, a.over_partition, a.over_free, type, to, {&a});
    bool direct = to && same(out.view, to->view);
    out.type = direct ? to->type : type;
    out.temporary = !direct;
    emit_engine("tensor_scalar", {{"dst", out.view}, {"data", a.view}, {"op0", "nl." + op}, {"operand0", column.view}});
    return out;
  }
  if (k_.tiles[a.view.tile].space == Space::psum && k_.tiles[b.view.tile].space == Space::psum) a = in_sbuf(a, axes);
  Value out = a;
  out.view = space_for(axes, a.over_partition, a.over_free, type, to, {&a, &b});
  bool direct = to && same(out.view, to->view);
  out.type = direct ? to->type : type;
  out.temporary = !direct;
  emit_engine("tensor_tensor", {{"dst", out.view}, {"data1", a.view}, {"data2", b.view}, {"op", "nl." + op}});
  return out;
}

Value Lowering::eval_index(const Expr& e, const Axes& axes) {
  const BoundLoop *p = axes.partition ? &*axes.partition : nullptr, *f = axes.free ? &*axes.free : nullptr;
  bool over_p = p && mentions(e, p->loop), over_f = f && mentions(e, f->loop);
  if (!over_p && !over_f) {
    if (std::optional<int64_t> c = constant_of(simple(e))) return number(static_cast<double>(*c));
    // A name for the number, which Python makes a float of.
    Expr named = counted(e);
    Value v;
    v.scalar = true;
    index_texts_.push_back(named);
    v.text = "@" + std::to_string(index_texts_.size() - 1) + "@";
    return v;
  }
  Expr rest = e;
  int64_t kp = 0, kf = 0;
  if (over_p) {
    AffineIn a = affine_in(rest, p->loop);
    if (!a.ok) fail(codes::no_form, "`" + ir::print(k_.program, e) + "` as a number has no NKI text yet");
    kp = a.coefficient;
    rest = a.ok ? a.rest : index_constant(0);
    rest = rest + p->lo * kp;
  }
  if (over_f) {
    AffineIn a = affine_in(rest, f->loop);
    if (!a.ok) fail(codes::no_form, "`" + ir::print(k_.program, e) + "` as a number has no NKI text yet");
    kf = a.coefficient;
    rest = a.ok ? a.rest : index_constant(0);
    rest = rest + f->lo * kf;
  }
  Value base = eval_index(simple(rest), {});
  Value out;
  if (over_f) {
    int64_t width = 128;
    while (width < bound_of(simple(f->count()))) width *= 2;
    out.view = kernel_constant("iota " + std::to_string(width));
    out.view.axes[0].count = p ? counted(p->count()) : index_constant(1);
    out.view.axes[1].count = counted(f->count());
    out.over_partition = p != nullptr;
    out.over_free = true;
    if (kf != 1) out = scaled(out, "multiply", number_text(static_cast<double>(kf)), axes);
    if (!(base.number && *base.number == 0)) out = scaled(out, "add", base.text, axes);
  }
  if (over_p) {
    Value lane;
    lane.view = kernel_constant("lane");
    lane.view.axes[0].count = counted(p->count());
    lane.over_partition = true;
    if (kp != 1) lane = scaled(lane, "multiply", number_text(static_cast<double>(kp)), axes);
    if (over_f) return arith("add", out, lane, axes, nullptr);
    if (!(base.number && *base.number == 0)) lane = scaled(lane, "add", base.text, axes);
    return lane;
  }
  return out;
}

// A read outside the box gives the other value: the tile is filled with it, then what is inside is loaded over it.
Value Lowering::load_tried(const Load& l, const Axes& axes, const Destination* to) {
  const Buffer& b = p_.buffer(l.buffer);
  std::vector<Expr> guards;
  for (size_t d = 0; d < l.subs.size(); ++d) {
    guards.push_back(less_equal(b.box[d].lo, l.subs[d]));
    guards.push_back(less(l.subs[d], b.box[d].hi));
  }
  Axes inside = axes;
  std::vector<BoundLoop*> loops;
  if (inside.partition) loops.push_back(&*inside.partition);
  if (inside.free) loops.push_back(&*inside.free);
  Facts before = facts_;
  for (BoundLoop* loop : loops) facts_.add_range(loop->loop, loop->lo, loop->hi);
  std::vector<Expr> outer, mask;
  cut(guards, loops, outer, mask);
  facts_ = before;
  if (!mask.empty()) {
    fail(codes::no_form, "`" + ir::print(k_.program, mask[0]) + "` mixes partition and free axis", "");
    return number(0);
  }
  for (BoundLoop* loop : loops)
    if (!prove(facts_, less_equal(index_constant(1), loop->count())))
      outer.push_back(less(index_constant(0), loop->count()));
  bool cut_down = !outer.empty();
  for (size_t i = 0; i < loops.size(); ++i) {
    const BoundLoop& full =
        loops[i] == (inside.partition ? &*inside.partition : nullptr) ? *axes.partition : *axes.free;
    if (!equal(full.lo, loops[i]->lo, facts_) || !equal(full.hi, loops[i]->hi, facts_)) cut_down = true;
  }
  if (!cut_down) return load_inside(l.buffer, l.subs, axes, to);
  Value otherwise = eval(l.otherwise, axes);
  Value v;
  v.type = k_.tiles[placed_[l.buffer.value].tile].type;
  v.over_partition = axes.partition.has_value();
  v.over_free = axes.free.has_value();
  bool direct = to && to->type == v.type;
  v.view = direct ? to->view : space_for(axes, v.over_partition, v.over_free, v.type, nullptr, {});
  v.temporary = !direct;
  copy_into(v.view, otherwise, axes);
  guarded(outer, [&] {
    Destination part{v.view, v.type};
    if (inside.partition)
      part.view.axes[0] = {simple(v.view.axes[0].start + (inside.partition->lo - axes.partition->lo)),
                           counted(inside.partition->count())};
    if (inside.free)
      part.view.axes[1] = {simple(v.view.axes[1].start + (inside.free->lo - axes.free->lo) * v.view.axes[1].step),
                           counted(inside.free->count()), v.view.axes[1].step};
    Value loaded = load_inside(l.buffer, l.subs, inside, &part);
    if (loaded.view.tile != part.view.tile) copy_into(part.view, loaded, inside);
  });
  return v;
}

Value Lowering::eval(const Expr& e, const Axes& axes, const Destination* to) {
  if (!failure_.empty()) return number(0);
  if (e.type() == ScalarType::index) return eval_index(e, axes);
  if (const Constant* c = e.as<Constant>())
    return number(is_float(e.type()) ? c->real : static_cast<double>(c->integer));
  if (const StateField* f = e.as<StateField>(); f && state_) {
    const Value& v = state_->side[f->side][f->field];
    const Var* own = f->subs.size() == 1 ? f->subs[0].as<Var>() : nullptr;
    if (!f->subs.empty() && (!own || !axes.free || own->symbol != axes.free->loop)) {
      fail(codes::no_form, "a field is read at another place than its own, which has no NKI text yet");
      return number(0);
    }
    return v;
  }
  if (const Var* v = e.as<Var>()) {
    if (state_)
      if (auto known = state_->locals.find(v->symbol.value); known != state_->locals.end()) return known->second;
    for (size_t i = 0, s = 0; i < p_.parameters.size(); ++i) {
      if (!p_.parameters[i].scalar.known()) continue;
      if (p_.parameters[i].scalar == v->symbol) return with_text(k_.scalars[s]);
      ++s;
    }
    fail(codes::no_form, "`" + ir::print(k_.program, e) + "` has no NKI text yet");
    return number(0);
  }
  if (const Load* l = e.as<Load>()) {
    for (size_t d = 0; d < l->subs.size(); ++d) {
      bool data = false;
      walk(l->subs[d], [&](const Expr& part) {
        data |= part.as<Load>() != nullptr;
        return true;
      });
      if (data && l->otherwise.known()) return picked_or(*l, axes, to);
      if (data) return load_picked(*l, d, axes, to);
    }
    // A read that the leaf makes again is kept.
    SymbolId p = axes.partition ? axes.partition->loop : SymbolId{}, f = axes.free ? axes.free->loop : SymbolId{};
    for (const Loaded& known : loaded_)
      if (same(known.load, e) && known.partition == p && known.free == f) return known.value;
    int times = 0;
    if (leaf_value_.known() && !placed_[l->buffer.value].on_chip)
      walk(leaf_value_, [&](const Expr& part) {
        times += same(part, e);
        return true;
      });
    if (times > 1) to = nullptr;
    Value v = l->otherwise.known() ? load_tried(*l, axes, to) : load_inside(l->buffer, l->subs, axes, to);
    if (times > 1) {
      v.temporary = false;
      loaded_.push_back({e, p, f, v});
    }
    return v;
  }
  if (const Convert* c = e.as<Convert>()) {
    if (c->mode == ConvertMode::saturate || (is_float(c->value.type()) && !is_float(e.type()))) {
      fail(codes::no_integers,
           "`" + ir::print(k_.program, e) + "` converts to an integer, which the engines round another way");
      return number(0);
    }
    if (is_float(e.type()) && !is_float(c->value.type()) && c->value.type() != ScalarType::index) {
      const bool before = picking_;  // rounded as the conversion asks for
      picking_ = true;
      Value v = eval(c->value, axes, to);
      picking_ = before;
      return v;
    }
    bool narrows = is_float(e.type()) && is_float(c->value.type()) &&
                   scalar_row(e.type()).precision < scalar_row(c->value.type()).precision;
    if (!narrows) return eval(c->value, axes, to);
    if (to && to->type == e.type()) return eval(c->value, axes, to);
    Value v = eval(c->value, axes);
    return v.scalar ? v : converted(v, e.type(), axes);
  }
  if (const Select* s = e.as<Select>()) return choose(s->condition, s->yes, s->no, axes, to, held(e.type()));
  if (const MathCall* m = e.as<MathCall>()) return function(*m, axes, to);
  if (e.type() == ScalarType::boolean) return truth(e, axes);
  if (!is_float(e.type()) && e.as<Binary>() && exact_integer(e)) {  // the lesser or greater of two
    const Binary* b = e.as<Binary>();
    return arith(alu_name(b->op), eval(b->left, axes), eval(b->right, axes), axes, to, held(e.type()));
  }
  if (!is_float(e.type())) {
    fail(codes::no_integers, "`" + ir::print(k_.program, e) + "` is integer arithmetic",
         "convert to a float first where the numbers stay below 2^24");
    return number(0);
  }
  if (e.type() == ScalarType::f64) {
    fail(codes::no_type, "`" + ir::print(k_.program, e) + "` is of f64");
    return number(0);
  }
  if (const Unary* u = e.as<Unary>()) return arith("multiply", eval(u->value, axes), number(-1), axes, to, e.type());
  if (const Binary* b = e.as<Binary>()) {
    if (b->op == BinaryOp::div) {
      // There is no division: a product with the reciprocal.
      Value divisor = eval(b->right, axes);
      if (divisor.scalar) {
        Value inverse = divisor.number ? number(1.0 / *divisor.number) : with_text("(1.0/" + divisor.text + ")");
        return arith("multiply", eval(b->left, axes), inverse, axes, to, e.type());
      }
      const Constant* one = b->left.as<Constant>();
      if (one && one->real == 1) return reciprocal(divisor, axes, to);
      Value inverse = reciprocal(divisor, axes, nullptr);
      return arith("multiply", eval(b->left, axes), inverse, axes, to, e.type());
    }
    std::string op = alu_name(b->op);
    if (b->op <= BinaryOp::mul || b->op == BinaryOp::min || b->op == BinaryOp::max) {
      Value left = eval(b->left, axes), right = same(b->left, b->right) ? left : eval(b->right, axes);
      return arith(op, left, right, axes, to, e.type());
    }
  }
  fail(codes::no_form, "`" + ir::print(k_.program, e) + "` has no NKI text yet");
  return number(0);
}

}  // namespace heddle::neuron

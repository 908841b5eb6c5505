// Leaves: each becomes instructions over the tile that the bound loops around it span, cut down by its conditions.
#include "backend/neuron/lowering.h"
#include "ir/bound.h"
#include "ir/region.h"

namespace heddle::neuron {

using namespace ir;

bool is_reduce_loop(const Program& p, const Leaf& l, SymbolId loop) {
  const Stage& stage = p.stage(l.stage);
  for (size_t i = 0; i < stage.axes.size(); ++i)
    if (stage.axes[i].cls == AxisClass::reduce && mentions(l.bindings[i], loop)) return true;
  return false;
}

void Lowering::cut(const std::vector<Expr>& guards, std::vector<BoundLoop*> loops, std::vector<Expr>& outer,
                   std::vector<Expr>& mask) {
  for (const Expr& guard : guards) {
    if (prove(facts_, guard)) continue;
    if (mentions_load(guard)) {  // no count and no branch of the text depends on data
      mask.push_back(guard);
      continue;
    }
    std::vector<BoundLoop*> named;
    for (BoundLoop* l : loops)
      if (mentions(guard, l->loop)) named.push_back(l);
    if (named.empty()) {
      outer.push_back(guard);
      continue;
    }
    const Binary* c = guard.as<Binary>();
    bool order = c && c->left.type() == ScalarType::index &&
                 (c->op == BinaryOp::lt || c->op == BinaryOp::le || c->op == BinaryOp::gt || c->op == BinaryOp::ge);
    if (named.size() == 1 && order) {
      // As small <= big.
      bool swapped = c->op == BinaryOp::gt || c->op == BinaryOp::ge,
           strict = c->op == BinaryOp::lt || c->op == BinaryOp::gt;
      Expr small = swapped ? c->right : c->left, big = swapped ? c->left : c->right;
      AffineIn a =
          affine_in(simplify(big - small - (strict ? 1 : 0)), named[0]->loop);  // coefficient * loop + rest >= 0
      if (a.ok && a.coefficient < 0) {
        Expr end = a.coefficient == -1 ? a.rest + 1 : binary(BinaryOp::div, a.rest, index_constant(-a.coefficient)) + 1;
        named[0]->hi = min(named[0]->hi, simplify(end));
        continue;
      }
      if (a.ok && a.coefficient > 0) {
        Expr begin = a.coefficient == 1 ? index_constant(0) - a.rest
                                        : ceildiv(index_constant(0) - a.rest, index_constant(a.coefficient));
        named[0]->lo = max(named[0]->lo, simplify(begin));
        continue;
      }
    }
    mask.push_back(guard);
  }
  for (BoundLoop* l : loops) {
    l->lo = simple(l->lo);
    l->hi = simple(l->hi);
  }
}

Axes Lowering::axes_of(const Leaf& l, std::optional<BoundLoop>* contracted) {
  Axes axes;
  for (const For* f : bound_) {
    BoundLoop b{f->loop, f->lo, f->hi};
    if (f->axis == "free") {
      axes.free = b;
    } else if (is_reduce_loop(p_, l, f->loop)) {
      if (contracted) *contracted = b;
    } else if (axes.partition) {
      fail(codes::mixed_axes,
           "`" + loop_name(axes.partition->loop) + "` and `" + loop_name(f->loop) + "` are both bound to `partition`");
    } else {
      axes.partition = b;
    }
  }
  return axes;
}

void Lowering::guarded(const std::vector<Expr>& conditions, const std::function<void()>& inside) {
  if (conditions.empty()) return inside();
  const Expr& first = conditions.front();
  std::vector<Expr> rest(conditions.begin() + 1, conditions.end());
  if (const Constant* known = first.as<Constant>()) {
    if (known->integer) guarded(rest, inside);
    return;
  }
  const Binary* c = first.as<Binary>();
  if (!c || c->left.type() != ScalarType::index || c->op < BinaryOp::eq || c->op > BinaryOp::ge ||
      c->op == BinaryOp::eq || c->op == BinaryOp::ne) {
    if (c && c->left.type() == ScalarType::index && c->op == BinaryOp::eq)
      return guarded({less_equal(c->left, c->right), less_equal(c->right, c->left)}, [&] { guarded(rest, inside); });
    fail(codes::no_form, "the condition `" + ir::print(k_.program, first) + "` has no NKI text yet");
    return;
  }
  bool swapped = c->op == BinaryOp::gt || c->op == BinaryOp::ge,
       strict = c->op == BinaryOp::lt || c->op == BinaryOp::gt;
  Expr d = swapped ? c->left - c->right : c->right - c->left;  // d > 0, or d >= 0
  if (!strict) d = d + 1;
  // A loop of one iteration or none: masks and branches do not exist in the text.
  Facts before = facts_;
  SymbolId once = new_symbol("once");
  push_loop(once, index_constant(0), min(index_constant(1), simple(d)), [&] {
    facts_.add(first);
    guarded(rest, inside);
  });
  facts_ = std::move(before);
}

void Lowering::leaf(const Leaf& l) {
  leaf_ = &l;
  const Stage& stage = p_.stage(l.stage);
  const Assign& a = l.assigns[0];
  std::optional<BoundLoop> contracted;
  Axes axes = axes_of(l, &contracted);
  std::vector<BoundLoop*> loops;
  if (axes.partition) loops.push_back(&*axes.partition);
  if (axes.free) loops.push_back(&*axes.free);
  if (contracted) loops.push_back(&*contracted);
  std::vector<Expr> outer, mask;
  cut(conjuncts(l.predicate), loops, outer, mask);
  for (BoundLoop* b : loops) {
    std::optional<int64_t> c = constant_of(simple(b->count()));
    if (c && *c <= 0) return;
    if (b != (axes.free ? &*axes.free : nullptr) && bound_of(simple(b->count())) > core_.partitions)
      fail(codes::too_many_partitions,
           "`" + loop_name(b->loop) + "` has " + std::to_string(bound_of(simple(b->count()))) +
               " iterations, and there are 128 partitions",
           "split it by 128 or less before it is bound to `partition`");
    if (!prove(facts_, less_equal(index_constant(1), b->count()))) outer.push_back(less(index_constant(0), b->count()));
  }
  if (!failure_.empty()) return;
  const Substitution map = point_of(p_, l);
  leaf_value_ = substitute(a.value, map);
  loaded_.clear();
  guarded(outer, [&] {
    // The counts are named once, before the first instruction of the piece.
    for (BoundLoop* b : loops) counted(b->count());
    const Reducer* row = a.kind == AssignKind::combine ? p_.reducer(l.reducer) : nullptr;
    if (row && contracted && row->builtin != BuiltinReducer::sum) {
      combine_over_partitions(l, a, axes, *contracted, mask);
    } else if (row && row->builtin == BuiltinReducer::none) {
      combine_state(l, axes, mask);
    } else if (a.kind == AssignKind::combine) {
      combine(l, a, axes, contracted, mask);
    } else {
      if (!mask.empty() && !whole_tile_is_safe(l))
        fail(codes::no_form, "`" + stage.name + "` is limited by `" + ir::print(k_.program, mask[0]) +
                                 "`, which mixes partition and free axis");
      for (const Assign& each : l.assigns) {
        Axes own = axes;
        if (!each.over.empty()) {  // a field's own axis lies along the partition
          if (own.free || each.over.size() > 1)
            fail(codes::no_form, "`" + stage.name + "." + p_.buffer(each.buffer).field +
                                     "` has axes of its own beside a loop along the partition");
          own.free = BoundLoop{each.over[0].symbol, substitute(each.over[0].lo, map), substitute(each.over[0].hi, map)};
        }
        define(l, each, own);
      }
    }
  });
  leaf_ = nullptr;
}

// The PE array sums over partitions; for all else what is reduced is turned, so that it lies along them. What the result has along the free axis comes
// over partitions then, 128 at a time, and is turned back.
void Lowering::combine_over_partitions(const Leaf& l, const Assign& a, const Axes& axes, const BoundLoop& over,
                                       const std::vector<Expr>& mask) {
  const bool states = p_.reducer(l.reducer)->builtin == BuiltinReducer::none;
  const bool again = axes.free && is_reduce_loop(p_, l, axes.free->loop);
  if (again || (axes.free && (axes.partition || states))) {
    fail(codes::no_form,
         "`" + p_.buffer(a.buffer).name + "` is reduced over partitions by `" + l.reducer + "` beside `" +
             loop_name(axes.free->loop) + "` along them",
         again || axes.partition ? "keep `" + loop_name(axes.free->loop) + "` a loop of the text"
                                 : "bind `" + loop_name(axes.free->loop) + "` to `partition`, 128 at a time");
    return;
  }
  Axes turned{axes.partition, over};
  if (!axes.free) {
    if (states) combine_state(l, turned, mask);
    else combine(l, a, turned, std::nullopt, mask);
    return;
  }
  const BoundLoop all = *axes.free;
  const Expr step = index_constant(core_.partitions);
  auto piece = [&](const Expr& lo, const Expr& hi) {
    turned.partition = BoundLoop{all.loop, simple(lo), simple(hi)};
    counted(turned.partition->count());
    part_ = turned.partition;
    combine(l, a, turned, std::nullopt, mask, true);
    part_.reset();
  };
  if (bound_of(simple(all.count())) <= core_.partitions) return piece(all.lo, all.hi);
  SymbolId t = new_symbol("t");
  push_loop(t, index_constant(0), simple(ceildiv(all.count(), step)), [&] {
    const Expr lo = all.lo + var(t) * core_.partitions;
    piece(lo, min(all.hi, lo + step));
  });
}

// Whether cells that a mask leaves out may be written as well: nobody reads them, as the buffer is a temporary, and what is read for them is
// there.
bool Lowering::whole_tile_is_safe(const Leaf& l) {
  const Substitution map = point_of(p_, l);
  Facts here = facts_;
  for (const Expr& e : conjuncts(l.predicate)) {
    int axes = 0;
    for (const For* f : bound_) axes += mentions(e, f->loop);
    if (axes < 2) here.add(e);
  }
  bool safe = true;
  for (const Assign& a : l.assigns) {
    safe = safe && p_.buffer(a.buffer).role == Role::temporary && placed_[a.buffer.value].on_chip && a.over.empty();
    safe = safe && reads_inside(p_, substitute(a.value, map), here);
  }
  return safe;
}

void Lowering::define(const Leaf& l, const Assign& a, const Axes& axes) {
  const Substitution map = point_of(p_, l);
  const std::vector<Expr> subs = substitute(a.subs, map);
  Expr value = substitute(a.value, map);
  remark(ir::print(p_, ir::load(p_.buffer(a.buffer).type, a.buffer, a.subs)) + " = " + ir::print(p_, a.value));
  const bool before = picking_;
  picking_ = !is_float(value.type()) && exact_integer(value);
  if (std::optional<Destination> to = destination(a.buffer, subs, axes)) {
    Value v = eval(value, axes, &*to);
    copy_into(to->view, v, axes);
  } else {
    define_in_parts(a.buffer, subs, value, axes);
  }
  picking_ = before;
}

// What goes to HBM may be made in parts, each a tile that starts at partition 0: the arms of a condition on the loop over partitions, and what
// is inside of a read with `or`.
void Lowering::define_in_parts(BufferId buffer, const std::vector<Expr>& subs, const Expr& value, const Axes& axes) {
  std::vector<ScalarType> conversions;
  Expr root = value;
  while (const Convert* c = root.as<Convert>()) {
    if (c->mode != ConvertMode::value) break;
    conversions.push_back(root.type());
    root = c->value;
  }
  auto converted_back = [&](Expr e) {
    for (size_t n = conversions.size(); n-- > 0;) e = convert(conversions[n], e);
    return e;
  };
  // The axes cut down by conditions; false where they cannot be.
  auto part = [&](const std::vector<Expr>& conditions, const std::function<void(const Axes&)>& inside) {
    Axes small = axes;
    std::vector<BoundLoop*> loops;
    if (small.partition) loops.push_back(&*small.partition);
    if (small.free) loops.push_back(&*small.free);
    Facts before = facts_;
    std::vector<Expr> outer, mask;
    cut(conditions, loops, outer, mask);
    if (!mask.empty()) return false;
    for (BoundLoop* l : loops) {
      std::optional<int64_t> c = constant_of(simple(l->count()));
      if (c && *c <= 0) return true;
      if (!prove(facts_, less_equal(index_constant(1), l->count())))
        outer.push_back(less(index_constant(0), l->count()));
    }
    if (inside)
      guarded(outer, [&] {
        for (BoundLoop* l : loops) facts_.add_range(l->loop, l->lo, l->hi);
        std::vector<Loaded> kept = std::move(loaded_);
        loaded_.clear();
        inside(small);
        loaded_ = std::move(kept);
      });
    facts_ = std::move(before);
    return true;
  };
  auto over_partitions = [&](const Expr& e) { return axes.partition && mentions(e, axes.partition->loop); };
  if (const Select* s = root.as<Select>(); s && over_partitions(s->condition)) {
    const Binary* b = s->condition.as<Binary>();
    if (b && b->left.type() == ScalarType::index && b->op >= BinaryOp::lt && b->op <= BinaryOp::ge) {
      static constexpr BinaryOp opposite[] = {BinaryOp::ge, BinaryOp::gt, BinaryOp::le, BinaryOp::lt};
      Expr other = binary(opposite[static_cast<int>(b->op) - static_cast<int>(BinaryOp::lt)], b->left, b->right);
      if (part({s->condition}, nullptr) && part({other}, nullptr)) {
        part({s->condition}, [&](const Axes& small) { define_in_parts(buffer, subs, converted_back(s->yes), small); });
        part({other}, [&](const Axes& small) { define_in_parts(buffer, subs, converted_back(s->no), small); });
        return;
      }
    }
  }
  if (const Load* l = root.as<Load>(); l && l->otherwise.known()) {
    const Buffer& b = p_.buffer(l->buffer);
    std::vector<Expr> inside;
    bool cuts = false;
    for (size_t d = 0; d < l->subs.size(); ++d)
      for (const Expr& e : {less_equal(b.box[d].lo, l->subs[d]), less(l->subs[d], b.box[d].hi)}) {
        inside.push_back(e);
        cuts |= over_partitions(e) && !prove(facts_, e);
      }
    if (cuts && part(inside, nullptr)) {
      define_whole(buffer, subs, converted_back(l->otherwise), axes);
      part(inside, [&](const Axes& small) {
        define_whole(buffer, subs, converted_back(ir::load(root.type(), l->buffer, l->subs)), small);
      });
      return;
    }
  }
  define_whole(buffer, subs, value, axes);
}

void Lowering::define_whole(BufferId buffer, const std::vector<Expr>& subs, const Expr& value, const Axes& axes) {
  ScalarType type = held(p_.buffer(buffer).type);
  const Load* plain = value.as<Load>();
  if (plain && placed_[plain->buffer.value].on_chip && !plain->otherwise.known()) {
    Value v = load(plain->buffer, plain->subs, axes);
    store(buffer, subs, axes, v);
    return;
  }
  Destination out{
      whole(temporary("out", type, Space::sbuf, bound_of(simple(axes.partitions())), bound_of(simple(axes.frees()))),
            counted(axes.partitions()), counted(axes.frees())),
      type};
  Value v = eval(value, axes, &out);
  copy_into(out.view, v, axes);
  Value result;
  result.view = out.view;
  result.type = type;
  result.over_partition = axes.partition.has_value();
  result.over_free = axes.free.has_value();
  store(buffer, subs, axes, result);
}

}  // namespace heddle::neuron

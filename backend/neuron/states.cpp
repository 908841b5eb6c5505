// Reductions by reducers of the text, whose states may have several fields: a tile for each field, the reducer's own block on whole tiles.
//
// A loop of the text takes in one value after the other. A loop bound to the free axis is a tree: neighbours are combined until one column is
// left, in their order, so that the reducer need not commute; counts, means and spreads are bn_stats (moments.cpp). A loop bound to the partition is
// turned to the free axis (statements.cpp). A field with an axis of its own, `o[e]`, lies along the partition.
#include "backend/neuron/lowering.h"
#include "ir/bound.h"

namespace heddle::neuron {

using namespace ir;

namespace {

bool is_large(double x) { return x > 16777216 || x < -16777216; }

}  // namespace

// Whether an integer comes through f32 unharmed: positions, small types, and the greatest int32, which saturates back.
bool Lowering::exact_integer(const Expr& e) {
  if (is_float(e.type()) || e.type() == ScalarType::index || e.type() == ScalarType::boolean ||
      scalar_bytes(e.type()) <= 2)
    return true;
  if (const Constant* c = e.as<Constant>()) {
    const auto x = static_cast<double>(c->integer);
    return !is_large(x) || c->integer == INT32_MAX || c->integer == INT32_MIN;
  }
  if (e.as<StateField>() || e.as<Var>()) return true;  // of a block whose operands are asked for
  if (const Convert* c = e.as<Convert>()) return !is_float(c->value.type()) && exact_integer(c->value);
  if (const Select* s = e.as<Select>()) return exact_integer(s->yes) && exact_integer(s->no);
  if (const MathCall* m = e.as<MathCall>()) {
    bool all = m->function == "min" || m->function == "max";
    for (const Expr& a : m->args) all = all && exact_integer(a);
    return all;
  }
  if (const Binary* b = e.as<Binary>())
    return (b->op == BinaryOp::min || b->op == BinaryOp::max) && exact_integer(b->left) && exact_integer(b->right);
  const ir::Load* l = e.as<ir::Load>();
  if (!l || p_.buffer(l->buffer).role != Role::temporary) return false;
  auto [known, fresh] = exact_.try_emplace(l->buffer.value, true);
  if (!fresh) return known->second;
  bool all = true;
  walk(p_.body, [&](const StmtRef& s) {
    if (const Leaf* leaf = std::get_if<Leaf>(&s->form))
      for (const Assign& a : leaf->assigns) {
        if (a.buffer != l->buffer) continue;
        const Reducer* r = a.kind == AssignKind::combine ? p_.reducer(leaf->reducer) : nullptr;
        const bool picks = !r || r->builtin == BuiltinReducer::none || r->builtin == BuiltinReducer::max ||
                           r->builtin == BuiltinReducer::min;
        all = all && picks && exact_integer(a.value);
      }
    return true;
  });
  return exact_[l->buffer.value] = all;
}

// The numbers that a reducer begins with; false where one is not known here.
bool Lowering::identities(const Reducer& r, std::vector<double>& out) {
  out.assign(r.fields.size(), 0);
  for (const ReducerLine& line : r.identity) {
    const Constant* c = simplify(line.value).as<Constant>();
    if (line.field < 0 || !c) {
      fail(codes::no_form, "the identity of `" + r.name + "` is no number, which has no NKI text yet");
      return false;
    }
    out[line.field] = is_float(line.value.type()) ? c->real : static_cast<double>(c->integer);
  }
  return true;
}

void Lowering::reduce_state(const Reduce& r) {
  const Reducer* reducer = p_.reducer(r.reducer);
  const BufferId first = r.windows[0].buffer;
  const std::string name = "`" + p_.buffer(first).name + "`";
  Survey found;
  std::vector<StmtRef> path;
  survey(r.body, first, path, found);
  if (!reducer || reducer->builtin != BuiltinReducer::none || found.sites.empty()) {
    fail(codes::no_form, "a reduction by `" + r.reducer + "` has no NKI text yet");
    return;
  }
  for (const Window& w : r.windows)
    if (!placed_[w.buffer.value].on_chip || p_.buffer(w.buffer).memory == Memory::psum) {
      fail(codes::no_form,
           "the state " + name + " would be combined in " + (placed_[w.buffer.value].on_chip ? "PSUM" : "HBM"),
           "keep it in SBUF: `compute_at` it in sbuf");
      return;
    }
  const Leaf& l = *found.sites[0].leaf;
  std::vector<double> begin;
  if (!identities(*reducer, begin)) return;
  Region region;
  region.reduce = &r;
  region.mode =
      found.sites.size() == 1 && all_at_once(found.sites[0]) ? Region::Mode::direct : Region::Mode::accumulate;
  if (region.mode == Region::Mode::accumulate)
    for (size_t f = 0; f < r.windows.size(); ++f) fill_state(r.windows[f], l, begin[f]);
  regions_.push_back(region);
  body(r.body);
  regions_.pop_back();
}

// Whether one statement takes in all terms of a cell, and there surely are some: what it gives is the result.
bool Lowering::all_at_once(const Survey::Site& site) {
  Facts here = facts_;
  std::vector<SymbolId> reduced;
  if (p_.stage(site.leaf->stage).where.known()) return false;
  for (const For* f : bound_)
    if (is_reduce_loop(p_, *site.leaf, f->loop)) return false;
  for (const StmtRef& s : site.path) {
    const For* f = std::get_if<For>(&s->form);
    if (!f) continue;
    if (is_reduce_loop(p_, *site.leaf, f->loop)) {
      if (f->kind != LoopKind::bound || !is_tile_axis(f->axis) || !prove(here, less(f->lo, f->hi))) return false;
      reduced.push_back(f->loop);
    }
    here.add_range(f->loop, f->lo, f->hi);
  }
  for (const Expr& e : conjuncts(site.leaf->predicate))
    for (SymbolId loop : reduced)
      if (mentions(e, loop) && !prove(here, e)) return false;
  return !reduced.empty();
}

// A window of a field. Where partitions run around the region it is their columns, else all of its cells.
void Lowering::fill_state(const Window& w, const Leaf& l, double value) {
  Axes axes;
  for (const For* f : bound_)
    if (f->axis == "partition" && !is_reduce_loop(p_, l, f->loop)) axes.partition = BoundLoop{f->loop, f->lo, f->hi};
    else if (f->axis == "free" && !is_reduce_loop(p_, l, f->loop)) axes.free = BoundLoop{f->loop, f->lo, f->hi};
  if (!axes.partition && !axes.free) return fill_window(w, value);
  const Buffer& b = p_.buffer(w.buffer);
  std::vector<Expr> subs;
  for (size_t d = 0; d < w.ranges.size(); ++d) {
    if (static_cast<int>(d) >= static_cast<int>(w.ranges.size()) - b.field_dims) {
      SymbolId own = new_symbol("e");
      axes.free = BoundLoop{own, w.ranges[d].lo, w.ranges[d].hi};
      subs.push_back(var(own));
    } else {
      subs.push_back(w.ranges[d].lo);
    }
  }
  const Leaf* before = leaf_;
  leaf_ = &l;
  if (std::optional<Destination> to = destination(w.buffer, subs, axes)) fill(to->view, value);
  leaf_ = before;
}

// Lines of a block over fields that are tiles: one after the other, a line over a field's own axis along the partition.
std::vector<Value> Lowering::combined(const Reducer& r, std::vector<Value> a, std::vector<Value> b, const Axes& axes,
                                      const std::vector<Destination>& to) {
  StateScope scope{{std::move(a), std::move(b), std::vector<Value>(r.fields.size())}, {}};
  StateScope* outer = state_;
  state_ = &scope;
  for (const ReducerLine& line : r.combine) {
    Axes here = axes;
    if (!line.axes.empty()) {
      if (here.free || line.axes.size() > 1) {
        fail(codes::no_form,
             "`" + r.name +
                 "` has a field with axes of its own, which leave no place along the partition for another loop",
             "keep the loop that it reduces over, and all loops of its result but one, loops of the text");
        break;
      }
      here.free = BoundLoop{line.axes[0], index_constant(0), simple(r.fields[line.field].extents[0])};
    }
    const bool whole = line.field >= 0 && !to.empty();
    Value v = eval(line.value, here, whole ? &to[line.field] : nullptr);
    if (whole) {
      copy_into(to[line.field].view, v, here);
      v = Value{};
      v.view = to[line.field].view;
      v.type = to[line.field].type;
      v.over_partition = here.partition.has_value();
      v.over_free = here.free.has_value();
    }
    v.temporary = false;
    if (line.field >= 0) scope.side[2][line.field] = v;
    else scope.locals[line.local.value] = v;
    if (!failure_.empty()) break;
  }
  state_ = outer;
  return scope.side[2];
}

// Columns combined with their neighbours until one is left.
std::vector<Value> Lowering::tree(const Reducer& r, std::vector<Value> elements, const Axes& axes) {
  Expr n = axes.frees();
  n = counted(n);
  for (int64_t most = bound_of(n); most > 1 && failure_.empty(); most = (most + 1) / 2) {
    Expr half = counted(simple(binary(BinaryOp::div, n, index_constant(2)))), left_over = simple(n - half * 2);
    Axes pairs = axes, last = axes;
    SymbolId pair = new_symbol("pair");
    pairs.free = BoundLoop{pair, index_constant(0), half};
    last.free = BoundLoop{pair, index_constant(0), index_constant(1)};
    Expr np = axes.partition ? counted(axes.partitions()) : index_constant(1);
    std::vector<Destination> to;
    std::vector<Value> next;
    for (const Value& e : elements) {
      View v =
          whole(temporary("state", ScalarType::f32, Space::sbuf, bound_of(np), (most + 1) / 2), np, simple(n - half));
      to.push_back({v, ScalarType::f32});
      to.back().view.axes[1].count = half;
      next.push_back(e);
      next.back().view = v;
      next.back().type = ScalarType::f32;
      next.back().temporary = false;
    }
    std::vector<Value> left = elements, right = elements;
    for (size_t f = 0; f < elements.size(); ++f) {
      const Slice& s = elements[f].view.axes[1];
      left[f].view.axes[1] = {s.start, half, s.step * 2};
      right[f].view.axes[1] = {simple(s.start + s.step), half, s.step * 2};
    }
    std::vector<Expr> some;
    if (!prove(facts_, less_equal(index_constant(1), half))) some.push_back(less(index_constant(0), half));
    guarded(some, [&] { combined(r, left, right, pairs, to); });
    if (!is_constant(left_over, 0)) {
      some.clear();
      if (!is_constant(left_over, 1)) some.push_back(less(index_constant(0), left_over));
      guarded(some, [&] {
        for (size_t f = 0; f < elements.size(); ++f) {
          Value one = elements[f];
          const Slice& s = elements[f].view.axes[1];
          one.view.axes[1] = {simple(s.start + (n - 1) * s.step), index_constant(1)};
          View there = next[f].view;
          there.axes[1] = {half, index_constant(1)};
          copy_into(there, one, last);
        }
      });
    }
    n = counted(simple(n - half));
    for (Value& e : next) e.view.axes[1].count = n;
    elements = std::move(next);
  }
  for (Value& e : elements) e.over_free = false;
  return elements;
}

void Lowering::combine_state(const Leaf& l, const Axes& axes, const std::vector<Expr>& mask) {
  const Reducer* r = p_.reducer(l.reducer);
  std::vector<double> begin;
  if (!r || !identities(*r, begin)) return;
  picking_ = true;  // of integers the states have small ones alone
  const Substitution map = point_of(p_, l);
  const bool reduced = axes.free && is_reduce_loop(p_, l, axes.free->loop);
  Axes result = axes;
  if (reduced) result.free.reset();
  std::string text;
  for (const Assign& a : l.assigns)
    text += (text.empty() ? "" : ", ") + p_.buffer(a.buffer).field + " = " + ir::print(p_, a.value);
  remark(p_.buffer(l.assigns[0].buffer).name + " " + l.reducer + "= (" + text + ")");

  bool direct = false;
  for (const Region& known : regions_)
    if (known.reduce->windows[0].buffer == l.assigns[0].buffer) direct = known.mode == Region::Mode::direct;
  std::optional<std::vector<Value>> moments;
  if (reduced && mask.empty()) {
    std::vector<Expr> elements;
    for (const Assign& a : l.assigns) elements.push_back(substitute(a.value, map));
    moments = moments_of(*r, l, elements, axes);
    if (!failure_.empty()) return;
  }

  std::vector<Value> state, values;
  std::vector<Destination> places;
  std::vector<Axes> own;
  for (size_t f = 0; f < l.assigns.size(); ++f) {
    const Assign& a = l.assigns[f];
    Axes there = result, element = axes;
    if (!a.over.empty()) {
      if (axes.free || a.over.size() > 1) {
        fail(codes::no_form, "`" + p_.buffer(a.buffer).name + "." + p_.buffer(a.buffer).field +
                                 "` has axes of its own beside the loop `" +
                                 (axes.free ? loop_name(axes.free->loop) : std::string("over its first")) +
                                 "` along the partition");
        return;
      }
      there.free = element.free =
          BoundLoop{a.over[0].symbol, substitute(a.over[0].lo, map), substitute(a.over[0].hi, map)};
    }
    if (!exact_integer(a.value)) {
      fail(codes::no_integers, "`" + ir::print(p_, a.value) + "` may be an integer that f32 rounds");
      return;
    }
    std::optional<Destination> to = destination(a.buffer, substitute(a.subs, map), there);
    if (!to || !failure_.empty()) return;
    Value before;
    before.view = to->view;
    before.type = to->type;
    before.over_partition = there.partition.has_value();
    before.over_free = there.free.has_value();
    state.push_back(before);
    places.push_back(*to);
    own.push_back(there);
    if (moments) continue;
    Expr value = substitute(a.value, map);
    for (const Expr& m : mask) {
      Expr none = is_float(value.type()) ? real_constant(value.type(), begin[f])
                                         : integer_constant(value.type(), static_cast<int64_t>(begin[f]));
      value = ir::select(m, value, none);
    }
    Value v = eval(value, element);
    if (reduced) {
      v = spread(v, element, element.partition.has_value(), true);
      if (v.type != ScalarType::f32) v = converted(v, ScalarType::f32, element);
    }
    v.temporary = false;
    values.push_back(v);
    if (!failure_.empty()) return;
  }
  if (moments) values = std::move(*moments);
  else if (reduced) values = tree(*r, std::move(values), axes);
  std::vector<Value> sums = direct ? std::move(values) : combined(*r, state, values, result, {});
  if (!failure_.empty()) return;
  for (size_t f = 0; f < sums.size(); ++f) {  // what another field's old value is still read from
    Value& v = sums[f];
    bool old = false;
    for (size_t g = 0; !v.scalar && g < places.size(); ++g) old |= g != f && places[g].view.tile == v.view.tile;
    if (old) {
      View copy = space_for(own[f], v.over_partition, v.over_free, v.type, nullptr, {});
      emit_engine("tensor_copy", {{"dst", copy}, {"src", v.view}});
      v.view = copy;
    }
  }
  for (size_t f = 0; f < sums.size(); ++f) copy_into(places[f].view, sums[f], own[f]);
}

}  // namespace heddle::neuron

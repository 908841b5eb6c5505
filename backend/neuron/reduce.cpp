// Reductions: on the free axis by tensor_reduce, over loops of the text by an accumulator, over partitions by the PE array, which sums;
// by another reducer over partitions as on the free axis, of what the PE array turns.
// Over 500 lines: which of the three a region takes is one decision, and each begins, goes on and ends with its region.
#include <cmath>

#include "backend/neuron/lowering.h"
#include "ir/bound.h"

namespace heddle::neuron {

using namespace ir;

namespace {

struct Operation {
  const char* op;
  double identity;
};

bool operation_of(const Program& p, const std::string& reducer, Operation& out) {
  const Reducer* r = p.reducer(reducer);
  if (!r) return false;
  switch (r->builtin) {
    case BuiltinReducer::sum: out = {"add", 0}; return true;
    case BuiltinReducer::prod: out = {"multiply", 1}; return true;
    case BuiltinReducer::max: out = {"maximum", -INFINITY}; return true;
    case BuiltinReducer::min: out = {"minimum", INFINITY}; return true;
    default: return false;
  }
}

}  // namespace

void Lowering::survey(const Body& body, BufferId buffer, std::vector<StmtRef>& path, Survey& out) {
  for (const StmtRef& s : body) {
    path.push_back(s);
    if (const Leaf* l = std::get_if<Leaf>(&s->form)) {
      for (const Assign& a : l->assigns)
        if (a.kind == AssignKind::combine && a.buffer == buffer) out.sites.push_back({l, path});
    } else if (const Call* c = std::get_if<Call>(&s->form)) {
      if (!c->windows.empty() && c->windows[0].buffer == buffer) out.calls.push_back(s);
    }
    survey(children(s), buffer, path, out);
    path.pop_back();
  }
}

void Lowering::reduce(const StmtRef& s, const Reduce& r) {
  const bool before = picking_;  // integers that are reduced are small ones, else `combine` refuses them
  picking_ = !is_float(p_.buffer(r.windows[0].buffer).type);
  reduce_region(s, r);
  picking_ = before;
}

void Lowering::reduce_region(const StmtRef&, const Reduce& r) {
  if (const Reducer* row = p_.reducer(r.reducer);
      r.windows.size() != 1 || (row && row->builtin == BuiltinReducer::none))
    return reduce_state(r);
  BufferId buffer = r.windows[0].buffer;
  const Buffer& b = p_.buffer(buffer);
  Survey found;
  std::vector<StmtRef> path;
  survey(r.body, buffer, path, found);
  Region region;
  region.reduce = &r;
  auto at = alloc_depth_.find(buffer.value);
  const bool kept = at != alloc_depth_.end() && at->second != serial_.size();  // placed outside by `store_at`
  if (!found.calls.empty() && kept) out_->push_back({Make{placed_[buffer.value].tile}, place_});
  if (!found.calls.empty() && found.sites.empty()) {
    if (Operation begin{}; b.memory != Memory::psum && operation_of(p_, r.reducer, begin))
      fill_window(r.windows[0], begin.identity);
    regions_.push_back(region);
    body(r.body);
    regions_.pop_back();
    return;
  }
  Operation op{};
  if (found.sites.empty() || !operation_of(p_, r.reducer, op)) {
    fail(codes::no_form, "a reduction by `" + r.reducer + "` has no NKI text yet");
    return;
  }

  // Of the first leaf; all leaves of a region have the same axes over tiles.
  const Survey::Site& site = found.sites[0];
  const Leaf& l = *site.leaf;
  for (const Axis& axis : p_.stage(l.stage).axes)
    if (axis.cls == AxisClass::scatter) return scatter(r, op.identity);
  bool on_pe = false;
  for (const For* f : bound_) on_pe |= f->axis == "partition" && is_reduce_loop(p_, l, f->loop);
  std::vector<SymbolId> maps, reduces;
  const Stmt* below_maps = site.path.front().get();
  std::vector<const For*> inner_bound;
  for (size_t i = 0; i < site.path.size(); ++i) {
    const For* f = std::get_if<For>(&site.path[i]->form);
    if (!f) continue;
    if (f->kind == LoopKind::bound && is_tile_axis(f->axis)) {
      on_pe |= f->axis == "partition" && is_reduce_loop(p_, l, f->loop);
      inner_bound.push_back(f);
    } else if (is_reduce_loop(p_, l, f->loop)) {
      reduces.push_back(f->loop);
    } else {
      maps.push_back(f->loop);
      if (i + 1 < site.path.size()) below_maps = site.path[i + 1].get();
    }
  }
  on_pe &= std::string(op.op) == "add";

  // The axes that its result has, as the region's own point sees them: conditions on loops inside do not count here.
  const Leaf* outer_leaf = leaf_;
  leaf_ = &l;
  std::vector<const For*> all = bound_;
  all.insert(all.end(), inner_bound.begin(), inner_bound.end());
  Axes axes;
  for (const For* f : all) {
    if (is_reduce_loop(p_, l, f->loop)) continue;
    (f->axis == "free" ? axes.free : axes.partition) = BoundLoop{f->loop, f->lo, f->hi};
  }
  std::set<uint32_t> inside;
  for (const StmtRef& s : site.path)
    if (const For* f = std::get_if<For>(&s->form))
      if (is_reduce_loop(p_, l, f->loop)) inside.insert(f->loop.value);
  std::vector<Expr> guards, outer, mask;
  for (const Expr& g : conjuncts(l.predicate)) {
    bool here = true;
    walk(g, [&](const Expr& part) {
      if (const Var* v = part.as<Var>(); v && inside.count(v->symbol.value)) here = false;
      return true;
    });
    if (here) guards.push_back(g);
  }
  std::vector<BoundLoop*> loops;
  if (axes.partition) loops.push_back(&*axes.partition);
  if (axes.free) loops.push_back(&*axes.free);
  cut(guards, loops, outer, mask);
  leaf_ = outer_leaf;

  const Substitution map = point_of(p_, l);
  std::vector<Expr> subs;
  for (const Assign& a : l.assigns)
    if (a.buffer == buffer)
      for (const Expr& s : a.subs) subs.push_back(substitute(s, map));

  // Nothing to reduce: the identity is all.
  bool empty = false;
  for (const StmtRef& s : site.path)
    if (const For* f = std::get_if<For>(&s->form)) {
      std::optional<int64_t> c = constant_of(simple(extent(f->lo, f->hi)));
      if (c && *c <= 0 && is_reduce_loop(p_, l, f->loop)) empty = true;
    }
  bool on_chip = placed_[buffer.value].on_chip;
  bool simple_place = maps.empty() && found.sites.size() == 1;
  bool in_banks = found.sites.size() == 1 && on_chip && b.memory == Memory::psum;  // a group in each of its tiles
  bool runs = !empty;  // whether each cell surely gets a term
  if ((simple_place || in_banks) && runs) {
    const Facts outside = facts_;
    for (const StmtRef& s : site.path)
      if (const For* f = std::get_if<For>(&s->form); f && !maps.empty() && !is_reduce_loop(p_, l, f->loop))
        facts_.add_range(f->loop, f->lo, f->hi);
    Facts before = facts_;
    for (const StmtRef& s : site.path)
      if (const For* f = std::get_if<For>(&s->form)) {
        if (is_reduce_loop(p_, l, f->loop) && !prove(facts_, less(f->lo, f->hi))) runs = false;
        facts_.add_range(f->loop, f->lo, f->hi);
      }
    for (const Expr& g : conjuncts(l.predicate)) {
      bool known = std::any_of(guards.begin(), guards.end(), [&](const Expr& o) { return same(o, g); });
      bool cuts_tail = false;  // a guard that only cuts the last block of a reduce loop leaves its first iteration
      if (!known) {
        Substitution first;
        for (const StmtRef& s : site.path)
          if (const For* f = std::get_if<For>(&s->form); f && is_reduce_loop(p_, l, f->loop))
            first.push_back({f->loop, f->lo});
        cuts_tail = prove(before, substitute(g, first));
      }
      if (!known && !cuts_tail) runs = on_pe ? false : runs;
    }
    facts_ = outside;
  }
  bool skips = false;  // whether a condition may leave out all terms of a tile
  for (const Expr& g : conjuncts(l.predicate))
    if (std::none_of(guards.begin(), guards.end(), [&](const Expr& o) { return same(o, g); })) {
      Facts here = facts_;
      Substitution first;
      for (const StmtRef& s : site.path)
        if (const For* f = std::get_if<For>(&s->form)) {
          if (is_reduce_loop(p_, l, f->loop)) first.push_back({f->loop, f->lo});
          else here.add_range(f->loop, f->lo, f->hi);
        }
      skips |= !prove(here, substitute(g, first));
    }

  auto result_place = [&]() -> std::optional<Destination> { return destination(buffer, subs, axes); };
  auto counts_of = [&](Space space, ScalarType type, const char* hint) {
    Expr np = counted(axes.partitions()), nf = counted(axes.frees());
    leaf_ = &l;
    View v = whole(temporary(hint, type, space, bound_of(np), bound_of(nf)), np, nf);
    leaf_ = outer_leaf;
    return v;
  };
  auto as_value = [&](const View& v, ScalarType type) {
    Value out;
    out.view = v;
    out.type = type;
    out.over_partition = axes.partition.has_value();
    out.over_free = axes.free.has_value();
    return out;
  };
  // What has been reduced goes to its place.
  auto deliver = [&](const Value& v) {
    leaf_ = &l;
    if (std::optional<Destination> to = result_place()) copy_into(to->view, v, axes);
    else store(buffer, subs, axes, v);
    leaf_ = outer_leaf;
  };
  // Groups in a tile that is placed outside: in `full` the same memory serves all of them, in `basic` each group has fresh memory.
  auto again = [&] {
    const Placed& p = placed_[buffer.value];
    if (basic()) {  // of a list that is not folded each tile has one group
      if (!p.list || std::any_of(p.folds.begin(), p.folds.end(), [](int64_t n) { return n > 0; }))
        out_->push_back({Make{p.tile}, place_});
      return;
    }
    region.iterations.emplace();
    for (const StmtRef& s : site.path)
      if (const For* f = std::get_if<For>(&s->form); f && is_reduce_loop(p_, l, f->loop) && f->kind != LoopKind::bound)
        region.iterations->push_back(var(f->loop) - f->lo);
  };
  if (!maps.empty()) outer.clear();  // conditions inside are met where the leaves are
  for (BoundLoop* loop : loops)
    if (maps.empty() && !prove(facts_, less_equal(index_constant(1), loop->count())))
      outer.push_back(less(index_constant(0), loop->count()));

  guarded(outer, [&] {
    if (empty) {
      if (on_chip && !simple_place) return fill_window(r.windows[0], op.identity);
      return deliver(number(op.identity));
    }
    if (on_pe && simple_place && runs) {
      region.mode = Region::Mode::group;
      std::optional<Destination> to = result_place();
      bool in_place = to && k_.tiles[to->view.tile].space == Space::psum;
      if (!failure_.empty()) return;
      region.group = in_place ? to->view : counts_of(Space::psum, ScalarType::f32, "psum");
      if (in_place && kept) again();
      regions_.push_back(region);
      body(r.body);
      regions_.pop_back();
      if (!in_place && failure_.empty()) deliver(as_value(*region.group, ScalarType::f32));
      return;
    }
    if (on_pe && in_banks && runs) {
      region.mode = Region::Mode::groups;
      if (kept) again();
      regions_.push_back(region);
      body(r.body);
      regions_.pop_back();
      return;
    }
    if (on_pe) {
      region.mode = Region::Mode::grouped_accumulate;
      region.group_at = below_maps;
      region.group_axes = axes;
      region.group_leaf = &l;
      region.may_be_empty = skips;
      if (!on_chip) {
        fail(codes::no_form, "`" + b.name + "` is summed up in pieces where it is stored, in HBM",
             "keep partial results on chip: `cache " + b.name + " in sbuf at ..`, or `compute_at` it in sbuf");
        return;
      }
      fill_window(r.windows[0], 0);
      regions_.push_back(region);
      body(r.body);
      regions_.pop_back();
      return;
    }
    if (reduces.empty() && found.sites.size() == 1) {
      region.mode = Region::Mode::direct;
      if (skips && simple_place) deliver(number(op.identity));
      else if (skips && on_chip) fill_window(r.windows[0], op.identity);
      else if (skips) {
        fail(codes::no_form, "`" + b.name + "` is reduced in pieces where it is stored, in HBM",
             "keep partial results on chip: `compute_at` it in sbuf, or `rfactor`");
        return;
      }
      regions_.push_back(region);
      body(r.body);
      regions_.pop_back();
      return;
    }
    region.mode = Region::Mode::accumulate;
    if (on_chip) {
      if (simple_place) {
        if (std::optional<Destination> to = result_place()) fill(to->view, op.identity);
      } else {
        fill_window(r.windows[0], op.identity);
      }
    } else {
      if (!simple_place) {
        fail(codes::no_form, "`" + b.name + "` is reduced in pieces where it is stored, in HBM",
             "keep partial results on chip: `compute_at` it in sbuf, or `rfactor`");
        return;
      }
      region.group_axes = axes;
      region.accumulator = as_value(counts_of(Space::sbuf, held(b.type), "acc"), held(b.type));
      fill(region.accumulator->view, op.identity);
    }
    std::optional<Value> accumulator = region.accumulator;
    regions_.push_back(region);
    body(r.body);
    regions_.pop_back();
    if (accumulator && failure_.empty()) deliver(*accumulator);
  });
}

Value Lowering::reduced_over_free(const Value& v, const std::string& op, const Axes& axes) {
  Value in = v;
  Value out;
  out.over_partition = v.over_partition;
  out.temporary = true;
  out.view = space_for(axes, v.over_partition, false, ScalarType::f32, nullptr, {});
  emit_engine("tensor_reduce", {{"dst", out.view}, {"op", "nl." + op}, {"data", in.view}, {"axis", "1"}});
  return out;
}

// `turn_back`: the result's loop over partitions runs along them where it is kept.
void Lowering::combine(const Leaf& l, const Assign& a, Axes axes, const std::optional<BoundLoop>& contracted,
                       const std::vector<Expr>& mask, bool turn_back) {
  Region* region = nullptr;
  for (Region& r : regions_)
    if (r.reduce->windows[0].buffer == a.buffer) region = &r;
  Operation op{};
  if (!region || !operation_of(p_, l.reducer, op)) {
    fail(codes::no_form, "a reduction by `" + l.reducer + "` has no NKI text yet");
    return;
  }
  const Substitution map = point_of(p_, l);
  const std::vector<Expr> subs = substitute(a.subs, map);
  Expr value = substitute(a.value, map);
  picking_ = !is_float(p_.buffer(a.buffer).type);  // a stage inside the region may have said otherwise
  remark(ir::print(p_, ir::load(p_.buffer(a.buffer).type, a.buffer, a.subs)) + " " + l.reducer + "= " +
         ir::print(p_, a.value));
  if (!is_float(p_.buffer(a.buffer).type) &&
      (!exact_integer(a.value) || (std::string(op.op) != "maximum" && std::string(op.op) != "minimum"))) {
    fail(codes::no_integers,
         "`" + p_.buffer(a.buffer).name + "` is reduced by `" + l.reducer +
             "` over integers, which the engines would round above 2^24",
         "convert to a float first where the numbers stay below 2^24");
    return;
  }
  if (region->mode == Region::Mode::scatter) {
    if (contracted || !mask.empty())
      fail(codes::no_form, "`" + p_.buffer(a.buffer).name + "` combines several partitions into one cell",
           "keep the loop over what is combined a loop of the text");
    else combine_by_data(l, a, op.op, axes);
    return;
  }
  if (contracted) {
    std::optional<View> group = region->group;
    if (region->mode == Region::Mode::groups)
      if (std::optional<Destination> to = destination(a.buffer, subs, axes)) group = to->view;
    if (!failure_.empty()) return;
    if (!group) {
      fail(codes::mixed_axes,
           "`" + loop_name(contracted->loop) + "` runs a reduction over partitions in several pieces at once");
      return;
    }
    contract(l, value, axes, *contracted, *group, mask, *region);
    return;
  }
  bool reduced = axes.free && is_reduce_loop(p_, l, axes.free->loop);
  Axes result = axes;
  if (reduced) result.free.reset();
  if (turn_back) std::swap(result.partition, result.free);
  // Columns that no partition takes part with are left out, all but one.
  for (const Expr& m : mask) {
    const Binary* c = m.as<Binary>();
    if (!reduced || !axes.partition || !c || mentions_load(m) || c->left.type() != ScalarType::index ||
        (c->op != BinaryOp::lt && c->op != BinaryOp::le))
      continue;
    AffineIn gap = affine_in(simplify(c->right - c->left - (c->op == BinaryOp::lt ? 1 : 0)), axes.partition->loop);
    if (!gap.ok) continue;
    AffineIn last = affine_in(
        simplify(gap.rest + (gap.coefficient > 0 ? axes.partition->hi - 1 : axes.partition->lo) * gap.coefficient),
        axes.free->loop);
    if (last.ok && last.coefficient == -1)
      axes.free->hi = simple(min(axes.free->hi, max(axes.free->lo + 1, last.rest + 1)));
  }
  for (const Expr& m : mask) {
    const ScalarType type = value.type();
    Expr identity = is_float(type) ? real_constant(type, op.identity)
                                   : integer_constant(type, identity_of(p_.reducer(l.reducer)->builtin, type).integer);
    value = ir::select(m, value, identity);
  }
  bool direct = region->mode == Region::Mode::direct;
  std::optional<Destination> to = destination(a.buffer, subs, result);
  if (!failure_.empty()) return;
  Value partial;
  if (reduced) {
    Value v = eval(value, axes);
    v = spread(v, axes, axes.partition.has_value(), true);
    partial.over_partition = axes.partition.has_value();
    partial.temporary = true;
    bool into = direct && to && !turn_back;
    partial.view = into ? to->view : space_for(axes, partial.over_partition, false, ScalarType::f32, nullptr, {});
    partial.type = into ? to->type : ScalarType::f32;
    emit_engine("tensor_reduce",
                {{"dst", partial.view}, {"op", std::string("nl.") + op.op}, {"data", v.view}, {"axis", "1"}});
    if (into) return;
    if (turn_back)
      partial = transposed(partial.view, ScalarType::f32, partial.view.axes[0].count, index_constant(1), false, true);
  } else {
    partial = eval(value, axes, direct && to ? &*to : nullptr);
  }
  if (direct) {
    if (to) copy_into(to->view, partial, result);
    else store(a.buffer, subs, result, partial);
    return;
  }
  Value sum;
  if (region->accumulator) {
    sum = *region->accumulator;
    // Where a condition cuts the axes down here, the part of it that they run over.
    for (int axis : {0, 1}) {
      const std::optional<BoundLoop>& here = axis ? result.free : result.partition;
      const std::optional<BoundLoop>& all = axis ? region->group_axes.free : region->group_axes.partition;
      if (!here || !all) continue;
      Slice& s = sum.view.axes[axis];
      s.start = simple(s.start + (here->lo - all->lo));
      s.count = counted(here->count());
    }
  } else {
    sum.view = to->view;
    sum.type = to->type;
  }
  sum.over_partition = result.partition.has_value();
  sum.over_free = result.free.has_value();
  Destination there{sum.view, sum.type};
  Value v = arith(op.op, sum, partial, result, &there, sum.type);
  copy_into(there.view, v, result);
}

// One accumulation group of a reduction in pieces: a PSUM tile, added to what is there so far.
void Lowering::group(const StmtRef& s, size_t index) {
  Region copy = regions_[index];
  const Leaf& l = *copy.group_leaf;
  const Leaf* before = leaf_;
  leaf_ = &l;
  Axes axes = copy.group_axes;
  const Substitution map = point_of(p_, l);
  BufferId buffer = copy.reduce->windows[0].buffer;
  std::vector<Expr> subs;
  for (const Assign& a : l.assigns)
    if (a.buffer == buffer)
      for (const Expr& e : a.subs) subs.push_back(substitute(e, map));
  std::vector<Expr> some;  // past the last cells there is no group
  for (const std::optional<BoundLoop>* loop : {&axes.partition, &axes.free})
    if (*loop && !prove(facts_, less_equal(index_constant(1), (*loop)->count())))
      some.push_back(less(index_constant(0), (*loop)->count()));
  guarded(some, [&] {
    leaf_ = &l;
    Expr np = counted(axes.partitions()), nf = counted(axes.frees());
    View psum = whole(temporary("psum", ScalarType::f32, Space::psum, bound_of(np), bound_of(nf)), np, nf);
    leaf_ = before;
    if (copy.may_be_empty) {  // a product of zeros opens it
      View zeros = kernel_constant("zeros"), left = zeros, right = zeros;
      left.axes = {{index_constant(0), index_constant(1)}, {index_constant(0), np}};
      right.axes = {{index_constant(0), index_constant(1)}, {index_constant(0), nf}};
      emit("nc_matmul", {{"dst", psum}, {"stationary", left}, {"moving", right}});
    }
    regions_[index].group = psum;
    statement(s);
    regions_[index].group.reset();
    if (!failure_.empty()) return;
    leaf_ = &l;
    if (std::optional<Destination> to = destination(buffer, subs, axes))
      emit_engine("tensor_tensor", {{"dst", to->view}, {"data1", to->view}, {"data2", psum}, {"op", "nl.add"}});
    leaf_ = before;
  });
}

// Every cell of a window of a tile on chip.
void Lowering::fill_window(const Window& w, double value) {
  const Placed& p = placed_[w.buffer.value];
  const Buffer& b = p_.buffer(w.buffer);
  // All dims but one over the free axis as loops of the text; blocks of 128 partitions as well.
  int last = p.last;
  auto cells = [&](size_t d) {  // the tile may be smaller than its box
    Expr there = index_constant(p.extents[d]) - (w.ranges[d].lo - b.box[d].lo);
    return p.folds[d] ? simple(extent(w.ranges[d].lo, w.ranges[d].hi))
                      : simple(min(extent(w.ranges[d].lo, w.ranges[d].hi), there));
  };
  Expr columns = last >= 0 ? cells(last) : Expr{};
  std::vector<Expr> at(w.ranges.size());
  std::function<void(size_t)> go = [&](size_t d) {
    if (d == w.ranges.size()) {
      Reach r = reach(w.buffer, at);
      View v{p.tile, {{simple(r.index[0]), index_constant(1)}, {simple(r.index[1]), index_constant(1)}}, r.which};
      if (p.partition_dim >= 0) v.axes[0].count = block_count_.known() ? block_count_ : counted(cells(p.partition_dim));
      if (last >= 0) v.axes[1].count = counted(columns);
      fill(v, value);
      return;
    }
    at[d] = w.ranges[d].lo;
    Expr n = cells(d);
    if (static_cast<int>(d) == p.partition_dim && bound_of(n) > core_.partitions) {
      SymbolId t = new_symbol("t");
      push_loop(t, index_constant(0), simple(ceildiv(n, index_constant(core_.partitions))), [&] {
        at[d] = w.ranges[d].lo + var(t) * core_.partitions;
        block_count_ = counted(min(index_constant(core_.partitions), n - var(t) * core_.partitions));
        go(d + 1);
        block_count_ = {};
      });
    } else if (p.piece && static_cast<int>(d) == last) {
      SymbolId t = new_symbol("t");
      push_loop(t, index_constant(0), simple(ceildiv(n, index_constant(p.piece))), [&] {
        Expr all = columns;
        at[d] = w.ranges[d].lo + var(t) * p.piece;
        columns = counted(min(index_constant(p.piece), n - var(t) * p.piece));
        go(d + 1);
        columns = all;
      });
    } else if (static_cast<int>(d) == p.partition_dim || static_cast<int>(d) == last || is_constant(n, 1)) {
      go(d + 1);
    } else {
      SymbolId t = new_symbol("t");
      push_loop(t, index_constant(0), n, [&] {
        at[d] = w.ranges[d].lo + var(t);
        go(d + 1);
      });
    }
  };
  go(0);
}

}  // namespace heddle::neuron

#include "schedule/loops.h"

#include <algorithm>
#include <set>

#include "ir/parts.h"
#include "ir/print.h"
#include "ir/region.h"
#include "schedule/legality.h"
#include "schedule/names.h"

namespace heddle::schedule {

using namespace ir;

namespace {

constexpr int64_t largest_step = int64_t{1} << 40;  // no array has more elements
constexpr size_t most_loops = 48;                   // of one axis: what affine forms have room for

// Rebuilds a loop's body for `loop := point`, where iterations with `point >= hi` are new and must do nothing.
class Guarded {
 public:
  Guarded(Step& step, SymbolId loop, Expr point, Expr hi, bool guard, Facts facts)
      : step_(step),
        map_{{loop, point}},
        loop_(loop),
        point_(point),
        hi_(hi),
        guard_(guard),
        facts_(std::move(facts)) {}

  /// The whole body of the loop.
  Result<Body> all(const Body& old) {
    own_ = allocated_in(old);
    return body(old);
  }

 private:
  Result<Body> body(const Body& old) {
    Body out;
    for (const StmtRef& s : old) {
      Result<StmtRef> next = std::visit([&](const auto& form) { return stmt(s, form); }, s->form);
      if (!next) return next.errors();
      out.push_back(*next);
    }
    return out;
  }

  Expr put(const Expr& e) const { return e.known() && mentions(e, loop_) ? tidy(substitute(e, map_)) : e; }
  // Bounds that read data are read only where the iteration is real.
  Expr bound(const Expr& e) const {
    if (!e.known() || !mentions(e, loop_)) return e;
    Expr next = put(e);
    return guard_ && mentions_load(next) ? select(less(point_, hi_), next, index_constant(0)) : next;
  }

  Result<StmtRef> stmt(const StmtRef& s, For l) {
    l.lo = bound(l.lo);
    l.hi = bound(l.hi);
    Result<Body> inner = body(l.body);
    if (!inner) return inner.errors();
    l.body = *std::move(inner);
    return make_stmt(std::move(l), s->place);
  }

  Result<StmtRef> stmt(const StmtRef& s, const Alloc& a) {
    for (BufferId id : a.buffers)
      for (BoxDim& d : step_.program.buffers[id.value].box) {
        d.lo = bound(d.lo);
        d.hi = bound(d.hi);
      }
    return s;
  }

  Result<StmtRef> stmt(const StmtRef& s, Reduce r) {
    for (Window& w : r.windows) {
      bool outside = !guard_ || lies_outside(w);
      const bool stays = guard_ && stays_in_place(w);
      for (Range& range : w.ranges) range = window_range(range, outside);
      if (!stays) continue;
      if (w.ranges.empty())
        return step_
            .refusal(codes::not_shown,
                     "an iteration of a partial block would begin `" + buffer_name(step_.program, w.buffer) + "` anew")
            .label(s->place, "reduced here")
            .with_help("split by a divisor of the extent");
      w.ranges[0].hi = select(less(point_, hi_), w.ranges[0].hi, w.ranges[0].lo);
    }
    Result<Body> inner = body(r.body);
    if (!inner) return inner.errors();
    r.body = *std::move(inner);
    return make_stmt(std::move(r), s->place);
  }

  // Each iteration begins the same cells anew (they are computed again), and what is outside keeps them.
  bool stays_in_place(const Window& w) const {
    if (std::find(own_.begin(), own_.end(), w.buffer) != own_.end()) return false;
    return std::none_of(w.ranges.begin(), w.ranges.end(),
                        [&](const Range& r) { return mentions(r.lo, loop_) || mentions(r.hi, loop_); });
  }

  // A window of a new iteration that lies outside the buffer's box resets nothing.
  bool lies_outside(const Window& w) const {
    bool concerned = false;
    Facts facts = facts_;
    facts.add(less_equal(hi_, point_));
    for (size_t d = 0; d < w.ranges.size(); ++d) {
      const Range& r = w.ranges[d];
      if (!mentions(r.lo, loop_) && !mentions(r.hi, loop_)) continue;
      concerned = true;
      if (mentions_load(r.lo) || mentions_load(r.hi)) return false;
      const BoxDim& box = step_.program.buffer(w.buffer).box[d];
      if (prove(facts, less_equal(put(box.hi), put(r.lo)))) return true;
    }
    return !concerned;
  }

  Range window_range(Range r, bool outside) const {
    if (!mentions(r.lo, loop_) && !mentions(r.hi, loop_)) return r;
    AffineIn a = affine_in(simplify(r.lo), loop_);
    r.lo = bound(r.lo);
    r.hi = bound(r.hi);
    if (outside) return r;
    // One cell that moves with the loop is cut where the loop ended; any other window is empty in new iterations.
    bool cell = a.ok && a.coefficient == 1 && same(simplify(r.lo + 1), simplify(r.hi));
    r.hi = cell ? simplify(ir::min(r.hi, a.rest + hi_)) : select(less(point_, hi_), r.hi, r.lo);
    return r;
  }

  Result<StmtRef> stmt(const StmtRef& s, Leaf l) {
    for (Expr& b : l.bindings) b = put(b);
    std::vector<Expr> parts = conjuncts(l.predicate);
    for (Expr& part : parts) part = put(part);
    if (guard_) {
      // Conditions are lazy: one that reads data stands behind the guard.
      bool reads = std::any_of(parts.begin(), parts.end(), mentions_load);
      parts.insert(reads ? parts.begin() : parts.end(), less(point_, hi_));
    }
    l.predicate = conjoin(parts);
    return make_stmt(std::move(l), s->place);
  }

  Result<StmtRef> stmt(const StmtRef& s, Call c) {
    if (guard_)
      return step_
          .refusal(codes::not_shown,
                   "`" + c.instr + "` works on whole windows and cannot be skipped in a partial block")
          .label(s->place, "called here")
          .with_help("split by a divisor of the extent");
    for (Window& w : c.windows)
      for (Range& r : w.ranges) r.lo = put(r.lo), r.hi = put(r.hi);
    return make_stmt(std::move(c), s->place);
  }

  Result<StmtRef> stmt(const StmtRef& s, Check c) {
    c.condition = put(c.condition);
    if (guard_) c.condition = binary(BinaryOp::logical_or, less_equal(hi_, point_), c.condition);
    for (Expr& e : c.coordinates) e = bound(e);
    return make_stmt(std::move(c), s->place);
  }

  Step& step_;
  Substitution map_;
  SymbolId loop_;
  Expr point_, hi_;
  bool guard_;
  Facts facts_;
  std::vector<BufferId> own_;  // allocated in the body
};

SymbolId new_loop(Program& program, const std::string& owner, const std::string& name, const Place& place) {
  return program.add(Symbol{name, SymbolKind::loop, ScalarType::index, owner, place});
}

}  // namespace

Expr extent_of(const For& l, const Facts& facts) {
  Expr extent = simplify(l.hi - l.lo, facts);
  return simplify(ir::max(extent, index_constant(0)), facts);
}

namespace {

// The iterations that whole blocks leave over, as the part `@tail`: for L@tail in 0 .. extent % n.
StmtRef peeled_tail(Step& step, const For& l, const std::string& owner, const std::string& name, const Expr& extent,
                    const Expr& size) {
  Expr blocks = binary(BinaryOp::div, extent, size);
  SymbolId loop = step.program.add(Symbol{name, SymbolKind::loop, ScalarType::index, owner, step.call.place});
  Part tail = copy_part(step.program, step.call.place, l.body, "tail", owner,
                        {{l.loop, simplify(l.lo + size * blocks + var(loop))}});
  step.program.symbols[loop.value].owner = part_name(owner, tail.name);
  For rest{loop, index_constant(0), simplify(extent - size * blocks), LoopKind::serial, {}, 0, std::move(tail.body)};
  return make_stmt(std::move(rest), step.call.place);
}

Body recomputed(const Body& body) {
  return rewrite_body(body, [](const StmtRef& s) -> Body {
    if (!as<Leaf>(s)) return {s};
    Leaf leaf = std::get<Leaf>(s->form);
    leaf.recomputed = true;
    return {make_stmt(std::move(leaf), s->place)};
  });
}

// Whether an axis whose loops are split once more can still be followed: in numbers far from 64 bits, over so many loops.
Result<Done> fits_axis(const Step& step, const For& l, int64_t n) {
  const std::string name = "`" + loop_name(step.program, l.loop) + "`";
  for (const LeafSite& site : leaves(l.body))
    for (size_t i = 0; i < site.leaf().bindings.size(); ++i) {
      const Expr& binding = site.leaf().bindings[i];
      if (!mentions(binding, l.loop)) continue;
      const Stage& row = step.program.stage(site.leaf().stage);
      const std::string axis = "`" + row.name + "." + step.program.symbol(row.axes[i].symbol).name + "`";
      const AffineIn in = affine_in(simplify(binding), l.loop);
      int64_t block = 0;
      if (in.ok && (__builtin_mul_overflow(in.coefficient, n, &block) || block > largest_step || block < -largest_step))
        return step.refusal(codes::bad_value, "blocks of " + std::to_string(n) + " iterations of " + name +
                                                  " would be steps of more than 2^40 along " + axis);
      std::set<uint32_t> loops;
      walk(binding, [&](const Expr& e) {
        if (const Var* v = e.as<Var>(); v && step.program.symbol(v->symbol).kind == SymbolKind::loop)
          loops.insert(v->symbol.value);
        return true;
      });
      if (loops.size() >= most_loops)
        return step.refusal(codes::too_large,
                            axis + " would be made of more than " + std::to_string(most_loops) + " loops");
    }
  return Done{};
}

}  // namespace

Result<SplitLoops> split_loop(Step& step, SymbolId loop, int64_t n, const std::string& outer, const std::string& inner,
                              Tail tail) {
  Program& p = step.program;
  Path path = path_to_loop(p, loop);
  Result<Done> serial = can_rewrite(step, path);
  if (!serial) return serial.errors();
  const For l = loop_of(path);
  const Symbol symbol = p.symbol(loop);
  std::string name = loop_name(p, loop);
  if (outer == inner) return step.refusal(codes::name_taken, "both new loops would be named `" + outer + "`");
  for (const std::string& made : {outer, inner}) {
    Result<Done> free = free_loop_name(step, symbol.owner, made, loop);
    if (!free) return free.errors();
  }

  if (Result<Done> fits = fits_axis(step, l, n); !fits) return fits.errors();
  Facts facts = facts_at(p, Path(path.begin(), path.end() - 1));
  Expr extent = simplify(l.hi - l.lo, facts), size = index_constant(n);
  bool exact = n == 1 || prove(facts, binary(BinaryOp::eq, binary(BinaryOp::mod, extent, size), index_constant(0)));
  if (tail == Tail::exact && !exact) {
    std::string fact = print(p, simplify(binary(BinaryOp::mod, extent, size))) + " == 0";
    return step
        .refusal(codes::not_shown, "cannot show that " + std::to_string(n) + " divides the `" + print(p, extent) +
                                       "` iterations of `" + name + "`")
        .with_help("state `" + fact +
                   "` by a `require` of the op or the schedule's `where`, or leave out `with exact`");
  }
  if (exact && n > 1) step.relied_on(std::to_string(n) + " divides " + print(p, extent));

  SplitLoops made{new_loop(p, symbol.owner, outer, step.call.place), new_loop(p, symbol.owner, inner, step.call.place)};
  Expr point = simplify(l.lo + (size * var(made.outer) + var(made.inner)));
  Facts inside = facts;
  StmtRef rest;
  bool whole = exact;  // no block reaches past the end
  if (tail == Tail::shift && !exact) {
    if (Result<Done> repeats = can_repeat(step, path); !repeats) return repeats.errors();
    whole = prove(facts, less_equal(size, extent));
    Expr start = ir::min(size * var(made.outer), extent - n);
    if (!whole) start = ir::max(start, index_constant(0));
    point = simplify(l.lo + start + var(made.inner), facts);
    if (whole) step.relied_on("`" + name + "` has at least " + std::to_string(n) + " iterations");
    step.relied_on("what runs in `" + name + "` is pure, so the last block may compute again what the one before did");
  }
  if (tail == Tail::peel && !exact) {
    extent = extent_of(l, facts);
    bool counts_blocks = false;  // a quotient of a quotient: where it ends cannot be followed later
    walk(extent, [&](const Expr& e) {
      const Binary* b = e.as<Binary>();
      counts_blocks |= b && b->op != BinaryOp::add && b->op != BinaryOp::sub && b->op != BinaryOp::mul &&
                       b->op != BinaryOp::max && b->op != BinaryOp::min;
      return true;
    });
    if (counts_blocks)
      return step.refusal(codes::not_shown, "cannot show where the whole blocks of `" + name + "` end")
          .with_help("leave out `with peel`, or split the outer loop with it first");
    rest = peeled_tail(step, l, symbol.owner, inner, extent, size);
    exact = whole = true;  // what is left is
  }
  Expr count = simplify(exact ? binary(BinaryOp::div, extent, size) : ceildiv(extent, size), facts);
  inside.add_range(made.outer, index_constant(0), count);
  inside.add_range(made.inner, index_constant(0), size);
  Result<Body> body = Guarded(step, loop, point, l.hi, !whole, std::move(inside)).all(l.body);
  if (!body) return body.errors();
  if (tail == Tail::shift && !exact) body = recomputed(*body);

  For in{made.inner, index_constant(0), size, LoopKind::serial, {}, 0, *std::move(body)};
  For out{made.outer, index_constant(0), count, LoopKind::serial, {}, 0, {make_stmt(std::move(in), step.call.place)}};
  Body both{make_stmt(std::move(out), step.call.place)};
  if (rest) both.push_back(rest);
  replace(p, path.back(), both);
  consume(step, name, "split into `" + outer + "`, `" + inner + "`");
  return made;
}

Result<SymbolId> split_off(Step& step, SymbolId loop, int64_t n, const std::string& suffix) {
  if (n == 0) return loop;
  const std::string base = step.program.symbol(loop).name;
  Result<SplitLoops> made = split_loop(step, loop, n, default_name(step.call, base + "o"),
                                       default_name(step.call, base + suffix), Tail::guard);
  if (!made) return made.errors();
  return made->inner;
}

void set_kind(Step& step, SymbolId loop, LoopKind kind) {
  Path path = path_to_loop(step.program, loop);
  For l = loop_of(path);
  l.kind = kind;
  replace(step.program, path.back(), {make_stmt(std::move(l), step.call.place)});
}

namespace {

Body without_idle(const Body& body, std::vector<BufferId>& alive) {
  const size_t outside = alive.size();
  Body out;
  for (const StmtRef& s : body) {
    if (const Alloc* a = as<Alloc>(s)) alive.insert(alive.end(), a->buffers.begin(), a->buffers.end());
    if (children(s).empty()) {
      out.push_back(s);
      continue;
    }
    Body next = without_idle(children(s), alive);
    StmtRef kept = next == children(s) ? s : with_children(s, std::move(next));
    if (const For* l = as<For>(kept); l && !l->prefetch.empty()) {
      For asks = *l;
      std::erase_if(asks.prefetch,
                    [&](const Prefetch& f) { return std::find(alive.begin(), alive.end(), f.buffer) == alive.end(); });
      if (asks.prefetch.size() != l->prefetch.size()) kept = make_stmt(std::move(asks), s->place);
    }
    out.push_back(std::move(kept));
  }
  alive.resize(outside);
  return out;
}

}  // namespace

void drop_idle_prefetches(Program& program) {
  bool any = false;
  walk(program.body, [&](const StmtRef& s) {
    const For* l = as<For>(s);
    any |= l && !l->prefetch.empty();
    return !any;
  });
  if (!any) return;
  std::vector<BufferId> alive;
  for (const Parameter& q : program.parameters)
    if (q.buffer.known()) alive.push_back(q.buffer);
  program.body = without_idle(program.body, alive);
}

void start_at_zero(Step& step, SymbolId loop) {
  Program& p = step.program;
  Path path = path_to_loop(p, loop);
  For l = loop_of(path);
  if (is_constant(l.lo, 0)) return;
  Facts facts = facts_at(p, Path(path.begin(), path.end() - 1));
  Substitution shift{{loop, simplify(l.lo + var(loop))}};
  auto moved = [&](const Expr& e) { return mentions(e, loop) ? tidy(substitute(e, shift)) : e; };
  for (BufferId id : allocated_in(l.body))
    for (BoxDim& d : p.buffers[id.value].box) d.lo = moved(d.lo), d.hi = moved(d.hi);
  for (StmtRef& s : l.body) s = map_loop_exprs(s, moved);
  l.hi = simplify(l.hi - l.lo, facts);
  l.lo = index_constant(0);
  replace(p, path.back(), {make_stmt(std::move(l), path.back()->place)});
}

}  // namespace heddle::schedule
